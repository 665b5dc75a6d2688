"""fieldelm.model_codec: a learner in less than 5 kB is the same learner."""

import io
import sys

sys.path.append(__file__.rsplit("/", 2)[0] + "/learning")

import mp_learner as learner
from fieldelm.model_codec import CodecError, Packer, Unpacker
from fieldelm.watcher import Watcher


def packed(watcher):
    return b"".join([bytes(part) for part in Packer(watcher)])


def replacement(seed=1, **changes):
    settings = learner.settings()
    settings["learn"].update(changes)
    return Watcher(settings, learner.Sensor())


def unpacked(data, watcher=None):
    watcher = watcher or replacement()
    unpacker = Unpacker(watcher)
    unpacker.check(io.BytesIO(data))
    unpacker.unpack(io.BytesIO(data))
    watcher.state = "watching"
    return watcher


def test_size():
    watcher, machine = learner.commissioned()
    learner.live(watcher, machine, 300)
    data = packed(watcher)
    print(len(data), "bytes,", watcher.modes.count, "modes")
    assert len(data) <= 5000 + 0, len(data)
    # and with every mode in use
    for _ in range(8):
        watcher.modes.add(watcher.modes.centers[0], 20)
    for i in range(64):
        watcher.modes.source[i] = 0.5 + i
    print(len(packed(watcher)), "bytes of all modes and a source")
    assert len(packed(watcher)) <= 5120, len(packed(watcher))


def test_scores_of_the_same_rows_differ_by_2_percent_at_most_and_verdicts_not_at_all():
    for seed in (1, 2, 3):
        watcher, machine = learner.commissioned(seed=seed)
        learner.live(watcher, machine, 60)
        twin = unpacked(packed(watcher))
        assert twin.modes.count == watcher.modes.count
        worst = 0.0
        verdicts = 0
        for row in range(200):
            machine.extra = learner.broken if row >= 150 else None
            spectrum = machine.spectrum()
            watcher.step(spectrum, row)
            twin.step(spectrum, row)
            worst = max(worst, abs(twin.score / watcher.score - 1))
            verdicts += twin.verdict != watcher.verdict
            assert twin.event == watcher.event, (row, twin.event, watcher.event)
            assert abs(twin.threshold / watcher.threshold - 1) < 0.02
        print("seed %d: scores within %.2f %%, %d verdicts differ" % (seed, 100 * worst, verdicts))
        assert worst < 0.02, worst
        assert verdicts == 0, verdicts


def test_learning_goes_on():
    watcher, machine = learner.commissioned()
    twin = unpacked(packed(watcher))
    for row in range(2000):
        assert twin.step(machine.spectrum(), row) is None, (row, twin.event)
    machine.extra = learner.new_source
    assert "environment_changed" in learner.names(learner.live(twin, machine, 60))
    learner.live(twin, machine, 200)
    assert twin.state == "watching"


def test_packing_again_changes_nothing_more():
    watcher, _ = learner.commissioned()
    once = packed(unpacked(packed(watcher)))
    twice = packed(unpacked(once))
    assert len(once) == len(twice)
    # P's diagonal is raised once more; all else stays within a step
    different = sum([a != b for a, b in zip(once, twice)])
    assert different < len(once) // 10, different


def refused(data, watcher):
    before = b"".join([bytes(part) for part in (watcher.save() or [b""])])
    try:
        Unpacker(watcher).check(io.BytesIO(data))
    except CodecError:
        after = b"".join([bytes(part) for part in (watcher.save() or [b""])])
        assert before == after
        return True
    return False


def test_what_is_not_this_configurations_model_is_refused_and_changes_nothing():
    watcher, _ = learner.commissioned()
    data = packed(watcher)
    assert not refused(data, watcher)
    for length in (0, 1, 15, 16, 17, 18, 19, 100, len(data) - 1):
        assert refused(data[:length], watcher), length
    assert refused(data + b"x", watcher)
    assert refused(b"CML1" + data[4:], watcher)
    assert refused(data, replacement(seed=2, hidden=21))
    other = learner.settings()
    other["learn"]["seed"] = 7
    assert refused(data, Watcher(other, learner.Sensor()))
    other = learner.settings()
    other["sense"]["band_high_hz"] = 200  # as many bands, but narrower ones
    assert refused(data, Watcher(other, learner.Sensor()))
