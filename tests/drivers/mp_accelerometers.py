"""ADXL345 and LIS3DH through their FIFOs, on both buses, with and without the interrupt wire."""

import gc
from array import array

from accelerometer_chips import Adxl345Chip, I2c, Lis3dhChip
from copper import Pin, Spi, Time, fails

from fieldelm.drivers import adxl345, lis3dh
from fieldelm.drivers.registers import I2cRegisters, SpiRegisters


def _rig(kind, rate, bus="spi", interrupt=False, clock=1.0, **more):
    time = Time()
    time.install("fieldelm.drivers.accelerometer")
    int1 = Pin() if interrupt else None
    chip_class = Adxl345Chip if kind is adxl345.Adxl345 else Lis3dhChip
    if bus == "spi":
        cs = Pin(1)
        chip = chip_class(time, cs, int1, clock)
        spi = Spi(time, 4)  # 2 MHz
        spi.chips.append(chip)
        registers = SpiRegisters(spi, cs)
    else:
        chip = chip_class(time, None, int1, clock)
        several = 0 if chip_class is Adxl345Chip else 0x80
        registers = I2cRegisters(I2c(time, chip, 0x53, several=several), 0x53, several)
    return time, chip, kind(registers, rate, interrupt=int1, **more)


def _check(window, scale):
    # consecutive sample numbers on all three axes
    first = None
    for i in range(0, len(window), 3):
        n = window[i + 2] // scale * 500 + window[i] // scale
        assert window[i + 1] == -window[i]
        assert first is None or n == first + i // 3, (i, n, first)
        first = n - i // 3
    return first


CASES = (
    (adxl345.Adxl345, 3200, "spi", 1),
    (adxl345.Adxl345, 1600, "spi", 1),
    (adxl345.Adxl345, 100, "spi", 1),
    (adxl345.Adxl345, 800, "i2c", 1),
    (lis3dh.Lis3dh, 1344, "spi", 16),
    (lis3dh.Lis3dh, 1344, "i2c", 16),
    (lis3dh.Lis3dh, 200, "i2c", 16),
)


def test_every_sample_once_and_in_order():
    for kind, rate, bus, scale in CASES:
        for interrupt in (False, True):
            time, chip, sensor = _rig(kind, rate, bus, interrupt)
            window = array("h", bytes(6 * 500))
            before = time.us
            for _ in range(2):
                assert sensor.read(window) == 500
                _check(window, scale)
            assert sensor.overruns == 0
            took = (time.us - before) / 2e6
            assert 500 / rate < took < 560 / rate + 0.1, (kind, rate, took)


def test_sampling_goes_on_while_the_node_computes():
    for kind, rate, bus, scale in CASES:
        time, chip, sensor = _rig(kind, rate, bus, True)
        window = array("h", bytes(6 * 300))
        sensor.start(window)
        time.advance(int(330 * 1e6 / rate))  # nobody asks: the interrupt alone empties the FIFO
        assert sensor.ready()
        _check(window, scale)
        assert sensor.overruns == 0


def test_measured_rate_is_the_chips_own():
    for clock in (0.96, 1.0, 1.04):
        time, chip, sensor = _rig(adxl345.Adxl345, 800, "spi", True, clock)
        sensor.read(array("h", bytes(6 * 800)))
        assert abs(sensor.measured_hz / (800 * clock) - 1) < 0.002, sensor.measured_hz
        assert sensor.rate_hz == 800


def test_overrun_throws_the_window_away_and_counts_it():
    for kind, rate, bus, scale in CASES:
        time, chip, sensor = _rig(kind, rate, bus)
        window = array("h", bytes(6 * 200))
        stalls = [1]

        def wait():
            if stalls[0] and sensor._at > 60:  # something kept the processor from the FIFO
                stalls[0] -= 1
                time.advance(int(40 * 1e6 / rate))

        sensor.on_wait = wait
        assert sensor.read(window) == 200
        _check(window, scale)
        assert sensor.overruns == 1
        stalls[0] = 1000
        fails(lambda: sensor.read(window), sensor.NAME, "ran over in 3 windows")
        assert sensor.overruns == 4


def test_processor_that_is_late_during_the_reading_is_noticed():
    time, chip, sensor = _rig(adxl345.Adxl345, 1600)
    window = array("h", bytes(6 * 200))
    sensor.start(window)
    take = sensor._take

    def slow(out, count):
        time.advance(25000)  # between the status and the data
        take(out, count)

    sensor._take = slow
    time.advance(8000)
    sensor.ready()
    assert sensor.overruns == 1


