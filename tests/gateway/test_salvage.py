"""What can be read of a damaged database is kept, whatever else is damaged and whatever ends the work on it."""

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from gateway_brokers import free_port, wait_for

from fieldelm_gateway import backup, config as configuration, salvage, service
from fieldelm_gateway.store import Store
from fieldelm_tools.provision import provision

_PAGE = 4096


@pytest.fixture
def path(tmp_path):
    """A database with a node."""
    file = tmp_path / "gateway.db"
    provision(file, tmp_path / "nodes", "fan")
    return file


def _fill(path, rows=3000):
    with contextlib.closing(Store(path)) as store, store.transaction():
        for number in range(rows):
            store.add_message(f"message/{number}", "x" * 100, 0)


def _damage(path, *texts):
    """Make the pages where these texts are unreadable."""
    content = bytearray(path.read_bytes())
    for text in texts:
        at = content.index(text) // _PAGE * _PAGE
        content[at : at + _PAGE] = b"\xaa" * _PAGE
    path.write_bytes(content)


def _damage_root(path, table):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * _PAGE)
        file.write(b"\xaa" * _PAGE)


def _config(path):
    """Of a gateway in an air that does not answer."""
    file = path.parent / "gateway.toml"
    file.write_text(
        f'[database]\npath = "{path}"\n[mqtt]\nurl = "mqtt://127.0.0.1:1"\n'
        '[dashboard]\nenabled = false\n[[radio]]\nkind = "air"\naddress = "127.0.0.1:1"\n',
        encoding="utf-8",
    )
    return file


def _rows(path, sql):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def _on_page(path, text):
    """Numbers of the messages on the page where this text is."""
    content = path.read_bytes()
    start = content.index(text) // _PAGE * _PAGE
    page = content[start : start + _PAGE]
    return {number for number in range(3000) if b"message/%dx" % number in page}


def test_only_the_rows_of_damaged_pages_are_lost(path, monkeypatch, caplog):
    _fill(path)
    spots = [b"message/700x", b"message/1500x", b"message/1530x", b"message/2400x"]
    lost = set().union(*(_on_page(path, spot) for spot in spots))
    _damage(path, *spots)
    monkeypatch.setattr(salvage, "_PIECE", 1000)
    salvage.recover(path)
    kept = {int(topic.partition("/")[2]) for (topic,) in _rows(path, "SELECT topic FROM outbox")}
    assert len(lost) > 90
    assert kept == set(range(3000)) - lost
    assert "Lost, in whole or in part: outbox; events" in caplog.text


def test_what_follows_the_last_page_that_can_be_read_is_not_sought_for_ever(path, caplog):
    _fill(path)
    lost = _on_page(path, b"message/2999x")
    _damage(path, b"message/2999x")
    salvage.recover(path)
    assert len(_rows(path, "SELECT * FROM outbox")) == 3000 - len(lost)
    assert "in part: outbox" in caplog.text


def test_averages_are_kept_from_both_ends(path, caplog):
    with contextlib.closing(Store(path)) as store, store.transaction():
        row = (7, 0.5, 0.5, 0.5, 0.1, 1.0, 3000, 20.0, -80.0, 5.0, 1)
        marks = ", ".join("?" * 14)
        store.write_many(
            f"INSERT INTO history VALUES ({marks})", [(1, 3600, 0x6ACE0000 + hour, *row) for hour in range(3000)]
        )
    _damage(path, (0x6ACE0000 + 1500).to_bytes(4, "big"))
    salvage.recover(path)
    kept = {start - 0x6ACE0000 for (start,) in _rows(path, "SELECT start_ms FROM history")}
    assert {0, 1400, 1600, 2999} <= kept and 1500 not in kept
    assert 2900 < len(kept) < 3000
    assert "in part: history" in caplog.text


@pytest.mark.parametrize("table", ["node", "node_key", "command", "setting"])
def test_what_is_readable_is_kept_beside_nodes_from_the_daily_copy(path, table, caplog):
    _fill(path)
    backup.write_daily(path)
    with contextlib.closing(Store(path)) as store, store.transaction():
        store.write("INSERT INTO maintenance VALUES (NULL, 1, 'a', 1, 'Ada', 'mqtt', 'comment', NULL, '{}')")
        # of a node that the copy does not know
        store.write(
            "INSERT INTO node (id, eui, node_id, name, created_ms) VALUES (9, '00ff', 9, 'pump', 0) ON CONFLICT DO NOTHING"
        )
        store.write("INSERT INTO maintenance VALUES (NULL, 9, 'b', 1, 'Ada', 'mqtt', 'comment', NULL, '{}')")
    _damage_root(path, table)
    salvage.recover(path)
    assert "1 keys from the daily copy. Lost, in whole or in part: maintenance" in caplog.text
    assert _rows(path, "SELECT count(*) FROM outbox") == [(3000,)]
    assert _rows(path, "SELECT node, request_id FROM maintenance") == [(1, "a")]
    assert _rows(path, "PRAGMA foreign_key_check") == []


