"""What a newcomer who types `fieldelm demo` relies on, read from what it leaves behind."""

import html.parser
import json
import re
import sqlite3

import pytest
from demo_runs import play

ALERT, HEALTHY, HURT = 2, (0, 2), 1


def types(node):
    return [event["type"] for event in node["events"]]


def test_story_unfolds_faster_than_real(simulated):
    assert simulated.code == 0, simulated.stdout + simulated.stderr
    figures = simulated.figures
    assert figures["ok"]
    assert figures["missing"] == []
    assert len(figures["nodes"]) == 3
    assert figures["simulated_s"] > 4 * 3600
    assert figures["speed"] == pytest.approx(figures["simulated_s"] / figures["wall_s"], rel=0.01)
    assert figures["speed"] > 10


def test_every_node_notices_the_move_and_relearns_on_the_spot(simulated):
    for node in simulated.figures["nodes"]:
        assert types(node)[:4] == ["boot", "commissioned", "environment_changed", "relearned"]
        moved = next(p["start_s"] for p in node["phases"] if p["kind"] == "noisy")
        times = {event["type"]: event["time_s"] for event in node["events"]}
        assert times["commissioned"] < moved < times["environment_changed"] < times["relearned"]


def test_only_the_damaged_machine_alarms_and_after_the_damage(simulated):
    nodes = simulated.figures["nodes"]
    alarm = next(event for event in nodes[HURT]["events"] if event["type"] == "machine_alarm")
    assert alarm["severity"] == "alarm"
    assert alarm["time_s"] > nodes[HURT]["damaged_s"]
    assert alarm["score_ratio"] > 1
    for i in HEALTHY:
        assert "machine_alarm" not in types(nodes[i])


def test_every_alert_is_19_bytes_on_the_air(simulated):
    frames = [bytes.fromhex(t["data"]) for t in simulated.lines("air.jsonl") if t["direction"] == "up"]
    alerts = [frame for frame in frames if frame[0] & 15 == ALERT]
    assert len(alerts) >= 13
    assert {len(frame) for frame in alerts} == {19}


def test_every_event_has_one_id_and_one_content(simulated):
    content = {}
    for event in simulated.events:
        assert re.fullmatch(r"[0-9a-f]{16}-[0-9a-f]{4}-\d+", event["id"])
        assert content.setdefault(event["id"], event) == event
    born = [row for row in simulated.lines("rows.jsonl") if row["kind"] == "event"]
    assert len(content) == len(born)


def test_events_say_what_the_contract_promises(simulated):
    promised = "schema id type event_time received_time clock severity verdict score_ratio bands mode rssi snr counter"
    for event in simulated.events:
        assert {*promised.split(), "lost_before", "delayed"} <= set(event)
        assert event["event_time"] <= event["received_time"]
        assert event["severity"] == {"machine_alarm": "alarm", "environment_changed": "warning"}.get(
            event["type"], event["severity"]
        )


def test_latecomer_finds_states_and_no_event(simulated):
    retained = {m["topic"]: m["payload"] for m in simulated.lines("events.jsonl") if m["retained"]}
    base = "fieldelm/v1/demo"
    assert retained[f"{base}/state"] == {"schema": 1, "state": "online"}
    assert len(retained[f"{base}/nodes"]["nodes"]) == 3
    for node in simulated.figures["nodes"]:
        assert retained[f"{base}/node/{node['eui']}/availability"] == "online"
        assert retained[f"{base}/node/{node['eui']}/state"]["name"] == node["asset"]
    assert not [topic for topic in retained if topic.endswith("/event")]


def test_operators_command_is_answered_by_the_node(simulated):
    command = simulated.figures["command"]
    assert command["response"]["status"] == "ok"
    assert command["response"]["id"] == command["request"]["id"]
    hurt = simulated.figures["nodes"][HURT]["eui"]
    blinked = [row for row in simulated.lines("rows.jsonl") if row["kind"] == "identify"]
    assert [row["node"] for row in blinked] == [hurt]
    assert blinked[0]["seconds"] == command["request"]["seconds"]


def test_every_line_of_the_subscriber_has_its_four_keys(simulated):
    for message in simulated.lines("events.jsonl"):
        assert set(message) == {"topic", "payload", "retained", "time"}
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", message["time"])
        if isinstance(message["payload"], dict) and not message["topic"].startswith("homeassistant/"):
            assert isinstance(message["payload"].get("schema", 1), int)


