"""From the outbox to the broker, in two ordered lanes: events before the rest.

A row leaves the outbox when the broker has confirmed it. Documents that describe the present (`state`, `info`, `nodes`,
`health`, availability, the last status of each node) are kept in memory beside it: only their latest value counts, and
all of them are published again after every connection, as the broker may have forgotten them.
"""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from . import documents, home_assistant
from .broker import GREETING_S, Arrived, Bell, Confirmed, Connection, ProtocolRefusedError
from .config import GatewayConfig
from .errors import BrokerLostError, GatewayError
from .requests import Request
from .rows import EVENTS, REST, OutboxRow
from .store import Store

log = logging.getLogger(__name__)

_FETCH = 500
_FIRST_PAUSE_S = 0.25
_HOLD_S = 5.0  # after the broker has refused a message
_STEADY_S = 5.0  # a connection that lasts so long was no failure
_GOODBYE_S = 1.0
_LONGEST_GREETING_S = 24.0
_PACE_S = 0.1
_PACE = 100  # documents of the present in this time
_FLOOD = 50  # events in this time; a concentrator of eight channels hears 20 frames
_PACE_IN_A_FLOOD = 20


@dataclass(frozen=True, slots=True)
class Published:
    """The broker has these rows of the outbox."""

    events: tuple[int, ...]
    rest: tuple[int, ...]


