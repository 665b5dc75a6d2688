"""Run scripts of this folder on MicroPython, with the simulated board on its path."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldelm_tools import environment

HERE = Path(__file__).parent
RATE_HZ = 1600
SAMPLES = 1024


def run(script: str, *arguments: str, cwd: Path, code: int = 0, heap: str = "192k") -> str:
    """What a script of this folder prints."""
    command = [*environment.micropython_command(), "-X", f"heapsize={heap}", str(HERE / script), *arguments]
    done = subprocess.run(
        command, cwd=cwd, env=environment.micropython_environment("sim"), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def configuration(**options: Any) -> dict[str, Any]:
    return {
        "board": "sim",
        "eui": "0200000000000001",
        "sense": {"kind": "waveform", "rate_hz": RATE_HZ, "samples": SAMPLES},
        "radio": {"freq_khz": 868100, "sf": 9, "bw": "125", "coding_rate": 5, "preamble_len": 8, "output_power": 14},
        "options": options,
    }


class Capture:
    """Windows that the sensor gave: ``g`` (windows, samples, axes), ``counts``, ``begin_s`` and ``end_s`` by window."""

    def __init__(self, folder: Path, count: int, period_s: float, config: dict[str, Any]):
        (folder / "config.json").write_text(json.dumps(config))
        said = run("mp_capture.py", str(count), str(period_s), cwd=folder)
        self.said: dict[str, Any] = json.loads(said)
        counts = np.frombuffer((folder / "windows").read_bytes(), dtype="<i2")
        self.counts: NDArray[np.int16] = counts.reshape(-1, SAMPLES, self.said["axes"])
        self.g = self.counts * float(self.said["g_per_count"])
        self.begin_s = [row[0] for row in self.said["rows"]]
        self.end_s = [row[1] for row in self.said["rows"]]
        self.dead = [row[2] for row in self.said["rows"]]

    def vibration(self, axis: int = 0) -> NDArray[np.float64]:
        """Windows of one axis in g, without their mean."""
        x = self.g[:, :, axis]
        return np.asarray(x - x.mean(axis=1, keepdims=True))

    def rms(self, axis: int = 0) -> float:
        return float(np.sqrt(np.mean(self.vibration(axis) ** 2)))

    def tone(self, hz: float, axis: int = 0, width_hz: float = 3.0) -> float:
        """Peak amplitude in g of a sine about there, from the power within +-width of a Hann spectrum."""
        window = np.hanning(SAMPLES)
        spectrum = np.abs(np.fft.rfft(self.vibration(axis) * window)) ** 2
        bins = np.fft.rfftfreq(SAMPLES, 1 / RATE_HZ)
        power = spectrum[:, np.abs(bins - hz) <= width_hz].sum(axis=1).mean()
        return float(np.sqrt(4 * power / SAMPLES / (window**2).sum()))

    def floor(self, low_hz: float, high_hz: float, axis: int = 0) -> float:
        """Mean power between two frequencies, in arbitrary units."""
        spectrum = np.abs(np.fft.rfft(self.vibration(axis) * np.hanning(SAMPLES))) ** 2
        bins = np.fft.rfftfreq(SAMPLES, 1 / RATE_HZ)
        return float(spectrum[:, (bins >= low_hz) & (bins < high_hz)].mean())


def capture(folder: Path, *, windows: int = 8, period_s: float = 10.0, **options: Any) -> Capture:
    """Windows of the sensor with these options of the board."""
    return Capture(folder, windows, period_s, configuration(**options))
