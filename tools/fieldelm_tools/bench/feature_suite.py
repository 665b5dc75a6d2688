"""Scenarios of slow sensor values (`kind: features`): temperatures, currents, pressures; a row every ten minutes.

What the values are made of: noise that is independent from row to row; an AR(1) process, whose rows resemble those before
them; a load that all sensors follow, each in its own way; a daily period. The node is commissioned over six days.
"""

import dataclasses

import numpy as np

from .node import Node, sensor_fault
from .scenario import Job, Outcome, Rows

DAY = 144
TRAIN, CALIBRATE = 4 * DAY, 2 * DAY
SENSORS = (3, 6)
PROCESSES = ("independent", "AR(1)", "load-driven", "daily period")
CHANGES = ("healthy", "shift of 5 sigma", "drift", "one stuck", "all stuck")
AR = 0.9
LOAD_AR = 0.98
STEP = 0.01
"""Standard deviations a row, of the drift."""
MOST = 10.0
"""Standard deviations at the drift's end."""


def values(process: str, sensors: int, count: int, random: np.random.Generator) -> Rows:
    """Rows of sensor values, each about a mean of its own; every process has the standard deviation 1 in every sensor."""
    noise = random.normal(size=(count, sensors))
    if process == "independent":
        rows = noise
    elif process == "AR(1)":
        rows = autoregressive(AR, noise)
    elif process == "load-driven":
        load = autoregressive(LOAD_AR, random.normal(size=(count, 1)))
        rows = np.sqrt(0.9) * load * random.choice((-1.0, 1.0), sensors) + np.sqrt(0.1) * noise
    else:
        phase = 2 * np.pi * np.arange(count)[:, None] / DAY + random.uniform(0, 2 * np.pi, sensors)
        rows = np.sqrt(2 * 0.9) * np.sin(phase) + np.sqrt(0.1) * noise
    return np.asarray(rows)


def autoregressive(part: float, noise: Rows) -> Rows:
    """AR(1) of variance 1: each row is `part` of the one before and noise."""
    rows = np.array(noise)
    for i in range(1, len(rows)):
        rows[i] = part * rows[i - 1] + np.sqrt(1 - part * part) * noise[i]
    return rows


def features(job: Job) -> Outcome:
    """Five healthy weeks, or one and then a change: of one sensor, or of all that stand still."""
    sensors, process, what = job.scenario.split(", ")
    n, random = int(sensors.split()[0]), job.random()
    healthy = DAY * (7 if what != "healthy" or job.quick else 35)
    after = 0 if what == "healthy" else round(MOST / STEP) if what == "drift" else 2 * DAY
    rows = values(process, n, TRAIN + CALIBRATE + healthy + after, random)
    which, onset = int(random.integers(n)), TRAIN + CALIBRATE + healthy
    wanted: tuple[str, ...] = ("machine_alarm",)
    if what.startswith("shift"):
        rows[onset:, which] += 5.0
    elif what == "drift":
        rows[onset:, which] += STEP * np.arange(1, after + 1)
    elif what == "one stuck":
        rows[onset:, which] = rows[onset - 1, which]
        wanted = ("sensor_fault",)
    elif what == "all stuck":
        rows[onset:] = rows[onset - 1]
        wanted = ("sensor_fault",)
    scale, offset = 10 ** random.uniform(-2, 3, n), 10 ** random.uniform(-1, 2, n)  # any unit
    rows = scale * (rows + offset)
    settings = job.settings(
        kind="features",
        columns=n,
        rate_hz=0.0,
        period_s=86400 / DAY,
        train_rows=TRAIN,
        calibration_rows=CALIBRATE,
    )
    with Node(settings) as node:
        node.live(rows[: TRAIN + CALIBRATE])
        lived = node.live(rows[TRAIN + CALIBRATE :])
    outcome = job.outcome(lived, None if what == "healthy" else healthy, wanted)
    if what == "drift":
        sigma = -1.0 if outcome.delay is None else round((outcome.delay + 1) * STEP, 2)
        return dataclasses.replace(outcome, more={"sigma_at_alarm": sigma})
    if "stuck" in what and outcome.delay is not None:
        return dataclasses.replace(outcome, more={"named": str(sensor_fault(lived, healthy + outcome.delay))})
    return outcome
