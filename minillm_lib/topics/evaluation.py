"""How good are the topics? Held-out perplexity, coherence and convergence, also to choose the number of topics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy import sparse, stats
from sklearn.utils import check_array

from minillm_lib.topics.counts_input import intact, is_bag
from minillm_lib.topics.gibbs_sampler import FloatArray, Tokens
from minillm_lib.topics.kernels import folding

CoherenceMeasure = Literal["u_mass", "c_npmi", "c_v"]
Convergence = Literal["agree", "nearly agree", "differ"]
_AGREED, _NEARLY_AGREED = 1.01, 1.1
# gensim's default window sizes in terms, and its guard against the logarithm of zero.
_WINDOW_SIZES = {"c_npmi": 10, "c_v": 110}
_EPSILON = 1e-12
_SHARES_AT_A_TIME = 1 << 22  # of tokens by topics, 32 MiB


def split_tokens(tokens: Tokens, seed: int) -> tuple[Tokens, Tokens]:
    """Split each document's tokens at random into an observed and a hidden half.

    If a document has an odd number of tokens, the extra one is hidden. The draw depends on ``seed`` and the
    document's own contents, never on its neighbours.
    """
    observed = np.zeros(len(tokens), dtype=bool)
    for first, last in zip(tokens.starts[:-1], tokens.starts[1:], strict=True):
        contents = np.frombuffer(tokens.terms[first:last].tobytes(), dtype=np.uint32)
        rng = np.random.default_rng([seed, last - first, *contents])
        observed[first + rng.permutation(last - first)[: (last - first) // 2]] = True
    return _take(tokens, observed), _take(tokens, ~observed)


def _take(tokens: Tokens, chosen: npt.NDArray[np.bool_]) -> Tokens:
    starts = np.concatenate([[0], np.cumsum(chosen)])[tokens.starts]
    weights = None if tokens.weights is None else tokens.weights[chosen]
    return Tokens(tokens.terms[chosen], starts, weights, tokens.n_terms)


def completion_perplexity(doc_topic: FloatArray, topic_word: FloatArray, hidden: Tokens) -> float:
    """Return the perplexity of ``hidden`` tokens under given distributions.

    Parameters
    ----------
    doc_topic
        Each document's distribution over topics, ``(n_documents, n_topics)``.
    topic_word
        Each topic's distribution over terms, ``(n_topics, n_terms)``.

    Raises
    ------
    ValueError
        If there are no hidden tokens.
    """
    if not len(hidden):
        raise ValueError("the held-out documents have no tokens to predict")
    documents, total = hidden.documents, 0.0
    at_a_time = max(_SHARES_AT_A_TIME // len(topic_word), 1)
    for first in range(0, len(hidden), at_a_time):
        part = slice(first, first + at_a_time)
        by_token = np.einsum("ik,ki->i", doc_topic[documents[part]], topic_word[:, hidden.terms[part]])
        weights = 1.0 if hidden.weights is None else hidden.weights[part]
        total += float((weights * np.log(by_token)).sum())
    return float(np.exp(-total / hidden.total_weight))


def left_to_right_perplexity(
    tokens: Tokens, topic_word: FloatArray, alpha: FloatArray, *, n_particles: int = 20, seed: int = 0
) -> float:
    """Return the perplexity of whole documents by the left-to-right estimator (Wallach et al. 2009).

    Parameters
    ----------
    tokens
        The documents; weights are ignored.
    topic_word
        Each topic's distribution over terms, ``(n_topics, n_terms)``.
    alpha
        Prior weight of each topic in a document, ``(n_topics,)``.

    Raises
    ------
    ValueError
        If there are no tokens.
    """
    if not len(tokens):
        raise ValueError("the held-out documents have no tokens to predict")
    log_probabilities = np.empty(tokens.n_documents)
    term_topic = np.ascontiguousarray(topic_word.T)
    folding.left_to_right(
        tokens.starts, tokens.terms, term_topic, alpha, n_particles, np.uint64(seed), log_probabilities
    )
    return float(np.exp(-log_probabilities.sum() / len(tokens)))


def coherence(
    topics: Sequence[Sequence[Any]],
    documents: Any,
    *,
    vocabulary: Sequence[Any] | None = None,
    measure: CoherenceMeasure = "c_npmi",
    window_size: int | None = None,
) -> FloatArray:
    """Return the coherence of each topic, ``(n_topics,)``: how much its terms occur together in the documents.

    ``u_mass`` (Mimno et al. 2011) counts documents. ``c_npmi`` (Aletras & Stevenson 2013) and ``c_v`` (Röder, Both &
    Hinneburg 2015) count windows of ``window_size`` terms. The values are those of gensim's ``CoherenceModel`` on the
    same input.

    Parameters
    ----------
    topics
        The terms of each topic, most probable first; at least two terms per topic.
    documents
        Lists of terms in reading order; or a bag of words, a data frame with a column per term, or a document–term
        matrix together with ``vocabulary``. Counts hold no order, so each whole document is then one window.
    vocabulary
        The term of each column of counts; by default, that of the bag or the data frame.
    measure
        ``"u_mass"``, ``"c_npmi"`` or ``"c_v"``.
    window_size
        Number of terms in a window; by default 10 for ``c_npmi`` and 110 for ``c_v``.

    Raises
    ------
    ValueError
        For an unknown measure, for a topic that has fewer than two terms or a term that no document contains, or for
        a matrix that is broken or whose ``vocabulary`` is missing or has the wrong length.
    """
    if measure not in get_args(CoherenceMeasure):
        raise ValueError(f"measure={measure!r} is not one of {', '.join(get_args(CoherenceMeasure))}")
    if short := [i for i, topic in enumerate(topics) if len(topic) < 2]:
        raise ValueError(f"topic {short[0]} has fewer than two terms, so there is no pair to compare")
    if is_bag(documents):
        documents, vocabulary = documents.counts, documents.vocabulary if vocabulary is None else vocabulary
    elif hasattr(documents, "columns"):
        vocabulary = list(documents.columns) if vocabulary is None else vocabulary
        documents = check_array(documents, accept_sparse="csr", dtype=np.float64)
    terms = sorted({term for topic in topics for term in topic})
    if sparse.issparse(documents) or isinstance(documents, np.ndarray):
        presence = _presence_in_rows(documents, terms, vocabulary)
    else:
        window = None if measure == "u_mass" else window_size or _WINDOW_SIZES[measure]
        presence = _presence_in_windows(documents, terms, window)
    together = (presence.T @ presence).toarray().astype(np.float64)
    if (absent := np.flatnonzero(together.diagonal() == 0)).size:
        raise ValueError(f"no document contains the term {terms[absent[0]]!r}")
    confirm = {"u_mass": _u_mass, "c_npmi": _c_npmi, "c_v": _c_v}[measure]
    place = {term: i for i, term in enumerate(terms)}
    n_windows = presence.shape[0]
    return np.array(
        [
            confirm(together[np.ix_(rows, rows)], n_windows)
            for rows in ([place[t] for t in topic] for topic in topics)
        ]
    )


def _presence_in_rows(
    documents: Any, terms: Sequence[Any], vocabulary: Sequence[Any] | None
) -> sparse.csr_matrix:
    matrix = sparse.csc_matrix(intact(documents, "documents") if sparse.issparse(documents) else documents)
    if vocabulary is None or len(vocabulary) != matrix.shape[1]:
        size = "none" if vocabulary is None else len(vocabulary)
        raise ValueError(
            f"a matrix of {matrix.shape[1]} columns needs a vocabulary with one term per column; got {size}"
        )
    column = {term: i for i, term in enumerate(vocabulary)}
    if unknown := [term for term in terms if term not in column]:
        raise ValueError(f"no document contains the term {unknown[0]!r}")
    return sparse.csr_matrix(matrix[:, [column[term] for term in terms]] > 0, dtype=np.int64)


def _presence_in_windows(
    documents: Iterable[Sequence[Any]], terms: Sequence[Any], window_size: int | None
) -> sparse.csr_matrix:
    """Mark which of ``terms`` occur in each window, ``(n_windows, n_terms)``.

    If ``window_size`` is ``None``, a window is a whole document. As a window slides along, gensim removes the term
    that leaves it, even if a second copy stays inside. This function does the same, so that its figures can be
    compared with published ones.
    """
    place = {term: i for i, term in enumerate(terms)}
    rows: list[list[int]] = []
    for document in documents:
        found = [place.get(term, -1) for term in document]
        size = window_size or len(found)
        inside = set(found[:size])
        rows.append(sorted(inside - {-1}))
        for leaving, entering in zip(found, found[size:], strict=False):
            inside.discard(leaving)
            inside.add(entering)
            rows.append(sorted(inside - {-1}))
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    columns = np.fromiter((i for row in rows for i in row), dtype=np.int64, count=int(starts[-1]))
    return sparse.csr_matrix(
        (np.ones(len(columns), dtype=np.int64), columns, starts), shape=(len(rows), len(terms))
    )


def _u_mass(together: FloatArray, n_windows: int) -> float:
    """Return the mean log-probability that a document with the more probable term of a pair has the other too."""
    later, earlier = np.tril_indices(len(together), -1)
    alone = together[earlier, earlier] / n_windows
    return float(np.log((together[later, earlier] / n_windows + _EPSILON) / alone).mean())


def _npmi(together: FloatArray, n_windows: int) -> FloatArray:
    """Return the normalised pointwise mutual information of all pairs, ``(n_terms, n_terms)``."""
    joint = together / n_windows
    alone = joint.diagonal()
    return np.log((joint + _EPSILON) / np.outer(alone, alone)) / -np.log(joint + _EPSILON)


def _c_npmi(together: FloatArray, n_windows: int) -> float:
    npmi = _npmi(together, n_windows)
    return float(npmi[~np.eye(len(npmi), dtype=bool)].mean())


def _c_v(together: FloatArray, n_windows: int) -> float:
    """Return the mean cosine between each term's vector of NPMIs and the sum of all the vectors."""
    vectors = _npmi(together, n_windows)
    whole = vectors.sum(axis=0)
    cosines = vectors @ whole / (np.linalg.norm(vectors, axis=1) * np.linalg.norm(whole))
    return float(cosines.mean())


