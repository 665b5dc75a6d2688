"""What must not end the gateway, nor keep it from coming back: strange requests, damage, refusals in the middle."""

import contextlib
import dataclasses
import json
import os
import socket
import sqlite3
import subprocess
import sys
import termios
import threading

import pytest
from gateway_bench import START_MS

from fieldelm import frame, payloads
from fieldelm_gateway import (
    backup,
    broker,
    check,
    config as configuration,
    core,
    database,
    documents,
    ingress_serial,
    install,
    keyfile,
    maintenance,
    salvage,
    service,
)
from fieldelm_gateway.clock import HostClock
from fieldelm_gateway.dashboard.server import read_token
from fieldelm_gateway.errors import DamagedError, DatabaseError, DatabaseUnavailableError, UsageError
from fieldelm_gateway.publisher import Published, Publisher
from fieldelm_gateway.requests import Request
from fieldelm_gateway.rows import Command
from fieldelm_gateway.store import Store
from fieldelm_tools.provision import provision


def _cli(*arguments, **options):
    command = [sys.executable, "-m", "fieldelm_tools.cli", *map(os.fspath, arguments)]
    return subprocess.run(command, capture_output=True, timeout=60, **options)


def _config(folder, **sections):
    """The configuration of a gateway in an air that does not answer, and the file that says so."""
    path = folder / "gateway.toml"
    path.write_text(
        f'[database]\npath = "{folder / "gateway.db"}"\n[mqtt]\nurl = "mqtt://127.0.0.1:1"\n'
        '[dashboard]\nenabled = false\n[[radio]]\nkind = "air"\naddress = "127.0.0.1:1"\n',
        encoding="utf-8",
    )
    return dataclasses.replace(configuration.load(path), **sections), path


# requests


@pytest.mark.parametrize("command", ["acknowledge", "comment", "shelve"])
@pytest.mark.parametrize("text", ["\ud800", "\x1b]0;owned\x07", "x\0y", "\u202egpj"])
def test_a_comment_that_no_terminal_should_show_is_refused(bench, command, text):
    node = bench.node()
    bench.hear(node.alert())
    bench.request(command, id="1", node="fan", comment=text)
    assert bench.outbox(f"/response/{command}")[-1]["status"] == "error"
    bench.request(command, id="2", node="fan", comment="bearing ordered\nfor Monday")
    assert bench.outbox(f"/response/{command}")[-1]["status"] == "ok"


def test_a_comment_that_is_not_utf_8_is_refused_where_it_is_typed(tmp_path):
    config, path = _config(tmp_path)
    provision(config.database_path(), tmp_path / "nodes", "fan")
    done = _cli("node", "comment", "fan", b"M\xfcller", "--config", path, env={**os.environ, "PYTHONUTF8": "1"})
    assert done.returncode == 2
    assert b"is not UTF-8" in done.stderr
    with contextlib.closing(Store(config.database_path())) as store:
        assert not store.query("SELECT * FROM inbox")


def test_a_request_that_meets_a_fault_in_the_program_is_refused_once_and_the_round_goes_on(bench, monkeypatch):
    node = bench.node()
    with bench.store.transaction():
        row = maintenance.ask(bench.store, "comment", "1", node.eui, "Ada", {"comment": "first"})

    def faulty(state, batch, request, now):
        batch.request_ids.add("half done")
        batch.writes.maintenance.append(None)
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(maintenance, "handle", faulty)
    with contextlib.closing(Store(bench.path)) as other, other.transaction():  # the gateway notices
        other.write("UPDATE node SET location = 'cellar'")
    bench.hear(node.alert())
    assert bench.rows(f"SELECT answer FROM inbox WHERE id = {row}") == [
        ("this request has met a fault in the gateway: its log shows where",)
    ]
    (answer,) = bench.outbox("/response/comment")
    assert (answer["id"], answer["status"]) == ("1", "error")
    assert len(bench.outbox(f"{node.eui}/event")) == 1


