"""Fetching papers from a server on the loopback interface in the shape of the real sources."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from datetime import date
from functools import partial

import numpy as np
import pytest
from local_server import LocalServer, Reply
from paper_lists import PAPER_LISTS, needs_paper_lists
from proceedings_site import Paper, json_list, list_page, paper_page, papers_of, site

from minillm_lib.corpora import neurips
from minillm_lib.corpora.neurips import LayoutChanged, check_years, fetch_neurips, fetch_papers
from minillm_lib.io.fetch_errors import DownloadError

LIST_2013 = "/paper_files/paper/2013"


@pytest.fixture
def fetch(tmp_path, monkeypatch):
    """``fetch_neurips`` in a hurry."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    quick = {"delay": 0, "backoff": 0.001, "timeout": 5.0, "retries": 2, "progress": False}
    return partial(fetch_neurips, cache_dir=tmp_path / "cache", **quick)


def pdf(text: str) -> bytes:
    import matplotlib
    from matplotlib.figure import Figure

    file = io.BytesIO()
    with matplotlib.rc_context({"pdf.fonttype": 42}):
        figure = Figure()
        figure.text(0.1, 0.5, text)
        figure.savefig(file, format="pdf")
    return file.getvalue()


@pytest.mark.parametrize("modern", [False, True])
def test_all_papers_of_all_years_arrive_in_order(fetch, modern):
    papers = papers_of(2013, 4) + papers_of(2022, 3)
    with LocalServer(site(papers, modern)) as server:
        found = fetch([2013, 2022], base_url=server.url + "/")
    assert [paper.text for paper in found] == [paper.abstract for paper in papers]
    assert [paper.meta["title"] for paper in found] == [paper.title for paper in papers]
    assert [paper.meta["year"] for paper in found] == [2013] * 4 + [2022] * 3
    assert [paper.meta["address"] for paper in found] == [server.url + paper.path for paper in papers]
    assert found.report == neurips.FetchReport(listed=7, fetched=7)


def test_the_number_of_connections_does_not_change_the_result(fetch, tmp_path):
    answers = site(papers_of(2015, 30), True)
    with LocalServer(answers) as server:
        one, many = (
            fetch(2015, base_url=server.url, max_connections=n, cache_dir=tmp_path / str(n)) for n in (1, 5)
        )
    assert one == many
    assert len(server.paths) == 2 * 31
    assert server.most_at_once <= 5


def test_a_second_fetch_asks_for_nothing_and_a_refresh_only_for_lists(fetch):
    with LocalServer(site(papers_of(2013, 3), False)) as server:
        first = fetch(2013, base_url=server.url)
        asked = len(server.paths)
        assert fetch(2013, base_url=server.url) == first
        assert len(server.paths) == asked
        fetch(2013, base_url=server.url, refresh=True)
        assert server.paths[asked:] == [LIST_2013]


def test_all_volumes_of_a_year_are_read_and_each_paper_once(fetch):
    main, art = papers_of(2025, 3), [Paper(2025, 9, "We paint.", "-Creative_AI_Track")]
    first, second = "/paper_files/paper/2025", "/paper_files/paper/2025/vol38-main-conference"
    answers = site(main + art, True)
    answers[first] = Reply(list_page(art, True, see_also=second))
    answers[second] = Reply(list_page([*main, *art], True, see_also=second))
    with LocalServer(answers) as server:
        found = fetch(2025, base_url=server.url)
    assert [paper.meta["track"] for paper in found] == ["creative_ai_track", "main", "main", "main"]


