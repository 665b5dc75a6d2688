"""Nothing that comes from outside makes the host's code fall over: hypothesis for the corners, mutations for the millions."""

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from mutate import Random
from parsers import PARSERS

from fieldelm_tools import environment

_SHORT_S = 2.0  # each
_NIGHTLY = 400_000  # inputs each, or as many as this takes
_NIGHTLY_S = float(os.environ.get("FIELDELM_FUZZ_S", "1800"))
_NIGHTLY_TIMES = os.environ.get("FIELDELM_FUZZ_TIMES", "300")  # what mp_fuzz.py does in a short run
_ON_NODE = Path(__file__).with_name("mp_fuzz.py")
_ON_NODE_TESTS = re.findall(r"^def (test_\w+)", _ON_NODE.read_text(), re.MULTILINE)


def _feed(make: Callable[[Path], Any], folder: Path, seed: int, count: int, seconds: float) -> int:
    draw, take = make(folder)
    random = Random(seed)
    end = time.monotonic() + seconds
    done = 0
    while done < count and (done % 64 or time.monotonic() < end):
        hostile = draw(random)
        try:
            take(hostile)
        except BaseException as error:
            error.add_note(f"FIELDELM_FUZZ_SEED={seed}, input {done}: {hostile!r:.2000}")
            raise
        done += 1
    return done


@pytest.mark.parametrize("make", PARSERS, ids=lambda make: make.__name__)
def test_takes_or_refuses_mutations(make, tmp_path, seed):
    assert _feed(make, tmp_path, seed, _NIGHTLY, _SHORT_S) > 50


@pytest.mark.nightly
@pytest.mark.parametrize("make", PARSERS, ids=lambda make: make.__name__)
def test_takes_or_refuses_mutations_all_night(make, tmp_path, seed):
    done = _feed(make, tmp_path, seed + 1, _NIGHTLY, _NIGHTLY_S)
    print(f"{make.__name__}: {done} inputs")
    assert done > 5 * _NIGHTLY_S


@pytest.mark.parametrize("make", PARSERS, ids=lambda make: make.__name__)
def test_takes_or_refuses_what_hypothesis_finds(make, tmp_path):
    # hypothesis chooses every random number of the mutation, and shrinks what fails
    draw, take = make(tmp_path)

    @settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.randoms(use_true_random=False))
    def check(random):
        take(draw(random))

    check()


@pytest.mark.nightly
@pytest.mark.parametrize("name", _ON_NODE_TESTS)
def test_node_takes_or_refuses_all_night(name, tmp_path, seed):
    variables = environment.micropython_environment("sim")
    variables["MICROPYPATH"] = f"{_ON_NODE.parent}:{variables['MICROPYPATH']}"
    variables |= {"FIELDELM_FUZZ_TIMES": _NIGHTLY_TIMES, "FIELDELM_FUZZ_SEED": str(seed + 1)}
    runner = [*environment.micropython_command(), "-X", "heapsize=1m", str(_ON_NODE.parents[1] / "run_one.py")]
    result = subprocess.run([*runner, "mp_fuzz", name], cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr
