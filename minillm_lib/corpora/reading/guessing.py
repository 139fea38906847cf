"""Guessing the encoding of bytes that are neither UTF-8 nor marked, by the text that they give in each one."""

from __future__ import annotations

from dataclasses import dataclass

from charset_normalizer import from_bytes

from minillm_lib.corpora.reading.plausibility import plausibility

EAST_ASIAN = ("gb18030", "big5hkscs", "cp932", "euc_jp", "cp949")
WIDE = ("utf-16-le", "utf-16-be")
_BY_SCRIPT = ("cp1251", "koi8_u", "cp866", "iso8859_5", "cp1253", "cp1255", "cp1256", "cp874")
_LATIN = ("cp1252", "cp1250", "iso8859_2", "cp1254", "cp1257")
_LATIN_OF = {
    **dict.fromkeys(("pl", "cs", "sk", "hu", "sl", "hr", "bs", "ro", "sq"), ("cp1250", "iso8859_2")),
    **dict.fromkeys(("tr", "az", "ku"), ("cp1254",)),
    **dict.fromkeys(("lt", "lv", "et"), ("cp1257",)),
}
LEAST_PLAUSIBLE = 0.35
_DOUBTFUL = 0.6
_CLOSE = 0.05
_WRONG_COSTS = 2.0
_WIDE_IS_RARE = 0.15
_SAMPLE = 1 << 13


@dataclass(frozen=True)
class Guess:
    """An encoding, by Python's name; ``score`` is how plausible its text is, ``rival`` another that comes close."""

    name: str
    score: float
    rival: str | None = None

    @property
    def is_doubtful(self) -> bool:
        """Whether a person had better look at the text."""
        return self.score < _DOUBTFUL or self.rival is not None


def guess_encoding(content: bytes, size: int = _SAMPLE) -> Guess | None:
    """Return the encoding in which bytes are most plausibly text; None if they are in none.

    What charset-normalizer finds is one candidate among those in common use; the text decides, see
    :func:`~minillm_lib.corpora.reading.plausibility.plausibility`. Encodings of Latin letters, which give almost the
    same text, are told apart by the language.

    Parameters
    ----------
    size
        How many bytes are looked at, of lines that are not plain ASCII.
    """
    whole = content[: size // 4 * 4]
    content = rich_sample(content, size)
    if not content:
        return None
    proposed = None if b"\0" in content else from_bytes(content).best()
    candidates = dict.fromkeys(
        (*EAST_ASIAN, *WIDE, *_BY_SCRIPT, *_LATIN, *([proposed.encoding] if proposed else []))
    )
    scores = {name: score_of(whole if name in WIDE else content, name) for name in candidates}
    best = max(scores, key=lambda name: (scores[name], name in _LATIN))
    close = [name for name in scores if scores[name] > scores[best] - _CLOSE and is_valid(content, name)]
    if close and not is_valid(content, best):
        best = max(close, key=scores.__getitem__)
    if scores[best] < LEAST_PLAUSIBLE:
        return None
    if best in _LATIN:
        return Guess(_latin(content, scores), scores[best])
    text = content.decode(best, errors="replace")
    rivals = [
        name
        for name, score in scores.items()
        if score > scores[best] - _CLOSE and content.decode(name, errors="replace") != text
    ]
    return Guess(best, scores[best], rivals[0] if rivals else None)


def guess_wide(content: bytes) -> Guess | None:
    """Return which UTF-16 bytes are, without a mark; None if they are no text in either order."""
    content = content[: _SAMPLE // 4 * 4]
    scores = {name: score_of(content, name) for name in WIDE}
    best = max(scores, key=scores.__getitem__)
    return Guess(best, scores[best]) if scores[best] > LEAST_PLAUSIBLE else None


def is_valid(content: bytes, encoding: str) -> bool:
    """Whether every byte can be decoded."""
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def score_of(content: bytes, encoding: str) -> float:
    """Return how plausible bytes are in an encoding; every byte that is not valid in it counts against it."""
    try:
        text = content.decode(encoding)
        wrong = 0
    except UnicodeDecodeError:
        text = content.decode(encoding, errors="replace")
        wrong = text.count("\ufffd")
    except LookupError:
        return -1.0
    n_high = sum(character >= "\x80" for character in text)
    score = plausibility(text.replace("\ufffd", ""), encoding) - _WRONG_COSTS * wrong / max(n_high, 1)
    if encoding not in WIDE:
        return score
    # Here ASCII speaks for the encoding too, as it would not come out in another.
    n_plain = sum(" " <= character < "\x7f" for character in text)
    share = n_plain / max(len(text), 1)
    return share + (1 - share) * score - (0.0 if b"\0" in content else _WIDE_IS_RARE)


def rich_sample(content: bytes, size: int = _SAMPLE) -> bytes:
    """Return up to so many bytes, from lines that are not plain ASCII; the last character of each is complete."""
    lines: list[bytes] = []
    n = 0
    for line in content.split(b"\n"):
        if not line.isascii():
            lines.append(line)
            n += len(line)
        if n >= size:
            break
    return b"\n".join(lines)


def _latin(content: bytes, scores: dict[str, float]) -> str:
    import py3langid

    language, _ = py3langid.classify(content.decode("cp1252", errors="replace"))
    family = _LATIN_OF.get(language, ("cp1252",))
    best = max(family, key=lambda name: scores[name])
    return (
        best
        if scores[best] > max(scores[name] for name in _LATIN) - 0.3
        else max(_LATIN, key=scores.__getitem__)
    )
