"""What all boards with an RP2040 or RP2350 have in common; what differs is in ``boards/<name>/board.json``.

The module ``board`` that main.py imports is generated from that file (``python -m fieldelm_tools.boards module NAME``) and has
it as ``description()``. A file ``board.json`` in the node's own file system takes the description's place, so that a wrong pin
is mended with one line and no new firmware.

LED: 1 flash: it has started; 2: the radio does not answer; 3: the sensor does not answer; 4: the configuration is wrong; 5: safe
mode; 6: the file system cannot be trusted; 7: the app failed. Quick flashing: ``identify``.
"""

import json
import machine
import sys
import time

from machine import Pin
from micropython import const

from fieldelm.config import ConfigError
from fieldelm.drivers import voltage

STARTED = const(1)
NO_RADIO = const(2)
NO_SENSOR = const(3)
BAD_CONFIG = const(4)
SAFE_MODE = const(5)
NO_STORAGE = const(6)
FAILED = const(7)

_WATCHDOG_MS = const(8000)  # the hardware's longest is 8,388 ms
# sleep at most so long between two feedings: an RP2040 that the watchdog bites in light sleep hangs until its power is cut
_SLICE_MS = const(3000)
_SHORT_MS = const(20)  # below this light sleep is not worth its 2 ms of waking
_SERVICE_MS = const(20)
_FLASH_MS = const(500)  # a write of flash takes less
# marks in the watchdog's first scratch register: the reset was asked for, or the app had failed
_REQUESTED = const(0x464D4C42)
_FAILED = const(0x464D4C43)
_USB = const(0x50110000)  # USBCTRL_REGS: device address, and SIE_STATUS at 0x50 (RP2040 datasheet 4.1.4)
_SIE_STATUS = const(0x50)
_SUSPENDED = const(0x10)
_WATCHDOG_RP2040 = const(0x40058000)  # WATCHDOG CTRL (RP2040 datasheet 4.7.6)
_WATCHDOG_RP2350 = const(0x400D8000)
_ENABLE = const(0x40000000)
_SCRATCH0 = const(0x0C)
_AWAKE_MS = const(10000)  # after a start no light sleep: a computer on the cable needs the clocks to find the board
DESCRIPTION_FILE = "board.json"


def open(config, description):
    """The board as docs/reference/interfaces.md describes it. Raises ConfigError; a silent radio or sensor does not stop it."""
    return bare(mended(description)).equip(config)


def bare(description):
    """The board without radio and sensor: what is needed to tell what is wrong. Raises ConfigError."""
    try:
        return Board(description)
    except (KeyError, TypeError, ValueError) as error:  # a key is missing, or MicroPython refuses a pin
        raise _wrong(error)


def safe_mode_asked(description):
    """Whether somebody holds the safe-mode pin at GND; to be asked before anything that may fail."""
    return not Pin(description["safe_mode"]["pin"], Pin.IN, Pin.PULL_UP)()


def _wrong(error):
    return ConfigError("the board's description (%s): %r; mend or delete it" % (DESCRIPTION_FILE, error))


def mended(description):
    """The description in the file system, if there is one, else the given one. Raises ConfigError."""
    try:
        with _open_file(DESCRIPTION_FILE) as file:
            return json.load(file)
    except OSError:
        return description
    except ValueError:
        raise ConfigError("%s: is not valid JSON; mend or delete it" % DESCRIPTION_FILE)


def _open_file(path):
    import builtins

    return builtins.open(path)


def usb_connected():
    """Whether a computer has configured the USB port and is awake."""
    return bool(machine.mem32[_USB] & 0x7F) and not machine.mem32[_USB + _SIE_STATUS] & _SUSPENDED


