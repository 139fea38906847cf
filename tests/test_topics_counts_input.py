"""What can be given as counts: bags of words, and sparse matrices that are broken in every way."""

from __future__ import annotations

import subprocess
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from minillm_lib import GibbsLDA
from minillm_lib.topics.evaluation import coherence
from minillm_lib.topics.model_selection import compare_topic_counts
from minillm_lib.topics.summary import summarize_topics

X = np.random.default_rng(0).poisson(0.8, size=(20, 6))
WORDS = [f"word{i}" for i in range(6)]


def broken(**arrays):
    """A CSR matrix whose arrays were changed after it was made, as SciPy lets you."""
    matrix = sparse.csr_matrix(X.astype(np.float64))
    for name, change in arrays.items():
        setattr(matrix, name, change(getattr(matrix, name).copy()))
    return matrix


def put(place, value):
    def change(array):
        array[place] = value
        return array

    return change


BROKEN = {
    "an index beyond the last column": broken(indices=put(3, 6)),
    "an index far beyond": broken(indices=put(0, 2**31 - 1)),
    "a negative index": broken(indices=put(3, -1)),
    "bounds that go back": broken(indptr=put(5, 0)),
    "bounds beyond the end": broken(indptr=put(-1, 10**6)),
    "a negative bound": broken(indptr=put(4, -3)),
    "bounds that do not begin at 0": broken(indptr=put(0, 2)),
    "too few bounds": broken(indptr=lambda a: a[:-2]),
    "too few indices": broken(indices=lambda a: a[:-5]),
    "too few counts": broken(data=lambda a: a[:-5]),
    "NaN": broken(data=put(2, np.nan)),
    "infinity": broken(data=put(2, np.inf)),
    "a negative count": broken(data=put(2, -1)),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csr_array, sparse.csc_matrix])
def test_a_broken_matrix_is_refused_and_crashes_nothing(name, kind):
    rows, is_csc = BROKEN[name], kind is sparse.csc_matrix
    matrix = kind(rows.shape[::-1] if is_csc else rows.shape)  # by columns, the same arrays are the transpose
    matrix.data, matrix.indices, matrix.indptr = rows.data, rows.indices, rows.indptr
    fitted = GibbsLDA(2, n_sweeps=2, random_state=0).fit(X.T if is_csc else X)
    with pytest.raises(ValueError, match=r"broken sparse matrix|NaN|infinity|Negative"):
        GibbsLDA(2, n_sweeps=2).fit(matrix)
    with pytest.raises(ValueError, match=r"broken sparse matrix|NaN|infinity|Negative"):
        fitted.transform(matrix)


def test_comparing_topic_counts_refuses_them_too():
    with pytest.raises(ValueError, match="broken sparse matrix"):
        compare_topic_counts(BROKEN["a negative index"], [2])


def test_broken_coordinates_are_refused():
    matrix = sparse.coo_matrix(X.astype(np.float64))
    matrix.col[3] = 77
    with pytest.raises(ValueError, match="broken sparse matrix"):
        GibbsLDA(2, n_sweeps=2).fit(matrix)


def test_the_matrix_given_is_not_changed():
    matrix = sparse.csr_matrix((np.ones(3), np.array([2, 0, 2]), np.array([0, 3, 3])), shape=(2, 3))
    GibbsLDA(2, n_sweeps=2, random_state=0).fit(matrix)
    assert matrix.indices.tolist() == [2, 0, 2]
    assert matrix.data.tolist() == [1, 1, 1]


def test_duplicate_entries_add_up():
    doubled = sparse.csr_matrix((np.ones(3), np.array([2, 0, 2]), np.array([0, 3, 3])), shape=(2, 3))
    lda = GibbsLDA(2, n_sweeps=2, beta=0.5, n_chains=1, random_state=0).fit(doubled)
    np.testing.assert_allclose(lda.components_.sum(axis=0) - 1, [1, 0, 2])


@pytest.fixture
def bag():
    return SimpleNamespace(counts=sparse.csr_matrix(X), vocabulary=np.array(WORDS))


