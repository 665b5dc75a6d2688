"""Streams of rows for the suites: block bootstrap of recordings, and a machine that is computed.

Block bootstrap (E. Carlstein, Annals of Statistics 14(3), 1986): a recording is cut into blocks of 16 neighbouring rows, which
are drawn with replacement, so rows keep their neighbours and a stream may be longer than its recording. What a node is trained
on, what its threshold is set with and what it is tested on are drawn from different blocks (`apart`): a row that was
learned is no test, and a threshold set with rows that were learned is too low.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 16
DAY = 1440
"""Rows: one a minute."""
BINS = 255
Rows = NDArray[Any]


def apart(rows: Rows, counts: Sequence[int], random: np.random.Generator) -> list[Rows]:
    """Disjoint parts of a recording: for each count so many rows, in blocks drawn without replacement; last, all other blocks.

    Raises ValueError if the recording has too few blocks for them.
    """
    blocks = random.permutation(len(rows) // BLOCK)
    parts, first = [], 0
    for count in (*counts, None):
        last = len(blocks) if count is None else first + -(-count // BLOCK)
        if last > len(blocks) or first == len(blocks):
            raise ValueError(f"{len(rows)} rows are too few for {sum(counts)} and a rest")
        index = (BLOCK * blocks[first:last, None] + np.arange(BLOCK)).reshape(-1)
        parts.append(np.asarray(rows[index[:count]]))
        first = last
    return parts


def block_means(rows: Rows) -> NDArray[np.float64]:
    """Means of the successive blocks of a recording."""
    count = len(rows) // BLOCK
    means: NDArray[np.float64] = np.asarray(rows[: count * BLOCK], dtype=float).reshape(count, BLOCK, -1).mean(1)
    return means


def bootstrap(rows: Rows, count: int, random: np.random.Generator) -> Rows:
    """`count` rows in blocks of 16."""
    if len(rows) < BLOCK:
        return rows[random.integers(0, len(rows), count)]
    starts = BLOCK * random.integers(0, len(rows) // BLOCK, -(-count // BLOCK))
    index = (starts[:, None] + np.arange(BLOCK)).reshape(-1)[:count]
    return np.asarray(rows[index])


@dataclasses.dataclass(frozen=True)
class Plant:
    """A fan as a spectrum of 255 bins of 2 Hz: harmonics, blade pass, flow noise through two resonances, a noise floor.

    Load and temperature swing once a day: load makes speed (1 %) and flow noise (1.5 dB) go up and down, temperature moves the
    resonances (2 %) and the sensor's gain (0.5 %). Single windows differ by heavy-tailed gains (Student t, 4 degrees
    of freedom) and, of each bin, by the scatter of an averaged periodogram. It stops for `stopped` rows (first, last).
    """

    seed: int
    swing: float = 1.0
    """1: as above; 0: no days and nights"""
    scatter: float = 0.06
    """standard deviation of the natural logarithm of a window's gain, of a tone's and of the noise's"""
    averages: int = 4
    """periodograms averaged in a spectrum"""
    start: int = 0
    """row at which `rows` begins: the time of day goes on from there"""
    minutes: int = 1
    """from row to row"""

    def rows(self, count: int, stopped: tuple[int, int] | None = None) -> Iterator[Rows]:
        """Spectra in parts of at most 1,000 rows."""
        random = np.random.default_rng((self.seed, self.start))
        fixed = np.random.default_rng(self.seed)
        shaft_hz = fixed.uniform(22, 45)
        blades = int(fixed.integers(5, 10))
        orders = np.array([1, 2, 3, blades, 2 * blades], float)
        levels = np.array([1.0, 0.4, 0.2, 0.8, 0.3]) * np.exp(fixed.normal(0, 0.3, 5))
        resonances = fixed.uniform((120, 260), (200, 420))
        bins = 2.0 * np.arange(1, BINS + 1)
        for first in range(0, count, 1000):
            time = np.arange(first, min(first + 1000, count)) + self.start
            n = len(time)
            day = self.swing * np.sin(2 * np.pi * self.minutes * time / DAY)
            warm = self.swing * np.sin(2 * np.pi * (self.minutes * time - 180) / DAY)
            running = np.ones(n) if stopped is None else ((time < stopped[0]) | (time >= stopped[1])).astype(float)
            flow = np.full((n, BINS), 0.0)
            for hz in resonances:
                centre = hz * (1 + 0.02 * warm)[:, None]
                flow += 1 / (1 + ((bins - centre) / (0.06 * centre)) ** 2)
            power = (0.15 * (0.05 + flow / (1 + bins / 300))) ** 2
            power *= np.exp(2 * (0.17 * day + self._heavy(random, n)) * running)[:, None]
            speed = shaft_hz * (1 + 0.01 * day + 0.002 * random.normal(size=n))
            for order, level in zip(orders, levels, strict=True):
                amplitude = level * np.exp(0.1 * day + self._heavy(random, n))
                hz = order * speed
                width = 1.5  # a Hann window's main lobe, in bins of 2 Hz
                power += (amplitude[:, None] * np.exp(-0.5 * ((bins - hz[:, None]) / width) ** 2)) ** 2
            power = power * running[:, None] + 0.004**2
            power *= random.gamma(self.averages, 1 / self.averages, (n, BINS))
            yield np.sqrt(power) * np.exp(0.005 * warm + 0.2 * self._heavy(random, n))[:, None]

    def _heavy(self, random: np.random.Generator, n: int) -> Rows:
        return np.asarray(self.scatter * random.standard_t(4, n) / np.sqrt(2))


def band_edges(columns: int, bands: int = 64) -> NDArray[np.int64]:
    """As the node's `features.band_edges` over all bins."""
    return np.array([columns * i // bands for i in range(bands + 1)])


def band_sigma(rows: Rows, band: int) -> float:
    """Standard deviation of the logarithm of one band's level."""
    edges = band_edges(rows.shape[1])
    return float(np.log(rows[:, edges[band] : edges[band + 1]].mean(1)).std())


def grow_band(rows: Rows, band: int, shift: NDArray[np.float64]) -> Rows:
    """Raise the logarithm of one band by `shift`, one value a row."""
    edges = band_edges(rows.shape[1])
    grown = np.array(rows, dtype=float)
    grown[:, edges[band] : edges[band + 1]] *= np.exp(shift)[:, None]
    return grown


def season(rows: Rows) -> Rows:
    """The upper half of the bins rises by 3 dB and comes back, over all the rows."""
    stream = np.array(rows, float)
    drift = 0.345 * (1 - np.cos(2 * np.pi * np.arange(len(rows)) / len(rows))) / 2
    stream[:, rows.shape[1] // 2 :] *= np.exp(drift)[:, None]
    return stream
