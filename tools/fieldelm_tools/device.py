"""A board with MicroPython at the end of a cable, through mpremote's own Python API.

    with Device("auto") as device:                  the only board plugged in; or /dev/ttyACM0, socket://host:port, a pty
        device.about.chip, device.about.board
        device.run("print(1)")                      carried out in the raw REPL, the node's app does not run meanwhile
        device.put({"lib/a.mpy": b"..."}, say)      only what differs, under a temporary name first, verified by SHA-256
        device.reset()                              the app starts

Whatever goes wrong is a `DeviceError`, one line with the mend.
"""

import base64
import contextlib
import dataclasses
import hashlib
import io
import json
import os
import re
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport
from serial.tools import list_ports

from .environment import NATIVE_ARCHITECTURES
from .errors import FieldelmError, UsageError

AUTO = "auto"
NEW = ".new"
"""Ending of a file that is being written."""
_VENDORS = (0x2E8A, 0x239A)  # Raspberry Pi, Adafruit
_ATTEMPTS = 4
_PATIENCE_S = 20.0  # a script may be silent for so long ...
_LONGEST_S = 45.0  # ... and take so long
_CHUNK = 2304
_NO_SPACE = 28
_SPARE_BYTES = 16384  # the file system's own blocks, and one file twice while it is replaced
_WATCHDOG_CTRL = {"RP2040": 0x40058000, "RP2350": 0x400D8000}  # datasheets 4.7.6 and 12.9.7
_SCRATCH, _REQUESTED = 0x0C, 0x464D4C42  # by which the app tells a wanted reset from the watchdog's (pico_board.py)
_ABOUT = """
import sys, json
def fieldelm_about():
    r = {"platform": sys.platform, "version": list(sys.implementation[1][:3]), "mpy": getattr(sys.implementation, "_mpy", 0),
        "machine": getattr(sys.implementation, "_machine", ""), "id": "", "build": None, "release": None, "board": None}
    if sys.platform == "rp2":
        import machine
        r["id"] = machine.unique_id().hex()
    try:
        import fieldelm_firmware as f
        r["build"], r["release"], r["board"] = f.BUILD, f.VERSION, f.BOARD
    except (ImportError, AttributeError):
        try:
            import board
            r["board"] = board.description()["name"]
        except Exception:  # none, or one of the board's owner, who may have written anything
            pass
    print(json.dumps(r))
fieldelm_about()
"""
_FILES = """
import os, json, hashlib, binascii
def fieldelm_digest(path):
    try:
        f = open(path, "rb")
    except OSError:
        return None
    h = hashlib.sha256()
    b = bytearray(1024)
    with f:
        while True:
            n = f.readinto(b)
            if not n:
                return h.digest().hex()
            h.update(memoryview(b)[:n])
def fieldelm_begin(path):
    at = path.find("/")
    while at > 0:
        try:
            os.mkdir(path[:at])
        except OSError:
            pass
        at = path.find("/", at + 1)
    global fieldelm_file
    fieldelm_file = open(path, "wb")
def fieldelm_more(text):
    fieldelm_file.write(binascii.a2b_base64(text))
def fieldelm_end(path, new, digest):
    fieldelm_file.close()
    good = fieldelm_digest(new) == digest
    if good:
        os.rename(new, path)
    print(json.dumps(good))
def fieldelm_list(path, found):
    try:
        for entry in os.ilistdir(path):
            name = path + "/" + entry[0] if path else entry[0]
            if entry[1] == 0x4000:
                fieldelm_list(name, found)
            else:
                found.append(name)
    except OSError:
        pass
    return found
"""


class _Transport(SerialTransport):  # type: ignore[misc] # mpremote has no annotations
    """mpremote's, but no wait is endless: a board that has restarted in the middle may print and print."""

    def read_until(self, least: int, ending: bytes, *more: Any, **options: Any) -> bytes:
        options["timeout_overall"] = options.get("timeout_overall") or _LONGEST_S
        found: bytes = super().read_until(least, ending, *more, **options)
        return found


class DeviceError(FieldelmError):
    """The board does not answer, or not as it should."""


@dataclasses.dataclass(frozen=True, slots=True)
class About:
    """What a board says about itself."""

    platform: str
    version: tuple[int, ...]
    """of MicroPython"""
    mpy: int
    """`sys.implementation._mpy`: version of `.mpy` files, and architecture of native modules"""
    machine: str
    id: str
    """the chip's, 16 hex digits"""
    release: str | None
    """of the Fieldelm firmware; `None`: another firmware"""
    build: str | None
    board: str | None
    """the folder in boards/, if Fieldelm is on it"""

    @property
    def chip(self) -> str:
        """`RP2040` or `RP2350`."""
        return next((chip for chip in _WATCHDOG_CTRL if chip in self.machine), "")

    @property
    def architecture(self) -> str:
        """Of native modules that it loads; empty if none."""
        return NATIVE_ARCHITECTURES.get(self.mpy >> 10, "")

    def __str__(self) -> str:
        firmware = f"Fieldelm {self.release}" if self.release else "MicroPython " + ".".join(map(str, self.version))
        return f"{self.machine}, {firmware}, chip {self.id}"


