"""Do the kernels compute what they should, on this very chip? A known answer of each, at start.

What is compiled for another processor, or spoilt in flash, often computes something instead of failing. A node with wrong
kernels would learn and judge rubbish, so it takes those in Python instead. The kernels give the same bits everywhere.
"""

from array import array
from binascii import crc32

from fieldelm import kernels

_SIZE = 64
_N = 8
_H = 5
_ANSWERS = (
    ("fixed_tables", 0xFD9946E5),
    ("fixed_spectrum", 0x1057EEC3),
    ("fixed_add", 0x360F7E2C),
    ("fixed_velocity", 0x427DA0CB),
    ("fixed_levels", 0xB5F8A6C5),
    ("fixed_init", 0xBDBB6511),
    ("fixed_weights", 0x3EC5D905),
    ("fixed_score", 0xC8DC3B3A),
    ("fixed_residuals", 0x9355A291),
    ("fixed_learn", 0x4D83A0BB),
    ("fixed_invert", 0x3B710C47),
    ("fixed_explain", 0x10F8A521),
    ("fixed_predict", 0x8F0C6B89),
    ("fixed_rescore", 0x2582EEF7),
    ("fixed_reopen", 0xF197E56E),
    ("fixed_square", 0x44D0513E),
)


_FLASH_TABLES = 0x9E0ED95A  # of firmware that has them


def _ints(count):
    return array("i", bytes(4 * count))


def _floats(count):
    return array("f", bytes(4 * count))


def _compute(k):
    # every kernel: yields what it has written, in the order of _ANSWERS
    table = _ints(k.fixed_size(2, _SIZE, 0))
    window = array("H", bytes(2 * _SIZE))
    k.fixed_tables(table, window, 60)
    yield table, window
    samples = array("h", [(i * i * 37 + 1000 * (i & 3)) % 4001 - 2000 for i in range(120)])
    work = _ints(_SIZE)
    powers = [array("I", bytes(4 * (_SIZE // 2 + 1))) for _ in range(2)]
    moments = _floats(4)
    scales = [k.fixed_spectrum(samples, i, 2, moments, window, table, work, powers[i]) for i in range(2)]
    yield powers[0], powers[1], moments, array("i", scales)
    total = powers[0]
    scale = k.fixed_add(total, scales[0], powers[1], scales[1])
    yield total, array("i", (scale,))
    speed = array("f", (0.25, 0.0))
    k.fixed_velocity(total, scale, 2, 30, speed)
    yield (speed,)
    x = _floats(_N)
    edges = array("H", (1, 2, 4, 8, 12, 16, 20, 25, 33))
    k.fixed_levels(total, scale, edges, array("f", (2.0, 0.5, -3.0)), None, x)
    yield (x,)
    model = _ints(k.fixed_size(0, _N, _H))
    work = _ints(k.fixed_size(1, _N, _H))
    k.fixed_init(model, _N, _H, 7, 11, array("f", (0.5, 1.0, 10.0, 0.875)))
    yield (model,)
    k.fixed_weights(model, array("f", [0.5 + i for i in range(_N)]))
    yield (model,)
    out = _floats(5)
    k.fixed_score(model, work, x, out)
    yield work, out
    e = _floats(_N)
    k.fixed_residuals(model, work, e)
    yield (e,)
    for _ in range(3):
        k.fixed_learn(model, work)
        k.fixed_score(model, work, x, out)
    yield model, out
    explainer = _ints(k.fixed_size(3, _N, _H))
    k.fixed_invert(model, array("f", (0.01,)), explainer)
    yield model, explainer
    k.fixed_explain(model, work, x, explainer, out)
    yield work, out
    k.fixed_predict(model, work)
    yield (work,)
    k.fixed_weights(model, array("f", [9.0 - i for i in range(_N)]))
    k.fixed_rescore(model, work, out)
    yield (out,)
    k.fixed_reopen(model, array("f", (10.0,)))
    yield (model,)
    mean = _floats(1)
    k.fixed_square(x, array("f", [i - 3.7 for i in range(_N)]), mean)
    yield (mean,)


def wrong(k):
    """Name of a kernel of module ``k`` that computes something else than it should, or None."""
    name = "fixed_tables"
    tables = getattr(k, "flash_tables", None)
    if tables and crc32(tables[1], crc32(tables[0])) & 0xFFFFFFFF != _FLASH_TABLES:
        return "flash_tables"
    try:
        made = _compute(k)
        for name, answer in _ANSWERS:
            check = 0
            for buffer in next(made):
                check = crc32(buffer, check)
            if check & 0xFFFFFFFF != answer:
                return name
    except Exception:  # a kernel that raises, whatever it is, is as wrong as one that computes wrong
        return name
    return None


def make_sound():
    """Check the kernels, before elm and features are imported; have them take Python where the native ones are wrong.

    Returns what is wrong as a sentence, or None.
    """
    bad = kernels.NAME == "native" and wrong(kernels.native)
    if not bad:
        return None
    kernels.NAME = "python"
    return "the native kernel %s computes wrong: the slow ones in Python take its place; flash the firmware again" % bad
