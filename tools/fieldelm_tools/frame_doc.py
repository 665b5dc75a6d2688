"""Prints docs/reference/frame.md from the tables that the codec works with: `python -m fieldelm_tools.frame_doc`.

What a field means for people stands here; its name, place, size and unit come from `fieldelm.payloads`.
"""

import ast
import io
import struct
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from fieldelm import codes, frame, modem_framing, payloads
from fieldelm_gateway import verify

Field = tuple[Any, str]
Table = tuple[Field, ...]


def _tables(module: ModuleType, tree: ast.Module) -> Iterator[tuple[ast.Tuple, Table]]:
    # every table of a module: where it is written, and what it is
    for statement in tree.body:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            continue
        value = getattr(module, statement.targets[0].id)
        if isinstance(statement.value, ast.Dict):
            found = list(zip(statement.value.values, value.values(), strict=True))
        else:
            found = [(statement.value, value)]
        for node, table in found:
            if isinstance(node, ast.Tuple) and all(isinstance(row, tuple) and len(row) == 2 for row in table):
                yield node, table


def _comments(module: ModuleType) -> dict[Table, tuple[str, ...]]:
    # the unit of every field: the comment behind it
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}
    return {
        table: tuple(comments.get(row.end_lineno or 0, "") for row in node.elts)
        for node, table in _tables(module, ast.parse(source))
    }


_UNITS = {**_comments(payloads), **_comments(modem_framing)}


def fields(table: Table) -> list[tuple[Any, str, str]]:
    """(name, code, unit) of each field."""
    return [(name, code, unit) for (name, code), unit in zip(table, _UNITS[table], strict=True)]


_INTRODUCTION = """\
# Frames, byte by byte

Version 1 of what goes over the air between node and gateway. All numbers are little-endian. This page is printed by
`python -m fieldelm_tools.frame_doc` from the tables that node and gateway use (`device/fieldelm/payloads.py`);
`tests/vectors/frames.json` has every type as bytes, for other implementations to prove themselves.
"""

_HEADER = """\
## Header, cipher text, tag

{drawing}

| offset | bytes | field |
| --- | --- | --- |
| 0 | 1 | bits 7..6 version (1), bit 5 acknowledgement wanted, bit 4 key id, bits 3..0 type |
| 1 | 2 | node id |
| 3 | 2 | frame counter, its low 16 bits; in a HELLO 4 bytes: all 32 bits |
| 5 (HELLO: 7) | n | payload, encrypted with AES-128-CCM |
| | 4 or 8 | tag of CCM |

Everything before the cipher text is authenticated with it. The nonce is 13 bytes:

{nonce}

Direction 0 is an uplink: it carries a counter that its node has never used with this key. A downlink answers one uplink: it
carries that uplink's counter, and as direction the number (1 to 255) of the gateway that sends it. A gateway never makes two
different downlinks for one uplink; a repeat is the same bytes.

| type | number | direction | tag | whole frame |
| --- | --- | --- | --- | --- |
{types}

The short tag is 8 bytes as well where the node is configured so (`tag_bytes`). Under a tag of 4 bytes no payload shorter
than {least} bytes is opened (shorter ones are filled up with zeros): the shorter a frame, the more guesses at its tag the
channel carries.

A receiver checks, in this order: length and version, whether it knows the node, the tag, the counter (a window of 64; a
number that was used is a replay), the payload. The reason why a frame is dropped is one of
{drops}.
"""

_TYPES = {
    "HELLO": (frame.HELLO, payloads.HELLO, "up", "after every start, and when no gateway has answered for a day"),
    "ALERT": (frame.ALERT, payloads.ALERT, "up", "an event"),
    "STATUS": (frame.STATUS, payloads.STATUS, "up", "the heartbeat"),
    "MODEL": (frame.MODEL, payloads.MODEL, "up, down", "a fragment of a learner"),
    "ACK": (frame.ACK, payloads.ACK, "down", "a gateway has committed the frame"),
    "COMMAND": (frame.COMMAND, payloads.COMMAND, "down", "acknowledges, and asks for something"),
    "RESPONSE": (frame.RESPONSE, payloads.RESPONSE, "up", "what became of a command"),
    "TRACE": (frame.TRACE, payloads.TRACE, "up", "what a node sees, on request"),
}

