"""`fieldelm record`: the messages, whatever stands between them, and whole recordings from an emulated Pico."""

import json
import re
import signal
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import given, strategies as st

from fieldelm_tools import recordings
from fieldelm_tools.device import DeviceError
from fieldelm_tools.record import HEAD, MAGIC, WINDOW, Decoder, Message, Recording

pytestmark = pytest.mark.timeout(400)


def coded(message):
    body = struct.pack("<BII", message.kind, message.number, len(message.payload)) + message.payload
    return MAGIC + body + struct.pack("<I", zlib.crc32(body))


messages = st.builds(Message, st.integers(0, 3), st.integers(0, 2**32 - 1), st.binary(max_size=200))


def pushed(data, sizes):
    decoder, found = Decoder(), []
    while data:
        size = sizes[len(found) % len(sizes)] if sizes else len(data)
        found += decoder.push(data[:size])
        data = data[size:]
    return decoder, found


@given(st.lists(messages, max_size=6), st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_messages_come_through_in_any_pieces(sent, sizes):
    decoder, found = pushed(b"".join(map(coded, sent)), sizes)
    assert found == sent
    assert (decoder.damaged, bytes(decoder.garbage)) == (0, b"")


@given(st.lists(st.tuples(st.binary(max_size=30).filter(lambda b: MAGIC[:1] not in b), messages), max_size=5))
def test_what_stands_between_messages_costs_none(sent):
    data = b"".join(garbage + coded(message) for garbage, message in sent)
    assert pushed(data, [7])[1] == [message for _, message in sent]


@given(messages, messages, st.data())
def test_a_damaged_message_is_left_out_and_the_next_one_comes(first, second, data):
    broken = bytearray(coded(first))
    at = data.draw(st.integers(13, len(broken) - 1))
    broken[at] ^= data.draw(st.integers(1, 255))
    decoder, found = pushed(bytes(broken) + coded(second), [64])
    assert found[-1:] == [second]
    assert first not in found[:-1]
    assert decoder.damaged >= 1


def head(**changes):
    given = {"sensor": "x", "rate_hz": 100, "axes": 1, "samples": 4, "full_scale": 511, "g_per_count": 0.5}
    return Message(HEAD, 0, json.dumps({**given, **changes}).encode())


def window(number, counts):
    return Message(WINDOW, number, struct.pack("<IfI", 10 * number, 99.5, 0) + np.array(counts, "<i2").tobytes())


def test_lost_windows_are_counted_and_the_file_says_rate_and_scale(tmp_path):
    recording = Recording()
    for message in (head(), window(0, [1, 2, 3, 4]), window(3, [-32768, 32767, 0, 7])):
        recording.take(message)
    recording.save(tmp_path / "a.npz")
    loaded = recordings.load(str(tmp_path / "a.npz"))
    assert (recording.lost, loaded.kind, loaded.rate_hz, loaded.g_per_count, loaded.full_scale) == (
        2,
        "waveform",
        100.0,
        0.5,
        511,
    )
    assert loaded.rows.tolist() == [[[1], [2], [3], [4]], [[-32768], [32767], [0], [7]]]
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_windows_of_another_size_are_refused():
    recording = Recording()
    recording.take(head())
    with pytest.raises(DeviceError, match="another size"):
        recording.take(window(0, [1, 2, 3]))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--out", "a.csv", "--windows", "1"), r"name a FILE\.npz"),
        (("--out", "there.npz", "--windows", "1"), "exists"),
        (("--out", "no/a.npz", "--windows", "1"), "is no folder"),
        (("--out", "a.npz", "--windows", "0"), "--windows 0"),
        (("--out", "a.npz", "--windows", "1", "--samples", "5000"), "--samples 5000"),
        (("--out", "a.npz"), "--seconds --windows"),
    ],
)
def test_options_that_cannot_be(fieldelm, tmp_path, words, why):
    (tmp_path / "there.npz").touch()
    result = fieldelm("record", "--port", "socket://127.0.0.1:9", *words)
    assert (result.code, len(result.lines)) == (2, 1), result
    assert re.search(why, result.err)


