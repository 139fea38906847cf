"""Only planted errors are removed, the numbers add up, and neither processes nor chunks change the result."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st

from minillm_lib.corpora.cleaning.filters import CorpusFilter, Edit, Filter, Removal, length_test
from minillm_lib.corpora.cleaning.pipeline import DEFAULT_STEPS, CleaningPipeline, clean, clean_corpus
from minillm_lib.corpora.cleaning.report import PipelineReport
from minillm_lib.corpora.document import Document
from minillm_lib.corpora.files import read_files
from minillm_lib.corpora.registry import load_corpus

ENGLISH = [
    *("the", "of", "and", "to", "in", "is", "that", "for", "with", "as"),
    *("sampler", "model", "topic", "word", "document", "corpus", "prior", "chain", "posterior", "token"),
    *(
        "layer",
        "gradient",
        "draws",
        "counts",
        "describes",
        "changes",
        "explains",
        "predicts",
        "weighs",
        "samples",
    ),
    *("stores", "rotates", "slowly", "often", "exactly"),
]
HAN = "主题模型文档词汇分布采样后验概率语言注意力梯度参数训练数据学习网络"
TEST_RUN = "The held out sentence asks how the sampler draws the topic of the very last word."


def english(draw: random.Random, sentences: int = 6) -> str:
    return " ".join(
        " ".join(draw.choices(ENGLISH, k=12)).capitalize() + f" {draw.randrange(10**6)}."
        for _ in range(sentences)
    )


def chinese(draw: random.Random) -> str:
    return "".join(draw.choices(HAN, k=60)) + "。"


def good_documents(number: int = 120) -> list[Document]:
    draw = random.Random(1)
    return [
        Document((chinese if i % 3 == 0 else english)(draw), f"good:{i}", {"year": i}) for i in range(number)
    ]


def planted_faults() -> dict[str, tuple[str, str | None]]:
    """Return for each step a text with the error that it handles, and the expected result (None if it is removed)."""
    draw = random.Random(2)
    texts = [english(draw) for _ in DEFAULT_STEPS]
    return {
        "encoding": (texts[0] + " Itâ€™s naÃ¯ve.", texts[0] + " It’s naïve."),
        "control characters": (texts[1] + " a\x00b\u200bc", texts[1] + " abc"),
        "Unicode": (texts[2] + " nai\u0308ve", texts[2] + " na\u00efve"),
        "boilerplate": (f"Home | About | Contact\n{texts[3]}\nRead more »", texts[3]),
        "blank lines": (f"{texts[4]}  \n\n\n\nnext", f"{texts[4]}\n\nnext"),
        "language": (
            "Das Modell beschreibt die Dokumente als eine Mischung von Themen, die sich ändern.",
            None,
        ),
        "length": ("too short", None),
        "repetition": ("\n".join(["The model is the best model of the year"] * 12), None),
        "test text": (f"{texts[5]} {TEST_RUN} {texts[6]}", None),
        "exact duplicates": (good_documents()[1].text.upper(), None),
        "near duplicates": (good_documents()[4].text + " Slowly.", None),
    }


def documents_with_faults() -> tuple[list[Document], list[Document]]:
    """Return good documents with each error planted among them, and the documents that must be left."""
    documents, expected = good_documents(), good_documents()
    for step, (text, mended) in planted_faults().items():
        documents.insert(len(documents) - 50, Document(text, step))
        if mended is not None:
            expected.insert(len(expected) - 50, Document(mended, step))
    return documents, expected


def pipeline(**options) -> CleaningPipeline:
    return CleaningPipeline(**{"test_documents": [Document(TEST_RUN)], "n_jobs": 1, **options})


def check_sums(report: PipelineReport) -> None:
    documents, characters = report.documents_read, report.characters_read
    for step in report.steps:
        assert (step.documents, step.characters) == (documents, characters)
        assert sum(step.reasons.values()) == step.removed
        documents, characters = step.documents_left, step.characters_left
    assert (documents, characters) == (report.documents_kept, report.characters_kept)


def test_good_documents_pass_untouched():
    cleaning = pipeline()
    assert list(cleaning.clean(good_documents())) == good_documents()
    assert all(step.changed == step.removed == 0 for step in cleaning.report.steps)


def test_each_planted_fault_is_mended_or_removed_by_its_own_step_and_nothing_else_is():
    documents, expected = documents_with_faults()
    cleaning = pipeline()
    assert list(cleaning.clean(documents)) == expected
    check_sums(cleaning.report)
    for step in cleaning.report.steps:
        assert step.changed + step.removed == 1, step.name
        (example,) = step.examples
        assert example.source == step.name
        assert bool(example.reason) == (step.removed == 1)


@pytest.mark.parametrize("name", DEFAULT_STEPS)
def test_a_step_alone_deals_with_its_own_fault(name):
    text, mended = planted_faults()[name]
    cleaning = pipeline(steps=[name])
    left = list(cleaning.clean([*good_documents(), Document(text)]))
    assert left[:120] == good_documents()
    (step,) = cleaning.report.steps
    assert (step.changed, step.removed) == ((0, 1) if mended is None else (1, 0))


def test_cleaning_what_is_clean_changes_nothing():
    documents, _ = documents_with_faults()
    once = list(pipeline().clean(documents))
    again = pipeline()
    assert list(again.clean(once)) == once
    assert all(step.changed == step.removed == 0 for step in again.report.steps)


@given(
    st.lists(
        st.text("ae\u0308\u200b\x00 \n\t\r&;#ampâ€™Ã¯。的" + "\u00ad\ufeff\u0301", max_size=60)
        | st.sampled_from(
            ["Home | About\x00\n\nRead more", "Lo\u200bading...", "a &amp;amp;amp; b", "© 2020 x"]
        ),
        max_size=6,
    )
)
@settings(deadline=None)
def test_cleaning_twice_is_cleaning_once_whatever_the_text(texts):
    steps = [name for name in DEFAULT_STEPS if name != "length"]
    once = list(clean(map(Document, texts), steps, n_jobs=1))
    again = CleaningPipeline(steps, n_jobs=1)
    assert list(again.clean(once)) == once
    check_sums(again.report)


def test_neither_processes_nor_chunks_change_the_result():
    documents, expected = documents_with_faults()
    alone = pipeline()
    assert list(alone.clean(documents)) == expected
    for chunk_size in (7, 50):
        cleaning = pipeline(n_jobs=2, chunk_size=chunk_size)
        assert list(cleaning.clean(documents)) == expected
        assert cleaning.report == alone.report


def test_the_order_of_the_steps_is_that_given_and_later_steps_see_what_earlier_ones_left():
    texts = ["one two", "one two three", "One two three!", "four"]
    steps = [
        "exact duplicates",
        Filter("at least three words", "", length_test(min_characters=0, min_words=3)),
    ]
    steps.append(Edit("shout", "for the test", str.upper))
    cleaning = CleaningPipeline(steps, n_jobs=1)
    assert [document.text for document in cleaning.clean(map(Document, texts))] == ["ONE TWO THREE"]
    assert [(s.documents, s.changed, s.removed) for s in cleaning.report.steps] == [
        (4, 0, 1),
        (3, 0, 2),
        (1, 1, 0),
    ]
    check_sums(cleaning.report)


def test_a_step_of_ones_own_compares_documents():
    def longer_than_before():
        longest = 0

        def judge(length, number):
            nonlocal longest
            longest, before = max(longest, length), longest
            return None if length > before else Removal("no longer than before")

        return judge

    step = CorpusFilter("growing", "for the test", len, longer_than_before)
    left = clean([Document("x" * length) for length in (1, 3, 2, 3, 5)], [step], n_jobs=1)
    assert [len(document.text) for document in left] == [1, 3, 5]


@pytest.mark.parametrize(("n_jobs", "chunk_size", "number"), [(1, 256, 100_000), (2, 16, 3_000)])
def test_documents_are_read_as_they_are_needed(n_jobs, chunk_size, number):
    read = 0

    def source():
        nonlocal read
        for index in range(number):
            read += 1
            yield Document(f"document {index}")

    at_most = (4 * n_jobs + 2) * chunk_size
    written = 0
    for document in clean_of(source(), n_jobs, chunk_size):
        written += 1
        assert document.text == f"document {written - 1}"
        assert read - written <= at_most
    assert written == number


def clean_of(documents, n_jobs, chunk_size):
    return CleaningPipeline(["blank lines", "exact duplicates"], n_jobs=n_jobs, chunk_size=chunk_size).clean(
        documents
    )


def test_a_consumer_may_stop_early_and_a_pipeline_be_used_again():
    cleaning = CleaningPipeline(["blank lines"], n_jobs=2, chunk_size=4)
    documents = [Document(f"document {number}") for number in range(100)]
    assert next(cleaning.clean(documents)).text == "document 0"
    assert list(cleaning.clean(documents)) == documents
    assert cleaning.report.documents_kept == 100


def test_no_column_of_a_table_is_lost_for_its_name(tmp_path):
    meta = {"source": "Daily News", "text": "the raw text", "file": "p. 3"}
    clean_corpus(
        [Document("a clean text", "news.csv, line 2", meta)], tmp_path / "clean.jsonl", steps=[], n_jobs=1
    )
    assert json.loads((tmp_path / "clean.jsonl").read_bytes()) == {
        "text": "a clean text", "file 2": "news.csv, line 2", "source": "Daily News", "file": "p. 3",
        "text (metadata)": "the raw text",
    }  # fmt: skip


def test_source_and_meta_travel_with_the_text():
    document = Document("some text  ", "here:1", {"year": 2020})
    assert list(clean([document], ["blank lines"])) == [replace(document, text="some text")]


def test_no_documents_give_an_empty_report():
    cleaning = pipeline()
    assert list(cleaning.clean([])) == []
    assert cleaning.report.documents_read == 0
    assert "read" in str(cleaning.report)


def test_the_report_survives_json_and_shows_every_step(tmp_path):
    documents, _ = documents_with_faults()
    documents.append(Document("lone \ud800 surrogate in a text that is long enough to be of use", "here"))
    cleaning = pipeline(steps=["length", "control characters"])
    list(cleaning.clean(documents))
    report = cleaning.report
    report.save(tmp_path / "report.json")
    assert PipelineReport.from_dict(json.loads((tmp_path / "report.json").read_bytes())) == report
    assert all(step.name in str(report) and f"{step.removed:,}" in str(report) for step in report.steps)
    assert report.examples_table().row_count == sum(len(step.examples) for step in report.steps)


def test_the_written_file_reads_back_as_what_was_cleaned(tmp_path):
    documents, expected = documents_with_faults()
    path = tmp_path / "folder" / "clean.jsonl"
    report = clean_corpus(documents, path, test_documents=[Document(TEST_RUN)], n_jobs=1)
    read = list(read_files(path))
    assert [document.text for document in read] == [document.text for document in expected]
    assert [document.meta for document in read] == [{"source": d.source, **d.meta} for d in expected]
    assert report.documents_kept == len(expected)
    assert [file.name for file in path.parent.iterdir()] == ["clean.jsonl"]


def test_two_runs_write_the_same_bytes_on_any_number_of_processes(tmp_path):
    for name, n_jobs in (("a", 1), ("b", 2)):
        documents = load_corpus("grammar", n=400)
        test_documents = load_corpus("grammar", n=400, split="test")
        report = clean_corpus(documents, tmp_path / name, test_documents=test_documents, n_jobs=n_jobs)
        report.save(tmp_path / f"{name}.json")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_nothing_to_clean_or_nowhere_to_write_is_an_error_that_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="there are no documents to clean"):
        clean_corpus([], tmp_path / "clean.jsonl")
    with pytest.raises(IsADirectoryError, match="is a folder; give the name of a file"):
        clean_corpus([Document("a good document")], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_lone_surrogates_can_be_written(tmp_path):
    clean_corpus([Document("\ud800", "\udfff")], tmp_path / "clean.jsonl", steps=[])
    assert json.loads((tmp_path / "clean.jsonl").read_bytes()) == {"text": "\ud800", "source": "\udfff"}


def test_a_failure_leaves_the_old_file_as_it_was(tmp_path):
    def broken():
        yield Document("a good document to begin with")
        raise OSError("the disk is gone")

    path = tmp_path / "clean.jsonl"
    path.write_text("old")
    with pytest.raises(OSError, match="the disk is gone"):
        clean_corpus(broken(), path)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": ["lenght"]}, r"unknown step 'lenght'; the steps are 'encoding', .*'near duplicates'"),
        ({"steps": ["length", "length"]}, "two steps are called 'length'"),
        ({"n_jobs": 0}, "n_jobs == 0"),
        ({"chunk_size": 0}, "chunk_size is 0"),
    ],
)
def test_wrong_options_are_refused_and_the_allowed_ones_named(options, message):
    with pytest.raises(ValueError, match=message):
        CleaningPipeline(**options)
