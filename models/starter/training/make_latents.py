"""Step 4: latents.  make_latents.py WORK [--long] shard ...   SHARD (text) + SHARD.bin (flitedump) -> SHARD.npz

Fits the PCA on the first shard when WORK/pca.npz is missing.  Arrays: ids (line), tl / fl (tokens, frames of each),
tok, lat (PCA coefficients divided by their deviation), u (pitch), ptr (pointer at the end of each frame).
--long keeps longer sentences, and prompts that the teacher is silent for.
"""

import os
import sys

import numpy as np
import sentencepiece

from align import Aligner, pointer_track
from frames import HOP, N_PCA, SR, SUB, features, read_dump

LIMITS = {False: (90, 110, 2), True: (140, 150, 1)}  # most tokens, most frames, least phones and pauses; by --long


def fit_pca(work, shard):
    X = np.concatenate([features(p)[0] for n, p, s in read_dump(f"{work}/{shard}.bin") if n % 4 == 0])
    mu = X.mean(0)
    w, V = np.linalg.eigh(np.cov((X - mu).T))
    V = V[:, ::-1][:, :N_PCA].T.astype("f4")
    np.savez(work + "/pca.npz", mu=mu, V=V, std=np.sqrt(w[::-1][:N_PCA]).astype("f4"))


def main(work, shards, long):
    tokens, frames, least = LIMITS[long]
    sp = sentencepiece.SentencePieceProcessor(work + "/tokenizer.model")
    aligner = Aligner(work + "/align.json")
    for shard in shards:
        lines = open(f"{work}/{shard}").read().split("\n")
        if not os.path.exists(work + "/pca.npz"):
            fit_pca(work, shard)
        pca = np.load(work + "/pca.npz")
        mu, V, std = pca["mu"], pca["V"], pca["std"]
        out = {k: [] for k in ("ids", "tok", "lat", "u", "ptr")}
        for n, p, segs in read_dump(f"{work}/{shard}.bin"):
            pieces = sp.encode(lines[n], out_type=str)
            if len(pieces) > tokens or len(p) > SUB * frames or len(segs) < least:
                continue
            f, u = features(p)
            knots = np.array(pointer_track(lines[n], pieces, segs, aligner))
            t = np.maximum.accumulate(knots[:, 0] + np.arange(len(knots)) * 1e-6)
            end = (np.arange(len(u)) + 1.0) * HOP / SR
            out["ids"].append(n)
            out["tok"].append(np.array(sp.encode(lines[n]), "i2"))
            out["lat"].append((((f - mu) @ V.T) / std).astype("f2"))
            out["u"].append(u)
            out["ptr"].append(np.interp(end, t, np.maximum.accumulate(knots[:, 1])).astype("f4"))
        lens = dict(tl=[len(x) for x in out["tok"]], fl=[len(x) for x in out["u"]])
        np.savez(f"{work}/{shard}.tmp.npz", ids=np.array(out["ids"]), **lens, **{k: np.concatenate(out[k]) for k in ("tok", "lat", "u", "ptr")})
        os.replace(f"{work}/{shard}.tmp.npz", f"{work}/{shard}.npz")
        print(shard, len(lens["fl"]), "sentences", round(sum(lens["fl"]) * HOP / SR / 3600, 2), "h", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], [a for a in sys.argv[2:] if a != "--long"], "--long" in sys.argv)
