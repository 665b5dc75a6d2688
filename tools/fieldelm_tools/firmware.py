"""`fieldelm build firmware`: MicroPython with the kernels as user C module and the node's package frozen, as UF2.

    build/firmware/<board>/fieldelm-<board>.uf2    to copy onto the board in BOOTSEL mode
    build/firmware/<board>/fieldelm-<board>.json   what is in it: version, build id, checksum, sizes, sources

`plain` builds MicroPython alone for the same board (build/firmware/<board>-plain/micropython-<board>.*), which is what people
have who install the native module. Same inputs, same bytes: no time, path or Git state gets into the image; the build id is a
digest of the inputs.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import boards, debian, firmware_image, sources, unix_port
from .environment import build_directory, repository_root
from .errors import FieldelmError, SetupError

PACKAGES = ["gcc", "make", "libc6-dev", "gcc-arm-none-eabi", "libnewlib-arm-none-eabi", "cmake", "ninja-build"]
NATMODS = {"rp2040": "armv6m", "rp2350": "armv7emsp"}
RELEASED = 1744675200  # 2025-04-15, the release of the pinned MicroPython: its banner and the image carry this date
SUBMODULES = ("lib/pico-sdk/pico_sdk_init.cmake", "lib/tinyusb/src/tusb.h", "lib/mbedtls/library/aes.c")
_STEP = re.compile(r"\[(\d+)/(\d+)\]")


@dataclasses.dataclass(frozen=True)
class Firmware:
    """A built image."""

    uf2: Path
    elf: Path
    report: dict[str, object]
    """contents of the JSON file beside the UF2"""
    fresh: bool
    """whether it was built now"""


def say(text: str) -> None:
    """Tell the person at the terminal what is being done."""
    print(f"firmware: {text}", file=sys.stderr, flush=True)


def build(name: str, *, plain: bool = False) -> Firmware:
    """Build the firmware of a board, or nothing if nothing has changed."""
    target = boards.load(name)
    folder = build_directory() / "firmware" / (f"{name}-plain" if plain else name)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(build_directory() / "firmware" / "lock"):
        tools()
        tree = source_tree()
        origin = origins(tree)
        mark = build_id(target, [] if plain else package_files(), origin)
        stem = folder / (f"micropython-{name}" if plain else f"fieldelm-{name}")
        if sources.checkout() is None and (done := finished(stem, folder, mark)):
            return done
        start = time.monotonic()
        say(f"{stem.name}: building, log in {log_file(folder).relative_to(repository_root())}")
        manifest = generate(target, folder, mark, plain=plain)
        compile_image(target, tree, folder, manifest, origin, plain=plain)
        firmware = package(target, stem, folder, mark, origin, tree, plain=plain)
        say(f"{stem.name}: done in {time.monotonic() - start:.0f} s")
        return firmware


def show(built: Sequence[Firmware], *, as_json: bool) -> int:
    """Print what was built; return the exit code."""
    if as_json:
        print(json.dumps([firmware.report for firmware in built], indent=1))
        return 0
    for firmware in built:
        report, memory = firmware.report, firmware.report["memory"]
        assert isinstance(memory, dict)
        print(f"{firmware.uf2.relative_to(repository_root())}  {report['bytes']} bytes, SHA-256 {report['sha256']}")
        print(
            f"  flash {kilobytes(memory['flash_used'])} used, {kilobytes(memory['flash_free'])} free, "
            f"{kilobytes(memory['file_system'])} file system; "
            f"RAM {kilobytes(memory['static_ram'])} static, {kilobytes(memory['heap'])} heap"
        )
    return 0


def kilobytes(count: int) -> str:
    """A number of bytes in kB."""
    return f"{count / 1000:.1f} kB"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let two builds wait for each other."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def tools() -> None:
    """Install the tool chain where that needs no question. Raises SetupError with the line to type."""
    absent = debian.missing(package for package in PACKAGES if not package.startswith("lib"))
    if not absent and not newlib():
        absent = ["libnewlib-arm-none-eabi"]
    if absent and not (debian.install(PACKAGES) and newlib()):
        raise SetupError(f"firmware needs {', '.join(absent)}: {debian.install_line(PACKAGES)}")


def newlib() -> bool:
    """Whether the C library of the ARM tool chain is there."""
    compiler = debian.program("arm-none-eabi-gcc")
    return compiler is not None and Path(sources.run([compiler, "-print-file-name=nano.specs"]).strip()).is_absolute()


def source_tree() -> Path:
    """MicroPython with the libraries of its rp2 port, from MPY_DIR or from Debian."""
    tree = sources.micropython()
    if sources.checkout() is None:
        sources.add_pico_libraries(tree)
    for path in SUBMODULES:
        if not (tree / path).is_file():
            raise SetupError(
                f"{tree} has no {path}: run `make -C {tree}/ports/rp2 submodules`, or unset MPY_DIR for the sources from Debian"
            )
    return tree


def origins(tree: Path) -> dict[str, str]:
    """Where the sources and the compiler come from: part of the build id and of the report."""
    compiler = sources.run([firmware_image.tool("gcc"), "--version"]).splitlines()[0]
    if sources.checkout():
        git = ["git", "-C", str(tree), "describe", "--tags", "--always", "--dirty"]
        done = subprocess.run(git, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        return {"micropython": done.stdout.strip() or "a checkout without Git", "compiler": compiler}
    stamps = {"micropython": "", "pico-sdk": "lib/pico-sdk", "tinyusb": "lib/tinyusb", "mbedtls": "lib/mbedtls"}
    found = {name: (tree / path / ".unpacked").read_text(encoding="utf-8").strip() for name, path in stamps.items()}
    return {**found, "compiler": compiler}


def definition(target: boards.Description) -> Path | None:
    """The board's own MicroPython board definition, where it has one; else MicroPython's is used."""
    own = boards.boards_directory() / target["name"] / "micropython"
    return own if own.is_dir() else None


def package_files() -> list[Path]:
    """What of this checkout goes into every firmware."""
    root = repository_root()
    found = [*root.glob("device/fieldelm/**/*.py"), root / "device" / "main.py"]
    found += [*root.glob("native_modules/core/*"), *root.glob("native_modules/fieldelm_native/*.[ch]")]
    return sorted([*found, root / "native_modules" / "fieldelm_native" / "micropython.cmake"])


def build_id(target: boards.Description, files: Sequence[Path], origin: dict[str, str]) -> str:
    """Digest of all inputs, 12 hexadecimal digits."""
    digest = hashlib.sha256(json.dumps([target, boards.module(target), origin], sort_keys=True).encode())
    own = definition(target)
    for path in [*files, *(sorted(own.iterdir()) if own else []), Path(__file__), Path(firmware_image.__file__)]:
        name = path.relative_to(repository_root())
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()[:12]


def finished(stem: Path, folder: Path, mark: str) -> Firmware | None:
    """The firmware that was built before from the same inputs."""
    try:
        report = json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))
        if report["build"] == mark and sources.digest(stem.with_suffix(".uf2")) == report["sha256"]:
            return Firmware(stem.with_suffix(".uf2"), folder / "objects" / "firmware.elf", report, fresh=False)
    except (OSError, ValueError, KeyError):
        pass
    return None


def generate(target: boards.Description, folder: Path, mark: str, *, plain: bool) -> Path:
    """Write the manifest of what is frozen in, and the module that says what this firmware is."""
    root = repository_root()
    (folder / "README.md").touch()  # by which the build recognises micropython-lib; nothing of it is frozen in
    lines = ['freeze("$(PORT_DIR)/modules")', 'include("$(MPY_DIR)/extmod/asyncio")']
    if not plain:
        frozen = folder / "frozen"
        frozen.mkdir(exist_ok=True)
        about = {"VERSION": version(), "BUILD": mark, "BOARD": target["name"]}
        write(
            frozen / "fieldelm_firmware.py", "".join(f"{key} = {json.dumps(value)}\n" for key, value in about.items())
        )
        write(frozen / "board.py", boards.module(target))
        device = root / "device"
        lines += [f'package("fieldelm", base_path="{device}")', f'module("main.py", base_path="{device}")']
        lines += [f'module("{name}.py", base_path="{frozen}")' for name in ("board", "fieldelm_firmware")]
    manifest = folder / "manifest.py"
    write(manifest, "\n".join(lines) + "\n")
    return manifest


def write(path: Path, text: str) -> None:
    """Write a file unless it says the same already, so that what depends on it is not built again."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def version() -> str:
    """Version of the package on the node."""
    text = (repository_root() / "device" / "fieldelm" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'__version__ = "(.+)"', text)
    return found[1] if found else "0"


