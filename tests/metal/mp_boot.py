"""fieldelm.boot: what stands between power-on and the app, and that nothing there locks anybody out or ends for good."""

import json
import os
import sys
from binascii import unhexlify

from pico import EUI, USB, Pico, description, machine, time

from fieldelm import codes, frame, payloads
from fieldelm.settings import Settings
from fieldelm.storage import Record


def _fail(words="it broke"):
    def cycle(board):
        board.clock.sleep_ms(1000)
        raise RuntimeError(words)

    return cycle


def _minutes(minutes):
    return minutes * 60 * 1000000


def test_without_configuration_it_says_so_and_leaves_the_repl_to_a_computer():
    pico = Pico(config=False)
    before = time.us
    assert pico.start() == "reset"  # nobody there: it looks again later
    assert _minutes(15) <= time.us - before < _minutes(16)
    assert "config.json" in pico.said[0] and "provision" in pico.said[0]
    assert pico.flashes >= 4 * 60  # four flashes, again and again
    assert machine.wakes > 100  # asleep in between
    machine.memory[USB] = 7
    machine.memory[0x40058000] = 0x40000000
    assert pico.start() == "REPL"
    assert machine.memory[0x40058000] == 0  # the watchdog does not bite whoever works there


def test_wrong_configuration_is_no_failed_start():
    pico = Pico()
    for text in ("{", '{"schema": 1}', '{"schema": 1, "board": "rpi_pico2"}'):
        with open("config.json", "w") as file:
            file.write(text)
        for _ in range(2):
            assert pico.start() == "reset"
        assert "config.json" in pico.said[-1] and "safe mode" not in pico.said[-1], pico.said[-1]
    with open("board.json", "w") as file:
        file.write("[")
    assert pico.start() == "reset" and "board.json" in pico.said[-1]
    assert pico.boot.Starts().failed == 0


def test_three_failed_starts_lead_to_safe_mode_and_an_hour_later_out_of_it():
    pico = Pico()
    pico.app(_fail())
    for _ in range(3):
        before = time.us
        assert pico.start() == "reset"
        assert time.us - before > 30 * 1000000  # no hot loop
    assert not pico.radio.sent
    before = time.us
    assert pico.start() == "reset"
    assert time.us - before >= _minutes(60)
    assert any("safe mode" in text and "errors.txt" in text for text in pico.said)
    kind, payload = pico.heard()[0]
    status = payloads.unpack(payloads.STATUS, payload)
    assert kind == frame.STATUS and codes.STATES[status["state"]] == "safe_mode"
    assert 3800 < status["battery_mv"] < 4000 and status["heartbeat_s"] == 900
    with open("errors.txt") as file:
        assert "RuntimeError: it broke" in file.read()
    # one more attempt; it fails, so safe mode again at the next start
    assert pico.start() == "reset" and pico.start() == "reset"
    assert len([text for text in pico.said if "safe mode" in text]) == 2
    # now the app is sound
    pico.app(lambda board: board.clock.sleep_ms(60000) or _stop_after(pico, 5))
    assert pico.start() == "REPL"
    assert pico.boot.Starts().failed == 0


def test_safe_mode_is_told_under_the_tag_that_a_command_has_set():
    pico = Pico()
    config = pico.config()
    config.update(
        {
            "link": {"tag_bytes": 4, "heartbeat_s": 900},
            "radio": {"output_power": 14, "plan": "EU868", "freq_khz": 868100, "bw": "125"},
        }
    )

    class Commanded:
        configured = staticmethod(lambda name: None)
        stored = staticmethod(lambda record, parts: record.store(parts) or True)

    Commanded.config = config
    settings = Settings(Commanded)
    numbers = [settings.number(name) for name in ("link.tag_bytes", "link.heartbeat_s", "radio.output_power")]
    assert settings.set(dict(zip(numbers, (8, 600, 2)))) == "ok"
    pico.boot.Starts().count(3)
    assert pico.start() == "reset"
    data = pico.radio.sent[0][2]
    assert len(data) == frame.header_bytes(frame.STATUS) + payloads.size(payloads.STATUS) + 8
    buffer = bytearray(data)
    start, _ = frame.open_into(
        buffer, len(data), pico.gateway.cipher, bytearray(13), unhexlify(EUI), 1, frame.UPLINK, 8
    )
    status = payloads.unpack(payloads.STATUS, buffer, start)
    assert codes.STATES[status["state"]] == "safe_mode" and status["heartbeat_s"] == 600
    # spoilt settings do not keep it from being told
    for twin in "ab":
        with open("settings." + twin, "wb") as file:
            file.write(b"spoilt by what has failed")
    pico.boot.Starts().count(3)
    assert pico.start() == "reset"
    assert len(pico.radio.sent[-1][2]) == len(data) - 4


