"""Boards for the commands that talk to boards: emulated Picos behind TCP ports."""

import os
import shutil
import subprocess
import sys
import threading
import time

import pytest

from fieldelm_tools import emulate, firmware
from fieldelm_tools.emulator import Emulator, install
from fieldelm_tools.errors import SetupError

ADXL345 = {
    "name": "sensor",
    "type": "adxl345",
    "spi": {"sck": 6, "mosi": 7, "miso": 4, "cs": 5},
    "pins": {"int1": 8},
    "signal": {"sines": [{"axis": 0, "hz": 50, "g": 0.5}], "noise": 0.02},
}

SX1276 = {
    "name": "radio",
    "type": "sx1276",
    "spi": {"sck": 10, "mosi": 11, "miso": 12, "cs": 13},
    "pins": {"reset": 14, "dio0": 15},
}


@pytest.fixture(scope="session")
def images(node_js):
    """`images(plain)`: path of the Pico's firmware, or of MicroPython alone."""
    try:
        install.boot_rom()
        firmware.tools()
    except SetupError as error:
        pytest.skip(f"no emulated Pico: {error}")
    return lambda plain=False: firmware.build("rpi_pico", plain=plain).uf2


@pytest.fixture
def pico(images):
    """`pico(…)`: an emulator with one Pico `node`; keys as in the emulator's description. `trace`: frames are events."""
    running = []

    def start(*, plain=False, names=("node",), trace=False, **keys):
        described = [{"name": name, "firmware": str(images(plain)), **keys} for name in names]
        running.append(Emulator({"picos": described, "trace": trace}))
        return running[-1]

    yield start
    for emulator in running:
        emulator.close()


class Boot:
    """What a boot ROM does with the drive of a board in BOOTSEL mode: takes a whole file and starts it."""

    def __init__(self, emulator, folder):
        self.emulator, self.folder = emulator, folder
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def drive(self):
        return self.folder / "node-RPI-RP2"

    def _run(self):
        self.emulator.wait_for(lambda event: event["event"] == "bootloader", 60)
        folder = emulate.drive(self.folder, "node")
        while not (uf2 := emulate.complete(folder)):
            time.sleep(0.05)
        self.emulator.command("flash", pico="node", uf2=str(uf2))
        shutil.rmtree(folder)


@pytest.fixture
def boot_rom(tmp_path):
    return lambda emulator: Boot(emulator, tmp_path)


class Result:
    def __init__(self, process, out, err):
        self.code, self.out, self.err = process.returncode, out, err
        self.lines = err.strip().splitlines()

    def __repr__(self):
        return f"exit code {self.code}\n{self.out}\n{self.err}"


@pytest.fixture
def fieldelm(tmp_path):
    """`fieldelm(words…)`: run the command in a folder of its own; `start=True` returns the process."""
    running = []

    def run(*words, start=False):
        command = [sys.executable, "-m", "fieldelm_tools.cli", *map(str, words)]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process if start else ended(process)

    def ended(process, timeout=110):
        out, err = process.communicate(timeout=timeout)
        return Result(process, out, err)

    run.ended = ended
    run.folder = tmp_path
    yield run
    for process in running:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture
def sensor_chip():
    return ADXL345


@pytest.fixture
def radio_chip():
    return SX1276
