"""What looks like an attack, or like two nodes with one key: dropped frames, counted by the hour.

Nothing here decides whether a frame is believed; that is done before. Work and memory are bounded whatever is sent: two numbers
a node and kind, one message an hour each, and so many looks into the log.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .clock import Instant, rfc3339
from .nodes import Node
from .verify import ReplayError

HOUR_MS = 3_600_000
LIMITS = {"forgery": 20, "replay": 20, "clone": 1, "unknown_nodes": 100, "flood": 1000, "same_number": 1}
"""how many in an hour look like an attack"""
_OF_REASON = {"bad_tag": "forgery", "replayed": "replay", "unknown_node": "unknown_nodes"}
_LOOKS = 20  # into the log, a node and hour
_STRANGE_IN_A_ROW = 3
_MOST_TOLD = 10

_MESSAGES = {
    "forgery": "frames in its name do not carry its key: somebody forges them, or it was provisioned elsewhere",
    "replay": "its frames come again: somebody replays them",
    "clone": "two nodes use its key, it has lost its counters, or old recordings are played back: if it stands alone, give "
    "it a new key, `fieldelm provision --new-key`",
    "unknown_nodes": "many frames of nodes that are not known here: somebody tries, or a neighbour uses this channel",
    "flood": "many frames that are not believed: somebody floods the channel, or a neighbour uses it",
    "same_number": "it answers a command that this gateway has not sent: another gateway has the same [gateway] number",
}


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Something that people should look at."""

    kind: str
    node: Node | None
    count: int
    since_ms: int
    until_ms: int

    def message(self) -> str:
        """One sentence."""
        return _MESSAGES[self.kind]

    def document(self) -> dict[str, Any]:
        """As published."""
        return {
            "kind": self.kind,
            "node": self.node.eui if self.node else None,
            "name": self.node.name if self.node else None,
            "count": self.count,
            "since": rfc3339(self.since_ms),
            "message": self.message(),
        }


@dataclass(frozen=True, slots=True)
class _Hour:
    start_ms: int
    since_ms: int
    count: int = 0

    @staticmethod
    def one_more(before: "_Hour | None", now: Instant) -> "_Hour":
        if before is None or now.monotonic_ms - before.start_ms >= HOUR_MS:
            return _Hour(now.monotonic_ms, now.epoch_ms, 1)
        return _Hour(before.start_ms, before.since_ms, before.count + 1)


class Guard:
    """Counts what was dropped."""

    def __init__(self) -> None:
        self.other_gateways: set[int] = set()
        """numbers of other gateways whose commands nodes have answered"""
        self._hours: dict[tuple[str, int], _Hour] = {}
        self._standing: dict[tuple[str, int], tuple[Suspicion, int]] = {}
        """what was found within the last hour, and when, monotonic"""
        self._looks: dict[int, _Hour] = {}
        self._strange: dict[int, tuple[int, int]] = {}
        """row of the node: the last counter that is behind but was never heard, and how many rose one after the other"""

    def copy(self) -> "Guard":
        """What is known so far, for a round that may not count."""
        made = Guard()
        made.other_gateways = set(self.other_gateways)
        made._hours, made._standing = dict(self._hours), dict(self._standing)
        made._looks, made._strange = dict(self._looks), dict(self._strange)
        return made

    def dropped(self, reason: str, node: Node | None, now: Instant) -> list[Suspicion]:
        """A frame was dropped, in the name of this node; what has become suspicious by that."""
        found = [self._count("flood", None, now)]
        if kind := _OF_REASON.get(reason):
            found.append(self._count(kind, None if kind == "unknown_nodes" else node, now))
        return [suspicion for suspicion in found if suspicion]

    def replayed(
        self, error: ReplayError, logged: Callable[[int, int, int], Iterable[tuple[int, bytes]]], now: Instant
    ) -> list[Suspicion]:
        """An authentic frame whose counter was used: is it the same frame, or another node's?

        `logged`: type and payload of the frames that are known by node, key id and counter.
        """
        heard = error.heard
        row = heard.node.row
        looks = self._looks[row] = _Hour.one_more(self._looks.get(row), now)
        if looks.count > _LOOKS:
            return []
        known = list(logged(row, heard.slot.key_id, heard.counter))
        if (heard.kind, heard.plain) in known:
            return []
        if (
            not known
        ):  # behind, and yet never heard: once it may have been caught and held back, but not again and again
            last, times = self._strange.get(row, (-1, 0))
            times = times + 1 if heard.counter > last else 1
            self._strange[row] = (heard.counter, times)
            if times < _STRANGE_IN_A_ROW:
                return []
        suspicion = self._count("clone", heard.node, now)
        return [suspicion] if suspicion else []

    def same_number(self, node: Node, now: Instant) -> list[Suspicion]:
        """A node answers a command of our number that we have not sent."""
        suspicion = self._count("same_number", node, now)
        return [suspicion] if suspicion else []

    def _count(self, kind: str, node: Node | None, now: Instant) -> Suspicion | None:
        key = (kind, node.row if node else 0)
        hour = self._hours[key] = _Hour.one_more(self._hours.get(key), now)
        if hour.count < LIMITS[kind]:
            return None
        suspicion = Suspicion(kind, node, hour.count, hour.since_ms, now.epoch_ms)
        self._standing[key] = (suspicion, now.monotonic_ms)
        return suspicion if hour.count == LIMITS[kind] else None

    def failed_tags(self, now: Instant) -> list[tuple[int, int]]:
        """Row of the node and number of wrong tags within the present hour, the most first."""
        found = [
            (key[1], hour.count)
            for key, hour in self._hours.items()
            if key[0] == "forgery" and key[1] and now.monotonic_ms - hour.start_ms < HOUR_MS
        ]
        return sorted(found, key=lambda row_and_count: -row_and_count[1])

    def forget(self, node: Node) -> None:
        """It was removed, or has a new key."""
        for found in (self._hours, self._standing):
            for key in [key for key in found if key[1] == node.row]:
                del found[key]
        self._looks.pop(node.row, None)
        self._strange.pop(node.row, None)

    def standing(self, now: Instant) -> list[Suspicion]:
        """What looked like an attack within the last hour."""
        for key in [key for key, (_, ms) in self._standing.items() if now.monotonic_ms - ms >= HOUR_MS]:
            del self._standing[key]
        return [suspicion for suspicion, _ in self._standing.values()]


def card(guard: Guard, nodes: Mapping[int, Node], now: Instant) -> dict[str, Any]:
    """Its part of the health document; `nodes`: by row."""
    failed = [(nodes[row], count) for row, count in guard.failed_tags(now)[:_MOST_TOLD] if row in nodes]
    return {
        "suspicions": [suspicion.document() for suspicion in guard.standing(now)],
        "failed_tags": [{"node": node.eui, "name": node.name, "count": count} for node, count in failed],
        "other_gateways": sorted(guard.other_gateways),
    }
