"""`fieldelm gateway …` and `fieldelm node …`."""

import argparse
import contextlib
import dataclasses
import json
import time
from collections import Counter
from typing import Any

from fieldelm import codes

from . import (
    backup_cli,
    commands,
    config as configuration,
    install,
    model_cli,
    node_cli,
    survey_cli,
    trace_cli,
)
from .clock import rfc3339
from .errors import GatewayError, RequestError, UsageError
from .nodes import Node, named
from .rows import Command
from .store import Store

_POLL_S = 0.2
DONE, FAILED = 0, 1


def add_gateway_arguments(parser: argparse.ArgumentParser) -> None:
    """`fieldelm gateway run|check|config`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    run = actions.add_parser("run", help="listen, log and publish until stopped", allow_abbrev=False)
    _add_config(run)
    run.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info", help="default: info")
    run.add_argument(
        "--log-format",
        choices=("auto", "text", "json"),
        default="auto",
        help="auto: as the journal likes it, else text",
    )
    run.set_defaults(run=_run)

    check = actions.add_parser(
        "check", help="whether configuration, database, radio and broker work", allow_abbrev=False
    )
    _add_config(check)
    check.add_argument("--json", action="store_true", help="one JSON document")
    check.set_defaults(run=_check)

    backup_cli.add_actions(actions, _add_config)
    install.add_actions(actions)
    token = actions.add_parser("token", help="print the token that the dashboard's commands need", allow_abbrev=False)
    _add_config(token)
    token.set_defaults(run=_token)
    show = actions.add_parser(
        "config", help="print the configuration's keys, explained, with their defaults", allow_abbrev=False
    )
    show.set_defaults(run=_show_config)


def add_node_arguments(parser: argparse.ArgumentParser) -> None:
    """`fieldelm node list|retrain|policy|…`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    listing = actions.add_parser("list", help="the nodes that the gateway knows", allow_abbrev=False)
    _add_config(listing)
    listing.add_argument("--json", action="store_true", help="one JSON document")
    listing.set_defaults(run=_list)

    node_cli.add_actions(actions, _add_config)
    model_cli.add_actions(actions, _add_config)
    survey_cli.add_action(actions, _add_config)
    for name in commands.COMMANDS:
        line = _HELPS[name]
        action = actions.add_parser(name, help=line, description=f"{line[0].upper()}{line[1:]}.", allow_abbrev=False)
        action.add_argument("node", metavar="NODE", help="name, EUI or node id")
        _ARGUMENTS.get(name, lambda _: None)(action)
        _add_config(action)
        action.add_argument(
            "--wait",
            type=float,
            default=0,
            metavar="S",
            help="wait so long for the node's answer, and exit with 1 if none has come; default: do not wait",
        )
        action.add_argument("--json", action="store_true", help="one JSON document")
        node_cli.add_by(action)
        action.set_defaults(run=_command, command=name)


_HELPS = {
    "retrain": "learn anew what normal is",
    "policy": "what to do when the environment changes",
    "interval": "how often it measures, and how often it says that it is alive",
    "identify": "make it blink",
    "reboot": "restart it",
    "commission": "commission it anew, as after a repair",
    "confirm_change": "what changed is no fault: it goes on with what it has learned, or learns it",
    "call_fault": "what changed is a fault: it alarms, and returns to what it knew before",
    "service": "somebody works on the machine: it rests for a time",
    "threshold": "make it less (above 1) or more (below 1) sensitive",
    "trace": "show the newest spectrum, or how far each band is from what it learned",
    "config_get": "read a key of its configuration",
    "config_set": "change a key of its configuration",
    "rotate_key": "give it another key, made by the gateway; it is heard all the time",
    "power": "how strongly it transmits, until it starts again or hears nothing",
}


def _policy_arguments(action: argparse.ArgumentParser) -> None:
    action.add_argument("policy", choices=codes.POLICIES)


def _interval_arguments(action: argparse.ArgumentParser) -> None:
    action.add_argument("--window", dest="window_period_s", type=int, metavar="S", help="seconds from window to window")
    action.add_argument("--heartbeat", dest="heartbeat_s", type=int, metavar="S", help="seconds from STATUS to STATUS")


def _service_arguments(action: argparse.ArgumentParser) -> None:
    action.add_argument("--minutes", type=int, metavar="M", help="default: 120; 0 ends it")


def _identify_arguments(action: argparse.ArgumentParser) -> None:
    action.add_argument("--seconds", type=int, metavar="S", help="default: 30")


def _threshold_arguments(action: argparse.ArgumentParser) -> None:
    action.add_argument("factor", type=float, metavar="FACTOR", help="0.25 to 4; 1 is what it has learned")


def _trace_arguments(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "--what", dest="trace", choices=codes.TRACES, help="bands: the spectrum; residuals: in standard deviations"
    )
    action.add_argument("--last", action="store_true", help="print the newest that is known, and ask for none")


def _key_arguments(action: argparse.ArgumentParser) -> None:
    action.add_argument("key", metavar="KEY", help=", ".join(commands.CONFIG_KEYS))


def _key_and_value_arguments(action: argparse.ArgumentParser) -> None:
    _key_arguments(action)
    action.add_argument("value", metavar="VALUE", type=_value)


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _power_arguments(action: argparse.ArgumentParser) -> None:
    action.add_argument("dbm", type=int, metavar="DBM", help="-9 to 22")


