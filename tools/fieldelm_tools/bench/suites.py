"""The suites: scripted streams, and what the node makes of them.

    run(names, data, seeds, quick) -> list[Outcome]

Each scenario says at which row something happens and which event is wanted from there on. Any other `machine_alarm`,
`sensor_fault` or, where nothing has changed, `environment_changed` is a false alarm.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cooling_fan import BINS, RATE_HZ, CoolingFan
from .figures import auc
from .node import Node, Settings, events, sensor_fault, states, warn
from .streams import DAY, Plant, band_sigma, bootstrap, grow_band, season

Rows = NDArray[Any]
TROUBLE = ("machine_alarm", "sensor_fault", "environment_changed")
TRAIN, CALIBRATE = 64, 32
JOBS = 2


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One stream lived through."""

    suite: str
    scenario: str
    seed: int
    rows: int
    """after commissioning"""
    delay: int | None
    """rows from the onset to the wanted event; None: there was none, or nothing was to be found"""
    missed: bool
    false_alarms: int
    updates: int
    """rows learned while watching"""
    more: dict[str, float | str]
    trace: Rows | None = None
    """scores and thresholds, for plots"""

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "trace"}
        rate = 1000 * self.false_alarms / self.rows if self.rows else 0.0
        return {**found, "false_alarms_per_1000_rows": round(rate, 4)}


@dataclasses.dataclass(frozen=True)
class Job:
    """What a scenario is made from."""

    suite: str
    scenario: str
    seed: int
    fan: CoolingFan | None
    quick: bool
    overrides: tuple[tuple[str, float], ...] = ()

    def random(self) -> np.random.Generator:
        """Repeatable."""
        return np.random.default_rng((self.seed, *self.scenario.encode()))

    def settings(self, **changes: Any) -> Settings:
        """Of a node on the cooling fan's spectra, unless changed."""
        wanted: dict[str, Any] = {
            "columns": BINS,
            "rate_hz": RATE_HZ,
            "train_rows": TRAIN,
            "calibration_rows": CALIBRATE,
            "seed": self.seed + 1,
            "overrides": self.overrides,
        }
        return Settings(**{**wanted, **changes})

    def outcome(self, lived: Rows, onset: int | None, wanted: Sequence[str], **more: float | str) -> Outcome:
        """Judge what was lived after commissioning; up to the onset nothing should have happened."""
        happened = [(row, name) for row, name in events(lived) if name in TROUBLE]
        found = [row for row, name in happened if onset is not None and row >= onset and name in wanted]
        false = [row for row, name in happened if onset is None or row < onset]
        if onset is not None:
            until = found[0] if found else len(lived)
            false += [row for row, name in happened if onset <= row < until and name not in wanted]
        return Outcome(
            self.suite,
            self.scenario,
            self.seed,
            len(lived),
            found[0] - onset if found and onset is not None else None,
            onset is not None and not found,
            len(false),
            int(lived["learned"].sum()),
            dict(more),
            lived,
        )

    def recorded(self) -> CoolingFan:
        """The recordings; scenarios that need them are left out without."""
        assert self.fan is not None
        return self.fan


def _at(lived: Rows, name: str) -> int | None:
    return next((row for row, event in events(lived) if event == name), None)


def _live(node: Node, parts: Iterable[Rows]) -> Rows:
    return np.concatenate([node.live(part) for part in parts])


# drift


def moved(job: Job) -> Outcome:
    """Commissioned in the quiet room at one speed, then beside the ventilation fan."""
    fan, random = job.recorded(), job.random()
    speed = job.scenario.split()[-1]
    with Node(job.settings()) as node:
        node.live(bootstrap(fan.recording(speed, "normal", "silentA"), TRAIN + CALIBRATE, random))
        quiet = node.live(bootstrap(fan.recording(speed, "normal", "silentA"), 200, random))
        noisy = node.live(bootstrap(fan.recording(speed, "normal", "noisy"), 100, random))
        later = node.live(bootstrap(fan.recording(speed, "normal", "noisy"), 200, random))
    lived = np.concatenate([quiet, noisy, later])
    again = _at(noisy, "relearned")
    outcome = job.outcome(lived, 200, ("environment_changed",), watching_again=-1 if again is None else again + 1)
    late = sum(name in TROUBLE for _, name in events(later))
    return dataclasses.replace(outcome, false_alarms=outcome.false_alarms + late)


