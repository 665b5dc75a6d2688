"""On MicroPython: the inner loops as viper code and as bytecode give the same samples."""

import hashlib
from array import array

from accelerometer import Accelerometer, load_synthesis, plain_synthesis
from air_client import NoAir
from battery import Battery
from board import Clock


def windows(synthesis):
    air = NoAir()
    config = {
        "eui": "0200000000000001",
        "sense": {"rate_hz": 1600, "samples": 512},
        "options": {
            "machine": {"neighbour_g": 0.3},
            "script": [
                {"at_s": 1, "damage": "bearing", "severity": 1},
                {"at_s": 2, "damage": "blade"},
                {"at_s": 3, "fault": "clipped"},
                {"at_s": 4, "fault": "gain"},
            ],
        },
    }
    sensor = Accelerometer(config, Clock(air), Battery(air, {}), synthesis)
    out = array("h", bytes(2 * 3 * 512))
    taken = []
    for _ in range(20):
        sensor.read(out)
        taken.append(hashlib.sha256(out).digest())
    return taken


print("same" if windows(load_synthesis()) == windows(plain_synthesis()) else "different")
