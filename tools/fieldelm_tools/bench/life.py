"""Pictures of a node's life for the documentation: its first hours, and its first month.

    draw(folder)     life-first-hours.svg, life-first-month.svg

Both are lived through by the node's own code on MicroPython, with machines that are computed: no recordings are needed.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .computed_suites import waveform
from .node import Node, Settings, events
from .plots import lived_through
from .streams import DAY, Plant, band_sigma, grow_band

Rows = NDArray[Any]
SEED = 3000
MOVED, DAMAGED, END = 240, 420, 480
_DAYS = 30
WORN_FROM = 16 * DAY
_STEP = 0.0006
_BAND = 20


def first_hours() -> Rows:
    """Records of a simulated fan: learned, moved beside another one after four hours, a broken blade after seven."""
    script = [
        {"at_s": 60 * (MOVED + 0.5), "neighbour_g": 0.2},
        {"at_s": 60 * (DAMAGED + 0.5), "damage": "blade", "severity": 1.0},
    ]
    machine = {"speed_rpm": 2400, "blades": 7, "blade_pass_g": 0.15, "mount": 2}
    settings = waveform(0, (("machine", machine), ("sensor", {"seed": 1}), ("script", script)))
    with Node(settings) as node:
        return node.simulate(END)


def first_month() -> Rows:
    """Records of a computed fan with days and nights; from the sixteenth day on one band grows slowly."""
    settings = Settings(
        columns=255, rate_hz=1024.0, train_rows=DAY * 3 // 4, calibration_rows=DAY - DAY * 3 // 4, seed=1
    )
    plant = Plant(seed=SEED)
    sigma = band_sigma(np.concatenate(list(plant.rows(DAY))), _BAND)
    lived, done = [], 0
    with Node(settings) as node:
        for part in plant.rows(_DAYS * DAY):
            row = done + np.arange(len(part))
            growth = np.maximum(row - WORN_FROM, 0) * _STEP * sigma
            lived.append(node.live(grow_band(part, _BAND, growth)))
            done += len(part)
    return np.concatenate(lived)


def draw(folder: Path) -> Sequence[Path]:
    """Write the pictures; returns where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, live in (("first-hours", first_hours), ("first-month", first_month)):
        lived = live()
        for row, event in events(lived):
            print(f"{name}: row {row}: {event}", file=sys.stderr)
        path = folder / f"life-{name}.svg"
        path.write_text(lived_through(lived, f"the {name.replace('-', ' ')}"), encoding="utf-8")
        written.append(path)
    return written