def r_hat(traces: Sequence[npt.ArrayLike]) -> float:
    """Return the rank-normalised split R-hat (Vehtari et al. 2021) of the traces of several chains.

    It compares the spread between chains with the spread within them. Each chain is split in two so that drift shows
    too. What the value means is said by :func:`convergence_verdict`.

    Parameters
    ----------
    traces
        At least two traces of equal length, with at least four values each.

    Returns
    -------
    float
        1 or more; infinite for chains that never move and stay at different values.

    Raises
    ------
    ValueError
        If there are fewer traces or values, or the lengths differ.
    """
    chains = np.array([np.asarray(trace, dtype=np.float64) for trace in traces])
    if chains.ndim != 2 or len(chains) < 2 or chains.shape[1] < 4:
        raise ValueError(
            f"R-hat needs at least two chains of at least four values each; got shape {chains.shape}"
        )
    half = chains.shape[1] // 2
    halves = np.concatenate([chains[:, :half], chains[:, -half:]])
    ranks = stats.rankdata(halves, axis=None).reshape(halves.shape)
    folded = stats.rankdata(np.abs(halves - np.median(halves)), axis=None).reshape(halves.shape)
    return max(_plain_r_hat(stats.norm.ppf((r - 0.375) / (halves.size + 0.25))) for r in (ranks, folded))


def convergence_verdict(r_hat: float) -> Convergence:
    """Say what an R-hat means, in a word.

    ``"agree"`` up to 1.01, the limit of Vehtari et al. (2021); ``"nearly agree"`` up to 1.1, the limit that was usual
    before (Gelman & Rubin 1992 and after); otherwise ``"differ"``: the chains need more sweeps, or have found different
    modes. The R-hat of a log-likelihood says nothing of single topics; see
    :mod:`~minillm_lib.topics.stability` for these.

    Raises
    ------
    ValueError
        If ``r_hat`` is not a number.
    """
    if np.isnan(r_hat):
        raise ValueError("r_hat is not a number (NaN)")
    return "agree" if r_hat <= _AGREED else "nearly agree" if r_hat <= _NEARLY_AGREED else "differ"


def _plain_r_hat(chains: FloatArray) -> float:
    n = chains.shape[1]
    within = chains.var(axis=1, ddof=1).mean()
    between = n * chains.mean(axis=1).var(ddof=1)
    if within == 0:  # chains that never move: they agree only if all stay at the same value
        return 1.0 if between == 0 else float("inf")
    return float(np.sqrt((n - 1) / n + between / (n * within)))
