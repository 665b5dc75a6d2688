"""Keys and counters through their lives: rotated, provisioned anew, cloned, restored, exported, and at a second gateway."""

import dataclasses
import json
import shutil
import sqlite3
import stat
import subprocess
import sys

import pytest
from gateway_bench import Bench, ScriptedNode

from fieldelm import codes, frame
from fieldelm_gateway import backup, check, keyfile, numbers, salvage
from fieldelm_gateway.errors import UsageError
from fieldelm_gateway.store import Store
from fieldelm_tools.provision import provision

PASSPHRASE = "four words are enough"


def rotate(bench, node):
    """Ask for a new key; the command as the node gets it."""
    bench.request("rotate_key", id=f"r{bench.token}", node=node.name)
    command = node.open_command(bench.hear(node.status()))
    assert command["name"] == "rotate_key"
    return command


def use(node, command):
    node.use_key(command["arguments"]["slot"], command["arguments"]["new_key"])


def secrets_of(bench):
    return [row[0] for row in bench.rows("SELECT key FROM node_key")]


# rotation


def test_a_rotation_without_a_gap(bench):
    node = bench.node()
    bench.hear(node.alert())
    command = rotate(bench, node)
    assert bench.rows("SELECT key_id, pending FROM node_key ORDER BY key_id") == [(0, 0), (1, 1)]
    assert node.open(bench.hear(node.response(command)))[0] == frame.ACK  # under the old key
    assert bench.outbox("/response/rotate_key")[0]["status"] == "ok"
    old_frame = node.status()
    use(node, command)
    assert node.open(bench.hear(node.alert()))[0] == frame.ACK
    assert bench.rows("SELECT key_id, pending FROM node_key") == [(1, 0)]
    assert bench.hear(old_frame) is None  # the old key is no longer believed
    assert bench.drops == {"bad_tag": 1}
    # events keep the name under which their numbers began, and their numbers go on
    assert [event["id"] for event in bench.outbox("/event")] == [
        f"{node.eui}-{node.key_check}-1",
        f"{node.eui}-{node.key_check}-2",
    ]
    second = rotate(bench, node)
    assert second["arguments"]["slot"] == 0
    bench.hear(node.response(second))
    use(node, second)
    bench.restart()
    bench.hear(node.alert())
    assert bench.outbox("/event")[-1]["id"] == f"{node.eui}-{node.key_check}-3"
    assert bench.rows("SELECT key_id, pending, highest FROM node_key") == [(0, 0, node.counter)]


def test_an_event_resent_under_the_new_key_is_the_same_event(bench):
    node = bench.node()
    bench.hear(node.alert(sequence=1))  # its acknowledgement was lost
    command = rotate(bench, node)
    use(node, command)
    assert node.open(bench.hear(node.alert(sequence=1)))[0] == frame.ACK
    assert len(bench.outbox("/event")) == 1
    assert bench.core.tally.frames["duplicate_events"] == 1


@pytest.mark.parametrize("heard", ["command", "nothing"])
def test_a_power_cut_of_node_or_gateway_anywhere_leaves_a_working_pair(bench, heard):
    node = bench.node()
    bench.hear(node.hello())
    command = rotate(bench, node)
    bench.restart()
    if heard == "command":  # the node stored it and lost power before it could answer
        use(node, command)
        node.counter += 256
        assert node.open(bench.hear(node.hello()))[0] == frame.ACK
        assert [answer["status"] for answer in bench.outbox("/response/rotate_key")] == ["ok"]
        assert bench.rows("SELECT state, result FROM command") == [("done", "ok")]
    else:  # it never heard it: the same key again, never another
        assert node.open_command(bench.hear(node.status()))["arguments"] == command["arguments"]
        bench.tick(86_400_000)
        assert bench.rows("SELECT state FROM command") == [("expired",)]
        assert rotate(bench, node)["arguments"] == command["arguments"]
        assert len(secrets_of(bench)) == 2
    assert bench.drops == {}


