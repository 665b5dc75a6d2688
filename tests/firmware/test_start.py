"""The Pico's firmware from power-on."""

import json

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CHIPS = [
    {"type": "sx1276", "spi": {"sck": 10, "mosi": 11, "miso": 12, "cs": 13}, "pins": {"reset": 14, "dio0": 15}},
    {"type": "adxl345", "spi": {"sck": 6, "mosi": 7, "miso": 4, "cs": 5}, "pins": {"int1": 8}},
]
CONFIG = {"schema": 1, "board": "rpi_pico", "eui": "0011223344556677", "node_id": 7, "keys": {"0": "5a" * 16}}


def test_without_configuration_it_says_so_and_leaves_the_repl(pico):
    target = pico()
    target.enter()
    target.write(b"\x02")
    target.until(b">>> ")
    target.write(b"\x04")  # soft reset
    said = target.until(b">>> ").decode()
    assert "config.json" in said
    assert "provision" in said
    assert "Traceback" not in said


def test_it_is_what_it_says_it_is(pico, tool_chain):
    target = pico()
    target.enter()
    target.run("import fieldelm_firmware as f, sys; from fieldelm import __version__, kernels")
    assert target.run("print(f.BOARD, f.VERSION == __version__, len(f.BUILD), kernels.NAME)").split() == [
        *("rpi_pico", "True", "12", "native")
    ]
    assert "2025-04-15" in target.run("print(sys.version)")


def test_the_app_leaves_most_of_the_heap_free(pico):
    target = pico(*CHIPS)
    target.enter()
    target.run(f"import json, gc; config = json.loads({json.dumps(CONFIG)!r})")
    target.run("from fieldelm import config as c; settings = c.check(config); del c")
    target.run("import board; b = board.open(settings)")
    assert target.run("print(b.problems)").strip() == "[]"
    target.run("from fieldelm.node import Node; node = Node(settings, b)")
    free = int(target.run("gc.collect(); print(gc.mem_free())"))
    assert free >= 160_000
