"""Cycles of the kernels on the emulated Pico: none gets slower unnoticed, and the targets hold."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from fieldelm_tools import cli, environment
from fieldelm_tools.bench import kernel_gate, kernels
from fieldelm_tools.bench.kernel_gate import Results, complaints

BASELINE = Path(__file__).with_name("kernel_cycles.json")
"""Written by `fieldelm bench kernels --build float_natmod --build natmod --build user_module --json`."""


def changed(results: Results, name: str, build: str, by: float) -> Results:
    """The results with one kernel's cycles multiplied."""
    copied = copy.deepcopy(results)
    for result in copied:
        if (result["name"], result["build"]) == (name, build):
            result["cycles"] = round(result["cycles"] * by)
    return copied


def test_targets_of_the_baseline() -> None:
    before = kernel_gate.baseline(BASELINE)
    assert {(r["name"], r["build"]) for r in before} == {
        (kernel.name, build)
        for kernel in kernels.KERNELS
        for build in ("float_natmod", "natmod", "user_module")
        if build != "float_natmod" or kernel.name not in kernel_gate.WITHOUT_FLOATS
    }
    assert complaints(before, before) == []
    assert set(kernel_gate.TARGETS) < {kernel.name for kernel in kernels.KERNELS}


@pytest.mark.parametrize("build", ["natmod", "user_module"])
@pytest.mark.parametrize("name", [kernel.name for kernel in kernels.KERNELS])
def test_four_percent_are_noticed_and_two_are_not(name: str, build: str) -> None:
    before = kernel_gate.baseline(BASELINE)
    assert any("slower" in line and name in line for line in complaints(changed(before, name, build, 1.04), before))
    assert any("anew" in line and name in line for line in complaints(changed(before, name, build, 0.96), before))
    assert not any("baseline" in line for line in complaints(changed(before, name, build, 1.02), before))


def test_missed_targets_are_named() -> None:
    before = kernel_gate.baseline(BASELINE)
    slow = changed(before, "fft_1024", "user_module", 1.2)
    assert any("target is 100,000" in line for line in complaints(slow, slow))
    for kernel in kernels.KERNELS:
        slow = changed(before, kernel.name, "user_module", 1.6)
        assert any(kernel.name in line and "times the limit" in line for line in complaints(slow, slow))
    fast = changed(before, "learn_511_22", "float_natmod", 0.6)
    assert any("25 times faster" in line for line in complaints(fast, fast))
    native = changed(before, "score_64_22", "natmod", 1.2)
    assert any("as native module" in line for line in complaints(native, native))
    assert complaints(before, []) != []


@pytest.mark.parametrize("text", ["", "{}", '{"results": [{}]}', "[]"])
def test_what_is_no_baseline_is_one_line(text: str, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "x.json").write_text(text)
    assert cli.main(["bench", "kernels", "--against", str(tmp_path / "x.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


LINES = {
    "fft_1024": "windowed spectrum of 1,024 samples, squared",
    "bands_64": "64 log bands",
    "score_64_22": "score, 64-22-64",
    "learn_64_22": "score and update, 64-22-64",
    "score_511_22": "score, 511-22-511",
    "learn_511_22": "score and update, 511-22-511",
    "explain_64_22": "explained score, 64-22-64",
    "invert_64_22": "the inverse for it, in floats",
    "window_to_decision": "1,024 samples to decision and update, 64-22-64",
}


@pytest.mark.parametrize("name", LINES)
def test_the_page_tells_the_baseline(name: str) -> None:
    page = (environment.repository_root() / "docs" / "explanation" / "kernels.md").read_text(encoding="utf-8")
    line = next(line for line in page.splitlines() if line.startswith(f"| {LINES[name]} |"))
    floats, *ours_said = (cell.strip().replace(",", "") for cell in line.split("|")[2:6])
    cycles, limit, ratio = map(float, ours_said)
    found = {r["build"]: r for r in kernel_gate.baseline(BASELINE) if r["name"] == name}
    ours = found["user_module"]
    if name in kernel_gate.WITHOUT_FLOATS:
        assert floats == "–"
    else:
        assert float(floats) == pytest.approx(found["float_natmod"]["cycles"], abs=50)
    assert (cycles, limit) == pytest.approx((ours["cycles"], ours["limit_cycles"]), abs=50)
    assert ratio == pytest.approx(ours["cycles"] / ours["limit_cycles"], abs=0.006)


@pytest.mark.slow
def test_cycles_are_those_of_the_baseline(capsys: Any) -> None:
    words = ["bench", "kernels", "--build", "natmod", "--build", "user_module", "--against", str(BASELINE), "--json"]
    code = cli.main(words)
    said = capsys.readouterr()
    assert code == 0, said.err
    results = json.loads(said.out)["results"]
    assert len(results) == 2 * len(kernels.KERNELS)
    assert max(result["error"] for result in results) < 0.01
    for result in results:  # all of a native module is in RAM, of what is built in the hot loops
        least = 20_000 if result["build"] == "natmod" else 3_000
        assert least < result["code_bytes"] < min(result["ram_bytes"], least + 10_000)


@pytest.mark.nightly
def test_the_float_baseline_is_that_of_the_baseline(capsys: Any) -> None:
    code = cli.main(["bench", "kernels", "--build", "float_natmod", "--against", str(BASELINE), "--json"])
    assert code == 0, capsys.readouterr().err
