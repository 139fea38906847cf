"""A learner's answer that runs in the process of the submission, and is used in the grader like any function."""

from __future__ import annotations

import base64
import contextlib
import functools
import inspect
import linecache
import pickle
import sys
import threading
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any

import numpy as np

from minillm_lib.checks.by_value import ByValue, pickled_by_value
from minillm_lib.checks.channel import NO_MESSAGE, ChannelError, PatientChannel
from minillm_lib.checks.guarded import TimeLimitError
from minillm_lib.checks.plain_values import PlainValueError
from minillm_lib.checks.student_process import builtin_kind
from minillm_lib.checks.work_clock import Countdown, WorkClock, longest

_GRACE_SECONDS = 5.0
SILENT = "it did not answer any more"
_MOST_LINES = 100_000
_LONGEST_TEXT = 2000


class SessionEndedError(Exception):
    """The process of the submission is gone, or does not answer any more."""


class RemoteObject:
    """An object of the submission's process; its public attributes can be read."""

    def __init__(self, conversation: Conversation, number: int, parameters: Any = None) -> None:
        self._conversation, self._number = conversation, number
        if parameters is not None:
            self.__signature__ = _signature(parameters)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or self._number < 0:
            raise AttributeError(name)
        reply = self._conversation.request("get", _GRACE_SECONDS, object=self, name=name)
        if "error" in reply:
            raise AttributeError(name)
        return reply.get("value")

    def __deepcopy__(self, memo: dict[int, Any]) -> RemoteObject:
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class RemoteFunction(RemoteObject):
    """A function or class of the submission's process."""

    __source__ = ""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it there, and return its result; its errors are raised here, and its changes to the inputs made here."""
        return self._called(args, kwargs)

    def used_by(self, use: Callable[..., Any], inputs: Sequence[Any]) -> Any:
        """Run ``use(answer, *inputs)`` there, as :meth:`__call__` runs the answer itself."""
        return self._called(inputs, {}, ByValue((use, list(inputs))))

    def _called(
        self, args: Sequence[Any], kwargs: dict[str, Any], use_and_inputs: ByValue | None = None
    ) -> Any:
        conversation = self._conversation
        limit = conversation.seconds_left
        if not limit:
            raise conversation.too_late("")
        reply = conversation.request(
            "call",
            limit + _GRACE_SECONDS,
            object=self,
            args=list(args) if use_and_inputs is None else [],
            kwargs=list(kwargs.items()),
            limit=limit,
            use_and_inputs=use_and_inputs,
        )
        try:
            conversation.spend(float(reply.get("used", 0)))
            for index, new in reply.get("changed") or ():
                _change(args[index], new)
            if "late" in reply:
                error: BaseException = conversation.too_late(str(reply["late"])[:_LONGEST_TEXT])
                code = None
            elif "error" in reply:
                error, code = _made_error(reply["error"])
            elif "unsendable" in reply:
                name = f"value that cannot be read: {reply['unsendable']}"[:_LONGEST_TEXT]
                return _named(RemoteObject, name)(conversation, -1)
            else:
                return reply["value"]
        except Exception:  # no reply of ours: the submission may send anything
            raise conversation.end(NO_MESSAGE) from None
        if code is None:
            raise error
        exec(code, {"error": error, "fail": _fail})
        raise AssertionError


class Conversation:
    """Asks the submission's process one thing after the other, and lets it call functions among the inputs."""

    def __init__(self, channel: PatientChannel, keeper: GradersObjects, clock: WorkClock) -> None:
        self._channel, self._clock, self._number = channel, clock, 0
        self._lock = threading.Lock()
        self.ended = False
        self.reason = ""
        self.fault = ""  # of the exercise, not of the learner
        self.begin_check(1.0)
        keeper.conversation = self

    def begin_check(self, time_limit: float) -> None:
        """Give the calls from now on this many seconds together."""
        self._time_limit = self.seconds_left = time_limit

    def spend(self, seconds: float) -> None:
        """Note how long a call took by the submission's own clock, which does not count how long the grader waits."""
        self.seconds_left = max(0.0, self.seconds_left - seconds) if seconds > 0 else self.seconds_left

    def too_late(self, place: str) -> TimeLimitError:
        """Return the error for a call that did not return in time."""
        error = TimeLimitError(place)
        error.seconds = self._time_limit
        return error

    def request(self, verb: str, seconds: float, **fields: Any) -> dict[str, Any]:
        """Ask for something, and return the reply.

        Raises
        ------
        SessionEndedError
            If the process is gone, or does not reply within this many seconds of its work.
        """
        if self.ended:
            raise SessionEndedError("the process has ended")
        if not self._lock.acquire(timeout=longest(seconds)):  # a call that was given up has not come back
            raise self.end(SILENT)
        self._clock.counts = True
        try:
            return self._exchange(verb, Countdown(self._clock, seconds), fields)
        finally:
            self._clock.counts = False
            self._lock.release()

    def settle(self) -> None:
        """Wait until the process is idle again.

        Raises
        ------
        SessionEndedError
            If it is not, after a few seconds: something runs there that cannot be interrupted.
        """
        self.request("rest", _GRACE_SECONDS)

    def _exchange(self, verb: str, countdown: Countdown, fields: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        number = self._number
        try:
            if not self._channel.send_until(lambda: not countdown.left, do=verb, id=number, **fields):
                raise ChannelError(SILENT)
            while True:
                message = self._channel.receive_until(lambda: not countdown.left)
                if message is not None and message.get("id") == number and "callback" not in message:
                    return message
                if (
                    message is None or not countdown.left
                ):  # or else it sends without end what nobody asked for
                    raise ChannelError(SILENT)
                if "callback" in message:
                    self._call_back(countdown, **message)
        except ChannelError as error:
            raise self.end(str(error)) from None
        except PlainValueError as error:
            self.fault = f"An input cannot be sent to the submission: {error}."
            raise
        except TypeError:  # fields that no message of ours has
            raise self.end(NO_MESSAGE) from None

    def end(self, reason: str) -> SessionEndedError:
        """End the conversation, and return the error that says so."""
        self.ended, self.reason = True, reason
        return SessionEndedError(reason)

    def _call_back(self, countdown: Countdown, **message: Any) -> None:
        self._clock.counts = False
        answer = self._called_back(**message)
        self._clock.counts = True
        try:
            is_read = self._channel.send_until(lambda: not countdown.left, **answer)
        except PlainValueError as error:
            answer = {"error": f"the result cannot be sent: {error}"}
            is_read = self._channel.send_until(lambda: not countdown.left, **answer)
        if not is_read:
            raise ChannelError(SILENT)

    def _called_back(self, callback: int, path: str, args: Any, kwargs: Any) -> dict[str, Any]:
        """Call an input, or read its attribute, for the submission; only public names can be reached."""
        try:
            target = self._channel.keeper.find(["o", "grader's", callback])
            for name in path.split(".") if path else ():
                if name.startswith("_"):
                    raise AttributeError(f"{name!r} cannot be reached")
                target = getattr(target, name)
            if args is not None:
                return {"value": target(*args, **dict(kwargs))}
            return {"is_callable": True} if callable(target) else {"value": target}
        except (SessionEndedError, ChannelError):
            raise
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"[:_LONGEST_TEXT]}


class GradersObjects:
    """What stays in the grader when inputs are sent, and what stands for the submission's objects.

    Attributes
    ----------
    secrets
        What no object that is sent may hold, as the right answer.
    """

    def __init__(self) -> None:
        self.conversation: Conversation | None = None
        self.secrets: Sequence[Any] = ()
        self._own: list[Any] = []

    def keep(self, value: Any) -> list[Any]:
        """Return what stands for a value that is not copied."""
        if isinstance(value, RemoteObject):
            return ["o", "student's", value._number]
        if isinstance(value, ByValue):
            return _tree(pickled_by_value(value.value, self.secrets))
        if (content := _rebuildable(value, self.secrets)) is not None:
            return _tree(content)
        self._own.append(value)
        return ["o", "grader's", len(self._own) - 1]

    def find(self, tree: list[Any]) -> Any:
        """Return what a tree of the submission stands for."""
        _, owner, number, *more = tree
        if owner == "grader's":
            return self._own[number]
        if type(number) is not int or self.conversation is None:
            raise PlainValueError("an object has no number")
        name, is_callable = more
        return _named(RemoteFunction if is_callable is True else RemoteObject, str(name)[:60])(
            self.conversation, number
        )


def answer_of(reply: dict[str, Any]) -> Any:
    """Return the answer that a process was asked to look up, with its signature."""
    value = reply["value"]
    if isinstance(value, RemoteFunction) and reply.get("parameters") is not None:
        with contextlib.suppress(Exception):  # what is told of the parameters may be anything
            value = type(value)(value._conversation, value._number, reply["parameters"])
    if isinstance(value, RemoteFunction) and isinstance(reply.get("source"), str):
        value.__source__ = reply["source"]
    return value


def used_there(use: Callable[..., Any]) -> Callable[..., Any]:
    """Return what runs ``use`` in the process of the answer, if that is another one."""

    @functools.wraps(use)
    def used(answer: Callable[..., Any], *inputs: Any) -> Any:
        return answer.used_by(use, inputs) if isinstance(answer, RemoteFunction) else use(answer, *inputs)

    return used


def _named(base: type[RemoteObject], name: str) -> type[RemoteObject]:
    return type(name, (base,), {})


class _Default:
    """A default value, of which only the text is known."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _signature(parameters: Sequence[Sequence[Any]]) -> inspect.Signature:
    kinds = list(inspect._ParameterKind)
    return inspect.Signature(
        [
            inspect.Parameter(
                name, kinds[kind], default=inspect.Parameter.empty if default is None else _Default(default)
            )
            for name, kind, default in parameters
        ]
    )


def _tree(content: bytes) -> list[Any]:
    return ["o", "pickled", base64.b64encode(content).decode()]


def _rebuildable(value: Any, secrets: Sequence[Any]) -> bytes | None:
    """Return a random generator or a model as bytes, which are it again in the submission's process; else None."""
    torch = sys.modules.get("torch")
    if isinstance(value, np.random.Generator):
        return pickle.dumps(value)
    if torch is not None and isinstance(value, torch.Generator):
        return pickle.dumps(_TorchGenerator(value.get_state().numpy().tobytes()))
    if torch is not None and isinstance(value, torch.nn.Module):
        with contextlib.suppress(PlainValueError):  # it stays here, and can be called
            return pickled_by_value(value, secrets)
    return None


class _TorchGenerator:
    """Is unpickled as a torch generator in a given state."""

    def __init__(self, state: bytes) -> None:
        self._state = state

    def __reduce__(self) -> tuple[Any, ...]:
        return torch_generator, (self._state,)


def torch_generator(state: bytes) -> Any:
    """Return a torch generator in this state."""
    import torch

    generator = torch.Generator()
    generator.set_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))
    return generator


