"""The report: one file, nothing to load, true to the model, and usable in a browser."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import os
import re
import string
import warnings
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from browser import visit
from known_model import known_model
from selectolax.lexbor import LexborHTMLParser

from minillm_lib import GibbsLDA, load_neurips
from minillm_lib.corpora.cleaning.report import CleaningReport
from minillm_lib.corpora.reading.report import ReadReport
from minillm_lib.topics.model_selection import TopicCountScore
from minillm_lib.topics.summary import document_lengths, summarize_topics, topic_shares
from minillm_lib.viz.lda_report import (
    ReportError,
    check_report_path,
    is_web_address,
    lda_report_html,
    write_lda_report,
)
from minillm_lib.viz.lda_report_words import WORDS

HOSTILE = "</title></script><script>document.body.remove()</script>\" onload='x' &amp; <b>bold</b>"


class _Page(HTMLParser):
    """The elements of a page, its links, and the text that a reader sees."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def with_years(n_topics: int = 4, **meta):
    return known_model(n_topics, year=[2013 + d % 5 for d in range(40)], **meta)


@pytest.fixture(scope="module")
def neurips():
    bag = load_neurips()
    model = GibbsLDA(10, n_sweeps=30, n_chains=2, n_threads=1, random_state=0).fit(bag.counts)
    return model, bag


@pytest.fixture(scope="module")
def report(neurips, tmp_path_factory) -> Path:
    return write_lda_report(tmp_path_factory.mktemp("report") / "report.html", *neurips, seconds=1.5)


@pytest.mark.parametrize("offline", [False, True])
def test_ten_circles_a_click_that_changes_the_bars_and_no_request(browser, report, neurips, offline):
    with visit(browser, report, offline=offline) as opened:
        inside = opened.page.frame_locator("iframe")
        assert inside.locator("circle.dot").count() == 10
        before = inside.locator(".terms").all_text_contents()
        circle = inside.locator("#ldavis-topic3")
        circle.scroll_into_view_if_needed()
        circle.click(force=True)
        after = inside.locator(".terms").all_text_contents()
        assert after != before
        title = inside.locator(".bubble-tool").text_content()
        chosen = int(re.search(r"Topic (\d+)", title).group(1))
        assert inside.locator("#ldavis-topic").input_value() == str(chosen)
        assert after[:10] == list(summarize_topics(*neurips)[chosen].terms)
        assert opened.page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
        assert opened.requests_to_outside == []
        assert opened.errors == []


def test_the_numbers_of_the_table_are_those_of_pyldavis(browser, report):
    with visit(browser, report) as opened:
        inside = opened.page.frame_locator("iframe")
        rows = opened.page.locator("#topics tbody tr")
        for topic in range(10):
            inside.locator(f"#ldavis-topic{topic}").dispatch_event("click")
            number, label_and_share = rows.nth(topic).locator("td").all_inner_texts()[:2]
            share = re.search(r"([\d.]+) %", label_and_share).group(1)
            assert number == str(topic)
            title = inside.locator(".bubble-tool").text_content()
            assert title.startswith(
                f"Top-30 Most Relevant Terms for Topic {topic} ({float(share):g}% of tokens)stability 0."
            )


@pytest.mark.parametrize("width", [1280, 768, 400])
def test_the_page_fits_its_window(browser, report, width):
    with visit(browser, report, width=width) as opened:
        assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        frame = opened.page.frames[1]
        assert frame.evaluate("document.documentElement.scrollHeight <= innerHeight + 1")


def test_hostile_titles_and_terms_are_only_text(browser, tmp_path):
    model, bag = with_years(title=[HOSTILE] * 40, address=["javascript:document.body.remove()"] * 40)
    bag.vocabulary = np.array([f"{HOSTILE}{i}" for i in range(60)])
    bag.report = CleaningReport()
    bag.report.record(HOSTILE, HOSTILE, HOSTILE, 1, 2, [HOSTILE])
    page = lda_report_html(model, bag, title=HOSTILE)
    assert _Page(page).all("a") == []
    assert "".join(_Page(page).text).count(HOSTILE) > 3 * 4
    path = tmp_path / "hostile.html"
    path.write_text(page, encoding="utf-8")
    with visit(browser, path) as opened:
        assert opened.page.title() == HOSTILE
        assert opened.page.locator("b").count() == 4
        assert opened.page.frame_locator("iframe").locator("circle.dot").count() == 4
        assert opened.errors == []


