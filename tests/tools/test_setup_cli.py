"""The `fieldelm` command: help, exit codes, one line for every failure."""

import subprocess
import sys
import textwrap
from importlib.metadata import version

import pytest

from fieldelm_tools import cli

NAMES = [name for commands in cli.COMMANDS.values() for name in commands]


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Make `fieldelm work` out of the body of its `run`."""

    def make(body):
        source = "from fieldelm_tools.errors import FieldelmError, SetupError, UsageError\n"
        source += "def add_arguments(parser):\n    parser.add_argument('--times', type=int, default=1)\n"
        source += "def run(args):\n" + textwrap.indent(body, "    ") + "\n"
        (tmp_path / "command_under_test.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "command_under_test", raising=False)
        monkeypatch.setattr(cli, "COMMANDS", {"Test": {"work": ("command_under_test", "work")}})

    return make


def one_line(capsys):
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    return err


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as leave:
        cli.main(["--help"])
    assert leave.value.code == 0
    text = capsys.readouterr().out
    for commands in cli.COMMANDS.values():
        for name, (_, line) in commands.items():
            assert f"  {name}" in text
            assert line in text


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit) as leave:
        cli.main([name, "--help"])
    assert leave.value.code == 0
    assert f"usage: fieldelm {name}" in capsys.readouterr().out


def test_version_is_that_of_the_node(capsys):
    from fieldelm import __version__

    with pytest.raises(SystemExit) as leave:
        cli.main(["--version"])
    assert leave.value.code == 0
    assert capsys.readouterr().out == f"fieldelm {__version__}\n"
    assert version("fieldelm") == __version__


@pytest.mark.parametrize(
    "words", [[], ["sing"], ["--loud"], ["work", "--tims", "3"], ["work", "--times", "x"], ["work", "x"]]
)
def test_wrong_usage_is_one_line_and_exit_2(words, command, capsys):
    command("return 0")
    with pytest.raises(SystemExit) as leave:
        cli.main(words)
    assert leave.value.code == 2
    assert "--help`" in one_line(capsys)


def test_no_command_is_one_line_and_exit_2(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    assert ended.value.code == 2
    assert one_line(capsys) == "fieldelm: which command? (see `fieldelm --help`)\n"


def test_unknown_command_is_answered_with_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        cli.main(["sing"])
    err = one_line(capsys)
    assert "'sing'" in err
    assert all(name in err for name in NAMES)


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ("raise FieldelmError('the broker is gone:\\n  start it')", 1, "the broker is gone: start it"),
        ("raise UsageError('gateway.toml: no such key')", 2, "gateway.toml: no such key"),
        ("raise SetupError('run `make setup`')", 2, "run `make setup`"),
        ("open('/nowhere/file')", 1, "/nowhere/file: No such file or directory"),
        ("return 1 // 0", 1, "FIELDELM_DEBUG=1"),
    ],
)
def test_failure_is_one_line_and_its_exit_code(body, code, text, command, capsys, monkeypatch):
    monkeypatch.delenv("FIELDELM_DEBUG", raising=False)
    command(body)
    assert cli.main(["work"]) == code
    err = one_line(capsys)
    assert err.startswith("fieldelm: ")
    assert text in err


def test_debugging_shows_the_traceback(command, monkeypatch):
    monkeypatch.setenv("FIELDELM_DEBUG", "1")
    command("return 1 // 0")
    with pytest.raises(ZeroDivisionError):
        cli.main(["work"])


def test_interrupt_is_quiet(command, capsys):
    command("raise KeyboardInterrupt")
    assert cli.main(["work"]) == 130
    assert capsys.readouterr() == ("", "")


def test_exit_code_of_the_work_and_its_options(command):
    command("return args.times")
    assert cli.main(["work", "--times", "0"]) == 0
    assert cli.main(["work"]) == 1


def test_reader_that_has_seen_enough_causes_no_complaint(tmp_path):
    (tmp_path / "long.py").write_text(
        "def add_arguments(parser): pass\n"
        "def run(args):\n    for i in range(100000): print(i)\n    return 0\n"
        "from fieldelm_tools import cli\n"
        "cli.COMMANDS = {'Test': {'work': ('long', 'work')}}\n"
        "if __name__ == '__main__':\n    raise SystemExit(cli.main(['work']))\n"
    )
    line = f"{sys.executable} long.py | head -n 1"
    done = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("0\n", "")
