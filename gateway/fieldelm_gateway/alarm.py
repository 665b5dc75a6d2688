"""The alarm of one node, as maintenance sees it: raised and cleared by events, acknowledged, shelved and explained by people.

Values only: every change makes a new one. The terms are those of alarm management (ISA-18.2): a *shelved* alarm is
hidden for a time, an *acknowledged* one has been seen by somebody; neither makes the cause go away.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .values import replace

RAISES = "machine_alarm"
CLEARS = frozenset({"alarm_cleared", "relearned", "change_confirmed", "commissioned"})
_NORMAL = frozenset({"watching", "commissioning", "relearning", "suspect"})


@dataclass(frozen=True, slots=True)
class Mark:
    """Somebody has said something about the alarm."""

    by: str
    time_ms: int
    text: str = ""
    until_ms: int = 0
    """shelved, or in service, until then"""


@dataclass(frozen=True, slots=True)
class Alarm:
    """State of a node's alarm."""

    active: bool = False
    since_ms: int = 0
    event: str | None = None
    """id of the event that raised it; None: only a STATUS said so"""
    score_ratio: float | None = None
    bands: tuple[Mapping[str, Any], ...] = ()
    key_check: str = ""
    counter: int = -1
    """key and counter of the frame that decided last: older ones change nothing"""
    acknowledged: Mark | None = None
    comment: Mark | None = None
    shelved: Mark | None = None
    service: Mark | None = None
    last_event: Mapping[str, Any] | None = None
    """id, type, severity, event_time"""

    def shown(self, now_ms: int) -> bool:
        """Whether people are to be told: it is active, not shelved, and nobody works on the machine."""
        return self.active and not _runs(self.shelved, now_ms) and not _runs(self.service, now_ms)

    def with_event(self, document: Mapping[str, Any], event_ms: int) -> "Alarm":
        """After an event of the node."""
        last = {key: document[key] for key in ("id", "type", "severity", "event_time")}
        if self.last_event and _is_older(last["id"], self.last_event["id"]):
            return self  # it comes late; what came after it is known
        decided = {"last_event": last, "key_check": _key_check(document["id"]), "counter": document["counter"]}
        if document["type"] == RAISES:
            return replace(
                self,
                **decided,
                active=True,
                since_ms=event_ms,
                event=document["id"],
                score_ratio=document["score_ratio"],
                bands=tuple(document["bands"]),
                acknowledged=None,
                comment=None,
            )
        if document["type"] in CLEARS:
            return replace(self, **decided, active=False, shelved=None)
        return replace(self, **decided)

    def with_status(self, document: Mapping[str, Any], key_check: str, received_ms: int) -> "Alarm":
        """After a STATUS: it settles what a lost event would have told."""
        if (key_check == self.key_check and document["counter"] < self.counter) or document["waiting_events"]:
            return self
        settled = replace(self, key_check=key_check, counter=document["counter"])
        if document["state"] == "alarm" and not self.active:
            return replace(
                settled,
                active=True,
                since_ms=received_ms,
                event=None,
                score_ratio=document["score_ratio"],
                bands=(),
                acknowledged=None,
                comment=None,
            )
        if self.active and document["state"] in _NORMAL:
            return replace(settled, active=False, shelved=None)
        return self

    def expired(self, now_ms: int) -> "Alarm":
        """Without marks whose time is over."""
        alarm = self
        if self.shelved and not _runs(self.shelved, now_ms):
            alarm = replace(alarm, shelved=None)
        if self.service and not _runs(self.service, now_ms):
            alarm = replace(alarm, service=None)
        return alarm


QUIET = Alarm()
_FIELDS = tuple(field.name for field in dataclasses.fields(Alarm))
_MARKS = ("acknowledged", "comment", "shelved", "service")
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def _runs(mark: Mark | None, now_ms: int) -> bool:
    return mark is not None and now_ms < mark.until_ms


def _key_check(event_id: str) -> str:
    return event_id.split("-")[1]


def _is_older(one: str, other: str) -> bool:
    # ids are <eui>-<key check>-<sequence>; with another key the count begins anew
    same_key = _key_check(one) == _key_check(other)
    return same_key and int(one.rsplit("-", 1)[1]) < int(other.rsplit("-", 1)[1])


def dump(alarm: Alarm) -> str:
    """As it is stored."""
    # field by field: `dataclasses.asdict` copies deeply, which takes a third of a busy gateway's time
    values: dict[str, Any] = {name: getattr(alarm, name) for name in _FIELDS}
    for name in _MARKS:
        if values[name]:
            values[name] = dataclasses.asdict(values[name])
    return _ENCODER.encode(values)


def load(text: str | None) -> Alarm:
    """As it was stored; None: nothing yet."""
    if not text:
        return QUIET
    values = json.loads(text)
    for name in _MARKS:
        values[name] = Mark(**values[name]) if values[name] else None
    values["bands"] = tuple(values["bands"])
    return Alarm(**values)
