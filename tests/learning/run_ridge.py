"""Run by MicroPython: learn rows of standard input (numbers, one row a line) with h, seed and delta of the arguments; print beta.

Prints the hidden activations of each row as they were seen, then ``beta``, then beta, row by row.
"""

import sys
from array import array

from fieldelm.elm import OsElm

h, seed, delta = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
rows = [array("f", [float(x) for x in line.split()]) for line in sys.stdin]
model = OsElm(len(rows[0]), h, seed, delta)
for x in rows:
    model.learn_row(x)
    print(*model.a)
print("beta")
for j in range(h):
    print(*model.beta[j * model.n : (j + 1) * model.n])
