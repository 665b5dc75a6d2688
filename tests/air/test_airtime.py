"""Airtime against published figures, and against the datasheet's formula in exact fractions."""

import math
from fractions import Fraction

import pytest

from fieldelm import airtime

HZ = {"7.8": Fraction(500000, 64), "41.7": Fraction(500000, 12), "125": 125000, "250": 250000, "500": 500000}


@pytest.mark.parametrize(("sf", "ms"), [(7, 51.5), (10, 330), (12, 1320)])
def test_an_alert_takes_as_long_as_the_design_says(sf, ms):
    assert airtime.time_on_air_us(19, sf) / 1000 == pytest.approx(ms, rel=2e-3)


# (sf, bw, coding rate, preamble, bytes, crc) -> ms, from Semtech's "SX1261 LoRa Calculator", by way of the tests of
# MicroPython's `lora` package
CALCULATOR = [
    ((12, "500", 5, 8, 1, True), 206.848),
    ((12, "500", 5, 12, 64, True), 649.216),
    ((12, "500", 5, 8, 1, False), 165.888),
    ((12, "500", 5, 8, 192, True), 1476.608),
    ((8, "125", 6, 8, 1, True), 53.760),
    ((8, "125", 6, 8, 3, True), 66.048),
    ((8, "125", 6, 8, 4, False), 53.760),
    ((8, "125", 6, 8, 253, True), 827.904),
    ((11, "10.4", 7, 25, 16, True), 12824.568),
    ((12, "7.8", 8, 128, 253, True), 287532.907),
]


@pytest.mark.parametrize(("setting", "ms"), CALCULATOR)
def test_the_vendors_calculator_agrees(setting, ms):
    sf, bw, coding_rate, preamble, length, crc = setting
    # the calculator rounds the narrow bandwidths to 10.42 and 7.81 kHz
    assert airtime.time_on_air_us(length, sf, bw, coding_rate, preamble, crc) / 1000 == pytest.approx(ms, rel=5e-4)


@pytest.mark.parametrize("sf", range(7, 13))
@pytest.mark.parametrize("bw", HZ)
def test_every_length_is_exactly_the_datasheets_formula(sf, bw):
    symbol = Fraction(2**sf * 1_000_000) / HZ[bw]
    low_rate = 1 if symbol > 16000 else 0
    for coding in (1, 4):
        for length in range(256):
            blocks = math.ceil(Fraction(8 * length - 4 * sf + 28 + 16, 4 * (sf - 2 * low_rate)))
            symbols = 8 + Fraction(17, 4) + 8 + max(blocks * (coding + 4), 0)
            assert airtime.time_on_air_us(length, sf, bw, coding + 4) == symbols * symbol


@pytest.mark.parametrize(
    ("arguments", "word"),
    [((19, 6), "spreading"), ((19, 7, "126"), "bandwidth"), ((256, 7), "255"), ((19, 7, "125", 9), "coding")],
)
def test_what_no_radio_can_do_is_refused(arguments, word):
    with pytest.raises(ValueError, match=word):
        airtime.time_on_air_us(*arguments)
