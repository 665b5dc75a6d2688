"""The machine's model against the physics it claims."""

import math

import numpy as np
import pytest
from on_micropython import RATE_HZ, SAMPLES, capture, run

QUIET = {"turbulence_g": 0, "hum_g": 0, "resonance_hz": 0, "jitter": 0}
SHAFT_HZ = 25.0  # 1500 rpm


def imbalance_g(speed_rpm: float, eccentricity_um: float = 24, mass_ratio: float = 0.1) -> float:
    return mass_ratio * eccentricity_um * 1e-6 * (2 * math.pi * speed_rpm / 60) ** 2 / 9.80665


def test_the_spectrum_has_shaft_and_blades_where_they_belong(tmp_path):
    seen = capture(tmp_path, sensor={"noise_g": 0.001, "g_per_count": 0.0001}, machine={"turbulence_g": 0.005})
    floor = seen.tone(240, width_hz=1.6)
    for hz in (SHAFT_HZ, 2 * SHAFT_HZ, 7 * SHAFT_HZ, 14 * SHAFT_HZ, 100):
        assert seen.tone(hz) > 1.5 * floor, hz
    for hz in (0.5 * SHAFT_HZ, 5 * SHAFT_HZ, 8 * SHAFT_HZ, 12 * SHAFT_HZ):
        assert seen.tone(hz) < 1.5 * floor, hz


@pytest.mark.parametrize("speed_rpm", [900, 1500, 2500])
def test_imbalance_is_mu_e_omega_squared(tmp_path, speed_rpm):
    machine = {**QUIET, "speed_rpm": speed_rpm, "misalignment": 0, "blade_pass_g": 0}
    seen = capture(tmp_path, sensor={"noise_g": 0.0001, "g_per_count": 0.0001}, machine=machine, windows=30)
    expected = imbalance_g(speed_rpm)
    assert seen.tone(speed_rpm / 60, width_hz=5) == pytest.approx(expected, rel=0.03)
    assert seen.rms() == pytest.approx(expected / math.sqrt(2), rel=0.05)
    # y lags x by a quarter of a turn: the housing moves on an ellipse
    x, y = (np.fft.rfft(seen.vibration(axis) * np.hanning(SAMPLES)) for axis in (0, 1))
    at = round(speed_rpm / 60 * SAMPLES / RATE_HZ)
    turn = np.angle(y[:, at] / x[:, at]) % (2 * math.pi)
    assert turn == pytest.approx(math.pi / 2, abs=0.05)


def test_velocity_of_a_good_and_of_an_unbalanced_machine(tmp_path):
    """ISO 20816-3, 15 to 300 kW on a rigid foundation: good below 1.4 mm/s, not for long above 2.8 mm/s."""

    def velocity(machine, script=()):
        seen = capture(tmp_path, machine={"speed_rpm": 2500, **machine}, script=list(script))
        bins = np.fft.rfftfreq(SAMPLES, 1 / RATE_HZ)
        band = (bins >= 10) & (bins <= 1000)
        spectrum = np.fft.rfft(seen.vibration() * np.hanning(SAMPLES))[:, band] * 9.80665 / (2 * math.pi * bins[band])
        power = 2 * (np.abs(spectrum) ** 2).sum(axis=1).mean() / SAMPLES / (np.hanning(SAMPLES) ** 2).sum()
        return 1000 * math.sqrt(power)

    assert 0.3 < velocity({}) < 1.4
    assert velocity({}, [{"at_s": 0, "damage": "imbalance", "severity": 1}]) > 2.8


def test_flow_noise_has_the_rms_asked_for_and_heavy_tails(tmp_path):
    machine = {**QUIET, "speed_rpm": 2500, "turbulence_g": 0.05, "eccentricity_um": 0, "blade_pass_g": 0}
    seen = capture(
        tmp_path, sensor={"noise_g": 0, "g_per_count": 0.0001, "full_scale": 32767}, machine=machine, windows=40
    )
    for axis in range(3):
        assert seen.rms(axis) == pytest.approx(0.05, rel=0.05)
    x = seen.vibration().ravel()
    assert np.mean(x**4) / np.mean(x**2) ** 2 > 3.6  # 3 for a normal distribution


