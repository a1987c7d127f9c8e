"""Step 6: flow LM.  train_lm.py WORK MINUTES [--lr 2e-3] [--tokens 1800] [--name lm] [--fresh] [--from FILE]

Trains on every WORK/shard_*.npz and takes up shards that appear while it runs.  Continues WORK/NAME.state (weights,
average, optimiser, generators, counters) when that exists; --fresh ignores it; --from starts a new schedule from the
average and the moments in FILE (checkpoint.py).  The schedule is a cosine over MINUTES of CPU time; a continued run keeps its place in it.
CUDA is used when present.  The log is WORK/NAME.csv.

The input is what the model will read when it speaks: only the pointer of the frame before.  So there is no gap
between training and speaking but the noise of the pointer itself, which the training imitates.  The pointer runs one
frame ahead of the sound: latent t holds the sound of frame t and the text position at the end of frame t + 1.  When
frame t is to be sounded its begin and end in the text are thus known, and the model need not blur the phones over all
the durations they might have had.
"""

import argparse
import copy
import glob
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

from frames import LDIM, N_BIN, N_PCA, N_PTR, PTR_OMEGA, pitch_bins, pointer
from model import PREFIX, Speaker
from muon import orthogonal
from tokenizer import build

WIDE, WHITE, BLUR = 0.05, 0.05, 0.03  # pointer noise: per sentence, per frame (pieces); per dimension
TAIL = 1  # frames after the end, so that a missed EOS is met again


def load_shard(path):
    z = {k: v for k, v in np.load(path).items()}
    to, fo = np.cumsum(np.r_[0, z["tl"]]), np.cumsum(np.r_[0, z["fl"]])
    return [
        (z["tok"][to[i] : to[i + 1]], z["lat"][fo[i] : fo[i + 1]], z["u"][fo[i] : fo[i + 1]], z["ptr"][fo[i] : fo[i + 1]])
        for i in range(len(z["ids"]))
    ]


class Batches:
    """Sentences of similar length, about `tokens` positions a batch."""

    def __init__(self, tokens, rng):
        self.tokens, self.rng, self.sentences, self.seen, self.queue = tokens, rng, [], set(), []
        self.times = np.zeros(0)  # presentations of each sentence

    def refresh(self, work):
        new = sorted(set(glob.glob(work + "/shard_*.npz")) - self.seen)
        new = [p for p in new if not p.endswith(".tmp.npz")]
        for p in new:
            self.sentences += load_shard(p)
        self.seen |= set(new)
        self.times = np.r_[self.times, np.zeros(len(self.sentences) - len(self.times))]
        return len(new)

    def next(self):
        if not self.queue:
            ix = np.argsort(self.times + 2 * self.rng.rand(len(self.times)))[:8192]  # the least seen, loosely
            self.times[ix] += 1
            self.rng.shuffle(ix)
            for c in range(0, len(ix), 1024):
                part = sorted(ix[c : c + 1024], key=lambda i: (len(self.sentences[i][1]), len(self.sentences[i][0])))
                made, cur, L, T = [], [], 0, 0
                for i in part:
                    t, f = len(self.sentences[i][0]), len(self.sentences[i][1]) + TAIL
                    if cur and (max(L, t) + max(T, f)) * (len(cur) + 1) > self.tokens:
                        made.append(cur)
                        cur, L, T = [], 0, 0
                    cur, L, T = cur + [i], max(L, t), max(T, f)
                made.append(cur)
                self.rng.shuffle(made)
                self.queue += made
            self.queue.reverse()
        return [self.sentences[i] for i in self.queue.pop()]


def collate(us, device="cpu"):
    """Text is right-aligned against the audio, so frame 0 of all rows is one column; rows carry own RoPE positions."""
    B, L, T = len(us), max(len(u[0]) for u in us), max(len(u[1]) for u in us) + TAIL
    tok = np.zeros((B, L), "i8")
    tgt = np.zeros((B, T, LDIM), "f4")
    ptr = np.zeros((B, T), "f4")
    fm = np.zeros((B, T), "f4")
    eos = np.zeros((B, T), "f4")
    valid = np.ones((B, PREFIX + L + T), bool)
    pos = np.zeros((B, L + T), "f4")
    for b, (t, l, u, p) in enumerate(us):
        n, f = len(t), len(l)
        tok[b, L - n :] = t
        tgt[b, :f, :N_PCA], tgt[b, f:, :N_PCA] = l, l[-1]
        tgt[b, :f, N_PCA : N_PCA + N_BIN] = pitch_bins(u)
        tgt[b, f:, N_PCA : N_PCA + N_BIN] = tgt[b, f - 1, N_PCA : N_PCA + N_BIN]
        ptr[b, : f - 1], ptr[b, f - 1 :] = p[1:], p[-1]
        fm[b, : f + TAIL] = 1
        eos[b, f - 1 :] = 1
        valid[b, PREFIX : PREFIX + L - n] = False
        pos[b] = np.arange(L + T) - (L - n) + PREFIX
    tgt[:, :, N_PCA + N_BIN] = 1
    tgt[:, :, -2 * N_PTR :] = pointer(ptr)
    mask = np.concatenate([np.ones((L + T, PREFIX), bool), np.tril(np.ones((L + T, L + T), bool))], 1)[None] & valid[:, None]
    t = lambda a: torch.from_numpy(a).to(device)
    return dict(tok=t(tok), tgt=t(tgt), ptr=t(ptr), fm=t(fm), eos=t(eos), mask=t(mask)[:, None], pos=t(pos))


