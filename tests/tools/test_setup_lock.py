"""The lock files pin all that pyproject.toml asks for, on every platform we claim."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ["requirements.lock", "requirements-micropython.lock", "requirements-bench.lock"]
PLATFORMS = [
    {
        "sys_platform": "linux",
        "platform_machine": machine,
        "python_version": python,
        "python_full_version": f"{python}.4",
    }
    for machine in ("x86_64", "aarch64")
    for python in ("3.11", "3.12", "3.13")
]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def entries(name):
    """Requirement and hashes of each package in a lock file."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            requirement, *hashes = line.split("--hash=")
            yield Requirement(requirement), [item.strip() for item in hashes]


def applies(requirement, platform):
    return requirement.marker is None or requirement.marker.evaluate({**platform, "extra": ""})


def unmet(wanted, lock, platform):
    pins = {
        canonicalize_name(pin.name): next(iter(pin.specifier)).version
        for pin, _ in entries(lock)
        if applies(pin, platform)
    }
    requirements = [item for item in map(Requirement, wanted) if applies(item, platform)]
    assert requirements or lock == LOCKS[1]
    return [
        str(item) for item in requirements if not item.specifier.contains(pins.get(canonicalize_name(item.name), "0"))
    ]


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda item: f"{item['platform_machine']}-{item['python_version']}")
def test_every_requirement_is_pinned(platform):
    project = PYPROJECT["project"]
    groups = project["optional-dependencies"]
    extras = [item for name, group in groups.items() if name != "bench" for item in group]
    wanted = [*project["dependencies"], *extras, *PYPROJECT["build-system"]["requires"]]
    assert unmet(wanted, LOCKS[0], platform) == []
    assert unmet(PYPROJECT["dependency-groups"]["micropython"], LOCKS[1], platform) == []
    assert unmet(groups["bench"], LOCKS[2], platform) == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_pinned_exactly_and_by_hash(lock):
    packages = list(entries(lock))
    assert packages
    for pin, hashes in packages:
        assert [item.operator for item in pin.specifier] == ["=="], pin
        assert hashes, pin
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", item) for item in hashes), pin


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_address(lock):
    """Each machine uses the package index that it is configured for."""
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert "index-url" not in text


def test_every_direct_dependency_has_its_licence_noted():
    text = (ROOT / "docs" / "reference" / "licences.md").read_text()
    project = PYPROJECT["project"]
    groups = [
        project["dependencies"],
        *project["optional-dependencies"].values(),
        *PYPROJECT["dependency-groups"].values(),
    ]
    names = {Requirement(item).name for group in groups for item in group}
    assert names
    assert [name for name in names if f"| {name} |" not in text] == []
