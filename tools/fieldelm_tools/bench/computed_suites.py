"""Scenarios of computed machines: slow wear, broken sensors, bad commissioning, a month in which nothing happens."""

import dataclasses
from typing import Any

import numpy as np

from .node import Node, Settings, events, sensor_fault, states
from .scenario import CALIBRATE, TRAIN, TROUBLE, Job, Outcome
from .streams import DAY, Plant, band_sigma, grow_band

STOP_TOLD = 40
"""Rows after a stop within which it may be told."""
NO_WEAR = "the same without wear"
FAULTS = ("dead", "stuck", "saturated", "clipped", "detached", "gain", "noisy", "rate")

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
    """One band grows by 0.001 of its standard deviation a row, with day and night, and a stop of a week in between.

    That the machine has stopped is told rightly as `environment_changed`. The control lives through the same without the wear:
    nothing else should be told.
    """
    wears = job.scenario != NO_WEAR
    warm_up, step = (2 * DAY, 0.001) if not job.quick else (DAY, 0.005)
    week = 7 * DAY if not job.quick else DAY // 2
    grow = int(6 / step)
    band = int(job.random().integers(8, 56))
    seed = 1000 + job.seed
    first = np.concatenate(list(Plant(seed).rows(DAY)))
    sigma = band_sigma(first, band)
    stop = warm_up + grow // 3
    stopped = (stop + DAY, stop + week + DAY)
    # commissioned over a whole day: so that it has met day and night
    settings = job.settings(columns=255, train_rows=DAY * 3 // 4, calibration_rows=DAY - DAY * 3 // 4)
    lived, row = [], 0
    with Node(settings) as node:
        node.live(first)
        for part in Plant(seed, start=DAY).rows(warm_up + grow + week, stopped):
            at = np.arange(row, row + len(part))
            growth = np.maximum(at - warm_up - np.clip(at - stop, 0, week), 0) * step * sigma
            growth[(at >= stop) & (at < stop + week)] = 0.0
            lived.append(node.live(grow_band(part, band, growth) if wears else part))
            row += len(part)
    records = np.concatenate(lived)
    outcome = job.outcome(records, warm_up if wears else None, ("machine_alarm",))
    alarm = len(records) if outcome.delay is None else warm_up + outcome.delay
    told = any(stop <= row < min(stop + STOP_TOLD, alarm) for row, name in events(records) if name == TROUBLE[2])
    more: dict[str, float | str] = {"stop_told": int(told)}
    if wears:
        worn = -1.0 if outcome.delay is None else (outcome.delay - min(max(alarm - stop, 0), week)) * step
        more = {"sigma_at_alarm": round(worn, 2), "alarm_after_stop": int(alarm >= stop + week), **more}
    return dataclasses.replace(outcome, false_alarms=outcome.false_alarms - told, more=more)


def by_the_day(job: Job) -> Outcome:
    """One band grows by so many of its standard deviations a day, up to 8 of them: is it time that counts, or rows?

    A control, 0 sigma a day, lives for 30 days.
    """
    words = job.scenario.split()
    rate, minutes = float(words[0]), int(words[-2])
    day, healthy = DAY // minutes, 3
    days = 30 if not rate else round(healthy + 8 / rate)
    band, seed = int(job.random().integers(8, 56)), 2000 + job.seed
    first = np.concatenate(list(Plant(seed, minutes=minutes).rows(day)))
    sigma = band_sigma(first, band)
    settings = job.settings(
        columns=255, train_rows=day * 3 // 4, calibration_rows=day - day * 3 // 4, period_s=60.0 * minutes
    )
    lived, row = [], 0
    with Node(settings) as node:
        node.live(first)
        for part in Plant(seed, start=day, minutes=minutes).rows(days * day):
            growth = np.maximum(np.arange(row, row + len(part)) / day - healthy, 0) * rate * sigma
            lived.append(node.live(grow_band(part, band, growth)))
            row += len(part)
    outcome = job.outcome(np.concatenate(lived), healthy * day if rate else None, ("machine_alarm",))
    if not rate:
        return outcome
    after = -1.0 if outcome.delay is None else outcome.delay / day
    return dataclasses.replace(
        outcome, more={"days_to_alarm": round(after, 1), "sigma_at_alarm": round(max(after * rate, -1.0), 2)}
    )


# sensor faults


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
    elif name == "half of the calibration rows are of another condition":
        rows[TRAIN + CALIBRATE // 2 : TRAIN + CALIBRATE] *= np.exp(0.8 * np.sin(np.arange(rows.shape[1]) / 9))
    elif name == "gain doubles halfway":
        rows[(TRAIN + CALIBRATE) // 2 :] *= 2.0
    with Node(job.settings(columns=255)) as node:
        if name == "every fifth row is missing":
            lived = np.concatenate(
                [part for i in range(0, len(rows), 4) for part in (node.live(rows[i : i + 4]), node.miss(1))]
            )
        else:
            lived = node.live(rows)
    told = [event for _, event in events(lived)]
    first = told[0] if told else "none"
    fault = next((sensor_fault(lived, row) for row, event in events(lived) if event == "sensor_fault"), None)
    more: dict[str, float | str] = {"first_event": first, "last_state": states(lived)[-1]}
    if fault:
        more["fault"] = fault
    threshold = float(lived["threshold"][-1])
    if np.isfinite(threshold):
        more["threshold"] = round(threshold, 1)
    outcome = job.outcome(lived, None, ())
    return dataclasses.replace(outcome, false_alarms=0, updates=0, more=more)  # nothing was watched yet


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
