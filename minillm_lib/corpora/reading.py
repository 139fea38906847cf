"""Reading the user's own documents: text, Markdown and JSON lines, from a file or a folder."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from minillm_lib.corpora.document import Document
from minillm_lib.corpora.files import JSON_LINES_SUFFIXES, MARKDOWN_SUFFIXES, TEXT_SUFFIXES

_ALLOWED = ", ".join(TEXT_SUFFIXES + JSON_LINES_SUFFIXES)
_SHOWN_FAULTS = 5


def read_documents(
    path: str | os.PathLike[str],
    *,
    text_key: str = "text",
    encoding: str = "utf-8",
    on_malformed: Literal["raise", "skip"] = "raise",
) -> list[Document]:
    """Read documents from a file or a folder.

    - A **text or Markdown file** holds one document a paragraph (paragraphs are parted by empty lines); if it has no
      empty lines, one document a line.
    - A **JSON lines file** holds one document a line: an object with its text under ``text_key``. Its other keys
      become the document's ``meta``. Objects with an empty text are passed over.
    - A **folder** is searched at any depth, in order of the paths. Each text or Markdown file in it is one document,
      titled by its file name; each JSON lines file holds documents as above. Hidden and other files are passed over.

    Markdown loses its markup and code blocks. ``source`` of a document is its file and, where it is a part of it, the
    number of its first line. Bytes that are wrong in the encoding become U+FFFD, and a warning says how many.

    Parameters
    ----------
    on_malformed
        What to do with lines that are no JSON object with a text: ``"raise"`` an error that names them
        by file and line, or ``"skip"`` them with a warning that does.

    Raises
    ------
    FileNotFoundError
        If there is nothing at ``path``.
    ValueError
        For malformed lines, a file of another kind, and if there is no document at all.
    """
    path = Path(path)
    if on_malformed not in ("raise", "skip"):
        raise ValueError(f"on_malformed is {on_malformed!r}; allowed are 'raise' and 'skip'")
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {path}")
    faults: list[str] = []
    if path.is_dir():
        documents = list(_read_folder(path, text_key, encoding, faults))
    elif path.suffix.lower() in JSON_LINES_SUFFIXES:
        documents = list(_read_json_lines(path, text_key, encoding, faults))
    elif path.suffix.lower() in ("", *TEXT_SUFFIXES):
        documents = list(_read_paragraphs(path, encoding))
    else:
        raise ValueError(f"cannot read {path}: its name ends in {path.suffix!r}; allowed are {_ALLOWED}")
    if faults:
        more = len(faults) - _SHOWN_FAULTS
        shown = faults[:_SHOWN_FAULTS] + ([f"… and {more} more"] if more > 0 else [])
        message = "\n  ".join([f"malformed lines: {len(faults)}", *shown])
        if on_malformed == "raise":
            raise ValueError(message)
        warnings.warn(message, stacklevel=2)
    if not documents:
        raise ValueError(f"no documents in {path}: no text in it" + f" ({_ALLOWED} files)" * path.is_dir())
    return documents


def strip_markdown(text: str) -> str:
    """The words of a Markdown text without its markup, front matter and code blocks; every line stays in its place."""

    def empty_lines(match: re.Match[str]) -> str:
        return "\n" * match[0].count("\n")

    text = re.sub(r"\A---\n.*?\n---(?=\n|\Z)", empty_lines, text, flags=re.DOTALL)
    text = re.sub(
        r"^[ ]{0,3}(```|~~~).*?(?:^[ ]{0,3}\1[^\n]*$|\Z)", empty_lines, text, flags=re.DOTALL | re.MULTILINE
    )
    text = re.sub(r"^[ ]{0,3}(?:#{1,6}[ ]|>[ ]?|[-*+][ ]|\d+[.)][ ])", "", text, flags=re.MULTILINE)
    text = re.sub(r"!?\[([^][\n]*)\](?:\([^()\n]*\)|\[[^][\n]*\])", r"\1", text)
    text = re.sub(r"</?[A-Za-z][^>\n]*>", "", text)
    text = re.sub(r"(`+)([^`\n]+)\1", r"\2", text)
    return re.sub(r"(?<!\w)(\*\*|\*|__|_)(?=\S)([^\n]+?)(?<=\S)\1(?!\w)", r"\2", text)


def _read_folder(folder: Path, text_key: str, encoding: str, faults: list[str]) -> Iterator[Document]:
    for path in sorted(folder.rglob("*")):
        suffix = path.suffix.lower()
        if not path.is_file() or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if suffix in JSON_LINES_SUFFIXES:
            yield from _read_json_lines(path, text_key, encoding, faults)
        elif suffix in TEXT_SUFFIXES and (text := _read_text(path, encoding).strip()):
            yield Document(text, source=str(path), meta={"title": path.stem})


def _read_paragraphs(path: Path, encoding: str) -> Iterator[Document]:
    paragraphs: list[list[tuple[int, str]]] = [[]]
    for number, line in enumerate(_read_text(path, encoding).split("\n"), start=1):
        if line.strip():
            paragraphs[-1].append((number, line.strip()))
        elif paragraphs[-1]:
            paragraphs.append([])
    if not paragraphs[-1]:
        paragraphs.pop()
    if len(paragraphs) == 1:
        paragraphs = [[line] for line in paragraphs[0]]
    for paragraph in paragraphs:
        yield Document("\n".join(line for _, line in paragraph), source=f"{path}:{paragraph[0][0]}")


def _read_json_lines(path: Path, text_key: str, encoding: str, faults: list[str]) -> Iterator[Document]:
    for number, line in enumerate(_read_text(path, encoding).split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            record: Any = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError(f"JSON of type {type(record).__name__}, not an object")
            if not isinstance(record.get(text_key), str):
                raise ValueError(f"no text under {text_key!r}; its keys are {sorted(record)}")
        except (ValueError, RecursionError) as error:
            faults.append(f"{place}: {error}")
            continue
        if text := record.pop(text_key).strip():
            yield Document(text, source=place, meta=record)


def _read_text(path: Path, encoding: str) -> str:
    """The text of a file, lines ended by ``\\n``, without Markdown's markup; wrong bytes are replaced and warned of."""
    if encoding.lower().replace("_", "-") == "utf-8":
        encoding = "utf-8-sig"
    try:
        text = path.read_bytes().decode(encoding, errors="surrogateescape")
    except LookupError as error:
        raise ValueError(f"encoding is {encoding!r}; allowed are the encodings that Python knows") from error
    text, undecodable = re.subn("[\ud800-\udfff]", "\ufffd", text)
    if undecodable:
        warnings.warn(
            f"{path}: {undecodable} bytes are not {encoding} and were replaced by U+FFFD", stacklevel=2
        )
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return strip_markdown(text) if path.suffix.lower() in MARKDOWN_SUFFIXES else text
