"""Spectra in fixed point against those in Python's floats, on MicroPython."""

import math
from array import array

from fieldelm import kernels
from fieldelm.float_waveform import FloatWaveform

SCALE = 9806.65 * 0.0039  # mm/s^2 per count


class Noise:
    def __init__(self, seed):
        self.state = seed

    def number(self):
        self.state = (self.state * 1664525 + 1013904223) & 0xFFFFFFFF
        return (self.state >> 8) / 0xFFFFFF - 0.5


def window(samples, axes, amplitude, seed=1):
    """A tone, its harmonic and noise; each axis a tenth of the one before, beside gravity."""
    noise = Noise(seed)
    row = array("h", bytes(2 * samples * axes))
    for i in range(samples):
        for axis in range(axes):
            x = math.sin(0.31 * i + axis) + 0.2 * math.sin(0.93 * i) + 0.1 * noise.number()
            row[axes * i + axis] = round(amplitude * x / 10**axis + 256 * (axis == 2))
    return row


def edges(size, bands=32):
    return array("H", [1 + i * (size // 2) // bands for i in range(bands + 1)])


def pair(samples, axes, chosen, rate):
    from fieldelm.fixed_waveform import FixedWaveform

    words = (samples, axes, chosen, rate, (10.0, 1000.0), SCALE)
    return FixedWaveform(*words), FloatWaveform(*words)


def compare(row, fixed, floating, within):
    """Variance, velocity and stats agree within 0.1 %, levels of bands that are not empty within ``within``."""
    ours, theirs = fixed.measure(row), floating.measure(row)
    for one, other in zip(ours, theirs):
        assert abs(one - other) <= 1e-3 * other + 1e-6, (ours, theirs)
    for one, other in zip(fixed.stats, floating.stats):
        for i in range(4):
            assert abs(one[i] - other[i]) <= 1e-5 * abs(other[i]), (list(one), list(other))
    places = edges(fixed.size)
    floor = 1e-4 * max(ours[0], 1.0)
    center = array("f", [0.01 * i for i in range(32)])
    x, y = array("f", bytes(128)), array("f", bytes(128))
    for gain in (0.5, 1.0):
        fixed.levels(places, floor, gain, center, x)
        floating.levels(places, floor, gain, center, y)
        for i in range(32):
            assert abs(x[i] - y[i]) < within, (i, x[i], y[i])
        fixed.levels(places, floor, gain, None, x)
        for i in range(32):
            assert abs(x[i] - y[i] - center[i]) < within + 1e-5


def test_sum_of_axes_and_single_ones():
    if kernels.NAME != "native":
        return
    for axes, chosen in ((1, (0,)), (3, (0, 1, 2)), (3, (1,)), (2, (0, 1))):
        for samples in (64, 200, 1000, 1024, 2048):
            fixed, floating = pair(samples, axes, chosen, 1600)
            for amplitude in (300, 5000, 26000):
                compare(window(samples, axes, amplitude), fixed, floating, 0.02)


def test_faint_and_short_windows():
    if kernels.NAME != "native":
        return
    for samples in (16, 63, 65):
        fixed, floating = pair(samples, 3, (0, 1, 2), 800)
        compare(window(samples, 3, 40), fixed, floating, 0.02)


def test_saturated_constant_and_empty_windows():
    if kernels.NAME != "native":
        return
    fixed, floating = pair(1024, 3, (0, 1, 2), 1600)
    for row in (
        array("h", [32767 if i // 30 % 2 else -32768 for i in range(3072)]),
        array("h", [-32768] * 3072),
        array("h", [0] * 3072),
        array("h", [32767 if i == 1500 else 0 for i in range(3072)]),
    ):
        compare(row, fixed, floating, 0.02)


def test_velocity_of_a_sine_where_there_is_no_bin():
    if kernels.NAME != "native":
        return
    fixed, floating = pair(256, 1, (0,), 8)  # bins up to 4 Hz
    assert fixed.measure(window(256, 1, 1000))[1] == 0.0 == floating.measure(window(256, 1, 1000))[1]
