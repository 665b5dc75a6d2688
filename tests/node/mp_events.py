"""fieldelm.events: what is sent first, what is given up, when it is tried again, and what flash remembers."""

import gc
import os

from fieldelm import events
from fieldelm.codes import EVENTS
from fieldelm.event_log import EventLog
from fieldelm.events import AGE_UNKNOWN, CAPACITY, EventStore

_HOUR = 3600000


def _order(store, now):
    order = []
    while True:
        event = store.due(now)
        if event is None:
            return order
        order.append((EVENTS[event.code], event.sequence))
        store.delivered(event, now)


def _waiting(store):
    return sorted([store._sequence(i) for i in range(len(store))])


def test_gravest_then_newest_first():
    store = EventStore()
    store.add("boot", 1, 0)
    store.add("machine_alarm", 2, 10)
    store.add("environment_changed", 3, 20)
    store.add("machine_alarm", 4, 2 * _HOUR)
    now = 2 * _HOUR
    assert _order(store, now) == [("machine_alarm", 4), ("machine_alarm", 2), ("environment_changed", 3), ("boot", 1)]
    assert len(store) == 0 and store.lost == 0


def test_full_store_gives_up_the_oldest_of_the_least():
    store = EventStore(capacity=4)
    for i, name in enumerate(("machine_alarm", "boot", "relearned", "environment_changed"), 1):
        store.add(name, i, 2 * i * _HOUR)
    store.add("machine_alarm", 5, 10 * _HOUR)  # boot goes
    assert store.lost == 1 and _waiting(store) == [1, 3, 4, 5]
    for i in range(6, 9):  # relearned goes, then environment_changed, then the oldest alarm
        assert store.add("machine_alarm", i, 2 * i * _HOUR)
    assert _waiting(store) == [5, 6, 7, 8]
    assert store.add("boot", 9, 18 * _HOUR) is False  # only graver ones wait
    assert store.lost == 5
    again = EventStore(capacity=4)
    assert again.lost == 5 and _waiting(again) == [5, 6, 7, 8]


def test_all_places_of_the_store_and_none_beyond():
    store = EventStore()
    for i in range(CAPACITY):
        assert store.add("machine_alarm", i, i * 2 * _HOUR)
    assert len(store) == CAPACITY == 512 and store.lost == 0
    gc.collect()
    before = gc.mem_alloc()
    for i in range(CAPACITY, CAPACITY + 30):
        store.add("machine_alarm", i, i * 2 * _HOUR)
    gc.collect()
    assert gc.mem_alloc() - before < 64
    again = EventStore()
    assert len(again) == CAPACITY and again.lost == 30
    assert _waiting(again) == list(range(30, CAPACITY + 30))
    assert [sequence for _, sequence in _order(again, 0)] == list(range(CAPACITY + 29, 29, -1))
    assert len(EventStore()) == 0
    assert os.stat("events")[6] <= 512  # short again


def test_store_without_memory_to_grow_gives_up_the_oldest_of_the_least():
    def full(size):
        raise MemoryError

    store = EventStore()
    events.bytearray = full
    try:
        for i in range(40):
            store.add("machine_alarm", i, i * 2 * _HOUR)
    finally:
        del events.bytearray
    assert _waiting(store) == list(range(40 - len(store), 40)) and 8 < len(store) < 40
    assert store.lost == 40 - len(store)
    assert _waiting(EventStore()) == _waiting(store)


def test_what_waits_and_what_was_given_up_outlasts_a_power_cut():
    store = EventStore()
    store.add("boot", 1, 0)
    store.add("machine_alarm", 2, 5000, 2, 3, 640, 7, 9)
    store.add("sensor_fault", 3, 6000)
    store.delivered(store.due(6000), 6000)
    again = EventStore()
    assert _waiting(again) == [1, 3]
    event = again.due(0)
    assert (EVENTS[event.code], event.sequence, event.age_s(10**9)) == ("sensor_fault", 3, AGE_UNKNOWN)
    again.add("machine_alarm", 4, 1000, 2, 3, 640, 7, 9)
    event = again.due(9000)
    assert (event.severity, event.verdict, event.mode, event.score_ratio, event.band_a, event.band_b) == (
        (2, 2, 3, 640, 7, 9)
    )
    assert event.age_s(9000) == 8
    assert event.age_s(70000 * 1000) == 0xFFFE  # at least


def test_an_episode_keeps_its_first_and_its_last():
    store = EventStore()
    for i in range(20):  # flapping, every five minutes
        store.add(("machine_alarm", "alarm_cleared")[i % 2], i, i * 300000)
    assert _waiting(store) == [0, 19] and store.coalesced == 18 and store.lost == 0
    store.add("battery_low", 20, 20 * 300000)  # another family
    store.add("machine_alarm", 21, 20 * 300000 + 2 * _HOUR)  # a new episode
    assert _waiting(store) == [0, 19, 20, 21]
    assert _waiting(EventStore()) == [0, 19, 20, 21]


