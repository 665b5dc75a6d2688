"""Every parser of the host, as a function of one hostile input: it takes it, or refuses it in its own words.

A parser is `make(folder) -> (draw, take)`: `draw(random)` makes an input, `take(input)` raises whatever must not happen.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from gateway_bench import Bench
from mutate import Random, changed, mutated, random_bytes

from fieldelm import config as node_config, frame, modem_framing as modem, payloads
from fieldelm_gateway import commands, config as gateway_config, documents, errors, maintenance, models, requests
from fieldelm_gateway.clock import AirClock, HostClock
from fieldelm_gateway.ingress_air import AirRadio
from fieldelm_gateway.ingress_serial import SerialRadio
from fieldelm_gateway.nodes import Node
from fieldelm_gateway.requests import Request
from fieldelm_gateway.store import Store
from fieldelm_gateway.verify import verify
from fieldelm_tools import errors as tool_errors, recordings, rowfile
from fieldelm_tools.air import messages
from fieldelm_tools.provision import provision

Draw = Callable[[Random], Any]
Take = Callable[[Any], None]

_NODE = {
    "schema": 1, "role": "node", "board": "sim", "name": "fan", "eui": "0123456789abcdef", "node_id": 7,
    "keys": {"0": "00112233445566778899aabbccddeeff"}, "key_id": 0, "console": "events",
    "radio": {"freq_khz": 868100, "sf": 9, "bw": "125", "coding_rate": 5, "preamble_len": 8, "output_power": 14},
    "sense": {"kind": "waveform", "rate_hz": 1600, "samples": 1024, "axis": "sum", "period_s": 60, "bands": 64},
    "learn": {"hidden": 22, "seed": 1, "policy": "auto", "train_rows": 64, "calibration_rows": 32},
    "link": {"heartbeat_s": 900, "tag_bytes": 4, "gateways": [1], "battery_low_mv": 2400},
    "options": {"air": "127.0.0.1:7500"},
}  # fmt: skip


def _plant(folder: Path, count: int = 2) -> list[Node]:
    database = folder / "gateway.db"
    for i in range(count):
        provision(database, folder / "nodes", f"fan-{i}", sections={"link": {"tag_bytes": 4 if i == 0 else 8}})
    store = Store(database)
    nodes = list(store.nodes())
    store.close()
    return nodes


def _sealed(node: Node, kind: int, counter: int, plain: bytes, direction: int = frame.UPLINK) -> bytes:
    slot = node.keys[0]
    buffer = bytearray(300)
    start = frame.header_into(buffer, kind, kind != frame.STATUS, slot.key_id, node.node_id, counter)
    buffer[start : start + len(plain)] = plain
    end = start + len(plain)
    eui = bytes.fromhex(node.eui)
    return bytes(
        buffer[: frame.seal_into(buffer, end, slot.cipher, bytearray(13), eui, counter, direction, node.tag_bytes)]
    )


_UPLINKS = {
    frame.HELLO: payloads.HELLO, frame.ALERT: payloads.ALERT, frame.STATUS: payloads.STATUS,
    frame.RESPONSE: payloads.RESPONSE,
}  # fmt: skip


def uplink_frames(folder: Path) -> tuple[Draw, Take]:
    """A frame is dropped with its reason, and one that was changed in any bit is never believed."""
    nodes = _plant(folder)
    by_id = {node.node_id: node for node in nodes}
    good = [
        _sealed(node, kind, 1 + i, bytes(payloads.size(table)))
        for i, node in enumerate(nodes)
        for kind, table in _UPLINKS.items()
    ]
    genuine = set(good)

    def take(data: bytes) -> None:
        try:
            verify(data, by_id.get)
        except frame.FrameError as error:
            assert error.reason in ("bad_length", "bad_version", "unknown_node", "bad_tag", "replayed")
        else:
            assert data in genuine, "believed a forgery"

    return lambda random: mutated(random, good), take


def uplink_payloads(folder: Path) -> tuple[Draw, Take]:
    """What an authentic node of another firmware says is understood or dropped as bad_payload."""
    node = _plant(folder, 1)[0]
    good = [bytes(payloads.size(table)) for table in _UPLINKS.values()]

    def take(plain: bytes) -> None:
        for read in (
            documents.read_alert,
            lambda data: documents.read_hello(node, data),
            documents.read_response,
            documents.read_trace,
            models.read,
        ):
            try:
                json.dumps(read(plain), default=str)  # type: ignore[operator]
            except documents.PayloadError:
                pass

    return lambda random: mutated(random, good, 40), take


def gateway_rounds(folder: Path) -> tuple[Draw, Take]:
    """Whatever an authentic node says, the gateway's round ends, and the next frame is heard as ever."""
    bench = Bench(folder)
    node = bench.node()
    kinds = (*_UPLINKS, frame.TRACE, frame.MODEL)
    good = [bytes(payloads.size(table)) for table in (*_UPLINKS.values(), payloads.TRACE, payloads.MODEL)]

    def take(given: tuple[int, bytes, bool]) -> None:
        kind, plain, ack = given
        bench.clock.ms += 60_000  # so that there is airtime for every answer
        bench.hear(node.seal(kind, plain, ack=ack))
        assert node.open(bench.hear(node.alert()))[0] in (frame.ACK, frame.COMMAND)

    def draw(random: Random) -> tuple[int, bytes, bool]:
        return random.choice(kinds), mutated(random, good, 230)[:230], bool(random.randrange(2))

    return draw, take


