"""Home Assistant's own discovery schemas, from its wheel: the schema code is the real one, what else it imports is stood in for.

The wheel comes without its dependencies. Its code is for a newer Python: the few forms of syntax that an older one does not
know are taken out before it is compiled; they are about types and change no schema.
"""

from __future__ import annotations

import ast
import functools
import importlib.abc
import importlib.machinery
import importlib.util
import re
import subprocess
import sys
import types
import typing
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jinja2
import pytest
import voluptuous

from fieldelm_tools import environment

_NEWEST_PYTHON = "3.14"
_REAL = re.compile(
    r"homeassistant"
    r"(\.const|\.exceptions|\.generated|\.generated\.entity_platforms|\.util\.(event_type|hass_dict)"
    r"|\.helpers|\.helpers\.(config_validation|typing)"
    r"|\.components|\.components\.mqtt"
    r"|\.components\.mqtt\.(const|schemas|config|abbreviations|sensor|binary_sensor|button|select|switch|number)"
    r"|\.components\.(sensor|binary_sensor|button|select|switch|number)(\.const)?)?"
)
_EMPTY = {
    "homeassistant",
    "homeassistant.util",
    "homeassistant.helpers",
    "homeassistant.components",
    "homeassistant.generated",
}
_PACKAGES = _EMPTY | {"homeassistant.components.mqtt"}


def wheel() -> Path:
    """The newest wheel, kept in build/downloads; skips where it cannot be had."""
    folder = environment.build_directory() / "downloads" / "home_assistant"
    if not (wheels := sorted(folder.glob("homeassistant-*.whl"))):
        target = ["--python-version", _NEWEST_PYTHON, "--only-binary=:all:"]
        command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "download"]
        done = subprocess.run(
            [*command, "--no-deps", *target, "--dest", folder, "homeassistant"],
            capture_output=True,
            text=True,
            timeout=300,
        )
        wheels = sorted(folder.glob("homeassistant-*.whl"))
        if done.returncode or not wheels:
            pytest.skip("Home Assistant's wheel cannot be downloaded, so discovery is not held against its schema")
    return wheels[-1]


class _Anything(type):
    """A class that has every attribute and takes every argument."""

    def __new__(mcs, name: str, bases: Any, members: Any, **_more: Any) -> Any:
        return super().__new__(mcs, name, bases, members)

    def __init__(cls, *_args: Any, **_more: Any) -> None:
        pass

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _make(f"{cls.__name__}.{name}")

    def __iter__(cls) -> Iterator[Any]:
        return iter(())

    def __or__(cls, other: Any) -> Any:
        return cls

    __ror__ = __or__

    def __getitem__(cls, item: Any) -> Any:
        return cls

    def __contains__(cls, item: Any) -> bool:
        return False


def _make(name: str) -> Any:
    def take(cls: Any, *args: Any, **_more: Any) -> Any:
        # as a decorator it leaves what it decorates, else it is one more of its kind
        return args[0] if len(args) == 1 and callable(args[0]) else object.__new__(cls)

    return _Anything(name, (), {"__new__": take, "__class_getitem__": classmethod(lambda cls, item: cls)})


class _Template:
    """Says whether a template can be read; what it renders is tested elsewhere."""

    is_static = False

    def __init__(self, text: str, hass: Any = None) -> None:
        self.template = text

    def ensure_valid(self) -> None:
        jinja2.Environment().parse(self.template)


