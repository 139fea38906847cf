"""Reports on cleaning: what each step changed and removed, with examples, as a table and as JSON.

:class:`PipelineReport` is for documents that go through the steps of a
:class:`~minillm_lib.corpora.cleaning.pipeline.CleaningPipeline`, and :class:`CleaningReport` for any other sequence of
steps, on documents, tokens or terms.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from html import escape
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from minillm_lib.corpora.cleaning.step_kinds import STEP_KINDS
from minillm_lib.io.atomic_write import write_atomically

if TYPE_CHECKING:
    from rich.table import Table

_MAX_EXAMPLES = 3
_CONTEXT, _EXCERPT = 20, 80


@dataclass
class PipelineReport:
    """What a cleaning read and kept, and what each of its steps did; ``print(report)`` shows a table.

    The numbers always add up: the documents read are those kept plus those that the steps removed.
    """

    steps: list[StepCounts]
    documents_read: int = 0
    characters_read: int = 0
    documents_kept: int = 0
    characters_kept: int = 0

    @classmethod
    def of_steps(cls, names_and_reasons: Iterable[tuple[str, str]]) -> PipelineReport:
        """Make an empty report on steps with these names and reasons."""
        return cls([StepCounts(name, why) for name, why in names_and_reasons])

    def read(self, characters: int) -> None:
        """Count a document that was read."""
        self.documents_read += 1
        self.characters_read += characters

    def keep(self, characters: int) -> None:
        """Count a document that passed all steps."""
        self.documents_kept += 1
        self.characters_kept += characters

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PipelineReport:
        """Restore a report from the values of :meth:`to_dict`."""
        steps = [
            StepCounts(**{**step, "examples": [Example(**example) for example in step["examples"]]})
            for step in values["steps"]
        ]
        return cls(**{**values, "steps": steps})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report to a JSON file, atomically."""
        write_atomically(
            path, json.dumps(self.to_dict(), ensure_ascii=False, indent=2).encode("utf-8", "backslashreplace")
        )

    def table(self) -> Table:
        """Make a table with a row per step: the documents it changed and removed, and what was left after it."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table("step", box=box.SIMPLE, padding=(0, 1, 0, 0))
        for heading in ("changed", "removed", "documents\nleft", "characters\nleft", "share"):
            table.add_column(heading, justify="right")
        table.add_row("read", "", "", f"{self.documents_read:,}", f"{self.characters_read:,}", "100.0%")
        for step in self.steps:
            share = step.characters_left / max(self.characters_read, 1)
            table.add_row(
                Text.assemble(step.name, (f"\n{step.why}", "dim")),
                f"{step.changed:,}",
                f"{step.removed:,}",
                f"{step.documents_left:,}",
                f"{step.characters_left:,}",
                f"{share:.1%}",
            )
        return table

    def examples_table(self) -> Table:
        """Make a table of a few documents that each step changed or removed, before and after."""
        from rich.table import Table
        from rich.text import Text

        table = Table("step", "document", "before", "after", show_lines=True)
        for step in self.steps:
            for example in step.examples:
                after = Text(f"removed: {example.reason}") if example.reason else Text(repr(example.after))
                table.add_row(step.name, Text(example.source), Text(repr(example.before)), after)
        return table

    def __rich__(self) -> Table:
        return self.table()

    def __str__(self) -> str:
        from minillm_lib.io.terminal import PrintableConsole

        console = PrintableConsole(width=140, color_system=None)
        with console.capture() as capture:
            console.print(self.table())
        return capture.get().rstrip()

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        return self.table()._repr_mimebundle_(**options)


@dataclass
class StepCounts:
    """What one step did with the documents that reached it.

    Attributes
    ----------
    documents, characters
        How much reached the step.
    changed_characters
        By how much the changed texts grew; negative if they shrank.
    removed_characters
        The length of the removed texts.
    reasons
        How many documents were removed for each kind of reason.
    examples
        The first documents that were changed, and the first that were removed for each kind of reason.
    """

    name: str
    why: str
    documents: int = 0
    characters: int = 0
    changed: int = 0
    changed_characters: int = 0
    removed: int = 0
    removed_characters: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)

    @property
    def documents_left(self) -> int:
        """The documents that passed to the next step."""
        return self.documents - self.removed

    @property
    def characters_left(self) -> int:
        """The characters that passed to the next step."""
        return self.characters + self.changed_characters - self.removed_characters

    def reach(self, characters: int) -> None:
        """Count a document that reached the step."""
        self.documents += 1
        self.characters += characters

    def change(self, source: str, growth: int, before: str, after: str) -> None:
        """Count a document that was changed; the first ones are kept as examples."""
        self.changed += 1
        self.changed_characters += growth
        if self.changed <= _MAX_EXAMPLES:
            self.examples.append(Example(source, before, after))

    def remove(self, source: str, characters: int, kind: str, detail: str, text: str) -> None:
        """Count a document that was removed; the first ones of each kind are kept as examples."""
        self.removed += 1
        self.removed_characters += characters
        self.reasons[kind] = self.reasons.get(kind, 0) + 1
        if self.reasons[kind] <= _MAX_EXAMPLES:
            reason = f"{kind} ({detail})" if detail else kind
            self.examples.append(Example(source, _excerpt(text, 0), "", reason))


@dataclass(frozen=True)
class Example:
    """A document that a step changed or removed: excerpts from before and after (empty if it was removed)."""

    source: str
    before: str
    after: str
    reason: str = ""


@dataclass
class CleaningReport:
    """A report on a cleaning, as a list of :class:`CleaningStep`; ``print(report)`` shows it as a table."""

    steps: list[CleaningStep] = field(default_factory=list)

    def record(
        self, name: str, why: str, unit: str, affected: int, total: int, examples: Iterable[str] = ()
    ) -> None:
        """Record a step in words of its own, unless it affected nothing."""
        if affected:
            self.steps.append(CleaningStep(name, why, unit, affected, total, tuple(examples)))

    def count(
        self, key: str, affected: int, total: int, examples: Iterable[str] = (), **values: str | float
    ) -> None:
        """Record a step of a known kind, unless it affected nothing.

        Parameters
        ----------
        key
            The kind, from :data:`~minillm_lib.corpora.cleaning.step_kinds.STEP_KINDS`.
        values
            What the sentences of this kind name in braces.
        """
        if not affected:
            return
        kind = STEP_KINDS[key]
        name, why = kind.name.format(**values), kind.why.format(**values)
        self.steps.append(CleaningStep(name, why, kind.unit, affected, total, tuple(examples), key, values))

    def warnings(self) -> list[str]:
        """Return a sentence about each step that took an alarming share, and how to prevent it."""
        return [
            f"{step.name}: {step.affected:,} of {step.total:,} {step.unit} ({step.affected / step.total:.0%}), "
            f"{step.why}; {STEP_KINDS[step.key].remedy.format(**step.values)}"
            for step in self.steps
            if step.is_alarming
        ]

    def to_list(self) -> list[dict[str, Any]]:
        """Return the steps as plain values, for JSON."""
        return [asdict(step) for step in self.steps]

    @classmethod
    def from_list(cls, steps: Iterable[Mapping[str, Any]]) -> CleaningReport:
        """Restore a report from the values of :meth:`to_list`; older ones have no ``key`` and no ``values``."""
        return cls([CleaningStep(**{**step, "examples": tuple(step["examples"])}) for step in steps])

    def _rows(self) -> list[list[str]]:
        return [
            [
                step.name,
                f"{step.affected:,} of {step.total:,} {step.unit}",
                f"{step.affected / max(step.total, 1):.1%}",
                step.why,
                ", ".join(step.examples),
            ]
            for step in self.steps
        ]

    def __str__(self) -> str:
        rows = [["step", "affected", "share", "why", "for example"], *self._rows()]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return (
            "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
            if self.steps
            else "nothing was changed or dropped"
        )

    def _repr_html_(self) -> str:
        header = "".join(f"<th>{name}</th>" for name in ("step", "affected", "share", "why", "for example"))
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self._rows()
        )
        return f"<table><tr>{header}</tr>{body}</table>"


@dataclass(frozen=True)
class CleaningStep:
    """What one step of cleaning did, and ``why``: it affected ``affected`` of ``total`` documents, tokens or terms.

    Attributes
    ----------
    examples
        Some of what it affected: titles, terms, ``rarer → commoner`` spellings, ``copy = original`` titles (``≈`` for
        near duplicates).
    key, values
        The kind of the step in :data:`~minillm_lib.corpora.cleaning.step_kinds.STEP_KINDS`, and what its sentences
        name in braces, for a translation; empty where the step is of no known kind.
    """

    name: str
    why: str
    unit: str
    affected: int
    total: int
    examples: tuple[str, ...] = ()
    key: str = ""
    values: Mapping[str, str | float] = field(default_factory=dict, hash=False)

    @property
    def is_alarming(self) -> bool:
        """Whether the share is larger than this kind of step takes from ordinary documents."""
        return self.key in STEP_KINDS and self.affected > STEP_KINDS[self.key].alarming * self.total


def around_first_difference(before: str, after: str) -> tuple[str, str]:
    """Return excerpts of two texts, from just before the place where they begin to differ."""
    equal = takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False))
    place = sum(1 for _ in equal)
    return _excerpt(before, place), _excerpt(after, place)


def _excerpt(text: str, place: int) -> str:
    start = max(place - _CONTEXT, 0)
    end = start + _EXCERPT
    return "…" * (start > 0) + text[start:end] + "…" * (end < len(text))
