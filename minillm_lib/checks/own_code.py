"""Functions of an instructor's file as text, with what they use: for checks that learners get as code."""

from __future__ import annotations
import __future__

import ast
import builtins
import dis
import os
import sys
import sysconfig
import tokenize
from collections.abc import Callable, Iterator, Set as AbstractSet
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

_LIBRARIES = (
    str(Path(__file__).parent.parent),
    *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
)
_LITERALS = (int, float, complex, str, bytes, tuple, list, dict, set, type(None))


class NotWritableError(ValueError):
    """What cannot be written without the answer; the message says why, as a clause after "since"."""


class OwnCode:
    """Gathers functions of a file as text.

    Parameters
    ----------
    path
        The file that the functions come from.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        with tokenize.open(path) as file:
            self._tree = ast.parse(file.read())
        self._imports: dict[str, list[str]] = {}
        self._definitions: dict[str, tuple[int, str]] = {}

    @property
    def text(self) -> str:
        """The code of all functions that were added."""
        definitions = [text for _, text in sorted(self._definitions.values())]
        imports = sorted({line for lines in self._imports.values() for line in lines})
        return "\n\n".join(filter(None, ["\n".join(imports), *definitions]))

    def add(self, function: Callable[..., Any], name: str, answers: AbstractSet[int]) -> str:
        """Add a function, and return the name that it has in the text: ``name``, or its own.

        Parameters
        ----------
        answers
            The identities of what must not be among it: see :meth:`used_by`.

        Raises
        ------
        NotWritableError
            If it cannot be written, or needs what must not be among it.
        """
        before = dict(self._imports), dict(self._definitions)
        own = getattr(function, "__name__", "")
        if self._is_own(function) and function.__globals__.get(own) is function:
            name = own
        try:
            self._add(function, name, answers)
            return name
        except NotWritableError:
            self._imports, self._definitions = before
            raise

    def used_by(self, function: Any) -> set[int]:
        """Return the identities of a function and of all functions of the file that it uses."""
        found: set[int] = set()
        waiting = [function]
        while waiting:
            one = waiting.pop()
            if id(one) in found:
                continue
            found.add(id(one))
            if isinstance(one, partial):
                waiting.append(one.func)
            elif self._is_own(one):
                waiting += [
                    value for name in _names(one.__code__) if self._is_own(value := one.__globals__.get(name))
                ]
                waiting += [cell.cell_contents for cell in one.__closure__ or ()]
        return found

    def _add(self, function: Any, name: str, answers: AbstractSet[int]) -> None:
        if id(function) in answers:
            raise NotWritableError(f"{_called(function)} is needed for it, which the right answer uses too")
        if not self._is_own(function):
            self._imports[name] = self._import(name) or [_import_of(function, name)]
            return
        if function.__closure__:
            variables = ", ".join(f"`{one}`" for one in function.__code__.co_freevars)
            raise NotWritableError(
                f"{_called(function)} uses {variables} of the function in which it is made"
            )
        node = self._node(function)
        _write_defaults(node, function)
        if isinstance(node, ast.Lambda):
            text = f"{name} = {ast.unparse(node)}"
        else:
            node.name = name
            text = ast.unparse(node)
        self._definitions[name] = (function.__code__.co_firstlineno, text)
        for used, value in _outside(function, node):
            if used not in self._imports and used not in self._definitions:
                self._add_value(value, used, answers)

    def _add_value(self, value: Any, name: str, answers: AbstractSet[int]) -> None:
        if isinstance(value, ModuleType):
            _check_library(value)
            self._imports[name] = self._import(name) or [f"import {value.__name__} as {name}"]
        elif isinstance(value, _LITERALS):
            self._definitions[name] = (0, f"{name} = {_literal(value, name)}")
        elif callable(value):
            self._add(value, name, answers)
        else:
            raise NotWritableError(f"`{name}` is needed for it, which is of type `{type(value).__name__}`")

    def _import(self, name: str) -> list[str]:
        """Return the import statements of the file that give a name its meaning."""
        found = []
        for node in self._tree.body:
            for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
                bound = alias.asname or (
                    alias.name if isinstance(node, ast.ImportFrom) else alias.name.partition(".")[0]
                )
                if bound == name:
                    if isinstance(node, ast.ImportFrom):
                        _check_library(sys.modules.get(node.module or ""))
                        found.append(ast.unparse(ast.ImportFrom(node.module, [alias], node.level)))
                    else:
                        found.append(ast.unparse(ast.Import([alias])))
        return found

    def _is_own(self, value: Any) -> bool:
        return isinstance(value, FunctionType) and value.__code__.co_filename == self._path

    def _node(self, function: FunctionType) -> Any:
        """Return a new syntax tree of a function of the file."""
        code = function.__code__
        for node in ast.walk(self._tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
                if node.name == code.co_name and first == code.co_firstlineno:
                    return ast.parse(ast.unparse(node)).body[0]
        found = [
            node
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Lambda) and _is_within(code, node.body)
        ]
        if code.co_name != "<lambda>" or not found:
            raise NotWritableError(f"the text of {_called(function)} is not found")
        return ast.parse(ast.unparse(found[-1]), mode="eval").body  # the innermost comes last


def _is_within(code: CodeType, node: ast.expr) -> bool:
    """Return whether all places of the source that a function's code comes from are within an expression."""
    start, end = (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
    places = [place for place in code.co_positions() if None not in place and place[3]]
    return bool(places) and all(
        start <= (line, column) and (end_line, end_column) <= end
        for line, end_line, column, end_column in places
    )


def _outside(function: FunctionType, node: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a function uses from outside, by name."""
    is_lambda = isinstance(node, ast.Lambda)
    tree = ast.Expression(node) if is_lambda else ast.Module([node], type_ignores=[])
    flags = __future__.annotations.compiler_flag
    code = compile(ast.fix_missing_locations(tree), "", "eval" if is_lambda else "exec", flags)
    for name in dict.fromkeys(_names(code)):
        if name in function.__globals__:
            yield name, function.__globals__[name]
        elif not hasattr(builtins, name):
            raise NotWritableError(f"{_called(function)} uses `{name}`, which is nowhere defined")


def _names(code: CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _write_defaults(node: Any, function: FunctionType) -> None:
    """Write the values that the defaults of a function have in place of what they were computed from."""
    arguments = node.args
    given = dict(zip([one.arg for one in arguments.kwonlyargs], arguments.kw_defaults, strict=True))
    values = function.__kwdefaults__ or {}
    arguments.kw_defaults = [
        None if default is None else _literal_node(values[name], name) for name, default in given.items()
    ]
    positional = [one.arg for one in (*arguments.posonlyargs, *arguments.args)]
    defaults = function.__defaults__ or ()
    names = positional[len(positional) - len(defaults) :]
    arguments.defaults = [_literal_node(value, name) for name, value in zip(names, defaults, strict=True)]


def _literal_node(value: Any, name: str) -> ast.expr:
    return ast.parse(_literal(value, name), mode="eval").body


def _literal(value: Any, name: str) -> str:
    text = repr(value)
    try:
        if ast.literal_eval(text) == value:
            return text
    except (ValueError, SyntaxError):
        pass
    raise NotWritableError(f"`{name}` is needed for it, whose value cannot be written: {text:.40}")


def _import_of(function: Any, name: str) -> str:
    """Return the statement that imports a function or class of a library."""
    module, own = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    home = sys.modules.get(module or "")
    if home is None or getattr(home, own, None) is not function:
        raise NotWritableError(f"{_called(function)} is needed for it, which cannot be imported by learners")
    _check_library(home)
    return f"from {module} import {own} as {name}"


def _check_library(module: ModuleType | None) -> None:
    file = getattr(module, "__file__", None)
    if module is None or (file is not None and not file.startswith(_LIBRARIES)):
        name = getattr(module, "__name__", "of it")
        raise NotWritableError(f"the module `{name}` is needed for it, which learners do not have")


def _called(function: Any) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    return "a lambda" if name == "<lambda>" else f"`{name}`"
