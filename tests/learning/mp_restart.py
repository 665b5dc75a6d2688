"""What a restart must not change in the learner, on the real MicroPython."""

import io
import math
from array import array

from mp_learner import BINS, Machine, Noise, Sensor, broken, commissioned, live, names, settings, stored
from mp_operator import wears
from fieldelm.watcher import Watcher


def restarted(watcher, config=None, sensor=None):
    """The learner after a power cut, from what the node has stored."""
    image = stored(watcher)
    again = Watcher(config or settings(), sensor or Sensor())
    assert again.load(io.BytesIO(image), len(image))
    return again


def test_sensor_that_falls_off_after_a_restart_is_named():
    config, sensor, samples = settings(kind="waveform", inputs=256), Sensor(800, 3, 4095, 0.0039), 256
    watcher, noise = Watcher(config, sensor), Noise(5)
    window = array("h", bytes(6 * samples))
    events = []
    for row in range(100):
        if row == 68:
            watcher = restarted(watcher, config, sensor)
        for i in range(samples):
            vibration = 200 * math.sin(2 * math.pi * 50 * i / 800 + row) + 20 * noise.normal()
            for axis in range(3):
                gravity = 256 if axis == 2 else 0
                if row >= 70:  # it lies on another side, on the floor
                    vibration, gravity = 0.01 * vibration, 256 if axis == 0 else 0
                window[3 * i + axis] = int(vibration + gravity)
        if watcher.step(window, row):
            events.append(watcher.event)
    assert events == ["commissioned", "sensor_fault"] and watcher.sensor_fault == "detached", events


def test_alarm_outlasts_a_power_cut_and_is_told_once():
    watcher, machine = commissioned()
    stored(watcher)
    machine.extra = broken
    assert names(live(watcher, machine, 30)) == ["machine_alarm"] and watcher.worth_saving
    watcher = restarted(watcher)
    assert watcher.state == "alarm" and live(watcher, machine, 60) == []
    machine.extra = None
    watcher = restarted(watcher)
    assert names(live(watcher, machine, 40)) == ["alarm_cleared"] and watcher.worth_saving
    watcher = restarted(watcher)
    assert watcher.state == "watching" and live(watcher, machine, 60) == []


def test_alarm_of_wear_outlasts_a_power_cut():
    watcher, machine = commissioned()
    live(watcher, machine, 300)
    wears(watcher, machine)
    assert watcher.worth_saving
    watcher = restarted(watcher)
    assert live(watcher, machine, 100) == []  # the band has not come back
    amplitude = 0.12
    events = []
    for row in range(900):  # it comes back as slowly as it rose
        amplitude = max(amplitude - 2e-4, 0.0)
        machine.extra = lambda i: amplitude if 100 <= i < 104 else 0.0
        events += names(live(watcher, machine, 1))
        if row == 100:
            watcher = restarted(watcher)
    assert events == ["alarm_cleared"], events


class TwoSpeeds(Machine):
    """Its tones are in other places at each speed; ``source`` adds noise that the machine does not make."""

    speed = 12
    source = 0.0

    def spectrum(self):
        for i in range(BINS):
            level = 0.2 / (1 + i / 40) + (1.0 if i % 25 == self.speed else 0.0)
            if 170 <= i < 235:
                level = math.sqrt(level**2 + self.source**2)
            self.row[i] = level * math.exp(0.3 * self.noise.normal())
        return self.row


def moved():
    """A learner that knew two speeds and met one of them in a new environment."""
    config = settings(train=80, calibration=40)
    watcher, machine = Watcher(config, Sensor()), TwoSpeeds()
    for row in range(120):
        machine.speed = 20 if row // 10 % 2 else 12
        watcher.step(machine.spectrum(), row)
    assert watcher.state == "watching"
    machine.speed = 12
    live(watcher, machine, 50)
    machine.source = 0.9
    assert names(live(watcher, machine, 80)) == ["environment_changed", "relearned", "change_unconfirmed"]
    return watcher, machine, config


def test_other_speed_in_the_new_environment_is_still_expected():
    watcher, machine, config = moved()
    watcher = restarted(watcher, config)
    machine.speed = 20
    events = names(live(watcher, machine, 80))
    assert events == ["environment_changed", "relearned", "change_unconfirmed"], events


def test_old_model_returns_with_its_own_environment():
    watcher, machine, _ = moved()
    assert watcher.modes.stale and watcher.call_fault()
    assert not watcher.modes.stale and max(watcher.modes.source) == 0
