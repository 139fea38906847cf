"""``minillm data …`` and ``minillm tokenizer …``: what there is to read, and how it is split into tokens."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich import box
from rich.table import Column, Table
from rich.text import Text

from minillm_lib.cli.options import (
    CorpusOptions,
    Split,
    console,
    parse_options,
    say,
    show_warnings_plainly,
)
from minillm_lib.io.terminal import printable, styled

if TYPE_CHECKING:
    from minillm_lib.corpora.document import Document

data_app = typer.Typer(
    no_args_is_help=True,
    help="Corpora: list, fetch, show, count and clean them.",
    callback=show_warnings_plainly,
)
tokenizer_app = typer.Typer(
    no_args_is_help=True,
    help="Tokenizers: train, show and compare them.",
    callback=show_warnings_plainly,
)

_Name = Annotated[str, typer.Argument(help="The corpus; `minillm data list` names them.", metavar="CORPUS")]
_Corpora = Annotated[
    str, typer.Option("--corpus", help="A corpus of `minillm data list`, or several: docstrings,grammar.")
]
_Documents = Annotated[int, typer.Option(min=1, help="At most this many documents of each corpus, sampled.")]
_OwnSplit = Annotated[
    str | None,
    typer.Option(
        help="train, validation, test or all. By default train, or all of the corpus files, your own texts."
    ),
]
_SHADES = ("on grey85", "on grey70")


@data_app.command("list")
def list_corpora() -> None:
    """List the corpora: licence, size, language, options, and whether they need a network."""
    from minillm_lib.corpora.registry import CORPORA

    table = Table(Column(no_wrap=True), "", box=None, show_header=False, padding=(0, 2, 1, 0))
    for corpus in CORPORA.values():
        network = "fetched at first use" if corpus.needs_network else "needs no network"
        details = f"{corpus.size} · {corpus.language} · {network} · licence: {corpus.licence}"
        options = f"options: {', '.join(corpus.options)}"
        about = styled(f"{corpus.description}\n", (f"{details}\n{options}", "dim"))
        table.add_row(styled((corpus.name, "bold")), about)
    console.print(table)


@data_app.command()
def fetch(name: _Name, option: CorpusOptions = None) -> None:
    """Download or build a corpus on this machine; what is already here is not fetched again."""
    from minillm_lib.corpora.registry import fetch_corpus

    say(fetch_corpus(name, **parse_options(option)))


@data_app.command("show")
def show_documents(
    name: _Name,
    split: _OwnSplit = None,
    n: Annotated[int, typer.Option("--number", "-n", min=1, help="How many documents.")] = 3,
    skip: Annotated[int, typer.Option(min=0, help="How many to skip first.")] = 0,
    option: CorpusOptions = None,
) -> None:
    """Print documents of a corpus, with their metadata."""
    from minillm_lib.corpora.registry import load_corpus

    split = _split_of(name, split)
    documents = load_corpus(name, split=split, **parse_options(option))
    chosen = list(islice(documents, skip, skip + n))
    if not chosen:
        what = f"has no more than {skip} documents" if skip else "has no documents"
        raise ValueError(f"{name} {what} in the split {split!r}")
    for document in chosen:
        console.rule(document.source, align="left")
        metadata = json.dumps(dict(document.meta), ensure_ascii=False, default=str)
        console.print(f"{document.text}\n", highlight=False)
        console.print(metadata, style="dim", highlight=False)


@data_app.command()
def stats(
    name: _Name,
    split: Split = "all",
    group_by: Annotated[
        str | None, typer.Option(help="Count by this key of the metadata, such as package or year.")
    ] = None,
    option: CorpusOptions = None,
) -> None:
    """Count a corpus: documents, bytes, characters, words, and the lengths of the documents."""
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
    split: _OwnSplit = None,
    step: Annotated[
        list[str] | None,
        typer.Option(help="A step to take, in this order; may be given several times. All by default."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(help="Drop documents that share a long n-gram with this split, such as test."),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Number of processes; -1 for one per core.")] = -1,
    option: CorpusOptions = None,
) -> None:
    """Clean a corpus, and show as a table and a plot what each step removed, with examples."""
    from minillm_lib.corpora.cleaning.pipeline import DEFAULT_STEPS, clean_corpus
    from minillm_lib.corpora.registry import load_corpus
    from minillm_lib.io.atomic_write import open_atomically
    from minillm_lib.io.optional import MissingPackageError
    from minillm_lib.io.progress_bar import progress_bar

    options = parse_options(option)
    split = split or ("train" if against else _split_of(name, None))  # a split shares all with itself
    held_out = () if against is None else load_corpus(name, split=against, **options)
    loaded = load_corpus(name, split=split, **options)
    with progress_bar(loaded, unit=" documents", desc="Cleaning") as documents:
        report = clean_corpus(
            documents, output, steps=step or DEFAULT_STEPS, test_documents=held_out, n_jobs=jobs
        )
    table = report.table()
    table.title, table.title_justify = f"{name} ({split})", "left"
    console.print(table)
    if any(step.examples for step in report.steps):
        console.print(report.examples_table())
    counts, picture = output.with_suffix(".report.json"), output.with_suffix(".report.png")
    report.save(counts)
    try:
        from minillm_lib.viz.cleaning_plots import plot_cleaning
    except MissingPackageError as error:
        console.print(f"no figure is drawn: {error}", style="yellow", highlight=False)
        say(f"written: {output}, and next to it {counts.name}")
        return
    with open_atomically(picture) as file:
        plot_cleaning(report).savefig(file, format="png", dpi=150)
    say(f"written: {output}, and next to it {counts.name} and {picture.name}")


@data_app.command("pack")
def pack_ids(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Token ids: .npy arrays, (tokens,) or (documents, tokens), or raw .bin as of nanoGPT."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="A folder for the token files; data.packed names it in a run."),
    ],
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="The tokenizer that made the ids: tokenizer.model, tokenizer.json, or its folder."),
    ] = None,
    vocab_size: Annotated[
        int | None,
        typer.Option(min=1, help="The number of ids, if there is no tokenizer; only for loops of your own."),
    ] = None,
    validation: Annotated[
        Path | None, typer.Option(help="A file of held-out ids; by default, the last 5 % are held out.")
    ] = None,
    dtype: Annotated[
        Literal["uint16", "uint32", "int32", "int64"], typer.Option(help="Type of the ids in raw files.")
    ] = "uint16",
    big_endian: Annotated[
        bool, typer.Option("--big-endian", help="In raw files, the highest byte of an id comes first.")
    ] = False,
    eos_id: Annotated[
        int | None, typer.Option(min=0, help="The id that ends a document; the tokenizer's by default.")
    ] = None,
) -> None:
    """Pack text that has been encoded already, for pretraining."""
    from minillm_lib.training.ready_ids import pack_ready_ids

    packed = pack_ready_ids(
        files,
        output,
        tokenizer=tokenizer,
        vocab_size=vocab_size,
        validation=validation,
        dtype=dtype,
        big_endian=big_endian,
        eos_id=eos_id,
    )
    for note in packed.notes:
        say(note)
    for file in (packed.train, packed.validation):
        say(f"written: {file.path}, {len(file.tokens):,} ids in {len(file):,} documents")
    if tokenizer is not None:
        say(f"next: minillm pretrain --data.packed {output}, with the other keys of your run")


@tokenizer_app.command()
def train(
    output: Annotated[Path, typer.Argument(help="A .model file, or a folder for it.")],
    corpora: _Corpora = "docstrings",
    documents: _Documents = 20_000,
    split: _OwnSplit = None,
    vocab_size: Annotated[
        int | None,
        typer.Option(
            help="Number of ids, including the special tokens and the bytes. By default 6400, or as many as the text "
            "yields if that is fewer."
        ),
    ] = None,
    model_type: Annotated[
        Literal["bpe", "unigram"], typer.Option(help="bpe merges pairs; unigram prunes.")
    ] = "bpe",
    character_coverage: Annotated[
        float,
        typer.Option(help="Share of the characters of the text that get pieces; the rest is spelt in bytes."),
    ] = 0.9995,
    option: CorpusOptions = None,
) -> None:
    """Learn a vocabulary from corpora."""
    from minillm_lib.tokenizer import Tokenizer

    splits = {name: _split_of(name, split) for name in corpora.split(",")}
    texts = [each.text for name, own in splits.items() for each in _sample(name, own, documents, option)]
    if not any(map(str.strip, texts)):
        named = ", ".join(f"{name} (split {own})" for name, own in splits.items())
        raise ValueError(f"there is no text to learn from in {named}: {len(texts):,} documents")
    wanted = vocab_size or 6400
    with console.status(f"Learning {wanted} pieces from {len(texts):,} documents …"):
        tokenizer = Tokenizer.train(
            texts,
            vocab_size=wanted,
            model_type=model_type,
            character_coverage=character_coverage,
            or_fewer=vocab_size is None,
        )
    path = tokenizer.save(output)
    size = tokenizer.bytes_per_token(texts)
    if tokenizer.vocab_size < wanted:
        say(f"this text yields only {tokenizer.vocab_size:,} pieces, all of which were taken")
    say(
        f"{len(texts):,} documents ({', '.join(f'{name}: split {own}' for name, own in splits.items())}), "
        f"{tokenizer.vocab_size:,} pieces, {size:.2f} bytes per token; written: {path}"
    )
    say(f"a run uses it by data.tokenizer: {path}")


@tokenizer_app.command("show")
def show_pieces(
    model: Annotated[Path, typer.Argument(help="A tokenizer.model, or a folder that holds one.")],
    text: Annotated[str, typer.Argument(help="Any text.")],
) -> None:
    """Show the pieces of a text in alternating shades, and their ids."""
    from minillm_lib.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(model)
    ids, line = tokenizer.encode(text), Text()
    for i, piece in enumerate(tokenizer.pieces(text)):
        line.append(printable(piece), style=f"black {_SHADES[i % 2]}")
    console.print(line)
    console.print(" ".join(map(str, ids)), highlight=False)
    n_bytes = len(text.encode())
    console.print(f"{len(ids)} tokens, {n_bytes} bytes, {n_bytes / max(len(ids), 1):.2f} bytes per token")


@tokenizer_app.command()
def compare(
    models: Annotated[list[Path], typer.Argument(help="Tokenizers to compare.")],
    corpora: _Corpora = "docstrings,grammar",
    split: Split = "validation",
    documents: _Documents = 500,
    option: CorpusOptions = None,
) -> None:
    """Compare tokenizers by their bytes per token on each corpus and language; more means fewer tokens."""
    from minillm_lib.tokenizer import Tokenizer

    tokenizers = {str(model): Tokenizer.load(model) for model in models}
    names = (f"{name} ({own.model_type}, {len(own)})" for name, own in tokenizers.items())
    table = Table("corpus", "language", *names)
    for name in corpora.split(","):
        by_language: dict[str, list[str]] = {}
        for document in _sample(name, split, documents, option):
            by_language.setdefault(_language(document, name), []).append(document.text)
        for language, texts in sorted(by_language.items()):
            sizes = (f"{own.bytes_per_token(texts):.2f}" for own in tokenizers.values())
            table.add_row(name, language, *sizes)
    console.print(table)


def _split_of(corpus: str, split: str | None) -> str:
    return split or ("all" if corpus == "files" else "train")


def _sample(corpus: str, split: str, most: int, option: list[str] | None) -> list[Document]:
    from minillm_lib.corpora.document import sample
    from minillm_lib.corpora.registry import load_corpus

    return sample(load_corpus(corpus, split=split, **parse_options(option)), most)


def _language(document: Document, corpus: str) -> str:
    """Return the language that the document or its corpus states, or else the one it looks like."""
    from minillm_lib.corpora.cleaning.filters import identify_language
    from minillm_lib.corpora.registry import find_corpus

    language = str(document.meta.get("language", find_corpus(corpus).language))
    return language if language in ("en", "zh") else identify_language(document.text)
