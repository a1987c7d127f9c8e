"""Full-size packs with seeded random weights for the benchmark, and what every host speaks with them.

Usage:   python make_packs.py --out DIR --starter FOLDER [--packs 100m 18m 7m 2m starter]
Needs:   pocket-tts==4.0.1, torch.

Each pack becomes DIR/NAME/ with the reference's files (config.yaml, model.safetensors, tokenizer.model,
voice.safetensors) and bench.json: the texts, their tokens and the number of frames that they give when no end is ever
found. Weights are those of tests/reference/make_fixtures.py; voices have exactly 125 positions (10 s of sound). The
starter voice is copied with its own voice.
"""

import argparse
import copy
import json
import math
import os
import shutil
import sys
from pathlib import Path

import safetensors.torch
import torch
import yaml

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "reference"))

import make_fixtures as fixtures  # noqa: E402
from pocket_tts import TTSModel, export_model_state  # noqa: E402
from pocket_tts.models.text_chunking import prepare_text_prompt  # noqa: E402
from pocket_tts.modules.stateful_module import init_states  # noqa: E402
from pocket_tts.utils.config import Config  # noqa: E402

PACKS = {"100m": "english_2026-10", "18m": "english_18m_2026-10", "7m": "english_7m_2026-10",
         "2m": "english_2m_2026-10"}
VOICE_ROWS = 125
FIRST_TOKENS = 50  # of the text whose first sound is timed
SPOKEN_SECONDS = (5.0, 10.0)
WORDS = ("the old harbour wakes before the sun and the gulls are already arguing about bread while she counted "
         "the coins twice put them in the jar and closed the lid nobody knew why a train had stopped between "
         "two tunnels so we waited in the cold and read the same page again until it was time to go home").split()
FILLERS = ("a", "I", "so", "at", "in", "on", "to", "it", "we", "go", "no", "up", "as", "or", "by", "be", "an")


def prepared(tts, text):
    """The prompt of a text and its token ids."""
    prompt, _ = prepare_text_prompt(
        text, tts.pad_with_spaces_for_short_inputs, tts.remove_semicolons, tts.append_terminal_punctuation,
        tts.capitalize_first_letter, tts.replace_characters)
    return prompt, tts.flow_lm.conditioner.tokenizer.encode(prompt)


def text_of(tts, tokens):
    """A text of exactly `tokens` token ids: whole words, the rest filled with short ones."""
    count = lambda words: len(prepared(tts, " ".join(words) + ".")[1])
    longest = max(n for n in range(1, len(WORDS) + 1) if count(WORDS[:n]) <= tokens)
    for n in range(longest, max(longest - 4, 0), -1):
        words, progress = WORDS[:n], True
        while progress and count(words) < tokens:
            lengths = {count([*words, filler]): filler for filler in FILLERS}
            best = min((length for length in lengths if count(words) < length <= tokens), default=None)
            progress = best is not None
            if progress:
                words = [*words, lengths[best]]
        if count(words) == tokens:
            return " ".join(words) + "."
    raise SystemExit(f"no text of {tokens} tokens found")


def frames_of(tokens):
    """The length limit of a chunk: what is spoken when no end is found."""
    return math.ceil((tokens / TTSModel._TOKENS_PER_SECOND_ESTIMATE + TTSModel._GEN_SECONDS_PADDING) * 12.5)


def describe(tts, folder, rows):
    low, high = (seconds * 12.5 for seconds in SPOKEN_SECONDS)
    tokens = next(n for n in range(17, 40) if low <= frames_of(n) <= high)
    text, first = text_of(tts, tokens), text_of(tts, FIRST_TOKENS)
    data = dict(text=text, tokens=tokens, frames=frames_of(tokens), first_text=first, first_tokens=FIRST_TOKENS,
                voice_rows=rows, ids=prepared(tts, text)[1], first_ids=prepared(tts, first)[1])
    (folder / "bench.json").write_text(json.dumps(data, indent=1) + "\n")
    print(f"{folder.name}: {sum(p.numel() for p in tts.parameters()) / 1e6:.1f}M parameters, voice of {rows} rows, "
          f"{data['frames']} frames of \"{text}\"")


def load_reference(folder, **options):
    """The reference with the files of a folder; relative paths are against the working directory."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        return TTSModel.load_model(config="config.yaml", **options)
    finally:
        os.chdir(before)


def make_full(name, folder, tokenizers):
    spec = fixtures.full_size_spec(PACKS[name])
    config = copy.deepcopy(spec["config"])
    config["weights_path"] = "model.safetensors"
    shutil.copyfile(tokenizers / "english.model", folder / "tokenizer.model")
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")
    bare = copy.deepcopy(config)
    bare["weights_path"] = None
    bare["flow_lm"]["lookup_table"]["tokenizer_path"] = str(folder / "tokenizer.model")
    parsed = Config(**bare)
    tts = TTSModel._from_pydantic_config_with_weights(
        parsed, temp=parsed.default_temperature, sampler_decode_steps=1, noise_clamp=None,
        eos_threshold=parsed.default_eos_threshold)
    fixtures.fill_parameters(tts, 1000 * spec["index"] + 17, (0.05, 0.3))
    tts.eval()
    # The voice: the first 125 positions of a prompt made of random speaker latents.
    lm = tts.flow_lm
    latents = torch.from_numpy(fixtures.rng_for(7, name).standard_normal(
        (1, VOICE_ROWS, config["mimi"]["inner_dim"])).astype("float32"))
    prompt = torch.nn.functional.linear(latents, lm.speaker_proj_weight)
    if lm.insert_bos_before_voice:
        prompt = torch.cat([lm.bos_before_voice, prompt], dim=1)[:, :VOICE_ROWS]
    state = init_states(lm, batch_size=1, sequence_length=VOICE_ROWS)
    tts._run_flow_lm_and_increment_step(model_state=state, audio_conditioning=prompt)
    safetensors.torch.save_file({k: v.contiguous() for k, v in tts.state_dict().items()}, folder / "model.safetensors")
    export_model_state(state, folder / "voice.safetensors")
    return VOICE_ROWS


def make_starter(source, folder):
    pack = json.loads((source / "pack.json").read_text(encoding="utf-8"))
    for file in pack["files"]:
        (folder / file["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / file["path"], folder / file["path"])
    shutil.copyfile(source / "pack.json", folder / "pack.json")
    voice = next(f["path"] for f in pack["files"] if f.get("name") == pack["default_voice"])
    shutil.copyfile(source / voice, folder / "voice.safetensors")
    (folder / "config.yaml").write_text(yaml.safe_dump(pack["config"], sort_keys=False, allow_unicode=True),
                                        encoding="utf-8")
    with safetensors.safe_open(folder / "voice.safetensors", framework="pt") as f:
        return next(int(f.get_tensor(key)[0]) for key in f.keys() if key.endswith("/offset"))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--starter", type=Path, required=True)
    p.add_argument("--packs", nargs="*", default=[*PACKS, "starter"])
    args = p.parse_args()
    with torch.no_grad():
        for name in args.packs:
            folder = args.out.resolve() / name
            folder.mkdir(parents=True, exist_ok=True)
            if name == "starter":
                rows = make_starter(args.starter.resolve(), folder)
            else:
                rows = make_full(name, folder, HERE.parent / "golden" / "tokenizers")
            describe(load_reference(folder), folder, rows)


if __name__ == "__main__":
    main()
