"""The node and its peers on the same streams of the suites wear and drift.

The peers get the rows that the node gets: its model's inputs, its calibration rows, its threshold rule, and its
persistence (an alarm begins when six of the newest eight rows are above the threshold, and is over when none of eight
is). None of them retrains: it is said of no library when and with what it should.
"""

import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldelm import defaults

from . import peers
from .computed_suites import simulated_machine
from .cooling_fan import RATE_HZ, CoolingFan
from .figures import peer_threshold
from .node import Node, Settings, events, warn
from .recorded_suites import ARRIVAL
from .scenario import CALIBRATE, COMMISSION, TRAIN, TROUBLE
from .streams import DAY, Plant, apart, band_sigma, bootstrap, grow_band, season
from .suites import JOBS

Rows = NDArray[Any]
NODE = "Fieldelm"
SEEDS = 3
_HEALTHY = 300


@dataclasses.dataclass(frozen=True)
class Stream:
    """Rows to train and calibrate with, rows to live through, and the row from which on something is to be found."""

    settings: Settings
    train: Rows
    stream: Rows
    onset: int | None
    wanted: str = "machine_alarm"


@dataclasses.dataclass(frozen=True)
class Judged:
    """What one detector made of one stream."""

    delay: int | None
    """rows from the onset to the alarm"""
    false_alarms: int
    """before the onset, or anywhere if there is none; after a move, those that follow the first"""
    normal_rows: int
    """rows in which an alarm is a false one"""
    rows_above: int
    """of those, verdict anomaly"""


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


def judge(begun: Sequence[int], above: NDArray[np.bool_], stream: Stream) -> Judged:
    """Alarms that begin at these rows, with these rows above the threshold."""
    onset = len(above) if stream.onset is None else stream.onset
    found = [row for row in begun if row >= onset]
    false, rows = [row for row in begun if row < onset], above[:onset]
    if stream.wanted == "environment_changed":  # then everything is normal again
        calm = onset + MOVED_CALM
        false += found[1:]
        rows = np.concatenate([rows, above[calm:]])
    return Judged(found[0] - onset if found else None, len(false), len(rows), int(rows.sum()))


def compare_one(stream: Stream, seed: int) -> dict[str, Judged]:
    """The node and every peer on one stream."""
    cut = stream.settings.train_rows
    bands = stream.settings.bands
    with Node(stream.settings) as node:
        node.live(stream.train)
        train, held_back = node.inputs(stream.train[:cut], bands), node.inputs(stream.train[cut:], bands)
        inputs = node.inputs(stream.stream, bands)
    with Node(stream.settings) as node:
        node.live(stream.train)
        lived = node.live(stream.stream)
    begun = [row for row, name in events(lived) if name in TROUBLE]
    if stream.wanted == "machine_alarm" and stream.onset is not None:  # what else is told after the onset finds nothing
        alarmed = [row for row, name in events(lived) if name == "machine_alarm"]
        begun = [row for row in begun if row < stream.onset] + [row for row in alarmed if row >= stream.onset]
    found = {NODE: judge(begun, lived["score"] > lived["threshold"], stream)}
    for name, (fit, logarithmic) in peers.PEERS.items():
        score = fit(train, seed + 1)
        above = score(inputs) > peer_threshold(score(held_back), logarithmic)
        found[name] = judge(alarms(above), above, stream)
    return found


# streams

MOVED_ROWS = 300
MOVED_CALM = 100
"""Rows after the move from which on all is normal again: nobody is blamed for what comes sooner."""


def one_band(seed: int, quick: bool) -> Stream:
    """One band grows by 0.001 of its standard deviation a row to 6, after two healthy days; commissioned over a day."""
    step, healthy = (0.005, DAY) if quick else (0.001, 2 * DAY)
    cut = DAY * 3 // 4
    train = np.concatenate(list(Plant(seed=2000 + seed).rows(DAY)))
    rows = np.concatenate(list(Plant(seed=2000 + seed, start=DAY).rows(healthy + int(6 / step))))
    band = int(np.random.default_rng(seed).integers(8, 56))
    growth = np.maximum(np.arange(len(rows)) - healthy, 0) * step * band_sigma(train, band)
    settings = Settings(columns=255, rate_hz=RATE_HZ, train_rows=cut, calibration_rows=DAY - cut, seed=seed + 1)
    return Stream(settings, train, grow_band(rows, band, growth), healthy)


