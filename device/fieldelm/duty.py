"""Time on the air in the last hour, kept below what the regional plan allows. Node and gateway use it.

Airtime is counted in the minute in which the transmission ends, and a minute counts until it lies behind the last hour as a
whole, so no hour, wherever it begins, has more. What matters less may use only a part of the hour, so that there is airtime
left for an alarm.

On a node the account outlasts power cuts: airtime is reserved in flash in blocks before it is used, as frame counters are. How
long power was away nobody knows, so after a start all that was reserved counts as spent just now.
"""

import struct
from array import array

try:
    from micropython import const
except ImportError:  # CPython

    def const(value):
        """MicroPython folds constants; CPython does not need to."""
        return value


# parts of the hour that may be used, in percent
ROUTINE = const(50)  # STATUS, information
WARNING = const(75)  # warnings, answers to commands, HELLO
ALARM = const(100)

_MINUTES = const(61)  # an hour, and the minute that has begun
_MINUTE_MS = const(60000)
_BLOCKS = const(32)  # of the hour's airtime: what is reserved at once
_TIDY_MS = const(3600000)


class DutyCycle:
    """The account of one radio. ``limit_us``: airtime in any hour, None for no limit."""

    def __init__(self, limit_us, now_ms=0):
        self.limit_us = limit_us
        self._minutes = array("I", bytes(4 * _MINUTES))  # us, by the minute's number modulo 61
        self._newest = now_ms // _MINUTE_MS
        self._total = 0

    def _advance(self, now_ms):
        # forget the minutes that are over; a clock that steps back changes nothing
        minute = now_ms // _MINUTE_MS
        if minute - self._newest > _MINUTES:
            self._newest = minute - _MINUTES
        while self._newest < minute:
            self._newest += 1
            i = self._newest % _MINUTES
            self._total -= self._minutes[i]
            self._minutes[i] = 0

    def used_us(self, now_ms):
        """Airtime of the last hour."""
        self._advance(now_ms)
        return self._total

    def minute_us(self, at_ms):
        """Airtime of the minute of a time within the last hour."""
        return self._minutes[at_ms // _MINUTE_MS % _MINUTES]

    def allowed_us(self, share=ALARM):
        """What this share may use in an hour; None for no limit."""
        return None if self.limit_us is None else self.limit_us // 100 * share

    def count(self, now_ms, airtime_us):
        """Count a transmission that begins now, whether it is allowed or not."""
        self._advance(now_ms + airtime_us // 1000)
        self._minutes[self._newest % _MINUTES] += airtime_us
        self._total += airtime_us

    def spend(self, now_ms, airtime_us, share=ALARM):
        """Count a transmission that begins now; False, and nothing counted, if it would exceed the share."""
        if self.limit_us is not None and self.used_us(now_ms) + airtime_us > self.allowed_us(share):
            return False
        self.count(now_ms, airtime_us)
        return True

    def ready_ms(self, now_ms, airtime_us, share=ALARM):
        """When so much may be sent: now, or the time at which enough lies behind the last hour."""
        if self.limit_us is None:
            return now_ms
        excess = self.used_us(now_ms) + airtime_us - self.allowed_us(share)
        if excess <= 0:
            return now_ms
        for age in range(_MINUTES - 1, -1, -1):
            minute = self._newest - age
            excess -= self._minutes[minute % _MINUTES]
            if excess <= 0:
                return (minute + _MINUTES) * _MINUTE_MS
        return now_ms + _MINUTES * _MINUTE_MS  # more than the share, even after an hour of silence


class StoredDutyCycle(DutyCycle):
    """A node's account. ``record``: fieldelm.storage.Record of what is reserved."""

    def __init__(self, limit_us, record, now_ms):
        super().__init__(limit_us, now_ms)
        self._record = record
        self._buffer = bytearray(4)
        self._reserved = 0
        self._stored_ms = now_ms
        if limit_us is None:
            return
        try:
            if record.read(self._buffer):
                self._reserved = struct.unpack("<I", self._buffer)[0]
            sound = not record.damaged or record.begun
        except OSError:
            sound = record.first_cut
        if not sound:
            self._reserved = limit_us  # nobody knows
        if self._reserved:
            self.count(now_ms, self._reserved)

    def _blocks(self, airtime_us):
        # so much in whole blocks, rounded up
        block = max(self.limit_us // _BLOCKS, 1)
        return (airtime_us + block - 1) // block * block

    def _reserve(self, now_ms, airtime_us):
        struct.pack_into("<I", self._buffer, 0, airtime_us)
        self._record.store((self._buffer,))
        self._reserved = airtime_us
        self._stored_ms = now_ms

    def spend(self, now_ms, airtime_us, share=ALARM):
        """As above. Raises OSError, and counts nothing, if the flash cannot take the reservation."""
        if self.limit_us is None:
            return True
        used = self.used_us(now_ms) + airtime_us
        if used > self.allowed_us(share):
            return False
        if used > self._reserved:
            self._reserve(now_ms, self._blocks(used))
        self.count(now_ms, airtime_us)
        return True

    def tidy(self, now_ms):
        """Give back, at most once an hour, what a busy hour reserved. Raises OSError; call it between windows."""
        if self.limit_us is None or now_ms - self._stored_ms < _TIDY_MS:
            return
        self._stored_ms = now_ms
        wanted = self._blocks(self.used_us(now_ms))
        if self._reserved > wanted + self._blocks(1):
            self._reserve(now_ms, wanted)
