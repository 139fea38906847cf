"""``minillm data …``: what corpora there are, fetching them, looking into them, counting them."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

data_app = typer.Typer(no_args_is_help=True, help="Corpora: what there is, and what is in it.")
console = Console()

_Name = Annotated[str, typer.Argument(help="The corpus; `minillm data list` names them.", metavar="CORPUS")]
_Split = Annotated[str, typer.Option(help="train, validation, test or all.")]
_Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-o",
        help="An option of the corpus, such as years=2017,2018 or paths=my/folder. May be repeated.",
        metavar="NAME=VALUE",
    ),
]


@data_app.command("list")
def list_corpora() -> None:
    """The corpora: licence, size, language, and whether they need a network."""
    from minillm_lib.corpora.registry import CORPORA

    table = Table(Column("corpus", no_wrap=True), "what it is", "licence", "size", "language", "network")
    for corpus in CORPORA.values():
        network = "needed once" if corpus.needs_network else "not needed"
        table.add_row(corpus.name, corpus.description, corpus.licence, corpus.size, corpus.language, network)
    console.print(table)


@data_app.command()
def fetch(name: _Name, option: _Options = None) -> None:
    """Bring a corpus onto this machine; what is there already is not fetched again."""
    from minillm_lib.corpora.registry import fetch_corpus

    console.print(fetch_corpus(name, **_parsed(option)), highlight=False, markup=False, soft_wrap=True)


@data_app.command()
def show(
    name: _Name,
    split: _Split = "train",
    n: Annotated[int, typer.Option("--number", "-n", min=1, help="How many documents.")] = 3,
    skip: Annotated[int, typer.Option(min=0, help="How many to pass over first.")] = 0,
    option: _Options = None,
) -> None:
    """Print documents of a corpus, with what is known about them."""
    from minillm_lib.corpora.registry import load_corpus

    documents = load_corpus(name, split=split, **_parsed(option))
    for document in islice(documents, skip, skip + n):
        console.rule(document.source, align="left")
        facts = json.dumps(dict(document.meta), ensure_ascii=False, default=str)
        console.print(f"{document.text}\n", highlight=False, markup=False)
        console.print(facts, style="dim", highlight=False, markup=False)


@data_app.command()
def stats(
    name: _Name,
    split: _Split = "all",
    group_by: Annotated[
        str | None, typer.Option(help="Count by this fact of the documents, such as package or year.")
    ] = None,
    option: _Options = None,
) -> None:
    """Count a corpus: documents, bytes, characters, words, and how long the documents are."""
    from minillm_lib.corpora.registry import corpus_stats, load_corpus

    counted = corpus_stats(load_corpus(name, split=split, **_parsed(option)), group_by=group_by)
    header, *rows, total = counted.rows()
    table = Table(title=f"{name} ({split}); the last columns are lengths in characters", title_justify="left")
    for number, column in enumerate(header):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    table.add_section()
    table.add_row(*total)
    console.print(table)


@data_app.command()
def clean(
    name: _Name,
    output: Annotated[Path, typer.Argument(help="Where the cleaned documents go, as JSON lines.")],
    split: _Split = "train",
    step: Annotated[
        list[str] | None, typer.Option(help="A step to take, in this order; may be repeated. All by default.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Drop what shares a long n-gram with this split, such as test.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes; -1 for one a core.")] = -1,
    option: _Options = None,
) -> None:
    """Clean a corpus: a table and a plot of what each step removed, with examples."""
    from tqdm.auto import tqdm

    from minillm_lib.corpora.pipeline import DEFAULT_STEPS, clean_corpus
    from minillm_lib.corpora.registry import load_corpus
    from minillm_lib.viz.cleaning_plots import plot_cleaning

    parsed = _parsed(option)
    held_out = () if against is None else load_corpus(name, split=against, **parsed)
    documents = tqdm(load_corpus(name, split=split, **parsed), unit=" documents", desc="Cleaning")
    report = clean_corpus(
        documents, output, steps=step or DEFAULT_STEPS, test_documents=held_out, n_jobs=jobs
    )
    console.print(report.table())
    console.print(report.examples_table())
    report.save(output.with_suffix(".report.json"))
    plot_cleaning(report).savefig(output.with_suffix(".report.png"), dpi=150)
    console.print(f"written: {output}, and beside it {output.stem}.report.json and {output.stem}.report.png")


def _parsed(options: list[str] | None) -> dict[str, Any]:
    """``["years=2017,2018", "hub=modelscope"]`` as keyword arguments; whole numbers become such, lists too."""
    parsed: dict[str, Any] = {}
    for option in options or []:
        name, equals, value = option.partition("=")
        if not (name and equals):
            raise ValueError(f"--option {option!r}: give a name and a value, such as years=2017")
        values = [int(part) if part.isdecimal() else part for part in value.split(",")]
        parsed[name] = values if len(values) > 1 else values[0]
    return parsed
