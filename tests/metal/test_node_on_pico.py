"""A node's whole firmware on an emulated Pico: from power-on to frames, and whatever may be wrong with it."""

from __future__ import annotations

import itertools
import time

import pytest
from emulated import BATTERY, FAN, NODE, RADIOS, SENSOR, Port, opened_hello

from fieldelm import codes, frame

pytestmark = pytest.mark.timeout(600)
HEAP = 160_000  # bytes that stay free once the app runs
MEASURE = """
import gc
from fieldelm.node import Node
cycle = Node.cycle
def measured(node):
    cycle(node)
    gc.collect()
    print("free", gc.mem_free())
Node.cycle = measured
import main
main.main()
"""


def _pico(radio="sx1276", sensor=SENSOR, **more):
    return {"name": "node", "chips": [RADIOS[radio], sensor], "battery": BATTERY, **more}


def _on_i2c():
    return {key: value for key, value in SENSOR.items() if key != "spi"} | {"i2c": {"sda": 4, "scl": 5}}


def _sent(emulator):
    return [bytes.fromhex(event["data"]) for event in emulator.events if event["event"] == "frame"]


@pytest.mark.parametrize("radio", ["sx1276", "sx1262"])
def test_node_starts_samples_and_sends(emulate, radio):
    emulator = emulate(_pico(radio), trace=True)
    port = Port(emulator, "node")
    port.provide({**NODE, "console": "rows", "options": {"radio": radio}, "sense": {"period_s": 20}})
    port.until('"type": "STATUS"')
    rows = port.rows()
    boot = next(row for row in rows if row["kind"] == "boot")
    assert boot["t_ms"] < 1500
    row = next(row for row in rows if row["kind"] == "row")
    rms = (sum(sine["g"] ** 2 / 2 for sine in FAN["sines"]) + FAN["noise"] ** 2) ** 0.5
    assert row["state"] == "commissioning"
    assert row["rms_g"] == pytest.approx(rms, rel=0.05)
    assert row["battery_mv"] == pytest.approx(3900, abs=20)
    frames = _sent(emulator)
    kinds = [data[0] & 0x0F for data in frames]
    assert kinds == [frame.HELLO] * 3 + [frame.ALERT] * 3 + [frame.STATUS]  # repeats: there is no gateway
    assert len(set(frames)) == 3
    assert [len(data) for data in (frames[0], frames[3])] == [39, 19]
    port.prompt()
    assert "config.json" in port.run("import os; print(os.listdir())")
    assert port.run("import machine; print(machine.mem32[0x40058000] >> 30 & 1)") == "0\n"  # no watchdog at the REPL
    assert not port.status()["reports"]


@pytest.mark.parametrize("radio", ["sx1276", "sx1262"])
def test_heap_that_stays_free(emulate, radio):
    port = Port(emulate(_pico(radio)), "node")
    port.provide({**NODE, "options": {"radio": radio}, "sense": {"period_s": 5}, "radio": {"sf": 7}})
    port.until('"kind": "boot"')
    port.prompt()
    port.write(MEASURE.encode() + b"\x04")
    free = [int(number) for number in port.until(r"free (\d+)\r", 3)]
    print(f"{radio}: {min(free)} bytes of heap free")
    assert min(free) >= HEAP
    port.prompt()
    # what MicroPython's start leaves behind takes 1.4 kB; whoever wants it at the REPL still has it
    assert port.run("import sys; print('rp2' in sys.modules, 'rp2' in globals())") == "False False\n"
    assert port.run("import rp2; print(rp2.asm_pio)").startswith("<function asm_pio")


def test_heap_does_not_shrink_over_hundreds_of_windows(emulate):
    port = Port(emulate(_pico()), "node")
    sense = {"period_s": 0.2, "samples": 64}
    learn = {"train_rows": 16, "calibration_rows": 8}
    port.provide({**NODE, "sense": sense, "learn": learn, "radio": {"sf": 7}})
    port.until('"kind": "boot"')
    port.prompt()
    port.write(MEASURE.encode() + b"\x04")
    port.until('"event": "commissioned"')
    free = [int(number) for number in port.until(r"free (\d+)\r", 300)]
    print(f"bytes of heap free: {free[::50]}")
    assert min(free[-50:]) > min(free[50:100]) - 256  # the watching node, after its model was saved, and 200 windows on


