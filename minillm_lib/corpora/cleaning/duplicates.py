"""Exact and near duplicates: one MinHash, for every part of the package that looks for copies.

Two texts are near duplicates when the Jaccard similarity of their sets of shingles (runs of ``shingle_size`` words; in
Chinese, of characters) reaches a threshold. The share of places in which two MinHash signatures agree estimates that
similarity (Broder 1997). Signatures are split into bands, and only texts that agree in a band are compared (Leskovec,
Rajaraman & Ullman, *Mining of Massive Datasets*, ch. 3).

- :func:`find_duplicates` and :func:`deduplicate` compare each text with those before it and check every match by the
  exact similarity.
- :func:`similar_pairs` finds all similar pairs in a large collection, on all cores.
- :class:`SignatureIndex` serves streams that do not fit into memory; it holds signatures, never texts.
"""

from __future__ import annotations

import hashlib
import unicodedata
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minillm_lib.corpora.cleaning.scripts import find_units
from minillm_lib.corpora.document import Document
from minillm_lib.io.parallel import parallel_map
from minillm_lib.io.progress_bar import progress_bar

SIGNATURE_SIZE = 128
"""Number of minima in a MinHash signature; the standard error of an estimated similarity is at most 0.045."""

DIGEST_BYTES = 16
_SEED = 1
_PAIR_BANDS, _PAIR_ROWS = 42, 3
_ESTIMATE_MARGIN = 0.18  # four standard errors of an estimated similarity
_CHUNK = 500
_PAIRS_AT_ONCE = 100_000


def text_units(text: str) -> list[str]:
    """Split a text into lower-case words without punctuation.

    In scripts without spaces (Chinese, Japanese, Thai and others), each letter with its marks is a unit of its own.

    >>> text_units("LDA 与 Transformer!")
    ['lda', '与', 'transformer']
    """
    return find_units(unicodedata.normalize("NFKC", text).lower())


def units_digest(units: Sequence[str]) -> bytes:
    """Return a hash, in :data:`DIGEST_BYTES` bytes, by which equal texts are known: of their units."""
    return hashlib.blake2b(" ".join(units).encode(), digest_size=DIGEST_BYTES).digest()


def shingles(text: str, size: int = 5) -> set[str]:
    """Return all runs of ``size`` units (see :func:`text_units`).

    A shorter text is a single shingle; a text without words has none.
    """
    units = text_units(text)
    return {" ".join(units[i : i + size]) for i in range(max(len(units) - size + 1, min(len(units), 1)))}


def jaccard(a: set[str], b: set[str]) -> float:
    """Return ``|a ∩ b| / |a ∪ b|``, and 1 for two empty sets."""
    return len(a & b) / len(a | b) if a or b else 1.0


@lru_cache(maxsize=1 << 17)
def _unit_hash(unit: str) -> int:
    return int.from_bytes(hashlib.blake2b(unit.encode(), digest_size=8).digest(), "little")


def ngram_hashes(units: Sequence[str], n: int) -> NDArray[np.uint64]:
    """Hash each run of ``n`` units to 64 bits, in order; ``(len(units) - n + 1,)``, empty for a shorter text.

    The hashes are the same on every machine.
    """
    if len(units) < n:
        return np.zeros(0, dtype=np.uint64)
    hashes = np.fromiter(map(_unit_hash, units), dtype=np.uint64, count=len(units))
    return np.lib.stride_tricks.sliding_window_view(hashes, n) @ _ngram_weights(n)


@lru_cache(maxsize=64)
def _ngram_weights(n: int) -> NDArray[np.uint64]:
    return np.random.default_rng(n).integers(1 << 63, size=n, dtype=np.uint64) * 2 + 1


def shingle_hashes(units: Sequence[str], size: int = 5) -> NDArray[np.uint64]:
    """Return the distinct 64-bit hashes of a text's shingles, sorted; see :func:`shingles` for short texts."""
    return np.unique(ngram_hashes(units, min(size, len(units)) or 1))


