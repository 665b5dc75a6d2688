"""`fieldelm bench gateway` in short form: nothing is lost, nothing comes twice, and what it prints has the agreed keys."""

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_frames_through_the_real_path():
    command = [sys.executable, "-m", "fieldelm_tools.cli", "bench", "gateway", "--nodes", "10", "1000", "--json"]
    done = subprocess.run(
        [*command, "--frames", "2000", "--seconds", "3"], capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    print(document)
    assert document.keys() >= {
        *("frames_per_s", "ratio_to_bare", "ack_p99_ms", "subscriber_p50_ms", "subscriber_p99_ms"),
        *("rss_mb", "bytes_per_event", "lost", "duplicate_ids"),
    }
    assert [one["nodes"] for one in document["by_nodes"]] == [10, 1000]
    for one in document["by_nodes"]:
        assert (one["lost"], one["duplicate_ids"]) == (0, 0)
        assert one["rss_mb"] < 150
        assert one["cpu_ms_per_frame"] < 1  # speed itself depends on what else the machine does
    assert document["bytes_per_event"] < 2000
