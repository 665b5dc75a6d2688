"""The set-up program itself."""

import io
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from fieldelm_tools import debian, environment, setup, sources, unix_port
from fieldelm_tools.errors import FieldelmError, SetupError

ROOT = Path(__file__).resolve().parents[2]
BASE = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"


def set_up(**variables):
    """Run set-up in this checkout with the Python that made its .venv."""
    wanted = {**os.environ, "PYTHONPATH": str(ROOT / "tools"), **variables}
    line = [BASE, "-m", "fieldelm_tools.setup"]
    return subprocess.run(line, cwd=ROOT, env=wanted, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def test_second_run_changes_nothing_and_takes_less_than_a_second():
    assert set_up().returncode == 0
    record = environment.build_directory() / "setup.json"
    before = record.stat().st_mtime_ns
    start = time.monotonic()
    done = set_up()
    assert time.monotonic() - start < 1
    assert done.returncode == 0
    assert done.stdout.startswith("setup: ready: MicroPython")
    assert done.stdout.count("\n") == 1
    assert record.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({"MICROPYTHON": "/nowhere/micropython"}, "MICROPYTHON=/nowhere/micropython is no executable"),
        ({"MICROPYTHON": "/bin/true"}, "/bin/true is no MicroPython"),
        ({"MPY_DIR": "/nowhere"}, "MPY_DIR=/nowhere is no MicroPython checkout"),
        ({"FIELDELM_MICROPYTHON": "magic"}, "FIELDELM_MICROPYTHON=magic"),
    ],
)
def test_wrong_choice_of_micropython_is_one_line_and_spoils_nothing(variables, text):
    before = environment.micropython()
    done = set_up(**variables)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert text.replace("/bin/true", str(Path("/bin/true").resolve())) in done.stderr
    assert environment.micropython() == before


def test_old_python_is_told_so():
    script = "import sys; sys.version_info = (3, 9, 2); import fieldelm_tools.setup"
    line = [sys.executable, "-c", script]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Python 3.11 or later is needed, this is 3.9" in done.stderr
    assert done.stderr.count("\n") == 1


def test_step_is_done_again_when_an_input_or_an_output_is_another(tmp_path):
    source, output = tmp_path / "source", tmp_path / "output"
    source.mkdir()
    (source / "a.c").write_text("1")
    output.write_text("")
    first = setup.fingerprint(source, "word")
    setup.Stamps(tmp_path / "stamps.json").set("step", first)
    stamps = setup.Stamps(tmp_path / "stamps.json")
    assert stamps.done("step", setup.fingerprint(source, "word"), output)
    assert not stamps.done("step", setup.fingerprint(source, "other word"), output)
    (source / "a.c").write_text("2")
    assert not stamps.done("step", setup.fingerprint(source, "word"), output)
    (source / "a.c").write_text("1")
    output.unlink()
    assert not stamps.done("step", first, output)


def test_spoilt_stamps_mean_starting_again(tmp_path):
    (tmp_path / "stamps.json").write_text('{"step"')
    assert not setup.Stamps(tmp_path / "stamps.json").done("step", "x")