def test_papers_without_abstract_are_left_out_and_counted(fetch):
    papers = papers_of(1993, 5)
    papers[1].abstract, papers[3].abstract = "", "Abstract Unavailable"
    with LocalServer(site(papers, True)) as server:
        found = fetch(1993, base_url=server.url)
    assert [paper.text for paper in found] == [papers[i].abstract for i in (0, 2, 4)]
    assert (found.report.listed, found.report.fetched, found.report.without_abstract) == (5, 3, 2)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Reply(b"<html><h1>We have a new layout</h1></html>"), "the title not found"),
        (Reply(b"broken", 500), "HTTP 500 Internal Server Error after 3 attempts"),
        (Reply(status=404), "HTTP 404 Not Found after 1 attempt"),
        (Reply(b"x" * 100, sent=10), "RemoteProtocolError"),
    ],
)
def test_few_failures_are_reported_and_not_kept(fetch, fault, reason):
    papers = papers_of(2013, 40)
    answers = site(papers, False)
    healthy, answers[papers[7].path] = answers[papers[7].path], fault
    with LocalServer(answers) as server:
        with pytest.warns(UserWarning, match=f"39 of 40 papers fetched.* 1 failed\n.*{reason}"):
            found = fetch(2013, base_url=server.url)
        assert [paper.meta["title"] for paper in found] == [p.title for p in papers if p is not papers[7]]
        assert list(found.report.failed) == [server.url + papers[7].path]
        server.answers[papers[7].path] = [healthy]
        assert len(fetch(2013, base_url=server.url)) == 40


@pytest.mark.parametrize("progress", [False, True])
def test_many_changed_pages_are_an_error_that_names_one_and_what_it_lacks(fetch, progress):
    papers = papers_of(2013, 60)
    answers = site(papers, False)
    for paper in papers[20:]:
        answers[paper.path] = Reply(paper_page(paper, False).replace(b">Abstract<", b">Summary<"))
    with LocalServer(answers) as server:
        with pytest.raises(LayoutChanged, match=rf"{server.url}/\S+: the abstract not found") as caught:
            fetch(2013, base_url=server.url, progress=progress)
        assert "More than 5%" in caught.value.__notes__[0]
        assert len(server.paths) < 40


def test_a_server_that_dies_is_an_error_and_what_has_arrived_is_kept(fetch):
    papers = papers_of(2013, 30)
    healthy = site(papers, False)
    with LocalServer(healthy) as server:
        for paper in papers[12:]:
            server.answers[paper.path] = [Reply(fault="reset")]
        with pytest.raises(DownloadError, match="what has arrived is kept"):
            fetch(2013, base_url=server.url)
        server.asked.clear()
        for paper in papers[12:]:
            server.answers[paper.path] = [healthy[paper.path]]
        assert len(fetch(2013, base_url=server.url)) == 30
        asked, lost = set(server.paths), {paper.path for paper in papers[12:]}
        assert lost <= asked
        assert len(asked - lost) <= 2, "what was on its way on the other connections when the error came"


def test_a_list_with_a_changed_layout_is_an_error_and_not_cached(fetch):
    answers = site(papers_of(2013, 3), True)
    healthy, answers[LIST_2013] = answers[LIST_2013], Reply(b"<html>All new.</html>")
    with LocalServer(answers) as server:
        with pytest.raises(LayoutChanged, match=f"{server.url}{LIST_2013}: links to the abstracts of 2013"):
            fetch(2013, base_url=server.url)
        server.answers[LIST_2013] = [healthy]
        assert len(fetch(2013, base_url=server.url)) == 3


def test_a_list_shorter_than_it_says_is_reported(fetch):
    papers = papers_of(2013, 30)
    answers = site(papers, True)
    answers[LIST_2013] = Reply(list_page(papers, True, stated=31))
    with LocalServer(answers) as server, pytest.warns(UserWarning, match="states 31 papers but links to 30"):
        fetch(2013, base_url=server.url)


def test_a_year_that_is_not_published_is_an_error_that_says_so(fetch):
    with (
        LocalServer({}) as server,
        pytest.raises(DownloadError, match=r"/2014: HTTP 404 .*check the address and the year"),
    ):
        fetch(2014, base_url=server.url)


def test_a_killed_fetch_is_continued_and_asks_for_no_page_twice(fetch, tmp_path):
    papers = papers_of(2013, 12)
    answers = site(papers, True)
    stuck = papers[7].path
    answers[stuck] = [Reply(fault="stall"), answers[stuck]]
    script = (
        "import sys; from minillm_lib.corpora.neurips import fetch_neurips\n"
        "fetch_neurips(2013, base_url=sys.argv[1], cache_dir=sys.argv[2], delay=0, max_connections=1)"
    )
    with LocalServer(answers) as server:
        process = subprocess.Popen([sys.executable, "-c", script, server.url, str(tmp_path / "cache")])
        try:
            assert server.stalled.wait(60)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert server.paths == [LIST_2013] + [paper.path for paper in papers[:8]]
        found = fetch(2013, base_url=server.url)
    assert [paper.text for paper in found] == [paper.abstract for paper in papers]
    assert sorted(server.paths) == sorted([LIST_2013, stuck, *(paper.path for paper in papers)])


