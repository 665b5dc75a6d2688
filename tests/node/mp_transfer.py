"""fieldelm.transfer: a learner to a gateway that keeps it, and back onto a node that replaces the first."""

import gc
import os
import struct
from binascii import crc32

from bench import Board, configuration
from fieldelm import codes, frame, kernels
from fieldelm.model_codec import Packer
from fieldelm.node import Node
from keeper import Keeper

GET = codes.COMMANDS.index("model_get")
PUT = codes.COMMANDS.index("model_put")
_sequences = iter(range(1, 900))


def node_and_keeper():
    gc.collect()  # there is room for one node
    board = Board()
    keeper = Keeper(board.gateway)
    given = configuration()
    given["sense"].update({"period_s": 60})
    return Node(given, board), keeper


def restarted(node):
    """After a power cut."""
    given, board = node.config, node.board
    node.watcher = node.transfer = node.link = node.events = node._trace = None
    gc.collect()
    return Node(given, board)


def wipe():
    for name in os.listdir("."):
        os.remove(name)


def live(node):
    """One cycle. All that board and gateway would remember of it would lie all over the heap, and no node fit in between."""
    node.board.radio.sent.clear()
    node.board.gateway.heard.clear()
    node.cycle()


def commissioned():
    node, keeper = node_and_keeper()
    while node.watcher.state != "watching":
        live(node)
    return node, keeper


def ask(node, code, arguments, cycles=400):
    """Have a command answer the next frame, and live on until the transfer is over."""
    gateway = node.board.gateway
    gateway.answers.append(gateway.command(code, next(_sequences), arguments))
    node._next_status_ms = node.clock.now_ms()
    for _ in range(cycles):
        live(node)
        if not gateway.answers and (node.transfer is None or node.transfer.due_ms is None):
            return
    raise AssertionError("the transfer does not end")


def packed(node):
    return b"".join([bytes(part) for part in Packer(node.watcher)])


def test_a_gateway_gets_a_copy_and_a_new_node_goes_on_with_it():
    node, keeper = commissioned()
    ask(node, GET, struct.pack("<IH", 0, 0))
    assert len(keeper.data) == keeper.total <= 5120
    assert crc32(keeper.data) == keeper.name
    print(keeper.total, "bytes in", keeper.frames, "frames")
    sigma = node.watcher._threshold.calibrated_sigma
    del node
    wipe()
    fresh, other = node_and_keeper()
    other.hands_out = bytes(keeper.data)
    assert fresh.watcher.state == "commissioning"
    ask(fresh, PUT, struct.pack("<IH", keeper.name, keeper.total))
    assert other.results == ["taken"]
    assert fresh.watcher.state == "watching"
    assert abs(fresh.watcher._threshold.calibrated_sigma - sigma) < 1e-6
    assert "incoming" not in os.listdir(".")
    # and it is on flash: the next start goes on with it
    again = restarted(fresh)
    assert again.model_restored and again.watcher.state == "watching"


def test_lost_frames_only_take_time():
    node, keeper = commissioned()
    keeper.loses = lambda number: number % 7 in (1, 2, 3, 4)
    ask(node, GET, struct.pack("<IH", 0, 0), cycles=3000)
    assert len(keeper.data) == keeper.total and crc32(keeper.data) == keeper.name


def test_a_copy_that_was_cut_short_goes_on():
    node, keeper = commissioned()
    keeper.loses = lambda number: number > 5
    gateway = node.board.gateway
    gateway.answers.append(gateway.command(GET, 900, struct.pack("<IH", 0, 0)))
    node._next_status_ms = node.clock.now_ms()
    for _ in range(20):
        node.cycle()
    have, name = len(keeper.data), keeper.name
    assert 0 < have < keeper.total
    # power is cut; the gateway asks again for the rest of the same copy, though the model has changed since
    node = restarted(node)
    keeper.loses = lambda number: False
    frames = keeper.frames
    node.watcher.model.weight[0] *= 1.5
    ask(node, GET, struct.pack("<IH", name, have))
    assert keeper.name == name and len(keeper.data) == keeper.total and crc32(keeper.data) == name
    assert keeper.frames - frames < 30


def test_a_model_that_was_cut_short_on_its_way_down_goes_on_by_itself():
    node, keeper = commissioned()
    data = packed(node)
    del node, keeper
    wipe()
    fresh, other = node_and_keeper()
    other.hands_out = data
    other.loses = lambda number: number > 8
    gateway = fresh.board.gateway
    gateway.answers.append(gateway.command(PUT, 901, struct.pack("<IH", crc32(data), len(data))))
    for _ in range(30):
        fresh.cycle()
    assert os.stat("incoming")[6] > 1000
    again = restarted(fresh)
    first = other.frames
    other.loses = lambda number: False
    for _ in range(100):
        again.cycle()
    assert other.results == ["taken"] and again.watcher.state == "watching"
    assert other.frames - first < len(data) // 200 - 3


def test_a_model_of_another_kind_or_damaged_is_refused_and_the_node_keeps_its_own():
    node, keeper = commissioned()
    data = bytearray(packed(node))
    before = packed(node)
    sigma = node.watcher._threshold.calibrated_sigma
    data[5] ^= 1
    keeper.hands_out = bytes(data)
    ask(node, PUT, struct.pack("<IH", crc32(data), len(data)))
    assert keeper.results == ["refused"]
    keeper.hands_out = before[:-1] + b"?"  # the gateway's disk has changed it
    ask(node, PUT, struct.pack("<IH", crc32(before), len(before)))
    assert keeper.results == ["refused", "refused"]
    assert node.watcher.state == "watching" and abs(node.watcher._threshold.calibrated_sigma - sigma) < 1e-6


