"""Text to token ids and back: SentencePiece that loses nothing, special tokens no text can forge, and chat.

A piece is a string that training found worth an id of its own (BPE: Sennrich, Haddow & Birch 2016; unigram:
Kudo 2018; SentencePiece: Kudo & Richardson 2018). A character that is no piece is written as its UTF-8 bytes,
each of which has an id (byte fallback), so every text has ids, and they give back exactly that text.
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
"""The chat format in Jinja for ``transformers``, whose ``generation`` block marks the assistant's tokens."""

_RESERVED = (*SPECIAL_TOKENS, *(f"<0x{value:02X}>" for value in range(256)))
_SPACE = "▁"  # SentencePiece's own sign for a space, U+2581; where a text holds it, it is written as bytes
_SENTENCE = re.compile(r"[^▁▅]{1,4000}")  # in training, U+2581 would pass for a space, U+2585 void its text
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
    # Unigram training adds up one share of the corpus a thread: only a fixed number of shares has a fixed sum.
    "num_threads": 16,
    "minloglevel": 2,
}


class Tokenizer:
    """A SentencePiece model with fixed special tokens, in which any string survives encoding and decoding.

    It comes from :meth:`train` or :meth:`load`; ``model`` is the content of a ``tokenizer.model`` file.

    Text never becomes a special token, whatever it looks like: ``encode("<|end|>")`` gives the pieces of those
    seven characters. Special tokens come in by id: through ``add_bos``, ``add_eos`` and the chat template.

    A conversation is a row of turns, each a role's token, the content and ``<|end|>``, with nothing between::

        <|system|>Be brief.<|end|><|user|>What is LDA?<|end|><|assistant|>A topic model.<|end|>

    Tokenizers are equal if their models are. They can be pickled, and used by several threads at a time.

    Attributes
    ----------
    vocabulary
        Tuple of the pieces by id, in which ``▁`` is a space and ``<0x0A>`` a byte.
    pad_id, unk_id, bos_id, eos_id
        Special tokens; ``unk_id`` never occurs, but file formats ask for one.
    role_ids
        The id that opens a turn, for each role.
    end_of_turn_id
        The id that closes a turn, and so where a chat model stops.

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
            raise ValueError("this is no SentencePiece model, or a damaged one") from error
        self._model, self._processor = model, processor
        self.vocabulary = tuple(processor.IdToPiece(token_id) for token_id in range(len(processor)))
        if self.vocabulary[: len(_RESERVED)] != _RESERVED or processor.Normalize("  ﬁ ") != "▁▁ﬁ▁":
            raise ValueError("this SentencePiece model was not made by Tokenizer.train, or has lost its end")
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
        """Learn a vocabulary from texts, which are all held in memory: of a large corpus, pass a sample.

        Nothing is random, and work is divided alike on every machine, so the same texts give the same model,
        byte for byte.

        Parameters
        ----------
        texts
            The corpus; each text is a string.
        vocab_size
            Number of ids, among them the 264 of special tokens and bytes.
        model_type
            ``"bpe"`` merges frequent pairs; ``"unigram"`` thins out a large vocabulary by likelihood.
        character_coverage
            Share of the corpus's characters, repetitions counted, that are pieces, from 0.98
            to 1. The rare ones beyond it are left to byte fallback.

        Raises
        ------
        ValueError
            For a ``vocab_size`` that the corpus cannot fill or that has no room for its characters (the message
            has the bound), for an unknown ``model_type``, for a corpus without text, and for lone surrogates.
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
        """Number of ids: special tokens, bytes and learned pieces."""
        return len(self.vocabulary)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the model, by which files and runs tell tokenizers apart."""
        return hashlib.sha256(self._model).hexdigest()

    @property
    def byte_lengths(self) -> tuple[int, ...]:
        """Bytes of UTF-8 that each id stands for; 0 for special tokens, which are no text."""
        return (0,) * len(SPECIAL_TOKENS) + tuple(map(len, self._surfaces[len(SPECIAL_TOKENS) :]))

    @property
    def model_type(self) -> str:
        """``"bpe"``, where scores number the merges 0, -1, -2, …, or ``"unigram"``, where they are log p."""
        return "bpe" if self._scores() == [-rank for rank in range(len(self._learned))] else "unigram"

    def _scores(self) -> list[float]:
        return [self._processor.GetScore(token_id) for token_id in range(len(_RESERVED), self.vocab_size)]

    def encode(self, text: str, *, add_bos: bool = False, add_eos: bool = False) -> list[int]:
        """The ids of a text, after ``bos_id`` and before ``eos_id`` where asked for.

        Raises
        ------
        ValueError
            For a lone surrogate, which is not text: UTF-8 has no bytes for it.
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
        """:meth:`encode` of each text, on ``n_threads`` threads at once (all cores if ``None``)."""
        split = [text.split(_SPACE.encode()) for text in _utf8_of_each(texts)]
        parts = iter(self._processor.Encode(list(chain.from_iterable(split)), num_threads=n_threads or -1))
        return [self._joined(islice(parts, len(own)), add_bos, add_eos) for own in split]

    def _joined(self, parts: Iterator[list[int]], add_bos: bool, add_eos: bool) -> list[int]:
        """A text's ids, from the ids of its parts between one U+2581 and the next."""
        ids = [self.bos_id] * add_bos + next(parts)
        for part in parts:
            ids += [len(SPECIAL_TOKENS) + byte for byte in _SPACE.encode()] + part
        return ids + [self.eos_id] * add_eos

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        """The text of ids. Bytes that are not UTF-8, which only a model would write, become U+FFFD.

        Raises
        ------
        ValueError
            For an id outside the vocabulary.
        """
        return b"".join(self._bytes_of(ids, skip_special_tokens)).decode(errors="replace")

    def decode_stream(self, ids: Iterable[int], *, skip_special_tokens: bool = True) -> Iterator[str]:
        """Yield text as ids arrive, but never a part of a character. Joined, it is :meth:`decode` of all."""
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
        """The entries of ``vocabulary`` that a text is cut into."""
        return [self.vocabulary[token_id] for token_id in self.encode(text)]

    def bytes_per_token(self, texts: Iterable[str]) -> float:
        """Compression: bytes of UTF-8 a token, over all texts together."""
        n_bytes = n_tokens = 0
        for text in _utf8_of_each(texts):
            n_bytes += len(text)
            n_tokens += len(self.encode(text.decode()))
        if not n_tokens:
            raise ValueError("bytes per token have no value: there is no text")
        return n_bytes / n_tokens

    def apply_chat_template(
        self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = False
    ) -> list[int]:
        """The ids of a conversation; with ``add_generation_prompt``, and of the start of the assistant's turn.

        Parameters
        ----------
        messages
            A mapping for each turn, with the keys ``"role"`` (system, user or assistant; system for the
            first only) and ``"content"`` (a string, which may be empty).

        Raises
        ------
        ValueError
            For no messages; for other keys, roles or types of content; for a system message that is not first.
        """
        ids, _ = self.chat_ids_and_mask(messages)
        return [*ids, self.role_ids["assistant"]] if add_generation_prompt else ids

    def chat_ids_and_mask(self, messages: Sequence[Mapping[str, str]]) -> tuple[list[int], list[bool]]:
        """A conversation's ids, and for each whether it is the assistant's: its content and its ``<|end|>``.

        These are what a chat model learns to write. All other tokens are given to it.
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
        """Write the model to ``path`` if that ends in ``.model``, or else to ``tokenizer.model`` in a folder."""
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
        """Write a folder that ``transformers.AutoTokenizer.from_pretrained`` loads, with no code of ours.

        It gives the same ids for any text (unigram: of up to some 200 kB) and any conversation, but where they
        hold the likes of ``<|end|>``: by default these become special tokens there. Loaded or called with
        ``split_special_tokens=True`` it gives the same ids for text; with ``sanitize_control_tokens=True`` its
        ``apply_chat_template`` makes them text, but cuts them off from their neighbours. Of bytes that are not
        UTF-8 its ``decode`` may make another number of U+FFFD.
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
        """The model in the format of Hugging Face's ``tokenizers``.

        Its pieces hold plain spaces, so it needs no normaliser, and U+2581 is left to byte fallback, as here.
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
        """SentencePiece merges any two neighbours that form a piece: each way to halve a piece is a merge."""
        pieces = set(self._learned)
        halves = ((piece[:i], piece[i:]) for piece in self._learned for i in range(1, len(piece)))
        return {
            "type": "BPE",
            "vocab": {piece: token_id for token_id, piece in enumerate([*_RESERVED, *self._learned])},
            "merges": [pair for pair in halves if pieces.issuperset(pair)],
        }

    def _unigram_json(self) -> dict[str, Any]:
        """``tokenizers`` seeks reserved names in text too. Their score here keeps them off every best path: their
        characters are pieces (``required_chars`` in :meth:`train`), so there is always a far better one.
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
        raise ValueError(f"{name} has {found}, which is no character; repair or replace it first") from None


def _utf8_of_each(texts: Iterable[str]) -> Iterator[bytes]:
    if isinstance(texts, str):
        raise TypeError("texts must be an iterable of strings, not one string")
    for i, text in enumerate(texts):
        yield _utf8(text, f"texts[{i}]")


def _vocab_size_problem(message: str) -> str | None:
    """SentencePiece's complaint about ``vocab_size`` in our words; ``None`` if it is about something else."""
    if most := re.search(r"too high .* <= (\d+)", message):
        return f"this corpus yields at most {most[1]}; lower it, or give more text"
    if least := re.search(r"required_chars\. \d+ vs (\d+)", message):
        needs = f"special tokens, bytes and this corpus's characters alone take {least[1]}"
        return f"{needs}; raise it, or lower character_coverage"
    return None


def _with_rounded_scores(model: bytes) -> bytes:
    """Round a unigram model's log-probabilities to multiples of 1/64.

    The score of a segmentation is the sum over its pieces, and ties are common: ``--- -`` and ``- ---`` have the
    same pieces. Rounding makes sums exact, in float64 and, below 2^18 nats (texts of some 200 kB), in float32.
    So no order of summation decides, and Hugging Face (float64) finds the same ties as SentencePiece (float32).
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
