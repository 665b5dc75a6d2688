"""Power is cut at every operation of flash in a life of a node, between any two and in the middle of each."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fieldelm_tools import environment

_SCRIPT = Path(__file__).with_name("run_power_cuts.py")
_PARTS = 2  # processes
_CUTS = 2000


def _run(*arguments: object, script: Path = _SCRIPT) -> dict[str, float]:
    variables = environment.micropython_environment("sim")
    variables["MICROPYPATH"] = str(_SCRIPT.parent) + ":" + variables["MICROPYPATH"]
    command = [*environment.micropython_command(), "-X", "heapsize=16m", str(script), *map(str, arguments)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_the_node_starts_after_a_cut_at_every_operation_with_the_last_or_the_previous_state(tmp_path):
    log, facts = tmp_path / "operations", tmp_path / "facts"
    _run("life", log, facts)
    with ThreadPoolExecutor(_PARTS) as pool:
        done = list(pool.map(lambda part: _run("cut", log, facts, part, _PARTS, 1), range(_PARTS)))
    cuts = sum(one["cuts"] for one in done)
    print(f"{cuts} cuts: no bad start, no counter used twice")  # run_power_cuts.py would have failed
    assert cuts >= _CUTS


def test_flash_lasts_longer_than_the_machine_even_with_an_event_every_seven_minutes():
    script = _SCRIPT.with_name("run_flash_life.py")
    assert _run(10, 1, script=script)["years_at_least"] > 100
    assert _run(2, 200, script=script)["years_at_least"] > 10
