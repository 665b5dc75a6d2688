"""The USB cable in place of a radio: the node's frames go to the gateway as a modem would pass them on.

For people without LoRa and for the bench. The gateway's configuration is that of a modem on this port. What the node prints to
the console goes over the same cable and counts there as garbage; set ``"console": "off"`` to have none.
"""

import time

from micropython import const

from fieldelm import __version__, airtime, modem_framing
from fieldelm.drivers.lora_modem import RxPacket

_POLL_MS = const(2)
_SENT = const(0)  # places in modem_framing.SENT_RESULTS
_UNKNOWN_TOKEN = const(2)
_OK = const(0)


class UsbRadio:
    """The interface of a radio on a ``UsbLine``. The board calls ``service`` while the node sleeps, to answer the gateway.

    ``rssi`` and ``snr`` mean nothing here and are 0. ``get_time_on_air_us`` is what the frame would take on LoRa.
    """

    NAME = "usb"

    def __init__(self, line, boot_cause=0):
        self.on_wait = None
        self.crc_errors = 0
        self._line = line
        self._boot_cause = boot_cause
        self._settings = {"sf": 9, "bw": "125", "coding_rate": 5, "preamble_len": 8}
        self._configured = 0
        self._token = 0
        self._uplinks = 0
        self._answers = 0
        self._answer = None
        self._rx = False
        self._started_ms = 0
        self._limit_ms = None
        self._hello()

    def configure(self, lora_cfg):
        """Take the keys that the airtime depends on; the others mean nothing on a cable."""
        for key in lora_cfg:
            if key in self._settings:
                self._settings[key] = lora_cfg[key]

    def get_time_on_air_us(self, length):
        """Duration in us that a frame of ``length`` bytes would have on LoRa."""
        s = self._settings
        return airtime.time_on_air_us(length, s["sf"], s["bw"], s["coding_rate"], s["preamble_len"])

    def send(self, packet):
        """Hand the frame to the gateway; return ``ticks_ms``."""
        self._answer = None
        self._rx = False
        self._token = self._token % 65535 + 1
        self._uplinks += 1
        now = time.ticks_ms()
        self._line.send(modem_framing.UPLINK, {"token": self._token, "ticks_ms": now, "rssi": 0, "snr": 0}, packet)
        return now

    def recv(self, timeout_ms=None):
        """Wait for the gateway's answer to the last frame: a packet, or None after ``timeout_ms``."""
        self.start_recv(timeout_ms)
        while True:
            got = self.poll_recv()
            if got is not True:
                return got or None
            if self.on_wait is not None:
                self.on_wait()
            time.sleep_ms(_POLL_MS)

    def start_recv(self, timeout_ms=None, continuous=False, rx_length=255):
        """Start to wait for an answer."""
        self._rx = True
        self._continuous = continuous
        self._limit_ms = timeout_ms
        self._started_ms = time.ticks_ms()

    def poll_recv(self, rx_packet=None):
        """A packet; True while waiting goes on; False when it has ended."""
        if not self._rx:
            return False
        self.service()
        if self._answer is not None:
            packet = self._answer
            self._answer = None
            self._rx = self._continuous
            return packet
        if self._limit_ms is not None and time.ticks_diff(time.ticks_ms(), self._started_ms) >= self._limit_ms:
            self._rx = False
            return False
        return True

    def standby(self):
        """Stop waiting."""
        self._rx = False

    sleep = standby

    def service(self):
        """Answer what the gateway has said. Raises KeyboardInterrupt when somebody wants the REPL."""
        line = self._line
        while True:
            length = line.receive()
            if not length:
                return
            if not line.known(length):
                continue
            kind = line.message[0]
            if kind == modem_framing.PING:
                self._hello()
                self._status()
            elif kind == modem_framing.CONFIGURE:
                self._configured = 1
                line.send(modem_framing.CONFIGURED, {"result": _OK})
            elif kind == modem_framing.TRANSMIT:
                self._take(line.fields()["token"], line.frame_start(), length)

    def _take(self, token, start, length):
        now = time.ticks_ms()
        result = _SENT if token == self._token else _UNKNOWN_TOKEN
        if result == _SENT:
            packet = RxPacket(length - start)
            for i in range(length - start):
                packet[i] = self._line.message[start + i]
            packet.ticks_ms = now
            self._answer = packet
            self._answers += 1
        self._line.send(modem_framing.SENT, {"token": token, "result": result, "ticks_ms": now})

    def _hello(self):
        major, minor, patch = [int(part) for part in __version__.split(".")[:3]]
        self._line.send(
            modem_framing.HELLO,
            {
                "protocol": modem_framing.PROTOCOL,
                "firmware": major << 16 | minor << 8 | patch,
                "boot_cause": self._boot_cause,
                "configured": self._configured,
            },
        )

    def _status(self):
        self._line.send(
            modem_framing.STATUS,
            {
                "ticks_ms": time.ticks_ms(),
                "uplinks": self._uplinks,
                "crc_errors": 0,
                "sent": self._answers,
                "garbage": self._line.garbage,
                "lost": self._line.lost,
                "restarts": 0,
            },
        )
