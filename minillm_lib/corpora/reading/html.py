"""The visible text of a web page, without navigation, and its title."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from minillm_lib.corpora.reading.content import Unusable, parsed
from minillm_lib.io.optional import needed

_INVISIBLE = (
    "script, style, noscript, template, head, svg, math annotation, iframe, object, canvas, audio, video, "
    "[hidden], [aria-hidden=true]"
)
_BOILERPLATE = (
    "nav, aside, form, button, select, [role=navigation], [role=banner], [role=contentinfo], [role=search], "
    "[role=menu], [role=dialog]"
)
_AROUND = "header, footer"
_OF_ARTICLE = "article header, article footer, main header, main footer"
_BLOCKS = (
    "p, div, section, article, main, header, footer, h1, h2, h3, h4, h5, h6, ul, ol, dl, dt, dd, table, pre, "
    "blockquote, figure, figcaption, address, hr, details, summary, fieldset"
)
_LINES = "br, li, tr, option"
_CELLS = "td, th"
_PARAGRAPH_END, _LINE_END = "\ue000", "\ue001"  # of private use: they survive what is done to white space
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_LEAST_MAIN_SHARE = 0.4
_NESTABLE = re.compile(  # at each of these, the parser looks through all open elements for a paragraph to close
    r"<(/?)(?:address|article|aside|blockquote|center|details|dialog|dir|div|dl|fieldset|figcaption|figure|footer|header|"
    r"hgroup|listing|main|menu|nav|ol|pre|search|section|summary|ul)\b",
    re.IGNORECASE,
)
_DEEPEST = 5_000  # elements within each other; the parser's time grows with the square


def page_text(page: str, purpose: str = "to read web pages") -> tuple[str, str]:
    """Return the text of a web page, with an empty line between paragraphs, and its title, which may be empty.

    Scripts, styles, navigation, forms, and the header and footer around the article are left out; where a page marks
    its main part, only that is taken.

    Raises
    ------
    Unusable
        If it takes too much time or memory.
    MissingPackageError
        If the package selectolax is not installed.
    """
    needed("selectolax.lexbor", "files", purpose)
    ((text, title),) = parsed(_text_and_title, page, "selectolax.lexbor")
    return text, title


def _text_and_title(page: str) -> Iterator[tuple[str, str]]:
    parser = needed("selectolax.lexbor", "files", "to read web pages").LexborHTMLParser
    if (depth := _depth(page)) > _DEEPEST:
        raise Unusable(f"its elements are nested {depth:,} deep, and at most {_DEEPEST:,} levels are read")
    tree = parser(page)
    title_node = tree.css_first("title")
    title = " ".join(title_node.text().split()) if title_node else ""
    text = _flow(_without_boilerplate(tree))
    if not text:  # a page that is all form or navigation
        tree = parser(page)
        _remove_invisible(tree)
        text = _flow(_marked(tree))
    yield text, title


def _depth(page: str) -> int:
    """Return how many elements of the kinds that make a parser slow are open at the same time."""
    depth = deepest = 0
    for match in _NESTABLE.finditer(page):
        depth = max(depth - 1, 0) if match[1] else depth + 1
        deepest = max(deepest, depth)
    return deepest


def _remove_invisible(tree: Any) -> None:
    for node in reversed(tree.css(_INVISIBLE)):  # from the innermost: nothing is removed twice
        node.decompose()
    for node in reversed(tree.css("[style]")):
        if _HIDDEN_STYLE.search(node.attributes.get("style") or ""):
            node.decompose()


def _without_boilerplate(tree: Any) -> Any:
    """Return the part of a page that matters, None if there is none."""
    _remove_invisible(tree)
    for node in reversed(tree.css(_BOILERPLATE)):
        node.decompose()
    of_article = {node.mem_id for node in tree.css(_OF_ARTICLE)}
    for node in reversed(tree.css(_AROUND)):
        if node.mem_id not in of_article and not (node.tag == "header" and node.css_first("h1")):
            node.decompose()
    body = _marked(tree)
    main = tree.css("main, [role=main]") or tree.css("article")
    if len(main) == 1 and len(_flow(main[0])) >= _LEAST_MAIN_SHARE * len(_flow(body)):
        return main[0]
    return body


def _marked(tree: Any) -> Any:
    """Mark in the text of a page where paragraphs, lines and cells end; return its body, None if it has none."""
    for block in tree.css(_BLOCKS):
        block.insert_before(_PARAGRAPH_END)
        block.insert_after(_PARAGRAPH_END)
    for line in tree.css(_LINES):
        line.insert_before(_LINE_END)
    for cell in tree.css(_CELLS):
        cell.insert_before(" ")
    return tree.body


def _flow(node: Any) -> str:
    if node is None:
        return ""
    text = re.sub(r"\s+", " ", node.text().replace("\xa0", " "))
    return re.sub(f" *[{_PARAGRAPH_END}{_LINE_END}][ {_PARAGRAPH_END}{_LINE_END}]*", _end, text).strip()


def _end(match: re.Match[str]) -> str:
    is_paragraph = _PARAGRAPH_END in match[0] or match[0].count(_LINE_END) > 1
    return "\n\n" if is_paragraph else "\n"
