"""A modem's whole firmware on an emulated Pico, with a node Pico on the air and a gateway on the cable."""

from __future__ import annotations

import time

import pytest
from emulated import BATTERY, CHANNEL, MODEM, NODE, RADIOS, SENSOR, Host, Port

from fieldelm import frame, modem_framing as framing
from fieldelm_gateway.clock import HostClock
from fieldelm_gateway.config import Radio
from fieldelm_gateway.ingress import Tick, Uplink
from fieldelm_gateway.ingress_serial import SerialRadio

pytestmark = pytest.mark.timeout(600)
TALKATIVE = {**NODE, "console": "off", "sense": {"period_s": 10}, "link": {"heartbeat_s": 10}}
_WALL_S = 150  # a slow machine builds and tests other things, too
PACE = {"host_pace": {"ratio": 1, "window_s": 1.5}}  # the test at the cable lives in real time


def _modem(radio="sx1262", **more):
    return {"name": "modem", "chips": [RADIOS[radio]], **more}


def _node():
    return {"name": "node", "chips": [RADIOS["sx1276"], SENSOR], "battery": BATTERY}


def _frames(emulator, sender):
    return [event for event in emulator.events if event["event"] == "frame" and event["sender"] == sender]


def _start(emulator, radio="sx1262"):
    port = Port(emulator, "modem")
    port.provide({**MODEM, "options": {"radio": radio}})
    return Host(port)


@pytest.mark.parametrize("radio", ["sx1262", "sx1276"])
def test_uplinks_reach_the_host_and_answers_the_air_in_time(emulate, radio):
    emulator = emulate(_modem(radio), _node(), trace=True, **PACE)
    host = _start(emulator, radio)
    host.configure()
    Port(emulator, "node").provide({**NODE, "console": "off"})
    answer = bytes([0, 3, 3, 13, 3, 255, 0])
    for number in (1, 2):
        fields, data = host.heard(framing.UPLINK)[0]
        assert fields["token"] == number
        assert fields["rssi"] == pytest.approx(14 - 80, abs=1)
        assert fields["snr"] == pytest.approx(40, abs=2)
        assert data[0] & 0x0F == frame.HELLO
        host.say(framing.TRANSMIT, {"token": number, "delay_ms": 1000, "output_power": 10}, answer)
        assert host.heard(framing.SENT)[0][0]["result"] == 0
    ups, downs = _frames(emulator, "node.radio"), _frames(emulator, "modem.radio")
    for up, down in zip(ups, downs, strict=False):
        assert down["start_ns"] - up["end_ns"] == pytest.approx(1e9, abs=3e6)
        assert bytes.fromhex(down["data"]) == answer
        assert down["iq"]
        assert not up["iq"]
    assert len(downs) == 2


def test_the_gateways_own_radio_works_with_it(emulate):
    emulator = emulate(_modem(), _node(), trace=True, **PACE)
    host = _start(emulator)
    host.heard(framing.HELLO)
    host.port.close()  # it takes one program at a time, as a real one does
    heard: list[Uplink] = []
    radio = SerialRadio(Radio(name="radio", port=emulator.address("modem")), HostClock())

    def deliver(thing: Uplink | Tick) -> None:
        if isinstance(thing, Uplink):
            heard.append(thing)
            radio.answer(thing.token, b"answer" if len(heard) % 2 else None)
            radio.flush()

    radio.start(deliver)
    try:
        _wait(lambda: not radio.counters.problem)
        Port(emulator, "node").provide(TALKATIVE)
        # answers that come too late, as on a busy machine, the modem refuses: some have got through
        _wait(lambda: len(heard) >= 3 and radio.counters.answers >= 2, lambda: f"{len(heard)} heard, {radio.counters}")
        assert radio.counters.answers <= (len(heard) + 1) // 2
        assert radio.counters.connections == 1
        emulator.command("reset", pico="modem")  # it says hello and is configured again
        _wait(lambda: radio.counters.connections == 2)
        before = len(heard)
        _wait(lambda: len(heard) > before)
    finally:
        radio.stop()


def _wait(what, seen=lambda: None):
    end = time.monotonic() + _WALL_S
    while not what():
        assert time.monotonic() < end, seen()
        time.sleep(0.05)


def test_garbage_flood_and_the_way_to_the_repl(emulate):
    emulator = emulate(_modem(), **PACE)
    host = _start(emulator)
    host.configure()
    host.port.write(bytes(range(256)) * 20 + b"\0")
    host.say(framing.PING)
    assert host.heard(framing.STATUS)[0][0]["garbage"] >= 1
    host.port.write(b"\x05\x03\x03\x03\x03\0")  # no message, and no Ctrl-C where one could begin
    host.say(framing.PING)
    assert host.heard(framing.HELLO)[0][0]["configured"] == 1
    host.port.prompt()
    assert host.port.run("print(6 * 7)") == "42\n"


def test_unplugged_cable_and_a_host_that_does_not_read(emulate):
    emulator = emulate(_modem(), _node(), trace=True)
    host = _start(emulator)
    host.configure()
    Port(emulator, "node").provide(TALKATIVE)
    host.heard(framing.UPLINK)
    emulator.command("stall", pico="modem", on=True)
    began = len(_frames(emulator, "node.radio"))
    _wait(lambda: len(_frames(emulator, "node.radio")) >= began + 10)
    emulator.command("stall", pico="modem", on=False)
    host.messages.clear()
    host.heard(framing.UPLINK)
    host.say(framing.PING)
    status = host.heard(framing.STATUS)[0][0]
    assert status["uplinks"] > 5
    emulator.command("plug", pico="modem", **{"in": False})
    host.port.wait(3)
    emulator.command("plug", pico="modem", **{"in": True})
    host.messages.clear()
    host.heard(framing.UPLINK)  # it has listened all the while
    assert emulator.command("status", pico="modem")["resets"] == 1  # the one of `provide`


def test_silent_radio_is_told_and_used_as_soon_as_it_answers(emulate):
    emulator = emulate({"name": "modem", "chips": [{**RADIOS["sx1262"], "fault": "silent"}]}, **PACE)
    host = _start(emulator)
    host.port.until("fieldelm: SX1262: ")
    host.heard(framing.HELLO)
    host.say(framing.CONFIGURE, CHANNEL)
    assert framing.CONFIGURED_RESULTS[host.heard(framing.CONFIGURED)[0][0]["result"]] == "radio_error"
    emulator.command("fault", pico="modem", chip="radio", fault="none")
    host.say(framing.CONFIGURE, CHANNEL)
    assert host.heard(framing.CONFIGURED)[0][0]["result"] == 0
    emulator.command("fault", pico="modem", chip="radio", fault="silent")
    assert host.heard(framing.HELLO)[0][0]["configured"] == 0  # within 10 s
