"""A Pico's ``machine`` on copper: ``install(time)`` before fieldelm.pico_board is imported. Chips are hung on buses by number."""

import sys

from copper import Pin as Wire, Spi


class Machine:
    PWRON_RESET = 1
    WDT_RESET = 3

    def __init__(self, time):
        self.time = time
        self.wires = {}
        self.spis = {}
        self.i2cs = {}
        self.analog = {}
        self.memory = {0x50110000: 0, 0x50110050: 0}
        self.cause = 1
        self.log = []
        self.fed_us = 0
        self.hungry_us = 0  # longest time without food
        self.wakes = 0
        machine = self

        class Pin(Wire):
            IN = 0
            OUT = 1
            PULL_UP = 1

            def __new__(cls, number, mode=None, pull=None, value=None):
                wire = machine.wire(number)
                if pull is not None and not wire.held:
                    wire(1)
                if value is not None:
                    wire(value)
                return wire

        class SpiBus:
            def __new__(cls, number, **settings):
                bus = machine.spi(number)
                bus.settings = settings
                bus.init = lambda **settings: machine.log.append(("spi", number, settings))
                return bus

        class I2cBus:
            def __new__(cls, number, **settings):
                machine.log.append(("i2c", number, settings["freq"]))
                return machine.i2cs[number]

        class Adc:
            CORE_TEMP = 4

            def __init__(self, source):
                self.source = source

            def read_u16(self):
                return machine.analog.get(self.source, 0)

        class Wdt:
            def __init__(self, timeout):
                machine.timeout_ms = timeout
                self.feed()

            def feed(self):
                now = machine.time.us
                machine.hungry_us = max(machine.hungry_us, now - (machine.fed_us or now))
                machine.fed_us = now

        class Timer:
            PERIODIC = 1

            def init(self, period, mode, callback):
                self.on = True

                def tick():
                    if self.on:
                        callback(self)
                        machine.time.after(1000 * period, tick)

                machine.time.after(1000 * period, tick)

            def deinit(self):
                self.on = False

        class Memory:
            def __getitem__(self, address):
                return machine.memory.get(address, 0)

            def __setitem__(self, address, value):
                machine.memory[address] = value

        self.Pin, self.SPI, self.I2C, self.ADC, self.WDT, self.Timer = Pin, SpiBus, I2cBus, Adc, Wdt, Timer
        self.mem32 = Memory()

    def wire(self, number):
        if number not in self.wires:
            self.wires[number] = Wire()
            self.wires[number].number = number
        return self.wires[number]

    def spi(self, number):
        if number not in self.spis:
            self.spis[number] = Spi(self.time, 2)
        return self.spis[number]

    def reset_cause(self):
        return self.cause

    def reset(self):
        raise SystemExit("reset")

    def lightsleep(self, ms):
        self.wakes += 1
        self.time.advance(1000 * ms)


def install(time):
    machine = Machine(time)
    sys.modules["machine"] = machine
    return machine
