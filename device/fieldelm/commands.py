"""The commands of gateways: each is carried out once, answered as often as it comes, and what it sets outlasts a power cut.

The newest command of each gateway is remembered in flash with its result: the same command again is answered again, not
carried out again.
"""

import struct
import sys
from array import array

from micropython import const

from fieldelm import codes, frame, payloads
from fieldelm.storage import Record, StorageError

_RECENT = const(4)  # gateways whose last command is remembered
_VERSION = const(0x81)  # of the settings' record; its first form began with a policy, 0 to 2
_FIRST_BYTES = const(5)
_UNSET = const(-0x80000000)


def _problem(section, key, value):
    # what this value must be instead, or None; the checks are seldom needed, so they do not stay in memory
    import fieldelm
    from fieldelm import config

    problem = config.problem(section, key, value)
    del fieldelm.config, sys.modules["fieldelm.config"]
    return problem


def _restored(record, buffer):
    # what can be had again (settings from the configuration) does not stop the node when it is spoilt
    try:
        return record.read(buffer)
    except StorageError:
        return False


class Settings:
    """What commands change of a node's configuration (``payloads.CONFIG_KEYS``), on flash; ``restore`` before anything reads it.

    The record: version, number of keys, then 32 bits a key, in units of the air. A key that no command has set, or that a
    later firmware has added, is as in config.json.
    """

    def __init__(self, node):
        self._node = node
        self._record = Record("settings")
        self._set = array("i", [_UNSET] * len(payloads.CONFIG_KEYS))

    def restore(self):
        """Put what was set by command over the configuration."""
        try:
            file = self._record.open()
        except StorageError:
            return
        if file is None:
            return
        with file:
            stored = file.read(self._record.length)
        if self._record.length == _FIRST_BYTES:  # of firmware 0.1: policy, period and heartbeat
            policy, period_s, heartbeat_s = struct.unpack_from("<BHH", stored)
            old = {"learn.policy": policy, "sense.period_s": period_s or _UNSET, "link.heartbeat_s": heartbeat_s}
        elif stored[0] == _VERSION and len(stored) == 2 + 4 * stored[1]:
            count = min(stored[1], len(self._set))
            values = struct.unpack_from("<%di" % count, stored, 2)
            old = {payloads.config_key(number): values[number] for number in range(1, count)}
        else:
            return
        for number in range(1, len(self._set)):
            value = old.get(payloads.config_key(number), _UNSET)
            if value != _UNSET and self._problem(number, value) is None:
                self._set[number] = value
                self._put(number, value)

    @staticmethod
    def _meant(number, value):
        # the configuration's value that a number on the air stands for; None for a string that does not exist
        _, _, scale, _, strings = payloads.CONFIG_KEYS[number]
        if strings:
            return strings[value] if 0 <= value < len(strings) else None
        return value if scale == 1 else value / scale

    def _problem(self, number, value):
        section, key = payloads.CONFIG_KEYS[number][:2]
        return _problem(section, key, self._meant(number, value))

    def _place(self, number):
        section = payloads.CONFIG_KEYS[number][0]
        return self._node.config[section] if section else self._node.config

    def _put(self, number, value):
        self._place(number)[payloads.CONFIG_KEYS[number][1]] = self._meant(number, value)

    def number(self, name):
        """The number of a key."""
        for number in range(1, len(self._set)):
            if payloads.config_key(number) == name:
                return number
        raise KeyError(name)

    def is_set(self, name):
        """Whether a command has set this key."""
        return self._set[self.number(name)] != _UNSET

    def get(self, number):
        """A key's value in units of the air."""
        _, key, scale, _, strings = payloads.CONFIG_KEYS[number]
        value = self._place(number)[key]
        return strings.index(value) if strings else int(value * scale + (0.5 if value > 0 else -0.5) * (scale > 1))

    def set(self, values):
        """Change keys, number to value in units of the air: at once, and stored. Returns the command's result."""
        for number, value in values.items():
            if self._problem(number, value):
                return "bad_arguments"
        for number, value in values.items():
            self._set[number] = value
            self._put(number, value)
            self._node.configured(payloads.config_key(number))
        return "ok" if self._node.stored(self._record, (bytes((_VERSION, len(self._set))), self._set)) else "failed"


