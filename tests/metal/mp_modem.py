"""fieldelm.modem on a Pico with an SX1276: what passes through it, and when."""

import gc

from pico import Module, Pico, machine, time

from fieldelm import modem_framing as framing, payloads
from fieldelm.drivers.usb_line import UsbLine

CHANNEL = {"freq_khz": 868100, "sf": 9, "bandwidth_hz": 125000, "coding_rate": 5, "preamble_len": 8}


class Host:
    """The other end of the cable: ``say`` puts a message on the line, ``heard`` gives the messages that came."""

    def __init__(self):
        self.incoming = []
        self.reads = True
        self._decoder = framing.Decoder()
        self.messages = []

    # what the modem sees

    def ready(self):
        return bool(self.incoming)

    def readinto(self, buffer):
        buffer[0] = self.incoming.pop(0)
        return 1

    def writable(self):
        return self.reads

    def write(self, data):
        for byte in data:
            length = self._decoder.push(byte)
            if length:
                kind = self._decoder.message[0]
                end = 1 + payloads.size(framing.TABLES[kind])
                fields = payloads.unpack(framing.TABLES[kind], self._decoder.message, 1)
                self.messages.append((kind, fields, bytes(self._decoder.message[end:length])))
        return len(data)

    # what the test does

    def say(self, kind, fields=None, frame=b""):
        message = bytearray(framing.MAX_MESSAGE)
        out = bytearray(framing.MAX_ENCODED)
        message[0] = kind
        end = payloads.pack_into(framing.TABLES[kind], message, 1, fields or {})
        message[end : end + len(frame)] = frame
        length = framing.encode_into(out, message, end + len(frame))
        self.incoming += list(out[:length])

    def heard(self, kind):
        found = [(fields, frame) for k, fields, frame in self.messages if k == kind]
        self.messages = [entry for entry in self.messages if entry[0] != kind]
        return found


