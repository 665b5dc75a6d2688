"""Semtech SX1261/62 as LoRa modem, on SPI.

Sections are those of the SX1261/2 datasheet, rev. 2.1. The chip listens in continuous mode only; how long is decided here, so
that a frame that has begun is always finished.
"""

import time

from micropython import const

from fieldelm.drivers import lora_modem
from fieldelm.drivers.sx126x_bus import SX126xBus

# commands, section 11
_SET_SLEEP = const(0x84)
_SET_STANDBY = const(0x80)
_SET_TX = const(0x83)
_SET_RX = const(0x82)
_SET_REGULATOR = const(0x96)
_CALIBRATE = const(0x89)
_CALIBRATE_IMAGE = const(0x98)
_SET_PA_CONFIG = const(0x95)
_WRITE_BUFFER = const(0x0E)
_READ_BUFFER = const(0x1E)
_SET_DIO_IRQ = const(0x08)
_GET_IRQ = const(0x12)
_SET_DIO2_SWITCH = const(0x9D)
_SET_DIO3_TCXO = const(0x97)
_SET_FREQUENCY = const(0x86)
_SET_PACKET_TYPE = const(0x8A)
_SET_TX_PARAMS = const(0x8E)
_SET_MODULATION = const(0x8B)
_SET_PACKET = const(0x8C)
_SET_BUFFER_BASE = const(0x8F)
_GET_STATUS = const(0xC0)
_GET_PACKET_TYPE = const(0x11)
_GET_RX_BUFFER = const(0x13)
_GET_PACKET_STATUS = const(0x14)
_CLEAR_ERRORS = const(0x07)

# interrupts, 13.3.1
_TX_DONE = const(0x0001)
_RX_DONE = const(0x0002)
_PREAMBLE = const(0x0004)
_HEADER_VALID = const(0x0010)
_HEADER_ERROR = const(0x0020)
_CRC_ERROR = const(0x0040)
_WANTED = const(_TX_DONE | _RX_DONE | _PREAMBLE | _HEADER_VALID | _HEADER_ERROR | _CRC_ERROR)
_ON_DIO1 = const(_TX_DONE | _RX_DONE)

# registers, 12
_SYNC_WORD = const(0x0740)
_IQ_POLARITY = const(0x0736)
_TX_MODULATION = const(0x0889)
_RX_GAIN = const(0x08AC)
_TX_CLAMP = const(0x08D8)

_STDBY_RC = const(2)  # chip mode in the status, 13.5.1
_RX = const(5)
# longest by 8.3.1 is 3.5 ms (cold start); a full calibration takes as long, and the TCXO's start comes on top
_BUSY_MS = const(20)
_STEPS_PER_MS = const(64)  # of 15.625 us
_TCXO_MV = const((1600, 1700, 1800, 2200, 2400, 2700, 3000, 3300))  # 13.3.6
_BANDWIDTHS = const(("7.8", "10.4", "15.6", "20.8", "31.25", "41.7", "62.5", "125", "250", "500"))
_BANDWIDTH_CODES = const(b"\x00\x08\x01\x09\x02\x0a\x03\x04\x05\x06")  # 13.4.5.2
_IMAGE_BANDS = const(
    (  # 9.2.1: from kHz, to kHz, bytes of CalibrateImage
        (430000, 440000, 0x6B, 0x6F),
        (470000, 510000, 0x75, 0x81),
        (779000, 787000, 0xC1, 0xC5),
        (863000, 870000, 0xD7, 0xDB),
        (902000, 928000, 0xE1, 0xE9),
    )
)
# 13.1.14.1, optimal settings: dBm, PaDutyCycle, HpMax, what SetTxParams takes for that power
_PA_TABLE = const(((14, 0x02, 0x02, 22), (17, 0x02, 0x03, 22), (20, 0x03, 0x05, 22), (22, 0x04, 0x07, 22)))


