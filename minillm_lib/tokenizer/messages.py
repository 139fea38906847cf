"""Conversations in this package's own format: roles, and the template that turns messages into tokens.

Only system, user and assistant have tokens of their own. What belongs to tools, and what the assistant thinks, is
written as text, as in the conversations that models are trained on
(:mod:`~minillm_lib.corpora.conversations.messages`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from minillm_lib.corpora.conversations.messages import Message, message_of

ROLES = ("system", "user", "assistant")
_KEYS = {
    "system": ("role", "content", "tools"),
    "user": ("role", "content"),
    "assistant": ("role", "content", "reasoning_content", "tool_calls"),
    "tool": ("role", "content", "tool_call_id", "name"),
}

CHAT_TEMPLATE = """\
{%- if tools %}
{{- raise_exception('give tools as a key of the system message') }}
{%- endif %}
{%- for message in messages %}
{%- if message.role not in ['system', 'user', 'assistant', 'tool'] %}
{{- raise_exception('unknown role: ' + message.role) }}
{%- elif message.role == 'system' and not loop.first %}
{{- raise_exception('only the first message may be a system message') }}
{%- endif %}
{%- if message.role == 'tool' %}
{%- set follows = not loop.first and messages[loop.index0 - 1].role == 'tool' %}
{{- ('\\n' if follows else '<|user|>') + '<tool_response>\\n' + message.content + '\\n</tool_response>' }}
{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|end|>' }}{%- endif %}
{%- elif message.role == 'assistant' %}
{{- '<|assistant|>' }}
{%- generation %}
{%- if message.reasoning_content %}{{- '<think>\\n' + message.reasoning_content + '\\n</think>\\n\\n' }}{%- endif %}
{%- if message.content %}{{- message.content }}{%- endif %}
{%- for item in message.tool_calls or [] %}
{%- set call = item.function if item.function else item %}
{%- set given = call.arguments or {} %}
{%- set arguments = given if given is string else given | tojson %}
{{- ('\\n' if message.content or not loop.first else '') + '<tool_call>\\n{"name": ' + call.name | tojson }}
{{- ', "arguments": ' + arguments + '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|end|>' }}
{%- endgeneration %}
{%- else %}
{{- '<|' + message.role + '|>' + message.content }}
{%- if message.tools %}
{{- ('\\n\\n' if message.content else '') + '<tools>\\n' }}
{%- for tool in message.tools %}{{- tool | tojson + '\\n' }}{%- endfor %}
{{- '</tools>' }}
{%- endif %}
{{- '<|end|>' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|assistant|>' }}
{%- endif %}
"""
"""The chat format as a Jinja template for ``transformers``; its ``generation`` block marks the assistant's tokens."""


def turns_of_messages(messages: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return the role and the text of each turn of a conversation; adjacent results of tools are one turn of the user.

    Raises
    ------
    ValueError
        If there are no messages, if keys, roles or types of content are not those of the format, or if a system message
        is not the first.
    """
    if not messages:
        raise ValueError("a conversation must have at least one message")
    checked = [_checked(messages, i) for i in range(len(messages))]
    turns = []
    for is_result, group in groupby(checked, key=lambda message: message.role == "tool"):
        if is_result:
            turns.append(("user", "\n".join(message.text for message in group)))
        else:
            turns += [(message.role, message.text) for message in group]
    return turns


def _checked(messages: Sequence[Mapping[str, Any]], i: int) -> Message:
    message, where = messages[i], f"messages[{i}]"
    if not isinstance(message, Mapping) or not {"role", "content"} <= set(message):
        raise ValueError(f"{where} must have the keys 'role' and 'content'; it is {message!r}")
    role, content = message["role"], message["content"]
    if role not in _KEYS:
        raise ValueError(f"{where} has role {role!r}; it must be one of {', '.join(_KEYS)}")
    if role == "system" and i > 0:
        raise ValueError(f"{where} is a system message; only messages[0] may be one")
    if others := set(message).difference(_KEYS[role]):
        raise ValueError(
            f"{where}, a message of role {role}, must have the keys {', '.join(map(repr, _KEYS[role]))} only; it has "
            f"{', '.join(map(repr, sorted(others)))} too"
        )
    has_calls = bool(message.get("tool_calls"))
    if not isinstance(content, str) and not (content is None and has_calls):
        raise ValueError(f"{where} has {type(content).__name__} content; it must be a string")
    for key in ("tool_calls", "tools"):
        if not isinstance(message.get(key), list | tuple | None):
            raise ValueError(f"{where} has {key} of type {type(message[key]).__name__}; it must be a list")
    return message_of(message, where)
