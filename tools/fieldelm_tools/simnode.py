"""A node on this machine: its folder, and its MicroPython process with the memory of a Pico.

    node = SimNode(folder, config, said=print)
    node.start()
    node.stop()

`python -m fieldelm_tools.simnode nodes/fan` runs what `fieldelm provision --sim` has made.

The process prints one JSON object a line for what a program reads; everything else (a traceback, for example) is text.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import environment, rom

HEAP = "192k"
"""about what a Pico leaves, where the code runs in place (rom.py)"""
HEAP_WITH_CODE = "480k"
"""the same and room for the code, which other ports of MicroPython keep in the heap"""
RESTART = 64
"""exit code of a node that wants to be started again (boards/sim/board.py)"""
CAUSE_REQUESTED = "3"

_LINE_CHARACTERS = 65536
_GRACE_S = 5.0
_LOOK_S = 0.2

Said = dict[str, Any] | str
"""What a node said in one line: the JSON object, or the text if it is none."""


def lay_out(folder: Path, config: Mapping[str, Any]) -> Path:
    """Write a node's config.json, readable for its owner alone, if it does not say that already, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.json"
    with contextlib.suppress(OSError, ValueError):
        if json.loads(path.read_text(encoding="utf-8")) == config:
            path.chmod(0o600)
            return path
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2)
    return path


class SimNode:
    """One node. It starts itself again when its code asks for that; any other end is an end."""

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        said: Callable[[Said], None] = lambda _: None,
        *,
        heap: str | None = None,
        main: Path | None = None,
    ) -> None:
        """Lays out the folder. `said` is called from a thread for every line; `main` replaces device/main.py."""
        self.folder = folder
        self.restarts = 0
        self.exit_code: int | None = None
        self._said = said
        self._command = [*_program(heap, main), "config.json"]
        self._environment = environment.micropython_environment("sim")
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._run, name=f"node {folder.name}", daemon=True)
        self._lock = threading.Lock()
        self._stopping = False
        lay_out(folder, config)

    def start(self) -> None:
        """Start the process. Raises `OSError` if there is none to be had."""
        self._process = self._spawn(self._environment)
        self._thread.start()

    def stop(self) -> None:
        """End the process, by force if it does not listen."""
        with self._lock:
            self._stopping = True
            process = self._process
        if process and process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_S)
            if process.poll() is None:
                process.kill()
        self.wait()

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the end; returns the exit code, or `None` if it still runs."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return self.exit_code

    def _spawn(self, variables: Mapping[str, str]) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self._command,
            cwd=self.folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C is for who started it
        )

    def _run(self) -> None:
        while self._process:
            self._read(self._process)
            code = self._process.wait()
            with self._lock:
                if code != RESTART or self._stopping:
                    self.exit_code = code
                    return
                self.restarts += 1
                self._process = self._spawn({**self._environment, "FIELDELM_BOOT_CAUSE": CAUSE_REQUESTED})

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout
        with process.stdout as lines:
            while line := lines.readline(_LINE_CHARACTERS):
                self._said(_parse(line.rstrip("\n")))


def _program(heap: str | None, main: Path | None) -> list[str]:
    if main is None and rom.available():
        return rom.command(rom.build("sim"), heap or HEAP)
    main = main or environment.repository_root() / "device" / "main.py"
    return [*environment.micropython_command(), "-X", f"heapsize={heap or HEAP_WITH_CODE}", str(main)]


def _parse(line: str) -> Said:
    if line.startswith("{"):
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            return line
        if isinstance(said, dict):
            return said
    return line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one node until it ends, or until SIGINT or SIGTERM; print what it says."""
    parser = argparse.ArgumentParser(
        prog="python -m fieldelm_tools.simnode",
        description="Run a simulated node that `fieldelm provision --sim` has made, until Ctrl-C.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of the node: holds its config.json")
    folder = parser.parse_args(arguments).folder
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        print(f"{folder}/config.json: {error}: `fieldelm provision --sim` makes one", file=sys.stderr)
        return 2
    node = SimNode(folder, config, lambda said: print(said if isinstance(said, str) else json.dumps(said), flush=True))
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    node.start()
    while node.wait(_LOOK_S) is None:
        if ending.is_set():
            node.stop()
            return 0
    return node.exit_code or 0


if __name__ == "__main__":
    sys.exit(main())
