"""Commands on their whole way: request, gateway, simulated air, the node's real code on MicroPython, and the answer back."""

import json
import os
import socket
import subprocess
import sys
import tracemalloc

import pytest
from gateway_brokers import wait_for

from fieldelm import frame, payloads
from fieldelm_gateway.config import read
from fieldelm_gateway.requests import Request
from fieldelm_gateway.service import Gateway
from fieldelm_tools.air import AirOptions, AirServer, Propagation
from fieldelm_tools.provision import provision
from fieldelm_tools.simnode import SimNode

QUICK = {
    "radio": {"sf": 7},
    "sense": {"samples": 256, "bands": 70, "period_s": 4},
    "learn": {"hidden": 4, "train_rows": 16, "calibration_rows": 8},
    "link": {"heartbeat_s": 20},
}


class Place:
    """An air with a gateway and one node."""

    def __init__(self, folder, air, quick=QUICK):
        self.folder = folder
        self.toml = folder / "gateway.toml"
        self.toml.write_text(
            f'[database]\npath = "{folder / "g.db"}"\n[mqtt]\nurl = "mqtt://127.0.0.1:9"\n[dashboard]\nenabled = false\n'
            f'[[radio]]\nkind = "air"\naddress = "{air.address}"\nsf = 7\nduty_cycle = "unlimited"\n'
        )
        config = read(self.toml.read_text(), "test")
        self.gateway = Gateway(config)
        self.gateway.start()
        self.said = []
        sections = quick | {"options": {"air": air.address, "name": "fan", "x": 50.0}}
        self.made = provision(folder / "g.db", folder / "nodes", "fan", gateway=config, sections=sections)
        self.node = SimNode(self.made.folder, self.made.config, self.said.append)
        self.node.start()
        # whoever holds time lets it fly as long as nobody wants to look
        host, _, port = air.address.rpartition(":")
        self.wire = socket.create_connection((host, int(port)), timeout=60)
        self.lines = self.wire.makefile("rb")
        self.now_us = self._tell(op="join", role="node", name="clock", x=1000.0, y=0)

    def _tell(self, **line):
        self.wire.sendall(json.dumps(line).encode() + b"\n")
        while (said := json.loads(self.lines.readline()))["op"] == "time":
            pass
        return said["now_us"]

    def until(self, true, seconds=600):
        end = self.now_us + seconds * 1_000_000
        while not true():
            assert self.now_us < end, ("it did not come to pass", self.said[-3:])
            self.now_us = self._tell(op="wait", until_us=self.now_us + 1_000_000)

    def heard(self, kind, **keys):
        found = [line for line in self.said if isinstance(line, dict) and line.get("kind") == kind]
        return [line for line in found if all(line[key] == value for key, value in keys.items())]

    def rows(self, sql):
        return [tuple(row) for row in self.gateway._store.query(sql)]

    def told(self, ending):
        rows = self.rows("SELECT topic, payload FROM outbox ORDER BY id")
        return [json.loads(payload) for topic, payload in rows if topic.endswith(ending)]

    def cut_power(self):
        """Of the node, in the middle of whatever it does."""
        self.node.stop()
        boots = len(self.heard("boot"))
        self.node = SimNode(self.made.folder, self.made.config, self.said.append)
        self.node.start()
        wait_for(lambda: len(self.heard("boot")) > boots)  # meanwhile time stands still

    def ask(self, command, seconds=120, meanwhile=lambda: None, **document):
        """Ask on MQTT and wait for the answer."""
        number = f"{command}-{self.now_us}"
        self.gateway._inbox.put(Request(command, json.dumps({"id": number, "node": "fan", **document}).encode()))
        wait_for(lambda: self.rows(f"SELECT 1 FROM command WHERE request_id = '{number}'"))
        meanwhile()
        self.until(lambda: any(a["id"] == number for a in self.told(f"/response/{command}")), seconds)
        return self.told(f"/response/{command}")[-1]

    def close(self):
        self.lines.close()
        self.wire.close()
        self.node.stop()
        self.gateway.stop()


