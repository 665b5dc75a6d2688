"""fieldelm node survey: a real node over the simulated air, walked down its power levels."""

import contextlib
import json
import threading

import pytest
from gateway_brokers import wait_for

from fieldelm_gateway import survey_cli
from fieldelm_gateway.config import read
from fieldelm_gateway.service import Gateway
from fieldelm_gateway.store import Store
from fieldelm_tools.air import AirOptions, AirServer, Propagation
from fieldelm_tools.cli import main
from fieldelm_tools.provision import provision
from fieldelm_tools.simnode import HEAP_WITH_CODE, SimNode


@pytest.fixture
def survey(tmp_path, capsys):
    """Survey a node so many metres away; the exit code and what was printed."""
    ends = []
    said: list[object] = []

    def run(metres: int, *options: str) -> tuple[int, str]:
        clear = Propagation(shadowing_db=0.0, fading_db=0.0)
        air = AirServer(AirOptions(conditions=clear, expect_nodes=1, expect_gateways=1, speed=600))
        air.start()
        ends.append(air.stop)
        config = tmp_path / "gateway.toml"
        database = tmp_path / "gateway.db"
        config.write_text(
            f'[database]\npath = "{database}"\n[mqtt]\nurl = "mqtt://127.0.0.1:9"\n[dashboard]\nenabled = false\n'
            f'[[radio]]\nkind = "air"\naddress = "{air.address}"\n'
        )
        known = read(config.read_text(), "test")
        made = provision(
            database,
            tmp_path / "nodes",
            "fan",
            gateway=known,
            sections={
                "options": {"air": air.address, "x": metres},
                "sense": {"period_s": 600},
                "link": {"heartbeat_s": 60},
            },
        )
        gateway = Gateway(known)
        gateway.start()
        ends.append(gateway.stop)
        node = SimNode(
            made.folder, made.config, said.append, heap=HEAP_WITH_CODE
        )  # how much it has is not the point here
        node.start()
        ends.append(node.stop)
        store = Store(database, read_only=True)
        try:
            wait_for(lambda: store.nodes()[0].card.output_power is not None, 15)
        except AssertionError:
            raise AssertionError(f"the node is not heard; it said {said}") from None
        store.close()
        capsys.readouterr()
        code = main(["node", "survey", "fan", "--config", str(config), *options])
        return code, capsys.readouterr().out

    yield run
    for end in reversed(ends):
        end()
    assert threading.active_count() < 20


def test_a_near_node_needs_little_power(survey):
    code, told = survey(100, "--levels", "14", "2", "--probes", "3", "--patience", "60", "--json")
    assert code == 0
    document = json.loads(told)
    assert document["installed_dbm"] == 14
    assert [level["dbm"] for level in document["levels"]] == [14, 2]
    strong, weak = document["levels"]
    assert strong["answered"] == strong["asked"] == 4
    assert strong["rssi_dbm"] - weak["rssi_dbm"] == pytest.approx(12, abs=1)
    assert weak["loss"] == 0
    assert weak["margin_db"] >= 10
    assert document["good_dbm"] == 2


def test_a_far_node_is_lost_at_low_power_and_comes_back_by_itself(survey):
    code, told = survey(4300, "--levels", "14", "2", "--probes", "2", "--patience", "8", "--json")
    assert code == 0
    strong, weak = json.loads(told)["levels"]
    assert strong["answered"] == strong["asked"]
    assert 0 <= strong["margin_db"] < 10
    assert weak["answered"] < weak["asked"] or weak["rssi_dbm"] > strong["rssi_dbm"] - 6
    assert json.loads(told)["good_dbm"] is None


def test_wrong_levels_are_refused(tmp_path, capsys):
    config = tmp_path / "gateway.toml"
    config.write_text(f'[database]\npath = "{tmp_path / "gateway.db"}"\n')
    assert main(["node", "survey", "fan", "--levels", "30", "--config", str(config)]) == 2
    assert "-9 to 22" in capsys.readouterr().err


def test_a_survey_that_is_ended_by_hand_leaves_the_node_with_the_power_it_had(bench, monkeypatch):
    node = bench.node()
    bench.hear(node.hello())
    config = bench.folder / "gateway.toml"
    config.write_text(f'[database]\npath = "{bench.path}"\n')

    def answer_then_stop(_seconds):
        bench.tick()
        bench.hear(node.response(node.open_command(bench.hear(node.status()))))  # it transmits with less now
        raise KeyboardInterrupt

    monkeypatch.setattr(survey_cli.time, "sleep", answer_then_stop)
    with contextlib.suppress(KeyboardInterrupt):
        main(["node", "survey", "fan", "--levels", "5", "--config", str(config)])
    assert bench.rows("SELECT arguments FROM command WHERE command = 'power' AND state = 'done'") == [('{"dbm": 5}',)]
    assert bench.rows("SELECT command, arguments FROM command WHERE state = 'waiting'") == [("power", '{"dbm": 14}')]
