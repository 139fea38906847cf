"""Messages as programs exchange them, and how their parts are written as text.

Only three roles have tokens of their own. What a tool answers, what is called, and what is thought is written as text
with marks around it, as in the chat format of Qwen:

===================  ==========================================================================================
part                 text
===================  ==========================================================================================
definitions          the system turn ends with ``<tools>``, a definition per line, ``</tools>``
what is thought      the assistant's turn begins with ``<think>``, the text, ``</think>``, and an empty line
a call               the assistant's turn ends with ``<tool_call>``, ``{"name": …, "arguments": …}``, ``</tool_call>``
what a tool answers  a turn of the user with ``<tool_response>``, the text, ``</tool_response>``
===================  ==========================================================================================

Each mark stands on a line of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from minillm_lib.corpora.conversations.conversation import ConversationError
from minillm_lib.corpora.reading.rows import is_absent, plain
from minillm_lib.io.json_text import parse_json

Role = Literal["system", "user", "assistant", "tool"]
Listed = Literal["alternatives", "lines"]
_CALLING = ("function_call", "tool_call")
_NAMES_OF_ROLES: Mapping[str, Role] = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bing", "bard", "bot", "model", *_CALLING), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "ipython", "tool_response"), "tool"),
}
ROLE_KEYS = ("role", "from")
_CONTENT_KEYS = ("content", "value", "text")
_REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")
_CALL_KEYS = ("tool_calls", "function_call")
_TOOL_KEYS = ("tools", "functions")
_TEXT_PARTS = ("text", "input_text", "output_text")


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes
    ----------
    content
        What is said; for a tool, its result.
    reasoning
        What the assistant thinks before it answers.
    calls
        The assistant's calls of tools, each as JSON.
    tools
        The definitions of the tools that a system message offers, each as JSON.
    unread
        Keys with a value that says nothing to a model of texts, such as the identifier of a call.
    listed
        How lists of several plain texts were read: as alternatives, of which only the first is, or as lines.
    """

    role: Role
    content: str = ""
    reasoning: str = ""
    calls: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    listed: tuple[Listed, ...] = ()

    @property
    def text(self) -> str:
        """The message as a turn's text.

        >>> print(Message("assistant", "Let me look.", calls=('{"name": "clock", "arguments": {}}',)).text)
        Let me look.
        <tool_call>
        {"name": "clock", "arguments": {}}
        </tool_call>
        """
        if self.role == "tool":
            return _marked("tool_response", self.content)
        if self.role == "system":
            tools = _marked("tools", "\n".join(self.tools)) if self.tools else ""
            return "\n\n".join(filter(None, (self.content, tools)))
        answer = "\n".join(filter(None, (self.content, *(_marked("tool_call", call) for call in self.calls))))
        return f"{_marked('think', self.reasoning)}\n\n{answer}" if self.reasoning else answer

    @property
    def is_blank(self) -> bool:
        """Whether it says nothing but white space."""
        return not self.text.strip()


def _marked(mark: str, text: str) -> str:
    return f"<{mark}>\n{text}\n</{mark}>"


def is_message(value: Any) -> bool:
    """Whether a value looks like a message: an object that says whose it is."""
    return isinstance(value, Mapping) and any(key in value for key in ROLE_KEYS)


def message_of(value: Any, where: str) -> Message:
    """Read a message in any of the usual shapes.

    The role is under ``role`` or ``from`` and may have any usual name (``user``, ``human``, ``gpt``, ``model``,
    ``observation``, …); the text is under ``content``, ``value`` or ``text``, as a string or a list of text parts. A
    message that calls a tool (``tool_calls``, ``function_call``) may have none.

    Parameters
    ----------
    where
        What the message is called in an error, such as ``"turn 2"``.

    Raises
    ------
    ConversationError
        If the role is unknown, there is no text, or there is something else than text, such as an image.
    """
    if not isinstance(value, Mapping):
        raise ConversationError(f"{where} is of type {type(value).__name__}; it must be an object")
    filled = {str(key): own for key, own in value.items() if not is_nothing(own)}
    role_key, reasoning_key, call_key, tool_key = (
        first_said(filled, keys) for keys in (ROLE_KEYS, _REASONING_KEYS, _CALL_KEYS, _TOOL_KEYS)
    )
    content_key = first_said(value, _CONTENT_KEYS)
    if role_key is None or (content_key is None and call_key is None):
        needed = f"{' or '.join(map(repr, ROLE_KEYS))} and {' or '.join(map(repr, _CONTENT_KEYS))}"
        raise ConversationError(f"{where} has the keys {sorted(map(str, value))}; it needs {needed}")
    name = str(filled[role_key]).strip().casefold()
    if name not in _NAMES_OF_ROLES:
        allowed = ", ".join(map(repr, _NAMES_OF_ROLES))
        raise ConversationError(f"{where} is from {filled[role_key]!r}; allowed are {allowed}")
    role = _NAMES_OF_ROLES[name]
    content = text_of(filled.get(content_key or ""), where, any_value=role == "tool")
    calls = calls_of(filled[call_key], where) if call_key else ()
    if name in _CALLING:
        content, calls = "", (content, *calls)
    read = {role_key, content_key, reasoning_key, call_key, tool_key}
    return Message(
        role,
        content,
        text_of(filled[reasoning_key], where) if reasoning_key else "",
        calls,
        tools_of(filled[tool_key], where) if tool_key else (),
        tuple(key for key in filled if key not in read),
        (*listed_in(filled.get(content_key or "")), *listed_in(filled.get(reasoning_key or ""))),
    )