def archive(path, top="upstream-1.0"):
    with tarfile.open(path, "w:xz") as tar:
        member = tarfile.TarInfo(f"{top}/file")
        member.size = 5
        tar.addfile(member, io.BytesIO(b"hello"))


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A source package whose archive `download` puts where apt-get would; the attribute is what the archive holds."""
    monkeypatch.setattr(sources, "build_directory", lambda: tmp_path / "build")
    monkeypatch.setattr(sources, "mirrors", lambda: ["here"])
    monkeypatch.setattr(sources, "download", lambda source, mirror, folder: archive(folder / "hello_1.0.orig.tar.xz"))
    archive(tmp_path / "same.tar.xz")
    digest = sources.digest(tmp_path / "same.tar.xz")
    return sources.Source("hello", "1.0-1", "hello_1.0.orig.", {"hello_1.0.orig.tar.xz": digest})


@pytest.mark.skipif(debian.program("apt-get") is None, reason="no apt-get")
def test_source_is_fetched_once_and_unpacked_without_its_top_folder(source, tmp_path, monkeypatch):
    target = tmp_path / "build" / "hello"
    assert (sources.unpacked(source, target) / "file").read_text() == "hello"
    monkeypatch.delattr(sources, "download")
    assert sources.unpacked(source, target) == target
    (target / ".unpacked").unlink()  # an interrupted run: the verified archive is used again
    assert (sources.unpacked(source, target) / "file").read_text() == "hello"


@pytest.mark.skipif(debian.program("apt-get") is None, reason="no apt-get")
def test_altered_source_is_refused_and_not_kept(source, tmp_path, monkeypatch):
    monkeypatch.setattr(
        sources, "download", lambda source, mirror, folder: archive(folder / "hello_1.0.orig.tar.xz", "x")
    )
    with pytest.raises(SetupError, match="another SHA-256"):
        sources.unpacked(source, tmp_path / "build" / "hello")
    assert list((tmp_path / "build" / "downloads").glob("hello*")) == []
    assert not (tmp_path / "build" / "hello").exists()


def test_archive_is_the_one_that_was_named(monkeypatch):
    monkeypatch.setenv("DEBIAN_MIRROR", "file:///media/debian")
    assert sources.mirrors() == ["file:///media/debian"]


def test_checkout_is_the_one_that_was_named(monkeypatch, tmp_path):
    (tmp_path / "py").mkdir()
    (tmp_path / "py" / "dynruntime.mk").touch()
    monkeypatch.setenv("MPY_DIR", str(tmp_path))
    assert sources.micropython() == tmp_path.resolve()


def test_failed_build_quotes_its_first_complaint_and_its_log(tmp_path, monkeypatch):
    monkeypatch.setattr(unix_port, "build_directory", lambda: tmp_path)
    (tmp_path / "Makefile").write_text("all:\n\t@echo fine; echo 'kernel.c:3: error: expected ;'; echo later; false\n")
    with pytest.raises(FieldelmError, match=r"kernel.c:3: error: expected ; .*logs/kernel.log"):
        unix_port.make(tmp_path, {}, "kernel")


def test_missing_package_is_named_with_the_line_to_type():
    line = [sys.executable, "-m", "fieldelm_tools.debian", "no-such-program-anywhere"]
    done = subprocess.run(line, env={**os.environ, "PATH": "/nowhere"}, capture_output=True, text=True)
    assert done.returncode == 1
    assert "no-such-program-anywhere" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("architecture", ["armv6m", "armv7emsp"])
def test_native_module_for_the_pico_is_built_or_its_compiler_named(architecture, tmp_path, monkeypatch, capsys):
    from fieldelm_tools import cli

    code = cli.main(["build", "natmods", "--arch", architecture])
    out, err = capsys.readouterr()
    if debian.program("arm-none-eabi-gcc"):
        path, size, _ = out.splitlines()[0].split()  # the memory plan follows
        assert code == 0
        assert int(size) > 1000
        # version 6, subversion 3 and architecture of the format (MicroPython reference manual, ".mpy files")
        number = {"armv6m": 4, "armv7emsp": 7}[architecture]
        assert (ROOT / path).read_bytes()[:3] == bytes([ord("M"), 6, number << 2 | 3])
    else:
        assert code == 2
        assert "arm-none-eabi-gcc: sudo apt-get install gcc-arm-none-eabi" in err


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.skipif(
    debian.program("gcc") is None or debian.program("apt-get") is None, reason="no C compiler or no apt-get"
)
def test_unix_port_built_from_source_has_aes_and_the_kernels(tmp_path, monkeypatch):
    """What machines without a ready-made MicroPython get."""
    monkeypatch.setattr(unix_port, "build_directory", lambda: tmp_path)
    executable = unix_port.build(sources.micropython())
    found = unix_port.probe(executable, "source")
    assert (found.version, found.kernels) == ("1.25.0", "user module")
