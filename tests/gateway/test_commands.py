"""Commands: from a request or the command line to the node, and its answer back."""

import json
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from fieldelm import codes, frame, payloads
from fieldelm_gateway import commands
from fieldelm_gateway.errors import RequestError
from fieldelm_gateway.requests import Request


def test_every_command_reaches_the_node_and_its_answer_comes_back(bench):
    node = bench.node()
    asked = {
        "retrain": {},
        "policy": {"policy": "never"},
        "interval": {"window_period_s": 600, "heartbeat_s": 1800},
        "identify": {"seconds": 45},
        "reboot": {},
        "commission": {},
        "confirm_change": {},
        "call_fault": {},
        "service": {"minutes": 30},
        "threshold": {"factor": 1.5},
        "trace": {"trace": "residuals"},
        "config_get": {"key": "link.heartbeat_s"},
        "config_set": {"key": "console", "value": "off"},
        "rotate_key": {},
        "power": {"dbm": -3},
    }
    on_the_air = {
        "policy": {"policy": codes.POLICIES.index("never")},
        "threshold": {"factor": 384},
        "trace": {"trace": codes.TRACES.index("residuals")},
        "config_get": {"key": commands.CONFIG_KEYS.index("link.heartbeat_s") + 1},
        "config_set": {"key": commands.CONFIG_KEYS.index("console") + 1, "value": codes.CONSOLES.index("off")},
    }
    assert set(asked) == set(commands.COMMANDS)
    for name, arguments in asked.items():
        bench.request(name, id=f"my-{name}", node=node.name, **arguments)
        assert bench.outbox(f"/response/{name}") == []
        command = node.open_command(bench.hear(node.status()))  # a frame that does not ask for an answer
        assert command["name"] == name
        if name == "rotate_key":
            assert (command["arguments"]["slot"], len(command["arguments"]["new_key"])) == (1, 16)
        else:
            assert command["arguments"] == on_the_air.get(name, arguments)
        assert node.open(bench.hear(node.response(command)))[0] == frame.ACK
        (answer,) = bench.outbox(f"/response/{name}")
        assert (answer["id"], answer["status"], answer["node"]) == (f"my-{name}", "ok", node.eui)


def test_what_a_command_has_changed_is_known_at_once(bench):
    node = bench.node()
    bench.hear(node.hello())
    bench.request("interval", id="1", node=node.name, heartbeat_s=1800)
    bench.request("policy", id="2", node=node.name, policy="never")
    second = node.open_command(bench.hear(node.response(node.open_command(bench.hear(node.status())))))
    bench.hear(node.response(second))
    bench.tick()
    card = bench.current("/nodes")["nodes"][0]
    assert (card["policy"], card["window_period_s"], card["heartbeat_s"]) == ("never", 60, 1800)
    bench.tick(3 * 900_000 + 61_000)  # too long for the old heartbeat
    assert bench.current(f"{node.eui}/availability") == "online"


def test_a_command_answers_instead_of_an_ack_until_the_node_responds(bench):
    node = bench.node()
    bench.request("retrain", id="1", node=node.eui)
    first = node.open_command(bench.hear(node.alert()))
    second = node.open_command(bench.hear(node.alert()))
    assert first == second
    assert bench.rows("SELECT attempts, state FROM command") == [(2, "waiting")]
    data = node.status()
    answer = bench.hear(data)
    assert bench.hear(data) == answer  # its answer was lost: the very same bytes
    bench.hear(node.response(first))
    assert node.open(bench.hear(node.alert()))[0] == frame.ACK
    assert bench.rows("SELECT state, result FROM command") == [("done", "ok")]


def test_several_commands_come_one_after_the_other(bench):
    node = bench.node()
    bench.request("policy", id="1", node=str(node.node_id), policy="ask")
    bench.request("identify", id="2", node=node.name)
    first = node.open_command(bench.hear(node.status()))
    second = node.open_command(bench.hear(node.response(first)))  # the next one comes with the acknowledgement
    assert (first["name"], second["name"]) == ("policy", "identify")
    assert first["command_sequence"] + 1 == second["command_sequence"]
    assert node.open(bench.hear(node.response(second)))[0] == frame.ACK


def test_an_answer_that_says_no(bench):
    node = bench.node()
    for result in codes.RESULTS[1:]:
        bench.request("retrain", id=result, node=node.name)
        command = node.open_command(bench.hear(node.status()))
        bench.hear(node.response(command, result))
    answers = bench.outbox("/response/retrain")
    assert [answer["status"] for answer in answers] == ["error"] * 4
    assert all(len(answer["message"]) > 10 for answer in answers)


