"""``minillm progress``: which exercises of the course are passed, attempted and open."""

from __future__ import annotations

import typer
from rich.columns import Columns
from rich.table import Table

from minillm_lib.cli.options import console
from minillm_lib.io.terminal import styled

progress_app = typer.Typer()
_STYLES = {"passed": "green", "attempted": "red", "open": "dim"}
_MARKS = {"passed": "✓", "attempted": "✗", "open": "○"}


@progress_app.command()
def progress() -> None:
    """Show which exercises of the course you have passed, attempted, and not begun yet."""
    from minillm_lib.checks.progress_file import progress_file
    from minillm_lib.checks.progress_table import progress as current

    state = current()
    table = Table("notebook", "passed", "exercises")
    for notebook, count, exercises in state.rows():
        names = [styled((f"{_MARKS[one]} {name}", _STYLES[one])) for name, one in exercises]
        table.add_row(notebook, count, Columns(names, padding=(0, 2)))
    table.caption = state.summary
    console.print(table)
    place = progress_file()
    kept = f"kept in {place}" if place is not None else "not kept, as MINILLM_PROGRESS is off"
    console.print(kept, style="dim", highlight=False, soft_wrap=True)
