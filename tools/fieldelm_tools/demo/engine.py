"""Plays a story: broker, subscriber, gateway, air and nodes, each as it would run in earnest; files what they say.

    threads here   air server, observer of the air, one reader a node, paho's
    processes      broker, gateway, one MicroPython a node

Everything ends up in one queue, which the main thread alone takes from, shows and writes to the files.
"""

import contextlib
import dataclasses
import json
import queue
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from ..air import AirOptions, AirServer, Propagation
from ..errors import FieldelmError
from ..report import frame_of, seconds_since
from ..report_chart import duration
from .processes import Children
from .recorder import BrokerAddress, Message, Recorder
from .story import Command, Story
from .terminal import NodeView, Run, View

LIMIT_S = 165.0  # wall time of a story; a machine too slow for that is told so
REFRESH_S = 0.12
START_S = 30.0
SETTLE_S = 0.7
PAST_THE_END = 3  # heartbeats that the story waits for the answer to the command

Item = tuple[str, Any]


@dataclasses.dataclass
class Taken:
    """All that was said during the run, as it is in the files."""

    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    air: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    messages: list[dict[str, Any]] = dataclasses.field(default_factory=list)


class Observer:
    """Sees every frame on the air, and nothing else."""

    def __init__(self, address: str, into: "queue.Queue[Item]") -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=10)
        self._into = into
        self._file = self._socket.makefile("r", encoding="utf-8")
        self._socket.sendall(b'{"op":"join","role":"observer","name":"demo"}\n')
        joined = json.loads(self._file.readline() or "{}")
        if joined.get("op") != "joined":
            raise FieldelmError(f"the air does not let the observer in: {joined}")
        self.epoch = str(joined["epoch"])
        self._socket.settimeout(None)
        threading.Thread(target=self._read, name="observer", daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            for line in self._file:
                heard = json.loads(line)
                if heard.get("op") == "traffic":
                    self._into.put(("air", heard))

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class Stage:
    """One run of a story. `play` returns when the story has ended."""

    def __init__(
        self,
        story: Story,
        folder: Path,
        base: str,
        view: View,
        children: Children,
        broker: BrokerAddress,
        air: AirServer,
        *,
        send_command: bool,
    ) -> None:
        """Connects the subscriber and the observer. Raises FieldelmError if broker or air do not answer."""
        self.story = story
        self.taken = Taken()
        self.command: Command | None = None
        self.run = Run([NodeView(a.eui, a.asset) for a in story.actors], broker.url)
        self.inbox: queue.Queue[Item] = queue.Queue()
        self._views = {node.eui: node for node in self.run.nodes}
        self._eui_of = {actor.node_id: actor.eui for actor in story.actors}
        self._base = base
        self._view = view
        self._children = children
        self._send_command = send_command
        self._actors = {actor.eui: actor for actor in story.actors}
        self._online = False
        self._shown = 0.0
        self._started = time.monotonic()
        self._files: list[IO[str]] = [
            (folder / name).open("w", encoding="utf-8") for name in ("rows.jsonl", "air.jsonl")
        ]
        self._air_server = air
        self._observer = Observer(air.address, self.inbox)
        self.epoch = self._observer.epoch
        topics = [f"{base}/#", *(f"homeassistant/device/{actor.eui}/config" for actor in story.actors)]
        self.recorder = Recorder(
            broker, topics, folder / "events.jsonl", lambda message: self.inbox.put(("mqtt", message))
        )

    def flush(self) -> None:
        """Let the files have all that was taken."""
        for file in self._files:
            file.flush()

    def close(self) -> None:
        """Hang up and close the files."""
        self._observer.close()
        self.recorder.close()
        for file in self._files:
            file.close()

    def wait_for_gateway(self) -> None:
        """Return when the gateway has said by MQTT that it is online. Raises FieldelmError if it does not."""
        until = time.monotonic() + START_S
        while not self._online:
            self._children.check()
            if time.monotonic() > until:
                raise FieldelmError(f"the gateway does not come online on MQTT: {self._children.last_line('gateway')}")
            self._take(0.05)

    def play(self, check: Callable[[], None]) -> None:
        """Play the story to its end; then the air stands still.

        `check` raises FieldelmError if a node is gone. So does this if anything else is, or if it takes too long.
        """
        self._started = time.monotonic()
        try:
            while True:
                self._take(REFRESH_S)
                self._show()
                now_s = self._air_server.now_us / 1e6
                if now_s >= self.story.end_s and not self._wait_for_answer(now_s):
                    return
                self._children.check()
                check()
                if time.monotonic() - self._started > LIMIT_S:
                    raise FieldelmError(
                        f"the story was at {duration(now_s)} of {duration(self.story.end_s)} after {LIMIT_S:.0f} s:"
                        " this machine is too slow for it; `--nodes 1` asks less of it"
                    )
        finally:
            self._air_server.pause()
            self.settle()

    def _wait_for_answer(self, now_s: float) -> bool:
        """Whether the end waits for the node to speak and answer the command."""
        waiting = self.command is not None and self.command.response is None
        return waiting and now_s < self.story.end_s + PAST_THE_END * self.story.heartbeat_s

    def settle(self) -> None:
        """Take what is still under way: until nothing has come for a while."""
        while self._take(SETTLE_S):
            pass
        self._show()

    def keep(self) -> None:
        """Go on for ever; nodes whose recordings have ended stay silent."""
        self._air_server.resume()
        while True:
            self._children.check()
            self._take(REFRESH_S)
            self._show()

    def _take(self, wait_s: float) -> bool:
        """Take all that comes within this time; whether there was anything."""
        until = time.monotonic() + wait_s
        some = False
        while True:
            try:
                kind, content = self.inbox.get(timeout=max(until - time.monotonic(), 0.001))
            except queue.Empty:
                return some
            some = True
            if kind == "node":
                self._node(content)
            elif kind == "air":
                self._air(content)
            else:
                self._message(content)
            if time.monotonic() > until:
                return some

    def _show(self) -> None:
        now = time.monotonic()
        self.run.simulated_s = self._air_server.now_us / 1e6
        self.run.wall_s = now - self._started
        if now - self._shown >= REFRESH_S:
            self._shown = now
            self._view.refresh(self.run)

    def _node(self, said: dict[str, Any]) -> None:
        self.taken.rows.append(said)
        self._files[0].write(json.dumps(said) + "\n")
        if said["kind"] != "row":
            return
        node, time_s = self._views[said["node"]], said["t_ms"] / 1000
        state = node.state
        node.row(said)
        place = self._actors[node.eui].place(time_s)
        if place != node.place:
            node.place = place
            self._view.say(time_s, f"{node.asset}: {place}")
        if state != node.state:
            self._view.state(time_s, node)

    def _air(self, traffic: dict[str, Any]) -> None:
        data = bytes.fromhex(str(traffic["data"]))
        traffic["node"] = self._eui_of.get(int.from_bytes(data[1:3], "little"), "")
        self.taken.air.append(traffic)
        self._files[1].write(json.dumps(traffic) + "\n")
        frame = frame_of(traffic)
        self.run.frames += 1
        self.run.frame_bytes += frame.size
        if node := self._views.get(traffic["node"]):
            node.last_frame = f"{'↑' if frame.up else '↓'} {frame.kind} {frame.size} B {duration(frame.time_s)}"

    def _message(self, message: Message) -> None:
        self.taken.messages.append(dataclasses.asdict(message))
        self.run.messages += 1
        self._view.message(self._time_of(message.payload), message.topic, message.payload)
        if not isinstance(message.payload, dict):
            return
        if message.topic == f"{self._base}/state":
            self._online = message.payload.get("state") == "online"
        damaged = self.story.damaged
        if (
            self._send_command
            and damaged is not None
            and self.command is None
            and message.topic == f"{self._base}/node/{damaged.eui}/event"
            and message.payload.get("type") == "machine_alarm"
        ):
            self._order(damaged.eui, message.payload)
        if (
            self.command is not None
            and message.topic == self.command.topic.replace("/request/", "/response/")
            and message.payload.get("id") == self.command.request["id"]
        ):
            self.command.response = message.payload

    def _time_of(self, payload: Any) -> float:
        """When a message was made, where it says so; else now."""
        stamp = (payload.get("received_time") or payload.get("time")) if isinstance(payload, dict) else None
        return seconds_since(self.epoch, str(stamp)) if stamp else self._air_server.now_us / 1e6

    def _order(self, eui: str, event: dict[str, Any]) -> None:
        """The operator has read of the alarm and has the node blink, to find the machine."""
        self.command = Command(f"{self._base}/request/identify", {"id": "operator-1", "node": eui, "seconds": 30})
        self._view.say(self._time_of(event), f"the operator asks the node to blink: {self.command.topic}")
        self.recorder.publish(self.command.topic, self.command.request)


def open_air(nodes: int, speed: float, seed: int) -> AirServer:
    """An air that waits for one gateway and all nodes before time starts."""
    return AirServer(
        AirOptions(conditions=Propagation(seed=seed), speed=speed, expect_nodes=nodes, expect_gateways=1, stall_s=60.0)
    )


def wait_for_port(port: int, children: Children, what: str) -> None:
    """Return when something listens on the port. Raises FieldelmError if it does not come up."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        children.check()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise FieldelmError(f"{what} does not come up: {children.last_line(what)}")
