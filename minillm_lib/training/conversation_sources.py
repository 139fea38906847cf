"""The configured sources of conversations: what each gives to train on, what is held out, and what was found in it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from minillm_lib.corpora.conversations import Conversation, ConversationReport, read_conversations
from minillm_lib.corpora.dialogues import load_course_dialogues
from minillm_lib.corpora.docstrings.questions import load_docstring_qa
from minillm_lib.corpora.document import place_of
from minillm_lib.corpora.faq import load_course_faq, reword
from minillm_lib.corpora.hub import HUB_CORPORA, load_hub_conversations
from minillm_lib.corpora.out_of_scope import load_out_of_scope
from minillm_lib.io.wording import number_of
from minillm_lib.training.config import ConversationsConfig
from minillm_lib.training.corpus_text import DataError

OPTION = "the option {} of the source"
_MOST_HELD_OUT = 1000
_OF_THE_COURSE: Mapping[str, Callable[..., list[Conversation]]] = {
    "course-faq": load_course_faq,
    "course-dialogues": load_course_dialogues,
    "out-of-scope": load_out_of_scope,
}


@dataclass
class Division:
    """The conversations of a source.

    Attributes
    ----------
    train, held_out
        Those to train on, and those that are held out.
    lines
        What was read, guessed, changed and left out, in words for the user.
    """

    train: list[Conversation] = field(default_factory=list)
    held_out: list[Conversation] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{number_of(len(self.train), 'conversation')} to train on, {len(self.held_out):,} held out"


def name_of(source: ConversationsConfig) -> str:
    """Return what a source is called in messages."""
    if source.name is not None:
        return source.name
    return ", ".join(map(str, source.paths))


def divided_source(source: ConversationsConfig, fits: Callable[[Conversation], bool]) -> Division:
    """Read a source, and divide its conversations into those to train on and those that are held out.

    Those of the course are divided already. Those of files are divided by a hash of each; of two or more, at least one
    is held out, and at least one is not.

    Parameters
    ----------
    fits
        Whether a conversation fits into a row; where a single one is held out, it is one that does.

    Raises
    ------
    DataError
        If an option is unknown to the source, or questions cannot be reworded.
    """
    try:
        if source.path is not None or source.name in HUB_CORPORA:
            found = _of_files(source, fits)
        elif load := _OF_THE_COURSE.get(source.name or ""):
            found = Division(load("train", **source.options)[: source.most], load("test", **source.options))
        else:
            found = Division(
                list(load_docstring_qa("train", source.most, **source.options)),
                list(load_docstring_qa("test", _MOST_HELD_OUT, **source.options)),
            )
    except TypeError as error:
        raise DataError(f"{name_of(source)}, options {source.options}: {error}") from error
    line = f"{name_of(source)}: {found}"
    if source.rewordings:
        n = len(found.train)
        found.train = _reworded(found.train, source)
        line += f"; the questions are replaced by {number_of(len(found.train), 'rewording')}"
        if left_out := n - len(found.train) // source.rewordings:
            line += (
                f"; left out: {number_of(left_out, 'conversation')} of more than one question and one answer"
            )
    found.lines.append(line + (f"; repeated {source.repeat} times" if source.repeat > 1 else ""))
    return found


def _reworded(conversations: list[Conversation], source: ConversationsConfig) -> list[Conversation]:
    reworded = reword(conversations, source.rewordings)
    if not reworded:
        raise DataError(
            f"{name_of(source)}: rewordings={source.rewordings} needs conversations of one question and "
            "one answer, and there are none; leave rewordings out"
        )
    return reworded


def _of_files(source: ConversationsConfig, fits: Callable[[Conversation], bool]) -> Division:
    report = ConversationReport(spelling=OPTION.format)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the report, which is among the lines
        if source.name is not None:
            conversations = load_hub_conversations(source.name, report=report, **source.options)
        else:
            conversations = read_conversations(source.paths, report=report, **source.options)
        found = _divided(conversations, source)
    found.lines.append(str(report))
    if len(found.train) == source.most:
        found.lines.append(f"not read beyond the first {source.most:,} to train on (most: {source.most})")
    if source.held_out and len(found.train) + len(found.held_out) > 1:
        if not found.held_out:
            _hold_out_one(found, fits)
            found.lines.append(f"held_out: {source.held_out:g} takes none of so few, so one is held out")
        elif not found.train:
            found.train.append(found.held_out.pop())
            found.lines.append(
                f"held_out: {source.held_out:g} takes all of so few, so one is kept to train on"
            )
    return found


def _divided(conversations: Iterator[Conversation], source: ConversationsConfig) -> Division:
    found = Division()
    for conversation in conversations:
        is_held_out = place_of(as_text(conversation)) < source.held_out
        (found.held_out if is_held_out else found.train).append(conversation)
        if len(found.train) == source.most:
            break
    return found


def _hold_out_one(found: Division, fits: Callable[[Conversation], bool]) -> None:
    """Hold out the conversation with the smallest hash of those that fit, and its copies unless all are copies."""
    in_order = sorted(found.train, key=lambda each: place_of(as_text(each)))
    chosen = next(filter(fits, in_order), in_order[0])
    others = [each for each in found.train if each.turns != chosen.turns]
    found.held_out = [each for each in found.train if each.turns == chosen.turns] if others else [chosen]
    found.train = others or found.train[1:]


def as_text(conversation: Conversation) -> str:
    """Return the turns of a conversation as JSON, by which it is recognised again."""
    return json.dumps(conversation.messages, ensure_ascii=False)


def none_held_out(divisions: Iterable[tuple[ConversationsConfig, Division]]) -> str:
    """Return the message of an error, with counts, for sources of which nothing is held out."""
    counts = "; ".join(
        f"{name_of(source)} has {division}, with held_out: {source.held_out:g}"
        for source, division in divisions
    )
    return (
        "no conversation is held out to evaluate on; set held_out of a source of at least 2 conversations above 0 "
        f"({counts})"
    )
