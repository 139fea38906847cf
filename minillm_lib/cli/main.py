"""The ``minillm`` command. Each subcommand calls a few public functions; heavy imports wait until one is called."""

from __future__ import annotations

import os
import sys
import time
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from minillm_lib.cli.grade import course_app
from minillm_lib.cli.runs import runs_app
from minillm_lib.cli.text import data_app, tokenizer_app
from minillm_lib.cli.train import plan_app, training_app

if TYPE_CHECKING:
    from minillm_lib.generation.sampling import SamplingConfig
    from minillm_lib.model.decoder import MiniLLM
    from minillm_lib.topics.document_term import BagOfWords
    from minillm_lib.topics.gibbs_lda import GibbsLDA
    from minillm_lib.topics.model_selection import TopicCountScore

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From topic models to language models: LDA by Gibbs sampling, and a decoder small enough to be taught.",
)
app.add_typer(data_app, name="data")
app.add_typer(tokenizer_app, name="tokenizer")
app.add_typer(training_app)
app.add_typer(plan_app)
app.add_typer(runs_app)
app.add_typer(course_app)
console = Console()

_REPORT = Path("lda-report.html")
_TRAINED = Path("checkpoints/sft.pt")
_SHIPPED = Path(__file__).parent.parent / "results" / "26m"


def _print_version(wanted: bool) -> None:
    if wanted:
        from minillm_lib import __version__

        console.print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    pass


