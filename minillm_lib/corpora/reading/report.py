"""What became of the input: what was read, what was taken for what, what was skipped, and when that is too much."""

from __future__ import annotations

import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, TypeVar

from minillm_lib.io.terminal import printable
from minillm_lib.io.wording import number_of

_SHOWN_FAULTS = 20
_SHOWN_NAMES = 5
_SHOWN_PLACES = 2
_SHOWN_ENDINGS = 8
_SHOWN_CHARACTERS = 1000
_LEAST_RECORDS = 100
_TOLERATED_ANYWAY = 3
_Found = TypeVar("_Found")
TextUnit = Literal["file", "paragraph", "line"]
"""What a document is in a text."""


class ReadError(ValueError):
    """Too much of the input is broken, or it cannot be read at all."""


class Unusable(Exception):  # noqa: N818 (it is no error of the program; it ends the reading of one file)
    """A file cannot be read; the message is the reason, in words that do not name the file."""


def shown(path: str | os.PathLike[str]) -> str:
    r"""Return a path as it may be printed: control characters, and bytes that are no text, are escaped.

    >>> print(shown("a\x1b[31m.txt"))
    a\x1b[31m.txt
    """
    return printable(os.fspath(path)).replace("\n", "\\n").replace("\t", "\\t")


@dataclass(frozen=True)
class Fault:
    """One record that could not be used: ``place`` is its file and line, ``kind`` the general reason.

    A record that ``is_empty`` has no text. It is left out and counted, but it is not broken.
    """

    place: str
    kind: str
    detail: str = ""
    is_empty: bool = False

    def __str__(self) -> str:
        return f"{self.place}: {self.kind}" + (f" ({self.detail})" if self.detail else "")


class PassedOver(NamedTuple):
    """A file, folder or sheet that was not read, and the reason."""

    path: str
    reason: str

    @property
    def ending(self) -> str:
        """The ending of its name in lower case; empty if there is none, and for a sheet."""
        return "" if self.path.endswith("]") else Path(self.path).suffix.lower()


@dataclass
class _Note:
    places: list[str] = field(default_factory=list)
    n: int = 0
    is_doubtful: bool = False


