"""What a user relies on in the learner, on the real MicroPython, with rows that are made here."""

import gc
import io
import math
from array import array

from fieldelm import defaults
from fieldelm.elm import OsElm
from fieldelm.features import FeatureError, Features, band_edges
from fieldelm.trace import Trace
from fieldelm.watcher import Watcher

BINS = 256


class Sensor:
    def __init__(self, rate_hz=0, axes=1, full_scale=0, g_per_count=0.0):
        self.rate_hz = rate_hz
        self.axes = axes
        self.full_scale = full_scale
        self.g_per_count = g_per_count


class Noise:
    """Repeatable numbers, about normal."""

    def __init__(self, seed=1):
        self.state = seed * 2654435761 & 0xFFFFFFFF

    def normal(self):
        total = 0
        for _ in range(4):
            self.state = (self.state * 1664525 + 1013904223) & 0xFFFFFFFF
            total += self.state >> 16
        return (total - 131070) / 37837


class Machine:
    """Spectra of a machine: tones on a falling floor, times what is random; ``extra(i)`` adds amplitude to bin i."""

    def __init__(self, seed=1):
        self.noise = Noise(seed)
        self.row = array("f", bytes(4 * BINS))
        self.extra = None
        self.gain = 1.0
        self.flat = 0.0
        self.tone = 1.0
        self.scatter = 0.3

    def spectrum(self):
        for i in range(BINS):
            level = 0.2 / (1 + i / 40) + (self.tone if i % 25 == 12 else 0.0)
            if self.extra:
                level = math.sqrt(level**2 + self.extra(i) ** 2)
            level = self.gain * math.sqrt(level**2 + self.flat**2)
            self.row[i] = level * math.exp(self.scatter * self.noise.normal())
        return self.row


def new_source(i):
    """Broad noise around bin 200, where the machine says little."""
    return 0.9 if 170 <= i < 235 else 0.0


def broken(i):
    """An imbalance: the first orders are stronger, and have side bands."""
    return 0.0 if i > 100 else 6.0 if i % 25 == 12 else 0.8 if i % 25 in (9, 15) else 0.0


def settings(policy="auto", kind="spectrum", inputs=BINS, train=40, calibration=24):
    sense = {
        "kind": kind,
        "inputs": inputs,
        "samples": inputs,
        "axis": "sum",
        "bands": 64,
        "band_low_hz": 0,
        "band_high_hz": 0,
    }
    learn = {"hidden": 22, "seed": 1, "policy": policy, "train_rows": train, "calibration_rows": calibration}
    return {"sense": sense, "learn": learn}


def live(watcher, machine, rows):
    """Events and their rows."""
    found = []
    for row in range(rows):
        if watcher.step(machine.spectrum(), row):
            found.append((watcher.event, row))
    return found


def commissioned(policy="auto", seed=1):
    watcher, machine = Watcher(settings(policy), Sensor()), Machine(seed)
    assert live(watcher, machine, 64) == [("commissioned", 63)]
    assert watcher.state == "watching" and watcher.worth_saving
    return watcher, machine


def stored(watcher):
    """What would be in flash."""
    return b"".join([bytes(part) for part in watcher.save()])


def names(events):
    return [name for name, _ in events]


def test_bands_are_equally_wide_and_never_empty():
    edges = band_edges(64, 0, 0, 1, 511, 1.0)
    assert len(edges) == 65 and edges[0] == 0 and edges[64] == 511
    widths = [edges[i + 1] - edges[i] for i in range(64)]
    assert min(widths) == 7 and max(widths) == 8
    assert len(band_edges(64, 0, 0, 1, 20, 1.0)) == 21  # as many bands as there are bins
    assert list(band_edges(4, 100, 500, 1, 511, 10.0)) == [9, 19, 29, 39, 50]  # 100 to 500 Hz, bin 0 at 10 Hz
    try:
        band_edges(64, 600, 700, 1, 511, 1.0)
        raise AssertionError("bands without a bin")
    except FeatureError as error:
        assert "600" in str(error)


