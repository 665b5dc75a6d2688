"""Child processes that never outlive the demo: not after an error, Ctrl-C, SIGTERM, on Linux not after SIGKILL."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from ..errors import FieldelmError

GRACE_S = 8.0
# Runs before the program and becomes it: asks Linux for SIGTERM when the parent dies (prctl(2), PR_SET_PDEATHSIG = 1).
_FOLLOW_PARENT = (
    "import ctypes, os, sys\n"
    "try: ctypes.CDLL(None).prctl(1, 15)\n"
    "except (AttributeError, OSError): pass\n"
    "if os.getppid() != int(sys.argv[1]): sys.exit(1)\n"
    "os.execvpe(sys.argv[2], sys.argv[2:], os.environ)\n"
)


class Terminated(SystemExit):
    """SIGTERM as an exception, so that every `finally` runs; exit code 143."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGTERM)


def _terminated(_number: int, _frame: FrameType | None) -> None:
    raise Terminated


class Children:
    """The processes of one run, stopped in the reverse order of their start.

    Start them from the main thread: Linux ties the parent's death to the thread that started the child.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: list[tuple[str, subprocess.Popen[str]]] = []

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        pipe: bool = False,
    ) -> "subprocess.Popen[str]":
        """Start a process; what it says goes to `<name>.log`, with `pipe` only its standard error does."""
        with (self._logs / f"{name}.log").open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", _FOLLOW_PARENT, str(os.getpid()), *command],
                env=None if env is None else dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipe else log,
                stderr=log,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,  # Ctrl-C reaches the demo alone, which then stops them in order
            )
        self._running.append((name, process))
        return process

    def check(self) -> None:
        """Raise FieldelmError if one of them has ended by itself."""
        for name, process in self._running:
            code = process.poll()
            if code is not None:
                raise FieldelmError(f"{name} ended with exit code {code}: {self.last_line(name)}")

    def last_line(self, name: str) -> str:
        """What a process said last, and where the rest is."""
        path = self._logs / f"{name}.log"
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []
        said = [line.strip() for line in lines if line.strip()]
        return f"{said[-1]} ({path})" if said else f"it said nothing ({path})"

    def stop(self, name: str) -> None:
        """Stop one process: SIGTERM, and SIGKILL if it does not end."""
        for entry in [e for e in self._running if e[0] == name]:
            self._running.remove(entry)
            _stop(entry[1])

    def stop_all(self) -> None:
        """Stop every process, the last one first; a second Ctrl-C does not leave one behind."""
        while self._running:
            _, process = self._running.pop()
            try:
                _stop(process)
            except BaseException:
                process.kill()
                for _, other in self._running:
                    other.kill()
                raise


def _stop(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout:
        process.stdout.close()


@contextlib.contextmanager
def children(logs: Path) -> Iterator[Children]:
    """Children that are stopped when the block is left, however it is left."""
    before = signal.signal(signal.SIGTERM, _terminated)
    started = Children(logs)
    try:
        yield started
    finally:
        try:
            started.stop_all()
        finally:
            signal.signal(signal.SIGTERM, before)


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
