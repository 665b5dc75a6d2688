"""The chart of wear: day and night are none, what rises day by day is, and so is what rises within hours by far."""

import math

from fieldelm.elm import floats
from fieldelm.wear import Wear
from mp_learner import commissioned

N = 8
ROW_MS = 150000
DAY = 576
SIGMA = 0.2


class Life:
    """A chart that has been shown what rows vary by; ``told`` is the row at which it rises too far, or None."""

    def __init__(self):
        self.wear = Wear(N)
        self._center = floats(N)
        self._x = floats(N)
        self._random = 1
        self.row = 0
        for _ in range(64):
            self._noise()
            self.wear.learn(self._x, self._center)

    def _noise(self):
        for i in range(N):
            total = 0.0
            for _ in range(4):
                self._random = self._random * 1103515245 + 12345 & 0x7FFFFFFF
                total += self._random / 0x7FFFFFFF - 0.5
            self._x[i] = SIGMA * total * math.sqrt(3)

    def live(self, rows, shift):
        """``shift(row)``: of band 5, in standard deviations."""
        for _ in range(rows):
            self._noise()
            self._x[5] += SIGMA * shift(self.row)
            self.row += 1
            if self.wear.step(self._x, self._center, self.row * ROW_MS):
                return self.row
        return None


def swing(row):
    return 4 * math.sin(2 * math.pi * row / DAY)


def test_days_and_nights_are_no_wear():
    assert Life().live(8 * DAY, swing) is None


def test_what_rises_day_by_day_is_found_below_days_and_nights():
    life = Life()
    assert life.live(3 * DAY, lambda row: swing(row) / 2) is None
    start = life.row
    told = life.live(8 * DAY, lambda row: swing(row) / 2 + (row - start) / DAY)
    assert told is not None and told - start < 6 * DAY, (told, start)
    assert life.wear.band == 5
    life.wear.tell()
    assert not life.wear.gone
    for _ in range(3 * DAY):
        life.live(1, lambda row: -4.0)
    assert life.wear.gone


def test_a_stop_takes_no_wear_away():
    life = Life()
    assert life.live(2 * DAY, lambda row: 0.0) is None
    start = life.row
    assert life.live(DAY, lambda row: 3 * (row - start) / DAY) is None
    assert life.live(7 * DAY, lambda row: -6.0) is None
    assert life.wear.highest < 0.2
    start = life.row
    told = life.live(2 * DAY, lambda row: 3.2)
    assert told is not None and told - start < 2 * DAY and life.wear.band == 5, (told, start)


def test_what_rises_within_hours_is_found_on_the_first_day():
    life = Life()
    assert life.live(400, lambda row: 0.0) is None
    told = life.live(DAY, lambda row: (row - 400) / 24)
    assert told is not None and told - 400 < 200, told


def test_a_step_down_and_back_is_no_rise_and_a_step_up_is_none():
    life = Life()
    assert life.live(4 * DAY, lambda row: 0.0) is None
    assert life.live(4 * DAY, lambda row: -8.0 if row // 80 % 2 else 0.0) is None
    assert life.live(4 * DAY, lambda row: 8.0) is None


def test_a_rise_of_a_day_that_comes_back_is_told_once():
    for hold in range(0, 72, 8):
        watcher, machine = commissioned()
        amplitude, row, told = 0.0, 0, []

        def minutes(rows):
            nonlocal row
            for _ in range(rows):
                row += 1
                machine.extra = lambda i: amplitude if 100 <= i < 104 else 0.0
                if watcher.step(machine.spectrum(), 1200000 * row):  # one row in 20 minutes
                    told.append(watcher.event)

        minutes(460)
        while not told:
            amplitude = min(amplitude + 4e-4, 0.2)
            minutes(1)
        minutes(hold)
        amplitude = 0.0
        minutes(500)
        assert told == ["machine_alarm", "alarm_cleared"], (hold, told)