def test_rms_and_velocity_of_a_sine():
    features = Features(settings(kind="waveform", inputs=1000)["sense"], 1000, 1, 0.001)
    window = array("h", [int(1000 * math.sin(2 * math.pi * 50 * i / 1000) + 300.5) for i in range(1000)])
    features.measure(window)
    assert abs(features.rms_g - math.sqrt(0.5)) < 0.002
    # v = a / (2 pi f), ISO 20816 takes 10 to 1,000 Hz
    expected = math.sqrt(0.5) * 9.80665 / (2 * math.pi * 50) * 1000
    assert abs(features.rms_velocity - expected) < 0.02 * expected, (features.rms_velocity, expected)


def test_unit_of_a_recording_does_not_matter():
    scores = []
    for unit in (1.0, 1e-4, 1e4):
        watcher, machine = Watcher(settings(), Sensor()), Machine()
        machine.gain = unit
        live(watcher, machine, 70)
        scores.append(watcher.score)
    assert max(scores) - min(scores) < 0.01 * scores[0], scores


def test_healthy_machine_is_left_alone():
    watcher, machine = commissioned()
    assert live(watcher, machine, 500) == []
    assert watcher.state == "watching" and watcher.verdict == "normal"


def test_new_source_is_a_change_of_environment_and_is_relearned():
    watcher, machine = commissioned()
    machine.extra = new_source
    events = live(watcher, machine, 120)
    assert names(events) == ["environment_changed", "relearned", "change_unconfirmed"], events
    assert events[0][1] < 12 and events[1][1] < 40, events
    assert watcher.state == "watching" and watcher.change_unconfirmed and watcher.verdict == "normal"
    assert watcher.confirm_change() and not watcher.change_unconfirmed
    assert names(live(watcher, machine, 3)) == ["change_confirmed"]
    assert not watcher.confirm_change() and not watcher.call_fault()


def test_fault_alarms_and_is_not_learned():
    watcher, machine = commissioned()
    machine.extra = broken
    events = live(watcher, machine, 100)
    assert names(events) == ["machine_alarm"] and events[0][1] < 20, events
    learned = watcher.learned_rows
    live(watcher, machine, 200)
    assert watcher.state == "alarm" and watcher.learned_rows == learned
    machine.extra = None
    assert names(live(watcher, machine, 40)) == ["alarm_cleared"]
    assert watcher.state == "watching"


def test_fault_after_a_move_alarms():
    watcher, machine = commissioned()
    machine.extra = new_source
    live(watcher, machine, 60)
    machine.extra = lambda i: new_source(i) + broken(i)
    assert names(live(watcher, machine, 60)) == ["machine_alarm"]


def test_fault_is_seen_after_it_was_taken_for_a_change():
    watcher, machine = commissioned()
    machine.extra = new_source
    live(watcher, machine, 60)
    assert watcher.call_fault()
    assert names(live(watcher, machine, 60)) == ["machine_alarm"]
    assert watcher.state == "alarm" and not watcher.change_unconfirmed


def test_source_that_goes_again_undoes_the_relearning():
    watcher, machine = commissioned()
    machine.extra = new_source
    assert names(live(watcher, machine, 14)) == ["environment_changed"]
    machine.extra = None
    assert names(live(watcher, machine, 40)) == ["relearn_undone"]
    assert watcher.state == "watching" and not watcher.change_unconfirmed


def until(watcher, machine, event, rows=100):
    for row in range(rows):
        if watcher.step(machine.spectrum(), row) == event:
            return
    raise AssertionError("no " + event)


def test_score_beside_an_event_is_in_units_of_the_threshold_beside_it():
    watcher, machine = Watcher(settings(), Sensor()), Machine()
    until(watcher, machine, "commissioned")
    assert 0 < watcher.score < watcher.threshold, (watcher.score, watcher.threshold)
    machine.extra = new_source
    until(watcher, machine, "environment_changed")
    assert watcher.score > watcher.threshold
    until(watcher, machine, "relearned")
    assert 0 < watcher.score < watcher.threshold, (watcher.score, watcher.threshold)
    watcher, machine = commissioned()
    machine.extra = new_source
    until(watcher, machine, "environment_changed")
    machine.extra = None
    until(watcher, machine, "relearn_undone")
    assert 0 < watcher.score < watcher.threshold, (watcher.score, watcher.threshold)


