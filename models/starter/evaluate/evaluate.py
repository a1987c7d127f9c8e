"""Measures the starter voice and writes what models/starter/REPORT.md is made of:  evaluate.py WORK [--pack DIR] [--report DIR] [--prose N]

The pack speaks through the npm package (speak.mjs); the teacher is flite's slt, spoken by training/flitedump.c; the recogniser is
Debian's pocketsphinx (training/asr.py).  Every raw result goes to REPORT/report/results.json; report.py writes the rest from it.
What was recognised before is kept in WORK, by the hash of the samples.
"""

import argparse
import datetime
import hashlib
import json
import os
import platform
import subprocess
import sys
import wave

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
TRAINING, ROOT = os.path.join(HERE, "../training"), os.path.abspath(os.path.join(HERE, "../../.."))
sys.path.append(TRAINING)

import acoustics as ac  # noqa: E402
import asr  # noqa: E402
import pointer  # noqa: E402
import report  # noqa: E402
from frames import HOP, LDIM, SR, features, read_dump, synth  # noqa: E402

FLITE_LIBRARIES = ["-lflite_cmu_us_slt", "-lflite_usenglish", "-lflite_cmulex", "-lflite", "-lm"]
PICTURES = [("Harvard", 0), ("Harvard", 14), ("prose", 4)]
AGAIN = 20  # sentences of the long text that come again at its end


def lines_of(name):
    return [line.strip() for line in open(os.path.join(TRAINING, name)) if line.strip()]


def pcm16(x):
    return np.rint(np.clip(x, -1, 1) * 32767).astype("<i2").tobytes()


class Recogniser:
    """16 kHz sound -> words, remembering what it heard."""

    def __init__(self, path):
        self.path, self.decoder = path, None
        self.known = json.load(open(path)) if os.path.exists(path) else {}

    def hear(self, x):
        data = pcm16(x)
        key = asr.SETTINGS + hashlib.sha256(data).hexdigest()
        if key not in self.known:
            self.decoder = self.decoder or asr.recogniser()
            self.decoder.start_utt()
            self.decoder.process_raw(data, False, True)
            self.decoder.end_utt()
            self.known[key] = self.decoder.hyp().hypstr if self.decoder.hyp() else ""
        return asr.words(self.known[key])

    def save(self):
        json.dump(self.known, open(self.path, "w"), indent=0)


def differences(ref, hyp):
    """Word alignment with the fewest errors: indices of lost reference words, and inserted words with both neighbours."""
    n, m = len(ref), len(hyp)
    cost = np.zeros((n + 1, m + 1), int)
    cost[:, 0], cost[0] = np.arange(n + 1), np.arange(m + 1)
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            cost[i, j] = min(cost[i - 1, j] + 1, cost[i, j - 1] + 1, cost[i - 1, j - 1] + (ref[i - 1] != hyp[j - 1]))
    lost, inserted, i, j = [], [], n, m
    while i or j:
        if i and j and cost[i, j] == cost[i - 1, j - 1] + (ref[i - 1] != hyp[j - 1]):
            i, j = i - 1, j - 1
        elif i and cost[i, j] == cost[i - 1, j] + 1:
            i -= 1
            lost.append(i)
        else:
            j -= 1
            inserted.append(j)
    doubled = [j for j in inserted if hyp[j] in (hyp[j - 1] if j else None, hyp[j + 1] if j + 1 < m else None)]
    return lost, inserted, doubled


def heard(recogniser, x, text):
    """Row of one recognition."""
    ref, hyp = asr.words(text), recogniser.hear(x)
    lost, inserted, doubled = differences(ref, hyp)
    errors = min(asr.distance(ref, hyp), 2 * len(ref))
    return dict(heard=" ".join(hyp), errors=errors, lost=lost, inserted=len(inserted), doubled=len(doubled))


def run(*command, **k):
    subprocess.run(command, check=True, **k)


