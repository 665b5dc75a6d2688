"""`fieldelm provision` for boards on a cable: one, or many from a table.

What was done to which board is noted in `OUT/<name>/board.json`. A key whose frame counters are lost must not be used again
(two frames would be sealed with one nonce, which gives the key away), so an identity that was on a board is not given to
another board, nor to the same one after its flash was erased: that takes `--new-key`.
"""

import argparse
import csv
import dataclasses
import json
import sys
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fieldelm_gateway.config import GatewayConfig

from . import boards, provision
from .device import AUTO, Device, DeviceError, plugged, require_fieldelm
from .errors import FieldelmError, UsageError
from .provision import FILE, Provisioned

NOTE = "board.json"
SIM = "sim"
_COLUMNS = ("name", "location", "board", "port")
_REPORT = ("name", "location", "eui", "node_id", "board", "chip", "result")
# what the node has stored that belongs to the identity it had; the counters go last, and only with their key
_STATE = ("model.a", "model.b", "settings.a", "settings.b", "commands.a", "commands.b", "events", "events.new")
_COUNTERS = ("counters.a", "counters.b", "keys.a", "keys.b", "starts.a", "starts.b")
_MOST_ROWS = 65535


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One board to be provisioned."""

    name: str
    location: str
    board: str
    """as the table says; empty: whatever the board says it is"""
    port: str
    sections: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Done:
    """A node and the board that carries it."""

    node: Provisioned
    board: str
    chip: str
    port: str
    changed: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """What all rows have in common."""

    database: Path
    out: Path
    gateway: GatewayConfig
    new_key: bool = False
    replace: bool = False


def say(text: str) -> None:
    """Tell the person at the terminal what is being done."""
    print(f"provision: {text}", file=sys.stderr, flush=True)


def run(args: argparse.Namespace, gateway: GatewayConfig, sections: Mapping[str, Any]) -> int:
    """Provision the board at --port, or the boards of --csv."""
    order = Order(args.database or gateway.database_path(), args.out, gateway, args.new_key, args.replace)
    if args.port:
        with Device(args.port) as device:
            done = one(device, Row(args.name, args.location, "", args.port, sections), order)
            device.reset()
        return show([done], args.out, as_json=args.json)
    rows = table(args.csv, sections, gateway)
    if not 1 <= args.wait <= 86400:
        raise UsageError(f"--wait {args.wait:g}: give seconds from 1 to 86400")
    finished: list[Done] = []
    seen: set[str] = set()
    try:
        for row in rows:
            say(f"{len(finished) + 1} of {len(rows)}: {row.name}")
            if row.board == SIM:
                finished.append(simulated(row, order))
            else:
                finished.append(already(row, order) or next_board(row, order, seen, args.wait))
            if not args.json:
                print(finished[-1].node.label(), flush=True)
    finally:
        path = report(args.out / f"{args.csv.stem}-report.csv", rows, finished)
        say(
            f"{len(finished)} of {len(rows)} done, report in {path}"
            + ("" if len(finished) == len(rows) else "; repeat to go on")
        )
    return show(finished, args.out, as_json=True) if args.json else 0


def run_modem(args: argparse.Namespace, sections: Mapping[str, Any]) -> int:
    """Make the board at --port a modem."""
    if args.location or args.new_key or set(sections) - {"options"}:
        raise UsageError(
            "a modem has no key, place or channel, which the gateway tells it: leave all but options.… out"
        )
    with Device(args.port) as device:
        board = require_fieldelm(device)
        name = "modem" if args.name == "node" else args.name
        config = provision.merged({"schema": 1, "role": "modem", "board": board, "name": name}, sections, "--set")
        present = on_board(device)
        if present.get("role", "node") != "modem" and present and not args.replace:
            raise UsageError(f"{device.port}: {whose(present)}: take another board, or give it up with --replace")
        changed = write(device, config, present)
        device.reset()
    card = {"port": device.port, "board": board, "chip": device.about.id, "name": config["name"], "changed": changed}
    print(json.dumps({"modem": card}) if args.json else f"modem {config['name']}  {board}  chip {device.about.id}")
    return 0


# one board


def one(device: Device, row: Row, order: Order) -> Done:
    """Register a node and write its configuration to the board. Raises FieldelmError; then it can be repeated."""
    board = require_fieldelm(device)
    if row.board not in ("", board):
        raise UsageError(
            f"{device.port}: the board is a {board}, {row.name} is to be a {row.board}: take another board"
        )
    boards.load(board)
    present = on_board(device)
    if present and present.get("name") != row.name and not order.replace:
        raise UsageError(f"{device.port}: {whose(present)}: take another board, or give it up with --replace")
    made = provision.provision(
        order.database,
        order.out,
        row.name,
        location=row.location,
        board=board,
        gateway=order.gateway,
        sections=row.sections,
        new_key=order.new_key,
    )
    config = provision.merged({**made.config, "board": board}, row.sections, str(made.folder / FILE))
    same = present.get("eui") == made.eui and present.get("keys") == config["keys"]
    note = read_note(made)
    if not same and note.get("key_check") == provision.key_check(config):
        raise UsageError(
            f"{row.name} was given to the board with chip {note.get('chip')} on {note.get('time')}, and this one does not carry "
            "it: a key is used on one board only, so take that board, or make another key with --new-key"
        )
    if config != made.config:
        provision.change(made.folder / FILE, config)
        made = dataclasses.replace(made, config=config)
    changed = write(device, config, present)
    if not same or not note:
        write_note(made, device, board)
    return Done(made, board, device.about.id, device.port, changed)


def on_board(device: Device) -> dict[str, Any]:
    """The configuration on a board; empty if there is none that can be read."""
    try:
        config = json.loads(device.read(FILE) or b"")
    except ValueError:
        return {}
    return config if isinstance(config, dict) else {}


def write(device: Device, config: Mapping[str, Any], present: Mapping[str, Any]) -> bool:
    """Write the configuration; what belongs to another identity or key goes. Returns whether the board had another one."""
    other = config.get("eui") != present.get("eui")
    if other:
        device.remove(_STATE)
    text = json.dumps(config, indent=1) + "\n"
    changed = bool(device.put({FILE: text.encode()}))
    if other or config.get("keys") != present.get("keys"):
        device.remove(_COUNTERS)
    return changed


def whose(present: Mapping[str, Any]) -> str:
    """What a board is, by the configuration on it."""
    if present.get("role") == "modem":
        return "this board is a modem"
    return f"this board is node {present.get('node_id')}, {present.get('name')!r}, EUI {present.get('eui')}"


def read_note(made: Provisioned) -> dict[str, Any]:
    """Which board carries this node; empty if none does yet."""
    try:
        note = json.loads((made.folder / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def write_note(made: Provisioned, device: Device, board: str) -> None:
    """Note that this board carries the node."""
    note = {
        "chip": device.about.id,
        "board": board,
        "key_check": provision.key_check(made.config),
        "time": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
    part = made.folder / f"{NOTE}.new"
    part.write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
    part.replace(made.folder / NOTE)


# many


def table(path: Path, common: Mapping[str, Any], gateway: GatewayConfig) -> list[Row]:
    """The rows of a CSV file, all checked before anything is done. Raises UsageError."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read as CSV: {error}") from None
    header = [word.strip() for word in lines[0]] if lines else []
    unknown = [word for word in header if word not in _COLUMNS and "." not in word]
    if "name" not in header or unknown or len(set(header)) < len(header):
        wrong = f"unknown column {unknown[0]!r}" if unknown else "no column name, or a column twice"
        raise UsageError(f"{path}: {wrong}: the first line names the columns: {', '.join(_COLUMNS)}, or SECTION.KEY")
    rows: list[Row] = []
    for number, line in enumerate(lines[1:], 2):
        values = {key: value.strip() for key, value in zip(header, line, strict=False)}
        if not any(values.values()):
            continue
        if len(line) != len(header):
            raise UsageError(
                f"{path}, line {number}: {len(line)} fields where the first line has {len(header)}: mend it"
            )
        rows.append(_row(values, f"{path}, line {number}", common, gateway))
        if any(row.name == rows[-1].name for row in rows[:-1]):
            raise UsageError(f"{path}, line {number}: the name {rows[-1].name!r} is there twice: names are unique")
        folder = provision.folder_of(Path(), rows[-1].name)
        if same := [row.name for row in rows[:-1] if provision.folder_of(Path(), row.name) == folder]:
            raise UsageError(
                f"{path}, line {number}: {rows[-1].name!r} and {same[0]!r} would have the same folder {folder}: rename one"
            )
    if not 1 <= len(rows) <= _MOST_ROWS:
        raise UsageError(f"{path} has {len(rows)} rows: give 1 to {_MOST_ROWS}")
    return rows


