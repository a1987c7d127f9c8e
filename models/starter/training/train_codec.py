"""Step 5: decoder.  train_codec.py WORK MINUTES [--lr 2e-3] [--until MINUTES] [--fresh] [--from codec.pt]

Trains the Mimi decoder of the pack on frame-locked synthesis (frames.py) by regression: multi-resolution magnitude,
relative complex spectrum and relative waveform error.  The waveform term is what locks the phase; without it the
decoder stays at -0.3 dB.  Continues WORK/codec.state (weights, optimiser, counters) when it exists; --from takes the
weights of a codec.pt only.  Uses the first shard; the log is WORK/codec.csv.  Matrices and filters go by Muon, the
rest by Adam, in bf16.  The schedule is a cosine over MINUTES of CPU time.

--lm STATE ...: the last part of the training, when there is a flow LM.  Two examples in three are then what this flow LM
predicts (with the teacher's pointer, and with the variance that export.py gives it), which is what the decoder hears in
the pack.  And the target holds the detail that the PCA leaves out: the decoder may guess it from the frames so far.
"""

import argparse
import os
import subprocess
import time

import numpy as np
import torch

from frames import HOP, LDIM, N_BIN, N_LO, N_PCA, features, pitch_bins, read_dump, synth
from model import config, decode
from muon import orthogonal

CROP, BATCH, SENTENCES = 12, 8, 900
PREDICTED = 2 / 3  # of the examples, with --lm


def build():
    from pocket_tts.models.mimi import build_mimi
    from pocket_tts.utils.config import MimiConfig

    return build_mimi(MimiConfig(**config("", 1)["mimi"]))


def load(path, pca, count):
    """[(PCA coefficients, pitch, target audio)] of the first sentences of a shard."""
    z = {k: v for k, v in np.load(path).items()}
    o, out = 0, []
    for k in z["fl"][:count]:
        l, u = z["lat"][o : o + k].astype("f4"), z["u"][o : o + k]
        o += k
        out.append((l, u, (synth((l * pca["std"]) @ pca["V"] + pca["mu"], u) / 24000).astype("f2")))
    return out


def load_predicted(work, shard, pca, count, state):
    """[(true latents, target, predicted latents, target)] of the first sentences of a shard; latents [F, LDIM] as the decoder gets them.

    Both targets hold what the PCA leaves out; that of the predicted latents is what they say in all else, right or wrong.
    """
    from export import emb_std, read_speaker
    from train_lm import collate, load_shard, predict

    lines = b"\n".join(open(f"{work}/{shard}", "rb").read().split(b"\n")[:count]) + b"\n"
    with open(f"{work}/codec.bin", "wb") as f:
        subprocess.run([f"{work}/flitedump"], input=lines, stdout=f, check=True)
    net = read_speaker(work, state)
    scale, out = emb_std(net, work).numpy(), []
    sentences = dict(zip(np.load(f"{work}/{shard}.npz")["ids"], load_shard(f"{work}/{shard}.npz")))
    mu, V, std = pca["mu"], pca["V"], pca["std"]
    for n, p, _ in read_dump(f"{work}/codec.bin"):
        if n not in sentences:
            continue
        full, u = features(p)
        true = (full - mu) @ V.T / std
        detail = full - (true * std) @ V - mu
        with torch.no_grad():
            z = predict(net, collate([sentences[n]]))[0][0, : len(u)].numpy()
        z[:, :N_PCA] *= scale[:N_PCA]
        z[:, N_PCA + N_BIN + 1 :] = 0  # the pointer is not heard
        said = synth((z[:, :N_PCA] * std) @ V + mu + detail, N_LO + z[:, N_PCA : N_PCA + N_BIN].argmax(1))
        out.append((latent(true, u), (synth(full, u) / 24000).astype("f2"), z, (said / 24000).astype("f2")))
    os.remove(f"{work}/codec.bin")
    return out


