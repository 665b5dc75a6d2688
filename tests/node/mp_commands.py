"""Commands on a whole node: what they change, what they answer, and what a power cut leaves of them."""

import gc
from binascii import hexlify, unhexlify

from bench import KEY, Board, Reboot, configuration, silence

from fieldelm import codes, frame, payloads
from fieldelm.ccm import Ccm
from fieldelm.link import Link
from fieldelm.node import Node
from fieldelm.storage import Counters, Record

_NEW_KEY = bytes(range(100, 116))
_TRAIN = 24
_CALIBRATE = 12


def _config():
    config = configuration()
    config["sense"]["samples"] = 256
    config["sense"]["bands"] = 70
    config["learn"]["hidden"] = 8
    config["learn"]["train_rows"] = _TRAIN
    config["learn"]["calibration_rows"] = _CALIBRATE
    return config


def _node(board=None, windows=3):
    board = board or Board()
    node = Node(_config(), board)
    end = board.sensor.windows + windows
    while board.sensor.windows < end:
        node.cycle()
    return board, node


def _queue(board, node, name, values, sequence):
    table = payloads.ARGUMENTS[name]
    arguments = bytearray(payloads.size(table))
    payloads.pack_into(table, arguments, 0, values)
    node._next_status_ms = board.clock.ms
    board.gateway.answers = [board.gateway.command(codes.COMMANDS.index(name), sequence, bytes(arguments))]


def _responses(board):
    return [payload for kind, _, payload, _ in board.gateway.heard if kind == frame.RESPONSE]


def _tell(board, node, name, values, sequence):
    # (result, the answer's data)
    _queue(board, node, name, values, sequence)
    node.talk()
    head = payloads.unpack(payloads.RESPONSE, _responses(board)[-1])
    assert head["command_sequence"] == sequence and codes.COMMANDS[head["command"]] == name, head
    return codes.RESULTS[head["result"]], _responses(board)[-1][payloads.size(payloads.RESPONSE) :]


def _key(name):
    for number in range(1, len(payloads.CONFIG_KEYS)):
        if payloads.config_key(number) == name:
            return number
    raise KeyError(name)


def test_threshold_factor_moves_the_margin_and_outlasts_restart_and_retraining():
    board, node = _node(windows=_TRAIN + _CALIBRATE + 5)
    limit = node.watcher._threshold
    before = limit.margin
    assert _tell(board, node, "threshold", {"factor": 512}, 1)[0] == "ok"
    assert abs(limit.margin - 2 * before) < 1e-5 * before
    assert _tell(board, node, "threshold", {"factor": 63}, 2)[0] == "bad_arguments"
    assert _tell(board, node, "threshold", {"factor": 1025}, 3)[0] == "bad_arguments"
    node.save_model()
    again = Node(_config(), board)
    assert again.model_restored and abs(again.watcher._threshold.margin - limit.margin) < 1e-4 * limit.margin
    _, again = _node(board)
    assert again.watcher._threshold.factor == 2
    again.watcher.retrain()
    assert again.watcher._threshold.factor == 2
    hello = [payload for kind, _, payload, _ in board.gateway.heard if kind == frame.HELLO][-1]
    assert payloads.unpack(payloads.HELLO, hello)["threshold_factor"] == 512


def _cut_after(name, relearned=False):
    # the node as it starts when power is cut behind the answer to a command
    board, node = _node(windows=_TRAIN + _CALIBRATE + 5)
    watcher = node.watcher
    assert watcher.state == "watching"
    if relearned:
        watcher.snapshot.keep()
        watcher.change_unconfirmed = True
        node.save_model()
    sequence = codes.COMMANDS.index(name)
    assert _tell(board, node, name, {}, sequence)[0] == "ok"
    again = Node(_config(), board)
    # the gateway did not hear the answer
    board.clock.sleep_ms(10000)
    again._hello_due_ms = None
    again.events.postpone(again.events.due(board.clock.ms), board.clock.ms + 100000)
    assert _tell(board, again, name, {}, sequence)[0] == "ok"
    return board, again


def test_what_was_answered_is_done_even_if_power_is_cut_behind_the_answer():
    _, node = _cut_after("call_fault", relearned=True)
    watcher = node.watcher
    assert node.model_restored and watcher.state == "alarm"
    assert not watcher.change_unconfirmed and not watcher.snapshot.has_old


