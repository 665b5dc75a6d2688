"""The one thread that decides: takes what has come, verifies it, commits it, and only then lets answers go out.

Whatever is waiting is handled in one round and committed in one transaction, so that a busy gateway commits many frames
at once.
"""

import dataclasses
import logging
import queue
import threading
import time
from dataclasses import dataclass

from . import (
    commands,
    documents,
    health,
    home_assistant,
    maintenance,
    numbers,
    requested,
    steps,
    upkeep,
    uplinks,
)
from .clock import Clock, Instant, rfc3339
from .config import GatewayConfig
from .errors import DamagedError, DatabaseUnavailableError, GatewayError
from .ingress import Radio, Tick, Uplink
from .live import Live
from .nodes import Node
from .publisher import Published, Publisher
from .requests import Request
from .rows import Command
from .state import Batch, State
from .store import Store

log = logging.getLogger(__name__)

_CHANGES_NODE = ("rotate_key", "config_set")
_ROUND = 512  # items at most: an SD card takes tens of ms for a commit, and an answer has a second
_TICK_S = 0.5
_TRY_AGAIN_S = 0.25
_LOOK_EVERY_MS = 1000
_HEALTH_EVERY_MS = 60_000
_MOST_POSTPONED = 1000
_SHOW_EVERY_S = 5.0  # the same for the dashboard
_NODE_MS = 10  # for each node on it, the list of nodes rests after it was told: a thousand make 330 kB


@dataclass(frozen=True, slots=True)
class Stop:
    """Finish what came before this, and end."""


@dataclass(frozen=True, slots=True)
class Reached:
    """Tell when everything before this is done."""

    event: threading.Event


class _FaultyError(Exception):
    """A frame has met a fault in the program."""

    def __init__(self, uplink: Uplink) -> None:
        super().__init__()
        self.uplink = uplink


Item = Uplink | Request | Published | Tick | Reached | Stop | DamagedError
Inbox = queue.SimpleQueue[Item]


