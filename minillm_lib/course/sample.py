"""A folder of text as one finds it, for learners without text of their own: notebook 18 runs on it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from random import Random

from minillm_lib.corpora.docstrings.corpus import load_docstrings
from minillm_lib.corpora.docstrings.questions import parse_docstring
from minillm_lib.corpora.document import Document, sample

PACKAGES = {"numpy": ("numpy",), "scikit-learn": ("sklearn",)}
WORDINGS = (
    "What does {} do?",
    "What is {} for?",
    "What is the purpose of {}?",
    "Tell me about {}.",
    "I came across {}. What is it?",
)
"""How the questions about the sample are asked; the last wording is held out."""
_GOES_ON = (
    "How does “{}” go on?",
    "What comes after “{}”?",
    "Continue: {}",
    "Which words follow “{}”?",
    "“{}”. And then?",
)
_BYTES = 900_000  # of the texts themselves, without their other versions
_EVERY_COPY, _EVERY_DRAFT = 25, 8  # of so many documents, one has an older version, or a draft, beside it
_DRAFT = 0.72  # of the text: too little to be a near duplicate, and much too much to be held out
_ANSWER = range(20, 75)
_NAME = re.compile(r"[a-z][a-z_]{3,14}")


def write_sample(
    folder: str | os.PathLike[str], conversations: str | os.PathLike[str], *, n_questions: int = 50
) -> int:
    """Write about a megabyte of documentation as text files, and questions about it as a file of JSON lines.

    The text is that of the installed NumPy and scikit-learn, under their licences; nothing is downloaded. As in any
    folder, some files have an older version or a draft beside them.

    Parameters
    ----------
    folder
        The folder for the texts.
    conversations
        The file for the questions: each answer in five wordings, a line per wording.
    n_questions
        How many answers there are.

    Returns
    -------
    n_files
        How many text files were written.

    Raises
    ------
    ValueError
        If the documentation has too few objects to ask about.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    documents = _about(load_docstrings("train", packages=PACKAGES, progress=False), _BYTES)
    names = set[str]()
    for number, document in enumerate(documents):
        versions = {"": document.text}
        if number % _EVERY_COPY == 0:
            versions[" (old)"] = f"{document.text}\n\nThis is an earlier version of the text above."
        elif number % _EVERY_DRAFT == 1:
            versions[" (draft)"] = document.text[: round(_DRAFT * len(document.text))]
        for ending, text in versions.items():
            name = f"{document.meta['object']}{ending}.txt"
            (folder / name).write_text(text, encoding="utf-8")
            names.add(name)
    write_questions(conversations, _of_objects(documents, n_questions), WORDINGS)
    return len(names)


def _about(documents: Sequence[Document], n_bytes: int) -> list[Document]:
    """Draw documents of about so many bytes; not by the hash of their text, which a split may go by."""
    share = min(n_bytes / sum(len(each.text.encode()) for each in documents), 1.0)
    drawn = Random(0).sample(range(len(documents)), round(share * len(documents)))
    return sorted((documents[number] for number in drawn), key=lambda each: str(each.meta["object"]))


def _of_objects(documents: Iterable[Document], n: int) -> list[tuple[str, str]]:
    """Return names of objects, each with the sentence that says what it does; no name and no sentence occurs twice."""
    found: dict[str, str] = {}
    for document in documents:
        name = str(document.meta["object"]).rpartition(".")[2]
        summary = parse_docstring(document.text).summary
        is_short = len(summary) in _ANSWER and summary.isascii()
        if _NAME.fullmatch(name) and is_short and name not in found and summary not in found.values():
            found[name] = summary
    if len(found) < n:
        raise ValueError(f"the documentation has {len(found)} objects to ask about; {n} are needed")
    names = [document.text for document in sample([Document(name) for name in found], n)]
    return [(name, found[name]) for name in names]


def opening_questions(texts: Iterable[str], n: int = 50) -> list[tuple[str, str]]:
    """Return the first words of texts, each with the words that follow, for those who have written no questions."""
    found: dict[str, str] = {}
    for text in texts:
        words = text.split()
        opening, rest = " ".join(words[:5]), " ".join(words[5:15])
        if rest and opening not in found and rest not in found.values():
            found[opening] = rest
        if len(found) == n:
            break
    return list(found.items())


def write_questions(
    path: str | os.PathLike[str], pairs: Iterable[tuple[str, str]], wordings: Sequence[str] = _GOES_ON
) -> None:
    """Write what is asked about, and the answers, as conversations: a line per wording.

    Parameters
    ----------
    pairs
        The name or the words that a question is about, and its answer.
    wordings
        Ways to ask, each with ``{}`` in place of what is asked about.
    """

    def lines() -> Iterator[str]:
        for what, answer in pairs:
            for wording in wordings:
                yield json.dumps({"question": wording.format(what), "answer": answer}, ensure_ascii=False)

    Path(path).write_text("\n".join(lines()) + "\n", encoding="utf-8")
