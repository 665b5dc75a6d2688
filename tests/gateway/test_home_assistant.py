"""Home Assistant: discovery held against its own schemas and templates, its birth, and nodes that are removed."""

import itertools
import json
import subprocess
import sys

import jinja2
import pytest
from gateway_brokers import wait_for
from home_assistant_schema import schemas

from fieldelm_gateway.requests import Request


@pytest.fixture
def told(bench):
    """A node with an alarm, and the messages about it."""
    node = bench.node("Fan 2 “north”")
    bench.request("describe", id="d", node=node.eui, shaft_rpm=1500, location="roof")
    bench.hear_all([node.hello(), node.alert(), node.status()])
    bench.tick(60_000)
    return bench, node


def _devices(bench):
    return [
        json.loads(text)
        for topic, text in bench.publisher._current.items()
        if topic.startswith("homeassistant/device/")
    ]


def test_messages_fit_home_assistant_s_own_schemas(told):
    bench, node = told
    devices = _devices(bench)
    assert [device["device"]["name"] for device in devices] == ["gateway", node.name]
    with schemas() as (device_schema, platforms):
        for device in devices:
            device_schema(device)
            shared = {key: device[key] for key in ("availability", "availability_mode", "qos") if key in device}
            for key, component in device["components"].items():
                given = {**shared, **component}
                given.pop("platform")
                accepted = platforms[component["platform"]](dict(given))
                assert given.keys() <= accepted.keys(), (
                    f"{key}: Home Assistant does not know {given.keys() - accepted.keys()}"
                )
        with pytest.raises(Exception, match="platform"):
            device_schema({**devices[1], "components": {"x": {"platform": "steam_engine"}}})
        with pytest.raises(Exception, match="device_class"):
            platforms["sensor"]({"state_topic": "a", "unique_id": "b", "device_class": "loudness"})


def test_every_entity_has_an_identity_of_its_own(told):
    bench, _ = told
    identities = [component["unique_id"] for device in _devices(bench) for component in device["components"].values()]
    assert len(set(identities)) == len(identities)
    for device in _devices(bench):
        assert all(component["name"] for component in device["components"].values())


_MS = itertools.count(1_800_000_000_123)  # no two presses in one millisecond, as with a finger


def _render(template, document=None, **more):
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.filters["tojson"] = json.dumps

    class Moment:
        def timestamp(self):
            return next(_MS) / 1000

    return environment.from_string(template).render(value_json=document, now=Moment, **more)


def test_values_are_read_from_the_documents_as_published(told):
    bench, node = told
    components = _devices(bench)[1]["components"]
    documents = {
        **bench.publisher._current,
        f"fieldelm/v1/gateway/node/{node.eui}/state": json.dumps(bench.outbox(f"{node.eui}/state")[-1]),
    }
    shown = {
        key: _render(component["value_template"], json.loads(documents[component["state_topic"]]))
        for key, component in components.items()
        if "value_template" in component
    }
    assert shown["alarm"] == "OFF", "a STATUS that says watching came after the event"
    assert (shown["state"], shown["score_ratio"], shown["rms_velocity"], shown["rms_g"]) == (
        "watching",
        "0.391",
        "1.8",
        "0.025",
    )
    assert (shown["last_event"], shown["mode"], shown["policy"]) == ("machine_alarm", "1", "auto")
    assert (shown["battery"], shown["temperature"], shown["rssi"], shown["snr"]) == ("2950", "21", "-97", "7.25")
    assert (shown["change_unconfirmed"], shown["service"], shown["heartbeat_s"]) == ("OFF", "OFF", "900")
    assert set(shown) >= {"last_seen", "sensor_fault", "window_period_s"}
    bench.hear(node.alert())
    alarm = components["alarm"]
    assert _render(alarm["value_template"], json.loads(bench.publisher._current[alarm["state_topic"]])) == "ON"
    gateway = _devices(bench)[0]["components"]
    health = bench.current("/health")
    assert _render(gateway["frames_dropped"]["value_template"], health) == "0"
    assert int(_render(gateway["queue"]["value_template"], health)) > 0
    assert _render(gateway["radio"]["value_template"], health) == "OFF"


