"""Answers to uplinks: sealed once, sent within the law, and repeated byte for byte."""

from collections import deque
from dataclasses import dataclass

from fieldelm import frame, payloads

from .commands import pack
from .nodes import KeySlot, Node
from .store import Command

REPEAT_MS = 10_000
_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Exchange:
    """The newest frame of a node and what was answered; None: nothing was."""

    frame: bytes
    answer: bytes | None
    monotonic_ms: int
    repeats: int = 0
    """how often the answer was sent again"""


def seal(node: Node, slot: KeySlot, counter: int, gateway: int, kind: int, payload: bytes) -> bytes:
    """A downlink frame. There must never be two different ones for the same uplink counter and gateway."""
    buffer = bytearray(frame.MAX_BYTES)
    start = frame.header_into(buffer, kind, 0, slot.key_id, node.node_id, counter)
    end = start + len(payload)
    buffer[start:end] = payload
    nonce = bytearray(frame.NONCE_BYTES)
    length = frame.seal_into(buffer, end, slot.cipher, nonce, bytes.fromhex(node.eui), counter, gateway)
    return bytes(buffer[:length])


def ack(node: Node, slot: KeySlot, counter: int, gateway: int, *, more: bool) -> bytes:
    """An ACK; `more`: a command waits that could not be sent now."""
    payload = bytearray(payloads.size(payloads.ACK))
    payloads.pack_into(payloads.ACK, payload, 0, {"more": int(more), "reserved": 0})
    return seal(node, slot, counter, gateway, frame.ACK, bytes(payload))


def command(node: Node, slot: KeySlot, counter: int, gateway: int, waiting: Command) -> bytes:
    """A COMMAND, which acknowledges as well."""
    return seal(node, slot, counter, gateway, frame.COMMAND, pack(waiting, node))


class DutyCycle:
    """How long one radio has transmitted in the last hour, against what it may.

    `limit` is a share of the hour, None for no limit.
    """

    def __init__(self, limit: float | None) -> None:
        self.limit_us = None if limit is None else int(limit * _HOUR_MS * 1000)
        self._spent: deque[tuple[int, int]] = deque()
        self._total_us = 0

    def used_us(self, monotonic_ms: int) -> int:
        """Time on the air in the last hour."""
        while self._spent and self._spent[0][0] <= monotonic_ms - _HOUR_MS:
            self._total_us -= self._spent.popleft()[1]
        return self._total_us

    def spend(self, monotonic_ms: int, airtime_us: int) -> bool:
        """Account for a transmission; false, and nothing accounted, if it would exceed the limit."""
        if self.limit_us is not None and self.used_us(monotonic_ms) + airtime_us > self.limit_us:
            return False
        if self.limit_us is None:
            self.used_us(monotonic_ms)
        if self._spent and self._spent[-1][0] // 1000 == monotonic_ms // 1000:  # a second at a time: an hour stays small
            airtime_before = self._spent.pop()[1]
            self._spent.append((monotonic_ms, airtime_before + airtime_us))
        else:
            self._spent.append((monotonic_ms, airtime_us))
        self._total_us += airtime_us
        return True
