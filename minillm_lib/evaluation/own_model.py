"""What a model of one's own text does: how well it predicts text that it has not read, and whether it answers.

Everything is computed again from the files: the checkpoints, the token files, and the conversations.
"""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from minillm_lib.corpora.cleaning.duplicates import shingles
from minillm_lib.corpora.conversations import read_conversations
from minillm_lib.corpora.faq import FaqQuestion
from minillm_lib.generation.answers import AnswerReport, check_answers
from minillm_lib.generation.sampling import SamplingConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.eval_view import in_eval_mode
from minillm_lib.model.ngram import NGramModel
from minillm_lib.tokenizer import Tokenizer
from minillm_lib.training.config import PretrainConfig
from minillm_lib.training.data import PretrainingData, open_pretraining_data
from minillm_lib.training.rows import Rows, batch_loss, evenly_spaced
from minillm_lib.training.run import RunResult, RunSource
from minillm_lib.training.run_folder import RunError
from minillm_lib.training.token_file import TokenFile

ENOUGH_WORDINGS = 3
_ROWS_AT_A_TIME = 8
_LEAKED = 0.7


@dataclass(frozen=True)
class OwnModelFigures:
    """What was measured of a model of one's own text.

    Attributes
    ----------
    n_parameters, n_tokens, n_held_out
        The size of the model, and the tokens of the training text and of the held-out text.
    n_leaked
        Held-out documents of which the training text holds a copy, or nearly one.
    ngram_bits, base_bits, chat_bits
        Bits per byte of the held-out text: by a bigram model of the training text, by the model after pretraining, and
        by the model after fine-tuning.
    training_bits
        Bits per byte of the training text, by the model after pretraining.
    before, after
        The answers of the model before and after fine-tuning, to the questions as they were taught.
    reworded
        The answers after fine-tuning, to questions in words that were held out; None if there are none.
    """

    n_parameters: int
    n_tokens: int
    n_held_out: int
    n_leaked: int
    ngram_bits: float
    base_bits: float
    chat_bits: float
    training_bits: float
    before: AnswerReport
    after: AnswerReport
    reworded: AnswerReport | None


def examine_own_model(
    run: RunSource,
    chat: str | os.PathLike[str],
    conversations: str | os.PathLike[str],
    *,
    most_tokens: int = 40_000,
    most_questions: int = 60,
) -> OwnModelFigures:
    """Measure a base model and a chat model of one's own text.

    Parameters
    ----------
    run
        The folder of a finished pretraining run.
    chat
        The checkpoint of the model that was fine-tuned after it.
    conversations
        The file of all conversations, as :func:`own_questions` reads it.
    most_tokens
        The most tokens of training and of held-out text that the models read.
    most_questions
        The most questions of each kind that are asked.

    Raises
    ------
    RunError
        If there is no finished pretraining run in the folder, or its text is gone.
    ValueError
        If a checkpoint or a conversation cannot be read, or the chat model has another tokenizer.
    """
    result = RunResult.of(run)
    if result.stage != "pretrain":
        raise RunError(
            f"{result.name} is a run of {result.stage!r}; the folder of a pretraining run is needed"
        )
    base, data = result.load_model(), _text_of(result)
    tuned = MiniLLM.load_from_checkpoint(chat)
    for name, model in (("base", base), ("chat", tuned)):
        if model.tokenizer is None or model.tokenizer.sha256 != data.tokenizer.sha256:
            raise ValueError(f"the {name} model has another tokenizer than the text of the run")
    seq_len = min(int(result.setting("train", "seq_len") or base.config.max_seq_len), base.config.max_seq_len)
    held_out, training = data.windows("validation", seq_len), data.windows("train", seq_len)
    questions = own_questions(conversations)
    taught = [(each, words) for each in questions for words in each.phrasings]
    reworded = [(each, words) for each in questions for words in each.held_out]

    def asked(model: MiniLLM, pairs: Sequence[tuple[FaqQuestion, str]]) -> AnswerReport:
        sampling = SamplingConfig(temperature=0.0, max_new_tokens=96)
        chosen = [pairs[number] for number in evenly_spaced(len(pairs), most_questions)]
        return check_answers(model, chosen, questions, sampling=sampling, progress=False)

    return OwnModelFigures(
        base.config.n_parameters,
        len(data.train.tokens),
        len(data.validation.tokens),
        leaked_documents(data.train, data.validation, data.tokenizer),
        _ngram_bits(data),
        bits_per_byte(base, held_out, most_tokens),
        bits_per_byte(tuned, held_out, most_tokens),
        bits_per_byte(base, training, most_tokens),
        asked(base, taught),
        asked(tuned, taught),
        asked(tuned, reworded) if reworded else None,
    )