def payload_tables(folder: Path) -> tuple[Draw, Take]:
    """What a table reads it writes back, byte for byte; too few bytes are said."""
    tables = [payloads.HELLO, payloads.ALERT, payloads.STATUS, payloads.ACK, payloads.COMMAND, payloads.RESPONSE]
    tables += [*payloads.ARGUMENTS.values(), *modem.TABLES.values()]

    def take(data: bytes) -> None:
        for table in tables:
            size = payloads.size(table)
            try:
                values = payloads.unpack(table, data)
            except ValueError:
                assert len(data) < size
                continue
            out = bytearray(size)
            assert payloads.pack_into(table, out, 0, values) == size
            assert bytes(out) == data[:size]

    return lambda random: random_bytes(random, 40), take


def _message(kind: int, fields: dict[str, int], data: bytes) -> bytes:
    message = bytearray(modem.MAX_MESSAGE)
    message[0] = kind
    end = payloads.pack_into(modem.TABLES[kind], message, 1, fields)
    message[end : end + len(data)] = data
    out = bytearray(modem.MAX_ENCODED)
    return bytes(out[: modem.encode_into(out, message, end + len(data))])


def _zeros(table: Any) -> dict[str, int]:
    return {field[0]: 0 for field in table}


def serial_line(folder: Path) -> tuple[Draw, Take]:
    """Whatever comes from a modem's port, the gateway reads on: the next good message is understood."""
    good = [_message(kind, _zeros(table), b"x" * 19) for kind, table in modem.TABLES.items() if kind < 0x80]
    last = _message(modem.UPLINK, _zeros(modem.TABLES[modem.UPLINK]), b"the last one")
    heard: list[Any] = []
    radio = SerialRadio(gateway_config.Radio(), HostClock())
    radio._deliver = heard.append

    def take(line: bytes) -> None:
        decoder = modem.Decoder()
        heard.clear()
        for byte in line + last:
            length = decoder.push(byte)
            if length:
                try:
                    radio._take(memoryview(decoder.message)[:length])
                except (errors.RadioLostError, OSError):
                    pass  # a modem of another protocol; the port is not open here
        assert heard and heard[-1].data == b"the last one"

    def draw(random: Random) -> bytes:
        if random.randrange(3):
            return mutated(random, good, 64)
        # a message that is whole, of a modem that is not sound
        message = bytearray(modem.MAX_MESSAGE)
        message[:] = random.getrandbits(8 * len(message)).to_bytes(len(message), "little")
        if random.randrange(2):
            message[0] = random.choice(tuple(modem.TABLES))
        out = bytearray(modem.MAX_ENCODED)
        return bytes(out[: modem.encode_into(out, message, 1 + random.randrange(modem.MAX_MESSAGE - 4))])

    return draw, take


_AIR = (
    {"op": "join", "role": "node", "name": "n", "x": 0, "y": 0, "gain_db": 0},
    {"op": "wait", "until_us": 1},
    {"op": "send", "freq_khz": 868100, "sf": 9, "bw_khz": "125", "output_power": 14, "data": "00"},
    {"op": "listen", "freq_khz": 868100, "sf": 9, "bw_khz": "125", "until_us": 5},
    {"op": "reply", "id": 1, "delay_us": 1000000, "output_power": 14, "invert_iq": True, "data": "00"},
    {"op": "decline", "id": 1},
)


