"""Emulated Picos with MicroPython on them."""

import os
import shutil
import socket
import sys
import time
from pathlib import Path

import pytest

from fieldelm_tools import firmware as builder
from fieldelm_tools.emulator import Emulator
from fieldelm_tools.errors import SetupError

sys.path.insert(0, str(Path(__file__).parent))  # emulated_chips: shared by the tests here


@pytest.fixture(scope="session")
def firmware(node_js):
    """MicroPython for the Pico without the node's app, built if it is out of date; or FIELDELM_TEST_FIRMWARE."""
    if given := os.environ.get("FIELDELM_TEST_FIRMWARE"):
        return Path(given)
    try:
        builder.tools()
    except SetupError as error:
        pytest.skip(str(error))
    return builder.build("rpi_pico", plain=True).uf2


class Repl:
    """MicroPython's raw REPL behind a TCP port."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.settimeout(60)
        self.buffer = b""
        self.write(b"\r\x03\x03\r\x01")
        self.until(b"raw REPL; CTRL-B to exit\r\n>")

    def write(self, data):
        self.socket.sendall(data)

    def until(self, end):
        while end not in self.buffer:
            piece = self.socket.recv(65536)
            assert piece, f"the port was closed after {self.buffer!r}"
            self.buffer += piece
        found, _, self.buffer = self.buffer.partition(end)
        return found

    def run(self, code):
        """Run code and return what it prints; an exception there is a failure here."""
        self.start(code)
        printed = self.until(b"\x04").decode().replace("\r\n", "\n")
        raised = self.until(b"\x04>").decode()
        assert not raised, raised
        return printed

    def start(self, code):
        """Run code without waiting for its end."""
        self.write(code.encode() + b"\x04")
        self.until(b"OK")

    def value(self, expression):
        """The value of an expression, evaluated there."""
        return eval(self.run(f"print(repr(({expression})))"))

    def close(self):
        self.socket.close()


class Bench:
    """An emulator and the REPLs of its Picos."""

    def __init__(self, emulator):
        self.emulator = emulator
        self.repls = {}

    def repl(self, pico="node", again=False):
        if again and pico in self.repls:
            self.repls.pop(pico).close()
            time.sleep(0.1)
        if pico not in self.repls:
            self.repls[pico] = Repl(self.emulator.ports[pico])
        return self.repls[pico]

    def status(self, pico="node"):
        return self.emulator.command("status", pico=pico)


@pytest.fixture
def bench(firmware):
    """`bench(chip, …, key=…)`: one emulated Pico `node` with these chips and keys of the description."""
    running = []

    def start(*chips, others=(), image=firmware, **keys):
        top = {key: keys.pop(key) for key in ("trace", "air", "pace", "host_pace") if key in keys}
        picos = [{"name": "node", "firmware": str(image), "chips": list(chips), **keys}]
        picos += [{"firmware": str(image), **other} for other in others]
        running.append(Emulator({"picos": picos, **top}))
        return Bench(running[-1])

    yield start
    for emulator in running:
        emulator.close()


@pytest.fixture
def mpremote():
    """The program mpremote."""
    program = Path(sys.executable).parent / "mpremote"
    return str(program) if program.is_file() else shutil.which("mpremote") or pytest.skip("mpremote is not installed")
