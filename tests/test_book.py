"""The book's parts: what becomes of a notebook, which names the reference has, how words are searched for."""

from __future__ import annotations

import ast
import importlib
import json
import re
import typing
from collections.abc import Sequence
from pathlib import Path

import nbformat
import numpy as np
import pytest
from book_pages import BOOK
from book_site import notebooks, reference
from book_site.extension import (
    as_in_a_notebook,
    give_classes,
    join_lines,
    language_of,
    mended,
    saying_what_is_english,
    table_of_notebooks,
    titles,
    with_its_own_title,
)
from book_site.search_words import SearchBilingual, search_words
from build import outside_links, sources
from docutils import nodes
from docutils.utils import new_document
from numpy.typing import ArrayLike, NDArray
from sphinx.util.typing import stringify_annotation

from minillm_lib.checks import check
from minillm_lib.checks.registry import COURSE

ROOT = BOOK.parent
NOTEBOOKS = sorted((ROOT / "course").glob("[0-9]*.ipynb"))
HINTS = {name: getattr(check, name).hints for names in COURSE.values() for name in names}


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def prepared(path, **options):
    return notebooks.prepared(read(path), path.stem, HINTS, **options)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_prepared_notebook_has_all_cells_and_says_what_to_see(path):
    original, page = read(path), prepared(path)
    nbformat.validate(nbformat.from_dict(page))
    ids = [cell["id"] for cell in original["cells"]]
    assert [cell["id"] for cell in page["cells"] if not cell["id"].startswith("hints-")] == ids
    folded = {cell["id"].removeprefix("hints-") for cell in page["cells"] if cell["id"].startswith("hints-")}
    assert folded == {name for name in COURSE[path.stem] if HINTS[name]}
    for cell in page["cells"]:
        outputs = cell.get("outputs", [])
        assert not any("widget" in kind for output in outputs for kind in output.get("data", {}))
        if any("image/png" in output.get("data", {}) for output in outputs):
            said = cell["metadata"]["mystnb"]["image"]["alt"]
            assert 20 < len(said) <= 302, said
            assert not re.search(r"\$|\*\*|`|\]\(|\\\\", said), said
    assert "widgets" not in page["metadata"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_sections_are_those_of_the_headings(path):
    parts = notebooks.sections(read(path), path.stem)
    assert len({part.label for part in parts}) == len(parts)
    checked = [name for part in parts for name in part.checks]
    assert sorted(checked) == sorted(COURSE[path.stem])
    assert all(part.exercise is not None for part in parts if part.checks)
    labels = re.findall(
        r"^\((nb-.+)\)=$", "\n".join(map(notebooks.text_of, prepared(path)["cells"])), re.MULTILINE
    )
    assert labels == [part.label for part in parts]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_in_chinese_a_notebook_opens_with_its_title_and_summary(path):
    title = titles(ROOT / "README.zh-CN.md")[path.stem]
    opening = notebooks.text_of(prepared(path, language="zh", title=title)["cells"][0])
    assert opening.startswith(f"# {path.stem[:2]} · {title}\n")
    assert "中文提要" not in opening
    assert len(re.findall(r"[\u4e00-\u9fff]", opening)) > 80


def test_the_link_to_colab_needs_a_repository():
    assert "colab" not in notebooks.text_of(prepared(NOTEBOOKS[9])["cells"][0])
    with_it = prepared(NOTEBOOKS[9], repository="https://github.com/someone/course")
    wanted = (
        "(https://colab.research.google.com/github/someone/course/blob/main/course/09_attention_gqa.ipynb)"
    )
    assert wanted in notebooks.text_of(with_it["cells"][0])


def test_the_opening_leads_to_each_exercise_and_outputs_lead_to_pages():
    opening, *_ = map(notebooks.text_of, prepared(NOTEBOOKS[9])["cells"])
    assert "[2](#nb-09-exercise-2)" in opening
    assert "[1 exercise](#nb-00-exercise), 1 point" in notebooks.text_of(prepared(NOTEBOOKS[0])["cells"][0])
    outputs = json.dumps([cell.get("outputs") for cell in prepared(NOTEBOOKS[9])["cells"]])
    assert "08_rope.html" in outputs
    assert "08_rope.ipynb" not in outputs


def test_the_picture_of_a_widget_is_as_wide_as_in_the_notebook():
    cells = prepared(NOTEBOOKS[9])["cells"]
    said = [
        output["metadata"] for cell in cells for output in cell.get("outputs", []) if output.get("metadata")
    ]
    assert {"image/png": {"width": "486px"}} in said


def test_a_formula_of_two_lines_is_not_taken_for_a_list():
    text = "# 01 · X\n\nSo $a = b\n+ c$:\n\n- d $d$.\n- e $f$\n\n$$\na\n- b\n$$"
    page = {"cells": [{"cell_type": "markdown", "metadata": {}, "source": text}], "metadata": {}}
    assert "So $a = b + c$:\n\n- d $d$.\n- e $f$\n\n$$\na\n- b\n$$" in notebooks.text_of(
        notebooks.prepared(page, "01_x", {})["cells"][0]
    )


def test_outside_links_are_listed_with_their_pages(tmp_path):
    (tmp_path / "zh").mkdir()
    (tmp_path / "index.html").write_text(
        '<a class="x" href="https://a.org/?b=1&amp;c=2">1</a> <a href="zh/x.html">2</a>'
    )
    (tmp_path / "zh" / "x.html").write_text(
        '<a href="https://a.org/?b=1&amp;c=2">1</a> <link href="https://b.org/">'
    )
    assert outside_links(tmp_path) == {"https://a.org/?b=1&c=2": ["index.html", "zh/x.html"]}


def test_chinese_lines_are_joined():
    pieces = ["x", "\n", "一行，", "\n", "二行\n三行", "\n"]
    paragraph = nodes.paragraph("", "", *map(nodes.Text, pieces), nodes.strong("", "四行"), nodes.Text("\nx"))
    document = new_document("")
    document += [paragraph, nodes.literal_block("", "一\n二")]
    join_lines(document)
    assert document.astext() == "x\n一行，二行三行四行\nx\n\n一\n二"


def test_what_is_escaped_stays_when_lines_are_joined():
    """In reStructuredText, "``x``\\ [..." has a text that begins with a backslash, which is not seen."""
    document = new_document("")
    document += nodes.paragraph("", "", nodes.literal("", "Iterator"), nodes.Text("\0 [str]"))
    join_lines(document)
    assert document.astext() == "Iterator[str]"


def test_only_python_is_coloured_as_python():
    for code, language in (
        ("make setup\nsource .venv/bin/activate", "none"),
        ("minillm lda notes/ --topics 10", "none"),
        ("n_heads = 4   MHA: n_kv_heads = 4", "none"),
        ("cache = model.new_cache(...)\nlogits = model(ids, cache=cache)", "python"),
        (">>> check.rms_norm(f)\nrms_norm: failed", "pycon"),
    ):
        assert language_of(code) == language


def test_a_text_of_one_line_wraps_and_a_table_does_not():
    document = new_document("")
    outputs = ["words " * 40, "a    b" * 40, "words", "\u2502 x \u2502" * 40]
    document += [nodes.literal_block("", text) for text in outputs]
    give_classes(document)
    assert [block["classes"] for block in document] == [["prose"], [], [], []]
    inline = nodes.paragraph("", "", nodes.literal("", "--max-len"), nodes.literal("", "x" * 60))
    document += inline
    give_classes(document)
    assert [each["classes"] for each in inline] == [["short"], []]


def test_a_constant_shows_its_value_and_a_signature_nothing_private():
    pages = reference.pages(ROOT)
    assert ":value: ('en', 'zh')" in pages["reference/corpora-conversations.rst"]
    assert ":value: Literal['en', 'zh']" in pages["reference/corpora-conversations.rst"]
    assert not re.search(r"^   An? ``\w+``\.$", "\n".join(pages.values()), re.MULTILINE)
    written = reference.with_short_types("(a: F = <class 'str'>, _b: dict[str, int] = ..., c: int = 1)")
    assert reference.without_private(written) == "(a: F = str, c: int = 1)"


def test_chinese_punctuation_joins_lines_too():
    document = new_document("")
    document += nodes.paragraph(
        "", "", nodes.Text("值；\nlog p\n（如\n"), nodes.literal("", "x"), nodes.Text("\n）和\ny")
    )
    join_lines(document)
    assert document.astext() == "值；log p（如\nx）和\ny"


def test_an_equation_with_rows_may_have_a_number():
    rows = r"\begin{pmatrix}a\\b\end{pmatrix} \tag{3}"
    for text, wanted in ((rows, rf"\[{rows}\]"), ("x", "x")):
        equation = nodes.math_block("", text)
        as_in_a_notebook(equation)
        assert equation.astext() == wanted
        assert equation.get("no-wrap", False) == (wanted != text)


def test_an_alternative_text_ends_with_a_sentence():
    assert (
        notebooks.plain(r"**Bold** `x`, $\ln k_1$, [a link](x.md), 2 * 3.")
        == "Bold x, ln k_1, a link, 2 * 3."
    )
    assert notebooks.shortened("One two. Three four.", 12) == "One two."


def test_every_public_name_is_at_home_once():
    every, aliases = reference.entries(ROOT)
    homes = {entry.path for entry in every}
    assert len(homes) == len(every)
    for room in reference.rooms(ROOT):
        for name in importlib.import_module(room).__all__:
            path = f"{room}.{name}"
            if importlib.util.find_spec(room) and not (ROOT / Path(*room.split("."), name)).is_dir():
                assert path in homes or aliases[path] in homes, path
    assert aliases["minillm_lib.GibbsLDA"] == "minillm_lib.topics.GibbsLDA"
    assert aliases["minillm_lib.topics.gibbs_lda.GibbsLDA"] == "minillm_lib.topics.GibbsLDA"


def test_the_reference_says_which_notebook_builds_a_name():
    every, aliases = reference.entries(ROOT)
    course = {
        path.stem: (notebooks.sections(read(path), path.stem), notebooks.library_paths(read(path)))
        for path in NOTEBOOKS
    }
    built = reference.built_in(every, aliases, course)
    (place,) = built["minillm_lib.model.GroupedQueryAttention"]
    assert place.words == "09, §4"
    assert [place.words for place in built["minillm_lib.model.KVCache"]] == ["09, §7", "15", "16"]
    assert built["minillm_lib.topics.GibbsLDA"][0].notebook == "02_lda_gibbs"
    assert {place.notebook for places in built.values() for place in places} >= {
        p.stem for p in NOTEBOOKS[1:17]
    }


def test_what_a_notebook_uses_is_what_it_has_imported():
    cells = [
        "from tokenizers import Tokenizer as HuggingFaceTokenizer\n"
        "import minillm_lib.topics as topics\nfrom minillm_lib.generation import chat, generate",
        "rng.sample(3); grammar.generate(2); topics.terms.lemma('x'); HuggingFaceTokenizer()",
        "def generate(): ...\ngenerate()\nchat = 1\nprint(chat)",
    ]
    imported: dict[str, str] = {}
    used, defined = notebooks.names_in(map(ast.parse, cells), imported)
    assert defined == {"generate"}
    assert used >= {"minillm_lib.topics.terms.lemma", "tokenizers.Tokenizer"}
    assert (
        not {"minillm_lib.generation.chat", "minillm_lib.corpora.sample"}
        & notebooks.names_in(map(ast.parse, cells[1:]), imported)[0]
    )
    assert set(imported) == {"HuggingFaceTokenizer", "topics"}


def test_the_reference_does_not_say_that_a_notebook_uses_a_namesake():
    every, aliases = reference.entries(ROOT)
    course = {path.stem: (notebooks.sections(read(path), path.stem), []) for path in NOTEBOOKS}
    used = {
        path: [place.words for place in places]
        for path, places in reference.used_in(every, aliases, course).items()
    }
    assert "minillm_lib.corpora.sample" not in used
    assert "minillm_lib.generation.generate" not in used
    assert "minillm_lib.tokenizer.HuggingFaceTokenizer" not in used
    assert used["minillm_lib.topics.GibbsLDA"][0] == "02, §6"
    assert used["minillm_lib.topics.default_stop_words"] == ["01, §2"]  # by way of the module that offers it


def test_a_chinese_expression_is_searched_for_by_its_pairs():
    assert search_words("用吉布斯采样做 LDA") == [
        *("用吉", "吉布", "布斯", "斯采", "采样", "样做", "用", "吉", "布", "斯", "采", "样", "做", "LDA")
    ]
    kept = SearchBilingual({})
    assert kept.word_filter("词")
    assert not kept.word_filter("the")


def test_both_languages_have_the_same_pages():
    assert set(sources("en")) == set(sources("zh"))
    assert {f"course/{path.name}" for path in NOTEBOOKS} <= set(sources("en"))
    texts = [(BOOK / "pages" / name).read_text(encoding="utf-8") for name in ("index.md", "index.zh-CN.md")]
    links = [re.findall(r"\]\(([^)]+)\)|href=\"([^\"]+)\"|<(minillm_lib[^>]+)>", text) for text in texts]
    assert links[0] == links[1]
    for readme in ("README.md", "README.zh-CN.md"):
        assert table_of_notebooks(ROOT / readme).count("\n") == 20


def test_every_meaning_of_the_glossary_is_in_chinese_in_the_chinese_edition():
    """Where one has been changed, book/locale/zh_CN/LC_MESSAGES/course/GLOSSARY.po needs the new words."""
    catalogue = (BOOK / "locale" / "zh_CN" / "LC_MESSAGES" / "course" / "GLOSSARY.po").read_text(
        encoding="utf-8"
    )
    said = dict(re.findall(r'^msgid "(.+)"\nmsgstr "(.+)"$', catalogue, re.MULTILINE))
    glossary = (ROOT / "course" / "GLOSSARY.md").read_text(encoding="utf-8")
    meanings = re.findall(r"^\| [^|]+ \| [^|]+ \| ([^|]+) \| \[\d\d\]", glossary, re.MULTILINE)
    assert len(meanings) > 150
    missing = [each for each in meanings if not re.search(r"[\u4e00-\u9fff]", said.get(each, ""))]
    assert not missing


def test_a_page_of_the_chinese_edition_says_that_it_is_english():
    words = notebooks.WORDS["zh"]
    for name, page in reference.pages(ROOT).items():
        said = saying_what_is_english(name.removesuffix(".rst"), page)
        assert said.count(words["docstrings"]) == 1, name
        assert said.index("=\n") < said.index(words["docstrings"]) < said.index("=\n") + 40, name
    for name, path in sources("zh").items():
        if name.endswith(".md"):
            text = path.read_text(encoding="utf-8")
            prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
            in_chinese = len(re.findall(r"[\u4e00-\u9fff]", prose)) > 200
            assert (
                words["untranslated"] in saying_what_is_english(name.removesuffix(".md"), text)
            ) != in_chinese, name


def test_chinese_text_has_its_own_quotes():
    """A straight one beside a Chinese character would be taken for the end of a quotation."""
    for name, path in sources("zh").items():
        if name.endswith(".md"):
            text = re.sub(r"^```.*?^```|`[^`]*`", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
            found = re.findall(
                r"""[\u3000-\u9fff\uff00-\uffef]["'].*|.*["'][\u3000-\u9fff\uff00-\uffef]""", text
            )
            assert not found, (name, found)


def test_the_readme_has_another_title_than_the_first_page_of_the_book():
    for language in ("en", "zh"):
        first, readme = (
            sources(language)[name].read_text(encoding="utf-8") for name in ("index.md", "README.md")
        )
        title, _, rest = with_its_own_title(readme, language).partition("\n")
        assert title.endswith(f"{notebooks.WORDS[language]['readme']}")
        assert title != first.partition("\n")[0]
        assert rest == readme.partition("\n")[2]


def test_the_words_of_the_reference_are_those_of_the_edition():
    for language, other in (("en", "zh"), ("zh", "en")):
        text = "\n".join(reference.pages(ROOT, language).values())
        for name in ("also here", "modules"):
            assert notebooks.WORDS[language][name] in text
            assert notebooks.WORDS[other][name] not in text


def test_an_empty_header_becomes_a_cell():
    table = '<thead><tr><th class="head"><p></p></th><th class="head"><p>x</p></th><th></th></tr></thead>'
    wanted = '<thead><tr><td></td><th class="head"><p>x</p></th><td></td></tr></thead>'
    assert mended(table) == wanted


def test_a_title_breaks_at_its_dots():
    assert mended("<h1>a_b.c.d<a>#</a></h1>") == "<h1>a_b.<wbr>c.<wbr>d<a>#</a></h1>"
    assert mended("<h1>Two words.<a>#</a></h1>") == "<h1>Two words.<a>#</a></h1>"


def test_the_parameters_of_a_signature_are_lines():
    inner = "<dl>\n<dd><em>x</em>,</dd>\n<dd><em>y</em>,</dd>\n</dl>"
    kept = '<dl class="simple"><dt>x</dt><dd>y</dd></dl><dl><dt>x</dt><dd>y</dd></dl>'
    wanted = '<div class="parameters">\n<div><em>x</em>,</div>\n<div><em>y</em>,</div>\n</div>'
    assert mended(f"<dt>f({inner})</dt>{kept}") == f"<dt>f({wanted})</dt>{kept}"


def test_types_are_written_as_in_the_source():
    def example(x: Sequence[ArrayLike] | None, y: NDArray[np.floating]) -> NDArray[np.int64]: ...

    def written(kind, mode):
        return reference.with_short_types(stringify_annotation(kind, mode))

    kinds = typing.get_type_hints(example)
    assert [written(kind, "smart") for kind in kinds.values()] == [
        "~collections.abc.Sequence[ArrayLike] | None",
        "NDArray[floating]",
        "NDArray[int64]",
    ]
    size = "a: Annotated[int, ~annotated_types.Gt(gt=0), ~annotated_types.Lt(lt=9)] = 1"
    union = (
        "b: ~typing.Annotated[X | Y[int], FieldInfo(annotation=NoneType, required=True)] | None = <factory>"
    )
    assert reference.with_short_types(f"({size}, {union})") == "(a: int = 1, b: X | Y[int] | None = ...)"
    inner = "Annotated[str, MinLen(min_length=1)]"
    outer = f"~typing.Annotated[tuple[{inner}, ...], ~x.BeforeValidator(func=~y.<lambda>, z=U)]"
    assert reference.with_short_types(f"(stop: {outer} = ())") == "(stop: tuple[str, ...] = ())"
    assert written(kinds["y"], "fully-qualified-except-typing") == "NDArray[floating]"


def test_what_scrolls_can_be_reached_with_the_keyboard_and_only_that(browser, tmp_path):
    page = tmp_path / "page.html"
    script = (BOOK / "static" / "scrolling.js").read_text(encoding="utf-8")
    long, short = "x" * 300, "x"
    page.write_text(
        f"<html lang='zh-CN'><style>pre {{ overflow: auto; width: 200px }}</style><script>{script}</script>"
        f"<article><pre>{long}</pre><pre>{short}</pre><div class=cell_output><pre>{long}</pre></div></article>"
    )
    opened = browser.new_page()
    opened.goto(page.as_uri())
    opened.wait_for_selector("pre[tabindex]")
    boxes = opened.locator("pre")
    names = ["代码，可左右滚动", None, "输出，可左右滚动"]
    assert [boxes.nth(i).get_attribute("aria-label") for i in range(3)] == names
    assert boxes.nth(0).evaluate("box => box.classList.contains('more')")
    boxes.nth(0).evaluate("box => { box.scrollLeft = 1e6; box.id = 'moved' }")
    opened.wait_for_selector("#moved:not(.more)")
    boxes.nth(2).evaluate("box => { box.style.width = '5000px'; box.id = 'wide' }")
    opened.wait_for_selector("#wide:not([tabindex])")
    opened.close()


def test_an_equation_in_a_line_scrolls_if_it_is_longer_than_the_line(browser, tmp_path):
    page = tmp_path / "page.html"
    script = (BOOK / "static" / "scrolling.js").read_text(encoding="utf-8")
    style = (BOOK / "static" / "book.css").read_text(encoding="utf-8")
    spans = "".join(
        f"<span class=math><mjx-math style='display: inline-block; width: {width}px'>x</mjx-math></span>, "
        for width in (500, 50)
    )
    page.write_text(
        f"<style>{style}</style><script>{script}</script><article><p style='width: 200px'>{spans}</p></article>"
    )
    opened = browser.new_page()
    opened.goto(page.as_uri())
    opened.wait_for_selector("span.long[tabindex]")
    assert opened.evaluate("[...document.querySelectorAll('.math')].map((each) => each.className)") == [
        "math long more",
        "math",
    ]
    assert opened.locator("p").evaluate("p => p.scrollWidth <= p.clientWidth")
    opened.close()


def test_the_sampler_of_the_first_page_finds_the_bars(browser, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(f"<script>{(BOOK / 'static' / 'gibbs.js').read_text(encoding='utf-8')}</script>")
    opened = browser.new_page()
    opened.goto(page.as_uri())
    found = opened.evaluate(
        """() => [1, 2, 3, 7].map((seed) => {
            const bars = new Bars(seed), before = bars.found();
            for (let i = 0; i < 150; i++) bars.sweep();
            const tokens = bars.perTopic.reduce((a, b) => a + b), whole = bars.topic(0).reduce((a, b) => a + b);
            return [before, bars.found(), tokens, Math.abs(whole - 1) < 1e-9];
        })"""
    )
    opened.close()
    for before, after, tokens, whole in found:
        assert before == 0
        assert after >= 9
        assert tokens == 40_000
        assert whole