def test_node_sleeps_between_windows_when_no_computer_is_there(emulate):
    emulator = emulate(_pico(), trace=True)
    port = Port(emulator, "node")
    port.provide({**NODE, "console": "off", "sense": {"period_s": 60}})
    port.wait(1)
    emulator.command("plug", pico="node", **{"in": False})
    port.wait(60)
    busy, began = port.status()["busy_cycles"], port.seconds()
    port.wait(120)
    share = (port.status()["busy_cycles"] - busy) / 125e6 / (port.seconds() - began)
    assert share < 0.05
    # power-on of a battery node that hangs on a cable again: it is found
    emulator.command("power", pico="node", on=False)
    emulator.command("plug", pico="node", **{"in": True})
    emulator.command("power", pico="node", on=True)
    port.prompt()


def test_silent_radio_and_sensor_are_said_and_used_as_soon_as_they_answer(emulate):
    silent = [{**RADIOS["sx1276"], "fault": "silent"}, {**SENSOR, "fault": "silent"}]
    emulator = emulate({"name": "node", "chips": silent, "battery": BATTERY}, trace=True)
    port = Port(emulator, "node")
    port.provide({**NODE, "sense": {"period_s": 10}})
    port.until("fieldelm: SX1276: RegVersion .0x42. reads 0x00")
    port.until("fieldelm: ADXL345: DEVID")
    port.until('"event": "sensor_fault"')
    port.until('"kind": "radio".*\r\n', 3)
    said = [row["t_ms"] for row in port.rows() if row["kind"] == "radio"]
    assert min(b - a for a, b in itertools.pairwise(said)) >= 60000
    assert not _sent(emulator)
    emulator.command("fault", pico="node", chip="radio", fault="none")
    port.until('"type": "HELLO"')
    emulator.command("fault", pico="node", chip="sensor", fault="none")
    port.until('"event": "sensor_ok"')
    assert not port.status()["resets"] > 1  # the watchdog was fed all the while


def test_wrong_chip_and_stuck_bus(emulate):
    chips = [{**RADIOS["sx1276"], "fault": "stuck"}, {**SENSOR, "fault": "wrong_id"}]
    port = Port(emulate({"name": "node", "chips": chips, "battery": BATTERY}), "node")
    port.provide({**NODE, "sense": {"period_s": 10}})
    port.until("fieldelm: SX1276: RegVersion")
    port.until("fieldelm: ADXL345: DEVID .* reads 0x5A")
    port.until('"kind": "radio"', 2)
    assert port.status()["resets"] == 1


SPI = {"options": {"radio": "sx1276"}, "sense": {"period_s": 10}}
I2C = {
    "options": {"radio": "sx1276", "sensor": "adxl345_i2c"},
    "sense": {"period_s": 10, "rate_hz": 400, "samples": 128},
}


@pytest.mark.parametrize(
    ("where", "fault", "said"),
    [
        (SPI, "none", None),
        (SPI, "silent", "ADXL345: DEVID .* reads 0x00"),
        (SPI, "wrong_id", "ADXL345: DEVID .* reads 0x5A"),
        (I2C, "stuck", "SDA .GPIO 4. is held low"),
    ],
)
def test_fault_that_the_self_test_finds_is_said_on_the_console_and_in_the_hello(emulate, where, fault, said):
    chip = dict(SENSOR) if where is SPI else _on_i2c()
    emulator = emulate(_pico(sensor={**chip, "fault": fault}), trace=True)
    port = Port(emulator, "node")
    port.provide({**NODE, "options": where["options"], "sense": where["sense"], "radio": {"sf": 7}})
    if said:
        port.until(f"fieldelm: .*{said}")
    port.until('"type": "HELLO"')
    hello = opened_hello(_sent(emulator)[0])
    assert codes.SENSOR_FAULTS[hello["reports_fault"]] == ("dead" if said else None)
    assert hello["kernels_native"] == 1
    assert port.status()["resets"] == 1


