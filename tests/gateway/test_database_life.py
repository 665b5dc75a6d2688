"""The database through the years: migrated with a copy, copied and restored, saved when damaged, and kept short."""

import contextlib
import os
import random
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gateway_bench import START_MS
from gateway_brokers import wait_for

from fieldelm import codes, payloads
from fieldelm_gateway import backup, config, database, numbers, retention, salvage
from fieldelm_gateway.clock import Instant
from fieldelm_gateway.errors import DatabaseError, UsageError
from fieldelm_gateway.store import Store
from fieldelm_tools.cli import main

DAY_MS = 86_400_000


def _sql(path, text):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(text).fetchall()


@pytest.fixture
def first_schema(tmp_path):
    """A database as the first version made it, with a node, an event and a message that waits."""
    path = tmp_path / "gateway.db"
    steps = dict(database.migrations())
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(steps[1] + "PRAGMA user_version = 1;")
        connection.executescript(
            "INSERT INTO node (id, eui, node_id, name, created_ms) VALUES (1, '02a1b2c3d4e5f607', 7, 'old fan', 0);"
            "INSERT INTO node_key (node, key_id, key, highest) VALUES (1, 0, x'000102030405060708090a0b0c0d0e0f', 41);"
            "INSERT INTO event VALUES (1, 1, 'c6a1', 9, 5, 6, 'boot', 'info', '{}');"
            "INSERT INTO outbox (lane, topic, payload, retain, created_ms) VALUES (0, 't', 'p', 0, 0);"
        )
    path.chmod(0o600)
    return path


def test_migration_keeps_everything_and_a_copy_of_what_was(first_schema, caplog):
    store = Store(first_schema)
    (node,) = store.nodes()
    assert (node.name, node.keys[0].highest, node.shaft_hz, node.alarm.active) == ("old fan", 41, None, False)
    assert store.outbox_counts() == (1, 0)
    assert store.has_event(1, "c6a1", 9)
    store.close()
    kept = first_schema.with_name("gateway.db.schema-1")
    assert kept.name in caplog.text
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert _sql(kept, "PRAGMA user_version") == [(1,)]
    assert _sql(kept, "SELECT name FROM node") == [("old fan",)]
    assert _sql(first_schema, "PRAGMA user_version") == [(database.migrations()[-1][0],)]


def test_migration_that_cannot_copy_changes_nothing(first_schema):
    first_schema.with_name("gateway.db.schema-1.part").mkdir()
    with pytest.raises(UsageError, match="cannot be written"):
        Store(first_schema)
    assert _sql(first_schema, "PRAGMA user_version") == [(1,)]


def test_migration_that_fails_changes_nothing(first_schema, monkeypatch):
    steps = [*database.migrations(), (99, "CREATE TABLE something (id INTEGER); SELECT x FROM nowhere;")]
    monkeypatch.setattr(database, "migrations", lambda: steps)
    with pytest.raises(Exception, match="nowhere"):
        Store(first_schema)
    assert _sql(first_schema, "SELECT name FROM sqlite_master WHERE name = 'something'") == []
    assert _sql(first_schema, "SELECT name FROM node") == [("old fan",)]


