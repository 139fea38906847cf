"""An HTML report on a topic model: a single file that needs no network and can be sent to anyone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from minillm_lib.io.optional import optional_imports

# before the imports that need the same extra for something else: the error names the purpose
with optional_imports("report", "to write HTML reports"):
    import jinja2
    from matplotlib.axes import Axes

from minillm_lib import __version__
from minillm_lib.corpora.reading.report import ReadReport
from minillm_lib.io.atomic_write import check_folder, write_atomically
from minillm_lib.io.write_errors import WriteError
from minillm_lib.topics.periods import DocumentPeriods, document_periods, topic_shares_over_time
from minillm_lib.topics.pyldavis import prepare_pyldavis, pyldavis_html
from minillm_lib.topics.stability import UNSTABLE
from minillm_lib.topics.summary import (
    TopicSummary,
    document_lengths,
    largest_topics,
    summarize_topics,
    topic_similarity,
)
from minillm_lib.topics.topic_model import check_outside_models
from minillm_lib.viz.cleaning_words import in_chinese
from minillm_lib.viz.lda_report_words import WORDS
from minillm_lib.viz.pictures import Picture
from minillm_lib.viz.topic_data import LEAST_SHARE, MOST_TOPICS, script_json, topic_data
from minillm_lib.viz.topic_plots import (
    MEASURES,
    draw_topic_counts,
    draw_topic_shares,
    plot_convergence,
    plot_topic_similarity,
)

if TYPE_CHECKING:
    from minillm_lib.topics.document_term import BagOfWords
    from minillm_lib.topics.gibbs_lda import GibbsLDA
    from minillm_lib.topics.model_selection import TopicCountScore

Language = Literal["en", "zh"]

MOST_DRAWN = 30
"""With more topics, figures show the largest ones."""

_N_EXAMPLES = 3
_TITLE_LENGTH = 300


class ReportError(OSError):
    """The report cannot be written to its path."""


@dataclass(frozen=True)
class _ReportFigure:
    name: str
    heading: str
    caption: str
    alt: str
    image: Picture


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
    labels: Sequence[str] | None = None,
    scores: Sequence[TopicCountScore] | None = None,
    reading: object = None,
) -> Path:
    """Write the report of :func:`lda_report_html` atomically to ``path``, and return the path.

    Missing folders are created. The other parameters are those of :func:`lda_report_html`.

    Raises
    ------
    ReportError
        If ``path`` is a folder or cannot be written.
    ValueError
        If ``language`` is unknown, ``model`` was not fitted on ``bag``, or there is not one label per topic.
    """
    path = check_report_path(path)
    page = lda_report_html(
        model,
        bag,
        title=title,
        language=language,
        seconds=seconds,
        n_terms=n_terms,
        n_documents=n_documents,
        labels=labels,
        scores=scores,
        reading=reading,
    )
    try:
        # half a surrogate pair, which a file name can leave in a title, has no bytes
        write_atomically(path, page.encode("utf-8", "replace"))
    except OSError as error:
        reason = error.reason if isinstance(error, WriteError) else error.strerror or error
        raise ReportError(f"cannot write the report to {path}: {reason}") from error
    return path


def check_report_path(path: str | os.PathLike[str]) -> Path:
    """Return ``path`` if a report can be written to it, without writing anything; useful before a long fit.

    Raises
    ------
    ReportError
        If ``path`` is a folder or in that of a saved model, or its nearest existing parent is not a writable folder.
    """
    path = Path(path)
    if path.is_dir():
        example = path / "lda-report.html"
        raise ReportError(
            f"cannot write the report to {path}: it is a folder; name a file, such as {example}"
        )
    try:
        check_folder(path.absolute().parent, f"cannot write the report to {path}")
        check_outside_models(path, f"cannot write the report to {path}")
    except ValueError as error:
        raise ReportError(str(error)) from None
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
    labels: Sequence[str] | None = None,
    scores: Sequence[TopicCountScore] | None = None,
    reading: object = None,
) -> str:
    """Report what ``model`` found in ``bag`` on one self-contained HTML page.

    The page has the key figures of the fit, pyLDAvis, a table of the topics, the documents of each topic with a search,
    figures, and what cleaning dropped. It makes no network requests, and its only links are the titles of documents and
    the sources that pyLDAvis names. Topics have the numbers of the model throughout. Where there is too much for a page
    to show, it shows the largest topics and the most typical documents, and says so.

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
    labels
        A name for each topic; an empty one, or None for all, for the three most relevant terms.
    scores
        The numbers of topics that were compared, as returned by
        :func:`~minillm_lib.topics.model_selection.compare_topic_counts`; None to leave them out.
    reading
        What was read and what was passed over, such as a
        :class:`~minillm_lib.corpora.reading.report.ReadReport`; its text is shown. None to leave it out.

    Raises
    ------
    ValueError
        If ``language`` is unknown, ``model`` was not fitted on ``bag``, or there is not one label per topic.
    """
    sections = topic_sections(
        model,
        bag,
        language,
        n_terms=n_terms,
        n_documents=n_documents,
        labels=labels,
        scores=scores,
        reading=reading,
    )
    words = sections["words"]
    n_topics, n_papers = len(sections["topics"]), f"{bag.counts.shape[0]:,}"
    return (
        report_environment()
        .get_template("lda_report.html")
        .render(
            language=language,
            title=title or words["title"].format(n_topics=n_topics, n_documents=n_papers),
            facts=list(_facts(model, bag, sections["dates"], words, seconds)),
            **sections,
        )
    )


def topic_sections(
    model: GibbsLDA,
    bag: BagOfWords,
    language: Language,
    *,
    n_terms: int = 10,
    n_documents: int = 3,
    labels: Sequence[str] | None = None,
    scores: Sequence[TopicCountScore] | None = None,
    reading: object = None,
) -> dict[str, Any]:
    """Build the variables of the template ``topic_sections.html``; parameters as in :func:`lda_report_html`."""
    if language not in WORDS:
        raise ValueError(f"language is {language!r}; it must be one of {', '.join(map(repr, WORDS))}")
    words = WORDS[language]
    topics = summarize_topics(model, bag, n_terms=n_terms, n_documents=n_documents, labels=labels)
    drawn = largest_topics(topics, MOST_DRAWN)
    is_capped = len(drawn) < len(topics)
    capped_note = words["largest_only"].format(n=len(drawn)) if is_capped else ""
    dates = document_periods(bag)
    return {
        "words": {**words, "footer": words["footer"].format(version=__version__)},
        "explorer_words": {
            "topic": words["panel_topic"],
            **{name: words[name] for name in ("document", "found", "nothing", "colon", "semicolon")},
        },
        "reading": "" if reading is None else str(reading).strip(),
        "reading_note": _reading_note(reading, words),
        "is_translated": language != "en",
        "topics": topics,
        "largest_share": max(topic.share for topic in topics),
        "stability_note": _stability_note(topics, words),
        "names": _document_names(bag, topics, words),
        "data": topic_data(model, bag, topics, dates),
        "least_share": LEAST_SHARE,
        "most_topics": MOST_TOPICS,
        "dates": dates,
        "pyldavis": pyldavis_html(prepare_pyldavis(model, bag, labels=labels), language=language),
        "over_time": _over_time(model, bag, dates, topics, drawn, words, capped_note),
        "drawn_topics": drawn,
        "capped_note": capped_note,
        "topic_counts": list(_topic_counts(scores or (), words)),
        "figures": list(_figures(model, drawn, words, capped_note)),
        "cleaning": [in_chinese(step) for step in bag.report.steps] if language == "zh" else bag.report.steps,
    }


def _stability_note(topics: Sequence[TopicSummary], words: Mapping[str, str]) -> str:
    if topics[0].stability is None:
        return ""
    n_unstable = sum(topic.is_unstable for topic in topics)
    return words["stability_note"].format(unstable=UNSTABLE, n=n_unstable, n_topics=len(topics))


def _reading_note(reading: object, words: Mapping[str, str]) -> str:
    """Say in the language of the page what was read, as far as it is counted."""
    if not isinstance(reading, ReadReport):
        return words["reading_note"]
    return words["reading_counts"].format(
        documents=reading.documents,
        files=reading.files,
        n_faulty=reading.n_faulty,
        n_without_text=reading.n_empty,
        n_passed_over=len(reading.passed_over),
        n_empty=len(reading.empty_files),
        n_replaced=len(reading.replaced_bytes),
    )


def _document_names(
    bag: BagOfWords, topics: Sequence[TopicSummary], words: Mapping[str, str]
) -> dict[int, str]:
    """Return what the table calls each document: its title, or its number and how its text begins."""
    names = {}
    for index in {document.index for topic in topics for document in topic.documents}:
        facts = bag.meta[index]
        number = words["document"].format(number=index)
        beginning = " ".join(str(facts.get("snippet") or "").split())[:100]
        name = str(facts.get("title") or (f"{number}: {beginning}" if beginning else number))
        names[index] = name if len(name) <= _TITLE_LENGTH else f"{name[:_TITLE_LENGTH]}…"
    return names


def report_environment() -> jinja2.Environment:
    """Create the Jinja environment with the templates of the reports; undefined names are errors."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "is_web_address": is_web_address,
        "script_json": script_json,
        "single_quoted": _single_quoted,
    }
    return environment


