"""An HTML report on the demo: topics, text, pretraining, fine-tuning, answers, and how long each of them took.

The page can be written after any stage; it names those that are still to come.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minillm_lib import __version__
from minillm_lib.generation.answers import AnswerReport
from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.training.run import RunResult
from minillm_lib.viz.demo_report_words import WORDS
from minillm_lib.viz.lda_report import Language, check_report_path, report_environment, topic_sections
from minillm_lib.viz.pictures import Picture
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
_N_STAGES = sum(key.startswith("stage_") for key in WORDS["en"])
_PARTS = ("topics_part", "text_part", "pretraining_part", "sft_part", "time_part")


@dataclass
class WholeWay:
    """The results of the demo's stages so far, for :func:`write_demo_report`; those of later stages are None.

    Attributes
    ----------
    lda, bag
        The topics, which come first.
    tokenizer, text, baselines
        The tokenizer, the training text of pretraining, and held-out losses in nats per token by name: ``unigram``,
        ``bigram``, and optionally more.
    pretraining, sft
        The two runs.
    n_conversations
        Number of conversations that the model was fine-tuned on.
    before, after
        Answers to the same questions before and after fine-tuning.
    held_out
        Answers to further questions after fine-tuning.
    seconds
        Duration of each finished stage: ``lda``, ``data``, ``pretraining``, ``sft``, ``answers``.
    """

    lda: GibbsLDA
    bag: BagOfWords
    tokenizer: Tokenizer | None = None
    text: TokenFile | None = None
    baselines: Mapping[str, float] = field(default_factory=dict)
    pretraining: RunResult | None = None
    sft: RunResult | None = None
    n_conversations: int = 0
    before: AnswerReport | None = None
    after: AnswerReport | None = None
    held_out: AnswerReport | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    _sections: dict[Language, str] = field(default_factory=dict, init=False, repr=False)

    def topic_sections(self, language: Language) -> str:
        """Return what the page shows of the topics, as HTML; it is the same after every stage, and drawn only once."""
        if language not in self._sections:
            shown = topic_sections(self.lda, self.bag, language, n_documents=2) | {"cleaning": []}
            self._sections[language] = report_environment().get_template("topic_sections.html").render(shown)
        return self._sections[language]


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
    n_done = len(way.seconds)
    return (
        report_environment()
        .get_template("demo_report.html")
        .render(
            language=language,
            title=words["title"],
            words={**words, "footer": words["footer"].format(version=__version__)},
            unfinished=words["unfinished"].format(done=n_done, stages=_N_STAGES)
            if n_done < _N_STAGES
            else "",
            facts=[],
            example=_example(way, words, language),
            meanings=list(_meanings(way, words)),
            parts=[{"name": part.replace("_", "-"), "heading": words[part]} for part in _PARTS],
            topics=way.topic_sections(language),
            text=_text(way, words),
            pretraining=_pretraining(way, words),
            sft=_sft(way, words),
            answers=_answers(way, words),
            timings=list(_timings(way, words)),
            commands=_commands(way),
        )
    )


def _example(way: WholeWay, words: Mapping[str, str], language: Language) -> dict[str, Any] | None:
    """Return one question in the language of the page, answered right after training if there is such a one."""
    answers = _answers(way, words)
    if answers is None:
        return None
    rows = sorted(answers["rows"], key=lambda row: (row["language"] != language, not row["after_is_right"]))
    return rows[0] if rows else None


def _meanings(way: WholeWay, words: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield the key figures: the name of each, its value, and what it means."""
    n_topics, n_papers = len(way.lda.topic_word_), way.bag.counts.shape[0]
    if way.held_out is not None:
        shares = {language: way.held_out.right_share(language) for language in ("en", "zh")}
        value = words["right_value"].format(**shares)
        yield words["right"], value, words["right_means"].format(n=len(way.held_out.answers), **shares)
    if way.pretraining is not None:
        run = way.pretraining
        first, best = run.of_kind("evaluation")[0], run.best
        counted = {name: math.exp(loss) for name, loss in way.baselines.items()}
        means = words["held_out_means"].format(best=best["perplexity"], first=first["perplexity"])
        if "bigram" in counted:
            means += words["bigram_means"].format(bigram=counted["bigram"])
        yield words["held_out"], f"{best['perplexity']:,.1f}", means
        yield words["parameters"], f"{run.of_kind('start')[0]['parameters']:,}", words["parameters_means"]
        yield words["tokens_read"], f"{best['tokens']:,}", words["tokens_read_means"]
    yield words["topics"], str(n_topics), words["topics_means"].format(n_papers=n_papers)
    minutes = sum(way.seconds.values()) / 60
    yield words["time"], words["minutes"].format(minutes=minutes), words["time_means"]


