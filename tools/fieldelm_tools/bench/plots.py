"""Figures of the benches as self-contained SVG."""

from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import replay_plot
from .node import events, states, verdicts
from .scenario import Outcome

WIDTH, ROW, LEFT = 900, 26, 200
_MOST = 1500


def trace(outcome: Outcome) -> str:
    """Score, threshold, states and events of one stream."""
    assert outcome.trace is not None
    return lived_through(outcome.trace, f"{outcome.suite}: {outcome.scenario}")


def lived_through(lived: NDArray[Any], title: str) -> str:
    """Score, threshold, states and events of a node's records; long lives are thinned out, events stay."""
    every = max(len(lived) // _MOST, 1)
    happened = dict(events(lived))
    kept = [row for row in range(len(lived)) if row % every == 0 or row in happened]
    state, verdict = states(lived), verdicts(lived)
    rows = [
        {
            "row": row,
            "stream": 0,
            "score": _known(lived["score"][row]),
            "threshold": _known(lived["threshold"][row]),
            "state": state[row],
            "verdict": verdict[row],
            "event": happened.get(row),
        }
        for row in kept
    ]
    return replay_plot.draw(rows, [title], 60.0 * every)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def bars(document: dict[str, Any]) -> str:
    """AUC of each task and peer, without and after retraining."""
    entries = [*document["tasks"].items(), ("mean", document["mean"]), *document["peers"].items()]
    height = ROW * len(entries) + 60
    scale = (WIDTH - LEFT - 80) / 0.6

    def x(value: float) -> float:
        return LEFT + max(value - 0.4, 0.0) * scale

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        '<style>text{font:12px sans-serif;fill:#333}</style><rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{LEFT}" y="16">AUC: trained silent, tested noisy (grey); retrained on the spot (green)</text>',
    ]
    for tick in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
        out.append(f'<path stroke="#ddd" d="M{x(tick):.1f} 26V{height - 24}"/>')
        out.append(f'<text x="{x(tick):.1f}" y="{height - 8}" text-anchor="middle">{tick:.1f}</text>')
    for place, (name, pair) in enumerate(entries):
        y = 30 + place * ROW
        out.append(f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>')
        for key, colour, top in (("no_odl", "#9aa5b1", 0), ("odl", "#5aa469", 10)):
            value = pair[key]["auc"]
            out.append(f'<rect x="{LEFT}" y="{y + top}" width="{x(value) - LEFT:.1f}" height="9" fill="{colour}"/>')
        out.append(f'<text x="{x(pair["odl"]["auc"]) + 4:.1f}" y="{y + 18}">{pair["odl"]["auc"]:.4f}</text>')
    return "\n".join([*out, "</svg>", ""])


def retraining(document: dict[str, Any]) -> str:
    """AUC over the rows of each speed that were retrained without reset."""
    found = document["retraining"]
    counts = list(found)
    width, height, left, right, top, bottom = 560, 320, 60, 150, 40, 50
    low = float(min(min(pair.values()) for pair in found.values()) // 0.1 / 10)

    def x(place: int) -> float:
        return left + place / (len(counts) - 1) * (width - left - right)

    def y(value: float) -> float:
        return top + (1 - value) / (1 - low) * (height - top - bottom)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        '<style>text{font:12px sans-serif;fill:#333}</style><rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{left}" y="20">AUC after retraining without reset, mean of the tasks</text>',
        f'<text x="{(left + width - right) / 2}" y="{height - 10}" text-anchor="middle">rows of each speed</text>',
    ]
    for tick in np.arange(round(10 * low), 11) / 10:
        out.append(f'<path stroke="#ddd" d="M{left} {y(tick):.1f}H{width - right}"/>')
        out.append(f'<text x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.1f}</text>')
    for place, count in enumerate(counts):
        out.append(f'<text x="{x(place):.1f}" y="{height - bottom + 18}" text-anchor="middle">{count}</text>')
    for kind, colour, text, down in (
        ("plain", "#4477aa", "plain update", 18),
        ("reopened", "#228833", "P reopened", 2),
    ):
        path = " ".join(f"{x(place):.1f},{y(found[count][kind]):.1f}" for place, count in enumerate(counts))
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out.append(
            f'<text x="{width - right + 8}" y="{y(found[counts[-1]][kind]) + down:.1f}" style="fill:{colour}">{text}</text>'
        )
    return "\n".join([*out, "</svg>", ""])
