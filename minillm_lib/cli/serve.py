"""``minillm serve``: a model for other programs, and for a page in the browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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
    say,
)

if TYPE_CHECKING:
    from minillm_lib.model.decoder import MiniLLM

serve_app = typer.Typer()

_SHIPPED_NAME = "minillm-26m-chat"
EXAMPLES = ("attention-what", "lda-transformer-differences", "tok-what")


@serve_app.command()
def serve(
    ckpt: Checkpoint = None,
    tokenizer: TokenizerOption = None,
    no_verify: NoVerify = False,
    port: Annotated[int, typer.Option(help="Where to listen; 0 takes a free port.")] = 8000,
    host: Annotated[
        str,
        typer.Option(
            help="The address to listen on. Only programs on this machine reach 127.0.0.1; for any other address, "
            "such as 0.0.0.0, there must be a key."
        ),
    ] = "127.0.0.1",
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="MINILLM_API_KEY",
            help="The key that each request has to give. An option is seen by everyone on this machine; the "
            "environment variable is not.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The name of the model for clients; by default that of the checkpoint.")
    ] = None,
    max_batch: Annotated[
        int, typer.Option(min=1, help="The most texts that are written at the same time.")
    ] = 64,
    max_queue: Annotated[
        int, typer.Option(min=0, help="The most texts that wait; more are refused with the status 429.")
    ] = 128,
    precision: Annotated[
        Literal["auto", "float32", "bf16"],
        typer.Option(
            help="The numbers in which texts that are written together are computed. bf16 is faster where the "
            "processor has instructions for it, which auto finds out; a text that is alone is computed in float32, so "
            "that with bf16 the same request may get other words in company.",
        ),
    ] = "auto",
    device: Device = None,
) -> None:
    """Serve a model in the browser, and to other programs as OpenAI's API does."""
    from minillm_lib.cli.chat_header import course_examples, is_course_model
    from minillm_lib.serving.app import Service
    from minillm_lib.serving.server import check_reach, serve as serve_model

    check_reach(host, api_key)
    path = ckpt or own_or_shipped("chat")
    model = load_model(path, "chat", device, tokenizer, verify=not no_verify)
    is_shipped = is_course_model(model)
    service = Service(
        name=name or (_SHIPPED_NAME if is_shipped else _name_of(path.resolve())),
        examples=course_examples(EXAMPLES) if is_shipped else {},
        api_key=api_key,
    )
    _warn_of_a_base_model(model)

    def announce(address: str) -> None:
        _announce(address, service.name, path, api_key is not None)

    serve_model(
        model,
        service,
        host=host,
        port=port,
        max_batch=max_batch,
        max_queue=max_queue,
        precision=precision,
        on_start=announce,
    )
    say("The server has stopped.")


def _name_of(checkpoint: Path) -> str:
    return checkpoint.name if checkpoint.is_dir() else checkpoint.stem  # Qwen3-0.6B ends in no suffix


def _warn_of_a_base_model(model: MiniLLM) -> None:
    from minillm_lib.generation.turns import is_fine_tuned

    may_be_told = model.stage is not None or model.tokenizer is not None
    if may_be_told and not is_fine_tuned(model):
        notes.print(
            "warning: this model was not fine-tuned on conversations: /v1/chat/completions will not answer, but "
            "continue texts, as /v1/completions does; minillm sft trains it to answer",
            style="yellow",
        )


def _announce(address: str, name: str, path: Path, has_key: bool) -> None:
    key = "$MINILLM_API_KEY" if has_key else "none"
    body = json.dumps({"model": name, "messages": [{"role": "user", "content": "What is LDA?"}]})
    header = ' -H "Authorization: Bearer $MINILLM_API_KEY"' if has_key else ""
    key_in_python = 'os.environ["MINILLM_API_KEY"]' if has_key else f'"{key}"'
    say(
        f"""
Serving {name} ({path})
  in the browser   {address}/
  with curl        curl {address}/v1/chat/completions{header} -H "Content-Type: application/json" -d '{body}'
  in Python        from openai import OpenAI
                   client = OpenAI(base_url="{address}/v1", api_key={key_in_python})
                   asked = [{{"role": "user", "content": "What is LDA?"}}]
                   client.chat.completions.create(model="{name}", messages=asked)
Ctrl-C stops it."""
    )
    console.file.flush()  # a program that started the server may be waiting for this
