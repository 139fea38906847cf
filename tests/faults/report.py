"""The table of a campaign: on the terminal, as JSON and as Markdown."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from faults.campaign import Fault, Kind, Outcome


@dataclass(frozen=True)
class Row:
    """What became of the faults of a kind; ``why_not`` says why some could not be tried."""

    kind: str
    tried: int
    survived: int
    lost: int
    not_possible: int
    why_not: str
    criterion: str


def rows_of(planned: Sequence[tuple[Kind, Fault]], outcomes: Mapping[int, Outcome]) -> list[Row]:
    """Count the outcomes of each kind."""
    rows = []
    for kind in dict.fromkeys(kind for kind, _ in planned):
        own = [each for each in outcomes.values() if each.kind == kind.name]
        counts = Counter(each.outcome for each in own)
        reasons = sorted({each.detail for each in own if each.outcome == "not possible here"})
        tried = counts["survived"] + counts["lost"]
        rows.append(
            Row(
                kind.name,
                tried,
                counts["survived"],
                counts["lost"],
                counts["not possible here"],
                "; ".join(reasons),
                kind.survived,
            )
        )
    return rows


def lost_of(outcomes: Mapping[int, Outcome]) -> list[Outcome]:
    """Return the faults that did harm, in order."""
    return [each for _, each in sorted(outcomes.items()) if each.outcome == "lost"]


def table(rows: Sequence[Row]) -> Table:
    """Return the table for a terminal."""
    shown = Table("kind", title="Faults", title_justify="left", show_footer=True)
    shown.columns[0].footer = "all"
    for name in ("tried", "survived", "lost"):
        total = sum(getattr(row, name) for row in rows)
        shown.add_column(name, footer=f"{total:,}", justify="right")
    shown.add_column("note")
    for row in rows:
        note = f"{row.not_possible} not possible here: {row.why_not}" if row.not_possible else ""
        lost = f"[bold red]{row.lost}[/]" if row.lost else "0"
        shown.add_row(escape(row.kind), f"{row.tried:,}", f"{row.survived:,}", lost, escape(note))
    return shown


def as_json(
    rows: Sequence[Row], outcomes: Mapping[int, Outcome], campaign: Mapping[str, Any], seconds: float
) -> str:
    """Return the file ``results/faults.json``: the table, and each fault that was lost."""
    import numpy
    import torch

    machine = {"system": platform.system(), "python": platform.python_version()}
    versions = {"torch": torch.__version__, "numpy": numpy.__version__}
    content = {
        **campaign,
        "seconds_of_work": round(seconds),
        "machine": machine | versions,
        "kinds": [asdict(row) for row in rows],
        "lost": [
            {"kind": each.kind, "fault": each.fault, "detail": each.detail} for each in lost_of(outcomes)
        ],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def as_markdown(rows: Sequence[Row], seed: int) -> str:
    """Return the table for SECURITY.md."""
    lines = ["| kind of fault | tried | survived | lost |", "| --- | ---: | ---: | ---: |"]
    lines += [f"| {row.kind} | {row.tried:,} | {row.survived:,} | {row.lost:,} |" for row in rows]
    total = [sum(getattr(row, name) for row in rows) for name in ("tried", "survived", "lost")]
    lines.append(f"| **all** | {' | '.join(f'**{number:,}**' for number in total)} |")
    lines += ["", f"Seed {seed}. A fault counts as survived if:", ""]
    for criterion in dict.fromkeys(row.criterion for row in rows):
        names = [row.kind for row in rows if row.criterion == criterion]
        lines.append(f"- {_joined(names)}: {criterion}.")
    notes = [
        f"- {row.kind}: {row.not_possible} could not be tried: {row.why_not}." for row in rows if row.why_not
    ]
    return "\n".join([*lines, *(["", *notes] if notes else [])]) + "\n"


def _joined(names: Sequence[str]) -> str:
    first = names[0].partition(" ")[0]
    if len(names) > 1 and all(name.startswith(f"{first} ") for name in names):
        return f"{first} {', '.join(name.removeprefix(f'{first} ') for name in names)}"
    return ", ".join(names)


def write(folder: Path, rows: Sequence[Row], json_text: str, seed: int) -> None:
    """Write both files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "faults.json").write_text(json_text, encoding="utf-8")
    (folder / "faults.md").write_text(as_markdown(rows, seed), encoding="utf-8")