def test_a_bag_of_words_is_its_counts_with_names(bag):
    by_bag, plain = (GibbsLDA(3, n_sweeps=9, random_state=0).fit(each) for each in (bag, X))
    np.testing.assert_array_equal(by_bag.topic_word_, plain.topic_word_)
    assert by_bag.feature_names_in_.tolist() == WORDS
    assert not hasattr(plain, "feature_names_in_")
    assert by_bag.perplexity(bag) == plain.perplexity(X)
    assert compare_topic_counts(bag, [2], estimator=by_bag) == compare_topic_counts(X, [2], estimator=by_bag)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # scikit-learn would warn of missing names
        np.testing.assert_array_equal(by_bag.transform(bag.counts), by_bag.transform(bag))
    np.testing.assert_array_equal(plain.transform(bag), by_bag.transform(bag))
    by_matrix = by_bag.coherence(X, n_terms=2)
    np.testing.assert_array_equal(by_bag.coherence(bag, n_terms=2), by_matrix)
    np.testing.assert_array_equal(
        coherence([WORDS[:2]], bag), coherence([[0, 1]], X, vocabulary=range(len(WORDS)))
    )
    other = SimpleNamespace(counts=bag.counts, vocabulary=np.array(WORDS[::-1]))
    with pytest.raises(ValueError, match="the bag has another vocabulary than the model"):
        by_bag.coherence(other)
    frame = pd.DataFrame(np.asarray(X, dtype=float), columns=WORDS)
    by_frame = GibbsLDA(3, n_sweeps=9, random_state=0).fit(frame)
    np.testing.assert_array_equal(by_frame.coherence(frame, n_terms=2), by_matrix)
    for each in (frame, frame.astype(pd.SparseDtype(float, 0))):
        np.testing.assert_array_equal(coherence([WORDS[:2]], each), coherence([WORDS[:2]], bag))
    by_bag.fit(X)
    assert not hasattr(by_bag, "feature_names_in_")


def test_a_bag_of_another_vocabulary_is_refused_in_words(bag):
    lda = GibbsLDA(3, n_sweeps=9, random_state=0).fit(bag)
    other = SimpleNamespace(counts=bag.counts, vocabulary=np.array([*WORDS[:2], "changed", *WORDS[3:]]))
    with pytest.raises(ValueError, match=r"column 2 is 'changed', not 'word2'; .*bag.encode\(documents\)"):
        lda.transform(other)
    shorter = SimpleNamespace(counts=bag.counts[:, :5], vocabulary=np.array(WORDS[:5]))
    with pytest.raises(ValueError, match="X has 5 features, but GibbsLDA is expecting 6 features"):
        lda.transform(shorter)
    torn = SimpleNamespace(counts=bag.counts, vocabulary=np.array(WORDS[:5]))
    with pytest.raises(ValueError, match="6 columns, but its vocabulary has 5 terms"):
        GibbsLDA(3, n_sweeps=9).fit(torn)


def test_a_data_frame_keeps_its_names_and_columns_called_counts_are_columns():
    frame = pd.DataFrame(X, columns=["counts", "vocabulary", *WORDS[2:]])
    lda = GibbsLDA(3, n_sweeps=9, random_state=0).fit(frame)
    assert lda.feature_names_in_.tolist() == list(frame.columns)
    with pytest.raises(ValueError, match="feature names"):
        lda.transform(frame[frame.columns[::-1]])


def test_top_terms_are_named_by_the_bag_or_as_you_say(bag):
    lda = GibbsLDA(3, n_sweeps=30, random_state=0).fit(bag)
    plain = GibbsLDA(3, n_sweeps=30, random_state=0).fit(X)
    assert plain.top_terms(2, WORDS) == lda.top_terms(2)
    assert [[f"word{t}" for t in topic] for topic in plain.top_terms(4)] == lda.top_terms(4)
    by_probability = lda.top_terms(1, relevance_lambda=1)
    assert by_probability == [[WORDS[k]] for k in lda.topic_word_.argmax(axis=1)]
    with pytest.raises(ValueError, match="vocabulary has shape"):
        lda.top_terms(2, WORDS[:3])


def lil(**arrays):
    matrix = sparse.lil_matrix(X.astype(np.float64))
    for name, value in arrays.items():
        getattr(matrix, name)[0] = value
    return matrix


@pytest.mark.parametrize(
    "matrix",
    [lil(rows=[1, 2], data=[1.0, 2.0, 3.0]), lil(rows=[1], data=[]), lil(rows=[100], data=[1.0])],
    ids=["too few columns", "too few values", "a column beyond the last"],
)
def test_a_broken_list_of_lists_is_refused(matrix):
    with pytest.raises(ValueError, match="broken sparse matrix"):
        GibbsLDA(2, n_sweeps=2, random_state=0).fit(matrix)


def test_documents_for_coherence_and_seed_terms_are_looked_at_too():
    matrix = BROKEN["an index far beyond"]
    fitted = GibbsLDA(2, n_sweeps=2, random_state=0).fit(X)
    with pytest.raises(ValueError, match="documents is a broken sparse matrix"):
        fitted.coherence(matrix)
    with pytest.raises(ValueError, match="seed_terms is a broken sparse matrix"):
        GibbsLDA(20, n_sweeps=2, seed_terms=matrix).fit(X)


