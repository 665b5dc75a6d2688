"""The modem's app: LoRa frames from the air to the gateway on the USB cable, and its answers back, each at its time.

The messages are those of modem_framing.py. An answer leaves ``delay_ms`` after the end of the uplink that it answers, as the
receive interrupt has noted it; the radio is half-duplex, so for 30 ms before, and while it sends, the modem hears nothing.
"""

import gc
import time

from micropython import const, kbd_intr

from fieldelm import __version__, modem_framing
from fieldelm.drivers.usb_line import Console, UsbLine

_POLL_MS = const(5)
_LEAD_MS = const(30)  # before an answer is due the radio is loaded with it, which takes up to 9 ms
_LATE_MS = const(15)  # an answer that would leave later than this is of no use: the node listens for 20 ms
_UPLINKS = const(8)  # that may still be answered
_ANSWERS = const(4)  # that wait for their time
_CHECK_MS = const(10000)  # between two looks whether the radio still listens
_BLINK_MS = const(60)
_LOWEST_DBM = const(-17)
_HIGHEST_DBM = const(22)

# places in modem_framing.SENT_RESULTS and CONFIGURED_RESULTS
_SENT = const(0)
_TOO_LATE = const(1)
_UNKNOWN_TOKEN = const(2)
_NOT_CONFIGURED = const(3)
_RADIO_ERROR = const(4)
_OK = const(0)
_BAD_VALUE = const(1)
_CHANNEL_ERROR = const(2)


class _Answer:
    # a frame that waits for its time
    def __init__(self):
        self.token = 0  # 0: free
        self.due = 0
        self.power = 0
        self.length = 0
        self.frame = bytearray(255)
        self.view = memoryview(self.frame)


