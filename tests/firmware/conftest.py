"""Firmware, and targets that run it."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # raw_repl, kernel_vectors: shared by the tests here

from raw_repl import RawRepl  # noqa: E402

from fieldelm_tools import debian, environment, firmware, sources, unix_port  # noqa: E402
from fieldelm_tools.emulator import Emulator  # noqa: E402
from fieldelm_tools.errors import SetupError  # noqa: E402

MACHINES = {"armv6m": "mps2-an385", "armv7emsp": "mps2-an386"}


@pytest.fixture(scope="session")
def tool_chain():
    """What builds firmware."""
    try:
        firmware.tools()
    except SetupError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def qemu_firmware(tool_chain):
    """Build MicroPython's qemu port for an architecture of native modules; return the ELF file."""

    def build(architecture):
        folder = environment.build_directory() / "qemu" / architecture
        folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "BOARD_DIR": HERE / "qemu" / architecture,
            "BUILD": folder,
            "USER_C_MODULES": HERE / "qemu",
            "FROZEN_MANIFEST": "",
            "MICROPY_MPYCROSS": unix_port.mpy_cross(sources.micropython()),
        }
        unix_port.make(sources.micropython() / "ports" / "qemu", settings, f"qemu-{architecture}")
        return folder / "firmware.elf"

    return build


@pytest.fixture
def qemu(qemu_firmware):
    """Start MicroPython on an emulated processor of an architecture; return its raw REPL."""
    if debian.program("qemu-system-arm") is None and not debian.install(["qemu-system-arm"]):
        pytest.skip(f"no qemu-system-arm: {debian.install_line(['qemu-system-arm'])}")
    running = []

    def start(architecture):
        machine = [
            "-machine",
            MACHINES[architecture],
            "-nographic",
            "-monitor",
            "null",
            "-semihosting",
            "-serial",
            "stdio",
        ]
        process = subprocess.Popen(
            [shutil.which("qemu-system-arm"), *machine, "-kernel", str(qemu_firmware(architecture))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        running.append(process)
        target = RawRepl(process.stdout, process.stdin)
        target.enter()
        return target

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def pico(tool_chain):
    """Start the Pico's firmware on the emulated Pico, with these chips; return its REPL, before its first prompt."""
    running = []

    def start(*chips):
        try:
            picos = [{"name": "node", "firmware": str(firmware.build("rpi_pico").uf2), "chips": list(chips)}]
            emulator = Emulator({"picos": picos})
        except SetupError as error:
            pytest.skip(str(error))
        line = socket.create_connection(("127.0.0.1", emulator.ports["node"]))
        running.extend((line, emulator))
        line.settimeout(60)
        target = RawRepl(line.makefile("rb"), line.makefile("wb"))
        target.write(b"\r\x03")  # a prompt, wherever it is
        return target

    yield start
    for thing in running:
        thing.close()
