"""The gateway as a process, from the serial line to the broker: nothing acknowledged is lost, whoever is away or dies."""

import json
import random
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from gateway_brokers import GatewayProcess, Subscriber, free_port, wait_for, wait_for_port

from fieldelm import frame
from fieldelm_gateway import documents
from fieldelm_gateway.broker import Confirmed, confirmations

BASE = "fieldelm/v1/hall"


def test_topics_and_what_is_retained(world):
    world.broker.start()
    subscriber = world.subscribe()
    node = world.node()
    world.start_gateway()
    assert node.open(world.modem.exchange(node.hello()))[0] == frame.ACK
    assert node.open(world.modem.exchange(node.alert()))[0] == frame.ACK
    world.modem.uplink(node.status())
    subscriber.wait_for(f"node/{node.eui}/state")
    wait_for(lambda: "online" in subscriber.of(f"node/{node.eui}/availability"))
    wait_for(lambda: subscriber.of("/nodes") and subscriber.of("/nodes")[-1]["nodes"][0]["firmware"])
    (event,) = subscriber.of(f"node/{node.eui}/event")
    assert event["id"] == f"{node.eui}-{node.key_check}-1"
    assert (event["rssi"], event["snr"]) == (-101, -3.5)
    assert all(not heard.retained for heard in subscriber.heard if heard.topic.endswith("/event"))
    late = world.subscribe(name="late")
    retained = wait_for(lambda: len(late.heard) >= 7 and {heard.topic: heard for heard in late.heard})
    assert set(retained) == {
        *(f"{BASE}/{name}" for name in ("state", "info", "nodes", "health")),
        *(f"{BASE}/node/{node.eui}/{name}" for name in ("state", "availability", "alarm")),
    }
    assert all(heard.retained for heard in late.heard)
    assert retained[f"{BASE}/state"].payload == {"schema": 1, "state": "online"}
    assert retained[f"{BASE}/node/{node.eui}/availability"].payload == "online"
    assert {heard.payload["schema"] for heard in late.heard if isinstance(heard.payload, dict)} == {1}


def test_a_broker_that_comes_later_gets_everything_events_first(world):
    node = world.node()
    world.start_gateway()
    for i in range(30):
        if i % 3 == 0:
            assert world.modem.exchange(node.alert())
        else:
            world.modem.uplink(node.status(learned_rows=i))
    world.modem.exchange(node.hello())
    world.broker.start()
    subscriber = world.subscribe()
    # the subscriber may have come after the first of them: what counts is what the gateway still has
    wait_for(lambda: _outbox(world) == 0)
    wait_for(lambda: subscriber.of(f"node/{node.eui}/state")[-1]["learned_rows"] == 29)


def test_lanes_events_first_each_in_order(world):
    world.broker.start()
    subscriber = world.subscribe()
    world.write_config(url=f"mqtt://127.0.0.1:{free_port()}")  # nobody there
    node = world.node()
    world.start_gateway()
    for i in range(60):
        if i % 3 == 0:
            world.modem.exchange(node.alert())
        else:
            world.modem.uplink(node.status(learned_rows=i))
    world.modem.exchange(node.hello())
    world.gateway.stop()
    world.write_config()
    world.start_gateway()
    subscriber.wait_for("/event", 20)
    subscriber.wait_for(f"{node.eui}/state", 40)
    order = [heard.topic.rsplit("/", 1)[1] for heard in subscriber.heard if f"{node.eui}/" in heard.topic]
    order = [name for name in order if name not in ("availability", "alarm")]
    assert order == ["event"] * 20 + ["state"] * 40
    assert [int(number.split("-")[2]) for number in subscriber.ids()] == list(range(1, 21))
    rows = [state["learned_rows"] for state in subscriber.of(f"{node.eui}/state")]
    assert rows == sorted(rows)


def _outbox(world):
    import sqlite3

    connection = sqlite3.connect(world.database)
    try:
        return connection.execute("SELECT count(*) FROM outbox").fetchone()[0]
    finally:
        connection.close()


@pytest.mark.parametrize("times", [5, pytest.param(20, marks=pytest.mark.nightly)])
def test_a_broker_restarted_again_and_again_loses_and_doubles_nothing(world, times):
    world.broker.start()
    subscriber = world.subscribe()
    node = world.node()
    world.start_gateway()
    subscriber.wait_for(f"{BASE}/state")
    expected = []
    for turn in range(times):
        for i in range(30):
            world.modem.exchange(node.alert())
            expected.append(f"{node.eui}-{node.key_check}-{node.sequence}")
            if i == 10:
                world.broker.stop()
            if i == 20 and turn % 2:
                world.broker.start()
        if not turn % 2:
            world.broker.start()
    wait_for(lambda: set(subscriber.ids()) >= set(expected), 20)
    print(f"{len(expected)} events over {times} restarts, {len(subscriber.ids()) - len(expected)} came twice")
    assert set(subscriber.ids()) == set(expected)
    unique = list(dict.fromkeys(subscriber.ids()))
    assert unique == expected, "in order, too"
    wait_for(lambda: _outbox(world) == 0)


