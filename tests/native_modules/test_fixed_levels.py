"""Sums over axes, velocity and levels in fixed point against float64, for any words of power."""

import ctypes
import itertools
import os
import shutil

import numpy as np
import pytest
from fixed_core import SIZE, Stats, build, pointer

I32, FLOAT = ctypes.c_int32, ctypes.c_float


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    if shutil.which("cc") is None:
        pytest.skip("no C compiler (cc)")
    flags = os.environ.get("FIELDELM_CORE_FLAGS", "-O2 -fsanitize=undefined -fno-sanitize-recover=all")
    loaded = build(tmp_path_factory.mktemp("levels"), flags.split())
    loaded.fieldelm_fixed_velocity.restype = FLOAT
    return loaded


def words(random, bins, bits):
    shifts = random.integers(32 - bits, 33, bins, dtype=np.uint64)
    return (random.integers(0, 2**32, bins, dtype=np.uint64) >> shifts).astype(np.uint32)


def full(bins):
    return np.full(bins, 2**32 - 1, np.uint32)


def test_sums_have_the_finest_scale_that_holds_them(library):
    random = np.random.default_rng(1)
    cases = [(full(33), full(33)), (full(513), np.zeros(513, np.uint32))]
    cases += [(words(random, 513, a), words(random, 513, b)) for a in (4, 16, 30, 31, 32) for b in (4, 31, 32)]
    for total, power in cases:
        for one in (-2, -1, 0, 7, 15):
            for other in (-2, 0, 3, 15):
                exact = total * 4.0**-one + power * 4.0**-other
                ours = total.copy()
                scale = library.fieldelm_fixed_add(
                    pointer(ours), I32(one), pointer(power), I32(other), SIZE(len(power))
                )
                assert min(one, other) - 1 <= scale <= min(one, other)
                assert np.abs(ours * 4.0**-scale - exact).max() <= 1.5 * 4.0**-scale
                if scale < min(one, other):
                    assert exact.max() * 4.0 ** min(one, other) >= 2**31


@pytest.mark.parametrize("bins", [33, 513, 2049])
def test_velocity(library, bins):
    random = np.random.default_rng(bins)
    k = np.arange(1, bins)
    for power in [full(bins), np.zeros(bins, np.uint32), *(words(random, bins, bits) for bits in (3, 12, 25, 32))]:
        for first, last in (
            (1, bins - 1),
            (1, 1),
            (2, 9),
            (7, bins // 2),
            (bins // 2, bins - 1),
            (bins - 1, bins - 1),
            (9, 8),
        ):
            for scale in (-2, 0, 15):
                ours = library.fieldelm_fixed_velocity(
                    pointer(power), I32(scale), SIZE(first), SIZE(last + 1), FLOAT(0.5)
                )
                terms = power[first : last + 1] / k[first - 1 : last].astype(float) ** 2
                exact = 0.5 * np.sqrt(2.0**22 * 4.0**-scale * terms.sum())
                # a bin is rounded down to 2^-22 of its octave's weight
                rounding = 0.5 * np.sqrt(4.0**-scale * 4 * len(terms)) if len(terms) else 0
                assert abs(ours - exact) <= 3e-4 * exact + rounding * 2048 / max(first, 1), (first, last, ours, exact)


def test_every_bin_alone(library):
    power = np.zeros(2049, np.uint32)
    for k in range(1, 2049):
        power[:] = 0
        power[k] = 2**32 - 1
        ours = library.fieldelm_fixed_velocity(pointer(power), I32(0), SIZE(1), SIZE(2049), FLOAT(1.0))
        exact = 2**11 * np.sqrt(2.0**32 - 1) / k
        assert abs(ours / exact - 1) < 3e-4, (k, ours / exact)


def test_levels(library):
    random = np.random.default_rng(3)
    edges = np.array([0, 1, 3, 4, 12, 20, 100, 101, 513], np.uint16)
    center = random.normal(size=8).astype(np.float32)
    for power in [full(513), *(words(random, 513, bits) | np.uint32(1) for bits in (4, 20, 32))]:
        for scale in (-2, 0, 15):
            for floor in (0.0, 1e-9, 0.3, 1e9, 1e30):
                for gain in (0.5, 1.0):
                    params, out = np.array([floor, gain, -3.25], np.float32), np.zeros(8, np.float32)
                    library.fieldelm_fixed_levels(
                        *(pointer(power), I32(scale), pointer(edges), pointer(params), pointer(center), pointer(out)),
                        SIZE(8),
                    )
                    means = np.array([power[a:b].mean() for a, b in itertools.pairwise(edges)])
                    units = min(float(params[0]) * 4.0**scale, (2.0**24 - 1) * 2.0**23)
                    units = np.floor(units)
                    exact = gain * np.log((means + units) * 4.0**-scale) - 3.25 - center
                    assert np.abs(out - exact).max() < 1.5e-4 * gain + 1e-6, (scale, floor, gain)


def test_moments(library):
    random = np.random.default_rng(4)
    for samples in (
        random.integers(-32768, 32768, 1000),
        np.full(32768, -32768),
        np.array([-32768, 32767] * 16384),
        random.integers(16380, 16383, 1024),  # a large offset costs the variance nothing
        np.array([5]),
    ):
        x, stats, out = samples.astype(np.int16), Stats(), np.zeros(4, np.float32)
        library.fieldelm_fixed_stats(pointer(x), SIZE(0), SIZE(1), SIZE(len(x)), ctypes.byref(stats))
        library.fieldelm_fixed_moments(ctypes.byref(stats), SIZE(len(x)), pointer(out))
        exact = np.array([samples.mean(), samples.var(), samples.min(), samples.max()])
        assert np.abs(out - exact).max() <= 3e-7 * np.abs(exact).max()
        assert abs(out[1] - exact[1]) <= 5e-7 * exact[1]
