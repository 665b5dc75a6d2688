"""Runs on MicroPython: every case of tests/vectors/kernels.json with one implementation.

    micropython mp_vectors.py MODULE FILE

Prints a JSON line for each case: what the function returned, and the buffers that the case has an opinion on.
"""

import gc
import json
import sys
from array import array


def run(kernels, case):
    arguments = [a if isinstance(a, int) else array(a[0], a[1]) for a in case["arguments"]]
    returned = getattr(kernels, case["function"])(*arguments)
    after = {i: list(arguments[int(i)]) for i in case["after"]}
    return {"function": case["function"], "returned": returned, "after": after}


def main(module, file):
    kernels = __import__(module, None, None, ("update",))  # built-in modules are not in sys.modules
    with open(file) as lines:
        for line in lines:
            if line.startswith('{"function"'):  # one case a line: they need not all fit into memory
                print(json.dumps(run(kernels, json.loads(line.rstrip(",\n")))))
                gc.collect()


main(*sys.argv[1:])