@app.command()
def lda(
    text: Annotated[
        Path | None,
        typer.Option(help="Your own documents: a text file, or a folder with one document a file."),
    ] = None,
    jsonl: Annotated[
        Path | None,
        typer.Option(help='Your own documents as JSON lines: {"text": …, "title": …, "year": …}.'),
    ] = None,
    text_key: Annotated[str, typer.Option(help="Key of the text in the JSON lines.")] = "text",
    topics: Annotated[int, typer.Option("--topics", "-k", help="Number of topics.")] = 10,
    sweeps: Annotated[int, typer.Option(help="How often every token's topic is drawn anew.")] = 1000,
    chains: Annotated[int, typer.Option(help="Independent chains; the likeliest is kept.")] = 4,
    alpha: Annotated[float, typer.Option(help="Prior weight of each topic in a document.")] = 0.1,
    beta: Annotated[float, typer.Option(help="Prior weight of each term in a topic.")] = 0.01,
    learn_priors: Annotated[bool, typer.Option(help="Fit alpha and beta too (Minka's fixed point).")] = False,
    seed: Annotated[int, typer.Option(help="The same seed gives the same topics.")] = 0,
    threads: Annotated[int | None, typer.Option(help="Threads; all cores if not given.")] = None,
    min_df: Annotated[int, typer.Option(help="Drop terms of fewer documents than this (own documents).")] = 2,
    language: Annotated[
        Literal["auto", "en", "zh"], typer.Option(help="Language of your own documents.")
    ] = "auto",
    compare: Annotated[
        str | None,
        typer.Option(help="Compare numbers of topics first, e.g. 5,10,20: perplexity and coherence."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the HTML report goes.")] = _REPORT,
    report_language: Annotated[Literal["en", "zh"], typer.Option(help="Language of the report.")] = "en",
    open_report: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
) -> None:
    """Find topics by LDA: in 1,000 NeurIPS papers, or in your own documents.

    Prints the topics and writes a self-contained HTML report with pyLDAvis inside.
    """
    from minillm_lib.topics.gibbs_lda import GibbsLDA
    from minillm_lib.topics.summary import summarize_topics, topic_table
    from minillm_lib.viz.lda_report import check_report_path, write_lda_report

    if text is not None and jsonl is not None:
        raise ValueError("--text and --jsonl exclude each other: name one")
    check_report_path(output)
    bag = _bag(text or jsonl, min_df=min_df, language=language, text_key=text_key)
    n_documents, n_terms = bag.counts.shape
    console.print(f"{n_documents:,} documents, {n_terms:,} terms, {bag.counts.sum():,} tokens")

    model = GibbsLDA(
        topics,
        n_sweeps=sweeps,
        alpha=alpha,
        beta=beta,
        learn_alpha=learn_priors,
        learn_beta=learn_priors,
        n_chains=chains,
        n_threads=threads,
        random_state=seed,
    )
    if compare is not None:
        _print_comparison(model, bag, compare)
    seconds = _fit(model, bag)
    if chains > 1 and sweeps >= 8:
        verdict = "they agree" if model.r_hat_ < 1.05 else "they found different modes"
        console.print(
            f"R-hat over {chains} chains: {model.r_hat_:.2f} ({verdict}); the likeliest chain is kept"
        )
    console.print(topic_table(summarize_topics(model, bag)))
    title = None
    if text is None and jsonl is None:
        title = {
            "en": f"{topics} topics of 1,000 NeurIPS papers, 2013–2017",
            "zh": f"1,000 篇 NeurIPS 论文（2013–2017）的 {topics} 个主题",
        }[report_language]
    path = write_lda_report(output, model, bag, title=title, seconds=seconds, language=report_language)
    console.print(
        f"The report, with pyLDAvis inside: [bold]{path}[/bold] ({path.stat().st_size / 2**20:.1f} MiB)"
    )
    if open_report:
        webbrowser.open(path.resolve().as_uri())


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the HTML report goes.")] = Path(
        "demo-report.html"
    ),
    folder: Annotated[Path, typer.Option(help="For the runs and their models.")] = Path("runs/demo"),
    report_language: Annotated[Literal["en", "zh"], typer.Option(help="Language of the report.")] = "en",
    quick: Annotated[
        bool, typer.Option("--quick", help="A few steps of everything, to see that it runs.")
    ] = False,
    open_report: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
) -> None:
    """The whole way: ten topics of 1,000 NeurIPS papers, then a small language model that learns to answer.

    Everything is computed here, offline; an HTML report shows it.
    """
    from minillm_lib.demo import DemoInterrupted, run_demo

    try:
        way = run_demo(output, folder=folder, language=report_language, quick=quick)
    except DemoInterrupted:
        raise typer.Exit(130) from None
    console.print(str(way.held_out), highlight=False)
    console.print(
        f"The report: [bold]{output}[/bold] ({output.stat().st_size / 2**20:.1f} MiB)", highlight=False
    )
    console.print(f"[dim]go on: minillm chat --ckpt {way.sft.output}[/dim]", highlight=False)
    if open_report:
        webbrowser.open(output.resolve().as_uri())


_Checkpoint = Annotated[
    Path | None,
    typer.Option(
        "--ckpt",
        help=f"A checkpoint: a directory, or a .pt file. If not given, {_TRAINED} or, where there is none, the 26 M "
        "model of the repository.",
    ),
]
_Temperature = Annotated[float, typer.Option(min=0, help="0 always takes the likeliest token.")]
_TopK = Annotated[int | None, typer.Option(min=1, help="Draw among this many likeliest tokens.")]
_TopP = Annotated[float, typer.Option(help="Draw among the likeliest tokens of this total probability.")]
_MinP = Annotated[
    float, typer.Option(help="Draw among tokens at least this share as likely as the likeliest.")
]
_RepetitionPenalty = Annotated[float, typer.Option(help="Above 1, tokens seen before become less likely.")]
_MaxNewTokens = Annotated[int | None, typer.Option(min=1, help="Stop after this many tokens.")]
_Seed = Annotated[int | None, typer.Option(help="The same seed writes the same text.")]
_Device = Annotated[str | None, typer.Option(help="cpu, cuda, mps …; the best one if not given.")]


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


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="The beginning of the text.")],
    ckpt: _Checkpoint = None,
    temperature: _Temperature = 0.8,
    top_k: _TopK = None,
    top_p: _TopP = 1.0,
    min_p: _MinP = 0.0,
    repetition_penalty: _RepetitionPenalty = 1.0,
    max_new_tokens: _MaxNewTokens = 256,
    stop: Annotated[list[str] | None, typer.Option(help="Stop before this text; may be given again.")] = None,
    seed: _Seed = None,
    device: _Device = None,
) -> None:
    """Continue a text with a trained model, as it is written."""
    from minillm_lib.generation.streaming import print_stream, stream

    sampling = _sampling(temperature, top_k, top_p, min_p, repetition_penalty, max_new_tokens, seed, stop)
    pieces = stream(_load(ckpt or _own_or_shipped("base"), device), prompt, sampling)
    print(prompt, end="")
    print_stream(pieces)
    if pieces.generation.finish_reason == "context":
        Console(stderr=True).print("[dim]the context is full[/dim]")