class Commands:
    """Carries out what ``node``'s (fieldelm.node.Node) gateways ask for."""

    def __init__(self, node):
        self._node = node
        self._record = Record("commands")
        # rows of gateway, sequence, command, result; gateway 0 is a free row
        self._answered = bytearray(5 * _RECENT)
        if not _restored(self._record, self._answered):
            self._answered[:] = bytes(5 * _RECENT)

    def carry_out(self):
        """Carry out the command in the link's answer and write the RESPONSE: (where it ends, command to do after it or None).

        Raises ValueError if the command is too short.
        """
        node = self._node
        link = node.link
        code, sequence, arguments = link.command()
        self._sequence = sequence
        gateway = link.answer_gateway
        row = self._answered_row(gateway)
        known = self._answered[row] == gateway and struct.unpack_from("<HB", self._answered, row + 1) == (
            sequence,
            code,
        )
        if known:
            result = self._answered[row + 4]
        else:
            result = codes.RESULTS.index(self._execute(code, arguments))
            struct.pack_into("<BHBB", self._answered, row, gateway, sequence, code, result)
            node.stored(self._record, (self._answered,))
        done = codes.RESULTS[result] == "ok"
        name = codes.COMMANDS[code] if code < len(codes.COMMANDS) else str(code)
        node.say("command", {"command": name, "result": codes.RESULTS[result], "repeated": known})
        end = payloads.pack_into(
            payloads.RESPONSE,
            link.buffer,
            link.payload_start(frame.RESPONSE),
            {"command": code, "command_sequence": sequence, "gateway": gateway, "result": result},
        )
        if done and name in payloads.ANSWERS:
            key = arguments[0]  # it comes first
            values = {"key": key, "value": node.settings.get(key)}
            end = payloads.pack_into(payloads.ANSWERS[name], link.buffer, end, values)
        return end, name if not known and done else None

    def _answered_row(self, gateway):
        # the gateway's row, or a free one, or the first
        for row in range(0, 5 * _RECENT, 5):
            if self._answered[row] == gateway:
                return row
        for row in range(0, 5 * _RECENT, 5):
            if self._answered[row] == 0:
                return row
        return 0

    def _execute(self, code, arguments):
        # name of the result; each command is a method of its name
        name = codes.COMMANDS[code] if 0 < code < len(codes.COMMANDS) else None
        if name is None:
            return "unknown_command"
        table = payloads.ARGUMENTS[name]
        if len(arguments) != payloads.size(table):
            return "bad_arguments"
        return getattr(self, "_" + name)(payloads.unpack(table, arguments))

    def _retrain(self, given):
        return "ok" if self._node.watcher.retrain(self._node.clock.now_ms()) else "not_now"

    def _configure(self, values):
        settings = self._node.settings
        return settings.set({settings.number(name): value for name, value in values.items()})

    def _policy(self, given):
        return self._configure({"learn.policy": given["policy"]})

    def _interval(self, given):
        values = {}
        if given["window_period_s"]:
            values["sense.period_s"] = given["window_period_s"]
        if given["heartbeat_s"]:
            values["link.heartbeat_s"] = given["heartbeat_s"]
        return self._configure(values)

    def _identify(self, given):
        self._node.board.identify(given["seconds"])
        return "ok"

    def _reboot(self, given):
        return "ok"  # the node does it after the answer

    def _commission(self, given):
        return "ok" if self._node.watcher.commission() else "not_now"

    def _confirm_change(self, given):
        return "ok" if self._node.watcher.confirm_change() else "not_now"

    def _call_fault(self, given):
        return "ok" if self._node.watcher.call_fault() else "not_now"

    def _service(self, given):
        self._node.start_service(given["minutes"] * 60000)
        return "ok"

    def _threshold(self, given):
        return self._configure({"learn.threshold_factor": given["factor"]})

    def _trace(self, given):
        if given["trace"] >= len(codes.TRACES):
            return "bad_arguments"
        return "ok" if self._node.start_trace(given["trace"], self._sequence) else "not_now"

    def _config_get(self, given):
        return "ok" if 0 < given["key"] < len(payloads.CONFIG_KEYS) else "bad_arguments"

    def _config_set(self, given):
        if not 0 < given["key"] < len(payloads.CONFIG_KEYS):
            return "bad_arguments"
        return self._node.settings.set({given["key"]: given["value"]})

    def _rotate_key(self, given):
        # from the answer to this command on the node uses the new key
        try:
            right = given["slot"] < 2 and self._node.link.keys.rotate(given["slot"], given["new_key"])
        except OSError:
            return "failed"
        return "ok" if right else "bad_arguments"

    def _power(self, given):
        if _problem("radio", "output_power", given["dbm"]):
            return "bad_arguments"
        self._node.link.set_power(given["dbm"])
        return "ok"

    def _model_get(self, given):
        return self._node.start_transfer().give(given["model"], given["offset"])

    def _model_put(self, given):
        return self._node.start_transfer().take(given["model"], given["total"])
