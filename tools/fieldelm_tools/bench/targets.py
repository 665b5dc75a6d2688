"""What was wanted of the learner before it was measured, beside what was measured: one table from the results of all benches."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .computed_suites import NO_WEAR
from .recorded_suites import stands_still
from .suites import STATIONARY
from .table import Table

NEEDS = ("bands", "raw511", "suites", "peers")
"""Results that the table is made of."""
NODE = "Fieldelm"
Outcomes = Sequence[Mapping[str, Any]]
Row = dict[str, Any]


def _row(what: str, wanted: str, measured: str, holds: bool) -> Row:
    return {"of what": what, "wanted": wanted, "measured": measured, "holds": "yes" if holds else "no"}


def targets(results: Mapping[str, Mapping[str, Any]]) -> Table:
    """The table. `results`: name → JSON document, those of NEEDS."""
    streams = results["suites"]["suites"]
    found = [*_tasks(results["bands"], results["raw511"]), *_peers(results["bands"], results["peers"]["peers"])]
    found += [*_moved(streams["drift"]), *_forgetting(streams), *_wear(streams["wear"]), *_quiet(streams)]
    return Table("targets", [*found, _memory(results["suites"]["memory"])])


def _tasks(bands: Mapping[str, Any], raw: Mapping[str, Any]) -> Iterable[Row]:
    after, each = bands["mean"]["odl"], [pair["odl"]["false_alarm_rate"] for pair in bands["tasks"].values()]
    area, accuracy, false = after["auc"], after["balanced_accuracy"], after["false_alarm_rate"]
    yield _row("cooling fan after retraining: mean AUC", "≥ 0.995", f"{area:.4f}", area >= 0.995)
    yield _row("the same: balanced accuracy", "≥ 0.96", f"{accuracy:.3f}", accuracy >= 0.96)
    yield _row(
        "the same: false alarms, mean and worst task",
        "≤ 3 %, ≤ 10 %",
        f"{false:.1%}, {max(each):.1%}",
        false <= 0.03 and max(each) <= 0.1,
    )
    before, after = (raw["mean"][kind]["auc"] for kind in ("no_odl", "odl"))
    yield _row(
        "the paper's 511-22-511: AUC before, after",
        "≤ 0.75, ≥ 0.95",
        f"{before:.3f}, {after:.3f}",
        before <= 0.75 and after >= 0.95,
    )


def _peers(bands: Mapping[str, Any], streams: Mapping[str, Outcomes]) -> Iterable[Row]:
    mine, others = bands["mean"]["odl"], {name: pair["odl"] for name, pair in bands["peers"].items()}
    best = max(others, key=lambda name: float(others[name]["auc"]))
    gap = others[best]["auc"] - mine["auc"]
    yield _row("best peer's mean AUC, less the node's", "≤ 0.002", f"{gap:.4f} ({best})", gap <= 0.002)
    best = max(others, key=lambda name: float(others[name]["balanced_accuracy"]))
    most = others[best]["balanced_accuracy"]
    yield _row(
        "balanced accuracy, node and best peer",
        "the node's is better",
        f"{mine['balanced_accuracy']:.4f}, {most:.4f} ({best})",
        mine["balanced_accuracy"] > most,
    )
    for suite, compared in streams.items():
        node = {row["scenario"]: row for row in compared if row["detector"] == NODE}
        pairs = [(node[row["scenario"]], row) for row in compared if row["detector"] != NODE]
        soon = sum(_no_later(mine, theirs) for mine, theirs in pairs)
        beaten = sum(_beaten(mine, theirs) for mine, theirs in pairs)
        louder = sum(mine["false_alarms"] > theirs["false_alarms"] for mine, theirs in pairs)
        yield _row(
            f"{suite}, {len(pairs)} pairs of stream and peer: the peer is sooner at no more false alarms;"
            " the node has more of them",
            "none; none",
            f"{beaten}; {louder} (the node is no later, whatever the peer's false alarms: {soon})",
            beaten == louder == 0,
        )


def _no_later(node: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    pairs = zip(node["delays"], other["delays"], strict=True)
    return all(theirs is None or (mine is not None and mine <= theirs) for mine, theirs in pairs)


def _beaten(node: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether in a seed the other one tells it sooner, with no more false alarms and no more normal rows above its threshold."""
    seeds = zip(node["delays"], node["false_each"], other["delays"], other["false_each"], strict=True)
    return any(
        theirs is not None and (mine is None or theirs < mine) and all(a <= b for a, b in zip(false, own, strict=True))
        for mine, own, theirs, false in seeds
    )


def _some(outcomes: Outcomes, start: str) -> Outcomes:
    return [outcome for outcome in outcomes if outcome["scenario"].startswith(start)]


