"""MicroPython for this machine: build the Unix port, and ask an executable what it can do. Standard library only."""

import json
import os
import subprocess
from pathlib import Path

from . import sources
from .debian import install_line, program
from .environment import NATIVE_ARCHITECTURES, MicroPython, build_directory, repository_root
from .errors import FieldelmError, SetupError

OLDEST = (1, 23)  # the first with version 6.3 of the native module format
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
        raise SetupError(f"{executable} is MicroPython {version[0]}.{version[1]}: {OLDEST[0]}.{OLDEST[1]} or later is needed")
    architecture = NATIVE_ARCHITECTURES.get(mpy >> 10 & 15, "")
    if built_in:
        kernels = "user module"
    elif architecture and ask(executable, str(build_directory() / "natmods" / architecture))[2]:
        kernels = "native module"
    else:
        kernels = "python"
    name = ".".join(map(str, version[:3])) + (f"-{version[3]}" if version[3:] and version[3] else "")
    return MicroPython(str(executable), origin, name, architecture, kernels)


def ask(executable: Path, path: str) -> tuple[list[int | str], int, bool]:
    """Run the probe: version, native module format, and whether the kernels can be imported from `path` (or are built in)."""
    environment = {**os.environ, "MICROPYPATH": path + ":.frozen"}
    try:
        done = subprocess.run(
            [executable, "-c", PROBE], env=environment, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )
        version, mpy, kernels = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"{executable} does not start: {error}") from None
    except ValueError:
        complaint = (done.stderr.strip() or "it printed nothing").splitlines()[-1]
        raise SetupError(f"{executable} is no MicroPython with AES (cryptolib) that the node's code can run on: {complaint}") from None
    return version, mpy, kernels


def build(tree: Path) -> Path:
    """Build the Unix port with the kernels as user C module; return the executable."""
    absent = [name for name in ("gcc", "make") if program(name) is None]
    if absent:
        raise SetupError(f"building MicroPython needs {' and '.join(absent)}: {install_line(absent)}")
    pinned = sources.checkout() is None
    if pinned:
        sources.add_mbedtls(tree)
    output = build_directory() / "unix"
    print("setup: building MicroPython's Unix port with the kernels in it (a minute or two)", flush=True)
    jobs = f"-j{os.cpu_count() or 1}"
    environment = {**os.environ, **({"MICROPY_GIT_TAG": sources.MICROPYTHON_TAG, "MICROPY_GIT_HASH": ""} if pinned else {})}
    logged(["make", "-C", str(tree / "mpy-cross"), jobs], "mpy-cross", environment)
    settings = {
        "BUILD": output,
        "USER_C_MODULES": repository_root() / "native_modules",
        "MICROPY_PY_FFI": 0,
        "MICROPY_PY_BTREE": 0,
        "CWARN": "-Wall",  # not -Werror: compilers newer than the source warn of more
    }
    words = [f"{key}={value}" for key, value in settings.items()]
    logged(["make", "-C", str(tree / "ports" / "unix"), jobs, *words], "unix", environment)
    return output / "micropython"


def logged(command: list[str], name: str, environment: dict[str, str] | None = None) -> None:
    """Run a build with its output in build/logs/NAME.log; on failure the error quotes the first complaint."""
    log = build_directory() / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=environment)
    if done.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        complaint = next((line for line in lines if "rror" in line), lines[-1] if lines else "no output")
        raise FieldelmError(f"building {name} failed: {complaint.strip()} (all of it: {log})")
