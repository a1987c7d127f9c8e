#!/usr/bin/env python3
"""Records, for every configuration that the reference package ships, its fields as JSON and the name and shape of
every tensor of its model.

Usage:  python make_plans.py --out tests/golden/plans.json     # needs pocket-tts==4.0.1; about a minute, no weights

Models are built on torch's meta device: shapes without memory. Tensor lists that several configurations share are
stored once.
"""

import argparse
import json
from pathlib import Path

import torch
import yaml

import pocket_tts.modules.text_conditioner as text_conditioner
from pocket_tts.models.flow_lm import FlowLMModel
from pocket_tts.models.mimi import build_mimi
from pocket_tts.utils.config import CONFIGS_DIR, Config


def tensors_of(config):
    with torch.device("meta"):
        lm = FlowLMModel.from_pydantic_config(
            config.flow_lm, config.mimi.quantizer.dimension, config.flow_lm.insert_bos_before_voice)
        mimi = build_mimi(config.mimi)
    shapes = {f"flow_lm.{k}": list(v.shape) for k, v in lm.state_dict().items()}
    shapes["flow_lm.speaker_proj_weight"] = [
        config.flow_lm.transformer.d_model, config.mimi.inner_dim or config.mimi.seanet.dimension]
    shapes.update({f"mimi.{k}": list(v.shape) for k, v in mimi.state_dict().items()})
    return dict(sorted(shapes.items()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    out = parser.parse_args().out
    text_conditioner.build_tokenizer = lambda *_args: None  # the tokenizer files are not at hand, nor needed
    configs, shared = {}, []
    for path in sorted(CONFIGS_DIR.glob("*.yaml")):
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
        tensors = tensors_of(Config(**fields))
        if tensors not in shared:
            shared.append(tensors)
        configs[path.stem] = dict(config=fields, tensors=shared.index(tensors))
    text = json.dumps(dict(configs=configs, tensors=shared), ensure_ascii=False, separators=(",", ":"))
    Path(out).write_text(text + "\n", encoding="utf-8")
    print(f"{len(configs)} configurations, {len(shared)} different tensor lists, {len(text)} bytes")


if __name__ == "__main__":
    main()
