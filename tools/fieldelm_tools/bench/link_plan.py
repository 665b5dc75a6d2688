"""What happens in the week of `fieldelm bench link`: what machines do, when power fails, when the gateway is away.

Everything follows from the seed.
"""

import dataclasses
import random

from fieldelm import regions

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
_QUIET_MS = 2 * HOUR_MS
"""at the end nothing new happens, so that what waits can be delivered"""
_HEALTHY_EVERY = 10
_RADIUS_M = 300.0


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is asked for."""

    nodes: int = 200
    days: float = 7.0
    loss: tuple[float, float] = (0.0, 0.6)
    """loss of the first and of the last node's link; between them it rises evenly"""
    seed: int = 1
    period_s: int = 60
    heartbeat_s: int = 900
    sf: int = 9
    freq_khz: int = 869_525
    """in the only band of EU868 whose 10 % leave a gateway acknowledgements for two hundred nodes"""

    @property
    def duty_cycle(self) -> float:
        """What the law leaves to each radio on this channel."""
        allowed_us: int = regions.hour_us("EU868", self.freq_khz, "125")
        return allowed_us / 3.6e9


@dataclasses.dataclass(frozen=True)
class NodePlan:
    """One node's week."""

    loss: float
    """probability that a frame is lost, either way, beside collisions"""
    x: float
    y: float
    healthy: bool
    """its machine has nothing to tell, and its power does not fail"""
    start_ms: int
    """it is switched on"""
    script: tuple[tuple[int, str], ...]
    """ms since the start, event"""
    cuts: tuple[tuple[int, int], ...]
    """power fails: from, until, ms"""


@dataclasses.dataclass(frozen=True)
class Plan:
    """The week."""

    settings: Settings
    end_ms: int
    nodes: tuple[NodePlan, ...]
    outages: tuple[tuple[int, int], ...]
    """of the gateway: from, until, ms"""


def make(settings: Settings) -> Plan:
    """Draw a week.

    Nodes are switched on within the first half hour. A day of a machine has one to two alarms, of which one in four flaps; once
    a day a trip of the whole plant makes every node speak within ten seconds. Power fails once a week at each node. The gateway
    is away for ten minutes a day, and once for four hours.
    """
    draw = random.Random(settings.seed)
    end_ms = int(settings.days * DAY_MS)
    busy_ms = max(end_ms - _QUIET_MS, end_ms // 2)
    days = max(round(settings.days), 1)
    trips = [draw.randrange(d * busy_ms // days, (d + 1) * busy_ms // days) for d in range(days)]
    low, high = settings.loss
    nodes = []
    for i in range(settings.nodes):
        healthy = i % _HEALTHY_EVERY == 0
        nodes.append(
            NodePlan(
                loss=low + (high - low) * i / max(settings.nodes - 1, 1),
                x=draw.uniform(-_RADIUS_M, _RADIUS_M),
                y=draw.uniform(-_RADIUS_M, _RADIUS_M),
                healthy=healthy,
                start_ms=draw.randrange(min(HOUR_MS // 2, end_ms // 10)),
                script=() if healthy else _machine(draw, busy_ms, trips),
                cuts=() if healthy else _cuts(draw, busy_ms),
            )
        )
    outages = [_span(draw, busy_ms, HOUR_MS // 6) for _ in range(days)]
    outages.append(_span(draw, busy_ms, 4 * HOUR_MS if settings.days >= 2 else HOUR_MS))
    return Plan(settings, end_ms, tuple(nodes), _merged(outages))


def _span(draw: random.Random, within_ms: int, length_ms: int) -> tuple[int, int]:
    start = draw.randrange(max(within_ms - length_ms, 1))
    return start, start + length_ms


def _merged(spans: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return tuple(merged)


def _machine(draw: random.Random, busy_ms: int, trips: list[int]) -> tuple[tuple[int, str], ...]:
    script = [(trip + draw.randrange(10_000), "machine_alarm") for trip in trips]
    script += [(trip + draw.randrange(600_000, 1_200_000), "alarm_cleared") for trip in trips]
    at = draw.expovariate(1 / DAY_MS)
    while at < busy_ms:
        for _ in range(1 if draw.random() < 0.75 else draw.randrange(2, 8)):  # one that flaps
            script.append((int(at), "machine_alarm"))
            at += draw.uniform(60_000, 900_000)
            script.append((int(at), "alarm_cleared"))
            at += draw.uniform(60_000, 300_000)
        at += draw.expovariate(1 / DAY_MS)
    at = draw.expovariate(1 / (3 * DAY_MS))
    while at < busy_ms:
        script += [(int(at), "environment_changed"), (int(at) + 2_400_000, "relearned")]
        at += HOUR_MS + draw.expovariate(1 / (3 * DAY_MS))
    return tuple(sorted(entry for entry in script if entry[0] < busy_ms))


def _cuts(draw: random.Random, busy_ms: int) -> tuple[tuple[int, int], ...]:
    cuts = []
    at = HOUR_MS + draw.expovariate(1 / (7 * DAY_MS))
    while at < busy_ms:
        cuts.append((int(at), int(at) + draw.randrange(5_000, 300_000)))
        at += 600_000 + draw.expovariate(1 / (7 * DAY_MS))
    return tuple(cuts)
