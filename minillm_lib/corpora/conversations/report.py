"""What became of the conversations that were read: formats, and all that was not taken as it stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from minillm_lib.corpora.conversations.turns import Change
from minillm_lib.corpora.reading.report import ReadReport
from minillm_lib.io.wording import number_of


@dataclass
class ConversationReport(ReadReport):
    """A :class:`~minillm_lib.corpora.reading.report.ReadReport` on conversations.

    Attributes
    ----------
    formats
        How many conversations were of which format.
    changes
        How often what was joined, cut, left out or written as text.
    unread
        Keys of turns that are not read, and in how many turns.
    beside
        Keys or columns of records that are no part of the conversation, and in how many records.
    """

    thing: ClassVar[str] = "conversation"
    lacking: ClassVar[str] = "a question or an answer"
    formats: Counter[str] = field(default_factory=Counter)
    changes: Counter[Change] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
    beside: Counter[str] = field(default_factory=Counter)
    _first: dict[Change, str] = field(default_factory=dict, repr=False)

    def count(
        self,
        place: str,
        format: str,
        changes: Mapping[Change, int],
        unread: Mapping[str, int],
        beside: Iterable[str],
    ) -> None:
        """Count a conversation that is read, with what was changed in it."""
        self.formats[format] += 1
        self.unread.update(unread)
        self.beside.update(beside)
        self.changes.update(changes)
        for change in changes:
            self._first.setdefault(change, place)

    @property
    def notes(self) -> list[str]:
        """What was guessed and what was changed, a sentence each."""
        formats = ", ".join(f"{n:,} {name}" for name, n in self.formats.most_common())
        changed = [
            f"{number_of(n, change.what)} {change.outcome} (first: {self._first[change]})"
            for change, n in self.changes.most_common()
        ]
        unread = ", ".join(f"{key} ({n:,})" for key, n in self.unread.most_common())
        beside = ", ".join(f"{key} ({n:,})" for key, n in self.beside.most_common())
        return [
            *([f"format: {formats}"] if formats else []),
            *super().notes,
            *changed,
            *([f"keys of turns that are not read: {unread}"] if unread else []),
            *([f"keys or columns that are no part of a conversation: {beside}"] if beside else []),
        ]
