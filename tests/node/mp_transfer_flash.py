"""fieldelm.transfer and the flash: power cuts, a file system that is full, files that are worn."""

import os
import struct
from binascii import crc32

from fieldelm import frame, transfer
from mp_transfer import GET, PUT, _sequences, ask, commissioned, node_and_keeper, packed, restarted


def test_a_model_that_was_taken_is_not_taken_again_after_a_restart():
    node, keeper = commissioned()
    data = packed(node)
    told = [node]  # the gateway hears all but that it was taken
    keeper.loses = lambda number: told and told[0].transfer._result is not None
    keeper.hands_out = data
    gateway = node.board.gateway
    gateway.answers.append(gateway.command(PUT, 902, struct.pack("<IH", crc32(data), len(data))))
    node._next_status_ms = node.clock.now_ms()
    for _ in range(100):
        node.cycle()
        if node.transfer is not None and node.transfer._result is not None:
            break
    assert keeper.results == [] and node.watcher.state == "watching"
    node.watcher.commission()  # the machine was repaired
    for _ in range(5):
        node.cycle()
    again = told[0] = restarted(node)
    assert again.watcher.state == "commissioning"
    for _ in range(5):
        again.cycle()
    assert again.watcher.state == "commissioning", "what was forgotten is back"
    told.clear()
    for _ in range(60):
        again.cycle()
    assert keeper.results == ["taken"] and "incoming" not in os.listdir(".")


def test_flash_that_is_full_or_worn_ends_a_transfer_in_time_and_never_the_heartbeat():
    node, keeper = commissioned()
    data = packed(node)
    keeper.hands_out = data
    board = node.board
    gateway = board.gateway

    def told_in_two_days(code, arguments, spoil):
        gateway.answers.append(gateway.command(code, next(_sequences), arguments))
        node._next_status_ms = node.clock.now_ms()
        node.cycle()
        spoil()
        end = board.clock.ms + 2 * 86400000
        kinds = {frame.STATUS: 0, frame.MODEL: 0}
        while board.clock.ms < end:
            node.cycle()
            for kind, _, _, _ in gateway.heard:
                if kind in kinds:
                    kinds[kind] += 1
            gateway.heard.clear()
            board.radio.sent.clear()
        assert node.transfer.due_ms is None, kinds
        return kinds[frame.STATUS], kinds[frame.MODEL]

    def full():
        def append(data):
            raise OSError(28)

        node.transfer._append = append

    def spoilt():
        for twin in "ab":
            if "copy." + twin in os.listdir("."):
                with open("copy." + twin, "wb") as file:
                    file.write(bytes(100))

    found = told_in_two_days(PUT, struct.pack("<IH", crc32(data), len(data)), full)
    print("full:", found)
    assert found[0] > 150 and found[1] < 120, found
    found = told_in_two_days(GET, struct.pack("<IH", 0, 0), spoilt)
    print("spoilt:", found)
    assert found[0] > 150 and found[1] < 120, found


def test_a_model_that_cannot_be_read_to_its_end_leaves_the_node_with_its_own():
    node, keeper = commissioned()
    data = packed(node)
    before = list(node.watcher.model.weight)
    unpack = transfer.Unpacker.unpack

    def torn(unpacker, file):
        node.watcher.model.weight[0] *= 3
        transfer.Unpacker.unpack = unpack
        raise OSError(5)

    transfer.Unpacker.unpack = torn
    node.say = lambda kind, values: said.append((kind, list(node.watcher.model.weight)))
    said = []
    keeper.hands_out = data
    ask(node, PUT, struct.pack("<IH", crc32(data), len(data)))
    troubles = [weight for kind, weight in said if kind == "storage"]
    assert troubles == [before], troubles  # and no window is judged by half a model
    assert keeper.results == ["taken"] and node.watcher.state == "watching"


def test_a_file_that_cannot_be_read_does_not_keep_the_node_from_starting():
    with open("incoming", "wb") as file:
        file.write(b"FMI1" + bytes(30))

    def worn(path, mode="r"):
        raise OSError(5)

    transfer.open = worn
    try:
        node, _ = node_and_keeper()
    finally:
        del transfer.open
    assert node.transfer.due_ms is None and "incoming" not in os.listdir(".")


def test_a_file_of_which_power_was_cut_or_that_means_nothing_is_not_kept_for_ever():
    for rest in (b"", b"FMI1\x01", b"FMI0" + bytes(20), b"FMI1" + struct.pack("<IH", 1, 2) + b"more"):
        with open("incoming", "wb") as file:  # littlefs makes an empty one before the first byte is in it
            file.write(rest)
        node, _ = node_and_keeper()
        assert node.transfer.due_ms is None and "incoming" not in os.listdir("."), rest
