"""Models on disk: the same after as before, small, and refused where something is wrong."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy import sparse

from minillm_lib import GibbsLDA, load_neurips
from minillm_lib.io.array_file import ArrayFileError, read_arrays, write_arrays
from minillm_lib.topics.stability import match_chains

RESULTS = (
    *("topic_word_", "components_", "doc_topic_", "z_", "log_likelihoods_", "alpha_", "beta_", "n_tokens_"),
    *("best_chain_", "stability_", "matches_", "match_overlap_", "r_hat_", "n_features_in_"),
)
X = np.random.default_rng(0).poisson(0.4, size=(60, 40))


@pytest.fixture(scope="module")
def bag():
    return load_neurips()


@pytest.fixture
def saved(tmp_path):
    """A small model, and the file that it is in."""
    lda = GibbsLDA(4, n_sweeps=10, n_chains=2, random_state=0).fit(X)
    lda.save(tmp_path / "model.lda")
    return lda, tmp_path / "model.lda"


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_chains": 3, "learn_alpha": True, "learn_beta": True, "shown": "consensus"},
        {"n_chains": 2, "n_topics": 40, "alpha": np.linspace(0.1, 1, 40), "seed_terms": np.eye(40)},
        {"n_chains": 2, "random_state": np.random.default_rng(3), "n_transform_sweeps": np.int64(7)},
    ],
    ids=["learned priors, consensus", "seeds, array of alpha", "a generator, a number of numpy"],
)
def test_a_loaded_model_is_the_saved_one_bit_for_bit(tmp_path, parameters):
    parameters = {"n_topics": 5, "n_sweeps": 20, "random_state": 1, **parameters}
    lda = GibbsLDA(**parameters).fit(X)
    lda.save(tmp_path / "model")
    loaded = GibbsLDA.load(str(tmp_path / "model"))
    for name in RESULTS:
        np.testing.assert_array_equal(getattr(loaded, name), getattr(lda, name), err_msg=name)
    np.testing.assert_array_equal(loaded.transform(X[:20] * 2), lda.transform(X[:20] * 2))
    assert loaded.perplexity(X) == lda.perplexity(X)
    assert loaded.top_terms() == lda.top_terms()
    for name in ("n_topics", "n_sweeps", "learn_alpha", "shown", "n_transform_sweeps"):
        assert getattr(loaded, name) == getattr(lda, name)
    for ours, theirs in zip(loaded.chains_, lda.chains_, strict=True):
        np.testing.assert_array_equal(ours.log_likelihoods, theirs.log_likelihoods)
        np.testing.assert_array_equal(ours.alpha, theirs.alpha)
        assert ours.beta == theirs.beta
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes()


def test_a_loaded_model_can_be_fitted_again_and_pickled(saved):
    lda, path = saved
    loaded = GibbsLDA.load(path)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(loaded)).topic_word_, lda.topic_word_)
    np.testing.assert_array_equal(loaded.fit(X).topic_word_, lda.topic_word_)


def test_the_vocabulary_of_a_bag_travels_along(bag, tmp_path):
    lda = GibbsLDA(5, n_sweeps=20, n_chains=2, random_state=0).fit(bag)
    lda.save(tmp_path / "model")
    loaded = GibbsLDA.load(tmp_path / "model")
    assert loaded.top_terms() == lda.top_terms()
    np.testing.assert_array_equal(loaded.feature_names_in_, bag.vocabulary)
    np.testing.assert_array_equal(loaded.transform(bag), lda.transform(bag.counts))


def test_a_model_of_one_chain_stays_one(tmp_path):
    GibbsLDA(3, n_sweeps=10, n_chains=1, random_state=0).fit(X).save(tmp_path / "model")
    assert not hasattr(GibbsLDA.load(tmp_path / "model"), "stability_")


def test_other_chains_topics_are_not_kept_and_the_chain_says_so(saved):
    _, path = saved
    (chain, _) = GibbsLDA.load(path).chains_
    assert not hasattr(chain, "topic_word")
    with pytest.raises(AttributeError, match="a saved model keeps the topics that it shows"):
        _ = chain.doc_topic
    with pytest.raises(AttributeError, match="no attribute 'colour'"):
        _ = chain.colour


def test_the_file_is_small_and_has_no_pickle(bag, tmp_path):
    lda = GibbsLDA(10, n_sweeps=30, random_state=0).fit(bag)
    lda.save(tmp_path / "model")
    content = (tmp_path / "model").read_bytes()
    assert len(content) < lda.topic_word_.nbytes + lda.doc_topic_.nbytes
    first = content.split(b"\n", 1)[0].split(b" ")
    assert first[:3] == [b"minillm-lib", b"lda-model", b"1"]
    assert len(first[3]) == 64
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("place", [70, 100, 300, -1])
def test_any_flipped_bit_is_noticed(saved, place):
    _, path = saved
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)
    with pytest.raises(ArrayFileError, match="damaged or incomplete"):
        GibbsLDA.load(path)


@pytest.mark.parametrize("length", [0, 5, 50, 120, 1_000, -1])
def test_a_file_that_is_cut_is_refused(saved, length):
    _, path = saved
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ArrayFileError, match=r"damaged or incomplete|is not a file of the kind 'lda-model'"):
        GibbsLDA.load(path)


def test_foreign_and_newer_files_are_refused_in_words(saved, tmp_path):
    lda, path = saved
    with pytest.raises(FileNotFoundError):
        GibbsLDA.load(tmp_path / "none")
    (tmp_path / "pickle").write_bytes(pickle.dumps(lda))
    with pytest.raises(ArrayFileError, match="not a file of the kind 'lda-model' that minillm-lib writes"):
        GibbsLDA.load(tmp_path / "pickle")
    write_arrays(tmp_path / "other", "lda-checkpoint", 1, {}, {})
    with pytest.raises(ArrayFileError, match="is of the kind 'lda-checkpoint', not 'lda-model'"):
        GibbsLDA.load(tmp_path / "other")
    write_arrays(tmp_path / "empty", "lda-model", 1, {}, {})
    with pytest.raises(ArrayFileError, match="lacks a part of a model"):
        GibbsLDA.load(tmp_path / "empty")
    path.write_bytes(path.read_bytes().replace(b"lda-model 1 ", b"lda-model 2 ", 1))
    with pytest.raises(ArrayFileError, match="version 2 of 'lda-model', but this minillm-lib reads up to 1"):
        GibbsLDA.load(path)


def test_only_a_fitted_model_can_be_saved_and_an_earlier_file_survives_a_failure(saved, monkeypatch):
    lda, path = saved
    before = path.read_bytes()
    with pytest.raises(AttributeError, match="not fitted"):
        GibbsLDA().save(path)
    monkeypatch.setattr(lda, "alpha_", np.array([object()]))
    with pytest.raises(TypeError, match="cannot be written"):
        lda.save(path)
    assert path.read_bytes() == before


def test_matches_saved_are_those_of_the_chains(saved):
    lda, path = saved
    expected = match_chains([chain.topic_word for chain in lda.chains_])
    np.testing.assert_array_equal(GibbsLDA.load(path)._matched.agreement, expected.agreement)
    assert sparse.issparse(GibbsLDA.load(path)._doc_topic_matrix)


def test_one_flipped_bit_anywhere_is_noticed(saved):
    _, path = saved
    content = path.read_bytes()
    for bit in np.random.default_rng(0).integers(len(content) * 8, size=100).tolist():
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(ArrayFileError):
            GibbsLDA.load(path)


HAND_MADE = {
    "topics that are no numbers": (
        "topic_word",
        lambda a: a * np.nan,
        "topic_word has numbers that are infinite",
    ),
    "topics that do not add up": ("topic_word", lambda a: a * 2, "its topic_word is not that of a model"),
    "terms of other topics": ("components", lambda a: a[:1], "components is"),
    "a negative prior": ("alpha", lambda a: -a, "alpha is -0.1"),
    "assignments to no topic": ("z", lambda a: a + 100, "its z is not"),
    "documents beyond the last topic": ("doc_topic_indices", lambda a: a + 100, "broken sparse matrix|ind"),
    "bounds that go back": ("doc_topic_indptr", lambda a: a[::-1].copy(), "broken sparse matrix|ind"),
    "no chains": ("chain_log_likelihoods", lambda a: a[:0], "chain_alphas is"),
    "matches of other topics": ("matches", lambda a: a[:, :1], "matches is"),
    "one number": ("topic_word", lambda a: a[0, 0], "unpack"),
    "names of other terms": ("names", lambda _: ["one"], "its names is not"),
    "a chain that is not there": ("central", lambda _: 7, "its central is not"),
    "a seed that is none": ("seed", lambda _: "x", "its seed is not"),
    "a parameter that does not exist": ("parameters", lambda p: p | {"colour": 1}, "colour"),
    "a parameter out of range": (
        "parameters",
        lambda p: p | {"n_transform_sweeps": -1},
        "n_transform_sweeps",
    ),
}


@pytest.mark.parametrize("name", HAND_MADE)
def test_a_file_made_by_hand_is_refused_though_its_hash_is_right(saved, name):
    _, path = saved
    facts, arrays = read_arrays(path, "lda-model", 1)
    part, change, message = HAND_MADE[name]
    for parts in (facts, arrays):
        if part in parts:
            parts[part] = change(parts[part])
    write_arrays(path, "lda-model", 1, facts, arrays, compress=True)
    with pytest.raises(ArrayFileError, match=message):
        GibbsLDA.load(path)


def test_every_part_is_needed(saved):
    _, path = saved
    facts, arrays = read_arrays(path, "lda-model", 1)
    for part in (*facts, *arrays):
        left = [{name: value for name, value in parts.items() if name != part} for parts in (facts, arrays)]
        write_arrays(path, "lda-model", 1, *left, compress=True)
        with pytest.raises(ArrayFileError, match=r"lacks a part|no model that was saved"):
            GibbsLDA.load(path)
