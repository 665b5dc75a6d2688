"""How the cost of a step grows with the model, as self-contained SVG."""

from math import log2
from typing import Any

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 420, 80, 130, 40, 50
COLOURS = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377")
CLOCK_MHZ = 125


def draw(points: list[dict[str, Any]]) -> str:
    """Cycles of score and update over the number of inputs, both logarithmic; a line for each number of hidden units."""
    sizes = sorted({point["n"] for point in points})
    cycles = [point["learn_cycles"] for point in points]
    low, high = int(log2(min(cycles))), int(log2(max(cycles))) + 1

    def x(n: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (log2(n) - log2(sizes[0])) / (log2(sizes[-1]) - log2(sizes[0]))

    def y(count: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (log2(count) - low) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="14">One row scored and learned on the RP2040 (emulated, user module)</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">inputs n</text>',
    ]
    for n in sizes:
        parts.append(f'<line x1="{x(n):.1f}" x2="{x(n):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>')
        parts.append(f'<text x="{x(n):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{n}</text>')
    for power in range(low, high + 1):
        count = 2**power
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(count):.1f}" y2="{y(count):.1f}" stroke="#ddd"/>')
        text = f"{count / CLOCK_MHZ / 1000:.2g} ms"
        parts.append(f'<text x="{LEFT - 6}" y="{y(count) + 4:.1f}" text-anchor="end">{text}</text>')
    for colour, h in zip(COLOURS, sorted({point["h"] for point in points}), strict=False):
        line = sorted((point["n"], point["learn_cycles"]) for point in points if point["h"] == h)
        path = " ".join(f"{x(n):.1f},{y(count):.1f}" for n, count in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        n, count = line[-1]
        parts.append(f'<text x="{x(n) + 8:.1f}" y="{y(count) + 4:.1f}" fill="{colour}">{h} hidden units</text>')
    return "\n".join([*parts, "</svg>", ""])
