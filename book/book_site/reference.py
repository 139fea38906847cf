"""The pages of the API reference: every public name under its room and module, with the notebook that builds it."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike
from sphinx.util.typing import stringify_annotation

from book_site.notebooks import WORDS, Section

PACKAGE = "minillm_lib"
_LONGEST_VALUE = 200  # of a constant, in characters

# As autodoc writes them in signatures and under "Attributes", where "~" stands before what is cut to its last name.
_ARRAY_LIKE = re.compile(
    "|".join(
        re.escape(stringify_annotation(ArrayLike, mode))
        for mode in ("smart", "fully-qualified-except-typing")
    )
)
# A type with what Pydantic is told about it, and a call, each with parentheses in parentheses.
_INNER = r"\((?:[^()]|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))*\)"
_ANNOTATED = re.compile(
    rf"~?(?:typing\.)?Annotated\[((?:[^\[\],]|\[[^\[\]]*\])+)(?:, ~?[\w.]+{_INNER})+\]", re.DOTALL
)
_LONG_DEFAULT = re.compile(rf"(?<== )(\w+)(?=.{{40}}){_INNER}", re.DOTALL)
_NDARRAY = re.compile(
    r"~?(?:numpy\.)?ndarray\[tuple\[~?(?:typing\.)?(?:Any|int), \.\.\.\], ~?(?:numpy\.)?dtype\[~?(?:numpy\.)?(\w+)\]\]"
)


@dataclass(frozen=True)
class Entry:
    """A public name: the room that it is imported from, and the module that defines it."""

    room: str
    name: str
    module: str

    @property
    def path(self) -> str:
        """The name to import, in full."""
        return f"{self.room}.{self.name}"

    @property
    def origin(self) -> str:
        """Where it is defined."""
        return f"{self.module}.{self.name}"


@dataclass(frozen=True)
class Place:
    """A place in a notebook that builds or uses a name."""

    notebook: str
    section: Section | None

    @property
    def words(self) -> str:
        """The place in words: "09, §4"."""
        number = self.notebook[:2]
        return f"{number}, §{self.section.number}" if self.section and self.section.number else number


@cache
def _exports(room: str, root: Path) -> dict[str, str]:
    """Return the public names of a room with the module that defines each, read from its ``__init__.pyi``."""
    stub = root.joinpath(*room.split("."), "__init__.pyi")
    found: dict[str, str] = {}
    for node in ast.parse(stub.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.ImportFrom) or node.module is None:
            continue
        module = f"{room}.{node.module}"
        inner = _exports(module, root) if root.joinpath(*module.split("."), "__init__.pyi").exists() else {}
        for alias in node.names:
            found[alias.name] = inner.get(alias.name, module)
    return found


def rooms(root: Path) -> list[str]:
    """Return the rooms with public names: the package, then its rooms, then theirs, each in alphabetical order."""
    found = [
        ".".join(stub.parent.relative_to(root).parts) for stub in root.glob(f"{PACKAGE}/**/__init__.pyi")
    ]
    return sorted(found, key=lambda room: (room.count("."), room))


def entries(root: Path) -> tuple[list[Entry], dict[str, str]]:
    """Return each public name once, and the other names of the same things.

    A name that several rooms offer belongs to the outermost room below the package.

    Returns
    -------
    list of Entry
        Every public name, at home in one room.
    dict
        From every other path that leads to one of them, that of its definition among them, to the path of its home.
    """
    homes: dict[tuple[str, str], Entry] = {}
    aliases: dict[str, str] = {}
    every = rooms(root)
    for room in [*every[1:], every[0]]:
        for name, module in _exports(room, root).items():
            entry = homes.setdefault((module, name), Entry(room, name, module))
            aliases[f"{room}.{name}"] = aliases[f"{module}.{name}"] = entry.path
    for path in [path for path, home in aliases.items() if path == home]:
        del aliases[path]
    return sorted(homes.values(), key=lambda entry: (every.index(entry.room), entry.module)), aliases


def built_in(
    all_entries: Iterable[Entry],
    aliases: Mapping[str, str],
    notebooks: Mapping[str, tuple[Sequence[Section], Sequence[str]]],
) -> dict[str, list[Place]]:
    """Return where each public name is built, and first used.

    A notebook says at its end which modules of the library hold what it built ("In the library"). Of the names that
    these modules define, the section is the first one whose code defines or uses it. Where it says only the folder,
    that counts for names that its code defines or uses, and that no notebook before has built.

    Parameters
    ----------
    all_entries
        The public names.
    aliases
        The other paths that lead to them.
    notebooks
        The sections of each notebook, and the paths that its end names.

    Returns
    -------
    dict
        For the path of a name, the places that build it, in the order of the course.
    """
    found: dict[str, list[Place]] = {}
    for entry in all_entries:
        file = entry.module.replace(".", "/") + ".py"
        for notebook, (parts, paths) in notebooks.items():
            first = next(
                (part for part in parts if entry.name in part.defined or _uses(part, entry, aliases)), None
            )
            in_folder = any(path.endswith("/") and file.startswith(path) for path in paths)
            if file in paths or (in_folder and first and entry.path not in found):
                found.setdefault(entry.path, []).append(Place(notebook, first))
    return found


def used_in(
    all_entries: Iterable[Entry],
    aliases: Mapping[str, str],
    notebooks: Mapping[str, tuple[Sequence[Section], Sequence[str]]],
) -> dict[str, list[Place]]:
    """Return the first section of each notebook whose code uses a name that it has imported."""
    found: dict[str, list[Place]] = {}
    for entry in all_entries:
        for notebook, (parts, _) in notebooks.items():
            first = next((part for part in parts if _uses(part, entry, aliases)), None)
            if first:
                found.setdefault(entry.path, []).append(Place(notebook, first))
    return found


def _uses(section: Section, entry: Entry, aliases: Mapping[str, str]) -> bool:
    return any(
        aliases.get(path, path) == entry.path
        for used in section.used
        if used.startswith(f"{PACKAGE}.")
        for path in (used, _defined_at(used))
    )


@cache
def _defined_at(path: str) -> str:
    """Return where a function or class is defined that a module offers without a stub; "" for anything else."""
    module, _, name = path.rpartition(".")
    try:
        value = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError:  # an attribute of a value
        return ""
    return (
        f"{value.__module__}.{value.__qualname__}"
        if inspect.isroutine(value) or inspect.isclass(value)
        else ""
    )


def value_of(entry: Entry) -> Any:
    """Import what an entry names."""
    return getattr(importlib.import_module(entry.room), entry.name)


def _directive(entry: Entry) -> list[str]:
    value = value_of(entry)
    if inspect.isclass(value) and not isinstance(value, types.GenericAlias):
        kind = "autoexception" if issubclass(value, BaseException) else "autoclass"
        bases = [] if value.__bases__ == (object,) else ["   :show-inheritance:"]
        return [f".. {kind}:: {entry.path}", "   :members:", *bases, ""]
    if inspect.isroutine(value):
        return [f".. autofunction:: {entry.path}", ""]
    said = " ".join(_said_of(entry).split())
    shown = _shown(value)
    if not said and not shown:  # what it is an instance of
        said = f"{(inspect.getdoc(type(value)) or '').partition(chr(10) * 2)[0]}"
    options = [f"   :canonical: {entry.origin}", *([f"   :value: {shown}"] if shown else [])]
    return [
        f".. py:data:: {entry.name}",
        *options,
        "",
        *([f"   {' '.join(said.split())}", ""] if said else []),
    ]


def _shown(value: Any) -> str:
    """Return the value of a constant as the source would write it, if it is short: a text, texts, or a type."""
    if isinstance(value, str | int | float | tuple):
        written = repr(value)
    elif isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        written = f"{{{', '.join(f'{key!r}: ...' for key in value)}}}"
    elif typing.get_origin(value):
        written = stringify_annotation(value, "smart").replace("~", "")
        written = re.sub(r"\b(?:[a-z_]\w*\.)+(?=\w)", "", written)
    else:
        return ""
    return written if len(written) <= _LONGEST_VALUE else ""


def _source(module: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")


def _said_of(entry: Entry) -> str:
    """Return the string under a constant's definition, or the comment above it."""
    source = _source(entry.module)
    body, lines = ast.parse(source).body, source.splitlines()
    for node, after in zip(body, [*body[1:], None], strict=True):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = {
            each.id for target in targets if target for each in ast.walk(target) if isinstance(each, ast.Name)
        }
        if entry.name not in names:
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            return str(after.value.value)
        above: list[str] = []
        for line in reversed(lines[: node.lineno - 1]):
            if not line.startswith("#"):
                break
            above.insert(0, line.lstrip("# "))
        return " ".join(above)
    return ""


