"""`fieldelm record`: raw windows of a real node's sensor over USB, into a file that `fieldelm replay` takes.

The board runs its own drivers (micropython/record_node.py), so that what is recorded is what the node would see. The
file holds `windows` (int16 counts, windows x samples x axes), `rate_hz`, `g_per_count`, `full_scale`, `t_ms` and `measured_hz` of
each window, and `sensor`.
"""

import argparse
import contextlib
import dataclasses
import json
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .device import AUTO, Device, DeviceError, require_fieldelm
from .errors import FieldelmError, UsageError
from .provision_device import on_board

SCRIPT = Path(__file__).with_name("micropython") / "record_node.py"
MAGIC = b"FEr\xb6"
HEAD, WINDOW, PROBLEM, END = range(4)
_HEADER = struct.Struct("<4sBII")
_WINDOW = struct.Struct("<IfI")
_MOST_PAYLOAD = 65536
_MOST_SAMPLES = 2048
_PATIENCE_S = 30.0
_TELL_S = 2.0
_GARBAGE_SHOWN = 2000


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """One message of the board."""

    kind: int
    number: int
    payload: bytes


class Decoder:
    """Finds messages in whatever comes from the board; all else is garbage."""

    def __init__(self) -> None:
        self.garbage = bytearray()
        """the newest bytes that belonged to no message"""
        self.damaged = 0
        """messages whose check sum was wrong"""
        self._buffer = bytearray()

    def push(self, data: bytes) -> Iterator[Message]:
        """Take bytes; yield the messages that are complete now."""
        self._buffer += data
        while True:
            at = self._buffer.find(MAGIC)
            if at < 0:
                self._drop(max(len(self._buffer) - len(MAGIC) + 1, 0))
                return
            self._drop(at)
            if len(self._buffer) < _HEADER.size:
                return
            _, kind, number, length = _HEADER.unpack_from(self._buffer)
            if kind > END or length > _MOST_PAYLOAD:
                self._drop(1)
                continue
            end = _HEADER.size + length
            if len(self._buffer) < end + 4:
                return
            body = bytes(self._buffer[len(MAGIC) : end])
            if zlib.crc32(body) != int.from_bytes(self._buffer[end : end + 4], "little"):
                self.damaged += 1
                self._drop(1)
                continue
            del self._buffer[: end + 4]
            yield Message(kind, number, body[_HEADER.size - len(MAGIC) :])

    def _drop(self, count: int) -> None:
        self.garbage += self._buffer[:count]
        del self._buffer[:count], self.garbage[:-_GARBAGE_SHOWN]


