"""An attacker on the air, against the node's real code on MicroPython and the real gateway: nothing that he sends is believed.

He hears everything (an observer of the air), knows format and node ids, and sends whatever he likes whenever he likes; he has no
key. What he can do is jam, and the test does not hold that against anybody.
"""

import json
import random
import select
import socket

import pytest
from gateway_brokers import wait_for

from fieldelm import frame
from fieldelm_gateway.config import read
from fieldelm_gateway.requests import Request
from fieldelm_gateway.service import Gateway
from fieldelm_tools.air import AirOptions, AirServer, Propagation
from fieldelm_tools.provision import provision
from fieldelm_tools.simnode import SimNode

RADIO = {"freq_khz": 868100, "sf": 7, "bw_khz": "125", "coding_rate": 5, "preamble_len": 8, "output_power": 20}
VICTIMS = ("fan", "pump")
QUICK = {
    "radio": {"sf": 7},
    "sense": {"samples": 128, "bands": 16, "period_s": 4},
    "learn": {"hidden": 4, "train_rows": 16, "calibration_rows": 8},
    "link": {"heartbeat_s": 20},
}
STEP_US = 50_000


class Attacker:
    """One radio that sends, and an ear that hears everybody."""

    def __init__(self, address: str, seed: int) -> None:
        host, _, port = address.rpartition(":")
        self.wire = socket.create_connection((host, int(port)), timeout=60)
        self.lines = self.wire.makefile("rb")
        self.ear = socket.create_connection((host, int(port)), timeout=60)
        self._heard = b""
        self.traffic: list[dict] = []
        self.generator = random.Random(seed)
        self.ear.sendall(b'{"op":"join","role":"observer","name":"ear"}\n')
        self.now_us = self.ask(op="join", role="node", name="attacker", x=30, y=0)["now_us"]

    def ask(self, **line):
        self.wire.sendall(json.dumps(line).encode() + b"\n")
        while (said := json.loads(self.lines.readline()))["op"] == "time":
            pass
        self.now_us = said["now_us"]
        return said

    def listen(self) -> list[dict]:
        """What was heard since the last time."""
        new = []
        while select.select([self.ear], [], [], 0)[0]:
            data = self.ear.recv(65536)
            assert data, "the air hung up"
            *whole, self._heard = (self._heard + data).split(b"\n")
            new += [line for line in map(json.loads, whole) if line["op"] == "traffic"]
        self.traffic += new
        return new

    def wait(self, seconds: float) -> list[dict]:
        """Let time pass; what was heard."""
        self.ask(op="wait", until_us=self.now_us + round(seconds * 1e6))
        return self.listen()

    def send(self, data: bytes, *, down: bool = False) -> None:
        self.ask(op="send", data=data.hex(), invert_iq=down, **RADIO)
        self.listen()

    def of(self, *names: str, direction: str = "up") -> list[bytes]:
        """Frames that these have sent."""
        return [bytes.fromhex(t["data"]) for t in self.traffic if t["direction"] == direction and t["from"] in names]

    def close(self) -> None:
        self.lines.close()
        self.wire.close()
        self.ear.close()


@pytest.fixture
def scene(tmp_path, seed):
    """An air with a gateway, two nodes of it, and the attacker."""
    with AirServer(AirOptions(conditions=Propagation(seed=seed), expect_nodes=3, expect_gateways=1)) as air:
        text = (
            f'[database]\npath = "{tmp_path / "g.db"}"\n[mqtt]\nurl = "mqtt://127.0.0.1:9"\n[dashboard]\nenabled = false\n'
            f'[[radio]]\nkind = "air"\naddress = "{air.address}"\nsf = 7\nduty_cycle = "unlimited"\n'
        )
        config = read(text, "test")
        gateway = Gateway(config)
        gateway.start()
        said = {name: [] for name in VICTIMS}
        nodes = []
        for i, name in enumerate(VICTIMS):
            options = {"options": {"air": air.address, "name": name, "x": 60.0 + 20 * i, "y": 10.0}}
            made = provision(tmp_path / "g.db", tmp_path / "nodes", name, gateway=config, sections=QUICK | options)
            nodes.append(SimNode(made.folder, made.config, said[name].append))
            nodes[-1].start()
        attacker = Attacker(air.address, seed)
        yield gateway, nodes, said, attacker
        attacker.close()
        for node in nodes:
            node.stop()
        gateway.stop()
        assert gateway.failure is None


def rows(gateway, sql):
    return [tuple(row) for row in gateway._store.query(sql)]


def told(gateway, ending):
    return [
        json.loads(p) for t, p in rows(gateway, "SELECT topic, payload FROM outbox ORDER BY id") if t.endswith(ending)
    ]


def events_said(said):
    return [line["event"] for line in said if isinstance(line, dict) and line.get("kind") == "event"]


def commands_said(said):
    return [line["command"] for line in said if isinstance(line, dict) and line.get("kind") == "command"]


def wait_until(attacker, true, seconds):
    """Let simulated time pass until something is so."""
    until = attacker.now_us + seconds * 1e6
    while not true():
        assert attacker.now_us < until, "it did not come to pass"
        attacker.wait(1)


def ask(gateway, command, **document):
    gateway._inbox.put(Request(command, json.dumps({"node": "fan", **document}).encode()))
    wait_for(lambda: rows(gateway, f"SELECT 1 FROM command WHERE request_id = '{document['id']}'"))


