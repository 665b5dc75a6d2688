"""The story that the demo plays, and the judgement whether it unfolded.

    quiet place: commission, watch → beside a noisy machine: notice, relearn on the spot, watch → one blade breaks

The nodes are told none of it. The judgement reads what others saw: the independent MQTT subscriber, the observer
of the air.
"""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from typing import Any

from ..report import events_of, frame_of, seconds_since
from ..report_chart import Phase, duration

ALERT_BYTES = 19
RETAINED_OF_GATEWAY = ("state", "info", "nodes")
RETAINED_OF_NODE = ("state", "availability")


@dataclasses.dataclass(frozen=True)
class Actor:
    """One node of the story."""

    name: str
    asset: str
    eui: str
    node_id: int
    phases: Sequence[Phase]
    description: str

    @property
    def damaged_s(self) -> float | None:
        """When the machine breaks, if it does."""
        return next((p.start_s for p in self.phases if p.kind == "damaged"), None)

    @property
    def moved_s(self) -> float | None:
        """When the node is moved beside the noisy machine."""
        return next((p.start_s for p in self.phases if p.kind == "noisy"), None)

    def place(self, time_s: float) -> str:
        """Where it is at a time."""
        return next((p.name for p in reversed(self.phases) if p.start_s <= time_s), "")


@dataclasses.dataclass(frozen=True)
class Story:
    """Everything that is fixed before the run starts."""

    title: str
    lead: str
    source: str
    """`simulation` or `recordings`"""
    actors: Sequence[Actor]
    end_s: float
    heartbeat_s: float
    window_bytes: int
    """what one window would be on the air if it were sent as it is"""
    notes: Sequence[str] = ()

    @property
    def damaged(self) -> Actor | None:
        """The node whose machine breaks."""
        return next((a for a in self.actors if a.damaged_s is not None), None)


@dataclasses.dataclass
class Command:
    """The operator's command: asked by MQTT, answered by MQTT."""

    topic: str
    request: dict[str, Any]
    response: dict[str, Any] | None = None


def _events(messages: Sequence[dict[str, Any]], actor: Actor, epoch: str) -> list[tuple[str, str, float]]:
    """(event, severity, seconds) of a node."""
    return [
        (
            str(e.get("type")),
            str(e.get("severity")),
            seconds_since(epoch, str(e.get("event_time") or e.get("received_time"))),
        )
        for e in events_of(messages, actor.eui)
    ]


def _judge_actor(actor: Actor, events: Sequence[tuple[str, str, float]]) -> list[str]:
    who = f"{actor.asset} ({actor.eui})"
    missing = []
    moved_s, damaged_s = actor.moved_s, actor.damaged_s

    def times(name: str) -> list[float]:
        return [t for n, _, t in events if n == name]

    def first_after(name: str, since_s: float, until_s: float) -> float | None:
        return next((t for t in times(name) if since_s <= t < until_s), None)

    if not times("boot"):
        missing.append(f"no boot from {who}")
    if first_after("commissioned", 0.0, float("inf") if moved_s is None else moved_s) is None:
        missing.append(f"no commissioned from {who} in the quiet place")
    since, until = (float("inf"), 0.0) if moved_s is None else (moved_s, damaged_s or float("inf"))
    changed = first_after("environment_changed", since, until)
    if changed is None:
        where = "which was not moved" if moved_s is None else "after it was moved"
        missing.append(f"no environment_changed from {who}, {where}")
    elif first_after("relearned", changed, until) is None:
        missing.append(f"no relearned from {who} after its environment_changed at {duration(changed)}")
    alarms = times("machine_alarm")
    false = [t for t in alarms if damaged_s is None or t < damaged_s]
    if false:
        missing.append(f"machine_alarm from {who} at {duration(false[0])}, when its machine was healthy")
    if damaged_s is not None and not [t for t in alarms if t >= damaged_s]:
        missing.append(f"no machine_alarm from {who} after its blade was damaged")
    missing += [
        f"{name} from {who} has the severity {severity}"
        for name, severity, _ in events
        if (name, severity)
        in (("environment_changed", "alarm"), ("machine_alarm", "warning"), ("machine_alarm", "info"))
    ]
    return missing


def judge_ids(messages: Iterable[dict[str, Any]]) -> list[str]:
    """Events that were published more than once, but not with the same content."""
    seen: dict[str, str] = {}
    wrong = []
    for message in messages:
        payload = message["payload"]
        if not str(message["topic"]).endswith("/event") or not isinstance(payload, dict):
            continue
        name, content = str(payload.get("id")), json.dumps(payload, sort_keys=True)
        if seen.setdefault(name, content) != content:
            wrong.append(f"event {name} was published twice with different content")
    return wrong


def judge_retained(messages: Iterable[dict[str, Any]], base: str, actors: Sequence[Actor]) -> list[str]:
    """What a subscriber that comes late does not find, and what it should not find."""
    kept = {str(m["topic"]): m["payload"] for m in messages if m["retained"]}
    wanted = [f"{base}/{name}" for name in RETAINED_OF_GATEWAY]
    wanted += [f"{base}/node/{a.eui}/{name}" for a in actors for name in RETAINED_OF_NODE]
    missing = [f"nothing retained on {topic}" for topic in wanted if topic not in kept]
    missing += [f"an event is retained on {topic}" for topic in kept if topic.endswith("/event")]
    return missing


def judge_alerts(air: Iterable[dict[str, Any]]) -> list[str]:
    """Alerts on the air that do not have 19 bytes; none at all is wrong, too."""
    sizes = [frame.size for frame in map(frame_of, air) if frame.up and frame.kind == "ALERT"]
    if not sizes:
        return ["no ALERT frame on the air"]
    wrong = sorted({size for size in sizes if size != ALERT_BYTES})
    return [f"an ALERT frame of {size} bytes on the air instead of {ALERT_BYTES}" for size in wrong]


def judge_delivery(
    messages: Sequence[dict[str, Any]], rows: Iterable[dict[str, Any]], actors: Sequence[Actor]
) -> list[str]:
    """Events that a gateway acknowledged on the radio, but MQTT never saw: counted per node."""
    missing = []
    said: dict[str, int] = {}
    for row in rows:
        if row.get("kind") == "sent" and row.get("type") == "ALERT" and row.get("acked"):
            said[str(row["node"])] = said.get(str(row["node"]), 0) + 1
    for actor in actors:
        acked, arrived = said.get(actor.eui, 0), len(events_of(messages, actor.eui))
        if arrived < acked:
            missing.append(
                f"{acked} events of {actor.asset} were acknowledged on the radio, but {arrived} came by MQTT"
            )
    return missing


def judge(
    story: Story,
    *,
    base: str,
    epoch: str,
    messages: Sequence[dict[str, Any]],
    rows: Sequence[dict[str, Any]],
    air: Sequence[dict[str, Any]],
    command: Command | None,
) -> list[str]:
    """What was missing or wrong, one sentence each; empty if the story unfolded."""
    missing = []
    for actor in story.actors:
        missing += _judge_actor(actor, _events(messages, actor, epoch))
    if story.damaged is None:
        missing.append("no machine_alarm: no machine was damaged")
    if command is None:
        missing.append("no command was sent")
    elif command.response is None:
        missing.append(f"no answer to the command on {command.topic}")
    elif command.response.get("status") != "ok":
        missing.append(f"the command on {command.topic} was answered with {json.dumps(command.response)}")
    missing += judge_alerts(air) + judge_ids(messages) + judge_retained(messages, base, story.actors)
    return missing + judge_delivery(messages, rows, story.actors)
