"""Documents, of which every corpus consists, and their assignment to splits and samples by a hash of the text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Any, Literal

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


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


def split_of(text: str) -> Split:
    """Return the split of a text: 90 % are train, 5 % validation and 5 % test."""
    place = place_of(text)
    return "train" if place < 0.9 else "validation" if place < 0.95 else "test"


def sample(documents: Iterable[Document], n: int) -> list[Document]:
    """Return at most ``n`` documents, evenly spread over the corpus; the same ones for any order of the corpus."""
    return nsmallest(n, documents, key=lambda document: place_of(document.text))


def place_of(text: str) -> float:
    """Return a number from 0 to 1 that is always the same for a text and uniformly distributed over texts."""
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
