"""Run by MicroPython: ``run_scores.py JOB``. Commissions a watcher on one row file and scores others without learning.

JOB: {"sense", "learn", "train": path, "test": [path, …]}. Prints the threshold, then the score of each row, one a line.
"""

import json
import sys

from fieldelm.watcher import Watcher
from row_reader import Sensor, rows

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
