"""Step 1: prompts.  make_text.py WORK COUNT  ->  WORK/train.txt (one sentence a line, shuffled, seeded)

Sources are the texts of installed Debian packages (LICENCES.md names them):
  bible-kjv fortunes wamerican perl-doc debian-handbook python3.11-doc git-doc jargon-text
  developers-reference debian-reference-en
The evaluation sentences (heldout.txt, harvard.txt beside this file) are never drawn.
The sentences reach the voice only as prompts for the teacher.
"""
import glob
import gzip
import html
import os
import random
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
MAX_CHARS = 110
KJV_MAX = 20000


def read(path):
    raw = (gzip.open if path.endswith(".gz") else open)(path, "rb").read().decode("utf8", "replace")
    if path.endswith((".html", ".gz")) and "<" in raw[:300]:
        raw = re.sub(r"(?is)<(script|style|pre|code|tt|head)\b.*?</\1>", " ", raw)
        raw = re.sub(r"(?i)</?(p|li|h\d|div|td|dd|dt|br|blockquote)\b[^>]*>", "\n\n", raw)
        raw = html.unescape(re.sub(r"<[^>]+>", "", raw))
    return re.sub(r"[A-Z]<+([^<>]*)>+", r"\1", raw) if path.endswith(".pod") else raw


def sentences(text):
    text = text.translate({0x2019: "'", 0x2018: "'", 0x2014: ", ", 0x2013: ", "})
    for para in re.split(r"\n\s*\n|\n%\n", text):
        if para[:1] in " \t" and para.count("\n") == 0 and len(para) < 60:
            continue  # code and headings
        for s in re.split(r"(?<=[.!?])\s+(?=[A-Z\"'(])", " ".join(para.split())):
            s = re.sub(r"\s*\([^)]*\)|[\"\[\]`*_]", "", s).replace(" -- ", ", ").strip(" '-")
            yield re.sub(r"\s*--\s*|\s+-\s+", ", ", s)


def usable(s, lower):
    if not re.fullmatch(r"[A-Za-z0-9 ,.;:!?'-]+", s) or not 8 <= len(s) <= MAX_CHARS or not s[0].isalpha():
        return False
    words = re.findall(r"[A-Za-z']+", s)
    if len(words) < 2 or re.search(r"\d{5}|\d[.,:-]|[a-z][A-Z]|\.\w|\b[A-Z]{2,}\b|--|,,", s):
        return False
    known = sum(w.lower().rstrip("'") in lower or w.lower().removesuffix("'s") in lower or "'" in w for w in words)
    return known >= 0.9 * len(words)


def finish(s):
    s = (s[0].upper() + s[1:]).rstrip(" ,;:-")
    return s if s[-1] in ".!?" else s + "."


def harvest(files, lower):
    found = set()
    for path in files:
        try:
            text = read(path)
        except OSError:
            continue
        for s in sentences(text):
            parts = [s] if len(s) <= MAX_CHARS else [x.strip() for x in re.split(r"(?<=[,;:])\s+", s)]
            found.update(finish(x) for x in parts if x and usable(x, lower))
    return sorted(found)


ONES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen""".split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
CARRIERS = """{}.|{}.|{}.|{}, {}.|{} {}.|The {} and the {}.|{} {} {}.|A {} {}.|{}, {}, {}, {}.|I said {}.|She can {} it.|{} of {}.
Is it {} or {}?|Hello {}.|My {} is {}.|The {} was {}.|They {} the {} with {}.|{D} {}.|{D}, {D}.|We need {N} {}.|There are {N} {}.
It costs {N} dollars.|Call {N}, {N}.|The {} is {N}.|{N} {}, {D} {}.""".replace("\n", "|").split("|")


def number():
    a = random.choice([random.choice(ONES), random.choice(TENS), random.choice(TENS) + "-" + random.choice(ONES[1:10])])
    return random.choice([a, a, random.choice(ONES[1:10]) + " hundred and " + a, random.choice(ONES[1:10]) + " thousand " + a])


def templates(words, count):
    """Dictionary words alone and in short carriers, every word at least once before any repeats."""
    deck, made = [], set()
    while len(made) < count:
        c = random.choice(CARRIERS)
        while "{N}" in c:
            c = c.replace("{N}", number(), 1)
        while "{D}" in c:
            c = c.replace("{D}", str(random.randrange(10 ** random.randint(1, 4))), 1)
        while len(deck) < 4:
            deck = random.sample(words, len(words))
        made.add(finish(c.format(*(deck.pop() for _ in range(c.count("{}"))))))
    return sorted(made)


def main(out, count):
    random.seed(1)
    words = {w.strip() for w in open("/usr/share/dict/words") if "'" not in w}
    lower = {w.lower() for w in words}
    docs = (
        glob.glob("/usr/share/perl/5.*/pod/*.pod")
        + glob.glob("/usr/share/doc/debian-handbook/html/en-US/*.html")
        + glob.glob("/usr/share/doc/python3.11/html/**/*.html", recursive=True)
        + glob.glob("/usr/share/doc/git/html/*.html")
        + glob.glob("/usr/share/doc/developers-reference/**/*.html", recursive=True)
        + ["/usr/share/doc/jargon-text/jargon.txt.gz"]
        + glob.glob("/usr/share/debian-reference/*.en.html")
    )
    sayings = [p for p in glob.glob("/usr/share/games/fortunes/*") if not p.endswith((".dat", ".u8")) and "off" not in p]
    pool = {"docs": harvest(sorted(docs), lower), "fortunes": harvest(sorted(sayings), lower)}
    kjv = set()
    for line in subprocess.run(["bible", "-f", "gen1:1-rev22:21"], capture_output=True, text=True).stdout.splitlines():
        verse = re.sub(r"[\[\]()]", "", line.split(" ", 1)[-1])
        kjv.update(finish(x.strip()) for x in re.split(r"(?<=[.:;?!])\s+", verse) if usable(x.strip(), lower))
    pool["kjv"] = random.sample(sorted(kjv), min(KJV_MAX, len(kjv)))
    spoken = sorted(w for w in words if w.isascii() and w.isalpha() and 2 < len(w) < 14 and not w.isupper())
    pool["words"] = templates(spoken, count * 2 // 5)
    key = lambda s: re.sub(r"[^a-z0-9]", "", s.lower())
    held = {key(s) for f in ("heldout.txt", "harvard.txt") for s in open(f"{HERE}/{f}")}
    train = sorted({s for group in pool.values() for s in group if key(s) not in held})
    random.shuffle(train)
    print({k: len(v) for k, v in pool.items()}, "->", len(train[:count]), file=sys.stderr)
    open(f"{out}/train.txt", "w").write("\n".join(train[:count]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
