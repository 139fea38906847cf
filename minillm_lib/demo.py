"""The whole way in one run: topics, tokenizer, pretraining, fine-tuning, answers, and one page that tells of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from tqdm.auto import tqdm

import minillm_lib
from minillm_lib.analysis.baselines import count_baselines
from minillm_lib.corpora.faq import faq_questions, load_course_faq
from minillm_lib.generation.answers import check_answers, held_out_phrasings
from minillm_lib.generation.sampling import SamplingConfig
from minillm_lib.topics.document_term import BagOfWords
from minillm_lib.topics.gibbs_lda import GibbsLDA
from minillm_lib.topics.neurips_papers import load_neurips
from minillm_lib.training.config import PretrainConfig, SFTConfig, load_config
from minillm_lib.training.data import prepare_pretraining_data
from minillm_lib.training.run import RunResult
from minillm_lib.training.stages import pretrain, sft
from minillm_lib.viz.demo_report import Language, WholeWay, write_demo_report
from minillm_lib.viz.lda_report import check_report_path

QUESTIONS = ("lda-transformer-differences", "rope-what", "gqa-what")
"""The questions of ``course-faq`` whose answers the page shows, in each language."""

_SHORT = SamplingConfig(temperature=0.0, max_new_tokens=64)
_N_ASKED = 80


class DemoInterrupted(Exception):  # noqa: N818 — an end that was asked for, no error
    """A run was asked to stop before its last step."""


def run_demo(
    report: str | Path = "demo-report.html",
    *,
    folder: str | Path = "runs/demo",
    language: Language = "en",
    quick: bool = False,
) -> WholeWay:
    """Do it all, with progress at every moment, and write the page.

    Parameters
    ----------
    folder
        For the two runs and their models; those of an earlier demo there are replaced.
    quick
        A few steps of everything, to see that it runs.

    Raises
    ------
    ValueError
        If the page cannot be written, or there are no configurations to read.
    DemoInterrupted
        If Ctrl-C or SIGTERM stopped one of the runs.
    """
    report, folder = check_report_path(report), Path(folder)
    pretrain_config = _pretrain_config(folder, quick)
    sft_config = _sft_config(folder, quick)
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
    with _stage("5/5  Asking", seconds, "answers"):
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
    return load_config(PretrainConfig, _shipped("pretrain-tiny.yaml"), overrides | _few_steps(quick))


def _sft_config(folder: Path, quick: bool) -> SFTConfig:
    overrides = {
        "run": str(folder / "sft"),
        "output": str(folder / "sft.pt"),
        "ckpt": str(folder / "pretrain.pt"),
    }
    return load_config(SFTConfig, _shipped("sft-tiny.yaml"), overrides | _few_steps(quick))


def _few_steps(quick: bool) -> dict[str, Any]:
    return {"train.steps": 4, "evaluation.every": 2, "evaluation.max_tokens": 2000} if quick else {}


def _shipped(name: str) -> Path:
    path = Path(minillm_lib.__file__).parent.parent / "configs" / name
    if not path.is_file():
        raise ValueError(f"{path} is missing: the demo needs the repository, not the installed package alone")
    return path


def _fit_topics(bag: BagOfWords, n_sweeps: int) -> GibbsLDA:
    """Ten topics, with the log-likelihood beside the bar."""
    model = GibbsLDA(10, n_sweeps=n_sweeps, n_chains=4, random_state=0)
    with tqdm(total=n_sweeps, desc="Gibbs sampling", unit="sweep") as bar:
        for samplers in model.iter_sweeps(bag.counts):
            best = max(sampler.log_likelihoods[-1] for sampler in samplers)
            bar.set_postfix_str(f"log-likelihood {best:.4f}/token", refresh=False)
            bar.update()
    return model


def _finished(result: RunResult) -> RunResult:
    if not result.is_finished:
        raise DemoInterrupted
    return result


@contextmanager
def _stage(title: str, seconds: dict[str, float], name: str) -> Iterator[None]:
    """A heading, and afterwards the time that the stage took."""
    Console().rule(title, align="left")
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start
