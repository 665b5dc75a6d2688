"""`python -m fieldelm_tools.simnode`: a provisioned node as a process."""

import json
import signal
import stat
import subprocess
import sys

from fieldelm_tools.provision import provision


def run(folder):
    return subprocess.Popen(
        [sys.executable, "-m", "fieldelm_tools.simnode", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def test_a_provisioned_node_runs_until_it_is_told_to_stop_and_goes_on_where_it_was(tmp_path):
    sections = {"learn": {"train_rows": 8, "calibration_rows": 8}}
    folder = provision(tmp_path / "gateway.db", tmp_path / "nodes", "fan", sections=sections).folder
    before = (folder / "config.json").read_bytes()
    for awaited in ("commissioned", "boot"):
        process = run(folder)
        for line in process.stdout:
            said = json.loads(line)
            if said.get("event") == awaited:
                break
        else:
            raise AssertionError(process.stderr.read())
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        assert process.returncode == 0
    assert (folder / "config.json").read_bytes() == before
    assert stat.S_IMODE((folder / "config.json").stat().st_mode) == 0o600


def test_a_folder_without_a_node_is_one_line_with_the_mend(tmp_path):
    process = run(tmp_path)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "fieldelm provision" in error
    assert error.count("\n") == 1