def test_policy_ask_waits_for_the_operator():
    watcher, machine = commissioned("ask")
    machine.extra = new_source
    assert names(live(watcher, machine, 100)) == ["environment_changed"]
    assert watcher.state == "suspect"
    assert watcher.confirm_change()
    assert names(live(watcher, machine, 60)) == ["change_confirmed", "relearned"]
    assert watcher.state == "watching" and not watcher.change_unconfirmed


def test_policy_ask_takes_fault_for_an_answer():
    watcher, machine = commissioned("ask")
    machine.extra = new_source
    live(watcher, machine, 30)
    assert watcher.call_fault()
    assert names(live(watcher, machine, 30)) == ["machine_alarm"]
    assert watcher.state == "alarm"


def test_policy_never_alarms():
    watcher, machine = commissioned("never")
    machine.extra = new_source
    assert names(live(watcher, machine, 100)) == ["machine_alarm"]
    try:
        watcher.set_policy("perhaps")
        raise AssertionError("an unknown policy")
    except ValueError:
        pass


def test_retrain_learns_the_place_from_nothing():
    watcher, machine = commissioned()
    machine.extra = broken
    live(watcher, machine, 50)
    assert watcher.state == "alarm" and watcher.retrain()
    assert watcher.state == "relearning"
    assert names(live(watcher, machine, 64)) == ["relearned"]
    assert live(watcher, machine, 100) == [] and watcher.verdict == "normal"


def test_commissioning_on_noise_fails_and_begins_again():
    watcher, noise = Watcher(settings(), Sensor()), Noise(3)
    row = array("f", bytes(4 * BINS))
    events = []
    for r in range(64):
        for i in range(BINS):
            row[i] = math.exp(9 * noise.normal())
        if watcher.step(row, r):
            events.append(watcher.event)
    assert events == ["commissioning_failed"] and watcher.state == "commissioning", (events, watcher.state)
    assert names(live(watcher, Machine(), 64)) == ["commissioned"]


def test_a_fault_strewn_among_the_rows_of_commissioning_is_not_learned():
    watcher, machine, chance = Watcher(settings(), Sensor()), Machine(), Noise(11)
    bad = 0
    for r in range(64):
        machine.extra = broken if chance.normal() > 0.84 else None  # a fifth
        bad += machine.extra is broken
        watcher.step(machine.spectrum(), r)
    assert 8 <= bad <= 18 and watcher.state == "watching"
    assert watcher.learned_rows < 36  # of 36
    machine.extra = None
    assert live(watcher, machine, 60) == []
    machine.extra = broken
    assert names(live(watcher, machine, 30)) == ["machine_alarm"]


def test_conditions_that_last_or_take_turns_are_all_learned():
    for length in (1, 2, 12):
        watcher, machine = Watcher(settings(), Sensor()), Machine()
        for r in range(64):
            machine.tone = 4.0 if r // length % 2 else 1.0
            watcher.step(machine.spectrum(), r)
        assert watcher.state == "watching" and watcher.learned_rows == 36, (length, watcher.learned_rows)
        for tone in (1.0, 4.0):
            machine.tone = tone
            assert live(watcher, machine, 40) == []


TONES = (1.0, 3.0, 8.0)


def commissioned_in_turn():
    """At three speeds, another one with each row."""
    watcher, machine = Watcher(settings(train=96, calibration=48), Sensor()), Machine()
    for r in range(144):
        machine.tone = TONES[r % 3]
        watcher.step(machine.spectrum(), r)
    assert watcher.state == "watching"
    return watcher, machine


def test_conditions_that_take_turns_with_each_row_are_told_apart():
    watcher, machine = commissioned_in_turn()
    found = set()
    for tone in TONES:
        machine.tone = tone
        assert live(watcher, machine, 8) == []
        found.add(watcher.mode)
    assert len(found) == 3 == watcher.modes.count


def test_all_conditions_of_a_machine_are_met_again_after_a_move():
    watcher, machine = commissioned_in_turn()
    machine.extra = new_source
    told = []
    for tone in TONES + TONES:
        machine.tone = tone
        told += names(live(watcher, machine, 60))
    assert "machine_alarm" not in told
    assert told[:3] == ["environment_changed", "relearned", "change_unconfirmed"]
    machine.extra = broken
    assert names(live(watcher, machine, 30)) == ["machine_alarm"]


