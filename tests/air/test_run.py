"""Whole runs: repeatable, robust, and fast."""

import json
import random
import selectors
import socket
import subprocess
import sys
import threading
import time

import pytest
from air_clients import RADIO, Client, Gateway, Node

from fieldelm_tools.air import AirServer, Propagation


def life(node: Node, seed: int, frames: int, hasty: bool) -> None:
    """A node's life: simulated times from its seed, wall times from nowhere."""
    when = random.Random(f"{seed}/{node.name}")
    wall = random.Random()
    now_us = 0
    for i in range(frames):
        now_us = node.wait(now_us + when.randrange(500_000, 4_000_000))
        if not hasty:
            time.sleep(wall.random() * 0.004)
        end_us = node.send(f"{node.name} {i}".encode())["now_us"]
        node.wait(end_us + 975_000)
        now_us = node.listen(end_us + 1_110_000)["now_us"]
    node.close()


def answer(gateway: Gateway, hasty: bool) -> None:
    wall = random.Random()
    try:
        while True:
            uplink = gateway.uplink()
            if not hasty:
                time.sleep(wall.random() * 0.003)
            if uplink["crc_ok"] and uplink["data"].endswith(("0", "4", "8")):
                gateway.reply(uplink, b"ack " + bytes.fromhex(uplink["data"]))
            else:
                gateway.decline(uplink)
    except (EOFError, OSError):
        pass


def traffic(air: AirServer, seed: int, *, hasty: bool) -> bytes:
    """What an observer reads of a run with eight nodes and two gateways, on one channel."""
    observer = Client(air.port, "observer", "observer")
    gateways = [Gateway(air.port, f"gateway {i}", x=200.0 * i) for i in range(2)]
    nodes = [Node(air.port, f"node {i}", x=30.0 * i, y=40.0) for i in range(8)]
    work = [threading.Thread(target=life, args=(node, seed, 25, hasty)) for node in nodes]
    work += [threading.Thread(target=answer, args=(gateway, hasty), daemon=True) for gateway in gateways]
    random.shuffle(work)
    for thread in work:
        thread.start()
    for thread in work:
        if not thread.daemon:
            thread.join()
    log = b""
    observer.connection.settimeout(2)
    while log.count(b'"from":"node') < 200:
        line = observer.line()
        log += line if b'"traffic"' in line else b""
    return log


def test_a_run_is_the_same_byte_for_byte_however_the_processes_race(serve):
    options = {"expect_nodes": 8, "expect_gateways": 2}
    first, again, other = (
        traffic(serve(conditions=Propagation(seed=seed, loss=0.1), **options), 5, hasty=hasty)
        for seed, hasty in ((7, True), (7, False), (8, True))
    )
    assert first == again
    assert first != other
    seen = {end["outcome"] for line in first.splitlines() for end in json.loads(line)["to"]}
    assert {"received", "collision", "lost", "deaf"} <= seen


GARBAGE = [
    b"\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x00\xff\xfe\n",
    b"[" * 4000 + b"\n",
    b'{"op":"wait","until_us":5}\n',
    b'{"op":"join","role":"king","name":"a"}\n',
    b'{"op":"join","role":"node","name":""}\n',
    b'{"op":"join","role":"node","name":"a","x":1e999}\n',
    b'{"op":"join","role":"node","name":"a","x":NaN}\n',
    b"x" * 5000,
    b'{"op":' + b" " * 5000 + b'"join"}\n',
]
ONCE_IN = [
    {"op": "dance"},
    {"op": "join", "role": "node", "name": "b"},
    {"op": "wait"},
    {"op": "wait", "until_us": -1},
    {"op": "wait", "until_us": 1.5},
    {"op": "wait", "until_us": True},
    {"op": "wait", "until_us": 10**30},
    {"op": "send", **RADIO, "data": "zz"},
    {"op": "send", **RADIO, "data": ""},
    {"op": "send", **RADIO, "data": "00" * 256},
    {"op": "send", **(RADIO | {"sf": 6}), "data": "00"},
    {"op": "send", **(RADIO | {"bw_khz": "126"}), "data": "00"},
    {"op": "send", **(RADIO | {"output_power": 1e9}), "data": "00"},
    {"op": "tune", **RADIO},
    {"op": "decline", "id": 1},
]


@pytest.fixture
def lively(serve):
    """An air in which a node lives, and a function that proves it."""
    air = serve(expect_nodes=1)
    node = Node(air.port, "alive")

    def prove() -> None:
        before = air.now_us
        assert node.wait(before + 1_000_000) == before + 1_000_000

    return air, prove


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_ends_its_own_connection_only(lively, garbage):
    air, prove = lively
    client = Client(air.port)
    client.connection.sendall(garbage)
    assert client.hear("error")["why"]
    assert client.line() == b""
    prove()


