"""Decisions on the fixed-point kernels are as good as in float64."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fieldelm_tools import environment
from fieldelm_tools.bench import accuracy, peers
from fieldelm_tools.bench.cooling_fan import find

SEEDS = {"bands": 8, "raw511": 4}
NEAR = 0.003
FLOAT64 = "OS-ELM float64"


@pytest.fixture
def in_float64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Has the node's own learner take the autoencoder in float64 with the same random layer, beside everything that it has."""
    if environment.micropython().kernels != "native module":
        pytest.skip("this MicroPython has no native module to compare with")

    def change() -> None:
        package = tmp_path / "fieldelm"
        shutil.copytree(environment.repository_root() / "device" / "fieldelm", package)
        shutil.copy(Path(__file__).with_name("float64_elm.py"), package)
        with (package / "elm.py").open("a") as file:
            file.write("from fieldelm.float64_elm import Float64Elm as OsElm\n")
        path = [tmp_path, *environment.micropath()]
        monkeypatch.setattr(environment, "micropath", lambda board="sim": path)

    return change


@pytest.mark.nightly
@pytest.mark.data
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("features", ["bands", "raw511"])
def test_means_are_those_of_float64(
    features: str, recordings: Path, in_float64: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same learner, to within 0.003; and with bands not worse than the plain OS-ELM that is among the peers.

    (Of raw bins that is another model: its weights are uniform, those of the node's layer +-1.)
    """
    monkeypatch.setattr(peers, "PEERS", {FLOAT64: peers.PEERS[FLOAT64]})
    monkeypatch.setattr(peers, "check", dict)  # it needs none of the others' libraries
    monkeypatch.setattr(accuracy, "RETRAINED_ROWS", ())

    def mean() -> tuple[dict[str, Any], dict[str, Any]]:
        found = accuracy.run(find(recordings), features, range(1, SEEDS[features] + 1), True)
        return found["mean"]["odl"], found["peers"][FLOAT64]["odl"]

    fixed, peer = mean()
    in_float64()
    float64, _ = mean()
    print(f"{features}: fixed point {fixed}, float64 {float64}, plain {FLOAT64} {peer}")
    for figure in ("auc", "balanced_accuracy"):
        assert fixed[figure] == pytest.approx(float64[figure], abs=NEAR), figure
        if features == "bands":
            assert fixed[figure] >= peer[figure] - NEAR, figure
