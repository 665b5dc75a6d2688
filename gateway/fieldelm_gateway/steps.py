"""The clock was set, as on a Raspberry Pi that starts without the time: what lasts for a while and began by the wrong clock is
put right, so that a command that was queued then does not expire at once, nor a shelved alarm come back; and so is the log.
"""

import dataclasses
import logging
from dataclasses import dataclass

from . import alarm, commands
from .alarm import Alarm, Mark
from .clock import Instant
from .nodes import Node
from .state import State

log = logging.getLogger(__name__)

_NOTICED_MS = 5000
"""less may be the kernel's, which slews a clock that is nearly right"""


@dataclass(frozen=True, slots=True)
class Step:
    """By how much the clock was set, and the stretch of wrong time that it ended; `since_ms` None: it was right before."""

    by_ms: int
    since_ms: int | None
    until_ms: int


class Steps:
    """Watches the clock against the monotonic time."""

    def __init__(self) -> None:
        self._offset_ms: int | None = None
        self._since_ms: int | None = None

    def look(self, now: Instant) -> Step | None:
        """What has happened to the clock since the last look."""
        offset_ms = now.epoch_ms - now.monotonic_ms
        by_ms = 0 if self._offset_ms is None else offset_ms - self._offset_ms
        self._offset_ms = offset_ms
        found = None
        if abs(by_ms) > _NOTICED_MS:
            found = Step(by_ms, self._since_ms, now.epoch_ms - by_ms)
            if self._since_ms is not None:
                self._since_ms += by_ms
        if now.synced:
            self._since_ms = None
        elif self._since_ms is None:
            self._since_ms = now.epoch_ms
        return found


def put_right(state: State, step: Step) -> list[Node]:
    """Move what began by the wrong clock, in memory and in the database; returns the nodes whose alarm has changed.

    Raises GatewayError; then nothing has changed.
    """
    if step.since_ms is None:
        return []
    changed = []
    for node in state.rows.values():
        moved = _moved(node.alarm, step)
        if moved != node.alarm:
            changed.append(dataclasses.replace(node, alarm=moved))
    with state.store.transaction():
        state.store.write(
            "UPDATE command SET created_ms = created_ms + ?1, expires_ms = expires_ms + ?1"
            " WHERE state = 'waiting' AND created_ms BETWEEN ?2 AND ?3",
            (step.by_ms, step.since_ms, step.until_ms),
        )
        span = (step.by_ms, step.since_ms, step.until_ms)
        state.store.write(  # before the frames that it is told by
            "UPDATE event SET received_ms = received_ms + ?1, event_ms = event_ms + ?1 WHERE received_ms BETWEEN ?2 AND ?3"
            " AND EXISTS (SELECT 1 FROM frame WHERE frame.node = event.node AND frame.received_ms = event.received_ms"
            " AND NOT synced)",
            span,
        )
        state.store.write(
            "UPDATE frame SET received_ms = received_ms + ?1 WHERE received_ms BETWEEN ?2 AND ?3 AND NOT synced", span
        )
        for node in changed:
            state.store.write("UPDATE node SET alarm_document = ? WHERE id = ?", (alarm.dump(node.alarm), node.row))
    state.waiting = commands.Waiting(state.store.commands_waiting())
    for node in changed:
        state.replace(node)
    return changed


def _moved(one: Alarm, step: Step) -> Alarm:
    return dataclasses.replace(
        one,
        acknowledged=_mark(one.acknowledged, step),
        comment=_mark(one.comment, step),
        shelved=_mark(one.shelved, step),
        service=_mark(one.service, step),
    )


def _mark(mark: Mark | None, step: Step) -> Mark | None:
    if mark is None or step.since_ms is None or not step.since_ms <= mark.time_ms <= step.until_ms:
        return mark
    until_ms = mark.until_ms + step.by_ms if mark.until_ms else 0
    return dataclasses.replace(mark, time_ms=mark.time_ms + step.by_ms, until_ms=until_ms)
