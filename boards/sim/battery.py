"""A battery that runs down by simulated time and by use."""

from micropython import const


# two alkaline AA cells in series on a small load: share of the charge used -> mV; after Energizer's E91 data sheet
_CURVE = (
    (0.00, 3200),
    (0.05, 3000),
    (0.15, 2850),
    (0.30, 2680),
    (0.50, 2520),
    (0.70, 2360),
    (0.85, 2180),
    (0.95, 1950),
    (1.00, 1600),
)
_MA_US_PER_MAH = const(3.6e9)


class Battery:
    """``options``: capacity_mah (2500), asleep_ma (1.0, a Pico's light sleep), awake_ma (21), used (0..1, at first)."""

    def __init__(self, air, options):
        self._air = air
        self._start_us = air.now_us
        self._capacity = options.get("capacity_mah", 2500) * _MA_US_PER_MAH
        self._asleep_ma = options.get("asleep_ma", 1.0)
        self._awake_ma = options.get("awake_ma", 21.0)
        self._drawn = options.get("used", 0.0) * self._capacity  # mA us, beside what sleeping takes

    def draw(self, ma, us):
        """The board is awake for ``us`` and something on it draws ``ma`` more."""
        self._drawn += (ma + self._awake_ma - self._asleep_ma) * us

    def used(self):
        """Share of the charge that is gone, 0..1."""
        return min(1.0, (self._drawn + self._asleep_ma * (self._air.now_us - self._start_us)) / self._capacity)

    def mv(self):
        """Voltage in mV."""
        used = self.used()
        below = _CURVE[0]
        for above in _CURVE[1:]:
            if used <= above[0]:
                break
            below = above
        return int(below[1] + (above[1] - below[1]) * (used - below[0]) / (above[0] - below[0]))
