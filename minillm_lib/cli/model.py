"""``minillm chat``, ``generate`` and ``export``: a trained model in use."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from minillm_lib.cli.options import (
    Checkpoint,
    Device,
    NoVerify,
    TokenizerOption,
    console,
    load_model,
    notes,
    own_or_shipped,
)
from minillm_lib.io.terminal import styled

if TYPE_CHECKING:
    from minillm_lib.cli.terminal_chat import TerminalChat
    from minillm_lib.generation.sampling import SamplingConfig

model_app = typer.Typer()

_FILES_OF_TENSORS = (".safetensors", ".bin", ".onnx")
_SAMPLING = "Sampling"
_Temperature = Annotated[
    float, typer.Option(min=0, help="0 always takes the likeliest token.", rich_help_panel=_SAMPLING)
]
_TopK = Annotated[
    int | None, typer.Option(min=1, help="Draw among this many likeliest tokens.", rich_help_panel=_SAMPLING)
]
_TopP = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        help="Draw among the likeliest tokens of this total probability.",
        rich_help_panel=_SAMPLING,
    ),
]
_MinP = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        help="Draw among tokens at least this share as likely as the likeliest.",
        rich_help_panel=_SAMPLING,
    ),
]
_RepetitionPenalty = Annotated[
    float,
    typer.Option(help="Above 1, tokens that occurred before become less likely.", rich_help_panel=_SAMPLING),
]
_MaxNewTokens = Annotated[
    int | None, typer.Option(min=1, help="Stop after this many tokens.", rich_help_panel=_SAMPLING)
]
_Seed = Annotated[
    int | None, typer.Option(help="The same seed writes the same text.", rich_help_panel=_SAMPLING)
]
_EXACT = (
    "Compute every token with the model's layers, not on the faster path that differs from them in rounding"
)


@model_app.command()
def chat(
    message: Annotated[
        str | None, typer.Argument(help="A single message; without one, a conversation begins.")
    ] = None,
    ckpt: Checkpoint = None,
    tokenizer: TokenizerOption = None,
    no_verify: NoVerify = False,
    system: Annotated[
        str | None, typer.Option(help="What the model is told before the conversation.")
    ] = None,
    fresh: Annotated[
        bool | None,
        typer.Option(
            "--fresh/--no-fresh",
            help="Let each message start a conversation of its own. By default, as the checkpoint says.",
        ),
    ] = None,
    history: Annotated[
        bool,
        typer.Option(
            "--history/--no-history", help="Remember what is typed, for the arrow keys of the next time."
        ),
    ] = True,
    device: Device = None,
    exact: Annotated[
        bool, typer.Option("--exact", help=f"{_EXACT}; and on a CPU, do not round its weights to 8 bits.")
    ] = False,
    temperature: _Temperature = 0.0,
    top_k: _TopK = None,
    top_p: _TopP = 1.0,
    min_p: _MinP = 0.0,
    repetition_penalty: _RepetitionPenalty = 1.0,
    max_new_tokens: _MaxNewTokens = 256,
    seed: _Seed = None,
) -> None:
    """Talk with a trained model, or ask it a single question.

    Without a message, each line of a pipe is one. Only the answers go to standard output.
    """
    from minillm_lib.cli.terminal_chat import TerminalChat
    from minillm_lib.generation.chat_session import ChatSession
    from minillm_lib.generation.turns import is_fine_tuned
    from minillm_lib.model.quantization import is_quantized

    sampling = _sampling(temperature, top_k, top_p, min_p, repetition_penalty, max_new_tokens, seed)
    model = load_model(ckpt, "chat", device, tokenizer, verify=not no_verify)
    if model.device.type == "cpu" and not exact and not is_quantized(model):
        model = model.quantized()
        notes.print("The weights are rounded to 8 bits, to answer faster; --exact keeps them.")
    session = ChatSession(model, system=system, fresh=fresh, sampling=sampling, fast=not exact)
    if not is_fine_tuned(model):
        notes.print(
            "This model is not fine-tuned: it continues text rather than answering. minillm sft trains it to answer.",
            style="yellow",
        )
    terminal_chat = TerminalChat(session, notes)
    if message is not None:
        terminal_chat.answer(message)
    elif sys.stdin.isatty():
        _at_the_keyboard(terminal_chat, keeps_history=history)
        return
    else:
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="surrogateescape")  # what is no text is refused line by line
        terminal_chat.read_lines(sys.stdin, sys.stdin.encoding or "utf-8")
    if terminal_chat.n_refused:
        raise typer.Exit(2)


def _at_the_keyboard(terminal_chat: TerminalChat, *, keeps_history: bool) -> None:
    from minillm_lib.cli.chat_header import header
    from minillm_lib.cli.line_editor import LineEditor, history_file

    try:
        editor = LineEditor(history_file() if keeps_history else None)
    except OSError as error:
        notes.print(f"Messages are not remembered for the next time: {error}")
        editor = LineEditor()
    for line in header(terminal_chat.session.model, fresh=terminal_chat.session.fresh):
        notes.print(line)
    terminal_chat.talk(editor)


@model_app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="The beginning of the text.")],
    ckpt: Checkpoint = None,
    tokenizer: TokenizerOption = None,
    no_verify: NoVerify = False,
    stop: Annotated[
        list[str] | None, typer.Option(help="Stop before this text; may be given several times.")
    ] = None,
    device: Device = None,
    exact: Annotated[bool, typer.Option("--exact", help=f"{_EXACT}.")] = False,
    temperature: _Temperature = 0.8,
    top_k: _TopK = None,
    top_p: _TopP = 1.0,
    min_p: _MinP = 0.0,
    repetition_penalty: _RepetitionPenalty = 1.0,
    max_new_tokens: _MaxNewTokens = 256,
    seed: _Seed = None,
) -> None:
    """Continue a text with a trained model, and print it as it is written."""
    from minillm_lib.cli.terminal_chat import print_text
    from minillm_lib.generation.streaming import stream

    sampling = _sampling(temperature, top_k, top_p, min_p, repetition_penalty, max_new_tokens, seed, stop)
    model = load_model(ckpt, "base", device, tokenizer, verify=not no_verify)
    pieces = stream(model, prompt, sampling, fast=not exact)
    with suppress(KeyboardInterrupt):
        print_text(chain([prompt], pieces))
    if pieces.generation.finish_reason == "context":
        notes.print("the context is full")


@model_app.command()
def export(
    output: Annotated[
        Path, typer.Argument(help="A .gguf file for llama.cpp, or a directory for transformers.")
    ],
    ckpt: Checkpoint = None,
    tokenizer: TokenizerOption = None,
    no_verify: NoVerify = False,
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="For a .pth of MiniMind: a key of the model that its shapes do not tell, such as n_heads=16 or "
            "rope_theta=10000; may be given several times.",
        ),
    ] = None,
    dtype: Annotated[
        Literal["f32", "f16", "bf16", "int8"] | None,
        typer.Option(
            help="Type of the weights. By default f16 in a .gguf file, and unchanged in a directory. int8 makes a "
            "directory that only this package reads, a quarter of the size of f32, which decodes faster on a CPU."
        ),
    ] = None,
) -> None:
    """Write a checkpoint for other programs, or in 8 bits for this one."""
    import torch

    from minillm_lib.model.decoder import MiniLLM

    if output.suffix in _FILES_OF_TENSORS:
        raise ValueError(
            f"{output} is the name of a file of tensors; give a directory, for the weights, the configuration and the "
            "tokenizer, or a name that ends in .gguf"
        )
    ckpt, is_there = ckpt or own_or_shipped("chat"), output.exists()
    load = partial(
        MiniLLM.load_from_checkpoint,
        ckpt,
        tokenizer=tokenizer or True,
        overrides=_overrides(given or []),
        verify=not no_verify,
    )
    if output.suffix == ".gguf":
        from minillm_lib.interop.gguf import export_gguf

        if dtype == "int8":
            raise ValueError(
                f"--dtype int8 is this package's own format, not one of .gguf files such as {output}: write f16, and "
                "quantize it with llama-quantize of llama.cpp"
            )
        export_gguf(load(), output, dtype=dtype or "f16")
    elif dtype == "int8":
        load(dtype=torch.float32).quantized().save(output)
    else:
        types = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
        model = load(dtype=None if dtype is None else types[dtype])
        (model if dtype is None else model.dequantized()).save(output)
    before = ", in place of what was there" if is_there else ""
    console.print(styled("written: ", (output, "bold"), before), soft_wrap=True)


def _overrides(given: Sequence[str]) -> dict[str, Any]:
    """Turn ``["n_heads=16"]`` into keys of the model's configuration, which checks the values."""
    overrides: dict[str, Any] = {}
    for each in given:
        key, equals, value = each.partition("=")
        if not (key and equals):
            raise ValueError(f"--set {each!r}: give a key and a value, such as n_heads=16")
        try:
            overrides[key] = json.loads(value)
        except ValueError:
            overrides[key] = value
    return overrides


def _sampling(
    temperature: float,
    top_k: int | None,
    top_p: float,
    min_p: float,
    repetition_penalty: float,
    max_new_tokens: int | None,
    seed: int | None,
    stop: list[str] | None = None,
) -> SamplingConfig:
    from minillm_lib.generation.sampling import SamplingConfig

    return SamplingConfig(
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        max_new_tokens=max_new_tokens,
        seed=seed,
        stop=tuple(stop or ()),
    )