@app.command()
def chat(
    message: Annotated[str | None, typer.Argument(help="One message; a conversation if not given.")] = None,
    ckpt: _Checkpoint = None,
    system: Annotated[
        str | None, typer.Option(help="What the model is told before the conversation.")
    ] = None,
    temperature: _Temperature = 0.0,
    top_k: _TopK = None,
    top_p: _TopP = 1.0,
    min_p: _MinP = 0.0,
    repetition_penalty: _RepetitionPenalty = 1.0,
    max_new_tokens: _MaxNewTokens = 256,
    seed: _Seed = None,
    device: _Device = None,
) -> None:
    """Talk with a trained model, or ask it one thing."""
    from minillm_lib.generation.chat_session import ChatSession, chat_in_terminal
    from minillm_lib.generation.streaming import print_stream

    sampling = _sampling(temperature, top_k, top_p, min_p, repetition_penalty, max_new_tokens, seed)
    model = _load(ckpt or _own_or_shipped("chat"), device)
    if message is None:
        chat_in_terminal(model, system=system, sampling=sampling)
    else:
        print_stream(ChatSession(model, system=system, sampling=sampling).stream(message))


@app.command()
def export(
    output: Annotated[
        Path, typer.Argument(help="A .gguf file for llama.cpp, or a directory for transformers.")
    ],
    ckpt: _Checkpoint = None,
    dtype: Annotated[
        Literal["f32", "f16", "bf16"] | None,
        typer.Option(
            help="Of the weights. If not given, f16 in a .gguf file, and as they are in a directory."
        ),
    ] = None,
) -> None:
    """Write a checkpoint for other programs."""
    import torch

    from minillm_lib.interop.gguf import export_gguf
    from minillm_lib.model.decoder import MiniLLM

    ckpt = ckpt or _own_or_shipped("chat")
    types = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
    if output.suffix == ".gguf":
        export_gguf(MiniLLM.load_from_checkpoint(ckpt), output, dtype=dtype or "f16")
    else:
        wanted = None if dtype is None else types[dtype]
        MiniLLM.load_from_checkpoint(ckpt, dtype=wanted).save(output)
    console.print(f"written: [bold]{output}[/bold]")


@app.command()
def doctor(
    run: Annotated[
        Path | None, typer.Argument(help="A run's folder: is it healthy? This machine if not given.")
    ] = None,
    references: Annotated[Path, typer.Option(help="Where bands of recorded runs are looked for.")] = Path(
        "results"
    ),
) -> None:
    """What this machine offers and what each model preset would take on it; or whether a run is healthy.

    The exit status is 1 where something is wrong with a run.
    """
    if run is not None:
        from minillm_lib.analysis.health import examine_run

        with console.status(f"Reading {run} …"):
            report = examine_run(run, references=references)
        console.print(report)
        raise typer.Exit(0 if report.is_healthy else 1)
    from minillm_lib.doctor import examine_machine

    with console.status("Measuring a matrix product …"):
        machine = examine_machine()
    console.print(machine)


