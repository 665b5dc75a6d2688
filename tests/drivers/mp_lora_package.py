"""MicroPython's `lora` package behind the node's radio. A stand-in has the package's methods, and no others."""

import json
import sys

from copper import Time, fails
from machine_copper import install
from mp_pico_board import PICO, Rig

PACKAGE = (
    "configure standby sleep is_idle start_recv poll_recv prepare_send start_send poll_send get_time_on_air_us crc_errors"
).split()


class SX1276:
    """Touches the chip when it is made, raises RuntimeError, sends no CRC unless told: as the package does."""

    made = 0

    def __init__(self, spi, cs, dio0=None, dio1=None, reset=None, lora_cfg=None, ant_sw=None):
        from fieldelm.drivers.sx127x import SX127x

        SX1276.made += 1
        self._modem = SX127x(spi, cs, dio0, dio1, reset)
        self._modem.crc_en = False
        self._noted = None if dio0 else 1  # when an interrupt came last; standby() counts as one
        self.configure(lora_cfg)

    def __getattr__(self, name):
        if name not in PACKAGE:
            raise AttributeError(name)
        found = getattr(self._modem, name)
        if name == "crc_errors":
            return found

        def call(*args):
            try:
                if name == "configure" and self._modem._rx:
                    raise RuntimeError("Receiving")
                got = found(*args)
            except OSError as error:
                raise RuntimeError(str(error))
            if name == "poll_recv" and self._noted and got is not True and got is not False:
                got.ticks_ms = self._noted
            return got

        return call


class Package:
    pass


Package.SX1276 = SX1276


def opened(rig, **more):
    sys.modules["lora"] = Package
    board = rig.open(options={"driver": "lora"}, **more)
    rig.time.install("fieldelm.drivers.lora_package")
    return board


def test_the_node_sends_and_hears_with_it():
    rig = Rig()
    board = opened(rig)
    assert board.problems == [] and board.self_test() == []
    waits = []
    board.radio.on_wait = lambda: waits.append(1)
    board.radio.send(b"up")
    assert rig.radio.sent[0][2] == b"up"
    settings = rig.radio.sent[0][3]
    assert settings["sf"] == 9 and settings["crc"] and not settings["invert_tx"]
    assert len(waits) > 20  # the watchdog is fed
    rig.radio.hear(rig.time.us + 10000, b"down", invert_rx=True)
    packet = board.radio.recv(500)
    assert packet == b"down" and packet.snr and packet.rssi
    assert board.radio.recv(100) is None
    board.radio.configure({"output_power": 10})
    assert board.radio.output_power == 10 and board.radio.crc_errors == 0
    board.radio.sleep()
    assert rig.radio.mode == 0


def test_the_modem_listens_with_it():
    rig = Rig(missing=("sensor",))
    board = opened(rig, role="modem")
    radio = board.radio
    assert not radio.is_listening()
    radio.start_recv(None, True)
    assert radio.is_listening() and radio.poll_recv() is True
    rig.radio.hear(rig.time.us + 10000, b"up", invert_rx=False)
    rig.time.sleep_ms(500)
    assert radio.poll_recv() == b"up"
    radio.prepare_send(b"down")
    radio.start_send()
    while radio.poll_send() is True:
        rig.time.sleep_ms(1)
    assert rig.radio.sent[0][2] == b"down" and rig.radio.sent[0][3]["invert_tx"]
    assert radio.poll_send() is False


def test_a_frame_has_its_time_without_an_interrupt_wire_too():
    rig = Rig(missing=("sensor",))
    description = json.loads(json.dumps(PICO))
    del description["radios"]["sx1276"]["dio0"]
    radio = opened(rig, role="modem", description=description).radio
    radio.start_recv(None, True)
    radio.configure({"sf": 7})  # listening or not
    radio.start_recv(None, True)
    rig.radio.hear(rig.time.us + 5000000, b"up", invert_rx=False)
    while True:
        packet = radio.poll_recv()
        if packet is not True:
            break
        rig.time.sleep_ms(1)
    assert packet == b"up" and 0 <= rig.time.ticks_ms() - packet.ticks_ms < 3, packet.ticks_ms


def test_a_silent_radio_is_a_sentence_and_may_come_later():
    rig = Rig(missing=("radio",))
    made = SX1276.made
    board = opened(rig)
    assert len(board.problems) == 1 and "SX1276 (lora package)" in board.problems[0]
    fails(lambda: board.radio.send(b"up"), "lora package", "check")
    assert not board.radio.is_listening()
    rig.machine.spi(1).chips.append(rig.radio)
    board.radio.send(b"late")
    assert rig.radio.sent[0][2] == b"late" and rig.radio.sent[0][3]["sf"] == 9
    assert SX1276.made == made + 3 and board.radio.restarts == 0


def test_a_radio_that_falls_silent_is_made_anew():
    rig = Rig()
    board = opened(rig)
    rig.machine.spi(1).chips.clear()
    fails(lambda: board.radio.send(b"up"), "lora package")
    rig.machine.spi(1).chips.append(rig.radio)
    board.radio.send(b"again")
    assert rig.radio.sent[-1][2] == b"again" and board.radio.restarts == 1


def test_without_the_package_the_configuration_says_where_it_is():
    rig = Rig()
    for missing in (None, Time):  # not there; there without this chip
        if missing is None:
            sys.modules.pop("lora", None)
        else:
            sys.modules["lora"] = missing
        try:
            rig.open(options={"driver": "lora"})
        except ValueError as error:
            assert "mpremote mip install lora-sync lora-sx127x" in str(error), error
        else:
            raise AssertionError("no error")
    try:
        rig.open(options={"driver": "mine"})
    except ValueError as error:
        assert 'driver must be "lora"' in str(error), error
    else:
        raise AssertionError("no error")


def test_the_antenna_switch_is_the_packages():
    from fieldelm.drivers.lora_package import AntennaSwitch

    machine = install(Time())
    rx, tx = machine.Pin(1, machine.Pin.OUT), machine.Pin(2, machine.Pin.OUT)
    switch = AntennaSwitch(rx, tx)
    seen = [(rx(), tx())]
    for move in (switch.rx, lambda: switch.tx(True), switch.idle, AntennaSwitch(None, tx).rx):
        move()
        seen.append((rx(), tx()))
    assert seen == [(0, 0), (1, 0), (0, 1), (0, 0), (0, 0)]
