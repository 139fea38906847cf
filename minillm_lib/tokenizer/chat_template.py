"""Other people's chat templates: Jinja programs that turn messages into text, run where they can do no harm."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

_MARKS = "generation_marks"


@dataclass(frozen=True)
class Rendering:
    """The text of a conversation.

    Attributes
    ----------
    text
        What the template wrote.
    own
        Where the assistant's own text begins and ends, as the template's ``generation`` blocks say; empty without them.
    """

    text: str
    own: tuple[tuple[int, int], ...]


class ChatTemplate:
    """A chat template as ``transformers`` runs them: the same settings, filters and functions.

    It runs in a sandbox, without access to files, modules or attributes that begin with an underscore.

    Parameters
    ----------
    source
        The template.
    variables
        Names that it may use, such as ``bos_token``.

    Attributes
    ----------
    marks_own_text
        Whether it has ``generation`` blocks, which enclose the assistant's own text.

    Raises
    ------
    ValueError
        If the template is not valid.
    """

    def __init__(self, source: str, variables: Mapping[str, Any]) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = lambda layout: datetime.now().strftime(layout)
        try:
            self._template = environment.from_string(source)
        except TemplateError as error:
            raise ValueError(f"the chat template is not valid: {error}") from error
        self.marks_own_text = re.search(r"{%[-+]?\s*generation\b", source) is not None
        self._variables = dict(variables)

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        marks: tuple[str, str],
        *,
        add_generation_prompt: bool = False,
    ) -> Rendering:
        """Return the text of a conversation.

        Parameters
        ----------
        marks
            Two characters that no message contains, which mark the assistant's own text on its way.

        Raises
        ------
        ValueError
            If the template refuses the messages, or fails; the message is the template's own.
        """
        values = {"tools": None, "documents": None, **self._variables, _MARKS: marks}
        try:
            marked = self._template.render(
                messages=messages, add_generation_prompt=add_generation_prompt, **values
            )
        except (TemplateError, TypeError, AttributeError, KeyError, ValueError) as error:
            raise ValueError(f"the chat template does not take this conversation: {error}") from error
        pieces, ends = [], [0]
        for piece in marked.replace(marks[1], marks[0]).split(marks[0]):
            pieces.append(piece)
            ends.append(ends[-1] + len(piece))
        return Rendering("".join(pieces), tuple(zip(ends[1:-1:2], ends[2::2], strict=False)))


class _Generation(Extension):
    """The block ``{% generation %} … {% endgeneration %}``, whose text is put between two marks."""

    tags = {"generation"}  # noqa: RUF012 (jinja2's own way to declare them)

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_marked", [nodes.ContextReference()])
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _marked(self, context: Context, caller: Callable[[], str]) -> str:
        begin, end = context[_MARKS]
        return f"{begin}{caller()}{end}"


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise(message: str) -> None:
    raise TemplateError(message)


def strings_in(value: Any) -> Iterator[str]:
    """Yield every string inside a value of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from strings_in(key)
            yield from strings_in(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from strings_in(inner)


def with_strings(value: Any, change: Callable[[str], str]) -> Any:
    """Return a value of JSON in which every string is changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(key): with_strings(inner, change) for key, inner in value.items()}
    if isinstance(value, Sequence):
        return [with_strings(inner, change) for inner in value]
    return value
