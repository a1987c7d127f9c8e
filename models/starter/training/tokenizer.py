"""Step 2: tokenizer.  tokenizer.py WORK  ->  WORK/tokenizer.model

A SentencePiece unigram model whose pieces are graphemes: the letters, and those groups of letters that English
writes for one sound ("th", "ee", "igh").  Unigram search with near-equal scores picks the fewest pieces, so a
word is cut the same way wherever it stands.  On average a piece is 1.5 characters: the 50-token chunks of the
package hold 75 characters, and one piece is close to one phone.  The file is written without the trainer
(identity normaliser, dummy prefix, byte fallback), so it is the same on every machine.
"""

import random
import struct
import sys

GRAPHEMES = """th sh ch ph wh gh ck ng qu dge tch kn wr bb cc dd ff gg ll mm nn pp rr ss tt zz
ai ay au aw ea ee ei eu ew ey ie oa oe oi oo ou ow oy ue ui ar er ir or ur igh tion sion ing""".split()
SINGLE = "abcdefghijklmnopqrstuvwxyz"
MARKS = "0123456789'.,;:!?-"
SPACE = "\u2581"


def piece_list():
    out = [SPACE]
    out += [SPACE + c for c in SINGLE] + [SPACE + c.upper() for c in SINGLE]
    out += list(SINGLE) + list(SINGLE.upper()) + list(MARKS)
    for g in GRAPHEMES:
        out += [g]
        if g not in ("tion", "sion", "ing", "ck", "ng", "igh", "dge", "tch"):
            out += [SPACE + g, SPACE + g.capitalize()]
    return out


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, value):
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    return varint(number << 3) + varint(int(value))


NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6


def build():
    rng = random.Random(7)
    rows = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL)]
    rows += [(f"<0x{b:02X}>", 0.0, BYTE) for b in range(256)]
    # A little of each score is arbitrary so that no two segmentations tie.
    rows += [(p, -10.0 - 0.1 * rng.random() - (2.0 if p == SPACE else 0.0), NORMAL) for p in piece_list()]
    rows += [(f"<unused{i}>", 0.0, CONTROL) for i in range(-len(rows) % 8)]
    model = b"".join(field(1, field(1, p.encode()) + field(2, s) + (b"" if t == NORMAL else field(3, t))) for p, s, t in rows)
    trainer = field(3, 1) + field(4, len(rows)) + field(35, 1)  # unigram, vocabulary size, byte fallback
    normal = field(1, b"identity") + field(3, 1) + field(4, 0) + field(5, 1)  # prefix, keep spaces, escape
    return model + field(2, trainer) + field(3, normal), [p for p, _, _ in rows]


def features(pieces):
    """Rows of a piece in a shared table: itself, its lower-case letters without the space mark, and the marks."""
    low = [p.replace(SPACE, "").lower() if len(p.replace(SPACE, "")) and not p.startswith("<") else p for p in pieces]
    names = {p: i for i, p in enumerate(sorted(set(low)))}
    return [names[p] for p in low], [float(p.startswith(SPACE)) for p in pieces], [float(p != p.lower()) for p in pieces]


if __name__ == "__main__":
    import sentencepiece

    blob, pieces = build()
    open(sys.argv[1] + "/tokenizer.model", "wb").write(blob)
    sp = sentencepiece.SentencePieceProcessor(sys.argv[1] + "/tokenizer.model")
    assert sp.get_piece_size() == len(pieces) and sp.id_to_piece(len(pieces) - 1) == pieces[-1]
    print(len(pieces), "pieces;", sp.encode("The thought of 10 schools' fees, is it queer?", out_type=str), sp.encode(".!...?", out_type=str))
