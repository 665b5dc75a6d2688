"""The `fieldelm` command.

A command is a line in `COMMANDS` and a module that is imported only when the command is used. The module offers
`add_arguments(parser)` and `run(args) -> int` (the exit code). Where a module serves two commands, the function that
adds a command's arguments is named after a colon, and says `parser.set_defaults(run=…)`.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

COMMANDS: dict[str, dict[str, tuple[str, str]]] = {
    "Try it": {
        "demo": ("fieldelm_tools.demo", "a broker, a gateway and three nodes: they learn, move, find a broken blade"),
        "replay": ("fieldelm_tools.replay", "the node's own code on your recordings"),
    },
    "Gateway": {
        "gateway": ("fieldelm_gateway.cli:add_gateway_arguments", "run, check and configure the gateway"),
        "monitor": ("fieldelm_tools.monitor", "follow events in the terminal"),
        "node": ("fieldelm_gateway.cli:add_node_arguments", "list the nodes and send them commands"),
        "provision": ("fieldelm_tools.provision", "make a node: its identity, keys and configuration"),
    },
    "Boards": {
        "flash": ("fieldelm_tools.flash", "put Fieldelm on a board: firmware, or a package for stock MicroPython"),
        "emulate": ("fieldelm_tools.emulate", "Picos with radio and sensor on this machine, running the real firmware"),
        "record": ("fieldelm_tools.record", "raw windows of a node's sensor over USB, for replay"),
    },
    "Develop": {
        "bench": ("fieldelm_tools.bench", "measure the learner: accuracy, peers, and suites of scripted streams"),
        "build": ("fieldelm_tools.build", "build the firmware and the native modules"),
    },
}


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and where the help is."""

    def error(self, message: str) -> NoReturn:
        """Exit with 2."""
        self.exit(USAGE, f"{self.prog}: {message} (see `{self.prog} --help`)\n")


def overview() -> str:
    """The list of commands in the help."""
    lines = []
    for group, commands in COMMANDS.items():
        lines.append(f"\n{group}:")
        lines += [f"  {name:<10} {line}" for name, (_, line) in commands.items()]
    lines.append("\n`fieldelm COMMAND --help` tells more.")
    lines.append("Exit codes: 0 done, 1 the work failed, 2 usage or configuration.")
    return "\n".join(lines)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; the result's `run` does the work."""
    parser = Parser(
        prog="fieldelm",
        usage="fieldelm [--help] [--version] COMMAND …",
        description="Sensor nodes that learn on the spot what normal sounds like, and their gateway.",
        epilog=overview(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"fieldelm {version('fieldelm')}")
    parser.add_argument("command", nargs="?", metavar="COMMAND", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    top = parser.parse_args(arguments)
    known = {name: entry for commands in COMMANDS.values() for name, entry in commands.items()}
    if top.command is None:
        parser.error("which command?")
    if top.command not in known:
        parser.error(f"there is no command {top.command!r}: commands are {', '.join(known)}")
    target, line = known[top.command]
    module_name, _, function = target.partition(":")
    module = importlib.import_module(module_name)
    command = Parser(prog=f"fieldelm {top.command}", description=line[0].upper() + line[1:] + ".", allow_abbrev=False)
    command.set_defaults(run=getattr(module, "run", None))
    getattr(module, function or "add_arguments")(command)
    return command.parse_args(top.rest)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; every failure is one line on standard error."""
    try:
        args = parse(arguments)
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # noqa: BLE001 (the last resort: one line for the user, whatever it was)
        return report(error)


def report(error: Exception) -> int:
    """Print an error as one line and return its exit code. FIELDELM_DEBUG=1 raises it instead."""
    if os.environ.get("FIELDELM_DEBUG"):
        raise error
    code = getattr(error, "exit_code", None)
    if isinstance(code, int):
        text = str(error)
    elif isinstance(error, OSError) and error.strerror:
        code, text = FAILED, f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        code, text = FAILED, f"{type(error).__name__}: {error} (a fault in the program: FIELDELM_DEBUG=1 shows where)"
    print("fieldelm: " + " ".join(text.split()), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
