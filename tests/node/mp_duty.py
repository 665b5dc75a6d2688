"""fieldelm.duty and fieldelm.regions: no hour has more airtime than the plan allows, whatever happens to the power."""

from random import randrange, seed

from bench import Clock, Gateway, Radio, configuration, silence

from fieldelm import airtime, duty, frame, payloads, regions
from fieldelm.duty import DutyCycle, StoredDutyCycle
from fieldelm.link import Link
from fieldelm.storage import Counters, Record

_HOUR_MS = 3600000


def _refused(*channel):
    try:
        regions.hour_us(*channel)
    except ValueError as error:
        return str(error)
    raise AssertionError(channel)


def test_the_plans():
    for freq_khz, bw, share in (
        (863500, "125", 0.001),
        (866000, "125", 0.01),
        (868000, "125", 0.01),
        (868100, "125", 0.01),
        (868950, "125", 0.001),
        (869525, "125", 0.1),
        (869525, "250", 0.1),
        (869850, "125", 0.01),
    ):
        assert regions.hour_us("EU868", freq_khz, bw) == int(share * 3600e6), freq_khz
    for freq_khz, bw in ((868600, "125"), (868650, "125"), (869300, "125"), (869525, "500"), (870000, "125")):
        assert '"plan"' in _refused("EU868", freq_khz, bw)
    assert "EU868" in _refused("EU868", 915000, "500")
    assert '"500"' in _refused("US915", 915000, "125")
    assert "902" in _refused("US915", 868100, "500")
    assert regions.hour_us("US915", 915000, "500") is None
    assert regions.hour_us("none", 433000, "125") is None


def _most(sent, window_ms):
    # the most airtime in any window: (begin, us) in order; a window that begins or ends within a frame counts its part
    most = 0
    first = 0
    for last in range(len(sent)):
        end = sent[last][0] + sent[last][1] / 1000
        while sent[first][0] + sent[first][1] / 1000 <= end - window_ms:
            first += 1
        total = sum([us for _, us in sent[first : last + 1]])
        total -= max(0, (end - window_ms) - sent[first][0]) * 1000
        most = max(most, total)
    return most


def test_no_sliding_hour_has_more_and_most_of_it_is_used():
    seed(5)
    limit = 36000000
    account = DutyCycle(limit)
    sent = []
    now = 0
    while now < 6 * _HOUR_MS:
        us = randrange(50000, 1400000)
        if account.spend(now, us):
            sent.append((now, us))
            now += us // 1000
        now += randrange(100, 40000)
    most = _most(sent, _HOUR_MS)
    assert 0.95 * limit < most <= limit, most


def test_what_matters_less_leaves_airtime_for_alarms():
    account = DutyCycle(1000000)
    spent = {}
    for share in (duty.ROUTINE, duty.WARNING, duty.ALARM):
        while account.spend(0, 10000, share):
            pass
        spent[share] = account.used_us(0)
    assert spent == {duty.ROUTINE: 500000, duty.WARNING: 750000, duty.ALARM: 1000000}


def test_ready_says_when():
    account = DutyCycle(1000000)
    for minute in range(10):
        assert account.spend(minute * 60000 + 1000, 100000)
    now = 9 * 60000 + 2000
    assert not account.spend(now, 100000)
    ready = account.ready_ms(now, 250000)
    assert ready == 63 * 60000  # the first three are over then
    assert not account.spend(ready - 1, 250000) and account.spend(ready, 250000)
    assert DutyCycle(None).ready_ms(5, 10**9) == 5


def test_power_cuts_do_not_forget():
    # the worst that power can do: cut after every few frames, in no time
    seed(7)
    limit = 36000000
    sent = []
    world = 0
    boots = 0
    while world < 4 * _HOUR_MS:
        account = StoredDutyCycle(limit, Record("airtime"), 0)
        boots += 1
        started = world
        for _ in range(randrange(1, 12)):
            us = randrange(50000, 400000)
            if account.spend(world - started, us):
                sent.append((world, us))
                world += us // 1000
            world += randrange(100, 200000)
            account.tidy(world - started)
    most = _most(sent, _HOUR_MS)
    assert boots > 15 and 0.1 * limit < most <= limit, (boots, most)