def test_answers_that_nobody_waits_for(bench):
    node, other = bench.node("one"), bench.node("two")
    bench.request("retrain", id="1", node="one")
    command = node.open_command(bench.hear(node.status()))
    bench.hear(node.response(command, gateway=2))  # another gateway asked
    bench.hear(node.response({**command, "command_sequence": 99}))
    bench.hear(other.response(command))
    assert bench.outbox("/response/retrain") == []
    bench.hear(node.response(command))
    bench.hear(node.response(command))
    assert len(bench.outbox("/response/retrain")) == 1


def test_a_command_survives_a_restart_and_expires(bench):
    node = bench.node()
    bench.request("retrain", id="1", node=node.name, expires_s=100)
    bench.restart()
    assert node.open_command(bench.hear(node.status()))["name"] == "retrain"
    bench.tick(100_000)
    (answer,) = bench.outbox("/response/retrain")
    assert answer["status"] == "error"
    assert "in time" in answer["message"]
    assert bench.hear(node.status()) is None
    assert bench.rows("SELECT state FROM command") == [("expired",)]


def test_by_default_a_command_waits_a_day(bench):
    node = bench.node()
    bench.request("retrain", id="1", node=node.name)
    bench.tick(86_399_000)
    assert node.open_command(bench.hear(node.status()))
    bench.tick(1000)
    assert bench.hear(node.status()) is None


def test_more_says_that_a_command_had_to_stay(make_bench):
    bench = make_bench(radio={"duty_cycle": 0.000_05})  # 180 ms an hour: an ACK of 165 ms, but no COMMAND of 185 ms
    node = bench.node()
    bench.request("interval", id="1", node=node.name, heartbeat_s=600)
    kind, plain = node.open(bench.hear(node.alert()))
    assert kind == frame.ACK
    assert payloads.unpack(payloads.ACK, plain)["more"] == 1


def test_the_same_request_twice_counts_once(bench):
    node = bench.node()
    for _ in range(2):
        bench.request("identify", id="again", node=node.name, seconds=5)
    bench.core.step([Request("identify", b'{"id":"both","node":"fan"}')] * 2)
    assert bench.rows("SELECT request_id FROM command") == [("again",), ("both",)]
    bench.request("identify", id="again", node=node.name, seconds=6)
    (answer,) = bench.outbox("/response/identify")
    assert "was used" in answer["message"]


@pytest.mark.parametrize(
    ("command", "payload", "word"),
    [
        ("retrain", b"", "JSON object"),
        ("retrain", b"[1]", "JSON object"),
        ("retrain", b'{"id":"1"}', "node"),
        ("retrain", b'{"node":"fan"}', "id"),
        ("retrain", b'{"id":7,"node":"fan"}', "id"),
        ("retrain", b'{"id":"\\ud800","node":"fan"}', "half a character"),
        ("retrain", b'{"id":"1","node":"nobody"}', "nobody"),
        ("retrain", b'{"id":"1","node":"fan","now":true}', "now"),
        ("retrain", b'{"id":"1","node":"fan","\\ud800":1}', "half a character"),
        ("retrain", b'{"id":"1","node":"fan","expires_s":0}', "expires_s"),
        ("policy", b'{"id":"1","node":"fan"}', "auto, ask, never"),
        ("policy", b'{"id":"1","node":"fan","policy":["auto"]}', "auto, ask, never"),
        ("interval", b'{"id":"1","node":"fan"}', "window_period_s"),
        ("interval", b'{"id":"1","node":"fan","heartbeat_s":9}', "from 10 to 65535"),
        ("interval", b'{"id":"1","node":"fan","heartbeat_s":true}', "whole number"),
        ("identify", b'{"id":"1","node":"fan","seconds":256}', "from 1 to 255"),
        ("explode", b'{"id":"1","node":"fan"}', "commands are"),
        ("threshold", b'{"id":"1","node":"fan","factor":0.2}', "from 0.25 to 4"),
        ("threshold", b'{"id":"1","node":"fan","factor":NaN}', "from 0.25 to 4"),
        ("threshold", b'{"id":"1","node":"fan"}', "a number"),
        ("trace", b'{"id":"1","node":"fan","trace":"all"}', "bands, residuals"),
        ("config_get", b'{"id":"1","node":"fan"}', "link.heartbeat_s, sense.period_s"),
        ("config_get", b'{"id":"1","node":"fan","key":"keys"}', "link.heartbeat_s, sense.period_s"),
        ("config_set", b'{"id":"1","node":"fan","key":"link.heartbeat_s"}', "whole number"),
        ("config_set", b'{"id":"1","node":"fan","key":"link.heartbeat_s","value":5}', "from 10 to 65535"),
        ("config_set", b'{"id":"1","node":"fan","key":"sense.period_s","value":0.5}', "whole number"),
        ("config_set", b'{"id":"1","node":"fan","key":"link.tag_bytes","value":5}', "4, 8"),
        ("config_set", b'{"id":"1","node":"fan","key":"link.tag_bytes","value":4.0}', "whole number"),
        ("rotate_key", b'{"id":"1","node":"fan","new_key":"00"}', "takes no arguments"),
        ("power", b'{"id":"1","node":"fan","dbm":23}', "from -9 to 22"),
        ("retrain", b"[" * 5000, "4096 bytes"),
    ],
)
def test_a_wrong_request_is_answered_with_the_mend(bench, command, payload, word):
    bench.node()
    bench.core.step([Request(command, payload)])
    (answer,) = bench.outbox(f"/response/{command}")
    assert answer["status"] == "error"
    assert word in answer["message"]
    assert bench.rows("SELECT * FROM command") == []


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([name for name in codes.COMMANDS if name]),
    st.binary(max_size=60)
    | st.dictionaries(
        st.sampled_from(["id", "node", "policy", "seconds", "heartbeat_s", "expires_s", "x"]),
        st.none() | st.integers() | st.text() | st.booleans() | st.floats() | st.just("fan"),
    ).map(lambda document: json.dumps(document).encode()),
)
def test_no_request_disturbs_the_gateway(bench, command, payload):
    if not bench.core.state.nodes:
        bench.node()
    bench.core.step([Request(command, payload)])


