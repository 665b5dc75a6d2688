"""fieldelm.storage: what a power cut can do to files, and numbers that never repeat."""

from binascii import crc32
from os import remove
from struct import pack

from fieldelm.storage import COUNTER_BLOCK, Counters, Record, StorageError


def _copy(source, target, length=None):
    with open(source, "rb") as file:
        data = file.read()
    with open(target, "wb") as file:
        file.write(data if length is None else data[:length])
    return len(data)


def _store(record, text):
    record.store((text[:5], text[5:]))


def _load(record):
    file = record.open()
    if file is None:
        return None
    with file:
        return file.read(record.length)


def test_newest_generation_wins():
    record = Record("r")
    assert _load(record) is None
    for i in range(5):
        _store(record, b"value %d" % i)
        again = Record("r")
        assert _load(again) == b"value %d" % i
        assert not again.damaged


def test_cut_at_every_byte_keeps_one_of_both():
    # every prefix of the file being written, as a cut would leave it
    record = Record("r")
    for i in range(4):
        _store(record, b"generation %d" % i)
        newest = "r.a" if i % 2 == 0 else "r.b"
        length = _copy(newest, "whole")
        for cut in range(length + 1):
            _copy("whole", newest, cut)
            again = Record("r")
            try:
                got = _load(again)
            except StorageError:
                got = None
                assert i == 0  # nothing older was there
                assert cut < length
            if got is not None:
                expected = i if cut == length else i - 1
                assert got == b"generation %d" % expected, (i, cut)
                assert again.damaged == (cut < length)
        _copy("whole", newest)


def test_flipped_bits_are_noticed():
    record = Record("r")
    _store(record, b"12345678")
    _store(record, b"abcdefgh")
    with open("r.b", "rb") as file:
        good = file.read()
    for i in range(len(good)):
        for bit in range(8):
            bad = bytearray(good)
            bad[i] ^= 1 << bit
            with open("r.b", "wb") as file:
                file.write(bad)
            again = Record("r")
            assert _load(again) == b"12345678"


def test_longer_file_is_no_record():
    record = Record("r")
    _store(record, b"12345678")
    with open("r.a", "ab") as file:
        file.write(b"x" * 100)
    try:
        Record("r").open()
    except StorageError:
        return
    raise AssertionError("a file that is too long was taken")


def test_counters_never_repeat_over_restarts():
    seen = set()
    sequences = set()
    for life in range(20):
        counters = Counters("c")
        for _ in range(life * 37 % 300 + 1):
            number = counters.next_frame()
            assert number not in seen
            seen.add(number)
        for _ in range(life * 11 % 90):
            number = counters.next_sequence()
            assert number not in sequences
            sequences.add(number)
    assert min(seen) == 1


def test_counters_never_repeat_over_cuts_of_the_reservation():
    used = 0
    for cut in range(0, 22):
        counters = Counters("c")
        for _ in range(COUNTER_BLOCK + 3):
            number = counters.next_frame()
            assert number > used
            used = number
        # the reservation that would come next is cut short
        newest = counters._record._paths[counters._record._next]
        try:
            with open(newest, "rb") as file:
                old = file.read()
        except OSError:
            continue
        with open(newest, "wb") as file:
            file.write(old[:cut])


def test_spoilt_twin_steps_over_its_block():
    # the newer file rots after its numbers were used: the older one alone must not bring them back
    counters = Counters("c")
    for _ in range(2 * COUNTER_BLOCK):
        used = counters.next_frame()
    newest = counters._record._paths[1 - counters._record._next]
    with open(newest, "r+b") as file:
        file.write(b"\x00\x00")
    assert Counters("c").next_frame() > used


def test_a_full_file_system_gives_out_no_number():
    counters = Counters("c")
    store = counters._record.store

    def full(parts):
        raise OSError(28)

    counters._record.store = full
    for reserve in (counters.next_frame, counters.next_sequence):
        for _ in range(3):
            try:
                reserve()
            except OSError:
                continue
            raise AssertionError("a number that is not reserved was given out")
    counters._record.store = store
    assert counters.next_frame() == 1 and counters.next_sequence() == 1


def test_two_spoilt_counters_are_an_error():
    counters = Counters("c")
    for _ in range(2 * COUNTER_BLOCK):
        counters.next_frame()
    for path in ("c.a", "c.b"):
        with open(path, "wb") as file:
            file.write(b"rubbish" * 3)
    try:
        Counters("c")
    except StorageError:
        return
    raise AssertionError("counters began again")


def test_power_cut_in_the_very_first_reservation_needs_no_new_key():
    # a bouncing battery contact: the file is empty or half written, and there is no twin yet
    for cut in range(20):
        first = Counters("first%d" % cut)
        first.next_sequence()
        first.next_frame()
        used = first.sequence, first.frame
        path = "first%d" % cut
        remove(path + ".b")
        _copy(path + ".a", "whole")
        _copy("whole", path + ".a", cut)
        again = Counters(path)
        assert again.next_sequence() > used[0]
        assert again.next_frame() > used[1]
        last = again.frame
        assert Counters(path).next_frame() > last


def test_crc_is_the_common_one():
    assert crc32(b"123456789") == 0xCBF43926


def test_who_stores_without_having_read_does_not_write_over_the_newest():
    for older in (1, 2):
        record = Record("unread%d" % older)
        for i in range(older):
            _store(record, b"before %d" % i)
        again = Record("unread%d" % older)
        _store(again, b"and now")
        assert _load(Record("unread%d" % older)) == b"and now"
        with open("unread%d.%s" % (older, "ab"[older - 1]), "rb") as file:  # until the new one was whole, it stood
            assert file.read(8) == b"before %d" % (older - 1)


def test_the_last_frame_counter_is_the_last():
    # 32 bits are used up: nothing is sent any more, neither then nor after a start, spoilt twin or not
    record = Record("counters")
    record.store((pack("<II", 0xFFFFFFFF - 2 * COUNTER_BLOCK, 7),))
    counters = Counters("counters")
    given = []
    try:
        while True:
            given.append(counters.next_frame())
    except StorageError as error:
        assert "new key" in str(error)
    assert given == list(range(given[0], given[0] + len(given))) and len(given) == 2 * COUNTER_BLOCK
    assert given[-1] == 0xFFFFFFFF
    for twin in (None, "counters.a", "counters.b"):
        if twin:
            with open(twin, "rb") as file:
                whole = file.read()
            _copy(twin, twin, 9)
        again = Counters("counters")
        try:
            given.append(again.next_frame())
        except StorageError:
            pass
        if twin:
            with open(twin, "wb") as file:
                file.write(whole)
    assert len(given) == 2 * COUNTER_BLOCK


def test_event_sequences_go_round_and_frame_counters_do_not_notice():
    record = Record("counters")
    record.store((pack("<II", 500, 0xFFFFFFFE),))
    counters = Counters("counters")
    assert [counters.next_sequence() for _ in range(4)] == [0xFFFFFFFF, 0, 1, 2]
    assert Counters("counters").next_frame() == 501
    assert Counters("counters").next_sequence() > 2