STRANGE = {
    "bounds beyond 32 bits": "m.indptr = np.append(m.indptr[:-1].astype(np.int64), 2**40)",
    "bounds of another length": "m.indptr = np.append(m.indptr, m.indptr[-1])",
    "indices of fractions": "m.indices = m.indices + 0.5",
    "indices beyond 32 bits": "m.indices = m.indices.astype(np.int64) + 2**33",
    "bounds of fractions": "m.indptr = m.indptr + 0.5",
    "counts that are objects": "m.data = m.data.astype(object)",
    "counts that are texts": "m.data = m.data.astype(str)",
    "counts that are complex": "m.data = m.data + 1j",
    "counts in two dimensions": "m.data = m.data[:, None]",
    "indices in two dimensions": "m.indices = m.indices[None]",
    "counts beyond 64 bits": "m.data = np.full(m.nnz, 2.0**70)",
    "unsigned counts that overflow": "m.data = np.full(m.nnz, 2**64 - 1, dtype=np.uint64)",
    "a shape that was changed": "m._shape = (20, 3)",
    "more rows than bounds": "m._shape = (2000, 6)",
    "a negative shape": "m._shape = (-20, 6)",
    "coordinates that disagree": "m = m.tocoo(); m.coords = (m.row[:-3], m.col)",
    "coordinates beyond the shape": "m = m.tocoo(); m.coords = (m.row + 10**9, m.col)",
    "diagonals": "m = sparse.dia_matrix(m); m.offsets = m.offsets + 100",
    "a dictionary of keys": "m = sparse.dok_matrix(m); m._dict[(99, 99)] = 1.0",
    "blocks": "m = sparse.bsr_matrix(m, blocksize=(2, 2)); m.indices = m.indices + 77",
}


def test_strange_matrices_in_a_process_that_would_die_of_them():
    """Each is refused in words, or fitted as what it says; the process lives to tell."""
    tries = "\n".join(f"attempt({name!r}, {change!r})" for name, change in STRANGE.items())
    code = f"""
import subprocess
import sys
import warnings
import numpy as np
from scipy import sparse
from minillm_lib import GibbsLDA
warnings.simplefilter("ignore")
X = np.random.default_rng(0).poisson(0.8, size=(20, 6))
fitted = GibbsLDA(2, n_sweeps=2, n_chains=1, random_state=0).fit(X)
def attempt(name, change):
    scope = {{"m": sparse.csr_matrix(X.astype(float)), "np": np, "sparse": sparse}}
    try:
        exec(change, scope)
    except (ValueError, TypeError, IndexError) as error:
        print(name, ": SciPy refuses it")
        return
    for use in (GibbsLDA(2, n_sweeps=2, n_chains=1, random_state=0).fit, fitted.transform):
        try:
            use(scope["m"])
            print(name, ": fitted")
        except ValueError as error:
            assert str(error), name
            print(name, ": refused:", error)
{tries}
print("alive")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.endswith("alive\n")
    for name in STRANGE:
        assert f"{name} :" in result.stdout
    fitted = [line.split(" :")[0] for line in result.stdout.splitlines() if line.endswith(": fitted")]
    assert set(fitted) <= MAY_BE_FITTED, result.stdout


MAY_BE_FITTED = {"counts that are objects", "counts that are texts", "diagonals"}


def test_counts_that_cannot_be_written_to_unsorted_and_of_any_type_are_as_good():
    expected = GibbsLDA(2, n_sweeps=3, n_chains=1, random_state=0).fit(X).topic_word_
    for dtype in (np.int8, np.uint16, np.float32, np.int64, bool):
        matrix = sparse.csr_matrix((X > 0).astype(dtype) if dtype is bool else X.astype(dtype))
        backwards = matrix[:, ::-1][:, ::-1]
        backwards.has_sorted_indices = False
        for array in (backwards.data, backwards.indices, backwards.indptr):
            array.flags.writeable = False
        found = GibbsLDA(2, n_sweeps=3, n_chains=1, random_state=0).fit(backwards).topic_word_
        if dtype is not bool:
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("alpha", [[None] * 2, ["a", "b"], [1j, 2], {1, 2}, [[0.1, 0.2], [0.3]]], ids=repr)
def test_an_alpha_that_is_no_number_is_named(alpha):
    with pytest.raises(ValueError, match="alpha"):
        GibbsLDA(2, n_sweeps=2, alpha=alpha).fit(X)


def test_a_vocabulary_of_nothing_is_refused():
    for nothing in (
        np.zeros((5, 0)),
        sparse.csr_matrix((5, 0)),
        SimpleNamespace(counts=sparse.csr_matrix((5, 0)), vocabulary=[]),
    ):
        with pytest.raises(ValueError, match=r"0 feature\(s\)"):
            GibbsLDA(2, n_sweeps=2).fit(nothing)


def test_a_bag_whose_matrix_was_broken_after_the_fit_is_refused_by_what_describes_topics():
    fitted = GibbsLDA(2, n_sweeps=2, n_chains=1, random_state=0).fit(X)
    bag = SimpleNamespace(
        counts=BROKEN["an index far beyond"], vocabulary=np.array(WORDS), meta=[{}] * len(X)
    )
    with pytest.raises(ValueError, match=r"bag\.counts is a broken sparse matrix"):
        summarize_topics(fitted, bag)