class Core:
    """Takes items from the inbox, round after round."""

    def __init__(
        self,
        config: GatewayConfig,
        version: str,
        store: Store,
        radios: list[Radio],
        publisher: Publisher,
        clock: Clock,
        inbox: Inbox,
        live: Live | None = None,
    ) -> None:
        self.state = State(config, store, radios)
        self.tally = health.Tally()
        self._version = version
        self._publisher = publisher
        self._clock = clock
        self._inbox = inbox
        self._live = live or Live()
        self._announced: dict[str, tuple[object, ...]] = {}  # by EUI: what Home Assistant was told of the node
        self._inbox_waits = False
        self._availability = health.Availability()
        self._database_version = -1
        self._database_problem = ""
        self._postponed: list[Item] = []
        self._try_again_at = 0.0
        self._cards_changed = False
        self._nodes_due_ms = 0
        self._steps = steps.Steps()
        self._clock_steps: list[steps.Step] = []  # not yet heeded
        self._outbox_full = False
        self._due_ms: int | None = None
        self._health_due_ms = 0
        self._shown_due_s = 0.0
        self.stepped_s = time.monotonic()
        """when the last round ended: who supervises sees whether it is stuck"""
        self._upkeep = upkeep.Upkeep(config.retention, store)
        self._connections_told = 0

    def run(self) -> None:
        """Work until Stop. Raises GatewayError when the database is damaged."""
        stopping = False
        while not stopping:
            items = self._collect()
            stopping = any(isinstance(item, Stop) for item in items)
            self.step(items)
            self.stepped_s = time.monotonic()
            for item in items:
                if isinstance(item, Reached):
                    item.event.set()

    def _collect(self) -> list[Item]:
        items: list[Item] = []
        try:
            items.append(self._inbox.get(timeout=_TICK_S))
            while len(items) < _ROUND:
                items.append(self._inbox.get_nowait())
        except queue.Empty:
            pass
        if self._postponed and time.monotonic() >= self._try_again_at:
            items = self._postponed + items
            self._postponed = []
        return items

    def step(self, items: list[Item]) -> None:
        """One round: decide, commit, answer."""
        now = self._clock.now()
        batch = Batch()
        added: list[Command] | None = None
        faulty: list[Uplink] = []
        try:
            while added is None:
                try:
                    batch = self._decide(items, now, faulty)
                except _FaultyError as error:  # the round is decided anew: what it left behind halfway does not count
                    faulty.append(error.uplink)
                    continue
                added = self.state.store.commit(batch.writes, self._database_version) if batch.writes else []
        except DatabaseUnavailableError as error:
            self._give_up(items, batch, error)
            return
        if batch.writes and self._database_problem:
            log.warning("database: it works again")
            self._database_problem = ""
        self._adopt(batch, added)
        if self._is_due(now):
            self._look_around(now)

    def _decide(self, items: list[Item], now: Instant, faulty: list[Uplink]) -> Batch:
        # what this round changes, by what the database has said
        batch = Batch()
        self._reload_if_changed(now)
        self._heed_the_clock(now)
        for item in [*items, *self._beside()]:
            match item:
                case Uplink() if any(item is one for one in faulty):
                    uplinks.decline(batch, item)
                case Uplink():
                    try:
                        uplinks.handle(self.state, batch, item)
                    except GatewayError:
                        raise
                    except Exception:  # nor must a frame: its node sends it again and again
                        log.exception("radio %s: a frame has met a fault in the program: it is dropped", item.radio)
                        raise _FaultyError(item) from None
                case Published(events, rest):
                    batch.writes.published += events + rest
                    batch.published = (batch.published[0] + len(events), batch.published[1] + len(rest))
                case DamagedError():  # another thread has met it
                    raise item
                case Request():
                    requested.handle(self.state, batch, item, now)
        if self._is_due(now):
            requested.expire(self.state, batch, now)
        return batch

    def _reload_if_changed(self, now: Instant) -> None:
        # another program, such as `fieldelm node` or `fieldelm provision`, has written
        state = self.state
        version = state.store.changed_elsewhere()
        if version == self._database_version:
            return
        nodes = state.store.nodes()
        state.waiting = commands.Waiting(state.store.commands_waiting())
        self._inbox_waits = True
        known = state.rows
        state.outbox = list(state.store.outbox_counts())
        self._publisher.notify()
        state.nodes = {node.node_id: node for node in nodes}
        state.rows = {node.row: node for node in nodes}
        self._database_version = version
        self._cards_changed = True
        self._listen_if_spent()
        for node in nodes:
            before = known.get(node.row)
            if before is None or (before.alarm, before.name, before.location) != (node.alarm, node.name, node.location):
                self._tell_alarm(node, now)
            if before is None or before.eui != node.eui:
                self._availability.restore(node, now)
                if node.status_document:
                    self._remember(state.topics.node_state(node.eui), node.status_document, publish=False)
        self._upkeep.heed(nodes)
        present = {node.eui for node in nodes}
        for gone in known.values():
            if gone.eui not in present:
                self._forget(gone)

    def _listen_if_spent(self) -> None:
        # keys were imported beside the running gateway: another one has answered with them under this number
        config = self.state.config
        if config.gateway.answers and config.gateway.number in numbers.spent_in(self.state.store):
            log.error(
                "number %d is another gateway's: this one only listens until it starts with one of its own. %s",
                config.gateway.number,
                numbers.MEND,
            )
            gateway = dataclasses.replace(config.gateway, answers=False)
            self.state.config = dataclasses.replace(config, gateway=gateway)

    def _forget(self, node: Node) -> None:
        # it was removed; whoever did that has put empty retained messages into the outbox
        for topic in home_assistant.topics_left(self.state.config, self.state.topics, node.eui):
            self._publisher.forget(topic)
            self._live.remember(topic, "")
        self._announced.pop(node.eui, None)
        self._availability.forget(node)
        self.state.exchanges.pop(node.row, None)
        self.state.traces.pop(node.row, None)
        self.state.guard.forget(node)
        log.info("%s was removed", node.name)

    def _beside(self) -> list[Request]:
        # requests of programs beside the gateway
        if not self._inbox_waits:
            return []
        rows = self.state.store.query("SELECT id, command, payload FROM inbox WHERE answer IS NULL ORDER BY id")
        return [Request(row["command"], row["payload"], "command line", row["id"]) for row in rows]

    def _heed_the_clock(self, now: Instant) -> None:
        if now.epoch_ms <= 0:  # the simulated air has not told its time
            return
        if step := self._steps.look(now):
            self._clock_steps.append(step)
            log.warning("the clock was set by %+.0f s, to %s", step.by_ms / 1000, rfc3339(now.epoch_ms))
        while self._clock_steps:
            for node in steps.put_right(self.state, self._clock_steps[0]):
                self._tell_alarm(node, now)
            self._clock_steps.pop(0)

    # the end of a round

    def _give_up(self, items: list[Item], batch: Batch, error: DatabaseUnavailableError) -> None:
        # Nothing was written, so nothing counts: nodes repeat what is not answered, the rest is tried again here.
        if str(error) != self._database_problem:
            log.error("database: %s", error)
        self._database_problem = str(error)
        self.tally.database_failures += 1
        heard = [item for item in items if isinstance(item, Uplink)]
        self._answer([(uplink, None) for uplink in heard])
        self.tally.frames["received"] += len(heard)
        self.tally.drops.update(batch.drops)
        self.tally.drops["store_full"] += len(heard) - batch.drops.total()
        # requests that are in the inbox stay there; of the others a broker could send without end
        self._postponed += [item for item in items if isinstance(item, Published)]
        asked = [item for item in items if isinstance(item, Request)]
        room = _MOST_POSTPONED - sum(isinstance(item, Request) for item in self._postponed)
        self._postponed += asked[:room]
        if len(asked) > room:
            log.warning(
                "database: %d requests are dropped, as %d wait for it already", len(asked) - room, _MOST_POSTPONED
            )
        self._try_again_at = time.monotonic() + _TRY_AGAIN_S

    def _answer(self, answers: list[tuple[Uplink, bytes | None]]) -> None:
        radios = self.state.radios
        for uplink, answer in answers:
            radios[uplink.radio].answer(uplink.token, answer)
        for name in {uplink.radio for uplink, _ in answers}:
            radios[name].flush()

    def _adopt(self, batch: Batch, added: list[Command]) -> None:
        rows = self.state.rows
        told = {row for row, node in batch.writes.nodes.items() if rows[row].alarm is not node.alarm}
        told.update(node.row for node in batch.writes.described)
        self._inbox_waits = False
        self.state.adopt(batch)
        self._answer(batch.answers)  # a node waits for it; nothing else is in a hurry
        now = self._clock.now()
        for row in told:
            self._tell_alarm(self.state.rows[row], now)
        for note in batch.notes:
            log.info("%s", note)
        for warning in batch.warnings:
            log.warning("%s", warning)
        if any(command.command in _CHANGES_NODE for command in added):
            self._database_version = -1  # a key was made, or a tag may change: read it
        for command in added:
            self.state.waiting.add(command)
        if batch.writes.outbox:
            self._publisher.notify()
            for message in batch.writes.outbox:
                if not message.retain:
                    self._live.tell(message.topic, message.payload)
        for topic, payload, publish in batch.documents:
            self._remember(topic, payload, publish=publish)
        for node, heard in batch.heard:
            self._availability.heard(node, heard)
        self._cards_changed |= batch.cards_changed
        self.tally.frames.update(batch.frames)
        self.tally.drops.update(batch.drops)
        self.tally.status_dropped += batch.status_dropped

    # documents that describe the present

    def _remember(self, topic: str, payload: str, *, publish: bool = True) -> None:
        self._publisher.remember(topic, payload, publish=publish)
        self._live.remember(topic, payload)

    def _tell_alarm(self, node: Node, now: Instant) -> None:
        self._remember(self.state.topics.alarm(node.eui), maintenance.document(node, now.epoch_ms))

    def _announce(self) -> None:
        # to Home Assistant, what has changed for it
        if not self.state.config.home_assistant.discovery:
            return
        if not self._announced:
            topic = home_assistant.gateway_topic(self.state.config)
            self._publisher.remember(topic, home_assistant.gateway_device(self.state.config, self.state.topics))
            self._announced[""] = ()
        for node in self.state.nodes.values():
            told = (node.name, node.location, node.card.firmware)
            if self._announced.get(node.eui) != told:
                self._announced[node.eui] = told
                document = home_assistant.node_device(self.state.config, self.state.topics, node)
                self._publisher.remember(home_assistant.node_topic(self.state.config, node.eui), document)

    # what time brings

    def _is_due(self, now: Instant) -> bool:
        return now.epoch_ms > 0 and (self._due_ms is None or now.monotonic_ms >= self._due_ms)

    def _look_around(self, now: Instant) -> None:
        topics = self.state.topics
        if self._due_ms is None:
            self.tally.since_ms = now.monotonic_ms
            self._remember(topics.info, documents.info(self.state.config, self._version, now))
        self._due_ms = now.monotonic_ms + _LOOK_EVERY_MS
        self._look_at_outbox()
        for node, online in self._availability.changes(self.state.nodes.values(), now):
            self._remember(topics.availability(node.eui), "online" if online else "offline")
        for node in maintenance.expired(self.state.nodes.values(), now.epoch_ms):
            self.state.replace(node)
            self._tell_alarm(node, now)
        if self._cards_changed and now.monotonic_ms >= self._nodes_due_ms:
            self._cards_changed = False
            self._nodes_due_ms = now.monotonic_ms + _NODE_MS * len(self.state.nodes)
            self._remember(topics.nodes, documents.node_list(self.state.nodes.values()))
            self._announce()
        if now.monotonic_ms >= self._health_due_ms or self._publisher.connections != self._connections_told:
            self._connections_told = self._publisher.connections
            self._health_due_ms = now.monotonic_ms + _HEALTH_EVERY_MS
            self._remember(topics.health, self._health(now))
        elif time.monotonic() >= self._shown_due_s:  # real time: simulated time may fly
            self._shown_due_s = time.monotonic() + _SHOW_EVERY_S
            self._live.remember(topics.health, self._health(now))

        self._upkeep.step(now)

    def _look_at_outbox(self) -> None:
        waiting = sum(self.state.outbox)
        full = waiting >= self.state.config.database.outbox_limit
        if full and not self._outbox_full:
            log.error(
                "the outbox is full, %d messages wait: no frame is acknowledged until the broker takes some", waiting
            )
        elif self._outbox_full and not full:
            log.warning("the outbox has room again: frames are acknowledged")
        self._outbox_full = full

    def _health(self, now: Instant) -> str:
        return health.document(self.state, self.tally, self._availability, self._publisher.status(), now)
