"""Recordings as people have them: tables, NumPy arrays, and folders or zips of one CSV per spectrum.

    load(name, kind) -> Recording

    FILE.csv            one row a sample; a header line is allowed; comma, semicolon, tab or blanks between the numbers;
                        beside semicolons and tabs decimal commas, too
    FILE.npy            2-D: rows are spectra, values, or windows of one axis; 3-D: windows x samples x axes
    FILE.npz:KEY        the same; the key may be left out if there is only one array
    FILE.zip, FOLDER    one CSV per spectrum (bin, amplitude), read in name order; bin 0, which is DC, is left out

Every problem is a `UsageError`: file, row, what is wrong and what to do. Archives are bounded before they are unpacked.
"""

import dataclasses
import io
import struct
import tokenize
import warnings
import zipfile
import zlib
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .errors import UsageError

KINDS = ("spectrum", "waveform", "features")
MOST_NUMBERS = 100_000_000
"""Of one recording: 400 MB as float32, more than a node sees in a year."""
MOST_BYTES_OF_A_SPECTRUM = 4_000_000
MOST_SPECTRA = 1_000_000
T = TypeVar("T")
# what NumPy and zipfile raise when a file is damaged in one place or another
_DAMAGED = (
    ValueError, OSError, EOFError, LookupError, TypeError, AttributeError, SyntaxError, RuntimeError, MemoryError,
    OverflowError, tokenize.TokenError, struct.error, zlib.error, zipfile.BadZipFile,
)  # fmt: skip
_SEPARATORS = (";", "\t", ",", None)  # the first that a line holds; None: blanks


@dataclasses.dataclass(frozen=True)
class Recording:
    """Rows as a node would see them, oldest first."""

    name: str
    kind: str
    rows: NDArray[Any]
    """(rows, columns), float or, of a waveform, also integer counts; of several axes (rows, samples, axes)"""
    rate_hz: float = 0.0
    """samples a second, where the file tells it, as those of `fieldelm record` do"""
    g_per_count: float = 0.0
    """the same of integer counts"""
    full_scale: int = 0
    """count at which the sensor clips; 0: unknown"""


def load(name: str, kind: str | None = None) -> Recording:
    """Read one recording. `kind` None: 3-D is a waveform, anything else spectra. Raises `UsageError`."""
    path, key = _split(name)
    if not path.exists():
        raise UsageError(
            f"{path} does not exist: name a .csv, .npy, .npz:KEY, a zip or a folder of one CSV per spectrum"
        )
    if path.is_dir() or path.suffix.lower() == ".zip":
        rows = _spectra(path)
        if kind == "waveform":
            raise UsageError(f"{path} holds one spectrum per file: leave out --kind waveform, or give windows as .npy")
    elif path.suffix.lower() == ".csv":
        with path.open("rb") as file:
            rows = _table(file, name)
    elif path.suffix.lower() in (".npy", ".npz"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a file that Python 2 has written is read all the same
            rows = _array(path, key)
    else:
        raise UsageError(
            f"{path} is of no known form: give a .csv, .npy, .npz:KEY, a zip or a folder of one CSV per spectrum"
        )
    recording = _checked(name, rows, kind)
    return dataclasses.replace(recording, **_told(path)) if path.suffix.lower() == ".npz" else recording


def _split(name: str) -> tuple[Path, str | None]:
    stem, colon, key = name.rpartition(":")
    if colon and stem.lower().endswith(".npz"):
        return Path(stem), key
    return Path(name), None


def _checked(name: str, rows: NDArray[Any], kind: str | None) -> Recording:
    kind = kind or ("waveform" if rows.ndim == 3 else "spectrum")
    if rows.dtype.kind not in "iuf":
        raise UsageError(f"{name} holds {rows.dtype}, not real numbers: convert it")
    if rows.ndim not in (2, 3) or (rows.ndim == 3 and kind != "waveform"):
        wanted = "2-D (rows x values) or, of a waveform, 3-D (windows x samples x axes)"
        raise UsageError(f"{name} is {rows.ndim}-D of kind {kind}: a recording is {wanted}")
    if 0 in rows.shape:
        raise UsageError(f"{name} is empty: it holds {rows.shape[0]} rows of {rows.shape[1]} numbers")
    if kind == "waveform" and rows.ndim == 3 and rows.shape[2] > 3:
        raise UsageError(f"{name} has {rows.shape[2]} axes: give windows x samples x axes with at most 3 axes")
    if rows.dtype.kind == "f":
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=tuple(range(1, rows.ndim))))
        if len(bad):
            raise UsageError(f"{name}, row {bad[0]}: a value is not a finite number: mend or remove that row")
        if float(np.abs(rows).max()) > 1e30:
            raise UsageError(f"{name} holds values beyond 1e30: scale it")
    if kind == "spectrum" and float(rows.min()) < 0:
        row = int(np.argwhere(rows < 0)[0][0])
        raise UsageError(
            f"{name}, row {row}: an amplitude is negative: give amplitudes, not decibels (or --kind features)"
        )
    return Recording(name, kind, rows)


