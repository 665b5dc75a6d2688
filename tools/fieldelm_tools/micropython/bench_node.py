"""One node's learner at the other end of a pipe: executed by MicroPython, driven by ``fieldelm_tools.bench.node``.

Standard input: a line of JSON (``config``; ``sensor`` with rate_hz, axes, full_scale, g_per_count; ``overrides``,
constants of ``defaults.py`` that an ablation changes; ``period_ms`` from row to row), then requests of one byte, rows as
little-endian float32, windows as int16:

    r ROW   live through a row      m       a row is missing         c   the operator confirms the change
    s ROW   score a row only        t       the operator retrains    f   the operator calls it a fault
    g       live through a window   l ROW   learn a row plainly,     o   reopen P, as relearning on the spot does
            of the simulated machine        without any decision     b   bytes of the heap that the learner takes,
    x ROW   answer with the n inputs that the row gives                  answered in ``score``
    w       answer with the simulated machine's next window, which is not lived through
    k       bytes of those that the model alone takes, in ``score``

Each but x and w is answered on standard output by a record ``ANSWER`` (see there); 255 stands for no event and no fault. With
``simulation`` in the first line, the options of a simulated board, windows come from ``boards/sim``. With ``paper``
there the model is the paper's, 511-22-511 on raw bins, see ``Paper``. A contradiction in the configuration ends it with
code 3 and a line on standard error.
"""

import gc
import json
import struct
import sys
from array import array

from fieldelm import defaults

JOB = json.loads(sys.stdin.buffer.readline())
for _name, _value in JOB["overrides"].items():  # before the learner is imported, which takes some over as it is
    if not hasattr(defaults, _name):
        sys.stderr.write("there is no constant %s\n" % _name)
        sys.exit(3)
    setattr(defaults, _name, _value)

from fieldelm.codes import EVENTS, SENSOR_FAULTS, STATES, VERDICTS  # noqa: E402
from fieldelm.elm import OsElm, raw  # noqa: E402
from fieldelm.features import FeatureError  # noqa: E402
from fieldelm.threshold import Threshold  # noqa: E402
from fieldelm.watcher import Watcher  # noqa: E402

ANSWER = (
    "<ff8BHxx"  # score, threshold; state, verdict, learned, event, sensor fault, mode, unconfirmed, band; rows learned
)


class Sensor:
    """What the learner asks of a sensor."""

    def __init__(self, known):
        self.rate_hz = known["rate_hz"]
        self.axes = known["axes"]
        self.full_scale = known["full_scale"]
        self.g_per_count = known["g_per_count"]


class Clock:
    """The simulated machine's time, one window a minute."""

    now_s = 0.0

    def world_s(self):
        """Seconds since the start."""
        return self.now_s

    def sleep_us(self, duration_us):
        """Sampling takes time out of the minute."""


class Battery:
    """Never empty."""

    def draw(self, milliamperes, duration_us):
        """Give."""


class Paper:
    """What the paper runs: n raw inputs, weights of +-1, a threshold from held-back rows; no features, no decisions."""

    kind = "spectrum"
    event = sensor_fault = None
    verdict = "normal"
    learned = False
    mode = change_unconfirmed = 0
    bands = (255, 255)

    def __init__(self, config):
        n = self.inputs = self.n = config["sense"]["inputs"]
        learn = config["learn"]
        defaults.INPUT_GAIN = n**0.5  # +-1 times 1
        defaults.WORST_WEIGHT = 0.0
        defaults.SMALLEST_MARGIN = 0.0
        self.features = self
        self.model = OsElm(
            n, learn["hidden"], learn["seed"], delta=0.01, x_bits=15, explained=False
        )  # bins are from 0 to 1
        self._threshold = Threshold()
        self._train = learn["train_rows"]
        self._calibrate = learn["calibration_rows"]
        self.state = "commissioning"
        self.score = float("nan")

    @property
    def threshold(self):
        """Of the score."""
        return self._threshold.value

    @property
    def learned_rows(self):
        """Rows learned."""
        return self.model.rows

    def measure(self, row):
        """Raw bins are the inputs."""
        self.x = row

    extract = measure

    def step(self, row, now_ms):
        """Train, then calibrate, then only score."""
        self.score = self.model.score_row(row)
        if self._train:
            self._train -= 1
            self.model.learn_scored()
        elif self._calibrate:
            self._calibrate -= 1
            self._threshold.calibrate(self.score)
            if not self._calibrate:
                self._threshold.finish()
                self.state = "watching"


