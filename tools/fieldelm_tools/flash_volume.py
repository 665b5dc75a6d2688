"""The drive that a board shows in BOOTSEL mode, and the UF2 files that it takes."""

import dataclasses
import os
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .device import DeviceError
from .errors import UsageError

INFO = "INFO_UF2.TXT"
# Board-ID in INFO_UF2.TXT (RP2040 datasheet 2.8.4.2, RP2350 datasheet 5.5.2): chip
CHIPS = {"RPI-RP2": "rp2040", "RP2350": "rp2350"}
LABELS = {chip: label for label, chip in CHIPS.items()}
_BLOCK = 512
_MAGIC = (0x0A324655, 0x9E5D5157, 0x0AB16F30)
_FAMILY_PRESENT = 0x2000
# https://github.com/microsoft/uf2, utils/uf2families.json; 0xE48BFF57 is data for any address
_FAMILIES = {0xE48BFF56: "rp2040", 0xE48BFF59: "rp2350", 0xE48BFF5A: "rp2350", 0xE48BFF5B: "rp2350"}
_PIECE = 128 * _BLOCK
_TAKEN_S = 20.0


@dataclasses.dataclass(frozen=True, slots=True)
class Volume:
    """A mounted BOOTSEL drive."""

    path: Path
    chip: str


def chip_of(uf2: Path) -> str:
    """The chip that a UF2 file is for. Raises UsageError if it is no sound UF2 file."""
    try:
        data = uf2.read_bytes()
    except OSError as error:
        raise UsageError(f"{uf2} cannot be read: {error.strerror}") from None
    if not data or len(data) % _BLOCK:
        raise UsageError(f"{uf2} is no UF2 file: its length is no multiple of {_BLOCK} bytes; is it complete?")
    chips: set[str] = set()
    blocks: dict[int, set[int]] = {}
    for at in range(0, len(data), _BLOCK):
        first, second, flags, _, _, number, count, family = struct.unpack_from("<8I", data, at)
        if (first, second) != _MAGIC[:2] or struct.unpack_from("<I", data, at + _BLOCK - 4) != _MAGIC[2:]:
            raise UsageError(f"{uf2} is damaged in block {at // _BLOCK}: fetch or build it again")
        if flags & _FAMILY_PRESENT and family in _FAMILIES:
            chips.add(_FAMILIES[family])
            blocks.setdefault(count, set()).add(number)
    if len(chips) != 1:
        raise UsageError(f"{uf2} is for no RP2040 and no RP2350: choose a firmware for the board")
    for count, numbers in blocks.items():
        if len(numbers) != count:
            raise UsageError(f"{uf2} is incomplete: {len(numbers)} of {count} blocks; fetch or build it again")
    return chips.pop()


def volume(path: Path) -> Volume:
    """The drive that is mounted there. Raises UsageError."""
    try:
        text = (path / INFO).read_text(encoding="ascii", errors="replace")
    except OSError:
        raise UsageError(
            f"{path} is no board in BOOTSEL mode ({INFO} is not there): hold BOOTSEL while you plug the board in"
        ) from None
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "Board-ID" and value.strip() in CHIPS:
            return Volume(path, CHIPS[value.strip()])
    raise UsageError(f"{path / INFO} names neither {' nor '.join(CHIPS)}: this is another kind of board")


def mounted() -> list[Volume]:
    """All drives of boards in BOOTSEL mode, where systems mount them."""
    found = []
    for place in ("/media/*/*", "/media/*", "/run/media/*/*", "/Volumes/*"):
        for info in sorted(Path("/").glob(f"{place[1:]}/{INFO}")):
            try:
                found.append(volume(info.parent))
            except UsageError:
                continue
    return found


def unmounted() -> list[Path]:
    """Drives that are plugged in and not mounted, as on a Raspberry Pi without a desktop."""
    labels = [Path("/dev/disk/by-label") / label for label in CHIPS]
    return [path for path in labels if path.exists()] if not mounted() else []


def check(uf2: Path, chip: str, target: Volume) -> None:
    """Raise UsageError if the file is for another chip than the board's."""
    if chip != target.chip:
        raise UsageError(
            f"{uf2.name} is for the {chip.upper()}, the board at {target.path} has an {target.chip.upper()}: "
            "choose its firmware with --board"
        )


def wait(
    chip: str, seconds: float, say: Callable[[str], None], volumes: Callable[[], Sequence[Volume]] = mounted
) -> Volume:
    """The board in BOOTSEL mode, once there is one. Raises DeviceError."""
    deadline = time.monotonic() + seconds
    told = False
    while True:
        found = volumes()
        if len(found) > 1:
            raise DeviceError(
                f"several boards are in BOOTSEL mode: choose with --volume: {', '.join(str(v.path) for v in found)}"
            )
        if found:
            return found[0]
        if devices := unmounted():
            raise DeviceError(
                f"the board's drive {devices[0]} is not mounted: "
                f"`sudo mkdir -p /media/pico && sudo mount -o umask=0,sync {devices[0]} /media/pico`, then again"
            )
        if time.monotonic() > deadline:
            raise DeviceError(
                f"no board in BOOTSEL mode for {seconds:g} s: hold BOOTSEL while you plug it in; it shows a drive {LABELS[chip]}"
            )
        if not told:
            told = True
            say(f"waiting for the drive {LABELS[chip]}: hold BOOTSEL while you plug the board in")
        time.sleep(0.2)


def copy(uf2: Path, target: Volume, say: Callable[[str], None]) -> None:
    """Copy the firmware and wait until the board has taken it. Raises DeviceError; then it can be repeated."""
    data = uf2.read_bytes()
    done = shown = 0
    try:
        with (target.path / uf2.name).open("wb", buffering=0) as file:
            while done < len(data):
                done += file.write(data[done : done + _PIECE])
                os.fsync(file.fileno())
                if 4 * done // len(data) > shown:
                    shown = 4 * done // len(data)
                    say(f"{uf2.name}: {25 * shown} %")
    except OSError as error:
        # the board restarts with the last block, before the system has closed the file
        if done < len(data) and not (len(data) - done <= _PIECE and _gone(target)):
            raise DeviceError(
                f"{target.path}: copying stopped at {100 * done // len(data)} % ({error.strerror}): "
                "hold BOOTSEL while you plug the board in, and repeat"
            ) from None
    deadline = time.monotonic() + _TAKEN_S
    while not _gone(target):
        if time.monotonic() > deadline:
            raise DeviceError(f"{target.path}: the board has not taken {uf2.name}: unplug it, hold BOOTSEL, and repeat")
        time.sleep(0.05)


def _gone(target: Volume) -> bool:
    try:
        return not (target.path / INFO).is_file()
    except OSError:
        return True
