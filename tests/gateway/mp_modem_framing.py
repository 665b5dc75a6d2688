"""The modem's serial framing on MicroPython."""

from fieldelm import modem_framing as modem


def _line(message):
    buffer = bytearray(message) + bytearray(4)
    out = bytearray(modem.MAX_ENCODED)
    return bytes(out[: modem.encode_into(out, buffer, len(message))])


def _push(decoder, line):
    found = []
    for byte in line:
        length = decoder.push(byte)
        if length:
            found.append(bytes(decoder.message[:length]))
    return found


def test_any_byte_values_and_lengths_come_back():
    decoder = modem.Decoder()
    for length in (1, 2, 13, 252, 253, 254, 255, 256, 284):
        for fill in (0, 1, 254, 255):
            message = bytes([fill]) * length
            line = _line(message)
            assert line[0] == 0 and line.find(b"\0", 1) == len(line) - 1
            assert _push(decoder, line) == [message]
    assert decoder.garbage == 0


def test_the_place_is_found_again_after_garbage():
    decoder = modem.Decoder()
    good = _line(b"\x02hello")
    assert _push(decoder, b"\x07noise\xff\xff") == []
    assert _push(decoder, b"\0") == []
    assert decoder.garbage == 1
    assert _push(decoder, good[3:] + good[:5] + good) == [b"\x02hello"]
    assert decoder.garbage == 3
    assert _push(decoder, b"\xfe" * 5000 + b"\0" + good) == [b"\x02hello"]
    assert decoder.garbage == 4


def test_decoding_does_not_allocate():
    import gc

    decoder = modem.Decoder()
    line = _line(bytes(range(200)))
    _push(decoder, line)
    gc.collect()
    before = gc.mem_alloc()
    for byte in line:
        decoder.push(byte)
    # the slice for the CRC of a whole message is the one object
    assert gc.mem_alloc() - before < 200, gc.mem_alloc() - before
