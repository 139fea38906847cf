"""What the book adds to Sphinx: prepared notebooks, the reference and its links to the course, and MathJax's files."""

from __future__ import annotations

import ast
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imagesize
from docutils import nodes
from sphinx import addnodes
from sphinx.util.fileutil import copy_asset

from book_site import notebooks, reference
from minillm_lib.checks import check
from minillm_lib.checks.registry import COURSE

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
_CHINESE = "[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]"
_FULL_WIDTH = "[\u3000-\u303f\uff00-\uffef]"  # punctuation, which has its own white space
# The link to a page's other language, which every page of the book has in its margin.
_LANGUAGE_LINE = re.compile(r"^\*?\[(?:中文|中文说明|English)\]\([^)]*\.md\)\*?\n\n", re.MULTILINE)


_SMALL_ENOUGH = 640  # a figure's width in pixels: on a telephone, half of it is shown, and can be read

_LONG_LINE = 160  # of an output: characters, half as many again as the page shows
_GAP = re.compile(
    r"\S(?: {3,}|\t)(?=\S)|[│┃|] "
)  # between columns: a table has two in a line, a text one after its name
_SHORT_CODE, _SHORT_NAME = 20, 16

# Documents without a Chinese version; notebooks, too, say that they have none.
_ONLY_ENGLISH = {"CHANGELOG", "CONTRIBUTING", "SECURITY", "results/26m/README", "results/26m/samples"}


def _notebook_files() -> list[Path]:
    return sorted((ROOT / "course").glob("[0-9]*.ipynb"))


def table_of_notebooks(readme: Path) -> str:
    """Return the table of a README that links every notebook with what it builds, in Markdown."""
    (table,) = re.findall(
        r"^(?:\|.*\n)+(?=\| 18 )\| 18 .*$", readme.read_text(encoding="utf-8"), re.MULTILINE
    )
    return str(table)


