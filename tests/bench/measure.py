"""What every Python runner does with its job, and how it says so (bench.mjs has the protocol)."""

import json
import statistics
import time
from pathlib import Path

import numpy as np

SAMPLE_RATE = 24000


def peak_bytes():
    """VmHWM of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM in /proc/self/status")


def measure(job, speak, parts, versions):
    """speak(which, limit): samples of "text" or "first", frame group by frame group; at most `limit` frames, then it
    has stopped all its work. parts(frames): (ms of each FlowLM step, ms of each codec frame)."""
    bench = job["bench"]
    stream = speak("text", job["warm"])
    next(stream)
    print("FIRST", flush=True)
    for _ in stream:
        pass
    first_ms, spoken = [], []
    for _ in range(job["firsts"]):
        begin = time.perf_counter()
        stream = speak("first", 1)
        next(stream)
        first_ms.append((time.perf_counter() - begin) * 1000)
        for _ in stream:
            pass
    for _ in range(job["speaks"]):
        begin = time.perf_counter()
        samples = np.concatenate(list(speak("text", bench["frames"])))
        seconds = time.perf_counter() - begin
        if len(samples) != bench["frames"] * 1920 or not np.isfinite(samples).all():
            raise SystemExit(f"expected {bench['frames']} frames of finite samples, found {len(samples) / 1920}")
        spoken.append(len(samples) / SAMPLE_RATE / seconds)
    peak = peak_bytes()
    step_ms, codec_ms = parts(job["parts"]) if job["parts"] else ([], [])
    print(json.dumps(dict(first_audio_ms=first_ms, rtf=spoken, peak_bytes=peak, versions=versions,
                          step_ms=statistics.median(step_ms) if step_ms else None,
                          codec_ms=statistics.median(codec_ms) if codec_ms else None)), flush=True)
