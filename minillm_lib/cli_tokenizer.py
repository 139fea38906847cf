"""``minillm tokenizer …``: training one, looking at its pieces, comparing several."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

tokenizer_app = typer.Typer(no_args_is_help=True, help="Tokenizers: train, show, compare.")
console = Console()

_Corpus = Annotated[
    str, typer.Option(help="A corpus of `minillm data list`; may be several: docstrings,grammar.")
]
_Documents = Annotated[int, typer.Option(min=1, help="At most this many documents of each corpus.")]
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
) -> None:
    """Learn a vocabulary from corpora."""
    from minillm_lib.tokenizer import Tokenizer

    with console.status(f"Learning {vocab_size} pieces from {corpus} …"):
        texts = [text for name in corpus.split(",") for text in _texts(name, "train", documents)]
        tokenizer = Tokenizer.train(texts, vocab_size=vocab_size, model_type=model_type)
    path = tokenizer.save(output)
    size = tokenizer.bytes_per_token(texts)
    console.print(f"{len(texts):,} documents, {size:.2f} bytes a token; written: [bold]{path}[/bold]")


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
) -> None:
    """Bytes a token on each corpus, by language; more is denser."""
    from minillm_lib.tokenizer import Tokenizer

    tokenizers = [Tokenizer.load(model) for model in models]
    table = Table(
        "corpus",
        "language",
        *(f"{m} ({t.model_type}, {len(t)})" for m, t in zip(models, tokenizers, strict=True)),
    )
    for name in corpus.split(","):
        by_language: dict[str, list[str]] = {}
        for language, text in _texts_by_language(name, split, documents):
            by_language.setdefault(language, []).append(text)
        for language, texts in sorted(by_language.items()):
            table.add_row(name, language, *(f"{t.bytes_per_token(texts):.2f}" for t in tokenizers))
    console.print(table)


def _texts(corpus: str, split: str, most: int) -> Iterator[str]:
    return (text for _, text in _texts_by_language(corpus, split, most))


def _texts_by_language(corpus: str, split: str, most: int) -> Iterator[tuple[str, str]]:
    from minillm_lib.corpora.registry import find_corpus, load_corpus

    default = find_corpus(corpus).language
    for document in islice(load_corpus(corpus, split=split), most):
        yield str(document.meta.get("language", default)), document.text
