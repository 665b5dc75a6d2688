"""Run by MicroPython: ``run_scores.py JOB``. Commissions a watcher on one row file and scores others without learning.

JOB: {"sense", "learn", "train": path, "test": [path, …]}. Prints the threshold, then the score of each row, one a line.
"""

import json
import struct
import sys
from array import array

from fieldelm.elm import raw
from fieldelm.watcher import Watcher


class Sensor:
    rate_hz = 0
    axes = 1
    full_scale = 0
    g_per_count = 0


def rows(path):
    """Rows of a file of spectra, in one buffer."""
    with open(path, "rb") as file:
        fields = struct.unpack("<4sBBBBIIffif", file.read(32))
        row = array("f", bytes(4 * fields[5]))
        view = raw(row)
        for _ in range(fields[6]):
            file.readinto(view)
            yield row


with open(sys.argv[1]) as file:
    job = json.load(file)
watcher = Watcher(job, Sensor)
for number, row in enumerate(rows(job["train"])):
    watcher.step(row, number)
assert watcher.state == "watching", watcher.state
print(watcher.threshold)
for path in job["test"]:
    for row in rows(path):
        watcher.features.measure(row)
        watcher.features.extract(row)
        print(watcher.model.score_row(watcher.features.x))
