"""Charts of one node's run as inline SVG: score and threshold, state, RMS velocity, frames on the air, over time.

No JavaScript is needed to see them; colours come from the page's style sheet, so that one chart serves light and dark.
Every mark has a shape as well as a colour.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from html import escape

WIDTH, LEFT, RIGHT = 960, 66, 14
SCORE_TOP, SCORE_BOTTOM = 30, 206
STATE_TOP, STATE_BOTTOM = 214, 232
RMS_TOP, RMS_BOTTOM = 246, 306
AIR_TOP, AIR_BOTTOM = 318, 342
HEIGHT = 372
_STEPS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


@dataclasses.dataclass(frozen=True)
class Phase:
    """What was really the case from `start_s` to `end_s` (the node is never told)."""

    name: str
    kind: str
    """`quiet`, `noisy` or `damaged`: which shading"""
    start_s: float
    end_s: float


@dataclasses.dataclass(frozen=True)
class Row:
    """One window as the node judged it. A score or threshold of None: there was none yet."""

    time_s: float
    state: str
    score: float | None
    threshold: float | None
    learned: bool
    rms_g: float | None
    rms_velocity: float | None


@dataclasses.dataclass(frozen=True)
class Mark:
    """An event, placed where it happened; `number` is its line in the table."""

    number: int
    time_s: float
    event: str
    severity: str


@dataclasses.dataclass(frozen=True)
class Frame:
    """One frame on the air."""

    time_s: float
    up: bool
    kind: str
    size: int


@dataclasses.dataclass(frozen=True)
class NodeChart:
    """All that one chart shows."""

    identity: str
    title: str
    description: str
    phases: Sequence[Phase]
    rows: Sequence[Row]
    marks: Sequence[Mark]
    frames: Sequence[Frame]


def duration(seconds: float) -> str:
    """`95` as `1:35`, `4000` as `1:06:40`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def time_ticks(end_s: float) -> list[float]:
    """About ten round times from 0 to `end_s`."""
    step = next((s for s in _STEPS_S if end_s / s <= 12), _STEPS_S[-1])
    return [float(t) for t in range(0, int(end_s) + 1, step)]