_WITH_MORE = ("COMMAND", "RESPONSE", "MODEL", "TRACE")

MEANING = {
    "firmware": "version of the firmware",
    "boot_cause": "why it started: {BOOT_CAUSES}",
    "policy": "what it does when its environment changes: {POLICIES}",
    "kernels_native": "1: compiled kernels, 0: Python's",
    "model_restored": "1: it goes on with the model it had before",
    "reports_fault": "sensor fault that the self-test found, 0: none; numbers as in STATUS",
    "heartbeat_s": "time from STATUS to STATUS",
    "window_period_s": "time from window to window, 0: less than a second",
    "bands": "bands, all equally wide; with the two limits they give each band its frequencies",
    "band_low_dhz": "lower limit of the first band",
    "band_high_dhz": "upper limit of the last band; 0 for plain sensor values",
    "last_sequence": "low 16 bits of the event sequence",
    "event": "{EVENTS}",
    "severity": "{SEVERITIES}",
    "verdict": "{VERDICTS}",
    "mode": "which of the learned modes",
    "score_ratio": "score ÷ threshold; 1.0 is 256",
    "age_s": "time since the event, when the frame was sent",
    "band_a": "the band that deviates most",
    "band_b": "the band that deviates second most",
    "sequence": "number of the event; the gateway extends it to 32 bits",
    "state": "{STATES}",
    "change_unconfirmed": "1: something changed, and a person should say whether that is right",
    "reserved": "0",
    "sensor_fault": "{SENSOR_FAULTS}",
    "rms_g": "RMS acceleration of the last window",
    "rms_velocity": "RMS velocity, 10 to 1,000 Hz (ISO 20816)",
    "learned_rows": "rows that the model has learned",
    "battery_mv": "battery",
    "temperature_c": "temperature of the chip",
    "waiting_events": "events that no gateway has acknowledged",
    "lost_events": "events that were given up",
    "uptime_h": "time since the start",
    "downlink_snr": "how well the node hears the gateway",
    "more": "1: a command waits, but could not be sent now",
    "command": "{COMMANDS}",
    "command_sequence": "names one command of one gateway to one node; the same number again is the same command again",
    "gateway": "number of the gateway that asked",
    "result": "{RESULTS}",
    "threshold_factor": "factor of the learned threshold's margin, set by a person; 1.0 is 256",
    "output_power": "how strongly it transmits",
    "seconds": "how long",
    "factor": "factor of the learned threshold's margin; 1.0 is 256",
    "trace": "{TRACES}",
    "trace_id": "tells the frames of one trace from those of another",
    "first": "the parts of a trace follow each other",
    "total": "so many it is in all",
    "low": "value of a byte 0",
    "step": "value of one more",
    "key": "number of a key of the configuration, below",
    "value": "its value",
    "slot": "where the new key goes: not the slot in use",
    "new_key": "from the answer to this command on the node uses it",
    "part": "{MODEL_PARTS}",
    "model": "names a copy of a learner",
    "offset": "where this fragment belongs",
    "dbm": "transmit power until the next start, or until nothing is heard",
    "minutes": "how long somebody works on the machine: nothing is sensed",
}


def _numbered(names: Iterable[str | None]) -> str:
    return ", ".join(f"{number} `{name}`" if name else f"{number} none" for number, name in enumerate(names))


def meaning(name: str) -> str:
    """What a field means, with the numbers of its strings."""
    strings = {key: _numbered(value) for key, value in vars(codes).items() if isinstance(value, tuple)}
    return MEANING[name].format_map(strings)


def cell(text: str) -> str:
    """Text inside a Markdown table."""
    return text.replace("|", "\\|")


