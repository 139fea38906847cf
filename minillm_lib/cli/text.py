"""``minillm data …``: what corpora there are, fetching them, looking into them, counting them."""

from __future__ import annotations

import json
import warnings
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

if TYPE_CHECKING:
    from minillm_lib.corpora.document import Document


def show_warnings_plainly() -> None:
    """A warning is for the user, who need not see the line of code that gave it."""
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"


data_app = typer.Typer(
    no_args_is_help=True, help="Corpora: what there is, and what is in it.", callback=show_warnings_plainly
)
console = Console()

_Name = Annotated[str, typer.Argument(help="The corpus; `minillm data list` names them.", metavar="CORPUS")]
_Split = Annotated[str, typer.Option(help="train, validation, test or all.")]
CorpusOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-o",
        help="An option of the corpus, such as n=500 or years=2017,2018; `minillm data list` names them.",
        metavar="NAME=VALUE",
    ),
]


@data_app.command("list")
def list_corpora() -> None:
    """The corpora: licence, size, language, and whether they need a network."""
    from minillm_lib.corpora.registry import CORPORA

    table = Table(Column(no_wrap=True), "", box=None, show_header=False, padding=(0, 2, 1, 0))
    for corpus in CORPORA.values():
        network = "fetched at first use" if corpus.needs_network else "needs no network"
        facts = f"{corpus.size} · {corpus.language} · {network} · licence: {corpus.licence}"
        options = f"options: {', '.join(corpus.options)}"
        table.add_row(f"[bold]{corpus.name}[/bold]", f"{corpus.description}\n[dim]{facts}\n{options}[/dim]")
    console.print(table)


@data_app.command()
def fetch(name: _Name, option: CorpusOptions = None) -> None:
    """Bring a corpus onto this machine; what is there already is not fetched again."""
    from minillm_lib.corpora.registry import fetch_corpus

    _say(fetch_corpus(name, **parse_options(option)))


@data_app.command()
def show(
    name: _Name,
    split: _Split = "train",
    n: Annotated[int, typer.Option("--number", "-n", min=1, help="How many documents.")] = 3,
    skip: Annotated[int, typer.Option(min=0, help="How many to pass over first.")] = 0,
    option: CorpusOptions = None,
) -> None:
    """Print documents of a corpus, with what is known about them."""
    from minillm_lib.corpora.registry import load_corpus

    documents = load_corpus(name, split=split, **parse_options(option))
    chosen = list(islice(documents, skip, skip + n))
    if not chosen:
        raise ValueError(f"{name} ({split}) has no more than {skip} documents")
    for document in chosen:
        console.rule(escape(document.source), align="left")
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
    option: CorpusOptions = None,
) -> None:
    """Count a corpus: documents, bytes, characters, words, and how long the documents are."""
    from minillm_lib.corpora.registry import corpus_stats, load_corpus

    counted = corpus_stats(load_corpus(name, split=split, **parse_options(option)), group_by=group_by)
    header, *rows, total = counted.rows()
    title = f"{name} ({split}); the last columns are lengths in characters"
    table = Table(title=title, title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))
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
    option: CorpusOptions = None,
) -> None:
    """Clean a corpus: a table and a plot of what each step removed, with examples."""
    from tqdm.auto import tqdm

    from minillm_lib.corpora.cleaning.pipeline import DEFAULT_STEPS, clean_corpus
    from minillm_lib.corpora.registry import load_corpus
    from minillm_lib.viz.cleaning_plots import plot_cleaning

    options = parse_options(option)
    held_out = () if against is None else load_corpus(name, split=against, **options)
    with tqdm(load_corpus(name, split=split, **options), unit=" documents", desc="Cleaning") as documents:
        report = clean_corpus(
            documents, output, steps=step or DEFAULT_STEPS, test_documents=held_out, n_jobs=jobs
        )
    table = report.table()
    table.title, table.title_justify = f"{name} ({split})", "left"
    console.print(table)
    if any(step.examples for step in report.steps):
        console.print(report.examples_table())
    account, picture = output.with_suffix(".report.json"), output.with_suffix(".report.png")
    report.save(account)
    plot_cleaning(report).savefig(picture, dpi=150)
    _say(f"written: {output}, and beside it {account.name} and {picture.name}")


