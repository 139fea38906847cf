"""What a learner's answers are kept as: files of their own source, so that later notebooks go on with them."""

from __future__ import annotations

import ast
import builtins
import cmath
import dis
import inspect
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from minillm_lib.checks.progress_file import progress_file
from minillm_lib.io.atomic_write import write_atomically

_LITERALS = (bool, int, float, complex, str, bytes, type(None))
_LARGEST = 1 << 20


class NotKeptError(ValueError):
    """An answer that cannot be kept: it needs something that is no code of its own notebook."""


def answer_file(exercise: str) -> Path | None:
    """Return the file that keeps the answer to an exercise: beside the progress; None if no progress is kept."""
    progress = progress_file()
    return None if progress is None else progress.with_suffix("") / f"{exercise}.py"


def keep(exercise: str, answer: Any) -> str | None:
    """Keep the source of an answer that passed, with the imports, constants and functions that it uses.

    Returns
    -------
    problem
        Why it could not be kept; None if it was.
    """
    path = answer_file(exercise)
    if path is None:
        return None
    try:
        text = source_of(answer)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())
    except (NotKeptError, OSError) as error:
        return str(error)
    return None


def kept(exercise: str, name: str) -> Any:
    """Return the answer that was kept for an exercise, made anew from its source; None if there is none that works.

    The file is the learner's own, and its code is run as their notebook's would be.
    """
    path = answer_file(exercise)
    if path is None:
        return None
    try:
        if path.stat().st_size > _LARGEST:
            return None
        module = types.ModuleType(f"answer_{exercise}")
        module.__file__ = str(path)
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)
        return module.__dict__.get(name)
    except Exception:  # edited by hand, or written for another version: the library's piece is there
        return None


def source_of(answer: Any) -> str:
    """Return source that makes an answer on its own: its function or class, after what it takes from its notebook.

    Raises
    ------
    NotKeptError
        If the source is not known, or something that it uses is neither an import, a constant, nor a function or class
        of the notebook.
    """
    parts: dict[str, str] = {}
    _add(answer, parts, [])
    imports = sorted(text for text in parts.values() if text.startswith(("import ", "from ")))
    rest = [text for text in parts.values() if not text.startswith(("import ", "from "))]
    return "\n".join(imports) + "\n\n" * bool(imports) + "\n\n".join(rest) + "\n"


def _add(made: Any, parts: dict[str, str], open_: list[str]) -> None:
    made = inspect.unwrap(made) if callable(made) else made
    name = made.__name__ if isinstance(made, types.FunctionType | type) else None
    if name is None or name == "<lambda>" or (isinstance(made, types.FunctionType) and made.__closure__):
        raise NotKeptError("only a function or class that stands by itself in a cell can be kept")
    try:
        source = textwrap.dedent(inspect.getsource(made))
        tree = ast.parse(source)
    except (OSError, TypeError, SyntaxError):
        raise NotKeptError(f"the source of {name} is not known") from None
    namespace = _namespace(made)
    for used in _free_names(tree):
        if used in parts or used in open_ or used == name or not _is_foreign(used, namespace):
            continue
        value = namespace[used]
        if (text := _import_of(used, value)) or (text := _constant(used, value)):
            parts[used] = text
        elif isinstance(value, types.FunctionType | type):
            if value.__name__ != used:
                raise NotKeptError(f"{name} uses {used}, which is another name for {value.__name__}")
            _add(value, parts, [*open_, name])
        else:
            raise NotKeptError(f"{name} uses {used}, which is {type(value).__name__} data of the notebook")
    parts[name] = source.rstrip()


def _is_foreign(name: str, namespace: dict[str, Any]) -> bool:
    """Return whether a name comes from the notebook: not from Python itself."""
    return name in namespace and not (hasattr(builtins, name) and namespace[name] is getattr(builtins, name))


def _namespace(made: Callable[..., Any] | type) -> dict[str, Any]:
    if isinstance(made, types.FunctionType):
        return made.__globals__
    return vars(sys.modules[made.__module__]) if made.__module__ in sys.modules else {}


def _free_names(tree: ast.Module) -> list[str]:
    """Return the names that code takes from outside, in order; not its parameters and variables."""
    return list(dict.fromkeys(_global_names(compile(tree, "an answer", "exec"))))


def _global_names(code: types.CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)


def _import_of(name: str, value: Any) -> str | None:
    """Return the statement that imports a module, or a function or class of a library."""
    if isinstance(value, types.ModuleType):
        module = value.__name__
        return f"import {module}" if module == name else f"import {module} as {name}"
    home = getattr(value, "__module__", None)
    original = getattr(value, "__qualname__", None)
    if not home or not original or home == "__main__" or home not in sys.modules:
        return None
    if getattr(sys.modules[home], original, None) is not value:
        return None
    return f"from {home} import {original}" + (f" as {name}" if original != name else "")


def _constant(name: str, value: Any) -> str | None:
    """Return an assignment that makes a number, a text, or a tuple, list or dictionary of them."""
    return f"{name} = {value!r}" if _is_literal(value) else None


def _is_literal(value: Any, depth: int = 0) -> bool:
    if type(value) in _LITERALS:
        return not isinstance(value, float | complex) or cmath.isfinite(value)
    if depth > 4 or type(value) not in (tuple, list, dict, set) or len(value) > 1000:
        return False
    items = [*value, *value.values()] if isinstance(value, dict) else value
    return all(_is_literal(item, depth + 1) for item in items)
