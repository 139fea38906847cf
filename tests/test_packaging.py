"""pyproject.toml, requirements.lock and environment.yml name the same packages."""

from __future__ import annotations

import importlib.metadata
import itertools
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAMED_BY_THE_COURSE = [
    "torch", "jupyterlab", "ipywidgets", "matplotlib", "seaborn", "pyldavis", "nbval", "einops", "sentencepiece",
]  # fmt: skip

LOCKED_EXTRAS = ("course", "files", "test")  # "logging" is for those who have an account at Weights & Biases


def pins():
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    found = [re.fullmatch(r"([A-Za-z0-9._-]+)==(\S+)", line) for line in lines if not line.startswith("#")]
    assert all(found), "every line of the lock file is name==version"
    return {canonicalize_name(match[1]): match[2] for match in found}


def declared():
    extras = [PROJECT["optional-dependencies"][name] for name in LOCKED_EXTRAS]
    return [Requirement(line) for line in [*PROJECT["dependencies"], *itertools.chain(*extras)]]


def test_the_lock_pins_a_version_that_each_declared_range_admits():
    for requirement in declared():
        version = pins().get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is declared but not locked: run `make lock`"
        assert requirement.specifier.contains(version), f"{requirement}: {version} is locked"


def test_the_lock_is_closed():
    """Whatever a locked package needs here is locked too, in a version it admits; and it is what is installed."""
    locked = pins()
    for name, version in locked.items():
        assert importlib.metadata.version(name).removesuffix("+cpu") == version, (
            f"{name}: another version is installed"
        )
        for line in importlib.metadata.requires(name) or []:
            need = Requirement(line)
            if need.marker and not need.marker.evaluate({"extra": ""}):
                continue
            if re.match(r"nvidia|cuda|triton", need.name):
                continue  # torch pins its own CUDA packages
            assert canonicalize_name(need.name) in locked, f"{name} needs {need}, which is not locked"
            assert need.specifier.contains(locked[canonicalize_name(need.name)], prereleases=True), (
                f"{name} needs {need}"
            )


def test_conda_users_get_the_locked_packages():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == ["-r requirements.lock", f"-e .[{','.join(LOCKED_EXTRAS)}]"]
    (python,) = [entry.split("=")[1] for entry in conda if entry.startswith("python=")]
    assert SpecifierSet(PROJECT["requires-python"]).contains(python)
    assert set(PROJECT["optional-dependencies"]) == {*LOCKED_EXTRAS, "logging"}


@pytest.mark.parametrize("name", NAMED_BY_THE_COURSE)
def test_what_the_course_names_is_declared(name):
    assert name in {canonicalize_name(requirement.name) for requirement in declared()}
