"""Reading the pages of the proceedings site, in both layouts that it has had."""

from __future__ import annotations

import pytest
from proceedings_site import Paper, list_page, paper_page, papers_of

from minillm_lib.corpora.neurips import (
    LayoutChanged,
    clean_abstract,
    parse_list_page,
    parse_paper_page,
    split_names,
)

HOST = "https://papers.nips.cc"
LAYOUTS = pytest.mark.parametrize("modern", [False, True])


def read(paper: Paper, page: bytes):
    return parse_paper_page(page, HOST + paper.path, paper.year)


@LAYOUTS
@pytest.mark.parametrize("tagged", [False, True])
@pytest.mark.parametrize(("year", "track"), [(1987, ""), (2021, ""), (2022, "-Conference")])
def test_a_paper_has_its_facts_and_its_abstract(modern, tagged, year, track):
    paper = Paper(year, 12, "We count & compare.", track)
    found = read(paper, paper_page(paper, modern, "https://proceedings.neurips.cc" if tagged else ""))
    assert found.text == "We count & compare."
    assert found.meta == {
        "venue": "nips",
        "year": year,
        "title": paper.title,
        "authors": ["Ada B. Lovelace12", "Jürgen Weiß"],
        "address": HOST + paper.path,
        "pdf": ("https://proceedings.neurips.cc" if tagged else HOST) + paper.pdf,
        "track": "main",
    }


@LAYOUTS
def test_the_track_is_read_from_the_address(modern):
    paper = Paper(2023, 1, "We collect.", "-Datasets_and_Benchmarks")
    assert read(paper, paper_page(paper, modern)).meta["track"] == "datasets_and_benchmarks"


@LAYOUTS
@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("if k<n and $W<d$, then a<b or c>d.", "if k<n and $W<d$, then a<b or c>d."),
        ("for <em>all</em> x<sub>i</sub><br>and &lt;y&gt;", "for all xi\nand <y>"),
        ("<p>One.</p><p>Two.</p>", "One.\nTwo."),
        ("  indented\n   and broken-\n ly set ", "indented\nand broken-\nly set"),
        (
            "see <https://example.org/code> and <b class='x'>that</b>",
            "see <https://example.org/code> and that",
        ),
    ],
)
def test_markup_goes_and_everything_else_stays(modern, written, meant):
    paper = Paper(2024, 1, written, "-Conference")
    assert read(paper, paper_page(paper, modern)).text == meant


@LAYOUTS
@pytest.mark.parametrize("written", ["", "  ", "Abstract Unavailable", "(No Abstract)", "None"])
def test_a_paper_may_have_no_abstract(modern, written):
    paper = Paper(1993, 1, written)
    assert read(paper, paper_page(paper, modern)).text == ""


@pytest.mark.parametrize("text", ["None of the models wins.", "Part of speech", "No abstract nonsense here"])
def test_an_abstract_may_begin_like_an_excuse(text):
    assert clean_abstract(text) == text


@LAYOUTS
def test_a_page_without_its_landmarks_is_an_error_that_names_them(modern):
    paper = Paper(2019, 3, "We change.")
    page = paper_page(paper, modern)
    with pytest.raises(LayoutChanged, match=rf"{paper.path}: the abstract not found"):
        read(paper, page.replace(b">Abstract<", b">Summary<"))
    with pytest.raises(LayoutChanged, match=rf"{paper.path}: the title not found"):
        read(paper, b"<html><body><h2>Abstract</h2><p>Text.</p></body></html>")


@LAYOUTS
@pytest.mark.parametrize("year", [1987, 2022])
def test_a_list_links_to_its_papers_once_and_in_order(modern, year):
    papers = papers_of(year, 5)
    page = parse_list_page(list_page([*papers, papers[0]], modern), f"{HOST}/paper_files/paper/{year}", year)
    assert page.papers == [HOST + paper.path for paper in papers]
    assert page.volumes == []


def test_a_list_says_how_long_it_is_and_where_the_others_are():
    volume = "/paper_files/paper/2025/vol38-main-conference"
    page = list_page(papers_of(2025, 2), True, see_also=volume, stated=2834)
    found = parse_list_page(page, f"{HOST}/paper_files/paper/2025", 2025)
    assert (found.stated, found.volumes) == (2834, [HOST + volume])


def test_a_list_of_nothing_of_that_year_is_an_error():
    page = list_page(papers_of(2020, 3), True)
    with pytest.raises(LayoutChanged, match=r"paper/2021: links to the abstracts of 2021 not found"):
        parse_list_page(page, f"{HOST}/paper_files/paper/2021", 2021)


def test_names_are_split_at_semicolons_or_else_at_commas():
    assert split_names("Ada  Lovelace; Mary Somerville, FRS;") == ["Ada Lovelace", "Mary Somerville, FRS"]
    assert split_names("Ada Lovelace, Mary Somerville") == ["Ada Lovelace", "Mary Somerville"]
    assert split_names("") == []
