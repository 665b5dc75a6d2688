"""The boards' descriptions, `boards/<name>/board.json`: checked, made into the module that a board runs, printed for wiring.

    python -m fieldelm_tools.boards check
    python -m fieldelm_tools.boards module NAME > board.py
    python -m fieldelm_tools.boards wiring > docs/how-to/wiring.md

A pin that a bus cannot use, or that two things want at once, is an error that names both; the node does not check again.
"""

import argparse
import json
import pprint
import sys
from pathlib import Path
from typing import Any

from .boards_wiring import wiring
from .cli import report
from .environment import repository_root
from .errors import UsageError

Description = dict[str, Any]

FILE = "board.json"
SCHEMA = 1
PINS = range(30)
ADC_PINS = range(26, 30)
FLASH_MB = (2, 4, 8, 16)

_TOP = {
    "schema",
    "name",
    "title",
    "chip",
    "flash_mb",
    "micropython_board",
    "tested",
    "header",
    "led",
    "safe_mode",
    "radios",
    "sensors",
    "default",
}
_TOP_OPTIONAL = {"battery"}
_RADIO = {"chip", "title", "spi", "cs"}
_RADIO_OPTIONAL = {
    "sx127x": {"on_board", "reset", "dio0", "tx_ant"},
    "sx126x": {"on_board", "reset", "busy", "dio1", "rxen", "txen", "dio2_rf_switch", "tcxo_mv", "dcdc"},
}
RADIO_CHIPS = {
    "sx1276": "sx127x",
    "sx1277": "sx127x",
    "sx1278": "sx127x",
    "sx1279": "sx127x",
    "sx1261": "sx126x",
    "sx1262": "sx126x",
}
_ADDRESSES = {"adxl345": (0x53, 0x1D), "lis3dh": (0x18, 0x19)}
_TCXO_MV = (1600, 1700, 1800, 2200, 2400, 2700, 3000, 3300)
_PIN_KEYS = ("cs", "reset", "dio0", "dio1", "busy", "rxen", "txen", "int1")


def boards_directory() -> Path:
    """boards/ of the checkout."""
    return repository_root() / "boards"


def names() -> list[str]:
    """All boards that have a description."""
    return sorted(path.parent.name for path in boards_directory().glob(f"*/{FILE}"))


def load(name: str) -> Description:
    """Read and check the description of a board."""
    path = boards_directory() / name / FILE
    if not path.is_file():
        raise UsageError(f"there is no boards/{name}/{FILE}: boards are {', '.join(names())}")
    return load_file(path, name)


def load_file(path: Path, name: str) -> Description:
    """Read and check a description that is to be the board `name`."""
    where = f"{path.parent.name}/{path.name}"
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{where}: is not valid JSON ({error})") from None
    for problem in problems(description, name):
        raise UsageError(f"{where}: {problem}")
    assert isinstance(description, dict)
    return description


def problems(description: Any, name: str) -> list[str]:
    """Everything that is wrong, a line each."""
    if not isinstance(description, dict):
        return ["must be an object"]
    found = _keys("", description, _TOP, _TOP_OPTIONAL)
    if found:
        return found
    if description["schema"] != SCHEMA:
        found.append(f"schema must be {SCHEMA}")
    if description["name"] != name:
        found.append(f'name is "{description["name"]}", the folder is "{name}": make them the same')
    if description["chip"] not in ("rp2040", "rp2350"):
        found.append("chip must be rp2040 or rp2350")
    if description["flash_mb"] not in FLASH_MB:
        found.append(f"flash_mb must be one of {', '.join(map(str, FLASH_MB))}")
    if description["header"] not in ("pico", "gpio"):
        found.append("header must be pico or gpio")
    for key in ("title", "micropython_board", "tested"):
        if not isinstance(description[key], str) or not description[key]:
            found.append(f"{key} must be a text")
    found += _simple(description)
    for what, check in (("radio", _radio), ("sensor", _sensor)):
        table = description[f"{what}s"]
        if not isinstance(table, dict) or not table:
            found.append(f"{what}s must be an object with at least one entry")
            continue
        for key, entry in table.items():
            found += check(f"{what}s.{key}", entry)
        default = description["default"].get(what) if isinstance(description["default"], dict) else None
        if default not in table and not (what == "radio" and default == "usb"):
            found.append(f"default.{what} must be one of {', '.join(table)}, not {default}")
    return found or _conflicts(description)