class Lane:
    """The rows of one lane that were read from the outbox and are not yet on their way."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.rows: deque[OutboxRow] = deque()
        self.last_id = 0
        self.exhausted = False

    def next(self, store: Store) -> OutboxRow | None:
        """The first row, read from the outbox as needed; it stays until `rows.popleft()`."""
        if not self.rows and not self.exhausted:
            self.rows.extend(store.outbox_after(self.number, self.last_id, _FETCH))
            self.exhausted = not self.rows
            if self.rows:
                self.last_id = self.rows[-1].id
        return self.rows[0] if self.rows else None

    def put_back(self, rows: Iterable[OutboxRow]) -> None:
        """Rows that the broker has not confirmed go first again."""
        self.rows.extendleft(sorted(rows, key=lambda row: row.id, reverse=True))


class Pace:
    """How fast documents of the present go out, of which only the latest value counts.

    Many at once, as at the start, must not hold up the frames; in a flood of events they wait still more, and come when it ebbs.
    """

    def __init__(self) -> None:
        self._until = 0.0
        self._events = 0
        self._left = 0

    def event(self) -> None:
        """An event has gone out."""
        self._events += 1

    def has_room(self) -> bool:
        """Whether one more document may go now; it is counted."""
        now = time.monotonic()
        if now >= self._until:
            self._left = _PACE_IN_A_FLOOD if self._events > _FLOOD else _PACE
            self._events = 0
            self._until = now + _PACE_S
        self._left -= 1
        return self._left >= 0


class Publisher:
    """Owns the connection to the broker and the thread that feeds it."""

    def __init__(self, config: GatewayConfig, store: Store, deliver: Callable[[Published | Request], None]) -> None:
        """`store` is its own connection to the database, for reading."""
        self._config = config
        self._store = store
        self._deliver = deliver
        self._topics = documents.Topics(config.base_topic())
        self._bell = Bell()
        self._lock = threading.Lock()
        self._current: dict[str, str] = {}
        self._changed: dict[str, None] = {}  # current documents to be published, in order
        self._ending_at: float | None = None
        self._connection: Connection | None = None
        self._protocol = "5" if config.mqtt.protocol == "auto" else config.mqtt.protocol
        self._lanes = (Lane(EVENTS), Lane(REST))
        self._pace = Pace()
        self._in_flight: dict[int, OutboxRow | str] = {}
        self._limit = config.mqtt.in_flight
        self._hold_until = 0.0
        self._greeting_s = GREETING_S
        self.connections = 0
        self.published = 0
        self.problem = "not connected yet"
        self._complaint = ""
        self.too_long = 0
        """messages that were withheld, as the broker takes no packets of their size"""
        self._told_too_long: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    # for the other threads

    def start(self) -> None:
        """Begin to connect and publish."""
        self._thread.start()

    def notify(self) -> None:
        """The outbox has new rows."""
        self._bell.ring()

    def remember(self, topic: str, payload: str, *, publish: bool = True) -> None:
        """The present value of a retained document. `publish` false: a row of the outbox brings it this time."""
        with self._lock:
            self._current[topic] = payload
            if publish:
                self._changed[topic] = None
        self._bell.ring()

    def forget(self, topic: str) -> None:
        """A document that describes nothing any more."""
        with self._lock:
            self._current.pop(topic, None)
            self._changed.pop(topic, None)

    def stop(self, flush_s: float) -> None:
        """Publish what can be published in this time, say `offline`, and hang up."""
        self._ending_at = time.monotonic() + flush_s
        self._bell.ring()
        self._thread.join()

    def close(self) -> None:
        """Let go of what it has open."""
        self._bell.close()
        self._store.close()

    def status(self) -> dict[str, Any]:
        """Its part of the health document."""
        connection = self._connection
        return {
            "connected": connection is not None,
            "protocol": connection.protocol if connection else None,
            "connections": self.connections,
            "published": self.published,
            "in_flight": len(self._in_flight),
            "too_long": self.too_long,
            "problem": self.problem or None,
        }

    # its own thread

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while self._ending_at is None:
            began = time.monotonic()
            problem = ""
            try:
                self._connect()
                self._serve()
            except GatewayError as error:
                problem = str(error)
            except Exception as error:  # what was on its way is sent again over the next connection
                problem = f"{type(error).__name__}: {error}"
                if problem != self._complaint:
                    log.exception("MQTT: the connection has met a fault in the program")
            self._disconnect()
            if problem and time.monotonic() >= self._hold_until:  # else it has refused a message, which says more
                self._complain(problem)
            if time.monotonic() - began > _STEADY_S:
                pause_s = _FIRST_PAUSE_S
            self._pause(pause_s * random.uniform(0.75, 1.25))
            pause_s = min(pause_s * 2, self._config.mqtt.retry_max_s)

    def _complain(self, problem: str) -> None:
        self.problem = problem
        if problem != self._complaint:
            log.warning("MQTT: %s", problem)
        self._complaint = problem

    def _is_ending(self) -> bool:
        return self._ending_at is not None

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self._ending_at is None and (left := until - time.monotonic()) > 0:
            self._bell.wait(left)

    def _connect(self) -> None:
        will = (self._topics.state, documents.gateway_state("offline"))
        try:
            connection = Connection(
                self._config, self._protocol, will, greeting_s=self._greeting_s, give_up=self._is_ending
            )
        except ProtocolRefusedError:
            self._greeting_s = min(2 * self._greeting_s, _LONGEST_GREETING_S)
            if self._config.mqtt.protocol == "auto":
                self._protocol = "3.1.1" if self._protocol == "5" else "5"
            raise
        self._connection = connection
        self._greeting_s = GREETING_S
        self._limit = min(self._config.mqtt.in_flight, connection.receive_maximum)
        self.connections += 1
        self.problem = ""
        log.info("MQTT: connected to %s with MQTT %s", self._config.mqtt.url, connection.protocol)
        connection.subscribe(self._topics.requests)
        if self._config.home_assistant.discovery:
            connection.subscribe(home_assistant.status_topic(self._config))
        self._refresh()

    def _refresh(self) -> None:
        # Everything current again, `state` first; but a topic for which rows wait gets its values from them, in order.
        waiting = self._store.outbox_retained_topics(self._lanes[REST].last_id)
        waiting.update(row.topic for row in self._lanes[REST].rows if row.retain)
        with self._lock:
            topics = sorted(self._current, key=lambda topic: topic != self._topics.state)
            self._changed = dict.fromkeys(topic for topic in topics if topic not in waiting)

    def _serve(self) -> None:
        connection = self._connection
        assert connection
        while True:
            if time.monotonic() >= self._hold_until:
                self._publish_what_fits(connection)
            if self._ending_at is not None and (self._is_done() or time.monotonic() >= self._ending_at):
                self._say_goodbye(connection)
                return
            try:
                connection.wait(self._bell, _PACE_S if self._ending_at is not None or self._changed else 1.0)
            except BrokerLostError as error:
                raise BrokerLostError(f"connection to {self._config.mqtt.url} lost: {error}") from None
            self._take_notices(connection)
            for lane in self._lanes:
                lane.exhausted = False

    def _is_done(self) -> bool:
        return not self._in_flight and not self._changed and not any(lane.next(self._store) for lane in self._lanes)

    def _take_notices(self, connection: Connection) -> None:
        done: tuple[list[int], list[int]] = ([], [])
        for notice in connection.notices():
            if isinstance(notice, Arrived) and notice.topic == home_assistant.status_topic(self._config):
                self._announce_again(notice.payload)
                continue
            if isinstance(notice, Arrived) and notice.retained:  # it would come again at every start, for years
                log.warning(
                    "MQTT: a retained request is not carried out: clear %.200r, and ask without retain", notice.topic
                )
                continue
            if isinstance(notice, Arrived):
                self._deliver(Request(self._topics.requested(notice.topic), notice.payload))
                continue
            message = self._in_flight.pop(notice.mid, None)
            if notice.problem and message is not None:
                self._refused(message, notice)
            elif message is not None:
                self.published += 1
                self.problem = self._complaint = ""
                if isinstance(message, OutboxRow):
                    done[message.lane].append(message.id)
        if any(done):
            self._deliver(Published(tuple(done[EVENTS]), tuple(done[REST])))

    def _announce_again(self, word: bytes) -> None:
        # Home Assistant was born and has forgotten what is not retained; it may also have come without its broker's memory
        if word != b"online":
            return
        prefix = self._config.home_assistant.prefix + "/"
        base = self._config.base_topic() + "/"
        with self._lock:
            announced = [topic for topic in self._current if topic.startswith(prefix)]
            rest = [topic for topic in self._current if topic.startswith(base)]
            self._changed |= dict.fromkeys(announced + rest)

    def _refused(self, message: OutboxRow | str, notice: Confirmed) -> None:
        # it stays first in its lane, and is tried again after a while
        topic = message.topic if isinstance(message, OutboxRow) else message
        self._complain(f"the broker does not take {topic} ({notice.problem}): check its access rules")
        self._hold_until = time.monotonic() + _HOLD_S
        if isinstance(message, OutboxRow):
            self._lanes[message.lane].put_back([message])
        else:
            with self._lock:
                if message in self._current:  # it may have been forgotten meanwhile
                    self._changed[message] = None

    def _publish_what_fits(self, connection: Connection) -> None:
        self._publish_current(connection, self._topics.state)
        while len(self._in_flight) < self._limit:
            sent = (
                self._publish_row(connection, EVENTS)
                or (bool(self._changed) and self._may_describe() and self._publish_current(connection))
                or self._publish_row(connection, REST)
            )
            if not sent:
                return

    def _may_describe(self) -> bool:
        return self._pace.has_room() or self._ending_at is not None

    def _publish_row(self, connection: Connection, lane_number: int) -> bool:
        lane = self._lanes[lane_number]
        row = lane.next(self._store)
        if row is None:
            return False
        payload = self._fitting(connection, row.topic, row.payload)
        if payload is None:  # it can never leave; an event is in the log
            ids: tuple[list[int], list[int]] = ([], [])
            ids[lane_number].append(row.id)
            self._deliver(Published(tuple(ids[EVENTS]), tuple(ids[REST])))
        else:
            self._in_flight[connection.publish(row.topic, payload, retain=row.retain)] = row
        lane.rows.popleft()
        if lane_number == EVENTS:
            self._pace.event()
        return True

    def _publish_current(self, connection: Connection, only: str | None = None) -> bool:
        with self._lock:
            topic = only or next(iter(self._changed), None)
            if topic is None or topic not in self._changed:
                return False
            payload: str | None = self._current[topic]
            del self._changed[topic]
        payload = self._fitting(connection, topic, payload or "")
        if payload is not None:
            # if this fails, the next connection begins with all of them
            self._in_flight[connection.publish(topic, payload, retain=True)] = topic
        return True

    def _fitting(self, connection: Connection, topic: str, payload: str) -> str | None:
        fitting = documents.shortened(payload, connection.room(topic))
        kind = topic.rsplit("/", 1)[-1]
        if fitting is not payload and kind not in self._told_too_long:
            self._told_too_long.add(kind)
            what = "it is withheld" if fitting is None else "it is shortened"
            log.warning(
                "MQTT: %s is longer than the %d bytes that the broker takes, so %s: raise the broker's maximum packet size",
                *(topic, connection.maximum_packet_size, what),
            )
        self.too_long += fitting is None
        return fitting

    def _say_goodbye(self, connection: Connection) -> None:
        self.remember(self._topics.state, documents.gateway_state("offline"))
        self._publish_current(connection, self._topics.state)
        until = time.monotonic() + _GOODBYE_S
        while self._topics.state in self._in_flight.values() and time.monotonic() < until:
            connection.wait(self._bell, until - time.monotonic())
            self._take_notices(connection)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        self._take_notices(connection)
        connection.close()
        unconfirmed = [message for message in self._in_flight.values() if isinstance(message, OutboxRow)]
        self._in_flight.clear()
        for lane in self._lanes:
            lane.put_back(row for row in unconfirmed if row.lane == lane.number)
