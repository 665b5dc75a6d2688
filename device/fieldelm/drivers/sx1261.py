"""Semtech SX1261: an SX1262 with another power amplifier; in a module of its own, as most boards need no room for it."""

from fieldelm.drivers.sx126x import SX126x

# SX1261/2 datasheet 13.1.14.1, optimal settings: dBm, PaDutyCycle, HpMax, what SetTxParams takes for that power
_PA_TABLE = ((10, 0x01, 0x00, 13), (14, 0x04, 0x00, 14), (15, 0x06, 0x00, 14))


class SX1261(SX126x):
    """As SX126x, with the low-power amplifier: -17 to 15 dBm."""

    NAME = "SX1261"
    _PA = _PA_TABLE
    _PA_DEVICE = 1
    _LOWEST_DBM = -17