def first_line(module: str) -> str:
    """Return the first line of a module's docstring, without importing it."""
    docstring = ast.get_docstring(ast.parse(_source(module))) or ""
    return docstring.partition("\n\n")[0].replace("\n", " ")


def separated(lines: Sequence[str]) -> list[str]:
    """Return a docstring in which "a, b" under Attributes is an entry for a and the same one for b."""
    found: list[str] = []
    inside, index = False, 0
    while index < len(lines):
        line = lines[index]
        if index + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[index + 1].strip()):
            inside = line.strip() == "Attributes"
        index += 1
        names = line.strip().split(", ")
        if not inside or len(names) == 1 or line.startswith(" ") or not all(map(str.isidentifier, names)):
            found.append(line)
            continue
        said = []
        while index < len(lines) and lines[index].startswith(" "):
            said.append(lines[index])
            index += 1
        for name in names:
            found += [name, *said]
    return found


def with_short_types(text: str) -> str:
    """Return a text in which types have the names that the source gives them, not what these stand for.

    A default that is no expression becomes "...": with it, no type of the signature would be a link.
    """
    while (bare := _ANNOTATED.sub(r"\1", text)) != text:  # one within another
        text = bare
    text = re.sub(r"<(?:factory|function \w+)>", "...", text)
    text = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", text)
    text = _LONG_DEFAULT.sub(lambda call: f"{call[1]}(...)" if len(call[0]) > 40 else call[0], text)
    return _NDARRAY.sub(r"NDArray[\1]", _ARRAY_LIKE.sub("ArrayLike", text)).replace("._csr.", ".")


