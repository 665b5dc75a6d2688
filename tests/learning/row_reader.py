"""Imported by programs that MicroPython runs: rows of a file of spectra, and the sensor that they stand for."""

import struct
from array import array

from fieldelm.elm import raw


class Sensor:
    rate_hz = 0
    axes = 1
    full_scale = 0
    g_per_count = 0


def rows(path):
    """Each row in turn, in one buffer."""
    with open(path, "rb") as file:
        fields = struct.unpack("<4sBBBBIIffif", file.read(32))
        row = array("f", bytes(4 * fields[5]))
        view = raw(row)
        for _ in range(fields[6]):
            file.readinto(view)
            yield row
