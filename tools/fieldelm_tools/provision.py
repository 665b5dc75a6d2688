"""`fieldelm provision`: make a node, that is its identity and its key, for the gateway and for the node itself.

    provision(database, out, "fan-2", location="roof") -> Provisioned

The gateway's database gets the node, and `OUT/<name>/config.json` (mode 0600) is what the node is given; a board on a cable
gets it from there (provision_device.py). The key is nowhere else and is never printed.
"""

import argparse
import contextlib
import fcntl
import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldelm import config as node_config
from fieldelm_gateway import config as gateway_config, maintenance, numbers
from fieldelm_gateway.cipher import check_value
from fieldelm_gateway.clock import Instant
from fieldelm_gateway.config import GatewayConfig
from fieldelm_gateway.documents import Topics
from fieldelm_gateway.node_cli import whoami
from fieldelm_gateway.nodes import MOST_NAME, Node, find, usable_location, usable_name
from fieldelm_gateway.store import Store

from .errors import UsageError

_RADIO_KEYS = ("plan", "freq_khz", "sf", "bw", "coding_rate", "preamble_len", "output_power")
FILE = "config.json"
_NEW = ".new"
_WIDE = ("250", "500")
_FIXED = ("schema", "role", "board", "name", "eui", "node_id", "keys", "key_id")


@dataclass(frozen=True, slots=True)
class Provisioned:
    """A node that was made, or was there already."""

    eui: str
    node_id: int
    name: str
    location: str
    folder: Path
    """holds its config.json"""
    config: Mapping[str, Any]
    """what that file says, keys included"""
    new: bool

    def label(self) -> str:
        """What goes on the node's case."""
        place = f"  {self.location}" if self.location else ""
        return f"node {self.node_id}  EUI {self.eui}  {self.name}{place}"


def random_eui() -> str:
    """An EUI-64 of one's own: the locally administered bit is set, the group bit is not."""
    number = bytearray(secrets.token_bytes(8))
    number[0] = number[0] & 0xFC | 0x02
    return number.hex()


def folder_of(out: Path, name: str) -> Path:
    """Where a node's files are."""
    return out / (re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "node")


