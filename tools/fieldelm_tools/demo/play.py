"""One run from beginning to end: makes everything, plays the story, judges it, writes the files."""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from .. import environment, report
from ..air import AirServer
from ..errors import FieldelmError
from ..simnode import Said, SimNode
from . import folder as folders, network, plans
from .engine import Stage, open_air, wait_for_port
from .processes import Children, children, free_port
from .recorder import BrokerAddress, parse_broker, try_broker
from .result import Timing, result, summary
from .terminal import open_view

SHOW_S = 60.0  # wall time that a story takes on a terminal, so that it can be followed
KEEP_SPEED = 60.0


def play_demo(args: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Play the story that the arguments describe; returns the figures."""
    console = Console(highlight=False)
    try:
        return _play_all(args, out, console)
    except KeyboardInterrupt:
        print(f"\nStopped by Ctrl-C before the story had ended; nothing is left running. Logs: {out}", file=sys.stderr)
        raise


def _play_all(args: argparse.Namespace, out: Path, console: Console) -> dict[str, Any]:
    broker = parse_broker(args.broker) if args.broker else None
    kernels = environment.micropython().kernels
    if broker:
        try_broker(broker, f"{network.BASE}/state")  # before the files of an earlier run go
    parts = folders.prepare(out)
    if args.data:
        from .recorded import recorded

        plan = recorded(args.data, parts, args.nodes, args.seed, args.without)
    else:
        plan = plans.simulated(args.nodes, args.seed, args.without)
    speed = args.speed
    if speed is None:
        speed = plan.story.end_s / SHOW_S if console.is_terminal and not args.json else 0.0
    with contextlib.ExitStack() as stack:
        group = stack.enter_context(children(parts))
        started = time.monotonic()
        embedded = broker is None
        if broker is None:
            broker = _start_broker(group)
        air = stack.enter_context(open_air(len(plan.nodes), speed, args.seed))
        view = open_view(console, len(plan.nodes), args.json)
        stack.callback(view.close)
        send_command = args.without != "command"
        stage = Stage(plan.story, out, network.BASE, view, group, broker, air, send_command=send_command)
        stack.callback(stage.close)
        if not embedded:
            stack.callback(_leave, stage, group, plan.nodes)
        keys = network.register(out / "gateway.db", plan.nodes, stage.epoch)
        stack.callback((parts / network.LOGIN_FILE).unlink, missing_ok=True)
        dashboard = f"127.0.0.1:{free_port()}" if args.keep else ""
        config = network.write_gateway(
            out, parts, broker, air.address, dashboard=dashboard, discovery=args.keep and not embedded
        )
        group.start("gateway", [sys.executable, "-m", "fieldelm_tools.cli", "gateway", "run", "--config", str(config)])
        stage.wait_for_gateway()
        nodes = _start_nodes(stack, plan.nodes, keys, air, parts, stage)
        setup_s = time.monotonic() - started
        problem = _play(stage, nodes)
        stage.recorder.subscribe_again()
        stage.settle()
        timing = Timing(stage.epoch, setup_s, stage.run.wall_s, stage.run.simulated_s)
        document = result(stage, timing, problem, kernels=kernels, seed=args.seed, base=network.BASE, out=out)
        stage.flush()
        (out / "run.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        report.write_report(out)
        view.close()
        if not args.json:
            console.print(summary(document), soft_wrap=True)
        if args.keep:
            _keep(console, args, stage, air, broker, config, dashboard)
    if args.keep:
        print(f"\nStopped by Ctrl-C; nothing is left running. Files: {out}", file=sys.stderr)
    return document


def _leave(stage: Stage, group: Children, nodes: Sequence[plans.NodePlan]) -> None:
    """However the demo ends: the gateway stops, then a broker that is not the demo's own is left as it was."""
    group.stop("gateway")
    stage.recorder.forget_retained(network.discovery_topics(nodes))


def _start_broker(group: Children) -> BrokerAddress:
    port = free_port()
    group.start("broker", [sys.executable, "-m", "fieldelm_tools.demo.broker", str(port)])
    wait_for_port(port, group, "broker")
    return BrokerAddress("127.0.0.1", port, protocol="3.1.1")  # all that amqtt speaks


def _start_nodes(
    stack: contextlib.ExitStack,
    plan: Sequence[plans.NodePlan],
    keys: Mapping[str, str],
    air: AirServer,
    parts: Path,
    stage: Stage,
) -> list[SimNode]:
    nodes = []
    for entry in plan:
        actor = entry.actor
        config = network.node_config(entry, keys[actor.eui], air.address)
        node = SimNode(parts / actor.name, config, _listener(stage, actor.eui, parts / f"{actor.name}.log"))
        stack.callback(node.stop)
        node.start()
        nodes.append(node)
    return nodes


def _listener(stage: Stage, eui: str, log: Path) -> Callable[[Said], None]:
    """What takes a node's lines: objects go to the stage, text to the node's log."""

    def said(line: Said) -> None:
        if isinstance(line, dict) and "kind" in line:
            stage.inbox.put(("node", {"node": eui, **line}))
        else:
            with log.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")

    return said


def _play(stage: Stage, nodes: Sequence[SimNode]) -> str | None:
    """Play; returns what went wrong, if anything did."""

    def check() -> None:
        for node in nodes:
            if node.exit_code is not None:
                log = node.folder.with_suffix(".log")
                text = log.read_text(encoding="utf-8").strip() if log.exists() else ""
                said = text.rpartition("\n")[2] or "it said nothing"
                raise FieldelmError(f"{node.folder.name} ended with exit code {node.exit_code}: {said} ({log})")

    try:
        stage.play(check)
    except FieldelmError as error:
        return str(error)
    return None


def _keep(
    console: Console,
    args: argparse.Namespace,
    stage: Stage,
    air: AirServer,
    broker: BrokerAddress,
    config: Path,
    dashboard: str,
) -> None:
    """Go on until Ctrl-C."""
    if args.speed is None:
        air.set_speed(KEEP_SPEED)
    with contextlib.suppress(KeyboardInterrupt):  # from the first word that says so
        if not args.json:
            console.print(
                f"\nEverything is left running{'' if args.speed is not None else f', at {KEEP_SPEED:.0f} × real time'}."
                f" Broker: {broker.host}:{broker.port}\n"
                f"  mosquitto_sub -h {broker.host} -p {broker.port} -v -t '{network.BASE}/#'\n"
                f"  {Path(sys.argv[0]).name} node list --config {config}\n"
                f"Dashboard: http://{dashboard}/  (its commands need what"
                f" `{Path(sys.argv[0]).name} gateway token --config {config}` prints)\n"
                "Ctrl-C ends it.",
                soft_wrap=True,
            )
        else:
            places = f"broker {broker.url}, dashboard http://{dashboard}/, configuration {config}"
            print(f"{places}; Ctrl-C ends it", file=sys.stderr, flush=True)
        stage.keep()
