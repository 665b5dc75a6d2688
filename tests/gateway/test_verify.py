"""Which frames the gateway believes."""

import dataclasses

import pytest
from hypothesis import given, settings, strategies as st

from fieldelm import frame
from fieldelm_gateway import values
from fieldelm_gateway.alarm import Alarm
from fieldelm_gateway.nodes import Card, Node
from fieldelm_gateway.verify import WINDOW_BITS, accept


def test_a_forged_frame_is_dropped_and_changes_nothing(bench):
    node = bench.node()
    bench.hear(node.hello())
    before = bench.rows("SELECT highest, seen FROM node_key")
    data = bytearray(node.alert())
    for position in range(len(data)):
        forged = bytearray(data)
        forged[position] ^= 1
        assert bench.hear(bytes(forged)) is None
    assert bench.rows("SELECT highest, seen FROM node_key") == before
    assert bench.outbox("/event") == []
    assert sum(bench.drops.values()) == len(data)
    assert set(bench.drops) <= {"bad_tag", "bad_version", "unknown_node", "bad_length"}
    assert node.open(bench.hear(bytes(data)))[0] == frame.ACK  # the real one still counts


def test_frames_that_are_short_long_of_another_version_or_of_nobody(bench):
    node = bench.node()
    data = node.alert()
    cases = {
        "bad_length": [b"", data[:1], data[:8], data[:-2], data + bytes(240)],
        "bad_version": [bytes([data[0] & 0x3F]) + data[1:], bytes([data[0] | 0x0F]) + data[1:]],
        "unknown_node": [data[:1] + b"\xff\xff" + data[3:]],
        "bad_tag": [data[:-1], data + b"\0", bytes([data[0] | 0x10]) + data[1:]],  # the last: a key it does not have
    }
    for reason, frames in cases.items():
        bench.core.tally.drops.clear()
        assert bench.hear_all(frames) == [None] * len(frames)
        assert bench.drops == {reason: len(frames)}


def test_a_node_does_not_speak_for_another(bench):
    one, two = bench.node("one"), bench.node("two")
    data = bytearray(one.alert())
    data[1:3] = two.node_id.to_bytes(2, "little")
    assert bench.hear(bytes(data)) is None
    assert bench.drops == {"bad_tag": 1}


def test_an_authentic_frame_that_makes_no_sense_is_counted_and_not_answered(bench):
    node = bench.node()
    bad = [
        node.alert(event="boot", severity=7),
        node.seal(frame.ALERT, bytes(11), ack=True),
        node.status(state=15),
        node.seal(frame.TRACE, bytes(10), ack=True),
        node.seal(frame.TRACE, bytes((9, 0, 0, 64, 0, 0, 50, 1, 2, 3)), ack=True),
        node.seal(frame.RESPONSE, b"\1\2", ack=True),
    ]
    assert bench.hear_all(bad) == [None] * len(bad)
    assert bench.drops == {"bad_payload": len(bad)}
    assert bench.hear_all(bad[:1]) == [None]
    assert bench.drops == {"bad_payload": len(bad), "replayed": 1}
    assert {row[0] for row in bench.rows("SELECT outcome FROM frame")} == {"bad_payload"}


def test_a_replay_is_dropped(bench):
    node = bench.node()
    first, second = node.alert(), node.alert()
    bench.hear_all([first, second])
    assert bench.hear(first) is None
    assert bench.drops == {"replayed": 1}
    bench.clock.ms += 10_001
    assert bench.hear(second) is None
    assert bench.drops == {"replayed": 2}
    assert len(bench.outbox("/event")) == 2


def test_a_replay_is_dropped_after_a_restart_too(bench):
    node = bench.node()
    data = node.alert()
    assert bench.hear(data)
    bench.restart()
    assert bench.hear(data) is None
    assert bench.drops == {"replayed": 1}


def test_frames_out_of_order_count_once_within_the_window(bench):
    node = bench.node()
    frames = [node.status() for _ in range(WINDOW_BITS + 6)]
    assert bench.hear(frames[-1]) is None
    for data in reversed(frames[:-1]):
        bench.hear(data)
    assert bench.drops == {"replayed": 6}  # those that the window no longer remembers
    for data in frames:
        bench.hear(data)
    # all again; the newest is a repeat within its exchange
    assert bench.drops == {"replayed": 6 + len(frames) - 1}
    assert bench.core.tally.frames["repeated"] == 1


