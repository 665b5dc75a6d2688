"""What the gateway keeps: nodes and keys, the log, events, the outbox, commands."""

import dataclasses
import json
import secrets
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fieldelm import payloads

from . import alarm, database
from .cipher import Ccm, check_value
from .errors import DatabaseError, RequestError, UsageError
from .nodes import Card, KeySlot, Node

EVENTS, REST = 0, 1  # lanes of the outbox
TAG_KEY = next(n for n, key in enumerate(payloads.CONFIG_KEYS) if key and key[1] == "tag_bytes")
_SIGN = 1 << 63
_CARD = tuple(field.name for field in dataclasses.fields(Card))


@dataclass(frozen=True, slots=True)
class FrameRow:
    """One line of the log."""

    node: int
    received_ms: int
    synced: bool
    radio: str
    type: int
    key_id: int
    counter: int
    rssi: int
    snr: float
    payload: bytes
    outcome: str


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event."""

    node: int
    key_check: str
    sequence: int
    event_ms: int
    received_ms: int
    type: str
    severity: str
    document: str


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One message for the broker; `id` is 0 until it is stored."""

    id: int
    lane: int
    topic: str
    payload: str
    retain: bool
    created_ms: int


@dataclass(frozen=True, slots=True)
class Command:
    """One command that waits for its node to speak. `sequence` is 0 until it is stored."""

    id: int
    request_id: str
    node: int
    command: str
    arguments: Mapping[str, int]
    sequence: int
    created_ms: int
    expires_ms: int
    attempts: int = 0
    state: str = "waiting"
    result: str | None = None
    answer: Mapping[str, Any] | None = None
    """what the node said beside the result"""


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A copy of what a node has learned, whole or in part."""

    model: int
    """CRC-32 of the whole"""
    node: int | None
    """it comes from this one; None: that was removed"""
    eui: str
    name: str
    total: int
    data: bytes
    """what has come, from the beginning"""
    begun_ms: int
    heard_ms: int = 0
    reminders: int = 0

    @property
    def complete(self) -> bool:
        """Whether all of it is here."""
        return len(self.data) == self.total


@dataclass(frozen=True, slots=True)
class AirtimeRow:
    """What a radio has transmitted in one minute."""

    radio: str
    slot: int
    """0 to 60, used in turn"""
    minute: int
    """since 1970"""
    synced: bool
    airtime_us: int


@dataclass(frozen=True, slots=True)
class MaintenanceRow:
    """What somebody did."""

    node: int
    request_id: str
    done_ms: int
    who: str
    via: str
    action: str
    event_id: str | None
    document: str


@dataclass(slots=True)
class Writes:
    """What one transaction writes."""

    frames: list[FrameRow] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)
    outbox: list[OutboxRow] = field(default_factory=list)
    published: list[int] = field(default_factory=list)
    """rows of the outbox that the broker has confirmed"""
    nodes: dict[int, Node] = field(default_factory=dict)
    """by row"""
    commands_new: list[Command] = field(default_factory=list)
    commands_sent: list[int] = field(default_factory=list)
    commands_finished: list[tuple[int, str, str | None, int]] = field(default_factory=list)
    """id, state, result, time"""
    commands_answers: list[tuple[str, int]] = field(default_factory=list)
    """what a node said beside the result, JSON; id"""
    keys_adopted: list[tuple[str, int, int]] = field(default_factory=list)
    """check value that names the events, row of the node, key id: it was heard, and the others are given up"""
    tags: list[tuple[int, int | None, int]] = field(default_factory=list)
    """length of a node's tags, the other one while that is being changed, row of the node"""
    traces: list[tuple[str, int]] = field(default_factory=list)
    """document, row of the node"""
    models: list[ModelRow] = field(default_factory=list)
    maintenance: list[MaintenanceRow] = field(default_factory=list)
    described: list[Node] = field(default_factory=list)
    """nodes with another name, location or shaft speed"""
    inbox_answers: list[tuple[str, int]] = field(default_factory=list)
    """answer, row"""
    airtime: dict[str, AirtimeRow] = field(default_factory=dict)
    """by radio: the minute that an answer ends in, with what was in it before"""

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__)