def test_very_long_terms_and_titles_fit_a_telephone(browser, tmp_path):
    model, bag = with_years(title=["x" * 300] * 40)
    bag.vocabulary = np.array([f"{'antidisestablishmentarianism' * 4}{i}" for i in range(60)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = write_lda_report(tmp_path / "long.html", model, bag, title="y" * 200)
    with visit(browser, path, width=400) as opened:
        assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", " javascript:alert(1)", "data:text/html,x", "", None, 3]
)
def test_only_web_addresses_become_links(address):
    assert not is_web_address(address)
    assert is_web_address("HTTPS://papers.nips.cc/paper")


def test_titles_are_links_to_the_papers(neurips, report):
    links = _Page(report.read_text(encoding="utf-8")).all("a")
    papers = [document.address for summary in summarize_topics(*neurips) for document in summary.documents]
    assert [link["href"] for link in links] == papers


def test_the_page_is_semantic_and_names_nothing_to_load(report):
    page = _Page(report.read_text(encoding="utf-8"))
    assert page.all("html") == [{"lang": "en"}]
    assert page.elements[0][0] == "html"
    [icon] = page.all("link")
    assert icon["rel"] == "icon"
    assert icon["href"].startswith("data:")
    assert [script.get("type") for script in page.all("script")] == ["application/json", None]
    images = page.all("img")
    assert len(images) == 10 + 2
    assert all(image["src"].startswith("data:image/svg+xml") and len(image["alt"]) > 20 for image in images)
    assert page.all("iframe")[0]["title"]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    headings = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert headings[0] == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(headings))


def test_the_file_is_smaller_than_3_mb(report):
    assert report.stat().st_size < 3_000_000


def test_the_facts_are_those_of_the_run(neurips, report):
    model, bag = neurips
    page = report.read_text(encoding="utf-8")
    facts = dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", page))
    assert facts["Documents"] == "1,000"
    assert facts["Years"] == "2013–2017"
    assert facts["Terms"] == f"{bag.counts.shape[1]:,}"
    assert facts["Tokens"] == f"{bag.counts.sum():,}"
    assert facts["Sweeps"] == "2 chains of 30"
    assert (facts["Alpha"], facts["Beta"], facts["Seed"]) == (f"{model.alpha_[0]:g}", f"{model.beta_:g}", "0")
    assert facts["Sampling time"] == "1.5 s"


def test_learned_priors_and_a_free_seed_are_told_as_such():
    model, bag = with_years()
    model.alpha_ = np.array([0.05, 0.1, 0.2, 0.4])
    model.random_state = None
    text = "".join(_Page(lda_report_html(model, bag)).text)
    assert "0.05–0.4" in text
    assert "not fixed" in text


def test_what_cleaning_dropped_is_told(report, neurips):
    text = "".join(_Page(report.read_text(encoding="utf-8")).text)
    assert neurips[1].report.steps
    for step in neurips[1].report.steps:
        assert f"{step.affected:,} of {step.total:,} {step.unit}" in text
        assert step.why in text


def test_the_sentence_on_the_years_names_the_topic_that_grew_most():
    model, bag = with_years()
    year = np.array([facts["year"] for facts in bag.meta])
    model.doc_topic_[:] = 0.25
    model.doc_topic_[year == 2017] = [0.05, 0.25, 0.6, 0.1]
    text = "".join(_Page(lda_report_html(model, bag)).text)
    assert (
        "Topic 2 grew most, from 25.0% to 60.0% of the tokens; topic 0 shrank most, from 25.0% to 5.0%."
        in text
    )


def test_the_sentence_on_similarity_names_the_two_most_alike():
    model, bag = known_model()
    model.topic_word_[3] = 0.9 * model.topic_word_[1] + 0.1 * model.topic_word_[0]
    assert "Topics 1 and 3 are the most similar" in "".join(_Page(lda_report_html(model, bag)).text)


def test_documents_without_years_have_no_figure_of_years():
    page = lda_report_html(*known_model())
    assert "over_the_years" not in page
    assert len(_Page(page).all("img")) == 2
    assert "Years" not in _Page(page).text


def test_a_single_topic_has_a_report():
    page = _Page(lda_report_html(*with_years(1)))
    assert len(page.all("img")) == 1
    assert len([each for each in page.all("ul") if each.get("class") == "bars"]) == 1


