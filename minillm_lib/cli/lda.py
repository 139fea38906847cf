"""``minillm lda``: topics of 1,000 NeurIPS papers, or of your own documents."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from minillm_lib.cli import lda_options as options
from minillm_lib.cli.options import (
    OpenReport,
    ReportLanguage,
    announce_report,
    console,
    say,
    show_warnings_plainly,
)
from minillm_lib.cli.reading_options import (
    DOCUMENTS_PANEL,
    Encoding,
    MaxFaulty,
    MaxRecordBytes,
    Paths,
    Reading,
    Text,
    TextKey,
    Unit,
    open_documents,
)

if TYPE_CHECKING:
    from minillm_lib.topics.document_term import BagOfWords
    from minillm_lib.topics.gibbs_lda import GibbsLDA
    from minillm_lib.topics.model_selection import TopicCountScore
    from minillm_lib.topics.topic_model import TopicModel

lda_app = typer.Typer()

_SHOWN = {
    "consensus": "A consensus of the chains is shown.",
    "central": "The most central chain is shown.",
}
_VERDICTS = {
    "agree": "they agree",
    "nearly agree": "they nearly agree; more sweeps (--sweeps) would bring them closer",
    "differ": "they do not agree: they need more sweeps (--sweeps), or have found different topics, as the stability "
    "of each topic shows",
}
_INTERRUPTED = 130
_SNIPPET_LENGTH = 200
_MOST_PRINTED = 40
_MOST_DIGITS = 9


@lda_app.command(cls=options.FilledIn)
def lda(
    ctx: typer.Context,
    paths: Paths = None,
    text: Text = None,
    documents: Unit = "auto",
    text_key: TextKey = None,
    encoding: Encoding = None,
    max_faulty: MaxFaulty = 0.01,
    max_record_bytes: MaxRecordBytes = None,
    language: options.Language = "auto",
    repairs: options.Repairs = "all",
    stop_words: options.StopWords = "default",
    keep: options.Keep = None,
    user_dict: options.UserDict = None,
    min_df: options.MinDf = "2",
    max_df: options.MaxDf = "0.5",
    max_terms: options.MaxTerms = None,
    phrases: options.Phrases = True,
    lemmas: options.Lemmas = True,
    duplicates: options.Duplicates = "drop",
    topics: options.Topics = 10,
    compare: options.Compare = None,
    seed_words: options.SeedWords = None,
    sweeps: options.Sweeps = None,
    chains: options.Chains = None,
    shown: options.Shown = None,
    alpha: options.Alpha = None,
    beta: options.Beta = None,
    learn_priors: options.LearnPriors = None,
    seed: options.Seed = 0,
    threads: options.Threads = None,
    checkpoint: options.Checkpoint = None,
    output: options.Output = Path("lda-report.html"),
    labels: options.Labels = None,
    save: options.Save = None,
    export: options.Export = None,
    export_format: options.ExportFormat = "csv",
    snippets: options.Snippets = True,
    report_language: ReportLanguage = "en",
    open_report: OpenReport = False,
) -> None:
    """Find topics by LDA: in 1,000 NeurIPS papers, or in your own documents.

    Prints the topics and writes a self-contained HTML report with pyLDAvis inside.

    Two examples:

    minillm lda notes/ -k 20 --save model/

    minillm lda survey.xlsx --text-key answer --compare 5,10,20 --export results/
    """
    from minillm_lib.topics.export import check_export_folder, export_model
    from minillm_lib.topics.model_size import check_size
    from minillm_lib.topics.topic_model import TopicModel, check_model_folder

    show_warnings_plainly()
    own = [*(paths or ()), *(text or ())]
    model = options.model_of_options(
        topics,
        sweeps=sweeps,
        chains=chains,
        shown=shown,
        alpha=alpha,
        beta=beta,
        learn_priors=learn_priors,
        seed=seed,
        threads=threads,
        checkpoint=checkpoint,
    )
    candidates = options.counts_of(compare, "--compare") if compare is not None else []
    for number in (topics, *candidates):  # the least that each needs, before the documents are read
        check_size(number, 1, 1, n_chains=model.n_chains, n_sweeps=model.n_sweeps)
    seeds = _seeds(seed_words, topics)
    names = _names(labels, seeds, topics)
    write_report = _report_writer(output)
    if save is not None:
        check_model_folder(save)
        for option, path in (("--output", output), ("--export", export), ("--checkpoint", checkpoint)):
            if path is not None and path.absolute().is_relative_to(save.absolute()):
                raise ValueError(
                    f"{option} {path} is in the folder of the model, --save {save}; name another place"
                )
    if export is not None:
        check_export_folder(export, export_format)
    if own:
        cleaning = options.cleaning_of_options(
            language=language,
            repairs=repairs,
            stop_words=stop_words,
            keep=keep,
            user_dict=user_dict,
            min_df=min_df,
            max_df=max_df,
            max_terms=max_terms,
            phrases=phrases,
            lemmas=lemmas,
            duplicates=duplicates,
        )
        reading = open_documents(
            own,
            unit=documents,
            text_key=text_key,
            encoding=encoding,
            max_faulty=max_faulty,
            max_record_bytes=max_record_bytes,
        )
        bag = _own_documents(reading, cleaning, snippets)
    else:
        _refuse_without_documents(ctx)
        reading, bag = None, _shipped_papers()
    _say_size(bag, topics)
    if seeds:
        model.set_params(seed_terms=_seed_terms(seeds, bag, topics))

    scores = _compare(model, bag, candidates) if candidates else None
    seconds, was_stopped = _fit(model, bag)
    _say_convergence(model)
    found = TopicModel(model, bag, names, None if reading is None else reading.report.unit)
    _print_topics(found)
    if save is not None:
        found.save(save)
        say(f"The model: {save} (next: minillm topics apply {save} --text NEW_DOCUMENTS)")
    if export is not None:
        written = export_model(found, export, table_format=export_format)
        say(f"Exported to {export}: {', '.join(path.name for path in written)}")
    if write_report is not None:
        path = write_report(
            output,
            model,
            bag,
            title=None if own else _title_of_papers(topics)[report_language],
            seconds=seconds,
            language=report_language,
            labels=names,
            scores=scores,
            reading=None if reading is None else reading.report,
        )
        announce_report(path, open_report)
    if was_stopped:
        raise typer.Exit(_INTERRUPTED)


def _seeds(path: Path | None, n_topics: int) -> dict[Any, list[str]]:
    """Return the seed words of each label or, if all labels are whole numbers, of each number of a topic."""
    from minillm_lib.io.wording import number_of, shown
    from minillm_lib.topics.words.word_files import read_seed_words

    seeds: dict[Any, list[str]] = {} if path is None else read_seed_words(path)
    numbered = [label for label in seeds if label.isdecimal()]
    if 0 < len(numbered) < len(seeds):
        other = next(label for label in seeds if label not in numbered)
        raise ValueError(
            f"--seed-words {path}: {shown(numbered[0])} is the number of a topic, and {shown(other)} is a label; "
            "write numbers in all lines or in none"
        )
    if numbered:
        by_number: dict[Any, list[str]] = {}
        for label, words in seeds.items():
            if len(label) > _MOST_DIGITS or (number := int(label)) >= n_topics:
                raise ValueError(
                    f"--seed-words {path} has words for topic {shown(label)}, but there are "
                    f"{number_of(n_topics, 'topic')}, 0 to {n_topics - 1}"
                )
            if number in by_number:
                raise ValueError(f"--seed-words {path}: two lines are for topic {number}; write one")
            by_number[number] = words
        return by_number
    if len(seeds) > n_topics:
        raise ValueError(
            f"--seed-words {path} has words for {len(seeds)} topics, but the model has {n_topics}"
        )
    return seeds


def _names(labels: Path | None, seeds: dict[Any, list[str]], n_topics: int) -> tuple[str, ...] | None:
    """Return a name per topic, empty where there is none: from a file or, without it, the labels of the seed words."""
    from minillm_lib.topics.words.word_files import read_labels

    if labels is not None:
        return read_labels(labels, n_topics)
    names = [label for label in seeds if isinstance(label, str)]
    return (*names, *[""] * (n_topics - len(names))) if names else None


def _seed_terms(seeds: dict[Any, list[str]], bag: BagOfWords, n_topics: int) -> Any:
    from minillm_lib.topics.seeding import seed_matrix
    from minillm_lib.topics.words.word_files import terms_of_seeds

    return seed_matrix(terms_of_seeds(seeds, bag), bag.vocabulary, n_topics)


def _refuse_without_documents(ctx: typer.Context) -> None:
    """Refuse options on documents and words where there are no documents of one's own, rather than ignore them.

    Raises
    ------
    ValueError
        If one is given.
    """
    panels = (DOCUMENTS_PANEL, options.WORDS_PANEL)
    for option in ctx.command.params:
        source = ctx.get_parameter_source(str(option.name))
        is_given = source is not None and source.name == "COMMANDLINE"
        if is_given and getattr(option, "rich_help_panel", None) in panels:
            raise ValueError(
                f"{option.opts[0]} is for documents of your own: give their files or folders too, as in "
                "minillm lda notes/"
            )


def _report_writer(output: Path):  # type: ignore[no-untyped-def]  # write_lda_report, which is imported here
    """Return the function that writes the report; None, with a note, where the packages for it are missing."""
    from minillm_lib.io.optional import MissingPackageError

    try:
        from minillm_lib.viz.lda_report import check_report_path, write_lda_report
    except MissingPackageError as error:
        console.print(f"no report will be written: {error}", style="yellow", highlight=False)
        return None
    check_report_path(output)
    return write_lda_report


def _shipped_papers() -> BagOfWords:
    from minillm_lib.topics.neurips_papers import load_neurips

    return load_neurips()


def _title_of_papers(n_topics: int) -> dict[str, str]:
    return {
        "en": f"{n_topics} topics of 1,000 NeurIPS papers, 2013–2017",
        "zh": f"1,000 篇 NeurIPS 论文（2013–2017）的 {n_topics} 个主题",
    }


def _own_documents(reading: Reading, cleaning: dict[str, Any], with_snippets: bool) -> BagOfWords:
    """Read and clean documents, and say what was read, left out and changed."""
    from minillm_lib.corpora.files import ReadError
    from minillm_lib.topics.document_term import bag_of_words

    length = _SNIPPET_LENGTH if with_snippets else 0
    with reading.said_at_the_end(console, options.in_options):
        try:
            bag = bag_of_words(reading.documents, snippet_length=length, progress=True, **cleaning)
        except ReadError:
            raise
        except ValueError as error:
            raise ValueError(options.in_options(str(error))) from error
    say(str(bag.report))
    return bag


def _say_size(bag: BagOfWords, n_topics: int) -> None:
    n_documents, n_terms = bag.counts.shape
    say(f"{n_documents:,} documents, {n_terms:,} terms, {bag.counts.sum():,} tokens")
    if n_topics > n_documents:
        console.print(
            f"{n_topics} topics are more than there are documents ({n_documents:,}); most of them will stay "
            "empty. Fewer topics (-k), or smaller documents (--documents), say more",
            style="yellow",
            highlight=False,
        )


def _compare(model: GibbsLDA, bag: BagOfWords, candidates: Sequence[int]) -> list[TopicCountScore]:
    from rich.table import Table
    from sklearn.base import clone

    from minillm_lib.topics.model_selection import N_FOLDS, compare_topic_counts

    columns = ("topics", "held-out perplexity", "coherence (NPMI)", "stability")
    table = Table(*columns, title="How many topics?", title_justify="left")

    def show(score: TopicCountScore) -> None:
        table.add_row(
            str(score.n_topics),
            _with_error(score.perplexity, score.perplexity_error, ",.0f"),
            _with_error(score.coherence, score.coherence_error, ".3f"),
            _with_error(score.stability, score.stability_error, ".2f"),
        )

    n_documents = bag.counts.shape[0]
    if n_documents < N_FOLDS:
        least = (
            f"at least {N_FOLDS} documents, and there {'is' if n_documents == 1 else 'are'} {n_documents:,}"
        )
        console.print(f"--compare needs {least}: nothing is compared", style="yellow", highlight=False)
        return []
    if model.seed_terms is not None:
        say("The comparison is without the seed words.")
    estimator = clone(model).set_params(checkpoint=None, seed_terms=None)
    try:
        return compare_topic_counts(bag.counts, candidates, estimator=estimator, progress=show, verbose=True)
    finally:  # also after Ctrl-C, with those that are done
        if table.row_count:
            console.print(table)


def _with_error(mean: float, error: float, form: str) -> str:
    """Return a mean and its error, ``–`` for one that could not be measured."""
    if math.isnan(mean):
        return "–"
    return f"{mean:{form}}" + ("" if math.isnan(error) else f" ± {error:{form}}")


def _fit(model: GibbsLDA, bag: BagOfWords) -> tuple[float, bool]:
    """Fit the model with a progress bar; return the seconds that it took, and whether it was stopped before the end.

    Raises
    ------
    KeyboardInterrupt
        If it was stopped before the first sweep had ended.
    """
    start = time.perf_counter()
    try:
        return model.fit_with_bar(bag), False
    except KeyboardInterrupt:
        if not hasattr(model, "topic_word_"):
            raise
    return time.perf_counter() - start, True


def _say_convergence(model: GibbsLDA) -> None:
    from minillm_lib.topics.evaluation import convergence_verdict

    if hasattr(model, "r_hat_"):  # with one chain, or a few sweeps, there is none
        verdict = _VERDICTS[convergence_verdict(model.r_hat_)]
        r_hat = f"{model.r_hat_:.2f}" if model.r_hat_ < 100 else "over 100"
        say(f"R-hat over {len(model.chains_)} chains: {r_hat}; {verdict}. {_SHOWN[model.shown]}")


def _print_topics(found: TopicModel) -> None:
    from minillm_lib.topics.summary import largest_topics, topic_table

    summaries = found.summaries()
    largest = largest_topics(summaries, _MOST_PRINTED)
    console.print(topic_table(largest))
    if len(largest) < len(summaries):
        say(f"These are the {len(largest)} largest of {len(summaries)} topics; the report has all of them.")
