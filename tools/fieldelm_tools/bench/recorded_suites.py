"""Scenarios that are drawn from recordings of a machine: moved, poisoned, stopped, at many speeds.

Rows to train with, to calibrate with and to live through come from different blocks of a recording (`streams.apart`), and damaged
rows that are mixed in from another run than those the model is tested on.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .cooling_fan import SPEEDS, CoolingFan
from .figures import auc, von_neumann_ratio
from .node import Node, events, states
from .scenario import CALIBRATE, COMMISSION, TRAIN, TROUBLE, Job, Outcome, Rows, event_row, live
from .streams import apart, block_means, bootstrap, season

ARRIVAL = 96
"""Rows after a move in which no row comes twice."""
AT_A_SPEED = 64
STANDS_STILL = 0.5
"""Least von Neumann ratio of a recording's blocks for which its stream is called stationary."""


# drift


def moved(job: Job) -> Outcome:
    """Commissioned in the quiet room at one speed, then beside the ventilation fan."""
    fan, random = job.recorded(), job.random()
    speed = job.scenario.split()[-1]
    *commission, rest = apart(fan.recording(speed, "normal", "silentA"), COMMISSION, random)
    arrival, beside = apart(fan.recording(speed, "normal", "noisy"), (ARRIVAL,), random)
    with Node(job.settings()) as node:
        live(node, commission)
        quiet = node.live(bootstrap(rest, 200, random))
        noisy = node.live(arrival)
        later = node.live(bootstrap(beside, 200, random))
    lived = np.concatenate([quiet, noisy, later])
    again = event_row(noisy, "relearned")
    outcome = job.outcome(lived, 200, ("environment_changed",), watching_again=-1 if again is None else again + 1)
    late = sum(name in TROUBLE for _, name in events(later))
    return dataclasses.replace(outcome, false_alarms=outcome.false_alarms + late)


def moved_at_all_speeds(job: Job) -> Outcome:
    """Commissioned in the quiet room at all speeds, one after the other there, then twice beside the ventilation fan.

    Each speed that is met for the first time after the move may be one more `environment_changed`; no alarm is wanted.
    """
    fan, random = job.recorded(), job.random()
    commission, quiet = all_speeds(fan, "silentA", random)
    beside = {s: apart(fan.recording(s, "normal", "noisy"), (AT_A_SPEED,), random) for s in SPEEDS}

    def in_turn(recordings: dict[str, Rows]) -> Rows:
        return np.concatenate([recordings[SPEEDS[i]] for i in random.permutation(len(SPEEDS))])

    with Node(job.settings(train_rows=4 * TRAIN, calibration_rows=4 * CALIBRATE)) as node:
        live(node, commission)
        before = node.live(in_turn({s: bootstrap(rows, AT_A_SPEED, random) for s, rows in quiet.items()}))
        first = node.live(in_turn({s: parts[0] for s, parts in beside.items()}))
        again = node.live(in_turn({s: bootstrap(parts[1], AT_A_SPEED, random) for s, parts in beside.items()}))
    lived = np.concatenate([before, first, again])
    outcome = job.outcome(lived, len(before), ("environment_changed",))
    changes = [name for _, name in events(lived[len(before) :])]
    false = sum(name in TROUBLE for _, name in events(before)) + sum(name in TROUBLE[:2] for name in changes)
    more: dict[str, float | str] = {"changes_told": changes.count("environment_changed")}
    return dataclasses.replace(outcome, false_alarms=false, more=more)


def moved_and_damaged(job: Job) -> Outcome:
    """Commissioned in the quiet room, moved beside the ventilation fan, healthy there, then damaged at the same speed."""
    fan, random = job.recorded(), job.random()
    damage, speed = job.scenario.split()[-2:]
    *commission, rest = apart(fan.recording(speed, "normal", "silentA"), COMMISSION, random)
    arrival, beside = apart(fan.recording(speed, "normal", "noisy"), (ARRIVAL,), random)
    with Node(job.settings()) as node:
        live(node, commission)
        before = live(node, [bootstrap(rest, 100, random), arrival, bootstrap(beside, 100, random)])
        lived = node.live(bootstrap(fan.at_speed(damage, "noisy", speed), 100, random))
    told = [name for _, name in events(lived) if name in TROUBLE]
    outcome = job.outcome(
        np.concatenate([before, lived]), len(before), ("machine_alarm",), told_as=told[0] if told else "nothing"
    )
    # the move is no false alarm, and an `environment_changed` is not false but wrong: it is told as such
    return dataclasses.replace(outcome, false_alarms=sum(n in TROUBLE[:2] for _, n in events(before)))


def stationary(job: Job) -> Outcome:
    """Nothing happens for 2,000 rows; but whether a recording stands still is said by itself, not by its name."""
    fan, random = job.recorded(), job.random()
    place, speed = job.scenario.split()[-2:]
    recording = fan.recording(speed, "normal", place)
    *commission, rest = apart(recording, COMMISSION, random)
    with Node(job.settings()) as node:
        live(node, commission)
        ratio = round(von_neumann_ratio(block_means(np.log(np.maximum(recording, 1e-9)))), 2)
        return job.outcome(node.live(bootstrap(rest, 2000, random)), None, (), von_neumann_ratio=ratio)


def stands_still(more: Mapping[str, float | str]) -> bool:
    """Whether the recording of a `stationary` stream varies from block to block more by chance than by trend."""
    return float(more["von_neumann_ratio"]) >= STANDS_STILL


