"""`fieldelm provision`: make a node, that is its identity and its key, for the gateway and for the node itself.

    provision(database, out, "fan-2", location="roof") -> Provisioned

The gateway's database gets the node, and `OUT/<name>/config.json` (mode 0600) is what the node is given. The key is in
these two places only and is never printed.
"""

import argparse
import json
import os
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldelm import config as node_config
from fieldelm_gateway import config as gateway_config
from fieldelm_gateway.config import GatewayConfig
from fieldelm_gateway.nodes import Node, find
from fieldelm_gateway.store import Store

from .errors import UsageError

_RADIO_KEYS = ("freq_khz", "sf", "bw", "coding_rate", "preamble_len", "output_power")
_MOST_NAME = 64


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
) -> Provisioned:
    """Make a node, or find it again if it was made before.

    `gateway`: its channel and number are the node's. `sections` is merged into the node's configuration (`sense`,
    `learn`, `link`, `radio`, `options`, …). Raises UsageError or the gateway's errors; then nothing has changed.
    """
    if not 1 <= len(name) <= _MOST_NAME or not name.isprintable() or name.strip() != name:
        raise UsageError(f"the name {name!r} cannot be used: 1 to {_MOST_NAME} printable characters")
    folder = folder_of(out, name)
    path = folder / "config.json"
    store = Store(database, create=True)
    try:
        known = find(store.nodes(), name)
        if known and known.name == name:
            return _again(path, known, database)
        if path.exists():
            raise UsageError(f"{path} belongs to a node that {database} does not know: choose another name or --out")
        eui, key = random_eui(), secrets.token_bytes(16)
        with store.transaction():
            tag_bytes = (sections or {}).get("link", {}).get("tag_bytes", 4)
            now_ms = time.time_ns() // 1_000_000
            node_id = store.add_node(eui, None, name, location, tag_bytes, key, now_ms)
            config = _node_config(eui, node_id, name, key, board, gateway or GatewayConfig(), sections or {}, path)
            _write(path, config)
    finally:
        store.close()
    return Provisioned(eui, node_id, name, location, folder, config, new=True)


def _again(path: Path, known: Node, database: Path) -> Provisioned:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = {}
    if config.get("eui") != known.eui:
        raise UsageError(
            f"{database} has a node {known.name!r} whose file is not {path}: choose another name, or its --out"
        )
    return Provisioned(known.eui, known.node_id, known.name, known.location, path.parent, config, new=False)


def _node_config(
    eui: str,
    node_id: int,
    name: str,
    key: bytes,
    board: str,
    gateway: GatewayConfig,
    sections: Mapping[str, Any],
    path: Path,
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
        "link": {"gateways": [gateway.gateway.number]},
    }
    for section, values in sections.items():
        old = config.get(section)
        config[section] = {**old, **values} if isinstance(old, dict) else values
    try:
        node_config.check(config, str(path))
    except node_config.ConfigError as error:
        raise UsageError(str(error)) from None
    return config


def _write(path: Path, config: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `fieldelm provision`."""
    parser.add_argument("--sim", action="store_true", required=True, help="a simulated node, on the board `sim`")
    parser.add_argument("--name", default="node", help="the asset it watches; default: node")
    parser.add_argument("--count", type=int, default=1, metavar="N", help="make N: NAME-1 to NAME-N")
    parser.add_argument("--location", default="", help="where that is, for people")
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
    if args.database and not args.config:
        gateway = GatewayConfig()
    else:
        gateway = gateway_config.load(gateway_config.find(args.config))
    air = args.air or (gateway.radio[0].address if gateway.radio[0].kind == "air" else None)
    names = [args.name] if args.count == 1 else [f"{args.name}-{i}" for i in range(1, args.count + 1)]
    made = [
        provision(
            args.database or gateway.database_path(),
            args.out,
            name,
            location=args.location,
            gateway=gateway,
            sections={"options": {"air": air}} if air else {},
        )
        for name in names
    ]
    if args.json:
        keys = ("eui", "node_id", "name", "location", "new")
        cards = [{**{key: getattr(node, key) for key in keys}, "folder": str(node.folder)} for node in made]
        print(json.dumps({"nodes": cards}))
        return 0
    for node in made:
        print(node.label() + ("" if node.new else "  (was there already)"))
    print(f"configuration: {args.out}/<name>/config.json, secret: it holds the key")
    return 0
