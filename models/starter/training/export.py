"""Step 7: pack.  export.py WORK OUT [--name lm] [--f32] [--raw]

WORK/codec.pt + the averaged weights of WORK/NAME.state -> OUT/{config.yaml, model.safetensors, tokenizer.model,
voice.safetensors}, which the reference package loads with --config.  Weights are rounded to f16 unless --f32; --raw
takes the last weights instead of the average.  Paths in config.yaml are relative to the pack's folder.
"""

import argparse
import os
import shutil

import torch
import yaml
from safetensors.torch import save_file

from model import LAYERS, PREFIX, Speaker, config
from tokenizer import build
from train_codec import build as build_codec


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("work")
    ap.add_argument("out")
    ap.add_argument("--name", default="lm")
    ap.add_argument("--f32", action="store_true")
    ap.add_argument("--raw", action="store_true")
    o = ap.parse_args()
    os.makedirs(o.out, exist_ok=True)
    shutil.copy(o.work + "/tokenizer.model", o.out + "/tokenizer.model")
    pieces = build()[1]
    net, mimi = Speaker(o.work + "/tokenizer.model", pieces), build_codec()
    s = torch.load(f"{o.work}/{o.name}.state", weights_only=False)
    net.load_state_dict({k: v.float() for k, v in s["net" if o.raw else "ema"].items()})
    mimi.load_state_dict(torch.load(o.work + "/codec.pt"))
    net.fold()
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
    yaml.safe_dump(config("tokenizer.model", len(pieces), weights="model.safetensors"), open(o.out + "/config.yaml", "w"), sort_keys=False)
    print(s["count"], os.path.getsize(o.out + "/model.safetensors"), "bytes")


if __name__ == "__main__":
    main()
