"""Run by MicroPython: one life of a node on flash, written down operation by operation; then a start after every cut in it.

    run_power_cuts.py life LOG FACTS           live, and write every flash operation and what the node did between them
    run_power_cuts.py cut LOG FACTS I N STEP   for each STEPth operation of part I of N: start from what a cut there leaves

Facts are JSON lines with ``at``, the number of operations that were complete. Every ``Record`` notes when it begins and when it
has done a write, so the flash must hold the value of the last done write or of one that was under way. The sensor plays plain
values, so that a life takes seconds; everything else is the node's own code.
"""

import gc
import json
import struct
import sys
from binascii import crc32, hexlify
from random import getrandbits, seed

sys.path.append(__file__.rsplit("/", 2)[0] + "/drivers")

from bench import KEY, Board, Reboot, Values, configuration, silence
from copper import Time
from flash import BLOCK, PAGE, Flash, erase, mount, operations, program, tear
from keeper import Keeper
from machine_copper import install

install(Time())  # boot needs a machine

from fieldelm import boot, codes, frame, payloads  # noqa: E402
from fieldelm.ccm import Ccm  # noqa: E402
from fieldelm.events import EventStore  # noqa: E402
from fieldelm.node import Node  # noqa: E402
from fieldelm.storage import Record  # noqa: E402

_INPUTS = 6
_HOUR_MS = 3600000
_NEW_KEYS = (bytes(range(16, 32)), bytes(range(32, 48)))
_PIECE = 48  # of a model on its way down


def _config():
    config = configuration()
    config["sense"].update({"kind": "features", "inputs": _INPUTS})
    config["learn"].update({"hidden": 4, "train_rows": 24, "calibration_rows": 12})
    return config


def _board():
    board = Board()
    board.sensor = Values(board.clock)
    return board


class Facts:
    """What has happened, with the number of flash operations by then."""

    def __init__(self, path, flash):
        self._file = open(path, "w")
        self._flash = flash

    def say(self, what, **values):
        values["what"] = what
        values["at"] = self._flash.count
        self._file.write(json.dumps(values) + "\n")

    def close(self):
        self._file.close()


def _watch_records(facts):
    store = Record.store

    def told(record, parts):
        parts = [bytes(part) for part in parts]
        crc = 0
        for part in parts:
            crc = crc32(part, crc)
        path = record._paths[0]
        facts.say("begin", path=path, crc=crc)
        store(record, parts)
        facts.say("done", path=path, crc=crc)

    Record.store = told


def _watch_events(facts):
    add, delivered = EventStore.add, EventStore.delivered

    def told_add(store, name, sequence, *arguments):
        facts.say("born", sequence=sequence)
        before = store.coalesced, store.lost
        kept = add(store, name, sequence, *arguments)
        # whatever goes for it is found out from the store
        waiting = sorted([store._sequence(i) for i in range(len(store))])
        facts.say("waits", sequence=sequence, waiting=waiting, gone=(store.coalesced, store.lost) != before)
        return kept

    def told_delivered(store, event, now_ms):
        sequence = event.sequence
        facts.say("heard", sequence=sequence)
        delivered(store, event, now_ms)
        facts.say("gone", sequence=sequence)

    EventStore.add, EventStore.delivered = told_add, told_delivered


def _count_start(requested=False):
    # as boot does
    starts = boot.Starts()
    starts.count(1 if requested else starts.failed + 1)
    return starts


