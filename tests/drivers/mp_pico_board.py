"""fieldelm.pico_board with a real description and chips on copper: what a node finds when it starts."""

import json
from array import array

from accelerometer_chips import Adxl345Chip, I2c, Lis3dhChip
from copper import Time, fails
from machine_copper import install
from sx1262_chip import Sx1262
from sx1276_chip import Sx1276

PICO = {
    "name": "rpi_pico",
    "chip": "rp2040",
    "led": {"pin": 25},
    "safe_mode": {"pin": 22},
    "battery": {"pin": 29, "divides_by": [3, 1]},
    "radios": {
        "sx1276": {
            "chip": "sx1276",
            "spi": {"id": 1, "sck": 10, "mosi": 11, "miso": 12},
            "cs": 13,
            "reset": 14,
            "dio0": 15,
        },
        "sx1262": {
            "chip": "sx1262",
            "spi": {"id": 1, "sck": 10, "mosi": 11, "miso": 12},
            "cs": 3,
            "reset": 15,
            "busy": 2,
            "dio1": 20,
            "tcxo_mv": 1800,
        },
    },
    "sensors": {
        "adxl345_spi": {"chip": "adxl345", "spi": {"id": 0, "sck": 6, "mosi": 7, "miso": 4}, "cs": 5, "int1": 8},
        "adxl345_i2c": {"chip": "adxl345", "i2c": {"id": 0, "sda": 4, "scl": 5}, "address": 83, "int1": 8},
        "lis3dh_i2c": {"chip": "lis3dh", "i2c": {"id": 0, "sda": 4, "scl": 5}, "address": 24},
        "analog": {"chip": "analog", "pin": 26, "g_per_volt": 3.3},
    },
    "default": {"radio": "sx1276", "sensor": "adxl345_spi"},
}
_MODULES = (
    "fieldelm.pico_board",
    "fieldelm.drivers.lora_modem",
    "fieldelm.drivers.sx127x",
    "fieldelm.drivers.accelerometer",
    "fieldelm.drivers.analog",
)
_SX126X = ("fieldelm.drivers.sx126x", "fieldelm.drivers.sx126x_bus")


class Rig:
    """A Pico with an SX1276 on SPI1 and an ADXL345 on SPI0, as the description says."""

    def __init__(self, missing=()):
        self.time = time = Time()
        self.machine = machine = install(time)
        self.radio = Sx1276(time, machine.wire(13), machine.wire(14), machine.wire(15))
        self.sensor = Adxl345Chip(time, machine.wire(5), machine.wire(8))
        if "radio" not in missing:
            machine.spi(1).chips.append(self.radio)
        if "sensor" not in missing:
            machine.spi(0).chips.append(self.sensor)

    def open(self, role="node", options=None, description=PICO, rate_hz=1600, board="rpi_pico"):
        from fieldelm import pico_board

        for name in _MODULES:
            __import__(name)
        self.time.install(*_MODULES)
        radio = {"freq_khz": 868100, "sf": 9, "bw": "125", "coding_rate": 5, "preamble_len": 8, "output_power": 14}
        config = {"role": role, "board": board, "options": options or {}, "radio": radio}
        config["sense"] = {"kind": "waveform", "rate_hz": rate_hz}
        return pico_board.open(config, description)


def test_node_samples_sends_and_hears():
    rig = Rig()
    board = rig.open()
    assert board.problems == [] and board.self_test() == []
    assert (board.name, board.boot_cause, board.sensor.axes, board.sensor.rate_hz) == ("rpi_pico", 1, 3, 1600)
    assert rig.machine.spi(0).settings["polarity"] == 1 and rig.machine.spi(1).settings["polarity"] == 0
    assert rig.machine.spi(1).settings["sck"].number == 10
    assert board.sensor.read(array("h", bytes(6 * 256))) == 256
    board.radio.send(b"up")
    assert rig.radio.sent[0][2] == b"up" and not rig.radio.sent[0][3]["invert_tx"]
    rig.radio.hear(rig.time.us + 10000, b"down", invert_rx=True)
    assert board.radio.recv(500) == b"down"
    board.radio.sleep()
    assert rig.radio.mode == 0


