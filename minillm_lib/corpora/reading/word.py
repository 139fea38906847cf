"""The text of a Word file (.docx), and its title."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.parsers import expat

from minillm_lib.corpora.reading.content import parsed, seekable
from minillm_lib.corpora.reading.report import Unusable
from minillm_lib.corpora.reading.sheets import check_archive
from minillm_lib.io.optional import needed

_MAX_UNPACKED_BYTES = 1 << 27
_MAX_ELEMENTS = 1_000_000  # a thick book has a tenth of them
_CORE = "docProps/core.xml"
_TITLE = "http://purl.org/dc/elements/1.1/ title"
_MEDIA = ("word/media/", "word/embeddings/", "word/fonts/")


def word_text(path: Path) -> tuple[str, str]:
    """Return the text of a Word file, with an empty line between paragraphs, and its title, which may be empty.

    Raises
    ------
    Unusable
        If it is broken or encrypted, would unpack to more than 128 MB of text, takes too much time or memory, or
        declares entities, which Word never does.
    MissingPackageError
        If the package mammoth is not installed.
    """
    needed("mammoth.docx", "files", f"to read {path}")
    with seekable(path) as stream:
        check_archive(stream)
        title = ""
        with zipfile.ZipFile(stream) as archive:
            for member in archive.infolist():
                if member.filename.endswith((".xml", ".rels")) and not member.filename.startswith(_MEDIA):
                    if member.file_size > _MAX_UNPACKED_BYTES:
                        raise Unusable(f"it unpacks to more than {_MAX_UNPACKED_BYTES:,} bytes")
                    found = _checked(archive.read(member))
                    title = found if member.filename == _CORE else title
    (text,) = parsed(_text, path, "mammoth.docx")
    return text.strip(), title


def _text(source: Path | bytes) -> Iterator[str]:
    docx = needed("mammoth.docx", "files", "to read Word files")
    try:
        with source.open("rb") if isinstance(source, Path) else io.BytesIO(source) as stream:
            yield _text_of(docx.read(stream).value)
    except MemoryError:
        raise
    except Exception as error:  # of many kinds, for files that are not as Word writes them
        raise Unusable(f"broken ({type(error).__name__}: {error})") from error


def _text_of(document: Any) -> str:
    """Return the text of a document as mammoth reads it, with its footnotes at the end.

    What mammoth gives as raw text leaves out the notes, and the breaks between two lines.
    """
    notes: list[Any] = []

    def text_of(element: Any) -> str:
        kind = type(element).__name__
        if kind in ("Text", "Tab", "Break"):
            return element.value if kind == "Text" else "\t" if kind == "Tab" else "\n"
        if kind == "NoteReference":
            notes.append(document.notes.resolve(element))
        inner = "".join(map(text_of, getattr(element, "children", ())))
        return f"{inner}\n\n" if kind == "Paragraph" else inner

    text = text_of(document)
    for note in notes:  # which grow, if a note has notes
        text += "".join(map(text_of, note.body))
    return text


def _checked(content: bytes) -> str:
    """Return the title that a part of the file has; refuse one that declares a document type, and so entities."""
    parts: list[str] = []
    is_title, n = False, 0

    def start(name: str, _: object) -> None:
        nonlocal is_title, n
        is_title = name == _TITLE
        n += 1
        if n > _MAX_ELEMENTS:
            raise Unusable(f"one of its parts has more than {_MAX_ELEMENTS:,} elements")

    def end(_: str) -> None:
        nonlocal is_title
        is_title = False

    def refuse(*_: object) -> None:
        raise Unusable("it declares entities, which a Word file does not need")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = lambda data: parts.append(data) if is_title else None
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise Unusable(f"broken ({error})") from error
    return " ".join("".join(parts).split())
