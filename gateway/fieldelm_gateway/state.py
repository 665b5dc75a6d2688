"""What the core thread knows, and what one round of it is about to change."""

import copy
import dataclasses
from collections import Counter
from dataclasses import dataclass, field
from typing import TypeVar

from . import commands
from .airtime_account import AirtimeAccount
from .clock import Instant
from .config import GatewayConfig
from .documents import Topics, TracePart
from .downlink import Exchange
from .ingress import Radio, Uplink, airtime_us
from .nodes import Node
from .rows import EVENTS, REST, AirtimeRow, OutboxRow, Writes
from .security import Guard
from .store import Store

Copied = TypeVar("Copied", "Batch", Writes)
_ANSWERED_MS = 1000
"""from the end of an uplink to its answer"""


@dataclass(slots=True)
class Batch:
    """What one round decides. Nothing of it counts before it is committed."""

    writes: Writes = field(default_factory=Writes)
    nodes: dict[int, Node] = field(default_factory=dict)
    """changed ones, by node id"""
    exchanges: dict[int, Exchange] = field(default_factory=dict)
    """by row of the node"""
    events: set[tuple[int, str, int]] = field(default_factory=set)
    """row of the node, key check, sequence"""
    commands_finished: set[int] = field(default_factory=set)
    request_ids: set[str] = field(default_factory=set)
    answers: list[tuple[Uplink, bytes | None]] = field(default_factory=list)
    heard: list[tuple[Node, Instant]] = field(default_factory=list)
    documents: list[tuple[str, str, bool]] = field(default_factory=list)
    """current documents: topic, payload, whether they are published outside the outbox"""
    cards_changed: bool = False
    notes: list[str] = field(default_factory=list)
    """for the log"""
    warnings: list[str] = field(default_factory=list)
    """the same, louder"""
    frames: Counter[str] = field(default_factory=Counter)
    drops: Counter[str] = field(default_factory=Counter)
    status_dropped: int = 0
    published: tuple[int, int] = (0, 0)
    """rows that leave the outbox, by lane"""
    duty: dict[str, AirtimeAccount] = field(default_factory=dict)
    """airtime as it will be, by radio"""
    guard: Guard | None = None
    """what was dropped, as it will be known; None: nothing was"""
    traces: dict[int, list[TracePart]] = field(default_factory=dict)
    """parts of a trace that is not complete, by row of the node; none when it is"""
    copying: dict[int, bool] = field(default_factory=dict)
    """by row of the node: whether its model has come in part"""

    def copy(self) -> "Batch":
        """As it is now, for `restore`."""
        return _copied(dataclasses.replace(self, writes=_copied(self.writes)))

    def restore(self, before: "Batch") -> None:
        """What came since was refused: take it back."""
        for one in dataclasses.fields(self):
            setattr(self, one.name, getattr(before, one.name))

    def set_node(self, node: Node) -> None:
        """The node has changed."""
        self.nodes[node.node_id] = node
        self.writes.nodes[node.row] = node


def _copied(value: Copied) -> Copied:
    # its lists, sets and tables are its own; what is in them never changes
    made = copy.copy(value)
    for one in dataclasses.fields(value):
        held = getattr(value, one.name)
        if isinstance(held, list | set | dict):
            setattr(made, one.name, copy.copy(held))
    return made


class State:
    """What is committed, in memory."""

    def __init__(self, config: GatewayConfig, store: Store, radios: list[Radio]) -> None:
        self.config = config
        self.store = store
        self.topics = Topics(config.base_topic())
        self.radios = {radio.config.name: radio for radio in radios}
        self.duty = {name: AirtimeAccount(radio.config, store) for name, radio in self.radios.items()}
        self.nodes: dict[int, Node] = {}
        """by node id"""
        self.rows: dict[int, Node] = {}
        """by number in the database"""
        self.exchanges: dict[int, Exchange] = {}
        self.waiting = commands.Waiting(())
        self.guard = Guard()
        self.traces: dict[int, list[TracePart]] = {}
        """parts of a trace that is not complete, by row of the node"""
        self.copying = {row.node for row in store.models() if row.node and not row.complete}
        """rows of nodes whose model has come in part"""
        self.outbox = list(store.outbox_counts())
        """messages waiting, by lane"""

    def node(self, batch: Batch, node_id: int) -> Node | None:
        """A node as this round has left it."""
        return batch.nodes.get(node_id) or self.nodes.get(node_id)

    def exchange(self, batch: Batch, node_id: int) -> Exchange | None:
        """The newest exchange of a node."""
        node = self.nodes.get(node_id)
        return (batch.exchanges.get(node.row) or self.exchanges.get(node.row)) if node else None

    def outbox_fill(self, batch: Batch) -> float:
        """How full the outbox will be: from 1 on it takes nothing more."""
        waiting = sum(self.outbox) + len(batch.writes.outbox) - sum(batch.published)
        return waiting / self.config.database.outbox_limit

    def enqueue(self, batch: Batch, lane: int, topic: str, payload: str, now_ms: int, *, retain: bool = False) -> bool:
        """Put a message into the outbox; false if it is full."""
        if self.outbox_fill(batch) >= 1:
            return False
        batch.writes.outbox.append(OutboxRow(0, lane, topic, payload, retain, now_ms))
        return True

    def spend(self, batch: Batch, uplink: Uplink, answer: bytes, share: int) -> bool:
        """Account for the airtime of an answer; false if the law, or what is kept for alarms, does not leave any."""
        airtime = airtime_us(self.radios[uplink.radio].config, len(answer))
        heard = uplink.received
        begins = Instant(heard.epoch_ms + _ANSWERED_MS, heard.monotonic_ms + _ANSWERED_MS, heard.synced)
        account = batch.duty.get(uplink.radio)
        if account is None:  # a round that is not committed spends nothing
            account = batch.duty[uplink.radio] = self.duty[uplink.radio].copy(begins)
        spent = account.spend(begins, airtime, share)
        if isinstance(spent, AirtimeRow):
            batch.writes.airtime[uplink.radio] = spent
        return spent is not False

    def suspect(self, batch: Batch) -> Guard:
        """The guard, for what this round drops."""
        if batch.guard is None:
            batch.guard = self.guard.copy()
        return batch.guard

    def trace(self, batch: Batch, row: int) -> list[TracePart]:
        """The parts of a trace that have come."""
        return list(batch.traces.get(row, self.traces.get(row, ())))

    def replace(self, node: Node) -> None:
        """A node has changed in a way that need not be stored at once."""
        self.nodes[node.node_id] = self.rows[node.row] = node

    def adopt(self, batch: Batch) -> None:
        """The round is committed."""
        self.nodes.update(batch.nodes)
        self.rows.update(batch.writes.nodes)
        self.exchanges.update(batch.exchanges)
        self.duty.update(batch.duty)
        self.guard = batch.guard or self.guard
        self.traces = {row: parts for row, parts in {**self.traces, **batch.traces}.items() if parts}
        for row, is_partial in batch.copying.items():
            (self.copying.add if is_partial else self.copying.discard)(row)
        for number in batch.commands_finished:
            self.waiting.remove(number)
        for lane in (EVENTS, REST):
            added = sum(1 for row in batch.writes.outbox if row.lane == lane)
            self.outbox[lane] += added - batch.published[lane]
