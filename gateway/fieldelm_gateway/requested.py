"""Decides about one request: people's own actions are carried out at once, commands wait for their node, the rest is refused."""

import logging
import re

from . import documents, maintenance, requests
from .clock import Instant
from .errors import GatewayError, RequestError
from .requests import Request
from .rows import REST, Command
from .state import Batch, State

log = logging.getLogger(__name__)

_PLAIN = re.compile("[0-9A-Za-z_-]{1,64}")  # what may stand in a topic that the broker takes


def handle(state: State, batch: Batch, request: Request, now: Instant) -> None:
    """Decide about one request; what it is answered is in `batch`. Raises GatewayError when the database cannot be read."""
    before = batch.copy()
    try:
        _carry_out(state, batch, request, now)
        if request.inbox:
            batch.writes.inbox_answers.append(("ok", request.inbox))
        return
    except RequestError as error:
        why = str(error)
    except GatewayError:
        raise
    except Exception:  # a request must not end the gateway, nor come again at every start
        log.exception("a request, %.64r, has met a fault in the program: it is refused", request.command)
        why = "this request has met a fault in the gateway: its log shows where"
    batch.restore(before)
    _refuse(state, batch, request, why, now)


def _carry_out(state: State, batch: Batch, request: Request, now: Instant) -> None:
    if request.command in maintenance.ACTIONS:
        maintenance.handle(state, batch, request, now)
        return
    if not state.config.gateway.answers:
        raise RequestError("this gateway only listens ([gateway] answers): ask the one that answers the nodes")
    command = requests.read(request, state.rows.values(), now.epoch_ms, state.config.commands.expire_s)
    if command.request_id in batch.request_ids or _is_known(state, command):
        return
    batch.request_ids.add(command.request_id)
    batch.writes.commands_new.append(command)
    maintenance.asked(state, batch, state.rows[command.node], request, command, now)
    batch.notes.append(f"{state.rows[command.node].name}: {command.command} waits for it to speak")


def _refuse(state: State, batch: Batch, request: Request, why: str, now: Instant) -> None:
    if request.inbox:
        batch.writes.inbox_answers.append((why, request.inbox))
    name = request.command if _PLAIN.fullmatch(request.command) else "unknown"
    document = documents.refusal(requests.request_id(request.payload), name, why, now)
    state.enqueue(batch, REST, state.topics.response(name), documents.dump(document), now.epoch_ms)


def _is_known(state: State, command: Command) -> bool:
    # MQTT may bring a request twice; it counts once
    known = state.store.command(command.request_id)
    if known is None:
        return False
    if (known.node, known.command, known.arguments) != (command.node, command.command, command.arguments):
        raise RequestError(f"the id {command.request_id} was used for another request: give every request its own")
    return True


def expire(state: State, batch: Batch, now: Instant) -> None:
    """Tell those who asked that a node has not answered in time."""
    for command in state.waiting.expired(now.epoch_ms):
        if command.id in batch.commands_finished:
            continue
        sentence = "the node has not answered in time"
        document = documents.response(command, state.rows[command.node], "error", sentence, now)
        topic = state.topics.response(command.command)
        if not state.enqueue(batch, REST, topic, documents.dump(document), now.epoch_ms):
            return  # later, when there is room
        batch.commands_finished.add(command.id)
        batch.writes.commands_finished.append((command.id, "expired", None, now.epoch_ms))
