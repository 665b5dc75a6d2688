"""The core under the sanitizers, and the native modules for the microcontrollers."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fieldelm_tools import build, environment, sources

HERE = Path(__file__).parent
# smmla r8, r4, r2, r8 and smmla r9, r4, r3, r9: the update of the weights in armv7em_elm.S
SMMLA = bytes.fromhex("54fb028854fb0399")


@pytest.mark.parametrize(
    ("tests", "flags"),
    [
        (["test_core.py"], ""),
        (
            ["test_fixed.py", "test_fixed_levels.py", "-k", "not years"],
            " -fno-sanitize=shift-base",
        ),  # of negative numbers
    ],
    ids=["floats", "fixed point"],
)
def test_the_core_runs_clean_under_the_sanitizers(tests, flags):
    """Its tests once more, every access and every operation checked."""
    if sys.platform != "linux" or shutil.which("gcc") is None:
        pytest.skip("needs gcc on Linux")
    libraries = []
    for name in ("libasan.so", "libubsan.so"):
        command = ["gcc", f"-print-file-name={name}"]
        path = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        if not Path(path).is_absolute():
            pytest.skip(f"gcc has no {name}")
        libraries.append(path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        env={
            **os.environ,
            "LD_PRELOAD": ":".join(libraries),
            "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter's own
            "FIELDELM_CORE_FLAGS": "-O1 -g -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all"
            + flags,
        },
        cwd=HERE,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@pytest.mark.parametrize("module", [build.MODULE, build.FLOAT_MODULE])
@pytest.mark.parametrize("architecture", ["armv6m", "armv7emsp", "x64"])
def test_native_module_builds(architecture, module, tmp_path):
    compiler, _ = build.COMPILERS[architecture]
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    tree, out = sources.micropython(), tmp_path / "out"
    settings = {"ARCH": architecture, "MOD": module, "MPY_DIR": tree, "PYTHON": sys.executable, "OUT": out}
    folder = environment.repository_root() / "native_modules" / "fieldelm_native"
    before = sorted(folder.iterdir())
    done = subprocess.run(
        ["make", "-C", str(folder), *[f"{k}={v}" for k, v in settings.items()]], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    header = (out / f"{module}.mpy").read_bytes()[:3]
    assert header[:2] == b"M\x06"
    assert environment.NATIVE_ARCHITECTURES[header[2] >> 2] == architecture
    assert header[2] & 3 == 3  # format 6.3
    assert "bss size:     0" in done.stdout
    assert sorted(folder.iterdir()) == before
    if module == build.MODULE:
        assert (SMMLA in (out / f"{module}.mpy").read_bytes()) == (architecture == "armv7emsp")


def test_a_wrong_source_tree_is_one_line(tmp_path):
    folder = environment.repository_root() / "native_modules" / "fieldelm_native"
    done = subprocess.run(["make", "-C", str(folder), "MPY_DIR=" + str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 2
    assert f'MPY_DIR="{tmp_path}" is no MicroPython source tree' in done.stderr