def titles(readme: Path) -> dict[str, str]:
    """Return the title of each notebook in the table of a README."""
    found = re.findall(
        r"^\| \d\d \| \[(.+?)\]\(course/(.+?)\.ipynb\)", readme.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {name: title for title, name in found}


class Course:
    """What the pages need to know of all notebooks and public names, read once."""

    def __init__(self) -> None:
        self.entries, self.aliases = reference.entries(ROOT)
        self.notebooks = {}
        for path in _notebook_files():
            notebook = json.loads(path.read_text(encoding="utf-8"))
            self.notebooks[path.stem] = (
                notebooks.sections(notebook, path.stem),
                notebooks.library_paths(notebook),
            )
        self.built = reference.built_in(self.entries, self.aliases, self.notebooks)
        self.used = reference.used_in(self.entries, self.aliases, self.notebooks)
        self.titles = titles(ROOT / "README.zh-CN.md")
        self.hints: dict[str, Sequence[str]] = {
            name: getattr(check, name).hints for exercises in COURSE.values() for name in exercises
        }


def _is_chinese(app: Sphinx) -> bool:
    return bool(app.config.language and app.config.language.startswith("zh"))


def _read_course(app: Sphinx) -> None:
    """Read the notebooks, and import what autodoc will describe.

    Autodoc imports modules with ``TYPE_CHECKING`` set, which pydantic does not bear while it defines a model.
    """
    course = Course()
    for entry in course.entries:
        reference.value_of(entry)
    app.book_course = course  # type: ignore[attr-defined]


def _prepare_notebook(app: Sphinx, docname: str, content: list[str]) -> None:
    """Replace a notebook's source by its prepared form."""
    content[0] = _LANGUAGE_LINE.sub("", content[0])
    content[0] = re.sub(r"(?<=\]\()((?:\.\./)*)book/pages/", r"\1", content[0])
    content[0] = re.sub(r"\.zh-CN\.md(?=[)#])", ".md", content[0])
    if (ROOT / "book" / "pages" / f"{docname}.md").exists():  # they are the book's root
        content[0] = content[0].replace("](../../", "](")
    if docname == "README":
        content[0] = with_its_own_title(content[0], "zh" if _is_chinese(app) else "en")
    if docname == "index":
        readme = ROOT / ("README.zh-CN.md" if _is_chinese(app) else "README.md")
        content[0] = content[0].replace("<!-- table of notebooks -->", table_of_notebooks(readme))
    if _is_chinese(app):
        content[0] = saying_what_is_english(docname, content[0])
    folder, _, name = docname.rpartition("/")
    course: Course = app.book_course  # type: ignore[attr-defined]
    if folder != "course" or name not in course.notebooks:
        return
    page = notebooks.prepared(
        json.loads(content[0]),
        name,
        course.hints,
        language="zh" if _is_chinese(app) else "en",
        title=course.titles.get(name, "") if _is_chinese(app) else "",
        repository=app.config.book_repository,
    )
    content[0] = json.dumps(page)


def with_its_own_title(readme: str, language: str) -> str:
    """Return the README under another title, since its own is that of the first page too."""
    return re.sub(r"^# .+", f"# {notebooks.WORDS[language]['readme']}", readme, count=1, flags=re.MULTILINE)


def saying_what_is_english(docname: str, source: str) -> str:
    """Return a page of the Chinese edition with a note under its title if its text is English."""
    words = notebooks.WORDS["zh"]
    if docname.startswith("reference/"):
        return re.sub(
            r"^=+\n", rf"\g<0>\n.. note:: {words['docstrings']}\n", source, count=1, flags=re.MULTILINE
        )
    if docname in _ONLY_ENGLISH:
        return re.sub(r"^# .+\n", rf"\g<0>\n:::{{note}}\n{words['untranslated']}\n:::\n", source, count=1)
    return source


def _role(place: reference.Place) -> str:
    target = place.section.label if place.section else ""
    if target:
        return f":ref:`{place.words} <{target}>`"
    return f":doc:`{place.words} </course/{place.notebook}>`"


def _separate_attributes(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Give each of several attributes its own entry: napoleon takes "alpha_, beta_" for a name with a type.

    In what is said of one attribute, it takes all up to a colon for its type, but not if that comes in a later line.
    """
    lines[:] = [*(["..", ""] if what in ("attribute", "property") else []), *reference.separated(lines)]


def _says_nothing(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what Python and Pydantic add to a class: "Alias for field number 0", and the settings of validation.

    Nor is a field whose default is a class an "alias" of it.
    """
    added = name == "model_config" or (getattr(obj, "__doc__", None) or "").startswith(
        "Alias for field number"
    )
    is_default = what == "class" and isinstance(obj, type) and obj.__name__ != name
    return True if added or is_default else None


def _shorten_types(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Name NumPy's types in a signature as its source does, and leave out what a class keeps for itself."""
    short = reference.with_short_types
    shown = signature and short(signature)
    return shown and reference.without_private(shown), returned and short(returned)


def _shorten_types_of_attributes(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    lines[:] = [reference.with_short_types(line) for line in lines]


def _say_where_it_is_built(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Add to the docstring of a public name the notebooks that build it, and those that use it."""
    course: Course = app.book_course  # type: ignore[attr-defined]
    home = course.aliases.get(name, name)
    built, used = course.built.get(home, []), course.used.get(home, [])
    used = [place for place in used if place.notebook not in {each.notebook for each in built}]
    said = []
    words = ("在课程中搭建：", "用于：") if _is_chinese(app) else ("Built in ", "Used in ")
    for word, places in zip(words, (built, used), strict=True):
        if places:
            said.append(word + "; ".join(_role(place) for place in places))
    if said:
        lines[:0] = [".. rst-class:: built-in", "", " · ".join(said), ""]


def _resolve_alias(app: Sphinx, env: Any, node: addnodes.pending_xref, contnode: nodes.Element) -> Any:
    """Resolve a reference by another path that leads to a public name: where it is defined, or another room."""
    if node.get("refdomain") != "py":
        return None
    course: Course = app.book_course  # type: ignore[attr-defined]
    target = node["reftarget"]
    candidates = [target, *(f"{node.get('py:module')}.{target}" for _ in [0] if node.get("py:module"))]
    for candidate in candidates:
        path, rest = candidate, ""
        while path:
            if path in course.aliases:
                node["reftarget"] = course.aliases[path] + rest
                domain = env.get_domain("py")
                return domain.resolve_xref(
                    env, node["refdoc"], app.builder, "obj", node["reftarget"], node, contnode
                )
            path, _, last = path.rpartition(".")
            rest = f".{last}{rest}"
    return None


def _finish_page(app: Sphinx, doctree: nodes.document) -> None:
    """Make cards of the exercises, and links to the reference of the library's paths."""
    for section in doctree.findall(nodes.section):
        if any(re.fullmatch(r"nb-\d\d-exercise(-\d+)?", label) for label in section["ids"]):
            section["classes"].append("exercise")
            _wrap_exercise(section)
    for literal in list(doctree.findall(nodes.literal)):
        match = re.fullmatch(r"(minillm_lib(?:/\w+)*)(?:\.py|/)", literal.astext())
        if match and not isinstance(literal.parent, nodes.reference | addnodes.pending_xref):
            reference_to = addnodes.pending_xref(
                "",
                refdomain="py",
                reftype="mod",
                reftarget=match[1].replace("/", "."),
                refexplicit=True,
                refwarn=False,
                refdoc=app.env.docname,
            )
            literal.replace_self(reference_to)
            reference_to += literal
    for equation in doctree.findall(nodes.math_block):
        as_in_a_notebook(equation)
    for block in doctree.findall(nodes.literal_block):
        if block.get("language") == "default":
            block["language"] = language_of(block.astext())
    give_classes(doctree)
    if app.env.docname == "course/GLOSSARY":
        for table in doctree.findall(nodes.table):
            table["classes"].append("glossary")
    join_lines(doctree)


def language_of(code: str) -> str:
    """Return what a block without a language is to be coloured as: Python if it is Python, which commands are not."""
    if code.startswith(">>> "):
        return "pycon"
    try:
        ast.parse(code)
    except (SyntaxError, ValueError):
        return "none"
    return "python"


def give_classes(doctree: nodes.document) -> None:
    """Say by classes what may break into lines, and what may not.

    The lines of an output that are text far longer than a page wrap, while a table scrolls as a whole; a short
    expression of code and a short name of a row do not break.
    """
    for block in doctree.findall(nodes.literal_block):
        lines = block.astext().splitlines()
        is_table = any(len(_GAP.findall(line)) > 1 for line in lines)
        if any(len(line) > _LONG_LINE for line in lines) and not is_table:
            block["classes"].append("prose")
    for literal in doctree.findall(nodes.literal):
        if len(literal.astext()) <= _SHORT_CODE:
            literal["classes"].append("short")
    for row in doctree.findall(nodes.row):
        if isinstance(row[0], nodes.entry) and 0 < _columns(row[0].astext()) <= _SHORT_NAME:
            row[0]["classes"].append("short")


def _columns(text: str) -> int:
    return sum(2 if re.match(_CHINESE, character) else 1 for character in text)


def as_in_a_notebook(equation: nodes.math_block) -> None:
    """Show an equation with rows as it is: Sphinx puts it into an environment in which it may not have a number."""
    if r"\\" in equation.astext() and not (equation.get("no-wrap") or equation.get("nowrap")):
        equation["no-wrap"] = True
        equation[:] = [nodes.Text(rf"\[{equation.astext()}\]")]


def join_lines(doctree: nodes.document) -> None:
    """Take out the ends of lines between Chinese characters, and at Chinese punctuation, which would show as spaces."""
    texts = [
        node for node in doctree.findall(nodes.Text) if not isinstance(node.parent, nodes.FixedTextElement)
    ]
    edges = ["", *texts, ""]
    for before, text, after in zip(edges, texts, edges[2:], strict=False):
        said = text.astext()  # as a string, it would still have the backslashes of reStructuredText, as "\0"
        with_edges = f"{before[-1:]}\0{said}\0{after[:1]}"
        joined = re.sub(
            rf"(?<={_CHINESE})\0?\n\0?(?={_CHINESE})|(?<={_FULL_WIDTH})\0?\n|\n\0?(?={_FULL_WIDTH})",
            lambda end: end[0].replace("\n", ""),
            with_edges,
        ).split("\0")[1]
        if joined != said:
            siblings = (
                text.parent.children
            )  # equal texts are several nodes: this one is found by its identity
            place = next(i for i, each in enumerate(siblings) if each is text)
            text.parent[place] = nodes.Text(joined)


def _wrap_exercise(section: nodes.section) -> None:
    """Put what belongs to an exercise, from its words to its check and hints, into one box."""
    last = 0
    for index, child in enumerate(section.children):
        if not isinstance(child, nodes.Element):
            continue
        is_hint = child.get("design_component") == "dropdown" and last and index == last + 1
        if is_hint or "tag_check" in child.get("classes", []):
            last = index
    if not last:
        return
    box = nodes.container("", *section.children[1 : last + 1], classes=["exercise-card"])
    section[1 : last + 1] = [box]


def _box_pictures(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Give each figure a box of its own; on a narrow screen, one that could not be read if it fitted scrolls in it."""
    for image in list(doctree.findall(nodes.image)):
        parent, path = image.parent, Path(app.srcdir, image["uri"])
        width = int(image.get("width", "").removesuffix("px") or imagesize.get(path)[0])
        classes = ["picture", "wide"] if width > _SMALL_ENOUGH else ["picture"]
        if isinstance(parent, nodes.paragraph) and len(parent) == 1:
            parent["classes"] += classes
        elif "cell_output" in parent.get("classes", []):
            box = nodes.container("", classes=classes)
            image.replace_self(box)
            box += image


def _mend_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    if body := context.get("body"):
        context["body"] = mended(body)


def mended(page: str) -> str:
    """Return HTML without what a screen reader stumbles over.

    An empty header cell of a table becomes an ordinary cell; the parameters of a signature are definitions
    without terms as Sphinx writes them, and become lines. A long name in the title of a page breaks at its dots.
    """
    page = re.sub(
        r"(?<=<h1>)[\w.]+(?=<)", lambda title: re.sub(r"\.(?=\w)", ".<wbr>", title[0]), page, count=1
    )
    page = re.sub(r"<th(?=[\s>])[^>]*>\s*(?:<p>\s*</p>)?\s*</th>", "<td></td>", page)
    return re.sub(
        r"<dl>\s*(?:<dd>(?:(?!<d[dlt]\b).)*</dd>\s*)+</dl>", _without_definitions, page, flags=re.DOTALL
    )


def _without_definitions(match: re.Match[str]) -> str:
    return re.sub(r"(</?)d[ld]>", r"\1div>", match[0]).replace("<div>", '<div class="parameters">', 1)


def _copy_mathjax(app: Sphinx, exception: Exception | None) -> None:
    """Copy the one file of MathJax that is loaded, and its fonts."""
    if exception is not None or app.builder.format != "html":
        return
    source, target = Path(str(app.config._raw_config["MATHJAX"])), Path(app.outdir) / "_static" / "mathjax"
    fonts = Path("output", "chtml", "fonts", "woff-v2")
    target.joinpath(fonts).mkdir(parents=True, exist_ok=True)
    shutil.copy(source / "tex-chtml.js", target)
    copy_asset(source / fonts, target / fonts)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect everything."""
    app.add_config_value("book_repository", "", "env", str)
    app.connect("builder-inited", _read_course)
    app.connect("source-read", _prepare_notebook)
    app.connect("autodoc-process-docstring", _separate_attributes, priority=100)  # before napoleon
    app.connect("autodoc-process-docstring", _shorten_types_of_attributes, priority=800)  # after it
    app.connect("autodoc-process-docstring", _say_where_it_is_built, priority=900)
    app.connect("autodoc-skip-member", _says_nothing)
    app.connect("autodoc-process-signature", _shorten_types)
    app.connect("missing-reference", _resolve_alias)
    app.connect("doctree-read", _finish_page)
    app.connect("doctree-resolved", _box_pictures)
    app.connect("html-page-context", _mend_page)
    app.connect("build-finished", _copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