def _single_quoted(page: str) -> str:
    """Escape a page for an attribute in single quotes; its scripts are full of double ones, which stay short."""
    return page.replace("&", "&amp;").replace("'", "&#39;")


def is_web_address(address: object) -> bool:
    """Return whether a link to ``address`` is safe: it starts with http or https, so it cannot run a script."""
    return isinstance(address, str) and address.lower().startswith(("http://", "https://"))


def _facts(
    model: GibbsLDA, bag: BagOfWords, dates: DocumentPeriods, words: Mapping[str, str], seconds: float | None
) -> Iterator[tuple[str, str]]:
    dated = dates.periods[~np.isnat(dates.periods)]
    n_sweeps, n_chains = len(model.log_likelihoods_), len(model.chains_)
    yield words["documents"], f"{bag.counts.shape[0]:,}"
    if len(dated):
        yield words["months" if dates.is_monthly else "years"], _range(min(dated), max(dated))
    yield words["vocabulary"], f"{bag.counts.shape[1]:,}"
    yield words["tokens"], f"{model.n_tokens_:,.0f}"
    yield words["n_topics"], str(len(model.topic_word_))
    chains = words["chains"].format(n_chains=n_chains, n_sweeps=n_sweeps)
    stopped = words["stopped"].format(n_planned=model.n_sweeps) if n_sweeps < model.n_sweeps else ""
    yield words["sweeps"], (chains if n_chains > 1 else str(n_sweeps)) + stopped
    yield words["alpha"], _range(f"{model.alpha_.min():.3g}", f"{model.alpha_.max():.3g}")
    yield words["beta"], f"{model.beta_:.3g}"
    seed = model.random_state
    yield words["seed"], str(seed) if isinstance(seed, Integral) else words["not_fixed"]
    if seconds is not None:
        yield words["time"], words["seconds"].format(seconds=seconds)


