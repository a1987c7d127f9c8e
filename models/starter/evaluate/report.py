"""Writes REPORT.md from report/results.json:  report.py FOLDER.  Every figure and every verdict is calculated here."""

import json
import sys

import numpy as np

import acoustics as ac

GATE, ONE_IN = 10, 50  # points above the teacher's word error rate; words of which one may be skipped or repeated
DRAWS = 10000
JOIN_FLOOR = -60  # dBFS below which a jump is not heard
THIRD = 1 / 3


def picture(path, flite, pack):
    """Spectrograms of the teacher (top) and of the pack (bottom), on one time scale."""
    pages = [ac.spectrogram(x).reshape(128, 2, -1).mean(1) for x in (flite, pack)]
    width = max(p.shape[1] for p in pages)
    fit = lambda p: np.pad(p, ((0, 0), (0, width - p.shape[1])), constant_values=255)
    ac.png(path, np.concatenate([fit(pages[0]), np.zeros((3, width)), fit(pages[1])]))


# ---- statistics ----------------------------------------------------------------------------------------------------------


def rate(rows, who):
    return 100 * sum(r[who]["errors"] for r in rows) / sum(r["words"] for r in rows)


def interval(rows, value):
    """95 % interval of value(errors by name, words), sentences drawn with replacement."""
    words = np.array([r["words"] for r in rows])
    errors = {who: np.array([r[who]["errors"] for r in rows]) for who in ("flite", "pack", "q8")}
    rng = np.random.RandomState(0)
    draws = rng.randint(0, len(rows), (DRAWS, len(rows)))
    found = value({who: e[draws].sum(1) for who, e in errors.items()}, words[draws].sum(1))
    return np.percentile(found, [2.5, 97.5])


def span(pair, digits=1):
    return f"{pair[0]:.{digits}f} .. {pair[1]:.{digits}f}"


def spread(values, digits=1):
    v = np.array([x for x in values if x is not None])
    if not len(v):
        return "none"
    return f"{np.median(v):.{digits}f} ({np.percentile(v, 5):.{digits}f} .. {np.percentile(v, 95):.{digits}f})"


def every(rows, who, key):
    return [r[who][key] for r in rows]


def db(ratio):
    return 20 * np.log10(max(ratio, 1e-9))


def table(head, rows):
    return [" | ".join(["", *map(str, r), ""]).strip() for r in [head, ["---"] * len(head), *rows]]


def verdict(ok):
    return "yes" if ok else "**no**"


# ---- sections ------------------------------------------------------------------------------------------------------------


def errors(sets):
    out, rows = [], []
    names = {"flite": "flite `slt` itself", "pack": "**the pack, f32**", "q8": "the pack, q8"}
    for who, title in names.items():
        row = [title]
        for sentences in sets.values():
            row += [f"{rate(sentences, who):.1f} %", span(interval(sentences, lambda e, w: 100 * e[who] / w))]
        rows.append(row)
    for title, a, b in ("f32 above flite", "pack", "flite"), ("q8 above f32", "q8", "pack"):
        row = [title]
        for sentences in sets.values():
            row += [f"{rate(sentences, a) - rate(sentences, b):+.1f}", span(interval(sentences, lambda e, w: 100 * (e[a] - e[b]) / w))]
        rows.append(row)
    head = ["word error rate"]
    for name, sentences in sets.items():
        head += [f"{name}, {len(sentences)} sentences, {sum(r['words'] for r in sentences)} words", "95 %"]
    out += table(head, rows)
    out += [
        "",
        "What the recogniser writes against the text, word by word; a sentence counts at most twice its words. The intervals come from",
        f"{DRAWS:,} draws of sentences with replacement; those of the differences are paired. The recogniser is old (pocketsphinx, general trigram model)",
        "and much of the prose is technical, so that it misses nearly a third of the teacher's words too: only the distance to the teacher says something",
        "about the pack.",
    ]
    return out


def ends(sets, robust, long):
    sentences = [r for rows in sets.values() for r in rows]
    lists = {
        "prose and Harvard, f32": [t for r in sentences for t in r["pack"]["truncated"]],
        "the same, q8": [t for r in sentences for t in r["q8"]["truncated"]],
        "odd input": [r["pack"]["truncated"] for r in robust if "pack" in r],
        "the long text": [c["truncated"] for c in long["each"]],
    }
    rows = [[name, len(cut), sum(cut)] for name, cut in lists.items()]
    return sum(r[2] for r in rows), table(["", "chunks", "ran into the length limit"], rows)


