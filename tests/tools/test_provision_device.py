"""`fieldelm provision` for boards: identity, key and configuration on an emulated Pico, one board or a table of them."""

import csv
import json
import stat

import pytest

from fieldelm_gateway.config import GatewayConfig
from fieldelm_gateway.store import Store
from fieldelm_tools import provision, provision_device
from fieldelm_tools.device import Device
from fieldelm_tools.errors import UsageError

pytestmark = pytest.mark.timeout(400)
COMMON = ("--database", "g.db", "--out", "nodes")


def config_on(port):
    with Device(port) as device:
        config = provision_device.on_board(device)
        device.reset()
        return config


def check_of(folder, name):
    store = Store(folder / "g.db")
    try:
        return next(node.keys[0].check for node in store.nodes() if node.name == name)
    finally:
        store.close()


@pytest.mark.slow
def test_a_board_becomes_a_node_and_its_label_tells_no_secret(pico, fieldelm, tmp_path):
    port = pico().address()
    words = ("provision", *COMMON, "--port", port, "--name", "fan", "--location", "roof")
    first = fieldelm(*words, "--set", "sense.rate_hz=800", "--set", "options.sensor=adxl345_i2c")
    assert first.code == 0, first
    path = tmp_path / "nodes" / "fan" / "config.json"
    config = json.loads(path.read_text())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert f"node 1  EUI {config['eui']}  fan  roof" in first.out
    assert (config["board"], config["sense"], config["options"]) == (
        "rpi_pico",
        {"rate_hz": 800},
        {"sensor": "adxl345_i2c"},
    )
    assert config_on(port) == config
    assert provision.key_check(config) == check_of(tmp_path, "fan")
    with Device(port) as device:
        device.put({"counters.a": b"kept", "model.a": b"kept"})
    again = fieldelm(*words, "--json")
    assert again.code == 0, again
    card = json.loads(again.out)["nodes"][0]
    assert (card["new"], card["changed"], card["node_id"]) == (False, False, 1)
    changed = fieldelm(*words, "--set", "sense.rate_hz=1600")
    assert changed.code == 0, changed
    assert config_on(port)["sense"] == {"rate_hz": 1600}
    with Device(port) as device:
        assert {"counters.a", "model.a"} <= set(device.files())
    for result in (first, again, changed):
        assert config["keys"]["0"] not in result.out + result.err
    wrong = fieldelm(*words, "--set", "sense.rate_hz=fast")
    assert (wrong.code, len(wrong.lines)) == (2, 1)
    assert '"rate_hz" must be a number' in wrong.err


@pytest.mark.slow
def test_an_identity_is_never_overwritten_and_a_key_never_used_twice(pico, fieldelm, tmp_path):
    port = pico().address()
    words = ("provision", *COMMON, "--port", port, "--name")
    assert fieldelm(*words, "fan").code == 0
    fan = config_on(port)
    refused = fieldelm(*words, "pump")
    assert (refused.code, len(refused.lines)) == (2, 1)
    assert "this board is node 1, 'fan'" in refused.err
    assert not (tmp_path / "nodes" / "pump").exists()
    modem = fieldelm("provision", "--port", port, "--modem")
    assert modem.code == 2
    assert config_on(port) == fan
    with Device(port) as device:
        device.put({"counters.a": b"of fan", "model.a": b"of fan"})
    assert fieldelm(*words, "pump", "--replace").code == 0
    with Device(port) as device:
        assert "model.a" not in device.files()
        assert device.read("counters.a") != b"of fan"  # gone, or already the new node's own
        device.remove(["config.json"])  # as if its flash was erased
    lost = fieldelm(*words, "pump")
    assert (lost.code, len(lost.lines)) == (2, 1)
    assert "make another key with --new-key" in lost.err
    before = check_of(tmp_path, "pump")
    assert fieldelm(*words, "pump", "--new-key").code == 0
    assert check_of(tmp_path, "pump") == provision.key_check(config_on(port)) != before
    turned = fieldelm("provision", "--port", port, "--modem", "--replace", "--json", "--set", "options.radio=sx1262")
    assert turned.code == 0, turned
    assert json.loads(turned.out)["modem"]["board"] == "rpi_pico"
    modem = {"schema": 1, "role": "modem", "board": "rpi_pico", "name": "modem", "options": {"radio": "sx1262"}}
    assert config_on(port) == modem
    store = Store(tmp_path / "g.db")
    assert [node.name for node in store.nodes()] == ["fan", "pump"]
    store.close()