def test_database_has_the_same_events_and_nothing_waits(simulated):
    database = sqlite3.connect(simulated.folder / "gateway.db")
    try:
        assert database.execute("SELECT count(*) FROM event").fetchone()[0] == len({e["id"] for e in simulated.events})
        assert database.execute("SELECT count(*) FROM outbox WHERE lane = 0").fetchone()[0] == 0
    finally:
        database.close()


def test_json_is_alone_on_standard_output(simulated):
    assert json.loads(simulated.stdout) == simulated.figures
    assert simulated.stderr == ""


class Page(html.parser.HTMLParser):
    """Checks nesting, collects tags."""

    VOID = ("meta", "link", "br", "img", "input", "hr")

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_report_is_one_well_formed_page_that_asks_no_network(simulated):
    text = (simulated.folder / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert page.open == []
    for tag, attributes in page.tags:
        assert tag not in ("link", "img", "iframe")
        assert not {"src", "href"} & set(attributes)
    assert "url(" not in text
    assert "@import" not in text
    charts = [a for tag, a in page.tags if tag == "svg"]
    assert len(charts) == 3
    assert all(a["role"] == "img" and a["aria-labelledby"] for a in charts)
    for node in simulated.figures["nodes"]:
        assert node["asset"] in page.text
        for event in node["events"]:
            assert event["id"] in page.text


def test_plain_lines_tell_the_story_where_there_is_no_terminal(tmp_path):
    run = play(tmp_path, "--nodes", "1")
    assert run.code == 0, run.stdout + run.stderr
    assert "\x1b" not in run.stdout
    lines = run.stdout.splitlines()
    assert max(map(len, lines)) < 250
    for word in ("environment_changed (warning", "relearned (info", "machine_alarm (alarm", "response/identify"):
        assert word in run.stdout
    assert re.search(r"times faster than real", run.stdout)
    assert lines[-1] == "The story unfolded as it should."


def test_second_run_replaces_the_first_and_nothing_else(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    first = play(tmp_path, "--nodes", "1", "--json")
    second = play(tmp_path, "--nodes", "1", "--json", "--seed", "2")
    assert (first.code, second.code) == (0, 0)
    assert second.figures["seed"] == 2
    assert len(second.figures["nodes"]) == 1
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        ("damage", "no machine_alarm: no machine was damaged"),
        ("move", "no environment_changed from extract fan 1 (02fe1d0000000001), which was not moved"),
        ("command", "no command was sent"),
    ],
)
def test_story_that_lacks_a_part_fails_and_says_which(tmp_path, part, sentence):
    run = play(tmp_path, "--nodes", "1", "--without", part)
    assert run.code == 1
    assert sentence in run.stdout
    assert sentence in run.figures["missing"]
    assert "did not unfold" in (run.folder / "report.html").read_text()


@pytest.mark.slow
def test_recordings_tell_the_same_story(tmp_path, recordings):
    if not (recordings / "cooling-fan").is_dir():
        pytest.skip(f"no cooling-fan in {recordings}")
    run = play(tmp_path, "--data", recordings, "--json")
    assert run.code == 0, run.stdout + run.stderr
    figures = run.figures
    assert figures["source"] == "recordings"
    assert any("confound" in note for note in figures["notes"])
    for node in figures["nodes"]:
        assert {"environment_changed", "relearned"} <= set(types(node))
    assert "confound" in (tmp_path / "report.html").read_text()


def test_real_broker_and_its_own_subscriber_get_the_alarm(tmp_path, broker):
    broker.listen()
    run = play(tmp_path / "out", "--nodes", "2", "--json", "--broker", broker.url)
    assert run.code == 0, run.stdout + run.stderr
    heard = broker.heard()
    eui = run.figures["nodes"][1]["eui"]
    events = [json.loads(payload) for topic, payload in heard if topic == f"fieldelm/v1/demo/node/{eui}/event"]
    alarm = next(event for event in events if event["type"] == "machine_alarm")
    assert alarm["severity"] == "alarm"
    assert alarm["name"] == "extract fan 2"
    assert [event["id"] for event in run.events if event["type"] == "machine_alarm"] == [alarm["id"]]
    states = [payload for topic, payload in heard if topic == "fieldelm/v1/demo/state"]
    assert [json.loads(state)["state"] for state in states[:-1]] == ["online", "offline"]
    assert states[-1] == "(null)"
    assert broker.retained() == []  # a demo leaves nothing behind on a broker that is not its own
