"""Answers to uplinks: sealed once, sent within the law, and repeated byte for byte."""

from dataclasses import dataclass

from fieldelm import frame, payloads

from .airtime_account import ROUTINE
from .commands import pack
from .nodes import KeySlot, Node
from .rows import Command

REPEAT_MS = 10_000


def _ack(*, more: bool) -> bytes:
    payload = bytearray(payloads.size(payloads.ACK))
    payloads.pack_into(payloads.ACK, payload, 0, {"more": int(more), "reserved": 0})
    return bytes(payload)


_ACKS = (_ack(more=False), _ack(more=True))


@dataclass(frozen=True, slots=True)
class Exchange:
    """The newest frame of a node and what was answered; None: nothing was."""

    frame: bytes
    answer: bytes | None
    monotonic_ms: int
    repeats: int = 0
    """how often the answer was sent again"""
    share: int = ROUTINE
    """of the airtime that the answer may use"""


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
    return seal(node, slot, counter, gateway, frame.ACK, _ACKS[more])


def command(node: Node, slot: KeySlot, counter: int, gateway: int, waiting: Command) -> bytes:
    """A COMMAND, which acknowledges as well."""
    return seal(node, slot, counter, gateway, frame.COMMAND, pack(waiting, node))
