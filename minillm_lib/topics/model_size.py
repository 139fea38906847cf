"""Whether the tables of a topic model fit into memory, asked before they are made."""

from __future__ import annotations

from math import sqrt

import psutil

from minillm_lib.io.wording import number_of

_BYTES = 8
_TABLES_PER_CHAIN = 4  # the state, two running sums, and at the end a little more
_TABLES_OF_PAIRS = 3  # of each topic with each: their overlaps, and what it takes to match them
_TABLES_OF_CHAINS = 2  # of each chain with each, by topics: their matches and overlaps


def check_size(n_topics: int, n_documents: int, n_terms: int, *, n_chains: int) -> None:
    """Refuse a number of topics whose tables do not fit into this machine's memory.

    Raises
    ------
    ValueError
        If they do not; the message says how many topics would.
    """
    per_topic = _BYTES * (
        _TABLES_PER_CHAIN * n_chains * n_terms + n_documents + _TABLES_OF_CHAINS * n_chains**2
    )
    per_pair = _BYTES * _TABLES_OF_PAIRS if n_chains > 1 else 0
    memory = psutil.virtual_memory().total
    needed = n_topics * (per_topic + n_topics * per_pair)
    if needed > memory:
        most = memory // per_topic
        if per_pair:
            most = int((sqrt(per_topic**2 + 4 * per_pair * memory) - per_topic) / (2 * per_pair))
        most = min(most, n_topics - 1)
        rest = f"at most {most:,} topics fit" if most > 0 else "not even one topic fits"
        raise ValueError(
            f"n_topics={n_topics:,} needs about {_size(needed)} for {number_of(n_documents, 'document')}, "
            f"{number_of(n_terms, 'term')} and {number_of(n_chains, 'chain')}, and this machine has {_size(memory)}; "
            f"{rest}"
        )


def _size(n_bytes: float) -> str:
    units = iter(("bytes", "KB", "MB", "GB", "TB", "PB"))
    unit = next(units)
    while n_bytes >= 1000 and unit != "PB":
        n_bytes, unit = n_bytes / 1000, next(units)
    return f"{n_bytes:,.0f} {unit}"