@pytest.mark.slow
def test_a_power_cut_while_writing_leaves_the_old_or_nothing_and_can_be_repeated(pico, fieldelm, tmp_path):
    emulator = pico()
    port = emulator.address()
    with Device(port) as device:
        device.reset()
    emulator.command("power_cut", operation=6)
    cut = fieldelm("provision", *COMMON, "--port", port, "--name", "fan")
    if cut.code:
        assert (cut.code, len(cut.lines)) == (1, 1), cut
    done = fieldelm("provision", *COMMON, "--port", port, "--name", "fan")
    assert done.code == 0, done
    config = json.loads((tmp_path / "nodes" / "fan" / "config.json").read_text())
    assert config_on(port) == config
    assert provision.key_check(config) == check_of(tmp_path, "fan")


@pytest.mark.slow
def test_a_table_of_boards_is_done_row_by_row_and_goes_on_where_it_stopped(pico, fieldelm, tmp_path):
    emulator = pico(names=("a", "b"))
    one, two = emulator.address("a"), emulator.address("b")
    table = tmp_path / "fans.csv"
    rows = [
        "name,location,board,port,sense.rate_hz",
        f"fan 1,roof,rpi_pico,{one},800",
        f"fan 2,cellar,,{one},",
        "fan 3,shop,sim,,",
    ]
    table.write_text("\n".join(rows) + "\n")
    stopped = fieldelm("provision", *COMMON, "--csv", table)
    assert stopped.code == 2
    assert "this board is node 1, 'fan 1'" in stopped.err
    report = list(csv.DictReader((tmp_path / "nodes" / "fans-report.csv").open()))
    assert [row["result"] for row in report] == ["written", "not done", "not done"]
    table.write_text(table.read_text().replace(f"fan 2,cellar,,{one}", f"fan 2,cellar,,{two}"))
    done = fieldelm("provision", *COMMON, "--csv", table)
    assert done.code == 0, done
    report = list(csv.DictReader((tmp_path / "nodes" / "fans-report.csv").open()))
    assert [row["result"] for row in report] == ["was there already", "written", "written"]
    assert [row["board"] for row in report] == ["rpi_pico", "rpi_pico", "sim"]
    assert config_on(one)["sense"] == {"rate_hz": 800}
    assert config_on(two)["name"] == "fan 2"
    keys = [json.loads(path.read_text())["keys"]["0"] for path in tmp_path.glob("nodes/*/config.json")]
    assert len(set(keys)) == 3
    text = (tmp_path / "nodes" / "fans-report.csv").read_text() + done.out + done.err
    assert not any(key in text for key in keys)


def order(folder):
    return provision_device.Order(folder / "g.db", folder / "nodes", GatewayConfig())


