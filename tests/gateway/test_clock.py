"""Dates, monotonic time and whether the clock can be trusted."""

import contextlib
import sqlite3

import pytest
from gateway_bench import START_MS

from fieldelm import codes
from fieldelm_gateway.clock import AirClock, HostClock, host_clock_synced, parse_rfc3339, rfc3339


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_767_225_600_123, "2026-01-01T00:00:00.123Z"),
        (951_782_399_999, "2000-02-28T23:59:59.999Z"),
        (-5, "1970-01-01T00:00:00.000Z"),
        (10**18, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_dates_are_rfc_3339_with_milliseconds(ms, text):
    assert rfc3339(ms) == text


def test_dates_are_read_back():
    assert parse_rfc3339(rfc3339(1_767_225_600_123)) == 1_767_225_600_123
    assert parse_rfc3339("2026-01-01T01:00:00+01:00") == 1_767_225_600_000
    with pytest.raises(ValueError, match="no time zone"):
        parse_rfc3339("2026-01-01T00:00:00")


def test_the_host_s_clock():
    clock = HostClock()
    one, two = clock.now(), clock.now()
    assert one.monotonic_ms <= two.monotonic_ms
    assert one.synced is host_clock_synced()


def test_simulated_time_never_goes_back_even_if_the_air_starts_again():
    clock = AirClock()
    assert clock.now().epoch_ms == 0
    clock.start(1_767_225_600_000, 0)
    clock.advance(5_000_000)
    clock.advance(4_000_000)
    assert (clock.now().epoch_ms, clock.now().monotonic_ms) == (1_767_225_605_000, 5000)
    clock.start(1_800_000_000_000, 0)
    assert (clock.now().epoch_ms, clock.now().monotonic_ms) == (1_800_000_000_000, 5000)
    clock.advance(1_000_000)
    assert clock.now().monotonic_ms == 6000


MONTHS_MS = 200 * 86_400_000


@pytest.mark.parametrize("wrong_ms", [-MONTHS_MS, MONTHS_MS, -START_MS + 1000], ids=["behind", "ahead", "1970"])
def test_a_gateway_that_starts_without_the_time_keeps_its_promises_when_it_gets_it(bench, caplog, wrong_ms):
    node = bench.node()
    bench.clock.wrong_by_ms, bench.clock.synced = wrong_ms, False
    bench.tick()
    bench.hear(node.alert())
    bench.request("identify", id="1", node="fan", seconds=9, expires_s=3600)
    bench.request("shelve", id="2", node="fan", minutes=60)
    assert not bench.current("/alarm")["shown"]
    bench.tick(30_000)
    bench.clock.wrong_by_ms = 0  # the network is there
    bench.tick()
    bench.clock.synced = True
    bench.tick()
    assert "the clock was set by" in caplog.text
    assert not bench.current("/alarm")["shown"], "shelved for an hour is shelved for an hour"
    assert bench.current("/alarm")["shelved"]["until"] == rfc3339(START_MS + 3_601_000)
    assert bench.outbox("/response/identify") == []
    answer = bench.hear(node.status(state=codes.STATES.index("alarm")))
    assert node.open_command(answer)["name"] == "identify", "the command still waits"
    bench.restart()
    bench.tick(3_500_000)
    assert not bench.current("/alarm")["shown"], "and it is stored"
    bench.tick(200_000)
    assert bench.current("/alarm")["shown"]
    assert [one["status"] for one in bench.outbox("/response/identify")] == ["error"], "expired in its time"


def test_what_began_by_the_right_clock_is_not_moved_by_one_that_was_lost(bench):
    bench.node()
    bench.request("identify", id="1", node="fan", expires_s=3600)
    bench.tick(60_000)
    bench.clock.wrong_by_ms, bench.clock.synced = -7_200_000, False  # started again, with the time of the last shutdown
    bench.restart()
    bench.tick(60_000)
    bench.clock.wrong_by_ms, bench.clock.synced = 0, True
    bench.tick()
    assert bench.outbox("/response/identify") == []
    bench.tick(3_480_000)
    assert [one["status"] for one in bench.outbox("/response/identify")] == ["error"]


def test_a_clock_that_is_set_while_it_is_right_moves_nothing_and_disturbs_no_counter(bench, caplog):
    node = bench.node()
    bench.hear(node.hello())
    for by_ms in (3_600_000, -7_200_000, 90_000):
        bench.clock.wrong_by_ms += by_ms
        assert bench.hear(node.alert())
        bench.tick()
        assert bench.current("/availability") == "online"
    assert caplog.text.count("the clock was set by") == 3
    ids = [event["id"] for event in bench.outbox("/event")]
    assert [int(number.rsplit("-", 1)[1]) for number in ids] == [1, 2, 3]


def test_a_clock_that_is_slewed_was_not_set(bench, caplog):
    bench.node()
    for _ in range(100):
        bench.clock.wrong_by_ms += 400
        bench.tick()
    assert "the clock was set" not in caplog.text


def test_a_clock_that_is_set_while_the_database_is_locked_is_heeded_afterwards(bench):
    node = bench.node()
    bench.clock.wrong_by_ms, bench.clock.synced = -MONTHS_MS, False
    bench.tick()
    bench.hear(node.alert())
    bench.request("shelve", id="2", node="fan", minutes=60)
    with contextlib.closing(sqlite3.connect(bench.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        bench.clock.wrong_by_ms, bench.clock.synced = 0, True
        bench.tick()
        other.execute("ROLLBACK")
    bench.tick()
    assert not bench.current("/alarm")["shown"]
