"""Run by MicroPython: ``run_twin.py JOB``. Commissions a watcher, packs its learner into another one, and both live on.

JOB: {"sense", "learn", "train": path, "test": [path, …]}. Prints JSON: bytes, largest difference of the scores of one row
(without learning), and how many verdicts and events differ while both live on (with learning).
"""

import io
import json
import struct
import sys
from array import array

from fieldelm.elm import raw
from fieldelm.model_codec import Packer, Unpacker
from fieldelm.watcher import Watcher


class Sensor:
    rate_hz = 0
    axes = 1
    full_scale = 0
    g_per_count = 0


def rows(path):
    with open(path, "rb") as file:
        fields = struct.unpack("<4sBBBBIIffif", file.read(32))
        row = array("f", bytes(4 * fields[5]))
        for _ in range(fields[6]):
            file.readinto(raw(row))
            yield row


with open(sys.argv[1]) as file:
    job = json.load(file)
watcher = Watcher(job, Sensor)
for number, row in enumerate(rows(job["train"])):
    watcher.step(row, number)
assert watcher.state == "watching", watcher.state
data = b"".join([bytes(part) for part in Packer(watcher)])


def twin():
    other = Watcher(job, Sensor)
    Unpacker(other).check(io.BytesIO(data))
    Unpacker(other).unpack(io.BytesIO(data))
    other.state = "watching"
    return other


scored = twin()
worst = 0.0
for path in job["test"]:
    for row in rows(path):
        x = []
        for one in (watcher, scored):
            one.features.measure(row)
            one.features.extract(row)
            x.append(one.model.score_row(one.features.x))
        worst = max(worst, abs(x[1] / x[0] - 1))
verdicts = events = count = 0
for path in job["test"]:
    for row in rows(path):
        count += 1
        watcher.step(row, count)
        scored.step(row, count)
        verdicts += watcher.verdict != scored.verdict
        events += watcher.event != scored.event
found = {"bytes": len(data), "worst": worst, "rows": count, "verdicts": verdicts, "events": events}
print(json.dumps(found))
