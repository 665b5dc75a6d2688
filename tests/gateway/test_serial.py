"""The serial line to the modem: any bytes, garbage, a modem that restarts, and one that is pulled out."""

import random
import time

import pytest
import serial
from gateway_brokers import GatewayProcess, wait_for
from hypothesis import given, settings, strategies as st

from fieldelm import airtime, frame, modem_framing as modem, payloads
from fieldelm_gateway import config, serial_line
from fieldelm_gateway.clock import HostClock
from fieldelm_gateway.ingress_serial import SerialRadio, explain


def decode(line):
    decoder, found = modem.Decoder(), []
    for byte in line:
        length = decoder.push(byte)
        if length:
            found.append(bytes(decoder.message[:length]))
    return found, decoder.garbage


def encode(message):
    buffer, out = bytearray(message) + bytearray(4), bytearray(modem.MAX_ENCODED)
    return bytes(out[: modem.encode_into(out, buffer, len(message))])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=modem.MAX_MESSAGE - 4), max_size=4))
def test_messages_come_back_as_they_were(messages):
    assert decode(b"".join(map(encode, messages))) == (messages, 0)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=700), st.binary(min_size=1, max_size=100))
def test_after_any_garbage_the_next_message_is_understood(garbage, message):
    found, counted = decode(garbage + b"\0" + encode(message))
    assert found[-1] == message
    assert counted <= garbage.count(0) + 1


@settings(max_examples=300, deadline=None)
@given(st.binary(min_size=1, max_size=60), st.data())
def test_a_damaged_message_is_never_taken_for_a_good_one(message, data):
    line = bytearray(encode(message))
    position = data.draw(st.integers(1, len(line) - 2))
    line[position] ^= data.draw(st.integers(1, 255))
    found, _ = decode(bytes(line))
    assert message not in found
    assert found == []


_PIECES = st.lists(
    st.one_of(
        st.binary(max_size=600),
        st.binary(min_size=1, max_size=modem.MAX_MESSAGE - 4).map(encode),
        st.binary(min_size=1, max_size=100).map(lambda message: encode(message)[3:]),
        st.integers(250, 284).map(lambda length: encode(b"\x07" * length)),
    ),
    max_size=5,
)


@settings(max_examples=500, deadline=None)
@given(_PIECES, st.integers(1, 700))
def test_a_host_finds_the_same_messages_and_the_same_garbage_as_a_modem(pieces, chunk):
    line = b"".join(pieces)
    decoder, found = serial_line.Decoder(), []
    for at in range(0, len(line), chunk):
        found += decoder.push(line[at : at + chunk])
    assert (found, decoder.garbage) == decode(line)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(min_size=1, max_size=284), st.integers(1, 284).map(lambda length: b"\x01" * length)))
def test_a_host_writes_the_same_bytes_as_a_modem(message):
    assert serial_line.encode(message) == encode(message)


@pytest.mark.parametrize("encoder", [encode, serial_line.encode])
def test_too_long_a_message_is_refused(encoder):
    with pytest.raises(ValueError, match="1 to 284"):
        encoder(bytes(285))
    with pytest.raises(ValueError, match="1 to 284"):
        encoder(b"")


def test_every_table_fits_a_message_with_the_longest_frame():
    for kind, table in modem.TABLES.items():
        longest = 255 if kind in (modem.UPLINK, modem.TRANSMIT) else 0
        assert 1 + payloads.size(table) + longest + 4 <= modem.MAX_MESSAGE


@pytest.fixture
def radio(world):
    """The gateway's end of the line in this process, configured and listening; what it hears is in `heard`."""
    heard = []
    radio = SerialRadio(config.load(world.config).radio[0], HostClock())
    radio.start(heard.append)
    wait_for(lambda: not radio.counters.problem)
    yield radio, heard
    radio.stop()


def test_the_modem_gets_the_channel_of_the_configuration(world):
    text = (
        world.config.read_text()
        + "freq_khz = 869525\nsf = 10\nbw = '250'\ncoding_rate = 6\npreamble_len = 12\noutput_power = 20\n"
    )
    world.config.write_text(text)
    node = world.node()
    world.start_gateway()
    assert world.modem.configured == [
        {"freq_khz": 869525, "sf": 10, "bandwidth_hz": 250_000, "coding_rate": 6, "preamble_len": 12}
    ]
    token = world.modem.uplink(node.alert())
    world.modem.answer(token)
    assert world.modem.sent_fields == [{"token": token, "delay_ms": 1000, "output_power": 20}]


