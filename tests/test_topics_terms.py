from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings, strategies as st

from minillm_lib.topics.terms import (
    TermRecipe,
    default_stop_words,
    find_phrases,
    han_share,
    is_stop_word,
    join_phrases,
    lemma,
    normalized_pointwise_mutual_information,
    split_words,
    unite_spellings,
)

WORD = st.sampled_from(["deep", "neural", "network", "gradient", "descent", None])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Deep Neural-Network (DNN) training.", ["deep", "neural", "network", None, "dnn", None, "training"]),
        ("Stein's method; they don't mix", ["stein", "method", None, "they", "don", "mix"]),
        ("k-means, Q-learning and k-NN", ["k-means", None, "q-learning", "and", "k-nn"]),
        ("semi-supervised non-convex", ["semi-supervised", "non-convex"]),
        ("end-to-end bag-of-words", ["end-to-end", "bag-of-words"]),
        ("the state of the art", ["the", "state-of-the-art"]),
        ("CIFAR-10, 3D", ["cifar-10", None, "3d"]),
        ("Kullback–Leibler", ["kullback", "leibler"]),
        ("see http://a.org/x-y?z=1 now", ["see", None, "now"]),
        ("snake_case", ["snake", "case"]),
        ("ﬁne ＬＤＡ x²", ["fine", "lda", "x2"]),
        ("Über naïve Wörter", ["über", "naïve", "wörter"]),
        ("", []),
    ],
)
def test_words_of_a_text(text: str, words: list[str | None]) -> None:
    assert split_words(text) == words


def test_chinese_is_segmented_and_english_in_it_is_kept(capfd: pytest.CaptureFixture[str]) -> None:
    words = split_words("基于K-means的主题模型，在GPU上训练。", segment_chinese=True)
    assert words == ["基于", "k-means", None, "主题", "模型", None, None, "gpu", None, "训练"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("word", "singular"),
    [
        ("networks", "network"),
        ("matrices", "matrix"),
        ("hypotheses", "hypothesis"),
        ("axes", "axis"),
        ("criteria", "criterion"),
        ("non-gaussian", "non-gaussian"),
        ("sub-networks", "sub-network"),
        ("m-estimators", "m-estimator"),
        *(
            (word, word)
            for word in [
                "data",
                "learning",
                "clustering",
                "regularized",
                "bayes",
                "loss",
                "statistics",
                "k-means",
                "bias",
            ]
        ),
        *((word, word) for word in ["better", "lens", "analysis", "series", "dynamics", "physics", "gibbs"]),
    ],
)
def test_plurals_become_singular_and_terms_stay_terms(word: str, singular: str) -> None:
    assert lemma(word) == singular


def test_stop_words_cover_their_inflected_forms_but_not_words_of_the_subject() -> None:
    stop_words = default_stop_words("en")
    for word in ["the", "proposed", "proposing", "proposes", "papers", "don", "state-of-the-art", "results"]:
        assert is_stop_word(word, stop_words), word
    for word in ["system", "fire", "learning", "training", "network", "mean", "optimal"]:
        assert not is_stop_word(word, stop_words), word
    assert "我们" in default_stop_words("zh")
    assert stop_words < default_stop_words("auto")


def test_spellings_go_to_the_most_frequent_one_that_occurs() -> None:
    counts = {
        "non-convex": 5,
        "nonconvex": 2,
        "optimisation": 9,
        "optimization": 3,
        "rnns": 4,
        "rnn": 1,
        "four": 9,
        "for": 5,
    }
    counts |= {
        "gaussians": 1,
        "gaussian": 7,
        "hour": 3,
        "behaviour": 2,
        "noise": 3,
        "lens": 5,
        "len": 1,
        "sub-gaussians": 1,
    }
    united = unite_spellings(counts)
    assert united == {
        "nonconvex": "non-convex",
        "optimization": "optimisation",
        "rnns": "rnn",
        "gaussians": "gaussian",
    }


@given(
    st.dictionaries(st.from_regex(r"(re-?)?(modell?|our|ise){1,2}(ed|s)?", fullmatch=True), st.integers(1, 5))
)
def test_united_spellings_are_final(counts: dict[str, int]) -> None:
    united = unite_spellings(counts)
    assert not set(united.values()) & set(united)
    assert set(united) | set(united.values()) <= set(counts)


def test_npmi_is_1_for_inseparable_words_0_for_independent_and_below_0_for_repelling_ones() -> None:
    npmi = normalized_pointwise_mutual_information
    assert npmi(10, 10, 10, 1000) == pytest.approx(1)
    assert npmi(10, 100, 100, 1000) == pytest.approx(0)
    assert npmi(1, 100, 100, 1000) < 0
    assert npmi(20, 50, 40, 1000) == pytest.approx(math.log(0.02 / (0.05 * 0.04)) / -math.log(0.02))


def test_planted_collocations_are_found_and_chance_neighbours_are_not() -> None:
    topics = ["image", "policy", "kernel", "graph", "speech", "bound", "market", "gene"]
    documents: list[list[str | None]] = []
    for number in range(200):
        a, b = topics[number % 8], topics[number * 3 % 7]
        documents.append(
            [
                a,
                b,
                "stochastic",
                "gradient",
                "descent",
                None,
                b,
                "gradient",
                "descent",
                a,
                "neural",
                None,
                "network",
            ]
        )
    found = find_phrases(documents, min_count=50, min_npmi=0.5)
    assert found == {"stochastic gradient descent", "gradient descent"}


def test_the_longest_phrase_wins_from_the_left_and_none_crosses_a_gap() -> None:
    phrases = {"gradient descent", "stochastic gradient descent", "descent method"}
    words = ["stochastic", "gradient", "descent", "method", None, "gradient", None, "descent", "method"]
    assert join_phrases(words, phrases) == [
        "stochastic gradient descent",
        "method",
        None,
        "gradient",
        None,
        "descent method",
    ]


@given(st.lists(WORD), st.sets(st.lists(WORD.filter(bool), min_size=2, max_size=3).map(" ".join)))
def test_joining_phrases_loses_and_reorders_nothing(words: list[str | None], phrases: set[str]) -> None:
    joined = join_phrases(words, phrases)
    assert [part for term in joined for part in (term.split(" ") if term else [None])] == words


@given(st.text())
@settings(deadline=None)
def test_a_recipe_gives_words_for_any_text_and_counts_what_it_drops(text: str) -> None:
    recipe = TermRecipe("auto", stop_words=default_stop_words("auto"))
    dropped: Counter[str] = Counter()
    words = recipe.words(text, dropped)
    assert all(word is None or len(word) > 1 for word in words)
    assert all(term and term == term.lower() for term in recipe.terms(text))


def test_automatic_language_looks_at_the_script_of_each_document() -> None:
    assert han_share("abc 主") == 0.25
    assert han_share("1, 2") == 0
    recipe = TermRecipe("auto")
    assert recipe.terms("神经网络的训练") == ["神经网络", "训练"]
    english = "Training of neural networks is called 神经网络的训练 in Chinese"
    assert han_share(english) < 0.2
    assert "神经网络的训练" in recipe.terms(english)


def test_a_chinese_phrase_is_written_without_a_space() -> None:
    assert TermRecipe("zh", phrases=frozenset(["主题 模型"])).terms("主题模型") == ["主题模型"]


def test_a_recipe_survives_json() -> None:
    recipe = TermRecipe("zh", False, frozenset({"的"}), {"a": "b"}, frozenset({"x y"}), ("encoding",))
    assert TermRecipe.from_dict(recipe.to_dict()) == recipe