def test_modem_has_the_iq_the_other_way_round_and_no_sensor():
    rig = Rig(missing=("sensor",))
    board = rig.open("modem")
    assert board.sensor is None and board.self_test() == []
    board.radio.send(b"down")
    assert rig.radio.sent[0][3]["invert_tx"]


def test_silent_radio_and_sensor_do_not_stop_the_board():
    rig = Rig(missing=("radio", "sensor"))
    board = rig.open()
    assert len(board.problems) == 1 and "SX1276: RegVersion" in board.problems[0]
    flashes = []
    rig.machine.wire(25).watchers.append(flashes.append)
    problems = board.self_test()
    assert len(problems) == 2 and "ADXL345: DEVID" in problems[1]
    assert flashes.count(1) == 2 + 3
    rig.machine.spi(1).chips.append(rig.radio)
    board.radio.send(b"late")  # plugged in later: it works without a restart
    assert rig.radio.sent[0][2] == b"late" and rig.radio.sent[0][3]["sf"] == 9


def test_options_choose_radio_and_sensor():
    rig = Rig()
    time, machine = rig.time, rig.machine
    chip = Sx1262(time, machine.wire(3), machine.wire(2), machine.wire(15), machine.wire(20), 1800)
    machine.spi(1).chips[:] = [chip]

    for name in _SX126X:
        __import__(name)
    time.install(*_SX126X)
    lis = Lis3dhChip(time)
    machine.i2cs[0] = I2c(time, lis, 24, several=0x80)
    board = rig.open(options={"radio": "sx1262", "sensor": "lis3dh_i2c", "range_g": 2}, rate_hz=400)
    assert board.self_test() == [] and chip.tcxo == 1800
    assert board.sensor.read(array("h", bytes(600))) == 100
    assert ("i2c", 0, 400000) in machine.log
    machine.analog[machine.wire(26)] = 32768
    board = rig.open(options={"sensor": "analog", "g_per_volt": 10.0}, rate_hz=100)
    assert board.sensor.axes == 1 and abs(board.sensor.g_per_count - 33 / 4096) < 1e-6
    board.sensor.self_test()
    machine.analog[machine.wire(26)] = 0
    fails(board.sensor.self_test, "0 V", "supply")


def test_wrong_options_are_named():
    rig = Rig()
    fails(lambda: rig.open(options={"radio": "sx1280"}), "radio must be one of sx1262, sx1276, usb, not sx1280")
    fails(lambda: rig.open(options={"sensor": "nose"}), "sensor must be one of")
    fails(lambda: rig.open(options={"colour": 1}), "colour", "known are")
    for key, value in (("radio", ["sx1276"]), ("sensor", 1), ("driver", None), ("g_per_volt", "x"), ("range_g", [2])):
        fails(lambda key=key, value=value: rig.open(options={key: value}), "options", key, "must be a n")
    fails(lambda: rig.open(options={"range_g": 0}), "options", "range_g", "above 0")
    fails(lambda: rig.open(rate_hz=1000), "sense", "1000", "800")
    rig.machine.i2cs[0] = None
    fails(lambda: rig.open(options={"sensor": "adxl345_i2c"}, rate_hz=1600), "at most 800 Hz")
    fails(lambda: rig.open(board="rpi_pico2"), "rpi_pico2", "firmware is for rpi_pico")


def test_description_in_the_file_system_mends_a_pin():
    rig = Rig()
    mended = json.loads(json.dumps(PICO))
    mended["radios"]["sx1276"]["dio0"] = 9
    with open("board.json", "w") as file:
        json.dump(mended, file)
    board = rig.open()
    assert rig.machine.wire(9).handler is not None and rig.machine.wire(15).handler is None
    assert board.name == "rpi_pico"
    with open("board.json", "w") as file:
        file.write("{")
    fails(rig.open, "board.json", "not valid JSON")
    del mended["radios"]["sx1276"]["cs"]
    with open("board.json", "w") as file:
        json.dump(mended, file)
    fails(rig.open, "board.json", "cs", "mend or delete")


