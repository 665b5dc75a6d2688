"""The node's app: sense a window, let the watcher judge it, tell the gateway what changed, sleep.

    sensor → watcher (features → model → detector) → events → link → radio

Everything is allocated here, once. One cycle is: window, talk, sleep until the next thing is due.
"""

import json
import struct
from array import array

from micropython import const

from fieldelm import __version__, codes, frame, kernels, payloads
from fieldelm.events import EventQueue
from fieldelm.link import Link
from fieldelm.storage import Counters, Record, StorageError
from fieldelm.watcher import Watcher

_STATUS_SPACING_MS = const(120000)  # a change of state brings the next STATUS forward, but not more often
_RECENT = const(4)  # gateways whose last command is remembered
_COMMANDS_AT_ONCE = const(8)
_SAVE_EVERY_MS = const(6 * 3600 * 1000)
_SAVE_AGAIN_MS = const(15 * 60000)  # after a file system that was full or failed
_RETRY_RADIO_MS = const(60000)
_DAY_MS = const(86400000)
_FIRST_WORD_MS = const(8000)
_PRIMARY_CELL_HYSTERESIS_MV = const(100)


def q8_8(value):
    """A ratio as unsigned Q8.8; not a number and what is beyond saturate."""
    if not value < 255.99:
        return 0xFFFF
    return max(int(value * 256 + 0.5), 0)


def _known(value):
    # JSON knows no NaN
    return value if value == value else None


def _restored(record, buffer):
    # what can be had again (settings from the configuration) does not stop the node when it is spoilt
    try:
        return record.read(buffer)
    except StorageError:
        return False


