"""What came of a run: the document that `--json` prints and `run.json` keeps, and the summary for people."""

import collections
import dataclasses
from pathlib import Path
from typing import Any

from .. import environment
from ..report import events_of, frame_of, seconds_since
from ..report_chart import duration
from .engine import Stage
from .story import Actor, judge

SCHEMA = 1


@dataclasses.dataclass(frozen=True)
class Timing:
    """Simulated and wall time of a run."""

    epoch: str
    setup_s: float
    wall_s: float
    simulated_s: float


def _phases(actor: Actor, end_s: float) -> list[dict[str, Any]]:
    """The phases; the last one goes on to the end, which an answer may have delayed."""
    phases = [dataclasses.asdict(phase) for phase in actor.phases]
    phases[-1]["end_s"] = max(phases[-1]["end_s"], end_s)
    return phases


def result(
    stage: Stage, timing: Timing, problem: str | None, *, kernels: str, seed: int, base: str, out: Path
) -> dict[str, Any]:
    """All figures of a run. `problem` is what ended the story early."""
    story, taken = stage.story, stage.taken
    missing = judge(
        story,
        base=base,
        epoch=timing.epoch,
        messages=taken.messages,
        rows=taken.rows,
        air=taken.air,
        command=stage.command,
    )
    if problem:
        missing.insert(0, problem)
    frames = [frame_of(traffic) for traffic in taken.air]
    windows = collections.Counter(row["node"] for row in taken.rows if row["kind"] == "row")
    machine = environment.micropython()
    return {
        "schema": SCHEMA,
        "ok": not missing,
        "missing": missing,
        "title": story.title,
        "lead": story.lead,
        "source": story.source,
        "notes": list(story.notes),
        "how": f"MicroPython {machine.version}, kernels: {kernels}, seed {seed}.",
        "seed": seed,
        "epoch": timing.epoch,
        "setup_s": round(timing.setup_s, 2),
        "wall_s": round(timing.wall_s, 2),
        "simulated_s": round(timing.simulated_s, 3),
        "speed": round(timing.simulated_s / max(timing.wall_s, 1e-3), 1),
        "windows": windows.total(),
        "window_bytes": story.window_bytes,
        "frames": {
            "up": sum(frame.up for frame in frames),
            "down": sum(not frame.up for frame in frames),
            "bytes": sum(frame.size for frame in frames),
            "by_type": dict(sorted(collections.Counter(frame.kind for frame in frames).items())),
        },
        "messages": len(taken.messages),
        "command": None if stage.command is None else dataclasses.asdict(stage.command),
        "nodes": [
            {
                "eui": actor.eui,
                "name": actor.name,
                "asset": actor.asset,
                "story": actor.description,
                "phases": _phases(actor, timing.simulated_s),
                "damaged_s": actor.damaged_s,
                "windows": windows[actor.eui],
                "events": [
                    {
                        "id": event["id"],
                        "type": event["type"],
                        "severity": event["severity"],
                        "time_s": seconds_since(timing.epoch, event["event_time"] or event["received_time"]),
                        "score_ratio": event["score_ratio"],
                    }
                    for event in events_of(taken.messages, actor.eui)
                ],
            }
            for actor in story.actors
        ],
        "out": str(out),
    }


def summary(document: dict[str, Any]) -> str:
    """The end of the demo in a few lines."""
    frames = document["frames"]
    simulated, on_air = duration(document["simulated_s"]), frames["up"] + frames["down"]
    lines = [
        "",
        f"{simulated} of simulated time in {document['wall_s']:.0f} s: {document['speed']:.0f} times faster than real.",
        f"{document['windows']:,} windows judged on the nodes, {on_air} frames of {frames['bytes']:,} bytes sent.",
    ]
    for node in document["nodes"]:
        told = ", ".join(f"{e['type']} {duration(e['time_s'])}" for e in node["events"]) or "nothing"
        lines.append(f"  {node['asset']}: {told}")
    lines += [f"Results: {document['out']}/report.html, events.jsonl, gateway.db"]
    if document["ok"]:
        lines.append("The story unfolded as it should.")
    else:
        lines.append("The story did not unfold:")
        lines += [f"  {sentence}" for sentence in document["missing"]]
    return "\n".join(lines)
