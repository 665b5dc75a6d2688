"""What a node draws, and how long a battery lasts: named inputs in one table, and sums.

Charges are at the battery. Nothing here was measured on a board yet: whoever has one puts his own figures in with `--set`.
"""

import dataclasses
from collections.abc import Mapping

from fieldelm.airtime import time_on_air_us

DAY_S = 86_400.0
_HEADER_AND_TAG = 9
_MOST_PAYLOAD = 255 - _HEADER_AND_TAG

INPUTS: Mapping[str, tuple[float, str, str]] = {
    "awake_ma": (21.0, "mA", "a Pico that runs MicroPython, boards/sim/battery.py"),
    "asleep_ma": (1.0, "mA", "the same in light sleep"),
    "timer_off_ma": (0.000035, "mA", "TPL5110 data sheet, 7.5: 35 nA"),
    "switch_leak_ma": (0.001, "mA", "load switch and capacitors behind the timer, estimate"),
    "start_s": (0.8, "s", "from power to the first window behind a timer: firmware, imports, model; estimate"),
    "window_s": (0.64, "s", "1,024 samples at 1,600 Hz"),
    "decide_s": (0.005, "s", "features, model and decision; fieldelm bench kernels"),
    "sensor_on_ma": (0.14, "mA", "ADXL345 data sheet, table 1, measuring at 100 Hz and more"),
    "sensor_off_ma": (0.0001, "mA", "the same, standby"),
    "tx_ma": (43.5, "mA", "SX1276 data sheet, table 10, 14 dBm: between 29 mA at 13 dBm and 87 mA at 17 dBm"),
    "rx_ma": (11.5, "mA", "the same, IDDR_H"),
    "aa_mah": (2500.0, "mAh", "two alkaline cells, Energizer E91 data sheet, below 25 mA"),
    "aa_yearly_loss": (0.03, "1/a", "shelf life of alkaline cells, estimate"),
    "li_mah": (3000.0, "mAh", "one 18650 cell"),
    "li_yearly_loss": (0.2, "1/a", "self-discharge with protection circuit, estimate"),
    "usable": (0.9, "", "share of the charge before the board browns out, estimate"),
}


@dataclasses.dataclass(frozen=True)
class Radio:
    """What the radio did in a day, measured in the run."""

    tx_s: float
    rx_s: float
    exchanges: float
    """in each the board is awake while it sends and listens, and asleep in the second between"""


@dataclasses.dataclass(frozen=True)
class Life:
    """One way to run a node."""

    period_s: float
    timer: bool
    daily_mah: float
    """all of it"""
    radio_mah: float
    aa_days: float
    li_days: float


def charge_mas(inputs: Mapping[str, float], tx_s: float, rx_s: float) -> float:
    """What goes on the air costs: mA s of the radio alone."""
    return inputs["tx_ma"] * tx_s + inputs["rx_ma"] * rx_s


def life(inputs: Mapping[str, float], radio: Radio, period_s: float, *, timer: bool) -> Life:
    """Charge of a day with one window every `period_s`, and what batteries make of it."""
    windows = DAY_S / period_s
    awake_s = inputs["window_s"] + inputs["decide_s"] + (inputs["start_s"] if timer else 0.0)
    board_off_ma = inputs["timer_off_ma"] + inputs["switch_leak_ma"] if timer else inputs["asleep_ma"]
    talking_s = radio.tx_s + radio.rx_s
    waiting_s = radio.exchanges  # the receive window opens a second later
    off_s = DAY_S - windows * awake_s - talking_s - waiting_s
    mas = windows * awake_s * (inputs["awake_ma"] + inputs["sensor_on_ma"])
    mas += talking_s * inputs["awake_ma"] + waiting_s * inputs["asleep_ma"] + off_s * board_off_ma
    mas += DAY_S * inputs["sensor_off_ma"]
    on_air = charge_mas(inputs, radio.tx_s, radio.rx_s)
    daily = (mas + on_air) / 3600

    def days(cell: str) -> float:
        capacity = inputs[f"{cell}_mah"]
        return capacity * inputs["usable"] / (daily + capacity * inputs[f"{cell}_yearly_loss"] / 365)

    return Life(period_s, timer, daily, on_air / 3600, days("aa"), days("li"))


def airtime_s(payload_bytes: int, sf: int) -> float:
    """A message of any length, in as many frames as it takes, with our header and tag."""
    total = 0
    while payload_bytes > 0:
        part = min(payload_bytes, _MOST_PAYLOAD)
        total += int(time_on_air_us(part + _HEADER_AND_TAG, sf))
        payload_bytes -= part
    return total / 1e6
