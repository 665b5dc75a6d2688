"""`fieldelm bench accuracy`: options, tables, CSV and plots."""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UsageError
from . import accuracy, report, suites
from .cooling_fan import CONFOUND, RATE_HZ, CoolingFan, find
from .node import Node, Settings
from .scenario import Outcome
from .suites import SUITES
from .table import Table

SEEDS = tuple(range(1, 9))


def add_data(parser: argparse.ArgumentParser) -> None:
    """Where the recordings are."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        default=os.environ.get("FIELDELM_DATA"),
        help="folder with cooling-fan/ (or FIELDELM_DATA)",
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the bench."""
    add_data(parser)
    parser.add_argument(
        "--features", choices=("bands", "raw511"), default="bands", help="the node's bands, or the paper's raw bins"
    )
    parser.add_argument("--peers", action="store_true", help="compare with other detectors (run `make bench` once)")
    parser.add_argument(
        "--suite",
        action="append",
        choices=[*SUITES, "all"],
        metavar="NAME",
        help=f"scripted streams instead of the tasks: {', '.join(SUITES)} or all; repeatable",
    )
    parser.add_argument("--ablation", action="store_true", help="the suites with each mechanism off, one at a time")
    parser.add_argument("--quick", action="store_true", help="short streams, one seed each")
    parser.add_argument("--seeds", type=int, metavar="N", help="seeds of each task or scenario")
    parser.add_argument("--plot", type=Path, metavar="DIR", help="draw figures as SVG into this folder")
    parser.add_argument("--csv", type=Path, metavar="DIR", help="write tables as CSV into this folder")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    if args.seeds is not None and not 1 <= args.seeds <= 1000:
        raise UsageError(f"--seeds {args.seeds}: give a whole number from 1 to 1000")
    if (args.suite or args.ablation) and args.features != "bands":
        raise UsageError(f"--features {args.features}: the suites are lived through by the node as it is: leave it out")
    if args.ablation and args.peers:
        raise UsageError("--ablation and --peers: what is taken away is the node's: leave one of them out")
    folders(args.plot, args.csv)
    if args.suite or args.ablation:
        document, outcomes = _suites(args)
        tables = report.ablation(document) if args.ablation else report.suites(document)
    else:
        seeds = SEEDS[:1] if args.quick else SEEDS if args.seeds is None else range(1, args.seeds + 1)
        document, outcomes = accuracy.run(recordings(args.data), args.features, list(seeds), args.peers), []
        tables = report.tasks(document, "tasks" if args.features == "bands" else args.features)
    for table in tables:
        if args.csv:
            table.write_csv(args.csv)
    if args.plot:
        plot(args.plot, document, outcomes)
    if args.json:
        print(json.dumps(document))
    else:
        show(tables)
        if args.data:
            print(CONFOUND)
    return 0


def folders(*given: Path | None) -> None:
    """Make these folders, before the work that is to fill them. Raises UsageError."""
    for folder in given:
        try:
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder} cannot be made ({error.strerror}): name another folder") from None


def recordings(data: Path | None) -> CoolingFan:
    """The recordings of the cooling fan. Raises UsageError."""
    if data is None:
        raise UsageError("--data DIR is missing: name the folder that holds cooling-fan/, or set FIELDELM_DATA")
    return find(data)


def show(tables: Sequence[Table]) -> None:
    """On the terminal, one below the other."""
    for table in tables:
        if table.rows:
            print(f"{table.name}\n{table.text()}\n")


def plot(folder: Path, document: dict[str, Any], outcomes: Sequence[Outcome]) -> None:
    """Draw what there is: the tasks, the rows that retraining takes, and one stream of each scenario."""
    from . import plots

    if "tasks" in document:
        features = document["config"]["features"]
        name = "tasks" if features == "bands" else features
        (folder / f"{name}.svg").write_text(plots.bars(document), encoding="utf-8")
        (folder / f"{name}-retraining.svg").write_text(plots.retraining(document), encoding="utf-8")
    for outcome in outcomes:
        if outcome.trace is not None and outcome.seed == 0:
            name = "".join(c if c.isalnum() else "-" for c in f"{outcome.suite}-{outcome.scenario}")
            (folder / f"{name}.svg").write_text(plots.trace(outcome), encoding="utf-8")


def _suites(args: argparse.Namespace) -> tuple[dict[str, Any], list[Outcome]]:
    names = list(SUITES) if not args.suite or "all" in args.suite else args.suite
    fan = None
    if args.data is not None or all(suites.data_needed(name) for name in names):
        fan = recordings(args.data)
    if args.ablation:
        from .ablation import ablate

        return ablate(names, fan, args.quick, args.seeds), []
    return live(names, fan, quick=args.quick, seeds=args.seeds, with_peers=args.peers)


def live(
    names: Sequence[str], fan: CoolingFan | None, *, quick: bool, seeds: int | None, with_peers: bool
) -> tuple[dict[str, Any], list[Outcome]]:
    """The JSON document of the suites, and every stream lived through."""
    if with_peers:
        from . import peer_suites, peers

        peers.check()  # before the long work, not after it
    outcomes = suites.run(names, fan, quick, seeds)
    document: dict[str, Any] = {"suites": {name: [o.document() for o in outcomes if o.suite == name] for name in names}}
    with Node(Settings(columns=255, rate_hz=RATE_HZ)) as node:
        document["memory"] = {"learner_bytes": node.heap_bytes(), "model_bytes": node.model_bytes()}
    if with_peers:
        document["peers"] = peer_suites.compare(fan, names, quick, seeds)
    return document, outcomes
