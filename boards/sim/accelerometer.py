"""An accelerometer on the machine's housing: sampling, resolution, range, noise of its own, and its faults.

Its parameters are in ``DEFAULTS``; "sensor" in the options overrides them. Entries of the "script" break and mend it:
``{"at_s": 9500, "fault": "gain", "value": 0.4}``, ``{"at_s": 9600, "fault": null}``. Faults, and what ``value`` means:

    dead        it does not answer
    stuck       every sample is the last one from before
    saturated   every sample is the largest count
    clipped     an amplifier in front of it overdrives it
    detached    it hangs on its wire
    gain        it shows ``value`` (0.4) of the vibration
    noisy       ``value`` (0.5) g RMS of noise more
    rate        it samples at ``value`` (0.8) of its rate

Flow noise is Student's t with 4 degrees of freedom (heavy tails), by the closed form of its quantiles: Shaw 2006.
"""

import math
from array import array

from micropython import const

from fieldelm.config import ConfigError
from machine import BEARING_ORDER, Machine, Random, change
from script import Cycle, Script

FAULTS = ("dead", "stuck", "saturated", "clipped", "detached", "gain", "noisy", "rate")

DEFAULTS = {
    "seed": 0,  # of everything random; 0: from the node's EUI
    "axes": 3,
    "g_per_count": 0.0039,  # ADXL345 at full resolution, +-16 g
    "full_scale": 4095,
    "noise_g": 0.004,  # RMS
    "gravity_x": 0,
    "gravity_y": 0,
    "gravity_z": 1,
}

_SAMPLING_MA = const(0.14)  # ADXL345 data sheet, table 1
_TURN = const(1 << 32)
_FLOW_POLE = const(400)  # of 1024: the spectrum of the flow noise falls above about a tenth of the rate
_NEIGHBOUR_POLE = const(250)
_MOST = const((1 << 29) - 1)  # that an accumulator takes


def load_synthesis():
    """The module of the inner loops; as bytecode where MicroPython has no native emitter for the processor."""
    try:
        import synthesis

        return synthesis
    except SyntaxError:
        return plain_synthesis()


def plain_synthesis():
    """The inner loops as bytecode."""
    folder, slash, _ = __file__.rpartition("/")
    with open(folder + slash + "synthesis.py") as file:
        text = file.read().replace("@micropython.viper\n", "")
    space = {"ptr16": lambda buffer: buffer, "ptr32": lambda buffer: buffer}
    exec(text, space)
    return type("synthesis", (), {name: staticmethod(space[name]) for name in space if callable(space[name])})


