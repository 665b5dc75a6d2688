"""Time, pins and buses for the drivers' tests: what is between a driver and a chip. Time moves only here."""

import sys


class Time:
    """Takes the place of the module ``time`` in a driver; things scheduled happen when time passes them."""

    def __init__(self):
        self.us = 1000
        self._due = []

    def install(self, *modules):
        for name in modules:
            sys.modules[name].time = self

    def at(self, us, action):
        self._due.append((us, action))
        self._due.sort(key=lambda entry: entry[0])

    def after(self, us, action):
        self.at(self.us + us, action)

    def advance(self, us):
        end = self.us + us
        while self._due and self._due[0][0] <= end:
            when, action = self._due.pop(0)
            self.us = max(self.us, when)
            action()
        self.us = max(self.us, end)

    def ticks_us(self):
        self.advance(1)
        return self.us & 0x3FFFFFFF

    def ticks_ms(self):
        self.advance(1)
        return (self.us // 1000) & 0x3FFFFFFF

    def ticks_diff(self, a, b):
        return ((a - b + 0x20000000) & 0x3FFFFFFF) - 0x20000000

    def ticks_add(self, a, b):
        return (a + b) & 0x3FFFFFFF

    def sleep_ms(self, ms):
        self.advance(1000 * ms)

    def sleep_us(self, us):
        self.advance(us)


class Pin:
    """A wire: read and set by calling it, as ``machine.Pin``. ``watchers`` are told of edges, ``stuck`` holds it at a level."""

    IRQ_RISING = 8
    IRQ_FALLING = 4

    def __init__(self, value=0):
        self.level = value
        self.stuck = None
        self.held = False  # at its level, by something stronger than a pull-up
        self.watchers = []
        self.handler = None
        self.trigger = 0

    def __call__(self, value=None):
        if value is None:
            return self.level if self.stuck is None else self.stuck
        old, self.level = self.level, 1 if value else 0
        if old != self.level:
            for watcher in self.watchers:
                watcher(self.level)
            wanted = self.IRQ_RISING if self.level else self.IRQ_FALLING
            if self.handler and self.trigger & wanted and self.stuck is None:
                self.handler(self)
        return None

    def irq(self, handler=None, trigger=0, hard=False):
        assert hard or handler is None, "a soft interrupt comes too late while C code computes"
        self.handler = handler
        self.trigger = trigger


class Spi:
    """A bus with chips that have ``cs`` and ``exchange(byte)``. ``byte_us`` is how long a byte takes, a call takes 5 us more."""

    def __init__(self, time, byte_us=4):
        self.time = time
        self.byte_us = byte_us
        self.chips = []
        self.transfers = 0
        self.dead = None  # a level: MISO is broken and reads that

    def _byte(self, value):
        self.time.advance(self.byte_us)
        answer = 0xFF
        for chip in self.chips:
            if not chip.cs():
                answer = chip.exchange(value)
        return answer if self.dead is None else self.dead

    def write(self, data):
        self.transfers += 1
        self.time.advance(5)
        for value in data:
            self._byte(value)

    def readinto(self, buffer, value=0):
        self.transfers += 1
        self.time.advance(5)
        view = memoryview(buffer)
        data = bytes([self._byte(value) for _ in range(len(bytes(view)))])
        if not isinstance(buffer, (bytearray, memoryview)):  # array('h'): write its bytes
            for i in range(len(buffer)):
                number = data[2 * i] | data[2 * i + 1] << 8
                buffer[i] = number - 65536 if number & 0x8000 else number
        else:
            for i in range(len(data)):
                view[i] = data[i]

    def write_readinto(self, out, buffer):
        self.transfers += 1
        self.time.advance(5)
        assert len(out) == len(buffer)
        for i in range(len(out)):
            buffer[i] = self._byte(out[i])


def fails(action, *words):
    """The text of the OSError or ValueError that the action raises; it must hold the words."""
    try:
        action()
    except (OSError, ValueError) as error:
        text = str(error)
        for word in words:
            assert word in text, (word, text)
        return text
    raise AssertionError("no error")
