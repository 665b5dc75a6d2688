"""Is this frame what it claims to be? First the tag, then the counter."""

from collections.abc import Callable
from dataclasses import dataclass

from fieldelm import frame, payloads

from .nodes import KeySlot, Node
from .values import replace

WINDOW_BITS = 64
_ALL = (1 << WINDOW_BITS) - 1
LEAST_PAYLOAD = min(payloads.size(payloads.ALERT), payloads.size(payloads.MODEL))
"""bytes under the short tag"""


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
    tag_bytes: int


class ReplayError(frame.FrameError):
    """An authentic frame whose counter was used before: a replay, or a second node with the same key."""

    def __init__(self, text: str, heard: Verified) -> None:
        """`heard`: the frame; the counter window of its key is as before."""
        frame.FrameError.__init__(self, "replayed", text)
        self.heard = heard


def verify(data: bytes, find_node: Callable[[int], Node | None]) -> Verified:
    """Open one uplink. Raises FrameError with the reason why it is dropped."""
    header = frame.parse(data, frame.UPLINK)
    node = find_node(header.node_id)
    if node is None:
        raise frame.FrameError("unknown_node", f"no node has the id {header.node_id}")
    slot = node.slot(header.key_id)
    if slot is None:
        raise frame.TagError(f"{node.name} has no key {header.key_id}")
    if slot.pending is not None and (before := node.active()):  # counters and sequences go on under a new key
        slot = replace(
            slot, highest=before.highest, seen=before.seen, last_sequence=before.last_sequence, check=before.check
        )
    counter = header.counter if header.kind == frame.HELLO else frame.extend(header.counter, slot.highest or 0)
    plain, tag_bytes = _open(data, header, node, slot, counter)
    try:
        highest, seen = accept(slot.highest, slot.seen, counter)
    except frame.FrameError as error:
        heard = Verified(node, slot, header.kind, header.ack_wanted, counter, None, plain, tag_bytes)
        raise ReplayError(str(error), heard) from None
    lost_before = None
    if slot.highest is not None and counter > slot.highest and header.kind != frame.HELLO:
        lost_before = counter - slot.highest - 1
    slot = replace(slot, highest=highest, seen=seen)
    return Verified(node, slot, header.kind, header.ack_wanted, counter, lost_before, plain, tag_bytes)


def _open(data: bytes, header: frame.Header, node: Node, slot: KeySlot, counter: int) -> tuple[bytes, int]:
    # plain payload, and length of the tag; a node whose tag is being changed may use either
    nonce = bytearray(frame.NONCE_BYTES)
    eui = bytes.fromhex(node.eui)
    first = frame.tag_bytes(header.kind, frame.UPLINK, node.tag_bytes)
    second = frame.tag_bytes(header.kind, frame.UPLINK, node.tag_next or node.tag_bytes)
    for tag_bytes in (first, second) if second != first else (first,):
        if _too_short(len(data) - header.size - tag_bytes, header.kind, tag_bytes):
            continue
        buffer = bytearray(data)
        try:
            start, end = frame.open_into(buffer, len(data), slot.cipher, nonce, eui, counter, frame.UPLINK, tag_bytes)
        except frame.TagError:
            continue
        return bytes(buffer[start:end]), tag_bytes
    if _too_short(len(data) - header.size - first, header.kind, first):
        raise frame.FrameError("bad_length", f"{len(data)} bytes are too few for type {header.kind}")
    raise frame.TagError


def _too_short(payload: int, kind: int, tag_bytes: int) -> bool:
    # the shorter a frame, the more guesses at its tag the channel carries: docs/explanation/security.md
    return kind in frame.SHORT_TAG and tag_bytes < frame.LONG_TAG and payload < LEAST_PAYLOAD


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
