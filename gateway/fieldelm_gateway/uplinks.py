"""What one uplink means: the log row, the event or status, the command that is done, and the answer it gets."""

import dataclasses
import logging

from fieldelm import frame

from . import commands, documents, downlink
from .downlink import Exchange
from .ingress import Uplink
from .nodes import Node
from .state import Batch, State
from .store import EVENTS, REST, EventRow, FrameRow
from .verify import Verified, verify

log = logging.getLogger(__name__)

_STATUS_SHARE = 0.9
"""of the outbox's limit, beyond which STATUS is no longer put into it"""


def handle(state: State, batch: Batch, uplink: Uplink) -> None:
    """Decide about one uplink; its answer, or that there is none, is in `batch.answers`."""
    batch.frames["received"] += 1
    answer = None
    try:
        exchange = _repeated(state, batch, uplink)
        if exchange is None:
            answer = _accept(state, batch, uplink)
        else:
            batch.frames["repeated"] += 1
            if exchange.answer and state.spend(uplink, exchange.answer):
                answer = exchange.answer
    except frame.FrameError as error:
        batch.drops[error.reason] += 1
        log.debug("radio %s: dropped, %s: %s", uplink.radio, error.reason, error)
    batch.answers.append((uplink, answer))


def _repeated(state: State, batch: Batch, uplink: Uplink) -> Exchange | None:
    # The newest frame again, byte for byte: its answer was lost, and for a while it gets the same one again. Later ones
    # are left to the counter window.
    node_id = int.from_bytes(uplink.data[1:3], "little")
    exchange = state.exchange(batch, node_id)
    if exchange is None or exchange.frame != uplink.data:
        return None
    return exchange if uplink.received.monotonic_ms - exchange.monotonic_ms <= downlink.REPEAT_MS else None


def _accept(state: State, batch: Batch, uplink: Uplink) -> bytes | None:
    verified = verify(uplink.data, lambda node_id: state.node(batch, node_id))
    node = dataclasses.replace(
        verified.node, keys=verified.node.keys_with(verified.slot), last_seen_ms=uplink.received.epoch_ms
    )
    verified = dataclasses.replace(verified, node=node)
    try:
        node, outcome = _understand(state, batch, verified, uplink)
    except documents.PayloadError as error:
        # It is authentic, so its counter is used; but it gets no answer.
        log.warning(
            "%s: a frame of type %d cannot be read (%s): is its firmware newer?", node.name, verified.kind, error
        )
        batch.drops["bad_payload"] += 1
        batch.set_node(node)
        _log(batch, verified, uplink, "bad_payload")
        return None
    batch.set_node(node)
    batch.frames["accepted"] += 1
    batch.heard.append((node, uplink.received))
    _log(batch, verified, uplink, outcome)
    answer = _answer(state, batch, verified, uplink)
    if verified.counter == verified.slot.highest:
        batch.exchanges[node.row] = Exchange(uplink.data, answer, uplink.received.monotonic_ms)
    return answer


def _log(batch: Batch, verified: Verified, uplink: Uplink, outcome: str) -> None:
    batch.writes.frames.append(
        FrameRow(
            node=verified.node.row,
            received_ms=uplink.received.epoch_ms,
            synced=uplink.received.synced,
            radio=uplink.radio,
            type=verified.kind,
            key_id=verified.slot.key_id,
            counter=verified.counter,
            rssi=uplink.rssi,
            snr=uplink.snr,
            payload=verified.plain,
            outcome=outcome,
        )
    )


def _understand(state: State, batch: Batch, verified: Verified, uplink: Uplink) -> tuple[Node, str]:
    match verified.kind:
        case frame.ALERT:
            return _alert(state, batch, verified, uplink)
        case frame.STATUS:
            return _status(state, batch, verified, uplink), "accepted"
        case frame.HELLO:
            return _hello(batch, verified), "accepted"
        case frame.RESPONSE:
            return _response(state, batch, verified, uplink), "accepted"
    raise documents.PayloadError("this gateway does not know the type")


def _full() -> frame.FrameError:
    return frame.FrameError("store_full", "the outbox is full: is the broker away?")


