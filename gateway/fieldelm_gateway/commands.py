"""Commands for nodes: what may be asked, how it is written into a frame, and what the answer means."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from fieldelm import codes, payloads

from .errors import RequestError
from .nodes import Node
from .store import Command

COMMANDS = tuple(name for name in codes.COMMANDS if name)
REPLY_KEYS = ("schema", "id", "node", "expires_s", "by")  # of a request, beside the command's own arguments

# argument -> lowest, highest; 0 in `interval` means "leave as it is" and is written by leaving the argument out
_RANGES = {"window_period_s": (1, 65535), "heartbeat_s": (10, 65535), "seconds": (1, 255), "minutes": (0, 65535)}

_SENTENCES = {
    "ok": "done",
    "unknown_command": "the node's firmware does not know this command: update it",
    "bad_arguments": "the node does not accept these arguments",
    "not_now": "the node cannot do this in its present state: try again later",
    "failed": "the node tried and failed",
}


def argument_names(command: str) -> tuple[str, ...]:
    """Arguments that a command takes."""
    return tuple(str(field[0]) for field in payloads.ARGUMENTS[command])


def check_arguments(command: str, given: Mapping[str, Any]) -> dict[str, int]:
    """Arguments as integers for the frame. Raises RequestError with the mend."""
    names = argument_names(command)
    for name in given:
        if name not in names:
            known = f"takes {', '.join(names)}" if names else "takes no arguments"
            raise RequestError(f"{command} does not know {name[:64]!r}: it {known}")
    if command == "policy":
        return {"policy": _choice("policy", given.get("policy"), codes.POLICIES)}
    if command == "identify":
        return {"seconds": _number("seconds", given.get("seconds", 30))}
    if command == "service":
        return {"minutes": _number("minutes", given.get("minutes", 120))}
    if command == "interval":
        if not given:
            raise RequestError("interval needs window_period_s, heartbeat_s or both, in seconds")
        return {name: _number(name, given[name]) if name in given else 0 for name in names}
    return {}


def _choice(name: str, value: object, choices: tuple[str, ...]) -> int:
    if not isinstance(value, str) or value not in choices:
        raise RequestError(f"{name} must be one of {', '.join(choices)}")
    return choices.index(value)


def _number(name: str, value: object) -> int:
    low, high = _RANGES[name]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise RequestError(f"{name} must be a whole number from {low} to {high}")
    return value


def pack(command: Command) -> bytes:
    """The payload of the COMMAND frame."""
    table = payloads.COMMAND + payloads.ARGUMENTS[command.command]
    buffer = bytearray(payloads.size(table))
    head = {"command": codes.COMMANDS.index(command.command), "command_sequence": command.sequence}
    payloads.pack_into(table, buffer, 0, {**head, **command.arguments})
    return bytes(buffer)


def result_name(code: int) -> str:
    """A RESPONSE's result; a number that a newer firmware invented counts as failed."""
    return str(codes.RESULTS[code]) if code < len(codes.RESULTS) else "failed"


def sentence(result: str) -> str:
    """What a result means, for people."""
    return _SENTENCES[result]


def applied(node: Node, command: Command) -> Node:
    """What is known of the node once it has carried out a command; its next HELLO or STATUS says the same."""
    card = node.card
    arguments = command.arguments
    if command.command == "policy":
        card = dataclasses.replace(card, policy=codes.POLICIES[arguments["policy"]])
    elif command.command == "interval":
        card = dataclasses.replace(
            card,
            window_period_s=arguments["window_period_s"] or card.window_period_s,
            heartbeat_s=arguments["heartbeat_s"] or card.heartbeat_s,
        )
    return dataclasses.replace(node, card=card)


class Waiting:
    """The commands that wait, by node, oldest first."""

    def __init__(self, commands: Iterable[Command]) -> None:
        self._by_node: dict[int, list[Command]] = {}
        for command in commands:
            self.add(command)

    def __len__(self) -> int:
        return sum(map(len, self._by_node.values()))

    def add(self, command: Command) -> None:
        """A new one, behind the others of its node."""
        self._by_node.setdefault(command.node, []).append(command)

    def remove(self, number: int) -> None:
        """It has been answered, or has expired."""
        for node, commands in list(self._by_node.items()):
            left = [command for command in commands if command.id != number]
            if left:
                self._by_node[node] = left
            else:
                del self._by_node[node]

    def next_for(self, node: int, now_ms: int, finished: frozenset[int] | set[int]) -> Command | None:
        """What to send this node; `finished` are those about to be removed."""
        for command in self._by_node.get(node, ()):
            if command.expires_ms > now_ms and command.id not in finished:
                return command
        return None

    def with_sequence(self, node: int, sequence: int) -> Command | None:
        """The command that a RESPONSE answers."""
        for command in self._by_node.get(node, ()):
            if command.sequence == sequence:
                return command
        return None

    def expired(self, now_ms: int) -> list[Command]:
        """Those that were not answered in time."""
        return [command for commands in self._by_node.values() for command in commands if command.expires_ms <= now_ms]
