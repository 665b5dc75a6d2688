"""What people do about an alarm, written down with who and when: acknowledge, comment, shelve, describe, and every command.

Actions here are carried out by the gateway at once; commands for the node itself are in `commands`.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from . import alarm, documents, home_assistant, removed, requests
from .alarm import Alarm, Mark
from .clock import Instant, rfc3339
from .config import GatewayConfig
from .errors import RequestError, UsageError
from .nodes import MOST_NAME, Node, is_meant, usable_location, usable_name
from .requests import Request
from .rows import REST, Command, MaintenanceRow
from .state import Batch, State
from .store import Store

_MOST_TEXT = 500
_MOST_WAITING = 1000
_MOST_MINUTES = 43_200  # 30 days
_COMMON = ("schema", "id", "node", "by")
_UNKNOWN = "unknown"

ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "acknowledge": ("comment",),
    "comment": ("comment",),
    "shelve": ("minutes", "comment"),
    "describe": ("name", "location", "shaft_rpm"),
}
ACTIONS = tuple(ARGUMENTS)


def handle(state: State, batch: Batch, request: Request, now: Instant) -> None:
    """Carry out a request, write it down and answer it. Raises RequestError; then nothing has changed."""
    number, known, document = requests.addressed(request, state.rows.values())
    node = batch.writes.nodes.get(known.row, known)
    if number in batch.request_ids or is_known(state, number, node, request.command):
        return
    given = {name: value for name, value in document.items() if name not in _COMMON}
    for name in given:
        if name not in ARGUMENTS[request.command]:
            takes = ", ".join(ARGUMENTS[request.command])
            raise RequestError(f"{request.command} does not know {name[:64]!r}: it takes {takes}")
    nodes = {**state.rows, **batch.writes.nodes}.values()
    changed = _ACTIONS[request.command](nodes, node, given, document.get("by") or _UNKNOWN, now)
    batch.request_ids.add(number)
    batch.set_node(changed)
    if (changed.name, changed.location, changed.shaft_hz) != (node.name, node.location, node.shaft_hz):
        batch.writes.described.append(changed)
        batch.cards_changed = True
    write_down(state, batch, changed, request, document, given, now)
    command = Command(0, number, node.row, request.command, {}, 0, now.epoch_ms, now.epoch_ms)
    answer = documents.dump(documents.response(command, changed, "ok", "done", now))
    state.enqueue(batch, REST, state.topics.response(request.command), answer, now.epoch_ms)


def is_known(state: State, number: str, node: Node, action: str) -> bool:
    """Whether this request was carried out before. Raises RequestError if its id was another one's."""
    rows = state.store.query("SELECT node, action FROM maintenance WHERE request_id = ?", (number,))
    if rows and (rows[0]["node"], rows[0]["action"]) != (node.row, action):
        raise RequestError(f"the id {number} was used for another request: give every request its own")
    return bool(rows)


def asked(state: State, batch: Batch, node: Node, request: Request, command: Command, now: Instant) -> None:
    """A command for the node was taken: write it down; service hides the node's alarm from now on."""
    document = requests.read_object(request.payload)
    given = {name: value for name, value in document.items() if name not in (*_COMMON, "expires_s")}
    node = batch.writes.nodes.get(node.row, node)
    if command.command == "service":
        node = in_service(node, command.arguments["minutes"], document.get("by") or _UNKNOWN, now)
        batch.set_node(node)
    write_down(state, batch, node, request, document, given, now)


def in_service(node: Node, minutes: int, who: str, now: Instant) -> Node:
    """Its alarm is hidden while somebody works on the machine; 0 minutes end that."""
    mark = Mark(who, now.epoch_ms, until_ms=now.epoch_ms + minutes * 60_000) if minutes else None
    return dataclasses.replace(node, alarm=dataclasses.replace(node.alarm, service=mark))


