"""A person's own words: lists of them, seed words of topics, and names for topics, from files or from options."""

from __future__ import annotations

import os
import re
import unicodedata
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minillm_lib.corpora.reading.encoding import Encodings
from minillm_lib.corpora.reading.report import ReadReport, Unusable
from minillm_lib.io.regular_file import check_regular, is_there
from minillm_lib.io.wording import shown

if TYPE_CHECKING:
    from minillm_lib.topics.document_term import BagOfWords

_MOST_BYTES = 1 << 23  # of a list of words; dictionaries of a language have fewer
_MOST_DIGITS = 9
_COMMENT = re.compile(r"(?:^|\s)#.*")
_COMMA = re.compile("[,，、;；]")  # Chinese ones too
_NUMBERED = re.compile(r"\s*(\d+)\s*[:：\t]\s*(.*)")
_SEEDED = re.compile(r"(?:([^:：]*)[:：])?(.*)")


def read_words(path: str | os.PathLike[str]) -> list[str]:
    """Read a list of words or phrases: one per line or several with commas between, with comments after ``#``.

    The encoding is found as in :func:`~minillm_lib.corpora.files.read_files`. Words are returned in small letters and
    normalised by NFKC, each once.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it holds no word.
    """
    words = _unique(word for line in read_lines(path) for word in _COMMA.split(line))
    if not words:
        raise ValueError(f"{path} holds no words; write one per line, or several with commas between")
    return words


def words_or_file(value: str) -> list[str]:
    """Return the words of a file or, if the text is not the path of one, the words that it lists with commas between.

    Raises
    ------
    FileNotFoundError
        If the text looks like a path, and there is no such file.
    ValueError
        If there is no word.
    """
    if is_there(Path(value)) and not Path(value).is_dir():
        return read_words(value)
    if re.search(r"[/\\]|\.(?:txt|csv|tsv|lst)$", value):
        raise FileNotFoundError(f"there is no file {value}")
    words = _unique(_COMMA.split(value))
    if not words:
        raise ValueError(f"{value!r} holds no words; give a file, or words with commas between")
    return words


def read_seed_words(path: str | os.PathLike[str]) -> dict[str, list[str]]:
    """Read seed words of topics: a topic per line, ``label: word, word, …`` or only the words.

    Returns
    -------
    seeds
        The words of each label, in the order of the lines. Topics without a label are called by their first word.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a line holds no words, if two lines have the same label, or if there are no lines.
    """
    seeds: dict[str, list[str]] = {}
    for line in read_lines(path):
        label, listed = _SEEDED.fullmatch(line).groups(default="")  # type: ignore[union-attr]  # anything matches
        words = _unique(_COMMA.split(listed))
        if not words:
            raise ValueError(f"{path}: the line {shown(line)} names no words; write: label: word, word, …")
        label = label.strip() or words[0]
        if label in seeds:
            raise ValueError(
                f"{path}: two lines are called {shown(label)}; each is a topic and needs its own label"
            )
        seeds[label] = words
    if not seeds:
        raise ValueError(f"{path} holds no seed words; write a topic per line: label: word, word, …")
    return seeds


def read_labels(path: str | os.PathLike[str], n_topics: int) -> tuple[str, ...]:
    """Read names for topics: one per line in the order of the topics from 0, or ``3: name`` for some of them.

    Returns
    -------
    labels
        A name per topic; ``""`` for a topic that is not named.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the number of names or the number of a topic does not fit.
    """
    lines = read_lines(path)
    numbered = [match for line in lines if (match := _NUMBERED.fullmatch(line))]
    if 0 < len(numbered) < len(lines):
        raise ValueError(
            f"{path}: some lines begin with the number of a topic and some do not; write it in all or none"
        )
    if not numbered and lines:
        if len(lines) != n_topics:
            raise ValueError(
                f"{path} holds {len(lines)} names for {n_topics} topics; write one line per topic, or name only some "
                "of them by their numbers, such as 3: name"
            )
        return tuple(lines)
    labels = [""] * n_topics
    for match in numbered:
        number, name = int(match[1][:_MOST_DIGITS]), match[2].strip()
        if number >= n_topics or len(match[1]) > _MOST_DIGITS:
            raise ValueError(
                f"{path} names topic {match[1][:40]}, but there are {n_topics} topics, 0 to {n_topics - 1}"
            )
        if labels[number]:
            raise ValueError(f"{path} names topic {number} twice: {shown(labels[number])} and {shown(name)}")
        labels[number] = name
    if not any(labels):
        raise ValueError(f"{path} holds no names; write one line per topic, or 3: name")
    return tuple(labels)


def terms_of_seeds(seeds: Mapping[str, Sequence[str]], bag: BagOfWords) -> dict[str, list[str]]:
    """Return seed words as terms of a bag of words, for :func:`~minillm_lib.topics.seeding.seed_matrix`.

    A word or phrase becomes terms by the cleaning of the bag: ``Neural Networks`` becomes ``neural network``. One that
    is in no document stays as it is.
    """
    known = set(bag.vocabulary.tolist())

    def terms_of(word: str) -> list[str]:
        if word in known:
            return [word]
        return [term for term in bag.recipe.terms(word) if term in known] or [word]

    return {label: [term for word in words for term in terms_of(word)] for label, words in seeds.items()}


def read_lines(path: str | os.PathLike[str]) -> list[str]:
    """Return the lines of a file without comments after ``#``, empty lines and white space around.

    A warning says which encoding was guessed, if the file is not UTF-8: in UTF-8, nothing has to be guessed.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no text, a pipe or a device, or larger than 8 MiB.
    """
    if Path(path).is_dir() or not is_there(Path(path)):
        what = "is a folder" if Path(path).is_dir() else "there is no such file"
        raise FileNotFoundError(f"{path}: {what}; a text file with words is needed")
    check_regular(path, at_most=_MOST_BYTES)
    stripped = (_COMMENT.sub("", line).strip() for line in _decoded(Path(path)).splitlines())
    return [line for line in stripped if line]


def _decoded(path: Path) -> str:
    report = ReadReport()
    try:
        encoding = Encodings(None, report).of(path)
    except Unusable as error:
        raise ValueError(f"cannot read words from {path}: {error}") from None
    text = path.read_bytes().decode(encoding, "replace").removeprefix("\ufeff")
    if report.notes:
        warnings.warn(
            f"{path} was read as {encoding}, a guess: it begins with {text.strip()[:20]!r}; if that is wrong, save it "
            "as UTF-8",
            stacklevel=4,
        )
    return text


def _unique(words: Iterable[str]) -> list[str]:
    normal = (" ".join(unicodedata.normalize("NFKC", word).lower().split()) for word in words)
    return list(dict.fromkeys(word for word in normal if word))
