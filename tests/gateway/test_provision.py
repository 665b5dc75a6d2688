"""`fieldelm provision`: identities, files, and what it does the second time."""

import dataclasses
import json
import stat
import subprocess
import sys

import pytest

from fieldelm import config as node_config
from fieldelm_gateway.config import GatewayConfig
from fieldelm_gateway.store import Store
from fieldelm_tools.errors import UsageError
from fieldelm_tools.provision import provision, random_eui


def run(tmp_path, *words):
    command = [sys.executable, "-m", "fieldelm_tools.cli", "provision", "--database", "g.db", "--out", "nodes", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=30, check=False)


def test_nodes_are_made_and_their_labels_tell_no_secret(tmp_path):
    done = run(tmp_path, "--sim", "--name", "fan", "--count", "3", "--location", "roof", "--air", "127.0.0.1:7500")
    assert (done.returncode, done.stderr) == (0, "")
    store = Store(tmp_path / "g.db")
    nodes = store.nodes()
    store.close()
    assert [(node.node_id, node.name, node.location) for node in nodes] == [(i, f"fan-{i}", "roof") for i in (1, 2, 3)]
    for node in nodes:
        path = tmp_path / "nodes" / node.name / "config.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        config = json.loads(path.read_text())
        assert (config["eui"], config["node_id"], config["name"]) == (node.eui, node.node_id, node.name)
        assert config["options"] == {"air": "127.0.0.1:7500"}
        assert node_config.check(config)["link"]["gateways"] == [1, 2, 3, 4]
        assert f"node {node.node_id}  EUI {node.eui}  {node.name}  roof" in done.stdout
        assert config["keys"]["0"] not in done.stdout
    keys = {json.loads(path.read_text())["keys"]["0"] for path in tmp_path.glob("nodes/*/config.json")}
    assert len(keys) == 3


def test_the_second_time_nothing_changes(tmp_path):
    first = run(tmp_path, "--sim", "--name", "fan", "--json")
    before = (tmp_path / "nodes/fan/config.json").read_bytes()
    second = run(tmp_path, "--sim", "--name", "fan", "--json")
    assert second.returncode == 0
    one, two = json.loads(first.stdout)["nodes"][0], json.loads(second.stdout)["nodes"][0]
    assert (one.pop("new"), two.pop("new")) == (True, False)
    assert one == two
    assert (tmp_path / "nodes/fan/config.json").read_bytes() == before


def test_nothing_is_overwritten(tmp_path):
    provision(tmp_path / "a.db", tmp_path / "nodes", "fan")
    before = (tmp_path / "nodes/fan/config.json").read_bytes()
    with pytest.raises(UsageError, match="does not know"):
        provision(tmp_path / "b.db", tmp_path / "nodes", "fan")
    with pytest.raises(UsageError, match="whose file is not"):
        provision(tmp_path / "a.db", tmp_path / "elsewhere", "fan")
    assert (tmp_path / "nodes/fan/config.json").read_bytes() == before


def test_what_cannot_be_used_leaves_nothing_behind(tmp_path):
    with pytest.raises(UsageError, match='"sf" must be from 7 to 12'):
        provision(tmp_path / "g.db", tmp_path / "nodes", "fan", sections={"radio": {"sf": 13}})
    assert not (tmp_path / "nodes").exists()
    made = provision(tmp_path / "g.db", tmp_path / "nodes", "fan", sections={"radio": {"sf": 12}})
    assert made.node_id == 1
    assert made.config["radio"]["sf"] == 12


@pytest.mark.parametrize("name", ["", " fan", "x" * 65, "a\nb"])
def test_names_that_cannot_be_used(tmp_path, name):
    with pytest.raises(UsageError, match="name"):
        provision(tmp_path / "g.db", tmp_path / "nodes", name)


@pytest.mark.parametrize("location", ["roof\x1b[2J", "a\nb", "x" * 65])
def test_locations_that_cannot_be_used(tmp_path, location):
    with pytest.raises(UsageError, match="location"):
        provision(tmp_path / "g.db", tmp_path / "nodes", "fan", location=location)
    assert not (tmp_path / "nodes").exists()


