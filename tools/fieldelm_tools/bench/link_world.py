"""A simulated week for `fieldelm bench link`: many real nodes, the real gateway, and the air between them.

Every node is a MicroPython process that runs the node's own code on files of its own (micropython/bench_link_node.py); power is
cut by killing it. A node that sleeps is out of reach, so it may run ahead in simulated time until it talks: that is what makes a
week of 200 nodes a matter of minutes.
"""

import collections
import contextlib
import dataclasses
import heapq
import itertools
import json
import random
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fieldelm_gateway.config import GatewayConfig
from fieldelm_gateway.store import Store

from .. import environment
from ..air.medium import Line, Medium
from ..air.messages import Decline, Join, Listen, Message, Radio, Reply, Send, Tune, Wait
from ..air.propagation import Propagation, uniform
from ..errors import FieldelmError
from .link_gateway import Gateway
from .link_plan import NodePlan, Plan

SCRIPT = Path(__file__).parents[1] / "micropython" / "bench_link_node.py"
GATEWAY = "gateway/radio"
_ANSWER_US = 1_000_000
_HEAP = "768k"  # with the code in it
_POWER_ON = 1
_TICK_US = 60_000_000
HOUR_US = 3_600_000_000


@dataclasses.dataclass(frozen=True)
class Links(Propagation):
    """Each node's link loses as many frames as its plan says, both ways."""

    losses: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", dict(self.losses))

    def lost(self, sender: str, number: int, receiver: str) -> bool:
        """Whether the receiver misses this frame by chance."""
        known: dict[str, float] = self._by_name  # type: ignore[attr-defined]
        loss = known.get(sender, known.get(receiver, 0.0))
        return uniform(self.seed, "loss", sender, number, receiver) < loss


@dataclasses.dataclass
class Airtime:
    """What one radio sent."""

    frames: int = 0
    total_us: int = 0
    longest_hour_us: int = 0
    """in any sliding hour"""
    _recent: collections.deque[tuple[int, int]] = dataclasses.field(default_factory=collections.deque)
    _hour_us: int = 0

    def add(self, end_us: int, airtime_us: int) -> None:
        """A frame was sent."""
        self.frames += 1
        self.total_us += airtime_us
        self._recent.append((end_us, airtime_us))
        self._hour_us += airtime_us
        while self._recent[0][0] <= end_us - HOUR_US:
            self._hour_us -= self._recent.popleft()[1]
        self.longest_hour_us = max(self.longest_hour_us, self._hour_us)


@dataclasses.dataclass
class NodeLife:
    """One node: what it was to do, and what became of it."""

    config: Mapping[str, Any]
    """as provisioned"""
    folder: Path
    """its flash"""
    plan: NodePlan
    decided: dict[int, tuple[int, int]] = dataclasses.field(default_factory=dict)
    """sequence -> time in us, severity"""
    gave_way: set[int] = dataclasses.field(default_factory=set)
    """sequences (16 bits)"""
    waiting: set[int] = dataclasses.field(default_factory=set)
    """sequences (16 bits) at the end"""
    airtime: Airtime = dataclasses.field(default_factory=Airtime)
    receive_us: int = 0
    starts: int = 0
    process: "subprocess.Popen[str] | None" = None
    pending: Message | None = None
    """what it does when it has waited"""
    asleep: bool = False
    """it stands still until the power is cut or the simulation ends"""
    cuts_left: list[tuple[int, int]] = dataclasses.field(default_factory=list)

    @property
    def name(self) -> str:
        """In the air: its EUI."""
        return str(self.config["eui"])


