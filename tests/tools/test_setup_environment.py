"""What set-up leaves behind, and what is said where it is missing."""

import json
import os
import platform
import subprocess
import sys

import pytest

from fieldelm_tools import environment
from fieldelm_tools.debian import program
from fieldelm_tools.errors import SetupError, UsageError


def run(*arguments, board="sim"):
    line = [*environment.micropython_command(), *arguments]
    return subprocess.run(
        line, env=environment.micropython_environment(board), capture_output=True, text=True, timeout=60
    )


def test_micropython_runs_with_the_heap_of_a_pico():
    done = run("-X", "heapsize=192k", "-c", "import sys; print(sys.implementation.name)")
    assert (done.stdout, done.stderr) == ("micropython\n", "")


def test_micropython_finds_the_node_and_its_board():
    done = run("-c", "import fieldelm, board, cryptolib, asyncio; print(fieldelm.__version__)")
    assert done.stderr == ""
    assert done.stdout.strip().count(".") == 2


def test_micropython_encrypts_aes_as_published():
    """FIPS 197, appendix B."""
    key, plain = "2b7e151628aed2a6abf7158809cf4f3c", "3243f6a8885a308d313198a2e0370734"
    script = (
        f"import cryptolib; print(cryptolib.aes(bytes.fromhex('{key}'), 1).encrypt(bytes.fromhex('{plain}')).hex())"
    )
    assert run("-c", script).stdout.strip() == "3925841d02dc09fbdc118597196a0b32"


@pytest.mark.skipif(program("gcc") is None, reason="no C compiler")
@pytest.mark.skipif((sys.platform, platform.machine()) != ("linux", "x86_64"), reason="not Linux on x86-64")
def test_kernels_are_in_c():
    assert environment.micropython().kernels in ("native module", "user module")
    assert run("-c", "import fieldelm_native; print(hasattr(fieldelm_native, 'fixed_learn'))").stdout == "True\n"


@pytest.fixture
def build(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "build_directory", lambda: tmp_path)
    return tmp_path


def test_without_set_up_the_mend_is_named(build):
    with pytest.raises(SetupError, match="run `make setup`"):
        environment.micropython_command()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"executable": "x"}'])
def test_spoilt_record_names_the_mend(build, text):
    (build / environment.RECORD).write_text(text)
    with pytest.raises(SetupError, match="run `make setup`"):
        environment.micropython()


def test_vanished_executable_names_the_mend(build):
    record = {
        "executable": "/nowhere/micropython",
        "origin": "given",
        "version": "1",
        "architecture": "",
        "kernels": "python",
    }
    (build / environment.RECORD).write_text(json.dumps(record))
    with pytest.raises(SetupError, match=r"gone from /nowhere/micropython: run `make setup`"):
        environment.micropython()


def test_unknown_board_is_answered_with_the_known_ones():
    with pytest.raises(UsageError, match=r"boards/teapot.*boards are .*sim"):
        environment.micropath("teapot")


def test_path_holds_the_native_module_only_where_it_is_used(build):
    record = {
        "executable": sys.executable,
        "origin": "given",
        "version": "1",
        "architecture": "x64",
        "kernels": "python",
    }
    (build / environment.RECORD).write_text(json.dumps(record))
    assert all("natmods" not in str(path) for path in environment.micropath())
    (build / environment.RECORD).write_text(json.dumps({**record, "kernels": "native module"}))
    assert environment.micropath()[-1] == build / "natmods" / "x64"
    assert environment.micropython_environment()["MICROPYPATH"].endswith("/natmods/x64:.frozen")
    assert environment.micropython_environment()["PATH"] == os.environ["PATH"]
