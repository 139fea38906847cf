from __future__ import annotations

import hashlib
import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from minillm_lib.corpora.document import Document
from minillm_lib.topics.counts.counting import LONGEST_WORD
from minillm_lib.topics.counts.document_input import snippet_of
from minillm_lib.topics.counts.vocabulary import Cuts
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


def test_what_is_too_long_for_a_word_is_counted_and_takes_no_room() -> None:
    dump = "acgt" * 5_000
    texts = [f"{text} {dump} {dump[:LONGEST_WORD]} {dump[4:]}" for text in TEXTS]
    bag = bag_of_words(texts, **EVERYTHING)
    assert dump[:LONGEST_WORD] in bag.vocabulary
    assert bag.vocabulary.itemsize == 4 * LONGEST_WORD
    [step] = [step for step in bag.report.steps if step.key == "long words"]
    assert (step.name, step.why, step.affected) == ("long words", "longer than 200 characters", 10)
    assert step.examples == (f"{dump[:39]}…",) * 2
    assert (bag.encode(texts).counts != bag.counts).nnz == 0
    plain = bag_of_words([f"{text} {dump[:LONGEST_WORD]}" for text in TEXTS], **EVERYTHING)
    assert plain.vocabulary.tolist() == bag.vocabulary.tolist()
    assert any(dump in term for term in bag_of_words(texts, keep=[dump], **EVERYTHING).vocabulary)
    with pytest.raises(
        ValueError, match=r"no terms remain of the 0 found in 2 documents; earlier(.|\n)*long words"
    ):
        bag_of_words([dump, dump], deduplicate=False, **EVERYTHING)


def test_a_column_called_snippet_is_kept_beside_the_beginning_of_the_text() -> None:
    documents = [Document(text, meta={"snippet": f"mine {i}"}) for i, text in enumerate(TEXTS)]
    facts = bag_of_words(documents, snippet_length=20, **EVERYTHING).meta[1]
    assert (facts["snippet"], facts["snippet (yours)"]) == ("Gradient descent…", "mine 1")


def test_a_share_of_documents_is_a_whole_number_of_them_where_it_looks_like_one() -> None:
    assert Cuts(0.07, 0.29).least_and_most(100) == (7, 29)
    for n in range(1, 101):
        assert Cuts(n / 100, n / 100).least_and_most(100) == (n, n)
        assert Cuts(1 / n, 1.0).least_and_most(n) == (1, n)
    texts = [f"each {'common' * (i < 29)} {'rare' * (i < 7)}" for i in range(100)]
    bag = bag_of_words(texts, min_df=0.07, max_df=0.29, deduplicate=False, phrases=False, language="en")
    assert bag.vocabulary.tolist() == ["common", "rare"]


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


def test_when_no_term_is_left_the_message_says_what_took_them_and_what_to_try() -> None:
    with pytest.raises(
        ValueError,
        match=r"no terms remain of the 3 found in 2 documents: min_df=2 removed 2, max_df=0\.5 removed 1: "
        r"at least 2 and at most 1 documents cannot both be\. Try min_df=1 and max_df=1\.0",
    ):
        bag_of_words(["apple pear", "apple plum"], min_df=2, max_df=0.5)
    with pytest.raises(
        ValueError,
        match=r"no terms remain of the 0 (.|\n)*stop words +4 of 4 tokens(.|\n)*Try stop_words=None",
    ):
        bag_of_words(["of the", "and we"])
    with pytest.raises(ValueError, match=r"no terms remain(.|\n)*numbers, single characters +4 of 4 tokens"):
        bag_of_words(["1 2", "3 x"])


