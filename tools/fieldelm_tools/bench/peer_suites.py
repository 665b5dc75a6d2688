"""The peers on the wear and drift suites: same rows, inputs, threshold rule and persistence; none of them retrains.

An alarm is raised when six of the newest eight rows are above the threshold, and is over when none of eight is.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldelm import defaults

from . import peers
from .cooling_fan import RATE_HZ, CoolingFan
from .figures import peer_threshold
from .node import Node, Settings
from .streams import DAY, Plant, band_sigma, bootstrap, grow_band

Rows = NDArray[Any]
BANDS = 64


def alarms(above: NDArray[np.bool_]) -> list[int]:
    """Rows at which an alarm begins."""
    found, standing = [], False
    count = np.convolve(above.astype(int), np.ones(8, int))[: len(above)]
    for row, number in enumerate(count):
        if not standing and number >= defaults.DECIDE_OF_8:
            found.append(row)
            standing = True
        elif standing and number == 0:
            standing = False
    return found


def _judge(name: str, train: Rows, held_back: Rows, stream: Rows, onset: int | None) -> dict[str, Any]:
    fit, logarithmic = peers.PEERS[name]
    score = fit(train, 1)
    above = score(stream) > peer_threshold(score(held_back), logarithmic)
    begun = alarms(above)
    false = [row for row in begun if onset is None or row < onset]
    found = [row for row in begun if onset is not None and row >= onset]
    return {
        "peer": name,
        "false alarms": len(false),
        "rows above the threshold": f"{100 * above[:onset].mean():.1f}%",
        "delay in rows": found[0] - onset if found and onset is not None else "",
    }


def _inputs(settings: Settings, train: Rows, parts: Sequence[Rows]) -> list[NDArray[np.float64]]:
    with Node(settings) as node:
        node.live(train)
        return [node.inputs(part, BANDS) for part in parts]


def wear(quick: bool) -> list[dict[str, Any]]:
    """One band grows by 0.001 of its standard deviation a row, after two healthy days."""
    step, healthy = (0.005, DAY) if quick else (0.001, 2 * DAY)
    rows = int(6 / step)
    train = np.concatenate(list(Plant(seed=1000).rows(DAY)))
    cut = DAY * 3 // 4
    band = 20
    sigma = band_sigma(train, band)
    stream = np.concatenate(list(Plant(seed=1000, start=DAY).rows(healthy + rows)))
    stream = grow_band(stream, band, np.maximum(np.arange(len(stream)) - healthy, 0) * step * sigma)
    settings = Settings(columns=255, rate_hz=RATE_HZ, train_rows=cut, calibration_rows=DAY - cut)
    a, b, c = _inputs(settings, train, (train[:cut], train[cut:], stream))
    return [_judge(name, a, b, c, healthy) for name in peers.PEERS]


def drift(fan: CoolingFan, quick: bool) -> list[dict[str, Any]]:
    """All bands of the upper half drift by 3 dB and back: nothing is to be found."""
    rows = 2000 if quick else 6000
    recording = fan.recording("m", "normal", "silentA")
    stream = np.array(bootstrap(recording, rows, np.random.default_rng(0)), float)
    season = 0.345 * (1 - np.cos(2 * np.pi * np.arange(rows) / rows)) / 2
    stream[:, stream.shape[1] // 2 :] *= np.exp(season)[:, None]
    train = recording[:96]
    a, b, c = _inputs(Settings(rate_hz=RATE_HZ), train, (train[:64], train[64:], stream))
    return [_judge(name, a, b, c, None) for name in peers.PEERS]


def compare(fan: CoolingFan | None, names: Sequence[str], quick: bool) -> dict[str, list[dict[str, Any]]]:
    """A table for each of the two suites that was asked for."""
    peers.check()
    tables: dict[str, list[dict[str, Any]]] = {}
    if "wear" in names:
        tables["wear"] = wear(quick)
    if "drift" in names and fan is not None:
        tables["drift"] = drift(fan, quick)
    return tables
