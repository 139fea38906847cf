"""A configuration sized to one's own text and to this machine: what to measure, and what to choose from it.

Everything is chosen from the number of tokens of the text and from the speed of this machine. The rules are rough, and
each is named in the file that ``minillm init`` writes, so that it can be changed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, get_type_hints

from minillm_lib.corpora.conversations import ConversationReport, read_conversations
from minillm_lib.corpora.registry import checked_options, find_corpus, load_corpus
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.devices import best_device, matmul_flops
from minillm_lib.tokenizer import Tokenizer
from minillm_lib.training.config import VOCAB_SIZE, DataConfig, PretrainConfig
from minillm_lib.training.conversation_sources import OPTION
from minillm_lib.training.corpus_text import DataError, survey
from minillm_lib.training.planning import plan
from minillm_lib.training.precision import Precision

SIZES = ("nano", "tiny", "26m", "104m")
MOST_EPOCHS = 20
LEAST_STEPS = 200
_BYTES_PER_PIECE = 500  # each piece of the vocabulary should be met often enough to learn what it means
_COVERAGE = 0.9995  # of the tokenizer's training: rarer characters are spelt in bytes
_SAMPLE_BYTES = 2_000_000
_ROW_LENGTHS = (512, 256, 128, 64, 32)
_MOST_TOKENS_PER_STEP = 8192
_STEPS_PER_EPOCH = 30
_SHARE_OF_PRETRAINING = 0.75
_SFT_EPOCHS = 15


def text_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of the corpus ``files`` besides the paths, each with its type.

    Raises
    ------
    ValueError
        For an unknown option, or a value that it does not allow.
    """
    types = {name: kind for name, kind in find_corpus("files").options.items() if name != "paths"}
    return checked_options("files", types, given)


