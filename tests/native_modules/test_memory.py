"""The static memory plan: the C core's sizes, the learner's real ones, the page, and what is refused."""

import json
import re
import shutil
import subprocess

import pytest
from fixed_core import SIZE, build

from fieldelm import config, memory
from fieldelm_tools import cli, environment, memory_plan

NODE = {"schema": 1, "board": "sim", "eui": "0200000000000001", "node_id": 7, "keys": {"0": "00" * 16}}
SHAPES = [(n, h) for n in (1, 2, 63, 64, 65, 511, 512, 1024) for h in (1, 2, 21, 22, 33, 64)]
LEARNER = """
import gc, json, sys
from fieldelm.watcher import Watcher
class Sensor: rate_hz = 1600; axes = 3; full_scale = 0; g_per_count = 0.004
taken = []
for number in (0, 0, 1):  # the first makes what all of them share
    job = json.loads(sys.argv[1])
    gc.collect()
    before = gc.mem_alloc()
    watcher = Watcher(job, Sensor)
    gc.collect()
    taken.append(gc.mem_alloc() - before)
    del watcher
print(taken[-1])
"""


def test_state_within_its_bounds():
    assert memory.state_bytes(64, 22) <= 8_000
    assert memory.state_bytes(511, 22) <= 56_000


def test_sizes_are_those_of_the_core(tmp_path):
    if shutil.which("cc") is None:
        pytest.skip("no C compiler (cc)")
    library = build(tmp_path, ["-O1"])
    for n, h in SHAPES:
        assert memory.state_bytes(n, h) == 4 * library.fieldelm_fixed_model_words(SIZE(n), SIZE(h)), (n, h)
        assert memory.work_bytes(n, h) == 4 * library.fieldelm_fixed_work_words(SIZE(n), SIZE(h)), (n, h)
    for h in (1, 2, 21, 22, 64):
        assert memory.explainer_bytes(h) == 4 * library.fieldelm_fixed_explainer_words(SIZE(h)), h
    for size in memory_plan.SAMPLES:
        assert memory.table_bytes(size) == 4 * library.fieldelm_fixed_table_words(SIZE(size)), size


def test_page_is_current():
    page = (environment.repository_root() / "docs" / "reference" / "memory.md").read_text(encoding="utf-8")
    written = page.split(memory_plan.BEGIN)[1].split(memory_plan.END)[0].strip()
    assert written == memory_plan.plan(), (
        "run python -m fieldelm_tools.memory_plan and put it into docs/reference/memory.md"
    )


@pytest.mark.parametrize("architecture", ["armv6m", "armv7emsp", "x64"])
def test_code_is_as_large_as_the_page_says(architecture):
    module = environment.build_directory() / "natmods" / architecture / "fieldelm_native.mpy"
    if not module.is_file():
        pytest.skip(f"no native module for {architecture} is built")
    page = (environment.repository_root() / "docs" / "reference" / "memory.md").read_text(encoding="utf-8")
    said = re.search(rf"([\d.]+) kB for {architecture}", page)
    assert said
    assert float(said[1]) * 1000 == pytest.approx(module.stat().st_size, rel=0.05)


@pytest.mark.parametrize(
    ("sense", "learn"),
    [
        ({"kind": "features", "inputs": 6}, {"hidden": 4}),
        ({"kind": "features", "inputs": 511}, {"hidden": 22}),
        ({"kind": "spectrum", "bands": 64}, {"hidden": 22}),
        ({"kind": "spectrum", "bands": 128}, {"hidden": 64}),
        ({"kind": "waveform", "samples": 1024}, {"hidden": 22}),
        ({"kind": "waveform", "samples": 2048, "axis": "x", "bands": 16}, {"hidden": 8}),
    ],
)
def test_a_learner_takes_no_more_than_planned(sense, learn):
    sense = {"inputs": 511, "samples": 1024, "axis": "sum", "bands": 64, "band_low_hz": 0, "band_high_hz": 0, **sense}
    learn = {"seed": 1, "policy": "auto", "train_rows": 40, "calibration_rows": 24, **learn}
    if environment.micropython().kernels == "python":
        pytest.skip("this MicroPython has no native kernels")
    done = subprocess.run(
        [
            *environment.micropython_command(),
            "-X",
            "heapsize=4M",
            "-c",
            LEARNER,
            json.dumps({"sense": sense, "learn": learn}),
        ],
        env=environment.micropython_environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    window = 2 * 3 * sense["samples"] if sense["kind"] == "waveform" else 0  # the node's own
    assert int(done.stdout) + window <= memory.learner_bytes(sense, learn)


CHECK = """
import json, sys
from fieldelm import config
try:
    config.check(json.loads(sys.argv[1]), "config.json")
except config.ConfigError as error:
    print(error)
"""


def refusal_on_the_node(given):
    """What a node's MicroPython says to a configuration: nothing if it takes it."""
    command = [*environment.micropython_command(), "-c", CHECK, json.dumps(given)]
    done = subprocess.run(command, env=environment.micropython_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("sense", "learn"),
    [
        ({"kind": "features", "inputs": 255}, {"hidden": 64}),
        ({"kind": "waveform", "bands": 128, "samples": 2048}, {"hidden": 64}),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line_whose_mend_does(sense, learn):
    given = {**NODE, "sense": sense, "learn": learn}
    with pytest.raises(config.ConfigError) as error:
        config.check(given, "config.json")
    text = str(error.value)
    assert text.startswith("config.json: the learner would take ")
    assert "\n" not in text
    assert refusal_on_the_node(given) == text
    found = re.search(r'at most (\d+) for "hidden"', text)
    assert found
    given["learn"] = {"hidden": int(found[1])}
    config.check(given)
    assert refusal_on_the_node(given) == ""
    given["learn"] = {"hidden": int(found[1]) + 1}
    with pytest.raises(config.ConfigError):
        config.check(given)


def test_the_mend_where_no_number_of_hidden_units_fits():
    sense = {"kind": "features", "inputs": 511, "lags": 1}
    assert str(memory.problem(sense, {"hidden": 22})).endswith('write less for "inputs"')
    assert memory.problem({**sense, "inputs": 255}, {"hidden": 22}) is None


def test_build_prints_the_plan(capsys):
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    assert cli.main(["build", "natmods", "--arch", "x64"]) == 0
    assert memory_plan.plan() in capsys.readouterr().out
