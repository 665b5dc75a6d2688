"""What one uplink means: the log row, the event or status, the command that is done, and the answer it gets."""

import logging
from collections.abc import Iterable

from fieldelm import frame

from . import airtime_account, commands, documents, downlink, models
from .downlink import Exchange
from .ingress import Uplink
from .nodes import Node
from .rows import EVENTS, REST, TAG_KEY, Command, EventRow, FrameRow
from .security import Suspicion
from .state import Batch, State
from .values import replace
from .verify import ReplayError, Verified, verify

log = logging.getLogger(__name__)

_REPEATS = 2
"""of an answer: a node sends the bytes of an exchange three times at most"""
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
            if (
                exchange.answer
                and exchange.repeats < _REPEATS
                and state.spend(batch, uplink, exchange.answer, exchange.share)
            ):
                answer = exchange.answer
                row = state.nodes[int.from_bytes(uplink.data[1:3], "little")].row
                batch.exchanges[row] = replace(exchange, repeats=exchange.repeats + 1)
    except frame.FrameError as error:
        batch.drops[error.reason] += 1
        _suspect(state, batch, uplink, error)
        log.debug("radio %s: dropped, %s: %s", uplink.radio, error.reason, error)
    batch.answers.append((uplink, answer))


def decline(batch: Batch, uplink: Uplink) -> None:
    """Drop an uplink that cannot be handled."""
    batch.frames["received"] += 1
    batch.drops["bad_payload"] += 1
    batch.answers.append((uplink, None))


def _suspect(state: State, batch: Batch, uplink: Uplink, error: frame.FrameError) -> None:
    # a frame is dropped: does that look like an attack?
    now = uplink.received
    node = state.node(batch, int.from_bytes(uplink.data[1:3], "little")) if len(uplink.data) > 2 else None
    if error.reason == "store_full":
        return
    found = state.suspect(batch).dropped(error.reason, node, now)
    if isinstance(error, ReplayError):
        found += state.suspect(batch).replayed(error, state.store.frames_logged, now)
    _tell(state, batch, found, uplink)


def _tell(state: State, batch: Batch, found: Iterable[Suspicion], uplink: Uplink) -> None:
    for suspicion in found:
        document = {"schema": documents.SCHEMA, **documents.received(uplink), **suspicion.document()}
        state.enqueue(batch, REST, state.topics.security, documents.dump(document), uplink.received.epoch_ms)
        batch.warnings.append(
            f"{suspicion.node.name if suspicion.node else f'radio {uplink.radio}'}: {suspicion.kind}, {suspicion.message()}"
        )


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
    if verified.slot.pending is None and verified.node.tag_next is None:
        return _take(state, batch, verified, uplink)
    before = batch.copy()
    try:
        return _take(state, batch, _adopt_changes(state, batch, verified, uplink), uplink)
    except frame.FrameError:
        batch.restore(before)  # it is refused: neither does it make its key the only one
        raise


def _take(state: State, batch: Batch, verified: Verified, uplink: Uplink) -> bytes | None:
    node = replace(verified.node, keys=verified.node.keys_with(verified.slot), last_seen_ms=uplink.received.epoch_ms)
    verified = replace(verified, node=node)
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
    share = _share(verified)
    answer = _answer(state, batch, verified, uplink, share)
    if verified.counter == verified.slot.highest:
        batch.exchanges[node.row] = Exchange(uplink.data, answer, uplink.received.monotonic_ms, share=share)
    return answer


def _adopt_changes(state: State, batch: Batch, verified: Verified, uplink: Uplink) -> Verified:
    # A key or a length of tag that a command has brought counts from the first frame under it on.
    node, slot = verified.node, verified.slot
    if slot.pending is not None:
        slot = replace(slot, pending=None)
        node = replace(node, keys=(slot,))
        batch.writes.keys_adopted.append((slot.check, node.row, slot.key_id))
        batch.notes.append(f"{node.name}: uses its new key, {slot.key_id}")
        batch.cards_changed = True
        for command in state.waiting.of_node(node.row, "rotate_key"):
            if command.id not in batch.commands_finished:
                _finish(state, batch, command, node, "ok", uplink)
    if node.tag_next is not None and verified.kind in frame.SHORT_TAG:
        undecided = any(
            command.arguments["key"] == TAG_KEY for command in state.waiting.of_node(node.row, "config_set")
        )
        used = verified.tag_bytes
        node = replace(node, tag_bytes=used, tag_next=12 - used if undecided else None)
        if (node.tag_bytes, node.tag_next) != (verified.node.tag_bytes, verified.node.tag_next):
            batch.writes.tags.append((node.tag_bytes, node.tag_next, node.row))
    return replace(verified, node=node, slot=slot)


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
        case frame.TRACE:
            _trace(state, batch, verified, uplink)
            return verified.node, "accepted"
        case frame.MODEL:
            models.received(state, batch, verified, uplink)
            return verified.node, "accepted"
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
    slot = replace(slot, last_sequence=max(sequence, slot.last_sequence or 0))
    alarm = node.alarm.with_event(told, documents.event_ms(uplink, alert))
    card = node.card
    if alert.type == "boot":  # counted here: a HELLO is also said by a node that has heard nothing for a day
        card = replace(card, boots=card.boots + 1)
        batch.cards_changed = True
    return replace(node, keys=node.keys_with(slot), card=card, alarm=alarm), "accepted"


