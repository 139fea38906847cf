"""What does not fit into memory is refused before memory is touched, with what it needs and what there is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from minillm_lib import GibbsLDA
from minillm_lib.topics import model_size

GIB = 2**30


@pytest.fixture(autouse=True)
def four_gibibytes(monkeypatch):
    monkeypatch.setattr(model_size, "available_memory", lambda: 4 * GIB)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"n_chains": 10**7},
            r"10,000,000 chains, and 4 GiB of memory is available; not even one topic fits",
        ),
        (
            {"n_chains": 10**4},
            r"n_topics=10 needs about .* 10,000 chains, and 4 GiB .*; at most 2 topics fit",
        ),
        ({"n_chains": 10**200}, r"chains and 10 sweeps need over a million TiB, and 4 GiB of memory"),
        ({"n_topics": 10**9}, r"n_topics=1,000,000,000 needs .* at most [\d,]+ topics fit"),
        ({"n_topics": 10**400}, r"needs over a million TiB .* at most [\d,]+ topics fit"),
        ({"n_sweeps": 10**9}, r"1,000,000,000 sweeps need about 149 GiB, and 4 GiB of memory is available"),
        ({"n_sweeps": 10**60, "n_chains": 1}, r"sweeps need over a million TiB, and 4 GiB"),
    ],
)
def test_a_fit_that_is_too_large(parameters, message):
    with pytest.raises(ValueError, match=message):
        GibbsLDA(**{"n_sweeps": 10, **parameters}).fit([[1, 2]])


def test_counts_that_stand_for_too_many_tokens():
    """One cell of a small matrix would become gigabytes when its tokens are written out."""
    many = sparse.csr_matrix(np.array([[1_900_000_000, 1]]))
    with pytest.raises(ValueError, match="1,900,000,001 tokens, 1 chain and 5 sweeps need about"):
        GibbsLDA(2, n_sweeps=5, n_chains=1).fit(many)
    fitted = GibbsLDA(2, n_sweeps=3, n_chains=1, random_state=0).fit([[1, 2]])
    for use in (fitted.transform, fitted.perplexity):
        with pytest.raises(ValueError, match="1 document of 1,900,000,001 tokens need about"):
            use(many)


def test_fractions_count_as_tokens():
    weights = sparse.csr_matrix(np.full((1, 3), 0.25))
    with pytest.raises(ValueError, match="3 tokens"):
        GibbsLDA(2, n_sweeps=10**9, n_chains=1).fit(weights)
