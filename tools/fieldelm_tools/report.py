"""One page about one run: `report.html`, written from the other files of the run's folder alone.

    run.json      figures of the run, its nodes, their phases (schema in `demo/story.py`)
    rows.jsonl    what every node said about every window on its own console
    air.jsonl     every frame that was on the air, from an observer of the air server
    events.jsonl  every message that an independent MQTT subscriber received

The page carries its style, its charts and its script in itself and asks no network for anything.
`python -m fieldelm_tools.report DIR` writes it anew.
"""

import dataclasses
import datetime
import json
import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from .errors import FieldelmError
from .report_chart import Frame, Mark, NodeChart, Phase, Row, duration, node_chart
from .report_style import SCRIPT, STYLE

FRAME_KINDS = {1: "HELLO", 2: "ALERT", 3: "STATUS", 4: "MODEL", 5: "ACK", 6: "COMMAND", 7: "RESPONSE", 8: "TRACE"}


@dataclasses.dataclass(frozen=True)
class Folder:
    """The files of a run, parsed."""

    run: dict[str, Any]
    rows: Sequence[dict[str, Any]]
    air: Sequence[dict[str, Any]]
    messages: Sequence[dict[str, Any]]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file; none if the file does not exist. A line that a kill cut off is left out."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            found.append(entry)
    return found


def read_folder(folder: Path) -> Folder:
    """Read a run's folder. Raises FieldelmError without a run.json."""
    try:
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FieldelmError(f"{folder} has no run.json: give the folder that `fieldelm demo` wrote") from None
    except ValueError as error:
        raise FieldelmError(f"{folder}/run.json is damaged ({error}): run `fieldelm demo` again") from None
    lines = [read_lines(folder / name) for name in ("rows.jsonl", "air.jsonl", "events.jsonl")]
    return Folder(run, *lines)


def seconds_since(epoch: str, stamp: str) -> float:
    """Seconds between two RFC 3339 times."""
    return (datetime.datetime.fromisoformat(stamp) - datetime.datetime.fromisoformat(epoch)).total_seconds()


def frame_of(traffic: dict[str, Any]) -> Frame:
    """A line of the air as a frame. The type is in clear, in the low four bits of the first byte."""
    data = bytes.fromhex(str(traffic["data"]))
    kind = FRAME_KINDS.get(data[0] & 15, "?") if data else "?"
    return Frame(float(traffic["start_us"]) / 1e6, traffic["direction"] == "up", kind, len(data))