class Recording:
    """What has come so far."""

    def __init__(self) -> None:
        self.head: dict[str, Any] = {}
        self.windows: list[bytes] = []
        self.t_ms: list[int] = []
        self.measured_hz: list[float] = []
        self.overruns = 0
        self.lost = 0
        self.problems: list[str] = []
        self.ended: str | None = None
        self._next = 0

    def take(self, message: Message) -> None:
        """Take one message. Raises DeviceError if it contradicts those before."""
        if message.kind == HEAD:
            self.head = json.loads(message.payload)
        elif message.kind == WINDOW:
            if len(message.payload) != _WINDOW.size + 2 * self.head.get("samples", 0) * self.head.get("axes", 0):
                raise DeviceError("the board sends windows of another size than it has said: flash it again")
            t_ms, measured_hz, self.overruns = _WINDOW.unpack_from(message.payload)
            self.lost += message.number - self._next
            self._next = message.number + 1
            self.windows.append(message.payload[_WINDOW.size :])
            self.t_ms.append(t_ms)
            self.measured_hz.append(measured_hz)
        elif message.kind == PROBLEM:
            self.problems.append(message.payload.decode("utf-8", "replace"))
        else:
            self.ended = message.payload.decode("utf-8", "replace")

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        shape = (len(self.windows), self.head["samples"], self.head["axes"])
        counts = np.frombuffer(b"".join(self.windows), dtype="<i2").reshape(shape)
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez_compressed(
                file,
                windows=counts,
                rate_hz=np.float64(self.head["rate_hz"]),
                g_per_count=np.float64(self.head["g_per_count"]),
                full_scale=np.int64(self.head["full_scale"]),
                t_ms=np.array(self.t_ms, dtype=np.uint32),
                measured_hz=np.array(self.measured_hz, dtype=np.float32),
                sensor=np.str_(self.head["sensor"]),
            )
        part.replace(path)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `fieldelm record`."""
    parser.add_argument(
        "--port", default=AUTO, metavar="P", help="/dev/ttyACM0, a pty or socket://HOST:PORT; default: the only board"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.npz", help="a new file, for `fieldelm replay`")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--seconds", type=float, metavar="S", help="for so long, by the board's clock")
    length.add_argument("--windows", type=int, metavar="N", help="so many windows")
    parser.add_argument("--rate", type=float, metavar="HZ", help="samples a second; default: the node's (1600)")
    parser.add_argument("--samples", type=int, metavar="N", help="in a window; default: the node's (1024)")
    parser.add_argument("--period", type=float, default=0.0, metavar="S", help="from window to window (0: no pause)")
    parser.add_argument("--sensor", metavar="NAME", help="of the board's sensors; default: the node's")
    parser.add_argument("--range-g", type=float, metavar="G", help="range of the accelerometer; default: the node's")
    parser.add_argument("--json", action="store_true", help="one JSON document about the recording")


def say(text: str) -> None:
    """Tell the person at the terminal what is being done."""
    print(f"record: {text}", file=sys.stderr, flush=True)


def run(args: argparse.Namespace) -> int:
    """Record; Ctrl-C ends it and keeps what was recorded."""
    _check(args)
    recording = Recording()
    trouble: FieldelmError | None = None
    with Device(args.port) as device:
        board = require_fieldelm(device)
        job = _job(args, on_board(device), board)
        try:
            _listen(device, job, recording)
        except KeyboardInterrupt:
            say("stopped")
        except FieldelmError as error:
            trouble = error
        with contextlib.suppress(OSError):  # it may be gone, and what was recorded must be saved all the same
            device.serial.write(b"\r\x03")
        device.reset()
    if not recording.windows:
        raise trouble or DeviceError(f"{device.port}: {recording.ended or 'no window was recorded'}")
    recording.save(args.out)
    _show(args, recording)
    if trouble:
        raise type(trouble)(f"{trouble}; what was recorded before is in {args.out}")
    if recording.ended not in (None, "", "stopped"):
        raise DeviceError(f"{device.port}: {recording.ended}; what was recorded before is in {args.out}")
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.out.suffix.lower() != ".npz":
        raise UsageError(f"--out {args.out}: name a FILE.npz")
    if args.out.exists():
        raise UsageError(f"{args.out} exists: choose another name, or remove it")
    if not args.out.parent.is_dir():
        raise UsageError(f"{args.out.parent} is no folder: make it first")
    limits = {"seconds": (0.01, 86400), "windows": (1, 100000), "samples": (16, _MOST_SAMPLES), "period": (0, 3600)}
    for name, (low, high) in limits.items():
        value = getattr(args, name)
        if value is not None and not low <= value <= high:
            raise UsageError(f"--{name} {value:g}: give a number from {low:g} to {high:g}")


def _job(args: argparse.Namespace, present: dict[str, Any], board: str) -> dict[str, Any]:
    sense = dict(present.get("sense", {}))
    options = {key: value for key, value in present.get("options", {}).items() if key != "radio"}
    if args.rate:
        sense["rate_hz"] = int(args.rate) if args.rate == int(args.rate) else args.rate
    if args.samples:
        sense["samples"] = args.samples
    if args.sensor:
        options["sensor"] = args.sensor
    if args.range_g:
        options["range_g"] = int(args.range_g) if args.range_g == int(args.range_g) else args.range_g
    # an identity is needed for the checks alone
    config = {"schema": 1, "board": board, "eui": "02" * 8, "node_id": 1, "keys": {"0": "00" * 16}}
    return {
        "config": {**config, "sense": sense, "options": options},
        "count": args.windows or 0,
        "milliseconds": int(1000 * (args.seconds or 0)),
        "period_ms": int(1000 * args.period),
    }


def _listen(device: Device, job: dict[str, Any], recording: Recording) -> None:
    decoder = Decoder()
    device.begin(f"JOB = {job!r}\n{SCRIPT.read_text(encoding='utf-8')}")
    port = device.serial
    port.timeout = 0.2
    heard = told = time.monotonic()
    patience = _PATIENCE_S + job["period_ms"] / 1000
    while recording.ended is None:
        try:
            data = port.read(max(1, min(port.in_waiting, 4096)))
        except OSError as error:
            raise DeviceError(f"{device.port}: the board is gone ({error}): plug it in and record again") from None
        now = time.monotonic()
        for message in decoder.push(data):
            heard = now
            recording.take(message)
            if message.kind == HEAD:  # a slow rate fills a window slowly
                patience += 4 * recording.head["samples"] / recording.head["rate_hz"]
                say("{sensor}, {samples} samples a window at {rate_hz:g} Hz, {axes} axes".format(**recording.head))
        if now - heard > patience:
            text = bytes(decoder.garbage).decode("utf-8", "replace").strip("\x04> \r\n").splitlines() or ["nothing"]
            raise DeviceError(f"{device.port}: no window for {patience:.0f} s; the board has said: {text[-1][:200]}")
        if recording.windows and now - told > _TELL_S:
            told = now
            say(f"{len(recording.windows)} windows, {recording.t_ms[-1] / 1000:.1f} s")


def _show(args: argparse.Namespace, recording: Recording) -> None:
    head = recording.head
    measured = [hz for hz in recording.measured_hz if hz > 0]
    document = {
        "file": str(args.out),
        **head,
        "windows": len(recording.windows),
        "measured_hz": round(float(np.mean(measured)), 3) if measured else None,
        "overruns": recording.overruns,
        "lost": recording.lost,
        "problems": recording.problems,
    }
    if args.json:
        print(json.dumps(document))
        return
    print(
        f"{args.out}: {len(recording.windows)} windows of {head['samples']} samples x {head['axes']} axes at "
        f"{head['rate_hz']:g} Hz (measured {document['measured_hz']} Hz); {recording.overruns} thrown away on the board, "
        f"{recording.lost} lost on the way"
    )
    for problem in sorted(set(recording.problems)):
        say(f"{recording.problems.count(problem)} windows failed: {problem}")