def log_ticks(low: float, high: float) -> list[float]:
    """Decades between two positive numbers, with 2 and 5 where there are few."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if math.log10(high / low) < 2.5 else (1,)
    return [f * 10.0**d for d in decades for f in factors if low <= f * 10.0**d <= high]


def linear_ticks(high: float) -> list[float]:
    """0 and two or three round numbers up to `high`."""
    magnitude = 10.0 ** math.floor(math.log10(high))
    step = next(m * magnitude for m in (0.2, 0.5, 1, 2, 5) if high / (m * magnitude) <= 3.5)
    return [step * i for i in range(int(high / step) + 1)]


def number(value: float) -> str:
    """A figure for an axis."""
    return f"{value:.3g}" if 1e-3 <= abs(value) < 1e5 or value == 0 else f"{value:.0e}"


def _path(points: Sequence[tuple[float, float] | None], stepped: bool = False) -> str:
    """SVG path through the points; None lifts the pen."""
    parts: list[str] = []
    down = False
    for point in points:
        if point is None:
            down = False
            continue
        x, y = point
        if not down:
            parts.append(f"M{x:.1f} {y:.1f}")
        elif stepped:
            parts.append(f"H{x:.1f}V{y:.1f}")
        else:
            parts.append(f"L{x:.1f} {y:.1f}")
        down = True
    return "".join(parts)


def _shape(mark: Mark, x: float, y: float) -> str:
    """Triangle for an alarm, diamond for a warning, disc for information."""
    name = f"m {escape(mark.severity)}"
    if mark.severity == "alarm":
        return f'<path class="{name}" d="M{x:.1f} {y - 8:.1f}l8 14h-16z"/>'
    if mark.severity == "warning":
        return f'<path class="{name}" d="M{x:.1f} {y - 7:.1f}l7 7l-7 7l-7 -7z"/>'
    return f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="6"/>'


def _text(x: float, y: float, text: str, css: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{css}" text-anchor="{anchor}">{escape(text)}</text>'


def _score(rows: Sequence[Row], x: Callable[[float], float]) -> list[str]:
    values = [v for r in rows for v in (r.score, r.threshold) if v is not None and v > 0 and math.isfinite(v)]
    if not values:
        return [_text(LEFT + 8, SCORE_BOTTOM - 8, "no score was computed", "soft")]
    low, high = min(values) / 1.3, max(values) * 1.6

    def y(value: float) -> float:
        share = math.log(max(value, low) / low) / math.log(high / low)
        return SCORE_BOTTOM - share * (SCORE_BOTTOM - SCORE_TOP)

    out = []
    for tick in log_ticks(low, high):
        out.append(f'<path class="grid" d="M{LEFT} {y(tick):.1f}H{WIDTH - RIGHT}"/>')
        out.append(_text(LEFT - 6, y(tick) + 4, number(tick), "soft", "end"))
    threshold = [None if r.threshold is None or r.threshold <= 0 else (x(r.time_s), y(r.threshold)) for r in rows]
    score = [None if r.score is None or r.score <= 0 else (x(r.time_s), y(r.score)) for r in rows]
    out.append(f'<path class="threshold" d="{_path(threshold, stepped=True)}"/>')
    out.append(f'<path class="score" d="{_path(score)}"/>')
    return out


def _states(rows: Sequence[Row], x: Callable[[float], float], end_s: float) -> list[str]:
    out = []
    start = 0
    for i in range(1, len(rows) + 1):
        if i < len(rows) and rows[i].state == rows[start].state:
            continue
        left, right = x(rows[start].time_s), x(rows[i].time_s if i < len(rows) else end_s)
        state = rows[start].state
        out.append(
            f'<rect class="state s-{escape(state)}" x="{left:.1f}" y="{STATE_TOP}" width="{max(right - left, 1.0):.1f}"'
            f' height="{STATE_BOTTOM - STATE_TOP}">'
            f"<title>{escape(state)}, from {duration(rows[start].time_s)}</title></rect>"
        )
        if right - left > 7 * len(state):
            out.append(_text((left + right) / 2, STATE_BOTTOM - 5, state, "inlane", "middle"))
        start = i
    learned = "".join(f"M{x(r.time_s):.1f} {STATE_BOTTOM + 1}v4" for r in rows if r.learned)
    out.append(f'<path class="learned" d="{learned}"/>')
    return out


def _rms(rows: Sequence[Row], x: Callable[[float], float]) -> list[str]:
    values = [r.rms_velocity for r in rows if r.rms_velocity is not None]
    unit, pick = "mm/s", [r.rms_velocity for r in rows]
    if not values or max(values) <= 0:
        unit, pick = "g", [r.rms_g for r in rows]
        values = [v for v in pick if v is not None]
    if not values or max(values) <= 0:
        return [_text(LEFT + 8, RMS_BOTTOM - 8, "the sensor gives no RMS", "soft")]
    high = max(values) * 1.08

    def y(value: float) -> float:
        return RMS_BOTTOM - value / high * (RMS_BOTTOM - RMS_TOP)

    out = []
    for tick in linear_ticks(high):
        out.append(f'<path class="grid" d="M{LEFT} {y(tick):.1f}H{WIDTH - RIGHT}"/>')
        out.append(_text(LEFT - 6, y(tick) + 4, number(tick), "soft", "end"))
    points = [None if v is None else (x(r.time_s), y(v)) for r, v in zip(rows, pick, strict=True)]
    out.append(f'<path class="rms" d="{_path(points)}"/>')
    out.append(_text(LEFT + 5, RMS_TOP + 9, f"RMS, {unit}", "label"))
    return out


def _frames(frames: Sequence[Frame], x: Callable[[float], float]) -> list[str]:
    middle = (AIR_TOP + AIR_BOTTOM) / 2
    out = [f'<path class="grid" d="M{LEFT} {middle}H{WIDTH - RIGHT}"/>']
    for frame in frames:
        css = f"frame {'f-alert' if frame.kind == 'ALERT' else 'f-up' if frame.up else 'f-down'}"
        tip = f"{frame.kind}, {frame.size} bytes, {'up' if frame.up else 'down'}, {duration(frame.time_s)}"
        top = AIR_TOP if frame.up else middle + 1
        out.append(
            f'<rect class="{css}" x="{x(frame.time_s) - 1:.1f}" y="{top:.1f}" width="2"'
            f' height="{middle - AIR_TOP - 1:.1f}">'
            f"<title>{escape(tip)}</title></rect>"
        )
    out.append(_text(LEFT - 6, AIR_TOP + 9, "up", "soft", "end"))
    out.append(_text(LEFT - 6, AIR_BOTTOM - 1, "down", "soft", "end"))
    return out


def node_chart(chart: NodeChart) -> str:
    """The SVG element of one node."""
    ends = [p.end_s for p in chart.phases] + [r.time_s for r in chart.rows] + [f.time_s for f in chart.frames] + [1.0]
    end_s = max(ends)

    def x(time_s: float) -> float:
        return LEFT + time_s / end_s * (WIDTH - LEFT - RIGHT)

    name = escape(chart.identity)
    out = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="t-{name} d-{name}"',
        f' data-node="{name}" data-end="{end_s:.3f}"><title id="t-{name}">{escape(chart.title)}</title>',
        f'<desc id="d-{name}">{escape(chart.description)}</desc>',
    ]
    for phase in chart.phases:
        left, right = x(phase.start_s), x(phase.end_s)
        out.append(
            f'<rect class="phase p-{escape(phase.kind)}" x="{left:.1f}" y="14" width="{right - left:.1f}"'
            f' height="{AIR_BOTTOM - 14}"/>'
        )
        out.append(_text(left + 5, 11, phase.name, "label"))
        if phase.start_s > 0:
            out.append(f'<path class="border" d="M{left:.1f} 2V{AIR_BOTTOM}"/>')
    for tick in time_ticks(end_s):
        out.append(f'<path class="grid" d="M{x(tick):.1f} {AIR_BOTTOM}v5"/>')
        out.append(_text(x(tick), AIR_BOTTOM + 18, duration(tick), "soft", "middle"))
    if chart.rows:
        out += _score(chart.rows, x) + _states(chart.rows, x, end_s) + _rms(chart.rows, x)
    out += _frames(chart.frames, x)
    last_x, level = -100.0, 0
    for mark in chart.marks:
        at = x(mark.time_s)
        level = level + 1 if at - last_x < 20 else 0
        last_x = at
        y = SCORE_TOP + 6 + 17 * min(level, 8)
        out.append(f'<path class="stem {escape(mark.severity)}" d="M{at:.1f} {y:.1f}V{SCORE_BOTTOM}"/>')
        out.append(f"<g><title>{escape(mark.event)}, {duration(mark.time_s)}</title>{_shape(mark, at, y)}")
        out.append(_text(at, y + 3.5, str(mark.number), "n", "middle") + "</g>")
    out.append(f'<path class="cursor" d="M0 14V{AIR_BOTTOM}"/></svg>')
    return "".join(out)
