"""A clock, a radio and the far side of the link for the node's tests: copper and air, and a gateway that uses the real codec."""

from binascii import unhexlify
from random import getrandbits

from fieldelm import frame, payloads
from fieldelm.ccm import Ccm

KEY = "000102030405060708090a0b0c0d0e0f"
EUI = "0200000000000001"


class Clock:
    def __init__(self):
        self.ms = 0

    def now_ms(self):
        return self.ms

    def sleep_ms(self, ms):
        assert ms >= 0
        self.ms += ms


class Packet(bytearray):
    rssi = -90
    snr = 28
    ticks_ms = 0
    valid_crc = True


class Gateway:
    """Opens what the node sends and says what it wants to answer.

    ``answers``: a list of functions (gateway, header, payload) → bytes on the air or None, used one per frame heard; when it is
    empty a frame that asks is acknowledged. ``heard``: (type, counter, payload, frame) of every frame.
    """

    def __init__(self, number=1):
        self.number = number
        self.cipher = Ccm(unhexlify(KEY))
        self.nonce = bytearray(frame.NONCE_BYTES)
        self.counter = 0
        self.heard = []
        self.answers = []

    def hear(self, data):
        header = frame.parse(data, frame.UPLINK)
        buffer = bytearray(data)
        self.counter = header.counter if header.kind == frame.HELLO else frame.extend(header.counter, self.counter)
        start, end = frame.open_into(
            buffer, len(data), self.cipher, self.nonce, unhexlify(EUI), self.counter, frame.UPLINK
        )
        payload = bytes(buffer[start:end])
        self.heard.append((header.kind, self.counter, payload, bytes(data)))
        if self.answers:
            return self.answers.pop(0)(self, header, payload)
        return self.ack(header, payload) if header.ack_wanted else None

    def seal(self, header, kind, payload, number=None, counter=None):
        buffer = bytearray(frame.MAX_BYTES)
        counter = self.counter if counter is None else counter
        end = frame.header_into(buffer, kind, False, header.key_id, header.node_id, counter)
        buffer[end : end + len(payload)] = payload
        length = frame.seal_into(
            buffer, end + len(payload), self.cipher, self.nonce, unhexlify(EUI), counter, number or self.number
        )
        return bytes(buffer[:length])

    def ack(self, header, payload):
        return self.seal(header, frame.ACK, b"\x00")

    def command(self, code, sequence, arguments=b""):
        def answer(gateway, header, payload):
            buffer = bytearray(16)
            end = payloads.pack_into(payloads.COMMAND, buffer, 0, {"command": code, "command_sequence": sequence})
            return gateway.seal(header, frame.COMMAND, bytes(buffer[:end]) + arguments)

        return answer


def silence(gateway, header, payload):
    return None


class Radio:
    """Half-duplex: a frame takes its airtime, the answer begins 1,000 ms (plus ``late_ms``) after its end."""

    def __init__(self, clock, gateway):
        self.clock = clock
        self.gateway = gateway
        self.sent = []
        self.late_ms = 0
        self.broken = False
        self.strangers = []  # frames of others that come just before the answer
        self._answer = None
        self._answer_ms = 0
        self.sleeping = False
        self.configured = {}

    def configure(self, settings):
        self.configured.update(settings)

    def get_time_on_air_us(self, length):
        return 100000

    def send(self, packet):
        if self.broken:
            raise OSError("the radio does not answer")
        self.sent.append((self.clock.ms, bytes(packet)))
        self.clock.ms += 100
        self._answer = self.gateway.hear(bytes(packet))
        self._answer_ms = self.clock.ms + 1000 + self.late_ms

    def recv(self, timeout_ms):
        if self.strangers:
            self.clock.ms += 1
            return Packet(self.strangers.pop(0))
        opened = self.clock.ms
        if self._answer is None or not opened <= self._answer_ms <= opened + timeout_ms:
            self.clock.ms += timeout_ms
            return None
        self.clock.ms = self._answer_ms + 80
        packet = Packet(self._answer)
        self._answer = None
        return packet

    def sleep(self):
        self.sleeping = True


def configuration():
    from fieldelm import config

    return config.check({"schema": 1, "board": "sim", "eui": EUI, "node_id": 7, "keys": {"0": KEY}, "console": "off"})


class Sensor:
    """A rotating machine in one axis: two tones and noise, as raw counts; ``silent`` breaks it."""

    kind = "waveform"
    rate_hz = 1600
    axes = 1
    full_scale = 32767
    g_per_count = 1 / 4096

    def __init__(self, clock):
        self.clock = clock
        self.silent = False
        self.windows = 0
        self._noise = 12345

    def read(self, out):
        if self.silent:
            raise OSError("no answer")
        self.windows += 1
        self.clock.ms += 1000 * len(out) // self.rate_hz
        noise = self._noise
        phase = self.windows * 7
        for i in range(len(out)):
            noise = (noise * 1103515245 + 12345) & 0x7FFFFFFF
            tone = ((i + phase) % 32 - 16) * 40 + ((i + phase) % 12 - 6) * 25
            out[i] = tone + ((noise >> 16) % 201 - 100)
        self._noise = noise
        return len(out)


class Values:
    """A sensor of plain values, which take no time to compute; ``shift`` changes the machine."""

    kind = "features"
    rate_hz = 1
    axes = 1
    full_scale = 0
    g_per_count = 1

    def __init__(self, clock):
        self.clock = clock
        self.windows = 0
        self.shift = 0.0

    def read(self, out):
        self.windows += 1
        for i in range(len(out)):
            noise = (getrandbits(8) + getrandbits(8) + getrandbits(8) - 382) / 220
            out[i] = 10 + i + noise + (self.shift if i < 2 else 0)
        return 1


class Reboot(Exception):
    pass


class Board:
    """Everything a node stands on; ``identified`` and ``battery`` are what a test looks at or turns."""

    name = "bench"
    boot_cause = 1

    def __init__(self):
        self.clock = Clock()
        self.gateway = Gateway()
        self.radio = Radio(self.clock, self.gateway)
        self.sensor = Sensor(self.clock)
        self.identified = []
        self.battery = 3000

    def battery_mv(self):
        return self.battery

    def temperature_c(self):
        return 21.4

    def identify(self, seconds):
        self.identified.append(seconds)

    def reboot(self):
        raise Reboot