def predict(net, b, noise=False, bf16=False):
    """Latents and EOS logits for the teacher's pointer, which is all that the input holds."""
    tgt = b["tgt"]
    B, T = b["fm"].shape
    inp = torch.zeros_like(tgt)
    inp[..., N_PCA + N_BIN] = 1
    j = b["ptr"]
    if noise:
        j = j + WIDE * torch.randn(B, 1, device=j.device) + WHITE * torch.randn(B, T, device=j.device)
    a = j[..., None] * torch.tensor(PTR_OMEGA, dtype=torch.float32, device=j.device)
    inp[..., -2 * N_PTR :] = torch.cat([a.cos(), a.sin()], -1)
    if noise:
        inp[..., -2 * N_PTR :] += BLUR * torch.randn(B, T, 2 * N_PTR, device=j.device)
    inp = torch.cat([net.lm.bos_emb.expand(B, 1, -1), inp[:, :-1]], 1)
    with torch.autocast(tgt.device.type, torch.bfloat16, enabled=bf16):
        return net(b["tok"], inp, b["mask"], b["pos"])


def losses(net, b, weights, noise, bf16=True):
    tgt, fm = b["tgt"], b["fm"]
    o, e = predict(net, b, noise, bf16)
    d2 = (o - tgt) ** 2 * fm[..., None]
    d1 = F.smooth_l1_loss(o[..., :N_PCA], tgt[..., :N_PCA], reduction="none", beta=0.1) * fm[..., None]
    n = fm.sum()
    bce = F.binary_cross_entropy_with_logits(e, b["eos"], reduction="none", pos_weight=torch.tensor(3.0, device=e.device))
    return dict(
        pca=(d2[..., :N_PCA] * weights).sum() / n,
        pit=d2[..., N_PCA : N_PCA + N_BIN + 1].sum() / n,
        ptr=d2[..., -2 * N_PTR :].sum() / n,
        eos=(bce * fm).sum() / n,
        abs=(d1 * weights).sum() / n,
    )


