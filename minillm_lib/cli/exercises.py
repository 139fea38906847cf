"""``minillm exercises``: what an instructor does before handing out an assignment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minillm_lib.cli.options import console, say
from minillm_lib.io.terminal import printable

if TYPE_CHECKING:
    from minillm_lib.checks.self_check import Findings

exercises_app = typer.Typer(
    no_args_is_help=True, help="Try your own exercises before a class is graded by them."
)


@exercises_app.callback()
def _exercises() -> None:
    pass


@exercises_app.command()
def check(
    file: Annotated[
        Path, typer.Argument(help="A Python file that registers exercises by check.register(…).")
    ],
    assignment: Annotated[
        Path | None, typer.Argument(help="The notebook that you hand out, whose checks use them.")
    ] = None,
) -> None:
    """See that references pass, stubs get 0 points, and each misconception gets its own message.

    The exit status is 1 if something would give wrong marks.
    """
    from minillm_lib.checks.assignment import load_exercises
    from minillm_lib.checks.self_check import examine_exercises

    own = load_exercises(file)
    findings = examine_exercises(own, file)
    for found in findings:
        _print(found)
    n_errors = sum(len(found.errors) for found in findings)
    if assignment is not None:
        n_errors += _print_assignment(assignment, {one.name for one in own})
    if n_errors:
        raise typer.Exit(1)


@exercises_app.command()
def student(
    file: Annotated[
        Path, typer.Argument(help="A Python file that registers exercises by check.register(…).")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file to write; mine_student.py for mine.py by default."),
    ] = None,
) -> None:
    """Write what learners get: checks that run without the answers, for `import mine_student` in the notebook.

    Inputs and results are stored in place of the reference and of the
    misconceptions, so that a mistake gets the message that it gets with the full
    file. must_hold=, use= and compare= stay code, which learners can read.

    Named and left out is what cannot be written without the answer: models,
    functions and objects of your own among inputs or results, and code that the
    reference uses too.

    What needs the right answer for other inputs is not found, such as "right for
    -x in the place of x". `.function` raises an error until the learner's own
    function has passed. The stored results can be copied by a learner; grading
    finds that out, since it draws other inputs. Exercises with few different
    inputs are named, since there it does not.
    """
    from minillm_lib.checks.assignment import load_exercises, module_for_learners
    from minillm_lib.checks.self_check import examine_exercises
    from minillm_lib.checks.storing import FIRST_LINE, student_file
    from minillm_lib.io.atomic_write import write_atomically

    target = output or file.with_name(f"{module_for_learners(file)}.py")
    if not (target.suffix == ".py" and target.stem.isidentifier()):
        raise ValueError(f"{target} cannot be imported: name a file like mine_student.py")
    if target.exists() and not target.read_text(encoding="utf-8", errors="replace").startswith(FIRST_LINE):
        raise ValueError(
            f"{target} is there, and was not written by this command: give another name by --output"
        )
    own = load_exercises(file)
    wrong = [f"{found.exercise}: {error}" for found in examine_exercises(own, file) for error in found.errors]
    if wrong:
        raise ValueError("\n".join([f"{file} would give wrong marks, so nothing was written.", *wrong]))
    made = student_file(file, target.stem)
    for name, note in made.checked.items():
        say(f"✓ {name}: checked without the answer{f', but {note}' if note else ''}")
    for name, reason in made.given_away.items():
        say(f"! {name}: a learner can pass by copying what is stored, since {reason}")
    for name, reason in made.unchecked.items():
        say(
            f"! {name}: cannot be written without the answer, since {reason}. Learners are told that it is graded"
        )
    write_atomically(target, made.text.encode())
    size = f"{len(made.text) / 1000:,.0f} kB"
    say(f"written: {target} ({size}). It goes beside the notebook, which begins with `import {target.stem}`.")


def _print(found: Findings) -> None:
    n = found.n_misconceptions
    mistakes = f"{n} misconception{'' if n == 1 else 's'}"
    if not found.errors:
        told = " told apart" if not found.warnings and n else ""
        right = (
            "the reference passes" if found.has_reference else "no reference, so no right answer was tried"
        )
        say(f"✓ {found.exercise}: {right}, a stub gets 0 of {found.points:g} points, {mistakes}{told}")
    for error in found.errors:
        console.print(
            printable(f"✗ {found.exercise}: {error}"), markup=False, highlight=False, soft_wrap=True
        )
    for warning in found.warnings:
        console.print(
            printable(f"! {found.exercise}: {warning}"), markup=False, highlight=False, soft_wrap=True
        )


def _print_assignment(path: Path, own: set[str]) -> int:
    """Say what the notebook is graded for, and return the number of errors."""
    from minillm_lib.checks.assignment import read_assignment
    from minillm_lib.checks.submission import code_cells, defines, read_notebook

    assignment = read_assignment(path)
    cells = code_cells(read_notebook(path))
    say(f"{path} is graded for {assignment.max_points:g} points:")
    for exercise in assignment.exercises:
        answer = assignment.answers[exercise.name]
        where = "" if answer == exercise.name else f", by the learner's `{answer}`"
        say(f"  {exercise.name}: {exercise.points:g}{where}")
        if not any(defines(source, answer) for source in cells):
            say(f"! no cell of {path} defines `{answer}`: learners have nothing to fill in")
    unused = sorted(own - {exercise.name for exercise in assignment.exercises})
    if unused:
        say(f"! {path} does not check {', '.join(unused)}")
    return 0
