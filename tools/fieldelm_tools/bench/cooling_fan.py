"""The cooling-fan recordings: which rows are which, and the eight tasks of the paper's protocol.

Files are `<size>_<speed>_<type>_<environment>[_run].zip` as published (K. Sunaga, M. Kondo, H. Matsutani, IEEE Micro
43(6), 2023), one spectrum of 511 bins about every 2.05 s. Speeds h, m, l, o: fast, middle, slow, stopped. `hmlo` runs
have 235 spectra and change speed at rows 59, 118 and 177; three rows are dropped on either side of a change.
"""

import dataclasses
import functools
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import recordings
from ..errors import UsageError

SPEEDS = "hmlo"
BINS = 511
RATE_HZ = 1024.0
"""Of the signal behind 511 bins of 1 Hz."""
CONFOUND = (
    "Confound: damage was recorded hours after the normal runs, and a mere change of session (one quiet room against "
    "another, all normal) already separates with an AUC of 0.83 to 0.96: part of every damage AUC is the session."
)
_CHANGES, _MARGIN = (59, 118, 177), 3
_NAME = re.compile(r"(\w+?)_(h|m|l|o|hmlo)_(normal|damage\d)_(\w+?)(?:_(\d))?\.zip")
Rows = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Task:
    """What is normal, and what is to be found."""

    name: str
    speeds: str
    """that it is trained on"""
    normal: Rows
    anomalous: Rows


@functools.cache
def _load(path: Path) -> Rows:
    rows = recordings.load(str(path), "spectrum").rows
    if rows.shape[1] != BINS:
        raise UsageError(f"{path} has {rows.shape[1]} bins, not {BINS}: is it the published recording?")
    return rows


@dataclasses.dataclass(frozen=True)
class CoolingFan:
    """One fan's recordings in a folder."""

    folder: Path
    size: str = "12cm"

    def _path(self, speed: str, kind: str, place: str, run: int | None) -> Path:
        return self.folder / f"{self.size}_{speed}_{kind}_{place}{f'_{run}' if run else ''}.zip"

    def recording(self, speed: str, kind: str, place: str, run: int | None = None) -> Rows:
        """All spectra of one recording. Raises UsageError."""
        return _load(self._path(speed, kind, place, run))

    def at_speed(self, kind: str, place: str, speed: str, runs: tuple[int, ...] = (1, 2)) -> Rows:
        """Rows of one speed (h, m, l, o) of the sweeps."""
        if speed not in SPEEDS:
            raise ValueError(speed)
        found = []
        for run in runs:
            rows = self.recording("hmlo", kind, place, run)
            at = np.arange(len(rows))
            keep = np.digitize(at, _CHANGES) == SPEEDS.index(speed)
            for change in _CHANGES:
                keep &= (at < change - _MARGIN) | (at >= change + _MARGIN)
            found.append(rows[keep])
        return np.concatenate(found)

    def training(self, speeds: str, place: str) -> Rows:
        """Rows of the recordings at constant speed, in turn from each."""
        parts = [self.recording(s, "normal", place) for s in speeds]
        least = min(len(rows) for rows in parts)
        return np.stack([rows[:least] for rows in parts], 1).reshape(-1, BINS)

    def tasks(self, place: str) -> list[Task]:
        """The eight tasks: which speed, and two damages with and without the stopped fan."""
        normal = {s: self.at_speed("normal", place, s) for s in SPEEDS}
        found = [
            Task(f"speed-{s}", s, normal[s], np.concatenate([normal[t] for t in SPEEDS if t != s])) for s in SPEEDS
        ]
        for damage in (1, 2):
            for name, speeds in (("spin", "hml"), ("all", "hmlo")):
                bad = np.concatenate([self.at_speed(f"damage{damage}", place, s) for s in speeds])
                good = np.concatenate([normal[s] for s in speeds])
                found.append(Task(f"damage{damage}-{name}", speeds, good, bad))
        return found


def find(data: Path) -> CoolingFan:
    """The recordings in DIR/cooling-fan or DIR itself: the 12 cm fan, or the only one there. Raises UsageError."""
    if not data.is_dir():
        raise UsageError(f"--data {data} is no folder: name the one that holds cooling-fan/")
    for folder in (data / "cooling-fan", data):
        matches = [_NAME.fullmatch(path.name) for path in folder.glob("*.zip")]
        sizes = sorted({match[1] for match in matches if match})
        if sizes:
            return CoolingFan(folder, "12cm" if "12cm" in sizes else sizes[0])
    raise UsageError(
        f"--data {data} holds no recordings like cooling-fan/12cm_h_normal_noisy.zip: name the folder that does"
    )
