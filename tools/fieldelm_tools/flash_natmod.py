"""Fieldelm on stock MicroPython: the node's package as `.mpy`, the kernels as native module, both in the board's file system.

    install(device, "rpi_pico", say) -> list[str]    what was written

Only files that differ are written. While the package changes there is no main.py, so that a node never starts with one half
of this version and one of another; main.py comes last.
"""

import hashlib
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from . import boards, build, sources, unix_port
from .device import NEW, Device
from .environment import repository_root
from .errors import FieldelmError, UsageError

LEAST = (1, 23)
MPY_VERSION, MPY_SUB_VERSION = 6, 3
FOLDER = "lib"
MAIN = "main.py"
BEFORE = "main.before_fieldelm.py"
_MARK = b"fieldelm"


def install(device: Device, board: str, say: Callable[[str], None]) -> list[str]:
    """Put package, native module, the board's description and main.py on the board. Raises FieldelmError."""
    check(device, board)
    files = package(board, device.about.architecture, say)
    present = device.files()
    _shadows(device, present)
    package_folder = f"{FOLDER}/fieldelm/"
    stale = [path for path in present if path.startswith(package_folder) and path not in files]
    stale += [path for path in present if path.endswith(NEW) or path == f"{FOLDER}/board.py"]
    there = device.digests([*files, MAIN])
    main = (repository_root() / "device" / MAIN).read_bytes()
    if MAIN in present and _MARK not in (device.read(MAIN) or b""):
        say(f"the board's own {MAIN} is kept as {BEFORE}")
        device.rename(MAIN, BEFORE)
    if stale or any(there[path] != hashlib.sha256(data).hexdigest() for path, data in files.items()):
        device.remove([MAIN, *stale])
    return device.put({**files, MAIN: main}, say)


def check(device: Device, board: str) -> None:
    """Whether this board can take it. Raises UsageError."""
    about, target = device.about, boards.load(board)
    if about.release:
        raise UsageError(
            f"{device.port}: the firmware is Fieldelm's own, which has all of it: use `fieldelm flash --board {about.board}`"
        )
    if about.chip.lower() != target["chip"]:
        raise UsageError(
            f"{device.port}: this is an {about.chip}, {board} has an {target['chip'].upper()}: choose another --board"
        )
    version = ".".join(map(str, about.version))
    mpy, sub = about.mpy & 0xFF, about.mpy >> 8 & 3
    if about.version < LEAST or (mpy, sub) != (MPY_VERSION, MPY_SUB_VERSION):
        raise UsageError(
            f"{device.port}: MicroPython {version} loads native modules of format {mpy}.{sub}, these are "
            f"{MPY_VERSION}.{MPY_SUB_VERSION} (MicroPython 1.23 and later): flash a newer MicroPython, or Fieldelm's "
            f"firmware with `fieldelm flash --board {board}`"
        )


def package(board: str, architecture: str, say: Callable[[str], None] = lambda _: None) -> dict[str, bytes]:
    """All files but main.py, by their path on the board. Raises FieldelmError if a compiler is missing."""
    device = repository_root() / "device"
    cross = unix_port.mpy_cross(sources.micropython())
    found = {}
    with tempfile.TemporaryDirectory(prefix="fieldelm-") as name:
        folder = Path(name)
        for source in sorted(device.glob("fieldelm/**/*.py")):
            path = source.relative_to(device)
            found[f"{FOLDER}/{path.with_suffix('.mpy')}"] = compiled(cross, source, str(path), folder)
        module = folder / "board.py"
        module.write_text(boards.module(boards.load(board)), encoding="utf-8")
        found[f"{FOLDER}/board.mpy"] = compiled(cross, module, "board.py", folder)
    if architecture in build.COMPILERS:
        found[f"{FOLDER}/{build.MODULE}.mpy"] = build.natmod(architecture).read_bytes()
    else:
        say(f"there is no native module for {architecture or 'this processor'}: the kernels run in Python, and slowly")
    return found


def compiled(cross: Path, source: Path, name: str, folder: Path) -> bytes:
    """One module as `.mpy`; `name` is what tracebacks call it."""
    output = folder / "module.mpy"
    command = [str(cross), "-s", name, "-o", str(output), str(source)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        complaint = ((done.stderr or done.stdout).strip().splitlines() or ["no message"])[-1]
        raise FieldelmError(f"mpy-cross refused {name}: {complaint}")
    return output.read_bytes()


def _shadows(device: Device, present: list[str]) -> None:
    # MicroPython looks into the root before lib/, and takes a .py before a .mpy
    roots = {"fieldelm", "board.py", "board.mpy", "fieldelm_native.mpy", "fieldelm.py", "fieldelm.mpy"}
    if found := sorted({path.split("/")[0] for path in present} & roots):
        removal = " ".join(f":{name}" for name in found)
        raise UsageError(
            f"{device.port}: {', '.join(found)} in the board's root would go before lib/: "
            f"remove it with `mpremote connect {device.port} rm -r {removal}`"
        )
