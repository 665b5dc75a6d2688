"""Run by MicroPython: ``run_twin.py JOB``. Commissions a watcher, packs its learner into another one, and both live on.

JOB: {"sense", "learn", "train": path, "test": [path, …]}. Prints JSON: bytes, largest difference of the scores of one row
(without learning), and how many verdicts and events differ while both live on (with learning).
"""

import io
import json
import sys

from fieldelm.model_codec import Packer, Unpacker
from fieldelm.watcher import Watcher
from row_reader import Sensor, rows

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
