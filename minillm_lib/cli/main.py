"""The ``minillm`` command. Each subcommand calls a few public functions; heavy imports wait until one is called."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import rich_utils
from typer.core import TyperGroup

from minillm_lib.cli.evaluate import eval_app
from minillm_lib.cli.exercises import exercises_app
from minillm_lib.cli.failures import flushed, status_of
from minillm_lib.cli.grade import grade_app
from minillm_lib.cli.init import init_app
from minillm_lib.cli.lda import lda_app
from minillm_lib.cli.model import model_app
from minillm_lib.cli.options import (
    OpenReport,
    ReportLanguage,
    announce_report,
    console,
    show_warnings_plainly,
)
from minillm_lib.cli.progress import progress_app
from minillm_lib.cli.runs import runs_app
from minillm_lib.cli.serve import serve_app
from minillm_lib.cli.text import data_app, tokenizer_app
from minillm_lib.cli.topics import topics_app
from minillm_lib.cli.train import train_app
from minillm_lib.io.terminal import PrintableConsole, make_output_safe


class _Commands(TyperGroup):
    """The commands; one that is interrupted ends in a line, as every mistake does."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, BrokenPipeError) as error:  # of which typer would make its own status
            raise typer.Exit(status_of(error)) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From topic models to language models: LDA by Gibbs sampling, and a decoder small enough to be taught.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from minillm_lib import __version__

        console.print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    pass


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the HTML report goes.")] = Path(
        "demo-report.html"
    ),
    folder: Annotated[Path, typer.Option(help="Folder for the runs and their models.")] = Path("runs/demo"),
    report_language: ReportLanguage = "en",
    quick: Annotated[
        bool, typer.Option("--quick", help="Take only a few steps of everything, to see that it runs.")
    ] = False,
    open_report: OpenReport = False,
) -> None:
    """See it all: ten topics of 1,000 NeurIPS papers, then a small language model that learns to answer.

    Everything is computed here, offline; an HTML report shows it.
    """
    from minillm_lib.demo import DemoInterrupted, run_demo

    try:
        way = run_demo(output, folder=folder, language=report_language, quick=quick)
    except DemoInterrupted as stop:
        raise typer.Exit(128 + stop.signal) from None
    announce_report(output, open_report)
    assert way.sft is not None
    console.print(f"next: minillm chat --ckpt {way.sft.output}", style="dim", highlight=False, soft_wrap=True)


# The order in which `minillm --help` lists the commands.
app.add_typer(lda_app)
app.add_typer(topics_app, name="topics")
app.add_typer(model_app)
app.add_typer(serve_app)
app.add_typer(eval_app)
app.add_typer(init_app)
app.add_typer(train_app)
app.add_typer(runs_app)
app.add_typer(data_app, name="data")
app.add_typer(tokenizer_app, name="tokenizer")
app.add_typer(progress_app)
app.add_typer(grade_app)
app.add_typer(exercises_app, name="exercises")


def main() -> None:
    """Run the command; whatever goes wrong ends in one line, not in a traceback (set MINILLM_DEBUG=1 to see it)."""
    sys.exit(_status())


def _status() -> int:
    """Run the command, and return its exit status."""
    try:
        make_output_safe()
        # For --help and wrong options:
        rich_utils.Console = partial(PrintableConsole, markup=True)  # type: ignore[assignment,misc]
        show_warnings_plainly()
        app()
        code: Any = 0
    except SystemExit as end:
        code = end.code
    except BaseException as error:
        return status_of(error)
    return flushed(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    main()
