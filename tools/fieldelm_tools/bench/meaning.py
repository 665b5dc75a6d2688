"""What the threshold means: false alarms and delay for each factor an operator may multiply its margin by.

A factor multiplies both terms of the margin, max(4 sigma, 1.25); so `SIGMAS` and `SMALLEST_MARGIN` are set to what
`learn.threshold_factor` would make of them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fieldelm import defaults

from . import accuracy, figures, recorded_suites, suites
from .cooling_fan import CoolingFan
from .node import warn
from .scenario import Outcome

FACTORS = (0.5, 0.75, 1.0, 1.5, 2.0)
HEALTHY_SEEDS = 4
IMBALANCE = "imbalance to +300 % over 1,000 rows"


def _above(outcomes: Sequence[Outcome]) -> float:
    """Part of the rows whose score is above the threshold."""
    traces = [outcome.trace for outcome in outcomes if outcome.trace is not None]
    lived = np.concatenate(traces)
    return float((lived["score"] > lived["threshold"]).mean())


def factor_row(factor: float, fan: CoolingFan, seeds: Sequence[int], quick: bool) -> dict[str, Any]:
    """One factor, on the healthy month, on recordings that stand still, on another session, and on a growing fault."""
    overrides = (
        ("SIGMAS", defaults.SIGMAS * factor),
        ("SMALLEST_MARGIN", defaults.SMALLEST_MARGIN * factor),
    )
    month = suites.run(["healthy"], None, quick, 1 if quick else HEALTHY_SEEDS, overrides)
    still = suites.run(["drift"], fan, quick, 1, overrides, only=suites.STATIONARY)
    still = [outcome for outcome in still if recorded_suites.stands_still(outcome.more)]
    fault = suites.run(["wear"], None, quick, seeds=1 if quick else None, overrides=overrides, only=IMBALANCE)
    session = figures.mean([accuracy.retrained(fan, seed, overrides) for seed in seeds])
    parts = [float(outcome.more["part_of_growth"]) for outcome in fault]
    warn(f"threshold factor {factor:g}: {session.false_alarm_rate:.1%} of another session's normal rows above")
    return {
        "factor": factor,
        "months": len(month),
        "month_above": _above(month),
        "month_false_alarms": sum(outcome.false_alarms for outcome in month) / len(month),
        "still_rows": sum(outcome.rows for outcome in still),
        "still_above": _above(still),
        "still_false_alarms": sum(outcome.false_alarms for outcome in still),
        "session_above": session.false_alarm_rate,
        "balanced_accuracy": session.balanced_accuracy,
        "part_of_growth": max(parts) if min(parts) >= 0 else None,
    }


def measure(fan: CoolingFan, seeds: Sequence[int], quick: bool) -> dict[str, Any]:
    """The JSON document: a row for each factor."""
    return {"threshold": [factor_row(factor, fan, seeds, quick) for factor in FACTORS]}
