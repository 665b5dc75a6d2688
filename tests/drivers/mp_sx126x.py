"""fieldelm.drivers.sx126x against a chip written from the datasheet."""

import gc

from copper import Pin, Spi, Time, fails
from sx1262_chip import SLEEP, STDBY_RC, Sx1262

from fieldelm import airtime
from fieldelm.drivers import sx126x, sx1261

CONFIG = {"freq_khz": 868100, "sf": 9, "bw": "125", "coding_rate": 5, "preamble_len": 8, "output_power": 14}
_MODULES = ("fieldelm.drivers.lora_modem", "fieldelm.drivers.sx126x", "fieldelm.drivers.sx126x_bus")


class Rig:
    def __init__(self, dio=True, needs_mv=None, mv=None, kind=sx126x.SX1262, config=CONFIG, **more):
        self.time = Time()
        self.time.install(*_MODULES)
        cs, reset, self.busy, self.dio1 = Pin(1), Pin(1), Pin(1), Pin()
        self.rxen, self.txen = Pin(), Pin()
        self.spi = Spi(self.time, 8)
        self.chip = Sx1262(self.time, cs, self.busy, reset, self.dio1, needs_mv)
        self.spi.chips.append(self.chip)
        self.modem = kind(
            self.spi,
            cs,
            self.busy,
            self.dio1 if dio else None,
            dio3_tcxo_millivolts=mv,
            reset=reset,
            rxen=self.rxen,
            txen=self.txen,
        )
        settings = dict(config)
        settings.update(more)
        self.modem.configure(settings)

    def parts(self):
        assert self.chip.failures == []
        return self.time, self.chip, self.spi, self.modem


def _rig(*arguments, **more):
    return Rig(*arguments, **more).parts()


def test_settings_reach_the_chip():
    time, chip, spi, modem = _rig(sf=12, coding_rate=8, preamble_len=300, syncword=0x34)
    modem.send(b"x")
    got = chip.sent[0][3]
    assert abs(got["freq_hz"] - 868100000) < 1
    assert (got["sf"], got["bw"], got["coding_rate"], got["preamble"], got["sync"]) == (12, 125000, 8, 300, 0x3444)
    assert got["crc"] and got["ldro"] and not got["implicit"]
    assert chip.regulator == 1 and chip.dio2 == 1 and chip.packet_type == 1
    assert chip.image == (0xD7, 0xDB)
    assert _rig(freq_khz=915000)[1].image == (0xE1, 0xE9)
    assert _rig(freq_khz=433500)[1].image == (0x6B, 0x6F)
    for bw in ("7.8", "10.4", "15.6", "20.8", "31.25", "41.7", "62.5", "125", "250", "500"):
        assert abs(_rig(bw=bw, sf=7)[1].settings()["bw"] / 1000 - float(bw)) < 0.1


