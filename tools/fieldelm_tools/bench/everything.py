"""`fieldelm bench all`: every table and every plot of the documentation, in one command.

Each part writes `OUT/NAME.json`, the tables as CSV and the plots as SVG. With `--docs` results, tables and pictures go into
the documentation's pages, too (report.py). A part that was made of the same code and recordings before is not made again,
so a run that was interrupted goes on where it stopped: `OUT/made.json` says of each part what it was made of.
"""

import argparse
import contextlib
import hashlib
import io
import json
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .. import environment
from ..errors import FieldelmError, UsageError
from . import accuracy, accuracy_cli, life, meaning, report, targets
from .ablation import ablate
from .cooling_fan import CoolingFan
from .suites import SUITES

ABLATION_SUITES = ("drift", "poison", "idle", "wear", "modes", "healthy")
"""The others hardly depend on what is taken away."""
ABLATION_SEEDS = 1
Part = Callable[[CoolingFan | None, Path, bool], dict[str, Any] | None]
IMAGES = "images"
MADE = "made.json"
CODE = ("device", "boards", "native_modules", "gateway", "tools")
"""Folders that any part may depend on."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    accuracy_cli.add_data(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", default=Path("build/bench"), help="default: build/bench")
    parser.add_argument(
        "--only", action="append", choices=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}; repeatable"
    )
    parser.add_argument("--quick", action="store_true", help="short streams, one seed each: to try it")
    parser.add_argument("--docs", type=Path, metavar="DIR", help="write tables and pictures into the pages there, too")


def run(args: argparse.Namespace) -> int:
    """Make all, part by part; 1 if one could not be made."""
    if args.docs and args.quick:
        raise UsageError("--docs and --quick: what is documented is measured in full: leave one of them out")
    wanted = args.only or list(PARTS)
    fan = None if RECORDED.isdisjoint(wanted) else accuracy_cli.recordings(args.data)
    accuracy_cli.folders(args.out)
    failed = 0
    for name in wanted:
        source = _source(fan if name in RECORDED else None, quick=args.quick)
        kept = _is_made(args.out, name, source)
        began = time.monotonic()
        try:
            document = _kept(args.out, name) if kept else PARTS[name](fan, args.out, args.quick)
        except FieldelmError as error:
            print(f"bench all: {name} is left out: {error}", file=sys.stderr)
            failed += 1
            continue
        seconds = round(time.monotonic() - began)
        if not kept:
            _keep(args.out, name, document, {"source": source, "seconds": seconds, "quick": args.quick})
        for table in report.RENDER[name](document) if name in report.RENDER and document else []:
            table.write_csv(args.out)
            accuracy_cli.show([table])
        how = f"as made before, in {args.out}" if kept else f"{seconds} s"
        print(f"bench all: {name}: {how}", file=sys.stderr, flush=True)
    if set(targets.NEEDS) <= set(wanted):
        reached = report.tables(args.out).get("targets")
        if reached is not None:
            reached.write_csv(args.out)
            accuracy_cli.show([reached])
    if args.docs:
        for page in publish(args.out, args.docs):
            print(f"page: {page}", file=sys.stderr)
    return 1 if failed else 0


def _source(fan: CoolingFan | None, *, quick: bool) -> str:
    """What a part is made of: the code of node, kernels, gateway and benches, the interpreter, the recordings."""
    root = environment.repository_root()
    digest = hashlib.sha256(f"{quick} {environment.micropython()}".encode())
    for folder in CODE:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".py", ".c", ".h", ".S"):
                digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    for path in sorted(fan.folder.glob(f"{fan.size}_*.zip")) if fan else []:
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
    return digest.hexdigest()


def _made(out: Path) -> dict[str, dict[str, Any]]:
    try:
        return dict(json.loads((out / MADE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _is_made(out: Path, name: str, source: str) -> bool:
    made = _made(out).get(name, {})
    return made.get("source") == source and (not made["result"] or (out / made["result"]).is_file())


def _keep(out: Path, name: str, document: dict[str, Any] | None, made: dict[str, Any]) -> None:
    made["result"] = "" if document is None else f"{name}.json"
    if document is not None:
        document["made"] = {
            "seconds": made["seconds"],
            "quick": made["quick"],
            "kernels": environment.micropython().kernels,
            "machine": platform.machine(),
            "revision": _revision(),
        }
        (out / made["result"]).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (out / MADE).write_text(json.dumps({**_made(out), name: made}, indent=1) + "\n", encoding="utf-8")


def _kept(out: Path, name: str) -> dict[str, Any] | None:
    path = out / f"{name}.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None
    except ValueError:
        raise FieldelmError(f"{path} is damaged: delete it and {out / MADE}") from None


def _revision() -> str:
    """Of the checkout that was measured; empty without git."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def publish(out: Path, docs: Path) -> list[Path]:
    """Take results and those pictures that the pages show over into the documentation; returns the pages with tables."""
    (docs / report.RESULTS).mkdir(parents=True, exist_ok=True)
    for name in report.RENDER:
        if (out / f"{name}.json").is_file():
            shutil.copyfile(out / f"{name}.json", docs / report.RESULTS / f"{name}.json")
    shown = "".join(path.read_text(encoding="utf-8") for path in docs.rglob("*.md"))
    for picture in out.glob("*.svg"):
        if f"{IMAGES}/{picture.name}" in shown:
            shutil.copyfile(picture, docs / IMAGES / picture.name)
    return report.write_pages(docs)


