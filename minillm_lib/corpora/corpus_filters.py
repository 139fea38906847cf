"""The cleaning steps that compare documents: with the test text, and with those before them.

They remember 64-bit hashes and MinHash signatures, never texts.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from minillm_lib.corpora.document import Document
from minillm_lib.corpora.filters import CorpusFilter, Filter, Removal, units_of

_N_PERMUTATIONS = 128
_SHINGLES_AT_ONCE = 4096


@lru_cache(maxsize=1 << 17)
def _unit_hash(unit: str) -> int:
    return int.from_bytes(hashlib.blake2b(unit.encode(), digest_size=8).digest(), "little")


def ngram_hashes(units: Sequence[str], n: int) -> NDArray[np.uint64]:
    """A 64-bit hash of each run of ``n`` units, in order; none for a shorter text. Equal on every machine."""
    if len(units) < n:
        return np.zeros(0, dtype=np.uint64)
    hashes = np.fromiter(map(_unit_hash, units), dtype=np.uint64, count=len(units))
    weights = np.random.default_rng(n).integers(1 << 63, size=n, dtype=np.uint64) * 2 + 1
    return np.lib.stride_tricks.sliding_window_view(hashes, n) @ weights


def decontamination(test_documents: Iterable[Document], *, n: int = 13) -> Filter:
    """Remove the training documents that share a run of ``n`` words with a test document (Brown et al. 2020, app. C).

    Words are compared without case and punctuation; a Chinese character counts as a word. The whole training
    document goes (Brown et al. cut out the surroundings). A test document of fewer than ``n`` words has no such run
    and cannot be looked for; the step's ``why`` says how many there are.
    """
    if n < 1:
        raise ValueError(f"n is {n}; allowed is 1 or more")
    n_tests, n_short, found = 0, 0, [np.zeros(0, dtype=np.uint64)]
    for document in test_documents:
        units = units_of(document.text)
        n_tests += 1
        n_short += len(units) < n
        found.append(np.unique(ngram_hashes(units, n)))
    known = np.unique(np.concatenate(found))

    def test(text: str) -> Removal | None:
        units = units_of(text)
        own = ngram_hashes(units, n)
        if not len(known) or not len(own):
            return None
        shared = known[np.minimum(np.searchsorted(known, own), len(known) - 1)] == own
        if not shared.any():
            return None
        first = int(shared.argmax())
        return Removal(f"{n} words of a test document", " ".join(units[first : first + n]))

    why = f"shares {n} words with one of {n_tests:,} test documents"
    return Filter("test text", why + (f" ({n_short:,} too short to look for)" if n_short else ""), test)


def exact_duplicates() -> CorpusFilter:
    """Keep the first of the documents that are equal but for case, punctuation and spacing."""

    def digest(text: str) -> bytes:
        units = units_of(text)
        return hashlib.blake2b(" ".join(units).encode(), digest_size=16).digest() if units else b""

    def new_memory() -> Callable[[bytes, int], Removal | None]:
        first_with: dict[bytes, int] = {}

        def judge(own: bytes, number: int) -> Removal | None:
            first = first_with.setdefault(own, number) if own else number
            return None if first == number else Removal("exact duplicate", f"of document {first}")

        return judge

    return CorpusFilter("exact duplicates", "repeats an earlier document", digest, new_memory)


def near_duplicates(*, threshold: float = 0.8, shingle_size: int = 5) -> CorpusFilter:
    """Remove the documents of which an earlier, kept one is nearly a copy (MinHash, Broder 1997).

    The Jaccard similarity of the sets of shingles (runs of ``shingle_size`` words or Chinese characters) is estimated
    from 128 minima, with a standard error of at most 0.045, and compared with ``threshold``, from 0.5 to 1. Candidates
    come from bands of the signature; they miss a pair at a threshold of 0.8 with a probability of 5e-8. The memory
    takes about 4 kB a kept document (below a threshold of 0.7 twice that). Where every pair must be checked exactly
    and the texts fit into memory, see :func:`~minillm_lib.corpora.deduplication.find_duplicates`.
    """
    if not 0.5 <= threshold <= 1:
        raise ValueError(f"threshold is {threshold}; allowed is a similarity from 0.5 to 1")
    if shingle_size < 1:
        raise ValueError(f"shingle_size is {shingle_size}; allowed is 1 or more")

    def signature(text: str) -> NDArray[np.uint32]:
        return minhash_signature(text, shingle_size)

    def new_memory() -> Callable[[NDArray[np.uint32], int], Removal | None]:
        return _SimilarBefore(threshold)

    why = f"at least {threshold:.0%} of its {shingle_size}-word runs are those of an earlier document"
    return CorpusFilter("near duplicates", why, signature, new_memory)


def minhash_signature(text: str, shingle_size: int = 5) -> NDArray[np.uint32]:
    """The minima ``(128,)`` of the text's shingles under 128 random hash functions; empty for a text without words.

    The share of places in which two signatures agree estimates the Jaccard similarity of the sets of shingles. A text
    of fewer than ``shingle_size`` words is one shingle.
    """
    units = units_of(text)
    if not units:
        return np.zeros(0, dtype=np.uint32)
    shingles = np.unique(ngram_hashes(units, min(shingle_size, len(units))))
    factors, offsets = np.random.default_rng(1).integers(1 << 63, size=(2, _N_PERMUTATIONS), dtype=np.uint64)
    minima = np.full(_N_PERMUTATIONS, np.iinfo(np.uint64).max, dtype=np.uint64)
    for start in range(0, len(shingles), _SHINGLES_AT_ONCE):
        part = shingles[start : start + _SHINGLES_AT_ONCE, None]
        np.minimum(minima, ((part * (2 * factors + 1) + offsets) >> np.uint64(32)).min(axis=0), out=minima)
    return minima.astype(np.uint32)


class _SimilarBefore:
    """The memory of :func:`near_duplicates`: the signatures kept, and for each band the last row with the same one."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        rows = 4 if threshold >= 0.7 else 2
        self._weights = np.random.default_rng(2).integers(1 << 63, size=(_N_PERMUTATIONS // rows, rows + 1))
        self._signatures = array("I")
        self._numbers = array("q")
        self._last_with: dict[int, int] = {}
        self._row_before = array("i")

    def __call__(self, signature: NDArray[np.uint32], number: int) -> Removal | None:
        if not len(signature):
            return None
        n_bands = len(self._weights)
        # The last column keeps equal rows of different bands apart.
        keys = (signature.reshape(n_bands, -1) * self._weights[:, :-1]).sum(axis=1) + self._weights[:, -1]
        newest = [self._last_with.get(key, -1) for key in keys.tolist()]
        candidates = set()
        for band, row in enumerate(newest):
            while row >= 0:
                candidates.add(row)
                row = self._row_before[row * n_bands + band]
        if removal := self._most_similar(signature, sorted(candidates)):
            return removal
        own = len(self._numbers)
        self._last_with.update(dict.fromkeys(keys.tolist(), own))
        self._row_before.extend(newest)
        self._signatures.frombytes(signature.tobytes())
        self._numbers.append(number)
        return None

    def _most_similar(self, signature: NDArray[np.uint32], rows: Sequence[int]) -> Removal | None:
        if not rows:
            return None
        kept = np.frombuffer(self._signatures, dtype=np.uint32).reshape(-1, _N_PERMUTATIONS)
        similarities = (kept[rows] == signature).mean(axis=1)
        best = int(similarities.argmax())
        if similarities[best] < self._threshold:
            return None
        return Removal(
            "near duplicate", f"{similarities[best]:.0%} like document {self._numbers[rows[best]]}"
        )
