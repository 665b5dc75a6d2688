"""How long a Pico's flash lasts: run by MicroPython, it prints one JSON document.

    micropython -X heapsize=16m tests/node/run_flash_life.py [DAYS [EVENTS_A_DAY]]

A node with the default settings (64 inputs, 22 hidden units, a window a minute, a STATUS every 15 minutes) lives on a file system
of the Pico's size, whose erasures are counted block by block. 100,000 erasures a block: Winbond W25Q16JV datasheet, Features.
"""

import json
import sys

from bench import Board, Values, configuration
from flash import BLOCK, Flash, mount

from fieldelm.node import Node

_BLOCKS = 352  # 1,408 kB
_ERASURES = 100000
_DAY_MS = 86400000


class Worn(Flash):
    """Counts erasures, and the bytes programmed."""

    def __init__(self, blocks):
        super().__init__(blocks)
        self.erased = [0] * blocks
        self.bytes = 0

    def _note(self, what, at, data):
        if what == 0:
            self.erased[at // BLOCK] += 1
        self.bytes += len(data)


def measure(days, events_a_day):
    flash = Worn(_BLOCKS)
    mount(flash)
    board = Board()
    board.sensor = Values(board.clock)
    config = configuration()
    config["sense"].update({"kind": "features", "inputs": 64})
    node = Node(config, board)
    while node.watcher.state == "commissioning":
        node.cycle()
    flash.erased = [0] * _BLOCKS
    flash.bytes = 0
    began = board.clock.ms
    events = 0
    while board.clock.ms < began + days * _DAY_MS:
        if board.clock.ms >= began + events * _DAY_MS // events_a_day:
            node._queue(("machine_alarm", "alarm_cleared")[events % 2])
            node.watcher.worth_saving = True  # as the watcher asks for when an alarm begins or ends
            events += 1
        node.cycle()
        board.gateway.heard.clear()
        board.radio.sent.clear()
    total = sum(flash.erased)
    most = max(flash.erased)
    return {
        "days": days,
        "events_a_day": events_a_day,
        "erasures_a_day": round(total / days, 1),
        "bytes_a_day": flash.bytes // days,
        "most_worn_block": most,
        "years_at_least": round(_ERASURES / (most / days) / 365),
    }


print(json.dumps(measure(int((sys.argv[1:2] or ["30"])[0]), int((sys.argv[2:3] or ["1"])[0]))))
