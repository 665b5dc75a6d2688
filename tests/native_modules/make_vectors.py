"""Write tests/vectors/kernels.json: python tests/native_modules/make_vectors.py

Each case names a function of `fieldelm.kernels` and its arguments: an int, or [type code, numbers], numbers exact in
that type. `after` gives, for the arguments it names by position, what float64 arithmetic expects in them afterwards,
`returns` the result. A result is right if |result - expected| <= tolerance times the largest |expected| of that
buffer, or times |expected| itself in the buffers that `elementwise` lists.
"""

import json
from pathlib import Path

import kernels_reference as reference
import numpy as np

FILE = Path(__file__).parents[1] / "vectors" / "kernels.json"
# relative to the largest number of a buffer; chosen at about three times the largest error seen, see
# docs/reference/kernels.md
TOLERANCE = {
    "fft_tables": 2e-7,
    "power_spectrum": 1e-6,
    "accumulate": 1e-7,
    "velocity": 1e-6,
    "bands": 1e-6,
    "hidden": 5e-7,
    "residuals": 1e-6,
    "score": 1e-6,
    "update": 2e-6,
}


def f32(numbers):
    return np.asarray(numbers, np.float32)


def code(array):
    return {"float32": "f", "int16": "h", "uint16": "H"}[array.dtype.name]


def case(function, arguments, after, returns=None, name=""):
    return {
        "function": function,
        "name": name,
        "tolerance": TOLERANCE[function],
        "arguments": [a if isinstance(a, int) else [code(a), a.tolist()] for a in arguments],
        "elementwise": {"power_spectrum": [7], "score": [2]}.get(function, []),
        "after": {str(i): np.asarray(expected, float).tolist() for i, expected in after.items()},
        "returns": returns,
    }


def zeros(length):
    return np.zeros(length, np.float32)


def tables(size, m):
    twiddle, window = reference.fft_tables(size, m)
    return case("fft_tables", [zeros(size), zeros(m)], {0: twiddle, 1: window}, name=f"{size} points, {m} samples")


