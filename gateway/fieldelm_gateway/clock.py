"""Time: what a time stamp is made of, and where it comes from.

The host's clock serves a gateway with a modem; the air server brings simulated time. Dates are for people and for the
database, the monotonic time for everything that waits, so that a clock that is set does not disturb it.
"""

import ctypes
import datetime
import functools
import sys
import time
from dataclasses import dataclass
from typing import Protocol

_STA_UNSYNC = 0x0040  # linux/timex.h
_TIME_ERROR = 5
_ASK_KERNEL_EVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment: the date in ms since 1970 (UTC), a monotonic time in ms, and whether the date can be trusted."""

    epoch_ms: int
    monotonic_ms: int
    synced: bool


class Clock(Protocol):
    """What the gateway lives by."""

    def now(self) -> Instant:
        """The present moment."""
        ...


def rfc3339(epoch_ms: int) -> str:
    """A date in UTC with milliseconds, `2026-01-01T00:00:00.000Z`; dates beyond the calendar stay at its ends."""
    seconds, ms = divmod(min(max(epoch_ms, 0), 253402300799999), 1000)
    return f"{_second(seconds)}.{ms:03d}Z"


@functools.lru_cache(maxsize=64)  # the frames of a busy second share it
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def parse_rfc3339(text: str) -> int:
    """The ms since 1970 of a date with a zone. Raises ValueError."""
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return round(moment.timestamp() * 1000)


class _Timex(ctypes.Structure):
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def host_clock_synced() -> bool:
    """Whether the kernel says that its clock is disciplined (NTP, PTP, GPS); unknown counts as no."""
    if not sys.platform.startswith("linux"):
        return False
    timex = _Timex()
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return False
    return bool(state not in {-1, _TIME_ERROR} and not timex.status & _STA_UNSYNC)


class HostClock:
    """The host's clock."""

    def __init__(self) -> None:
        self._synced = False
        self._asked = float("-inf")

    def now(self) -> Instant:
        """The present moment; the kernel is asked now and then whether its clock is right."""
        monotonic = time.monotonic()
        if monotonic - self._asked > _ASK_KERNEL_EVERY_S:
            self._asked = monotonic
            self._synced = host_clock_synced()
        return Instant(time.time_ns() // 1_000_000, int(monotonic * 1000), self._synced)


class AirClock:
    """Simulated time; it stands still until the air server moves it. Its dates count as synchronised."""

    def __init__(self) -> None:
        self._epoch_ms = 0  # unknown
        self._now_us = 0
        self._before_us = 0  # what passed in airs before this one

    def start(self, epoch_ms: int, now_us: int) -> None:
        """Set by the air's greeting; a restarted air begins again, the monotonic time does not."""
        if now_us < self._now_us:
            self._before_us += self._now_us - now_us
        self._now_us = now_us
        self._epoch_ms = epoch_ms

    def advance(self, now_us: int) -> None:
        """Move on; it never goes back."""
        self._now_us = max(self._now_us, now_us)

    def at(self, us: int) -> Instant:
        """The moment of a simulated time. Before the air has told its date that is 1970."""
        epoch_ms = self._epoch_ms + us // 1000 if self._epoch_ms else 0
        return Instant(epoch_ms, (self._before_us + us) // 1000, synced=True)

    def now(self) -> Instant:
        """The present moment."""
        return self.at(self._now_us)