def test_a_fit_that_was_stopped_early_has_a_report():
    bag = known_model()[1]
    model = GibbsLDA(3, n_sweeps=100, n_threads=1, random_state=0)
    sweeps = model.iter_sweeps(bag.counts)
    next(sweeps)
    sweeps.close()
    assert "in 1 sweeps" in lda_report_html(model, bag)


def test_figures_follow_the_readers_dark_mode(report):
    for image in _Page(report.read_text(encoding="utf-8")).all("img"):
        svg = base64.b64decode(image["src"].partition("base64,")[2]).decode("utf-8")
        assert "prefers-color-scheme: dark" in svg
        assert "var(--ink)" in svg


def test_both_languages_have_the_same_sentences_with_the_same_gaps():
    def gaps(sentence: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}

    assert WORDS["en"].keys() == WORDS["zh"].keys()
    for key, sentence in WORDS["en"].items():
        assert gaps(sentence) == gaps(WORDS["zh"][key]), key


def test_a_chinese_report_is_chinese():
    model, bag = with_years()
    bag.vocabulary = np.array([f"词语{i}" for i in range(60)])
    page = _Page(lda_report_html(model, bag, language="zh"))
    assert page.all("html") == [{"lang": "zh"}]
    text = "".join(page.text)
    assert "40 篇文档中的 4 个主题" in text
    assert "词语" in text
    left = [
        words for key, words in WORDS["en"].items() if len(words) > 12 and "{" not in words and words in text
    ]
    assert left == []


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match="language is 'fr'; it must be one of 'en', 'zh'"):
        lda_report_html(*known_model(), language="fr")


def test_the_same_model_gives_the_same_file(tmp_path):
    first = write_lda_report(tmp_path / "1.html", *with_years())
    second = write_lda_report(tmp_path / "2.html", *with_years())
    assert first.read_bytes() == second.read_bytes()


def test_a_missing_folder_is_made(tmp_path):
    path = write_lda_report(str(tmp_path / "not" / "yet" / "report.html"), *known_model())
    assert path == tmp_path / "not" / "yet" / "report.html"
    assert path.is_file()


def test_a_folder_is_no_place_for_a_file(tmp_path):
    with pytest.raises(ReportError, match="it is a folder; name a file"):
        write_lda_report(tmp_path, *known_model())


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="file is a file, not a folder"):
        check_report_path(tmp_path / "file" / "deeper" / "report.html")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="everything is writable for this user")
def test_a_folder_that_is_not_writable_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ReportError, match="is not writable"):
        check_report_path(tmp_path / "report.html")


