"""What every LoRa modem of ours has in common: settings, sending, receiving. The chip is in sx127x.py or sx126x.py.

Method names, configuration keys and packet attributes are those of MicroPython's ``lora`` package (micropython-lib), so that
either can take the other's place. Sending and receiving poll: with an interrupt pin its level is looked at and the bus stays
silent until the chip is done, without one the chip's flags are read. Nothing is allocated while waiting; a received packet is
one new object unless the caller passes one of the right length.

What goes wrong on the bus raises OSError with a sentence. The next operation then starts the chip anew (reset, settings), so a
radio that lost its power for a moment comes back by itself.
"""

import time

from micropython import const

from fieldelm import airtime

# places in a chip's _MARKS: its own flags of these meanings
_TX_DONE = const(0)
_RX_DONE = const(1)
_BAD_CRC = const(2)  # with _RX_DONE

# answers of a chip's _begun()
NOTHING = const(0)
PREAMBLE = const(1)
HEADER = const(2)

_LONGEST = const(255)  # bytes in a frame
_POLL_MS = const(1)
_SYMBOLS_TO_HEADER = const(14)  # sync word 4.25, block with the header 8 (SX1276 datasheet 4.1.1.6), rest to be sure


class ConfigError(ValueError):
    """A key of ``lora_cfg`` is unknown or its value impossible; the text names it."""


class RxPacket(bytearray):
    """What was received, with the modem's remarks.

    ``rssi`` in dBm, ``snr`` in quarter dB, ``ticks_ms`` of the end of the frame, ``valid_crc``.
    """

    def __init__(self, length=0):
        super().__init__(length)
        self.rssi = 0
        self.snr = 0
        self.ticks_ms = 0
        self.valid_crc = True


