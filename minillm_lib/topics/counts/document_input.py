"""What a user passes as documents: checked, one after another, and described for a report."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any

import numpy as np

from minillm_lib.corpora.document import Document

_TITLE_LENGTH = 40
# More than enough for a title, so that a book is not split into words for its first line.
_BEGINNING = 1_000


def check_documents(documents: object) -> None:
    """Check that ``documents`` is a collection or stream that can hold documents, before any is read.

    Raises
    ------
    ValueError
        For a single text, a table, a mapping, a path, or anything that cannot be iterated over.
    """
    kind = type(documents).__name__
    if isinstance(documents, str | bytes | Document):
        problem = "documents is a single text; pass a list of texts or Documents"
    elif isinstance(documents, os.PathLike):
        problem = "documents is a path; minillm_lib.corpora.read_files reads the files there"
    elif hasattr(documents, "columns") or hasattr(documents, "column_names"):
        names = list(getattr(documents, "columns", ()))
        columns = ", ".join(map(repr, names[:8])) + (", …" if len(names) > 8 else "")
        problem = (
            f"documents is a table ({kind}), of which one column holds the texts; pass that column: "
            f'documents=frame["column"]' + (f". The columns are {columns}" if names else "")
        )
    elif isinstance(documents, Mapping):
        problem = f"documents is a mapping ({kind}); pass its texts: documents=mapping.values()"
    elif getattr(documents, "ndim", 1) != 1:
        problem = f"documents is an array of shape {documents.shape}; pass one with a single axis"  # type: ignore[attr-defined]
    elif not isinstance(documents, Iterable):
        problem = f"documents has type {kind}; pass a list or another stream of texts or Documents"
    else:
        return
    raise ValueError(problem)


def as_documents(documents: Iterable[Document | str]) -> Iterator[Document]:
    """Yield the documents, plain texts too as Documents.

    Raises
    ------
    ValueError
        For an item that is neither, which the message names by its number.
    """
    for number, item in enumerate(documents):
        document = Document(item) if isinstance(item, str) else item
        if not isinstance(document, Document):
            raise ValueError(f"document {number} {_what_is_wrong(item)}")
        if not isinstance(document.text, str):
            raise ValueError(
                f"document {number}, a Document, has a text that {_what_is_wrong(document.text)}"
            )
        yield document


def _what_is_wrong(item: object) -> str:
    kind = type(item).__name__
    if is_missing(item):
        return f"is missing ({item!r}); leave such rows out first, as with frame['column'].dropna()"
    if isinstance(item, bytes | bytearray):
        return f"has type {kind}; decode it first, as with item.decode('utf-8')"
    return f"has type {kind}; allowed types: str, Document"


def is_missing(value: object) -> bool:
    """Return whether a value stands for a missing one: None, NaN, and those of pandas."""
    is_nan = isinstance(value, float | np.floating) and math.isnan(value)
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")


def beginning_of(text: str) -> str:
    """Return the first words of a text, for a title."""
    return shortened(" ".join(text.lstrip()[:_BEGINNING].split()))


def shortened(title: str) -> str:
    """Shorten a title to 40 characters."""
    return title if len(title) <= _TITLE_LENGTH else title[: _TITLE_LENGTH - 1] + "…"


def with_title(meta: Mapping[str, Any], beginning: str) -> dict[str, Any]:
    """Return the metadata of a document with its title, or else with the first words of its text as a title."""
    facts = {"title": beginning, **meta}
    if is_missing(facts["title"]) or not str(facts["title"]).strip():
        facts["title"] = beginning
    return facts


def snippet_of(text: str, length: int) -> str:
    """Return the first characters of a text, without line breaks, cut at a word.

    The result has at most ``length`` characters; it ends with ``…`` if something follows.
    """
    # Runs of white space may be long in a text that was not repaired, but four times the length is enough for most.
    words = " ".join(text.lstrip()[: 4 * length + 100].split())
    if len(words) <= length:
        return words
    cut = words[: length - 1]
    at_word = cut if words[length - 1] == " " else cut.rpartition(" ")[0]
    return (at_word if len(at_word) > length // 2 else cut).rstrip() + "…"


def without_surrogates(text: str) -> str:
    """Replace lone surrogates, which no encoding can write, by U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def as_json_value(value: Any) -> Any:
    """Return a value of the metadata as JSON can write it: dates and the like as text, missing values as None."""
    if isinstance(value, str):
        return without_surrogates(str(value))
    if value is None or isinstance(value, bool):
        return value
    if is_missing(value) or (isinstance(value, float | np.floating) and math.isinf(value)):
        return None
    if isinstance(value, np.bool_ | np.integer | np.floating):
        return float(value) if isinstance(value, np.floating) else value.item()
    if isinstance(value, int | float):
        return value
    if isinstance(value, np.ndarray):
        return [as_json_value(item) for item in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {without_surrogates(str(key)): as_json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json_value(item) for item in value]
    return without_surrogates(str(value))
