"""All pairs of near-copies in a large collection of texts, on all cores.

:func:`~minillm_lib.corpora.deduplication.find_duplicates` compares each text with those before it; here all pairs are
wanted at once, of tens of thousands of texts. Each text gets a MinHash signature (Broder 1997), the signatures are cut
into bands, and texts that agree in a band are compared by their exact Jaccard similarity (Leskovec, Rajaraman &
Ullman, *Mining of Massive Datasets*, ch. 3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from datasketch import MinHash
from tqdm.auto import tqdm

from minillm_lib.corpora.deduplication import shingles
from minillm_lib.corpora.parallel import parallel_map

_BANDS, _ROWS = 42, 3
_N_PERMUTATIONS = _BANDS * _ROWS
_SEED = 1
# Standard error of a similarity estimated from a signature: at most 0.5 / sqrt(126) = 0.045.
_ESTIMATE_MARGIN = 0.18
_CHUNK = 500
_PAIRS_AT_ONCE = 100_000


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
    """All pairs of texts whose sets of shingles have at least this Jaccard similarity, in order.

    The result depends on the texts alone. No pair is reported wrongly; a pair of similarity s is missed with
    probability (1 - s³)^42: 4e-5 at 0.6, 1e-13 at 0.8.

    Parameters
    ----------
    threshold
        Least similarity, from 0.6 to 1.
    shingle_size
        Number of words in a shingle (see :func:`~minillm_lib.corpora.deduplication.shingles`).
    n_jobs
        Number of processes; -1 for one a core.

    Raises
    ------
    ValueError
        For a threshold out of range.
    """
    if not 0.6 <= threshold <= 1:
        raise ValueError(f"threshold is {threshold}; allowed is a similarity from 0.6 to 1")
    if len(texts) < 2:
        return []
    chunks = [texts[start : start + _CHUNK] for start in range(0, len(texts), _CHUNK)]
    jobs = parallel_map(partial(_sketch, shingle_size), chunks, n_jobs=n_jobs)
    with tqdm(jobs, total=len(chunks), desc="looking for near-copies", disable=not progress) as sketched:
        parts = list(sketched)
    hashes = [hashed for part, _ in parts for hashed in part]
    signatures = np.concatenate([part for _, part in parts])
    found = []
    for first, second in _candidates(signatures):
        if not (len(hashes[first]) and len(hashes[second])):
            continue
        shared = len(np.intersect1d(hashes[first], hashes[second], assume_unique=True))
        similarity = shared / (len(hashes[first]) + len(hashes[second]) - shared)
        if similarity >= threshold:
            found.append(SimilarPair(first, second, similarity))
    return found


def _sketch(shingle_size: int, texts: Sequence[str]) -> tuple[list[np.ndarray], np.ndarray]:
    """The hashed shingles of each text, sorted, and the signatures ``(texts, 126)``."""
    hashed, signatures = [], np.zeros((len(texts), _N_PERMUTATIONS), dtype=np.uint32)
    empty = MinHash(num_perm=_N_PERMUTATIONS, seed=_SEED, hashfunc=_lower_half)
    for row, text in enumerate(texts):
        digests = (hashlib.sha1(shingle.encode()).digest()[:8] for shingle in shingles(text, shingle_size))
        own = np.unique(np.frombuffer(b"".join(digests), dtype="<u8"))
        hashed.append(own)
        minhash = empty.copy()
        minhash.update_batch(own)
        signatures[row] = minhash.hashvalues
    return hashed, signatures


def _lower_half(hashed: np.uint64) -> int:
    return int(hashed) & 0xFFFFFFFF


def _candidates(signatures: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs that agree in a band, and in about as many places as a similar pair would."""
    n_texts = len(signatures)
    pairs = np.zeros(0, dtype=np.int64)
    for band in range(_BANDS):
        keys = np.ascontiguousarray(signatures[:, band * _ROWS : (band + 1) * _ROWS]).view(f"V{4 * _ROWS}")
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
