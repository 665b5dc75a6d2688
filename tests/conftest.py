"""What tests of all parts share: the recordings, and ``mp_*.py``, whose test functions the real MicroPython runs."""

import ast
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldelm_tools import environment
from fieldelm_tools.emulator import install
from fieldelm_tools.errors import SetupError

ROOT = Path(__file__).resolve().parents[1]
_RUNNER = Path(__file__).with_name("run_one.py")
_HEAP = "768k"  # room for the test beside the node, and for the code of both


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Folder with recordings of real machines: FIELDELM_DATA, or ../shared/data where that exists."""
    folder = Path(os.environ.get("FIELDELM_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no recordings in {folder}: set FIELDELM_DATA")
    return folder.resolve()


@pytest.fixture(scope="session")
def node_js() -> str:
    """The program node.js, and what the emulator of a Pico needs beside it."""
    try:
        install.packages()
        return install.node()
    except SetupError as error:
        pytest.skip(str(error))


class MicroPythonTest(pytest.Item):
    """One function of a file, run by MicroPython in a process and an empty folder of its own; an exception is a failure."""

    def runtest(self) -> None:
        folder = self.config._tmp_path_factory.mktemp(self.name)  # type: ignore[attr-defined]
        variables = environment.micropython_environment("sim")
        variables["MICROPYPATH"] = str(self.path.parent) + os.pathsep + variables["MICROPYPATH"]
        result = subprocess.run(
            [*environment.micropython_command(), "-X", f"heapsize={_HEAP}", str(_RUNNER), self.path.stem, self.name],
            cwd=folder,
            env=variables,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if result.returncode:
            raise AssertionError(result.stdout + result.stderr)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        return str(excinfo.value)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, self.name


class MicroPythonFile(pytest.File):
    """A file of tests for MicroPython; CPython reads only the names."""

    def collect(self) -> Iterator[MicroPythonTest]:
        for statement in ast.parse(self.path.read_text()).body:
            if isinstance(statement, ast.FunctionDef) and statement.name.startswith("test_"):
                yield MicroPythonTest.from_parent(self, name=statement.name)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> MicroPythonFile | None:
    """Files named mp_* (see python_files in pyproject.toml) are MicroPython's."""
    return MicroPythonFile.from_parent(parent, path=module_path) if module_path.name.startswith("mp_") else None
