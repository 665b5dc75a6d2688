"""How a round of the core is written: every statement for many rows at once.

With each step of a statement SQLite lets Python's other threads run, and the core must wait for its turn again; six steps a frame
cost a busy gateway more than the writing itself.
"""

import dataclasses
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain

from . import alarm
from .nodes import Card, Node
from .rows import AirtimeRow, EventRow, FrameRow, MaintenanceRow, ModelRow, Writes

SIGN = 1 << 63
CARD = tuple(field.name for field in dataclasses.fields(Card))
_AT_ONCE = 64  # rows; SQLite takes 32,766 values in a statement


class Many:
    """A statement with a list of rows in it."""

    def __init__(self, before: str, width: int, after: str = "") -> None:
        row = f"({', '.join('?' * width)})"
        self._one = f"{before}{row}{after}"
        self._many = f"{before}{', '.join([row] * _AT_ONCE)}{after}"

    def run(self, connection: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> None:
        """Carry it out for these rows, in order."""
        at = 0
        while len(rows) - at >= _AT_ONCE:
            connection.execute(self._many, tuple(chain.from_iterable(rows[at : at + _AT_ONCE])))
            at += _AT_ONCE
        if at < len(rows):
            connection.executemany(self._one, rows[at:])


def _insert(table: str, row: type, *, replace: bool = False) -> Many:
    names = [field.name for field in dataclasses.fields(row)]
    verb = "INSERT OR REPLACE" if replace else "INSERT"
    return Many(f"{verb} INTO {table} ({', '.join(names)}) VALUES ", len(names))


def _update(table: str, columns: Sequence[str], keys: Sequence[str]) -> Many:
    # rows have the columns' values, then the keys'
    new = [f"column{number}" for number in range(1, len(columns) + len(keys) + 1)]
    changes = ", ".join(f"{name} = {value}" for name, value in zip(columns, new, strict=False))
    found = " AND ".join(f"{table}.{name} = {value}" for name, value in zip(keys, new[len(columns) :], strict=True))
    return Many(f"UPDATE {table} SET {changes} FROM (VALUES ", len(new), f") WHERE {found}")  # noqa: S608


_STATUS = ("status_key_id", "status_counter", "status_document")
_INSERT_FRAMES = _insert("frame", FrameRow)
_INSERT_EVENTS = _insert("event", EventRow)
_INSERT_OUTBOX = Many("INSERT INTO outbox (lane, topic, payload, retain, created_ms) VALUES ", 5)
_DELETE_OUTBOX = Many("DELETE FROM outbox WHERE id IN (VALUES ", 1, ")")
_UPDATE_NODES = _update("node", ("last_seen_ms", *_STATUS, "alarm_document", *CARD), ("id",))
_UPDATE_KEYS = _update("node_key", ("highest", "seen", "last_sequence"), ("node", "key_id"))
_INSERT_MAINTENANCE = _insert("maintenance", MaintenanceRow)
_PUT_AIRTIME = _insert("airtime", AirtimeRow, replace=True)
_PUT_MODEL = _insert("model", ModelRow, replace=True)
_FORGET_MODELS = (  # a node's newest eight stay
    "DELETE FROM model WHERE eui = ? AND model NOT IN (SELECT model FROM model WHERE eui = ? ORDER BY begun_ms DESC LIMIT 8)"
)


def write(connection: sqlite3.Connection, writes: Writes) -> None:
    """All but new commands, inside a transaction. Raises sqlite3.Error."""
    _INSERT_FRAMES.run(connection, [_values(row) for row in writes.frames])
    _INSERT_EVENTS.run(connection, [_values(row) for row in writes.events])
    _INSERT_OUTBOX.run(
        connection, [(row.lane, row.topic, row.payload, row.retain, row.created_ms) for row in writes.outbox]
    )
    _DELETE_OUTBOX.run(connection, [(number,) for number in writes.published])
    _UPDATE_NODES.run(connection, [_node_values(node) for node in writes.nodes.values()])
    _UPDATE_KEYS.run(connection, [values for node in writes.nodes.values() for values in _key_values(node)])
    _write_commands(connection, writes)
    connection.executemany("UPDATE node SET tag_bytes = ?, tag_next = ? WHERE id = ?", writes.tags)
    connection.executemany("UPDATE node SET trace_document = ? WHERE id = ?", writes.traces)
    put_maintenance(connection, writes.maintenance)
    connection.executemany(
        "UPDATE OR IGNORE node SET name = ?, location = ?, shaft_hz = ? WHERE id = ?",
        [(node.name, node.location, node.shaft_hz, node.row) for node in writes.described],
    )
    connection.executemany("UPDATE inbox SET answer = ? WHERE id = ?", writes.inbox_answers)
    for row in writes.models:
        _PUT_MODEL.run(connection, [_values(row)])
        if row.complete:
            connection.execute(_FORGET_MODELS, (row.eui, row.eui))
    put_airtime(connection, writes.airtime.values())


def put_maintenance(connection: sqlite3.Connection, rows: Iterable[MaintenanceRow]) -> None:
    """What people did, inside a transaction. Raises sqlite3.Error."""
    _INSERT_MAINTENANCE.run(connection, [_values(row) for row in rows])


def put_airtime(connection: sqlite3.Connection, rows: Iterable[AirtimeRow]) -> None:
    """Minutes of radios, inside a transaction. Raises sqlite3.Error."""
    _PUT_AIRTIME.run(connection, [_values(row) for row in rows])


def _write_commands(connection: sqlite3.Connection, writes: Writes) -> None:
    connection.executemany(
        "UPDATE command SET attempts = attempts + 1 WHERE id = ?", [(number,) for number in writes.commands_sent]
    )
    connection.executemany(
        "UPDATE command SET state = ?, result = ?, finished_ms = ? WHERE id = ?",
        [(state, result, now_ms, number) for number, state, result, now_ms in writes.commands_finished],
    )
    connection.executemany("UPDATE command SET answer = ? WHERE id = ?", writes.commands_answers)
    for origin, node, key_id in writes.keys_adopted:
        connection.execute(
            "UPDATE node_key SET pending = 0, origin = ? WHERE node = ? AND key_id = ?", (origin, node, key_id)
        )
        connection.execute("DELETE FROM node_key WHERE node = ? AND key_id <> ?", (node, key_id))


def _values(row: FrameRow | EventRow | MaintenanceRow | AirtimeRow | ModelRow) -> tuple[object, ...]:
    return tuple([getattr(row, name) for name in row.__slots__])


def _node_values(node: Node) -> tuple[object, ...]:
    key_id, counter = node.status or (None, None)
    card = [getattr(node.card, name) for name in CARD]
    return (node.last_seen_ms, key_id, counter, node.status_document, alarm.dump(node.alarm), *card, node.row)


def _key_values(node: Node) -> Iterable[tuple[object, ...]]:
    for slot in node.keys:
        seen = slot.seen - 2 * SIGN if slot.seen >= SIGN else slot.seen
        yield (slot.highest, seen, slot.last_sequence, node.row, slot.key_id)
