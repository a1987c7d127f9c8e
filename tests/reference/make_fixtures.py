#!/usr/bin/env python3
"""Golden fixtures for a re-implementation of Pocket TTS, made with the Python package.

Usage:   python make_fixtures.py --out DIR [--names lsd6 german ...] [--seed-base N]
                                 [--texts texts.json] [--tokenizers DIR] [--audio FILE.wav]
                                 [--no-shared] [--no-f64]
Needs:   pocket-tts==4.0.1, torch (the CPU build is enough), sentencepiece, tokenizers,
         soundfile, scipy, numpy, pyyaml.

No trained weights are involved. Every model gets seeded random weights whose scales keep
activations around 1, is saved in the key layout of the official files, is loaded back
through the public `TTSModel.load_model`, and is then driven through the package's own code
while hooks record tensors. Each recording is repeated in float64 (same noise, same inputs);
the largest difference is written next to each tensor in golden.json ("f64_dev").

`--names full:english_2m_2026-10` makes the same set for a configuration shipped with the
package (full size; the English SentencePiece model replaces its tokenizer).
"""

import argparse
import copy
import io
import json
import logging
import math
import os
import shutil
import struct
import warnings
import wave
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import safetensors.torch
import scipy.signal
import sentencepiece
import torch
import yaml

import pocket_tts.modules.rope as rope_module
from pocket_tts import TTSModel, export_model_state
from pocket_tts.data.audio import audio_read
from pocket_tts.data.audio_utils import convert_audio, end_on_pause
from pocket_tts.models.text_chunking import prepare_text_prompt, split_into_best_sentences
from pocket_tts.models.tts_model import stamp_state_names
from pocket_tts.modules.conv import pad_for_conv1d
from pocket_tts.modules.stateful_module import increment_steps, init_states
from pocket_tts.modules.text_conditioner import build_tokenizer
from pocket_tts.utils.config import CONFIGS_DIR, Config

HERE = Path(__file__).resolve().parent
FRAME = 1920  # samples per latent frame at 24 kHz and 12.5 Hz
SEED_E2E = 1234
TEMP = 0.3
ONE_CALL_TOLERANCE = 1e-5  # Mimi decoding of all latents at once against one per call

# --------------------------------------------------------------------------- random weights


