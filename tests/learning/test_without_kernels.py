"""The learner on Python's floats, where there is no native module."""

import subprocess

import pytest

from fieldelm_tools import environment

TESTS = (
    "test_new_source_is_a_change_of_environment_and_is_relearned",
    "test_fault_alarms_and_is_not_learned",
    "test_restart_goes_on_where_it_was",
    "test_faults_of_a_raw_sensor_are_named",
)
CODE = "import mp_learner\nmp_learner.{}()"
OTHER = """
import io, mp_learner
from fieldelm.float_elm import FloatElm
from fieldelm.fixed_elm import FixedElm
from fieldelm import watcher
second = mp_learner.Watcher(mp_learner.settings(), mp_learner.Sensor())
for given, taken in ((FixedElm, FloatElm), (FloatElm, FixedElm)):
    watcher.OsElm = given
    first, _ = mp_learner.commissioned()
    image = mp_learner.stored(first)
    watcher.OsElm = taken
    second = mp_learner.Watcher(mp_learner.settings(), mp_learner.Sensor())
    assert not second.load(io.BytesIO(image), len(image)) and second.state == "commissioning"
    watcher.OsElm = given
    third = mp_learner.Watcher(mp_learner.settings(), mp_learner.Sensor())
    assert third.load(io.BytesIO(image), len(image)) and third.state == "watching"
"""


def run(code: str, monkeypatch: pytest.MonkeyPatch, kernels: str = "") -> None:
    monkeypatch.setenv("FIELDELM_KERNELS", kernels)
    variables = environment.micropython_environment()
    variables["MICROPYPATH"] = f"{environment.repository_root() / 'tests' / 'learning'}:{variables['MICROPYPATH']}"
    done = subprocess.run(
        [*environment.micropython_command(), "-X", "heapsize=1M", "-c", code],
        env=variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", TESTS)
def test_the_learner_behaves_on_floats(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if environment.micropython().kernels == "user module":
        pytest.skip("kernels are built in: there is no module to leave out")
    check = "from fieldelm.elm import OsElm\nassert OsElm.__name__ == 'FloatElm'\n"
    run(check + CODE.format(name), monkeypatch, "python")


def test_a_model_stored_by_the_other_kernels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    if environment.micropython().kernels == "python":
        pytest.skip("this MicroPython has no native kernels")
    run(OTHER, monkeypatch)