def test_one_row_over_and_over_is_a_stuck_sensor():
    watcher, machine = Watcher(settings(), Sensor()), Machine()
    row = machine.spectrum()
    events = [watcher.event for r in range(100) if watcher.step(row, r)]
    assert events == ["sensor_fault"] and watcher.sensor_fault == "stuck" and watcher.learned_rows == 0
    assert not watcher.retrain()


def test_not_a_number_and_no_data_are_a_dead_sensor():
    for bad in (None, float("nan"), float("inf")):
        watcher, machine = commissioned()
        for r in range(4):
            row = machine.spectrum()
            row[7] = bad if bad is not None else 0.0
            watcher.step(None if bad is None else row, r)
        assert watcher.state == "sensor_fault" and watcher.sensor_fault == "dead", bad
        assert names(live(watcher, machine, 20)) == ["sensor_ok"]
        assert watcher.state == "watching" and watcher.verdict == "normal"


def test_changed_gain_is_a_sensor_fault_and_mends():
    watcher, machine = commissioned()
    machine.gain = 0.4
    events = live(watcher, machine, 40)
    assert names(events) == ["sensor_fault"] and events[0][1] < 20 and watcher.sensor_fault == "gain", events
    machine.gain = 1.0
    assert names(live(watcher, machine, 40)) == ["sensor_ok"]
    assert watcher.state == "watching" and watcher.sensor_fault is None


def test_white_noise_of_the_sensor_is_named():
    watcher, machine = commissioned()
    machine.flat = 6.0
    assert names(live(watcher, machine, 40)) == ["sensor_fault"] and watcher.sensor_fault == "noisy"


def waveform(shape, n=512):
    watcher = Watcher(settings(kind="waveform", inputs=n), Sensor(800, 3, 4095, 0.0039))
    noise = Noise(5)
    window = array("h", bytes(6 * n))
    events = []
    for r in range(80):
        for i in range(n):
            x = 200 * math.sin(2 * math.pi * 50 * i / 800 + r) + 20 * noise.normal()
            for axis in range(3):
                value = x + (256 if axis == 2 else 0)
                value = shape(value, axis, r) if r >= 68 else value
                window[3 * i + axis] = int(min(max(value, -4095), 4095))
        if watcher.step(window, r):
            events.append(watcher.event)
    return events, watcher.sensor_fault


def test_faults_of_a_raw_sensor_are_named():
    shapes = {
        "stuck": lambda value, axis, r: 17,
        "saturated": lambda value, axis, r: 4095,
        "clipped": lambda value, axis, r: value * 30,
        "detached": lambda value, axis, r: value * 0.01 + (256 if axis == 0 else 0),
    }
    for name, shape in shapes.items():
        assert waveform(shape) == (["commissioned", "sensor_fault"], name), name


def test_restart_goes_on_where_it_was():
    watcher, machine = commissioned()
    machine.extra = new_source
    live(watcher, machine, 60)
    image = stored(watcher)
    assert not watcher.worth_saving
    second = Watcher(settings(), Sensor())
    assert second.load(io.BytesIO(image), len(image))
    assert second.state == "watching" and second.change_unconfirmed
    assert second.learned_rows == watcher.learned_rows
    row = machine.spectrum()
    watcher.step(row, 0)
    second.step(row, 0)
    assert second.score == watcher.score and abs(second.threshold - watcher.threshold) < 1e-5 * watcher.threshold
    assert second.call_fault()  # the old model was stored, too
    assert names(live(second, machine, 30)) == ["machine_alarm"]


def test_stored_model_of_another_configuration_is_refused():
    watcher, _ = commissioned()
    image = stored(watcher)
    other = settings()
    other["learn"]["seed"] = 2
    second = Watcher(other, Sensor())
    assert not second.load(io.BytesIO(image), len(image)) and second.state == "commissioning"
    assert not Watcher(settings(), Sensor()).load(io.BytesIO(image), len(image) - 1)
    assert Watcher(settings(), Sensor()).save() == ()  # nothing is learned yet
    assert not Watcher(settings(), Sensor()).load(io.BytesIO(b""), 0)


