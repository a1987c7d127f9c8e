"""Word error rate of FOLDER/0000.wav ... (16 kHz mono) against a text file: asr.py FOLDER TEXT [N] [--show] [--stop]

Recogniser: Debian's pocketsphinx 5 prealpha with its en-us model and general trigram language model (run with the
system's python).  It is old and half the prose is technical, so absolute values are high: read them against the
teacher's own score.  A sentence counts at most twice its words as errors.
"""

import os
import re
import sys
import wave

from pocketsphinx import Decoder

MODEL = "/usr/share/pocketsphinx/model/en-us/"
SETTINGS = "en-us batch "  # names the results that evaluate.py remembers


def words(s):
    return re.findall(r"[a-z']+", s.lower().replace("-", " "))


def distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        p, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            p, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, p + (x != y))
    return row[-1]


def recogniser():
    c = Decoder.default_config()
    c.set_string("-hmm", MODEL + "en-us" if os.path.isdir(MODEL + "en-us") else MODEL)
    c.set_string("-dict", MODEL + "cmudict-en-us.dict")
    c.set_string("-lm", MODEL + "en-us.lm.bin")
    c.set_string("-logfn", "/dev/null")
    c.set_string("-cmn", "batch")  # each utterance by itself: what was heard before changes nothing
    return Decoder(c)


def main():
    numbers = [a for a in sys.argv[3:] if a.isdigit()]
    folder, text = sys.argv[1], [l.strip() for l in open(sys.argv[2]) if l.strip()]
    text = text[: int(numbers[0])] if numbers else text
    dec, errors, total, files = recogniser(), 0, 0, 0
    for i, line in enumerate(text):
        path, ref = f"{folder}/{i:04d}.wav", words(line)
        if not os.path.exists(path):
            continue
        f = wave.open(path)
        dec.start_utt()
        dec.process_raw(f.readframes(f.getnframes()), False, True)
        dec.end_utt()
        hyp = words(dec.hyp().hypstr if dec.hyp() else "")
        e = min(distance(ref, hyp), 2 * len(ref))
        errors, total, files = errors + e, total + len(ref), files + 1
        if "--show" in sys.argv:
            print(f"{e}/{len(ref)}\n  ref: {' '.join(ref)}\n  hyp: {' '.join(hyp)}")
    print(f"WER {100 * errors / max(total, 1):.1f} % ({errors}/{total} words, {files} files)")


if __name__ == "__main__":
    main()