def _row(entry: dict[str, Any]) -> Row:
    def figure(key: str) -> float | None:
        value = entry.get(key)
        return float(value) if isinstance(value, (int, float)) else None

    return Row(
        time_s=float(entry["t_ms"]) / 1000,
        state=str(entry.get("state")),
        score=figure("score"),
        threshold=figure("threshold"),
        learned=bool(entry.get("learned")),
        rms_g=figure("rms_g"),
        rms_velocity=figure("rms_velocity"),
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], css: str = "") -> str:
    """A table whose cells are already HTML."""
    top = "".join(f'<th scope="col">{escape(h)}</th>' for h in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table class="{css}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _time_of(event: dict[str, Any]) -> str:
    # when it happened; when it came, if nobody knows that
    return str(event.get("event_time") or event.get("received_time"))


def events_of(messages: Sequence[dict[str, Any]], eui: str) -> list[dict[str, Any]]:
    """The node's events, once each, in the order of the time they happened at."""
    found: dict[str, dict[str, Any]] = {}
    for message in messages:
        payload = message.get("payload")
        if str(message.get("topic", "")).endswith(f"/node/{eui}/event") and isinstance(payload, dict):
            found.setdefault(str(payload.get("id")), payload)
    return sorted(found.values(), key=_time_of)


def _band(band: dict[str, Any]) -> str:
    if band.get("low_hz") is None:
        return f"band {band.get('band')}"
    return f"{band['low_hz']:.0f} to {band['high_hz']:.0f} Hz"


def _events_table(events: Sequence[dict[str, Any]], epoch: str) -> str:
    rows = []
    for i, event in enumerate(events, 1):
        severity = str(event.get("severity"))
        bands = ", ".join(_band(band) for band in event.get("bands") or [])
        ratio = event.get("score_ratio")
        rows.append(
            [
                str(i),
                duration(seconds_since(epoch, _time_of(event))),
                f'<span class="tag {escape(severity)}">{escape(str(event.get("type")))}</span>',
                escape(severity),
                f"{ratio:.2f}" if ratio else "",
                escape(bands),
                escape(f"{event.get('rssi')} dBm, {event.get('snr')} dB"),
                f"<code>{escape(str(event.get('id')))}</code>",
            ]
        )
    return _table(
        ["", "Time", "Event", "Severity", "Score ÷ threshold", "Bands that deviate most", "Radio", "Id"], rows, "events"
    )


def _mark(line: int, event: dict[str, Any], epoch: str) -> Mark:
    at = seconds_since(epoch, _time_of(event))
    return Mark(line, at, str(event["type"]), str(event["severity"]))


def _node_section(folder: Folder, node: dict[str, Any]) -> str:
    eui, epoch = str(node["eui"]), str(folder.run["epoch"])
    events = events_of(folder.messages, eui)
    marks = [_mark(i, event, epoch) for i, event in enumerate(events, 1)]
    rows = [_row(r) for r in folder.rows if r.get("kind") == "row" and r.get("node") == eui]
    frames = [frame_of(t) for t in folder.air if t.get("node") == eui]
    phases = [Phase(p["name"], p["kind"], p["start_s"], p["end_s"]) for p in node["phases"]]
    told = "; ".join(f"{m.event} at {duration(m.time_s)}" for m in marks) or "no event"
    chart = NodeChart(
        identity=eui,
        title=f"{node['asset']}: score and threshold, state, RMS and frames over simulated time",
        description=f"{len(rows)} windows, {len(frames)} frames. Events: {told}.",
        phases=phases,
        rows=rows,
        marks=marks,
        frames=frames,
    )
    data = [[round(r.time_s, 1), r.score, r.threshold, r.state, int(r.learned), r.rms_velocity, r.rms_g] for r in rows]
    return (
        f"<section><h2>{escape(str(node['asset']))} <small>node {escape(eui)}</small></h2>"
        f"<p>{escape(str(node['story']))}</p>"
        f'<figure>{node_chart(chart)}<figcaption class="reading" aria-live="off">&nbsp;</figcaption></figure>'
        f'<script type="application/json" data-rows="{escape(eui)}">{json.dumps(data)}</script>'
        + _events_table(events, epoch)
        + "</section>"
    )


def _air_table(frames: Sequence[Frame]) -> str:
    kinds = sorted({(not f.up, f.kind) for f in frames})
    rows = []
    for down, kind in kinds:
        sizes = [f.size for f in frames if f.kind == kind and f.up != down]
        spread = f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
        rows.append(
            [kind, "gateway to node" if down else "node to gateway", str(len(sizes)), spread, f"{sum(sizes):,}"]
        )
    total = sum(f.size for f in frames)
    rows.append(["<b>all</b>", "", f"<b>{len(frames)}</b>", "", f"<b>{total:,}</b>"])
    return _table(["Frame", "Direction", "Frames", "Bytes each", "Bytes in all"], rows)


def _command_table(run: dict[str, Any]) -> str:
    command = run.get("command")
    if not command:
        return "<p>No command was sent.</p>"
    answer = command.get("response")
    return _table(
        ["Topic", "Payload"],
        [
            [f"<code>{escape(command['topic'])}</code>", f"<code>{escape(json.dumps(command['request']))}</code>"],
            [
                f"<code>{escape(command['topic'].replace('/request/', '/response/'))}</code>",
                f"<code>{escape(json.dumps(answer))}</code>" if answer else "no answer",
            ],
        ],
    )


def render(folder: Folder) -> str:
    """The whole page."""
    run = folder.run
    frames = [frame_of(t) for t in folder.air]
    windows = sum(1 for r in folder.rows if r.get("kind") == "row")
    raw = windows * int(run.get("window_bytes") or 0)
    sent = sum(f.size for f in frames)
    missing = run.get("missing") or []
    verdict = (
        '<p class="verdict good">The story unfolded as it should.</p>'
        if not missing
        else '<div class="verdict bad"><p>The story did not unfold:</p><ul>'
        + "".join(f"<li>{escape(m)}</li>" for m in missing)
        + "</ul></div>"
    )
    facts = [
        ("simulated time", duration(run["simulated_s"])),
        ("wall time", f"{run['wall_s']:.0f} s"),
        ("faster than real", f"{run['speed']:.0f} ×"),
        ("windows judged", f"{windows:,}"),
        ("frames on the air", f"{len(frames):,}"),
        ("bytes on the air", f"{sent:,}"),
    ]
    if raw and sent:
        facts.append(("the windows, had they been sent", f"{raw / 1e6:.1f} MB"))
    tiles = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in facts)
    notes = "".join(f"<li>{escape(n)}</li>" for n in run.get("notes") or [])
    sections = "".join(_node_section(folder, node) for node in run["nodes"])
    title = "Fieldelm demo: " + str(run["title"])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{escape(title)}</title><style>{STYLE}</style></head><body><main>
<h1>{escape(title)}</h1>
<p class="lead">{escape(str(run["lead"]))}</p>
{verdict}<dl class="facts">{tiles}</dl>
{"<ul class='notes'>" + notes + "</ul>" if notes else ""}
<p class="key"><span class="k score"></span>score <span class="k threshold"></span>threshold (above it: anomaly)
<span class="k learned"></span>windows learned from <span class="tag alarm">alarm</span>
<span class="tag warning">warning</span> <span class="tag info">info</span>
<span>Numbers in the charts are lines of the tables. Point at a chart to read its values.</span></p>
{sections}
<section><h2>On the air</h2><p>Seen by an observer of the air, encrypted as it was sent. Every ALERT is 19 bytes.</p>
{_air_table(frames)}</section>
<section><h2>An operator's command</h2>{_command_table(run)}</section>
<footer><p>{escape(str(run["how"]))} {len(folder.messages)} MQTT messages are in <code>events.jsonl</code>,
what the nodes said on their consoles in <code>rows.jsonl</code>, every frame in <code>air.jsonl</code>.</p></footer>
</main><script>{SCRIPT}</script></body></html>
"""


def write_report(folder: Path) -> Path:
    """Write report.html into a run's folder."""
    path = folder / "report.html"
    path.write_text(render(read_folder(folder)), encoding="utf-8")
    return path


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m fieldelm_tools.report DIR (the folder that `fieldelm demo` wrote)")
    try:
        print(write_report(Path(sys.argv[1])))
    except FieldelmError as error:
        sys.exit(str(error))
