"""``minillm eval``: what models know, on questions, on texts and on the tasks of lm-evaluation-harness."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table

from minillm_lib.cli.options import (
    Device,
    NoVerify,
    TokenizerOption,
    console,
    notes,
    own_or_shipped,
    say,
    show_warnings_plainly,
)
from minillm_lib.cli.reading_options import (
    DOCUMENTS_PANEL,
    Encoding,
    MaxFaulty,
    MaxRecordBytes,
    Reading,
    TextKey,
    open_documents,
)
from minillm_lib.corpora.reading.units import DocumentUnit
from minillm_lib.io.terminal import styled

if TYPE_CHECKING:
    from minillm_lib.evaluation.results import Evaluation

eval_app = typer.Typer()

_LONGEST_USUAL = len("25.9–38.3")
_LINE = re.compile(r":\d+$")
_EXPLAINED = {
    "acc": "the likeliest answer is the right one",
    "acc_bytes": "the same, by log probability per byte, so that short answers have no advantage",
    "acc_mutual_info": "the same, by how much the question makes an answer likelier than it is alone",
    "bits_per_byte": "the loss per byte of the text; lower is better, and comparable between tokenizers",
    "perplexity": "per token; lower is better, and not comparable between tokenizers",
}


@eval_app.command("eval")
def evaluate(
    ckpt: Annotated[
        list[Path] | None,
        typer.Option(
            "--ckpt",
            help="A checkpoint, or any directory of Hugging Face; several times to compare models side by side. By "
            "default checkpoints/sft.pt or, if there is none, the 26 M model of the repository.",
            show_default=False,
        ),
    ] = None,
    tokenizer: TokenizerOption = None,
    no_verify: NoVerify = False,
    tasks: Annotated[
        str | None,
        typer.Option(
            help="Tasks with commas between them: course-quiz, course-quiz-en, course-quiz-zh, or names of the "
            "harness, such as hellaswag,ceval-valid, whose data comes from the network. By default course-quiz, "
            "unless --text is given.",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            "--text",
            help="A file, a folder or a glob: perplexity and bits per byte; may be given several times.",
            metavar="PATH",
            show_default=False,
            rich_help_panel=DOCUMENTS_PANEL,
        ),
    ] = None,
    documents: Annotated[
        DocumentUnit,
        typer.Option(
            help="What a text is; each one starts without context.", rich_help_panel=DOCUMENTS_PANEL
        ),
    ] = "file",
    text_key: TextKey = None,
    encoding: Encoding = None,
    max_faulty: MaxFaulty = 0.01,
    max_record_bytes: MaxRecordBytes = None,
    stride: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Tokens that are predicted per window; by default half of the model's context, so that all but the "
            "first tokens have at least the other half before them.",
            show_default=False,
            rich_help_panel=DOCUMENTS_PANEL,
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The most questions per task.")] = None,
    num_fewshot: Annotated[
        int | None,
        typer.Option(min=0, help="Solved examples before each question; by default as the task says."),
    ] = None,
    apply_chat_template: Annotated[
        bool,
        typer.Option(
            "--apply-chat-template", help="Put each question as a user's turn, by the model's own template."
        ),
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="The most texts that are computed together.")] = 16,
    device: Device = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write all figures, versions and hashes to this JSON file, after each model.",
        ),
    ] = None,
    list_tasks: Annotated[
        bool,
        typer.Option(
            "--list",
            help="List the tasks and exit; with --tasks 'ceval*', also those of the harness that match.",
        ),
    ] = False,
) -> None:
    """Measure what one or several models know, with chance levels and 95 % intervals.

    Needs the extra `eval`, which brings EleutherAI's lm-evaluation-harness.
    """
    names = [name.strip() for name in (tasks or "").split(",") if name.strip()]
    if list_tasks:
        _list(names)
        return
    from minillm_lib.evaluation.quiz import QUIZ
    from minillm_lib.evaluation.running import evaluate as run

    if output is not None and output.is_dir():
        raise ValueError(f"--output {output} is a folder; give the name of a file")
    show_warnings_plainly()
    read: dict[str, list[str]] = {}
    if text:
        reading = open_documents(
            text,
            unit=documents,
            text_key=text_key,
            encoding=encoding,
            max_faulty=max_faulty,
            max_record_bytes=max_record_bytes,
            strip_markup=False,
        )
        read = _texts_of(reading)
    finished: list[Evaluation] = []

    def keep(result: Evaluation) -> None:
        finished.append(result)
        if output is not None:
            result.save(output)

    try:
        run(
            ckpt or [own_or_shipped("chat")],
            names or ([] if read else [QUIZ]),
            tokenizer=tokenizer,
            texts=read,
            stride=stride,
            limit=limit,
            n_shots=num_fewshot,
            chat=apply_chat_template,
            batch_size=batch_size,
            device=device,
            verify=not no_verify,
            after_each=keep,
        )
    finally:
        if finished:
            show(finished[-1])
            if output is not None:
                say(f"written: {finished[-1].save(output)}")


def _list(patterns: Sequence[str]) -> None:
    from minillm_lib.evaluation.tasks import LOCAL_TASKS, harness_names

    for name, what in LOCAL_TASKS.items():
        say(f"{name}  {what}")
    if not patterns:
        say(
            "and the tasks of lm-evaluation-harness, by name: minillm eval --list --tasks 'ceval*' lists some"
        )
    for pattern in patterns:
        found = harness_names(pattern)
        for name in found:
            say(name)
        notes.print(f"{len(found):,} tasks and groups of the harness match {pattern!r}")


def _texts_of(reading: Reading) -> dict[str, list[str]]:
    """Return the texts of files as they are: Markdown keeps its markup.

    The key is the name of the file, or its path where several files have that name.
    """
    texts: dict[Path, list[str]] = {}
    with reading.said_at_the_end(notes):
        for each in reading.documents:
            texts.setdefault(Path(_LINE.sub("", each.source)), []).append(each.text)
    named = Counter(path.name for path in texts)
    return {path.name if named[path.name] == 1 else str(path): own for path, own in texts.items()}


def show(result: Evaluation) -> None:
    """Print the figures of all models in a table, and what to know about them."""
    rows = result.main_rows()
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0))
    is_tight = console.width < 50 + 12 * len(result.models)
    for name in ("", "metric"):
        table.add_column(name, overflow="fold", max_width=11 if is_tight else None)
    shown = {
        id(score): ["–" if value is None else value.with_interval() for value in values]
        for score, values in rows
    }
    if is_tight:
        shown = {row: [re.sub(r" \((.*)\)", r"\n\1", cell) for cell in cells] for row, cells in shown.items()}
    words = (len(word) for cells in shown.values() for cell in cells for word in cell.split())
    widest = min(_LONGEST_USUAL, max(words, default=1))
    for model in result.models:  # names are folded before numbers are
        table.add_column(model.name, justify="right", overflow="fold", min_width=widest)
    table.add_column("n", justify="right", min_width=7)
    for task, own in groupby(rows, key=lambda row: row[0].task):
        table.add_section()
        chance = next((score for score, _ in rows if score.task == task and score.chance is not None), None)
        guessing = "" if chance is None else f"chance {chance.shown(chance.chance)}"
        table.add_row(styled((task, "bold")), guessing)
        previous = None
        for score, _ in own:
            part = "" if score.part == previous else f"  {score.part}"
            table.add_row(part, score.metric, *shown[id(score)], f"{score.n:,}")
            previous = score.part
    console.print(table)
    for metric in dict.fromkeys(score.metric for score, _ in rows):
        if metric in _EXPLAINED:
            notes.print(f"{metric}: {_EXPLAINED[metric]}")
    where = "Below a figure: its" if is_tight else "In brackets: the"
    notes.print(f"{where} 95 % interval. --output writes every metric of every part.")
    for note in result.notes:
        notes.print(note)
    for model in result.models:
        notes.print(f"{model.name}: {model.facts['parameters']:,} parameters, {model.seconds:.0f} s")
        for note in model.notes:
            notes.print(f"{model.name}: {note}")
