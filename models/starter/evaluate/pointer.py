"""Word times, skipped and repeated words from the text pointer in the latents (see models/MODEL.md)."""

import numpy as np

from frames import HOP, N_PTR, SR, read_pointer

SPACE = "\u2581"
FRAME = HOP / SR


def pieces_of(model):
    """The pieces of a SentencePiece file, by id: field 1 of each field 1."""

    def fields(b):
        i = 0

        def number():
            nonlocal i
            n = shift = 0
            while True:
                n |= (b[i] & 127) << shift
                i, shift = i + 1, shift + 7
                if b[i - 1] < 128:
                    return n

        while i < len(b):
            key = number()
            if key & 7 == 2:
                size = number()
                yield key >> 3, b[i : i + size]
                i += size
            elif key & 7 == 0:
                yield key >> 3, number()
            else:
                i += {1: 8, 5: 4}[key & 7]

    return [next(v for k, v in fields(row) if k == 1).decode() for field, row in fields(model) if field == 1]


def spans(pieces):
    """[(first piece, last piece + 1)] of the white-space words."""
    starts = [i for i, p in enumerate(pieces) if p.startswith(SPACE) or i == 0]
    return list(zip(starts, starts[1:] + [len(pieces)]))


def track(latents, start=-0.6):
    """Latents [T, width] of a chunk -> (times, positions): the text position, in pieces, at the ends of frames.

    Latent t holds the position at the end of frame t + 1; `start`, at the end of frame 0, is in the model.
    """
    at = read_pointer(latents[:, -2 * N_PTR :], start)
    return FRAME * np.arange(len(at) + 2), np.r_[-1.0, start, at]


def crossing(times, positions, where):
    """First time at which the pointer is at `where` or beyond; None when it never is."""
    ahead = np.nonzero(positions >= where)[0]
    if not len(ahead):
        return None
    k = ahead[0]
    if k == 0:
        return times[0]
    a, b = positions[k - 1], positions[k]
    return times[k - 1] + (times[k] - times[k - 1]) * (where - a) / (b - a)


def words(latents, pieces):
    """One dict for each white-space word of a chunk: text, begin and end in seconds, and what the pointer did there.

    `reached`: the pointer came to its last third.  `again`: after its end the pointer went back to before its middle.
    """
    times, positions = track(latents)
    sound_end = FRAME * len(latents)
    out = []
    for first, last in spans(pieces):
        # Marks at the end of a word last as long as the pause: they are not the word.
        mark = last
        while mark - 1 > first and not any(c.isalnum() for c in pieces[mark - 1]):
            mark -= 1
        begin, end = crossing(times, positions, first), crossing(times, positions, mark)
        passed = np.nonzero(positions >= mark)[0]
        out.append(
            dict(
                text="".join(pieces[first:last]).replace(SPACE, ""),
                pieces=mark - first,
                begin=None if begin is None else round(min(begin, sound_end), 3),
                end=round(min(end if end is not None else times[-1], sound_end), 3),
                reached=bool(positions.max() > mark - (mark - first) / 3),
                again=bool(len(passed) and (positions[passed[0] :] < (first + mark) / 2).any()),
            )
        )
    return out
