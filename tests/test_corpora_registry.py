from __future__ import annotations

import json
from inspect import signature
from itertools import chain

import pytest
from local_server import LocalServer, Reply
from typer.testing import CliRunner

from minillm_lib.cli.text import data_app
from minillm_lib.corpora import registry
from minillm_lib.corpora.docstrings.corpus import load_docstrings
from minillm_lib.corpora.document import SPLITS, Document, split_of
from minillm_lib.corpora.faq import faq_questions
from minillm_lib.corpora.files import read_files
from minillm_lib.corpora.hub import fetch_hub_corpus, load_hub_corpus
from minillm_lib.corpora.neurips import fetch_neurips, fetch_papers
from minillm_lib.corpora.reading.report import ReadError
from minillm_lib.corpora.registry import CORPORA, corpus_stats, fetch_corpus, load_corpus
from minillm_lib.io.download import Downloader


@pytest.fixture
def folder(tmp_path):
    lines = [json.dumps({"text": f"document {i}", "language": "en" if i % 4 else "zh"}) for i in range(400)]
    (tmp_path / "mine.jsonl").write_text("\n".join(lines))
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(data_app, list(map(str, arguments)), catch_exceptions=False)


def test_every_corpus_says_what_it_is():
    assert set(CORPORA) >= {
        *("docstrings", "grammar", "course-faq", "neurips", "icml", "iclr", "tinystories"),
        *("minimind-pretrain", "minimind-sft", "files"),
    }
    for name, corpus in CORPORA.items():
        assert corpus.name == name
        assert all((corpus.description, corpus.licence, corpus.size, corpus.language))
    offline = {name for name, corpus in CORPORA.items() if not corpus.needs_network}
    assert offline == {"docstrings", "grammar", "course-faq", "files"}
    faq = corpus_stats(load_corpus("course-faq", split="all")).total
    assert CORPORA["course-faq"].size == f"{faq.bytes / 1e6:.1f} MB"
    assert CORPORA["grammar"].size.endswith(
        f"{sum(1 for _ in load_corpus('grammar', split='all')):,} documents"
    )


def test_the_splits_of_a_corpus_are_disjoint_and_make_up_the_whole(folder):
    parts = {split: [d.text for d in load_corpus("files", split=split, paths=folder)] for split in SPLITS}
    whole = [d.text for d in load_corpus("files", split="all", paths=folder)]
    assert len(whole) == 400
    assert sorted(chain.from_iterable(parts.values())) == sorted(whole)
    assert {split: {split_of(text) for text in own} for split, own in parts.items()} == {
        split: {split} for split in SPLITS
    }
    assert len(parts["train"]) / 400 == pytest.approx(0.9, abs=0.05)


def test_the_grammar_is_a_corpus_in_two_languages():
    documents = list(load_corpus("grammar", split="all", n=20, seed=3))
    assert [d.meta["language"] for d in documents] == ["en", "zh"] * 20
    assert documents == list(load_corpus("grammar", split="all", n=20, seed=3))
    assert {d.meta["language"] for d in load_corpus("grammar", n=20, language="zh")} == {"zh"}


def test_the_faq_is_a_corpus_and_no_question_is_in_two_splits():
    parts = {split: {d.text for d in load_corpus("course-faq", split=split)} for split in SPLITS}
    whole = [d.text for d in load_corpus("course-faq", split="all")]
    assert sum(map(len, parts.values())) == len(set(whole)) == len(faq_questions())
    assert all(parts.values())
    assert {d.meta["language"] for d in load_corpus("course-faq", language="zh")} == {"zh"}