@pytest.fixture
def place(tmp_path):
    with AirServer(AirOptions(expect_nodes=2, expect_gateways=1)) as air:
        place = Place(tmp_path, air)
        yield place
        place.close()
        assert place.gateway.failure is None


def test_a_node_of_the_usual_size_has_room_for_the_code_of_commands(tmp_path):
    usual = {"radio": {"sf": 7}, "sense": {"period_s": 4}, "learn": {"train_rows": 16}, "link": {"heartbeat_s": 20}}
    with AirServer(AirOptions(expect_nodes=2, expect_gateways=1)) as air:
        place = Place(tmp_path, air, usual)
        place.until(lambda: place.heard("event", event="commissioned"))
        assert place.ask("identify", seconds=300)["status"] == "ok"
        assert place.ask("config_get", key="sense.period_s")["status"] == "ok"
        assert place.ask("trace", seconds=300)["status"] == "ok"
        place.until(lambda: place.heard("sent", type="TRACE", acked=True))
        place.close()
        assert place.gateway.failure is None and not [line for line in place.said if not isinstance(line, dict)]


def test_keys_are_rotated_again_and_again_while_every_other_frame_is_lost(tmp_path):
    with AirServer(AirOptions(conditions=Propagation(seed=7, loss=0.5), expect_nodes=2, expect_gateways=1)) as air:
        place = Place(tmp_path, air)
        keys = {place.rows("SELECT key FROM node_key")[0][0]}

        def cut():  # when the node has taken the key, and its answer is on the way or lost
            place.until(lambda: carried_out() > before, 3000)
            place.cut_power()

        def carried_out():
            return len(place.heard("command", command="rotate_key"))

        for turn in range(8):
            before = carried_out()
            answer = place.ask("rotate_key", 3000, cut if turn % 2 else lambda: None)
            assert answer["status"] == "ok"
            place.until(lambda: len(place.rows("SELECT 1 FROM node_key")) == 1, 3000)  # it was heard under the new one
            keys |= {place.rows("SELECT key FROM node_key")[0][0]}
        seen = place.gateway.core.tally.frames["accepted"]
        place.until(lambda: place.gateway.core.tally.frames["accepted"] > seen + 5, 3000)
        drops = {reason: count for reason, count in place.gateway.core.tally.drops.items() if count}
        events = [event["id"] for event in place.told("/event")]
        place.close()
    assert place.gateway.failure is None
    assert len(keys) == 9
    assert not drops.keys() - {"replayed"}, drops  # every frame was believed; some came again after ten seconds
    assert events and len(set(events)) == len(events)


