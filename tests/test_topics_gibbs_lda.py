"""The estimator: what it recovers, what it equals, what it does not depend on, and what it refuses."""

from __future__ import annotations

import logging
import tracemalloc
from itertools import combinations

import numpy as np
import pytest
import tomotopy
from lda import LDA
from lda.datasets import load_reuters, load_reuters_vocab
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from scipy.special import gammaln
from sklearn.base import clone
from sklearn.model_selection import KFold
from sklearn.utils.estimator_checks import parametrize_with_checks

from minillm_lib import GibbsLDA
from minillm_lib.topics.model_selection import compare_topic_counts
from minillm_lib.topics.stability import match_topics


def bars(n_documents=1_000, length=100, seed=0):
    """The ten bars of Griffiths & Steyvers (2004): topics are rows and columns of a 5 x 5 picture."""
    rng = np.random.default_rng(seed)
    phi = np.zeros((10, 5, 5))
    for i in range(5):
        phi[i, i, :] = phi[5 + i, :, i] = 0.2
    phi = phi.reshape(10, 25)
    theta = rng.dirichlet(np.full(10, 0.2), size=n_documents)
    return np.array([rng.multinomial(length, p) for p in theta @ phi]), phi


def matched_cosines(found, truth):
    """Cosines between topics and their counterparts, under the best one-to-one match."""
    unit = [m / np.linalg.norm(m, axis=1, keepdims=True) for m in (found, truth)]
    cosines = unit[0] @ unit[1].T
    return cosines[linear_sum_assignment(-cosines)]


def joint_log_likelihood(doc_topic, topic_word, alpha=0.1, beta=0.01):
    """log p(w, z) of count tables, from any package: equations 2 and 3 of Griffiths & Steyvers (2004)."""

    def rows(n, prior):
        size = n.shape[1]
        return (gammaln(n + prior).sum(axis=1) - gammaln(n.sum(axis=1) + size * prior)).sum() + len(n) * (
            gammaln(size * prior) - size * gammaln(prior)
        )

    return rows(doc_topic, alpha) + rows(topic_word, beta)


