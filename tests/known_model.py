"""A topic model that needs no fitting: documents drawn from known topics, and the topics that they were drawn from."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from minillm_lib.corpora.cleaning.report import CleaningReport


def known_model(
    n_topics: int = 4,
    n_terms: int = 60,
    n_documents: int = 40,
    *,
    seed: int = 0,
    vocabulary: list[str] | None = None,
    **meta: Any,
) -> tuple[Any, Any]:
    """Draw documents by LDA's generative story; give the true parameters, shaped as a fitted model, and the bag.

    Document 0 is empty and term 0 is in no document. ``meta`` has a list of values for each key, one per document.
    """
    random = np.random.default_rng(seed)
    topic_word = random.dirichlet(np.full(n_terms, 0.1), n_topics) + 1e-6
    topic_word[:, 0] = 1e-6
    topic_word /= topic_word.sum(axis=1, keepdims=True)
    doc_topic = random.dirichlet(np.full(n_topics, 0.3), n_documents)
    lengths = random.poisson(80, n_documents)
    lengths[0] = 0
    counts = random.multinomial(lengths, doc_topic @ topic_word).astype(np.int32)
    counts[:, 0] = 0
    log_likelihoods = -np.geomspace(9, 7, 20)
    bag = SimpleNamespace(
        counts=csr_matrix(counts),
        vocabulary=np.array(vocabulary or [f"term{i:02}" for i in range(n_terms)]),
        meta=[{key: values[d] for key, values in meta.items()} for d in range(n_documents)],
        report=CleaningReport(),
    )
    model = SimpleNamespace(
        topic_word_=topic_word,
        doc_topic_=doc_topic,
        alpha_=np.full(n_topics, 0.3),
        beta_=0.1,
        n_tokens_=counts.sum(),
        log_likelihoods_=log_likelihoods,
        chains_=[SimpleNamespace(log_likelihoods=log_likelihoods)],
        best_chain_=0,
        shown="consensus",
        n_sweeps=20,
        burn_in=None,
        thin=10,
        random_state=0,
    )
    return model, bag