def as_recorded(job: Job) -> Outcome:
    """Commissioned on the first rows of a recording, then the others as they came; nothing happens, but recordings drift."""
    place, speed = job.scenario.split()[-2:]
    recording = job.recorded().recording(speed, "normal", place)
    with Node(job.settings()) as node:
        node.live(recording[: TRAIN + CALIBRATE])
        return job.outcome(node.live(recording[TRAIN + CALIBRATE :]), None, ())


def seasonal(job: Job) -> Outcome:
    """All bands of the upper half drift by 3 dB and back, in 6,000 rows; no alarm is wanted."""
    fan, random = job.recorded(), job.random()
    rows = 2000 if job.quick else 6000
    place, speed = job.scenario.split()[-2:]
    *commission, rest = apart(fan.recording(speed, "normal", place), COMMISSION, random)
    with Node(job.settings()) as node:
        live(node, commission)
        return job.outcome(node.live(season(bootstrap(rest, rows, random))), None, ())


# poison


def poisoned(job: Job) -> Outcome:
    """A fifth of the rows beside the ventilation fan are of a damaged machine while it relearns; then the damage AUC.

    The damaged rows are of the first run, those that must be told apart afterwards of the second.
    """
    fan, random = job.recorded(), job.random()
    _, speed, damage = job.scenario.split()[-3:]
    bad = fan.at_speed(damage, "noisy", speed, (1,))
    good = np.array(apart(fan.recording(speed, "normal", "noisy"), (200,), random)[0])
    mixed = np.argsort(random.random((len(good) // 10, 10)), 1).reshape(-1) < 2  # two of every ten
    good[mixed] = bad[random.permutation(len(bad))[: mixed.sum()]]
    with Node(job.settings()) as node:
        if "commissioned" in job.scenario:
            lived = node.live(good)[TRAIN + CALIBRATE :]
        else:
            live(node, apart(fan.recording(speed, "normal", "silentA"), COMMISSION, random)[:2])
            lived = node.live(good)
        if states(lived)[-1] in ("alarm", "suspect") and not any(n == "environment_changed" for _, n in events(lived)):
            node.command("retrain")  # what an operator does who knows that it was moved
            node.live(good)
        separated = auc(
            node.score(fan.at_speed("normal", "noisy", speed)), node.score(fan.at_speed(damage, "noisy", speed, (2,)))
        )
    return dataclasses.replace(job.outcome(lived, None, ()), false_alarms=0, more={"damage_auc": round(separated, 5)})


# idle and modes


def all_speeds(fan: CoolingFan, place: str, random: np.random.Generator) -> tuple[list[Rows], dict[str, Rows]]:
    """Rows to train with and to calibrate with, from all speeds in turn, and the other blocks of each speed."""
    parts = {s: apart(fan.recording(s, "normal", place), COMMISSION, random) for s in SPEEDS}
    in_turn = [np.stack([part[i] for part in parts.values()], 1) for i in range(len(COMMISSION))]
    return [rows.reshape(-1, rows.shape[-1]) for rows in in_turn], {s: part[-1] for s, part in parts.items()}


def at_random(recordings: dict[str, Rows], count: int, random: np.random.Generator) -> tuple[NDArray[np.int64], Rows]:
    """A machine whose speed changes every 5 to 60 rows: index of the speed of each row, and the rows."""
    speeds: list[int] = []
    parts = []
    while len(speeds) < count:
        length = min(int(random.integers(5, 61)), count - len(speeds))
        speed = int(random.integers(0, len(SPEEDS)))
        speeds += [speed] * length
        parts.append(bootstrap(recordings[SPEEDS[speed]], length, random))
    return np.array(speeds), np.concatenate(parts)


def idle(job: Job) -> Outcome:
    """All speeds learned, then the fan stands for long, then it runs at each speed again."""
    fan, random = job.recorded(), job.random()
    rows = 2000 if job.quick else 20000
    commission, rest = all_speeds(fan, "noisy", random)
    with Node(job.settings(train_rows=4 * TRAIN, calibration_rows=4 * CALIBRATE)) as node:
        live(node, commission)
        lived = [node.live(bootstrap(rest["o"], rows, random))]
        lived += [node.live(bootstrap(rest[s], 60, random)) for s in "hmlohml"]
        good = np.concatenate([node.score(fan.at_speed("normal", "noisy", s)) for s in "hml"])
        found = {
            f"{damage}_auc": round(
                auc(good, np.concatenate([node.score(fan.at_speed(damage, "noisy", s)) for s in "hml"])), 5
            )
            for damage in ("damage1", "damage2")
        }
    return job.outcome(np.concatenate(lived), None, (), **found)


def modes(job: Job) -> Outcome:
    """Speeds change at random every 5 to 60 rows; then the same with a damaged blade."""
    fan, random = job.recorded(), job.random()
    rows = 600 if job.quick else 3000
    damage = job.scenario.split()[-1]
    commission, rest = all_speeds(fan, "noisy", random)
    with Node(job.settings(train_rows=4 * TRAIN, calibration_rows=4 * CALIBRATE)) as node:
        live(node, commission)
        speeds, stream = at_random(rest, rows, random)
        healthy = node.live(stream)
        _, stream = at_random({s: fan.at_speed(damage, "noisy", s) for s in SPEEDS}, 600, random)
        bad = node.live(stream)
    table = np.zeros((4, 8))
    for speed, mode in zip(speeds, healthy["mode"], strict=True):
        table[speed, min(int(mode), 7)] += 1
    purity = float(table.max(0).sum() / table.sum())
    outcome = job.outcome(np.concatenate([healthy, bad]), rows, ("machine_alarm",), mode_purity=round(purity, 3))
    return dataclasses.replace(outcome, more={**outcome.more, "modes": len(set(healthy["mode"]))})
