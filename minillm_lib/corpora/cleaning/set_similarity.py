"""Near duplicates among many texts, exactly and in little memory: prefix filtering (Bayardo, Ma & Srikant 2007).

Two sets whose Jaccard similarity reaches ``t`` share at least ``⌈t n⌉`` of the ``n`` elements of either. If the
elements of all sets are put into one common order, they therefore share one among the first ``n - ⌈t n⌉ + 1`` of each.
Only sets that share one there are compared. With the rarest elements first, these are few.

Unlike a search by MinHash, this one misses no pair, and a text costs 4 bytes per word instead of about 4 kB.

References
----------
R. J. Bayardo, Y. Ma and R. Srikant (2007), Scaling up all pairs similarity search.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

_AT_ONCE = 1 << 19
_MOST_CANDIDATES = 200


@dataclass(frozen=True)
class NearDuplicates:
    """Which sets nearly repeat an earlier one.

    Attributes
    ----------
    copies
        ``(set, earlier set, Jaccard similarity)``, in order.
    incomplete
        Sets that were compared with only some of those that they share rare elements with.
    """

    copies: list[tuple[int, int, float]]
    incomplete: list[int]


def find_similar_sets(
    hashes: NDArray[np.uint32],
    starts: Integers,
    *,
    left_out: NDArray[np.bool_] | None = None,
    threshold: float = 0.8,
    most_candidates: int = _MOST_CANDIDATES,
) -> NearDuplicates:
    """Find the sets that nearly repeat an earlier set which is no near duplicate itself.

    A near duplicate belongs to the most similar earlier set, the first of several. An empty set is never one.

    Parameters
    ----------
    hashes
        The elements of all sets one after another, each set sorted and without repetition. With hashes of 32 bits, two
        texts of a thousand words each share one by chance in one of four thousand cases.
    starts
        Where each set starts, and the end; ``(n_sets + 1,)``.
    left_out
        Which sets to take for empty; ``(n_sets,)``.
    threshold
        Least Jaccard similarity of a near duplicate, in (0, 1].
    most_candidates
        Compare each set with at most this many earlier ones, the latest. Without a limit, a collection of letters
        from one form that are not quite near duplicates would take time in the square of their number.
    """
    postings: defaultdict[int, list[int]] = defaultdict(list)
    found = NearDuplicates([], [])
    if left_out is None:
        left_out = np.zeros(len(starts) - 1, dtype=bool)
    for own, groups in _shared_prefixes(hashes, starts, threshold, left_out):
        candidates = sorted({other for group in groups for other in postings[group][-most_candidates:]})
        if len(candidates) > most_candidates or any(len(postings[each]) > most_candidates for each in groups):
            candidates = candidates[-most_candidates:]
            found.incomplete.append(own)
        if candidates:
            similarities = _similarities(own, np.array(candidates), hashes, starts)
            best = int(np.argmax(similarities))
            if similarities[best] >= threshold:
                found.copies.append((own, candidates[best], float(similarities[best])))
                continue
        for group in groups:
            postings[group].append(own)
    return found


def _shared_prefixes(
    hashes: NDArray[np.uint32], starts: Integers, threshold: float, left_out: NDArray[np.bool_]
) -> Iterator[tuple[int, list[int]]]:
    """Yield each set that shares an element of its prefix with another one, and the numbers of these elements."""
    elements, owners = _prefixes(hashes, starts, threshold, left_out)
    _, groups, sizes = np.unique(elements, return_inverse=True, return_counts=True)
    is_shared = sizes[groups] > 1
    groups, owners = groups[is_shared], owners[is_shared]
    ends = np.flatnonzero(np.diff(owners)) + 1
    for group, own in zip(
        np.split(groups, ends), owners[np.r_[0, ends]].tolist() if len(owners) else [], strict=False
    ):
        yield own, group.tolist()


def _prefixes(
    hashes: NDArray[np.uint32], starts: Integers, threshold: float, left_out: NDArray[np.bool_]
) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
    """Return the first elements of each set in the common order, rarest first, and the set that each belongs to."""
    bits = min(max(len(hashes), 2).bit_length() + 2, 22)
    shift = np.uint32(32 - bits)
    frequency = np.zeros(1 << bits, dtype=np.int64)  # of elements with the same first bits
    for start in range(0, len(hashes), _AT_ONCE):
        places = (hashes[start : start + _AT_ONCE] >> shift).astype(np.int64)
        frequency += np.bincount(places, minlength=len(frequency))
    elements, owners = [np.zeros(0, dtype=np.uint32)], [np.zeros(0, dtype=np.int32)]
    first = 0
    while first < len(starts) - 1:
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + _AT_ONCE, side="right")) - 1)
        block = hashes[starts[first] : starts[last]]
        sizes = np.diff(starts[first : last + 1])
        own = np.repeat(np.arange(first, last, dtype=np.int32), sizes)
        order = np.lexsort((block, frequency[(block >> shift).astype(np.int64)], own))
        # The small number makes up for products such as 0.8 * 35, which come out a little above a whole number.
        prefix_sizes = sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1
        prefix_sizes[left_out[first:last]] = 0
        place = np.arange(len(block)) - np.repeat(starts[first:last] - starts[first], sizes)
        kept = order[place < np.repeat(prefix_sizes, sizes)]
        elements.append(block[kept])
        owners.append(own[kept])
        first = last
    return np.concatenate(elements), np.concatenate(owners)


def _similarities(
    own: int, others: Integers, hashes: NDArray[np.uint32], starts: Integers
) -> NDArray[np.float64]:
    """Return the Jaccard similarity of a set to each of the others, ``(len(others),)``."""
    mine = hashes[starts[own] : starts[own + 1]]
    theirs = np.concatenate([hashes[starts[other] : starts[other + 1]] for other in others])
    sizes = starts[others + 1] - starts[others]
    is_mine = mine[np.minimum(np.searchsorted(mine, theirs), len(mine) - 1)] == theirs
    shared = np.add.reduceat(is_mine, np.r_[0, np.cumsum(sizes)[:-1]], dtype=np.int64)
    similarities: NDArray[np.float64] = shared / (len(mine) + sizes - shared)
    return similarities
