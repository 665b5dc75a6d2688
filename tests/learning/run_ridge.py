"""Run by MicroPython: ``run_ridge.py fixed|float H SEED DELTA EXPLAINED``. Learns rows of standard input, one a line.

Prints the hidden activations of each row as they were seen, then ``residuals``, then those of each row once all are
learned, with its score behind them. EXPLAINED: ``yes`` or ``no``.
"""

import sys
from array import array

from fieldelm.fixed_elm import FixedElm
from fieldelm.float_elm import FloatElm

fixed, h, seed, delta = sys.argv[1] == "fixed", int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
rows = [array("f", [float(x) for x in line.split()]) for line in sys.stdin]
n = len(rows[0])
model = (FixedElm if fixed else FloatElm)(n, h, seed, delta, explained=sys.argv[5] == "yes")


def activations():
    """Of the row scored last."""
    if not fixed:
        return model.a
    words, padded = model._work, 64  # in work after its head, 64-bit sums and padded residuals, with 11 binary places
    while padded < max(n, h):
        padded *= 2
    at = 2 + 2 * h + padded
    return [a / 2048 for a in words[at : at + h]]


for x in rows:
    model.learn_row(x)
    print(*activations())
assert model.rows == len(rows)
print("residuals")
for x in rows:
    score = model.score_row(x)
    print(*model.e, score)
