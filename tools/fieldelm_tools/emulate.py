"""`fieldelm emulate`: Picos with radio and sensor on this machine, running the firmware that people flash.

Every Pico is an address that mpremote, `fieldelm flash`, `provision` and `record` connect to as to a serial port. Its flash is
kept in DIR/<name>.flash, the gateway's database and configuration and the nodes' files beside it, so that a second run goes on
where the first has stopped.
"""

import argparse
import json
import queue
import shutil
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fieldelm_gateway.config import GatewayConfig

from . import boards, flash_volume, provision, provision_device
from .demo import processes, recorder
from .demo.recorder import BrokerAddress, Message, Recorder
from .device import Device
from .emulator import Emulator, install
from .environment import build_directory
from .errors import FieldelmError, UsageError
from .provision_device import Order, Row

MODEM = "modem"
MARK = ".fieldelm-emulate"
MOST_NODES = 8
FLASH_MB = 2
BATTERY_VOLTS = 3.9
# what an accelerometer on a small fan feels, g: turning, blades and their harmonic, the bearing, noise
HEALTHY = [(0, 24.6, 0.06), (1, 24.6, 0.05), (0, 172.0, 0.04), (2, 172.0, 0.06), (2, 344.0, 0.02), (1, 480.0, 0.01)]
# a chipped blade: unbalance, and the blades no longer alike
DAMAGED = [(0, 24.6, 0.22), (1, 24.6, 0.2), (0, 49.2, 0.09), (2, 73.8, 0.08), (2, 147.4, 0.06), (2, 196.6, 0.06)]
_NOISE_G = 0.02
_SENSE = {"period_s": 5}
_LINK = {"heartbeat_s": 300}
_LOOK_S = 0.2
_COMMANDS = (
    'commands: "damage NAME", "repair NAME", "status", or a line of JSON as in docs/reference/emulator.md; Ctrl-C ends'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `fieldelm emulate`."""
    parser.add_argument("--board", default="rpi_pico", metavar="NAME", help="of boards/, one with an RP2040 (rpi_pico)")
    parser.add_argument("--nodes", type=int, default=1, metavar="N", help=f"0 to {MOST_NODES} (1)")
    parser.add_argument("--modem", action="store_true", help="and one that is a gateway's modem")
    parser.add_argument("--gateway", action="store_true", help="and a gateway with a broker, whose messages are shown")
    parser.add_argument("--radio", metavar="NAME", help="the nodes' radio; default: the board's")
    parser.add_argument("--modem-radio", metavar="NAME", help="default: sx1262 if the board has one")
    parser.add_argument("--sensor", metavar="NAME", help="the nodes' sensor; default: the board's")
    parser.add_argument(
        "--air", metavar="HOST:PORT", help="an air server on which others are, too; default: an air of their own"
    )
    parser.add_argument(
        "--signal", metavar="JSON", help="what the sensors feel, as in docs/reference/emulator.md; default: a fan"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="in the nodes' configuration"
    )
    parser.add_argument("--firmware", type=Path, metavar="UF2", help="another one, MicroPython alone for example")
    parser.add_argument(
        "--pace", type=float, metavar="X", help="emulated seconds a second at most; default: as fast as it goes"
    )
    parser.add_argument(
        "--fresh", action="store_true", help="begin with empty flash, and forget the nodes of runs before"
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="end by itself after so many seconds")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: build/emulate")


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(text, flush=True)


def run(args: argparse.Namespace) -> int:
    """Run until Ctrl-C."""
    args.modem = args.modem or args.gateway
    if not 0 <= args.nodes <= MOST_NODES or not (args.nodes or args.modem):
        raise UsageError(f"--nodes {args.nodes}: give 1 to {MOST_NODES}, or 0 with --modem")
    if args.pace is not None and not 0.01 <= args.pace <= 1000:
        raise UsageError(f"--pace {args.pace:g}: give a number from 0.01 to 1000")
    board = boards.load(args.board)
    sections = provision.settings(args.set, "--set")
    out: Path = (args.out or build_directory() / "emulate").resolve()
    prepare(out, fresh=False)  # a folder that is somebody else's is refused before minutes are spent on the firmware
    install.node()
    picos = describe(args, board, _firmware(args.firmware, args.board, board), out)
    if args.fresh:
        prepare(out, fresh=True)
    description = {"picos": picos, "pace": args.pace, "host_pace": {"ratio": 1, "window_s": 1.5}, "powered": False}
    if args.air:
        description["air"] = args.air
    with processes.children(out) as children, Emulator(description) as emulator:
        system = System(emulator, out, sections, args)
        try:
            system.start(children)
            system.watch(children, args.seconds)
        except KeyboardInterrupt:
            say("stopped; the same command goes on from here, --fresh begins anew")
        finally:
            system.close()
    return 0


# what is built


def describe(args: argparse.Namespace, board: boards.Description, firmware: Path, out: Path) -> list[dict[str, Any]]:
    """The emulator's description of all Picos. Raises UsageError."""
    modem_radio = args.modem_radio or ("sx1262" if "sx1262" in board["radios"] else None)
    signal = _signal(args.signal)
    names = [MODEM] * args.modem + [f"node-{number}" for number in range(1, args.nodes + 1)]
    found = []
    for name in names:
        pico: dict[str, Any] = {"name": name, "firmware": str(firmware), "flash": str(out / f"{name}.flash")}
        chips = [radio_chip(board, modem_radio if name == MODEM else args.radio)]
        if name != MODEM:
            chips.append(sensor_chip(board, args.sensor, signal))
            if battery := board.get("battery"):
                above, below = battery["divides_by"]
                pico["battery"] = {"pin": battery["pin"], "volts": BATTERY_VOLTS, "ratio": above / below}
        found.append({**pico, "chips": chips})
    return found


def _chosen(board: boards.Description, what: str, name: str | None) -> dict[str, Any]:
    table: dict[str, dict[str, Any]] = board[f"{what}s"]
    entry = table.get(name or board["default"][what])
    if entry is None:
        raise UsageError(f"--{what} {name}: {board['name']} has {', '.join(table)}")
    return entry


def radio_chip(board: boards.Description, name: str | None) -> dict[str, Any]:
    """The model of a board's radio, wired as `board.json` says."""
    entry = _chosen(board, "radio", name)
    new = boards.RADIO_CHIPS[entry["chip"]] == "sx126x"
    pins = {key: entry[key] for key in ("reset", "busy", "dio0", "dio1", "rxen") if key in entry}
    chip: dict[str, Any] = {"name": "radio", "type": "sx1262" if new else "sx1276", "spi": _wires(entry), "pins": pins}
    if new:
        switch = "rxen" if "rxen" in entry else "dio2" if entry.get("dio2_rf_switch", True) else None
        chip["options"] = {"tcxo": "tcxo_mv" in entry, "rfSwitch": switch}
    return chip


def sensor_chip(board: boards.Description, name: str | None, signal: Mapping[str, Any]) -> dict[str, Any]:
    """The model of a board's sensor, wired as `board.json` says. Raises UsageError for one that is not modelled."""
    entry = _chosen(board, "sensor", name)
    if entry["chip"] == "analog":
        raise UsageError("--sensor: the analogue input is not emulated: choose an accelerometer")
    pins = {key: entry[key] for key in ("int1",) if key in entry}
    chip = {"name": "sensor", "type": entry["chip"], "pins": pins, "signal": dict(signal)}
    if "i2c" in entry:
        wires = {key: entry["i2c"][key] for key in ("sda", "scl")}
        return {**chip, "i2c": wires, "options": {"address": entry["address"]}}
    return {**chip, "spi": _wires(entry)}


def _wires(entry: Mapping[str, Any]) -> dict[str, int]:
    return {**{key: entry["spi"][key] for key in ("sck", "mosi", "miso")}, "cs": entry["cs"]}


def fan(parts: Sequence[tuple[int, float, float]]) -> dict[str, Any]:
    """A signal of gravity, tones (axis, Hz, g) and noise."""
    return {"sines": [{"axis": axis, "hz": hz, "g": g} for axis, hz, g in parts], "noise": _NOISE_G}


def _signal(given: str | None) -> dict[str, Any]:
    if given is None:
        return fan(HEALTHY)
    try:
        signal = json.loads(given)
    except ValueError as error:
        raise UsageError(f"--signal is not valid JSON ({error}): write for example '{{\"noise\": 0.01}}'") from None
    if not isinstance(signal, dict):
        raise UsageError("--signal must be an object, see docs/reference/emulator.md")
    return signal


def _firmware(given: Path | None, name: str, board: boards.Description) -> Path:
    from . import firmware

    if board["chip"] != "rp2040":
        raise UsageError(
            f"--board {name}: an {board['chip'].upper()} cannot be emulated: choose a board with an RP2040"
        )
    if board["flash_mb"] > FLASH_MB:
        raise UsageError(
            f"--board {name}: its flash is larger than the {FLASH_MB} MB that are emulated: choose rpi_pico"
        )
    if given is not None:
        if flash_volume.chip_of(given) != "rp2040":
            raise UsageError(f"{given} is not for the RP2040, which is what is emulated")
        return given.resolve()
    return firmware.build(name).uf2


def prepare(out: Path, *, fresh: bool) -> None:
    """Make the folder ready; `fresh`: without what runs before have left. Raises UsageError if it holds anybody else's files."""
    kept = [*out.glob("*.flash"), *out.glob("gateway.db*"), out / "nodes"]
    theirs = [path for path in (*kept, out / "gateway.toml", out / "messages.jsonl") if path.exists()]
    if theirs and not (out / MARK).is_file() and out != (build_directory() / "emulate").resolve():
        raise UsageError(f"{theirs[0]} was not made by `fieldelm emulate` and is left alone: choose another --out")
    try:
        for path in kept if fresh else ():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        out.mkdir(parents=True, exist_ok=True)
        (out / MARK).touch()
    except OSError as error:
        raise UsageError(f"--out {out} cannot be written ({error.strerror}): choose another folder") from None


# what runs


class System:
    """Emulated Picos, and what belongs to them."""

    def __init__(self, emulator: Emulator, out: Path, sections: Mapping[str, Any], args: argparse.Namespace) -> None:
        self._emulator = emulator
        self._out = out
        self._sections = sections
        self._args = args
        self._database = out / "gateway.db"
        self._drives: dict[str, Path] = {}
        self._heard = 0
        self._typed: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._recorder: Recorder | None = None

    def start(self, children: processes.Children) -> None:
        """Power the modem, then the gateway, then the nodes; give an identity to whom has none. Raises FieldelmError."""
        names = list(self._emulator.ports)
        if MODEM in names:
            self._power(MODEM)
            self._provision(MODEM)
        if self._args.gateway:
            self._start_gateway(children)
        for name in names:
            if name != MODEM:
                self._power(name)
                self._provision(name)
        say("")
        for name in names:
            say(f"{name:<8} mpremote connect {self._emulator.address(name)}")
        say(f"\nfiles: {self._out}\n{_COMMANDS}")

    def _power(self, name: str) -> None:
        self._emulator.command("power", pico=name, on=True)

    def _provision(self, name: str) -> None:
        radio = self._args.modem_radio if name == MODEM else self._args.radio
        if name == MODEM and not radio and "sx1262" in boards.load(self._args.board)["radios"]:
            radio = "sx1262"
        options = {key: value for key, value in (("radio", radio), ("sensor", self._args.sensor)) if value}
        with Device(self._emulator.address(name)) as device:
            if device.about.board is None:
                say(f"{name}: {device.about}; `fieldelm flash` puts Fieldelm on it")
                device.reset()
                return
            if name == MODEM:
                config = {"schema": 1, "role": "modem", "board": device.about.board, "name": MODEM, "options": {}}
                config["options"] = {key: value for key, value in options.items() if key == "radio"}
                provision_device.write(device, config, provision_device.on_board(device))
                say(f"{name}: {device.about}")
            else:
                defaults = {"sense": _SENSE, "link": _LINK, "options": options}
                sections = provision.joined(defaults, self._sections)
                order = Order(self._database, self._out / "nodes", GatewayConfig())
                row = Row(name, "", self._args.board, device.port, sections)
                say(f"{name}: {provision_device.one(device, row, order).node.label()}")
            device.reset()

    def _start_gateway(self, children: processes.Children) -> None:
        broker = BrokerAddress("127.0.0.1", processes.free_port())
        children.start("broker", [sys.executable, "-m", "fieldelm_tools.demo.broker", str(broker.port)])
        path = self._out / "gateway.toml"
        lines = [
            "# Written by `fieldelm emulate`; `fieldelm gateway config` explains every key.",
            "[gateway]",
            'name = "emulated"',
            "[database]",
            f"path = {json.dumps(str(self._database))}",
            "[mqtt]",
            f"url = {json.dumps(broker.url)}",
            "[[radio]]",
            f"port = {json.dumps(self._emulator.address(MODEM))}",
            'duty_cycle = "unlimited"',
        ]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._recorder = _subscribed(broker, self._out / "messages.jsonl", children)
        command = [sys.executable, "-m", "fieldelm_tools.cli", "gateway", "run", "--config", str(path)]
        children.start("gateway", command)
        say(f"gateway: --config {path}; broker: {broker.url}")

    def watch(self, children: processes.Children, seconds: float | None) -> None:
        """Show what happens and carry out what is typed, until time is up. Raises FieldelmError if a part ends."""
        threading.Thread(target=self._listen, name="typed", daemon=True).start()
        deadline = time.monotonic() + seconds if seconds else None
        while deadline is None or time.monotonic() < deadline:
            children.check()
            self._events()
            self._load_drives()
            try:
                self._type(self._typed.get(timeout=_LOOK_S))
            except queue.Empty:
                self._emulator.command("status")  # raises if the emulator has ended

    def _listen(self) -> None:
        for line in sys.stdin:
            self._typed.put(line.strip())

    def _type(self, line: str) -> None:
        word, _, name = line.partition(" ")
        try:
            if word in ("damage", "repair"):
                signal = fan(DAMAGED if word == "damage" else HEALTHY)
                self._emulator.command("signal", pico=name.strip(), chip="sensor", signal=signal)
            elif word == "status":
                status = self._emulator.command("status")
                say(f"{status['time']:.1f} emulated seconds, {len(status['reports'])} reports")
            elif line.startswith("{"):
                command = json.loads(line)
                op = command.pop("op", "")
                command.pop("id", None)
                say(json.dumps(self._emulator.command(op, **command)))
            elif line:
                say(_COMMANDS)
        except (FieldelmError, ValueError, TypeError) as error:
            self._emulator.command("status")  # raises if the emulator has ended
            say(f"{line}: {error}")

    def _events(self) -> None:
        for event in self._emulator.events[self._heard :]:
            self._heard += 1
            if event["event"] == "report":
                say(f"report: {event['text']}")
            elif event["event"] == "bootloader":
                self._drives[event["pico"]] = drive(self._out, event["pico"])
                say(f"{event['pico']}: BOOTSEL, its drive is {self._drives[event['pico']]}")

    def _load_drives(self) -> None:
        for name, folder in list(self._drives.items()):
            if uf2 := complete(folder):
                self._emulator.command("flash", pico=name, uf2=str(uf2))
                shutil.rmtree(folder)
                del self._drives[name]
                say(f"{name}: has taken {uf2.name}")

    def close(self) -> None:
        """Let go of the broker, and of the drives."""
        if self._recorder:
            self._recorder.close()
        for folder in self._drives.values():
            shutil.rmtree(folder, ignore_errors=True)


def drive(out: Path, name: str) -> Path:
    """Make the folder that stands for the drive of a Pico in BOOTSEL mode."""
    folder = out / f"{name}-{flash_volume.LABELS['rp2040']}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    text = f"UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\nBoard-ID: {flash_volume.LABELS['rp2040']}\n"
    (folder / flash_volume.INFO).write_text(text, encoding="ascii")
    return folder


def complete(folder: Path) -> Path | None:
    """A UF2 file that has come whole onto a drive."""
    for path in folder.glob("*.uf2"):
        try:
            flash_volume.chip_of(path)
            return path
        except UsageError:
            continue
    return None


def _subscribed(broker: BrokerAddress, path: Path, children: processes.Children) -> Recorder:
    deadline = time.monotonic() + 15
    while True:
        try:
            return Recorder(broker, ["fieldelm/#"], path, _show)
        except FieldelmError:
            children.check()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _show(message: Message) -> None:
    if isinstance(message.payload, dict) and message.topic.endswith("/event"):
        keys = ("type", "severity", "verdict", "score_ratio", "rssi", "snr", "counter")
        card = {key: message.payload.get(key) for key in keys}
        say(f"{recorder.utc_now()[11:19]}  {message.topic.split('/')[-2]}  {json.dumps(card)}")