def _status(state: State, batch: Batch, verified: Verified, uplink: Uplink) -> Node:
    document = documents.status(verified, uplink)
    node, key_id = verified.node, verified.slot.key_id
    if node.status and node.status[0] == key_id and verified.counter < node.status[1]:
        return node  # a newer one is known
    models.remind(state, batch, node, uplink.received.epoch_ms)
    text = documents.dump(document)
    topic = state.topics.node_state(node.eui)
    room = state.outbox_fill(batch) < _STATUS_SHARE
    if room:
        state.enqueue(batch, REST, topic, text, uplink.received.epoch_ms, retain=True)
    else:
        batch.status_dropped += 1
    batch.documents.append((topic, text, not room))
    card = replace(
        node.card,
        policy=document["policy"],
        heartbeat_s=document["heartbeat_s"],
        window_period_s=document["window_period_s"],
    )
    batch.cards_changed |= card != node.card
    alarm = node.alarm.with_status(document, verified.slot.check, uplink.received.epoch_ms)
    return replace(node, card=card, status=(key_id, verified.counter), status_document=text, alarm=alarm)


def _hello(batch: Batch, verified: Verified) -> Node:
    node, last_sequence = documents.read_hello(verified.node, verified.plain)
    if verified.counter < (verified.slot.highest or 0):
        return verified.node  # held back on the way: what the node says now is known
    batch.cards_changed = True
    if verified.slot.last_sequence is None:
        slot = replace(verified.slot, last_sequence=last_sequence)
        return replace(node, keys=node.keys_with(slot))
    return node


def _response(state: State, batch: Batch, verified: Verified, uplink: Uplink) -> Node:
    fields = documents.read_response(verified.plain)
    node = verified.node
    if fields["gateway"] != state.config.gateway.number:
        state.suspect(batch).other_gateways.add(fields["gateway"])
        return node
    command = state.waiting.with_sequence(node.row, fields["command_sequence"])
    if command is None or command.id in batch.commands_finished:  # answered before, or never asked
        if command is None and not state.store.has_command(node.row, fields["command_sequence"]):
            _tell(state, batch, state.suspect(batch).same_number(node, uplink.received), uplink)
        return node
    result = commands.result_name(fields["result"])
    if result == "ok":
        command = replace(command, answer=documents.read_answer(command.command, verified.plain))
    _finish(state, batch, command, node, result, uplink)
    if result != "ok":
        return node
    batch.cards_changed = True
    return commands.applied(node, command)


def _finish(state: State, batch: Batch, command: Command, node: Node, result: str, uplink: Uplink) -> None:
    # tell whoever asked
    word, sentence = "ok" if result == "ok" else "error", commands.sentence(result)
    document = documents.dump(documents.response(command, node, word, sentence, uplink.received))
    if not state.enqueue(batch, REST, state.topics.response(command.command), document, uplink.received.epoch_ms):
        raise _full()
    batch.commands_finished.add(command.id)
    batch.writes.commands_finished.append((command.id, "done", result, uplink.received.epoch_ms))
    if command.answer:
        batch.writes.commands_answers.append((documents.dump(command.answer), command.id))
    batch.notes.append(f"{node.name}: {command.command}: {sentence}")


def _trace(state: State, batch: Batch, verified: Verified, uplink: Uplink) -> None:
    # the parts of one trace follow each other; it is told when they are complete
    part = documents.read_trace(verified.plain)
    node = verified.node
    parts = [] if part.first == 0 else state.trace(batch, node.row)
    known = sum(len(before.values) for before in parts)
    if part.first != known or any((p.name, p.number, p.total) != (part.name, part.number, part.total) for p in parts):
        return  # one before it was lost: whoever wants it asks again
    parts.append(part)
    batch.traces[node.row] = parts
    if known + len(part.values) < part.total:
        return
    batch.traces[node.row] = []
    values = [value for one in parts for value in one.values]
    document = documents.dump(documents.trace(node, part, values, uplink))
    if state.enqueue(batch, REST, state.topics.trace(node.eui), document, uplink.received.epoch_ms):
        batch.writes.traces.append((document, node.row))


def _share(verified: Verified) -> int:
    # of the hour's airtime that the answer may use: an alarm may use all of it
    if verified.kind == frame.ALERT and documents.severity(verified.plain) == "alarm":
        return airtime_account.ALARM
    return airtime_account.ROUTINE


def _answer(state: State, batch: Batch, verified: Verified, uplink: Uplink, share: int) -> bytes | None:
    # A waiting command answers any frame, and acknowledges it too; else those are acknowledged that ask.
    if not state.config.gateway.answers:
        return None
    node, slot, gateway = verified.node, verified.slot, state.config.gateway.number
    waiting = state.waiting.next_for(node.row, uplink.received.epoch_ms, batch.commands_finished)
    if waiting and waiting.command == "rotate_key" and node.next_key() is None:
        waiting = None  # its key is made, but not yet known here
    if waiting:
        data = downlink.command(node, slot, verified.counter, gateway, waiting)
        if state.spend(batch, uplink, data, airtime_account.ALARM):
            batch.writes.commands_sent.append(waiting.id)
            batch.frames["commands_sent"] += 1
            return data
    if not verified.ack_wanted:
        return None
    fragment = models.fragment(state, verified, uplink) if verified.kind == frame.MODEL else None
    data = fragment or downlink.ack(node, slot, verified.counter, gateway, more=waiting is not None)
    if state.spend(batch, uplink, data, share):
        batch.frames["acknowledged"] += 1
        return data
    batch.frames["acknowledgements_withheld"] += 1
    return None
