#!/usr/bin/env python3
"""Writes packs.json (models/FORMAT.md): the official packs and voices, as the reference package names them.

Usage:  python make_packs.py [--check] [--out models/packs.json]     # needs pocket-tts==4.0.1; downloads nothing

The reference pins repositories, revisions and paths. Sizes and hashes are in none of its files: they are absent here until
somebody who has the weights measures them. --check writes nothing and fails where the file is not what would be written.
"""

import argparse
import importlib.metadata
import json
import re
import sys
from pathlib import Path

import yaml
from pocket_tts.default_parameters import get_default_voice_for_language
from pocket_tts.utils.config import CONFIGS_DIR
from pocket_tts.utils.utils import _ORIGINS_OF_PREDEFINED_VOICES, get_predefined_voice

GATED = "kyutai/pocket-tts"
PUBLIC = "kyutai/pocket-tts-without-voice-cloning"
PAGE = "https://huggingface.co/"

# Terms of the recordings, where the reference's documents state them; of the others their source says more.
LICENSES = [
    (r"^kyutai/tts-voices/voice-donations/", "CC0-1.0"),
    (r"^kyutai/tts-voices/vctk/", "CC-BY-4.0"),
    (r"^kyutai/tts-voices/alba-mackenna/", "CC-BY-4.0"),
    (r"^kyutai/tts-voices/(expresso|ears)/", "CC-BY-NC-4.0"),
]


def split(address):
    """hf://owner/name/path@revision"""
    repository, path, revision = re.fullmatch(r"hf://([^/]+/[^/]+)/([^@]+)@([0-9a-f]{40})", address).groups()
    return dict(repository=repository, revision=revision, path=path)


def voice(name, origin):
    source = origin.removeprefix("hf://")
    license = [terms for pattern, terms in LICENSES if re.match(pattern, source)]
    return dict(name=name, source=origin, **(dict(license=license[0]) if license else {}))


def pack(name, config):
    table = config["flow_lm"]["lookup_table"]
    weights = split(config.pop("weights_path"))
    public = split(config.pop("weights_path_without_voice_cloning"))
    tokenizer = split(table.pop("tokenizer_path"))
    assert (weights["repository"], public["repository"], tokenizer["repository"]) == (GATED, PUBLIC, PUBLIC)
    kind = dict(tokenizers="json", sentencepiece="sentencepiece")[table["tokenizer"]]
    return dict(
        name=name, default_voice=get_default_voice_for_language(name),
        files=[
            dict(role="weights", **public),
            dict(role="weights", cloning=True, **weights),
            dict(role="tokenizer", kind=kind, **tokenizer),
        ],
        config=config)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=Path(__file__).with_name("packs.json"), type=Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    voices = split(get_predefined_voice("LANGUAGE", "NAME"))
    document = dict(
        format=1,
        reference=f"pocket-tts {importlib.metadata.version('pocket-tts')}",
        hub=PAGE + "{repository}/resolve/{revision}/{path}",
        repositories={
            GATED: dict(gated=True, terms=PAGE + GATED),
            PUBLIC: dict(gated=False, terms=PAGE + PUBLIC),
        },
        voice_files={**voices, "path": voices["path"].replace("LANGUAGE", "{pack}").replace("NAME", "{voice}")},
        voices=[voice(*item) for item in _ORIGINS_OF_PREDEFINED_VOICES.items()],
        packs=[pack(path.stem, yaml.safe_load(path.read_text(encoding="utf-8")))
               for path in sorted(CONFIGS_DIR.glob("*.yaml"))])
    text = "".join([
        "{\n", *(f" {json.dumps(key)}: {lines(value)}" for key, value in document.items())
    ]).rstrip(",\n") + "\n}\n"
    assert json.loads(text) == document
    if arguments.check:
        if arguments.out.read_text(encoding="utf-8") != text:
            sys.exit(f"{arguments.out} is not what {document['reference']} says: run models/make_packs.py")
    else:
        arguments.out.write_text(text, encoding="utf-8")
    print(f"{len(document['packs'])} packs, {len(document['voices'])} voices")


def lines(value):
    """A list takes a line for each of its items, everything else one line."""
    if not isinstance(value, list):
        return json.dumps(value, ensure_ascii=False) + ",\n"
    return "[\n" + ",\n".join("  " + json.dumps(item, ensure_ascii=False, separators=(",", ":")) for item in value) + "\n ],\n"


if __name__ == "__main__":
    main()
