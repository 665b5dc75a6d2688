"""What a radio hears of another: path loss, fading, noise, and how much disturbance a frame survives.

Every random number is a function of the seed and of names (sender, frame number, receiver), never of the order in which
something was asked, so that a run can be repeated exactly.
"""

import dataclasses
import hashlib
import math
import struct

# demodulation limit by spreading factor, dB: SX1276 datasheet, table 13; SX1262 6.1.1.1
SNR_LIMIT_DB = {5: -2.5, 6: -5.0, 7: -7.5, 8: -10.0, 9: -12.5, 10: -15.0, 11: -17.5, 12: -20.0}
# co-channel rejection at the same spreading factor: Goursaud and Gorce 2015, table 1; so in LoRaSim (Bor et al. 2016)
CAPTURE_DB = 6.0
# rejection of another spreading factor, mean of the measurements of Croce et al. 2018, table II
ORTHOGONAL_DB = -16.0
# symbols of preamble that a receiver needs to find a frame: Bor et al. 2016
PREAMBLE_SYMBOLS = 5
# the chips' estimate of the signal-to-noise ratio saturates
SNR_CEILING_DB = 10.0

_UNIT = 1.0 / (1 << 32)


@dataclasses.dataclass(frozen=True)
class Propagation:
    """Log-distance path loss, PL(d) = PL(1 m) + 10 n log10(d) + X (Rappaport, "Wireless Communications", 4.9)."""

    seed: int = 1
    exponent: float = 3.0
    """n; 2 in free space, 2.7 to 3.5 in factories"""
    shadowing_db: float = 3.0
    """standard deviation of X, drawn once for each pair of stations"""
    fading_db: float = 1.0
    """standard deviation of what is added for each frame and receiver"""
    noise_figure_db: float = 6.0
    loss: float = 0.0
    """probability that a receiver misses a frame it could have heard"""

    def path_loss_db(self, distance_m: float, freq_khz: int) -> float:
        """Free space for the first metre, then `exponent`."""
        first_metre = 20.0 * math.log10(freq_khz / 1e3) + 32.44 - 60.0
        return first_metre + 10.0 * self.exponent * math.log10(max(1.0, distance_m))

    def shadowing(self, one: str, other: str) -> float:
        """Shadowing between two stations in dB, the same both ways."""
        if not self.shadowing_db:
            return 0.0
        return self.shadowing_db * normal(self.seed, "link", *sorted((one, other)))

    def fading(self, sender: str, number: int, receiver: str) -> float:
        """Fading of one frame at one receiver in dB."""
        return self.fading_db * normal(self.seed, "frame", sender, number, receiver) if self.fading_db else 0.0

    def lost(self, sender: str, number: int, receiver: str) -> bool:
        """Whether the receiver misses this frame by chance."""
        return self.loss > 0.0 and uniform(self.seed, "loss", sender, number, receiver) < self.loss

    def noise_dbm(self, bandwidth_khz: float) -> float:
        """Thermal noise (-174 dBm/Hz) in the receiver's bandwidth, with its noise figure."""
        return -174.0 + 10.0 * math.log10(bandwidth_khz * 1e3) + self.noise_figure_db


def _words(*what: object) -> tuple[int, int]:
    digest = hashlib.blake2b("\0".join(map(str, what)).encode(), digest_size=8).digest()
    first, second = struct.unpack("<II", digest)
    return first, second


def uniform(*what: object) -> float:
    """A number in [0, 1) that belongs to these words."""
    return _words(*what)[0] * _UNIT


def normal(*what: object) -> float:
    """A standard normal number that belongs to these words (Box and Muller 1958)."""
    first, second = _words(*what)
    return math.sqrt(-2.0 * math.log((first + 1) * _UNIT)) * math.cos(2.0 * math.pi * second * _UNIT)


def garble(data: bytes, *what: object) -> bytes:
    """The same bytes with about a tenth of them damaged, at least one."""
    pattern = hashlib.shake_128("\0".join(map(str, what)).encode()).digest(2 * len(data))
    damaged = bytearray(data)
    for i in range(len(data)):
        if pattern[2 * i] < 26 or i == len(data) - 1:
            damaged[i] ^= pattern[2 * i + 1] | 1
    return bytes(damaged)
