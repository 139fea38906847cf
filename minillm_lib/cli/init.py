"""``minillm init``: a commented configuration for one's own text, sized to it and to this machine."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minillm_lib.cli.options import console, parse_options, say, show_warnings_plainly
from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.io.wording import duration, number_of

if TYPE_CHECKING:
    from minillm_lib.training.own_text import Choice, TalkFacts, TextFacts

init_app = typer.Typer()
_PLACES = ("run-pretrain", "base", "data", "run-sft", "chat")

_PRETRAIN = """\
# Trains a language model on your own text: minillm pretrain --config {file}
# Written by minillm init for about {n_tokens} tokens, and {hours:g} h on this machine. Everything may be changed:
# minillm plan --config {file} shows what it costs, minillm plan --keys explains every key.
# Paths are absolute, so the commands work from any folder; a relative path counts from where the command is run.

run: {run_pretrain} # metrics and checkpoints, from which --resume resumes
output: {base} # the finished model, a folder that chat, generate, sft and export take

model:
  preset: {preset} # nano, tiny, 26m or 104m: here {n_parameters} parameters; minillm doctor lists them
  max_seq_len: {max_seq_len} # tokens that the model can look back on
  # vocab_size is the tokenizer's, so it is not given

data:
  folder: {data} # the tokenizer and the encoded text, made once
  corpora: # several are possible, each with repeat: how many times it is read
    - name: files
      options:
        paths: {paths} # files, folders or globs: text, Markdown, HTML, PDF, Word, CSV, JSON …
{text_options}
  # About 5 % of the documents are held out to judge the model. Few documents are cut, and their ends held out.
  vocab_size: {vocab_size} # pieces of the tokenizer; leave it out for 6,400, or as many as the text yields
  # tokenizer: {folder}/tokenizer   one that you have trained with minillm tokenizer train, instead

train:
  steps: {steps} # {steps_reason}
  batch_size: {batch_size} # rows per step
  seq_len: {seq_len} # tokens per row
  optimizer:
    name: muon # reaches a given loss in fewer steps than adamw
    lr: 3.0e-3 # lower it if the loss jumps
  schedule:
    warmup_steps: {warmup_steps} # the learning rate rises to its peak, and falls along a cosine to a tenth of it

evaluation: # the best model on the held-out text is the one that is kept
  every: {every}
  prompts: {prompts} # texts that the model continues at each evaluation
checkpoint:
  every: {every}
"""
_TEXT_OPTIONS = {
    "documents": "# documents: file | paragraph | line   what one document is; guessed and said if it is not given",
    "separator": '# separator: "<|endoftext|>"           where one document ends and the next begins, instead',
    "text_key": "# text_key: text                       the column or key of the text, in tables and JSON",
    "encoding": "# encoding: gb18030                    recognised and said if it is not given",
}
_SFT = """\
# Teaches the model to answer: minillm sft --config {file}
# {n_conversations}
run: {run_sft}
output: {chat}
ckpt: {base} # what pretrain.yaml has made; results/26m/base of the course is another choice

data:
  conversations: # several sources are possible
    - path: {conversations} # a file, one conversation per line:
      # {{"messages": [{{"role": "user", "content": "…"}}, {{"role": "assistant", "content": "…"}}]}}
      # {{"question": "…", "answer": "…"}} and other usual formats, CSV and Parquet are read as well
      held_out: {held_out} # share of the conversations that judges the model; at least one
      # most: 1000       take at most so many
      # repeat: 2        read each so many times per epoch
      # rewordings: 4    replace each question by so many noisy rewordings of it
{conversation_options}
    # - name: course-faq # the questions and answers of the course: a source by name

train:
  steps: {sft_steps} # {sft_reason}
  batch_size: {sft_batch_size}
  seq_len: {sft_seq_len} # tokens per row; the longest conversation has {longest}, and what is longer is left out
  optimizer:
    name: muon
    lr: 2.0e-3
  schedule:
    warmup_steps: {sft_warmup_steps}
    final_share: 0.02

evaluation:
  every: {sft_every}
  prompts: {questions} # what the model is asked at each evaluation
checkpoint:
  every: {sft_every}
