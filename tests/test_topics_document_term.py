from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from minillm_lib.corpora.document import Document
from minillm_lib.topics.document_term import BagOfWords, bag_of_words

TEXTS = [
    "Recurrent neural networks translate speech. Neural networks learn features of speech.",
    "Gradient descent trains a neural network; stochastic gradient descent trains it on batches.",
    "Bandit policies explore arms, and the regret of a policy grows with the arms.",
    "The regret of gradient descent against an adversary, and bandit feedback.",
    "Kernels and Gaussian processes: a posterior over functions, with a kernel for speech.",
]
CHINESE = [
    "神经网络的训练需要大量数据，神经网络在图像识别中表现优异。",
    "主题模型从文档中发现主题，吉布斯采样用于主题模型的推断。",
    "强化学习中的智能体通过奖励学习策略，神经网络可以表示策略。",
]
EVERYTHING = {"min_df": 1, "max_df": 1.0, "phrase_min_count": 3}


def row_as_counts(bag: BagOfWords, row: int) -> dict[str, int]:
    start, end = bag.counts.indptr[row : row + 2]
    terms = bag.vocabulary[bag.counts.indices[start:end]]
    return dict(zip(terms.tolist(), bag.counts.data[start:end].tolist(), strict=True))


def test_the_matrix_holds_how_often_each_document_says_each_term() -> None:
    bag = bag_of_words(TEXTS, **EVERYTHING)
    assert row_as_counts(bag, 1) == {
        "gradient descent": 2, "train": 2, "neural network": 1, "stochastic": 1, "batch": 1,
    }  # fmt: skip
    assert row_as_counts(bag, 2)["arm"] == 2
    assert row_as_counts(bag, 2)["policy"] == 2
    for row, text in enumerate(TEXTS):
        assert row_as_counts(bag, row) == Counter(bag.recipe.terms(text))


def test_shape_type_and_order() -> None:
    bag = bag_of_words(TEXTS, **EVERYTHING)
    assert bag.counts.shape == (len(TEXTS), len(bag.vocabulary))
    assert bag.counts.format == "csr"
    assert bag.counts.dtype == np.int32
    assert bag.counts.has_sorted_indices
    assert bag.counts.data.min() > 0
    assert bag.vocabulary.dtype.kind == "U"
    assert bag.vocabulary.tolist() == sorted(set(bag.vocabulary.tolist()))


def test_plain_words_are_counted_as_scikit_learn_counts_them() -> None:
    texts = ["red blue blue", "green red", "blue yellow red red", "green green"]
    bag = bag_of_words(texts, lemmatize=False, stop_words=None, phrases=False, min_df=2, max_df=0.75)
    vectorizer = CountVectorizer(min_df=2, max_df=0.75)
    expected = vectorizer.fit_transform(texts)
    assert bag.vocabulary.tolist() == vectorizer.get_feature_names_out().tolist()
    np.testing.assert_array_equal(bag.counts.toarray(), expected.toarray())


@given(
    st.lists(
        st.lists(st.sampled_from(["ant", "bee", "cat", "dog"]), min_size=1, max_size=9),
        min_size=1,
        max_size=8,
    ),
    st.integers(1, 3),
    st.floats(0.3, 1),
)
@settings(max_examples=60, deadline=None)
def test_document_frequency_cuts_are_those_of_scikit_learn(
    words: list[list[str]], min_df: int, max_df: float
) -> None:
    texts = [" ".join(document) for document in words]
    try:
        expected = CountVectorizer(min_df=min_df, max_df=max_df).fit(texts).get_feature_names_out().tolist()
    except ValueError:
        expected = []
    options = {"stop_words": None, "phrases": False, "lemmatize": False, "deduplicate": False}
    if expected:
        assert bag_of_words(texts, min_df=min_df, max_df=max_df, **options).vocabulary.tolist() == expected
    else:
        with pytest.raises(ValueError, match="no terms remain"):
            bag_of_words(texts, min_df=min_df, max_df=max_df, **options)


def test_encoding_the_training_documents_again_gives_their_counts() -> None:
    bag = bag_of_words(TEXTS, phrase_min_count=3, max_df=1.0)
    again = bag.encode(TEXTS)
    np.testing.assert_array_equal(again.counts.toarray(), bag.counts.toarray())


def test_new_documents_are_counted_over_the_old_vocabulary() -> None:
    bag = bag_of_words(TEXTS, **EVERYTHING)
    new = bag.encode(["Neural networks with unheard-of gadgets", "", Document("zebra", meta={"year": 1})])
    assert new.counts.shape == (3, len(bag.vocabulary))
    assert row_as_counts(new, 0) == {"neural network": 1}
    assert new.counts[1:].nnz == 0
    assert new.meta[2] == {"title": "zebra", "year": 1}
    (step,) = new.report.steps
    assert (step.unit, step.affected, step.total) == ("tokens", 3, 4)