def test_stored_model_of_other_inputs_is_refused():
    def taken(image, sensor=None, **sense):
        other = settings(kind=sense.pop("kind", "spectrum"), inputs=sense.pop("inputs", BINS))
        other["sense"].update(sense)
        return Watcher(other, sensor or Sensor()).load(io.BytesIO(image), len(image))

    image = stored(commissioned()[0])
    assert taken(image) and taken(image, band_low_hz=0.4, band_high_hz=300)  # the same bins
    assert not taken(image, band_low_hz=40) and not taken(image, band_high_hz=100)
    assert not taken(image, Sensor(rate_hz=800)) and not taken(image, inputs=BINS + 1)
    # of a waveform: axis, rate, length, counts a g; of sensor values: lags
    raw = Sensor(800, 3, 4095, 1 / 256)
    wave = {"kind": "waveform", "inputs": 512, "axis": "x"}
    config = settings(kind="waveform", inputs=512)
    config["sense"]["axis"] = "x"
    image = b"".join([bytes(part) for part in Watcher(config, raw).snapshot.save(0)])
    assert taken(image, raw, **wave) and taken(image, Sensor(800.0, 3, 511, 1 / 256), **wave)
    for other in (Sensor(1600, 3, 4095, 1 / 256), Sensor(800, 2, 4095, 1 / 256), Sensor(800, 3, 4095, 1 / 128)):
        assert not taken(image, other, **wave)
    wave["axis"] = "z"
    assert not taken(image, raw, **wave)
    image = b"".join([bytes(part) for part in Watcher(settings(kind="features", inputs=6), Sensor()).snapshot.save(0)])
    assert taken(image, kind="features", inputs=6) and not taken(image, kind="features", inputs=3, lags=2)


def test_known_conditions_are_not_forgotten():
    watcher, machine = Watcher(settings(train=80, calibration=40), Sensor()), Machine()
    for r in range(120):
        machine.tone = 4.0 if r % 2 else 1.0
        watcher.step(machine.spectrum(), r)
    assert watcher.state == "watching"
    machine.tone = 1.0
    assert live(watcher, machine, 2000) == []
    low = watcher.mode
    machine.tone = 4.0
    assert live(watcher, machine, 60) == [] and watcher.mode != low


def test_an_alarm_that_returns_again_and_again_is_told_a_few_times():
    watcher, machine = commissioned()
    told = []
    for r in range(3000):
        machine.extra = broken if r % 120 < 40 else None
        if watcher.step(machine.spectrum(), r):
            told.append(watcher.event)
    assert told.count("machine_alarm") <= 3 and told.count("alarm_cleared") <= 2, told
    assert watcher.state == "alarm"
    machine.extra = None
    assert names(live(watcher, machine, 1200)) == ["alarm_cleared"]
    live(watcher, machine, 600)  # calm for long: the next alarm ends as the first one did
    machine.extra = broken
    assert names(live(watcher, machine, 40)) == ["machine_alarm"]
    machine.extra = None
    assert names(live(watcher, machine, 40)) == ["alarm_cleared"]


def test_one_condition_that_drifts_does_not_raise_the_threshold_of_another():
    watcher, machine = Watcher(settings(train=80, calibration=40), Sensor()), Machine()
    for r in range(120):
        machine.tone = 4.0 if r // 10 % 2 else 1.0
        watcher.step(machine.spectrum(), r)
    machine.tone = 1.0
    live(watcher, machine, 100)
    before = watcher.threshold
    machine.tone = 4.0
    machine.scatter = 0.36
    assert live(watcher, machine, 300) == [] and watcher.threshold > 1.2 * before
    machine.tone = 1.0
    machine.scatter = 0.3
    live(watcher, machine, 2)
    assert watcher.threshold < 1.05 * before, (before, watcher.threshold)


def test_nothing_is_learned_while_one_row_in_a_few_deviates():
    watcher, machine = commissioned()
    live(watcher, machine, 100)
    for r in range(80):  # three of ten: never enough to be suspicious
        machine.extra = broken if r % 10 < 3 else None
        watcher.step(machine.spectrum(), r)
    learned, threshold = watcher.learned_rows, watcher.threshold
    for r in range(300):
        machine.extra = broken if r % 10 < 3 else None
        watcher.step(machine.spectrum(), r)
    assert watcher.learned_rows == learned and watcher.threshold == threshold and watcher.state == "watching"