def test_each_option_is_one_that_the_readers_take():
    """What a corpus says it takes is a parameter of the function that reads it, or of the downloader."""
    downloading = [*signature(Downloader).parameters]
    readers = {
        "docstrings": [load_docstrings],
        "neurips": [fetch_neurips],
        "icml": [fetch_papers],
        "tinystories": [load_hub_corpus, fetch_hub_corpus],
        "files": [read_files],
    }
    for name, functions in readers.items():
        taken = {each for function in functions for each in signature(function).parameters}
        assert CORPORA[name].options.keys() <= taken, name
    assert registry._DOWNLOADING.keys() <= {*downloading, "base_url", "progress"}
    assert registry._DOWNLOADING.keys() >= {*downloading}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("grammar", {"nn": 3}, "grammar has no option 'nn'; allowed options: n, seed, language"),
        ("docstrings", {"delay": 1}, "docstrings has no option 'delay'; allowed options: packages, cache_dir"),
        ("icml", {"yeras": 2017}, "icml has no option 'yeras'; allowed options: years, .*accepted_only, .*retries"),
        ("icml", {"years": "x"}, "icml: years is 'x'; input should be a valid integer"),
        ("neurips", {"source": "web"}, "source is 'web'; input should be 'proceedings' or 'lists'"),
        ("grammar", {"n": "many"}, "grammar: n is 'many'; input should be a valid integer"),
        ("files", {"paths": ".", "max_faulty_share": "all"}, "max_faulty_share is 'all'; input should be a valid n"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_named_with_what_is_allowed(name, options, message):
    for function in (load_corpus, fetch_corpus):
        with pytest.raises(ValueError, match=message):
            function(name, **options)


def test_options_may_come_as_strings_and_none_is_no_option(folder):
    assert list(load_corpus("grammar", n="3", seed="1")) == list(load_corpus("grammar", n=3, seed=1))
    assert list(load_corpus("grammar", n=3, seed=None)) == list(load_corpus("grammar", n=3))
    (folder / "broken.jsonl").write_text("{\n")
    with pytest.raises(ReadError, match=r"broken\.jsonl:1"):
        list(load_corpus("files", split="all", paths=str(folder), max_faulty_share="0"))
    with pytest.warns(UserWarning, match=r"broken\.jsonl:1"):
        assert (
            len(list(load_corpus("files", split="all", paths=[str(folder)], max_faulty_share="0.5"))) == 400
        )


def test_a_venue_comes_from_the_public_lists(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    rows = [{"title": f"T{i}", "abstract": f"We study {i} topics.", "status": "Poster"} for i in range(30)]
    with LocalServer({"/icml/icml2019.json": Reply(json.dumps(rows).encode())}) as server:
        options = {
            "years": 2019,
            "base_url": server.url,
            "cache_dir": tmp_path,
            "delay": 0,
            "progress": False,
        }
        assert fetch_corpus("icml", **options) == "30 abstracts in the cache"
        papers = list(load_corpus("icml", split="all", **options))
        assert len(server.asked) == 1
    assert papers[4].text == "We study 4 topics."


def test_what_is_wrong_is_named():
    with pytest.raises(
        ValueError, match="there is no corpus 'c4'; the corpora are docstrings, grammar, course-faq, neurips"
    ):
        load_corpus("c4")
    with pytest.raises(
        ValueError, match="split is 'dev'; allowed values: 'train', 'validation', 'test', 'all'"
    ):
        load_corpus("docstrings", split="dev")
    with pytest.raises(ValueError, match="needs the option paths"):
        load_corpus("files")
    with pytest.raises(ValueError, match="there are no documents to count"):
        corpus_stats([])
    with pytest.raises(ValueError, match="language is 'fr'"):
        load_corpus("grammar", language="fr")


def test_statistics_count_bytes_characters_and_words():
    documents = [
        Document("主题模型", meta={"language": "zh"}),
        Document("a topic model", meta={"language": "en"}),
        Document("one", meta={"language": "en"}),
    ]
    stats = corpus_stats(documents)
    assert stats.group_by == "language"
    english, chinese = stats.groups
    assert (english.name, english.documents, english.bytes, english.words) == ("en", 2, 16, 4)
    assert (chinese.characters, chinese.bytes, chinese.words) == (4, 12, 4)
    assert stats.total.bytes == 28
    assert english.share + chinese.share == pytest.approx(1)
    assert stats.total.quantiles == (3, 4, 4)
    table = str(stats).splitlines()
    assert table[0].split()[:3] == ["language", "documents", "MB"]
    assert table[-1].startswith("total")


def test_the_command_lists_shows_and_counts(folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    listed = run("list").output
    assert all(name in listed for name in CORPORA)
    shown = run("show", "files", "--split", "all", "-n", 2, "--skip", 5, "--option", f"paths={folder}").output
    assert "document 5" in shown
    assert "document 6" in shown
    assert "document 7" not in shown
    assert '"language": "en"' in shown
    counted = run("stats", "files", "--option", f"paths={folder}").output
    assert "400" in counted
    assert "zh" in counted
    assert "nothing to fetch" in run("fetch", "grammar").output


def test_the_command_takes_options_of_every_type(folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    (folder / "broken.jsonl").write_text("{\n")
    paths = ["--option", f"paths={folder / 'mine.jsonl'}", "--option", f"paths={folder / 'broken.jsonl'}"]
    with pytest.warns(UserWarning, match="1 record"):
        counted = run("stats", "files", *paths, "--option", "max_faulty_share=0.01").output
    assert "400" in counted
    assert "…" not in counted, "80 columns are enough"
    with pytest.raises(ReadError):
        run("stats", "files", *paths, "--option", "max_faulty_share=0")


def test_a_group_that_no_document_has_is_an_error():
    with pytest.raises(ValueError, match="group_by is 'yaer', which no document has in its meta"):
        corpus_stats([Document("a", meta={"year": 1})], group_by="yaer")
    stats = corpus_stats([Document("a", meta={"year": 1}), Document("b")], group_by="year")
    assert {group.name for group in stats.groups} == {"1", "?"}


def test_the_command_refuses_what_is_no_option():
    with pytest.raises(ValueError, match="give a name and a value, such as years=2017"):
        run("stats", "grammar", "--option", "years")
    assert run("show", "grammar", "-n", 0).exit_code == 2
