"""Kernels on a Pico, timed by its own SysTick: executed by MicroPython, driven by ``fieldelm_tools.bench.kernels``.

``run(build, module, name, n, h)`` prints a line of JSON: cycles of one call as Python sees it (less what reading the counter and
calling a function that does nothing take), bytes of the buffers, and what is needed to tell the error; for models then a line
for each row: score, activations and inputs as float32 in hexadecimal. Interrupts are off while
a call is timed. Input is the same whole-number noise and triangle on every build (``samples``, ``features``).
"""

import gc
import json
from array import array
from binascii import hexlify
from math import log

import machine
import time

gc.threshold(-1)  # a firmware that collects while it starts would collect within what is timed

_CSR = 0xE000E010  # SysTick (ARMv6-M ARM, B3.3): control, reload, current value
_RVR = 0xE000E014
_CVR = 0xE000E018
SIZE = 1024
SEED = 7
ROWS = 40  # learned before the row that is timed, where C learns
WORST = 1 / 64
GAIN = 11357  # ln(2) / 2 with 15 binary places: natural logarithm of the amplitude
VARIANCE = array("f", (0.01,))  # of an input about its reconstruction
BASE = 9427  # ln(4 / 3) / 2 with 16: power is in units of 4 / 3 counts^2 and powers of 4


def ints(count):
    """int32 of 0."""
    return array("i", bytes(4 * count))


def floats(count):
    """float32 of 0."""
    return array("f", bytes(4 * count))


_TIMER = """
def timer(function, arguments):
    {names}, = arguments
    memory = machine.mem32
    before = machine.disable_irq()
    start = time.ticks_us()
    first = memory[_CVR]
    function({names})
    last = memory[_CVR]
    us = time.ticks_diff(time.ticks_us(), start)
    machine.enable_irq(before)
    cycles = (first - last) & 0xFFFFFF
    wraps = (us * (machine.freq() // 1000000) - cycles + (1 << 23)) >> 24
    return cycles + (wraps << 24)
"""


def _once(function, arguments):
    # arguments one by one, as a program gives them: f(*arguments) would take memory for them, and as long as a short kernel
    made = {"machine": machine, "time": time, "_CVR": _CVR}
    exec(_TIMER.format(names=", ".join(["a%d" % i for i in range(len(arguments))])), made)
    gc.collect()
    return made["timer"](function, arguments)


def cycles(function, arguments):
    """Cycles of one call."""
    machine.mem32[_RVR] = 0xFFFFFF
    machine.mem32[_CSR] = 5
    return _once(function, arguments) - _once(callable, (function,))


def samples(window):
    """1024 raw samples."""
    out = array("h", bytes(2 * SIZE))
    noise = 12345 + window
    for i in range(SIZE):
        noise = (noise * 75 + 74) % 65537
        out[i] = 20 * abs(i * (40 + window % 3) % 400 - 200) + noise % 512
    return out


def features(row, n):
    """n inputs between -1 and 1, eighths of which repeat."""
    out = floats(n)
    noise = 54321 + row
    for i in range(n):
        noise = (noise * 75 + 74) % 65537
        out[i] = ((i * (3 + row % 4) % 64) - 32) / 64 + (noise % 1024 - 512) / 2048
    return out


def large(count):
    """A buffer of zeros in ``room``, which the bench has made beforehand; it ends the life of the one before."""
    part = memoryview(room)[:count]  # noqa: F821
    for i in range(count):
        part[i] = 0
    return part


def told(out, a, x=()):
    """A row for the host."""
    row = array("f", out[:1])
    row.extend(array("f", a))
    row.extend(array("f", x))
    return row


