"""The learner of one sensor: windows in, states and events out.

    window → sensor check → features → model → detector → state, verdict, event

It knows nothing of radios, files or clocks: the node's app, ``fieldelm replay`` and the benches drive the same class.
All buffers are made at construction; a step makes boxed floats and, when a decision falls, a short-lived list.

States and events are those of ``codes.py``. The way through them:

    commissioning ─ commissioned ─→ watching ⇄ suspect ─ machine_alarm ─→ alarm ─ alarm_cleared ─→ watching
                                               suspect ─ environment_changed ─→ relearning ─ relearned ─→ watching
    any ─ sensor_fault ─→ sensor_fault ─ sensor_ok ─→ where it was

A row has at most one event; a second one comes with the next row.
"""

from micropython import const

from fieldelm import defaults
from fieldelm.codes import POLICIES
from fieldelm.detector import Detector, ones
from fieldelm.elm import OsElm, floats
from fieldelm.features import NO_BAND, Features
from fieldelm.modes import Modes
from fieldelm.place import Place
from fieldelm.sensor_check import BY_SHIFT, SensorCheck
from fieldelm.snapshot import Snapshot
from fieldelm.threshold import Threshold
from fieldelm.wear import Wear

_NAN = float("nan")
_ALARM = const(1)  # flags of a stored learner
_UNCONFIRMED = const(2)
_WORN = const(4)
_FULL_BUDGET = defaults.UPDATE_BURST * defaults.UPDATE_EVERY_ROWS