def plugged() -> dict[str, str]:
    """Serial ports that look like a board with MicroPython: USB serial number, which is the chip's, by port."""
    return {port.device: port.serial_number or port.device for port in list_ports.comports() if port.vid in _VENDORS}


def ports() -> list[str]:
    """Those ports alone."""
    return list(plugged())


def choose(port: str) -> str:
    """The port itself, or the only one there is for `auto`. Raises DeviceError."""
    if port != AUTO:
        return port
    found = ports()
    if len(found) == 1:
        return found[0]
    if found:
        raise DeviceError(f"several boards are plugged in: choose one with --port: {', '.join(found)}")
    raise DeviceError(
        "no board with MicroPython is plugged in: plug it in with a USB cable that carries data, or name it with --port"
    )


class Device:
    """A connection to one board, in its raw REPL. Use it as context manager."""

    def __init__(self, port: str = AUTO) -> None:
        """Connect, stop what runs there, and stop its watchdog. Raises DeviceError."""
        self.port = choose(port)
        self._helpers = False
        with self._told("cannot be opened"):
            self._transport = _open(self.port)
        try:
            with self._told("no MicroPython answers"):
                self._enter()
            self.about = self._introduce()
            # the app's watchdog goes on when the app has been stopped, and would reset the board in the middle of a file
            if control := _WATCHDOG_CTRL.get(self.about.chip):
                self.run(f"import machine\nmachine.mem32[{control + 0x3000:#x}] = 1 << 30")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the port; what runs on the board runs on."""
        with contextlib.suppress(OSError, TransportError):
            self._transport.close()

    @property
    def serial(self) -> Any:
        """The open port (pyserial), for what is more than text."""
        return self._transport.serial

    def run(self, script: str, *, patience_s: float = _PATIENCE_S) -> str:
        """Carry a script out; return what it printed. Raises DeviceError if it fails or is silent for too long."""
        with self._told("no answer"):
            printed, complaint = self._transport.exec_raw(script, timeout=patience_s)
        if complaint:
            raise _complaint(self.port, complaint.decode("utf-8", "replace"))
        return str(printed.decode("utf-8", "replace"))

    def ask(self, expression: str) -> Any:
        """Value of an expression there that JSON can carry."""
        return json.loads(self.run(f"import json\nprint(json.dumps({expression}))"))

    def begin(self, script: str) -> None:
        """Start a script whose output the caller reads from `serial`."""
        with self._told("no answer"):
            self._transport.exec_raw_no_follow(script)

    # files; paths are absolute without the leading slash

    def files(self, folder: str = "") -> list[str]:
        """All files below a folder."""
        self._help()
        return [str(path) for path in self.ask(f"fieldelm_list({folder!r}, [])")]

    def digests(self, paths: Iterable[str]) -> dict[str, str | None]:
        """SHA-256 of files there; `None` for one that does not exist."""
        self._help()
        wanted = list(paths)
        return dict(zip(wanted, self.ask(f"[fieldelm_digest(p) for p in {wanted!r}]"), strict=True))

    def read(self, path: str) -> bytes | None:
        """Contents of a file, or `None`."""
        script = (
            "import binascii\ntry:\n with open({path!r}, 'rb') as f:\n  while True:\n   b = f.read(768)\n"
            "   if not b: break\n   print(binascii.b2a_base64(b).decode(), end='')\n print('.')\nexcept OSError: pass"
        )
        lines = self.run(script.replace("{path!r}", repr(path))).split()
        return b"".join(map(base64.b64decode, lines[:-1])) if lines and lines[-1] == "." else None

    def put(self, files: Mapping[str, bytes], say: Callable[[str], None] = lambda _: None) -> list[str]:
        """Write the files that differ, in the given order, each verified before it takes its name. Returns which those were."""
        there = self.digests(files)
        changed = [path for path, data in files.items() if there[path] != hashlib.sha256(data).hexdigest()]
        self._room(sum(len(files[path]) for path in changed))
        done = shown = 0
        total = sum(len(files[path]) for path in changed) or 1
        for path in changed:
            self._write(path, files[path])
            done += len(files[path])
            if 5 * done // total > shown:
                shown = 5 * done // total
                say(f"{20 * shown} %: {path}")
        if changed:
            self.run("import os\nif hasattr(os, 'sync'): os.sync()")
        return changed

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files; those that do not exist are fine."""
        self.run(f"import os\nfor p in {list(paths)!r}:\n try: os.remove(p)\n except OSError: pass")

    def rename(self, old: str, new: str) -> None:
        """Give a file another name; one that has it is replaced."""
        self.run(f"import os\nos.rename({old!r}, {new!r})")

    def _write(self, path: str, data: bytes) -> None:
        new = path + NEW
        pieces = [data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK)] or [b""]
        for number, piece in enumerate(pieces):
            lines = [f"fieldelm_begin({new!r})"] if number == 0 else []
            lines.append(f"fieldelm_more({base64.b64encode(piece)!r})")
            if number == len(pieces) - 1:
                lines.append(f"fieldelm_end({path!r}, {new!r}, {hashlib.sha256(data).hexdigest()!r})")
            said = self.run("\n".join(lines))
        if said.strip() != "true":
            raise DeviceError(f"{self.port}: {path} was not stored as it was sent: try again; is the flash worn out?")

    def _room(self, count: int) -> None:
        if not count:
            return
        block, _, _, free = self.ask("list(__import__('os').statvfs('/')[:4])")
        if block * free < count + _SPARE_BYTES:
            raise DeviceError(
                f"{self.port}: its file system has {block * free // 1000} kB free, {(count + _SPARE_BYTES) // 1000} kB are "
                "needed: remove files there (`mpremote ls`, `mpremote rm :FILE`)"
            )

    def _help(self) -> None:
        if not self._helpers:
            self.run(_FILES)
            self._helpers = True

    # starting again

    def reset(self) -> None:
        """Restart the board, so that its app runs, and let go of the port."""
        mark = _WATCHDOG_CTRL[self.about.chip] + _SCRATCH
        self._leave(f"import machine\nmachine.mem32[{mark:#x}] = {_REQUESTED:#x}\nmachine.reset()")

    def bootloader(self) -> None:
        """Restart the board in BOOTSEL mode, and let go of the port."""
        self._leave("import machine\nmachine.bootloader()")

    def _leave(self, script: str) -> None:
        with contextlib.suppress(OSError, TransportError, struct.error, IndexError):
            self._transport.exec_raw_no_follow(script)
            time.sleep(0.1)  # USB takes the end of the script along before the port is closed
        self.close()

    # mpremote's manners

    def _enter(self) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                # the zero ends a message that a modem may be in the middle of; then it heeds Ctrl-C
                self.serial.write(b"\x00\r\x03")
                with contextlib.redirect_stdout(io.StringIO()):  # mpremote prints what it did not expect
                    self._transport.enter_raw_repl(soft_reset=True)
                return
            except TransportError:
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(0.5)

    def _introduce(self) -> About:
        try:
            said = json.loads(self.run(_ABOUT))
        except ValueError:
            raise DeviceError(
                f"{self.port}: what answers is no MicroPython that we know: unplug it, plug it in"
            ) from None
        if said["platform"] != "rp2":
            raise DeviceError(f"{self.port}: this is MicroPython on {said['platform']}; a node is an RP2040 or RP2350")
        return About(**{**said, "version": tuple(said["version"])})

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Make one line of whatever mpremote and pyserial raise."""
        try:
            yield
        except TransportExecError as error:
            raise _complaint(self.port, error.error_output) from None
        except (TransportError, OSError, struct.error, IndexError) as error:
            raise DeviceError(f"{self.port}: {what}{_mend(self.port, error)}") from None


def _open(port: str) -> Any:
    # a board that has just been reset takes a moment to be back
    path = Path(port)
    deadline = time.monotonic() + 3
    while "://" not in port and not path.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    return _Transport(port, timeout=10)


def _mend(port: str, error: Exception) -> str:
    if "://" in port:
        return f" ({error}): repeat it; is an emulated board running there, and no other program connected to it?"
    if not Path(port).exists():
        others = ports()
        return f": there is no such port: {'ports are ' + ', '.join(others) if others else 'plug the board in'}"
    if not os.access(port, os.R_OK | os.W_OK):
        return ": no permission: `sudo usermod -aG dialout $USER`, then log in again"
    return f" ({error}): repeat it; end any other program that uses the port, or unplug the board and plug it in"


def _complaint(port: str, text: str) -> DeviceError:
    last = (text.strip().splitlines() or ["it failed"])[-1]
    if re.search(rf"OSError: (\[Errno )?{_NO_SPACE}\b|ENOSPC", last):
        return DeviceError(
            f"{port}: the board's file system is full: remove files there (`mpremote ls`, `mpremote rm :FILE`)"
        )
    if "MemoryError" in last:
        return DeviceError(f"{port}: the board has too little memory ({last}): reset it and try again")
    return DeviceError(f"{port}: the board says {last}")


def require_fieldelm(device: Device) -> str:
    """The board's name in boards/. Raises UsageError where Fieldelm is not on it."""
    if device.about.board is None:
        raise UsageError(
            f"{device.port}: Fieldelm is not on this board ({device.about}): `fieldelm flash --board NAME` first"
        )
    return device.about.board
