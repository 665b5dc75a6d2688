"""The database when it is locked, read-only, full, damaged, foreign or too new; and the outbox when it is full."""

import os
import sqlite3
import stat
import subprocess
import sys

import pytest

from fieldelm_gateway import database
from fieldelm_gateway.errors import DatabaseError, DatabaseUnavailableError
from fieldelm_gateway.publisher import Published
from fieldelm_gateway.store import Store


def test_the_database_and_its_other_files_are_for_its_owner_alone(bench):
    bench.hear(bench.node().alert())
    files = sorted(path for path in bench.folder.iterdir() if path.name.startswith("gateway.db"))
    assert [path.name for path in files] == ["gateway.db", "gateway.db-shm", "gateway.db-wal", "gateway.db.nodes"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_what_is_committed_is_durable(bench):
    (mode,) = bench.store._rows("PRAGMA journal_mode")[0]
    (synchronous,) = bench.store._rows("PRAGMA synchronous")[0]
    assert (mode, synchronous) == ("wal", 2)


def test_locked_nothing_is_acknowledged_and_the_node_s_repeat_is_as_good_as_new(bench, caplog):
    node = bench.node()
    bench.hear(node.hello())
    other = sqlite3.connect(bench.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    data = node.alert()
    assert bench.hear(data) is None
    assert bench.hear(data) is None
    assert bench.drops == {"store_full": 2}
    assert "locked by another program" in caplog.text
    assert caplog.text.count("\n") == 1, "said once, not for every frame"
    other.execute("ROLLBACK")
    other.close()
    assert bench.hear(data) is not None
    assert "works again" in caplog.text
    assert len(bench.outbox("/event")) == 1
    bench.tick(60_000)
    health = bench.current("/health")
    assert (health["drops"]["store_full"], health["database_failures"]) == (2, 2)


def test_the_log_tells_what_was_committed_once(bench, caplog):
    node = bench.node()
    bench.hear(node.hello())
    caplog.set_level("INFO")
    other = sqlite3.connect(bench.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    data = node.alert()
    bench.hear(data)
    bench.request("policy", id="1", node=node.name, policy="ask")
    assert "machine_alarm" not in caplog.text
    assert "waits for it" not in caplog.text
    other.execute("ROLLBACK")
    other.close()
    bench.hear(data)
    assert caplog.text.count("fan: machine_alarm (alarm)") == 1


def test_a_database_that_is_moved_away_ends_the_core_before_anything_is_acknowledged(bench):
    node = bench.node()
    assert bench.hear(node.alert()) is not None
    bench.path.rename(bench.folder / "elsewhere.db")
    with pytest.raises(DatabaseError, match="moved away or replaced"):
        bench.hear(node.alert())
    bench.path.write_bytes((bench.folder / "elsewhere.db").read_bytes())  # a copy is restored under the running gateway
    with pytest.raises(DatabaseError, match="moved away or replaced"):
        bench.hear(node.alert())
    assert len(bench.radio.answers) == 0


def test_full_nothing_is_acknowledged_and_nothing_acknowledged_is_lost(bench, caplog):
    node = bench.node()
    bench.hear(node.hello())
    connection = bench.store._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 4}")
    acknowledged = 0
    while bench.hear(data := node.alert()) is not None:
        acknowledged += 1
    assert acknowledged > 0
    assert "disk is full" in caplog.text
    assert bench.drops["store_full"] == 1
    assert len(bench.outbox("/event")) == acknowledged
    connection.execute("PRAGMA max_page_count = 1000000")
    assert bench.hear(data) is not None
    assert len(bench.outbox("/event")) == acknowledged + 1


def test_read_only_nothing_is_acknowledged(bench, caplog):
    node = bench.node()
    bench.hear(node.hello())
    bench.store._connection.execute("PRAGMA query_only = ON")  # as of a file system that has gone read-only
    assert bench.hear(node.alert()) is None
    assert bench.drops == {"store_full": 1}
    assert "read-only" in caplog.text


def test_confirmations_and_requests_wait_while_the_database_cannot_be_written(bench):
    node = bench.node()
    bench.hear(node.alert())
    other = sqlite3.connect(bench.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    bench.core.step([Published(events=(1,), rest=())])
    bench.request("retrain", id="1", node=node.name)
    assert len(bench.outbox("/event")) == 1
    other.execute("ROLLBACK")
    other.close()
    bench.core._try_again_at = 0
    items = bench.core._collect()
    bench.core.step(items)
    assert bench.outbox("/event") == []
    assert bench.rows("SELECT request_id FROM command") == [("1",)]
    assert bench.core.state.outbox == [0, 1], "what maintenance asked"


def test_a_full_outbox_stops_acknowledging_and_drops_status_first(make_bench):
    bench = make_bench(database={"outbox_limit": 20})
    node = bench.node()
    for _ in range(18):
        bench.hear(node.alert())
    assert bench.hear(node.status(ack=True)) is not None  # its state is kept, but not queued
    assert bench.core.tally.status_dropped == 1
    assert bench.current(f"{node.eui}/state")["counter"] == 19
    assert bench.hear(node.alert()) is not None
    assert bench.hear(node.alert()) is not None
    data = node.alert()
    assert bench.hear(data) is None
    assert bench.drops == {"store_full": 1}
    bench.tick(60_000)
    health = bench.current("/health")
    assert (health["queue"]["full"], health["status_dropped"]) == (True, 1)
    bench.core.step([Published(events=(1, 2), rest=())])  # the broker is back
    assert bench.hear(data) is not None
    assert len(bench.outbox("/event")) == 19


def test_a_full_outbox_within_one_round(make_bench):
    bench = make_bench(database={"outbox_limit": 10})
    node = bench.node()
    answers = bench.hear_all([node.alert() for _ in range(14)])
    assert [answer is not None for answer in answers] == [True] * 10 + [False] * 4
    assert bench.core.state.outbox == [10, 0]


def test_a_newer_database_is_refused(tmp_path):
    path = tmp_path / "gateway.db"
    Store(path, create=True).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(DatabaseError, match="newer version"):
        Store(path)


def test_a_foreign_database_is_left_alone(tmp_path):
    path = tmp_path / "photos.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE photo (id INTEGER)")
    connection.close()
    with pytest.raises(DatabaseError, match="another program"):
        Store(path, create=True)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("photo",)]
    connection.close()


@pytest.mark.parametrize(
    "content", [b"no database at all, but a text of some length" * 100, b"SQLite format 3\0" + b"\xff" * 9000]
)
def test_a_damaged_database_is_named_with_the_mend(tmp_path, content):
    path = tmp_path / "gateway.db"
    path.write_bytes(content)
    with pytest.raises((DatabaseError, DatabaseUnavailableError)) as caught:
        Store(path, create=True)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_database_that_breaks_while_running_ends_the_core_with_one_line(bench):
    node = bench.node()
    bench.hear(node.alert())
    bench.store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with bench.path.open("r+b") as file:
        file.seek(0)
        file.write(b"\xee" * os.path.getsize(bench.path))
    bench.store._connection.execute("PRAGMA shrink_memory")  # forget the pages that are still right
    frames = [node.alert() for _ in range(5)]
    with pytest.raises(DatabaseError, match="move it away"):
        bench.hear_all(frames)


def test_two_gateways_do_not_share_a_database(tmp_path):
    path = tmp_path / "gateway.db"
    Store(path, create=True).close()
    holder = database.lock(path)
    with pytest.raises(DatabaseError, match="in use"):
        database.lock(path)
    holder.close()
    database.lock(path).close()


def test_errors_at_start_are_one_line_without_a_traceback(tmp_path):
    path = tmp_path / "gateway.toml"
    (tmp_path / "x.db").write_text("this is a text" * 200)
    for line, word in (
        (f'path = "{tmp_path}/x.db"', "not a database"),
        ('path = "/proc/no/gateway.db"', "cannot be made"),
        (f'path = "{tmp_path}"', "is not a file"),
    ):
        path.write_text(f"[database]\n{line}\n")
        done = subprocess.run(
            [sys.executable, "-m", "fieldelm_tools.cli", "gateway", "run", "--config", path],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 2
        assert word in done.stderr
        assert done.stderr.count("\n") == 1
        assert "Traceback" not in done.stderr