def _row(values: Mapping[str, str], where: str, common: Mapping[str, Any], gateway: GatewayConfig) -> Row:
    board = values.get("board", "")
    if board and board != SIM:
        boards.load(board)
    given = [f"{key}={value}" for key, value in values.items() if "." in key and value]
    sections = provision.joined(common, provision.settings(given, where))
    provision.try_out(values["name"], values.get("location", ""), board or "rpi_pico", gateway, sections, where)
    return Row(values["name"], values.get("location", ""), board, values.get("port") or AUTO, sections)


def simulated(row: Row, order: Order) -> Done:
    """A node on the board that is no board."""
    made = provision.provision(
        order.database, order.out, row.name, location=row.location, gateway=order.gateway, sections=row.sections
    )
    return Done(made, SIM, "", "", made.new)


def already(row: Row, order: Order) -> Done | None:
    """The row, if a run before has finished it and the table has not changed since."""
    folder = provision.folder_of(order.out, row.name)
    if row.port != AUTO or not (folder / NOTE).is_file():
        return None
    made = provision.provision(order.database, order.out, row.name, gateway=order.gateway)
    note = read_note(made)
    config = provision.merged(made.config, row.sections, str(folder / FILE))
    if note.get("key_check") != provision.key_check(made.config) or config != made.config:
        return None
    return Done(made, str(note.get("board")), str(note.get("chip")), "", changed=False)


