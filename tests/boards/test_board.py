"""The simulated board on the air: radio, clock, battery, restarts."""

import json
import stat
import threading
import time

import pytest
from air_clients import Gateway, Node
from on_micropython import HERE, configuration, run

from fieldelm_tools import environment
from fieldelm_tools.air import AirOptions, AirServer, Propagation
from fieldelm_tools.simnode import SimNode

CLEAR = Propagation(shadowing_db=0.0, fading_db=0.0)


def board(folder, what, code=0, **options):
    (folder / "config.json").write_text(json.dumps(configuration(**options)))
    said = run("mp_exchange.py", what, cwd=folder, code=code)
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


@pytest.fixture
def air():
    with AirServer(AirOptions(conditions=CLEAR, expect_nodes=1)) as air:
        yield air


def test_an_exchange_with_a_gateway(tmp_path, air):
    gateway = Gateway(air.port)
    heard = []

    def answer():
        heard.append(gateway.uplink())
        time.sleep(0.2)
        gateway.reply(heard[0], b"answer")

    thread = threading.Thread(target=answer)
    thread.start()
    said = board(tmp_path, "exchange", air=air.address, x=60, y=80)
    thread.join()
    assert bytes.fromhex(heard[0]["data"]) == b"uplink"
    assert heard[0]["end_us"] == 1_000_000 + heard[0]["airtime_us"]
    sent, airtime, packet, silence = said
    assert airtime["us"] == heard[0]["airtime_us"] == 123_904
    assert sent["ticks_ms"] == sent["now_ms"] == 1123
    assert packet == {
        "kind": "heard",
        "text": "answer",
        "is_bytearray": True,
        "rssi": heard[0]["rssi"],
        "snr": 40,  # in quarter dB
        "ticks_ms": 2247,
        "valid_crc": True,
        "errors": 0,
        "now_ms": 2247,
    }
    assert silence["packet"] is None
    assert silence["now_ms"] == 2747


def test_a_damaged_frame_is_counted_and_the_rest_of_the_time_listened(tmp_path):
    with AirServer(AirOptions(conditions=CLEAR, expect_nodes=2, expect_gateways=2)) as air:
        gateways = [Gateway(air.port, name, x=10) for name in ("one", "two")]
        node = Node(air.port, "other", x=20)

        def disturb():
            for _ in range(2):
                node.send(bytes(19))
                for i, gateway in enumerate(gateways):
                    gateway.reply(gateway.uplink(), bytes(19), delay_us=1_000_000 + 100_000 * i)
                node.wait(node.wait(0) + 3_000_000)
            node.close()

        thread = threading.Thread(target=disturb)
        thread.start()
        said = board(tmp_path, "damaged", air=air.address)
        thread.join()
    assert said[0] == {"kind": "heard", "packet": None, "errors": 1, "now_ms": 3000}
    assert (said[1]["valid"], said[1]["length"], said[1]["errors"]) == (False, 19, 2)


def test_without_an_air_it_lives_alone_and_fast(tmp_path):
    started = time.monotonic()
    (said,) = board(tmp_path, "battery", battery={"capacity_mah": 1500})
    assert time.monotonic() - started < 5
    mv = said["mv"]
    assert len(mv) == 61
    assert mv == sorted(mv, reverse=True)
    # 60 days of 24 mAh and a little for sending: 1440 of 1500 mAh
    assert mv[0] == 3200
    assert mv[30] == pytest.approx(2540, abs=40)
    assert mv[60] < 2000
    assert 19 <= said["temperature_c"] <= 25


def test_configuration_of_the_radio(tmp_path):
    said = board(tmp_path, "configure")
    assert said[0]["us"] == 25_728
    assert "spreading factor must be 7..12, not 13" in said[1]["text"]


def test_identify_says_so(tmp_path):
    assert board(tmp_path, "identify") == [{"kind": "identify", "seconds": 30, "t_ms": 0}]


def test_reboot_asks_to_be_started_again(tmp_path):
    assert board(tmp_path, "reboot", code=64)[0]["cause"] == 1


def test_a_configuration_for_another_board_is_refused_before_it_joins_the_air(tmp_path):
    config = {
        "schema": 1,
        "board": "rpi_pico",
        "eui": "0200000000000001",
        "node_id": 7,
        "keys": {"0": "00" * 16},
        "options": {"air": "nowhere:1"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    said = run(str(environment.repository_root() / "device" / "main.py"), cwd=tmp_path, code=2)
    assert said == 'fieldelm: "board" is rpi_pico, but this is sim: run it with that board\'s firmware\n'


def test_an_air_that_goes_away_ends_the_node_with_one_line(tmp_path):
    air = AirServer(AirOptions(expect_nodes=1, speed=100))
    air.start()
    threading.Timer(1.0, air.stop).start()
    (tmp_path / "config.json").write_text(json.dumps(configuration(air=air.address)))
    said = run("mp_exchange.py", "for ever", cwd=tmp_path, code=1)
    assert said == f"fieldelm: the air at {air.address} is gone: it hung up\n"


def test_a_sim_node_restarts_in_the_same_moment_of_the_air(tmp_path):
    said = []
    with AirServer(AirOptions(conditions=CLEAR, expect_nodes=2)) as air:
        other = Node(air.port, "other")
        other.tell(op="wait", until_us=3_600_000_000)
        main = tmp_path / "main.py"
        text = (HERE / "mp_exchange.py").read_text().replace("sys.argv[1]", '"reboot"')
        main.write_text(text + 'print("plain text")\n')
        node = SimNode(tmp_path / "node", configuration(air=air.address), said.append, main=main)
        assert stat.S_IMODE((tmp_path / "node" / "config.json").stat().st_mode) == 0o600
        node.start()
        assert node.wait(20) == 0
        assert other.hear()["now_us"] == 3_600_000_000
    assert node.restarts == 1
    assert said == [
        {"kind": "cause", "cause": 1, "now_ms": 0},
        {"kind": "cause", "cause": 3, "now_ms": 0},
        {"kind": "again", "world_s": 5, "now_ms": 0},
        "plain text",
    ]


def test_a_sim_node_is_stopped(tmp_path):
    main = tmp_path / "main.py"
    main.write_text('import time\nprint(\'{"kind": "here"}\')\nwhile True:\n    time.sleep(1)\n')
    here = threading.Event()
    node = SimNode(tmp_path / "node", {}, lambda said: here.set() if said == {"kind": "here"} else None, main=main)
    node.start()
    assert here.wait(10)
    assert node.wait(0.1) is None
    node.stop()
    assert node.exit_code not in (None, 0)
    node.stop()  # again, which changes nothing


def test_the_real_node_says_hello(tmp_path, air):
    gateway = Gateway(air.port)
    said = []
    config = {
        "schema": 1,
        "board": "sim",
        "eui": "0200000000000001",
        "node_id": 7,
        "keys": {"0": "000102030405060708090a0b0c0d0e0f"},
        "console": "rows",
        "options": {"air": air.address, "x": 30},
    }
    node = SimNode(tmp_path / "node", config, said.append)
    node.start()
    try:
        hello = gateway.uplink()
        assert bytes.fromhex(hello["data"])[:3] == bytes([0x61, 7, 0]), said  # version 1, acknowledgement wanted, HELLO
        gateway.decline(hello)
    finally:
        node.stop()
    assert {"boot", "row"} <= {line["kind"] for line in said if isinstance(line, dict)}, said
