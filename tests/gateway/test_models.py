"""Copies of what nodes have learned: kept by the gateway, and handed to a node that replaces another."""

from __future__ import annotations

import json
import zlib

import pytest
from gateway_bench import Bench, ScriptedNode

from fieldelm import codes, frame, payloads
from fieldelm_gateway import models
from fieldelm_tools.cli import main

MODEL = bytes(range(256)) * 3 + b"the end"
NAME = zlib.crc32(MODEL)
PARTS = codes.MODEL_PARTS


def model_frame(
    node: ScriptedNode, part: str, offset: int = 0, data: bytes = b"", name: int = NAME, total: int = len(MODEL)
) -> bytes:
    head = bytearray(payloads.size(payloads.MODEL))
    values = {"part": PARTS.index(part), "model": name, "offset": offset, "total": total}
    payloads.pack_into(payloads.MODEL, head, 0, values)
    return node.seal(frame.MODEL, bytes(head) + data, ack=True)


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def command_line(bench, capsys):
    config = bench.folder / "gateway.toml"
    config.write_text(f'[database]\npath = "{bench.path}"\n')

    def run(*words: str) -> tuple[int, str]:
        code = main(["node", "model", *words, "--config", str(config)])
        told = capsys.readouterr()
        return code, told.out + told.err

    return run


def send(bench: Bench, node: ScriptedNode, start: int = 0, stop: int = len(MODEL), step: int = 200) -> None:
    for offset in range(start, stop, step):
        answer = bench.hear(model_frame(node, "fragment", offset, MODEL[offset : min(offset + step, stop)]))
        assert node.open(answer)[0] == frame.ACK


def take(bench: Bench, node: ScriptedNode) -> bytes:
    """What a node does that takes a model over."""
    data = b""
    while len(data) < len(MODEL):
        kind, plain = node.open(bench.hear(model_frame(node, "wanted", len(data))))
        assert kind == frame.MODEL
        part = models.read(plain)
        assert (part.part, part.model, part.offset, part.total) == ("fragment", NAME, len(data), len(MODEL))
        data += part.data
    return data


def test_fragments_make_a_copy_and_the_copy_goes_to_another_node(bench, command_line):
    old = bench.node("fan-1")
    send(bench, old)
    assert bench.store.model(NAME).complete
    new = bench.node("fan-9")
    assert take(bench, new) == MODEL
    code, text = command_line("list")
    assert code == 0 and f"{NAME:08x}" in text and "fan-1" in text and f"{len(MODEL)} of {len(MODEL)} bytes" in text


def test_fragments_that_are_handled_in_one_round_are_all_kept(bench):
    # as after a commit that took long: each is acknowledged, so the node sends none of them again
    node = bench.node()
    frames = [model_frame(node, "fragment", at, MODEL[at : at + 200]) for at in range(0, len(MODEL), 200)]
    assert None not in bench.hear_all(frames)
    assert bench.store.model(NAME).data == MODEL


def test_a_copy_that_stopped_halfway_is_asked_for_once_in_a_round(bench):
    node = bench.node()
    send(bench, node, 0, 400)
    bench.tick(3_600_000)
    bench.hear_all([node.status(), node.status()])
    assert len(bench.store.commands_waiting()) == 1
    assert bench.store.model(NAME).reminders == 1
    bench.tick(3_600_000)
    bench.hear_all([model_frame(node, "fragment", 400, MODEL[400:600]), node.status()])
    assert bench.store.model(NAME).data == MODEL[:600]


def test_a_copy_survives_the_gateways_restart_halfway_and_goes_on(bench):
    node = bench.node()
    send(bench, node, 0, 400)
    bench.restart()
    assert not bench.store.model(NAME).complete
    # two minutes later the node says that it is well; it is asked for the rest
    bench.clock.ms += 200_000
    asked = None
    for _ in range(3):
        answer = bench.hear(node.status())
        if answer and node.open(answer)[0] == frame.COMMAND:
            asked = node.open_command(answer)
            break
    assert asked and asked["name"] == "model_get"
    assert asked["arguments"] == {"model": NAME, "offset": 400}
    bench.hear(node.response(asked))
    send(bench, node, 400)
    assert bench.store.model(NAME).complete


