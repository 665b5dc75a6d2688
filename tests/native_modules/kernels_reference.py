"""The kernels in float64 with NumPy, written from the equations and not from the kernels: what both are measured
against.

Arguments are NumPy arrays; results are returned. Only the shift register, which is defined bit by bit, is the same.
"""

from itertools import pairwise

import numpy as np

TINY = 2.0**-100
P_LIMIT = 1e4
LIMIT = 1e15


def fft_tables(size, m):
    angle = 2 * np.pi * np.arange(size // 2) / size
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(m) / m)
    return np.stack([np.cos(angle), np.sin(angle)], 1).ravel(), window


def power_spectrum(samples, channel, axes, window, size):
    """Spectrum (complex bins), power, stats."""
    x = samples.reshape(-1, axes)[:, channel].astype(float)
    window = window.astype(float)
    bins = np.fft.rfft(window * (x - x.mean()), size)
    energy = (window**2).sum()
    power = np.abs(bins) ** 2 / (size * energy) if energy > 0 else np.zeros(len(bins))
    power[1:-1] *= 2
    return bins, power, np.array([x.mean(), x.var(), x.min(), x.max()])


def velocity(power, params):
    bin_width, low, high, scale = params.astype(float)
    frequency = np.arange(len(power)) * bin_width
    band = (frequency >= low) & (frequency <= high) & (np.arange(len(power)) > 0)
    return 1000 * np.sqrt((power[band] * (scale / (2 * np.pi * frequency[band])) ** 2).sum())


def bands(spectrum, edges, params):
    floor, gain, offset = params.astype(float)
    means = np.array([spectrum[a:b].astype(float).mean() for a, b in pairwise(edges)])
    return gain * np.log(np.maximum(means + floor, TINY)) + offset


class ShiftRegister:
    """Two 16-bit words, xorshift with 5, 3, 1."""

    def __init__(self, seed):
        self.x, self.y = seed >> 16 & 0xFFFF ^ 0x9E37, seed & 0xFFFF ^ 0x79B9
        if not (self.x or self.y):
            self.y = 1
        for _ in range(32):
            self.next()

    def next(self):
        t = (self.x ^ self.x << 5) & 0xFFFF
        self.x, self.y = self.y, self.y ^ self.y >> 1 ^ t ^ t >> 3
        return self.y


def projection(seed, n, h):
    """Signs (n x h, +1 or -1) and biases (h) of the hidden layer."""
    register = ShiftRegister(seed)
    signs, biases = np.empty((n, h)), np.empty(h)
    for j in range(h):
        biases[j] = (register.next() - 32768) / 32768
        words = [register.next() for _ in range((n + 15) // 16)]
        signs[:, j] = [1 if words[i // 16] >> i % 16 & 1 else -1 for i in range(n)]
    return signs, biases


def hidden(x, seed, params, h):
    signs, biases = projection(seed, len(x), h)
    z = float(params[0]) * (x.astype(float) @ signs) + float(params[1]) * biases
    return 1 / (1 + np.exp(-np.clip(z, -30, 30)))


def residuals(x, a, beta):
    return x - a.astype(float) @ beta.astype(float).reshape(len(a), len(x))


def score(e, weight):
    value = weight * e.astype(float) ** 2
    order = np.argsort(-value, kind="stable")
    second = (value[order[1]], order[1]) if len(e) > 1 else (0, 0)
    return np.array([value.mean(), value[order[0]], order[0], *second])


def unpack(p, h):
    """Symmetric matrix from its lower triangle by rows."""
    matrix = np.zeros((h, h))
    matrix[np.tril_indices(h)] = p
    return matrix + np.tril(matrix, -1).T


def pack(matrix):
    return matrix[np.tril_indices(len(matrix))]


def update(p, beta, a, e, forgetting):
    """p, beta after the step, and whether it was done."""
    matrix, a, e = unpack(p, len(a)), a.astype(float), e.astype(float)
    u = matrix @ a
    d = forgetting + a @ u
    if not 0 < d <= LIMIT or not (np.abs(e) <= LIMIT).all():
        return p, beta, False
    matrix = matrix - np.outer(u, u) / d
    if matrix.diagonal().max() <= P_LIMIT * forgetting:
        matrix = matrix / forgetting
    return pack(matrix), (beta.reshape(len(a), len(e)) + np.outer(u / d, e)).ravel(), True
