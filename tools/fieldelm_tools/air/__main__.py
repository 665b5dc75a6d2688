"""Run an air by hand: `python -m fieldelm_tools.air --port 7500`."""

import argparse
import logging
import sys

from . import AirOptions, AirServer, Propagation


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m fieldelm_tools.air", description=__doc__)
    parser.add_argument(
        "--port", type=int, default=7500, help="TCP port on loopback, 0 for any free one (default 7500)"
    )
    parser.add_argument(
        "--speed", type=float, default=1.0, help="simulated seconds a second, 0 for no limit (default 1)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of fading and loss (default 1)")
    parser.add_argument(
        "--loss", type=float, default=0.0, help="probability that a receiver misses a frame (default 0)"
    )
    parser.add_argument("--expect-nodes", type=int, default=0, metavar="N", help="time starts when N nodes have joined")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    conditions = Propagation(seed=options.seed, loss=options.loss)
    try:
        air = AirServer(
            AirOptions(conditions=conditions, speed=options.speed, expect_nodes=options.expect_nodes), port=options.port
        )
    except (OSError, OverflowError) as error:
        print(f"port {options.port} cannot be served ({error}): choose another with --port", file=sys.stderr)
        return 2
    print(f"air on {air.address}", flush=True)
    try:
        air.serve()
    except KeyboardInterrupt:
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
