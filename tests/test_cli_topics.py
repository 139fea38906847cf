"""``minillm lda`` with files of one's own, and ``minillm topics``."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from minillm_lib.corpora.document import Document
from minillm_lib.topics import GibbsLDA, TopicModel, bag_of_words

THEMES = ["river harbour boat anchor sailor tide", "bread flour oven yeast dough baker"]
QUICK = ["-k", "2", "--sweeps", "30", "--chains", "2"]


def texts(n, seed=0):
    rng = random.Random(seed)
    return ["The " + " and ".join(rng.choices(THEMES[i % 2].split(), k=40)) for i in range(n)]


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    """A folder of texts on two plain themes."""
    folder = tmp_path_factory.mktemp("own") / "notes"
    folder.mkdir()
    for i, text in enumerate(texts(14)):
        (folder / f"{i:02}.txt").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model that was made in Python."""
    documents = [
        Document(text, f"notes/{i}.txt", {"title": f"Note {i}", "year": 2000 + i})
        for i, text in enumerate(texts(14))
    ]
    bag = bag_of_words(documents, phrases=False)
    lda = GibbsLDA(2, n_sweeps=40, n_chains=2, random_state=0).fit(bag.counts)
    return TopicModel(lda, bag).save(tmp_path_factory.mktemp("saved") / "model")