class Modem:
    """``cycle`` does one round of at most some milliseconds, or as long as an answer is on the air."""

    def __init__(self, board, line=None):
        if line is None:
            kbd_intr(-1)  # any byte may be in a message
            line = UsbLine(Console())
        self._board = board
        self._radio = board.radio
        self._line = line
        self._configured = False
        self._token = 0
        self._tokens = [0] * _UPLINKS  # 0: answered
        self._ends = [0] * _UPLINKS
        self._answers = [_Answer() for _ in range(_ANSWERS)]
        self._uplinks = 0
        self._lost = 0  # uplinks that the host did not take
        self._sent = 0
        self._checked = time.ticks_ms()
        self._blinked = self._checked  # the LED is off for a moment after each frame
        self._dark = False
        self._hello()

    def cycle(self):
        """Hear, take what the host says, answer what is due, and rest for a moment. Raises KeyboardInterrupt for the REPL."""
        self._board.feed()
        if self._configured:
            self._hear()
        self._take()
        answer = self._next()
        now = time.ticks_ms()
        if answer is not None and time.ticks_diff(answer.due, now) <= _LEAD_MS:
            self._transmit(answer)
            return
        if answer is None and time.ticks_diff(now, self._checked) >= _CHECK_MS:
            self._checked = now
            self._check()
            gc.collect()  # now, not in the middle of an answer
        if self._dark and time.ticks_diff(now, self._blinked) > _BLINK_MS:
            self._dark = False
        self._board.light(self._configured and not self._dark)
        time.sleep_ms(_POLL_MS)

    # from the air

    def _hear(self):
        try:
            packet = self._radio.poll_recv()
        except OSError:
            self._deaf()
            return
        if packet is True or packet is False:
            return
        self._blinked = time.ticks_ms()
        self._dark = True
        self._uplinks += 1
        self._token = self._token % 65535 + 1
        place = self._token % _UPLINKS
        self._tokens[place] = self._token
        self._ends[place] = packet.ticks_ms
        values = {"token": self._token, "ticks_ms": packet.ticks_ms, "rssi": packet.rssi, "snr": packet.snr}
        if not self._line.send(modem_framing.UPLINK, values, packet):
            self._lost += 1

    def _check(self):
        # a radio that has lost its settings does not say so
        try:
            if self._configured and not self._radio.is_listening():
                self._radio.start_recv(None, True)
        except OSError:
            self._deaf()

    def _deaf(self):
        # until the host configures it again, which it does when it reads this
        self._configured = False
        for answer in self._answers:
            answer.token = 0
        self._hello()

    # from the host

    def _take(self):
        line = self._line
        length = line.receive()
        if not length or not line.known(length):
            return
        kind = line.message[0]
        if kind == modem_framing.PING:
            self._hello()
            self._status()
        elif kind == modem_framing.CONFIGURE:
            line.send(modem_framing.CONFIGURED, {"result": self._configure(line.fields())})
        elif kind == modem_framing.TRANSMIT:
            result = self._accept(line.fields(), line.frame_start(), length)
            if result != _SENT:
                self._tell(line.fields()["token"], result, time.ticks_ms())

    def _configure(self, channel):
        self._configured = False
        settings = {key: channel[key] for key in ("freq_khz", "sf", "coding_rate", "preamble_len")}
        settings["bw"] = "%g" % (channel["bandwidth_hz"] / 1000)
        try:
            self._radio.configure(settings)
            self._radio.start_recv(None, True)
        except ValueError:
            return _BAD_VALUE
        except OSError:
            return _CHANNEL_ERROR
        self._configured = True
        return _OK

    def _accept(self, values, start, length):
        # keep an answer for its time; _SENT if it is kept
        if not self._configured:
            return _NOT_CONFIGURED
        place = values["token"] % _UPLINKS
        if not values["token"] or self._tokens[place] != values["token"]:
            return _UNKNOWN_TOKEN
        due = time.ticks_add(self._ends[place], values["delay_ms"])
        if time.ticks_diff(time.ticks_ms(), due) > 0:
            return _TOO_LATE
        if not 1 <= length - start <= 255:
            return _RADIO_ERROR
        for answer in self._answers:
            if not answer.token:
                break
        else:
            return _TOO_LATE  # others leave at that time
        self._tokens[place] = 0
        answer.token = values["token"]
        answer.due = due
        answer.power = min(max(values["output_power"], _LOWEST_DBM), _HIGHEST_DBM)
        answer.length = length - start
        for i in range(answer.length):
            answer.frame[i] = self._line.message[start + i]
        return _SENT

    # to the air

    def _next(self):
        first = None
        for answer in self._answers:
            if answer.token and (first is None or time.ticks_diff(answer.due, first.due) < 0):
                first = answer
        return first

    def _transmit(self, answer):
        radio = self._radio
        began = time.ticks_ms()
        try:
            if time.ticks_diff(began, answer.due) > _LATE_MS:
                result = _TOO_LATE
            else:
                if answer.power != radio.output_power:
                    radio.configure({"output_power": answer.power})
                radio.prepare_send(answer.view[: answer.length])
                start = time.ticks_add(answer.due, -radio.start_ms)
                while time.ticks_diff(start, time.ticks_ms()) > 0:
                    pass
                began = time.ticks_add(time.ticks_ms(), radio.start_ms)
                if time.ticks_diff(began, answer.due) > _LATE_MS:
                    result = _TOO_LATE
                else:
                    result = self._send()
                radio.start_recv(None, True)
        except OSError:
            result = _RADIO_ERROR
        token = answer.token
        answer.token = 0
        self._tell(token, result, began)
        if result == _RADIO_ERROR:
            self._deaf()

    def _send(self):
        radio = self._radio
        radio.start_send()
        while radio.poll_send() is True:
            self._board.feed()
            time.sleep_ms(1)
        self._sent += 1
        self._blinked = time.ticks_ms()
        self._dark = True
        return _SENT

    # to the host

    def _tell(self, token, result, ticks_ms):
        self._line.send(modem_framing.SENT, {"token": token, "result": result, "ticks_ms": ticks_ms})

    def _hello(self):
        major, minor, patch = [int(part) for part in __version__.split(".")[:3]]
        self._line.send(
            modem_framing.HELLO,
            {
                "protocol": modem_framing.PROTOCOL,
                "firmware": major << 16 | minor << 8 | patch,
                "boot_cause": self._board.boot_cause,
                "configured": self._configured,
            },
        )

    def _status(self):
        self._line.send(
            modem_framing.STATUS,
            {
                "ticks_ms": time.ticks_ms(),
                "uplinks": self._uplinks,
                "crc_errors": self._radio.crc_errors,
                "sent": self._sent,
                "garbage": self._line.garbage,
                "lost": self._lost,
                "restarts": self._radio.restarts,
            },
        )