def _latest(outcomes: Outcomes) -> float:
    return max(float("inf") if outcome["delay"] is None else outcome["delay"] for outcome in outcomes)


def _more(outcomes: Outcomes, part: str) -> list[float]:
    return [value for outcome in outcomes for key, value in outcome["more"].items() if part in key]


def _false(outcomes: Outcomes) -> int:
    return sum(outcome["false_alarms"] for outcome in outcomes)


def _moved(drift: Outcomes) -> Iterable[Row]:
    moves = _some(drift, "silent to noisy, ")
    latest, again = _latest(moves), _more(moves, "watching_again")
    late = sum(outcome["delay"] is None or outcome["delay"] > 12 for outcome in moves)
    slow = sum(not 0 < rows <= 40 for rows in again)
    yield _row(
        f"silent → noisy, {len(moves)} moves: rows until environment_changed",
        "≤ 12",
        f"{latest:g} at most, {late} late",
        late == 0,
    )
    yield _row("the same: rows until watching again", "≤ 40", f"{max(again)} at most, {slow} late or never", slow == 0)
    streams = _some(drift, STATIONARY)
    still = [outcome for outcome in streams if stands_still(outcome["more"])]
    drifting = [outcome for outcome in streams if not stands_still(outcome["more"])]
    yield _row(
        f"{len(still)} times {STATIONARY}: false alarms",
        "none",
        f"{_false(still)} ({_false(drifting)} in {len(drifting)} streams of recordings that drift)",
        bool(still) and _false(still) == 0,
    )


def _forgetting(streams: Mapping[str, Outcomes]) -> Iterable[Row]:
    for when in ("relearned", "commissioned"):
        worst = min(_more(_some(streams["poison"], when), "auc"))
        yield _row(f"{when} with 20 % damaged rows: least damage AUC", "≥ 0.99", f"{worst:.4f}", worst >= 0.99)
    worst, false = min(_more(streams["idle"], "auc")), _false(streams["idle"])
    yield _row(
        "20,000 rows stopped, then the speeds: least damage AUC, false alarms",
        "≥ 0.99, none",
        f"{worst:.4f}, {false}",
        worst >= 0.99 and false == 0,
    )


def _wear(wear: Outcomes) -> Iterable[Row]:
    for name in dict.fromkeys(outcome["scenario"] for outcome in _some(wear, "imbalance")):
        outcomes = _some(wear, name)
        parts, learned = _more(outcomes, "part_of_growth"), sum(_more(outcomes, "learned_as"))
        inside = all(0 < part < 0.5 for part in parts)
        yield _row(
            f"{name}: alarm at this part of it; learned as an environment",
            "before half; never",
            f"{max(parts):.2f} at the latest; {learned:g}",
            inside and not learned,
        )
    outcomes = _some(wear, "one band")
    sigmas, rate = _more(outcomes, "sigma"), 20000 * _false(outcomes) / sum(outcome["rows"] for outcome in outcomes)
    yield _row(
        "one band, 0.001 σ a row, days, nights, a stop: alarm; false alarms in 20,000 rows",
        "before 6 σ; ≤ 1",
        f"{max(sigmas):.2f} σ at the latest; {rate:.2f}",
        all(0 < sigma < 6 for sigma in sigmas) and rate <= 1,
    )
    for name in dict.fromkeys(outcome["scenario"] for outcome in _some(wear, NO_WEAR)):
        outcomes = _some(wear, name)
        yield _row(f"{name}, {len(outcomes)} runs: false alarms", "none", f"{_false(outcomes)}", _false(outcomes) == 0)


def _quiet(streams: Mapping[str, Outcomes]) -> Iterable[Row]:
    faults = streams["sensor-fault"]
    wrong = sum(outcome["missed"] for outcome in faults) + _false(faults)
    latest = _latest(faults)
    yield _row(
        f"eight sensor faults, {len(faults)} runs: windows until named; wrong or as a machine's",
        "≤ 20; none",
        f"{latest + 1:g} at most; {wrong}",
        latest < 20 and wrong == 0,
    )
    healthy = streams["healthy"]
    mean = _false(healthy) / len(healthy)
    yield _row(f"30 healthy days, {len(healthy)} seeds: false alarms a seed", "≤ 1", f"{mean:.2f}", mean <= 1)


def _memory(memory: Mapping[str, int]) -> Row:
    beside = memory["learner_bytes"] - memory["model_bytes"]
    return _row(
        "all of it beside the model 64-22-64: bytes of heap on a 64-bit machine",
        "≤ 24 kB",
        f"{beside:,}",
        beside <= 24 * 1024,
    )