def test_i2c_bus_that_a_reset_left_hanging_is_freed_and_one_that_is_held_is_said(emulate):
    emulator = emulate(_pico(sensor={**_on_i2c(), "fault": "hung"}))
    port = Port(emulator, "node")
    port.provide({**NODE, "console": "rows", "options": I2C["options"], "sense": I2C["sense"]})
    port.until('"kind": "row".*\r\n', 2)
    assert b"fieldelm: " not in port.said
    assert all(row["rms_g"] for row in port.rows() if row["kind"] == "row")
    emulator.command("fault", pico="node", chip="sensor", fault="stuck")
    port.until('"kind": "sensor".*SDA .GPIO 4. is held low')
    port.until('"event": "sensor_fault"')
    emulator.command("fault", pico="node", chip="sensor", fault="none")
    port.until('"event": "sensor_ok"')
    assert port.status()["resets"] == 1


def test_three_failed_starts_lead_to_safe_mode(emulate):
    emulator = emulate(_pico(), trace=True)
    port = Port(emulator, "node")
    port.provide({**NODE, "console": "events"})
    port.until('"kind": "boot"')
    for _ in range(3):  # the first was cut short, too
        port.said = b""
        emulator.command("power", pico="node", on=False)
        emulator.command("power", pico="node", on=True)
        port.until('fieldelm: safe mode|"kind": "boot"')
    port.until("safe mode: 3 starts in a row did not last 120 s")
    port.until(r">>> $")  # the REPL, without a Ctrl-C
    assert _sent(emulator)[-1][0] & 0x2F == 0x20 | frame.STATUS  # wants to be acknowledged
    assert codes.STATES.index("safe_mode") == 7
    # whoever has mended it starts it again: one attempt
    port.prompt()
    port.restart()
    port.until('"kind": "boot"')
    port.prompt()  # Ctrl-C: somebody is there, so it is no failure
    assert (
        port.run("from fieldelm.storage import Record; b = bytearray(1); Record('starts').read(b); print(b[0])")
        == "0\n"
    )


def test_app_that_fails_is_written_down_and_started_again(emulate):
    emulator = emulate(_pico())
    port = Port(emulator, "node")
    port.provide(NODE)
    port.until('"kind": "boot"')
    port.prompt()
    # a model directory where a file should be: something that nobody thought of
    port.write(
        b"from fieldelm.node import Node\ndef cycle(node): raise RuntimeError('unthought of')\nNode.cycle = cycle\n"
        b"import main\nmain.main()\n\x04"
    )
    port.until("RuntimeError: unthought of")
    began = port.seconds()
    port.said = b""
    port.until('"cause": "failed"')
    assert 29 < port.seconds() - began < 35
    port.prompt()
    assert "unthought of" in port.run("print(open('errors.txt').read())")


def test_pin_skips_the_app(emulate):
    port = Port(emulate(_pico(pins={"22": 0}), trace=True), "node")
    port.provide(NODE)
    port.until("safe mode: the safe-mode pin is at GND")
    port.until(r">>> $")
    assert not _sent(port.emulator)
    port.prompt()
    assert port.run("import os; print(os.listdir())") == "['config.json']\n"


def test_configuration_that_is_wrong_or_missing(emulate):
    port = Port(emulate(_pico()), "node")
    port.provide(None)
    port.until("fieldelm: config.json: cannot be read .* provision the node")
    port.until(r">>> $")
    port.provide({**NODE, "keys": {"0": "secret"}})
    port.until('fieldelm: config.json: "keys" must be')
    assert b"secret" not in port.said
    port.provide({**NODE, "board": "rpi_pico2"})
    port.until('"board" is rpi_pico2, but this firmware is for rpi_pico')


