"""The frame vectors on CPython with `cryptography`, and what every alert looks like."""

import json
import random
from pathlib import Path

import pytest

from fieldelm import codes, frame, modem_framing, payloads
from fieldelm_gateway.cipher import Ccm, check_value
from fieldelm_gateway.tables import Table

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "frames.json").read_text())


def name(vector):
    return f"{vector['type']}-{len(vector['frame']) // 2}-{vector['counter']:x}"


@pytest.mark.parametrize("v", VECTORS["frames"], ids=name)
def test_sealed_and_opened_as_in_the_vectors(v):
    node = VECTORS["nodes"][v["node"]]
    cipher = Ccm(bytes.fromhex(node["key"]))
    eui, plain = bytes.fromhex(node["eui"]), bytes.fromhex(v["plain"])
    buffer, nonce = bytearray(255), bytearray(13)
    start = frame.header_into(buffer, v["kind"], v["ack_wanted"], node["key_id"], node["node_id"], v["counter"])
    buffer[start : start + len(plain)] = plain
    end = frame.seal_into(buffer, start + len(plain), cipher, nonce, eui, v["counter"], v["direction"], v["tag_bytes"])
    assert buffer[:end].hex() == v["frame"]
    assert nonce.hex() == v["nonce"]

    buffer = bytearray.fromhex(v["frame"])
    header = frame.parse(buffer, v["direction"])
    assert (header.kind, header.node_id, header.key_id) == (v["kind"], node["node_id"], node["key_id"])
    assert header.counter == (v["counter"] if v["type"] == "HELLO" else v["counter"] & 0xFFFF)
    start, end = frame.open_into(buffer, len(buffer), cipher, nonce, eui, v["counter"], v["direction"], v["tag_bytes"])
    assert buffer[start:end].hex() == v["plain"]


def test_the_key_check_value_is_that_of_the_vectors():
    for node in VECTORS["nodes"]:
        assert check_value(bytes.fromhex(node["key"])) == node["key_check"]


@pytest.mark.parametrize("v", VECTORS["refused"], ids=lambda v: v["why"])
def test_refusals_and_their_reasons(v):
    with pytest.raises(frame.FrameError) as caught:
        frame.parse(bytes.fromhex(v["frame"]), frame.UPLINK)
    assert caught.value.reason == v["reason"]
    assert caught.value.reason in codes.DROP_REASONS


def test_sixteen_bits_are_extended_to_the_nearest_number():
    for low, reference, meant in VECTORS["extended"]:
        assert frame.extend(low, reference) == meant


def test_every_alert_is_19_bytes(bench):
    node = bench.node()
    for event in codes.EVENTS:
        for extreme in (0, 0xFFFF):
            data = node.alert(event, score_ratio=extreme, age_s=extreme, band_a=extreme & 255, mode=extreme & 15)
            assert len(data) == 19
            bench.hear(data)
    assert [event["type"] for event in bench.outbox("/event")] == [event for event in codes.EVENTS for _ in (0, 1)]
    assert payloads.size(payloads.ALERT) == 10


def test_every_string_of_an_alert_fits_its_bits():
    widths = {part: bits for name, *_ in payloads.ALERT if isinstance(name, tuple) for part, _, bits in name}
    assert len(codes.EVENTS) <= 1 << widths["event"]
    assert len(codes.SEVERITIES) <= 1 << widths["severity"]
    assert len(codes.VERDICTS) <= 1 << widths["verdict"]
    assert len(codes.POLICIES) <= 1 << widths["policy"]


TABLES = [
    payloads.ALERT,
    payloads.STATUS,
    payloads.HELLO,
    payloads.TRACE,
    payloads.RESPONSE,
    *modem_framing.TABLES.values(),
]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: "-".join(str(name) for name, _ in table)[:40] or "empty")
def test_tables_are_read_and_written_as_a_node_does(table):
    quick, generator = Table(table), random.Random(1)
    assert quick.size == payloads.size(table)
    for _ in range(200):
        data = generator.randbytes(quick.size + 3)
        values = payloads.unpack(table, data, 3)
        assert quick.unpack(data, 3) == values
        if not any(isinstance(name, tuple) for name, _ in table):
            assert quick.pack(values) == data[3:]
    if quick.size:
        with pytest.raises(ValueError, match="too short"):
            quick.unpack(bytes(quick.size - 1))