def write_down(
    state: State,
    batch: Batch,
    node: Node,
    request: Request,
    document: Mapping[str, Any],
    given: Mapping[str, Any],
    now: Instant,
) -> None:
    """Into the database, and to MQTT."""
    who = document.get("by") or _UNKNOWN
    row = record(node, document["id"], request.command, given, who, request.via, now)
    batch.writes.maintenance.append(row)
    state.enqueue(batch, REST, state.topics.maintenance(node.eui), row.document, now.epoch_ms)
    batch.notes.append(f"{node.name}: {request.command} by {who} ({request.via})")


def record(
    node: Node, number: str, action: str, detail: Mapping[str, Any], who: str, via: str, now: Instant
) -> MaintenanceRow:
    """What somebody did, for database and MQTT."""
    event = node.alarm.event if node.alarm.active else None
    text = documents.dump(
        {
            "schema": documents.SCHEMA,
            "id": number,
            "time": rfc3339(now.epoch_ms),
            "node": node.eui,
            "name": node.name,
            "location": node.location,
            "action": action,
            "detail": dict(detail),
            "by": who,
            "via": via,
            "event": event,
        }
    )
    return MaintenanceRow(node.row, number, now.epoch_ms, who, via, action, event, text)


# the actions


def _acknowledge(_nodes: Iterable[Node], node: Node, given: Mapping[str, Any], by: str, now: Instant) -> Node:
    if not node.alarm.active:
        raise RequestError(f"{node.name} has no alarm to acknowledge")
    text = _text(given)
    acknowledged = dataclasses.replace(node.alarm, acknowledged=Mark(by, now.epoch_ms, text))
    return dataclasses.replace(node, alarm=_commented(acknowledged, by, text, now))


def _comment(_nodes: Iterable[Node], node: Node, given: Mapping[str, Any], by: str, now: Instant) -> Node:
    text = _text(given)
    if not text:
        raise RequestError("comment must be a text")
    return dataclasses.replace(node, alarm=_commented(node.alarm, by, text, now))


def _shelve(_nodes: Iterable[Node], node: Node, given: Mapping[str, Any], by: str, now: Instant) -> Node:
    minutes = given.get("minutes", 480)
    if not isinstance(minutes, int) or isinstance(minutes, bool) or not 0 <= minutes <= _MOST_MINUTES:
        raise RequestError(f"minutes must be a whole number from 0 to {_MOST_MINUTES}; 0 shows the alarm again")
    text = _text(given)
    mark = Mark(by, now.epoch_ms, text, now.epoch_ms + minutes * 60_000) if minutes else None
    return dataclasses.replace(node, alarm=_commented(dataclasses.replace(node.alarm, shelved=mark), by, text, now))


def _describe(nodes: Iterable[Node], node: Node, given: Mapping[str, Any], _by: str, _now: Instant) -> Node:
    if not given:
        raise RequestError("describe needs name, location or shaft_rpm")
    name = given.get("name", node.name)
    if not usable_name(name):
        raise RequestError(f"name must be a text of 1 to {MOST_NAME} printable characters")
    others = (other for other in nodes if other.row != node.row)
    if name != node.name and any(is_meant(other, name) for other in others):
        raise RequestError(f"another node is called {name!r}, or has it as its EUI or node id")
    location = given.get("location", node.location)
    if not usable_location(location):
        raise RequestError(f"location must be a text of at most {MOST_NAME} printable characters")
    shaft_hz = node.shaft_hz
    if "shaft_rpm" in given:
        rpm = given["shaft_rpm"]
        if rpm is not None and (not isinstance(rpm, int | float) or isinstance(rpm, bool) or not 1 <= rpm <= 600_000):
            raise RequestError("shaft_rpm must be a number from 1 to 600000, or null where it is not known")
        shaft_hz = None if rpm is None else rpm / 60
    return dataclasses.replace(node, name=name, location=location, shaft_hz=shaft_hz)


_ACTIONS: Mapping[str, Callable[[Iterable[Node], Node, Mapping[str, Any], str, Instant], Node]] = {
    "acknowledge": _acknowledge,
    "comment": _comment,
    "shelve": _shelve,
    "describe": _describe,
}


