"""Reading the pages of the NeurIPS proceedings site.

The site had one layout from 2020 and has another since 2026. A page of a year links to one page a paper, named
``<hash>-Abstract.html`` until 2021 and ``<hash>-Abstract-<Track>.html`` after. From 2025 on, a year has several
volumes with a list each, which refer to each other.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urljoin

from selectolax.lexbor import LexborHTMLParser

from minillm_lib.corpora.document import Document
from minillm_lib.corpora.download import FetchError

_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
# "Part of" is what the public lists have where the site has no abstract.
_NO_ABSTRACT = re.compile(r"\W*(no abstract|abstract (missing|unavailable)|none|part of)?\W*", re.IGNORECASE)
# Abstracts have a bare "<" for "less than"; it starts a tag only in "<name>", "</name>" and "<name key=…>".
_LESS_THAN = re.compile(r"<(?!!|/?[a-z][\w-]*\s*/?>|[a-z][\w-]*\s[^<>=]*=[^<>]*>)", re.IGNORECASE)


class LayoutChanged(FetchError):  # noqa: N818 (it names what happened)
    """A page or list arrived, but what it has always had is not in it."""

    def __init__(self, url: str, missing: str) -> None:
        super().__init__(url, f"{missing} not found; the layout of the source seems to have changed")


class ListPage(NamedTuple):
    """What a list links to: abstract pages and other volumes; and how many papers it says it has."""

    papers: list[str]
    volumes: list[str]
    stated: int | None


def parse_list_page(html: bytes, address: str, year: int) -> ListPage:
    """Read a page that lists papers of a year. Raises ``LayoutChanged`` if it lists nothing."""
    tree = LexborHTMLParser(html.decode("utf-8", "replace"))
    links = dict.fromkeys(urljoin(address, link.attributes["href"] or "") for link in tree.css("a[href]"))
    papers = [link for link in links if re.search(rf"/{year}/hash/[^/]+-Abstract[^/]*\.html$", link)]
    volumes = [link for link in links if re.search(rf"/paper/{year}/[^/#?]+$", link)]
    if not papers and not volumes:
        raise LayoutChanged(address, f"links to the abstracts of {year}")
    count = tree.css_first(".paper-count")
    stated = re.match(r"([\d,]+) papers?", count.text(strip=True)) if count else None
    return ListPage(papers, volumes, int(stated[1].replace(",", "")) if stated else None)


def parse_paper_page(html: bytes, address: str, year: int) -> Document:
    """Read the page of one paper; the text of the document is the abstract, empty if the paper has none.

    Raises ``LayoutChanged`` if there is no title, or no heading "Abstract".
    """
    tree = LexborHTMLParser(_LESS_THAN.sub("&lt;", html.decode("utf-8", "replace")))
    for line_break in tree.css("br"):
        line_break.replace_with("\n")
    heading = tree.css_first("h1.paper-title, h4")
    title = (_citation(tree, "title") or [heading.text() if heading else ""])[0]
    if not title.strip():
        raise LayoutChanged(address, "the title")
    abstract = _section(tree, "Abstract")
    if abstract is None:
        raise LayoutChanged(address, "the abstract")
    visible = tree.css_first(".paper-authors")
    names = visible.text() if visible else _section(tree, "Authors") or ""
    track = re.search(r"-Abstract-([^/]+)\.html$", address)
    derived = re.sub(r"-Abstract([^/]*)\.html$", r"-Paper\1.pdf", address.replace("/hash/", "/file/"))
    meta = {
        "venue": "nips",
        "year": year,
        "title": " ".join(title.split()),
        "authors": [_given_name_first(name) for name in _citation(tree, "author")] or split_names(names),
        "address": address,
        "pdf": urljoin(address, (_citation(tree, "pdf_url") or [derived])[0]),
        "track": track[1].lower() if track and track[1] != "Conference" else "main",
    }
    return Document(clean_abstract(abstract), f"nips {year}", meta)


def clean_abstract(text: str) -> str:
    """An abstract without indentation and empty lines; empty if the source says that there is none."""
    if _NO_ABSTRACT.fullmatch(text):
        return ""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def split_names(names: str) -> list[str]:
    """The names in "A; B; C", or in "A, B, C"."""
    separator = ";" if ";" in names else ","
    return [" ".join(name.split()) for name in names.split(separator) if name.strip()]


def _citation(tree: LexborHTMLParser, name: str) -> list[str]:
    """What the page says about itself to reference managers (Highwire Press tags)."""
    tags = tree.css(f'meta[name="citation_{name}"]')
    return [content for tag in tags if (content := tag.attributes.get("content"))]


def _section(tree: LexborHTMLParser, name: str) -> str | None:
    """The text between the heading ``name`` and the next heading; None if there is no such heading."""
    for heading in tree.css(", ".join(_HEADINGS)):
        if heading.text(strip=True).lower() == name.lower():
            text, node = "", heading.next
            while node is not None and node.tag not in _HEADINGS:
                text += f"\n{node.text()}\n" if node.tag == "p" else node.text()
                node = node.next
            return text
    return None


def _given_name_first(name: str) -> str:
    family, _, given = name.partition(",")
    return " ".join(f"{given} {family}".split())