def test_what_is_not_known_is_unknown_to_home_assistant(bench):
    node = bench.node()
    bench.hear_all([node.hello(), node.status(battery_mv=0, temperature_c=-128)])
    bench.tick()
    components = _devices(bench)[1]["components"]
    state = bench.outbox(f"{node.eui}/state")[-1]
    for key in ("battery", "temperature"):
        assert _render(components[key]["value_template"], state) == "None"
    alarm = bench.current(f"{node.eui}/alarm")
    assert _render(components["last_event"]["value_template"], alarm) == "None"
    assert _render(components["last_event"]["json_attributes_template"], alarm) == "{}"


def test_every_control_is_a_request_that_the_gateway_takes(told):
    bench, node = told
    bench.hear(node.alert())
    values = {
        "policy": "never",
        "heartbeat_s": 600.0,
        "window_period_s": 30.0,
        "service": "ON",
        "threshold_factor": 1.5,
    }
    pressed = []
    for key, component in _devices(bench)[1]["components"].items():
        if "command_topic" in component:
            payload = _render(component["command_template"], value=values.get(key, "PRESS"))
            bench.core.step([Request(component["command_topic"].rsplit("/", 1)[1], payload.encode())])
            pressed.append(key)
    assert len(pressed) == 14
    answers = [topic for (topic,) in bench.rows("SELECT payload FROM outbox WHERE topic LIKE '%response%'")]
    assert not [answer for answer in answers if '"error"' in answer]
    rows = bench.rows("SELECT who, via, action FROM maintenance WHERE who <> 'unknown'")
    assert {row[:2] for row in rows} == {("home assistant", "mqtt")}
    assert {row[2] for row in rows} == {
        *("acknowledge", "shelve", "confirm_change", "call_fault", "retrain", "commission"),
        *("identify", "reboot", "policy", "interval", "service", "threshold"),
    }


def test_announced_anew_when_the_node_is_called_otherwise(bench):
    node = bench.node()
    bench.hear(node.hello())
    bench.tick()
    bench.request("describe", id="1", node=node.eui, name="Pump", location="cellar")
    bench.tick()
    device = _devices(bench)[1]["device"]
    assert (device["name"], device["suggested_area"], device["sw_version"]) == ("Pump", "cellar", "0.1.0")


def test_discovery_can_be_left_to_another_gateway(make_bench):
    bench = make_bench(home_assistant={"discovery": False})
    node = bench.node()
    bench.hear(node.hello())
    bench.tick()
    assert _devices(bench) == []


def test_birth_brings_everything_again_and_removal_takes_it_away(world):
    world.broker.start()
    subscriber = world.subscribe(topics="#")
    node = world.node()
    world.start_gateway()
    topic = f"homeassistant/device/{node.eui}/config"
    world.modem.exchange(node.alert())
    world.modem.uplink(node.status())
    subscriber.wait_for(topic)
    subscriber.wait_for("homeassistant/device/fieldelm_hall/config")
    before = len(subscriber.of(topic))
    subscriber.publish("homeassistant/status", "online")
    wait_for(lambda: len(subscriber.of(topic)) > before)
    wait_for(lambda: len(subscriber.of(f"{node.eui}/alarm")) > 1)
    command = [sys.executable, "-m", "fieldelm_tools.cli", "node", "remove", node.name, "--config", str(world.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, "--yes" in done.stderr) == (2, True)
    done = subprocess.run([*command, "--yes"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    wait_for(lambda: subscriber.of(topic)[-1] == "")
    wait_for(lambda: subscriber.of("/nodes")[-1]["nodes"] == [])
    world.broker.stop()  # nor do they come back with the next connection
    world.broker.start()
    wait_for(lambda: world.gateway.said().count("MQTT: connected") == 2)
    late = world.subscribe(topics="#", name="late")
    wait_for(lambda: late.of("fieldelm_hall/config"))
    assert not [heard.topic for heard in late.heard if node.eui in heard.topic]
