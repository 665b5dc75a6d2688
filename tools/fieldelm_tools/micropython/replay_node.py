"""Runs the node's learner over recordings: executed by MicroPython, started by ``fieldelm replay``.

    micropython replay_node.py JOB

JOB is a JSON file: ``config`` (sections sense and learn of a node's configuration), ``period_ms`` and ``files``, row
files (see ``fieldelm_tools/rowfile.py``) in the order in which they are played, each with ``path`` and ``stream``, its
number or null for rows to be commissioned on. Prints a JSON line for each row of a stream, and for each row of the
commissioning that has an event; at the end the bytes of heap in use. Ends with code 3 and one line if configuration and
recording contradict each other.
"""

import gc
import json
import struct
import sys
from array import array

from fieldelm.elm import raw
from fieldelm.features import FeatureError
from fieldelm.watcher import Watcher

_HEADER = "<4sBBBBIIffif"


class Recording:
    """A row file, and the sensor that it stands for."""

    def __init__(self, path):
        self.file = open(path, "rb")
        fields = struct.unpack(_HEADER, self.file.read(struct.calcsize(_HEADER)))
        _, _, kind, self.axes, _, columns, self.rows, self.rate_hz, _, self.full_scale, self.g_per_count = fields
        if kind == 0:
            self.bytes = bytearray(2 * columns)
            self.row = array("h", self.bytes)
        else:
            self.row = array("f", bytes(4 * columns))
            self.bytes = raw(self.row)
        self._is_waveform = kind == 0

    def read(self):
        """The next row, in a buffer that is used again."""
        self.file.readinto(self.bytes)
        if self._is_waveform:
            for i in range(len(self.row)):
                value = self.bytes[2 * i] | self.bytes[2 * i + 1] << 8
                self.row[i] = value - 65536 if value > 32767 else value
        return self.row


def number(value):
    """JSON has no NaN: what is unknown is null."""
    return "%.6g" % value if -1e30 < value < 1e30 else "null"


def play(watcher, recording, stream, period_ms, now_ms):
    """Let the watcher live through one recording; return the time at its end."""
    for row in range(recording.rows):
        now_ms += period_ms
        watcher.step(recording.read(), now_ms)
        if stream is None and not watcher.event:
            continue
        print(
            '{"stream": %s, "row": %d, "score": %s, "threshold": %s, "state": "%s", "verdict": "%s", "learned": %s, "event": %s}'
            % (
                json.dumps(stream),
                row,
                number(watcher.score),
                number(watcher.threshold),
                watcher.state,
                watcher.verdict,
                "true" if watcher.learned else "false",
                json.dumps(watcher.event),
            )
        )
    recording.file.close()
    return now_ms


def main(path):
    """Play the job."""
    with open(path) as file:
        job = json.load(file)
    recordings = [Recording(entry["path"]) for entry in job["files"]]
    gc.collect()
    before = gc.mem_alloc()
    try:
        watcher = Watcher(job["config"], recordings[0])
    except FeatureError as error:
        print(error)
        sys.exit(3)
    gc.collect()
    heap = gc.mem_alloc() - before
    now_ms = 0
    for recording, entry in zip(recordings, job["files"]):
        now_ms = play(watcher, recording, entry["stream"], job["period_ms"], now_ms)
    print(json.dumps({"learner_bytes": heap, "learned_rows": watcher.learned_rows}))


main(sys.argv[1])
