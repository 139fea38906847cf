"""What pydantic refuses, in words for people: without its own terms for types, tags, tuples and default factories."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from minillm_lib.io.wording import number_of, shown

if TYPE_CHECKING:
    from pydantic import ValidationError

_MOST_SHOWN = 8
_NUMBER = re.compile(r"\.\d+(?=\.|$)")  # of an item in a list
_KEYS, _LIST = "Input should be keys with values", "Input should be a list"
_WORDS = {
    **dict.fromkeys(
        ("model_type", "model_attributes_type", "dataclass_type", "dict_type", "mapping_type"), _KEYS
    ),
    **dict.fromkeys(("tuple_type", "list_type", "set_type", "frozen_set_type", "iterable_type"), _LIST),
    "path_type": "Input should be a path, as text",
    "union_tag_not_found": "Input should have the key {discriminator}, which says of which kind it is",
    "union_tag_invalid": "{discriminator} should be one of {expected_tags}",
    "int_parsing_size": "Input should be an integer of fewer digits",
    "recursion_loop": "Input should not contain itself",
    **dict.fromkeys(("extra_forbidden", "unexpected_keyword_argument"), "there is no such key"),
    **dict.fromkeys(("missing", "missing_argument"), "it is missing"),
}


def reason(details: Mapping[str, Any]) -> str:
    """Say what is allowed in place of a value that pydantic refused, one item of ``ValidationError.errors()``.

    Our own validators name the value themselves, pydantic's do not.
    """
    if details["type"] == "value_error":
        return str(details["ctx"]["error"])
    words = _WORDS.get(details["type"])
    return str(details["msg"]) if words is None else words.format_map(details.get("ctx", {}))


def refusals(error: ValidationError) -> Sequence[Mapping[str, Any]]:
    """Return what pydantic refused, without what only follows from another refusal, such as a default not computed."""
    return [each for each in error.errors(include_url=False) if each["type"] != "default_factory_not_called"]


def refusal_in_words(
    error: ValidationError, names: Mapping[str, str] | None = None, meanings: Mapping[str, str] | None = None
) -> str:
    """Say in one line which key of a configuration has which value, and what is allowed.

    Parameters
    ----------
    names
        What the file calls a key at the top, where that is not our name for it.
    meanings
        What keys mean, which is said too; ``corpora[].name`` is that of each item.
    """
    found = refusals(error)
    told = [_in_words(each, names or {}, meanings or {}) for each in found[:_MOST_SHOWN]]
    more = f"; and {number_of(len(found) - _MOST_SHOWN, 'more mistake')}" * (len(found) > _MOST_SHOWN)
    return "; ".join(told) + more


def _in_words(details: Mapping[str, Any], names: Mapping[str, str], meanings: Mapping[str, str]) -> str:
    first, *inner = map(str, details["loc"] or ("",))
    key = ".".join([names.get(first, first), *inner])
    if details["type"] == "value_error":
        return f"{key}: {reason(details)}" if key else reason(details)
    general = _NUMBER.sub("[]", key)
    meaning = f" ({general}: {meanings[general]})" if general in meanings else ""
    if details["type"] == "missing":
        return f"{key} is missing{meaning}"
    return f"{key or 'the whole'} is {shown(details['input'])}: {reason(details)}{meaning}"