@pytest.mark.parametrize("source", ["proceedings", "lists"])
def test_the_full_text_is_read_from_the_pdf(fetch, source):
    papers = papers_of(2022, 3)
    papers[1].abstract = ""
    with LocalServer(site(papers, True)) as server:
        server.answers["/nips/nips2022.json"] = [Reply(json_list(papers, server.url))]
        for paper in papers:
            server.answers[paper.pdf] = [Reply(pdf(f"The whole of paper {paper.number},\nand its end."))]
        found = fetch(2022, source, full_text=True, base_url=server.url, max_connections=3)
    assert [paper.text for paper in found] == [f"The whole of paper {n},\nand its end." for n in range(3)]
    assert [paper.meta["abstract"] for paper in found] == [paper.abstract for paper in papers]
    assert found.report.without_abstract == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html>Not found</html>", "not a PDF"),
        (b"%PDF-1.4 and then nothing of the kind", "the PDF cannot be read"),
        (pdf(""), "a PDF without text"),
    ],
)
def test_a_pdf_that_cannot_be_read_is_reported(fetch, content, reason):
    papers = papers_of(2013, 3)
    answers = site(papers, True) | {paper.pdf: Reply(pdf("Text.")) for paper in papers}
    answers[papers[2].pdf] = Reply(content)
    with LocalServer(answers) as server, pytest.warns(UserWarning, match=reason):
        found = fetch(2013, full_text=True, base_url=server.url, max_failed_share=0.5)
    assert len(found) == 2
    assert list(found.report.failed) == [server.url + papers[2].pdf]


def test_lists_give_the_same_papers_as_the_site(fetch):
    papers = papers_of(2013, 6)
    with LocalServer(site(papers, True)) as server:
        server.answers["/nips/nips2013.json"] = [Reply(json_list(papers, server.url))]
        listed, read = (fetch(2013, source, base_url=server.url) for source in ("lists", "proceedings"))
    assert [paper.text for paper in listed] == [paper.text for paper in read]
    assert [{**paper.meta, "status": "Poster"} for paper in read] == [paper.meta for paper in listed]


@needs_paper_lists
@pytest.mark.parametrize(("venue", "years"), [("nips", range(1987, 2018)), ("icml", [2013, 2019])])
def test_the_real_lists_arrive_complete(tmp_path, monkeypatch, venue, years):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    files = {
        f"/{venue}/{venue}{year}.json": (PAPER_LISTS / venue / f"{venue}{year}.json").read_bytes()
        for year in years
    }
    with LocalServer({path: Reply(content) for path, content in files.items()}) as server:
        found = fetch_papers(venue, years, base_url=server.url, cache_dir=tmp_path, delay=0, progress=False)
    rows = [row for content in files.values() for row in json.loads(content)]
    assert found.report.listed == len(rows)
    assert found.report.fetched + found.report.without_abstract == len(rows)
    assert found.report.without_abstract < len(rows) / 50
    texts = ["".join((row.get("abstract") or "").split()) for row in rows]
    kept = ["".join(paper.text.split()) for paper in found]
    none = ("abstractunavailable", "partof")
    assert kept == [text for text in texts if any(map(str.isalnum, text)) and text.lower() not in none]
    assert all(paper.meta["title"] and paper.meta["authors"] for paper in found)
    assert all(paper.meta["address"].startswith("http") and paper.meta["year"] in years for paper in found)


def test_papers_that_were_not_accepted_are_left_out_and_counted(serve, tmp_path):
    statuses = ["Poster", "Reject", "Oral", "Withdraw", "Desk Reject", "", "Spotlight"]
    server = serve(Reply())
    server.answers["/iclr/iclr2018.json"] = [Reply(json_list(papers_of(2018, 7), "", statuses))]
    quick = {"base_url": server.url, "cache_dir": tmp_path, "delay": 0, "progress": False}
    found = fetch_papers("iclr", 2018, **quick)
    assert [paper.meta["status"] for paper in found] == ["Poster", "Oral", "", "Spotlight"]
    assert (found.report.listed, found.report.not_accepted) == (7, 3)
    assert len(fetch_papers("iclr", 2018, accepted_only=False, **quick)) == 7


