"""The text of a PDF, page by page, and its title."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

from minillm_lib.corpora.reading.content import check_unpacked, is_compressed, whole
from minillm_lib.corpora.reading.report import Unusable
from minillm_lib.io.optional import needed

_lock = threading.Lock()  # PDFium is not thread-safe
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
        If it is broken or encrypted, or has no text, as a scan.
    MissingPackageError
        If the package pypdfium2 is not installed.
    """
    pdfium = needed("pypdfium2", "files", "to read PDFs")
    if isinstance(source, Path) and is_compressed(source):
        source = whole(source)
    try:
        with _lock, pdfium.PdfDocument(source) as document:
            pages, n = [], 0
            for page in document:
                pages.append(page.get_textpage().get_text_range())
                n += len(pages[-1])
                check_unpacked(n)
            title = _title(document)
    except pdfium.PdfiumError as error:
        is_locked = "password" in str(error).lower()
        raise Unusable("encrypted with a password" if is_locked else f"a broken PDF ({error})") from error
    if not any(page.strip() for page in pages):
        raise Unusable("a PDF without text; it may be a scan")
    return ["\n".join(_joined(page).splitlines()).strip() for page in pages], title


def _joined(page: str) -> str:
    return re.sub("[\x02\ufffe]\\s*", "", page)


def _title(document: Any) -> str:
    title = " ".join(str(document.get_metadata_dict().get("Title") or "").split("\0")[0].split())
    return "" if _NO_TITLE.fullmatch(title) else title
