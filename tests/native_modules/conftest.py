"""The C core compiled for this machine, MicroPython, and the native module."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # kernels_reference, core: shared by the tests here

from core import Core  # noqa: E402

from fieldelm_tools import environment  # noqa: E402


@pytest.fixture(scope="session")
def core(tmp_path_factory):
    """The kernels as they are in native_modules/core."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler (cc)")
    flags = os.environ.get("FIELDELM_CORE_FLAGS", "-O2").split()
    return Core.build(tmp_path_factory.mktemp("core"), flags)


@pytest.fixture(params=["native", "python"])
def implementation(request):
    """Name of the module that has the kernels: both implementations, one after the other."""
    if request.param == "native" and environment.micropython().kernels == "python":
        pytest.skip("this MicroPython has no native kernels")
    return {"native": "fieldelm_native", "python": "fieldelm.kernels_py"}[request.param]


@pytest.fixture(scope="session")
def micropython():
    """Run a script of this folder on MicroPython and return what it printed."""

    def run(script, *words):
        done = subprocess.run(
            [*environment.micropython_command(), "-X", "heapsize=1m", str(HERE / script), *words],
            env=environment.micropython_environment("sim"),
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
