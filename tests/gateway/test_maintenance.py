"""What people do about alarms: acknowledged, shelved, commented, put into service; told everywhere, with who and when."""

import json
import subprocess
import sys

import pytest
from gateway_brokers import wait_for

from fieldelm_gateway.alarm import Alarm, dump, load


def _alarm(bench, node):
    return bench.current(f"{node.eui}/alarm")


def test_an_alarm_comes_with_its_event_and_goes_with_the_one_that_ends_it(bench):
    node = bench.node()
    bench.hear(node.hello())
    assert _alarm(bench, node)["active"] is False
    bench.hear(node.alert())
    alarm = _alarm(bench, node)
    assert (alarm["active"], alarm["shown"], alarm["event"]) == (True, True, f"{node.eui}-{node.key_check}-1")
    assert alarm["score_ratio"] == 2.5
    assert alarm["bands"][0]["low_hz"] == 121.0
    for event in ("environment_changed", "battery_low", "sensor_fault"):
        bench.hear(node.alert(event))
        assert _alarm(bench, node)["active"], event
        assert _alarm(bench, node)["last_event"]["type"] == event
    bench.hear(node.alert("alarm_cleared"))
    assert _alarm(bench, node)["active"] is False


def test_events_that_come_late_do_not_bring_an_old_alarm_back(bench):
    node = bench.node()
    bench.hear(node.alert("alarm_cleared", sequence=8))
    bench.hear(node.alert("machine_alarm", sequence=7))
    assert _alarm(bench, node)["active"] is False
    assert _alarm(bench, node)["last_event"]["type"] == "alarm_cleared"
    bench.hear(node.alert("machine_alarm", sequence=9))
    assert _alarm(bench, node)["active"]


def test_a_status_settles_what_a_lost_event_would_have_told(bench):
    node = bench.node()
    bench.hear(node.status(state=3, score_ratio=512))
    alarm = _alarm(bench, node)
    assert (alarm["active"], alarm["event"], alarm["score_ratio"]) == (True, None, 2.0)
    bench.hear(node.status(state=1, waiting_events=1))
    assert _alarm(bench, node)["active"], "the node has more to say"
    bench.hear(node.status(state=1))
    assert not _alarm(bench, node)["active"]
    older = node.status(state=3)
    bench.hear(node.alert())
    bench.hear(node.alert("alarm_cleared"))
    bench.hear(older)
    assert not _alarm(bench, node)["active"], "an older frame changes nothing"


def test_acknowledged_with_who_and_when_until_the_next_alarm(bench):
    node = bench.node()
    bench.hear(node.alert())
    bench.request("acknowledge", id="1", node=node.name, by="Ada", comment="bearing ordered")
    alarm = _alarm(bench, node)
    assert alarm["acknowledged"] == {"by": "Ada", "time": "2026-01-01T00:00:00.000Z", "comment": "bearing ordered"}
    assert alarm["comment"]["comment"] == "bearing ordered"
    assert alarm["active"]
    (answer,) = bench.outbox("/response/acknowledge")
    assert (answer["id"], answer["status"], answer["name"]) == ("1", "ok", "fan")
    (told,) = bench.outbox(f"{node.eui}/maintenance")
    assert (told["action"], told["by"], told["via"], told["event"]) == ("acknowledge", "Ada", "mqtt", alarm["event"])
    assert told["detail"] == {"comment": "bearing ordered"}
    bench.restart()
    bench.tick()
    assert _alarm(bench, node)["acknowledged"]["by"] == "Ada", "it outlasts a restart"
    bench.hear(node.alert())
    assert _alarm(bench, node)["acknowledged"] is None


def test_shelved_it_is_hidden_for_its_time(bench):
    node = bench.node()
    bench.hear(node.alert())
    bench.request("shelve", id="1", node=node.name, by="Ada", minutes=60)
    alarm = _alarm(bench, node)
    assert (alarm["active"], alarm["shown"], alarm["shelved"]["until"]) == (True, False, "2026-01-01T01:00:00.000Z")
    bench.hear(node.alert())
    assert _alarm(bench, node)["shown"] is False, "another event does not show it"
    bench.tick(3_599_000)
    assert _alarm(bench, node)["shown"] is False
    bench.tick(1000)
    assert (_alarm(bench, node)["shown"], _alarm(bench, node)["shelved"]) == (True, None)
    bench.request("shelve", id="2", node=node.name)
    bench.request("shelve", id="3", node=node.name, minutes=0)
    assert _alarm(bench, node)["shown"] is True