@dataclass
class ReadReport:
    """What was read and what was not; complete once the documents have been read to the end.

    Attributes
    ----------
    files, documents
        Number of files and of documents that were read.
    by_ending
        How many of these files have which ending.
    by_kind
        How many records could not be used, by the reason.
    n_empty
        How many records have no text, such as empty cells of a table; they are left out, and are not broken.
    faults
        The first twenty of them.
    passed_over
        Files, folders and sheets that were not read, each with the reason: images, hidden files, broken PDFs.
    empty_files
        Files without content.
    replaced_bytes
        By file, how many bytes were wrong in the encoding and became U+FFFD.
    unit
        What a document is in the texts: ``"file"``, ``"paragraph"`` or ``"line"``; None if there were none but tables.
    spelling
        Takes the name of an option of the reader, and returns how it is called where it is given, such as the option of
        a command.
    """

    thing: ClassVar[str] = "document"
    lacking: ClassVar[str] = "text"
    files: int = 0
    documents: int = 0
    by_ending: Counter[str] = field(default_factory=Counter)
    by_kind: Counter[str] = field(default_factory=Counter)
    n_empty: int = 0
    faults: list[Fault] = field(default_factory=list)
    passed_over: list[PassedOver] = field(default_factory=list)
    empty_files: list[str] = field(default_factory=list)
    replaced_bytes: Counter[str] = field(default_factory=Counter)
    unit: TextUnit | None = None
    spelling: Callable[[str], str] = field(default=str, repr=False)
    _empty: list[str] = field(default_factory=list, repr=False)
    _notes: dict[str, _Note] = field(default_factory=dict, repr=False)

    @property
    def notes(self) -> list[str]:
        """What was guessed, a sentence each: what a document is, encodings, columns, and how to say otherwise."""
        return [_with_places(sentence, note) for sentence, note in self._notes.items()]

    @property
    def doubts(self) -> list[str]:
        """Those of the notes that are uncertain."""
        return [_with_places(sentence, note) for sentence, note in self._notes.items() if note.is_doubtful]

    @property
    def n_faulty(self) -> int:
        """How many records could not be used."""
        return self.by_kind.total()

    @property
    def n_records(self) -> int:
        """How many records with a text there were, usable or not."""
        return self.n_faulty + self.documents

    @property
    def faulty_share(self) -> float:
        """The share of records that could not be used, from 0 to 1."""
        return self.n_faulty / max(self.n_records, 1)

    @property
    def is_worth_a_warning(self) -> bool:
        """Whether anything was left out or changed, or a guess is uncertain."""
        left_out = self.n_faulty or self.n_empty or self.empty_files or self.passed_over
        return bool(left_out or self.replaced_bytes or self.doubts)

    def add(self, fault: Fault) -> None:
        """Count a record that cannot be used, and keep it if it is one of the first."""
        if fault.is_empty:
            self.n_empty += 1
            if len(self._empty) < _SHOWN_NAMES:
                self._empty.append(fault.place)
            return
        self.by_kind[fault.kind] += 1
        if len(self.faults) < _SHOWN_FAULTS:
            self.faults.append(replace(fault, detail=_shortened(fault.detail)))

    def pass_over(self, path: str | os.PathLike[str], reason: str) -> None:
        """Count and name a file that is not read."""
        self.passed_over.append(PassedOver(shown(path), _shortened(reason)))

    def note(
        self, sentence: str, place: str | os.PathLike[str] | None = None, *, doubtful: bool = False
    ) -> None:
        """Add to :attr:`notes`; a sentence that holds for several places is said once, with the first of them."""
        note = self._notes.setdefault(_shortened(sentence), _Note())
        note.is_doubtful |= doubtful
        if place is None or shown(place) in note.places:
            return
        note.n += 1
        if len(note.places) < _SHOWN_PLACES:
            note.places.append(shown(place))

    def check(self, max_faulty_share: float) -> None:
        """Check that not more than this share of the records is broken; three are allowed if most records are good.

        Raises
        ------
        ReadError
            If more are; the message holds the report. With a share of 0, one is too many.
        """
        few = _TOLERATED_ANYWAY if max_faulty_share > 0 and 2 * self.n_faulty < self.n_records else 0
        if self.n_faulty > max(max_faulty_share * self.n_records, few):
            if 2 * self.n_faulty > self.n_records:
                raise ReadError(
                    f"{self.n_faulty:,} of {self.n_records:,} records could not be used, so this is probably not what "
                    f"it was read as; what is wrong with the first of them stands below\n{self}"
                )
            raise ReadError(
                f"more than {max_faulty_share:.2%} of the records are broken; to skip more of them, raise "
                f"{self.spelling('max_faulty_share')}, a share from 0 to 1\n{self}"
            )

    def __str__(self) -> str:
        endings = ", ".join(
            f"{number:,} {ending or 'without an ending'}"
            for ending, number in self.by_ending.most_common(_SHOWN_ENDINGS)
        ) + " …" * (len(self.by_ending) > _SHOWN_ENDINGS)
        files = number_of(self.files, "file") + f" ({endings})" * bool(endings)
        lines = [f"{number_of(self.documents, self.thing)} from {files}", *self.notes]
        if self.n_faulty:
            kinds = ", ".join(f"{kind} ({number:,})" for kind, number in self.by_kind.most_common())
            records = f"{number_of(self.n_faulty, 'record')} ({self.faulty_share:.2%})"
            lines.append(f"{records} could not be used: {kinds}")
            lines += [f"  {fault}" for fault in self.faults]
            more = self.n_faulty - len(self.faults)
            lines += [f"  … and {more:,} more"] * (more > 0)
        if self.n_empty:
            records = number_of(self.n_empty, "record")
            share = self.n_empty / (self.n_empty + self.n_records)
            places = ", ".join(self._empty) + " …" * (self.n_empty > len(self._empty))
            lines.append(f"{records} ({share:.2%}) without {self.lacking} left out: {places}")
        for path, n_bytes in self.replaced_bytes.most_common(_SHOWN_NAMES):
            lines.append(
                f"{path}: {number_of(n_bytes, 'byte')} not valid in the encoding, replaced by U+FFFD"
            )
        if (more := len(self.replaced_bytes) - _SHOWN_NAMES) > 0:
            lines.append(f"and in {number_of(more, 'more file')} bytes were replaced")
        if self.empty_files:
            lines.append(f"{number_of(len(self.empty_files), 'file')} empty: {_few(self.empty_files)}")
        return "\n".join([*lines, *self._passed_over_lines()])

    def _passed_over_lines(self) -> Iterator[str]:
        if not self.passed_over:
            return
        yield f"{number_of(len(self.passed_over), 'file')} passed over:"
        groups: dict[tuple[str, str], list[str]] = defaultdict(list)
        for each in self.passed_over:
            groups[each.reason, each.ending].append(each.path)
        for (reason, ending), paths in sorted(groups.items(), key=lambda group: -len(group[1])):
            yield f"  {len(paths):,}{f' {ending}' if ending else ''}, {reason}: {_few(paths)}"


def _few(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN_NAMES]) + " …" * (len(names) > _SHOWN_NAMES)


def _shortened(sentence: str) -> str:
    """Return a sentence without its middle if it is long, as where it lists the names of a million columns."""
    if len(sentence) <= _SHOWN_CHARACTERS:
        return sentence
    return f"{sentence[: _SHOWN_CHARACTERS // 2]} … {sentence[-_SHOWN_CHARACTERS // 2 :]}"


def _with_places(sentence: str, note: _Note) -> str:
    if not note.n:
        return sentence
    files = f"{number_of(note.n, 'file')}: " * (note.n > 1)
    return f"{sentence} ({files}{', '.join(note.places)}{' …' * (note.n > len(note.places))})"


def without_faults(
    found: Iterable[_Found | Fault], report: ReadReport, max_faulty_share: float
) -> Iterator[_Found]:
    """Yield the valid records; the report counts along, and a warning says at the end what was left out.

    Raises
    ------
    ValueError
        At the call, for an invalid share.
    ReadError
        While reading, as soon as too many records are broken (see :meth:`ReadReport.check`), judged from one hundred
        records on (with 0, from the first) and at the end; and at the end if there was nothing to read.
    """
    if not 0 <= max_faulty_share <= 1:
        raise ValueError(f"max_faulty_share is {max_faulty_share}; allowed is a share from 0 to 1")

    def stream() -> Iterator[_Found]:
        for item in found:
            if not isinstance(item, Fault):
                report.documents += 1
                yield item
                continue
            report.add(item)
            if max_faulty_share == 0 or report.n_records >= _LEAST_RECORDS:
                report.check(max_faulty_share)
        report.check(max_faulty_share)
        if not report.documents:
            raise ReadError(f"there is no {report.thing} to read\n{report}")
        if report.is_worth_a_warning:
            warnings.warn(str(report), stacklevel=2)

    return stream()