def _change(value: Any, new: Any) -> None:
    """Change an input in place to what the answer made of it."""
    if isinstance(value, list | bytearray):
        value[:] = new
    elif isinstance(value, dict | set):
        value.clear()
        value.update(new)
    elif isinstance(value, np.random.Generator):
        value.bit_generator.state = new
    elif isinstance(value, np.ndarray) and value.shape == np.shape(new):
        value[...] = new
    elif torch := sys.modules.get("torch"):
        if isinstance(value, torch.Generator):
            value.set_state(new)
        elif isinstance(value, torch.nn.Module):
            value.load_state_dict(new)
        elif isinstance(value, torch.Tensor):
            value.data = new


def _made_error(error: dict[str, Any]) -> tuple[BaseException, CodeType | None]:
    """Return the learner's error, and code that raises it as if it came from the line of the cell that it came from."""
    base = builtin_kind([str(name) for name in error["kinds"]])
    text = str(error["text"])[:_LONGEST_TEXT]
    kind = type(
        str(error["kinds"][0])[:100], (base,), {"__str__": lambda self: text, "__module__": "builtins"}
    )
    made: Any = kind.__new__(kind)  # type: ignore[call-overload]
    made.args, made.msg, made.kinds = (text,), text, {str(name) for name in error["kinds"]}
    if not error["line"]:
        return made, None
    number, line = error["line"]
    return made, _raising_code(int(number), str(line)[:_LONGEST_TEXT], bool(error["is_own"]))


def _fail(error: BaseException) -> None:
    raise error


def _raising_code(number: int, line: str, is_own: bool) -> CodeType:
    """Return code that raises an error, seemingly in this line; ``is_own`` if no library raised it."""
    number = min(max(number, 1), _MOST_LINES)
    filename = f"<line {number} of a cell: {line.strip()}>"
    linecache.cache[filename] = (len(line), None, ["\n"] * (number - 1) + [line], filename)
    code = compile("raise error" if is_own else "fail(error)", filename, "exec")
    return code.replace(co_firstlineno=number)
