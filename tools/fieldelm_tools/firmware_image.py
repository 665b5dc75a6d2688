"""What a built firmware image holds: the UF2 container, and the memory that the image takes."""

import dataclasses
import struct
from pathlib import Path

from .debian import program
from .errors import FieldelmError
from .sources import run

FLASH = 0x10000000
_RAM = 0x20000000
_SECTOR = 4096
_PAGE = 256
# https://github.com/microsoft/uf2 and its utils/uf2families.json
FAMILIES = {"rp2040": 0xE48BFF56, "rp2350": 0xE48BFF59}
_UF2_MAGIC = (0x0A324655, 0x9E5D5157, 0x0AB16F30)
_UF2_FAMILY_PRESENT = 0x2000
# pico-sdk, pico/binary_info/defs.h and structure.h
_INFO_START, _INFO_END = 0x7188EBF2, 0xE71AA390
_INFO_BLOCK_DEVICE = 7


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes of flash and RAM that an image takes."""

    text: int
    """code and constants"""
    data: int
    """initialised variables and code that runs from RAM; in flash too"""
    bss: int
    """variables that start as zero"""
    flash_used: int
    """of the image"""
    flash_free: int
    """between the image and the file system"""
    file_system: int
    """flash of the file system"""
    static_ram: int
    """RAM that MicroPython's heap does not get, without the stacks"""
    heap: int
    """RAM of MicroPython's heap before anything runs"""


def uf2(image: bytes, family: int) -> bytes:
    """The image as UF2 file, filled up to whole sectors of flash: the boot ROM erases by sectors (RP2040-E14)."""
    image += bytes(-len(image) % _SECTOR)
    pages = len(image) // _PAGE
    blocks = []
    for page in range(pages):
        start = page * _PAGE
        header = (*_UF2_MAGIC[:2], _UF2_FAMILY_PRESENT, FLASH + start, _PAGE, page, pages, family)
        payload = image[start : start + _PAGE]
        blocks.append(struct.pack("<8I476sI", *header, payload, _UF2_MAGIC[2]))
    return b"".join(blocks)


def read_uf2(data: bytes) -> tuple[int, bytes]:
    """Family and image of a UF2 file that starts at the beginning of flash. Raises FieldelmError."""
    if not data or len(data) % 512:
        raise FieldelmError("not a UF2 file: its length is no multiple of 512 bytes")
    image = bytearray()
    family = 0
    for at in range(0, len(data), 512):
        first, second, _, address, length, number, count, family = struct.unpack_from("<8I", data, at)
        (last,) = struct.unpack_from("<I", data, at + 508)
        if (first, second, last) != _UF2_MAGIC or number != at // 512 or count != len(data) // 512:
            raise FieldelmError(f"not a sound UF2 file: block {at // 512} is damaged")
        if address != FLASH + len(image) or length > 476:
            raise FieldelmError(f"UF2 file for another processor: block {number} goes to 0x{address:08x}")
        image += data[at + 32 : at + 32 + length]
    return family, bytes(image)


def storage(image: bytes) -> tuple[int, int]:
    """Offset in flash and length of the file system, as the image itself tells programs such as picotool."""
    for at in range(0, min(len(image), 1024) - 20, 4):
        start, first, end, _, marker = struct.unpack_from("<5I", image, at)
        if start == _INFO_START and marker == _INFO_END:
            break
    else:
        raise FieldelmError("the image carries no binary information")
    for pointer in range(first - FLASH, end - FLASH, 4):
        (entry,) = struct.unpack_from("<I", image, pointer)
        (kind,) = struct.unpack_from("<H", image, entry - FLASH)
        if kind == _INFO_BLOCK_DEVICE:
            address, size = struct.unpack_from("<II", image, entry - FLASH + 8)
            return address - FLASH, size
    raise FieldelmError("the image carries no file system")


def memory(elf: Path, image: bytes) -> Memory:
    """What an image takes, from its ELF file and the image itself. Raises FieldelmError if it reaches into the file system."""
    symbols = {}
    for line in run([tool("nm"), str(elf)]).splitlines():
        words = line.split()
        if len(words) == 3:
            symbols[words[2]] = int(words[0], 16)
    start, length = storage(image)
    free = start - len(image)
    if free < 0:
        raise FieldelmError(
            f"the firmware is {-free} bytes too long: {len(image)} of {start} bytes before the file system"
        )
    data = symbols["__data_end__"] - symbols["__data_start__"]
    return Memory(
        text=len(image) - data,
        data=data,
        bss=symbols["__bss_end__"] - symbols["__bss_start__"],
        flash_used=len(image),
        flash_free=free,
        file_system=length,
        static_ram=symbols["__GcHeapStart"] - _RAM,
        heap=symbols["__GcHeapEnd"] - symbols["__GcHeapStart"],
    )


def tool(name: str) -> str:
    """Path of a program of the ARM tool chain."""
    return program(f"arm-none-eabi-{name}") or f"arm-none-eabi-{name}"