def _text(given: Mapping[str, Any]) -> str:
    text = given.get("comment", "")
    if not isinstance(text, str) or len(text) > _MOST_TEXT or not all(one.isprintable() or one == "\n" for one in text):
        raise RequestError(f"comment must be a text of at most {_MOST_TEXT} printable characters")
    return text.strip()


def _commented(before: Alarm, by: str, text: str, now: Instant) -> Alarm:
    return dataclasses.replace(before, comment=Mark(by, now.epoch_ms, text)) if text else before


# how it is told


def document(node: Node, now_ms: int) -> str:
    """The state of a node's alarm, as published."""
    present = node.alarm.expired(now_ms)
    return documents.dump(
        {
            "schema": documents.SCHEMA,
            "name": node.name,
            "location": node.location,
            "active": present.active,
            "shown": present.shown(now_ms),
            "since": rfc3339(present.since_ms) if present.active else None,
            "event": present.event if present.active else None,
            "score_ratio": present.score_ratio,
            "bands": list(present.bands),
            "acknowledged": _mark(present.acknowledged),
            "comment": _mark(present.comment),
            "shelved": _mark(present.shelved),
            "service": _mark(present.service),
            "last_event": present.last_event,
        }
    )


def _mark(mark: Mark | None) -> dict[str, Any] | None:
    if mark is None:
        return None
    said = {"by": mark.by, "time": rfc3339(mark.time_ms)}
    if mark.text:
        said["comment"] = mark.text
    if mark.until_ms:
        said["until"] = rfc3339(mark.until_ms)
    return said


def expired(nodes: Iterable[Node], now_ms: int) -> list[Node]:
    """Nodes whose alarm is no longer shelved or in service, because the time is over."""
    changed = []
    for node in nodes:
        if node.alarm.shelved or node.alarm.service:
            present = node.alarm.expired(now_ms)
            if present is not node.alarm:
                changed.append(dataclasses.replace(node, alarm=present))
    return changed


def ask(store: Store, action: str, number: str, node: str, by: str, arguments: Mapping[str, Any]) -> int:
    """Put a request for the running gateway, or for its next start, into the database; inside a transaction.

    Returns the number of its row in the inbox, where the answer will be. Raises UsageError for what is no text.
    """
    (waiting,) = store.query("SELECT count(*) AS number FROM inbox WHERE answer IS NULL")
    if waiting["number"] >= _MOST_WAITING:
        raise UsageError(f"{_MOST_WAITING} requests wait for the gateway already: start it, and it answers them")
    try:
        payload = json.dumps({"id": number, "node": node, "by": by, **arguments}, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise UsageError(
            "what was typed is not UTF-8: set the terminal to UTF-8, or write it with plain letters"
        ) from None
    return store.write("INSERT INTO inbox (command, payload) VALUES (?, ?)", (action, payload))


def note_command(
    store: Store,
    topics: documents.Topics,
    node: Node,
    command: Command,
    detail: Mapping[str, Any],
    by: str,
    now: Instant,
) -> None:
    """Write down a command that was queued beside the running gateway; inside the same transaction."""
    if command.command == "service":
        node = in_service(node, command.arguments["minutes"], by, now)
        store.write("UPDATE node SET alarm_document = ? WHERE id = ?", (alarm.dump(node.alarm), node.row))
    row = record(node, command.request_id, command.command, detail, by, "command line", now)
    store.add_maintenance(row)
    store.add_message(topics.maintenance(node.eui), row.document, now.epoch_ms)


def remove(store: Store, config: GatewayConfig, node: Node, now_ms: int) -> None:
    """Forget a node with all that is known of it, here, on MQTT and in Home Assistant; inside a transaction."""
    removed.remember(store, node)
    store.write("DELETE FROM node WHERE id = ?", (node.row,))
    for topic in home_assistant.topics_left(config, documents.Topics(config.base_topic()), node.eui):
        store.add_message(topic, "", now_ms, retain=True)