@pytest.mark.parametrize("content", [b'{"papers": []}', b'["a title"]', b'[{"name": "a title"}]'])
def test_a_list_of_another_shape_is_an_error(fetch, serve, content):
    server = serve(Reply())
    server.answers["/nips/nips2013.json"] = [Reply(content)]
    with pytest.raises(LayoutChanged, match=r"nips2013.json: a list of papers with titles not found"):
        fetch(2013, "lists", base_url=server.url)


def test_a_list_cut_where_http_cannot_see_it_is_fetched_again(fetch, serve):
    server = serve(Reply())
    whole = json_list(papers_of(2013, 9), "")
    server.answers["/nips/nips2013.json"] = [Reply(whole, sent=999, fault="no length"), Reply(whole)]
    assert len(fetch(2013, "lists", base_url=server.url)) == 9


@pytest.mark.parametrize("key", ["title", "author", "abstract", "oa", "site", "pdf", "track", "status"])
@pytest.mark.parametrize("value", ["5", "[1]", '{"a": 1}', "true"])
def test_a_list_with_other_values_than_texts_is_an_error(fetch, serve, key, value):
    server = serve(Reply())
    second = {"title": "second"} | {key: json.loads(value)}
    server.answers["/nips/nips2013.json"] = [Reply(json.dumps([{"title": "first"}, second]).encode())]
    with pytest.raises(LayoutChanged, match=f"a text under '{key}' of paper 1 not found"):
        fetch(2013, "lists", base_url=server.url)


@pytest.mark.parametrize(
    ("content", "reason"), [(b"[" * 100_000, "nested more"), (b"[" + b"1" * 5000, "an integer of")]
)
def test_a_list_that_would_end_the_parser_is_an_error(fetch, serve, content, reason):
    server = serve(Reply())
    server.answers["/nips/nips2013.json"] = [Reply(content)]
    with pytest.raises(DownloadError, match=rf"damaged content \({reason}"):
        fetch(2013, "lists", base_url=server.url)


def test_the_pointer_to_a_large_list_is_followed(fetch, serve, monkeypatch):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    server = serve(Reply())
    server.answers["/raw/lists/nips/nips2013.json"] = [Reply(pointer)]
    server.answers["/large/lists/nips/nips2013.json"] = [Reply(json_list(papers_of(2013, 2), ""))]
    with pytest.raises(LayoutChanged, match="Git LFS pointer"):
        fetch(2013, "lists", base_url=server.url + "/raw/lists")
    monkeypatch.setattr(neurips, "_RAW_FILES", server.url + "/raw/")
    monkeypatch.setattr(neurips, "_LARGE_FILES", server.url + "/large/")
    assert len(fetch(2013, "lists", base_url=server.url + "/raw/lists")) == 2


@pytest.mark.parametrize(
    ("years", "expected"),
    [
        (2013, [2013]),
        (np.int64(2013), [2013]),
        (range(2013, 2016), [2013, 2014, 2015]),
        ((year for year in (2015, 1987, 2015)), [2015, 1987]),
        (date.today().year, [date.today().year]),
    ],
)
def test_years_may_be_one_or_many(years, expected):
    assert check_years(years) == expected


@pytest.mark.parametrize(
    "years", [1986, date.today().year + 1, 2013.0, "2013", "", [], None, True, [2013, "2014"], [2013, 1900]]
)
def test_years_that_cannot_be_are_refused_with_what_is_allowed(years):
    with pytest.raises(ValueError, match=f"from 1987 to {date.today().year}"):
        fetch_neurips(years)


def test_unknown_sources_and_venues_are_refused():
    with pytest.raises(ValueError, match="'proceedings' or 'lists', got 'papers'"):
        fetch_neurips(2013, "papers")
    with pytest.raises(ValueError, match=r"got '\.\./nips'"):
        fetch_papers("../nips", 2013)