class Fixed:
    """The fixed-point kernels of module ``kernels``."""

    def __init__(self, kernels):
        self.k = kernels

    def spectrum(self):
        """Make the tables and buffers of a window."""
        k = self.k
        self.table, self.window = ints(k.fixed_size(2, SIZE, 0)), array("H", bytes(2 * SIZE))
        k.fixed_tables(self.table, self.window, SIZE)
        self.stats, self.work, self.power = ints(6), ints(SIZE), array("I", bytes(4 * (SIZE // 2 + 1)))

    def model(self, n, h):
        """Make an untrained model."""
        k = self.k
        self.m, self.w, self.out = large(k.fixed_size(0, n, h)), ints(k.fixed_size(1, n, h)), floats(6)
        k.fixed_init(self.m, n, h, SEED, 11, array("f", (2 / n**0.5, 1.0, 10.0, 1.0)))
        self.h = h
        self.out5 = floats(5)
        self.explainer = ints(k.fixed_size(3, n, h))

    def a(self, n):
        """Activations of the row scored last."""
        padded = 64
        while padded < n:
            padded *= 2
        at = 2 + 2 * self.h + padded
        return [a / 2048 for a in self.w[at : at + self.h]]

    def fft(self):
        """Time a spectrum."""
        self.spectrum()
        x = samples(0)
        self.k.fixed_stats(x, 0, 1, self.stats)
        taken = cycles(self.k.fixed_power, (x, 0, 1, self.stats, self.window, self.table, self.work, self.power))
        scale = self.k.fixed_power(x, 0, 1, self.stats, self.window, self.table, self.work, self.power)
        ram = 4 * (len(self.table) + SIZE + SIZE // 2 + 1 + 6) + 2 * SIZE
        return taken, ram, {"power": hexlify(self.power).decode(), "scale": scale}

    def bands(self, n):
        """Time the log bands of a spectrum."""
        self.spectrum()
        x = samples(0)
        self.k.fixed_stats(x, 0, 1, self.stats)
        scale = self.k.fixed_power(x, 0, 1, self.stats, self.window, self.table, self.work, self.power)
        edges, offset, out = edges_of(n), offsets(n, 0.0), ints(n)
        params = array("i", (4**scale, GAIN, BASE - 4 * scale * GAIN))
        taken = cycles(self.k.fixed_bands, (self.power, edges, params, offset, out))
        return taken, 4 * (SIZE // 2 + 1 + 2 * n + 3) + 2 * (n + 1), {"bands": [v / 65536 for v in out]}

    def elm(self, n, h, learn):
        """Time the score of a row, or score and update."""
        self.model(n, h)
        k, rows = self.k, []
        for row in range(ROWS):
            x = features(row, n)
            k.fixed_score(self.m, self.w, x, self.out5)
            rows.append(told(self.out5, self.a(n)))
            k.fixed_learn(self.m, self.w)
        x = features(ROWS, n)
        function = k.fixed_step if learn else k.fixed_score
        taken = cycles(function, (self.m, self.w, x, self.out5))
        rows.append(told(self.out5, self.a(n)))
        return taken, 4 * (len(self.m) + len(self.w)), rows

    def explain(self, n, h, invert):
        """Time the score of a row by what explains it best, or what is to be made for that."""
        self.model(n, h)
        k, rows = self.k, []
        inverse = (self.m, VARIANCE, self.explainer)
        for row in range(ROWS + 1):
            explained = (self.m, self.w, features(row, n), self.explainer, self.out5)
            k.fixed_invert(*inverse)
            k.fixed_explain(*explained)
            k.fixed_predict(self.m, self.w)
            rows.append(told(self.out5, self.a(n)))
            if row < ROWS:
                k.fixed_learn(self.m, self.w)
        taken = cycles(k.fixed_invert, inverse) if invert else cycles(k.fixed_explain, explained)
        return taken, 4 * (len(self.m) + len(self.w) + len(self.explainer)), rows

    def whole(self, n, h):
        """Time a window, from samples to the update; the row is scored by what explains it best."""
        self.spectrum()
        self.model(n, h)
        k = self.k
        edges, levels, offset, bands = edges_of(n), array("i", (GAIN, BASE)), offsets(n, 3.0), ints(n)
        params, rows = array("f", (0.5, WORST, 0.0, 1e9)), []
        for row in range(9):
            x = samples(row)
            call = (x, 0, 1, self.stats, self.window, self.table, self.work, self.power)
            call += (edges, levels, offset, bands, self.m, self.w, params, self.out, self.explainer)
            k.fixed_invert(self.m, VARIANCE, self.explainer)
            taken = cycles(k.fixed_window, call)
            rows.append(told(self.out, self.a(n), [v / 65536 for v in bands]))
        model = len(self.m) + len(self.w) + len(self.explainer)
        ram = 4 * (len(self.table) + SIZE + SIZE // 2 + 1 + 6 + 2 * n + model) + 2 * (SIZE + n + 1)
        return taken, ram, rows


class Float:
    """The float kernels, in C or in Python."""

    def __init__(self, kernels, rows):
        self.k = kernels
        self.rows = rows

    def spectrum(self):
        """Make the tables and buffers of a window."""
        self.window, self.twiddle = floats(SIZE), floats(SIZE)
        self.k.fft_tables(self.twiddle, self.window)
        self.work, self.power, self.stats = floats(SIZE + 2), floats(SIZE // 2 + 1), floats(4)

    def model(self, n, h):
        """Make an untrained model."""
        self.input = array("f", (2 / n**0.5, 1.0))
        self.beta, self.p, self.av, self.e = large(n * h), floats(h * (h + 1) // 2), floats(h), floats(n)
        self.u, self.out, self.forgetting = floats(h), floats(5), array("f", (1.0,))
        self.weight = array("f", [1.0] * n)
        at = 0
        for j in range(h):
            self.p[at] = 10.0
            at += j + 2
        return 4 * (n * h + h * (h + 1) // 2 + 2 * h + 2 * n + 5 + 3)

    def _score(self, x):
        k = self.k
        k.hidden(x, SEED, self.input, self.av)
        k.residuals(x, self.av, self.beta, self.e)
        k.score(self.e, self.weight, self.out)

    def _step(self, x):
        self._score(x)
        self.k.update(self.p, self.beta, self.av, self.e, self.forgetting, self.u)

    def _spectrum(self, x):
        self.k.power_spectrum(x, 0, 1, self.window, self.twiddle, self.work, self.power, self.stats)

    def fft(self):
        """Time a spectrum."""
        self.spectrum()
        taken = cycles(self._spectrum, (samples(0),))
        return taken, 4 * (3 * SIZE + 2 + SIZE // 2 + 1 + 4), {"power": hexlify(self.power).decode(), "scale": None}

    def bands(self, n):
        """Time the log bands of a spectrum."""
        self.spectrum()
        self._spectrum(samples(0))
        out = floats(n)
        taken = cycles(self.k.bands, (self.power, edges_of(n), array("f", (4 / 3, 0.5, 0.0)), out))
        return taken, 4 * (SIZE // 2 + 1 + n + 3) + 2 * (n + 1), {"bands": list(out)}

    def elm(self, n, h, learn):
        """Time the score of a row, or score and update."""
        ram, rows = self.model(n, h), []
        for row in range(self.rows):
            self._step(features(row, n))
            rows.append(told(self.out, self.av))
        taken = cycles(self._step if learn else self._score, (features(self.rows, n),))
        rows.append(told(self.out, self.av))
        return taken, ram, rows

    def _window(self, x):
        self._spectrum(x)
        self.k.bands(self.power, self.edges, self.params, self.x)
        self._step(self.x)

    def whole(self, n, h):
        """Time a window, from samples to the update."""
        self.spectrum()
        ram, rows = self.model(n, h), []
        self.edges, self.params, self.x = edges_of(n), array("f", (0.5, 0.5, -3.0)), floats(n)
        for row in range(9 if self.rows else 1):
            taken = cycles(self._window, (samples(row),))
            rows.append(told(self.out, self.av, self.x))
        return taken, ram + 4 * (3 * SIZE + 2 + SIZE // 2 + 1 + 4 + n) + 2 * (n + 1), rows


def edges_of(n):
    """Of equally wide bands."""
    return array("H", [1 + i * (SIZE // 2) // n for i in range(n + 1)])


def offsets(n, offset):
    """What makes means of sums, in units of 2^-16."""
    edges = edges_of(n)
    return array("i", [round(65536 * (offset + log(edges[i + 1] - edges[i]) / 2)) for i in range(n)])


def grow(module, n, h):
    """Print cycles of a score and of a step, and the bytes of model and work."""
    kernels = Fixed(module)
    kernels.model(n, h)
    for row in range(4):
        module.fixed_step(kernels.m, kernels.w, features(row, n), kernels.out5)
    call = (kernels.m, kernels.w, features(4, n), kernels.out5)
    taken = [cycles(module.fixed_score, call), cycles(module.fixed_step, call)]
    print(json.dumps(taken + [4 * (len(kernels.m) + len(kernels.w))]))


def run(build, module, name, n, h):
    """Time one kernel and print the result as JSON."""
    gc.collect()
    kernels = Float(module, 0 if build == "python" else ROWS) if build in ("python", "float_natmod") else Fixed(module)
    if name.startswith("fft"):
        result = kernels.fft()
    elif name.startswith("bands"):
        result = kernels.bands(n)
    elif name.startswith("window"):
        result = kernels.whole(n, h)
    elif name.startswith(("explain", "invert")):
        result = kernels.explain(n, h, name.startswith("invert"))
    else:
        result = kernels.elm(n, h, name.startswith("learn"))
    cycles, ram, made = result
    if isinstance(made, list):
        print(json.dumps((cycles, ram, {})))
        for row in made:
            print(hexlify(row).decode())
    else:
        print(json.dumps(result))
