"""Do the kernels compute what they should, on this very chip? A small known answer for each, at start.

What is compiled for another processor, or spoilt in flash, often computes something instead of failing. A node with wrong
kernels would learn and judge rubbish, so it takes the slow ones in Python instead.
"""

from array import array

from micropython import const

from fieldelm import kernels

_TOLERANCE = 1e-3  # relative: single floats, and compilers fuse and order them differently
_NAMES = ("fft_tables", "power_spectrum", "accumulate", "velocity", "bands", "hidden", "residuals", "score", "update")
_SEED = const(7)

# what kernels_py computes in double precision
_SPECTRUM = (617.28027, 187158.28, 754067.44, 263952.63, 3368.9626)
_BANDS = (0.306179345, 0.180306807)
_VELOCITY = (10.1312313,)
_SCORE = (0.203094885, 0.329811662, 1.0, 0.0763780847, 0.0)
_BETA = (0.726113081, -0.582245648, 0.362777233, 0.650615275, -0.251801252, 0.385302126)
_P = (71.1848831, -31.3637657, 68.0284195, -32.7384033, -34.4272346, 65.0739594)


def _f(*values):
    return array("f", values)


def _compute(k):
    # every kernel once; yields a name, what it computed and what it should have
    twiddle = array("f", bytes(32))
    window = array("f", bytes(32))
    k.fft_tables(twiddle, window)
    samples = array("h", (0, 3, 900, -3, 100, 5, -1200, -5, 40, 7, 1000, -7, -90, 9, -800, -9))
    power = array("f", bytes(20))
    k.power_spectrum(samples, 0, 2, window, twiddle, array("f", bytes(40)), power, array("f", bytes(16)))
    total = array("f", power)
    k.accumulate(total, power)
    yield "power_spectrum", total, _SPECTRUM
    x = array("f", bytes(8))
    k.bands(total, array("H", (1, 3, 5)), _f(1, 0.1, -1), x)
    yield "bands", x, _BANDS
    speed = array("f", bytes(4))
    k.velocity(total, _f(100, 100, 400, 0.01), speed)
    yield "velocity", speed, _VELOCITY
    a = array("f", bytes(12))
    k.hidden(x, _SEED, _f(0.7, 0.5), a)
    beta = _f(0.5, -0.25, 0.125, 1, -0.5, 0.75)
    e = array("f", bytes(8))
    k.residuals(x, a, beta, e)
    out = array("f", bytes(20))
    k.score(e, _f(1, 2), out)
    yield "score", out, _SCORE
    p = _f(100, 0, 100, 0, 0, 100)
    learned = k.update(p, beta, a, e, _f(0.99), array("f", bytes(12)))
    yield "update", beta, _BETA if learned else ()
    yield "update", p, _P


def wrong(k=kernels):
    """Name of a kernel of ``k`` that computes something else than it should, or None."""
    name = "fft_tables"
    try:
        for name, got, expected in _compute(k):
            if len(got) != len(expected):
                return name
            for i in range(len(got)):
                if not abs(got[i] - expected[i]) <= _TOLERANCE * (abs(expected[i]) + 0.01):  # NaN is wrong, too
                    return name
    except Exception:
        return name
    return None


def make_sound():
    """Check the kernels; take those in Python where a native one is wrong. Returns what is wrong as a sentence, or None."""
    bad = wrong()
    if bad is None:
        return None
    from fieldelm import kernels_py

    for name in _NAMES:
        setattr(kernels, name, getattr(kernels_py, name))
    kernels.NAME = "python"
    return "the native kernel %s computes wrong: the slow ones in Python take its place; flash the firmware again" % bad
