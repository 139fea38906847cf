"""What is declared, locked and imported is the same; and the package works without its extras and as a wheel."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from hidden_packages import OPTIONAL, PROJECT, modules_of, requirements
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import minillm_lib

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "minillm_lib"
EXTRAS = PROJECT["optional-dependencies"]
NAMED_BY_THE_COURSE = [
    "torch", "jupyterlab", "ipywidgets", "matplotlib", "seaborn", "pyldavis", "nbval", "einops", "sentencepiece",
]  # fmt: skip

LOCKED_EXTRAS = ("course", "test")  # "logging" is for those who have an account at Weights & Biases
COME_ALONG = {
    "traitlets": "ipywidgets",
    "cycler": "matplotlib",
    "datasets": "lm_eval",
    "IPython": "ipywidgets",
    "pydantic_core": "pydantic",
}
NEED_AN_EXTRA = {
    "corpora.neurips": "fetch",
    "io.download": "fetch",
    "evaluation.harness_model": "eval",
    "evaluation.models": "eval",
    "evaluation.running": "eval",
    "evaluation.texts": "eval",
    "interop.gguf": "gguf",
    "serving.answering": "serve",
    "serving.app": "serve",
    "serving.server": "serve",
    "topics.pyldavis": "report",
    "viz.cleaning_plots": "report",
    "viz.demo_report": "report",
    "viz.lda_report": "report",
    "viz.live_plot": "report",
    "viz.pictures": "report",
    "viz.run_report": "report",
    "viz.run_results": "report",
    "viz.style": "report",
    "viz.topic_plots": "report",
    "viz.training_plan": "report",
    "viz.training_plots": "report",
}


def pins():
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    found = [re.fullmatch(r"([A-Za-z0-9._-]+)==(\S+)", line) for line in lines if not line.startswith("#")]
    assert all(found), "every line of the lock file is name==version"
    return {canonicalize_name(match[1]): match[2] for match in found}


def names(*extras):
    return {canonicalize_name(requirement.name) for requirement in requirements(*extras)}


def declared():
    return [*map(Requirement, PROJECT["dependencies"]), *requirements(*LOCKED_EXTRAS)]


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


def test_conda_users_and_the_next_lock_get_the_locked_extras():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == ["-r requirements.lock", f"-e .[{','.join(LOCKED_EXTRAS)}]"]
    (python,) = [entry.split("=")[1] for entry in conda if entry.startswith("python=")]
    assert SpecifierSet(PROJECT["requires-python"]).contains(python)
    assert f'".[{",".join(LOCKED_EXTRAS)}]"' in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_the_extras_hold_one_another():
    assert set(EXTRAS) == {*OPTIONAL, "book", "course", "logging", "all", "test"}
    assert names("all") == names(*EXTRAS) - (names("test") - names("course", "logging"))
    assert names(*OPTIONAL) <= names("course") <= names("test")
    core = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    assert not core & names("all"), "what the core needs is no extra"


@pytest.mark.parametrize("name", NAMED_BY_THE_COURSE)
def test_what_the_course_names_is_declared(name):
    assert name in {canonicalize_name(requirement.name) for requirement in declared()}


def foreign_imports(path):
    """Each import of another distribution, and the extra that stands over it: "" for none, None in a function."""

    def visit(node, extra):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module]
            for module in modules:
                top = module.partition(".")[0]
                if top not in sys.stdlib_module_names | {"minillm_lib", "__future__"}:
                    yield node.lineno, COME_ALONG.get(top, top), extra
            return
        if isinstance(node, ast.With):
            for item in node.items:
                match item.context_expr:
                    case ast.Call(func=ast.Name(id="optional_imports"), args=[ast.Constant(value=named), _]):
                        extra = named
        elif isinstance(node, ast.FunctionDef) or (
            isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        ):
            extra = extra or None
        for child in ast.iter_child_nodes(node):
            yield from visit(child, extra)

    yield from visit(ast.parse(path.read_text(encoding="utf-8")), "")


def test_every_import_is_declared_where_it_stands():
    """An import at the top of a module needs the core or says which extra; one in a function, any extra."""
    core = set().union(*(modules_of(Requirement(line).name) for line in PROJECT["dependencies"]))
    of_extra = {extra: set().union(*map(modules_of, names(extra))) for extra in EXTRAS}
    of_extra[""], of_extra[None] = set(), of_extra["all"]
    for path in sorted(PACKAGE.rglob("*.py")):
        for line, module, extra in foreign_imports(path):
            where = f"{path.relative_to(ROOT)}:{line} imports {module}"
            assert module in core | of_extra[extra], f"{where}, which nothing declares that is needed there"


@pytest.fixture(scope="module")
def without_extras():
    return run_without_extras(dict(os.environ))


def run_without_extras(environment):
    result = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "hidden_packages.py")],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def check_what_needs_an_extra(found):
    extras = {
        module: re.search(r"pip install 'minillm-lib\[(\w+)\]'$", text)[1] for module, text in found.items()
    }
    assert extras == {f"minillm_lib.{module}": extra for module, extra in NEED_AN_EXTRA.items()}


@pytest.mark.slow
def test_without_extras_all_else_can_be_imported(without_extras):
    check_what_needs_an_extra(without_extras["unusable"])
    for name in ("", *("." + room for room in ("io", "corpora", "topics", "interop"))):
        assert any(
            usable.rpartition(".")[0] == "minillm_lib" + name for usable in without_extras["usable_names"]
        )
    for name in ("GibbsLDA", "MiniLLM", "pretrain", "load_corpus", "examine_run", "check", "save_minimind"):
        assert f"minillm_lib.{name}" in without_extras["usable_names"]
    rooms = {name.split(".")[1] for name in without_extras["unusable_names"] if name.count(".") > 1}
    assert rooms == {"corpora", "evaluation", "interop", "io", "serving", "topics", "viz"}


@pytest.mark.parametrize("extra", OPTIONAL)
def test_each_missing_package_is_named_with_the_command_that_installs_it(without_extras, extra):
    for requirement in requirements(extra):
        told = [own for own in modules_of(requirement.name) if own in without_extras["by_package"]]
        assert told, f"nobody tells that {requirement.name} is missing"
        end = f", install the package {told[0]}: pip install 'minillm-lib[{extra}]'"
        messages = without_extras["by_package"][told[0]]
        assert any(message.startswith("to ") and message.endswith(end) for message in messages), messages


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of a copy of the sources: setuptools would leave its build folder in the repository, and reuse it."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]):
        shutil.copy(ROOT / name, source)
    shutil.copytree(PACKAGE, source / "minillm_lib")  # with __pycache__, as it is in a repository in use
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(folder), str(source))
    (path,) = folder.iterdir()
    return path


def pip(*arguments):
    command = [sys.executable, "-m", "pip", arguments[0], "--no-deps", "--no-index", *arguments[1:]]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    kept = {".py", ".pyi", ".html", ".jsonl", ".typed"}
    ours = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*") if path.suffix in kept}
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        (metadata,) = (name for name in held if name.endswith(".dist-info/METADATA"))
        described = archive.read(metadata).decode()
    assert {name for name in held if ".dist-info/" not in name} == ours
    assert f"\nVersion: {minillm_lib.__version__}\n" in described
    assert f"\nAuthor: {PROJECT['authors'][0]['name']}\n" in described
    assert wheel.stat().st_size < 2e6


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The environment of a program that has the wheel and the core's dependencies, and no repository."""
    site, hook = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("hook")
    pip("install", "--target", str(site), str(wheel))
    (hook / "sitecustomize.py").write_text(
        f"import sys\nsys.path.append({str(ROOT / 'tests')!r})\n"
        "from hidden_packages import hide, modules_outside_the_core\nhide(modules_outside_the_core())\n",
        encoding="utf-8",
    )
    path = os.pathsep.join([str(site), str(hook)])
    return {**os.environ, "PYTHONPATH": path, "COLUMNS": "200", "TERM": "dumb", "MINILLM_CACHE": str(hook)}


