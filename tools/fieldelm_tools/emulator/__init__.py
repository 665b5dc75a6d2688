"""Emulated Picos: a node.js program (run.mjs) that this module starts, tells what to do and listens to.

    with Emulator({"picos": [{"name": "node", "firmware": "fieldelm-rpi_pico.uf2"}]}) as emulator:
        emulator.address("node")                      what mpremote and pyserial connect to: socket://127.0.0.1:…
        emulator.command("power_cut", operation=3)    a command, and its answer
        emulator.events                               what it has said so far

Descriptions and commands: docs/reference/emulator.md.
"""

import dataclasses
import json
import os
import queue
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from ..air import AirOptions, AirServer, Propagation
from ..errors import FieldelmError
from . import install

_START_S = 60.0
_ANSWER_S = 120.0
_END_S = 10.0
LOSS_DB = 80.0
"""between two radios on an air of their own, unless the description says otherwise"""


class EmulatorError(FieldelmError):
    """The emulator has ended, or refuses a command; the text says why."""


@dataclasses.dataclass(frozen=True)
class _Even(Propagation):
    """The same loss between any two radios: where they are does not matter."""

    shadowing_db: float = 0.0
    fading_db: float = 0.0
    loss_db: float = LOSS_DB

    def path_loss_db(self, distance_m: float, freq_khz: int) -> float:  # noqa: ARG002
        """The loss."""
        return self.loss_db


class Emulator:
    """A running `run.mjs`, and the air between its radios unless the description names one."""

    def __init__(self, description: Mapping[str, Any]) -> None:
        """Start it and wait until its ports are open. Raises `EmulatorError` and `SetupError`."""
        install.packages()
        node = install.node()
        described = {"boot_rom": str(install.boot_rom()), **description}
        self._air: AirServer | None = None
        if not isinstance(given := described.get("air", {}), str):
            self._air = AirServer(AirOptions(conditions=_Even(**given), stall_s=0))
            self._air.start()
            described["air"] = {"address": self._air.address, "alone": True}
        self.events: list[dict[str, Any]] = []
        self.ports: dict[str, int] = {}
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._ended = False
        self._number = 0
        with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
            json.dump(described, file)
        self._description = Path(file.name)
        self._process = subprocess.Popen(
            [node, str(install.HERE / "run.mjs"), file.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ,
        )
        self._reader = threading.Thread(target=self._read, name="emulator", daemon=True)
        self._reader.start()
        try:
            ready = self.wait_for(lambda event: event.get("event") == "ready", _START_S)
        except EmulatorError:
            self.close()
            raise
        self.ports = {pico["name"]: pico["port"] for pico in ready["picos"]}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def address(self, pico: str | None = None) -> str:
        """Where a Pico's serial port is (the first one's if none is named), as pyserial takes it."""
        name = pico or next(iter(self.ports))
        return f"socket://127.0.0.1:{self.ports[name]}"

    def command(self, op: str, **arguments: object) -> dict[str, Any]:
        """Carry out a command. Raises `EmulatorError` with the reason if it is refused."""
        self._number += 1
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"id": self._number, "op": op, **arguments}) + "\n")
            self._process.stdin.flush()
            answer = self._answers.get(timeout=_ANSWER_S)
        except (OSError, queue.Empty):
            answer = None
        if answer is None:
            raise EmulatorError(self._why())
        if not answer["ok"]:
            raise EmulatorError(f"emulator: {op}: {answer['why']}")
        return answer

    def wait_for(self, wanted: Any, timeout_s: float) -> dict[str, Any]:
        """The first event, past or to come, for which `wanted(event)` holds. Raises `EmulatorError`."""
        seen = 0
        with self._changed:
            while True:
                for event in self.events[seen:]:
                    if wanted(event):
                        return event
                seen = len(self.events)
                if self._ended or not self._changed.wait(timeout_s):
                    raise EmulatorError(self._why() if self._ended else "emulator: the expected event did not come")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            line = json.loads(text)
            if "ok" in line:
                self._answers.put(line)
                continue
            with self._changed:
                self.events.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._answers.put(None)

    def _why(self) -> str:
        try:
            self._process.wait(_END_S if self._ended else 0)
        except subprocess.TimeoutExpired:
            return "emulator: no answer"
        assert self._process.stderr is not None
        said = [line for line in self._process.stderr.read().splitlines() if line.startswith("emulator: ")]
        return said[-1] if said else f"emulator: ended with exit code {self._process.returncode}"

    def close(self) -> None:
        """End the program."""
        if self._process.stdin is not None:
            try:
                self._process.stdin.close()
            except OSError:
                pass
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(10)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        self._description.unlink(missing_ok=True)
        if self._air is not None:
            self._air.stop()
