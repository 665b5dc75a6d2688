"""What the demo shows: a live table where standard output is a terminal, else a plain line for all that matters."""

import collections
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

BAR_CELLS = 21  # the middle cell is the threshold
BAR_DECADES = 1.5  # shown on either side of it
LINES = 14
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


def bar(ratio: float | None) -> Text:
    """Score against threshold on a logarithmic scale; the threshold is the bar's middle."""
    if ratio is None or not math.isfinite(ratio) or ratio <= 0:
        return Text("·" * BAR_CELLS, style="dim")
    middle = BAR_CELLS // 2
    filled = round((math.log10(ratio) / BAR_DECADES + 1) * middle)
    filled = min(max(filled, 1), BAR_CELLS - 1)
    cells = ["━" if i < filled else "╌" for i in range(BAR_CELLS)]
    cells[middle] = "┃"
    above = ratio > 1
    text = Text("".join(cells))
    text.stylize("#e8743b" if above else "#56b4e9", 0, filled)
    text.stylize("dim", filled, BAR_CELLS)
    text.stylize("bold default", middle, middle + 1)
    return text + Text(f" {ratio:5.2f}" + (" !" if above else "  "), style="bold #e8743b" if above else "")


def figure(value: float | None, form: str) -> str:
    """A number, or a dash."""
    return "–" if value is None or not math.isfinite(value) else format(value, form)


class Terminal:
    """The live table."""

    def __init__(self, console: Console) -> None:
        self._lines: collections.deque[Text] = collections.deque(maxlen=LINES)
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="visible")
        self._live.start()

    def _table(self, run: Run) -> Table:
        table = Table(expand=True, box=None, header_style="bold", pad_edge=False)
        for name in ("Asset", "Where it really is", "State", "Score ÷ threshold"):
            table.add_column(name, no_wrap=True)
        for name in ("Learned", "mm/s", "g", "Battery"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("Last frame", no_wrap=True)
        for node in run.nodes:
            table.add_row(
                Text(node.asset, style="bold"),
                Text(node.place, style="dim"),
                Text(node.state, style=STYLE_OF_STATE.get(node.state, "")),
                bar(node.ratio),
                str(node.learned_rows),
                figure(node.rms_velocity, ".2f"),
                figure(node.rms_g, ".3f"),
                f"{node.battery_mv / 1000:.2f} V" if node.battery_mv else "–",
                Text(node.last_frame),
            )
        return table

    def refresh(self, run: Run) -> None:
        """Draw the table and the messages."""
        head = Text.assemble(
            (f"simulated {duration(run.simulated_s)}", "bold"),
            f"   {run.speed:.0f} × real time   {run.frames} frames, {run.frame_bytes:,} bytes on the air   "
            f"{run.messages} MQTT messages at {run.broker}",
        )
        messages = Text("\n", no_wrap=True, overflow="ellipsis").join([*self._lines] or [Text("none yet", style="dim")])
        messages.no_wrap, messages.overflow = True, "ellipsis"
        self._live.update(
            Group(
                Panel(self._table(run), title="[bold]Fieldelm[/]: three nodes that learn on the spot", subtitle=head),
                Panel(messages, title="MQTT, as an independent subscriber receives it", height=LINES + 2),
            ),
            refresh=True,
        )

    def state(self, time_s: float, node: NodeView) -> None:
        """Nothing: the table shows it."""

    def message(self, time_s: float, topic: str, payload: Any) -> None:
        """Add a message below the table."""
        severity = str(payload.get("severity")) if isinstance(payload, dict) else ""
        style = STYLE_OF_SEVERITY.get(severity, "dim")
        self._lines.append(
            Text.assemble(
                (f"{duration(time_s):>7} ", "dim"),
                (MARK_OF_SEVERITY.get(severity, " ") + " ", style),
                (short_topic(topic) + " ", "bold" if severity in STYLE_OF_SEVERITY else ""),
                (short_payload(payload), style),
            )
        )

    def say(self, time_s: float, text: str) -> None:
        """Add a sentence among the messages."""
        self._lines.append(Text.assemble((f"{duration(time_s):>7} ", "dim"), ("» " + text, "bold")))

    def close(self) -> None:
        """Leave the last picture standing."""
        self._live.stop()


def open_view(console: Console, quiet: bool) -> View:
    """The right view for this standard output."""
    if quiet:
        return Quiet()
    return Terminal(console) if console.is_terminal and not console.is_dumb_terminal else Plain(console.file)
