"""Runs on MicroPython: ten windows of a machine through the fixed-point kernels, all in whole numbers; prints check sums.

micropython mp_fixed.py [MODULE]
"""

import sys
from array import array
from binascii import crc32

kernels = __import__(sys.argv[1] if len(sys.argv) > 1 else "fieldelm_native")

N, H, SIZE = 64, 22, 1024


def ints(count):
    return array("i", bytes(4 * count))


def samples(window):
    """A triangle of slowly rising frequency beside noise of a linear congruential generator."""
    out = array("h", bytes(2 * SIZE))
    noise = 12345 + window
    for i in range(SIZE):
        noise = (noise * 75 + 74) % 65537
        phase = i * (40 + window % 3) % 400
        out[i] = 20 * abs(phase - 200) + noise % 512
    return out


def show(name, buffer):
    print(name, crc32(bytes(memoryview(buffer))) if hasattr(memoryview(buffer), "cast") else crc32(buffer))


def main():
    table, window = ints(kernels.fixed_size(2, SIZE, 0)), array("H", bytes(2 * SIZE))
    kernels.fixed_tables(table, window, SIZE)
    show("table", table)
    show("window", window)
    model, work = ints(kernels.fixed_size(0, N, H)), ints(kernels.fixed_size(1, N, H))
    kernels.fixed_init(model, N, H, 7, 11, array("f", (0.25, 1.0, 10.0, 1.0)))
    kernels.fixed_weights(model, array("f", [1 + i % 5 for i in range(N)]))
    edges = array("H", [1 + i * (SIZE // 2) // N for i in range(N + 1)])
    stats, spectrum, power = ints(6), ints(SIZE), array("I", bytes(4 * (SIZE // 2 + 1)))
    levels, offset, bands = array("i", (11357, 0)), ints(N), ints(N)
    for i in range(N):
        offset[i] = 4 * 65536
    params, out = array("f", (0.5, 1 / 64, 0.0, 1e9)), array("f", bytes(24))
    for i in range(10):
        row = samples(i)
        learned = kernels.fixed_window(
            row,
            0,
            1,
            stats,
            window,
            table,
            spectrum,
            power,
            edges,
            levels,
            offset,
            bands,
            model,
            work,
            params,
            out,
            None,
        )
        print("learned", learned)
        for name, buffer in (("stats", stats), ("power", power), ("bands", bands), ("model", model), ("out", out)):
            show(name, buffer)
    x, e = array("f", [0.125 * (i % 9 - 4) for i in range(N)]), array("f", bytes(4 * N))
    kernels.fixed_reopen(model, array("f", (10.0,)))
    out6, out = out, array("f", bytes(20))
    kernels.fixed_score(model, work, x, out)
    kernels.fixed_residuals(model, work, e)
    kernels.fixed_learn(model, work)
    kernels.fixed_rescore(model, work, out)
    for name, buffer in (("model", model), ("out", out), ("e", e)):
        show(name, buffer)

    explainer = ints(kernels.fixed_size(3, N, H))
    for i in range(2):
        kernels.fixed_invert(model, array("f", (0.01,)), explainer)
        kernels.fixed_explain(model, work, x, explainer, out)
        kernels.fixed_predict(model, work)
        for name, buffer in (("explainer", explainer), ("model", model), ("out", out), ("work", work)):
            show(name, buffer)
        kernels.fixed_learn(model, work)
    learned = kernels.fixed_window(
        row,
        0,
        1,
        stats,
        window,
        table,
        spectrum,
        power,
        edges,
        levels,
        offset,
        bands,
        model,
        work,
        params,
        out6,
        explainer,
    )
    print("learned", learned)
    for name, buffer in (("model", model), ("out", out6), ("work", work)):
        show(name, buffer)

    mean = array("f", bytes(4))
    kernels.fixed_square(x, e, mean)
    show("square", mean)

    pair = array("h", bytes(4 * SIZE))
    for i, (one, other) in enumerate(zip(samples(1), samples(2))):
        pair[2 * i], pair[2 * i + 1] = one, other // 9 + 300
    total, moments = array("I", bytes(4 * (SIZE // 2 + 1))), array("f", bytes(16))
    scale = kernels.fixed_spectrum(pair, 0, 2, moments, window, table, spectrum, total)
    show("moments", moments)
    other = kernels.fixed_spectrum(pair, 1, 2, moments, window, table, spectrum, power)
    show("moments", moments)
    scale = kernels.fixed_add(total, scale, power, other)
    print("scale", scale)
    show("total", total)
    speed = array("f", (0.25, 0.0))
    kernels.fixed_velocity(total, scale, 5, 400, speed)
    show("speed", speed)
    for center in (None, x):
        kernels.fixed_levels(total, scale, edges, array("f", (2.0, 0.5, -3.0)), center, e)
        show("levels", e)


main()
