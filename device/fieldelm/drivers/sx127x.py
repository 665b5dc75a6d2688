"""Semtech SX1276/77/78/79 as LoRa modem, on SPI.

Sections are those of the SX1276/77/78/79 datasheet, rev. 7, errata those of the SX1276/77/78 errata note, rev. 1. The chip
listens in continuous mode only; how long is decided here, so that a frame that has begun is always finished.
"""

import time

from micropython import const

from fieldelm.drivers import lora_modem
from fieldelm.drivers.lora_modem import LoraModem

# 6.4, LoRa mode register map
_FIFO = const(0x00)
_OP_MODE = const(0x01)
_FRF_MSB = const(0x06)
_PA_CONFIG = const(0x09)
_OCP = const(0x0B)
_LNA = const(0x0C)
_FIFO_ADDR_PTR = const(0x0D)
_FIFO_TX_BASE = const(0x0E)
_FIFO_RX_BASE = const(0x0F)
_FIFO_RX_CURRENT = const(0x10)
_IRQ_MASK = const(0x11)
_IRQ_FLAGS = const(0x12)
_RX_NB_BYTES = const(0x13)
_MODEM_STAT = const(0x18)
_PKT_SNR = const(0x19)
_PKT_RSSI = const(0x1A)
_HOP_CHANNEL = const(0x1C)
_MODEM_CONFIG1 = const(0x1D)
_MODEM_CONFIG2 = const(0x1E)
_PREAMBLE_MSB = const(0x20)
_PREAMBLE_LSB = const(0x21)
_PAYLOAD_LENGTH = const(0x22)
_MAX_PAYLOAD_LENGTH = const(0x23)
_MODEM_CONFIG3 = const(0x26)
_IF_FREQ1 = const(0x2F)
_IF_FREQ2 = const(0x30)
_DETECT_OPTIMIZE = const(0x31)
_INVERT_IQ = const(0x33)
_HIGH_BW_OPTIMIZE1 = const(0x36)
_DETECTION_THRESHOLD = const(0x37)
_SYNC_WORD = const(0x39)
_HIGH_BW_OPTIMIZE2 = const(0x3A)
_INVERT_IQ2 = const(0x3B)
_DIO_MAPPING1 = const(0x40)
_VERSION = const(0x42)
_PA_DAC = const(0x4D)

_WRITE = const(0x80)  # 4.3: first bit of the address byte

# RegOpMode
_LORA = const(0x80)
_LOW_FREQUENCY = const(0x08)  # access to the test registers of the low band
_SLEEP = const(0)
_STANDBY = const(1)
_TX = const(3)
_RX_CONTINUOUS = const(5)

# RegIrqFlags
_RX_DONE = const(0x40)
_CRC_ERROR = const(0x20)
_VALID_HEADER = const(0x10)
_TX_DONE = const(0x08)

_SIGNAL = const(0x03)  # RegModemStat: signal synchronised or detected
_CRC_ON_PAYLOAD = const(0x40)  # RegHopChannel
_DIO0_RX_DONE = const(0x00)  # RegDioMapping1, bits 7..6 (DIO mapping in LoRa mode)
_DIO0_TX_DONE = const(0x40)
_CHIP_VERSION = const(0x12)

_LOW_BAND_BELOW_KHZ = const(525000)  # the bands up to 525 MHz are on the low-frequency port

# RegModemConfig1, bits 7..4
_BANDWIDTHS = const(("7.8", "10.4", "15.6", "20.8", "31.25", "41.7", "62.5", "125", "250", "500"))
# errata 2.3: RegIfFreq1 and how far to tune above the channel, Hz, by bandwidth code
_SPURIOUS = const(
    (
        (0x48, 7810),
        (0x44, 10420),
        (0x44, 15620),
        (0x44, 20830),
        (0x44, 31250),
        (0x44, 41670),
        (0x40, 0),
        (0x40, 0),
        (0x40, 0),
    )
)


