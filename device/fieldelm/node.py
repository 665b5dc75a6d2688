"""The node's app: sense a window, let the watcher judge it, tell the gateway what changed, sleep.

    sensor → watcher (features → model → detector) → events → link → radio

Everything is allocated here, once. One cycle is: window, talk, sleep until the next thing is due.
"""

import gc
import json
from array import array

from micropython import const

from fieldelm import codes, duty, frame, payloads, reports
from fieldelm.events import EventStore
from fieldelm.link import Link
from fieldelm.settings import Settings
from fieldelm.storage import Counters, Record, StorageError, exists
from fieldelm.watcher import Watcher

_STATUS_SPACING_MS = const(120000)  # a change of state brings the next STATUS forward, but not more often
_COMMANDS_AT_ONCE = const(8)
_SAVE_EVERY_MS = const(6 * 3600 * 1000)
_SAVE_AGAIN_MS = const(15 * 60000)  # after a file system that was full or failed
_RETRY_RADIO_MS = const(60000)
_DAY_MS = const(86400000)
_FIRST_WORD_MS = const(8000)
_SHARES = (duty.ROUTINE, duty.WARNING, duty.ALARM)  # of the airtime, by severity
_PRIMARY_CELL_HYSTERESIS_MV = const(100)
_INCOMING = "incoming"  # file of a model that comes over the air


def _known(value):
    # JSON knows no NaN
    return value if value == value else None


