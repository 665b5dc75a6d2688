"""Recordings, written on the host and played on MicroPython."""

import json

import numpy as np
import pytest
from on_micropython import configuration, run

from fieldelm_tools import rowfile
from fieldelm_tools.errors import UsageError


def play(folder, segments, reads, kind="spectrum", period_s=1.0, code=0, **sense):
    config = configuration(play=segments)
    config["sense"] |= {"kind": kind, **sense}
    (folder / "config.json").write_text(json.dumps(config))
    return run("mp_play.py", str(reads), str(period_s), cwd=folder, code=code)


@pytest.fixture
def recordings(tmp_path):
    """quiet.rows: 5 rows of 0.5, 1.5, ...; noisy.rows: 4 rows of 100.25, 101.25, ..."""
    for name, start in (("quiet", 0.5), ("noisy", 100.25)):
        rows = np.arange(start, start + (5 if name == "quiet" else 4))[:, None] + np.zeros(7)
        header = rowfile.write(tmp_path / f"{name}.rows", rows, kind="spectrum", rate_hz=1024, period_s=2)
        assert (header.rows, header.columns) == (len(rows), 7)
        again, stored = rowfile.read(tmp_path / f"{name}.rows")
        assert again == header
        assert np.array_equal(stored, rows)
    return tmp_path


def test_rows_in_order_and_then_the_end(recordings):
    said = json.loads(play(recordings, [{"file": "quiet.rows"}, {"file": "noisy.rows", "first": 1, "rows": 2}], 20))
    assert said["first"] == [0.5, 1.5, 2.5, 3.5, 4.5, 101.25, 102.25]
    assert said["same"]  # every value of a row is the same, as written
    assert said["end"] == "the recording has ended"
    assert (said["kind"], said["axes"], said["rate_hz"], said["period_s"]) == ("spectrum", 1, 1024, 2)


def test_segments_by_simulated_time(recordings):
    segments = [
        {"file": "quiet.rows", "first": 1, "rows": 3, "loop": True},
        {"at_s": 5, "file": "noisy.rows", "rows": 2, "loop": True},
        {"at_s": 8, "file": "quiet.rows", "rows": 2},
    ]
    said = json.loads(play(recordings, segments, 20))
    assert said["first"] == [1.5, 2.5, 3.5, 1.5, 2.5, 100.25, 101.25, 100.25, 0.5, 1.5]
    assert said["end"]


def test_a_waveform_takes_its_time(tmp_path):
    g = np.random.default_rng(1).normal(0, 0.5, (6, 200, 3))
    g[2, 5, 1] = 99  # beyond the range
    rowfile.write(
        tmp_path / "fan.rows", g, kind="waveform", rate_hz=200, period_s=1, full_scale=4095, g_per_count=0.0039
    )
    _, stored = rowfile.read(tmp_path / "fan.rows")
    assert stored.dtype == np.int16
    assert stored.max() == 4095
    assert stored[0] * 0.0039 == pytest.approx(g[0].ravel(), abs=0.002)
    said = json.loads(play(tmp_path, [{"file": "fan.rows"}], 20, kind="waveform", period_s=0, samples=200))
    assert said["first"] == [int(row[0]) for row in stored]
    assert said["sums"] == [int(row.sum()) for row in stored]
    assert (said["got"], said["axes"], said["full_scale"]) == ([200] * 6, 3, 4095)
    assert said["now_s"] == pytest.approx(6)
    assert said["g_per_count"] == pytest.approx(0.0039)


def test_features_are_plain_rows(tmp_path):
    rowfile.write(tmp_path / "plant.rows", [[1, 2.5], [-3, 4]], kind="features")
    said = json.loads(play(tmp_path, [{"file": "plant.rows"}], 3, kind="features"))
    assert (said["first"], said["sums"]) == ([1, -3], [3.5, 1])


BAD_SEGMENTS = [
    ([{"file": "quiet.rows", "first": 5}], "only 5 rows"),
    ([{"file": "quiet.rows", "first": 2, "rows": 4}], "only 5 rows"),
    ([{"file": "quiet.rows", "rows": 0}], "only 5 rows"),
    ([{"file": "quiet.rows", "first": "2"}], "must be a number"),
    ([{"file": "quiet.rows"}, {"file": "short.rows"}], "truncated"),
    ([{"file": "text.rows"}], "no row file"),
    ([{"file": "quiet.rows"}, {"file": "wide.rows"}], "differs"),
    (["quiet.rows"], "segment"),
    ([{"file": "plant.rows"}], "recording is a features"),
]


@pytest.mark.parametrize(("segments", "word"), BAD_SEGMENTS)
def test_what_cannot_be_played_is_named(recordings, segments, word):
    stored = (recordings / "quiet.rows").read_bytes()
    (recordings / "short.rows").write_bytes(stored[:-3])
    (recordings / "text.rows").write_text("bin,amplitude\n0,1\n")
    rowfile.write(recordings / "wide.rows", np.zeros((2, 8)), kind="spectrum")
    rowfile.write(recordings / "plant.rows", np.zeros((2, 7)), kind="features")
    said = play(recordings, segments, 1, code=1)
    assert "ConfigError" in said
    assert word in said


@pytest.mark.parametrize(
    ("rows", "options", "word"),
    [
        ([[1.0, float("nan")]], {"kind": "spectrum"}, "row 0"),
        ([1.0, 2.0], {"kind": "spectrum"}, "shape"),
        (np.zeros((0, 5)), {"kind": "spectrum"}, "shape"),
        (np.zeros((2, 5, 3)), {"kind": "spectrum"}, "shape"),
        ([["a"]], {"kind": "spectrum"}, "numbers"),
        ([[1.0]], {"kind": "sound"}, "kind"),
        ([[1.0]], {"kind": "waveform"}, "g_per_count"),
        ([[1.0]], {"kind": "waveform", "g_per_count": 0.1, "full_scale": 40000}, "full_scale"),
    ],
)
def test_what_cannot_be_written_is_named(tmp_path, rows, options, word):
    with pytest.raises(UsageError, match=word):
        rowfile.write(tmp_path / "bad.rows", rows, **options)
    assert not (tmp_path / "bad.rows").exists()


@pytest.mark.parametrize(
    "stored", [b"", b"FROW", b"nonsense" * 9, b"FROW\x02" + bytes(27), b"FROW\x01\x07" + bytes(26)]
)
def test_a_bad_file_is_named(tmp_path, stored):
    (tmp_path / "bad.rows").write_bytes(stored)
    with pytest.raises(UsageError, match=r"bad\.rows"):
        rowfile.read(tmp_path / "bad.rows")
    with pytest.raises(UsageError, match="cannot be read"):
        rowfile.read(tmp_path / "none.rows")
