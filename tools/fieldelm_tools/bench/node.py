"""The node's learner on MicroPython, as the benches drive it: rows in, one record per row out.

with Node(kind="spectrum", columns=511, train_rows=64, calibration_rows=32) as node:
    lived = node.live(rows)       structured array, see RECORD
    scores = node.score(rows)     scores only; nothing is learned or decided
"""

import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fieldelm.codes import EVENTS, SENSOR_FAULTS, STATES, VERDICTS

from .. import environment
from ..errors import FieldelmError, UsageError

SCRIPT = Path(__file__).parents[1] / "micropython" / "bench_node.py"
CONTRADICTION = 3
NONE = 255
RECORD = np.dtype(
    [
        ("score", "<f4"),
        ("threshold", "<f4"),
        ("state", "u1"),
        ("verdict", "u1"),
        ("learned", "u1"),
        ("event", "u1"),
        ("sensor_fault", "u1"),
        ("mode", "u1"),
        ("unconfirmed", "u1"),
        ("band", "u1"),
        ("learned_rows", "<u2"),
        ("", "V2"),
    ]
)
"""What bench_node.py answers; indices into the tuples of `codes.py`, 255 for none."""
_AT_ONCE = 1000
"""Rows written before their answers are read: those fit into a pipe, so neither side waits for the other."""
Rows = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Settings:
    """Configuration of a node's learner; the defaults are the node's own."""

    kind: str = "spectrum"
    columns: int = 511
    """numbers in a row, all axes together"""
    axes: int = 1
    rate_hz: float = 0.0
    g_per_count: float = 0.0
    full_scale: int = 0
    train_rows: int = 64
    calibration_rows: int = 32
    bands: int = 64
    hidden: int = 22
    seed: int = 1
    policy: str = "auto"
    lags: int = 1
    period_s: float = 60.0
    """from row to row"""
    paper: bool = False
    """the paper's own model on the raw bins, without features and decisions"""
    simulation: tuple[tuple[str, Any], ...] = ()
    """options of `boards/sim`, if the windows come from its machine"""
    overrides: tuple[tuple[str, float], ...] = ()
    """constants of `defaults.py` with other values: for ablations only"""

    def job(self) -> dict[str, Any]:
        """What bench_node.py reads first."""
        sense = {
            "kind": self.kind,
            "inputs": self.columns,
            "samples": self.columns // self.axes,
            "axis": "sum",
            "bands": self.bands,
            "band_low_hz": 0,
            "band_high_hz": 0,
            "lags": self.lags,
        }
        learn = {
            "hidden": self.hidden,
            "seed": self.seed,
            "policy": self.policy,
            "train_rows": self.train_rows,
            "calibration_rows": self.calibration_rows,
        }
        sensor = {
            "rate_hz": self.rate_hz,
            "axes": self.axes,
            "full_scale": self.full_scale,
            "g_per_count": self.g_per_count,
        }
        return {
            "config": {"sense": sense, "learn": learn},
            "sensor": sensor,
            "overrides": dict(self.overrides),
            "period_ms": round(1000 * self.period_s),
            "paper": self.paper,
            "simulation": dict(self.simulation),
        }


