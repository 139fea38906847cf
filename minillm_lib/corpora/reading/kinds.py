"""What kind of file it is: by its first bytes, and where these do not tell, by the ending of its name."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from minillm_lib.corpora.reading.content import inner_ending, seekable
from minillm_lib.corpora.reading.report import Unusable

Kind = Literal["text", "markdown", "html", "json", "delimited", "sheets", "parquet", "pdf", "word"]

_BY_ENDING: dict[str, Kind] = {
    **dict.fromkeys((".md", ".markdown"), "markdown"),
    **dict.fromkeys((".html", ".htm", ".xhtml", ".shtml"), "html"),
    **dict.fromkeys((".json", ".jsonl", ".ndjson", ".jsonlines", ".ldjson"), "json"),
    **dict.fromkeys((".csv", ".tsv", ".tab"), "delimited"),
}
_PACKED: dict[str, tuple[Kind, str]] = {  # what their names promise, and their first bytes must show
    ".pdf": ("pdf", "PDF"),
    ".docx": ("word", "Word"),
    ".docm": ("word", "Word"),
    ".xlsx": ("sheets", "Excel"),
    ".xlsm": ("sheets", "Excel"),
    ".xlsb": ("sheets", "Excel"),
    ".ods": ("sheets", "OpenDocument"),
}
_UNREAD = {
    **dict.fromkeys(
        (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ico", ".svg", ".heic", ".psd"),
        "an image",
    ),
    **dict.fromkeys(
        (".mp3", ".wav", ".flac", ".ogg", ".m4a", ".mp4", ".avi", ".mov", ".mkv", ".webm"), "audio or video"
    ),
    **dict.fromkeys(
        (".zip", ".tar", ".tgz", ".rar", ".7z", ".bz2", ".xz", ".jar"),
        "an archive; unpack it to read what it holds",
    ),
    **dict.fromkeys((".css", ".js", ".mjs", ".map"), "code of web pages"),
    **dict.fromkeys(
        (".rtf", ".odt", ".doc", ".pages"), "a text format that is not read; save it as .docx or .txt"
    ),
    **dict.fromkeys(
        (".epub", ".mobi", ".azw3"), "an electronic book, which is not read; convert it to .html or .txt"
    ),
    **dict.fromkeys((".ppt", ".pptx", ".odp", ".key"), "slides, which are not read; save them as .pdf"),
    **dict.fromkeys((".ps", ".eps", ".djvu", ".dvi"), "a page format that is not read; convert it to .pdf"),
    **dict.fromkeys(
        (".xml", ".xsl", ".xsd", ".rss"), "XML, whose words and markup mean different things in each file"
    ),
    **dict.fromkeys(
        (".arrow", ".feather"), "an Arrow file, which is not read; Dataset.to_parquet saves it as .parquet"
    ),
    **dict.fromkeys(
        (".pkl", ".pickle", ".npy", ".npz"),
        "values of Python, which are not read; save them as .parquet or .jsonl",
    ),
    ".ipynb": "a notebook, which is not read; save it as .html or .md",
}
_TEXT_ENDINGS = (
    ".txt",
    ".text",
    ".log",
    ".rst",
    ".tex",
    ".adoc",
    ".org",
    ".srt",
    ".vtt",
    ".eml",
    ".parquet",
    ".xls",
)
_BESIDE_ARROW = ("dataset_dict.json", "dataset_info.json", "state.json")  # of Dataset.save_to_disk
_IS_TEXT_ANYWAY = (".doc", ".xls")  # names that programs of old gave to web pages and to tables of text
_ZIP, _OLE, _PARQUET, _PDF = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"PAR1", b"%PDF-"


def is_known(ending: str) -> bool:
    """Whether an ending says of what kind a file is, and so is no part of its title."""
    return ending in _BY_ENDING or ending in _PACKED or ending in _UNREAD or ending in _TEXT_ENDINGS


def may_be_read(path: Path) -> bool:
    """Whether the name of a file lets one expect text in it."""
    return inner_ending(path) not in _UNREAD


def may_be_plain_text(path: Path) -> bool:
    """Whether the name of a file lets one expect bytes that are text as they stand."""
    return may_be_read(path) and inner_ending(path) not in (*_PACKED, ".parquet")


def kind_of(path: Path, beginning: bytes, *, is_named: bool = False) -> Kind:
    """Return how a file is to be read.

    Parameters
    ----------
    beginning
        Its first bytes, unpacked.
    is_named
        The user named this very file, so that code is read as text.

    Raises
    ------
    Unusable
        If it is of a kind that is not read, or not of the kind that its name promises.
    """
    if path.name in _BESIDE_ARROW and any(_arrow_files(path.parent)):
        raise Unusable("about the Arrow files beside it")
    ending = inner_ending(path)
    if ending == ".parquet":
        return "parquet"
    kind = _by_first_bytes(path, beginning, ending)
    if kind is not None:
        return kind
    if ending in _PACKED:
        raise Unusable(f"not a {_PACKED[ending][1]} file, or a broken one")
    is_text = b"\0" not in beginning
    if ending in _UNREAD and not (is_text and (is_named or ending in _IS_TEXT_ANYWAY)):
        raise Unusable(_UNREAD[ending])
    start = _start(beginning).lower()
    if start.startswith(b"{\\rtf"):
        raise Unusable(_UNREAD[".rtf"])
    if ending in _BY_ENDING:
        return _BY_ENDING[ending]
    if start.startswith((b"<!doctype html", b"<html")):
        return "html"
    return "delimited" if ending == ".xls" else "text"


def looks_like_json(beginning: bytes) -> bool:
    """Whether a file begins as an array or an object does; so do other texts."""
    return _start(beginning).startswith((b"[", b"{"))


def _start(beginning: bytes) -> bytes:
    """Return the first characters of a text, without a byte order mark and white space; of UTF-16 too."""
    return beginning[:1000].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")


def _arrow_files(folder: Path) -> Iterator[Path]:
    """Yield the Arrow files of a data set, in its folder or in one for each split."""
    yield from folder.glob("*.arrow")
    yield from folder.glob("*/*.arrow")


def _by_first_bytes(path: Path, beginning: bytes, ending: str) -> Kind | None:
    if beginning.startswith(_PARQUET):
        return "parquet"
    if beginning.startswith(_PDF) or (ending == ".pdf" and _PDF in beginning[:1024]):
        return "pdf"
    if beginning.startswith(_OLE):
        if ending == ".xls":
            return "sheets"
        if ending in _PACKED:
            raise Unusable("encrypted with a password, or of an old format")
        raise Unusable(_UNREAD.get(ending, "a file of an old Office program, which is not read"))
    if beginning.startswith(_ZIP):
        return _in_archive(path, ending)
    return None


def _in_archive(path: Path, ending: str) -> Kind:
    try:
        with seekable(path) as stream, zipfile.ZipFile(stream) as archive:
            names = set(archive.namelist())
            mime = archive.open("mimetype").read(100) if "mimetype" in names else b""
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, ValueError, EOFError, KeyError) as error:
        raise Unusable(
            f"a broken archive ({error})" if ending not in _PACKED else f"broken ({error})"
        ) from error
    if "word/document.xml" in names:
        return "word"
    if names & {"xl/workbook.xml", "xl/workbook.bin"} or b"opendocument.spreadsheet" in mime:
        return "sheets"
    raise Unusable(_UNREAD.get(ending) or _UNREAD[".zip"])
