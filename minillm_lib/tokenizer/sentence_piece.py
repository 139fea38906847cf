"""Text to token ids and back: lossless SentencePiece, special tokens that no text can forge, and chat.

A piece is a string to which training gave its own id (BPE: Sennrich, Haddow & Birch 2016; unigram: Kudo 2018;
SentencePiece: Kudo & Richardson 2018). A character that is not a piece is written as its UTF-8 bytes, each of which
has an id (byte fallback). Every text therefore has ids, which decode to exactly that text.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar

from sentencepiece import SentencePieceProcessor

from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.io.checksums import renew_if_listed, write_checksums
from minillm_lib.tokenizer.interface import Tokenizer
from minillm_lib.tokenizer.messages import CHAT_TEMPLATE, ROLES, turns_of_messages
from minillm_lib.tokenizer.sealed_model import sealed, unsealed
from minillm_lib.tokenizer.texts import utf8, utf8_of_each

SPECIAL_TOKENS = (
    "<|pad|>",
    "<|unk|>",
    "<|bos|>",
    "<|eos|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
)
"""The first ids of every vocabulary, in this order. The 256 bytes follow, then the pieces learned from text."""

MODEL_FILE = "tokenizer.model"
RESERVED = (*SPECIAL_TOKENS, *(f"<0x{value:02X}>" for value in range(256)))
SPACE = "▁"
"""U+2581, SentencePiece's own symbol for a space; if a text contains it, it is written as bytes."""


def bytes_as_ids(text: str) -> list[int]:
    """Return the ids of the UTF-8 bytes of a text, as which characters are written that are no pieces."""
    return [len(SPECIAL_TOKENS) + byte for byte in text.encode()]


