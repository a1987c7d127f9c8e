"""Frame-locked vocoder: teacher parameters <-> 12.5 Hz latents <-> 24 kHz target audio.

One latent = 80 ms = 16 parameter frames of 5 ms.  Every latent frame holds a whole number n of pitch periods
that start at the frame boundary, and the same 80 ms noise sequence, so audio is a deterministic function of
the latents: there is no phase to model and plain regression trains both the decoder and the flow LM.

Latent layout: [N_PCA spectral PCA | N_BIN pitch bins (soft one-hot of n) | 1 constant | 2 * N_PTR text pointer].
The decoder ignores the pointer; of a fed-back latent the flow LM reads nothing but the pointer.
"""

import numpy as np

SR, HOP, SUB = 24000, 1920, 16
N_PCA, N_BIN, N_PTR = 40, 8, 6
N_LO = 11  # pitch bins are n = 11..18 periods per frame = 137.5..225 Hz
LDIM = N_PCA + N_BIN + 1 + 2 * N_PTR
HEAD_DIM = 32
MAX_PERIOD = 100000  # of the flow LM's RoPE: pairs 10..15 turn less than 0.2 rad over 250 positions
PTR_PAIRS = [0, 1, 2, 3, 4, 5]  # the pointer uses these RoPE frequencies (periods 6.3 .. 229 tokens)
PTR_OMEGA = np.exp(-np.log(MAX_PERIOD) * np.array(PTR_PAIRS) * 2 / HEAD_DIM)  # radians per token
W = np.r_[1.0, np.full(24, 1.0), 0.7, np.full(5, 0.5)].astype("f4")  # feature weights: mcep, voicing, strengths


def read_dump(path):
    """Yields (line number, params [T, 31], segments) of a flitedump file."""
    b = np.memmap(path, np.uint8, "r")
    o = 0
    while o < len(b):
        n, T, C, ns = b[o : o + 16].view("i4")
        o += 16
        p = b[o : o + 4 * T * C].view("f4").reshape(T, C)
        o += 4 * T * C
        s = b[o : o + 16 * ns].view([("e", "f4"), ("t", "i4"), ("p", "S8")])
        o += 16 * ns
        yield int(n), p, s