def test_confirmation_outlasts_a_power_cut_behind_the_answer():
    _, node = _cut_after("confirm_change", relearned=True)
    watcher = node.watcher
    assert node.model_restored and watcher.state == "watching"
    assert not watcher.change_unconfirmed and not watcher.snapshot.has_old


def test_what_was_to_be_forgotten_does_not_return_with_a_power_cut():
    for name in ("commission", "retrain"):
        board, node = _cut_after(name)
        assert not node.model_restored and node.watcher.state == "commissioning", name
        for _ in range(3):
            node.cycle()
        node = Node(_config(), board)
        assert not node.model_restored and node.watcher.state == "commissioning", name


def test_every_key_of_the_configuration_is_read_set_and_kept():
    board, node = _node()
    wanted = {
        "link.heartbeat_s": 1200,
        "sense.period_s": 30,
        "learn.policy": 2,
        "learn.threshold_factor": 384,
        "radio.output_power": 7,
        "link.tag_bytes": 8,
        "link.battery_low_mv": 2500,
        "console": codes.CONSOLES.index("off"),
    }
    assert len(wanted) == len(payloads.CONFIG_KEYS) - 1
    sequence = 0
    for name in wanted:
        if name == "link.tag_bytes":
            continue  # the bench's gateway opens four bytes only
        sequence += 1
        given = {"key": _key(name), "value": wanted[name]}
        result, data = _tell(board, node, "config_set", given, sequence)
        assert result == "ok" and payloads.unpack(payloads.ANSWERS["config_set"], data) == given, name
    assert node.settings.set({_key("link.tag_bytes"): 8}) == "ok" and node.link.tag_bytes == 8
    assert board.radio.configured == {"output_power": 7}
    again = Node(_config(), board)
    for name in wanted:
        assert again.settings.get(_key(name)) == wanted[name], name
    assert again.period_ms == 30000 and again.heartbeat_ms == 1200000 and again.link.tag_bytes == 8
    assert again.watcher.policy == "never" and board.radio.configured == {"output_power": 7}


def test_config_get_reads_what_is_in_force():
    board, node = _node()
    result, data = _tell(board, node, "config_get", {"key": _key("link.heartbeat_s")}, 1)
    assert result == "ok"
    assert payloads.unpack(payloads.ANSWERS["config_get"], data) == {"key": _key("link.heartbeat_s"), "value": 900}
    for number in (0, len(payloads.CONFIG_KEYS), 255):
        assert _tell(board, node, "config_get", {"key": number}, 100 + number) == ("bad_arguments", b"")


def test_values_out_of_range_change_nothing():
    board, node = _node()
    wrong = (
        ("link.heartbeat_s", 9),
        ("link.heartbeat_s", 65536),
        ("sense.period_s", 0),
        ("learn.policy", 3),
        ("learn.policy", -1),
        ("learn.threshold_factor", 2000),
        ("radio.output_power", 23),
        ("radio.output_power", 15),  # 25 mW on this channel
        ("link.tag_bytes", 6),
        ("link.battery_low_mv", -1),
        ("console", 3),
    )
    before = [node.settings.get(number) for number in range(1, len(payloads.CONFIG_KEYS))]
    for i, (name, value) in enumerate(wrong):
        assert _tell(board, node, "config_set", {"key": _key(name), "value": value}, 1 + i)[0] == "bad_arguments", name
    assert _tell(board, node, "config_set", {"key": 0, "value": 1}, 50)[0] == "bad_arguments"
    assert [node.settings.get(number) for number in range(1, len(payloads.CONFIG_KEYS))] == before


def test_settings_of_older_firmware_are_taken_over_and_of_newer_in_part():
    Record("settings").store((b"\x01\x1e\x00\x2c\x01",))  # policy ask, 30 s, 300 s
    node = Node(_config(), Board())
    assert (node.watcher.policy, node.period_ms, node.heartbeat_ms) == ("ask", 30000, 300000)
    assert node.settings.set({_key("link.battery_low_mv"): 2000}) == "ok"
    record = Record("settings")
    with record.open() as file:
        stored = file.read(record.length)
    longer = bytearray(stored) + b"\x07\x00\x00\x00"
    longer[1] += 1
    record.store((longer,))
    node = None
    gc.collect()
    node = Node(_config(), Board())
    assert node.watcher.policy == "ask" and node.config["link"]["battery_low_mv"] == 2000
    record.store((b"\x91" + bytes(20),))
    node = None
    gc.collect()
    assert Node(_config(), Board()).watcher.policy == "auto"


