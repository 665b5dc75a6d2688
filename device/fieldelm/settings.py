"""What commands change of a node's configuration: on flash, and put over config.json at the start."""

import struct
import sys
from array import array

from micropython import const

from fieldelm import payloads
from fieldelm.storage import Record, StorageError

_VERSION = const(0x81)  # of the record; its first form began with a policy, 0 to 2
_FIRST_BYTES = const(5)
_UNSET = const(-0x80000000)


def problem(section, key, value, radio):
    """What this value of the configuration must be instead, or None. The checks are seldom needed: they do not stay in memory."""
    import fieldelm
    from fieldelm import config

    what = config.problem(section, key, value, radio)
    del fieldelm.config, sys.modules["fieldelm.config"]
    return what


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
        return problem(section, key, self._meant(number, value), self._node.config["radio"])

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
        """Change keys, number to value in units of the air: stored, then in force. Returns the command's result."""
        for number, value in values.items():
            if self._problem(number, value):
                return "bad_arguments"
        changed = array("i", self._set)
        for number, value in values.items():
            changed[number] = value
        if not self._node.stored(self._record, (bytes((_VERSION, len(changed))), changed)):
            return "failed"
        self._set = changed
        for number, value in values.items():
            self._put(number, value)
            self._node.configured(payloads.config_key(number))
        return "ok"
