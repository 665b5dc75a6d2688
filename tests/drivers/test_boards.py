"""The descriptions in boards/: every wrong pin is found, the module made from them is right, the wiring page is current."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest

from fieldelm_tools import boards, environment
from fieldelm_tools.boards_wiring import wiring
from fieldelm_tools.errors import UsageError

BOARDS = ["adafruit_feather_rp2040_rfm95", "rpi_pico", "rpi_pico2", "waveshare_rp2040_lora"]


def test_all_boards_are_described() -> None:
    assert boards.names() == BOARDS
    for name in BOARDS:
        assert boards.problems(boards.load(name), name) == []


def _set(description, path, value):
    *way, last = path.split(".")
    for key in way:
        description = description[key]
    if value is None:
        del description[last]
    else:
        description[last] = value


WRONG = [
    ("radios.sx1276.spi.sck", 11, "cannot be SCK of SPI1: choose one of 10, 14, 26"),
    ("radios.sx1276.spi.miso", 4, "cannot be MISO of SPI1"),
    ("radios.sx1276.spi.mosi", 30, "must be a pin from 0 to 29"),
    ("radios.sx1276.spi.id", 2, "spi.id must be 0 or 1"),
    ("radios.sx1276.dio0", 25, "pin 25 is both led.pin and radios.sx1276.dio0"),
    ("radios.sx1276.dio0", 8, "pin 8 is both radios.sx1276.dio0 and sensors.adxl345_spi.int1"),
    ("radios.sx1276.dio0", True, "must be a pin"),
    ("radios.sx1276.chip", "sx1280", "chip must be one of"),
    ("radios.sx1276.busy", 9, "unknown key busy"),
    ("radios.sx1276.cs", None, "key cs is missing"),
    ("radios.sx1262.busy", None, "key busy is missing"),
    ("radios.sx1262.tcxo_mv", 1900, "tcxo_mv must be one of"),
    ("sensors.adxl345_i2c.i2c.sda", 5, "cannot be SDA of I2C0"),
    ("sensors.adxl345_i2c.i2c.scl", 7, "cannot be SCL of I2C0"),
    ("sensors.adxl345_i2c.address", 24, "address must be one of 83, 29"),
    ("sensors.adxl345_spi.spi", {"id": 1, "sck": 26, "mosi": 27, "miso": 24}, "share SPI1"),
    ("sensors.analog.pin", 4, "must be a pin from 26 to 29"),
    ("sensors.analog.chip", "nose", "chip must be one of"),
    ("battery.divides_by", [3], "divides_by"),
    ("battery.pin", 3, "26 to 29"),
    ("default.radio", "lora", "default.radio must be one of sx1276, sx1262, not lora"),
    ("name", "pico", "make them the same"),
    ("chip", "esp32", "chip must be"),
    ("flash_mb", 3, "flash_mb must be one of 2, 4, 8, 16"),
    ("flash_mb", None, "key flash_mb is missing"),
    ("schema", 2, "schema must be 1"),
    ("tested", "", "tested must be a text"),
    ("colour", "green", "unknown key colour"),
    ("led", 25, "led must be an object"),
    ("radios", {}, "at least one entry"),
]


@pytest.mark.parametrize(("path", "value", "words"), WRONG)
def test_what_is_wrong_is_named(path: str, value: object, words: str) -> None:
    description = copy.deepcopy(boards.load("rpi_pico"))
    _set(description, path, value)
    assert any(words in problem for problem in boards.problems(description, "rpi_pico")), boards.problems(
        description, "rpi_pico"
    )


def test_broken_files_are_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    file = folder / "board.json"
    for text, words in (("{", "not valid JSON"), ("[]", "must be an object"), ("{}", "is missing")):
        file.write_text(text)
        with pytest.raises(UsageError, match=words):
            boards.load_file(file, "mine")
    with pytest.raises(UsageError, match="boards are adafruit"):
        boards.load("no_such_board")


@pytest.mark.parametrize("name", BOARDS)
def test_module_gives_the_node_what_it_reads(name: str, tmp_path: Path) -> None:
    (tmp_path / "board.py").write_text(boards.module(boards.load(name)))
    code = (
        "import board, json\nprint(json.dumps(board.description()))"  # and nothing of the package, which may be damaged
    )
    variables = environment.micropython_environment("sim")
    variables["MICROPYPATH"] = f"{tmp_path}:.frozen"
    done = subprocess.run(
        [*environment.micropython_command(), "-c", code], env=variables, capture_output=True, text=True, check=True
    )
    given = json.loads(done.stdout)
    full = boards.load(name)
    assert given["name"] == name
    for what in ("radios", "sensors"):
        for key, entry in full[what].items():
            assert boards.used_pins(key, given[what][key]) == boards.used_pins(key, entry)
    assert given["default"] == full["default"]


def test_wiring_page_is_current() -> None:
    page = environment.repository_root() / "docs" / "how-to" / "wiring.md"
    made = wiring([boards.load(name) for name in boards.names()])
    assert page.read_text(encoding="utf-8") == made, (
        "run `python -m fieldelm_tools.boards wiring > docs/how-to/wiring.md`"
    )
    assert "| DIO0 | GP15 (pin 20) |" in made


def test_commands() -> None:
    for arguments, code, words in (
        (["check"], 0, "rpi_pico: good"),
        (["module", "rpi_pico"], 0, "pico_board.open(config, description())"),
        (["module", "nowhere"], 2, "there is no boards/nowhere/board.json"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "fieldelm_tools.boards", *arguments], capture_output=True, text=True
        )
        assert done.returncode == code
        assert words in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