class Life:
    """The script of a life."""

    def __init__(self, facts):
        self.facts = facts
        self.board = _board()
        self.keeper = Keeper(self.board.gateway)
        self.keeper.piece = _PIECE
        self.sequence = 0
        send = self.board.radio.send

        def told_send(packet):
            link = self.node.link
            facts.say("sent", counter=link.counter, used_us=link.duty.used_us(self.board.clock.ms))
            send(packet)

        self.board.radio.send = told_send
        self.start()

    def start(self, requested=False):
        clock = self.board.clock
        clock.ms = 0
        self.node = None
        self.starts = _count_start(requested)
        self.node = Node(_config(), self.board)
        gc.collect()

    def run(self, windows, away=False):
        gateway = self.board.gateway
        end = self.board.sensor.windows + windows
        while self.board.sensor.windows < end:
            if away:
                gateway.answers = [silence] * 8
            self.node.cycle()
            gateway.heard.clear()
            self.board.radio.sent.clear()
            if self.node.watcher.state == "watching":
                self.facts.say("watching")
            if self.board.clock.ms >= boot.PROVEN_MS:
                self.starts.count(0)
        gateway.answers = []

    def alarm(self, away):
        """The machine changes and comes back."""
        self.board.sensor.shift = 25.0
        self.run(14, away)
        self.board.sensor.shift = 0.0
        self.run(60, away)

    def happen(self, name, away):
        """An event that the learner takes hours to come to."""
        self.board.clock.ms += 2 * _HOUR_MS
        self.node._queue(name)
        self.run(1, away)

    def tell(self, name, **values):
        self.sequence += 1
        table = payloads.ARGUMENTS[name]
        arguments = bytearray(payloads.size(table))
        payloads.pack_into(table, arguments, 0, values)
        gateway = self.board.gateway
        gateway.answers = [gateway.command(codes.COMMANDS.index(name), self.sequence, bytes(arguments))]
        self.node._next_status_ms = self.board.clock.ms
        self.facts.say("told", command=name, key=hexlify(values.get("new_key", b"")).decode())
        self.node.talk()
        gateway.answers = []
        key = self.node.link.keys.key
        gateway.cipher = Ccm(key)
        self.facts.say("key", key=hexlify(key).decode())

    def carry(self, name, **values):
        """A model goes up or down; power is cut in the middle."""
        results = len(self.keeper.results)
        self.keeper.loses = lambda number: number > first + 2
        first = self.keeper.frames
        self.tell(name, **values)
        self.start()
        self.keeper.loses = lambda number: False
        if name == "model_get":
            self.run(1)
            self.tell(name, model=self.keeper.name, offset=len(self.keeper.data))
        while self.node.transfer.due_ms is not None:
            self.run(1)
        assert len(self.keeper.results) == results + (name == "model_put")

    def live(self):
        """Commissioning, alarms with and without a gateway, commands, relearning, restarts; again and again."""
        self.run(50)
        assert self.node.watcher.state == "watching", self.node.watcher.state
        self.alarm(away=False)
        self.tell("policy", policy=1)
        self.tell("interval", window_period_s=30, heartbeat_s=600)
        for turn in range(2):
            self.alarm(away=True)
            for i in range(36):
                self.happen(("machine_alarm", "sensor_fault", "battery_low", "relearned")[i % 4], away=True)
            self.start()  # power was cut: nothing more than what is on flash
            self.run(3, away=True)
            for _ in range(4):
                self.board.clock.ms += _HOUR_MS
                self.run(2)
            self.tell("policy", policy=turn % 3)
            self.tell("retrain")
            self.run(60)
            try:
                self.tell("reboot")
            except Reboot:
                self.start(requested=True)
            for _ in range(24):
                self.board.clock.ms += _HOUR_MS
                self.run(2)
            self.tell("commission")
            self.run(50)
            if turn == 0:
                self.carry("model_get", model=0, offset=0)
                data = bytes(self.keeper.data)
                assert len(data) == self.keeper.total and crc32(data) == self.keeper.name
                self.keeper.hands_out = data
                self.carry("model_put", model=crc32(data), total=len(data))
                assert self.keeper.results == ["taken"]
            self.tell("rotate_key", slot=1 - turn % 2, new_key=_NEW_KEYS[turn % 2])
            assert self.node.link.keys.key == _NEW_KEYS[turn % 2]
            self.run(2)
            self.tell("config_set", key=1, value=turn % 3)


def live(log_path, facts_path):
    seed(20)
    with open(log_path, "wb") as log:
        flash = Flash(log=log)
        facts = Facts(facts_path, flash)
        mount(flash)
        _watch_records(facts)
        _watch_events(facts)
        Life(facts).live()
        facts.say("end")
        facts.close()
    print(json.dumps({"operations": flash.count}))


class Known:
    """What the facts up to a cut say must be so after it."""

    def __init__(self, path):
        with open(path) as file:
            self._facts = [json.loads(line) for line in file]
        self._next = 0
        self.counter = 0  # highest sent
        self.used_us = 0  # airtime in the last hour when something was sent last
        self.sequence = 0
        self.records = {}  # path -> crc done, crc under way or None
        self.waiting = set()
        self.maybe = set()  # may or may not wait
        self.watched = False
        self.keys = {KEY}  # one of them is in use

    def advance(self, operations):
        """Take in what had happened when so many operations were complete."""
        while self._next < len(self._facts) and self._facts[self._next]["at"] <= operations:
            fact = self._facts[self._next]
            self._next += 1
            what = fact["what"]
            if what == "sent":
                self.counter = max(self.counter, fact["counter"])
                self.used_us = fact["used_us"]
            elif what == "born":
                self.sequence = max(self.sequence, fact["sequence"])
                # while it is written the store may be as before or as after, also for what goes in its place
                self.maybe = {fact["sequence"] & 0xFFFF} | self._going(fact)
            elif what == "waits":
                self.waiting = set(fact["waiting"])
                self.maybe = set()
            elif what == "heard":
                self.maybe = {fact["sequence"]}
            elif what == "gone":
                self.waiting.discard(fact["sequence"])
                self.maybe = set()
            elif what == "begin":
                done = self.records.get(fact["path"], (None, None))[0]
                self.records[fact["path"]] = (done, fact["crc"])
            elif what == "done":
                self.records[fact["path"]] = (fact["crc"], None)
            elif what == "watching":
                self.watched = True
            elif what == "key":
                self.keys = {fact["key"]}
            elif what == "told" and fact["command"] in ("retrain", "commission"):
                self.watched = False
            elif what == "told" and fact["key"]:
                self.keys.add(fact["key"])

    def _going(self, fact):
        for later in self._facts[self._next :]:
            if later["what"] == "waits":
                return self.waiting - set(later["waiting"])
        return set()