def test_retained_documents_come_back_to_a_broker_that_forgot_them(world):
    world.broker.lines.remove("persistence true")
    world.broker.start()
    node = world.node()
    world.start_gateway()
    world.modem.exchange(node.hello())
    world.modem.uplink(node.status(learned_rows=77))
    first = world.subscribe(name="first")
    first.wait_for(f"{node.eui}/state")
    wait_for(lambda: _outbox(world) == 0)
    world.broker.stop(signal.SIGKILL)
    world.broker.start()
    again = world.subscribe(name="again")
    wait_for(lambda: len({heard.topic for heard in again.heard}) == 7)
    assert again.of(f"{node.eui}/state")[-1]["learned_rows"] == 77
    assert again.of(f"{BASE}/state")[-1]["state"] == "online"


def test_killed_the_last_will_speaks_and_after_the_restart_every_acknowledged_frame_is_there(world):
    world.broker.start()
    subscriber = world.subscribe()
    node = world.node()
    for _ in range(3):
        gateway = world.start_gateway()
        wait_for(lambda: subscriber.of(f"{BASE}/state")[-1:] == [{"schema": 1, "state": "online"}])
        for _ in range(20):
            world.modem.exchange(node.alert())
        gateway.stop(signal.SIGKILL)
        wait_for(lambda: subscriber.of(f"{BASE}/state")[-1:] == [{"schema": 1, "state": "offline"}])
    world.start_gateway()
    expected = {f"{node.eui}-{node.key_check}-{i}" for i in range(1, 61)}
    wait_for(lambda: set(subscriber.ids()) == expected)
    wait_for(lambda: _outbox(world) == 0)


def test_stopped_it_publishes_the_rest_says_offline_and_ends_with_0(world):
    world.broker.start()
    subscriber = world.subscribe()
    node = world.node()
    for how in (signal.SIGTERM, signal.SIGINT):
        gateway = world.start_gateway()
        tokens = [world.modem.uplink(node.alert()) for _ in range(50)]
        world.modem.answer(tokens[-1])
        began = time.monotonic()
        assert gateway.stop(how) == 0
        assert time.monotonic() - began < 5
        assert _outbox(world) == 0
        wait_for(lambda: len(subscriber.ids()) == node.sequence)
        wait_for(lambda: subscriber.of(f"{BASE}/state")[-1]["state"] == "offline")
        assert "Traceback" not in gateway.said()


def test_stopped_while_the_broker_is_away_it_keeps_what_waits(world):
    node = world.node()
    gateway = world.start_gateway()
    world.modem.exchange(node.alert())
    assert gateway.stop() == 0
    assert _outbox(world) == 1


def test_a_request_by_mqtt_is_answered_by_mqtt(world):
    world.broker.start()
    subscriber = world.subscribe()
    node = world.node()
    world.start_gateway()
    subscriber.wait_for(f"{BASE}/state")
    subscriber.publish(f"{BASE}/request/identify", json.dumps({"id": "42", "node": "fan", "seconds": 3}))
    subscriber.publish(f"{BASE}/request/identify", json.dumps({"id": "43", "node": "nobody"}))
    assert subscriber.wait_for("/response/identify")[0]["status"] == "error"
    command = node.open_command(world.modem.exchange(node.alert()))
    assert (command["name"], command["arguments"]) == ("identify", {"seconds": 3})
    world.modem.uplink(node.response(command))
    answer = subscriber.wait_for("/response/identify", 2)[1]
    assert (answer["id"], answer["status"], answer["name"]) == ("42", "ok", "fan")


def test_a_request_that_the_broker_has_kept_is_not_carried_out(world):
    world.broker.start()
    subscriber = world.subscribe()
    node = world.node()
    subscriber.publish(f"{BASE}/request/reboot", json.dumps({"id": "old", "node": "fan"}), retain=True)
    subscriber.wait_for("/request/reboot")
    world.start_gateway()
    subscriber.wait_for(f"{BASE}/state")
    subscriber.publish(f"{BASE}/request/identify", json.dumps({"id": "new", "node": "nobody"}), retain=True)
    assert subscriber.wait_for("/response/identify")[0]["id"] == "new"  # asked now: that is no memory of the broker's
    assert node.open(world.modem.exchange(node.alert()))[0] == frame.ACK  # no command waits for it
    assert f"a retained request is not carried out: clear '{BASE}/request/reboot'" in world.gateway.said()


