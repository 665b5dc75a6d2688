"""fieldelm.link: the receive window, repeats within an exchange, and downlinks that are not to be believed."""

import gc

from bench import Clock, Gateway, Packet, Radio, configuration, silence

from fieldelm import frame, payloads
from fieldelm.link import ATTEMPTS, Link
from fieldelm.storage import Counters


def _rig(change=None):
    clock = Clock()
    gateway = Gateway()
    radio = Radio(clock, gateway)
    config = configuration()
    if change:
        change(config)
    return clock, gateway, radio, Link(config, radio, clock, Counters("counters"))


def _alert(link, sequence=1):
    values = {
        "event": 3,
        "severity": 2,
        "verdict": 2,
        "policy": 0,
        "mode": 0,
        "score_ratio": 300,
        "age_s": 0,
        "band_a": 1,
    }
    values["band_b"] = 255
    values["sequence"] = sequence
    return payloads.pack_into(payloads.ALERT, link.buffer, link.payload_start(frame.ALERT), values)


def test_alert_is_19_bytes_and_acknowledged():
    clock, gateway, radio, link = _rig()
    assert link.exchange(frame.ALERT, _alert(link), True) == frame.ACK
    assert [len(data) for _, data in radio.sent] == [19]
    assert payloads.unpack(payloads.ALERT, gateway.heard[0][2])["sequence"] == 1
    assert link.downlink_snr == 28
    assert radio.sleeping


def test_long_tag_where_configured():
    def long_tag(config):
        config["link"]["tag_bytes"] = 8

    clock, gateway, radio, link = _rig(long_tag)
    gateway.hear = lambda data: None  # it expects short tags here
    link.exchange(frame.ALERT, _alert(link), False)
    assert len(radio.sent[0][1]) == 23


def test_window_takes_what_is_20_ms_early_or_late():
    for late in (-20, 0, 20):
        clock, gateway, radio, link = _rig()
        radio.late_ms = late
        assert link.exchange(frame.ALERT, _alert(link), True) == frame.ACK, late
        assert len(radio.sent) == 1


def test_same_bytes_are_repeated_within_10_s_then_given_up():
    clock, gateway, radio, link = _rig()
    gateway.answers = [silence] * ATTEMPTS
    assert link.exchange(frame.ALERT, _alert(link), True) == 0
    assert len(radio.sent) == ATTEMPTS
    assert len({data for _, data in radio.sent}) == 1
    assert radio.sent[-1][0] - radio.sent[0][0] < 10000
    assert link.exchange(frame.ALERT, _alert(link), True) == frame.ACK
    assert radio.sent[-1][1] != radio.sent[0][1]  # a later resend is a new frame
    assert [counter for _, counter, _, _ in gateway.heard] == [1, 1, 1, 2]


def test_lost_acknowledgement_is_made_good_by_the_repeat():
    clock, gateway, radio, link = _rig()
    gateway.answers = [silence]
    assert link.exchange(frame.ALERT, _alert(link), True) == frame.ACK
    assert len(radio.sent) == 2


def test_frames_that_do_not_ask_are_sent_once_and_still_hear_commands():
    clock, gateway, radio, link = _rig()
    assert link.exchange(frame.STATUS, link.payload_start(frame.STATUS), False) == 0
    assert len(radio.sent) == 1
    gateway.answers = [gateway.command(1, 500)]
    assert link.exchange(frame.STATUS, link.payload_start(frame.STATUS), False) == frame.COMMAND
    code, sequence, arguments = link.command()
    assert (code, sequence, len(arguments)) == (1, 500, 0)


def test_forged_downlinks_are_refused():
    def stranger(change):
        def answer(gateway, header, payload):
            data = bytearray(gateway.ack(header, payload))
            change(data)
            return bytes(data)

        return answer

    def flip(i, bit):
        def change(data):
            data[i] ^= 1 << bit

        return change

    clock, gateway, radio, link = _rig()
    length = 14
    for i in range(length):
        for bit in (0, 7):
            gateway.answers = [stranger(flip(i, bit)), silence, silence]
            assert link.exchange(frame.ALERT, _alert(link), True) == 0, (i, bit)
    gateway.answers = [lambda g, h, p: g.ack(h, p)[:-1], lambda g, h, p: b"", lambda g, h, p: bytes(255)]
    assert link.exchange(frame.ALERT, _alert(link), True) == 0
    # another gateway's number, which this node does not know; an older exchange's answer
    gateway.answers = [lambda g, h, p: g.seal(h, frame.ACK, b"\x00", number=9), silence, silence]
    assert link.exchange(frame.ALERT, _alert(link), True) == 0
    gateway.answers = [lambda g, h, p: g.seal(h, frame.ACK, b"\x00", counter=g.counter - 1), silence, silence]
    assert link.exchange(frame.ALERT, _alert(link), True) == 0
    # its own frame, reflected
    gateway.answers = [lambda g, h, p: g.heard[-1][3], silence, silence]
    assert link.exchange(frame.ALERT, _alert(link), True) == 0


