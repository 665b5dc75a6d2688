"""The float kernels in C and in Python on the real MicroPython: numbers, memory, refusals; and which kernels are chosen."""

import json
import os
import re
import subprocess

import make_vectors
import numpy as np
import pytest

from fieldelm_tools import build, environment

CASES = json.loads(make_vectors.FILE.read_text(encoding="utf-8"))["cases"]
NAMES = {
    "fft_tables": ["twiddle", "window"],
    "power_spectrum": ["samples", "channel", "axes", "window", "twiddle", "work", "power", "stats"],
    "accumulate": ["total", "power"],
    "velocity": ["power", "params", "out"],
    "bands": ["spectrum", "edges", "params", "out"],
    "hidden": ["x", "seed", "params", "a"],
    "residuals": ["x", "a", "beta", "e"],
    "score": ["e", "weight", "out"],
    "update": ["p", "beta", "a", "e", "params", "u"],
}


# buffers whose length no other one fixes
FREE = {("fft_tables", "1"), ("velocity", "0"), ("bands", "0"), ("hidden", "0"), ("hidden", "3")}


@pytest.fixture(scope="module")
def results():
    """What each implementation made of the vectors; each runs once."""
    return {}


def test_vectors_are_those_of_the_generator():
    written = json.loads(make_vectors.text())["cases"]
    assert len(written) == len(CASES)
    for fresh, stored in zip(written, CASES, strict=True):
        assert {k: v for k, v in fresh.items() if k != "after"} == {k: v for k, v in stored.items() if k != "after"}
        for i, expected in fresh["after"].items():  # the last digits of exp and log depend on the platform
            np.testing.assert_allclose(stored["after"][i], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{c['function']}: {c['name']}" for c in CASES])
def test_numbers_are_those_of_float64(implementation, micropython, results, number):
    if implementation not in results:
        lines = micropython("mp_vectors.py", implementation, str(make_vectors.FILE)).splitlines()
        results[implementation] = [json.loads(line) for line in lines]
        assert len(lines) == len(CASES)
    case, result = CASES[number], results[implementation][number]
    assert result["function"] == case["function"]
    assert result["returned"] == case["returns"]
    for position, numbers in case["after"].items():
        expected, got = np.array(numbers), np.array(result["after"][position])
        scale = np.abs(expected) if int(position) in case["elementwise"] else np.abs(expected).max()
        assert (np.abs(got - expected) <= case["tolerance"] * scale).all(), f"argument {position}: {got}"


def test_calls_leave_nothing_on_the_heap(implementation, micropython):
    allocated, kept = map(int, micropython("mp_memory.py", implementation).split())
    if implementation == build.FLOAT_MODULE:
        assert allocated == 0
    assert kept <= 0


def test_wrong_arguments_are_named(implementation, micropython):
    found = dict(line.split(": ", 1) for line in micropython("mp_refusals.py", implementation).splitlines())
    assert len(found) > 200
    for what, outcome in found.items():
        if what.endswith(" good"):
            assert outcome == "accepted", what
        elif match := re.fullmatch(r"(\w+) (\d) (\w+)", what):
            function, position, wrong = match.groups()
            if wrong == "long" and outcome == "accepted":
                assert (function, position) in FREE, what
                continue
            kind, _, message = outcome.partition(": ")
            assert kind == "ValueError", f"{what}: {outcome}"
            argument = message.partition(":")[0]
            assert "expected" in message
            if wrong != "long":
                assert argument == NAMES[function][int(position)], f"{what}: {outcome}"
            else:
                assert argument in NAMES[function]
    texts = {
        "power_spectrum of channel 3 in 3": "channel: expected a number from 0 to less than 3",
        "power_spectrum of channel -1 in 3": "channel: expected a number from 0 to less than 3",
        "power_spectrum of channel 0 in 0": "axes: expected a number from 1 to 32767",
        "power_spectrum of channel 0 in -1": "axes: expected a number from 1 to 32767",
        "power_spectrum of channel 0 in 40000": "axes: expected a number from 1 to 32767",
        "fft_tables of 2 points": "twiddle: expected a power of two from 4 to 32768 as length",
        "fft_tables of 12 points": "twiddle: expected a power of two from 4 to 32768 as length",
        "fft_tables of 65536 points": "twiddle: expected a power of two from 4 to 32768 as length",
        "fft_tables for a window longer than the transform": "window: expected array('f') no longer than 16",
        "bands with edges [1, 3, 3, 9]": "edges: expected rising bin indices up to 9",
        "bands with edges [4, 3, 5, 6]": "edges: expected rising bin indices up to 9",
        "bands with edges [1, 2, 3, 10]": "edges: expected rising bin indices up to 9",
    }
    for what, text in texts.items():
        assert found[what] == "ValueError: " + text
    refusals = [outcome for what, outcome in found.items() if what.startswith("update with forgetting")]
    assert refusals == ["ValueError: params: expected a forgetting factor above 0 and not above 1"] * 4
    assert found["update with NaN as activation"] == found["update with NaN as residual"] == "(False, True)"


def test_both_implementations_refuse_in_the_same_words(micropython, float_module):
    assert micropython("mp_refusals.py", build.FLOAT_MODULE) == micropython("mp_refusals.py", "fieldelm.kernels_py")


def chosen(path):
    """`kernels.NAME` on MicroPython with this path."""
    script = "from fieldelm import kernels; print(kernels.NAME)"
    variables = {**os.environ, "MICROPYPATH": ":".join([*map(str, path), ".frozen"])}
    command = [*environment.micropython_command(), "-c", script]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout.split()[0]


def test_the_native_module_is_chosen_where_it_can_be(tmp_path):
    device = environment.repository_root() / "device"
    has_native = environment.micropython().kernels != "python"
    assert chosen(environment.micropath("sim")) == ("native" if has_native else "python")
    if environment.micropython().kernels == "user module":
        pytest.skip("kernels are built in: there is no module to leave out")
    assert chosen([device]) == "python"
    # a module for another processor, one of an older interface, and a damaged one
    module = tmp_path / "fieldelm_native.mpy"
    for header in (bytes([ord("M"), 6, 4 << 2 | 3, 31, 1, 0]), bytes([ord("M"), 5, 0, 31, 1, 0])):
        module.write_bytes(header)
        assert chosen([device, tmp_path]) == "python"
    module.unlink()
    (tmp_path / "fieldelm_native.py").write_text("INTERFACE = 0\n")
    assert chosen([device, tmp_path]) == "python"
