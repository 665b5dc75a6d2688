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

from fieldelm_tools import build, environment  # noqa: E402


@pytest.fixture(scope="session")
def core(tmp_path_factory):
    """The kernels as they are in native_modules/core."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler (cc)")
    flags = os.environ.get("FIELDELM_CORE_FLAGS", "-O2").split()
    return Core.build(tmp_path_factory.mktemp("core"), flags)


@pytest.fixture(scope="session")
def float_module():
    """Folder of the float kernels as native module: the baseline of the bench, in no node."""
    found = environment.micropython()
    if found.kernels == "python" or found.architecture not in build.COMPILERS:
        pytest.skip("this MicroPython loads no native modules")
    if shutil.which(build.COMPILERS[found.architecture][0]) is None:
        pytest.skip(f"no {build.COMPILERS[found.architecture][0]}")
    return build.natmod(found.architecture, build.FLOAT_MODULE).parent


@pytest.fixture(params=["native", "python"])
def implementation(request):
    """Name of the module that has the float kernels: both implementations, one after the other."""
    if request.param == "native":
        request.getfixturevalue("float_module")
        return build.FLOAT_MODULE
    return "fieldelm.kernels_py"


@pytest.fixture(scope="session")
def micropython():
    """Run a script of this folder on MicroPython and return what it printed."""

    def run(script, *words):
        variables = environment.micropython_environment("sim")
        floats = (
            environment.build_directory() / "natmods" / f"{environment.micropython().architecture}-{build.FLOAT_MODULE}"
        )
        variables["MICROPYPATH"] = f"{floats}{os.pathsep}{variables['MICROPYPATH']}"
        done = subprocess.run(
            [*environment.micropython_command(), "-X", "heapsize=1m", str(HERE / script), *words],
            env=variables,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
