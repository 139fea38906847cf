from __future__ import annotations

import random
from itertools import combinations

import pytest
from hypothesis import given, settings, strategies as st
from paper_lists import abstracts, needs_paper_lists

from minillm_lib.corpora.cleaning.duplicates import Duplicate, deduplicate, find_duplicates, jaccard, shingles
from minillm_lib.corpora.document import Document

WORDS = [f"word{number}" for number in range(300)]
CHINESE = (
    "主题模型把每篇文档看作若干主题的混合，每个主题是词汇上的一个分布。吉布斯采样逐个地重新抽取每个词的主题，"
    "条件是其余所有词的主题都保持不变，从而得到后验分布的样本。"
)


def random_texts(seed: int, number: int = 12, length: int = 60) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=length)) for _ in range(number)]


def edited(text: str, seed: int, changes: int) -> str:
    draw = random.Random(seed)
    words = text.split()
    for position in draw.sample(range(len(words)), changes):
        words[position] = "changed"
    return " ".join(words)


def duplicates_by_brute_force(texts: list[str], threshold: float) -> list[tuple[int, int, float]]:
    kept: list[int] = []
    found = []
    sets = [shingles(text) for text in texts]
    for index, own in enumerate(sets):
        similar = [(jaccard(own, sets[other]), -other) for other in kept]
        similarity, minus_other = max(similar, default=(0.0, 0))
        if similarity >= threshold:
            found.append((index, -minus_other, similarity))
        else:
            kept.append(index)
    return found


def test_shingles_are_runs_of_words_and_of_chinese_characters() -> None:
    assert shingles("The cat, the CAT sat.", 2) == {"the cat", "cat the", "cat sat"}
    assert shingles("吉布斯采样 LDA", 3) == {"吉 布 斯", "布 斯 采", "斯 采 样", "采 样 lda"}
    assert shingles("too short", 5) == {"too short"}
    assert shingles("… !", 5) == set()


@given(st.sets(st.text(max_size=2)), st.sets(st.text(max_size=2)))
def test_jaccard_is_the_share_of_common_elements(a: set[str], b: set[str]) -> None:
    common = sum(element in b for element in a)
    assert jaccard(a, b) == jaccard(b, a)
    assert jaccard(a, b) * (len(a) + len(b) - common) == pytest.approx(common if a or b else 0)


@given(st.integers(0, 10_000), st.sampled_from([0.3, 0.5, 0.8, 0.95, 1.0]))
@settings(max_examples=25, deadline=None)
def test_the_index_finds_what_comparing_all_pairs_finds(seed: int, threshold: float) -> None:
    draw = random.Random(seed)
    texts = random_texts(seed)
    texts += [edited(draw.choice(texts), seed + copy, draw.randrange(12)) for copy in range(12)]
    draw.shuffle(texts)
    found = find_duplicates(texts, threshold=threshold)
    assert [(d.index, d.kept, d.similarity) for d in found] == duplicates_by_brute_force(texts, threshold)


def test_case_punctuation_and_spacing_make_no_difference() -> None:
    texts = ["A Topic Model.", "other words", "a  topic\nmodel!", "ａ topic model"]
    assert find_duplicates(texts) == [Duplicate(2, 0, 1.0, exact=True), Duplicate(3, 0, 1.0, exact=True)]


def test_chinese_texts_are_compared_by_characters() -> None:
    near = CHINESE.replace("若干", "几个")
    far = CHINESE[::-1]
    (duplicate,) = find_duplicates([CHINESE, far, near], threshold=0.7)
    assert (duplicate.index, duplicate.kept, duplicate.exact) == (2, 0, False)
    assert duplicate.similarity == jaccard(shingles(CHINESE), shingles(near)) < 1


def test_empty_texts_are_not_duplicates_of_each_other() -> None:
    assert find_duplicates(["", " ", "…", ""]) == []


def test_the_first_is_kept_and_named() -> None:
    documents = [
        Document(text, source=str(number))
        for number, text in enumerate(["a b c", "d e f", "A b c!", "d e f"])
    ]
    kept, duplicates = deduplicate(documents)
    assert [document.source for document in kept] == ["0", "1"]
    assert [(d.index, d.kept) for d in duplicates] == [(2, 0), (3, 1)]


@pytest.mark.parametrize("options", [{"threshold": 0.0}, {"threshold": 1.5}, {"shingle_size": 0}])
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=name):
        find_duplicates([], **options)


@needs_paper_lists
def test_near_duplicates_planted_in_real_abstracts_are_found_and_only_those() -> None:
    real = [text for year in (2014, 2015) for text in abstracts(year) if len(text) > 400][:400]
    assert duplicates_by_brute_force(real, 0.8) == []
    planted = {position: edited(real[position], seed=position, changes=2) for position in range(0, 400, 10)}
    texts = [*real, *planted.values()]
    found = {d.index: d.kept for d in find_duplicates(texts, threshold=0.7)}
    expected = {index: kept for index, kept, _ in duplicates_by_brute_force(texts, 0.7)}
    assert found == expected
    assert found == {400 + number: position for number, position in enumerate(planted)}


@needs_paper_lists
def test_the_public_list_gives_some_papers_of_the_nineties_the_abstract_of_another() -> None:
    pairs = [(d.index, d.kept) for d in find_duplicates(abstracts(1997))]
    assert len(pairs) >= 3
    assert all(jaccard(shingles(abstracts(1997)[a]), shingles(abstracts(1997)[b])) >= 0.8 for a, b in pairs)


def test_no_pair_of_unrelated_texts_is_reported() -> None:
    texts = random_texts(seed=5, number=60)
    assert max(jaccard(shingles(a), shingles(b)) for a, b in combinations(texts, 2)) < 0.1
    assert find_duplicates(texts, threshold=0.3) == []
