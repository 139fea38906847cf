"""An HTML report on a topic model: a single file that needs no network and can be sent to anyone."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from minillm_lib.io.optional import optional_imports

# before the imports that need the same extra for something else: the error names the purpose
with optional_imports("report", "to write HTML reports"):
    import jinja2
    from matplotlib.figure import Figure

from minillm_lib import __version__
from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.topics.pyldavis import prepare_pyldavis, pyldavis_html
from minillm_lib.topics.summary import (
    TopicSummary,
    document_lengths,
    document_years,
    summarize_topics,
    topic_shares_by_year,
    topic_similarity,
)
from minillm_lib.viz.lda_report_words import WORDS
from minillm_lib.viz.style import INK, PALE, font_families
from minillm_lib.viz.topic_plots import (
    plot_convergence,
    plot_top_terms,
    plot_topic_shares,
    plot_topic_similarity,
)

if TYPE_CHECKING:
    from minillm_lib.topics.document_term import BagOfWords
    from minillm_lib.topics.gibbs_lda import GibbsLDA

Language = Literal["en", "zh"]

_SVG_STYLE = f"""
:root {{ --ink: {INK}; --pale: {PALE}; --paper: #ffffff }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #dde3ea; --pale: #4a5663; --paper: #14191f }} }}
"""


class ReportError(OSError):
    """The report cannot be written to its path."""


@dataclass(frozen=True)
class _ReportFigure:
    name: str
    heading: str
    caption: str
    alt: str
    image: str


def write_lda_report(
    path: str | os.PathLike[str],
    model: GibbsLDA,
    bag: BagOfWords,
    *,
    title: str | None = None,
    language: Language = "en",
    seconds: float | None = None,
    n_terms: int = 10,
    n_documents: int = 3,
) -> Path:
    """Write the report of :func:`lda_report_html` atomically to ``path``, and return the path.

    Missing folders are created. The other parameters are those of :func:`lda_report_html`.

    Raises
    ------
    ReportError
        If ``path`` is a folder or cannot be written.
    ValueError
        If ``language`` is unknown, or ``model`` was not fitted on ``bag``.
    """
    path = check_report_path(path)
    page = lda_report_html(
        model, bag, title=title, language=language, seconds=seconds, n_terms=n_terms, n_documents=n_documents
    )
    try:
        write_atomically(path, page.encode("utf-8"))
    except OSError as error:
        raise ReportError(f"cannot write the report to {path}: {error.strerror or error}") from error
    return path


def check_report_path(path: str | os.PathLike[str]) -> Path:
    """Return ``path`` if a report can be written to it, without writing anything; useful before a long fit.

    Raises
    ------
    ReportError
        If ``path`` is a folder, or the nearest existing parent of ``path`` is not a writable folder.
    """
    path = Path(path)
    if path.is_dir():
        example = path / "lda-report.html"
        raise ReportError(
            f"cannot write the report to {path}: it is a folder; name a file, such as {example}"
        )
    existing = next(folder for folder in path.absolute().parents if folder.exists())
    if not existing.is_dir():
        raise ReportError(f"cannot write the report to {path}: {existing} is a file, not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ReportError(f"cannot write the report to {path}: the folder {existing} is not writable")
    return path


def lda_report_html(
    model: GibbsLDA,
    bag: BagOfWords,
    *,
    title: str | None = None,
    language: Language = "en",
    seconds: float | None = None,
    n_terms: int = 10,
    n_documents: int = 3,
) -> str:
    """Report what ``model`` found in ``bag`` on one self-contained HTML page.

    The page has the key figures of the fit, a table of the topics, pyLDAvis, figures, and what cleaning dropped. It
    makes no network requests, and its only links are the titles of documents. Topics have the numbers of the model
    throughout.

    Parameters
    ----------
    title
        By default, the title states the numbers of topics and documents.
    language
        Language of the page, ``"en"`` or ``"zh"``.
    seconds
        How long the fit took; None to leave it out.
    n_terms
        Number of terms in the table for each topic.
    n_documents
        Number of typical documents in the table for each topic.

    Raises
    ------
    ValueError
        If ``language`` is unknown, or ``model`` was not fitted on ``bag``.
    """
    if language not in WORDS:
        raise ValueError(f"language is {language!r}; it must be one of {', '.join(map(repr, WORDS))}")
    words = WORDS[language]
    sections = topic_sections(model, bag, words, n_terms=n_terms, n_documents=n_documents)
    n_topics, n_papers = len(sections["topics"]), f"{bag.counts.shape[0]:,}"
    return (
        report_environment()
        .get_template("lda_report.html")
        .render(
            language=language,
            title=title or words["title"].format(n_topics=n_topics, n_documents=n_papers),
            facts=list(_facts(model, bag, words, seconds)),
            **sections,
        )
    )


def topic_sections(
    model: GibbsLDA,
    bag: BagOfWords,
    words: Mapping[str, str],
    *,
    n_terms: int = 10,
    n_documents: int = 3,
) -> dict[str, Any]:
    """Build the variables of the template ``topic_sections.html``.

    Parameters
    ----------
    words
        The texts of the page in its language, with the keys of
        :data:`~minillm_lib.viz.lda_report_words.WORDS`.

    Returns
    -------
    sections
        The texts, the topics, pyLDAvis, the figures, and what cleaning dropped.
    """
    topics = summarize_topics(model, bag, n_terms=n_terms, n_documents=n_documents)
    figures = {figure.name: figure for figure in _figures(model, bag, topics, words)}
    rows = (("convergence", "similarity"), ("over_the_years",), ("top_terms",))
    return {
        "words": {**words, "footer": words["footer"].format(version=__version__)},
        "topics": topics,
        "largest_share": max(topic.share for topic in topics),
        "pyldavis": pyldavis_html(prepare_pyldavis(model, bag)),
        "figures": [[figures[name] for name in row if name in figures] for row in rows],
        "cleaning": bag.report.steps,
    }


def report_environment() -> jinja2.Environment:
    """Create the Jinja environment with the templates of the reports; undefined names are errors."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["is_web_address"] = is_web_address
    return environment


def is_web_address(address: object) -> bool:
    """Return whether a link to ``address`` is safe: it starts with http or https, so it cannot run a script."""
    return isinstance(address, str) and address.lower().startswith(("http://", "https://"))


def _facts(
    model: GibbsLDA, bag: BagOfWords, words: Mapping[str, str], seconds: float | None
) -> Iterator[tuple[str, str]]:
    years = [year for year in document_years(bag) if year is not None]
    n_sweeps, n_chains = len(model.log_likelihoods_), len(model.chains_)
    yield words["documents"], f"{bag.counts.shape[0]:,}"
    if years:
        yield words["years"], _range(min(years), max(years))
    yield words["vocabulary"], f"{bag.counts.shape[1]:,}"
    yield words["tokens"], f"{model.n_tokens_:,.0f}"
    yield words["n_topics"], str(len(model.topic_word_))
    chains = words["chains"].format(n_chains=n_chains, n_sweeps=n_sweeps)
    yield words["sweeps"], chains if n_chains > 1 else str(n_sweeps)
    yield words["alpha"], _range(f"{model.alpha_.min():.3g}", f"{model.alpha_.max():.3g}")
    yield words["beta"], f"{model.beta_:.3g}"
    seed = model.random_state
    yield words["seed"], str(seed) if isinstance(seed, Integral) else words["not_fixed"]
    if seconds is not None:
        yield words["time"], words["seconds"].format(seconds=seconds)


def _range(low: object, high: object) -> str:
    return str(low) if low == high else f"{low}–{high}"


def _figures(
    model: GibbsLDA, bag: BagOfWords, topics: list[TopicSummary], words: Mapping[str, str]
) -> Iterator[_ReportFigure]:
    """Yield the figures for which this model has something to show."""
    yield _convergence(model, words)
    if len(topics) > 1:
        yield _similarity(model, topics, words)
        lengths, years = document_lengths(model, bag), document_years(bag)
        found_years, shares = topic_shares_by_year(model.doc_topic_, lengths, years)
        if len(found_years) > 1:
            yield _over_the_years(found_years, shares, topics, words)
    figure = plot_top_terms(topics, topic_name=words["panel_topic"], xlabel=words["axis_probability"])
    yield _report_figure("top_terms", figure, words)


def _convergence(model: GibbsLDA, words: Mapping[str, str]) -> _ReportFigure:
    n_sweeps = len(model.log_likelihoods_)
    burn_in = model.n_sweeps // 2 if model.burn_in is None else model.burn_in
    figure = plot_convergence(
        np.arange(1, n_sweeps + 1),
        [chain.log_likelihoods for chain in model.chains_],
        best=model.best_chain_,
        burn_in=burn_in if burn_in < n_sweeps else None,
        xlabel=words["axis_sweep"],
        ylabel=words["axis_likelihood"],
    )
    first, last = model.log_likelihoods_[[0, -1]]
    chains = words["convergence_chains"] if len(model.chains_) > 1 else ""
    return _report_figure(
        "convergence", figure, words, first=first, last=last, n_sweeps=n_sweeps, chains=chains
    )


def _similarity(model: GibbsLDA, topics: list[TopicSummary], words: Mapping[str, str]) -> _ReportFigure:
    similarity = topic_similarity(model.topic_word_)
    pairs = np.triu(similarity, 1)
    a, b = np.unravel_index(pairs.argmax(), pairs.shape)
    figure = plot_topic_similarity(
        similarity,
        topics,
        xlabel=words["axis_topic"],
        ylabel=words["axis_topic"],
        label=words["axis_similarity"],
    )
    return _report_figure("similarity", figure, words, a=a, b=b, most=pairs.max(), n_topics=len(topics))


def _over_the_years(
    years: NDArray[np.int64],
    shares: NDArray[np.float64],
    topics: list[TopicSummary],
    words: Mapping[str, str],
) -> _ReportFigure:
    growth = shares[-1] - shares[0]
    up, down = growth.argmax(), growth.argmin()
    figure = plot_topic_shares(years, shares, topics, xlabel=words["axis_year"], ylabel=words["axis_share"])
    return _report_figure(
        "over_the_years",
        figure,
        words,
        first=years[0],
        last=years[-1],
        up=up,
        up_from=shares[0, up],
        up_to=shares[-1, up],
        down=down,
        down_from=shares[0, down],
        down_to=shares[-1, down],
    )


def _report_figure(name: str, figure: Figure, words: Mapping[str, str], **found: Any) -> _ReportFigure:
    """Combine ``figure`` with its texts, with the values that it shows filled in."""
    return _ReportFigure(
        name=name,
        heading=words[name],
        caption=words[f"{name}_note"].format(**found),
        alt=words[f"{name}_alt"].format(**found),
        image=svg_data_address(figure),
    )


def svg_data_address(figure: Figure) -> str:
    """Return ``figure`` as the data URL of an SVG image that follows the reader's dark mode.

    Text stays text, so that any browser draws it in its own fonts, Chinese included.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue().replace(INK, "var(--ink)").replace(PALE, "var(--pale)")
    svg = svg.replace("stroke: #ffffff", "stroke: var(--paper)")
    families = ", ".join(f"'{family}'" for family in font_families())
    svg = svg.replace(families, "'DejaVu Sans', Verdana, system-ui, sans-serif")
    svg = svg.replace('<style type="text/css">', f'<style type="text/css">{_SVG_STYLE}', 1)
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode("utf-8")).decode("ascii")