def moved_and_damaged(job: Job) -> Outcome:
    """Commissioned in the quiet room, moved beside the ventilation fan, healthy there, then damaged at the same speed."""
    fan, random = job.recorded(), job.random()
    damage, speed = job.scenario.split()[-2:]
    parts = [
        bootstrap(fan.recording(speed, "normal", "silentA"), 100, random),
        bootstrap(fan.recording(speed, "normal", "noisy"), 200, random),
    ]
    with Node(job.settings()) as node:
        node.live(bootstrap(fan.recording(speed, "normal", "silentA"), TRAIN + CALIBRATE, random))
        before = _live(node, parts)
        lived = node.live(bootstrap(fan.at_speed(damage, "noisy", speed), 100, random))
    told = [name for _, name in events(lived) if name in TROUBLE]
    outcome = job.outcome(
        np.concatenate([before, lived]), len(before), ("machine_alarm",), told_as=told[0] if told else "nothing"
    )
    # the move is no false alarm, and an `environment_changed` is not false but wrong: it is told as such
    return dataclasses.replace(outcome, false_alarms=sum(n in TROUBLE[:2] for _, n in events(before)))


def stationary(job: Job) -> Outcome:
    """Nothing happens for 2,000 rows."""
    fan, random = job.recorded(), job.random()
    place, speed = job.scenario.split()[-2:]
    recording = fan.recording(speed, "normal", place)
    with Node(job.settings()) as node:
        node.live(bootstrap(recording, TRAIN + CALIBRATE, random))
        return job.outcome(node.live(bootstrap(recording, 2000, random)), None, ())


def seasonal(job: Job) -> Outcome:
    """All bands of the upper half drift by 3 dB and back, in 6,000 rows; no alarm is wanted."""
    fan, random = job.recorded(), job.random()
    rows = 2000 if job.quick else 6000
    recording = fan.recording("m", "normal", "silentA")
    stream = season(bootstrap(recording, rows, random))
    with Node(job.settings()) as node:
        node.live(recording[: TRAIN + CALIBRATE])
        return job.outcome(node.live(stream), None, ())


# poison


