"""Acknowledgements: after the commit, once, the same bytes again for a while, and within the duty cycle."""

import json

import pytest

from fieldelm import airtime, frame, payloads


def ack_fields(node, data, **where):
    kind, plain = node.open(data, **where)
    assert kind == frame.ACK
    return payloads.unpack(payloads.ACK, plain)


def test_only_frames_that_ask_are_acknowledged(bench):
    node = bench.node()
    assert ack_fields(node, bench.hear(node.alert())) == {"more": 0, "reserved": 0}
    assert bench.hear(node.status()) is None
    assert bench.hear(node.alert(ack=False)) is None
    assert ack_fields(node, bench.hear(node.hello())) == {"more": 0, "reserved": 0}


def test_an_answer_leaves_only_after_the_commit(bench):
    node = bench.node()
    seen = []
    bench.radio.before_answer = lambda: seen.append(
        (
            bench.rows("SELECT count(*) FROM frame"),
            bench.rows("SELECT highest FROM node_key"),
            len(bench.outbox("/event")),
        )
    )
    bench.hear_all([node.alert(), node.alert()])
    assert seen == [([(2,)], [(2,)], 2)] * 2


def test_the_newest_frame_again_gets_the_very_same_answer_for_ten_seconds(bench):
    node = bench.node()
    data = node.alert()
    answer = bench.hear(data)
    for _ in range(2):
        bench.clock.ms += 4000
        assert bench.hear(data) == answer
    bench.clock.ms += 2001
    assert bench.hear(data) is None
    assert bench.core.tally.frames["repeated"] == 2
    assert bench.drops == {"replayed": 1}
    assert len(bench.outbox("/event")) == 1


def test_repeats_beyond_what_a_node_sends_cost_no_airtime(bench):
    node = bench.node()
    data = node.alert()
    answers = [bench.hear(data) for _ in range(50)]
    assert answers == [answers[0]] * 3 + [None] * 47
    assert answers[0] is not None


def test_a_repeat_in_the_same_round_gets_the_same_answer(bench):
    node = bench.node()
    data = node.alert()
    first, second = bench.hear_all([data, data])
    assert first == second
    assert first is not None
    assert len(bench.rows("SELECT id FROM frame")) == 1


def test_an_older_frame_again_gets_nothing(bench):
    node = bench.node()
    old = node.alert()
    bench.hear_all([old, node.alert()])
    assert bench.hear(old) is None


def test_a_late_frame_does_not_take_the_place_of_the_newest(bench):
    node = bench.node()
    late, newest = node.alert(), node.alert()
    answer = bench.hear(newest)
    assert ack_fields(node, bench.hear(late), counter=1)
    assert bench.hear(newest) == answer
    assert bench.hear(late) is None


def test_an_answer_is_never_made_twice_for_one_frame_not_even_after_a_restart(bench):
    node = bench.node()
    data = node.alert()
    assert bench.hear(data) is not None
    bench.restart()
    bench.request("identify", id="1", node=node.name)  # another answer would be due now
    assert bench.hear(data) is None


def test_a_resent_event_is_acknowledged_but_not_published_again(bench):
    node = bench.node()
    bench.hear(node.alert(sequence=7))
    assert ack_fields(node, bench.hear(node.alert(sequence=7, age_s=60))) == {"more": 0, "reserved": 0}
    bench.restart()
    assert ack_fields(node, bench.hear(node.alert(sequence=7, age_s=120))) == {"more": 0, "reserved": 0}
    first, second = node.alert(sequence=8), node.alert(sequence=8)
    assert None not in bench.hear_all([first, second])
    assert [event["id"].split("-")[2] for event in bench.outbox("/event")] == ["7", "8"]
    assert bench.rows("SELECT outcome FROM frame ORDER BY id") == [
        ("accepted",), ("duplicate",), ("duplicate",), ("accepted",), ("duplicate",)
    ]  # fmt: skip


def test_the_duty_cycle_is_kept_and_acknowledgements_withheld_are_counted(bench):
    node = bench.node()
    ack_us = airtime.time_on_air_us(14, 9)
    most = 36_000_000 // ack_us
    answered = 0
    for _ in range(most + 20):
        answered += bench.hear(node.alert()) is not None
        bench.clock.ms += 1
    assert answered == most
    assert bench.core.tally.frames["acknowledgements_withheld"] == 20
    assert len(bench.outbox("/event")) == most + 20  # heard and kept all the same
    bench.tick(61 * 60_000)  # it is counted by the minute
    assert bench.hear(node.alert()) is not None
    bench.tick(60_000)
    assert bench.current("/health")["radios"][0]["airtime_limit_ms"] == 36_000


