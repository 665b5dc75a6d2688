"""The cases of tests/vectors/kernels.json on a target that is reached by its REPL.

Numbers go there and back as bits: single-precision targets neither read nor print decimals exactly.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

FILE = Path(__file__).resolve().parents[1] / "vectors" / "kernels.json"
CASES = json.loads(FILE.read_text(encoding="utf-8"))["cases"]
DTYPES = {"f": "<f4", "h": "<i2", "H": "<u2"}
RUN = """
from array import array
from binascii import hexlify, unhexlify
import {module} as _kernels
def _run(function, arguments, after):
    arguments = [a if isinstance(a, int) else array(a[0], unhexlify(a[1])) for a in arguments]
    print(getattr(_kernels, function)(*arguments))
    for i in after:
        print(hexlify(arguments[i]).decode())
"""


def check(run: Callable[[str], str], module: str) -> float:
    """Run every case on the target; return the largest error as a share of what is allowed."""
    run(RUN.format(module=module))
    return max(check_case(run, case) for case in CASES)


def check_case(run: Callable[[str], str], case: dict) -> float:
    """Run one case on the target and compare its results with those of float64."""
    arguments = [
        a if isinstance(a, int) else (a[0], np.array(a[1], DTYPES[a[0]]).tobytes().hex()) for a in case["arguments"]
    ]
    positions = [int(i) for i in case["after"]]
    returned, *results = run(f"_run({case['function']!r}, {arguments!r}, {positions!r})").splitlines()
    name = f"{case['function']}: {case['name']}"
    assert returned == str(case["returns"]), name
    worst = 0.0
    for position, text in zip(positions, results, strict=True):
        expected = np.array(case["after"][str(position)])
        got = np.frombuffer(bytes.fromhex(text), DTYPES[case["arguments"][position][0]]).astype(float)
        scale = np.abs(expected) if position in case["elementwise"] else np.abs(expected).max()
        error, allowed = np.abs(got - expected), case["tolerance"] * scale
        assert (error <= allowed).all(), f"{name}, argument {position}: {got} instead of {expected}"
        worst = max(worst, float(np.max(error / np.where(allowed > 0, allowed, 1))))
    return worst
