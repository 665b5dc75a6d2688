"""Brokers, modems, nodes and gateways for the tests here; and ``mp_*.py`` is run by MicroPython."""

import importlib.util
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # gateway_*.py: shared by the tests here

_SPEC = importlib.util.spec_from_file_location("micropython_tests", HERE.parent / "node" / "conftest.py")
assert _SPEC is not None
assert _SPEC.loader is not None
_MODULE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)
pytest_collect_file = _MODULE.pytest_collect_file

import pytest  # noqa: E402
from gateway_bench import Bench  # noqa: E402


@pytest.fixture
def make_bench(tmp_path):
    """A function that makes benches with settings of their own."""
    benches = []

    def make(**settings):
        bench = Bench(tmp_path, **settings)
        benches.append(bench)
        return bench

    yield make
    for bench in benches:
        bench.close()


@pytest.fixture
def bench(make_bench):
    """A core on the bench."""
    return make_bench()
