"""Speaks every line of a text file with a pack, through the reference package: say.py PACK TEXT FOLDER [N] [--24k]

Writes FOLDER/0000.wav ... at 16 kHz for the recogniser (and _24k.wav) and prints length, missed ends and steps of the
text pointer that go back by more than half a piece or forward by more than four (a chunk's first steps may).
"""

import logging
import os
import sys
import time

import numpy as np
import soundfile as sf
import torch
from pocket_tts import TTSModel
from scipy.signal import resample_poly

from frames import N_PTR, read_pointer


def main():
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    numbers = [a for a in sys.argv[4:] if a.isdigit()]
    lines = [l.strip() for l in open(sys.argv[2]) if l.strip()]
    lines = lines[: int(numbers[0])] if numbers else lines
    out = os.path.abspath(sys.argv[3])
    os.makedirs(out, exist_ok=True)
    os.chdir(sys.argv[1])
    m = TTSModel.load_model(config="config.yaml")
    state = m.get_state_for_audio_prompt("voice.safetensors")
    missed = []
    watch = logging.Handler()
    watch.emit = lambda r: missed.append(r.getMessage()) if "EOS" in r.getMessage() and r.levelno >= logging.WARNING else None
    logging.getLogger("pocket_tts").addHandler(watch)
    latents, inner = [], m.flow_lm._sample_next_latent

    def sample(sequence, text, **k):
        z, eos = inner(sequence, text, **k)
        if not text.shape[1]:  # the call that reads the text draws a latent too, which nobody hears
            latents.append(z.detach().reshape(-1).clone())
        return z, eos

    m.flow_lm._sample_next_latent = sample
    t, seconds, back, skip = time.time(), 0.0, 0, 0
    for i, line in enumerate(lines):
        latents.clear()
        y = m.generate_audio(state, line).numpy()
        seconds += len(y) / 24000
        z = torch.stack(latents).numpy()
        step = np.diff(read_pointer(z[:, -2 * N_PTR :])) if z.shape[1] > 2 * N_PTR else np.zeros(1)
        back, skip = back + int((step < -0.5).sum()), skip + int((step > 4).sum())
        sf.write(f"{out}/{i:04d}.wav", np.clip(resample_poly(y, 2, 3), -1, 1), 16000, subtype="PCM_16")
        if "--24k" in sys.argv:
            sf.write(f"{out}/{i:04d}_24k.wav", y, 24000, subtype="PCM_16")
    t = time.time() - t
    print(f"{len(lines)} lines, {seconds:.1f} s of audio in {t:.1f} s; without end: {len(missed)}; pointer back {back}, far {skip}")


if __name__ == "__main__":
    main()