def _tasks(features: str) -> Part:
    def made(fan: CoolingFan | None, out: Path, quick: bool) -> dict[str, Any]:
        seeds = accuracy_cli.SEEDS[:1] if quick or features == "raw511" else accuracy_cli.SEEDS
        assert fan is not None
        document = accuracy.run(fan, features, list(seeds), with_peers=True)
        accuracy_cli.plot(out, document, [])
        return document

    return made


def _suites(fan: CoolingFan | None, out: Path, quick: bool) -> dict[str, Any]:
    document, outcomes = accuracy_cli.live(list(SUITES), fan, quick=quick, seeds=None, with_peers=False)
    accuracy_cli.plot(out, document, outcomes)
    return document


def _peers(fan: CoolingFan | None, _out: Path, quick: bool) -> dict[str, Any]:
    from . import peer_suites

    return {"peers": peer_suites.compare(fan, list(SUITES), quick)}


def _ablation(fan: CoolingFan | None, _out: Path, _quick: bool) -> dict[str, Any]:
    return ablate(ABLATION_SUITES, fan, quick=True, seeds=ABLATION_SEEDS)


def _threshold(fan: CoolingFan | None, _out: Path, quick: bool) -> dict[str, Any]:
    assert fan is not None
    return meaning.measure(fan, list(accuracy_cli.SEEDS[: 1 if quick else 3]), quick)


def _life(_fan: CoolingFan | None, out: Path, _quick: bool) -> None:
    life.draw(out)


def _other(name: str, *options: str, quickly: Sequence[str] = ()) -> Part:
    """Another bench of `fieldelm bench`, by its own command line."""

    def made(_fan: CoolingFan | None, out: Path, quick: bool) -> dict[str, Any]:
        from .. import cli

        said = io.StringIO()
        words = [option.format(out=out) for option in (*options, *(quickly if quick else ()))]
        with contextlib.redirect_stdout(said):
            code = cli.main(["bench", name, "--json", *words])
        if code:
            raise FieldelmError(f"`fieldelm bench {name}` ended with {code}")
        return dict(json.loads(said.getvalue()))

    return made


PARTS: dict[str, Part] = {
    "bands": _tasks("bands"),
    "raw511": _tasks("raw511"),
    "life": _life,
    "ablation": _ablation,
    "suites": _suites,
    "threshold": _threshold,
    "peers": _peers,
    "kernels": _other("kernels"),
    "kernel-growth": _other("kernels", "--sweep", "{out}/kernel-growth.svg"),
    "gateway": _other("gateway", quickly=("--frames", "2000", "--seconds", "2")),
    "link": _other("link", "--plot", "{out}", quickly=("--nodes", "5", "--days", "1")),
}
"""Name, and how it is made."""
RECORDED = frozenset({"bands", "raw511", "ablation", "suites", "threshold", "peers"})
"""Parts that need the recordings."""
