"""A picture of a Pico wired to its default radio and sensor, from `board.json`.

python -m fieldelm_tools.boards_picture > docs/images/wiring-rpi_pico.svg
"""

import sys
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from . import boards, boards_wiring

_PITCH = 24
_TOP = 90
_BOARD_X, _BOARD_WIDTH = 520, 150
_MODULE_X, _MODULE_WIDTH = 90, 190
_PINS = 20
_V33, _GROUNDS = 36, (3, 8, 13, 18)  # places on the header (Raspberry Pi Pico datasheet, figure 2)
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")  # told apart by colour-blind people, too
_RED, _BLACK = "#c1121f", "#333333"


def picture(board: dict[str, Any]) -> str:
    """The picture as SVG. The default radio and sensor must use pins of the header's left side."""
    sensor = board["sensors"][board["default"]["sensor"]]
    radio = board["radios"][board["default"]["radio"]]
    rows = [(sensor, _GROUNDS[1], 0), (radio, _GROUNDS[3], 1)]
    height = _TOP + _PINS * _PITCH + 60
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 780 {height}" font-family="sans-serif" font-size="13">',
        f"<title>{escape(board['title'])} with its radio and its sensor</title>",
        f'<rect width="780" height="{height}" fill="#ffffff"/>',
        *_pico(board["title"]),
    ]
    for entry, ground, lane in rows:
        lines += _module(entry, ground, lane)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _y(place: int) -> float:
    # the left side counts down the board, the right side up
    return _TOP + _PITCH * (place - 0.5 if place <= _PINS else 2 * _PINS - place + 0.5)


def _text(x: float, y: float, text: str, anchor: str = "start", more: str = "") -> str:
    return f'<text x="{x:g}" y="{y + 4.5:g}" text-anchor="{anchor}" {more}>{escape(text)}</text>'


def _pico(title: str) -> Iterator[str]:
    height = _PINS * _PITCH
    yield f'<rect x="{_BOARD_X}" y="{_TOP - 14}" width="{_BOARD_WIDTH}" height="{height + 28}" rx="8" fill="#2a6f4e"/>'
    middle = _BOARD_X + _BOARD_WIDTH / 2
    yield f'<rect x="{middle - 26:g}" y="{_TOP - 26}" width="52" height="40" rx="3" fill="#b8bcc2"/>'
    yield _text(middle, _TOP - 6, "USB", "middle")
    turned = f'fill="#fff" transform="rotate(90 {middle:g} {_TOP + height / 2:g})"'
    yield _text(middle, _TOP + height / 2, title, "middle", turned)
    at = {place: f"GP{gpio}" for gpio, place in boards_wiring.PICO_HEADER.items()}
    at |= dict.fromkeys((*_GROUNDS, 23, 28, 33, 38), "GND")
    at |= {_V33: "3V3", 40: "VBUS", 39: "VSYS", 37: "3V3_EN", 35: "VREF", 30: "RUN"}
    for place in range(1, 2 * _PINS + 1):
        left = place <= _PINS
        x = _BOARD_X + 8 if left else _BOARD_X + _BOARD_WIDTH - 8
        yield f'<circle cx="{x}" cy="{_y(place):g}" r="5" fill="#e8c547"/>'
        inner = x + 10 if left else x - 10
        yield _text(inner, _y(place), at[place], "start" if left else "end", 'fill="#fff" font-size="11"')


def _module(entry: dict[str, Any], ground: int, lane: int) -> Iterator[str]:
    pins = pins_of(entry)
    first = min(_y(place) for _, place in pins)
    rows: Sequence[tuple[str, int]] = [("VCC", _V33), *pins, ("GND", ground)]
    top = first + (1.5 * lane - 3) * _PITCH  # the one above the other
    size = f'width="{_MODULE_WIDTH}" height="{len(rows) * _PITCH + 44}"'
    yield f'<rect x="{_MODULE_X}" y="{top - 34:g}" {size} rx="6" fill="#e9eef5" stroke="#5b6b7d"/>'
    yield _text(_MODULE_X + 12, top - 18, entry["chip"].upper(), more='font-weight="bold"')
    right = _MODULE_X + _MODULE_WIDTH
    for number, (label, place) in enumerate(rows):
        y = top + number * _PITCH + 6
        colour = _RED if place == _V33 else _BLACK if label == "GND" else _COLOURS[(number - 1) % len(_COLOURS)]
        yield _text(right - 14, y, label, "end")
        yield f'<circle cx="{right}" cy="{y:g}" r="4.5" fill="#e8c547"/>'
        if place == _V33:
            over, beyond, bend = _TOP - 50 - 14 * lane, _BOARD_X + _BOARD_WIDTH + 40 + 14 * lane, right + 26 + 14 * lane
            end = _BOARD_X + _BOARD_WIDTH - 8
            path = f"M{right} {y:g} H{bend} V{over} H{beyond} V{_y(place):g} H{end}"
        else:
            end = _BOARD_X + 8
            path = f"M{right} {y:g} C{right + 110} {y:g} {end - 110} {_y(place):g} {end} {_y(place):g}"
        yield f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>'


def pins_of(entry: dict[str, Any]) -> list[tuple[str, int]]:
    """Name on the module and place on the Pico's header, from the top of the board to its bottom."""
    family = boards.RADIO_CHIPS.get(entry["chip"], entry["chip"])
    wired = {**entry.get("spi", {}), **entry.get("i2c", {}), **entry}
    labels = boards_wiring.LABELS[family]
    found = [(label, boards_wiring.PICO_HEADER[wired[key]]) for key, label in labels.items() if key in wired]
    return sorted(found, key=lambda pin: pin[1])


if __name__ == "__main__":
    sys.stdout.write(picture(boards.load("rpi_pico")))
