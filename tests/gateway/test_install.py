"""Installed as a service: files, steps, what systemd says of the unit, the watchdog's protocol, logs, and the wheel."""

import contextlib
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import sysconfig
import time
import urllib.request
import zipfile
from pathlib import Path

import pytest
from gateway_brokers import free_port, wait_for

from fieldelm_gateway import config, install
from fieldelm_gateway.errors import UsageError

ROOT = Path(__file__).parents[2]


def _fieldelm(*words, **more):
    command = [sys.executable, "-m", "fieldelm_tools.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **more)


def test_install_into_an_image_twice_and_uninstall(tmp_path):
    done = _fieldelm("gateway", "install", "--root", tmp_path)
    assert done.returncode == 0, done.stderr
    unit = (tmp_path / install.UNIT_PATH).read_text()
    assert "Type=notify" in unit
    assert "gateway run --config /etc/fieldelm/gateway.toml" in unit
    written = tmp_path / install.CONFIG_PATH
    assert stat.S_IMODE(written.stat().st_mode) == 0o640
    assert config.load(written) == config.GatewayConfig()
    written.write_text('[gateway]\nname = "mine"\n')
    assert _fieldelm("gateway", "install", "--root", tmp_path).returncode == 0
    assert config.load(written).gateway.name == "mine", "a configuration is never overwritten"
    assert _fieldelm("gateway", "uninstall", "--root", tmp_path).returncode == 0
    assert not (tmp_path / install.UNIT_PATH).exists()
    assert written.exists()
    assert _fieldelm("gateway", "uninstall", "--purge", "--root", tmp_path).returncode == 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_dry_run_says_every_step_and_does_none(tmp_path):
    done = _fieldelm("gateway", "install", "--dry-run", cwd=tmp_path)
    if done.returncode == 2:  # this checkout is below /home or /root
        assert "PIPX_HOME" in done.stderr
    else:
        for words in ("systemd-sysusers", "daemon-reload", "systemctl enable", "systemctl restart", "/etc/fieldelm"):
            assert words in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_services_cannot_see_is_refused():
    anywhere = Path("/usr/local/bin/fieldelm")
    for place in ("/home/pi/.local/bin/fieldelm", "/root/.local/bin/fieldelm"):
        with pytest.raises(UsageError, match=f"^{place} .*PIPX_HOME"):
            install.install_steps(Path("/"), start=True, executable=Path(place), python=Path("/usr"))
    with pytest.raises(UsageError, match=r"^/home/pi/\.pyenv/3\.13 .*--python /usr/bin/python3"):
        install.install_steps(Path("/"), start=True, executable=anywhere, python=Path("/home/pi/.pyenv/3.13"))
    steps = install.install_steps(Path("/"), start=True, executable=anywhere, python=Path("/usr"))
    assert [step.text.split()[0] for step in steps][-2:] == ["run", "run"]


def test_systemd_accepts_the_unit(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here, so the unit is not verified")
    executable = tmp_path / "fieldelm"
    executable.write_text("#!/bin/sh\n")
    executable.chmod(0o755)
    for step in install.install_steps(tmp_path, start=False, executable=executable):
        step.do()
    unit = tmp_path / install.UNIT_PATH
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if install.UNIT in line]
    assert said == []
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", unit], capture_output=True, text=True, timeout=60, check=False
    )
    (overall,) = [line for line in done.stdout.splitlines() if "Overall exposure" in line]
    exposure = float(overall.split(":")[1].split()[0])
    print(overall)
    assert exposure < 3


def test_ready_alive_and_stopping_are_told(world):
    address = str(world.folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(address)
        ear.settimeout(10)
        os.environ.update(NOTIFY_SOCKET=address, WATCHDOG_USEC="900000")
        try:
            world.start_gateway()
        finally:
            del os.environ["NOTIFY_SOCKET"], os.environ["WATCHDOG_USEC"]
        assert ear.recv(4096).startswith(b"READY=1")
        began = time.monotonic()
        assert [ear.recv(4096) for _ in range(4)] == [b"WATCHDOG=1"] * 4
        assert time.monotonic() - began < 2
        assert world.gateway.stop() == 0
        while (word := ear.recv(4096)) == b"WATCHDOG=1":
            pass
        assert word == b"STOPPING=1"


def test_log_as_json_and_for_the_journal(world):
    command = [sys.executable, "-m", "fieldelm_tools.cli", "gateway", "run", "--config", str(world.config)]
    for more, check in (
        (["--log-format", "json"], lambda line: json.loads(line).keys() >= {"time", "level", "logger", "message"}),
        ([], lambda line: line.startswith(("<6>", "<4>"))),
    ):
        log = world.folder / "log"
        with log.open("wb") as file:
            status = os.fstat(file.fileno())
            environment = {**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
            process = subprocess.Popen([*command, *more], stderr=file, env=environment)
        wait_for(lambda log=log: "is up" in log.read_text())
        process.terminate()
        assert process.wait(20) == 0
        lines = log.read_text().splitlines()
        assert len(lines) >= 3
        assert all(check(line) for line in lines), lines


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """The program as `pipx` installs it, from the sdist's own wheel: nothing of this checkout is in reach."""
    folder = tmp_path_factory.mktemp("elsewhere")
    built = folder / "built"
    for command in (
        [sys.executable, "-m", "hatchling", "build", "-d", built],
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "--no-index",
            "--no-build-isolation",
            "-w",
            folder / "again",
        ],
        [sys.executable, "-m", "venv", "--without-pip", folder / "venv"],
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            folder / "venv/bin/python",
            "install",
            "-q",
            "--no-deps",
            "--no-index",
        ],
    ):
        if "wheel" in command:
            command.append(next(built.glob("*.tar.gz")))
        elif "install" in command:
            command.append(next((folder / "again").glob("*.whl")))
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=300, env=_outside(folder), check=False
        )
        assert done.returncode == 0, done.stderr
    with contextlib.ExitStack() as stack:
        direct, through_sdist = (
            {(one.filename, one.CRC) for one in stack.enter_context(zipfile.ZipFile(next(at.glob("*.whl")))).infolist()}
            for at in (built, folder / "again")
        )
    assert direct == through_sdist, "whichever way, the same files"
    # its dependencies are those of this environment, which saves downloading them; .pth files in there are not followed
    (site,) = (folder / "venv/lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def _outside(folder):
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"HOME": str(folder)}