def test_boards_that_are_plugged_in_one_after_the_other_get_the_rows_in_turn(pico, tmp_path, monkeypatch, capsys):
    emulator = pico(names=("a", "b"))
    ports = {emulator.address("a"): "A"}
    monkeypatch.setattr(provision_device, "plugged", lambda: dict(ports))
    rows = [provision_device.Row(name, "", "", "auto", {}) for name in ("fan 1", "fan 2")]
    seen = set()
    first = provision_device.next_board(rows[0], order(tmp_path), seen, 20)
    ports[emulator.address("b")] = "B"  # the first is still plugged in
    second = provision_device.next_board(rows[1], order(tmp_path), seen, 20)
    assert (first.port, second.port) == (emulator.address("a"), emulator.address("b"))
    # another day: what is done needs no board, and a board that is a node stays that
    assert provision_device.already(rows[0], order(tmp_path)).chip == first.chip
    third = provision_device.Row("fan 3", "", "", "auto", {})
    assert provision_device.already(third, order(tmp_path)) is None
    with pytest.raises(Exception, match="repeat the command to go on with fan 3"):
        provision_device.next_board(third, order(tmp_path), set(), 2)
    assert "this board is node 1, 'fan 1'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no column name"),
        ("title\nfan", "unknown column 'title'"),
        ("name,name\na,b", "a column twice"),
        ("name\n", "has 0 rows"),
        ("name,location\nfan", "line 2: 1 fields where the first line has 2"),
        ("name\nfan\nfan", "line 3: the name 'fan' is there twice"),
        ("name,location\n,roof", "line 2: the name '' cannot be used"),
        ("name,board\nfan,nix", "there is no boards/nix"),
        ("name,sense.rate_hz\nfan,x", 'line 2: sense: "rate_hz" must be a number'),
        ("name,sense.speed\nfan,1", "line 2: sense: unknown key"),
        ("name,keys.0\nfan,00", "line 2 'keys.0=00': write SECTION.KEY"),
        ("name\nfan\xff", "cannot be read as CSV"),
    ],
)
def test_a_wrong_table_is_told_before_anything_is_done(fieldelm, tmp_path, text, why):
    table = tmp_path / "t.csv"
    table.write_bytes(text.encode("latin-1"))
    result = fieldelm("provision", *COMMON, "--csv", table)
    assert (result.code, len(result.lines)) == (2, 1), result
    assert why in result.err
    assert not (tmp_path / "nodes").exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "one of the arguments --sim --port --csv is required"),
        (("--sim", "--port", "x"), "not allowed with"),
        (("--sim", "--new-key"), "--new-key needs --port"),
        (("--port", "x", "--count", "2"), "--csv FILE"),
        (("--port", "x", "--modem", "--location", "roof"), "a modem has no key"),
        (("--port", "x", "--modem", "--set", "radio.sf=9"), "a modem has no key"),
        (("--sim", "--set", "eui=00"), "write SECTION.KEY=VALUE"),
        (("--sim", "--set", "sense.rate_hz"), "write SECTION.KEY=VALUE"),
    ],
)
def test_options_that_do_not_fit(fieldelm, words, why):
    result = fieldelm("provision", *COMMON, *words)
    assert (result.code, len(result.lines)) == (2, 1), result
    assert why in result.err


def test_a_making_that_ended_between_gateway_and_file_is_finished_the_next_time(tmp_path):
    made = provision.provision(tmp_path / "g.db", tmp_path / "nodes", "fan")
    path = tmp_path / "nodes" / "fan" / "config.json"
    path.rename(path.with_suffix(".new"))  # as it is between the commit and the last step
    again = provision.provision(tmp_path / "g.db", tmp_path / "nodes", "fan")
    assert (again.config, again.new) == (made.config, False)
    assert path.is_file()


def test_a_lost_file_takes_a_new_key(tmp_path):
    made = provision.provision(tmp_path / "g.db", tmp_path / "nodes", "fan")
    (tmp_path / "nodes" / "fan" / "config.json").unlink()
    with pytest.raises(UsageError, match="--new-key"):
        provision.provision(tmp_path / "g.db", tmp_path / "nodes", "fan")
    again = provision.provision(tmp_path / "g.db", tmp_path / "nodes", "fan", new_key=True, board="rpi_pico")
    assert (again.eui, again.node_id) == (made.eui, made.node_id)
    assert again.config["keys"] != made.config["keys"]
    assert provision.key_check(again.config) == check_of(tmp_path, "fan")