def _range(low: object, high: object) -> str:
    return str(low) if low == high else f"{low}–{high}"


def _over_time(
    model: GibbsLDA,
    bag: BagOfWords,
    dates: DocumentPeriods,
    topics: Sequence[TopicSummary],
    drawn: Sequence[TopicSummary],
    words: Mapping[str, str],
    capped_note: str,
) -> dict[str, Any] | None:
    """Return the heading, caption and panels of the topics over time; None if there is nothing to compare or to say."""
    found = topic_shares_over_time(model.doc_topic_, document_lengths(model, bag), dates.periods)
    heading = words["over_the_months" if dates.is_monthly else "over_the_years"]
    not_dated = _not_dated(dates, words)
    if len(topics) < 2 or (len(found.periods) < 2 and not dates.unusable):
        return None
    if len(found.periods) < 2:
        return {"heading": heading, "caption": words["too_few_periods"] + not_dated, "panels": []}
    growth = found.shares[-1] - found.shares[0]
    up, down = growth.argmax(), growth.argmin()
    caption = words["over_the_years_note"].format(
        up=up,
        up_from=found.shares[0, up],
        up_to=found.shares[-1, up],
        down=down,
        down_from=found.shares[0, down],
        down_to=found.shares[-1, down],
    )
    caption += not_dated
    # the panels share one scale, so that they can be compared
    columns = [topic.topic for topic in drawn]
    shares, low, high = (values[:, columns] for values in (found.shares, found.low, found.high))
    top = 1.05 * max(shares.max(), np.nan_to_num(high).max())
    panels = []
    for place, topic in enumerate(drawn):

        def draw(panel: Axes, place: int = place) -> None:
            draw_topic_shares(panel, found.periods, shares, place, low=low, high=high)
            panel.set_ylim(0, top)

        panels.append(
            {
                "topic": topic,
                "image": Picture.small(draw, width=2.25, height=1.5),
                "alt": words["over_the_years_alt"].format(
                    topic=topic.topic,
                    first=found.periods[0],
                    last=found.periods[-1],
                    share_from=shares[0, place],
                    share_to=shares[-1, place],
                ),
            }
        )
    return {"heading": heading, "caption": caption + capped_note, "panels": panels}