def fastest(sets):
    """Seconds for each piece that 1 in 1000 of the teacher's words stay under."""
    pace = [w["teacher"] / w["pieces"] for rows in sets.values() for r in rows for w in r["pack"]["pointer"] if w.get("teacher")]
    return float(np.percentile(pace, 0.1))


def skipped(word, least):
    took = 0 if word["begin"] is None else word["end"] - word["begin"]
    return not word["reached"] or took < least * word["pieces"] or took < THIRD * word.get("teacher", 0) - 0.04


def order(sets, tampered):
    least = fastest(sets)
    rows, worst = [], 0.0
    for name, sentences in sets.items():
        words = [w for r in sentences for w in r["pack"]["pointer"]]
        lost, again = sum(skipped(w, least) for w in words), sum(w["again"] for w in words)
        worst = max(worst, (lost + again) / len(words))
        rows.append([f"{name}, by the pointer", len(words), lost, again])
    heard = []
    for name, sentences in sets.items():
        words = sum(r["words"] for r in sentences)
        for who, title in ("flite", "flite"), ("pack", "pack"):
            lost, inserted, doubled = (sum(x) for x in ([len(r[who]["lost"]) for r in sentences], every(sentences, who, "inserted"), every(sentences, who, "doubled")))
            more = sum(len(set(r[who]["lost"]) - set(r["flite"]["lost"])) for r in sentences)
            heard.append([f"{name}, {title}", words, f"{100 * lost / words:.1f}", "" if who == "flite" else more, f"{100 * inserted / words:.1f}", doubled])
    far = [w for rows_ in sets.values() for r in rows_ for w in r["pack"]["pointer"] if w.get("teacher")]
    pace = np.array([(w["end"] - (w["begin"] or 0)) / w["teacher"] for w in far])
    text = table(["", "words", "skipped", "repeated"], rows)
    text += [
        "",
        f"By the text pointer in the latents. Skipped: it never comes to the word's last third, or passes it in less than {1000 * least:.0f} ms for each piece (the",
        "teacher's fastest word in 1,000), or in less than a third of the teacher's time for this word (less half a frame). Repeated: it goes back from behind the",
        "word to before its middle. This says in which order and for how long the model means to speak the words, not that they can be understood. Time for a word",
        f"against the teacher's, {len(far)} words: median {np.median(pace):.2f}, 1 % under {np.percentile(pace, 1):.2f}, 1 % over {np.percentile(pace, 99):.2f}.",
        f"The measure itself: of {len(tampered)} words of two frames or more whose frames were taken out, {sum(skipped(w['cut'], least) for w in tampered)} are found to be skipped;",
        f"of the same words sounded twice, {sum(w['again'] for w in tampered)} to be repeated.",
        "",
    ]
    text += table(["recogniser", "words", "lost per 100", "lost, but not with flite", "inserted per 100", "inserted beside the same word"], heard)
    text += [
        "",
        "By the recogniser's alignment with the text. A lost word is a word for which nothing was written; small words vanish into their neighbours even with flite,",
        "so this counts misunderstanding together with skipping and is an upper limit of it.",
    ]
    return worst, text


def sound(sets):
    rows = []
    for name, s in sets.items():
        ratio = [r["pack"]["seconds"] / r["flite"]["seconds"] for r in s]
        total = sum(every(s, "pack", "seconds")) / sum(every(s, "flite", "seconds"))
        rows += [
            [f"length, times flite's, {name}", f"{spread(ratio, 2)}; all together {total:.2f}"],
            [f"distance to the teacher, dB, {name}", spread(every(s, "pack", "distance"))],
        ]
    s = [r for rows_ in sets.values() for r in rows_]
    strangers = [r["stranger"] for r in s if "stranger" in r]
    rows += [
        ["the same for the analytic vocoder through the PCA", spread(every(s, "vocoder", "distance"))],
        ["the same for the pack against a sentence of other words", spread(strangers)],
        ["loudness, LUFS, pack", spread(every(s, "pack", "loudness"))],
        ["loudness, LUFS, flite", spread(every(s, "flite", "loudness"))],
        ["pitch, Hz, median of a sentence, pack", spread(every(s, "pack", "pitch"), 0)],
        ["pitch, Hz, median of a sentence, flite", spread(every(s, "flite", "pitch"), 0)],
        ["level before speech (first 40 ms), dBFS, pack", spread(every(s, "pack", "before"))],
        ["the same, flite", spread(every(s, "flite", "before"))],
        ["level after speech (last 40 ms), dBFS, pack", spread(every(s, "pack", "after"))],
        ["the same, flite", spread(every(s, "flite", "after"))],
        ["level in pauses inside sentences (10 ms each), dBFS, pack", spread([x for r in s for x in r["pack"]["pause"]])],
        ["the same, flite", spread([x for r in s for x in r["pack"]["teacher_pause"]])],
        ["samples at frame borders against all others, second difference, dB", spread(every(s, "pack", "border"))],
    ]
    text = table(["f32; median (5 % .. 95 %)", "value"], rows)
    text += [
        "",
        "Distance: RMS difference of 80 mel bands (0 - 7.6 kHz, 25 ms) in dB, at equal level, both clipped 60 dB under their loudest, averaged over the teacher's audible frames;",
        "the two sentences are aligned by dynamic time warping on the same spectra, which hides errors of timing and flatters both. Loudness: ITU-R BS.1770-4, gated.",
        "Pauses are the teacher's, found in the pack's sound through the same alignment. The last row would be above 0 dB if frames did not join smoothly.",
    ]
    return text


