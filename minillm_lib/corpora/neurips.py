"""NeurIPS papers of any year, from the proceedings site or from public lists, one list per year.

:func:`fetch_neurips` and :func:`fetch_papers` download papers and return them as documents. The functions ``parse_…``
read a single page of the proceedings.
"""

from __future__ import annotations

import operator
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any, Literal, NamedTuple
from urllib.parse import urljoin

from minillm_lib.corpora.document import Document
from minillm_lib.corpora.reading.pdf import pdf_pages
from minillm_lib.corpora.reading.report import Unusable
from minillm_lib.io.download import Downloader
from minillm_lib.io.fetch_errors import FetchError
from minillm_lib.io.json_text import parse_json
from minillm_lib.io.optional import optional_imports
from minillm_lib.io.progress_bar import progress_bar

with optional_imports("fetch", "to read the pages and PDFs of papers"):
    import pypdfium2  # noqa: F401 (the reader of PDFs needs it; missed here, before anything is downloaded)
    from selectolax.lexbor import LexborHTMLParser

FIRST_YEAR = 1987
PROCEEDINGS = "https://papers.nips.cc"
LISTS = "https://raw.githubusercontent.com/papercopilot/paperlists/main"

# GitHub serves a large file at another address; the usual address has only a pointer to it.
_RAW_FILES = "https://raw.githubusercontent.com/"
_LARGE_FILES = "https://media.githubusercontent.com/media/"
_POINTER = b"version https://git-lfs"

_KEYS = (
    "title",
    "author",
    "abstract",
    "oa",
    "site",
    "pdf",
    "track",
    "status",
)  # those of a list that are read
_NOT_ACCEPTED = re.compile("reject|withdr|retract|active", re.IGNORECASE)
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
# The public lists have "Part of" for papers that have no abstract on the site.
_NO_ABSTRACT = re.compile(r"\W*(no abstract|abstract (missing|unavailable)|none|part of)?\W*", re.IGNORECASE)
# Abstracts contain a bare "<" for "less than"; it begins a tag only in "<name>", "</name>" and "<name key=…>".
_LESS_THAN = re.compile(r"<(?!!|/?[a-z][\w-]*\s*/?>|[a-z][\w-]*\s[^<>=]*=[^<>]*>)", re.IGNORECASE)


class LayoutChanged(FetchError):  # noqa: N818 (it names what happened)
    """A page or list was downloaded, but it lacks an element that it has always had."""

    def __init__(self, url: str, missing: str) -> None:
        super().__init__(url, f"{missing} not found; the layout of the source seems to have changed")


@dataclass
class FetchReport:
    """How many papers the source lists, and what became of them.

    Attributes
    ----------
    listed
        Papers that the source lists.
    fetched
        Papers that were downloaded and have a text.
    without_abstract
        Papers without an abstract.
    not_accepted
        Papers left out because of their status.
    failed
        For each address that failed, the reason.
    """

    listed: int = 0
    fetched: int = 0
    without_abstract: int = 0
    not_accepted: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        summary = (
            f"{self.fetched} of {self.listed} papers fetched; {self.without_abstract} have no abstract, "
            f"{self.not_accepted} were not accepted, {len(self.failed)} failed"
        )
        return "\n  ".join([summary, *self.failed.values()])


class FetchedPapers(list[Document]):
    """Papers in the order in which the source lists them.

    Attributes
    ----------
    report
        How many papers were left out, and why.
    """

    def __init__(self, papers: Iterable[Document], report: FetchReport) -> None:
        super().__init__(papers)
        self.report = report


def fetch_neurips(
    years: int | Iterable[int],
    source: Literal["proceedings", "lists"] = "proceedings",
    *,
    full_text: bool = False,
    base_url: str | None = None,
    progress: bool = True,
    refresh: bool = False,
    max_failed_share: float = 0.05,
    **downloader_options: Any,
) -> FetchedPapers:
    """Fetch the NeurIPS papers of the given years; the text of each document is the abstract.

    ``meta`` holds ``venue``, ``year``, ``title``, ``authors`` (a list of names, given name first), ``address``,
    ``pdf`` and ``track``, and for lists also ``status``. Papers without an abstract are left out and counted.
    Everything downloaded is cached: after an interruption, only the missing papers are requested.

    Parameters
    ----------
    years
        One year or several, from 1987 on.
    source
        ``"proceedings"`` reads the official site, one page per paper. In 2021 the track on data sets and benchmarks had
        a separate site, which is not read. ``"lists"`` reads one public JSON list per year.
    full_text
        Take the text from the PDF, and keep the abstract in ``meta["abstract"]``.
    base_url
        Another server with the same layout.
    progress
        Whether to show a progress bar.
    refresh
        Download the lists of papers again; cached papers are kept.
    max_failed_share
        Share of papers, 0 to 1, that may fail. Up to this share there is only a warning.
    downloader_options
        ``cache_dir``, ``delay``, ``max_connections`` and others; see :class:`~minillm_lib.io.download.Downloader`.

    Returns
    -------
    FetchedPapers
        A list of documents with a :class:`FetchReport` in ``report``.

    Raises
    ------
    ValueError
        If a year or the source is unknown.
    DownloadError
        If the server cannot be reached or does not have the year.
    LayoutChanged
        If the pages of the server can no longer be read.
    FetchError
        If too many papers fail; it is the error of the last paper.
    """
    wanted = check_years(years)
    if source not in ("proceedings", "lists"):
        raise ValueError(f"source must be 'proceedings' or 'lists', got {source!r}")
    if source == "lists":
        return fetch_papers(
            "nips",
            wanted,
            full_text=full_text,
            base_url=base_url,
            progress=progress,
            refresh=refresh,
            max_failed_share=max_failed_share,
            **downloader_options,
        )
    report = FetchReport()
    jobs = []
    with Downloader(**downloader_options) as downloader:
        for year in wanted:
            start = f"{(base_url or PROCEEDINGS).rstrip('/')}/paper_files/paper/{year}"
            for address in _list_proceedings(downloader, start, year, report, refresh):
                jobs.append(partial(_fetch_from_page, downloader, address, year, full_text))
        return _collect(jobs, downloader, report, max_failed_share, progress)


