"""One emulated Pico: REPL, time, flash, resets, pins, ADC."""

import itertools
import subprocess
import time

import pytest
from emulated_chips import ADXL345_I2C, SX1276

from fieldelm_tools.emulator import EmulatorError

pytestmark = pytest.mark.timeout(600)


def test_boots_to_a_repl_that_mpremote_reaches(bench, mpremote, tmp_path):
    b = bench()
    address = b.emulator.address("node")
    command = [mpremote, "connect", address, "exec", "import sys; print(sys.platform)"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.stdout.strip() == "rp2", result.stderr
    (tmp_path / "all.bin").write_bytes(bytes(range(256)) * 8)
    for arguments in (["cp", "all.bin", ":all.bin"], ["cp", ":all.bin", "back.bin"]):
        result = subprocess.run(
            [mpremote, "connect", address, *arguments], cwd=tmp_path, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr
    assert (tmp_path / "back.bin").read_bytes() == (tmp_path / "all.bin").read_bytes()


def test_every_byte_passes_the_serial_port_both_ways(bench):
    repl = bench().repl()
    repl.start(
        "import sys, micropython\n"
        "micropython.kbd_intr(-1)\n"
        "data = sys.stdin.buffer.read(20480)\n"
        "sys.stdout.buffer.write(data)\n"
        "micropython.kbd_intr(3)"
    )
    sent = bytes(range(256)) * 80
    repl.write(sent)
    while len(repl.buffer) < len(sent):
        repl.buffer += repl.socket.recv(65536)
    assert repl.buffer[: len(sent)] == sent


def test_much_output_arrives_complete(bench):
    repl = bench().repl()
    repl.start("for i in range(8000): print('%06d' % i)")
    printed = repl.until(b"\x04").decode().split()
    assert printed == [f"{i:06d}" for i in range(8000)]


def test_idle_time_costs_no_wall_time(bench):
    repl = bench().repl()
    begin = time.monotonic()
    slept = repl.value("(__import__('time').ticks_us(), __import__('time').sleep(60), __import__('time').ticks_us())")
    assert time.monotonic() - begin < 2.0
    assert 60_000_000 <= slept[2] - slept[0] < 60_005_000


def test_lightsleep_and_deepsleep(bench):
    b = bench()
    repl = b.repl()
    repl.run("import time, machine")
    begin, _, end = repl.value("(time.ticks_us(), machine.lightsleep(3000), time.ticks_us())")
    assert 3_000_000 <= end - begin < 3_005_000
    assert repl.value("machine.freq()") == 125_000_000
    before = b.status()["time"]
    repl.start("machine.deepsleep(2000)")
    deadline = time.monotonic() + 20
    while b.status()["resets"] == 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert b.status()["resets"] == 1
    assert b.status()["time"] - before >= 2.0


def test_resets(bench):
    b = bench()
    repl = b.repl()
    assert repl.value("__import__('machine').reset_cause()") == 1  # power on
    repl.start("import machine; machine.reset()")
    repl = b.repl(again=True)
    assert repl.value("__import__('machine').reset_cause()") == 3
    repl.start(
        "import machine, time; wdt = machine.WDT(timeout=500)\n"
        "for _ in range(5): time.sleep_ms(300); wdt.feed()\n"
        "print('fed')\nwhile True: pass"
    )
    repl.until(b"fed")
    deadline = time.monotonic() + 30
    while b.status()["resets"] == 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    repl = b.repl(again=True)
    assert repl.value("__import__('machine').reset_cause()") == 3
    repl.write(b"\x04")  # soft reset
    repl.until(b"soft reboot")
    b.emulator.command("power", on=False)
    b.emulator.command("power", on=True)
    assert b.repl(again=True).value("__import__('machine').reset_cause()") == 1


def test_files_outlive_the_emulator_in_the_flash_image(bench, tmp_path):
    image = str(tmp_path / "pico.flash")
    first = bench(flash=image)
    first.repl().run("with open('a.txt', 'w') as f: f.write('kept')")
    first.emulator.close()
    assert bench(flash=image).repl().value("open('a.txt').read()") == "kept"


WRITER = """
import os
def write(tag):
    for i in range(12):
        with open('n%d.txt' % (i % 3), 'w') as f:
            f.write(tag * 700)
write('a')
print(os.listdir())
"""


@pytest.mark.parametrize("operation", [1, 2, 3, 5, 8, 13, 21])
def test_a_power_cut_leaves_a_file_system_that_mounts(bench, operation):
    b = bench()
    repl = b.repl()
    repl.run(WRITER)
    b.emulator.command("power_cut", operation=operation, fraction=0.5)
    repl.start("write('b')")
    b.emulator.wait_for(lambda event: event.get("event") == "power_cut", 60)
    repl = b.repl(again=True)
    kinds = repl.value("[''.join(sorted(set(open(n).read()))) for n in ('n0.txt', 'n1.txt', 'n2.txt')]")
    assert all(kind in ("a", "b") for kind in kinds), kinds
    repl.run("with open('after.txt', 'w') as f: f.write('x')")
    assert repl.value("open('after.txt').read()") == "x"
    assert b.status()["resets"] == 0
    assert repl.value("__import__('machine').reset_cause()") == 1


def test_flash_writes_take_their_time(bench):
    repl = bench().repl()
    repl.run("import rp2, time\nflash = rp2.Flash()\npage = bytearray(4096)")
    begin, _, end = repl.value("(time.ticks_us(), flash.writeblocks(300, page), time.ticks_us())")
    assert 45_000 + 16 * 400 <= end - begin < 53_000


def test_pins_and_adc(bench):
    b = bench(battery={"pin": 29, "volts": 3.9, "ratio": 3}, temperature=31.0, pins={"22": 0})
    repl = b.repl()
    repl.run("from machine import Pin, ADC")
    repl.run("def level(pin, pull): return Pin(pin, Pin.IN, pull)()")
    assert repl.value("level(21, Pin.PULL_UP), level(22, Pin.PULL_UP), level(20, Pin.PULL_DOWN)") == (1, 0, 0)
    assert repl.value("Pin(25, Pin.OUT, value=1)()") == 1
    assert repl.value("ADC(29).read_u16()") * 3.3 * 3 / 65536 == pytest.approx(3.9, abs=0.005)
    assert 27 - (repl.value("ADC(4).read_u16()") * 3.3 / 65536 - 0.706) / 0.001721 == pytest.approx(31.0, abs=0.6)
    b.emulator.command("battery", pin=29, volts=3.3, ratio=3)
    assert repl.value("ADC(29).read_u16()") * 3.3 * 3 / 65536 == pytest.approx(3.3, abs=0.005)
    repl.run("seen = []\npin = Pin(21, Pin.IN, Pin.PULL_UP)\npin.irq(lambda p: seen.append(p()), Pin.IRQ_FALLING)")
    b.emulator.command("pin", pin=21, level=0)
    assert repl.value("(__import__('time').sleep_ms(1), seen)")[1] == [0]
    b.emulator.command("pin", pin=21, level=None)
    assert repl.value("pin()") == 1


def test_every_pico_has_an_id_of_its_own(bench):
    b = bench(others=[{"name": "other"}], unique_id="0102030405060708")
    assert b.repl().value("__import__('machine').unique_id()") == bytes(range(1, 9))
    other = b.repl("other").value("__import__('machine').unique_id()")
    assert len(other) == 8
    assert other not in (bytes(8), bytes(range(1, 9)))


def test_uart_returns(bench):
    assert bench().repl().value("__import__('machine').UART(0, 115200).write(b'hello')") == 5


def test_timers_fire_when_they_say(bench):
    repl = bench().repl()
    repl.run(
        "from machine import Timer\nimport time\nt = []\n"
        "timer = Timer(period=250, callback=lambda _: t.append(time.ticks_us()))\n"
        "time.sleep(3)\ntimer.deinit()"
    )
    times = repl.value("t")
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert len(gaps) >= 10
    assert all(abs(gap - 250_000) < 1500 for gap in gaps), gaps


def test_unplugged_and_plugged_again(bench):
    b = bench()
    repl = b.repl()
    repl.run("x = 5")
    b.emulator.command("plug", **{"in": False})
    b.emulator.command("plug", **{"in": True})
    time.sleep(0.3)
    assert b.repl(again=True).value("x") == 5


def test_cycles_are_counted_exactly(bench):
    """A loop in machine code: the Cortex-M0+ takes 1 + 2 cycles a turn (technical reference manual, table 3-1)."""
    b = bench()
    repl = b.repl()
    repl.run("@micropython.asm_thumb\ndef turn(r0):\n    label(again)\n    sub(r0, 1)\n    bne(again)\n")
    counts = []
    for turns in (1_000, 1_001_000):
        repl.run(f"turn({turns})")
        before = b.status()["busy_cycles"]
        repl.run(f"turn({turns})")
        counts.append(b.status()["busy_cycles"] - before)
    assert counts[1] - counts[0] == pytest.approx(3_000_000, rel=0.01)


WORK = """
import time, json, hashlib, gc
def work():
    gc.collect()
    begin = time.ticks_us()
    total = 0.0
    for i in range(2000):
        total += i * 1.5 / (i + 1)
    text = json.dumps({"a": list(range(200)), "b": [total] * 20})
    digest = hashlib.sha256(text * 5).digest()
    number = (3 ** 300) // (7 ** 50)
    return time.ticks_us() - begin, digest, number, sorted(json.loads(text)["a"], reverse=True)[:5]
"""


def test_translated_code_does_what_the_interpreter_does_in_the_same_time(bench):
    results = []
    for translate in (False, True):
        repl = bench(translate=translate).repl()
        repl.run(WORK)
        results.append([repl.value("work()") for _ in range(3)])
    (slow, *slow_values), (fast, *fast_values) = results[0][-1], results[1][-1]
    assert fast_values == slow_values
    assert fast == pytest.approx(slow, abs=3)


def test_an_unaligned_access_is_a_hard_fault(bench):
    b = bench()
    repl = b.repl()
    repl.run("@micropython.asm_thumb\ndef load(r0):\n    ldr(r0, [r0, 0])\n")
    assert isinstance(repl.value("load(0x20001000)"), int)
    repl.start("load(0x20001002)")
    deadline = time.monotonic() + 20
    while not b.status()["reports"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "unaligned access to 0x20001002" in b.status()["reports"][0]
    b.emulator.command("reset")
    assert b.repl(again=True).value("1 + 1") == 2


def test_the_boot_loader_takes_a_uf2_file(bench, firmware):
    b = bench()
    b.repl().start("import machine; machine.bootloader()")
    b.emulator.wait_for(lambda event: event.get("event") == "bootloader", 20)
    assert b.status()["bootloader"]
    b.emulator.command("flash", uf2=str(firmware))
    assert b.repl(again=True).value("1 + 1") == 2
    assert not b.status()["bootloader"]


def test_wrong_descriptions_and_commands_are_one_line(bench, tmp_path):
    for keys, why in (
        ({"firmware": str(tmp_path / "none.uf2")}, "none.uf2"),
        ({"chips": [{"type": "sx9999", "spi": {}}]}, "sx9999"),
        ({"chips": [{**SX1276, "spi": {"sck": 9, "mosi": 11, "miso": 12, "cs": 13}}]}, "GPIO 9 cannot be sck"),
        ({"chips": [{**ADXL345_I2C, "signal": {"file": str(tmp_path / "no.csv"), "rate_hz": 1}}]}, "no.csv"),
    ):
        with pytest.raises(EmulatorError, match=why):
            bench(**keys)
    b = bench()
    for op, arguments in (("nonsense", {}), ("fault", {"chip": "x", "fault": "none"}), ("status", {"pico": "other"})):
        with pytest.raises(EmulatorError, match="emulator: "):
            b.emulator.command(op, **arguments)
