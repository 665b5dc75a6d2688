"""What arrives where, and what does not."""

import threading

import pytest
from air_clients import Client, Gateway, Node

from fieldelm_tools.air import Propagation

ALERT = bytes(range(19))
ALERT_US = 185_344  # at SF9
SYMBOL_US = 4096


def outcomes(observer: Client) -> dict[str, str]:
    return {end["name"]: end["outcome"] for end in observer.hear("traffic")["to"]}


@pytest.fixture
def place(serve):
    """An air with an observer and, at the origin, a gateway."""
    air = serve(expect_nodes=2)
    observer = Client(air.port, "observer", "observer")
    gateway = Gateway(air.port)
    return air, observer, gateway


def overlap(air, gap_us: int, distances: tuple[float, float], second: dict | None = None) -> None:
    """Two nodes send, the second `gap_us` after the first; both then wait, far in the future."""
    one, two = Node(air.port, "one", x=distances[0]), Node(air.port, "two", x=distances[1])
    one.tell(op="wait", until_us=1_000_000)
    two.tell(op="wait", until_us=1_000_000 + gap_us)

    def send(node, radio):
        node.hear()
        node.send(ALERT, **radio)
        node.close()

    threads = [threading.Thread(target=send, args=pair) for pair in ((one, {}), (two, second or {}))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_levels_follow_distance(place):
    air, observer, gateway = place
    near, far = Node(air.port, "near", x=100), Node(air.port, "far", x=1000)
    far.tell(op="wait", until_us=10_000_000)
    near.send(ALERT)
    heard_near = gateway.uplink()
    near.close()
    gateway.decline(heard_near)
    far.hear()
    far.send(ALERT)
    heard_far = gateway.uplink()
    # free space loses 31.2 dB in the first metre at 868.1 MHz, then 30 dB a decade
    assert heard_near["rssi"] == round(14 - 31.2 - 60)
    assert heard_near["rssi"] - heard_far["rssi"] == 30
    assert heard_far["snr_db"] == pytest.approx(14 - 31.2 - 90 - (-174 + 51 + 6), abs=0.26)
    assert bytes.fromhex(heard_far["data"]) == ALERT
    assert (heard_far["sf"], heard_far["airtime_us"]) == (9, ALERT_US)


def test_two_alike_destroy_each_other(place):
    air, observer, _ = place
    overlap(air, 0, (100, 100))
    assert outcomes(observer) == outcomes(observer) == {"gateway": "collision"}


def test_a_late_one_damages_what_was_being_received(place):
    air, observer, gateway = place
    overlap(air, 100_000, (100, 100))
    damaged = gateway.uplink()
    assert not damaged["crc_ok"]
    assert len(damaged["data"]) == 38
    assert bytes.fromhex(damaged["data"]) != ALERT
    gateway.decline(damaged)
    assert outcomes(observer) == outcomes(observer) == {"gateway": "collision"}


@pytest.mark.parametrize("gap_us", [0, SYMBOL_US, 100_000])
def test_a_frame_survives_one_that_is_6_db_weaker(place, gap_us):
    air, observer, gateway = place
    overlap(air, gap_us, (100, 160))  # 6.1 dB
    heard = gateway.uplink()
    assert heard["crc_ok"]
    assert bytes.fromhex(heard["data"]) == ALERT
    gateway.decline(heard)
    assert outcomes(observer) == {"gateway": "received"}
    assert outcomes(observer) == {"gateway": "collision"}


def test_a_frame_does_not_survive_one_that_is_5_db_weaker(place):
    air, observer, gateway = place
    overlap(air, 100_000, (100, 145))  # 4.8 dB
    assert not gateway.uplink()["crc_ok"]


def test_a_strong_one_takes_the_receiver_over_during_the_preamble(place):
    air, observer, gateway = place
    overlap(air, 2 * SYMBOL_US, (160, 100))
    heard = gateway.uplink()
    assert heard["crc_ok"]
    assert heard["end_us"] == 1_000_000 + 2 * SYMBOL_US + ALERT_US
    assert outcomes(observer) == {"gateway": "collision"}


def test_a_strong_one_after_the_preamble_ruins_both(place):
    air, observer, gateway = place
    overlap(air, 20 * SYMBOL_US, (160, 100))
    assert not gateway.uplink()["crc_ok"]
    assert outcomes(observer) == outcomes(observer) == {"gateway": "collision"}


@pytest.mark.parametrize("other", [{"sf": 10}, {"freq_khz": 868300}, {"bw_khz": "250", "freq_khz": 868500}])
def test_another_spreading_factor_or_channel_does_not_collide(place, other):
    air, observer, gateway = place
    overlap(air, 0, (100, 100), other)
    assert gateway.uplink()["crc_ok"]


def test_another_spreading_factor_drowns_what_is_far(place):
    air, observer, gateway = place
    overlap(air, 100_000, (100, 20), {"sf": 10})  # 21 dB
    assert not gateway.uplink()["crc_ok"]


def test_a_node_hears_gateways_only_and_a_gateway_nodes_only(serve):
    air = serve(expect_nodes=2, expect_gateways=2)
    observer = Client(air.port, "observer", "observer")
    first, second = Gateway(air.port, "first"), Gateway(air.port, "second", x=5)
    sender, listener = Node(air.port, "sender", x=20), Node(air.port, "listener", x=25)
    listener.tell(
        op="listen",
        freq_khz=868100,
        sf=9,
        bw_khz="125",
        coding_rate=5,
        preamble_len=8,
        invert_iq=True,
        until_us=3_000_000,
    )
    sender.send(ALERT)
    sender.tell(op="wait", until_us=9_000_000)
    first.reply(first.uplink(), b"down")
    second.decline(second.uplink())
    assert bytes.fromhex(listener.hear()["data"]) == b"down"
    assert outcomes(observer) == {"first": "received", "second": "received"}
    assert outcomes(observer) == {"listener": "received"}


def test_a_gateway_that_sends_is_deaf(serve):
    air = serve(expect_nodes=2)
    observer = Client(air.port, "observer", "observer")
    gateway = Gateway(air.port)
    one, two = Node(air.port, "one", x=20), Node(air.port, "two", x=30)
    two.tell(op="wait", until_us=ALERT_US + 1_010_000)
    one.send(ALERT)
    one.tell(op="wait", until_us=60_000_000)
    gateway.reply(gateway.uplink(), bytes(40))
    two.hear()
    two.send(ALERT)
    two.tell(op="wait", until_us=60_000_000)
    one.hear()
    # in the order in which they end; to the reply nobody listens
    assert [outcomes(observer) for _ in range(3)] == [{"gateway": "received"}, {"gateway": "deaf"}, {}]
    assert gateway.hear() == {"op": "replied", "id": 1, "now_us": ALERT_US + 1_000_000 + 287_744}


def test_a_reply_cuts_a_reception_off(serve):
    air = serve(expect_nodes=2)
    observer = Client(air.port, "observer", "observer")
    gateway = Gateway(air.port)
    one, two = Node(air.port, "one", x=20), Node(air.port, "two", x=30)
    two.tell(op="wait", until_us=ALERT_US + 900_000)
    one.send(ALERT)
    one.tell(op="wait", until_us=60_000_000)
    gateway.reply(gateway.uplink(), b"ack")
    two.hear()
    two.send(ALERT)
    two.tell(op="wait", until_us=60_000_000)
    one.hear()
    assert outcomes(observer) == {"gateway": "received"}
    assert outcomes(observer) == {"gateway": "deaf"}


def listen_for_reply(serve, opens_us: int, closes_us: int) -> dict:
    """A node that listens between these times after its uplink to an answer that starts after one second."""
    air = serve(expect_nodes=1)
    gateway, node = Gateway(air.port), Node(air.port, x=50)
    threading.Thread(target=lambda: gateway.reply(gateway.uplink(), b"ack"), daemon=True).start()
    end_us = node.send(ALERT)["now_us"]
    node.wait(end_us + opens_us)
    return node.listen(end_us + closes_us)


def test_a_reception_that_has_begun_is_finished(serve):
    # five symbols of the preamble are heard one microsecond before the window closes; the frame takes 103 ms
    heard = listen_for_reply(serve, 990_000, 1_000_000 + 5 * SYMBOL_US + 1)
    assert heard["op"] == "received"
    assert heard["now_us"] == ALERT_US + 1_000_000 + 103_424


def test_too_few_symbols_of_preamble_are_not_enough(serve):
    assert listen_for_reply(serve, 990_000, 1_000_000 + 5 * SYMBOL_US - 1)["op"] == "silence"
    assert listen_for_reply(serve, 1_000_000 + 3 * SYMBOL_US + 1, 2_000_000)["op"] == "silence"
    assert listen_for_reply(serve, 1_000_000 + 3 * SYMBOL_US, 2_000_000)["op"] == "received"


def test_below_the_sensitivity_nothing_is_heard(serve):
    air = serve(expect_nodes=1)
    observer = Client(air.port, "observer", "observer")
    gateway = Gateway(air.port)
    node = Node(air.port, x=6000)
    node.send(ALERT)  # SNR -13.2 dB; SF9 needs -12.5, SF10 -15
    assert outcomes(observer) == {"gateway": "weak"}
    node.close()
    air = serve(expect_nodes=1)
    gateway = Gateway(air.port)
    gateway.tune(sf=10)
    node = Node(air.port, x=6000)
    node.wait(1)
    node.send(ALERT, sf=10)
    assert gateway.uplink()["snr_db"] == pytest.approx(-13.25, abs=0.3)


def test_loss_is_as_frequent_as_told(serve):
    air = serve(expect_nodes=1, conditions=Propagation(loss=0.3))
    observer = Client(air.port, "observer", "observer")
    gateway = Gateway(air.port)
    node = Node(air.port, x=20)
    lost = 0
    for _ in range(400):
        node.send(ALERT)
        if outcomes(observer)["gateway"] == "lost":
            lost += 1
        else:
            gateway.decline(gateway.uplink())
    assert 85 <= lost <= 155  # 120, within 3.8 standard deviations


def test_an_uplink_is_answered_once(serve):
    air = serve(expect_nodes=1)
    gateway, node = Gateway(air.port), Node(air.port, x=20)
    node.send(ALERT)
    uplink = gateway.uplink()
    gateway.reply(uplink, b"ack")
    gateway.reply(uplink, b"ack")
    assert gateway.hear() == {"op": "refused", "id": uplink["id"], "why": "no uplink of that id waits for an answer"}


def test_two_replies_at_once_are_one_too_many(serve):
    air = serve(expect_nodes=2)
    gateway = Gateway(air.port)
    one, two = Node(air.port, "one", x=20), Node(air.port, "two", x=30)
    two.tell(op="wait", until_us=ALERT_US + 10_000)
    one.send(ALERT)
    one.tell(op="wait", until_us=60_000_000)
    gateway.reply(gateway.uplink(), bytes(40))
    two.hear()
    two.send(ALERT)
    second = gateway.uplink()
    gateway.reply(second, bytes(4))
    two.tell(op="wait", until_us=60_000_000)
    answers = [gateway.hear(), gateway.hear()]
    assert answers[0] == {"op": "refused", "id": 2, "why": "the radio is sending another frame at that time"}
    assert answers[1]["op"] == "replied"


def test_a_reply_after_its_time_is_refused(serve):
    air = serve(expect_nodes=1)
    gateway = Gateway(air.port)
    node = Node(air.port, x=20)
    node.send(ALERT)
    uplink = gateway.uplink()
    node.wait(ALERT_US + 500_000)
    gateway.reply(uplink, b"ack", delay_us=400_000)
    assert "too late" in gateway.hear()["why"]


# radios: emulated chips, which hear for themselves


@pytest.fixture
def radios(serve):
    """Two of them on an air of their own."""
    air = serve(expect_nodes=2)
    return [Client(air.port, "radio", name, x=x) for name, x in (("one", 0), ("two", 50))]


def begin(radio, **more):
    radio.tell(op="begin", freq_khz=868100, sf=7, bw_khz="125", data=ALERT.hex(), **more)


def test_a_radio_that_broke_off_may_begin_again(radios):
    one, two = radios
    begin(one)
    first = two.hear("frame")
    one.tell(op="abort")
    assert two.hear("damaged")["id"] == first["id"]
    begin(one, airtime_us=60_000)
    second = two.hear("frame")
    assert second["start_us"] == first["start_us"]
    assert second["end_us"] - second["start_us"] == 60_000


def test_a_frame_ends_the_wait_of_a_radio_that_had_not_begun_to_wait(radios):
    one, two = radios
    begin(one)
    frame = two.hear("frame")
    assert two.ask(op="wait", until_us=1_000_000) == {"op": "now", "now_us": frame["start_us"]}
    one.tell(op="wait", until_us=1_000_000)
    assert two.ask(op="wait", until_us=1_000_000)["now_us"] == 1_000_000


def test_shapes_that_only_chips_know(radios):
    one, two = radios
    one.tell(op="begin", freq_khz=868100, sf=5, bw_khz="500", preamble_len=2, data="", airtime_us=2000)
    frame = two.hear("frame")
    assert (frame["sf"], frame["preamble_len"], frame["data"]) == (5, 2, "")
    assert frame["end_us"] - frame["start_us"] == 2000
    begin(one, airtime_us=0)
    assert "airtime_us" in one.hear("error")["why"]
