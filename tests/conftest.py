"""What tests of all parts share."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Folder with recordings of real machines: FIELDELM_DATA, or ../shared/data where that exists."""
    folder = Path(os.environ.get("FIELDELM_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no recordings in {folder}: set FIELDELM_DATA")
    return folder.resolve()