def _fieldelm(world, *words):
    command = [sys.executable, "-m", "fieldelm_tools.cli", *words, "--config", str(world.config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_backup_while_it_runs_and_restore_when_it_does_not(world):
    world.broker.start()
    subscriber = world.subscribe()
    node = world.node()
    world.start_gateway()
    world.modem.exchange(node.hello())
    world.modem.exchange(node.alert())
    copy = world.folder / "copy.db"
    done = _fieldelm(world, "gateway", "backup", str(copy))
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert _sql(copy, "SELECT type FROM event") == [("machine_alarm",)]
    refused = _fieldelm(world, "gateway", "restore", str(copy))
    assert (refused.returncode, "in use" in refused.stderr) == (1, True)
    world.gateway.stop()
    world.database.unlink()
    done = _fieldelm(world, "gateway", "restore", str(copy))
    assert done.returncode == 0, done.stderr
    assert "number 1 is spent" in done.stdout
    refused = _fieldelm(world, "gateway", "run")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "is a copy: gateway number 1 may have answered" in refused.stderr
    for number in ("1", "256"):
        refused = _fieldelm(world, "gateway", "restore", str(copy), "--number", number)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    done = _fieldelm(world, "gateway", "restore", str(copy), "--number", "2")
    assert done.returncode == 0, done.stderr
    world.start_gateway()
    world.modem.exchange(node.alert())
    subscriber.wait_for("/event", 2)
    assert subscriber.ids()[-1].endswith("-2")


@pytest.mark.parametrize("what", ["text", "foreign", "newer", "damaged"])
def test_what_is_no_copy_is_not_restored(tmp_path, what):
    path, copy = tmp_path / "gateway.db", tmp_path / "copy.db"
    Store(path, create=True).close()
    if what == "text":
        copy.write_text("words" * 1000)
    elif what == "foreign":
        _sql(copy, "CREATE TABLE photo (id INTEGER)")
    else:
        backup.write(path, copy)
        if what == "newer":
            _sql(copy, "PRAGMA user_version = 99")
        else:
            with copy.open("r+b") as file:
                file.seek(4096)
                file.write(b"\xee" * 4096 * 3)
    before = path.read_bytes()
    with pytest.raises(UsageError, match=str(copy)):
        backup.restore(copy, path)
    assert path.read_bytes() == before


_NO_ROOM = """
import resource, sys
from fieldelm_tools.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.exit(main(["gateway", *sys.argv[1:]]))
"""


def test_after_the_restore_that_the_page_shows_the_gateway_answers(bench):
    copy = backup.write(bench.path, bench.folder / "copy.db", bench.config.gateway.number)
    bench.close()
    path = bench.folder / "gateway.toml"
    path.write_text(f'[database]\npath = "{bench.path}"\n')
    page = Path(__file__).parents[2] / "docs" / "how-to" / "install.md"
    (shown,) = re.findall(r"fieldelm (gateway restore .*)", page.read_text())
    words = [str(copy) if word.endswith(".db") else word for word in shown.partition("#")[0].split()]
    assert main([*words, "--config", str(path)]) == 0
    with contextlib.closing(Store(bench.path)) as store:
        assert numbers.answers_as(store, config.load(path)) not in (None, bench.config.gateway.number)


@pytest.mark.parametrize("what", ["backup", "restore"])
def test_a_copy_for_which_there_is_no_room_is_named_in_one_line(bench, what):
    bench.node()
    copy = backup.write(bench.path, bench.folder / "copy.db")
    bench.close()
    config = bench.folder / "gateway.toml"
    config.write_text(f'[database]\npath = "{bench.path}"\n')
    target, named = {"backup": (bench.folder / "more.db", "more.db"), "restore": (copy, "gateway.db.restored")}[what]
    before = bench.path.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", _NO_ROOM, what, target, "--config", config], capture_output=True, text=True, check=False
    )
    said = f"fieldelm: {bench.folder / named} has a read or write error: is the disk full or broken?\n"
    assert (done.returncode, done.stderr) == (1, said)
    assert bench.path.read_bytes() == before
    assert not list(bench.folder.glob("*.part"))


def _damage_keys(file, start):
    """Make the keys on a page of an index such as nothing can be; the page itself is one still."""
    file.seek(start)
    page = file.read(4096)
    for at in range(8, 8 + 2 * int.from_bytes(page[3:5], "big"), 2):
        file.seek(start + int.from_bytes(page[at : at + 2], "big") + 1)
        file.write(b"\x7f")


@pytest.mark.parametrize("how", ["the log", "the head", "keys that only a question meets"])
def test_a_damaged_database_is_moved_aside_and_the_nodes_live_on(world, how):
    world.broker.start()
    subscriber = world.subscribe()
    node = world.node()
    world.start_gateway()
    for _ in range(40):
        world.modem.exchange(node.alert())
    subscriber.wait_for("/event", 40)
    wait_for(lambda: world.folder.joinpath("gateway.db.nodes").exists())
    world.gateway.stop()
    with contextlib.closing(sqlite3.connect(world.database)) as connection:
        pages = dict(connection.execute("SELECT name, rootpage FROM sqlite_master WHERE rootpage"))
    with world.database.open("r+b") as file:
        if how == "keys that only a question meets":
            _damage_keys(file, (pages["sqlite_autoindex_event_1"] - 1) * 4096)
        else:
            file.seek(0 if how == "the head" else (pages["event"] - 1) * 4096)
            file.write(b"\xee" * 4096)
    world.start_gateway()
    if how == "keys that only a question meets":
        world.modem.uplink(node.alert())
        assert world.gateway.process.wait(20) == 1
        world.start_gateway()  # as a supervisor would
    assert node.open(world.modem.exchange(node.alert()), gateway=4)[0]  # what it answered since the copy is not known
    said = world.gateway.said()
    assert "number 1 is spent: this gateway answers as number 4" in said
    (moved,) = [path for path in world.folder.glob("gateway.db.damaged-*") if not path.name.endswith(("-wal", "-shm"))]
    assert f"is now {moved.name}" in said
    assert "Traceback" not in said
    subscriber.wait_for("/event", 41)
    # what was used before is not taken again
    (highest,) = _sql(world.database, "SELECT highest FROM node_key")[0]
    assert highest == node.counter


_COUNT = """
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
static int count;
__attribute__((destructor)) static void end(void) { fprintf(stderr, "%d", count); }
int fsync(int fd) { count++; return syscall(SYS_fsync, fd); }
int fdatasync(int fd) { count++; return syscall(SYS_fdatasync, fd); }
"""


@pytest.mark.skipif(not shutil.which("gcc"), reason="no C compiler, so nobody counts")
def test_the_daily_copy_waits_for_the_disk_twice(bench):
    # for the file and for its name; nobody is answered meanwhile, and a memory card takes tens of ms each
    node = bench.node()
    library = bench.folder / "count.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, "-x", "c", "-"], input=_COUNT, text=True, check=True)
    program = "import sys; from pathlib import Path; from fieldelm_gateway import backup; backup.write_daily(Path(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", program, bench.path],
        env={**os.environ, "LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stderr) == 2
    copy = backup.daily_path(bench.path)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert _sql(copy, "SELECT key FROM node_key") == [(node.key,)]
    assert _sql(copy, "PRAGMA user_version") == [(database.migrations()[-1][0],)]
    assert not [path for path in bench.folder.iterdir() if path.name.startswith(copy.name) and path != copy]


def test_without_any_copy_it_says_so(tmp_path):
    path = tmp_path / "gateway.db"
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 9000)
    with pytest.raises(DatabaseError, match=r"`fieldelm node add` the config\.json"):
        salvage.recover(path)
    assert not path.exists()
    assert list(tmp_path.glob("gateway.db.damaged-*"))


