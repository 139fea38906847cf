"""Documents, of which every corpus consists, and their assignment to splits and samples by a hash of the text."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from heapq import nsmallest
from itertools import chain, count, islice
from typing import Any, Literal

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
PART = "part"
"""The key in ``meta`` of a part of a document; its value is the split of the part."""
_HELD_OUT = 0.05
_ENOUGH_TO_HASH = 200
_ENOUGH_TO_RANK = 20
_LEAST_CHARACTERS, _LARGEST_SHARE = 2000, 0.1
# Where a text may be cut, the best places first: between paragraphs, lines, sentences, words.
_BOUNDARIES = tuple(map(re.compile, (r"\n\s*\n", r"\n", r"[.!?…]['\")\]]*\s+|[。！？][”』」]*", r"\s+")))


@dataclass(frozen=True, slots=True)
class Document:
    """A text, its origin, and its metadata.

    Attributes
    ----------
    source
        The name of the corpus, followed by the place in it if there is one (an address, or a file and line).
    meta
        Metadata such as ``year``, ``title``, ``authors`` and ``address``.
    """

    text: str
    source: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)


def name_of_source(meta: Mapping[str, Any]) -> str:
    """Return the key under which the source of a document stands beside its metadata, of which it replaces nothing.

    It is ``"source"``; where a table has a column of that name, which may be a newspaper, ``"file"``, or else
    ``"file 2"`` and so on.
    """
    names = chain(("source", "file"), (f"file {number}" for number in count(2)))
    return next(name for name in names if name not in meta)


def split_of(text: str) -> Split:
    """Return the split of a text: 90 % are train, 5 % validation and 5 % test."""
    place = place_of(text)
    return "train" if place < 0.9 else "validation" if place < 0.95 else "test"


def divided(documents: Iterable[Document]) -> Iterator[tuple[Split, Document]]:
    """Yield each document with its split, so that something is held out however few documents there are.

    From 200 documents on, the split is :func:`split_of` the text. Fewer are divided so, too, if each split gets some;
    or else, from 20 on, by the order of their hashes. Below 20, each text is cut into three parts, the first of which
    is for training; ``meta`` then names the split under ``"part"``. A held-out part is 5 % of the text, or up to 10 %
    where that is less than 2,000 characters.
    """
    remaining = iter(documents)
    first = list(islice(remaining, _ENOUGH_TO_HASH))
    if len(first) < _ENOUGH_TO_RANK:
        yield from chain.from_iterable(map(_parts, first))
        return
    splits = [split_of(document.text) for document in first]
    if len(first) < _ENOUGH_TO_HASH and len(set(splits)) < len(SPLITS):
        n_held_out = max(round(_HELD_OUT * len(first)), 1)
        for rank, number in enumerate(sorted(range(len(first)), key=lambda i: -place_of(first[i].text))):
            splits[number] = SPLITS[max(2 - rank // n_held_out, 0)]
    yield from zip(splits, first, strict=True)
    yield from ((split_of(document.text), document) for document in remaining)


def _parts(document: Document) -> Iterator[tuple[Split, Document]]:
    """Cut a document in three; a part without text is left out."""
    text = document.text
    size = round(max(_HELD_OUT * len(text), min(_LEAST_CHARACTERS, _LARGEST_SHARE * len(text))))
    cuts = [0, *(_boundary(text, len(text) - n * size, size // 2) for n in (2, 1)), len(text)]
    for split, start, end in zip(SPLITS, cuts, cuts[1:], strict=False):
        if (part := text[start:end].strip()) and start < end:
            source = f"{document.source}, {split} part"
            yield split, replace(document, text=part, source=source, meta={**document.meta, PART: split})


def _boundary(text: str, place: int, reach: int) -> int:
    """Return the end of the boundary of the best kind that is nearest to a place, at most ``reach`` away from it."""
    low, high = max(place - reach, 0), min(place + reach, len(text))
    for boundary in _BOUNDARIES:
        ends = [low + found.end() for found in boundary.finditer(text[low:high])]
        if ends:
            return min(ends, key=lambda end: abs(end - place))
    return place


def sample(documents: Iterable[Document], n: int) -> list[Document]:
    """Return at most ``n`` documents, evenly spread over the corpus; the same ones for any order of the corpus."""
    return nsmallest(n, documents, key=lambda document: place_of(document.text))


def place_of(text: str) -> float:
    """Return a number from 0 to 1 that is always the same for a text and uniformly distributed over texts."""
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
