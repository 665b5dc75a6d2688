"""Register-level behaviour of every chip, through machine.SPI and machine.I2C of MicroPython on the emulated Pico."""

import struct

import pytest
from emulated_chips import ADXL345_I2C, ADXL345_SPI, LIS3DH_SPI, SX1262, SX1276

pytestmark = pytest.mark.timeout(600)

SX1276_PROGRAM = """
from machine import Pin, SPI
import time
spi = SPI(1, baudrate=5_000_000, sck=Pin(10), mosi=Pin(11), miso=Pin(12))
cs = Pin(13, Pin.OUT, value=1)
reset = Pin(14, Pin.OUT, value=1)
dio0 = Pin(15, Pin.IN)
def read(address, n=1):
    cs(0); spi.write(bytes([address])); data = spi.read(n); cs(1)
    return data
def write(address, *values):
    cs(0); spi.write(bytes([0x80 | address])); spi.write(bytes(values)); cs(1)
reset(0); time.sleep_ms(1); reset(1); time.sleep_ms(6)
write(1, 0x00); write(1, 0x80); write(1, 0x81)
write(0x06, 0xd9, 0x06, 0x66)
write(0x1d, 0x72, 0x74)
write(0x09, 0x8c)
def send(data):
    write(0x0e, 0); write(0x0d, 0); write(0, *data); write(0x22, len(data)); write(0x40, 0x40)
    edge = []
    dio0.irq(lambda _: edge.append(time.ticks_us()), Pin.IRQ_RISING)
    begin = time.ticks_us()
    write(1, 0x83)
    while not edge: time.sleep_ms(1)
    return time.ticks_diff(edge[0], begin)
def listen():
    write(0x12, 0xff); write(0x40, 0x00); write(1, 0x85)
def heard():
    while not dio0(): time.sleep_ms(1)
    flags = read(0x12)[0]
    write(0x0d, read(0x10)[0])
    data = read(0, read(0x13)[0])
    return flags, data, read(0x1a)[0] * 16 / 15 - 157, read(0x19)[0] / 4
"""

SX1262_PROGRAM = """
from machine import Pin, SPI
import time
spi = SPI(1, baudrate=8_000_000, sck=Pin(10), mosi=Pin(11), miso=Pin(12))
cs = Pin(3, Pin.OUT, value=1)
reset = Pin(15, Pin.OUT, value=1)
busy = Pin(2, Pin.IN)
dio1 = Pin(20, Pin.IN)
def command(*out):
    while busy(): pass
    data = bytearray(out)
    cs(0); spi.write_readinto(data, data); cs(1)
    return data
reset(0); time.sleep_ms(1); reset(1)
command(0x80, 0)
command(0x97, 2, 0, 0, 64); command(0x07, 0, 0); command(0x89, 0x7f)
command(0x9d, 1)
command(0x8a, 1)
command(0x98, 0xd7, 0xdb)
command(0x86, *((868_100_000 << 25) // 32_000_000).to_bytes(4, 'big'))
command(0x95, 4, 7, 0, 1); command(0x8e, 14, 4)
command(0x8b, 7, 4, 1, 0)
command(0x0d, 0x08, 0x89, 0x05)
command(0x08, 2, 0x73, 2, 0x73, 0, 0, 0, 0)
command(0x8f, 0, 0x80)
def send(data):
    command(0x8c, 0, 8, 0, len(data), 1, 0); command(0x0e, 0, *data)
    edge = []
    dio1.irq(lambda _: edge.append(time.ticks_us()), Pin.IRQ_RISING)
    begin = time.ticks_us()
    command(0x83, 0, 0, 0)
    while not edge: time.sleep_ms(1)
    command(0x02, 3, 255)
    return time.ticks_diff(edge[0], begin)
def listen():
    command(0x02, 3, 255); command(0x8c, 0, 8, 0, 255, 1, 0); command(0x82, 255, 255, 255)
def heard():
    while not dio1(): time.sleep_ms(1)
    while not command(0x12, 0, 0, 0)[3] & 2: time.sleep_ms(1)
    _, _, length, start = command(0x13, 0, 0, 0)
    flags = command(0x12, 0, 0, 0)
    data = command(0x1e, start, 0, *bytes(length))[3:]
    status = command(0x14, 0, 0, 0, 0)
    return flags[2] << 8 | flags[3], bytes(data), -status[2] / 2, status[3] / 4
"""