def test_counters_are_followed_beyond_16_bits(bench):
    node = bench.node()
    for counter in (0xFFFD, 0x1_0003, 0x1_7000, 0x1_EFFF, 0x2_0001):
        node.counter = counter
        bench.hear(node.status())
    assert bench.drops == {}
    assert bench.rows("SELECT highest FROM node_key") == [(0x2_0002,)]


def test_a_hello_finds_the_place_again(bench):
    node = bench.node()
    bench.hear(node.status())
    node.counter = 0x0123_0000
    assert bench.hear(node.status()) is None
    assert bench.drops == {"bad_tag": 1}
    assert node.open(bench.hear(node.hello()))[0] == frame.ACK
    bench.hear(node.status())
    assert bench.drops == {"bad_tag": 1}
    assert bench.rows("SELECT highest FROM node_key") == [(0x0123_0003,)]


def test_lost_before_counts_missing_frames_and_is_unknown_after_a_boot(bench):
    node = bench.node()
    bench.hear(node.alert())
    bench.hear(node.alert())
    node.counter += 5
    bench.hear(node.alert())
    node.counter += 300
    bench.hear(node.hello())
    bench.hear(node.alert())
    assert [event["lost_before"] for event in bench.outbox("/event")] == [None, 0, 5, 0]
    assert [event["counter"] for event in bench.outbox("/event")] == [1, 2, 8, 310]


def test_lost_before_is_unknown_where_the_hello_was_not_heard(bench):
    node = bench.node()
    bench.hear(node.alert())
    node.counter += 200  # the node has started again and goes on from its reserved ceiling
    node.hello()
    bench.hear(node.alert("boot"))
    bench.hear(node.alert())
    assert [event["lost_before"] for event in bench.outbox("/event")] == [None, None, 0]


def test_an_eight_byte_tag_where_the_node_is_configured_so(bench):
    node = bench.node(link={"tag_bytes": 8})
    assert len(data := node.alert()) == 23
    assert node.open(bench.hear(data))[0] == frame.ACK
    node.tag_bytes = 4
    bench.hear(node.alert())
    assert bench.drops == {"bad_tag": 1}


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 200), max_size=120))
def test_the_window_accepts_no_number_twice_and_refuses_only_what_is_old(counters):
    highest, seen, taken = None, 0, set()
    for counter in counters:
        try:
            highest, seen = accept(highest, seen, counter)
        except frame.FrameError:
            assert counter in taken or counter <= highest - WINDOW_BITS
        else:
            assert counter not in taken
            taken.add(counter)
    assert highest == max(taken, default=None)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_whatever_disturb_the_parser(data):
    try:
        header = frame.parse(data, frame.UPLINK)
    except frame.FrameError as error:
        assert error.reason in {"bad_length", "bad_version"}
    else:
        assert header.kind in (1, 2, 3, 4, 7, 8)


@pytest.mark.parametrize("reference", [0, 0x7FFF, 0x8000, 0x1_0000, 0x1234_5678, 0xFFFF_FFFF])
def test_extension_stays_within_half_a_turn(reference):
    for step in (-0x7FFF, -1, 0, 1, 0x7FFF):
        number = reference + step
        if 0 <= number <= 0xFFFF_FFFF:
            assert frame.extend(number & 0xFFFF, reference) == number


def test_a_changed_value_is_what_dataclasses_would_make_of_it():
    node = Node(1, "e", 2, "fan", "roof", 4, (), Card(boots=3))
    for changes in ({}, {"name": "pump"}, {"card": Card(), "last_seen_ms": 7, "alarm": Alarm(active=True)}):
        assert values.replace(node, **changes) == dataclasses.replace(node, **changes)
    assert node.name == "fan"
    with pytest.raises(dataclasses.FrozenInstanceError):
        values.replace(node, name="pump").name = "mixer"
    with pytest.raises(TypeError, match="nmae"):
        values.replace(node, nmae="pump")
