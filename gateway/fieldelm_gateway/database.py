"""The SQLite file: opened, created with mode 0600, migrated, and its errors told in the gateway's own words."""

import fcntl
import logging
import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import IO

from .errors import DamagedError, DatabaseError, DatabaseUnavailableError, GatewayError, WrongDatabaseError

log = logging.getLogger(__name__)

BUSY_MS = 500
"""how long a writer waits for another one; an acknowledgement is due a second after the frame"""

_REASONS = {
    "SQLITE_BUSY": "is locked by another program: end that program",
    "SQLITE_LOCKED": "is locked by another program: end that program",
    "SQLITE_FULL": "cannot grow, the disk is full: make room",
    "SQLITE_READONLY": "is read-only: give the gateway's user the right to write it and its folder",
    "SQLITE_CANTOPEN": "cannot be opened: does its folder exist, may the gateway's user write there, or is the disk read-only?",
    "SQLITE_IOERR": "has a read or write error: is the disk full or broken?",
    "SQLITE_PERM": "may not be used by this user: run as the gateway's user",
}
RECOVERY = "`fieldelm gateway restore` a copy, or `fieldelm node add` the config.json of each node"
_DAMAGED = {"SQLITE_CORRUPT": "is damaged", "SQLITE_NOTADB": "is not a database of the gateway"}


def explain(path: Path, error: sqlite3.Error) -> GatewayError:
    """SQLite's error as one of the gateway's, with the mend."""
    code: str = getattr(error, "sqlite_errorname", "") or ""
    for known, text in _DAMAGED.items():
        if code.startswith(known):
            # a file that begins with something else may be somebody's; that there is a daily copy tells that it was ours
            ours = known == "SQLITE_CORRUPT" or path.with_name(path.name + ".nodes").exists()
            kind = DamagedError if ours else WrongDatabaseError
            return kind(f"{path} {text}: move it away, then {RECOVERY}")
    for known, text in _REASONS.items():
        if code.startswith(known):
            return DatabaseUnavailableError(f"{path} {text}")
    if isinstance(error, sqlite3.OperationalError):
        return DatabaseUnavailableError(f"{path} cannot be used now ({error})")
    return DatabaseError(f"{path}: {error}: move it away, then {RECOVERY}")


def is_damage(error: sqlite3.Error) -> bool:
    """Whether it is about what is in a file, not about reading and writing it."""
    return (getattr(error, "sqlite_errorname", "") or "").startswith(tuple(_DAMAGED))


def migrations() -> list[tuple[int, str]]:
    """The schema's steps in order: number and SQL."""
    steps = []
    for entry in resources.files(__package__).joinpath("schema").iterdir():
        if match := re.fullmatch(r"(\d{4})\.sql", entry.name):
            steps.append((int(match[1]), entry.read_text(encoding="utf-8")))
    return sorted(steps)


def connect(path: Path, *, create: bool = False, read_only: bool = False, locked: bool = False) -> sqlite3.Connection:
    """Open the database and bring its schema up to date, unless a gateway works with the older one. Raises GatewayError.

    `locked`: whoever opens it holds `lock`, or nobody else knows the file.
    """
    if not path.is_file():
        if path.exists():
            raise WrongDatabaseError(f"{path} is not a file: name a file as [database] path")
        if not create:
            raise WrongDatabaseError(f"{path} does not exist: `fieldelm gateway run` or `fieldelm provision` makes it")
        _create(path)
    connection = None
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        if read_only:
            connection.execute("PRAGMA query_only = ON")
        else:
            connection.execute("PRAGMA journal_mode = WAL")
        version = _known_version(connection, path, read_only=read_only)
        if version == 0 or (version < migrations()[-1][0] and locked):
            _migrate(connection, path)
        elif version < migrations()[-1][0]:
            with _before_the_gateway(path):
                _migrate(connection, path)
    except sqlite3.Error as error:
        if connection:
            connection.close()
        raise explain(path, error) from None
    except GatewayError:
        if connection:
            connection.close()
        raise
    return connection


def in_memory() -> sqlite3.Connection:
    """An empty database of the newest schema that no file has yet."""
    connection = sqlite3.connect(":memory:")
    for number, sql in migrations():
        connection.executescript(f"{sql}\nPRAGMA user_version = {number};")
    return connection


