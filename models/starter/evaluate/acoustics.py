"""Measures of sound, in numpy alone.  Sound is float in -1 .. 1; levels are dBFS (a full-scale square is 0 dB)."""

import struct
import zlib

import numpy as np

SR, LOW, HOP = 24000, 16000, 160  # the pack's rate; the rate at which it is compared with the teacher; 10 ms of the latter
BANDS, WINDOW, NFFT = 80, 400, 512


def dbfs(x):
    return 10 * np.log10(np.mean(np.square(np.asarray(x, "f8"))) + 1e-12)


def resample(x):
    """24 kHz -> 16 kHz, windowed sinc."""
    n = np.arange(-30, 31)
    h = np.sinc(n / 3) * np.kaiser(61, 5.0)
    up = np.zeros(2 * len(x))
    up[::2] = x
    return convolve(up, 2 * h / h.sum())[30 : 30 + 2 * len(x)][::3]


def convolve(x, h):
    n = len(x) + len(h) - 1
    size = 1 << (n - 1).bit_length()
    return np.fft.irfft(np.fft.rfft(x, size) * np.fft.rfft(h, size), size)[:n]


# ---- loudness ------------------------------------------------------------------------------------------------------------


def k_weighted(x, sr):
    """ITU-R BS.1770's head and low-cut filters, for any rate."""
    size = 1 << (len(x) + sr // 2).bit_length()
    z = np.exp(-2j * np.pi * np.fft.rfftfreq(size))
    gain, q, f = 10 ** (3.999843853973347 / 20), 0.7071752369554196, 1681.974450955533
    k = np.tan(np.pi * f / sr)
    mid = gain**0.4996667741545416
    shelf = np.array([gain + mid * k / q + k * k, 2 * (k * k - gain), gain - mid * k / q + k * k])
    H = (shelf[0] + shelf[1] * z + shelf[2] * z**2) / (1 + k / q + k * k + 2 * (k * k - 1) * z + (1 - k / q + k * k) * z**2)
    q, f = 0.5003270373238773, 38.13547087602444
    k = np.tan(np.pi * f / sr)
    H = H * (1 - 2 * z + z**2) / (1 + 2 * (k * k - 1) / (1 + k / q + k * k) * z + (1 - k / q + k * k) / (1 + k / q + k * k) * z**2)
    return np.fft.irfft(np.fft.rfft(x, size) * H, size)[: len(x)]


def loudness(x, sr=SR):
    """Integrated loudness in LUFS, gated as in BS.1770-4; less than 400 ms is one block."""
    y = np.square(k_weighted(np.asarray(x, "f8"), sr))
    block, step = int(0.4 * sr), int(0.1 * sr)
    total = np.concatenate([[0.0], np.cumsum(y)])
    starts = np.arange(0, max(len(y) - block, 0) + 1, step)
    ends = np.minimum(starts + block, len(y))
    z = (total[ends] - total[starts]) / np.maximum(ends - starts, 1)
    level = lambda p: -0.691 + 10 * np.log10(p + 1e-12)
    z = z[level(z) > -70]
    if not len(z):
        return float("-inf")
    return float(level(z[level(z) > level(z.mean()) - 10].mean()))


# ---- spectrum and time alignment -----------------------------------------------------------------------------------------


def mel_bank(sr=LOW, top=7600):
    f = np.fft.rfftfreq(NFFT, 1 / sr)
    points = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + top / 700), BANDS + 2) / 2595) - 1)
    low, mid, high = points[:-2, None], points[1:-1, None], points[2:, None]
    bank = np.clip(np.minimum((f - low) / (mid - low), (high - f) / (high - mid)), 0, None)
    return bank / bank.sum(1, keepdims=True)


BANK = mel_bank()