def flipped(data):
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


@pytest.mark.parametrize("seed", [5, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(6, 14))])
def test_nothing_that_an_attacker_sends_is_believed(scene):
    gateway, nodes, said, attacker = scene
    wait_until(attacker, lambda: all("commissioned" in events_said(said[name]) for name in VICTIMS), 600)
    ask(gateway, "identify", id="1", seconds=1)
    wait_until(attacker, lambda: commands_said(said["fan"]) == ["identify"], 60)
    attacker.wait(45)
    ids = {name: number for number, name in rows(gateway, "SELECT node_id, name FROM node")}

    # uplinks: everything recorded again, old counters, every bit, every length, another node's name, other counters
    recorded = attacker.of(*VICTIMS)
    assert len(recorded) > 10
    status = next(data for data in reversed(attacker.of("fan")) if data[0] & 15 == frame.STATUS)
    forged = [*recorded, *recorded, *flipped(status), *(status[:length] for length in range(1, len(status)))]
    forged += [data[:1] + ids["pump"].to_bytes(2, "little") + data[3:] for data in attacker.of("fan")]
    counter = int.from_bytes(status[3:5], "little")
    for step in (*range(-40, 41), 300, 30_000, 33_000):
        forged.append(status[:3] + ((counter + step) & 0xFFFF).to_bytes(2, "little") + status[5:])
    for data in forged:
        attacker.send(data)
    # flooding: as fast as the channel carries it, in the nodes' names and in those of nobody
    for i in range(1200):
        node_id = (ids["fan"], ids["pump"], 4711)[i % 3]
        head = bytes([0x62]) + node_id.to_bytes(2, "little") + ((counter + i % 60) & 0xFFFF).to_bytes(2, "little")
        attacker.send(head + attacker.generator.randbytes(14))

    # downlinks, in the receive windows: recorded ones, with the right header on them, changed ones, invented ones, echoes
    answers = attacker.of("gateway/radio", direction="down")
    assert {data[0] & 15 for data in answers} == {frame.ACK, frame.COMMAND}
    command = next(data for data in answers if data[0] & 15 == frame.COMMAND)
    inventions = 0
    while inventions < 60:
        for heard in attacker.wait(STEP_US / 1e6):
            if heard["from"] not in VICTIMS or heard["direction"] != "up":
                continue
            uplink = bytes.fromhex(heard["data"])
            if uplink[0] & 0x20 or attacker.now_us > heard["end_us"] + 900_000:
                continue  # the gateway answers: two at once would only jam
            now_head = bytes([0x46]) + uplink[1:5]
            choice = (
                command,
                now_head + command[5:],
                now_head + answers[inventions % len(answers)][5:],
                now_head + attacker.generator.randbytes(11),
                bytes([0x45]) + uplink[1:5] + attacker.generator.randbytes(9),
                uplink,
                bytes([0x46]) + uplink[1:],
                list(flipped(now_head + command[5:]))[inventions],
                (now_head + command[5:])[: 9 + inventions % 8],
            )[inventions % 9]
            attacker.ask(op="wait", until_us=heard["end_us"] + 1_000_000)
            attacker.send(choice, down=True)
            inventions += 1
    heard_by_victims = [
        to
        for t in attacker.traffic
        for to in t["to"]
        if t["from"] == "attacker" and to["name"] in VICTIMS and to["outcome"] == "received"
    ]
    assert len(heard_by_victims) > 40, "they must have been heard, to be refused"

    # and the real ones are heard as before
    ask(gateway, "reboot", id="2")
    wait_until(attacker, lambda: events_said(said["fan"]).count("boot") == 2, 120)
    wait_until(attacker, lambda: len(told(gateway, "/event")) >= 5, 120)
    attacker.wait(10)

    assert commands_said(said["fan"]) == ["identify", "reboot"]
    assert commands_said(said["pump"]) == []
    assert [node.restarts for node in nodes] == [1, 0]
    assert {answer["status"] for answer in told(gateway, "/response/identify") + told(gateway, "/response/reboot")} == {
        "ok"
    }
    # each event of the nodes came once, and no other
    names = dict(rows(gateway, "SELECT eui, name FROM node"))
    events = told(gateway, "/event")
    assert len({event["id"] for event in events}) == len(events)
    for name in VICTIMS:
        assert [e["type"] for e in events if names[e["id"][:16]] == name] == events_said(said[name])
    # every frame that was believed was sent by its node, and once
    accepted = rows(gateway, "SELECT n.name, f.type, f.counter FROM frame f JOIN node n ON n.id = f.node")
    sent = {
        (t["from"], data[0] & 15, int.from_bytes(data[3:5], "little"))
        for t in attacker.traffic
        if t["from"] in VICTIMS
        for data in [bytes.fromhex(t["data"])]
    }
    assert len(set(accepted)) == len(accepted)
    assert {(name, kind, number & 0xFFFF) for name, kind, number in accepted} <= sent
    # it was noticed
    drops = gateway.core.tally.drops
    assert drops["bad_tag"] > 800
    assert drops["replayed"] >= 2 * len(recorded) - 10
    assert drops["unknown_node"] >= 100
    assert {told["kind"] for told in told(gateway, "/security")} >= {"forgery", "replay", "unknown_nodes", "flood"}
    assert not {"clone", "same_number"} & {told["kind"] for told in told(gateway, "/security")}