def _keys(where: str, given: dict[str, Any], required: set[str], optional: set[str]) -> list[str]:
    prefix = f"{where}: " if where else ""
    found = [f"{prefix}key {key} is missing" for key in sorted(required - given.keys())]
    known = required | optional
    found += [
        f"{prefix}unknown key {key}; known are {', '.join(sorted(known))}" for key in sorted(given.keys() - known)
    ]
    return found


def _pin(where: str, value: Any, allowed: range = PINS) -> list[str]:
    if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
        return [f"{where} must be a pin from {allowed[0]} to {allowed[-1]}, not {value!r}"]
    return []


def _simple(description: Description) -> list[str]:
    found = []
    for key, optional in (("led", {"active"}), ("safe_mode", set[str]())):
        entry = description[key]
        if not isinstance(entry, dict):
            found.append(f"{key} must be an object")
            continue
        found += _keys(key, entry, {"pin"}, optional) or _pin(f"{key}.pin", entry["pin"])
        if entry.get("active", 1) not in (0, 1):
            found.append(f"{key}.active must be 0 or 1")
    battery = description.get("battery")
    if battery is not None:
        found += _keys("battery", battery, {"pin", "divides_by"}, {"note"}) or _pin(
            "battery.pin", battery["pin"], ADC_PINS
        )
        ratio = battery.get("divides_by")
        if not (isinstance(ratio, list) and len(ratio) == 2 and all(isinstance(n, int) and n > 0 for n in ratio)):
            found.append("battery.divides_by must be two whole numbers: [3, 1] divides by 3")
    return found


def _spi(where: str, spi: Any) -> list[str]:
    # GPIO functions, RP2040 datasheet 1.4.3, RP2350 datasheet 1.2.3: bit 3 of the pin is the SPI, its low bits RX, CS, SCK, TX
    if not isinstance(spi, dict):
        return [f"{where} must be an object"]
    found = _keys(where, spi, {"id", "sck", "mosi", "miso"}, set())
    if found:
        return found
    if spi["id"] not in (0, 1):
        return [f"{where}.id must be 0 or 1"]
    for key, low in (("miso", 0), ("sck", 2), ("mosi", 3)):
        wrong = _pin(f"{where}.{key}", spi[key])
        if not wrong and (spi[key] & 3 != low or spi[key] >> 3 & 1 != spi["id"]):
            good = [str(pin) for pin in PINS if pin & 3 == low and pin >> 3 & 1 == spi["id"]]
            wrong = [
                f"{where}.{key}: pin {spi[key]} cannot be {key.upper()} of SPI{spi['id']}: choose one of {', '.join(good)}"
            ]
        found += wrong
    return found


def _i2c(where: str, i2c: Any) -> list[str]:
    if not isinstance(i2c, dict):
        return [f"{where} must be an object"]
    found = _keys(where, i2c, {"id", "sda", "scl"}, set())
    if found:
        return found
    if i2c["id"] not in (0, 1):
        return [f"{where}.id must be 0 or 1"]
    for key, low in (("sda", 0), ("scl", 1)):
        wrong = _pin(f"{where}.{key}", i2c[key])
        if not wrong and i2c[key] & 3 != 2 * i2c["id"] + low:
            good = [str(pin) for pin in PINS if pin & 3 == 2 * i2c["id"] + low]
            wrong = [
                f"{where}.{key}: pin {i2c[key]} cannot be {key.upper()} of I2C{i2c['id']}: choose one of {', '.join(good)}"
            ]
        found += wrong
    return found


def _radio(where: str, entry: Any) -> list[str]:
    if not isinstance(entry, dict):
        return [f"{where} must be an object"]
    family = RADIO_CHIPS.get(entry.get("chip", ""))
    if family is None:
        return [f"{where}.chip must be one of {', '.join(RADIO_CHIPS)}"]
    required = _RADIO | ({"busy"} if family == "sx126x" else set())
    found = _keys(where, entry, required, _RADIO_OPTIONAL[family])
    if found:
        return found
    found = _spi(f"{where}.spi", entry["spi"]) + _pins(where, entry)
    if entry.get("tcxo_mv", 1800) not in _TCXO_MV:
        found.append(f"{where}.tcxo_mv must be one of {', '.join(map(str, _TCXO_MV))}")
    if entry.get("tx_ant", "RFO") not in ("PA_BOOST", "RFO"):
        found.append(f"{where}.tx_ant must be PA_BOOST or RFO")
    return found


