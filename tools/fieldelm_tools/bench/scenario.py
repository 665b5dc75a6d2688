"""A scenario's frame: what it is made from, and what became of it.

A scenario is `(Job) -> Outcome`: it lets one node live through a stream, says from which row on something happens, and
which event is wanted from there on. Any other `machine_alarm`, `sensor_fault` or, where nothing has changed,
`environment_changed` is a false alarm.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cooling_fan import BINS, RATE_HZ, CoolingFan
from .node import Node, Settings, events

Rows = NDArray[Any]
TROUBLE = ("machine_alarm", "sensor_fault", "environment_changed")
TRAIN, CALIBRATE = 64, 32
COMMISSION = (TRAIN, CALIBRATE)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One stream lived through."""

    suite: str
    scenario: str
    seed: int
    rows: int
    """after commissioning"""
    delay: int | None
    """rows from the onset to the wanted event; None: there was none, or nothing was to be found"""
    missed: bool
    false_alarms: int
    updates: int
    """rows learned while watching"""
    more: dict[str, float | str]
    trace: Rows | None = None
    """scores and thresholds, for plots"""

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "trace"}
        rate = 1000 * self.false_alarms / self.rows if self.rows else 0.0
        return {**found, "false_alarms_per_1000_rows": round(rate, 4)}


@dataclasses.dataclass(frozen=True)
class Job:
    """What a scenario is made from."""

    suite: str
    scenario: str
    seed: int
    fan: CoolingFan | None
    quick: bool
    overrides: tuple[tuple[str, float], ...] = ()

    def random(self) -> np.random.Generator:
        """Repeatable."""
        return np.random.default_rng((self.seed, *self.scenario.encode()))

    def settings(self, **changes: Any) -> Settings:
        """Of a node on the cooling fan's spectra, unless changed."""
        wanted: dict[str, Any] = {
            "columns": BINS,
            "rate_hz": RATE_HZ,
            "train_rows": TRAIN,
            "calibration_rows": CALIBRATE,
            "seed": self.seed + 1,
            "overrides": self.overrides,
        }
        return Settings(**{**wanted, **changes})

    def outcome(self, lived: Rows, onset: int | None, wanted: Sequence[str], **more: float | str) -> Outcome:
        """Judge what was lived after commissioning; up to the onset nothing should have happened."""
        happened = [(row, name) for row, name in events(lived) if name in TROUBLE]
        found = [row for row, name in happened if onset is not None and row >= onset and name in wanted]
        false = [row for row, name in happened if onset is None or row < onset]
        if onset is not None:
            until = found[0] if found else len(lived)
            false += [row for row, name in happened if onset <= row < until and name not in wanted]
        return Outcome(
            self.suite,
            self.scenario,
            self.seed,
            len(lived),
            found[0] - onset if found and onset is not None else None,
            onset is not None and not found,
            len(false),
            int(lived["learned"].sum()),
            dict(more),
            lived,
        )

    def recorded(self) -> CoolingFan:
        """The recordings; scenarios that need them are left out without."""
        assert self.fan is not None
        return self.fan


def event_row(lived: Rows, name: str) -> int | None:
    """Row of the first event of that name."""
    return next((row for row, event in events(lived) if event == name), None)


def live(node: Node, parts: Iterable[Rows]) -> Rows:
    """Records of a life in parts."""
    return np.concatenate([node.live(part) for part in parts])
