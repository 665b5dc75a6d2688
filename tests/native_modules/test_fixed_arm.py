"""The fixed-point core as Cortex-M0+, M4F and M33 execute it: the bits of the C reference, and counts that do not creep up.

Of the Cortex-M0+ cycles are counted, of the others instructions: their emulator, QEMU, knows no cycles.
"""

import ctypes
import itertools
import shutil

import numpy as np
import pytest
from bare import RP2040, CortexM4, CortexM33
from fixed_core import SIZE, Model, Spectrum, build as build_for_this_machine, machine, pointer

from fieldelm_tools import debian

SLACK = 1.03  # another compiler
# of single functions, called with nothing around them; measured with gcc 12.2
COUNTS = {
    "cycles, assembly": {
        "stats 1024": 10_493,
        "power 1024": 82_836,
        "bands 64": 6_549,
        "inputs 64": 1_452,
        "score 64-22": 14_885,
        "learn 64-22": 25_060,
        "inputs 511": 11_084,
        "score 511-22": 89_599,
        "learn 511-22": 109_084,
        "invert 64-22": 1_650_326,
        "explain 64-22": 27_280,
        "predict 64-22": 12_879,
        "invert 511-22": 3_488_123,
        "explain 511-22": 161_461,
        "predict 511-22": 80_228,
    },
    "instructions, DSP": {
        "stats 1024": 3_875,
        "power 1024": 38_269,
        "bands 64": 6_102,
        "inputs 64": 1_307,
        "score 64-22": 7_121,
        "learn 64-22": 10_407,
        "inputs 511": 10_258,
        "score 511-22": 38_039,
        "learn 511-22": 42_899,
        "explain 64-22": 13_441,
        "predict 64-22": 6_071,
        "explain 511-22": 75_641,
        "predict 511-22": 30_986,
    },
}


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    if shutil.which("cc") is None:
        pytest.skip("no C compiler (cc)")
    return build_for_this_machine(tmp_path_factory.mktemp("host"), ["-O2"])


def qemu():
    if debian.program("qemu-system-arm") is None and not debian.install(["qemu-system-arm"]):
        pytest.skip(f"no qemu-system-arm: {debian.install_line(['qemu-system-arm'])}")
    return debian.program("qemu-system-arm")


def emulating(kind, request):
    """The program that emulates a kind of processor."""
    return request.getfixturevalue("node_js") if kind is RP2040 else qemu()


TARGETS = {
    "cycles, assembly": (RP2040, []),
    "cycles, portable C": (RP2040, ["-DFIELDELM_PORTABLE"]),
    "instructions, DSP": (CortexM33, []),
    "instructions, portable C": (CortexM33, ["-DFIELDELM_PORTABLE"]),
    "instructions, Cortex-M4F": (CortexM4, []),
}


@pytest.fixture(scope="module", params=TARGETS)
def bare(request, tmp_path_factory):
    """Start of a list of steps for an emulated processor."""
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("no arm-none-eabi-gcc")
    kind, flags = TARGETS[request.param]
    program = emulating(kind, request)
    elf = kind.build(tmp_path_factory.mktemp("bare"), *flags)

    def start():
        steps = kind(program, elf)
        steps.counts = request.param
        return steps

    return start


SPOILERS = {
    "r4": "movs r4, #1",
    "r11": "mov r11, r0",
    "sp": "sub sp, #8",
    "s16": "vmov s16, r0",
    "s31": "vmov s31, r0",
}


@pytest.mark.parametrize(
    ("kind", "register"),
    [*itertools.product([RP2040, CortexM33], ["r4", "r11", "sp"]), *((CortexM4, name) for name in SPOILERS)],
)
def test_a_function_that_spoils_a_register_is_noticed(tmp_path, kind, register, request):
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("no arm-none-eabi-gcc")
    source = tmp_path / "spoil.S"
    head = ".syntax unified\n.thumb\n.global fieldelm_spoil\n.thumb_func\nfieldelm_spoil:\n"
    source.write_text(f"{head}{SPOILERS[register]}\nbx lr\n")
    steps = kind(emulating(kind, request), kind.build(tmp_path, source))
    steps.call("spoil", 7)
    with pytest.raises(AssertionError, match=f"spoiled {register}"):
        steps.run()


