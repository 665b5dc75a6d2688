"""The fixed-point kernels on the processors that they are for: the bits of the C core on this machine."""

import shutil
import sys
from pathlib import Path

import pytest

from fieldelm_tools import build

SCRIPTS = Path(__file__).resolve().parents[1] / "native_modules"
sys.path.insert(0, str(SCRIPTS))  # test_fixed_micropython, fixed_core

import fixed_core  # noqa: E402
import test_fixed_micropython  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    if shutil.which("cc") is None:
        pytest.skip("no C compiler (cc)")
    return test_fixed_micropython.expected(fixed_core.build(tmp_path_factory.mktemp("fixed"), ["-O2"]))


def check(target, native, expected):
    """The native module and the one that is built in."""
    target.add_file("natmod.mpy", native.read_bytes())
    code = (SCRIPTS / "mp_fixed.py").read_text(encoding="utf-8")
    for module in ("natmod", "fieldelm_native"):
        target.run("import gc; gc.collect()")
        printed = target.run(f"import sys\nsys.argv[:] = ['mp_fixed.py', {module!r}]\n{code}")
        assert printed.splitlines() == expected, module


@pytest.mark.parametrize("architecture", ["armv6m", "armv7emsp"])
def test_on_an_emulated_processor(architecture, tool_chain, qemu, expected):
    check(qemu(architecture), build.natmod(architecture), expected)


def test_on_the_emulated_pico(tool_chain, pico, expected):
    target = pico()
    target.enter()
    check(target, build.natmod("armv6m"), expected)
    assert (
        target.run("from fieldelm import kernels, kernel_test; print(kernel_test.wrong(kernels.native))").strip()
        == "None"
    )