def minillm(environment, folder, *arguments):
    """What the command prints and its status; it is run in a folder that has nothing to do with the repository."""
    command = [sys.executable, "-m", "minillm_lib", *arguments]
    result = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", cwd=folder, env=environment, check=False
    )
    return result.returncode, result.stdout + result.stderr


@pytest.mark.slow
def test_the_wheel_alone_offers_every_name(installed):
    environment = {name: value for name, value in installed.items() if name != "PYTHONPATH"}
    site = installed["PYTHONPATH"].split(os.pathsep)[0]
    found = run_without_extras({**environment, "PYTHONPATH": site})
    assert found["from"].startswith(site)
    check_what_needs_an_extra(found["unusable"])


@pytest.mark.slow
def test_the_wheel_alone_runs_the_commands(installed, tmp_path):
    status, text = minillm(installed, tmp_path, "--help")
    assert (status, "lda" in text) == (0, True)
    script = Path(installed["PYTHONPATH"].split(os.pathsep)[0]) / "bin" / "minillm"
    version = subprocess.run([script, "--version"], capture_output=True, text=True, env=installed, check=True)
    assert version.stdout.strip() == minillm_lib.__version__

    status, text = minillm(installed, tmp_path, "lda", "--sweeps", "20", "--chains", "1")
    assert status == 0, text
    assert "1,000 documents" in text
    assert "no report will be written" in text
    assert "pip install 'minillm-lib[report]'" in text
    assert list(tmp_path.iterdir()) == []

    status, text = minillm(installed, tmp_path, "doctor")
    assert status == 0, text
    assert re.search(r"matplotlib +missing: pip install 'minillm-lib\[report\]'", text)
    status, text = minillm(installed, tmp_path, "data", "list")
    assert status == 0, text
    assert "minimind-pretrain" in text
    status, text = minillm(installed, tmp_path, "data", "clean", "grammar", "clean.jsonl", "--option", "n=5")
    assert status == 0, text
    assert "pip install 'minillm-lib[report]'" in text
    assert (tmp_path / "clean.report.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo"], "part of the repository, not of the installed package"),
        (["chat", "hello"], "part of the repository, not of the installed package"),
        (["data", "show", "neurips"], "install the package httpx: pip install 'minillm-lib[fetch]'"),
        (["grade", "."], 'which needs Jupyter: pip install "minillm-lib[course]"'),
        (["report", "."], "pip install 'minillm-lib[report]'"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_the_wheel_lacks_is_said(installed, tmp_path, arguments, message):
    (tmp_path / "07_rmsnorm.ipynb").write_text('{"cells": []}', encoding="utf-8")
    status, text = minillm(installed, tmp_path, *arguments)
    assert status == 2
    assert message in text
    assert "Traceback" not in text
