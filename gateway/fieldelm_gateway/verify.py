"""Is this frame what it claims to be? First the tag, then the counter."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from fieldelm import frame

from .nodes import KeySlot, Node

WINDOW_BITS = 64
_ALL = (1 << WINDOW_BITS) - 1


@dataclass(frozen=True, slots=True)
class Verified:
    """An authentic frame that was not heard before."""

    node: Node
    slot: KeySlot
    """the key it was sealed with, its counter window already moved on"""
    kind: int
    ack_wanted: bool
    counter: int
    """all 32 bits"""
    lost_before: int | None
    """frames missing since the one before; None when that cannot be known"""
    plain: bytes


def verify(data: bytes, find_node: Callable[[int], Node | None]) -> Verified:
    """Open one uplink. Raises FrameError with the reason why it is dropped."""
    header = frame.parse(data, frame.UPLINK)
    node = find_node(header.node_id)
    if node is None:
        raise frame.FrameError("unknown_node", f"no node has the id {header.node_id}")
    slot = node.slot(header.key_id)
    if slot is None:
        raise frame.TagError(f"{node.name} has no key {header.key_id}")
    counter = header.counter if header.kind == frame.HELLO else frame.extend(header.counter, slot.highest or 0)
    buffer = bytearray(data)
    nonce = bytearray(frame.NONCE_BYTES)
    eui = bytes.fromhex(node.eui)
    start, end = frame.open_into(buffer, len(data), slot.cipher, nonce, eui, counter, frame.UPLINK, node.tag_bytes)
    highest, seen = accept(slot.highest, slot.seen, counter)
    lost_before = None
    if slot.highest is not None and counter > slot.highest and header.kind != frame.HELLO:
        lost_before = counter - slot.highest - 1
    return Verified(
        node=node,
        slot=dataclasses.replace(slot, highest=highest, seen=seen),
        kind=header.kind,
        ack_wanted=header.ack_wanted,
        counter=counter,
        lost_before=lost_before,
        plain=bytes(buffer[start:end]),
    )


def accept(highest: int | None, seen: int, counter: int) -> tuple[int, int]:
    """Move the sliding window (RFC 4303, 3.4.3) over a counter: the new highest and bits.

    Raises FrameError `replayed`.
    """
    if highest is None:
        return counter, 1
    if counter > highest:
        ahead = counter - highest
        return counter, (seen << ahead | 1) & _ALL if ahead < WINDOW_BITS else 1
    behind = highest - counter
    if behind >= WINDOW_BITS or seen >> behind & 1:
        raise frame.FrameError("replayed", f"counter {counter} was used before")
    return highest, seen | 1 << behind
