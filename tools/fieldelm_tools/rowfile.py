"""Row files: recordings in the plain form that the simulated board plays (`boards/sim/player.py`).

One header of 32 bytes, then the rows, one after the other; all little-endian.

    offset  type  field
    0       4s    magic "FROW"
    4       u8    version, 1
    5       u8    kind: 0 waveform, 1 spectrum, 2 features
    6       u8    axes (1 for spectrum and features)
    7       u8    0
    8       u32   columns: numbers in a row (waveform: samples x axes, interleaved)
    12      u32   rows
    16      f32   rate_hz: samples a second within a window, 0 if unknown
    20      f32   period_s: from row to row, 0 if unknown
    24      i32   full_scale: the count at which a waveform clips, 0 if it has none
    28      f32   g_per_count of a waveform, 0 for the others

Waveform rows are int16 counts, the others float32.
"""

import dataclasses
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import UsageError

MAGIC = b"FROW"
VERSION = 1
KINDS = ("waveform", "spectrum", "features")
HEADER = struct.Struct("<4sBBBBIIffif")


@dataclasses.dataclass(frozen=True)
class RowFile:
    """What the header says."""

    kind: str
    axes: int
    columns: int
    rows: int
    rate_hz: float
    period_s: float
    full_scale: int
    g_per_count: float

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a stored number."""
        return np.dtype("<i2" if self.kind == "waveform" else "<f4")


def write(
    path: Path,
    rows: ArrayLike,
    *,
    kind: str,
    rate_hz: float = 0.0,
    period_s: float = 0.0,
    full_scale: int = 0,
    g_per_count: float = 0.0,
) -> RowFile:
    """Write `rows` and return the header written.

    Spectrum and features: (rows, columns). Waveform: (rows, samples) or (rows, samples, axes); integers are counts,
    floats are g and are rounded to `g_per_count`, limited to `full_scale`. Raises `UsageError`.
    """
    data = np.asarray(rows)
    if kind not in KINDS:
        raise UsageError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    if data.ndim not in ((2, 3) if kind == "waveform" else (2,)) or 0 in data.shape:
        raise UsageError(f"{path}: rows of shape {data.shape} make no {kind} recording")
    if data.dtype.kind not in "iuf":
        raise UsageError(f"{path}: rows must be numbers, not {data.dtype}")
    bad = np.argwhere(~np.isfinite(data)) if data.dtype.kind == "f" else np.empty((0, 2))
    if len(bad):
        raise UsageError(f"{path}: row {bad[0][0]} holds a value that is not a finite number: mend or remove that row")
    header = RowFile(
        kind=kind,
        axes=data.shape[2] if data.ndim == 3 else 1,
        columns=int(np.prod(data.shape[1:])),
        rows=data.shape[0],
        rate_hz=rate_hz,
        period_s=period_s,
        full_scale=full_scale,
        g_per_count=g_per_count,
    )
    if kind == "waveform":
        data = _counts(path, data, header)
    stored = np.ascontiguousarray(data.reshape(header.rows, header.columns), dtype=header.dtype)
    with path.open("wb") as file:
        file.write(_pack(header))
        file.write(stored.tobytes())
    return header


def _counts(path: Path, data: NDArray[Any], header: RowFile) -> NDArray[Any]:
    limit = header.full_scale or 32767
    if not 0 < limit <= 32767:
        raise UsageError(f"{path}: full_scale must be 0 to 32767, not {header.full_scale}")
    if not header.g_per_count > 0:
        raise UsageError(f"{path}: a waveform needs g_per_count, the g of one count")
    if data.dtype.kind == "f":
        data = np.rint(data.astype(np.float64) / header.g_per_count)
    clipped: NDArray[Any] = np.clip(data, -limit, limit)
    return clipped


def _pack(header: RowFile) -> bytes:
    return HEADER.pack(
        MAGIC,
        VERSION,
        KINDS.index(header.kind),
        header.axes,
        0,
        header.columns,
        header.rows,
        header.rate_hz,
        header.period_s,
        header.full_scale,
        header.g_per_count,
    )


def read(path: Path) -> tuple[RowFile, NDArray[Any]]:
    """Header and rows, as stored: (rows, columns), int16 counts or float32. Raises `UsageError`."""
    try:
        stored = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    if len(stored) < HEADER.size or stored[:4] != MAGIC:
        raise UsageError(f"{path} is no row file: write it with fieldelm_tools.rowfile")
    _, version, kind, axes, _, columns, rows, rate_hz, period_s, full_scale, g_per_count = HEADER.unpack_from(stored)
    if version != VERSION or kind >= len(KINDS):
        raise UsageError(f"{path} is a row file of version {version}, kind {kind}: convert the recording again")
    header = RowFile(KINDS[kind], axes, columns, rows, rate_hz, period_s, full_scale, g_per_count)
    if len(stored) != HEADER.size + rows * columns * header.dtype.itemsize:
        raise UsageError(f"{path} is truncated: convert the recording again")
    return header, np.frombuffer(stored, dtype=header.dtype, offset=HEADER.size).reshape(rows, columns)