def test_an_episode_keeps_what_is_graver_than_first_and_last():
    store = EventStore()
    for i, name in enumerate(("alarm_cleared", "machine_alarm", "alarm_cleared", "machine_alarm", "alarm_cleared")):
        store.add(name, i, i * 60000)
    names = [EVENTS[store._code(i)] for i in range(len(store))]
    assert names == ["alarm_cleared", "machine_alarm", "alarm_cleared"] and _waiting(store) == [0, 1, 4]


def test_boots_of_a_bouncing_contact_are_one_episode():
    for i in range(12):
        store = EventStore()
        store.add("boot", i, 0)
    assert _waiting(EventStore()) == [0, 11]


def test_retries_back_off_and_are_spread():
    store = EventStore()
    store.add("machine_alarm", 1, 0)
    now = 0
    for i in range(8):
        event = store.due(now)
        assert event.sequence == 1
        store.failed(event, now, i * 142)
        assert store.due(now) is None
        wait = store.next_due_ms() - now
        nominal = min(30 << i, 900) * 1000
        assert wait == nominal // 1000 * (500 + i * 142), (i, wait)
        now = store.next_due_ms()
    assert event.born_s == 0


def test_a_new_alarm_does_not_wait_for_the_retry_of_others_but_others_do():
    store = EventStore()
    store.add("sensor_fault", 1, 0)
    store.failed(store.due(0), 0, 500)
    store.add("battery_low", 2, 1000)
    assert store.due(1000) is None
    store.add("machine_alarm", 3, 2000)
    event = store.due(2000)
    assert event.sequence == 3
    store.delivered(event, 3000)
    assert [sequence for _, sequence in _order(store, 3000)] == [2, 1]  # the gateway is back: the rest goes at once


def test_an_event_that_a_gateway_never_takes_holds_up_none_for_good():
    store = EventStore()
    now = 0
    for i in range(40):
        store.add("machine_alarm", i, now)
        now += 2 * _HOUR
    tries = 0
    while len(store) > 1:
        now = max(now, store.next_due_ms())
        event = store.due(now)
        tries += 1
        if event.sequence == 39:
            store.failed(event, now, 500)
        else:
            store.delivered(event, now)
    assert _waiting(store) == [39] and tries < 80, tries


def test_torn_and_flipped_entries_cost_themselves_only():
    store = EventStore()
    for i in range(5):
        store.add("machine_alarm", i, i * 2 * _HOUR)
    with open("events", "rb") as file:
        whole = file.read()
    for cut in range(len(whole) + 1):
        with open("events", "wb") as file:
            file.write(whole[:cut])
        assert _waiting(EventStore()) == list(range(cut // 16)), cut
        assert _waiting(EventStore()) == list(range(cut // 16)), cut  # and it was mended
    for i in range(0, len(whole)):
        with open("events", "wb") as file:
            file.write(whole[:i] + bytes([whole[i] ^ 0x10]) + whole[i + 1 :])
        assert _waiting(EventStore()) == [k for k in range(5) if k != i // 16]


def test_full_file_system_keeps_events_in_memory_and_writes_them_later():
    store = EventStore()
    store.add("machine_alarm", 1, 0)
    append, rewrite = EventLog._append, EventLog.rewrite

    def full(*arguments):
        raise OSError(28)

    EventLog._append = EventLog.rewrite = full
    store.add("sensor_fault", 2, 0)
    assert store.problem
    event = store.due(0)
    assert event.sequence == 1
    store.delivered(event, 0)
    assert _waiting(store) == [2]
    EventLog._append, EventLog.rewrite = append, rewrite
    store.mend()
    assert store.problem is None and _waiting(EventStore()) == [2]


def test_events_that_a_gateway_would_take_for_others_are_given_up():
    store = EventStore()
    store.add("machine_alarm", 5, 0)
    store.add("machine_alarm", 0x7006, 9 * _HOUR)
    assert _waiting(store) == [0x7006] and store.lost == 1


def test_an_event_without_airtime_does_not_hold_up_a_graver_one_that_has_some():
    # the fourth try is another event's turn; its share of the hour is used up
    store = EventStore()
    store.add("boot", 1, 0)
    store.add("machine_alarm", 2, 0)
    now = 0
    tried = []
    for _ in range(12):
        now = max(now, store.next_due_ms())
        event = store.due(now)
        if event.sequence == 1:
            store.postpone(event, now + _HOUR)
        else:
            tried.append(now)
            store.failed(event, now, 500)
    assert len(tried) > 6
    for i in range(1, len(tried)):
        assert tried[i] - tried[i - 1] <= 900000, tried
    event = store.due(max(now, store.next_due_ms()))
    store.postpone(event, now + 2 * _HOUR)  # the alarm's own share is used up
    assert store.next_due_ms() == now + 2 * _HOUR
