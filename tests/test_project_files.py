"""CHANGELOG, CITATION and CONTRIBUTING say what is true of the repository now."""

from __future__ import annotations

import datetime
import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml
from packaging.version import Version

import minillm_lib
from minillm_lib.cli.main import app
from minillm_lib.training.config import PretrainConfig, SFTConfig
from minillm_lib.training.overrides import describe_keys

ROOT = Path(__file__).parent.parent
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
RELEASES = re.findall(r"^## \[(\d[^\]]*)\] - (\d{4}-\d\d-\d\d)$", CHANGELOG, re.MULTILINE)
SHELL_BLOCKS = re.findall(r"^ *```sh\n(.*?)^ *```$", CONTRIBUTING, re.DOTALL | re.MULTILINE)
COMMANDS = [line.partition(" #")[0].strip() for block in SHELL_BLOCKS for line in block.splitlines()]
SPANS = re.findall(
    r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```$", "", CONTRIBUTING, flags=re.DOTALL | re.MULTILINE)
)


def exists(path):
    """Whether a path is there; NN_title stands for any notebook, ROOM_MODULE for any module."""
    pattern = path.replace("NN_title", "[0-9][0-9]_*").replace("ROOM_MODULE", "*")
    return any(ROOT.glob(pattern)) or any((ROOT / "tests").glob(pattern))


def test_the_newest_release_is_the_packages_version():
    assert RELEASES[0][0] == minillm_lib.__version__
    versions, dates = zip(*RELEASES, strict=True)
    assert [*versions] == sorted(versions, key=Version, reverse=True)
    assert [*dates] == sorted(dates, reverse=True)
    assert CHANGELOG.index("## [Unreleased]") < CHANGELOG.index(f"## [{versions[0]}]")


def test_the_changelog_has_the_sections_of_keep_a_changelog():
    sections = set(re.findall(r"^### (.*)$", CHANGELOG, re.MULTILINE))
    assert sections <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_where_the_changelog_says_modules_went_they_are():
    (table,) = re.findall(r"\*\*Modules have moved.*?\n\n(.*?)\n\n", CHANGELOG, re.DOTALL)
    rows = [line.strip().strip("|").split("|") for line in table.splitlines()[2:]]
    modules = {name for _, new in rows for name in re.findall(r"`([a-z_.]+)`", new) if "." in name}
    assert len(modules) > 30
    for module in sorted(modules):
        assert importlib.util.find_spec(f"minillm_lib.{module}"), module


def test_the_citation_is_that_of_this_version():
    """The keys are those that CFF 1.2.0 requires, and a few more; there is neither a DOI nor an address."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == minillm_lib.__version__
    assert citation["date-released"] == datetime.date.fromisoformat(RELEASES[0][1])
    assert citation["license"] == "MIT"
    assert citation["authors"] == [{"name": "The minillm-lib authors"}]
    assert set(citation) == {
        *("cff-version", "message", "title", "authors"),
        *("type", "abstract", "version", "date-released", "license", "keywords"),
    }


def targets_of(command):
    return [word for word in command.split()[1:] if "=" not in word]


def test_the_make_targets_that_contributing_names_exist():
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    named = [command for command in (*COMMANDS, *SPANS) if command.split()[0] == "make"]
    assert len(named) > 8
    for command in named:
        assert set(targets_of(command)) <= targets, command
    for command in named:
        for notebook in re.findall(r"NOTEBOOK=(\S+)", command):
            assert exists(f"solutions/{notebook}.py")


def test_the_paths_that_contributing_names_exist():
    tops = {path.name for path in ROOT.iterdir()}
    paths = [
        span for span in SPANS if " " not in span and span.partition("/")[0] in tops | {"test_ROOM_MODULE.py"}
    ]
    paths += [word for command in COMMANDS for word in command.split() if "/" in word and "=" not in word]
    assert len(paths) > 30
    for path in paths:
        assert exists(path.rstrip("/")), path


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_contributing_is_one_of_those_that_are_known(command):
    assert command.split()[0] in ("make", "pytest", "minillm", "python", ".")


def test_the_subcommands_and_options_of_minillm_in_contributing_exist():
    for command in COMMANDS:
        first, *words = shlex.split(command)
        if first != "minillm":
            continue
        known = typer.main.get_command(app)
        while words and hasattr(known, "commands"):
            known = known.commands[words.pop(0)]
        options = {name for parameter in known.params for name in parameter.opts}
        keys = {f"--{each.key}" for each in describe_keys(PretrainConfig)}
        assert {word for word in words if word.startswith("--")} <= options | keys, command


def test_the_code_that_contributing_names_is_there():
    registry = (ROOT / "minillm_lib/corpora/registry.py").read_text(encoding="utf-8")
    preflight = (ROOT / "minillm_lib/training/preflight.py").read_text(encoding="utf-8")
    exercises = (ROOT / "minillm_lib/checks/exercises/rmsnorm.py").read_text(encoding="utf-8")
    assert "\n_ALL = (" in registry
    assert "def _of_split(" in registry
    assert "\n_FREE = (" in preflight
    assert "\nEXERCISES = (" in exercises
    assert "def _without_the_weight(" in exercises


@pytest.mark.parametrize("kind", [PretrainConfig, SFTConfig])
def test_every_key_has_the_description_that_contributing_asks_for(kind):
    assert [each.key for each in describe_keys(kind) if not each.meaning] == []
