"""The judgement, the report and the arguments, each by itself."""

import copy
import io
import json
import re
import signal
import subprocess

import pytest
from demo_runs import COMMAND, play
from rich.console import Console

from fieldelm_tools import report
from fieldelm_tools.demo import folder as folders, story, terminal
from fieldelm_tools.demo.plans import simulated as make_plan
from fieldelm_tools.demo.recorder import parse_broker
from fieldelm_tools.errors import FieldelmError, UsageError


def judged(run, change):
    """Sentences of the judgement over the run's files after `change(messages, rows, air)` has altered them."""
    figures = run.figures
    parts = [copy.deepcopy(run.lines(name)) for name in ("events.jsonl", "rows.jsonl", "air.jsonl")]
    change(*parts)
    messages, rows, air = parts
    return story.judge(
        make_plan(3, figures["seed"], None).story,
        base="fieldelm/v1/demo",
        epoch=figures["epoch"],
        messages=messages,
        rows=rows,
        air=air,
        command=story.Command(**figures["command"]),
    )


def drop(event, node):
    """Remove a node's messages of an event."""

    def change(messages, rows, air):
        messages[:] = [m for m in messages if not (f"000{node}/event" in m["topic"] and m["payload"]["type"] == event)]

    return change


def rename(event, node, new):
    def change(messages, rows, air):
        for m in messages:
            if f"000{node}/event" in m["topic"] and m["payload"]["type"] == event:
                m["payload"]["type"] = new

    return change


def publish_again_otherwise(messages, rows, air):
    event = copy.deepcopy(next(m for m in messages if m["topic"].endswith("/event")))
    event["payload"]["score_ratio"] = 9.9
    messages.append(event)


def retain_an_event(messages, rows, air):
    next(m for m in messages if m["topic"].endswith("/event"))["retained"] = True


def lengthen_an_alert(messages, rows, air):
    alert = next(t for t in air if t["direction"] == "up" and int(t["data"][1], 16) == 2)
    alert["data"] += "00"


def forget_availability(messages, rows, air):
    messages[:] = [m for m in messages if not m["topic"].endswith("0001/availability")]


def test_an_unchanged_run_is_judged_as_unfolded(simulated):
    assert judged(simulated, lambda *_: None) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (drop("environment_changed", 1), "no environment_changed from extract fan 1"),
        (drop("relearned", 3), "no relearned from kiln blower"),
        (drop("machine_alarm", 2), "no machine_alarm from extract fan 2"),
        (drop("commissioned", 2), "no commissioned from extract fan 2"),
        (rename("change_unconfirmed", 3, "machine_alarm"), "machine_alarm from kiln blower (02fe1d0000000003) at 2:5"),
        (publish_again_otherwise, "was published twice with different content"),
        (retain_an_event, "an event is retained on fieldelm/v1/demo/node/"),
        (lengthen_an_alert, "an ALERT frame of 20 bytes on the air instead of 19"),
        (forget_availability, "nothing retained on fieldelm/v1/demo/node/02fe1d0000000001/availability"),
    ],
)
def test_judgement_names_what_is_wrong(simulated, change, sentence):
    assert any(sentence in said for said in judged(simulated, change))


def test_lost_acknowledged_event_is_noticed(simulated):
    said = judged(simulated, drop("boot", 1))
    assert any("were acknowledged on the radio, but 4 came by MQTT" in sentence for sentence in said)


def test_report_escapes_what_others_wrote(simulated, tmp_path):
    figures = simulated.figures
    figures["nodes"][0]["asset"] = "<script>alert(1)</script>"
    figures["missing"] = ["<b>wrong</b>"]
    (tmp_path / "run.json").write_text(json.dumps(figures))
    text = report.write_report(tmp_path).read_text()  # the other files may be missing
    assert "<script>alert(1)" not in text
    assert "<b>wrong</b>" not in text


def test_report_of_no_run_says_so(tmp_path):
    with pytest.raises(FieldelmError, match=r"has no run\.json"):
        report.write_report(tmp_path)


def test_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "precious").touch()
    with pytest.raises(UsageError, match="left alone"):
        folders.prepare(tmp_path)
    assert (tmp_path / "parts" / "precious").exists()


@pytest.mark.parametrize(
    ("url", "host", "port", "username", "password"),
    [
        ("mqtt://broker.example", "broker.example", 1883, "", ""),
        ("10.0.0.7:2883", "10.0.0.7", 2883, "", ""),
        ("mqtt://joe:p%40ss@[::1]:1", "::1", 1, "joe", "p@ss"),
    ],
)
def test_broker_addresses(url, host, port, username, password):
    address = parse_broker(url)
    assert (address.host, address.port, address.username, address.password) == (host, port, username, password)
    assert not password or password not in repr(address) + address.url


@pytest.mark.parametrize("url", ["http://x", "mqtt://", "mqtt://x:99999", "mqtt://x/topic", "mqtts://x"])
def test_other_addresses_are_refused(url):
    with pytest.raises(UsageError, match="write mqtt://host:1883"):
        parse_broker(url)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--nodes", "0"),
        ("--nodes", "4", "--data", "."),
        ("--data", "/nowhere"),
        ("--speed", "nan"),
        ("--broker", "x://y"),
    ],
    ids=" ".join,
)
def test_wrong_arguments_are_one_line(tmp_path, arguments):
    run = play(tmp_path, *arguments)
    assert run.code == 2
    assert run.stdout == ""
    assert len(run.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("*.jsonl"))


def test_absent_broker_is_one_line_and_the_earlier_run_stays(tmp_path):
    (tmp_path / "events.jsonl").write_text("an earlier run")
    run = play(tmp_path, "--broker", "mqtt://127.0.0.1:1")
    assert run.code == 1
    assert len(run.stderr.splitlines()) == 1
    assert "no broker answers at mqtt://127.0.0.1:1" in run.stderr
    assert (tmp_path / "events.jsonl").read_text() == "an earlier run"


@pytest.mark.parametrize("columns", [40, 80, 110, 140])
def test_headline_is_whole_at_any_width(columns):
    run = terminal.Run([], "mqtt://127.0.0.1:41234", 18_000.0, 61.0, 312, 6_218, 455)
    drawn = io.StringIO()
    view = terminal.Terminal(Console(file=drawn, force_terminal=True, width=columns, height=40), 3)
    view.refresh(run)
    view.close()
    text = terminal.headline(run, columns - 6).plain
    assert len(text) <= columns - 6
    assert text in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn.getvalue())
    assert ("455 messages" in text) == (columns >= 80)


@pytest.mark.parametrize("keep", [False, True])
def test_interrupted_demo_says_what_is_left(tmp_path, keep):
    command = [*COMMAND, "--out", str(tmp_path), "--nodes", "1", *(["--keep"] if keep else ["--speed", "60"])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wanted = "Ctrl-C ends it." if keep else "commissioning"
    for line in process.stdout:
        if wanted in line:
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == (0 if keep else 130)
    assert said.strip().splitlines()[-1].startswith("Stopped by Ctrl-C")
    assert "nothing is left running" in said
    assert "Traceback" not in said
