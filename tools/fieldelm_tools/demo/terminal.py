"""What the demo shows: a live table where standard output is a terminal, else a plain line for all that matters."""

import dataclasses
import json
import math
from typing import IO, Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..report_chart import duration

BAR_CELLS, SHORT_BAR_CELLS = 21, 9  # the middle cell is the threshold
BAR_DECADES = 1.5  # shown on either side of it
MOST_LINES = 14
MEDIUM, WIDE = 110, 140  # columns that the table needs with the last frame, and with everything
FIRST_KEYS = ("type", "severity", "score_ratio", "status", "state", "message", "id", "name")
DULL_KEYS = ("schema", "location", "event_time", "received_time", "clock", "age_s", "age_saturated", "policy", "time")
MARK_OF_SEVERITY = {"alarm": "▲", "warning": "◆", "info": "●"}
STYLE_OF_SEVERITY = {"alarm": "bold #e8743b", "warning": "#e69f00", "info": "#2bc99a"}
STYLE_OF_STATE = {"alarm": "bold #e8743b", "suspect": "#e69f00", "relearning": "#cc79a7", "commissioning": "#56b4e9"}


@dataclasses.dataclass
class NodeView:
    """What is known of one node at this moment."""

    eui: str
    asset: str
    place: str = ""
    state: str = "starting"
    score: float | None = None
    threshold: float | None = None
    learned_rows: int = 0
    rms_g: float | None = None
    rms_velocity: float | None = None
    battery_mv: int | None = None
    last_frame: str = ""

    def row(self, row: dict[str, Any]) -> None:
        """Take over what the node said about a window."""
        self.state = str(row["state"])
        self.score = row.get("score")
        self.threshold = row.get("threshold")
        self.learned_rows = int(row.get("learned_rows") or 0)
        self.rms_g = row.get("rms_g")
        self.rms_velocity = row.get("rms_velocity")
        self.battery_mv = row.get("battery_mv")

    @property
    def ratio(self) -> float | None:
        """Score ÷ threshold."""
        if not self.score or not self.threshold or self.score < 0 or self.threshold < 0:
            return None
        return self.score / self.threshold


@dataclasses.dataclass
class Run:
    """What is known of the whole run at this moment."""

    nodes: list[NodeView]
    broker: str
    simulated_s: float = 0.0
    wall_s: float = 0.0
    frames: int = 0
    frame_bytes: int = 0
    messages: int = 0

    @property
    def speed(self) -> float:
        """Simulated seconds a second."""
        return self.simulated_s / self.wall_s if self.wall_s > 0 else 0.0


def short_topic(topic: str) -> str:
    """The topic without the base that all share."""
    parts = topic.split("/")
    return "/".join(parts[3:]) if parts[0] == "fieldelm" and len(parts) > 3 else topic


def short_payload(payload: Any) -> str:
    """The payload in one line, what matters first."""
    if isinstance(payload, dict):
        first = {k: payload[k] for k in FIRST_KEYS if k in payload}
        rest = {k: v for k, v in payload.items() if k not in first and k not in DULL_KEYS}
        return json.dumps({**first, **rest}, ensure_ascii=False)
    return payload if isinstance(payload, str) else json.dumps(payload)


class View(Protocol):
    """One way of showing a run. Times are simulated seconds."""

    def refresh(self, run: Run) -> None:
        """Show the figures of this moment."""

    def state(self, time_s: float, node: NodeView) -> None:
        """A node's state has changed."""

    def message(self, time_s: float, topic: str, payload: Any) -> None:
        """An MQTT message has come."""

    def say(self, time_s: float, text: str) -> None:
        """A sentence about the story."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class Quiet:
    """Shows nothing: standard output belongs to the JSON document."""

    def refresh(self, run: Run) -> None:
        """Nothing."""

    def state(self, time_s: float, node: NodeView) -> None:
        """Nothing."""

    def message(self, time_s: float, topic: str, payload: Any) -> None:
        """Nothing."""

    def say(self, time_s: float, text: str) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Plain:
    """Lines for a pipe or a log: phases, states, events, commands; no status, no discovery."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out

    def _line(self, time_s: float, text: str) -> None:
        print(f"[{duration(time_s):>7}] {text}", file=self._out, flush=True)

    def refresh(self, run: Run) -> None:
        """Nothing: lines say what changes."""

    def state(self, time_s: float, node: NodeView) -> None:
        """A line."""
        ratio = f", score {node.ratio:.2f} × threshold" if node.ratio is not None else ""
        self._line(time_s, f"{node.asset}: {node.state} ({node.learned_rows} rows learned{ratio})")

    def message(self, time_s: float, topic: str, payload: Any) -> None:
        """A line for events, requests, responses and the gateway's state."""
        short = short_topic(topic)
        if isinstance(payload, dict) and short.endswith("/event"):
            ratio = payload.get("score_ratio") or 0
            text = f"{payload.get('type')} ({payload.get('severity')}"
            self._line(time_s, f"MQTT {short}: {text}{f', {ratio:.2f} × threshold' if ratio else ''})")
        elif short == "state" or short.startswith(("request/", "response/")):
            self._line(time_s, f"MQTT {short}: {short_payload(payload)}")

    def say(self, time_s: float, text: str) -> None:
        """A line."""
        self._line(time_s, text)

    def close(self) -> None:
        """Nothing to restore."""


