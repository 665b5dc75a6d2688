"""How long the log is kept: every frame for a while, then averages by the hour, then by the day, then nothing.

Works in small pieces between the frames, so that nothing waits for it: one transaction of at most `PIECE` rows at a time, and
none at all while there is nothing old.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from fieldelm import codes, frame, payloads

from .clock import Instant
from .config import Retention
from .store import Store

PIECE = 2000
HOUR_S, DAY_S = 3600, 86_400
_EVERY_MS = 600_000
_DAY_MS = DAY_S * 1000
_EARLIEST_MS = 1_735_689_600_000  # 2025: a clock before that is wrong
_STATUS = struct.Struct(payloads.struct_format(payloads.STATUS))
_GRAVITY = ("watching", "commissioning", "relearning", "service", "suspect", "safe_mode", "sensor_fault", "alarm")


@dataclass(slots=True)
class Sample:
    """STATUS of some time, one or the average of many."""

    count: int
    ratio_min: float
    ratio_mean: float
    ratio_max: float
    rms_g: float
    rms_velocity: float
    battery_mv: int | None
    temperature_c: float | None
    rssi: float
    snr: float
    state: int

    def add(self, other: "Sample") -> None:
        """The average of both."""
        total = self.count + other.count
        share = other.count / total
        self.ratio_min = min(self.ratio_min, other.ratio_min)
        self.ratio_max = max(self.ratio_max, other.ratio_max)
        for name in ("ratio_mean", "rms_g", "rms_velocity", "rssi", "snr"):
            mine, theirs = getattr(self, name), getattr(other, name)
            setattr(self, name, mine + (theirs - mine) * share)
        batteries = [mv for mv in (self.battery_mv, other.battery_mv) if mv is not None]
        self.battery_mv = min(batteries, default=None)
        if self.temperature_c is None or other.temperature_c is None:
            self.temperature_c = other.temperature_c if self.temperature_c is None else self.temperature_c
        else:
            self.temperature_c += (other.temperature_c - self.temperature_c) * share
        self.state = max(self.state, other.state, key=lambda state: _GRAVITY.index(codes.STATES[state]))
        self.count = total


COLUMNS = (
    "count",
    "ratio_min",
    "ratio_mean",
    "ratio_max",
    "rms_g",
    "rms_velocity",
    "battery_mv",
    "temperature_c",
    "rssi",
    "snr",
    "state",
)


def sample(payload: bytes, rssi: int, snr: float) -> Sample | None:
    """A STATUS as logged; None if it cannot be read."""
    try:
        head, _, _, ratio, rms_g, rms_velocity, _, battery, temperature, *_ = _STATUS.unpack(payload)
    except struct.error:
        return None
    state = head & 15
    if state >= len(codes.STATES):
        return None
    ratio /= 256
    return Sample(
        1,
        ratio,
        ratio,
        ratio,
        rms_g / 10_000,
        rms_velocity / 100,
        battery or None,
        None if temperature == -128 else float(temperature),
        float(rssi),
        snr,
        state,
    )


class Keeper:
    """Keeps the log short."""

    def __init__(self, config: Retention, store: Store) -> None:
        self._config = config
        self._store = store
        self._due_ms = 0

    def step(self, now: Instant) -> bool:
        """One piece of the work, if any is due; return whether there is more. Raises GatewayError."""
        if now.monotonic_ms < self._due_ms or not now.synced or now.epoch_ms < _EARLIEST_MS:
            return False
        at_ms = now.epoch_ms
        more = self._date(at_ms) or self._frames(at_ms) or self._hours(at_ms) or self._forget(at_ms)
        if not more:
            self._due_ms = now.monotonic_ms + _EVERY_MS
        return more

    def _date(self, now_ms: int) -> bool:
        # what an earlier run has written without the time is as old as the first moment that is known: it is not forgotten yet
        for table, column, more in (
            ("frame", "received_ms", ""),
            ("event", "received_ms", ", event_ms = event_ms + ?1 - received_ms"),
            ("maintenance", "done_ms", ""),
            ("command", "finished_ms", ""),
        ):
            condition = f"{column} < {_EARLIEST_MS}" + (" AND state <> 'waiting'" if table == "command" else "")
            if self._store.query(f"SELECT 1 FROM {table} WHERE {condition} LIMIT 1"):  # noqa: S608
                rows = f"SELECT id FROM {table} WHERE {condition} LIMIT {PIECE}"  # noqa: S608
                with self._store.transaction():
                    self._store.write(f"UPDATE {table} SET {column} = ?1{more} WHERE id IN ({rows})", (now_ms,))  # noqa: S608
                return True
        return False

    def _frames(self, now_ms: int) -> bool:
        before = _whole(now_ms - self._config.frames_days * _DAY_MS, HOUR_S)
        rows = self._store.query(
            "SELECT id, node, received_ms, type, rssi, snr, payload FROM frame"
            " WHERE received_ms < ? ORDER BY received_ms LIMIT ?",
            (before, PIECE),
        )
        if not rows:
            return False
        averages: dict[tuple[int, int], Sample] = {}
        for row in rows:
            if row["type"] == frame.STATUS and (one := sample(row["payload"], row["rssi"], row["snr"])):
                _collect(averages, (row["node"], _whole(row["received_ms"], HOUR_S)), one)
        with self._store.transaction():
            self._merge(averages, HOUR_S)
            self._store.write_many("DELETE FROM frame WHERE id = ?", [(row["id"],) for row in rows])
        return True

    def _hours(self, now_ms: int) -> bool:
        before = _whole(now_ms - self._config.hours_days * _DAY_MS, DAY_S)
        rows = self._store.query(
            "SELECT * FROM history WHERE span_s = ? AND start_ms < ? ORDER BY start_ms LIMIT ?", (HOUR_S, before, PIECE)
        )
        if not rows:
            return False
        averages: dict[tuple[int, int], Sample] = {}
        for row in rows:
            one = Sample(**{name: row[name] for name in COLUMNS})
            _collect(averages, (row["node"], _whole(row["start_ms"], DAY_S)), one)
        with self._store.transaction():
            self._merge(averages, DAY_S)
            self._store.write_many(
                "DELETE FROM history WHERE node = ? AND span_s = ? AND start_ms = ?",
                [(row["node"], HOUR_S, row["start_ms"]) for row in rows],
            )
        return True

    def _merge(self, averages: dict[tuple[int, int], Sample], span_s: int) -> None:
        for (node, start_ms), one in averages.items():
            known = self._store.query(
                "SELECT * FROM history WHERE node = ? AND span_s = ? AND start_ms = ?", (node, span_s, start_ms)
            )
            if known:
                one.add(Sample(**{name: known[0][name] for name in COLUMNS}))
        marks = ", ".join("?" * (3 + len(COLUMNS)))
        self._store.write_many(
            f"INSERT OR REPLACE INTO history (node, span_s, start_ms, {', '.join(COLUMNS)}) VALUES ({marks})",  # noqa: S608
            [
                (node, span_s, start_ms, *(getattr(one, name) for name in COLUMNS))
                for (node, start_ms), one in averages.items()
            ],
        )

    def _forget(self, now_ms: int) -> bool:
        answered = "answer IS NOT NULL AND id < (SELECT max(id) FROM inbox) - 1000"  # whoever asked has gone long ago
        if self._store.query(f"SELECT 1 FROM inbox WHERE {answered} LIMIT 1"):  # noqa: S608
            with self._store.transaction():
                self._store.write(f"DELETE FROM inbox WHERE {answered}")  # noqa: S608
        days = now_ms - self._config.days_days * _DAY_MS
        events = now_ms - self._config.events_days * _DAY_MS
        for table, condition, before in (
            ("history", f"span_s = {DAY_S} AND start_ms < ?", days),
            ("event", "received_ms < ?", events),
            ("maintenance", "done_ms < ?", events),
            ("command", "state <> 'waiting' AND finished_ms < ?", events),
        ):
            key = "node, span_s, start_ms" if table == "history" else "id"
            sql = f"DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE {condition} LIMIT {PIECE})"  # noqa: S608
            if self._store.query(f"SELECT 1 FROM {table} WHERE {condition} LIMIT 1", (before,)):  # noqa: S608
                with self._store.transaction():
                    self._store.write(sql, (before,))
                return True
        return False


def _whole(ms: int, span_s: int) -> int:
    return ms - ms % (span_s * 1000)


def _collect(averages: dict[tuple[int, int], Sample], key: tuple[int, int], one: Sample) -> None:
    if known := averages.get(key):
        known.add(one)
    else:
        averages[key] = one


def samples(rows: Iterable[tuple[int, Sample]], most: int) -> list[tuple[int, Sample]]:
    """At most so many, neighbours averaged; rows are times in ms and samples, in order."""
    rows = list(rows)
    if len(rows) <= most:
        return rows
    span = (rows[-1][0] - rows[0][0]) // most + 1
    averages: dict[tuple[int, int], Sample] = {}
    for at, one in rows:
        _collect(averages, (0, (at - rows[0][0]) // span), one)
    return [(rows[0][0] + index * span + span // 2, one) for (_, index), one in averages.items()]
