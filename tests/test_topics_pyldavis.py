"""pyLDAvis: the numbers that go in, the page that comes out, and what a reader can do with it in a browser."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pyLDAvis
import pyLDAvis.urls
import pytest
from browser import visit
from known_model import known_model
from scipy.spatial.distance import jensenshannon, pdist
from scipy.stats import entropy

from minillm_lib.topics.pyldavis import prepare_pyldavis, pyldavis_html, pyldavis_iframe, topic_map
from minillm_lib.topics.pyldavis_words import WORDS
from minillm_lib.topics.summary import document_lengths, summarize_topics, topic_shares


class _Elements(HTMLParser):
    """The elements of a page with their attributes, and the text of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script" and data.strip():
            self.scripts.append(data)


def data_in(page: str) -> dict:
    return json.loads(re.search(r"data = (\{.*\});\n", page).group(1))


def test_topics_keep_the_models_numbers_and_order():
    model, bag = known_model(n_topics=7)
    coordinates = prepare_pyldavis(model, bag).topic_coordinates
    shares = topic_shares(model.doc_topic_, document_lengths(model, bag))
    assert not np.all(np.diff(shares) < 0)
    assert coordinates["topics"].tolist() == list(range(7))
    np.testing.assert_allclose(coordinates["Freq"], 100 * shares)


def test_terms_rank_as_in_the_summary():
    model, bag = known_model(n_topics=5, n_terms=200)
    prepared = prepare_pyldavis(model, bag)
    for summary in summarize_topics(model, bag, n_terms=10):
        ranked = prepared.sorted_terms(topic=summary.topic, _lambda=0.6)["Term"].tolist()
        assert tuple(ranked[:10]) == summary.terms


def test_the_tables_are_those_of_pyldavis_for_the_terms_that_topics_have():
    model, bag = known_model(n_topics=6, n_terms=300)
    ours = prepare_pyldavis(model, bag)
    lengths = document_lengths(model, bag)
    theirs = pyLDAvis.prepare(
        model.topic_word_, model.doc_topic_, lengths, bag.vocabulary, lengths @ model.doc_topic_ @ model.topic_word_,
        mds=lambda frame: topic_map(frame.to_numpy()), n_jobs=1, sort_topics=False, start_index=0,
    )  # fmt: skip
    np.testing.assert_allclose(
        ours.topic_coordinates[["x", "y", "Freq"]], theirs.topic_coordinates[["x", "y", "Freq"]]
    )
    keys, values = ["Category", "Term"], ["Freq", "Total", "logprob", "loglift"]
    both = ours.topic_info.merge(theirs.topic_info, on=keys, suffixes=("", "_theirs")).query(
        "Category != 'Default'"
    )
    assert len(both) >= 6 * 30
    np.testing.assert_allclose(both[values], both[[f"{name}_theirs" for name in values]], atol=1e-4)
    missing = theirs.topic_info.merge(ours.topic_info[keys], on=keys, how="left", indicator=True)
    missing = missing.query("_merge == 'left_only' and Category != 'Default'")
    assert (missing["Freq"] < 0.5).all()
    common = ours.token_table[ours.token_table["Term"].isin(theirs.token_table["Term"])]
    tokens = common.merge(theirs.token_table, on=["Term", "Topic"], suffixes=("", "_theirs"))
    assert len(tokens) == len(common) > 300
    np.testing.assert_allclose(tokens["Freq"], tokens["Freq_theirs"], atol=1e-4)


def test_the_first_terms_are_the_most_salient_by_chuangs_definition():
    model, bag = known_model(n_topics=6, n_terms=300)
    info = prepare_pyldavis(model, bag).topic_info
    tokens = document_lengths(model, bag) @ model.doc_topic_
    count = tokens[:, None] * model.topic_word_
    topics_of_term = count / count.sum(axis=0)
    saliency = count.sum(axis=0) * entropy(topics_of_term, (tokens / tokens.sum())[:, None])
    best = bag.vocabulary[np.argsort(-saliency)[:30]].tolist()
    assert info[info["Category"] == "Default"]["Term"].tolist() == best


