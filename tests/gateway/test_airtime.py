"""The gateway's airtime: never beyond the plan in any hour, over restarts and leaps of the clock; alarms and commands first."""

import random

import pytest

from fieldelm import airtime
from fieldelm_gateway import airtime_account, config
from fieldelm_gateway.errors import ConfigError

LIMIT_US = 36_000_000
ACK_US = airtime.time_on_air_us(14, 9)
HOUR_MS = 3_600_000


def _answered(bench, node, count, event="machine_alarm"):
    answered = 0
    for _ in range(count):
        answered += bench.hear(node.alert(event)) is not None
        bench.clock.ms += 1500
    return answered


def _used_ms(bench):
    bench.tick(60_000)
    return bench.current("/health")["radios"][0]["airtime_last_hour_ms"]


def test_a_quarter_of_the_hour_is_kept_for_alarms_and_commands(bench):
    node = bench.node()
    assert _answered(bench, node, 250, "sensor_ok") == LIMIT_US * 3 // 4 // ACK_US
    assert bench.hear(node.hello()) is None and bench.hear(node.alert("relearned")) is None
    bench.request("identify", id="1", node=node.eui, seconds=5)
    node.open_command(bench.hear(node.status()))
    left_us = LIMIT_US - _used_ms(bench) * 1000
    assert 50 < left_us // ACK_US == _answered(bench, node, 100)


def test_a_restart_does_not_forget(bench):
    node = bench.node()
    most = LIMIT_US // ACK_US
    assert _answered(bench, node, 100) == 100
    bench.restart()
    assert _answered(bench, node, most) == most - 100
    used = _used_ms(bench)
    bench.restart()
    bench.hear(node.status())
    assert _used_ms(bench) == used == most * ACK_US // 1000
    bench.clock.ms += HOUR_MS
    bench.restart()
    assert _answered(bench, node, 10) == 10


@pytest.mark.parametrize("wrong_by_ms", [-86_400_000, -600_000, 86_400_000])
def test_a_clock_that_was_wrong_does_not_give_airtime_back(bench, wrong_by_ms):
    node = bench.node()
    bench.clock.synced = False
    bench.clock.wrong_by_ms = wrong_by_ms
    most = LIMIT_US // ACK_US
    assert _answered(bench, node, 150) == 150
    bench.clock.synced, bench.clock.wrong_by_ms = True, 0
    bench.restart()
    assert _answered(bench, node, most) == most - 150


def test_a_trusted_clock_that_steps_back_does_not_give_airtime_back(bench):
    node = bench.node()
    assert _answered(bench, node, 150) == 150
    bench.clock.wrong_by_ms = -1_800_000
    bench.restart()
    assert _answered(bench, node, 300) == LIMIT_US // ACK_US - 150


def test_no_hour_of_a_busy_day_with_restarts_has_more(bench):
    node = bench.node()
    generator = random.Random(3)
    sent = []
    while bench.clock.ms < 4 * HOUR_MS:
        answer = bench.hear(node.alert(generator.choice(["machine_alarm", "sensor_ok", "battery_low"])))
        if answer:
            sent.append((bench.clock.ms + 1000, airtime.time_on_air_us(len(answer), 9)))
        bench.clock.ms += generator.randrange(2000, 20_000)
        if generator.random() < 0.02:
            bench.restart()
    most = 0
    for end_ms, _ in sent:
        most = max(most, sum(us for at_ms, us in sent if end_ms - HOUR_MS < at_ms <= end_ms))
    assert 0.9 * LIMIT_US < most <= LIMIT_US


@pytest.mark.parametrize(
    ("radio", "words"),
    [
        ("freq_khz = 915000", ["[[radio]]", "EU868", "freq_khz"]),
        ("freq_khz = 869300", ["no band", "869.4 to 869.65"]),
        ('plan = "US915"\nfreq_khz = 915000', ["[[radio]]", '"500"']),
        ('plan = "FR"', ["plan", "US915"]),
    ],
)
def test_a_channel_outside_the_plan_is_refused(radio, words):
    with pytest.raises(ConfigError) as error:
        config.read(f"[[radio]]\n{radio}\n", "gateway.toml")
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("radio", "limit_ms"),
    [
        ({}, 36_000),
        ({"freq_khz": 869_525}, 360_000),
        ({"freq_khz": 868_900}, 3_600),
        ({"duty_cycle": 0.001}, 3_600),
        ({"duty_cycle": 0.5}, 36_000),
        ({"duty_cycle": "unlimited"}, None),
        ({"plan": "US915", "freq_khz": 915_000, "bw": "500"}, None),
    ],
)
def test_the_plan_gives_the_limit(make_bench, radio, limit_ms):
    bench = make_bench(radio=radio)
    bench.tick(60_000)
    assert bench.current("/health")["radios"][0]["airtime_limit_ms"] == limit_ms


def test_an_event_whose_age_nobody_knows_has_no_time(bench):
    node = bench.node()
    bench.clock.ms = 100_000_000
    bench.hear_all([node.alert(age_s=0xFFFF), node.alert(age_s=0xFFFE)])
    unknown, old = bench.outbox("/event")
    assert (unknown["event_time"], unknown["age_s"], unknown["age_saturated"], unknown["delayed"]) == (
        (None, None, True, True)
    )
    assert (old["age_s"], old["age_saturated"]) == (0xFFFE, True) and old["event_time"] < old["received_time"]
    times = [row[0] - row[1] for row in bench.rows("SELECT received_ms, event_ms FROM event ORDER BY id")]
    assert times == [185, 185 + 65_534_000]  # at the latest


def test_without_a_limit_more_than_there_is_airtime_is_answered_and_the_account_holds(make_bench):
    bench = make_bench(radio={"duty_cycle": "unlimited"})
    (account,) = bench.core.state.duty.values()
    now = bench.clock.now()
    assert all(
        account.spend(now, 10_000_000, airtime_account.ALARM) is True for _ in range(1000)
    )  # 10,000 s in one minute
    assert 60_000_000 <= account.used_us(now) < 100_000_000