def test_missing_wrong_and_dead_chips_are_named():
    for kind, register in (
        (adxl345.Adxl345, "DEVID (0x00) reads 0x00, not 0xE5"),
        (lis3dh.Lis3dh, "WHO_AM_I (0x0F) reads 0x00"),
    ):
        window = array("h", bytes(600))
        time, chip, sensor = _rig(kind, 100)
        chip.absent = True
        fails(lambda: sensor.read(window), sensor.NAME, register, "power")
        chip.absent = False
        assert sensor.read(window) == 100
        time, chip, sensor = _rig(kind, 100, "i2c")
        chip.absent = True
        fails(lambda: sensor.read(window), sensor.NAME, "no answer on the bus", "address")
        chip.absent = False
        chip.r[0x00] = chip.r[0x0F] = 0x44
        fails(lambda: sensor.read(window), "reads 0x44", "which chip")


def test_chip_that_falls_silent_is_given_up():
    def wait_for(sensor, time):
        for _ in range(100):
            if sensor.ready():
                return
            time.sleep_ms(10)

    window = array("h", bytes(6 * 400))
    for interrupt in (False, True):
        time, chip, sensor = _rig(adxl345.Adxl345, 800, "i2c", interrupt)
        sensor.start(window)
        time.sleep_ms(10)
        sensor.ready()
        chip.absent = True
        fails(lambda: wait_for(sensor, time), "ADXL345: no answer on the bus while sampling")
        time, chip, sensor = _rig(adxl345.Adxl345, 800, "spi", interrupt)
        sensor.start(window)
        chip.run(0)
        fails(lambda: wait_for(sensor, time), "no samples")
        chip.run(800)
        assert sensor.read(window) == 400


def test_cut_interrupt_wire_is_named():
    time, chip, sensor = _rig(adxl345.Adxl345, 800, "spi", True)
    chip.int1.stuck = 0
    fails(lambda: sensor.read(array("h", bytes(600))), "interrupt pin stays silent", "INT1")


def test_units():
    _, _, sensor = _rig(adxl345.Adxl345, 800)
    assert (sensor.kind, sensor.axes, sensor.full_scale, sensor.g_per_count) == ("waveform", 3, 4095, 1 / 256)
    assert _rig(adxl345.Adxl345, 800, range_g=2)[2].full_scale == 511
    for rate in (1600, 3200):  # the lowest bit is always 0: the largest count, at which a sample is clipped, is even
        assert _rig(adxl345.Adxl345, rate)[2].full_scale == 4094
        assert _rig(adxl345.Adxl345, rate, range_g=2)[2].full_scale == 510
    _, _, sensor = _rig(lis3dh.Lis3dh, 400, range_g=2)
    assert abs(sensor.g_per_count * 16 - 0.001) < 1e-9 and sensor.full_scale * sensor.g_per_count < 2.05
    assert _rig(lis3dh.Lis3dh, 400, range_g=16)[2].full_scale * 0.012 / 16 < 16.01


def test_impossible_rates_and_ranges_are_refused():
    fails(lambda: adxl345.Adxl345(None, 1000), "1000", "800")
    fails(lambda: adxl345.Adxl345(None, 1600, max_hz=adxl345.I2C_MAX_HZ), "at most 800 Hz", "SPI")
    fails(lambda: adxl345.Adxl345(None, 800, 5), "2, 4, 8 or 16")
    fails(lambda: lis3dh.Lis3dh(None, 1600), "1344")
    fails(lambda: lis3dh.Lis3dh(None, 400, 5), "2, 4, 8 or 16")


class _StillBus:
    # registers that always hold 16 samples, without allocating
    def read(self, register):
        return 16 if register in (0x39, 0x2F) else 0

    def read_into(self, register, buffer):
        buffer[0] = 1

    def write(self, register, value):
        pass


def test_emptying_the_fifo_allocates_nothing():
    for kind in (adxl345.Adxl345, lis3dh.Lis3dh):
        time, chip, sensor = _rig(kind, 100)
        window = array("h", bytes(6 * 16 * 50))
        sensor.start(window)
        sensor._registers = _StillBus()
        time.ticks_us = lambda: 0
        sensor._drain(None)
        gc.collect()
        gc.disable()
        before = gc.mem_alloc()
        for _ in range(40):
            sensor._drain(None)
        grown = gc.mem_alloc() - before
        gc.enable()
        assert grown == 0 and not sensor._broken and sensor._at > 1500, (grown, sensor._at)