@pytest.mark.parametrize("line", ONCE_IN)
def test_a_wrong_request_ends_its_own_connection_only(lively, line):
    air, prove = lively
    client = Client(air.port, "node", "wrong")
    assert client.ask(**line)["op"] == "error"
    assert client.line() == b""
    prove()
    Node(air.port, "wrong").close()  # the name is free again


def test_a_name_belongs_to_one(lively):
    air, prove = lively
    assert "taken" in Client(air.port).ask(op="join", role="node", name="alive")["why"]
    prove()


def test_a_node_that_does_not_wait_for_its_answer_is_dropped(lively):
    air, prove = lively
    client = Client(air.port, "node", "eager")
    line = b'{"op":"wait","until_us":9000000000}\n'
    client.connection.sendall(line + line)
    assert "still to come" in client.hear("error")["why"]
    prove()


def test_lines_may_come_in_pieces(lively):
    air, prove = lively
    client = Client(air.port)
    for byte in b'{"op":"join","role":"node","name":"slow"}\n':
        client.connection.sendall(bytes([byte]))
    assert client.hear()["op"] == "joined"
    client.connection.sendall(b'{"op":"wa')  # and hangs up in the middle of a word
    client.close()
    prove()


def test_an_observer_that_does_not_read_is_dropped(serve, caplog):
    air = serve(expect_nodes=1)
    observer = Client(air.port, "observer", "idle")
    node = Node(air.port)
    for _ in range(40_000):
        node.send(bytes(255), sf=7)
        if "idle does not read" in caplog.text:
            break
    assert "idle does not read" in caplog.text
    observer.close()


def test_stop_hangs_up_on_everybody(serve):
    air = serve(expect_nodes=1)
    node = Node(air.port)
    air.stop()
    assert node.line() == b""
    with pytest.raises(OSError):
        Client(air.port)


def test_a_taken_port_is_an_error(serve):
    air = serve()
    with pytest.raises(OSError):
        AirServer(port=air.port)


def test_two_hundred_nodes(serve, record_property):
    """Each node waits, sends and listens; a gateway declines. One thread plays them all."""
    nodes, frames = 200, 10
    air = serve(expect_nodes=nodes)
    gateway = Gateway(air.port, x=100.0)
    served = threading.Thread(target=answer, args=(gateway, True), daemon=True)
    selector = selectors.DefaultSelector()
    todo = {}
    for i in range(nodes):
        node = Node(air.port, f"node {i}", x=float(i))
        selector.register(node.connection, selectors.EVENT_READ, node)
        spread = random.Random(i)
        todo[node] = [step for _ in range(frames) for step in (spread.randrange(60_000_000), "send", "listen")]
    served.start()
    listen = {**RADIO, "invert_iq": True}
    started = time.perf_counter()

    def go_on(node: Node, now_us: int) -> bool:
        if not todo[node]:
            return False
        match todo[node].pop(0):
            case "send":
                node.tell(op="send", **RADIO, data="00" * 19)
            case "listen":
                node.tell(op="listen", **listen, until_us=now_us + 1_110_000)
            case pause:
                node.tell(op="wait", until_us=now_us + pause)
        return True

    for node in todo:
        go_on(node, 0)
    living = nodes
    while living:
        for key, _ in selector.select(10):
            node = key.data
            if not go_on(node, json.loads(node.line())["now_us"]):
                living -= 1
                selector.unregister(node.connection)
                node.close()
    rate = nodes * frames / (time.perf_counter() - started)
    record_property("frames_per_second", round(rate))
    print(f"{rate:.0f} frames a second, {air.now_us / 1e6:.0f} s simulated")
    assert [air.medium.frames_sent[f"node {i}"] for i in range(nodes)] == [frames] * nodes
    assert rate > 100


def test_a_person_can_run_one():
    process = subprocess.Popen(
        [sys.executable, "-m", "fieldelm_tools.air", "--port", "0", "--speed", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        port = int(process.stdout.readline().rpartition(":")[2])
        assert Node(port).wait(3_000_000) == 3_000_000
        busy = subprocess.run(
            [sys.executable, "-m", "fieldelm_tools.air", "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert busy.returncode == 2
        assert "choose another with --port" in busy.stderr
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def test_it_is_served_on_loopback_only(serve):
    air = serve()
    assert air.address.startswith("127.0.0.1:")
    with pytest.raises(OSError), socket.create_connection(("127.0.0.2", air.port), timeout=1):
        pass