def is_nothing(value: Any) -> bool:
    """Whether a value says nothing: absent, or empty."""
    return is_absent(value) or (isinstance(value, str | list | tuple | dict) and not value)


def is_blank(value: Any) -> bool:
    """Whether a value says nothing: absent, empty, or nothing but white space."""
    return is_nothing(value) or (isinstance(value, str) and not value.strip())


def first_said(values: Mapping[Any, Any], keys: Sequence[str]) -> str | None:
    """Return the first of some keys whose value says something, or else the first that there is."""
    present = [key for key in keys if key in values]
    return next((key for key in present if not is_blank(values[key])), next(iter(present), None))


def listed_in(value: Any) -> tuple[Listed, ...]:
    """Return what :attr:`Message.listed` says of a text whose parts stand in a list: plain texts are lines."""
    are_texts = isinstance(value, list | tuple) and len(value) > 1 and all(map(_is_text_part, value))
    return ("lines",) if are_texts and any(isinstance(part, str) for part in value) else ()


def text_of(value: Any, where: str, *, any_value: bool = False) -> str:
    """Return the text that a value is: a string, a number, nothing, or a list of text parts.

    Parts such as ``{"type": "text", "text": "…"}`` are one text in pieces; plain texts in a list are lines.

    Parameters
    ----------
    any_value
        Write any other value as JSON, such as the result of a tool.

    Raises
    ------
    ConversationError
        If it is something else, such as an image.
    """
    if is_absent(value):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and all(map(_is_text_part, value)):
        texts = (part if isinstance(part, str) else part["text"] for part in value)
        return ("\n" if listed_in(value) else "").join(texts)
    if any_value:
        return as_json(value)
    if isinstance(value, list | tuple):
        kind = next(_kind_of(part) for part in value if not _is_text_part(part))
        raise ConversationError(f"{where} has a part of type {kind}; only text can be read")
    if isinstance(value, Mapping):
        raise ConversationError(f"{where} is an object with the keys {sorted(map(str, value))}, not a text")
    return str(plain(value))


def _is_text_part(part: Any) -> bool:
    if isinstance(part, Mapping):
        return part.get("type", "text") in _TEXT_PARTS and isinstance(part.get("text"), str)
    return isinstance(part, str)


def _kind_of(part: Any) -> str:
    return repr(part["type"]) if isinstance(part, Mapping) and "type" in part else type(part).__name__


def calls_of(value: Any, where: str) -> tuple[str, ...]:
    """Return the calls of tools as JSON texts; arguments that are a string already stay as they are.

    A call without a name is written as it stands.
    """
    return tuple(map(_call, _listed(value, where, "calls")))


def _call(call: Any) -> str:
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        return as_json(call)
    arguments = function.get("arguments", function.get("parameters")) or {}
    written = arguments if isinstance(arguments, str) else as_json(arguments)
    return f'{{"name": {as_json(function["name"])}, "arguments": {written}}}'


def tools_of(value: Any, where: str) -> tuple[str, ...]:
    """Return definitions of tools as JSON texts."""
    return tuple(as_json(tool) for tool in _listed(value, where, "tools"))


def _listed(value: Any, where: str, what: str) -> Sequence[Any]:
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except ValueError as error:
            raise ConversationError(f"the {what} of {where} are no valid JSON ({error})") from error
    return value if isinstance(value, list | tuple) else [value]


def as_json(value: Any) -> str:
    """Return a value as JSON on one line."""
    return json.dumps(value, ensure_ascii=False, default=plain)
