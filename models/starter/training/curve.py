"""Compares the first points of a training log with the recorded ones:  curve.py LOG RECORD [--record]

A point is a row of train_lm.py's log at one step: errors on 60 held-out sentences with the true pointer.  Steps, not seconds, so
that the machine's speed only decides how many points there are.  --record writes RECORD from LOG.
"""

import csv
import sys

COLUMNS = {"held_pca": 0.08, "held_pit": 0.08, "held_ptr": 0.25}  # largest relative deviation
LEAST = 3  # points


def read(path):
    return {int(row["step"]): {k: float(row[k]) for k in COLUMNS} for row in csv.DictReader(open(path))}


def main():
    log, record = sys.argv[1:3]
    found = read(log)
    if "--record" in sys.argv:
        with open(record, "w") as f:
            f.write(",".join(["step", *COLUMNS]) + "\n")
            f.writelines(",".join([str(step), *(f"{row[k]:.4f}" for k in COLUMNS)]) + "\n" for step, row in sorted(found.items()))
        return 0
    wanted = read(record)
    steps, out = sorted(set(found) & set(wanted)), 0
    print("step   " + "  ".join(f"{k} (recorded, deviation)" for k in COLUMNS))
    for step in steps:
        cells = []
        for k, allowed in COLUMNS.items():
            deviation = found[step][k] / wanted[step][k] - 1
            bad = abs(deviation) > allowed
            out += bad
            cells.append(f"{found[step][k]:.4f} ({wanted[step][k]:.4f}, {100 * deviation:+.1f} %{' OUT' if bad else ''})")
        print(f"{step:5}  " + "  ".join(cells))
    if len(steps) < LEAST:
        print(f"{len(steps)} points in common, at least {LEAST} are needed: a faster machine, or more minutes")
        return 1
    print(f"{len(steps)} points, {out} values out of tolerance ({', '.join(f'{k} {100 * v:.0f} %' for k, v in COLUMNS.items())})")
    return int(out > 0)


if __name__ == "__main__":
    sys.exit(main())
