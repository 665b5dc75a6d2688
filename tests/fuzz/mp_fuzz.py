"""The node's parsers on the runtime that runs them: damaged frames, configurations, files, commands, recordings."""

import json
import os
import sys
from array import array
from struct import pack

sys.path.append(__file__.rsplit("/", 2)[0] + "/node")  # bench

from bench import Board, Clock, Gateway, Radio, Reboot, configuration
from fieldelm import config, frame, modem_framing, payloads
from fieldelm.ccm import Ccm
from fieldelm.commands import Commands
from fieldelm.events import EventStore
from fieldelm.link import Link
from fieldelm.modem_framing import Decoder
from fieldelm.node import Node
from fieldelm.storage import Counters, Record, StorageError
from fieldelm.watcher import Watcher
from mutate import Random, changed, mutated, random_bytes
from player import Player

_SEED = int(os.getenv("FIELDELM_FUZZ_SEED") or 1)
_TIMES = int(os.getenv("FIELDELM_FUZZ_TIMES") or 1)

_CONFIG = {
    "schema": 1,
    "role": "node",
    "board": "sim",
    "eui": "0123456789abcdef",
    "node_id": 7,
    "keys": {"0": "00112233445566778899aabbccddeeff"},
    "key_id": 0,
    "console": "off",
    "radio": {"freq_khz": 868100, "sf": 9, "bw": "125", "output_power": 14},
    "sense": {"kind": "features", "inputs": 4, "period_s": 60},
    "learn": {"hidden": 2, "seed": 1, "policy": "auto", "train_rows": 64, "calibration_rows": 32},
    "link": {"heartbeat_s": 900, "tag_bytes": 4, "gateways": [1, 2]},
    "options": {},
}


def _feed(count, draw, take):
    # what failed is printed, so that it can be repeated
    random = Random(_SEED)
    for number in range(count * _TIMES):
        hostile = draw(random)
        try:
            take(hostile)
        except Exception:
            print("FIELDELM_FUZZ_SEED=%d, input %d: %r" % (_SEED, number, hostile))
            raise


def test_no_changed_downlink_is_believed():
    given = configuration()
    clock = Clock()
    gateway = Gateway()
    radio = Radio(clock, gateway)
    link = Link(given, radio, clock, Counters("counters"))
    good = []

    def remembered(gateway, header, payload):
        good.append(gateway.ack(header, payload))
        return good[-1]

    gateway.answers.append(remembered)
    end = link.payload_start(frame.STATUS) + payloads.size(payloads.STATUS)
    assert link.exchange(frame.STATUS, end, True) == frame.ACK
    assert link._open(bytearray(good[0])) == frame.ACK

    def take(data):
        assert data in good or link._open(bytearray(data)) == 0, "believed a forgery"

    _feed(4000, lambda random: mutated(random, good), take)


def test_frames_that_come_down_are_parsed_or_refused():
    cipher = Ccm(bytes(16))
    nonce = bytearray(frame.NONCE_BYTES)
    good = []
    for kind in (frame.ACK, frame.COMMAND, frame.MODEL):
        buffer = bytearray(80)
        start = frame.header_into(buffer, kind, 0, 0, 7, 300)
        length = frame.seal_into(buffer, start + 9, cipher, nonce, bytes(8), 300, 1)
        good.append(bytes(buffer[:length]))

    def take(data):
        try:
            header = frame.parse(data, 1)
            frame.open_into(bytearray(data), len(data), cipher, nonce, bytes(8), header.counter, 1)
        except frame.FrameError as error:
            assert error.reason in ("bad_length", "bad_version", "bad_tag")
        else:
            assert data in good, "believed a forgery"

    _feed(6000, lambda random: mutated(random, good), take)


def test_serial_line_of_a_modem():
    message = bytearray(modem_framing.MAX_MESSAGE)
    out = bytearray(modem_framing.MAX_ENCODED)
    good = {}
    for kind, table in modem_framing.TABLES.items():
        message[0] = kind
        length = 1 + payloads.size(table)
        good[kind] = bytes(out[: modem_framing.encode_into(out, message, length)])
    last = good.pop(modem_framing.PING)
    rest = list(good.values())
    decoder = Decoder()

    def take(line):
        length = 0
        for byte in line + last:
            length = decoder.push(byte)
        assert length and bytes(decoder.message[:1]) == bytes([modem_framing.PING])

    _feed(1500, lambda random: mutated(random, rest, 64), take)


def test_configuration_is_taken_or_refused_in_one_line():
    def take(given):
        try:
            config.check(config.check(given))
        except config.ConfigError as error:
            assert str(error) and "\n" not in str(error)

    _feed(3000, lambda random: changed(random, changed(random, _CONFIG)), take)


def test_configuration_file_of_any_bytes():
    good = [json.dumps(_CONFIG).encode(), b"[" * 3000, b'{"a":' * 2000]

    def take(data):
        with open("config.json", "wb") as file:
            file.write(data)
        try:
            config.load("config.json")
        except config.ConfigError as error:
            assert "\n" not in str(error)

    _feed(600, lambda random: mutated(random, good), take)