def test_plain_sensor_values():
    watcher, noise = Watcher(settings(kind="features", inputs=3, train=300, calibration=150), Sensor()), Noise(2)
    row = array("f", bytes(12))
    events = []
    for r in range(700):
        day = math.sin(r / 20)
        row[0] = 50 + 5 * day + 0.5 * noise.normal()
        row[1] = 1e-3 * (2 + day) + 1e-4 * noise.normal()
        row[2] = 1e5 * (1 + 0.01 * noise.normal()) * (1.3 if r >= 600 else 1)
        if watcher.step(row, r):
            events.append((watcher.event, r))
    assert names(events) == ["commissioned", "machine_alarm"] and events[1][1] >= 600, events


def test_one_of_few_sensor_values_that_moves_by_six_standard_deviations_is_an_alarm():
    for lags in (1, 2):
        config = settings(kind="features", inputs=3, train=200, calibration=100)
        config["sense"]["lags"] = lags
        watcher, noise = Watcher(config, Sensor()), Noise(7)
        row = array("f", bytes(12))
        events = []
        for r in range(1400):
            row[0] = 50 + noise.normal()
            row[1] = 1e-3 * (2 + noise.normal())
            row[2] = 1e5 * (1 + 0.01 * noise.normal()) * (1.06 if r >= 1300 else 1)
            if watcher.step(row, r):
                events.append((watcher.event, r))
        assert names(events) == ["commissioned", "machine_alarm"] and 1300 <= events[1][1] < 1330, events