@parametrize_with_checks([GibbsLDA(n_sweeps=20, n_threads=2), GibbsLDA(n_sweeps=20, n_chains=1, n_threads=2)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_the_bars_are_recovered():
    X, phi = bars()
    lda = GibbsLDA(10, n_sweeps=300, alpha=0.2, random_state=0).fit(X)
    assert matched_cosines(lda.topic_word_, phi).min() > 0.98


@pytest.fixture(scope="module")
def reuters():
    return load_reuters()


@pytest.mark.slow
def test_log_likelihood_on_reuters_is_that_of_lda_and_tomotopy(reuters):
    """After the same 200 sweeps the three samplers stand within 1 %; each is scored by the same independent formula."""
    logging.getLogger("lda").setLevel(logging.WARNING)
    n_topics, n_sweeps = 20, 200
    ours, theirs, tomotopys = [], [], []
    for seed in range(2):
        model = GibbsLDA(n_topics, n_sweeps=n_sweeps, beta=0.01, n_chains=1, random_state=seed).fit(reuters)
        documents = np.repeat(np.arange(len(reuters)), reuters.sum(axis=1))
        terms = np.concatenate([np.repeat(np.arange(reuters.shape[1]), row) for row in reuters])
        doc_topic, topic_word = np.zeros((len(reuters), n_topics)), np.zeros((n_topics, reuters.shape[1]))
        np.add.at(doc_topic, (documents, model.z_), 1)
        np.add.at(topic_word, (model.z_, terms), 1)
        ours.append(joint_log_likelihood(doc_topic, topic_word))
        assert model.log_likelihoods_[-1] * reuters.sum() == pytest.approx(ours[-1], rel=1e-9)

        peer = LDA(n_topics, n_iter=n_sweeps, alpha=0.1, eta=0.01, random_state=seed).fit(reuters)
        theirs.append(joint_log_likelihood(peer.ndz_.astype(float), peer.nzw_.astype(float)))

        tomo = tomotopy.LDAModel(k=n_topics, alpha=0.1, eta=0.01, seed=seed + 1)
        for row in reuters:
            tomo.add_doc([str(t) for t in np.repeat(np.arange(reuters.shape[1]), row)])
        tomo.optim_interval = 0
        tomo.train(n_sweeps, workers=1)
        column = np.array([int(v) for v in tomo.used_vocabs])
        doc_topic, topic_word = np.zeros((len(reuters), n_topics)), np.zeros((n_topics, reuters.shape[1]))
        for d, document in enumerate(tomo.docs):
            np.add.at(doc_topic, (d, list(document.topics)), 1)
            np.add.at(topic_word, (list(document.topics), column[list(document.words)]), 1)
        tomotopys.append(joint_log_likelihood(doc_topic, topic_word))
    assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.01)
    assert np.mean(ours) == pytest.approx(np.mean(tomotopys), rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("n_topics", "n_chains"), [(20, 12), (100, 4)])
def test_the_sparse_kernel_samples_as_well_as_the_dense_one(reuters, n_topics, n_chains):
    """After equal sweeps, log-likelihoods are within 0.2 %; a single chain of 20 topics varies by as much."""
    of_dense, of_sparse = (
        np.mean([chain.log_likelihoods[-50:] for chain in fitted.chains_])
        for fitted in (
            GibbsLDA(n_topics, n_sweeps=200, beta=0.01, n_chains=n_chains, kernel=kernel, random_state=0).fit(
                reuters
            )
            for kernel in ("dense", "sparse")
        )
    )
    assert of_sparse == pytest.approx(of_dense, rel=0.002)


@pytest.mark.slow
def test_blocks_on_several_threads_sample_as_well_as_one_thread(reuters):
    one, four = (
        np.mean(
            [
                GibbsLDA(20, n_sweeps=200, n_chains=1, n_threads=n, random_state=s)
                .fit(reuters)
                .log_likelihoods_[-50:]
                for s in range(3)
            ]
        )
        for n in (1, 4)
    )
    assert four == pytest.approx(one, rel=0.005)


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("n_topics", [8, 50])
def test_the_same_seed_gives_the_same_topics_bit_for_bit(reuters, n_topics, n_threads):
    fits = [
        GibbsLDA(n_topics, n_sweeps=30, n_chains=1, n_threads=n_threads, random_state=4).fit(reuters)
        for _ in range(2)
    ]
    for name in ("topic_word_", "doc_topic_", "z_", "log_likelihoods_"):
        np.testing.assert_array_equal(getattr(fits[0], name), getattr(fits[1], name))
    other = GibbsLDA(n_topics, n_sweeps=30, n_chains=1, n_threads=n_threads, random_state=5).fit(reuters)
    assert (other.z_ != fits[0].z_).any()


def test_several_chains_do_not_depend_on_the_number_of_threads(reuters):
    """Nor on where their arrays happen to lie in memory, which differs from one fit to the next."""
    one, *others = (
        GibbsLDA(10, n_sweeps=30, n_chains=4, n_threads=n, random_state=1).fit(reuters)
        for n in (1, 2, 3, 1, 4, 2)
    )
    for other in others:
        assert one.best_chain_ == other.best_chain_
        for mine, theirs in zip(one.chains_, other.chains_, strict=True):
            np.testing.assert_array_equal(mine.assignments, theirs.assignments)
    assert len({chain.log_likelihoods[-1] for chain in one.chains_}) == 4


@pytest.mark.parametrize("n_chains", [1, 2])
def test_without_a_number_of_threads_the_cores_of_the_machine_change_nothing(reuters, monkeypatch, n_chains):
    fits = []
    for n_cores in (1, 2, 5):
        monkeypatch.setattr("joblib.cpu_count", lambda n_cores=n_cores: n_cores)
        fits.append(GibbsLDA(6, n_sweeps=12, n_chains=n_chains, random_state=1).fit(reuters))
    for other in fits[1:]:
        np.testing.assert_array_equal(other.topic_word_, fits[0].topic_word_)
        np.testing.assert_array_equal(other.z_, fits[0].z_)
        np.testing.assert_array_equal(other.transform(reuters[:9]), fits[0].transform(reuters[:9]))


def test_every_kind_of_seed_works_and_repeats_itself():
    X = bars(30)[0]
    makers = (
        lambda: 2**32 - 1,
        lambda: np.int64(3),
        lambda: np.random.RandomState(3),
        lambda: np.random.default_rng(3),
    )
    for make in makers:
        one, two = (GibbsLDA(3, n_sweeps=9, random_state=make()).fit(X) for _ in range(2))
        np.testing.assert_array_equal(one.z_, two.z_)
    assert (GibbsLDA(3, n_sweeps=9).fit(X).z_ != GibbsLDA(3, n_sweeps=9).fit(X).z_).any()


def test_the_memory_for_many_topics_is_that_of_their_tables(reuters):
    """Of 200 topics over 4,000 terms, in three chains: two sums each, besides the state, and no copies of them all."""
    tracemalloc.start()
    GibbsLDA(200, n_sweeps=4, n_chains=3, n_threads=1, shown="central", random_state=0).fit(reuters)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    table = 200 * reuters.shape[1] * 8
    assert peak < 3 * 3.5 * table


@pytest.mark.slow
def test_order_of_documents_and_names_of_terms_do_not_matter():
    X, _ = bars(seed=1)
    rng = np.random.default_rng(2)
    documents, terms = rng.permutation(X.shape[0]), rng.permutation(X.shape[1])
    plain, shuffled = (
        GibbsLDA(10, n_sweeps=300, alpha=0.2, random_state=3).fit(m) for m in (X, X[documents][:, terms])
    )
    assert shuffled.log_likelihoods_[-100:].mean() == pytest.approx(
        plain.log_likelihoods_[-100:].mean(), rel=0.002
    )
    assert matched_cosines(shuffled.topic_word_, plain.topic_word_[:, terms]).min() > 0.98


def test_transform_looks_at_one_document_at_a_time(reuters):
    lda = GibbsLDA(6, n_sweeps=30, random_state=0).fit(reuters[:200])
    new = reuters[200:260]
    together = lda.transform(new)
    np.testing.assert_allclose(together.sum(axis=1), 1)
    np.testing.assert_array_equal(lda.transform(new[::-1]), together[::-1])
    np.testing.assert_array_equal(lda.transform(new[17:18])[0], together[17])
    np.testing.assert_array_equal(lda.set_params(n_threads=3).transform(sparse.csc_matrix(new)), together)


@pytest.mark.parametrize("n_topics", [2, 20])
def test_transform_approaches_the_exact_posterior_mean(n_topics):
    """Five tokens, or three: theta's posterior mean by enumeration against the fold-in."""
    X, _ = bars(200)
    alpha = np.random.default_rng(0).uniform(0.05, 1, size=n_topics)
    lda = GibbsLDA(n_topics, n_sweeps=20, alpha=alpha, n_transform_sweeps=20_000, random_state=0).fit(X)
    row = np.zeros((1, 25), dtype=int)
    row[0, [0, 3, 12]] = (2, 1, 2) if n_topics == 2 else (1, 1, 1)
    words = np.repeat(np.arange(25), row[0])
    theta, total = np.zeros(n_topics), 0.0
    for z in np.ndindex(*(n_topics,) * len(words)):
        n = np.bincount(z, minlength=n_topics)
        p = np.exp(gammaln(lda.alpha_ + n).sum()) * lda.topic_word_[list(z), words].prod()
        theta, total = theta + p * (n + lda.alpha_) / (len(words) + lda.alpha_.sum()), total + p
    np.testing.assert_allclose(lda.transform(row)[0], theta / total, atol=0.005)


def test_transform_counts_fractional_entries_by_their_weight():
    X, _ = bars(200)
    lda = GibbsLDA(10, n_sweeps=50, alpha=0.2, n_transform_sweeps=2_000, random_state=0).fit(X)
    once, half = np.zeros((2, 1, 25))
    once[0, :10], half[0, :10] = 1, 0.5
    weighted = lda.transform(half)[0]
    np.testing.assert_allclose(weighted.sum(), 1)
    # Half the weight moves theta about half as far from the prior: (5 x + 2 prior) / 7 against (10 x + 2 prior) / 12.
    found = [(theta * (n + 2) - 0.2) / n for theta, n in ((weighted, 5), (lda.transform(once)[0], 10))]
    np.testing.assert_allclose(*found, atol=0.1)


def test_transform_takes_terms_that_hardly_any_topic_has():
    """Probabilities below the smallest float32 would leave no topic to draw."""
    lda = GibbsLDA(20, n_sweeps=3, beta=1e-60, random_state=0).fit([[2, 3, 0], [4, 1, 0]])
    theta = lda.transform([[0, 0, 5]])
    np.testing.assert_allclose(theta.sum(), 1)
    assert (theta > 0).all()


def test_perplexity_ranks_the_truth_between_less_and_nothing():
    """Held-out documents: the fitted topics predict better than one topic, not better than the true model."""
    X, phi = bars(1_200)
    held_out = X[1_000:]
    fitted = GibbsLDA(10, n_sweeps=200, alpha=0.2, n_chains=2, random_state=0).fit(X[:1_000])
    single = GibbsLDA(1, n_sweeps=2, random_state=0).fit(X[:1_000])
    for method in ("document_completion", "left_to_right"):
        ours = fitted.perplexity(held_out, method=method)
        assert ours < 0.9 * single.perplexity(held_out, method=method)
        truth = GibbsLDA(10, n_sweeps=1, alpha=0.2, random_state=0).fit(X)
        truth.topic_word_ = np.maximum(phi, 1e-12)
        assert truth.perplexity(held_out, method=method) * 0.995 < ours
    assert fitted.score(held_out) == pytest.approx(-np.log(fitted.perplexity(held_out)))


def test_averages_are_taken_over_the_samples_after_burn_in():
    X, _ = bars(100)
    seen = []
    lda = GibbsLDA(3, n_sweeps=20, burn_in=12, thin=3, beta=0.01, n_chains=1, random_state=0)
    for (sampler,) in lda.iter_sweeps(X):
        seen.append((sampler.topic_word(), sampler.doc_topic(), sampler.topic_word_counts + 0.01))
    for i, name in enumerate(("topic_word_", "doc_topic_", "components_")):
        np.testing.assert_allclose(
            getattr(lda, name), np.mean([seen[sweep - 1][i] for sweep in (15, 18)], axis=0), rtol=1e-5
        )


def test_watching_a_fit_does_not_change_it():
    X, _ = bars(100)
    heights = []
    watched = GibbsLDA(
        3,
        n_sweeps=15,
        n_chains=1,
        random_state=0,
        callback=lambda sampler: heights.append(sampler.log_likelihoods[-1]),
    )
    watched.fit(X)
    plain = GibbsLDA(3, n_sweeps=15, n_chains=1, random_state=0).fit(X)
    np.testing.assert_array_equal(heights, plain.log_likelihoods_)
    np.testing.assert_array_equal(watched.z_, plain.z_)

    stopped = GibbsLDA(3, n_sweeps=15, n_chains=1, random_state=0)
    for number, _ in enumerate(stopped.iter_sweeps(X), 1):
        if number == 7:
            break
    np.testing.assert_array_equal(stopped.log_likelihoods_, plain.log_likelihoods_[:7])


def test_learned_asymmetric_alpha_raises_the_likelihood(reuters):
    fixed = GibbsLDA(20, n_sweeps=200, n_chains=1, random_state=0).fit(reuters)
    learned = GibbsLDA(20, n_sweeps=200, n_chains=1, random_state=0, learn_alpha=True, learn_beta=True).fit(
        reuters
    )
    assert learned.log_likelihoods_[-20:].mean() > fixed.log_likelihoods_[-20:].mean()
    assert np.ptp(learned.alpha_) > 0
    assert learned.beta_ != fixed.beta_
    np.testing.assert_array_equal(fixed.alpha_, np.full(20, 0.1))


def test_r_hat_tells_a_converged_fit_from_one_stopped_early(reuters):
    X = np.random.default_rng(0).poisson(0.5, size=(20, 12))
    mixed = GibbsLDA(2, n_sweeps=2_000, alpha=1, beta=1, n_chains=4, random_state=1).fit(X)
    assert mixed.r_hat_ < 1.05
    assert GibbsLDA(20, n_sweeps=20, n_chains=4, random_state=1).fit(reuters).r_hat_ > 1.2


@pytest.mark.parametrize(
    "convert", [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.coo_array, sparse.lil_matrix]
)
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.int64, np.float32, np.float64])
def test_every_container_and_dtype_gives_the_same_fit(convert, dtype):
    X = (bars(20)[0] > 3).astype(np.int64)
    expected = GibbsLDA(2, n_sweeps=3, random_state=0).fit(X).z_
    np.testing.assert_array_equal(
        GibbsLDA(2, n_sweeps=3, random_state=0).fit(convert(X.astype(dtype))).z_, expected
    )