def _alert(state: State, batch: Batch, verified: Verified, uplink: Uplink) -> tuple[Node, str]:
    alert = documents.read_alert(verified.plain)
    node, slot = verified.node, verified.slot
    sequence = frame.extend(alert.sequence, alert.sequence if slot.last_sequence is None else slot.last_sequence)
    identity = (node.row, slot.check, sequence)
    is_new = slot.last_sequence is not None and sequence > slot.last_sequence  # spares the question
    if not is_new and (identity in batch.events or state.store.has_event(*identity)):
        batch.frames["duplicate_events"] += 1
        return node, "duplicate"
    told = documents.event(verified, uplink, alert, sequence)
    document = documents.dump(told)
    if not state.enqueue(batch, EVENTS, state.topics.event(node.eui), document, uplink.received.epoch_ms):
        raise _full()
    batch.events.add(identity)
    batch.writes.events.append(
        EventRow(
            node=node.row,
            key_check=slot.check,
            sequence=sequence,
            event_ms=documents.event_ms(uplink, alert),
            received_ms=uplink.received.epoch_ms,
            type=alert.type,
            severity=alert.severity,
            document=document,
        )
    )
    batch.notes.append(f"{node.name}: {alert.type} ({alert.severity})")
    slot = dataclasses.replace(slot, last_sequence=max(sequence, slot.last_sequence or 0))
    alarm = node.alarm.with_event(told, documents.event_ms(uplink, alert))
    card = node.card
    if alert.type == "boot":  # counted here: a HELLO is also said by a node that has heard nothing for a day
        card = dataclasses.replace(card, boots=card.boots + 1)
        batch.cards_changed = True
    return dataclasses.replace(node, keys=node.keys_with(slot), card=card, alarm=alarm), "accepted"


def _status(state: State, batch: Batch, verified: Verified, uplink: Uplink) -> Node:
    document = documents.status(verified, uplink)
    node, key_id = verified.node, verified.slot.key_id
    if node.status and node.status[0] == key_id and verified.counter < node.status[1]:
        return node  # a newer one is known
    text = documents.dump(document)
    topic = state.topics.node_state(node.eui)
    room = state.outbox_fill(batch) < _STATUS_SHARE
    if room:
        state.enqueue(batch, REST, topic, text, uplink.received.epoch_ms, retain=True)
    else:
        batch.status_dropped += 1
    batch.documents.append((topic, text, not room))
    card = dataclasses.replace(
        node.card,
        policy=document["policy"],
        heartbeat_s=document["heartbeat_s"],
        window_period_s=document["window_period_s"],
    )
    batch.cards_changed |= card != node.card
    alarm = node.alarm.with_status(document, verified.slot.check, uplink.received.epoch_ms)
    return dataclasses.replace(node, card=card, status=(key_id, verified.counter), status_document=text, alarm=alarm)


def _hello(batch: Batch, verified: Verified) -> Node:
    node, last_sequence = documents.read_hello(verified.node, verified.plain)
    batch.cards_changed = True
    if verified.slot.last_sequence is None:
        slot = dataclasses.replace(verified.slot, last_sequence=last_sequence)
        return dataclasses.replace(node, keys=node.keys_with(slot))
    return node


def _response(state: State, batch: Batch, verified: Verified, uplink: Uplink) -> Node:
    fields = documents.read_response(verified.plain)
    node = verified.node
    if fields["gateway"] != state.config.gateway.number:
        return node
    command = state.waiting.with_sequence(node.row, fields["command_sequence"])
    if command is None or command.id in batch.commands_finished:
        return node  # answered before
    result = commands.result_name(fields["result"])
    word, sentence = "ok" if result == "ok" else "error", commands.sentence(result)
    document = documents.dump(documents.response(command, node, word, sentence, uplink.received))
    if not state.enqueue(batch, REST, state.topics.response(command.command), document, uplink.received.epoch_ms):
        raise _full()
    batch.commands_finished.add(command.id)
    batch.writes.commands_finished.append((command.id, "done", result, uplink.received.epoch_ms))
    batch.notes.append(f"{node.name}: {command.command}: {sentence}")
    if result != "ok":
        return node
    batch.cards_changed = True
    return commands.applied(node, command)


def _answer(state: State, batch: Batch, verified: Verified, uplink: Uplink) -> bytes | None:
    # A waiting command answers any frame, and acknowledges it too; else those are acknowledged that ask.
    if not state.config.gateway.answers:
        return None
    node, slot, gateway = verified.node, verified.slot, state.config.gateway.number
    waiting = state.waiting.next_for(node.row, uplink.received.epoch_ms, batch.commands_finished)
    if waiting:
        data = downlink.command(node, slot, verified.counter, gateway, waiting)
        if state.spend(uplink, data):
            batch.writes.commands_sent.append(waiting.id)
            batch.frames["commands_sent"] += 1
            return data
    if not verified.ack_wanted:
        return None
    data = downlink.ack(node, slot, verified.counter, gateway, more=waiting is not None)
    if state.spend(uplink, data):
        batch.frames["acknowledged"] += 1
        return data
    batch.frames["acknowledgements_withheld"] += 1
    return None