def test_a_value_that_cannot_be_is_left_out_and_told(path, caplog):
    _fill(path)
    content = path.read_bytes()
    at = content.index(b"message/1500x")
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff\xfe")  # no text
    _damage(path, b"message/100x")
    salvage.recover(path)
    assert 2900 < len(_rows(path, "SELECT id FROM outbox")) < 3000
    assert "in part: outbox" in caplog.text


_ENDS = """
import os, signal, sys
from pathlib import Path
from fieldelm_gateway import backup, salvage
path, when = Path(sys.argv[1]), sys.argv[2]
def end(*_): os.kill(os.getpid(), signal.SIGKILL)
if when == "rest":
    calls = iter(range(3))
    salvage.recover(path, working=lambda: next(calls, None) is None and end())
elif when == "aside":
    rename = Path.rename
    Path.rename = lambda self, target: (rename(self, target), end())
    salvage.recover(path)
else:
    backup.set_aside = end
    salvage.recover(path)
"""


_WRITES = """
import os, signal, sys
from pathlib import Path
from fieldelm_gateway.store import Store
store = Store(Path(sys.argv[1]))
with store.transaction():
    store.add_message("late", "x", 0)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("when", ["rest", "set aside", "aside"])
def test_whatever_ends_it_the_next_start_has_all_that_can_be_read(path, when):
    _fill(path, 12_000)
    _damage(path, b"message/5000x")
    subprocess.run([sys.executable, "-c", _WRITES, path], check=False)
    assert path.with_name("gateway.db-wal").stat().st_size
    done = subprocess.run([sys.executable, "-c", _ENDS, path, when], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    service._start(configuration.load(_config(path))).stop()
    assert _rows(path, "SELECT count(*) FROM node_key") == [(1,)]
    assert 11_900 < _rows(path, "SELECT count(*) FROM outbox WHERE topic LIKE 'message/%'")[0][0] < 12_000
    assert _rows(path, "SELECT payload FROM outbox WHERE topic = 'late'") == [("x",)]
    assert _rows(path, "PRAGMA integrity_check") == [("ok",)]
    assert not list(path.parent.glob("gateway.db.recover*"))


_RUNS = """
import sys, time
from pathlib import Path
from fieldelm_gateway import config, core, salvage, service, supervisor
from fieldelm_gateway.errors import DamagedError, GatewayError
step, write, rounds = core.Core.step, salvage._write, iter(range(3))
def damaged(self, items):
    if next(rounds, None) is None:
        raise DamagedError("met later")
    step(self, items)
def slow(*arguments):
    time.sleep(0.05)
    return write(*arguments)
salvage._PIECE, salvage._write = 100, slow
if sys.argv[2] == "later":
    core.Core.step = damaged
try:
    service.run(config.load(Path(sys.argv[1])))
except GatewayError as error:
    sys.exit(str(error))
"""


@pytest.fixture
def run(path):
    """A gateway under a supervisor: (process, what it tells next)."""
    address = str(path.parent / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear, contextlib.ExitStack() as opened:
        ear.bind(address)
        ear.settimeout(20)

        def start(when):
            process = subprocess.Popen(
                [sys.executable, "-c", _RUNS, _config(path), when],
                env={**os.environ, "NOTIFY_SOCKET": address},
                stderr=subprocess.PIPE,
                text=True,
            )
            opened.callback(process.kill)
            return process, lambda: ear.recv(4096).decode().partition("\n")[0]

        yield start


_LONGER = "EXTEND_TIMEOUT_USEC=60000000"


def test_the_supervisor_waits_while_a_damaged_database_is_saved_at_the_start(path, run):
    _fill(path)
    _damage(path, b"message/1500x")
    process, told = run("at once")
    said = [told()]
    while said[-1] != "READY=1":
        said.append(told())
    assert said.count(_LONGER) > 20 and set(said) == {_LONGER, "READY=1"}
    process.terminate()
    assert process.wait(20) == 0


def test_and_while_it_stops_because_of_damage(path, run):
    _fill(path)
    process, told = run("later")
    assert told() == "READY=1"
    assert told() == "STOPPING=1"
    assert [told() for _ in range(20)] == [_LONGER] * 20
    assert process.wait(20) == 1
    assert "met later" in process.stderr.read()
    assert len(list(path.parent.glob("gateway.db.damaged-*[0-9]"))) == 1


def test_who_ends_the_gateway_does_not_wait_for_that(path, run):
    _fill(path)
    _damage(path, b"message/1500x")
    before = path.read_bytes()
    process, told = run("at once")
    assert [told() for _ in range(3)] == [_LONGER] * 3
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 1
    assert "the next start does" in process.stderr.read()
    assert path.read_bytes() == before
    assert not list(path.parent.glob("gateway.db.[dr]*"))


def test_a_database_that_is_lost_does_not_take_its_daily_copy_with_it(bench, caplog):
    bench.node("fan")
    bench.tick()
    bench.close()
    bench.path.unlink()
    bench.start()
    bench.node("pump")
    bench.tick(60_000)
    bench.tick(60_000)
    names = {copy.name: _rows(copy, "SELECT name FROM node") for copy in bench.folder.glob("gateway.db.nodes*")}
    assert names.pop("gateway.db.nodes") == [("pump",)]
    (kept,) = names
    assert names[kept] == [("fan",)]
    assert f"that this database does not know: it is kept as {kept}" in caplog.text


_NO_ROOM = """
import resource, sys
from pathlib import Path
from fieldelm_gateway import salvage
from fieldelm_gateway.errors import GatewayError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    salvage.recover(Path(sys.argv[1]))
except GatewayError as error:
    sys.exit(str(error))
