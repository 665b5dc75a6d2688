"""Figures of `fieldelm bench link`, each an SVG of its own."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .link import Energies, Group
    from .link_world import World

_WIDTH, _HEIGHT = 640, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 40, 40, 50
_COLOURS = ("#0072b2", "#009e73", "#e69f00", "#d55e00")  # Okabe and Ito
_STEPS = 200


def write(folder: Path, world: "World", groups: Sequence["Group"], energies: "Energies") -> None:
    """link-delay.svg, link-airtime.svg and link-energy.svg."""
    (folder / "link-delay.svg").write_text(_delays(groups), encoding="utf-8")
    (folder / "link-airtime.svg").write_text(_airtime(world), encoding="utf-8")
    (folder / "link-energy.svg").write_text(_energies(energies), encoding="utf-8")


class _Chart:
    def __init__(self, title: str) -> None:
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}">',
            f"<title>{title}</title>",
            '<style>text{font:12px sans-serif;fill:#333}</style><rect width="100%" height="100%" fill="#fff"/>',
            f'<text x="{_LEFT}" y="20" font-weight="bold">{title}</text>',
        ]

    def x(self, share: float) -> float:
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, share: float) -> float:
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    def text(self, x: float, y: float, words: str, anchor: str = "start") -> None:
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>')

    def line(self, points: Sequence[tuple[float, float]], colour: str, width: float = 2, dash: str = "") -> None:
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dashes}/>')

    def bar(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>')

    def done(self) -> str:
        return "\n".join([*self.parts, "</svg>", ""])


def _delays(groups: Sequence["Group"]) -> str:
    chart = _Chart("From decision to gateway: share of events delivered")
    longest = max((max(group.delays_s) for group in groups if group.delays_s), default=10.0)
    low, high = math.log10(0.1), max(math.ceil(math.log10(max(longest, 1.0))), 1)

    def place(seconds: float) -> float:
        return chart.x((math.log10(max(seconds, 0.1)) - low) / (high - low))

    for exponent in range(-1, high + 1):
        at = place(10.0**exponent)
        chart.line([(at, chart.y(0)), (at, chart.y(1))], "#ddd", 1)
        chart.text(at, _HEIGHT - _BOTTOM + 18, f"{10.0**exponent:g} s", "middle")
    for percent in (0, 50, 99):
        chart.line([(chart.x(0), chart.y(percent / 100)), (chart.x(1), chart.y(percent / 100))], "#ddd", 1)
        chart.text(_LEFT - 8, chart.y(percent / 100) + 4, f"{percent} %", "end")
    for group, colour in zip(groups, _COLOURS, strict=False):
        delays = sorted(group.delays_s)
        if not delays:
            continue
        steps = [min(int(i / _STEPS * len(delays)), len(delays) - 1) for i in range(_STEPS + 1)]
        chart.line([(place(delays[at]), chart.y((at + 1) / len(delays))) for at in steps], colour)
    for number, (group, colour) in enumerate(zip(groups, _COLOURS, strict=False)):
        y = _HEIGHT - _BOTTOM - 12 - 18 * (len(groups) - 1 - number)
        chart.bar(_WIDTH - 190, y - 9, 14, 10, colour)
        chart.text(_WIDTH - 170, y, f"{group.low:.0%} to {group.high:.0%} loss")
    return chart.done()


def _airtime(world: "World") -> str:
    limit = world.plan.settings.duty_cycle
    chart = _Chart("Busiest hour on the air, by loss on the node's link")
    low, high = world.plan.settings.loss
    span = max(high - low, 0.01)
    top = limit * 1.2
    for tick in range(7):
        share = limit * tick / 5
        chart.line([(chart.x(0), chart.y(share / top)), (chart.x(1), chart.y(share / top))], "#ddd", 1)
        chart.text(_LEFT - 8, chart.y(share / top) + 4, f"{share:.1%}", "end")
    for life in world.lives.values():
        x = chart.x((life.plan.loss - low) / span)
        y = chart.y(min(life.airtime.longest_hour_us / 3.6e9 / top, 1.0))
        chart.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{_COLOURS[0]}"/>')
    gateway = chart.y(min(world.gateway_airtime.longest_hour_us / 3.6e9 / top, 1.0))
    chart.line([(chart.x(0), gateway), (chart.x(1), gateway)], _COLOURS[1])
    chart.text(chart.x(1), gateway - 6, "gateway", "end")
    chart.line([(chart.x(0), chart.y(limit / top)), (chart.x(1), chart.y(limit / top))], _COLOURS[3], 1.5, "6 4")
    chart.text(chart.x(0) + 4, chart.y(limit / top) - 6, "limit")
    for share in (low, (low + high) / 2, high):
        chart.text(chart.x((share - low) / span), _HEIGHT - _BOTTOM + 18, f"{share:.0%}", "middle")
    return chart.done()


def _energies(energies: "Energies") -> str:
    chart = _Chart("Charge on the air against alerts and STATUS (logarithmic)")
    bars = [
        ("ours", 1.0),
        ("the same in JSON", energies.as_json / energies.ours),
        ("every row of bands", energies.bands / energies.ours),
        ("every spectrum", energies.spectra / energies.ours),
    ]
    decades = max(math.ceil(math.log10(max(value for _, value in bars))), 1)
    left = 150
    for exponent in range(decades + 1):
        at = left + (_WIDTH - left - 90) * exponent / decades
        chart.line([(at, _TOP), (at, _HEIGHT - _BOTTOM)], "#ddd", 1)
        chart.text(at, _HEIGHT - _BOTTOM + 18, f"{10**exponent} ×", "middle")
    for number, (name, value) in enumerate(bars):
        y = _TOP + 10 + number * 54
        width = (_WIDTH - left - 90) * math.log10(max(value, 1.02)) / decades
        chart.bar(left, y, max(width, 2), 34, _COLOURS[number % len(_COLOURS)])
        chart.text(left - 8, y + 21, name, "end")
        chart.text(left + max(width, 2) + 6, y + 21, f"{value:.1f} ×")
    return chart.done()
