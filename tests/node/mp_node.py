"""fieldelm.node: a whole node on a bench of clock, sensor and radio, with the real watcher and the real codec."""

import gc

from bench import Board, Reboot, configuration, silence

from fieldelm import codes, frame, payloads
from fieldelm.node import Node
from fieldelm.reports import q8_8

_TRAIN = 24
_CALIBRATE = 12


def _config(**link):
    config = configuration()
    config["sense"]["samples"] = 128
    config["sense"]["bands"] = 16
    config["learn"]["hidden"] = 8
    config["learn"]["train_rows"] = _TRAIN
    config["learn"]["calibration_rows"] = _CALIBRATE
    for key in link:
        config["link"][key] = link[key]
    return config


def _node(board=None, **link):
    board = board or Board()
    return board, Node(_config(**link), board)


def _run(node, windows):
    end = node.board.sensor.windows + windows
    while node.board.sensor.windows < end:
        node.cycle()


def _heard(board, kind):
    return [payload for k, _, payload, _ in board.gateway.heard if k == kind]


def _events(board):
    return [codes.EVENTS[payloads.unpack(payloads.ALERT, p)["event"]] for p in _heard(board, frame.ALERT)]


def _last_status(board):
    return payloads.unpack(payloads.STATUS, _heard(board, frame.STATUS)[-1])


def test_first_hour():
    board, node = _node()
    _run(node, _TRAIN + _CALIBRATE + 20)
    assert board.gateway.heard[0][0] == frame.HELLO
    hello = payloads.unpack(payloads.HELLO, board.gateway.heard[0][2])
    assert hello["bands"] == 16 and hello["heartbeat_s"] == 900 and hello["band_high_dhz"] > hello["band_low_dhz"]
    assert _events(board) == ["boot", "commissioned"], _events(board)
    for _, _, _, data in board.gateway.heard:
        if data[0] & 15 == frame.ALERT:
            assert len(data) == 19
    status = _last_status(board)
    assert codes.STATES[status["state"]] == "watching"
    assert _TRAIN // 2 < status["learned_rows"] <= _TRAIN
    assert status["battery_mv"] == 3000 and status["temperature_c"] == 21
    assert 0 < status["rms_g"] < 10000
    counters = [counter for _, counter, _, _ in board.gateway.heard]
    assert counters == sorted(set(counters))


def test_heartbeat_is_kept_and_quiet_windows_send_nothing():
    board, node = _node()
    _run(node, _TRAIN + _CALIBRATE + 20)
    before = len(board.gateway.heard)
    started = board.clock.ms
    _run(node, 120)
    hours = (board.clock.ms - started) / 3600000
    beats = board.gateway.heard[before:]
    assert {kind for kind, _, _, _ in beats} == {frame.STATUS}
    assert abs(len(beats) - hours * 4) <= 1, (len(beats), hours)


def test_gateway_away_for_an_hour_loses_no_event():
    board, node = _node()
    board.gateway.answers = [silence] * 60
    _run(node, _TRAIN + _CALIBRATE + 150)
    assert not board.gateway.answers
    sequences = {}
    for p in _heard(board, frame.ALERT):
        values = payloads.unpack(payloads.ALERT, p)
        sequences.setdefault(codes.EVENTS[values["event"]], set()).add(values["sequence"])
    assert len(sequences["boot"]) == 1 and len(sequences["commissioned"]) == 1
    assert len(node.events) == 0 and node.events.lost == 0


def test_age_tells_when_it_happened():
    board, node = _node()
    board.gateway.answers = [silence] * 9  # HELLO, the first alert and its resend
    _run(node, 6)
    ages = [payloads.unpack(payloads.ALERT, p)["age_s"] for p in _heard(board, frame.ALERT)]
    assert ages[0] <= 15 and ages[-1] > ages[0], ages


