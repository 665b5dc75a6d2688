"""The whole way of an alarm and back of a command, every part the one that users run:

node Pico → SX1276 → air → SX1262 → modem Pico → USB → `fieldelm gateway` → Mosquitto, from the bare firmware on.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from emulated import BATTERY, RADIOS, SENSOR

sys.path.insert(0, str(Path(__file__).parents[1] / "gateway"))  # gateway_brokers

from gateway_brokers import GatewayProcess, Mosquitto, Subscriber, wait_for

from fieldelm import frame
from fieldelm_tools.device import Device
from fieldelm_tools.emulate import DAMAGED, HEALTHY, fan

pytestmark = pytest.mark.timeout(600)
TOPIC = "fieldelm/v1/hall"
# windows of 0.32 s, one in 2 s, and the shortest commissioning: what is looked at is the chain
SETTINGS = (
    *("sense.samples=512", "sense.period_s=2", "learn.train_rows=16", "learn.calibration_rows=8"),
    *("link.heartbeat_s=30", "radio.sf=7"),
)
_WALL_S = 150


@pytest.fixture
def mosquitto(tmp_path):
    if shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/sbin") is None:
        pytest.skip("mosquitto is not installed: sudo apt-get install mosquitto")
    broker = Mosquitto(tmp_path)
    broker.start()
    yield broker
    broker.stop()


def _configured(folder, broker, port):
    path = folder / "gateway.toml"
    lines = ["[gateway]", 'name = "hall"', "[database]", f'path = "{folder / "gateway.db"}"', "[mqtt]"]
    lines += [f'url = "{broker.url}"', "[dashboard]", "enabled = false"]
    lines += ["[[radio]]", f'port = "{port}"', "sf = 7", 'duty_cycle = "unlimited"']
    path.write_text("\n".join(lines) + "\n")
    return path


def _provision(folder, *words):
    command = [sys.executable, "-m", "fieldelm_tools.cli", "provision", *words]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_WALL_S)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def _event(subscriber, kind):
    """The first event of a kind, and how many had come before it."""
    found = lambda: [event for event in subscriber.of("/event") if event["type"] == kind]  # noqa: E731
    said = lambda: [event["type"] for event in subscriber.of("/event")]  # noqa: E731
    try:
        return wait_for(found, _WALL_S)[0]
    except AssertionError:
        raise AssertionError(f"no {kind} but {said()}") from None


def _asked(subscriber, command, **what):
    """Ask by MQTT; the response."""
    number = f"{command}-1"
    subscriber.publish(f"{TOPIC}/request/{command}", json.dumps({"id": number, **what}))

    def answer():
        return [response for response in subscriber.of(f"/response/{command}") if response["id"] == number]

    return wait_for(answer, _WALL_S, f"for the response to {command}")[0]


def _with_lora_package(emulator):
    """Copy MicroPython's `lora` package to both Picos, each with its chip's driver, as `mip install` does; the options for it."""
    folder = os.environ.get("FIELDELM_LORA_PACKAGE")
    if not folder:
        pytest.skip("FIELDELM_LORA_PACKAGE does not name the folder `lora` with MicroPython's package lora-sync")
    for pico, other in (("node", "sx126x.py"), ("modem", "sx127x.py")):
        with Device(emulator.address(pico)) as device:
            files = [path for path in Path(folder).glob("*.py") if path.name != other]
            device.put({f"lora/{path.name}": path.read_bytes() for path in files})
    return ["--set", "options.driver=lora"]


@pytest.mark.parametrize("drivers", ["own", "lora package"])
def test_an_alarm_reaches_the_broker_and_a_command_the_node(emulate, mosquitto, tmp_path, drivers):
    sensor = {**SENSOR, "signal": fan(HEALTHY)}
    emulator = emulate(
        {"name": "modem", "chips": [RADIOS["sx1262"]]},
        {"name": "node", "chips": [RADIOS["sx1276"], sensor], "battery": BATTERY},
        trace=True,
        host_pace={"ratio": 1, "window_s": 1.5},
    )
    driver = [] if drivers == "own" else _with_lora_package(emulator)
    radio = ["--set", "options.radio=sx1262", *driver]
    _provision(tmp_path, "--port", emulator.address("modem"), "--modem", *radio, "--json")
    config = _configured(tmp_path, mosquitto, emulator.address("modem"))
    subscriber = Subscriber(mosquitto.port)
    gateway = GatewayProcess(config)
    try:
        settings = [word for setting in SETTINGS for word in ("--set", setting)] + driver
        identity = ("--name", "fan", "--location", "roof", "--config", str(config))
        card = _provision(tmp_path, "--port", emulator.address("node"), *identity, *settings, "--json")["nodes"][0]
        assert (card["board"], card["location"]) == ("rpi_pico", "roof")

        assert _event(subscriber, "boot")["name"] == "fan"
        _event(subscriber, "commissioned")
        emulator.command("signal", pico="node", chip="sensor", signal=fan(DAMAGED))
        alarm = _event(subscriber, "machine_alarm")
        assert (alarm["severity"], alarm["verdict"], alarm["location"]) == ("alarm", "anomaly", "roof")
        assert alarm["score_ratio"] > 1
        assert [len(alarm["bands"]), alarm["rssi"]] == [2, pytest.approx(14 - 80, abs=2)]
        assert [event["type"] for event in subscriber.of("/event")] == ["boot", "commissioned", "machine_alarm"]

        state = f"/node/{card['eui']}/state"
        assert subscriber.wait_for(state, seconds=_WALL_S)[-1]["window_period_s"] == 2
        response = _asked(subscriber, "interval", node="fan", window_period_s=5, heartbeat_s=20)
        assert response["status"] == "ok", response
        response = _asked(subscriber, "policy", node="fan", policy="ask")
        assert response["status"] == "ok", response
        changed = lambda: [s for s in subscriber.of(state) if (s["window_period_s"], s["policy"]) == (5, "ask")]  # noqa: E731
        status = wait_for(changed, _WALL_S, "for a STATUS after the commands")[0]
        assert (status["state"], status["heartbeat_s"], status["kernels"]) == ("alarm", 20, "native")

        counters = subscriber.wait_for("/health", seconds=_WALL_S)[-1]
        assert not any(counters["drops"].values()), counters
    finally:
        gateway.stop()
        subscriber.close()
    frames = [event for event in emulator.events if event["event"] == "frame"]
    sent = [bytes.fromhex(event["data"]) for event in frames if event["sender"] == "node.radio"]
    alerts = [data for data in sent if data[0] & 0x0F == frame.ALERT]
    assert len(set(alerts)) >= 3
    assert {len(data) for data in alerts} == {19}
    downs = [event for event in frames if event["sender"] == "modem.radio"]
    assert {bytes.fromhex(event["data"])[0] & 0x0F for event in downs} == {frame.ACK, frame.COMMAND}
    for name in (
        ("node", "modem") if drivers == "own" else ()
    ):  # the package calibrates no image, and leaves 15.4 unmended
        assert not emulator.command("status", pico=name)["reports"]