def _text(way: WholeWay, words: Mapping[str, str]) -> dict[str, Any] | None:
    if way.text is None or way.tokenizer is None:
        return None
    note = words["text_part_note"].format(
        megabytes=way.text.metadata["corpus_bytes"] / 1e6,
        tokens=len(way.text.tokens),
        vocab_size=way.tokenizer.vocab_size,
    )
    return {"note": note, "tokenized": list(_tokenized(way.tokenizer, words))}


def _pretraining(way: WholeWay, words: Mapping[str, str]) -> dict[str, Any] | None:
    run = way.pretraining
    if run is None:
        return None
    first, last = run.of_kind("evaluation")[0], run.best
    note = words["pretraining_part_note"].format(
        parameters=run.of_kind("start")[0]["parameters"],
        tokens=last["tokens"],
        first=first["perplexity"],
        last=last["perplexity"],
        bits=last["bits_per_byte"],
        **{name: math.exp(loss) for name, loss in way.baselines.items()},
    )
    figure = Picture.of(lambda axes: plot_losses(run.records, baselines=way.baselines, ax=axes))
    return {"note": note, "figure": figure, "samples": list(_samples(run))}


def _sft(way: WholeWay, words: Mapping[str, str]) -> dict[str, Any] | None:
    run = way.sft
    if run is None:
        return None
    first, last = run.of_kind("evaluation")[0], run.best
    note = words["sft_part_note"].format(
        conversations=way.n_conversations, first=first["perplexity"], last=last["perplexity"]
    )
    return {"note": note, "figure": Picture.of(lambda axes: plot_losses(run.records, ax=axes))}


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


def _answers(way: WholeWay, words: Mapping[str, str]) -> dict[str, Any] | None:
    if way.before is None or way.after is None or way.held_out is None:
        return None
    note = words["answer_score"].format(
        n=len(way.held_out.answers), en=way.held_out.right_share("en"), zh=way.held_out.right_share("zh")
    )
    rows = [
        {
            "language": before.question.language,
            "question": before.phrasing,
            "before": before.answer.strip() or words["no_answer"],
            "before_is_right": before.is_right,
            "after": after.answer.strip() or words["no_answer"],
            "after_is_right": after.is_right,
            "reference": before.question.answer,
        }
        for before, after in zip(way.before.answers, way.after.answers, strict=True)
    ]
    return {"note": note, "rows": rows}


def _timings(way: WholeWay, words: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    numbers = {"lda": {"sweeps": len(way.lda.log_likelihoods_), "chains": len(way.lda.chains_)}}
    for name, run in (("pretraining", way.pretraining), ("sft", way.sft)):
        if run is not None:
            numbers[name] = {"steps": run.of_kind("end")[0]["step"]}
    asked = (each.answers for each in (way.before, way.after, way.held_out) if each is not None)
    numbers["answers"] = {"n": sum(map(len, asked))}
    for stage, seconds in way.seconds.items():
        yield words[f"stage_{stage}"].format(**numbers.get(stage, {})), f"{seconds:,.1f}"


def _commands(way: WholeWay) -> str:
    """Return commands to go on with, once there is a model."""
    if way.pretraining is None or way.sft is None:
        return ""
    return "\n".join(
        (
            f"minillm chat --ckpt {way.sft.output}",
            f'minillm generate "Return the" --ckpt {way.pretraining.output}',
            f"minillm doctor {way.pretraining.folder}",
            "minillm lda --text your/documents --topics 20",
            "make lab",
        )
    )
