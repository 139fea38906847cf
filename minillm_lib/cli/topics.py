"""``minillm topics …``: what a saved topic model is good for."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minillm_lib.cli.lda_options import ExportFormat
from minillm_lib.cli.options import (
    OpenReport,
    ReportLanguage,
    announce_report,
    console,
    notes,
    say,
    show_warnings_plainly,
)
from minillm_lib.cli.reading_options import (
    Encoding,
    MaxFaulty,
    MaxRecordBytes,
    Paths,
    Text,
    TextKey,
    Unit,
    open_documents,
)

if TYPE_CHECKING:
    from minillm_lib.io.tables import Columns
    from minillm_lib.topics.topic_model import TopicModel

topics_app = typer.Typer(
    no_args_is_help=True,
    help="Topic models that `minillm lda --save` wrote: apply, show, report, export, and name their topics.\n\n"
    "Example:\n\n"
    "minillm lda notes/ --save model/\n\n"
    "minillm topics apply model/ new-notes/ -o topics.csv",
    callback=show_warnings_plainly,
)

_Model = Annotated[
    Path, typer.Argument(help="The folder of a saved model.", metavar="MODEL", show_default=False)
]


@topics_app.command()
def apply(
    model: _Model,
    paths: Paths = None,
    text: Text = None,
    documents: Unit = "auto",
    text_key: TextKey = None,
    encoding: Encoding = None,
    max_faulty: MaxFaulty = 0.01,
    max_record_bytes: MaxRecordBytes = None,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="Where the table goes: a .csv or .parquet file, or - for CSV on standard output.",
            metavar="FILE",
        ),
    ] = "-",
) -> None:
    """Find the topics of new documents, which are cleaned as the model's own were; a table with a row per document.

    Unless --documents says otherwise, texts are divided as the model's own were. A document without a term that the
    model knows is listed, and its shares are left empty.
    """
    from minillm_lib.io.tables import check_table_path, save_table
    from minillm_lib.topics.topic_model import check_outside_models

    new = [*(paths or ()), *(text or ())]
    if not new:
        raise ValueError(
            "there are no new documents: give files or folders, as in minillm topics apply model/ new/"
        )
    if output != "-":
        check_outside_models(check_table_path(output), f"cannot write a table to {output}")
    loaded = _load(model)
    reading = open_documents(
        new,
        unit=documents,
        text_unit=loaded.unit,
        text_key=text_key,
        encoding=encoding,
        max_faulty=max_faulty,
        max_record_bytes=max_record_bytes,
    )
    with reading.said_at_the_end(notes):
        columns = loaded.apply_to_columns(reading.documents, progress=True)
    n_known, n_unknown = (int(columns[name].sum()) for name in ("n_known", "n_unknown"))
    _note(f"the model knows {n_known:,} of {n_known + n_unknown:,} words and phrases")
    if output == "-":
        _print_csv(columns)
    else:
        say(f"The topics: {save_table(columns, output)}")


@topics_app.command()
def show(
    model: _Model,
    terms: Annotated[int, typer.Option("--terms", "-n", min=1, help="Number of terms per topic.")] = 10,
) -> None:
    """Print the topics with their terms, stability and most typical documents."""
    from minillm_lib.topics.summary import topic_table

    loaded = _load(model)
    n_documents, n_terms = loaded.bag.counts.shape
    say(f"{model}: {loaded.n_topics} topics of {n_documents:,} documents, {n_terms:,} terms")
    console.print(topic_table(loaded.summaries(n_terms=terms)))


@topics_app.command()
def report(
    model: _Model,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where the HTML report goes.", metavar="FILE")
    ] = Path("lda-report.html"),
    report_language: ReportLanguage = "en",
    open_report: OpenReport = False,
) -> None:
    """Write the HTML report on a saved model."""
    from minillm_lib.viz.lda_report import check_report_path, write_lda_report

    check_report_path(output)
    loaded = _load(model)
    path = write_lda_report(output, loaded.lda, loaded.bag, language=report_language, labels=loaded.labels)
    announce_report(path, open_report)


@topics_app.command()
def export(
    model: _Model,
    folder: Annotated[Path, typer.Argument(help="Where the files go.", show_default=False)],
    export_format: ExportFormat = "csv",
) -> None:
    """Write tables, topics as JSON, and the counts for other programs: Matrix Market, LDA-C, gensim."""
    from minillm_lib.topics.export import EXPORTED, check_export_folder, export_model

    check_export_folder(folder, export_format)
    for path in export_model(_load(model), folder, table_format=export_format):
        say(f"{path}: {EXPORTED.get(path.name) or EXPORTED[path.stem]}")


@topics_app.command()
def label(
    model: _Model,
    labels: Annotated[
        Path,
        typer.Option(
            help="A file with a name per topic, one per line, or lines such as 3: name.", metavar="FILE"
        ),
    ],
) -> None:
    """Name the topics of a saved model; topics that the file leaves out keep the names they have."""
    from minillm_lib.topics.words.word_files import read_labels

    loaded = _load(model)
    new = read_labels(labels, loaded.n_topics)
    old = loaded.labels or ("",) * loaded.n_topics
    named = loaded.with_labels([name or before for name, before in zip(new, old, strict=True)])
    named.save(model)
    for number, name in enumerate(named.topic_names):
        say(f"{number}: {name}")


def _load(model: Path) -> TopicModel:
    from minillm_lib.topics.topic_model import TopicModel

    return TopicModel.load(model)


def _note(text: str) -> None:
    notes.print(text, soft_wrap=True)


def _print_csv(columns: Columns) -> None:
    """Write a table to standard output, which may be a terminal or the file or program behind a pipe."""
    from minillm_lib.io.tables import write_csv
    from minillm_lib.io.terminal import data_output

    text, output = io.StringIO(), data_output()
    write_csv(columns, text)
    if output.isatty():
        output.write(text.getvalue())
        return
    output.flush()
    output.buffer.write(text.getvalue().encode("utf-8"))  # type: ignore[attr-defined]
    output.flush()
