"""Learn a SentencePiece vocabulary from texts."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterable
from typing import Any

import sentencepiece
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from minillm_lib.tokenizer.sentence_piece import RESERVED, SPECIAL_TOKENS, SentencePieceTokenizer
from minillm_lib.tokenizer.texts import utf8_of_each

MODEL_TYPES = ("bpe", "unigram")

# In training, U+2581 would be taken for a space, and a text with U+2585 would be skipped.
_SENTENCE = re.compile(r"[^▁▅]{1,4000}")
_TRAINING: dict[str, Any] = {
    "max_sentence_length": 4 * 4000,
    "normalization_rule_name": "identity",
    "add_dummy_prefix": False,
    "remove_extra_whitespaces": False,
    "allow_whitespace_only_pieces": True,
    "split_digits": True,
    "byte_fallback": True,
    **{f"{name}_id": token_id for token_id, name in enumerate(("pad", "unk", "bos", "eos"))},
    **{f"{name}_piece": f"<|{name}|>" for name in ("pad", "unk", "bos", "eos")},
    "control_symbols": list(SPECIAL_TOKENS[4:]),
    "required_chars": "".join(sorted(set("".join(RESERVED)))),
    # Unigram training adds up one share of the corpus per thread; the sum is fixed only if the number of shares is.
    "num_threads": 16,
    "minloglevel": 2,
}


_ABORTING_VERSIONS = ("0.2.2",)  # "Check failed: freq > 0", in C++


def train(
    texts: Iterable[str],
    *,
    vocab_size: int = 6400,
    model_type: str = "bpe",
    character_coverage: float = 0.9995,
    or_fewer: bool = False,
) -> SentencePieceTokenizer:
    """Learn a vocabulary from texts: see :meth:`~minillm_lib.tokenizer.interface.Tokenizer.train`."""
    if model_type not in MODEL_TYPES:
        raise ValueError(f"model_type is {model_type!r}; it must be one of {', '.join(MODEL_TYPES)}")
    if not 0.98 <= character_coverage <= 1:
        raise ValueError(f"character_coverage is {character_coverage}; it must be from 0.98 to 1")
    if sentencepiece.__version__ in _ABORTING_VERSIONS:
        raise ValueError(
            f"sentencepiece {sentencepiece.__version__} ends the whole process when it trains on characters that are "
            "reserved but not in the text; install another version of it: pip install 'sentencepiece!=0.2.2'"
        )
    if vocab_size <= len(RESERVED):
        raise ValueError(f"vocab_size is {vocab_size}; it must be above {len(RESERVED)}")
    sentences = [part for text in utf8_of_each(texts) for part in _SENTENCE.findall(text.decode())]
    if not any(map(str.strip, sentences)):
        raise ValueError("there is no text to train on: all texts are empty or white space")
    model = io.BytesIO()
    options = _TRAINING | {
        "vocab_size": vocab_size,
        "model_type": model_type,
        "character_coverage": character_coverage,
    }
    try:
        SentencePieceTrainer.Train(sentence_iterator=iter(sentences), model_writer=model, **options)
    except RuntimeError as error:
        if or_fewer and (most := _largest_possible(str(error))):
            return train(
                sentences, vocab_size=most, model_type=model_type, character_coverage=character_coverage
            )
        if problem := _vocab_size_problem(str(error)):
            raise ValueError(f"vocab_size is {vocab_size}, but {problem}") from error
        raise
    return SentencePieceTokenizer(
        model.getvalue() if model_type == "bpe" else _with_rounded_scores(model.getvalue())
    )


def _largest_possible(message: str) -> int | None:
    """Return the largest ``vocab_size`` that SentencePiece's message allows, if it is about that."""
    most = re.search(r"too high .* <= (\d+)", message)
    return None if most is None else int(most[1])


def _vocab_size_problem(message: str) -> str | None:
    """Rephrase SentencePiece's message about ``vocab_size``; return ``None`` if it is about something else."""
    if most := _largest_possible(message):
        return f"this corpus yields at most {most}; lower it, or give more text"
    if least := re.search(r"required_chars\. \d+ vs (\d+)", message):
        needs = f"special tokens, bytes and this corpus's characters alone take {least[1]}"
        return f"{needs}; raise it, or lower character_coverage, an option of minillm tokenizer train"
    return None


def _with_rounded_scores(model: bytes) -> bytes:
    """Round a unigram model's log-probabilities to multiples of 1/64.

    The score of a segmentation is the sum over its pieces, and ties are common: ``--- -`` and ``- ---`` have the
    same pieces. Rounding makes sums exact in float64 and, below 2^18 nats (texts of about 200 kB), in float32.
    The order of summation therefore makes no difference, and Hugging Face (float64) finds the same ties as
    SentencePiece (float32).
    """
    processor = SentencePieceProcessor(model_proto=model)
    rounded, position = bytearray(model), 0
    for token_id in range(len(RESERVED), len(processor)):
        piece = processor.IdToPiece(token_id).encode()
        protobuf_field = b"\n" + bytes([len(piece)]) + piece + b"\x15"
        position = rounded.index(protobuf_field, position) + len(protobuf_field)
        struct.pack_into("<f", rounded, position, round(processor.GetScore(token_id) * 64) / 64)
    return bytes(rounded)