def provision(
    database: Path,
    out: Path,
    name: str,
    *,
    location: str = "",
    board: str = "sim",
    gateway: GatewayConfig | None = None,
    sections: Mapping[str, Any] | None = None,
    new_key: bool = False,
) -> Provisioned:
    """Make a node, or find it again if it was made before.

    `gateway`: its channel and number are the node's. `sections` is merged into the node's configuration (`sense`,
    `learn`, `link`, `radio`, `options`, …). `new_key`: a node that was made before gets another key, and whoever has the old
    one is no longer heard. Raises UsageError or the gateway's errors; then nothing has changed.
    """
    _check_name(name)
    _check_location(location)
    path = folder_of(out, name) / FILE
    gateway, sections = gateway or GatewayConfig(), sections or {}
    key = secrets.token_bytes(16)
    store = Store(database, create=True)
    with contextlib.closing(store), _alone(database):
        known = find(store.nodes(), name)
        if known and known.name == name:
            config = _again(path, known, database, mismatch=new_key)
            if new_key:
                if not config:
                    given = joined(sections, {"link": {"tag_bytes": known.tag_bytes}})  # what the gateway expects of it
                    config = _node_config(known.eui, known.node_id, name, key, board, gateway, given, str(path))
                config = {**config, "keys": {"0": key.hex()}, "key_id": 0}
                with store.transaction():
                    store.replace_key(known.row, key)
                    _note_new_key(store, gateway, known)
                    _write(path.with_suffix(_NEW), config)
                path.with_suffix(_NEW).replace(path)
            return Provisioned(known.eui, known.node_id, name, known.location, path.parent, config, new=False)
        if path.exists():
            raise UsageError(_taken(path, store.nodes(), database))
        eui = random_eui()
        with store.transaction():
            sections = joined({"link": {"tag_bytes": _tag_bytes(gateway, sections)}}, sections)
            _node_config(eui, 1, name, key, board, gateway, sections, str(path))  # before the gateway knows of it
            tag_bytes = sections["link"]["tag_bytes"]
            node_id = store.add_node(eui, None, name, location, tag_bytes, key, time.time_ns() // 1_000_000)
            config = _node_config(eui, node_id, name, key, board, gateway, sections, str(path))
            _write(path.with_suffix(_NEW), config)
        path.with_suffix(_NEW).replace(path)
    return Provisioned(eui, node_id, name, location, path.parent, config, new=True)


@contextlib.contextmanager
def _alone(database: Path) -> Iterator[None]:
    """Wait until nobody else makes nodes for this database: it and the nodes' files change together."""
    folder = os.open(database.absolute().parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _taken(path: Path, nodes: Sequence[Node], database: Path) -> str:
    """Whose file that is, and the mend."""
    config = _read(path)
    other = next((node for node in nodes if node.eui == config.get("eui")), None)
    if other:
        return f"{path} belongs to {other.name!r}, whose folder would be the same: choose another name or --out"
    return (
        f"{path} belongs to a node that {database} does not know: `fieldelm node add {path}` makes it known;"
        " for a new node choose another name or --out"
    )


def _note_new_key(store: Store, gateway: GatewayConfig, node: Node) -> None:
    # whoever looks at the node's events sees why their numbers begin again
    now = Instant(time.time_ns() // 1_000_000, 0, synced=True)
    row = maintenance.record(node, f"provision-{secrets.token_hex(8)}", "new_key", {}, whoami(), "command line", now)
    store.add_maintenance(row)
    store.add_message(Topics(gateway.base_topic()).maintenance(node.eui), row.document, now.epoch_ms)


def try_out(
    name: str, location: str, board: str, gateway: GatewayConfig, sections: Mapping[str, Any], where: str
) -> None:
    """Raise UsageError if such a node could not be made; nothing is."""
    try:
        _check_name(name)
        _check_location(location)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None
    _node_config(random_eui(), 1, name, bytes(16), board, gateway, sections, where)


def _check_name(name: str) -> None:
    if not usable_name(name):
        raise UsageError(f"the name {name!r} cannot be used: 1 to {MOST_NAME} printable characters")


def _check_location(location: str) -> None:
    if not usable_location(location):
        raise UsageError(f"the location {location!r} cannot be used: at most {MOST_NAME} printable characters")


def _again(path: Path, known: Node, database: Path, *, mismatch: bool) -> dict[str, Any]:
    """The configuration of a node that was made before; `mismatch`: its key may be another one, the file may be missing."""
    slot = known.active()
    for file in (path, path.with_suffix(_NEW)):  # the second where the first time ended in the middle
        config = _read(file)
        if config.get("eui") == known.eui and slot and key_check(config) == slot.check:
            if file != path:
                file.replace(path)
            return config
    config = _read(path)
    if config.get("eui") == known.eui:
        if mismatch:
            return config
        raise UsageError(f"{path} has not the key that the gateway has: make a new one with --new-key")
    if mismatch and not path.exists():
        return {}
    raise UsageError(
        f"{database} has a node {known.name!r} whose file is not {path}: choose another name, its --out, or --new-key"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def key_check(config: Mapping[str, Any]) -> str:
    """Check value of the key in a node's configuration; empty if there is none."""
    try:
        return check_value(bytes.fromhex(config["keys"]["0"]))
    except (KeyError, TypeError, ValueError):
        return ""


def joined(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Two configurations in one, section by section; where both have a key, the second's."""
    result = dict(first)
    for section, values in second.items():
        old = result.get(section)
        result[section] = {**old, **values} if isinstance(old, dict) and isinstance(values, dict) else values
    return result


def merged(config: Mapping[str, Any], sections: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A configuration with these sections merged into it. Raises UsageError if the node would not take it."""
    result = joined(config, sections)
    try:
        node_config.check(result, where)
    except node_config.ConfigError as error:
        raise UsageError(str(error)) from None
    return result


def _believed(number: int) -> list[int]:
    # and those that it takes after a copy of its database was restored
    return sorted({number, *[other for other in numbers.BELIEVED if other != number][:3]})


def _tag_bytes(gateway: GatewayConfig, sections: Mapping[str, Any]) -> int:
    # a wide channel carries so many guesses that the short tag could be guessed within years: `python -m fieldelm_tools.forgery`
    bw = sections.get("radio", {}).get("bw", gateway.radio[0].bw)
    return 8 if bw in _WIDE else 4


def _node_config(
    eui: str,
    node_id: int,
    name: str,
    key: bytes,
    board: str,
    gateway: GatewayConfig,
    sections: Mapping[str, Any],
    where: str,
) -> dict[str, Any]:
    config: dict[str, Any] = {
        "schema": 1,
        "role": "node",
        "board": board,
        "name": name,
        "eui": eui,
        "node_id": node_id,
        "keys": {"0": key.hex()},
        "key_id": 0,
        "radio": {key: getattr(gateway.radio[0], key) for key in _RADIO_KEYS},
        "link": {"gateways": _believed(gateway.gateway.number)},
    }
    return merged(config, sections, where)


def change(path: Path, config: Mapping[str, Any]) -> None:
    """Replace a node's file; whatever happens, the file there is a whole one."""
    _write(path.with_suffix(_NEW), config)
    path.with_suffix(_NEW).replace(path)


def _write(path: Path, config: Mapping[str, Any]) -> None:
    """Write a configuration, readable for its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `fieldelm provision`."""
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--sim", action="store_true", help="a simulated node, on the board `sim`")
    target.add_argument(
        "--port",
        metavar="P",
        help="the board there: auto (the only one plugged in), /dev/ttyACM0, a pty, socket://HOST:PORT",
    )
    target.add_argument(
        "--csv", type=Path, metavar="FILE", help="many: columns name, location, board, port, SECTION.KEY"
    )
    parser.add_argument("--name", default="node", help="the asset it watches; default: node")
    parser.add_argument("--count", type=int, default=1, metavar="N", help="make N: NAME-1 to NAME-N (with --sim)")
    parser.add_argument("--location", default="", help="where that is, for people")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="for example sense.rate_hz=800; repeatable",
    )
    parser.add_argument("--modem", action="store_true", help="make the board at --port a modem, which has no key")
    parser.add_argument("--new-key", action="store_true", help="another key, for a new or erased board of a known node")
    parser.add_argument("--replace", action="store_true", help="take a board that is another node already")
    parser.add_argument("--wait", type=float, default=300.0, metavar="S", help="for each board, with --csv (300)")
    parser.add_argument(
        "--out", type=Path, default=Path("nodes"), metavar="DIR", help="for NAME/config.json; default: nodes"
    )
    parser.add_argument("--air", metavar="HOST:PORT", help="of the simulated air; default: the gateway's radio")
    parser.add_argument("--config", metavar="FILE", help="configuration of the gateway that shall know the node")
    parser.add_argument(
        "--database", type=Path, metavar="FILE", help="its database, if not the one in the configuration"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")


def run(args: argparse.Namespace) -> int:
    """Make the nodes and print their labels."""
    if not 1 <= args.count <= 65535:
        raise UsageError("--count must be from 1 to 65535")
    if args.count > 1 and not args.sim:
        raise UsageError("--count is for --sim: many boards are a table, --csv FILE")
    for option, given in (("--new-key", args.new_key), ("--replace", args.replace), ("--modem", args.modem)):
        if given and not args.port:
            raise UsageError(f"{option} needs --port, the board that is meant")
    sections = settings(args.set, "--set")
    if args.modem:
        from . import provision_device

        return provision_device.run_modem(args, sections)
    gateway = GatewayConfig()
    if args.config or not args.database:
        gateway = gateway_config.load(gateway_config.find(args.config))
    if args.sim:
        air = args.air or (gateway.radio[0].address if gateway.radio[0].kind == "air" else None)
        if air:
            sections["options"] = {"air": air, **sections.get("options", {})}
        names = [args.name] if args.count == 1 else [f"{args.name}-{i}" for i in range(1, args.count + 1)]
        database = args.database or gateway.database_path()
        made = [
            provision(database, args.out, name, location=args.location, gateway=gateway, sections=sections)
            for name in names
        ]
        return show(made, args.out, as_json=args.json)
    from . import provision_device

    return provision_device.run(args, gateway, sections)


def settings(given: Sequence[str], where: str) -> dict[str, Any]:
    """`["sense.rate_hz=800", "console=rows"]` as `{"sense": {"rate_hz": 800}, "console": "rows"}`. Raises UsageError.

    A value that is no JSON is text.
    """
    found: dict[str, Any] = {}
    for text in given:
        path, equals, value = text.partition("=")
        section, dot, key = path.strip().partition(".")
        if not (equals and section) or bool(dot) != bool(key) or section in _FIXED:
            raise UsageError(f"{where} {text!r}: write SECTION.KEY=VALUE, for example sense.rate_hz=800")
        parsed: Any
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = value.strip()
        found = joined(found, {section: {key: parsed} if key else parsed})
    return found


def show(made: Sequence[Provisioned], out: Path, *, as_json: bool) -> int:
    """Print what was made; return the exit code."""
    if as_json:
        keys = ("eui", "node_id", "name", "location", "new")
        cards = [{**{key: getattr(node, key) for key in keys}, "folder": str(node.folder)} for node in made]
        print(json.dumps({"nodes": cards}))
        return 0
    for node in made:
        print(node.label() + ("" if node.new else "  (was there already)"))
    print(f"configuration: {out}/<name>/{FILE}, secret: it holds the key")
    return 0
