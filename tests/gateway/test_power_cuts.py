"""Power cuts and kills: what was acknowledged is there afterwards, whatever the disk has kept of what was not synced."""

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import time
from pathlib import Path

import pytest
from gateway_brokers import free_port, wait_for

from fieldelm_gateway.store import Store

_SOURCE = Path(__file__).with_name("writes.c")
_SECTOR = 512


@pytest.fixture(scope="session")
def preload(tmp_path_factory):
    if not shutil.which("gcc"):
        pytest.skip("no C compiler, so no power is cut")
    library = tmp_path_factory.mktemp("preload") / "writes.so"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O1", "-o", library, _SOURCE, "-ldl", "-lpthread"], check=True, timeout=60
    )
    return library


class Operations:
    """What the gateway did to its database's files, in order."""

    def __init__(self, log):
        data = log.read_bytes()
        self.found, self.ends = [], []
        at = 0
        while at + 3 <= len(data):
            op, length = chr(data[at]), struct.unpack_from("<H", data, at + 1)[0]
            name = data[at + 3 : at + 3 + length].decode().rsplit("/", 1)[1]
            at += 3 + length
            offset, size = struct.unpack_from("<qq", data, at)
            at += 16
            content = data[at : at + size] if op == "W" else b""
            at += len(content)
            self.found.append((op, name, offset, content))
            self.ends.append(at)

    def disk(self, count, generator, before):
        """Files as a disk may hold them when power goes after so many operations; `before` is what it held at first."""
        durable = {name: bytearray(content) for name, content in before.items()}
        loose, nameless = {}, set()
        for op, name, offset, content in self.found[:count]:
            if op == "C":
                nameless.add(name)
            elif op == "D":
                nameless.clear()
            elif op == "S":
                for one in loose.pop(name, ()):
                    _apply(durable.setdefault(name, bytearray()), *one)
            else:
                loose.setdefault(name, []).append((op, offset, content))
        for name, operations in loose.items():
            file = durable.setdefault(name, bytearray())
            for op, offset, content in operations:
                for start in range(0, len(content), _SECTOR):  # a sector is written or not; their order is the disk's
                    if generator.random() < 0.5:
                        _apply(file, op, offset + start, content[start : start + _SECTOR])
                if op == "T" and generator.random() < 0.5:
                    _apply(file, op, offset, content)
        return {name: file for name, file in durable.items() if name not in nameless or generator.random() < 0.5}

    def all(self, before):
        """Files after everything."""
        files = {name: bytearray(content) for name, content in before.items()}
        for op, name, offset, content in self.found:
            if op in "WT":
                _apply(files.setdefault(name, bytearray()), op, offset, content)
        return files


def _apply(file, op, offset, content):
    if op == "T":
        del file[offset:]
        file.extend(bytes(offset - len(file)))
        return
    if len(file) < offset:
        file.extend(bytes(offset - len(file)))
    file[offset : offset + len(content)] = content


