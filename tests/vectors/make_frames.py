"""Writes frames.json: every type of frame, byte by byte, made without the project's codec.

Headers, nonces and payloads are packed here by hand after docs/reference/frame.md, and the cipher text comes from
`cryptography`'s AESCCM. So the vectors prove the codec, on CPython and on MicroPython, and let another implementation prove
itself. Run it again after a change of the frame format: python tests/vectors/make_frames.py
"""

import json
import struct
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

NODES = (
    {"eui": "02a1b2c3d4e5f607", "node_id": 0x1234, "key_id": 0, "key": "000102030405060708090a0b0c0d0e0f"},
    {"eui": "fe00000000000001", "node_id": 1, "key_id": 1, "key": "ffffffffffffffffffffffffffffffff"},
    {"eui": "2e5b0e9f7c334455", "node_id": 0xFFFF, "key_id": 0, "key": "8e73b0f7da0e6452c810f32b809079e5"},
)
TYPES = {"HELLO": 1, "ALERT": 2, "STATUS": 3, "MODEL": 4, "ACK": 5, "COMMAND": 6, "RESPONSE": 7, "TRACE": 8}
COUNTERS = (0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x12345678, 0xFFFFFFFE, 0xFFFFFFFF)
EVENTS = 13


def alert(event, severity, verdict, policy, mode, score_ratio, age_s, band_a, band_b, sequence):
    """10 bytes."""
    fields = {
        "event": event,
        "severity": severity,
        "verdict": verdict,
        "policy": policy,
        "mode": mode,
        "score_ratio": score_ratio,
        "age_s": age_s,
        "band_a": band_a,
        "band_b": band_b,
        "sequence": sequence,
    }
    first, second = event | severity << 5, verdict | policy << 2 | mode << 4
    return fields, struct.pack("<BBHHBBH", first, second, score_ratio, age_s, band_a, band_b, sequence)


def hello():
    """A node after a watchdog reset, with the model it had."""
    fields = {
        "firmware": 0x00010203,
        "boot_cause": 2,
        "policy": 1,
        "kernels_native": 1,
        "model_restored": 1,
        "reports_fault": 0,
        "heartbeat_s": 900,
        "window_period_s": 60,
        "bands": 64,
        "band_low_dhz": 8,
        "band_high_dhz": 8000,
        "last_sequence": 0xBEEF,
        "threshold_factor": 384,
        "output_power": -4,
    }
    bits = 2 | 1 << 4 | 1 << 6 | 1 << 7
    return fields, struct.pack("<IBBHHBIIHHb", 0x00010203, bits, 0, 900, 60, 64, 8, 8000, 0xBEEF, 384, -4)


def status():
    """A node in alarm, and cold."""
    fields = {
        "state": 3,
        "policy": 0,
        "verdict": 2,
        "mode": 5,
        "change_unconfirmed": 1,
        "kernels_native": 0,
        "reserved": 0,
        "sensor_fault": 0,
        "score_ratio": 0x0123,
        "rms_g": 1234,
        "rms_velocity": 450,
        "learned_rows": 70000,
        "battery_mv": 2987,
        "temperature_c": -40,
        "waiting_events": 3,
        "lost_events": 255,
        "heartbeat_s": 900,
        "window_period_s": 600,
        "uptime_h": 8760,
        "downlink_snr": -128,
    }
    plain = struct.pack(
        "<BBBHHHIHbBBHHHb", 3 | 2 << 6, 5 | 1 << 4, 0, 0x0123, 1234, 450, 70000, 2987, -40, 3, 255, 900, 600, 8760, -128
    )
    return fields, plain


