"""Years of a node's life: the packed P stays symmetric positive definite, and the weights are those of the
equations."""

import kernels_reference as reference
import numpy as np
import pytest

F = np.float32
N, H, STEPS = 32, 22, 20_000
START = 10.0  # 1 / delta


class Model:
    """The C core, and the same recursion in float64 beside it, with the same activations."""

    def __init__(self, core, forgetting):
        self.core, self.forgetting = core, forgetting
        self.p, self.beta = reference.pack(np.eye(H) * START).astype(F), np.zeros(H * N, F)
        self.p64, self.beta64 = np.eye(H) * START, np.zeros((H, N))
        self.u = np.zeros(H, F)

    def hidden(self, x):
        a = np.zeros(H, F)
        self.core.hidden(x, N, 1, 2 / np.sqrt(N), 1, a, H)
        return a

    def residuals(self, x, a):
        e = np.zeros(N, F)
        self.core.residuals(x, N, a, H, self.beta, e)
        return e

    def learn(self, x, float64=True):
        a = self.hidden(x)
        assert self.core.update(self.p, self.beta, a, H, self.residuals(x, a), N, self.forgetting, self.u)
        if float64:
            a = a.astype(float)
            u = self.p64 @ a
            k = u / (self.forgetting + a @ u)
            self.beta64 += np.outer(k, x - a @ self.beta64)
            self.p64 = (self.p64 - np.outer(k, u)) / self.forgetting
            self.p64 = (self.p64 + self.p64.T) / 2

    def eigenvalues(self):
        return np.linalg.eigvalsh(reference.unpack(self.p, H))

    def errors(self, rows):
        """Mean squared residual of the rows: of the core, and of the float64 recursion."""
        hidden = np.array([self.hidden(x) for x in rows], float)
        return [((rows - hidden @ beta.reshape(H, N)) ** 2).mean() for beta in (self.beta, self.beta64)]


def bands_of_a_machine(count, seed):
    """Log bands of a machine whose load wanders: six patterns of random strength, and noise."""
    rng = np.random.default_rng(seed)
    patterns = np.random.default_rng(99).normal(size=(6, N))
    return (0.3 * rng.normal(size=(count, 6)) @ patterns + 0.1 * rng.normal(size=(count, N))).astype(F)


@pytest.mark.parametrize("forgetting", [1, 0.999, 0.99, 0.97])
def test_p_stays_positive_definite_and_the_weights_true(core, forgetting):
    model = Model(core, forgetting)
    rows = bands_of_a_machine(STEPS, 1)
    for i, x in enumerate(rows):
        model.learn(x)
        if i % 1000 == 999:
            smallest, *_, largest = model.eigenvalues()
            assert smallest > 0
            assert np.isfinite(largest)
    core, float64 = model.errors(bands_of_a_machine(500, 2))
    assert core == pytest.approx(float64, rel=1e-4)
    drift = np.abs(model.beta.reshape(H, N) - model.beta64).max() / np.abs(model.beta64).max()
    assert drift < 1e-4


def test_without_forgetting_the_weights_are_those_of_ridge_regression(core):
    model = Model(core, 1)
    rows = bands_of_a_machine(STEPS, 3)
    for x in rows:
        model.learn(x, float64=False)
    hidden = np.array([model.hidden(x) for x in rows], float)
    model.beta64 = np.linalg.solve(hidden.T @ hidden + np.eye(H) / START, hidden.T @ rows)
    core, ridge = model.errors(bands_of_a_machine(500, 4))
    assert core == pytest.approx(ridge, rel=1e-4)
    assert np.abs(model.beta.reshape(H, N) - model.beta64).max() / np.abs(model.beta64).max() < 1e-3


@pytest.mark.parametrize("forgetting", [0.999, 0.99, 0.9])
def test_a_machine_that_stands_still_does_not_wind_p_up(core, forgetting):
    """Equal rows excite one direction only; forgetting would inflate the others by 1/lambda a row without bound."""
    model = Model(core, forgetting)
    still = bands_of_a_machine(1, 5)[0]
    for _ in range(STEPS):
        model.learn(still, float64=False)
    smallest, *_, largest = model.eigenvalues()
    assert smallest > 0
    assert largest < H * 1e4
    # and it still learns: the machine is switched on again
    rows = bands_of_a_machine(600, 6)
    for x in rows[:300]:
        model.learn(x, float64=False)
    fresh = Model(core, forgetting)
    for x in rows[:300]:
        fresh.learn(x, float64=False)
    assert model.errors(rows[300:])[0] < 1.1 * fresh.errors(rows[300:])[0]
