"""`fieldelm replay` on real recordings: what happens when, and what a wrong file is answered with."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import cooling_fan
import numpy as np
import pytest

from fieldelm_tools.recordings import load

KEYS = ["stream", "row", "score", "threshold", "state", "verdict", "learned", "event"]


def replay(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fieldelm_tools.cli", "replay", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def lines(*arguments: object) -> list[dict[str, Any]]:
    result = replay(*arguments)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def events(rows: list[dict[str, Any]], stream: int) -> list[tuple[str, int]]:
    return [(row["event"], row["row"]) for row in rows if row["stream"] == stream and row["event"]]


def fan(recordings: Path, name: str) -> Path:
    return recordings / "cooling-fan" / f"{name}.zip"


@pytest.mark.parametrize("speed", "hmlo")
def test_moved_beside_a_noisy_machine_it_relearns_and_then_finds_damage(
    recordings: Path, tmp_path: Path, speed: str
) -> None:
    healthy, bad = tmp_path / "healthy.npy", tmp_path / "bad.npy"
    np.save(healthy, cooling_fan.at_speed(recordings, "normal", "noisy", speed))
    np.save(bad, cooling_fan.at_speed(recordings, "damage1", "noisy", speed))
    quiet, noisy = fan(recordings, f"12cm_{speed}_normal_silentA"), fan(recordings, f"12cm_{speed}_normal_noisy")
    rows = lines(
        "--train", quiet, "--stream", noisy, "--stream", healthy, "--stream", bad, "--rate", 1024, "--period", 2.05
    )
    assert [list(row) for row in rows[:1]] == [KEYS]
    moved = events(rows, 0)
    assert [name for name, _ in moved] == ["environment_changed", "relearned", "change_unconfirmed"]
    assert moved[0][1] < 12 and moved[1][1] < 40
    assert events(rows, 1) == []  # another recording of the same healthy machine
    if speed != "o":  # a stopped fan's blades are silent
        assert [name for name, _ in events(rows, 2)] == ["machine_alarm"]


@pytest.mark.parametrize("damage", [1, 2])
def test_all_speeds_learned_only_the_damaged_machine_alarms(recordings: Path, damage: int) -> None:
    trained = [a for s in "hmlo" for a in ("--train", fan(recordings, f"12cm_{s}_normal_noisy"))]
    healthy = [a for r in (1, 2) for a in ("--stream", fan(recordings, f"12cm_hmlo_normal_noisy_{r}"))]
    rows = lines(*trained, *healthy, "--stream", fan(recordings, f"12cm_hmlo_damage{damage}_noisy_1"))
    assert events(rows, 0) == [] and events(rows, 1) == []
    found = events(rows, 2)
    assert [name for name, _ in found] == ["machine_alarm"] and found[0][1] < 20


def test_moved_with_all_speeds_it_relearns_one_after_the_other(recordings: Path) -> None:
    trained = [a for s in "hmlo" for a in ("--train", fan(recordings, f"12cm_{s}_normal_silentA"))]
    streams = [a for r in (1, 2) for a in ("--stream", fan(recordings, f"12cm_hmlo_normal_noisy_{r}"))]
    rows = lines(*trained, *streams)
    names = [row["event"] for row in rows if row["event"]]
    assert "machine_alarm" not in names and names.count("environment_changed") >= 1
    second = [row for row in rows if row["stream"] == 1]
    assert np.mean([row["verdict"] == "anomaly" for row in second]) < 0.05


def test_same_room_on_another_day(recordings: Path) -> None:
    for speed in "ml":
        rows = lines(
            "--train",
            fan(recordings, f"12cm_{speed}_normal_silentA"),
            "--stream",
            fan(recordings, f"12cm_{speed}_normal_silentA"),
        )
        assert events(rows, 0) == []


def test_coin_on_a_blade_of_a_ceiling_fan(recordings: Path, tmp_path: Path) -> None:
    arrays = np.load(recordings / "ceiling-fan" / "ceiling_fan_low.npz")
    low = arrays["fan_0_low_0_weight"]
    np.save(tmp_path / "a.npy", low[:300])
    np.save(tmp_path / "b.npy", low[300:])
    coin = f"{recordings}/ceiling-fan/ceiling_fan_low.npz:fan_0_low_1_weight"
    rows = lines(
        "--train", tmp_path / "a.npy", "--stream", tmp_path / "b.npy", "--stream", coin, "--rate", 200, "--period", 1
    )
    assert events(rows, 0) == []
    assert [name for name, _ in events(rows, 1)] == ["machine_alarm"]


def spectra(rows: int = 60, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (0.2 + np.exp(-np.linspace(0, 3, 128))) * random.gamma(9, 1 / 9, (rows, 128))


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.npy"
    np.save(path, spectra())
    return path


def test_forms_of_a_recording_give_the_same_rows(good: Path, tmp_path: Path) -> None:
    values = spectra(30, 1).astype(np.float32)
    forms = {name: tmp_path / name for name in ("a.csv", "b.csv", "comma.csv", "c.npy", "d.npz", "e.zip", "f")}
    np.savetxt(forms["a.csv"], values, delimiter=",")
    header = ";".join(f"bin {i}" for i in range(128))
    np.savetxt(forms["b.csv"], values, delimiter=";", header=header, comments="")
    forms["comma.csv"].write_text(forms["b.csv"].read_text().replace(".", ","))
    np.save(forms["c.npy"], values)
    np.savez(forms["d.npz"], spectra=values, other=values[:3])
    forms["f"].mkdir()
    with zipfile.ZipFile(forms["e.zip"], "w") as archive:
        for i in reversed(range(30)):
            text = "0, 0.0\n" + "".join(f"{bin_ + 1}, {v:.9g}\n" for bin_, v in enumerate(values[i]))
            archive.writestr(f"run/2022-01-01-00-00-{i:02}.csv", text)
            (forms["f"] / f"{i:02}.csv").write_text(text)
    scores = {}
    for name, path in forms.items():
        document = lines("--train", good, "--stream", f"{path}:spectra" if name == "d.npz" else path, "--json")
        assert len(document) == 1
        assert document[0]["streams"][0]["rows"] == 30
        scores[name] = [row["score"] for row in document[0]["rows"]]
    for name, values_ in scores.items():
        assert np.allclose(values_, scores["c.npy"], rtol=1e-3), name


def test_plot_is_drawn(good: Path, tmp_path: Path) -> None:
    plot = tmp_path / "made" / "on the way" / "plot.svg"
    rows = lines("--train", good, "--stream", good, "--plot", plot)
    assert len(rows) == 60
    text = plot.read_text()
    assert text.startswith("<svg") and 'class="score"' in text and "watching" in text


def test_seed_changes_the_model_and_nothing_else_does(good: Path) -> None:
    one, again, other = (replay("--train", good, "--stream", good, "--seed", seed).stdout for seed in (1, 1, 2))
    assert one == again != other


def bad_files(folder: Path) -> dict[str, tuple[object, str]]:
    values = spectra()
    holed = values.copy()
    holed[17, 3] = np.nan
    np.save(folder / "nan.npy", holed)
    np.save(folder / "narrow.npy", values[:, :100])
    np.save(folder / "empty.npy", values[:0])
    np.save(folder / "line.npy", values[0])
    np.save(folder / "text.npy", np.array([["a"]]))
    np.save(folder / "decibels.npy", -values)
    np.save(folder / "wave.npy", np.ones((50, 64, 3), np.float32))
    (folder / "truncated.npy").write_bytes((folder / "nan.npy").read_bytes()[:1000])
    (folder / "truncated.npz").write_bytes(b"PK\x03\x04 not really")
    np.savez(folder / "two.npz", a=values, b=values)
    (folder / "word.csv").write_text("1,2,3\n4,five,6\n")
    (folder / "hole.csv").write_text("1,2,3\n4,,6\n")
    (folder / "ragged.csv").write_text("a,b\n1,2\n3,4,5\n")
    (folder / "nothing.csv").write_text("a,b\n")
    (folder / "binary.csv").write_bytes(b"\xff\xfe\x00\x81\n")
    (folder / "folder").mkdir()
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.csv", b"0,0\n" * 3_000_000)
    return {
        "gone.npy": ("gone.npy", "does not exist"),
        "nan.npy": ("nan.npy", "row 17"),
        "narrow.npy": ("narrow.npy", "must be alike"),
        "empty.npy": ("empty.npy", "is empty"),
        "line.npy": ("line.npy", "1-D"),
        "text.npy": ("text.npy", "not real numbers"),
        "decibels.npy": ("decibels.npy", "negative"),
        "wave.npy": ("wave.npy", "must be alike"),
        "truncated.npy": ("truncated.npy", "truncated"),
        "truncated.npz": ("truncated.npz", "damaged"),
        "two.npz": ("two.npz", "one of a, b"),
        "two.npz:c": ("two.npz:c", "no array 'c'"),
        "word.csv": ("word.csv", "line 2: 'five'"),
        "hole.csv": ("hole.csv", "line 2: a number is missing"),
        "ragged.csv": ("ragged.csv", "line 3: 3 numbers"),
        "nothing.csv": ("nothing.csv", "is empty"),
        "binary.csv": ("binary.csv", "not text"),
        "folder": ("folder", "is empty"),
        "bomb.zip": ("bomb.zip", "no single spectrum"),
    }


def test_bad_input_is_one_line_that_says_where(good: Path, tmp_path: Path) -> None:
    for name, (file, message) in bad_files(tmp_path).items():
        for arguments in (
            ("--train", good, "--stream", tmp_path / str(file)),
            ("--train", tmp_path / str(file), "--stream", good),
        ):
            result = replay(*arguments)
            assert result.returncode == 2, (name, result)
            assert result.stdout == "" and result.stderr.count("\n") == 1, (name, result.stderr)
            if message != "must be alike" or arguments[0] != "--train":
                assert message in result.stderr, (name, result.stderr)


def test_options_that_make_no_sense(good: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "few.npy", spectra(20))
    np.save(tmp_path / "wave.npy", spectra().reshape(60, 64, 2))
    for arguments, message in (
        (("--train", good), "--stream"),
        (("--train", good, "--stream", good, "--policy", "often"), "--policy"),
        (("--train", good, "--stream", good, "--seed", "-1"), "--seed"),
        (("--train", good, "--stream", good, "--period", "0"), "--period"),
        (("--train", good, "--stream", good, "--plot", "plot.png"), ".svg"),
        (("--train", good, "--stream", good, "--plot", good / "plot.svg"), "cannot be written"),
        (("--train", tmp_path / "few.npy", "--stream", good), "40 are needed"),
        (("--train", tmp_path / "wave.npy", "--stream", tmp_path / "wave.npy"), "--rate"),
        (("--train", tmp_path / "wave.npy", "--stream", tmp_path / "wave.npy", "--kind", "features"), "3-D"),
    ):
        result = replay(*arguments)
        assert result.returncode == 2 and message in result.stderr and result.stdout == "", (arguments, result.stderr)


def test_training_on_one_row_over_and_over_fails(good: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "same.npy", np.repeat(spectra(1), 60, 0))
    result = replay("--train", tmp_path / "same.npy", "--stream", good)
    assert result.returncode == 1 and "commissioning failed" in result.stderr and result.stdout == ""


def test_an_array_that_python_2_has_saved_is_read_without_a_word(tmp_path: Path) -> None:
    path = tmp_path / "old.npy"
    values = np.arange(24, dtype=np.float32).reshape(6, 4)
    np.save(path, values)
    # NumPy warns of it; a warning is an error here
    path.write_bytes(path.read_bytes().replace(b"(6, 4), }  ", b"(6L, 4L), }"))
    assert np.array_equal(load(str(path), "features").rows, values)