class Muon(torch.optim.Optimizer):
    """Momentum whose matrices are orthogonalised: one learning rate fits every hidden matrix."""

    def __init__(self, params, lr, momentum=0.95):
        super().__init__(params, dict(lr=lr, momentum=momentum))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                m.lerp_(p.grad, 1 - group["momentum"])
                g = p.grad.lerp(m, group["momentum"])
                parts = g.split(256) if g.shape[0] == 768 and g.shape[1] != 768 else (g,)  # q, k, v apart
                for w, part in zip(p.split(256) if len(parts) > 1 else (p,), parts):
                    w.add_(orthogonal(part), alpha=-group["lr"] * max(1, part.shape[0] / part.shape[1]) ** 0.5)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("work")
    ap.add_argument("minutes", type=float)
    ap.add_argument("--lr", type=float, default=2e-3)
    ap.add_argument("--muon", type=float, default=0.0, help="learning rate of the hidden matrices; 0: Adam for all")
    ap.add_argument("--tokens", type=int, default=1800)
    ap.add_argument("--name", default="lm")
    ap.add_argument("--fresh", action="store_true")
    ap.add_argument("--from", dest="start")
    ap.add_argument("--compile", action="store_true")
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--horizon", type=float, default=0.0, help="minutes of the schedule, when this run is only its first part")
    ap.add_argument("--until", type=float, default=0.0, help="wall-clock minutes after which the schedule is over in any case")
    o = ap.parse_args()
    work, device = o.work, "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.manual_seed(o.seed)
    rng = np.random.RandomState(o.seed)
    std = np.load(work + "/pca.npz")["std"]
    weights = torch.tensor(std / std.sum() * 4, device=device)
    net = Speaker(work + "/tokenizer.model", build()[1]).to(device)
    params = [p for p in net.parameters() if p.requires_grad]
    hidden = [p for n, p in net.named_parameters() if "transformer.layers" in n and p.ndim == 2] if o.muon else []
    ids = {id(p) for p in hidden}
    opts = [(torch.optim.Adam([p for p in params if id(p) not in ids], betas=(0.9, 0.98), fused=True), o.lr)]
    if hidden:
        opts.append((Muon(hidden, o.muon), o.muon))
    count = dict(step=0, seen=0, spent=0.0)
    if o.start:  # the average goes on as the weights, the moments with it; the schedule starts anew
        s = torch.load(o.start, weights_only=False)
        net.load_state_dict({k: v.float() for k, v in s["ema"].items()})
        for (opt, _), d in zip(opts, s.get("opt", [])):
            opt.load_state_dict(d)
        count.update(step=s["count"]["step"], seen=s["count"]["seen"])
    ema = copy.deepcopy(net)
    state = f"{work}/{o.name}.state"
    if os.path.exists(state) and not o.fresh and not o.start:
        s = torch.load(state, weights_only=False)
        net.load_state_dict(s["net"])
        ema.load_state_dict(s["ema"])
        for (opt, _), d in zip(opts, s["opt"]):
            opt.load_state_dict(d)
        count = s["count"]
        rng.set_state(s["numpy"])
        torch.set_rng_state(s["torch"])

    def save():
        torch.save(
            dict(net=net.state_dict(), ema=ema.state_dict(), opt=[p.state_dict() for p, _ in opts], count=count, numpy=rng.get_state(), torch=torch.get_rng_state()),
            state + ".tmp",
        )
        os.replace(state + ".tmp", state)

    data = Batches(o.tokens, rng)
    data.refresh(work)
    held = [collate(u, device) for u in (load_shard(work + "/heldout.npz")[i : i + 20] for i in range(0, 60, 20))]
    print("parameters", sum(p.numel() for p in net.lm.parameters()), "voice", 2 * net.voice.k.numel(), "sentences", len(data.sentences), flush=True)
    run = torch.compile(losses, dynamic=True) if o.compile else losses
    log = open(f"{work}/{o.name}.csv", "a")
    if log.tell() == 0:
        log.write("step,seen,cpu,lr,pca,pit,ptr,eos,abs,held_pca,held_pit,held_ptr,held_eos,held_abs,sentences\n")
    acc, limit, saved = {}, (o.horizon or o.minutes) * 60, time.time()
    started, first, born = count["spent"], count["step"] if o.start else 0, time.time()
    f = 0.0
    while f < 1 and count["spent"] - started < o.minutes * 60:
        t0 = time.process_time()
        f = min(1, max(count["spent"] / limit, (time.time() - born) / 60 / o.until if o.until else 0))
        scale = min(1, (count["step"] - first + 1) / 100) * (0.5 * (1 + np.cos(np.pi * f)) * 0.98 + 0.02)
        for opt, lr in opts:
            for g in opt.param_groups:
                g["lr"] = lr * scale
        b = collate(data.next(), device)
        l = run(net, b, weights, True)
        for opt, _ in opts:
            opt.zero_grad()
        # The absolute error asks for the median: where the text leaves two phones open, one of them, not their mean.
        (l["abs"] + 0.5 * l["pit"] + l["ptr"] + 0.3 * l["eos"]).backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        for opt, _ in opts:
            opt.step()
        count["step"] += 1
        count["seen"] += len(b["tok"])
        with torch.no_grad():
            mix = 1 - min(0.996, (1 + count["step"]) / (10 + count["step"]))
            torch._foreach_lerp_([p for p in ema.parameters()], [p for p in net.parameters()], mix)
        for k, v in l.items():
            acc[k] = 0.97 * acc.get(k, v.item()) + 0.03 * v.item()
        if count["step"] % 100 == 0:
            with torch.no_grad():
                hl = [losses(ema, x, weights, False, bf16=False) for x in held]
            data.refresh(work)
            row = [count["step"], count["seen"], round(count["spent"]), f"{o.lr * scale:.2e}"] + [f"{v:.4f}" for v in acc.values()]
            row += [f"{np.mean([x[k].item() for x in hl]):.4f}" for k in hl[0]] + [len(data.sentences)]
            log.write(",".join(map(str, row)) + "\n")
            log.flush()
        count["spent"] += time.process_time() - t0
        if time.time() - saved > 240:
            save()
            saved = time.time()
    save()


if __name__ == "__main__":
    main()