def conversation_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of :func:`~minillm_lib.corpora.conversations.reading.read_conversations`, each with its type.

    Raises
    ------
    ValueError
        For an unknown option, or a value that it does not allow.
    """
    hints = get_type_hints(read_conversations)
    types = {name: kind for name, kind in hints.items() if name not in ("paths", "report", "return")}
    return checked_options("a file of conversations", types, given)


@dataclass(frozen=True)
class TextFacts:
    """What was measured of a text.

    Attributes
    ----------
    lines
        What was found, in words for the user.
    vocab_size
        A size of the vocabulary that suits the text, and that it yields.
    n_tokens, n_held_out
        Tokens of the training and of the held-out text, estimated from a sample.
    openings
        The first words of some texts.
    """

    lines: tuple[str, ...]
    vocab_size: int
    n_tokens: int
    n_held_out: int
    openings: tuple[str, ...]
    tokenizer: Tokenizer


def measure_text(paths: Sequence[str], how: Mapping[str, Any]) -> TextFacts:
    """Read a text, and train a tokenizer on up to two megabytes of it.

    Parameters
    ----------
    how
        Options of :func:`~minillm_lib.corpora.files.read_files`.

    Raises
    ------
    ValueError
        If there is no text, or too little to hold some out.
    """
    options = {"paths": list(paths), **how}
    found = survey(DataConfig.model_validate({"corpora": [{"name": "files", "options": options}]}))
    sample, n_bytes = list[str](), 0
    for document in load_corpus("files", split="train", **options):
        sample.append(document.text[:_SAMPLE_BYTES])
        n_bytes += len(sample[-1].encode(errors="surrogatepass"))
        if n_bytes >= _SAMPLE_BYTES:
            break
    n_characters = sum(map(len, sample))
    train, held_out = (counts.characters for counts in found.counts.values())
    wanted = 264 + round(n_bytes * train / n_characters / _BYTES_PER_PIECE)
    least = 264 + _characters_needed(sample)
    wanted = min(max(wanted, round(1.3 * least), 320), max(VOCAB_SIZE, round(1.3 * least)))
    tokenizer = Tokenizer.train(sample, vocab_size=-(-wanted // 32) * 32, or_fewer=True)
    per_character = sum(map(len, tokenizer.encode_batch(sample))) / n_characters
    return TextFacts(
        tuple(found.lines),
        tokenizer.vocab_size,
        round(per_character * train),
        round(per_character * held_out),
        tuple(opening for text in islice(sample, 2) if (opening := _opening(text))),
        tokenizer,
    )


def _characters_needed(texts: Sequence[str]) -> int:
    """Return how many different characters make up all but the rarest of a text."""
    counts = Counter[str]()
    for text in texts:
        counts.update(text)
    covered, total = 0, counts.total()
    for number, (_, count) in enumerate(counts.most_common(), start=1):
        covered += count
        if covered >= _COVERAGE * total:
            return number
    return len(counts)


def _opening(text: str, n_words: int = 3, n_characters: int = 24) -> str:
    return " ".join(text.split()[:n_words])[:n_characters]


@dataclass(frozen=True)
class TalkFacts:
    """What was measured of conversations: their number, their tokens, the longest, and the first questions."""

    n: int
    n_tokens: int
    longest: int
    questions: tuple[str, ...]


def measure_conversations(path: str, how: Mapping[str, Any], tokenizer: Tokenizer) -> TalkFacts:
    """Read a file of conversations.

    Parameters
    ----------
    how
        Options of :func:`~minillm_lib.corpora.conversations.reading.read_conversations`.

    Raises
    ------
    ValueError
        If there is none, or the file cannot be read.
    """
    lengths, questions = list[int](), list[str]()
    for conversation in read_conversations(path, report=ConversationReport(spelling=OPTION.format), **how):
        lengths.append(len(tokenizer.chat_ids_and_mask(conversation.messages)[0]))
        question = next(each["content"] for each in conversation.messages if each["role"] == "user")
        if len(questions) < 2 and "\n" not in question:
            questions.append(question)
    return TalkFacts(len(lengths), sum(lengths), max(lengths), tuple(questions))


@dataclass(frozen=True)
class Choice:
    """A model and a schedule for a text.

    Attributes
    ----------
    preset
        The shape of the model, of ``minillm doctor``.
    n_parameters
        With the text's vocabulary.
    max_seq_len, seq_len
        The context of the model, and the tokens per row of training.
    batch_size, steps
        Rows per step, and steps.
    step_seconds
        Measured on this machine.
    sft_seq_len, sft_batch_size, sft_steps
        The same for fine-tuning.
    """

    preset: str
    n_parameters: int
    max_seq_len: int
    seq_len: int
    batch_size: int
    steps: int
    step_seconds: float
    sft_seq_len: int
    sft_batch_size: int
    sft_steps: int

    @property
    def tokens_per_step(self) -> int:
        """Tokens that a step of pretraining reads."""
        return self.seq_len * self.batch_size


def choose(text: TextFacts, talk: TalkFacts | None, hours: float) -> Choice:
    """Choose the largest model that reads at least one token per parameter within the time and twenty epochs.

    Raises
    ------
    DataError
        If the text is shorter than some rows.
    """
    seq_len = next((n for n in _ROW_LENGTHS if text.n_held_out > 2 * n and text.n_tokens >= 16 * n), None)
    if seq_len is None:
        raise DataError(
            f"the text has about {text.n_tokens:,} tokens to train on and {text.n_held_out:,} held out; rows of "
            f"{_ROW_LENGTHS[-1]} tokens need at least {16 * _ROW_LENGTHS[-1]} and {2 * _ROW_LENGTHS[-1] + 1}: "
            "give more text"
        )
    per_step = min(max(text.n_tokens // _STEPS_PER_EPOCH, 4 * seq_len), _MOST_TOKENS_PER_STEP)
    batch_size = max(per_step // seq_len, 1)
    longest = 256 if talk is None else talk.longest
    sft_seq_len = next((n for n in reversed(_ROW_LENGTHS) if n >= longest), _ROW_LENGTHS[0])
    context = max(seq_len, sft_seq_len)
    seconds = 3600 * hours
    peak = matmul_flops(device := best_device(), Precision("auto", device).matmul_dtype)
    by_text = max(MOST_EPOCHS * text.n_tokens // (batch_size * seq_len), LEAST_STEPS)
    for preset in reversed(SIZES):
        model = ModelConfig.from_preset(preset, vocab_size=text.vocab_size, max_seq_len=context)
        is_smallest = preset == SIZES[0]
        at_best = seconds * peak / model.flops_per_token(seq_len)
        if not is_smallest and min(at_best, by_text * batch_size * seq_len) < model.n_parameters:
            continue
        step_seconds = _step_seconds(model, seq_len, batch_size)
        steps = min(by_text, int(_SHARE_OF_PRETRAINING * seconds / step_seconds))
        if is_smallest or steps * batch_size * seq_len >= model.n_parameters:
            break
    per_token = step_seconds / (batch_size * seq_len)
    rows = 1 if talk is None else max(talk.n_tokens // sft_seq_len, 1)
    sft_batch_size = min(8, max(rows // 4, 1)) if talk is not None else 8
    sft_seconds = (1 - _SHARE_OF_PRETRAINING) * seconds
    sft_steps = min(
        max(_SFT_EPOCHS * rows // sft_batch_size, LEAST_STEPS),
        int(sft_seconds / (per_token * sft_seq_len * sft_batch_size)),
    )
    return Choice(
        preset,
        model.n_parameters,
        context,
        seq_len,
        batch_size,
        max(steps, 10),
        step_seconds,
        sft_seq_len,
        sft_batch_size,
        max(sft_steps, 10),
    )


def _step_seconds(model: ModelConfig, seq_len: int, batch_size: int) -> float:
    """Time a step of a model on this machine."""
    config = PretrainConfig(model=model).replace(
        train={"seq_len": seq_len, "batch_size": batch_size, "optimizer": {"name": "muon"}}
    )
    return plan(config).cost.step_seconds


def absolute(path: str) -> str:
    """Return a path or a glob that means the same from any folder."""
    return os.path.abspath(os.path.expanduser(path))


def check_new(*paths: Path) -> None:
    """Check that none of the files exists.

    Raises
    ------
    FileExistsError
        If one does.
    """
    there = [str(path) for path in paths if path.exists()]
    if there:
        raise FileExistsError(f"{', '.join(there)} exists already; give another folder, or remove it")