def _stop_after(pico, cycles):
    pico.cycles = getattr(pico, "cycles", 0) + 1
    if pico.cycles == cycles:
        raise KeyboardInterrupt


def test_safe_mode_whose_report_fails_too_is_reached_all_the_same():
    pico = Pico()
    pico.boot.Starts().count(4)  # the watchdog has bitten while it was reporting
    machine.memory[USB] = 7
    assert pico.start() == "REPL"
    assert not pico.radio.sent
    pico.boot.Starts().count(3)
    machine.spi(1).chips[:] = []
    assert pico.start() == "REPL"
    assert any("RegVersion" in text for text in pico.said)


def test_a_start_that_lasted_two_minutes_has_not_failed():
    pico = Pico()
    lengths = []

    def cycle(board):
        board.clock.sleep_ms(10000)
        lengths.append(pico.boot.Starts().failed)
        if len(lengths) == 14:
            raise RuntimeError

    pico.app(cycle)
    assert pico.start() == "reset"
    assert lengths[:12] == [1] * 12 and lengths[13:] == [0]
    for _ in range(5):
        del lengths[:]
        assert pico.start() == "reset"
    assert not any("safe mode" in text for text in pico.said)


def test_ctrl_c_and_a_wanted_reboot_are_no_failures():
    pico = Pico()

    def interrupt(board):
        raise KeyboardInterrupt

    pico.app(interrupt)
    for _ in range(5):
        assert pico.start() == "REPL"
    pico.app(lambda board: board.reboot())
    machine.cause = machine.WDT_RESET
    for _ in range(5):
        assert pico.start() == "reset"
    assert not any("safe mode" in text for text in pico.said)


def test_the_led_tells_what_does_not_answer():
    def interrupt(board):
        raise KeyboardInterrupt

    for radio, sensor, flashes in ((True, True, 1), (False, True, 2), (True, False, 3), (False, False, 2 + 3)):
        pico = Pico()
        pico.app(interrupt)
        if not radio:
            machine.spi(1).chips[:] = []
        if not sensor:
            machine.spi(0).chips[:] = []
        assert pico.start() == "REPL"
        assert pico.flashes == flashes, (radio, sensor, pico.flashes)
        assert any("SX1276: RegVersion" in text for text in pico.said) is not radio
        assert any("ADXL345: DEVID" in text for text in pico.said) is not sensor


def test_the_pin_leaves_the_repl_before_anything_else():
    pico = Pico()
    machine.wire(22)(0)
    machine.wire(22).held = True
    before = os.listdir()
    assert pico.start() == "REPL"
    assert os.listdir() == before and not pico.radio.sent and machine.fed_us == 0
    assert pico.flashes == 5


def test_file_system_that_cannot_be_written():
    def full(record, parts):
        raise OSError(28)

    pico = Pico()
    Record.store = full
    before = time.us
    assert pico.start() == "reset"
    assert _minutes(15) <= time.us - before < _minutes(16)
    assert "file system" in pico.said[0] and not pico.radio.sent


def test_spoilt_counters_send_nothing():
    pico = Pico()
    for name in ("counters.a", "counters.b"):
        with open(name, "w") as file:
            file.write("rubbish")
    assert pico.start() == "reset"
    assert "new key" in pico.said[-1] and not pico.radio.sent
    assert pico.boot.Starts().failed == 0


def test_errors_file_stays_small():
    pico = Pico()
    for i in range(50):
        try:
            raise ValueError("number %d" % i)
        except ValueError as error:
            pico.boot.note(error, 1000 * i)
    sizes = [os.stat(name)[6] for name in ("errors.txt", "errors.old")]
    assert 0 < sizes[0] < 3100 and 0 < sizes[1] < 3100, sizes
    with open("errors.txt") as file:
        assert "number 49" in file.read()