def test_nobody_is_asked_again_while_fragments_come_or_when_all_is_here(bench):
    node = bench.node()
    send(bench, node, 0, 400)
    bench.clock.ms += 30_000
    assert bench.hear(node.status()) is None
    send(bench, node, 400)
    bench.clock.ms += 500_000
    assert bench.hear(node.status()) is None


def test_fragments_that_come_twice_or_leave_a_gap_change_nothing(bench):
    node = bench.node()
    send(bench, node, 0, 400)
    send(bench, node, 0, 400)
    bench.hear(model_frame(node, "fragment", 600, MODEL[600:700]))
    assert bench.store.model(NAME).data == MODEL[:400]


def test_a_copy_that_does_not_have_its_checksum_is_fetched_again(bench):
    node = bench.node()
    send(bench, node, 0, 600)
    bench.hear(model_frame(node, "fragment", 600, bytes(len(MODEL) - 600)))
    assert bench.store.model(NAME).data == b""


def test_a_fragment_that_is_not_here_is_only_acknowledged(bench):
    node = bench.node()
    send(bench, node, 0, 400)
    assert node.open(bench.hear(model_frame(node, "wanted", 0)))[0] == frame.ACK
    assert node.open(bench.hear(model_frame(node, "wanted", 0, name=5)))[0] == frame.ACK
    send(bench, node, 400)
    assert node.open(bench.hear(model_frame(node, "wanted", len(MODEL))))[0] == frame.ACK


@pytest.mark.parametrize(
    ("plain", "reason"),
    [
        (b"", "bad_length"),
        (bytes(8), "bad_length"),
        (bytes([9]) + bytes(8), "bad_payload"),
        (bytes(9) + b"beyond", "bad_payload"),
    ],
)
def test_nonsense_is_dropped(bench, plain, reason):
    node = bench.node()
    assert bench.hear(node.seal(frame.MODEL, plain, ack=True)) is None
    assert bench.drops == {reason: 1}


def test_a_removed_nodes_model_stays_and_is_put_on_its_replacement(bench, command_line):
    old = bench.node("fan-1")
    send(bench, old)
    config = str(bench.folder / "gateway.toml")
    assert main(["node", "remove", "fan-1", "--yes", "--config", config]) == 0
    new = bench.node("fan-2")
    code, text = command_line("put", "fan-2", "--of", "fan-1")
    assert code == 0, text
    bench.tick()
    asked = new.open_command(bench.hear(new.status()))
    assert asked["name"] == "model_put" and asked["arguments"] == {"model": NAME, "total": len(MODEL)}
    bench.hear(new.response(asked))
    assert take(bench, new) == MODEL
    bench.hear(model_frame(new, "taken"))
    command = bench.store.commands_of(bench.store.nodes()[0].row, "model_put")[0]
    assert command.answer == {"model": "taken"}


def test_fetch_asks_the_node(bench, command_line):
    node = bench.node("fan-1")
    code, text = command_line("fetch", "fan-1", "--json")
    assert code == 0 and json.loads(text)["command"] == "model_get"
    bench.tick()
    asked = node.open_command(bench.hear(node.status()))
    assert asked["arguments"] == {"model": 0, "offset": 0}


@pytest.mark.parametrize(
    ("words", "mend"),
    [
        (["put", "fan-1"], "which model?"),
        (["put", "fan-1", "--of", "fan-7"], "there is no whole copy of fan-7"),
        (["put", "nobody", "--of", "fan-1"], "there is no node 'nobody'"),
        (["fetch", "nobody"], "there is no node 'nobody'"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(bench, command_line, words, mend):
    bench.node("fan-1")
    code, text = command_line(*words)
    assert code == 2 and mend in text and text.count("\n") == 1


def test_a_nodes_newest_eight_stay(bench):
    node = bench.node()
    for number in range(10):
        data = bytes([number]) * 50
        bench.clock.ms += 1000
        bench.hear(model_frame(node, "fragment", 0, data, zlib.crc32(data), 50))
    kept = {row.data[0] for row in bench.store.models()}
    assert kept == set(range(2, 10))