class Watcher:
    """One node's learner.

    ``config`` has the sections ``sense`` and ``learn``; ``sensor`` has ``rate_hz``, ``axes``, ``full_scale`` and
    ``g_per_count``. Raises features.FeatureError if they contradict each other.

    After each ``step``: ``state``, ``verdict``, ``score`` and ``threshold`` (NaN while there is none), ``learned`` (the
    row changed the model), ``event`` (name or None), ``bands`` (the two that deviate most, 255: none), ``mode``,
    ``rms_g``, ``rms_velocity`` (NaN where unknown), ``learned_rows``, ``sensor_fault`` (name or None),
    ``change_unconfirmed``. ``worth_saving`` is set when something has happened that a restart should not lose;
    ``save`` clears it. ``snapshot`` (fieldelm.snapshot.Snapshot) has the parts that are stored.
    """

    def __init__(self, config, sensor):
        sense = config["sense"]
        learn = config["learn"]
        self.features = features = Features(sense, sensor.rate_hz, sensor.axes, sensor.g_per_count)
        n = features.n
        if features.kind == "features":
            features.settle_rows = max(features.settle_rows, learn["train_rows"] // 4)
        # with as many hidden units as inputs it could copy anything, and nothing would be strange to it
        spectral = features.kind != "features"
        hidden = min(learn["hidden"], max(2 * n // 3, 1))
        self.model = OsElm(n, hidden, learn["seed"], explained=spectral and defaults.EXPLAINED)
        self._threshold = Threshold(not spectral)
        self._threshold.set_factor(learn.get("threshold_factor", 1.0))
        self.modes = Modes(n)
        self._wear = Wear(n)
        self._worn = False  # the alarm that stands is one of wear
        scratch = (floats(n), floats(n), floats(n))  # a place is learned or a change is classified, never both
        self._detector = Detector(n, self._threshold, self.modes, features.level, spectral, features.origin, scratch)
        self._sensor_check = SensorCheck(features, sensor.full_scale, sensor.g_per_count)
        parts = (features, self.model, self._threshold, self.modes, self._wear, self._sensor_check)
        self.snapshot = Snapshot(self.model, features.meaning, parts)
        room = self.snapshot.old
        self._place = Place(
            self.model, self._threshold, self.modes, self._wear, features.level, spectral, room, scratch
        )
        self.policy = learn["policy"]
        self._train_rows = learn["train_rows"]
        self._calibration_rows = learn["calibration_rows"]
        # the condition before the change that is being relearned: no wear is watched meanwhile
        self._from = self._wear.sum
        self._back = 0  # bits: rows that look like it again
        self._waiting = []  # events not yet told: one a row
        self._updates = _FULL_BUDGET
        self._confirmed = False  # an operator has called the change that is being relearned no fault
        self._asked = False  # or the decision that waits for an operator's word
        self._interrupted = "commissioning"  # state before the sensor fault
        self.change_unconfirmed = False
        self.mode = 0
        self._reset_row()
        self._commission("commissioning")
        self.worth_saving = False

    # what others read

    @property
    def band_count(self):
        """Inputs of the model: bands, or sensor values times lags."""
        return self.features.n

    def band_range_hz(self):
        """Lower edge of the first band and upper edge of the last in Hz."""
        return self.features.band_range_hz()

    @property
    def learned_rows(self):
        """Rows learned since the model was reset."""
        return self.model.rows

    @property
    def threshold(self):
        """The score above which a row is an anomaly; NaN until commissioned, the old one while relearning."""
        return self._threshold.value

    @property
    def rms_g(self):
        """RMS acceleration of the last window in g, over the chosen axes; NaN for spectra and sensor values."""
        return self.features.rms_g

    @property
    def rms_velocity(self):
        """RMS velocity of the last window in mm/s, 10 to 1,000 Hz (ISO 20816), as far as rate and window reach."""
        return self.features.rms_velocity

    @property
    def sensor_fault(self):
        """Name of the sensor fault that stands, or None."""
        return self._sensor_check.fault

    def set_on_wait(self, on_wait):
        """``on_wait()`` is called again and again in a step that takes seconds, as some do: it feeds a watchdog."""
        self._place.set_on_wait(on_wait)
        self._detector.change.on_wait = on_wait

    # one row

    def _reset_row(self):
        self.score = _NAN
        self.verdict = "normal"
        self.learned = False
        self.event = None
        self.bands = (NO_BAND, NO_BAND)

    def step(self, row, now_ms):
        """Take one window or row, None if the sensor gave none. Returns the event's name or None.

        ``now_ms`` is any clock that goes on: wear counts days by it.
        """
        self._reset_row()
        if row is not None:
            self.features.measure(row)
            self.features.extract(row)
        sound = self._sensor_check.judge(row is not None) or self._mended()
        # a row that does not look sound is neither learned nor judged, even before it makes a fault
        if not self._sensor_faulty(sound) and self._sensor_check.seen is None:
            if self.state in ("commissioning", "relearning"):
                self._learn_place()
            else:
                self._watch(now_ms)
        if self._waiting:
            self.event = self._waiting.pop(0)
        return self.event

    def _tell(self, event):
        self._waiting.append(event)

    def _sensor_faulty(self, sound):
        if sound and self.state == "sensor_fault":
            self.state = self._interrupted
            self._detector.reset()
            self._tell("sensor_ok")
        elif not sound and self.state != "sensor_fault":
            self._interrupted = "watching" if self.state == "suspect" else self.state
            self._asked = False
            self.state = "sensor_fault"
            self._tell("sensor_fault")
        return not sound

    def _mended(self):
        # a fault seen in the shifts of the bands ends when the scores are normal again
        check = self._sensor_check
        if check.fault not in BY_SHIFT or check.seen is not None or self.state != "sensor_fault":
            return False
        self._score()
        self._detector.judge(self.score, self.features.x, False)
        if not self._detector.cleared():
            return False
        check.fault = None
        return True

    def _score(self):
        self.score = self.model.score_row(self.features.x)
        out = self.model.out
        self.bands = (int(out[2]), int(out[4]) if self.features.n > 1 else NO_BAND)

    # learning a place

    def _commission(self, state):
        # forget everything and learn from the first row on
        self.state = state
        self.features.reset()
        self._sensor_check.reset()
        self._detector.reset()
        self._wear.reset()
        self._place.begin(self._train_rows, self._calibration_rows, True)
        self.change_unconfirmed = self.snapshot.has_old = self._asked = self._worn = False
        self.worth_saving = True  # that all is forgotten

    def _relearn(self, confirmed, decision):
        # learn what is new on top of the old model, which is kept until somebody has said what the change was
        self.snapshot.keep()
        features = self.features
        modes = self.modes
        reference = self._detector.reference
        self._from[:] = modes.centers[reference]
        if modes.stale >> reference & 1:  # one more mode in an environment that has changed before
            modes.stale &= ~(1 << reference)
        elif features.kind != "features":
            modes.environment_changed(reference, self._detector.change.mean, features.level)
        reopened = defaults.RELEARN_QUIETER if decision == "quieter" else 1.0
        self._place.begin(defaults.RELEARN_TRAIN_ROWS, defaults.RELEARN_CALIBRATION_ROWS, False, reopened)
        self._detector.reset()
        self._back = 0
        self._confirmed = confirmed
        self._asked = self.change_unconfirmed = self._worn = False
        self.state = "relearning"

    def _learn_place(self):
        features = self.features
        place = self._place
        self.verdict = "uncertain"  # who learns does not judge
        if features.settled < features.settle_rows:
            features.settle(self.modes.centers)  # there are no conditions yet
            place.settle()
            return
        if not place.fresh and self._went_back(features.x):
            self._undo("watching")
            return
        if place.training:
            self._sensor_check.learn()
        if not (place.fresh and place.training):
            self._score()
        rows = self.model.rows
        through = place.take(features.x)
        self.learned = self.model.rows > rows
        if through:
            self._finish()

    def _went_back(self, x):
        # nearer to the condition before the change than to the one after it, in most of the newest eight rows
        new = self._detector.change.mean
        self._back = (self._back << 1 | (self.modes.square(x, self._from) < self.modes.square(x, new))) & 0xFF
        return ones(self._back) >= defaults.DECIDE_OF_8

    def _finish(self):
        place = self._place
        if not place.finish():
            if place.fresh:
                self._commission(self.state)
                self._tell("commissioning_failed")
            else:
                self._undo("alarm")
                self._tell("machine_alarm")
            return
        self._score()  # by the finished model
        self._tell("commissioned" if self.state == "commissioning" else "relearned")
        self.state = "watching"
        self.worth_saving = True
        self._updates = _FULL_BUDGET
        self._wear.pause()
        if not place.fresh:
            if self._confirmed:
                self.snapshot.has_old = False
            else:
                self.change_unconfirmed = True
                self._tell("change_unconfirmed")

    def _undo(self, state):
        self.snapshot.restore()
        self._detector.reset()
        self._score()  # by the model that has returned
        self.state = state
        self.worth_saving = True
        self._tell("relearn_undone")

    # watching

    def _watch(self, now_ms):
        self._score()
        detector = self._detector
        x = self.features.x
        nearest = self.modes.nearest(x)
        self._threshold.turn_to(self.modes.drift[nearest])
        decision = detector.judge(self.score, x, self.state != "alarm")
        self.verdict = detector.verdict
        if self.verdict != "anomaly":
            self.mode = nearest
        worn = self.verdict != "anomaly" and self._wear.step(x, self.modes.centers[self.mode], now_ms)
        if self.state == "alarm":
            if detector.cleared() and (not self._worn or self._wear.gone):
                if self._worn:
                    self._wear.forgive()
                self._alarm_ends()
        elif decision is not None:
            self._decide(decision)
        elif detector.suspect:
            self.state = "suspect"
        elif worn:
            self._wear.tell()
            self.bands = (self._wear.band, NO_BAND)
            self._alarm()
            self._worn = True
        else:
            self.state = "watching"
            self._asked = False
            if detector.calm and self._familiar():
                self._follow(x)

    def _familiar(self):
        # a row near the threshold may be of a fault that comes and goes: it must at least lie where known rows lie
        modes = self.modes
        return self.verdict == "normal" or (
            self.verdict == "uncertain" and modes.distance < defaults.RELEARN_RADIUS * modes.noise
        )

    def _follow(self, x):
        # learn what is informative, within the budget, and let threshold and modes follow what is normal
        surprising = self._threshold.scale(self.score) > self._threshold.mean + defaults.DEAD_ZONE
        self._updates = min(self._updates + 1, _FULL_BUDGET)
        if surprising and self._updates >= defaults.UPDATE_EVERY_ROWS:
            self._updates -= defaults.UPDATE_EVERY_ROWS
            self.model.learn_scored()
            self.learned = True
        if self.verdict == "normal":
            self._threshold.follow(self.score)
            drift = self._threshold.drift
            if self._wear.highest < defaults.WEAR_WATCH:
                self.modes.drift[self.modes.learn(x)] = drift

    def _decide(self, decision):
        if decision in BY_SHIFT:
            self._sensor_check.fault = decision
            self._detector.reset()
            self._sensor_faulty(False)
        elif decision == "machine" or self.policy == "never":
            self._alarm()
        elif self.policy == "auto":
            self._tell("environment_changed")
            self._relearn(False, decision)
        elif not self._asked:
            self._tell("environment_changed")
            self._asked = decision
            self.state = "suspect"

    def _alarm(self):
        self.state = "alarm"
        self._detector.alarm_begins()
        self._asked = self._worn = False
        self.worth_saving = True
        self._tell("machine_alarm")

    def _alarm_ends(self):
        self.state = "watching"
        self._detector.alarm_ends()
        self._worn = False
        self.worth_saving = True
        self._tell("alarm_cleared")

    # an operator's commands: True if carried out, False if there is nothing to do it to. Events come with the next row.

    def retrain(self):
        """Forget everything and learn this place from the next row on. False while rows show a faulty sensor."""
        return self._begin("commissioning" if self.state == "commissioning" else "relearning")

    def commission(self):
        """Forget everything, as after a repair, and be commissioned from the next row on. False as with ``retrain``."""
        return self._begin("commissioning")

    def _begin(self, state):
        if self.state == "sensor_fault":
            if self._sensor_check.seen is not None:
                return False
            self._tell("sensor_ok")  # a fault against what was learned is none against nothing
        self._commission(state)
        return True

    def set_policy(self, policy):
        """What to do about a change that looks like a new environment: ``auto`` relearns, ``ask`` waits, ``never`` alarms."""
        if policy not in POLICIES:
            raise ValueError("policy is one of " + ", ".join(POLICIES))
        self.policy = policy

    def set_threshold_factor(self, factor):
        """Multiply the margin of the learned threshold: above 1 the node is less sensitive, below 1 more."""
        self._threshold.set_factor(factor)

    def confirm_change(self):
        """The change is no fault: relearn it if that was not done yet, and let go of the old model.

        Wear that is told is no change to be relearned: what it has risen to becomes its zero, and the alarm ends.
        """
        if self.state == "alarm" and self._worn:
            self._wear.accept()
            self._alarm_ends()
        elif (self._asked or self.state == "alarm") and self._detector.change.rows:
            self._relearn(True, self._asked)
        elif self.change_unconfirmed:
            self.change_unconfirmed = self.snapshot.has_old = False
            self.worth_saving = True
        else:
            return False
        self._tell("change_confirmed")
        return True

    def call_fault(self):
        """The change is a fault: the old model returns, if it was relearned, and the node alarms."""
        if self.snapshot.has_old and self.state != "sensor_fault":
            self.snapshot.restore()
            self._detector.reset()
            self.change_unconfirmed = False
        elif not self._asked:
            return False
        self._alarm()
        return True

    # storage

    def save(self):
        """The buffers that a restart needs, to be written one behind the other: none of them while nothing is learned.

        None while a change is relearned on the spot: then what is stored stays.
        """
        self.worth_saving = False
        state = self._interrupted if self.state == "sensor_fault" else self.state
        if state in ("commissioning", "relearning"):
            return () if self._place.fresh else None
        return self.snapshot.save(
            (_ALARM if state == "alarm" else 0)
            | (_UNCONFIRMED if self.change_unconfirmed else 0)
            | (_WORN if self._worn else 0)
        )

    def load(self, file, length):
        """Go on with the ``length`` bytes that ``save`` gave, from a binary file whose content was checked.

        False, and nothing is changed, if they are of another configuration.
        """
        flags = self.snapshot.load(file, length)
        if flags is None:
            return False
        self._detector.reset()
        self._asked = False
        self.change_unconfirmed = bool(flags & _UNCONFIRMED)
        self._worn = bool(flags & _WORN)
        self.state = "alarm" if flags & _ALARM else "watching"
        return True