def test_full_and_missing_file_system(emulate):
    port = Port(emulate(_pico(), trace=True), "node")
    short = {"train_rows": 8, "calibration_rows": 8}
    port.provide({**NODE, "radio": {"sf": 7}, "sense": {"period_s": 2, "samples": 64}, "learn": short})
    port.until('"type": "HELLO"')
    port.prompt()
    port.run(
        "import os\n"
        "size, n = 4096 * os.statvfs('/')[3], 0\n"
        "while size >= 2048:\n"
        "    n += 1\n"
        "    try:\n"
        "        with open('full%d' % n, 'wb') as file:\n"
        "            for _ in range(size // 2048): file.write(bytes(2048))\n"
        "    except OSError:\n"  # littlefs forgets a file whose writing has failed
        "        size //= 2\n"
    )
    port.restart()
    port.until('"event": "commissioned"')
    port.until('"storage".*\r\n')  # the model does not fit; it watches on, and sends
    assert "28" in next(row["problem"] for row in port.rows() if row["kind"] == "storage")
    port.said = b""
    port.until('"type": "ALERT"')
    assert not port.status()["resets"] > 2
    port.prompt()
    port.run("import os; os.umount('/')")
    sent = len(_sent(port.emulator))
    port.write(b"import main\nmain.main()\n\x04")
    port.until("fieldelm: the file system cannot be written")
    assert len(_sent(port.emulator)) == sent  # no counters, no frames


def test_power_cuts_in_any_flash_operation_never_repeat_a_counter(emulate):
    emulator = emulate(_pico(), trace=True)
    port = Port(emulator, "node")
    port.provide({**NODE, "radio": {"sf": 7}, "sense": {"samples": 64}})
    port.until('"type": "HELLO"')
    for operation in (1, 2, 3, 4, 6, 8):
        port.said = b""
        emulator.command("power_cut", pico="node", operation=operation, fraction=0.4)
        emulator.command("reset", pico="node")
        port.until('"type": "HELLO"|safe mode')
    counters = [data[3:7] for data in _sent(emulator) if data[0] & 0x0F == frame.HELLO]
    frames = {data for data in _sent(emulator) if data[0] & 0x0F == frame.HELLO}
    assert len(set(counters)) == len(frames)  # the same counter only for the same bytes


@pytest.mark.nightly
def test_brown_out_in_any_state_is_a_start_from_power_on_and_no_counter_comes_twice(emulate):
    emulator = emulate(_pico(), trace=True)
    port = Port(emulator, "node")
    port.provide({**NODE, "radio": {"sf": 7}, "sense": {"samples": 64, "period_s": 60}})
    port.until('"type": "HELLO"')

    def first_since(began):
        """The first frame of the life that began then: the one before may have begun a frame while power was cut."""
        frames = (event for event in emulator.events if event["event"] == "frame")
        return next(event for event in frames if event["start_ns"] >= began * 1e9)

    def on_again():
        """Power off and on; when, in emulated seconds."""
        emulator.command("power", pico="node", on=False)
        emulator.command("power", pico="node", on=True)
        return port.seconds()

    began = on_again()
    port.said = b""
    port.until('"type": "HELLO"')
    first = first_since(began)
    start, end = first["start_ns"] / 1e9 - began, first["end_ns"] / 1e9 - began
    states = {
        "start": 0.05,
        "app loading": start / 3,
        "self-test and first window": start - 0.1,
        "sending": (start + end) / 2,
        "waiting for the window": end + 0.5,
        "listening": end + 1.03,
        "asleep between windows": end + 9,
    }
    for number, seconds in enumerate(states.values()):
        if number % 2:  # three starts in a row that did not last two minutes would lead to safe mode
            on_again()
            port.wait(121)
        until = on_again() + seconds
        emulator.command("limit", time=until)
        limit = time.monotonic() + 60
        while port.seconds() < until - 1e-6:
            assert time.monotonic() < limit, "emulated time does not pass"
            port.read()
        emulator.command("limit")
    began = on_again()
    port.said = b""
    port.until('"type": "HELLO"')
    assert b"safe mode" not in port.said
    assert opened_hello(bytes.fromhex(first_since(began)["data"]))["boot_cause"] == 1  # power
    hellos = [data for data in _sent(emulator) if data[0] & 0x0F == frame.HELLO]
    # whole starts, and those cut after a frame
    assert len({data[3:7] for data in hellos}) == len(set(hellos)) >= 2 + 3 + 3 + 1
