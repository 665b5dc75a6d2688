"""The C kernels on the processors that they are for."""

import kernel_vectors
import pytest

from fieldelm_tools import build


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["armv6m", "armv7emsp"])
def test_native_modules_compute_what_float64_does(architecture, tool_chain, qemu):
    target = qemu(architecture)
    target.add_file("fieldelm_native.mpy", build.natmod(architecture).read_bytes())
    assert kernel_vectors.check(target.run, "fieldelm_native") > 0
