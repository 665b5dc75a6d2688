"""However the demo ends, nothing of it goes on running."""

import json
import re
import signal
import subprocess
import time
import urllib.request

import psutil
import pytest
from demo_runs import COMMAND

ENDS_S = 20


def start(folder, *arguments):
    command = [*COMMAND, "--out", str(folder), "--nodes", "2", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(process, pattern):
    """Read lines until one matches."""
    for line in process.stdout:
        if found := re.search(pattern, line):
            return found
    raise AssertionError(process.stderr.read())


def still_running(processes):
    until = time.monotonic() + ENDS_S
    while time.monotonic() < until:
        left = [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        if not left:
            return []
        time.sleep(0.1)
    return [p.cmdline() for p in left]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)], ids=["INT", "TERM", "KILL"]
)
def test_signal_ends_every_process(tmp_path, number, code):
    demo = start(tmp_path, "--speed", "100")
    wait_for(demo, "commissioning")
    family = psutil.Process(demo.pid).children(recursive=True)
    assert len(family) >= 4  # broker, gateway, two nodes
    demo.send_signal(number)
    _, errors = demo.communicate(timeout=ENDS_S)
    assert demo.returncode == code
    assert "Traceback" not in errors
    assert still_running(family) == []


def test_ctrl_c_leaves_nothing_retained_on_a_broker_of_ones_own(tmp_path, broker):
    demo = start(tmp_path / "out", "--speed", "100", "--broker", broker.url)
    wait_for(demo, "MQTT node/.*: boot")
    assert broker.retained() != []
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=ENDS_S)
    assert demo.returncode == 130
    assert broker.retained() == []


def test_keep_leaves_the_broker_open_until_ctrl_c(tmp_path):
    demo = start(tmp_path, "--keep")
    try:
        port = int(wait_for(demo, r"Broker: 127\.0\.0\.1:(\d+)")[1])
        base = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-V", "311", "-W", "10", "-C", "1"]
        heard = subprocess.run([*base, "-t", "fieldelm/v1/demo/state"], capture_output=True, text=True, timeout=20)
        assert '"online"' in heard.stdout
        assert (tmp_path / "report.html").exists()
        page = wait_for(demo, r"Dashboard: (http://127\.0\.0\.1:\d+)/")[1]
        with urllib.request.urlopen(f"{page}/", timeout=10) as answer:
            assert "<title>Fieldelm" in answer.read().decode()
        with urllib.request.urlopen(f"{page}/api/nodes", timeout=10) as answer:
            nodes = json.load(answer)["nodes"]
        assert len(nodes) == 2
        assert all(node["firmware"] and node["bands"] and node["state"]["state"] for node in nodes), "their cards"
        assert any(node["alarm"]["active"] for node in nodes), "the alarm of the story"
        family = psutil.Process(demo.pid).children(recursive=True)
    finally:
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=ENDS_S)
    assert demo.returncode == 0
    assert still_running(family) == []
