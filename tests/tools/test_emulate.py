"""`fieldelm emulate`: descriptions from `board.json`, and whole systems with the firmware that people flash."""

import json
import re
import signal
from argparse import Namespace
from pathlib import Path

import pytest

from fieldelm_tools import boards, boards_picture, emulate, environment
from fieldelm_tools.device import Device
from fieldelm_tools.errors import UsageError

pytestmark = pytest.mark.timeout(400)
EMULATED = [name for name in boards.names() if boards.load(name)["chip"] == "rp2040"]


def arguments(**changes):
    given = {"modem": True, "nodes": 2, "radio": None, "modem_radio": None, "sensor": None, "signal": None}
    return Namespace(**{**given, **changes})


@pytest.mark.parametrize("name", EMULATED)
def test_every_chip_is_wired_as_the_board_says(name, tmp_path):
    board = boards.load(name)
    for radio in board["radios"]:
        for sensor, entry in board["sensors"].items():
            if entry["chip"] == "analog":
                continue
            picos = emulate.describe(
                arguments(radio=radio, sensor=sensor, modem_radio=radio), board, Path("x.uf2"), tmp_path
            )
            assert [pico["name"] for pico in picos] == ["modem", "node-1", "node-2"]
            for pico in picos:
                for chip, where, key in zip(
                    pico["chips"], ("radios", "sensors"), (radio, sensor), strict=pico["name"] != "modem"
                ):
                    described = board[where][key]
                    bus = chip.get("spi") or chip.get("i2c")
                    wires = {**bus, **chip["pins"]}
                    used = set(boards.used_pins("", described).values())
                    assert set(wires.values()) == used, (pico["name"], chip)


def test_a_modem_takes_the_newer_radio_and_nodes_the_default(tmp_path):
    picos = emulate.describe(arguments(nodes=1), boards.load("rpi_pico"), Path("x.uf2"), tmp_path)
    assert [pico["chips"][0]["type"] for pico in picos] == ["sx1262", "sx1276"]
    assert picos[0]["chips"][0]["options"] == {"tcxo": True, "rfSwitch": "dio2"}
    assert picos[1]["battery"] == {"pin": 29, "volts": 3.9, "ratio": 3}


def test_the_picture_in_the_documentation_shows_what_the_board_says():
    path = environment.repository_root() / "docs" / "images" / "wiring-rpi_pico.svg"
    assert path.read_text() == boards_picture.picture(boards.load("rpi_pico")), (
        f"python -m fieldelm_tools.boards_picture > {path}"
    )


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--nodes", "9"), "--nodes 9"),
        (("--nodes", "0"), "--nodes 0"),
        (("--board", "rpi_pico2"), "RP2350 cannot be emulated"),
        (("--board", "adafruit_feather_rp2040_rfm95", "--firmware", "none.uf2"), "larger than the 2 MB"),
        (("--board", "nix"), "there is no boards/nix"),
        (("--pace", "0"), "--pace 0"),
        (("--set", "sense"), "write SECTION.KEY=VALUE"),
    ],
)
def test_what_cannot_be_emulated_is_one_line(fieldelm, words, why):
    result = fieldelm("emulate", *words)
    assert (result.code, len(result.lines)) == (2, 1), result
    assert why in result.err


def test_wrong_parts_are_named(tmp_path):
    board = boards.load("rpi_pico")
    for change, why in [
        ({"radio": "sx1300"}, "has sx1276, sx1262"),
        ({"sensor": "analog"}, "not emulated"),
        ({"signal": "{"}, "not valid JSON"),
        ({"signal": "[]"}, "must be an object"),
    ]:
        with pytest.raises(UsageError, match=why):
            emulate.describe(arguments(**change), board, Path("x.uf2"), tmp_path)


def test_without_node_js_it_says_how_to_get_it(fieldelm, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("NODE", raising=False)
    result = fieldelm("emulate")
    assert (result.code, len(result.lines)) == (2, 1), result
    assert "apt-get install nodejs npm" in result.err


@pytest.mark.slow
def test_two_nodes_and_a_modem_run_and_each_can_be_connected_to(images, fieldelm, tmp_path):
    images()
    process = fieldelm("emulate", "--nodes", "2", "--modem", "--out", "system", start=True)
    addresses = {}
    for line in process.stdout:
        if found := re.match(r"(\S+) +mpremote connect (socket://\S+)", line):
            addresses[found[1]] = found[2]
        if line.startswith("files:"):
            break
    assert list(addresses) == ["modem", "node-1", "node-2"]
    configs = {}
    for name, address in addresses.items():
        with Device(address) as device:
            assert device.about.board == "rpi_pico"
            configs[name] = json.loads(device.read("config.json"))
            device.reset()
    assert [config["role"] for config in configs.values()] == ["modem", "node", "node"]
    assert len({config.get("eui") for config in configs.values()}) == 3
    process.send_signal(signal.SIGINT)
    ended = fieldelm.ended(process)
    assert ended.code == 0, ended
    # the second time the same Picos go on
    process = fieldelm("emulate", "--nodes", "1", "--out", "system", start=True)
    for line in process.stdout:
        if line.startswith("node-1:"):
            assert configs["node-1"]["eui"] in line
            break
    process.send_signal(signal.SIGINT)
    assert fieldelm.ended(process).code == 0


@pytest.mark.slow
def test_a_frame_of_an_emulated_node_reaches_the_broker_through_modem_and_gateway(images, fieldelm, tmp_path):
    images()
    process = fieldelm("emulate", "--gateway", "--out", "system", start=True)
    for line in process.stdout:
        if '"type": "boot"' in line:
            break
    else:
        pytest.fail(repr(fieldelm.ended(process)))
    process.send_signal(signal.SIGINT)
    ended = fieldelm.ended(process)
    assert ended.code == 0, ended
    assert "report:" not in ended.out
    messages = [json.loads(text) for text in (tmp_path / "system" / "messages.jsonl").read_text().splitlines()]
    event = next(message for message in messages if message["topic"].endswith("/event"))
    assert (event["payload"]["type"], event["payload"]["name"]) == ("boot", "node-1")