@contextlib.contextmanager
def _environment(**values):
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            del os.environ[name]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(3, 13))])
def test_a_hundred_power_cuts_lose_nothing_that_was_acknowledged(world, preload, seed):
    world.write_config(url=f"mqtt://127.0.0.1:{free_port()}")  # nobody there: everything stays in the outbox
    node = world.node()
    log = world.folder / "writes"
    before = {"gateway.db": world.database.read_bytes()}
    with _environment(LD_PRELOAD=str(preload), WRITES_LOG=str(log)):
        world.start_gateway()
    acknowledged = []  # length of the log when the answer was heard, sequence
    for turn in range(250):
        world.modem.exchange(node.alert())
        acknowledged.append((log.stat().st_size, node.sequence))
        if turn % 9 == 0:
            world.modem.exchange(node.status(ack=True))
    world.gateway.stop(signal.SIGKILL)
    operations = Operations(log)
    for name, content in operations.all(before).items():
        assert content == (world.folder / name).read_bytes(), f"{name}: all that was written is known"
    assert ("C", "gateway.db-wal") in {one[:2] for one in operations.found}
    assert sum(op == "S" for op, *_ in operations.found) >= 250, "every answer was preceded by a sync"
    generator = random.Random(seed)
    folder = world.folder / "cut"
    for cut in range(100):
        count = generator.randrange(len(operations.found) + 1)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, content in operations.disk(count, generator, before).items():
            (folder / name).write_bytes(content)
        store = Store(folder / "gateway.db")
        there = {row["sequence"] for row in store.query("SELECT sequence FROM event")}
        waiting = store.outbox_counts()[0]
        (one,) = store.nodes()
        assert store.query("PRAGMA integrity_check")[0][0] == "ok", cut
        store.close()
        end = operations.ends[count - 1] if count else 0
        wanted = {sequence for size, sequence in acknowledged if size <= end}
        assert wanted <= there, f"cut {cut}: lost {sorted(wanted - there)[:5]}"
        assert waiting == len(there), "an event and its message are one"
        assert (one.keys[0].last_sequence or 0) == max(there, default=0), "nor is a sequence forgotten"

    # and were nothing ever synced, this test would see it
    operations.found = [one for one in operations.found if one[0] != "S"]
    for name, content in operations.disk(len(operations.found), generator, before).items():
        (folder / name).write_bytes(content)
    (folder / "gateway.db-shm").unlink(missing_ok=True)
    try:
        with contextlib.closing(sqlite3.connect(folder / "gateway.db")) as connection:
            found = connection.execute("SELECT count(*) FROM event").fetchone()[0]
    except sqlite3.DatabaseError:
        found = 0
    assert found < len(acknowledged)


@pytest.mark.slow
@pytest.mark.parametrize("times", [15, pytest.param(100, marks=pytest.mark.nightly)])
def test_killed_under_load_again_and_again(world, times):
    world.broker.start()
    subscriber = world.subscribe()
    node = world.node()
    generator = random.Random(3)
    sent = set()
    for _ in range(times):
        gateway = world.start_gateway()
        until = time.monotonic() + generator.uniform(0.1, 0.5)
        while time.monotonic() < until:
            data = node.alert()
            token = world.modem.uplink(data)
            wait_for(lambda token=token: token in world.modem.sent)
            sent.add(node.sequence)
            if generator.random() < 0.01:
                break
        gateway.stop(signal.SIGKILL)
    world.start_gateway()
    world.modem.exchange(node.alert())
    sent.add(node.sequence)
    expected = {f"{node.eui}-{node.key_check}-{sequence}" for sequence in sent}
    wait_for(lambda: set(subscriber.ids()) >= expected, 30)
    rows = sqlite3.connect(world.database).execute("SELECT count(*), count(DISTINCT sequence) FROM event").fetchone()
    assert rows[0] == rows[1]
    assert set(subscriber.ids()) == expected


@pytest.mark.slow
def test_it_starts_within_two_seconds_with_a_million_rows(world):
    node = world.node()
    with contextlib.closing(sqlite3.connect(world.database)) as connection:
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)"
            " INSERT INTO frame (node, received_ms, synced, radio, type, key_id, counter, rssi, snr, payload, outcome)"
            " SELECT 1, ? + i * 1000, 1, 'radio', 3, 0, i, -97, 7.0, zeroblob(29), 'accepted' FROM n",
            (int(time.time() * 1000) - 1_000_000_000,),
        )
        connection.commit()
    world.dashboard = [f'listen = "127.0.0.1:{free_port()}"']
    world.write_config()
    began = time.monotonic()
    world.start_gateway()
    assert node.open(world.modem.exchange(node.alert()))
    took = time.monotonic() - began
    print(f"first answer {took:.2f} s after the start with 1,000,000 rows and the dashboard on")
    assert took < 2
