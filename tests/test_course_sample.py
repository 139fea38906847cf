"""The sample of notebook 18: a folder of text with questions about it."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from minillm_lib.course import opening_questions, write_questions, write_sample
from minillm_lib.course.sample import WORDINGS
from minillm_lib.evaluation import own_questions


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    n_files = write_sample(folder / "notes", folder / "questions.jsonl")
    return folder, n_files


def test_it_is_about_a_megabyte_with_other_versions_of_some_files(written):
    folder, n_files = written
    files = list((folder / "notes").glob("*.txt"))
    assert len(files) == n_files
    assert sum(path.stat().st_size for path in files) == pytest.approx(1e6, rel=0.15)
    for kind in (" (old)", " (draft)"):
        others = [path for path in files if path.stem.endswith(kind)]
        assert len(others) > 20
        assert all(path.with_name(path.name.replace(kind, "")).exists() for path in others)


def test_there_are_fifty_answers_each_in_five_wordings_of_which_one_is_held_out(written):
    questions = own_questions(written[0] / "questions.jsonl")
    assert len(questions) == 50
    assert {(len(each.phrasings), len(each.held_out)) for each in questions} == {(len(WORDINGS) - 1, 1)}
    assert len({each.answer for each in questions}) == 50


def test_without_questions_openings_are_asked_about_and_no_answer_occurs_twice(tmp_path):
    texts = [
        "one two three four five six seven eight nine",
        "one two three four five six",
        "too short",
        "a b c d e f g",
    ]
    pairs = opening_questions(texts, 3)
    assert pairs == [("one two three four five", "six seven eight nine"), ("a b c d e", "f g")]
    write_questions(tmp_path / "own.jsonl", pairs)
    lines = [json.loads(line) for line in (tmp_path / "own.jsonl").read_text().splitlines()]
    assert set(Counter(line["answer"] for line in lines).values()) == {5}