def features(p):
    """params [T, 31] -> (stacked weighted features [F, 16*31], pitch u [F] in periods per frame)."""
    F = -(-len(p) // SUB)
    p = np.concatenate([p, np.repeat(p[-1:], F * SUB - len(p), 0)])
    v = (p[:, 0] > 0).astype("f4")
    x = np.concatenate([p[:, 1:26], v[:, None], p[:, 26:31]], 1)
    x[:, 26:31] *= v[:, None]
    idx = np.where(v > 0)[0]
    f0 = np.interp(np.arange(len(p)), idx, p[idx, 0]) if len(idx) else np.full(len(p), 170.0)
    u = np.clip(f0.reshape(F, SUB).mean(1) * HOP / SR, N_LO, N_LO + N_BIN - 1)
    return (x * W).reshape(F, -1), u.astype("f4")


def pitch_bins(u, width=0.5):
    k = np.arange(N_LO, N_LO + N_BIN)
    return np.exp(-0.5 * ((np.asarray(u)[:, None] - k) / width) ** 2).astype("f4")


def warp(nfft, sr=16000):
    """z~^-m on the bins below 8 kHz, complex [bins, 25], and the gain above."""
    f = np.fft.rfftfreq(nfft, 1 / SR)
    zi = np.exp(-2j * np.pi * np.minimum(f, 8000) / sr)
    z = (zi - ALPHA) / (1 - ALPHA * zi)
    gain = 10 ** (-30 / 20 * np.clip((f - 8000) / 4000, 0, 1)) * np.clip(f / 70, 0, 1) ** 2
    return z[:, None] ** np.arange(25), gain


# The teacher's waveform stage, as far as frames of whole periods allow (its values for this voice):
ALPHA, BETA, GAIN = 0.42, 0.4, 1.5  # warping, post-filter, level
# responses of its five excitation bands every 250 Hz to 8 kHz; together they leave a dip at 1.25 kHz
BANDS = np.array(
    [
        [1, 0.95, 0.71, 0.33, 0.07, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0.02, 0.2, 0.56, 0.75, 0.53, 0.18, 0.02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0.08, 0.36, 0.74, 0.96, 1, 1, 1, 1, 0.92, 0.64, 0.26, 0.04, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.08, 0.36, 0.74, 0.96, 1, 1, 1, 1, 1, 0.97, 0.79, 0.42, 0.11, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.03, 0.21, 0.58, 0.89, 0.99, 1, 1, 0.97, 1, 1],
    ]
)
UNVOICED = np.array([0.30, 0.46, 0.34, 0.30, 0.33])  # mean strengths where features() keeps none: less noise there, too


def postfilter(mc, Z):
    """Sharper formants at equal energy: mel-cepstra [T, 25] and warp()'s columns below 8 kHz -> [T, 25]."""
    b = mc.copy()  # the filter's own coefficients
    for k in range(23, -1, -1):
        b[:, k] = mc[:, k] - ALPHA * b[:, k + 1]
    b[:, 1] -= BETA * ALPHA * mc[:, 2]
    b[:, 2:] *= 1 + BETA
    out = b.copy()
    out[:, :-1] += ALPHA * b[:, 1:]
    energy = lambda c: np.exp(2 * (c @ Z.real.T)).mean(1)
    out[:, 0] += np.log(energy(mc) / energy(out)) / 2
    return out


_rng = np.random.RandomState(0)
NOISE = _rng.uniform(-1.73, 1.73, HOP)
PULSE = np.zeros((N_BIN, HOP))
for _i in range(N_BIN):
    _n = N_LO + _i
    PULSE[_i, np.round(np.arange(_n) * HOP / _n).astype(int)] = np.sqrt(HOP / _n)


def synth(feat, u):
    """Stacked features [F, 16*31] and pitch -> 24 kHz audio [F*1920] (float32)."""
    nfft, h = 1024, SR // 200
    F = len(feat)
    x = (feat.reshape(F * SUB, -1) / W).astype("f8")
    Z, gain = warp(nfft)
    fr = np.fft.rfftfreq(nfft, 1 / SR)
    band = np.array([np.interp(fr, np.arange(33) * 250, r) for r in BANDS])  # [5, bins]
    n = np.clip(np.round(u).astype(int) - N_LO, 0, N_BIN - 1)
    pul = np.concatenate([np.zeros(h), PULSE[n].reshape(-1), np.zeros(h)])
    noi = np.concatenate([np.zeros(h), np.tile(NOISE, F), np.zeros(h)])
    win = np.hanning(2 * h + 1)[:-1]
    ix = np.arange(F * SUB)[:, None] * h + np.arange(2 * h) + h // 2  # centred on the 5 ms frame
    P, N = np.fft.rfft(pul[ix] * win, nfft), np.fft.rfft(noi[ix] * win, nfft)
    H = np.exp(postfilter(x[:, :25], Z[fr <= 8000]) @ Z.T) * gain * GAIN
    vs, st = np.clip(x[:, 25:26], 0, 1), np.clip(x[:, 26:31], 0, 1)
    E = P * (vs * st @ band) + N * (np.clip(1 - vs * st - (1 - vs) * UNVOICED, 0, 1) @ band)
    y = np.fft.irfft(H * E, nfft)
    out = np.zeros(F * HOP + 2 * h + nfft)
    for i in range(F * SUB):
        o = i * h + h // 2
        out[o : o + nfft] += y[i]
    return out[h : h + F * HOP].astype("f4")


def pointer(j):
    """Text position (in tokens, fractional) -> its 2 * N_PTR latent dimensions."""
    a = np.asarray(j)[..., None] * PTR_OMEGA
    return np.concatenate([np.cos(a), np.sin(a)], -1).astype("f4")


def read_pointer(z, j0=-1.0):
    """Pointer dimensions [T, 2 * N_PTR] -> positions, each searched near the one before."""
    out, j = [], j0
    for v in np.asarray(z):
        g = j + np.linspace(-3, 6, 361)
        a = g[:, None] * PTR_OMEGA
        j = g[np.argmax(np.cos(a) @ v[:N_PTR] + np.sin(a) @ v[N_PTR:])]
        out.append(j)
    return np.array(out)
