"""Emulated Picos on the project's air server: two processes, one simulated time."""

import pytest
from emulated_chips import SX1262, SX1276
from test_chips_on_pico import AIRTIME_US, FRAME, SX1262_PROGRAM, SX1276_PROGRAM

from fieldelm_tools.air import AirOptions, AirServer

pytestmark = pytest.mark.timeout(600)


def test_a_frame_goes_through_the_air_server(bench):
    with AirServer(AirOptions(expect_nodes=2)) as air:
        near = bench({**SX1276, "position": [0, 0]}, air=air.address)
        far = bench({**SX1262, "position": [30, 0]}, air=air.address, name="far")
        node, other = near.repl("node"), far.repl("far")
        node.run(SX1276_PROGRAM)
        other.run(SX1262_PROGRAM)
        other.run("listen()")
        other.start("print(heard())")
        assert 0 <= node.value(f"send({FRAME!r})") - AIRTIME_US < 300
        _flags, data, rssi, snr = eval(other.until(b"\x04").decode())
        assert data == FRAME
        assert -80 < rssi < -50
        assert snr == 10
        for b, name in ((near, "node"), (far, "far")):
            assert b.status(name)["reports"] == []
            assert b.status(name)["time"] * 1e6 < air.now_us + 300
