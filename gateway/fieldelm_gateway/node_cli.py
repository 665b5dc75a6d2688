"""`fieldelm node acknowledge|comment|shelve|describe|add|remove`: what people do, from the command line."""

import argparse
import getpass
import json
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fieldelm import config as node_config

from . import config as configuration, database, documents, maintenance, removed
from .clock import HostClock, Instant
from .errors import GatewayError, UsageError
from .nodes import MOST_NAME, Node, named, usable_location, usable_name
from .rows import Command
from .store import Store

_POLL_S = 0.1
_PATIENCE_S = 3.0


def add_by(parser: argparse.ArgumentParser) -> None:
    """Who does it."""
    parser.add_argument("--by", metavar="WHO", default=whoami(), help=f"who asks, for the log; default: {whoami()}")


def whoami() -> str:
    """User and machine, for the log."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):  # a user without a name
        return socket.gethostname()


def add_actions(actions: Any, add_config: Callable[[argparse.ArgumentParser], None]) -> None:
    """The parsers."""

    def action(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = actions.add_parser(name, help=text, allow_abbrev=False)
        add_config(parser)
        add_by(parser)
        parser.set_defaults(run=run, action=name)
        return parser

    for name, text in (
        ("acknowledge", "its alarm has been seen"),
        ("comment", "say something about its alarm"),
        ("shelve", "hide its alarm for a time"),
        ("describe", "its name, location, and the speed of the machine's shaft"),
    ):
        parser = action(name, _ask, text)
        parser.add_argument("node", metavar="NODE", help="name, EUI or node id")
        if name == "comment":
            parser.add_argument("comment", metavar="TEXT")
        elif name != "describe":
            parser.add_argument("--comment", metavar="TEXT")
        if name == "shelve":
            parser.add_argument("--minutes", type=int, metavar="M", help="default: 480; 0 shows it again")
        parser.add_argument(
            "--wait",
            type=float,
            metavar="S",
            help=f"wait so long for the gateway's answer, and exit with 1 if none has come; default: {_PATIENCE_S:g} s",
        )
        parser.add_argument("--json", action="store_true", help="one JSON document")
        if name == "describe":
            parser.add_argument("--name")
            parser.add_argument("--location")
            parser.add_argument(
                "--shaft-rpm", type=float, metavar="RPM", help="bands are then told as multiples of it, too"
            )
    remove = action("remove", _remove, "forget it, here, on MQTT and in Home Assistant, with all its records")
    remove.add_argument("node", metavar="NODE", help="name, EUI or node id")
    remove.add_argument("--yes", action="store_true", help="really")
    add = action("add", _add, "know a node that another gateway's `fieldelm provision` has made")
    add.add_argument("file", type=Path, metavar="CONFIG.JSON", help="the node's configuration: it holds its key")
    add.add_argument("--location", default="", help="where it is, for people")


def queue(
    store: Store,
    config: configuration.GatewayConfig,
    node: Node,
    name: str,
    arguments: Mapping[str, int],
    by: str,
    given: Mapping[str, Any] | None = None,
) -> Command:
    """Let a command wait for a node; `given`: its arguments in people's words. Raises UsageError where a gateway only listens."""
    if not config.gateway.answers:
        raise UsageError("this gateway only listens ([gateway] answers): ask the one that answers the nodes")
    # a node in the simulated air lives in another time; the gateway's own clock says when a command expires
    now_ms = max(HostClock().now().epoch_ms, node.last_seen_ms or 0)
    expires_ms = now_ms + config.commands.expire_s * 1000
    command = Command(0, f"cli-{secrets.token_hex(8)}", node.row, name, arguments, 0, now_ms, expires_ms)
    topics, now = documents.Topics(config.base_topic()), Instant(now_ms, 0, synced=True)
    with store.transaction():
        command = store.add_command(command)
        maintenance.note_command(store, topics, node, command, arguments if given is None else given, by, now)
    return command


def _open(args: argparse.Namespace, *, create: bool = False) -> tuple[configuration.GatewayConfig, Store]:
    config = configuration.load(configuration.find(args.config))
    return config, Store(config.database_path(), create=create)


def _ask(args: argparse.Namespace) -> int:
    _, store = _open(args)
    try:
        node = named(store.nodes(), args.node)
        names = maintenance.ARGUMENTS[args.action]
        given = {name: value for name in names if (value := getattr(args, name, None)) is not None}
        number = f"cli-{secrets.token_hex(8)}"
        with store.transaction():
            row = maintenance.ask(store, args.action, number, node.eui, args.by, given)
        return _report(store, args, number, row)
    finally:
        store.close()


def _report(store: Store, args: argparse.Namespace, number: str, row: int) -> int:
    until = time.monotonic() + (_PATIENCE_S if args.wait is None else args.wait)
    answer = None
    while answer is None and time.monotonic() < until:
        time.sleep(_POLL_S)
        answer = store.query("SELECT answer FROM inbox WHERE id = ?", (row,))[0]["answer"]
    state, message = ("done", "done") if answer == "ok" else ("refused", answer)
    if answer is None:
        state, message = "waiting", "waits until the gateway runs"
        if database.is_locked(store.path):
            message = "waits: the gateway runs, and has not answered yet"
    if args.json:
        print(json.dumps({"id": number, "command": args.action, "state": state, "message": message}))
    elif state == "refused":
        raise GatewayError(message)
    else:
        print(f"{args.node}: {args.action}: {message}")
    return int(state == "refused" or (state == "waiting" and args.wait is not None))


def _remove(args: argparse.Namespace) -> int:
    config, store = _open(args)
    try:
        node = named(store.nodes(), args.node)
        if not args.yes:
            raise UsageError(
                f"this deletes the key and all records of {node.name} ({node.eui}): add --yes if you mean it"
            )
        with store.transaction():
            maintenance.remove(store, config, node, time.time_ns() // 1_000_000)
    finally:
        store.close()
    print(f"{node.name} ({node.eui}) is forgotten")
    return 0


def _add(args: argparse.Namespace) -> int:
    try:
        card = node_config.check(json.loads(args.file.read_text(encoding="utf-8")), str(args.file))
        eui, node_id, name = card["eui"].lower(), card["node_id"], card["name"] or card["eui"].lower()
        key, tag_bytes = bytes.fromhex(card["keys"]["0"]), card["link"]["tag_bytes"]
    except OSError as error:
        raise UsageError(f"{args.file}: cannot be read ({error.strerror})") from None
    except node_config.ConfigError as error:
        raise UsageError(str(error)) from None
    except (ValueError, KeyError, RecursionError):
        raise UsageError(f"{args.file}: is not the config.json of a node with key 0") from None
    for what, text, fits in (("name", name, usable_name), ("location", args.location, usable_location)):
        if not fits(text):
            raise UsageError(f"the {what} {text!r} cannot be used: at most {MOST_NAME} printable characters")
    config, store = _open(args, create=True)
    try:
        with store.transaction():
            store.add_node(eui, node_id, name, args.location, tag_bytes, key, time.time_ns() // 1_000_000)
            known = removed.recall(store, eui)
    finally:
        store.close()
    print(f"node {node_id}  EUI {eui}  {name}")
    if not known and config.gateway.answers:
        print(
            f"if a gateway number {config.gateway.number} whose database is lost has answered it before, set another number "
            "under [gateway] before this one starts"
        )
    return 0