def _write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def _read(path):
    with open(path, "rb") as file:
        return file.read()


def test_damaged_records_give_the_last_or_the_one_before_or_say_so():
    record = Record("r")
    values = [b"first value", b"the second value, which is longer than a chunk of 64 bytes is, by some more bytes"]
    for value in values:
        record.store((value,))
    twins = [_read("r.a"), _read("r.b")]

    def take(damaged):
        which, data = damaged
        _write("r.a", twins[0])
        _write("r.b", twins[1])
        _write(("r.a", "r.b")[which], data)
        again = Record("r")
        with again.open() as file:
            found = file.read(again.length)
        assert found in values
        again.store((b"new",))
        with Record("r").open() as file:
            assert file.read(3) == b"new"

    def draw(random):
        which = random.randrange(2)
        return which, mutated(random, [twins[which]])

    _feed(200, draw, take)


def test_counters_never_go_back_whatever_one_file_holds():
    counters = Counters("c")
    for _ in range(600):
        counters.next_frame()
    used = counters.frame
    files = [_read("c.a"), _read("c.b")]

    def take(damaged):
        which, data = damaged
        _write("c.a", files[0])
        _write("c.b", files[1])
        _write(("c.a", "c.b")[which], data)
        if data == files[which]:
            return
        try:
            again = Counters("c")
        except StorageError:
            return
        assert again.next_frame() > used

    def draw(random):
        which = random.randrange(2)
        return which, mutated(random, [files[which]])

    _feed(200, draw, take)


def test_commands_of_any_bytes_are_answered_or_ignored():
    node = Node(configuration(), Board())
    commands = Commands(node)
    link = node.link

    def take(payload):
        link.answer = memoryview(payload)
        link.answer_gateway = 1
        try:
            end, _ = commands.carry_out()
        except ValueError:
            assert len(payload) < payloads.size(payloads.COMMAND)
        except Reboot:
            pass
        else:
            assert end <= frame.MAX_BYTES

    def draw(random):
        number = random.randrange(24)
        return bytes([number, random.randrange(4), 0]) + random_bytes(random, 24)

    _feed(400, draw, take)
    node.cycle()


def test_model_files_of_any_bytes_are_loaded_or_refused():
    board = Board()
    watcher = Watcher(configuration(), board.sensor)
    window = array("h", bytes(2 * 1024))
    for _ in range(130):
        board.sensor.read(window)
        watcher.step(window, board.clock.now_ms())
    saved = watcher.save()
    if not saved:
        raise AssertionError("nothing was learned: %s" % watcher.state)
    good = b"".join([bytes(part) for part in saved])

    def take(data):
        _write("model", data)
        with open("model", "rb") as file:
            watcher.load(file, len(data))
        board.sensor.read(window)
        watcher.step(window, board.clock.now_ms())

    def draw(random):
        # the record's CRC keeps damage out: what arrives here was written whole, by another firmware perhaps
        head = bytearray(good)
        for _ in range(1 + random.randrange(3)):
            head[random.randrange(16)] = random.getrandbits(8)
        return bytes(head) if random.randrange(2) else bytes(head)[: random.randrange(len(head))]

    _feed(40, draw, take)


def test_row_files_of_any_bytes_are_played_or_refused():
    header = pack("<4sBBBBIIffif", b"FROW", 1, 2, 1, 0, 4, 5, 0.0, 60.0, 0, 0.0)
    good = [header + bytes(4 * 4 * 5)]
    out = array("f", bytes(16))

    def take(data):
        _write("a.rows", data)
        given = dict(_CONFIG)
        given["options"] = {"play": [{"file": "a.rows"}]}
        try:
            player = Player(config.check(given), Clock())
        except config.ConfigError:
            return
        try:
            while True:
                player.read(out)
        except (EOFError, ValueError):
            pass

    def draw(random):
        data = bytearray(good[0])
        if random.randrange(2):
            data[random.randrange(32)] = random.getrandbits(8)
            return bytes(data)
        return mutated(random, good, 128)

    _feed(800, draw, take)


def test_damaged_event_logs_are_read_as_far_as_they_are_sound_and_mended():
    store = EventStore("log", 20)
    for i in range(30):
        store.add(("machine_alarm", "sensor_fault", "boot")[i % 3], i, i * 8000000)
        if i % 4 == 0:
            store.delivered(store.due(i * 8000000), i * 8000000)
    whole = _read("log")

    def take(damaged):
        _write("log", damaged)
        found = EventStore("log", 20)
        waiting = [found._sequence(i) for i in range(len(found))]
        assert len(waiting) <= 20 and all([sequence < 30 for sequence in waiting]), waiting
        found.add("battery_low", 30, 0)
        again = EventStore("log", 20)
        assert len(again) <= 20 and again.problem is None
        while len(again):
            again.delivered(again.due(0), 0)
        assert len(EventStore("log", 20)) == 0

    _feed(100, lambda random: mutated(random, [whole]), take)
