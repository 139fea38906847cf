"""Finding, by parsing alone, the docstrings of a Python source file and the names by which users know its objects."""

from __future__ import annotations

import ast
import inspect
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["module", "class", "function", "method"]
_Function = ast.FunctionDef | ast.AsyncFunctionDef
# numpy and torch document objects written in C by add_newdoc("numpy", "array", "…") and add_docstr(torch.abs, "…").
_ADDERS = ("add_newdoc", "add_docstr", "_add_docstr")


@dataclass(frozen=True, slots=True)
class Docstring:
    """The docstring of one object.

    Attributes
    ----------
    qualified_name
        The object's name within its module, empty for the module itself. A name that begins with a dot is absolute:
        the docstring was found in a different module from its object.
    kind
        ``"module"``, ``"class"``, ``"function"`` or ``"method"``.
    text
        The docstring without its common indentation.
    signature
        The parameters of a function or method in parentheses, such as ``(self, n: int=1)``; empty if not known.
    """

    qualified_name: str
    kind: Kind
    text: str
    signature: str = ""

    @property
    def is_absolute(self) -> bool:
        """Whether the qualified name includes the module."""
        return self.qualified_name.startswith(".")


@dataclass(frozen=True, slots=True)
class Import:
    """``from module import name as alias``; ``name`` and ``alias`` are ``*`` for a star import."""

    module: str
    name: str
    alias: str


@dataclass(frozen=True, slots=True)
class ParsedModule:
    """What parsing the source of a module has found.

    Attributes
    ----------
    name
        The module's dotted name.
    docstrings
        The docstrings in it, in the order of the source.
    defined
        Names of the functions and classes that it defines.
    imports
        Its ``from … import …`` statements, one entry per name.
    exported
        Its ``__all__``; None if there is none, or if it is not a literal.
    problem
        Why the file could not be parsed; empty if it could.
    """

    name: str
    docstrings: tuple[Docstring, ...] = ()
    defined: frozenset[str] = frozenset()
    imports: tuple[Import, ...] = ()
    exported: frozenset[str] | None = None
    problem: str = ""


