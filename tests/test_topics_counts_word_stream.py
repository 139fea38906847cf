from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from minillm_lib.corpora.document import Document
from minillm_lib.topics import document_term
from minillm_lib.topics.counts import word_stream
from minillm_lib.topics.counts.word_stream import NumberedWords, Splitting, number_words
from minillm_lib.topics.document_term import BagOfWords, bag_of_words
from minillm_lib.topics.terms import TermRecipe

WORDS = ["neural", "network", "networks", "gradient", "descent", "colour", "color", "the", "of", "kernel"]
WORDS += ["$x$", "bayes", "神经网络", "数据", "字"]
ENGLISH = "The networks learn from the data, and the houses stand near the river."
GERMAN = "Die Netze lernen aus den Daten, und die Häuser stehen am Fluss."


def texts(n: int, seed: int = 0) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=chance.randrange(9))) for _ in range(n)]


def assert_equal(one: NumberedWords, other: NumberedWords) -> None:
    assert vars(one).keys() == vars(other).keys()
    for name, value in vars(one).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, getattr(other, name))
        else:
            assert value == getattr(other, name), name


def assert_equal_bags(one: BagOfWords, other: BagOfWords) -> None:
    assert one.vocabulary.tolist() == other.vocabulary.tolist()
    assert (one.counts != other.counts).nnz == 0
    assert (one.meta, one.report, one.recipe) == (other.meta, other.report, other.recipe)


@given(st.integers(0, 40), st.integers(1, 50), st.integers(1, 400), st.integers(0, 5))
@settings(max_examples=40)
def test_chunks_of_any_size_give_the_same_words(n: int, documents: int, characters: int, seed: int) -> None:
    splitting = Splitting(TermRecipe.make(), find_languages=True, find_copies=True, snippet_length=9)
    expected = number_words(texts(n, seed), splitting, n_jobs=1)
    found = number_words(
        iter(texts(n, seed)), splitting, n_jobs=1, chunk_documents=documents, chunk_characters=characters
    )
    assert found[0] == expected[0]
    assert_equal(found[1], expected[1])


def test_several_processes_give_the_same_bag(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [*texts(300), GERMAN, "Die Netze lernen aus vielen Daten."]
    expected = bag_of_words(documents, phrase_min_count=2, snippet_length=20, n_jobs=1)
    small = partial(word_stream.number_words, chunk_documents=37)
    monkeypatch.setattr(document_term, "number_words", small)
    found = bag_of_words(iter(documents), phrase_min_count=2, snippet_length=20, n_jobs=2)
    assert_equal_bags(found, expected)
    assert_equal_bags(found.encode(iter(documents), n_jobs=2), expected.encode(documents, n_jobs=1))


@pytest.mark.parametrize("language", ["en", "auto"])
def test_a_stream_is_read_once(language: str) -> None:
    read: list[int] = []

    def stream() -> Iterator[str]:
        for number, text in enumerate(texts(200)):
            read.append(number)
            yield text

    bag = bag_of_words(stream(), language=language, n_jobs=1)
    assert read == list(range(200))
    assert_equal_bags(bag, bag_of_words(texts(200), language=language, n_jobs=1))


@pytest.mark.parametrize("language", ["en", pytest.param("auto", marks=pytest.mark.slow)])
def test_the_texts_are_not_kept(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_stream, "_SPOOL_IN_MEMORY", 1_000_000)

    def stream() -> Iterator[str]:
        for number in range(5_000):
            yield f"{ENGLISH} {number % 89}x {' ' * 4_000}"

    bag_of_words([ENGLISH, GERMAN], language=language, min_df=1, max_df=1.0, n_jobs=1)  # loads dictionaries
    size = sum(map(len, stream()))
    tracemalloc.start()
    try:
        bag_of_words(stream(), language=language, repairs=(), deduplicate=False, max_df=1.0, n_jobs=1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 20_000_000
    assert peak < 0.7 * size


def test_a_sample_of_all_documents_says_which_languages_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_stream, "_N_SAMPLED", 100)
    documents = [f"{ENGLISH} {i}." for i in range(300)] + [f"{GERMAN} {i}." for i in range(100)]
    splitting = Splitting(TermRecipe.make(), find_languages=True)
    for order in (documents, documents[::-1]):
        recipe, words = number_words(iter(order), splitting, n_jobs=1, chunk_documents=50)
        assert recipe.languages == ("en", "de")
        codes = [words.language_codes[number] for number in words.languages]
        assert sorted(codes) == ["de"] * 100 + ["en"] * 300


def test_what_is_beyond_the_limit_of_near_duplicates_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_stream, "MOST_SHINGLES", 100)
    common = [" ".join(f"word{10 * i + j}" for j in range(24)) for i in range(5)]
    documents = [*common, f"{common[0]} more", common[1], f"{common[2]} more"]
    with pytest.warns(UserWarning, match="duplicates"):
        bag = bag_of_words(documents, min_df=1, max_df=1.0, language="en")
    steps = {step.key: step for step in bag.report.steps}
    assert (steps["exact duplicates"].affected, steps["exact duplicates"].examples) == (
        1,
        (f"{title(common[1])} = {title(common[1])}",),
    )
    assert "near duplicates" not in steps  # 24 words are 20 shingles: the sixth document is beyond 100
    assert steps["near duplicates not sought"].affected == 3
    monkeypatch.undo()
    with pytest.warns(UserWarning, match="near duplicates: 2 of 8 documents"):
        assert len(bag_of_words(documents, min_df=1, max_df=1.0, language="en").meta) == 5


def title(text: str) -> str:
    return text[:39] + "…"


def test_metadata_stays_with_its_document() -> None:
    documents = [Document(text, meta={"number": i}) for i, text in enumerate(texts(100, seed=3))]
    bag = bag_of_words(documents, min_df=1, max_df=1.0, n_jobs=1)
    for row, facts in enumerate(bag.meta):
        alone = bag.encode([documents[facts["number"]]], n_jobs=1)
        assert (alone.counts != bag.counts[row]).nnz == 0


def test_what_a_process_warns_of_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    small = partial(word_stream.number_words, chunk_documents=3)
    monkeypatch.setattr(document_term, "number_words", small)
    documents = [f"{ENGLISH} ꦲꦏ꧀ꦱꦫ ꦗꦮ {number} networks{number}" for number in range(9)]
    options = {"language": "en", "deduplicate": False, "max_df": 1.0}
    for n_jobs in (1, 2):
        with pytest.warns(UserWarning, match="Javanese is written without spaces") as found:
            bag_of_words(documents, n_jobs=n_jobs, **options)
        assert sum("Javanese" in str(warning.message) for warning in found) == 1
        assert {warning.filename for warning in found} == {__file__}
