"""Requests that arrive on MQTT: `request/<command>` with a JSON object."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeGuard

from . import commands
from .errors import RequestError
from .nodes import Node, find
from .rows import Command

_MOST_BYTES = 4096
_MOST_ID = 128


@dataclass(frozen=True, slots=True)
class Request:
    """One message on a request topic."""

    command: str
    payload: bytes
    via: str = "mqtt"
    """the way it came: mqtt, dashboard, command line"""
    inbox: int = 0
    """its number in the database's inbox; 0: it did not come from there"""


def usable_id(value: object) -> TypeGuard[str]:
    """Whether this can be the id of a request."""
    return isinstance(value, str) and 1 <= len(value) <= _MOST_ID and value.isprintable()


def request_id(payload: bytes) -> str | None:
    """The id of a request, for its answer, however wrong the rest of it is."""
    try:
        value = read_object(payload).get("id")
    except RequestError:
        return None
    return value if usable_id(value) else None


def addressed(request: Request, nodes: Iterable[Node]) -> tuple[str, Node, dict[str, Any]]:
    """Id, node and document of a request. Raises RequestError with a sentence for whoever asked."""
    document = read_object(request.payload)
    number = document.get("id")
    if not usable_id(number):
        raise RequestError(f"id must be a text of 1 to {_MOST_ID} printable characters, different for every request")
    wanted = document.get("node")
    if not isinstance(wanted, str):
        raise RequestError("node must be the name or EUI of a node, in quotes")
    node = find(nodes, wanted)
    if node is None:
        raise RequestError(f"there is no node {wanted[:64]!r}: `fieldelm node list` shows them")
    by = document.get("by", "")
    if not isinstance(by, str) or len(by) > _MOST_ID or not (by.isprintable() or not by):
        raise RequestError(f"by must be a text of at most {_MOST_ID} printable characters: who asks")
    return number, node, document


def read(request: Request, nodes: Iterable[Node], now_ms: int, expire_s: int) -> Command:
    """The command that is asked for. Raises RequestError with a sentence for whoever asked."""
    if request.command not in commands.COMMANDS:
        raise RequestError(f"there is no command {request.command[:64]!r}: commands are {', '.join(commands.COMMANDS)}")
    number, node, document = addressed(request, nodes)
    expires_s = document.get("expires_s", expire_s)
    if not isinstance(expires_s, int) or isinstance(expires_s, bool) or not 1 <= expires_s <= 31_536_000:
        raise RequestError("expires_s must be a whole number of seconds from 1 to 31536000")
    given = {key: value for key, value in document.items() if key not in commands.REPLY_KEYS}
    return Command(
        id=0,
        request_id=number,
        node=node.row,
        command=request.command,
        arguments=commands.check_arguments(request.command, given),
        sequence=0,
        created_ms=now_ms,
        expires_ms=now_ms + expires_s * 1000,
    )


def read_object(payload: bytes) -> dict[str, Any]:
    """The JSON object that a request is. Raises RequestError."""
    if len(payload) > _MOST_BYTES:
        raise RequestError(f"a request has at most {_MOST_BYTES} bytes")
    try:
        document = json.loads(payload)
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise RequestError("a request is text in UTF-8: half a character, \\ud800 to \\udfff, is none") from None
    except (ValueError, RecursionError):
        raise RequestError('a request is a JSON object such as {"id": "1", "node": "fan-2"}') from None
    if not isinstance(document, dict):
        raise RequestError('a request is a JSON object such as {"id": "1", "node": "fan-2"}')
    return document
