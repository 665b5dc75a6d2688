"""Whose files a command removes, and what it lets a terminal do."""

import argparse
import json

import pytest

from fieldelm_gateway.config import GatewayConfig
from fieldelm_tools import emulate, monitor
from fieldelm_tools.demo import folder as demo_folder
from fieldelm_tools.errors import UsageError

_MINE = ("gateway.db", "gateway.db-wal", "gateway.toml", "dashboard.token", "nodes/fan/config.json")


def _contents(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", _MINE)
@pytest.mark.parametrize(
    "prepare",
    [
        demo_folder.prepare,
        lambda folder: emulate.prepare(folder, fresh=True),
        lambda folder: emulate.prepare(folder, fresh=False),
    ],
    ids=["demo", "emulate --fresh", "emulate"],
)
def test_what_others_have_made_is_left_alone(tmp_path, prepare, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine")
    if prepare is demo_folder.prepare and name.startswith("nodes/"):
        prepare(tmp_path)  # it has no such folder
    elif prepare is not demo_folder.prepare and name == "dashboard.token":
        prepare(tmp_path)  # nor this one such a file
    else:
        with pytest.raises(UsageError, match="left alone: choose another --out"):
            prepare(tmp_path)
    assert _contents(tmp_path)[name] == "mine"


def test_a_folder_of_others_is_refused_before_anything_is_built(tmp_path, monkeypatch):
    (tmp_path / "gateway.db").write_text("mine")
    monkeypatch.setattr(emulate, "_firmware", lambda *_: pytest.fail("it takes minutes"))
    parser = argparse.ArgumentParser()
    emulate.add_arguments(parser)
    with pytest.raises(UsageError, match="left alone: choose another --out"):
        emulate.run(parser.parse_args(["--out", str(tmp_path), "--fresh"]))
    assert _contents(tmp_path) == {"gateway.db": "mine"}


def test_what_an_emulator_has_left_is_gone_on_with_or_forgotten(tmp_path):
    emulate.prepare(tmp_path, fresh=False)
    for name in (*_MINE, "node-1.flash"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a run's")
    emulate.prepare(tmp_path, fresh=False)
    assert {"node-1.flash", *_MINE} < set(_contents(tmp_path))
    emulate.prepare(tmp_path, fresh=True)
    assert set(_contents(tmp_path)) == {"gateway.toml", "dashboard.token", emulate.MARK}


@pytest.fixture
def make_monitor():
    def make(**options):
        given = {"node": None, "severity": "info", "status": True, "json": False, **options}
        return monitor.Monitor(argparse.Namespace(**given), GatewayConfig(), colour=False)

    return make


@pytest.mark.parametrize("as_json", [False, True])
def test_the_monitor_shows_a_terminal_nothing_that_it_would_obey(make_monitor, capsys, as_json):
    told = {
        "id": "1",
        "time": "2026-01-01T00:00:00.000Z",
        "name": "fan",
        "location": "roof\x9b2J",
        "action": "comment",
        "detail": {"comment": "\x1b]0;owned\x07\x1b[2Jhi\nALARM a forged line"},
        "by": "Ada",
        "via": "mqtt",
    }
    topic = "fieldelm/v1/gateway/node/0000000000000001/maintenance"
    make_monitor(json=as_json)._take(topic, json.dumps(told).encode())
    shown = capsys.readouterr().out
    assert shown.count("\n") == 1
    assert shown[:-1].isprintable()
    assert "fan" in shown
    assert "hi" in shown


@pytest.mark.parametrize("kind", ["event", "maintenance", "alarm", "state"])
@pytest.mark.parametrize(
    "payload", [b"[]", b"{}", b"3", b"null", b"", b"\xff", b"[" * 4000, b'{"severity":[],"id":[]}']
)
def test_the_monitor_goes_on_whatever_comes_on_its_topics(make_monitor, capsys, kind, payload):
    shown = make_monitor()
    shown._take(f"fieldelm/v1/gateway/node/0000000000000001/{kind}", payload)
    shown._take("fieldelm/v1/gateway/state", payload)
    assert capsys.readouterr().out == ""
    shown._take("fieldelm/v1/gateway/state", b'{"state":"online"}')
    assert "gateway gateway is online" in capsys.readouterr().out