def _not_dated(dates: DocumentPeriods, words: Mapping[str, str]) -> str:
    """Say how many documents have no date, and how many one that could not be read."""
    said = words["undated"].format(n=dates.n_undated) if dates.n_undated else ""
    if dates.unusable:
        examples = words["comma"].join(dict.fromkeys(text[:30] for text in dates.unusable[:_N_EXAMPLES]))
        said += words["unusable_dates"].format(n=len(dates.unusable), examples=examples)
    return said


def _topic_counts(
    scores: Sequence[TopicCountScore], words: Mapping[str, str]
) -> Iterator[dict[str, str | Picture]]:
    """Yield a panel for each measure of the compared numbers of topics."""
    for name in MEASURES:
        measured = [score for score in scores if not np.isnan(getattr(score, name))]
        if not measured:
            continue

        def draw(panel: Axes, name: str = name, measured: Sequence[TopicCountScore] = measured) -> None:
            draw_topic_counts(panel, measured, name)
            panel.set_xlabel(words["axis_n_topics"])

        heading = words[f"measure_{name}"]
        values = words["comma"].join(f"{score.n_topics}: {getattr(score, name):.4g}" for score in measured)
        yield {
            "heading": heading,
            "image": Picture.small(draw),
            "alt": words["topic_counts_alt"].format(measure=heading, values=values),
        }


def _figures(
    model: GibbsLDA, drawn: Sequence[TopicSummary], words: Mapping[str, str], capped_note: str
) -> Iterator[_ReportFigure]:
    """Yield the figures for which this model has something to show."""
    yield _convergence(model, words)
    if len(drawn) > 1:
        yield _similarity(model, drawn, words, capped_note)


def _convergence(model: GibbsLDA, words: Mapping[str, str]) -> _ReportFigure:
    n_sweeps = len(model.log_likelihoods_)
    burn_in = model.n_sweeps // 2 if model.burn_in is None else model.burn_in
    has_averages = n_sweeps - burn_in >= model.thin

    def draw(axes: Axes) -> None:
        plot_convergence(
            np.arange(1, n_sweeps + 1),
            [chain.log_likelihoods for chain in model.chains_],
            best=model.best_chain_,
            burn_in=burn_in if burn_in < n_sweeps else None,
            xlabel=words["axis_sweep"],
            ylabel=words["axis_likelihood"],
            ax=axes,
        )

    first, last = model.log_likelihoods_[[0, -1]]
    chains = words[f"convergence_{model.shown}"] if len(model.chains_) > 1 else ""
    return _ReportFigure(
        name="convergence",
        heading=words["convergence"],
        caption=words["convergence_note"] + words["averages" if has_averages else "no_averages"] + chains,
        alt=words["convergence_alt"].format(first=first, last=last, n_sweeps=n_sweeps),
        image=Picture.of(draw, height=3.4, wide=5.8),
    )


def _similarity(
    model: GibbsLDA, drawn: Sequence[TopicSummary], words: Mapping[str, str], capped_note: str
) -> _ReportFigure:
    similarity = topic_similarity(model.topic_word_[[topic.topic for topic in drawn]])
    pairs = np.triu(similarity, 1)
    a, b = (drawn[int(row)].topic for row in np.unravel_index(pairs.argmax(), pairs.shape))

    def draw(axes: Axes) -> None:
        plot_topic_similarity(
            similarity,
            drawn,
            xlabel=words["axis_topic"],
            ylabel=words["axis_topic"],
            label=words["axis_similarity"],
            has_names=axes.get_figure(root=True).get_figwidth() > 4,  # type: ignore[union-attr]
            ax=axes,
        )

    caption = words["similarity_note"].format(a=a, b=b, most=pairs.max())
    return _ReportFigure(
        name="similarity",
        heading=words["similarity"],
        caption=caption + capped_note,
        alt=words["similarity_alt"].format(n_topics=len(drawn)),
        image=Picture.of(draw, height=1.6 + 0.14 * max(len(drawn), 16), wide=5.8),
    )
