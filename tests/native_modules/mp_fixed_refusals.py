"""Runs on MicroPython: calls of the fixed-point kernels with one wrong argument each; prints `<argument>: <exception>`."""

from array import array

import fieldelm_native as kernels


def ints(count):
    return array("i", bytes(4 * count))


def floats(count, value=0.0):
    return array("f", [value] * count)


def model():
    m = ints(kernels.fixed_size(0, 6, 3))
    kernels.fixed_init(m, 6, 3, 1, 11, array("f", (1.0, 1.0, 10.0, 1.0)))
    return m


def forged(word, value):
    m = model()
    m[word] = value
    return m


W = kernels.fixed_size(1, 6, 3)
T = kernels.fixed_size(2, 64, 0)
F = kernels.fixed_size(3, 6, 3)
PARAMS = array("f", (1.0, 1.0, 10.0, 1.0))
FAKES = [ints(5), ints(len(model())), ints(len(model()) + 1), array("f", bytes(4 * len(model())))]
FAKES += [
    forged(0, 1),
    forged(1, 7 | 3 << 16),
    forged(1, 6 | 99 << 16),
    forged(5, 16),
    forged(5, -1),
    forged(6, 0),
    forged(7, 16385),
    forged(8, 12),
    forged(9, -1),
    forged(10, -1),
    forged(14, 41),
]
UNALIGNED = array("H", bytes(130))
WINDOW = array("H", bytes(128))
EDGES = array("H", (1, 2, 3, 4, 5, 6, 33))


def spectrum():
    return [array("h", bytes(128)), 0, 1, ints(6), WINDOW, ints(T), ints(64), array("I", bytes(4 * 33))]


def bins(count):
    return array("I", bytes(4 * count))


def window():
    levels, params = array("i", (11357, 0)), floats(4)
    return spectrum() + [EDGES, levels, ints(6), ints(6), model(), ints(W), params, floats(6), None]


# function, arguments, {position: (name, wrong ones)}
POWER = {
    0: ("samples", [array("H", bytes(128)), array("h", bytes(130)), b""]),
    1: ("channel", [1, -1]),
    2: ("axes", [0, 17]),
    3: ("stats", [ints(5), floats(6)]),
    4: ("window", [array("H", bytes(126)), array("H", bytes(64)), array("h", bytes(128)), memoryview(UNALIGNED)[1:]]),
    5: ("table", [ints(T - 1), ints(T + 1)]),
    7: ("power", [ints(33), array("I", bytes(4 * 32))]),
}


def power_and(more):
    both = dict(POWER)
    both.update(more)
    return both


CASES = [
    ("fixed_size", lambda: [0, 6, 3], {0: ("what", [4, -1]), 1: ("n", [0, 1025]), 2: ("h", [0, 65])}),
    ("fixed_init", lambda: [model(), 6, 3, 1, 11, PARAMS], {0: ("model", [ints(5)]), 4: ("x_bits", [-1, 16]),
        5: ("params", [floats(4), floats(3), array("f", (1, 1, 10, 1.5)), array("f", (1, 1, float("nan"), 1))])}),
    ("fixed_reopen", lambda: [model(), floats(1, 1.0)],
        {0: ("model", FAKES), 1: ("params", [floats(1), floats(1, float("nan"))])}),
    ("fixed_weights", lambda: [model(), floats(6)], {1: ("weight", [floats(5)])}),
    ("fixed_score", lambda: [model(), ints(W), floats(6), floats(5)],
        {0: ("model", FAKES), 1: ("work", [ints(W - 1)]), 2: ("x", [floats(7)]), 3: ("out", [floats(4)])}),
    ("fixed_invert", lambda: [model(), floats(1, 1.0), ints(F)],
        {0: ("model", FAKES), 1: ("params", [floats(1), floats(1, float("nan"))]), 2: ("explainer", [ints(F - 1), floats(F)])}),
    ("fixed_explain", lambda: [model(), ints(W), floats(6), ints(F), floats(5)],
        {0: ("model", FAKES), 1: ("work", [ints(W - 1)]), 2: ("x", [floats(7)]), 3: ("explainer", [ints(F + 1), floats(F), 0]),
        4: ("out", [floats(6)])}),
    ("fixed_predict", lambda: [model(), ints(W)], {0: ("model", FAKES), 1: ("work", [ints(W + 1)])}),
    ("fixed_learn", lambda: [model(), ints(W)], {0: ("model", FAKES), 1: ("work", [floats(W)])}),
    ("fixed_square", lambda: [floats(6), floats(6), floats(1)],
        {0: ("a", [ints(6), floats(0)]), 1: ("b", [floats(5), ints(6)]), 2: ("out", [floats(2)])}),
    ("fixed_residuals", lambda: [model(), ints(W), floats(6)], {2: ("e", [floats(5)])}),
    ("fixed_tables", lambda: [ints(T), array("H", bytes(128)), 64], {0: ("table", [ints(3)]), 2: ("m", [0, 65])}),
    ("fixed_power", spectrum, power_and({6: ("work", [ints(63)])})),
    ("fixed_spectrum", lambda: spectrum()[:3] + [floats(4)] + spectrum()[4:],
        power_and({3: ("moments", [floats(5), ints(4)]), 6: ("work", [ints(63)])})),
    ("fixed_add", lambda: [bins(33), -1, bins(33), 15],
        {0: ("power", [ints(33)]), 1: ("scale", [16, -17]), 2: ("power", [bins(32)]), 3: ("scale", [16])}),
    ("fixed_velocity", lambda: [bins(33), 0, 1, 32, floats(2)],
        {0: ("power", [ints(33), bins(2050)]), 1: ("scale", [16]), 2: ("first", [0, 34]), 3: ("last", [33, -1]),
        4: ("params", [floats(1)])}),
    ("fixed_levels", lambda: [bins(33), 0, EDGES, array("f", (1.0, 0.5, 0.0)), None, floats(6)],
        {0: ("power", [ints(33)]), 1: ("scale", [16]), 2: ("edges", [array("H", (1, 2, 3, 4, 5, 6, 34)), EDGES[1:]]),
        3: ("params", [floats(2), floats(3), array("f", (-1.0, 0.5, 0.0)), array("f", (0.0, 1.1, 0.0)),
        array("f", (float("nan"), 0.5, 0.0)), array("f", (0.0, 0.5, 1e9))]), 4: ("center", [floats(5), 0])}),
    ("fixed_window", window, power_and({6: ("spectrum_work", [ints(63)]), 8: ("edges", [array("H", (1, 2, 3, 4, 5, 6, 34)),
        array("H", (1, 2, 2, 4, 5, 6, 7))]), 10: ("offset", [ints(5)]), 12: ("model", FAKES), 14: ("params", [floats(3)]),
        16: ("explainer", [floats(F), ints(2)])})),
]  # fmt: skip

for name, good, wrong in CASES:
    getattr(kernels, name)(*good())
    for position, (argument, values) in wrong.items():
        for value in values:
            arguments = good()
            arguments[position] = value
            try:
                getattr(kernels, name)(*arguments)
                print("%s: accepted by %s: %s" % (argument, name, value))
            except Exception as error:
                print("%s: %s: %s" % (argument, type(error).__name__, error))
