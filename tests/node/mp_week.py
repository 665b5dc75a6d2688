"""A week of a node that most frames do not reach, on a bench with the airtime of its radio: the law, the events, the heap."""

import gc
from random import randrange, seed

from bench import Board, Values, configuration

from fieldelm import airtime, codes, frame, payloads, regions
from fieldelm.node import Node

_HOUR_MS = 3600000
_DAY_MS = 24 * _HOUR_MS
_NAMES = ("machine_alarm", "sensor_fault", "relearned", "battery_low", "environment_changed", "commissioned")


def _rig(sf=9, loss=0):
    # each frame, up or down, is lost with this probability in percent
    board = Board()
    board.sensor = Values(board.clock)
    config = configuration()
    config["radio"]["sf"] = sf
    config["sense"].update({"kind": "features", "inputs": 6, "period_s": 600})
    config["learn"].update({"hidden": 4, "train_rows": 24, "calibration_rows": 12})
    radio, gateway = board.radio, board.gateway
    radio.hours = Hours()
    radio.loss = loss
    hear = gateway.hear

    def lossy(data):
        if randrange(100) < radio.loss:
            return None
        answer = hear(data)
        return None if randrange(100) < radio.loss else answer

    def send(packet):
        us = airtime.time_on_air_us(len(packet), sf)
        radio.hours.append(board.clock.ms, us)
        board.clock.ms += us // 1000
        radio._answer = gateway.hear(bytes(packet))
        radio._answer_ms = board.clock.ms + 1000

    gateway.hear = lossy
    radio.send = send
    return board, Node(config, board)


class Hours:
    """The most airtime in any hour; what only begins or ends within it counts as a whole."""

    def __init__(self):
        self._sent = []
        self._total = 0
        self.most = 0

    def append(self, at, us):
        self._sent.append((at, us))
        self._total += us
        while self._sent[0][0] + self._sent[0][1] // 1000 <= at - _HOUR_MS:
            self._total -= self._sent.pop(0)[1]
        self.most = max(self.most, self._total)


def test_a_week_of_loss_and_many_events_keeps_every_hour_below_the_limit_and_loses_none():
    seed(9)
    board, node = _rig(sf=11, loss=60)
    gateway = board.gateway
    born = []
    heard = {}
    next_event = _HOUR_MS

    def take():
        for kind, _, payload, _ in gateway.heard:
            if kind == frame.ALERT:
                values = payloads.unpack(payloads.ALERT, payload)
                heard[values["sequence"]] = codes.EVENTS[values["event"]]
        gateway.heard.clear()

    while board.clock.ms < 7 * _DAY_MS or len(node.events):
        if board.clock.ms >= 7 * _DAY_MS:
            board.radio.loss = 0
        elif board.clock.ms >= next_event:
            node._queue(_NAMES[randrange(len(_NAMES))])
            born.append(node.counters.sequence)
            next_event += randrange(1, 80) * 60000  # 36 a day
        node.cycle()
        take()
    limit = regions.hour_us("EU868", 868100, "125")
    most = board.radio.hours.most
    assert 0.7 * limit < most <= limit, most
    assert node.events.lost == 0
    missing = [sequence for sequence in born if sequence not in heard]
    assert len(missing) == 0 or len(missing) <= node.events.coalesced, (len(missing), node.events.coalesced)
    assert len(born) > 200


def test_a_gateway_that_is_away_for_days_gets_everything_the_newest_alarm_first():
    seed(2)
    board, node = _rig(loss=100)
    while board.clock.ms < 3 * _DAY_MS:
        node.cycle()
    for i in range(60):
        node._queue(("machine_alarm", "sensor_fault")[i % 2])
        until = board.clock.ms + 2 * _HOUR_MS
        while board.clock.ms < until:
            node.cycle()
    waiting = len(node.events)
    assert waiting >= 60 and node.events.coalesced == node.events.lost == 0
    newest = [s for s in range(len(node.events)) if node.events._code(s) == codes.EVENTS.index("machine_alarm")][-1]
    newest = node.events._sequence(newest)
    board.radio.loss = 0
    began = board.clock.ms
    alerts = []
    while len(node.events):
        node.cycle()
        alerts += [payloads.unpack(payloads.ALERT, p) for kind, _, p, _ in board.gateway.heard if kind == frame.ALERT]
        board.gateway.heard.clear()
    assert len({a["sequence"] for a in alerts}) == len(alerts) == waiting
    severities = [a["severity"] for a in alerts]
    assert alerts[0]["severity"] == 2 and newest in (alerts[0]["sequence"], alerts[1]["sequence"])
    assert severities[1:] == sorted(severities[1:])[::-1] or severities == sorted(severities)[::-1]
    assert board.clock.ms - began < 2 * _HOUR_MS  # as fast as the duty cycle lets it


def test_cycles_leave_the_heap_as_it_was():
    seed(4)
    board, node = _rig()
    board.radio.hours.append = lambda at, us: None  # the bench's own list would grow

    def live(days):
        until = board.clock.ms + days * _DAY_MS
        while board.clock.ms < until:
            if randrange(10) == 0:
                node._queue(_NAMES[randrange(3)])
            board.radio.loss = 100 if board.clock.ms // _DAY_MS % 3 == 0 else 0
            node.cycle()
            board.gateway.heard.clear()

    live(4)
    gc.collect()
    before = gc.mem_alloc()
    for _ in range(5):
        live(3)
        gc.collect()
        assert gc.mem_alloc() - before < 256, gc.mem_alloc() - before


def test_of_an_episode_that_waits_the_first_and_the_last_arrive_whatever_is_lost():
    seed(6)
    board, node = _rig(loss=60)
    gateway, events = board.gateway, node.events
    pair = ("machine_alarm", "alarm_cleared")
    heard = set()

    def waiting():
        return [events._sequence(i) for i in range(len(events)) if codes.EVENTS[events._code(i)] in pair]

    def take():
        for kind, _, payload, _ in gateway.heard:
            if kind == frame.ALERT:
                heard.add(payloads.unpack(payloads.ALERT, payload)["sequence"])
        gateway.heard.clear()

    born, thinned = [], []
    for _ in range(40):  # an alarm that flaps for half an hour, while the gateway is heard badly, or not at all
        board.radio.loss = (60, 100)[randrange(2)]
        for i in range(14):
            before = waiting()
            node._queue(pair[i % 2])
            born.append(node.counters.sequence)
            now = waiting()
            gone = [sequence for sequence in before if sequence not in now]
            assert now[-1] == born[-1] and len(gone) <= 1
            if gone:  # neither the first nor the last of what waits; each goes once
                assert len(before) > 1 and gone[0] != before[0] and gone[0] not in thinned
            thinned += gone
            until = board.clock.ms + randrange(20, 240) * 1000
            while board.clock.ms < until:
                node.cycle()
            take()
        board.radio.loss = 60
        until = board.clock.ms + 5 * _HOUR_MS
        while board.clock.ms < until:
            node.cycle()
            if not randrange(60):
                take()
        if not len(events):
            take()
            assert born[-1] in heard, "the last word of the alarm"
    board.radio.loss = 0
    while len(events):
        node.cycle()
    take()
    missing = [sequence for sequence in born if sequence not in heard]
    assert events.lost == 0 and events.coalesced == len(thinned) > 100
    assert all([sequence in thinned for sequence in missing]), "what was not thinned out arrives"
    assert born[-1] in heard and born[0] in heard