def test_second_gateway_is_believed_where_configured():
    def two(config):
        config["link"]["gateways"] = [1, 9]

    clock, gateway, radio, link = _rig(two)
    gateway.number = 9
    assert link.exchange(frame.ALERT, _alert(link), True) == frame.ACK
    assert link.answer_gateway == 9


def test_stranger_in_the_window_does_not_hide_the_answer():
    clock, gateway, radio, link = _rig()
    radio.strangers = [b"\x45\x09\x00\x01\x00" + bytes(9), b"", b"x"]
    assert link.exchange(frame.ALERT, _alert(link), True) == frame.ACK
    assert link.rejected == 2 and len(radio.sent) == 1


def test_broken_radio_is_an_oserror_and_costs_a_counter_only():
    clock, gateway, radio, link = _rig()
    radio.broken = True
    try:
        link.exchange(frame.ALERT, _alert(link), True)
    except OSError:
        pass
    else:
        raise AssertionError("a broken radio went unnoticed")
    radio.broken = False
    assert link.exchange(frame.ALERT, _alert(link), True) == frame.ACK
    assert gateway.heard[0][1] == 2


def test_thousand_exchanges_leave_the_heap_as_it_was():
    def unlimited(config):
        config["radio"]["plan"] = "none"

    clock, gateway, radio, link = _rig(unlimited)
    for _ in range(20):
        link.exchange(frame.ALERT, _alert(link), True)
    gateway.heard.clear()
    radio.sent.clear()
    gc.collect()
    before = gc.mem_alloc()
    for _ in range(1000):
        link.exchange(frame.ALERT, _alert(link), True)
        gateway.heard.clear()
        radio.sent.clear()
    gc.collect()
    assert gc.mem_alloc() - before < 512, gc.mem_alloc() - before
    assert link.counter == 1020
    assert len(Packet(b"abc")) == 3


def test_pauses_differ_but_a_life_can_be_repeated():
    def other(config):
        config["eui"] = "0200000000000002"

    def pauses(change=None):
        clock, gateway, radio, link = _rig(change)
        gateway.hear = lambda data: None
        for counter in range(1, 50):
            link.counter = counter
            yield link.random_below(1000)

    first = list(pauses())
    assert first == list(pauses()) and first != list(pauses(other))
    assert len(set(first)) > 40 and 300 < sum(first) / len(first) < 700 and max(first) < 1000


def test_answers_from_before_a_restart_are_refused_after_it():
    clock, gateway, radio, link = _rig()
    recorded = []

    def remembered(g, header, payload):
        recorded.append(g.ack(header, payload))
        return recorded[-1]

    for _ in range(20):
        gateway.answers = [remembered]
        assert link.exchange(frame.ALERT, _alert(link), True) == frame.ACK
    clock, gateway, radio, link = _rig()  # counters go on behind the reserved ones
    gateway.counter = 256

    def played(old, patched):
        def answer(g, header, payload):
            data = bytearray(old)
            if patched:
                data[1:5] = g.heard[-1][3][1:5]
            return bytes(data)

        return answer

    for old in recorded:
        for patched in (False, True):
            clock.ms += 3600000  # airtime is not the point here
            gateway.answers = [played(old, patched), silence, silence]
            assert link.exchange(frame.ALERT, _alert(link), True) == 0
    # a type that goes both ways: its own frame, reflected, with the long tag and with the short one
    for tag_bytes in (4, 8):
        link.tag_bytes = tag_bytes
        gateway.hear = bytes
        start = link.payload_start(frame.MODEL)
        link.buffer[start : start + 9] = bytes(9)
        assert link.exchange(frame.MODEL, start + 9, True) == 0
    assert link.rejected > 40
