"""What each mechanism is worth: tasks and suites with one constant of `defaults.py` put out of action at a time."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from . import accuracy, suites
from .cooling_fan import CoolingFan
from .figures import Figures
from .node import warn
from .scenario import Outcome

ABLATIONS: dict[str, tuple[tuple[str, float], ...]] = {
    "nothing: as it is": (),
    "dead zone: every normal row may be learned": (("DEAD_ZONE", -100.0),),
    "learning while watching": (("DEAD_ZONE", 100.0),),
    "remembering: forgetting factor 0.99": (("FORGETTING_FACTOR", 0.99),),
    "budget of updates": (("UPDATE_EVERY_ROWS", 1),),
    "smallest margin": (("SMALLEST_MARGIN", 0.0),),
    "widening of the margin": (("WIDEN_ROWS", 0.0),),
    "following the mean": (("MEAN_RATE", 0.0),),
    "explaining: residuals of the activations that a row causes": (("EXPLAINED", False),),
    "worst band": (("WORST_WEIGHT", 0.0),),
    "variances of the residuals: all inputs count alike": (("VARIANCE_PRIOR_ROWS", 1e9),),
    "prior of the variances": (("VARIANCE_PRIOR_ROWS", 0.01),),
    "persistence": (("DECIDE_ROWS", 2), ("DECIDE_OF_8", 1), ("EVIDENCE", 0.0), ("SUSPECT_OF_8", 1)),
    "hysteresis: an alarm ends with one calm row": (("CLEAR_ROWS", 1), ("CLEAR_GROWTH", 1)),
    "gate: rows far off and often deviating are learned": (("OFTEN", 1.0), ("RELEARN_RADIUS", 1e9)),
    "environments: every change is a fault": (
        ("QUIET_RISEN", 2.0),
        ("DROWNED", 1e9),
        ("GONE_QUIET_RISEN", 2.0),
        ("STOPPED_FALLEN", 2.0),
    ),
    "refusal of changes that came slowly or grow": (("GROWING", 1e9), ("ABRUPT", 1e9)),
    "expectation of other speeds after a move": (("STALE_SURPLUS", -1e9),),
    "chart of slow wear": (("WEAR_LIMIT", 1e9), ("WEAR_DAY_LIMIT", 1e9)),
    "rehearsal of other modes": (("REHEARSE", 0),),
    "sifting: strangers are learned, too": (("SIFT_ALIKE", 1e9),),
    "modes: one for all": (("MODE_DISTANCE", 1e6),),
}
"""What is taken away, and how."""


def _row(what: str, suite: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    delays = [o.delay for o in outcomes if o.delay is not None]
    aucs = [value for o in outcomes for key, value in o.more.items() if "auc" in key and not isinstance(value, str)]
    false, rows = sum(o.false_alarms for o in outcomes), sum(o.rows for o in outcomes)
    return {
        "ablation": what,
        "suite": suite,
        "runs": len(outcomes),
        "false_alarms": false,
        "false_alarms_per_1000_rows": round(1000 * false / max(rows, 1), 4),
        "missed": sum(o.missed for o in outcomes),
        "mean_delay": round(sum(delays) / len(delays), 1) if delays else None,
        "updates": sum(o.updates for o in outcomes),
        "worst_auc": min(aucs) if aucs else None,
    }


def ablate(names: Sequence[str], fan: CoolingFan | None, quick: bool, seeds: int | None) -> dict[str, Any]:
    """A row for each ablation and suite, and with recordings one for the tasks after retraining (suite "")."""

    def on_tasks(what: str) -> Figures | None:
        if fan is None:
            return None
        found = accuracy.retrained(fan, 1, ABLATIONS[what])
        warn(f"tasks without {what}: AUC {found.auc:.4f}, balanced accuracy {found.balanced_accuracy:.3f}")
        return found

    with ThreadPoolExecutor(suites.JOBS) as pool:
        tasks = list(pool.map(on_tasks, ABLATIONS))
    rows = []
    for (what, overrides), found in zip(ABLATIONS.items(), tasks, strict=True):
        if found is not None:
            rows.append({"ablation": what, "suite": "", **found.document()})
        warn(f"suites without {what}")
        outcomes = suites.run(names, fan, quick, seeds, overrides)
        rows += [_row(what, suite, mine) for suite in names if (mine := [o for o in outcomes if o.suite == suite])]
    return {"ablation": rows}