def module():
    return hashlib.sha256(open(os.path.join(ROOT, "dist/pocket_tts.wasm"), "rb").read()).hexdigest()


def fingerprint(pack, texts, options):
    """Of everything that decides how a list of texts sounds."""
    manifest = json.load(open(pack + "/pack.json"))
    return hashlib.sha256(json.dumps([manifest["config"], manifest["files"], module(), texts, options], sort_keys=True).encode()).hexdigest()


def speak(pack, texts, out, *options):
    """index.json of speak.mjs, with `sound` and `latents` of each text; spoken again only when something has changed."""
    os.makedirs(out, exist_ok=True)
    listed, mark, key = os.path.join(out, "texts.json"), os.path.join(out, "fingerprint"), fingerprint(pack, texts, options)
    if not os.path.exists(mark) or open(mark).read() != key:
        json.dump(texts, open(listed, "w"))
        run("node", os.path.join(HERE, "speak.mjs"), pack, listed, out, *options)
        open(mark, "w").write(key)
    index = json.load(open(os.path.join(out, "index.json")))
    for i, t in enumerate(index["texts"]):
        path = f"{out}/{i:04d}"
        t["sound"] = None if "refused" in t else np.fromfile(path + ".f32", "<f4")
        if "--no-latents" not in options and t["sound"] is not None:
            t["latents"] = np.fromfile(path + ".latents", "<f4").reshape(-1, LDIM)
    return index


def read_wav(path):
    f = wave.open(path)
    assert (f.getframerate(), f.getsampwidth(), f.getnchannels()) == (16000, 2, 1), path
    return np.frombuffer(f.readframes(f.getnframes()), "<i2") / 32767


def teach(work, name, texts):
    """flite's own speech of each text, its parameters and its segments."""
    program, folder = os.path.join(work, "flitedump"), os.path.join(work, "flite_" + name)
    os.makedirs(folder, exist_ok=True)
    flat = "\n".join(" ".join(t.split()) for t in texts) + "\n"  # a line each
    run(program, folder, input=flat.encode())
    dump = folder + ".bin"
    with open(dump, "wb") as f:
        run(program, input=flat.encode(), stdout=f)
    parameters = {n: (p.copy(), s.copy()) for n, p, s in read_dump(dump)}
    sound = lambda i: read_wav(f"{folder}/{i:04d}.wav") if os.path.exists(f"{folder}/{i:04d}.wav") else None
    return [(sound(i), *parameters.get(i, (None, None))) for i in range(len(texts))]


# ---- one sentence --------------------------------------------------------------------------------------------------------


def word_rows(t, pieces, segments):
    """The words of a text by the pointer, with the teacher's duration of each where the words are the same ones."""
    rows = []
    for c in t["chunks"]:
        at = c["begin"] * HOP / SR
        for w in pointer.words(t["latents"][c["begin"] : c["begin"] + c["frames"]], [pieces[k] for k in c["ids"]]):
            w["begin"], w["end"] = None if w["begin"] is None else round(w["begin"] + at, 3), round(w["end"] + at, 3)
            rows.append(w)
    if segments is not None and len(rows) == len(t["text"].split()):
        begins = np.r_[0, segments["e"][:-1]]
        for begin, s in zip(begins, segments):
            if 0 <= s["t"] < len(rows) and s["p"] != b"pau":
                row = rows[s["t"]]
                row["teacher"] = round(row.get("teacher", 0) + float(s["e"] - begin), 3)
    return rows


