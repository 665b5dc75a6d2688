"""fieldelm.drivers.sx127x against a chip written from the datasheet."""

import gc

from copper import Pin, Spi, Time, fails
from sx1276_chip import Sx1276

from fieldelm import airtime
from fieldelm.drivers import lora_modem, sx127x

CONFIG = {"freq_khz": 868100, "sf": 9, "bw": "125", "coding_rate": 5, "preamble_len": 8, "output_power": 14}


def _rig(dio=True, reset=True, config=CONFIG, **more):
    time = Time()
    time.install("fieldelm.drivers.lora_modem", "fieldelm.drivers.sx127x")
    cs, reset_pin, dio0 = Pin(1), Pin(1), Pin()
    spi = Spi(time)
    chip = Sx1276(time, cs, reset_pin if reset else None, dio0)
    spi.chips.append(chip)
    modem = sx127x.SX1276(spi, cs, dio0 if dio else None, reset=reset_pin if reset else None)
    settings = dict(config)
    settings.update(more)
    modem.configure(settings)
    return time, chip, spi, modem


def test_settings_reach_the_chip():
    time, chip, spi, modem = _rig(sf=12, coding_rate=8, preamble_len=300, syncword=0x34)
    got = chip.settings()
    assert abs(got["freq_hz"] - 868100000) < 62
    assert (got["sf"], got["bw"], got["coding_rate"], got["preamble"], got["sync"]) == (12, 125000, 8, 300, 0x34)
    assert got["crc"] and got["ldro"] and not got["implicit"]
    assert not _rig(sf=10)[1].settings()["ldro"]
    assert _rig(sf=11)[1].settings()["ldro"]
    assert not _rig(sf=12, bw="500")[1].settings()["ldro"]