def test_asking_for_a_path_writes_nothing(tmp_path):
    check_report_path(tmp_path / "a" / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_report(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ReportError, match=r"report\.html: the disk is full"):
        write_lda_report(path, *known_model())
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
    assert path.read_text() == "old"


def test_a_name_that_is_no_text_does_not_stop_the_report(tmp_path):
    path = write_lda_report(tmp_path / "report.html", *with_years(title=["half a pair: \udcff"] * 40))
    assert "half a pair" in path.read_text(encoding="utf-8")


def unstable(n_topics: int = 4, **meta):
    model, bag = with_years(n_topics, **meta)
    model.stability_ = np.linspace(0.2, 0.95, n_topics)
    model.chains_ = 3 * model.chains_
    return model, bag


def cells(page: str, selector: str) -> list[str]:
    return [node.text(strip=True) for node in LexborHTMLParser(page).css(selector)]


def test_the_table_has_the_stability_of_each_topic_and_marks_the_unstable_ones():
    page = lda_report_html(*unstable())
    assert cells(page, '#topics td[data-label="Stability"]') == [
        "0.20unstable",
        "0.45unstable",
        "0.70",
        "0.95",
    ]
    assert "Unstable here: 2 of 4." in cells(page, "#topics > p")[0]


def test_with_a_single_chain_nothing_is_said_of_stability():
    page = lda_report_html(*with_years())
    assert "tability" not in cells(page, "#topics")[0]
    assert cells(page, ".unstable") == []


def test_labels_stand_in_the_table_the_figures_and_above_the_terms(browser, tmp_path):
    labels = ["", "Birds & <b>bees</b>", "", ""]
    path = write_lda_report(tmp_path / "report.html", *unstable(), labels=labels)
    page = path.read_text(encoding="utf-8")
    assert cells(page, "#topics td.label")[1].startswith("Birds & <b>bees</b>")
    assert "1: Birds & <b>bees</b>" in cells(page, "#over_time h3")
    assert "Topic 1: Birds & <b>bees</b>" in cells(page, "#top_terms h3")
    with visit(browser, path) as opened:
        inside = opened.page.frame_locator("iframe")
        inside.locator("#ldavis-topic1").dispatch_event("click")
        assert inside.locator(".name").text_content() == "Birds & <b>bees</b> · stability 0.45 · unstable"
        options = opened.page.locator("select option").all_inner_texts()
        assert options[2] == "Topic 1: Birds & <b>bees</b>"
        assert opened.errors == []
    with pytest.raises(ValueError, match="labels is 3 names for 4 topics"):
        lda_report_html(*unstable(), labels=labels[:3])


def found(opened) -> list[str]:
    return opened.page.locator("ol.found li div").all_inner_texts()


def test_documents_are_found_by_title_and_by_how_they_begin(browser, tmp_path):
    titles = [f"Paper {d}" for d in range(40)]
    snippets = [f"It begins with w{d} and ÉTUDE" for d in range(40)]
    path = write_lda_report(tmp_path / "report.html", *with_years(title=titles, snippet=snippets))
    with visit(browser, path) as opened:
        search = opened.page.get_by_label("Search")
        assert opened.page.locator("[role=status]").inner_text() == "Documents found: 40"
        assert len(found(opened)) == 10
        search.fill("paper 17")
        assert found(opened) == ["2015Paper 17"]
        assert opened.page.locator(".excerpt").inner_text() == snippets[17]
        search.fill("étude w23 ")
        assert found(opened) == ["2016Paper 23"]
        search.fill("nowhere")
        assert opened.page.locator("[role=status]").inner_text() == "No document has all of these words."
        assert found(opened) == []
        search.fill("")
        opened.page.get_by_role("button", name="Show more").click()
        assert len(found(opened)) == 20
        assert opened.errors == []


@pytest.mark.parametrize("width", [1280, 390])
def test_a_topic_shows_its_documents_largest_share_first_and_itself_on_the_map(browser, tmp_path, width):
    model, bag = with_years(title=[f"Paper {d}" for d in range(40)])
    path = write_lda_report(tmp_path / "report.html", model, bag)
    order = [d for d in np.argsort(-model.doc_topic_[:, 2], kind="stable") if model.doc_topic_[d, 2] >= 0.01]
    with visit(browser, path, width=width) as opened:
        button = opened.page.locator('[data-topic="2"]')
        button.focus()
        opened.page.keyboard.press("Enter")
        assert [name[4:] for name in found(opened)] == [f"Paper {d}" for d in order[:10]]
        assert opened.page.locator("[role=status]").inner_text() == f"Documents found: {len(order)}"
        share = f"{round(1000 * model.doc_topic_[order[0], 2]) / 10:.1f}\u00a0%"
        assert opened.page.locator("ol.found li").first.inner_text().endswith(share)
        assert opened.page.evaluate("document.activeElement.textContent") == "The documents"
        assert opened.page.frame_locator("iframe").locator("#ldavis-topic").input_value() == "2"
        assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert opened.errors == []


def test_a_click_on_the_map_shows_the_documents_of_the_topic(browser, report):
    with visit(browser, report) as opened:
        circle = opened.page.frame_locator("iframe").locator("#ldavis-topic3")
        circle.scroll_into_view_if_needed()
        circle.click(force=True)
        chosen = opened.page.frame_locator("iframe").locator("#ldavis-topic").input_value()
        assert opened.page.locator("select").input_value() == chosen


def test_the_export_buttons_give_files_of_what_the_page_holds(browser, tmp_path):
    titles = [f'Paper {d}, "quoted"\nand <b>bold</b>' for d in range(40)]
    titles[9] = '=HYPERLINK("http://example.org")'
    model, bag = unstable(title=titles)
    path = write_lda_report(tmp_path / "report.html", model, bag, labels=["", "a, b", "", ""])
    with visit(browser, path) as opened:
        saved = {}
        for button in opened.page.locator("[data-export]").all():
            with opened.page.expect_download() as download:
                button.click()
            saved[download.value.suggested_filename] = (
                Path(download.value.path()).read_bytes().decode("utf-8-sig")
            )
        assert opened.errors == []
        assert opened.requests_to_outside == []
    topics = json.loads(saved["topics.json"])
    assert [topic["label"] for topic in topics][1] == "a, b"
    assert [topic["stability"] for topic in topics] == [0.2, 0.45, 0.7, 0.95]
    best = model.topic_word_[2].argmax()
    assert topics[2]["terms"][0]["term"] == bag.vocabulary[best]
    rows = list(csv.DictReader(io.StringIO(saved["document-topics.csv"], newline="")))
    assert len(rows) == 40
    assert rows[7]["title"] == " ".join(titles[7].split())
    assert rows[9]["title"] == f"'{titles[9]}", "a spreadsheet must not carry it out"
    assert float(rows[7]["topic 1: a, b"] or 0) == pytest.approx(model.doc_topic_[7, 1], abs=0.01)
    terms = list(csv.DictReader(io.StringIO(saved["topic-terms.csv"], newline="")))
    assert (terms[0]["topic"], terms[0]["rank"]) == ("0", "1")
    assert float(terms[0]["probability"]) == pytest.approx(model.topic_word_[0].max(), rel=1e-3)


def test_a_title_without_a_space_leaves_the_numbers_whole(browser, tmp_path):
    model, bag = unstable(title=["x" * 10_000] * 40)
    path = write_lda_report(tmp_path / "report.html", model, bag, language="zh", labels=["很长" * 50] * 4)
    with visit(browser, path) as opened:
        lines = opened.page.locator("td.inline").evaluate_all(
            """cells => cells.map(cell => {
                const number = document.createRange();
                number.selectNodeContents(cell.firstChild);
                return number.getClientRects().length;
            })"""
        )
    assert lines == [1] * 4


def test_without_scripts_the_tables_are_there_and_nothing_that_needs_them(browser, report):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.resolve().as_uri())
    assert page.locator("#topics tbody tr:visible").count() == 10
    assert page.locator("#cleaning tbody tr:visible").count() > 5
    assert page.locator("button:visible, .interactive:visible").count() == 0
    context.close()


