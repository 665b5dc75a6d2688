"""The C core against float64, over random shapes and the edges of its domain."""

import kernels_reference as reference
import numpy as np
import pytest

F = np.float32
SHAPES = [(1, 1), (2, 1), (5, 3), (16, 7), (17, 22), (64, 22), (64, 64), (511, 22)]  # inputs, hidden units


def zeros(*shape):
    return np.zeros(shape, F)


def largest_error(got, expected):
    """Largest difference, in units of the largest expected number."""
    expected = np.asarray(expected, float)
    scale = np.abs(expected).max()
    return np.abs(np.asarray(got, float) - expected).max() / (scale if scale > 0 else 1)


@pytest.fixture
def rng():
    return np.random.default_rng(1)


# ---- maths


def test_exponential(core, rng):
    for x in np.concatenate([rng.uniform(-87, 87, 5000), rng.uniform(-1, 1, 1000), [0, 87, -87]]).astype(F):
        assert core.exp(x) == pytest.approx(np.exp(float(x)), rel=1.5e-7)
    assert core.exp(1e9) == core.exp(87)
    assert core.exp(-np.inf) == core.exp(-87)
    assert np.isnan(core.exp(np.nan))


def test_logarithm(core, rng):
    numbers = np.concatenate([2 ** rng.uniform(-100, 128, 5000), rng.uniform(0.5, 2, 1000), [1, 3.4e38]]).astype(F)
    for x in numbers:
        expected = np.log(float(x))
        assert abs(core.log(x) - expected) <= 1e-7 + 1e-7 * abs(expected)
    assert core.log(1) == 0
    assert core.log(0) == pytest.approx(-100 * np.log(2), rel=1e-7)
    assert core.log(-5) == core.log(-np.inf) == core.log(1e-40) == core.log(0)
    assert core.log(np.inf) == np.inf
    assert np.isnan(core.log(np.nan))