def test_chip_that_is_not_known_is_named_and_nothing_is_written_to_it():
    # at the RP2040's watchdog an RP2350 has the clock of its USB
    rig = Rig()
    before = dict(rig.machine.memory)
    for chip in ("RP2350", "rp2040b", None):
        fails(lambda: rig.open(description=dict(PICO, chip=chip)), "board.json", "chip", "rp2040 or rp2350", "mend or")
        assert rig.machine.memory == before, rig.machine.memory
    assert rig.open(description=dict(PICO, chip="rp2350")).boot_cause == 1
    assert 0x400D800C in rig.machine.memory and 0x4005800C not in rig.machine.memory


def test_safe_mode_pin():
    rig = Rig()
    from fieldelm import pico_board

    assert not pico_board.safe_mode_asked(PICO)
    rig.machine.wire(22)(0)
    rig.machine.wire(22).held = True
    assert pico_board.safe_mode_asked(PICO)


def test_clock_never_wraps():
    rig = Rig()
    clock = rig.open().clock
    start = clock.now_ms()
    for day in range(40):
        rig.time.us += 86400 * 1000000
        assert clock.now_ms() - start >= (day + 1) * 86400000


def test_light_sleep_only_without_a_computer_and_in_slices():
    rig = Rig()
    board = rig.open()
    machine = rig.machine
    board.clock.sleep_ms(10000)
    assert machine.wakes == 0  # time for a computer to find the board
    before = rig.time.us
    board.clock.sleep_ms(60000)
    assert machine.wakes == 20 and abs(rig.time.us - before - 60000000) < 20000
    for (bus, number, settings), mode in zip(machine.log[-2:], (0, 1)):  # the speed is set again
        assert (bus, number) == ("spi", 1 - mode) and settings["baudrate"] == 4000000, (number, settings)
        assert settings["polarity"] == settings["phase"] == mode, (number, settings)
    machine.memory[0x50110000] = 7  # a computer has given us an address
    board.clock.sleep_ms(60000)
    assert machine.wakes == 20
    machine.memory[0x50110050] = 0x10  # it was unplugged
    board.clock.sleep_ms(3000)
    assert machine.wakes == 21


def test_watchdog_is_fed_by_all_that_waits():
    rig = Rig()
    board = rig.open()
    board.start_watchdog()
    assert rig.machine.timeout_ms == 8000
    board.clock.sleep_ms(60000)
    board.radio.recv(20000)
    board.sensor.rate_hz = 100
    board.sensor.read(array("h", bytes(6 * 1024)))
    assert 0 < rig.machine.hungry_us < 4000000


def test_watchdog_can_be_stopped_for_the_repl():
    rig = Rig()
    board = rig.open()
    board.start_watchdog()
    rig.machine.memory[0x40058000] = 0x47123456
    board.stop_watchdog()
    assert rig.machine.memory[0x40058000] == 0x07123456 and board.clock.feed is None


def test_reset_says_why():
    rig = Rig()
    assert rig.open().boot_cause == 1
    rig.machine.cause = 3
    board = rig.open()
    assert board.boot_cause == 2
    for restart, cause in ((board.reboot, 3), (board.start_anew, 4)):
        try:
            restart()
        except SystemExit:
            pass
        assert rig.open().boot_cause == cause
        assert rig.open().boot_cause == 2  # the mark counts once


def test_identify_flashes_beside_the_work():
    rig = Rig()
    board = rig.open()
    board.clock.sleep_ms(10000)
    board.identify(5)
    flashes = []
    rig.machine.wire(25).watchers.append(flashes.append)
    board.clock.sleep_ms(20000)
    assert 15 <= flashes.count(1) <= 25 and rig.machine.wire(25)() == 0
    assert rig.machine.wakes in (5, 6)  # no light sleep while it flashes
    board.identify(100)
    board.identify(0)
    rig.time.advance(1000000)
    assert rig.machine.wire(25)() == 0


def test_battery_and_temperature():
    rig = Rig()
    board = rig.open()
    rig.machine.analog[rig.machine.wire(29)] = int(1.4 / 3.3 * 65535)
    assert abs(board.battery_mv() - 4200) < 5
    rig.machine.analog[4] = int(0.706 / 3.3 * 65535)
    assert abs(board.temperature_c() - 27) < 1
    without = dict(PICO)
    del without["battery"]
    assert rig.open(description=without).battery_mv() is None
