"""Bytes that a learner takes, before anything is allocated: docs/reference/memory.md has the table.

State, work and spectrum are those of native_modules/core/fixed.h, exactly; for the rest of the learner (known conditions, wear
charts, what is kept of the old model) this is an upper bound.
"""

LEAST_SIZE = 64  # points of a transform
ROOM = 130000  # bytes for the learner of a Pico; the heap is 248 kB, and radio, link, log and code take the rest
_REST = 7000  # whatever the model's size
_EACH = 230  # an input: eight known conditions, wear chart, noise, centre, once more of the old model; rows held


def _even(count):
    return count + (count & 1)


def state_bytes(n, h):
    """What a restart needs of a model with n inputs and h hidden units."""
    return 64 + 4 * _even(n) * _even(h) + 2 * h * (h + 1) + 2 * _even(n)


def work_bytes(n, h):
    """What one step needs beside."""
    size = 64
    while size < max(n, h):
        size *= 2
    return 8 + 8 * h + 4 * size + 12 * _even(h) + 2 * _even(n)


def explainer_bytes(h):
    """What explaining rows needs beside."""
    return 2 * h * (h + 1) + 4


def table_bytes(size):
    """Twiddles and order of blocks of a transform of ``size`` points."""
    half = size // 4
    while half > 2:
        half //= 4
    radix = 4 if half == 1 else 2
    words = size // 4 // radix + size // 8 * 6
    length = 4 * radix
    while length <= size // 4:
        words += 9 * (length // 4 - 1)
        length *= 4
    return 4 * words


def spectrum_bytes(samples, axes):
    """Buffers of the spectrum of ``samples`` rows, summed over ``axes`` axes: tables, window, work, power."""
    size = LEAST_SIZE
    while size < samples:
        size *= 2
    return table_bytes(size) + 2 * size + 4 * size + (1 + (axes > 1)) * (2 * size + 4)


def learner_bytes(sense, learn):
    """All of a learner, its windows included: ``sense`` and ``learn`` are sections of the configuration."""
    kind = sense["kind"]
    n = sense["inputs"] * sense.get("lags", 1) if kind == "features" else sense["bands"]
    h = min(learn["hidden"], max(2 * n // 3, 1))
    total = 2 * state_bytes(n, h) + work_bytes(n, h) + _REST + _EACH * n
    if kind != "features":
        total += explainer_bytes(h)
    if kind == "waveform":
        axes = 3 if sense["axis"] == "sum" else 1
        total += spectrum_bytes(sense["samples"], axes) + 2 * 3 * sense["samples"]
    return total


def problem(sense, learn):
    """None, or a sentence if the learner does not fit into a node: what is too large, and what would do."""
    total = learner_bytes(sense, learn)
    if total <= ROOM:
        return None
    for hidden in range(learn["hidden"] - 1, 0, -1):
        if learner_bytes(sense, dict(learn, hidden=hidden)) <= ROOM:
            mend = 'write at most %d for "hidden"' % hidden
            break
    else:
        mend = 'write less for "inputs"' if sense["kind"] == "features" else 'write less for "bands" or "samples"'
    return "the learner would take %d kB of a node's memory, and has %d kB: %s" % (total // 1000, ROOM // 1000, mend)
