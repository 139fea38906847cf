"""Words that stay whole, in English and Chinese, however the text comes in pieces."""

from __future__ import annotations

import textwrap

import pytest
from rich.cells import cell_len

from minillm_lib.io.word_wrap import WordWrapper

ENGLISH = (
    "LDA is a topic model: it describes each document as a mixture of topics, and each topic as words. " * 3
)
CHINESE = "主题模型（topic model）把每篇文档看作若干主题的混合：“主题”是词的概率分布，常用于文本分析。" * 3


def wrapped(text, columns, size=3):
    wrapper = WordWrapper(lambda: columns)
    pieces = [wrapper.add(text[start : start + size]) for start in range(0, len(text), size)]
    return "".join(pieces) + wrapper.rest()


@pytest.mark.parametrize("columns", [9, 17, 40, 80])
@pytest.mark.parametrize("size", [1, 4, 1000])
def test_english_is_wrapped_as_the_standard_library_does_it(columns, size):
    expected = textwrap.fill(ENGLISH.strip(), columns, break_on_hyphens=False)
    assert wrapped(ENGLISH, columns, size) == expected


@pytest.mark.parametrize("columns", [11, 20, 40, 79])
def test_chinese_is_wrapped_at_any_character_but_marks_stay_where_they_belong(columns):
    lines = wrapped(CHINESE, columns).split("\n")
    assert "".join(lines).replace(" ", "") == CHINESE.replace(" ", "")
    assert all(columns - 8 <= cell_len(line) <= columns or columns < 20 for line in lines[:-1])
    assert max(map(cell_len, lines)) <= columns
    assert not any(line[0] in "，。）：”" or line[-1] in "（“" for line in lines)


def test_a_word_longer_than_a_line_is_parted():
    assert wrapped("see https://example.org/abcdef now", 10) == "see\nhttps://ex\nample.org/\nabcdef now"


def test_no_more_than_a_line_is_held_back():
    wrapper = WordWrapper(lambda: 10)
    shown = "".join(wrapper.add("x") for _ in range(35))
    assert shown == "\n".join(["x" * 10] * 3)
    assert wrapper.rest() == "\nxxxxx"


def test_line_breaks_indentation_and_inner_spaces_stay():
    text = "a  b\n\n  - one\n\tx = 1\n    \nend"
    assert wrapped(text, 40) == "a  b\n\n  - one\n    x = 1\n\nend"


def test_characters_made_of_several_stay_whole():
    family = "👨\u200d👩\u200d👧"
    assert any(family in line for line in wrapped(f"一二三四{family}五六", 9).split("\n"))
    assert "e\u0301" in wrapped("aaaae\u0301", 5)


def test_the_width_may_change_in_the_middle():
    columns = [20]
    wrapper = WordWrapper(lambda: columns[0])
    text = wrapper.add("one two three four ")
    columns[0] = 10
    text += wrapper.add("five six seven") + wrapper.rest()
    assert text == "one two three four\nfive six\nseven"
