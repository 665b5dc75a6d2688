"""The model on MicroPython against float64 NumPy."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fieldelm import defaults
from fieldelm_tools import environment

ERROR = {"fixed": 3e-3, "float": 1e-3}  # of a residual, by the largest input
SCRIPT = Path(__file__).with_name("run_ridge.py")


Numbers = NDArray[np.float64]


def learned(kind: str, n: int, h: int, rows: int, delta: float, *, explained: bool) -> tuple[Numbers, ...]:
    """Rows, hidden activations of each as it was learned; residuals and scores once all are."""
    if kind == "fixed" and environment.micropython().kernels == "python":
        pytest.skip("this MicroPython has no native kernels")
    random = np.random.default_rng(n)
    x = (random.normal(size=(rows, 3)) @ random.normal(size=(3, n)) + 0.3 * random.normal(size=(rows, n))).astype(
        np.float32
    )
    text = "\n".join(" ".join(repr(float(v)) for v in row) for row in x) + "\n"
    result = subprocess.run(
        [*environment.micropython_command(), str(SCRIPT), kind, str(h), "7", str(delta), "yes" if explained else "no"],
        input=text,
        env=environment.micropython_environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    before, after = result.stdout.split("residuals\n")
    hidden = np.array([[float(v) for v in line.split()] for line in before.splitlines()])
    found = np.array([[float(v) for v in line.split()] for line in after.splitlines()])
    assert hidden.shape == (rows, h) and found.shape == (rows, n + 1)
    return x.astype(np.float64), hidden, found[:, :n], found[:, n]


@pytest.mark.parametrize("kind", ["fixed", "float"])
@pytest.mark.parametrize(("n", "h", "rows", "delta"), [(64, 22, 400, 0.1), (8, 16, 5, 0.01), (1, 1, 50, 1.0)])
def test_learning_row_by_row_is_ridge_regression(kind: str, n: int, h: int, rows: int, delta: float) -> None:
    x, hidden, residuals, _ = learned(kind, n, h, rows, delta, explained=False)
    exact = np.linalg.solve(hidden.T @ hidden + delta * np.eye(h), hidden.T @ x)
    assert np.abs(residuals - (x - hidden @ exact)).max() < ERROR[kind] * np.abs(x).max()


@pytest.mark.parametrize("kind", ["fixed", "float"])
@pytest.mark.parametrize(("n", "h", "rows"), [(64, 22, 400), (9, 6, 60), (3, 2, 60), (64, 22, 10)])
def test_residuals_are_what_the_best_explanation_of_a_row_leaves_over(kind: str, n: int, h: int, rows: int) -> None:
    x, hidden, residuals, scores = learned(kind, n, h, rows, 0.1, explained=True)
    p = np.linalg.inv(hidden.T @ hidden + 0.1 * np.eye(h))
    beta = p @ hidden.T @ x
    c = np.linalg.solve(beta @ beta.T + defaults.VARIANCE_FLOOR**2 * rows * p, beta @ x.T).T
    exact = x - c @ beta
    assert np.abs(residuals - exact).max() < 3 * ERROR[kind] * np.abs(x).max()
    squares = exact**2
    expected = squares.mean(1) + defaults.WORST_WEIGHT * squares.max(1)
    assert np.abs(scores - expected).max() < 0.03 * expected.mean() + (ERROR[kind] * np.abs(x).max()) ** 2