def gate(bare, what, count):
    print(f"{what}: {count:,} {bare.counts}")  # pytest -s shows it
    if bare.counts in COUNTS:
        most = COUNTS[bare.counts][what]
        assert count <= most * SLACK, f"{what}: {count} {bare.counts}, {most} allowed"


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


EQUAL = 1 + np.arange(65) * 512 // 64
WIDTHS = np.cumsum([0, *range(1, 14), 1, 1, 2, 5, 4, 8, 16, 300, 40, 7])


@pytest.mark.parametrize("edges", [EQUAL, WIDTHS], ids=["equal", "of all widths"])
def test_log_bands(library, bare, edges):
    """Sums of 0, of one word and of two."""
    n, edges, expected, steps = len(edges) - 1, edges.astype(np.uint16), [], bare()
    edges_at, out = steps.put(edges), np.zeros(n, np.int32)
    for bits in (0, 3, 20, 32):
        rng = np.random.default_rng(bits)
        power, offset = rng.integers(0, 2**bits, 513).astype(np.uint32), rng.integers(-99999, 99999, n).astype(np.int32)
        power_at, offset_at, out_at = (steps.put(array) for array in (power, offset, out))
        for floor in (0, 1, 2**40 + 3, 2**47 - 1):
            for gain, base in ((11357, 9), (65536, -(2**20)), (0, 0)):
                words = (floor & 0xFFFFFFFF, floor >> 32, gain, base, offset_at, out_at, n)
                steps.call("fixed_bands", power_at, edges_at, *words)
                steps.get(out_at, out)
                wide, last = ctypes.c_uint64(floor), SIZE(n)
                library.fieldelm_fixed_bands(
                    pointer(power), pointer(edges), wide, gain, base, pointer(offset), pointer(out), last
                )
                expected.append(out.copy())
    answers = steps.run()
    assert all((got == exact).all() for got, exact in zip(answers[1::2], expected, strict=True))
    if n == 64:  # 20 bits, floor 1, the first gain
        gate(steps, "bands 64", answers[2 * 3 * (2 * 4 + 1)]["cycles"])


def test_levels(library, bare):
    """The node's bands, as float32."""
    rng, n, steps, expected = np.random.default_rng(1), len(WIDTHS) - 1, bare(), []
    power, edges = rng.integers(0, 2**32, 513).astype(np.uint32), WIDTHS.astype(np.uint16)
    params, center = np.array([0.7, 0.5, -3], np.float32), rng.normal(size=n).astype(np.float32)
    out = np.zeros(n, np.float32)
    at = [steps.put(array) for array in (power, edges, params, center, out)]
    for scale in (-1, 7, 15):
        for centered in (True, False):
            steps.call("fixed_levels", at[0], scale & 0xFFFFFFFF, at[1], at[2], at[3] if centered else 0, at[4], n)
            steps.get(at[4], out)
            less = pointer(center) if centered else None
            library.fieldelm_fixed_levels(
                pointer(power), scale, pointer(edges), pointer(params), less, pointer(out), SIZE(n)
            )
            expected.append(out.copy())
    assert all((got == exact).all() for got, exact in zip(steps.run()[1::2], expected, strict=True))


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
        inputs, score, learn, got_words, got_work, got_scores = answers[6 * i : 6 * i + 6]
        assert learn["result"] == 1
        assert (got_work == work_words).all(), i
        assert (got_words == words).all(), i
        assert (got_scores == scores).all(), i
        if i == 5 and forgetting == 1 and h == 22:
            gate(steps, f"inputs {n}", inputs["cycles"])
            gate(steps, f"score {n}-22", score["cycles"])
            gate(steps, f"learn {n}-22", learn["cycles"])


