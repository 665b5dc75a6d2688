"""Another implementation: it knows the pages and `cryptography`, nothing of this project's code, and agrees with the vectors."""

import json
import re
import struct
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from fieldelm import frame
from fieldelm_gateway import verify
from fieldelm_gateway.cipher import Ccm

ROOT = Path(__file__).parents[2]
VECTORS = json.loads((ROOT / "tests" / "vectors" / "frames.json").read_text())
PAGE = re.sub(r"```text.*?```", "", (ROOT / "docs" / "reference" / "frame.md").read_text(), flags=re.DOTALL)
LETTERS = {1: "Bb", 2: "Hh", 4: "Ii"}


# the page, read by a program


def section(title):
    return re.search(rf"^## {re.escape(title)}\b.*?\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)[1]


def rows(text, columns):
    """Rows of the tables with so many columns, without their heads."""
    found = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in text.splitlines() if "|" in line]
    return [row for row in found if len(row) == columns and not set(row[0]) <= {"-", " "}]


TYPES = {
    row[0].split(":")[0]: {"number": int(row[1]), "up": "up" in row[2], "down": "down" in row[2], "tag": row[3]}
    for row in rows(section("Header, cipher text, tag"), 5)
    if row[0] != "type"
}
HEAD = {name: 7 if name == "HELLO" else 5 for name in TYPES}


def table(title):
    """(offset, shift, bits or bytes, name, signed) of a payload."""
    for offset, size, name, unit, _ in rows(section(title), 5):
        if not name.startswith("`"):
            continue
        bits = re.match(r"bits? (\d+)(?:\.\.(\d+))?", size)
        if bits:
            high, low = int(bits[1]), int(bits[2] or bits[1])
            yield int(offset), low, high - low + 1, name.strip("`"), False
        else:
            yield int(offset), None, int(size), name.strip("`"), "signed" in unit


def phrases(text):
    """`name` N bytes[, signed] of the lists of arguments."""
    return [
        (name, int(size), "signed" in rest) for name, size, rest in re.findall(r"`(\w+)` (\d+) bytes?([^;]*)", text)
    ]


COMMANDS = {int(row[0]): phrases(row[3]) for row in rows(section("COMMAND"), 4) if row[0].isdigit()}
ANSWERS = {row[0].strip("`"): phrases(row[2]) for row in rows(section("RESPONSE"), 3) if row[0].startswith("`")}
NAMES = {int(row[0]): row[1].strip("`") for row in rows(section("COMMAND"), 4) if row[0].isdigit()}


def packed(kind, fields):
    """A payload after the page."""
    payload = bytearray()
    given = dict(fields)
    for offset, shift, size, name, signed in table(kind):
        value = given.pop(name)
        if shift is None:
            payload += struct.pack("<" + LETTERS[size][signed], value)
        else:
            payload += bytes(offset + 1 - len(payload))
            assert value < 1 << size
            payload[offset] |= value << shift
    more = COMMANDS[fields["command"]] if kind == "COMMAND" else ()
    if kind == "RESPONSE" and given:
        more = ANSWERS[NAMES[fields["command"]]]
    for name, size, signed in more:
        value = given.pop(name)
        payload += bytes.fromhex(value) if size == 16 else struct.pack("<" + LETTERS[size][signed], value)
    assert not given, f"the page does not know {given}"
    return bytes(payload)


def nonce(eui, counter, direction):
    return bytes.fromhex(eui) + counter.to_bytes(4, "little") + bytes([direction])


