from __future__ import annotations

import re
from pathlib import Path

import pytest
from browser import open_browser, visit
from known_model import known_model
from recorded_run import recorded_run

from minillm_lib.corpora.faq import faq_questions
from minillm_lib.generation.answers import AnswerReport, CheckedAnswer
from minillm_lib.tokenizer import Tokenizer
from minillm_lib.training.run import RunResult
from minillm_lib.training.token_file import pack
from minillm_lib.viz.demo_report import WholeWay, write_demo_report
from minillm_lib.viz.lda_report import ReportError

QUESTIONS = [question for question in faq_questions() if question.id == "lda-transformer-differences"]


def asked(answer, *, is_right):
    return AnswerReport(
        tuple(
            CheckedAnswer(question, question.held_out[0], answer, question.id if is_right else "", True, 0.0)
            for question in QUESTIONS
        )
    )


@pytest.fixture(scope="module")
def way(tmp_path_factory):
    lda, bag = known_model(n_documents=40)
    texts = [question.answer for question in faq_questions()]
    tokenizer = Tokenizer.train(texts, vocab_size=3000)
    text = pack(texts, tokenizer, tmp_path_factory.mktemp("text") / "train.tokens", progress=False)
    pretraining, tuned = (
        RunResult(recorded_run(60, stage=stage), {"output": f"{stage}.pt"}, Path("runs") / stage)
        for stage in ("pretrain", "sft")
    )
    return WholeWay(
        lda=lda,
        bag=bag,
        tokenizer=tokenizer,
        text=text,
        baselines={"unigram": 7.0, "bigram": 5.0},
        pretraining=pretraining,
        sft=tuned,
        n_conversations=1234,
        before=asked("<b>nonsense</b>", is_right=False),
        after=asked("They differ.", is_right=True),
        held_out=asked("They differ.", is_right=True),
        seconds={"lda": 3.0, "data": 40.0, "pretraining": 100.0, "sft": 90.0, "answers": 7.0},
    )


@pytest.fixture(scope="module", params=["en", "zh"])
def page(request, way, tmp_path_factory):
    path = write_demo_report(tmp_path_factory.mktemp("page") / "demo.html", way, language=request.param)
    return path, request.param


def test_the_page_tells_the_whole_way_and_asks_for_nothing(page):
    path, language = page
    with open_browser() as browser, visit(browser, path, offline=True) as opened:
        assert opened.requests_to_outside == []
        assert opened.errors == []
        headings = opened.page.locator("h1.part").all_inner_texts()
        assert [heading[0] for heading in headings] == ["1", "2", "3", "4", "5"]
        text = opened.page.inner_text("body")
        assert opened.page.locator("html").get_attribute("lang") == language
        assert opened.page.frame_locator("iframe").locator("circle.dot").count() == 4
        for image in opened.page.locator("figure img").all():
            assert image.evaluate("image => image.naturalWidth") > 0
    assert "1,234" in text
    assert "4.0" in text  # minutes
    assert "讲讲 LDA 与 Transformer 的差异？" in text
    assert "<b>nonsense</b>" in text  # what a model writes is text, never markup
    assert not re.search(r"\{\w+", text), "a placeholder was not filled in"


def test_figures_come_from_the_runs_and_the_counting(page, way):
    html = page[0].read_text(encoding="utf-8")
    assert f"{way.pretraining.best['perplexity']:,.1f}" in html
    assert "1,097" in html  # exp(7), the unigram perplexity
    assert "148.4" in html  # exp(5), the bigram perplexity


LATER = {
    "data": ("tokenizer", "text", "baselines"),
    "pretraining": ("pretraining",),
    "sft": ("sft", "n_conversations"),
    "answers": ("before", "after", "held_out"),
}


@pytest.mark.parametrize("n_done", [1, 2, 3, 4, 5])
def test_after_each_stage_the_page_shows_what_there_is_and_names_the_rest(way, n_done, tmp_path):
    present = [name for stage in list(LATER)[: n_done - 1] for name in LATER[stage]]
    seconds = dict(list(way.seconds.items())[:n_done])
    partial = WholeWay(way.lda, way.bag, seconds=seconds, **{name: getattr(way, name) for name in present})
    html = write_demo_report(tmp_path / "demo.html", partial).read_text(encoding="utf-8")
    assert html.count("Still to come") == (3, 2, 1, 1, 0)[n_done - 1]
    assert (f"after stage {n_done} of 5" in html) == (n_done < 5)
    assert "pyLDAvis" in html
    assert ("Held-out perplexity went from" in html) == (n_done >= 3)
    assert ("minillm chat" in html) == (n_done >= 4)
    assert ("They differ." in html) == (n_done == 5)
    assert html.count("<tr><td>") >= n_done  # the times, at least


def test_the_topics_are_drawn_only_once(way, tmp_path, monkeypatch):
    write_demo_report(tmp_path / "first.html", way)
    monkeypatch.setattr("minillm_lib.viz.demo_report.topic_sections", None)
    write_demo_report(tmp_path / "second.html", way)
    assert (tmp_path / "first.html").read_bytes() == (tmp_path / "second.html").read_bytes()


def test_a_report_that_has_no_place_is_refused(way, tmp_path):
    with pytest.raises(ReportError, match="it is a folder"):
        write_demo_report(tmp_path, way)
