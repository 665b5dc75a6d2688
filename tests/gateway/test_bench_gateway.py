"""`fieldelm bench gateway` in short form: nothing is lost, nothing comes twice, and what it prints has the agreed keys."""

import json
import subprocess
import sys

import pytest

from fieldelm_tools.cli import main


def _bench(*words, timeout=110):
    command = [sys.executable, "-m", "fieldelm_tools.cli", "bench", "gateway", "--json", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    print(document)
    return document


@pytest.mark.slow
def test_frames_through_the_real_path():
    document = _bench("--nodes", 10, 1000, "--frames", 2000, "--seconds", 3)
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


@pytest.mark.parametrize(
    "words", ["--nodes 0", "--nodes 65536", "--frames 0", "--seconds 0", "--rate 0", "--rate -9 --seconds -99"]
)
def test_what_cannot_be_measured_is_refused_in_one_line(words, capsys):
    assert main(["bench", "gateway", *words.split()]) == 2
    assert capsys.readouterr().err.startswith(
        f"fieldelm: {words.split()[0].replace('--rate', '--frames').replace('--seconds', '--frames')} is "
    )


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_million_frames_with_the_dashboard_on(tmp_path):
    options = ("--nodes", 1000, "--dashboard", "--seconds", 5, "--out", tmp_path)
    short = _bench(*options, "--frames", 100_000, timeout=600)
    long = _bench(*options, "--frames", 1_000_000, timeout=3000)
    assert (long["lost"], long["duplicate_ids"]) == (0, 0)
    assert long["rss_mb"] < 150
    assert long["rss_mb"] - short["rss_mb"] < 10, "flat"