"""


@init_app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="A folder for the configurations; it is made if need be.")],
    text: Annotated[
        list[str] | None,
        typer.Option("--text", help="Your text: a file, a folder or a glob; may be given several times."),
    ] = None,
    conversations: Annotated[
        str | None,
        typer.Option(help="Your conversations: a file of JSON lines, JSON, CSV or Parquet."),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            help="How the text is read, such as text_key=body or encoding=gb18030: an option of the corpus files, "
            "which minillm data list names; may be given several times.",
            metavar="NAME=VALUE",
            show_default=False,
        ),
    ] = None,
    conversations_option: Annotated[
        list[str] | None,
        typer.Option(
            help="How the conversations are read, such as question_key=Frage or preferences=chosen; may be given "
            "several times.",
            metavar="NAME=VALUE",
            show_default=False,
        ),
    ] = None,
    hours: Annotated[float, typer.Option(min=0.01, help="How long training may take, in hours.")] = 1.0,
) -> None:
    """Write pretrain.yaml and sft.yaml for your own text, sized to it and to this machine.

    The text is read, and a few training steps are timed (about a minute). Nothing that exists is overwritten.
    """
    from minillm_lib.training.own_text import (
        absolute,
        check_new,
        choose,
        conversation_options,
        measure_conversations,
        measure_text,
        text_options,
    )

    show_warnings_plainly()
    files = folder / "pretrain.yaml", folder / "sft.yaml"
    check_new(*files)
    if not text:
        raise ValueError(
            "give --text, a file, a folder or a glob with your text; it may be given several times"
        )
    paths = [absolute(each) for each in text]
    of_text = text_options(parse_options(option, example="text_key=body", lists=False))
    given = parse_options(conversations_option, "--conversations-option", "question_key=Frage", lists=False)
    of_talk = conversation_options(given)
    with console.status("reading the text, and timing some steps …"):
        facts = measure_text(paths, of_text)
        talk = (
            None
            if conversations is None
            else measure_conversations(absolute(conversations), of_talk, facts.tokenizer)
        )
        choice = choose(facts, talk, hours)
    for line in facts.lines:
        say(line)
    own = absolute(conversations) if conversations else f"{absolute(str(folder))}/conversations.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        **_values(folder, paths, own, facts, talk, choice, hours),
        "text_options": _options_of_text(of_text),
        "conversation_options": _options_of_conversations(of_talk),
    }
    for path, template in zip(files, (_PRETRAIN, _SFT), strict=True):
        write_atomically(path, template.format(file=path, **values).encode())
    _announce(folder, facts, talk, choice, own)


def _values(
    folder: Path,
    paths: Sequence[str],
    conversations: str,
    text: TextFacts,
    talk: TalkFacts | None,
    choice: Choice,
    hours: float,
) -> dict[str, object]:
    here = folder.absolute().as_posix()
    epochs = choice.steps * choice.tokens_per_step / max(text.n_tokens, 1)
    n_conversations = (
        f"Sized to {number_of(talk.n, 'conversation')} of about {number_of(talk.n_tokens, 'token')}."
        if talk
        else "minillm init was given no --conversations: write some, or change the path below."
    )
    return {
        "folder": here,
        **{name.replace("-", "_"): _yaml(f"{here}/{name}") for name in _PLACES},
        "n_tokens": f"{text.n_tokens:,}",
        "hours": hours,
        "preset": choice.preset,
        "n_parameters": f"{choice.n_parameters:,}",
        "max_seq_len": choice.max_seq_len,
        "paths": _yaml(paths[0] if len(paths) == 1 else list(paths)),
        "vocab_size": text.vocab_size,
        "steps": choice.steps,
        "steps_reason": f"{epochs:.1f} times the text, about {duration(choice.steps * choice.step_seconds)} here",
        "batch_size": choice.batch_size,
        "seq_len": choice.seq_len,
        "warmup_steps": max(choice.steps // 20, 1),
        "every": max(choice.steps // 10, 1),
        "prompts": _yaml(list(text.openings)),
        "n_conversations": n_conversations,
        "conversations": _yaml(conversations),
        "held_out": 0.05,
        "sft_steps": choice.sft_steps,
        "sft_reason": "the rows are read about fifteen times, if the time allows" if talk else "a guess",
        "sft_batch_size": choice.sft_batch_size,
        "sft_seq_len": choice.sft_seq_len,
        "longest": "an unknown number" if talk is None else talk.longest,
        "sft_warmup_steps": max(choice.sft_steps // 20, 1),
        "sft_every": max(choice.sft_steps // 5, 1),
        "questions": _yaml(list(talk.questions) if talk else []),
    }


def _options_of_text(given: Mapping[str, object]) -> str:
    lines = [f"{name}: {_yaml(value)}" for name, value in given.items()]
    lines += [line for name, line in _TEXT_OPTIONS.items() if name not in given]
    return "\n".join(" " * 8 + line for line in lines)


def _options_of_conversations(given: Mapping[str, object]) -> str:
    if given:
        return f"      options: {_yaml(dict(given))}"
    return "      # options: {question_key: Frage, answer_key: Antwort}   how the file is read, where that is not usual"


def _yaml(value: object) -> str:
    """Write a value as JSON, which is YAML, too."""
    return json.dumps(value, ensure_ascii=False)


def _announce(folder: Path, text: TextFacts, talk: TalkFacts | None, choice: Choice, own: str) -> None:
    say(
        f"about {text.n_tokens:,} tokens to train on, {text.n_held_out:,} held out, {text.vocab_size:,} pieces; "
        f"the model: {choice.preset}, {choice.n_parameters:,} parameters, "
        f"{choice.steps:,} steps in about {duration(choice.steps * choice.step_seconds)}"
    )
    if choice.n_parameters > text.n_tokens:
        say(
            "this is little text: the model will imitate its words and phrases, but understand nothing of it; more "
            "text makes more difference than more steps"
        )
    here = shlex.quote(str(folder))
    say(f"written: {here}/pretrain.yaml and {here}/sft.yaml, with a comment at each choice. Next:")
    say(f"  minillm plan --config {here}/pretrain.yaml        # what it takes")
    say(f"  minillm pretrain --config {here}/pretrain.yaml")
    prompt = text.openings[0] if text.openings else "The"
    end_of_options = "-- " * prompt.startswith("-")
    say(f"  minillm generate --ckpt {here}/base {end_of_options}{shlex.quote(prompt)}")
    if talk is None:
        say(f"  (write conversations to {own}, one per line; sft.yaml shows how)")
    say(f"  minillm sft --config {here}/sft.yaml")
    say(f"  minillm chat --ckpt {here}/chat")
    say(f"  minillm export {here}/model.gguf --ckpt {here}/chat   # for llama.cpp and Ollama")