def test_spoilt_reservation_counts_as_the_whole_hour():
    StoredDutyCycle(36000000, Record("airtime"), 0).spend(0, 100000)
    StoredDutyCycle(36000000, Record("airtime"), 0).spend(0, 1200000)
    for name in ("airtime.a", "airtime.b"):
        with open(name, "wb") as file:
            file.write(b"rubbish")
    account = StoredDutyCycle(36000000, Record("airtime"), 0)
    assert account.ready_ms(0, 1000) == 61 * 60000


def test_a_quiet_life_writes_no_flash_and_a_busy_hour_is_given_back():
    limit = 36000000
    record = Record("airtime")
    account = StoredDutyCycle(limit, record, 0)
    stores = []
    store = record.store
    record.store = lambda parts: (stores.append(1), store(parts))
    now = 0
    while account.spend(now, 200000):
        now += 1000
    busy = len(stores)
    assert 30 <= busy <= 33
    now += _HOUR_MS
    for _ in range(24 * 4 * 3):  # three days of heartbeats
        now += 900000
        assert account.spend(now, 226000)
        account.tidy(now)
    assert len(stores) <= busy + 2
    again = StoredDutyCycle(limit, Record("airtime"), 0)
    assert again.used_us(0) < limit // 10


def _link(**radio):
    clock = Clock()
    gateway = Gateway()
    config = configuration()
    config["radio"].update(radio)
    air = Radio(clock, gateway)
    air.get_time_on_air_us = lambda length: airtime.time_on_air_us(length, config["radio"]["sf"])
    return clock, gateway, air, Link(config, air, clock, Counters("counters"))


def test_a_link_sends_nothing_beyond_the_limit_and_spends_no_counter():
    clock, gateway, radio, link = _link(freq_khz=868900, sf=12)
    link.duty.tidy(0)
    kinds = []
    for _ in range(8):
        kinds.append(link.exchange(frame.STATUS, link.payload_start(frame.STATUS), False))
    assert kinds[0] == 0 and kinds[-1] is None  # 0.1 %: 3.6 s, of which 1.8 s for routine, one frame at SF12
    assert kinds.count(0) == len(radio.sent) == link.counters.frame == 1
    gateway.answers = [silence] * 3
    assert link.exchange(frame.ALERT, link.payload_start(frame.ALERT) + 10, True, duty.ALARM) == 0
    gateway.answers = []
    assert len(radio.sent) == 2  # no second attempt: it would be too much
    ready = link.ready_ms(frame.ALERT, payloads.ALERT, duty.ALARM)
    assert ready > clock.ms
    clock.ms = ready
    assert link.exchange(frame.ALERT, link.payload_start(frame.ALERT) + 10, True, duty.ALARM) == frame.ACK


def test_power_that_nobody_hears_is_given_up():
    clock, gateway, radio, link = _link(plan="none")
    link.set_power(2)
    assert radio.configured["output_power"] == 2

    def exchange(ack_wanted=True):
        return link.exchange(frame.ALERT, link.payload_start(frame.ALERT) + 10, ack_wanted)

    for _ in range(6):
        assert exchange() == frame.ACK
    gateway.answers = [silence] * 9
    for _ in range(3):
        assert exchange() == 0 and radio.configured["output_power"] == 2
    assert exchange() == frame.ACK and radio.configured["output_power"] == 2
    gateway.answers = [silence] * 12
    for _ in range(4):
        assert exchange() == 0
    assert radio.configured["output_power"] == 14 == link.output_power
    # a node that only sends heartbeats notices after a day
    link.set_power(2)
    clock.ms += 86400000
    exchange(ack_wanted=False)
    assert radio.configured["output_power"] == 14
    # more power than installed is never given up for less
    link.set_power(17)
    gateway.answers = [silence] * 30
    for _ in range(10):
        exchange()
    assert radio.configured["output_power"] == 17
