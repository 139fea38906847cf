"""A counter-based random generator for compiled loops: SplitMix64 (Steele, Lea & Flood 2014).

The state is one ``uint64``. For each number, add :data:`GOLDEN_GAMMA` to it and pass it on.
"""

from __future__ import annotations

import numba
import numpy as np

GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)


@numba.njit(inline="always")
def mix(state):
    """Return 64 random bits."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@numba.njit(inline="always")
def uniform(state):
    """Return a number in [0, 1) made from 53 random bits."""
    return (mix(state) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@numba.njit(inline="always")
def uniform32(state):
    """Return a float32 in [0, 1) made from 23 random bits.

    It is at most ``1 - 2 ** -23``, so that ``total * uniform32(state)`` is less than any positive float32 ``total``
    even after rounding.
    """
    return np.float32(np.int64(mix(state) >> np.uint64(41))) * np.float32(1.0 / 8388608.0)


@numba.njit(inline="always")
def document_state(terms, weights, first, last, seed):
    """Return a generator state that depends only on the seed and on what the document contains."""
    state = seed
    for i in range(first, last):
        state = mix(state + GOLDEN_GAMMA * (np.uint64(terms[i]) + np.uint64(1)))
        if weights is not None:
            state = mix(state + np.uint64(np.int64(weights[i] * 4294967296.0)))
    return state
