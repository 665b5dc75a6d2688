"""The page with the wiring tables, made from the boards' descriptions."""

from typing import Any

Description = dict[str, Any]

# GPIO number: place on the Pico's header (Raspberry Pi Pico datasheet, figure 2)
PICO_HEADER = dict(
    zip(
        (*range(23), 26, 27, 28),
        (1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 16, 17, 19, 20, 21, 22, 24, 25, 26, 27, 29, 31, 32, 34),
        strict=True,
    )
)
LABELS = {
    "sx127x": {"cs": "NSS", "reset": "RESET", "dio0": "DIO0", "sck": "SCK", "mosi": "MOSI", "miso": "MISO"},
    "sx126x": {
        "cs": "NSS",
        "reset": "RESET",
        "busy": "BUSY",
        "dio1": "DIO1",
        "rxen": "RXEN",
        "txen": "TXEN",
        "sck": "SCK",
        "mosi": "MOSI",
        "miso": "MISO",
    },
    "adxl345": {"cs": "CS", "sck": "SCL", "mosi": "SDA", "miso": "SDO", "int1": "INT1", "sda": "SDA", "scl": "SCL"},
    "lis3dh": {
        "cs": "CS",
        "sck": "SCL/SPC",
        "mosi": "SDA/SDI",
        "miso": "SDO",
        "int1": "INT1",
        "sda": "SDA",
        "scl": "SCL",
    },
    "analog": {"pin": "output"},
}
_ORDER = ("sck", "mosi", "miso", "sda", "scl", "cs", "reset", "busy", "dio0", "dio1", "rxen", "txen", "int1", "pin")
_INTRODUCTION = """<!-- made by `python -m fieldelm_tools.boards wiring`; change boards/<name>/board.json instead -->

# Wiring

Every module runs on 3.3 V: its VCC to the board's 3V3 pin, its GND to a GND pin. **Fasten the antenna before you power the
board**: a transmitter without one can be damaged. Keep the sensor's wires below 20 cm, and screw the sensor itself firmly to the
machine.

Which radio and which sensor a node uses is in its configuration: `"options": {"radio": "…", "sensor": "…"}` with the names in
brackets below; without it, the defaults. `"radio": "usb"` needs no radio at all: frames go over the USB cable. A pin that
is wired otherwise is one line in a file `board.json` on the node, or in `boards/<name>/board.json` before you build.
"""


def wiring(boards: list[Description]) -> str:
    """The page in Markdown."""
    return _INTRODUCTION + "".join(_board(board) for board in boards)


def _board(board: Description) -> str:
    radio, sensor = board["default"]["radio"], board["default"]["sensor"]
    lines = [
        f"\n## {board['title']}\n",
        f"`boards/{board['name']}`. Tested: {board['tested']}. Default: radio `{radio}`, sensor `{sensor}`.\n",
    ]
    for name, entry in board["radios"].items():
        lines.append(f"### Radio: {entry['title']} (`{name}`)\n")
        if entry.get("on_board"):
            lines.append("Nothing to wire.\n")
            continue
        lines.append(_table(board, entry))
    for name, entry in board["sensors"].items():
        lines.append(f"### Sensor: {entry['title']} (`{name}`)\n")
        lines.append(_table(board, entry) + _remarks(entry))
    lines.append("### Further\n")
    lines.append(f"- Safe mode: connect {_place(board, board['safe_mode']['pin'])} to GND while the board starts.")
    battery = board.get("battery")
    if battery is None:
        lines.append("- Battery: this board cannot measure it.")
    else:
        lines.append(
            f"- Battery: measured on GP{battery['pin']}" + (f" ({battery['note']})." if battery.get("note") else ".")
        )
    return "\n".join(lines) + "\n"


def _table(board: Description, entry: dict[str, Any]) -> str:
    labels = LABELS.get(entry["chip"]) or LABELS["sx127x" if entry["chip"].startswith("sx127") else "sx126x"]
    pins = {**entry.get("spi", {}), **entry.get("i2c", {}), **entry}
    rows = [f"| {labels[key]} | {_place(board, pins[key])} |" for key in _ORDER if isinstance(pins.get(key), int)]
    return "\n".join([f"| module | {board['title']} |", "| --- | --- |", *rows]) + "\n"


def _remarks(entry: dict[str, Any]) -> str:
    if "i2c" in entry and entry["chip"] == "adxl345":
        sdo = "GND" if entry["address"] == 0x53 else "3V3"
        return f"\nCS to 3V3 (that chooses I2C), SDO to {sdo} (address {entry['address']:#x}).\n"
    if "i2c" in entry:
        sdo = "GND" if entry["address"] == 0x18 else "3V3"
        return f"\nCS to 3V3 (that chooses I2C), SDO to {sdo} (address {entry['address']:#x}).\n"
    if "int1" in entry:
        return "\nINT1 lets the node compute while it samples.\n"
    return ""


def _place(board: Description, pin: int) -> str:
    if board["header"] == "pico" and pin in PICO_HEADER:
        return f"GP{pin} (pin {PICO_HEADER[pin]})"
    return f"GP{pin}"
