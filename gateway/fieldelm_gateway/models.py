"""Models over the air: copies of what nodes have learned, and one of them onto the node that replaces another.

The node leads (fieldelm.transfer): it sends its copy in fragments, each acknowledged when it is stored; or it asks for one
fragment after the other. What stopped halfway is asked for again from where it stopped, when the node next speaks.
"""

import dataclasses
import json
import secrets
import zlib
from dataclasses import dataclass

from fieldelm import codes, frame, payloads

from . import documents, downlink
from .ingress import Uplink
from .nodes import Node
from .rows import Command, ModelRow
from .state import Batch, State
from .store import Store
from .verify import Verified

GET, PUT = "model_get", "model_put"
_HEAD = payloads.size(payloads.MODEL)
_STALLED_MS = 120_000
_REMINDERS = 50
_EXPIRE_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Part:
    """What a MODEL frame says."""

    part: str
    model: int
    offset: int
    total: int
    data: bytes


def read(plain: bytes) -> Part:
    """Read a MODEL payload. Raises PayloadError."""
    if len(plain) < _HEAD:
        raise documents.PayloadError(f"{len(plain)} bytes of payload, fewer than {_HEAD}")
    head = payloads.unpack(payloads.MODEL, plain)
    if head["part"] >= len(codes.MODEL_PARTS):
        raise documents.PayloadError(f"part {head['part']} does not exist")
    data = plain[_HEAD:]
    if head["offset"] + len(data) > head["total"] or (data and codes.MODEL_PARTS[head["part"]] != "fragment"):
        raise documents.PayloadError("a fragment beyond the end of its model")
    return Part(codes.MODEL_PARTS[head["part"]], head["model"], head["offset"], head["total"], data)


def received(state: State, batch: Batch, verified: Verified, uplink: Uplink) -> None:
    """A MODEL frame of a node. Raises PayloadError."""
    part = read(verified.plain)
    node = verified.node
    if part.part == "fragment":
        _keep(state, batch, node, part, uplink)
    elif part.part in ("taken", "refused"):
        _told(state, batch, node, part)


def _keep(state: State, batch: Batch, node: Node, part: Part, uplink: Uplink) -> None:
    now_ms = uplink.received.epoch_ms
    earlier = next((row for row in reversed(batch.writes.models) if row.model == part.model), None)
    row = earlier or state.store.model(part.model)
    if row is None:
        row = ModelRow(
            model=part.model, node=node.row, eui=node.eui, name=node.name, total=part.total, data=b"", begun_ms=now_ms
        )
    if row.complete or part.total != row.total:
        return
    data = row.data
    if part.offset == len(data):
        data += part.data
    row = dataclasses.replace(row, node=node.row, data=data, heard_ms=now_ms)
    if row.complete:
        if zlib.crc32(data) != row.model:
            batch.notes.append(f"{node.name}: the copy of its model came damaged: it is fetched again")
            row = dataclasses.replace(row, data=b"")
        else:
            batch.notes.append(f"{node.name}: the copy of its model is complete, {row.total} bytes")
    batch.copying[node.row] = not row.complete
    batch.writes.models.append(row)


def _told(state: State, batch: Batch, node: Node, part: Part) -> None:
    batch.notes.append(f"{node.name}: model {part.model:08x}: {part.part}")
    for command in state.store.commands_of(node.row, PUT):
        if command.arguments["model"] == part.model:
            batch.writes.commands_answers.append((json.dumps({"model": part.part}), command.id))
            return


def fragment(state: State, verified: Verified, uplink: Uplink) -> bytes | None:
    """The downlink that answers a node which wants a fragment; None if the gateway has not got it."""
    part = read(verified.plain)
    row = state.store.model(part.model) if part.part == "wanted" else None
    if row is None or not row.complete or part.offset >= row.total or part.total != row.total:
        return None
    length = payloads.MODEL_FRAGMENT[state.radios[uplink.radio].config.sf - 7]
    data = row.data[part.offset : part.offset + length]
    head = {"part": codes.MODEL_PARTS.index("fragment"), "model": row.model, "offset": part.offset, "total": row.total}
    payload = bytearray(_HEAD)
    payloads.pack_into(payloads.MODEL, payload, 0, head)
    number = state.config.gateway.number
    return downlink.seal(verified.node, verified.slot, verified.counter, number, frame.MODEL, bytes(payload) + data)


def remind(state: State, batch: Batch, node: Node, now_ms: int) -> None:
    """A node speaks whose copy has stopped halfway: ask it for the rest."""
    if not batch.copying.get(node.row, node.row in state.copying):
        return
    of_round = [row for row in batch.writes.models if row.node == node.row]
    known = {row.model: row for row in [*reversed(state.store.models(node.row)), *of_round]}
    rows = [row for row in reversed(known.values()) if not row.complete and row.reminders < _REMINDERS]
    if not rows:
        batch.copying[node.row] = False
        return
    row = rows[0]  # heard just now, if it was asked for in this round
    if now_ms - row.heard_ms < _STALLED_MS or state.waiting.has(node.row, GET):
        return
    batch.writes.models.append(dataclasses.replace(row, heard_ms=now_ms, reminders=row.reminders + 1))
    batch.writes.commands_new.append(
        Command(
            id=0,
            request_id=f"model-{row.model:08x}-{secrets.token_hex(8)}",
            node=node.row,
            command=GET,
            arguments={"model": row.model, "offset": len(row.data)},
            sequence=0,
            created_ms=now_ms,
            expires_ms=now_ms + _EXPIRE_MS,
        )
    )


def newest(store: Store, eui: str) -> ModelRow | None:
    """The newest whole model that a node has learned."""
    rows = [row for row in store.models() if row.eui == eui and row.complete]
    return max(rows, key=lambda row: row.heard_ms, default=None)