@pytest.mark.slow
def test_a_recording_is_what_the_sensor_felt_and_replay_takes_it(pico, fieldelm, sensor_chip, tmp_path):
    port = pico(chips=[sensor_chip]).address()
    result = fieldelm(
        "record", "--port", port, "--windows", "50", "--samples", "64", "--rate", "400", "--out", "a.npz", "--json"
    )
    assert result.code == 0, result
    told = json.loads(result.out)
    assert (told["windows"], told["lost"], told["overruns"], told["sensor"]) == (50, 0, 0, "ADXL345")
    assert told["measured_hz"] == pytest.approx(400, rel=1e-3)
    recording = recordings.load(str(tmp_path / "a.npz"))
    assert recording.rows.shape == (50, 64, 3)
    g = recording.rows * recording.g_per_count
    assert g[:, :, 2].mean() == pytest.approx(1, abs=0.02)
    assert np.sqrt(2) * g[:, :, 0].std() == pytest.approx(0.5, abs=0.05)
    assert all(np.abs(np.fft.rfft(row[:, 0] - row[:, 0].mean())).argmax() == 8 for row in g)  # 50 Hz
    replayed = fieldelm("replay", "--train", "a.npz", "--stream", "a.npz", "--json")
    assert replayed.code == 0, replayed
    assert json.loads(replayed.out)["streams"][0]["last_state"] == "watching"


@pytest.mark.slow
def test_what_was_recorded_is_kept_when_a_person_or_the_board_ends_it(pico, fieldelm, sensor_chip, tmp_path):
    emulator = pico(chips=[sensor_chip])
    words = ("record", "--port", emulator.address(), "--seconds", "3000", "--samples", "64", "--out")
    process = fieldelm(*words, "a.npz", start=True)
    for line in process.stderr:
        if "windows," in line:
            process.send_signal(signal.SIGINT)
            break
    stopped = fieldelm.ended(process)
    assert stopped.code == 0, stopped
    assert len(recordings.load(str(tmp_path / "a.npz")).rows) >= 1
    process = fieldelm(*words, "b.npz", start=True)
    for line in process.stderr:
        if "windows," in line:
            emulator.command("fault", chip="sensor", fault="silent")
            break
    broken = fieldelm.ended(process)
    assert broken.code == 1, broken
    assert "ADXL345" in broken.err
    assert "what was recorded before is in b.npz" in broken.err
    assert len(recordings.load(str(tmp_path / "b.npz")).rows) >= 1
    nothing = fieldelm(*words, "c.npz")
    assert (nothing.code, len(nothing.lines)) == (1, 1), nothing
    assert "check power" in nothing.err
    assert not (tmp_path / "c.npz").exists()


@pytest.mark.slow
def test_a_board_that_goes_away_leaves_what_was_recorded(pico, fieldelm, sensor_chip, tmp_path):
    emulator = pico(chips=[sensor_chip])
    process = fieldelm(
        "record", "--port", emulator.address(), "--seconds", "3000", "--samples", "64", "--out", "a.npz", start=True
    )
    for line in process.stderr:
        if "windows," in line:
            emulator.close()
            break
    began = time.monotonic()
    gone = fieldelm.ended(process)
    assert gone.code == 1, gone
    assert "the board is gone" in gone.err
    assert time.monotonic() - began < 30
    assert len(recordings.load(str(tmp_path / "a.npz")).rows) >= 1


def test_two_rates_do_not_go_together(fieldelm, tmp_path):
    for name, rate in (("a.npz", 100), ("b.npz", 200)):
        recording = Recording()
        recording.take(head(rate_hz=rate, samples=16))
        for number in range(50):
            recording.take(window(number, list(range(16))))
        recording.save(tmp_path / name)
    result = fieldelm("replay", "--train", "a.npz", "--stream", "b.npz")
    assert result.code == 2
    assert "recorded at 100, 200 Hz" in result.err