@pytest.mark.slow
def test_installed_without_the_repository_the_gateway_does_all_of_its_work(elsewhere, world):
    fieldelm = elsewhere / "venv/bin/fieldelm"

    def run(*words):
        command = [fieldelm, *map(str, words)]
        return subprocess.run(
            command, cwd=elsewhere, env=_outside(elsewhere), capture_output=True, text=True, timeout=60, check=False
        )

    where = run("--version")
    assert where.returncode == 0, where.stderr
    printed = run("gateway", "config")
    assert config.read(printed.stdout, "printed") == config.GatewayConfig()
    port = free_port()
    world.dashboard = [f'listen = "127.0.0.1:{port}"']
    world.write_config()
    made = run("provision", "--sim", "--name", "fan", "--config", world.config, "--out", world.folder / "nodes")
    assert made.returncode == 0, made.stderr
    node = world.node()
    world.broker.start()
    subscriber = world.subscribe()
    with (elsewhere / "log").open("wb") as log:
        process = subprocess.Popen(
            [fieldelm, "gateway", "run", "--config", world.config], cwd=elsewhere, env=_outside(elsewhere), stderr=log
        )
    try:
        world.modem.wait_until_configured()
        world.modem.exchange(node.alert())
        subscriber.wait_for("/event")
        for path, word in (("/", "<title>Fieldelm"), ("/static/charts.js", "export"), ("/healthz", '"ok"')):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                assert word in answer.read().decode()
        maps = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode()
        assert str(elsewhere) in maps
        listed = run("node", "list", "--json", "--config", world.config)
        assert json.loads(listed.stdout)["nodes"][0]["name"] == "fan"
    finally:
        process.terminate()
        assert process.wait(20) == 0
    assert "Traceback" not in (elsewhere / "log").read_text()
    assert run("gateway", "install", "--root", elsewhere / "image").returncode == 0
    assert f"ExecStart={fieldelm} " in (elsewhere / "image" / install.UNIT_PATH).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("words", ["demo", "flash", "emulate", "build natmods", "build firmware", "bench kernels"])
def test_what_needs_the_repository_says_so_in_one_line(elsewhere, words):
    done = subprocess.run(
        [elsewhere / "venv/bin/fieldelm", *words.split()],
        cwd=elsewhere,
        env=_outside(elsewhere),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (1, 2)
    assert done.stderr.count("\n") == 1, done.stderr
    assert "clone the project and run `make setup`" in done.stderr


def test_monitor_shows_every_event_once(world):
    world.broker.start()
    node, other = world.node("Pump"), world.node("Fan")
    world.start_gateway()
    world.modem.exchange(node.alert())
    wait_for(lambda: "connected to" in world.gateway.said())
    log = world.folder / "monitor"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "fieldelm_tools.cli",
                "monitor",
                "--config",
                str(world.config),
                "--severity",
                "warning",
            ],
            stdout=file,
            stderr=file,
        )
    wait_for(lambda: "alarm stands since" in log.read_text() and "is online" in log.read_text())
    world.modem.exchange(node.alert())
    world.modem.exchange(other.alert("boot"))
    world.modem.exchange(other.alert("battery_low"))
    wait_for(lambda: "battery low" in log.read_text())
    world.broker.stop()
    wait_for(lambda: "trying again" in log.read_text())
    world.broker.start()
    wait_for(lambda: log.read_text().count("is online") == 2, 20)
    world.modem.exchange(other.alert("sensor_fault"))
    wait_for(lambda: "sensor fault" in log.read_text(), 20)
    process.terminate()
    process.wait(10)
    text = log.read_text()
    assert "boot" not in text
    assert text.count("machine alarm") == 1
    assert text.count("alarm stands") == 1
    assert "Traceback" not in text
    done = _fieldelm("monitor", "--config", world.config, "--json", "--seconds", "2", "--node", "Pump")
    assert {json.loads(line).get("name") for line in done.stdout.splitlines()} == {None, "Pump"}