def test_frames_between_garbage(world):
    world.broker.start()
    subscriber = world.subscribe()
    node = world.node()
    world.start_gateway()
    noise = random.Random(1)
    for _ in range(30):
        world.modem.write(noise.randbytes(noise.randrange(400)) + b"\0")
        assert node.open(world.modem.exchange(node.alert()))[0] == frame.ACK
    line = world.modem.line(modem.UPLINK, world.modem.uplink_fields(), node.alert())
    world.modem.write(line[:20])  # cut short, as when a cable is loose
    assert world.modem.exchange(node.alert())
    subscriber.wait_for("/event", 31)


def test_garbage_is_counted(world, radio):
    radio, heard = radio
    for garbage in (b"\x05hello\0", encode(b"\x77what is this"), encode(b"\x02short"), b"\xff" * 3000 + b"\0"):
        world.modem.write(garbage)
    world.modem.uplink(b"\x42a frame")
    wait_for(lambda: heard)
    assert heard[0].data == b"\x42a frame"
    assert (heard[0].rssi, heard[0].snr, heard[0].airtime_us) == (-101, -3.5, airtime.time_on_air_us(8, 9))
    counters = radio.counters
    assert (counters.serial_garbage, counters.crc_errors, counters.uplinks) == (4, 7, 1)


def test_a_modem_that_restarts_is_configured_again(world):
    node = world.node()
    world.start_gateway()
    world.modem.exchange(node.alert())
    world.modem.restart()
    wait_for(lambda: len(world.modem.configured) == 2)
    assert world.modem.exchange(node.alert())


def test_a_gateway_that_writes_to_a_modem_which_waits_to_be_read_still_reads(world, radio, monkeypatch):
    radio, heard = radio
    monkeypatch.setattr("fieldelm_gateway.ingress_serial._PING_S", 0.05)
    with radio._writing:  # an answer that the modem does not take yet, as it waits until its uplinks are read
        for number in range(20):
            world.modem.uplink(bytes([0x42, number]))
            time.sleep(0.02)
        wait_for(lambda: len(heard) == 20)


def test_a_modem_that_is_pulled_out_and_plugged_in_again(world):
    node = world.node()
    gateway = world.start_gateway()
    for _ in range(2):
        assert world.modem.exchange(node.alert())
        world.modem.unplug()
        wait_for(lambda: "is the modem plugged in" in gateway.said())
        world.modem.plug_in()
        world.modem.wait_until_configured()
    assert world.modem.exchange(node.alert())
    assert gateway.process.poll() is None


def test_no_modem_at_the_start_is_one_line_and_patience(world):
    world.modem.unplug()
    world.gateway = GatewayProcess(world.config)
    wait_for(lambda: "there is no such port: is the modem plugged in" in world.gateway.said())
    world.modem.plug_in()
    world.modem.wait_until_configured()
    assert world.gateway.said().count("no such port") == 1


@pytest.mark.parametrize(
    ("port", "word"),
    [("/dev/null", "no serial port"), ("/dev", "Is a directory"), ("/dev/no-such-port", "no such port")],
)
def test_a_port_that_is_none_is_named_with_the_mend(port, word):
    with pytest.raises(serial.SerialException) as caught:
        serial.Serial(port, exclusive=True)
    assert word in explain(caught.value)
    assert "is the modem plugged in" in explain(caught.value)


def test_a_modem_of_another_protocol_is_told_to_be_flashed_again(world):
    world.gateway = GatewayProcess(world.config)
    world.modem.wait_until_configured()
    fields = {"protocol": modem.PROTOCOL + 1, "firmware": 1, "boot_cause": 0, "configured": 1}
    world.modem.tell(modem.HELLO, fields)
    wait_for(lambda: "flash it again\n" in world.gateway.said())


def test_a_port_that_this_user_may_not_use_is_named_with_the_mend():
    assert "group" in explain(serial.SerialException(13, "could not open port"))


def test_a_modem_that_cannot_send_is_counted(world, radio):
    radio, _ = radio
    radio.answer(1, b"\x45" + bytes(13))
    radio.flush()
    wait_for(lambda: radio.counters.answers == 1)
    world.modem.result = 1
    radio.answer(2, b"\x45" + bytes(13))
    radio.flush()
    wait_for(lambda: radio.counters.answers_failed == 1)
    radio.answer(3, None)
    radio.answer(4, b"\x45" + bytes(13))
    radio.flush()
    wait_for(lambda: radio.counters.answers_failed == 2)
    assert sorted(world.modem.sent) == [1, 2, 4]
