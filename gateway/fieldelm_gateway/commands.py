"""Commands for nodes: what may be asked, how it is written into a frame, and what the answer means."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from fieldelm import codes, config as node_config, payloads

from .errors import RequestError
from .nodes import Node
from .rows import Command

# models.py sends the two about models
COMMANDS = tuple(name for name in codes.COMMANDS if name and not name.startswith("model_"))
REPLY_KEYS = ("schema", "id", "node", "expires_s", "by")  # of a request, beside the command's own arguments

# argument -> lowest, highest; 0 in `interval` means "leave as it is" and is written by leaving the argument out
_RANGES = {
    "window_period_s": (1, 65535),
    "heartbeat_s": (10, 65535),
    "seconds": (1, 255),
    "minutes": (0, 65535),
    "dbm": (-9, 22),
}
_KEY_BY_NAME = {payloads.config_key(number): number for number in range(1, len(payloads.CONFIG_KEYS))}
CONFIG_KEYS = tuple(_KEY_BY_NAME)

_SENTENCES = {
    "ok": "done",
    "unknown_command": "the node's firmware does not know this command: update it",
    "bad_arguments": "the node does not accept these arguments",
    "not_now": "the node cannot do this in its present state: try again later",
    "failed": "the node tried and failed",
}


def argument_names(command: str) -> tuple[str, ...]:
    """Arguments that whoever asks gives; a key is never one of them."""
    return () if command == "rotate_key" else tuple(str(field[0]) for field in payloads.ARGUMENTS[command])


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
    if command == "threshold":
        return {"factor": _config_value("learn.threshold_factor", given.get("factor"), "factor")}
    if command == "trace":
        return {"trace": _choice("trace", given.get("trace", codes.TRACES[0]), codes.TRACES)}
    if command == "power":
        return {"dbm": _number("dbm", given.get("dbm"))}
    if command in payloads.ANSWERS:
        key = _choice("key", given.get("key"), CONFIG_KEYS) + 1
        if command == "config_get":
            return {"key": key}
        return {"key": key, "value": _config_value(CONFIG_KEYS[key - 1], given.get("value"), "value")}
    return {}


def _config_value(name: str, value: object, argument: str) -> int:
    # in units of the air; what is right is what a node's config.json may say
    meant: Any = payloads.CONFIG_KEYS[_KEY_BY_NAME[name]]
    section, key, scale, _, strings = meant
    problem = node_config.problem(section, key, value)
    if problem is None and scale == 1 and not strings and not isinstance(value, int):
        problem = "a whole number"
    if problem:
        raise RequestError(f"{argument} of {name} must be {problem}")
    if strings:
        return int(strings.index(value))
    assert isinstance(value, int | float)
    return round(value * int(scale))


def _choice(name: str, value: object, choices: tuple[str, ...]) -> int:
    if not isinstance(value, str) or value not in choices:
        raise RequestError(f"{name} must be one of {', '.join(choices)}")
    return choices.index(value)


def _number(name: str, value: object) -> int:
    low, high = _RANGES[name]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise RequestError(f"{name} must be a whole number from {low} to {high}")
    return value


def pack(command: Command, node: Node) -> bytes:
    """The payload of the COMMAND frame."""
    arguments: dict[str, Any] = dict(command.arguments)
    if command.command == "rotate_key" and (slot := node.next_key()):
        arguments = {"slot": slot.key_id, "new_key": slot.pending}
    table = payloads.COMMAND + payloads.ARGUMENTS[command.command]
    buffer = bytearray(payloads.size(table))
    head = {"command": codes.COMMANDS.index(command.command), "command_sequence": command.sequence}
    payloads.pack_into(table, buffer, 0, {**head, **arguments})
    return bytes(buffer)


def result_name(code: int) -> str:
    """A RESPONSE's result; a number that a newer firmware invented counts as failed."""
    return str(codes.RESULTS[code]) if code < len(codes.RESULTS) else "failed"


def sentence(result: str) -> str:
    """What a result means, for people."""
    return _SENTENCES[result]


_CARD_FIELDS = {
    "learn.policy": "policy",
    "link.heartbeat_s": "heartbeat_s",
    "sense.period_s": "window_period_s",
    "learn.threshold_factor": "threshold_factor",
    "radio.output_power": "output_power",
}


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
    elif command.command == "threshold":
        card = dataclasses.replace(card, threshold_factor=arguments["factor"] / 256)
    elif command.command == "config_set" and command.answer:
        field, value = _CARD_FIELDS.get(command.answer["key"]), command.answer["value"]
        if field:
            card = dataclasses.replace(card, **{field: value})
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

    def has(self, node: int, command: str) -> bool:
        """Whether such a command waits for this node."""
        return any(waiting.command == command for waiting in self._by_node.get(node, ()))

    def with_sequence(self, node: int, sequence: int) -> Command | None:
        """The command that a RESPONSE answers."""
        for command in self._by_node.get(node, ()):
            if command.sequence == sequence:
                return command
        return None

    def of_node(self, node: int, name: str) -> list[Command]:
        """Its commands of this name."""
        return [command for command in self._by_node.get(node, ()) if command.command == name]

    def expired(self, now_ms: int) -> list[Command]:
        """Those that were not answered in time."""
        return [command for commands in self._by_node.values() for command in commands if command.expires_ms <= now_ms]