def _lines(file: IO[bytes], name: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(file, 1):
        try:
            text = line.decode("utf-8" if number > 1 else "utf-8-sig").strip()
        except UnicodeDecodeError:
            raise UsageError(f"{name}, line {number}: this is not text: is it really a CSV file?") from None
        if text:
            separator = next(s for s in _SEPARATORS if s is None or s in text)
            if separator in (";", "\t") and "." not in text:
                text = text.replace(",", ".")  # decimal commas
            yield number, [field.strip() for field in text.split(separator)]


def _table(file: IO[bytes], name: str) -> NDArray[np.float32]:
    """Rows of a CSV file. A first line that holds no number at all is a header."""
    values = array("f")
    lines: list[int] = []
    width = 0
    for number, fields in _lines(file, name):
        if not lines and not width and not any(_is_number(field) for field in fields):
            width = -1  # a header: a second line like it is none
            continue
        try:
            row = array("f", map(float, fields))
        except ValueError:
            bad = next(field for field in fields if not _is_number(field))
            what = f"{bad[:20]!r} is not a number" if bad else "a number is missing"
            mend = "mend or remove that line, or the column if it is one of times or names"
            raise UsageError(f"{name}, line {number}: {what}: {mend}") from None
        if lines and len(row) != width:
            raise UsageError(
                f"{name}, line {number}: {len(row)} numbers where the lines before have {width}: mend that line"
            )
        width = len(row)
        lines.append(number)
        values += row
        if len(values) > MOST_NUMBERS:
            raise UsageError(f"{name} holds more than {MOST_NUMBERS:,} numbers: split it")
    if not lines:
        raise UsageError(f"{name} is empty: it holds no row of numbers")
    rows = np.array(values).reshape(-1, width)
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        where = f"{name}, line {lines[int(np.argmin(finite))]}"
        raise UsageError(f"{where}: a value is not a finite number: mend or remove that line")
    return rows


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _array(path: Path, key: str | None) -> NDArray[Any]:
    try:
        if path.suffix.lower() == ".npy":
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
            _bounded(array.size, str(path))
            return np.asarray(array)
        _check_members(path)
        with np.load(path, allow_pickle=False) as arrays:
            keys = list(arrays)
            if key is None:
                tables = [name for name in keys if arrays[name].ndim >= 2]  # beside numbers such as the rate
                key = keys[0] if len(keys) == 1 else tables[0] if len(tables) == 1 else None
            if key not in keys:
                named = f"has no array {key!r}" if key else "holds several arrays"
                raise UsageError(f"{path} {named}: write {path}:KEY with one of {', '.join(keys) or 'none'}")
            return np.asarray(arrays[key])
    except _DAMAGED as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> UsageError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return UsageError(
        f"{path} cannot be read as {path.suffix}: it is damaged, truncated or not a plain array ({reason})"
    )


def _told(path: Path) -> dict[str, Any]:
    """What a file of `fieldelm record` tells about its windows."""
    found: dict[str, Any] = {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for name, convert in (("rate_hz", float), ("g_per_count", float), ("full_scale", int)):
                if name in arrays and arrays[name].ndim == 0 and np.isfinite(arrays[name]) and arrays[name] > 0:
                    found[name] = convert(arrays[name])
    except _DAMAGED as error:
        raise _unreadable(path, error) from None
    return found


def _bounded(numbers: int, name: str) -> None:
    if numbers > MOST_NUMBERS:
        raise UsageError(f"{name} holds more than {MOST_NUMBERS:,} numbers: split it")


def _check_members(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            _bounded(member.file_size // 8, f"{path}:{member.filename}")


def _spectra(path: Path) -> NDArray[np.float32]:
    """One row per CSV file of a folder or zip, in the order of their names."""
    rows: list[NDArray[np.float32]] = []
    total = 0
    for name, text in _files(path):
        table = _table(io.BytesIO(text), name)
        if table.shape[1] != 2:
            raise UsageError(f"{name}: {table.shape[1]} columns: a spectrum's file has two, bin and amplitude")
        row = table[1:, 1] if table[0, 0] == 0 else table[:, 1]
        if rows and len(row) != len(rows[0]):
            raise UsageError(f"{name}: {len(row)} bins where the files before have {len(rows[0])}: mend or remove it")
        rows.append(row)
        total += len(row)
        _bounded(total, str(path))
    if not rows or not len(rows[0]):
        raise UsageError(f"{path} is empty: it holds no CSV file with bin and amplitude")
    return np.stack(rows)


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() == ".csv" and not p.name.startswith("."))
        for file in _few(files, path):
            if file.stat().st_size > MOST_BYTES_OF_A_SPECTRUM:
                raise UsageError(f"{file} has more than {MOST_BYTES_OF_A_SPECTRUM:,} bytes: that is no single spectrum")
            yield str(file), file.read_bytes()
        return
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if m.filename.lower().endswith(".csv") and not _hidden(m.filename)]
            for member in _few(sorted(members, key=lambda m: m.filename), path):
                yield f"{path}:{member.filename}", _member(archive, member, path)
    except _DAMAGED as error:
        raise UsageError(f"{path} cannot be read as zip: it is damaged or truncated ({error})") from None


def _few(files: Sequence[T], path: Path) -> Sequence[T]:
    if len(files) > MOST_SPECTRA:
        raise UsageError(f"{path} holds more than {MOST_SPECTRA:,} files: split it")
    return files


def _hidden(name: str) -> bool:
    return any(part.startswith((".", "__")) for part in name.split("/"))


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> bytes:
    name = f"{path}:{member.filename}"
    try:
        with archive.open(member) as file:
            text = file.read(MOST_BYTES_OF_A_SPECTRUM + 1)  # what the archive says of the size may be a lie
    except (RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise UsageError(f"{name} cannot be unpacked ({error}): zip the recording again, without a password") from None
    if len(text) > MOST_BYTES_OF_A_SPECTRUM:
        raise UsageError(f"{name} has more than {MOST_BYTES_OF_A_SPECTRUM:,} bytes: that is no single spectrum")
    return text
