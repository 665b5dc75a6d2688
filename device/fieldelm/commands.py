"""The commands of gateways: each is carried out once, answered as often as it comes, and what it sets outlasts a power cut.

The newest command of each gateway is remembered in flash with its result: the same command again is answered again, not
carried out again.
"""

import struct

from micropython import const

from fieldelm import codes, frame, payloads
from fieldelm.settings import problem
from fieldelm.storage import Record, StorageError

_RECENT = const(4)  # gateways whose last command is remembered


def _restored(record, buffer):
    # what can be had again (settings from the configuration) does not stop the node when it is spoilt
    try:
        return record.read(buffer)
    except StorageError:
        return False


class Commands:
    """Carries out what ``node``'s (fieldelm.node.Node) gateways ask for."""

    def __init__(self, node):
        self._node = node
        self._actions = _Actions(node)
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
        self._actions.sequence = sequence
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
            if node.watcher.worth_saving:  # what is answered has been done, even if power is cut now
                node.save_model()
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
        # name of the result
        name = codes.COMMANDS[code] if 0 < code < len(codes.COMMANDS) else None
        if name is None:
            return "unknown_command"
        table = payloads.ARGUMENTS[name]
        if len(arguments) != payloads.size(table):
            return "bad_arguments"
        try:
            return getattr(self._actions, name)(payloads.unpack(table, arguments))
        except MemoryError:  # code that is seldom needed is loaded when it is
            return "failed"


class _Actions:
    # what the commands do, each a method of its name: of the arguments makes the name of the result

    def __init__(self, node):
        self._node = node
        self.sequence = 0  # of the command

    def retrain(self, given):
        return "ok" if self._node.watcher.retrain() else "not_now"

    def _configure(self, values):
        settings = self._node.settings
        return settings.set({settings.number(name): value for name, value in values.items()})

    def policy(self, given):
        return self._configure({"learn.policy": given["policy"]})

    def interval(self, given):
        values = {}
        if given["window_period_s"]:
            values["sense.period_s"] = given["window_period_s"]
        if given["heartbeat_s"]:
            values["link.heartbeat_s"] = given["heartbeat_s"]
        return self._configure(values)

    def identify(self, given):
        self._node.board.identify(given["seconds"])
        return "ok"

    def reboot(self, given):
        return "ok"  # the node does it after the answer

    def commission(self, given):
        return "ok" if self._node.watcher.commission() else "not_now"

    def confirm_change(self, given):
        return "ok" if self._node.watcher.confirm_change() else "not_now"

    def call_fault(self, given):
        return "ok" if self._node.watcher.call_fault() else "not_now"

    def service(self, given):
        self._node.start_service(given["minutes"] * 60000)
        return "ok"

    def threshold(self, given):
        return self._configure({"learn.threshold_factor": given["factor"]})

    def trace(self, given):
        if given["trace"] >= len(codes.TRACES):
            return "bad_arguments"
        return "ok" if self._node.start_trace(given["trace"], self.sequence) else "not_now"

    def config_get(self, given):
        return "ok" if 0 < given["key"] < len(payloads.CONFIG_KEYS) else "bad_arguments"

    def config_set(self, given):
        if not 0 < given["key"] < len(payloads.CONFIG_KEYS):
            return "bad_arguments"
        return self._node.settings.set({given["key"]: given["value"]})

    def rotate_key(self, given):
        # from the answer to this command on the node uses the new key
        try:
            right = given["slot"] < 2 and self._node.link.keys.rotate(given["slot"], given["new_key"])
        except OSError:
            return "failed"
        return "ok" if right else "bad_arguments"

    def power(self, given):
        if problem("radio", "output_power", given["dbm"], self._node.config["radio"]):
            return "bad_arguments"
        self._node.link.set_power(given["dbm"])
        return "ok"

    def model_get(self, given):
        return self._node.start_transfer().give(given["model"], given["offset"])

    def model_put(self, given):
        return self._node.start_transfer().take(given["model"], given["total"])