class Clock:
    """Milliseconds that never wrap, and sleep that feeds the watchdog.

    Light sleep stops the clocks and with them USB, so it is used only without a computer on the cable. It is taken in slices of
    3 s; MicroPython's own limit is 71 minutes. After each slice the buses are set up again: MicroPython wakes with another
    peripheral clock than it has started with.
    """

    def __init__(self, buses):
        self._ticks = time.ticks_ms()
        self._now = 0
        self._buses = buses
        self.feed = None  # feeds the watchdog
        self.service = None  # is called while sleeping; no light sleep then
        self.awake_until_ms = 0  # something needs the clocks
        self.proven_ms = None  # when ``on_proven`` is called, once: it writes to flash
        self.on_proven = None

    def now_ms(self):
        """Milliseconds since start; to be asked at least every six days, which every sleep does."""
        ticks = time.ticks_ms()
        self._now += time.ticks_diff(ticks, self._ticks)
        self._ticks = ticks
        return self._now

    def prove(self):
        """Call ``on_proven`` if it is time; True if it was."""
        if self.proven_ms is None or self.now_ms() < self.proven_ms:
            return False
        self.proven_ms = None
        self.on_proven()
        return True

    def sleep_ms(self, ms):
        """Sleep; light sleep where it is safe. Raises KeyboardInterrupt."""
        until = self.now_ms() + ms
        while True:
            if self.feed is not None:
                self.feed()
            if self.service is not None:
                self.service()
            left = until - self.now_ms()
            if left <= 0:
                return
            if left > _FLASH_MS and self.prove():
                continue
            if self.service is not None:
                time.sleep_ms(min(left, _SERVICE_MS))
            elif left > _SHORT_MS and self._now >= self.awake_until_ms and not usb_connected():
                machine.lightsleep(min(left, _SLICE_MS))
                for spi, mode, hz in self._buses:
                    spi.init(baudrate=hz, polarity=mode, phase=mode)
            else:
                time.sleep_ms(min(left, _SLICE_MS))