def test_empty_documents_get_the_prior():
    X = np.array([[3, 1, 0], [0, 0, 0], [0, 2, 4]])
    lda = GibbsLDA(2, n_sweeps=5, alpha=[1.0, 3.0], random_state=0).fit(X)
    np.testing.assert_allclose(lda.doc_topic_[1], [0.25, 0.75])
    np.testing.assert_allclose(lda.transform([[0, 0, 0]]), [[0.25, 0.75]])


def test_more_topics_than_terms_and_a_single_topic_work():
    X = np.array([[3, 1], [0, 2]])
    assert GibbsLDA(7, n_sweeps=5, random_state=0).fit(X).topic_word_.shape == (7, 2)
    single = GibbsLDA(1, n_sweeps=5, beta=0.01, random_state=0).fit(X)
    np.testing.assert_allclose(single.topic_word_, (X.sum(axis=0) + 0.01)[None] / (X.sum() + 0.02))


@pytest.mark.parametrize(
    ("parameters", "X", "message"),
    [
        ({}, np.zeros((3, 4)), "3 documents but no tokens"),
        ({}, np.empty((0, 4)), "0 sample"),
        ({}, [[1, -1]], "Negative values"),
        ({}, [[1, np.nan]], "NaN"),
        ({}, [[1, np.inf]], "infinity"),
        ({}, [[1e12, 1]], "at most 2147483647"),
        ({"n_topics": 0}, [[1, 2]], "'n_topics'.*Got 0"),
        ({"n_topics": 2.5}, [[1, 2]], "'n_topics'.*Got 2.5"),
        ({"alpha": 0}, [[1, 2]], "'alpha'.*Got 0"),
        ({"alpha": [0.1, 0.1]}, [[1, 2]], r"n_topics=10 of them; got shape \(2,\)"),
        ({"alpha": [0.1] * 9 + [-1]}, [[1, 2]], "alpha is -1; it must be from 1e-100"),
        ({"alpha": 1e-320}, [[1, 2]], "alpha is .*it must be from 1e-100 to 1e\\+09"),
        ({"alpha": [0.1] * 9 + [np.nan]}, [[1, 2]], "alpha is nan"),
        ({"alpha": 1e100, "n_topics": 3}, [[1, 2]], "alpha is 1e\\+100"),
        ({"beta": 1e300}, [[1, 2]], "beta is 1e\\+300"),
        ({"n_chains": 10**6, "n_topics": 1}, [[1, 2]], "1,000,000 chains"),
        ({"beta": -1}, [[1, 2]], "'beta'.*Got -1"),
        ({"n_sweeps": 200, "burn_in": 200}, [[1, 2]], "burn_in=200 leaves no sweep"),
        ({"n_threads": 0}, [[1, 2]], "'n_threads'.*Got 0"),
        (
            {"n_topics": 10**6},
            [[1, 2]],
            r"n_topics=1,000,000 needs about [\d.,]+ .iB .* at most [\d,]+ topics fit",
        ),
        ({"n_topics": 10**9}, [[1, 2]], r"n_topics=1,000,000,000 needs .* at most [\d,]+ topics fit"),
        (
            {"n_topics": 10**30, "n_chains": 1},
            [[1, 2]],
            r"needs over a million TiB .* at most [\d,]+ topics fit",
        ),
        (
            {"random_state": 2**64},
            [[1, 2]],
            r"'random_state'.*in the range \[0, 4294967295\].*Got 18446744073709551616",
        ),
        ({"random_state": -1}, [[1, 2]], "'random_state'.*Got -1"),
        ({"shown": "best"}, [[1, 2]], "'shown'.*'best'"),
        ({"checkpoint_seconds": -1}, [[1, 2]], "'checkpoint_seconds'.*Got -1"),
    ],
)
def test_bad_input_is_named(parameters, X, message):
    with pytest.raises(ValueError, match=message):
        GibbsLDA(**parameters).fit(X)