def compile_image(
    target: boards.Description, tree: Path, folder: Path, manifest: Path, origin: dict[str, str], *, plain: bool
) -> None:
    """Run CMake, where it has not run with the same settings on the same sources, and Ninja."""
    objects, own = folder / "objects", definition(target)
    settings: dict[str, Path | str | int] = {
        "PICO_NO_PICOTOOL": 1,
        "PICO_BUILD_DOCS": 0,
        "MICROPY_BOARD": target["name"].upper() if own else target["micropython_board"],
        "MICROPY_BOARD_DIR": own or tree / "ports" / "rp2" / "boards" / target["micropython_board"],
        "MICROPY_FROZEN_MANIFEST": manifest,
        "MICROPY_LIB_DIR": folder,
    }
    if not plain:
        settings["USER_C_MODULES"] = repository_root() / "native_modules" / "fieldelm_native" / "micropython.cmake"
        settings["FIELDELM_TABLES"] = kernel_tables(folder)
    defines = [f"-D{key}={value}" for key, value in settings.items()]
    configure = ["cmake", "-S", str(tree / "ports" / "rp2"), "-B", str(objects), "-G", "Ninja", *defines]
    variables = build_environment(tree)
    said = folder / "configured.json"
    mark = json.dumps([configure, variables, origin], indent=1)
    with log_file(folder).open("w", encoding="utf-8") as log:
        if not (objects / "build.ninja").is_file() or not said.is_file() or said.read_text(encoding="utf-8") != mark:
            said.unlink(missing_ok=True)
            shutil.rmtree(objects, ignore_errors=True)
            done = subprocess.run(
                configure, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=variables
            )
            if done.returncode:
                raise failure(folder, "configuring")
            said.write_text(mark, encoding="utf-8")
        ninja = subprocess.Popen(
            ["ninja", "-C", str(objects)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=variables,
        )
        with ninja:
            assert ninja.stdout is not None
            shown = 0
            for line in ninja.stdout:
                log.write(line)
                step = _STEP.match(line)
                percent = 100 * int(step[1]) // int(step[2]) if step and int(step[2]) > 100 else 0
                if percent >= shown + 20:
                    shown = percent - percent % 20
                    say(f"{target['name']}: {shown} %")
    if ninja.returncode:
        raise failure(folder, "building")


def kernel_tables(folder: Path) -> Path:
    """Write the header with the kernels' tables for windows of 1,024 samples, which then take no RAM; return its folder."""
    native = repository_root() / "native_modules"
    tables = folder / "tables"
    tables.mkdir(exist_ok=True)
    files = [native / "fieldelm_native" / "make_tables.c", native / "core" / "fixed_spectrum.c"]
    program = tables / "make_tables"
    sources.run(["cc", f"-I{native / 'core'}", "-o", str(program), *map(str, files)])
    write(tables / "fieldelm_tables.h", sources.run([str(program)]))
    return tables


def build_environment(tree: Path) -> dict[str, str]:
    """Environment of the build: nothing of the user's but where programs are, and nothing that differs from time to time."""
    stubs = build_directory() / "firmware" / "stubs"
    stubs.mkdir(exist_ok=True)
    # g++ links libstdc++, of which nothing is used: an empty one spares 1.5 GB of libstdc++-arm-none-eabi-newlib
    (stubs / "libstdc++.a").write_bytes(b"!<arch>\n")
    variables = {
        "PATH": os.environ.get("PATH", "") + ":" + debian.SYSTEM_FOLDERS,
        "HOME": os.environ.get("HOME", "/"),
        "LC_ALL": "C.UTF-8",
        "SOURCE_DATE_EPOCH": str(date(tree)),
        "CFLAGS": f"-ffile-prefix-map={repository_root()}=fieldelm -ffile-prefix-map={tree}=micropython",
        "CXXFLAGS": "-DPICO_CXX_DISABLE_ALLOCATION_OVERRIDES=1",  # whose source needs libstdc++'s headers
        "LDFLAGS": f"-L{stubs}",
        "MICROPY_MPYCROSS": str(own_mpy_cross(tree)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",  # MicroPython's build scripts write sets out: the order of built-in modules
    }
    if sources.checkout() is None:
        variables |= {"MICROPY_GIT_TAG": sources.MICROPYTHON_TAG, "MICROPY_GIT_HASH": ""}
    return variables


def date(tree: Path) -> int:
    """The date that the image carries, in seconds since 1970: never that of the build."""
    if os.environ.get("SOURCE_DATE_EPOCH", "").isdigit():
        return int(os.environ["SOURCE_DATE_EPOCH"])
    if sources.checkout():
        git = ["git", "-C", str(tree), "log", "-1", "--format=%ct"]
        done = subprocess.run(git, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.stdout.strip().isdigit():
            return int(done.stdout)
    return RELEASED


def own_mpy_cross(tree: Path) -> Path:
    """The cross-compiler of the very MicroPython that is built, so that bytecode and interpreter agree."""
    output = build_directory() / f"mpy-cross-{'given' if sources.checkout() else sources.MICROPYTHON_TAG}"
    settings: dict[str, Path | str | int] = {"BUILD": output, "CWARN": "-Wall"}
    if sources.checkout() or not (output / "mpy-cross").is_file():
        say("building mpy-cross")
        unix_port.make(tree / "mpy-cross", settings, "mpy-cross")
    return output / "mpy-cross"


def log_file(folder: Path) -> Path:
    """What CMake and Ninja said."""
    log = build_directory() / "logs" / f"firmware-{folder.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    return log


def failure(folder: Path, what: str) -> FieldelmError:
    """The first complaint in the log, as error."""
    log = log_file(folder)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    complaint = next(filter(unix_port.COMPLAINT.search, lines), lines[-1] if lines else "no output")
    return FieldelmError(f"{what} {folder.name} failed: {complaint.strip()} (all of it: {log})")


def package(
    target: boards.Description, stem: Path, folder: Path, mark: str, origin: dict[str, str], tree: Path, *, plain: bool
) -> Firmware:
    """Make the UF2 and its report."""
    elf = folder / "objects" / "firmware.elf"
    image = elf.with_suffix(".bin").read_bytes()
    memory = firmware_image.memory(elf, image)
    data = firmware_image.uf2(image, firmware_image.FAMILIES[target["chip"]])
    header = (tree / "py" / "persistentcode.h").read_text(encoding="utf-8")
    numbers = [found[1] for key in ("", "SUB_") if (found := re.search(rf"#define MPY_{key}VERSION (\d+)", header))]
    report: dict[str, object] = {
        "schema": 1,
        "board": target["name"],
        "chip": target["chip"],
        "file": f"{stem.name}.uf2",
        "version": None if plain else version(),
        "build": mark,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "mpy": ".".join(numbers),
        "natmod": NATMODS[target["chip"]],
        "memory": dataclasses.asdict(memory),
        "sources": origin,
    }
    # each takes its name when it is whole: somebody may be flashing the one before, or the power may fail
    stem.with_suffix(".json").unlink(missing_ok=True)
    for path, content in (
        (stem.with_suffix(".uf2"), data),
        (stem.with_suffix(".json"), (json.dumps(report, indent=1) + "\n").encode()),
    ):
        part = path.with_name(f"{path.name}.new")
        part.write_bytes(content)
        part.replace(path)
    return Firmware(stem.with_suffix(".uf2"), elf, report, fresh=True)
