"""The complete demo: topics, tokenizer, pretraining, fine-tuning and answers, and one page that reports on them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from minillm_lib.analysis.baselines import count_baselines
from minillm_lib.corpora.faq import faq_questions, load_course_faq
from minillm_lib.generation.answers import check_answers, held_out_phrasings
from minillm_lib.generation.sampling import SamplingConfig
from minillm_lib.io.repository import repository_file
from minillm_lib.topics.document_term import BagOfWords
from minillm_lib.topics.gibbs_lda import GibbsLDA
from minillm_lib.topics.neurips_papers import load_neurips
from minillm_lib.training.config import PretrainConfig, SFTConfig
from minillm_lib.training.data import prepare_pretraining_data
from minillm_lib.training.overrides import load_config
from minillm_lib.training.run import RunResult
from minillm_lib.training.stages import pretrain, sft

if TYPE_CHECKING:
    from minillm_lib.viz.demo_report import WholeWay
    from minillm_lib.viz.lda_report import Language

QUESTIONS = ("lda-transformer-differences", "rope-what", "gqa-what")
"""The ids of the questions of ``course-faq`` whose answers the page shows, in each language."""

_SHORT = SamplingConfig(temperature=0.0, max_new_tokens=64)
_N_ASKED = 80


class DemoInterrupted(Exception):  # noqa: N818 — a requested stop is not an error
    """A run was stopped on request before its last step."""


def run_demo(
    report: str | Path = "demo-report.html",
    *,
    folder: str | Path = "runs/demo",
    language: Language = "en",
    quick: bool = False,
) -> WholeWay:
    """Run all stages with progress bars, write the page, and return the results.

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
    folder = Path(folder)
    pretrain_config = _pretrain_config(folder, quick)
    sft_config = _sft_config(folder, quick)

    # only now: nobody should install packages for a page that the configurations' absence would prevent
    from minillm_lib.viz.demo_report import WholeWay, write_demo_report
    from minillm_lib.viz.lda_report import check_report_path

    report = check_report_path(report)
    seconds: dict[str, float] = {}
    with _stage("1/5  Topics of 1,000 NeurIPS papers", seconds, "lda"):
        bag = load_neurips()
        lda = _fit_topics(bag, n_sweeps=50 if quick else 1000)
    with _stage("2/5  Text and tokenizer", seconds, "data"):
        data = prepare_pretraining_data(pretrain_config.data)
        baselines = count_baselines(data.train, data.validation)
    with _stage("3/5  Pretraining", seconds, "pretraining"):
        pretraining = _finished(pretrain(pretrain_config, overwrite=True))
    with _stage("4/5  Learning to answer", seconds, "sft"):
        tuned = _finished(sft(sft_config, overwrite=True))
    with _stage("5/5  Asking questions", seconds, "answers"):
        every = faq_questions()
        shown = [(question, question.held_out[0]) for question in every if question.id in QUESTIONS]
        before = check_answers(pretraining.load_model(), shown, every, sampling=_SHORT)
        model = tuned.load_model()
        after = check_answers(model, shown, every)
        held_out = check_answers(model, held_out_phrasings(every, 8 if quick else _N_ASKED), every)
    way = WholeWay(
        lda=lda,
        bag=bag,
        tokenizer=data.tokenizer,
        text=data.train,
        baselines=baselines,
        pretraining=pretraining,
        sft=tuned,
        n_conversations=len(load_course_faq("train")),
        before=before,
        after=after,
        held_out=held_out,
        seconds=seconds,
    )
    write_demo_report(report, way, language=language)
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
    model.fit_with_bar(bag.counts)
    return model


def _finished(result: RunResult) -> RunResult:
    if not result.is_finished:
        raise DemoInterrupted
    return result


@contextmanager
def _stage(title: str, seconds: dict[str, float], name: str) -> Iterator[None]:
    """Print a heading, and afterwards note the time that the stage took."""
    Console().rule(title, align="left")
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start
