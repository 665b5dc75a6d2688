"""Fixtures of the demo's tests; what they are made of is in `demo_runs.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from demo_runs import broker, simulated

__all__ = ["broker", "simulated"]
