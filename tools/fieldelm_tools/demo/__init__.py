"""`fieldelm demo`: a broker, a gateway, three nodes that learn, are moved, relearn on the spot and find a broken blade.

plans      which nodes, which machines or recordings, which phases      story      what must happen, and whether it did
engine     plays it                                                     terminal   shows it
recorder   the independent MQTT subscriber                              folder, processes, broker, network
"""

import argparse
import json
from pathlib import Path

from ..environment import build_directory
from ..errors import SetupError, UsageError

PARTS = ("move", "damage", "command")  # of the story, that `--without` can leave out


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `fieldelm demo`."""
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="play the recordings in DIR/cooling-fan instead of the model"
    )
    parser.add_argument(
        "--broker", metavar="URL", help="use this broker, mqtt://[user:password@]host[:port], not the embedded one"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the results go (default build/demo)")
    parser.add_argument(
        "--nodes", type=int, default=3, metavar="N", help="1 to 8 nodes, with --data up to 3 (default 3)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of machines, noise and radio (default 1)")
    parser.add_argument(
        "--speed",
        type=float,
        metavar="X",
        help="at most X times as fast as real, 0: as fast as it goes (default: a minute for all on a terminal, else 0)",
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave everything running when the story has ended, until Ctrl-C"
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document with the figures, and nothing else"
    )
    parser.add_argument(
        "--without", choices=PARTS, help="leave this part out and see the demo notice that it is missing"
    )


def check_arguments(args: argparse.Namespace) -> None:
    """Raises UsageError for what the parser cannot know."""
    most = 3 if args.data else 8
    if not 1 <= args.nodes <= most:
        raise UsageError(f"--nodes {args.nodes} must be from 1 to {most}{' with --data' if args.data else ''}")
    if args.speed is not None and not 0 <= args.speed <= 1e6:
        raise UsageError(f"--speed {args.speed:g} must be from 0 (as fast as it goes) to 1000000")
    if not 0 <= args.seed < 1 << 32:
        raise UsageError(f"--seed {args.seed} must be from 0 to {(1 << 32) - 1}")


def run(args: argparse.Namespace) -> int:
    """Play the story; 0 if it unfolded, 1 if not."""
    check_arguments(args)
    try:
        from .play import play_demo
    except ModuleNotFoundError as error:
        raise SetupError(f"the Python package {error.name} is missing: run `make setup`") from None
    document = play_demo(args, (args.out or build_directory() / "demo").resolve())
    if args.json:
        print(json.dumps(document, indent=1))
    return 0 if document["ok"] else 1