@pytest.mark.parametrize("width", [390, 800, 1280])
def test_figures_are_shown_at_the_size_at_which_they_were_made(browser, report, width):
    with visit(browser, report, width=width) as opened:
        sizes = opened.page.evaluate(
            "[...document.images].map(image => [image.width / image.naturalWidth, image.alt])"
        )
        assert all(0.97 < scale < 1.03 for scale, _ in sizes), sizes


def test_on_a_telephone_every_cell_is_on_the_screen_and_text_is_large_enough(browser, report):
    with visit(browser, report, width=390) as opened:
        lost = opened.page.evaluate(
            """[...document.querySelectorAll("td")].filter(cell => {
                 const box = cell.getBoundingClientRect();
                 return cell.textContent.trim() && (box.right > innerWidth || box.width < 20);
               }).map(cell => cell.textContent)"""
        )
        assert lost == []
        drawing = opened.page.frames[1].evaluate(
            """() => { const scale = document.querySelector("svg:last-of-type").getScreenCTM().a;
                       return [...document.querySelectorAll(".terms, .bubble-tool")]
                         .map(text => scale * parseFloat(getComputedStyle(text).fontSize)); }"""
        )
        assert min(drawing) > 10


@pytest.mark.parametrize("size", ["A4", "Letter"])
def test_the_last_printed_page_is_not_empty(browser, report, size):
    pdfium = pytest.importorskip("pypdfium2")
    with visit(browser, report) as opened:
        pages = pdfium.PdfDocument(opened.page.pdf(format=size))
    texts = [pages[number].get_textpage().get_text_range() for number in range(len(pages))]
    assert all(len(text.split()) > 20 for text in texts), texts


def test_a_chinese_report_of_the_papers_has_chinese_steps_and_a_chinese_map(neurips):
    page = lda_report_html(*neurips, language="zh")
    steps = "".join(cells(page, "#cleaning td:not(:last-child)"))
    assert "停用词" in steps
    assert not re.search("documents|tokens|terms|text|fewer", steps)
    inside = html.unescape(re.search("srcdoc='([^']*)'", page).group(1))
    assert 'lang="zh"' in inside
    assert "主题间距离图" in inside