"""


def _without_room(path, size):
    return subprocess.run(
        [sys.executable, "-c", _NO_ROOM, path, str(size)], capture_output=True, text=True, check=False
    )


def test_where_there_is_no_room_for_the_nodes_nothing_changes(path):
    _fill(path)
    backup.write_daily(path)
    _damage(path, b"message/1500x")
    before = path.read_bytes()
    done = _without_room(path, 16_384)
    assert done.returncode == 1
    assert "is the disk full" in done.stderr
    assert path.read_bytes() == before
    assert not list(path.parent.glob("gateway.db.[dr]*"))


def test_where_there_is_no_room_for_the_log_the_nodes_live_on(path):
    _fill(path, 12_000)
    with contextlib.closing(Store(path)) as store, store.transaction():
        store.write("INSERT INTO maintenance VALUES (NULL, 1, 'a', 1, 'Ada', 'mqtt', 'comment', NULL, '{}')")
    _damage(path, b"message/11000x")
    kilobytes = path.stat().st_size // 1024
    disk = path.parent / "disk"
    disk.mkdir()
    steps = (
        f"mount -t tmpfs -o size={kilobytes + 900}k none {disk} || exit 9; cp {path} {disk}; "
        f"{sys.executable} -c '{_NO_ROOM}' {disk / path.name} 1000000000; code=$?; rm {disk / path.name}.damaged*; "
        f"cp {disk / path.name}* {path.parent}; exit $code"
    )
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", steps], capture_output=True, text=True, check=False
    )
    if done.returncode in (1, 9) and ("unshare" in done.stderr or "mount" in done.stderr):
        pytest.skip("no small disk can be made here: namespaces are not allowed")
    assert done.returncode == 0, done.stderr
    assert "1 keys out of it. Lost, in whole or in part: outbox" in done.stderr
    assert not list(path.parent.glob("gateway.db-*")) and not list(path.parent.glob("gateway.db.recover*"))
    assert _rows(path, "PRAGMA integrity_check") == [("ok",)]
    assert _rows(path, "SELECT count(*) FROM node_key") == [(1,)]
    assert 1000 < _rows(path, "SELECT count(*) FROM outbox")[0][0] < 11_000
    assert _rows(path, "SELECT who FROM maintenance") == [("Ada",)], "for which there is a page"


@pytest.mark.parametrize("reader", ["the publisher", "the page"])
def test_damage_that_only_a_reader_meets_is_mended_too(world, reader):
    world.port = free_port()
    world.dashboard = [f'listen = "127.0.0.1:{world.port}"']
    world.write_config()
    node = world.node()
    world.start_gateway()
    world.modem.exchange(node.alert())
    world.gateway.stop()
    world.start_gateway()
    wait_for(lambda: "dashboard: http" in world.gateway.said())
    _damage_root(world.database, "outbox" if reader == "the publisher" else "event")
    if reader == "the publisher":
        world.broker.start()
    else:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(f"http://127.0.0.1:{world.port}/api/log", timeout=20)
    assert world.gateway.process.wait(20) == 1
    world.start_gateway()  # as a supervisor would
    assert "was damaged and is now gateway.db.damaged-" in world.gateway.said()
    assert _rows(world.database, "SELECT name FROM node") == [("fan",)]
