"""A rotating machine (a fan or a pump): what shakes its housing, as a list of tones, flow noise and impacts.

All parameters are in ``DEFAULTS``; "machine" in the options overrides them, and entries of the "script" change them
later: ``{"at_s": 7200, "neighbour_g": 0.2}``, ``{"at_s": 9000, "damage": "blade", "severity": 0.5, "grow_per_h":
0.1}``. "cycle" does the same over and over: ``[{"for_s": 600, "speed_rpm": 2500}, ...]``. Seconds are the air's.

Sources. Imbalance: a = mu e w^2, with the permissible e w of ISO 21940-11 (G6.3 for fans) and mu the rotor's share of
the mass. Blade pass: blades x shaft, pressure and so force growing with w^2; unequal blades leave the other orders,
too. Looseness: half orders and a long series of harmonics (ISO 13373-2). Bearing: outer race of a 6205, 3.585 x
shaft. Structure: transmissibility of a mass on a spring, T^2 = (1 + (2 z r)^2) / ((1 - r^2)^2 + (2 z r)^2) with r = f
/ f0 (Rao, Mechanical Vibrations, 9.9).
"""

import json
import math
from array import array

from micropython import const

from fieldelm.config import ConfigError

DAMAGES = ("imbalance", "misalignment", "looseness", "blade", "bearing")

DEFAULTS = {
    "speed_rpm": 1500,
    "rated_rpm": 2500,  # at which the amplitudes below hold
    "spin_s": 4,  # time constant of a change of speed
    "jitter": 0.002,  # of the speed, standard deviation
    "blades": 7,
    "eccentricity_um": 24,  # e: 6.3 mm/s at 2500 rpm
    "mass_ratio": 0.1,  # mu
    "misalignment": 0.35,  # second harmonic against the first
    "blade_pass_g": 0.03,
    "turbulence_g": 0.02,  # RMS of the flow noise, before the structure amplifies it
    "bearing_g": 1.5,  # of one impact at severity 1
    "hum_g": 0.003,  # twice the mains frequency, while it runs
    "resonance_hz": 260,  # 0: none
    "damping": 0.06,
    "mount": 0,  # where the sensor sits: 0 as computed, any other number a place with gains and resonances of its own
    "neighbour_g": 0,  # RMS of what comes from the ventilation fan beside it
    "neighbour_rpm": 1440,
    "neighbour_blades": 6,
}

TONES = 48
BEARING_ORDER = 3.585
# orders of the neighbour's shaft (0: hum) and of its blades, share of its RMS; with its noise the squares add up to one
_NEIGHBOUR_NOISE = const(0.707)
_NEIGHBOUR = ((1, 0.35), (0, 0.3))
_NEIGHBOUR_BLADES = ((1, 0.45), (2, 0.25), (3, 0.15))
_PEAK = const(1.41421356)  # of a sine against its RMS
_RADIAL = (1.0, 0.9, 0.5)  # share of the shaft's forces in x, y (radial) and z (axial)
_HUM_HZ = const(100.0)


class Random:
    """Repeatable random numbers: xorshift, Marsaglia 2003."""

    def __init__(self, seed):
        self.state = seed * 2654435761 & 0xFFFFFFFF or 1
        for _ in range(8):
            self.bits()

    def bits(self):
        """32 bits, never all of them zero."""
        x = self.state
        x = (x ^ (x << 13)) & 0xFFFFFFFF
        x ^= x >> 17
        self.state = (x ^ (x << 5)) & 0xFFFFFFFF
        return self.state

    def normal(self):
        """A number close to standard normal: the sum of four bytes."""
        x = self.bits()
        return ((x & 255) + (x >> 8 & 255) + (x >> 16 & 255) + (x >> 24) - 510) / 147.8


def change(values, changes, where):
    """Put ``changes`` into ``values``, which knows the keys. Raises ConfigError."""
    for key, value in changes.items():
        if key not in values:
            known = ", ".join(sorted(values))
            raise ConfigError("options: %s: unknown key %s; known are %s" % (where, json.dumps(key), known))
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigError("options: %s: %s must be a number" % (where, json.dumps(key)))
        values[key] = value