def tampered(t, rows, pieces):
    """What the measures of order find when frames of one word are left out, or come twice, for each word in a sentence of one chunk."""
    found = []
    if len(t["chunks"]) > 1:
        return found
    z, ids = t["latents"], [pieces[k] for k in t["chunks"][0]["ids"]]
    for k, row in list(enumerate(rows))[1:-1]:
        a, b = max(int(row["begin"] * SR / HOP) - 1, 0), int(np.ceil(row["end"] * SR / HOP)) - 1  # the pointer is a frame ahead
        if b - a > 1:
            cut, twice = (pointer.words(np.concatenate(parts), ids) for parts in ((z[:a], z[b:]), (z[:b], z[a:])))
            found.append(dict(cut=cut[k] | {key: row[key] for key in ("teacher",) if key in row}, again=any(w["again"] for w in twice)))
    return found


def pauses(segments):
    """[(begin, end)] in seconds of the teacher's silences inside a sentence, their edges taken off."""
    begins = np.r_[0, segments["e"][:-1]]
    inner = [(b + 0.06, s["e"] - 0.06) for b, s in list(zip(begins, segments))[1:-1] if s["p"] == b"pau"]
    return [(b, e) for b, e in inner if e - b > 0.03]


def compare(low, teacher, segments):
    """Distance to the teacher and level in its pauses, through one time alignment.  Both at 16 kHz."""
    a, b = ac.log_mel(low * 10 ** ((ac.dbfs(teacher) - ac.dbfs(low)) / 20)), ac.log_mel(teacher)
    _, p, q = ac.align(ac.clipped(a), ac.clipped(b))
    difference = np.sqrt(((ac.clipped(a)[p] - ac.clipped(b)[q]) ** 2).mean(1))
    voiced = b[q].max(1) > b.max() - 45
    row = dict(distance=float(difference[voiced].mean()))
    levels = lambda x, frames: [ac.dbfs(x[k * ac.HOP : (k + 1) * ac.HOP]) for k in sorted(set(frames)) if (k + 1) * ac.HOP <= len(x)]
    inside = np.zeros(len(q), bool)
    for begin, end in pauses(segments):
        inside |= (q * 0.01 >= begin) & (q * 0.01 < end)
    row["pause"], row["teacher_pause"] = levels(low, p[inside]), levels(teacher, q[inside])
    return row


