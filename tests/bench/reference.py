"""The reference in PyTorch: runs one job.

Usage:   python reference.py JOB       JOB: JSON, see bench.mjs. precision int8 is the package's own `quantize`; the
variant names its backend: "torchao", or "torch.ao", the fallback that it takes where torchao is missing.
"""

import json
import logging
import sys
import threading
import time
import warnings
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

from make_packs import load_reference  # noqa: E402
from measure import measure  # noqa: E402
from pocket_tts import quantization  # noqa: E402
from pocket_tts.modules.stateful_module import increment_steps, init_states  # noqa: E402

NEVER = 1e9  # a threshold that no end logit reaches


def main():
    job = json.loads(sys.argv[1])
    folder = Path(job["pack"])
    if job.get("variant") == "torch.ao":
        quantization._get_backend = lambda: "torch.ao"
    tts = load_reference(folder, quantize=job["precision"] == "int8")
    torch.set_num_threads(job["threads"])
    tts.eos_threshold = NEVER
    voice = tts.get_state_for_audio_prompt(folder / "voice.safetensors")
    bench = job["bench"]

    def speak(which, limit):
        stop, frames = threading.Event(), 0
        for samples in tts.generate_audio_stream(voice, bench["text" if which == "text" else "first_text"], stop=stop):
            frames += len(samples) // 1920
            yield samples.numpy()
            if frames >= limit:
                stop.set()

    @torch.no_grad()
    def parts(frames):
        lm, step_ms, codec_ms = tts.flow_lm, [], []
        state = {m: {k: v.clone() for k, v in s.items()} for m, s in voice.items()}
        tts._expand_kv_cache(state, sequence_length=tts._flow_lm_current_end(state) + len(bench["ids"]) + frames)
        tts._run_flow_lm_and_increment_step(model_state=state, text_tokens=torch.tensor([bench["ids"]]))
        current, latents = torch.full((1, 1, lm.ldim), float("nan")), []
        for _ in range(frames):
            begin = time.perf_counter()
            current, _ = tts._run_flow_lm_and_increment_step(model_state=state, backbone_input_latents=current)
            step_ms.append((time.perf_counter() - begin) * 1000)
            latents.append(current)
        steps = int(tts.mimi.encoder_frame_rate / tts.mimi.frame_rate)
        mimi_state = init_states(tts.mimi, batch_size=1, sequence_length=frames * steps)
        for latent in latents:
            begin = time.perf_counter()
            tts.mimi.decode_from_latent(latent * lm.emb_std + lm.emb_mean, mimi_state)
            increment_steps(tts.mimi, mimi_state, increment=steps)
            codec_ms.append((time.perf_counter() - begin) * 1000)
        return step_ms, codec_ms

    measure(job, speak, parts, dict(torch=torch.__version__))


if __name__ == "__main__":
    main()
