"""Grapheme-to-phone alignment by Viterbi training, and the text pointer that follows from it.

The teacher gives the phones of every white-space word with their times.  Which grapheme each phone belongs to is
found as in letter-to-sound training: every piece takes 0..3 phones in order (digits up to 8), and the counts of
(piece, phones) are re-estimated from the best paths.  The pointer then moves through a piece while its phones sound.
"""

import json
import math
import re
import sys

from tokenizer import SPACE

MAX_PHONES, MAX_DIGIT = 3, 8
PRIOR = {0: -2.0, 1: 0.0, 2: -3.0, 3: -7.0}


def norm(piece):
    return piece.replace(SPACE, "").lower()


class Aligner:
    def __init__(self, path=None):
        self.table, self.memo = {}, {}
        if path:
            self.table = {g: {tuple(k.split()): v for k, v in row.items()} for g, row in json.load(open(path)).items()}

    def save(self, path):
        rows = {g: {" ".join(k): round(v, 3) for k, v in sorted(row.items())} for g, row in sorted(self.table.items())}
        json.dump(rows, open(path, "w"), indent=0)

    def score(self, g, f):
        row = self.table.get(g, {})
        if f in row:
            return row[f]
        return -9.0 + PRIOR.get(len(f), -2.0 * len(f)) * (0.2 if g.isdigit() else 1.0)

    def path(self, pieces, phones):
        """Number of phones of each piece, or None when no path exists."""
        key = (pieces, phones)
        if key in self.memo:
            return self.memo[key]
        n, m = len(pieces), len(phones)
        best = [[-math.inf] * (m + 1) for _ in range(n + 1)]
        back = [[0] * (m + 1) for _ in range(n + 1)]
        best[0][0] = 0.0
        for i, g in enumerate(pieces):
            top = MAX_DIGIT if g.isdigit() else MAX_PHONES
            for j in range(m + 1):
                if best[i][j] == -math.inf:
                    continue
                for k in range(min(top, m - j) + 1):
                    s = best[i][j] + self.score(g, phones[j : j + k])
                    if s > best[i + 1][j + k]:
                        best[i + 1][j + k], back[i + 1][j + k] = s, k
        out = None
        if best[n][m] > -math.inf:
            out, j = [], m
            for i in range(n, 0, -1):
                out.append(back[i][j])
                j -= back[i][j]
            out.reverse()
        self.memo[key] = out
        return out

    def train(self, words, rounds=5):
        """words: {(pieces, phones): count}.  The first round counts only words with one phone for each piece."""
        for r in range(rounds + 1):
            counts = {}
            for (pieces, phones), c in words.items():
                lens = [1] * len(pieces) if r == 0 and len(pieces) == len(phones) else None if r == 0 else self.path(pieces, phones)
                if lens is None:
                    continue
                j = 0
                for g, k in zip(pieces, lens):
                    row = counts.setdefault(g, {})
                    row[phones[j : j + k]] = row.get(phones[j : j + k], 0) + c
                    j += k
            self.table = {}
            for g, row in counts.items():
                total = sum(row.values())
                self.table[g] = {f: math.log(c / (total + 5)) for f, c in row.items() if c > 1}
            self.memo = {}


def words_of(line, pieces, segs):
    """Per white-space word: (first piece, last piece + 1, pieces that may sound, phones, phone end times)."""
    spans, k, c = [], 0, 0
    text = SPACE + line.replace(" ", SPACE)
    bounds = [m.start() for m in re.finditer(SPACE, text)] + [len(text)]
    first = 0
    for i, p in enumerate(pieces):
        c += int(p[3:5], 16) & 0xC0 != 0x80 if p.startswith("<0x") else len(p)  # of a character's bytes the first one counts
        if k + 1 < len(bounds) and c >= bounds[k + 1]:
            spans.append((first, i + 1))
            first, k = i + 1, k + 1
    heard = {}
    for e, t, p in segs:
        heard.setdefault(int(t), []).append((p.decode(), float(e)))
    return spans, heard


def pointer_track(line, pieces, segs, aligner):
    """Knots (time, position): position i at the start of piece i, -1 at time 0, len(pieces) at the end."""
    spans, heard = words_of(line, pieces, segs)
    knots = [(0.0, -1.0)]
    now = 0.0
    s, n = 0, len(segs)
    if n == 1:  # nothing but a pause
        return knots + [(float(segs["e"][0]), float(len(pieces)))]
    pause_from = None  # the pause since the last word, already in time
    lead = None
    last_piece = 0.0
    while s < n:
        t = int(segs["t"][s])
        e = s
        while e + 1 < n and int(segs["t"][e + 1]) == t:
            e += 1
        end = float(segs["e"][e])
        if not 0 <= t < len(spans):  # silence
            if last_piece == 0.0 and lead is None:
                lead = end
                knots.append((end, 0.0))
            elif e < n - 1:
                pause_from = now
            now, s = end, e + 1
            continue
        a, b = spans[t]
        word = [norm(p) for p in pieces[a:b]]
        sound = len(word)
        while sound > 1 and not word[sound - 1].isalnum():
            sound -= 1
        if last_piece < a:  # marks after the word before: they last as long as the pause
            start = now
            if pause_from is not None:
                knots += [(pause_from, last_piece), (now, float(a))]
            else:
                knots.append((start, float(a)))
        elif pause_from is not None:  # a pause without a mark belongs to the first piece of this word
            knots += [(pause_from, float(a)), (now, a + 0.4)]
        pause_from = None
        phones = tuple(p.decode() for p in segs["p"][s : e + 1])
        times = [float(x) for x in segs["e"][s : e + 1]]
        lens = aligner.path(tuple(word[:sound]), phones)
        t0 = now
        if lens is None:
            knots.append((end, float(a + sound)))
        else:
            j, i = 0, 0
            while i < sound:  # a sounding piece with the silent ones around it
                g = i + 1
                while lens[g - 1] == 0 and g < sound:
                    g += 1
                while g < sound and lens[g] == 0:
                    g += 1
                j += sum(lens[i:g])
                knots.append((times[min(j, len(times)) - 1] if j else t0, float(a + g)))
                i = g
            knots[-1] = (end, float(a + sound))
        last_piece, now, s = float(a + sound), end, e + 1
    knots.append((float(segs["e"][-1]), float(len(pieces))))
    return knots


if __name__ == "__main__":  # align.py WORK shard ... : trains the table
    import sentencepiece

    from frames import read_dump

    work = sys.argv[1]
    sp = sentencepiece.SentencePieceProcessor(work + "/tokenizer.model")
    words = {}
    for shard in sys.argv[2:]:
        lines = open(f"{work}/{shard}").read().split("\n")
        for n, _, segs in read_dump(f"{work}/{shard}.bin"):
            pieces = sp.encode(lines[n], out_type=str)
            spans, heard = words_of(lines[n], pieces, segs)
            for t, (a, b) in enumerate(spans):
                w = [norm(p) for p in pieces[a:b]]
                while w and not w[-1].isalnum():
                    w.pop()
                if w and t in heard:
                    key = (tuple(w), tuple(p for p, _ in heard[t]))
                    words[key] = words.get(key, 0) + 1
    al = Aligner()
    al.train(words)
    al.save(work + "/align.json")
    print(len(words), "words;", {g: max(al.table[g], key=al.table[g].get) for g in ("th", "ee", "e", "tion", "x", "igh")})
    for w in list(words)[:12]:
        print(*w[0], "|", *w[1], "|", al.path(*w))
