"""Emulated Picos that run the firmware of this checkout."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fieldelm_tools import firmware as builder
from fieldelm_tools.emulator import Emulator
from fieldelm_tools.errors import SetupError

sys.path.insert(0, str(Path(__file__).parent))  # emulated: shared by the tests here

from emulated import Port


@pytest.fixture(scope="session")
def firmware(node_js: str) -> Path:
    """The firmware for the Pico, built if it is out of date."""
    try:
        return builder.build("rpi_pico").uf2
    except SetupError as error:
        pytest.skip(str(error))


@pytest.fixture
def emulate(firmware: Path) -> Iterator[Callable[..., Emulator]]:
    """`emulate({"name": …, "chips": […]}, …, key=…)`: emulated Picos, and keys of the whole description."""
    running: list[Emulator] = []

    def start(*picos: dict[str, Any], **keys: Any) -> Emulator:
        running.append(Emulator({"picos": [{"firmware": str(firmware), **pico} for pico in picos], **keys}))
        return running[-1]

    yield start
    for port in list(Port.opened):
        port.close()
    for emulator in running:
        emulator.close()
