"""Exact and near duplicates among documents.

Two documents are near duplicates when the Jaccard similarity of their sets of shingles (runs of ``shingle_size``
words; of characters for Chinese) reaches a threshold. MinHash signatures in a locality-sensitive index (Broder 1997;
Leskovec, Rajaraman & Ullman, *Mining of Massive Datasets*, ch. 3) propose the pairs; each is then checked by its
exact similarity, so no pair is reported wrongly.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from minillm_lib.corpora.cleaning import HAN
from minillm_lib.corpora.document import Document

_UNIT = re.compile(rf"[{HAN}]|[^\W_{HAN}]+")
_N_PERMUTATIONS = 128
_SEED = 1


@dataclass(frozen=True)
class Duplicate:
    """Document ``index`` repeats the earlier document ``kept``; ``similarity`` is their Jaccard similarity.

    ``exact`` says that they are the same text but for case, punctuation and spacing.
    """

    index: int
    kept: int
    similarity: float
    exact: bool


def text_units(text: str) -> list[str]:
    """The words of a text, lower-cased and without punctuation; a Chinese character is a unit of its own."""
    return _UNIT.findall(unicodedata.normalize("NFKC", text).lower())


def shingles(text: str, size: int = 5) -> set[str]:
    """All runs of ``size`` units (see :func:`text_units`); a shorter text is one shingle, an empty one has none."""
    units = text_units(text)
    return {" ".join(units[i : i + size]) for i in range(max(len(units) - size + 1, min(len(units), 1)))}


def jaccard(a: set[str], b: set[str]) -> float:
    """|a ∩ b| / |a ∪ b|, and 1 for two empty sets."""
    return len(a & b) / len(a | b) if a or b else 1.0


def _bands_and_rows(threshold: float, missed: float = 1e-6) -> tuple[int, int]:
    """The widest band of signature rows by which a pair at the threshold is missed with probability under ``missed``.

    A pair of similarity s agrees in all r rows of a band with probability s^r, so b bands miss it with (1 - s^r)^b.
    """
    rows = max(
        (r for r in range(1, 17) if (1 - threshold**r) ** (_N_PERMUTATIONS // r) <= missed),
        default=1,
    )
    return _N_PERMUTATIONS // rows, rows


def find_duplicates(
    texts: Iterable[str], *, threshold: float = 0.8, shingle_size: int = 5
) -> list[Duplicate]:
    """Find the texts that repeat an earlier one, in order of their position.

    A text is compared with the earlier texts that are themselves no duplicates, and named a duplicate of the most
    similar of them (of the first, where several are equally similar). A text without words is never a duplicate.

    The result depends on the texts alone, as the permutations of MinHash have a fixed seed. From a threshold of 0.11
    on, the index misses a pair that is exactly at the threshold with a probability below 1e-6, and more similar pairs
    less often still.

    Parameters
    ----------
    threshold
        Least Jaccard similarity of a near duplicate, in (0, 1].
    shingle_size
        Words (Chinese characters) in a shingle.

    Raises
    ------
    ValueError
        For a threshold or shingle size out of range.
    """
    from datasketch import MinHash, MinHashLSH

    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is {threshold}; allowed is a similarity above 0 and up to 1")
    if shingle_size < 1:
        raise ValueError(f"shingle_size is {shingle_size}; allowed is 1 or more")
    kept_texts: dict[int, str] = {}
    first_with: dict[str, int] = {}
    index_of_similar = MinHashLSH(num_perm=_N_PERMUTATIONS, params=_bands_and_rows(threshold))
    duplicates: list[Duplicate] = []
    for index, text in enumerate(texts):
        normalized = " ".join(text_units(text))
        if not normalized:
            continue
        if normalized in first_with:
            duplicates.append(Duplicate(index, first_with[normalized], 1.0, exact=True))
            continue
        own = shingles(text, shingle_size)
        signature = MinHash(num_perm=_N_PERMUTATIONS, seed=_SEED)
        signature.update_batch(shingle.encode() for shingle in own)
        similar = [
            (jaccard(own, shingles(kept_texts[candidate], shingle_size)), -candidate)
            for candidate in index_of_similar.query(signature)
        ]
        similarity, minus_kept = max(similar, default=(0.0, 0))
        if similarity >= threshold:
            duplicates.append(Duplicate(index, -minus_kept, similarity, exact=False))
            continue
        first_with[normalized] = index
        kept_texts[index] = text
        index_of_similar.insert(index, signature)
    return duplicates


def deduplicate(
    documents: Sequence[Document], *, threshold: float = 0.8, shingle_size: int = 5
) -> tuple[list[Document], list[Duplicate]]:
    """Keep the first of each group of duplicates; return the documents kept and what was dropped for which.

    See :func:`find_duplicates`. ``Duplicate.index`` and ``.kept`` are positions in ``documents``.
    """
    duplicates = find_duplicates(
        (document.text for document in documents), threshold=threshold, shingle_size=shingle_size
    )
    dropped = {duplicate.index for duplicate in duplicates}
    return [document for index, document in enumerate(documents) if index not in dropped], duplicates
