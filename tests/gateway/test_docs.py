"""The reference pages say what the code does."""

import re
from pathlib import Path

from fieldelm import codes, payloads
from fieldelm_gateway import commands, health
from fieldelm_tools import frame_doc

DOCS = Path(__file__).parents[2] / "docs" / "reference"


def test_the_frame_page_is_printed_from_the_tables():
    said = (DOCS / "frame.md").read_text()
    assert said == frame_doc.document(), "python -m fieldelm_tools.frame_doc > docs/reference/frame.md"


def test_every_field_is_explained_and_nothing_else():
    tables = [payloads.HELLO, payloads.ALERT, payloads.STATUS, payloads.ACK, payloads.COMMAND, payloads.RESPONSE]
    tables += [payloads.MODEL, payloads.TRACE, *payloads.ANSWERS.values()]
    names = set()
    for table in (*tables, *payloads.ARGUMENTS.values()):
        for name, _ in table:
            names.update([name] if isinstance(name, str) else [part for part, _, _ in name])
    assert names == set(frame_doc.MEANING)


def test_the_mqtt_page_has_every_string():
    text = (DOCS / "mqtt.md").read_text()
    words = set(re.findall(r"[a-z_]+", text))
    for strings in (codes.STATES, codes.EVENTS, codes.SEVERITIES, codes.VERDICTS, codes.POLICIES, codes.DROP_REASONS):
        assert set(strings) <= words
    assert set(filter(None, codes.SENSOR_FAULTS)) <= words
    assert set(commands.COMMANDS) <= words
    assert set(health.FRAMES) <= words


def test_the_examples_have_the_keys_of_the_documents(bench):
    node = bench.node()
    bench.hear_all([node.hello(), node.alert(), node.status()])
    bench.tick(60_000)
    text = (DOCS / "mqtt.md").read_text()
    documents = {
        "## `node/<eui>/event`": bench.outbox("/event")[0],
        "## `node/<eui>/state`": bench.outbox("/state")[0],
        "## `health`": bench.current("/health"),
    }
    for heading, document in documents.items():
        example = re.search(r"```json\n(.*?)```", text.split(heading)[1], re.DOTALL)[1]
        keys = re.findall(r'"(\w+)":', example)
        assert list(dict.fromkeys(keys)) == list(dict.fromkeys(every_key(document)))


def every_key(document):
    for key, value in document.items():
        yield key
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                yield from every_key(part)
