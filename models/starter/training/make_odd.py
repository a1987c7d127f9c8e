"""Step 1c: odd prompts.  make_odd.py WORK COUNT  ->  WORK/odd.txt (one prompt a line, shuffled, seeded)

What the sentences of make_text.py and make_everyday.py lack, made from them: long sentences without a comma (two to five joined
by and, because, when, ...; make_latents.py --long keeps them), several short sentences in one prompt, capitals, titles, initials
and digits, single letters, words and names, and prompts without a word, for which the teacher is silent for 0.2 s.
"""
import json
import os
import random
import re
import sys

from make_text import HERE, ONES, number

SHARES = dict(long=0.5, several=0.15, capitals=0.1, figures=0.12, alone=0.08, nothing=0.05)
SHORT, LONG = 75, 185  # characters of a long sentence: about 50 to 140 pieces
JOINTS = "and and and and then because because that when when while but so if where which although until as".split()
MARKS = "'.,;:!?-"
FOREIGN = [(0x1F600, 0x1F64F), (0x2600, 0x26FF), (0x0430, 0x044F), (0x03B1, 0x03C9), (0x4E00, 0x4FFF), (0x3041, 0x3096), (0x05D0, 0x05EA), (0x0627, 0x064A)]
FIGURES = """{T} {P} lives at {D} {P} Street.|{T} and {T} {P} arrive at {H} {M}|The {A} and the {A} said {w}.|Bring {w}, {w}, etc. to the {w}.
It was {D}.{E} percent in {P}.|In {Y} it cost {D} dollars.|The {w} is {D} by {D} feet.|{T} {P} was {D} years old.|Call {P} at {H} {M}
Page {D} of {D}.|{P} {A}. {P} met {T} {P}.|The year was {Y}.|They are {D} and {D}.|{A}, {A} and {A}.|Number {D}, {P} Street.|It weighs {D}.{E} pounds.
No. {D} is {w}.|From {Y} to {Y}.|{P} vs. {P}.|St. {P} is {D} miles from {P}.|{D} percent of the {w} is {w}.|{T} {P}, {D}, said {w}.""".replace("\n", "|").split("|")


def plain(s, first):
    """A sentence as a part of a longer one: no commas, no end, a small letter unless it is the first."""
    s = re.sub(r"[,;:.!?]+(?= |$)", "", s)
    return s if first or re.match(r"I\b|[A-Z]{2}", s) else s[0].lower() + s[1:]


def joined(short):
    target, s = random.randint(SHORT, LONG), ""
    while len(s) < target:
        s += (" " + random.choice(JOINTS) + " " if s else "") + plain(random.choice(short), not s)
    return s + random.choice("....!?") if SHORT <= len(s) <= LONG and "," not in s else None


def nothing():
    if random.random() < 0.3:
        a, b = random.choice(FOREIGN)
        s = "".join(chr(random.randint(a, b)) for _ in range(random.randint(1, 3)))
    else:
        s = random.choice(["", " "]).join(random.choice(MARKS) for _ in range(random.randint(1, 5)))
    return s + random.choice(["", "", "."])


def figure(words, names):
    fill = dict(
        T=lambda: random.choice(["Mr.", "Mrs.", "Dr.", "Ms.", "Prof.", "Mr.", "Mrs."]),
        P=lambda: random.choice(names),
        D=lambda: str(random.choice([random.randrange(100), random.randrange(100), random.randrange(1000)])),
        E=lambda: str(random.randrange(10)),
        H=lambda: str(random.randint(1, 12)),
        M=lambda: random.choice(["a.m.", "p.m."]),
        Y=lambda: str(random.randint(1100, 2050)),
        A=lambda: "".join(random.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(random.choice([2, 3, 3, 3, 4]))),
        w=lambda: random.choice(words),
    )
    s = re.sub(r"\{(\w)\}", lambda m: fill[m.group(1)](), random.choice(FIGURES))
    return s[0].upper() + s[1:]


def alone(words, names):
    letters = lambda: " ".join(random.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(random.choice([1, 1, 2, 3, 5])))
    kinds = (letters, lambda: random.choice(words), lambda: random.choice(names), lambda: random.choice(names) + " " + random.choice(names), number, lambda: ", ".join(random.choice(ONES) for _ in range(random.randint(2, 10))))
    s = random.choice(kinds)()
    return s[0].upper() + s[1:] + random.choice("...!?")


def main(out, count):
    random.seed(3)
    texts = [f"{out}/{f}" for f in ("train.txt", "everyday.txt") if os.path.exists(f"{out}/{f}")]
    corpus = [l for f in texts for l in open(f).read().split("\n")[:80000] if l]
    short = [s for s in corpus if 12 < len(s) < 62]
    brief = [s for s in corpus if len(s) < 32]
    spelled = {w.strip() for w in open("/usr/share/dict/words") if w.strip().isascii() and w.strip().isalpha() and 1 < len(w.strip()) < 12}
    words = sorted(w for w in spelled if w.islower())
    names = sorted(w for w in spelled if w.istitle() and w.lower() not in spelled)
    make = dict(
        long=lambda: joined(short),
        several=lambda: " ".join(random.choice(brief) for _ in range(random.randint(2, 4))),
        capitals=lambda: random.choice(short).upper(),
        figures=lambda: figure(words, names),
        alone=lambda: alone(words, names),
        nothing=nothing,
    )
    key = lambda s: re.sub(r"[^a-z0-9]", "", s.lower())
    held = {key(s) for f in ("heldout.txt", "heldout_everyday.txt", "harvard.txt") for s in open(f"{HERE}/{f}")}
    asked = {case["text"].rstrip(".") for case in json.load(open(f"{HERE}/../evaluate/robust.json"))}  # nor these, to the letter
    odd = []
    for kind, share in SHARES.items():
        made = []
        while len(made) < share * count:
            s = make[kind]()
            if s and s.rstrip(".") not in asked and (kind == "nothing" or key(s) not in held):
                made.append(s)
        odd += made
    random.shuffle(odd)
    print({k: round(v * count) for k, v in SHARES.items()}, file=sys.stderr)
    open(f"{out}/odd.txt", "w").write("\n".join(odd) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
