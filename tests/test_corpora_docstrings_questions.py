from __future__ import annotations

import re

import pytest

from minillm_lib.corpora.docstrings.corpus import load_docstrings
from minillm_lib.corpora.docstrings.questions import (
    ANSWERS,
    MAX_QUOTE,
    OBJECTS_PER_PACKAGE,
    QUESTIONS,
    Field,
    docstring_questions,
    load_docstring_qa,
    parse_docstring,
)
from minillm_lib.corpora.document import SPLITS, Document

NUMPY = """\
Sort the papers of a venue by year, the newest first.

The order of papers of one year is kept.

Parameters
----------
papers : list of Paper, optional
    The papers to sort, e.g. those of a
    single venue. They are not changed.

    A second paragraph that is not quoted.
first, last : int
    Years between which papers are kept.
**options
    Passed on.

Returns
-------
ordered : list of Paper
    A new list.
count : int
    How many were kept.

See Also
--------
other : Not a parameter.
"""
GOOGLE = """\
Sort the papers of a venue by year, the newest first.

Args:
    papers (list of Paper, optional): The papers to sort, e.g. those of a
        single venue. They are not changed.
    first: Years between which papers are kept.
    **options: Passed on.

Returns:
    list of Paper: A new list.

Raises:
    ValueError: for a year before Gutenberg.
"""
SPHINX = """\
Sort the papers of a venue by year, the newest first.

:param papers: The papers to sort, e.g. those of a
    single venue. They are not changed.
:param int first: Years between which papers are kept.
:returns: A new list.
:rtype: list
"""
PAPERS = "The papers to sort, e.g. those of a single venue. They are not changed."
YEARS = "Years between which papers are kept."


def document(text, name="library.venue.sort_papers", kind="function", signature="", package="library"):
    meta = {"object": name, "kind": kind, "signature": signature, "package": package, "version": "1"}
    return Document(text, f"docstrings:{package}", meta)


def asked(*documents, **options):
    return {each.meta["kind"]: each for each in docstring_questions(documents, **options)}


def test_the_three_styles_of_docstring_are_read():
    summary = "Sort the papers of a venue by year, the newest first."
    numpy, google, sphinx = map(parse_docstring, (NUMPY, GOOGLE, SPHINX))
    assert {numpy.summary, google.summary, sphinx.summary} == {summary}
    assert numpy.parameters == (
        Field("papers", "list of Paper, optional", PAPERS),
        Field("first", "int", YEARS),
        Field("last", "int", YEARS),
        Field("**options", "", "Passed on."),
    )
    assert google.parameters == (
        Field("papers", "list of Paper, optional", PAPERS),
        Field("first", "", YEARS),
        Field("**options", "", "Passed on."),
    )
    assert sphinx.parameters == (Field("papers", "", PAPERS), Field("first", "int", YEARS))
    assert numpy.returns == (
        Field("ordered", "list of Paper", "A new list."),
        Field("count", "int", "How many were kept."),
    )
    assert google.returns == (Field("", "list of Paper", "A new list."),)
    assert sphinx.returns == (Field("", "", "A new list."),)


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("sort(a, *, axis=-1) -> array\n\nSort along an axis, in place.", "Sort along an axis, in place."),
        ("Args:\n    a (int): A number to be sorted.", ""),
        ("a (int): A number to be sorted, of any size.", ""),
        (">>> sort([1])\n[1]", ""),
        ("Do these things:\n\n- one", ""),
        ("- one thing after another\n- two", ""),
        ("Sort.", ""),
        ("continued from above, as it were.", ""),
        ("Sorts. " + "Very long sentences go on. " * 30, ""),
    ],
)
def test_a_summary_is_running_text_or_nothing(text, summary):
    found = parse_docstring(text).summary
    if text.startswith("Sorts."):
        assert len(found) <= MAX_QUOTE
        assert found.endswith(".")
        assert text.startswith(found)
    else:
        assert found == summary


def test_sentences_are_not_cut_after_an_abbreviation():
    text = f"Sort by a key, e.g. The Title, as does K. Pearson. {'X' * MAX_QUOTE} is left out."
    assert parse_docstring(text).summary == "Sort by a key, e.g. The Title, as does K. Pearson."


def test_all_five_kinds_of_question_have_their_answers():
    english = asked(document(NUMPY), language="en")
    assert set(english) == {kind for kind, _ in QUESTIONS}
    answers = {kind: each.turns[1].content for kind, each in english.items()}
    assert answers["purpose"] == "Sort the papers of a venue by year, the newest first."
    assert answers["which"] == "library.venue.sort_papers."
    assert answers["parameters"].endswith(": papers, first, last, **options.")
    assert answers["returns"] == "ordered (list of Paper): A new list. count (int): How many were kept."
    assert answers["parameter"] in {
        f"papers (list of Paper, optional): {PAPERS}",
        f"first (int): {YEARS}",
        f"last (int): {YEARS}",
        "**options: Passed on.",
    }


def test_a_chinese_question_has_a_chinese_frame_around_the_quotation():
    for each in asked(document(NUMPY), language="zh").values():
        assert all(re.search("[\u4e00-\u9fff]", turn.content) for turn in each.turns)


