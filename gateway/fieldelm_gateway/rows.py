"""What goes into the database and comes out of it, as values; and what one transaction writes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fieldelm import payloads

from .nodes import Node

EVENTS, REST = 0, 1  # lanes of the outbox
TAG_KEY = next(n for n, key in enumerate(payloads.CONFIG_KEYS) if key and key[1] == "tag_bytes")


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