def _crc_of(path):
    record = Record(path[:-2])
    try:
        file = record.open()
    except OSError:
        return "spoilt"
    if file is None:
        return None
    with file:
        return crc32(file.read(record.length))


class _Operations:
    # a log in memory
    def __init__(self):
        self.parts = []

    def write(self, data):
        self.parts.append(bytes(data))


def _start_after(image, known, where, again):
    """Mount what is left, look at it, start the node on it, and let it live for some minutes.

    ``again``: cut power once more, at any operation of this short life, and start again.
    """
    before = bytes(image) if again else None
    log = _Operations() if again else None
    flash = Flash(image=image, log=log)
    mount(flash)
    for path, (done, under_way) in known.records.items():
        found = _crc_of(path)
        first_cut = found == "spoilt" and done is None  # the very first write of all: as if there were nothing
        assert found in (done, under_way) or first_cut, (where, path, found, done, under_way)
    model = _crc_of("model.a")
    board = _board()
    sent = []
    send = board.radio.send

    def told_send(packet):
        sent.append((flash.count, node.link.counter))
        send(packet)

    board.radio.send = told_send
    _count_start()
    node = Node(_config(), board)
    assert hexlify(node.link.keys.key).decode() in known.keys, where
    born = flash.count, node.counters.sequence
    waiting = {node.events._sequence(i) for i in range(len(node.events))}
    waiting.discard(node.counters.sequence & 0xFFFF)  # the boot of this start
    wanted = known.waiting - known.maybe
    assert wanted <= waiting <= known.waiting | known.maybe, (
        where,
        sorted(waiting),
        sorted(known.waiting),
        known.maybe,
    )
    assert node.counters.sequence > known.sequence, (where, node.counters.sequence, known.sequence)
    assert node.link.duty.used_us(0) >= known.used_us, (where, node.link.duty.used_us(0), known.used_us)
    if known.records.get("model.a", (None, None))[0] is not None:
        assert node.model_restored == (model != crc32(b"")), where  # a model without a byte: all was to be forgotten
        if known.watched:
            assert node.watcher.state != "commissioning", (where, node.watcher.state)
    board.gateway.cipher = Ccm(node.link.keys.key)
    board.gateway.counter = known.counter
    rows = board.sensor.windows
    for _ in range(8):
        node.cycle()
        if board.sensor.windows - rows >= 2:
            break
    assert board.sensor.windows - rows >= 2, where
    counters = [counter for _, counter, _, _ in board.gateway.heard]
    assert counters and min(counters) > known.counter, (where, counters, known.counter)
    assert board.gateway.heard[0][0] == frame.HELLO
    if known.watched and model is not None:
        assert node.watcher.state != "commissioning", (where, node.watcher.state)
    if again and flash.count:
        _cut_again(before, log.parts, born, sent, where)


def _cut_again(image, parts, born, sent, where):
    # parts: head and data of every operation of the life before
    kept = getrandbits(16) % (len(parts) // 2)
    image = bytearray(image)
    for i in range(kept):
        what, at, length = struct.unpack("<BII", parts[2 * i])
        if what == 0:
            erase(image, at, BLOCK)
        else:
            program(image, at, parts[2 * i + 1], length)
    what, at, length = struct.unpack("<BII", parts[2 * kept])
    if what == 1:
        tear(image, at, parts[2 * kept + 1], lambda: getrandbits(8))
    mount(Flash(image=image))
    board = _board()
    _count_start()
    node = Node(_config(), board)
    if born[0] <= kept:
        assert node.counters.sequence > born[1], (where, kept)
    counter = max([0] + [counter for count, counter in sent if count <= kept])
    board.gateway.cipher = Ccm(node.link.keys.key)
    board.gateway.counter = counter
    for _ in range(4):
        node.cycle()
    assert board.gateway.heard and board.gateway.heard[0][1] > counter, (where, kept)


def cut(log_path, facts_path, part, parts, step):
    seed(part)
    known = Known(facts_path)
    image = Flash().image
    work = bytearray(len(image))
    total = 0
    for i, (what, at, data) in enumerate(operations(log_path)):
        known.advance(i)
        mine = i % step == 0 and i // step % parts == part
        cuts = 0
        if mine:
            # before anything of it; then within each page, or in the middle of erasing
            for page in range(-1, max(len(data) // PAGE, 1)):
                work[:] = image
                if what == 0 and page == 0:
                    erase(work, at, getrandbits(12))
                elif what == 1 and page >= 0:
                    program(work, at, data, page * PAGE)
                    tear(work, at + page * PAGE, memoryview(data)[page * PAGE :], lambda: getrandbits(8))
                again = getrandbits(3) == 0
                _start_after(work, known, (i, page), again)
                cuts += 1 + again
                gc.collect()
        total += cuts
        if what == 0:
            erase(image, at, BLOCK)
        else:
            program(image, at, data, len(data))
    print(json.dumps({"cuts": total}))


if sys.argv[1] == "life":
    live(sys.argv[2], sys.argv[3])
else:
    cut(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), int(sys.argv[6]))
