"""The frame vectors on MicroPython, with the node's own cipher."""

import json
from binascii import hexlify, unhexlify

from fieldelm import codes, frame, payloads
from fieldelm.ccm import Ccm

_FILE = __file__.rsplit("/", 2)[0] + "/vectors/frames.json"


def _vectors():
    with open(_FILE) as file:
        return json.load(file)


def _hex(data):
    return str(hexlify(data), "ascii")


def test_every_frame_is_sealed_as_in_the_vectors():
    vectors = _vectors()
    nonce = bytearray(13)
    buffer = bytearray(255)
    for v in vectors["frames"]:
        node = vectors["nodes"][v["node"]]
        cipher = Ccm(unhexlify(node["key"]))
        start = frame.header_into(buffer, v["kind"], v["ack_wanted"], node["key_id"], node["node_id"], v["counter"])
        plain = unhexlify(v["plain"])
        buffer[start : start + len(plain)] = plain
        eui = unhexlify(node["eui"])
        end = frame.seal_into(
            buffer, start + len(plain), cipher, nonce, eui, v["counter"], v["direction"], v["tag_bytes"]
        )
        assert _hex(buffer[:end]) == v["frame"], v
        assert _hex(nonce) == v["nonce"], v


def test_every_frame_is_opened_as_in_the_vectors():
    vectors = _vectors()
    nonce = bytearray(13)
    for v in vectors["frames"]:
        node = vectors["nodes"][v["node"]]
        cipher = Ccm(unhexlify(node["key"]))
        buffer = bytearray(unhexlify(v["frame"]))
        header = frame.parse(buffer, v["direction"])
        assert (header.kind, header.node_id, header.key_id) == (v["kind"], node["node_id"], node["key_id"]), v
        assert header.ack_wanted == v["ack_wanted"], v
        eui = unhexlify(node["eui"])
        start, end = frame.open_into(
            buffer, len(buffer), cipher, nonce, eui, v["counter"], v["direction"], v["tag_bytes"]
        )
        assert _hex(buffer[start:end]) == v["plain"], v


def test_a_flipped_bit_anywhere_is_noticed_and_leaves_no_plain_text():
    vectors = _vectors()
    v = vectors["frames"][3]
    node = vectors["nodes"][v["node"]]
    cipher = Ccm(unhexlify(node["key"]))
    nonce = bytearray(13)
    good = unhexlify(v["frame"])
    for bit in range(8 * len(good)):
        buffer = bytearray(good)
        buffer[bit // 8] ^= 1 << (bit % 8)
        if buffer[0] & 15 != v["kind"]:
            continue  # another type has another header
        try:
            frame.open_into(buffer, len(buffer), cipher, nonce, unhexlify(node["eui"]), v["counter"], 0, v["tag_bytes"])
        except frame.TagError:
            assert buffer[5 : len(good) - 4] == bytes(len(good) - 9)
        else:
            raise AssertionError("bit %d" % bit)


def test_refusals_and_their_reasons():
    for v in _vectors()["refused"]:
        try:
            frame.parse(unhexlify(v["frame"]), frame.UPLINK)
        except frame.FrameError as error:
            assert error.reason == v["reason"], v
        else:
            raise AssertionError(v["why"])


def test_forged_frames_are_not_believed():
    vectors = _vectors()
    nonce = bytearray(13)
    for v in vectors["forged"]:
        good = vectors["frames"][v["vector"]]
        node = vectors["nodes"][good["node"]]
        counter = v.get("counter", good["counter"])
        buffer = bytearray(unhexlify(v["frame"]))
        try:
            header = frame.parse(buffer, v["direction"])
            if header.node_id != node["node_id"] or (v["direction"] and header.counter != counter & 0xFFFF):
                continue
            if not v["direction"]:
                counter = header.counter if header.kind == frame.HELLO else frame.extend(header.counter, counter)
            cipher = Ccm(unhexlify(node["key"]))
            eui = unhexlify(node["eui"])
            frame.open_into(buffer, len(buffer), cipher, nonce, eui, counter, v["direction"], good["tag_bytes"])
        except frame.FrameError:
            continue
        raise AssertionError(v["why"])


def test_sixteen_bits_are_extended_to_the_nearest_number():
    for low, reference, meant in _vectors()["extended"]:
        assert frame.extend(low, reference) == meant, (low, reference)


def test_payloads_are_packed_as_in_the_vectors():
    tables = {
        "HELLO": payloads.HELLO,
        "ALERT": payloads.ALERT,
        "STATUS": payloads.STATUS,
        "ACK": payloads.ACK,
        "RESPONSE": payloads.RESPONSE,
        "COMMAND": payloads.COMMAND,
        "TRACE": payloads.TRACE,
        "MODEL": payloads.MODEL,
    }
    commands = set()
    buffer = bytearray(64)
    for v in _vectors()["frames"]:
        fields = v["fields"]
        if fields is None:
            continue
        table = tables[v["type"]]
        if "command" in fields:
            name = codes.COMMANDS[fields["command"]]
            if v["type"] == "COMMAND":
                commands.add(name)
                table += payloads.ARGUMENTS[name]
            elif len(v["plain"]) > 2 * payloads.size(table):
                table += payloads.ANSWERS[name]
        if "new_key" in fields:
            fields["new_key"] = unhexlify(fields["new_key"])
        end = payloads.pack_into(table, buffer, 0, fields)
        plain = v["plain"][: 2 * end] if v["type"] in ("TRACE", "MODEL") else v["plain"]  # bands or bytes follow
        assert _hex(buffer[:end]) == plain, v
        assert payloads.unpack(table, buffer) == fields, v
    assert commands == set(codes.COMMANDS) - {None}
