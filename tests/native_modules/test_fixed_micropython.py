"""The fixed-point kernels as MicroPython's module: the numbers of the C core, and refusals."""

import ctypes
import shutil
import zlib

import numpy as np
import pytest
from fixed_core import SIZE, Model, Spectrum, build, pointer

from fieldelm_tools import environment


class Plan(ctypes.Structure):
    """fieldelm_fixed_plan_t"""

    _fields_ = [
        *[(name, SIZE) for name in ("channel", "axes", "m", "size")],
        *[(name, ctypes.c_void_p) for name in ("window", "table", "work", "power", "edges")],
        ("floor", ctypes.c_float),
        ("gain", ctypes.c_int32),
        ("base", ctypes.c_int32),
        *[(name, ctypes.c_void_p) for name in ("offset", "bands", "model", "model_work", "explainer")],
        *[(name, ctypes.c_float) for name in ("worst_weight", "learn_from", "learn_below")],
    ]


def samples(window):
    out, noise = np.zeros(1024, np.int16), 12345 + window
    for i in range(1024):
        noise = (noise * 75 + 74) % 65537
        out[i] = 20 * abs(i * (40 + window % 3) % 400 - 200) + noise % 512
    return out


def expected(library):
    """What mp_fixed.py prints, by ctypes."""
    lines = []

    def show(name, buffer):
        lines.append(f"{name} {zlib.crc32(buffer.tobytes() if isinstance(buffer, np.ndarray) else bytes(buffer))}")

    library.fieldelm_fixed_window.restype = ctypes.c_bool
    spectrum = Spectrum(library, 1024)
    show("table", spectrum.table)
    show("window", spectrum.window)
    model = Model(library, 64, 22, seed=7, gain=0.25, twin=False)
    model.weights(1 + np.arange(64) % 5)
    edges = (1 + np.arange(65) * 512 // 64).astype(np.uint16)
    offset, bands, out = np.full(64, 4 * 65536, np.int32), np.zeros(64, np.int32), np.zeros(6, np.float32)
    stats = np.zeros(6, np.int32)
    arrays = {"window": spectrum.window, "table": spectrum.table, "work": spectrum.work, "power": spectrum.raw}
    arrays |= {"edges": edges, "offset": offset, "bands": bands, "model": model.words, "model_work": model.work}
    numbers = {
        "axes": 1,
        "m": 1024,
        "size": 1024,
        "floor": 0.5,
        "gain": 11357,
        "worst_weight": 1 / 64,
        "learn_below": 1e9,
    }
    plan = Plan(**numbers, **{name: array.ctypes.data for name, array in arrays.items()})
    for i in range(10):
        row = samples(i)
        learned = library.fieldelm_fixed_window(pointer(row), ctypes.byref(plan), pointer(stats), pointer(out))
        lines.append(f"learned {learned}")
        for name, buffer in (("stats", stats), ("power", spectrum.raw), ("bands", bands), ("model", model.words)):
            show(name, buffer)
        show("out", out)
    model.reopen(10.0)
    x = (0.125 * (np.arange(64) % 9 - 4)).astype(np.float32)
    model.score(x)
    e = model.e
    model.learn()
    library.fieldelm_fixed_rescore(pointer(model.words), pointer(model.work), pointer(model.out))
    for name, buffer in (("model", model.words), ("out", model.out), ("e", e)):
        show(name, buffer)
    for _ in range(2):
        model.invert()
        model.explain(x)
        model.predict()
        for name, buffer in (("explainer", model.explainer), ("model", model.words), ("out", model.out)):
            show(name, buffer)
        show("work", model.work)
        model.learn()
    plan.explainer = model.explainer.ctypes.data
    learned = library.fieldelm_fixed_window(pointer(samples(9)), ctypes.byref(plan), pointer(stats), pointer(out))
    lines.append(f"learned {learned}")
    for name, buffer in (("model", model.words), ("out", out), ("work", model.work)):
        show(name, buffer)
    library.fieldelm_fixed_square.restype = ctypes.c_float
    show("square", np.array([library.fieldelm_fixed_square(pointer(x), pointer(e), SIZE(64))], np.float32))
    both = Spectrum(library, 1024, axes=2)
    pair, moments, powers, scales = np.stack((samples(1), samples(2) // 9 + 300), 1), np.zeros(4, np.float32), [], []
    for channel in range(2):
        both.power(pair, channel)
        library.fieldelm_fixed_moments(ctypes.byref(both.stats), SIZE(1024), pointer(moments))
        show("moments", moments)
        powers.append(both.raw.copy())
        scales.append(both.scale)
    total = powers[0]
    scale = library.fieldelm_fixed_add(pointer(total), scales[0], pointer(powers[1]), scales[1], SIZE(513))
    lines.append(f"scale {scale}")
    show("total", total)
    library.fieldelm_fixed_velocity.restype = ctypes.c_float
    velocity = library.fieldelm_fixed_velocity(pointer(total), scale, SIZE(5), SIZE(401), ctypes.c_float(0.25))
    show("speed", np.array([0.25, velocity], np.float32))
    params = np.array([2.0, 0.5, -3.0], np.float32)
    for center in (None, pointer(x)):
        library.fieldelm_fixed_levels(
            *(pointer(total), scale, pointer(edges), pointer(params), center, pointer(e)), SIZE(64)
        )
        show("levels", e)
    return lines


def test_windows_to_decisions(micropython, tmp_path):
    if environment.micropython().kernels == "python":
        pytest.skip("this MicroPython has no native kernels")
    if shutil.which("cc") is None:
        pytest.skip("no C compiler (cc)")
    assert micropython("mp_fixed.py").splitlines() == expected(build(tmp_path, ["-O2"]))


def test_refusals(micropython):
    """Wrong lengths, types, ranges, and words that no fixed_init made, are one ValueError each that names the argument."""
    if environment.micropython().kernels == "python":
        pytest.skip("this MicroPython has no native kernels")
    lines = micropython("mp_fixed_refusals.py").splitlines()
    assert len(lines) > 40
    for line in lines:
        argument, _, complaint = line.partition(": ")
        assert complaint.startswith(f"ValueError: {argument}: expected "), line
