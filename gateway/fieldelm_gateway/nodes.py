"""What the gateway knows about its nodes, as values: a change makes a new one, which counts once it is stored."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeGuard

from .alarm import QUIET, Alarm
from .cipher import Ccm
from .errors import UsageError

HEARTBEAT_UNKNOWN_S = 900
MOST_NAME = 64


@dataclass(frozen=True, slots=True)
class KeySlot:
    """One key of a node, with the counters that belong to it."""

    key_id: int
    check: str
    """check value, the first two bytes of AES(key, 0) in hex, of the key that the node was provisioned with: it names its
    events, whose numbers go on when the key is rotated"""
    cipher: Ccm
    highest: int | None
    """highest frame counter accepted"""
    seen: int
    """bit i is set when counter `highest - i` was accepted; 64 bits"""
    last_sequence: int | None
    """highest event sequence, 32 bits"""
    pending: bytes | None = field(default=None, repr=False)
    """the key itself, while the node was asked to change to it and has not been heard under it"""


@dataclass(frozen=True, slots=True)
class Card:
    """What the last HELLO told."""

    boots: int = 0
    firmware: str | None = None
    boot_cause: str | None = None
    policy: str | None = None
    kernels: str | None = None
    heartbeat_s: int | None = None
    window_period_s: int | None = None
    bands: int | None = None
    band_low_hz: float | None = None
    band_high_hz: float | None = None
    threshold_factor: float | None = None
    output_power: int | None = None
    """dBm, as configured"""


@dataclass(frozen=True, slots=True)
class Node:
    """One node."""

    row: int
    """its number in the database"""
    eui: str
    node_id: int
    name: str
    location: str
    tag_bytes: int
    keys: tuple[KeySlot, ...]
    card: Card
    last_seen_ms: int | None = None
    status: tuple[int, int] | None = None
    """key id and counter of the newest STATUS"""
    status_document: str | None = None
    shaft_hz: float | None = None
    """speed of the machine's shaft, where it is known"""
    alarm: Alarm = QUIET
    tag_next: int | None = None
    """the other length of tag, while a command may have changed it"""

    def slot(self, key_id: int) -> KeySlot | None:
        """The key with this id."""
        for slot in self.keys:
            if slot.key_id == key_id:
                return slot
        return None

    def active(self) -> KeySlot | None:
        """The key in use."""
        return next((slot for slot in self.keys if slot.pending is None), None)

    def next_key(self) -> KeySlot | None:
        """The key that it was asked to change to."""
        return next((slot for slot in self.keys if slot.pending is not None), None)

    def keys_with(self, changed: KeySlot) -> tuple[KeySlot, ...]:
        """The keys after one of them has changed."""
        return tuple(changed if slot.key_id == changed.key_id else slot for slot in self.keys)

    def heartbeat_s(self) -> int:
        """Seconds between two signs of life."""
        return self.card.heartbeat_s or HEARTBEAT_UNKNOWN_S


def usable_name(name: object) -> TypeGuard[str]:
    """Whether this can be the name of a node."""
    return isinstance(name, str) and 1 <= len(name) <= MOST_NAME and name.isprintable() and name.strip() == name


def usable_location(location: object) -> TypeGuard[str]:
    """Whether this can be where a node is."""
    return isinstance(location, str) and len(location) <= MOST_NAME and (location.isprintable() or not location)


def find(nodes: Iterable[Node], wanted: str) -> Node | None:
    """The node with this name, EUI or node id."""
    nodes = list(nodes)
    for node in nodes:
        if node.name == wanted:
            return node
    for node in nodes:
        if is_meant(node, wanted):
            return node
    return None


def is_meant(node: Node, wanted: str) -> bool:
    """Whether somebody who says this may mean the node: by its name, EUI or node id."""
    return wanted in (node.name, str(node.node_id)) or wanted.lower() == node.eui


def named(nodes: Iterable[Node], wanted: str) -> Node:
    """The node that a person on the command line means. Raises UsageError if there is none."""
    node = find(nodes, wanted)
    if node is None:
        raise UsageError(f"there is no node {wanted!r}: `fieldelm node list` shows them")
    return node