def test_arguments_of_the_command_line_and_of_requests_are_the_same():
    assert commands.argument_names("interval") == ("window_period_s", "heartbeat_s")
    assert commands.check_arguments("interval", {"heartbeat_s": 600}) == {"window_period_s": 0, "heartbeat_s": 600}
    with pytest.raises(RequestError, match="needs"):
        commands.check_arguments("interval", {})


def fieldelm(*words):
    return subprocess.run(
        [sys.executable, "-m", "fieldelm_tools.cli", *words], capture_output=True, text=True, timeout=30, check=False
    )


@pytest.fixture
def configured(bench):
    """A configuration file for the bench's database."""
    path = bench.folder / "gateway.toml"
    path.write_text(f'[database]\npath = "{bench.path}"\n[[radio]]\nkind = "air"\n')
    return path


def test_commands_from_the_command_line(bench, configured):
    node = bench.node()
    bench.hear(node.hello())
    done = fieldelm("node", "policy", node.name, "ask", "--config", configured)
    assert (done.returncode, done.stderr) == (0, "")
    assert "waits until the node speaks" in done.stdout
    command = node.open_command(bench.hear(node.status()))  # the running gateway has noticed
    assert (command["name"], command["arguments"]) == ("policy", {"policy": 1})

    waiting = subprocess.Popen(
        [
            *(sys.executable, "-m", "fieldelm_tools.cli", "node", "identify", node.eui, "--seconds", "9"),
            *("--wait", "20", "--json", "--config", configured),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    bench.hear(node.response(command))
    while len(bench.rows("SELECT id FROM command")) < 2:
        pass
    command = node.open_command(bench.hear(node.status()))
    assert command["arguments"] == {"seconds": 9}
    bench.hear(node.response(command))
    answer = json.loads(waiting.communicate(timeout=20)[0])
    assert waiting.returncode == 0
    assert (answer["state"], answer["result"]) == ("done", "ok")

    unanswered = fieldelm("node", "retrain", node.name, "--wait", "0.3", "--config", configured)
    assert unanswered.returncode == 1
    assert "waits until the node speaks" in unanswered.stdout


def test_the_list_of_nodes(bench, configured):
    node = bench.node("Fan 2")
    bench.hear_all([node.hello(), node.status(state=3)])
    bench.request("retrain", id="1", node="Fan 2")
    shown = fieldelm("node", "list", "--config", configured)
    assert shown.returncode == 0
    head, row = shown.stdout.splitlines()
    assert head.split() == ["node_id", "eui", "name", "location", "state", "last_seen", "margin_db", "commands_waiting"]
    margin = 7.25 + 12.5  # the bench's SNR, of which SF9 needs -12.5 dB
    expected = ["1", node.eui, "Fan", "2", "roof", "alarm", "2026-01-01T00:00:00.000Z", f"{margin:.1f}", "1"]
    assert row.split() == expected
    listed = json.loads(fieldelm("node", "list", "--json", "--config", configured).stdout)
    assert listed["nodes"][0]["status"]["state"] == "alarm"


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (["retrain", "nobody"], "nobody"),
        (["interval", "fan"], "needs --window, --heartbeat or both"),
        (["interval", "fan", "--window", "0"], "--window must be a whole number from 1"),
        (["interval", "fan", "--heartbeat", "3"], "from 10"),
        (["identify", "fan", "--seconds", "0"], "from 1"),
        (["policy", "fan", "maybe"], "maybe"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(bench, configured, words, word):
    bench.node()
    done = fieldelm("node", *words, "--config", configured)
    assert done.returncode == 2
    assert word in done.stderr
    assert done.stderr.count("\n") == 1