def drawing(boxes: Iterable[tuple[int | str, int, str]]) -> str:
    """Boxes with the offset of their first byte above them: (offset, bytes, text)."""
    above, line = "", "+"
    middle = "|"
    for offset, size, text in boxes:
        width = max(len(text) + 2, 5 * min(size, 4) - 1, len(str(offset)) + 1)
        above += " " + str(offset).ljust(width)
        line += "-" * width + "+"
        middle += text.center(width) + "|"
    return f"```text\n{above.rstrip()}\n{line}\n{middle}\n{line}\n```"


def table_drawing(table: Table, start: int = 0) -> str:
    """The bytes of a payload, four fields a row."""
    boxes: list[tuple[int | str, int, str]] = []
    offset = start
    for name, code in table:
        size = struct.calcsize("<" + code)
        text = name if isinstance(name, str) else " ".join(part for part, _, _ in reversed(name))
        boxes.append((offset, size, text))
        offset += size
    rows = [drawing(boxes[i : i + 4]) for i in range(0, len(boxes), 4)]
    return "\n".join(rows).replace("```\n```text\n", "")


def table_rows(table: Table) -> list[str]:
    """Markdown rows of a payload's fields."""
    rows = ["| offset | bytes | field | unit | meaning |", "| --- | --- | --- | --- | --- |"]
    offset = 0
    for name, code, unit in fields(table):
        size = struct.calcsize("<" + code)
        signed = ", signed" if code in "bhi" else ""
        if isinstance(name, str):
            rows.append(f"| {offset} | {size} | `{name}` | {cell(unit)}{signed} | {meaning(name)} |")
        else:
            for part, shift, bits in name:
                place = f"bit {shift}" if bits == 1 else f"bits {shift + bits - 1}..{shift}"
                rows.append(f"| {offset} | {place} | `{part}` | | {meaning(part)} |")
        offset += size
    return rows


def _type_row(name: str) -> str:
    kind, table, way, what = _TYPES[name]
    up, down = "up" in way, "down" in way
    tags = sorted(
        {*([frame.tag_bytes(kind, frame.UPLINK)] if up else []), *([frame.tag_bytes(kind, 1)] if down else [])}
    )
    size = frame.header_bytes(kind) + payloads.size(table) + tags[0]
    whole = f"{size} bytes" + (" and more" if name in _WITH_MORE else "")
    return f"| {name}: {what} | {kind} | {way} | {' or '.join(map(str, tags))} | {whole} |"


def document() -> str:
    """The whole page."""
    parts = [
        _INTRODUCTION,
        _HEADER.format(
            drawing=drawing(
                [
                    (0, 1, "ver ack key type"),
                    (1, 2, "node id"),
                    (3, 2, "counter"),
                    (5, 4, "cipher text"),
                    ("5+n", 4, "tag"),
                ]
            ),
            nonce=drawing([(0, 8, "EUI"), (8, 4, "frame counter, all 32 bits"), (12, 1, "direction")]),
            types="\n".join(map(_type_row, _TYPES)),
            least=verify.LEAST_PAYLOAD,
            drops=", ".join(f"`{reason}`" for reason in codes.DROP_REASONS),
        ),
    ]
    for name, (_, table, _, what) in _TYPES.items():
        size = payloads.size(table)
        parts.append(
            f"## {name}: {what}\n\nPayload of {size} byte{'' if size == 1 else 's'}, before it is encrypted.\n"
        )
        parts.append(table_drawing(table) + "\n")
        parts.append("\n".join(table_rows(table)) + "\n")
        if name == "COMMAND":
            parts.append(_arguments())
        elif name == "RESPONSE":
            parts.append(_answers())
        elif name == "MODEL":
            parts.append("The bytes of the fragment follow, where it is one.\n")
        elif name == "TRACE":
            parts.append(_TRACE)
    parts.append(_modem())
    return "\n".join(parts)


_TRACE = """\
One byte a band follows, up to 64 of them; band `first` + i has the value (`low` + `step` × byte) ÷ 100. `bands`: the mean
amplitude of a bin in dB, of a waveform with 0 dB at 1 g; of plain sensor values their distance from the mean in standard
deviations. `residuals`: what the model did not expect, in standard deviations of the rows that were held back.
"""