NO_DOCUMENTS_ARE_READ = [
    ("one text", {}, "list of texts"),
    (b"one text", {}, "single text"),
    (Document("one"), {}, "single text"),
    (Path("texts"), {}, "documents is a path; .*read_files"),
    ({"a": "text"}, {}, r"mapping \(dict\); pass its texts: documents=mapping\.values\(\)"),
    (np.array([["a", "b"]]), {}, r"array of shape \(1, 2\)"),
    (7, {}, "documents has type int"),
    (None, {"language": "xx"}, "language is 'xx'; allowed values: 'auto'"),
    (None, {"stop_words": "english"}, "stop_words is 'english'"),
    (None, {"keep": "word"}, "keep is the text 'word'"),
    (None, {"repairs": ["polish"]}, "unknown repair 'polish'"),
    (None, {"repairs": "LaTeX"}, "repairs is the text 'LaTeX'"),
    (None, {"user_dict": "file.txt"}, "user_dict is the text"),
    (None, {"min_df": 0}, "min_df is 0"),
    (None, {"min_df": True}, "min_df is True"),
    (None, {"max_df": 1.5}, r"max_df is 1\.5"),
    (None, {"max_df": float("nan")}, "max_df is nan"),
    (None, {"max_df": "half"}, "max_df is 'half'"),
    (None, {"min_df": 5, "max_df": 4}, "min_df=5 is more than max_df=4"),
    (None, {"min_df": 0.5, "max_df": 0.4}, r"min_df=0\.5 is more than max_df=0\.4"),
    (None, {"max_terms": 0}, "max_terms is 0"),
    (None, {"max_terms": 1.5}, r"max_terms is 1\.5"),
    (None, {"phrase_min_count": 0}, "phrase_min_count is 0"),
    (None, {"phrase_min_npmi": 2}, "phrase_min_npmi is 2"),
    (None, {"snippet_length": -1}, "snippet_length is -1"),
    (None, {"n_jobs": 0}, "n_jobs is 0"),
]


@pytest.mark.parametrize(("documents", "options", "message"), NO_DOCUMENTS_ARE_READ)
def test_options_are_checked_before_any_document_is_read(
    documents: object, options: dict[str, object], message: str
) -> None:
    def stream() -> Iterator[str]:
        raise AssertionError("a document was read")
        yield ""

    with pytest.raises(ValueError, match=message):
        bag_of_words(stream() if documents is None else documents, **options)


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([], "no documents"),
        (["text", 7], "document 1 has type int"),
        (["text", b"bytes"], "document 1 has type bytes; decode it"),
        (["text", "text", None], "document 2 is missing"),
        (["text", float("nan")], "document 1 is missing"),
        (["text", pd.NA], "document 1 is missing"),
        ([Document(None)], "document 0, a Document, has a text that is missing"),
        ([["a", "list"]], "document 0 has type list"),
    ],
)
def test_an_item_that_is_no_document_is_named(documents: list[object], message: str) -> None:
    for collection in (documents, iter(documents)):
        with pytest.raises(ValueError, match=message):
            bag_of_words(collection)
    if documents:
        with pytest.raises(ValueError, match=message):
            bag_of_words(TEXTS, **EVERYTHING).encode(documents)


def test_a_table_is_not_taken_for_the_names_of_its_columns() -> None:
    frame = pd.DataFrame({"text": TEXTS, "year": range(5)})
    with pytest.raises(
        ValueError, match=r"table \(DataFrame\).*documents=frame\[\"column\"\].*'text', 'year'"
    ):
        bag_of_words(frame)
    with pytest.raises(ValueError, match="a table"):
        bag_of_words(TEXTS, **EVERYTHING).encode(frame)


@pytest.mark.parametrize(
    "collection",
    [
        pd.Series,
        np.array,
        tuple,
        iter,
        lambda texts: dict(enumerate(texts)).values(),
        lambda texts: (t for t in texts),
    ],
)
def test_any_collection_of_texts_will_do(collection: Callable[[list[str]], Iterable[str]]) -> None:
    bag = bag_of_words(collection(TEXTS), **EVERYTHING)
    np.testing.assert_array_equal(bag.counts.toarray(), bag_of_words(TEXTS, **EVERYTHING).counts.toarray())