def test_power_is_set_by_command():
    board, node = _node()
    assert _tell(board, node, "power", {"dbm": 2}, 1)[0] == "ok"
    assert board.radio.configured == {"output_power": 2}
    assert _tell(board, node, "power", {"dbm": 30}, 2)[0] == "bad_arguments"
    assert node.config["radio"]["output_power"] == 14  # what it falls back to


def test_trace_follows_the_answer():
    board, node = _node(windows=_TRAIN + _CALIBRATE + 5)
    for kind, name in enumerate(codes.TRACES):
        board.gateway.heard.clear()
        assert _tell(board, node, "trace", {"trace": kind}, 300 + kind)[0] == "ok"
        node.talk()
        frames = [payload for k, _, payload, _ in board.gateway.heard if k == frame.TRACE]
        heads = [payloads.unpack(payloads.TRACE, payload) for payload in frames]
        assert [(head["first"], head["total"]) for head in heads] == [(0, 70), (64, 70)]
        assert all([head["trace"] == kind and head["trace_id"] == 300 + kind & 0xFF for head in heads])
        values = []
        for head, payload in zip(heads, frames):
            for byte in payload[payloads.size(payloads.TRACE) :]:
                values.append((head["low"] + head["step"] * byte) / 100)
        assert len(values) == 70
        w = node.watcher
        for i in range(70):
            if name == "bands":
                meant = 8.685889638 * (w.features.level(i, w.features.x[i])) - 72.2472  # 1/4096 g a count
                assert abs(values[i] - meant) <= 0.26, (i, values[i], meant)
            else:
                meant = w.model.e[i] * w.model.weight[i] ** 0.5
                assert abs(values[i] - meant) <= 0.13 or abs(meant) > 30, (i, values[i], meant)
    assert _tell(board, node, "trace", {"trace": 2}, 400)[0] == "bad_arguments"


def test_trace_is_refused_while_nothing_is_known():
    board, node = _node(windows=1)
    assert _tell(board, node, "trace", {"trace": 1}, 1)[0] == "not_now"


def _new_gateway(board):
    board.gateway.cipher = Ccm(_NEW_KEY)


def test_rotated_key_answers_under_the_old_then_speaks_under_the_new():
    board, node = _node()
    old = board.gateway.cipher
    _queue(board, node, "rotate_key", {"slot": 1, "new_key": _NEW_KEY}, 9)
    node.talk()
    assert payloads.unpack(payloads.RESPONSE, _responses(board)[-1])["result"] == 0  # the bench opened it: the old key
    last = board.gateway.heard[-1]
    assert last[3][0] >> 4 & 1 == 0 and board.gateway.cipher is old
    _new_gateway(board)
    node._next_status_ms = board.clock.ms
    node.talk()
    assert board.gateway.heard[-1][3][0] >> 4 & 1 == 1
    assert board.gateway.heard[-1][1] == last[1] + 1  # counters go on, so no nonce of either key comes again
    _, again = _node(board)
    assert (again.link.key_id, again.link.keys.key) == (1, _NEW_KEY)
    link = Link(_config(), board.radio, board.clock, Counters("counters"))  # as safe mode does
    assert link.keys.key == _NEW_KEY
    for name in ("config.json", "settings.a", "commands.a", "commands.b"):
        try:
            with open(name, "rb") as file:
                assert hexlify(_NEW_KEY) not in file.read() and _NEW_KEY not in file.read(), name
        except OSError:
            pass
    # and back into the other slot
    again._next_status_ms = board.clock.ms
    _queue(board, again, "rotate_key", {"slot": 0, "new_key": bytes(16)}, 10)
    again.talk()
    assert (again.link.key_id, again.link.keys.key) == (0, bytes(16))