def test_a_broker_that_speaks_only_3_1_1(world):
    port = free_port()
    script = world.folder / "broker_3_1_1.py"
    script.write_text(
        "import asyncio\n"
        "from amqtt.broker import Broker\n"
        f"config = {{'listeners': {{'default': {{'type': 'tcp', 'bind': '127.0.0.1:{port}'}}}},\n"
        "  'plugins': {'amqtt.plugins.authentication.AnonymousAuthPlugin': {'allow_anonymous': True}}}\n"
        "async def main():\n"
        "    await Broker(config).start()\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    broker = subprocess.Popen([sys.executable, script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        subscriber = Subscriber(port, protocol="3.1.1")
        world.write_config(url=f"mqtt://127.0.0.1:{port}")
        node = world.node()
        world.start_gateway()
        world.modem.exchange(node.alert())
        subscriber.wait_for("/event")
        assert "with MQTT 3.1.1" in world.gateway.said()
        world.gateway.stop()
        wait_for(lambda: subscriber.of(f"{BASE}/state")[-1]["state"] == "offline")
        subscriber.close()
    finally:
        broker.kill()
        broker.wait()


def test_mqtt_5_is_spoken_where_the_broker_knows_it(world):
    world.broker.start()
    subscriber = world.subscribe()
    world.start_gateway()
    subscriber.wait_for(f"{BASE}/state")
    assert "with MQTT 5" in world.gateway.said()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_wrong_password_is_said_once_and_a_right_one_works(world, protocol):
    passwords = world.folder / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "hall", "right"], check=True)
    world.broker.lines[-1] = "allow_anonymous false"
    world.broker.lines.append(f"password_file {passwords}")
    world.broker.start()
    secret = world.folder / "secret"
    secret.write_text("wrong\n")
    world.write_config('username = "hall"', f'password_file = "{secret}"', f'protocol = "{protocol}"')
    world.start_gateway()
    wait_for(lambda: "check [mqtt] username and password_file" in world.gateway.said())
    time.sleep(1)
    assert world.gateway.said().count("refuses") == 1
    secret.write_text("right\n")
    wait_for(lambda: "connected to" in world.gateway.said())


def test_a_password_file_that_is_not_there_is_a_configuration_error(world):
    world.write_config('username = "hall"', f'password_file = "{world.folder}/none"')
    world.gateway = GatewayProcess(world.config)
    assert world.gateway.process.wait(20) == 2
    assert world.gateway.said().count("\n") == 1
    assert "put the broker's password there" in world.gateway.said()


def test_it_stops_at_once_while_it_waits_for_something_that_is_no_broker(world):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        world.write_config(url=f"mqtt://127.0.0.1:{silent.getsockname()[1]}")
        gateway = world.start_gateway()
        wait_for(lambda: "does not answer: is it an MQTT broker" in gateway.said())
        time.sleep(1)  # from the second time on it is more patient
        began = time.monotonic()
        assert gateway.stop() == 0
        assert time.monotonic() - began < 3


def test_health_is_told_anew_with_every_connection(world):
    world.broker.start()
    subscriber = world.subscribe()
    world.start_gateway()
    wait_for(lambda: subscriber.of("/health") and subscriber.of("/health")[-1]["mqtt"]["connected"])
    world.broker.stop()
    wait_for(lambda: "the broker hung up" in world.gateway.said())
    world.broker.start()
    wait_for(lambda: subscriber.of("/health")[-1]["mqtt"]["connections"] == 2)


def test_a_broker_whose_rules_refuse_a_topic_gets_it_when_they_allow_it(world):
    rules = world.folder / "rules"
    rules.write_text(f"topic readwrite {BASE}/state\ntopic read #\n")
    world.broker.lines.append(f"acl_file {rules}")
    world.broker.start()
    subscriber = world.subscribe()
    node = world.node()
    world.start_gateway()
    world.modem.exchange(node.alert())
    wait_for(lambda: "check its access rules" in world.gateway.said())
    assert "Not authorized" in world.gateway.said()
    assert _outbox(world) == 1
    rules.write_text("topic readwrite #\n")
    world.broker.reload()
    subscriber.wait_for("/event")
    wait_for(lambda: _outbox(world) == 0)


def test_what_a_broker_has_confirmed_before_it_hangs_up_counts():
    ok, refused = bytes((0x40, 2, 0, 7)), bytes((0x40, 4, 0, 8, 0x87, 0))
    message = bytes((0x32, 130, 1)) + bytes(130)
    assert confirmations(ok + message + refused) == [Confirmed(7, ""), Confirmed(8, "Not authorized")]
    assert confirmations(ok + refused[:5]) == [Confirmed(7, "")], "half a packet is none"
    assert confirmations(message[:2]) == confirmations(b"\x40") == confirmations(b"") == []


