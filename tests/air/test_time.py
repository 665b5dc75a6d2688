"""Who holds simulated time, and who does not."""

import threading
import time

import pytest
from air_clients import RADIO, Client, Gateway, Node

ALERT = bytes(19)
ALERT_US = 185_344  # at SF9
WINDOW = (975_000, 1_110_000)  # after the end of the uplink


def exchange(node: Node) -> dict:
    """Send and open the receive window."""
    end_us = node.send(ALERT)["now_us"]
    node.wait(end_us + WINDOW[0])
    return node.listen(end_us + WINDOW[1])


def in_thread(work, *arguments) -> threading.Thread:
    thread = threading.Thread(target=work, args=arguments, daemon=True)
    thread.start()
    return thread


def test_an_answer_that_is_slow_in_wall_time_still_hits_the_window(serve):
    air = serve(expect_nodes=1)
    gateway, node = Gateway(air.port), Node(air.port, x=50)

    def answer():
        uplink = gateway.uplink()
        time.sleep(0.7)  # a slow disk
        gateway.reply(uplink, b"ack")

    in_thread(answer)
    heard = exchange(node)
    assert heard["op"] == "received"
    assert bytes.fromhex(heard["data"]) == b"ack"
    start_us = heard["now_us"] - 103_424  # airtime of three bytes
    assert start_us == ALERT_US + 1_000_000


def test_a_declined_uplink_delays_nothing(serve):
    air = serve(expect_nodes=1)
    gateway, node = Gateway(air.port), Node(air.port, x=50)
    in_thread(lambda: gateway.decline(gateway.uplink()))
    started = time.monotonic()
    assert exchange(node) == {"op": "silence", "now_us": ALERT_US + WINDOW[1]}
    assert node.wait(86_400_000_000) == 86_400_000_000
    assert time.monotonic() - started < 1


def test_time_stands_still_while_an_answer_is_owed(serve):
    air = serve(expect_nodes=1)
    gateway, node = Gateway(air.port), Node(air.port, x=50)
    node.send(ALERT)
    node.tell(op="wait", until_us=3_600_000_000)
    uplink = gateway.uplink()
    time.sleep(0.3)
    assert air.now_us <= uplink["end_us"] + 980_000
    gateway.decline(uplink)
    assert node.hear()["now_us"] == 3_600_000_000


def test_a_silent_gateway_counts_as_having_declined_once(serve, caplog):
    air = serve(expect_nodes=1, answer_s=0.5)
    gateway, node = Gateway(air.port), Node(air.port, x=50)
    started = time.monotonic()
    assert exchange(node)["op"] == "silence"
    assert 0.4 < time.monotonic() - started < 2
    assert "gateway has not answered 1 uplink(s)" in caplog.text
    started = time.monotonic()
    assert exchange(node)["op"] == "silence"
    assert time.monotonic() - started < 0.3
    # when it speaks again, it is waited for again
    gateway.uplink()
    gateway.decline(gateway.uplink())
    in_thread(lambda: (time.sleep(0.2), gateway.reply(gateway.uplink(), b"here")))
    assert exchange(node)["op"] == "received"


def test_a_gateway_that_hangs_up_owes_nothing(serve):
    air = serve(expect_nodes=1)
    gateway, node = Gateway(air.port), Node(air.port, x=50)
    in_thread(lambda: (gateway.uplink(), gateway.close()))
    assert exchange(node)["op"] == "silence"


def test_a_gateway_that_never_tunes_hears_and_holds_nothing(serve):
    air = serve(expect_nodes=1)
    deaf, node = Client(air.port, "gateway", "deaf"), Node(air.port)
    assert exchange(node)["op"] == "silence"
    assert deaf.hear("time")["now_us"] > 0


def test_a_computing_node_holds_time_for_all(serve):
    air = serve(expect_nodes=2)
    busy, idle = Node(air.port, "busy"), Node(air.port, "idle")
    idle.tell(op="wait", until_us=5_000_000)
    time.sleep(0.3)
    assert air.now_us == 0
    busy.tell(op="wait", until_us=7_000_000)
    assert idle.hear()["now_us"] == 5_000_000
    idle.close()  # computing, and gone
    assert busy.hear()["now_us"] == 7_000_000


def test_a_node_that_computes_for_ever_is_dropped(serve, caplog):
    air = serve(expect_nodes=2, stall_s=0.6)
    stuck, node = Node(air.port, "stuck"), Node(air.port, "node")
    assert node.wait(1_000_000) == 1_000_000
    assert "no word for" in stuck.hear()["why"]
    assert "stuck was dropped" in caplog.text


def test_time_starts_when_all_are_there(serve):
    air = serve(expect_nodes=2, expect_gateways=1)
    first = Node(air.port, "first")
    first.tell(op="wait", until_us=1_000_000)
    second = Node(air.port, "second")
    second.tell(op="wait", until_us=2_000_000)
    time.sleep(0.2)
    assert air.now_us == 0
    gateway = Gateway(air.port)
    gateway.tune()  # again, which changes nothing
    assert first.hear()["now_us"] == 1_000_000


def test_a_late_node_begins_now(serve):
    air = serve(expect_nodes=1)
    first = Node(air.port, "first")
    first.wait(60_000_000)
    late = Node(air.port, "late")
    assert late.joined["now_us"] == 60_000_000
    assert late.joined["epoch"] == "2026-01-01T00:00:00.000Z"


def test_time_waits_for_a_node_that_restarts(serve):
    air = serve(expect_nodes=2)
    other, node = Node(air.port, "other"), Node(air.port, "node")
    other.tell(op="wait", until_us=10_000_000_000)
    node.wait(1_000_000)
    node.tell(op="restart")
    node.close()
    time.sleep(0.4)
    assert air.now_us == 1_000_000
    again = Node(air.port, "node")
    assert again.joined["now_us"] == 1_000_000


def test_a_node_that_does_not_come_back_is_not_waited_for(serve):
    air = serve(expect_nodes=2, restart_s=0.3)
    other, node = Node(air.port, "other"), Node(air.port, "node")
    node.tell(op="restart")
    node.close()
    assert other.wait(5_000_000) == 5_000_000


def test_speed_limits_and_pause_stops(serve):
    air = serve(expect_nodes=1, speed=10.0)
    gateway, node = Gateway(air.port), Node(air.port)
    started = time.monotonic()
    node.wait(5_000_000)
    assert time.monotonic() - started == pytest.approx(0.5, abs=0.15)
    assert 0 < gateway.hear("time")["now_us"] <= 5_000_000
    node.tell(op="wait", until_us=7_000_000)
    air.pause()
    time.sleep(0.5)
    assert air.now_us < 7_000_000
    air.set_speed(0)
    air.resume()
    started = time.monotonic()
    assert node.hear()["now_us"] == 7_000_000
    assert time.monotonic() - started < 0.1


def test_the_past_is_over_at_once(serve):
    air = serve(expect_nodes=1)
    node = Node(air.port)
    node.wait(5_000_000)
    assert node.wait(1) == 5_000_000
    assert node.listen(2, **RADIO)["now_us"] == 5_000_000