def _arguments() -> str:
    lines = ["Arguments follow:", "", "| number | command | bytes | arguments |", "| --- | --- | --- | --- |"]
    for name, table in payloads.ARGUMENTS.items():
        arguments = (
            "; ".join(f"`{field}` {_bytes(code)}, {cell(unit)}" for field, code, unit in fields(table)) or "none"
        )
        lines.append(f"| {codes.COMMANDS.index(name)} | `{name}` | {payloads.size(table)} | {arguments} |")
    lines += ["", "What a field means:", "", "| field | meaning |", "| --- | --- |"]
    meant = {str(field): None for table in payloads.ARGUMENTS.values() for field, _ in table}
    lines += [f"| `{field}` | {meaning(field)} |" for field in meant]
    lines += ["", "Keys of the configuration ([node](node.md)):", ""]
    lines += ["| number | key | units of the air in one | unit | strings |", "| --- | --- | --- | --- | --- |"]
    keys: tuple[Any, ...] = payloads.CONFIG_KEYS
    for number in range(1, len(keys)):
        _, _, scale, unit, strings = keys[number]
        lines.append(
            f"| {number} | `{payloads.config_key(number)}` | {scale} | {unit} | {_numbered(strings) if strings else ''} |"
        )
    return "\n".join(lines) + "\n"


def _answers() -> str:
    lines = ["Where the result is `ok`, these commands' answers go on:", "", "| command | bytes | fields |"]
    lines.append("| --- | --- | --- |")
    for name, table in payloads.ANSWERS.items():
        answers = "; ".join(f"`{field}` {_bytes(code)}, {unit}" for field, code, unit in fields(table))
        lines.append(f"| `{name}` | {payloads.size(table)} | {answers} |")
    return "\n".join(lines) + "\n"


def _bytes(code: str) -> str:
    size = struct.calcsize("<" + code)
    return f"{size} byte{'' if size == 1 else 's'}" + (", signed" if code in "bhi" else "")


def whole_frames() -> str:
    """Every type from its first byte to its last, for docs/explanation/security.md."""
    parts = []
    for name, (kind, table, way, _) in _TYPES.items():
        head = [(0, 1, "ver ack key type"), (1, 2, "node id")]
        size = frame.header_bytes(kind)
        head.append((3, size - 3, "counter" if size == 5 else "counter, 32 bits"))
        length = payloads.size(table)
        more = name in _WITH_MORE
        text = f"{length} byte{'' if length == 1 else 's'}{' and more' if more else ''}, encrypted"
        tag = "tag, 4 or 8" if kind in frame.SHORT_TAG else "tag, 8"
        boxes = [*head, (size, 4, text), (f"{size}+n" if more else size + length, 4, tag)]
        direction = "direction 0" if way == "up" else "direction = gateway" if way == "down" else "either direction"
        parts.append(f"{name}, type {kind}, {direction}\n\n{drawing(boxes)}\n")
    return "\n".join(parts)


def _modem() -> str:
    names = {value: name for name, value in vars(modem_framing).items() if name[0].isupper() and isinstance(value, int)}
    lines = [
        "## The serial line between modem and gateway",
        "",
        "    0x00 | COBS(type | fields | frame | CRC-32) | 0x00",
        "",
        "`device/fieldelm/modem_framing.py` says how it works.",
        "",
        "| type | message | fields: bytes, unit |",
        "| --- | --- | --- |",
    ]
    for kind, table in modem_framing.TABLES.items():
        parts = [f"`{name}` {struct.calcsize('<' + code)}, {cell(unit)}" for name, code, unit in fields(table)]
        if kind in {modem_framing.UPLINK, modem_framing.TRANSMIT}:
            parts.append("then the frame")
        lines.append(f"| 0x{kind:02x} | {names[kind]} | {'; '.join(parts) or 'none'} |")
    results = {"SENT": modem_framing.SENT_RESULTS, "CONFIGURED": modem_framing.CONFIGURED_RESULTS}
    lines += ["", " ".join(f"`{name}` results: {_numbered(values)}." for name, values in results.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(document(), end="")
