"""Events that wait for their acknowledgement, in memory and in a log on flash (fieldelm.event_log).

Order: the gravest first, among them the newest. When all 512 places are taken, the oldest of the lowest severity is given up and
counted. Of those events of one episode (one family, each within an hour of the one before) that wait, the first and the last are
kept, and one that is graver than all others.

An exchange that fails says something about the link, so everything waits then: 30 s, doubled each time up to 15 minutes, spread
at random by half, so that nodes that lost the same gateway do not all come back in the same second. A new alarm is tried at once.
An event that fails again and again while others get through (a gateway that does not understand it) goes last.
"""

import struct

from micropython import const

from fieldelm.codes import EVENTS, SEVERITIES, SEVERITY_OF_EVENT
from fieldelm.event_log import ENTRY, GIVEN_UP, GONE, EventLog

CAPACITY = const(512)
AGE_UNKNOWN = const(0xFFFF)  # power was cut since: it may have been any time ago
_OLDEST_S = const(0xFFFE)  # at least

_PLACES = const(16)  # of the table at first
_FIRST_RETRY_S = const(30)
_LONGEST_RETRY_S = const(900)
_EPISODE_S = const(3600)
_OTHER_EVERY = const(4)  # every so manieth failure another event is tried
_SETBACKS = const(6)  # failures of an event, each right after another's success, that put it last
# A gateway extends 16 bits of a sequence by the newest it knows: older ones would become others.
_FURTHEST = const(0x7000)

# an entry: event | setbacks << 5, verdict | mode << 2 | before the start << 6 | goes on with an episode << 7,
# ratio Q8.8, born in s, bands, sequence
_FORMAT = "<BBHIBBH"
_BEFORE_START = const(0x40)
_GOES_ON = const(0x80)

_ALARM = SEVERITIES.index("alarm")
_BOOT = EVENTS.index("boot")
_SEVERITY = bytes([SEVERITIES.index(SEVERITY_OF_EVENT[name]) for name in EVENTS])
# what follows one another in an episode
_FAMILIES = (
    ("machine_alarm", "alarm_cleared"),
    ("environment_changed", "relearned", "relearn_undone", "change_unconfirmed", "change_confirmed"),
    ("sensor_fault", "sensor_ok"),
)


def _family_of(name):
    for i in range(len(_FAMILIES)):
        if name in _FAMILIES[i]:
            return 100 + i
    return EVENTS.index(name)


_FAMILY = bytes([_family_of(name) for name in EVENTS])