def test_the_sensors_own_noise_is_normal(tmp_path):
    seen = capture(tmp_path, sensor={"noise_g": 0.01, "g_per_count": 0.0001}, machine={"speed_rpm": 0}, windows=40)
    assert seen.rms() == pytest.approx(0.01, rel=0.03)
    x = seen.vibration().ravel()
    assert np.mean(x**4) / np.mean(x**2) ** 2 == pytest.approx(3, abs=0.4)
    assert seen.floor(50, 350) == pytest.approx(seen.floor(400, 750), rel=0.1)


def test_the_neighbour_has_the_rms_asked_for(tmp_path):
    machine = {"speed_rpm": 0, "resonance_hz": 0, "neighbour_g": 0.2}
    seen = capture(tmp_path, sensor={"noise_g": 0, "g_per_count": 0.0005}, machine=machine, windows=40)
    assert seen.rms() == pytest.approx(0.2, rel=0.05)
    for hz, share in ((24, 0.35), (144, 0.45), (288, 0.25)):
        assert seen.tone(hz) == pytest.approx(0.2 * math.sqrt(2) * share, rel=0.2)  # and some of the noise


def test_the_structure_amplifies_at_its_resonance(tmp_path):
    machine = {**QUIET, "speed_rpm": 2500, "turbulence_g": 0.05, "eccentricity_um": 0, "blade_pass_g": 0}
    flat = capture(tmp_path, machine=machine, windows=20)
    machine = {**machine, "resonance_hz": 300, "damping": 0.05}
    ringing = capture(tmp_path, machine=machine, windows=20)
    assert ringing.floor(285, 315) > 30 * flat.floor(285, 315)
    assert ringing.floor(20, 60) == pytest.approx(flat.floor(20, 60), rel=0.4)
    assert ringing.floor(600, 700) < flat.floor(600, 700)


def test_another_place_on_the_housing_sounds_different(tmp_path):
    seen = [capture(tmp_path, machine={"mount": mount}, windows=12) for mount in (0, 0, 1, 2)]
    levels = [np.array([c.floor(low, low + 50) for low in range(50, 750, 50)]) for c in seen]
    assert np.array_equal(seen[0].counts, seen[1].counts)
    same = np.abs(np.log(levels[0] / levels[1])).max()
    for other in levels[2:]:
        assert np.abs(np.log(levels[0] / other)).max() > same + 0.3


