"""The command: a campaign of more than a thousand faults, and a table of what survived.

It takes up a campaign that was interrupted. A full one writes ``results/faults.json`` and ``results/faults.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from faults.campaign import Fault, Journal, Kind, Outcome, plan, run
from faults.forked import check_single_thread
from faults.kinds import all_kinds
from faults.report import as_json, lost_of, rows_of, table, write

ROOT = Path(__file__).resolve().parents[2]
console = Console()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a campaign; the status is 1 if a fault was lost."""
    given = _parse(arguments)
    kinds = _chosen(given.kinds)
    if given.list:
        for kind in kinds:
            console.print(f"[bold]{kind.name}[/]: survived if {kind.survived}", highlight=False)
        return 0
    folder: Path = given.folder
    seed = given.seed
    if seed is None:
        known = None if given.afresh else Journal.seed_of(folder / "journal.jsonl")
        seed = secrets.randbelow(10**6) if known is None else known
    campaign = {
        "seed": seed,
        "quick": given.quick,
        "kinds": [kind.name for kind in kinds],
        "fault": given.fault,
    }
    planned = plan(kinds, seed, given.quick)
    if given.fault:
        planned = [(kinds[0], tuple(json.loads(given.fault)))]
    if given.afresh or given.fault:
        (folder / "journal.jsonl").unlink(missing_ok=True)
    journal = Journal(folder / "journal.jsonl", campaign)
    n_done = len(journal.outcomes())
    if n_done == len(planned):
        console.print(f"a campaign with the seed {seed} is finished; --afresh begins another")
    console.print(
        f"{len(planned):,} faults of {len(kinds)} kinds, seed {seed}" + f", {n_done:,} done" * bool(n_done)
    )
    _load_everything()
    outcomes = _watched(planned, journal, folder, given.jobs)
    _finish(planned, outcomes, campaign, folder, is_full=not (given.quick or given.kinds or given.fault))
    return int(bool(lost_of(outcomes)))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="try only a few faults of each kind")
    parser.add_argument("--kinds", default="", help="parts of the names of kinds, with commas between them")
    parser.add_argument("--list", action="store_true", help="list the kinds, and when a fault is survived")
    parser.add_argument(
        "--seed", type=int, help="by default that of the interrupted campaign, or a random one"
    )
    parser.add_argument(
        "--fault", help="only this fault, as faults.json gives it, of the kind named by --kinds"
    )
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="faults tried at once")
    parser.add_argument(
        "--afresh", action="store_true", help="begin again, rather than take up what is there"
    )
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "runs" / "faults", help="for work and the journal"
    )
    return parser.parse_args(arguments)


def _chosen(names: str) -> list[Kind]:
    kinds = all_kinds()
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    chosen = [kind for kind in kinds if not wanted or any(name in kind.name for name in wanted)]
    if unknown := [name for name in wanted if not any(name in kind.name for kind in kinds)]:
        sys.exit(
            f"no kind has {unknown[0]!r} in its name; there are: {', '.join(kind.name for kind in kinds)}"
        )
    return chosen


def _load_everything() -> None:
    """Load what the faults need, so that each process has it already."""
    import torch
    import torch._dynamo
    from tqdm import tqdm

    import minillm_lib.cli.main
    import minillm_lib.topics.topic_model
    import minillm_lib.training.stages  # noqa: F401

    tqdm.monitor_interval = 0  # otherwise the first bar starts a thread
    torch.set_num_threads(1)
    check_single_thread()


def _watched(
    planned: Sequence[tuple[Kind, Fault]], journal: Journal, folder: Path, jobs: int
) -> dict[int, Outcome]:
    outcomes: dict[int, Outcome] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TextColumn("{task.fields[lost]} lost"), TimeElapsedColumn(), TimeRemainingColumn())
    # It draws itself in this thread only: another one would forbid forking.
    with Progress(*columns, *times, console=console, auto_refresh=False) as bar:
        task = bar.add_task("faults", total=len(planned), lost=0)
        said: set[int] = set()
        for outcomes in run(planned, journal, folder, jobs):
            lost = lost_of(outcomes)
            for each in lost:
                if each.number not in said:
                    said.add(each.number)
                    said_line = f"lost: {each.kind} {json.dumps(each.fault)}: {each.detail}"
                    bar.console.print(said_line, markup=False, highlight=False, soft_wrap=True)
            bar.update(task, completed=len(outcomes), lost=len(lost))
            bar.refresh()
    return outcomes


def _finish(
    planned: Sequence[tuple[Kind, Fault]],
    outcomes: dict[int, Outcome],
    campaign: dict[str, object],
    folder: Path,
    *,
    is_full: bool,
) -> None:
    rows = rows_of(planned, outcomes)
    console.print(table(rows))
    seconds = sum(each.seconds for each in outcomes.values())
    target = ROOT / "results" if is_full else folder
    write(target, rows, as_json(rows, outcomes, campaign, seconds), int(str(campaign["seed"])))
    console.print(f"written: {target / 'faults.json'} and {target / 'faults.md'}")
    for each in folder.glob("worker-*"):
        shutil.rmtree(each, ignore_errors=True)
    if lost_of(outcomes):
        console.print("once more: make faults ARGS=\"--kinds 'KIND' --fault 'FAULT'\"", markup=False)