def test_each_step_can_be_switched_off() -> None:
    texts = [r"the \\emph{networks} learn a lot", r"the \\emph{networks} learn a lot", "networks"]
    off = {"repairs": (), "deduplicate": False, "lemmatize": False, "stop_words": None, "phrases": False}
    everything = {"min_df": 1, "max_df": 1.0, "phrase_min_count": 2, "language": "en"}
    plain = bag_of_words(texts, **everything, **off)
    assert plain.vocabulary.tolist() == ["emph", "learn", "lot", "networks", "the"]
    assert plain.counts.toarray().tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 1, 0]]
    assert {step.key for step in plain.report.steps} == {"numbers"}
    with pytest.warns(UserWarning, match="exact duplicates"):
        clean = bag_of_words(texts, **everything)
    assert clean.vocabulary.tolist() == ["learn", "lot", "network"]
    for name, value in off.items():
        others = {key: default for key, default in off.items() if key != name}
        bag = bag_of_words(texts, **everything, **{**others, name: value})
        assert {step.key for step in bag.report.steps} == {"numbers"}


def test_kept_words_survive_every_cut() -> None:
    texts = ["the cat and the rare x", "the cat and the dog", "the cat and the dog", "the cat, other"]
    options = {"language": "en", "deduplicate": False, "phrases": False}
    with pytest.warns(UserWarning, match="keep: 1 of 5 terms .*not found in any document"):
        bag = bag_of_words(texts, keep=["the", "x", "Rare", "cat", "unicorn"], max_terms=1, **options)
    assert bag.vocabulary.tolist() == ["cat", "rare", "the", "x"]
    (step,) = [step for step in bag.report.steps if step.key == "kept words"]
    assert step.examples == ("unicorn",)
    assert bag_of_words(
        texts, keep=["dog"], min_df=1, max_df=1.0, max_terms=1, **options
    ).vocabulary.tolist() == ["dog"]
    np.testing.assert_array_equal(bag.encode(texts).counts.toarray(), bag.counts.toarray())


def test_a_kept_phrase_survives_if_it_is_one() -> None:
    bag = bag_of_words(TEXTS, keep=["gradient descent"], phrase_min_count=3, min_df=1, max_df=0.2)
    assert "gradient descent" in bag.vocabulary


def test_a_warning_says_which_step_took_a_large_part_and_how_to_leave_it_out() -> None:
    many_numbers = [
        f"{text} {' '.join(map(str, range(100 * i, 100 * i + 20)))}" for i, text in enumerate(TEXTS)
    ]
    with pytest.warns(UserWarning, match=r"numbers, single characters: \d+ of \d+ tokens .*keep"):
        bag_of_words(many_numbers, **EVERYTHING)
    copies = [*TEXTS, TEXTS[0], f"{' '.join(TEXTS)} x", f"{' '.join(TEXTS)} y"]
    with pytest.warns(UserWarning, match="duplicates") as found:
        bag_of_words(copies, **EVERYTHING)
    assert [str(warning.message).partition(":")[0] for warning in found] == [
        "exact duplicates",
        "near duplicates",
    ]
    assert {warning.filename for warning in found} == {__file__}


def test_ordinary_documents_give_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bag_of_words(TEXTS, **EVERYTHING)
        bag_of_words(CHINESE, **EVERYTHING)
        bag_of_words(TEXTS, stop_words="abstracts", **EVERYTHING)


def test_what_a_repair_takes_is_counted_in_words() -> None:
    formula = r"\[ \sum_{i} weight_i \cdot error(i) + penalty \cdot norm = total \]"
    texts = [*TEXTS, f"A kernel: {formula} {formula}"]
    bag = bag_of_words(texts, **EVERYTHING)
    steps = {step.key: step for step in bag.report.steps if step.values.get("repair") == "LaTeX"}
    assert steps["repair"].affected == 1
    assert 8 <= steps["repair tokens"].affected <= 20
    assert steps["repair share"].affected == 1
    assert steps["repair share"].examples[0].startswith("A kernel")