def test_two_names_of_one_folder_are_told_apart(tmp_path):
    made = provision(tmp_path / "g.db", tmp_path / "nodes", "fan 2")
    before = (made.folder / "config.json").read_bytes()
    with pytest.raises(UsageError, match="belongs to 'fan 2', whose folder would be the same"):
        provision(tmp_path / "g.db", tmp_path / "nodes", "fan/2")
    assert (made.folder / "config.json").read_bytes() == before
    plan = tmp_path / "plan.csv"
    plan.write_text("name,board\nfan 3,sim\nfan/3,sim\n")
    done = run(tmp_path, "--csv", str(plan))
    assert done.returncode == 2
    assert "line 3: 'fan/3' and 'fan 3' would have the same folder" in done.stderr
    assert not (tmp_path / "nodes/fan-3").exists()


def test_new_keys_made_at_once_leave_file_and_database_agreeing(tmp_path):
    provision(tmp_path / "g.db", tmp_path / "nodes", "fan")
    script = (
        "import sys; from pathlib import Path; from fieldelm_tools.provision import provision\n"
        "for _ in range(12): provision(Path('g.db'), Path('nodes'), 'fan', new_key=True)"
    )
    workers = [subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path) for _ in range(4)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0, 0]
    again = provision(tmp_path / "g.db", tmp_path / "nodes", "fan")  # raises if the two keys differ
    assert not again.new
    assert [path.name for path in again.folder.iterdir()] == ["config.json"]


def test_a_node_of_another_database_can_be_taken_over_as_the_message_says(tmp_path):
    made = provision(tmp_path / "a.db", tmp_path / "nodes", "fan")
    with pytest.raises(UsageError, match=r"fieldelm node add .*config\.json. makes it known"):
        provision(tmp_path / "b.db", tmp_path / "nodes", "fan")
    (tmp_path / "gateway.toml").write_text('[gateway]\nname = "g"\n[database]\npath = "b.db"\n')
    command = [sys.executable, "-m", "fieldelm_tools.cli", "node", "add", made.folder / "config.json"]
    done = subprocess.run([*command, "--config", "gateway.toml"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert provision(tmp_path / "b.db", tmp_path / "nodes", "fan").eui == made.eui


def test_names_with_spaces_and_umlauts_are_fine(tmp_path):
    made = provision(tmp_path / "g.db", tmp_path / "nodes", "Lüfter 2 / Süd")
    assert made.folder.parent == tmp_path / "nodes"
    assert (made.folder / "config.json").is_file()


def test_an_eui_of_one_s_own_is_local_and_no_group():
    euis = {random_eui() for _ in range(200)}
    assert len(euis) == 200
    assert all(int(eui[:2], 16) & 3 == 2 for eui in euis)


def test_without_a_kind_it_says_which(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 2
    assert "--sim" in done.stderr


@pytest.mark.parametrize(("bw", "tag_bytes"), [("125", 4), ("250", 8), ("500", 8)])
def test_on_a_wide_channel_which_carries_more_guesses_tags_are_long(tmp_path, bw, tag_bytes):
    base = GatewayConfig()
    gateway = dataclasses.replace(base, radio=(dataclasses.replace(base.radio[0], bw=bw, plan="none"),))
    made = provision(tmp_path / "g.db", tmp_path / "nodes", "fan", gateway=gateway)
    short = provision(
        tmp_path / "g.db", tmp_path / "nodes", "pump", gateway=gateway, sections={"link": {"tag_bytes": 4}}
    )
    (made.folder / "config.json").unlink()
    again = provision(tmp_path / "g.db", tmp_path / "nodes", "fan", gateway=gateway, new_key=True)
    store = Store(tmp_path / "g.db")
    nodes = {node.name: node.tag_bytes for node in store.nodes()}
    store.close()
    assert nodes == {"fan": tag_bytes, "pump": 4}
    for one, expected in ((made, tag_bytes), (again, tag_bytes), (short, 4)):
        assert node_config.check(dict(one.config))["link"]["tag_bytes"] == expected


def test_a_setting_that_the_node_would_not_take_is_named(tmp_path):
    with pytest.raises(UsageError, match='"tag_bytes" must be one of 4, 8'):
        provision(tmp_path / "g.db", tmp_path / "nodes", "fan", sections={"link": {"tag_bytes": 5}})
