"""Step 1b: everyday prompts.  make_everyday.py WORK COUNT [--hold]  ->  WORK/everyday.txt (one sentence a line, shuffled, seeded)

The texts of make_text.py are manuals and the bible; the words of a kitchen or a street are rare in them.  Debian packages:
  wordnet-base   example sentences and definitions; the part of speech and the irregular forms of each word
  scowl          which words are common (its lists 10 to 50)
Half of the sentences are templates over the common words, short words twice as often as long ones: they teach how
what is spelled is said, and need make no sense.  The evaluation sentences are never drawn.

heldout_everyday.txt, by which decoders and flow LMs are compared, is left out as well: --hold writes it, the last HELD example
sentences of 5 to 10 words in the shuffled list, which are nowhere in WORK/train.txt.
"""
import os
import random
import re
import sys
from itertools import accumulate

from make_text import HERE, MAX_CHARS, finish, sentences, usable

WORDNET, SCOWL = "/usr/share/wordnet", "/usr/share/dict/scowl"
SHARES = {10: 0.25, 20: 0.25, 35: 0.35, 40: 0.05, 50: 0.1}  # of the words drawn, by list of scowl
VOWELS = "aeiou"
HELD, CHOSEN = 200, f"{HERE}/heldout_everyday.txt"

TEMPLATES = """The {a} {n} {v} the {n}.|The {n} of the {n} was {a}.|{A} {ns} {v} in the {a} {n}.|A {n} and a {n} {v} the {ns}.
She {v} the {a} {n} with a {n}.|He {v} his {n} and {v} the {n}.|They {v} {r} to the {n}.|The {ns} were {a} and {a}.
{B} the {n} and {b} the {ns}.|{B} a {a} {n} for the {n}.|It is {a} to {b} the {n} of a {n}.|The {n} {n} was {v} by the {ns}.
We {v} the {n} before the {n} {v}.|{N} and {n} make a {a} {n}.|The {n} was {a}, {a}, and {a}.|{R} the {n} {v} on the {n}.
There was a {a} {n} at the {n}.|The boy {v} the {n}, and the girl {v} it.|A {a} {n} is a {a} {n}.|Some {ns} {b} at {n}.
My {n} {v} two {a} {ns}.|Her {n} is full of {a} {ns}.|Do not {b} the {n} of your {n}.|The {n}'s {n} {v} {r}.
Take the {a} {n} to the {n}.|{B} it {r} and {b} the {n}.|The {n} {v} as the {a} {ns} {v}.|You can {b} {ns} from the {n}.
Is the {n} {a} or {a}?|Where did the {a} {n} {b}?|{A} {n}.|The {n} {b2} when the {n} is {a}.|These {ns} are {v} in {a} {ns}.
What {a} {ns}!|Will you {b} me the {n}?|The old {n} {v} over the {n} of {ns}.|{N}, {n}, {n}.|I {b} the {a} {n}.""".replace("\n", "|").split("|")


def lines(path):
    return open(path, encoding="latin-1").read().split("\n")


def common():
    """Common lower-case words, and how often each is to be drawn."""
    out = {}
    for size, share in SHARES.items():
        new = [w for kind in ("english", "american") for w in lines(f"{SCOWL}/{kind}-words.{size}") if re.fullmatch("[a-z]{2,13}", w)]
        for w in new:
            out.setdefault(w, (2.0 if len(w) <= 6 else 1.0) * share / len(new))
    return out


def lexicon(words):
    """{part: [words]}: the common words that WordNet lists as nouns, verbs, adjectives, adverbs, with regular and irregular forms."""
    parts, irregular = {}, {}
    for part in ("noun", "verb", "adj", "adv"):
        parts[part] = {l.split(" ", 1)[0] for l in lines(f"{WORDNET}/index.{part}") if not l.startswith(" ")} & words.keys()
        irregular[part] = {l.split(" ")[0]: l.split(" ")[1] for l in lines(f"{WORDNET}/{part}.exc") if l.count(" ") == 1}
    out = dict(n=sorted(parts["noun"]), b=sorted(parts["verb"]), a=sorted(parts["adj"]), r=sorted(parts["adv"]))

    def forms(part, endings):
        base, odd = parts[part], irregular[part]
        for w in words:
            if odd.get(w) in base:
                yield w
            for e in endings:
                stem = w[: -len(e)]
                if w.endswith(e) and (stem in base or stem + "e" in base or (stem[-1:] == "i" and stem[:-1] + "y" in base) or (stem[-1:] == stem[-2:-1] and stem[:-1] in base)):
                    yield w

    out["ns"] = sorted(set(forms("noun", ("s", "es"))) - set(out["n"]))
    out["v"] = sorted(w for w in set(forms("verb", ("ed",))) if not w.endswith(("ing", "s")))
    out["b2"] = sorted(set(forms("verb", ("s", "es"))) - set(out["v"]))
    return out


def templates(words, count):
    lex, made = lexicon(words), set()
    weight = {k: list(accumulate(words[w] for w in v)) for k, v in lex.items()}

    def draw(m):
        k = m.group(1)
        w = random.choices(lex[k.lower()], cum_weights=weight[k.lower()])[0]
        return w.capitalize() if k[0].isupper() else w

    while len(made) < count:
        s = re.sub(r"\{(\w+)\}", draw, random.choice(TEMPLATES))
        s = re.sub(rf"\b([Aa]) (?=[{VOWELS}])", r"\1n ", s)
        if len(s) <= MAX_CHARS:
            made.add(s)
    return sorted(made)


def glosses(lower):
    """Example sentences, definitions."""
    said, meant = set(), set()
    for part in ("noun", "verb", "adj", "adv"):
        for l in lines(f"{WORDNET}/data.{part}"):
            if " | " not in l:
                continue
            gloss = l.split(" | ", 1)[1].strip()
            for s in re.findall(r'"([^"]+)"', gloss):
                said.update(finish(x) for x in sentences(s) if usable(x, lower))
            for s in re.sub(r'"[^"]*"|\([^)]*\)', "", gloss).split(";"):
                s = " ".join(s.split()).strip(" ,:-")
                if usable(s, lower) and s.count(" ") > 2:
                    meant.add(finish(s))
    return sorted(said), sorted(meant - said)


def main(out, count, hold):
    random.seed(2)
    lower = {w.strip().lower() for w in open("/usr/share/dict/words")}
    said, meant = glosses(lower)
    rest = max(0, count // 2 - len(said))
    pool = dict(said=set(said), meant=random.sample(meant, min(rest, len(meant))))
    pool["templates"] = templates(common(), count - sum(map(len, pool.values())))
    key = lambda s: re.sub(r"[^a-z0-9]", "", s.lower())
    held = {key(s) for f in ("heldout.txt", "harvard.txt") for s in open(f"{HERE}/{f}")}
    train = sorted({s for group in pool.values() for s in group if key(s) not in held})
    random.shuffle(train)
    if hold:
        others = {key(s) for s in open(f"{out}/train.txt")}
        short = [s for s in train if s in pool["said"] and s.endswith(".") and 5 <= len(s.split()) <= 10 and key(s) not in others]
        open(CHOSEN, "w").write("\n".join(short[-HELD:]) + "\n")
    chosen = {key(s) for s in open(CHOSEN)}  # left out after the shuffle: the order of the rest does not depend on them
    train = [s for s in train if key(s) not in chosen]
    print({k: len(v) for k, v in pool.items()}, "->", len(train), file=sys.stderr)
    open(f"{out}/everyday.txt", "w").write("\n".join(train) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), "--hold" in sys.argv)
