"""What runs in the process of one submission: its cells, and calls of its functions with the grader's inputs.

The process knows no right answers, no points and no paths of the instructor. It can only say what its functions return.
"""

from __future__ import annotations

import base64
import builtins
import contextlib
import functools
import importlib.abc
import inspect
import linecache
import os
import pickle
import sys
import sysconfig
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from minillm_lib.checks import registry
from minillm_lib.checks.channel import Channel, ChannelError
from minillm_lib.checks.exercise import Exercise
from minillm_lib.checks.guarded import TimeLimitError, call_with_time_limit
from minillm_lib.checks.plain_values import Encoder, PlainValueError
from minillm_lib.checks.work_clock import WorkClock

_HIDDEN = tuple(f"{__package__}.{name}" for name in ("exercises", "grading", "grading_pool"))
_LIBRARIES = (
    str(Path(__file__).parent.parent),
    *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    "<frozen",
    "<__array_function__",
)
_LONGEST_TEXT, _LONGEST_SOURCE = 2000, 100_000


class GradersObject:
    """Stands for an input that stayed in the grader, such as a function; it can be called there."""

    def __init__(self, channel: Channel, number: int, path: str = "") -> None:
        self._channel, self._number, self._path = channel, number, path

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it in the grader."""
        self._channel.send(
            callback=self._number, path=self._path, args=list(args), kwargs=list(kwargs.items())
        )
        return self._answer()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        path = f"{self._path}.{name}".lstrip(".")
        self._channel.send(callback=self._number, path=path, args=None, kwargs=None)
        answer = self._answer()
        return GradersObject(self._channel, self._number, path) if answer is ... else answer

    def _answer(self) -> Any:
        answer = self._channel.receive()
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return ... if "is_callable" in answer else answer["value"]


class _Objects:
    """The objects that stay in this process, by number."""

    def __init__(self) -> None:
        self.channel: Channel | None = None
        self._own: dict[int, Any] = {}

    def keep(self, value: Any) -> list[Any]:
        if isinstance(value, GradersObject) and not value._path:
            return ["o", "grader's", value._number]
        number = len(self._own)
        self._own[number] = value
        return ["o", "student's", number, type(value).__name__, callable(value)]

    def find(self, tree: list[Any]) -> Any:
        if tree[1] == "student's":
            return self._own[tree[2]]
        if tree[1] == "pickled":  # it comes from the grader; this process is the one that is not trusted
            return pickle.loads(base64.b64decode(tree[2]))
        assert self.channel is not None
        return GradersObject(self.channel, tree[2])


class _Refuser(importlib.abc.MetaPathFinder):
    """Refuses to import where the right answers are."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname.startswith(_HIDDEN):
            raise ImportError(f"{fullname} is not available while a notebook is graded")


class _LaterResult:
    """The result of a check in the notebook while it is graded: the grader makes its own."""

    passed, points = False, 0

    def __init__(self, name: str, answer: Any) -> None:
        self.exercise, self.function = name, answer

    def __repr__(self) -> str:
        return f"{self.exercise}: the grader checks this"


class _LaterCheck:
    """``check.NAME`` while a notebook is graded."""

    def __init__(self, name: str, pieces: _Pieces) -> None:
        self.name, self._pieces = name, pieces

    @property
    def function(self) -> Any:
        return self._pieces.function(self.name)

    @property
    def whose(self) -> str:
        return self._pieces.whose(self.name)

    @property
    def reference(self) -> Any:
        return self._pieces.reference(self.name)

    def __call__(self, answer: Any = None, *args: Any, **options: Any) -> _LaterResult:
        return _LaterResult(self.name, answer)

    def hint(self) -> str:
        return "There are no hints while a notebook is graded."


