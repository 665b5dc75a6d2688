"""Runs on MicroPython: how much of the heap a hundred rounds of every kernel take.

    micropython mp_memory.py MODULE

Prints by how many bytes the heap has grown, before and after a collection.
"""

import gc
import sys
from array import array


def floats(count):
    return array("f", bytes(4 * count))


def rounds(k, count):
    size, m, axes, n, h = 64, 50, 3, 16, 5
    twiddle, window, work, power, stats = floats(size), floats(m), floats(size + 2), floats(size // 2 + 1), floats(4)
    samples = array("h", [(i * 7919) % 2001 - 1000 for i in range(m * axes)])
    total, speed, speed_out = floats(size // 2 + 1), array("f", [1.5625, 10, 40, 0.04]), floats(1)
    edges, scale, x = array("H", range(1, n + 2)), array("f", [0.02, 0.25, 1]), floats(n)
    layer, a, beta, e = array("f", [0.5, 1]), floats(h), floats(h * n), floats(n)
    weight, out = array("f", [1] * n), floats(5)
    p, forgetting, u = floats(h * (h + 1) // 2), array("f", [0.99]), floats(h)
    for i in range(h):
        p[i * (i + 3) // 2] = 10
    gc.collect()
    before = gc.mem_alloc()
    while count:
        k.fft_tables(twiddle, window)
        k.power_spectrum(samples, 1, axes, window, twiddle, work, power, stats)
        k.accumulate(total, power)
        k.velocity(power, speed, speed_out)
        k.bands(power, edges, scale, x)
        k.hidden(x, 7, layer, a)
        k.residuals(x, a, beta, e)
        k.score(e, weight, out)
        if not k.update(p, beta, a, e, forgetting, u):
            raise ValueError("refused")
        count -= 1
    allocated = gc.mem_alloc() - before
    gc.collect()
    print(allocated, gc.mem_alloc() - before)


rounds(__import__(sys.argv[1], None, None, ("update",)), 100)
