"""How the gateway and its nodes are: counters, who is heard, and the health document."""

import logging
from collections import Counter
from collections.abc import Iterable
from typing import Any

from fieldelm import codes

from . import documents, security
from .airtime_account import AirtimeAccount
from .clock import Instant, rfc3339
from .errors import TransientError
from .ingress import Radio, health_card
from .nodes import Node
from .state import State

log = logging.getLogger(__name__)

MISSED_HEARTBEATS = 3
MARGIN_S = 60
FRAMES = (
    "received",
    "accepted",
    "repeated",
    "duplicate_events",
    "acknowledged",
    "acknowledgements_withheld",
    "commands_sent",
)


class Availability:
    """Which nodes are heard: a node is offline when three heartbeats and a minute pass without a frame."""

    def __init__(self) -> None:
        self._heard_ms: dict[int, int] = {}
        self._online: dict[int, bool] = {}

    def restore(self, node: Node, now: Instant) -> None:
        """After a start: when was it heard last? Without a right clock it gets the benefit of the doubt."""
        if node.last_seen_ms is None or node.row in self._heard_ms:
            return
        silent_ms = max(now.epoch_ms - node.last_seen_ms, 0) if now.synced else 0
        self._heard_ms[node.row] = now.monotonic_ms - silent_ms

    def heard(self, node: Node, now: Instant) -> None:
        """A frame of it was accepted."""
        self._heard_ms[node.row] = now.monotonic_ms

    def forget(self, node: Node) -> None:
        """It was removed."""
        self._heard_ms.pop(node.row, None)
        self._online.pop(node.row, None)

    def changes(self, nodes: Iterable[Node], now: Instant) -> list[tuple[Node, bool]]:
        """Nodes whose availability is not what it was when last asked, with what it is now."""
        found = []
        for node in nodes:
            heard_ms = self._heard_ms.get(node.row)
            patience_ms = (MISSED_HEARTBEATS * node.heartbeat_s() + MARGIN_S) * 1000
            online = heard_ms is not None and now.monotonic_ms - heard_ms <= patience_ms
            if self._online.get(node.row) is not online:
                self._online[node.row] = online
                found.append((node, online))
        return found

    def online(self, node: Node) -> bool:
        """What was found last."""
        return self._online.get(node.row, False)


class Tally:
    """What has happened since the gateway started."""

    def __init__(self) -> None:
        self.since_ms = 0  # monotonic
        self.frames: Counter[str] = Counter()
        self.drops: Counter[str] = Counter()
        """by reason"""
        self.status_dropped = 0
        self.database_failures = 0


def document(state: State, tally: Tally, availability: Availability, mqtt: dict[str, Any], now: Instant) -> str:
    """The health document; `mqtt` is the publisher's part of it."""
    radios = list(state.radios.values())
    drops = {reason: tally.drops[reason] for reason in codes.DROP_REASONS}
    drops["serial_garbage"] += sum(radio.counters.serial_garbage for radio in radios)
    return documents.dump(
        {
            "schema": documents.SCHEMA,
            "time": rfc3339(now.epoch_ms),
            "clock": "synced" if now.synced else "unsynced",
            "uptime_s": (now.monotonic_ms - tally.since_ms) // 1000,
            "queue": _queue(state, now),
            "drops": drops,
            "frames": {name: tally.frames[name] for name in FRAMES},
            "status_dropped": tally.status_dropped,
            "database_failures": tally.database_failures,
            "radios": [_radio(radio, state.duty[radio.config.name], now) for radio in radios],
            "mqtt": mqtt,
            "nodes": {
                "known": len(state.nodes),
                "online": sum(map(availability.online, state.nodes.values())),
                "commands_waiting": len(state.waiting),
            },
            "security": security.card(state.guard, state.rows, now),
        }
    )


def _queue(state: State, now: Instant) -> dict[str, Any]:
    try:
        oldest_ms = state.store.outbox_oldest_ms()
    except TransientError as error:
        log.debug("database: %s", error)
        oldest_ms = None
    events, rest = state.outbox
    limit = state.config.database.outbox_limit
    return {
        "events": events,
        "rest": rest,
        "limit": limit,
        "full": events + rest >= limit,
        "oldest_age_s": None if oldest_ms is None else max(now.epoch_ms - oldest_ms, 0) // 1000,
    }


def _radio(radio: Radio, budget: AirtimeAccount, now: Instant) -> dict[str, Any]:
    limit = None if budget.limit_us is None else budget.limit_us // 1000
    used = budget.used_us(now) // 1000
    return {**health_card(radio), "airtime_last_hour_ms": used, "airtime_limit_ms": limit}