def joins(sets, long):
    found = [j for rows in sets.values() for r in rows for j in r["pack"]["joins"]] + long["joins"]
    heard = [j for j in found if (j[0] > j[1] or j[2] > j[3]) and db(max(j[0], j[2])) > JOIN_FLOOR]
    jumps = [db(j[0]) for j in found]
    text = [
        f"{len(found)} joins of chunks. The jump of the sample at the join: {spread(jumps)} dBFS, at most {max(jumps):.1f}. Joins whose jump, or change of slope, is the",
        f"largest within 200 ms on both sides and above {JOIN_FLOOR} dBFS: {len(heard)}.",
    ]
    return len(heard), text


def clock(seconds):
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def ten_minutes(long):
    minutes, memory = long["minutes"], long["memory"]
    rows = [[clock(m["begin"]), f"{m['loudness']:.1f}", f"{m['pitch']:.0f}", f"{m['rate']:.0f}", m["words"], "" if m["wer"] is None else f"{m['wer']:.1f} %"] for m in minutes]
    first, last = minutes[0], minutes[-1]
    settled = [m for m in memory if m["frame"] >= memory[0]["frame"] + 125]
    grown = settled[-1]["memoryBytes"] - settled[0]["memoryBytes"]
    held = [m["allocatedBytes"] for m in settled]
    text = [
        f"The {len(long['each'])} chunks of one request: the 200 prose sentences in a row, then the first of them again; {long['seconds'] / 60:.1f} minutes.",
        "",
    ]
    text += table(["from", "loudness, LUFS", "pitch, Hz", "words a minute", "words", "word error rate"], rows)
    text += [
        "",
        f"Last minute against the first: loudness {last['loudness'] - first['loudness']:+.1f} dB, pitch {last['pitch'] - first['pitch']:+.0f} Hz, pace {100 * (last['rate'] / first['rate'] - 1):+.0f} %, word errors",
        f"{last['wer'] - first['wer']:+.1f} points. The minutes differ by their words alone: of the {long['repeated']} chunks at the end that had been spoken at the beginning, {long['same']} have the same samples, bit for bit",
        "(every chunk starts from the voice, and this pack draws no noise). Chunks here hold several short sentences, so the rates are not those of the table above.",
        "",
        f"Memory while it was spoken as a stream, every 10 s: engine {min(held) / 1e6:.2f} .. {max(held) / 1e6:.2f} MB; WebAssembly memory {memory[0]['memoryBytes'] / 1e6:.1f} MB at first, "
        f"{settled[-1]['memoryBytes'] / 1e6:.1f} MB at the end ({grown / 1e6:+.1f} MB after the first 10 s).",
    ]
    return long["repeated"] > 0 and long["same"] == long["repeated"] and grown == 0, text


