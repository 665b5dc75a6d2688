"""Float64 twins of what `bench_kernels.py` computes on the Pico."""

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZE = 1024
VARIANCE = 0.01
Array = NDArray[np.float64]


def error(name: str, n: int, h: int, made: dict[str, Any], *, explained: bool = False) -> float:
    """How far the kernel is off: amplitudes by the largest one, bands in natural logarithms, scores relative.

    Scores are held against a float64 recursion that has the same activations, over the rows from the first that is
    overdetermined on; where there is but one row (`python`), its score is held against that of an untrained model. `explained`:
    rows were scored by what explains them best.
    """
    if name.startswith("fft"):
        return _amplitudes(made)
    if name.startswith("bands"):
        return float(np.abs(np.array(made["bands"]) - _bands(_power(_samples(0)), n, 4 / 3, 0.0)).max())
    if name.startswith("window"):
        inputs = [np.array(row[2]) for row in made["rows"]]
        ours = np.array([_bands(_power(_samples(i)), n, 0.5, -3.0) for i in range(len(inputs))])
        return max(float(np.abs(np.array(inputs) - ours).max()), _scores(made["rows"], inputs, h, explained))
    return _scores(made["rows"], [_features(i, n) for i in range(len(made["rows"]))], h, explained)


def _samples(window: int) -> Array:
    out, noise = np.zeros(SIZE), 12345 + window
    for i in range(SIZE):
        noise = (noise * 75 + 74) % 65537
        out[i] = 20 * abs(i * (40 + window % 3) % 400 - 200) + noise % 512
    return out


def _features(row: int, n: int) -> Array:
    out, noise = np.zeros(n), 54321 + row
    for i in range(n):
        noise = (noise * 75 + 74) % 65537
        out[i] = ((i * (3 + row % 4) % 64) - 32) / 64 + (noise % 1024 - 512) / 2048
    return out


def _power(x: Array) -> Array:
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(SIZE) / SIZE)
    power = 2 * np.abs(np.fft.rfft(window * (x - x.mean()))) ** 2 / (SIZE * (window**2).sum())
    power[[0, -1]] /= 2
    return np.asarray(power, np.float64)


def _amplitudes(made: dict[str, Any]) -> float:
    data = bytes.fromhex(made["power"])
    power = np.frombuffer(data, "<f4" if made["scale"] is None else "<u4").astype(float)
    if made["scale"] is not None:
        power *= 4 / 3 * 4.0 ** -made["scale"]
    exact = np.sqrt(_power(_samples(0)))
    return float(np.abs(np.sqrt(power) - exact).max() / exact.max())


def _bands(power: Array, n: int, floor: float, offset: float) -> Array:
    edges = 1 + np.arange(n + 1) * (SIZE // 2) // n
    means = np.array([power[a:b].mean() for a, b in itertools.pairwise(edges)])
    return np.asarray(0.5 * np.log(means + floor) + offset, np.float64)


def _scores(rows: list[Any], inputs: list[Array], h: int, explained: bool) -> float:
    beta, p, worst = np.zeros((h, len(inputs[0]))), np.eye(h) * 10.0, 0.0
    for i, (row, x) in enumerate(zip(rows, inputs, strict=True)):
        a = np.array(row[0])
        e = found = x - a @ beta
        if explained:
            found = x - np.linalg.solve(beta @ beta.T + VARIANCE * max(i, 1) * p, beta @ x) @ beta
        if len(rows) == 1 or i > h or len(rows) <= h:
            worst = max(worst, abs(row[1] / float((found**2).mean()) - 1))
        u = p @ a
        k = u / (1 + a @ u)
        beta += np.outer(k, e)
        p -= np.outer(k, u)
        p = (p + p.T) / 2
    return worst