class Node:
    """One learner in a MicroPython of its own. Raises FieldelmError if that stops, UsageError if settings contradict."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._dtype = "<i2" if settings.kind == "waveform" else "<f4"
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by __exit__)
        self._process = subprocess.Popen(
            [*environment.micropython_command(), "-X", "heapsize=16M", str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment.micropython_environment(),
        )
        self._send(json.dumps(settings.job()).encode() + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        if kind is not None:
            process.kill()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        process.wait()
        self._errors.close()

    def _send(self, data: bytes) -> None:
        stream = self._process.stdin
        assert stream is not None
        try:
            stream.write(data)
            stream.flush()
        except BrokenPipeError:
            self._explain()

    def _explain(self, said: bytes = b"") -> None:
        code = self._process.wait()
        self._errors.seek(0)
        lines = (self._errors.read() or said.decode("utf-8", "replace")).strip().splitlines()
        text = (lines or ["no message"])[-1]
        if code == CONTRADICTION:
            raise UsageError(text)
        raise FieldelmError(f"MicroPython stopped with code {code}: {text}")

    def _receive(self, count: int) -> Rows:
        stream = self._process.stdout
        assert stream is not None
        data = stream.read(count * RECORD.itemsize)
        if len(data) < count * RECORD.itemsize:
            self._explain(data)
        return np.frombuffer(data, RECORD)

    def _rows(self, request: bytes, rows: Rows) -> Iterator[Rows]:
        if not len(rows):
            return
        flat = np.asarray(rows).reshape(len(rows), -1)
        if flat.shape[1] != self.settings.columns:
            raise UsageError(f"rows of {flat.shape[1]} numbers for a node of {self.settings.columns}")
        for start in range(0, len(flat), _AT_ONCE):
            part = flat[start : start + _AT_ONCE].astype(self._dtype)
            self._send(b"".join(request + row.tobytes() for row in part))
            yield self._receive(len(part))

    def live(self, rows: Rows) -> Rows:
        """Live through the rows; records of RECORD. A row that begins with NaN in float rows is lived through as it is."""
        parts = list(self._rows(b"r", rows))
        return np.concatenate(parts) if parts else np.empty(0, RECORD)

    def miss(self, count: int) -> Rows:
        """Live through rows that the sensor did not give."""
        self._send(b"m" * count)
        return self._receive(count)

    def score(self, rows: Rows) -> NDArray[np.float64]:
        """Scores of the rows by the model as it is: nothing is learned, nothing decided."""
        return np.concatenate([part["score"] for part in self._rows(b"s", rows)]).astype(float)

    def simulate(self, count: int) -> Rows:
        """Live through windows of the simulated machine, one a period."""
        parts = []
        for start in range(0, count, _AT_ONCE):
            part = min(_AT_ONCE, count - start)
            self._send(b"g" * part)
            parts.append(self._receive(part))
        return np.concatenate(parts)

    def windows(self, count: int) -> Rows:
        """Windows of the simulated machine, one a period, which the node does not live through."""
        size = 2 * self.settings.columns
        parts = []
        for _ in range(count):
            self._send(b"w")
            stream = self._process.stdout
            assert stream is not None
            parts.append(np.frombuffer(stream.read(size), "<i2"))
        return np.stack(parts)

    def learn(self, rows: Rows) -> None:
        """Learn rows by the plain update, without any decision."""
        for _ in self._rows(b"l", rows):
            pass

    def inputs(self, rows: Rows, count: int) -> NDArray[np.float64]:
        """The model's inputs (`count` of them) that the rows give: what the peers are given."""
        stream = self._process.stdout
        assert stream is not None
        found = []
        for row in np.asarray(rows).reshape(len(rows), -1).astype(self._dtype):
            self._send(b"x" + row.tobytes())
            found.append(np.frombuffer(stream.read(4 * count), "<f4"))
        return np.stack(found).astype(float)

    def command(self, name: str) -> None:
        """An operator's `confirm`, `fault` or `retrain`; `reopen` lets the model learn quickly again."""
        self._send({"confirm": b"c", "fault": b"f", "retrain": b"t", "reopen": b"o"}[name])
        self._receive(1)

    def threshold(self) -> float:
        """The score above which a row is an anomaly."""
        self._send(b"b")
        return float(self._receive(1)["threshold"][0])

    def heap_bytes(self) -> int:
        """Bytes of heap that the learner takes on this machine (pointers are twice as long as on a Pico)."""
        self._send(b"b")
        return int(self._receive(1)["score"][0])

    def model_bytes(self) -> int:
        """Bytes of those that the model alone takes."""
        self._send(b"k")
        return int(self._receive(1)["score"][0])


def events(lived: Rows) -> list[tuple[int, str]]:
    """Row and name of each event."""
    return [(int(row), EVENTS[lived["event"][row]]) for row in np.flatnonzero(lived["event"] != NONE)]


def states(lived: Rows) -> list[str]:
    """Name of the state after each row."""
    return [STATES[i] for i in lived["state"]]


def verdicts(lived: Rows) -> list[str]:
    """Verdict on each row."""
    return [VERDICTS[i] for i in lived["verdict"]]


def sensor_fault(lived: Rows, row: int) -> str | None:
    """Name of the sensor fault that stood after a row."""
    index = int(lived["sensor_fault"][row])
    return None if index == NONE else SENSOR_FAULTS[index]


def warn(text: str) -> None:
    """Progress, for a person."""
    print(text, file=sys.stderr, flush=True)
