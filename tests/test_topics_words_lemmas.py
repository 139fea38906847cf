"""Words that are one term: their lemmas and spellings."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from minillm_lib.topics.words.lemmas import lemma, lower, unite_spellings


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


def test_numbers_are_left_as_they_are_written() -> None:
    assert [lemma(word) for word in ("1990s", "2000s", "mp3s")] == ["1990s", "2000s", "mp3s"]


def test_greek_capitals_without_accents_are_the_same_words() -> None:
    assert unite_spellings({"ελλαδα": 1, "ελλάδα": 3}, "el") == {"ελλαδα": "ελλάδα"}


def test_spellings_of_other_languages_are_united_by_their_marks_only() -> None:
    assert unite_spellings({"dios": 3, "dio": 9, "non-linear": 2, "nonlinear": 3}, "es") == {}
    assert unite_spellings({"مُحَمَّد": 1, "محمد": 5}, "ar") == {"مُحَمَّد": "محمد"}
    assert unite_spellings({"צה״ל": 4, 'צה"ל': 2}, "he") == {'צה"ל': "צה״ל"}


@pytest.mark.parametrize(
    ("language", "word", "dictionary_form"),
    [
        ("de", "Bäume", "baum"),
        ("de", "HÄUSER", "haus"),
        ("fr", "Paris", "paris"),
        ("fr", "chevaux", "cheval"),
        ("fi", "Helsingissä", "helsinki"),
        ("ru", "людей", "человек"),
        ("hi", "गाड़ी", "गाड़ी"),
        ("hi", "गाड़ियों", "गाड़ी"),
        ("fa", "کتاب\u200cها", "کتاب"),
        ("id", "anak-anak", "anak-anak"),
        ("ta", "புத்தகங்கள்", "புத்தகங்கள்"),
        ("ru", "networks", "network"),
        ("de", "k-means", "k-means"),
        ("de", "gpt4", "gpt4"),
    ],
)
def test_lemmas_of_other_languages(language: str, word: str, dictionary_form: str) -> None:
    assert lemma(word, language) == dictionary_form


@pytest.mark.parametrize(
    ("language", "text", "small"),
    [
        ("tr", "IŞIK İzmir", "ışık izmir"),
        ("en", "IT İzmir", "it izmir"),
        ("de", "STRAẞE Straße", "straße straße"),
        ("el", "ΟΔΟΣ", "οδος"),
        ("chr", "ᏣᎳᎩ", "ᏣᎳᎩ"),
    ],
)
def test_small_letters(language: str, text: str, small: str) -> None:
    assert lower(text, language) == small
