"""A restart at any row changes neither what the learner tells nor where it ends, but for what is meant so.

Each story is told once without a restart; and from each of its rows (every few) a learner that was made from what the node
had stored by then goes on with the same rows. What is meant to differ, and nothing else:

- While commissioning nothing is stored: it begins anew.
- A change that is being relearned is found, told and relearned anew.
- A sensor fault that lasts is found and told anew; one that ends just then is not told to have ended.
- The second of two events that fell on one row is not told if power is cut before the next row.
"""

import gc
import io
import math
from array import array

from mp_learner import BINS, Noise, Sensor, settings, stored

from fieldelm.watcher import Watcher

_SAVED_EVERY = 32  # rows; the node saves every six hours, and when something has happened
_LATER = 40  # rows by which an event may come later or earlier


class Player:
    """The spectrum of any row: ``speed``, ``source``, ``fault``, ``wear``, ``gain`` and ``scatter`` are told by the story."""

    def __init__(self, story, seed):
        self._story = story
        self._seed = seed
        self._row = array("f", bytes(4 * BINS))

    def row(self, r):
        self.speed, self.source, self.fault, self.wear, self.gain, self.scatter = 12, 0.0, 0.0, 0.0, 1.0, 0.3
        if self._story(self, r):  # the sensor does not answer
            return None
        noise = Noise(self._seed + 7919 * r)
        for i in range(BINS):
            level = 0.2 / (1 + i / 40) + (1.0 if i % 25 == self.speed else 0.0)
            added = self.source if 170 <= i < 235 else 0.0
            if self.fault and i <= 100:
                added = self.fault if i % 25 == 12 else self.fault / 8 if i % 25 in (9, 15) else 0.0
            if 100 <= i < 104:
                added = self.wear
            self._row[i] = (
                self.gain * math.sqrt(level * level + added * added) * math.exp(self.scatter * noise.normal())
            )
        return self._row


def _live(watcher, player, first, end):
    events = []
    for r in range(first, end):
        if watcher.step(player.row(r), r):
            events.append((watcher.event, r))
    return events


def _expected(state, waiting, rest):
    # what may follow a restart, given what follows without one
    if state == "relearning":
        return [["environment_changed"] + rest]
    if state == "sensor_fault":
        return [["sensor_fault"] + rest, [event for event in rest if event != "sensor_ok"]]
    return [rest[1:]] if waiting else [rest]


def _check(story, events, end, step, train=40, calibration=24, later=_LATER):
    config, player = settings(train=train, calibration=calibration), Player(story, 3)
    whole = _live(Watcher(config, Sensor()), player, 0, end)
    assert [event for event, _ in whole] == events, whole
    straight = Watcher(config, Sensor())
    begun = whole[0][1] + 1
    assert _live(straight, player, 0, begun) == whole[:1]
    image, restarts = stored(straight), 0
    final = None
    for r in range(begun, end):
        if (r - begun) % step == 0:
            gc.collect()
            again = Watcher(config, Sensor())
            assert again.load(io.BytesIO(image), len(image))
            found = _live(again, player, r, end)
            rest = [(event, row) for event, row in whole if row >= r]
            wanted = _expected(straight.state, straight._waiting, [event for event, _ in rest])
            names = [event for event, _ in found]
            assert names in wanted, (r, straight.state, found, rest)
            if names == [event for event, _ in rest] and straight.state not in ("relearning", "sensor_fault"):
                assert max([abs(a[1] - b[1]) for a, b in zip(found, rest)] or [0]) <= later, (r, found, rest)
            now = (again.state, again.sensor_fault, again.change_unconfirmed)
            if final is None:
                final = now
            assert now == final, (r, now, final)
            restarts += 1
        straight.step(player.row(r), r)
        if straight.worth_saving or r % _SAVED_EVERY == 0:
            gc.collect()
            if straight.state != "relearning":
                image = stored(straight)
    assert final == (straight.state, straight.sensor_fault, straight.change_unconfirmed)
    print(restarts, "restarts", whole)


def test_commissioning_begins_anew():
    player = Player(lambda p, r: None, 3)
    watcher = Watcher(settings(), Sensor())
    for r in range(63):
        watcher.step(player.row(r), r)
        image = stored(watcher)
        assert image == b"" and not Watcher(settings(), Sensor()).load(io.BytesIO(image), 0)
    assert watcher.step(player.row(63), 63) == "commissioned" and stored(watcher)


def test_restart_anywhere_around_a_fault():
    def story(p, r):
        p.fault = 6.0 if 80 <= r < 120 else 0.0

    _check(story, ["commissioned", "machine_alarm", "alarm_cleared"], 190, 3)


def test_restart_anywhere_around_a_move():
    def story(p, r):
        p.source = 0.9 if r >= 80 else 0.0

    _check(story, ["commissioned", "environment_changed", "relearned", "change_unconfirmed"], 200, 3)


def test_restart_anywhere_around_a_fault_after_a_move():
    def story(p, r):
        p.source = 0.9 if r >= 80 else 0.0
        p.fault = 6.0 if r >= 170 else 0.0

    events = ["commissioned", "environment_changed", "relearned", "change_unconfirmed", "machine_alarm"]
    _check(story, events, 220, 5)


def test_restart_anywhere_between_speeds():
    def story(p, r):
        p.speed = 20 if (r < 160 and r // 10 % 2) or r >= 280 else 12
        p.source = 0.9 if r >= 180 else 0.0

    moved = ["environment_changed", "relearned", "change_unconfirmed"]
    _check(story, ["commissioned"] + moved + moved, 360, 9, train=80, calibration=40)


def test_restart_anywhere_in_slow_wear():
    def story(p, r):
        p.wear = max(r - 380, 0) * 4e-4 if r < 900 else 0.0

    _check(story, ["commissioned", "machine_alarm"], 800, 45)


def test_restart_anywhere_around_faults_of_the_sensor():
    def silent(p, r):
        return 90 <= r < 110

    _check(silent, ["commissioned", "sensor_fault", "sensor_ok"], 150, 3)

    def weak(p, r):
        p.gain = 0.4 if 80 <= r < 120 else 1.0
        p.scatter = (
            0.2  # with more, one in twenty sets of eight rows is taken for a change of the place, restart or not
        )

    _check(weak, ["commissioned", "sensor_fault", "sensor_ok"], 190, 7)
