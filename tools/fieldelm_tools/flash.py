"""`fieldelm flash`: put Fieldelm on a board, as firmware (UF2) or as package on stock MicroPython.

Interrupted at any point it can be repeated: a board in BOOTSEL mode stays so until it has the whole file, and a package
without its main.py does not start.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from . import boards, flash_natmod, flash_volume
from .device import AUTO, Device, DeviceError, ports
from .errors import FieldelmError, UsageError

_BACK_S = 20.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `fieldelm flash`."""
    parser.add_argument("--board", metavar="NAME", help="of boards/; default: what the board says it is")
    parser.add_argument(
        "--port",
        default=AUTO,
        metavar="P",
        help="/dev/ttyACM0, a pty or socket://HOST:PORT; default: auto, the only board plugged in",
    )
    parser.add_argument("--natmod", action="store_true", help="onto stock MicroPython (1.23 or later), over its REPL")
    parser.add_argument(
        "--firmware", type=Path, metavar="UF2", help="this file; default: what `make firmware` has built"
    )
    parser.add_argument(
        "--volume", type=Path, metavar="DIR", help="where the board's BOOTSEL drive is mounted; default: found"
    )
    parser.add_argument("--wait", type=float, default=120.0, metavar="S", help="for a board in BOOTSEL mode (120)")


def say(text: str) -> None:
    """Tell the person at the terminal what is being done."""
    print(f"flash: {text}", file=sys.stderr, flush=True)


def run(args: argparse.Namespace) -> int:
    """Flash one board."""
    if args.natmod and (args.firmware or args.volume):
        raise UsageError("--natmod writes no UF2: leave out --firmware and --volume, or --natmod")
    if args.board:
        boards.load(args.board)  # a wrong name is said first
    if not 0 <= args.wait <= 3600:
        raise UsageError(f"--wait {args.wait:g}: give seconds from 0 to 3600")
    return _package(args) if args.natmod else _firmware(args)


def _package(args: argparse.Namespace) -> int:
    with Device(args.port) as device:
        say(f"{device.port}: {device.about}")
        board = args.board or device.about.board or _only(device.about.chip)
        written = flash_natmod.install(device, board, say)
        device.reset()
    print(
        f"{device.port}: Fieldelm for {board}, {len(written)} files written"
        if written
        else f"{device.port}: up to date"
    )
    return 0


def _firmware(args: argparse.Namespace) -> int:
    port, board = args.port, args.board
    drives = [flash_volume.volume(args.volume)] if args.volume and args.volume.is_dir() else flash_volume.mounted()
    device = None if drives or (port == AUTO and not ports()) else Device(port)
    try:
        if device:
            say(f"{device.port}: {device.about}")
            port = device.port
        if not board and not args.firmware:
            board = (device and device.about.board) or _only(device.about.chip if device else "")
        uf2 = args.firmware or _built(board)
        chip = flash_volume.chip_of(uf2)
        if device:
            if device.about.chip.lower() != chip:
                raise UsageError(
                    f"{uf2.name} is for the {chip.upper()}, {port} is an {device.about.chip}: choose its --board"
                )
            device.bootloader()
    finally:
        if device:
            device.close()

    def volumes() -> list[flash_volume.Volume]:
        if not args.volume:
            return flash_volume.mounted()
        return [flash_volume.volume(args.volume)] if (args.volume / flash_volume.INFO).is_file() else []

    target = flash_volume.wait(chip, args.wait, say, volumes)
    flash_volume.check(uf2, chip, target)
    say(f"{uf2} to {target.path}")
    flash_volume.copy(uf2, target, say)
    _verify(uf2, port)
    print(f"{target.path}: the board has taken {uf2.name}")
    return 0


def _only(chip: str) -> str:
    names = [name for name in boards.names() if chip.lower() in ("", boards.load(name)["chip"])]
    if len(names) == 1:
        return names[0]
    raise UsageError(f"which board is it? Name it with --board: {', '.join(names)}")


def _built(board: str) -> Path:
    from . import firmware

    return firmware.build(board).uf2


def _verify(uf2: Path, port: str) -> None:
    """Where the board can be asked, see that it runs what was copied. Raises DeviceError."""
    try:
        build = json.loads(uf2.with_suffix(".json").read_text(encoding="utf-8"))["build"]
    except (OSError, ValueError, KeyError):
        return
    deadline = time.monotonic() + _BACK_S
    while port != AUTO or time.monotonic() < deadline:
        try:
            with Device(port) as device:
                running = device.about.build
                device.reset()
        except DeviceError:
            if time.monotonic() < deadline:
                time.sleep(0.5)
                continue
            if port == AUTO:
                return
            raise
        if running != build:
            raise FieldelmError(f"{device.port}: the board runs build {running}, not {build}: flash it again")
        say(f"{device.port}: runs build {build}")
        return
