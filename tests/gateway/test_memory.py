"""Memory stays flat, however many frames have come."""

import re
from pathlib import Path

import pytest

from fieldelm_gateway.publisher import Published
from fieldelm_tools.bench.gateway_surroundings import Nodes


def _resident_mb():
    return int(re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


@pytest.mark.slow
def test_memory_is_flat_over_many_frames_of_a_busy_gateway(tmp_path, make_bench):
    nodes = Nodes(tmp_path / "gateway.db", 1000)
    bench = make_bench(radio={"duty_cycle": "unlimited"})
    bench.core.step([])
    seen, resident = 0, []
    for turn in range(240):
        bench.clock.ms += 1280  # 200 frames a second
        assert None not in bench.hear_all([data for _, data in nodes.alerts(256)])
        bench.core.step([Published(tuple(range(seen + 1, seen + 257)), ())])
        seen += 256
        if turn in (39, 239):
            resident.append(_resident_mb())
    print(f"{resident[0]:.1f} MB after 10,240 frames, {resident[1]:.1f} MB after 61,440")
    assert resident[1] - resident[0] < 3
