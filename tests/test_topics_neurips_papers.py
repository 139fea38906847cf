from __future__ import annotations

import doctest
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from paper_lists import PAPER_LISTS, abstracts, needs_paper_lists

from minillm_lib.corpora.cleaning.duplicates import shingles
from minillm_lib.corpora.document import Document
from minillm_lib.topics import neurips_papers
from minillm_lib.topics.neurips_papers import (
    SHIPPED_FILE,
    draw,
    load_neurips,
    main,
    quotas,
    read_paper_list,
)

ADDRESS = r"https://papers\.nips\.cc/paper_files/paper/(\d{4})/hash/[0-9a-f]{32}-Abstract\.html"


def test_a_thousand_papers_of_five_years_as_counts() -> None:
    bag = load_neurips()
    assert bag.counts.shape == (1000, len(bag.vocabulary))
    assert Counter(paper["year"] for paper in bag.meta).keys() == set(range(2013, 2018))
    assert 2_000 <= len(bag.vocabulary) <= 5_000
    assert bag.counts.dtype == np.int32
    assert bag.counts.data.min() > 0
    assert bag.counts.sum(axis=1).min() > 0
    document_frequency = np.diff(bag.counts.tocsc().indptr)
    assert document_frequency.min() >= 3
    assert document_frequency.max() <= 300


def test_the_example_in_the_documentation_is_true() -> None:
    assert doctest.testmod(neurips_papers).failed == 0


def test_every_paper_has_a_title_and_its_own_address_in_the_proceedings_of_its_year() -> None:
    papers = load_neurips().meta
    assert all(set(paper) == {"year", "title", "address"} and paper["title"] for paper in papers)
    assert len({paper["address"] for paper in papers}) == 1000
    for paper in papers:
        match = re.fullmatch(ADDRESS, paper["address"])
        assert match is not None, paper
        assert int(match[1]) == paper["year"]


def test_the_vocabulary_reads_well() -> None:
    vocabulary = set(load_neurips().vocabulary.tolist())
    phrases = ["neural network", "gaussian process", "stochastic gradient descent", "reinforcement learning"]
    phrases += ["markov decision process", "variational inference", "gradient descent", "monte carlo"]
    assert vocabulary.issuperset([*phrases, "k-means", "non-convex", "kernel", "bandit", "neuron", "nyström"])
    assert vocabulary.isdisjoint(
        ["et", "al", "eg", "ie", "emph", "cite", "propose", "the", "http", "networks"]
    )
    assert not [term for term in vocabulary if len(term) < 2 or re.search(r"[^\w\- ]|^\d+$", term)]


def test_what_is_shipped_is_small_and_holds_no_prose() -> None:
    assert SHIPPED_FILE.stat().st_size < 2**20
    bag = load_neurips()
    longest = max((term for term in bag.vocabulary), key=lambda term: len(term.split()))
    assert len(longest.split()) <= 4
    assert all(set(paper) == {"year", "title", "address"} for paper in bag.meta)


@needs_paper_lists
def test_no_sentence_of_an_abstract_is_shipped() -> None:
    shipped = shingles(SHIPPED_FILE.read_text(encoding="utf-8"), 8)
    titles = {run for paper in load_neurips().meta for run in shingles(paper["title"], 8)}
    for year in range(2013, 2018):
        for abstract in abstracts(year):
            assert not (shingles(abstract, 8) & shipped) - titles


@needs_paper_lists
def test_the_lists_give_the_shipped_file_byte_for_byte(capsys: pytest.CaptureFixture[str]) -> None:
    main([str(PAPER_LISTS / "nips"), "--check"])
    assert "byte for byte" in capsys.readouterr().out


@needs_paper_lists
def test_years_are_represented_by_the_number_of_their_papers_with_an_abstract() -> None:
    papers = {
        year: read_paper_list(PAPER_LISTS / "nips" / f"nips{year}.json", year) for year in range(2013, 2018)
    }
    drawn = Counter(paper["year"] for paper in load_neurips().meta)
    total = sum(map(len, papers.values()))
    for year in papers:
        assert abs(drawn[year] - 1000 * len(papers[year]) / total) < 1
    known = {(paper.meta["title"], paper.meta["address"]) for year in papers for paper in papers[year]}
    assert {(paper["title"], paper["address"]) for paper in load_neurips().meta} <= known


@needs_paper_lists
def test_a_different_list_is_not_taken_for_the_shipped_one(tmp_path: Path) -> None:
    for year in range(2013, 2018):
        text = (PAPER_LISTS / "nips" / f"nips{year}.json").read_text(encoding="utf-8")
        (tmp_path / f"nips{year}.json").write_text(text.replace("neural", "nasal"), encoding="utf-8")
    before = SHIPPED_FILE.read_bytes()
    with pytest.raises(SystemExit, match="NOT"):
        main([str(tmp_path), "--check"])
    assert SHIPPED_FILE.read_bytes() == before


def test_a_damaged_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "neurips.jsonl"
    damaged.write_bytes(SHIPPED_FILE.read_bytes()[:-100])
    monkeypatch.setattr(neurips_papers, "SHIPPED_FILE", damaged)
    with pytest.raises(ValueError, match=r"neurips\.jsonl is damaged"):
        load_neurips()


@given(st.dictionaries(st.integers(2000, 2020), st.integers(1, 900), min_size=1), st.floats(0, 1))
def test_quotas_fill_the_total_and_are_within_one_of_proportion(sizes: dict[int, int], share: float) -> None:
    available = sum(sizes.values())
    total = int(share * available)
    shares = quotas(sizes, total)
    assert sum(shares.values()) == total
    for year, size in sizes.items():
        assert abs(shares[year] - total * size / available) < 1
        assert 0 <= shares[year] <= size


def test_more_than_there_is_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="cannot draw 5 papers from 4"):
        quotas({2013: 3, 2014: 1}, 5)


def test_the_draw_does_not_depend_on_the_order_and_is_fair() -> None:
    papers = [Document("", meta={"title": f"{i:03}", "address": f"a/{i}"}) for i in range(100)]
    drawn = draw(papers, 10, seed=1)
    assert draw(papers[::-1], 10, seed=1) == drawn
    assert draw(papers, 11, seed=1) != drawn
    assert draw(papers, 10, seed=2) != drawn
    times = Counter(paper.meta["title"] for seed in range(500) for paper in draw(papers, 10, seed))
    # Each count is hypergeometric with mean 50 and standard deviation 6.7; the extremes of 100 stay within 4.5 of it.
    assert len(times) == 100
    assert 20 < min(times.values()) <= max(times.values()) < 80


@pytest.mark.parametrize("content", ["{", "[3]", '[{"abstract": "' + "a" * 200 + '"}]', "{}x"])
def test_a_file_that_is_no_list_of_papers_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "nips2013.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"nips2013\.json is not a list of papers"):
        read_paper_list(path, 2013)
