"""Voltages that are measured now and then: the battery behind a divider, the chip's temperature sensor."""

from micropython import const

_REFERENCE_MV = const(3300)
_AVERAGE = const(16)


def millivolts(adc, numerator=1, denominator=1):
    """Voltage in mV before a divider (``numerator / denominator``: by how much it divides), mean of 16 readings."""
    total = 0
    for _ in range(_AVERAGE):
        total += adc.read_u16()
    return total * _REFERENCE_MV * numerator // (65535 * _AVERAGE * denominator)


def chip_temperature_c(adc):
    """Temperature of the RP2040 or RP2350 in °C, ±5; ``adc`` is its sensor (RP2040 datasheet 4.9.5)."""
    return 27 - (millivolts(adc) / 1000 - 0.706) / 0.001721
