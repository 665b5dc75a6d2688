"""`fieldelm build`: the kernels as native modules, `build/natmods/<architecture>/fieldelm_native.mpy`, and firmware."""

import argparse
import sys
from pathlib import Path

from . import sources
from .debian import install_line, program
from .environment import build_directory, repository_root
from .errors import SetupError
from .unix_port import make, mpy_cross

MODULE, FLOAT_MODULE = "fieldelm_native", "fieldelm_float"
# architecture: what compiles it, and the Debian packages that bring that
COMPILERS = {
    "x64": ("gcc", ["gcc", "libc6-dev"]),
    "armv6m": ("arm-none-eabi-gcc", ["gcc-arm-none-eabi", "libnewlib-arm-none-eabi"]),
    "armv7emsp": ("arm-none-eabi-gcc", ["gcc-arm-none-eabi", "libnewlib-arm-none-eabi"]),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to build."""
    what = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    natmods = what.add_parser("natmods", help="the kernels for armv6m (Pico), armv7emsp (Pico 2) and x64")
    natmods.add_argument("--arch", action="append", choices=list(COMPILERS), help="only this architecture (repeatable)")
    natmods.set_defaults(run=run)
    uf2 = what.add_parser(
        "firmware", help="firmware to flash: MicroPython, the kernels and the node's package in one file"
    )
    uf2.add_argument("--board", action="append", metavar="NAME", help="only this board of boards/ (repeatable)")
    uf2.add_argument("--plain", action="store_true", help="MicroPython alone, to try the native modules on")
    uf2.add_argument("--json", action="store_true", help="print the reports as one JSON document")
    uf2.set_defaults(run=run_firmware)


def run_firmware(args: argparse.Namespace) -> int:
    """Build the firmware of the boards asked for; without --board, of all."""
    from . import boards, firmware  # not among what set-up imports

    names = list(dict.fromkeys(args.board or boards.names()))
    for name in names:
        boards.load(name)  # a wrong name is said before anything is built
    return firmware.show([firmware.build(name, plain=args.plain) for name in names], as_json=args.json)


def run(args: argparse.Namespace) -> int:
    """Build what was asked for; without --arch, for every architecture that has a compiler here."""
    built = []
    for architecture in args.arch or COMPILERS:
        compiler, packages = COMPILERS[architecture]
        if program(compiler) is None:
            line = f"{architecture} needs {compiler}: {install_line(packages)}"
            if args.arch:
                raise SetupError(line)
            print(f"fieldelm build: left out: {line}", file=sys.stderr)
            continue
        built.append(natmod(architecture))
    for path in built:
        print(f"{path.relative_to(repository_root())}  {path.stat().st_size} bytes")
    if built:
        from . import memory_plan  # not among what set-up imports

        print(f"\nbytes of a node's memory:\n\n{memory_plan.plan()}")
    return 0 if built else 2


def natmod(architecture: str, module: str = MODULE) -> Path:
    """Build the kernels, or the float kernels that the bench compares them with, as native module for one architecture."""
    tree = sources.micropython()
    # set-up calls this with the system's Python; the linker's libraries are in .venv
    python = repository_root() / ".venv" / "bin" / "python"
    target = build_directory() / "natmods" / (architecture if module == MODULE else f"{architecture}-{module}")
    target.mkdir(parents=True, exist_ok=True)
    folder = repository_root() / "native_modules" / MODULE
    paths = {"MPY_DIR": tree, "PYTHON": python, "MPY_CROSS": mpy_cross(tree), "OUT": target}
    make(folder, {"ARCH": architecture, "MOD": module, **paths}, f"natmod-{target.name}")
    return target / f"{module}.mpy"