def payloads():
    """(type, fields or None, plain bytes, direction, tag bytes) of every frame."""
    for event in range(EVENTS):
        yield (
            "ALERT",
            *alert(event, event % 3, event % 3, (event + 1) % 3, event, 256 * event, 60 * event, event, 255, event),
            0,
            4,
        )
    yield "ALERT", *alert(3, 2, 2, 0, 15, 0xFFFF, 0xFFFF, 63, 7, 0xFFFF), 0, 4
    yield "ALERT", *alert(3, 2, 2, 0, 0, 0x0180, 0, 12, 255, 0x8000), 0, 8
    yield "HELLO", *hello(), 0, 8
    yield "STATUS", *status(), 0, 4
    yield "STATUS", *status(), 0, 8
    for result in range(5):
        fields = {"command": 1 + result, "command_sequence": 0x0A0B + result, "gateway": 255, "result": result}
        yield "RESPONSE", fields, struct.pack("<BHBB", 1 + result, 0x0A0B + result, 255, result), 0, 8
    for code, key, value in (
        (12, 1, 900),
        (13, 1, 900),
        (13, 5, -4),
    ):  # config_get and config_set, with the value in force
        fields = {"command": code, "command_sequence": 0x0B0A, "gateway": 1, "result": 0, "key": key, "value": value}
        yield "RESPONSE", fields, struct.pack("<BHBBBi", code, 0x0B0A, 1, 0, key, value), 0, 8
    for more in (0, 1):
        yield "ACK", {"more": more, "reserved": 0}, bytes([more]), 1, 8
        yield "ACK", {"more": more, "reserved": 0}, bytes([more]), 255, 8
    new_key = bytes(range(0xA0, 0xB0))
    commands = (
        (1, {}, b""),
        (2, {"policy": 2}, b"\x02"),
        (3, {"window_period_s": 600, "heartbeat_s": 900}, struct.pack("<HH", 600, 900)),
        (4, {"seconds": 30}, b"\x1e"),
        (5, {}, b""),
        (6, {}, b""),
        (7, {}, b""),
        (8, {}, b""),
        (9, {"minutes": 120}, struct.pack("<H", 120)),
        (10, {"factor": 384}, struct.pack("<H", 384)),
        (11, {"trace": 1}, b"\x01"),
        (12, {"key": 1}, b"\x01"),
        (13, {"key": 5, "value": -4}, struct.pack("<Bi", 5, -4)),
        (14, {"slot": 1, "new_key": new_key.hex()}, b"\x01" + new_key),
        (15, {"dbm": -9}, struct.pack("<b", -9)),
        (16, {"model": 0xFEDCBA98, "offset": 4000}, struct.pack("<IH", 0xFEDCBA98, 4000)),
        (17, {"model": 0x01234567, "total": 4980}, struct.pack("<IH", 0x01234567, 4980)),
    )
    for command, given, arguments in commands:
        fields = {"command": command, "command_sequence": 0xFFFF, **given}
        yield "COMMAND", fields, struct.pack("<BH", command, 0xFFFF) + arguments, 7, 8
    # lengths around the cipher's block, and the longest frames that LoRa carries
    for length in (0, 1, 15, 16, 17, 31, 32, 33, 246):
        yield "MODEL", None, bytes((7 * i + length) & 255 for i in range(length)), 0, 4
    for length in (0, 16, 242):
        yield "MODEL", None, bytes((5 * i + length) & 255 for i in range(length)), 3, 8
    for part, count, direction, tag in ((0, 200, 0, 4), (1, 0, 0, 4), (0, 200, 3, 8), (2, 0, 0, 8), (3, 0, 0, 4)):
        fields = {"part": part, "model": 0xFEDCBA98, "offset": 200 * part, "total": 4980}
        head = struct.pack("<BIHH", part, 0xFEDCBA98, 200 * part, 4980)
        yield "MODEL", fields, head + bytes((3 * i + part) & 255 for i in range(count)), direction, tag
    for kind, number, first, total, low, step, count in ((0, 7, 0, 64, -9000, 50, 64), (1, 255, 64, 70, -300, 25, 6)):
        fields = {"trace": kind, "trace_id": number, "first": first, "total": total, "low": low, "step": step}
        head = struct.pack("<BBBBhB", kind, number, first, total, low, step)
        yield "TRACE", fields, head + bytes((11 * i + first) & 255 for i in range(count)), 0, 4 if kind == 0 else 8


def forged(frames):
    """Frames that parse, and that a receiver with the key must not believe: (why, vector, changed bytes, what differs)."""

    def flip(data, at, bits=1):
        return data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :]

    alert, hello, ack, command = (
        next(i for i, v in enumerate(frames) if v["type"] == name) for name in ("ALERT", "HELLO", "ACK", "COMMAND")
    )
    for why, i, change in (
        ("a bit of the text is another one", alert, lambda data: flip(data, 7)),
        ("a bit of the tag is another one", alert, lambda data: flip(data, len(data) - 1, 0x80)),
        ("no longer asks for an acknowledgement", alert, lambda data: flip(data, 0, 0x20)),
        ("a STATUS made an ALERT", alert, lambda data: flip(data, 0, 1)),
        ("another node's id", alert, lambda data: flip(data, 1)),
        ("another counter", alert, lambda data: flip(data, 3)),
        ("a byte is missing", alert, lambda data: data[:-1]),
        ("a byte too many", alert, lambda data: data + bytes(1)),
        ("the upper half of the counter is another one", hello, lambda data: flip(data, 6)),
        ("a bit of a downlink's text", ack, lambda data: flip(data, 5)),
        ("a COMMAND made an ACK", command, lambda data: flip(data, 0, 3)),
        ("a downlink's tag cut to 4 bytes", command, lambda data: data[:-4]),
    ):
        yield why, i, change(bytes.fromhex(frames[i]["frame"])), {}
    yield "a downlink of another gateway", ack, bytes.fromhex(frames[ack]["frame"]), {"direction": 2}
    yield "a downlink sent up", ack, bytes.fromhex(frames[ack]["frame"]), {"direction": 0}
    yield "an answer to another uplink", ack, bytes.fromhex(frames[ack]["frame"]), {"counter": 0x10000}