def test_a_radio_that_fails_behind_a_rotation_does_not_hold_it_up():
    board, node = _node()
    _queue(board, node, "rotate_key", {"slot": 1, "new_key": _NEW_KEY}, 9)
    command = board.gateway.answers[0]

    def then_fail(gateway, header, payload):
        board.radio.broken = True
        return command(gateway, header, payload)

    board.gateway.answers = [then_fail]
    node.talk()
    assert node.link.keys.key == _NEW_KEY and node.link.key_id == 1


def test_rotation_is_idempotent_and_never_overwrites_the_key_in_use():
    board, node = _node()
    assert _tell(board, node, "rotate_key", {"slot": 0, "new_key": _NEW_KEY}, 1)[0] == "bad_arguments"
    assert _tell(board, node, "rotate_key", {"slot": 2, "new_key": _NEW_KEY}, 2)[0] == "bad_arguments"
    assert node.link.keys.key == unhexlify(KEY)
    assert _tell(board, node, "rotate_key", {"slot": 0, "new_key": unhexlify(KEY)}, 3)[0] == "ok"
    assert node.link.keys.key == unhexlify(KEY) and node.link.key_id == 0
    # the answer is lost and the command comes again under the old key: answered, nothing stored twice
    _queue(board, node, "rotate_key", {"slot": 1, "new_key": _NEW_KEY}, 4)
    board.gateway.answers += [silence, silence, silence]
    node.talk()
    assert node.link.key_id == 1


def test_power_cut_at_every_write_of_a_rotation_leaves_one_of_both_keys():
    import os

    old = unhexlify(KEY)
    found = set()
    for bytes_written in range(0, 90):
        for name in ("keys.a", "keys.b"):
            try:
                os.remove(name)
            except OSError:
                pass
        board = Board()
        link = Link(_config(), board.radio, board.clock, Counters("counters"))
        # what is in the files when power fails after so many bytes of the two copies
        link.keys.rotate(1, _NEW_KEY)
        left = bytes_written
        for name in ("keys.a", "keys.b"):
            with open(name, "rb") as file:
                whole = file.read()
            if left <= 0:
                os.remove(name)
            elif left < len(whole):
                with open(name, "wb") as file:
                    file.write(whole[:left])
            left -= len(whole)
        again = Link(_config(), board.radio, board.clock, Counters("counters"))
        assert (again.key_id, again.keys.key) in ((0, old), (1, _NEW_KEY)), bytes_written
        found.add(again.key_id)
    assert found == {0, 1}


def test_board_provisioned_anew_does_not_go_on_with_the_rotated_key():
    board, node = _node()
    node.link.keys.rotate(1, _NEW_KEY)
    config = _config()
    config["keys"] = {"0": "ff" * 16}
    assert Link(config, board.radio, board.clock, node.counters).keys.key == b"\xff" * 16
    config = _config()
    config["eui"] = "0200000000000009"
    assert Link(config, board.radio, board.clock, node.counters).keys.key == unhexlify(KEY)


def test_a_value_that_flash_cannot_keep_is_not_in_force_either():
    board, node = _node()
    number = _key("link.heartbeat_s")
    before = node.settings.get(number)

    def full(parts):
        raise OSError(28)

    node.settings._record.store = full
    assert _tell(board, node, "config_set", {"key": number, "value": 600}, 1)[0] == "failed"
    assert node.settings.get(number) == before and node.heartbeat_ms == 1000 * before
    assert not node.settings.is_set("link.heartbeat_s")
    del node.settings._record.store
    assert _tell(board, node, "config_set", {"key": number, "value": 600}, 2)[0] == "ok"
    assert node.settings.get(number) == 600 and node.heartbeat_ms == 600000


def test_reboot_is_done_even_if_the_radio_fails_while_it_is_answered():
    board, node = _node()
    _queue(board, node, "reboot", {}, 4)
    command = board.gateway.answers[0]

    def breaks(gateway, header, payload):
        board.radio.broken = True
        return command(gateway, header, payload)

    board.gateway.answers = [breaks]
    try:
        node.talk()
    except Reboot:
        pass
    else:
        raise AssertionError("it goes on, and would answer the same command again with ok")
    board.radio.broken = False
    board, node = _node(board)
    assert _tell(board, node, "reboot", {}, 4) == ("ok", b"")  # the gateway has not heard: no second restart
