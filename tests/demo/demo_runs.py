"""Runs of `fieldelm demo` as a user makes them: its own process, its files read afterwards."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

COMMAND = (sys.executable, "-m", "fieldelm_tools.cli", "demo")
LIMIT_S = 170  # the demo ends by itself within three minutes


@dataclass(frozen=True)
class Run:
    """A finished run."""

    code: int
    stdout: str
    stderr: str
    folder: Path

    @property
    def figures(self):
        return json.loads((self.folder / "run.json").read_text())

    def lines(self, name):
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    @property
    def events(self):
        """Every event message that the subscriber received, repeats too."""
        return [m["payload"] for m in self.lines("events.jsonl") if m["topic"].endswith("/event")]


def play(folder, *arguments):
    """Run the demo to its end."""
    command = [*COMMAND, "--out", str(folder), *map(str, arguments)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S)
    return Run(done.returncode, done.stdout, done.stderr, Path(folder))


@pytest.fixture(scope="session")
def simulated(tmp_path_factory):
    """The demo as it is, once for all tests that only look at what came of it."""
    return play(tmp_path_factory.mktemp("simulated"), "--json")


class Broker:
    """Mosquitto on a port of its own, and a mosquitto_sub that listens to all of it."""

    def __init__(self, folder):
        path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
        broker, listener = shutil.which("mosquitto", path=path), shutil.which("mosquitto_sub", path=path)
        if not broker or not listener:
            pytest.fail("mosquitto is not installed: sudo apt-get install mosquitto mosquitto-clients")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"mqtt://127.0.0.1:{self.port}"
        config = folder / "mosquitto.conf"
        config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        self._listener = listener
        self._heard = folder / "heard.txt"
        self._processes = []
        with (folder / "mosquitto.log").open("w") as log:
            self._processes.append(subprocess.Popen([broker, "-c", config], stdout=log, stderr=log))
        until = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                break
            assert time.monotonic() < until, (folder / "mosquitto.log").read_text()
            time.sleep(0.05)

    def listen(self):
        """Start mosquitto_sub on every topic."""
        command = [self._listener, "-h", "127.0.0.1", "-p", str(self.port), "-q", "1", "-v", "-t", "#"]
        with self._heard.open("w") as out:
            self._processes.append(subprocess.Popen(command, stdout=out))
        time.sleep(0.3)

    def heard(self):
        """(topic, payload) of everything that mosquitto_sub has printed."""
        return [tuple(line.split(" ", 1)) for line in self._heard.read_text().splitlines() if " " in line]

    def retained(self):
        """What one who comes late is sent, in a second."""
        command = [self._listener, "-h", "127.0.0.1", "-p", str(self.port), "-v", "-t", "#", "-W", "1"]
        return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.splitlines()

    def stop(self):
        for process in reversed(self._processes):
            process.terminate()
            process.wait(10)


@pytest.fixture
def broker(tmp_path):
    """A real broker."""
    broker = Broker(tmp_path)
    yield broker
    broker.stop()