def _sensor(where: str, entry: Any) -> list[str]:
    if not isinstance(entry, dict):
        return [f"{where} must be an object"]
    chip = entry.get("chip")
    if chip == "analog":
        found = _keys(where, entry, {"chip", "title", "pin"}, {"g_per_volt"})
        return found or _pin(f"{where}.pin", entry["pin"], ADC_PINS)
    if chip not in _ADDRESSES:
        return [f"{where}.chip must be one of analog, {', '.join(_ADDRESSES)}"]
    if "i2c" in entry:
        found = _keys(where, entry, {"chip", "title", "i2c", "address"}, {"int1"})
        if not found and entry["address"] not in _ADDRESSES[chip]:
            found = [f"{where}.address must be one of {', '.join(map(str, _ADDRESSES[chip]))}"]
        return found or _i2c(f"{where}.i2c", entry["i2c"]) + _pins(where, entry)
    found = _keys(where, entry, {"chip", "title", "spi", "cs"}, {"int1"})
    return found or _spi(f"{where}.spi", entry["spi"]) + _pins(where, entry)


def _pins(where: str, entry: dict[str, Any]) -> list[str]:
    return [problem for key in _PIN_KEYS if key in entry for problem in _pin(f"{where}.{key}", entry[key])]


def used_pins(where: str, entry: dict[str, Any]) -> dict[str, int]:
    """Every pin of a radio or sensor by the path of its key, in the order in which a person wires them."""
    pins = {}
    for bus in ("spi", "i2c"):
        for key, value in entry.get(bus, {}).items():
            if key != "id":
                pins[f"{where}.{bus}.{key}"] = value
    for key in (*_PIN_KEYS, "pin"):
        if key in entry:
            pins[f"{where}.{key}"] = entry[key]
    return pins


def _conflicts(description: Description) -> list[str]:
    # a radio and a sensor are in use at the same time, two radios or two sensors never
    always = {f"{key}.pin": description[key]["pin"] for key in ("led", "safe_mode", "battery") if key in description}
    found: dict[str, None] = {}
    for radio, radio_entry in description["radios"].items():
        for sensor, sensor_entry in description["sensors"].items():
            taken: dict[int, str] = {}
            together = {
                **always,
                **used_pins(f"radios.{radio}", radio_entry),
                **used_pins(f"sensors.{sensor}", sensor_entry),
            }
            for path, pin in together.items():
                if pin in taken:
                    found[f"pin {pin} is both {taken[pin]} and {path}"] = None
                taken[pin] = path
            if "spi" in sensor_entry and sensor_entry["spi"]["id"] == radio_entry["spi"]["id"]:
                bus = f"SPI{radio_entry['spi']['id']}"
                found[f"radios.{radio} and sensors.{sensor} share {bus}: the sensor needs one of its own"] = None
    return list(found)


def module(description: Description) -> str:
    """Text of the module `board` that main.py imports on this board."""
    return (
        f'"""{description["title"]}. Generated from boards/{description["name"]}/{FILE}: change that, not this."""\n\n'
        "\n"
        "def description():\n"
        '    """The board as a dict; made anew at each call, so that it takes no memory afterwards."""\n'
        f"    return {_literal(description)}\n\n\n"
        "def open(config):\n"
        '    """The board, see fieldelm.pico_board."""\n'
        "    from fieldelm import pico_board\n\n"  # here: a board whose package is damaged still says which one it is
        "    return pico_board.open(config, description())\n"
    )


def _literal(description: Description) -> str:
    # titles and remarks are for people who read documents
    unused = {"schema", "title", "flash_mb", "micropython_board", "tested", "header", "note", "on_board"}

    def kept(value: Any) -> Any:
        return (
            {key: kept(inner) for key, inner in value.items() if key not in unused}
            if isinstance(value, dict)
            else value
        )

    return pprint.pformat(kept(description), width=110, sort_dicts=False).replace("\n", "\n    ")


def main() -> int:
    """Run one of the commands in this module's description."""
    parser = argparse.ArgumentParser(prog="python -m fieldelm_tools.boards", description="Descriptions of boards.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("check", help="check all descriptions")
    one = commands.add_parser("module", help="print the module `board` of a board")
    one.add_argument("name")
    commands.add_parser("wiring", help="print the page with the wiring tables")
    args = parser.parse_args()
    try:
        if args.command == "module":
            sys.stdout.write(module(load(args.name)))
        elif args.command == "wiring":
            sys.stdout.write(wiring([load(name) for name in names()]))
        else:
            for name in names():
                load(name)
                print(f"{name}: good")
    except UsageError as error:
        return report(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