DAMAGED = {
    # damage -> what rises at least threefold, what stays within half
    "imbalance": ([25], [175]),
    "misalignment": ([50], [25, 175]),
    "looseness": ([37.5, 62.5, 125], [175]),
    "blade": ([150, 200], [175]),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damage_changes_what_it_should(tmp_path, damage):
    options = {
        "sensor": {"noise_g": 0.0005, "g_per_count": 0.0001},
        "machine": {"turbulence_g": 0.001, "jitter": 0.0005},
    }
    good = capture(tmp_path, **options)
    bad = capture(tmp_path, **options, script=[{"at_s": 0, "damage": damage, "severity": 1}])
    rises, stays = DAMAGED[damage]
    for hz in rises:
        assert bad.tone(hz) > 3 * good.tone(hz), hz
    for hz in stays:
        assert bad.tone(hz) == pytest.approx(good.tone(hz), rel=0.5), hz


def test_a_bearing_knocks(tmp_path):
    options = {"machine": {"turbulence_g": 0.01}}
    good = capture(tmp_path, **options)
    bad = capture(tmp_path, **options, script=[{"at_s": 0, "damage": "bearing", "severity": 1}])

    def crest(seen):
        x = seen.vibration()
        return (np.abs(x).max(axis=1) / np.sqrt((x**2).mean(axis=1))).mean()

    assert bad.rms() > 2 * good.rms()
    assert bad.floor(200, 320) > 10 * good.floor(200, 320)  # the knocks ring at the resonance
    # and the envelope beats with the outer race: 3.585 x 25 Hz
    x = np.abs(bad.vibration())
    envelope = np.abs(np.fft.rfft((x - x.mean(axis=1, keepdims=True)) * np.hanning(SAMPLES))).mean(axis=0)
    bins = np.fft.rfftfreq(SAMPLES, 1 / RATE_HZ)
    low = (bins > 60) & (bins < 120)
    assert bins[low][envelope[low].argmax()] == pytest.approx(3.585 * 25, abs=4)
    assert crest(bad) > 2.5


def test_damage_grows_as_scripted_and_is_repaired(tmp_path):
    machine = {**QUIET, "misalignment": 0, "blade_pass_g": 0}
    script = [
        {"at_s": 3600, "damage": "imbalance", "severity": 0.1, "grow_per_h": 0.2},
        {"at_s": 14400, "damage": None},
    ]
    seen = capture(
        tmp_path,
        sensor={"noise_g": 0, "g_per_count": 0.0001},
        machine=machine,
        script=script,
        windows=6,
        period_s=3599.36,
    )
    expected = [imbalance_g(1500) * (1 + 8 * s) / math.sqrt(2) for s in (0, 0.1, 0.3, 0.5, 0, 0)]
    assert np.sqrt((seen.vibration() ** 2).mean(axis=1)) == pytest.approx(expected, rel=0.12)


def test_a_stopped_machine_is_silent_and_spins_up(tmp_path):
    script = [{"at_s": 0, "speed_rpm": 0}, {"at_s": 100, "speed_rpm": 2400}]
    seen = capture(
        tmp_path,
        machine={"speed_rpm": 0, "spin_s": 5},
        sensor={"noise_g": 0.001},
        script=script,
        windows=30,
        period_s=4.36,
    )
    rms = np.sqrt((seen.vibration() ** 2).mean(axis=1))
    assert rms[:19].max() < 0.003
    assert rms[25:].min() > 0.01
    assert rms[20] < rms[22] < rms[25] * 1.3


def test_a_cycle_of_speeds_goes_round(tmp_path):
    cycle = [{"for_s": 60, "speed_rpm": 2400}, {"for_s": 30, "speed_rpm": 0}]
    seen = capture(tmp_path, machine={"spin_s": 0.5}, sensor={"noise_g": 0.001}, cycle=cycle, windows=27, period_s=9.36)
    runs = np.sqrt((seen.vibration() ** 2).mean(axis=1)) > 0.01
    steady = [(runs[i], begin % 90 < 60) for i, begin in enumerate(seen.begin_s) if begin % 90 not in (0, 60)]
    assert len(steady) == 21
    assert all(is_running == should for is_running, should in steady)


def test_the_same_seed_is_the_same_machine(tmp_path):
    options = {
        "machine": {"neighbour_g": 0.1},
        "script": [{"at_s": 20, "damage": "blade", "severity": 0.4}, {"at_s": 40, "fault": "noisy"}],
    }
    first, again = (capture(tmp_path, **options).counts for _ in range(2))
    assert np.array_equal(first, again)
    other = capture(tmp_path, **options, sensor={"seed": 5}).counts
    assert not np.array_equal(first, other)


def test_the_same_samples_without_a_native_emitter(tmp_path):
    assert run("mp_plain.py", cwd=tmp_path).split() == ["same"]


def test_fast_and_small_enough(tmp_path, record_property):
    script = [{"at_s": 0, "damage": damage} for damage in ("blade", "looseness", "bearing")]
    seen = capture(tmp_path, machine={"neighbour_g": 0.1}, script=script, windows=50)
    for key in ("us_per_window", "model_bytes"):
        record_property(key, seen.said[key])
        print(key, seen.said[key])
    assert seen.said["us_per_window"] < 30_000
    assert seen.said["model_bytes"] < 50_000  # its code, too