class _StandIn(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        whole = f"{self.__name__}.{name}"
        known = _REAL.fullmatch(whole) or whole == "homeassistant.helpers.template"
        value = importlib.import_module(whole) if known else _make(name)
        setattr(self, name, value)
        return value


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Real modules from the wheel, stand-ins for the rest of Home Assistant and for packages that are not installed."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = set(archive.namelist())

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        top = name.split(".", 1)[0]
        if top != "homeassistant" and importlib.machinery.PathFinder.find_spec(top) is not None:
            return None
        is_file = f"{name.replace('.', '/')}.py" in self._names and _REAL.fullmatch(name)
        return importlib.machinery.ModuleSpec(name, self, is_package=not is_file)

    def create_module(self, spec: Any) -> Any:
        if _REAL.fullmatch(spec.name) and spec.name not in _PACKAGES:
            return types.ModuleType(spec.name)
        return _StandIn(spec.name)

    def exec_module(self, module: Any) -> None:
        name = module.__name__
        if name == "homeassistant.helpers.template":
            module.Template = _Template
        if name == "homeassistant.helpers.entity":  # its own line, from a module that imports too much
            categories = importlib.import_module("homeassistant.const").EntityCategory
            module.ENTITY_CATEGORIES_SCHEMA = voluptuous.Coerce(categories)
        if not _REAL.fullmatch(name) or name in _PACKAGES:
            return
        path = name.replace(".", "/")
        path = f"{path}.py" if f"{path}.py" in self._names else f"{path}/__init__.py"
        exec(compile(_older(self._archive.read(path).decode()), path, "exec"), module.__dict__)


def _older(source: str) -> str:
    source = re.sub(r"^(\s*)type (\w+)(\[[^\]]*\])? = ", r"\1\2: object = ", source, flags=re.MULTILINE)
    source = re.sub(r"^(\s*(?:async )?def \w+|\s*class \w+)\[[^(]*?\]([(:])", r"\1\2", source, flags=re.MULTILINE)
    return re.sub(r"^(\s*)except ((?:\w|\.)+(?:, (?:\w|\.)+)+):", r"\1except (\2):", source, flags=re.MULTILINE)


@contextmanager
def schemas() -> Iterator[tuple[Any, dict[str, Any]]]:
    """The schema of a device's message, and those of the components in it, by platform."""
    before = set(sys.modules)
    with zipfile.ZipFile(wheel()) as archive:
        finder = _Finder(archive)
        if older := not hasattr(typing, "override"):
            typing.override = lambda function: function
        sys.meta_path.insert(0, finder)
        try:
            util = importlib.import_module("homeassistant.components.mqtt.util")  # a stand-in, but for these
            _util(util, archive)
            device = importlib.import_module("homeassistant.components.mqtt.schemas").DEVICE_DISCOVERY_SCHEMA
            platforms = {
                name: importlib.import_module(f"homeassistant.components.mqtt.{name}").DISCOVERY_SCHEMA
                for name in ("sensor", "binary_sensor", "button", "select", "switch", "number")
            }
            yield device, platforms
        finally:
            sys.meta_path.remove(finder)
            if older:
                del typing.override
            for name in set(sys.modules) - before:
                del sys.modules[name]


def _util(module: Any, archive: zipfile.ZipFile) -> None:
    # util.py imports half of Home Assistant; its validators of topics do not need it
    tree = ast.parse(_older(archive.read("homeassistant/components/mqtt/util.py").decode()))
    names = {"_VALID_QOS_SCHEMA", "valid_topic", "valid_subscribe_topic", "valid_publish_topic", "valid_qos_schema"}
    wanted = [
        node
        for node in tree.body
        if (isinstance(node, ast.FunctionDef) and node.name in names)
        or (isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in names)
        or (isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") in names)
    ]
    scope = {
        "vol": voluptuous,
        "cv": importlib.import_module("homeassistant.helpers.config_validation"),
        "Any": Any,
        "lru_cache": functools.lru_cache,
    }
    const = importlib.import_module("homeassistant.components.mqtt.const")
    scope |= {name: value for name, value in vars(const).items() if name.isupper()}
    future = ast.parse("from __future__ import annotations").body
    exec(compile(ast.Module([*future, *wanted], []), "util.py", "exec"), scope)
    for name in names & set(scope):
        setattr(module, name, scope[name])
    missing = names - set(scope)
    assert not missing, f"Home Assistant has moved {missing}"