def test_frame_leaves_and_its_end_is_known():
    for dio in (True, False):
        time, chip, spi, modem = _rig(dio)
        ended = modem.send(b"0123456789abcdefghi")
        start, end, frame, settings = chip.sent[0]
        assert frame == b"0123456789abcdefghi" and not settings["invert"]
        assert abs(ended - end // 1000) <= (0 if dio else 2), (dio, ended, end)
        assert abs(end - start - airtime.time_on_air_us(19, 9)) <= 1
        assert modem.send(bytes(255)) > ended


def test_waiting_with_an_interrupt_leaves_the_bus_silent():
    time, chip, spi, modem = _rig()
    modem.start_recv(1000)
    before = spi.transfers
    for _ in range(500):
        assert modem.poll_recv() is True
        time.sleep_ms(1)
    assert spi.transfers == before


def test_packet_with_its_attributes():
    # 13.5.3: -RssiPkt / 2; below the noise the signal's own strength
    for dio in (True, False):
        for snr, rssi, signal, wanted in ((40, 180, 181, -90), (-30, 210, 252, -126)):
            time, chip, spi, modem = _rig(dio)
            at = time.us + 50000
            chip.hear(at, b"answer", snr, rssi, signal)
            packet = modem.recv(200)
            assert packet == b"answer"
            assert (packet.rssi, packet.snr, packet.valid_crc) == (wanted, snr, True), (packet.rssi, packet.snr)
            assert abs(packet.ticks_ms - (at + chip.airtime_us(6)) // 1000) <= (0 if dio else 2)


def test_silence_ends_in_time_and_begun_receptions_are_finished():
    time, chip, spi, modem = _rig()
    before = time.us
    assert modem.recv(300) is None
    assert 300000 <= time.us - before < 310000
    assert chip.mode == STDBY_RC
    for dio in (True, False):
        time, chip, spi, modem = _rig(dio)
        chip.hear(time.us + 90000, b"late but welcome")
        assert modem.recv(120) == b"late but welcome"


def test_what_does_not_become_a_frame_does_not_hold_it():
    for how in ({"ends_in_noise": True}, {"bad_header": True}):
        time, chip, spi, modem = _rig()
        before = time.us
        chip.hear(time.us + 90000, b"x" * 200, **how)
        assert modem.recv(120) is None
        assert time.us - before < 400000


def test_frame_after_a_bad_header_is_good():
    time, chip, spi, modem = _rig()
    chip.hear(time.us + 10000, b"never", bad_header=True)
    chip.hear(time.us + 300000, b"good")
    packet = modem.recv(1000)
    assert packet == b"good" and packet.valid_crc and modem.crc_errors == 0


def test_bad_crc_is_counted_and_listening_goes_on():
    time, chip, spi, modem = _rig()
    chip.hear(time.us + 10000, b"broken", good=False)
    chip.hear(time.us + 300000, b"good")
    assert modem.recv(2000) == b"good"
    assert modem.crc_errors == 1


def test_continuous_reception_wraps_in_the_buffer():
    time, chip, spi, modem = _rig()
    modem.start_recv(continuous=True)
    got = []
    for i in range(4):
        chip.hear(time.us + 5000, bytes([i]) * 100)
        for _ in range(1200):
            packet = modem.poll_recv()
            if packet is not True:
                got.append(bytes(packet))
            time.sleep_ms(1)
    assert got == [bytes([i]) * 100 for i in range(4)]


def test_iq_inversion_is_for_one_direction():
    time, chip, spi, modem = _rig(invert_iq_rx=True)
    modem.send(b"up")  # the chip itself checks erratum 15.4
    assert not chip.sent[0][3]["invert"]
    chip.hear(time.us + 5000, b"of a node", invert=False)
    chip.hear(time.us + 500000, b"of the gateway", invert=True)
    assert modem.recv(1500) == b"of the gateway"


def test_power():
    for kind, wanted, pa, power in (
        (sx126x.SX1262, 22, (4, 7, 0, 1), 22),
        (sx126x.SX1262, 30, (4, 7, 0, 1), 22),
        (sx126x.SX1262, 20, (3, 5, 0, 1), 22),
        (sx126x.SX1262, 17, (2, 3, 0, 1), 22),
        (sx126x.SX1262, 14, (2, 2, 0, 1), 22),
        (sx126x.SX1262, 10, (2, 2, 0, 1), 18),
        (sx126x.SX1262, -9, (2, 2, 0, 1), -1),
        (sx1261.SX1261, 15, (6, 0, 1, 1), 14),
        (sx1261.SX1261, 14, (4, 0, 1, 1), 14),
        (sx1261.SX1261, 10, (1, 0, 1, 1), 13),
    ):
        chip = _rig(kind=kind, output_power=min(wanted, 22))[1]
        assert chip.pa == pa and chip.tx_params[0] == power, (wanted, chip.pa, chip.tx_params)


def test_errata():
    chip = _rig()[1]
    assert chip.registers[0x08D8] == 0xDE  # 15.2
    assert _rig(kind=sx1261.SX1261)[1].registers[0x08D8] == 0xC8
    for bw in ("125", "500"):  # 15.1 is checked by the chip when it sends
        time, chip, spi, modem = _rig(bw=bw)
        modem.send(b"x")


def test_tcxo():
    time, chip, spi, modem = _rig(needs_mv=1800, mv=1800)
    assert chip.tcxo == 1800 and chip.tcxo_steps == 320  # 5 ms
    modem.send(b"x")
    assert chip.sent
    fails(lambda: _rig(needs_mv=1800), "0x0020", "crystal oscillator did not start", "TCXO")


def test_antenna_switch():
    rig = Rig()
    rig.modem.start_recv(100)
    assert (rig.rxen(), rig.txen()) == (1, 0)
    rig.modem.standby()
    assert (rig.rxen(), rig.txen()) == (0, 0)
    rig.modem.prepare_send(b"x")
    rig.modem.start_send()
    assert (rig.rxen(), rig.txen()) == (0, 1)
    rig.time.advance(1000000)
    assert rig.modem.poll_send() is not True
    assert (rig.rxen(), rig.txen()) == (0, 0)


def test_sleep_keeps_the_settings():
    time, chip, spi, modem = _rig(rx_boost=True)
    modem.sleep()
    assert chip.mode == SLEEP
    modem.sleep()
    assert chip.mode == SLEEP
    modem.send(b"again")
    assert chip.sent[0][2] == b"again"
    modem.sleep()
    modem.start_recv(10)
    assert chip.registers[0x08AC] == 0x96
    assert chip.failures == []


def test_silent_or_wrong_chip_is_named():
    rig = Rig()
    time, chip, spi, modem = rig.parts()
    for level in (0x00, 0xFF):
        spi.dead = level
        fails(lambda: modem.send(b"x"), "SX1262", "0x%02X" % level, "MISO")
    spi.dead = None
    modem.send(b"back")
    assert chip.sent[0][2] == b"back"
    rig.busy.stuck = 1
    before = time.us
    fails(lambda: modem.send(b"x"), "BUSY stays high", "TCXO")
    assert time.us - before < 200000
    rig.busy.stuck = None
    modem.send(b"free")
    assert chip.sent[1][2] == b"free"


def test_busy_that_stays_high_names_the_command_that_was_sent_last():
    for command in (0x80, 0x89, 0x86, 0x0E, 0x83):  # standby, calibration, frequency, payload, transmission
        rig = Rig(mv=1800)
        time, chip, spi, modem = rig.parts()
        chip.power_on()
        time.sleep_ms(10)
        execute = chip._execute

        def hangs(data):
            execute(data)
            if data[0] == command:
                rig.busy.stuck = 1

        chip._execute = hangs
        fails(lambda: modem.send(b"x"), "BUSY stays high (last command 0x%02X)" % command)


def test_chip_that_restarted_is_set_up_again():
    time, chip, spi, modem = _rig()
    chip.power_on()
    modem.send(b"brown-out")
    assert chip.sent[0][2] == b"brown-out" and chip.sent[0][3]["sf"] == 9
    assert modem.restarts == 1


def test_missing_interrupt_wire_is_named():
    rig = Rig()
    rig.dio1.stuck = 0
    fails(lambda: rig.modem.send(b"x"), "DIO1 stays low")


def test_transmission_that_never_ends_is_given_up():
    time, chip, spi, modem = _rig()
    chip.fails_to_send = True
    fails(lambda: modem.send(b"x"), "did not end within", "antenna")


def test_waiting_allocates_nothing():
    time, chip, spi, modem = _rig(dio=False)
    modem.start_recv(100000000)
    counter = [0]

    def ticks():
        counter[0] += 1
        return counter[0]

    time.ticks_ms = ticks
    spi.write_readinto = lambda out, answer: None
    chip.cs.watchers.clear()  # what the copper allocates does not count
    modem._busy = lambda: 0
    modem.poll_recv()
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    for _ in range(200):
        modem.poll_recv()
    grown = gc.mem_alloc() - before
    gc.enable()
    assert grown == 0, grown
