"""Two gateway processes that hear the same node, on one Mosquitto."""

import pytest
from gateway_brokers import wait_for
from gateway_world import World

from fieldelm import frame
from fieldelm_tools.cli import main


@pytest.fixture
def annex(world, tmp_path):
    """A second gateway on the first one's broker: it listens and publishes, and leaves answers and discovery to the first."""
    folder = tmp_path / "annex"
    folder.mkdir()
    annex = World(folder, world.broker)
    text = annex.config.read_text().replace('name = "hall"', 'name = "annex"\nnumber = 2\nanswers = false')
    annex.config.write_text(f"{text}\n[home_assistant]\ndiscovery = false\n")
    yield annex
    annex.close()


def carry_keys(here, there, folder):
    (folder / "passphrase").write_text("what both of them know\n")
    (folder / "passphrase").chmod(0o600)
    for action, gateway in (("export-keys", here), ("import-keys", there)):
        secret = ["--passphrase-file", str(folder / "passphrase")]
        assert main(["gateway", action, str(folder / "keys.json"), *secret, "--config", str(gateway.config)]) == 0


def test_both_tell_an_event_under_one_id_and_one_of_them_answers_and_announces(world, annex, tmp_path):
    world.broker.start()
    subscriber = world.subscribe(topics="#")
    node = world.node()
    carry_keys(world, annex, tmp_path)
    world.start_gateway()
    annex.start_gateway()
    tokens = []
    for speak in (node.hello, node.alert, node.status, node.alert):
        data = speak()
        token = world.modem.uplink(data)
        tokens.append(annex.modem.uplink(data))
        if frame.parse(data, frame.UPLINK).kind != frame.STATUS:
            assert node.open(world.modem.answer(token), gateway=1)[0] == frame.ACK
    for name in ("hall", "annex"):
        events = subscriber.wait_for(f"{name}/node/{node.eui}/event", 2)
        assert [event["id"] for event in events] == [f"{node.eui}-{node.key_check}-{i}" for i in (1, 2)]
        subscriber.wait_for(f"{name}/node/{node.eui}/state")
    wait_for(lambda: [heard for heard in subscriber.heard if heard.topic.startswith("homeassistant/device/")])
    announced = [heard for heard in subscriber.heard if heard.topic.startswith("homeassistant/") and heard.payload]
    assert announced and all("/annex/" not in str(heard.payload) for heard in announced)
    assert not [token for token in tokens if token in annex.modem.sent]
