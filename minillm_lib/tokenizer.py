"""Text to token ids and back: lossless SentencePiece, special tokens that no text can forge, and chat.

A piece is a string to which training gave its own id (BPE: Sennrich, Haddow & Birch 2016; unigram: Kudo 2018;
SentencePiece: Kudo & Richardson 2018). A character that is not a piece is written as its UTF-8 bytes, each of which
has an id (byte fallback). Every text therefore has ids, which decode to exactly that text.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import json
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar

from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from minillm_lib.io.atomic_write import write_atomically

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

ROLES = ("system", "user", "assistant")
MODEL_TYPES = ("bpe", "unigram")
MODEL_FILE = "tokenizer.model"

CHAT_TEMPLATE = """\
{%- for message in messages %}
{%- if message.role not in ['system', 'user', 'assistant'] %}
{{- raise_exception('unknown role: ' + message.role) }}
{%- elif message.role == 'system' and not loop.first %}
{{- raise_exception('only the first message may be a system message') }}
{%- endif %}
{{- '<|' + message.role + '|>' }}
{%- if message.role == 'assistant' %}
{%- generation %}{{- message.content + '<|end|>' }}{%- endgeneration %}
{%- else %}
{{- message.content + '<|end|>' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|assistant|>' }}
{%- endif %}
"""
"""The chat format as a Jinja template for ``transformers``; its ``generation`` block marks the assistant's tokens."""

_RESERVED = (*SPECIAL_TOKENS, *(f"<0x{value:02X}>" for value in range(256)))
_SPACE = "▁"  # U+2581, SentencePiece's own symbol for a space; if a text contains it, it is written as bytes
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
    "required_chars": "".join(sorted(set("".join(_RESERVED)))),
    # Unigram training adds up one share of the corpus per thread; the sum is fixed only if the number of shares is.
    "num_threads": 16,
    "minloglevel": 2,
}


class Tokenizer:
    """A SentencePiece model with fixed special tokens, in which any string survives encoding and decoding.

    Create one with :meth:`train` or :meth:`load`.

    Text never becomes a special token, whatever it looks like: ``encode("<|end|>")`` gives the pieces of those
    seven characters. Special tokens are only added by id: through ``add_bos``, ``add_eos`` and the chat template.

    A conversation is a sequence of turns. Each turn consists of a role's token, the content and ``<|end|>``, with
    nothing in between::

        <|system|>Be brief.<|end|><|user|>What is LDA?<|end|><|assistant|>A topic model.<|end|>

    Tokenizers are equal if their models are. They can be pickled, and used by several threads at the same time.

    Parameters
    ----------
    model
        The content of a ``tokenizer.model`` file.

    Attributes
    ----------
    vocabulary
        Tuple of the pieces by id, in which ``▁`` is a space and ``<0x0A>`` a byte.
    pad_id, unk_id, bos_id, eos_id
        Ids of special tokens. ``unk_id`` never occurs, but file formats require it.
    role_ids
        The id that opens a turn, for each role.
    end_of_turn_id
        The id that closes a turn, and at which a chat model therefore stops.

    Raises
    ------
    ValueError
        If ``model`` is damaged, or was not made by :meth:`train`.

    Examples
    --------
    >>> tokenizer = Tokenizer.train(["a rose is a rose is a rose"] * 9, vocab_size=310)
    >>> tokenizer.pieces("a rose 🌹")
    ['a', '▁rose', '▁', '<0xF0>', '<0x9F>', '<0x8C>', '<0xB9>']
    >>> tokenizer.decode(tokenizer.encode("a rose 🌹"))
    'a rose 🌹'
    """

    pad_id, unk_id, bos_id, eos_id = range(4)
    role_ids: ClassVar[Mapping[str, int]] = dict(zip(ROLES, range(4, 7), strict=True))
    end_of_turn_id = 7

    def __init__(self, model: bytes) -> None:
        processor = SentencePieceProcessor()
        try:
            processor.LoadFromSerializedProto(model)
        except RuntimeError as error:
            raise ValueError("this is not a SentencePiece model, or it is damaged") from error
        self._model, self._processor = model, processor
        self.vocabulary = tuple(processor.IdToPiece(token_id) for token_id in range(len(processor)))
        if self.vocabulary[: len(_RESERVED)] != _RESERVED or processor.Normalize("  ﬁ ") != "▁▁ﬁ▁":
            raise ValueError("this SentencePiece model was not made by Tokenizer.train, or it is truncated")
        self._learned = [piece.replace(_SPACE, " ") for piece in self.vocabulary[len(_RESERVED) :]]
        special, learned = ([text.encode() for text in texts] for texts in (SPECIAL_TOKENS, self._learned))
        self._surfaces = [*special, *(bytes([value]) for value in range(256)), *learned]

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        *,
        vocab_size: int = 6400,
        model_type: str = "bpe",
        character_coverage: float = 0.9995,
    ) -> Tokenizer:
        """Learn a vocabulary from texts.

        All texts are held in memory; if the corpus is large, pass a sample. Nothing is random, and work is divided in
        the same way on every machine, so the same texts give the same model, byte for byte.

        Parameters
        ----------
        texts
            The corpus; each text is a string.
        vocab_size
            Number of ids, including the 264 ids of special tokens and bytes.
        model_type
            ``"bpe"`` merges frequent pairs; ``"unigram"`` prunes a large vocabulary by likelihood.
        character_coverage
            Share of the corpus's characters, counting repetitions, that become pieces, from 0.98 to 1. The rare
            characters beyond it are left to byte fallback.

        Raises
        ------
        ValueError
            For a ``vocab_size`` that the corpus cannot fill or that has no room for its characters (the message
            gives the bound), for an unknown ``model_type``, for a ``character_coverage`` out of range, for a corpus
            without text, and for lone surrogates.
        TypeError
            If ``texts`` is a single string, or a text is not a string.
        """
        if model_type not in MODEL_TYPES:
            raise ValueError(f"model_type is {model_type!r}; it must be one of {', '.join(MODEL_TYPES)}")
        if not 0.98 <= character_coverage <= 1:
            raise ValueError(f"character_coverage is {character_coverage}; it must be from 0.98 to 1")
        if vocab_size <= len(_RESERVED):
            raise ValueError(f"vocab_size is {vocab_size}; it must be above {len(_RESERVED)}")
        sentences = [part for text in _utf8_of_each(texts) for part in _SENTENCE.findall(text.decode())]
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
            if problem := _vocab_size_problem(str(error)):
                raise ValueError(f"vocab_size is {vocab_size}, but {problem}") from error
            raise
        return cls(model.getvalue() if model_type == "bpe" else _with_rounded_scores(model.getvalue()))

    @property
    def vocab_size(self) -> int:
        """The number of ids: special tokens, bytes and learned pieces."""
        return len(self.vocabulary)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the model in hexadecimal, by which files and runs identify the tokenizer."""
        return hashlib.sha256(self._model).hexdigest()

    @property
    def byte_lengths(self) -> tuple[int, ...]:
        """The number of UTF-8 bytes that each id stands for; 0 for special tokens, which are not text."""
        return (0,) * len(SPECIAL_TOKENS) + tuple(map(len, self._surfaces[len(SPECIAL_TOKENS) :]))

    @property
    def model_type(self) -> str:
        """Either ``"bpe"``, where scores number the merges 0, -1, -2, …, or ``"unigram"``, where they are log p."""
        return "bpe" if self._scores() == [-rank for rank in range(len(self._learned))] else "unigram"

    def _scores(self) -> list[float]:
        return [self._processor.GetScore(token_id) for token_id in range(len(_RESERVED), self.vocab_size)]

    def encode(self, text: str, *, add_bos: bool = False, add_eos: bool = False) -> list[int]:
        """Return the ids of a text, after ``bos_id`` and before ``eos_id`` if requested.

        Raises
        ------
        ValueError
            For a lone surrogate, which is not text: UTF-8 has no bytes for it.
        TypeError
            If ``text`` is not a string.
        """
        parts = map(self._processor.Encode, _utf8(text).split(_SPACE.encode()))
        return self._joined(parts, add_bos, add_eos)

    def encode_batch(
        self,
        texts: Iterable[str],
        *,
        add_bos: bool = False,
        add_eos: bool = False,
        n_threads: int | None = None,
    ) -> list[list[int]]:
        """Return the ids of each text, as :meth:`encode` does.

        Parameters
        ----------
        n_threads
            Number of threads; all cores if ``None``.

        Raises
        ------
        ValueError
            For a lone surrogate.
        TypeError
            If ``texts`` is a single string, or a text is not a string.
        """
        split = [text.split(_SPACE.encode()) for text in _utf8_of_each(texts)]
        parts = iter(self._processor.Encode(list(chain.from_iterable(split)), num_threads=n_threads or -1))
        return [self._joined(islice(parts, len(own)), add_bos, add_eos) for own in split]

    def _joined(self, parts: Iterator[list[int]], add_bos: bool, add_eos: bool) -> list[int]:
        """Return a text's ids, given the ids of its parts between one U+2581 and the next."""
        ids = [self.bos_id] * add_bos + next(parts)
        for part in parts:
            ids += [len(SPECIAL_TOKENS) + byte for byte in _SPACE.encode()] + part
        return ids + [self.eos_id] * add_eos

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        """Return the text of ids.

        Bytes that are not UTF-8, which only a model would write, become U+FFFD.

        Raises
        ------
        ValueError
            For an id outside the vocabulary.
        """
        return b"".join(self._bytes_of(ids, skip_special_tokens)).decode(errors="replace")

    def decode_stream(self, ids: Iterable[int], *, skip_special_tokens: bool = True) -> Iterator[str]:
        """Yield text as ids arrive, but never part of a character.

        The parts joined together equal :meth:`decode` of all ids.

        Raises
        ------
        ValueError
            For an id outside the vocabulary.
        """
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for surface in self._bytes_of(ids, skip_special_tokens):
            if text := decoder.decode(surface):
                yield text
        if text := decoder.decode(b"", final=True):
            yield text

    def _bytes_of(self, ids: Iterable[int], skip_special_tokens: bool) -> Iterator[bytes]:
        for token_id in ids:
            if not 0 <= token_id < self.vocab_size:
                raise ValueError(
                    f"there is no token {int(token_id)}; ids are from 0 to {self.vocab_size - 1}"
                )
            if token_id >= len(SPECIAL_TOKENS) or not skip_special_tokens:
                yield self._surfaces[token_id]

    def pieces(self, text: str) -> list[str]:
        """Return the entries of ``vocabulary`` into which a text is split.

        Raises
        ------
        ValueError, TypeError
            As in :meth:`encode`.
        """
        return [self.vocabulary[token_id] for token_id in self.encode(text)]

    def bytes_per_token(self, texts: Iterable[str]) -> float:
        """Return the compression: UTF-8 bytes per token, over all texts together.

        Raises
        ------
        ValueError
            If there is no text, and for a lone surrogate.
        TypeError
            If ``texts`` is a single string, or a text is not a string.
        """
        n_bytes = n_tokens = 0
        for text in _utf8_of_each(texts):
            n_bytes += len(text)
            n_tokens += len(self.encode(text.decode()))
        if not n_tokens:
            raise ValueError("bytes per token are undefined: there is no text")
        return n_bytes / n_tokens

    def apply_chat_template(
        self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = False
    ) -> list[int]:
        """Return the ids of a conversation.

        Parameters
        ----------
        messages
            One mapping per turn, with the keys ``"role"`` (system, user or assistant; system only for the first
            turn) and ``"content"`` (a string, which may be empty).
        add_generation_prompt
            Append the start of the assistant's turn.

        Raises
        ------
        ValueError
            If there are no messages, if keys, roles or types of content are others, if a system message is not the
            first, and for a lone surrogate.
        """
        ids, _ = self.chat_ids_and_mask(messages)
        return [*ids, self.role_ids["assistant"]] if add_generation_prompt else ids

    def chat_ids_and_mask(self, messages: Sequence[Mapping[str, str]]) -> tuple[list[int], list[bool]]:
        """Return a conversation's ids and, for each id, whether it is the assistant's.

        The assistant's ids are those of its content and its ``<|end|>``, which a chat model learns to write. All other
        tokens are given to the model.

        Parameters
        ----------
        messages
            As in :meth:`apply_chat_template`.

        Raises
        ------
        ValueError
            As in :meth:`apply_chat_template`.
        """
        _check_messages(messages)
        ids: list[int] = []
        mask: list[bool] = []
        for message in messages:
            turn = [*self.encode(message["content"]), self.end_of_turn_id]
            ids += [self.role_ids[message["role"]], *turn]
            mask += [False] + [message["role"] == "assistant"] * len(turn)
        return ids, mask

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
        write_atomically(file, self._model)
        return file

    @classmethod
    def load(cls, path: str | Path) -> Tokenizer:
        """Read a model from a file, or from ``tokenizer.model`` in a folder such as a checkpoint.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is truncated, or was not written by :meth:`save`.
        """
        path = Path(path)
        file = path / MODEL_FILE if path.is_dir() else path
        if not file.is_file():
            raise FileNotFoundError(f"there is no tokenizer at {file}")
        try:
            return cls(file.read_bytes())
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error

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
            "vocab": {piece: token_id for token_id, piece in enumerate([*_RESERVED, *self._learned])},
            "merges": [pair for pair in halves if pieces.issuperset(pair)],
        }

    def _unigram_json(self) -> dict[str, Any]:
        """Return the unigram model, with scores that keep reserved names out of texts.

        ``tokenizers`` looks for reserved names in texts too. Their score here keeps them off every best path: their
        characters are pieces (``required_chars`` in :meth:`train`), so there is always a far better path.
        """
        scores = [-1e6] * len(_RESERVED) + self._scores()
        pieces = [*_RESERVED, *self._learned]
        return {"type": "Unigram", "unk_id": self.unk_id, "vocab": list(zip(pieces, scores, strict=True))}

    def __len__(self) -> int:
        return self.vocab_size

    def __eq__(self, other: object) -> bool:
        return self._model == other._model if isinstance(other, Tokenizer) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._model)

    def __reduce__(self) -> tuple[type[Tokenizer], tuple[bytes]]:
        return type(self), (self._model,)

    def __repr__(self) -> str:
        return f"Tokenizer(model_type={self.model_type!r}, vocab_size={self.vocab_size})"