class Event:
    """One waiting event as ``due`` shows it; ``score_ratio`` is Q8.8, ``bands`` are indices or 255."""

    def __init__(self):
        self.code = self.severity = self.verdict = self.mode = self.score_ratio = self.sequence = 0
        self.band_a = self.band_b = 255
        self.born_s = 0
        self.before_start = False
        self.place = 0

    def age_s(self, now_ms):
        """Seconds since it happened; 65,534: at least so many, 65,535: unknown, since the node lost power after it."""
        return AGE_UNKNOWN if self.before_start else min(max(0, now_ms // 1000 - self.born_s), _OLDEST_S)


class EventStore:
    """The waiting events. ``lost`` counts those given up, ``coalesced`` those between first and last of an episode.

    ``problem``: what the file system said when it last could not take a change, else None; events then wait in memory.
    """

    def __init__(self, path="events", capacity=CAPACITY):
        self._capacity = capacity
        # in the order of events; one place for what has just come. Only a node that nobody hears has hundreds waiting, so it
        # begins small, and is doubled when it is full
        self._table = bytearray(ENTRY * min(capacity + 1, _PLACES))
        self._view = memoryview(self._table)
        self._count = 0
        self._event = Event()
        self._attempts = 0  # failures since the last success
        self._due_ms = 0
        self.lost = 0
        self.coalesced = 0
        self.problem = None
        self._log = EventLog(path)
        sound = self._log.read(self._load)
        if self._count > self._capacity:  # power was cut between the new event and the one that it took the place of
            self._remove(self._least())
            self.lost += 1
            sound = False
        self._log.sound = sound
        if not sound:
            self.mend()

    def __len__(self):
        return self._count

    # the table

    def _make_room(self):
        # for one more event than are waiting, and for the place of what has just come
        count = self._count
        if count >= self._capacity or ENTRY * (count + 1) < len(self._table):
            return
        try:
            table = bytearray(ENTRY * min(self._capacity + 1, 2 * (count + 1)))
        except MemoryError:  # there are as many places as there are
            self._capacity = count
            return
        table[: len(self._table)] = self._table
        self._table = table
        self._view = memoryview(table)

    def _load(self, kind, entry):
        if kind is None:
            self.lost = struct.unpack_from("<I", entry, 4)[0]
        elif kind < len(EVENTS):
            if self._count > self._capacity:  # of a firmware with more places
                self._remove(self._least())
                self.lost += 1
            self._make_room()
            at = self._count * ENTRY
            self._table[at : at + ENTRY] = entry
            self._table[at] = kind
            self._table[at + 1] |= _BEFORE_START
            self._count += 1
        elif kind < GIVEN_UP:  # an event of a newer firmware: it cannot be told in this one's words
            self.lost += 1
        else:
            sequence = entry[10] | entry[11] << 8
            for i in range(self._count - 1, -1, -1):
                if self._sequence(i) == sequence:
                    self._remove(i)
                    break
            if kind == GIVEN_UP:
                self.lost += 1

    def _code(self, i):
        return self._table[i * ENTRY] & 31

    def _sequence(self, i):
        at = i * ENTRY + 10
        return self._table[at] | self._table[at + 1] << 8

    def _remove(self, i):
        end = self._count * ENTRY
        at = i * ENTRY
        self._view[at : end - ENTRY] = self._view[at + ENTRY : end]
        self._count -= 1

    def _follows(self, i, code, now_s):
        # whether an event of now follows the one at i within an episode; of boots it does not matter when they were
        at = i * ENTRY
        if self._table[at + 1] & _BEFORE_START:
            return code == _BOOT
        return now_s - struct.unpack_from("<I", self._table, at + 4)[0] <= _EPISODE_S

    def _episode(self, code, now_s):
        # whether an event of now goes on with an episode, and the place of the one that it makes superfluous, or -1
        last = -1
        others = False
        gravest = _SEVERITY[code]
        for i in range(self._count - 1, -1, -1):
            other = self._code(i)
            if _FAMILY[other] != _FAMILY[code]:
                continue
            if last >= 0:
                others = True
                gravest = max(gravest, _SEVERITY[other])
            elif self._follows(i, code, now_s):
                last = i
            else:
                break
            if not self._table[i * ENTRY + 1] & _GOES_ON:
                break
        return last >= 0, last if others and _SEVERITY[self._code(last)] <= gravest else -1

    def _least(self):
        # the oldest of the lowest severity
        least = 0
        for i in range(1, self._count):
            if _SEVERITY[self._code(i)] < _SEVERITY[self._code(least)]:
                least = i
        return least

    def _drop(self, i, kind):
        sequence = self._sequence(i)
        self._remove(i)
        if kind == GIVEN_UP:
            self.lost += 1
        self._write(kind, sequence)

    # flash

    def _write(self, kind, sequence=0):
        # a mark, or with kind None the newest event
        if not self._log.sound or self._log.is_long(self._count):
            self.mend()
            return
        try:
            if kind is None:
                self._log.append(self._view[(self._count - 1) * ENTRY : self._count * ENTRY])
            else:
                self._log.mark(kind, sequence)
            self.problem = None
        except OSError as error:
            self.problem = str(error)

    def mend(self):
        """Write the log anew; with a file system that is full or fails the events wait in memory alone."""
        try:
            self._log.rewrite(self._view, self._count, self.lost)
            self.problem = None
        except OSError as error:
            self.problem = str(error)

    # what the node does

    def add(self, name, sequence, now_ms, verdict=0, mode=0, score_ratio=0, band_a=255, band_b=255):
        """Take an event by its name; False if it was given up at once, because only graver ones are waiting."""
        code = EVENTS.index(name)
        now_s = now_ms // 1000
        goes_on, middle = self._episode(code, now_s)
        if _SEVERITY[code] == _ALARM or self._count == 0:
            self._due_ms = now_ms
        # first the new one is written, then another one goes: a power cut between the two loses none
        self._make_room()
        place = self._count * ENTRY
        head = verdict | (mode & 15) << 2 | (_GOES_ON if goes_on else 0)
        struct.pack_into(_FORMAT, self._table, place, code, head, score_ratio, now_s, band_a, band_b, sequence & 0xFFFF)
        self._count += 1
        self._write(None)
        if middle >= 0:
            self.coalesced += 1
            self._drop(middle, GONE)
        while (sequence - self._sequence(0)) & 0xFFFF > _FURTHEST:
            self._drop(0, GIVEN_UP)
        if self._count <= self._capacity:
            return True
        least = self._least()
        self._drop(least, GIVEN_UP)
        return least < self._count

    def _first(self, skip):
        # the place of the event that goes first, or second with skip 1
        best = second = -1
        best_rank = second_rank = -1
        for i in range(self._count - 1, -1, -1):
            first = self._table[i * ENTRY]
            rank = _SEVERITY[first & 31] + 1 if first >> 5 < _SETBACKS else 0
            if rank > best_rank:
                second, second_rank = best, best_rank
                best, best_rank = i, rank
            elif rank > second_rank:
                second, second_rank = i, rank
        return second if skip and second >= 0 else best

    def due(self, now_ms):
        """The event to send now, or None. It is one object, filled anew at each call."""
        if not self._count or now_ms < self._due_ms:
            return None
        i = self._first(self._attempts % _OTHER_EVERY == _OTHER_EVERY - 1)
        event = self._event
        first, second, event.score_ratio, event.born_s, event.band_a, event.band_b, event.sequence = struct.unpack_from(
            _FORMAT, self._table, i * ENTRY
        )
        event.code = first & 31
        event.severity = _SEVERITY[event.code]
        event.verdict = second & 3
        event.mode = second >> 2 & 15
        event.before_start = bool(second & _BEFORE_START)
        event.place = i
        return event

    def next_due_ms(self):
        """When the next event is due, or None."""
        return self._due_ms if self._count else None

    def postpone(self, event, until_ms):
        """There is no airtime for what ``due`` returned before then. If it was the turn of another, the first is due now."""
        if event.place == self._first(False):
            self._due_ms = max(self._due_ms, until_ms)
        else:
            self._attempts += 1

    def delivered(self, event, now_ms):
        """The gateway has what ``due`` returned, for good."""
        self._attempts = 0
        self._due_ms = now_ms
        self._drop(event.place, GONE)

    def failed(self, event, now_ms, spread):
        """No acknowledgement of what ``due`` returned: try again later. ``spread``: a random number from 0 to 999."""
        if self._attempts == 0:
            at = event.place * ENTRY
            setbacks = self._table[at] >> 5
            self._table[at] = event.code | min(setbacks + 1, 7) << 5
        wait_s = min(_FIRST_RETRY_S << min(self._attempts, 5), _LONGEST_RETRY_S)
        self._attempts += 1
        self._due_ms = now_ms + (500 + spread) * wait_s