def rng_for(seed, name):
    """One independent numpy generator per (seed, name): order of use never matters."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def random_tensor(name, shape, seed, layer_scale):
    """Values for the parameter called `name`; the scale depends on its role."""
    g = rng_for(seed, name)
    leaf = name.rsplit(".", 1)[-1]

    def normal(std, mean=0.0):
        return (mean + std * g.standard_normal(shape)).astype(np.float32)

    if leaf == "scale":  # LayerScale
        return g.uniform(*layer_scale, shape).astype(np.float32)
    if leaf == "emb_std":
        return g.uniform(0.6, 1.4, shape).astype(np.float32)
    if leaf == "emb_mean":
        return normal(0.3)
    if leaf in ("bos_emb", "bos_before_voice") or name.endswith("conditioner.embed.weight"):
        return normal(1.0)
    if leaf == "bias":
        return normal(0.05)
    if len(shape) == 1:  # norm gains (LayerNorm.weight, RMSNorm.alpha)
        return normal(0.1, 1.0)
    if "upsample" in name:  # depthwise transposed conv: two taps overlap
        return normal(1 / math.sqrt(2))
    if ".convtr." in name:
        return normal(1.2 / math.sqrt(2 * shape[0]))
    if len(shape) == 3:
        gain = 0.8
        if "downsample" in name or "output_proj" in name:
            gain = 1.0
        elif name.startswith("mimi.decoder.") and shape[0] == 1:
            gain = 0.08  # last conv: keeps the waveform well inside [-1, 1]
        elif ".block." not in name:
            gain = 1.2
        return normal(gain / math.sqrt(shape[1] * shape[2]))
    return normal(1 / math.sqrt(shape[1]))


def fill_parameters(model, seed, layer_scale):
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if not name.endswith(".freqs"):  # a constant, kept as computed by the package
                values = random_tensor(name, tuple(tensor.shape), seed, layer_scale)
                tensor.copy_(torch.from_numpy(values))


# --------------------------------------------------------------------------- configurations


def seanet(dimension, n_filters, kernel_size=7, n_residual_layers=1):
    return dict(dimension=dimension, channels=1, n_filters=n_filters,
                n_residual_layers=n_residual_layers, ratios=[6, 5, 4], kernel_size=kernel_size,
                residual_kernel_size=3, last_kernel_size=3, dilation_base=2,
                pad_mode="constant", compress=2)


def mimi_transformer(dim, heads, layers, context, ff, d_model=None):
    return dict(d_model=d_model or dim, num_heads=heads, num_layers=layers, layer_scale=0.01,
                context=context, dim_feedforward=ff, input_dimension=dim, output_dimensions=[dim])


def mimi(dim, n_filters, transformer, inner_dim, ldim=32, outer_dim=None, dec_seanet=None,
         dec_transformer=None, n_residual_layers=1):
    outer = outer_dim or dim
    result = dict(dtype="float32", sample_rate=24000, inner_dim=inner_dim, outer_dim=outer,
                  channels=1, frame_rate=12.5,
                  seanet=seanet(dim, n_filters, n_residual_layers=n_residual_layers),
                  transformer=transformer, quantizer=dict(dimension=ldim, output_dimension=outer))
    if dec_seanet:
        result["decoder_seanet"] = dec_seanet
    if dec_transformer:
        result["decoder_transformer"] = dec_transformer
    return result


def flow_lm(d_model, heads, layers, flow_dim, flow_depth, flow_type=None, hidden_scale=2,
            bos=True, n_bins=400, rank=None, z_dim=None, **transformer):
    flow = dict(depth=flow_depth, dim=flow_dim)
    if flow_type:
        flow["type"] = flow_type
    result = dict(insert_bos_before_voice=bos, dtype="float32", flow=flow,
                  transformer=dict(d_model=d_model, hidden_scale=hidden_scale, max_period=10000,
                                   num_heads=heads, num_layers=layers, **transformer),
                  lookup_table=dict(dim=d_model, n_bins=n_bins, tokenizer="sentencepiece",
                                    tokenizer_path="tokenizer.model"))
    if rank:
        result["lookup_table"]["rank"] = rank
    if z_dim:
        result["z_dim"] = z_dim
    return result


APOSTROPHES = {"\u2019": "'", "\u2018": "'"}
DASHES = {"\u2013": ",", "\u2014": ","}
QUOTES = {c: "" for c in "\"\u201c\u201d\u201e\u00ab\u00bb"}
BRACKETS = {c: "" for c in "()[]"}
GERMAN_REPLACE = {**QUOTES, **APOSTROPHES, **BRACKETS, **DASHES}

# tokenizer: "small" (400 pieces trained below), "small-json" (the same as a tokenizers json),
# or the stem of a 4000-piece .model file. latent frames: how many Mimi frames are recorded.
FIXTURES = {
    "lsd6": dict(
        index=1, tokenizer="small", language="english", mimi_frames=64, real_audio=True,
        layer_scale=(0.01, 0.1),
        config=dict(replace_characters=APOSTROPHES, default_temperature=TEMP,
                    flow_lm=flow_lm(64, 4, 6, 32, 3),
                    mimi=mimi(32, 4, mimi_transformer(32, 2, 2, 250, 64), inner_dim=32))),
    "lsd_2026_01": dict(
        index=2, tokenizer="english", language="english", mimi_frames=8, legacy_voice=True,
        config=dict(pad_with_spaces_for_short_inputs=True,
                    flow_lm=flow_lm(48, 4, 2, 40, 2, bos=False, n_bins=4000),
                    mimi=mimi(48, 4, mimi_transformer(48, 4, 2, 100, 96), inner_dim=48))),
    "flow_matching": dict(
        index=3, tokenizer="small-json", language="english", mimi_frames=8, steps=4,
        config=dict(replace_characters=APOSTROPHES,
                    flow_lm=flow_lm(64, 4, 3, 48, 2, "flow_matching"),
                    mimi=mimi(32, 4, mimi_transformer(32, 4, 2, 60, 64), inner_dim=32, ldim=16))),
    "drifting": dict(
        index=4, tokenizer="small", language="english", mimi_frames=12,
        config=dict(replace_characters={**APOSTROPHES, **DASHES}, default_eos_threshold=-1.0,
                    flow_lm=flow_lm(72, 6, 4, 44, 3, "drifting", hidden_scale=1, z_dim=36, rank=24,
                                    attn_dim=96, num_kv_heads=2),
                    mimi=mimi(32, 4, mimi_transformer(32, 4, 1, 250, 48, d_model=48), inner_dim=32,
                              outer_dim=24, n_residual_layers=2,
                              dec_seanet=seanet(24, 4, 3, n_residual_layers=2),
                              dec_transformer=mimi_transformer(24, 2, 3, 50, 56, d_model=40)))),
    "pointwise2m": dict(
        index=5, tokenizer="english", language="english", mimi_frames=64, max_len_run=True,
        config=dict(replace_characters={**APOSTROPHES, **DASHES}, default_eos_threshold=-1.0,
                    default_temperature=TEMP,
                    flow_lm=flow_lm(56, 3, 8, 24, 4, "pointwise", hidden_scale=1, n_bins=4000,
                                    rank=16, z_dim=28, attn_dim=96, num_kv_heads=1,
                                    dim_feedforward=44),
                    mimi=mimi(48, 4, mimi_transformer(48, 4, 2, 40, 80), inner_dim=32,
                              outer_dim=32, dec_seanet=seanet(32, 3, 3),
                              dec_transformer=mimi_transformer(32, 4, 4, 20, 44)))),
    "german": dict(
        index=6, tokenizer="german", language="german", mimi_frames=8, multi_chunk=True,
        config=dict(remove_semicolons=True, replace_characters=GERMAN_REPLACE,
                    capitalize_first_letter=False, model_recommended_frames_after_eos=5,
                    flow_lm=flow_lm(48, 4, 3, 32, 2, n_bins=4000),
                    mimi=mimi(40, 4, mimi_transformer(40, 4, 2, 30, 64), inner_dim=24))),
    "deep": dict(
        index=7, tokenizer="small", language="english", mimi_frames=8,
        config=dict(replace_characters=APOSTROPHES,
                    flow_lm=flow_lm(32, 2, 24, 24, 2),
                    mimi=mimi(32, 3, mimi_transformer(32, 2, 2, 250, 48), inner_dim=32, ldim=8))),
}


def full_size_spec(name):
    cfg = yaml.safe_load((CONFIGS_DIR / f"{name}.yaml").read_text(encoding="utf-8"))
    cfg.pop("weights_path_without_voice_cloning", None)
    table = cfg["flow_lm"]["lookup_table"]
    table.update(tokenizer="sentencepiece", tokenizer_path="tokenizer.model")
    return dict(index=100 + zlib.crc32(name.encode()) % 1000, tokenizer="english",
                language="english", mimi_frames=24, config=cfg)


# --------------------------------------------------------------------------- small tokenizer

CORPUS = """The old harbour wakes before the sun, and the gulls are already arguing.
She counted the coins twice, put them in the jar and closed the lid.
Nobody knew why the train had stopped between the two tunnels.
Please read the first page aloud, then pass the book to your neighbour.
A cold wind came down from the hills and rattled every window in the street.
They said it would rain on Thursday; it rained on Friday instead.
How many people can you fit into a small kitchen before someone complains?
The doctor's answer was short: rest, water, and a little patience.
I'd rather walk than wait for another bus that never comes!
When the music stopped, the whole room was quiet for a moment.
He had been writing the same letter for three weeks and it was still not finished.
Bring the blue cup, the green plate and the wooden spoon to the table.
This is a test of the speech model, it should be fast and clear.
Hello world, thank you for listening; we will be back after the break.
The quick brown fox jumps over the lazy dog while the farmer is sleeping.
Voices carry a long way over still water, so be careful what you say.
In winter the garden is grey, in spring it is full of yellow flowers.
What would you do with an extra hour every day, and would it be enough?
The engine turned over once, coughed, and then ran without any trouble.
Later that evening the children built a tower of boxes behind the house.
Das Wetter ist heute sehr schön, und wir gehen später in den großen Garten.
Können Sie mir bitte sagen, wie spät es ist? Ich glaube, es ist schon zehn Uhr.
Élan, café, naïve, façade: these words kept their accents for a long time.
Numbers such as 0, 1, 2, 3, 4, 5, 6, 7, 8 and 9 are spelled with digits.
Zebras, jackals, queens, vixens and yaks: every letter should appear somewhere.
Wait... is that the door? No. It is only the wind - again!"""


def train_small_tokenizer(path):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS.splitlines() * 4), model_writer=model, vocab_size=400,
        model_type="unigram", byte_fallback=True, character_coverage=1.0, num_threads=1,
        normalization_rule_name="identity", remove_extra_whitespaces=False,
        add_dummy_prefix=True, unk_id=0, bos_id=1, eos_id=2, pad_id=3, minloglevel=2)
    path.write_bytes(model.getvalue())


def sentencepiece_to_json(model_path, json_path, style="metaspace"):
    """The same vocabulary as a HuggingFace `tokenizers` file.

    "metaspace": Unigram + byte_fallback behind a Metaspace pre-tokenizer.
    "normalizer": the same model behind Prepend + Replace normalizers, which also reproduces
    SentencePiece on text that starts with spaces.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    sp = sentencepiece.SentencePieceProcessor(str(model_path))
    vocab = [(sp.id_to_piece(i), sp.get_score(i)) for i in range(sp.vocab_size())]
    tok = Tokenizer(models.Unigram(vocab, unk_id=sp.unk_id(), byte_fallback=True))
    if style == "metaspace":
        tok.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always",
                                                     split=False)
    else:
        tok.normalizer = normalizers.Sequence(
            [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tok.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(),
                                     decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tok.save(str(json_path))


# --------------------------------------------------------------------------- recording


def save_wav(path, samples, rate):
    """16-bit PCM; samples is float [T] or [T, channels] in [-1, 1)."""
    data = np.clip(np.round(np.asarray(samples) * 32768.0), -32768, 32767).astype("<i2")
    with wave.open(str(path), "wb") as f:
        f.setnchannels(1 if data.ndim == 1 else data.shape[1])
        f.setsampwidth(2)
        f.setframerate(rate)
        f.writeframes(data.tobytes())


def save_float_wav(path, samples, rate):
    """32-bit float WAV (format tag 3); written by hand because libsndfile adds a time stamp."""
    data = np.asarray(samples, dtype="<f4").tobytes()
    fmt = struct.pack("<HHIIHH", 3, 1, rate, rate * 4, 4, 32)
    body = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(data))
    Path(path).write_bytes(b"RIFF" + struct.pack("<I", len(body) + len(data)) + body + data)


def synthetic_voice(seed, rate, seconds, tail=0.15):
    """Sines with vibrato and tremolo plus noise; the last `tail` seconds are almost silent."""
    g = rng_for(seed, "voice")
    t = np.arange(int(round(rate * seconds))) / rate
    f0 = g.uniform(110, 220)
    x = np.zeros_like(t)
    for k in range(1, 9):
        vibrato = 1 + 0.01 * np.sin(2 * np.pi * 5 * t + g.uniform(0, 6))
        x += np.sin(2 * np.pi * f0 * k * t * vibrato + g.uniform(0, 6)) * g.uniform(0.3, 1) / k
    x = 0.12 * x * (0.6 + 0.4 * np.sin(2 * np.pi * 3.1 * t + g.uniform(0, 6)))
    x += 0.02 * g.standard_normal(t.shape)
    if tail:
        x[-int(tail * rate):] *= 1e-3
    return x.astype(np.float32)


@contextmanager
def tapped_noise(inject=None):
    """Record every sampler draw, or (inject) replace the draws by the given rows in order."""
    draws, queue = [], list(inject) if inject is not None else None
    original = torch.nn.init.normal_

    def tap(tensor, mean=0.0, std=1.0, generator=None):
        if queue is not None:
            with torch.no_grad():
                tensor.copy_(queue.pop(0).view_as(tensor))
        else:
            original(tensor, mean, std, generator)
        draws.append(tensor.detach().clone().float().view(-1))
        return tensor

    torch.nn.init.normal_ = tap
    try:
        yield draws
    finally:
        torch.nn.init.normal_ = original


class Taps:
    """Forward hooks on the FlowLM: conditioning vector of the flow net and EOS logit per call."""

    def __init__(self, tts):
        self.hidden, self.logits, self.layers = [], [], []
        self._last_was_eos = False
        lm = tts.flow_lm
        self.handles = [
            lm.out_eos.register_forward_hook(self._eos),
            *[layer.register_forward_hook(self._layer) for layer in lm.transformer.layers],
        ]

    def _eos(self, _module, args, output):
        self.hidden.append(args[0].detach().clone().reshape(-1))
        self.logits.append(output.detach().clone().reshape(-1)[0])

    def _layer(self, _module, _args, output):
        self.layers.append(output.detach()[0, -1].clone())

    def clear(self):
        self.hidden, self.logits, self.layers = [], [], []

    def close(self):
        for handle in self.handles:
            handle.remove()


def rope_f64(q, k, offset=0, max_period=10_000):
    """Double-precision rotation used only for the float64 cross-check."""
    d = q.shape[-1]
    inv = torch.exp(torch.arange(d // 2, dtype=torch.float64) * (-math.log(max_period) * 2 / d))
    pos = torch.arange(q.shape[1], dtype=torch.float64) + offset
    angle = (pos[:, None] * inv)[None, :, None, :]

    def rotate(x):
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack([a * angle.cos() - b * angle.sin(),
                            a * angle.sin() + b * angle.cos()], dim=-1).flatten(-2)

    return rotate(q), rotate(k)


@contextmanager
def float64_mode(enabled):
    if not enabled:
        yield
        return
    original = rope_module.apply_rope
    rope_module.apply_rope = rope_f64
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
        rope_module.apply_rope = original


def to_float64(tts):
    tts = copy.deepcopy(tts).double()
    stamp_state_names(tts)
    tts.flow_lm.dtype = torch.float64
    lm = tts.flow_lm
    # The package casts the backbone output to float32 before the heads; undo it here.
    lm.out_eos.register_forward_pre_hook(lambda _m, a: tuple(x.double() for x in a))
    lm.flow_net.register_forward_pre_hook(lambda _m, a: tuple(x.double() for x in a))
    return tts


def speaker_conditioning(tts, wav):
    """wav [1, T] -> (latents [F, inner], conditioning [F, d]); same maths as TTSModel._encode_audio."""
    latents = tts.mimi.encode_to_latent(wav.unsqueeze(0).to(next(tts.parameters()).dtype))
    return latents[0], torch.nn.functional.linear(latents, tts.flow_lm.speaker_proj_weight)[0]


def clone_state(state):
    return {m: {k: v.clone() for k, v in s.items()} for m, s in state.items()}


def cast_state(state, dtype):
    return {m: {k: (v.to(dtype) if v.is_floating_point() else v.clone()) for k, v in s.items()}
            for m, s in state.items()}


# --------------------------------------------------------------------------- one model's goldens


def record_model(tts, spec, ctx):
    """All tensors of one fixture. Runs unchanged on the float32 and the float64 copy."""
    out, info = {}, {}
    f64 = next(tts.parameters()).dtype == torch.float64
    lm, dtype = tts.flow_lm, next(tts.parameters()).dtype
    ldim, layers = lm.ldim, len(lm.transformer.layers)
    first, last = (f"transformer.layers.{i}.self_attn" for i in (0, layers - 1))
    taps = Taps(tts)
    n_ar = ctx["n_ar"]

    # --- text
    ids = lm.conditioner.tokenizer(ctx["prepared"])
    out["text.emb"] = lm.conditioner(ids)[0]

    # --- voice prompt: wav -> end_on_pause -> Mimi encoder -> speaker projection -> KV state
    wav, rate = audio_read(ctx["wav"])
    assert rate == 24000
    paused = end_on_pause(wav, rate)
    out["voice.wave_paused"] = paused[0]
    x = pad_for_conv1d(paused[None].to(dtype), FRAME, FRAME)
    emb = tts.mimi.encoder(x, model_state=None)
    out["voice.enc.seanet"] = emb[0]
    (emb,) = tts.mimi.encoder_transformer(emb, model_state=None)
    out["voice.enc.transformer"] = emb[0]
    latents, cond = speaker_conditioning(tts, paused)
    out["voice.latents"], out["voice.cond"] = latents, cond
    if f64:
        prompt = cond[None]
        if lm.insert_bos_before_voice:
            prompt = torch.cat([lm.bos_before_voice, prompt], dim=1)
        voice = init_states(lm, batch_size=1, sequence_length=prompt.shape[1])
        tts._run_flow_lm_and_increment_step(model_state=voice, audio_conditioning=prompt)
    else:
        voice = tts.get_state_for_audio_prompt(ctx["wav"])  # the public path
        ctx["voice_state"] = clone_state(voice)
    for key, module in (("first", first), ("last", last)):
        out[f"voice.kv.{key}"] = voice[module]["cache"][:, 0]
    info["voice"] = dict(positions=int(voice[first]["offset"][0]), samples_in=wav.shape[-1],
                         samples_after_end_on_pause=paused.shape[-1], latent_frames=len(latents))

    # --- text prefill
    taps.clear()
    state = clone_state(voice)
    tts._expand_kv_cache(state, sequence_length=tts._flow_lm_current_end(state) + ids.shape[1] + n_ar)
    noise = ctx["noise"]
    with tapped_noise(inject=[torch.zeros(ldim)]):
        tts._run_flow_lm_and_increment_step(model_state=state, text_tokens=ids)
    end = tts._flow_lm_current_end(state)
    out["prefill.kv.first"] = state[first]["cache"][:, 0, :end]
    out["prefill.kv.last"] = state[last]["cache"][:, 0, :end]
    out["prefill.hidden"], out["prefill.eos_logit"] = taps.hidden[-1], taps.logits[-1][None]
    info["prefill"] = dict(ids=ids[0].tolist(), end=end)
    prefilled = state

    # --- autoregressive steps: teacher-forced, then free-running (1, 2, 4 sampler steps)
    def run(teacher, steps):
        st = clone_state(prefilled)
        taps.clear()
        tts.sampler_decode_steps = steps
        current = torch.full((1, 1, ldim), float("nan"), dtype=dtype)
        result = []
        with tapped_noise(inject=noise):
            for i in range(n_ar):
                nxt, _ = tts._run_flow_lm_and_increment_step(model_state=st,
                                                             backbone_input_latents=current)
                result.append(nxt[0, 0])
                current = teacher[i].view(1, 1, -1).to(dtype) if teacher is not None else nxt
        tts.sampler_decode_steps = ctx["steps"]
        return torch.stack(result), torch.stack(taps.hidden), torch.stack(taps.logits)

    for label, teacher in (("tf", ctx["teacher"]), ("free", None)):
        latent, hidden, logits = run(teacher, ctx["steps"])
        out[f"ar.{label}.latent"], out[f"ar.{label}.hidden"] = latent, hidden
        out[f"ar.{label}.eos_logit"] = logits
        if label == "tf":
            out["ar.tf.layers_step0"] = torch.stack(taps.layers[:layers])
            c0 = hidden[0]
    if lm.flow_type in ("lsd", "flow_matching"):
        for steps in (1, 2, 4):
            if steps != ctx["steps"]:
                out[f"ar.free_n{steps}.latent"] = run(None, steps)[0]

    # --- flow head alone, on the conditioning vector of step 0
    times = {"lsd": (0.25, 0.5), "flow_matching": (0.25,)}.get(lm.flow_type, ())
    ts = [torch.full((1, 1), t, dtype=dtype) for t in times]
    x0 = noise[0].view(1, -1).to(dtype)
    out["flow.v"] = lm.flow_net(c0[None].to(dtype), *ts, x0)[0]
    for j, (t, embedder) in enumerate(zip(ts, lm.flow_net.time_embed)):
        out[f"flow.time_embed.{j}"] = embedder(t)[0]
    info["flow"] = dict(type=lm.flow_type, times=times)

    # --- Mimi decoder, one latent per call; debugging tensors for the first two frames
    raw = ctx["mimi_latents"].to(dtype)
    n = len(raw)
    stride = int(tts.mimi.encoder_frame_rate / tts.mimi.frame_rate)
    scaled = (raw * lm.emb_std + lm.emb_mean)[None]
    dbg, handles = {}, []

    def grab(name):
        def hook(_m, _a, output):
            tensor = output[0] if isinstance(output, list) else output
            dbg[name] = tensor.detach()[0].clone()
        return hook

    handles.append(tts.mimi.quantizer.register_forward_hook(grab("quantizer")))
    handles.append(tts.mimi.upsample.register_forward_hook(grab("upsample")))
    handles.append(tts.mimi.decoder_transformer.register_forward_hook(grab("transformer")))
    for i, module in enumerate(tts.mimi.decoder.model):
        handles.append(module.register_forward_hook(grab(f"seanet.{i}")))
    mimi_state = init_states(tts.mimi, batch_size=1, sequence_length=n * stride)
    frames = []
    for i in range(n):
        frames.append(tts.mimi.decode_from_latent(scaled[:, i : i + 1], mimi_state)[0, 0].clone())
        increment_steps(tts.mimi, mimi_state, increment=stride)
        if i < 2 and not spec.get("full"):
            out.update({f"mimi.dbg.f{i}.{k}": v for k, v in dbg.items()})
    for handle in handles:
        handle.remove()
    out["mimi.audio"] = torch.cat(frames)
    whole_state = init_states(tts.mimi, batch_size=1, sequence_length=n * stride)
    whole = tts.mimi.decode_from_latent(scaled, whole_state)[0, 0]
    info["mimi"] = dict(frames=n, steps_per_frame=stride, one_call_vs_per_frame_max_abs=float(
        (whole - out["mimi.audio"]).abs().max()))
    assert info["mimi"]["one_call_vs_per_frame_max_abs"] < ONE_CALL_TOLERANCE

    # --- a real recording through the voice path
    if spec.get("real_audio"):
        wav, rate = audio_read(ctx["real_wav"])
        wav24 = convert_audio(wav, rate, 24000, 1)
        paused = end_on_pause(wav24, 24000)
        latents, cond = speaker_conditioning(tts, paused)
        out["real.latents"], out["real.cond"] = latents, cond
        if not f64:
            out["real.wave24k"] = wav24[0]
        info["real"] = dict(file=ctx["real_wav"].name, rate=rate, samples_in=wav.shape[-1], samples_24k=wav24.shape[-1],
                            samples_after_end_on_pause=paused.shape[-1])
    taps.close()

    # --- end to end through the public API, with torch's own random numbers
    info["e2e"] = {}
    for run_name, opts in ctx["e2e"].items():
        tensors, meta = run_e2e(tts, cast_state(ctx["voice_state"], dtype), ctx, f64=f64, **opts)
        out.update({f"e2e.{run_name}.{k}": v for k, v in tensors.items()})
        info["e2e"][run_name] = {**opts, **meta}
    return out, info


def run_e2e(tts, voice, ctx, text, temp, f64=False, eos_threshold=None, max_tokens=50,
            frames_after_eos=None, keep_frames=None, voice_from_wav=False, audio=True):
    saved = tts.temp, tts.eos_threshold, tts.max_decoder_frames_per_call
    tts.temp = temp
    if eos_threshold is not None:
        tts.eos_threshold = eos_threshold
    tts.max_decoder_frames_per_call = 1
    taps, steps = Taps(tts), []
    original = tts._run_flow_lm_and_increment_step

    def wrapped(**kwargs):
        result = original(**kwargs)
        kind = ("text" if kwargs.get("text_tokens") is not None else
                "voice" if kwargs.get("audio_conditioning") is not None else "step")
        steps.append((kind, result[0][0, 0].clone(), bool(result[1].item())))
        return result

    tts._run_flow_lm_and_increment_step = wrapped
    torch.manual_seed(SEED_E2E)
    try:
        with tapped_noise() as draws:
            if voice_from_wav and f64:  # only the random draw of the voice prefill
                torch.nn.init.normal_(torch.empty(1, tts.flow_lm.ldim, dtype=torch.float32))
            elif voice_from_wav:
                voice = tts.get_state_for_audio_prompt(ctx["wav"])
            chunks = list(tts.generate_audio_stream(voice, text, max_tokens=max_tokens,
                                                    frames_after_eos=frames_after_eos))
    finally:
        del tts._run_flow_lm_and_increment_step
        threshold = tts.eos_threshold
        tts.temp, tts.eos_threshold, tts.max_decoder_frames_per_call = saved
        taps.close()
    samples = torch.cat(chunks)
    logits = torch.stack([t.float() for t in taps.logits])
    kinds = [s[0] for s in steps]
    step_logits = torch.stack([v for v, k in zip(logits, kinds) if k == "step"])
    meta = dict(samples=samples.numel(), frames=samples.numel() // FRAME,
                calls="".join({"text": "T", "voice": "V", "step": "s"}[k] for k in kinds),
                eos_threshold_used=threshold,
                min_margin_to_threshold=float((step_logits - threshold).abs().min()),
                rms=float(samples.square().mean().sqrt()), peak=float(samples.abs().max()))
    limit = keep_frames or len(steps) + 1
    kept = samples[: limit * FRAME] if audio else samples[:0]
    # draws: every sampler draw in order, the discarded ones of the prefills included;
    # latents and eos_logit: generation steps only (the last step of a chunk is not decoded).
    latents = torch.stack([s[1] for s in steps if s[0] == "step"])
    tensors = dict(draws=torch.stack(draws)[: limit + 3], latents=latents[: limit + 2],
                   eos_logit=step_logits)
    if audio:
        tensors["audio"] = kept
    return tensors, meta


def calibrate_eos(tts, voice, ctx, text, threshold):
    """Shift the EOS bias so that the default threshold is first crossed, with a good margin,
    somewhere between steps 9 and 20 (random weights would stop anywhere)."""
    tensors, meta = run_e2e(tts, voice, ctx, text, TEMP, eos_threshold=1e9)
    logits = tensors["eos_logit"].tolist()
    best = max(range(9, min(21, len(logits))), key=lambda k: logits[k] - max(logits[6:k]))
    middle = (logits[best] + max(logits[6:best])) / 2
    with torch.no_grad():
        tts.flow_lm.out_eos.bias += threshold - middle
    return best


def make_fixture(name, out_root, args, texts):
    spec = full_size_spec(name[5:]) if name.startswith("full:") else FIXTURES[name]
    spec["full"] = name.startswith("full:")
    folder = out_root / name.replace("full:", "full_")
    folder.mkdir(parents=True, exist_ok=True)
    seed = args.seed_base + 1000 * spec["index"] + 17
    cwd = Path.cwd()
    os.chdir(folder)  # the package resolves relative paths in a config against the working dir
    try:
        # tokenizer
        config = copy.deepcopy(spec["config"])
        table = config["flow_lm"]["lookup_table"]
        if spec["tokenizer"].startswith("small"):
            train_small_tokenizer(Path("tokenizer.model"))
        else:
            shutil.copyfile(Path(args.tokenizers) / f"{spec['tokenizer']}.model", "tokenizer.model")
        if spec["tokenizer"] == "small-json":
            sentencepiece_to_json("tokenizer.model", "tokenizer.json")
            table.update(tokenizer="tokenizers", tokenizer_path="tokenizer.json")
        config["weights_path"] = "model.safetensors"
        Path("config.yaml").write_text(
            "# Seeded random weights, made by make_fixtures.py. Paths are relative to this folder.\n"
            + yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")
        # The same for tests that read no YAML.
        Path("config.json").write_text(json.dumps(config, ensure_ascii=False, separators=(",", ":")) + "\n",
                                       encoding="utf-8")

        # weights
        bare = copy.deepcopy(config)
        bare["weights_path"] = None
        tts = TTSModel._from_pydantic_config_with_weights(
            Config(**bare), temp=TEMP, sampler_decode_steps=spec.get("steps", 1),
            noise_clamp=None, eos_threshold=Config(**bare).default_eos_threshold)
        fill_parameters(tts, seed, spec.get("layer_scale", (0.05, 0.3)))

        # inputs
        lang = texts["e2e"][spec["language"]]
        save_wav("voice.wav", synthetic_voice(seed, 24000, 1.3), 24000)
        ldim, g = tts.flow_lm.ldim, rng_for(seed, "inputs")
        n_ar = 14
        draw = lambda *shape: torch.from_numpy(g.standard_normal(shape).astype(np.float32))
        prepared, _ = prepare_text_prompt(
            lang[0], tts.pad_with_spaces_for_short_inputs, tts.remove_semicolons,
            tts.append_terminal_punctuation, tts.capitalize_first_letter, tts.replace_characters)
        ctx = dict(wav=Path("voice.wav"), prepared=prepared, n_ar=n_ar,
                   noise=draw(n_ar, ldim) * math.sqrt(TEMP), teacher=draw(n_ar, ldim),
                   mimi_latents=draw(spec["mimi_frames"], ldim), steps=spec.get("steps", 1),
                   real_wav=Path(args.audio))
        tts.eval()
        voice = tts.get_state_for_audio_prompt(ctx["wav"])
        eos_step = calibrate_eos(tts, voice, ctx, lang[0], tts.eos_threshold)
        safetensors.torch.save_file({k: v.contiguous() for k, v in tts.state_dict().items()},
                                    "model.safetensors")

        # reload through the public entry point, then record
        tts = TTSModel.load_model(config="config.yaml", sampler_decode_steps=ctx["steps"], temp=TEMP)
        voice = tts.get_state_for_audio_prompt(ctx["wav"])
        export_model_state(voice, "voice.safetensors")
        ctx["e2e"] = {"t03": dict(text=lang[0], temp=TEMP),
                      # without noise random weights run on for long and drift apart: stop early
                      "t00": dict(text=lang[0], temp=0.0, eos_threshold=-1e9, frames_after_eos=2)}
        if name == "lsd6":
            ctx["e2e"]["wav_voice"] = dict(text=lang[1], temp=TEMP, keep_frames=4, voice_from_wav=True)
            ctx["e2e"]["after_eos_0"] = dict(text=lang[0], temp=TEMP, frames_after_eos=0, audio=False,
                                             keep_frames=2)
            ctx["e2e"]["early_eos"] = dict(text=lang[0], temp=TEMP, eos_threshold=-1e9, audio=False,
                                           keep_frames=2)
        if spec.get("multi_chunk"):
            ctx["e2e"]["chunks"] = dict(text=lang[2], temp=TEMP, max_tokens=24, keep_frames=None)
        if spec.get("max_len_run"):
            ctx["e2e"]["max_len"] = dict(text=lang[1], temp=TEMP, eos_threshold=1e9, audio=False,
                                         keep_frames=4)
        golden, info = record_model(tts, spec, ctx)
        deviation = {}
        if not args.no_f64:
            with float64_mode(True):
                other, _ = record_model(to_float64(tts), spec, dict(ctx))
            for key, tensor in golden.items():
                if key in other and "draws" not in key and other[key].shape == tensor.shape:
                    a, b = tensor.double(), other[key].double()
                    ok = ~torch.isnan(a)
                    deviation[key] = float((a - b)[ok].abs().max()) if ok.any() else 0.0
                elif key in other and other[key].shape != tensor.shape:
                    deviation[key] = None  # stopped at another frame
        # one thread against two, and one frame per Mimi call against the queue-draining default
        torch.set_num_threads(2)
        threads, _ = record_model(tts, spec, dict(ctx))
        torch.set_num_threads(1)
        info["two_threads_max_abs"] = max(
            float((golden[k] - threads[k]).nan_to_num().abs().max())
            for k in golden if golden[k].numel() and golden[k].shape == threads[k].shape)
        torch.manual_seed(SEED_E2E)
        drained = tts.generate_audio(clone_state(voice), lang[0])
        kept = golden["e2e.t03.audio"]
        # how many latents each call drains depends on thread timing, so no number is stored
        info["drained_agrees_within_1e-5"] = bool((drained[: len(kept)] - kept).abs().max() < 1e-5)
        if spec.get("legacy_voice"):
            info["legacy_voice"] = legacy_voice(tts, voice, lang[0], golden["e2e.t03.audio"])

        golden["ar.noise"], golden["ar.teacher"] = ctx["noise"], ctx["teacher"]
        golden["mimi.latents"] = ctx["mimi_latents"]
        golden = {k: v.detach().float().contiguous().clone() for k, v in golden.items()}
        safetensors.torch.save_file(golden, "golden.safetensors")
        for path in Path(".").iterdir():
            path.chmod(0o644)
        tok = tts.flow_lm.conditioner.tokenizer
        tokens = {t: tok.encode(t) for t in [prepared, *lang, "Hi.", "3.14", " ", "a  b"]}
        plan = {}
        for text in lang:
            plan[text] = plan_text(tts, text, 50)
        meta = dict(
            name=name, seed=seed, package="pocket-tts 4.0.1", torch=torch.__version__.split("+")[0],
            sampler_decode_steps=ctx["steps"], temperature=TEMP, e2e_seed=SEED_E2E,
            eos_calibrated_step=eos_step, ldim=ldim, parameters=sum(
                p.numel() for p in tts.parameters()),
            prepared=prepared, tokens=tokens, plan=plan, **info,
            tensors={k: dict(shape=list(v.shape), rms=float(v.nan_to_num().square().mean().sqrt())
                             if v.numel() else 0.0, f64_dev=deviation.get(k))
                     for k, v in golden.items()})
        write_json("golden.json", meta)
        report(name, meta, folder)
    finally:
        os.chdir(cwd)


def legacy_voice(tts, voice, text, expected):
    """The older export: spare NaN capacity, no `pad`, and `current_end` whose *length* is the offset."""
    old = {}
    for module, st in voice.items():
        n = int(st["offset"][0])
        spare = torch.full_like(st["cache"][:, :, :1], float("nan")).repeat(1, 1, 7, 1, 1)
        old[f"{module}/cache"] = torch.cat([st["cache"][:, :, :n], spare], dim=2).contiguous()
        old[f"{module}/current_end"] = torch.zeros(n)
    safetensors.torch.save_file(old, "voice_legacy.safetensors")
    state = tts.get_state_for_audio_prompt("voice_legacy.safetensors")
    torch.manual_seed(SEED_E2E)
    tts.max_decoder_frames_per_call = 1
    audio = tts.generate_audio(state, text)
    tts.max_decoder_frames_per_call = 0
    return dict(same_as="e2e.t03.audio", max_abs=float((audio - expected).abs().max()))


def plan_text(tts, text, max_tokens):
    """What generate_audio_stream does with a text before any tensor is computed."""
    flags = (tts.pad_with_spaces_for_short_inputs, tts.remove_semicolons,
             tts.append_terminal_punctuation, tts.capitalize_first_letter, tts.replace_characters)
    return plan_with(tts.flow_lm.conditioner.tokenizer, text, max_tokens, flags,
                     tts.model_recommended_frames_after_eos)


def plan_with(tokenizer, text, max_tokens, flags, recommended=None):
    rows = []
    for chunk in split_into_best_sentences(tokenizer, text, max_tokens, *flags):
        prompt, guess = prepare_text_prompt(chunk, *flags)
        ids = tokenizer.encode(prompt)
        rows.append(dict(chunk=chunk, prompt=prompt, ids=ids,
                         frames_after_eos=recommended if recommended is not None else guess + 2,
                         max_gen_len=math.ceil((len(ids) / 3.0 + 2.0) * 12.5)))
    return rows


def write_json(path, data):
    Path(path).write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def report(name, meta, folder):
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{name}: {meta['parameters']} parameters, {size / 1e6:.2f} MB, 2 threads "
          f"{meta['two_threads_max_abs']:.1e}, drained {meta['drained_agrees_within_1e-5']}")
    for run, m in meta["e2e"].items():
        dev = meta["tensors"].get(f"e2e.{run}.audio", {}).get("f64_dev")
        print(f"   e2e {run}: {m['frames']} frames, calls {m['calls'][:4]}..x{len(m['calls'])}, margin "
              f"{m['min_margin_to_threshold']:.3f}, rms {m['rms']:.3f}, peak {m['peak']:.2f}, f64 {dev}")
    worst = sorted(((v["f64_dev"], k) for k, v in meta["tensors"].items()
                    if v["f64_dev"] is not None), reverse=True)[:4]
    print("   largest f64 deviations:", ", ".join(f"{k} {d:.1e}" for d, k in worst))


# --------------------------------------------------------------------------- shared goldens

# name: (tokenizer, pad spaces, remove ;, append punctuation, capitalise, replacements, frames after EOS)
PROFILES = {
    "english_2026-10": ("english", False, False, True, True, APOSTROPHES, None),
    "english_2026-01": ("english", True, False, True, True, APOSTROPHES, None),
    "english_2m_2026-10": ("english", False, False, True, True, {**DASHES, **APOSTROPHES}, None),
    "german": ("german", False, True, True, True, GERMAN_REPLACE, None),
    "french": ("french_24l", False, True, True, True,
               {**QUOTES, **APOSTROPHES, **BRACKETS, **DASHES, ":": ","}, None),
    "spanish": ("spanish", False, False, True, True,
                {**QUOTES, **APOSTROPHES, **BRACKETS, **DASHES, "\u00a1": "", "\u00bf": ""}, None),
    "plain": ("english", False, True, False, False, {}, 5),
    "small": ("small", True, False, True, True, {}, None),
}


def make_text_golden(out, args, texts):
    folder = out / "text"
    folder.mkdir(parents=True, exist_ok=True)
    train_small_tokenizer(folder / "small.model")
    tokenizers_by_name, result = {}, dict(max_tokens=[50, 15], profiles={}, cases=[])
    for name, (tok, pad, semi, punct, caps, repl, after) in PROFILES.items():
        path = folder / "small.model" if tok == "small" else Path(args.tokenizers) / f"{tok}.model"
        if tok not in tokenizers_by_name:
            n_bins = 400 if tok == "small" else 4000
            tokenizers_by_name[tok] = build_tokenizer(n_bins, str(path))
        result["profiles"][name] = dict(
            tokenizer=f"{tok}.model", pad_with_spaces_for_short_inputs=pad, remove_semicolons=semi,
            append_terminal_punctuation=punct, capitalize_first_letter=caps,
            replace_characters=repl, model_recommended_frames_after_eos=after)
    for text in texts["cases"]:
        case = dict(text=text, ids={t: k.encode(text) for t, k in tokenizers_by_name.items()},
                    results={})
        for name, (tok, pad, semi, punct, caps, repl, after) in PROFILES.items():
            flags = (pad, semi, punct, caps, repl)
            entry = {}
            try:
                prepared, guess = prepare_text_prompt(text, *flags)
                entry.update(prepared=prepared, guess=guess)
                for limit in result["max_tokens"]:
                    rows = plan_with(tokenizers_by_name[tok], text, limit, flags, after)
                    if limit != result["max_tokens"][0] and [r["chunk"] for r in rows] == [
                            r["chunk"] for r in entry["plan"]]:
                        continue  # same chunks as with the default limit
                    if limit == result["max_tokens"][0]:
                        entry["plan"] = rows
                    else:
                        entry[f"chunks_{limit}"] = [r["chunk"] for r in rows]
            except Exception as error:  # noqa: BLE001 -- the error is the golden
                entry["error"] = f"{type(error).__name__}: {error}"
            case["results"][name] = entry
        result["cases"].append(case)
    (folder / "text_golden.json").write_text(
        json.dumps(result, ensure_ascii=False, separators=(",", ":")).replace(
            '{"text":', '\n{"text":') + "\n", encoding="utf-8")

    # the json tokenizer: ids and decoded text, next to SentencePiece's
    sentencepiece_to_json(folder / "small.model", folder / "small.tokenizer.json")
    sentencepiece_to_json(folder / "small.model", folder / "small.tokenizer_normalizer.json",
                          "normalizer")
    sp = tokenizers_by_name["small"]
    variants = {"metaspace": build_tokenizer(400, str(folder / "small.tokenizer.json")),
                "normalizer": build_tokenizer(400, str(folder / "small.tokenizer_normalizer.json"))}
    rows = []
    for text in texts["cases"]:
        row = dict(text=text, sentencepiece=sp.encode(text), decoded=sp.decode(sp.encode(text)))
        for label, tok in variants.items():
            ids = tok.encode(text)
            if ids != row["sentencepiece"]:
                row[label] = ids
            if tok.decode(ids) != row["decoded"]:
                row[f"{label}_decoded"] = tok.decode(ids)
        rows.append(row)
    write_json(folder / "json_tokenizer_golden.json", dict(
        note="metaspace / normalizer appear only where they differ from sentencepiece", cases=rows))
    differ = {v: sum(v in r for r in rows) for v in variants}
    print("text:", len(result["cases"]), "cases; json tokenizer differs from sentencepiece on", differ)
    print("      prepared errors:", sum("error" in r["results"]["english_2026-10"]
                                        for r in result["cases"]))


def make_rng_golden(out, seeds):
    shapes = [(1, 32), (1, 16), (1, 8), (1, 64)]
    result = dict(note="torch.manual_seed(seed), then one tensor per shape in order, float32, CPU",
                  torch=torch.__version__.split("+")[0], shapes=shapes, runs=[])
    draws = [("normal", 0.3, None), ("normal", 1.0, None), ("normal", 0.0, None),
             ("trunc_normal", 0.3, 1.0), ("trunc_normal", 0.3, 0.1)]
    for seed in seeds:
        for kind, temp, clamp in draws:
            torch.manual_seed(seed)
            tensors = []
            for shape in shapes:
                x = torch.empty(shape)
                try:
                    if kind == "normal":
                        torch.nn.init.normal_(x, mean=0.0, std=temp**0.5)
                    else:
                        torch.nn.init.trunc_normal_(x, mean=0.0, std=temp**0.5, a=-clamp, b=clamp)
                    tensors.append([float(v) for v in x.view(-1)])
                except Exception as error:  # noqa: BLE001
                    tensors.append(f"{type(error).__name__}: {error}")
            result["runs"].append(dict(seed=seed, kind=kind, temp=temp, clamp=clamp, values=tensors))
        torch.manual_seed(seed)
        result["runs"].append(dict(seed=seed, kind="uniform_float32", values=[
            float(v) for v in torch.empty(16).uniform_()]))
    try:
        torch.nn.init.trunc_normal_(torch.empty(1, 32), mean=0.0, std=0.0, a=-1.0, b=1.0)
        result["temp0_with_clamp"] = "works"
    except Exception as error:  # noqa: BLE001
        result["temp0_with_clamp"] = f"{type(error).__name__}: {error}"
    (out / "rng_golden.json").write_text(
        json.dumps(result, separators=(",", ":")).replace('{"seed"', '\n{"seed"') + "\n")
    print("rng: temperature 0 with a clamp ->", result["temp0_with_clamp"])


def make_audio_golden(out, args):
    import soundfile

    folder = out / "audio"
    folder.mkdir(parents=True, exist_ok=True)
    golden, info = {}, {}
    seed = args.seed_base + 5
    for label, rate, channels in (("mono8000", 8000, 1), ("mono11025", 11025, 1), ("mono16000", 16000, 1),
                                  ("mono22050", 22050, 1), ("mono24000", 24000, 1),
                                  ("stereo44100", 44100, 2), ("mono48000", 48000, 1)):
        x = synthetic_voice(seed, rate, 0.23, tail=0)
        if channels == 2:
            x = np.stack([x, 0.5 * synthetic_voice(seed + 1, rate, 0.23, tail=0)], axis=1)
        save_wav(folder / f"{label}.wav", x, rate)
    x = synthetic_voice(seed + 2, 24000, 0.05, tail=0)
    soundfile.write(folder / "pcm24.wav", x, 24000, subtype="PCM_24")
    save_float_wav(folder / "float32.wav", x, 24000)
    soundfile.write(folder / "pcm8.wav", x, 24000, subtype="PCM_U8")
    soundfile.write(folder / "stereo.flac", np.stack([x, -0.25 * x], axis=1), 44100, subtype="PCM_16")
    for path in sorted(folder.glob("*.*")):
        if path.suffix not in (".wav", ".flac"):
            continue
        try:
            wav, rate = audio_read(path)
        except Exception as error:  # noqa: BLE001 -- float WAV: Python's wave module refuses it
            info[path.name] = f"{type(error).__name__}: {error}"
            continue
        converted = convert_audio(wav, rate, 24000, 1)
        golden[f"{path.name}.read"], golden[f"{path.name}.24k"] = wav[0], converted[0]
        up, down = 24000 // math.gcd(24000, rate), rate // math.gcd(24000, rate)
        info[path.name] = dict(rate=rate, samples=wav.shape[-1], up=up, down=down,
                               samples_24k=converted.shape[-1])
    half = 10 * 147
    golden["taps.80_147"] = torch.from_numpy(
        80 * scipy.signal.firwin(2 * half + 1, 1 / 147, window=("kaiser", 5.0)))
    base = torch.from_numpy(synthetic_voice(seed + 3, 24000, 0.4, tail=0))
    quiet = base.clone(); quiet[-3600:] *= 0.001
    edge = base.clone(); edge[-1000:] *= 10 ** (-34.0 / 20)
    cases = {"loud_end": base, "silent_tail": quiet, "tail_near_floor": edge, "zeros": base[:3000] * 0,
             "ragged": base[:5003], "shorter_than_20ms": base[:479], "one_frame": base[:480],
             "loud_then_nothing": torch.cat([base[:700], torch.zeros(6000)])}
    for label, x in cases.items():
        y = end_on_pause(x[None], 24000)[0]
        golden[f"pause.{label}.in"], golden[f"pause.{label}.out"] = x, y
        info[f"pause.{label}"] = dict(samples_in=x.numel(), samples_out=y.numel())
    stereo = torch.from_numpy(np.zeros((2, 100), np.float32))
    try:
        convert_audio(stereo, 24000, 24000, 1)
    except AssertionError:
        info["convert_audio(stereo, to_channels=1)"] = "AssertionError: it never downmixes"
    safetensors.torch.save_file({k: v.contiguous().clone() for k, v in golden.items()},
                                folder / "audio_golden.safetensors")
    (folder / "audio_golden.safetensors").chmod(0o644)
    write_json(folder / "audio_golden.json", info)
    print("audio:", {k: v.get("samples_24k", v.get("samples_out")) for k, v in info.items()
                     if isinstance(v, dict)})


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", required=True)
    p.add_argument("--names", nargs="*", help="fixtures to make (default: all)")
    p.add_argument("--seed-base", type=int, default=0)
    p.add_argument("--texts", default=str(HERE / "texts.json"))
    p.add_argument("--tokenizers", default=str(HERE.parent / "golden" / "tokenizers"))
    p.add_argument("--audio", default=str(HERE.parent / "golden" / "audio" / "LJ001-0008.wav"))
    p.add_argument("--no-shared", action="store_true", help="skip the text, rng and audio goldens")
    p.add_argument("--no-f64", action="store_true", help="skip the float64 cross-check")
    args = p.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    out = Path(args.out).resolve()
    args.tokenizers, args.audio = (str(Path(x).resolve()) for x in (args.tokenizers, args.audio))
    out.mkdir(parents=True, exist_ok=True)
    texts = json.loads(Path(args.texts).read_text(encoding="utf-8"))
    if not args.no_shared:
        make_text_golden(out, args, texts)
        make_rng_golden(out, [0, 1, 42, SEED_E2E] + [args.seed_base + 3] * bool(args.seed_base))
        make_audio_golden(out, args)
    with torch.no_grad():
        for name in args.names if args.names is not None else list(FIXTURES):
            make_fixture(name, out, args, texts)


if __name__ == "__main__":
    main()