def _utf8(text: str, name: str = "text") -> bytes:
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a string, not {type(text).__name__}")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        found = f"the lone surrogate {text[error.start]!a} at index {error.start}"
        raise ValueError(
            f"{name} has {found}, which is not a character; repair or replace it first"
        ) from None


def _utf8_of_each(texts: Iterable[str]) -> Iterator[bytes]:
    if isinstance(texts, str):
        raise TypeError("texts must be an iterable of strings, not one string")
    for i, text in enumerate(texts):
        yield _utf8(text, f"texts[{i}]")


def _vocab_size_problem(message: str) -> str | None:
    """Rephrase SentencePiece's message about ``vocab_size``; return ``None`` if it is about something else."""
    if most := re.search(r"too high .* <= (\d+)", message):
        return f"this corpus yields at most {most[1]}; lower it, or give more text"
    if least := re.search(r"required_chars\. \d+ vs (\d+)", message):
        needs = f"special tokens, bytes and this corpus's characters alone take {least[1]}"
        return f"{needs}; raise it, or lower character_coverage"
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
    for token_id in range(len(_RESERVED), len(processor)):
        piece = processor.IdToPiece(token_id).encode()
        protobuf_field = b"\n" + bytes([len(piece)]) + piece + b"\x15"
        position = rounded.index(protobuf_field, position) + len(protobuf_field)
        struct.pack_into("<f", rounded, position, round(processor.GetScore(token_id) * 64) / 64)
    return bytes(rounded)


def _check_messages(messages: Sequence[Mapping[str, str]]) -> None:
    if not messages:
        raise ValueError("a conversation must have at least one message")
    for i, message in enumerate(messages):
        if not isinstance(message, Mapping) or set(message) != {"role", "content"}:
            raise ValueError(f"messages[{i}] must have the keys 'role' and 'content' only; it is {message!r}")
        role, content = message["role"], message["content"]
        if role not in ROLES:
            raise ValueError(f"messages[{i}] has role {role!r}; it must be one of {', '.join(ROLES)}")
        if role == "system" and i > 0:
            raise ValueError(f"messages[{i}] is a system message; only messages[0] may be one")
        if not isinstance(content, str):
            raise ValueError(f"messages[{i}] has {type(content).__name__} content; it must be a string")