class Rig:
    def __init__(self, channel=CHANNEL):
        from fieldelm import modem, pico_board

        self.pico = Pico(config=False)
        time.install("fieldelm.modem")
        self.radio = self.pico.radio
        config = {"role": "modem", "board": "rpi_pico", "options": {}, "radio": {"sf": 9, "bw": "125"}}
        self.host = Host()
        self.board = pico_board.open(config, Module.description())
        self.modem = modem.Modem(self.board, UsbLine(self.host))
        if channel:
            self.host.say(framing.CONFIGURE, channel)
            self.run(50)
            assert self.host.heard(framing.CONFIGURED) == [({"result": 0}, b"")]

    def run(self, ms):
        end = time.us + 1000 * ms
        while time.us < end:
            self.modem.cycle()

    def uplink(self, frame, **how):
        """Have a frame on the air; return its token and when it ended."""
        self.radio.hear(time.us + 1000, frame, **how)
        end_us = time.us + 1000 + self.radio.airtime_us(len(frame))
        self.run((end_us - time.us) // 1000 + 40)
        heard = self.host.heard(framing.UPLINK)
        assert [data for _, data in heard] == [frame], heard
        return heard[0][0]["token"], end_us, heard[0][0]

    def answer(self, token, frame, delay_ms=1000, power=14):
        self.host.say(framing.TRANSMIT, {"token": token, "delay_ms": delay_ms, "output_power": power}, frame)


def test_says_hello_and_is_deaf_until_it_is_configured():
    rig = Rig(channel=None)
    hello = rig.host.heard(framing.HELLO)
    assert len(hello) == 1 and hello[0][0]["configured"] == 0 and hello[0][0]["protocol"] == framing.PROTOCOL
    rig.radio.hear(time.us + 1000, b"nobody listens")
    rig.run(400)
    assert not rig.host.heard(framing.UPLINK)
    rig.answer(1, b"x")
    rig.run(20)
    assert framing.SENT_RESULTS[rig.host.heard(framing.SENT)[0][0]["result"]] == "not_configured"
    rig.host.say(framing.PING)
    rig.run(20)
    assert len(rig.host.heard(framing.HELLO)) == 1 and len(rig.host.heard(framing.STATUS)) == 1
    for key, value in (("sf", 5), ("bandwidth_hz", 123), ("freq_khz", 1)):
        channel = dict(CHANNEL)
        channel[key] = value
        rig.host.say(framing.CONFIGURE, channel)
        rig.run(50)
        assert framing.CONFIGURED_RESULTS[rig.host.heard(framing.CONFIGURED)[0][0]["result"]] == "bad_value", key
    rig.host.say(framing.CONFIGURE, CHANNEL)
    rig.run(50)
    assert rig.host.heard(framing.CONFIGURED)[0][0]["result"] == 0
    rig.uplink(b"now it does")


def test_frames_pass_with_strength_and_time_and_answers_leave_after_a_second():
    rig = Rig()
    for i in range(6):
        data = bytes([i, 0, 3, 3, 13, 3, 255])
        token, end_us, fields = rig.uplink(data, snr=-20, rssi=60)
        assert fields["rssi"] == 60 - 157 - 5 and fields["snr"] == -20
        assert abs(fields["ticks_ms"] - end_us // 1000) <= 1
        rig.run(100 * i)
        rig.answer(token, b"\x03answer\x00" + data, power=2 + i)
        rig.run(1300)
        start_us, _, frame, settings = rig.radio.sent[-1]
        assert frame == b"\x03answer\x00" + data and settings["invert_tx"]
        assert abs(start_us - end_us - 1000000) <= 3000, start_us - end_us
        sent = rig.host.heard(framing.SENT)
        assert sent[0][0]["token"] == token and framing.SENT_RESULTS[sent[0][0]["result"]] == "sent"
        assert abs(sent[0][0]["ticks_ms"] - start_us // 1000) <= 2
    rig.uplink(b"and it listens again")


def test_uplinks_with_inverted_iq_are_other_gateways():
    rig = Rig()
    rig.radio.hear(time.us + 1000, b"a downlink", invert_rx=True)
    rig.run(400)
    assert not rig.host.heard(framing.UPLINK)


def test_bad_crc_is_counted_not_passed():
    rig = Rig()
    rig.radio.hear(time.us + 1000, b"damaged", good=False)
    rig.run(400)
    assert not rig.host.heard(framing.UPLINK)
    rig.host.say(framing.PING)
    rig.run(50)
    status = rig.host.heard(framing.STATUS)[0][0]
    assert status["crc_errors"] == 1 and status["uplinks"] == 0


def test_answers_that_are_late_unknown_or_come_twice():
    rig = Rig()
    token, _, _ = rig.uplink(b"up")
    rig.run(1100)
    rig.answer(token, b"late")
    rig.answer(token + 1, b"what for")
    rig.answer(0, b"nothing")
    rig.run(50)
    results = [framing.SENT_RESULTS[fields["result"]] for fields, _ in rig.host.heard(framing.SENT)]
    assert results == ["too_late", "unknown_token", "unknown_token"], results
    token, _, _ = rig.uplink(b"up")
    rig.answer(token, b"once")
    rig.answer(token, b"twice")
    rig.answer(token, b"")
    rig.run(1500)
    assert [frame for _, _, frame, _ in rig.radio.sent] == [b"once"]
    results = [framing.SENT_RESULTS[fields["result"]] for fields, _ in rig.host.heard(framing.SENT)]
    assert results == ["unknown_token", "unknown_token", "sent"], results


def test_two_nodes_at_once_are_both_heard_and_who_overlaps_is_told():
    rig = Rig()
    first, first_end, _ = rig.uplink(b"first")
    rig.answer(first, b"for the first")
    rig.run(200)
    second, second_end, _ = rig.uplink(b"second")  # while the first answer waits
    rig.answer(second, b"for the second")
    rig.run(2500)
    assert [frame for _, _, frame, _ in rig.radio.sent] == [b"for the first", b"for the second"]
    assert abs(rig.radio.sent[1][0] - second_end - 1000000) <= 3000
    # half-duplex: what would begin while another is on the air does not begin later
    del rig.radio.sent[:]
    first, _, _ = rig.uplink(b"first")
    second, _, _ = rig.uplink(b"second")
    rig.answer(first, bytes(200))
    rig.answer(second, b"too late")
    rig.host.heard(framing.SENT)
    rig.run(4000)
    assert [len(frame) for _, _, frame, _ in rig.radio.sent] == [200]
    results = [framing.SENT_RESULTS[fields["result"]] for fields, _ in rig.host.heard(framing.SENT)]
    assert results == ["sent", "too_late"], results


def test_garbage_and_every_byte_value_from_the_host():
    rig = Rig()
    for noise in (bytes(range(256)), b"\xff" * 1000, b"\x02\x03\x00", bytes(300), b"\x05hello\x00"):
        rig.host.incoming += list(noise) + [0]
        rig.run(200)
    token, _, _ = rig.uplink(bytes(range(255)))
    rig.answer(token, bytes(range(255, 0, -1)))
    rig.run(3000)
    assert rig.radio.sent[-1][2] == bytes(range(255, 0, -1))
    rig.host.say(framing.PING)
    rig.run(50)
    assert rig.host.heard(framing.STATUS)[0][0]["garbage"] >= 3


def test_the_way_to_the_repl():
    rig = Rig()
    for keys in (b"\r\x03", b"\x03\x03"):
        rig.host.incoming += [0] + list(keys)
        try:
            rig.run(100)
        except KeyboardInterrupt:
            continue
        raise AssertionError(keys)


def test_host_that_does_not_read_loses_frames_and_nothing_else():
    rig = Rig()
    rig.host.reads = False
    for _ in range(3):
        rig.radio.hear(time.us + 1000, b"lost")
        rig.run(300)
    rig.host.reads = True
    token, _, _ = rig.uplink(b"heard")
    assert token == 4
    rig.host.say(framing.PING)
    rig.run(50)
    status = rig.host.heard(framing.STATUS)[0][0]
    assert status["lost"] == 3 and status["uplinks"] == 4


def test_radio_that_restarts_is_set_up_again():
    rig = Rig()
    rig.run(1000)
    rig.radio.power_on()  # a dip of its supply
    rig.run(11000)
    rig.uplink(b"heard again")
    rig.host.say(framing.PING)
    rig.run(50)
    assert rig.host.heard(framing.STATUS)[0][0]["restarts"] == 1


def test_radio_that_dies_makes_the_modem_ask_for_its_channel():
    rig = Rig()
    rig.host.heard(framing.HELLO)
    machine.spi(1).chips[:] = []
    rig.run(11000)
    assert [fields["configured"] for fields, _ in rig.host.heard(framing.HELLO)] == [0]
    rig.host.say(framing.CONFIGURE, CHANNEL)
    rig.run(200)
    assert framing.CONFIGURED_RESULTS[rig.host.heard(framing.CONFIGURED)[0][0]["result"]] == "radio_error"
    machine.spi(1).chips[:] = [rig.radio]
    rig.host.say(framing.CONFIGURE, CHANNEL)
    rig.run(200)
    rig.uplink(b"alive")


def test_watchdog_is_fed_and_the_heap_does_not_grow():
    rig = Rig()
    rig.board.start_watchdog()

    def traffic(n):
        for _ in range(n):
            token, _, _ = rig.uplink(b"frame of a node, more or less")
            rig.answer(token, b"ack")
            rig.run(1200)
            del rig.radio.sent[:]
            rig.host.messages = []

    traffic(5)
    gc.collect()
    before = gc.mem_alloc()
    traffic(40)
    gc.collect()
    assert gc.mem_alloc() - before < 512, gc.mem_alloc() - before
    assert 0 < machine.hungry_us < 1000000


def test_led_is_dark_for_a_moment_after_a_frame_even_after_weeks():
    rig = Rig()
    led = machine.wire(25)
    rig.run(200)
    assert led()
    rig.uplink(b"a frame")
    rig.radio.hear(time.us + 1000, b"another")
    dark = 0
    for _ in range(400):
        rig.run(1)
        dark += not led()
    assert 10 < dark < 200 and led()
    for _ in range(3):  # ticks of more than half their range seem to lie in the past
        time.advance(4 * 86400 * 1000000)
        rig.run(100)
        assert led()
