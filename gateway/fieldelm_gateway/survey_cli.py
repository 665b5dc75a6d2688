"""`fieldelm node survey NODE`: how well a node would be heard with less power, tried out level by level.

At each level the node answers a few commands; what the gateway's radio says of its frames, and how often a command had to be
repeated, is the survey. A level at which the node is lost ends it: the node returns to its installed power by itself.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fieldelm import frame, payloads

from . import config as configuration, documents
from .errors import GatewayError, UsageError
from .node_cli import add_by, queue
from .nodes import Node, named
from .rows import Command
from .store import Store

_POLL_S = 0.1
_LEVELS = (14, 11, 8, 5, 2)
# demodulation limit by spreading factor, dB: SX1276 data sheet, table 13
_SNR_LIMIT_DB = {7: -7.5, 8: -10.0, 9: -12.5, 10: -15.0, 11: -17.5, 12: -20.0}
_GOOD_DB = 10.0
"""installation margin of LoRaWAN's adaptive data rate: for weather, doors and cars that come later"""
_FAIR_DB = 5.0
_NEWEST = 20
_PROBE = ("config_get", {"key": 1})


@dataclass(frozen=True, slots=True)
class Level:
    """What was found at one power level."""

    dbm: int
    answered: int
    asked: int
    loss: float | None
    """share of commands that had to be sent again: lost on the way down or up"""
    rssi_dbm: float | None
    snr_db: float | None
    margin_db: float | None
    """of the weakest frame, above what the spreading factor needs"""
    expect: str


