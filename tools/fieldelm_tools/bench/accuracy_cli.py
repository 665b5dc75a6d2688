"""`fieldelm bench accuracy`: options, tables, CSV and plots."""

import argparse
import csv
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UsageError
from . import accuracy, suites
from .cooling_fan import CONFOUND, CoolingFan, find
from .suites import SUITES, Outcome

SEEDS = (1, 2, 3)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the bench."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        default=os.environ.get("FIELDELM_DATA"),
        help="folder with cooling-fan/ (or FIELDELM_DATA)",
    )
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
    for folder in (args.plot, args.csv):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    if args.suite or args.ablation:
        return _run_suites(args)
    seeds = SEEDS[:1] if args.quick else SEEDS if args.seeds is None else range(1, args.seeds + 1)
    document = accuracy.run(_recordings(args.data), args.features, list(seeds), args.peers)
    if args.csv:
        _write_csv(args.csv / "tasks.csv", _task_rows(document))
    if args.plot:
        from .plots import bars

        (args.plot / "tasks.svg").write_text(bars(document), encoding="utf-8")
    if args.json:
        print(json.dumps(document))
    else:
        _print_tasks(document)
    return 0


def _recordings(data: Path | None) -> CoolingFan:
    if data is None:
        raise UsageError("--data DIR is missing: name the folder that holds cooling-fan/, or set FIELDELM_DATA")
    return find(data)


def _run_suites(args: argparse.Namespace) -> int:
    names = list(SUITES) if not args.suite or "all" in args.suite else args.suite
    fan = None
    if args.data is not None or all(suites.data_needed(name) for name in names):
        fan = _recordings(args.data)
    if args.ablation:
        from .ablation import ablate

        document = ablate(names, fan, args.quick, args.seeds)
        outcomes: list[Outcome] = []
    else:
        outcomes = suites.run(names, fan, args.quick, args.seeds)
        document = {"suites": {name: [o.document() for o in outcomes if o.suite == name] for name in names}}
    if args.peers:
        from .peer_suites import compare

        document["peers"] = compare(fan, names, args.quick)
    if args.csv:
        _write_csv(args.csv / "suites.csv", [o.document() for o in outcomes])
    if args.plot:
        from .plots import trace

        for outcome in outcomes:
            if outcome.trace is not None and outcome.seed == 0:
                name = "".join(c if c.isalnum() else "-" for c in f"{outcome.suite}-{outcome.scenario}")
                (args.plot / f"{name}.svg").write_text(trace(outcome), encoding="utf-8")
    if args.json:
        print(json.dumps(document))
    elif args.ablation:
        _print_table(document["ablation"])
    else:
        _print_outcomes(outcomes)
        for name, rows in document.get("peers", {}).items():
            print(f"\n{name}: peers")
            _print_table(rows)
        if fan is not None:
            print(CONFOUND)
    return 0


def _task_rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    named = [*document["tasks"].items(), ("mean", document["mean"]), *document["peers"].items()]
    for name, pair in named:
        row: dict[str, Any] = {"name": name}
        for when in ("no_odl", "odl"):
            row |= {f"{when}_{key}": value for key, value in pair[when].items()}
        rows.append(row)
    return rows


def _print_tasks(document: dict[str, Any]) -> None:
    print(f"{'':22}{'trained silent, tested noisy':^30}{'retrained on the spot':^30}")
    print(f"{'':22}" + 2 * f"{'AUC':>8}{'bal.acc':>10}{'false':>10}  ")
    for row in _task_rows(document):
        name, *numbers = row.values()
        cells = [f"{a:8.4f}{b:10.3f}{100 * c:9.1f}%" for a, b, c in (numbers[:3], numbers[3:])]
        print(f"{name:22}" + "  ".join(cells))
    print("\nAUC after so many rows of each speed, without reset, one speed after the other")
    print("rows:     " + "".join(f"{count:>9}" for count in document["retraining"]))
    for kind, what in (("plain", "as is"), ("reopened", "P reopened")):
        print(f"{what:10}" + "".join(f"{pair[kind]:9.4f}" for pair in document["retraining"].values()))
    print(CONFOUND)


def _print_outcomes(outcomes: Sequence[Outcome]) -> None:
    rows = []
    for suite, scenario in dict.fromkeys((o.suite, o.scenario) for o in outcomes):
        mine = [o for o in outcomes if o.suite == suite and o.scenario == scenario]
        delays = [o.delay for o in mine if o.delay is not None]
        total = sum(o.rows for o in mine)
        more: dict[str, Any] = {}
        for key in mine[0].more:
            values = [o.more.get(key, "") for o in mine]
            numbers = [v for v in values if not isinstance(v, str)]
            more[key] = f"{min(numbers):g}..{max(numbers):g}" if numbers else "/".join(sorted(set(map(str, values))))
        rows.append(
            {
                "suite": suite,
                "scenario": scenario,
                "seeds": len(mine),
                "delay in rows": f"{min(delays)}..{max(delays)}" if delays else "",
                "false alarms": sum(o.false_alarms for o in mine),
                "per 1,000": f"{1000 * sum(o.false_alarms for o in mine) / max(total, 1):.3f}",
                "missed": sum(o.missed for o in mine),
                "updates": sum(o.updates for o in mine) // len(mine),
                "": ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in more.items()),
            }
        )
    _print_table(rows)


def _print_table(rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        return
    widths = {key: max(len(key), *(len(str(row.get(key, ""))) for row in rows)) for key in rows[0]}
    print("  ".join(f"{key:{widths[key]}}" for key in rows[0]).rstrip())
    for row in rows:
        print("  ".join(f"{row.get(key, '')!s:{widths[key]}}" for key in rows[0]).rstrip())


def _write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        return
    keys = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, keys)
        writer.writeheader()
        writer.writerows(rows)
    print(f"table: {path}", file=sys.stderr)