def _say(text: str) -> None:
    """Print a line that may hold paths: neither cut nor coloured, and brackets are brackets."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def parse_options(options: list[str] | None) -> dict[str, str | list[str]]:
    """``["years=2017,2018", "hub=modelscope"]`` as keyword arguments; what has commas, or comes again, is a list."""
    values: dict[str, list[str]] = {}
    for option in options or []:
        name, equals, value = option.partition("=")
        if not (name and equals):
            raise ValueError(f"--option {option!r}: give a name and a value, such as years=2017")
        values.setdefault(name, []).extend(value.split(","))
    return {name: own if len(own) > 1 else own[0] for name, own in values.items()}


tokenizer_app = typer.Typer(
    no_args_is_help=True, help="Tokenizers: train, show, compare.", callback=show_warnings_plainly
)
console = Console()

_Corpus = Annotated[
    str, typer.Option(help="A corpus of `minillm data list`; may be several: docstrings,grammar.")
]
_Documents = Annotated[int, typer.Option(min=1, help="At most this many documents of each corpus, sampled.")]
_SHADES = ("on grey85", "on grey70")


@tokenizer_app.command()
def train(
    output: Annotated[Path, typer.Argument(help="A .model file, or a folder for it.")],
    corpus: _Corpus = "docstrings",
    documents: _Documents = 20_000,
    vocab_size: Annotated[
        int, typer.Option(help="Number of ids, special tokens and bytes among them.")
    ] = 6400,
    model_type: Annotated[Literal["bpe", "unigram"], typer.Option(help="Merge pairs, or thin out.")] = "bpe",
    option: CorpusOptions = None,
) -> None:
    """Learn a vocabulary from corpora."""
    from minillm_lib.tokenizer import Tokenizer

    texts = [each.text for name in corpus.split(",") for each in _sample(name, "train", documents, option)]
    with console.status(f"Learning {vocab_size} pieces from {len(texts):,} documents …"):
        tokenizer = Tokenizer.train(texts, vocab_size=vocab_size, model_type=model_type)
    path = tokenizer.save(output)
    size = tokenizer.bytes_per_token(texts)
    console.print(
        f"{len(texts):,} documents, {size:.2f} bytes a token; written: [bold]{escape(str(path))}[/bold]"
    )


@tokenizer_app.command("show")
def show_pieces(
    model: Annotated[Path, typer.Argument(help="A tokenizer.model, or a folder that holds one.")],
    text: Annotated[str, typer.Argument(help="Any text.")],
) -> None:
    """The pieces of a text, one shade after the other, and their ids."""
    from minillm_lib.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(model)
    ids, line = tokenizer.encode(text), Text()
    for i, piece in enumerate(tokenizer.pieces(text)):
        line.append(piece, style=f"black {_SHADES[i % 2]}")
    console.print(line)
    console.print(" ".join(map(str, ids)), highlight=False)
    n_bytes = len(text.encode())
    console.print(f"{len(ids)} tokens, {n_bytes} bytes, {n_bytes / max(len(ids), 1):.2f} bytes a token")


@tokenizer_app.command()
def compare(
    models: Annotated[list[Path], typer.Argument(help="Tokenizers to set side by side.")],
    corpus: _Corpus = "docstrings,grammar",
    split: Annotated[str, typer.Option(help="train, validation, test or all.")] = "validation",
    documents: _Documents = 500,
    option: CorpusOptions = None,
) -> None:
    """Bytes a token on each corpus, by language; more is denser."""
    from minillm_lib.tokenizer import Tokenizer

    tokenizers = {escape(str(model)): Tokenizer.load(model) for model in models}
    names = (f"{name} ({own.model_type}, {len(own)})" for name, own in tokenizers.items())
    table = Table("corpus", "language", *names)
    for name in corpus.split(","):
        by_language: dict[str, list[str]] = {}
        for document in _sample(name, split, documents, option):
            by_language.setdefault(_language(document, name), []).append(document.text)
        for language, texts in sorted(by_language.items()):
            sizes = (f"{own.bytes_per_token(texts):.2f}" for own in tokenizers.values())
            table.add_row(name, language, *sizes)
    console.print(table)


def _sample(corpus: str, split: str, most: int, option: list[str] | None) -> list[Document]:
    from minillm_lib.corpora.document import sample
    from minillm_lib.corpora.registry import load_corpus

    return sample(load_corpus(corpus, split=split, **parse_options(option)), most)


def _language(document: Document, corpus: str) -> str:
    """What the document or its corpus says of it, or else what it looks like."""
    from minillm_lib.corpora.cleaning.filters import identify_language
    from minillm_lib.corpora.registry import find_corpus

    language = str(document.meta.get("language", find_corpus(corpus).language))
    return language if language in ("en", "zh") else identify_language(document.text)
