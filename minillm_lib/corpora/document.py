"""The unit that every corpus yields."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Document:
    """A text, where it came from, and what is known about it.

    ``source`` names the corpus and, where there is one, the place inside it (an address, a file and line).
    ``meta`` holds facts such as ``year``, ``title``, ``authors`` and ``address``.
    """

    text: str
    source: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)


Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def place_of(text: str) -> float:
    """A number from 0 to 1, evenly spread over texts, and always the same for the same text."""
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_of(text: str) -> Split:
    """The split of a text: 90 % are train, 5 % validation and 5 % test."""
    place = place_of(text)
    return "train" if place < 0.9 else "validation" if place < 0.95 else "test"


def sample(documents: Iterable[Document], n: int) -> list[Document]:
    """At most ``n`` documents, spread evenly over the corpus, and the same ones whatever their order."""
    return nsmallest(n, documents, key=lambda document: place_of(document.text))
