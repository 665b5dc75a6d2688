"""The same story from real vibration: the cooling-fan dataset, as its authors published it (one zip a recording).

Learning and later watching use different recordings wherever the dataset has them: the `hmlo` runs were made on their own, after
the single-speed ones. Each node has one speed of the fan.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import recordings, rowfile
from ..errors import UsageError
from .plans import CALIBRATION_ROWS, TRAIN_ROWS, NodePlan, Plan, eui, phases
from .story import Actor, Story

# letter in the file names, rpm, rows of the hmlo runs (they change speed at 59, 118 and 177; three rows off on either side)
_SPEEDS = (("h", 2500, (3, 56)), ("m", 2000, (62, 115)), ("l", 1500, (121, 174)))
_DAMAGE = "damage2"
_PERIOD_S = 2.05
_HEARTBEAT_S = 60
_RATE_HZ = 1024.0  # of the signal behind 511 bins of 1 Hz
_BINS = 511
_QUIET_ROWS, _NOISY_ROWS, _DAMAGED_ROWS = 150, 100, 80  # of the first recording in each place; of the damaged ones
_HURT = 0  # which node breaks: 2,500 rpm
_EARLY_S = 1.0  # a place changes between two rows

_CONFOUND = (
    "Known confound: damage was recorded hours after the normal runs, and a mere change of session (quiet against another"
    " quiet room, all normal) already separates with an AUC of 0.83 to 0.96. Part of what the alarm saw is the session."
)
_SOURCE = (
    "Recordings: cooling-fan vibration dataset, one spectrum of 511 bins about every 2.05 s. K. Sunaga, M. Kondo, H."
    " Matsutani, Addressing Gap between Training Data and Deployed Environment by On-Device Learning, IEEE Micro 43(6), 2023."
)
_LEARNING = (
    "Learned from one recording, then watching others of the same machine, in both places; damage2 is a chipped blade."
    " Not every damage of this dataset is told from a new place: docs/how-to/demo.md has the count."
    " The recordings are amplitudes without a unit, so there is no RMS."
)


@dataclasses.dataclass(frozen=True)
class Segment:
    """A part of a recording that a node plays; `at_s`: it begins then at the latest."""

    recording: str
    first: int
    rows: int
    at_s: float | None = None


def find_folder(data: Path) -> Path:
    """The folder with the zips: DIR/cooling-fan or DIR itself. Raises UsageError."""
    if not data.is_dir():
        raise UsageError(f"--data {data} is no folder: name the one that holds cooling-fan/")
    for folder in (data / "cooling-fan", data):
        if any(folder.glob("12cm_*.zip")):
            return folder
    raise UsageError(f"--data {data} holds no cooling-fan/12cm_….zip: name the folder that does")


@functools.cache
def _load(path: Path) -> NDArray[Any]:
    return recordings.load(str(path), "spectrum").rows


def _rows(folder: Path, segment: Segment) -> NDArray[Any]:
    """The rows of a segment. Raises UsageError if the recording is not what it should be."""
    path = folder / f"12cm_{segment.recording}.zip"
    rows = _load(path)
    if rows.shape[1] != _BINS:
        raise UsageError(f"{path} has {rows.shape[1]} bins, not {_BINS}: is it the published recording?")
    if len(rows) < segment.first + segment.rows:
        raise UsageError(f"{path} has {len(rows)} spectra, {segment.first + segment.rows} are needed: fetch it again")
    return rows[segment.first : segment.first + segment.rows]


def _segments(letter: str, part: tuple[int, int], moved_s: float | None, damaged_s: float | None) -> list[Segment]:
    """What one node plays, in order."""
    first, rows = part[0], part[1] - part[0]
    single = 300
    quiet = [
        Segment(f"{letter}_normal_silentA", 0, _QUIET_ROWS),
        Segment("hmlo_normal_silentA_1", first, rows),
    ]
    if moved_s is None:
        quiet.append(Segment("hmlo_normal_silentA_2", first, rows))
        return [*quiet, Segment(f"{letter}_normal_silentA", _QUIET_ROWS, single - _QUIET_ROWS)]
    noisy = [
        Segment(f"{letter}_normal_noisy", 0, _NOISY_ROWS, moved_s),
        Segment("hmlo_normal_noisy_1", first, rows),
        Segment("hmlo_normal_noisy_2", first, rows),
    ]
    if damaged_s is None:
        return [*quiet, *noisy, Segment(f"{letter}_normal_noisy", _NOISY_ROWS, single - _NOISY_ROWS)]
    damaged = [Segment(f"hmlo_{_DAMAGE}_noisy_{run}", first, rows, damaged_s if run == 1 else None) for run in (1, 2)]
    return [*quiet, *noisy, *damaged]


def recorded(data: Path, parts: Path, count: int, seed: int, without: str | None) -> Plan:
    """Write what each node plays into its folder below `parts`, and return story and nodes. Raises UsageError."""
    folder = find_folder(data)
    segment_rows = _SPEEDS[0][2][1] - _SPEEDS[0][2][0]
    moved_row = _QUIET_ROWS + segment_rows
    damaged_row = moved_row + _NOISY_ROWS + 2 * segment_rows
    moved_s = None if without == "move" else moved_row * _PERIOD_S
    damaged_s = None if without == "damage" else damaged_row * _PERIOD_S
    end_s = (damaged_row + _DAMAGED_ROWS) * _PERIOD_S
    nodes = []
    for i, (letter, rpm, part) in enumerate(_SPEEDS[:count]):
        hurt = i == _HURT and moved_s is not None
        segments = _segments(letter, part, moved_s, damaged_s if hurt else None)
        name = f"node-{i + 1}"
        nodes.append(
            NodePlan(
                actor=Actor(
                    name=name,
                    asset=f"fan at {rpm:,} rpm",
                    eui=eui(i),
                    node_id=i + 1,
                    phases=phases(moved_s, damaged_s if hurt else None, end_s),
                    description="Plays " + ", ".join(f"{s.recording} ({s.rows} rows)" for s in segments) + ".",
                ),
                sense={"kind": "spectrum", "inputs": _BINS, "period_s": _PERIOD_S, "bands": 64},
                learn={"seed": seed + i, "train_rows": TRAIN_ROWS, "calibration_rows": CALIBRATION_ROWS},
                link={"heartbeat_s": _HEARTBEAT_S},
                options={"play": _play_list(folder, parts / name, segments), "x": 40.0 + 30 * i, "y": 25.0 * i},
            )
        )
    story = Story(
        title=f"recordings of {count} fan{'s' if count > 1 else ''}",
        lead=(
            "Real vibration of cooling fans. Each node commissions itself in a quiet office, is moved beside a ventilation"
            " fan, notices, relearns on the spot, and watches on. Then a blade of one fan is chipped. The nodes are told"
            " none of it."
        ),
        source="recordings",
        actors=[node.actor for node in nodes],
        end_s=end_s,
        heartbeat_s=_HEARTBEAT_S,
        window_bytes=2 * _BINS,
        notes=[_CONFOUND, _LEARNING, _SOURCE],
    )
    return Plan(story, nodes)


def _play_list(folder: Path, node: Path, segments: Sequence[Segment]) -> list[dict[str, Any]]:
    """Write the row files and return the board's list of segments; the last one starts over for ever."""
    node.mkdir(parents=True)
    entries: list[dict[str, Any]] = []
    for number, segment in enumerate(segments, 1):
        name = f"{number}-{segment.recording}.rows"
        rows = np.asarray(_rows(folder, segment), dtype=np.float32)
        rowfile.write(node / name, rows, kind="spectrum", rate_hz=_RATE_HZ, period_s=_PERIOD_S)
        entry: dict[str, Any] = {"file": name}
        if segment.at_s is not None:
            entry["at_s"] = segment.at_s - _EARLY_S
        entries.append(entry)
    entries[-1]["loop"] = True
    return entries
