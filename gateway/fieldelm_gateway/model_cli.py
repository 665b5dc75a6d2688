"""`fieldelm node model list|fetch|put`: copies of what nodes have learned."""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

from . import commands, config as configuration, models
from .clock import rfc3339
from .errors import GatewayError, UsageError
from .node_cli import add_by, queue
from .nodes import find, named
from .rows import Command, ModelRow
from .store import Store

_POLL_S = 0.2


def add_actions(actions: Any, add_config: Callable[[argparse.ArgumentParser], None]) -> None:
    """The parsers."""
    model = actions.add_parser(
        "model", help="copies of what nodes have learned, and one of them onto a new node", allow_abbrev=False
    )
    kinds = model.add_subparsers(metavar="ACTION", required=True)
    listing = kinds.add_parser("list", help="the copies that the gateway has", allow_abbrev=False)
    listing.set_defaults(run=_list)
    fetch = kinds.add_parser(
        "fetch", help="have a node send its model: 5 kB, in half a minute or more", allow_abbrev=False
    )
    fetch.add_argument("node", metavar="NODE", help="name, EUI or node id")
    fetch.set_defaults(run=_fetch)
    put = kinds.add_parser(
        "put", help="have a node take a model over, such as that of the one it replaces", allow_abbrev=False
    )
    put.add_argument("node", metavar="NODE", help="name, EUI or node id")
    put.add_argument(
        "--of", metavar="NODE", help="the newest of this node; it may have been removed: then its EUI or name"
    )
    put.add_argument("--model", metavar="ID", help="or this one of the list")
    put.set_defaults(run=_put)
    for parser in (listing, fetch, put):
        add_config(parser)
        parser.add_argument("--json", action="store_true", help="one JSON document")
    for parser in (fetch, put):
        parser.add_argument(
            "--wait", type=float, default=0, metavar="S", help="wait so long until it is done, else exit with 1"
        )
        add_by(parser)


def _open(args: argparse.Namespace, *, read_only: bool = False) -> tuple[configuration.GatewayConfig, Store]:
    config = configuration.load(configuration.find(args.config))
    return config, Store(config.database_path(), read_only=read_only)


def _document(row: ModelRow) -> dict[str, Any]:
    return {
        "model": f"{row.model:08x}",
        "node": row.name,
        "eui": row.eui,
        "bytes": len(row.data),
        "total": row.total,
        "complete": row.complete,
        "begun": rfc3339(row.begun_ms),
    }


def _list(args: argparse.Namespace) -> int:
    _, store = _open(args, read_only=True)
    try:
        rows = [_document(row) for row in store.models()]
    finally:
        store.close()
    if args.json:
        print(json.dumps({"models": rows}))
        return 0
    if not rows:
        print("no copies yet: `fieldelm node model fetch NODE` has a node send one")
    for row in rows:
        print(f"{row['model']}  {row['eui']}  {row['node']}  {row['bytes']} of {row['total']} bytes  {row['begun']}")
    return 0


def _fetch(args: argparse.Namespace) -> int:
    config, store = _open(args)
    try:
        node = named(store.nodes(), args.node)
        known = {row.model for row in store.models(node.row) if row.complete}
        command = queue(store, config, node, models.GET, {"model": 0, "offset": 0}, args.by)

        def done() -> str | None:
            fresh = [row for row in store.models(node.row) if row.complete and row.model not in known]
            return f"model {fresh[0].model:08x}, {fresh[0].total} bytes, is here" if fresh else None

        return _report(store, command, args, done)
    finally:
        store.close()


def _put(args: argparse.Namespace) -> int:
    config, store = _open(args)
    try:
        node = named(store.nodes(), args.node)
        row = _chosen(store, args)
        command = queue(store, config, node, models.PUT, {"model": row.model, "total": row.total}, args.by)

        def done() -> str | None:
            known = store.command(command.request_id)
            told = known.answer["model"] if known and known.answer else None
            if told == "refused":
                raise GatewayError(f"{node.name} refuses the model: it is of another configuration or firmware")
            return f"{node.name} has taken over what {row.name} had learned" if told else None

        return _report(store, command, args, done)
    finally:
        store.close()


def _chosen(store: Store, args: argparse.Namespace) -> ModelRow:
    if bool(args.of) == bool(args.model):
        raise UsageError("which model? Name the node that learned it with --of, or one of `fieldelm node model list`")
    rows = [row for row in store.models() if row.complete]
    if args.model:
        rows = [row for row in rows if f"{row.model:08x}" == args.model.lower()]
    else:
        node = find(store.nodes(), args.of)
        rows = [row for row in rows if (row.eui == node.eui if node else args.of in (row.eui, row.name))]
    if not rows:
        raise UsageError(
            f"there is no whole copy of {args.of or args.model}: `fieldelm node model list` shows what is here"
        )
    return rows[0]


def _report(store: Store, command: Command, args: argparse.Namespace, done: Callable[[], str | None]) -> int:
    until = time.monotonic() + args.wait
    while True:
        known = store.command(command.request_id)
        if known and (known.state == "expired" or (known.state == "done" and known.result != "ok")):
            raise GatewayError(
                f"{args.node}: {commands.sentence(known.result or 'failed') if known.result else 'has not answered in time'}"
            )
        text = done() if args.wait else None
        if text or time.monotonic() >= until:
            break
        time.sleep(_POLL_S)
    if args.json:
        print(json.dumps({"id": command.request_id, "command": command.command, "done": bool(text), "message": text}))
    else:
        print(text or f"{args.node}: it begins when the node speaks; `fieldelm node model list` shows how far it is")
    return 0 if text or not args.wait else 1
