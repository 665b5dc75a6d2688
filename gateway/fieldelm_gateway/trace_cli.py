"""What `fieldelm node trace` prints: a node's newest spectrum, or its distance from what was learned, band by band."""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from .errors import GatewayError
from .nodes import named
from .store import Store

_POLL_S = 0.2
_WIDTH = 40


def newest(store: Store, wanted: str) -> dict[str, Any] | None:
    """The newest trace of a node, if there is one. Raises UsageError if there is no such node."""
    node = named(store.nodes(), wanted)
    text = store.query("SELECT trace_document FROM node WHERE id = ?", (node.row,))[0]["trace_document"]
    document: dict[str, Any] | None = json.loads(text) if text else None
    return document


def show_last(args: argparse.Namespace, database: Path) -> int:
    """Print the newest trace that is known."""
    store = Store(database, read_only=True)
    try:
        document = newest(store, args.node)
    finally:
        store.close()
    if document is None:
        raise GatewayError(f"{args.node} has shown nothing yet: ask for it without --last")
    return _print(document, as_json=args.json)


def show_next(store: Store, args: argparse.Namespace, before: dict[str, Any] | None) -> int:
    """Wait for a trace that comes after `before`, and print it."""
    until = time.monotonic() + args.wait
    while time.monotonic() < until:
        document = newest(store, args.node)
        if document and document != before:
            return _print(document, as_json=args.json)
        time.sleep(_POLL_S)
    raise GatewayError(f"{args.node} has agreed, but not all of its trace was heard: ask again")


def _print(document: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(document))
        return 0
    print("\n".join(table(document)))
    return 0


def table(document: dict[str, Any]) -> list[str]:
    """Lines: band, its limits, its value, a bar."""
    values, edges = document["values"], document["edges_hz"]
    unit = "dB" if document["unit"] == "dB" else "σ"
    low, high = min(values), max(values)
    if document["unit"] != "dB":  # from the middle, which is what was learned
        low = 0.0
        high = max(abs(value) for value in values)
    span = (high - low) or 1.0
    lines = [f"{document['name']}: {document['trace']}, {document['received_time']}"]
    for band, value in enumerate(values):
        where = f"{edges[band]:8.1f} to {edges[band + 1]:7.1f} Hz" if edges else " " * 4
        bar = "█" * round(_WIDTH * (abs(value) - low if document["unit"] != "dB" else value - low) / span)
        lines.append(f"{band:4d} {where} {value:8.2f} {unit}  {bar}".rstrip())
    return lines
