"""The configuration: what it accepts, and the one line for what it does not."""

import itertools
import subprocess
import sys

import pytest
from hypothesis import given, settings, strategies as st

from fieldelm_gateway import config
from fieldelm_gateway.errors import ConfigError


def test_the_printed_default_is_the_default():
    assert config.read(config.annotated_default(), "printed") == config.GatewayConfig()
    commented = config.annotated_default().replace("\n# path", "\npath").replace("\n# client_id", "\nclient_id")
    assert config.read(commented, "printed") == config.GatewayConfig()


def test_every_key_of_the_printed_default_is_explained():
    lines = config.annotated_default().splitlines()
    for above, line in itertools.pairwise(lines):
        if " = " in line and "`" not in line:
            assert above.startswith("# "), line


def test_an_empty_file_is_the_default():
    assert config.read("", "empty") == config.GatewayConfig()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[mqtt]\nurll = 'mqtt://x'", ["[mqtt]", "urll", "did you mean url"]),
        ("[mqqt]\nurl = 'mqtt://x'", ["mqqt", "did you mean mqtt"]),
        ("[database]\nsize = 1", ["[database]", "size", "known are path, outbox_limit"]),
        ("[mqtt]\nurl = 1883", ["[mqtt]", "url is 1883", "text in quotes"]),
        ("[mqtt]\nurl = 'localhost'", ["url", "mqtt://localhost:1883"]),
        ("[mqtt]\nurl = 'mqtt://u:p@host'", ["url", "password_file"]),
        ("[mqtt]\nurl = 'mqtt://host:99999'", ["url", "mqtt://localhost:1883"]),
        ("[mqtt]\nprotocol = '4'", ["protocol is '4'", "'auto', '5', '3.1.1'"]),
        ("[gateway]\nname = 'a/b'", ["name is 'a/b'", "letters"]),
        ("[gateway]\nnumber = 0", ["number is 0", "from 1 to 255"]),
        ("[gateway]\nnumber = true", ["number is True", "whole number"]),
        ("[gateway]\nnumber = 1.5", ["whole number"]),
        ("gateway = 1", ["[gateway]", "section"]),
        ("[[radio]]\nsf = 6", ["[[radio]]", "sf is 6", "from 7 to 12"]),
        ("[[radio]]\nbw = 125", ["bw is 125", "text in quotes"]),
        ("[[radio]]\nbw = '100'", ["bw is '100'", "'125'"]),
        ("[[radio]]\nduty_cycle = 'never'", ["duty_cycle", "unlimited"]),
        ("[[radio]]\nduty_cycle = 2", ["duty_cycle is 2", "unlimited"]),
        ("[[radio]]\naddress = 'here'", ["address is 'here'", "127.0.0.1:7500"]),
        ("[radio]\nsf = 9", ["[[radio]]", "two brackets"]),
        ("radio = []", ["[[radio]]"]),
        ("[[radio]]\n[[radio]]", ["same name"]),
        ("[[radio]]\n[[radio]]\nname = 'b'\nkind = 'air'", ["one kind"]),
        ("[mqtt\n", ["TOML", "line 1"]),
        ("[database]\npath = '~nobody-has-this-name/x.db'", ["[database]", "path", "no home"]),
        ('[database]\npath = "a\\u0000b"', ["[database]", "path"]),
        ('[mqtt]\nclient_id = "a\\u0000b"', ["client_id", "printable"]),
        ("[mqtt]\npassword_file = '/etc/secret'", ["[mqtt]", "password_file needs a username"]),
    ],
)
def test_a_mistake_is_one_line_with_file_key_and_mend(text, words):
    with pytest.raises(ConfigError) as caught:
        config.read(text, "/etc/gateway.toml")
    said = str(caught.value)
    assert said.startswith("/etc/gateway.toml: ")
    assert "\n" not in said
    for word in words:
        assert word in said
    assert caught.value.exit_code == 2


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["gateway", "mqtt", "database", "commands", "radio", "x"]),
        st.dictionaries(
            st.sampled_from(
                ["name", "number", "url", "sf", "kind", "duty_cycle", "path", "in_flight", "expire_s", "y"]
            ),
            st.integers() | st.booleans() | st.floats() | st.sampled_from(["auto", "mqtt://h", "unlimited", "air", ""]),
            max_size=3,
        ),
        max_size=3,
    )
)
def test_whatever_is_written_is_accepted_or_explained(document):
    def value(thing):
        return str(thing).lower() if isinstance(thing, bool) else repr(thing)

    lines = []
    for section, table in document.items():
        lines.append(f"[[{section}]]" if section == "radio" else f"[{section}]")
        lines += [f"{key} = {value(thing)}" for key, thing in table.items()]
    try:
        config.read("\n".join(lines), "file")
    except ConfigError as error:
        assert str(error).startswith("file: ")


def test_a_missing_file_says_how_to_make_one(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "fieldelm_tools.cli", "gateway", "run", "--config", tmp_path / "none.toml"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert "fieldelm gateway config" in done.stderr
    assert done.stderr.count("\n") == 1


def test_no_configuration_at_all_says_how_to_make_one_that_works(monkeypatch, tmp_path):
    monkeypatch.setattr(config, "default_places", lambda: (tmp_path / "fieldelm" / "gateway.toml",))
    with pytest.raises(ConfigError) as caught:
        config.find(None)
    assert f"mkdir -p {tmp_path}/fieldelm && fieldelm gateway config > {tmp_path}/fieldelm/" in str(caught.value)
    (tmp_path / "fieldelm").mkdir()
    with pytest.raises(ConfigError) as caught:
        config.find(None)
    assert "mkdir" not in str(caught.value)


def test_the_platform_s_folders(monkeypatch, tmp_path):
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/private/fieldelm")
    assert str(config.GatewayConfig().database_path()) == "/var/lib/private/fieldelm/gateway.db"
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert config.GatewayConfig().database_path() == tmp_path / "fieldelm" / "gateway.db"