def without_private(signature: str) -> str:
    """Return a signature without the parameters whose names begin with "_", which are not for callers to give."""
    parts, depth, start = [], 0, 0
    inside = signature[1:-1]
    if not (signature.startswith("(") and signature.endswith(")")) or not re.search(r"[(,] ?_\w", signature):
        return signature
    for place, character in enumerate(inside):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and not depth:
            parts.append(inside[start:place].strip())
            start = place + 1
    parts.append(inside[start:].strip())
    return f"({', '.join(part for part in parts if not part.startswith('_'))})"


def _heading(text: str, mark: str) -> list[str]:
    return [text, mark * len(text.encode()), ""]


def pages(root: Path, language: str = "en") -> dict[str, str]:
    """Return the pages of the reference in reStructuredText: the index, one for each room, and the list of modules."""
    words = WORDS[language]
    every, aliases = entries(root)
    by_room: dict[str, list[Entry]] = {}
    for entry in every:
        by_room.setdefault(entry.room, []).append(entry)
    written = {
        room.removeprefix(f"{PACKAGE}.").replace(".", "-"): room for room in by_room if room != PACKAGE
    }
    documented = {entry.module for entry in every if entry.room != PACKAGE}

    found = {}
    placed: set[str] = set()
    for stem, room in written.items():
        lines = [
            f".. _reference-{stem}:",
            "",
            *_heading(room, "="),
            f".. automodule:: {room}",
            "   :no-members:",
            "",
        ]
        others = [
            (alias, home)
            for alias, home in aliases.items()
            if alias.rpartition(".")[0] == room and alias not in documented
        ]
        for module in dict.fromkeys(entry.module for entry in by_room[room]):
            here = [entry for entry in by_room[room] if entry.module == module]
            lines += _heading(module.removeprefix(f"{room}."), "-")
            if module != room and module not in placed:
                is_hidden = any(entry.path == module for entry in here)  # a function of the same name
                lines += [f".. py:module:: {module}", *(["   :no-index:"] if is_hidden else []), ""]
                placed.add(module)
            lines += [first_line(module), "", f".. currentmodule:: {room}", ""]
            for entry in here:
                lines += _directive(entry)
        if others:
            lines += _heading(words["also here"], "-")
            lines += [f"* :py:obj:`{alias} <{home}>`" for alias, home in others] + [""]
        found[f"reference/{stem}.rst"] = "\n".join(lines)

    lines = [".. _reference-modules:", "", *_heading("All modules", "=")]
    lines += [words["modules"], ""]
    for path in sorted(root.glob(f"{PACKAGE}/**/*.py")):
        module = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        if module == PACKAGE or module.split(".")[-1].startswith("__"):
            continue
        if module in documented or module in written.values():
            lines += [f":py:mod:`{module}`", f"    {first_line(module)}", ""]
        else:
            lines += [f".. py:module:: {module}", "", f"``{module}``", f"    {first_line(module)}", ""]
    found["reference/modules.rst"] = "\n".join(lines)

    lines = [".. _reference:", "", *_heading("API reference", "=")]
    lines += [f".. automodule:: {PACKAGE}", "   :no-members:", ""]
    lines += _heading("The rooms", "-")
    lines += [
        "Each room imports only from those above it in the table of the README; public names are importable from it.",
        "",
    ]
    lines += [".. list-table::", "   :widths: 25 75", ""]
    for stem, room in written.items():
        lines += [f"   * - :doc:`{room.removeprefix(PACKAGE + '.')} <{stem}>`", f"     - {first_line(room)}"]
    lines += [""]
    lines += _heading("The everyday names", "-")
    lines += [f"These are importable from ``{PACKAGE}`` itself.", "", f".. currentmodule:: {PACKAGE}", ""]
    lines += [".. list-table::", "   :widths: 35 65", ""]
    own = {entry.path: entry for entry in by_room.get(PACKAGE, [])}
    for name in _exports(PACKAGE, root):
        home = aliases.get(f"{PACKAGE}.{name}", f"{PACKAGE}.{name}")
        entry = next(entry for entry in every if entry.path == home)
        said = (inspect.getdoc(value_of(entry)) or "").partition("\n\n")[0].replace("\n", " ")
        lines += [f"   * - :py:obj:`{name} <{home}>`", f"     - {said}"]
    lines += [""]
    if own:
        lines += _heading("Only importable from here", "-")
    for entry in own.values():
        lines += _directive(entry)
    lines += [".. toctree::", "   :hidden:", "", *(f"   {stem}" for stem in written), "   modules", ""]
    found["reference/index.rst"] = "\n".join(lines)
    return found
