"""Who is in the air and what is on it: stations, frames, and which frames disturb each other."""

import dataclasses
import math
from collections.abc import Mapping

from . import propagation
from .messages import Radio


@dataclasses.dataclass(eq=False)
class Station:
    """A node or a gateway."""

    name: str
    role: str
    x: float
    y: float
    gain_db: float
    radio: Radio | None = None
    """how it listens, `None` while its receiver is off"""
    listening_since_us: int = 0
    locked: "Frame | None" = None
    sending: "Frame | None" = None
    computing: bool = False
    told: bool = False
    """a frame has begun since it last waited (radios)"""
    wake: int = 0
    """number of the wake-up that counts"""
    owes: "dict[int, Frame]" = dataclasses.field(default_factory=dict)
    """uplinks that this gateway has not answered"""
    unresponsive: bool = False
    """it has let an uplink pass without a word: it no longer holds time"""


@dataclasses.dataclass(eq=False)
class Frame:
    """A frame on the air."""

    sender: Station
    number: int
    radio: Radio
    data: bytes
    start_us: int
    end_us: int
    levels: dict[str, float] = dataclasses.field(default_factory=dict)
    """dBm by receiver"""
    found_us: dict[str, int] = dataclasses.field(default_factory=dict)
    outcome: dict[str, str] = dataclasses.field(default_factory=dict)
    answers: int | None = None
    """id of the uplink it answers"""
    details: Mapping[str, object] = dataclasses.field(default_factory=dict)
    """what an emulated chip says of it"""
    broken: bool = False
    """its sender stopped before its end"""
    told: int = 0
    """its id for radios"""

    @property
    def preamble_end_us(self) -> int:
        """When its preamble is over; the synchronisation word follows."""
        return self.start_us + self.radio.preamble_len * self.radio.symbol_us


def understands(listening: Radio, sent: Radio) -> bool:
    """Whether a radio that listens like this finds a frame that was sent like that."""
    return _settings(listening) == _settings(sent)


def _settings(radio: Radio) -> tuple[object, ...]:
    return radio.freq_khz, radio.sf, radio.bw_khz, radio.invert_iq


def rejection_db(wanted: Radio, other: Radio) -> float:
    """How much stronger than the other a frame must be to survive it (negative: it may be weaker)."""
    if understands(wanted, other):
        return propagation.CAPTURE_DB
    apart_khz = abs(wanted.freq_khz - other.freq_khz)
    if apart_khz >= (wanted.bandwidth_khz + other.bandwidth_khz) / 2.0:
        return -math.inf
    return propagation.ORTHOGONAL_DB