def test_commands_change_the_node():
    board, node = _node()
    _run(node, _TRAIN + _CALIBRATE + 5)
    gateway = board.gateway

    def tell(name, arguments, sequence):
        node._next_status_ms = board.clock.ms
        gateway.answers = [gateway.command(codes.COMMANDS.index(name), sequence, arguments)]
        node.talk()
        values = payloads.unpack(payloads.RESPONSE, _heard(board, frame.RESPONSE)[-1])
        assert values["command_sequence"] == sequence and values["gateway"] == 1
        assert codes.COMMANDS[values["command"]] == name
        return codes.RESULTS[values["result"]]

    assert tell("identify", b"\x07", 1) == "ok"
    assert board.identified == [7]
    assert tell("policy", b"\x01", 2) == "ok" and node.watcher.policy == "ask"
    assert tell("policy", b"\x09", 3) == "bad_arguments" and node.watcher.policy == "ask"
    assert tell("policy", b"", 4) == "bad_arguments"
    assert tell("interval", b"\x1e\x00\x2c\x01", 5) == "ok"
    assert node.period_ms == 30000 and node.heartbeat_ms == 300000
    assert tell("interval", b"\x00\x00\x01\x00", 6) == "bad_arguments"
    assert node.heartbeat_ms == 300000
    assert tell("retrain", b"", 7) == "ok"
    assert node.watcher.state in ("commissioning", "relearning")
    # settings outlast a restart
    again = Node(_config(), board)
    assert again.watcher.policy == "ask" and again.period_ms == 30000 and again.heartbeat_ms == 300000


def test_service_rests_the_node_for_its_time():
    board, node = _node()
    _run(node, _TRAIN + _CALIBRATE + 5)
    service = codes.COMMANDS.index("service")
    node._next_status_ms = board.clock.ms
    board.gateway.answers = [board.gateway.command(service, 1, b"\x0a\x00")]
    node.talk()
    assert payloads.unpack(payloads.RESPONSE, _heard(board, frame.RESPONSE)[-1])["result"] == 0
    rows = board.sensor.windows
    started = board.clock.ms
    while board.clock.ms < started + 590000:
        node.cycle()
    assert board.sensor.windows == rows and node.state() == "service"
    state = codes.STATES[_last_status(board)["state"]]
    assert state == "service"
    while board.clock.ms < started + 900000:
        node.cycle()
    assert board.sensor.windows > rows and node.state() == "watching"
    state = codes.STATES[_last_status(board)["state"]]
    assert state == "watching"


def test_maintenance_commands_reach_the_watcher():
    board, node = _node()
    _run(node, _TRAIN + _CALIBRATE + 5)
    results = {}
    for sequence, name in enumerate(("confirm_change", "call_fault", "commission"), 1):
        node._next_status_ms = board.clock.ms
        board.gateway.answers = [board.gateway.command(codes.COMMANDS.index(name), sequence, b"")]
        node.talk()
        results[name] = codes.RESULTS[payloads.unpack(payloads.RESPONSE, _heard(board, frame.RESPONSE)[-1])["result"]]
    assert results == {"confirm_change": "not_now", "call_fault": "not_now", "commission": "ok"}
    assert node.watcher.state == "commissioning"
    before = len(_heard(board, frame.ALERT))
    _run(node, _TRAIN + _CALIBRATE + 5)
    events = _events(board)[before:]
    assert "commissioned" in events


def test_command_that_comes_again_is_answered_not_repeated():
    board, node = _node()
    _run(node, 3)
    gateway = board.gateway
    identify = codes.COMMANDS.index("identify")
    # the response is lost three times, so the gateway sends the command again with the next status
    node._next_status_ms = board.clock.ms
    gateway.answers = [gateway.command(identify, 77, b"\x03"), silence, silence, silence]
    node.talk()
    node._next_status_ms = board.clock.ms
    gateway.answers = [gateway.command(identify, 77, b"\x03")]
    node.talk()
    assert board.identified == [3]
    again = Node(_config(), board)  # nor after a restart
    again._hello_due_ms = None
    board.clock.sleep_ms(10000)
    gateway.answers = [silence, silence, silence, gateway.command(identify, 77, b"\x03")]
    again.talk()
    assert board.identified == [3]
    assert payloads.unpack(payloads.RESPONSE, _heard(board, frame.RESPONSE)[-1])["result"] == 0


