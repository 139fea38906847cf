"""Stop words of every language that has a list, and only words that say nothing of a subject."""

from __future__ import annotations

import pytest
import stopwordsiso

from minillm_lib.topics.terms import TermRecipe
from minillm_lib.topics.words.stop_words import default_stop_words, is_stop_word


def test_stop_words_cover_their_inflected_forms_but_not_words_of_the_subject() -> None:
    stop_words = default_stop_words("en", abstracts=True)
    for word in ["the", "proposed", "proposing", "proposes", "papers", "don", "state-of-the-art", "results"]:
        assert is_stop_word(word, stop_words), word
    for word in ["system", "fire", "learning", "training", "network", "mean", "optimal"]:
        assert not is_stop_word(word, stop_words), word


def test_the_filler_of_abstracts_is_a_list_of_its_own() -> None:
    general = default_stop_words("en")
    assert general < default_stop_words("en", abstracts=True)
    filler = ["literature", "evidence", "property", "report", "author", "work", "popular", "propose", "paper"]
    assert general.isdisjoint(filler)
    assert general >= {"the", "however", "furthermore", "et", "al", "don"}


@pytest.mark.parametrize("language", sorted(stopwordsiso.langs() - {"en"}))
def test_every_language_with_a_list_has_stop_words(language: str) -> None:
    listed = stopwordsiso.stopwords(language)
    assert len(listed & default_stop_words(language)) > len(listed) / 2


def test_english_words_are_dropped_from_texts_of_other_scripts_only() -> None:
    assert {"the", "我们"} <= default_stop_words("zh")
    assert "the" in default_stop_words("ru")
    assert "the" not in default_stop_words("es")
    # "die" is an article in German and a verb in English.
    assert "die" in default_stop_words("de")
    assert "die" not in default_stop_words("en")


def test_traditional_characters_and_vowel_marks_do_not_hide_a_stop_word() -> None:
    assert is_stop_word("我們", default_stop_words("zh"), "zh")
    assert is_stop_word("مِنَ", default_stop_words("ar"), "ar")


def test_subjects_are_no_stop_words() -> None:
    for language, words in {"ru": "москва дом книга ребенок", "it": "città uomo", "pt": "sistema"}.items():
        assert default_stop_words(language).isdisjoint(words.split())


@pytest.mark.parametrize("language", ["auto", "xx"])
def test_a_language_without_words_is_refused(language: str) -> None:
    with pytest.raises(ValueError, match=f"'{language}'"):
        default_stop_words(language)


@pytest.mark.parametrize(
    ("language", "words"), [("el", "είναι αυτό ότι ΟΤΙ έχει αλλά"), ("ro", "și şi acești aceşti")]
)
def test_accents_and_old_letters_do_not_hide_a_stop_word(language: str, words: str) -> None:
    recipe = TermRecipe.make(language)
    assert recipe.terms(words) == []
