"""The analogue input, battery and chip temperature."""

from array import array

from copper import Time, fails

from fieldelm.drivers import analog, voltage


class Adc:
    """Reads the time: sample i at its own moment shows i periods."""

    def __init__(self, time, read_us=10):
        self.time = time
        self.read_us = read_us

    def read_u16(self):
        self.time.advance(self.read_us)
        return self.time.us // 10 & 0xFFF0


class Fixed:
    def __init__(self, volts):
        self.value = int(volts / 3.3 * 65535 + 0.5)

    def read_u16(self):
        return self.value


def _rig(rate, **more):
    time = Time()
    time.install("fieldelm.drivers.analog")
    return time, analog.AnalogInput(Adc(time, **more), rate)


def test_samples_at_the_nominal_rate():
    for rate in (100, 1600, 3000):
        time, sensor = _rig(rate)
        window = array("h", bytes(2 * 1000))
        before = time.us
        assert sensor.read(window) == 1000
        assert abs((time.us - before) / 1e6 - 1000 / rate) < 2.5 / rate
        assert sensor.overruns == 0 and (sensor.kind, sensor.axes, sensor.full_scale) == ("waveform", 1, 2047)


def test_late_samples_spoil_the_window():
    time, sensor = _rig(1000)
    stalls = [2]

    def wait():
        if stalls[0]:
            stalls[0] -= 1
            time.advance(1600)

    sensor.on_wait = wait
    assert sensor.read(array("h", bytes(400))) == 200
    assert sensor.overruns == 2
    stalls[0] = 100
    fails(lambda: sensor.read(array("h", bytes(400))), "1000 Hz cannot be kept", "lower rate")
    fails(lambda: _rig(3000, read_us=600)[1].read(array("h", bytes(400))), "cannot be kept")


def test_rates_are_whole_and_bounded():
    fails(lambda: analog.AnalogInput(None, 12.5), "whole")
    fails(lambda: analog.AnalogInput(None, 100000), "5000")


def test_counts_are_around_the_middle():
    time = Time()
    time.install("fieldelm.drivers.analog")
    sensor = analog.AnalogInput(Fixed(1.65), 100, g_per_volt=1 / 0.3)
    out = array("h", bytes(20))
    sensor.read(out)
    assert abs(out[0]) <= 1
    assert abs(sensor.g_per_count * 4096 - 3.3 / 0.3) < 1e-3
    sensor._adc = Fixed(3.3)
    sensor.read(out)
    assert out[0] == sensor.full_scale


def test_battery_and_temperature():
    assert abs(voltage.millivolts(Fixed(1.4), 3) - 4200) <= 2
    assert abs(voltage.millivolts(Fixed(1.4), 2, 1) - 2800) <= 2
    assert abs(voltage.chip_temperature_c(Fixed(0.706)) - 27) < 0.6  # a mV is 0.58 °C
    assert abs(voltage.chip_temperature_c(Fixed(0.689)) - 36.9) < 0.7


def test_watchdog_is_fed_between_slow_samples():
    for rate in (1, 5, 8, 100, 1600):
        time, sensor = _rig(rate)
        fed = [time.us]
        longest = [0]

        def wait():
            longest[0] = max(longest[0], time.us - fed[0])
            fed[0] = time.us
            time.advance(20000 if rate < 10 else 1)

        sensor.on_wait = wait
        assert sensor.read(array("h", bytes(2 * 70))) == 70 and sensor.overruns == 0
        assert longest[0] < 1000000, (rate, longest)