def test_what_was_read_and_the_compared_numbers_of_topics_are_shown():
    scores = [TopicCountScore(k, 900.0 - k, 9.0, 0.1, 0.01, 0.8, 0.02) for k in (5, 10, 20)]
    page = lda_report_html(*with_years(), reading="7 files\n<b>2</b> passed over", scores=scores)
    assert "7 files" in cells(page, "#reading .read")[0]
    assert "<b>2</b> passed over" in cells(page, "#reading .read")[0]
    alts = [image["alt"] for image in _Page(page).all("img")]
    assert "Held-out perplexity: lower is better for each number of topics: 5: 895, 10: 890, 20: 880." in alts
    assert sum("for each number of topics" in alt for alt in alts) == 3


def test_what_could_not_be_measured_is_not_drawn():
    none, nan = (1.0, 0.1), float("nan")
    first = TopicCountScore(5, *none, nan, nan, *none)
    alts = [
        [image["alt"] for image in _Page(lda_report_html(*with_years(), scores=scores)).all("img")]
        for scores in ([first], [first, TopicCountScore(10, *none, 0.25, nan, *none)])
    ]
    assert [sum("for each number of topics" in alt for alt in own) for own in alts] == [2, 3]
    assert "Coherence (NPMI): higher is better for each number of topics: 10: 0.25." in alts[1]


def test_what_was_read_is_told_in_the_language_of_the_page():
    reading = ReadReport(files=7, documents=40, empty_files=["a.txt"])
    reading.pass_over("<b>photo</b>.png", "an image")
    page = lda_report_html(*with_years(), reading=reading, language="zh")
    [note] = cells(page, "#reading > p")
    assert note.startswith("文档 40 篇，来自 7 个文件。")
    assert "跳过的文件 1 个，空文件 1 个" in note
    assert "<b>photo</b>.png" in cells(page, "#reading details")[0]


def test_dates_that_cannot_be_read_are_counted_and_named():
    model, bag = known_model(date=["2001-05"] * 10 + ["2002-06"] * 10 + ["soon"] * 15 + [None] * 5)
    [caption] = cells(lda_report_html(model, bag), "#over_time > p")
    assert caption.endswith(
        "Documents without a date: 5. Documents whose date could not be read: 15 (such as soon)."
    )


@pytest.mark.parametrize("dates", [[1016491200] * 40, ["2001-05"] * 10 + ["soon"] * 30])
def test_dates_that_cannot_be_read_are_told_where_nothing_else_is(dates):
    page = lda_report_html(*known_model(date=dates))
    [caption] = cells(page, "#over_time > p")
    n, example = (dates.count(dates[-1]), dates[-1])
    assert caption.startswith("The dates that could be read are of fewer than two periods")
    assert caption.endswith(f"Documents whose date could not be read: {n} (such as {example}).")
    assert f"日期无法读懂的文档：{n} 篇" in lda_report_html(*known_model(date=dates), language="zh")
    assert not cells(lda_report_html(*known_model(date=["2001-05"] * 40)), "#over_time > p")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_fit_that_was_stopped_says_so_and_speaks_of_averages_only_if_there_are_some(language):
    model, bag = known_model()
    words = WORDS[language]

    def told(n_planned, **parameters):
        vars(model).update(n_sweeps=n_planned, **parameters)
        page = lda_report_html(model, bag, language=language)
        return [words[name] in page for name in ("averages", "no_averages")], words["stopped"].format(
            n_planned=n_planned
        ) in page

    assert told(20) == ([True, False], False)
    assert told(1000) == ([False, True], True)
    assert told(30, burn_in=5) == ([True, False], True)
    assert told(20, burn_in=15) == ([False, True], False), "no sweep is a sample, as thin is 10"


def test_of_many_topics_the_largest_are_drawn_and_all_are_in_the_table(monkeypatch):
    monkeypatch.setattr("minillm_lib.viz.lda_report.MOST_DRAWN", 3)
    model, bag = with_years(6)
    page = lda_report_html(model, bag)
    largest = sorted(np.argsort(-topic_shares(model.doc_topic_, document_lengths(model, bag)))[:3])
    assert [heading.split(":")[0] for heading in cells(page, "#over_time h3")] == [str(k) for k in largest]
    assert len(cells(page, "#topics tbody tr")) == 6
    assert page.count("Only the 3 topics with the largest shares are drawn.") == 3