_ARGUMENTS = {
    "policy": _policy_arguments,
    "interval": _interval_arguments,
    "service": _service_arguments,
    "identify": _identify_arguments,
    "threshold": _threshold_arguments,
    "trace": _trace_arguments,
    "config_get": _key_arguments,
    "config_set": _key_and_value_arguments,
    "power": _power_arguments,
}


def _add_config(parser: argparse.ArgumentParser) -> None:
    places = " or ".join(map(str, configuration.default_places()))
    parser.add_argument("--config", metavar="FILE", help=f"configuration of the gateway; default: {places}")


def _load(args: argparse.Namespace) -> configuration.GatewayConfig:
    return configuration.load(configuration.find(args.config))


# fieldelm gateway


def _run(args: argparse.Namespace) -> int:
    from . import service, supervisor

    supervisor.set_up_log(args.log_level, args.log_format)
    service.run(_load(args))
    return DONE


def _show_config(_args: argparse.Namespace) -> int:
    print(configuration.annotated_default(), end="")
    return DONE


def _token(args: argparse.Namespace) -> int:
    from .dashboard import server

    print(server.read_token(_load(args)))
    return DONE


def _check(args: argparse.Namespace) -> int:
    from . import check

    results = check.check(_load(args))
    if args.json:
        print(
            json.dumps(
                {
                    "ok": all(result.ok for result in results),
                    "checks": [dataclasses.asdict(result) for result in results],
                }
            )
        )
    else:
        for result in results:
            print(f"{'ok     ' if result.ok else 'NOT OK '} {result.what}: {result.text}")
    return DONE if all(result.ok for result in results) else FAILED


# fieldelm node


def _list(args: argparse.Namespace) -> int:
    config = _load(args)
    with contextlib.closing(Store(config.database_path(), read_only=True)) as store:
        waiting = Counter(command.node for command in store.commands_waiting())
        rows = [
            _row(node, waiting[node.row], survey_cli.newest_margin_db(store, config, node)) for node in store.nodes()
        ]
    if args.json:
        print(json.dumps({"nodes": rows}))
        return DONE
    if not rows:
        print("no nodes yet: `fieldelm provision` makes one")
        return DONE
    columns = ("node_id", "eui", "name", "location", "state", "last_seen", "margin_db", "commands_waiting")
    table = [
        list(columns),
        *([str(row[column] if row[column] is not None else "-") for column in columns] for row in rows),
    ]
    widths = [max(len(line[i]) for line in table) for i in range(len(columns))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return DONE


def _row(node: Node, waiting: int, margin_db: float | None) -> dict[str, Any]:
    status = json.loads(node.status_document) if node.status_document else {}
    return {
        "node_id": node.node_id,
        "eui": node.eui,
        "name": node.name,
        "location": node.location,
        "state": status.get("state"),
        "last_seen": rfc3339(node.last_seen_ms) if node.last_seen_ms else None,
        "margin_db": margin_db,
        "commands_waiting": waiting,
        "card": dataclasses.asdict(node.card),
        "status": status or None,
    }


_OPTIONS = {"window_period_s": "--window", "heartbeat_s": "--heartbeat"}


def _command(args: argparse.Namespace) -> int:
    if getattr(args, "last", False):
        return trace_cli.show_last(args, _load(args).database_path())
    config = _load(args)
    given = {
        name: value for name in commands.argument_names(args.command) if (value := getattr(args, name)) is not None
    }
    try:
        arguments = commands.check_arguments(args.command, given)
    except RequestError as error:
        text = str(error)
        for name, option in _OPTIONS.items():
            text = text.replace(name, option)
        raise UsageError(text) from None
    store = Store(config.database_path())
    try:
        before = trace_cli.newest(store, args.node) if args.command == "trace" else None
        node = named(store.nodes(), args.node)
        command = node_cli.queue(store, config, node, args.command, arguments, args.by, given)
        done = _report(store, command, args)
        if args.command == "trace" and args.wait > 0 and done == DONE:
            return trace_cli.show_next(store, args, before)
        return done
    finally:
        store.close()


def _report(store: Store, command: Command, args: argparse.Namespace) -> int:
    until = time.monotonic() + args.wait
    known: Command | None = command
    while known and known.state == "waiting" and time.monotonic() < until:
        time.sleep(_POLL_S)
        known = store.command(command.request_id)
    if known is None:
        raise GatewayError(f"{args.node} is gone from the database")
    message = "waits until the node speaks; the answer comes on MQTT"
    if known.state == "done":
        message = commands.sentence(known.result or "failed")
        if known.answer:
            unit = f" {known.answer['unit']}" if known.answer["unit"] else ""
            message = f"{known.answer['key']} is {known.answer['value']}{unit}"
    elif known.state == "expired":
        message = "the node has not answered in time"
    answered_badly = known.state == "expired" or (known.state == "done" and known.result != "ok")
    unanswered = known.state == "waiting" and args.wait > 0
    if args.command == "trace" and args.wait > 0 and known.result == "ok":
        return DONE  # the trace follows
    if args.json:
        print(
            json.dumps(
                {
                    "id": known.request_id,
                    "command": known.command,
                    "state": known.state,
                    "result": known.result,
                    **(known.answer or {}),
                }
            )
        )
    else:
        print(f"{args.node}: {known.command}: {message}")
    return FAILED if answered_badly or unanswered else DONE
