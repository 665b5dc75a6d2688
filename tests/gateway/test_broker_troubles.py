"""A broker that is away for long, hangs, crawls, or is behind a network that tears: every acknowledged event arrives, once."""

import http.client
import json
import re
import time

import pytest
from gateway_brokers import free_port, wait_for
from gateway_proxy import Network

BASE = "fieldelm/v1/hall"


@pytest.fixture
def network(world):
    world.broker.start()
    network = Network(world.broker.port)
    world.write_config("keepalive_s = 5", url=network.url)
    yield network
    if world.gateway:
        world.gateway.stop()
    network.close()


def _ids(node):
    return [f"{node.eui}-{node.key_check}-{sequence}" for sequence in range(1, node.sequence + 1)]


def test_a_half_open_connection_is_noticed_and_nothing_of_it_is_lost(world, network):
    subscriber = world.subscribe()
    node = world.node()
    world.start_gateway()
    world.modem.exchange(node.alert())
    subscriber.wait_for("/event")
    network.dead = True
    for _ in range(10):
        world.modem.exchange(node.alert())  # acknowledged: it is on the disk
    wait_for(lambda: "lost" in world.gateway.said(), 20, "for the gateway to notice")
    network.dead = False
    network.tear()
    wait_for(lambda: set(subscriber.ids()) == set(_ids(node)), 20)
    assert list(dict.fromkeys(subscriber.ids())) == _ids(node), "in order"
    assert network.connections >= 2


def test_a_slow_broker_delays_no_answer_and_gets_events_first(world, network):
    subscriber = world.subscribe()
    nodes = [world.node(name) for name in ("fan", "pump")]
    world.start_gateway()
    subscriber.wait_for(f"{BASE}/health")
    network.bytes_per_s = 8000  # about ten events a second
    took = []
    for turn in range(20):
        world.modem.uplink(nodes[1].status(learned_rows=turn))
        began = time.monotonic()
        world.modem.exchange(nodes[0].alert())
        took.append(time.monotonic() - began)
    print(f"answers: {max(took) * 1000:.0f} ms at most")
    assert len(subscriber.ids()) < 20, "the broker is still busy"
    assert max(took) < 0.9, "the receive window opens after a second"
    wait_for(lambda: set(subscriber.ids()) == set(_ids(nodes[0])), 30)
    network.bytes_per_s = 0
    rows = wait_for(lambda: [one["learned_rows"] for one in subscriber.of(f"{nodes[1].eui}/state")][-1:] == [19])
    assert rows
    assert world.gateway.said().count("connected to") == 1


def test_a_network_that_tears_again_and_again(world, network):
    subscriber = world.subscribe()
    node = world.node()
    world.start_gateway()
    for turn in range(60):
        world.modem.exchange(node.alert())
        if turn % 6 == 5:
            network.tear()
            time.sleep(0.1)
    wait_for(lambda: set(subscriber.ids()) == set(_ids(node)), 20)
    assert list(dict.fromkeys(subscriber.ids())) == _ids(node)


def test_a_broker_that_is_away_for_longer_than_the_outbox_lasts(world):
    port = free_port()
    world.dashboard = [f'listen = "127.0.0.1:{port}"']
    world.write_config()
    world.config.write_text(world.config.read_text().replace("[mqtt]", "outbox_limit = 40\n[mqtt]", 1))
    node, other = world.node(), world.node("pump")
    gateway = world.start_gateway()
    for _ in range(36):
        world.modem.exchange(node.alert())
    for turn in range(10):
        world.modem.uplink(other.status(learned_rows=turn))
    world.modem.uplink(other.status(learned_rows=77))
    refused = 0
    while refused < 3:
        token = world.modem.uplink(node.alert())
        time.sleep(0.3)
        if token not in world.modem.sent:
            refused += 1
            node.sequence -= 1  # the node keeps it, and tells it again later
    acknowledged = _ids(node)
    assert len(acknowledged) == 40
    wait_for(lambda: "the outbox is full, 40 messages wait: no frame is acknowledged" in gateway.said())

    def ask(path):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", path)
        text = connection.getresponse().read().decode()
        connection.close()
        return text

    wait_for(lambda: json.loads(ask("/healthz"))["outbox_full"])
    metrics = wait_for(lambda: (text := ask("/metrics")) and 'reason="store_full"} 3' in text and text, 20)
    dropped = int(re.search(r"fieldelm_status_dropped_total (\d+)", metrics)[1])
    assert dropped == 11, "the last STATUS are dropped and counted, and no event for them"
    gateway.stop()  # a week has many restarts
    world.start_gateway()
    world.broker.start()
    subscriber = world.subscribe()
    wait_for(lambda: "the outbox has room again" in world.gateway.said())
    world.modem.exchange(node.alert())
    wait_for(lambda: subscriber.ids()[-1:] == _ids(node)[-1:])
    wait_for(lambda: subscriber.of(f"{other.eui}/state")[-1]["learned_rows"] == 77)
