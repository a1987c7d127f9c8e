"""The decoder, or the analytic vocoder, on true latents: codec_eval.py WORK COUNT [FOLDER] [--analytic] [--set heldout] [--codec FILE]

Prints signal-to-noise ratio, log-mel difference and level against the analytic vocoder through the same PCA, and writes
FOLDER/0000.wav ... for asr.py.
"""

import argparse
import os

import numpy as np
import soundfile as sf
import torch
from scipy.signal import resample_poly

from model import decode
from train_codec import build, latent, load


def mel(x, sr=24000, n=1024, h=240, k=80):
    S = torch.stft(torch.tensor(x), n, h, n, torch.hann_window(n), return_complex=True).abs().numpy()
    f = np.fft.rfftfreq(n, 1 / sr)
    pts = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + sr / 2 / 700), k + 2) / 2595) - 1)
    fb = np.stack([np.clip(np.minimum((f - pts[i]) / (pts[i + 1] - pts[i]), (pts[i + 2] - f) / (pts[i + 2] - pts[i + 1])), 0, None) for i in range(k)])
    return np.log10(np.maximum(fb @ S, 1e-3)) * 20


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("work")
    ap.add_argument("count", type=int)
    ap.add_argument("folder", nargs="?")
    ap.add_argument("--analytic", action="store_true")
    ap.add_argument("--set", default="heldout", help="its latents are WORK/SET.npz")
    ap.add_argument("--codec", help="instead of WORK/codec.pt")
    o = ap.parse_args()
    work, count, out = o.work, o.count, o.folder
    torch.set_num_threads(1)
    pca = {k: v for k, v in np.load(work + "/pca.npz").items()}
    data, ids = load(f"{work}/{o.set}.npz", pca, count), np.load(f"{work}/{o.set}.npz")["ids"]
    m = build()
    m.load_state_dict({k: v.float() for k, v in torch.load(o.codec or work + "/codec.pt").items()})
    rows = []
    for (l, u, x), i in zip(data, ids):
        x = x.astype("f4")
        with torch.no_grad():
            y = x if o.analytic else decode(m, torch.tensor(latent(l, u))[None])[0, 0].numpy()
        rows.append((10 * np.log10((x**2).sum() / (((x - y) ** 2).sum() + 1e-12)), np.abs(mel(y) - mel(x)).mean(), y.std() / x.std()))
        if out:
            os.makedirs(out, exist_ok=True)
            sf.write(f"{out}/{i:04d}.wav", np.clip(resample_poly(y, 2, 3), -1, 1), 16000, subtype="PCM_16")
    r = np.mean(rows, 0)
    print(f"{len(rows)} sentences: SNR {r[0]:.2f} dB, log-mel {r[1]:.2f} dB, level {r[2]:.3f}")


if __name__ == "__main__":
    main()