class Machine:
    """State and spectrum of the machine; ``update`` fills what follows from the parameters, speed and damages.

    ``tones``: how many; of tone k ``order[k]`` (of the shaft; negative: -Hz) and ``level_g[k * axes + axis]`` (peak).
    ``flow_g``, ``neighbour_noise_g``: RMS before the structure; ``impact_g``; ``resonance_hz[axis]``, 0 for none.
    """

    def __init__(self, changes, axes, rate_hz):
        self.values = dict(DEFAULTS)
        change(self.values, changes, "machine")
        self._axes = axes
        self._nyquist_hz = 0.5 * rate_hz
        self.order = array("f", bytes(4 * TONES))
        self.level_g = array("f", bytes(4 * TONES * axes))
        self.gain = array("f", bytes(4 * axes))
        self.resonance_hz = array("f", bytes(4 * axes))
        self._damage = {}  # name -> severity, growth per hour, since
        speed = self.values["speed_rpm"]
        self._speed = (speed, speed, 0.0)  # from, to, since
        self._built_hz = -1.0

    def apply(self, entry, since_s):
        """An entry of script or cycle that begins at ``since_s``. Raises ConfigError."""
        changes = dict(entry)
        if "damage" in changes:
            damage = changes.pop("damage")
            severity = changes.pop("severity", 0.5)
            if damage is None:
                self._damage.clear()
            elif damage in DAMAGES:
                self._damage[damage] = (severity, changes.pop("grow_per_h", 0.0), since_s)
            else:
                raise ConfigError("options: script: damage must be null or one of %s" % ", ".join(DAMAGES))
        if "speed_rpm" in changes:
            self._speed = (self.shaft_hz(since_s) * 60, changes["speed_rpm"], since_s)
        change(self.values, changes, "script")
        self._built_hz = -1.0

    def shaft_hz(self, now_s):
        """Revolutions a second."""
        start, end, since = self._speed
        if start != end:
            end += (start - end) * math.exp(-(now_s - since) / max(self.values["spin_s"], 0.001))
        return end / 60

    def severity(self, damage, now_s):
        """How bad a damage is by now, 0 if it is not there."""
        if damage not in self._damage:
            return 0.0
        severity, growth, since = self._damage[damage]
        return max(0.0, severity + growth * (now_s - since) / 3600)

    def update(self, now_s):
        """Bring the tables up to date; returns revolutions a second."""
        hz = self.shaft_hz(now_s)
        growing = any([growth for _, growth, _ in self._damage.values()])
        if growing or self._built_hz < 0 or abs(hz - self._built_hz) > 0.005 * self._built_hz:
            self._built_hz = hz
            self._build(hz, now_s)
        return hz

    def _build(self, hz, now_s):
        v = self.values
        self.tones = 0
        self.flow_g = 0.0
        self.impact_g = 0.0
        self.neighbour_noise_g = v["neighbour_g"] * _NEIGHBOUR_NOISE
        self._mount()
        if hz > 0.5:
            self._build_shaft(hz, now_s)
            self._add(-_HUM_HZ, v["hum_g"], _HUM_HZ)
        if v["neighbour_g"] > 0:
            shaft_hz = v["neighbour_rpm"] / 60
            for order, share in _NEIGHBOUR:
                tone_hz = shaft_hz * order or _HUM_HZ
                self._add(-tone_hz, _PEAK * share * v["neighbour_g"], tone_hz)
            for order, share in _NEIGHBOUR_BLADES:
                tone_hz = shaft_hz * order * v["neighbour_blades"]
                self._add(-tone_hz, _PEAK * share * v["neighbour_g"], tone_hz)

    def _build_shaft(self, hz, now_s):
        v = self.values
        blades = v["blades"]
        relative = (hz * 60 / v["rated_rpm"]) ** 2
        loose = self.severity("looseness", now_s)
        blade = self.severity("blade", now_s)
        # a blade that has lost a piece unbalances the rotor, too
        eccentricity = v["eccentricity_um"] * 1e-6 * (1 + 8 * self.severity("imbalance", now_s) + 2 * blade)
        first = v["mass_ratio"] * eccentricity * (2 * math.pi * hz) ** 2 / 9.80665
        second = first * (v["misalignment"] + 3 * self.severity("misalignment", now_s))
        passing = v["blade_pass_g"] * relative
        for order in range(1, 3 * blades + 1):
            level = first if order == 1 else second if order == 2 else 0.4 * second if order == 3 else 0.0
            if loose and order > 1:
                level += first * 1.5 * loose / order
            if order % blades == 0:
                level += passing * (1.0, 0.4, 0.15)[order // blades - 1]
            elif blade:
                beside = order % blades in (1, blades - 1)
                level += passing * blade * (0.8 if beside else 0.3) / (1 + order // (2 * blades))
            self._add(order, level, order * hz)
        for half in (0.5, 1.5, 2.5, 3.5):
            self._add(half, first * loose / (half + 0.5), half * hz)
        self.flow_g = v["turbulence_g"] * relative * (1 + 0.6 * blade)
        self.impact_g = v["bearing_g"] * self.severity("bearing", now_s) * math.sqrt(relative)

    def _add(self, order, level_g, hz):
        if level_g <= 0 or self.tones == TONES or not 0 < hz < self._nyquist_hz:
            return  # the sensor filters what is above half its rate
        k = self.tones
        self.order[k] = order
        for axis in range(self._axes):
            share = _RADIAL[axis] if order > 0 else 1.0
            self.level_g[k * self._axes + axis] = level_g * share * self.gain[axis] * self._transmissibility(hz, axis)
        self.tones += 1

    def _mount(self):
        # gains and resonances of the place where the sensor sits
        mount = self.values["mount"]
        random = Random(mount + 1)
        for axis in range(self._axes):
            gain, shift = random.normal(), random.normal()
            hz = self.values["resonance_hz"] * (1 + 0.07 * axis)
            self.gain[axis] = math.exp(0.2 * gain) if mount else 1.0
            self.resonance_hz[axis] = hz * math.exp(0.08 * shift) if mount else hz

    def _transmissibility(self, hz, axis):
        if not self.resonance_hz[axis]:
            return 1.0
        r = hz / self.resonance_hz[axis]
        damped = (2 * self.values["damping"] * r) ** 2
        return math.sqrt((1 + damped) / ((1 - r * r) ** 2 + damped))
