"""The C kernels on the processors that they are for."""

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


def check_modules(target, native):
    """The native module and the one that is built in: numbers, memory, and the same words for wrong arguments."""
    target.add_file("natmod.mpy", native.read_bytes())
    refusals = {}
    for module in ("natmod", "fieldelm_native"):
        assert kernel_vectors.check(target.run, module) > 0
        assert run_script(target, "mp_memory.py", module) == ["0 0"]
        refusals[module] = sorted(run_script(target, "mp_refusals.py", module))
    assert len(refusals["natmod"]) > 250
    assert refusals["natmod"] == refusals["fieldelm_native"]
    assert sum("ValueError: " in line for line in refusals["natmod"]) > 200


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("architecture", ["armv6m", "armv7emsp"])
def test_kernels_on_an_emulated_processor(architecture, tool_chain, qemu):
    """On the Cortex-M4F floats cross calls of the firmware as on the Pico 2, and otherwise within the native module."""
    check_modules(qemu(architecture), build.natmod(architecture))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kernels_on_the_emulated_pico(tool_chain, pico):
    """Here an unaligned access is a fault, as on the chip."""
    target = pico()
    target.enter()
    check_modules(target, build.natmod("armv6m"))