def bar(ratio: float | None, cells: int = BAR_CELLS) -> Text:
    """Score against threshold on a logarithmic scale; the threshold is the bar's middle."""
    if ratio is None or not math.isfinite(ratio) or ratio <= 0:
        return Text("·" * cells, style="dim")
    middle = cells // 2
    filled = round((math.log10(ratio) / BAR_DECADES + 1) * middle)
    filled = min(max(filled, 1), cells - 1)
    drawn = ["━" if i < filled else "╌" for i in range(cells)]
    drawn[middle] = "┃"
    above = ratio > 1
    text = Text("".join(drawn))
    text.stylize("#e8743b" if above else "#56b4e9", 0, filled)
    text.stylize("dim", filled, BAR_CELLS)
    text.stylize("bold default", middle, middle + 1)
    return text + Text(f" {ratio:5.2f}" + (" !" if above else "  "), style="bold #e8743b" if above else "")


def figure(value: float | None, form: str) -> str:
    """A number, or a dash."""
    return "–" if value is None or not math.isfinite(value) else format(value, form)


def headline(run: Run, room: int) -> Text:
    """The run in figures, with as many words as there is room for."""
    time, speed = f"simulated {duration(run.simulated_s)}", f"{run.speed:,.0f} ×"
    messages = f"{run.messages} messages"
    rests = (
        f", {speed} real time; {run.frames} frames, {run.frame_bytes:,} bytes on the air; {messages} at {run.broker}",
        f", {speed} real time; {run.frames} frames, {run.frame_bytes:,} B; {messages}",
        f", {speed}; {run.frames} frames, {messages}",
        "",
    )
    rest = next((rest for rest in rests if len(time) + len(rest) <= room), "")
    return Text.assemble((time, "bold"), rest)


@dataclasses.dataclass(frozen=True)
class Line:
    """A line below the table."""

    text: Text
    topic: str = ""
    matters: bool = True


class Terminal:
    """The live table, and below it the MQTT messages as they arrive."""

    def __init__(self, console: Console, nodes: int) -> None:
        self._console = console
        self._height = min(max(console.height - nodes - 7, 4), MOST_LINES)
        self._lines: list[Line] = []
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="visible")
        self._live.start()

    def _table(self, run: Run) -> Table:
        width = self._console.width
        wide = width >= WIDE
        table = Table(expand=True, box=None, header_style="bold", pad_edge=False)
        for name in ("Asset", "State", "Score ÷ threshold"):
            table.add_column(name, no_wrap=True)
        for name in ("Learned", "mm/s", "g", "Battery"):
            table.add_column(name, justify="right", no_wrap=True)
        for name, needs in (("Last frame", MEDIUM), ("Where it really is", WIDE)):
            if width >= needs:
                table.add_column(name, no_wrap=True)
        for node in run.nodes:
            cells = [
                Text(node.asset, style="bold"),
                Text(node.state, style=STYLE_OF_STATE.get(node.state, "")),
                bar(node.ratio, BAR_CELLS if wide else SHORT_BAR_CELLS),
                Text(str(node.learned_rows)),
                Text(figure(node.rms_velocity, ".2f")),
                Text(figure(node.rms_g, ".3f")),
                Text(f"{node.battery_mv / 1000:.2f} V" if node.battery_mv else "–"),
                Text(node.last_frame),
                Text(node.place, style="dim"),
            ]
            table.add_row(*cells[: len(table.columns)])
        return table

    def refresh(self, run: Run) -> None:
        """Draw the table and the messages."""
        head = headline(run, self._console.width - 6)
        messages = Text("\n").join([line.text for line in self._lines[-self._height :]])
        messages.no_wrap, messages.overflow = True, "ellipsis"
        count = f"{len(run.nodes)} node{'s' if len(run.nodes) > 1 else ''}"
        self._live.update(
            Group(
                Panel(self._table(run), title=f"[bold]Fieldelm[/]: {count} learning on the spot", subtitle=head),
                Panel(messages, title="MQTT, as an independent subscriber receives it", height=self._height + 2),
            ),
            refresh=True,
        )

    def state(self, time_s: float, node: NodeView) -> None:
        """Nothing: the table shows it."""

    def message(self, time_s: float, topic: str, payload: Any) -> None:
        """Add a message below the table."""
        severity = str(payload.get("severity")) if isinstance(payload, dict) else ""
        style = STYLE_OF_SEVERITY.get(severity, "dim")
        topic = short_topic(topic)
        matters = severity in STYLE_OF_SEVERITY or topic.startswith(("request/", "response/"))
        text = Text.assemble(
            (f"{duration(time_s):>7} ", "dim"),
            (MARK_OF_SEVERITY.get(severity, " ") + " ", style),
            (topic + " ", "bold" if matters else ""),
            (short_payload(payload), style),
        )
        self._add(Line(text, topic, matters))

    def say(self, time_s: float, text: str) -> None:
        """Add a sentence among the messages."""
        self._add(Line(Text.assemble((f"{duration(time_s):>7} ", "dim"), ("» " + text, "bold"))))

    def _add(self, line: Line) -> None:
        """A state replaces the one before on its topic; where lines are short, what does not matter goes first."""
        lines = self._lines
        if not line.matters:
            lines[:] = [old for old in lines if old.topic != line.topic]
        lines.append(line)
        while len(lines) > self._height:
            dull = [i for i, old in enumerate(lines) if not old.matters]
            del lines[dull[0] if len(dull) > self._height // 3 else 0]

    def close(self) -> None:
        """Leave the last picture standing."""
        self._live.stop()


def open_view(console: Console, nodes: int, quiet: bool) -> View:
    """The right view for this standard output."""
    if quiet:
        return Quiet()
    return Terminal(console, nodes) if console.is_terminal and not console.is_dumb_terminal else Plain(console.file)