class LoraModem:
    """Base of the chips' drivers. ``NAME`` is the chip's; ``irq`` the pin that tells of a done operation, or None.

    ``on_wait``, if set, is called about every millisecond while ``send`` and ``recv`` wait (to feed a watchdog).
    ``start_ms``: how long after ``start_send`` the frame begins. ``rx_crc_error``: whether packets with a bad CRC are handed
    over, too. ``crc_errors`` counts them, ``restarts`` how often the chip had lost its settings and was started anew.
    """

    NAME = "LoRa modem"
    IRQ_NAME = "DIO"

    def __init__(self, irq):
        self.freq_khz = 868100
        self.sf = 7
        self.bw = "125"
        self.coding_rate = 5
        self.preamble_len = 12
        self.output_power = 14
        self.implicit_header = False
        self.crc_en = True
        self.invert_iq_rx = False
        self.invert_iq_tx = False
        self.syncword = 0x12  # private networks (SX1276 datasheet 6.4, RegSyncWord)
        self.rx_boost = False
        self.tx_ant = "PA_BOOST"
        self.rx_crc_error = False
        self.crc_errors = 0
        self.restarts = 0
        self.on_wait = None
        self.start_ms = 0
        self._healthy = False
        self._rx = False
        self._continuous = False
        self._sending = 0  # bytes of the frame that is leaving
        self._started_ms = 0
        self._limit_ms = 0
        self._has_limit = False
        self._end_ms = 0
        self._irq = irq
        self._irq_seen = False
        if irq is not None:
            irq.irq(self._on_irq, irq.IRQ_RISING, hard=True)

    def _on_irq(self, pin):
        self._end_ms = time.ticks_ms()
        self._irq_seen = True

    # settings

    _NUMBERS = ("freq_khz", "sf", "coding_rate", "preamble_len", "output_power", "syncword")
    _LIMITS = ((137000, 1020000), (7, 12), (5, 8), (6, 65535), (-17, 22), (0, 0xFFFF))
    _FLAGS = ("implicit_header", "crc_en", "invert_iq_rx", "invert_iq_tx", "rx_boost")

    def configure(self, lora_cfg):
        """Change the settings that the dict names; the others stay. Raises ConfigError, and OSError if the chip fails.

        Keys: ``freq_khz``, ``sf``, ``bw`` (kHz as a string), ``coding_rate`` 5..8, ``preamble_len``, ``output_power`` (dBm; what
        the chip cannot do is brought into its range), ``implicit_header``, ``crc_en``, ``invert_iq_rx``, ``invert_iq_tx``,
        ``syncword``, ``rx_boost``, ``tx_ant`` ("PA_BOOST" or "RFO", SX127x).
        """
        values = {}
        for key in lora_cfg:
            value = lora_cfg[key]
            if key in self._FLAGS:
                value = bool(value)
            elif key == "bw":
                value = str(value)
                try:
                    airtime.symbol_us(7, value)
                except ValueError as error:
                    raise ConfigError("bw: %s" % error)
            elif key == "tx_ant":
                if value not in ("PA_BOOST", "RFO"):
                    raise ConfigError("tx_ant must be PA_BOOST or RFO, not %r" % (value,))
            elif key in self._NUMBERS:
                low, high = self._LIMITS[self._NUMBERS.index(key)]
                if not isinstance(value, int) or not low <= value <= high:
                    raise ConfigError("%s must be a whole number from %d to %d, not %r" % (key, low, high, value))
            else:
                raise ConfigError("%s is no setting of the %s" % (key, self.NAME))
            values[key] = value
        for key in values:
            setattr(self, key, values[key])
        if self._healthy:
            self.standby()
            self._apply()
        else:
            self._wake()

    def low_data_rate(self):
        """Whether symbols are so long that both sides use the low-data-rate optimisation (SX1276 datasheet 4.1.1.6)."""
        return airtime.symbol_us(self.sf, self.bw) > airtime.OPTIMISE_ABOVE_US

    def get_time_on_air_us(self, length):
        """Duration in us of a frame of ``length`` bytes with the present settings (explicit header)."""
        return airtime.time_on_air_us(length, self.sf, self.bw, self.coding_rate, self.preamble_len, self.crc_en)

    # the chip: alive or to be started

    def _wake(self):
        # start the chip if it was never started or has failed
        if not self._healthy:
            self._rx = False
            self._sending = 0
            self._start()
            self._apply()
            self._healthy = True

    def _fail(self, what, mend):
        # the next operation starts the chip anew
        self._healthy = False
        raise OSError("%s: %s; check %s" % (self.NAME, what, mend))

    def standby(self):
        """Stop what is going on; the chip keeps its settings and its oscillator may run."""
        self._rx = False
        self._sending = 0
        if self._healthy:
            try:
                self._standby()
                return
            except OSError:
                self.restarts += 1  # it has lost its settings, or more
        self._wake()

    def sleep(self):
        """Lowest power; settings are kept, the next operation wakes the chip."""
        self._rx = False
        self._sending = 0
        if self._healthy:
            self._sleep()

    def is_idle(self):
        """Whether the modem neither sends nor receives."""
        return not self._rx and not self._sending

    def _wait(self):
        if self.on_wait is not None:
            self.on_wait()
        time.sleep_ms(_POLL_MS)

    # sending

    def send(self, packet, tx_at_ms=None):
        """Send a frame of 1 to 255 bytes; return ``ticks_ms`` of its end. Blocks. Raises OSError.

        With ``tx_at_ms`` (a value of ``time.ticks_ms()``) the frame is loaded first and leaves at that time.
        """
        self.prepare_send(packet)
        if tx_at_ms is not None:
            tx_at_ms = time.ticks_add(tx_at_ms, -self.start_ms)
            while time.ticks_diff(tx_at_ms, time.ticks_ms()) > 2:
                self._wait()
            while time.ticks_diff(tx_at_ms, time.ticks_ms()) > 0:
                pass
        self.start_send()
        while True:
            ended = self.poll_send()
            if ended is not True:
                return ended
            self._wait()

    def prepare_send(self, packet):
        """Load a frame, so that ``start_send`` has only to start it."""
        length = len(packet)
        if not 1 <= length <= _LONGEST:
            raise ValueError("a LoRa frame has 1 to 255 bytes, not %d" % length)
        self.standby()
        self._load(packet, length)
        self._loaded = length

    def start_send(self):
        """Start the frame that ``prepare_send`` has loaded."""
        length = self._loaded
        self._irq_seen = False
        self._start_tx()
        self._sending = length
        self._started_ms = time.ticks_ms()
        self._limit_ms = self.get_time_on_air_us(length) // 1000 + 250

    def poll_send(self):
        """True while the frame is leaving, False when nothing is, ``ticks_ms`` of its end when it has left. Raises OSError."""
        if not self._sending:
            return False
        if self._tx_done():
            end = self._end()
            self._sending = 0
            self._after_tx()
            return end
        if time.ticks_diff(time.ticks_ms(), self._started_ms) > self._limit_ms:
            self._check_irq(_TX_DONE)
            self._fail(
                "transmission did not end within %d ms (%s)" % (self._limit_ms, self._state()),
                "the supply (it must not sag while sending) and the antenna",
            )
        return True

    def _check_irq(self, done):
        # a wire that never tells would make a modem deaf and dumb without a word
        if self._irq is not None and self._marked(done, self._raw_flags()) and not self._irq():
            self._fail("%s stays low although the chip is done" % self.IRQ_NAME, "that wire")

    def _tx_done(self):
        if self._irq is not None and not self._irq():
            return False
        return self._marked(_TX_DONE, self._raw_flags())

    def _marked(self, mark, raw):
        return bool(raw & self._MARKS[mark])

    def _end(self):
        return self._end_ms if self._irq_seen else time.ticks_ms()

    # receiving

    def recv(self, timeout_ms=None, rx_length=_LONGEST, rx_packet=None):
        """Wait for a frame; return it, or None after ``timeout_ms`` without one. Raises OSError.

        A reception that has begun when the time is up is finished. ``rx_length`` matters with implicit headers only.
        """
        self.start_recv(timeout_ms, False, rx_length)
        while True:
            got = self.poll_recv(rx_packet)
            if got is not True:
                return got or None
            self._wait()

    def start_recv(self, timeout_ms=None, continuous=False, rx_length=_LONGEST):
        """Start to listen: for one frame, or with ``continuous`` for ever; ``poll_recv`` tells what came."""
        self.standby()
        self._rx_length = rx_length
        self._continuous = continuous
        self._has_limit = timeout_ms is not None
        self._limit_ms = timeout_ms or 0
        self._irq_seen = False
        self._start_rx()
        self._rx = True
        self._started_ms = time.ticks_ms()

    def poll_recv(self, rx_packet=None):
        """A packet; True while listening goes on; False when it has ended (time is up, or it was never started)."""
        if not self._rx:
            return False
        if self._irq is None or self._irq():
            raw = self._raw_flags()
            if self._marked(_RX_DONE, raw):
                packet = self._received(raw, rx_packet)
                if packet is not None:
                    if not self._continuous:
                        self.standby()
                    return packet
        if self._has_limit and self._over():
            self.standby()
            return False
        return True

    def is_listening(self):
        """Whether the chip itself says that it listens: one that has restarted is deaf and says nothing. Raises OSError."""
        return self._rx and self._healthy and self._listens()

    def _received(self, raw, packet):
        ticks_ms = self._end()
        self._irq_seen = False
        length = self._packet_length()
        if packet is None or len(packet) != length:
            packet = RxPacket(length)
        good = self._read_packet(packet) and not self._marked(_BAD_CRC, raw)
        if not good:
            self.crc_errors += 1
            if not self.rx_crc_error:
                return None
        packet.ticks_ms = ticks_ms
        packet.valid_crc = good
        return packet

    def _over(self):
        # whether to stop listening: time is up, and nothing has begun that may become a frame
        late = time.ticks_diff(time.ticks_ms(), self._started_ms) - self._limit_ms
        if late < 0:
            return False
        self._check_irq(_RX_DONE)
        begun = self._begun()
        if begun == NOTHING:
            return True
        symbol = airtime.symbol_us(self.sf, self.bw)
        if begun == PREAMBLE:
            return late * 1000 > (self.preamble_len + _SYMBOLS_TO_HEADER) * symbol
        return late * 1000 > self.get_time_on_air_us(_LONGEST)