def _load(ckpt: Path, device: str | None) -> MiniLLM:
    import torch

    from minillm_lib.model.decoder import MiniLLM
    from minillm_lib.model.devices import best_device

    try:
        target = best_device() if device is None else torch.device(device)
        torch.empty(0, device=target)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {device!r} is not to be had here: {str(error).splitlines()[0]}") from None
    # A processor computes in float32: not all have bfloat16, in which weights may have been saved.
    dtype = torch.float32 if target.type == "cpu" else None
    return MiniLLM.load_from_checkpoint(ckpt, device=target, dtype=dtype).eval()


def _own_or_shipped(name: Literal["base", "chat"]) -> Path:
    """The user's own model or, where there is none, one that came with the repository."""
    shipped = _SHIPPED / name
    for path, what in (
        (_TRAINED, str(_TRAINED)),
        (shipped, f"results/26m/{name}, which came with the course"),
    ):
        if path.exists():
            Console(stderr=True).print(f"[dim]the model of {what}[/dim]", highlight=False)
            return path
    raise ValueError(
        f"no --ckpt is given, there is no {_TRAINED} here, and results/26m/{name} is missing from the repository; "
        "make demo trains a small model"
    )


def _bag(
    path: Path | None, *, min_df: int, language: Literal["auto", "en", "zh"], text_key: str
) -> BagOfWords:
    from minillm_lib.corpora.files import read_documents
    from minillm_lib.topics.document_term import bag_of_words
    from minillm_lib.topics.neurips_papers import load_neurips

    if path is None:
        return load_neurips()
    with console.status(f"Reading and cleaning {path} …"):
        bag = bag_of_words(read_documents(path, text_key=text_key), language=language, min_df=min_df)
    console.print(str(bag.report), highlight=False, markup=False)
    return bag


def _fit(model: GibbsLDA, bag: BagOfWords) -> float:
    """Fit with a progress bar that shows the log-likelihood; returns the seconds that it took."""
    from tqdm.auto import tqdm

    start = time.perf_counter()
    with tqdm(total=model.n_sweeps, unit="sweep", desc="Gibbs sampling", file=sys.stderr) as bar:
        for samplers in model.iter_sweeps(bag.counts):
            bar.set_postfix_str(
                f"log-likelihood {max(s.log_likelihoods[-1] for s in samplers):.4f}/token", refresh=False
            )
            bar.update()
    return time.perf_counter() - start


def _print_comparison(model: GibbsLDA, bag: BagOfWords, candidates: str) -> None:
    from rich.table import Table

    from minillm_lib.topics.model_selection import compare_topic_counts

    try:
        counts = [int(count) for count in candidates.split(",")]
    except ValueError:
        raise ValueError(
            f"--compare {candidates!r}: give whole numbers with commas between, such as 5,10,20"
        ) from None
    table = Table(
        "topics", "held-out perplexity", "coherence (NPMI)", title="How many topics?", title_justify="left"
    )
    with console.status("Comparing …") as status:

        def show(score: TopicCountScore) -> None:
            status.update(f"Comparing … {score.n_topics} topics done")
            table.add_row(
                str(score.n_topics),
                f"{score.perplexity:,.0f} ± {score.perplexity_error:.0f}",
                f"{score.coherence:.3f} ± {score.coherence_error:.3f}",
            )

        compare_topic_counts(bag.counts, counts, estimator=model, progress=show)
    console.print(table)


def main() -> None:
    """Run the command; a user's mistake ends in one line, not in a traceback (set MINILLM_DEBUG=1 to see it)."""
    try:
        app()
    except (ValueError, OSError) as error:
        if os.environ.get("MINILLM_DEBUG"):
            raise
        print(f"error: {_in_words(error)}", file=sys.stderr)
        sys.exit(2)


def _in_words(error: Exception) -> str:
    """The message; for a configuration that pydantic refuses, each key with its value and what is allowed."""
    from pydantic import ValidationError

    from minillm_lib.training.config import in_one_line

    return in_one_line(error) if isinstance(error, ValidationError) else str(error)


if __name__ == "__main__":
    main()
