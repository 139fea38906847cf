"""Dividing a corpus into training, validation and test text, and sampling it, by a hash of the text alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from heapq import nsmallest
from typing import Literal

from minillm_lib.corpora.document import Document

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
