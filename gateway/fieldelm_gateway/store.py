"""What the gateway keeps: nodes and keys, the log, events, the outbox, commands."""

import dataclasses
import json
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from . import alarm, database, rounds
from .cipher import Ccm, check_value
from .errors import DamagedError, DatabaseError, RequestError, UsageError
from .nodes import Card, KeySlot, Node
from .rows import EVENTS, REST, TAG_KEY, AirtimeRow, Command, MaintenanceRow, ModelRow, OutboxRow, Writes

_NEXT_SEQUENCE = (
    "UPDATE node SET last_command_sequence = last_command_sequence % 65535 + 1 WHERE id = ?"
    " RETURNING last_command_sequence"
)


class Store:
    """The database as the gateway uses it. Every method raises GatewayError when it cannot be read or written."""

    def __init__(
        self,
        path: Path,
        *,
        create: bool = False,
        read_only: bool = False,
        locked: bool = False,
        on_damage: Callable[[DamagedError], None] = lambda _: None,
    ) -> None:
        """`locked`: whoever opens it holds `database.lock`. `on_damage` is told, too, when a question meets damage."""
        self.path = path
        self._on_damage = on_damage
        self._connection = database.connect(path, create=create, read_only=read_only, locked=locked)
        self._file = database.identity(path)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def check(self, seconds: float) -> bool:
        """Read all of it, for so long at the most; return whether that was enough. Raises DamagedError."""
        return database.check(self._connection, self.path, seconds)

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
            problem = database.explain(self.path, error)
            if isinstance(problem, DamagedError):
                self._on_damage(problem)
            raise problem from None

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
                seen=row["seen"] + 2 * rounds.SIGN if row["seen"] < 0 else row["seen"],
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
                card=Card(**{name: row[name] for name in rounds.CARD}),
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
            taken = {str(value) for row in self._rows("SELECT node_id, name FROM node") for value in row}
            free = (number for number in range(1, 65536) if str(number) not in taken)
            node_id = next(free, None)
            if node_id is None:
                raise UsageError(f"{self.path}: all 65,535 node ids are taken")
        its_id = int(name) if name.isdecimal() and len(name) < 6 else 0
        sql = "SELECT name FROM node WHERE name IN (?, ?) OR eui = ? OR node_id = ?"
        for row in self._rows(sql, (str(node_id), eui, name.lower(), its_id)):
            if row["name"] != name:
                new = f"{name!r} (node id {node_id}, EUI {eui})"
                raise UsageError(f"{self.path}: {new} would be mistaken for {row['name']!r}: choose another name")
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
        try:
            rounds.put_maintenance(self._connection, [row])
        except sqlite3.Error as error:
            raise database.explain(self.path, error) from None

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
        try:
            rounds.put_airtime(self._connection, [row])
        except sqlite3.Error as error:
            raise database.explain(self.path, error) from None

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
        sql = "SELECT id, lane, topic, payload, retain, created_ms FROM outbox WHERE lane = ? AND id > ? ORDER BY id LIMIT ?"
        return [
            OutboxRow(number, its_lane, topic, payload, bool(retain), created_ms)
            for number, its_lane, topic, payload, retain, created_ms in self._rows(sql, (lane, last_id, limit))
        ]

    def outbox_retained_topics(self, last_id: int) -> set[str]:
        """Topics of retained messages that still wait behind this one."""
        sql = "SELECT DISTINCT topic FROM outbox WHERE lane = ? AND id > ? AND retain"
        return {row[0] for row in self._rows(sql, (REST, last_id))}

    def commit(self, writes: Writes, version: int) -> list[Command] | None:
        """Write it all or nothing; it is on the disk when this returns. Returns the new commands as stored.

        None, and nothing is written, if another program has written since `changed_elsewhere` returned `version`: `writes` holds
        whole keys with their counters, and would put them over another key's, or over counters that were imported.
        """
        with database.transaction(self._connection, self.path):
            if self.changed_elsewhere() != version:
                return None
            rounds.write(self._connection, writes)
            return [self.add_command(command) for command in writes.commands_new]


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