def fetch_papers(
    venue: str,
    years: int | Iterable[int],
    *,
    full_text: bool = False,
    base_url: str | None = None,
    progress: bool = True,
    refresh: bool = False,
    max_failed_share: float = 0.05,
    accepted_only: bool = True,
    **downloader_options: Any,
) -> FetchedPapers:
    """Fetch the papers of a venue from lists with addresses ``<venue>/<venue><year>.json``.

    Documents, further parameters and errors are those of :func:`fetch_neurips`.

    Parameters
    ----------
    venue
        ``"nips"``, ``"icml"``, ``"iclr"``, ``"aistats"``, …
    accepted_only
        Leave out, and count, papers whose status is rejected, withdrawn or under review.

    Raises
    ------
    ValueError
        If the venue has other characters than lower-case letters and digits, or a year is unknown.
    """
    if not re.fullmatch(r"[a-z0-9]+", venue):
        raise ValueError(
            f"venue must be a short name in lower-case letters such as 'nips' or 'icml', got {venue!r}"
        )
    report = FetchReport()
    jobs = []
    wanted = check_years(years)
    with Downloader(**downloader_options) as downloader:
        for year in wanted:
            address = f"{(base_url or LISTS).rstrip('/')}/{venue}/{venue}{year}.json"
            for row in _read_list(downloader, address, refresh):
                report.listed += 1
                if accepted_only and _NOT_ACCEPTED.search(row.get("status") or ""):
                    report.not_accepted += 1
                else:
                    jobs.append(partial(_fetch_from_row, downloader, row, venue, year, full_text))
        return _collect(jobs, downloader, report, max_failed_share, progress)


def check_years(years: int | Iterable[int]) -> list[int]:
    """Return the years in the given order, each of them once.

    Raises
    ------
    ValueError
        If there are none, or one is not a whole number from 1987 to the current year.
    """
    last = date.today().year
    try:
        wanted = [operator.index(year) for year in (years if isinstance(years, Iterable) else [years])]
    except TypeError:
        wanted = []
    if not wanted or not all(FIRST_YEAR <= year <= last for year in wanted):
        raise ValueError(
            f"years must be one or more whole numbers from {FIRST_YEAR} to {last}; got {years!r}"
        )
    return list(dict.fromkeys(wanted))


class ListPage(NamedTuple):
    """The content of a page that lists papers.

    Attributes
    ----------
    papers
        Addresses of the papers' pages.
    volumes
        Addresses of further lists of the same year.
    stated
        Number of papers that the page states; None if it does not state one.
    """

    papers: list[str]
    volumes: list[str]
    stated: int | None


def parse_list_page(html: bytes, address: str, year: int) -> ListPage:
    """Read a page that lists the papers of a year.

    Parameters
    ----------
    address
        Address of the page, which its relative links start from.

    Raises
    ------
    LayoutChanged
        If the page lists neither papers nor volumes.
    """
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

    Parameters
    ----------
    address
        Address of the page, which its relative links start from.

    Raises
    ------
    LayoutChanged
        If the page has no title or no heading "Abstract".
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
    """Remove indentation and empty lines; return an empty text if the source only states that there is no abstract."""
    if _NO_ABSTRACT.fullmatch(text):
        return ""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def split_names(names: str) -> list[str]:
    """Split ``"A; B; C"`` or ``"A, B, C"`` into names."""
    separator = ";" if ";" in names else ","
    return [" ".join(name.split()) for name in names.split(separator) if name.strip()]


