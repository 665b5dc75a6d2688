"""Runs on MicroPython: calls with one wrong argument each; prints `<what is wrong>: <exception>` for each.

micropython mp_refusals.py MODULE
"""

import sys
from array import array


def floats(count):
    return array("f", bytes(4 * count))


def good():
    """A valid call of each function, anew."""
    edges = array("H", [1, 3, 4, 9])
    return {
        "fft_tables": [floats(16), floats(10)],
        "power_spectrum": [
            array("h", range(30)), 1, 3, floats(10), floats(16), floats(18), floats(9), floats(4)
        ],
        "accumulate": [floats(9), floats(9)],
        "velocity": [floats(9), array("f", [1, 2, 5, 1]), floats(1)],
        "bands": [floats(9), edges, array("f", [1, 1, 1]), floats(3)],
        "hidden": [floats(6), 1, array("f", [1, 1]), floats(2)],
        "residuals": [floats(6), floats(2), floats(12), floats(6)],
        "score": [floats(6), floats(6), floats(5)],
        "update": [floats(3), floats(12), floats(2), floats(6), array("f", [0.9]), floats(2)],
    }  # fmt: skip


def attempt(function, arguments, what):
    try:
        function(*arguments)
        print("%s: accepted" % what)
    except Exception as error:
        print("%s: %s: %s" % (what, type(error).__name__, error))


def main(module):
    kernels = __import__(module, None, None, ("update",))  # built-in modules are not in sys.modules
    for name, arguments in good().items():
        function = getattr(kernels, name)
        attempt(function, arguments, name + " good")
        attempt(function, [memoryview(a) if isinstance(a, array) else a for a in arguments], name + " good")
        for i, argument in enumerate(arguments):
            if isinstance(argument, int):
                continue
            code = repr(argument[:0])[7]
            wrong = {
                "type": array("i" if code == "f" else "f", [1] * len(argument)),
                "view": memoryview(array("i" if code == "f" else "f", [1] * len(argument))),
                "bytes": bytearray(len(argument) * (4 if code == "f" else 2)),
                "list": list(argument),
                "none": None,
                "empty": array(code),
                "long": array(code, list(argument) + [argument[-1]]),
            }
            for what, value in wrong.items():
                changed = good()[name]
                changed[i] = value
                attempt(function, changed, "%s %d %s" % (name, i, what))
    window = good()["power_spectrum"]
    for channel, axes in ((3, 3), (-1, 3), (0, 0), (0, -1), (0, 40000)):
        window[1:3] = channel, axes
        attempt(kernels.power_spectrum, window, "power_spectrum of channel %d in %d" % (channel, axes))
    for size in (2, 12, 65536):
        try:
            attempt(kernels.fft_tables, [floats(size), floats(2)], "fft_tables of %d points" % size)
        except MemoryError:
            pass  # a microcontroller cannot even ask
    attempt(kernels.fft_tables, [floats(16), floats(17)], "fft_tables for a window longer than the transform")
    for edges in ([1, 3, 3, 9], [4, 3, 5, 6], [1, 2, 3, 10]):
        attempt(kernels.bands, [floats(9), array("H", edges)] + good()["bands"][2:], "bands with edges %s" % edges)
    for forgetting in (0, -0.5, 1.01, float("nan")):
        changed = good()["update"]
        changed[4][0] = forgetting
        attempt(kernels.update, changed, "update with forgetting %s" % forgetting)
    # not wrong, but a model that must not be spoilt
    for name, position in (("activation", 2), ("residual", 3)):
        changed = good()["update"]
        changed[position][1] = float("nan")
        before = list(changed[0]), list(changed[1])
        done = kernels.update(*changed)
        print("update with NaN as %s: %s" % (name, (done, before == (list(changed[0]), list(changed[1])))))


main(sys.argv[1])