def latent(l, u):
    z = np.zeros((len(l), LDIM), "f4")
    z[:, :N_PCA] = l
    z[:, N_PCA : N_PCA + N_BIN] = pitch_bins(u)
    z[:, N_PCA + N_BIN] = 1
    return z


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised; filters count as rows.  Scaled so that a step is as large as one of Adam."""

    def __init__(self, params, lr):
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                m.lerp_(p.grad, 0.05)
                g, w = p.grad.lerp(m, 0.95).flatten(1), p.view(len(p), -1)
                rows = 128 if g.shape == (384, 128) else len(g)  # q, k, v apart
                for a, b in zip(w.split(rows), g.split(rows)):
                    a.add_(orthogonal(b), alpha=-group["lr"] * 0.2 * max(b.shape) ** 0.5)


def stft(x, n):
    return torch.stft(x, n, n // 4, n, torch.hann_window(n, device=x.device), return_complex=True)


def losses(y, x):
    wave, mag, cpx = 0, 0, 0
    for a, b in ((y, x), (y[:, 1:] - 0.9 * y[:, :-1], x[:, 1:] - 0.9 * x[:, :-1])):
        v = (b**2).mean(1)
        wave = wave + (((a - b) ** 2).mean(1) / (v + 0.1 * v.mean() + 1e-6)).mean()
    for n in (256, 600, 1440):
        Y, X = stft(y, n), stft(x, n)
        s = n**0.5
        ay, ax = (Y.real**2 + Y.imag**2 + 1e-9 * n).sqrt() / s, X.abs() / s
        mag = mag + ((ay + 1e-3).log() - (ax + 1e-3).log()).abs().mean()
        e = ((Y - X).real ** 2 + (Y - X).imag ** 2 + 1e-9 * n).sqrt() / s
        cpx = cpx + (e / (ax + 3e-3) ** 0.7).mean()
    return dict(mag=mag, cpx=cpx, wave=wave)


@torch.no_grad()
def initialise(mimi, std):
    for m in mimi.decoder.modules():
        if isinstance(m, torch.nn.Conv1d):
            torch.nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
        elif isinstance(m, torch.nn.ConvTranspose1d):
            torch.nn.init.normal_(m.weight, std=(1.4 / m.in_channels) ** 0.5)
        else:
            continue
        if m.bias is not None:
            torch.nn.init.zeros_(m.bias)
    torch.nn.init.normal_(mimi.decoder.model[-1].conv.weight, std=0.02)
    torch.nn.init.normal_(mimi.upsample.convtr.convtr.weight, std=0.7)
    w = torch.full((LDIM,), 1.0)
    w[:N_PCA] = torch.tensor(std / std[0]) ** 0.5
    w[N_PCA : N_PCA + N_BIN] = 1.5
    w[N_PCA + N_BIN] = 2.0
    w[N_PCA + N_BIN + 1 :] = 0  # the pointer is not heard
    torch.nn.init.normal_(mimi.quantizer.output_proj.weight, std=0.5)
    mimi.quantizer.output_proj.weight.mul_(w[None, :, None])


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("work")
    ap.add_argument("minutes", type=float)
    ap.add_argument("--lr", type=float, default=2e-3)
    ap.add_argument("--until", type=float, default=0.0, help="wall-clock minutes after which the schedule is over in any case")
    ap.add_argument("--fresh", action="store_true")
    ap.add_argument("--from", dest="start")
    ap.add_argument("--lm", help="state of a flow LM")
    ap.add_argument("--shards", default="shard_00", help="with --lm: SENTENCES of each, by commas")
    o = ap.parse_args()
    work, device = o.work, "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.manual_seed(0)
    rng = np.random.RandomState(0)
    pca = {k: v for k, v in np.load(work + "/pca.npz").items()}
    if o.lm:
        data = [d for s in o.shards.split(",") for d in load_predicted(work, s, pca, SENTENCES, o.lm)]
    else:
        data = [(latent(l, u), x) for l, u, x in load(work + "/shard_00.npz", pca, SENTENCES)]
    data = [d for d in data if len(d[0]) > CROP]
    print(len(data), "sentences", flush=True)
    mimi = build().to(device)
    initialise(mimi, pca["std"])
    params = [p for n, p in mimi.named_parameters() if not n.startswith(("encoder", "downsample"))]
    hidden = [p for p in params if p.ndim > 1 and min(p.shape[0], p[0].numel()) >= 16]
    ids = {id(p) for p in hidden}
    opts = [torch.optim.Adam([p for p in params if id(p) not in ids], betas=(0.9, 0.98)), Muon(hidden, 0.0)]
    count, state = dict(step=0, spent=0.0), work + "/codec.state"
    if o.start:
        mimi.load_state_dict({k: v.float() for k, v in torch.load(o.start).items()})
    elif os.path.exists(state) and not o.fresh:
        s = torch.load(state, weights_only=False)
        mimi.load_state_dict(s["net"])
        for opt, d in zip(opts, s["opt"]):
            opt.load_state_dict(d)
        count = s["count"]
        rng.set_state(s["numpy"])

    def save():
        torch.save(dict(net=mimi.state_dict(), opt=[p.state_dict() for p in opts], count=count, numpy=rng.get_state()), state + ".tmp")
        os.replace(state + ".tmp", state)
        torch.save(mimi.state_dict(), work + "/codec.pt.tmp")
        os.replace(work + "/codec.pt.tmp", work + "/codec.pt")

    log = open(work + "/codec.csv", "a")
    if log.tell() == 0:
        log.write("step,seconds,lr,mag,cpx,wave\n")
    acc, first, saved = {}, count["step"], time.time()
    born = time.time()
    f = 0.0
    while f < 1:
        t0 = time.process_time()
        f = min(1, max(count["spent"] / o.minutes, (time.time() - born) / o.until if o.until else 0) / 60)
        for g in (g for opt in opts for g in opt.param_groups):
            g["lr"] = o.lr * min(1, (count["step"] - first + 1) / 50) * (0.5 * (1 + np.cos(np.pi * f)) * 0.97 + 0.03)
        Z, X = [], []
        for _ in range(BATCH):
            d = data[rng.randint(len(data))]
            predicted = 2 if o.lm and rng.rand() < PREDICTED else 0
            z, x = d[predicted : predicted + 2]
            k = rng.randint(0, len(z) - CROP + 1) if rng.rand() > 0.1 else 0
            z = z[k : k + CROP].copy()
            noise = 0 if predicted else rng.choice([0, 0.1, 0.2])
            z[:, :N_PCA] += noise * np.minimum(1, 0.5 / pca["std"]) * rng.randn(CROP, N_PCA)
            z[:, N_PCA : N_PCA + N_BIN] += noise / 2 * rng.randn(CROP, N_BIN)
            Z.append(z)
            X.append(x[k * HOP : (k + CROP) * HOP].astype("f4"))
        with torch.autocast(device, torch.bfloat16):
            y = decode(mimi, torch.tensor(np.stack(Z)).to(device))[:, 0].float()
        x = torch.tensor(np.stack(X)).to(device)
        l = losses(y[:, HOP:], x[:, HOP:])
        for opt in opts:
            opt.zero_grad()
        (l["mag"] + 2 * l["cpx"] + 2 * l["wave"]).backward()
        torch.nn.utils.clip_grad_norm_(params, 5.0)
        for opt in opts:
            opt.step()
        count["step"] += 1
        count["spent"] += time.process_time() - t0
        for k, v in l.items():
            acc[k] = 0.95 * acc.get(k, v.item()) + 0.05 * v.item()
        if count["step"] % 25 == 0:
            log.write(f"{count['step']},{count['spent']:.0f},{g['lr']:.2e}," + ",".join(f"{v:.4f}" for v in acc.values()) + "\n")
            log.flush()
        if time.time() - saved > 240:
            save()
            saved = time.time()
    save()


if __name__ == "__main__":
    main()