def test_a_frame_that_meets_a_fault_in_the_program_is_dropped_and_the_others_are_answered(bench, monkeypatch, caplog):
    fan, pump, mill = (bench.node(name) for name in ("fan", "pump", "mill"))
    bench.hear_all([node.hello() for node in (fan, pump, mill)])
    read = documents.status

    def faulty(verified, uplink):
        return read(verified, uplink) if verified.node.name != "pump" else {}["a fault"]

    with monkeypatch.context() as patched:
        patched.setattr(documents, "status", faulty)
        dropped = pump.status(ack=True)
        answers = bench.hear_all([fan.alert(), dropped, mill.alert(), dropped, fan.status(ack=True)])
    assert [answer is not None for answer in answers] == [True, False, True, False, True]
    assert bench.drops == {"bad_payload": 2}
    assert bench.core.tally.frames["received"] == 8
    assert [len(bench.outbox(f"{node.eui}/event")) for node in (fan, pump, mill)] == [1, 0, 1]
    assert caplog.text.count("a frame has met a fault in the program") == 2
    assert bench.hear(dropped) is not None, "nothing of it counted"


# a damaged database


def _tables():
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        for _, sql in database.migrations():
            connection.executescript(sql)
        return [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE rootpage ORDER BY name")]


@pytest.mark.parametrize("table", _tables())
def test_a_database_that_is_damaged_in_any_table_or_index_is_recovered_at_the_start(tmp_path, table):
    config, _ = _config(tmp_path)
    path = config.database_path()
    made = [provision(path, tmp_path / "nodes", f"fan-{number}") for number in range(3)]
    backup.write_daily(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xaa" * size)
    for _ in range(2):
        gateway = service._start(config)
        try:
            assert {node.eui for node in gateway.core.state.rows.values()} == {one.eui for one in made}
        finally:
            gateway.stop()
    assert len(list(tmp_path.glob("gateway.db.damaged-*[0-9]"))) == 1, "and only the first time"


_WITH_ROWS = ("frame", "event", "outbox", "airtime", "maintenance", "model")


@pytest.mark.parametrize("table", [*_WITH_ROWS, "frame_by_time", "event_by_time"])
def test_what_can_be_read_of_a_damaged_database_is_kept(bench, table, caplog):
    node = bench.node()
    bench.hear_all([node.hello(), node.alert(), node.status(ack=True)])
    bench.request("comment", id="1", node="fan", comment="bearing ordered")
    with bench.store.transaction():
        bench.store.write(
            "INSERT INTO model (model, node, eui, name, total, data, begun_ms, heard_ms) VALUES (1, 1, ?, 'fan', 1, x'00', 0, 0)",
            (node.eui,),
        )

    def rows():
        return {name: bench.rows(f"SELECT * FROM {name}") for name in _WITH_ROWS}

    before = rows()
    assert all(before.values())
    bench.close()
    with contextlib.closing(sqlite3.connect(bench.path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    with bench.path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xaa" * 4096)
    with contextlib.closing(Store(bench.path)) as store, pytest.raises(DamagedError):
        store.check(60)
    salvage.recover(bench.path)
    lost = {table} & set(_WITH_ROWS)
    assert f"Lost, in whole or in part: {table if lost else 'nothing'}" in caplog.text
    assert ("events that had not been published may be among it" in caplog.text) is (table == "outbox")
    assert rows() == {name: [] if name in lost else found for name, found in before.items()}
    bench.start()
    assert bench.store.check(60)
    bench.hear(node.alert())
    assert len(bench.rows("SELECT * FROM event")) == (1 if table == "event" else 2), "it goes on"


def test_damage_in_the_middle_of_the_log_is_found_at_the_start_if_there_is_time(tmp_path):
    config, _ = _config(tmp_path)
    path = config.database_path()
    provision(path, tmp_path / "nodes", "fan")
    with contextlib.closing(Store(path)) as store:
        with store.transaction():
            row = (1, 0, 1, "radio", 1, 0, 0, -80, 5.0, b"\xcc" * 200, "accepted")
            marks = ", ".join("?" * len(row))
            store.write_many(f"INSERT INTO frame VALUES (NULL, {marks})", [row] * 100_000)
        assert store.check(60) is True
    backup.write_daily(path)
    content = bytearray(path.read_bytes())
    middle = content.index(b"\xcc" * 200, len(content) // 2) // 4096 * 4096
    content[middle : middle + 4096] = b"\xaa" * 4096
    path.write_bytes(content)
    with contextlib.closing(Store(path)) as store:
        with pytest.raises(DamagedError, match=r"is damaged.*: move it away") as found:
            store.check(60)
        assert "\n" not in str(found.value)
    service._start(config).stop()
    assert list(tmp_path.glob("gateway.db.damaged-*"))


def test_a_log_that_is_too_long_to_be_read_at_the_start_does_not_keep_it_from_starting(tmp_path, monkeypatch, caplog):
    config, _ = _config(tmp_path)
    path = config.database_path()
    provision(path, tmp_path / "nodes", "fan")

    class Over:
        """A timer whose time is over as soon as something is read."""

        def __init__(self, seconds, interrupt):
            assert seconds == service._CHECK_S
            self._connection = interrupt.__self__

        def start(self):
            self._connection.set_progress_handler(lambda: 1, 100)

        def is_alive(self):
            return True

        def cancel(self):
            self._connection.set_progress_handler(None, 0)

        def join(self):
            pass

    caplog.set_level("INFO")
    monkeypatch.setattr(database.threading, "Timer", Over)
    gateway = service.Gateway(config)
    gateway.start()
    gateway.stop()
    assert "the log is long" in caplog.text


def test_time_that_is_over_between_two_tables_is_over(bench, monkeypatch):
    # SQLite forgets an interruption where nothing can be interrupted
    timer = threading.Timer

    def over(_seconds, interrupt):
        made = timer(0, interrupt)
        made.start()
        made.join()
        monkeypatch.setattr(made, "start", lambda: None)
        return made

    monkeypatch.setattr(database.threading, "Timer", over)
    assert bench.store.check(5) is False


def test_what_cannot_be_used_at_the_start_is_let_go_of(tmp_path):
    config, _ = _config(tmp_path)
    provision(config.database_path(), tmp_path / "nodes", "fan")
    refused = dataclasses.replace(config, dashboard=dataclasses.replace(config.dashboard, enabled=True, token_file="/"))
    with pytest.raises(configuration.ConfigError):
        service.Gateway(refused)
    service._start(config).stop()


def _make_older(path):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TABLE model")
        newest = database.migrations()[-1][0]
        assert "CREATE TABLE model" in database.migrations()[-1][1]
        connection.execute(f"PRAGMA user_version = {newest - 1}")


def test_the_schema_of_a_running_gateway_is_left_as_it_is(tmp_path):
    config, path = _config(tmp_path)
    provision(config.database_path(), tmp_path / "nodes", "fan")
    _make_older(config.database_path())
    with database.lock(config.database_path()):
        done = _cli("node", "comment", "fan", "hello", "--config", path, text=True)
        assert done.returncode == 1
        assert "start the gateway again" in done.stderr
        with pytest.raises(DatabaseError, match="in use by another"):
            service.Gateway(config)
        assert not list(tmp_path.glob("*.schema-*"))
    service._start(config).stop()
    assert list(tmp_path.glob("*.schema-*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only the administrator can give files away")
def test_what_the_administrator_makes_belongs_to_the_services_user(tmp_path):
    config, path = _config(tmp_path)
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, 12345, 12346)
    config = dataclasses.replace(config, database=dataclasses.replace(config.database, path=str(state / "gateway.db")))
    provision(config.database_path(), tmp_path / "nodes", "fan")
    copied = tmp_path / "copy.db"
    backup.write(config.database_path(), copied)
    backup.restore(copied, config.database_path(), 1, 2)
    read_token(config)
    backup.write_daily(config.database_path())
    _make_older(config.database_path())
    with contextlib.closing(Store(config.database_path())) as store, store.transaction():
        store.write("UPDATE node SET location = 'roof'")
        files = sorted(state.iterdir())
        assert {"gateway.db", "gateway.db-wal", "gateway.db-shm", "gateway.db.lock", "dashboard.token"} < {
            file.name for file in files
        }
        theirs = [file.name for file in files if "replaced" not in file.name]
        assert [name for name in theirs if (state / name).stat().st_uid != 12345] == []
        assert [name for name in theirs if (state / name).stat().st_gid != 12346] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only the administrator can give files away")
@pytest.mark.parametrize("name", ["gateway.db", "gateway.db.lock"])
@pytest.mark.parametrize("there", [False, True], ids=["dangling", "a file"])
def test_the_administrator_makes_and_gives_away_nothing_through_a_link_of_the_services_user(tmp_path, name, there):
    state, elsewhere = tmp_path / "state", tmp_path / "elsewhere"
    for folder in (state, elsewhere):
        folder.mkdir()
    os.chown(state, 12345, 12346)
    target = elsewhere / name
    if there:
        target.touch()
    (state / name).symlink_to(target)
    path = state / "gateway.db"
    with contextlib.suppress(DatabaseError):
        Store(path, create=True).close()
    with contextlib.suppress(DatabaseError):
        database.lock(path).close()
    database.hand_over(state / name)
    assert [(file.name, file.stat().st_uid) for file in elsewhere.glob(f"{name}*")] == ([(name, 0)] if there else [])


def test_the_service_may_take_its_time_to_start():
    # it copies the whole database before it changes its schema: systemd must not end it halfway
    assert "\nTimeoutStartSec=infinity\n" in install._UNIT


# what was refused


def test_a_refused_first_frame_under_a_new_key_changes_nothing(make_bench):
    bench = make_bench(database={"outbox_limit": 10})
    node = bench.node()
    node.counter, node.sequence = 100_000, 70_000
    with bench.store.transaction():
        bench.store.write("UPDATE node_key SET highest = 100000, seen = 1, last_sequence = 70000")
    bench.restart()
    with contextlib.closing(Store(bench.path)) as other, other.transaction():
        other.add_command(Command(0, "1", 1, "rotate_key", {}, 0, bench.clock.now().epoch_ms, 1 << 60))
        for number in range(10):
            other.add_message("x", str(number), 0)
    ((new_key,),) = bench.rows("SELECT key FROM node_key WHERE pending")
    before = bench.rows("SELECT * FROM node_key ORDER BY key_id")
    bench.tick()
    old_key = node.key
    node.use_key(1, new_key)
    refused = node.alert()
    assert bench.hear(refused) is None
    assert bench.drops == {"store_full": 1}
    assert bench.rows("SELECT * FROM node_key ORDER BY key_id") == before, "the old key still stands"
    bench.restart()
    with contextlib.closing(Store(bench.path)) as other, other.transaction():
        other.write("DELETE FROM outbox")
    bench.tick()
    assert bench.hear(refused) is not None
    assert bench.hear(node.alert()) is not None
    assert bench.rows("SELECT key_id, highest, last_sequence FROM node_key") == [(1, 100_002, 70_002)]
    assert bench.hear(refused) is None, "nor is it heard twice"
    node.use_key(0, old_key)
    assert bench.hear(node.alert()) is None


def test_a_document_that_the_broker_refuses_may_have_been_forgotten_meanwhile(tmp_path):
    config, _ = _config(tmp_path)
    Store(config.database_path(), create=True).close()

    class Wire:
        maximum_packet_size = 1000

        def publish(self, topic, payload, *, retain):
            return 1

        def room(self, topic):
            return 10_000

    publisher = Publisher(config, Store(config.database_path(), read_only=True), lambda _: None)
    with contextlib.closing(publisher):
        publisher.remember("t/x", "1")
        assert publisher._publish_current(Wire())
        publisher.forget("t/x")
        publisher._refused("t/x", broker.Confirmed(1, "not authorized"))
        assert not publisher._publish_current(Wire())


def test_a_topic_cannot_write_lines_of_its_own_into_the_log(tmp_path, caplog):
    config, _ = _config(tmp_path)
    Store(config.database_path(), create=True).close()
    topic = f"{config.base_topic()}/request/x\nERROR all is lost\x1b[2J{'y' * 60_000}"

    class Wire:
        def notices(self):
            return [broker.Arrived(topic, b"{}", retained=True)]

    with contextlib.closing(
        Publisher(config, Store(config.database_path(), read_only=True), lambda _: None)
    ) as publisher:
        publisher._take_notices(Wire())
    (said,) = caplog.messages
    assert said.isprintable() and len(said) < 400


# what is away or wrong while it runs


def test_a_daily_copy_that_fails_is_told_and_tried_again(bench, caplog):
    node = bench.node()
    bench.tick()
    copy = backup.daily_path(bench.path)
    copy.unlink()
    in_the_way = copy.with_name(copy.name + ".part")
    in_the_way.mkdir()
    bench.tick(backup.DAILY_S * 1000)
    assert "the daily copy of nodes and keys cannot be made" in caplog.text
    in_the_way.rmdir()
    bench.tick(60_000)
    assert not copy.exists()
    bench.tick(600_000)
    assert copy.exists()
    assert bench.hear(node.alert()) is not None


def test_the_daily_copy_is_of_one_moment_whoever_writes_meanwhile(bench, monkeypatch):
    bench.node("fan")
    connect = sqlite3.connect

    class Slow(sqlite3.Connection):
        """After the first table of the copy another program makes a node."""

        def execute(self, sql, *values):
            rows = super().execute(sql, *values)
            if sql.endswith(" FROM node "):
                bench.node("pump")
            return rows

    def slow(*arguments, **options):
        return connect(*arguments, **({"factory": Slow} if options.get("uri") else {}), **options)

    with monkeypatch.context() as patched:
        patched.setattr(backup.sqlite3, "connect", slow)
        backup.write_daily(bench.path)
    with contextlib.closing(connect(backup.daily_path(bench.path))) as copy:
        assert copy.execute("SELECT (SELECT count(*) FROM node), (SELECT count(*) FROM node_key)").fetchall() == [
            (1, 1)
        ]
        assert copy.execute("PRAGMA foreign_key_check").fetchall() == []
    assert bench.rows("SELECT count(*) FROM node") == [(2,)]


def test_the_daily_copy_has_the_newest_commands_only(bench):
    bench.node()
    with bench.store.transaction():
        first = bench.store.add_command(Command(0, "waits", 1, "reboot", {}, 0, 0, 1 << 60))
        for number in range(1500):
            bench.store.add_command(Command(0, f"done-{number}", 1, "reboot", {}, 0, 0, 0))
        bench.store.write("UPDATE command SET state = 'done', finished_ms = 0 WHERE id > ?", (first.id,))
    backup.write_daily(bench.path)
    with contextlib.closing(sqlite3.connect(backup.daily_path(bench.path))) as connection:
        kept = [row[0] for row in connection.execute("SELECT request_id FROM command ORDER BY id")]
    assert kept == ["waits", *(f"done-{number}" for number in range(500, 1500))]


def test_a_database_that_cannot_be_read_for_a_moment_does_not_end_the_gateway(bench, monkeypatch):
    node = bench.node()
    bench.tick()

    def unreadable():
        raise DatabaseUnavailableError("x has a read error")

    with monkeypatch.context() as patched:
        patched.setattr(bench.store, "outbox_oldest_ms", unreadable)
        bench.tick(120_000)
    assert bench.current("/health")["queue"]["oldest_age_s"] is None
    assert bench.hear(node.alert()) is not None


def test_a_model_is_asked_for_again_although_it_was_asked_for_before_the_database_was_lost(bench):
    node = bench.node()
    bench.hear(node.hello())
    for number in range(2):
        with bench.store.transaction():
            bench.store.write(
                "INSERT OR REPLACE INTO model (model, node, eui, name, total, data, begun_ms, heard_ms, reminders)"
                " VALUES (42, 1, ?, 'fan', 100, x'00', 0, 0, 0)",
                (node.eui,),
            )
            bench.store.write("UPDATE command SET state = 'expired'")
        bench.restart()
        bench.tick()
        bench.hear(node.status())
        assert len(bench.rows("SELECT * FROM command WHERE command = 'model_get'")) == number + 1


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ("mqtt", 'url = "mqtt://a..b"'),
        ("mqtt", f'url = "mqtt://{"x" * 70}.de"'),
        ("mqtt", 'url = "mqtts://localhost"\nca_file = "/x\\u0000"'),
        ("mqtt", 'url = "mqtts://localhost"\nca_file = "~nobody-here/x"'),
        ("dashboard", 'listen = "a..b:8093"'),
        ("dashboard", 'token_file = "~nobody-here/x"'),
        ("[radio]", 'kind = "air"\naddress = "a..b:1"'),
        ("[radio]", 'kind = "air"\naddress = "localhost:١"'),
        ("[radio]", 'port = "foo://x"'),
        ("[radio]", 'port = "socket://localhost"'),
        ("[radio]", 'port = "/dev/tty\\u0000x"'),
    ],
)
def test_addresses_that_no_library_takes_are_refused_by_name(section, text):
    with pytest.raises(configuration.ConfigError, match="must be"):
        configuration.read(f"[{section}]\n{text}\n", "gateway.toml")


def test_addresses_that_libraries_take_are_taken():
    for url in ("mqtt://localhost", "mqtt://[::1]:1883", "mqtts://bücher.example:8883", "mqtt://under_score"):
        configuration.read(f'[mqtt]\nurl = "{url}"\n', "")
    for port in ("COM3", "/dev/serial/by-id/usb-Pico", "socket://[::1]:7501", "socket://modem.local:1"):
        configuration.read(f'[[radio]]\nport = "{port}"\n', "")


def test_whatever_a_driver_raises_the_radio_is_tried_again(monkeypatch):
    tries = []

    def refuse(*_arguments, **_options):
        tries.append(1)
        raise (termios.error(22, "Invalid argument"), ZeroDivisionError())[len(tries) % 2]

    monkeypatch.setattr(ingress_serial.serial, "serial_for_url", refuse)
    monkeypatch.setattr(ingress_serial, "_PAUSE_S", 0.01)
    radio = ingress_serial.SerialRadio(configuration.Radio(), HostClock())
    radio.start(lambda _: None)
    while len(tries) < 4:
        radio._thread.join(0.01)
        assert radio._thread.is_alive()
    radio.stop()
    assert "/dev/ttyACM0: " in radio.counters.problem


# names


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"eui": "zz" * 8}, '"eui" must be'),
        ({"eui": "a/#"}, '"eui" must be'),
        ({"keys": {"0": "00" * 15}}, '"keys" must be'),
        ({"node_id": 70_000}, '"node_id" must be'),
        ({"name": "c\nd"}, "the name"),
        ({"name": "x" * 5000}, '"name" must be'),
        ({"link": {"tag_bytes": 5}}, '"tag_bytes" must be'),
    ],
)
def test_a_node_that_could_not_be_is_not_added(tmp_path, change, words):
    config, path = _config(tmp_path)
    card = {"schema": 1, "board": "sim", "eui": "AB" * 8, "node_id": 1, "name": "a", "keys": {"0": "00" * 16}}
    file = tmp_path / "config.json"
    file.write_text(json.dumps(card | change))
    done = _cli("node", "add", file, "--config", path, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert words in done.stderr
    assert str(file) in done.stderr or words == "the name"
    file.write_text(json.dumps(card))
    assert _cli("node", "add", file, "--config", path, text=True).returncode == 0
    with contextlib.closing(Store(config.database_path())) as store:
        assert [node.eui for node in store.nodes()] == ["ab" * 8]


def test_no_node_has_another_ones_name_id_or_eui_for_a_name(bench):
    fan, pump = bench.node("fan"), bench.node("pump")
    requests = [
        Request("describe", json.dumps({"id": number, "node": node.eui, "name": name}).encode())
        for number, node, name in (
            ("1", fan, "mill"),
            ("2", pump, "mill"),
            ("3", pump, str(fan.node_id)),
            ("4", pump, fan.eui),
            ("5", pump, fan.eui.upper()),
            ("6", pump, str(pump.node_id)),
        )
    ]
    bench.core.step(requests)
    assert [one["status"] for one in bench.outbox("/response/describe")] == ["ok", *["error"] * 4, "ok"]
    assert {node.name for node in bench.core.state.rows.values()} == {"mill", str(pump.node_id)}
    assert set(bench.rows("SELECT name FROM node")) == {("mill",), (str(pump.node_id),)}
    for name in (str(fan.node_id), fan.eui, fan.eui.upper()):
        with pytest.raises(UsageError, match="would be mistaken"):
            bench.node(name)
    assert [bench.node(name).node_id for name in ("3", "5", "saw")] == [3, 4, 6], "no node gets an id that is a name"


# what was received without the time


@pytest.mark.parametrize("restarts", [False, True], ids=["at once", "after a restart"])
def test_what_was_received_while_the_clock_stood_at_1970_is_kept(bench, restarts):
    node = bench.node()
    bench.clock.wrong_by_ms, bench.clock.synced = -START_MS + 86_400_000, False
    bench.tick()
    for data in (node.alert(), node.status()):
        bench.hear(data)
    bench.request("comment", id="1", node="fan", comment="loud")
    heard_ms = bench.clock.ms
    bench.tick(60_000)
    if restarts:
        bench.restart()
    bench.clock.wrong_by_ms, bench.clock.synced = 0, True
    for _ in range(12):
        bench.tick()
    latest = heard_ms + (63_000 if restarts else 0)  # as early as it can be known
    assert bench.rows("SELECT event_ms <= received_ms FROM event") == [(1,)]
    received = bench.rows("SELECT received_ms FROM event UNION ALL SELECT received_ms FROM frame")
    assert len(received) == 3
    assert all(heard_ms <= ms - START_MS <= latest for (ms,) in received)
    assert bench.rows("SELECT count(*) FROM maintenance") == [(1,)]


def test_what_was_received_by_the_right_clock_stays_where_it_is_when_a_wrong_one_is_set(bench):
    node = bench.node()
    bench.tick()
    bench.hear(node.alert())
    right = bench.rows("SELECT received_ms, event_ms FROM event")
    bench.tick(60_000)
    bench.clock.wrong_by_ms, bench.clock.synced = -120_000, False
    bench.restart()
    bench.tick()
    bench.tick(120_000)
    bench.clock.wrong_by_ms, bench.clock.synced = 0, True
    bench.tick()
    assert bench.rows("SELECT received_ms, event_ms FROM event") == right


# a round that is decided twice


def _disturbed(bench, monkeypatch):
    """Let another program write while the next round is decided; returns how often it was committed or tried to be."""
    commit, tries = bench.store.commit, []

    def disturbed(writes, version):
        tries.append(1)
        if len(tries) == 1:
            with contextlib.closing(Store(bench.path)) as other, other.transaction():
                other.write("UPDATE node SET location = hex(randomblob(4))")
        return commit(writes, version)

    monkeypatch.setattr(bench.store, "commit", disturbed)
    return tries


def _trace(node, first, total, data):
    head = bytearray(payloads.size(payloads.TRACE))
    names = [
        name
        for field in payloads.TRACE
        for name in ([field[0]] if isinstance(field[0], str) else [f[0] for f in field[0]])
    ]
    payloads.pack_into(payloads.TRACE, head, 0, dict.fromkeys(names, 0) | {"total": total, "first": first, "step": 1})
    return node.seal(frame.TRACE, bytes(head) + data, ack=True)


def test_a_round_that_is_decided_twice_spends_its_airtime_once(bench, monkeypatch):
    node = bench.node()
    bench.hear(node.hello())
    account = bench.core.state.duty["radio"]
    once = account.used_us(bench.clock.now())
    assert once > 0
    tries = _disturbed(bench, monkeypatch)
    assert bench.hear(node.alert()) is not None
    assert len(tries) == 2
    assert bench.core.state.duty["radio"].used_us(bench.clock.now()) == 2 * once
    assert bench.rows("SELECT sum(airtime_us) FROM airtime") == [(2 * once,)]


def test_a_round_that_is_decided_twice_tells_a_trace_and_a_suspicion_once(bench, monkeypatch):
    node = bench.node()
    bench.hear_all([node.hello(), _trace(node, 0, 4, b"\x01\x02")])
    forged = bytearray(node.alert())
    forged[-1] ^= 1
    bench.hear_all([bytes(forged)] * 19)
    tries = _disturbed(bench, monkeypatch)
    bench.hear_all([_trace(node, 2, 4, b"\x03\x04"), bytes(forged)])
    assert len(tries) == 2
    assert len(bench.outbox("/trace")) == 1
    assert [(one["kind"], one["count"]) for one in bench.outbox("/security")] == [("forgery", 20)]
    assert bench.drops == {"bad_tag": 20}
    assert bench.core.state.traces == {}


# bounds


def test_requests_that_nobody_answers_are_not_collected_without_end(tmp_path):
    config, path = _config(tmp_path)
    provision(config.database_path(), tmp_path / "nodes", "fan")
    with contextlib.closing(Store(config.database_path())) as store, store.transaction():
        for _ in range(999):
            maintenance.ask(store, "comment", "1", "fan", "Ada", {"comment": "hello"})
    asked = [_cli("node", "comment", "fan", "hello", "--wait", "0", "--config", path, text=True) for _ in range(2)]
    assert [done.returncode for done in asked] == [1, 2]
    assert "1000 requests wait for the gateway already" in asked[1].stderr


def test_answers_that_nobody_reads_any_more_are_forgotten(bench):
    node = bench.node()
    with bench.store.transaction():
        for number in range(1500):
            maintenance.ask(bench.store, "comment", str(number), node.eui, "Ada", {"comment": "hello"})
            bench.store.write("UPDATE inbox SET answer = 'ok' WHERE id <> 7")
    for _ in range(3):
        bench.tick()
    assert bench.rows("SELECT count(*), min(id), max(id) FROM inbox") == [(1001, 500, 1500)]


def test_requests_do_not_fill_the_memory_while_the_database_cannot_be_written(bench, monkeypatch, caplog):
    node = bench.node()
    bench.tick()
    monkeypatch.setattr(core, "_TRY_AGAIN_S", 0.0)
    with contextlib.closing(sqlite3.connect(bench.path, isolation_level=None)) as other:
        bench.store.query("PRAGMA busy_timeout = 1")
        other.execute("BEGIN IMMEDIATE")
        for round_ in range(3):
            bench.core.step(
                [
                    Request("comment", json.dumps({"id": f"{round_}-{number}", "node": "fan", "comment": "x"}).encode())
                    for number in range(512)
                ]
                + [Published((), ())]
            )
        assert sum(isinstance(item, Request) for item in bench.core._postponed) == 1000
        assert sum(isinstance(item, Published) for item in bench.core._postponed) == 3
        assert [f"{count} requests are dropped" in caplog.text for count in (24, 512)] == [True, True]
        other.execute("ROLLBACK")
    assert bench.hear(node.alert()) is not None


def test_importing_keys_takes_time_in_proportion(tmp_path):
    def steps(count):
        nodes = [
            {
                "eui": f"{number:016x}",
                "node_id": number,
                "name": f"fan-{number}",
                "location": "",
                "tag_bytes": 4,
                "tag_next": None,
                "created_ms": 0,
                "keys": [
                    {"key_id": 0, "key": f"{number:032x}", "highest": 1, "seen": 1, "last_sequence": 1}
                    | {"pending": 0, "origin": None}
                ],
            }
            for number in range(1, count + 1)
        ]
        done = [0]

        def one():
            done[0] += 1

        with contextlib.closing(Store(tmp_path / f"{count}.db", create=True)) as store:
            store._connection.set_progress_handler(one, 20)
            keyfile.bring(store, {"numbers": [], "nodes": nodes})
            store._connection.set_progress_handler(None, 0)
            assert len(store.nodes()) == count
        return done[0]

    assert steps(400) < 5 * steps(100)


# the command line


def test_a_modem_behind_a_socket_is_found_by_check(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = configuration.Radio(port=f"socket://127.0.0.1:{server.getsockname()[1]}")
        assert check._radio(port).ok
    assert not check._radio(port).ok


def test_a_copy_into_a_folder_says_which_file_it_is(tmp_path):
    config, path = _config(tmp_path)
    provision(config.database_path(), tmp_path / "nodes", "fan")
    (tmp_path / "copies").mkdir()
    done = _cli("gateway", "backup", tmp_path / "copies", "--config", path, text=True)
    (made,) = (tmp_path / "copies").iterdir()
    assert done.stdout.startswith(f"{made}: ")
    assert _cli("gateway", "restore", made, "--number", "2", "--config", path).returncode == 0


def test_actions_of_people_wait_and_answer_in_json(bench):
    node = bench.node()
    _, path = _config(bench.folder)

    def ask(*arguments, between=lambda: None):
        command = [sys.executable, "-m", "fieldelm_tools.cli", "node", *arguments, "--json", "--config", str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            while process.poll() is None:
                between()
            said, wrong = process.communicate()
            assert wrong == ""
            return process.returncode, json.loads(said)

    code, said = ask("comment", "fan", "hello", "--wait", "0.2")
    assert (code, said["state"], said["message"]) == (1, "waiting", "waits until the gateway runs")
    with database.lock(bench.path):
        code, said = ask("comment", "fan", "hello", "--wait", "0.2")
        assert (code, said["message"]) == (1, "waits: the gateway runs, and has not answered yet")
    bench.tick()
    code, said = ask("comment", "fan", "hello", "--wait", "60", between=bench.tick)
    assert (code, said["state"], said["command"]) == (0, "done", "comment")
    assert bench.outbox("/response/comment")[-1]["id"] == said["id"]
    code, said = ask("acknowledge", node.eui, "--wait", "60", between=bench.tick)
    assert (code, said["state"]) == (1, "refused")
    assert said["message"] == "fan has no alarm to acknowledge"
