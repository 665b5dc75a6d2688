"""What a radio hands to the gateway, and what the gateway may ask of a radio."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from fieldelm.airtime import time_on_air_us

from .clock import Instant
from .config import Radio as RadioConfig


@dataclass(frozen=True, slots=True)
class Uplink:
    """One frame that a radio has heard."""

    radio: str
    token: int
    """names it in the answer to this radio"""
    data: bytes
    rssi: int
    """dBm"""
    snr: float
    """dB"""
    airtime_us: int
    received: Instant
    """the end of the frame"""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has moved: see whether something is due."""


Deliver = Callable[[Uplink | Tick], None]


@dataclass(slots=True)
class RadioCounters:
    """What a radio has done since the gateway started."""

    uplinks: int = 0
    crc_errors: int = 0
    answers: int = 0
    answers_failed: int = 0
    serial_garbage: int = 0
    connections: int = 0
    problem: str = "not connected yet"
    """empty: it listens"""
    more: dict[str, int] = field(default_factory=dict)
    """what only this kind of radio knows"""


class Radio(Protocol):
    """A radio; it lives in its own thread and reconnects for ever."""

    config: RadioConfig
    counters: RadioCounters

    def start(self, deliver: Deliver) -> None:
        """Begin to listen."""
        ...

    def answer(self, token: int, data: bytes | None) -> None:
        """Send this, a second after the end of the uplink; None: there is no answer.

        Every uplink gets exactly one of these. It may wait for `flush`.
        """
        ...

    def flush(self) -> None:
        """The answers of a round are complete: let them go."""
        ...

    def stop(self) -> None:
        """Stop listening and let go of the port."""
        ...


def airtime_us(config: RadioConfig, length: int) -> int:
    """How long a frame of this length is on this radio's air."""
    return _airtime_us(length, config.sf, config.bw, config.coding_rate, config.preamble_len)


@functools.lru_cache(maxsize=512)
def _airtime_us(length: int, sf: int, bw: str, coding_rate: int, preamble_len: int) -> int:
    return int(time_on_air_us(length, sf, bw, coding_rate, preamble_len))


def health_card(radio: Radio) -> dict[str, Any]:
    """A radio's part of the health document."""
    counters = radio.counters
    return {
        "name": radio.config.name,
        "kind": radio.config.kind,
        "listening": not counters.problem,
        "problem": counters.problem or None,
        "connections": counters.connections,
        "uplinks": counters.uplinks,
        "crc_errors": counters.crc_errors,
        "answers": counters.answers,
        "answers_failed": counters.answers_failed,
        **counters.more,
    }
