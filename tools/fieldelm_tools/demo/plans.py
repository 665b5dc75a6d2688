"""Which nodes, which machines or recordings, and when the place changes: the two stories as data.

The phases are long enough for the learner: commissioning takes `train_rows` + `calibration_rows` windows, a decision
at least 8, relearning on the spot 28 (`device/fieldelm/defaults.py`).
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from ..report_chart import Phase
from .story import Actor, Story

TRAIN_ROWS, CALIBRATION_ROWS = 64, 32

# asset, machine (boards/sim/machine.py), place in metres from the gateway, share of the battery that is used
_MACHINES: Sequence[tuple[str, dict[str, float], tuple[float, float], float]] = (
    ("extract fan 1", {"speed_rpm": 2400, "blades": 7}, (40, 25), 0.05),
    ("extract fan 2", {"speed_rpm": 2400, "blades": 7, "mount": 2}, (85, -30), 0.2),
    ("kiln blower", {"speed_rpm": 2240, "blades": 5, "mount": 3}, (-60, 110), 0.35),
    ("supply fan", {"speed_rpm": 2100, "blades": 9, "mount": 4}, (130, 60), 0.1),
    ("dust collector", {"speed_rpm": 2450, "blades": 6, "mount": 5}, (-95, -40), 0.25),
    ("dryer fan", {"speed_rpm": 2320, "blades": 8, "mount": 6}, (15, 150), 0.15),
    ("cooling tower", {"speed_rpm": 2180, "blades": 6, "mount": 7}, (-140, 20), 0.3),
    ("return fan", {"speed_rpm": 2380, "blades": 7, "mount": 8}, (60, -120), 0.4),
)
_BLADE_PASS_G = 0.15
_NEIGHBOUR_G = 0.2
_SEVERITY = 1.0
_PERIOD_S = 60
_APART_S = 0.37  # the nodes' periods differ, as crystals do, so that they do not speak at once for ever
_HEARTBEAT_S = 900
_SAMPLES, _RATE_HZ, _AXES, _COUNT_BYTES = 1024, 1600, 3, 2
_MOVED_ROW, _DAMAGED_ROW, _END_ROW = 140, 240, 300
_MODEL = (
    "The machine is a model (boards/sim/machine.py), not a recording: this shows that the parts work together."
    " fieldelm demo --data DIR plays real vibration."
)
_HURT = 1  # which of them breaks; the first if there is no second


@dataclasses.dataclass(frozen=True)
class NodePlan:
    """What a node's configuration needs beside its identity."""

    actor: Actor
    sense: dict[str, Any]
    learn: dict[str, Any]
    link: dict[str, Any]
    options: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Plan:
    """A story and the nodes that play it."""

    story: Story
    nodes: Sequence[NodePlan]


def eui(i: int) -> str:
    """A locally administered EUI."""
    return f"02fe1d000000{i + 1:04x}"


def phases(moved_s: float | None, damaged_s: float | None, end_s: float) -> list[Phase]:
    """Quiet, noisy, damaged: those that there are."""
    found = [("quiet place", "quiet", 0.0)]
    if moved_s is not None:
        found.append(("beside a noisy machine", "noisy", moved_s))
    if damaged_s is not None:
        found.append(("blade damaged", "damaged", damaged_s))
    ends = [start for _, _, start in found[1:]] + [end_s]
    return [Phase(name, kind, start, end) for (name, kind, start), end in zip(found, ends, strict=True)]


def simulated(count: int, seed: int, without: str | None) -> Plan:
    """Machines that are computed: raw acceleration on three axes, 1,024 samples at 1,600 Hz, a window a minute."""
    moved_s = None if without == "move" else float(_MOVED_ROW * _PERIOD_S)
    damaged_s = None if without == "damage" else float(_DAMAGED_ROW * _PERIOD_S)
    end_s = float(_END_ROW * _PERIOD_S)
    nodes = []
    for i in range(count):
        asset, machine, (x, y), used = _MACHINES[i]
        hurt = i == min(_HURT, count - 1)
        script: list[dict[str, Any]] = []
        if moved_s is not None:
            script.append({"at_s": moved_s - _PERIOD_S / 2, "neighbour_g": _NEIGHBOUR_G})
        if damaged_s is not None and hurt:
            script.append({"at_s": damaged_s - _PERIOD_S / 2, "damage": "blade", "severity": _SEVERITY})
        actor = Actor(
            name=f"node-{i + 1}",
            asset=asset,
            eui=eui(i),
            node_id=i + 1,
            phases=phases(moved_s, damaged_s if hurt else None, end_s),
            description=(
                f"A fan with {machine['blades']:.0f} blades at {machine['speed_rpm']:.0f} rpm, computed by the machine"
                f" model. {'Loses a part of a blade.' if hurt and damaged_s is not None else 'Stays healthy.'}"
            ),
        )
        nodes.append(
            NodePlan(
                actor=actor,
                sense={
                    "kind": "waveform",
                    "rate_hz": _RATE_HZ,
                    "samples": _SAMPLES,
                    "axis": "sum",
                    "period_s": _PERIOD_S + _APART_S * i,
                    "bands": 64,
                },
                learn={"seed": seed + i, "train_rows": TRAIN_ROWS, "calibration_rows": CALIBRATION_ROWS},
                link={"heartbeat_s": _HEARTBEAT_S},
                options={
                    "machine": {"blade_pass_g": _BLADE_PASS_G, **machine},
                    "sensor": {"seed": 1 + seed * 16 + i},
                    "script": script,
                    "x": x,
                    "y": y,
                    "battery": {"used": used},
                },
            )
        )
    story = Story(
        title=f"{count} node{'s' if count > 1 else ''} on simulated machines",
        lead=(
            "Each node commissions itself in a quiet place, is moved beside a noisy machine, notices, relearns on the"
            " spot, and watches on. Then a blade breaks on one machine. The nodes are told none of it."
        ),
        source="simulation",
        actors=[node.actor for node in nodes],
        end_s=end_s,
        heartbeat_s=_HEARTBEAT_S,
        window_bytes=_SAMPLES * _AXES * _COUNT_BYTES,
        notes=[_MODEL],
    )
    return Plan(story, nodes)