class Store:
    """The database as the gateway uses it. Every method raises GatewayError when it cannot be read or written."""

    def __init__(self, path: Path, *, create: bool = False, read_only: bool = False) -> None:
        self.path = path
        self._connection = database.connect(path, create=create, read_only=read_only)
        self._file = database.identity(path)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def query(self, sql: str, values: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        """Rows of a question; they have the columns' names."""
        return self._rows(sql, values)

    def write(self, sql: str, values: tuple[object, ...] = ()) -> int:
        """Write inside a transaction; return the number of the new row."""
        try:
            return self._connection.execute(sql, values).lastrowid or 0
        except sqlite3.Error as error:
            raise database.explain(self.path, error) from None

    def write_many(self, sql: str, values: Sequence[tuple[object, ...]]) -> None:
        """The same for many rows, inside a transaction."""
        try:
            self._connection.executemany(sql, values)
        except sqlite3.Error as error:
            raise database.explain(self.path, error) from None

    def _rows(self, sql: str, values: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        try:
            cursor = self._connection.execute(sql, values)
            cursor.row_factory = sqlite3.Row
            return cursor.fetchall()
        except sqlite3.Error as error:
            raise database.explain(self.path, error) from None

    def changed_elsewhere(self) -> int:
        """A number that changes when another program, `fieldelm node` for one, has written.

        Raises DatabaseError if the file was moved away: what SQLite writes now would be lost.
        """
        if database.identity(self.path) != self._file:
            raise DatabaseError(
                f"{self.path} was moved away or replaced while it was in use: stop the gateway before restoring a copy"
            )
        return int(self._rows("PRAGMA data_version")[0][0])

    # nodes

    def nodes(self) -> list[Node]:
        """All nodes with their keys, by name."""
        keys: dict[int, list[KeySlot]] = {}
        for row in self._rows("SELECT * FROM node_key ORDER BY node, key_id"):
            slot = KeySlot(
                key_id=row["key_id"],
                check=row["origin"] or check_value(row["key"]),
                cipher=Ccm(row["key"]),
                highest=row["highest"],
                seen=row["seen"] + 2 * _SIGN if row["seen"] < 0 else row["seen"],
                last_sequence=row["last_sequence"],
                pending=row["key"] if row["pending"] else None,
            )
            keys.setdefault(row["node"], []).append(slot)
        return [
            Node(
                row=row["id"],
                eui=row["eui"],
                node_id=row["node_id"],
                name=row["name"],
                location=row["location"],
                tag_bytes=row["tag_bytes"],
                keys=tuple(keys.get(row["id"], ())),
                card=Card(**{name: row[name] for name in _CARD}),
                last_seen_ms=row["last_seen_ms"],
                status=None if row["status_counter"] is None else (row["status_key_id"], row["status_counter"]),
                status_document=row["status_document"],
                shaft_hz=row["shaft_hz"],
                alarm=alarm.load(row["alarm_document"]),
                tag_next=row["tag_next"],
            )
            for row in self._rows("SELECT * FROM node ORDER BY name")
        ]

    def add_node(
        self, eui: str, node_id: int | None, name: str, location: str, tag_bytes: int, key: bytes, now_ms: int
    ) -> int:
        """Register a node with key 0, inside a transaction; return its node id, by default the lowest that is free.

        Raises UsageError if it is taken.
        """
        if node_id is None:
            taken = {row[0] for row in self._rows("SELECT node_id FROM node")}
            free = (number for number in range(1, 65536) if number not in taken)
            node_id = next(free, None)
            if node_id is None:
                raise UsageError(f"{self.path}: all 65,535 node ids are taken")
        try:
            cursor = self._connection.execute(
                "INSERT INTO node (eui, node_id, name, location, tag_bytes, created_ms) VALUES (?, ?, ?, ?, ?, ?)",
                (eui, node_id, name, location, tag_bytes, now_ms),
            )
            self._connection.execute(
                "INSERT INTO node_key (node, key_id, key) VALUES (?, 0, ?)", (cursor.lastrowid, key)
            )
        except sqlite3.IntegrityError as error:
            what = {"node.eui": f"EUI {eui}", "node.node_id": f"node id {node_id}", "node.name": f"name {name!r}"}
            taken_value = next((text for column, text in what.items() if column in str(error)), str(error))
            raise UsageError(f"{self.path}: {taken_value} is taken by another node: choose another") from None
        except sqlite3.Error as error:
            raise database.explain(self.path, error) from None
        return node_id

    def replace_key(self, node: int, key: bytes) -> None:
        """Give a node (its row) another key 0, whose counters begin anew, and no other; inside a transaction."""
        try:
            self._connection.execute("DELETE FROM node_key WHERE node = ?", (node,))
            self._connection.execute("INSERT INTO node_key (node, key_id, key) VALUES (?, 0, ?)", (node, key))
            self._connection.execute(
                "UPDATE node SET status_counter = NULL, status_key_id = NULL, tag_next = NULL WHERE id = ?", (node,)
            )
        except sqlite3.Error as error:
            raise database.explain(self.path, error) from None

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """A transaction for `add_node`, `replace_key` and `add_command`."""
        return database.transaction(self._connection, self.path)

    def add_maintenance(self, row: MaintenanceRow) -> None:
        """What somebody did; inside a transaction."""
        self.write(_INSERT_MAINTENANCE, _values(row))

    def add_message(self, topic: str, payload: str, now_ms: int, *, retain: bool = False) -> None:
        """A message for the broker, written beside the running gateway; inside a transaction."""
        sql = "INSERT INTO outbox (lane, topic, payload, retain, created_ms) VALUES (?, ?, ?, ?, ?)"
        self.write(sql, (REST, topic, payload, int(retain), now_ms))

    # commands

    def add_command(self, command: Command) -> Command:
        """Queue a command with the node's next sequence, inside a transaction; `rotate_key` makes the key."""
        if command.command == "rotate_key":
            self._prepare_key(command.node)
        elif command.command == "config_set" and command.arguments["key"] == TAG_KEY:
            self.write("UPDATE node SET tag_next = 12 - tag_bytes WHERE id = ?", (command.node,))
        try:
            sequence = self._connection.execute(_NEXT_SEQUENCE, (command.node,)).fetchall()[0][0]
            cursor = self._connection.execute(
                "INSERT INTO command (request_id, node, command, arguments, sequence, created_ms, expires_ms)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    command.request_id,
                    command.node,
                    command.command,
                    json.dumps(dict(command.arguments)),
                    sequence,
                    command.created_ms,
                    command.expires_ms,
                ),
            )
        except sqlite3.IntegrityError:
            raise RequestError(f"the id {command.request_id} was used before: give every request its own") from None
        return dataclasses.replace(command, id=cursor.lastrowid or 0, sequence=sequence)

    def _prepare_key(self, node: int) -> None:
        # a key that a node may have taken already stands: it is asked for the same one again
        rows = self._rows("SELECT key_id, key, pending, origin FROM node_key WHERE node = ?", (node,))
        if any(row["pending"] for row in rows):
            return
        (active,) = rows
        origin = active["origin"] or check_value(active["key"])
        self.write(
            "INSERT INTO node_key (node, key_id, key, pending, origin) VALUES (?, ?, ?, 1, ?)",
            (node, 1 - active["key_id"], secrets.token_bytes(16), origin),
        )

    def commands_waiting(self) -> list[Command]:
        """Commands that no node has answered yet, oldest first."""
        return [_command(row) for row in self._rows("SELECT * FROM command WHERE state = 'waiting' ORDER BY id")]

    def command(self, request_id: str) -> Command | None:
        """The command that was asked for with this id."""
        rows = self._rows("SELECT * FROM command WHERE request_id = ?", (request_id,))
        return _command(rows[0]) if rows else None

    # log, events, outbox

    def has_event(self, node: int, key_check: str, sequence: int) -> bool:
        """Whether this event is known already."""
        sql = "SELECT 1 FROM event WHERE node = ? AND key_check = ? AND sequence = ?"
        return bool(self._rows(sql, (node, key_check, sequence)))

    def frames_logged(self, node: int, key_id: int, counter: int) -> list[tuple[int, bytes]]:
        """Type and payload of the frames with this counter."""
        sql = "SELECT type, payload FROM frame WHERE node = ? AND key_id = ? AND counter = ?"
        return [(row["type"], row["payload"]) for row in self._rows(sql, (node, key_id, counter))]

    def has_command(self, node: int, sequence: int) -> bool:
        """Whether this gateway has sent, or is about to send, such a command."""
        return bool(self._rows("SELECT 1 FROM command WHERE node = ? AND sequence = ?", (node, sequence)))

    def commands_of(self, node: int, command: str) -> list[Command]:
        """What a node was asked by this command, newest first."""
        sql = "SELECT * FROM command WHERE node = ? AND command = ? ORDER BY id DESC LIMIT 100"
        return [_command(row) for row in self._rows(sql, (node, command))]

    def model(self, model: int) -> ModelRow | None:
        """The copy with this CRC-32."""
        rows = self._rows("SELECT * FROM model WHERE model = ?", (model,))
        return ModelRow(**dict(rows[0])) if rows else None

    def models(self, node: int | None = None) -> list[ModelRow]:
        """Copies, of one node or of all, newest first."""
        sql = "SELECT * FROM model WHERE ? IS NULL OR node = ? ORDER BY begun_ms DESC"
        return [ModelRow(**dict(row)) for row in self._rows(sql, (node, node))]

    def airtime(self, radio: str) -> list[AirtimeRow]:
        """What a radio has transmitted; older minutes than an hour may be among them."""
        rows = self._rows("SELECT * FROM airtime WHERE radio = ?", (radio,))
        return [AirtimeRow(**dict(row) | {"synced": bool(row["synced"])}) for row in rows]

    def put_airtime(self, row: AirtimeRow) -> None:
        """A minute of a radio; inside a transaction."""
        self.write(_PUT_AIRTIME, _values(row))

    def outbox_counts(self) -> tuple[int, int]:
        """Messages waiting: events, the rest."""
        counts = {row[0]: row[1] for row in self._rows("SELECT lane, count(*) FROM outbox GROUP BY lane")}
        return counts.get(EVENTS, 0), counts.get(REST, 0)

    def outbox_oldest_ms(self) -> int | None:
        """Since when the oldest message waits."""
        rows = self._rows("SELECT created_ms FROM outbox ORDER BY id LIMIT 1")
        return rows[0][0] if rows else None

    def outbox_after(self, lane: int, last_id: int, limit: int) -> list[OutboxRow]:
        """The next messages of a lane, in order."""
        sql = "SELECT * FROM outbox WHERE lane = ? AND id > ? ORDER BY id LIMIT ?"
        rows = self._rows(sql, (lane, last_id, limit))
        return [OutboxRow(**dict(row) | {"retain": bool(row["retain"])}) for row in rows]

    def outbox_retained_topics(self, last_id: int) -> set[str]:
        """Topics of retained messages that still wait behind this one."""
        sql = "SELECT DISTINCT topic FROM outbox WHERE lane = ? AND id > ? AND retain"
        return {row[0] for row in self._rows(sql, (REST, last_id))}

    def commit(self, writes: Writes, version: int) -> list[Command] | None:
        """Write it all or nothing; it is on the disk when this returns. Returns the new commands as stored.

        None, and nothing is written, if another program has written since `changed_elsewhere` returned `version`: `writes` holds
        whole keys with their counters, and would put them over another key's, or over counters that were imported.
        """
        connection = self._connection
        with database.transaction(connection, self.path):
            if self.changed_elsewhere() != version:
                return None
            connection.executemany(_INSERT_FRAME, [_values(row) for row in writes.frames])
            connection.executemany(_INSERT_EVENT, [_values(row) for row in writes.events])
            connection.executemany(
                "INSERT INTO outbox (lane, topic, payload, retain, created_ms) VALUES (?, ?, ?, ?, ?)",
                [(row.lane, row.topic, row.payload, row.retain, row.created_ms) for row in writes.outbox],
            )
            connection.executemany("DELETE FROM outbox WHERE id = ?", [(number,) for number in writes.published])
            connection.executemany(_UPDATE_NODE, [_node_values(node) for node in writes.nodes.values()])
            connection.executemany(
                _UPDATE_KEY, [values for node in writes.nodes.values() for values in _key_values(node)]
            )
            connection.executemany(
                "UPDATE command SET attempts = attempts + 1 WHERE id = ?",
                [(number,) for number in writes.commands_sent],
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
            connection.executemany("UPDATE node SET tag_bytes = ?, tag_next = ? WHERE id = ?", writes.tags)
            connection.executemany("UPDATE node SET trace_document = ? WHERE id = ?", writes.traces)
            connection.executemany(_INSERT_MAINTENANCE, [_values(row) for row in writes.maintenance])
            connection.executemany(
                "UPDATE OR IGNORE node SET name = ?, location = ?, shaft_hz = ? WHERE id = ?",
                [(node.name, node.location, node.shaft_hz, node.row) for node in writes.described],
            )
            connection.executemany("UPDATE inbox SET answer = ? WHERE id = ?", writes.inbox_answers)
            for row in writes.models:
                connection.execute(_PUT_MODEL, _values(row))
                if row.complete:
                    connection.execute(_FORGET_MODELS, (row.eui, row.eui))
            connection.executemany(_PUT_AIRTIME, [_values(row) for row in writes.airtime.values()])
            return [self.add_command(command) for command in writes.commands_new]


def _insert(table: str, row: type) -> str:
    names = [field.name for field in dataclasses.fields(row)]
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608


_INSERT_FRAME = _insert("frame", FrameRow)
_INSERT_EVENT = _insert("event", EventRow)
_INSERT_MAINTENANCE = _insert("maintenance", MaintenanceRow)
_PUT_AIRTIME = _insert("airtime", AirtimeRow).replace("INSERT", "INSERT OR REPLACE", 1)
_PUT_MODEL = _insert("model", ModelRow).replace("INSERT", "INSERT OR REPLACE", 1)
_FORGET_MODELS = (  # a node's newest eight stay
    "DELETE FROM model WHERE eui = ? AND model NOT IN (SELECT model FROM model WHERE eui = ? ORDER BY begun_ms DESC LIMIT 8)"
)
_UPDATE_NODE = (
    "UPDATE node SET last_seen_ms = ?, status_key_id = ?, status_counter = ?, status_document = ?, "  # noqa: S608
    "alarm_document = ?, " + ", ".join(f"{name} = ?" for name in _CARD) + " WHERE id = ?"
)
_NEXT_SEQUENCE = (
    "UPDATE node SET last_command_sequence = last_command_sequence % 65535 + 1 WHERE id = ?"
    " RETURNING last_command_sequence"
)
_UPDATE_KEY = "UPDATE node_key SET highest = ?, seen = ?, last_sequence = ? WHERE node = ? AND key_id = ?"


def _values(row: FrameRow | EventRow | MaintenanceRow | AirtimeRow | ModelRow) -> tuple[object, ...]:
    return tuple(getattr(row, name) for name in row.__slots__)


def _node_values(node: Node) -> tuple[object, ...]:
    key_id, counter = node.status or (None, None)
    card = [getattr(node.card, name) for name in _CARD]
    return (node.last_seen_ms, key_id, counter, node.status_document, alarm.dump(node.alarm), *card, node.row)


def _key_values(node: Node) -> Iterable[tuple[object, ...]]:
    for slot in node.keys:
        seen = slot.seen - 2 * _SIGN if slot.seen >= _SIGN else slot.seen
        yield (slot.highest, seen, slot.last_sequence, node.row, slot.key_id)


def _command(row: sqlite3.Row) -> Command:
    return Command(
        id=row["id"],
        request_id=row["request_id"],
        node=row["node"],
        command=row["command"],
        arguments=json.loads(row["arguments"]),
        sequence=row["sequence"],
        created_ms=row["created_ms"],
        expires_ms=row["expires_ms"],
        attempts=row["attempts"],
        state=row["state"],
        result=row["result"],
        answer=json.loads(row["answer"]) if row["answer"] else None,
    )
