from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from browser import open_browser, visit
from known_model import known_model
from recorded_run import recorded_run
from selectolax.lexbor import LexborHTMLParser

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
    assert html.count("Still to come") == (4, 3, 2, 2, 0)[n_done - 1]
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


def answers_to(way, tmp_path, **changes):
    partial = replace(way, **changes)
    return LexborHTMLParser(write_demo_report(tmp_path / "demo.html", partial).read_text(encoding="utf-8"))


def test_the_page_begins_with_a_question_and_its_answers_before_and_after_training(page):
    path, language = page
    html = LexborHTMLParser(path.read_text(encoding="utf-8"))
    [first] = html.css("main > :first-child")
    assert first.attributes["id"] == "question"
    [question] = [each for each in QUESTIONS if each.language == language]
    assert first.css_first(".asked").text() == question.held_out[0]
    before, after = first.css(".answers-shown > div")
    assert "<b>nonsense</b>" in before.text()
    assert {"en": "✗ wrong", "zh": "✗ 错"}[language] in before.text()
    assert "They differ." in after.text()
    assert {"en": "✓ right", "zh": "✓ 对"}[language] in after.text()


def test_every_answer_is_marked_in_words(page):
    path, language = page
    rows = LexborHTMLParser(path.read_text(encoding="utf-8")).css("table.answers tbody tr")
    marks = [[mark.text() for mark in row.css(".mark")] for row in rows]
    assert marks == [{"en": ["✗ wrong", "✓ right"], "zh": ["✗ 错", "✓ 对"]}[language]] * len(QUESTIONS)


def test_an_answer_of_spaces_is_told_as_such(way, tmp_path):
    html = answers_to(way, tmp_path, before=asked(" \n ", is_right=False))
    assert "(nothing but spaces)" in html.css_first(".answers-shown").text()


def test_every_figure_at_the_top_is_explained(page, way):
    path, language = page
    html = LexborHTMLParser(path.read_text(encoding="utf-8"))
    meanings = {
        each.css_first("dt").text(): [value.text() for value in each.css("dd")]
        for each in html.css(".meanings > div")
    }
    assert len(meanings) == 6
    assert all(len(meaning) >= 10 for _, meaning in meanings.values())
    value, meaning = meanings[{"en": "Held-out perplexity", "zh": "留出困惑度"}[language]]
    perplexity = way.pretraining.best["perplexity"]
    assert value == f"{perplexity:,.1f}"
    assert f"{perplexity:,.0f}" in meaning
    assert "148" in meaning  # exp(5), the bigram perplexity
    value, meaning = meanings[{"en": "Right answers", "zh": "答对的问题"}[language]]
    assert value.count("100%") == 2
    assert f"{len(QUESTIONS)}" in meaning


def test_on_a_telephone_the_answers_are_on_the_screen(page):
    path, _ = page
    with open_browser() as browser, visit(browser, path, width=390) as opened:
        assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for mark in opened.page.locator(".mark").all():
            box = mark.bounding_box()
            assert 0 <= box["x"] < box["x"] + box["width"] <= 390
        scales = opened.page.evaluate("[...document.images].map(image => image.width / image.naturalWidth)")
        assert all(0.97 < scale < 1.03 for scale in scales), scales
        assert opened.errors == []
