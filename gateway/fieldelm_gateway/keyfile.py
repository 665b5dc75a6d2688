"""The nodes' keys and counters in an encrypted file, for a second gateway or for one that takes another's place.

The file is JSON: scrypt's parameters and salt, a nonce, and AES-256-GCM cipher text, which authenticates the rest. With
the keys go the counters, so that whoever takes the file does not accept what was heard before it was written, and the
numbers under which gateways have answered with these keys, so that no nonce comes again.
"""

import base64
import contextlib
import json
import os
import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from . import numbers, removed
from .errors import UsageError
from .store import Store
from .verify import WINDOW_BITS

FORM = "fieldelm keys"
VERSION = 1
LEAST_PASSPHRASE = 12
_N, _R, _P = 1 << 16, 8, 2  # 64 MB, twice (RFC 7914; the least that OWASP names for passwords)
_MOST_MEMORY = 1 << 28  # a file from elsewhere must not take all there is: 128 n r bytes, p times as long
_MOST_P = 16
_SALT_BYTES, _NONCE_BYTES, _KEY_BYTES = 16, 12, 32
_MOST_BYTES = 64_000_000
_SIGN = 1 << 63


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one node of the file."""

    name: str
    eui: str
    what: str
    """new, merged, replaced"""


def export(store: Store, file: Path, passphrase: str) -> int:
    """Write the file, mode 0600, and return how many nodes are in it. Raises UsageError if it cannot be written."""
    check_passphrase(passphrase)
    with store.transaction() as connection:
        content = _read(connection)
    header = {
        "form": FORM,
        "version": VERSION,
        "n": _N,
        "r": _R,
        "p": _P,
        "salt": secrets.token_hex(_SALT_BYTES),
        "nonce": secrets.token_hex(_NONCE_BYTES),
    }
    sealed = _cipher(passphrase, header).encrypt(
        bytes.fromhex(str(header["nonce"])), json.dumps(content).encode(), _bound(header)
    )
    text = json.dumps({**header, "data": base64.b64encode(sealed).decode()}, indent=1) + "\n"
    part = file.with_name(file.name + ".part")
    try:
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise UsageError(f"{file}: cannot be written there ({error.strerror}): name another place") from None
    return len(content["nodes"])


def check_passphrase(passphrase: str) -> None:
    """Raises UsageError if it is too short to protect keys."""
    if len(passphrase) < LEAST_PASSPHRASE:
        raise UsageError(
            f"the passphrase is too short: at least {LEAST_PASSPHRASE} characters, several words for example"
        )


def _read(connection: sqlite3.Connection) -> dict[str, Any]:
    connection.row_factory = sqlite3.Row
    try:
        nodes = []
        for row in connection.execute("SELECT * FROM node ORDER BY name"):
            keys = connection.execute("SELECT * FROM node_key WHERE node = ? ORDER BY key_id", (row["id"],))
            names = ("eui", "node_id", "name", "location", "tag_bytes", "tag_next", "created_ms")
            held = [{**dict(key), "key": key["key"].hex()} for key in keys]
            nodes.append({**{name: row[name] for name in names}, "keys": held})
        return {"nodes": nodes, "numbers": sorted(numbers.used(connection))}
    finally:
        connection.row_factory = None


def _cipher(passphrase: str, header: Mapping[str, Any]) -> AESGCM:
    kdf = Scrypt(salt=bytes.fromhex(header["salt"]), length=_KEY_BYTES, n=header["n"], r=header["r"], p=header["p"])
    return AESGCM(kdf.derive(passphrase.encode()))


def _bound(header: Mapping[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True).encode()


def open_file(file: Path, passphrase: str) -> dict[str, Any]:
    """What is in the file. Raises UsageError if it is none, or not with this passphrase."""
    try:
        with file.open("rb") as source:
            document = json.loads(source.read(_MOST_BYTES))
        sealed = base64.b64decode(document.pop("data"), validate=True)
        if document["form"] != FORM or document["version"] != VERSION:
            raise ValueError("another form or version")
        n, r, p = (document[name] for name in ("n", "r", "p"))
        if not all(isinstance(value, int) and value > 0 for value in (n, r, p)):
            raise ValueError("parameters")
        if 128 * n * r > _MOST_MEMORY or p > _MOST_P:
            raise ValueError("parameters")
        cipher, nonce = _cipher(passphrase, document), bytes.fromhex(document["nonce"])
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, MemoryError):
        raise UsageError(
            f"{file}: is no file that `fieldelm gateway export-keys` of this version has written"
        ) from None
    try:
        content: dict[str, Any] = json.loads(cipher.decrypt(nonce, sealed, _bound(document)))
    except (InvalidTag, ValueError):
        raise UsageError(f"{file}: the passphrase is another one, or the file is damaged") from None
    return content


def bring(store: Store, content: Mapping[str, Any], *, replace: bool = False) -> list[Imported]:
    """Take nodes, keys and counters over, all or nothing; counters only ever rise.

    `replace`: take the file's key where this gateway has another one for a node. Raises UsageError otherwise.
    """
    with store.transaction() as connection:
        numbers.spend(connection, content["numbers"])
        return [_bring_node(store, connection, node, replace=replace) for node in content["nodes"]]


def _bring_node(store: Store, connection: sqlite3.Connection, given: Mapping[str, Any], *, replace: bool) -> Imported:
    theirs = [{**key, "key": bytes.fromhex(key["key"])} for key in given["keys"]]
    known = _row(store, given["eui"])
    what, tags_too = "new", True
    if known is None:
        eui, node_id, name, location = (given[key] for key in ("eui", "node_id", "name", "location"))
        store.add_node(eui, node_id, name, location, given["tag_bytes"], _active(theirs)["key"], given["created_ms"])
        known = _row(store, given["eui"])
    else:
        ours = [dict(row) for row in store.query("SELECT * FROM node_key WHERE node = ?", (known,))]
        joined = _joined(ours, theirs)
        if joined is None and not replace:
            raise UsageError(
                f"{given['name']} ({given['eui']}) has another key here: import with --replace to take the file's, "
                "or remove it first"
            )
        tags_too = joined is None or _heard(theirs) > _heard(ours)  # the file's gateway has heard it later
        what, theirs = ("merged", joined) if joined else ("replaced", theirs)
    connection.execute("DELETE FROM node_key WHERE node = ?", (known,))
    columns = ("key_id", "key", "highest", "seen", "last_sequence", "pending", "origin")
    connection.executemany(
        "INSERT INTO node_key (node, key_id, key, highest, seen, last_sequence, pending, origin)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [(known, *(key[name] for name in columns)) for key in theirs],
    )
    if what == "new":
        removed.recall(store, given["eui"])
    if tags_too:
        tags = (given["tag_bytes"], given["tag_next"], known)
        connection.execute("UPDATE node SET tag_bytes = ?, tag_next = ? WHERE id = ?", tags)
    if what != "merged":
        connection.execute("UPDATE node SET status_counter = NULL, status_key_id = NULL WHERE id = ?", (known,))
    return Imported(given["name"], given["eui"], what)


def _row(store: Store, eui: str) -> int | None:
    rows = store.query("SELECT id FROM node WHERE eui = ?", (eui,))
    return rows[0]["id"] if rows else None


def _heard(keys: list[dict[str, Any]]) -> int:
    # the highest counter, -1 for none
    return max((key["highest"] for key in keys if key["highest"] is not None), default=-1)


def _active(keys: list[dict[str, Any]]) -> dict[str, Any]:
    return next(key for key in keys if not key["pending"])


def _joined(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    # the keys of two gateways in one; None if they have none in common
    mine, other = _active(ours), _active(theirs)
    pending = [key for key in (*ours, *theirs) if key["pending"]]
    if mine["key"] == other["key"]:
        return [_counters(mine, other), *pending[:1]]
    for latest, before in (
        (mine, other),
        (other, mine),
    ):  # one has heard the node under the key that the other waits for
        if any(key["key"] == latest["key"] for key in pending):
            return [_counters(latest, before)]
    return None


def _counters(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    # of one key at two gateways: what either has heard counts
    sequences = [key["last_sequence"] for key in (one, other) if key["last_sequence"] is not None]
    result = dict(one) | {"last_sequence": max(sequences, default=None)}
    heard = [key for key in (one, other) if key["highest"] is not None]
    if heard:
        highest = max(key["highest"] for key in heard)
        seen = 0
        for key in heard:
            behind = highest - key["highest"]
            bits = key["seen"] % (2 * _SIGN)
            seen |= bits << behind if behind < WINDOW_BITS else 0
        seen &= 2 * _SIGN - 1
        result |= {"highest": highest, "seen": seen - 2 * _SIGN if seen >= _SIGN else seen}
    return result