def add_action(actions: Any, add_config: Callable[[argparse.ArgumentParser], None]) -> None:
    """The parser."""
    parser = actions.add_parser("survey", help="how well it would be heard with less power", allow_abbrev=False)
    parser.add_argument("node", metavar="NODE", help="name, EUI or node id")
    parser.add_argument(
        "--levels", type=int, nargs="+", default=_LEVELS, metavar="DBM", help="downwards; default: 14 11 8 5 2"
    )
    parser.add_argument(
        "--probes", type=int, default=6, metavar="N", help="commands at each level, 2 to 50; default: 6"
    )
    parser.add_argument(
        "--patience", type=float, default=3600, metavar="S", help="wait so long for each level; default: 3600"
    )
    parser.add_argument("--keep", action="store_true", help="leave the node at the lowest level with a good margin")
    add_config(parser)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    add_by(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Walk the levels and print what was found."""
    levels = sorted(set(args.levels), reverse=True)
    if not all(-9 <= dbm <= 22 for dbm in levels):
        raise UsageError("--levels are from -9 to 22 dBm")
    if not 2 <= args.probes <= 50:
        raise UsageError("--probes is from 2 to 50")
    config = configuration.load(configuration.find(args.config))
    store = Store(config.database_path())
    try:
        node = named(store.nodes(), args.node)
        installed = node.card.output_power
        if installed is None:
            raise GatewayError(f"{node.name} has not said yet with what power it transmits: wait for it, or restart it")
        best = None
        try:
            found = _walk(store, config, node, levels, args)
            good = [
                level.dbm
                for level in found
                if level.margin_db is not None and level.margin_db >= _GOOD_DB and level.loss == 0
            ]
            best = min(good, default=None)
        finally:  # whatever ends it, Ctrl-C for one: a node that is heard well enough would stay where it is
            if args.keep and best is not None:
                queue(store, config, node, "config_set", {"key": _power_key(), "value": best}, args.by)
            else:
                queue(store, config, node, "power", {"dbm": installed}, args.by)
    finally:
        store.close()
    _print(args, node, found, best, installed)
    return 0 if any(level.answered for level in found) else 1


def _power_key() -> int:
    return next(i for i, key in enumerate(payloads.CONFIG_KEYS) if key and key[1] == "output_power")


def _walk(
    store: Store, config: configuration.GatewayConfig, node: Node, levels: Sequence[int], args: argparse.Namespace
) -> list[Level]:
    found = []
    for dbm in levels:
        print(f"{node.name}: {dbm} dBm …", file=sys.stderr, flush=True)
        since = store.query("SELECT coalesce(max(id), 0) AS last FROM frame")[0]["last"]
        asked = [queue(store, config, node, "power", {"dbm": dbm}, args.by)]
        asked += [queue(store, config, node, _PROBE[0], dict(_PROBE[1]), args.by) for _ in range(args.probes)]
        known = _wait(store, asked, args.patience)
        if known[0].state == "done" and known[0].result != "ok":
            raise GatewayError(f"{node.name} does not transmit with {dbm} dBm: choose other --levels")
        found.append(_level(store, config, node, dbm, known, since))
        if not found[-1].answered:
            break
    return found


def _wait(store: Store, asked: list[Command], patience_s: float) -> list[Command]:
    until = time.monotonic() + patience_s
    known = asked
    try:
        while any(command.state == "waiting" for command in known) and time.monotonic() < until:
            time.sleep(_POLL_S)
            known = [store.command(command.request_id) or command for command in known]
    finally:  # what was not answered is not asked any more
        with store.transaction():
            for command in asked:
                store.write("UPDATE command SET state = 'expired' WHERE id = ? AND state = 'waiting'", (command.id,))
    return known


def _level(
    store: Store, config: configuration.GatewayConfig, node: Node, dbm: int, known: list[Command], since: int
) -> Level:
    # the answer to the first, the change of power itself, is the first frame of the new level
    done = [command for command in known if command.state == "done"]
    sequences = {command.sequence for command in done}
    rows = store.query(
        "SELECT radio, rssi, snr, payload FROM frame WHERE id > ? AND node = ? AND type = ? ORDER BY id",
        (since, node.row, frame.RESPONSE),
    )
    rows = [row for row in rows if documents.read_response(bytes(row["payload"]))["command_sequence"] in sequences]
    sent = sum(command.attempts for command in known)
    loss = 1 - len(done) / sent if sent else None
    if not rows:
        return Level(dbm, 0, len(known), loss, None, None, None, "not heard")
    limits = {radio.name: _SNR_LIMIT_DB[radio.sf] for radio in config.radio}
    margin = min(row["snr"] - limits.get(row["radio"], 0.0) for row in rows)
    return Level(
        dbm=dbm,
        answered=len(done),
        asked=len(known),
        loss=round(loss, 3) if loss is not None else None,
        rssi_dbm=round(statistics.median(row["rssi"] for row in rows), 1),
        snr_db=round(statistics.median(row["snr"] for row in rows), 2),
        margin_db=round(margin, 2),
        expect=_expect(margin, loss or 0.0, len(done) == len(known)),
    )


def newest_margin_db(store: Store, config: configuration.GatewayConfig, node: Node) -> float | None:
    """SNR of the weakest of a node's newest frames above what the spreading factor needs; None: none was heard.

    From 10 dB on the node may do with less power.
    """
    limits = {radio.name: _SNR_LIMIT_DB[radio.sf] for radio in config.radio}
    sql = "SELECT radio, snr FROM frame WHERE node = ? ORDER BY received_ms DESC LIMIT ?"
    rows = store.query(sql, (node.row, _NEWEST))
    margins = [row["snr"] - limits[row["radio"]] for row in rows if row["radio"] in limits]
    return round(min(margins), 1) if margins else None


def _expect(margin_db: float, loss: float, all_answered: bool) -> str:
    if not all_answered or loss > 0.5:
        return "alarms come late, STATUS often not at all"
    if margin_db >= _GOOD_DB and loss <= 0.1:
        return "good, with room for a change of the place"
    if margin_db >= _FAIR_DB and loss <= 0.25:
        return "works; frames are lost when something stands in the way"
    return "works with repeats; some STATUS is lost"


def _print(args: argparse.Namespace, node: Node, found: list[Level], best: int | None, installed: int) -> None:
    if args.json:
        document = {
            "node": node.name,
            "installed_dbm": installed,
            "good_dbm": best,
            "kept": bool(args.keep and best is not None),
        }
        print(json.dumps({**document, "levels": [asdict(level) for level in found]}))
        return
    print(f"{'power':>6}  {'answers':>7}  {'repeated':>8}  {'RSSI':>8}  {'SNR':>8}  {'margin':>7}  what to expect")
    for level in found:
        if level.margin_db is None:
            print(
                f"{level.dbm:>3} dBm  {level.answered:>3}/{level.asked:<3}  {'':>8}  {'':>8}  {'':>8}  {'':>7}  {level.expect}"
            )
            continue
        print(
            f"{level.dbm:>3} dBm  {level.answered:>3}/{level.asked:<3}  {level.loss or 0:>8.0%}  {level.rssi_dbm:>4.0f} dBm"
            f"  {level.snr_db:>5.1f} dB  {level.margin_db:>4.1f} dB  {level.expect}"
        )
    print("SNR as the radio estimates it: above 10 dB it says 10, so a larger margin may be larger still.")
    if best is None:
        print(
            f"No level has {_GOOD_DB:g} dB to spare: a higher antenna, a nearer gateway or a higher spreading factor helps."
        )
    elif args.keep:
        print(f"{node.name} stays at {best} dBm.")
    else:
        print(f"{best} dBm is enough: `fieldelm node config_set {node.name} radio.output_power {best}` sets it.")
