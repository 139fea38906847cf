"""The package's rooms: each imports only from rooms above it, nothing goes in circles, and imports are natural."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import subprocess
import sys
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import minillm_lib

PACKAGE = Path(minillm_lib.__file__).parent
ROOMS = [
    "io",
    "corpora",
    "topics",
    "tokenizer",
    "model",
    "generation",
    "training",
    "analysis",
    "interop",
    "serving",
    "evaluation",
    "viz",
    "checks",
    "course",
    "doctor",
    "demo",
    "cli",
    "__main__",
]
# Tokenizer.train and .load are there for the user's convenience, and call what is built on the class, as do
# MiniLLM.generate, .stream, .chat, .save, .load_from_checkpoint, .quantized and .dequantized. Nothing else may.
CONVENIENCES = {
    ("tokenizer.interface", "tokenizer.training"),
    ("tokenizer.interface", "tokenizer.loading"),
    ("model.decoder", "generation.decoding"),
    ("model.decoder", "generation.streaming"),
    ("model.decoder", "generation.chat_session"),
    ("model.decoder", "model.checkpoint"),
    ("model.decoder", "model.quantization"),
}
LAZY = ["", *(".".join(path.parent.relative_to(PACKAGE).parts) for path in PACKAGE.rglob("*/__init__.pyi"))]
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py"
}


def named_modules(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every module of the package that code names: in imports anywhere, and in strings that hold a module's name."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import; rooms are named in full"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Constant) and id(node) not in docstrings:
            value = node.value if isinstance(node.value, str) else ""
            if value.startswith("minillm_lib.") and " " not in value:
                yield node.lineno, value


def imported(module: str) -> Iterator[tuple[int, str]]:
    """The modules, without the package's name, that a module imports or names."""
    for line, name in named_modules(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if not name.startswith("minillm_lib."):
            continue
        inner = name.removeprefix("minillm_lib.").rstrip(".")
        while inner and inner not in MODULES:
            inner = inner.rpartition(".")[0]
        if inner and inner != module:
            yield line, inner


@pytest.mark.parametrize("module", MODULES)
def test_a_room_imports_only_from_rooms_above_it(module):
    here = ROOMS.index(module.split(".")[0])
    for line, other in imported(module):
        if (module, other) not in CONVENIENCES:
            room = other.split(".")[0]
            assert ROOMS.index(room) <= here, f"{module}:{line} imports {room!r} from below"


def test_no_imports_go_in_a_circle():
    graph = {
        module: {other for _, other in imported(module) if (module, other) not in CONVENIENCES}
        for module in MODULES
    }
    left = dict(graph)
    while free := [module for module, others in left.items() if not others & left.keys()]:
        for module in free:
            del left[module]
    assert not left, f"these import each other: {sorted(left)}"


def test_every_convenience_is_used():
    used = {(module, other) for module, _ in CONVENIENCES for _, other in imported(module)}
    assert used >= CONVENIENCES


def test_the_search_sees_imports_in_functions_and_by_string():
    code = '''
def f():
    """minillm_lib.topics is only mentioned."""
    from minillm_lib.viz import style
    importlib.import_module("minillm_lib.generation.decoding")
    importlib.import_module(f"minillm_lib.checks.exercises.{name}")
'''
    assert [name for _, name in named_modules(ast.parse(code))] == [
        "minillm_lib.viz.style",
        "minillm_lib.generation.decoding",
        "minillm_lib.checks.exercises.",
    ]


def test_the_import_is_lazy_and_quick():
    """Neither the package nor the command line's help loads torch, numba or scikit-learn."""
    code = (
        "import sys, minillm_lib.cli.main;"
        "print(sorted({'torch', 'numba', 'sklearn', 'scipy', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
    code = "import sys, minillm_lib; print(sorted(name for name in sys.modules if name.startswith('minillm_lib')))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "['minillm_lib']"


@pytest.mark.parametrize("code", [
    "from minillm_lib.corpora import load_corpus, CORPORA",
    "from minillm_lib.training import PretrainConfig, load_config",
    "from minillm_lib.model import ModelConfig",
])  # fmt: skip
def test_what_needs_no_torch_does_not_load_it(code):
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "False"


def test_the_promised_imports_work():
    from minillm_lib.analysis import examine_run, fit_scaling_law  # noqa: F401
    from minillm_lib.checks import Exercise, check  # noqa: F401
    from minillm_lib.corpora import load_corpus  # noqa: F401
    from minillm_lib.generation import chat, generate  # noqa: F401
    from minillm_lib.model import MiniLLM, ModelConfig  # noqa: F401
    from minillm_lib.topics import GibbsLDA, bag_of_words  # noqa: F401
    from minillm_lib.training import RunError, load_config, plan, pretrain, sft  # noqa: F401

    wanted = {"load_config", "RunError", "TrainingDivergedError", "CheckpointError", "Generation"}
    wanted |= {"write_lda_report", "summarize_topics", "Exercise", "MiniLLM", "GibbsLDA", "Tokenizer"}
    assert wanted <= set(minillm_lib.__all__)


def public_names() -> list[tuple[str, str]]:
    """Each lazy room with each of its names."""
    found = []
    for room in LAZY:
        module = importlib.import_module(f"minillm_lib.{room}".rstrip("."))
        found += [(module.__name__, name) for name in module.__all__]
    return found


@pytest.mark.parametrize(("room", "name"), public_names())
def test_every_public_name_can_be_imported_and_is_documented(room, name):
    value = getattr(importlib.import_module(room), name)
    if isinstance(value, types.ModuleType):
        assert room == "minillm_lib", "a module of the same name hides it"
        assert name in ROOMS
        assert name in dir(minillm_lib)
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return  # a constant or a type alias
    assert value.__module__.startswith("minillm_lib.")
    assert value.__doc__, "no docstring"
    if inspect.isclass(value) and issubclass(value, torch.nn.Module):
        assert "``(" in (inspect.getdoc(value.forward) or ""), "forward() does not give the shapes"
        assert any(word in value.__doc__ for word in ("et al.", "arXiv")), "no source"


@pytest.mark.parametrize(("room", "name"), public_names())
def test_what_a_public_function_raises_is_documented(room, name):
    """Every exception that a function itself raises is in its docstring, by name or by that of a base class."""
    value = getattr(importlib.import_module(room), name)
    if not inspect.isfunction(value):
        return
    function = inspect.unwrap(value)
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    raised = {
        node.exc.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
    }
    documented = inspect.getdoc(value) or ""
    for exception in raised:
        kind = getattr(sys.modules[function.__module__], exception, getattr(builtins, exception, None))
        bases = [base.__name__ for base in inspect.getmro(kind)] if inspect.isclass(kind) else [exception]
        assert any(base in documented for base in bases[:-3] or bases), f"it does not document {exception}"


def test_an_unknown_name_is_an_error():
    with pytest.raises(AttributeError, match="Gibs"):
        _ = minillm_lib.Gibs