def _text_of(result: RunResult) -> PretrainingData:
    try:
        return open_pretraining_data(PretrainConfig.model_validate(dict(result.config)).text)
    except FileNotFoundError as error:
        raise RunError(f"{result.name}: the text that the run has read is gone: {error}") from None


def own_questions(path: str | os.PathLike[str]) -> list[FaqQuestion]:
    """Read conversations as questions, of which each has one answer and one or several wordings.

    Conversations with the same answer are one question in several wordings. Of three wordings or more, the last is held
    out. Of a longer conversation, the first question and its answer count.

    Raises
    ------
    ValueError
        If a conversation cannot be read, or there is none.
    """
    wordings: dict[str, list[str]] = defaultdict(list)
    for conversation in read_conversations(Path(path)):
        said = [turn for turn in conversation.messages if turn["role"] != "system"]
        wordings[said[1]["content"]].append(said[0]["content"])
    if not wordings:
        raise ValueError(f"{path} holds no conversation")
    questions = []
    for number, (answer, asked) in enumerate(wordings.items()):
        cut = len(asked) - (len(asked) >= ENOUGH_WORDINGS)
        questions.append(
            FaqQuestion(str(number), "own", "en", answer, tuple(asked[:cut]), tuple(asked[cut:]))
        )
    return questions


@torch.no_grad()
def bits_per_byte(model: MiniLLM, rows: Rows, most_tokens: int = 40_000) -> float:
    """Compute the bits per byte of rows of text, spread evenly over all, in float32.

    Raises
    ------
    ValueError
        If the model has no tokenizer.
    """
    if model.tokenizer is None:
        raise ValueError("the model has no tokenizer, so the bytes of its tokens are not known")
    quiet, n_bytes_of = in_eval_mode(model), np.array(model.tokenizer.byte_lengths)
    chosen = evenly_spaced(len(rows), max(most_tokens // rows.seq_len, 1))
    nats, n_bytes = 0.0, 0
    for start in range(0, len(chosen), _ROWS_AT_A_TIME):
        batch = rows[chosen[start : start + _ROWS_AT_A_TIME]]
        nats += float(batch_loss(quiet, batch.to(model.device), "sum"))
        n_bytes += int(n_bytes_of[batch.labels.numpy()].sum())
    return nats / math.log(2) / max(n_bytes, 1)


def _ngram_bits(data: PretrainingData) -> float:
    tokens = np.asarray(data.validation.tokens)
    n_bytes = np.array(data.tokenizer.byte_lengths)[tokens[1:]].sum()
    loss = NGramModel(2, data.tokenizer.vocab_size).fit(data.train.tokens).loss(tokens)
    return float(loss * (len(tokens) - 1) / math.log(2) / max(n_bytes, 1))


def leaked_documents(train: TokenFile, held_out: TokenFile, tokenizer: Tokenizer) -> int:
    """Count the held-out documents of which the training text holds a copy, or nearly one.

    All of both are read. Two documents are nearly the same if the Jaccard similarity of their runs of five words is at
    least 0.7; case, spaces and punctuation do not count.
    """
    found = [shingles(tokenizer.decode(held_out.document(number))) for number in range(len(held_out))]
    where: dict[str, list[int]] = defaultdict(list)
    for number, own in enumerate(found):
        for run in own:
            where[run].append(number)
    leaked = set[int]()
    for index in range(len(train)):
        own = shingles(tokenizer.decode(train.document(index)))
        shared = Counter(number for run in own for number in where.get(run, ()))
        leaked |= {
            number for number, n in shared.items() if n >= _LEAKED * (len(own) + len(found[number]) - n)
        }
    return len(leaked)