def test_repeats_spend_airtime_too(make_bench):
    ack_us = airtime.time_on_air_us(14, 9)
    bench = make_bench(radio={"duty_cycle": 2.5 * ack_us / 3.6e9})
    node = bench.node()
    data = node.alert()
    assert [bench.hear(data) is None for _ in range(4)] == [False, False, True, True]


def test_unlimited_for_the_bench(make_bench):
    bench = make_bench(radio={"duty_cycle": "unlimited"})
    node = bench.node()
    assert None not in [bench.hear(node.alert()) for _ in range(300)]
    bench.tick(60_000)
    assert bench.current("/health")["radios"][0]["airtime_limit_ms"] is None
    assert bench.current("/health")["radios"][0]["airtime_last_hour_ms"] > 36_000


def test_events_carry_what_the_contract_says(bench):
    node = bench.node("Fan 2")
    bench.hear(node.hello())
    bench.clock.ms = 500_000
    bench.hear(node.alert("environment_changed", score_ratio=384, age_s=120, band_a=0, band_b=63, mode=3))
    (event,) = bench.outbox(f"/node/{node.eui}/event")
    assert event == {
        "schema": 1,
        "id": f"{node.eui}-{node.key_check}-1",
        "type": "environment_changed",
        "name": "Fan 2",
        "location": "roof",
        "event_time": "2026-01-01T00:06:19.815Z",  # 500 s − 185 ms on the air − 120 s
        "received_time": "2026-01-01T00:08:20.000Z",
        "clock": "synced",
        "severity": "warning",
        "verdict": "anomaly",
        "score_ratio": 1.5,
        "bands": [
            {"band": 0, "low_hz": 1.0, "high_hz": 11.0, "orders": None},
            {"band": 63, "low_hz": 631.0, "high_hz": 641.0, "orders": None},
        ],
        "mode": 3,
        "policy": "auto",
        "age_s": 120,
        "age_saturated": False,
        "delayed": True,
        "rssi": -97,
        "snr": 7.25,
        "counter": 2,
        "lost_before": 0,
    }
    assert bench.rows("SELECT type, severity, event_ms FROM event") == [
        ("environment_changed", "warning", 1767225979815)
    ]


def test_a_gateway_without_the_time_says_so(bench):
    node = bench.node()
    bench.clock.synced = False
    bench.hear_all([node.alert(age_s=0xFFFF), node.status()])
    event, status = bench.outbox()
    assert event["clock"] == status["clock"] == "unsynced"
    assert event["age_saturated"] is True


def test_event_sequences_are_extended_to_32_bits(bench):
    node = bench.node()
    for sequence in (0xFFFE, 0xFFFF, 0x1_0000, 0x1_0001, 0xFFFD):
        bench.hear(node.alert(sequence=sequence))
    ids = [int(event["id"].split("-")[2]) for event in bench.outbox("/event")]
    assert ids == [0xFFFE, 0xFFFF, 0x1_0000, 0x1_0001, 0xFFFD]


def test_a_hello_tells_where_the_event_sequence_is(bench):
    node = bench.node()
    node.sequence = 0xFFFF
    bench.hear(node.hello())
    bench.hear(node.alert())  # 0x1_0000
    assert bench.outbox("/event")[0]["id"].endswith("-65536")


def test_the_state_is_never_overwritten_by_an_older_status(bench):
    node = bench.node()
    old, new = node.status(learned_rows=1), node.status(learned_rows=2)
    bench.hear(new)
    bench.hear(old)
    assert [state["learned_rows"] for state in bench.outbox("/state")] == [2]
    assert bench.current(f"{node.eui}/state")["learned_rows"] == 2
    assert len(bench.rows("SELECT id FROM frame")) == 2
    bench.restart()
    bench.tick()
    assert bench.current(f"{node.eui}/state")["learned_rows"] == 2


