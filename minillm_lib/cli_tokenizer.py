"""``minillm tokenizer …``: training one, looking at its pieces, comparing several."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from minillm_lib.cli_data import CorpusOptions, parse_options, show_warnings_plainly

if TYPE_CHECKING:
    from minillm_lib.corpora.document import Document

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


@tokenizer_app.command()
def show(
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
    from minillm_lib.corpora.registry import load_corpus
    from minillm_lib.corpora.splits import sample

    return sample(load_corpus(corpus, split=split, **parse_options(option)), most)


def _language(document: Document, corpus: str) -> str:
    """What the document or its corpus says of it, or else what it looks like."""
    from minillm_lib.corpora.language import identify_language
    from minillm_lib.corpora.registry import find_corpus

    language = str(document.meta.get("language", find_corpus(corpus).language))
    return language if language in ("en", "zh") else identify_language(document.text)
