"""The sensor: resolution, range, time, and its faults."""

import numpy as np
import pytest
from on_micropython import capture, configuration, run


def fault(tmp_path, name, **more):
    """Three healthy windows, then seven with the fault."""
    script = [{"at_s": 30, "fault": name, **more}]
    return capture(tmp_path, windows=10, period_s=9.36, script=script)


def test_a_window_takes_its_time(tmp_path):
    seen = capture(tmp_path, windows=2, period_s=9.36)
    assert seen.said["kind"] == "waveform"
    assert (seen.begin_s, seen.end_s) == ([0, 10], [0.64, 10.64])


def test_resolution_range_and_gravity(tmp_path):
    sensor = {"g_per_count": 0.004, "full_scale": 300, "noise_g": 0.05, "gravity_x": 0.5, "gravity_z": 1.15}
    seen = capture(tmp_path, sensor=sensor, machine={"speed_rpm": 0}, windows=20)
    assert seen.g[:, :, 0].mean() == pytest.approx(0.5, abs=0.002)
    assert seen.g[:, :, 1].mean() == pytest.approx(0, abs=0.002)
    assert seen.counts.max() == 300  # 1.15 g and its noise exceed 1.2 g now and then
    assert (seen.counts[:, :, 2] == 300).mean() == pytest.approx(0.16, abs=0.03)


def test_one_axis_is_enough(tmp_path):
    seen = capture(tmp_path, sensor={"axes": 1})
    assert seen.counts.shape == (8, 1024, 1)


def test_dead(tmp_path):
    assert fault(tmp_path, "dead").dead == [False] * 3 + [True] * 7


def test_stuck(tmp_path):
    seen = fault(tmp_path, "stuck")
    assert np.ptp(seen.counts[3:], axis=(0, 1)).tolist() == [0, 0, 0]
    assert seen.counts[3, 0].tolist() == seen.counts[2, -1].tolist()


def test_saturated(tmp_path):
    assert (fault(tmp_path, "saturated").counts[3:] == 4095).all()


def test_clipped(tmp_path):
    seen = fault(tmp_path, "clipped")
    at_the_end = (np.abs(seen.counts) >= 4095).mean(axis=(1, 2))
    assert at_the_end[:3].max() == 0
    assert at_the_end[3:].min() > 0.02
    assert at_the_end.max() < 0.9


def test_detached(tmp_path):
    seen = fault(tmp_path, "detached")
    rms = np.sqrt((seen.vibration() ** 2).mean(axis=1))
    assert rms[3:].max() < 0.6 * rms[:3].min()
    assert seen.g[:3, :, 2].mean() == pytest.approx(1, abs=0.01)
    assert seen.g[3:, :, 2].mean() == pytest.approx(0, abs=0.01)


def test_gain(tmp_path):
    seen = fault(tmp_path, "gain", value=0.25)
    rms = np.sqrt((seen.vibration() ** 2).mean(axis=1))
    noise = 0.004
    was, now = (np.sqrt(np.mean(part**2) - noise**2) for part in (rms[:3], rms[3:]))
    assert now / was == pytest.approx(0.25, rel=0.15)
    assert seen.g[3:, :, 2].mean() == pytest.approx(1, abs=0.01)


def test_noisy(tmp_path):
    seen = fault(tmp_path, "noisy", value=0.3)
    rms = np.sqrt((seen.vibration() ** 2).mean(axis=1))
    assert rms[:3].max() < 0.05
    assert rms[3:] == pytest.approx(0.3, rel=0.08)


def test_rate(tmp_path):
    seen = fault(tmp_path, "rate", value=0.5)
    durations = np.array(seen.end_s) - seen.begin_s
    assert durations == pytest.approx([0.64] * 3 + [1.28] * 7)
    # the spectrum, taken for one at the nominal rate, is stretched
    seen.counts, seen.g = seen.counts[3:], seen.g[3:]
    assert seen.tone(50) > 3 * seen.tone(25)


def test_a_fault_is_mended(tmp_path):
    script = [{"at_s": 20, "fault": "dead"}, {"at_s": 50, "fault": None}]
    assert capture(tmp_path, period_s=10, script=script).dead == [False] * 2 + [True] * 3 + [False] * 3


WRONG = [
    ({"machines": {}}, "unknown key"),
    ({"machine": {"speed": 3}}, "unknown key"),
    ({"machine": {"speed_rpm": "fast"}}, "must be a number"),
    ({"sensor": {"colour": 1}}, "unknown key"),
    ({"script": [{"speed_rpm": 100}]}, "at_s"),
    ({"script": ["now"]}, "at_s"),
    ({"script": [{"at_s": 0, "damage": "rust"}]}, "imbalance"),
    ({"script": [{"at_s": 0, "fault": "tired"}]}, "saturated"),
    ({"cycle": [{"speed_rpm": 100}]}, "for_s"),
    ({"air": "127.0.0.1:9"}, "does not answer"),
    ({"air": "nonsense"}, "does not answer"),
    ({"play": []}, "segments"),
    ({"play": [{"file": "none.rows"}]}, "none.rows"),
]


@pytest.mark.parametrize(("options", "word"), WRONG)
def test_a_wrong_option_is_named(tmp_path, options, word):
    import json

    (tmp_path / "config.json").write_text(json.dumps(configuration(**options)))
    said = run("mp_capture.py", "1", "1", cwd=tmp_path, code=1)
    assert "ConfigError: options: " in said
    assert word in said
