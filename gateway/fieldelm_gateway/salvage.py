"""What becomes of a damaged database: what can be read of it goes into a new one, which takes its place once it is complete.

Whatever ends this halfway, the damaged file is where it was, and the next start begins anew.
"""

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from . import backup, database
from .errors import DatabaseError

log = logging.getLogger(__name__)

_REST = ("outbox", "airtime", "model", "inbox", "maintenance", "event", "history", "frame")
"""what is logged and what waits, the most important first"""
_PIECE = 5000  # rows
_LAST = 2**63 - 1

_Row = tuple[Any, ...]


def recover(path: Path, number: int = 1, working: Callable[[], None] = lambda: None) -> None:
    """Begin a new database with what can be read of a damaged one, which is moved aside. Raises GatewayError.

    Nodes, keys and counters are taken from the daily copy if they cannot be read in the damaged file. The new one's gateway
    answers under another number than `number`, the configuration's: see `numbers`. `working` is called every few thousand rows;
    if it raises, nothing has changed.
    """
    with database.lock(path):
        working()
        new, complete = path.with_name(path.name + ".recovering"), _complete(path)
        for file in (new, complete):
            _remove(file)
        found = _essentials(path, new, number)
        if found is None:
            moved = backup.set_aside(path, "damaged")
            raise DatabaseError(
                f"{path} was damaged and is now {moved.name}; no copy of the nodes was found: {database.RECOVERY}"
            )
        try:
            lost = _rest(path, new, working)
        except BaseException:
            _remove(new)
            raise
        new.replace(complete)
        moved = backup.set_aside(path, "damaged")
        finish(path)
    log.error(
        "%s was damaged and is now %s; the gateway goes on with a new one and %s. Lost, in whole or in part: %s%s",
        path,
        moved.name,
        found,
        ", ".join(lost) or "nothing",
        "; events that had not been published may be among it" if "outbox" in lost else "",
    )


def finish(path: Path) -> None:
    """Put a new database into its place if the power went between that and moving the damaged one aside; under the lock."""
    if _complete(path).exists() and not path.exists():
        _remove(path)
        _complete(path).replace(path)
        backup.sync_folder(path)


def _complete(path: Path) -> Path:
    return path.with_name(path.name + ".recovered")


def _remove(path: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        yield connection


def _essentials(path: Path, new: Path, number: int) -> str | None:
    # nodes, keys, counters and commands, all of them or none; how many, and where from. Raises GatewayError if there is no room
    for source, where in ((path, "out of it"), (backup.daily_path(path), "from the daily copy")):
        try:
            with _reading(source) as connection:
                made = backup.essentials(connection, number)
        except sqlite3.Error:
            continue
        with contextlib.closing(made):
            count = made.execute("SELECT count(*) FROM node_key").fetchone()[0]
            backup.copy(made, new, database.hand_over)
            return f"{count} keys {where}"
    return None


def _rest(path: Path, new: Path, working: Callable[[], None]) -> list[str]:
    # the rest as far as it can be read; which tables could not be read, or written, to the end
    lost = []
    with _reading(path) as source, contextlib.closing(database.connect(new, locked=True)) as made:
        made.execute("PRAGMA journal_mode = MEMORY")  # on a full disk a WAL would stay behind, with half of it
        for table in _REST:
            try:
                whole = _copy(source, made, table, working)
            except sqlite3.Error:
                whole = False
            if not whole:
                lost.append(table)
    return lost


def _copy(source: sqlite3.Connection, made: sqlite3.Connection, table: str, working: Callable[[], None]) -> bool:
    # what can be read of a table; whether that is all of it. Raises sqlite3.Error
    columns = backup.common_columns(source, made, table)
    if not columns:  # it is of an older schema
        return True
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    whole = True
    for piece in _readable(source, made, table, columns):
        working()
        insert = f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608
        whole &= piece is not None and _write(made, insert, piece)
    return whole


def _readable(
    source: sqlite3.Connection, made: sqlite3.Connection, table: str, columns: list[str]
) -> Iterator[list[_Row] | None]:
    # a table's rows in pieces; None for what cannot be read
    select = f"SELECT {', '.join(columns)} FROM {table}"  # noqa: S608
    keys = [row[1] for row in sorted(made.execute(f"PRAGMA table_info({table})"), key=lambda row: row[5]) if row[5]]
    if len(keys) > 1:
        for way in ("ASC", "DESC"):  # from both ends
            try:
                yield from _pieces(source, f"{select} ORDER BY {', '.join(f'{key} {way}' for key in keys)}")
                return
            except sqlite3.Error:
                yield None
        return
    key, at = keys[0], -1
    place = columns.index(key)
    while True:
        try:
            for piece in _pieces(source, f"{select} WHERE {key} > {at} ORDER BY {key}"):
                at = max(at, *(row[place] for row in piece))
                yield piece
            return
        except sqlite3.Error:
            yield None
        row = _beyond(source, f"{select} WHERE {key} >= ? ORDER BY {key} LIMIT 1", at)
        if row is None:
            return
        at = row[place]
        yield [row]


def _pieces(source: sqlite3.Connection, select: str) -> Iterator[list[_Row]]:
    # Raises sqlite3.Error, after all that was read before but the last row, for Python reads one ahead
    piece: list[_Row] = []
    try:
        for row in source.execute(select):
            piece.append(row)
            if len(piece) == _PIECE:
                yield piece
                piece = []
    except sqlite3.Error:
        if piece:
            yield piece
        raise
    if piece:
        yield piece


def _beyond(source: sqlite3.Connection, select: str, at: int) -> _Row | None:
    # the first row after this number that can be read, if any: sought in steps that double, then halve
    def read(number: int) -> tuple[bool, _Row | None]:
        try:
            return True, source.execute(select, (number,)).fetchone()
        except sqlite3.Error:
            return False, None

    step = 1
    while not (found := read(at + step))[0]:
        step *= 2
        if at + step > _LAST:
            return None
    low, high = at + step // 2, at + step
    while high - low > 1:
        middle = (low + high) // 2
        if (nearer := read(middle))[0]:
            high, found = middle, nearer
        else:
            low = middle
    return found[1]


def _write(made: sqlite3.Connection, insert: str, rows: list[_Row]) -> bool:
    # whether all of them are rows such as can be. Raises sqlite3.Error
    with contextlib.suppress(sqlite3.IntegrityError):
        with _transaction(made):
            made.executemany(insert, rows)
        return True
    before = made.total_changes
    with _transaction(made):
        for row in rows:
            with contextlib.suppress(sqlite3.IntegrityError):
                made.execute(insert, row)
    return made.total_changes - before == len(rows)


@contextlib.contextmanager
def _transaction(made: sqlite3.Connection) -> Iterator[None]:
    made.execute("BEGIN")
    try:
        yield
        made.execute("COMMIT")
    except BaseException:
        if made.in_transaction:  # else SQLite has rolled back by itself
            made.execute("ROLLBACK")
        raise