def next_board(row: Row, order: Order, seen: set[str], wait_s: float) -> Done:
    """Provision the board at the row's port, or the next new one that is plugged in. Raises FieldelmError."""
    if row.port != AUTO:
        with Device(row.port) as device:
            done = one(device, row, order)
            device.reset()
            return done
    say(f"plug in the board for {row.name}")
    deadline = time.monotonic() + wait_s
    problem = ""
    while time.monotonic() < deadline:
        for port, serial_number in plugged().items():
            if serial_number in seen:
                continue
            try:
                device = Device(port)
            except DeviceError as error:  # it is only just being plugged in
                problem = f" ({error})"
                continue
            with device:
                seen.add(serial_number)
                present = on_board(device)
                if present and present.get("name") != row.name:
                    say(f"{port}: {whose(present)}, and stays that")
                    device.reset()
                    continue
                done = one(device, row, order)
                device.reset()
                return done
        time.sleep(0.5)
    raise FieldelmError(
        f"no further board was plugged in for {wait_s:g} s{problem}: repeat the command to go on with {row.name}"
    )


# what was done


def report(path: Path, rows: Iterable[Row], finished: Iterable[Done]) -> Path:
    """Write the table of what was done and what was not; no key is in it."""
    done = {item.node.name: item for item in finished}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".new")
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_REPORT)
        for row in rows:
            item = done.get(row.name)
            if item is None:
                writer.writerow((row.name, row.location, "", "", row.board, "", "not done"))
            else:
                node = item.node
                result = "written" if item.changed else "was there already"
                writer.writerow((node.name, node.location, node.eui, node.node_id, item.board, item.chip, result))
    part.replace(path)
    return path


def show(finished: Iterable[Done], out: Path, *, as_json: bool) -> int:
    """Print labels; return the exit code."""
    if as_json:
        cards = [
            {
                **{key: getattr(done.node, key) for key in ("eui", "node_id", "name", "location", "new")},
                "folder": str(done.node.folder),
                **{key: getattr(done, key) for key in ("board", "chip", "port", "changed")},
            }
            for done in finished
        ]
        print(json.dumps({"nodes": cards}))
        return 0
    for done in finished:
        print(done.node.label() + ("" if done.changed else "  (was there already)"))
    print(f"configuration: {out}/<name>/{FILE}, secret: it holds the key")
    return 0
