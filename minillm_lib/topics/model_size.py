"""Whether the tables of a topic model fit into memory, asked before they are made."""

from __future__ import annotations

from math import isqrt

from minillm_lib.io.memory import available_memory
from minillm_lib.io.wording import number_of, size

_BYTES = 8
_TABLES_PER_CHAIN = 4  # the state, two running sums, and at the end a little more
_TABLES_OF_PAIRS = 3  # of each topic with each: their overlaps, and what it takes to match them
_TABLES_OF_CHAINS = 2  # of each chain with each, by topics: their matches and overlaps
_PER_TOKEN, _PER_TOKEN_AND_CHAIN = (
    12,
    8,
)  # its term, its place and how they are found; its topic, and a copy of it
_PER_SWEEP_AND_CHAIN = 40  # a number in a list, and later in an array
_MANY = 10**6 * 2**40  # beyond, the figure says no more


def check_size(
    n_topics: int, n_documents: int, n_terms: int, *, n_chains: int, n_tokens: int = 0, n_sweeps: int = 0
) -> None:
    """Refuse a fit that does not fit into the memory that is available.

    Raises
    ------
    ValueError
        If it does not; the message says what is needed and available and, if that would help, how many topics fit.
    """
    per_topic = _BYTES * (
        _TABLES_PER_CHAIN * n_chains * n_terms + n_documents + _TABLES_OF_CHAINS * n_chains**2
    )
    per_pair = _BYTES * _TABLES_OF_PAIRS if n_chains > 1 else 0
    per_chain = _PER_TOKEN_AND_CHAIN * n_tokens + _PER_SWEEP_AND_CHAIN * n_sweeps
    others = _PER_TOKEN * n_tokens + n_chains * per_chain
    check_room(
        others,
        f"{number_of(n_tokens, 'token')}, {number_of(n_chains, 'chain')} and {number_of(n_sweeps, 'sweep')} need",
    )
    memory = available_memory()
    needed = others + n_topics * (per_topic + n_topics * per_pair)
    if needed > memory:
        room = max(memory - others, 0)
        most = room // per_topic
        if per_pair:
            most = (isqrt(per_topic**2 + 4 * per_pair * room) - per_topic) // (2 * per_pair)
        most = min(most, n_topics - 1)
        rest = f"at most {most:,} topics fit" if most > 0 else "not even one topic fits"
        raise ValueError(
            f"n_topics={n_topics:,} needs {_shown(needed)} for {number_of(n_documents, 'document')}, "
            f"{number_of(n_terms, 'term')} and {number_of(n_chains, 'chain')}, and {size(memory)} of memory is "
            f"available; {rest}"
        )


def check_room(n_bytes: int, needs: str) -> None:
    """Refuse what does not fit into the memory that is available.

    Parameters
    ----------
    needs
        How the message begins, such as ``"1,000 chains need"``.

    Raises
    ------
    ValueError
        If it does not fit; the message says what is needed and what is available.
    """
    if n_bytes > (memory := available_memory()):
        raise ValueError(f"{needs} {_shown(n_bytes)}, and {size(memory)} of memory is available")


def _shown(n_bytes: int) -> str:
    return "over a million TiB" if n_bytes > _MANY else f"about {size(n_bytes)}"