def test_frame_leaves_and_its_end_is_known():
    for dio in (True, False):
        time, chip, spi, modem = _rig(dio)
        before = time.ticks_ms()
        ended = modem.send(b"0123456789abcdefghi")
        start, end, frame, settings = chip.sent[0]
        assert frame == b"0123456789abcdefghi"
        assert not settings["invert_tx"]
        assert abs(ended - end // 1000) <= (0 if dio else 2), (dio, ended, end)
        assert abs(end - start - airtime.time_on_air_us(19, 9)) <= 1
        assert modem.get_time_on_air_us(19) == airtime.time_on_air_us(19, 9)
        assert modem.send(bytes(255)) > ended > before
        assert modem.is_idle()


def test_waiting_with_an_interrupt_leaves_the_bus_silent():
    time, chip, spi, modem = _rig()
    modem.start_recv(1000)
    before = spi.transfers
    for _ in range(500):
        assert modem.poll_recv() is True
        time.sleep_ms(1)
    assert spi.transfers == before


def test_packet_with_its_attributes():
    # 5.5.5: with a good SNR RSSI = -157 + 16/15 register; with a negative one -157 + register + SNR / 4; low band -164
    for dio in (True, False):
        for khz, snr, raw, rssi in (
            (868100, 40, 60, -93),
            (868100, -60, 45, -127),
            (433500, 40, 60, -100),
            (433500, -30, 40, -131),
        ):
            time, chip, spi, modem = _rig(dio, freq_khz=khz)
            at = time.us + 50000
            chip.hear(at, b"answer", snr, raw)
            packet = modem.recv(200)
            assert packet == b"answer" and isinstance(packet, lora_modem.RxPacket)
            assert (packet.rssi, packet.snr, packet.valid_crc) == (rssi, snr, True), (packet.rssi, packet.snr)
            end = (at + chip.airtime_us(6)) // 1000
            assert abs(packet.ticks_ms - end) <= (0 if dio else 2)


def test_silence_ends_in_time():
    time, chip, spi, modem = _rig()
    before = time.us
    assert modem.recv(300) is None
    assert 300000 <= time.us - before < 310000
    assert chip.mode == 1


def test_reception_that_has_begun_is_finished():
    for dio in (True, False):
        time, chip, spi, modem = _rig(dio)
        chip.hear(time.us + 90000, b"late but welcome", ends_in_noise=False)
        assert modem.recv(120) == b"late but welcome"


def test_noise_that_looked_like_a_preamble_does_not_hold_it():
    time, chip, spi, modem = _rig()
    before = time.us
    chip.hear(time.us + 90000, b"x" * 200, ends_in_noise=True)
    assert modem.recv(120) is None
    assert time.us - before < 400000


def test_bad_and_missing_crc_are_counted_and_listening_goes_on():
    time, chip, spi, modem = _rig()
    chip.hear(time.us + 10000, b"broken", good=False)
    chip.hear(time.us + 300000, b"bare", protected=False)
    chip.hear(time.us + 600000, b"good")
    assert modem.recv(2000) == b"good"
    assert modem.crc_errors == 2
    modem.rx_crc_error = True
    chip.hear(time.us + 10000, b"broken", good=False)
    packet = modem.recv(500)
    assert packet == b"broken" and not packet.valid_crc


def test_continuous_reception_takes_one_after_the_other():
    time, chip, spi, modem = _rig()
    modem.start_recv(continuous=True)
    got = []
    for i in range(3):
        chip.hear(time.us + 5000, bytes([i]) * 100)
        for _ in range(1200):
            packet = modem.poll_recv()
            if packet is not True:
                got.append(bytes(packet))
            time.sleep_ms(1)
    assert got == [bytes([i]) * 100 for i in range(3)]


def test_iq_inversion_is_for_one_direction():
    time, chip, spi, modem = _rig(invert_iq_rx=True)
    modem.send(b"up")
    assert not chip.sent[0][3]["invert_tx"]
    assert chip.registers[0x3B] == 0x1D
    chip.hear(time.us + 5000, b"of a node", invert_rx=False)
    chip.hear(time.us + 500000, b"of the gateway", invert_rx=True)
    assert modem.recv(1500) == b"of the gateway"
    modem.start_recv(10)
    assert chip.registers[0x33] & 0x41 == 0x41 and chip.registers[0x3B] == 0x19
    gateway = _rig(invert_iq_tx=True)
    gateway[3].send(b"down")
    assert gateway[1].sent[0][3]["invert_tx"] and gateway[1].registers[0x3B] == 0x19


def test_power():
    for ant, wanted, dbm, dac, ocp in (
        ("PA_BOOST", 14, 14, 0x84, 0x2B),
        ("PA_BOOST", 2, 2, 0x84, 0x2B),
        ("PA_BOOST", -9, 2, 0x84, 0x2B),
        ("PA_BOOST", 17, 17, 0x84, 0x2B),
        ("PA_BOOST", 18, 18, 0x87, 0x32),
        ("PA_BOOST", 22, 20, 0x87, 0x32),
        ("RFO", 14, 14, 0x84, 0x2B),
        ("RFO", 0, 0, 0x84, 0x2B),
        ("RFO", -3, -3.2, 0x84, 0x2B),
    ):
        chip = _rig(tx_ant=ant, output_power=wanted)[1]
        assert abs(chip.power_dbm() - dbm) < 0.01, (ant, wanted, chip.power_dbm())
        assert chip.registers[0x4D] == dac and chip.registers[0x0B] == ocp


def test_errata():
    # 2.1
    assert _rig()[1].registers[0x36] == 0x03
    chip = _rig(bw="500")[1]
    assert (chip.registers[0x36], chip.registers[0x3A]) == (0x02, 0x64)
    assert chip.registers[0x31] & 0x80
    chip = _rig(bw="500", freq_khz=433500)[1]
    assert (chip.registers[0x36], chip.registers[0x3A]) == (0x02, 0x7F)
    # 2.3
    chip = _rig()[1]
    assert not chip.registers[0x31] & 0x80 and (chip.registers[0x2F], chip.registers[0x30]) == (0x40, 0)
    for bw, if_freq, offset in (("7.8", 0x48, 7810), ("41.7", 0x44, 41670), ("62.5", 0x40, 0)):
        time, chip, spi, modem = _rig(bw=bw, sf=7)
        modem.start_recv(10)
        assert chip.registers[0x2F] == if_freq
        assert abs(chip.settings()["freq_hz"] - 868100000 - offset) < 62
        modem.prepare_send(b"x")
        assert abs(chip.settings()["freq_hz"] - 868100000) < 62


def test_sleep_keeps_the_settings():
    time, chip, spi, modem = _rig()
    modem.sleep()
    assert chip.mode == 0
    modem.send(b"again")
    assert chip.sent[0][2] == b"again" and chip.sent[0][3]["sf"] == 9


def test_silent_or_wrong_chip_is_named():
    time, chip, spi, modem = _rig()
    spi.dead = 0x00
    fails(lambda: modem.send(b"x"), "SX1276", "RegVersion (0x42) reads 0x00", "MISO")
    spi.dead = 0xFF
    fails(lambda: modem.recv(10), "RegVersion (0x42) reads 0xFF", "power")
    spi.dead = None
    modem.send(b"back")  # it answers again
    assert chip.sent[0][2] == b"back" and chip.sent[0][3]["sf"] == 9
    chip.version = 0x22
    chip.power_on()
    spi.dead = 0
    fails(lambda: modem.send(b"x"), "SX1276")
    spi.dead = None
    fails(lambda: modem.send(b"x"), "0x22", "SX1272")


def test_chip_that_restarted_is_set_up_again():
    time, chip, spi, modem = _rig()
    chip.power_on()
    modem.send(b"brown-out")
    assert chip.sent[0][2] == b"brown-out" and chip.sent[0][3]["sf"] == 9
    assert modem.restarts == 1


def test_missing_interrupt_wire_is_named():
    time, chip, spi, modem = _rig()
    chip.dio0.stuck = 0
    fails(lambda: modem.send(b"x"), "DIO0 stays low")
    chip.hear(time.us + 20000, b"unheard")
    fails(lambda: modem.recv(300), "DIO0 stays low")


def test_transmission_that_never_ends_is_given_up():
    time, chip, spi, modem = _rig()
    chip.fails_to_send = True
    before = time.us
    fails(lambda: modem.send(b"x"), "did not end within", "RegOpMode 0x83", "antenna")
    assert time.us - before < 600000


def test_wrong_settings_are_named_and_change_nothing():
    time, chip, spi, modem = _rig()
    for bad, word in (
        ({"sf": 13}, "sf"),
        ({"bw": "100"}, "bw"),
        ({"freq_khz": 8681.0}, "freq_khz"),
        ({"sf": 8, "colour": 1}, "colour"),
        ({"tx_ant": "left"}, "tx_ant"),
    ):
        fails(lambda: modem.configure(bad), word)
    assert modem.sf == 9 and chip.settings()["sf"] == 9
    fails(lambda: modem.send(b""), "1 to 255")
    fails(lambda: modem.send(bytes(256)), "1 to 255")


def test_frame_leaves_at_a_given_time():
    time, chip, spi, modem = _rig()
    at = time.ticks_ms() + 100
    modem.send(b"then", at)
    assert abs(chip.sent[0][0] // 1000 - at) <= 1


def test_watchdog_is_fed_while_waiting():
    time, chip, spi, modem = _rig(sf=12)
    fed = [time.us, 0]

    def feed():
        fed[1] = max(fed[1], time.us - fed[0])
        fed[0] = time.us

    modem.on_wait = feed
    modem.send(bytes(100))
    modem.recv(9000)
    assert 0 < fed[1] < 1000000, fed


def test_waiting_allocates_nothing():
    time, chip, spi, modem = _rig(dio=False)
    time.ticks_ms = _Counter()
    modem.start_recv(100000000)
    spi.write_readinto = lambda out, answer: None
    modem.poll_recv()
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    for _ in range(200):
        modem.poll_recv()
    grown = gc.mem_alloc() - before
    gc.enable()
    assert grown == 0, grown


class _Counter:
    def __init__(self):
        self.n = 0

    def __call__(self):
        self.n += 1
        return self.n