def opened(data, node, counter, direction, tag_bytes):
    """The plain payload of a frame; None if it is not to be believed."""
    kind = next((name for name, card in TYPES.items() if card["number"] == data[0] & 15), None)
    if data[0] >> 6 != 1 or kind is None or not TYPES[kind]["down" if direction else "up"]:
        return None
    if int.from_bytes(data[1:3], "little") != node["node_id"] or data[0] >> 4 & 1 != node["key_id"]:
        return None
    head = HEAD[kind]
    low = int.from_bytes(data[3:head], "little")
    if direction:
        if low != counter & 0xFFFF:
            return None
    else:
        counter = low if kind == "HELLO" else counter & 0xFFFF0000 | low
    if direction or TYPES[kind]["tag"] == "8":
        tag_bytes = 8
    try:
        return AESCCM(bytes.fromhex(node["key"]), tag_bytes).decrypt(
            nonce(node["eui"], counter, direction), data[head:], data[:head]
        )
    except (InvalidTag, ValueError):
        return None


# what it makes of the vectors


def test_the_page_has_every_type_command_and_field():
    assert set(TYPES) == {v["type"] for v in VECTORS["frames"]}
    assert sorted(COMMANDS) == sorted({v["fields"]["command"] for v in VECTORS["frames"] if v["type"] == "COMMAND"})


@pytest.mark.parametrize("number", range(len(VECTORS["frames"])))
def test_frames_are_made_and_read_after_the_page_alone(number):
    v = VECTORS["frames"][number]
    node = VECTORS["nodes"][v["node"]]
    plain = bytes.fromhex(v["plain"])
    if v["fields"]:
        made = packed(v["type"], v["fields"])
        assert made == (plain[: len(made)] if v["type"] in ("TRACE", "MODEL") else plain)
    first = 1 << 6 | v["ack_wanted"] << 5 | node["key_id"] << 4 | TYPES[v["type"]]["number"]
    size = 4 if v["type"] == "HELLO" else 2
    head = bytes([first]) + struct.pack("<HI", node["node_id"], v["counter"])[: 2 + size]
    assert TYPES[v["type"]]["down" if v["direction"] else "up"]
    sealed = AESCCM(bytes.fromhex(node["key"]), v["tag_bytes"]).encrypt(
        nonce(node["eui"], v["counter"], v["direction"]), plain, head
    )
    assert (head + sealed).hex() == v["frame"]
    assert opened(bytes.fromhex(v["frame"]), node, v["counter"], v["direction"], v["tag_bytes"]) == plain


@pytest.mark.parametrize("v", VECTORS["forged"], ids=lambda v: v["why"])
def test_forged_frames_are_believed_by_neither(v):
    good = VECTORS["frames"][v["vector"]]
    node = VECTORS["nodes"][good["node"]]
    counter = v.get("counter", good["counter"])
    data = bytes.fromhex(v["frame"])
    assert opened(data, node, counter, v["direction"], good["tag_bytes"]) is None
    try:
        header = frame.parse(data, v["direction"])
        if not v["direction"]:
            counter = header.counter if header.kind == frame.HELLO else frame.extend(header.counter, counter)
        assert (header.node_id, header.key_id) == (node["node_id"], node["key_id"])
        assert v["direction"] == 0 or header.counter == counter & 0xFFFF
        frame.open_into(
            bytearray(data),
            len(data),
            Ccm(bytes.fromhex(node["key"])),
            bytearray(13),
            bytes.fromhex(node["eui"]),
            counter,
            v["direction"],
            good["tag_bytes"],
        )
    except (frame.FrameError, AssertionError):
        return
    pytest.fail("believed")


@pytest.mark.parametrize("v", VECTORS["windows"], ids=lambda v: str(v["counters"][0]))
def test_counters_are_taken_once_within_a_window_of_64(v):
    highest, heard, theirs = None, set(), []
    for counter in v["counters"]:
        fresh = counter not in heard and (highest is None or counter > highest - 64)
        theirs.append(fresh)
        if fresh:
            heard.add(counter)
            highest = max(counter, highest or 0)
    assert theirs == v["taken"]
    state, ours = (None, 0), []
    for counter in v["counters"]:
        try:
            state = verify.accept(*state, counter)
            ours.append(True)
        except frame.FrameError as error:
            assert error.reason == "replayed"
            ours.append(False)
    assert ours == v["taken"]
