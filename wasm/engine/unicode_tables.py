#!/usr/bin/env python3
"""Writes unicode_tables.inc from Python's own Unicode data (the reference is a Python program, so its str methods are
the definition).  Run it with Python 3.11, whose Unicode version is 14.0:

    python3 wasm/engine/unicode_tables.py            # writes the file
    python3 wasm/engine/unicode_tables.py --check    # exit status 1 when the committed file is not what it would write
"""

import pathlib
import sys
import unicodedata

UNICODE_VERSION = "14.0.0"
TARGET = pathlib.Path(__file__).with_name("unicode_tables.inc")
CHARACTERS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def runs(predicate):
    """Inclusive ranges [first, last] with a step: cased alphabets alternate, so steps of 2 halve the table."""
    found = [c for c in CHARACTERS if predicate(chr(c))]
    result = []
    i = 0
    while i < len(found):
        best = (1, 1)
        for step in (1, 2):
            n = 1
            while i + n < len(found) and found[i + n] == found[i] + n * step:
                n += 1
            if n > best[0]:
                best = (n, step)
        n, step = best
        result.append((found[i], found[i + n - 1], step))
        i += n
    return result


def simple_uppercase():
    """Ranges [first, last], step, and what to add, for characters whose full mapping is one other character."""
    found = {c: ord(chr(c).upper()) - c for c in CHARACTERS
             if len(chr(c).upper()) == 1 and chr(c).upper() != chr(c)}
    keys = sorted(found)
    result = []
    i = 0
    while i < len(keys):
        best = (1, 1)
        for step in (1, 2):
            n = 1
            while (i + n < len(keys) and keys[i + n] == keys[i] + n * step
                   and found[keys[i + n]] == found[keys[i]]):
                n += 1
            if n > best[0]:
                best = (n, step)
        n, step = best
        result.append((keys[i], keys[i + n - 1], step, found[keys[i]]))
        i += n
    return result


def special_uppercase():
    """Characters whose full mapping is two or three characters."""
    return [(c, [ord(u) for u in chr(c).upper()]) for c in CHARACTERS if len(chr(c).upper()) > 1]


def table(name, type_name, rows):
    lines = [f"constexpr {type_name} {name}[] = {{"]
    line = "   "
    for row in rows:
        item = " {" + ", ".join(row) + "},"
        if len(line) + len(item) > 108:
            lines.append(line)
            line = "   "
        line += item
    lines.append(line)
    lines.append("};")
    return "\n".join(lines)


def generate():
    parts = [
        "// Written by unicode_tables.py from Unicode " + UNICODE_VERSION + "; do not edit.",
        "// Ranges are inclusive and sorted; a step of 2 means every other character.",
        "// clang-format off",
    ]
    for name, predicate in (("kSpaceRanges", str.isspace), ("kDigitRanges", str.isdigit),
                            ("kUpperRanges", str.isupper)):
        rows = [(f"0x{a:04X}", f"0x{b:04X}", str(step)) for a, b, step in runs(predicate)]
        parts.append(table(name, "CharRange", rows))
    rows = [(f"0x{a:04X}", f"0x{b:04X}", str(step), str(delta)) for a, b, step, delta in simple_uppercase()]
    parts.append(table("kSimpleUpper", "CaseRange", rows))
    rows = [(f"0x{c:04X}", "{" + ", ".join(f"0x{u:04X}" for u in upper) + "}") for c, upper in special_uppercase()]
    parts.append(table("kSpecialUpper", "SpecialUpper", rows))
    parts.append("// clang-format on")
    return "\n".join(parts) + "\n"


def main():
    if unicodedata.unidata_version != UNICODE_VERSION:
        sys.exit(f"unicode_tables.py: expected Unicode {UNICODE_VERSION} (Python 3.11), "
                 f"found {unicodedata.unidata_version} (Python {sys.version.split()[0]})")
    text = generate()
    if sys.argv[1:] == ["--check"]:
        if TARGET.read_text(encoding="utf-8") != text:
            sys.exit(f"{TARGET.name} is not what unicode_tables.py writes: run it and commit the result")
    else:
        TARGET.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