def test_a_status_in_units_for_people(bench):
    node = bench.node()
    bench.hear(
        node.status(state=3, sensor_fault=2, temperature_c=-128, downlink_snr=-6, battery_mv=0, change_unconfirmed=1)
    )
    state = bench.outbox("/state")[0]
    assert (state["state"], state["sensor_fault"], state["temperature_c"]) == ("alarm", "stuck", None)
    assert (state["rms_g"], state["rms_velocity_mm_s"], state["battery_mv"]) == (0.025, 1.8, None)
    assert (state["downlink_snr"], state["change_unconfirmed"], state["kernels"]) == (-6, True, "native")


def test_a_hello_fills_the_node_s_card(bench):
    node = bench.node()
    bench.hear(node.hello(policy=1, boot_cause=2, heartbeat_s=600))
    bench.tick()
    (card,) = bench.current("/nodes")["nodes"]
    assert card["eui"] == node.eui
    assert (card["firmware"], card["boot_cause"], card["policy"], card["heartbeat_s"]) == (
        "0.1.0",
        "watchdog",
        "ask",
        600,
    )
    assert (card["bands"], card["band_low_hz"], card["band_high_hz"], card["boots"]) == (64, 1.0, 641.0, 0)


def test_boots_are_counted_by_their_event_not_by_every_hello(bench):
    node = bench.node()
    for _ in range(3):
        bench.hear(node.hello())
    boot = node.alert("boot")
    bench.hear(boot)
    bench.hear(node.alert("machine_alarm"))
    bench.hear(node.alert("boot", sequence=1))  # the same event, sent again
    bench.tick()
    (card,) = bench.current("/nodes")["nodes"]
    assert card["boots"] == 1


def test_availability_tolerates_lost_heartbeats(bench):
    node = bench.node()
    bench.tick()
    topic = f"{node.eui}/availability"
    assert bench.current(topic) == "offline"
    bench.hear(node.hello(heartbeat_s=900))
    bench.tick()
    assert bench.current(topic) == "online"
    bench.tick(2 * 900_000)
    assert bench.current(topic) == "online"
    bench.tick(900_000 + 61_000)
    assert bench.current(topic) == "offline"
    bench.hear(node.status())
    bench.tick()
    assert bench.current(topic) == "online"


def test_availability_survives_a_restart_and_a_clock_that_jumps(bench):
    node = bench.node()
    bench.hear(node.hello(heartbeat_s=900))
    topic = f"{node.eui}/availability"
    bench.clock.ms += 60_000
    bench.restart()
    bench.tick()
    assert bench.current(topic) == "online"
    bench.clock.ms += 3_000_000
    bench.restart()
    bench.tick()
    assert bench.current(topic) == "offline"
    bench.clock.synced = False  # who knows what time it is
    bench.restart()
    bench.tick()
    assert bench.current(topic) == "online"


def test_health_has_every_drop_reason_and_the_queue(bench):
    node = bench.node()
    bench.hear_all([node.alert(), b"", node.status()])
    bench.tick(60_000)
    health = bench.current("/health")
    assert health["drops"] == {
        "bad_length": 1, "bad_version": 0, "unknown_node": 0, "bad_tag": 0,
        "replayed": 0, "bad_payload": 0, "serial_garbage": 0, "store_full": 0,
    }  # fmt: skip
    assert health["queue"] == {"events": 1, "rest": 1, "limit": 100_000, "full": False, "oldest_age_s": 60}
    assert health["frames"]["received"] == 3
    assert health["frames"]["accepted"] == 2
    assert health["nodes"] == {"known": 1, "online": 1, "commands_waiting": 0}


def test_a_key_never_leaves_the_database(bench, caplog, capsys):
    caplog.set_level("DEBUG")
    node = bench.node()
    bench.hear_all([node.hello(), node.alert(), node.status(), b"\x42" + bytes(30)])
    bench.tick(60_000)
    key = node.key.hex()
    said = json.dumps([bench.publisher._current, bench.outbox()]) + caplog.text + "".join(capsys.readouterr())
    assert key not in said.lower()
    assert repr(node.key) not in said
    assert "key=" not in repr(bench.core.state.nodes)


@pytest.mark.parametrize("band", [64, 200])
def test_a_band_that_the_node_does_not_have_has_no_frequency(bench, band):
    node = bench.node()
    bench.hear_all([node.alert(band_a=3), node.hello(), node.alert(band_a=band)])
    assert [event["bands"] for event in bench.outbox("/event")] == [
        [{"band": 3, "low_hz": None, "high_hz": None, "orders": None}],
        [{"band": band, "low_hz": None, "high_hz": None, "orders": None}],
    ]
