"""The cooling-fan recordings as the tests use them: which rows are which, and the figures of a task.

Confound, named wherever these figures are shown: damage was recorded hours after the normal runs, and a change of session alone
separates with an AUC of 0.83 to 0.96, so part of every damage AUC is the session.
"""

import functools
import json
import subprocess
from pathlib import Path

import numpy as np

from fieldelm_tools import environment, recordings, rowfile

SPEEDS = "hmlo"
STARTS, ENDS = (
    (3, 62, 121, 180),
    (56, 115, 174, 232),
)  # rows of one speed in a sweep, three left out on either side of a change
HERE = Path(__file__).parent


@functools.cache
def spectra(folder: Path, name: str) -> np.ndarray:
    return recordings.load(str(folder / "cooling-fan" / f"{name}.zip")).rows


def at_speed(folder: Path, kind: str, environment_: str, speed: str, runs: tuple[int, ...] = (1, 2)) -> np.ndarray:
    """Rows of one speed (h, m, l, o) of the sweeps."""
    i = SPEEDS.index(speed)
    end = 235 if speed == "o" else ENDS[i]
    return np.concatenate([spectra(folder, f"12cm_hmlo_{kind}_{environment_}_{run}")[STARTS[i] : end] for run in runs])


def training(folder: Path, speeds: str, environment_: str) -> np.ndarray:
    """Rows of the recordings at constant speed, taken in turn from each."""
    return np.stack([spectra(folder, f"12cm_{s}_normal_{environment_}") for s in speeds], 1).reshape(-1, 511)


def tasks(folder: Path) -> list[tuple[str, str, np.ndarray, np.ndarray]]:
    """Name, speeds to train on, normal rows and anomalous rows, all beside the ventilation fan."""
    normal = {s: at_speed(folder, "normal", "noisy", s) for s in SPEEDS}
    found = []
    for s in SPEEDS:
        found.append((f"speed-{s}", s, normal[s], np.concatenate([normal[t] for t in SPEEDS if t != s])))
    for k in (1, 2):
        for name, speeds in (("spin", "hml"), ("all", "hmlo")):
            bad = np.concatenate([at_speed(folder, f"damage{k}", "noisy", s) for s in speeds])
            found.append((f"damage{k}-{name}", speeds, np.concatenate([normal[s] for s in speeds]), bad))
    return found


def scores(folder: Path, train: np.ndarray, tests: list[np.ndarray], seed: int = 1) -> tuple[float, list[np.ndarray]]:
    """Threshold and scores of the node's code: 80 % of `train` trains, 20 % calibrates."""
    held_back = len(train) // 5
    files = []
    for number, rows in enumerate([train, *tests]):
        files.append(str(folder / f"{number}.rows"))
        rowfile.write(Path(files[-1]), rows, kind="spectrum")
    sense = {"kind": "spectrum", "inputs": 511, "bands": 64, "band_low_hz": 0, "band_high_hz": 0}
    learn = {
        "hidden": 22,
        "seed": seed,
        "policy": "auto",
        "train_rows": len(train) - held_back,
        "calibration_rows": held_back,
    }
    job = folder / "job.json"
    job.write_text(json.dumps({"sense": sense, "learn": learn, "train": files[0], "test": files[1:]}))
    result = subprocess.run(
        [*environment.micropython_command(), str(HERE / "run_scores.py"), str(job)],
        env=environment.micropython_environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    threshold, *values = [float(line) for line in result.stdout.split()]
    return threshold, np.split(np.array(values), np.cumsum([len(rows) for rows in tests])[:-1])


def auc(normal: np.ndarray, bad: np.ndarray) -> float:
    """Chance that an anomalous row scores higher than a normal one."""
    ordered = np.sort(normal)
    below = np.searchsorted(ordered, bad, "left") + np.searchsorted(ordered, bad, "right")
    return float(below.mean() / 2 / len(normal))


def figures(threshold: float, normal: np.ndarray, bad: np.ndarray) -> tuple[float, float, float]:
    """AUC, balanced accuracy and false-alarm rate at the threshold."""
    false = float((normal > threshold).mean())
    return auc(normal, bad), (float((bad > threshold).mean()) + 1 - false) / 2, false