def _line(random: Random, good: tuple[dict[str, Any], ...]) -> bytes:
    if random.randrange(4) == 0:
        return mutated(random, [json.dumps(one).encode() for one in good])
    return json.dumps(changed(random, random.choice(good))).encode()


def air_lines(folder: Path) -> tuple[Draw, Take]:
    """The air server refuses a client's nonsense in one line."""

    def take(line: bytes) -> None:
        try:
            messages.parse(line)
        except messages.MessageError as error:
            assert "\n" not in str(error)

    return lambda random: _line(random, _AIR), take


_TOLD = (
    {"op": "joined", "now_us": 0, "epoch": "2026-01-01T00:00:00.000Z"},
    {"op": "uplink", "id": 1, "data": "00", "rssi": -90, "snr_db": 5.0, "crc_ok": True, "end_us": 5, "airtime_us": 5},
    {"op": "time", "now_us": 77},
    {"op": "refused", "id": 1, "why": "late"},
)


class _Wire:
    def sendall(self, data: bytes) -> None:
        pass

    def settimeout(self, seconds: float | None) -> None:
        pass


def air_answers(folder: Path) -> tuple[Draw, Take]:
    """A gateway hangs up on an air that does not keep to the protocol; it does not fall over."""

    def take(line: bytes) -> None:
        radio = AirRadio(gateway_config.Radio(kind="air"), AirClock(), "g/r")
        radio._deliver = lambda item: None
        radio._socket = _Wire()  # type: ignore[assignment]
        try:
            radio._take(_Wire(), line)  # type: ignore[arg-type]
        except errors.RadioLostError:
            pass

    return lambda random: _line(random, _TOLD), take


def gateway_toml(folder: Path) -> tuple[Draw, Take]:
    """A configuration is taken, or refused in one line that names the file."""
    good = [gateway_config.annotated_default().encode(), b'[gateway]\nname = "g"\nnumber = 2\n[[radio]]\nsf = 9\n']
    values = (
        "true",
        "1",
        "-1",
        "1e400",
        "nan",
        '"\\u0000"',
        "[]",
        "{}",
        "1979-05-27",
        '""',
        "[[1]]",
        "0x7fffffffffffffffff",
    )
    lines = [line for line in gateway_config.annotated_default().splitlines() if " = " in line and line[0] != "#"]

    def draw(random: Random) -> bytes:
        kind = random.randrange(4)
        if kind == 0:
            return mutated(random, good, 4096)
        if kind == 1:
            return b"a = " + b"[" * random.choice((10, 500, 20000))
        text = gateway_config.annotated_default()
        for _ in range(1 + random.randrange(2)):
            line = random.choice(lines)
            text = text.replace(line, line.partition(" = ")[0] + " = " + random.choice(values))
        return text.encode()

    def take(data: bytes) -> None:
        try:
            gateway_config.read(data.decode("utf-8", "replace"), "gateway.toml")
        except errors.ConfigError as error:
            assert "gateway.toml" in str(error)

    return draw, take


def node_json(folder: Path) -> tuple[Draw, Take]:
    """A node's configuration is taken, or refused in one line; what is taken is taken again."""
    path = folder / "config.json"

    def draw(random: Random) -> Any:
        return (
            changed(random, changed(random, _NODE))
            if random.randrange(8)
            else mutated(random, [json.dumps(_NODE).encode()])
        )

    def take(given: Any) -> None:
        try:
            if isinstance(given, bytes):
                path.write_bytes(given)
                checked = node_config.load(str(path))
            else:
                checked = node_config.check(given)
            node_config.check(checked)
        except node_config.ConfigError as error:
            assert str(error) and "\n" not in str(error)

    return draw, take


_REQUESTS: tuple[dict[str, Any], ...] = (
    {"schema": 1, "id": "1", "node": "fan-0", "policy": "ask", "by": "me", "expires_s": 60},
    {"id": "2", "node": "fan-0", "window_period_s": 60, "heartbeat_s": 900},
    {"id": "3", "node": "fan-0", "seconds": 5},
    {"id": "4", "node": "fan-1", "minutes": 5},
    {"id": "5", "node": "fan-1", "factor": 1.5, "key": "heartbeat_s", "value": 900, "what": "bands", "dbm": 10},
)


