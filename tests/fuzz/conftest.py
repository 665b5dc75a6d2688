import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # mutate, parsers
sys.path.insert(0, str(Path(__file__).parents[1] / "gateway"))  # gateway_bench


@pytest.fixture
def seed() -> int:
    """Another one each night: FIELDELM_FUZZ_SEED; what a failure prints repeats it."""
    return int(os.environ.get("FIELDELM_FUZZ_SEED", "1"))