def identity(path: Path) -> tuple[int, int] | None:
    """Tells one file from another that has taken its place; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _create(path: Path) -> None:
    # keys are in it: nobody else may ever read it, and SQLite gives its other files the same mode and owner
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        raise WrongDatabaseError(f"{path} cannot be made ({error.strerror}): name another [database] path") from None
    hand_over(path)


def hand_over(path: Path) -> None:
    """What the administrator has made belongs to whoever the folder belongs to: the service runs as that user.

    That user can put a link there; nothing is made or given away through one.
    """
    if os.geteuid() == 0:
        owner = path.absolute().parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


@contextmanager
def _before_the_gateway(path: Path) -> Iterator[None]:
    try:
        holder = lock(path)
    except DatabaseError:
        raise DatabaseError(
            f"{path} has an older schema and a gateway works with it: start the gateway again, then try once more"
        ) from None
    with holder:
        yield


def _known_version(connection: sqlite3.Connection, path: Path, *, read_only: bool) -> int:
    newest = migrations()[-1][0]
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > newest:
        raise DatabaseError(
            f"{path} was made by a newer version (schema {version}, this one knows {newest}): update fieldelm"
        )
    if version < newest and read_only:
        raise DatabaseError(f"{path} has an older schema: start the gateway once")
    if version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise WrongDatabaseError(f"{path} is a database of another program: name another [database] path")
    return version


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    steps = migrations()
    newest = steps[-1][0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if 0 < version < newest:
        from . import backup  # it needs this module

        kept = path.with_name(f"{path.name}.schema-{version}")
        backup.copy(connection, kept)
        hand_over(kept)
        log.warning("%s: its schema goes from %d to %d; a copy of it as it was is %s", path, version, newest, kept.name)
    for number, sql in steps:
        if number > version:
            try:
                connection.executescript(f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version = {number};\nCOMMIT;")
            except sqlite3.Error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise


def check(connection: sqlite3.Connection, path: Path, seconds: float) -> bool:
    """Read all of it, the small tables first, for so long; return whether that was enough. Raises DamagedError."""
    timer = threading.Timer(seconds, connection.interrupt)
    timer.start()
    try:
        tables = (
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name IN ('event', 'history', 'frame'), name"
        )
        for (table,) in connection.execute(tables).fetchall():
            if not timer.is_alive():  # its interruption has met nothing that it could have interrupted
                return False
            problem: str = connection.execute(f"PRAGMA quick_check({table})").fetchone()[0]
            if problem != "ok":
                raise DamagedError(f"{path} is damaged ({problem.splitlines()[-1]}): move it away, then {RECOVERY}")
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", "") != "SQLITE_INTERRUPT":
            raise explain(path, error) from None
        return False
    finally:
        timer.cancel()
        timer.join()
    return True


@contextmanager
def transaction(connection: sqlite3.Connection, path: Path) -> Iterator[sqlite3.Connection]:
    """All or nothing, and on the disk when it ends. Raises GatewayError when the database cannot be written."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        _roll_back(connection)
        raise explain(path, error) from None
    except BaseException:
        _roll_back(connection)
        raise


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:  # SQLite has rolled back by itself
            pass


def is_locked(path: Path) -> bool:
    """Whether a gateway runs with this database."""
    try:
        lock(path).close()
    except DatabaseError:
        return True
    return False


def lock(path: Path) -> IO[bytes]:
    """Hold the database for one running gateway, until the returned file is closed. Raises DatabaseError."""
    name = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        is_new = not name.exists()
        holder = os.fdopen(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW, 0o644), "ab")
        if is_new:
            hand_over(name)
    except OSError as error:
        if not path.exists():
            raise WrongDatabaseError(
                f"{path} cannot be made ({error.strerror}): name another [database] path"
            ) from None
        raise DatabaseError(
            f"{name} cannot be made ({error.strerror}): give the gateway's user the right to write there"
        ) from None
    try:
        fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder.close()
        raise DatabaseError(
            f"{path} is in use by another running gateway: stop that one, or give this one its own [database] path"
        ) from None
    return holder
