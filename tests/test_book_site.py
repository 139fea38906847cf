"""The book as it is built: links, pictures, search, and how it looks from a browser without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from axe_playwright_python.sync_playwright import Axe
from book_pages import BOOK
from browser import visit
from bs4 import BeautifulSoup

pytestmark = pytest.mark.slow

SAMPLE = [
    "index.html",
    "course/02_lda_gibbs.html",
    "course/03_lda_neurips.html",
    "course/09_attention_gqa.html",
    "course/12_training_loop.html",
    "course/16_faster.html",
    "course/GLOSSARY.html",
    "reference/topics.html",
    "measured.html",
    "zh/index.html",
    "zh/course/09_attention_gqa.html",
    "zh/course/GLOSSARY.html",
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built for this test, or the one that the variable BOOK_SITE names."""
    if built := os.environ.get("BOOK_SITE"):
        return Path(built).resolve()
    folder = tmp_path_factory.mktemp("book")
    done = subprocess.run(
        [sys.executable, str(BOOK / "build.py"), str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "html"


@pytest.fixture(scope="module")
def pages(site):
    """Every page with its parsed HTML, without the pages of source code."""
    found = [path for path in site.rglob("*.html") if not {"_modules", "_static"} & set(path.parts)]
    return {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in found}


def test_every_link_inside_leads_somewhere_and_nothing_is_loaded_from_elsewhere(site, pages):
    ids = {path: {tag["id"] for tag in page.find_all(id=True)} for path, page in pages.items()}
    wrong = []
    for path, page in pages.items():
        for tag, attribute in (("a", "href"), ("link", "href"), ("script", "src"), ("img", "src")):
            for each in page.find_all(tag, attrs={attribute: True}):
                address = urlparse(each[attribute])
                if address.scheme or address.netloc:
                    if tag != "a" and address.scheme != "data":
                        wrong.append(f"{path.relative_to(site)} loads {each[attribute]}")
                    continue
                target = (path.parent / unquote(address.path)).resolve() if address.path else path
                if not target.exists():
                    wrong.append(f"{path.relative_to(site)}: {each[attribute]}")
                fragment = unquote(address.fragment)
                if tag == "a" and fragment and target in ids and fragment not in ids[target]:
                    wrong.append(f"{path.relative_to(site)}: {each[attribute]}")
    assert not wrong, "\n".join(sorted(set(wrong))[:20])


def test_every_figure_has_an_alternative_text(pages):
    for path, page in pages.items():
        for picture in page.find_all("img"):
            assert len(picture.get("alt", "")) > 15, f"{path.name}: {picture}"[:200]


def test_both_editions_have_the_same_pages_and_say_their_language(site, pages):
    names = {path.relative_to(site).as_posix() for path in pages}
    english = {name for name in names if not name.startswith("zh/")}
    assert {name.removeprefix("zh/") for name in names - english} == english
    assert "notebooks" in pages[site / "index.html"].get_text()
    assert "全部 notebook" in pages[site / "zh" / "index.html"].get_text()
    for name, language in (("index.html", "en"), ("zh/index.html", "zh")):
        assert pages[site / name].html["lang"].lower().startswith(language)


@pytest.mark.parametrize("name", SAMPLE)
@pytest.mark.parametrize("width", [390, 768, 1440])
def test_a_page_asks_for_nothing_outside_and_does_not_overflow(browser, site, name, width):
    with visit(browser, site / name, width=width, offline=True) as opened:
        opened.page.wait_for_load_state("load")
        if "mjx" in opened.page.content() or 'class="math' in opened.page.content():
            opened.page.wait_for_selector("mjx-container")
        assert opened.requests_to_outside == []
        assert opened.errors == []
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
        assert opened.page.evaluate(
            "[...document.querySelectorAll('.content')].every((each) => each.scrollWidth <= each.clientWidth)"
        )
        hidden = opened.page.evaluate(
            "[...document.images].filter((each) => each.complete && !each.naturalWidth).map((each) => each.src)"
        )
        assert hidden == []


def test_no_formula_is_left_as_tex(pages):
    for path, page in ((path, page) for path, page in pages.items() if path.parent.name == "course"):
        for text in page.find("article").find_all(string=re.compile(r"\\[a-z]+[{ ]|\$[^$]*\\")):
            assert text.find_parent(["code", "pre", "script"]) or text.find_parent(class_="math"), path.name


def test_no_signature_spells_out_how_a_value_is_checked(pages):
    for path, page in ((path, page) for path, page in pages.items() if path.parent.name == "reference"):
        for signature in page.find_all(class_="sig"):
            assert not re.search(r"Annotated|Validator|<\w+>", signature.get_text()), (
                path.name,
                signature.get("id"),
            )


def test_no_equation_is_an_error(browser, site, pages):
    opened = browser.new_page()
    for path, page in pages.items():
        if page.find(class_="math") and "zh" not in path.relative_to(site).parts:
            opened.goto(path.as_uri())
            opened.wait_for_selector("mjx-container", timeout=60_000)
            opened.evaluate("MathJax.startup.promise")
            errors = opened.evaluate(
                "[...document.querySelectorAll('[data-mjx-error]')].map((each) => each.dataset.mjxError)"
            )
            assert not errors, path.name
    opened.close()


@pytest.mark.parametrize("name", ["course/00_welcome.html", "course/04_tokenizer.html", "README.html"])
def test_on_a_narrow_screen_what_is_wide_scrolls_and_can_be_reached(browser, site, name):
    with visit(browser, site / name, width=390) as opened:
        opened.page.wait_for_selector("pre[tabindex]")
        opened.page.wait_for_selector(".picture[tabindex]")
        widths = opened.page.evaluate(
            "[...document.querySelectorAll('article img')].map((each) => [each.naturalWidth, each.clientWidth])"
        )
        assert all(shown >= min(natural / 2, 600) for natural, shown in widths)
        sizes = opened.page.evaluate(
            "[1, 2, 3].map((n) => parseFloat(getComputedStyle(document.querySelector(`h${n}`)).fontSize))"
        )
        assert sizes == sorted(sizes, reverse=True)


def test_a_line_of_code_fits_on_a_wide_screen(browser, site):
    with visit(browser, site / "course/04_tokenizer.html", width=1440) as opened:
        opened.page.wait_for_load_state("load")
        wide = opened.page.evaluate(
            "[...document.querySelectorAll('.cell_input pre')]"
            ".filter((each) => each.scrollWidth > each.clientWidth + 1)"
            ".map((each) => Math.max(...each.textContent.split('\\n').map((line) => line.length)))"
        )
        assert all(length > 105 for length in wide)


def files_of(path, tags, attribute):
    """Return the files of the site that tags of a page name."""
    addresses = (urlparse(tag[attribute]) for tag in tags)
    return {(path.parent / unquote(each.path)).resolve() for each in addresses if not each.scheme}


def test_no_page_needs_much_before_it_can_be_used(site, pages):
    """What a page waits for takes a second at 10 Mbit/s; MathJax and figures come while one reads."""
    assert any("course/03" in str(path) for path in pages)
    for path, page in pages.items():
        scripts = page.find_all("script", src=True)
        needed = {path}
        needed |= files_of(path, page.find_all("link", rel="stylesheet"), "href")
        needed |= files_of(path, [each for each in scripts if not each.has_attr("async")], "src")
        name = path.relative_to(site)
        assert len(needed) <= 20, name
        assert sum(each.stat().st_size for each in needed) < 1_000_000, name
        whole = needed | files_of(path, scripts, "src") | files_of(path, page.find_all("img"), "src")
        assert sum(each.stat().st_size for each in whole) < 3_000_000, name


def test_the_first_page_is_small(browser, site):
    for name in ("index.html", "zh/index.html"):
        with visit(browser, site / name) as opened:
            loaded = {
                Path(unquote(urlparse(each).path)) for each in opened.requests if each.startswith("file:")
            }
            assert sum(path.stat().st_size for path in loaded) < 500_000


@pytest.mark.parametrize(("edition", "words", "wanted"), [
    ("", "perplexity", "05"),
    ("", "GibbsLDA", "minillm_lib.topics"),
    ("", "吉布斯采样", "术语表"),
    ("zh/", "吉布斯采样", "02 · 用吉布斯采样做 LDA"),
    ("zh/", "主题模型", "03 · 一千篇论文的主题"),
    ("zh/", "困惑度", "05 · 度量语言模型"),
])  # fmt: skip
def test_search_works_without_a_server(browser, site, edition, words, wanted):
    with visit(browser, site / edition / "index.html", offline=True) as opened:
        search_for(opened.page, words, wanted)
        assert opened.errors == []


def search_for(page, words, wanted):
    box = page.locator("input[name=q]").first
    box.fill(words)
    box.press("Enter")
    page.locator("#search-results li", has_text=wanted).first.wait_for()


@pytest.mark.parametrize("edition", ["", "zh/"])
@pytest.mark.parametrize("width", [390, 768, 1440])
def test_the_page_of_search_has_a_heading_and_a_box(browser, site, edition, width):
    with visit(browser, site / edition / "search.html", width=width, offline=True) as opened:
        page = opened.page
        assert page.locator("h1").bounding_box()["height"] > 20
        box = page.locator("article input[name=q]")
        box.fill("perplexity")
        box.press("Enter")
        page.locator("#search-results li").first.wait_for()
        assert page.locator("article input[name=q]").input_value() == "perplexity"
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert opened.errors == []


@pytest.mark.parametrize("name", ["02_lda_gibbs", "09_attention_gqa", "12_training_loop", "15_inference"])
def test_the_number_of_an_equation_is_seen_on_a_narrow_page(browser, site, name):
    with visit(browser, site / "course" / f"{name}.html", width=768) as opened:
        opened.page.wait_for_selector("mjx-container")
        opened.page.evaluate("MathJax.startup.promise")
        wide = opened.page.evaluate(
            "[...document.querySelectorAll('div.math:has(mjx-mlabeledtr, mjx-labels)')]"
            ".filter((each) => each.scrollWidth > each.clientWidth + 1).map((each) => each.id || each.textContent)"
        )
        assert wide == []


def test_search_works_from_a_plain_server_too(browser, site):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page = browser.new_page()
    try:
        page.goto(f"http://127.0.0.1:{server.server_port}/zh/index.html")
        search_for(page, "主题模型", "03 · 一千篇论文的主题")
        page.locator("#search-results a", has_text="03 · 一千篇论文的主题").first.click()
        assert "/zh/course/03_lda_neurips.html" in page.url
    finally:
        page.close()
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("width", [390, 1440])
def test_three_clicks_lead_to_an_exercise_and_to_a_method(browser, site, width):
    with visit(browser, site / "index.html", width=width) as opened:
        page = opened.page
        page.locator("article a[href$='09_attention_gqa.html']").first.click()
        page.locator(".facts").get_by_role("link", name="2", exact=True).click()
        assert page.url.endswith("#nb-09-exercise-2")
        exercise = page.locator("section#does-it-look-ahead-2-points, #nb-09-exercise-2").first
        assert "Does it look ahead" in exercise.inner_text()
        assert page.locator("section.exercise .exercise-card details").count() > 10
    with visit(browser, site / "index.html", width=width) as opened:
        page = opened.page
        page.locator("article a", has_text="GibbsLDA.fit").click()
        assert page.url.endswith("reference/topics.html#minillm_lib.topics.GibbsLDA.fit")


def test_the_bars_are_found_by_pressing_a_button(browser, site):
    with visit(browser, site / "index.html") as opened:
        opened.page.get_by_role("button", name="Sample").click()
        opened.page.wait_for_function(
            "/(9|10) of 10/.test(document.querySelector('.sweeps').textContent)", timeout=60_000
        )
        opened.page.get_by_role("button", name="Other documents").click()
        assert "Sweep 0" in opened.page.locator(".sweeps").inner_text()


def test_the_switch_leads_to_the_same_page_in_the_other_language(browser, site):
    with visit(browser, site / "course" / "09_attention_gqa.html") as opened:
        opened.page.get_by_role("link", name="中文", exact=True).first.click()
        assert opened.page.url.endswith("zh/course/09_attention_gqa.html")
        assert "注意力" in opened.page.locator("h1").inner_text()
        opened.page.get_by_role("link", name="English", exact=True).first.click()
        assert re.search(r"html/course/09_attention_gqa\.html$", opened.page.url)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", SAMPLE)
@pytest.mark.parametrize("width", [390, 1440])
def test_axe_finds_no_fault_of_contrast_names_or_landmarks(browser, site, name, scheme, width):
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    page = context.new_page()
    page.goto((site / name).as_uri())
    rules = [
        "color-contrast",
        "image-alt",
        "button-name",
        "link-name",
        "document-title",
        "html-has-lang",
        "landmark-one-main",
        "landmark-unique",
        "aria-required-attr",
        "empty-table-header",
        "scrollable-region-focusable",
        "definition-list",
        "dlitem",
    ]
    result = Axe().run(page, options={"runOnly": {"type": "rule", "values": rules}})
    context.close()
    assert result.violations_count == 0, result.generate_report()
