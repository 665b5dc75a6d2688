"""The node's end of the radio link: seal, send, wait for the receive window, open the answer.

Timing (Class A style): the gateway's answer begins 1,000 ± 20 ms after the end of the uplink, on the same channel and spreading
factor with inverted IQ. A frame that asks for an acknowledgement and hears none is repeated, the same bytes, after a random
pause; that is one exchange. A later attempt is a new frame with a fresh counter.
"""

from binascii import crc32, unhexlify
from struct import pack_into

from micropython import const

from fieldelm import airtime, duty, frame, payloads, regions
from fieldelm.ccm import Ccm
from fieldelm.keys import Keys
from fieldelm.storage import Record

_WINDOW_MS = const(1000)
_GUARD_MS = const(25)  # the gateway's 20 ms and our clock's drift over a second
_UNHEARD = const(4)  # exchanges in a row, or ...
_DAY_MS = const(86400000)  # ... time without a downlink after which power that was lowered by command is given up
_PAUSE_MS = const(500)  # shortest pause before a repeat, longest is five times this
# of one exchange; all of them end within the 10 s for which a gateway repeats its answer (but not always at SF12, where the
# third may come later: that one is lost, and the next attempt is a new frame)
ATTEMPTS = const(3)


class Link:
    """Exchanges of one node with its gateways.

    ``counters``: fieldelm.storage.Counters. ``buffer`` is where the caller puts the plain payload, at ``payload_start(kind)``.
    """

    def __init__(self, config, radio, clock, counters):
        self.radio = radio
        self.clock = clock
        self.counters = counters
        self.node_id = config["node_id"]
        self.keys = Keys(config)
        self._eui = unhexlify(config["eui"])
        self.use_key()
        self._gateways = tuple(config["link"]["gateways"])
        self.tag_bytes = config["link"]["tag_bytes"]
        self.buffer = bytearray(frame.MAX_BYTES)
        self._view = memoryview(self.buffer)
        self._answer = bytearray(frame.MAX_BYTES)
        self._nonce = bytearray(frame.NONCE_BYTES)
        self._spread = bytearray(self._eui + bytes(8))
        radio_config = config["radio"]
        self._radio_config = radio_config
        limit = regions.hour_us(radio_config["plan"], radio_config["freq_khz"], radio_config["bw"])
        self.duty = duty.StoredDutyCycle(limit, Record("airtime"), clock.now_ms())
        self.output_power = self.installed_dbm = radio_config["output_power"]
        self._unheard = 0  # exchanges in a row that asked for an answer
        # a preamble and the few symbols that a receiver needs to see it (SX1276 datasheet 4.1.1.6: Tsym = 2^SF / BW)
        symbols = radio_config["preamble_len"] + 13
        self._listen_ms = 2 * _GUARD_MS + int(symbols * (1 << radio_config["sf"]) / float(radio_config["bw"])) + 1
        # of the last exchange
        self.counter = 0
        self.frames_sent = 0
        self.downlink_snr = None  # quarter dB
        self.heard_ms = clock.now_ms()  # when an authentic downlink came last
        self.answer = None  # plain payload of the downlink
        self.answer_gateway = 0
        self.rejected = 0  # downlinks whose header, counter or tag did not fit

    def use_key(self):
        """Seal and open with the newest key from now on."""
        self.keys.switch()
        self.key_id = self.keys.key_id
        self._cipher = Ccm(self.keys.key)

    def set_power(self, dbm):
        """Transmit with so many dBm until the next start. Raises OSError if the radio does not work.

        Power below ``installed_dbm`` is given up when four exchanges in a row, or a day, bring no downlink.
        """
        self.radio.configure({"output_power": dbm})
        self.output_power = dbm
        self._unheard = 0

    def airtime_us(self, length):
        """Time on the air of a frame of ``length`` bytes."""
        radio = self._radio_config
        return airtime.time_on_air_us(length, radio["sf"], radio["bw"], radio["coding_rate"], radio["preamble_len"])

    def ready_ms(self, kind, table, share):
        """When the duty cycle has airtime for a frame of this type and payload table: now, or later."""
        length = frame.header_bytes(kind) + payloads.size(table) + frame.tag_bytes(kind, frame.UPLINK, self.tag_bytes)
        return self.duty.ready_ms(self.clock.now_ms(), self.airtime_us(length), share)

    def random_below(self, n):
        """An integer below n that differs from node to node and from call to call: it spreads transmissions, it is no secret.

        Repeatable for the same EUI and counter, so that a simulated node does the same again.
        """
        pack_into("<II", self._spread, 8, self.counter, self.frames_sent)
        return crc32(self._spread) % n

    @staticmethod
    def payload_start(kind):
        """Where in ``buffer`` the payload of a frame of this type begins."""
        return frame.header_bytes(kind)

    def exchange(self, kind, end, ack_wanted, share=duty.ROUTINE):
        """Send ``buffer[:end]`` as a new frame; return the type of the authentic answer, or 0 for none.

        A COMMAND answers as well as an ACK does. The answer's payload is in ``answer`` until the next exchange. ``share``: how
        much of the hour's airtime it may use (fieldelm.duty); None is returned, and nothing sent, if that is used up.
        Raises OSError if the radio or the flash does not work.
        """
        airtime_us = self.airtime_us(end + frame.tag_bytes(kind, frame.UPLINK, self.tag_bytes))
        if not self.duty.spend(self.clock.now_ms(), airtime_us, share):
            return None
        counter = self.counters.next_frame()
        self.counter = counter
        frame.header_into(self.buffer, kind, ack_wanted, self.key_id, self.node_id, counter)
        length = frame.seal_into(
            self.buffer, end, self._cipher, self._nonce, self._eui, counter, frame.UPLINK, self.tag_bytes
        )
        self.answer = None
        self.length = length
        attempt = 0
        try:
            while True:
                attempt += 1
                self.frames_sent += 1
                self.radio.send(self._view[:length])
                answer = self._receive()
                if answer:
                    self._unheard = 0
                    return answer
                if not ack_wanted or attempt == ATTEMPTS:
                    break
                self.clock.sleep_ms(_PAUSE_MS + self.random_below(4 * _PAUSE_MS))
                if not self.duty.spend(self.clock.now_ms(), airtime_us, share):
                    break
            self._unheard += ack_wanted
            self._give_up_low_power()
            return 0
        finally:
            self.radio.sleep()

    def _give_up_low_power(self):
        if self.output_power < self.installed_dbm and (
            self._unheard >= _UNHEARD or self.clock.now_ms() - self.heard_ms > _DAY_MS
        ):
            self.set_power(self.installed_dbm)

    def _receive(self):
        # everything that comes within the window is tried; what is not for us does not close it
        opened = self.clock.now_ms() + _WINDOW_MS - _GUARD_MS
        self.clock.sleep_ms(_WINDOW_MS - _GUARD_MS)
        closes = opened + self._listen_ms
        while True:
            left = closes - self.clock.now_ms()
            if left <= 0:
                return 0
            packet = self.radio.recv(left)
            if not packet:  # time is up, or a stranger has sent a frame without a byte
                continue
            kind = self._open(packet)
            if kind:
                self.downlink_snr = packet.snr
                self.heard_ms = self.clock.now_ms()
                return kind
            self.rejected += 1

    def _open(self, packet):
        # 0, or the type of an authentic answer to the frame just sent
        length = len(packet)
        try:
            header = frame.parse(packet, self._gateways[0])
        except frame.FrameError:
            return 0
        if header.node_id != self.node_id or header.counter != self.counter & 0xFFFF or header.key_id != self.key_id:
            return 0
        received = memoryview(packet)  # a bytearray's subclass cannot be assigned to a slice
        for gateway in self._gateways:
            self._answer[:length] = received
            try:
                start, end = frame.open_into(
                    self._answer, length, self._cipher, self._nonce, self._eui, self.counter, gateway
                )
            except frame.TagError:
                continue
            self.answer = memoryview(self._answer)[start:end]
            self.answer_gateway = gateway
            return header.kind
        return 0

    def command(self):
        """Read the answer as a COMMAND: (code, sequence, arguments). Raises ValueError if it is too short."""
        head = payloads.unpack(payloads.COMMAND, self.answer)
        return head["command"], head["command_sequence"], self.answer[payloads.size(payloads.COMMAND) :]
