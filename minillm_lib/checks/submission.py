"""Reading of a submitted notebook: which exercises it answers, and in which cells."""

from __future__ import annotations

import ast
import functools
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from minillm_lib.checks.registry import COURSE
from minillm_lib.io.json_text import parse_json
from minillm_lib.io.regular_file import check_regular

_CHECK = re.compile(r"^[ \t]*check\.(?!register\b)([A-Za-z]\w*)\s*\(\s*([A-Za-z]\w*)?", re.MULTILINE)
_DEFINITION = re.compile(r"^[ \t]*(?:async[ \t]+)?(?:def|class)[ \t]+([^\W\d]\w*)", re.MULTILINE)
_ASSIGNMENT = re.compile(r"^[ \t]*([^\W\d]\w*)[ \t]*=(?!=)", re.MULTILINE)
_ONLY_A_CHECK = re.compile(r"check\.\w+\s*\(\s*\w+\s*\)\s*;?")
_MAGIC = re.compile(r"^[ \t]*[%!].*$", re.MULTILINE)
_UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
MOST_BYTES = 256 << 20  # of a notebook, with all its figures
_MOST_CODE = 1 << 20  # characters; Python's parser takes hundreds of bytes for each
_CODE, _VALUE = "def", "="
Definitions = dict[str, set[str]]
"""The names that a cell defines, each with what it is given: code, a plain value, or what another name stands for."""
Step = tuple[str, str]
"""``("run", source)`` for a cell of the learner, ``("check", exercise)`` for a check by the grader."""


def read_notebook(path: Path) -> dict[str, Any]:
    """Read a notebook file of at most 256 MiB, with at most a million characters of code.

    Raises
    ------
    ValueError
        If it is larger, not a notebook of format 4, or a pipe or device, which is not opened.
    OSError
        If it cannot be read.
    """
    check_regular(path, at_most=MOST_BYTES)
    content = path.read_bytes()
    try:
        notebook = parse_json(content)
    except ValueError as error:
        raise ValueError(
            f"{path.name} is not JSON, so it is not a notebook: {_instead(content) or error}"
        ) from None
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        is_old = isinstance(notebook, dict) and "worksheets" in notebook
        what = (
            "it is of format 3, which Jupyter converts when it opens it"
            if is_old
            else "it has no list of cells"
        )
        raise ValueError(f"{path.name} is not a notebook of format 4: {what}")
    if (n := sum(map(len, code_cells(notebook)))) > _MOST_CODE:
        raise ValueError(f"{path.name} has {n:,} characters of code; a notebook has at most {_MOST_CODE:,}")
    return notebook


def _instead(content: bytes) -> str:
    """Return what a file is that is no notebook, if it is something usual."""
    start = content[:1000].strip()
    if not content.strip(b"\0 \r\n\t"):
        return "it is empty"
    if start.startswith((b"<!", b"<html", b"<HTML", b"<?xml")):
        return "it is a web page"
    if start.startswith(b"PK\x03\x04"):
        return "it is a ZIP archive; unpack it"
    if b"\n<<<<<<< " in content and b"\n>>>>>>> " in content:
        return "it has the marks of a merge conflict of git"
    return ""


def checked_exercises(notebook: dict[str, Any]) -> dict[str, str | None]:
    """Return the exercises that a notebook checks by ``check.NAME(answer)``, in order.

    Each comes with the name of the answer; None if it is not a plain name.
    """
    found: dict[str, str | None] = {}
    for source in code_cells(notebook):
        for name, answer in _checks(source):
            found[name] = found.get(name) or answer
    return found