def poisoned(job: Job) -> Outcome:
    """A fifth of the rows beside the ventilation fan are of a damaged machine while it relearns; then the damage AUC."""
    fan, random = job.recorded(), job.random()
    _, speed, damage = job.scenario.split()[-3:]
    bad = fan.at_speed(damage, "noisy", speed)
    good = np.array(bootstrap(fan.recording(speed, "normal", "noisy"), 200, random))
    mixed = np.argsort(random.random((len(good) // 10, 10)), 1).reshape(-1) < 2  # two of every ten
    good[mixed] = bad[random.integers(0, len(bad), int(mixed.sum()))]
    with Node(job.settings()) as node:
        if "commissioned" in job.scenario:
            lived = node.live(good)[TRAIN + CALIBRATE :]
        else:
            node.live(fan.recording(speed, "normal", "silentA")[: TRAIN + CALIBRATE])
            lived = node.live(good)
        if states(lived)[-1] in ("alarm", "suspect") and not any(n == "environment_changed" for _, n in events(lived)):
            node.command("retrain")  # what an operator does who knows that it was moved
            node.live(good)
        separated = auc(node.score(fan.at_speed("normal", "noisy", speed)), node.score(bad))
    return dataclasses.replace(job.outcome(lived, None, ()), false_alarms=0, more={"damage_auc": round(separated, 5)})


# idle


def idle(job: Job) -> Outcome:
    """All speeds learned, then the fan stands for long, then it runs at each speed again."""
    fan, random = job.recorded(), job.random()
    rows = 2000 if job.quick else 20000
    train = fan.training("hmlo", "noisy")[: 4 * (TRAIN + CALIBRATE)]
    with Node(job.settings(train_rows=4 * TRAIN, calibration_rows=4 * CALIBRATE)) as node:
        node.live(train)
        lived = [node.live(bootstrap(fan.recording("o", "normal", "noisy"), rows, random))]
        lived += [node.live(bootstrap(fan.recording(s, "normal", "noisy"), 60, random)) for s in "hmlohml"]
        good = np.concatenate([node.score(fan.at_speed("normal", "noisy", s)) for s in "hml"])
        found = {
            f"{damage}_auc": round(
                auc(good, np.concatenate([node.score(fan.at_speed(damage, "noisy", s)) for s in "hml"])), 5
            )
            for damage in ("damage1", "damage2")
        }
    return job.outcome(np.concatenate(lived), None, (), **found)


# wear


def imbalance(job: Job) -> Outcome:
    """The simulated machine's imbalance grows linearly to +300 % over so many rows; alarm is wanted before half of it."""
    rows = int(job.scenario.split()[-2].replace(",", ""))
    healthy = 300
    with Node(simulated_machine(job.seed, rows, TRAIN + CALIBRATE + healthy, job.overrides)) as node:
        node.simulate(TRAIN + CALIBRATE)
        lived = node.simulate(healthy + rows)
    outcome = job.outcome(lived, healthy, ("machine_alarm",))
    part = -1.0 if outcome.delay is None else outcome.delay / rows
    wrong = sum(name == "environment_changed" for _, name in events(lived))
    return dataclasses.replace(outcome, more={"part_of_growth": round(part, 3), "learned_as_environment": wrong})


def simulated_machine(seed: int, rows: int, start: int, overrides: tuple[tuple[str, float], ...] = ()) -> Settings:
    """Its imbalance grows to +300 % over so many rows from row `start` on."""
    script = [{"at_s": 60 * start, "damage": "imbalance", "severity": 0, "grow_per_h": 0.375 / (rows / 60)}]
    machine = {"speed_rpm": 2400, "blades": 7, "mount": seed}
    return waveform(seed, (("machine", machine), ("sensor", {"seed": seed + 1}), ("script", script)), overrides)


def waveform(
    seed: int, simulation: tuple[tuple[str, Any], ...], overrides: tuple[tuple[str, float], ...] = ()
) -> Settings:
    """A node with the simulated accelerometer: three axes, 1,024 samples each."""
    return Settings(
        kind="waveform",
        columns=3072,
        axes=3,
        rate_hz=1600.0,
        g_per_count=0.0039,
        full_scale=4095,
        train_rows=TRAIN,
        calibration_rows=CALIBRATE,
        seed=seed + 1,
        simulation=simulation,
        overrides=overrides,
    )


def one_band(job: Job) -> Outcome:
    """One band grows by 0.001 of its standard deviation a row, with day and night, and a stop of a week in between."""
    random = job.random()
    plant = Plant(seed=1000 + job.seed)
    warm_up, step = (2 * DAY, 0.001) if not job.quick else (DAY, 0.005)
    week = 7 * DAY if not job.quick else DAY // 2
    grow = int(6 / step)
    band = int(random.integers(8, 56))
    first = np.concatenate(list(plant.rows(DAY)))
    sigma = band_sigma(first, band)
    node_settings = _plant(job)
    lived = []
    stop = (warm_up + grow // 3, warm_up + grow // 3 + week)
    total = warm_up + grow + week
    with Node(node_settings) as node:
        done = -DAY
        for part in Plant(seed=plant.seed, start=0).rows(DAY):
            done += len(part)
            node.live(part)
        row = 0
        for part in Plant(seed=plant.seed, start=DAY).rows(total, (stop[0] + DAY, stop[1] + DAY)):
            at = np.arange(row, row + len(part))
            stopped = np.clip(at - stop[0], 0, week)
            growth = np.maximum(at - warm_up - stopped, 0) * step * sigma
            growth[(at >= stop[0]) & (at < stop[1])] = 0.0
            lived.append(node.live(grow_band(part, band, growth)))
            row += len(part)
    outcome = job.outcome(np.concatenate(lived), warm_up, ("machine_alarm",))
    if outcome.delay is None:
        return dataclasses.replace(outcome, more={"sigma_at_alarm": -1.0})
    worn = outcome.delay - min(max(outcome.delay + warm_up - stop[0], 0), week)
    return dataclasses.replace(outcome, more={"sigma_at_alarm": round(worn * step, 2)})


def _plant(job: Job) -> Settings:
    # commissioned over a whole day, one row in seven minutes: so that it has met day and night
    return job.settings(columns=255, rate_hz=1024.0, train_rows=DAY * 3 // 4, calibration_rows=DAY - DAY * 3 // 4)


# modes


def modes(job: Job) -> Outcome:
    """Speeds change at random every 5 to 60 rows; then the same with a damaged blade."""
    fan, random = job.recorded(), job.random()
    rows = 600 if job.quick else 3000
    damage = job.scenario.split()[-1]
    train = fan.training("hmlo", "noisy")[: 4 * (TRAIN + CALIBRATE)]
    labels: list[int] = []

    def sequence(count: int, kind: str) -> Iterator[Rows]:
        while count > 0:
            length = min(int(random.integers(5, 61)), count)
            speed = int(random.integers(0, 4))
            labels.extend([speed] * length)
            recording = fan.recording("hmlo"[speed], "normal", "noisy") if kind == "normal" else None
            yield bootstrap(
                fan.at_speed(kind, "noisy", "hmlo"[speed]) if recording is None else recording, length, random
            )
            count -= length

    with Node(job.settings(train_rows=4 * TRAIN, calibration_rows=4 * CALIBRATE)) as node:
        node.live(train)
        healthy = _live(node, sequence(rows, "normal"))
        known = np.array(labels)
        bad = _live(node, sequence(600, damage))
    table = np.zeros((4, 8))
    for speed, mode in zip(known, healthy["mode"], strict=True):
        table[speed, min(int(mode), 7)] += 1
    purity = float(table.max(0).sum() / table.sum())
    outcome = job.outcome(np.concatenate([healthy, bad]), rows, ("machine_alarm",), mode_purity=round(purity, 3))
    return dataclasses.replace(outcome, more={**outcome.more, "modes": len(set(healthy["mode"]))})


# sensor faults

FAULTS = ("dead", "stuck", "saturated", "clipped", "detached", "gain", "noisy", "rate")


def faulty_sensor(job: Job) -> Outcome:
    """The simulated sensor breaks; the fault's own name is wanted, and no alarm of the machine."""
    fault = job.scenario.split()[-1]
    healthy = 60
    script = [{"at_s": 60 * (TRAIN + CALIBRATE + healthy + 0.5), "fault": fault}]
    machine = {"speed_rpm": (2400, 1800, 2900)[job.seed % 3], "blades": (7, 5, 9)[job.seed % 3], "mount": job.seed}
    options = (("machine", machine), ("sensor", {"seed": job.seed + 1}), ("script", script))
    with Node(waveform(job.seed, options, job.overrides)) as node:
        node.simulate(TRAIN + CALIBRATE)
        lived = node.simulate(healthy + 60)
    outcome = job.outcome(lived, healthy, ("sensor_fault",))
    named = "none"
    if outcome.delay is not None:
        named = str(sensor_fault(lived, healthy + outcome.delay))
    return dataclasses.replace(outcome, missed=named != fault, more={"named": named})


# commissioning and bad input


def commissioning(job: Job) -> Outcome:
    """What becomes of a node that is given something else than a healthy machine to learn."""
    random = job.random()
    healthy = np.concatenate(list(Plant(seed=job.seed, swing=0).rows(400)))
    rows = np.array(healthy)
    name = job.scenario
    if name == "silence":
        rows[:] = 0.0
    elif name == "one row repeated":
        rows[:] = rows[0]
    elif name == "noise without structure":
        rows = random.gamma(0.3, 1.0, rows.shape)
    elif name == "not a number":
        rows[:, 7] = np.nan
    elif name == "every fifth row is not a number":
        rows[::5] = np.nan
    elif name == "machine changes all the time":
        rows *= np.exp(random.normal(0, 1.5, rows.shape[0]))[:, None] * np.exp(random.normal(0, 1.0, rows.shape))
    with Node(job.settings(columns=255)) as node:
        lived = node.live(rows)
    told = [event for _, event in events(lived)]
    first = told[0] if told else "none"
    fault = next((sensor_fault(lived, row) for row, event in events(lived) if event == "sensor_fault"), None)
    more: dict[str, float | str] = {"first_event": first, "last_state": states(lived)[-1]}
    if fault:
        more["fault"] = fault
    return Outcome(job.suite, name, job.seed, len(rows), None, missed=False, false_alarms=0, updates=0, more=more)


# healthy


def healthy(job: Job) -> Outcome:
    """30 days of a computed machine, day and night (quick: 3 days), commissioned in its first 96 minutes."""
    days = 3 if job.quick else 30
    lived = []
    with Node(job.settings(columns=255)) as node:
        for part in Plant(seed=job.seed).rows(TRAIN + CALIBRATE):
            node.live(part)
        for part in Plant(seed=job.seed, start=DAY).rows(days * DAY):
            lived.append(node.live(part))
    return job.outcome(np.concatenate(lived), None, ())


Scenario = Callable[[Job], Outcome]
SUITES: dict[str, dict[str, tuple[Scenario, bool, int]]] = {
    "drift": {
        **{f"silent to noisy, {s}": (moved, True, 3) for s in "hmlo"},
        **{f"2,000 stationary rows, {p} {s}": (stationary, True, 1) for p in ("silentA", "noisy") for s in "hmlo"},
        "season of 3 dB": (seasonal, True, 2),
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
        "one band, 0.001 sigma a row": (one_band, False, 3),
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
            "machine changes all the time",
        ),
        (commissioning, False, 1),
    ),
    "healthy": {"30 days, one row a minute": (healthy, False, 20)},
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
            if (recorded and fan is None) or only not in name or (quick and "20,000 rows" in name and suite == "wear"):
                continue
            for seed in range(seeds or (1 if quick else count)):
                jobs.append((scenario, Job(suite, name, seed, fan, quick, overrides)))

    def work(item: tuple[Scenario, Job]) -> Outcome:
        scenario, job = item
        outcome = scenario(job)
        delay = "" if outcome.delay is None else f", found after {outcome.delay} rows"
        missed = ", MISSED" if outcome.missed else ""
        warn(
            f"{job.suite}: {job.scenario}, seed {job.seed}: {outcome.false_alarms} false{delay}{missed} {outcome.more}"
        )
        return outcome

    with ThreadPoolExecutor(JOBS) as pool:
        return list(pool.map(work, jobs))


def data_needed(suite: str) -> bool:
    """True if all scenarios of a suite need recordings."""
    return all(recorded for _, recorded, _ in SUITES[suite].values())


__all__ = ["SUITES", "Job", "Outcome", "data_needed", "run"]