FRAME = bytes([1, 2, 3, 250, 0, 255, *range(7, 20)])
PROGRAMS = {"sx1276": SX1276_PROGRAM, "sx1262": SX1262_PROGRAM}
AIRTIME_US = round((12.25 + 38) * 1024)


def test_sx1276_transmits_for_exactly_the_airtime(bench):
    b = bench(SX1276, trace=True)
    repl = b.repl()
    repl.run(SX1276_PROGRAM)
    assert repl.value("read(0x42)") == b"\x12"
    measured = repl.value(f"send({FRAME!r})")
    assert 0 <= measured - AIRTIME_US < 300
    frame = b.emulator.wait_for(lambda event: event.get("event") == "frame", 10)
    assert bytes.fromhex(frame["data"]) == FRAME
    assert (frame["end_ns"] - frame["start_ns"]) == AIRTIME_US * 1000
    assert repl.value("read(0x12)[0], read(1)[0]") == (0x08, 0x81)
    assert b.status()["reports"] == []


@pytest.mark.parametrize(("sender", "receiver"), [(SX1276, SX1262), (SX1262, SX1276), (SX1262, SX1262)])
def test_a_frame_passes_from_pico_to_pico(bench, sender, receiver):
    b = bench(sender, others=[{"name": "other", "chips": [receiver]}], air={"loss_db": 100})
    node, other = b.repl("node"), b.repl("other")
    node.run(PROGRAMS[sender["type"]])
    other.run(PROGRAMS[receiver["type"]])
    other.run("listen()")
    other.start("print(heard())")
    measured = node.value(f"send({FRAME!r})")
    tcxo_us = 1000 if sender is SX1262 else 0  # as SetDIO3AsTcxoCtrl was told
    assert 0 <= measured - AIRTIME_US - tcxo_us < 400
    _flags, data, rssi, snr = eval(other.until(b"\x04").decode())
    other.until(b"\x04>")
    assert data == FRAME
    assert rssi == pytest.approx(-86, abs=1)
    assert snr == 10
    assert b.status("node")["reports"] == b.status("other")["reports"] == []


def test_sx1262_sleeps_wakes_and_says_what_it_refuses(bench):
    b = bench(SX1262)
    repl = b.repl()
    repl.run(SX1262_PROGRAM)
    assert repl.value("command(0xc0, 0)[1] >> 4 & 7") == 2
    repl.run("command(0x84, 4); time.sleep_ms(1)")
    assert repl.value("busy()") == 1
    repl.run("cs(0); time.sleep_us(10); cs(1)\nwhile busy(): pass")
    assert repl.value("command(0x1d, 0x07, 0x40, 0, 0, 0)[4:]") == b"\x14\x24"
    assert repl.value("command(0x8b, 13, 4, 1, 0) and command(0xc0, 0)[1] >> 1 & 7") == 4


@pytest.mark.parametrize("chip", [ADXL345_SPI, ADXL345_I2C], ids=["spi", "i2c"])
def test_adxl345_streams_at_800_hz_without_a_gap(bench, chip):
    signal = {"constant": [0, 0, 1], "sines": [{"axis": 0, "hz": 50, "g": 1.0}]}
    b = bench({**chip, "signal": signal})
    repl = b.repl()
    if "spi" in chip:
        repl.run(
            "from machine import Pin, SPI\n"
            "spi = SPI(0, baudrate=5_000_000, polarity=1, phase=1, sck=Pin(6), mosi=Pin(7), miso=Pin(4))\n"
            "cs = Pin(5, Pin.OUT, value=1)\n"
            "def read(a, n):\n    cs(0); spi.write(bytes([0xc0 | a])); data = spi.read(n); cs(1); return data\n"
            "def write(a, v):\n    cs(0); spi.write(bytes([a, v])); cs(1)\n"
        )
    else:
        repl.run(
            "from machine import Pin, I2C\ni2c = I2C(0, sda=Pin(4), scl=Pin(5), freq=400_000)\n"
            "def read(a, n): return i2c.readfrom_mem(0x53, a, n)\ndef write(a, v): i2c.writeto_mem(0x53, a, bytes([v]))\n"
        )
        assert repl.value("i2c.scan()") == [0x53]
    assert repl.value("read(0, 1)") == b"\xe5"
    repl.run(
        "int1 = Pin(8, Pin.IN)\n"
        "write(0x31, 0x0b); write(0x2c, 0x0d); write(0x38, 0x80 | 16); write(0x2e, 0x02); write(0x2d, 8)\n"
        "data = bytearray()\n"
        "while len(data) < 6 * 320:\n"
        "    while not int1(): pass\n"
        "    for _ in range(16): data += read(0x32, 6)\n"
    )
    assert repl.value("read(0x30, 1)[0] & 1") == 0
    data = repl.value("bytes(data)")
    x = [row[0] for row in struct.iter_unpack("<3h", data)][:320]
    # 50 Hz at 800 Hz: every 16 samples the same
    assert max(x) == pytest.approx(256, abs=6)
    assert all(abs(a - b) <= 1 for a, b in zip(x, x[16:], strict=False))
    assert b.status()["reports"] == []


