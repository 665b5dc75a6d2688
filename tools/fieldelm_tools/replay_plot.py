"""A replay as one self-contained SVG: score and threshold over the rows, the node's state below, events on top."""

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from fieldelm.codes import SEVERITY_OF_EVENT

from .report_chart import log_ticks, number

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM, STATES = 1100, 420, 70, 20, 110, 340, 22
_STATE_COLOURS = {
    "commissioning": "#9aa5b1",
    "watching": "#5aa469",
    "suspect": "#e0b441",
    "alarm": "#c8453b",
    "relearning": "#4b7fc4",
    "sensor_fault": "#8458a8",
}
_EVENT_COLOURS = {"info": "#555", "warning": "#b07d00", "alarm": "#b3261e"}
_STYLE = (
    "text{font:12px sans-serif;fill:#333}.grid{stroke:#ddd}.score{fill:none;stroke:#1f4e8c}"
    ".threshold{fill:none;stroke:#c8453b;stroke-dasharray:5 3}.border{stroke:#999;stroke-dasharray:2 3}"
)


def draw(rows: Sequence[dict[str, Any]], names: Sequence[str], period_s: float) -> str:
    """The plot of all streams, one behind the other. `rows` are the lines of `fieldelm replay`."""

    def x(index: float) -> float:
        return LEFT + index / max(len(rows), 1) * (WIDTH - LEFT - RIGHT)

    caption = f"score (line) and threshold (dashed); {len(rows)} rows, one every {period_s:g} s"
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">',
        f'<style>{_STYLE}</style><rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{LEFT}" y="18">{caption}</text>',
    ]
    out += _curves(rows, x)
    out += _states(rows, x)
    out += _events(rows, x)
    out += _borders(rows, names, x)
    return "\n".join([*out, "</svg>", ""])


def _curves(rows: Sequence[dict[str, Any]], x: Callable[[float], float]) -> list[str]:
    values = [v for row in rows for v in (row["score"], row["threshold"]) if v]
    if not values:
        return []
    low, high = min(values) / 1.2, max(values) * 1.2

    def y(value: float) -> float:
        return BOTTOM - math.log(value / low) / math.log(high / low) * (BOTTOM - TOP)

    out = []
    for tick in log_ticks(low, high):
        out.append(f'<path class="grid" d="M{LEFT} {y(tick):.1f}H{WIDTH - RIGHT}"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{number(tick)}</text>')
    for key in ("threshold", "score"):
        path, pen = [], "M"
        for index, row in enumerate(rows):
            if row[key]:
                path.append(f"{pen}{x(index):.1f} {y(row[key]):.1f}")
            pen = "L" if row[key] else "M"
        out.append(f'<path class="{key}" d="{"".join(path)}"/>')
    return out


def _states(rows: Sequence[dict[str, Any]], x: Callable[[float], float]) -> list[str]:
    out = []
    start = 0
    for index in range(1, len(rows) + 1):
        if index < len(rows) and rows[index]["state"] == rows[start]["state"]:
            continue
        state = rows[start]["state"]
        width = x(index) - x(start)
        colour = _STATE_COLOURS.get(state, "#777")
        size = f'width="{max(width, 0.8):.1f}" height="{STATES}"'
        title = f"{state}, from row {rows[start]['row']} of stream {rows[start]['stream']}"
        out.append(f'<rect x="{x(start):.1f}" y="{BOTTOM + 8}" {size} fill="{colour}"><title>{title}</title></rect>')
        if width > 7 * len(state):
            middle = f'x="{(x(start) + x(index)) / 2:.1f}" y="{BOTTOM + 23}" text-anchor="middle"'
            out.append(f'<text {middle} style="fill:#fff">{state}</text>')
        start = index
    return out


def _events(rows: Sequence[dict[str, Any]], x: Callable[[float], float]) -> list[str]:
    out = []
    happened = [(index, row["event"]) for index, row in enumerate(rows) if row["event"]]
    for place, (index, event) in enumerate(happened):
        colour = _EVENT_COLOURS[SEVERITY_OF_EVENT[event]]
        level = 36 + 16 * (place % 5)
        anchor, shift = ("end", -4) if x(index) > WIDTH - 180 else ("start", 4)
        out.append(f'<path d="M{x(index):.1f} {level - 8}V{BOTTOM}" stroke="{colour}" stroke-opacity="0.6"/>')
        out.append(
            f'<text x="{x(index) + shift:.1f}" y="{level}" text-anchor="{anchor}" style="fill:{colour}">'
            f"{escape(event)}, row {rows[index]['row']}</text>"
        )
    return out


def _borders(rows: Sequence[dict[str, Any]], names: Sequence[str], x: Callable[[float], float]) -> list[str]:
    out = []
    for index, row in enumerate(rows):
        if row["row"] == 0:
            if index:
                out.append(f'<path class="border" d="M{x(index):.1f} {TOP}V{BOTTOM + 50}"/>')
            name = names[row["stream"]].rsplit("/", 1)[-1]
            room = sum(other["stream"] == row["stream"] for other in rows) / len(rows) * (WIDTH - LEFT - RIGHT)
            text = f"{row['stream']}: {name}"[: max(int(room / 7), 1)]
            out.append(f'<text x="{x(index) + 3:.1f}" y="{BOTTOM + 48}">{escape(text)}</text>')
    return out