def test_square_root(core, rng):
    for x in np.concatenate([2 ** rng.uniform(-126, 128, 5000), [1, 2, 4, 3.4e38]]).astype(F):
        assert core.sqrt(x) == pytest.approx(np.sqrt(float(x)), rel=1.5e-7)
    assert core.sqrt(0) == core.sqrt(-1) == 0
    assert core.sqrt(np.inf) == np.inf
    assert np.isnan(core.sqrt(np.nan))


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 200, 1000, 1024, 2**28])
def test_turn(core, n):
    c, s = zeros(1), zeros(1)
    for i in sorted({k * n // 1000 for k in range(1000)}):
        core.turn(i, n, c, s)
        angle = 2 * np.pi * i / n
        assert abs(c[0] - np.cos(angle)) < 1e-7
        assert abs(s[0] - np.sin(angle)) < 1e-7
    for quarter, expected in enumerate([(1, 0), (0, 1), (-1, 0), (0, -1)]):
        core.turn(quarter, 4, c, s)
        assert (c[0], s[0]) == expected


# ---- spectrum


@pytest.mark.parametrize(
    ("size", "m", "axes"),
    [(4, 1, 1), (4, 4, 2), (8, 5, 3), (64, 64, 1), (256, 200, 3), (1024, 1000, 3), (4096, 4096, 1)],
)
def test_power_spectrum(core, rng, size, m, axes):
    twiddle, window = zeros(size), zeros(m)
    core.fft_tables(twiddle, size, window, m)
    expected_twiddle, expected_window = reference.fft_tables(size, m)
    assert largest_error(twiddle, expected_twiddle) < 1e-7
    assert largest_error(window, expected_window) < 2e-7
    signals = [
        rng.integers(-32768, 32768, m * axes),
        rng.normal(800, 3, m * axes).round(),
        np.where(rng.random(m * axes) < 0.5, -32768, 32767),
        20000 * np.sin(2 * np.pi * 0.123 * np.arange(m * axes)),
    ]
    for signal in signals:
        samples = signal.astype(np.int16)
        channel = int(rng.integers(axes))
        work, power, stats = zeros(size + 2), zeros(size // 2 + 1), zeros(4)
        core.power_spectrum(samples, channel, axes, window, m, twiddle, size, work, power, stats)
        bins, expected, expected_stats = reference.power_spectrum(samples, channel, axes, window, size)
        assert largest_error(work, np.stack([bins.real, bins.imag], 1).ravel()) < 1e-6
        assert largest_error(power, expected) < 1e-6
        np.testing.assert_allclose(stats, expected_stats, rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize("count", [-32768, -1, 0, 32767])
def test_a_constant_has_no_spectrum(core, count):
    twiddle, window = zeros(64), zeros(50)
    core.fft_tables(twiddle, 64, window, 50)
    work, power, stats = zeros(66), np.ones(33, F), zeros(4)
    core.power_spectrum(np.full(50, count, np.int16), 0, 1, window, 50, twiddle, 64, work, power, stats)
    assert not power.any()
    assert stats.tolist() == [count, 0, count, count]


def test_a_tone_appears_at_its_bin_with_its_variance(core):
    size = 1024
    twiddle, window = zeros(size), zeros(size)
    core.fft_tables(twiddle, size, window, size)
    samples = (10000 * np.cos(2 * np.pi * 100 * np.arange(size) / size)).round().astype(np.int16)
    work, power, stats = zeros(size + 2), zeros(size // 2 + 1), zeros(4)
    core.power_spectrum(samples, 0, 1, window, size, twiddle, size, work, power, stats)
    assert power.argmax() == 100
    assert power.sum() == pytest.approx(10000**2 / 2, rel=1e-5)
    assert power[99:102].sum() == pytest.approx(power.sum(), rel=1e-6)


def test_velocity_of_a_known_vibration(core):
    power = zeros(513)
    power[80] = 0.5 * 400**2  # a sine of 400 counts at 80 bins of 0.625 Hz = 50 Hz
    scale = 9.80665 * 0.0039  # 3.9 mg per count
    expected = 1000 * 400 * scale / (2 * np.pi * 50) / np.sqrt(2)
    assert core.velocity(power, 513, 0.625, 10, 1000, scale) == pytest.approx(expected, rel=1e-6)
    assert core.velocity(power, 513, 0.625, 51, 1000, scale) == 0
    assert core.velocity(power, 513, 0.625, 10, 49, scale) == 0


def test_velocity_against_float64(core, rng):
    for _ in range(50):
        length = int(rng.integers(2, 600))
        power, params = rng.exponential(50, length).astype(F), np.array([rng.uniform(0.1, 4), 10, 1000, 0.04], F)
        expected = reference.velocity(power, params)
        assert core.velocity(power, length, *params) == pytest.approx(expected, rel=1e-5, abs=1e-30)


def test_accumulate(core, rng):
    total, power = rng.random(33).astype(F), rng.random(33).astype(F)
    expected = total + power
    core.accumulate(total, power, 33)
    np.testing.assert_array_equal(total, expected)


def test_bands(core, rng):
    for _ in range(50):
        length = int(rng.integers(1, 513))
        n = int(rng.integers(1, min(length, 64) + 1))
        edges = np.sort(rng.choice(length + 1, n + 1, replace=False)).astype(np.uint16)
        values = np.exp(rng.uniform(-40, 40, length)).astype(F)
        params, out = np.array([rng.choice([0, 0.02]), 0.25, 1], F), zeros(n)
        assert core.edges_valid(edges, n, length)
        core.bands(values, edges, *params, out, n)
        np.testing.assert_allclose(out, reference.bands(values, edges, params), rtol=1e-6, atol=1e-6)


def test_edges_must_rise_within_the_spectrum(core):
    for edges, valid in [
        ([0, 1, 33], True),
        ([5, 6, 7], True),
        ([0, 0, 3], False),
        ([2, 1, 3], False),
        ([0, 1, 34], False),
    ]:
        assert core.edges_valid(np.array(edges, np.uint16), 2, 33) is valid


# ---- autoencoder


@pytest.mark.parametrize(("n", "h"), SHAPES)
def test_hidden(core, rng, n, h):
    for seed in (0, 1, 0x9E3779B9, 0xFFFFFFFF, int(rng.integers(2**32))):
        x, params, a = rng.normal(1, 0.5, n).astype(F), np.array([2 / np.sqrt(n), 1], F), zeros(h)
        core.hidden(x, n, seed, *params, a, h)
        assert largest_error(a, reference.hidden(x, seed, params, h)) < 1e-6


def test_hidden_units_saturate_and_keep_what_is_no_number(core):
    a, x = zeros(8), np.array([1e30, 1, 1], F)
    core.hidden(x, 3, 1, 1, 1, a, 8)
    assert set(np.round(a).tolist()) == {0, 1}
    assert ((a >= 0) & (a <= 1)).all()
    x[1] = np.nan
    core.hidden(x, 3, 1, 1, 1, a, 8)
    assert np.isnan(a).all()


@pytest.mark.parametrize(("n", "h"), SHAPES)
def test_residuals(core, rng, n, h):
    x, a, beta, e = rng.normal(size=n).astype(F), rng.random(h).astype(F), rng.normal(size=h * n).astype(F), zeros(n)
    core.residuals(x, n, a, h, beta, e)
    expected = reference.residuals(x, a, beta)
    assert largest_error(e, expected) < 1e-6
    core.residuals(x, n, a, h, beta, x)  # in place
    np.testing.assert_array_equal(x, e)


@pytest.mark.parametrize("n", [1, 2, 3, 64, 511])
def test_score(core, rng, n):
    for weight in (np.ones(n, F), rng.uniform(0.1, 100, n).astype(F)):
        for e in (rng.normal(size=n).astype(F), zeros(n), np.ones(n, F), rng.integers(-2, 3, n).astype(F)):
            out = zeros(5)
            core.score(e, weight, n, out)
            np.testing.assert_allclose(out, reference.score(e, weight), rtol=2e-6)


@pytest.mark.parametrize("forgetting", [1, 0.999, 0.9])
@pytest.mark.parametrize(("n", "h"), SHAPES)
def test_update(core, rng, n, h, forgetting):
    root = rng.normal(size=(h, h))
    p, beta = reference.pack(root @ root.T / h + np.eye(h)).astype(F), rng.normal(size=h * n).astype(F)
    a, e, u = rng.random(h).astype(F), rng.normal(size=n).astype(F), zeros(h)
    expected_p, expected_beta, _ = reference.update(p, beta, a, e, float(F(forgetting)))
    assert core.update(p, beta, a, h, e, n, forgetting, u) is True
    assert largest_error(p, expected_p) < 2e-6
    assert largest_error(beta, expected_beta) < 2e-6


SPOILS = ["residual", "infinite residual", "huge residual", "activation", "P", "not positive"]


@pytest.mark.parametrize("spoil", SPOILS)
def test_update_refuses_what_would_spoil_the_model(core, rng, spoil):
    n, h = 5, 4
    p, beta = reference.pack(np.eye(h)).astype(F), rng.normal(size=h * n).astype(F)
    a, e, u = rng.random(h).astype(F), rng.normal(size=n).astype(F), zeros(h)
    match spoil:
        case "residual":
            e[3] = np.nan
        case "infinite residual":
            e[4] = -np.inf
        case "huge residual":
            e[0] = 1e16
        case "activation":
            a[2] = np.nan
        case "P":
            p[9] = np.inf
        case "not positive":
            p[:] = -100 * p
    before = p.copy(), beta.copy()
    assert core.update(p, beta, a, h, e, n, 1, u) is False
    np.testing.assert_array_equal(p, before[0])
    np.testing.assert_array_equal(beta, before[1])
