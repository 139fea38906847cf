"""Each edit repairs its own kind of error, each test finds its own kind, and good text passes unchanged."""

from __future__ import annotations

import unicodedata
from collections import Counter

import pytest
from hypothesis import given, settings, strategies as st
from paper_lists import abstracts, needs_paper_lists

from minillm_lib.corpora.cleaning.duplicates import text_units
from minillm_lib.corpora.cleaning.filters import (
    GOPHER_LIMITS,
    language_test,
    length_test,
    remove_control_characters,
    repetition_shares,
    repetition_test,
    tidy_blank_lines,
)
from minillm_lib.corpora.cleaning.repair import undo_mojibake

ENGLISH = (
    "A topic model describes each document as a mixture of topics, and each topic as a distribution over words. "
    "Gibbs sampling draws the topic of one word at a time, given the topics of all the others."
)
CHINESE = (
    "主题模型把每篇文档看作若干主题的混合，每个主题是词汇上的一个分布。吉布斯采样逐个地重新抽取每个词的主题。"
)
WORDS = [f"word{number}" for number in range(60)]
EDITS = [undo_mojibake, remove_control_characters, tidy_blank_lines]


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize(
    "text", [ENGLISH, CHINESE, "def f(x):\n\treturn [\n    x,\n]", "naïve 👩‍🔬 “quoted” … ½ ﬁ"]
)
def test_good_text_is_left_as_it_is(edit, text):
    assert edit(text) == text


@pytest.mark.parametrize("original", ["you’re – naïve", "Schrödinger’s café", "吉布斯采样", "“quoted”"])
def test_text_decoded_in_the_wrong_encoding_is_decoded_rightly(original):
    assert undo_mojibake(original.encode().decode("latin-1")) == original


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8") | st.characters(categories=["Cc", "Cs", "Cf"])))
def test_no_control_character_but_tab_and_line_feed_is_left_and_no_other_character_goes(text):
    cleaned = remove_control_characters(text.replace("\x1b", ""))
    assert {c for c in cleaned if unicodedata.category(c) in ("Cc", "Cs")} <= {"\n", "\t"}
    cleaned.encode()
    printed = [c for c in text if unicodedata.category(c)[0] in "LMNPS"]
    assert [c for c in cleaned if unicodedata.category(c)[0] in "LMNPS"] == printed


def test_terminal_colours_and_line_breaks_of_all_kinds():
    assert (
        remove_control_characters("\x1b[31mred\x1b[0m\r\nnext\rthird\u2028fourth")
        == "red\nnext\nthird\nfourth"
    )


@given(st.text("ab \t\n\u3000", max_size=40))
def test_blank_lines_are_tidied_and_nothing_printed_is_lost(text):
    tidied = tidy_blank_lines(text)
    assert "".join(tidied.split()) == "".join(text.split())
    assert "\n\n\n" not in tidied
    assert all(line == line.rstrip() for line in tidied.split("\n"))
    assert tidy_blank_lines(tidied) == tidied


def shares_by_the_definition(words, n):
    """The shares of the most frequent and of the repeated n-grams, character by character."""
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    counts = Counter(grams)
    most = max(counts.values(), default=0)
    top = 0
    if most > 1:
        top = max(most * sum(map(len, gram)) for gram, count in counts.items() if count == most)
    covered = {i + k for i, gram in enumerate(grams) if gram in grams[:i] for k in range(n)}
    total = max(sum(map(len, words)), 1)
    return min(top / total, 1), sum(len(words[i]) for i in covered) / total


@given(st.lists(st.sampled_from(["a", "bb", "ccc"]), max_size=40))
def test_the_shares_of_ngrams_follow_their_definition(words):
    shares = repetition_shares(" ".join(words))
    for n in range(2, 5):
        assert shares[f"most frequent {n}-gram"] == pytest.approx(shares_by_the_definition(words, n)[0])
    for n in range(5, 11):
        assert shares[f"duplicate {n}-grams"] == pytest.approx(shares_by_the_definition(words, n)[1])
    assert all(0 <= share <= 1 for share in shares.values())
    assert set(shares) == set(GOPHER_LIMITS)


def test_the_shares_of_lines_and_paragraphs():
    shares = repetition_shares("one\ntwo\n\none\n\nfour4\n\none")
    assert shares["duplicate lines"] == 2 / 5
    assert shares["characters in duplicate lines"] == pytest.approx(6 / 17)
    assert shares["duplicate paragraphs"] == 1 / 4
    assert shares["characters in duplicate paragraphs"] == pytest.approx(3 / 18)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("\n".join([" ".join(WORDS), *["see the page"] * 8]), "duplicate lines"),
        ("\n\n".join([*(f"{w} {w}x\n{w}y" for w in WORDS[:20]), *["see\nthis"] * 10]), "duplicate"),
        (" ".join(f"{word} buy now" for word in WORDS), "most frequent 2-gram"),
        (" ".join([*WORDS, *WORDS]), "duplicate 5-grams"),
        (CHINESE * 3, "most frequent 4-gram"),
    ],
)
def test_repetition_is_found(text, kind):
    assert repetition_test()(text).kind.startswith(kind)


@pytest.mark.parametrize("text", [ENGLISH, CHINESE, " ".join(WORDS), "buy now buy now", ""])
def test_text_without_repetition_or_too_short_to_judge_passes(text):
    assert repetition_test()(text) is None


@needs_paper_lists
def test_of_real_abstracts_next_to_none_goes():
    texts = [text for year in range(2013, 2018) for text in abstracts(year)]
    assert len(texts) == 2420
    assert sum(repetition_test()(text) is not None for text in texts) == 8


def test_the_limits_of_repetition_can_be_set():
    twice = " ".join([*WORDS, *WORDS])
    assert repetition_test({"duplicate 5-grams": 0.6})(twice) is None
    assert repetition_test({"duplicate 5-grams": 0.4})(twice).kind == "duplicate 5-grams"
    with pytest.raises(ValueError, match=r"'duplicate 4-grams'; allowed values: .*'duplicate 5-grams'"):
        repetition_test({"duplicate 4-grams": 0.1})


@given(st.text(max_size=30), st.integers(0, 10), st.integers(0, 10))
def test_length_is_between_the_bounds(text, least, more):
    test = length_test(min_characters=least, max_characters=least + more, min_words=0)
    assert (test(text) is None) == (least <= len(text) <= least + more)
    test = length_test(min_characters=0, min_words=least, max_words=least + more)
    assert (test(text) is None) == (least <= len(text_units(text)) <= least + more)


def test_a_removal_says_why():
    assert length_test()("short").kind == "too few characters"
    assert length_test(max_words=9)(CHINESE).kind == "too many words"
    assert "allowed are 20" in length_test()("short").detail
    assert language_test()("Это не английский текст").kind == "language: other"
    assert language_test(["zh"])(ENGLISH).kind == "language: en"


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match="'de' cannot be identified; allowed values: 'en', 'zh'"):
        language_test(["en", "de"])
    with pytest.raises(ValueError, match="min_words is 10 and max_words is 5"):
        length_test(min_words=10, max_words=5)