def test_misuse_after_the_fit_is_named():
    lda = GibbsLDA(2, n_sweeps=3, random_state=0).fit([[1, 2, 3], [3, 0, 1]])
    with pytest.raises(ValueError, match="expecting 3 features"):
        lda.transform([[1, 2, 3, 4]])
    with pytest.raises(ValueError, match="'bayes' is not one of"):
        lda.perplexity([[1, 2, 3]], method="bayes")
    with pytest.raises(ValueError, match="integer counts"):
        lda.perplexity([[0.5, 2, 3]], method="left_to_right")
    with pytest.raises(ValueError, match="no tokens to predict"):
        lda.perplexity([[0, 0, 0]])
    with pytest.raises(ValueError, match="vocabulary has 2 terms, but the model has 3"):
        lda.coherence([["a", "b"]], vocabulary=["a", "b"])


def test_coherence_by_matrix_and_by_texts_agree(reuters):
    vocabulary = list(load_reuters_vocab())
    lda = GibbsLDA(5, n_sweeps=30, random_state=0).fit(reuters)
    texts = [[vocabulary[t] for t in np.repeat(np.arange(len(vocabulary)), row)] for row in reuters]
    by_texts = lda.coherence(texts, vocabulary=vocabulary, window_size=10**6)
    np.testing.assert_allclose(lda.coherence(reuters), by_texts)


