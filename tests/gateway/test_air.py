"""The simulated air as a radio: receive window, simulated time, and an air that comes and goes."""

import json
import signal
import socket
import threading

import pytest
from gateway_bench import ScriptedNode
from gateway_brokers import wait_for

from fieldelm import frame
from fieldelm_gateway.config import GatewayConfig, read
from fieldelm_gateway.errors import GatewayError
from fieldelm_gateway.service import Gateway, run
from fieldelm_tools.air import AirOptions, AirServer
from fieldelm_tools.provision import provision

RADIO = {"freq_khz": 868100, "sf": 9, "bw_khz": "125", "coding_rate": 5, "preamble_len": 8, "output_power": 14}


class Station:
    """A node's radio in the air."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.wire = socket.create_connection((host, int(port)), timeout=20)
        self.lines = self.wire.makefile("rb")
        self.now_us = self.ask(op="join", role="node", name="node", x=100, y=0)["now_us"]

    def ask(self, **line):
        self.wire.sendall(json.dumps(line).encode() + b"\n")
        while (said := json.loads(self.lines.readline()))["op"] == "time":
            pass
        self.now_us = said["now_us"]
        return said

    def exchange(self, data: bytes) -> bytes | None:
        """Send, and listen in the receive window."""
        self.ask(op="send", data=data.hex(), **RADIO)
        self.ask(op="wait", until_us=self.now_us + 975_000)
        said = self.ask(op="listen", until_us=self.now_us + 150_000, **RADIO, invert_iq=True)
        return bytes.fromhex(said["data"]) if said["op"] == "received" else None

    def close(self):
        self.lines.close()
        self.wire.close()


@pytest.fixture
def air():
    server = AirServer(AirOptions(expect_nodes=1, expect_gateways=1))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def gateway(tmp_path, air):
    text = f"""
[database]
path = "{tmp_path / "gateway.db"}"
[mqtt]
url = "mqtt://127.0.0.1:9"
[[radio]]
kind = "air"
address = "{air.address}"
duty_cycle = "unlimited"
"""
    gateway = Gateway(read(text, "test"))
    gateway.start()
    yield gateway
    gateway.stop()
    assert gateway.failure is None


def events(gateway):
    rows = gateway._store._rows("SELECT payload FROM outbox WHERE lane = 0 ORDER BY id")
    return [json.loads(row[0]) for row in rows]


def test_answers_arrive_in_the_receive_window_and_events_have_simulated_dates(air, gateway, tmp_path):
    node = ScriptedNode(provision(tmp_path / "gateway.db", tmp_path / "nodes", "fan"))
    station = Station(air.address)
    assert node.open(station.exchange(node.hello()))[0] == frame.ACK
    station.ask(op="wait", until_us=3_600_000_000)
    assert node.open(station.exchange(node.alert(age_s=60)))[0] == frame.ACK
    assert station.exchange(node.status()) is None  # declined, so that time goes on
    (event,) = events(gateway)
    assert event["event_time"] == "2026-01-01T00:59:00.000Z"
    assert event["received_time"] == "2026-01-01T01:00:00.185Z"
    assert event["clock"] == "synced"
    assert -120 < event["rssi"] < 0
    station.close()


def test_a_day_of_heartbeats_takes_seconds(air, gateway, tmp_path):
    node = ScriptedNode(provision(tmp_path / "gateway.db", tmp_path / "nodes", "fan"))
    station = Station(air.address)
    station.exchange(node.hello())
    availability = f"fieldelm/v1/gateway/node/{node.eui}/availability"
    for _ in range(96):
        station.ask(op="wait", until_us=station.now_us + 900_000_000)
        assert station.exchange(node.status()) is None
    current = gateway.publisher._current
    wait_for(lambda: current.get(availability) == "online")
    station.ask(op="wait", until_us=station.now_us + 4_000_000_000)
    wait_for(lambda: current.get(availability) == "offline")
    health = json.loads(current["fieldelm/v1/gateway/health"])
    assert health["uptime_s"] > 86_400
    assert health["frames"]["received"] == 97
    station.close()


def test_an_air_that_is_not_there_yet_and_one_that_is_started_again(tmp_path):
    first = AirServer()
    port = first.port
    config = read(
        f'[database]\npath = "{tmp_path / "g.db"}"\n[mqtt]\nurl = "mqtt://127.0.0.1:9"\n'
        f'[[radio]]\nkind = "air"\naddress = "127.0.0.1:{port}"\n',
        "test",
    )
    assert isinstance(config, GatewayConfig)
    first._listener.close()  # reserved the port, never served
    gateway = Gateway(config)
    gateway.start()
    try:
        wait_for(lambda: "is the air server running" in gateway._radios[0].counters.problem)
        node = ScriptedNode(provision(tmp_path / "g.db", tmp_path / "nodes", "fan"))
        for turn in (1, 2):
            with AirServer(AirOptions(expect_nodes=1, expect_gateways=1), port=port) as air:
                station = Station(air.address)
                assert node.open(station.exchange(node.alert()))[0] == frame.ACK
                station.close()
            wait_for(lambda: gateway._radios[0].counters.problem)
            assert len(events(gateway)) == turn
    finally:
        gateway.stop()


def test_what_is_not_the_air_s_protocol_is_no_crash(tmp_path):
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    gateway = Gateway(
        read(
            f'[database]\npath = "{tmp_path / "g.db"}"\n[mqtt]\nurl = "mqtt://127.0.0.1:9"\n'
            f'[[radio]]\nkind = "air"\naddress = "127.0.0.1:{port}"\n',
            "test",
        )
    )
    gateway.start()
    try:
        for line in (b"SSH-2.0\n", b"[]\n", b'{"op":"joined"}\n', b'{"op":"uplink","id":1}\n'):
            wire, _ = listener.accept()
            wire.recv(4096)
            wire.sendall(line)
            wire.close()
            wait_for(lambda: "not its protocol" in gateway._radios[0].counters.problem)
            gateway._radios[0].counters.problem = "cleared by the test"
        assert not gateway.ended.is_set()
    finally:
        gateway.stop()
        listener.close()


def test_a_fault_in_a_thread_ends_the_gateway_so_that_it_is_started_again(tmp_path, monkeypatch, caplog):
    def fault(core):
        raise ZeroDivisionError("a test")

    monkeypatch.setattr("fieldelm_gateway.core.Core.run", fault)
    before = threading.excepthook, signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    config = read(f'[database]\npath = "{tmp_path / "g.db"}"\n[[radio]]\nkind = "air"\n', "test")
    try:
        with pytest.raises(GatewayError, match=r"core has a fault in the program \(ZeroDivisionError"):
            run(config)
    finally:
        threading.excepthook = before[0]
        signal.signal(signal.SIGTERM, before[1])
        signal.signal(signal.SIGINT, before[2])
    assert "Traceback" in caplog.text
