"""The dashboard under what strangers send, and with a long log: nobody waits for it, and nothing ends in a traceback."""

import csv
import http.client
import io
import itertools
import json
import socket
import time

import pytest
from gateway_brokers import free_port, wait_for
from gateway_browser import open_browser, wait_until
from gateway_world import World

from fieldelm_gateway.config import GatewayConfig
from fieldelm_gateway.dashboard.app import _csv
from fieldelm_gateway.dashboard.data import Data, Filter, _log_query
from fieldelm_gateway.live import Live
from fieldelm_gateway.store import Store


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    class Away:
        url = f"mqtt://127.0.0.1:{free_port()}"

    world = World(tmp_path_factory.mktemp("dashboard"), Away())
    world.port = free_port()
    world.dashboard = [f'listen = "127.0.0.1:{world.port}"']
    world.write_config()
    world.made = world.node()
    world.start_gateway()
    wait_for(lambda: "dashboard: http" in world.gateway.said())
    yield world
    world.close()


def _ask(world, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", world.port, timeout=20)
    token = (world.folder / "dashboard.token").read_text().strip()
    connection.request("POST" if body else "GET", path, body, {"authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/log?before=" + "9" * 30, 200),
        ("/api/log?before=" + "9" * 5000, 200),
        ("/api/log?before=%D9%A1", 200),
        ("/api/log?limit=" + "9" * 5000, 200),
        ("/api/log.csv?before=" + "9" * 30, 200),
        ("/api/nodes/{eui}/history?hours=nan", 400),
        ("/api/nodes/{eui}/history?hours=inf", 200),
        ("/api/nodes/{eui}/history?hours=-1e400", 200),
    ],
)
def test_numbers_that_are_none_or_too_long_are_no_fault(world, path, code):
    assert _ask(world, path.format(eui=world.made.eui)) == code
    assert "Traceback" not in world.gateway.said()


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"[" * 4000, 400), (b'{"a":' * 700, 400), (b'{"node":"fan","comment":"\\ud800"}', 400), (b"1" * 4000, 400)],
)
def test_a_request_nested_without_end_is_no_fault(world, body, code):
    assert _ask(world, "/api/request/comment", body) == code
    assert "Traceback" not in world.gateway.said()
    assert _ask(world, "/healthz") == 200


def test_a_request_without_end_is_refused_before_it_ends(world):
    token = (world.folder / "dashboard.token").read_text().strip()
    with _connect(world) as connection:
        head = f"POST /api/request/comment HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n"
        connection.sendall(f"{head}content-length: 1000000000\r\n\r\n".encode() + b" " * 100_000)
        assert connection.recv(12) == b"HTTP/1.1 413"


def _is_well(world):
    try:
        return _ask(world, "/healthz") == 200
    except (OSError, http.client.HTTPException):
        return False


def test_who_connects_and_asks_nothing_does_not_keep_others_out(world):
    silent = [socket.create_connection(("127.0.0.1", world.port)) for _ in range(101)]
    silent[0].sendall(b"GET /healthz HT")  # nor does half a request
    try:
        # those of one address never take all; and after five seconds all of them are gone
        wait_for(lambda: _is_well(world), 20)
        for one in silent:
            one.settimeout(20)
            assert one.recv(1) == b""
    finally:
        for one in silent:
            one.close()


def _connect(world, host="127.0.0.1"):
    return socket.create_connection(("127.0.0.1", world.port), 20, (host, 0))


def test_half_a_request_on_a_connection_that_was_kept_holds_it_no_longer_than_a_first_one(world):
    with _connect(world) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 200"
        time.sleep(0.2)
        connection.recv(65_536)
        connection.sendall(b"GET /healthz HT")
        assert connection.recv(1) == b""  # within the 20 s of `_connect`


@pytest.mark.parametrize("hosts", [["127.0.0.1"] * 65, ["127.0.0.2"] * 55 + ["127.0.0.3"] * 50])
def test_pages_that_take_all_connections_do_not_hide_whether_the_gateway_is_well(world, hosts):
    pages = [_connect(world, host) for host in hosts]
    try:
        codes = []
        for page in pages:
            page.sendall(b"GET /api/live HTTP/1.1\r\nhost: localhost\r\n\r\n")
            codes.append(page.recv(12))
        # more, where the server has not yet seen that those of the test before are gone
        assert codes.count(b"HTTP/1.1 503") >= 5
        assert codes.count(b"HTTP/1.1 200") + codes.count(b"HTTP/1.1 503") == len(pages)
        for _ in range(15):
            wait_for(lambda: _is_well(world), 20)
        with _connect(world, hosts[0]) as page:
            page.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\nGET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            said = b"".join(iter(lambda: page.recv(65_536), b""))
            assert said.startswith(b"HTTP/1.1 200")
            assert b"503" in said  # and nothing else is served there
    finally:
        for page in pages:
            page.close()


