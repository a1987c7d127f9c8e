"""Writes variants.json: tokenizers of kinds that Pocket TTS does not ship but that load, with what the official
libraries make of the golden texts.  Needs sentencepiece 0.2.3 and tokenizers (the reference's own dependencies):

    python3 tests/golden/text/make_variants.py
"""

import base64
import io
import json
import pathlib

import sentencepiece
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

HERE = pathlib.Path(__file__).parent
MARK = "\u2581"
TEXTS = [case["text"] for case in json.loads((HERE / "text_golden.json").read_text(encoding="utf-8"))["cases"]]
TEXTS += ["  a   b  ", " ", "<s> and </s>", "x<unk>\u2603y", "<unk>", f"{MARK}start", f"a{MARK}b {MARK} c", "<pad><pad>",
          "a <s> b<s>", "<sep>", "one<sep> two <sep>three", "<sep><sep>", "\u2603\u2603 \U0001f600", "aaaa.... bb....."]


def train(**options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 4), model_writer=model, normalization_rule_name="identity", minloglevel=2,
        hard_vocab_limit=False, num_threads=1, pad_id=3, **options)
    return model.getvalue()


SENTENCEPIECE = {
    "bpe_bytes": dict(model_type="bpe", vocab_size=520, byte_fallback=True, character_coverage=0.98, remove_extra_whitespaces=False),
    "bpe": dict(model_type="bpe", vocab_size=200, character_coverage=0.98),
    "unigram": dict(model_type="unigram", vocab_size=160, character_coverage=0.98),
    "unigram_no_prefix": dict(model_type="unigram", vocab_size=160, character_coverage=0.98, add_dummy_prefix=False,
                              remove_extra_whitespaces=False),
    "unigram_user": dict(model_type="unigram", vocab_size=480, byte_fallback=True, character_coverage=0.98,
                         remove_extra_whitespaces=False,
                         user_defined_symbols=["<sep>", "and ", "12", "th", "the"]),
}


def to_json(model, pre=None, normalizer=None, added=(), byte_fallback=True):
    sp = sentencepiece.SentencePieceProcessor(model_proto=model)
    vocab = [(sp.id_to_piece(i), sp.get_score(i)) for i in range(sp.vocab_size())]
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=sp.unk_id(), byte_fallback=byte_fallback))
    if pre is not None:
        tokenizer.pre_tokenizer = pre
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.Sequence([decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])
    for token, special in added:
        add = AddedToken(token, normalized=False, special=special)
        tokenizer.add_special_tokens([add]) if special else tokenizer.add_tokens([add])
    return tokenizer


def metaspace(scheme="always", split=False):
    return pre_tokenizers.Metaspace(replacement=MARK, prepend_scheme=scheme, split=split)


PREPEND = normalizers.Sequence([normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)])
SPECIALS = (("<s>", True), ("</s>", True), ("<pad>", True))


def main():
    result = []
    trained = {name: train(**options) for name, options in SENTENCEPIECE.items()}
    for name, model in trained.items():
        sp = sentencepiece.SentencePieceProcessor(model_proto=model)
        cases = [(text, ids, sp.decode(ids)) for text in TEXTS for ids in [sp.encode(text)]]
        result.append(dict(name=name, kind="sentencepiece", pieces=sp.vocab_size(),
                           file=base64.b64encode(model).decode(), cases=cases))
    small = (HERE / "small.model").read_bytes()
    variants = {
        "split": to_json(small, metaspace(split=True)),
        "first": to_json(small, metaspace("first")),
        "never": to_json(small, metaspace("never")),
        "special": to_json(small, metaspace(), added=SPECIALS),
        "special_first": to_json(small, metaspace("first"), added=SPECIALS),
        "special_prepend": to_json(small, normalizer=PREPEND, added=SPECIALS),
        "added": to_json(small, metaspace(), added=(("<s>", False), ("</s>", True), ("ing", False), ("it", False))),
        "no_bytes": to_json(trained["unigram"], metaspace(), byte_fallback=False),
    }
    for name, tokenizer in variants.items():
        cases = [(text, ids, tokenizer.decode(ids)) for text in TEXTS for ids in [tokenizer.encode(text).ids]]
        file = tokenizer.to_str()
        result.append(dict(name=name, kind="json", pieces=tokenizer.get_vocab_size(),
                           file=base64.b64encode(file.encode()).decode(), cases=cases))
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False, separators=(",", ":")) for entry in result)
    (HERE / "variants.json").write_text("[\n" + lines + "\n]\n", encoding="utf-8")
    for entry in result:
        print(entry["name"], entry["pieces"], "pieces")


if __name__ == "__main__":
    main()
