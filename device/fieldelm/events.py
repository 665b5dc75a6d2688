"""Events that wait for their acknowledgement.

A fixed number of slots; a full queue gives up the oldest event of the lowest severity and counts it. The next event to send
is the newest of the highest severity. Retries of one event back off: 30 s, doubled each time up to 15 minutes, then spread at
random by half, so that nodes that lost the same gateway do not all come back in the same second.
"""

from micropython import const

from fieldelm.codes import EVENTS, SEVERITIES, SEVERITY_OF_EVENT

_CAPACITY = const(16)
_FIRST_RETRY_S = const(30)
_LONGEST_RETRY_S = const(900)


class Event:
    """One event; ``born_ms`` and ``due_ms`` are on the node's clock, ``bands`` are indices or 255."""

    def __init__(self):
        self.code = -1  # free slot
        self.severity = 0
        self.verdict = 0
        self.mode = 0
        self.score_ratio = 0.0
        self.born_ms = 0
        self.due_ms = 0
        self.band_a = 255
        self.band_b = 255
        self.sequence = 0
        self.attempts = 0


class EventQueue:
    """The waiting events. ``lost`` counts those given up."""

    def __init__(self, capacity=_CAPACITY):
        self._slots = [Event() for _ in range(capacity)]
        self.lost = 0

    def __len__(self):
        count = 0
        for event in self._slots:
            if event.code >= 0:
                count += 1
        return count

    def _slot(self, severity):
        # a free slot, or the oldest of the lowest severity if that is not above the new event's
        worst = None
        for event in self._slots:
            if event.code < 0:
                return event
            if (
                worst is None
                or event.severity < worst.severity
                or (event.severity == worst.severity and event.born_ms < worst.born_ms)
            ):
                worst = event
        self.lost += 1
        return worst if worst.severity <= severity else None

    def add(self, name, sequence, now_ms, verdict=0, mode=0, score_ratio=0.0, band_a=255, band_b=255):
        """Queue an event by its name; it is due at once. Returns it, or None if only graver ones are waiting."""
        severity = SEVERITIES.index(SEVERITY_OF_EVENT[name])
        event = self._slot(severity)
        if event is None:
            return None
        event.code = EVENTS.index(name)
        event.severity = severity
        event.verdict = verdict
        event.mode = mode
        event.score_ratio = score_ratio
        event.born_ms = event.due_ms = now_ms
        event.band_a = band_a
        event.band_b = band_b
        event.sequence = sequence
        event.attempts = 0
        return event

    def due(self, now_ms):
        """The event to send now, or None."""
        best = None
        for event in self._slots:
            if event.code < 0 or event.due_ms > now_ms:
                continue
            if (
                best is None
                or event.severity > best.severity
                or (event.severity == best.severity and event.born_ms > best.born_ms)
            ):
                best = event
        return best

    def next_due_ms(self):
        """When the next event is due, or None."""
        soonest = None
        for event in self._slots:
            if event.code >= 0 and (soonest is None or event.due_ms < soonest):
                soonest = event.due_ms
        return soonest

    def delivered(self, event):
        """The gateway has it for good."""
        event.code = -1

    def failed(self, event, now_ms, spread):
        """No acknowledgement: try again later. ``spread``: a random number from 0 to 999."""
        wait_s = min(_FIRST_RETRY_S << min(event.attempts, 5), _LONGEST_RETRY_S)
        event.attempts += 1
        event.due_ms = now_ms + (500 + spread) * wait_s
