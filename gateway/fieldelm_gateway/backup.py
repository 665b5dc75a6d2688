"""Copies of the database: whole ones on demand and before a migration, a small one every day.

A copy is complete and consistent even while the gateway writes. It holds the nodes' keys and has mode 0600.
"""

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from . import database, numbers, removed
from .errors import UsageError

log = logging.getLogger(__name__)

_ESSENTIALS = {
    "node": "",
    "node_key": "",
    # those that wait, and the newest, by which a request that comes twice is known
    "command": "WHERE id IN (SELECT id FROM command WHERE state = 'waiting' UNION ALL"
    " SELECT id FROM command WHERE id > (SELECT max(id) FROM command) - 1000)",
    "setting": "",
}
"""tables of the small copy, and which rows"""
DAILY_S = 86_400


def daily_path(path: Path) -> Path:
    """The small copy beside the database: nodes, keys, counters, commands. Made every day, and for new keys and removed nodes."""
    return path.with_name(path.name + ".nodes")


def write(path: Path, target: Path, number: int | None = None) -> Path:
    """Copy the whole database; return where, as `target` may be a folder. Raises GatewayError; then `target` is as it was.

    `number`: the gateway's, by its configuration; whoever goes on with the copy must not use it.
    """
    if not path.is_file():
        raise UsageError(f"{path} does not exist: there is nothing to copy")
    if target.is_dir():
        target = target / f"gateway-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.db"
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as source:
            copy(source, target, lambda part: _mark(part, number))
            return target
    except sqlite3.Error as error:
        raise database.explain(path, error) from None


def _mark(part: Path, number: int | None, substitute: int | None = None) -> None:
    # brought up to date, and marked as a copy
    with contextlib.closing(database.connect(part, locked=True)) as marked:
        with database.transaction(marked, part):
            numbers.mark_copy(marked, number)
            if substitute is not None:
                numbers.substitute(marked, substitute)
        marked.execute("PRAGMA journal_mode = DELETE")


def copy(source: sqlite3.Connection, target: Path, mark: Callable[[Path], None] | None = None) -> None:
    """Copy an open database into a file of mode 0600 that appears when it is complete and `mark` has been at it.

    Raises GatewayError, or sqlite3.Error if what is copied is damaged.
    """
    part = target.with_name(target.name + ".part")
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise UsageError(f"{target}: cannot be written there ({error.strerror}): name another place") from None
    try:
        with contextlib.closing(sqlite3.connect(part)) as copied:
            copied.execute("PRAGMA synchronous = OFF")  # it counts when it has its name; the disk is waited for below
            source.backup(copied)
            copied.execute("PRAGMA journal_mode = DELETE")
        if mark:
            mark(part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)
        sync_folder(target)
    except sqlite3.Error as error:
        if database.is_damage(error):
            raise
        raise database.explain(target, error) from None
    finally:
        part.unlink(missing_ok=True)


def restore(source: Path, path: Path, number: int | None = None, substitute: int | None = None) -> Path | None:
    """Put a copy into the place of the database; return where the old one was moved, if there was one.

    `number`: the gateway's, by its configuration, which is spent by that; `substitute`: the one that it shall answer under.
    Raises UsageError, or DatabaseError if a gateway runs on it or the copy is no good; then nothing has changed.
    """
    if not source.is_file():
        raise UsageError(f"{source} does not exist: name a file that `fieldelm gateway backup` has written")
    _check(source)
    with database.lock(path):
        prepared = path.with_name(path.name + ".restored")
        try:
            with contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as copied:
                copy(copied, prepared, lambda part: _mark(part, number, substitute))
        except sqlite3.Error as error:
            raise UsageError(f"{source} is damaged ({error}): take an older copy") from None
        database.hand_over(prepared)
        moved = set_aside(path, "replaced") if path.exists() else None
        prepared.replace(path)
        sync_folder(path)
    return moved


def _check(path: Path) -> None:
    newest = database.migrations()[-1][0]
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise UsageError(f"{path} cannot be read ({error}): it is no copy of the gateway's database") from None
    if not {"node", "node_key", "outbox"} <= tables:
        raise UsageError(f"{path} is no copy of the gateway's database")
    if version > newest:
        raise UsageError(
            f"{path} was made by a newer version (schema {version}, this one knows {newest}): update fieldelm"
        )
    if problem != "ok":
        raise UsageError(f"{path} is damaged ({problem}): take an older copy")


def set_aside(path: Path, why: str) -> Path:
    """Give the database and what belongs to it another name, which is returned."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    moved = path.with_name(f"{path.name}.{why}-{stamp}")
    number = 1
    while moved.exists():
        number += 1
        moved = path.with_name(f"{path.name}.{why}-{stamp}-{number}")
    for ending in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + ending).rename(moved.with_name(moved.name + ending))
    sync_folder(path)
    return moved


def sync_folder(path: Path) -> None:
    """Wait until names beside this file are on the disk."""
    folder = os.open(path.absolute().parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


# the small copy


def write_daily(path: Path) -> None:
    """Renew the small copy. Raises GatewayError.

    One of another database, such as of one that was lost, is kept under another name: there may be no other.
    """
    target = daily_path(path)
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as source:
            if (
                strangers := _euis(target)
                - {row[0] for row in source.execute("SELECT eui FROM node")}
                - removed.euis(source)
            ):
                log.warning(
                    "%s has %d nodes that this database does not know: it is kept as %s",
                    target,
                    len(strangers),
                    set_aside(target, "kept").name,
                )
            with contextlib.closing(essentials(source)) as made:
                copy(made, target, database.hand_over)
    except sqlite3.Error as error:
        raise database.explain(path, error) from None


def _euis(path: Path) -> set[str]:
    if not path.exists():
        return set()
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return {row[0] for row in connection.execute("SELECT eui FROM node")}
    except sqlite3.Error:  # it is damaged
        return set()


def essentials(source: sqlite3.Connection, number: int | None = None) -> sqlite3.Connection:
    """Nodes, keys, counters and commands, in memory. Raises sqlite3.Error.

    It is marked as a copy. It goes on by itself if `number`, the gateway's by its configuration, is given.
    """
    made = database.in_memory()  # on a disk each step of the schema would wait for it
    try:
        source.execute("BEGIN")  # all tables as they are at one moment, whoever writes meanwhile
        for table, which in _ESSENTIALS.items():
            columns = common_columns(source, made, table)
            if not columns:  # it is of an older schema
                continue
            names, marks = ", ".join(columns), ", ".join("?" * len(columns))
            rows = source.execute(f"SELECT {names} FROM {table} {which}")  # noqa: S608
            made.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)  # noqa: S608
        source.rollback()
        numbers.mark_copy(made, number)
        if number is not None:
            numbers.substitute_or_listen(made)
        made.commit()
    except BaseException:
        made.close()
        raise
    return made


def common_columns(one: sqlite3.Connection, other: sqlite3.Connection, table: str) -> list[str]:
    """Columns that a table has in both. Raises sqlite3.Error."""
    known = [row[1] for row in other.execute(f"PRAGMA table_info({table})")]
    return [row[1] for row in one.execute(f"PRAGMA table_info({table})") if row[1] in known]