class Accelerometer:
    """The sensor of docs/reference/interfaces.md, section 1, of kind "waveform".

    ``config``: the node's; ``clock``: the board's; ``battery``: pays for sampling; ``synthesis``: other inner loops.
    """

    kind = "waveform"

    def __init__(self, config, clock, battery, synthesis=None):
        options = config["options"]
        v = dict(DEFAULTS)
        change(v, options.get("sensor", {}), "sensor")
        self._clock = clock
        self._battery = battery
        self._synthesis = synthesis or load_synthesis()
        self.rate_hz = config["sense"]["rate_hz"]
        self.axes = v["axes"]
        self.full_scale = v["full_scale"]
        self.g_per_count = v["g_per_count"]
        self._noise_g = v["noise_g"]
        self._gravity = (v["gravity_x"], v["gravity_y"], v["gravity_z"])
        self._random = Random(v["seed"] or int(config["eui"][-8:], 16))
        self.machine = Machine(options.get("machine", {}), self.axes, self.rate_hz)
        n = config["sense"]["samples"]
        self._acc = array("i", bytes(4 * n))
        self._sine = array("H", bytes(2048))
        self._quantiles = array("H", bytes(2048))
        for i in range(1024):
            self._sine[i] = 32768 + int(32767 * math.sin(math.pi * i / 512))
            self._quantiles[i] = 32768 + int(4096 * _student(i))
        self._jitter = array("H", [32768] * (n // 16 + 1))
        self._steady = array("H", [32768] * (n // 16 + 1))
        self._memory = [array("i", bytes(8)) for _ in range(self.axes)]
        self._last = array("h", bytes(2 * self.axes))
        self._fault = None
        self._fault_value = None
        self._script = Script(options.get("script", ()), self._apply)
        self._cycle = Cycle(options.get("cycle", ()), self._apply)

    def _apply(self, entry, since_s):
        if "fault" in entry:
            self._fault = entry.pop("fault")
            self._fault_value = entry.pop("value", None)
            if self._fault is not None and self._fault not in FAULTS:
                raise ConfigError("options: script: fault must be null or one of %s" % ", ".join(FAULTS))
        self.machine.apply(entry, since_s)

    def read(self, out):
        """Sample ``len(out) // axes`` rows of raw counts into ``out``; returns their number. OSError: it is dead."""
        n = min(len(out) // self.axes, len(self._acc))
        rate = self.rate_hz
        now_s = self._clock.world_s()
        self._script.run(now_s)
        self._cycle.run(now_s)
        fault = self._fault
        if fault == "dead":
            raise OSError("the sensor does not answer")
        if fault == "rate":
            rate *= self._value(0.8)
        if fault == "stuck":
            for i in range(n * self.axes):
                out[i] = self._last[i % self.axes]
        elif fault == "saturated":
            for i in range(n * self.axes):
                out[i] = self.full_scale
        else:
            self._sample(out, n, rate, now_s)
        for axis in range(self.axes):
            self._last[axis] = out[(n - 1) * self.axes + axis]
        duration_us = int(n * 1000000 / rate)
        self._clock.sleep_us(duration_us)
        self._battery.draw(_SAMPLING_MA, duration_us)
        return n

    def _value(self, default):
        return default if self._fault_value is None else self._fault_value

    def _units(self, g):
        # of the accumulator: 1/256 count
        return int(min(max(g * 256 / self.g_per_count, -_MOST), _MOST))

    def _noise_units(self, g, pole):
        # what the low-pass filter of `synthesis.noise` takes away is put on top
        return self._units(g / math.sqrt(pole / (2048 - pole))) if g > 0 else 0

    def _sample(self, out, n, rate, now_s):
        machine = self.machine
        random = self._random
        synthesis = self._synthesis
        acc = self._acc
        shaft_hz = machine.update(now_s)
        base = shaft_hz * (1 + machine.values["jitter"] * random.normal()) * _TURN / rate
        self._walk(machine.values["jitter"] * 1048576)
        phases = [random.bits() for _ in range(machine.tones)]
        loudness = [1 + 0.03 * random.normal() for _ in range(machine.tones)]
        for axis in range(self.axes):
            for i in range(n):
                acc[i] = 0
            for g, pole in ((machine.flow_g, _FLOW_POLE), (machine.neighbour_noise_g, _NEIGHBOUR_POLE)):
                units = self._noise_units(g * machine.gain[axis], pole)
                if units:
                    random.state = synthesis.noise(acc, n, self._quantiles, random.state, units, pole)
            if machine.impact_g:
                self._impacts(n, rate / (BEARING_ORDER * shaft_hz), machine.impact_g * machine.gain[axis])
            self._resonate(n, rate, axis)
            for k in range(machine.tones):
                units = self._units(machine.level_g[k * self.axes + axis] * loudness[k])
                if units:
                    order = machine.order[k]
                    step = int(base * order) if order > 0 else int(-order * _TURN / rate)
                    jitter = self._jitter if order > 0 else self._steady
                    synthesis.tone(acc, n, self._sine, (phases[k] + (axis << 30)) & 0xFFFFFFFF, step, jitter, units)
            self._finish(out, n, axis)

    def _walk(self, sigma):
        # speed within the window: a first-order autoregression, as slow as the rotor's inertia has it
        deviation = sigma * self._random.normal()
        for i in range(len(self._jitter)):
            self._jitter[i] = 32768 + int(min(max(deviation, -32000), 32000))
            deviation = 0.9375 * deviation + 0.348 * sigma * self._random.normal()

    def _impacts(self, n, period, g):
        # rolling elements slip: the period varies by some 1.5 %
        at = period * (self._random.bits() >> 8) / 16777216
        units = self._units(g)
        while at < n:
            self._acc[int(at)] += int(units * (1 + 0.3 * self._random.normal()))
            at += max(1.0, period * (1 + 0.015 * self._random.normal()))

    def _resonate(self, n, rate, axis):
        hz = self.machine.resonance_hz[axis]
        if 0 < hz < 0.45 * rate:  # else it is beyond what the sensor hears
            angle = 2 * math.pi * hz / rate
            radius = math.exp(-self.machine.values["damping"] * angle)
            c1 = int(32768 * radius * math.cos(angle))
            self._synthesis.resonate(self._acc, n, self._memory[axis], c1, int(-16384 * radius * radius))

    def _finish(self, out, n, axis):
        fault = self._fault
        gain = 1024
        noise_g = self._noise_g
        gravity = self._gravity[axis]
        if fault == "gain":
            gain = int(1024 * self._value(0.4))
        elif fault == "clipped":
            gain = 3 * 1024 * 256 * self.full_scale // max(1, self._synthesis.peak(self._acc, n))
        elif fault == "noisy":
            noise_g += self._value(0.5)
        elif fault == "detached":
            gain = 10
            gravity = -self._gravity[(axis + 1) % 3]
        gravity, noise = self._units(gravity), self._units(noise_g)
        state = self._random.state
        limit = self.full_scale
        self._random.state = self._synthesis.quantise(
            self._acc, n, out, axis, self.axes, gravity, gain, limit, noise, state
        )


def _student(i):
    # quantile (i + 1/2) / 1024 of Student's t with 4 degrees of freedom; 1.391: its standard deviation in the table
    p = (i + 0.5) / 1024
    root = math.sqrt(4 * p * (1 - p))
    t = 2 * math.sqrt(max(0.0, math.cos(math.acos(root) / 3) / root - 1))
    return (t if p > 0.5 else -t) / 1.391