def test_of_too_many_topics_the_largest_keep_their_numbers_and_shares(monkeypatch):
    monkeypatch.setattr("minillm_lib.topics.pyldavis.MOST_TOPICS", 3)
    model, bag = known_model(n_topics=8, n_terms=200)
    shares = topic_shares(model.doc_topic_, document_lengths(model, bag))
    largest = np.sort(np.argsort(-shares)[:3])
    prepared = prepare_pyldavis(model, bag)
    assert prepared.topic_coordinates["topics"].tolist() == largest.tolist()
    np.testing.assert_allclose(prepared.topic_coordinates["Freq"], 100 * shares[largest])
    assert set(prepared.topic_info["Category"]) == {"Default", *(f"Topic{k}" for k in largest)}
    assert set(prepared.token_table["Topic"]) <= set(largest.tolist())
    for summary in summarize_topics(model, bag, n_terms=10):
        if summary.topic in largest:
            ranked = prepared.sorted_terms(topic=summary.topic, _lambda=0.6)["Term"].tolist()
            assert tuple(ranked[:10]) == summary.terms


def test_three_topics_lie_on_the_map_at_their_distances():
    topic_word = np.random.default_rng(0).dirichlet(np.full(30, 0.2), 3)
    np.testing.assert_allclose(
        pdist(topic_map(topic_word)), pdist(topic_word, lambda p, q: jensenshannon(p, q, base=2))
    )


def test_equal_topics_lie_on_one_point_and_the_map_is_real():
    one, other = np.random.default_rng(0).dirichlet(np.full(30, 0.2), 2)
    placed = topic_map([one, other, one, one, other])
    assert placed.dtype == np.float64
    np.testing.assert_allclose(placed[[0, 1, 0]], placed[[2, 4, 3]], atol=1e-7)
    np.testing.assert_allclose(topic_map(np.full((4, 5), 0.2)), np.zeros((4, 2)), atol=1e-7)


def test_one_topic_lies_in_the_middle_and_two_lie_at_their_distance():
    topic_word = np.random.default_rng(0).dirichlet(np.full(30, 0.2), 2)
    np.testing.assert_array_equal(topic_map(topic_word[:1]), [[0, 0]])
    placed = topic_map(topic_word)
    np.testing.assert_allclose(pdist(placed), jensenshannon(*topic_word, base=2))
    np.testing.assert_allclose(placed[:, 1], 0, atol=1e-7)


@pytest.mark.parametrize(("n_topics", "n_terms"), [(1, 40), (2, 40), (3, 40), (4, 2), (1, 1)])
def test_few_topics_and_few_terms_make_a_page(n_topics, n_terms):
    model, bag = known_model(n_topics, n_terms + 1)
    page = pyldavis_html(prepare_pyldavis(model, bag))
    assert data_in(page)["mdsDat"]["topics"] == list(range(n_topics))


def test_empty_topics_and_probabilities_of_zero_make_a_page_of_finite_numbers():
    model, bag = known_model()
    model.topic_word_[1:3] = 1 / 60
    model.topic_word_[0] = np.eye(60)[5]
    model.doc_topic_[:] = np.eye(4)[0]
    data = data_in(pyldavis_html(prepare_pyldavis(model, bag)))
    numbers = [
        *data["tinfo"]["loglift"],
        *data["tinfo"]["Freq"],
        *data["mdsDat"]["x"],
        *data["token.table"]["Freq"],
    ]
    assert np.isfinite(numbers).all()


def test_a_bag_without_tokens_is_refused():
    model, bag = known_model()
    bag.counts = 0 * bag.counts
    with pytest.raises(ValueError, match="no token"):
        prepare_pyldavis(model, bag)


def test_the_page_names_nothing_to_load():
    elements = _Elements(pyldavis_html(prepare_pyldavis(*known_model())))
    loaded = [
        address
        for _, attributes in elements.found
        for key, address in attributes.items()
        if key in ("src", "href")
    ]
    assert loaded == ["data:,"]


def test_a_term_cannot_end_the_script_that_it_stands_in():
    hostile = "</script><script>document.title = 'caught'</script><!--<script>"
    model, bag = known_model(vocabulary=[f"{hostile}{i}" for i in range(60)])
    page = pyldavis_html(prepare_pyldavis(model, bag))
    assert [tag for tag, _ in _Elements(page).found].count("script") == 3
    assert hostile in data_in(page)["tinfo"]["Term"][0]


def test_the_same_model_gives_the_same_page():
    assert pyldavis_html(prepare_pyldavis(*known_model())) == pyldavis_html(prepare_pyldavis(*known_model()))


@pytest.mark.parametrize("visid", ["", "1st", "two words", 'a"b', "主题"])
def test_an_id_that_css_would_misread_is_refused(visid):
    with pytest.raises(ValueError, match="visid"):
        pyldavis_html(prepare_pyldavis(*known_model()), visid=visid)


