"""The float kernels in C, the baseline of the bench, on the processors that it runs on."""

from pathlib import Path

import kernel_vectors
import pytest

from fieldelm_tools import build

SCRIPTS = Path(__file__).resolve().parents[1] / "native_modules"


def run_script(target, name, module):
    """Run a script of tests/native_modules on the target; return its lines."""
    target.run("import gc; gc.collect()")
    code = (SCRIPTS / name).read_text(encoding="utf-8")
    return target.run(f"import sys\nsys.argv[:] = [{name!r}, {module!r}]\n{code}").splitlines()


def check_module(target, native):
    """The native module: numbers, memory, and the words for wrong arguments."""
    target.add_file("natmod.mpy", native.read_bytes())
    assert kernel_vectors.check(target.run, "natmod") > 0
    assert run_script(target, "mp_memory.py", "natmod") == ["0 0"]
    refusals = run_script(target, "mp_refusals.py", "natmod")
    assert len(refusals) > 250
    assert sum("ValueError: " in line for line in refusals) > 200


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("architecture", ["armv6m", "armv7emsp"])
def test_kernels_on_an_emulated_processor(architecture, tool_chain, qemu):
    """On the Cortex-M4F floats cross calls of the firmware as on the Pico 2, and otherwise within the native module."""
    check_module(qemu(architecture), build.natmod(architecture, build.FLOAT_MODULE))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kernels_on_the_emulated_pico(tool_chain, pico):
    """Here an unaligned access is a fault, as on the chip."""
    target = pico()
    target.enter()
    check_module(target, build.natmod("armv6m", build.FLOAT_MODULE))