def test_unknown_and_mutilated_commands():
    board, node = _node()
    _run(node, 3)
    gateway = board.gateway
    for code in (0, 200, 255):
        node._next_status_ms = board.clock.ms
        gateway.answers = [gateway.command(code, 1000 + code, b"whatever")]
        node.talk()
        values = payloads.unpack(payloads.RESPONSE, _heard(board, frame.RESPONSE)[-1])
        assert codes.RESULTS[values["result"]] == "unknown_command"
    answered = len(_heard(board, frame.RESPONSE))
    node._next_status_ms = board.clock.ms
    gateway.answers = [lambda g, h, p: g.seal(h, frame.COMMAND, b"\x01")]  # authentic, but too short
    node.talk()
    assert len(_heard(board, frame.RESPONSE)) == answered


def test_several_commands_follow_each_other():
    board, node = _node()
    _run(node, 3)
    gateway = board.gateway
    identify = codes.COMMANDS.index("identify")
    node._next_status_ms = board.clock.ms
    gateway.answers = [gateway.command(identify, n, bytes([n])) for n in (1, 2, 3)]
    node.talk()
    assert board.identified == [1, 2, 3]


def test_reboot_answers_first_and_goes_on_watching():
    board, node = _node()
    _run(node, _TRAIN + _CALIBRATE + 5)
    learned = node.watcher.learned_rows
    gateway = board.gateway
    node._next_status_ms = board.clock.ms
    gateway.answers = [gateway.command(codes.COMMANDS.index("reboot"), 5)]
    try:
        node.talk()
    except Reboot:
        pass
    else:
        raise AssertionError("did not reboot")
    assert len(_heard(board, frame.RESPONSE)) == 1
    last = gateway.heard[-1][1]
    again = Node(_config(), board)
    assert again.model_restored and again.watcher.state == "watching"
    assert again.watcher.learned_rows == learned
    for mine, his in zip(again.watcher.save(), node.watcher.save()):
        assert bytes(mine) == bytes(his)
    again.cycle()
    again.cycle()
    hello = [entry for entry in gateway.heard if entry[0] == frame.HELLO][-1]
    assert hello[1] > last
    assert payloads.unpack(payloads.HELLO, hello[2])["model_restored"] == 1


def test_other_configuration_does_not_take_the_old_model():
    board, node = _node()
    _run(node, _TRAIN + _CALIBRATE + 5)
    config = _config()
    config["sense"]["bands"] = 20
    again = Node(config, board)
    assert not again.model_restored and again.watcher.state == "commissioning"


def test_silent_sensor_is_a_sensor_fault_not_a_machine_fault():
    board, node = _node()
    _run(node, _TRAIN + _CALIBRATE + 5)
    board.sensor.silent = True
    end = board.clock.ms + 20 * 60000
    while board.clock.ms < end:
        node.cycle()
    assert "sensor_fault" in _events(board) and "machine_alarm" not in _events(board), _events(board)
    node._next_status_ms = board.clock.ms
    node.talk()
    status = _last_status(board)
    assert codes.STATES[status["state"]] == "sensor_fault" and codes.SENSOR_FAULTS[status["sensor_fault"]] == "dead"
    board.sensor.silent = False
    _run(node, 20)
    assert "sensor_ok" in _events(board)
    assert node.watcher.state == "watching"


def test_broken_radio_loses_nothing():
    board, node = _node()
    board.radio.broken = True
    _run(node, _TRAIN + _CALIBRATE + 5)
    assert not board.gateway.heard
    board.radio.broken = False
    _run(node, 5)
    assert sorted(_events(board)) == ["boot", "commissioned"]


def test_sensor_that_was_silent_at_start_is_in_the_hello():
    board = Board()
    board.reports_fault = "dead"
    board.sensor.silent = True
    board, node = _node(board)
    node.cycle()
    node.cycle()
    hello = payloads.unpack(payloads.HELLO, _heard(board, frame.HELLO)[0])
    assert codes.SENSOR_FAULTS[hello["reports_fault"]] == "dead"
    board.sensor.silent = False
    _run(node, 1)
    node._hello_due_ms = board.clock.ms
    node.talk()
    assert payloads.unpack(payloads.HELLO, _heard(board, frame.HELLO)[-1])["reports_fault"] == 0