def odd(robust, least):
    escape = lambda s: s.replace("|", "\\|").replace("\n", "⏎").replace("\t", "⇥") or " "
    rows, kind = [], None
    for r in robust:
        said = escape(r["text"])
        said = f"`{said}`" if not said.strip() else said
        mine = r.get("pack")
        flite = r.get("flite")
        rows.append(
            [
                r["kind"] if r["kind"] != kind else "",
                said if len(said) < 90 else said[:86] + " ...",
                f"{mine['seconds']:.2f}" if mine else "",
                f"{flite['seconds']:.2f}" if flite else "",
                (f"{mine['errors']}/{r['words']}: {mine['heard']}" if mine and r["words"] else f"{mine['level']:.0f} dBFS" if mine else f"refused: {r['refused']['code']}"),
                f"{flite['errors']}/{r['words']}: {flite['heard']}" if flite and r["words"] else "",
            ]
        )
        kind = r["kind"]
    spoken = [r for r in robust if "pack" in r]
    words = [w for r in spoken for w in r["pack"]["pointer"] if any(c.isalnum() for c in w["text"])]
    text = table(["", "text", "pack, s", "flite, s", "recognised, pack (errors/words)", "recognised, flite"], rows)
    text += [
        "",
        f"{len(spoken)} spoken, {len(robust) - len(spoken)} refused with an error. By the pointer {sum(skipped(w, least) for w in words)} of {len(words)} words are skipped and {sum(w['again'] for w in words)} repeated.",
        "Numbers and abbreviations are compared with how they are read aloud. The recogniser knows none of the invented names and few of the foreign ones.",
    ]
    return text


def write(folder):
    r = json.load(open(folder + "/report/results.json"))
    sets, who, machine = r["sets"], r["identity"], r["machine"]
    missed, ended = ends(sets, r["robust"], r["long"])
    worst, ordered = order(sets, r["tampered"])
    clicks, joined = joins(sets, r["long"])
    steady, long = ten_minutes(r["long"])
    weights = next(v for k, v in who["files"].items() if "voices/" not in k and k.endswith(".safetensors"))
    above = {name: rate(rows, "pack") - rate(rows, "flite") for name, rows in sets.items()}
    q8 = {name: rate(rows, "q8") - rate(rows, "pack") for name, rows in sets.items()}
    out = [
        "# The starter voice, measured",
        "",
        f"Written by `make evaluate` on {who['date']}; nothing in here is typed by hand. The raw results are in [report/results.json](report/results.json).",
        "",
        f"* Pack: `model.safetensors` {weights['sha256'][:16]}, {sum(f['bytes'] for f in who['files'].values()):,} bytes in all files. Cloning: {'yes' if who['cloning']['available'] else 'no, ' + who['cloning']['reason']}.",
        f"* Engine: {r['info']['version']} at commit {who['commit']}{' (sources with changes that are not committed)' if who['changed'] else ''}, module {who['module'][:16]}, in Node {machine['node']}, through the npm package.",
        f"* Machine: {machine['processor']}, {machine['system']}. Recogniser: pocketsphinx {machine['pocketsphinx']}. Teacher: flite {machine['flite']}, voice `slt`.",
        "* Again: `make evaluate` (it names the Debian packages that it needs). Other hosts speak the same samples, which `make test` proves.",
        "* One recogniser, no listening test.",
        "",
        "## In short",
        "",
    ]
    out += table(
        ["what was asked", "measured", "kept"],
        [[f"{name}, {len(sets[name])} sentences: at most {GATE} points above the teacher", f"{v:+.1f} points", verdict(v <= GATE)] for name, v in above.items()]
        + [
            ["no sentence fails to end", f"{missed} chunks failed", verdict(missed == 0)],
            [f"at most one word in {ONE_IN} skipped or repeated (pointer)", f"{100 * worst:.1f} words in 100", verdict(worst <= 1 / ONE_IN)],
            ["no click where chunks join", f"{clicks} clicks", verdict(clicks == 0)],
            ["ten minutes without drift or growth", "see below", verdict(steady)],
        ],
    )
    out += ["", f"8-bit weights (q8) cost {', '.join(f'{v:+.1f} points ({name})' for name, v in q8.items())}.", "", "## Understood", ""] + errors(sets)
    out += ["", "## Ends", ""] + ended + ["", "## Skipped and repeated words", ""] + ordered
    out += ["", "## Sound", ""] + sound(sets) + ["", "## Joins", ""] + joined + ["", "## Ten minutes", ""] + long
    out += ["", "## Odd input", ""] + odd(r["robust"], fastest(sets)) + ["", "## Pictures", "", "Top: flite. Bottom: the pack. 5 ms a column, 0 - 8 kHz, 70 dB.", ""]
    for p in r["pictures"]:
        out += [f"{p['text']}", "", f"![{p['text']}](report/{p['file']})", ""]
    open(folder + "/REPORT.md", "w").write("\n".join(out).rstrip() + "\n")


if __name__ == "__main__":
    write(sys.argv[1])
