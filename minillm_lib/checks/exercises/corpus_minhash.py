"""The exercise of notebook 01 on MinHash: the signature of a set."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.slip_names import made, named

IntArray = npt.NDArray[np.int64]
_PRIME = 2**31 - 1


def _set_and_functions(rng: np.random.Generator) -> Inputs:
    """Draw the numbers of a set, and more functions than it has members, with a small prime so that `%` matters."""
    prime = 10_007
    numbers = rng.choice(prime, size=int(rng.integers(4, 9)), replace=False)
    multipliers, offsets = rng.integers(prime // 2, prime, size=(2, int(rng.integers(10, 14))))
    return numbers, multipliers, offsets, prime


def _minhash_signature(
    numbers: IntArray, multipliers: IntArray, offsets: IntArray, prime: int, /, **slips: Any
) -> Any:
    has = made(slips)
    if has("one function"):
        multipliers, offsets = multipliers[:1].repeat(len(multipliers)), offsets[:1].repeat(len(offsets))
    if has("least first"):
        numbers = numbers.min(keepdims=True)
    added = 0 if has("offset:none") else offsets[:, None]
    values = multipliers[:, None] * numbers
    if has("offset:outside"):
        values = values % prime + added
    elif has("modulus:none"):
        values = values + added
    else:
        values = (values + added) % prime
    if has("all hashes"):
        return values
    if has("of:each number"):
        return values.min(axis=0)
    if has("of:everything"):
        return values.min()
    if has("position"):
        return values.argmin(axis=1)
    signature = values.max(axis=1) if has("largest") else values.min(axis=1)
    return np.unique(signature) if has("sorted") else signature


def _reference(numbers: IntArray, multipliers: IntArray, offsets: IntArray, prime: int) -> IntArray:
    return np.asarray(((multipliers[:, None] * numbers + offsets[:, None]) % prime).min(axis=1))


MINHASH_SIGNATURE = Exercise(
    name="minhash_signature",
    points=2,
    reference=_reference,
    edge_cases={
        "three functions": (np.array([5, 2, 9, 4]), np.array([7, 3, 10]), np.array([8, 1, 6]), 11),
        "a set of one": (np.array([6]), np.array([7, 3]), np.array([8, 1]), 11),
        "as many functions as members": (np.array([3, 8]), np.array([5, 9]), np.array([10, 2]), 11),
        "large numbers": (
            np.array([2_000_000_011, 77, 1_500_000_001]),
            np.array([2_100_000_000, 1_900_000_003, 5]),
            np.array([1_000_000_000, 3, 2_000_000_000]),
            _PRIME,
        ),
    },
    inputs=_set_and_functions,
    hints=(
        "First all hash values: one for each function and each number, a table. Which of its two axes is then "
        "reduced to a minimum?",
        "`multipliers[:, None] * numbers` multiplies each with each: a row for each function. Add "
        "`offsets[:, None]`, and take the remainder by `%`.",
        "The minimum of the table along `axis=1`, which runs over the numbers, is the signature.",
    ),
    variant=_minhash_signature,
    slips=named(
        {
            "largest": "You take the largest hash value. It would serve as well, but (3) asks for the least one.",
            "position": "You give the position of the least hash value (`argmin`). Two sets can only be compared by "
            "the value itself.",
            "of:each number": "You take the minimum over the functions, one for each number. It is over the numbers, "
            "one for each function.",
            "of:everything": "You take one minimum of all. A signature has one entry for each function.",
            "all hashes": "These are all hash values. Only the least one of each function is kept: that is the point "
            "of a signature.",
            "one function": "You use the first function everywhere. Entry k comes from `multipliers[k]` and "
            "`offsets[k]`.",
            "least first": "You hash the least *number* only (a remainder that is taken after the minimum comes "
            "to the same). The least *hash value* may belong to another number: hash all first.",
            "offset:none": "The offset b is missing.",
            "offset:outside": "You add the offset after the remainder. In (3) the remainder is of the whole sum.",
            "modulus:none": "The remainder after dividing by the prime is missing: without it the order of the "
            "numbers stays as it is, and the functions are not independent.",
            "sorted": "You sort the signature. Entry k belongs to function k: two signatures are compared entry by "
            "entry.",
        }
    ),
)
