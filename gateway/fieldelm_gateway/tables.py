"""Tables of `fieldelm.payloads`, read and written as a whole.

A node goes through a table field by field, which takes little memory; a gateway that hears thousands of frames a second has each
of them translated once. Both give the same values and bytes.
"""

import struct
from collections.abc import Mapping
from typing import Any

from fieldelm import payloads


class Table:
    """One table. `unpack` is that of `payloads`; `pack` expects numbers that fit."""

    def __init__(self, table: Any) -> None:
        self._struct = struct.Struct(payloads.struct_format(table))
        self.size = self._struct.size
        self._whole: list[tuple[str, int]] = []
        self._parts: list[tuple[str, int, int, int]] = []  # name, place, shift, mask
        self._fields = tuple(name for name, _ in table)
        for place, name in enumerate(self._fields):
            if isinstance(name, tuple):
                self._parts += [(part, place, shift, (1 << bits) - 1) for part, shift, bits in name]
            else:
                self._whole.append((name, place))

    def unpack(self, data: bytes | bytearray | memoryview, offset: int = 0) -> dict[str, Any]:
        """Name to integer or bytes. Raises ValueError if bytes are missing."""
        if len(data) < offset + self.size:
            raise ValueError("payload too short")
        numbers = self._struct.unpack_from(data, offset)
        values = {name: numbers[place] for name, place in self._whole}
        for name, place, shift, mask in self._parts:
            values[name] = numbers[place] >> shift & mask
        return values

    def pack(self, values: Mapping[str, Any]) -> bytes:
        """The bytes of a table without bit fields. Raises KeyError or struct.error."""
        return self._struct.pack(*[values[name] for name in self._fields])
