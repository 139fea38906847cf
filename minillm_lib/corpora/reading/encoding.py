"""In which encoding a text is: stated, marked, valid UTF-8, or guessed, for one file or for a folder of short ones."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from minillm_lib.corpora.reading.content import DAMAGED, beginning_of, chunks_of, n_replaced
from minillm_lib.corpora.reading.guessing import (
    LEAST_PLAUSIBLE,
    Guess,
    guess_encoding,
    guess_wide,
    is_valid,
    rich_sample,
    score_of,
)
from minillm_lib.corpora.reading.report import ReadReport, Unusable

_BYTE_ORDER_MARKS = (  # UTF-32's begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# On web pages the names of the old standards stand for what they grew into.
_WEB_NAMES = {
    **dict.fromkeys(("gb2312", "gbk", "gb_2312-80", "x-gbk", "hz-gb-2312"), "gb18030"),
    **dict.fromkeys(("iso-8859-1", "latin1", "latin-1", "ascii", "us-ascii"), "cp1252"),
    **dict.fromkeys(("shift_jis", "shift-jis", "sjis", "x-sjis", "windows-31j"), "cp932"),
    **dict.fromkeys(("euc-kr", "ks_c_5601-1987", "korean"), "cp949"),
    **dict.fromkeys(("big5", "big5-hkscs", "x-x-big5"), "big5hkscs"),
    **dict.fromkeys(("iso-8859-9", "latin5"), "cp1254"),
    **dict.fromkeys(("tis-620", "iso-8859-11"), "cp874"),
    **dict.fromkeys(("koi8-r", "koi8-ru"), "koi8_u"),
}
_DECLARED = re.compile(
    rb"""<(?:meta|\?xml)[^>]{0,300}?(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""", re.IGNORECASE
)
_ESCAPES = b"\x1b$"  # by which ISO-2022-JP changes to two bytes a character
_CONTROLS = bytes(sorted({*range(32), 127} - set(b"\t\n\v\f\r\b\x1b\x1a")))
_MAX_CONTROL_SHARE = 0.01
_MAX_ZERO_SHARE = 0.1
_TOO_SHORT, _LONG_ENOUGH = 60, 2000  # bytes: to refuse the encoding of the others, to do without them
_SAMPLE = 1 << 13
_CERTAINLY = 1 << 24  # bytes: what begins so is not text, however it goes on
_POOL_BYTES = 1 << 15
_POOL_FILES = 2000
_ALIKE, _CERTAIN, _CLEARLY = 0.6, 0.85, 0.1  # of plausibilities


def check_encoding(encoding: str | None) -> None:
    """Check the name of an encoding; None stands for recognising it.

    Raises
    ------
    ValueError
        If Python does not know it, or it is none of text.
    """
    try:
        known = encoding is None or codecs.lookup(encoding)._is_text_encoding
    except (LookupError, ValueError):
        known = False
    if not known:
        raise ValueError(
            f"encoding is {encoding!r}; allowed are the encodings that Python knows, such as gb18030"
        )


@dataclass
class Survey:
    """What the bytes of a file show; the counts are of the bytes that have been looked at."""

    mark: str | None = None
    n_bytes: int = 0
    n_controls: int = 0
    n_zeros: int = 0
    n_wrong: int = 0
    n_beyond_ascii: int = 0
    sample: bytes = b""
    has_escapes: bool = False

    @property
    def is_utf8(self) -> bool:
        """Whether it is UTF-8, up to some wrong bytes among many characters that are right."""
        return self.n_wrong == 0 or self.n_beyond_ascii > 2 * self.n_wrong


def survey(chunks: Iterable[bytes]) -> Survey:
    """Look through a file for what tells its encoding; end where the bytes are certainly not UTF-8, or no text."""
    found = Survey()
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    try:
        for chunk in _with_a_long_first(chunks):
            if not found.n_bytes:
                found.mark = next((name for mark, name in _BYTE_ORDER_MARKS if chunk.startswith(mark)), None)
                found.sample = chunk[: _SAMPLE // 4 * 4]
                found.has_escapes = _ESCAPES in chunk
            found.n_bytes += len(chunk)
            found.n_zeros += chunk.count(b"\0")
            found.n_controls += len(chunk) - len(chunk.translate(None, _CONTROLS))
            _add_utf8(found, decoder.decode(chunk), chunk)
            if found.mark or (found.n_wrong > _LONG_ENOUGH and not found.is_utf8):
                break
            if found.n_bytes >= _CERTAINLY and _is_binary(found):
                break
        else:
            _add_utf8(found, decoder.decode(b"", final=True), b"")
    except DAMAGED:
        pass
    return found


def _with_a_long_first(chunks: Iterable[bytes]) -> Iterator[bytes]:
    first: bytes | None = b""
    for chunk in chunks:
        if first is not None:
            first += chunk
            if len(first) < _SAMPLE:
                continue
            chunk, first = first, None
        yield chunk
    if first:
        yield first


def _add_utf8(found: Survey, text: str, chunk: bytes) -> None:
    if text.isascii():
        return
    n_wrong = n_replaced(text, chunk, "utf-8")
    if n_wrong and not found.n_wrong and found.n_bytes > len(found.sample):
        found.sample = rich_sample(chunk)
    found.n_wrong += n_wrong
    found.n_beyond_ascii += len(text) - len(text.encode("ascii", "ignore")) - n_wrong


@dataclass
class Encodings:
    """Decides the encoding of one file after the other.

    Parameters
    ----------
    stated
        What the user says; it wins over everything but a byte order mark.
    files
        All files that will be asked about. Where one is too short to tell, its neighbours are looked at too.
    """

    stated: str | None
    report: ReadReport
    files: Sequence[Path] = field(default=(), repr=False)

    def of(self, path: Path, *, is_web_page: bool = False) -> str:
        """Return the encoding of a file; ``"utf-8"`` for one that is empty.

        Raises
        ------
        Unusable
            If the file is not text.
        """
        found = survey([beginning_of(path, _SAMPLE)] if self.stated else chunks_of(path))
        if found.mark:
            return found.mark
        if self.stated:
            _refuse_binary(found, self.stated)
            return self.stated
        if (found.n_zeros or _is_binary(found)) and (wide := guess_wide(found.sample)) is not None:
            return self._noted(path, wide)
        _refuse_binary(found, "utf-8")
        if found.has_escapes and not found.n_beyond_ascii and score_of(found.sample, "iso2022_jp") > _ALIKE:
            return self._noted(path, Guess("iso2022_jp", 1.0))
        declared = _declared(found.sample) if is_web_page else None
        if declared and not (found.n_beyond_ascii and found.is_utf8) and _fits(found, declared):
            return declared
        if found.is_utf8 and not self._is_rather(found):
            return "utf-8"
        return self._guessed(path, found)

    def _is_rather(self, found: Survey) -> bool:
        """Whether bytes that may pass for UTF-8, as two Chinese characters of GBK may, are better text otherwise."""
        if not found.n_wrong and (found.n_bytes >= _TOO_SHORT or not found.n_beyond_ascii):
            return False
        sample = rich_sample(found.sample)
        score = score_of(sample, "utf-8")
        if found.n_wrong:
            guess = guess_encoding(sample)
            return guess is not None and guess.score > score
        if score > LEAST_PLAUSIBLE or self._pooled is None:
            return False
        return is_valid(sample, self._pooled.name) and score_of(sample, self._pooled.name) > _ALIKE

    def _guessed(self, path: Path, found: Survey) -> str:
        sample = rich_sample(found.sample)
        shared = self._pooled if len(sample) < _LONG_ENOUGH else None
        if shared is None or not is_valid(sample, shared.name):
            guess = guess_encoding(sample)
        elif (score := score_of(sample, shared.name)) > _least(sample):
            guess = shared
        else:
            guess = guess_encoding(sample)
            guess = guess if guess is not None and guess.score > score + _CLEARLY else shared
        if guess is None:
            raise Unusable(
                "not text in an encoding that can be recognised; if it is text, state the encoding"
            )
        return self._noted(path, guess)

    @cached_property
    def _pooled(self) -> Guess | None:
        """The guess for all files that are not UTF-8 together; None if they are none, or have nothing in common."""
        samples, n = [], 0
        for path in self.files[:_POOL_FILES]:
            try:
                found = survey([beginning_of(path, _SAMPLE)])
            except OSError:
                continue
            if found.mark or found.n_zeros or found.is_utf8 or _is_binary(found):
                continue
            samples.append(rich_sample(found.sample).rstrip(b"\n") + b"\n")
            n += len(samples[-1])
            if n >= _POOL_BYTES:
                break
        return guess_encoding(b"".join(samples), _POOL_BYTES) if len(samples) > 1 else None

    def _noted(self, path: Path, guess: Guess) -> str:
        sentence = f"the encoding was recognised as {guess.name}"
        if guess.rival:
            sentence = f"the encoding was taken for {guess.name}, but may be {guess.rival}"
        sentence += f"; {self.report.spelling('encoding')} states another"
        self.report.note(sentence, path, doubtful=guess.is_doubtful)
        return guess.name


def _least(sample: bytes) -> float:
    """Return how plausible the encoding of the other files must be: the less a sample can say itself, the less."""
    n_high = sum(byte >= 0x80 for byte in sample)
    return -1.0 if n_high < 4 else LEAST_PLAUSIBLE if len(sample) < _TOO_SHORT else _CERTAIN


def _is_binary(found: Survey) -> bool:
    return (
        found.n_controls > _MAX_CONTROL_SHARE * found.n_bytes
        or found.n_zeros > _MAX_ZERO_SHARE * found.n_bytes
    )


def _refuse_binary(found: Survey, encoding: str) -> None:
    """Raise :class:`Unusable` for what is no text in an encoding whose characters are bytes, as far as it is ASCII."""
    if "a".encode(encoding) != b"a" or not _is_binary(found):
        return
    looked_at = f" (of the first {found.n_bytes:,})" if found.n_bytes >= _CERTAINLY else ""
    if found.n_zeros == found.n_bytes:
        raise Unusable(f"not text: all its bytes are zero{looked_at}")
    share = found.n_controls / found.n_bytes
    hint = (
        "; if it is UTF-16 or UTF-32, state the encoding"
        if found.n_zeros > _MAX_ZERO_SHARE * found.n_bytes
        else ""
    )
    raise Unusable(f"not text: {share:.0%} of its bytes are control characters{looked_at}{hint}")


def _declared(beginning: bytes) -> str | None:
    """Return the encoding that a web page names, if it is one."""
    match = _DECLARED.search(beginning[:4096])
    if match is None:
        return None
    name = match[1].decode().lower()
    name = _WEB_NAMES.get(name, name)
    try:
        check_encoding(name)
    except ValueError:
        return None
    return name if "a".encode(name) == b"a" else None


def _fits(found: Survey, declared: str) -> bool:
    """Whether a declared encoding can be true: what it gives is text."""
    sample = rich_sample(found.sample)
    return not sample or (
        score_of(sample, declared) > 0 if declared not in ("utf-8", "utf8") else found.is_utf8
    )
