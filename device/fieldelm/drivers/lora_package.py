"""MicroPython's official ``lora`` package (micropython-lib) in place of our radio drivers, for users who have it on the board.

``"options": {"driver": "lora"}`` chooses it. The package touches its chip when a modem is made and raises RuntimeError; here the
modem is made by the first operation, what goes wrong is an OSError with a sentence, and the next operation makes it anew.
"""

import time

from micropython import const

from fieldelm.config import ConfigError

_POLL_MS = const(1)
_ASK_MS = const(20)  # without a word from the interrupt pin the package is asked so often (a time-out has no pin)


def modem(d, spi, pins):
    """The radio of the description ``d`` on ``spi``; ``pins`` are its keyword arguments. ConfigError without the package."""
    chip = d["chip"].upper()
    try:
        import lora

        kind = getattr(lora, chip)
    except (ImportError, AttributeError):
        raise ConfigError(
            'options: "driver" is "lora", but that package is not on the board: mpremote mip install lora-sync lora-%sx'
            % d["chip"][:-1]
        )
    settings = {"crc_en": True}  # the package's defaults depend on the chip, and are not our drivers'
    if chip.startswith("SX127"):
        settings["tx_ant"] = d.get("tx_ant", "PA_BOOST")
    irq = pins.get("dio0", pins.get("dio1"))
    return LoraPackage(chip, lambda lora_cfg: kind(spi, lora_cfg=lora_cfg, **pins), settings, irq)


class AntennaSwitch:
    """What the package calls ``ant_sw``: outputs ``rxen`` and ``txen`` (or None) that are high while receiving or sending."""

    def __init__(self, rxen, txen):
        self._rxen = rxen
        self._txen = txen
        self.idle()

    def _set(self, rx, tx):
        if self._rxen is not None:
            self._rxen(rx)
        if self._txen is not None:
            self._txen(tx)

    def rx(self):
        """The receiver has the antenna."""
        self._set(1, 0)

    def tx(self, high_power):
        """The transmitter has it."""
        self._set(0, 1)

    def idle(self):
        """Nobody needs it."""
        self._set(0, 0)


class LoraPackage:
    """The interface of a radio; ``make(lora_cfg)`` returns a modem of the package, ``settings`` are its first.

    ``irq``: the pin that is high when something is done, or None. While it is low the bus stays silent, mostly.
    """

    def __init__(self, name, make, settings, irq=None):
        self.NAME = name
        self.on_wait = None
        self.output_power = None  # as configured
        self.restarts = 0
        self.start_ms = 0
        self._make = make
        self._settings = settings
        self._modem = None
        self._irq = irq
        self._asked_ms = 0
        self._goes_on = False

    def _poll(self, name, *args):
        # ask the package, unless it has just said that nothing was new and the pin has not risen since
        now = time.ticks_ms()
        if (
            self._goes_on
            and self._irq is not None
            and not self._irq()
            and time.ticks_diff(now, self._asked_ms) < _ASK_MS
        ):
            return True
        self._asked_ms = now
        got = self._do(name, *args)
        self._goes_on = got is True
        return got

    def _do(self, name, *args):
        self._goes_on = False
        try:
            if self._modem is None:
                self._modem = self._make(self._settings)
            return getattr(self._modem, name)(*args)
        except (RuntimeError, OSError) as error:
            if self._modem is not None:
                self.restarts += 1
                self._modem = None
            raise OSError("%s (lora package): %s; check power and wires" % (self.NAME, error))

    def configure(self, lora_cfg):
        """Change settings (the package's keys). Raises ValueError, and OSError if the chip fails."""
        self._settings.update(lora_cfg)
        self.output_power = self._settings.get("output_power")
        if self._modem is not None:
            self._do("standby")
        self._do("configure", lora_cfg)

    def standby(self):
        """Stop what is going on."""
        self._do("standby")

    def sleep(self):
        """Lowest power; the next operation wakes the chip."""
        self._do("sleep")

    def get_time_on_air_us(self, length):
        """Duration in us of a frame of ``length`` bytes."""
        return self._do("get_time_on_air_us", length)

    @property
    def crc_errors(self):
        """Frames with a bad CRC since the modem was made."""
        return 0 if self._modem is None else self._modem.crc_errors

    def prepare_send(self, packet):
        """Load a frame, so that ``start_send`` has only to start it."""
        self._do("prepare_send", packet)
        self._limit_ms = self.get_time_on_air_us(len(packet)) // 1000 + 250

    def start_send(self):
        """Start the frame that ``prepare_send`` has loaded."""
        self._do("start_send")
        self._started_ms = time.ticks_ms()

    def poll_send(self):
        """True while the frame is leaving, False when nothing is, ``ticks_ms`` of its end when it has left. Raises OSError."""
        ended = self._poll("poll_send")
        if ended is True and time.ticks_diff(time.ticks_ms(), self._started_ms) > self._limit_ms:
            self._modem = None
            raise OSError("%s (lora package): transmission did not end; check the supply and the antenna" % self.NAME)
        return ended

    def send(self, packet):
        """Send a frame; return ``ticks_ms`` of its end. Blocks. Raises OSError."""
        self.prepare_send(packet)
        self.start_send()
        while True:
            ended = self.poll_send()
            if ended is not True:
                return ended
            self._wait()

    def start_recv(self, timeout_ms=None, continuous=False, rx_length=255):
        """Start to listen; ``poll_recv`` tells what came."""
        self._do("start_recv", timeout_ms, continuous, rx_length)

    def poll_recv(self, rx_packet=None):
        """A packet; True while listening goes on; False when it has ended."""
        got = self._poll("poll_recv", rx_packet)
        if self._irq is None and got is not True and got is not False:
            got.ticks_ms = time.ticks_ms()  # without a pin the package takes the time of its last standby
        return got

    def recv(self, timeout_ms=None, rx_length=255, rx_packet=None):
        """Wait for a frame; return it, or None after ``timeout_ms`` without one. Raises OSError."""
        self.start_recv(timeout_ms, False, rx_length)
        while True:
            got = self.poll_recv(rx_packet)
            if got is not True:
                return got or None
            self._wait()

    def is_listening(self):
        """Whether the chip says that it is at work. Raises OSError."""
        return self._modem is not None and not self._do("is_idle")

    def _wait(self):
        if self.on_wait is not None:
            self.on_wait()
        time.sleep_ms(_POLL_MS)