def test_silent_radio_and_sensor_are_said_and_tried_again_at_a_bounded_rate():
    pico = Pico()
    machine.spi(0).chips[:] = []
    machine.spi(1).chips[:] = []
    from fieldelm.node import Node

    cycle = Node.cycle
    transfers = []

    def watched(node):
        if time.us > pico.until:
            raise KeyboardInterrupt
        transfers.append(machine.spi(0).transfers + machine.spi(1).transfers)
        cycle(node)

    Node.cycle = watched
    pico.until = time.us + _minutes(30)
    assert pico.start() == "REPL"
    assert any("SX1276: RegVersion" in text for text in pico.said) and any(
        "ADXL345: DEVID" in text for text in pico.said
    )
    assert transfers[-1] - transfers[0] < 31 * 10, transfers[-1]  # some registers a minute
    # the wires are mended
    machine.spi(0).chips[:] = [pico.sensor]
    machine.spi(1).chips[:] = [pico.radio]
    pico.until = time.us + _minutes(3)
    machine.spi(0).chips[:] = []  # of the sensor only later
    assert pico.start() == "REPL"
    hello = next(payload for kind, payload in pico.heard() if kind == frame.HELLO)
    assert codes.SENSOR_FAULTS[payloads.unpack(payloads.HELLO, hello)["reports_fault"]] == "dead"
    machine.spi(0).chips[:] = [pico.sensor]
    pico.until = time.us + _minutes(3)
    assert pico.start() == "REPL"
    hello = [payload for kind, payload in pico.heard() if kind == frame.HELLO][-1]
    assert payloads.unpack(payloads.HELLO, hello)["reports_fault"] == 0


def test_kernels_are_checked_and_replaced():
    from fieldelm import kernel_test, kernels

    if kernels.NAME == "python":
        return
    assert kernel_test.wrong(kernels.native) is None
    assert kernel_test.make_sound() is None and kernels.NAME == "native"

    class Broken:
        pass

    for name, _ in kernel_test._ANSWERS:
        broken = Broken()
        for other in dir(kernels.native):
            setattr(broken, other, getattr(kernels.native, other))
        setattr(broken, name, lambda *arguments: 0)
        assert kernel_test.wrong(broken), name
    native, kernels.native = kernels.native, broken
    assert name in kernel_test.make_sound() and kernels.NAME == "python"
    from fieldelm.elm import OsElm
    from fieldelm.features import Waveform

    assert OsElm.__name__ == "FloatElm" and Waveform.__name__ == "FloatWaveform" and native is not None


def test_a_start_is_proven_in_the_middle_of_a_long_sleep():
    pico = Pico()
    failed = []

    def cycle(board):
        board.clock.sleep_ms(110000)
        failed.append(pico.boot.Starts().failed)
        board.clock.sleep_ms(600000)
        failed.append(pico.boot.Starts().failed)
        raise SystemExit

    pico.app(cycle)
    assert pico.start() == "reset" and failed == [1, 0]


def test_settings_that_contradict_the_sensor_are_no_failed_start():
    config = Pico.config()
    config["options"] = {"sensor": "analog"}
    config["sense"].update({"axis": "z", "rate_hz": 1000})
    pico = Pico(config)
    board = description()
    board["sensors"]["analog"] = {"chip": "analog", "pin": 26, "g_per_volt": 1.0}
    with open("board.json", "w") as file:
        json.dump(board, file)
    for _ in range(4):
        assert pico.start() == "reset"
    assert "config.json" in pico.said[-1] and "axis" in pico.said[-1], pico.said[-1]
    assert pico.boot.Starts().failed == 0


def test_a_failed_app_and_a_bite_of_the_watchdog_are_told_apart():
    pico = Pico()
    causes = []

    def cycle(board):
        causes.append(codes.BOOT_CAUSES[board.boot_cause])
        raise SystemExit if len(causes) == 2 else RuntimeError("it broke")

    pico.app(cycle)
    machine.cause = machine.WDT_RESET
    for _ in range(3):
        assert pico.start() == "reset"
    assert causes == ["watchdog", "failed", "watchdog"], causes


def test_safe_mode_without_airtime_says_that_nobody_has_heard():
    pico = Pico()
    pico.boot.Starts().count(3)
    with open("airtime.a", "wb") as file:  # spoilt: nobody knows how much of the hour is left
        file.write(bytes(30))
    with open("airtime.b", "wb") as file:
        file.write(bytes(30))
    assert pico.start() == "reset" and not pico.radio.sent
    assert any("no gateway has heard" in text for text in pico.said)


def test_a_module_that_somebodys_own_boot_py_may_use_stays():
    import __main__

    pico = Pico(config=False)
    for own, stays in ((True, True), (False, False)):
        if own:
            with open("boot.py", "w") as file:
                file.write("import rp2\n")
        else:
            os.remove("boot.py")
        sys.modules["rp2"] = __main__.rp2 = time
        assert pico.start() == "reset"
        assert ("rp2" in sys.modules, hasattr(__main__, "rp2")) == (stays, stays)
