"""Collects ``mp_*.py`` as the node's tests do: functions that the real MicroPython runs, each in a process of its own."""

import importlib.util
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for cooling_fan.py

_FILE = Path(__file__).parent.parent / "node" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("micropython_tests", _FILE)
assert _SPEC is not None
assert _SPEC.loader is not None
_MODULE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)
pytest_collect_file = _MODULE.pytest_collect_file
