"""How far a figure can be trusted: 95 % intervals of shares and of means."""

from __future__ import annotations

import math
from collections.abc import Sequence

Z95 = 1.959963984540054
"""The normal distribution has 95 % within so many standard deviations of its mean."""


def wilson_interval(right: float, n: int, z: float = Z95) -> tuple[float, float]:
    """Return the interval of a share, by the score test of Wilson (1927).

    It holds the shares that ``right`` of ``n`` independent trials do not contradict. Unlike the mean plus or minus some
    standard errors, it stays within 0 and 1, and is not empty where all or none are right.

    Parameters
    ----------
    right
        The number of successes, from 0 to ``n``.
    n
        The number of trials.
    z
        The quantile of the normal distribution; by default for 95 %.

    Raises
    ------
    ValueError
        If there are no trials, or ``right`` is not from 0 to ``n``.

    Examples
    --------
    >>> low, high = wilson_interval(50, 100)
    >>> round(low, 3), round(high, 3)
    (0.404, 0.596)
    """
    if n < 1 or not 0 <= right <= n:
        raise ValueError(f"{right} of {n} is no share; allowed are n from 1 and a number from 0 to n")
    share, weight = right / n, 1 + z * z / n
    centre = (share + z * z / (2 * n)) / weight
    reach = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / weight
    return max(0.0, centre - reach), min(1.0, centre + reach)


def ratio_interval(
    numerators: Sequence[float], denominators: Sequence[float], z: float = Z95
) -> tuple[float, float] | None:
    """Return the interval of a ratio of two sums over independent parts; None for fewer than two parts.

    The variance is that of the linearised ratio (Cochran 1977, *Sampling Techniques*, section 6.3).
    """
    n, total = len(numerators), sum(denominators)
    if n < 2 or not total:
        return None
    ratio = sum(numerators) / total
    squares = sum((a - ratio * b) ** 2 for a, b in zip(numerators, denominators, strict=True))
    reach = z * math.sqrt(squares * n / (n - 1)) / total
    return ratio - reach, ratio + reach


def sign_test(only_first: int, only_second: int) -> float:
    """Return the probability of so uneven a split, or a more uneven one, of pairs that differ, if both are as good.

    Two models have answered the same questions; those that both or neither have right say nothing of which is better.
    The test is exact and two-sided (McNemar 1947, with the binomial distribution).

    Parameters
    ----------
    only_first, only_second
        The number of questions that only the first model has right, and that only the second has.

    Examples
    --------
    >>> sign_test(0, 5)
    0.0625
    """
    n, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(n, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / 2**n)