def _list_proceedings(
    downloader: Downloader, start: str, year: int, report: FetchReport, refresh: bool
) -> list[str]:
    """Return the addresses of a year's papers, from the list at ``start`` and all volumes that it links to."""
    lists, papers = [start], dict[str, None]()
    for address in lists:
        parse = partial(parse_list_page, address=address, year=year)
        page = parse(downloader.get(address, validate=parse, refresh=refresh))
        papers |= dict.fromkeys(page.papers)
        lists += [volume for volume in page.volumes if volume not in lists]
        if page.stated not in (None, len(page.papers)):
            report.failed[address] = f"{address}: states {page.stated} papers but links to {len(page.papers)}"
    report.listed += len(papers)
    return list(papers)


def _fetch_from_page(downloader: Downloader, address: str, year: int, full_text: bool) -> Document:
    parse = partial(parse_paper_page, address=address, year=year)
    paper = parse(downloader.get(address, validate=parse))
    return _with_full_text(downloader, paper) if full_text else paper


def _read_list(downloader: Downloader, address: str, refresh: bool) -> list[dict[str, Any]]:
    def parse(content: bytes) -> list[dict[str, Any]] | None:
        if content.startswith(_POINTER):
            return None
        rows = parse_json(content)
        if not isinstance(rows, list) or not all(isinstance(row, dict) and "title" in row for row in rows):
            raise LayoutChanged(address, "a list of papers with titles")
        for number, row in enumerate(rows):
            if wrong := [key for key in _KEYS if not isinstance(row.get(key), str | None)]:
                raise LayoutChanged(address, f"a text under {wrong[0]!r} of paper {number}")
        return rows

    rows = parse(downloader.get(address, validate=parse, refresh=refresh))
    if rows is not None:
        return rows
    if not address.startswith(_RAW_FILES):
        raise LayoutChanged(address, "the list itself, instead of a Git LFS pointer to it,")
    return _read_list(downloader, address.replace(_RAW_FILES, _LARGE_FILES, 1), refresh)


def _fetch_from_row(
    downloader: Downloader, row: Mapping[str, Any], venue: str, year: int, full_text: bool
) -> Document:
    meta = {
        "venue": venue,
        "year": year,
        "title": " ".join((row["title"] or "").split()),
        "authors": split_names(row.get("author") or ""),
        "address": row.get("oa") or row.get("site") or "",
        "pdf": row.get("pdf") or "",
        "track": row.get("track") or "main",
        "status": row.get("status") or "",
    }
    paper = Document(clean_abstract(row.get("abstract") or ""), f"{venue} {year}", meta)
    return _with_full_text(downloader, paper) if full_text else paper


def _with_full_text(downloader: Downloader, paper: Document) -> Document:
    address = paper.meta["pdf"]
    if not address:
        raise FetchError(paper.meta["address"], f"no PDF is listed for {paper.meta['title']!r}")
    text = _pdf_text(downloader.get(address, validate=_check_pdf), address)
    return Document(text, paper.source, {**paper.meta, "abstract": paper.text})


def _check_pdf(content: bytes) -> None:
    if not content.startswith(b"%PDF-"):
        raise ValueError(f"not a PDF, since it begins with {content[:20]!r}")


def _pdf_text(content: bytes, address: str) -> str:
    try:
        pages, _ = pdf_pages(content)
    except Unusable as reason:
        raise FetchError(address, f"the PDF cannot be read: {reason}") from reason
    return "\n".join(pages)


def _collect(
    jobs: list[partial[Document]],
    downloader: Downloader,
    report: FetchReport,
    max_failed_share: float,
    progress: bool,
) -> FetchedPapers:
    """Run the jobs, one per connection at a time, and return the papers in the order of the jobs."""
    papers = []
    pool = ThreadPoolExecutor(downloader.max_connections)
    try:
        outcomes = pool.map(_paper_or_error, jobs)
        for outcome in progress_bar(outcomes, total=len(jobs), unit=" papers", disable=not progress):
            if isinstance(outcome, Document):
                report.without_abstract += not outcome.meta.get("abstract", outcome.text)
                if outcome.text:
                    papers.append(outcome)
                    report.fetched += 1
                continue
            report.failed[outcome.url] = str(outcome)
            if len(report.failed) > max_failed_share * len(jobs):
                outcome.add_note(f"More than {max_failed_share:.0%} of the papers failed.\n{report}")
                raise outcome
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    if report.failed:
        warnings.warn(str(report), stacklevel=3)
    return FetchedPapers(papers, report)


def _paper_or_error(job: Callable[[], Document]) -> Document | FetchError:
    try:
        return job()
    except FetchError as error:
        return error


def _citation(tree: LexborHTMLParser, name: str) -> list[str]:
    """Return the values of one of the page's tags for reference managers (Highwire Press tags)."""
    tags = tree.css(f'meta[name="citation_{name}"]')
    return [content for tag in tags if (content := tag.attributes.get("content"))]


def _section(tree: LexborHTMLParser, name: str) -> str | None:
    """Return the text between the heading ``name`` and the next heading; None if there is no such heading."""
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
