"""What a change of the kernels may not do: take longer than before, or miss a target.

Emulated cycles repeat exactly; the slack is for other compilers.
"""

import json
from pathlib import Path
from typing import Any

from ..errors import UsageError

SLACK = 0.03
TARGETS = {
    "fft_1024": 100_000,
    "learn_64_22": 50_000,
    "learn_511_22": 260_000,
    "explain_64_22": 30_000,
    "window_to_decision": 180_000,
}
WITHOUT_FLOATS = ("explain_64_22", "invert_64_22")
"""Kernels that the float baseline does not have."""
LEAST_SPEEDUP = 25
MOST_OF_LIMIT = 2
MOST_OF_USER_MODULE = 1.15
Results = list[dict[str, Any]]


def baseline(file: Path) -> Results:
    """Results of an earlier `fieldelm bench kernels --json`. Raises UsageError."""
    try:
        results = json.loads(file.read_text(encoding="utf-8"))["results"]
        assert all({"name", "build", "cycles"} <= result.keys() for result in results)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AssertionError):
        raise UsageError(f"{file} is not what `fieldelm bench kernels --json` prints: give such a file") from None
    return list(results)


def complaints(results: Results, before: Results) -> list[str]:
    """A line for each kernel that got slower or faster than `before` by more than the slack, or that misses a target."""
    now, then = _cycles(results), _cycles(before)
    found = []
    for (name, build), cycles in now.items():
        if (old := then.get((name, build))) is None:
            found.append(f"{name} as {build}: not in the baseline")
        elif abs(cycles / old - 1) > SLACK:
            how = "slower: mend it" if cycles > old else "faster: write the baseline anew"
            found.append(f"{name} as {build}: {cycles:,} cycles, {old:,} in the baseline, {how}")
    for result in results:
        if result["build"] != "user_module":
            continue
        name, cycles = result["name"], result["cycles"]
        native = now.get((name, "natmod"))
        if native and native > MOST_OF_USER_MODULE * cycles:
            found.append(
                f"{name}: {native:,} cycles as native module, more than {MOST_OF_USER_MODULE} times {cycles:,} built in"
            )
        if cycles > TARGETS.get(name, cycles):
            found.append(f"{name}: {cycles:,} cycles, the target is {TARGETS[name]:,}")
        if cycles > MOST_OF_LIMIT * result["limit_cycles"]:
            found.append(
                f"{name}: {cycles:,} cycles, more than {MOST_OF_LIMIT} times the limit of {result['limit_cycles']:,}"
            )
        if name not in TARGETS or name in WITHOUT_FLOATS:
            continue
        slow = now.get((name, "float_natmod")) or then.get((name, "float_natmod"))
        if not slow or slow < LEAST_SPEEDUP * cycles:
            found.append(f"{name}: {cycles:,} cycles, less than {LEAST_SPEEDUP} times faster than floats ({slow})")
    return found


def _cycles(results: Results) -> dict[tuple[str, str], int]:
    return {(result["name"], result["build"]): int(result["cycles"]) for result in results}