def spectrum(name, samples, channel, axes, size):
    samples = np.asarray(samples, np.int16)
    twiddle, window = map(f32, reference.fft_tables(size, len(samples) // axes))
    bins, power, stats = reference.power_spectrum(samples, channel, axes, window, size)
    work = np.stack([bins.real, bins.imag], 1).ravel()
    arguments = [samples, channel, axes, window, twiddle, zeros(size + 2), zeros(size // 2 + 1), zeros(4)]
    return case("power_spectrum", arguments, {5: work, 6: power, 7: stats}, name=name)


def bands(name, values, edges, params):
    values, edges, params = f32(values), np.asarray(edges, np.uint16), f32(params)
    after = {3: reference.bands(values, edges, params)}
    return case("bands", [values, edges, params, zeros(len(edges) - 1)], after, name=name)


def hidden(name, x, seed, params, h):
    x, params = f32(x), f32(params)
    return case("hidden", [x, seed, params, zeros(h)], {3: reference.hidden(x, seed, params, h)}, name=name)


def signs(seed, n, first):
    """A case whose results tell the signs of 16 inputs apart: they are weighted by powers of two."""
    x = zeros(n)
    x[first : first + 16] = 2.0 ** np.arange(16)[: n - first]
    return hidden(f"signs of inputs {first} to {first + 15} for seed {seed}", x, seed, [1 / 131072, 0], 4)


def score(name, e, weight):
    e, weight = f32(e), f32(weight)
    return case("score", [e, weight, zeros(5)], {2: reference.score(e, weight)}, name=name)


def update(name, matrix, beta, a, e, forgetting):
    p, beta, a, e, params = f32(reference.pack(matrix)), f32(beta).ravel(), f32(a), f32(e), f32([forgetting])
    new_p, new_beta, done = reference.update(p, beta, a, e, float(params[0]))
    return case("update", [p, beta, a, e, params, zeros(len(a))], {0: new_p, 1: new_beta}, done, name)


def vectors():
    rng = np.random.default_rng(20261122)
    noise = rng.integers(-300, 300, 150)
    sine = 1000 * np.sin(2 * np.pi * 0.15 * np.arange(100)[:, None] + [0, 1, 2]) + rng.normal(0, 5, (100, 3))
    power = f32(rng.exponential(3, 33))
    x, a, beta = f32(rng.normal(size=21)), f32(rng.uniform(size=6)), f32(rng.normal(size=6 * 21))
    e = f32(rng.normal(size=9) * 0.1)
    root = rng.normal(size=(5, 5))
    matrix, weights, activations = root @ root.T + np.eye(5), rng.normal(size=(5, 9)), rng.uniform(size=5)
    speed, wide = f32([1.5625, 10, 40, 0.038]), f32([1, 0, 9, 1])
    return [
        tables(4, 1),
        tables(16, 16),
        tables(64, 50),
        spectrum("noise on three axes, middle one, window padded", noise, 1, 3, 64),
        spectrum("three sines, last axis", sine.round().ravel(), 2, 3, 128),
        spectrum("saturated", np.tile([32767, -32768], 8), 0, 1, 16),
        spectrum("constant", [-123] * 16, 0, 1, 16),
        spectrum("one sample", [77], 0, 1, 4),
        spectrum("smallest transform", [1, -2, 3, 5], 0, 1, 4),
        case("accumulate", [power, power[::-1].copy()], {0: power + power[::-1].astype(float)}),
        case("velocity", [power, speed, zeros(1)], {2: [reference.velocity(power, speed)]}, name="10 to 40 Hz"),
        case("velocity", [power, wide, zeros(1)], {2: [reference.velocity(power, wide)]}, name="DC left out"),
        case("velocity", [power, f32([1, 99, 999, 1]), zeros(1)], {2: [0]}, name="no bin in the band"),
        bands("unequal widths", power, [1, 2, 4, 8, 16, 33], [0.02, 0.25, 1]),
        bands("zeros, no floor", zeros(4), [0, 1, 4], [0, 1, 0]),
        bands("wide range", f32([1e-20, 1e-3, 1, 1e3, 1e9, 3e38]), range(7), [1e-12, 1, 0]),
        hidden("21 inputs, 9 units", x, 7, [0.3, 1], 9),
        hidden("one input, one unit", [0.5], 0, [1, 0.5], 1),
        hidden("saturated", [100], 3, [1, 0], 6),
        signs(0, 16, 0),
        signs(1, 33, 16),
        signs(0xFFFFFFFF, 20, 0),
        signs(0x9E3779B9, 40, 16),  # the seed whose state would be zero
        hidden("biases alone", zeros(5), 12345, [1, 1], 12),
        case("residuals", [x, a, beta, zeros(21)], {3: reference.residuals(x, a, beta)}),
        score("weighted", e, rng.uniform(0.5, 2, 9)),
        score("ties", [1, -2, 0, 2, 2], [1, 1, 1, 1, 1]),
        score("zeros", [0, 0, 0], [1, 1, 1]),
        score("one", [0.25], [4]),
        update("no forgetting", matrix, weights, activations, e, 1),
        update("forgetting", matrix, weights, activations, e, 0.97),
        update("one input, one unit", np.array([[10.0]]), [0.1], [0.5], [0.2], 0.99),
        update("forgetting pauses", np.diag([9000.0, 1, 1, 1, 1]), weights, [0, 0.5, 0.5, 1, 1], e, 0.5),
        update("refused: P is not positive", -matrix, weights, activations, e, 1),
        update("refused: residual beyond 1e15", matrix, weights, activations, [0, 2e15, *[0] * 7], 1),
    ]


def text():
    cases = ",\n".join(json.dumps(c) for c in vectors())
    return f'{{"about": "cases of the kernels, see tests/native_modules/make_vectors.py", "cases": [\n{cases}\n]}}\n'


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
