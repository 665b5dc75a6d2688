"""fieldelm.events: what is sent first, what is given up, when it is tried again."""

from fieldelm.codes import EVENTS
from fieldelm.events import EventQueue


def _names(queue, now):
    order = []
    while True:
        event = queue.due(now)
        if event is None:
            return order
        order.append((EVENTS[event.code], event.sequence))
        queue.delivered(event)


def test_gravest_then_newest_first():
    queue = EventQueue()
    queue.add("boot", 1, 0)
    queue.add("machine_alarm", 2, 10)
    queue.add("environment_changed", 3, 20)
    queue.add("machine_alarm", 4, 30)
    assert _names(queue, 30) == [("machine_alarm", 4), ("machine_alarm", 2), ("environment_changed", 3), ("boot", 1)]
    assert len(queue) == 0 and queue.lost == 0


def test_full_queue_gives_up_the_oldest_of_the_least():
    queue = EventQueue(4)
    queue.add("machine_alarm", 1, 0)
    queue.add("boot", 2, 1)
    queue.add("relearned", 3, 2)
    queue.add("environment_changed", 4, 3)
    queue.add("machine_alarm", 5, 4)  # boot goes
    assert queue.lost == 1
    queue.add("machine_alarm", 6, 5)  # relearned goes
    queue.add("machine_alarm", 7, 6)  # environment_changed goes
    queue.add("machine_alarm", 8, 7)  # the oldest alarm goes
    assert queue.add("boot", 9, 8) is None  # only graver ones wait
    assert queue.lost == 5
    assert [sequence for _, sequence in _names(queue, 8)] == [8, 7, 6, 5]


def test_retries_back_off_and_are_spread():
    queue = EventQueue()
    event = queue.add("machine_alarm", 1, 0)
    now = 0
    waits = []
    for i in range(8):
        assert queue.due(now) is event
        queue.failed(event, now, i * 142)
        assert queue.due(now) is None
        waits.append(queue.next_due_ms() - now)
        now = queue.next_due_ms()
    for i, wait in enumerate(waits):
        nominal = min(30 << i, 900) * 1000
        assert wait == nominal // 1000 * (500 + i * 142), (i, wait)
    assert event.born_ms == 0