def test_service_hides_the_alarm_at_once_and_rests_the_node_when_it_speaks(bench):
    node = bench.node()
    bench.hear(node.alert())
    bench.request("service", id="1", node=node.name, by="Ada", minutes=30)
    assert (_alarm(bench, node)["shown"], _alarm(bench, node)["service"]["by"]) == (False, "Ada")
    command = node.open_command(bench.hear(node.status(state=3)))
    assert (command["name"], command["arguments"]) == ("service", {"minutes": 30})
    bench.hear(node.response(command))
    bench.tick(30 * 60_000)
    assert (_alarm(bench, node)["shown"], _alarm(bench, node)["service"]) == (True, None)


def test_described_it_has_another_name_everywhere_and_bands_in_orders(bench):
    node, other = bench.node(), bench.node("pump")
    bench.hear(node.hello())
    bench.request("describe", id="1", node=node.eui, name="Fan 7", location="roof", shaft_rpm=1500)
    bench.hear(node.alert())
    (event,) = bench.outbox("/event")
    assert (event["name"], event["location"]) == ("Fan 7", "roof")
    assert event["bands"][0]["orders"] == [4.84, 5.24]
    bench.tick()
    card = next(card for card in bench.current("/nodes")["nodes"] if card["eui"] == node.eui)
    assert (card["name"], card["shaft_hz"]) == ("Fan 7", 25.0)
    bench.request("describe", id="2", node="Fan 7", name="pump")
    bench.request("describe", id="3", node="Fan 7", shaft_rpm=None)
    answers = bench.outbox("/response/describe")
    assert [answer["status"] for answer in answers] == ["ok", "error", "ok"]
    bench.restart()
    bench.tick()
    assert {node.name for node in bench.core.state.rows.values()} == {"Fan 7", other.name}


@pytest.mark.parametrize(
    ("command", "wrong", "word"),
    [
        ("acknowledge", {}, "no alarm"),
        ("comment", {}, "comment must"),
        ("comment", {"comment": "x" * 501}, "at most 500"),
        ("shelve", {"minutes": -1}, "minutes"),
        ("shelve", {"minutes": 1.5}, "minutes"),
        ("shelve", {"hours": 1}, "does not know 'hours'"),
        ("describe", {}, "needs"),
        ("describe", {"name": ""}, "name"),
        ("describe", {"name": "a\nb"}, "name"),
        ("describe", {"location": 7}, "location"),
        ("describe", {"shaft_rpm": 0}, "shaft_rpm"),
        ("describe", {"shaft_rpm": "fast"}, "shaft_rpm"),
        ("comment", {"comment": "x", "by": 7}, "by must"),
    ],
)
def test_what_cannot_be_done_is_answered_with_a_sentence(bench, command, wrong, word):
    node = bench.node()
    bench.request(command, id="1", node=node.name, **wrong)
    (answer,) = bench.outbox(f"/response/{command}")
    assert answer["status"] == "error"
    assert word in answer["message"]
    assert bench.rows("SELECT count(*) FROM maintenance") == [(0,)]


def test_a_request_that_comes_twice_counts_once(bench):
    node = bench.node()
    for _ in range(2):
        bench.request("comment", id="1", node=node.name, comment="x")
    bench.restart()
    bench.request("comment", id="1", node=node.name, comment="x")
    assert bench.rows("SELECT count(*) FROM maintenance") == [(1,)]
    bench.request("shelve", id="1", node=node.name)
    assert "another request" in bench.outbox("/response/shelve")[0]["message"]


def test_commands_for_the_node_are_written_down_as_well(bench):
    node = bench.node()
    bench.request("retrain", id="1", node=node.name, by="Ada")
    bench.request("policy", id="2", node=node.name, policy="ask")
    rows = bench.rows("SELECT who, via, action FROM maintenance ORDER BY id")
    assert rows == [("Ada", "mqtt", "retrain"), ("unknown", "mqtt", "policy")]
    assert json.loads(bench.rows("SELECT document FROM maintenance")[1][0])["detail"] == {"policy": "ask"}


def test_a_gateway_that_only_listens_answers_nothing(make_bench):
    bench = make_bench(gateway={"answers": False})
    node = bench.node()
    assert bench.hear_all([node.hello(), node.alert(), node.status(ack=True, state=3)]) == [None] * 3
    assert len(bench.outbox("/event")) == 1
    bench.request("retrain", id="1", node=node.name)
    assert "only listens" in bench.outbox("/response/retrain")[0]["message"]
    bench.request("acknowledge", id="2", node=node.name)
    assert bench.outbox("/response/acknowledge")[0]["status"] == "ok"


def test_what_is_stored_of_an_alarm_is_what_was(bench):
    node = bench.node()
    bench.hear(node.alert())
    bench.request("acknowledge", id="1", node=node.name, by="Ada", comment="ü")
    bench.request("shelve", id="2", node=node.name)
    alarm = bench.core.state.rows[1].alarm
    assert load(dump(alarm)) == alarm
    assert load(None) == Alarm()


