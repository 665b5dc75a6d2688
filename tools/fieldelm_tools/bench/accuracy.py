"""The eight cooling-fan tasks, judged by the node's own code at its own threshold; and the same rows given to its peers."""

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import peers
from .cooling_fan import BINS, RATE_HZ, SPEEDS, CoolingFan, Task
from .figures import Figures, auc, figures, mean, peer_threshold
from .node import Node, Settings, warn

QUIET, NOISY = "silentA", "noisy"
RETRAINED_ROWS = (0, 8, 16, 32, 64)
JOBS = 2
Rows = NDArray[Any]
Overrides = tuple[tuple[str, float], ...]


@dataclasses.dataclass(frozen=True)
class Found:
    """Figures of one task, one seed."""

    no_odl: Figures
    odl: Figures
    steps: dict[int, tuple[float, float]]
    """rows of each speed retrained without reset: AUC by the plain update, and with P reopened as the node does"""


def settings(train: Rows, seed: int, features: str, overrides: Overrides = ()) -> Settings:
    """Of a node that trains on the first 80 % of the rows and calibrates with the rest."""
    cut = int(len(train) * 0.8)
    return Settings(
        columns=BINS,
        rate_hz=RATE_HZ,
        train_rows=cut,
        calibration_rows=len(train) - cut,
        seed=seed,
        paper=features == "raw511",
        overrides=overrides,
    )


def judge(fan: CoolingFan, task: Task, seed: int, features: str, first: int) -> Found:
    """One task: trained in the quiet room, beside the ventilation fan and, for the first seed, retrained row by row."""
    quiet, noisy = fan.training(task.speeds, QUIET), fan.training(task.speeds, NOISY)
    with Node(settings(quiet, seed, features)) as node:
        node.live(quiet)
        no_odl = _test(node, task)
    with Node(settings(noisy, seed, features)) as node:
        node.live(noisy)
        odl = _test(node, task)
    steps = {}
    if seed == first:
        for count in RETRAINED_ROWS:
            plain = _retrained(fan, task, seed, features, count, reopened=False)
            reopened = _retrained(fan, task, seed, features, count, reopened=True) if count else plain
            steps[count] = (plain, reopened)
    return Found(no_odl, odl, steps)


def retrained(fan: CoolingFan, seed: int, overrides: Overrides) -> Figures:
    """Mean over the tasks after training on the spot, with other constants: for ablations."""
    found = []
    for task in fan.tasks(NOISY):
        noisy = fan.training(task.speeds, NOISY)
        with Node(settings(noisy, seed, "bands", overrides)) as node:
            node.live(noisy)
            found.append(_test(node, task))
    return mean(found)


def _test(node: Node, task: Task) -> Figures:
    return figures(node.threshold(), node.score(task.normal), node.score(task.anomalous))


def _retrained(fan: CoolingFan, task: Task, seed: int, features: str, count: int, *, reopened: bool) -> float:
    quiet = fan.training(task.speeds, QUIET)
    with Node(settings(quiet, seed, features)) as node:
        node.live(quiet)
        if reopened:
            node.command("reopen")
        for speed in task.speeds:  # as it happens: one speed after the other
            node.learn(fan.recording(speed, "normal", NOISY)[:count])
        return auc(node.score(task.normal), node.score(task.anomalous))


def compare(fan: CoolingFan, task: Task, seed: int, features: str) -> dict[str, tuple[Figures, Figures]]:
    """The peers on one task: figures without and after retraining."""
    found: dict[str, list[Figures]] = {name: [] for name in peers.PEERS}
    for place in (QUIET, NOISY):
        rows = fan.training(task.speeds, place)
        cut = int(len(rows) * 0.8)
        train, held_back, normal, anomalous = _inputs(
            rows, (rows[:cut], rows[cut:], task.normal, task.anomalous), features
        )
        for name, (fit, logarithmic) in peers.PEERS.items():
            score = fit(train, seed)
            threshold = peer_threshold(score(held_back), logarithmic)
            found[name].append(figures(threshold, score(normal), score(anomalous)))
    return {name: (pair[0], pair[1]) for name, pair in found.items()}


def _inputs(train: Rows, parts: Sequence[Rows], features: str) -> list[NDArray[np.float64]]:
    if features == "raw511":
        return [np.asarray(part, dtype=float) for part in parts]
    with Node(settings(train, 1, features)) as node:
        node.live(train)
        return [node.inputs(part, 64) for part in parts]


def run(fan: CoolingFan, features: str, seeds: Sequence[int], with_peers: bool) -> dict[str, Any]:
    """The JSON document of the eight tasks."""
    versions = peers.check() if with_peers else {}
    tasks = fan.tasks(NOISY)
    document: dict[str, Any] = {"tasks": {}, "mean": {}, "peers": {}, "retraining": {}, "config": {}}
    all_found: list[Found] = []
    compared: dict[str, list[tuple[Figures, Figures]]] = {name: [] for name in peers.PEERS}
    with ThreadPoolExecutor(JOBS) as pool:
        for task in tasks:
            found = list(pool.map(lambda seed, task=task: judge(fan, task, seed, features, seeds[0]), seeds))
            all_found += found
            no_odl, odl = mean([f.no_odl for f in found]), mean([f.odl for f in found])
            document["tasks"][task.name] = {"no_odl": no_odl.document(), "odl": odl.document()}
            warn(f"{task.name}: AUC {no_odl.auc:.3f} → {odl.auc:.4f}, balanced accuracy {odl.balanced_accuracy:.3f}")
            if with_peers:
                for others in pool.map(lambda seed, task=task: compare(fan, task, seed, features), seeds):
                    for name, pair in others.items():
                        compared[name].append(pair)
    document["mean"] = {
        "no_odl": mean([f.no_odl for f in all_found]).document(),
        "odl": mean([f.odl for f in all_found]).document(),
    }
    if with_peers:
        document["peers"] = {
            name: {"no_odl": mean([a for a, _ in pairs]).document(), "odl": mean([b for _, b in pairs]).document()}
            for name, pairs in compared.items()
        }
    for count in RETRAINED_ROWS:
        plain, reopened = np.mean([f.steps[count] for f in all_found if f.steps], 0)
        document["retraining"][str(count)] = {"plain": round(float(plain), 5), "reopened": round(float(reopened), 5)}
    document["config"] = {
        "fan": fan.size,
        "features": features,
        "seeds": list(seeds),
        "train": "first 80 % of the rows; speeds in turn",
        "calibration": "last 20 %",
        "retraining_rows": f"of each speed, one after the other ({SPEEDS})",
        "peers": versions,
    }
    return document
