"""Dates, monotonic time and whether the clock can be trusted."""

import pytest

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