def test_a_value_that_stands_still_longer_than_it_was_seen_to_is_stuck_while_others_move():
    for lags in (1, 3):
        config = settings(kind="features", inputs=3, train=400, calibration=100)
        config["sense"]["lags"] = lags
        watcher, noise = Watcher(config, Sensor()), Noise(5)
        row = array("f", bytes(12))
        events = []
        for r in range(1500):
            row[0] = 50 + noise.normal()
            if r % 20 == 0 and not 600 <= r < 1000:  # by half degrees, every twentieth row at most
                row[1] = 20 + (r // 20 * 7 % 5) / 2
            row[2] = 1  # never moved while it was learned: nobody knows that it does
            if watcher.step(row, r):
                events.append((watcher.event, watcher.sensor_fault, r))
        last = events[1][2] if len(events) > 1 else None
        assert [event[:2] for event in events[1:]] == [("sensor_fault", "stuck"), ("sensor_ok", None)], events
        assert 640 < last <= 580 + 4 * 20 + 3 and 1000 <= events[2][2] < 1063, events


def test_a_value_that_stands_still_as_long_as_it_did_is_not_stuck():
    config = settings(kind="features", inputs=2, train=400, calibration=100)
    watcher, noise = Watcher(config, Sensor()), Noise(6)
    row = array("f", bytes(8))
    events = []
    for r in range(2000):
        row[0] = noise.normal()
        if r % 40 == 0:
            row[1] = r // 40 * 3 % 4 if r != 1040 and r != 1080 else row[1]
        if watcher.step(row, r):
            events.append((watcher.event, r))
    assert names(events) == ["commissioned"], events


def test_lags_of_the_first_rows_are_standardised_too():
    for lags, rows in ((4, 30), (16, 60)):
        config = settings(kind="features", inputs=3, train=64, calibration=32)
        config["sense"]["lags"] = lags
        watcher, noise = Watcher(config, Sensor()), Noise(2)
        row = array("f", bytes(12))
        events = []
        for r in range(300):
            for i in range(3):
                row[i] = (1013, 20, 50)[i] + noise.normal() + (4 if i == 1 and r >= 200 else 0)
            if watcher.step(row, r):
                events.append((watcher.event, r))
            if r == 16:  # the settling is over, and its rows are the lags of this one
                assert max([abs(value) for value in watcher.features.x]) < 5, list(watcher.features.x)
        assert names(events) == ["commissioned", "machine_alarm"], (lags, events)
        assert 200 <= events[1][1] < 200 + rows, (lags, events)


def test_one_value_that_is_no_number_is_no_dead_sensor_however_many_rows_are_looked_at():
    for lags in (1, 3, 16):
        config, noise = settings(kind="features", inputs=3, train=64, calibration=32), Noise(2)
        config["sense"]["lags"] = lags
        watcher, row, told = Watcher(config, Sensor()), array("f", bytes(12)), []
        for r in range(400):
            for i in range(3):
                row[i] = (1013, 20, 50)[i] + noise.normal()
            if r == 300:
                row[1] = float("nan")
            if watcher.step(row, r):
                told.append(watcher.event)
        assert told == ["commissioned"], (lags, told)


def test_a_watchdog_is_fed_within_a_step_that_takes_seconds():
    watcher, machine = Watcher(settings(), Sensor()), Machine()
    fed = [0]
    scored = [0, 0]  # since it was fed, most ever
    score_row = watcher.model.score_row

    def feed():
        fed[0] += 1
        scored[0] = 0

    def counting(x):
        scored[0] += 1
        scored[1] = max(scored)
        return score_row(x)

    watcher.model.score_row = counting
    watcher.set_on_wait(feed)
    most = 0
    for extra, rows in ((None, 64), (new_source, 60)):
        machine.extra = extra
        for row in range(rows):
            scored[0], before = 0, fed[0]
            watcher.step(machine.spectrum(), row)
            most = max(most, fed[0] - before)
    assert watcher.change_unconfirmed and most > 40 and scored[1] <= 1 + defaults.REHEARSE, (most, scored)


def test_memory_is_bounded():
    machine = Machine()
    machine.spectrum()
    gc.collect()
    before = gc.mem_alloc()
    watcher = Watcher(settings(), Sensor())
    gc.collect()
    whole = gc.mem_alloc() - before
    model = OsElm(64, 22, 1)
    gc.collect()
    model_alone = gc.mem_alloc() - before - whole
    assert model.n == 64 and whole - model_alone < 24000, (whole, model_alone)
    live(watcher, machine, 70)
    gc.collect()
    after_commissioning = gc.mem_alloc()
    machine.extra = new_source
    live(watcher, machine, 100)
    assert watcher.change_unconfirmed
    gc.collect()
    assert gc.mem_alloc() - after_commissioning < 600, gc.mem_alloc() - after_commissioning
    machine.extra = None
    live(watcher, machine, 200)
    gc.collect()
    assert gc.mem_alloc() - after_commissioning < 600


def test_defaults_agree_with_each_other():
    assert defaults.SUSPECT_OF_8 <= defaults.DECIDE_OF_8 <= defaults.DECIDE_ROWS
    assert defaults.UNCERTAIN < 1 and defaults.SUSPECT_EVIDENCE < defaults.EVIDENCE
    assert defaults.RELEARN_CALIBRATION_ROWS > 4  # the first four only set variances


def test_a_trace_of_a_row_that_was_learned_shows_what_its_score_was_made_of():
    watcher, machine = commissioned()
    watcher.step(machine.spectrum(), 0)
    assert watcher.model.learn_scored()
    values = list(Trace(watcher, 1, 0.0)._values)
    model = watcher.model
    model.score_row(watcher.features.x)
    for value, e, weight in zip(values, model.e, model.weight):
        assert abs(value - 100 * e * math.sqrt(weight)) < 0.01


def test_a_model_that_forgets_explains_rows_as_well_after_thousands_of_them():
    model, noise, x = OsElm(32, 8, 1, forgetting_factor=0.95), Noise(3), array("f", bytes(4 * 32))
    means = []
    for r in range(4000):
        load = noise.normal()
        for i in range(32):
            x[i] = 0.3 * load * (i % 7 - 3) + 0.1 * noise.normal()
        if r in (100, 3900):
            means.append(0.0)
        if 100 <= r < 200 or r >= 3900:
            means[-1] += model.score_row(x) / 100
        else:
            model.learn_row(x)
    assert means[1] < 1.3 * means[0], means


def test_a_value_that_is_no_number_while_the_scale_is_set_is_no_lag_of_the_rows_that_are_learned():
    config, noise = settings(kind="features", inputs=3, train=64, calibration=32), Noise(2)
    config["sense"]["lags"] = 3
    watcher, row = Watcher(config, Sensor()), array("f", bytes(12))
    for r in range(20):
        for i in range(3):
            row[i] = (1013, 20, 50)[i] + noise.normal()
        if r == 15:  # the row before the last of those that set the scale
            row[1] = float("nan")
        watcher.step(row, r)
        if watcher.features.settled == watcher.features.settle_rows:
            lags = list(watcher.features.x)[3:]
            assert max([abs(x) for x in lags]) < 5, (r, lags)