class SX127x(LoraModem):
    """A modem on ``spi`` (mode 0, at most 10 MHz) with its chip select ``cs``.

    ``dio0`` (input) tells of a done frame, without it the flags are polled; ``reset`` is the NRESET pin. ``dio1`` is taken for
    the sake of the ``lora`` package and not used. Pins are ``machine.Pin`` objects, set up by the caller. Without ``lora_cfg``
    the chip is not touched before the first operation.
    """

    NAME = "SX1276"
    IRQ_NAME = "DIO0"
    _MARKS = (_TX_DONE, _RX_DONE, _CRC_ERROR)

    def __init__(self, spi, cs, dio0=None, dio1=None, reset=None, lora_cfg=None):
        self._spi = spi
        self._cs = cs
        self._reset = reset
        self._out = bytearray(2)
        self._in = bytearray(2)
        self._channel = bytearray(4)  # write command and RegFrf
        self._band = 0
        self._command = bytearray(1)
        super().__init__(dio0)
        cs(1)
        if lora_cfg is not None:
            self.configure(lora_cfg)

    # the bus, 4.3

    def _read(self, register):
        self._out[0] = register
        self._out[1] = 0
        self._cs(0)
        self._spi.write_readinto(self._out, self._in)
        self._cs(1)
        return self._in[1]

    def _write(self, register, value):
        self._out[0] = register | _WRITE
        self._out[1] = value
        self._cs(0)
        self._spi.write(self._out)
        self._cs(1)

    def _verify(self, register, value, name):
        # write, and make sure that the chip has it: what is dead reads 0x00 or 0xFF
        self._write(register, value)
        got = self._read(register)
        if got != value:
            self._fail(
                "%s (0x%02X) reads 0x%02X after 0x%02X was written" % (name, register, got, value),
                "power and SPI wires",
            )

    def _mode(self, mode):
        # set the mode and wait until the chip says so: oscillator and PLL need below 1 ms (2.5.1)
        mode |= _LORA | self._band
        self._write(_OP_MODE, mode)
        started = time.ticks_ms()
        while True:
            got = self._read(_OP_MODE)
            if got == mode:
                return
            if time.ticks_diff(time.ticks_ms(), started) > 10:
                break
        why = "the supply: the chip seems to have restarted" if not got & _LORA else "power and SPI wires"
        self._fail("RegOpMode (0x01) stays 0x%02X instead of 0x%02X" % (got, mode), why)

    def _state(self):
        return "RegOpMode 0x%02X, RegIrqFlags 0x%02X" % (self._read(_OP_MODE), self._read(_IRQ_FLAGS))

    # start and settings

    def _start(self):
        if self._reset is not None:
            # 7.2.2: low for more than 100 us, then 5 ms
            self._reset(0)
            time.sleep_ms(1)
            self._reset(1)
            time.sleep_ms(6)
        version = self._read(_VERSION)
        if version != _CHIP_VERSION:
            if version in (0x00, 0xFF):
                mend = "that the chip has power, and the MISO, SCK, CS and reset wires: nothing answers"
            else:
                mend = "which chip it is (an SX1272 reads 0x22), and the SPI wires"
            self._fail("RegVersion (0x42) reads 0x%02X, not 0x12" % version, mend)
        # 4.1.6: LongRangeMode can be changed in sleep mode only
        self._band = 0
        self._write(_OP_MODE, _SLEEP)
        self._mode(_SLEEP)

    def _apply(self):
        self._band = _LOW_FREQUENCY if self.freq_khz < _LOW_BAND_BELOW_KHZ else 0
        self._mode(_STANDBY)
        self._write(_FIFO_TX_BASE, 0)  # sending or receiving, the whole FIFO is one frame's
        self._write(_FIFO_RX_BASE, 0)
        self._write(_MAX_PAYLOAD_LENGTH, 255)
        self._write(_IRQ_MASK, 0)
        self._write(_IRQ_FLAGS, 0xFF)
        self._code = code = _BANDWIDTHS.index(self.bw)
        self._verify(
            _MODEM_CONFIG1,
            code << 4 | (self.coding_rate - 4) << 1 | (1 if self.implicit_header else 0),
            "RegModemConfig1",
        )
        self._write(_MODEM_CONFIG2, self.sf << 4 | (4 if self.crc_en else 0))
        self._write(_MODEM_CONFIG3, (8 if self.low_data_rate() else 0) | 4)  # AGC sets the LNA's gain
        self._write(_PREAMBLE_MSB, self.preamble_len >> 8)
        self._write(_PREAMBLE_LSB, self.preamble_len & 0xFF)
        self._write(_SYNC_WORD, self.syncword & 0xFF)
        self._write(_DETECTION_THRESHOLD, 0x0A)  # SF7 to SF12
        self._write(_LNA, 0x23 if self.rx_boost and not self._band else 0x20)  # 5.5.3: LnaBoostHf
        # errata 2.1: sensitivity with 500 kHz; in all other cases the chip chooses
        if self.bw == "500":
            self._write(_HIGH_BW_OPTIMIZE1, 0x02)
            self._write(_HIGH_BW_OPTIMIZE2, 0x7F if self._band else 0x64)
        else:
            self._write(_HIGH_BW_OPTIMIZE1, 0x03)
        # errata 2.3: spurious reception; bit 7 is AutomaticIFOn
        if code < len(_SPURIOUS):
            self._write(_DETECT_OPTIMIZE, 0x43)
            self._write(_IF_FREQ1, _SPURIOUS[code][0])
            self._write(_IF_FREQ2, 0)
        else:
            self._write(_DETECT_OPTIMIZE, 0xC3)
        self._power()
        self._tune(0)

    def _power(self):
        # 5.4.2, 5.4.3 (+20 dBm: at most 1 % of the time), 5.4.4 over-current protection
        dbm = self.output_power
        if self.tx_ant == "RFO":
            dbm = min(max(dbm, -4), 14)
            # Pout = 10.8 + 0.6 MaxPower - 15 + OutputPower: MaxPower 7 gives 15 dBm, MaxPower 0 gives 10.8 dBm
            self._write(_PA_CONFIG, 0x70 | dbm if dbm >= 0 else dbm + 4)
            high = False
        else:
            dbm = min(max(dbm, 2), 20)
            high = dbm > 17
            self._write(_PA_CONFIG, 0xF0 | dbm - (5 if high else 2))  # Pout = 17 (PaDac: 20) - 15 + OutputPower
        self._write(_PA_DAC, 0x87 if high else 0x84)
        self._write(_OCP, 0x32 if high else 0x2B)  # 150 mA or 100 mA

    def _tune(self, offset_hz):
        # 4.1.4: Frf = f / (32 MHz / 2^19), rounded
        frf = ((self.freq_khz * 1000 + offset_hz) * 16384 + 500000) // 1000000
        buffer = self._channel
        buffer[0] = _FRF_MSB | _WRITE
        buffer[1] = frf >> 16
        buffer[2] = frf >> 8 & 0xFF
        buffer[3] = frf & 0xFF
        self._cs(0)
        self._spi.write(buffer)
        self._cs(1)

    def _invert(self, rx, tx):
        # bit 6 inverts reception; bit 0 is 1 for normal transmission, against the table in 6.4: Semtech's own drivers and every
        # LoRaWAN gateway agree on it. 0x3B is the matching RegInvertIQ2 (rev. 5 and later)
        self._write(_INVERT_IQ, 0x26 | (0x40 if rx else 0) | (0 if tx else 1))
        self._write(_INVERT_IQ2, 0x19 if rx or tx else 0x1D)

    # operation, 4.1.5 and 4.1.6

    def _standby(self):
        self._mode(_STANDBY)

    def _sleep(self):
        self._mode(_SLEEP)

    def _load(self, packet, length):
        self._write(_PAYLOAD_LENGTH, length)
        self._write(_FIFO_ADDR_PTR, 0)
        self._command[0] = _FIFO | _WRITE
        self._cs(0)
        self._spi.write(self._command)
        self._spi.write(packet)
        self._cs(1)
        self._tune(0)
        self._invert(False, self.invert_iq_tx)
        self._write(_IRQ_FLAGS, 0xFF)
        self._write(_DIO_MAPPING1, _DIO0_TX_DONE)

    def _start_tx(self):
        self._write(_OP_MODE, _LORA | self._band | _TX)  # no waiting: a short frame may be over before it is read back

    def _after_tx(self):
        self._write(_IRQ_FLAGS, 0xFF)

    def _start_rx(self):
        self._tune(_SPURIOUS[self._code][1] if self._code < len(_SPURIOUS) else 0)
        self._invert(self.invert_iq_rx, False)
        self._write(_DIO_MAPPING1, _DIO0_RX_DONE)
        self._write(_PAYLOAD_LENGTH, self._rx_length)
        self._write(_FIFO_ADDR_PTR, 0)
        self._write(_IRQ_FLAGS, 0xFF)
        self._mode(_RX_CONTINUOUS)

    def _listens(self):
        return self._read(_OP_MODE) == _LORA | self._band | _RX_CONTINUOUS

    def _raw_flags(self):
        return self._read(_IRQ_FLAGS)

    def _begun(self):
        if self._read(_IRQ_FLAGS) & _VALID_HEADER:
            return lora_modem.HEADER
        return lora_modem.PREAMBLE if self._read(_MODEM_STAT) & _SIGNAL else lora_modem.NOTHING

    def _packet_length(self):
        return self._rx_length if self.implicit_header else self._read(_RX_NB_BYTES)

    def _read_packet(self, packet):
        # payload, signal, then the flags are free for the next frame. Returns whether its sender protected it with a CRC
        snr = self._read(_PKT_SNR)
        snr -= 256 if snr & 0x80 else 0
        raw = self._read(_PKT_RSSI)
        # 5.5.5: with a negative SNR the register shows the noise above the signal
        rssi = (snr + 2) // 4 + raw if snr < 0 else (raw * 16 + 7) // 15
        packet.rssi = rssi - (164 if self._band else 157)
        packet.snr = snr
        self._write(_FIFO_ADDR_PTR, self._read(_FIFO_RX_CURRENT))
        self._command[0] = _FIFO
        self._cs(0)
        self._spi.write(self._command)
        self._spi.readinto(packet)
        self._cs(1)
        protected = self.implicit_header or not self.crc_en or bool(self._read(_HOP_CHANNEL) & _CRC_ON_PAYLOAD)
        self._write(_IRQ_FLAGS, 0xFF)
        return protected


SX1276 = SX1277 = SX1278 = SX1279 = SX127x
