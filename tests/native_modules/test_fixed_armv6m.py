"""The fixed-point core as a Cortex-M0+ executes it: the bits of the C reference, and cycles that do not creep up."""

import shutil

import numpy as np
import pytest
from bare_rp2040 import Bare, build
from fixed_core import Model, Spectrum, build as build_for_this_machine, machine

from fieldelm_tools.emulator import install
from fieldelm_tools.errors import SetupError

SLACK = 1.03  # another compiler
# of single functions, called with nothing around them; measured with gcc 12.2
CYCLES = {
    "stats 1024": 11_545,
    "power 1024": 89_382,
    "score 64-22": 14_885,
    "learn 64-22": 25_443,
    "score 511-22": 89_599,
    "learn 511-22": 109_467,
}


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    if shutil.which("cc") is None:
        pytest.skip("no C compiler (cc)")
    return build_for_this_machine(tmp_path_factory.mktemp("host"), ["-O2"])


@pytest.fixture(scope="module", params=["assembly", "portable C"])
def bare(request, tmp_path_factory):
    """Start of a list of steps for the emulated processor."""
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("no arm-none-eabi-gcc")
    try:
        install.packages()
        node = install.node()
    except SetupError as error:
        pytest.skip(str(error))
    flags = ["-DFIELDELM_PORTABLE"] if request.param == "portable C" else []
    stem = build(tmp_path_factory.mktemp("bare"), *flags)

    def start():
        steps = Bare(node, stem)
        steps.gated = request.param == "assembly"
        return steps

    return start


def gate(bare, what, cycles):
    if bare.gated:
        assert cycles <= CYCLES[what] * SLACK, f"{what}: {cycles} cycles, {CYCLES[what]} allowed"


@pytest.mark.parametrize(
    ("size", "m", "axes"), [(64, 64, 1), (128, 128, 1), (256, 200, 3), (512, 512, 1), (1024, 1024, 1), (2048, 2048, 1)]
)
def test_power_spectrum(library, bare, size, m, axes):
    rng = np.random.default_rng(size)
    reference, steps = Spectrum(library, size, m, axes), bare()
    table, window = steps.put(reference.table * 0), steps.put(reference.window * 0)
    work, power, stats = steps.put(reference.work), steps.put(reference.raw), steps.put(np.zeros(6, np.int32))
    steps.call("fixed_tables", table, size, window, m)
    steps.get(table, reference.table)
    steps.get(window, reference.window)
    expected = []
    for samples in (
        rng.normal(size=m * axes) * 1000 + 500,
        rng.integers(-32768, 32768, m * axes),
        np.where(np.arange(m * axes) & 1, 32767, -32768),
        30000 - 3.0 * np.arange(m * axes),
        np.zeros(m * axes),
    ):
        samples = np.clip(samples, -32768, 32767).astype(np.int16)
        reference.power(samples, axes - 1)
        s = reference.stats
        expected.append((reference.raw.copy(), [s.sum, s.squares & 0xFFFFFFFF, s.squares >> 32, s.low, s.high]))
        at = steps.put(samples)
        steps.call("fixed_stats", at, axes - 1, axes, m, stats)
        steps.get(stats, np.zeros(6, np.int32))
        steps.call("fixed_power", at, axes - 1, axes, m, window, table, size, stats, work, power)
        steps.get(power, reference.raw)
    _, got_table, got_window, *answers = steps.run()
    assert (got_table == reference.table).all()
    assert (got_window == reference.window).all()
    for i, (raw, numbers) in enumerate(expected):
        stats_call, got_stats, power_call, got_power = answers[4 * i : 4 * i + 4]
        assert (got_power == raw).all()
        assert [*got_stats[[0]], *got_stats[2:4].view(np.uint32), *got_stats[4:6]] == numbers
        if size == 1024 and i == 0:
            gate(steps, "stats 1024", stats_call["cycles"])
            gate(steps, "power 1024", power_call["cycles"])


def test_log_bands(library, bare):
    from fixed_core import SIZE, pointer

    rng = np.random.default_rng(1)
    power = rng.integers(0, 2**32, 513).astype(np.uint32)
    edges = (1 + np.arange(65) * 512 // 64).astype(np.uint16)
    offset, out = rng.integers(-99999, 99999, 64).astype(np.int32), np.zeros(64, np.int32)
    steps = bare()
    addresses = [steps.put(a) for a in (power, edges, offset, out)]
    import ctypes

    library.fieldelm_fixed_bands(
        pointer(power), pointer(edges), ctypes.c_uint64(2**40 + 3), 11357, 9, pointer(offset), pointer(out), SIZE(64)
    )
    steps.call("fixed_bands", addresses[0], addresses[1], 3, 2**8, 11357, 9, addresses[2], addresses[3], 64)
    steps.get(addresses[3], out)
    assert (steps.run()[1] == out).all()


@pytest.mark.parametrize(("n", "h"), [(64, 22), (511, 22), (7, 4), (33, 21), (100, 64), (1, 1)])
@pytest.mark.parametrize("forgetting", [1.0, 0.99])
def test_model(library, bare, n, h, forgetting):
    """Every word of model and work after every row."""
    rng = np.random.default_rng(n)
    reference, steps = Model(library, n, h, forgetting=forgetting, twin=False), bare()
    model, work = steps.put(reference.words * 0), steps.put(reference.work * 0)
    out, weight = steps.put(reference.out), np.exp(rng.normal(size=n)).astype(np.float32)
    steps.call("fixed_init", model, n, h, 1, 11, float(2 / np.sqrt(n)), 1.0, 10.0)
    steps.call("fixed_forget", model, forgetting)
    steps.call("fixed_weights", model, steps.put(weight))
    reference.weights(weight)
    expected = []
    rows = [*machine(6, n, 1), np.zeros(n), np.full(n, 99), np.full(n, -99), np.full(n, -99), *(5 * machine(2, n, 2))]
    for x in rows:
        x = np.ascontiguousarray(x, np.float32)
        steps.call("fixed_input", model, work, steps.put(x))
        steps.call("fixed_score", model, work, out)
        steps.call("fixed_learn", model, work)
        for at, like in ((model, reference.words), (work, reference.work), (out, reference.out)):
            steps.get(at, like)
        reference.score(x)
        assert reference.learn()
        expected.append((reference.words.copy(), reference.work.copy(), reference.out.copy()))
    answers = steps.run()[3:]
    for i, (words, work_words, scores) in enumerate(expected):
        _, score, learn, got_words, got_work, got_scores = answers[6 * i : 6 * i + 6]
        assert learn["result"] == 1
        assert (got_work == work_words).all(), i
        assert (got_words == words).all(), i
        assert (got_scores == scores).all(), i
        if i == 5 and forgetting == 1 and h == 22:
            gate(steps, f"score {n}-22", score["cycles"])
            gate(steps, f"learn {n}-22", learn["cycles"])
