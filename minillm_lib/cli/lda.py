"""``minillm lda``: topics of 1,000 NeurIPS papers, or of your own documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape

from minillm_lib.cli.options import (
    OpenReport,
    ReportLanguage,
    announce_report,
    console,
    show_warnings_plainly,
)

if TYPE_CHECKING:
    from minillm_lib.topics.document_term import BagOfWords
    from minillm_lib.topics.gibbs_lda import GibbsLDA
    from minillm_lib.topics.model_selection import TopicCountScore

lda_app = typer.Typer()

_AGREED = 1.05
_LEAST_SWEEPS_FOR_R_HAT = 8
_YOURS, _MODEL, _REPORT = "Your own documents", "The model", "The report"


@lda_app.command()
def lda(
    text: Annotated[
        Path | None,
        typer.Option(
            help="A text, JSON lines or Parquet file, or a folder of them. Markdown loses its markup and code.",
            rich_help_panel=_YOURS,
        ),
    ] = None,
    jsonl: Annotated[
        Path | None,
        typer.Option(
            help='A JSON lines file (.jsonl): {"text": …, "title": …, "year": …}. The same as --text.',
            rich_help_panel=_YOURS,
        ),
    ] = None,
    documents: Annotated[
        Literal["auto", "file", "paragraph", "line"],
        typer.Option(
            help="What a document is in a text file. auto: the whole file in a folder; in a single file, a paragraph "
            "or, if it has only one, a line.",
            rich_help_panel=_YOURS,
        ),
    ] = "auto",
    text_key: Annotated[
        str, typer.Option(help="Key of the text in JSON lines and Parquet.", rich_help_panel=_YOURS)
    ] = "text",
    encoding: Annotated[
        str, typer.Option(help="Encoding of the files, such as gb18030.", rich_help_panel=_YOURS)
    ] = "utf-8",
    language: Annotated[
        Literal["auto", "en", "zh"], typer.Option(help="Language of the documents.", rich_help_panel=_YOURS)
    ] = "auto",
    min_df: Annotated[
        int,
        typer.Option(help="Drop terms found in fewer documents than this.", rich_help_panel=_YOURS),
    ] = 2,
    max_df: Annotated[
        float,
        typer.Option(
            help="Drop terms found in more than this share of the documents.", rich_help_panel=_YOURS
        ),
    ] = 0.5,
    topics: Annotated[
        int, typer.Option("--topics", "-k", help="Number of topics.", rich_help_panel=_MODEL)
    ] = 10,
    compare: Annotated[
        str | None,
        typer.Option(
            help="First compare these numbers of topics, such as 5,10,20, by perplexity and coherence.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    sweeps: Annotated[
        int,
        typer.Option(
            help="Passes over all tokens; each draws the topic of every token again.", rich_help_panel=_MODEL
        ),
    ] = 1000,
    chains: Annotated[
        int, typer.Option(help="Independent chains; the likeliest is kept.", rich_help_panel=_MODEL)
    ] = 4,
    alpha: Annotated[
        float, typer.Option(help="Prior weight of each topic in a document.", rich_help_panel=_MODEL)
    ] = 0.1,
    beta: Annotated[
        float, typer.Option(help="Prior weight of each term in a topic.", rich_help_panel=_MODEL)
    ] = 0.01,
    learn_priors: Annotated[
        bool, typer.Option(help="Fit alpha and beta too (Minka's fixed point).", rich_help_panel=_MODEL)
    ] = False,
    seed: Annotated[
        int, typer.Option(help="The same seed gives the same topics.", rich_help_panel=_MODEL)
    ] = 0,
    threads: Annotated[
        int | None, typer.Option(help="Number of threads; all cores by default.", rich_help_panel=_MODEL)
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where the HTML report goes.", rich_help_panel=_REPORT)
    ] = Path("lda-report.html"),
    report_language: ReportLanguage = "en",
    open_report: OpenReport = False,
) -> None:
    """Find topics by LDA: in 1,000 NeurIPS papers, or in your own documents.

    Prints the topics and writes a self-contained HTML report with pyLDAvis inside.
    """
    from minillm_lib.topics.gibbs_lda import GibbsLDA
    from minillm_lib.topics.summary import summarize_topics, topic_table

    show_warnings_plainly()
    if text is not None and jsonl is not None:
        raise ValueError("--text and --jsonl exclude each other: give one of them")
    write_report = _report_writer(output)
    own = text or jsonl
    if own is None:
        from minillm_lib.topics.neurips_papers import load_neurips

        bag = load_neurips()
    else:
        bag = _own_documents(own, documents, text_key, encoding, language, min_df, max_df)
    n_documents, n_terms = bag.counts.shape
    console.print(f"{n_documents:,} documents, {n_terms:,} terms, {bag.counts.sum():,} tokens")

    model = GibbsLDA(
        topics,
        n_sweeps=sweeps,
        alpha=alpha,
        beta=beta,
        learn_alpha=learn_priors,
        learn_beta=learn_priors,
        n_chains=chains,
        n_threads=threads,
        random_state=seed,
    )
    if compare is not None:
        _print_comparison(model, bag, compare)
    seconds = model.fit_with_bar(bag.counts)
    if chains > 1 and sweeps >= _LEAST_SWEEPS_FOR_R_HAT:
        verdict = "they agree" if model.r_hat_ < _AGREED else "they found different modes"
        console.print(
            f"R-hat over {chains} chains: {model.r_hat_:.2f} ({verdict}); the likeliest chain is kept"
        )
    console.print(topic_table(summarize_topics(model, bag)))
    if write_report is None:
        return
    title = None
    if own is None:
        title = {
            "en": f"{topics} topics of 1,000 NeurIPS papers, 2013–2017",
            "zh": f"1,000 篇 NeurIPS 论文（2013–2017）的 {topics} 个主题",
        }[report_language]
    path = write_report(output, model, bag, title=title, seconds=seconds, language=report_language)
    announce_report(path, open_report)


def _report_writer(output: Path):  # type: ignore[no-untyped-def]  # write_lda_report, which is imported here
    """Return the function that writes the report; None, with a note, where the packages for it are missing."""
    from minillm_lib.io.optional import MissingPackageError

    try:
        from minillm_lib.viz.lda_report import check_report_path, write_lda_report
    except MissingPackageError as error:
        console.print(f"[yellow]no report will be written: {escape(str(error))}[/yellow]", highlight=False)
        return None
    check_report_path(output)
    return write_lda_report


def _own_documents(
    path: Path,
    documents: Literal["auto", "file", "paragraph", "line"],
    text_key: str,
    encoding: str,
    language: Literal["auto", "en", "zh"],
    min_df: int,
    max_df: float,
) -> BagOfWords:
    from minillm_lib.corpora.files import read_files
    from minillm_lib.topics.document_term import bag_of_words

    with console.status(f"Reading and cleaning {path} …"):
        found = read_files(path, documents=documents, text_key=text_key, encoding=encoding, strip_markup=True)
        bag = bag_of_words(found, language=language, min_df=min_df, max_df=max_df)
    console.print(str(bag.report), highlight=False, markup=False)
    return bag


def _print_comparison(model: GibbsLDA, bag: BagOfWords, candidates: str) -> None:
    from rich.table import Table

    from minillm_lib.topics.model_selection import compare_topic_counts

    try:
        counts = [int(count) for count in candidates.split(",")]
    except ValueError:
        raise ValueError(
            f"--compare {candidates!r}: give whole numbers with commas between, such as 5,10,20"
        ) from None
    table = Table(
        "topics", "held-out perplexity", "coherence (NPMI)", title="How many topics?", title_justify="left"
    )
    with console.status("Comparing …") as status:

        def show(score: TopicCountScore) -> None:
            status.update(f"Comparing … {score.n_topics} topics done")
            table.add_row(
                str(score.n_topics),
                f"{score.perplexity:,.0f} ± {score.perplexity_error:.0f}",
                f"{score.coherence:.3f} ± {score.coherence_error:.3f}",
            )

        compare_topic_counts(bag.counts, counts, estimator=model, progress=show)
    console.print(table)
