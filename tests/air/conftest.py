import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fieldelm_tools.air import AirOptions, AirServer, Propagation

sys.path.insert(0, str(Path(__file__).parent))  # air_clients

CLEAR = Propagation(shadowing_db=0.0, fading_db=0.0)


@pytest.fixture
def serve() -> Iterator[Callable[..., AirServer]]:
    """Start airs with these options (no shadowing and fading unless told otherwise); they are stopped in the end."""
    started: list[AirServer] = []

    def start(**options: object) -> AirServer:
        air = AirServer(AirOptions(**{"conditions": CLEAR, **options}))
        air.start()
        started.append(air)
        return air

    yield start
    for air in started:
        air.stop()