def test_comparing_topic_counts_finds_the_number_that_made_the_data(capsys):
    """By perplexity and by stability; the bars have five terms each, so the coherence of ten says little."""
    X, _ = bars(600, length=60)
    estimator = GibbsLDA(n_sweeps=150, alpha=0.2, n_chains=4)
    two, ten, fifteen = compare_topic_counts(X, [2, 10, 15], estimator=estimator, n_folds=2, verbose=True)
    assert "6/6" in capsys.readouterr().err
    assert ten.n_topics == 10
    assert ten.perplexity < min(two.perplexity, fifteen.perplexity)
    assert ten.stability > max(two.stability, fifteen.stability)
    assert all(score.stability_error > 0 for score in (two, ten, fifteen))


def test_the_scores_of_a_topic_count_are_means_over_the_folds():
    X, _ = bars(90, length=40)
    estimator = GibbsLDA(3, n_sweeps=20, n_chains=1, random_state=0)
    (score,) = compare_topic_counts(sparse.csr_matrix(X), [3], estimator=estimator)
    folds = [
        (clone(estimator).fit(X[rows]), X[others])
        for rows, others in KFold(3, shuffle=True, random_state=0).split(X)
    ]
    coherences = [model.coherence(held_out).mean() for model, held_out in folds]
    perplexities = [model.perplexity(held_out) for model, held_out in folds]
    assert score.coherence == pytest.approx(np.mean(coherences))
    assert score.coherence_error == pytest.approx(np.std(coherences, ddof=1) / 3**0.5)
    assert score.perplexity == pytest.approx(np.mean(perplexities))
    overlaps = [
        match_topics(a.topic_word_, b.topic_word_)[1].mean() for (a, _), (b, _) in combinations(folds, 2)
    ]
    assert score.stability == pytest.approx(np.mean(overlaps))