def _index(names, name):
    return names.index(name) if name in names else 255


def _make(job):
    gc.collect()
    before = gc.mem_alloc()
    watcher = Paper(job["config"]) if job.get("paper") else Watcher(job["config"], Sensor(job["sensor"]))
    gc.collect()
    return watcher, gc.mem_alloc() - before


def _model_bytes(model):
    gc.collect()
    before = gc.mem_alloc()
    _again = OsElm(model.n, model.h, 1)
    gc.collect()
    return gc.mem_alloc() - before


def _simulate(job):
    from accelerometer import Accelerometer

    sense = dict(job["config"]["sense"], rate_hz=job["sensor"]["rate_hz"])
    clock = Clock()
    return Accelerometer({"sense": sense, "options": job["simulation"], "eui": "0" * 16}, clock, Battery()), clock


def _sample(sensor, clock, row, now_ms):
    clock.now_s = now_ms / 1000
    try:
        sensor.read(row)
    except OSError:
        return False
    return True


def serve(job, source, sink):
    """Answer until the input ends."""
    watcher, heap = _make(job)
    sensor, clock = _simulate(job) if job.get("simulation") else (None, None)
    features = watcher.features
    if features.kind == "waveform":
        row = array("h", bytes(2 * features.inputs))
        view = memoryview(row)
        view = view.cast("B") if hasattr(view, "cast") else bytearray(2 * features.inputs)
    else:
        row = array("f", bytes(4 * features.inputs))
        view = raw(row)
    direct = features.kind != "waveform" or isinstance(view, memoryview)
    commands = {b"c": "confirm_change", b"t": "retrain", b"f": "call_fault"}
    now_ms = 0
    period_ms = job["period_ms"]
    while True:
        request = source.read(1)
        if not request:
            return
        if request in b"rslx":
            source.readinto(view)
            if not direct:
                for i in range(len(row)):
                    value = view[2 * i] | view[2 * i + 1] << 8
                    row[i] = value - 65536 if value > 32767 else value
        if request in b"gw":
            given = _sample(sensor, clock, row, now_ms + period_ms)
        score = None
        if request == b"w":
            now_ms += period_ms
            sink.write(row)
            continue
        if request in b"slx":
            features.measure(row)
            features.extract(row)
            if request == b"x":
                sink.write(raw(features.x))
                continue
            score = watcher.model.score_row(features.x)
            if request == b"l":
                watcher.model.learn_scored()
        elif request == b"b":
            score = heap
        elif request == b"k":
            score = _model_bytes(watcher.model)
        elif request == b"o":
            watcher.model.reopen(1 / watcher.model.delta)
        elif request in b"rmg":
            now_ms += period_ms
            if request in b"rm":
                given = request == b"r"
            watcher.step(row if given else None, now_ms)
        else:
            getattr(watcher, commands[request])()
        sink.write(
            struct.pack(
                ANSWER,
                watcher.score if score is None else score,
                watcher.threshold,
                _index(STATES, watcher.state),
                _index(VERDICTS, watcher.verdict),
                watcher.learned,
                _index(EVENTS, watcher.event) if request in b"rmg" else 255,
                _index(SENSOR_FAULTS, watcher.sensor_fault),
                watcher.mode,
                watcher.change_unconfirmed,
                watcher.bands[0],
                min(watcher.learned_rows, 65535),
            )
        )


try:
    serve(JOB, sys.stdin.buffer, sys.stdout.buffer)
except FeatureError as error:
    sys.stderr.write(str(error) + "\n")
    sys.exit(3)
except Exception as error:  # its own report would go to standard output
    sys.print_exception(error, sys.stderr)
    sys.exit(1)
