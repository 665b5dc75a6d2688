"""One node of ``fieldelm bench link``: the real node, link, event store and storage, in a folder and a process of its own.

Its world is at the other end of a pipe (``fieldelm_tools.bench.link_world``). Standard input begins with a line of JSON:

    config      the node's, as provisioned
    now_us      simulated time at which it starts
    until_us    when its world next needs it to stand still: power is cut then, or the simulation ends
    boot_cause  see docs/reference/interfaces.md
    script      [ms since the start of simulated time, event] of what the machine does, in order

Only the learner is replaced: it tells at scripted times what a real one would find out, so that the world knows what there was
to tell. While a node sleeps nobody can reach it, so it asks its world for time only when it talks:

    s AT HEX        wait until AT and send                      answered at the frame's end: NOW
    l AT UNTIL      wait until AT and listen until UNTIL        NOW, or NOW HEX RSSI SNR for a frame (SNR in dB)
    w AT            stands still at AT = until_us               NOW at the end of the simulation, nothing before a power cut
    e AT SEQUENCE SEVERITY    an event was decided; not answered
    g SEQUENCE      an event that waited gave way (the store was full, or it was between first and last of an episode)
    q JSON          last words after the end

All times are simulated microseconds.
"""

import gc
import json
import sys
from binascii import hexlify

import fieldelm.node
from battery import Battery
from fieldelm import config, watcher
from fieldelm.codes import SEVERITIES, SEVERITY_OF_EVENT
from radio import Radio


def tell(line):
    """Say a line to the world."""
    sys.stdout.write(line + "\n")


class OverError(Exception):
    """The simulation has ended."""


class Air:
    """Simulated time and radio, with the methods of ``boards/sim/air_client.py``."""

    def __init__(self, now_us, until_us):
        self.now_us = now_us
        self._until_us = until_us

    def _ask(self, line):
        tell(line)
        answer = sys.stdin.readline().split()
        if not answer:
            raise OverError
        self.now_us = int(answer[0])
        return answer

    def wait(self, until_us):
        """Sleep; the world need not know unless it is waiting for this node."""
        if until_us >= self._until_us:
            self._ask("w %d" % self._until_us)
            raise OverError
        self.now_us = max(self.now_us, until_us)

    def send(self, radio, data):
        """Send a frame; returns at its end."""
        self._ask("s %d %s %d" % (self.now_us, hexlify(data).decode(), radio["output_power"]))

    def listen(self, radio, until_us):
        """Listen; a dict if a frame came, else None."""
        answer = self._ask("l %d %d" % (self.now_us, until_us))
        if len(answer) == 1:
            return None
        return {"data": answer[1], "rssi": int(answer[2]), "snr_db": float(answer[3]), "crc_ok": True}


class Clock:
    """As the simulated board's."""

    def __init__(self, air):
        self._air = air
        self._start_us = air.now_us

    def now_ms(self):
        """Milliseconds since the start."""
        return (self._air.now_us - self._start_us) // 1000

    def sleep_ms(self, ms):
        """Let time pass."""
        self._air.wait(self._air.now_us + 1000 * ms)


class Sensor:
    """Rows of one value, for nothing."""

    kind = "features"
    rate_hz = 0
    axes = 1
    full_scale = 0
    g_per_count = 0.0

    def read(self, out):
        """A row."""
        out[0] = 0.0
        return 1


class Board:
    """What a node stands on."""

    name = "sim"

    def __init__(self, settings, air, boot_cause):
        self.clock = Clock(air)
        self.battery = Battery(air, {})
        self.radio = Radio(air, self.clock, self.battery, settings["radio"])
        self.sensor = Sensor()
        self.boot_cause = boot_cause

    def battery_mv(self):
        """Never low."""
        return 2950

    def temperature_c(self):
        """Always the same."""
        return 22.0

    def identify(self, seconds):
        """Nobody looks."""

    def reboot(self):
        """No gateway asks for it here."""
        raise OverError


class Watcher(watcher.Watcher):
    """Finds out what is scripted, when it is scripted."""

    script = []
    air = None
    _next = 0

    def step(self, row, now_ms):
        """The next scripted event, if it is due."""
        self.state = "watching"
        self.event = None
        script = self.script
        if self._next < len(script) and script[self._next][0] * 1000 <= self.air.now_us:
            self.event = script[self._next][1]
            self._next += 1
            self.state = "alarm" if self.event == "machine_alarm" else "watching"
        return self.event


def waiting(events):
    """Sequences (16 bits) of the events that wait."""
    return [events._sequence(i) for i in range(len(events))]


class EventStore(fieldelm.node.EventStore):
    """The node's own, which tells the world what was decided and what gave way."""

    air = None

    def add(self, name, sequence, *rest, **more):
        """Take an event."""
        before = waiting(self)
        result = super().add(name, sequence, *rest, **more)
        after = waiting(self)
        tell("e %d %d %d" % (self.air.now_us, sequence, SEVERITIES.index(SEVERITY_OF_EVENT[name])))
        for other in before + [sequence & 0xFFFF]:
            if other not in after:
                tell("g %d" % other)
        return result


def main():
    """Live until the pipe or the simulation ends."""
    gc.threshold(65536)
    job = json.loads(sys.stdin.readline())
    settings = config.check(job["config"])
    air = Air(job["now_us"], job["until_us"])
    Watcher.script = [entry for entry in job["script"] if entry[0] * 1000 > air.now_us]
    Watcher.air = air
    fieldelm.node.Watcher = Watcher
    fieldelm.node.EventStore = EventStore
    EventStore.air = air
    node = None
    try:
        node = fieldelm.node.Node(settings, Board(settings, air, job["boot_cause"]))
        while True:
            node.cycle()
    except OverError:
        pass
    tell("q " + json.dumps({"waiting": waiting(node.events) if node else [], "lost": node.events.lost if node else 0}))


main()