# retention


def _fill(store, node_row, first_ms, last_ms, every_ms, payload_of):
    rows = [
        (node_row, at, 1, "radio", 3, 0, number, -100 + number % 7, 5.0, payload_of(number), "accepted")
        for number, at in enumerate(range(first_ms, last_ms, every_ms))
    ]
    sql = (
        "INSERT INTO frame (node, received_ms, synced, radio, type, key_id, counter, rssi, snr, payload, outcome)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    )
    with store.transaction():
        store.write_many(sql, rows)
    return rows


def _payload(node, **values):
    buffer = bytearray(64)
    defaults = {
        "state": 1,
        "policy": 0,
        "verdict": 0,
        "mode": 1,
        "change_unconfirmed": 0,
        "kernels_native": 1,
        "reserved": 0,
        "sensor_fault": 0,
        "score_ratio": 128,
        "rms_g": 250,
        "rms_velocity": 180,
        "learned_rows": 1,
        "battery_mv": 3000,
        "temperature_c": 20,
        "waiting_events": 0,
        "lost_events": 0,
        "heartbeat_s": 900,
        "window_period_s": 60,
        "uptime_h": 5,
        "downlink_snr": -128,
    }
    return bytes(buffer[: payloads.pack_into(payloads.STATUS, buffer, 0, {**defaults, **values})])


def _keep(keeper, now_ms, mono=[0]):  # noqa: B006
    mono[0] += 10_000_000
    pieces = 0
    while keeper.step(Instant(now_ms, mono[0], synced=True)):
        pieces += 1
    return pieces


def test_frames_become_hours_and_hours_days_and_nothing_is_counted_twice(bench):
    node = bench.node()
    store = bench.store
    generator = random.Random(1)
    ratios = [generator.randrange(20, 500) for _ in range(40 * 96)]
    start = START_MS - 40 * DAY_MS
    _fill(store, 1, start, START_MS, 900_000, lambda i: _payload(node, score_ratio=ratios[i], state=3 if i == 5 else 1))
    keeper = retention.Keeper(config.Retention(frames_days=10, hours_days=20, days_days=3000), store)
    pieces = _keep(keeper, START_MS)
    assert pieces >= 2
    assert _sql(bench.path, "SELECT count(*) FROM frame WHERE type = 3") == [(10 * 96,)]
    hours = _sql(bench.path, "SELECT count(*), sum(count) FROM history WHERE span_s = 3600")
    days = _sql(bench.path, "SELECT count(*), sum(count) FROM history WHERE span_s = 86400")
    assert (hours, days) == ([(10 * 24, 10 * 96)], [(20, 20 * 96)])
    first = _sql(
        bench.path, "SELECT ratio_min, ratio_mean, ratio_max, state, rms_velocity FROM history WHERE span_s = 86400"
    )[0]
    of_day = [ratio / 256 for ratio in ratios[:96]]
    assert first == pytest.approx((min(of_day), sum(of_day) / 96, max(of_day), codes.STATES.index("alarm"), 1.8))
    assert _keep(keeper, START_MS) == 0


def test_nothing_is_forgotten_on_the_word_of_a_clock_that_is_wrong(bench):
    node = bench.node()
    bench.hear(node.status())
    keeper = retention.Keeper(config.Retention(), bench.store)
    assert not keeper.step(Instant(START_MS + 4000 * DAY_MS, 10_000_000, synced=False))
    assert _sql(bench.path, "SELECT count(*) FROM frame") == [(1,)]


def test_events_are_forgotten_after_their_time(bench):
    node = bench.node()
    bench.hear_all([node.alert(), node.alert("boot")])
    bench.request("comment", id="1", node=node.name, comment="x")
    keeper = retention.Keeper(config.Retention(events_days=5, days_days=5), bench.store)
    _keep(keeper, START_MS + 4 * DAY_MS)
    assert _sql(bench.path, "SELECT count(*) FROM event") == [(2,)]
    _keep(keeper, START_MS + 6 * DAY_MS)
    assert _sql(bench.path, "SELECT (SELECT count(*) FROM event), (SELECT count(*) FROM maintenance)") == [(0, 0)]


@pytest.mark.slow
def test_ten_years_fit(tmp_path):
    """Bytes of one node's ten years: every frame for 30 days, 400 days by the hour, the rest by the day, an event a day."""
    path = tmp_path / "gateway.db"
    store = Store(path, create=True)
    with store.transaction():
        store.add_node("02a1b2c3d4e5f607", 7, "fan", "", 4, bytes(16), 0)
    keeper = retention.Keeper(config.Retention(), store)
    payload = _payload(None)
    start = START_MS
    for month in range(120):
        _fill(store, 1, start + month * 30 * DAY_MS, start + (month + 1) * 30 * DAY_MS, 900_000, lambda _: payload)
        with store.transaction():
            store.write_many(
                "INSERT INTO event (node, key_check, sequence, event_ms, received_ms, type, severity, document)"
                " VALUES (1, 'c6a1', ?, ?, ?, 'machine_alarm', 'alarm', ?)",
                [
                    (month * 30 + i, start + (month * 30 + i) * DAY_MS, start + (month * 30 + i) * DAY_MS, "x" * 650)
                    for i in range(30)
                ],
            )
        _keep(keeper, start + (month + 1) * 30 * DAY_MS)
    store.close()
    size = path.stat().st_size
    frames, hours, days = (
        _sql(path, sql)[0][0]
        for sql in (
            "SELECT count(*) FROM frame",
            "SELECT count(*) FROM history WHERE span_s = 3600",
            "SELECT count(*) FROM history WHERE span_s = 86400",
        )
    )
    assert (frames, hours, days) == (2880, 370 * 24, 3200)
    print(f"ten years of one node: {size / 1e6:.2f} MB")
    assert size < 10e6


def test_many_old_rows_do_not_hold_up_the_frames(bench):
    node = bench.node()
    _fill(bench.store, 1, START_MS - 100 * DAY_MS, START_MS - 60 * DAY_MS, 100_000, lambda _: _payload(node))
    keeper = retention.Keeper(config.Retention(), bench.store)
    began = time.monotonic()
    assert keeper.step(Instant(START_MS, 10_000_000, synced=True))
    assert time.monotonic() - began < 0.5, "one piece is short"
