"""The project's own firmware and drivers on emulated Picos: both radios both ways, and the accelerometers."""

import itertools
import time

import pytest
from emulated_chips import ADXL345_I2C, ADXL345_SPI, LIS3DH_SPI, SX1262, SX1276

from fieldelm_tools import firmware as builder

pytestmark = pytest.mark.timeout(600)

SPI1 = (
    "from machine import Pin, SPI\nimport time\n"
    "spi = SPI(1, baudrate=4_000_000, sck=Pin(10), mosi=Pin(11), miso=Pin(12))\n"
)
RADIOS = {
    "sx1276": SPI1
    + "from fieldelm.drivers.sx127x import SX127x\n"
    + "radio = SX127x(spi, Pin(13, Pin.OUT, value=1), Pin(15, Pin.IN), reset=Pin(14, Pin.OUT, value=1))\n",
    "sx1262": SPI1
    + "from fieldelm.drivers.sx126x import SX1262\n"
    + "radio = SX1262(spi, Pin(3, Pin.OUT, value=1), Pin(2, Pin.IN), dio1=Pin(20, Pin.IN), dio3_tcxo_millivolts=1800,\n"
    + "    reset=Pin(15, Pin.OUT, value=1))\n",
}
SPI0 = """
from machine import Pin, SPI
import time
from fieldelm.drivers.registers import SpiRegisters
spi = SPI(0, baudrate=4_000_000, polarity=1, phase=1, sck=Pin(6), mosi=Pin(7), miso=Pin(4))
cs = Pin(5, Pin.OUT, value=1)
registers = SpiRegisters(spi, cs)
"""
I2C0 = """
from machine import I2C, Pin
import time
from fieldelm.drivers.registers import I2cRegisters
registers = I2cRegisters(I2C(0, sda=Pin(4), scl=Pin(5), freq=400_000), 0x53)
"""
CONFIG = {"freq_khz": 868100, "sf": 7, "bw": "125", "coding_rate": 5, "preamble_len": 8, "output_power": 14}
FRAME = bytes([0, 3, 255, 10, 13, *range(14)])


@pytest.fixture
def image(firmware):
    """The project's firmware, built if it is out of date."""
    return builder.build("rpi_pico").uf2


@pytest.mark.parametrize(("near", "far"), [(SX1276, SX1262), (SX1262, SX1276)], ids=["1276-1262", "1262-1276"])
def test_a_frame_up_and_an_answer_down(bench, image, near, far):
    """At the pace of the clock on the wall, as both sides have timeouts and are driven from outside."""
    b = bench(near, image=image, others=[{"name": "modem", "chips": [far]}], pace=1, air={"loss_db": 100})
    up, down = b.repl("node"), b.repl("modem")
    up.run(RADIOS[near["type"]] + f"radio.configure({CONFIG | {'invert_iq_rx': True, 'invert_iq_tx': False}!r})")
    down.run(RADIOS[far["type"]] + f"radio.configure({CONFIG | {'invert_iq_rx': False, 'invert_iq_tx': True}!r})")
    show = "print((bytes(p), p.rssi, p.snr, p.valid_crc))"
    down.start(f"p = radio.recv(20000); time.sleep_ms(1000); radio.send(b'answer'); {show}")
    listening = b.status()["time"] + 0.5
    while b.status()["time"] < listening:
        time.sleep(0.05)
    up.start(f"radio.send({FRAME!r}); p = radio.recv(5000); {show}")
    heard = []
    for repl in (down, up):
        heard.append(repl.until(b"\x04").decode())
        assert not repl.until(b"\x04>"), heard
    for text, data in zip(heard, (FRAME, b"answer"), strict=True):
        received, rssi, snr, good = eval(text)
        assert (received, snr, good) == (data, 40, True)
        assert rssi == pytest.approx(-86, abs=1)
    assert b.status("node")["reports"] == b.status("modem")["reports"] == []


@pytest.mark.parametrize(
    ("chip", "rate", "program"),
    [
        (ADXL345_SPI, 3200, "from fieldelm.drivers.adxl345 import Adxl345 as Sensor\n" + SPI0),
        (ADXL345_I2C, 800, "from fieldelm.drivers.adxl345 import Adxl345 as Sensor\n" + I2C0),
        (LIS3DH_SPI, 1344, "from fieldelm.drivers.lis3dh import Lis3dh as Sensor\n" + SPI0),
    ],
    ids=["adxl345-spi", "adxl345-i2c", "lis3dh-spi"],
)
def test_accelerometers_give_every_sample_once(bench, image, tmp_path, chip, rate, program):
    """A ramp that rises by one count a sample shows each that is missing or doubled."""
    period = 256
    step = 2 / 256 if chip is not LIS3DH_SPI else 2 / 1000  # at 3,200 Hz the ADXL345's lowest bit is always 0
    rows = "".join(f"{(i % period - period // 2) * step:.6f},0,1\n" for i in range(period))
    recording = tmp_path / "ramp.csv"
    recording.write_text(rows)
    signal = {"file": str(recording), "rate_hz": rate, "constant": [0, 0, 0]}
    b = bench({**chip, "signal": signal}, image=image)
    repl = b.repl()
    repl.run(program + f"from array import array\nsensor = Sensor(registers, {rate}, interrupt=Pin(8, Pin.IN))\n")
    repl.run("out = array('h', bytearray(2 * 3 * 512))")
    repl.run("begin = time.ticks_us(); rows = sensor.read(out); took = time.ticks_us() - begin")
    assert repl.value("rows") == 512
    assert repl.value("took") == pytest.approx(512e6 / rate, rel=0.15)
    x = repl.value("[out[i] for i in range(0, len(out), 3)]")
    unit = min(abs(second - first) for first, second in itertools.pairwise(x) if second != first)
    jumps = [(second - first) // unit for first, second in itertools.pairwise(x)]
    assert all(jump in (1, 1 - period) for jump in jumps), jumps
    assert b.status()["reports"] == []
