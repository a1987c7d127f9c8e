#!/usr/bin/env python3
"""The starter voice in the reference package, against this engine: the same files, the same sound.

    tests/reference/check_starter.py [--write]          (make reference-starter installs what it needs)

Loads models/starter through pocket_tts with a configuration file, as `pocket-tts generate --config` does, speaks TEXTS and
compares frames, latents and float samples with those of the npm package (models/starter/evaluate/speak.mjs). Then compares the
committed golden (tests/golden/starter, which `make test` holds against every host) with what the reference says now; --write
writes it anew, which is due after every new pack. Exit status 1 when anything is out of its tolerance.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch
import yaml
from pocket_tts import TTSModel

ROOT = Path(__file__).resolve().parents[2]
PACK, GOLDEN = ROOT / "models/starter", ROOT / "tests/golden/starter"
FRAME = 1920
AUDIO, LATENTS = 5e-4, 2e-3  # speechAtZero of tests/parity/tolerances.mjs
AGAIN = 1e-5  # the reference against itself on another machine
SHORT = "The sky is blue."
TEXTS = [
    SHORT,
    "Hello.",
    "The quick brown fox jumps over the lazy dog.",
    "In 1984 it cost 25 dollars.",
    "He said “it’s fine” — and left (quietly).",
    "Nothing more… a naïve café, 5 % of it & so on.",
    "When the old man had finished his story, he put another log on the fire, looked at the children, and asked them what they would have done.",
]


class Reference:
    """models/starter in pocket_tts; keeps the latents that are heard."""

    def __init__(self, folder):
        self.manifest = json.loads((PACK / "pack.json").read_text())
        find = lambda role: next(f["path"] for f in self.manifest["files"] if f["role"] == role)
        config = json.loads(json.dumps(self.manifest["config"]))
        config["weights_path"] = str(PACK / find("weights"))
        config["flow_lm"]["lookup_table"]["tokenizer_path"] = str(PACK / find("tokenizer"))
        path = Path(folder) / "config.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        self.model = TTSModel.load_model(config=str(path))
        voice = next(f["path"] for f in self.manifest["files"] if f.get("name") == self.manifest["default_voice"])
        self.voice = self.model.get_state_for_audio_prompt(str(PACK / voice))
        self.latents, inner = [], self.model.flow_lm._sample_next_latent

        def sample(sequence, text, **k):
            z, eos = inner(sequence, text, **k)
            if not text.shape[1]:  # the call that reads the text draws a latent too, which nobody hears
                self.latents.append(z.detach().reshape(-1).clone())
            return z, eos

        self.model.flow_lm._sample_next_latent = sample

    @torch.no_grad()
    def speak(self, text):
        """(samples [n], latents of all steps [k, width]); a chunk has one step more than frames."""
        self.latents.clear()
        audio = self.model.generate_audio(self.voice, text).reshape(-1).numpy().astype("f4")
        return audio, torch.stack(self.latents).numpy().astype("f4")


def engine(folder):
    """What the npm package says: [(samples, latents, frames of each chunk)]."""
    (Path(folder) / "texts.json").write_text(json.dumps(TEXTS))
    subprocess.run(["node", ROOT / "models/starter/evaluate/speak.mjs", PACK, f"{folder}/texts.json", f"{folder}/ours"], check=True)
    index = json.loads(Path(folder, "ours/index.json").read_text())["texts"]
    read = lambda i, kind: np.fromfile(f"{folder}/ours/{i:04d}.{kind}", "<f4")
    return [(read(i, "f32"), read(i, "latents"), [c["frames"] for c in t["chunks"]]) for i, t in enumerate(index)]


def heard(latents, frames):
    """The rows that became sound: each chunk's last step is dropped."""
    rows, at = [], 0
    for n in frames:
        rows.append(latents[at : at + n])
        at += n + 1
    return np.concatenate(rows)


class Checks:
    out = 0

    def near(self, name, a, b, tolerance):
        deviation = float(np.abs(a - b).max()) if a.shape == b.shape else float("inf")
        self.line(deviation <= tolerance, name, f"{deviation:.2e} of {tolerance:.0e}" + ("" if a.shape == b.shape else f"  (shapes {a.shape}, {b.shape})"))

    def line(self, ok, name, detail):
        self.out += not ok
        print(f"{'ok' if ok else 'OUT':5} {name:44} {detail}")


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--write", action="store_true", help="write tests/golden/starter anew")
    o = ap.parse_args()
    torch.set_num_threads(1)
    checks, folder = Checks(), tempfile.mkdtemp()
    try:
        reference, ours = Reference(folder), engine(folder)
        for text, (samples, latents, frames) in zip(TEXTS, ours):
            audio, steps = reference.speak(text)
            same = len(audio) == FRAME * sum(frames) and len(steps) == sum(frames) + len(frames)
            checks.line(same, f"{text[:24]}: frames", f"{len(audio) // FRAME}, {sum(frames)} in {len(frames)} chunks")
            if not same:
                continue
            kept = heard(steps, frames)
            checks.near(f"{text[:24]}: latents", latents.reshape(kept.shape), kept, LATENTS)
            checks.near(f"{text[:24]}: samples", samples, audio, AUDIO)
            if text == SHORT:
                golden = dict(latents=np.ascontiguousarray(kept), audio=audio)
    finally:
        shutil.rmtree(folder)
    # The tensors' hashes are the pack's identity: a golden of another pack is noticed before anything is compared.
    files = {f["path"]: hashlib.sha256((PACK / f["path"]).read_bytes()).hexdigest() for f in reference.manifest["files"]}
    info = dict(about="The starter voice in the reference package: tests/reference/check_starter.py --write", text=SHORT, pack=files)
    if checks.out:
        print(f"{checks.out} out of tolerance; nothing was written" if o.write else f"{checks.out} out of tolerance")
        return 1
    if o.write:
        GOLDEN.mkdir(parents=True, exist_ok=True)
        (GOLDEN / "golden.json").write_text(json.dumps(info, indent=1, ensure_ascii=False) + "\n")
        safetensors.numpy.save_file(golden, GOLDEN / "golden.safetensors")
        print("written:", ", ".join(f"{p.relative_to(ROOT)} {p.stat().st_size}" for p in sorted(GOLDEN.iterdir())))
        return 0
    checks.line(json.loads((GOLDEN / "golden.json").read_text()) == info, "golden: text and pack", "tests/golden/starter/golden.json")
    for name, tensor in safetensors.numpy.load_file(GOLDEN / "golden.safetensors").items():
        checks.near(f"golden: {name}", tensor, golden[name], AGAIN)
    return int(checks.out > 0)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
