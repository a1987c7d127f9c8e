"""Step 7: pack.  export.py WORK OUT [--name lm] [--codec FILE] [--f32] [--raw] [--sharpen 0.8]

WORK/codec.pt + the averaged weights of WORK/NAME.state -> OUT/{config.yaml, model.safetensors, tokenizer.model,
voice.safetensors}, which the reference package loads with --config.  Weights are rounded to f16 unless --f32; --raw
takes the last weights instead of the average.  Paths in config.yaml are relative to the pack's folder.

A regression speaks with less variance than its teacher.  emb_std, which the reference applies to what goes to the decoder
but not to what is fed back, makes up for it: (teacher's deviation / ours) ** SHARPEN for each PCA dimension, at most
LIMIT, measured on the first training sentences with the teacher's pointer.
"""

import argparse
import os
import shutil

import torch
import yaml
from safetensors.torch import save_file

from frames import N_PCA
from model import LAYERS, PREFIX, Speaker, config
from tokenizer import build
from train_codec import build as build_codec
from train_lm import collate, load_shard, predict

LIMIT, SHARPEN, SENTENCES = 1.4, 0.8, 200


@torch.no_grad()
def variance(net, work):
    """Deviation of the teacher's and of the predicted PCA coefficients."""
    us, sums = sorted(load_shard(work + "/shard_00.npz")[:SENTENCES], key=lambda u: len(u[1])), torch.zeros(5, N_PCA)
    for i in range(0, SENTENCES, 20):
        b = collate(us[i : i + 20])
        on = b["fm"].bool()
        y, t = predict(net, b)[0][on][:, :N_PCA], b["tgt"][on][:, :N_PCA]
        sums += torch.stack([torch.full((N_PCA,), float(len(y))), y.sum(0), (y**2).sum(0), t.sum(0), (t**2).sum(0)])
    n, y, y2, t, t2 = sums
    return (t2 / n - (t / n) ** 2).sqrt(), (y2 / n - (y / n) ** 2).sqrt()


def read_speaker(work, state, raw=False):
    net, s = Speaker(work + "/tokenizer.model", build()[1]), torch.load(state, weights_only=False)
    net.load_state_dict({k: v.float() for k, v in s["net" if raw else "ema"].items()})
    return net


def emb_std(net, work, sharpen=SHARPEN, show=False):
    teacher, ours = variance(net, work)
    if show:
        print("deviation against the teacher's:", " ".join(f"{x:.2f}" for x in ours / teacher))
    return (teacher / ours).clamp(1, LIMIT) ** sharpen


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("work")
    ap.add_argument("out")
    ap.add_argument("--name", default="lm")
    ap.add_argument("--codec", help="instead of WORK/codec.pt")
    ap.add_argument("--f32", action="store_true")
    ap.add_argument("--raw", action="store_true")
    ap.add_argument("--sharpen", type=float, default=SHARPEN)
    o = ap.parse_args()
    os.makedirs(o.out, exist_ok=True)
    shutil.copy(o.work + "/tokenizer.model", o.out + "/tokenizer.model")
    net, mimi = read_speaker(o.work, f"{o.work}/{o.name}.state", o.raw), build_codec()
    mimi.load_state_dict({k: v.float() for k, v in torch.load(o.codec or o.work + "/codec.pt").items()})
    net.fold()
    if o.sharpen:
        net.lm.emb_std[:N_PCA] = emb_std(net, o.work, o.sharpen, show=True)
    sd = {"flow_lm." + k: v for k, v in net.lm.state_dict().items()} | {"mimi." + k: v for k, v in mimi.state_dict().items()}
    sd["flow_lm.speaker_proj_weight"] = torch.zeros(net.lm.dim, 8)
    kind = torch.float32 if o.f32 else torch.float16
    save_file({k: v.detach().contiguous().to(kind) for k, v in sd.items()}, o.out + "/model.safetensors")
    voice = {}
    for i in range(LAYERS):
        n = f"transformer.layers.{i}.self_attn/"
        voice[n + "cache"] = torch.stack([net.voice.k[i], net.voice.v[i]]).detach()[:, None].contiguous()
        voice[n + "offset"] = torch.tensor([PREFIX])
        voice[n + "pad"] = torch.tensor([0])
    save_file(voice, o.out + "/voice.safetensors")
    yaml.safe_dump(config("tokenizer.model", len(build()[1]), weights="model.safetensors"), open(o.out + "/config.yaml", "w"), sort_keys=False)
    print(os.path.getsize(o.out + "/model.safetensors"), "bytes")


if __name__ == "__main__":
    main()
