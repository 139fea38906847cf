from __future__ import annotations

import json
from itertools import chain

import pytest
from local_server import LocalServer, Reply
from typer.testing import CliRunner

from minillm_lib.cli_data import data_app
from minillm_lib.corpora.document import Document
from minillm_lib.corpora.registry import (
    CORPORA,
    SPLITS,
    corpus_stats,
    fetch_corpus,
    load_corpus,
    split_of,
)


@pytest.fixture
def folder(tmp_path):
    lines = [json.dumps({"text": f"document {i}", "language": "en" if i % 4 else "zh"}) for i in range(400)]
    (tmp_path / "mine.jsonl").write_text("\n".join(lines))
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(data_app, list(map(str, arguments)), catch_exceptions=False)


def test_every_corpus_says_what_it_is():
    assert set(CORPORA) >= {
        *("docstrings", "grammar", "neurips", "icml", "iclr", "tinystories"),
        *("minimind-pretrain", "minimind-sft", "files"),
    }
    for name, corpus in CORPORA.items():
        assert corpus.name == name
        assert all((corpus.description, corpus.licence, corpus.size, corpus.language))
    offline = {name for name, corpus in CORPORA.items() if not corpus.needs_network}
    assert offline == {"docstrings", "grammar", "files"}


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
    with pytest.raises(ValueError, match="there is no corpus 'c4'; there are docstrings, grammar, neurips"):
        load_corpus("c4")
    with pytest.raises(ValueError, match="split is 'dev'; allowed are 'train', 'validation', 'test', 'all'"):
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
    assert stats.total.quantiles[2] == 4
    table = str(stats).splitlines()
    assert table[0].split()[:3] == ["language", "documents", "MB"]
    assert table[-1].startswith("total")


def test_the_command_lists_shows_and_counts(folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    listed = run("list").output
    assert all(name in listed for name in CORPORA)
    shown = run("show", "files", "--split", "all", "-n", 2, "--skip", 5, "-o", f"paths={folder}").output
    assert "document 5" in shown
    assert "document 6" in shown
    assert "document 7" not in shown
    assert '"language": "en"' in shown
    counted = run("stats", "files", "-o", f"paths={folder}").output
    assert "400" in counted
    assert "zh" in counted
    assert "nothing to fetch" in run("fetch", "grammar").output


def test_the_command_refuses_what_is_no_option():
    with pytest.raises(ValueError, match="give a name and a value, such as years=2017"):
        run("stats", "grammar", "-o", "years")
    assert run("show", "grammar", "-n", 0).exit_code == 2
