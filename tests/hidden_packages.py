"""Hides installed packages from imports, as if they were not installed; run, it hides all but those of the core.

As a program it prints, as JSON, what of minillm_lib cannot be imported then, and what is said of each package that is
missing. The tests run it in a process of its own.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import io
import json
import pkgutil
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]
OPTIONAL = ("eval", "fetch", "files", "gguf", "languages", "report", "serve")


class HidingFinder:
    """Finds what is on the path, except what is hidden."""

    def __init__(self, hidden: set[str]) -> None:
        self.hidden = hidden

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        is_hidden = name.partition(".")[0] in self.hidden
        return None if is_hidden else PathFinder.find_spec(name, path, target)

    def find_distributions(self, *args: Any) -> Iterator[importlib.metadata.Distribution]:
        hidden = {canonicalize_name(name) for name in self.hidden}
        found = PathFinder.find_distributions(*args)
        return (one for one in found if canonicalize_name(one.metadata["Name"]) not in hidden)

    def invalidate_caches(self) -> None:
        PathFinder.invalidate_caches()


def hide(modules: Iterable[str]) -> set[str]:
    """Hide top-level modules; the set that is returned may be changed later."""
    finder = HidingFinder(set(modules))
    sys.meta_path[sys.meta_path.index(PathFinder)] = finder
    return finder.hidden


def requirements(*extras: str) -> Iterator[Requirement]:
    """What extras of this package require, also by naming another extra of it."""
    for extra in extras:
        for requirement in map(Requirement, PROJECT["optional-dependencies"][extra]):
            if requirement.name == PROJECT["name"]:
                yield from requirements(*sorted(requirement.extras))
            else:
                yield requirement


@functools.cache
def modules_by_distribution() -> dict[str, set[str]]:
    """The top-level modules of each installed distribution."""
    modules: dict[str, set[str]] = {}
    for module, distributions in importlib.metadata.packages_distributions().items():
        for name in distributions:
            modules.setdefault(canonicalize_name(name), set()).add(module)
    return modules


def modules_of(distribution: str) -> set[str]:
    """The top-level modules of a distribution; where it is not installed, its own name."""
    return modules_by_distribution().get(canonicalize_name(distribution), {distribution})


def modules_outside_the_core() -> set[str]:
    """All installed top-level modules but those that `pip install minillm-lib`, without extras, would bring."""
    waiting = [(requirement, "") for requirement in map(Requirement, PROJECT["dependencies"])]
    core = {canonicalize_name(PROJECT["name"])}
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        if name not in core and name in modules_by_distribution():
            core.add(name)
            needs = map(Requirement, importlib.metadata.requires(name) or [])
            waiting += [(need, own) for need in needs for own in ("", *requirement.extras)]
    in_core = set().union(*(modules_by_distribution().get(name, set()) for name in core))
    return set().union(*modules_by_distribution().values()) - in_core


def optional_modules() -> set[str]:
    """The modules of the packages that the library's own extras name."""
    return set().union(*(modules_of(requirement.name) for requirement in requirements(*OPTIONAL)))


def archive(name: str) -> bytes:
    """A ZIP archive with one empty member."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as members:
        members.writestr(name, "")
    return file.getvalue()


FILES = {  # of each kind whose reading needs a package
    "t.parquet": b"content",
    "t.jsonl.zst": b"content",
    "t.pdf": b"%PDF-1.4",
    "t.html": b"<p>text",
    "t.docx": archive("word/document.xml"),
    "t.xlsx": archive("xl/workbook.xml"),
}


def main() -> None:
    all_but_core, optional = modules_outside_the_core(), optional_modules()
    hidden = hide(all_but_core | optional)
    import minillm_lib
    from minillm_lib.corpora import read_files
    from minillm_lib.io.optional import MissingPackageError
    from minillm_lib.topics.terms import split_words

    def message_of(module: str) -> str | None:
        try:
            importlib.import_module(module)
        except MissingPackageError as error:
            return str(error)
        return None

    modules = [
        module.name
        for module in pkgutil.walk_packages(minillm_lib.__path__, "minillm_lib.")
        if not module.name.endswith("__main__")
    ]
    unusable = {module: message for module in modules if (message := message_of(module)) is not None}
    usable_names, unusable_names = [], []
    rooms = [sys.modules[module] for module in modules if hasattr(sys.modules.get(module), "__path__")]
    for room in (minillm_lib, *rooms):
        for name in getattr(room, "__all__", ()):
            try:
                getattr(room, name)
                usable_names.append(f"{room.__name__}.{name}")
            except MissingPackageError:
                unusable_names.append(f"{room.__name__}.{name}")

    by_package: dict[str, list[str]] = {}

    def tell(error: MissingPackageError) -> None:
        by_package.setdefault(str(error.name).partition(".")[0], []).append(str(error))

    with tempfile.TemporaryDirectory() as folder:
        for name, content in FILES.items():
            path = Path(folder, name)
            path.write_bytes(content)
            try:
                next(read_files(path))
            except MissingPackageError as error:
                tell(error)
    try:
        split_words("ภาษาไทย")
    except MissingPackageError as error:
        tell(error)
    # One package after the other is revealed as soon as it has been missed.
    hidden.clear()
    hidden |= optional
    for module in unusable:
        while True:
            try:
                importlib.import_module(module)
                break
            except MissingPackageError as error:
                missing = str(error.name).partition(".")[0]
                tell(error)
                hidden -= next(own for own in modules_by_distribution().values() if missing in own)

    print(
        json.dumps(
            {
                "from": minillm_lib.__file__,
                "unusable": unusable,
                "usable_names": usable_names,
                "unusable_names": unusable_names,
                "by_package": by_package,
            }
        )
    )


if __name__ == "__main__":
    main()
