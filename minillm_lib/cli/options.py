"""What several commands share: consoles, options with one meaning everywhere, and how results are announced."""

from __future__ import annotations

import warnings
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from minillm_lib.io.terminal import PrintableConsole, printable, styled

if TYPE_CHECKING:
    from minillm_lib.model.decoder import MiniLLM

console = PrintableConsole()
notes = PrintableConsole(stderr=True, style="dim", highlight=False)

Language = Literal["en", "zh"]

OpenReport = Annotated[
    bool, typer.Option("--open", help="Open the report in the browser.", rich_help_panel="The report")
]
ReportLanguage = Annotated[
    Language, typer.Option(help="Language of the report.", rich_help_panel="The report")
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, mps …; the best available one by default.")]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        "--ckpt",
        help="A checkpoint: a directory of this package or of Hugging Face (Llama, Qwen2, Qwen3, MiniMind), a .pt "
        "file, or a .pth of MiniMind. By default checkpoints/sft.pt or, if there is none, the 26 M model of the "
        "repository.",
    ),
]
TokenizerOption = Annotated[
    Path | None,
    typer.Option(
        "--tokenizer",
        help="Another tokenizer than the checkpoint's own: a tokenizer.model, a tokenizer.json, or a folder with one.",
    ),
]
NoVerify = Annotated[
    bool,
    typer.Option(
        "--no-verify",
        help="Load a checkpoint as it is, damaged or changed on purpose: its files are not compared with their "
        "checksums, and weights may be infinite or no numbers. Names, shapes and the tokenizer are still checked.",
    ),
]
CorpusOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        help="An option of the corpus, such as n=500 or years=2017,2018; `minillm data list` names them.",
        metavar="NAME=VALUE",
    ),
]
Split = Annotated[str, typer.Option(help="train, validation, test or all.")]
OVERRIDES = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Settings of a command that takes any key of a configuration as an option."""

TRAINED = Path("checkpoints/sft.pt")


def announce_report(path: Path, wanted: bool) -> None:
    """Say where a report is and how large, and open it in the browser if that is wanted."""
    console.print(
        styled("The report: ", (path, "bold"), f" ({path.stat().st_size / 2**20:.1f} MiB)"),
        highlight=False,
        soft_wrap=True,
    )
    if wanted:
        webbrowser.open(path.resolve().as_uri())


def say(text: str) -> None:
    """Print a line that may hold paths: neither cut nor coloured."""
    console.print(text, highlight=False, soft_wrap=True)


def show_warnings_plainly() -> None:
    """Print warnings without the line of code that they come from."""
    warnings.formatwarning = lambda message, *_, **__: f"warning: {printable(message)}\n"


def parse_options(
    options: Sequence[str] | None, flag: str = "--option", example: str = "years=2017", *, lists: bool = True
) -> dict[str, str | list[str]]:
    """Turn ``["years=2017,2018", "hub=modelscope"]`` into keyword arguments.

    A name that is given twice becomes a list, and, if there may be ``lists``, so does a value with commas.

    Parameters
    ----------
    flag, example
        The option of the command, and what may follow it, for the error.

    Raises
    ------
    ValueError
        If a name or a value is missing.
    """
    values: dict[str, list[str]] = {}
    for option in options or []:
        name, equals, value = option.partition("=")
        if not (name and equals):
            raise ValueError(f"{flag} {option!r}: give a name and a value, such as {example}")
        values.setdefault(name, []).extend(value.split(",") if lists else [value])
    return {name: own if len(own) > 1 else own[0] for name, own in values.items()}


def load_model(
    ckpt: Path | None,
    shipped: Literal["base", "chat"],
    device: str | None = None,
    tokenizer: Path | None = None,
    *,
    verify: bool = True,
) -> MiniLLM:
    """Load a checkpoint for use; without one, the user's own or, if there is none, one of the repository's.

    Raises
    ------
    ValueError
        If the device is not available, or there is no model at all.
    """
    import torch

    from minillm_lib.model.decoder import MiniLLM
    from minillm_lib.model.devices import best_device

    try:
        target = best_device() if device is None else torch.device(device)
        torch.empty(0, device=target)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {device!r} is not available here: {str(error).splitlines()[0]}") from None
    # A processor computes in float32: not all have bfloat16, in which weights may have been saved.
    dtype = torch.float32 if target.type == "cpu" else None
    path = ckpt or own_or_shipped(shipped)
    return MiniLLM.load_from_checkpoint(
        path, device=target, dtype=dtype, tokenizer=tokenizer or True, verify=verify
    )


def own_or_shipped(name: Literal["base", "chat"]) -> Path:
    """Return where the user's own model is or, if there is none, one that came with the repository.

    Raises
    ------
    ValueError
        If there is neither.
    """
    from minillm_lib.io.repository import REPOSITORY

    shipped = REPOSITORY / "results" / "26m" / name
    for path, what in (
        (TRAINED, str(TRAINED)),
        (shipped, f"results/26m/{name}, which came with the course"),
    ):
        if path.exists():
            notes.print(f"the model: {what}")
            return path
    raise ValueError(
        f"no --ckpt is given, there is no {TRAINED} here, and results/26m/{name} is not here either: the 26 M model "
        "is part of the repository, not of the installed package. Clone the repository, give --ckpt, or train a model "
        "with minillm pretrain and minillm sft"
    )
