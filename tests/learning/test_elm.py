"""The model on MicroPython against float64 NumPy."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from fieldelm_tools import environment

ERROR = {"fixed": 3e-3, "float": 1e-3}  # of a residual, by the largest input
SCRIPT = Path(__file__).with_name("run_ridge.py")


@pytest.mark.parametrize("kind", ["fixed", "float"])
@pytest.mark.parametrize(("n", "h", "rows", "delta"), [(64, 22, 400, 0.1), (8, 16, 5, 0.01), (1, 1, 50, 1.0)])
def test_learning_row_by_row_is_ridge_regression(kind: str, n: int, h: int, rows: int, delta: float) -> None:
    if kind == "fixed" and environment.micropython().kernels == "python":
        pytest.skip("this MicroPython has no native kernels")
    random = np.random.default_rng(n)
    x = (random.normal(size=(rows, 3)) @ random.normal(size=(3, n)) + 0.3 * random.normal(size=(rows, n))).astype(
        np.float32
    )
    text = "\n".join(" ".join(repr(float(v)) for v in row) for row in x) + "\n"
    result = subprocess.run(
        [*environment.micropython_command(), str(SCRIPT), kind, str(h), "7", str(delta)],
        input=text,
        env=environment.micropython_environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    before, after = result.stdout.split("residuals\n")
    hidden = np.array([[float(v) for v in line.split()] for line in before.splitlines()])
    residuals = np.array([[float(v) for v in line.split()] for line in after.splitlines()])
    assert hidden.shape == (rows, h) and residuals.shape == (rows, n)
    exact = np.linalg.solve(hidden.T @ hidden + delta * np.eye(h), hidden.T @ x.astype(np.float64))
    assert np.abs(residuals - (x - hidden @ exact)).max() < ERROR[kind] * np.abs(x).max()