def imbalance(seed: int, quick: bool) -> Stream:
    """The simulated machine's imbalance grows to +300 % over 5,000 rows (quick: 1,000)."""
    rows = 1000 if quick else 5000
    settings = simulated_machine(seed, rows, TRAIN + CALIBRATE + _HEALTHY)
    with Node(settings) as node:
        windows = node.windows(TRAIN + CALIBRATE + _HEALTHY + rows)
    settings = dataclasses.replace(settings, simulation=())
    return Stream(settings, windows[: TRAIN + CALIBRATE], windows[TRAIN + CALIBRATE :], _HEALTHY)


def seasonal(fan: CoolingFan, seed: int, quick: bool) -> Stream:
    """All bands of the upper half drift by 3 dB and back: nothing is to be found."""
    rows = 2000 if quick else 6000
    recording, random = fan.recording("m", "normal", "silentA"), np.random.default_rng(seed)
    *commission, rest = apart(recording, COMMISSION, random)
    stream = season(bootstrap(rest, rows, random))
    return Stream(Settings(rate_hz=RATE_HZ, seed=seed + 1), np.concatenate(commission), stream, None)


def moved(fan: CoolingFan, speed: str, seed: int) -> Stream:
    """Commissioned in the quiet room at one speed, then beside the ventilation fan, where all is normal again."""
    random = np.random.default_rng(seed)
    quiet, noisy = (fan.recording(speed, "normal", place) for place in ("silentA", "noisy"))
    *commission, rest = apart(quiet, COMMISSION, random)
    arrival, beside = apart(noisy, (ARRIVAL,), random)
    stream = np.concatenate([bootstrap(rest, 200, random), arrival, bootstrap(beside, MOVED_ROWS - ARRIVAL, random)])
    train = np.concatenate(commission)
    return Stream(Settings(rate_hz=RATE_HZ, seed=seed + 1), train, stream, 200, "environment_changed")


def _streams(fan: CoolingFan | None, suite: str, quick: bool) -> dict[str, Callable[[int], Stream]]:
    if suite == "wear":
        grown = f"imbalance to +300 % over {1000 if quick else 5000:,} rows"
        return {
            f"one band, {0.005 if quick else 0.001} sigma a row": lambda seed: one_band(seed, quick),
            grown: lambda seed: imbalance(seed, quick),
        }
    if suite == "drift" and fan is not None:
        found: dict[str, Callable[[int], Stream]] = {"season of 3 dB": lambda seed: seasonal(fan, seed, quick)}
        for speed in "hmlo":
            found[f"silent to noisy, {speed}"] = lambda seed, speed=speed: moved(fan, speed, seed)  # type: ignore[misc]
        return found
    return {}


def compare(
    fan: CoolingFan | None, names: Sequence[str], quick: bool, seeds: int | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Rows of a table for each of the two suites that was asked for: one for each stream and detector."""
    peers.check()
    count = seeds or (1 if quick else SEEDS)
    tables: dict[str, list[dict[str, Any]]] = {}
    with ThreadPoolExecutor(JOBS) as pool:
        for suite in names:
            for scenario, make in _streams(fan, suite, quick).items():
                runs = list(pool.map(lambda seed, make=make: compare_one(make(seed), seed), range(count)))
                warn(f"{suite}: {scenario}: compared with {len(peers.PEERS)} peers, {count} seeds")
                for name in runs[0]:
                    tables.setdefault(suite, []).append(_row(scenario, name, [run[name] for run in runs]))
    return tables


def _row(scenario: str, name: str, found: Sequence[Judged]) -> dict[str, Any]:
    delays = [judged.delay for judged in found if judged.delay is not None]
    normal = sum(judged.normal_rows for judged in found)
    false = sum(judged.false_alarms for judged in found)
    return {
        "scenario": scenario,
        "detector": name,
        "seeds": len(found),
        "found": len(delays),
        "delays": [judged.delay for judged in found],
        "false_alarms": false,
        "false_alarms_per_1000_rows": round(1000 * false / normal, 4),
        "rows_above_threshold": round(sum(judged.rows_above for judged in found) / normal, 5),
        "false_each": [[judged.false_alarms, judged.rows_above] for judged in found],
    }