# counters as they come, and whether each is taken: a window of 64 behind the highest
WINDOWS = (
    ([1, 2, 3, 3, 2, 1, 4], [1, 1, 1, 0, 0, 0, 1]),
    ([100, 37, 36, 37, 99, 99, 164, 101, 100, 163], [1, 1, 0, 0, 1, 0, 1, 1, 0, 1]),
    ([5, 1000, 937, 936, 5, 1001, 937, 938], [1, 1, 1, 0, 0, 1, 0, 1]),
    ([0, 0, 1], [1, 0, 1]),
    ([0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFC0, 0xFFFFFFBF, 0], [1, 1, 0, 1, 0, 0]),
)


def main():
    """Write the file next to this one."""
    frames = []
    for i, (name, fields, plain, direction, tag_bytes) in enumerate(payloads()):
        node = NODES[i % len(NODES)]
        counter = COUNTERS[i % len(COUNTERS)]
        ack_wanted = direction == 0 and i % 2 == 0
        first = 1 << 6 | (0x20 if ack_wanted else 0) | node["key_id"] << 4 | TYPES[name]
        if name == "HELLO":
            header = struct.pack("<BHI", first, node["node_id"], counter)
        else:
            header = struct.pack("<BHH", first, node["node_id"], counter & 0xFFFF)
        nonce = bytes.fromhex(node["eui"]) + struct.pack("<IB", counter, direction)
        sealed = AESCCM(bytes.fromhex(node["key"]), tag_bytes).encrypt(nonce, plain, header)
        frames.append(
            {
                "type": name,
                "kind": TYPES[name],
                "node": i % len(NODES),
                "counter": counter,
                "direction": direction,
                "ack_wanted": ack_wanted,
                "tag_bytes": tag_bytes,
                "fields": fields,
                "plain": plain.hex(),
                "nonce": nonce.hex(),
                "frame": (header + sealed).hex(),
            }
        )
    nodes = []
    for node in NODES:
        encryptor = Cipher(algorithms.AES(bytes.fromhex(node["key"])), modes.ECB()).encryptor()
        nodes.append({**node, "key_check": encryptor.update(bytes(16))[:2].hex()})
    good = bytes.fromhex(frames[0]["frame"])
    refused = [
        {"why": "empty", "reason": "bad_length", "frame": ""},
        {"why": "header without tag", "reason": "bad_length", "frame": good[:8].hex()},
        {"why": "HELLO without room for its tag", "reason": "bad_length", "frame": (b"\x41" + good[1:14]).hex()},
        {"why": "longer than LoRa carries", "reason": "bad_length", "frame": (good + bytes(256 - len(good))).hex()},
        {"why": "version 0", "reason": "bad_version", "frame": (bytes([good[0] & 0x3F]) + good[1:]).hex()},
        {"why": "version 2", "reason": "bad_version", "frame": (bytes([good[0] & 0x3F | 0x80]) + good[1:]).hex()},
        {"why": "type 0", "reason": "bad_version", "frame": (bytes([good[0] & 0xF0]) + good[1:]).hex()},
        {"why": "a downlink's type", "reason": "bad_version", "frame": (bytes([good[0] & 0xF0 | 5]) + good[1:]).hex()},
        {"why": "type 15", "reason": "bad_version", "frame": (bytes([good[0] | 15]) + good[1:]).hex()},
    ]
    # low 16 bits, reference, the 32-bit number that is meant
    extended = [
        [0, 0, 0],
        [5, 3, 5],
        [3, 5, 3],
        [0xFFFF, 0x10000, 0xFFFF],
        [0, 0xFFFF, 0x10000],
        [2, 0x1FFFE, 0x20002],
        [0xFFFE, 0x20002, 0x1FFFE],
        [0x8000, 0, 0x8000],
        [0x8001, 0, 0x8001],
        [0, 0xFFFFFFFF, 0xFFFF0000],
        [0xFFFF, 0xFFFFFFFE, 0xFFFFFFFF],
        [0x1234, 0x5678FFF0, 0x56791234],
    ]
    vectors = {
        "about": "frame version 1; made by make_frames.py",
        "nodes": nodes,
        "frames": frames,
        "refused": refused,
        "extended": extended,
        "forged": [
            {"why": why, "vector": i, "frame": data.hex(), "direction": frames[i]["direction"]} | other
            for why, i, data, other in forged(frames)
        ],
        "windows": [{"counters": counters, "taken": [bool(one) for one in taken]} for counters, taken in WINDOWS],
    }
    Path(__file__).with_name("frames.json").write_text(json.dumps(vectors, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