def course_notebook(path: Path, notebook: dict[str, Any]) -> tuple[str, str]:
    """Find out which notebook of the course it is, by its metadata or by its file name.

    The metadata come with the cells that were handed out, whatever the file is called later, so they are asked first.
    If the file name says something else, the cells decide: it is the one with more of its exercises in them.

    Returns
    -------
    name
        The notebook.
    reason
        How that was found out, in words.

    Raises
    ------
    ValueError
        If it is not a notebook of the course with exercises.
    """
    metadata = notebook.get("metadata")
    ours = metadata.get("minillm") if isinstance(metadata, dict) else None
    name = ours.get("notebook") if isinstance(ours, dict) else None
    by_metadata = name if isinstance(name, str) and name in COURSE else None
    by_name = next((known for known in COURSE if re.search(rf"(?<!\d){known}", path.name)), None)
    if by_metadata and by_name and by_metadata != by_name:
        names = set(checked_exercises(notebook)).union(*map(_definitions, code_cells(notebook)))
        if len(names & set(COURSE[by_name])) > len(names & set(COURSE[by_metadata])):
            return (
                by_name,
                f"by its file name; its metadata say {by_metadata}, of which it has fewer exercises",
            )
        return by_metadata, f"by its metadata, though its file name says {by_name}"
    if by_metadata:
        return by_metadata, "by its metadata"
    if by_name:
        return by_name, "by its file name"
    raise ValueError(
        f"{path.name} is not a notebook of the course with exercises ({', '.join(COURSE)}); "
        "for your own assignment, name the notebook that you handed out"
    )


def plan(notebook: dict[str, Any], answers: Mapping[str, str]) -> list[Step]:
    """Plan the steps that grade a notebook.

    The last state of an answer counts: it is checked after the last cell that defines or checks it. An answer that is a
    function is defined by a ``def``, a ``class`` or a lambda, and where it gets another function of the notebook
    (``f = g``); a later cell that only imports something of the same name, or gives the name to another object, does
    not define it. Any other answer is a plain value, and defined by each assignment, except one of what a check
    returns. The checks of the grader take the place of those in the notebook. An answer that no cell seems to define is
    looked for at the end.

    Parameters
    ----------
    answers
        The name of each exercise's answer.

    Returns
    -------
    steps
        Cells to run and exercises to check, in order.
    """
    cells = code_cells(notebook)
    last = dict.fromkeys(answers, len(cells) - 1)
    checked, defined = [], []
    for source in cells:
        checked.append({name for name, _ in _checks(source)})
        defined.append(_definitions(source))
    functions = _functions(defined)
    for index, (checks, definitions) in enumerate(zip(checked, defined, strict=True)):
        for name, answer in answers.items():
            kinds = definitions.get(answer, set())
            if name in checks or (kinds & functions if answer in functions else kinds):
                last[name] = index
    steps: list[Step] = [("check", name) for name, place in last.items() if place < 0]
    for index, source in enumerate(cells):
        if not _ONLY_A_CHECK.fullmatch(source.strip()):
            steps.append(("run", source))
        steps += [("check", name) for name, place in last.items() if place == index]
    return steps


def answers_in(notebook: dict[str, Any], answers: Mapping[str, str]) -> dict[str, str]:
    """Return the name of each exercise's answer: the one that the notebook checks if it lacks the usual one."""
    own = checked_exercises(notebook)
    defined = [_definitions(source) for source in code_cells(notebook)]
    functions, all_names = _functions(defined), set().union(*defined)

    def rank(name: str) -> int:
        """Return 2 for a function, 1 for a value, and 0 for what is not defined."""
        return 2 if name in functions else int(name in all_names)

    return {
        exercise: other if (other := own.get(exercise)) and rank(other) > rank(usual) else usual
        for exercise, usual in answers.items()
    }


def defines(source: str, name: str) -> bool:
    """Return whether a cell defines a function, class or value of this name; also a cell with magics or errors."""
    return name in source and name in _definitions(source)


def code_cells(notebook: dict[str, Any], kinds: Sequence[str] = ("code",)) -> list[str]:
    """Return the sources of the code cells, or of cells of other kinds."""
    sources = [cell.get("source", "") for cell in notebook["cells"] if cell.get("cell_type") in kinds]
    return ["".join(map(str, source)) if isinstance(source, list) else str(source) for source in sources]