class Node:
    """One node's life on its board. ``run`` returns when a recording has ended, else never."""

    def __init__(self, config, board):
        self.config = config
        self.board = board
        self.clock = board.clock
        self.counters = Counters("counters")
        self.link = Link(config, board.radio, board.clock, self.counters)
        self.events = EventQueue()
        self._settings = Record("settings")
        self._commands = Record("commands")
        self._model = Record("model")
        self.period_ms = int(config["sense"]["period_s"] * 1000)
        self.heartbeat_ms = config["link"]["heartbeat_s"] * 1000
        self._restore_settings()
        self._restore_commands()
        sense = config["sense"]
        if sense["kind"] != board.sensor.kind:
            raise ValueError('sense: "kind" is "%s", but this sensor gives "%s"' % (sense["kind"], board.sensor.kind))
        self.watcher = Watcher(config, board.sensor)
        if sense["kind"] == "waveform":
            self._window = array("h", bytes(2 * sense["samples"] * board.sensor.axes))
        else:
            self._window = array("f", bytes(4 * sense["inputs"]))
        self.model_restored = self._restore_model()
        self._battery_is_low = False
        self._sensor_silent = False
        self._fault_at_start = getattr(board, "reports_fault", None)
        self._reported_state = None
        self._service_until_ms = None  # somebody works on the machine: nothing is sensed, learned or decided
        now = self.clock.now_ms()
        self._started_ms = now
        self._next_window_ms = now
        self._next_status_ms = now
        self._last_status_ms = now - _STATUS_SPACING_MS
        self._saved_ms = now
        # nodes that were switched on together do not speak together
        self._radio_rests_until_ms = now + self.link.random_below(_FIRST_WORD_MS)
        self._hello_due_ms = now  # None when a gateway has answered it
        self._say("boot", {"cause": codes.BOOT_CAUSES[board.boot_cause], "model_restored": self.model_restored})
        self._queue("boot")

    # what must outlast a power cut

    def _restore_settings(self):
        settings = bytearray(5)
        if _restored(self._settings, settings):
            policy, period_s, heartbeat_s = struct.unpack("<BHH", settings)
            self.config["learn"]["policy"] = codes.POLICIES[policy]
            self.period_ms = period_s * 1000 if period_s else self.period_ms
            self.heartbeat_ms = heartbeat_s * 1000

    def _save_settings(self):
        # a period below one second comes from the configuration only and is stored as 0
        policy = codes.POLICIES.index(self.watcher.policy)
        settings = struct.pack("<BHH", policy, self.period_ms // 1000, self.heartbeat_ms // 1000)
        return "ok" if self._stored(self._settings, (settings,)) else "failed"

    def _restore_commands(self):
        # rows of gateway, sequence, command, result; gateway 0 is a free row
        self._answered = bytearray(5 * _RECENT)
        if not _restored(self._commands, self._answered):
            self._answered[:] = bytes(5 * _RECENT)

    def _restore_model(self):
        try:
            file = self._model.open()
        except StorageError:
            return False
        if file is None:
            return False
        with file:
            return self.watcher.load(file, self._model.length)

    def save_model(self):
        """Store model, thresholds and detector; called between windows only, since a flash write stalls sampling.

        A file system that is full or fails is said and tried again later: the node watches on with what is in memory.
        """
        self._saved_ms = self.clock.now_ms()
        buffers = self.watcher.save()
        if buffers is not None and not self._stored(self._model, buffers):
            self._saved_ms += _SAVE_AGAIN_MS - _SAVE_EVERY_MS

    def _stored(self, record, parts):
        try:
            record.store(parts)
            return True
        except OSError as error:
            self._say("storage", {"problem": str(error)})
            return False

    # what a person on the console sees

    def _say(self, kind, values):
        if self.config["console"] != "off":
            values["kind"] = kind
            values["t_ms"] = self.clock.now_ms()
            print(json.dumps(values))

    def _say_row(self):
        if self.config["console"] == "rows":
            w = self.watcher
            self._say(
                "row",
                {
                    "state": w.state,
                    "score": _known(w.score),
                    "threshold": _known(w.threshold),
                    "verdict": w.verdict,
                    "learned": w.learned,
                    "event": w.event,
                    "mode": w.mode,
                    "rms_g": _known(w.rms_g),
                    "rms_velocity": _known(w.rms_velocity),
                    "learned_rows": w.learned_rows,
                    "battery_mv": self.board.battery_mv(),
                },
            )

    # sensing

    def state(self):
        """The watcher's state, or ``service``, which ends by itself when its time is over."""
        if self._service_until_ms is not None and self.clock.now_ms() >= self._service_until_ms:
            self._service_until_ms = None
        return self.watcher.state if self._service_until_ms is None else "service"

    def sense(self):
        """Take one window and judge it. Raises EOFError when a recording has ended."""
        try:
            got = self.board.sensor.read(self._window)
            self._fault_at_start = None
        except OSError as error:
            got = 0
            if not self._sensor_silent:
                self._say("sensor", {"problem": str(error)})
        self._sensor_silent = not got
        now = self.clock.now_ms()
        w = self.watcher
        w.step(self._window if got else None, now)
        if w.event:
            self._queue(w.event)
        self._check_battery()
        self._say_row()

    def _queue(self, name):
        w = self.watcher
        try:
            sequence = self.counters.next_sequence()
        except OSError as error:  # it cannot be told apart from others: no gateway could take it
            self.events.lost += 1
            self._say("storage", {"problem": str(error)})
            return
        self.events.add(
            name,
            sequence,
            self.clock.now_ms(),
            codes.VERDICTS.index(w.verdict),
            w.mode,
            self._ratio(),
            w.bands[0],
            w.bands[1],
        )
        self._say("event", {"event": name})

    def _ratio(self):
        w = self.watcher
        ratio = w.score / w.threshold if w.threshold and w.score is not None else 0.0
        return ratio if ratio == ratio else 0.0  # NaN: there is no score or no threshold yet

    def _check_battery(self):
        limit = self.config["link"]["battery_low_mv"]
        battery = self.board.battery_mv()
        if battery is None:
            return
        if not self._battery_is_low and battery < limit:
            self._battery_is_low = True
            self._queue("battery_low")
        elif self._battery_is_low and battery > limit + _PRIMARY_CELL_HYSTERESIS_MV:
            self._battery_is_low = False

    # talking

    def talk(self):
        """Send what is due: HELLO first, then events, the gravest and newest first, then STATUS.

        A radio that fails is tried again a minute later; nothing is lost by it.
        """
        if self.clock.now_ms() < self._radio_rests_until_ms:
            return
        try:
            self._talk()
        except OSError as error:
            self._say("radio", {"problem": str(error)})
            self._radio_rests_until_ms = self.clock.now_ms() + _RETRY_RADIO_MS

    def _talk(self):
        if self._hello_due_ms is None and self.clock.now_ms() - self.link.heard_ms > _DAY_MS:
            # a gateway that has missed half a turn of the short counter finds its place again by the long one
            self._hello_due_ms = self.clock.now_ms()
        if self._hello_due_ms is not None and self.clock.now_ms() >= self._hello_due_ms:
            self._hello()
        while True:
            event = self.events.due(self.clock.now_ms())
            if event is None:
                break
            self._alert(event)
        if self.state() != self._reported_state:
            self._next_status_ms = min(self._next_status_ms, self._last_status_ms + _STATUS_SPACING_MS)
        if self.clock.now_ms() >= self._next_status_ms:
            self._status()

    def _exchange(self, kind, name, end, ack_wanted):
        # One exchange: whether a gateway has the frame. A command in the answer is carried out and answered at once, and the
        # answer to that may bring the next one.
        answer = first = self._send(kind, name, end, ack_wanted)
        if first == frame.ACK and self.link.answer[0] & 1:  # more waits than fitted into the answer
            self._next_status_ms = min(self._next_status_ms, self._last_status_ms + _STATUS_SPACING_MS)
        for _ in range(_COMMANDS_AT_ONCE):
            if answer != frame.COMMAND:
                break
            answer = self._carry_out()
        return first != 0

    def _send(self, kind, name, end, ack_wanted):
        # type of the answer, 0 for none
        link = self.link
        answer = link.exchange(kind, end, ack_wanted)
        self._say("sent", {"type": name, "bytes": link.length, "counter": link.counter, "acked": bool(answer)})
        return answer

    def _hello(self):
        w = self.watcher
        link = self.link
        major, minor, patch = [int(part) for part in __version__.split(".")[:3]]
        low_hz, high_hz = w.band_range_hz()
        end = payloads.pack_into(
            payloads.HELLO,
            link.buffer,
            link.payload_start(frame.HELLO),
            {
                "firmware": major << 16 | minor << 8 | patch,
                "boot_cause": self.board.boot_cause,
                "policy": codes.POLICIES.index(w.policy),
                "kernels_native": kernels.NAME == "native",
                "model_restored": self.model_restored,
                "reports_fault": codes.SENSOR_FAULTS.index(w.sensor_fault or self._fault_at_start),
                "heartbeat_s": self.heartbeat_ms // 1000,
                "window_period_s": self.period_ms // 1000,
                "bands": w.band_count,
                "band_low_dhz": int(low_hz * 10 + 0.5),
                "band_high_dhz": int(high_hz * 10 + 0.5),
                "last_sequence": self.counters.sequence & 0xFFFF,
            },
        )
        heard = self._exchange(frame.HELLO, "HELLO", end, True)
        self._hello_due_ms = None if heard else self.clock.now_ms() + self.heartbeat_ms

    def _alert(self, event):
        link = self.link
        start = link.payload_start(frame.ALERT)
        end = payloads.pack_into(
            payloads.ALERT,
            link.buffer,
            start,
            {
                "event": event.code,
                "severity": event.severity,
                "verdict": event.verdict,
                "policy": codes.POLICIES.index(self.watcher.policy),
                "mode": event.mode,
                "score_ratio": q8_8(event.score_ratio),
                "age_s": (self.clock.now_ms() - event.born_ms + 500) // 1000,
                "band_a": event.band_a,
                "band_b": event.band_b,
                "sequence": event.sequence & 0xFFFF,
            },
        )
        if self._exchange(frame.ALERT, "ALERT", end, True):
            self.events.delivered(event)
        else:
            self.events.failed(event, self.clock.now_ms(), self.link.random_below(1000))

    def _status(self):
        w = self.watcher
        link = self.link
        now = self.clock.now_ms()
        battery = self.board.battery_mv()
        temperature = self.board.temperature_c()
        snr = link.downlink_snr
        end = payloads.pack_into(
            payloads.STATUS,
            link.buffer,
            link.payload_start(frame.STATUS),
            {
                "state": codes.STATES.index(self.state()),
                "policy": codes.POLICIES.index(w.policy),
                "verdict": codes.VERDICTS.index(w.verdict),
                "mode": w.mode,
                "change_unconfirmed": w.change_unconfirmed,
                "kernels_native": kernels.NAME == "native",
                "reserved": 0,
                "sensor_fault": codes.SENSOR_FAULTS.index(w.sensor_fault),
                "score_ratio": q8_8(self._ratio()),
                "rms_g": int(w.rms_g * 10000 + 0.5) if w.rms_g == w.rms_g else 0,
                "rms_velocity": int(w.rms_velocity * 100 + 0.5) if w.rms_velocity == w.rms_velocity else 0,
                "learned_rows": w.learned_rows,
                "battery_mv": battery or 0,
                "temperature_c": -128 if temperature is None else max(round(temperature), -127),
                "waiting_events": len(self.events),
                "lost_events": self.events.lost,
                "heartbeat_s": self.heartbeat_ms // 1000,
                "window_period_s": self.period_ms // 1000,
                "uptime_h": (now - self._started_ms) // 3600000,
                "downlink_snr": -128 if snr is None else max(snr // 4, -127),
            },
        )
        self._last_status_ms = now
        # a little early, each time by another amount: two nodes that collide once do not collide again
        self._next_status_ms = now + self.heartbeat_ms - self.link.random_below(self.heartbeat_ms // 16)
        self._reported_state = self.state()
        self._exchange(frame.STATUS, "STATUS", end, False)

    # commands

    def _carry_out(self):
        # Carry out the command in the link's answer and respond; return the type of the answer to the response. A command that
        # was answered before is answered again, not carried out again.
        link = self.link
        try:
            code, sequence, arguments = link.command()
        except ValueError:
            return 0
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
            self._stored(self._commands, (self._answered,))
        name = codes.COMMANDS[code] if code < len(codes.COMMANDS) else str(code)
        self._say("command", {"command": name, "result": codes.RESULTS[result], "repeated": known})
        end = payloads.pack_into(
            payloads.RESPONSE,
            link.buffer,
            link.payload_start(frame.RESPONSE),
            {"command": code, "command_sequence": sequence, "gateway": gateway, "result": result},
        )
        answer = self._send(frame.RESPONSE, "RESPONSE", end, True)
        if name == "reboot" and not known and codes.RESULTS[result] == "ok":
            self.save_model()
            self.board.reboot()
        return answer

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
        name = codes.COMMANDS[code] if 0 < code < len(codes.COMMANDS) else None
        if name is None:
            return "unknown_command"
        table = payloads.ARGUMENTS[name]
        if len(arguments) != payloads.size(table):
            return "bad_arguments"
        given = payloads.unpack(table, arguments)
        w = self.watcher
        if name == "retrain":
            return "ok" if w.retrain(self.clock.now_ms()) else "not_now"
        if name == "policy":
            if given["policy"] >= len(codes.POLICIES):
                return "bad_arguments"
            w.set_policy(codes.POLICIES[given["policy"]])
            return self._save_settings()
        elif name == "interval":
            period_s = given["window_period_s"]
            heartbeat_s = given["heartbeat_s"]
            if heartbeat_s and heartbeat_s < 10:
                return "bad_arguments"
            if period_s:
                self.period_ms = period_s * 1000
            if heartbeat_s:
                self.heartbeat_ms = heartbeat_s * 1000
            self._next_status_ms = min(self._next_status_ms, self.clock.now_ms() + self.heartbeat_ms)
            return self._save_settings()
        elif name == "identify":
            self.board.identify(given["seconds"])
        elif name == "service":
            self._service_until_ms = self.clock.now_ms() + given["minutes"] * 60000
        elif name != "reboot":
            return "ok" if getattr(w, name)() else "not_now"  # commission, confirm_change, call_fault
        return "ok"  # reboot happens after the answer

    # the cycle

    def cycle(self):
        """One round: window if due, talk, store, sleep until the next thing is due. Raises EOFError."""
        now = self.clock.now_ms()
        if now >= self._next_window_ms:
            # keep the phase, but do not run after windows that talking has swallowed
            self._next_window_ms = max(self._next_window_ms + self.period_ms, now)
            if self.state() != "service":
                self.sense()
        self.talk()
        now = self.clock.now_ms()
        if self.watcher.worth_saving or now - self._saved_ms > _SAVE_EVERY_MS:
            self.save_model()
        due = min(self._next_window_ms, self._next_status_ms)
        retry = self.events.next_due_ms()
        if retry is not None:
            due = min(due, retry)
        if self._hello_due_ms is not None:
            due = min(due, self._hello_due_ms)
        due = min(max(due, self._radio_rests_until_ms), self._next_window_ms)
        if due > now:
            self.clock.sleep_ms(due - now)

    def run(self):
        """Live until a recording ends."""
        try:
            while True:
                self.cycle()
        except EOFError:
            self.save_model()
