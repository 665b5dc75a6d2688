"""Figures of merit, and the threshold rule that every method gets."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from fieldelm import defaults

Numbers = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Figures:
    """Of one task."""

    auc: float
    balanced_accuracy: float
    false_alarm_rate: float

    def document(self) -> dict[str, float]:
        """As JSON has it."""
        return {name: round(value, 5) for name, value in dataclasses.asdict(self).items()}


def auc(normal: Numbers, anomalous: Numbers) -> float:
    """Chance that an anomalous row scores higher than a normal one (Mann and Whitney 1947)."""
    ordered = np.sort(normal)
    below = np.searchsorted(ordered, anomalous, "left") + np.searchsorted(ordered, anomalous, "right")
    return float(below.mean() / 2 / len(normal))


def figures(threshold: float, normal: Numbers, anomalous: Numbers) -> Figures:
    """At a threshold."""
    false = float((normal > threshold).mean())
    found = float((anomalous > threshold).mean())
    return Figures(auc(normal, anomalous), (found + 1 - false) / 2, false)


def mean(of: list[Figures]) -> Figures:
    """Of several tasks or seeds."""
    values = np.mean([dataclasses.astuple(f) for f in of], 0)
    return Figures(*(float(v) for v in values))


def von_neumann_ratio(blocks: Numbers) -> float:
    """Mean square of the differences between successive rows over twice the rows' variance, each summed over the columns.

    1 for rows whose order does not matter; below 0.5 more of the variance is trend than chance. J. von Neumann,
    "Distribution of the ratio of the mean square successive difference to the variance", Ann. Math. Statist. 12(4), 1941.
    """
    successive = np.square(np.diff(blocks, axis=0)).mean(0).sum()
    return float(successive / (2 * blocks.var(0, ddof=1).sum()))


def peer_threshold(calibration: Numbers, logarithmic: bool) -> float:
    """The node's rule on a peer's calibration scores: mean + 4 sigma, widened by (1 + 2 / n).

    Squared distances are judged by their logarithm, with the node's smallest margin; other scores as they are.
    """
    values = np.log(np.maximum(calibration, 1e-12)) if logarithmic else calibration
    widen = 1 + defaults.WIDEN_ROWS / len(values)
    margin = defaults.SIGMAS * float(values.std(ddof=1))
    if logarithmic:
        return float(np.exp(values.mean() + max(margin, defaults.SMALLEST_MARGIN) * widen))
    return float(values.mean() + margin * widen)