def test_comparing_topic_counts_says_what_is_wrong():
    X, _ = bars(20)
    with pytest.raises(ValueError, match="candidates is empty"):
        compare_topic_counts(X, [])
    with pytest.raises(ValueError, match="n_folds=1"):
        compare_topic_counts(X, [2], n_folds=1)


def test_a_zero_in_a_sparse_matrix_is_no_occurrence_of_a_term():
    X = np.ones((9, 4))
    X[1:, 3] = 0  # two folds have no document with this term
    stored = sparse.csr_matrix(X + 1)
    stored.data -= 1
    options = {"candidates": [2], "estimator": GibbsLDA(2, n_sweeps=4, n_chains=1)}
    assert compare_topic_counts(stored, **options) == compare_topic_counts(X, **options)


@pytest.mark.parametrize(
    "X", [np.eye(3, 5) + 1, np.c_[np.ones(6), np.zeros((6, 2))]], ids=["document", "term"]
)
def test_the_coherence_of_a_single_document_or_term_is_no_number(X):
    (score,) = compare_topic_counts(X, [2], estimator=GibbsLDA(2, n_sweeps=4, n_chains=1))
    assert np.isfinite([score.perplexity, score.stability]).all()
    assert np.isnan([score.coherence, score.coherence_error]).all()
