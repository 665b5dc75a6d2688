"""The suites: scripted streams, and what the node makes of them.

    run(names, fan, ...) -> list[Outcome]

A scenario is a function of a `Job` (scenario.py); those of recordings are in recorded_suites.py, those of computed machines
in computed_suites.py, those of slow sensor values in feature_suite.py.
"""

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from .computed_suites import FAULTS, NO_WEAR, by_the_day, commissioning, faulty_sensor, healthy, imbalance, one_band
from .cooling_fan import CoolingFan
from .feature_suite import CHANGES, PROCESSES, SENSORS, features
from .node import warn
from .recorded_suites import (
    as_recorded,
    idle,
    modes,
    moved,
    moved_and_damaged,
    moved_at_all_speeds,
    poisoned,
    seasonal,
    stationary,
)
from .scenario import Job, Outcome

JOBS = 2
STATIONARY = "2,000 stationary rows"
Scenario = Callable[[Job], Outcome]
SUITES: dict[str, dict[str, tuple[Scenario, bool, int]]] = {
    "drift": {
        **{f"silent to noisy, {s}": (moved, True, 3) for s in "hmlo"},
        "silent to noisy at all speeds, one after the other": (moved_at_all_speeds, True, 3),
        **{f"{STATIONARY}, {p} {s}": (stationary, True, 3) for p in ("silentA", "noisy") for s in "hmlo"},
        **{f"as recorded, {p} {s}": (as_recorded, True, 1) for p in ("silentA", "noisy") for s in "hmlo"},
        **{f"season of 3 dB, {p} m": (seasonal, True, 8) for p in ("silentA", "noisy")},
        **{f"moved, then {d} {s}": (moved_and_damaged, True, 3) for d in ("damage1", "damage2") for s in "hml"},
    },
    "poison": {
        f"{when} with 20 % damaged rows, {s} {d}": (poisoned, True, 1)
        for when in ("relearned", "commissioned")
        for s in "hml"
        for d in ("damage1", "damage2")
    },
    "idle": {"stopped for 20,000 rows": (idle, True, 2)},
    "wear": {
        "imbalance to +300 % over 1,000 rows": (imbalance, False, 3),
        "imbalance to +300 % over 5,000 rows": (imbalance, False, 3),
        "imbalance to +300 % over 20,000 rows": (imbalance, False, 1),
        "one band, 0.001 sigma a row": (one_band, False, 20),
        NO_WEAR: (one_band, False, 20),
        **{
            f"{rate} sigma a day, a row in {minutes} min": (by_the_day, False, 5)
            for rate in ("1.44", "0.36", "0")
            for minutes in (1, 10)
        },
    },
    "modes": {f"random speeds, then {d}": (modes, True, 3) for d in ("damage1", "damage2")},
    "sensor-fault": {f"sensor {fault}": (faulty_sensor, False, 3) for fault in FAULTS},
    "commissioning": dict.fromkeys(
        (
            "healthy",
            "silence",
            "one row repeated",
            "noise without structure",
            "not a number",
            "every fifth row is not a number",
            "every fifth row is missing",
            "gain doubles halfway",
            "half of the calibration rows are of another condition",
            "machine changes all the time",
        ),
        (commissioning, False, 1),
    ),
    "healthy": {"30 days, one row a minute": (healthy, False, 20)},
    "features": {
        f"{sensors} sensors, {process}, {what}": (features, False, 3)
        for process in PROCESSES
        for sensors in SENSORS
        for what in CHANGES
    },
}
"""Scenario, whether it needs the recordings, and how many seeds a full run takes (a quick one takes one)."""


def run(
    suites: Sequence[str],
    fan: CoolingFan | None,
    quick: bool = False,
    seeds: int | None = None,
    overrides: tuple[tuple[str, float], ...] = (),
    only: str = "",
) -> list[Outcome]:
    """All scenarios of the suites, those whose name holds `only`; progress on standard error."""
    jobs = []
    for suite in suites:
        for name, (scenario, recorded, count) in SUITES[suite].items():
            if (recorded and fan is None) or only not in name or (quick and suite == "wear" and _long(name)):
                continue
            for seed in range(seeds or (1 if quick else count)):
                jobs.append((scenario, Job(suite, name, seed, fan, quick, overrides)))

    done = itertools.count(1)

    def work(item: tuple[Scenario, Job]) -> Outcome:
        scenario, job = item
        outcome = scenario(job)
        delay = "" if outcome.delay is None else f", found after {outcome.delay} rows"
        missed = ", MISSED" if outcome.missed else ""
        more = "".join(f", {key.replace('_', ' ')} {value}" for key, value in outcome.more.items())
        about = f"{next(done)} of {len(jobs)}: {job.suite}: {job.scenario}, seed {job.seed}"
        warn(f"{about}: {outcome.false_alarms} false{delay}{missed}{more}")
        return outcome

    with ThreadPoolExecutor(JOBS) as pool:
        return list(pool.map(work, jobs))


def _long(name: str) -> bool:
    return "20,000 rows" in name or "a day" in name


def data_needed(suite: str) -> bool:
    """True if all scenarios of a suite need recordings."""
    return all(recorded for _, recorded, _ in SUITES[suite].values())
