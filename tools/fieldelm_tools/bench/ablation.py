"""What each mechanism is worth: the suites with one constant of `defaults.py` put out of action at a time."""

from collections.abc import Sequence
from typing import Any

from . import suites
from .cooling_fan import CoolingFan

ABLATIONS: dict[str, tuple[tuple[str, float], ...]] = {
    "as it is": (),
    "no dead zone": (("DEAD_ZONE", -100.0),),
    "no learning while watching": (("DEAD_ZONE", 100.0),),
    "forgetting 0.99": (("FORGETTING_FACTOR", 0.99),),
    "no budget of updates": (("UPDATE_EVERY_ROWS", 1),),
    "no smallest margin": (("SMALLEST_MARGIN", 0.0),),
    "no widening of the margin": (("WIDEN_ROWS", 0.0),),
    "no worst band": (("WORST_WEIGHT", 0.0),),
    "no persistence": (("DECIDE_ROWS", 1), ("DECIDE_OF_8", 1), ("EVIDENCE", 0.0), ("SUSPECT_OF_8", 1)),
    "no rehearsal": (("REHEARSE", 0),),
    "no gate while relearning": (("RELEARN_GATE", 100.0),),
    "one mode": (("MODE_DISTANCE", 1e6),),
}


def ablate(names: Sequence[str], fan: CoolingFan | None, quick: bool, seeds: int | None) -> dict[str, Any]:
    """A row for each ablation and suite."""
    rows = []
    for what, overrides in ABLATIONS.items():
        outcomes = suites.run(names, fan, quick, seeds, overrides)
        for suite in names:
            mine = [o for o in outcomes if o.suite == suite]
            false, total = sum(o.false_alarms for o in mine), sum(o.rows for o in mine)
            delays = [o.delay for o in mine if o.delay is not None]
            rows.append(
                {
                    "ablation": what,
                    "suite": suite,
                    "false alarms per 1,000": f"{1000 * false / max(total, 1):.3f}",
                    "missed": f"{sum(o.missed for o in mine)} of {len(mine)}",
                    "mean delay": f"{sum(delays) / len(delays):.0f}" if delays else "",
                    "updates": sum(o.updates for o in mine),
                }
            )
    return {"ablation": rows}
