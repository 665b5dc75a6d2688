"""A model from one real node to the gateway and on to another one, over the simulated air with losses."""

import json

import pytest
from gateway_brokers import wait_for

from fieldelm_gateway.config import read
from fieldelm_gateway.service import Gateway
from fieldelm_gateway.store import Store
from fieldelm_tools.air import AirOptions, AirServer, Propagation
from fieldelm_tools.cli import main
from fieldelm_tools.provision import provision
from fieldelm_tools.simnode import HEAP_WITH_CODE, SimNode


@pytest.fixture
def plant(tmp_path):
    """A gateway and two nodes on the same machine: `old` has learned it, `new` would need a day."""
    air = AirServer(AirOptions(conditions=Propagation(loss=0.2, seed=3), expect_nodes=2, expect_gateways=1, speed=1500))
    air.start()
    ends = [air.stop]
    config = tmp_path / "gateway.toml"
    config.write_text(
        f'[database]\npath = "{tmp_path / "gateway.db"}"\n[mqtt]\nurl = "mqtt://127.0.0.1:9"\n[dashboard]\nenabled = false\n'
        f'[[radio]]\nkind = "air"\naddress = "{air.address}"\n'
    )
    known = read(config.read_text(), "test")
    said = {}
    nodes = []
    for name, rows in (("old", 16), ("new", 5000)):
        made = provision(
            tmp_path / "gateway.db",
            tmp_path / "nodes",
            name,
            gateway=known,
            sections={
                "options": {"air": air.address, "x": 50},
                "sense": {"period_s": 30},
                "learn": {"train_rows": rows, "calibration_rows": 16},
                "link": {"heartbeat_s": 60},
            },
        )
        said[name] = []
        nodes.append(SimNode(made.folder, made.config, said[name].append, heap=HEAP_WITH_CODE))
    gateway = Gateway(known)
    gateway.start()
    ends.append(gateway.stop)
    for node in nodes:
        node.start()
        ends.append(node.stop)
    yield config, said
    for end in reversed(ends):
        end()


def test_a_model_goes_from_the_old_node_to_the_new_one(plant, capsys):
    config, said = plant
    where = ["--config", str(config)]
    store = Store(read(config.read_text(), "test").database_path(), read_only=True)

    def state(name: str) -> str | None:
        text = next(node for node in store.nodes() if node.name == name).status_document
        return json.loads(text)["state"] if text else None

    wait_for(lambda: state("old") == "watching", 60, str(said["old"][-3:]))
    wait_for(lambda: state("new") == "commissioning", 60, str(said["new"][-3:]))
    assert main(["node", "model", "fetch", "old", "--wait", "60", *where]) == 0, capsys.readouterr()
    assert "is here" in capsys.readouterr().out
    assert main(["node", "model", "put", "new", "--of", "old", "--wait", "60", *where]) == 0, capsys.readouterr()
    assert "new has taken over what old had learned" in capsys.readouterr().out
    wait_for(lambda: state("new") == "watching", 60, str(said["new"][-3:]))
    model = store.models()[0]
    assert model.complete and model.total <= 5120
    store.close()
