"""A short run of each suite: the node's code on MicroPython keeps its promises. Longer: `fieldelm bench accuracy --suite all`."""

import json
import os
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from fieldelm_tools import cli
from fieldelm_tools.bench import recorded_suites, suites
from fieldelm_tools.bench.cooling_fan import CoolingFan, find
from fieldelm_tools.bench.figures import von_neumann_ratio
from fieldelm_tools.bench.node import Node, Settings
from fieldelm_tools.bench.recorded_suites import stands_still
from fieldelm_tools.bench.scenario import Outcome
from fieldelm_tools.bench.streams import apart, bootstrap
from fieldelm_tools.errors import UsageError


@pytest.fixture(scope="module")
def fan() -> CoolingFan:
    data = Path(os.environ.get("FIELDELM_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not data.is_dir():
        pytest.skip("no recordings: set FIELDELM_DATA")
    return find(data)


def run(suite: str, fan: CoolingFan | None = None, only: str = "", seeds: int = 1) -> list[Outcome]:
    outcomes = suites.run([suite], fan, quick=True, seeds=seeds, only=only)
    assert outcomes
    return outcomes


@pytest.mark.data
@pytest.mark.parametrize("speed", "hmlo")
def test_moved_nodes_relearn(fan: CoolingFan, speed: str) -> None:
    (outcome,) = run("drift", fan, f"silent to noisy, {speed}")
    assert outcome.false_alarms == 0
    assert outcome.delay is not None and outcome.delay <= 12 and 0 < outcome.more["watching_again"] <= 40, outcome


@pytest.mark.data
def test_a_machine_of_many_speeds_is_moved_without_an_alarm(fan: CoolingFan) -> None:
    outcomes = run("drift", fan, "silent to noisy at all speeds", seeds=4)
    assert not any(outcome.missed for outcome in outcomes), outcomes
    # a speed that comes while another one is relearned may be told as a fault
    assert sum(outcome.false_alarms > 0 for outcome in outcomes) <= 1, outcomes


@pytest.mark.data
def test_stationary_nodes_stay_quiet(fan: CoolingFan) -> None:
    outcomes = run("drift", fan, suites.STATIONARY)
    still = [outcome for outcome in outcomes if stands_still(outcome.more)]
    assert len(still) == 5
    assert sum(outcome.false_alarms for outcome in still) == 0, still
    drifting = {outcome.scenario: outcome.more["von_neumann_ratio"] for outcome in outcomes if outcome not in still}
    assert set(drifting) == {f"{suites.STATIONARY}, {which}" for which in ("silentA h", "silentA m", "noisy h")}


def test_an_order_that_does_not_matter_has_a_von_neumann_ratio_of_one() -> None:
    random = np.random.default_rng(1)
    still = random.normal(size=(2000, 8))
    assert von_neumann_ratio(still) == pytest.approx(1, abs=0.05)
    slope = np.linspace(0, np.sqrt(12), 2000)[:, None]  # as much variance as the noise
    assert von_neumann_ratio(still + slope) == pytest.approx(0.5, abs=0.05)


@pytest.mark.data
def test_a_recording_that_goes_on_as_it_began_is_no_alarm(fan: CoolingFan) -> None:
    assert sum(outcome.false_alarms for outcome in run("drift", fan, "as recorded")) == 0


@pytest.mark.data
def test_damaged_rows_among_those_learned_are_not_learned(fan: CoolingFan) -> None:
    for outcome in run("poison", fan):
        assert outcome.more["damage_auc"] >= 0.99, outcome


@pytest.mark.data
def test_a_long_stop_forgets_nothing(fan: CoolingFan) -> None:
    (outcome,) = run("idle", fan)
    assert outcome.false_alarms == 0
    assert min(outcome.more["damage1_auc"], outcome.more["damage2_auc"]) >= 0.99
    assert outcome.updates < 200


@pytest.mark.data
def test_speeds_at_random_are_told_apart_without_labels(fan: CoolingFan) -> None:
    for outcome in run("modes", fan):
        assert outcome.false_alarms == 0 and not outcome.missed, outcome
        assert outcome.more["mode_purity"] > 0.95, outcome


def test_slow_imbalance_is_an_alarm_before_half_of_it_and_never_learned_away() -> None:
    for outcome in run("wear", None, "imbalance", seeds=2):
        assert outcome.false_alarms == 0 and outcome.more["learned_as_environment"] == 0
        assert 0 < outcome.more["part_of_growth"] < 0.5, outcome


def test_one_band_that_wears_is_told_after_a_stop_and_the_machine_without_wear_is_not() -> None:
    for outcome in suites.run(["wear"], None, seeds=2, only="one band"):  # not quick: this is about days
        assert outcome.false_alarms == 0 and 0 < outcome.more["sigma_at_alarm"] < 6, outcome
    assert sum(outcome.false_alarms for outcome in suites.run(["wear"], None, seeds=2, only="without wear")) == 0


def test_each_sensor_fault_is_named_and_no_machine_fault() -> None:
    for outcome in run("sensor-fault", seeds=2):
        assert outcome.delay is not None and outcome.delay < 20 and not outcome.missed, outcome
        assert outcome.false_alarms == 0


def test_bad_commissioning_has_a_defined_outcome() -> None:
    found = {o.scenario: (o.more["first_event"], o.more.get("fault")) for o in run("commissioning")}
    assert found["healthy"] == ("commissioned", None)
    assert found["silence"] == found["one row repeated"] == ("sensor_fault", "stuck")
    assert found["noise without structure"] == ("commissioning_failed", None)
    assert found["not a number"] == ("sensor_fault", "dead")
    assert found["every fifth row is not a number"] == ("commissioned", None)
    assert found["half of the calibration rows are of another condition"] == ("commissioning_failed", None)


def test_healthy_days_and_nights_are_no_alarm() -> None:
    outcomes = run("healthy", seeds=4)
    assert sum(o.false_alarms for o in outcomes) <= len(outcomes), outcomes


def test_the_learner_takes_a_bounded_heap() -> None:
    with Node(Settings(columns=255, rate_hz=1024.0)) as node:
        assert node.model_bytes() > 7_000  # β, P and what goes with them
        assert node.heap_bytes() - node.model_bytes() <= 24 * 1024


def test_values_of_sensors_are_watched_whatever_they_are_made_of() -> None:
    found = {o.scenario: o for o in run("features")}
    for sensors in ("3 sensors", "6 sensors"):
        for process in ("independent", "AR(1)", "daily period"):
            assert found[f"{sensors}, {process}, healthy"].false_alarms == 0
        for process in ("independent", "AR(1)", "load-driven", "daily period"):
            shifted = found[f"{sensors}, {process}, shift of 5 sigma"]
            assert shifted.delay is not None and shifted.delay <= 2 * 144, shifted
            for which in ("one", "all"):
                still = found[f"{sensors}, {process}, {which} stuck"]
                assert still.delay is not None and still.delay < 128 and still.more["named"] == "stuck", still


def test_bootstrap_keeps_neighbours_and_is_repeatable() -> None:
    rows = np.arange(100)[:, None]
    drawn = bootstrap(rows, 64, np.random.default_rng(1))[:, 0]
    assert all(np.diff(block).tolist() == [1] * 15 for block in drawn.reshape(4, 16))
    assert np.array_equal(drawn, bootstrap(rows, 64, np.random.default_rng(1))[:, 0])


def test_parts_of_a_recording_share_no_block() -> None:
    rows = np.arange(300)
    train, calibration, rest = apart(rows, (64, 40), np.random.default_rng(1))
    assert (len(train), len(calibration), len(rest)) == (64, 40, 288 - 64 - 48)
    blocks = [set(part // 16) for part in (train, calibration, rest)]
    assert sum(map(len, blocks)) == len(set.union(*blocks)) == 18
    with pytest.raises(ValueError, match="300 rows are too few for 288 and a rest"):
        apart(rows, (288,), np.random.default_rng(1))


class Spy(Node):
    """A node whose rows are kept: as those of training, of calibration, and others."""

    spied: ClassVar[list["Spy"]] = []

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.given: list[np.ndarray] = []
        self.spied.append(self)

    def live(self, rows: np.ndarray) -> np.ndarray:
        self.given.append(np.asarray(rows))
        return super().live(rows)

    def score(self, rows: np.ndarray) -> np.ndarray:
        self.given.append(np.asarray(rows))
        return super().score(rows)

    def parts(self) -> list[set[bytes]]:
        # the upper half of the bins is left out: `season` changes it
        rows = [row[:255].tobytes() for given in self.given for row in given.astype("<f4")]
        train = self.settings.train_rows
        until = train + self.settings.calibration_rows
        return [set(rows[:train]), set(rows[train:until]), set(rows[until:])]


@pytest.mark.data
@pytest.mark.parametrize(
    ("suite", "scenario"),
    [
        ("drift", "silent to noisy, h"),
        ("drift", "silent to noisy at all speeds, one after the other"),
        ("drift", "moved, then damage1 m"),
        ("drift", "2,000 stationary rows, silentA l"),
        ("drift", "as recorded, noisy h"),
        ("drift", "season of 3 dB, noisy m"),
        ("poison", "relearned with 20 % damaged rows, m damage1"),
        ("poison", "commissioned with 20 % damaged rows, m damage1"),
        ("idle", "stopped for 20,000 rows"),
        ("modes", "random speeds, then damage1"),
    ],
)
def test_rows_trained_on_calibrated_with_and_tested_on_are_different_ones(
    fan: CoolingFan, monkeypatch: pytest.MonkeyPatch, suite: str, scenario: str
) -> None:
    monkeypatch.setattr(Spy, "spied", [])
    monkeypatch.setattr(recorded_suites, "Node", Spy)
    run(suite, fan, scenario)
    (spy,) = Spy.spied
    train, calibration, test = spy.parts()
    assert len(train) == spy.settings.train_rows and len(calibration) == spy.settings.calibration_rows
    assert test and not (train & calibration or train & test or calibration & test)


@pytest.mark.data
def test_json_holds_tasks_mean_peers_and_config(
    fan: CoolingFan, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = str(fan.folder.parent)
    code = cli.main(
        ["bench", "accuracy", "--data", data, "--quick", "--json", "--csv", str(tmp_path), "--plot", str(tmp_path)]
    )
    document = json.loads(capsys.readouterr().out)
    assert code == 0 and len(document["tasks"]) == 8
    assert set(document["tasks"]["damage1-spin"]["odl"]) == {"auc", "balanced_accuracy", "false_alarm_rate"}
    assert document["mean"]["odl"]["auc"] >= 0.995
    assert document["mean"]["odl"]["balanced_accuracy"] >= 0.96
    assert document["mean"]["odl"]["false_alarm_rate"] <= 0.03
    assert max(task["odl"]["false_alarm_rate"] for task in document["tasks"].values()) <= 0.10
    assert list(document["retraining"]) == ["0", "8", "16", "32", "64"]
    assert document["retraining"]["64"]["plain"] > document["retraining"]["0"]["plain"]
    assert (tmp_path / "tasks.csv").read_text().startswith("task,before: AUC,")
    assert (tmp_path / "tasks.svg").read_text().startswith("<svg")


def test_errors_are_one_line_with_the_mend(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "accuracy", "--data", str(tmp_path)]) == 2
    assert "name the folder that does" in capsys.readouterr().err
    with pytest.raises(UsageError, match="rows of 10 numbers for a node of 255"), Node(Settings(columns=255)) as node:
        node.live(np.zeros((1, 10)))