def test_the_languages_found_are_counted() -> None:
    bag = bag_of_words([*CHINESE, *TEXTS], **EVERYTHING)
    found = {step.values["language"]: step.affected for step in bag.report.steps if step.key == "language"}
    assert found == {"zh": 3, "en": 5}
    assert not [
        step
        for step in bag_of_words(TEXTS, language="en", **EVERYTHING).report.steps
        if step.key == "language"
    ]


def test_single_chinese_characters_are_counted() -> None:
    bag = bag_of_words(
        ["我 有 猫 神经网络", "神经网络 狗"], language="zh", stop_words=None, min_df=1, max_df=1.0
    )
    steps = {step.key: step for step in bag.report.steps}
    assert (steps["single Chinese characters"].affected, steps["single Chinese characters"].total) == (4, 6)
    kept = bag_of_words(
        ["我 有 猫 神经网络", "神经网络 狗"], language="zh", keep=["猫"], min_df=1, max_df=1.0
    )
    assert kept.vocabulary.tolist() == ["猫", "神经网络"]


def test_a_snippet_is_the_beginning_of_the_cleaned_text() -> None:
    texts = ["The  \\emph{speech}\n of neural networks, explained", "短" * 40, "ab", "x" * 30 + " y"]
    bag = bag_of_words(texts, snippet_length=15, min_df=1, max_df=1.0, language="en", stop_words=None)
    by_title = [facts["snippet"] for facts in bag.meta]
    assert by_title == ["The speech of…", "短" * 14 + "…", "ab", "x" * 14 + "…"]
    assert all("snippet" not in facts for facts in bag_of_words(TEXTS, **EVERYTHING).meta)


@given(st.text(st.sampled_from("ab \n"), max_size=60), st.integers(1, 30))
def test_a_snippet_is_never_longer_than_asked(text: str, length: int) -> None:
    snippet = snippet_of(text, length)
    whole = " ".join(text.split())
    assert len(snippet) <= length
    assert snippet == whole or (snippet.endswith("…") and whole.startswith(snippet[:-1]))


def test_counts_as_a_data_frame() -> None:
    bag = bag_of_words(TEXTS, **EVERYTHING)
    frame = bag.to_frame()
    assert frame.columns.tolist() == bag.vocabulary.tolist()
    assert frame.index.tolist() == list(range(5))
    np.testing.assert_array_equal(frame.to_numpy(), bag.counts.toarray())
    assert all(isinstance(dtype, pd.SparseDtype) for dtype in frame.dtypes)


def test_metadata_that_json_cannot_write_is_made_plain(tmp_path: Path) -> None:
    meta = {
        "date": datetime(2005, 3, 1, tzinfo=UTC),
        "day": pd.Timestamp("2005-03-01"),
        "year": np.int64(2005),
        "score": np.float32(0.5),
        "missing": [float("nan"), pd.NaT, pd.NA, None, np.float64("inf")],
        "is_open": np.bool_(True),
        "tags": ("a", {"b"}, Path("c"), np.array([1, 2])),
        "half": "\ud83d",
        7: {"nested": date(2005, 3, 1)},
    }
    bag = bag_of_words([Document(text, meta=meta) for text in TEXTS], **EVERYTHING)
    bag.save(tmp_path / "bag.jsonl")
    assert BagOfWords.load(tmp_path / "bag.jsonl").meta[0] == {
        "title": bag.meta[0]["title"],
        "date": "2005-03-01T00:00:00+00:00",
        "day": "2005-03-01T00:00:00",
        "year": 2005,
        "score": 0.5,
        "missing": [None] * 5,
        "is_open": True,
        "tags": ["a", ["b"], "c", [1, 2]],
        "half": "\ufffd",
        "7": {"nested": "2005-03-01"},
    }


@pytest.mark.parametrize("title", [None, "", "  ", float("nan"), pd.NA])
def test_a_missing_title_is_replaced_by_the_first_words(title: object) -> None:
    bag = bag_of_words([Document(text, meta={"title": title}) for text in TEXTS], **EVERYTHING)
    assert bag.meta[2]["title"] == "Bandit policies explore arms, and the r…"