def in_a_process(*arguments, cwd, encoding="utf-8", **environment):
    return subprocess.run(
        [sys.executable, "-m", "minillm_lib", *map(str, arguments)],
        capture_output=True,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "120", "TERM": "dumb", "PYTHONIOENCODING": encoding, **environment},
        check=False,
    )


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_a_model_is_saved_and_exported_and_applied_to_new_documents(minillm, notes, tmp_path):
    result = minillm("lda", notes, *QUICK, "--save", "model", "--export", "results", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "14 documents from 14 files" in result.stdout
    assert "Stability" in result.stdout
    assert (tmp_path / "lda-report.html").exists()
    assert (tmp_path / "results" / "document_topics.csv").exists()
    loaded = TopicModel.load(tmp_path / "model")
    assert "00.txt" in loaded.bag.meta[0]["source"]

    new = tmp_path / "new"
    new.mkdir()
    boats, bread = texts(2, seed=7)
    (new / "boats.txt").write_text(boats, encoding="utf-8")
    (new / "bread.txt").write_text(bread, encoding="utf-8")
    (new / "zebra.txt").write_text("Zebras and quaggas, quaggas and zebras.", encoding="utf-8")
    with pytest.warns(UserWarning, match="1 of 3 documents have no term that the model knows"):
        result = minillm("topics", "apply", "model", "--text", "new", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    rows = table(result.stdout)
    assert [row["title"] for row in rows] == ["boats", "bread", "zebra"]
    assert [row["n_known"] for row in rows] == ["40", "40", "0"]
    names = [name for name in rows[0] if name.startswith("topic ")]
    expected = loaded.lda.transform(loaded.bag.encode([boats, bread]).counts)
    np.testing.assert_allclose(
        [[float(row[name]) for name in names] for row in rows[:2]], expected, rtol=1e-5
    )
    assert {rows[2][name] for name in names} == {""}
    assert "3 documents from 3 files" in result.stderr


def test_apply_writes_files_that_excel_and_pandas_read(minillm, saved, notes, tmp_path):
    for name in ("topics.csv", "topics.parquet"):
        result = minillm("topics", "apply", saved, notes, "-o", name, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert result.stdout.startswith(f"The topics: {name}")
    assert (tmp_path / "topics.csv").read_bytes().startswith("\ufeff".encode())
    assert len(table((tmp_path / "topics.csv").read_text(encoding="utf-8-sig"))) == 14


def test_show_report_export_and_label(minillm, saved, tmp_path):
    shown = minillm("topics", "show", saved, "-n", "3")
    assert shown.returncode == 0, shown.stderr
    assert "2 topics of 14 documents" in shown.stdout
    assert shown.stdout.count("river") + shown.stdout.count("tide") > 0

    (tmp_path / "names.txt").write_text("0: first name\n", encoding="utf-8")
    copy = TopicModel.load(saved).save(tmp_path / "copy")
    labelled = minillm("topics", "label", copy, "--labels", tmp_path / "names.txt")
    assert labelled.stdout.startswith("0: first name\n1: ")
    assert TopicModel.load(copy).labels == ("first name", "")
    assert "first name" in minillm("topics", "show", copy).stdout

    result = minillm("topics", "report", copy, "-o", tmp_path / "r.html")
    assert result.returncode == 0, result.stderr
    assert "first name" in (tmp_path / "r.html").read_text(encoding="utf-8")

    result = minillm("topics", "export", copy, tmp_path / "out", "--export-format", "parquet")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "topic_terms.parquet").exists()
    topics = json.loads((tmp_path / "out" / "topics.json").read_text(encoding="utf-8"))
    assert topics[0]["label"] == "first name"


def test_words_of_ones_own(minillm, notes, tmp_path):
    (tmp_path / "stop.txt").write_text("the, and\nriver  # comes everywhere\n", encoding="utf-8")
    (tmp_path / "names.txt").write_text("1: second\n", encoding="utf-8")
    (tmp_path / "seeds.txt").write_text("Baking: bread, flour, never\n", encoding="utf-8")
    options = ["--stop-words", "stop.txt", "--labels", "names.txt", "--seed-words", "seeds.txt"]
    options += ["--keep", "and,unheard", "--save", "model", "--no-phrases", "--no-lemmas"]
    with pytest.warns(UserWarning, match="never") as warned:
        result = minillm("lda", notes, *QUICK, *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    vocabulary = set(TopicModel.load(tmp_path / "model").bag.vocabulary)
    assert "river" not in vocabulary
    assert "and" in vocabulary, "what is kept is neither a stop word nor too common"
    said = " ".join(str(warning.message) for warning in warned)
    assert "seed words are not in the vocabulary and have no effect: never" in said
    assert "unheard" in result.stdout + said
    assert "second" in result.stdout
    loaded = TopicModel.load(tmp_path / "model")
    assert {"bread", "flour"} <= {term["term"] for term in loaded.topics()[0]["terms"]}, "topic 0 was seeded"


def test_labels_of_seed_words_name_the_topics(minillm, notes, tmp_path):
    (tmp_path / "seeds.txt").write_text("Baking: bread, flour\nShips: river, boat\n", encoding="utf-8")
    result = minillm("lda", notes, *QUICK, "--seed-words", "seeds.txt", "--save", "model", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert TopicModel.load(tmp_path / "model").labels == ("Baking", "Ships")
    assert "Ships" in (tmp_path / "lda-report.html").read_text(encoding="utf-8")


def test_seed_words_may_name_topics_by_their_numbers(minillm, notes, tmp_path):
    (tmp_path / "seeds.txt").write_text("1: river, boat\n", encoding="utf-8")
    result = minillm("lda", notes, *QUICK, "--seed-words", "seeds.txt", "--save", "model", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    model = TopicModel.load(tmp_path / "model")
    assert model.labels is None, "a number is no name"
    assert {"river", "boat"} <= {term["term"] for term in model.topics()[1]["terms"]}
    (tmp_path / "seeds.txt").write_text("2: river, boat\n", encoding="utf-8")
    refused = minillm("lda", notes, *QUICK, "--seed-words", "seeds.txt", cwd=tmp_path)
    assert refused.returncode == 2
    assert "words for topic '2', but there are 2 topics, 0 to 1" in refused.stderr


def test_a_comparison_says_that_it_is_without_seed_words(minillm, notes, tmp_path):
    (tmp_path / "seeds.txt").write_text("Baking: bread, flour\n", encoding="utf-8")
    for seeds in ([], ["--seed-words", "seeds.txt"]):
        result = minillm("lda", notes, *QUICK, "--compare", "2", *seeds, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert ("The comparison is without the seed words." in result.stdout) == bool(seeds)


@pytest.mark.parametrize(
    ("n", "said"),
    [(2, "--compare needs at least 3 documents, and there are 2: nothing is compared"), (3, " – ")],
)
def test_few_documents_are_compared_as_far_as_they_can_be_and_then_fitted(minillm, tmp_path, n, said):
    lines = (json.dumps({"text": text}) for text in texts(n))
    (tmp_path / "few.jsonl").write_text("\n".join(lines), encoding="utf-8")
    result = minillm(
        "lda", "few.jsonl", *QUICK, "--compare", "2", "--min-df", "1", "--max-df", "1.0", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert said in result.stdout


def test_nothing_is_written_into_the_folder_of_a_saved_model(minillm, saved, notes, tmp_path):
    copy = TopicModel.load(saved).save(tmp_path / "copy")
    for arguments in (
        ["export", copy, copy],
        ["report", copy, "-o", copy / "r.html"],
        ["apply", copy, notes, "-o", copy / "t.csv"],
    ):
        result = minillm("topics", *arguments)
        assert result.returncode == 2
        assert "is a saved topic model; name a place outside of it" in result.stderr
    assert len(list(copy.iterdir())) == 3


def test_paths_may_be_many_and_globs(minillm, notes, tmp_path):
    result = minillm("lda", "--text", notes / "0[0-4].txt", notes / "1*.txt", *QUICK, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "9 documents from 9 files" in result.stdout


def test_a_column_called_source_stays_as_it_is(minillm, tmp_path):
    rows = [{"text": text, "source": "The Daily News"} for text in texts(8)]
    (tmp_path / "news.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    result = minillm("lda", "news.jsonl", *QUICK, "--save", "model", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    facts = TopicModel.load(tmp_path / "model").bag.meta[0]
    assert facts["source"] == "The Daily News"
    assert facts["file"].startswith("news.jsonl")


def test_too_many_topics_are_warned_of(minillm, notes, tmp_path):
    result = minillm("lda", notes, "-k", "20", "--sweeps", "5", "--chains", "1", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "20 topics are more than there are documents (14)" in result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--chains", "0"], "Invalid value for '--chains'"),
        (["-k", "1000000"], "n_topics=1,000,000 needs about"),
        (["--compare", "5,1000000000"], "n_topics=1,000,000,000 needs"),
        (["--beta", "-1"], "--beta is -1; it must be from 1e-100 to 1e+09"),
        (["--seed", "-1"], "Invalid value for '--seed'"),
        (["--compare", "5,x"], "whole numbers with commas"),
        (["--compare", "0,5"], "each at least 1"),
        (["--language", "xx"], "language is 'xx'"),
        (["--repairs", "all,LaTeX"], "--repairs 'all': allowed are all, none, or some of"),
        (["--stop-words", "none.txt"], "--stop-words 'none.txt': there is no such file"),
        (["--stop-words", "default,abstracts"], "exclude each other"),
        (["--keep", "none.txt"], "none.txt"),
        (["--user-dict", "none.txt"], "none.txt"),
        (["--seed-words", "none.txt"], "none.txt"),
        (["--labels", "none.txt"], "none.txt"),
        (["--labels", "file"], "holds 1 names for 10 topics"),
        (["--min-df", "many"], "--min-df 'many': give a number of documents"),
        (["--max-df", "1.5"], "--max-df '1.5'"),
        (["--max-df", "0"], "--max-df '0'"),
        (["--max-terms", "0"], "Invalid value for '--max-terms'"),
        (["--max-faulty", "2"], "Invalid value for '--max-faulty'"),
        (["--encoding", "utf-99"], "utf-99"),
        (["--save", "full"], "no part of a model"),
        (["--save", "file"], "it is a file"),
        (
            ["--save", "m", "--export", "m"],
            "--export m is in the folder of the model, --save m; name another place",
        ),
        (["--save", "m", "-o", "m/report.html"], "--output m/report.html is in the folder of the model"),
        (["--save", "m", "--checkpoint", "m/c"], "--checkpoint m/c is in the folder of the model"),
        (
            ["--seed-words", "mixed"],
            "'3' is the number of a topic, and 'health' is a label; write numbers in all",
        ),
        (["--seed-words", "twice"], "two lines are for topic 1; write one"),
        (
            ["--seed-words", "far"],
            "has words for topic '99999999999999999999', but there are 10 topics, 0 to 9",
        ),
        (["--export", "file"], "is a file, not a folder"),
        (["-o", "full"], "is a folder"),
        (["--checkpoint", "full"], "--checkpoint full is a folder"),
        (["--checkpoint", "file/c"], "is a file, not a folder"),
        (["--documents", "page"], "'page' is not one of"),
    ],
)
def test_every_option_is_checked_before_anything_is_read(minillm, tmp_path, monkeypatch, options, message):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "other").touch()
    (tmp_path / "file").write_text("words", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("\n\n".join(texts(4)), encoding="utf-8")
    (tmp_path / "mixed").write_text("3: tax, budget\nhealth: hospital", encoding="utf-8")
    (tmp_path / "twice").write_text("1: tax, budget\n01: hospital", encoding="utf-8")
    (tmp_path / "far").write_text(f"{'9' * 20}: tax", encoding="utf-8")
    before = sorted(tmp_path.iterdir())

    def too_late(*arguments, **options):
        raise AssertionError("the documents were read")

    monkeypatch.setattr("minillm_lib.topics.document_term.bag_of_words", too_late)
    result = minillm("lda", "notes.txt", *options, cwd=tmp_path)
    assert result.returncode == 2
    assert message in " ".join(re.sub("[│╭╰╮╯─]", " ", result.stderr).split())
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("option", [["--min-df", "3"], ["--text-key", "body"], ["--no-lemmas"]])
def test_options_on_documents_need_documents(minillm, tmp_path, option):
    result = minillm("lda", *option, cwd=tmp_path)
    assert result.returncode == 2
    assert f"{option[0].replace('--no-', '--')} is for documents of your own" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "nowhere"], "there is no folder nowhere"),
        (["show", "."], "is not a saved topic model"),
        (["apply", "."], "there are no new documents"),
        (["apply", ".", "--text", "notes", "-o", "t.xlsx"], "ends in .csv or .parquet"),
        (["label", ".", "--labels", "none.txt"], "is not a saved topic model"),
        (["report", ".", "-o", "."], "is a folder"),
    ],
)
def test_mistakes_with_saved_models_are_one_line(minillm, tmp_path, arguments, message):
    result = minillm("topics", *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_help_shows_defaults_of_the_model_names_of_repairs_and_examples(minillm):
    import inspect

    from minillm_lib.corpora.cleaning.repair import REPAIRS

    shown = " ".join(re.sub("[│╭╰╮╯─]", " ", minillm("lda", "--help", COLUMNS="200").stdout).split())
    defaults = inspect.signature(GibbsLDA).parameters
    for name in ("n_sweeps", "n_chains", "alpha", "beta"):
        assert f"[default: {defaults[name].default}]" in shown
    for repair in REPAIRS:
        assert repair in shown
    assert "minillm lda notes/ -k 20 --save model/" in shown
    assert "minillm topics apply model/ new-notes/" in " ".join(minillm("topics", "--help").stdout.split())


def test_control_characters_of_titles_and_paths_are_shown_and_not_sent(minillm, tmp_path):
    rows = [{"text": text, "title": f"\x1b[2Jtitle\x07 {i}"} for i, text in enumerate(texts(8))]
    path = tmp_path / "no\x1b[31mtes.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    result = minillm("lda", path, *QUICK, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert r"\x1b[2Jtitle\x07" in result.stdout
    assert "\x1b" not in result.stdout + result.stderr
    missing = minillm("lda", "no\x1b[2Jfile", cwd=tmp_path)
    assert missing.returncode == 2
    assert r"no\x1b[2Jfile" in missing.stderr
    assert "\x1b" not in missing.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_nothing_ends_in_an_error_of_encoding(minillm, saved, tmp_path, monkeypatch, encoding):
    named = TopicModel.load(saved).with_labels(("船 · 港口 … ±", "")).save(tmp_path / "model")
    for arguments in (
        ["topics", "show", named],
        ["topics", "report", named, "-o", tmp_path / "r.html"],
        ["lda", "--help"],
    ):
        shown = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, "stdout", shown)
        result = minillm(*arguments)
        assert result.returncode == 0, result.stderr
        shown.flush()
        text = shown.buffer.getvalue().decode(encoding)
        assert (r"\u8239" in text) == ("show" in arguments)
    assert "船" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_the_report_is_written_where_the_locale_knows_no_letters_but_ascii(saved, tmp_path):
    named = TopicModel.load(saved).with_labels(("船", "")).save(tmp_path / "model")
    ascii_only = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "LANG": "C"}
    result = in_a_process(
        "topics", "report", named, "-o", "报告.html", cwd=tmp_path, encoding="ascii", **ascii_only
    )
    assert result.returncode == 0, result.stderr
    (report,) = tmp_path.glob("*.html")
    assert "船" in report.read_text(encoding="utf-8")


def test_csv_on_a_pipe_is_utf_8_whatever_the_encoding_of_the_terminal(minillm, saved, tmp_path, monkeypatch):
    named = TopicModel.load(saved).with_labels(("船", "")).save(tmp_path / "model")
    (tmp_path / "new.txt").write_text("\n\n".join(texts(2)), encoding="utf-8")
    shown = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", shown)
    result = minillm("topics", "apply", named, tmp_path / "new.txt")
    assert result.returncode == 0, result.stderr
    assert "topic 0: 船" in table(shown.buffer.getvalue().decode("utf-8"))[0]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_reader_that_stops_early_is_no_error_and_loses_no_report(saved, tmp_path):
    (tmp_path / "few.txt").write_text("\n\n".join(texts(4)), encoding="utf-8")
    for command in ("report", "apply"):
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "minillm_lib",
                "topics",
                command,
                str(saved),
                *["few.txt"] * (command == "apply"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
        )
        process.stdout.close()
        said = process.stderr.read().decode()
        process.wait()
        assert "Traceback" not in said
        assert "roken pipe" not in said
    assert (tmp_path / "lda-report.html").exists()


def test_an_interrupt_keeps_what_there_is(minillm, notes, tmp_path, monkeypatch):
    fit, sweeps = GibbsLDA.fit_with_bar, []

    def stop_soon():
        sweeps.append(1)
        if len(sweeps) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(GibbsLDA, "fit_with_bar", lambda self, X: fit(self, X, on_sweep=stop_soon))
    with pytest.warns(UserWarning, match="stopped after 5 of 30 sweeps"):
        result = minillm("lda", notes, *QUICK, "--save", "model", "--export", "results", cwd=tmp_path)
    assert result.returncode == 130
    assert (tmp_path / "lda-report.html").exists()
    assert (tmp_path / "results" / "topics.json").exists()
    assert len(TopicModel.load(tmp_path / "model").lda.log_likelihoods_) == 5


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_from_the_keyboard_keeps_what_there_is(notes, tmp_path):
    options = ["-k", "2", "--sweeps", "100000000", "--chains", "1", "--threads", "1", "--save", "model"]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "minillm_lib", "lda", str(notes), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    seen = b""
    while b"terms," not in seen:
        line = process.stdout.readline()
        assert line, seen.decode()
        seen += line
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    seen += process.communicate(timeout=60)[0]
    assert process.returncode == 130, seen.decode()
    assert "stopped after" in seen.decode()
    assert (tmp_path / "lda-report.html").exists()
    assert TopicModel.load(tmp_path / "model").n_topics == 2


def test_an_interrupt_before_there_is_anything_is_said_in_a_line(minillm, notes, tmp_path, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("minillm_lib.topics.document_term.bag_of_words", interrupted)
    result = minillm("lda", notes, cwd=tmp_path)
    assert result.returncode == 130
    assert result.stderr.strip() == "interrupted"
    assert list(tmp_path.iterdir()) == []


def test_too_little_memory_is_said_in_a_line(minillm, notes, tmp_path, monkeypatch):
    def too_much(*arguments, **options):
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr("minillm_lib.topics.document_term.bag_of_words", too_much)
    result = minillm("lda", notes, cwd=tmp_path)
    assert result.returncode == 2
    assert "the memory of this machine is not enough (Unable to allocate 9 TiB)" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("count", [1, 3])
def test_new_texts_are_divided_as_those_of_the_model_were(minillm, tmp_path, monkeypatch, count):
    """One text alone would be divided into its lines; a row of a table stays a document."""
    monkeypatch.chdir(tmp_path)
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    for number in range(12):
        subject = "harbour ship captain sail" if number % 2 else "kitchen oven bread butter"
        (tmp_path / "old" / f"{number}.txt").write_text(f"{subject} {number}\n{subject} again\n" * 3)
    for number in range(count):
        (tmp_path / "new" / f"{number}.txt").write_text("ship sail\ncaptain harbour\nbread\n" * 5)
    (tmp_path / "new" / "table.csv").write_text("id,text\n1,ship and sail\n2,bread and butter\n")
    options = ["-k", "2", "--sweeps", "20", "--duplicates", "keep", "--max-df", "1.0", "--save", "model"]
    minillm("lda", "old", *options)
    minillm("topics", "apply", "model", "new", "-o", "new.csv")
    assert len((tmp_path / "new.csv").read_text(encoding="utf-8-sig").splitlines()) == 1 + count + 2
    minillm("topics", "apply", "model", "new/0.txt", "-o", "one.csv")
    assert len((tmp_path / "one.csv").read_text(encoding="utf-8-sig").splitlines()) == 2


def test_json_lines_go_by_either_name(minillm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    texts = ["harbour ship captain sail", "kitchen oven bread butter"] * 6
    lines = [json.dumps({"text": f"{text} {number}", "year": 2001.0}) for number, text in enumerate(texts)]
    (tmp_path / "papers.jsonl").write_text("\n".join(lines))
    for option in (["--jsonl"], ["--text"], []):
        done = minillm("lda", *option, "papers.jsonl", "-k", "2", "--sweeps", "10", "--duplicates", "keep")
        assert "12 documents from 1 file (1 .jsonl)" in done.stdout


def test_what_is_said_of_the_documents_names_the_options_of_the_command(minillm, tmp_path):
    rows = [f"{n};{text};{text}" for n, text in enumerate(texts(20))]
    (tmp_path / "t.csv").write_text("\n".join(["id;one;other", *rows]), encoding="utf-8")
    result = minillm("lda", "t.csv", *QUICK, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    said = " ".join(result.stdout.split())
    assert "--text-key names another" in said
    assert "--documents (file, to join them) says otherwise" in said
    (tmp_path / "t.jsonl").write_text(
        "".join(f'{{"text": "{text}"}}\n' for text in texts(8)) + "broken\n" * 5
    )
    result = minillm("lda", "t.jsonl", *QUICK, cwd=tmp_path)
    assert result.returncode == 2
    assert "raise --max-faulty, a share from 0 to 1" in result.stderr
    result = minillm("lda", "t.jsonl", *QUICK, "--max-record-bytes", "3", "--max-faulty", "1", cwd=tmp_path)
    assert "more than 3 bytes; raise max_record_bytes" in result.stderr
