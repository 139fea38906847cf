"""The text of a PDF, page by page, and its title."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minillm_lib.corpora.reading.content import check_unpacked, parsed
from minillm_lib.corpora.reading.report import Unusable
from minillm_lib.io.optional import needed

# What programs write when nobody gave a title.
_NO_TITLE = re.compile(
    r"untitled.*|microsoft (word|powerpoint) - .*|.*\.(docx?|tex|dvi|pdf|indd|rtf|odt|qxd|pptx?)|\W*|slide \d+|title",
    re.IGNORECASE,
)


def pdf_pages(source: bytes | Path) -> tuple[list[str], str]:
    """Return the text of each page of a PDF, and its title, which may be empty.

    Words that were divided at the end of a line are put together.

    Raises
    ------
    Unusable
        If it is broken or encrypted, has no text, as a scan, or takes too much time or memory.
    MissingPackageError
        If the package pypdfium2 is not installed.
    """
    needed("pypdfium2", "files", "to read PDFs")
    pages, n = [], 0
    found = parsed(_title_and_pages, source, "pypdfium2")
    title = next(found)
    for page in found:
        pages.append(page)
        n += len(page)
        check_unpacked(n)
    if not any(page.strip() for page in pages):
        raise Unusable("a PDF without text; it may be a scan")
    return ["\n".join(_joined(page).splitlines()).strip() for page in pages], title


def _title_and_pages(source: bytes | Path) -> Iterator[str]:
    pdfium = needed("pypdfium2", "files", "to read PDFs")
    try:
        with pdfium.PdfDocument(source) as document:
            yield _title(document)
            for page in document:
                yield page.get_textpage().get_text_range()
    except pdfium.PdfiumError as error:
        is_locked = "password" in str(error).lower()
        raise Unusable("encrypted with a password" if is_locked else f"a broken PDF ({error})") from error


def _joined(page: str) -> str:
    return re.sub("[\x02\ufffe]\\s*", "", page)


def _title(document: Any) -> str:
    title = " ".join(str(document.get_metadata_dict().get("Title") or "").split("\0")[0].split())
    return "" if _NO_TITLE.fullmatch(title) else title
