"""Pages in the shape of the NeurIPS proceedings site, in the layout of 2020 and in that of 2026."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass

from local_server import Answer, Reply


@dataclass
class Paper:
    """A paper that was never written. ``track`` is what its address says: "" until 2021, "-Conference" after."""

    year: int
    number: int
    abstract: str = ""
    track: str = ""

    @property
    def title(self) -> str:
        return f"On the {self.number}th Model of {self.year} & its <Limits>"

    @property
    def authors(self) -> list[str]:
        return [f"Ada B. Lovelace{self.number}", "Jürgen Weiß"]

    @property
    def path(self) -> str:
        return f"/paper_files/paper/{self.year}/hash/{self.number:032x}-Abstract{self.track}.html"

    @property
    def pdf(self) -> str:
        return f"/paper_files/paper/{self.year}/file/{self.number:032x}-Paper{self.track}.pdf"


def papers_of(year: int, count: int) -> list[Paper]:
    track = "-Conference" if year > 2021 else ""
    return [
        Paper(year, n, f"Abstract {n} of {year}: a model with k < {n + 2} parts.", track)
        for n in range(count)
    ]


def paper_page(paper: Paper, modern: bool, host: str = "") -> bytes:
    """Return the page of a paper; given ``host``, with metadata for reference managers and the PDF on that host."""
    title, names = html.escape(paper.title), ", ".join(paper.authors)
    tags = ""
    if host:
        family_first = [
            " ".join(name.split()[-1:]) + ", " + " ".join(name.split()[:-1]) for name in paper.authors
        ]
        tags = f'<meta name="citation_title" content="{title}">' + "".join(
            f'<meta name="citation_author" content="{name}">' for name in family_first
        )
        tags += f'<meta name="citation_pdf_url" content="{host}{paper.pdf}">'
    if modern:
        body = f"""<header class="paper-header"><h1 class="paper-title">{title}</h1>
            <p class="paper-authors">{names}</p>
            <p class="paper-meta"><a href="/paper_files/paper/{paper.year}">Volume</a></p>
            </header><div class="paper-actions"><a href="{paper.pdf}">Paper</a></div>
            <section class="paper-section"><h2 class="section-label">Abstract</h2>
            <p class="paper-abstract">{paper.abstract}</p></section>
            <section class="paper-section"><h2 class="section-label">DOI</h2><p><a href="#">10.0/{paper.number}</a></p>
            </section>"""
    else:
        body = f"""<h4>{title}</h4><p>Part of <a href="/paper_files/paper/{paper.year}">a volume</a></p>
            <div><a href="{paper.pdf}">Paper</a></div><h4>Authors</h4><p><i>{names}</i></p>
            <h4>Abstract</h4><p><p>{paper.abstract}</p></p>"""
    return _page(tags, body)


def list_page(papers: list[Paper], modern: bool, see_also: str = "", stated: int | None = None) -> bytes:
    names = ", ".join(papers[0].authors) if papers else ""
    if modern:
        volumes = (
            f'<p class="book-see-also">See also: <a href="{see_also}">Volume</a></p>' if see_also else ""
        )
        entry = """<li data-track="x"><div class="paper-content"><a title="paper title" href="{}">{}</a>
            <span class="paper-authors">{}</span></div><span class="paper-track-badge">Track</span></li>"""
        count = len(papers) if stated is None else stated
        before = f'<h1>Volume</h1>{volumes}<span class="paper-count">{count:,} papers</span>'
    else:
        entry, before = (
            '<li class="x"><a title="paper title" href="{}">{}</a> <i>{}</i></li>',
            "<h4>Volume</h4>",
        )
    entries = "".join(entry.format(paper.path, html.escape(paper.title), names) for paper in papers)
    return _page("", f'{before}<ul class="paper-list">{entries}</ul>')


def site(papers: list[Paper], modern: bool) -> dict[str, Answer | list[Answer]]:
    """The pages of these papers and of their years."""
    pages: dict[str, Answer | list[Answer]] = {
        paper.path: Reply(paper_page(paper, modern)) for paper in papers
    }
    for year in {paper.year for paper in papers}:
        listed = [paper for paper in papers if paper.year == year]
        pages[f"/paper_files/paper/{year}"] = Reply(list_page(listed, modern))
    return pages


def json_list(papers: list[Paper], host: str, statuses: list[str] | None = None) -> bytes:
    """A list in the shape of the public per-year lists."""
    rows = [
        {
            "title": paper.title,
            "status": statuses[i] if statuses else "Poster",
            "track": "main",
            "site": f"https://nips.cc/virtual/{paper.year}/poster/{paper.number}",
            "id": str(paper.number),
            "author": "; ".join(paper.authors),
            "abstract": paper.abstract,
            "pdf": host + paper.pdf,
            "oa": host + paper.path,
        }
        for i, paper in enumerate(papers)
    ]
    return json.dumps(rows).encode()


def _page(tags: str, body: str) -> bytes:
    return f"""<!doctype html>
    <html lang="en"><head><meta charset="utf-8"><title>Proceedings</title>{tags}
    <script async src="/x.js"></script><script>for (let i = 0; i<9; i++) {{}}</script></head>
    <body><nav><a href="/">Home</a><a class="nav-link" href="/admin/login/?next=/admin/">Login</a></nav>
    <div class="container-fluid"><div class="col p-3">{body}</div></div>
    <div class="modal"><h4 class="modal-title">Name Change Policy</h4><p>Ask for a change of name.</p></div>
    </body></html>""".encode()
