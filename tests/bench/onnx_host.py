"""The host of the exported graphs in Python: cache, masks, sampler. Native onnxruntime.

Usage:   python onnx_host.py JOB        JOB: JSON, see bench.mjs; the graphs are in PACK/onnx (export_onnx.py)
"""

import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

GROW = 64  # positions by which the cache grows: the graph attends over all of them


class Speaker:
    def __init__(self, folder, variant, threads):
        self.meta = json.loads((folder / "meta.json").read_text())
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        self.sessions = {part: ort.InferenceSession(str(folder / f"{file}.onnx"), options, providers=["CPUExecutionProvider"])
                         for part, file in self.meta["variants"][variant].items()}
        self.outputs = {part: [o.name for o in s.get_outputs()] for part, s in self.sessions.items()}
        conv = "conv" in self.meta["variants"][variant]["mimi"]
        self.state_shapes = self.meta["mimi_conv_states"] if conv else self.meta["mimi"]["states"]
        self.voice = np.fromfile(folder / "voice.bin", "<f4")
        self.folder = folder

    # ---- FlowLM

    def begin(self, room):
        """A cache for `room` positions with the voice in it."""
        lm, rows = self.meta["flow_lm"], self.meta["voice_rows"]
        self.length, self.room = rows, math.ceil(room / GROW) * GROW
        self.keys, self.values, at = [], [], 0
        for _ in range(lm["layers"]):
            n = lm["kv"] * lm["width"] * rows
            keys = np.zeros((lm["kv"], lm["width"], self.room), np.float32)
            values = np.zeros((lm["kv"], self.room, lm["width"]), np.float32)
            keys[:, :, :rows] = self.voice[at : at + n].reshape(lm["kv"], lm["width"], rows)
            values[:, :rows] = self.voice[at + n : at + 2 * n].reshape(lm["kv"], rows, lm["width"])
            at += 2 * n
            self.keys.append(keys)
            self.values.append(values)
        self.mask = np.full((1, self.room), self.meta["never"], np.float32)
        self.mask[:, :rows] = 0

    def lm_step(self, ids, latents):
        """ids [M], latents [S, ldim] -> hidden [1, d], eos logit; the cache grows by M + S."""
        lm = self.meta["flow_lm"]
        n = len(ids) + len(latents)
        causal = np.where(np.tri(n, dtype=bool), 0, self.meta["never"]).astype(np.float32)
        feeds = dict(ids=np.asarray(ids, np.int64), latents=np.asarray(latents, np.float32).reshape(-1, self.meta["ldim"]),
                     position=np.array([self.length], np.int64), cache=np.array([self.room], np.int64), mask=self.mask,
                     new_mask=np.tile(causal, (lm["group"], 1)))
        for i in range(lm["layers"]):
            feeds[f"past_k{i}"], feeds[f"past_v{i}"] = self.keys[i], self.values[i]
        out = dict(zip(self.outputs["flow_lm"], self.sessions["flow_lm"].run(None, feeds)))
        end = self.length + n
        for i in range(lm["layers"]):
            self.keys[i][:, :, self.length : end] = out[f"new_k{i}"]
            self.values[i][:, self.length : end] = out[f"new_v{i}"]
        self.mask[:, self.length : end] = 0
        self.length = end
        return out["hidden"], float(out["eos"][0, 0])

    def sample(self, hidden, noise):
        (velocity,) = self.sessions["flow_net"].run(None, dict(hidden=hidden, noise=noise.reshape(1, -1)))
        return velocity if self.meta["flow_type"] == "drifting" else noise.reshape(1, -1) + velocity

    # ---- Mimi

    def codec_reset(self):
        m = self.meta["mimi"]
        self.step = 0
        self.codec = {f"state{i}": np.zeros(s, np.float32) for i, s in enumerate(self.state_shapes)}
        self.codec["up_before"] = np.zeros(m["up"], np.float32)
        for i in range(m["layers"]):
            self.codec[f"past_k{i}"] = np.zeros((m["heads"], m["width"], m["ring"]), np.float32)
            self.codec[f"past_v{i}"] = np.zeros((m["heads"], m["ring"], m["width"]), np.float32)

    def decode(self, latent):
        m = self.meta["mimi"]
        steps, ring, position = m["steps"], m["ring"], self.step * m["steps"]
        # Slot s holds the latest position before this frame that is s modulo the ring.
        slots = np.arange(ring)
        held = position - 1 - (position - 1 - slots) % ring
        delta = position + np.arange(steps)[:, None] - held[None]
        mask = np.where((held >= 0) & (delta < m["context"]), 0, self.meta["never"]).astype(np.float32)
        out = dict(zip(self.outputs["mimi"], self.sessions["mimi"].run(None, dict(
            self.codec, latent=latent.reshape(1, -1), position=np.array([position], np.int64), mask=mask))))
        at = position % ring
        for i in range(m["layers"]):
            self.codec[f"past_k{i}"][:, :, at : at + steps] = out[f"new_k{i}"]
            self.codec[f"past_v{i}"][:, at : at + steps] = out[f"new_v{i}"]
        for i in range(len(self.state_shapes)):
            self.codec[f"state{i}"] = out[f"next{i}"]
        self.codec["up_before"] = out["up_next"]
        self.step += 1
        return out["pcm"]

    # ---- both

    def forced(self, ids, latents, noise):
        """Teacher-forced: hidden vectors [n, d] and the samples of the given latents."""
        bos = np.asarray([self.meta["bos"]], np.float32)
        self.begin(self.meta["voice_rows"] + len(ids) + len(latents))
        self.lm_step(ids, [])
        hidden, worst = [], 0.0
        for i, latent in enumerate(latents):
            h, _ = self.lm_step([], bos if i == 0 else latents[i - 1 : i])
            self.sample(h, noise[i])
            hidden.append(h[0])
        self.codec_reset()
        return np.stack(hidden), np.concatenate([self.decode(latent) for latent in latents])

    def speak(self, ids, frames, seed=42):
        """Frames one by one."""
        rng = np.random.default_rng(seed)
        std = np.float32(math.sqrt(self.meta["temperature"]))
        self.begin(self.meta["voice_rows"] + len(ids) + frames)
        self.lm_step(ids, [])
        self.codec_reset()
        latent = np.asarray([self.meta["bos"]], np.float32)
        for _ in range(frames):
            hidden, _ = self.lm_step([], latent)
            latent = self.sample(hidden, rng.standard_normal(self.meta["ldim"], np.float32) * std)
            yield self.decode(latent)


def main():
    from measure import measure

    job = json.loads(sys.argv[1])
    bench = job["bench"]
    speaker = Speaker(Path(job["pack"]) / "onnx", job["variant"], job["threads"])

    def speak(which, limit):
        ids = bench["ids" if which == "text" else "first_ids"]
        stream = speaker.speak(ids, bench["frames"] if which == "text" else 1)
        for _ in range(limit):
            yield next(stream)

    def parts(frames):
        speaker.begin(speaker.meta["voice_rows"] + len(bench["ids"]) + frames)
        speaker.lm_step(bench["ids"], [])
        speaker.codec_reset()
        latent, step_ms, codec_ms = np.asarray([speaker.meta["bos"]], np.float32), [], []
        for _ in range(frames):
            begin = time.perf_counter()
            hidden, _ = speaker.lm_step([], latent)
            latent = speaker.sample(hidden, np.zeros(speaker.meta["ldim"], np.float32))
            middle = time.perf_counter()
            speaker.decode(latent)
            step_ms.append((middle - begin) * 1000)
            codec_ms.append((time.perf_counter() - middle) * 1000)
        return step_ms, codec_ms

    measure(job, speak, parts, dict(onnxruntime=ort.__version__))


if __name__ == "__main__":
    main()