def test_the_order_of_the_documents_permutes_the_rows_and_changes_nothing_else() -> None:
    order = [3, 0, 4, 2, 1]
    bag = bag_of_words(TEXTS, **EVERYTHING)
    permuted = bag_of_words([TEXTS[i] for i in order], **EVERYTHING)
    assert permuted.vocabulary.tolist() == bag.vocabulary.tolist()
    np.testing.assert_array_equal(permuted.counts.toarray(), bag.counts.toarray()[order])


def test_what_was_dropped_is_counted() -> None:
    duplicate = Document(TEXTS[0].upper(), meta={"title": "Shouted"})
    bag = bag_of_words([*TEXTS, duplicate, "of the", ""], min_df=2, max_df=0.5, phrase_min_count=3)
    steps = {step.name: step for step in bag.report.steps}
    assert steps["exact duplicates"].affected == 1
    assert "Shouted" in steps["exact duplicates"].examples[0]
    assert steps["empty documents"].affected == 2
    words = sum(len(text.split()) for text in [*TEXTS, "of the"])
    assert steps["stop words"].total == words
    kept = steps["min_df=2"].total - sum(step.affected for name, step in steps.items() if "_df=" in name)
    assert kept == len(bag.vocabulary)
    assert len(bag.meta) == bag.counts.shape[0] == len(TEXTS)
    assert "stop words" in str(bag.report)
    assert "<table>" in bag._repr_html_()


def test_the_most_frequent_terms_are_kept() -> None:
    bag = bag_of_words(["cat cat cat dog", "dog bird fish fish fish fish"], max_terms=2, **EVERYTHING)
    assert bag.vocabulary.tolist() == ["cat", "fish"]


def test_stop_words_of_ones_own() -> None:
    bag = bag_of_words(TEXTS, stop_words=["Speech", "network"], **EVERYTHING)
    assert not {"speech", "network"} & set(bag.vocabulary.tolist())
    assert "of" in bag.vocabulary


def test_chinese_documents_are_segmented() -> None:
    bag = bag_of_words(CHINESE, language="zh", **EVERYTHING)
    assert row_as_counts(bag, 0)["神经网络"] == 2
    assert row_as_counts(bag, 1)["主题"] == 3
    mixed = bag_of_words([*CHINESE, *TEXTS], language="auto", **EVERYTHING)
    assert {"神经网络", "neural network"} <= set(mixed.vocabulary.tolist())


def test_a_saved_bag_is_loaded_as_it_was(tmp_path: Path) -> None:
    documents = [Document(text, meta={"title": f"№ {i}", "year": 2000 + i}) for i, text in enumerate(TEXTS)]
    bag = bag_of_words(documents, **EVERYTHING)
    bag.save(tmp_path / "bag.jsonl")
    loaded = BagOfWords.load(tmp_path / "bag.jsonl")
    np.testing.assert_array_equal(loaded.counts.toarray(), bag.counts.toarray())
    assert loaded.counts.has_sorted_indices
    assert loaded.counts.dtype == np.int32
    assert loaded.vocabulary.tolist() == bag.vocabulary.tolist()
    assert (loaded.meta, loaded.recipe, loaded.report) == (bag.meta, bag.recipe, bag.report)
    np.testing.assert_array_equal(loaded.encode(TEXTS).counts.toarray(), bag.counts.toarray())
    loaded.save(tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "bag.jsonl").read_bytes()


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bag.jsonl"
    bag_of_words(TEXTS, **EVERYTHING).save(path)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[: len(whole) // 2], whole.replace(b'"arm"', b'"art"')):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"bag\.jsonl is damaged"):
            BagOfWords.load(path)
    for other in (b"", b"[]", b"\x00\xff\n", json.dumps({"format": "another"}).encode()):
        path.write_bytes(other)
        with pytest.raises(ValueError, match=r"bag\.jsonl is not a bag of words"):
            BagOfWords.load(path)


def test_when_no_term_is_left_the_message_says_which_cut_took_how_many() -> None:
    with pytest.raises(
        ValueError,
        match=r"no terms remain of the 3 found in 2 documents: min_df=2 removed 2, max_df=0\.5 removed 1",
    ):
        bag_of_words(["apple pear", "apple plum"], min_df=2, max_df=0.5)
    with pytest.raises(ValueError, match=r"no terms remain of the 0 (.|\n)*stop words +4 of 4 tokens"):
        bag_of_words(["of the", "and we"])


@pytest.mark.parametrize(
    ("documents", "options", "message"),
    [
        ([], {}, "no documents"),
        ("one text", {}, "list of texts"),
        (["text", 7], {}, "document 1 has type int"),
        (TEXTS, {"language": "de"}, "language is 'de'"),
        (TEXTS, {"stop_words": "english"}, "stop_words is 'english'"),
        (TEXTS, {"min_df": 0}, "min_df is 0"),
        (TEXTS, {"max_df": 1.5}, r"max_df is 1\.5"),
        (TEXTS, {"max_terms": 0}, "max_terms is 0"),
        (TEXTS, {"repairs": ["polish"]}, "unknown repair 'polish'"),
    ],
)
def test_bad_input_is_named(documents: list[str], options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bag_of_words(documents, **options)