@pytest.mark.parametrize("signature", ["(papers, first)", "(papers, first, last, *, key=None, **options)"])
def test_parameters_are_not_listed_where_the_docstring_leaves_some_out(signature):
    assert "parameters" not in asked(document(NUMPY, signature=signature))
    whole = "(self, papers: list=(), first=None, last=None, **options)"
    assert "parameters" in asked(document(NUMPY, signature=whole))


def test_which_object_it_is_is_asked_only_if_there_is_one():
    twice = [document(NUMPY), document(GOOGLE, name="library.sort_too")]
    assert "which" not in asked(*twice)
    assert "which" not in asked(document("Deprecated, since nobody sorts papers.\n" + NUMPY[53:]))


def test_private_objects_and_modules_are_not_asked_about():
    for name, kind in (
        ("library._sort", "function"),
        ("library.A.__init__", "method"),
        ("library", "module"),
    ):
        assert not asked(document(NUMPY, name=name, kind=kind))


def test_what_is_drawn_depends_on_the_seed_and_the_object_alone():
    documents = [document(NUMPY.replace("papers", f"papers{i}"), f"library.sort{i}") for i in range(40)]
    first = list(docstring_questions(documents))
    assert first == list(docstring_questions(documents[::-1]))
    again = list(docstring_questions(documents, seed=1))
    assert [each.turns for each in first] != [each.turns for each in again]
    assert {each.meta["language"] for each in first} == {"en", "zh"}
    kinds = [each for each in first if (each.meta["kind"], each.meta["language"]) == ("purpose", "en")]
    assert len({each.turns[0].content.replace(each.meta["object"], "") for each in kinds}) >= 4
    with pytest.raises(ValueError, match="language is 'de'"):
        list(docstring_questions(documents, language="de"))


def test_no_package_is_asked_about_more_than_the_bound_allows():
    large = [document(NUMPY.replace("papers", f"papers{i}"), f"library.sort{i}") for i in range(40)]
    small = [
        document(NUMPY.replace("papers", f"books{i}"), f"shop.sort{i}", package="shop") for i in range(3)
    ]
    unanswerable = [document("x" * 50, f"library.odd{i}") for i in range(40)]
    everything = list(docstring_questions(large + small + unanswerable))
    bounded = list(docstring_questions(large + small + unanswerable, objects_per_package=7))
    chosen = {package: {each.meta["object"] for each in bounded if each.meta["package"] == package}
              for package in ("library", "shop")}  # fmt: skip
    assert {package: len(own) for package, own in chosen.items()} == {"library": 7, "shop": 3}
    assert bounded == [each for each in everything if each.meta["object"] in chosen[each.meta["package"]]]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A real corpus, small enough to be built in a test: each split of the docstrings of two packages."""
    packages = {"networkx": ("networkx",), "joblib": ("joblib",)}
    folder = tmp_path_factory.mktemp("docstrings")
    return {
        split: load_docstrings(split, packages=packages, cache_dir=folder, n_jobs=1, progress=False)
        for split in SPLITS
    }


def test_every_answer_stands_in_the_docstring(corpus):
    """An answer is its frame, and in it quotations with nothing but punctuation between them."""
    documents = {each.meta["object"]: each for each in reversed(corpus["train"])}
    questions = list(docstring_questions(corpus["train"]))
    assert len(questions) > 500
    for each in questions:
        meta, text = each.meta, " ".join(documents[each.meta["object"]].text.split())
        frame = re.escape(ANSWERS[meta["kind"], meta["language"]])
        for key, pattern in (("name", re.escape(meta["object"])), ("parameter", r"\S+"), ("quote", "(.*)")):
            frame = frame.replace(rf"\{{{key}\}}", pattern)
        match = re.fullmatch(frame, each.turns[1].content)
        assert match, each
        rest = match[1] if match.groups() else ""
        for quote in meta["quotes"]:
            assert quote in text, each
            between, _, rest = rest.partition(quote)
            assert not re.search(r"\w", between), each
        assert not re.search(r"\w", rest), each


def test_no_object_of_test_is_asked_about_in_train(corpus):
    objects = {
        split: {each.meta["object"] for each in docstring_questions(corpus[split])} for split in SPLITS
    }
    assert all(objects.values())
    assert not objects["train"] & (objects["test"] | objects["validation"])


def test_a_larger_number_adds_to_a_smaller_one(corpus, monkeypatch):
    monkeypatch.setattr(
        "minillm_lib.corpora.docstrings.questions.load_docstrings", lambda split, **options: corpus[split]
    )
    few, more = (list(load_docstring_qa("train", n, seed=3)) for n in (7, 50))
    assert (len(few), len(more)) == (7, 50)
    assert more[:7] == few
    for split, bound in OBJECTS_PER_PACKAGE.items():
        questions = list(load_docstring_qa(split))
        assert questions == list(docstring_questions(corpus[split], objects_per_package=bound))
        assert len({each.meta["object"] for each in questions if each.meta["package"] == "networkx"}) <= bound
    with pytest.raises(ValueError, match="n is -1"):
        next(load_docstring_qa("train", -1))