@pytest.mark.parametrize(("n", "h"), [(64, 22), (511, 22), (7, 4), (33, 21), (100, 64), (1, 1), (1024, 3)])
def test_explained_rows(library, bare, n, h):
    """Every word of explainer, model and work, whatever has been learned; and of rows that damaged words explain."""
    rng = np.random.default_rng(n)
    reference, steps = Model(library, n, h, twin=False), bare()
    reference.invert()
    model, work = steps.put(reference.words * 0), steps.put(reference.work * 0)
    explainer, out, expected = steps.put(reference.explainer * 0), steps.put(reference.out), []
    steps.call("fixed_init", model, n, h, 1, 11, float(2 / np.sqrt(n)), 1.0, 10.0)
    rows = [*machine(4, n, 1), np.zeros(n), np.full(n, 99), 5 * machine(1, n, 2)[0], rng.normal(size=n) * 1e-2]
    places = ((explainer, "explainer"), (model, "words"), (work, "work"), (out, "out"))

    def compare():
        for at, name in places:
            array = getattr(reference, name)
            steps.get(at, array)
            expected.append(array.copy())

    for x in rows:
        x = np.ascontiguousarray(x, np.float32)
        at = steps.put(x)
        steps.call("fixed_invert", model, 0.01, explainer)
        reference.invert()
        steps.call("fixed_input", model, work, at)
        steps.call("fixed_explain", model, work, explainer, out)
        reference.explain(x)
        compare()
        steps.call("fixed_predict", model, work)
        steps.call("fixed_learn", model, work)
        reference.predict()
        assert reference.learn()
        compare()
    for most in (2**31, 2**20, 2**6):
        reference.explainer[:] = rng.integers(-most, most, len(reference.explainer))
        at = steps.put(reference.explainer)
        steps.call("fixed_explain", model, work, at, out)
        reference.explain(rows[-1])
        steps.get(work, reference.work)
        expected.append(reference.work.copy())
    counts, found = {}, []
    for answer in steps.run()[1:]:
        if isinstance(answer, dict):
            counts.setdefault(len(found), []).append(answer["cycles"])
        else:
            found.append(answer)
    assert all((got == exact).all() for got, exact in zip(found, expected, strict=True))
    if h == 22:  # the sixth row
        invert, _, explain = counts[8 * 3]
        if "cycles" in steps.counts:  # more instructions than QEMU's timer can count
            gate(steps, f"invert {n}-22", invert)
        gate(steps, f"explain {n}-22", explain)
        gate(steps, f"predict {n}-22", counts[8 * 3 + 4][0])


ASSEMBLY = ["cycles, assembly", "instructions, DSP", "instructions, Cortex-M4F"]


@pytest.mark.parametrize("bare", ASSEMBLY, indirect=True)
@pytest.mark.parametrize("direction", [1, -1])
def test_weights_of_every_shift(bare, direction):
    """Gains and residuals as large as they may be, with rests that round either way."""
    rng, steps, expected, pairs = np.random.default_rng(3), bare(), [], 3
    for h in (2, 8, 22, 64):
        for down in range(1, 32):
            beta = rng.integers(-(2**30), 2**30, 2 * pairs * h).astype(np.int32)
            k = rng.integers(-(2**15), 2**15 + 1, h).astype(np.int32)
            mantissa = down % 5
            e = rng.integers(-(2**15), 2**15, 2 * pairs).astype(np.int32) << mantissa
            k[:2], e[:2] = (2**15, -(2**15)), (-(2**15) << mantissa, (2**15 - 1) << mantissa)
            at = steps.put(beta)
            steps.call("fast_weights", at, steps.put(k), h, steps.put(e), pairs, mantissa, down, direction)
            steps.get(at, beta)
            products = np.int64(k)[None, :, None] * np.int64(e >> mantissa).reshape(pairs, 1, 2)
            expected.append(beta + direction * (products >> down).reshape(-1))
    for got, exact in zip(steps.run()[1::2], expected, strict=True):
        assert (got == exact).all()


@pytest.mark.parametrize("bare", ASSEMBLY, indirect=True)
@pytest.mark.parametrize("sizes", [(1, 2, 3, 22, 33), (48,)])
def test_downdates_of_every_shift(bare, sizes):
    """Of P's triangle, for an even and an odd number of hidden units; halves are rounded alike."""
    rng, steps, expected = np.random.default_rng(4), bare(), []
    for h in sizes:
        for down in range(2, 31):
            rows, columns = np.tril_indices(h)
            p = rng.integers(-(2**29), 2**29, len(rows)).astype(np.int32)
            s = rng.integers(-(2**15), 2**15 + 1, h).astype(np.int32)
            s[: h // 2] = rng.integers(-1, 2, h // 2) << down // 2  # products that are whole halves
            s[-1] = -(2**15)
            at = steps.put(p)
            steps.call("fast_downdate", at, steps.put(s), h, down, 77)
            steps.get(at, p)
            products = np.int64(s)[rows] * s[columns] + (1 << (down - 1))
            expected.append(p - (products >> down) + 77 * (rows == columns))
    for got, exact in zip(steps.run()[1::2], expected, strict=True):
        assert (got == exact).all()