def test_a_model_that_flash_cannot_take_leaves_the_node_with_its_own_or_learning():
    node, keeper = commissioned()
    assert node._restore_model()
    data = packed(node)
    node.watcher.model.weight[0] *= 2
    other = packed(node)  # of the same kind
    assert other != data and node._restore_model()
    weight = node.watcher.model.weight[0]

    def full(parts):
        raise OSError(28)

    node._model.store = full
    keeper.hands_out = other
    ask(node, PUT, struct.pack("<IH", crc32(other), len(other)))
    assert keeper.results == ["refused"]
    assert node.watcher.state == "watching" and abs(node.watcher.model.weight[0] - weight) < 0.2 * weight
    del node
    wipe()
    fresh, keeper = node_and_keeper()
    for _ in range(5):
        fresh.cycle()
    fresh._model.store = full
    keeper.hands_out = data
    ask(fresh, PUT, struct.pack("<IH", crc32(data), len(data)))
    assert keeper.results == ["refused"] and fresh.watcher.state == "commissioning"
    del fresh._model.store
    while fresh.watcher.state == "commissioning":
        fresh.cycle()
    assert fresh.watcher.state == "watching"


def test_nothing_learned_nothing_sent():
    node, keeper = node_and_keeper()
    ask(node, GET, struct.pack("<IH", 0, 0))
    assert keeper.frames == 0
    results = [payload[4] for kind, _, payload, _ in node.board.gateway.heard if kind == frame.RESPONSE]
    assert results == [codes.RESULTS.index("not_now")]


def test_airtime_of_a_transfer_leaves_room_for_alarms():
    node, keeper = commissioned()
    node.link.duty.limit_us = 3600000  # 0.1 % of an hour, at 0.1 s a frame
    gateway = node.board.gateway
    gateway.answers.append(gateway.command(GET, 902, struct.pack("<IH", 0, 0)))
    for _ in range(40):
        node.cycle()
    assert node.link.duty.used_us(node.clock.now_ms()) <= 2700000
    assert keeper.total is None or len(keeper.data) < keeper.total


def test_file_of_any_bytes_is_no_transfer():
    for content in (b"", b"x", b"FMI1", b"FMI1" + bytes(20), b"nonsense that is longer than a head"):
        with open("incoming", "wb") as file:
            file.write(content)
        node, _ = node_and_keeper()
        node.cycle()
        node = None


def whole(keeper):
    return len(keeper.data) == keeper.total and crc32(keeper.data) == keeper.name


def test_a_copy_is_given_at_the_first_asking_after_a_restart():
    node, keeper = commissioned()
    for _ in range(3):
        keeper.data[:] = b""
        ask(node, GET, struct.pack("<IH", 0, 0))
        assert whole(keeper)
        node = restarted(node)


def test_a_node_that_is_never_idle_gives_its_copy_all_the_same():
    node, keeper = commissioned()
    node.link.duty.limit_us = None
    node.period_ms = 100  # less than an exchange takes
    ask(node, GET, struct.pack("<IH", 0, 0))
    assert whole(keeper)


def test_a_command_that_answers_a_fragment_begins_anew():
    node, keeper = commissioned()
    answer = keeper.answer

    def asks_again(gateway, header, payload):
        if keeper.frames != 4:
            return answer(gateway, header, payload)
        keeper.data[:] = b""
        node.watcher.model.weight[0] *= 1.5
        return gateway.command(GET, 903, struct.pack("<IH", 0, 0))(gateway, header, payload)

    keeper.answer = asks_again
    ask(node, GET, struct.pack("<IH", 0, 0))
    assert whole(keeper) and keeper.frames > 20


def test_a_command_that_answers_the_result_is_not_forgotten_with_it():
    node, keeper = commissioned()
    first = packed(node)
    node.watcher.model.weight[0] *= 1.5
    second, weight = packed(node), node.watcher.model.weight[0]
    answer = keeper.answer

    def asks_for_another(gateway, header, payload):
        got = answer(gateway, header, payload)
        if keeper.results == ["taken"] and keeper.hands_out is first:
            keeper.hands_out = second
            put = struct.pack("<IH", crc32(second), len(second))
            return gateway.command(PUT, 904, put)(gateway, header, payload)
        return got

    keeper.answer = asks_for_another
    keeper.hands_out = first
    ask(node, PUT, struct.pack("<IH", crc32(first), len(first)))
    assert keeper.results == ["taken", "taken"]
    assert abs(node.watcher.model.weight[0] / weight - 1) < 1e-3


def spoilt(data):
    """A model whose header the kernels do not take: by another firmware, or damaged on a gateway."""
    data = bytearray(data)
    at = data.index(struct.pack("<HH", 64, 22), 20) if kernels.NAME == "native" else 0
    data[at] ^= 1
    return bytes(data)


def test_what_the_kernels_do_not_take_for_a_model_is_refused_and_the_nodes_own_stays():
    node, keeper = commissioned()
    before = list(node.watcher.model.weight)
    keeper.hands_out = spoilt(packed(node))
    ask(node, PUT, struct.pack("<IH", crc32(keeper.hands_out), len(keeper.hands_out)))
    assert keeper.results == ["refused"]
    live(node)
    assert node.watcher.state == "watching" and list(node.watcher.model.weight) == before
    again = restarted(node)
    live(again)
    assert again.model_restored and again.watcher.state == "watching"


def test_a_stored_model_that_the_kernels_do_not_take_is_learned_anew():
    node, _ = commissioned()
    if kernels.NAME != "native":
        return  # in Python any numbers are a model
    node.watcher.model.buffers()[0][0] ^= 1
    node.save_model()
    again = restarted(node)
    assert not again.model_restored and again.watcher.state == "commissioning"
    while again.watcher.state != "watching":
        live(again)