class _Pieces:
    """What a notebook goes on with: the learner's answers that have passed, and the library's for the others.

    The grader knows which have passed. It gives the library's, too, but not before an exercise has its marks.
    """

    def __init__(self) -> None:
        self.of_grader: Any = None
        self.looked_up: dict[str, Any] = {}

    def function(self, name: str) -> Any:
        answer = self.of_grader.passed(name)
        return self.reference(name) if answer is None else self.looked_up[answer]

    def whose(self, name: str) -> str:
        return "the library's" if self.of_grader.passed(name) is None else "yours"

    def reference(self, name: str) -> Any:
        return self.of_grader.reference(name)


class _LaterChecks:
    """``check`` while a notebook is graded. Exercises that the notebook itself registers work as always."""

    def __init__(self, pieces: _Pieces) -> None:
        self._own: dict[str, Exercise] = {}
        self._pieces = pieces

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._own.get(name) or _LaterCheck(name, self._pieces)

    def register(self, *exercises: Exercise) -> None:
        self._own.update((exercise.name, exercise) for exercise in exercises)


def serve(channel: Channel, folder: str) -> None:
    """Do what the grader asks for, until it closes the channel."""
    objects = channel.keeper
    assert isinstance(objects, _Objects)
    objects.channel = channel
    pieces = _Pieces()
    _hide_answers(pieces)
    shell = _shell(folder)
    verbs: dict[str, Callable[..., dict[str, Any] | None]] = {
        "run": lambda **fields: _run(shell, **fields),
        "begin": lambda of_grader: vars(pieces).update(of_grader=of_grader),
        "look": lambda name: _look(shell.user_ns, name, pieces),
        "call": _call,
        "rest": dict,
        "get": lambda object, name: {"value": getattr(object, name)},
    }
    while True:
        try:
            request = channel.receive()
        except ChannelError:
            return
        if "do" not in request:
            continue  # the answer to a call that was given up
        number, verb = request.pop("id"), request.pop("do")
        try:
            reply = verbs[verb](**request) or {}
        except BaseException as error:
            reply = {"error": _error(error)}
        _send(channel, number, reply)


def new_objects() -> _Objects:
    """Return an empty store for what stays in the process."""
    return _Objects()


def _send(channel: Channel, number: int, reply: dict[str, Any]) -> None:
    try:
        channel.send(id=number, **reply)
    except ChannelError:
        os._exit(0)
    except BaseException as error:  # a value whose own methods raise, or that is too large
        reason = (
            str(error) if isinstance(error, PlainValueError) else f"reading it raised {type(error).__name__}"
        )
        channel.send(id=number, unsendable=reason)


def _hide_answers(pieces: _Pieces) -> None:
    registry.check = _LaterChecks(pieces)  # type: ignore[assignment]
    registry.exercises_of = _no_exercises
    for module in (sys.modules.get("minillm_lib"), sys.modules.get("minillm_lib.checks")):
        vars(module).pop("check", None)
    sys.meta_path.insert(0, _Refuser())


def _no_exercises(notebook: str) -> NoReturn:
    raise ValueError("the exercises are not available while a notebook is graded")