class Node:
    """One node's life on its board. ``run`` returns when a recording has ended, else never."""

    def __init__(self, config, board):
        sense = config["sense"]
        if sense["kind"] == "waveform":  # the largest buffer comes first, while there is room in one piece
            self._window = array("h", bytes(2 * sense["samples"] * board.sensor.axes))
        else:
            self._window = array("f", bytes(4 * sense["inputs"]))
        self.config = config
        self.board = board
        self.clock = board.clock
        installed_dbm = config["radio"]["output_power"]  # before what was set by command
        self.settings = Settings(self)
        self.settings.restore()
        self.counters = Counters("counters")
        self.link = Link(config, board.radio, board.clock, self.counters)
        self.link.installed_dbm = installed_dbm
        if self.settings.is_set("radio.output_power"):
            self._set_power()
        self.events = EventStore()
        self._events_problem = None
        self._model = Record("model")
        self.period_ms = int(config["sense"]["period_s"] * 1000)
        self.heartbeat_ms = config["link"]["heartbeat_s"] * 1000
        self._commands = None  # most nodes seldom hear one
        if sense["kind"] != board.sensor.kind:
            raise ValueError('sense: "kind" is "%s", but this sensor gives "%s"' % (sense["kind"], board.sensor.kind))
        gc.collect()  # the learner wants its memory in one piece
        self.watcher = Watcher(config, board.sensor)
        self.watcher.set_on_wait(getattr(board, "feed", None))
        self.model_restored = self._restore_model()
        self._battery_is_low = False
        self._sensor_problem = None
        self.fault_at_start = getattr(board, "reports_fault", None)
        self._reported_state = None
        self.transfer = None  # of a model over the air; most nodes never need it, and memory is scarce
        if exists(_INCOMING):
            self.start_transfer()
        self._trace = None  # what a gateway wants to see: picture, kind, number of its wish
        self._service_until_ms = None  # somebody works on the machine: nothing is sensed, learned or decided
        now = self.clock.now_ms()
        self._next_window_ms = now
        self._next_status_ms = now
        self._last_status_ms = now - _STATUS_SPACING_MS
        self._saved_ms = now
        self._tidy_ms = now
        # nodes that were switched on together do not speak together
        self._radio_rests_until_ms = now + self.link.random_below(_FIRST_WORD_MS)
        self._hello_due_ms = now  # None when a gateway has answered it
        self.say("boot", {"cause": codes.BOOT_CAUSES[board.boot_cause], "model_restored": self.model_restored})
        self._queue("boot")

    # what must outlast a power cut

    def _restore_model(self):
        try:
            file = self._model.open()
        except StorageError:
            return False
        if file is None:
            return False
        with file:
            if not self.watcher.load(file, self._model.length):
                return False
        if self._is_model():
            return True
        self.watcher.commission()
        return False

    def _is_model(self):
        # of other firmware, or damaged at a gateway: the kernels would refuse each row, and the node would fail at each start
        try:
            self.watcher.model.rescore()
            return True
        except ValueError as error:
            self.say("model", {"problem": str(error)})
            return False

    def adopt_model(self):
        """Store the model that has come over the air and is in the watcher's buffers, and go on with it.

        False if that fails: the node goes on with the model that it stored last, or learns one.
        """
        if self._is_model() and self.stored(self._model, self.watcher.snapshot.save(0)) and self._restore_model():
            return True
        self.return_to_stored_model()
        return False

    def return_to_stored_model(self):
        """What is in the watcher's buffers is no model: go on with the one that was stored last, or learn one."""
        if not self._restore_model():
            self.watcher.commission()

    def save_model(self):
        """Store model, thresholds and detector; called between windows only, since a flash write stalls sampling.

        A file system that is full or fails is said and tried again later: the node watches on with what is in memory.
        """
        self._saved_ms = self.clock.now_ms()
        buffers = self.watcher.save()
        if buffers is not None and not self.stored(self._model, buffers):
            self._saved_ms += _SAVE_AGAIN_MS - _SAVE_EVERY_MS

    def stored(self, record, parts):
        """Store a record; False, and said on the console, if the file system is full or fails."""
        try:
            record.store(parts)
            return True
        except OSError as error:
            self.say("storage", {"problem": str(error)})
            return False

    def _tidy(self, now):
        # flash that waits for a quiet moment: airtime that is no longer reserved, events that it could not take
        if now < self._tidy_ms:
            return
        self._tidy_ms = now + _SAVE_AGAIN_MS
        try:
            self.link.duty.tidy(now)
        except OSError as error:
            self.say("storage", {"problem": str(error)})
        if self.events.problem:
            self.events.mend()
            self._say_events()

    # what a person on the console sees

    def say(self, kind, values):
        """One JSON line on the console."""
        if self.config["console"] != "off":
            values["kind"] = kind
            values["t_ms"] = self.clock.now_ms()
            print(json.dumps(values))

    def _say_row(self):
        if self.config["console"] == "rows":
            w = self.watcher
            self.say(
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
            self.fault_at_start = problem = None
        except OSError as error:
            got = 0
            problem = str(error)
            if (
                problem != self._sensor_problem
            ):  # what fails in the middle of a window says less than what fails at its start
                self.say("sensor", {"problem": problem})
        self._sensor_problem = problem
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
            self.say("storage", {"problem": str(error)})
            return
        self.events.add(
            name,
            sequence,
            self.clock.now_ms(),
            codes.VERDICTS.index(w.verdict),
            w.mode,
            reports.q8_8(self.score_ratio()),
            w.bands[0],
            w.bands[1],
        )
        self.say("event", {"event": name})
        self._say_events()

    def _say_events(self):
        # once, when the file system begins or ends to take the waiting events
        if self.events.problem != self._events_problem:
            self._events_problem = self.events.problem
            self.say("storage", {"problem": self._events_problem})

    def score_ratio(self):
        """Score over threshold; 0 where there is none."""
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
            self.say("radio", {"problem": str(error)})
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
            if self.clock.now_ms() >= self._next_window_ms:  # many wait: the machine is watched all the same
                break
        if self._trace is not None:
            self._send_trace()
        if self.transfer:
            self.transfer.talk(self._next_window_ms)
        if self.state() != self._reported_state:
            self._next_status_ms = min(self._next_status_ms, self._last_status_ms + _STATUS_SPACING_MS)
        if self.clock.now_ms() >= self._next_status_ms:
            self._status()

    def exchange(self, kind, name, end, ack_wanted, share=duty.ROUTINE):
        """One exchange of the link's buffer: type of the answer, 0 for none.

        A command in the answer is carried out and answered at once, and the answer to that may bring the next one.
        """
        answer = first = self._send(kind, name, end, ack_wanted, share)
        if first == frame.ACK and self.link.answer[0] & 1:  # more waits than fitted into the answer
            self._next_status_ms = min(self._next_status_ms, self._last_status_ms + _STATUS_SPACING_MS)
        for _ in range(_COMMANDS_AT_ONCE):
            if answer != frame.COMMAND:
                break
            answer = self._carry_out()
        return first

    def _send(self, kind, name, end, ack_wanted, share):
        # type of the answer, 0 for none
        link = self.link
        answer = link.exchange(kind, end, ack_wanted, share)
        if answer is None:
            self.say("airtime", {"type": name, "used_ms": link.duty.used_us(self.clock.now_ms()) // 1000})
            return 0
        self.say("sent", {"type": name, "bytes": link.length, "counter": link.counter, "acked": bool(answer)})
        return answer

    def _hello(self):
        ready_ms = self.link.ready_ms(frame.HELLO, payloads.HELLO, duty.WARNING)
        if ready_ms > self.clock.now_ms():
            self._hello_due_ms = ready_ms
            return
        heard = self.exchange(frame.HELLO, "HELLO", reports.hello(self), True, duty.WARNING)
        self._hello_due_ms = None if heard else self.clock.now_ms() + self.heartbeat_ms

    def _alert(self, event):
        share = _SHARES[event.severity]
        ready_ms = self.link.ready_ms(frame.ALERT, payloads.ALERT, share)
        if ready_ms > self.clock.now_ms():
            self.events.postpone(event, ready_ms)
        elif self.exchange(frame.ALERT, "ALERT", reports.alert(self, event), True, share):
            self.events.delivered(event, self.clock.now_ms())
            self._say_events()
        else:
            self.events.failed(event, self.clock.now_ms(), self.link.random_below(1000))

    def _status(self):
        ready_ms = self.link.ready_ms(frame.STATUS, payloads.STATUS, duty.ROUTINE)
        if ready_ms > self.clock.now_ms():
            self._next_status_ms = ready_ms
            return
        end = reports.status(self)
        self._last_status_ms = now = self.clock.now_ms()
        # a little early or late, each time by another amount: two nodes that collide once do not collide again
        spread_ms = self.heartbeat_ms // 16
        self._next_status_ms = now + self.heartbeat_ms - spread_ms // 2 + self.link.random_below(spread_ms)
        self._reported_state = self.state()
        self.exchange(frame.STATUS, "STATUS", end, False)

    def _carry_out(self):
        # carry out the command in the link's answer and respond; type of the answer to the response
        if self._commands is None:
            from fieldelm.commands import Commands

            self._commands = Commands(self)
        try:
            end, done = self._commands.carry_out()
        except ValueError:
            return 0
        try:
            return self._send(frame.RESPONSE, "RESPONSE", end, True, duty.WARNING)
        finally:  # whatever the radio says: the same command again is answered only
            if done == "rotate_key":
                self.link.use_key()
            elif done == "reboot":
                self.save_model()
                self.board.reboot()

    # what commands change

    def configured(self, name):
        """A key of the configuration has another value: use it."""
        config = self.config
        if name == "sense.period_s":
            self.period_ms = int(config["sense"]["period_s"] * 1000)
        elif name == "link.heartbeat_s":
            self.heartbeat_ms = config["link"]["heartbeat_s"] * 1000
            self._next_status_ms = min(self._next_status_ms, self.clock.now_ms() + self.heartbeat_ms)
        elif name == "learn.policy":
            self.watcher.set_policy(config["learn"]["policy"])
        elif name == "learn.threshold_factor":
            self.watcher.set_threshold_factor(config["learn"]["threshold_factor"])
        elif name == "link.tag_bytes":
            self.link.tag_bytes = config["link"]["tag_bytes"]
        elif name == "radio.output_power":
            self._set_power()

    def _set_power(self):
        try:
            self.link.set_power(self.config["radio"]["output_power"])
        except OSError as error:
            self.say("radio", {"problem": str(error)})

    def start_transfer(self):
        """What gives models to gateways and takes them (fieldelm.transfer.Transfer)."""
        if self.transfer is None:
            from fieldelm.transfer import Transfer

            self.transfer = Transfer(self, _INCOMING)
        return self.transfer

    def start_trace(self, kind, number):
        """Show what ``kind`` (a code of codes.TRACES) names, after the answer to the command; False if nothing is known yet."""
        from fieldelm.trace import Trace

        try:
            self._trace = (Trace(self.watcher, kind, self.board.sensor.g_per_count), kind, number)
        except ValueError:
            return False
        return True

    def _send_trace(self):
        # what gets lost is asked for again by whoever wanted to see it
        picture, kind, number = self._trace
        self._trace = None
        first = 0
        while first < picture.total:
            end, first = reports.trace(self, picture, kind, number, first)
            if not self.exchange(frame.TRACE, "TRACE", end, True):
                break

    def start_service(self, duration_ms):
        """Somebody works on the machine: sense, learn and decide nothing for so long; 0 ends it."""
        self._service_until_ms = self.clock.now_ms() + duration_ms

    # the cycle

    def cycle(self):
        """One round: window if due, talk, store, sleep until the next thing is due. Raises EOFError."""
        now = self.clock.now_ms()
        if now >= self._next_window_ms:
            # keep the phase, but do not run after windows that talking has swallowed
            self._next_window_ms = max(self._next_window_ms + self.period_ms, now)
            if self.state() != "service":
                self.sense()
            if self.watcher.worth_saving:  # before the gateway is told: talking takes its time, and power may be cut
                self.save_model()
        self.talk()
        now = self.clock.now_ms()
        if self.watcher.worth_saving or now - self._saved_ms > _SAVE_EVERY_MS:
            self.save_model()
        self._tidy(now)
        due = min(self._next_window_ms, self._next_status_ms)
        retry = self.events.next_due_ms()
        if retry is not None:
            due = min(due, retry)
        if self._hello_due_ms is not None:
            due = min(due, self._hello_due_ms)
        if self.transfer and self.transfer.due_ms is not None:
            due = min(due, self.transfer.due_ms)
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