def test_every_reason_that_a_broker_may_give_is_told():
    for code in range(256):
        (one,) = confirmations(bytes((0x40, 3, 0, 9, code)))
        assert bool(one.problem) == (code >= 128)
    assert one.problem == "reason 255"


@pytest.mark.parametrize("seed", range(20))
def test_no_bytes_of_a_broker_disturb_the_last_reading(seed):
    for one in confirmations(random.Random(seed).randbytes(3000)):
        assert 0 <= one.mid < 65536


def test_a_broker_that_takes_only_short_packets_gets_what_fits_and_is_left_in_peace(world):
    world.broker.lines.append("max_packet_size 500")
    world.broker.start()
    subscriber = world.subscribe()
    node = world.node("Cooling tower pump of the second building")
    world.start_gateway()
    world.modem.exchange(node.hello())
    for _ in range(5):
        world.modem.exchange(node.alert())
    world.modem.uplink(node.status())
    events = subscriber.wait_for("/event", 5)
    assert subscriber.ids() == [f"{node.eui}-{node.key_check}-{i}" for i in range(1, 6)]
    assert all(event["shortened"] and event["type"] == "machine_alarm" and event["event_time"] for event in events)
    assert "score_ratio" in events[0], "what can best be spared is left out first"
    assert subscriber.wait_for(f"{node.eui}/state")[0]["state"]
    wait_for(lambda: _outbox(world) == 0)
    subscriber.wait_for(f"{BASE}/state")
    time.sleep(2)
    said = world.gateway.said()
    assert said.count("connected to") == 1
    assert said.count("raise the broker's maximum packet size") == len(
        {*re.findall(r"(\w+) is longer than the 500", said)}
    )
    assert "/health is longer than the 500 bytes" in said


def test_what_no_shortening_makes_fit_is_withheld_and_counted_but_kept_in_the_log(world):
    world.broker.lines.append("max_packet_size 200")
    world.broker.start()
    port = free_port()
    world.dashboard = [f'listen = "127.0.0.1:{port}"']
    world.write_config()
    node = world.node()
    world.start_gateway()
    for _ in range(3):
        assert node.open(world.modem.exchange(node.alert()))[0] == frame.ACK
    wait_for(lambda: "/event is longer than the 200 bytes" in world.gateway.said())
    wait_for(lambda: _outbox(world) == 0)

    def too_long():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return int(re.search(r"^fieldelm_mqtt_too_long_total (\d+)", answer.read().decode(), re.MULTILINE)[1])

    wait_for(lambda: too_long() >= 3)  # health is renewed every five seconds
    log = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/api/log", timeout=10))["lines"]
    assert [line["type"] for line in log] == ["machine_alarm"] * 3
    assert world.gateway.said().count("connected to") == 1


def test_documents_are_shortened_by_what_can_best_be_spared():
    event = {"schema": 1, "id": "e-c-1", "name": "Lüfter", "location": "Dach", "bands": [1, 2], "type": "boot"}
    whole = documents.dump(event)
    assert documents.shortened(whole, len(whole.encode())) is whole
    for room in range(len(whole.encode()) - 1, 0, -1):
        text = documents.shortened(whole, room)
        if text is None:
            break
        assert len(text.encode()) <= room
        found = json.loads(text)
        assert found.keys() >= {"schema", "id", "type"} and found["shortened"]
    assert room < 60
    nodes = documents.dump({"schema": 1, "nodes": [{"eui": "e", "node_id": 1, "name": "a", "bands": 64}] * 3})
    assert json.loads(documents.shortened(nodes, 150))["nodes"][2] == {"eui": "e", "node_id": 1, "name": "a"}
    assert documents.shortened("x" * 100, 50) is None


def test_check_says_what_works_and_changes_nothing(world):
    command = [sys.executable, "-m", "fieldelm_tools.cli", "gateway", "check", "--json", "--config", str(world.config)]

    def check():
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        return done.returncode, {entry["what"]: entry for entry in json.loads(done.stdout)["checks"]}

    code, checks = check()
    assert code == 1
    assert checks["database"]["ok"]
    assert not world.database.exists()
    assert checks["radio radio"]["ok"]
    assert not checks["broker"]["ok"]
    assert "is it running" in checks["broker"]["text"]
    world.node()
    world.database.chmod(0o644)
    world.broker.start()
    code, checks = check()
    assert code == 1
    assert "chmod 600" in checks["database"]["text"]
    world.database.chmod(0o600)
    assert check()[0] == 0
    world.start_gateway()
    code, checks = check()
    assert code == 0
    assert "in use, probably by the running gateway" in checks["radio radio"]["text"]
