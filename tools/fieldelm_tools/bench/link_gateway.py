"""The gateway of `fieldelm bench link`: the real core on a real database, without threads, sockets and broker.

Whatever it puts into its outbox is taken at once, as a broker that is there would, and counted by the event's id.
"""

import collections
import dataclasses
import json
import queue
from pathlib import Path
from typing import Any

from fieldelm_gateway.clock import AirClock
from fieldelm_gateway.config import GatewayConfig, Radio as RadioConfig
from fieldelm_gateway.core import Core, Inbox
from fieldelm_gateway.ingress import RadioCounters, Uplink
from fieldelm_gateway.publisher import Published, Publisher
from fieldelm_gateway.rows import EVENTS, REST
from fieldelm_gateway.store import Store

EPOCH_MS = 1_767_225_600_000  # 2026-01-01
_TAKE = 128


class BenchRadio:
    """A radio whose place in the air the world takes."""

    def __init__(self, config: RadioConfig) -> None:
        self.config = config
        self.counters = RadioCounters(problem="")
        self.answers: list[tuple[int, bytes | None]] = []

    def start(self, deliver: Any) -> None:
        """It is called directly."""

    def answer(self, token: int, data: bytes | None) -> None:
        """What the core decided."""
        self.answers.append((token, data))

    def flush(self) -> None:
        """They are there."""

    def stop(self) -> None:
        """Nothing runs."""


@dataclasses.dataclass
class Heard:
    """One event as a consumer of MQTT has it."""

    received_ms: int
    copies: int
    """how often it was published"""
    document: dict[str, Any]


class Gateway:
    """A gateway and its consumer; `stop` and `start` are an outage."""

    def __init__(self, path: Path, config: GatewayConfig) -> None:
        self.config = config
        self.heard: dict[str, Heard] = {}
        """by event id"""
        self.statuses = 0
        self.status_document = ""
        """the newest"""
        self.tally: collections.Counter[str] = collections.Counter()
        self._path = path
        self._clock = AirClock()
        self._clock.start(EPOCH_MS, 0)
        self._inbox: Inbox = queue.SimpleQueue()
        self.up = False

    def start(self) -> None:
        """From what is in the database."""
        self._store = Store(self._path, create=True)
        self._radio = BenchRadio(self.config.radio[0])
        self._reader = Store(self._path, read_only=True)
        publisher = Publisher(self.config, self._reader, self._inbox.put)
        self._publisher = publisher
        self._core = Core(self.config, "bench", self._store, [self._radio], publisher, self._clock, self._inbox)
        self._since = 0
        self.up = True

    def stop(self) -> None:
        """Power is cut: what is not committed is gone."""
        self.consume()
        self.tally.update(self._core.tally.frames)
        self.tally.update({f"dropped: {reason}": count for reason, count in self._core.tally.drops.items()})
        self.up = False
        self._store.close()
        self._reader.close()

    def hear(self, lines: list[dict[str, Any]]) -> list[tuple[int, bytes | None]]:
        """One round with these uplinks (the air's lines): token and answer of each."""
        uplinks = []
        for line in lines:
            self._clock.advance(line["end_us"])
            uplinks.append(
                Uplink(
                    radio=self._radio.config.name,
                    token=line["id"],
                    data=bytes.fromhex(line["data"]),
                    rssi=line["rssi"],
                    snr=line["snr_db"],
                    airtime_us=line["airtime_us"],
                    received=self._clock.at(line["end_us"]),
                )
            )
        self._radio.answers = []
        self._core.step(list(uplinks))
        answers = self._radio.answers
        self._since += len(uplinks)
        if self._since >= _TAKE // 2:
            self.consume()
        return answers

    def tick(self, now_us: int) -> None:
        """Let time pass."""
        self._clock.advance(now_us)
        self._core.step([])

    def consume(self) -> None:
        """Take what waits in the outbox, as the broker does."""
        self._since = 0
        taken: list[list[int]] = [[], []]
        for lane in (EVENTS, REST):
            for row in self._store.outbox_after(lane, 0, _TAKE):
                taken[lane].append(row.id)
                if row.topic.endswith("/event"):
                    document = json.loads(row.payload)
                    known = self.heard.get(document["id"])
                    if known:
                        known.copies += 1
                    else:
                        self.heard[document["id"]] = Heard(row.created_ms - EPOCH_MS, 1, document)
                elif row.topic.endswith("/state"):
                    self.statuses += 1
                    self.status_document = row.payload
        if taken[EVENTS] or taken[REST]:
            self._core.step([Published(tuple(taken[EVENTS]), tuple(taken[REST]))])