def test_a_node_that_refuses_keeps_its_key(bench):
    node = bench.node()
    command = rotate(bench, node)
    bench.hear(node.response(command, "failed"))
    assert node.open(bench.hear(node.alert()))[0] == frame.ACK
    assert bench.rows("SELECT key_id, pending FROM node_key ORDER BY key_id") == [(0, 0), (1, 1)]


def test_a_key_is_in_no_message_no_command_and_no_log(bench, caplog):
    caplog.set_level("DEBUG")
    node = bench.node()
    command = rotate(bench, node)
    bench.hear(node.response(command))
    new = command["arguments"]["new_key"]
    use(node, command)
    bench.hear(node.status())
    assert secrets_of(bench) == [new]
    said = caplog.text.encode() + repr(bench.core.state.nodes).encode()
    for table in ("outbox", "command", "maintenance", "inbox", "frame", "event", "setting"):
        said += repr(bench.rows(f"SELECT * FROM {table}")).encode()
    for secret in (new, node.key):
        for form in (secret, secret.hex().encode(), repr(secret).encode()):
            assert form not in said


def test_keys_are_rotated_from_the_command_line(bench):
    config = bench.folder / "gateway.toml"
    config.write_text(f'[database]\npath = "{bench.path}"\n[[radio]]\nkind = "air"\n')
    node = bench.node()
    bench.hear(node.hello())
    asked = subprocess.run(
        [sys.executable, "-m", "fieldelm_tools.cli", "node", "rotate_key", node.name, "--config", config, "--json"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    command = node.open_command(bench.hear(node.status()))
    assert command["name"] == "rotate_key"
    assert command["arguments"]["new_key"].hex() not in asked.stdout
    use(node, command)
    assert node.open(bench.hear(node.alert()))[0] == frame.ACK


# tags of another length


@pytest.mark.parametrize("answered", [True, False])
def test_the_length_of_tags_is_changed_by_command_whether_the_answer_is_heard_or_not(bench, answered):
    node = bench.node()
    bench.hear(node.status())
    for length in (8, 4):
        bench.request("config_set", id=f"to {length}", node=node.name, key="link.tag_bytes", value=length)
        command = node.open_command(bench.hear(node.status()))
        node.tag_bytes = length  # from its answer on
        if answered:
            bench.hear(node.response(command))
        answer = bench.hear(node.alert())
        assert node.open(answer)[0] == (frame.ACK if answered else frame.COMMAND)
        if not answered:
            bench.hear(node.response(command))
            bench.hear(node.alert())
        assert bench.rows("SELECT tag_bytes, tag_next FROM node") == [(length, None)]
        node.tag_bytes = 12 - length
        bench.core.tally.drops.clear()
        bench.hear(node.alert())
        assert sum(bench.drops.values()) == 1  # the other one is no longer believed
        node.tag_bytes = length


# provisioned anew, cloned


def test_a_node_provisioned_anew_begins_again_and_is_told_apart(bench):
    node = bench.node()
    for _ in range(70):
        bench.hear(node.alert())
    old = node.alert()
    made = provision(bench.path, bench.folder / "nodes", "fan", gateway=bench.config, new_key=True)
    again = ScriptedNode(made)
    assert again.eui == node.eui
    assert again.key_check != node.key_check
    assert again.open(bench.hear(again.hello()))[0] == frame.ACK
    assert again.open(bench.hear(again.alert()))[0] == frame.ACK
    assert bench.outbox("/event")[-1]["id"] == f"{node.eui}-{again.key_check}-1"  # no event is taken for an old one
    assert bench.hear(old) is None
    assert bench.drops == {"bad_tag": 1}
    (row,) = bench.rows("SELECT action, who FROM maintenance")
    assert row[0] == "new_key"


def suspicions(bench):
    bench.tick(60_000)
    return [(found["kind"], found["name"]) for found in bench.current("/health")["security"]["suspicions"]]


def test_a_cloned_node_is_reported(bench, caplog):
    node = bench.node()
    for _ in range(200):
        bench.hear(node.status())
    clone = ScriptedNode(provision(bench.path, bench.folder / "nodes", "fan", gateway=bench.config))
    assert clone.key == node.key
    assert suspicions(bench) == []
    bench.hear(clone.hello())  # the same configuration on a second board: it begins with 1
    bench.hear(clone.status(learned_rows=3))
    assert suspicions(bench) == [("clone", "fan")]
    (told,) = bench.outbox("/security")
    assert (told["kind"], told["node"]) == ("clone", node.eui)
    assert "provision --new-key" in told["message"]
    assert caplog.text.count("two nodes use its key") == 1
    assert node.open(bench.hear(node.alert()))[0] == frame.ACK  # the real one is heard as before
    bench.tick(3_600_000)
    assert suspicions(bench) == []


def test_a_clone_whose_numbers_were_never_heard_is_reported_after_some(bench):
    node = bench.node()
    node.counter = 1000
    for _ in range(5):
        bench.hear(node.status())
    clone = ScriptedNode(provision(bench.path, bench.folder / "nodes", "fan", gateway=bench.config))
    clone.counter = 500
    bench.hear(clone.status())
    bench.hear(clone.status())
    assert suspicions(bench) == []  # it may have been caught and held back
    bench.hear(clone.status())
    assert suspicions(bench) == [("clone", "fan")]


def test_a_recording_played_back_is_no_clone(bench):
    node = bench.node()
    recorded = [node.status(learned_rows=i) for i in range(100)]
    bench.hear_all(recorded)
    bench.tick(60_000)
    bench.hear_all(recorded)
    assert bench.drops == {"replayed": 100}
    assert suspicions(bench) == [("replay", "fan")]


def test_failed_tags_are_counted_for_each_node_and_become_a_suspicion(bench):
    one, two = bench.node("one"), bench.node("two")

    def forge(node):
        data = bytearray(node.status())
        data[-1] ^= 1
        bench.hear(bytes(data))

    for _ in range(19):
        forge(one)
    forge(two)
    bench.tick(60_000)
    health = bench.current("/health")["security"]
    assert health["suspicions"] == []
    assert health["failed_tags"] == [
        {"node": one.eui, "name": "one", "count": 19},
        {"node": two.eui, "name": "two", "count": 1},
    ]
    for _ in range(100):
        forge(one)
    assert suspicions(bench) == [("forgery", "one")]
    assert len(bench.outbox("/security")) == 1
    assert one.open(bench.hear(one.alert()))[0] == frame.ACK
    bench.tick(3_600_000)
    forge(one)  # the next hour begins
    assert suspicions(bench) == []


# restored and second gateways


def test_a_restored_gateway_never_seals_another_text_under_a_nonce_that_was_used(bench, tmp_path):
    node = bench.node()
    bench.hear(node.hello())
    numbers.claim(bench.store, bench.config)
    copy = tmp_path / "copy.db"
    backup.write(bench.path, copy)
    recorded = node.alert()
    answered = bench.hear(recorded)  # after the copy: an ACK
    bench.close()
    for how in ("restored", "copied by hand"):
        if how == "restored":
            backup.restore(copy, bench.path)
        else:
            for ending in ("-wal", "-shm"):
                bench.path.with_name(bench.path.name + ending).unlink(missing_ok=True)
            shutil.copy(copy, bench.path)
        store = Store(bench.path)
        with pytest.raises(UsageError, match="number 1 may have answered"):
            numbers.claim(store, bench.config)
        store.close()
        found = check.check(bench.config)[0]
        assert not found.ok
        assert "number 1 may have answered" in found.text
        assert "set number, under [gateway]" in found.text
    backup.restore(copy, bench.path, 1, 2)
    store = Store(bench.path)
    bench.config = numbers.claim(store, bench.config)
    store.close()
    assert bench.config.gateway.number == 2
    assert check.check(bench.config)[0].text.endswith("1 node, answers as gateway number 2")
    bench.start()
    bench.request("identify", id="1", node=node.name)
    again = bench.hear(recorded)  # somebody plays it back: another text, but another nonce, too
    assert again != answered
    with pytest.raises(frame.FrameError):
        node.open(again, gateway=1)
    assert node.open(again, gateway=2)[0] == frame.COMMAND
    assert 2 in node_believes(bench, node)


def node_believes(bench, node):
    return json.loads((bench.folder / "nodes" / node.name / "config.json").read_text())["link"]["gateways"]


def test_numbers_that_are_spent_stay_spent(bench, tmp_path):
    config = bench.config
    path = bench.path
    for number in (1, 2, 3, 4):
        numbers.claim(bench.store, config)
        copy = tmp_path / f"copy-{number}.db"
        backup.write(path, copy)
        bench.close()
        if number < 4:
            backup.restore(copy, path, 1, number + 1)
        else:
            with pytest.raises(UsageError, match="spent, too"):
                backup.restore(copy, path, 1, 3)
        bench.start()
    with sqlite3.connect(copy) as connection:
        assert numbers.spent(connection) == {1, 2, 3, 4}


def test_a_gateway_that_recovers_by_itself_takes_another_number_and_listens_when_none_is_left(bench, caplog):
    node = bench.node()
    bench.hear(node.hello())
    config = bench.config
    for number in (1, 4, 3, 2):
        assert numbers.claim(bench.store, config).gateway.number == number
        bench.close()
        salvage.recover(bench.path, config.gateway.number)
        bench.start()
    left = numbers.claim(bench.store, config)
    assert not left.gateway.answers
    assert check.check(config)[0].text.endswith("1 node, only listens")
    assert "only listens" in caplog.text
    bench.config = left
    bench.restart()
    assert bench.hear(node.alert()) is None
    assert len(bench.outbox("/event")) == 1  # it still logs and publishes


@pytest.fixture
def two(tmp_path):
    """Two gateways with numbers 1 and 2."""
    benches = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        benches.append(Bench(folder, gateway={"number": number}))
    yield benches
    for bench in benches:
        bench.close()


def carry(two, file, **options):
    """Keys from the first to the second gateway."""
    one, other = two
    numbers.claim(one.store, one.config)
    keyfile.export(one.store, file, PASSPHRASE)
    return bring(other, keyfile.open_file(file, PASSPHRASE), **options)


def bring(bench, content, **options):
    """Beside the running gateway, as the command line does."""
    store = Store(bench.path)
    try:
        return keyfile.bring(store, content, **options)
    finally:
        store.close()


def test_a_second_gateway_that_hears_the_same_frames_tells_the_same_events(two, tmp_path):
    one, other = two
    node = one.node()
    replay = node.alert()
    one.hear(replay)
    assert [node.what for node in carry(two, tmp_path / "keys")] == ["new"]
    assert other.hear(replay) is None  # what was heard before the export is a replay here, too
    assert other.drops == {"replayed": 1}
    data = node.alert()
    first, second = one.hear(data), other.hear(data)
    assert first != second
    assert node.open(first, gateway=1)[0] == node.open(second, gateway=2)[0] == frame.ACK
    assert one.outbox("/event")[-1]["id"] == other.outbox("/event")[-1]["id"]
    assert node_believes(one, node) == [1, 2, 3, 4]
    # one asks, both hear the answer: it counts at the one that asked, and the other one knows of it
    one.request("identify", id="1", node=node.name)
    response = node.response(node.open_command(one.hear(node.status())))
    one.hear(response)
    other.hear(response)
    assert one.outbox("/response/identify")[0]["status"] == "ok"
    assert other.outbox("/response/identify") == []
    other.tick(60_000)
    assert other.current("/health")["security"] == {"suspicions": [], "failed_tags": [], "other_gateways": [1]}


def test_two_gateways_with_one_number_are_reported(two, tmp_path):
    one, other = two
    node = one.node()
    carry(two, tmp_path / "keys")
    one.request("identify", id="1", node=node.name)
    response = node.response(node.open_command(one.hear(node.status())), gateway=2)
    other.hear(response)
    assert suspicions(other) == [("same_number", "fan")]


def test_the_key_file_is_secret_and_says_what_is_wrong(two, tmp_path):
    one, other = two
    node = one.node()
    file = tmp_path / "keys.json"
    assert keyfile.export(one.store, file, PASSPHRASE) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert node.key.hex() not in file.read_text()
    assert node.eui not in file.read_text()
    with pytest.raises(UsageError, match="too short"):
        keyfile.export(one.store, file, "secret")
    with pytest.raises(UsageError, match="passphrase"):
        keyfile.open_file(file, PASSPHRASE + "!")
    document = json.loads(file.read_text())
    for change in ({"n": 1 << 15}, {"salt": "00" * 16}, {"data": document["data"][:-8] + "AAAAAAA="}):
        file.write_text(json.dumps(document | change))
        with pytest.raises(UsageError, match="passphrase"):
            keyfile.open_file(file, PASSPHRASE)
    for change in (
        {"n": 1 << 40},
        {"n": 3},
        {"form": "x"},
        {"version": 2},
        {"nonce": 5},
        {"data": "?"},
        {"salt": None},
    ):
        file.write_text(json.dumps(document | change))
        with pytest.raises(UsageError, match="no file that"):
            keyfile.open_file(file, PASSPHRASE)
    file.write_text("[]")
    with pytest.raises(UsageError, match="no file that"):
        keyfile.open_file(file, PASSPHRASE)
    assert other.rows("SELECT * FROM node") == []


def test_what_is_brought_is_joined_with_what_is_known(two, tmp_path):
    one, other = two
    node = one.node()
    frames = [node.status() for _ in range(10)]
    one.hear_all(frames[:6])
    carry(two, tmp_path / "keys")
    other.hear_all(frames[8:])
    one.hear_all(frames[6:8])
    carry(two, tmp_path / "keys")  # each knows what the other does not
    other.core.tally.drops.clear()
    other.hear_all(frames)
    assert other.drops == {"replayed": 9}  # all but the newest, which is a repeat
    assert other.rows("SELECT highest FROM node_key") == [(10,)]
    # a rotation that the first gateway has finished
    command = rotate(one, node)
    carry(two, tmp_path / "keys")
    assert other.rows("SELECT key_id, pending FROM node_key ORDER BY key_id") == [(0, 0), (1, 1)]
    use(node, command)
    one.hear(node.status())
    carry(two, tmp_path / "keys")
    assert other.rows("SELECT key_id, pending, highest FROM node_key") == [(1, 0, node.counter)]
    other.hear(node.alert())
    assert other.outbox("/event")[-1]["id"] == f"{node.eui}-{node.key_check}-1"
    # and an older file brings nothing back
    older = keyfile.open_file(tmp_path / "keys", PASSPHRASE)
    other.hear(node.status())
    bring(other, older)
    assert other.rows("SELECT key_id, pending, highest FROM node_key") == [(1, 0, node.counter)]


def test_a_tag_that_the_first_gateway_has_changed_comes_with_the_next_import(two, tmp_path):
    one, other = two
    node = one.node()
    one.hear(node.status())
    carry(two, tmp_path / "keys")
    one.request("config_set", id="1", node="fan", key="link.tag_bytes", value=8)
    command = node.open_command(one.hear(node.status()))
    node.tag_bytes = 8
    one.hear(node.response(command))
    one.hear(node.alert())
    other.hear(node.status())
    assert other.drops == {"bad_tag": 1}
    carry(two, tmp_path / "keys")
    other.core.tally.drops.clear()
    other.hear(node.status())
    assert other.drops == {}
    # an older file does not bring the old tag back
    old = keyfile.open_file(tmp_path / "keys", PASSPHRASE)
    old["nodes"][0]["tag_bytes"] = 4
    bring(other, old)
    other.hear(node.status())
    assert other.drops == {}


def test_another_key_for_a_node_is_taken_only_when_asked(two, tmp_path):
    one, other = two
    node = one.node()
    carry(two, tmp_path / "keys")
    made = provision(one.path, one.folder / "nodes", "fan", gateway=one.config, new_key=True)
    with pytest.raises(UsageError, match="--replace"):
        carry(two, tmp_path / "keys")
    assert secrets_of(other) == [node.key]
    assert [node.what for node in carry(two, tmp_path / "keys", replace=True)] == ["replaced"]
    assert secrets_of(other) == [bytes.fromhex(made.config["keys"]["0"])]


def test_a_replacement_must_not_answer_under_the_number_of_the_one_it_replaces(two, tmp_path):
    one, other = two
    one.node()
    carry(two, tmp_path / "keys")
    with pytest.raises(UsageError, match="number 1 may have answered"):
        numbers.claim(other.store, one.config)
    assert numbers.claim(other.store, other.config).gateway.number == 2


def test_keys_are_carried_from_the_command_line(two, tmp_path):
    one, other = two
    one.node()
    (tmp_path / "secret").write_text(PASSPHRASE + "\n")
    file = tmp_path / "keys.json"

    def run(bench, *words):
        config = bench.folder / "gateway.toml"
        config.write_text(f'[database]\npath = "{bench.path}"\n[[radio]]\nkind = "air"\n')
        command = [sys.executable, "-m", "fieldelm_tools.cli", "gateway", *words, "--config", str(config)]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
        )

    numbers.claim(one.store, one.config)
    nobody = run(one, "export-keys", str(file))
    assert (nobody.returncode, "--passphrase-file" in nobody.stderr) == (2, True)
    options = ("--passphrase-file", str(tmp_path / "secret"))
    done = run(one, "export-keys", str(file), *options)
    assert (done.returncode, done.stderr) == (0, "")
    done = run(other, "import-keys", str(file), *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert "set another number" in done.stdout
    assert secrets_of(other) == secrets_of(one)


def test_every_suspicion_has_its_sentence():
    from fieldelm_gateway import security

    assert set(security.LIMITS) == set(security._MESSAGES)
    assert set(codes.DROP_REASONS) >= set(security._OF_REASON)


# another program, beside the running gateway


def between_decision_and_commit(bench, monkeypatch, act):
    """Let another program write when the gateway has decided a round, and before it has written it; once."""
    commit = bench.store.commit

    def late(writes, version):
        monkeypatch.undo()
        act()
        return commit(writes, version)

    monkeypatch.setattr(bench.store, "commit", late)


def test_a_frame_that_is_decided_while_its_node_gets_a_new_key_does_not_spoil_its_counters(bench, monkeypatch):
    node = bench.node()
    bench.hear(node.status())

    def new_key():
        provision(bench.path, bench.folder / "nodes", "fan", gateway=bench.config, new_key=True)

    between_decision_and_commit(bench, monkeypatch, new_key)
    assert bench.hear(node.alert()) is None  # of the key that is given up
    assert bench.drops == {"bad_tag": 1}
    assert bench.outbox("/event") == []
    assert bench.rows("SELECT highest, seen, last_sequence FROM node_key") == [(None, 0, None)]


def test_counters_that_are_imported_while_a_frame_is_decided_stand(two, tmp_path, monkeypatch):
    one, other = two
    node = one.node()
    carry(two, tmp_path / "keys")
    early = node.alert()
    node.counter = 60
    late = node.alert()
    one.hear(late)
    between_decision_and_commit(other, monkeypatch, lambda: carry(two, tmp_path / "later"))
    assert node.open(other.hear(early), counter=1, gateway=2)[0] == frame.ACK
    assert other.rows("SELECT highest FROM node_key") == [(61,)]
    assert other.hear(late) is None  # heard before the export
    assert [event["id"] for event in other.outbox("/event")] == [f"{node.eui}-{node.key_check}-1"]


# removed and added again, lost, held back


def command_line(bench, *words):
    config = bench.folder / "gateway.toml"
    if not config.exists():
        config.write_text(f'[database]\npath = "{bench.path}"\n[[radio]]\nkind = "air"\n')
    asked = subprocess.run(
        [sys.executable, "-m", "fieldelm_tools.cli", *map(str, words), "--config", config],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr
    return asked.stdout


def test_a_node_that_is_removed_and_added_again_goes_on_with_its_counters(bench):
    node = bench.node()
    recorded = [node.hello(), *(node.alert() for _ in range(5)), node.status(ack=True)]
    answers = bench.hear_all(recorded)
    bench.request("retrain", id="1", node="fan")
    bench.hear(node.response(node.open_command(bench.hear(node.status()))))
    told = len(bench.outbox("/event"))
    command_line(bench, "node", "remove", "fan", "--yes")
    bench.tick()
    assert bench.rows("SELECT * FROM node") == []
    said = command_line(bench, "node", "add", bench.folder / "nodes" / "fan" / "config.json")
    assert "another number" not in said
    bench.request("identify", id="2", node="fan")
    # played back, they would be answered by other texts under the same nonces
    assert bench.hear_all(recorded) == [None] * len(recorded)
    assert None not in answers
    assert bench.drops == {"replayed": len(recorded)}
    assert len(bench.outbox("/event")) == told
    assert node.open_command(bench.hear(node.alert()))["command_sequence"] == 2  # a node does not repeat the one before
    assert bench.outbox("/event")[-1]["id"] == f"{node.eui}-{node.key_check}-6"


def test_a_node_that_is_added_with_another_key_begins_anew(bench):
    node = bench.node()
    for _ in range(70):
        bench.hear(node.status())
    command_line(bench, "node", "remove", "fan", "--yes")
    path = bench.folder / "nodes" / "fan" / "config.json"
    given = json.loads(path.read_text())
    path.write_text(json.dumps(given | {"keys": {"0": "0123456789abcdef0123456789abcdef"}}))
    said = command_line(bench, "node", "add", path)
    assert "set another number under [gateway]" in said  # who knows what was answered under this key
    node.use_key(0, bytes.fromhex("0123456789abcdef0123456789abcdef"))
    node.counter = 0
    assert node.open(bench.hear(node.hello()))[0] == frame.ACK


def test_each_key_of_a_removed_node_has_counters_of_its_own(bench):
    node = bench.node()
    path = bench.folder / "nodes" / "fan" / "config.json"
    cards = [json.loads(path.read_text()) | {"keys": {"0": key.hex()}} for key in (node.key, bytes(range(16)))]

    def speak(card, number):
        node.use_key(0, bytes.fromhex(card["keys"]["0"]))
        node.counter = node.sequence = number
        return node.alert()

    bench.tick()
    heard = speak(cards[0], 1000)
    assert bench.hear(heard) is not None
    # for a day it has another key, whose counters begin anew
    for card, number, is_known in ((cards[1], 0, False), (cards[1], 1, True), (cards[0], 1001, True)):
        command_line(bench, "node", "remove", "fan", "--yes")
        path.write_text(json.dumps(card))
        said = command_line(bench, "node", "add", path)
        assert ("another number" not in said) is is_known
        bench.tick()
        assert bench.hear(speak(card, number)) is not None, "it is heard, though the other key has got further"
    assert bench.hear(heard) is None


def test_what_was_said_under_a_key_before_it_was_rotated_stays_said_when_the_node_is_added_with_it(bench):
    node = bench.node()
    heard = node.alert()
    assert bench.hear(heard) is not None
    key, key_id = node.key, node.key_id
    command = rotate(bench, node)
    bench.hear(node.response(command))
    use(node, command)
    node.counter = 1000
    bench.hear(node.alert())
    late = node.counter
    command_line(bench, "node", "remove", "fan", "--yes")
    command_line(bench, "node", "add", bench.folder / "nodes" / "fan" / "config.json")
    bench.tick()
    assert bench.hear(heard) is None
    node.use_key(key_id, key)
    node.counter = late - 1
    assert bench.hear(node.alert()) is None, "the new key has got so far"
    assert bench.hear(node.alert()) is not None


def test_a_removed_node_that_is_imported_again_is_not_taken_back_in_time(two, tmp_path):
    one, other = two
    node = one.node()
    one.hear(node.alert())
    carry(two, tmp_path / "keys")
    later = [node.alert() for _ in range(3)]
    other.hear_all(later)
    command_line(other, "node", "remove", "fan", "--yes")
    other.tick(11_000)
    carry(two, tmp_path / "keys")
    other.core.tally.drops.clear()
    assert other.hear_all(later) == [None] * 3
    assert other.drops == {"replayed": 3}
    assert node.open(other.hear(node.alert()), gateway=2)[0] == frame.ACK


def test_a_new_key_is_in_the_small_copy_before_the_day_is_over(bench):
    node = bench.node()
    bench.tick(10_000)
    copy = backup.daily_path(bench.path)

    def keys():
        with sqlite3.connect(copy) as connection:
            return {row[0] for row in connection.execute("SELECT key FROM node_key")}

    assert keys() == {node.key}
    for _ in range(3):  # in either slot
        command = rotate(bench, node)
        bench.tick(10_000)
        assert node.key in keys()
        assert command["arguments"]["new_key"] in keys()
        bench.hear(node.response(command))
        use(node, command)
        bench.hear(node.alert())
    told = len(bench.outbox("/event"))
    other = bench.node("pump")
    bench.tick(10_000)
    assert other.key in keys()
    # the database is lost: both are heard
    bench.close()
    for ending in ("", "-wal", "-shm"):
        bench.path.with_name(bench.path.name + ending).unlink(missing_ok=True)
    bench.path.write_bytes(b"no database" * 1000)
    salvage.recover(bench.path, bench.config.gateway.number)
    bench.start()
    bench.hear_all([node.alert(), other.alert()])
    assert bench.drops == {}
    assert told == 3
    assert len(bench.outbox("/event")) == 2


def test_a_node_that_was_removed_does_not_come_back_from_the_small_copy(bench):
    for name in ("fan", "pump"):
        bench.node(name)
    bench.tick()
    for name, stay in (("fan", [("pump",)]), ("pump", [])):
        bench.tick(10_000)
        command_line(bench, "node", "remove", name, "--yes")
        bench.tick(10_000)
        with sqlite3.connect(backup.daily_path(bench.path)) as copy:
            assert copy.execute("SELECT name FROM node").fetchall() == stay
    assert not list(bench.folder.glob("gateway.db.nodes.*"))


def test_a_gateway_without_nodes_has_no_small_copy(bench):
    bench.tick()
    bench.tick(60_000)
    assert not backup.daily_path(bench.path).exists()


def test_a_hello_that_was_held_back_does_not_tell_of_the_present(bench):
    node = bench.node()
    bench.hear(node.hello())
    held_back = node.hello(heartbeat_s=10, output_power=-9)
    bench.hear(node.hello(heartbeat_s=600))
    bench.hear(held_back)
    assert bench.drops == {}
    assert bench.rows("SELECT heartbeat_s FROM node") == [(600,)]


def test_a_key_file_does_not_say_how_much_memory_is_taken(two, tmp_path):
    file = tmp_path / "keys.json"
    keyfile.export(two[0].store, file, PASSPHRASE)
    document = json.loads(file.read_text())
    for change in ({"n": 1 << 20, "r": 32}, {"r": 1 << 20}, {"p": 1 << 20}, {"n": 0}, {"r": True, "n": "x"}):
        file.write_text(json.dumps(document | change))
        with pytest.raises(UsageError, match="no file that"):
            keyfile.open_file(file, PASSPHRASE)


def test_a_running_gateway_whose_number_another_one_has_used_only_listens(two, tmp_path, caplog):
    one, other = two
    node = one.node()
    other.config = dataclasses.replace(other.config, gateway=dataclasses.replace(other.config.gateway, number=1))
    other.restart()
    other.tick()
    carry(two, tmp_path / "keys")  # the first one has answered as number 1, too
    data = node.alert()
    assert one.hear(data) is not None
    assert other.hear(data) is None
    assert len(other.outbox("/event")) == 1  # it is heard all the same
    assert caplog.text.count("number 1 is another gateway's") == 1
    other.request("identify", id="1", node="fan")
    assert "only listens" in other.outbox("/response/identify")[0]["message"]
