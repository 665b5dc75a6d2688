"""What set-up has provided, and where it is.

    repository_root() -> Path                    the checkout
    build_directory() -> Path                    build/ of the checkout
    micropython() -> MicroPython                 executable, origin, version, architecture and kernels
    micropython_command() -> list[str]           the executable alone, to be followed by options and a script
    micropath(board="sim") -> list[Path]         entries of MICROPYPATH: device, boards/<board>, the native modules
    micropython_environment(board="sim") -> dict os.environ with MICROPYPATH, for subprocess

Everything raises `SetupError`, one line with the mend, when it finds nothing. Standard library only: set-up runs on it.
"""

import dataclasses
import json
import os
from pathlib import Path

from .errors import SetupError, UsageError

RECORD = "environment.json"
# numbers of sys.implementation._mpy >> 10 (py/persistentcode.h of MicroPython) as the names of its build system
NATIVE_ARCHITECTURES = {1: "x86", 2: "x64", 3: "armv6", 4: "armv6m", 5: "armv7m", 7: "armv7emsp", 8: "armv7emdp"}


@dataclasses.dataclass(frozen=True)
class MicroPython:
    """The MicroPython that runs the node's code on this machine."""

    executable: str
    """path of the executable"""
    origin: str
    """`pypi` (the ready-made Unix port), `source` (built here) or `given` (by MICROPYTHON or MPY_DIR)"""
    version: str
    """as it calls itself, for example `1.29.0-preview`"""
    architecture: str
    """of native modules it loads, for example `x64`; empty if it loads none"""
    kernels: str
    """`native module`, `user module` or `python`"""


def repository_root() -> Path:
    """The checkout this package was installed from."""
    root = Path(__file__).resolve().parents[2]
    if not (root / "device" / "fieldelm").is_dir():
        raise SetupError(
            f"this needs a checkout of Fieldelm, and {root} is none: clone the project and run `make setup` there"
        )
    return root


def build_directory() -> Path:
    """build/ in the checkout: downloads, builds and what the demo writes. Never committed."""
    return repository_root() / "build"


def micropython() -> MicroPython:
    """The MicroPython that set-up has found or built."""
    record = build_directory() / RECORD
    try:
        found = MicroPython(**json.loads(record.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise SetupError("no MicroPython is set up: run `make setup`, and mend what it names") from None
    except (OSError, ValueError, TypeError) as error:
        raise SetupError(f"{record} cannot be read ({error}): run `make setup`") from None
    if not os.access(found.executable, os.X_OK):
        raise SetupError(f"MicroPython is gone from {found.executable}: run `make setup`")
    return found


def micropython_command() -> list[str]:
    """Argument vector that starts MicroPython."""
    return [micropython().executable]


def micropath(board: str = "sim") -> list[Path]:
    """Folders in which MicroPython finds the code of node and board and, without FIELDELM_KERNELS=python, the native kernels."""
    root = repository_root()
    if not (root / "boards" / board / "board.py").is_file():
        boards = ", ".join(sorted(path.parent.name for path in root.glob("boards/*/board.py")))
        raise UsageError(f"boards/{board}/board.py does not exist: boards are {boards or 'not there yet'}")
    entries = [root / "device", root / "boards" / board]
    found = micropython()
    if found.kernels == "native module" and os.environ.get("FIELDELM_KERNELS") != "python":
        entries.append(build_directory() / "natmods" / found.architecture)
    return entries


def micropython_environment(board: str = "sim") -> dict[str, str]:
    """Environment in which MicroPython finds all that; nothing else is on its path but what is frozen into it."""
    return {**os.environ, "MICROPYPATH": ":".join([*map(str, micropath(board)), ".frozen"])}