def test_an_ldavis_that_the_repairs_do_not_fit_is_an_error(tmp_path, monkeypatch):
    other = tmp_path / "ldavis.js"
    other.write_text("var LDAvis = function () {};")
    monkeypatch.setattr(pyLDAvis.urls, "LDAVIS_LOCAL", str(other))
    with pytest.raises(RuntimeError, match="repairs"):
        pyldavis_html(prepare_pyldavis(*known_model()))


def test_importing_does_not_turn_every_deprecation_warning_on():
    program = (
        "import warnings, minillm_lib.topics.pyldavis;"
        "assert not [f for f in warnings.filters if f[0] == 'always' and f[2] is DeprecationWarning]"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_frame_shows_its_page_and_does_not_print_it():
    prepared = prepare_pyldavis(*known_model())
    frame = pyldavis_iframe(prepared, visid="seen")
    [(tag, attributes)] = _Elements(frame._repr_html_()).found
    assert (tag, attributes["srcdoc"]) == ("iframe", pyldavis_html(prepared, visid="seen"))
    assert len(repr(frame)) < 100


@pytest.fixture(scope="module")
def ten_topics():
    return known_model(n_topics=10, n_terms=200)


@pytest.fixture(scope="module")
def page(browser, ten_topics, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(pyldavis_html(prepare_pyldavis(*ten_topics)), encoding="utf-8")
    with visit(browser, path) as opened:
        yield opened.page
        assert opened.errors == []
        assert opened.requests == [path.as_uri()]


def shown_terms(page) -> list[str]:
    return page.locator(".terms").all_text_contents()


def settle(page) -> None:
    """Wait until nothing moves any more: d3 keeps a schedule on each element while it does."""
    page.wait_for_function("[...document.querySelectorAll('*')].every(element => !element.__transition)")


def select(page, topic: int) -> None:
    page.locator(f"#ldavis-topic{topic}").dispatch_event("click")


@pytest.mark.parametrize("topic", [0, 3, 9])
def test_a_click_on_a_topic_shows_its_terms_in_the_order_of_the_summary(page, ten_topics, topic):
    select(page, topic)
    summary = summarize_topics(*ten_topics, n_terms=20)[topic]
    assert shown_terms(page)[:20] == list(summary.terms)
    title = page.locator(".bubble-tool").text_content()
    assert (
        title
        == f"Top-30 Most Relevant Terms for Topic {topic} ({round(1000 * summary.share) / 10:g}% of tokens)"
    )


def test_a_chosen_topic_stays_when_the_pointer_leaves_and_goes_when_cleared(page):
    page.locator("#ldavis-topic-clear").click()
    default = shown_terms(page)
    circle = page.locator("#ldavis-topic0")
    circle.dispatch_event("mouseover")
    chosen = shown_terms(page)
    assert chosen != default
    circle.dispatch_event("mouseout")
    assert shown_terms(page) == default
    select(page, 0)
    circle.dispatch_event("mouseout")
    assert shown_terms(page) == chosen
    assert page.locator("#ldavis-topic").input_value() == "0"
    page.locator("#ldavis-topic-clear").click()
    assert shown_terms(page) == default
    assert page.locator("#ldavis-topic").input_value() == ""


def test_the_buttons_go_from_the_first_topic_to_the_last_and_no_further(page):
    page.locator("#ldavis-topic-clear").click()
    seen = []
    for _ in range(11):
        page.locator("#ldavis-topic-up").click()
        seen.append(page.locator("#ldavis-topic").input_value())
    assert seen == [*map(str, range(10)), "9"]
    for _ in range(11):
        page.locator("#ldavis-topic-down").click()
    assert page.locator("#ldavis-topic").input_value() == "0"


def test_a_topic_number_can_be_typed(page, ten_topics):
    page.locator("#ldavis-topic").fill("4")
    page.locator("#ldavis-topic").press("End")
    assert shown_terms(page)[:5] == list(summarize_topics(*ten_topics)[4].terms[:5])


def test_pointing_at_a_term_makes_the_circles_of_its_topics_large(page, ten_topics):
    model, bag = ten_topics
    select(page, 6)
    label = page.locator(".terms").first
    term = bag.vocabulary.tolist().index(label.text_content())
    label.dispatch_event("mouseover")
    settle(page)
    radii = [float(page.locator(f"#ldavis-topic{k}").get_attribute("r")) for k in range(10)]
    label.dispatch_event("mouseout")
    tokens = document_lengths(model, bag) @ model.doc_topic_ * model.topic_word_[:, term]
    share_of_topics = np.square(radii) / np.sum(np.square(radii))
    np.testing.assert_allclose(share_of_topics, tokens / tokens.sum(), atol=0.05)


def test_the_axis_measures_the_bars_of_the_topic_that_is_shown(page):
    select(page, 5)
    settle(page)
    label, place = page.evaluate(
        """() => { const tick = [...document.querySelectorAll(".xaxis .tick")].at(-1);
                   return [tick.textContent, tick.getAttribute("transform")]; }"""
    )
    pixels_per_token = float(re.search(r"translate\(([\d.]+)", place).group(1)) / float(
        label.replace(",", "")
    )
    bars = page.evaluate(
        "() => [...document.querySelectorAll('.overlay')].map(b => [+b.getAttribute('width'), b.__data__.Freq])"
    )
    assert len(bars) == 30
    np.testing.assert_allclose(
        [width for width, _ in bars], [pixels_per_token * tokens for _, tokens in bars], rtol=0.01
    )


def test_the_slider_listens_to_the_keyboard(page):
    select(page, 2)
    page.locator("#ldavis-lambda").press("Home")
    settle(page)
    bars = page.evaluate(
        "() => [...document.querySelectorAll('.terms')].map(t => [+t.getAttribute('y'), t.__data__.loglift])"
    )
    lifts = [lift for _, lift in sorted(bars)]
    assert len(lifts) == 30
    assert lifts == sorted(lifts, reverse=True)
    page.locator("#ldavis-lambda").fill("0.6")
    settle(page)


def written(tmp_path, *model_and_bag, language="en", **options):
    path = tmp_path / "page.html"
    page = pyldavis_html(prepare_pyldavis(*model_and_bag, **options), language=language)
    path.write_text(page, encoding="utf-8")
    return path


def test_the_buttons_skip_the_topics_that_are_not_drawn_and_a_term_marks_those_that_are(
    browser, tmp_path, monkeypatch
):
    monkeypatch.setattr("minillm_lib.topics.pyldavis.MOST_TOPICS", 3)
    model, bag = known_model(n_topics=8, n_terms=200)
    largest = sorted(np.argsort(-topic_shares(model.doc_topic_, document_lengths(model, bag)))[:3].tolist())
    with visit(browser, written(tmp_path, model, bag)) as opened:
        page, seen = opened.page, []
        for _ in range(4):
            page.locator("#ldavis-topic-up").click()
            seen.append(int(page.locator("#ldavis-topic").input_value()))
        assert seen == [*largest, largest[-1]]
        label = page.locator(".terms").first
        term = bag.vocabulary.tolist().index(label.text_content())
        label.dispatch_event("mouseover")
        settle(page)
        radii = [float(page.locator(f"#ldavis-topic{k}").get_attribute("r")) for k in largest]
        assert largest[np.argmax(radii)] == largest[(model.topic_word_[largest, term]).argmax()]
        assert "Shown are the 3 largest of 8 topics" in page.locator("p").all_inner_texts()[0]
        assert opened.errors == []


def test_unstable_topics_have_another_outline_and_labels_stand_above_the_terms(browser, tmp_path):
    model, bag = known_model()
    model.stability_ = np.array([0.3, 0.9, 0.2, 0.8])
    path = written(tmp_path, model, bag, labels=["<b>Birds</b> & bees", "", "", ""])
    with visit(browser, path) as opened:
        assert [circle.get_attribute("id")[-1] for circle in opened.page.locator(".unstable").all()] == [
            "0",
            "2",
        ]
        assert opened.page.locator("p").first.inner_text().startswith("Dashed outline: an unstable topic")
        select(opened.page, 0)
        assert (
            opened.page.locator(".name").text_content() == "<b>Birds</b> & bees · stability 0.30 · unstable"
        )
        assert opened.page.locator("b").count() == 0
        select(opened.page, 1)
        assert opened.page.locator(".name").text_content() == "stability 0.90"
        assert opened.errors == []
    with pytest.raises(ValueError, match="labels is 1 names for 4 topics"):
        prepare_pyldavis(model, bag, labels=["one"])


def test_a_chinese_page_has_no_english_left(browser, tmp_path):
    model, bag = known_model(vocabulary=[f"词语{i}" for i in range(60)])
    model.stability_ = np.array([0.3, 0.9, 0.2, 0.8])
    with visit(browser, written(tmp_path, model, bag, language="zh")) as opened:
        assert opened.page.locator("html").get_attribute("lang") == "zh"
        select(opened.page, 2)
        opened.page.locator(".terms").first.dispatch_event("mouseover")
        shown = opened.page.locator("text:visible, p, button, label, .lda-page div").all_text_contents()
        english = set(re.findall("[A-Za-z]{2,}", " ".join(shown)))
        assert english <= {"log", "Chuang", "Sievert", "Shirley"}
        assert opened.page.locator(".circleGuideTitle").text_content().startswith("词“词语")
        assert opened.errors == []


def test_both_languages_have_the_same_texts_with_the_same_gaps():
    assert WORDS["en"].keys() == WORDS["zh"].keys()
    for key, text in WORDS["en"].items():
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", WORDS["zh"][key])), key


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match="language is 'fr'; it must be one of 'en', 'zh'"):
        pyldavis_html(prepare_pyldavis(*known_model()), language="fr")


def test_a_term_with_an_ampersand_is_named_as_it_is(browser, tmp_path):
    model, bag = known_model(vocabulary=[f"r&d <{i}>" for i in range(60)])
    with visit(browser, written(tmp_path, model, bag)) as opened:
        label = opened.page.locator(".terms").first
        label.dispatch_event("mouseover")
        title = opened.page.locator(".circleGuideTitle").text_content()
        assert title == f"Conditional topic distribution given term = '{label.text_content()}'"


@pytest.mark.parametrize("vocabulary", ["कर्म", "தமிழ்", "한국어", "مَكْتَب", "ภาษา", "日本語", "😀"])
def test_terms_of_any_script_are_shown(browser, tmp_path, vocabulary):
    model, bag = known_model(vocabulary=[f"{vocabulary}{i}" for i in range(60)])
    with visit(browser, written(tmp_path, model, bag)) as opened:
        select(opened.page, 1)
        assert shown_terms(opened.page)[:10] == list(summarize_topics(model, bag)[1].terms)
        assert opened.errors == []


def test_the_page_is_drawn_anew_when_a_window_becomes_narrow(browser, tmp_path):
    with visit(browser, written(tmp_path, *known_model())) as opened:
        assert not opened.page.locator(".stacked").count()
        opened.page.set_viewport_size({"width": 390, "height": 800})
        opened.page.wait_for_selector(".stacked")
        assert opened.page.locator("circle.dot").count() == 4
        assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("n_topics", [1, 2])
def test_the_circles_of_one_or_two_topics_lie_inside_the_map(browser, tmp_path, n_topics):
    path = tmp_path / "few.html"
    path.write_text(pyldavis_html(prepare_pyldavis(*known_model(n_topics))), encoding="utf-8")
    with visit(browser, path) as opened:
        panel = opened.page.locator("#ldavis-leftpanel > rect").bounding_box()
        for topic in range(n_topics):
            circle = opened.page.locator(f"#ldavis-topic{topic}").bounding_box()
            assert circle["width"] > 20
            assert (
                panel["x"] - 2 < circle["x"] < circle["x"] + circle["width"] < panel["x"] + panel["width"] + 2
            )
            assert (
                panel["y"] - 2
                < circle["y"]
                < circle["y"] + circle["height"]
                < panel["y"] + panel["height"] + 2
            )
        assert opened.errors == []


def test_a_bar_of_less_than_one_token_has_no_negative_width(browser, tmp_path):
    model, bag = known_model(n_documents=2)
    model.topic_word_[:] = 1 / 60
    path = tmp_path / "thin.html"
    path.write_text(pyldavis_html(prepare_pyldavis(model, bag)), encoding="utf-8")
    with visit(browser, path) as opened:
        select(opened.page, 1)
        assert opened.errors == []


@pytest.mark.parametrize("width", [1280, 400])
def test_a_notebooks_frame_is_as_tall_as_the_page_in_it(browser, tmp_path, ten_topics, width):
    path = tmp_path / "notebook.html"
    path.write_text(pyldavis_iframe(prepare_pyldavis(*ten_topics))._repr_html_(), encoding="utf-8")
    with visit(browser, path, width=width) as opened:
        inside = opened.page.frames[1]
        inside.locator("#ldavis-topic3").dispatch_event("click")
        height = opened.page.locator("iframe").bounding_box()["height"]
        assert inside.evaluate("document.documentElement.scrollHeight") == pytest.approx(height, abs=2)
        assert inside.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert opened.errors == []
        assert opened.requests_to_outside == []
