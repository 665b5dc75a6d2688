"""A learner that went over the air, on recordings of a real machine: the same scores and verdicts in less than 5 kB."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import cooling_fan

from fieldelm_tools import environment, rowfile


@pytest.mark.data
@pytest.mark.parametrize("speeds", ["h", "hmlo"])
def test_scores_and_verdicts_on_recordings_stay(recordings, tmp_path, speeds):
    train = cooling_fan.training(recordings, speeds, "noisy")
    streams = {
        "train": train,
        "normal": cooling_fan.at_speed(recordings, "normal", "noisy", speeds[0]),
        "damage": cooling_fan.at_speed(recordings, "damage1", "noisy", speeds[0]),
    }
    paths = {name: str(tmp_path / f"{name}.rows") for name in streams}
    for name, rows in streams.items():
        rowfile.write(Path(paths[name]), rows, kind="spectrum")
    held_back = len(train) // 5
    job = tmp_path / "job.json"
    sense = {"kind": "spectrum", "inputs": 511, "bands": 64, "band_low_hz": 0, "band_high_hz": 0}
    learn = {
        "hidden": 22,
        "seed": 1,
        "policy": "auto",
        "train_rows": len(train) - held_back,
        "calibration_rows": held_back,
    }
    job.write_text(
        json.dumps(
            {"sense": sense, "learn": learn, "train": paths["train"], "test": [paths["normal"], paths["damage"]]}
        )
    )
    result = subprocess.run(
        [
            *environment.micropython_command(),
            "-X",
            "heapsize=2M",
            str(Path(__file__).with_name("run_twin.py")),
            str(job),
        ],
        env=environment.micropython_environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads(result.stdout)
    print(speeds, found)
    assert found["bytes"] <= 5120
    assert found["worst"] <= 0.02
    assert found["verdicts"] == found["events"] == 0
