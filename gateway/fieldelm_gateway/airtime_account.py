"""What one radio of the gateway has transmitted in the last hour, against what it may; a restart does not forget it.

The account is `fieldelm.duty`'s, as on a node. Its minutes are rows of the table `airtime`, written in the transaction of the
frames that are answered. After a start the rows count by their age; where the clock could not or cannot be trusted, as if now.
"""

import copy

from fieldelm import duty, regions

from .clock import Instant
from .config import Radio
from .rows import AirtimeRow
from .store import Store

ROUTINE: int = duty.WARNING
ALARM: int = duty.ALARM
"""shares: alarms and commands may use the whole hour, the rest leaves a quarter of it to them"""
_MINUTE_MS = 60_000
_HOUR_MS = 3_600_000
_SLOTS = 61


def limit_us(config: Radio) -> int | None:
    """Airtime in any hour; None for no limit."""
    allowed: int | None = regions.hour_us(config.plan, config.freq_khz, config.bw)
    if isinstance(config.duty_cycle, str):
        return allowed if config.duty_cycle == "plan" else None
    return min(int(config.duty_cycle * _HOUR_MS * 1000), _HOUR_MS * 1000 if allowed is None else allowed)


class AirtimeAccount:
    """The account of one radio; it is read from `store` when it is first asked."""

    def __init__(self, config: Radio, store: Store) -> None:
        self.limit_us = limit_us(config)
        self._name = config.name
        self._store = store
        self._cycle: duty.DutyCycle | None = None

    def _open(self, now: Instant) -> duty.DutyCycle:
        if self._cycle is None:
            cycle = duty.DutyCycle(self.limit_us, now.monotonic_ms - _HOUR_MS - _MINUTE_MS)
            if self.limit_us is not None:
                self._restore(cycle, now)
            self._cycle = cycle
        return self._cycle

    def copy(self, now: Instant) -> "AirtimeAccount":
        """The account as it is, for a round that may not count."""
        made = copy.copy(self)
        made._cycle = copy.deepcopy(self._open(now))
        return made

    def _restore(self, cycle: duty.DutyCycle, now: Instant) -> None:
        known = []
        for row in self._store.airtime(self._name):
            age_ms = (now.epoch_ms // _MINUTE_MS - row.minute) * _MINUTE_MS
            trusted = now.synced and row.synced and age_ms >= 0
            if not trusted or age_ms <= _HOUR_MS:
                known.append((age_ms if trusted else 0, row.airtime_us))
        for age_ms, airtime_us in sorted(known, reverse=True):
            cycle.count(now.monotonic_ms - age_ms, airtime_us)
        rows = []
        for age in range(_SLOTS):
            at_ms = now.monotonic_ms - age * _MINUTE_MS
            if spent := cycle.minute_us(at_ms):
                minute = now.epoch_ms // _MINUTE_MS - age
                rows.append(AirtimeRow(self._name, self._slot(at_ms), minute, now.synced, spent))
        with self._store.transaction():
            self._store.write("DELETE FROM airtime WHERE radio = ?", (self._name,))
            for row in rows:
                self._store.put_airtime(row)

    @staticmethod
    def _slot(at_ms: int) -> int:
        return at_ms // _MINUTE_MS % _SLOTS

    def used_us(self, now: Instant) -> int:
        """Time on the air in the last hour."""
        return int(self._open(now).used_us(now.monotonic_ms))

    def spend(self, now: Instant, airtime_us: int, share: int) -> AirtimeRow | bool:
        """Account for a transmission: the row to store with it, True if there is none to store, False if it is not allowed."""
        cycle = self._open(now)
        if self.limit_us is None:
            # a bench may ask for more than a minute of airtime in a minute; no radio can do that, nor can the account hold it
            cycle.used_us(now.monotonic_ms)
            if cycle.minute_us(now.monotonic_ms) < _MINUTE_MS * 1000:
                cycle.count(now.monotonic_ms, airtime_us)
            return True
        if not cycle.spend(now.monotonic_ms, airtime_us, share):
            return False
        ends_ms = now.monotonic_ms + airtime_us // 1000
        minute = (now.epoch_ms + airtime_us // 1000) // _MINUTE_MS
        return AirtimeRow(self._name, self._slot(ends_ms), minute, now.synced, cycle.minute_us(ends_ms))
