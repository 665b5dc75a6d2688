"""The commands of gateways: each is carried out once, answered as often as it comes, and what it sets outlasts a power cut.

The newest command of each gateway is remembered in flash with its result: the same command again is answered again, not
carried out again.
"""

import struct

from micropython import const

from fieldelm import codes, frame, payloads
from fieldelm.storage import Record, StorageError

_RECENT = const(4)  # gateways whose last command is remembered


def _restored(record, buffer):
    # what can be had again (settings from the configuration) does not stop the node when it is spoilt
    try:
        return record.read(buffer)
    except StorageError:
        return False


class Settings:
    """What commands change of a node's configuration, on flash; ``restore`` before the watcher is made."""

    def __init__(self, node):
        self._node = node
        self._record = Record("settings")

    def restore(self):
        """Put what was set by command over the configuration."""
        settings = bytearray(5)
        if _restored(self._record, settings):
            policy, period_s, heartbeat_s = struct.unpack("<BHH", settings)
            node = self._node
            node.config["learn"]["policy"] = codes.POLICIES[policy]
            node.period_ms = period_s * 1000 if period_s else node.period_ms
            node.heartbeat_ms = heartbeat_s * 1000

    def save(self):
        """Store the settings; returns the command's result."""
        # a period below one second comes from the configuration only and is stored as 0
        node = self._node
        policy = codes.POLICIES.index(node.watcher.policy)
        settings = struct.pack("<BHH", policy, node.period_ms // 1000, node.heartbeat_ms // 1000)
        return "ok" if node.stored(self._record, (settings,)) else "failed"


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
        name = codes.COMMANDS[code] if code < len(codes.COMMANDS) else str(code)
        node.say("command", {"command": name, "result": codes.RESULTS[result], "repeated": known})
        end = payloads.pack_into(
            payloads.RESPONSE,
            link.buffer,
            link.payload_start(frame.RESPONSE),
            {"command": code, "command_sequence": sequence, "gateway": gateway, "result": result},
        )
        return end, name if not known and codes.RESULTS[result] == "ok" else None

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

    def _policy(self, given):
        if given["policy"] >= len(codes.POLICIES):
            return "bad_arguments"
        self._node.watcher.set_policy(codes.POLICIES[given["policy"]])
        return self._node.settings.save()

    def _interval(self, given):
        if 0 < given["heartbeat_s"] < 10:
            return "bad_arguments"
        self._node.set_interval(given["window_period_s"] * 1000, given["heartbeat_s"] * 1000)
        return self._node.settings.save()

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