def similarity_of(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> float:
    """Return the Jaccard similarity of two sets of hashes from :func:`shingle_hashes`."""
    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared / max(len(a) + len(b) - shared, 1)


def minhash_signature(hashes: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Return the MinHash signature ``(128,)`` of a set of shingles; empty for an empty set.

    The share of places in which two signatures agree estimates the Jaccard similarity of the sets.

    Parameters
    ----------
    hashes
        The set, as :func:`shingle_hashes` gives it.
    """
    if not len(hashes):
        return np.zeros(0, dtype=np.uint32)
    signature = _empty_signature().copy()
    signature.update_batch(hashes.tolist())
    return np.asarray(signature.hashvalues, dtype=np.uint32)


@lru_cache(maxsize=1)
def _empty_signature():  # type: ignore[no-untyped-def]  # datasketch takes a while to import, and has no types
    from datasketch import MinHash

    return MinHash(num_perm=SIGNATURE_SIZE, seed=_SEED, hashfunc=lambda hashed: hashed & 0xFFFFFFFF)


def bands_and_rows(threshold: float, missed: float = 1e-6) -> tuple[int, int]:
    """Choose how to split a signature into bands: the fewest and widest that find nearly all pairs at the threshold.

    A pair of similarity s agrees in all r rows of a band with probability s^r, so b bands miss it with probability
    (1 - s^r)^b, which must be at most ``missed``.

    Returns
    -------
    tuple[int, int]
        The number of bands b, and the rows per band r.
    """
    rows = max(
        (r for r in range(1, 17) if (1 - threshold**r) ** (SIGNATURE_SIZE // r) <= missed),
        default=1,
    )
    return SIGNATURE_SIZE // rows, rows


class SignatureIndex:
    """Signatures, and which of them agree in at least one band with a new one.

    The memory is about 4 kB per signature with 32 bands, and in proportion to the number of bands.

    Parameters
    ----------
    n_bands, n_rows
        How signatures are split (see :func:`bands_and_rows`).
    """

    def __init__(self, n_bands: int, n_rows: int) -> None:
        self.n_bands, self.n_rows = n_bands, n_rows
        self._weights = np.random.default_rng(2).integers(1 << 63, size=(n_bands, n_rows + 1))
        self._signatures = array("I")
        self._last_with: dict[int, int] = {}  # the key of a band: the newest signature that has it
        self._before = array("i")  # for each signature and band, the next older one with the same key

    def __len__(self) -> int:
        return len(self._signatures) // SIGNATURE_SIZE

    def candidates(self, signature: NDArray[np.uint32]) -> list[int]:
        """Return the positions of the signatures that agree with this one in a band, in order."""
        found = set()
        for band, key in enumerate(self._keys(signature)):
            position = self._last_with.get(key, -1)
            while position >= 0:
                found.add(position)
                position = self._before[position * self.n_bands + band]
        return sorted(found)

    def estimates(self, signature: NDArray[np.uint32], positions: Sequence[int]) -> NDArray[np.float64]:
        """Return the estimated similarity to the signatures at these positions, ``(len(positions),)``."""
        kept = np.frombuffer(self._signatures, dtype=np.uint32).reshape(-1, SIGNATURE_SIZE)
        agreement: NDArray[np.float64] = (kept[list(positions)] == signature).mean(axis=1)
        return agreement

    def add(self, signature: NDArray[np.uint32]) -> None:
        """Append a signature; its position is the number of signatures before it."""
        position = len(self)
        for key in self._keys(signature):
            self._before.append(self._last_with.get(key, -1))
            self._last_with[key] = position
        self._signatures.frombytes(signature.tobytes())

    def _keys(self, signature: NDArray[np.uint32]) -> list[int]:
        bands = signature[: self.n_bands * self.n_rows].reshape(self.n_bands, self.n_rows)
        # The last weight keeps equal rows of different bands apart.
        keys: list[int] = ((bands * self._weights[:, :-1]).sum(axis=1) + self._weights[:, -1]).tolist()
        return keys


@dataclass(frozen=True)
class Duplicate:
    """Document ``index`` repeats the earlier document ``kept``.

    Attributes
    ----------
    similarity
        Their Jaccard similarity.
    exact
        Whether they are the same text except for case, punctuation and spacing.
    """

    index: int
    kept: int
    similarity: float
    exact: bool


def find_duplicates(
    texts: Iterable[str], *, threshold: float = 0.8, shingle_size: int = 5
) -> list[Duplicate]:
    """Find the texts that repeat an earlier one, in order of their position.

    A text is compared with the earlier texts that are not duplicates themselves, and counts as a duplicate of the most
    similar one (the first, if several are equally similar). A text without words is never a duplicate. The result
    depends only on the texts. No duplicate is reported wrongly; from a threshold of 0.11 on, a pair exactly at the
    threshold is missed with a probability below 1e-6, and more similar pairs even less often.

    Parameters
    ----------
    threshold
        Least Jaccard similarity of a near duplicate, in (0, 1].
    shingle_size
        Number of words (in Chinese, of characters) in a shingle.

    Raises
    ------
    ValueError
        For a threshold or shingle size out of range.
    """
    check_options(threshold, shingle_size, least=0)
    first_with: dict[str, int] = {}
    index = SignatureIndex(*bands_and_rows(threshold))
    kept_hashes: list[NDArray[np.uint64]] = []
    kept_at: list[int] = []
    duplicates: list[Duplicate] = []
    for number, text in enumerate(texts):
        units = text_units(text)
        normalized = " ".join(units)
        if not normalized:
            continue
        if normalized in first_with:
            duplicates.append(Duplicate(number, first_with[normalized], 1.0, exact=True))
            continue
        own = shingle_hashes(units, shingle_size)
        signature = minhash_signature(own)
        similarities = {
            position: similarity_of(own, kept_hashes[position]) for position in index.candidates(signature)
        }
        best = max(similarities, key=lambda position: similarities[position], default=None)
        if best is not None and similarities[best] >= threshold:
            duplicates.append(Duplicate(number, kept_at[best], similarities[best], exact=False))
            continue
        first_with[normalized] = number
        kept_hashes.append(own)
        kept_at.append(number)
        index.add(signature)
    return duplicates


def check_options(threshold: float, shingle_size: int, least: float) -> None:
    """Check the options of a search for near duplicates.

    Parameters
    ----------
    least
        The lowest threshold that is allowed; 0 allows everything above 0.

    Raises
    ------
    ValueError
        For a threshold or shingle size out of range.
    """
    if not least <= threshold <= 1 or threshold <= 0:
        allowed = f"from {least} to 1" if least else "above 0 and up to 1"
        raise ValueError(f"threshold is {threshold}; allowed is a similarity {allowed}")
    if shingle_size < 1:
        raise ValueError(f"shingle_size is {shingle_size}; allowed is 1 or more")


def deduplicate(
    documents: Sequence[Document], *, threshold: float = 0.8, shingle_size: int = 5
) -> tuple[list[Document], list[Duplicate]]:
    """Keep the first of each group of duplicates; return the documents kept, and the duplicates that were dropped.

    See :func:`find_duplicates`. ``Duplicate.index`` and ``.kept`` are positions in ``documents``.
    """
    duplicates = find_duplicates(
        (document.text for document in documents), threshold=threshold, shingle_size=shingle_size
    )
    dropped = {duplicate.index for duplicate in duplicates}
    return [document for index, document in enumerate(documents) if index not in dropped], duplicates


class SimilarPair(NamedTuple):
    """Texts ``first`` < ``second`` whose shingles have this Jaccard ``similarity``."""

    first: int
    second: int
    similarity: float


def similar_pairs(
    texts: Sequence[str],
    *,
    threshold: float = 0.6,
    shingle_size: int = 5,
    n_jobs: int = -1,
    progress: bool = False,
) -> list[SimilarPair]:
    """Find all pairs of texts whose sets of shingles have at least this Jaccard similarity, in order.

    The result depends only on the texts. No pair is reported wrongly; a pair of similarity s is missed with
    probability (1 - s³)^42: 4e-5 at 0.6, 1e-13 at 0.8.

    Parameters
    ----------
    threshold
        Least similarity, from 0.6 to 1.
    shingle_size
        Number of words in a shingle (see :func:`shingles`).
    n_jobs
        Number of processes; -1 for one per core.
    progress
        Show a progress bar.

    Raises
    ------
    ValueError
        For a threshold or shingle size out of range.
    """
    check_options(threshold, shingle_size, least=0.6)
    if len(texts) < 2:
        return []
    chunks = [texts[start : start + _CHUNK] for start in range(0, len(texts), _CHUNK)]
    jobs = parallel_map(partial(_sketch, shingle_size), chunks, n_jobs=n_jobs)
    with progress_bar(
        jobs, total=len(chunks), desc="looking for near duplicates", disable=not progress
    ) as sketched:
        parts = list(sketched)
    hashes = [own for part, _ in parts for own in part]
    signatures = np.concatenate([part for _, part in parts])
    pairs = (
        SimilarPair(first, second, similarity_of(hashes[first], hashes[second]))
        for first, second in _candidate_pairs(signatures)
        if len(hashes[first]) and len(hashes[second])
    )
    return [pair for pair in pairs if pair.similarity >= threshold]


def _sketch(shingle_size: int, texts: Sequence[str]) -> tuple[list[NDArray[np.uint64]], NDArray[np.uint32]]:
    """Return the hashed shingles of each text, and the signatures ``(texts, 128)``; zeros for texts without words."""
    hashes = [shingle_hashes(text_units(text), shingle_size) for text in texts]
    signatures = np.zeros((len(texts), SIGNATURE_SIZE), dtype=np.uint32)
    for row, own in enumerate(hashes):
        if len(own):
            signatures[row] = minhash_signature(own)
    return hashes, signatures


def _candidate_pairs(signatures: NDArray[np.uint32]) -> Iterator[tuple[int, int]]:
    """Yield the pairs that agree in a band, and in about as many places as a similar pair would."""
    n_texts = len(signatures)
    pairs = np.zeros(0, dtype=np.int64)
    for band in range(_PAIR_BANDS):
        own_rows = signatures[:, band * _PAIR_ROWS : (band + 1) * _PAIR_ROWS]
        keys = np.ascontiguousarray(own_rows).view(f"V{4 * _PAIR_ROWS}")
        _, group = np.unique(keys.ravel(), return_inverse=True)
        order = np.argsort(group, kind="stable")
        ends = np.flatnonzero(np.diff(group[order])) + 1
        own = [
            members[i] * n_texts + members[j]
            for members in np.split(order.astype(np.int64), ends)
            if len(members) > 1
            for i, j in [np.triu_indices(len(members), k=1)]
        ]
        pairs = np.union1d(pairs, np.concatenate(own)) if own else pairs
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        first, second = np.divmod(pairs[start : start + _PAIRS_AT_ONCE], n_texts)
        estimate = (signatures[first] == signatures[second]).mean(axis=1)
        likely = estimate >= 0.6 - _ESTIMATE_MARGIN
        yield from zip(first[likely].tolist(), second[likely].tolist(), strict=True)
