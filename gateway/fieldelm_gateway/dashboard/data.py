"""What the page asks the database, on a connection of its own."""

import json
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fieldelm import codes, frame

from ..clock import parse_rfc3339, rfc3339
from ..config import GatewayConfig
from ..documents import Topics
from ..live import Live
from ..retention import COLUMNS, DAY_S, HOUR_S, Sample, sample, samples
from ..store import Store

SPARK_POINTS = 96
_DAY_MS = 86_400_000
_MOST_POINTS = 400
_MOST_ROWS = 500
_MOST_CSV = 200_000
_NEVER = 1 << 62  # ms, and a number that no row reaches


@dataclass(frozen=True, slots=True)
class Filter:
    """Which lines of the log."""

    node: str = ""
    kind: str = ""
    """an event's type, or an action of maintenance"""
    severity: str = ""
    text: str = ""
    before_ms: int | None = None
    limit: int = 100


class Data:
    """Answers of the database and of what is true now."""

    def __init__(self, config: GatewayConfig, store: Store, live: Live) -> None:
        self.config = config
        self.topics = Topics(config.base_topic())
        self.live = live
        self._store = store
        self._lock = threading.Lock()
        self._sparks: dict[str, deque[float]] = {}

    def close(self) -> None:
        """Let go of the database."""
        with self._lock:
            self._store.close()

    def _query(self, sql: str, values: tuple[object, ...] = ()) -> list[Any]:
        with self._lock:
            return self._store.query(sql, values)

    def now_ms(self) -> int:
        """The time by which the gateway lives; the simulated air has its own."""
        health = self.live.get(self.topics.health)
        return parse_rfc3339(json.loads(health)["time"]) if health else 0

    # nodes at a glance

    def fill_sparks(self) -> None:
        """The last day's scores of every node, from the log."""
        now_ms = self.now_ms()
        rows = self._query(
            "SELECT eui, payload FROM frame JOIN node ON node.id = frame.node"
            " WHERE type = ? AND received_ms > ? ORDER BY received_ms",
            (frame.STATUS, now_ms - _DAY_MS),
        )
        for row in rows:
            if one := sample(row["payload"], 0, 0.0):
                self.add_spark(row["eui"], one.ratio_mean)

    def add_spark(self, eui: str, ratio: float) -> None:
        """One more."""
        self._sparks.setdefault(eui, deque(maxlen=SPARK_POINTS)).append(round(ratio, 2))

    def overview(self) -> dict[str, Any]:
        """Everything for the first page."""
        current = self.live.current()

        def document(topic: str) -> Any:
            text = current.get(topic)
            return json.loads(text) if text else None

        cards = document(self.topics.nodes) or {"nodes": []}
        return {
            "gateway": document(self.topics.info),
            "health": document(self.topics.health),
            "nodes": [
                {
                    **card,
                    "available": current.get(self.topics.availability(card["eui"])) == "online",
                    "state": document(self.topics.node_state(card["eui"])),
                    "alarm": document(self.topics.alarm(card["eui"])),
                    "spark": list(self._sparks.get(card["eui"], ())),
                }
                for card in cards["nodes"]
            ],
        }

    # one node

    def row(self, eui: str) -> int | None:
        """The node's number in the database."""
        rows = self._query("SELECT id FROM node WHERE eui = ?", (eui,))
        return rows[0]["id"] if rows else None

    def history(self, row: int, hours: float) -> dict[str, Any]:
        """Samples and events of the last hours."""
        now_ms = self.now_ms()
        since = now_ms - int(hours * 3_600_000)
        found: list[tuple[int, Sample]] = []
        for span_s in (DAY_S, HOUR_S):
            sql = "SELECT * FROM history WHERE node = ? AND span_s = ? AND start_ms >= ? ORDER BY start_ms"
            for one in self._query(sql, (row, span_s, since)):
                found.append((one["start_ms"] + span_s * 500, Sample(**{name: one[name] for name in COLUMNS})))
        frames = self._query(
            "SELECT received_ms, payload, rssi, snr FROM frame"
            " WHERE node = ? AND received_ms >= ? AND type = ? ORDER BY received_ms",
            (row, since, frame.STATUS),
        )
        for one in frames:
            if read := sample(one["payload"], one["rssi"], one["snr"]):
                found.append((one["received_ms"], read))
        events = self._query(
            "SELECT event_ms, type, severity FROM event WHERE node = ? AND event_ms >= ? ORDER BY event_ms DESC LIMIT ?",
            (row, since, _MOST_ROWS),
        )
        return {
            "from": since,
            "to": now_ms,
            "columns": ["time", *COLUMNS],
            "points": [[at, *_rounded(one)] for at, one in samples(found, _MOST_POINTS)],
            "events": [{"time": one["event_ms"], "type": one["type"], "severity": one["severity"]} for one in events],
        }

    def last_alarm(self, row: int) -> dict[str, Any] | None:
        """The last machine_alarm, for its bands."""
        rows = self._query(
            "SELECT document FROM event WHERE node = ? AND type = 'machine_alarm' ORDER BY event_ms DESC LIMIT 1",
            (row,),
        )
        return json.loads(rows[0]["document"]) if rows else None

    def trace(self, row: int) -> dict[str, Any] | None:
        """The newest spectrum, or deviations by band, that the node was asked for."""
        text = self._query("SELECT trace_document FROM node WHERE id = ?", (row,))[0]["trace_document"]
        return json.loads(text) if text else None

    def models(self, row: int) -> list[dict[str, Any]]:
        """Copies of what it has learned, newest first."""
        rows = self._query(
            "SELECT model, length(data) AS bytes, total, begun_ms FROM model WHERE node = ? ORDER BY begun_ms DESC",
            (row,),
        )
        return [
            {
                "model": f"{one['model']:08x}",
                "begun": rfc3339(one["begun_ms"]),
                "bytes": one["bytes"],
                "total": one["total"],
            }
            for one in rows
        ]

    def commands(self, row: int) -> list[dict[str, Any]]:
        """Its last commands."""
        rows = self._query("SELECT * FROM command WHERE node = ? ORDER BY id DESC LIMIT 20", (row,))
        return [
            {
                "id": one["request_id"],
                "command": one["command"],
                "state": one["state"],
                "result": one["result"],
                "asked": rfc3339(one["created_ms"]),
                "finished": rfc3339(one["finished_ms"]) if one["finished_ms"] else None,
                "attempts": one["attempts"],
            }
            for one in rows
        ]

    # the log

    def log(self, wanted: Filter) -> list[dict[str, Any]]:
        """Events and what maintenance did, newest first."""
        limit = min(max(wanted.limit, 1), _MOST_ROWS)
        return [_line(row) for row in self._query(*_log_query(wanted, limit))]

    def _log_rows(self, wanted: Filter) -> Iterator[Any]:
        # piece by piece, so that nobody waits for it, nor does it take more memory than a piece
        last: Any = None
        for _ in range(_MOST_CSV // _MOST_ROWS):
            rows = self._query(*_log_query(wanted, _MOST_ROWS, last))
            yield from rows
            if len(rows) < _MOST_ROWS:
                return
            last = rows[-1]

    def csv_lines(self, wanted: Filter) -> Iterator[list[object]]:
        """The same as rows of a table."""
        yield [
            "time",
            "node",
            "eui",
            "location",
            "kind",
            "type",
            "severity",
            "score_ratio",
            "bands_hz",
            "by",
            "detail",
            "id",
        ]
        for row in self._log_rows(wanted):
            line = _line(row)
            document = line["document"]
            bands = "; ".join(
                f"{band['low_hz']}-{band['high_hz']}"
                for band in document.get("bands", ())
                if band["low_hz"] is not None
            )
            yield [
                line["time"],
                document.get("name", ""),
                line["eui"],
                document.get("location", ""),
                line["kind"],
                line["type"],
                line["severity"] or "",
                document.get("score_ratio", ""),
                bands,
                document.get("by", ""),
                json.dumps(document["detail"]) if document.get("detail") else "",
                document.get("id", ""),
            ]


def _log_query(wanted: Filter, limit: int, last: Any = None) -> tuple[str, tuple[object, ...]]:
    """Newest first, events before maintenance of the same moment; `last`: the row after which it goes on."""
    before_ms = wanted.before_ms if wanted.before_ms is not None else _NEVER
    events = maintenance = (before_ms, 0)
    if last is not None:
        is_event = last["kind"] == "event"
        events = (last["at_ms"], last["number"] if is_event else 0)
        maintenance = (last["at_ms"], _NEVER if is_event else last["number"])
    of_events, values = _conditions(wanted, "type", "severity")
    of_maintenance, others = _conditions(wanted, "action", "NULL")
    if wanted.kind:  # only one of them has it: the other is not searched for nothing
        of_events += "" if wanted.kind in codes.EVENTS else " AND 0"
        of_maintenance += " AND 0" if wanted.kind in codes.EVENTS else ""
    sql = f"""
        SELECT * FROM (
            SELECT event_ms AS at_ms, 'event' AS kind, event.id AS number, eui, type, severity, document
            FROM event JOIN node ON node.id = event.node WHERE (event_ms, event.id) < (?, ?){of_events}
            ORDER BY event_ms DESC, event.id DESC LIMIT ?)
        UNION ALL SELECT * FROM (
            SELECT done_ms, 'maintenance', maintenance.id, eui, action, NULL, document
            FROM maintenance JOIN node ON node.id = maintenance.node WHERE (done_ms, maintenance.id) < (?, ?){of_maintenance}
            ORDER BY done_ms DESC, maintenance.id DESC LIMIT ?)
        ORDER BY at_ms DESC, kind, number DESC LIMIT ?"""  # noqa: S608 (conditions are ours)
    return sql, (*events, *values, limit, *maintenance, *others, limit, limit)


def _conditions(wanted: Filter, kind: str, severity: str) -> tuple[str, list[object]]:
    conditions, values = "", []
    for column, value in (("eui", wanted.node), (kind, wanted.kind), (severity, wanted.severity)):
        if value:
            conditions += f" AND {column} = ?"
            values.append(value)
    if wanted.text:
        escaped = wanted.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        conditions += " AND document LIKE ? ESCAPE '\\'"
        values.append(f"%{escaped}%")
    return conditions, list[object](values)


def _line(row: Any) -> dict[str, Any]:
    return {
        "time": rfc3339(row["at_ms"]),
        "at_ms": row["at_ms"],
        "kind": row["kind"],
        "eui": row["eui"],
        "type": row["type"],
        "severity": row["severity"],
        "document": json.loads(row["document"]),
    }


def _rounded(one: Sample) -> list[float | int | str | None]:
    values: list[float | int | str | None] = []
    for name in COLUMNS:
        value = getattr(one, name)
        values.append(round(value, 3) if isinstance(value, float) else value)
    values[-1] = codes.STATES[one.state]
    return values