class SentencePieceTokenizer(Tokenizer):
    """A SentencePiece model with fixed special tokens, in which any string survives encoding and decoding.

    A conversation is a sequence of turns. Each turn consists of a role's token, the content and ``<|end|>``, with
    nothing in between::

        <|system|>Be brief.<|end|><|user|>What is LDA?<|end|><|assistant|>A topic model.<|end|>

    Parameters
    ----------
    model
        The content of a ``tokenizer.model`` file.

    Attributes
    ----------
    unk_id
        An id that never occurs, but that file formats require.
    role_ids
        The id that opens a turn, for each role.

    Raises
    ------
    ValueError
        If ``model`` is damaged, or was not made by :meth:`train`.
    """

    pad_id, unk_id, bos_id, eos_id = range(4)
    role_ids: ClassVar[Mapping[str, int]] = dict(zip(ROLES, range(4, 7), strict=True))
    end_of_turn_id = 7
    end_ids = (eos_id, end_of_turn_id)
    begins_with_bos = False
    file_name = MODEL_FILE
    chat_template = CHAT_TEMPLATE

    def __init__(self, model: bytes) -> None:
        model = unsealed(model)
        processor = SentencePieceProcessor()
        try:
            processor.LoadFromSerializedProto(model)
        except RuntimeError as error:
            raise ValueError("this is not a SentencePiece model, or it is damaged") from error
        self._model, self._processor = model, processor
        self.vocabulary = tuple(processor.IdToPiece(token_id) for token_id in range(len(processor)))
        if self.vocabulary[: len(RESERVED)] != RESERVED or processor.Normalize("  ﬁ ") != "▁▁ﬁ▁":
            raise ValueError("this SentencePiece model was not made by Tokenizer.train, or it is truncated")
        self._learned = [piece.replace(SPACE, " ") for piece in self.vocabulary[len(RESERVED) :]]
        special, learned = ([text.encode() for text in texts] for texts in (SPECIAL_TOKENS, self._learned))
        self._surfaces = [*special, *(bytes([value]) for value in range(256)), *learned]

    @property
    def sha256(self) -> str:  # noqa: D102
        return hashlib.sha256(self._model).hexdigest()

    @property
    def byte_lengths(self) -> tuple[int, ...]:  # noqa: D102
        return (0,) * len(SPECIAL_TOKENS) + tuple(map(len, self._surfaces[len(SPECIAL_TOKENS) :]))

    @property
    def model_type(self) -> str:  # noqa: D102
        return "bpe" if self._scores() == [-rank for rank in range(len(self._learned))] else "unigram"

    def _scores(self) -> list[float]:
        return [self._processor.GetScore(token_id) for token_id in range(len(RESERVED), self.vocab_size)]

    def encode(self, text: str, *, add_bos: bool = False, add_eos: bool = False) -> list[int]:  # noqa: D102
        parts = map(self._processor.Encode, utf8(text).split(SPACE.encode()))
        return self._joined(parts, add_bos, add_eos)

    def encode_batch(  # noqa: D102
        self,
        texts: Iterable[str],
        *,
        add_bos: bool = False,
        add_eos: bool = False,
        n_threads: int | None = None,
    ) -> list[list[int]]:
        split = [text.split(SPACE.encode()) for text in utf8_of_each(texts)]
        parts = iter(self._processor.Encode(list(chain.from_iterable(split)), num_threads=n_threads or -1))
        return [self._joined(islice(parts, len(own)), add_bos, add_eos) for own in split]

    def _joined(self, parts: Iterator[list[int]], add_bos: bool, add_eos: bool) -> list[int]:
        """Return a text's ids, given the ids of its parts between one U+2581 and the next."""
        ids = [self.bos_id] * add_bos + next(parts)
        for part in parts:
            ids += bytes_as_ids(SPACE) + part
        return ids + [self.eos_id] * add_eos

    @cached_property
    def encodes_words_apart(self) -> bool:  # noqa: D102
        return not any(re.search("[^▁]▁", piece) for piece in self.vocabulary)

    def files(self) -> dict[str, bytes]:  # noqa: D102
        return {MODEL_FILE: sealed(self._model)}

    def _surface(self, token_id: int) -> bytes:
        return self._surfaces[token_id]

    def _is_special(self, token_id: int) -> bool:
        return token_id < len(SPECIAL_TOKENS)

    def apply_chat_template(  # noqa: D102
        self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = False
    ) -> list[int]:
        ids, _ = self.chat_ids_and_mask(messages)
        return [*ids, self.role_ids["assistant"]] if add_generation_prompt else ids

    def chat_ids_and_mask(self, messages: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[bool]]:  # noqa: D102
        ids: list[int] = []
        mask: list[bool] = []
        for role, text in turns_of_messages(messages):
            turn = [*self._encode_turn(role, text), self.end_of_turn_id]
            ids += [self.role_ids[role], *turn]
            mask += [False] + [role == "assistant"] * len(turn)
        return ids, mask

    def _encode_turn(self, role: str, text: str) -> list[int]:
        return self.encode(text)

    def save(self, path: str | Path) -> Path:
        """Write the tokenizer to ``path`` if that ends in ``.model``, or else to ``tokenizer.model`` in a folder.

        Use it to keep a tokenizer by itself, for :meth:`load`: unlike :meth:`save_hugging_face`, it writes one
        SentencePiece file, and unlike :func:`~minillm_lib.model.checkpoint.save_checkpoint`, no model.

        Returns
        -------
        Path
            The file.
        """
        path = Path(path)
        file = path if path.suffix == ".model" else path / MODEL_FILE
        write_atomically(file, sealed(self._model))
        renew_if_listed(file.parent, [file.name])
        return file

    def save_hugging_face(self, folder: str | Path) -> Path:
        """Write a folder that ``transformers.AutoTokenizer.from_pretrained`` loads, without code from this package.

        Use it to give the tokenizer to other programs: beside the file of :meth:`save`, it writes the files of
        transformers, and :func:`~minillm_lib.model.checkpoint.save_checkpoint` calls it for the tokenizer of a model.

        transformers gives the same ids for any text (with a unigram model, up to about 200 kB) and any conversation,
        unless they contain strings such as ``<|end|>``, which by default become special tokens there. Loaded or called
        with ``split_special_tokens=True``, it gives the same ids for such text, too. With
        ``sanitize_control_tokens=True``, its ``apply_chat_template`` treats them as text, but separates them from
        their neighbours. For bytes that are not UTF-8, its ``decode`` may give a different number of U+FFFD.
        """
        folder = Path(folder)
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **{f"{name}_token": f"<|{name}|>" for name in ("pad", "unk", "bos", "eos")},
            "additional_special_tokens": list(SPECIAL_TOKENS[4:]),
            "clean_up_tokenization_spaces": False,
            "model_input_names": ["input_ids", "attention_mask"],
            "padding_side": "left",
        }
        self.save(folder)
        for name, content in (("tokenizer.json", self._tokenizers_json()), ("tokenizer_config.json", config)):
            write_atomically(folder / name, json.dumps(content, ensure_ascii=False, indent=1).encode())
        write_atomically(folder / "chat_template.jinja", CHAT_TEMPLATE.encode())
        write_checksums(
            folder, [MODEL_FILE, "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]
        )
        return folder

    def _tokenizers_json(self) -> dict[str, Any]:
        """Return the model in the format of Hugging Face's ``tokenizers``.

        Its pieces contain plain spaces, so it needs no normaliser, and U+2581 is left to byte fallback, as it is here.
        """
        flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        return {
            "version": "1.0",
            "added_tokens": [{"id": i, "content": token, **flags} for i, token in enumerate(SPECIAL_TOKENS)],
            "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
            "model": {
                "byte_fallback": True,
                **(self._bpe_json() if self.model_type == "bpe" else self._unigram_json()),
            },
        }

    def _bpe_json(self) -> dict[str, Any]:
        """Return the BPE model, with its merges.

        SentencePiece merges any two neighbours that form a piece, so each way to split a piece in two is a merge.
        """
        pieces = set(self._learned)
        halves = ((piece[:i], piece[i:]) for piece in self._learned for i in range(1, len(piece)))
        return {
            "type": "BPE",
            "vocab": {piece: token_id for token_id, piece in enumerate([*RESERVED, *self._learned])},
            "merges": [pair for pair in halves if pieces.issuperset(pair)],
        }

    def _unigram_json(self) -> dict[str, Any]:
        """Return the unigram model, with scores that keep reserved names out of texts.

        ``tokenizers`` looks for reserved names in texts too. Their score here keeps them off every best path: their
        characters are pieces (``required_chars`` in :meth:`train`), so there is always a far better path.
        """
        scores = [-1e6] * len(RESERVED) + self._scores()
        pieces = [*RESERVED, *self._learned]
        return {"type": "Unigram", "unk_id": self.unk_id, "vocab": list(zip(pieces, scores, strict=True))}

    def __eq__(self, other: object) -> bool:
        return self._model == other._model if isinstance(other, SentencePieceTokenizer) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._model)

    def __reduce__(self) -> tuple[type[SentencePieceTokenizer], tuple[bytes]]:
        return type(self), (self._model,)