class SX126x(SX126xBus):
    """A modem on ``spi`` (mode 0, at most 16 MHz) with its chip select ``cs`` and its ``busy`` input.

    ``dio1`` (input) tells of a done frame, without it the flags are polled; ``reset`` is the NRESET pin. ``dio2_rf_sw``: DIO2
    switches the antenna to the transmitter. ``dio3_tcxo_millivolts``: DIO3 feeds a TCXO, which runs after
    ``dio3_tcxo_start_time_us``. ``rxen`` and ``txen`` are outputs to an antenna switch, high while receiving or sending.
    ``dcdc``: the board has the inductor of the DC-DC converter. Pins are ``machine.Pin`` objects, set up by the caller.
    Without ``lora_cfg`` the chip is not touched before the first operation.
    """

    NAME = "SX1262"
    IRQ_NAME = "DIO1"
    _MARKS = (_TX_DONE, _RX_DONE, _CRC_ERROR)
    _PA = _PA_TABLE
    _PA_DEVICE = 0
    _LOWEST_DBM = -9

    def __init__(
        self,
        spi,
        cs,
        busy,
        dio1=None,
        dio2_rf_sw=True,
        dio3_tcxo_millivolts=None,
        dio3_tcxo_start_time_us=5000,
        reset=None,
        lora_cfg=None,
        rxen=None,
        txen=None,
        dcdc=True,
    ):
        self._reset = reset
        self._rxen = rxen
        self._txen = txen
        self._dio2 = dio2_rf_sw
        self._tcxo_mv = dio3_tcxo_millivolts
        self._tcxo_steps = (dio3_tcxo_start_time_us * _STEPS_PER_MS + 999) // 1000
        self._dcdc = dcdc
        tcxo_ms = dio3_tcxo_start_time_us // 1000 + 1 if dio3_tcxo_millivolts else 0
        super().__init__(spi, cs, busy, dio1, _BUSY_MS + tcxo_ms)
        if dio3_tcxo_millivolts:
            self.start_ms = dio3_tcxo_start_time_us // 1000  # 13.3.6: it starts anew with every transmission
        self._antenna(0, 0)
        if lora_cfg is not None:
            self.configure(lora_cfg)

    def _antenna(self, rx, tx):
        if self._rxen is not None:
            self._rxen(rx)
        if self._txen is not None:
            self._txen(tx)

    # start and settings, 14.2 and 14.3

    def _start(self):
        self._asleep = False
        if self._reset is not None:
            # 8.1: low for 100 us
            self._reset(0)
            time.sleep_ms(1)
            self._reset(1)
            time.sleep_ms(5)
        else:
            self._knock()
        self._send(_SET_STANDBY, 0)
        self._get(_GET_STATUS, 0)
        status = self._buffer[1]
        if status >> 4 & 7 != _STDBY_RC:
            mend = "which chip it is"
            if status in (0x00, 0xFF):
                mend = "that the chip has power, and the MISO, SCK, CS and reset wires: nothing answers"
            self._fail("status reads 0x%02X, not standby (0x2_)" % status, mend)
        for value in (0x14, 0x24):  # what the register holds after a reset, and something else
            self._write(_SYNC_WORD, value)
            got = self._read(_SYNC_WORD)
            if got != value:
                self._fail(
                    "register 0x0740 reads 0x%02X after 0x%02X was written" % (got, value),
                    "the SPI wires and the supply",
                )
        if self._tcxo_mv:
            # 13.3.6: the voltage, then everything calibrated again, since the clock was not there at start
            step = 0
            for i in range(len(_TCXO_MV)):
                if _TCXO_MV[i] <= self._tcxo_mv:
                    step = i
            n = self._tcxo_steps
            self._send(_SET_DIO3_TCXO, step, n >> 16 & 0xFF, n >> 8 & 0xFF, n & 0xFF)
            self._send(_CLEAR_ERRORS, 0, 0)
            self._send(_CALIBRATE, 0x7F)
            self._ready()
        self._send(_SET_REGULATOR, 1 if self._dcdc else 0)
        self._send(_SET_DIO2_SWITCH, 1 if self._dio2 else 0)
        self._send(_SET_PACKET_TYPE, 1)
        self._send(_SET_BUFFER_BASE, 0, 0)
        self._send(_SET_DIO_IRQ, _WANTED >> 8, _WANTED & 0xFF, _ON_DIO1 >> 8, _ON_DIO1 & 0xFF, 0, 0, 0, 0)
        if self._PA_DEVICE == 0:
            self._write(_TX_CLAMP, self._read(_TX_CLAMP) | 0x1E)  # 15.2: the power amplifier's clamp, SX1262 only

    def _apply(self):
        # 9.2.1: the image calibration for the band; outside the table the one made at start (902 to 928 MHz) stays
        for low, high, first, second in _IMAGE_BANDS:
            if low <= self.freq_khz <= high:
                self._send(_CALIBRATE_IMAGE, first, second)
        # 13.4.1: f = RfFreq * 32 MHz / 2^25
        n = (self.freq_khz * 1000 * 1048576 + 500000) // 1000000
        self._send(_SET_FREQUENCY, n >> 24, n >> 16 & 0xFF, n >> 8 & 0xFF, n & 0xFF)
        dbm = max(min(self.output_power, self._PA[-1][0]), self._LOWEST_DBM)
        most, duty, maximum, power = next(row for row in self._PA if dbm <= row[0])
        self._send(_SET_PA_CONFIG, duty, maximum, self._PA_DEVICE, 1)
        self._send(_SET_TX_PARAMS, max(power - (most - dbm), self._LOWEST_DBM) & 0xFF, 0x02)  # ramp of 40 us
        self._send(
            _SET_MODULATION,
            self.sf,
            _BANDWIDTH_CODES[_BANDWIDTHS.index(self.bw)],
            self.coding_rate - 4,
            1 if self.low_data_rate() else 0,
        )
        word = self.syncword
        if word < 0x100:  # 0xYZ of the SX127x is 0xY4Z4 here
            word = (word & 0xF0) << 8 | (word & 0x0F) << 4 | 0x0404
        self._write(_SYNC_WORD, word >> 8)
        self._write(_SYNC_WORD + 1, word & 0xFF)
        self._clear()
        self._check_errors()

    def _packet_params(self, length, invert):
        self._send(
            _SET_PACKET,
            self.preamble_len >> 8,
            self.preamble_len & 0xFF,
            1 if self.implicit_header else 0,
            length,
            1 if self.crc_en else 0,
            1 if invert else 0,
        )
        # 15.4: bit 2 clear with inverted IQ
        polarity = self._read(_IQ_POLARITY)
        self._write(_IQ_POLARITY, polarity & 0xFB if invert else polarity | 0x04)

    # operation, 9 and 14

    def _standby(self):
        self._send(_SET_STANDBY, 0)
        self._antenna(0, 0)
        self._get(_GET_IRQ, 2)  # GetStatus right after SetRx is known to confuse the chip; this carries the status, too
        status = self._buffer[1]
        if status >> 4 & 7 not in (_STDBY_RC, _STDBY_RC + 1):
            self._fail("status reads 0x%02X, not standby (0x2_)" % status, "the supply and the SPI wires")
        self._get(_GET_PACKET_TYPE, 1)
        if self._buffer[2] != 1:
            self._fail("the chip has lost its settings", "the supply: it has restarted")

    def _sleep(self):
        if not self._asleep:
            self._send(_SET_STANDBY, 0)
            self._antenna(0, 0)
            self._send(_SET_SLEEP, 0x04)  # 9.3, 13.1.1: warm start, settings are kept
            self._asleep = True
            time.sleep_us(500)  # 13.1.1: no SPI for 500 us

    def _load(self, packet, length):
        self._ready()
        self._packet_params(length, self.invert_iq_tx)
        # 15.1: modulation quality with 500 kHz
        quality = self._read(_TX_MODULATION)
        self._write(_TX_MODULATION, quality & 0xFB if self.bw == "500" else quality | 0x04)
        self._buffer[0] = _WRITE_BUFFER
        self._buffer[1] = 0
        self._select()
        self._spi.write(self._parts[2])
        self._spi.write(packet)
        self._cs(1)
        self._clear()

    def _start_tx(self):
        self._antenna(0, 1)
        self._send(_SET_TX, 0, 0, 0)

    def _after_tx(self):
        self._antenna(0, 0)
        self._clear()

    def _start_rx(self):
        self._packet_params(self._rx_length, self.invert_iq_rx)
        self._write(_RX_GAIN, 0x96 if self.rx_boost else 0x94)  # 9.6; not kept in sleep
        self._clear()
        self._antenna(1, 0)
        self._send(_SET_RX, 0xFF, 0xFF, 0xFF)

    def _listens(self):
        self._raw_flags()  # any answer carries the status
        return self._buffer[1] >> 4 & 7 == _RX

    def _begun(self):
        # flags stay until they are cleared: a preamble that ended in a bad header counts no more
        raw = self._raw_flags()
        if raw & _HEADER_VALID:
            return lora_modem.HEADER
        if raw & _HEADER_ERROR:
            self._clear(_PREAMBLE | _HEADER_ERROR)
            return lora_modem.NOTHING
        return lora_modem.PREAMBLE if raw & _PREAMBLE else lora_modem.NOTHING

    def _packet_length(self):
        self._get(_GET_RX_BUFFER, 2)
        self._at = self._buffer[3]
        return self._rx_length if self.implicit_header else self._buffer[2]

    def _read_packet(self, packet):
        # payload, signal, then the flags are free for the next frame
        self._get(_GET_PACKET_STATUS, 3)
        snr = self._buffer[3]
        packet.snr = snr - 256 if snr & 0x80 else snr
        # 13.5.3: below the noise the average shows the noise, and the strength after despreading is the signal's
        packet.rssi = -(self._buffer[4] if snr & 0x80 else self._buffer[2]) // 2
        self._buffer[0] = _READ_BUFFER
        self._buffer[1] = self._at
        self._buffer[2] = 0
        self._select()
        self._spi.write(self._parts[3])
        self._spi.readinto(packet)
        self._cs(1)
        self._clear()
        return True


SX1262 = SX126x