class Board:
    """See docs/reference/interfaces.md. ``equip`` gives it radio and sensor; the rest works without.

    ``problems``: what did not answer, a sentence each; ``reports_fault``: name of the sensor's fault in codes.py, or None.
    """

    def __init__(self, description):
        self.name = description["name"]
        self._description = description
        chip = description["chip"]
        if chip not in ("rp2040", "rp2350"):  # what is the one's watchdog is the other's USB clock
            raise ValueError('"chip" must be rp2040 or rp2350, not %s' % chip)
        self._control = _WATCHDOG_RP2350 if chip == "rp2350" else _WATCHDOG_RP2040
        self.boot_cause = self._cause()
        self.problems = []
        self.reports_fault = None
        self.radio = self.sensor = None
        self._watchdog = None
        self._timer = None
        led = description.get("led")
        self._led = None if led is None else Pin(led["pin"], Pin.OUT, value=not led.get("active", 1))
        self._led_on = 1 if led is None else led.get("active", 1)
        self._buses = []
        self.clock = Clock(self._buses)
        self.clock.awake_until_ms = _AWAKE_MS

    def equip(self, config):
        """Open what the configuration chooses; return the board. A silent radio or sensor does not stop it. ConfigError."""
        try:
            self._equip(config, self._description)
        except ConfigError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise _wrong(error)
        self._description = None
        import fieldelm

        del fieldelm.pico_parts, sys.modules["fieldelm.pico_parts"]  # needed once, as the configuration's checks
        return self

    def _equip(self, config, description):
        from fieldelm import pico_parts

        pico_parts.check(config, description)
        if config["board"] != self.name:
            raise ConfigError(
                '"board" is %s, but this firmware is for %s: flash the other one' % (config["board"], self.name)
            )
        self.radio = pico_parts.radio(config, description, self._buses, self)
        self.radio.on_wait = self.feed
        if config["role"] == "node":
            self.sensor = pico_parts.sensor(config, description, self._buses)
            self.sensor.on_wait = self.feed
        self._battery = pico_parts.battery(description)
        self._temperature = machine.ADC(machine.ADC.CORE_TEMP)
        settings = dict(config["radio"])
        settings.pop("plan", None)
        settings["invert_iq_rx"] = config["role"] == "node"
        settings["invert_iq_tx"] = config["role"] == "modem"
        try:
            self.radio.configure(settings)
            self.radio.sleep()
        except OSError as error:
            self.problems.append(str(error))

    # self-test, and what a person sees

    def self_test(self):
        """Try radio and sensor; return the list of what is wrong, a sentence each. Shows it on the LED, too."""
        self.problems = []
        self.reports_fault = None
        try:
            self.radio.standby()
            self.radio.sleep()
        except OSError as error:
            self.problems.append(str(error))
            self.show(NO_RADIO)
        if self.sensor is not None:
            try:
                self.sensor.self_test()
            except OSError as error:
                self.problems.append(str(error))
                self.reports_fault = "dead"
                self.show(NO_SENSOR)
        if not self.problems:
            self.show(STARTED)
        return self.problems

    def show(self, code):
        """Flash the LED so many times; takes 0.4 s for each."""
        if self._led is None:
            return
        for _ in range(code):
            self._led(self._led_on)
            time.sleep_ms(150)
            self._led(not self._led_on)
            time.sleep_ms(250)
            self.feed()

    def light(self, on):
        """The LED on or off."""
        if self._led is not None:
            self._led(self._led_on if on else not self._led_on)

    def identify(self, seconds):
        """Flash quickly for so long, beside what else the node does. 0 ends it."""
        if self._led is None:
            return
        if self._timer is None:
            self._timer = machine.Timer()
        else:
            self._timer.deinit()
        self._flashes = 8 * seconds
        self.clock.awake_until_ms = max(self.clock.awake_until_ms, self.clock.now_ms() + 1000 * seconds)
        self._led(not self._led_on)
        if seconds:
            self._timer.init(period=125, mode=machine.Timer.PERIODIC, callback=self._flash)

    def _flash(self, timer):
        self._flashes -= 1
        self._led(self._led_on if self._flashes & 1 else not self._led_on)
        if self._flashes <= 0:
            timer.deinit()

    # power and resets

    def battery_mv(self):
        """Battery in mV, or None where the board cannot measure it."""
        return None if self._battery is None else voltage.millivolts(*self._battery)

    def temperature_c(self):
        """Temperature of the chip in °C."""
        return voltage.chip_temperature_c(self._temperature)

    def start_watchdog(self):
        """From now on the board is reset if nothing feeds it for 8 s: the clock's sleep, a waiting radio or sensor, ``feed``."""
        self._watchdog = machine.WDT(timeout=_WATCHDOG_MS)
        self.clock.feed = self._watchdog.feed

    def stop_watchdog(self):
        """Whoever works at the REPL does not feed it. MicroPython knows no way, the chip does."""
        machine.mem32[self._control] = machine.mem32[self._control] & ~_ENABLE
        self._watchdog = None
        self.clock.feed = None

    def feed(self):
        """Feed the watchdog, if it runs."""
        if self._watchdog is not None:
            self._watchdog.feed()

    def reboot(self):
        """Restart at once; does not return. The next start knows that it was asked for."""
        self._restart(_REQUESTED)

    def start_anew(self):
        """Restart since the app cannot run or has failed; does not return. The next start knows that."""
        self._restart(_FAILED)

    def _restart(self, mark):
        machine.mem32[self._control + _SCRATCH0] = mark
        machine.reset()

    def _cause(self):
        # MicroPython's reset is the watchdog's, too, so a mark tells them apart; it does not outlast a power cut
        mark = machine.mem32[self._control + _SCRATCH0]
        machine.mem32[self._control + _SCRATCH0] = 0
        if machine.reset_cause() != machine.WDT_RESET:
            return 1
        return 3 if mark == _REQUESTED else 4 if mark == _FAILED else 2
