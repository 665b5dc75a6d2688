"""A LoRa radio over the simulated air, with the methods and attributes of MicroPython's official ``lora`` package.

Blocking, like its ``lora-sync``: ``send`` returns when the frame has left, ``recv`` when one has come or time is up.
"""

from binascii import unhexlify

from micropython import const

from fieldelm import airtime

# supply current by output power at 3.3 V, dBm -> mA: SX1276 datasheet, table 10 (IDDT_H, IDDT_L); between them linear
_TX_MA = ((7, 20.0), (13, 29.0), (17, 87.0), (20, 120.0))
_RX_MA = const(11.5)  # IDDR_H, at 868 MHz with the high-band receiver


def tx_ma(dbm):
    """Supply current while sending, in mA."""
    below = _TX_MA[0]
    for above in _TX_MA:
        if dbm <= above[0]:
            break
        below = above
    if above[0] == below[0]:
        return above[1]
    return below[1] + (above[1] - below[1]) * (dbm - below[0]) / (above[0] - below[0])


class RxPacket(bytearray):
    """A received frame: rssi in dBm, snr in quarter dB, ticks_ms of its end, valid_crc."""

    def __init__(self, payload, ticks_ms, snr, rssi, valid_crc):
        super().__init__(payload)
        self.ticks_ms = ticks_ms
        self.snr = snr
        self.rssi = rssi
        self.valid_crc = valid_crc


class Radio:
    """``air``: AirClient or NoAir; ``clock``: the board's; ``battery``: pays for it; ``cfg``: keys of ``configure``."""

    def __init__(self, air, clock, battery, cfg):
        self._air = air
        self._clock = clock
        self._battery = battery
        self.crc_errors = 0
        self.rx_crc_error = False  # True: recv returns damaged frames, too
        self._radio = {
            "freq_khz": 868100,
            "sf": 9,
            "bw_khz": "125",
            "coding_rate": 5,
            "preamble_len": 8,
            "output_power": 14,
            "invert_iq": False,
        }
        self._invert_tx = False
        self._invert_rx = True
        self.configure(cfg)

    def configure(self, cfg):
        """Change what ``cfg`` names: freq_khz, sf, bw, coding_rate, preamble_len, output_power, invert_iq_tx, _rx."""
        radio = self._radio
        for key in ("freq_khz", "sf", "coding_rate", "preamble_len", "output_power"):
            if key in cfg:
                radio[key] = cfg[key]
        radio["bw_khz"] = cfg.get("bw", radio["bw_khz"])
        self._invert_tx = cfg.get("invert_iq_tx", self._invert_tx)
        self._invert_rx = cfg.get("invert_iq_rx", self._invert_rx)
        self.get_time_on_air_us(0)  # raises ValueError for what no radio can do

    def get_time_on_air_us(self, payload_len):
        """Duration of a frame of that many bytes in us."""
        radio = self._radio
        return airtime.time_on_air_us(
            payload_len, radio["sf"], radio["bw_khz"], radio["coding_rate"], radio["preamble_len"]
        )

    def send(self, packet, tx_at_ms=None):
        """Send; returns the board's time in ms when the frame has left."""
        if tx_at_ms is not None:
            self._clock.sleep_ms(max(0, tx_at_ms - self._clock.now_ms()))
        self._radio["invert_iq"] = self._invert_tx
        self._air.send(self._radio, packet)
        self._battery.draw(tx_ma(self._radio["output_power"]), self.get_time_on_air_us(len(packet)))
        return self._clock.now_ms()

    def recv(self, timeout_ms=None, rx_length=0xFF, rx_packet=None):
        """Return the next frame, or None after ``timeout_ms`` (None: listen for ever). Damaged frames are counted."""
        until_us = 1 << 53 if timeout_ms is None else self._air.now_us + timeout_ms * 1000
        self._radio["invert_iq"] = self._invert_rx
        while True:
            began_us = self._air.now_us
            heard = self._air.listen(self._radio, until_us)
            self._battery.draw(_RX_MA, self._air.now_us - began_us)
            if heard is None:
                return None
            if not heard["crc_ok"]:
                self.crc_errors += 1
            if heard["crc_ok"] or self.rx_crc_error:
                snr = round(heard["snr_db"] * 4)
                return RxPacket(unhexlify(heard["data"]), self._clock.now_ms(), snr, heard["rssi"], heard["crc_ok"])
            if self._air.now_us >= until_us:
                return None

    def standby(self):
        """The receiver is off between calls anyway."""

    def sleep(self):
        """The receiver is off between calls anyway."""
