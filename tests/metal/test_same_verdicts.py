"""The same learner on the Unix port (double floats) and in the Pico's firmware (single floats) says the same of one stream."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest
from emulated import NODE

from fieldelm import config as node_config
from fieldelm_tools import environment, replay, rowfile
from fieldelm_tools.device import Device
from fieldelm_tools.recordings import load

pytestmark = pytest.mark.timeout(600)
RATE_HZ = 400
PATIENCE_S = 120.0
AT_FULL_SPEED = "hmlo_damage1_silentA_1"  # rows 3 to 55


def _windows(seed, count, parts, samples=128):
    """Windows of a machine: (axis, Hz, counts) and noise, as int16 counts of three axes."""
    random = np.random.default_rng(seed)
    time = (np.arange(count * samples) / RATE_HZ).reshape(count, samples, 1)
    signal = 8 * random.standard_normal((count, samples, 3))
    for axis, hz, counts in parts:
        signal[:, :, axis : axis + 1] += counts * np.sin(2 * np.pi * hz * time + random.uniform(0, 2 * np.pi))
    return np.round(signal).astype(np.int16)


def _simulated():
    healthy = [(0, 24.6, 60), (1, 24.6, 50), (2, 172.0, 40)]
    damaged = [(0, 24.6, 90), (1, 49.2, 60), (2, 98.4, 45), (2, 172.0, 20)]
    stream = [_windows(2, 12, healthy), _windows(3, 12, damaged)]
    return _windows(1, 36, healthy), np.concatenate(stream), "waveform"


def _job(folder, commissioned, stream, kind):
    """What `fieldelm replay` hands to its script: row files and a job, their paths relative to the folder."""
    files = {}
    for number, rows in enumerate((commissioned, stream)):
        path = folder / f"{number}.rows"
        scale = {"full_scale": 4096, "g_per_count": 0.004} if kind == "waveform" else {}
        header = rowfile.write(path, rows, kind=kind, rate_hz=RATE_HZ if kind == "waveform" else 0.0, **scale)
        files[path.name] = path.read_bytes()
    length = {"samples": header.columns // header.axes} if kind == "waveform" else {"inputs": header.columns}
    sense = {"kind": kind, "bands": 32, **length}
    learn = {"train_rows": len(commissioned) - 12, "calibration_rows": 12}
    checked = node_config.check({**NODE, "sense": sense, "learn": learn})
    job = {
        "config": {key: checked[key] for key in ("sense", "learn")},
        "period_ms": 2000,
        "files": [{"path": name, "stream": number - 1 if number else None} for number, name in enumerate(files)],
    }
    files["job.json"] = json.dumps(job).encode()
    (folder / "job.json").write_bytes(files["job.json"])
    return files


def _here(folder):
    command = [*environment.micropython_command(), "-X", "heapsize=1m", str(replay.NODE), "job.json"]
    variables = environment.micropython_environment("sim")
    result = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stderr
    return result.stdout


def _there(emulator, files):
    with Device(emulator.address("node")) as device:
        device.put(files)
        script = replay.NODE.read_text().replace("main(sys.argv[1])", 'main("job.json")')
        return device.run(script, patience_s=PATIENCE_S)


def _same(emulator, folder, commissioned, stream, kind):
    files = _job(folder, commissioned, stream, kind)
    here, there = (
        [json.loads(line) for line in said.splitlines()] for said in (_here(folder), _there(emulator, files))
    )
    rows = [line for line in here if "row" in line]
    assert len([row for row in rows if row["stream"] == 0]) == len(stream)
    decisions = ("stream", "row", "state", "verdict", "learned", "event")
    assert [[row[key] for key in decisions] for row in rows] == [
        [row[key] for key in decisions] for row in there if "row" in row
    ]
    for one, other in zip(here, there, strict=True):
        for key in ("score", "threshold"):
            if one.get(key) is not None:
                assert other[key] == pytest.approx(one[key], rel=0.01), (one, other)
    return rows


def test_windows_of_a_machine_that_breaks(emulate, tmp_path):
    emulator = emulate({"name": "node"})
    rows = _same(emulator, tmp_path, *_simulated())
    assert [row["event"] for row in rows if row["event"]] == ["commissioned", "machine_alarm"]
    assert {row["verdict"] for row in rows} >= {"normal", "anomaly"}


@pytest.mark.data
def test_recorded_spectra_of_a_fan_whose_blade_gets_holes(emulate, tmp_path, recordings):
    folder = recordings / "cooling-fan"
    sound, damaged = (load(str(folder / f"12cm_{name}.zip")).rows for name in ("h_normal_silentA", AT_FULL_SPEED))
    stream = np.concatenate([sound[40:50], damaged[3:17]])
    rows = _same(emulate({"name": "node"}), tmp_path, sound[:40], stream, "spectrum")
    assert "machine_alarm" in [row["event"] for row in rows]