def test_lis3dh_burst(bench):
    b = bench({**LIS3DH_SPI, "signal": {"constant": [0.5, -0.25, 1.0]}})
    repl = b.repl()
    repl.run(
        "from machine import Pin, SPI\nimport time\n"
        "spi = SPI(0, baudrate=5_000_000, polarity=1, phase=1, sck=Pin(6), mosi=Pin(7), miso=Pin(4))\n"
        "cs = Pin(5, Pin.OUT, value=1)\n"
        "def read(a, n):\n    cs(0); spi.write(bytes([0xc0 | a])); data = spi.read(n); cs(1); return data\n"
        "def write(a, v):\n    cs(0); spi.write(bytes([a, v])); cs(1)\n"
        "write(0x23, 0x08); write(0x24, 0x40); write(0x2e, 0x80 | 15); write(0x20, 0x77); time.sleep_ms(70)\n"
    )
    assert repl.value("read(0x0f, 1)") == b"\x33"
    unread = repl.value("read(0x2f, 1)[0]") & 0x1F
    assert unread >= 16
    rows = list(struct.iter_unpack("<3h", repl.value(f"read(0x28, {6 * unread})")))
    assert set(rows) == {(500 << 4, -(250 << 4), 1000 << 4)}


def test_wrong_spi_mode_and_wrong_pins_are_noticed(bench):
    b = bench(ADXL345_SPI)
    repl = b.repl()
    repl.run(
        "from machine import Pin, SPI\ncs = Pin(5, Pin.OUT, value=1)\n"
        "def identify(spi):\n    cs(0); spi.write(b'\\x80'); data = spi.read(1); cs(1); return data\n"
        "wires = dict(sck=Pin(6), mosi=Pin(7), miso=Pin(4))"
    )
    repl.run("others = dict(sck=Pin(2), mosi=Pin(3), miso=Pin(0))")
    assert repl.value("identify(SPI(0, baudrate=1_000_000, polarity=1, phase=1, **others))") != b"\xe5"
    assert repl.value("identify(SPI(0, baudrate=1_000_000, polarity=0, phase=0, **wires))") != b"\xe5"
    assert any("SPI mode 0" in text for text in b.status()["reports"])
    assert repl.value("identify(SPI(0, baudrate=1_000_000, polarity=1, phase=1, **wires))") == b"\xe5"
    repl.run("from machine import SoftSPI")
    assert repl.value("identify(SoftSPI(baudrate=100_000, polarity=1, phase=1, **wires))") == b"\xe5"


def test_faults(bench):
    b = bench(ADXL345_I2C)
    repl = b.repl()
    repl.run("from machine import I2C, Pin\ni2c = I2C(0, sda=Pin(4), scl=Pin(5), freq=400_000)")
    assert repl.value("i2c.readfrom_mem(0x53, 0, 1)") == b"\xe5"
    b.emulator.command("fault", chip="sensor", fault="wrong_id")
    assert repl.value("i2c.readfrom_mem(0x53, 0, 1)") == b"\x5a"
    b.emulator.command("fault", chip="sensor", fault="silent")
    assert "EIO" in repl.run("try: i2c.readfrom_mem(0x53, 0, 1)\nexcept OSError as e: print(e)")
    assert repl.value("i2c.scan()") == []
    b.emulator.command("fault", chip="sensor", fault="none")
    assert repl.value("i2c.scan()") == [0x53]
