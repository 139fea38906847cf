"""An HTML report on the demo: topics, text, pretraining, fine-tuning, answers, and how long each of them took."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minillm_lib import __version__
from minillm_lib.generation.answers import AnswerReport
from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.training.run import RunResult
from minillm_lib.viz.demo_report_words import WORDS
from minillm_lib.viz.lda_report import (
    Language,
    check_report_path,
    report_environment,
    svg_data_address,
    topic_sections,
)
from minillm_lib.viz.lda_report_words import WORDS as LDA_WORDS
from minillm_lib.viz.training_plots import plot_losses

if TYPE_CHECKING:
    from minillm_lib.tokenizer import Tokenizer
    from minillm_lib.topics.document_term import BagOfWords
    from minillm_lib.topics.gibbs_lda import GibbsLDA
    from minillm_lib.training.token_file import TokenFile

_EXAMPLES = {
    "en": "A topic model knows which words occur together; a Transformer knows their order.",
    "zh": "主题模型知道哪些词一同出现；Transformer 还知道它们的顺序。",
}
_PARTS = ("topics_part", "text_part", "pretraining_part", "sft_part", "time_part")


@dataclass(frozen=True)
class WholeWay:
    """The results of all stages of the demo, for :func:`write_demo_report`.

    Attributes
    ----------
    text
        The training text of pretraining.
    baselines
        Held-out losses in nats per token by name: ``unigram``, ``bigram``, and optionally more.
    n_conversations
        Number of conversations that the model was fine-tuned on.
    before, after
        Answers to the same questions before and after fine-tuning.
    held_out
        Answers to further questions after fine-tuning.
    seconds
        Duration of each stage: ``lda``, ``data``, ``pretraining``, ``sft``, ``answers``.
    """

    lda: GibbsLDA
    bag: BagOfWords
    tokenizer: Tokenizer
    text: TokenFile
    baselines: Mapping[str, float]
    pretraining: RunResult
    sft: RunResult
    n_conversations: int
    before: AnswerReport
    after: AnswerReport
    held_out: AnswerReport
    seconds: Mapping[str, float]


def write_demo_report(path: str | os.PathLike[str], way: WholeWay, *, language: Language = "en") -> Path:
    """Write the page atomically to ``path``, and return the path. The page makes no network requests.

    Raises
    ------
    ReportError
        If ``path`` is a folder or cannot be written.
    """
    path = check_report_path(path)
    write_atomically(path, demo_report_html(way, language=language).encode())
    return path


def demo_report_html(way: WholeWay, *, language: Language = "en") -> str:
    """Return the page of :func:`write_demo_report` as HTML."""
    words = WORDS[language]
    return (
        report_environment()
        .get_template("demo_report.html")
        .render(
            language=language,
            title=words["title"],
            words={**words, "footer": words["footer"].format(version=__version__)},
            facts=list(_facts(way, words)),
            parts=[{"name": part.replace("_", "-"), "heading": words[part]} for part in _PARTS],
            notes=_notes(way, words),
            topics=topic_sections(way.lda, way.bag, LDA_WORDS[language], n_documents=2),
            tokenized=list(_tokenized(way.tokenizer, words)),
            pretraining_figure=svg_data_address(
                plot_losses(way.pretraining.records, baselines=way.baselines)
            ),
            samples=list(_samples(way.pretraining)),
            sft_figure=svg_data_address(plot_losses(way.sft.records)),
            answers=list(_answers(way)),
            timings=list(_timings(way, words)),
            commands=_commands(way),
        )
    )


def _facts(way: WholeWay, words: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    start = way.pretraining.of_kind("start")[0]
    yield words["documents"], f"{way.bag.counts.shape[0]:,}"
    yield words["topics"], str(len(way.lda.topic_word_))
    yield words["parameters"], f"{start['parameters']:,}"
    yield words["tokens_read"], f"{way.pretraining.best['tokens']:,}"
    yield words["held_out"], f"{way.pretraining.best['perplexity']:,.1f}"
    yield words["right"], f"{way.held_out.right_share('en'):.0%}, {way.held_out.right_share('zh'):.0%}"
    yield words["time"], words["minutes"].format(minutes=sum(way.seconds.values()) / 60)


def _notes(way: WholeWay, words: Mapping[str, str]) -> dict[str, str]:
    """Return the sentences of the page that contain numbers, by their part of the page."""
    first, last = way.pretraining.of_kind("evaluation")[0], way.pretraining.best
    sft_first, sft_last = way.sft.of_kind("evaluation")[0], way.sft.best
    perplexities = {name: math.exp(loss) for name, loss in way.baselines.items()}
    return {
        "text": words["text_part_note"].format(
            megabytes=way.text.metadata["corpus_bytes"] / 1e6,
            tokens=len(way.text.tokens),
            vocab_size=way.tokenizer.vocab_size,
        ),
        "pretraining": words["pretraining_part_note"].format(
            parameters=way.pretraining.of_kind("start")[0]["parameters"],
            tokens=last["tokens"],
            first=first["perplexity"],
            last=last["perplexity"],
            bits=last["bits_per_byte"],
            **perplexities,
        ),
        "sft": words["sft_part_note"].format(
            conversations=way.n_conversations, first=sft_first["perplexity"], last=sft_last["perplexity"]
        ),
        "answers": words["answer_score"].format(
            n=len(way.held_out.answers), en=way.held_out.right_share("en"), zh=way.held_out.right_share("zh")
        ),
    }


def _tokenized(tokenizer: Tokenizer, words: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for language, text in _EXAMPLES.items():
        pieces = [piece.replace("▁", " ") for piece in tokenizer.pieces(text)]
        note = words["token_note"].format(
            tokens=len(pieces), bytes_per_token=len(text.encode()) / len(pieces)
        )
        yield {"language": language, "pieces": pieces, "note": note}


def _samples(run: RunResult) -> Iterator[dict[str, Any]]:
    perplexity_at = {record["step"]: record["perplexity"] for record in run.of_kind("evaluation")}
    for record in run.of_kind("sample"):
        yield {**record, "perplexity": f"{perplexity_at[record['step']]:,.1f}"}


def _answers(way: WholeWay) -> Iterator[dict[str, str]]:
    for before, after in zip(way.before.answers, way.after.answers, strict=True):
        yield {
            "language": before.question.language,
            "question": before.phrasing,
            "before": before.answer,
            "after": after.answer,
            "reference": before.question.answer,
        }


def _timings(way: WholeWay, words: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    numbers = {
        "lda": {"sweeps": len(way.lda.log_likelihoods_), "chains": len(way.lda.chains_)},
        "pretraining": {"steps": way.pretraining.of_kind("end")[0]["step"]},
        "sft": {"steps": way.sft.of_kind("end")[0]["step"]},
        "answers": {"n": sum(len(asked.answers) for asked in (way.before, way.after, way.held_out))},
    }
    for stage, seconds in way.seconds.items():
        yield words[f"stage_{stage}"].format(**numbers.get(stage, {})), f"{seconds:,.1f}"


def _commands(way: WholeWay) -> str:
    return "\n".join(
        (
            f"minillm chat --ckpt {way.sft.output}",
            f'minillm generate "Return the" --ckpt {way.pretraining.output}',
            f"minillm doctor {way.pretraining.folder}",
            "minillm lda --text your/documents --topics 20",
            "make lab",
        )
    )