def test_a_browser_that_was_refused_comes_back_to_the_stream(world):
    browser = open_browser()
    try:
        browser.get(f"http://127.0.0.1:{world.port}/")
        browser.execute_script("""
            window.made = 0;
            window.EventSource = class {
                static CLOSED = 2;
                constructor() { window.made += 1; this.readyState = 2; setTimeout(() => this.onerror?.(), 10); }
            };
            import("/static/api.js").then((api) => api.live(() => {}, () => {}));
        """)
        wait_until(browser, "window.made >= 2", 20)
    finally:
        browser.quit()


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1"])
def test_what_a_stranger_calls_himself_is_no_formula_in_a_spreadsheet(text):
    table = "".join(_csv(iter([[text, -2.5, "fan-1"]])))
    ((by, ratio, name),) = csv.reader(io.StringIO(table, newline=""))
    assert (by, ratio, name) == (f"'{text}", "-2.5", "fan-1")


# a long log

_ALIKE = 700  # events of one millisecond, more than a piece


@pytest.fixture
def make_data(tmp_path):
    made = []

    def make(events):
        path = tmp_path / f"{events}.db"
        store = Store(path, create=True)
        with store.transaction() as connection:
            for number in range(1, 6):
                store.add_node(f"{number:016x}", number, f"fan-{number}", "", 4, bytes([number] * 16), 0)
            document = json.dumps({"name": "fan"})
            connection.executemany(
                "INSERT INTO event (node, key_check, sequence, event_ms, received_ms, type, severity, document)"
                " VALUES (?, 'aa', ?, ?, 0, 'relearned', 'info', ?)",
                [(1 + i % 5, i, 5000 if i < _ALIKE else 5000 + i, document) for i in range(events)],
            )
            connection.executemany(
                "INSERT INTO maintenance (node, request_id, done_ms, who, via, action, document)"
                " VALUES (?, ?, ?, 'me', 'mqtt', 'comment', ?)",
                [(1 + i % 5, str(i), 5000 + i, document) for i in range(events // 10)],
            )
        store.close()
        made.append(Data(GatewayConfig(), Store(path, read_only=True), Live()))
        return made[-1]

    yield make
    for data in made:
        data.close()


def _steps(data, wanted):
    """How much work SQLite has with a page of the log."""
    count = itertools.count()
    connection = data._store._connection
    connection.set_progress_handler(lambda: next(count) and 0, 100)
    assert len(data.log(wanted)) == wanted.limit
    connection.set_progress_handler(None, 0)
    return next(count)


@pytest.mark.parametrize(
    "wanted", [Filter(), Filter(kind="relearned"), Filter(kind="comment"), Filter(severity="info"), Filter(text="fan")]
)
def test_a_page_of_a_long_log_costs_what_a_page_of_a_short_one_does(make_data, wanted):
    short, long = (_steps(make_data(events), wanted) for events in (2000, 40_000))
    assert long <= 1.2 * short + 5


@pytest.mark.parametrize(
    ("wanted", "count"),
    [(Filter(), 3300), (Filter(kind="comment"), 300), (Filter(node=f"{2:016x}"), 660), (Filter(before_ms=5000), 0)],
)
def test_the_table_is_read_in_pieces_and_has_every_line_once(make_data, monkeypatch, wanted, count):
    data = make_data(3000)
    query, sizes = data._query, []

    def counted(*arguments):
        rows = query(*arguments)
        sizes.append(len(rows))
        return rows

    monkeypatch.setattr(data, "_query", counted)
    text = io.StringIO()
    csv.writer(text).writerows(data.csv_lines(wanted))
    lines = list(csv.DictReader(io.StringIO(text.getvalue())))
    assert len(lines) == sum(sizes) == count
    assert max(sizes) <= 500
    assert [line["time"] for line in lines] == sorted((line["time"] for line in lines), reverse=True)
    every = query(*_log_query(wanted, 100_000))
    assert len({(row["kind"], row["number"]) for row in every}) == count


def test_the_table_s_first_piece_does_not_wait_for_the_rest(make_data, monkeypatch):
    data = make_data(40_000)
    began = time.thread_time()
    lines = data.csv_lines(Filter())
    for _ in range(2):
        next(lines)
    first = time.thread_time() - began
    assert sum(1 for _ in lines) == 44_000 - 1
    assert time.thread_time() - began > 5 * first
