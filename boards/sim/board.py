# ruff: noqa: E402
"""The board that is no board: radio over the simulated air, a model of a machine or a recording as sensor.

Keys of the configuration's "options" (docs/reference/simulation.md):

    air         "host:port" of the air server; without it the node runs alone, as fast as it can
    name        the node's name in the air (its EUI)
    x, y        place in metres; gain_db of the antenna
    machine     the model of a machine (machine.py), with sensor (accelerometer.py), script and cycle
    play        or the recordings to play (player.py)
    battery     battery.py
    mean_c, swing_c     temperature and its daily swing
"""

import gc
import json
import math
import os
import sys

# collect often while code is compiled into the heap: else it lies scattered there, and no large buffer fits in between
gc.threshold(32768)

from air_client import AirClient, NoAir
from battery import Battery
from fieldelm.config import ConfigError
from radio import Radio

name = "sim"
RESTART = 64  # exit code of a process that wants to be started again
_KEYS = (
    "air",
    "name",
    "x",
    "y",
    "gain_db",
    "machine",
    "sensor",
    "script",
    "cycle",
    "play",
    "battery",
    "mean_c",
    "swing_c",
)


class Clock:
    """Simulated time: the air's, counted from the node's start."""

    def __init__(self, air):
        self._air = air
        self._start_us = air.now_us

    def now_ms(self):
        """Milliseconds since the node's start."""
        return (self._air.now_us - self._start_us) // 1000

    def sleep_ms(self, ms):
        """Let time pass."""
        self.sleep_us(1000 * ms)

    def sleep_us(self, us):
        """Let time pass."""
        self._air.wait(self._air.now_us + us)

    def world_s(self):
        """Seconds since the start of the air: what scripts of the world go by."""
        return self._air.now_us / 1e6


class Board:
    """What ``open`` returns: docs/reference/interfaces.md, section 1."""

    name = name

    def __init__(self, config):
        if config["board"] != name:
            raise ConfigError(
                '"board" is %s, but this is %s: run it with that board\'s firmware' % (config["board"], name)
            )
        options = config["options"]
        for key in options:
            if key not in _KEYS:
                raise ConfigError("options: unknown key %s; known are %s" % (json.dumps(key), ", ".join(_KEYS)))
        self._air = self._open_air(config, options)
        self.clock = Clock(self._air)
        self._battery = Battery(self._air, options.get("battery", {}))
        self.radio = Radio(self._air, self.clock, self._battery, config["radio"])
        self.sensor = self._open_sensor(config, options)
        self._mean_c = options.get("mean_c", 22.0)
        self._swing_c = options.get("swing_c", 3.0)
        self.boot_cause = int(os.getenv("FIELDELM_BOOT_CAUSE") or 1)

    @staticmethod
    def _open_air(config, options):
        if "air" not in options:
            return NoAir()
        place = {key: options.get(key, 0) for key in ("x", "y", "gain_db")}
        try:
            return AirClient(options["air"], options.get("name") or config["eui"], place)
        except (OSError, ValueError) as error:
            raise ConfigError("options: air: %s does not answer (%s); start the air first" % (options["air"], error))

    def _open_sensor(self, config, options):
        if "play" in options:
            from player import Player

            return Player(config, self.clock)
        from accelerometer import Accelerometer

        return Accelerometer(config, self.clock, self._battery)

    def battery_mv(self):
        """Battery in mV."""
        return self._battery.mv()

    def temperature_c(self):
        """Chip temperature in °C, with a daily swing."""
        return self._mean_c + self._swing_c * math.sin(2 * math.pi * self.clock.world_s() / 86400)

    def identify(self, seconds):
        """Say on the console what an LED would show."""
        print(json.dumps({"kind": "identify", "seconds": seconds, "t_ms": self.clock.now_ms()}))

    def reboot(self):
        """End the process with code 64: whoever started it starts it again."""
        self._air.restart()
        sys.exit(RESTART)


def open(config):
    """The board with this configuration. Raises ConfigError."""
    return Board(config)