def _fieldelm(world, *words):
    command = [sys.executable, "-m", "fieldelm_tools.cli", "node", *words, "--config", str(world.config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_from_the_command_line(world):
    world.broker.start()
    subscriber = world.subscribe()
    node = world.node()
    done = _fieldelm(world, "describe", node.name, "--location", "hall 3", "--shaft-rpm", "1480")
    assert (done.returncode, "waits until the gateway runs" in done.stdout) == (0, True)
    world.start_gateway()
    world.modem.exchange(node.alert())
    done = _fieldelm(world, "acknowledge", node.name, "--comment", "seen", "--by", "Ada")
    assert (done.returncode, done.stdout) == (0, f"{node.name}: acknowledge: done\n"), done.stderr
    told = subscriber.wait_for("/maintenance", 2)
    assert [(one["action"], one["via"]) for one in told] == [
        ("describe", "command line"),
        ("acknowledge", "command line"),
    ]
    assert (told[1]["by"], told[1]["location"]) == ("Ada", "hall 3")
    assert subscriber.of(f"{node.eui}/alarm")[-1]["acknowledged"]["by"] == "Ada"
    refused = _fieldelm(world, "describe", node.name, "--name", "x" * 65)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "1 to 64 printable characters" in refused.stderr
    done = _fieldelm(world, "service", node.name, "--minutes", "5", "--by", "Ada")
    assert done.returncode == 0
    assert subscriber.wait_for("/maintenance", 3)[2]["action"] == "service"
    wait_for(lambda: (subscriber.of(f"{node.eui}/alarm")[-1]["service"] or {}).get("by") == "Ada")


def test_a_node_that_another_gateway_made_is_added_and_both_give_its_event_one_id(tmp_path, make_mosquitto):
    from gateway_world import World

    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    broker = make_mosquitto("persistence true")
    worlds = [World(folder, broker) for folder in folders]
    try:
        broker.start()
        subscriber = worlds[0].subscribe(topics="#")
        node = worlds[0].node()
        text = worlds[1].config.read_text().replace('name = "hall"', 'name = "yard"\nnumber = 2\nanswers = false')
        worlds[1].config.write_text(text + "[home_assistant]\ndiscovery = false\n")
        file = folders[0] / "nodes" / "fan" / "config.json"
        done = _fieldelm(worlds[1], "add", str(file), "--location", "roof")
        assert done.returncode == 0, done.stderr
        for world in worlds:
            world.start_gateway()
        data = node.alert()
        tokens = [world.modem.uplink(data) for world in worlds]
        assert node.open(worlds[0].modem.answer(tokens[0]))[0]
        subscriber.wait_for("/event", 2)
        events = {
            heard.topic.split("/")[2]: heard.payload["id"]
            for heard in subscriber.heard
            if heard.topic.endswith("/event")
        }
        assert set(events) == {"hall", "yard"}
        assert len(set(events.values())) == 1
        subscriber.wait_for(f"device/{node.eui}/config")
        assert len(subscriber.of(f"device/{node.eui}/config")) == 1
        assert "fieldelm/v1/hall/" in json.dumps(subscriber.of(f"device/{node.eui}/config"))
        assert tokens[1] not in worlds[1].modem.sent, "only one of them answers"
    finally:
        for world in worlds:
            world.close()


@pytest.mark.parametrize(
    ("command", "given", "words"),
    [
        ("comment", {"comment": "\ud800"}, "half a character"),
        ("acknowledge", {"comment": "x\udfff"}, "half a character"),
        ("describe", {"shaft_rpm": 10**400}, "from 1 to 600000"),
        ("describe", {"shaft_rpm": float("nan")}, "from 1 to 600000"),
    ],
)
def test_what_no_text_or_number_can_hold_is_refused_and_the_gateway_goes_on(bench, command, given, words):
    node = bench.node()
    bench.hear(node.alert())
    bench.request(command, id="1", node="fan", **given)
    answer = bench.outbox(f"/response/{command}")[-1]
    assert answer["status"] == "error"
    assert words in answer["message"]
    assert bench.hear(node.alert()) is not None


def test_a_request_whose_name_no_topic_can_hold_is_answered_on_another(bench):
    bench.node()
    for name in ("a/+", "#", "a\0b", "\ud800", "x" * 70_000, ""):
        bench.request(name, id="1", node="fan")
    assert {topic for (topic,) in bench.rows("SELECT topic FROM outbox")} == {"fieldelm/v1/gateway/response/unknown"}
    assert len(bench.outbox("/unknown")) == 6