def _checks(source: str) -> list[tuple[str, str | None]]:
    """Return the exercises that a cell checks, each with the name of its answer."""
    if "check" not in source:
        return []
    tree = _tree(source)
    if tree is None:
        return [(name, answer or None) for name, answer in _CHECK.findall(source)]
    try:
        return [found for node in ast.walk(tree) if (found := _check_in(node)) is not None]
    except _UNREADABLE:
        return []


def _check_in(node: ast.AST) -> tuple[str, str | None] | None:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="check"), attr=name), args=args):
            if name == "register" or not args:
                return None
            return name, args[0].id if isinstance(args[0], ast.Name) else None
    return None


@functools.lru_cache(maxsize=1024)
def _tree(source: str) -> ast.Module | None:
    """Parse a cell without its magics; None if it is not Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the learner's code
            return ast.parse(_MAGIC.sub("pass", source))
    except _UNREADABLE:
        return None


def _definitions(source: str) -> Definitions:
    """Return what a cell defines, also within an ``if``, and also if it has magics or errors."""
    found: Definitions = {}
    tree = _tree(source)
    if tree is None:
        for pattern, kind in ((_DEFINITION, _CODE), (_ASSIGNMENT, _VALUE)):
            for name in pattern.findall(source):
                found.setdefault(name, set()).add(kind)
        return found
    try:
        for name, value in _assigned(tree.body):
            found.setdefault(name, set()).update([_CODE] if value is None else _kinds(value))
    except RecursionError:  # a thousand times elif
        pass
    return {name: kinds for name, kinds in found.items() if kinds}


def _assigned(body: list[ast.stmt]) -> Iterator[tuple[str, ast.expr | None]]:
    """Yield the names that statements define, with what they are given; None for a function or class."""
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, None
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    yield from _pairs(target, value)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                yield from _pairs(target, value)
            case ast.AugAssign(target=ast.Name(id=name), value=value):
                yield name, ast.BinOp(value, node.op, value)  # a value, whatever it adds
            case ast.If() | ast.For() | ast.While() | ast.With() | ast.Try():
                for part in ("body", "orelse", "handlers", "finalbody"):
                    for inner in getattr(node, part, ()):
                        yield from _assigned(inner.body if isinstance(inner, ast.ExceptHandler) else [inner])


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names of a target with what each is given."""
    match target, value:
        case ast.Name(id=name), _:
            yield name, value
        case (
            (ast.Tuple(elts=inner) | ast.List(elts=inner)),
            (ast.Tuple(elts=values) | ast.List(elts=values)),
        ):
            if len(inner) == len(values) and not any(isinstance(one, ast.Starred) for one in inner + values):
                for part, given in zip(inner, values, strict=True):
                    yield from _pairs(part, given)
        case ((ast.Tuple(elts=inner) | ast.List(elts=inner)), _):
            for part in inner:
                yield from _pairs(part, value)


def _kinds(value: ast.expr) -> set[str]:
    """Return what an expression is: code, a value, or what another name stands for; nothing if a check returns it."""
    match value:
        case ast.Lambda():
            return {_CODE}
        case ast.Name(id=name):
            return {name, _VALUE}
        case ast.IfExp(body=one, orelse=other):
            return _kinds(one) | _kinds(other)
        case ast.Call(
            func=ast.Name(id="partial") | ast.Attribute(attr="partial"), args=[ast.Name(id=name), *_]
        ):
            return {name, _VALUE}
    is_of_check = any(isinstance(node, ast.Name) and node.id == "check" for node in ast.walk(value))
    return set() if is_of_check else {_VALUE}


def _functions(defined: Sequence[Definitions]) -> set[str]:
    """Return the names that stand for code of the notebook somewhere in it, and the mark of code itself."""
    known = {_CODE}
    while True:
        more = {name for one in defined for name, kinds in one.items() if name not in known and kinds & known}
        if not more:
            return known
        known |= more