def test_half_characters_do_no_harm(tmp_path: Path) -> None:
    texts = [f"{text} \ud83d half\udc00" for text in TEXTS]
    for repairs in ((), ("encoding", "whitespace")):
        bag = bag_of_words(texts, repairs=repairs, snippet_length=100, **EVERYTHING)
        bag.save(tmp_path / "bag.jsonl")
        assert BagOfWords.load(tmp_path / "bag.jsonl").meta == bag.meta


DAMAGE = [
    ("counts", -1, "a count is not from 1"),
    ("counts", 0, "a count is not from 1"),
    ("counts", 2**31, "a count is not from 1"),
    ("counts", 1.5, "counts is not a list of whole numbers"),
    ("counts", True, "counts is not a list of whole numbers"),
    ("terms", -1, "a term is not one of the"),
    ("terms", 10**6, "a term is not one of the"),
    ("terms", "speech", "terms is not a list of whole numbers"),
]


def rewrite(path: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """Change the lines of a saved bag, and sign it again."""
    header, *lines = map(json.loads, path.read_bytes().splitlines())
    change(lines)
    body = "".join(json.dumps(line) + "\n" for line in lines).encode()
    header["sha256"] = hashlib.sha256(body).hexdigest()
    path.write_bytes(json.dumps(header).encode() + b"\n" + body)


@pytest.mark.parametrize(("key", "value", "message"), DAMAGE)
def test_a_file_with_impossible_numbers_is_refused(
    tmp_path: Path, key: str, value: object, message: str
) -> None:
    path = tmp_path / "bag.jsonl"
    bag_of_words(TEXTS, **EVERYTHING).save(path)

    def change(lines: list[dict[str, Any]]) -> None:
        lines[3][key][-1] = value

    rewrite(path, change)
    with pytest.raises(ValueError, match=rf"bag\.jsonl, line 5: {message}"):
        BagOfWords.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[2]["terms"].reverse(), "line 4: its terms are not in order"),
        (lambda lines: lines[2]["terms"].pop(), r"line 4: there are \d+ counts for \d+ terms"),
        (lambda lines: lines[2].pop("meta"), "line 4: it is not an object with meta, terms, counts"),
        (lambda lines: lines[2].update(meta=[]), "line 4: meta is not an object"),
        (lambda lines: lines.pop(), "it has 4 documents, and its header says 5"),
        (lambda lines: lines[0]["vocabulary"].reverse(), "line 2: the vocabulary is not a list"),
        (lambda lines: lines[0]["vocabulary"].append(7), "line 2: the vocabulary is not a list"),
        (lambda lines: lines[0].pop("recipe"), "line 2: it is not an object with vocabulary, recipe, report"),
        (lambda lines: lines[0]["recipe"].pop("phrases"), "line 2: its recipe or report"),
        (lambda lines: lines[0]["report"].append({}), "line 2: its recipe or report"),
        (lambda lines: lines.insert(1, []), "line 3: it is not an object"),
        (lambda lines: lines.clear(), "line 2: it is not JSON"),
    ],
)
def test_a_file_of_the_wrong_shape_is_refused(
    tmp_path: Path, change: Callable[[list[dict[str, Any]]], object], message: str
) -> None:
    path = tmp_path / "bag.jsonl"
    bag_of_words(TEXTS, **EVERYTHING).save(path)
    rewrite(path, change)
    with pytest.raises(ValueError, match=message):
        BagOfWords.load(path)


def test_a_language_without_stop_words_is_said() -> None:
    texts = ["ენა და სიტყვა", "ენა და წიგნი", "ქალაქი და მდინარე"]
    options = {"min_df": 1, "max_df": 1.0}
    with pytest.warns(UserWarning, match="language ka, stop words: 3 of 3 documents .*no list .*stop_words"):
        bag = bag_of_words(texts, **options)
    assert "და" in bag.vocabulary
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "და" not in bag_of_words(texts, stop_words=["და"], **options).vocabulary
