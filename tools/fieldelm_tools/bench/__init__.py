"""`fieldelm bench`: figures about the node's own code, from one command.

A bench is a line in `BENCHES` and a module with `add_arguments(parser)` and `run(args) -> int`, imported when used.
"""

import argparse
import importlib

BENCHES = {
    "all": ("everything", "every table and plot of the documentation"),
    "gateway": ("gateway", "frames through the gateway, from the serial line to a subscriber of a real Mosquitto"),
    "link": (
        "link",
        "a simulated week of many nodes: loss, collisions, outages, power cuts; delay, airtime, energy, battery",
    ),
    "accuracy": ("accuracy_cli", "what the learner finds: cooling-fan tasks, peers, and suites of scripted streams"),
    "kernels": (
        "kernels",
        "cycles of the arithmetic on the emulated RP2040, and how far they are from the processor's limit",
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The benches, as commands of their own."""
    what = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    for name, (module_name, line) in BENCHES.items():
        bench = what.add_parser(name, help=line, description=line[0].upper() + line[1:] + ".", allow_abbrev=False)
        module = importlib.import_module(f"{__name__}.{module_name}")
        module.add_arguments(bench)
        bench.set_defaults(run=module.run)
