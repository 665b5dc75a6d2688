"""Installed as a service: files, steps, what systemd says of the unit, the watchdog's protocol, logs, and the wheel."""

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from gateway_brokers import wait_for

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
    for place in ("/home/pi/.local/bin/fieldelm", "/root/.local/bin/fieldelm"):
        with pytest.raises(UsageError, match="PIPX_HOME"):
            install.install_steps(Path("/"), start=True, executable=Path(place))
    steps = install.install_steps(Path("/"), start=True, executable=Path("/usr/local/bin/fieldelm"))
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


@pytest.mark.slow
def test_wheel_and_sdist_hold_all_that_a_gateway_needs(tmp_path):
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert list(tmp_path.glob("*.tar.gz"))
    unpacked = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    # from the wheel alone, with nothing of the checkout on the path
    probe = (
        "import sys, fieldelm_gateway.dashboard.app as app, fieldelm_gateway.database as database\n"
        "from fieldelm_tools.cli import main\n"
        f"assert app.__file__.startswith({str(unpacked)!r}), app.__file__\n"
        "assert {'index.html', 'app.js', 'charts.js', 'api.js', 'style.css'} <= {one.name for one in app.STATIC.iterdir()}\n"
        "assert [number for number, _ in database.migrations()] == [1, 2]\n"
        "sys.exit(main(['gateway', 'config']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe],
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert config.read(done.stdout, "printed") == config.GatewayConfig()


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
