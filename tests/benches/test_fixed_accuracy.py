"""Decisions on the fixed-point kernels are as good as on floats."""

import json
from pathlib import Path
from typing import Any

import pytest

from fieldelm_tools import cli, environment

SEEDS = 8
NEAR = 0.003


@pytest.mark.nightly
@pytest.mark.data
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("features", ["bands", "raw511"])
def test_means_are_those_of_floats(
    features: str, recordings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if environment.micropython().kernels != "native module":
        pytest.skip("this MicroPython has no native module to leave out")

    def mean() -> dict[str, Any]:
        words = [
            "bench",
            "accuracy",
            "--data",
            str(recordings),
            "--features",
            features,
            "--seeds",
            str(SEEDS),
            "--json",
        ]
        assert cli.main(words) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)["mean"]["odl"]
        return found

    fixed = mean()
    monkeypatch.setenv("FIELDELM_KERNELS", "python")
    floats = mean()
    assert fixed["auc"] >= floats["auc"] - NEAR
    assert fixed["balanced_accuracy"] >= floats["balanced_accuracy"] - NEAR