def _shell(folder: str) -> Any:
    """Return a shell as in a kernel: the notebook's folder is first on the path, and nothing of ours is in it."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    os.chdir(folder)
    sys.argv = [""]
    sys.path.insert(0, "")
    config = Config({"HistoryManager": {"enabled": False, "hist_file": ":memory:"}})
    return InteractiveShell.instance(colors="nocolor", config=config)


def _run(shell: Any, source: str, limit: float) -> dict[str, Any]:
    try:
        outcome = call_with_time_limit(
            lambda: shell.run_cell(source, store_history=True), limit, clock=WorkClock()
        )
    except TimeLimitError:
        return {"problem": f"was stopped after {limit:g} seconds"}
    error = outcome.error_before_exec or outcome.error_in_exec
    if error is None:
        return {"problem": None}
    place = f" (line {error.lineno})" if isinstance(error, SyntaxError) and error.lineno else ""
    fields = _error(error)
    text = f": {fields['text']}" if fields["text"] else ""
    return {"problem": f"raised {fields['kinds'][0]}{text}{place}", "is_stub": fields["is_stub"]}


def _look(namespace: dict[str, Any], name: str, pieces: _Pieces) -> dict[str, Any]:
    if name not in namespace:
        return {"found": False}
    value = pieces.looked_up[name] = namespace[name]
    try:
        parameters = [
            (one.name, int(one.kind), None if one.default is one.empty else _shown(one.default))
            for one in inspect.signature(value).parameters.values()
        ]
    except (TypeError, ValueError):
        parameters = None
    source = None
    with contextlib.suppress(Exception):
        source = inspect.getsource(value)[:_LONGEST_SOURCE]
    return {"found": True, "value": value, "parameters": parameters, "source": source}


def _call(
    object: Any,
    args: list[Any],
    kwargs: list[tuple[str, Any]],
    limit: float,
    use_and_inputs: tuple[Callable[..., Any], list[Any]] | None = None,
) -> dict[str, Any]:
    called, not_own = object, []
    if use_and_inputs is not None:
        use, args = use_and_inputs
        called, not_own = functools.partial(use, object), [use.__code__.co_filename]
    before, clock = [_fingerprint(argument) for argument in args], WorkClock()
    try:
        value = call_with_time_limit(lambda: _settled(called(*args, **dict(kwargs))), limit, clock=clock)
    except TimeLimitError as error:
        return {"late": str(error)}
    except BaseException as error:
        return {"error": _error(error, not_own), "used": clock.seconds}
    changed = [
        (index, _state(argument))
        for index, (argument, old) in enumerate(zip(args, before, strict=True))
        if old is not None and old != _fingerprint(argument)
    ]
    return {"value": value, "changed": changed, "used": clock.seconds}


def _settled(value: Any) -> Any:
    """Return a value; a generator's items are made within the time limit, and its errors are the learner's."""
    return (item for item in list(value)) if inspect.isgenerator(value) else value


def _fingerprint(value: Any) -> Any:
    """Return the bytes of an input that may be changed in place; None for what cannot be."""
    encoder = Encoder(_Objects())
    with contextlib.suppress(Exception):
        return encoder.encode(_state(value)), encoder.buffers
    return None


def _state(value: Any) -> Any:
    """Return what can change in an input, as a plain value."""
    torch = sys.modules.get("torch")
    if isinstance(value, np.random.Generator):
        return value.bit_generator.state
    if torch is not None and isinstance(value, torch.Generator):
        return value.get_state()
    if torch is not None and isinstance(value, torch.nn.Module):
        return dict(value.state_dict())
    return value


def _error(error: BaseException, not_own: Sequence[str] = ()) -> dict[str, Any]:
    """Describe an error by plain values: what it is, and the innermost line of the learner's code that it came from.

    Parameters
    ----------
    not_own
        Files whose code is not the learner's, besides libraries.
    """
    kinds = [kind.__name__ for kind in type(error).__mro__]
    try:
        text = str(error.msg if isinstance(error, SyntaxError) else error).strip()[:_LONGEST_TEXT]
    except BaseException:
        text = "its message cannot be shown"
    places = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    own = [place for place in places if not place[0].startswith(_LIBRARIES) and place[0] not in not_own]
    line = (own[-1][1], linecache.getline(*own[-1])[:500]) if own else None
    is_own = bool(own) and own[-1] == places[-1]
    return {
        "kinds": kinds,
        "text": text,
        "line": line,
        "is_own": is_own,
        "is_stub": is_own and isinstance(error, NotImplementedError),
    }


def _shown(value: Any) -> str:
    try:
        return repr(value)[:60]
    except BaseException:
        return "…"


def builtin_kind(kinds: Sequence[str]) -> type[BaseException]:
    """Return the nearest error class that every Python has, of the names of a class and its bases."""
    for name in kinds:
        kind = getattr(builtins, name, None)
        if inspect.isclass(kind) and issubclass(kind, BaseException) and "Group" not in name:
            return kind
    return Exception
