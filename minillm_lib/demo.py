"""The complete demo: topics, tokenizer, pretraining, fine-tuning and answers, and one page that reports on them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import Signals
from typing import TYPE_CHECKING, Any

from rich.table import Table
from tqdm import tqdm

from minillm_lib.analysis.baselines import count_baselines
from minillm_lib.corpora.faq import faq_questions, load_course_faq
from minillm_lib.generation.answers import check_answers, held_out_phrasings
from minillm_lib.generation.sampling import SamplingConfig
from minillm_lib.io.repository import repository_file
from minillm_lib.io.terminal import PrintableConsole
from minillm_lib.io.wording import duration
from minillm_lib.topics.document_term import BagOfWords
from minillm_lib.topics.gibbs_lda import GibbsLDA
from minillm_lib.topics.neurips_papers import load_neurips
from minillm_lib.topics.summary import summarize_topics, topic_table
from minillm_lib.training.config import PretrainConfig, SFTConfig
from minillm_lib.training.data import prepare_pretraining_data
from minillm_lib.training.overrides import load_config
from minillm_lib.training.run import RunResult
from minillm_lib.training.run_folder import Record
from minillm_lib.training.stages import pretrain, sft

if TYPE_CHECKING:
    from minillm_lib.viz.demo_report import WholeWay
    from minillm_lib.viz.lda_report import Language

QUESTIONS = ("lda-transformer-differences", "rope-what", "gqa-what")
"""The ids of the questions of ``course-faq`` whose answers the page shows, in each language."""

STAGES = {
    "lda": "Topics of 1,000 NeurIPS papers",
    "data": "Text and tokenizer",
    "pretraining": "Pretraining",
    "sft": "Learning to answer",
    "answers": "Asking questions",
}
"""The stages in their order, each with its heading."""

_SHORT = SamplingConfig(temperature=0.0, max_new_tokens=64)
_MEASURED_SECONDS = 3.0


class DemoInterrupted(Exception):  # noqa: N818 — a requested stop is not an error
    """A run was stopped on request before its last step; ``signal`` is what asked for it."""

    def __init__(self, signal: Signals) -> None:
        super().__init__(f"stopped by {signal.name}")
        self.signal = signal


def run_demo(
    report: str | Path = "demo-report.html",
    *,
    folder: str | Path = "runs/demo",
    language: Language = "en",
    quick: bool = False,
) -> WholeWay:
    """Run all stages with progress bars, and return the results.

    The page is written after the first stage, and again after each further one, so that there is something to read
    early, and nothing is lost if the demo is stopped.

    Parameters
    ----------
    report
        Path of the HTML page.
    folder
        Folder of the two runs and their models. Those of an earlier demo in it are replaced.
    language
        Language of the page, ``"en"`` or ``"zh"``.
    quick
        Take only a few steps in each stage, to see that everything runs.

    Raises
    ------
    ReportError
        If the page cannot be written.
    FileNotFoundError
        If the configurations are missing, which are part of the repository and not of the installed package.
    MissingPackageError
        If a package that the page needs is not installed.
    DemoInterrupted
        If Ctrl-C or SIGTERM stopped one of the runs.
    """
    folder, console, began = Path(folder), PrintableConsole(), time.perf_counter()
    pretrain_config = _pretrain_config(folder, quick)
    sft_config = _sft_config(folder, quick)
    options = sft_config.data.conversations[0].options
    topics = options.get("topics")

    # only now: nobody should install packages for a page that the configurations' absence would prevent
    from minillm_lib.viz.demo_report import WholeWay, write_demo_report
    from minillm_lib.viz.lda_report import check_report_path

    report = check_report_path(report)
    seconds: dict[str, float] = {}

    with _stage("lda", seconds, console):
        bag = load_neurips()
        lda = _fit_topics(bag, n_sweeps=50 if quick else 1000)
        console.print(topic_table(summarize_topics(lda, bag, n_documents=1)))
    way = WholeWay(lda, bag, seconds=seconds)
    write_demo_report(report, way, language=language)
    console.print(f"{report} shows these topics already; it is written again after each stage")

    with _stage("data", seconds, console):
        data = prepare_pretraining_data(pretrain_config.data)
        baselines = count_baselines(data.train, data.validation)
        way.tokenizer, way.text, way.baselines = data.tokenizer, data.train, baselines
    write_demo_report(report, way, language=language)

    with _stage("pretraining", seconds, console):
        estimate = _Estimate(pretrain_config.train.steps, "steps")
        way.pretraining = _finished(pretrain(pretrain_config, overwrite=True, on_record=estimate))
    write_demo_report(report, way, language=language)

    with _stage("sft", seconds, console):
        estimate = _Estimate(sft_config.train.steps, "steps")
        way.sft = _finished(sft(sft_config, overwrite=True, on_record=estimate))
        way.n_conversations = len(load_course_faq("train", **options))
    write_demo_report(report, way, language=language)

    with _stage("answers", seconds, console):
        every = faq_questions(topics=topics)
        shown = [(question, question.held_out[0]) for question in every if question.id in QUESTIONS]
        model = way.sft.load_model()
        way.before = check_answers(way.pretraining.load_model(), shown, every, sampling=_SHORT)
        way.after = check_answers(model, shown, every)
        asked = held_out_phrasings(every, 8 if quick else None)
        estimate = _Estimate(len(asked), "questions")
        way.held_out = check_answers(model, asked, every, batch_size=64, on_answer=lambda _: estimate.count())
    write_demo_report(report, way, language=language)
    console.print(str(way.held_out), highlight=False)
    console.print(_time_table(seconds, time.perf_counter() - began))
    return way


def _pretrain_config(folder: Path, quick: bool) -> PretrainConfig:
    overrides = {"run": str(folder / "pretrain"), "output": str(folder / "pretrain.pt")}
    return load_config(
        PretrainConfig, repository_file("configs/pretrain-tiny.yaml"), overrides | _few_steps(quick)
    )


def _sft_config(folder: Path, quick: bool) -> SFTConfig:
    overrides = {
        "run": str(folder / "sft"),
        "output": str(folder / "sft.pt"),
        "ckpt": str(folder / "pretrain.pt"),
    }
    return load_config(SFTConfig, repository_file("configs/sft-tiny.yaml"), overrides | _few_steps(quick))


def _few_steps(quick: bool) -> dict[str, Any]:
    return {"train.steps": 4, "evaluation.every": 2, "evaluation.max_tokens": 2000} if quick else {}


def _fit_topics(bag: BagOfWords, n_sweeps: int) -> GibbsLDA:
    """Fit ten topics."""
    model = GibbsLDA(10, n_sweeps=n_sweeps, n_chains=4, random_state=0)
    model.fit_with_bar(bag.counts, on_sweep=_Estimate(n_sweeps, "sweeps").count)
    return model


def _finished(result: RunResult) -> RunResult:
    if result.stopped_by is not None:
        raise DemoInterrupted(result.stopped_by)
    return result


@contextmanager
def _stage(name: str, seconds: dict[str, float], console: PrintableConsole) -> Iterator[None]:
    """Print a heading, and afterwards note the time that the stage took."""
    number = list(STAGES).index(name) + 1
    console.rule(f"{number}/{len(STAGES)}  {STAGES[name]}", align="left")
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start


class _Estimate:
    """Says once how long a stage will take, from the speed of its first three seconds.

    Parameters
    ----------
    total, unit
        How many steps or sweeps there are, and their name.
    """

    def __init__(self, total: int, unit: str) -> None:
        self._total, self._unit = total, unit
        self._n_done = 0
        self._start: float | None = None
        self._is_said = False

    def __call__(self, record: Record) -> None:
        """Count a step, if that is what the record is about."""
        if record["kind"] == "step":
            self.count()

    def count(self) -> None:
        """Count a step; the first one, which also sets things up, is not timed."""
        if self._start is None:
            self._start = time.perf_counter()
            return
        self._n_done += 1
        elapsed = time.perf_counter() - self._start
        if not self._is_said and elapsed >= _MEASURED_SECONDS:
            rate = self._n_done / elapsed
            tqdm.write(
                f"about {duration(self._total / rate)}: {self._total:,} {self._unit}, {rate:.3g} per second"
            )
            self._is_said = True


def _time_table(seconds: dict[str, float], total: float) -> Table:
    table = Table(title="Time taken", title_justify="left")
    table.add_column("Stage")
    table.add_column("Seconds", justify="right")
    for name, own in seconds.items():
        table.add_row(STAGES[name], f"{own:,.1f}")
    table.add_row("Writing the page", f"{total - sum(seconds.values()):,.1f}", end_section=True)
    table.add_row("Together", f"{total:,.1f}")
    return table