def mqtt_requests(folder: Path) -> tuple[Draw, Take]:
    """A request is a command that fits into its frame, or is refused with a sentence."""
    nodes = _plant(folder)
    names = (*commands.COMMANDS, "", "fire", "acknowledge")

    def draw(random: Random) -> tuple[str, bytes]:
        return random.choice(names), _line(random, _REQUESTS)

    def take(given: tuple[str, bytes]) -> None:
        try:
            command = requests.read(Request(*given), nodes, 1, 60)
        except errors.RequestError as error:
            assert str(error)
        else:
            node = next(node for node in nodes if node.row == command.node)
            if command.command != "rotate_key":  # it is sent when the gateway has made a key
                assert len(commands.pack(command, node)) <= frame.MAX_BYTES - 13
            json.dumps(command.arguments)

    return draw, take


_MAINTENANCE: tuple[dict[str, Any], ...] = (
    {"id": "1", "node": "fan", "by": "me", "comment": "a bearing"},
    {"id": "2", "node": "fan", "minutes": 30, "comment": "known"},
    {"id": "3", "node": "fan", "name": "fan", "location": "roof", "shaft_rpm": 1480},
)
_HALVES = (b"\\ud800", b"\\udfff", b"\xed\xa0\x80", b"\\u0000")


def gateway_requests(folder: Path) -> tuple[Draw, Take]:
    """Whatever is asked for on MQTT, the gateway's round ends, and what it says can be said."""
    bench = Bench(folder)
    node = bench.node()
    bench.hear(node.alert())
    bench.store._connection.execute("PRAGMA synchronous = OFF")  # no power is cut here
    names = (*commands.COMMANDS, *maintenance.ACTIONS, "", "fire", "a/+", "#", "\x00", "$SYS")

    def draw(random: Random) -> tuple[str, bytes]:
        good = random.choice(_REQUESTS + _MAINTENANCE)
        line = bytearray(_line(random, ({**good, "id": str(random.getrandbits(30)), "node": "fan"},)))
        if random.randrange(4) == 0:  # half a character within a text
            at = line.find(b'"', random.randrange(len(line) + 1)) + 1
            line[at:at] = random.choice(_HALVES)
        return random.choice(names), bytes(line)

    def take(given: tuple[str, bytes]) -> None:
        bench.clock.ms += 10_000
        bench.core.step([Request(*given)])
        with bench.store.transaction():
            told = bench.store.query("SELECT topic, payload FROM outbox")
            bench.store.write("DELETE FROM outbox")
            bench.store.write("DELETE FROM command")
        bench.core._database_version = -1
        for row in told:
            assert not set(row["topic"]) & set("+#\0"), row["topic"]
            json.loads(row["payload"].encode())

    return draw, take


def row_files(folder: Path) -> tuple[Draw, Take]:
    """Recordings in every form that `replay` reads are read or refused."""
    rows = np.arange(24, dtype=np.float32).reshape(6, 4)
    rowfile.write(folder / "good.rows", rows, kind="features")
    np.save(folder / "good.npy", rows)
    np.savez_compressed(folder / "good.npz", rows=rows, rate_hz=np.float64(5))
    import zipfile

    with zipfile.ZipFile(folder / "good.zip", "w") as archive:
        archive.writestr("a.csv", "0,1\n1,2\n")
        archive.writestr("b.csv", "0,1\n1,3\n")
    (folder / "good.csv").write_text("a;b\n1;2\n3;4\n")
    good = {kind: (folder / f"good.{kind}").read_bytes() for kind in ("rows", "npy", "npz", "zip", "csv")}

    def draw(random: Random) -> tuple[str, bytes]:
        kind = random.choice(tuple(good))
        return kind, mutated(random, [good[kind]], 1024)

    def take(given: tuple[str, bytes]) -> None:
        path = folder / f"bad.{given[0]}"
        path.write_bytes(given[1])
        try:
            if given[0] == "rows":
                rowfile.read(path)
            else:
                assert recordings.load(str(path)).rows.size
        except tool_errors.UsageError as error:
            assert str(path) in str(error)

    return draw, take


PARSERS = (
    uplink_frames, uplink_payloads, gateway_rounds, payload_tables, serial_line, air_lines, air_answers, gateway_toml, node_json,
    mqtt_requests, gateway_requests, row_files,
)  # fmt: skip