def parse_module(source: bytes, name: str, *, is_package: bool = False) -> ParsedModule:
    """Parse the source of a module.

    Parameters
    ----------
    name
        The module's dotted name; it ends in ``.__init__`` for a package's ``__init__.py``.
    is_package
        Whether it is a package's ``__init__.py``; relative imports then start at the package itself.

    Returns
    -------
    ParsedModule
        The findings; for a file that cannot be parsed, only ``name`` and ``problem``.
    """
    name = name.removesuffix(".__init__")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError) as error:
        return ParsedModule(name, problem=str(error))
    statements = list(_statements(tree.body))
    docstrings = []
    if text := ast.get_docstring(tree):
        docstrings.append(Docstring("", "module", text))
    docstrings += [found for statement in statements for found in _docstrings(statement)]
    package = name if is_package else name.rpartition(".")[0]
    return ParsedModule(
        name,
        tuple(docstrings),
        frozenset(s.name for s in statements if isinstance(s, _Function | ast.ClassDef)),
        tuple(_imports(statements, package)),
        _exported(statements),
    )


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a body, including those under ``if``, ``try`` and ``with``."""
    for statement in body:
        yield statement
        for block in ("body", "orelse", "finalbody"):
            if isinstance(statement, ast.If | ast.Try | ast.With):
                yield from _statements(getattr(statement, block, []))


def _docstrings(statement: ast.stmt, owner: str = "") -> Iterator[Docstring]:
    if isinstance(statement, _Function):
        if text := ast.get_docstring(statement):
            signature = f"({ast.unparse(statement.args)})"
            kind: Kind = "method" if owner else "function"
            yield Docstring(owner + statement.name, kind, text, signature)
    elif isinstance(statement, ast.ClassDef):
        if text := ast.get_docstring(statement):
            yield Docstring(owner + statement.name, "class", text)
        for member in _statements(statement.body):
            yield from _docstrings(member, f"{owner}{statement.name}.")
    elif isinstance(statement, ast.Expr | ast.Assign) and isinstance(statement.value, ast.Call):
        yield from _added_docstring(statement.value)


def _added_docstring(call: ast.Call) -> Iterator[Docstring]:
    """Yield the docstring that a call adds if it is a call of ``add_newdoc`` or ``add_docstr``."""
    function = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if function not in _ADDERS or len(call.args) < 2:
        return
    *owners, last = call.args
    if isinstance(last, ast.Tuple) and len(last.elts) == 2:
        owners, last = [*owners, last.elts[0]], last.elts[1]
    parts = [_text(owner) for owner in owners] if function == "add_newdoc" else [ast.unparse(owners[0])]
    name, text = ".".join(parts), _text(last)
    if text and re.fullmatch(r"\w+(\.\w+)+", name):
        kind: Kind = "method" if isinstance(call.args[-1], ast.Tuple) else "function"
        yield Docstring("." + name, kind, inspect.cleandoc(text))


def _text(node: ast.expr) -> str:
    """Return the text of an expression; empty if it is not a string.

    It may be a string constant, several of them joined by ``+``, or the template of a call of ``.format``.
    """
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return _text(node.func.value).replace("{{", "{").replace("}}", "}")
    return ""


def _imports(statements: Iterable[ast.stmt], package: str) -> Iterator[Import]:
    for statement in statements:
        if isinstance(statement, ast.ImportFrom):
            module = statement.module or ""
            if statement.level:
                parts = package.split(".")
                base = ".".join(parts[: len(parts) - statement.level + 1])
                module = f"{base}.{module}" if module else base
            for alias in statement.names:
                yield Import(module, alias.name, alias.asname or alias.name)


def _exported(statements: Iterable[ast.stmt]) -> frozenset[str] | None:
    for statement in statements:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            try:
                return frozenset(ast.literal_eval(statement.value))  # type: ignore[attr-defined]
            except (ValueError, TypeError):
                return None
    return None


def public_names(modules: Sequence[ParsedModule]) -> dict[tuple[str, str], str]:
    """Map each (module, object defined in it) to the shortest dotted name under which its own package offers it.

    Names that lead through modules with a leading underscore count only if there is no other. Among names of the same
    length, the first in alphabetical order is chosen.
    """
    names: dict[tuple[str, str], str] = {}
    for module, contents in _namespaces(modules).items():
        for name, home in contents.items():
            if _package(module) != _package(home[0]):
                continue
            names[home] = min(names.get(home, f"{module}.{name}"), f"{module}.{name}", key=_obscurity)
    return names


def _package(module: str) -> str:
    """Return the top-level package; ``_pytest`` counts as ``pytest``, whose implementation it is."""
    return module.partition(".")[0].lstrip("_")


def _obscurity(name: str) -> tuple[int, int, str]:
    parts = name.split(".")
    return sum(part.startswith("_") for part in parts[:-1]), len(parts), name


def _namespaces(modules: Sequence[ParsedModule]) -> dict[str, dict[str, tuple[str, str]]]:
    """Map the names in each module to the (module, name) of their definitions.

    Imports are followed until nothing new is found.
    """
    spaces = {module.name: {name: (module.name, name) for name in module.defined} for module in modules}
    exported = {module.name: module.exported for module in modules}
    for name in (found.qualified_name[1:] for m in modules for found in m.docstrings if found.is_absolute):
        home, _, own = name.rpartition(".")
        if home in spaces:
            spaces[home].setdefault(own, (home, own))
    growing = True
    while growing:
        growing = False
        for module in modules:
            own_space = spaces[module.name]
            for item in module.imports:
                origin = spaces.get(item.module, {})
                wanted = [item.name]
                if item.name == "*":
                    listed = exported.get(item.module)
                    wanted = [name for name in origin if (name in listed if listed else name[:1] != "_")]
                for name in wanted:
                    alias = name if item.name == "*" else item.alias
                    if name in origin and alias not in own_space:
                        own_space[alias] = origin[name]
                        growing = True
    return spaces