def sentence(t, teacher, pieces, recogniser):
    sound, parameters, segments = teacher
    low = ac.resample(t["sound"])
    row = dict(text=t["text"], words=len(asr.words(t["text"])))
    row["flite"] = heard(recogniser, sound, t["text"]) | dict(seconds=len(sound) / ac.LOW, loudness=ac.loudness(sound, ac.LOW), pitch=middle(ac.pitch(sound)), before=ac.dbfs(sound[: ac.LOW // 25]), after=ac.dbfs(sound[-ac.LOW // 25 :]))
    row["pack"] = heard(recogniser, low, t["text"]) | dict(
        seconds=len(t["sound"]) / SR,
        loudness=ac.loudness(t["sound"]),
        pitch=middle(ac.pitch(low)),
        before=ac.dbfs(t["sound"][: SR // 25]),
        after=ac.dbfs(t["sound"][-SR // 25 :]),
        border=ac.border_energy(t["sound"], HOP),
        joins=[ac.join(t["sound"], c["begin"] * HOP) for c in t["chunks"][1:]],
        truncated=[c["truncated"] for c in t["chunks"]],
        pointer=word_rows(t, pieces, segments),
        **compare(low, sound, segments),
    )
    return row


def middle(x):
    return float(np.median(x)) if len(x) else None


def vocoder(parameters, pca):
    """The teacher's parameters through the latents' PCA and the frame-locked vocoder: as near to the teacher as these latents come."""
    f, u = features(parameters)
    f = (f - pca["mu"]) @ pca["V"].T @ pca["V"] + pca["mu"]
    return ac.resample(synth(f, u))


# ---- one text of ten minutes ---------------------------------------------------------------------------------------------


def long_text(pack, work, recogniser):
    prose = lines_of("heldout.txt")
    spoken = speak(pack, [" ".join(prose + prose[:AGAIN])], work + "/long", "--memory")
    t = spoken["texts"][0]
    x, chunks, seen = t["sound"], [], {}
    ends = 60, len(x) / SR - 60  # what lies between is not recognised: it says nothing about drift and takes minutes
    repeated = same = 0
    for c in t["chunks"]:
        part = x[c["begin"] * HOP : (c["begin"] + c["frames"]) * HOP]
        low, at = ac.resample(part), c["begin"] * HOP / SR
        before = seen.setdefault(c["prompt"], part)
        if before is not part:
            repeated, same = repeated + 1, same + int(np.array_equal(before, part))
        chunks.append(
            dict(
                at=at,
                seconds=len(part) / SR,
                words=len(asr.words(c["prompt"])),
                truncated=c["truncated"],
                errors=None if ends[0] <= at < ends[1] else heard(recogniser, low, c["prompt"])["errors"],
                pitch=middle(ac.pitch(low)),
            )
        )
    minutes = []
    for begin in [*range(0, int(ends[1]), 60), ends[1]]:  # whole minutes, and the last one
        rows, part = [c for c in chunks if begin <= c["at"] < begin + 60], x[int(begin * SR) : int((begin + 60) * SR)]
        words, errors = sum(c["words"] for c in rows), [c["errors"] for c in rows]
        minutes.append(
            dict(
                begin=begin,
                loudness=ac.loudness(part),
                pitch=middle(ac.pitch(ac.resample(part))),
                rate=60 * words / sum(c["seconds"] for c in rows),
                wer=None if None in errors else 100 * sum(errors) / words,
                words=words,
            )
        )
    joins = [ac.join(x, c["begin"] * HOP) for c in t["chunks"][1:]]
    return dict(
        seconds=len(x) / SR, minutes=minutes, repeated=repeated, same=same,
        joins=joins, memory=t["memory"], each=chunks,
    )  # fmt: skip


# ---- everything ----------------------------------------------------------------------------------------------------------


def odd_cases():
    return json.load(open(os.path.join(HERE, "robust.json")))


def robust(pack, work, pieces, recogniser):
    cases = odd_cases()
    texts = [c["text"] for c in cases]
    spoken, taught = speak(pack, texts, work + "/robust")["texts"], teach(work, "robust", texts)
    rows = []
    for case, t, (sound, _, segments) in zip(cases, spoken, taught):
        text = case.get("says", case["text"])
        row = dict(case, words=len(asr.words(text)))
        if sound is not None and len(sound):
            row["flite"] = heard(recogniser, sound, text) | dict(seconds=len(sound) / ac.LOW)
        if "refused" in t:
            row["refused"] = t["refused"]
        else:
            row["pack"] = heard(recogniser, ac.resample(t["sound"]), text) | dict(
                seconds=len(t["sound"]) / SR,
                level=ac.dbfs(t["sound"]),
                truncated=any(c["truncated"] for c in t["chunks"]),
                tokens=sum(len(c["ids"]) for c in t["chunks"]),
                pointer=word_rows(t, pieces, None),
            )
        rows.append(row)
    return rows


def machine():
    name = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    version = lambda package: subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True).stdout
    return dict(
        processor=name,
        system=next(line.split("=")[1].strip().strip('"') for line in open("/etc/os-release") if line.startswith("PRETTY_NAME")),
        node=subprocess.run(["node", "--version"], capture_output=True, text=True).stdout.strip(),
        pocketsphinx=version("libpocketsphinx3"),
        flite=version("libflite1"),
    )


def identity(pack):
    git = lambda *a: subprocess.run(["git", "--no-optional-locks", "-C", ROOT, *a], capture_output=True, text=True).stdout.strip()
    changed = bool(git("status", "--porcelain", "--untracked-files=no", "--", "wasm", "web", "models/starter/evaluate", "models/starter/training/frames.py"))
    manifest = json.load(open(os.path.join(pack, "pack.json")))
    files = {f["path"]: dict(bytes=f["bytes"], sha256=f["sha256"]) for f in manifest["files"]}
    return dict(date=datetime.date.today().isoformat(), commit=git("rev-parse", "--short=10", "HEAD"), changed=changed, module=module(), files=files, cloning=manifest.get("cloning"))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("work")
    ap.add_argument("--pack", default=os.path.join(HERE, ".."))
    ap.add_argument("--report", default=os.path.join(HERE, ".."))
    ap.add_argument("--prose", type=int, help="sentences of the prose, from the first on; all unless given")
    o = ap.parse_args()
    work, pack = os.path.abspath(o.work), os.path.abspath(o.pack)
    os.makedirs(work, exist_ok=True)
    os.makedirs(o.report + "/report", exist_ok=True)
    run("cc", os.path.join(TRAINING, "flitedump.c"), "-O2", "-o", work + "/flitedump", *FLITE_LIBRARIES)
    manifest = json.load(open(pack + "/pack.json"))
    tokenizer = next(f["path"] for f in manifest["files"] if f["role"] == "tokenizer")
    pieces = pointer.pieces_of(open(os.path.join(pack, tokenizer), "rb").read())
    pca = dict(np.load(TRAINING + "/checkpoints/pca.npz"))
    recogniser = Recogniser(work + "/heard.json")
    results = dict(identity=identity(pack), machine=machine(), sets={})
    sounds = {}
    for name, file in ("Harvard", "harvard.txt"), ("prose", "heldout.txt"):
        texts = lines_of(file)[: o.prose if name == "prose" else None]
        print(name, flush=True)
        taught = teach(work, name, texts)
        spoken = speak(pack, texts, f"{work}/{name}")
        eight = speak(pack, texts, f"{work}/{name}_q8", "--precision", "q8", "--no-latents")
        results["info"], results["info_q8"] = spoken["info"], eight["info"]
        rows, proof = [], results.setdefault("tampered", [])
        for i, (t, q) in enumerate(zip(spoken["texts"], eight["texts"])):
            row = sentence(t, taught[i], pieces, recogniser)
            if name == "Harvard":
                proof += tampered(t, row["pack"]["pointer"], pieces)
            low = ac.resample(q["sound"])
            row["q8"] = heard(recogniser, low, t["text"]) | dict(seconds=len(q["sound"]) / SR, truncated=[c["truncated"] for c in q["chunks"]])
            analytic = vocoder(taught[i][1], pca)
            row["vocoder"] = dict(distance=compare(analytic, taught[i][0], taught[i][2])["distance"])
            if i and i % 5 == 0:  # what the distance is when the words are others
                row["stranger"] = compare(low, taught[i - 1][0], taught[i - 1][2])["distance"]
            rows.append(row)
            sounds[name, i] = (taught[i][0], ac.resample(t["sound"]))
            if i % 5 == 4:
                recogniser.save()
        results["sets"][name] = rows
        recogniser.save()
    print("robust", flush=True)
    results["robust"] = robust(pack, work, pieces, recogniser)
    print("long", flush=True)
    results["long"] = long_text(pack, work, recogniser)
    recogniser.save()
    results["pictures"] = []
    for name, i in PICTURES:
        file = f"{name.lower()}-{i:03d}.png"
        report.picture(f"{o.report}/report/{file}", *sounds[name, i])
        results["pictures"].append(dict(file=file, text=results["sets"][name][i]["text"]))
    with open(o.report + "/report/results.json", "w") as f:
        json.dump(rounded(results), f, separators=(",", ":"))
    report.write(o.report)


def rounded(x):
    if isinstance(x, dict):
        return {k: rounded(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [rounded(v) for v in x]
    if isinstance(x, (float, np.floating)):
        return float(f"{x:.4g}") if np.isfinite(x) else None
    return int(x) if isinstance(x, np.integer) else bool(x) if isinstance(x, np.bool_) else x


if __name__ == "__main__":
    main()
