"""Collects ``mp_*.py``: test functions that the real MicroPython runs, each in a process and an empty folder of its own."""

from __future__ import annotations

import ast
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldelm_tools import environment

_RUNNER = Path(__file__).with_name("run_one.py")


class MicroPythonTest(pytest.Item):
    """One function of a file, run by MicroPython with room for the test beside the node; an exception there is a failure here."""

    def runtest(self) -> None:
        folder = self.config._tmp_path_factory.mktemp(self.name)  # type: ignore[attr-defined]
        variables = environment.micropython_environment("sim")
        variables["MICROPYPATH"] = str(self.path.parent) + os.pathsep + variables["MICROPYPATH"]
        result = subprocess.run(
            [*environment.micropython_command(), "-X", "heapsize=320k", str(_RUNNER), self.path.stem, self.name],
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


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> MicroPythonFile | None:
    if file_path.suffix == ".py" and file_path.name.startswith("mp_"):
        return MicroPythonFile.from_parent(parent, path=file_path)
    return None