def test_full_file_system_loses_events_but_never_a_nonce():
    from fieldelm.storage import Record

    def full(record, parts):
        if record is airtime:  # it was not, when the reservation was last due
            return store(record, parts)
        raise OSError(28)

    board, node = _node()
    _run(node, _TRAIN)
    airtime = node.link.duty._record
    store = Record.store
    Record.store = full
    ceiling = node.counters._frame_ceiling
    try:
        _run(node, _CALIBRATE + 5)
        assert node.watcher.state == "watching"
        node._next_status_ms = board.clock.ms
        board.gateway.answers = [board.gateway.command(codes.COMMANDS.index("policy"), 3, b"\x01")]
        node.talk()
        assert (
            codes.RESULTS[payloads.unpack(payloads.RESPONSE, _heard(board, frame.RESPONSE)[-1])["result"]] == "failed"
        )
        node.counters.frame = ceiling - 2  # as if some days had gone by
        _run(node, 60)
        assert node.counters.frame == ceiling
        sent = len(board.gateway.heard)
        _run(node, 60)
        assert len(board.gateway.heard) == sent
    finally:
        Record.store = store
    _run(node, 40)
    assert len(board.gateway.heard) > sent
    assert Node(_config(), board).model_restored  # what could not be stored then is stored now


def test_airtime_that_cannot_be_reserved_is_not_used():
    board, node = _node()
    _run(node, 5)
    reserve = node.link.duty._reserve

    def full(now_ms, airtime_us):
        raise OSError(28)

    node.link.duty._reserve = full
    for _ in range(10):
        node._queue("sensor_fault")
        _run(node, 3)
    assert node.link.duty.used_us(board.clock.ms) <= node.link.duty._reserved
    waiting = len(node.events)
    assert waiting
    node.link.duty._reserve = reserve
    _run(node, 5)
    assert len(node.events) == 0


def test_battery_low_once():
    board, node = _node()
    _run(node, 2)
    board.battery = 2300
    _run(node, 5)
    board.battery = 2420  # within the hysteresis
    _run(node, 5)
    board.battery = 2300
    _run(node, 5)
    assert _events(board).count("battery_low") == 1


def test_spoilt_settings_and_model_do_not_stop_the_node():
    board, node = _node()
    _run(node, _TRAIN + _CALIBRATE + 5)
    for name in ("settings.a", "settings.b", "model.a", "model.b", "commands.a", "commands.b"):
        with open(name, "wb") as file:
            file.write(b"rubbish")
    again = Node(_config(), board)
    assert not again.model_restored
    _run(again, 3)


def test_ratio_as_fixed_point():
    assert q8_8(0) == 0 and q8_8(1.5) == 384 and q8_8(1e9) == 0xFFFF and q8_8(float("nan")) == 0xFFFF and q8_8(-1) == 0


def test_days_do_not_grow_the_heap():
    board, node = _node()
    _run(node, _TRAIN + _CALIBRATE + 60)
    board.gateway.heard.clear()
    board.radio.sent.clear()
    gc.collect()
    before = gc.mem_alloc()
    for _ in range(10):
        _run(node, 60)
        board.gateway.heard.clear()
        board.radio.sent.clear()
    gc.collect()
    assert gc.mem_alloc() - before < 1024, gc.mem_alloc() - before


def test_a_day_without_a_downlink_brings_a_hello():
    board, node = _node(heartbeat_s=3600)
    _run(node, 5)
    hellos = len(_heard(board, frame.HELLO))
    end = board.clock.ms + 3 * 86400000
    while board.clock.ms < end:
        board.clock.ms += 1800000
        node.talk()
    assert len(_heard(board, frame.HELLO)) - hellos in (2, 3), len(_heard(board, frame.HELLO)) - hellos


def test_a_hint_that_more_waits_brings_a_status():
    board, node = _node()
    _run(node, 5)
    gateway = board.gateway
    statuses = len(_heard(board, frame.STATUS))
    gateway.answers = [lambda g, h, p: g.seal(h, frame.ACK, b"\x01")]
    node._queue("relearned")
    node.talk()
    _run(node, 3)
    assert len(_heard(board, frame.STATUS)) > statuses


def test_sensor_of_another_kind_is_refused_in_one_line():
    board = Board()
    board.sensor.kind = "spectrum"
    try:
        _node(board)
    except ValueError as error:
        assert "waveform" in str(error) and "spectrum" in str(error)
    else:
        raise AssertionError("a sensor of another kind was taken")