class World:
    """The week, played by `run`."""

    def __init__(self, plan: Plan, folder: Path, config: GatewayConfig, progress: Callable[[str], None]) -> None:
        self.plan = plan
        self.gateway = Gateway(Path(config.database.path), config)
        self.gateway_airtime = Airtime()
        self.collisions = 0
        self.frames = 0
        self.sent: collections.Counter[tuple[int, int]] = collections.Counter()
        """frames of nodes by type and length"""
        self._progress = progress
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by run)
        settings = plan.settings
        self._radio = Radio(
            freq_khz=config.radio[0].freq_khz,
            sf=config.radio[0].sf,
            bw_khz=config.radio[0].bw,
            coding_rate=config.radio[0].coding_rate,
            preamble_len=config.radio[0].preamble_len,
            output_power=config.radio[0].output_power,
            invert_iq=False,
        )
        self.lives = {life.name: life for life in _provisioned(plan, folder, config)}
        losses = tuple((eui, life.plan.loss) for eui, life in self.lives.items())
        self._medium = Medium(Links(seed=settings.seed, losses=losses), self._deliver, self._observe)
        self._end_us = plan.end_ms * 1000
        self._actions: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._uplinks: list[Line] = []
        self._environment = environment.micropython_environment("sim")
        self._command = [*environment.micropython_command(), "-X", f"heapsize={_HEAP}", str(SCRIPT)]

    # what happens at given times

    def _at(self, time_us: int, action: Callable[[], None]) -> None:
        heapq.heappush(self._actions, (time_us, next(self._order), action))

    def run(self) -> None:
        """Play it to the end. Raises FieldelmError if a node falls over."""
        try:
            self._gateway_up()
            for start_ms, end_ms in self.plan.outages:
                self._at(start_ms * 1000, self._gateway_down)
                self._at(end_ms * 1000, self._gateway_up)
            for life in self.lives.values():
                self._at(life.plan.start_ms * 1000, lambda life=life: self._power_on(life))  # type: ignore[misc]
                for start_ms, end_ms in life.plan.cuts:
                    self._at(start_ms * 1000, lambda life=life: self._power_off(life))  # type: ignore[misc]
                    self._at(end_ms * 1000, lambda life=life: self._power_on(life))  # type: ignore[misc]
            self._at(_TICK_US, self._tick)
            self._play()
            for life in self.lives.values():
                self._last_words(life)
            if self.gateway.up:
                self.gateway.stop()
        finally:
            for life in self.lives.values():
                self._kill(life)
            self._errors.close()

    def _play(self) -> None:
        medium = self._medium
        while True:
            for name in sorted(medium.computing):
                self._attend(self.lives[name])
            if medium.computing:
                continue
            if self._uplinks:
                self._answer()
                continue
            due = medium.due_us()
            action_us = self._actions[0][0] if self._actions else self._end_us
            if due is not None and due < min(action_us, self._end_us):
                medium.step()
            elif action_us < self._end_us:
                medium.idle_until(action_us)
                heapq.heappop(self._actions)[-1]()
            elif due is not None and any(not life.asleep for life in self.lives.values() if life.process):
                medium.step()  # the last exchanges come to their end
            else:
                return

    def _tick(self) -> None:
        now_us = self._medium.now_us
        if self.gateway.up:
            self.gateway.tick(now_us)
        self._at(now_us + _TICK_US, self._tick)
        self._tell_progress()

    def _tell_progress(self) -> None:
        hours = self._medium.now_us / HOUR_US
        if self._medium.now_us % (6 * HOUR_US) == 0:
            events = len(self.gateway.heard)
            self._progress(
                f"{hours / 24:5.2f} of {self.plan.settings.days:g} days, {self.frames} frames, {events} events"
            )

    # the gateway

    def _gateway_up(self) -> None:
        self.gateway.start()
        self._medium.join(Join("gateway", GATEWAY, 0.0, 0.0, 0.0))
        self._medium.handle(GATEWAY, Tune(self._radio))
        self.gateway.tick(self._medium.now_us)

    def _gateway_down(self) -> None:
        self._medium.leave(GATEWAY)
        self._uplinks.clear()
        self.gateway.stop()

    def _answer(self) -> None:
        sound = [line for line in self._uplinks if line["crc_ok"]]
        damaged = [line for line in self._uplinks if not line["crc_ok"]]
        self._uplinks = []
        for line in damaged:
            self._medium.handle(GATEWAY, Decline(_number(line["id"])))
        if not sound:
            return
        for token, data in self.gateway.hear(sound):
            if data is None:
                self._medium.handle(GATEWAY, Decline(token))
            else:
                reply = Reply(token, _ANSWER_US, self._radio.output_power, invert_iq=True, data=data)
                self._medium.handle(GATEWAY, reply)

    # nodes

    def _power_on(self, life: NodeLife) -> None:
        now_us = self._medium.now_us
        life.cuts_left = [cut for cut in life.cuts_left if cut[0] * 1000 > now_us]
        until_us = life.cuts_left[0][0] * 1000 if life.cuts_left else self._end_us
        plan = life.plan
        self._medium.join(Join("node", life.name, plan.x, plan.y, 0.0))
        life.process = subprocess.Popen(
            self._command,
            cwd=life.folder,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        life.starts += 1
        life.pending = None
        life.asleep = False
        job = {
            "config": life.config,
            "now_us": now_us,
            "until_us": until_us,
            "boot_cause": _POWER_ON,
            "script": plan.script,
        }
        self._say(life, json.dumps(job))

    def _power_off(self, life: NodeLife) -> None:
        self._medium.leave(life.name)
        self._kill(life)

    def _kill(self, life: NodeLife) -> None:
        process, life.process = life.process, None
        if process:
            process.kill()
            process.wait()
            for end in (process.stdin, process.stdout):
                if end:
                    end.close()

    def _say(self, life: NodeLife, line: str) -> None:
        assert life.process and life.process.stdin
        life.process.stdin.write(line + "\n")
        life.process.stdin.flush()

    def _attend(self, life: NodeLife) -> None:
        if life.pending:
            message, life.pending = life.pending, None
            self._do(life, message)
            return
        assert life.process and life.process.stdout
        while True:
            words = life.process.stdout.readline().split()
            match words:
                case ["e", at, sequence, severity]:
                    life.decided[int(sequence)] = int(at), int(severity)
                case ["g", sequence]:
                    life.gave_way.add(int(sequence))
                case ["s", at, data, power]:
                    radio = dataclasses.replace(self._radio, output_power=float(power))
                    self._wait(life, int(at), Send(radio, bytes.fromhex(data)))
                    return
                case ["l", at, until]:
                    radio = dataclasses.replace(self._radio, invert_iq=True)
                    self._wait(life, int(at), Listen(radio, int(until)))
                    return
                case ["w", at]:
                    life.asleep = True
                    self._medium.handle(life.name, Wait(int(at) + HOUR_US))
                    return
                case _:
                    raise FieldelmError(f"{life.config['name']} fell over: {self._why(life, ' '.join(words))}")

    def _why(self, life: NodeLife, said: str) -> str:
        if life.process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                life.process.wait(2)
        self._errors.seek(0)
        lines = [
            *self._errors.read().splitlines(),
            *(life.process.stdout if life.process and life.process.stdout else ()),
        ]
        return " ".join("".join(line.split("\n")).strip() for line in lines[-6:]) or said or "it said nothing"

    def _wait(self, life: NodeLife, at_us: int, then: Message) -> None:
        if at_us > self._medium.now_us:
            life.pending = then
            self._medium.handle(life.name, Wait(at_us))
        else:
            self._do(life, then)

    def _do(self, life: NodeLife, message: Message) -> None:
        if isinstance(message, Listen):
            life.receive_us -= self._medium.now_us
        self._medium.handle(life.name, message)
        if isinstance(message, Listen):
            life.pending = None

    def _deliver(self, name: str, line: Line) -> None:
        if name == GATEWAY:
            if line["op"] == "uplink":
                self._uplinks.append(line)
            return
        life = self.lives[name]
        if life.pending or not life.process:
            return  # it has waited and goes on by itself
        now_us = _number(line["now_us"])
        if line["op"] in ("received", "silence"):
            life.receive_us += now_us
        if line["op"] == "received" and line["crc_ok"]:
            self._say(life, f"{now_us} {line['data']} {line['rssi']} {line['snr_db']}")
        else:
            self._say(life, str(now_us))

    def _last_words(self, life: NodeLife) -> None:
        if life.process is None:
            return
        self._say(life, str(self._end_us))
        assert life.process.stdout
        for line in life.process.stdout:
            kind, _, rest = line.partition(" ")
            if kind == "q":
                life.waiting = set(json.loads(rest)["waiting"])
                return
        raise FieldelmError(f"{life.config['name']} fell over: {self._why(life, '')}")

    # what is on the air

    def _observe(self, line: Line) -> None:
        start_us, end_us, sender = _number(line["start_us"]), _number(line["end_us"]), str(line["from"])
        self.frames += 1
        airtime = self.gateway_airtime if sender == GATEWAY else self.lives[sender].airtime
        airtime.add(end_us, end_us - start_us)
        if sender != GATEWAY:
            data = str(line["data"])
            self.sent[int(data[:2], 16) & 15, len(data) // 2] += 1
        heard: Any = line["to"]
        self.collisions += sum(1 for one in heard if one["outcome"] == "collision")


def _provisioned(plan: Plan, folder: Path, config: GatewayConfig) -> list[NodeLife]:
    # what `fieldelm provision` does, with identities and keys that follow from the seed, so that a run can be repeated
    draw = random.Random(plan.settings.seed)
    radio = {key: getattr(config.radio[0], key) for key in ("freq_khz", "sf", "bw", "coding_rate", "preamble_len")}
    lives = []
    store = Store(Path(config.database.path), create=True)
    try:
        with store.transaction():
            for number, node in enumerate(plan.nodes):
                eui, key, name = f"02{draw.getrandbits(56):014x}", draw.randbytes(16), f"node-{number:03}"
                node_id = store.add_node(eui, None, name, "", 4, key, 0)
                given = {
                    "schema": 1,
                    "board": "sim",
                    "name": name,
                    "eui": eui,
                    "node_id": node_id,
                    "keys": {"0": key.hex()},
                    "console": "off",
                    "radio": {**radio, "output_power": config.radio[0].output_power},
                    "sense": {"kind": "features", "inputs": 1, "period_s": plan.settings.period_s},
                    "learn": {"hidden": 1},
                    "link": {"heartbeat_s": plan.settings.heartbeat_s, "gateways": [config.gateway.number]},
                }
                flash = folder / name
                flash.mkdir()
                lives.append(NodeLife(given, flash, node, cuts_left=list(node.cuts)))
    finally:
        store.close()
    return lives


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value