def log_mel(x):
    """16 kHz -> [frames, BANDS] in dB, a frame every 10 ms, centred."""
    x = np.pad(np.asarray(x, "f8"), WINDOW // 2)
    ix = np.arange((len(x) - WINDOW) // HOP + 1)[:, None] * HOP + np.arange(WINDOW)
    power = np.abs(np.fft.rfft(x[ix] * np.hanning(WINDOW), NFFT)) ** 2
    return 10 * np.log10(power @ BANK.T + 1e-10)


def clipped(a, below=60):
    """No value further than `below` dB under the loudest: silence has no spectrum to compare."""
    return np.maximum(a, a.max() - below)


def align(a, b):
    """Dynamic time warping of [n, k] with [m, k]: (cost of each step of the path, indices into a, into b)."""
    cost = np.sqrt(np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 0) / a.shape[1])
    n, m = cost.shape
    total = np.full((n + 1, m + 1), np.inf)
    total[0, 0] = 0
    for d in range(2, n + m + 1):  # anti-diagonals
        i = np.arange(max(1, d - m), min(n, d - 1) + 1)
        j = d - i
        c = cost[i - 1, j - 1]
        # A step that stands still in one of the two costs as much again: no free waiting.
        total[i, j] = np.minimum(total[i - 1, j - 1] + c, np.minimum(total[i - 1, j], total[i, j - 1]) + 1.5 * c)
    i, j, path = n, m, []
    while i and j:
        path.append((i - 1, j - 1))
        c = cost[i - 1, j - 1]
        i, j = min([(total[i - 1, j - 1] + c, i - 1, j - 1), (total[i - 1, j] + 1.5 * c, i - 1, j), (total[i, j - 1] + 1.5 * c, i, j - 1)])[1:]
    p, q = np.array(path[::-1]).T
    return cost[p, q], p, q


def pitch(x):
    """F0 in Hz of the voiced 10 ms frames of 16 kHz sound, by autocorrelation, 100 .. 300 Hz."""
    size, lags = 640, np.arange(LOW // 300, LOW // 100 + 1)
    if len(x) < size:
        return np.zeros(0)
    ix = np.arange((len(x) - size) // HOP + 1)[:, None] * HOP + np.arange(size)
    y = np.asarray(x, "f8")[ix]
    y = y[(y**2).mean(1) > 1e-5]
    y = y - y.mean(1, keepdims=True)
    ac = np.fft.irfft(np.abs(np.fft.rfft(y, 2 * size)) ** 2)[:, : lags[-1] + 2]
    ac = ac / ac[:, :1] * (size / (size - np.arange(ac.shape[1])))
    best = lags[np.argmax(ac[:, lags], 1)]
    peak = ac[np.arange(len(y)), best]
    a, c = ac[np.arange(len(y)), best - 1], ac[np.arange(len(y)), best + 1]
    bend = np.where(np.abs(a - 2 * peak + c) > 1e-9, a - 2 * peak + c, -1)
    return (LOW / (best + np.clip(0.5 * (a - c) / bend, -0.5, 0.5)))[peak > 0.5]


# ---- clicks --------------------------------------------------------------------------------------------------------------


def join(x, at, reach=SR // 5):
    """A join before sample `at`: its jump, the largest jump and the largest change of slope of the 200 ms on both sides of it.

    Returns (jump, largest other jump, change of slope, largest other change of slope), all absolute.
    """
    near = x[max(at - reach, 0) : at + reach].astype("f8")
    k = at - max(at - reach, 0)
    first, second = np.abs(np.diff(near)), np.abs(np.diff(near, 2))
    other1, other2 = np.delete(first, k - 1), np.delete(second, [k - 2, k - 1])
    return first[k - 1], other1.max(), second[k - 2 : k].max(), other2.max()


def border_energy(x, frame):
    """Power of the second difference at the samples around frame borders, against all other samples, in dB."""
    d = np.square(np.diff(np.asarray(x, "f8"), 2))
    phase = (np.arange(len(d)) + 2) % frame
    at = (phase <= 1) | (phase == frame - 1)
    return 10 * np.log10((d[at].mean() + 1e-14) / (d[~at].mean() + 1e-14))


# ---- pictures ------------------------------------------------------------------------------------------------------------


def png(path, grey):
    """[height, width] of 0 .. 255 as a PNG file of 16 grey levels."""
    levels = np.clip(np.asarray(grey) / 16, 0, 15).astype("u1")
    if levels.shape[1] % 2:
        levels = np.pad(levels, ((0, 0), (0, 1)))
    packed = levels[:, ::2] << 4 | levels[:, 1::2]
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", levels.shape[1], levels.shape[0], 4, 0, 0, 0, 0)
    open(path, "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def spectrogram(x):
    """16 kHz -> [256, frames] of 0 .. 255, 5 ms a column, 31 Hz a row, 70 dB deep, dark is loud."""
    window = 160  # 10 ms: formants rather than harmonics
    x = np.pad(np.asarray(x, "f8"), window)
    x = np.append(x[0], x[1:] - 0.9 * x[:-1])
    ix = np.arange((len(x) - window) // 80 + 1)[:, None] * 80 + np.arange(window)
    s = 20 * np.log10(np.abs(np.fft.rfft(x[ix] * np.hanning(window), 512))[:, :256] + 1e-6)
    return np.clip((s.max() - s.T[::-1]) / 70, 0, 1) * 255