def test_every_new_command_reaches_a_real_node_and_is_answered(place):
    place.until(lambda: place.heard("event", event="commissioned"))
    assert place.ask("threshold", factor=2)["status"] == "ok"
    answer = place.ask("config_get", key="learn.threshold_factor")
    assert (answer["status"], answer["value"]) == ("ok", 2.0)
    answer = place.ask("config_set", key="link.heartbeat_s", value=30)
    assert (answer["key"], answer["value"], answer["unit"]) == ("link.heartbeat_s", 30, "s")
    assert place.ask("power", dbm=10)["status"] == "ok"
    assert place.rows("SELECT threshold_factor, heartbeat_s FROM node") == [(2.0, 30)]

    for name, unit in (("bands", "dB"), ("residuals", "sigma")):
        assert place.ask("trace", trace=name)["status"] == "ok"
        shown = f"{place.made.eui}/trace"
        place.until(lambda: [t["trace"] for t in place.told(shown)][-1:] == [name], 60)  # noqa: B023
        trace = place.told(shown)[-1]
        assert (trace["unit"], len(trace["values"]), len(trace["edges_hz"])) == (unit, 70, 71)
        assert trace["edges_hz"] == sorted(trace["edges_hz"])
        if name == "bands":  # a fan at 2 mm/s: far below 1 g in every bin, and not silent
            assert all(-120 < value < 0 for value in trace["values"])
    command = [
        sys.executable,
        "-m",
        "fieldelm_tools.cli",
        "node",
        "trace",
        "fan",
        "--last",
        "--config",
        str(place.toml),
    ]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.splitlines()
    assert len(shown) == 71
    assert "Hz" in shown[1]
    assert "σ" in shown[1]

    # 8-byte tags from now on, on both sides
    assert place.ask("config_set", key="link.tag_bytes", value=8)["status"] == "ok"
    before = len(place.heard("sent", type="STATUS"))
    place.until(lambda: len(place.heard("sent", type="STATUS")) > before + 1)
    assert place.heard("sent", type="STATUS")[-1]["bytes"] == 38
    assert place.rows("SELECT tag_bytes, tag_next FROM node") == [(8, None)]

    # another key, twice, and a restart between
    for slot in (1, 0):
        assert place.ask("rotate_key")["status"] == "ok"
        place.until(lambda: place.rows("SELECT key_id, pending FROM node_key") == [(slot, 0)], 120)  # noqa: B023
        place.ask("reboot")
        place.until(lambda: place.node.restarts == 2 - slot, 60)  # noqa: B023
    boots = lambda: [e for e in place.told("/event") if e["type"] == "boot"]  # noqa: E731
    place.until(lambda: len(boots()) == 3)
    assert len({event["id"].rsplit("-", 1)[0] for event in place.told("/event")}) == 1  # the same name for all events
    answer = place.ask("config_get", key="learn.threshold_factor")
    assert answer["value"] == 2.0  # it outlasts restarts
    # a frame that was under way when the clock stopped counts as repeated at most: nothing was refused
    assert not {"bad_tag", "replayed", "unknown_node"} & set(+place.gateway.core.tally.drops)
    (secret,) = place.rows("SELECT key FROM node_key")
    said = json.dumps(place.said) + json.dumps(place.rows("SELECT topic, payload FROM outbox"))
    assert secret[0].hex() not in said
    assert place.made.config["keys"]["0"] not in said


def test_a_trace_of_which_a_part_is_lost_is_not_told(bench):
    node = bench.node()
    bench.hear(node.hello(bands=70))

    def part(number, first, count, total=70):
        head = bytearray(payloads.size(payloads.TRACE))
        values = {"trace": 1, "trace_id": number, "first": first, "total": total, "low": -200, "step": 25}
        payloads.pack_into(payloads.TRACE, head, 0, values)
        return node.seal(frame.TRACE, bytes(head) + bytes(range(count)), ack=True)

    for which in ((1, 64, 6), (2, 0, 64), (3, 64, 6), (4, 0, 64), (4, 0, 64)):
        assert node.open(bench.hear(part(*which)))[0] == frame.ACK
        assert bench.outbox("/trace") == []
    bench.hear(part(4, 64, 6))
    (trace,) = bench.outbox("/trace")
    assert trace["values"][:3] == [-2.0, -1.75, -1.5]
    assert len(trace["values"]) == 70
    bench.hear(part(5, 0, 4, total=2))  # filled up with zeros, as a node with few values does
    assert bench.outbox("/trace")[-1]["values"] == [-2.0, -1.75]
    assert bench.outbox("/trace")[-1]["edges_hz"] is None
    assert json.loads(bench.rows("SELECT trace_document FROM node")[0][0])["trace_id"] == 5
    assert bench.drops == {}


def test_flooding_leaves_neither_memory_nor_log_nor_rows(bench, caplog):
    node = bench.node()
    bench.hear(node.hello())
    frames = [bytes([0x62]) + os.urandom(2) + os.urandom(16) for _ in range(2000)]
    frames += [node.alert()[:-4] + os.urandom(4) for _ in range(2000)]
    bench.hear_all(frames[:1000])
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for at in range(0, 4000, 250):
        bench.hear_all(frames[at : at + 250])
    bench.radio.answers.clear()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 200_000
    assert len(caplog.records) < 10
    assert len(bench.outbox("/security")) == 3
    assert len(bench.rows("SELECT 1 FROM frame")) == 1
    assert node.open(bench.hear(node.alert()))[0] == frame.ACK
