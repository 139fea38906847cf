"""What every tokenizer can do, whoever made it."""

from __future__ import annotations

import codecs
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from minillm_lib.tokenizer.texts import utf8_of_each


class Tokenizer(ABC):
    """Text to token ids and back, with special tokens that no text can forge, and conversations.

    There are two kinds. :meth:`train` makes a
    :class:`~minillm_lib.tokenizer.sentence_piece.SentencePieceTokenizer`, this package's own; the ``tokenizer.json`` of
    other people's models is read as a :class:`~minillm_lib.tokenizer.hugging_face.HuggingFaceTokenizer`. :meth:`load`
    reads both.

    Text never becomes a special token, whatever it looks like: ``encode("<|end|>")`` gives the pieces of those
    seven characters. Special tokens are only added by id: through ``add_bos``, ``add_eos`` and the chat template.

    Tokenizers are equal if they give the same ids. They can be pickled, and used by several threads at the same time.

    Attributes
    ----------
    vocabulary
        Tuple of the pieces by id, in which ``▁`` is a space and ``<0x0A>`` a byte.
    pad_id, bos_id, eos_id
        Ids of special tokens. Where a tokenizer of others lacks the first or the second, it is ``eos_id``.
    end_of_turn_id
        The id that closes a turn, and at which a chat model therefore stops.
    end_ids
        All ids at which a text or a reply ends: ``eos_id``, ``end_of_turn_id``, and others that a model may name.
    begins_with_bos
        Whether the model expects ``bos_id`` before every text, as Llama does.

    Examples
    --------
    >>> tokenizer = Tokenizer.train(["a rose is a rose is a rose"] * 9, vocab_size=310)
    >>> tokenizer.pieces("a rose 🌹")
    ['a', '▁rose', '▁', '<0xF0>', '<0x9F>', '<0x8C>', '<0xB9>']
    >>> tokenizer.decode(tokenizer.encode("a rose 🌹"))
    'a rose 🌹'
    """

    vocabulary: tuple[str, ...]
    pad_id: int
    bos_id: int
    eos_id: int
    end_of_turn_id: int
    end_ids: tuple[int, ...]
    begins_with_bos: bool

    # The two ways to get a tokenizer call what is built on this class: see CONVENIENCES in tests/test_rooms.py.

    @staticmethod
    def train(
        texts: Iterable[str],
        *,
        vocab_size: int = 6400,
        model_type: str = "bpe",
        character_coverage: float = 0.9995,
        or_fewer: bool = False,
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
        or_fewer
            Take the largest vocabulary that the corpus yields if it cannot fill ``vocab_size``.

        Raises
        ------
        ValueError
            For a ``vocab_size`` that the corpus cannot fill (unless ``or_fewer``) or that has no room for its
            characters (the message gives the bound), for an unknown ``model_type``, for a ``character_coverage`` out
            of range, for a corpus without text, and for lone surrogates.
        TypeError
            If ``texts`` is a single string, or a text is not a string.
        """
        from minillm_lib.tokenizer.training import train

        return train(
            texts,
            vocab_size=vocab_size,
            model_type=model_type,
            character_coverage=character_coverage,
            or_fewer=or_fewer,
        )

    @staticmethod
    def load(path: str | Path, *, verify: bool = True) -> Tokenizer:
        """Read a tokenizer: see :func:`~minillm_lib.tokenizer.loading.load_tokenizer`."""
        from minillm_lib.tokenizer.loading import load_tokenizer

        return load_tokenizer(path, verify=verify)

    @property
    def vocab_size(self) -> int:
        """The number of ids, special tokens included."""
        return len(self.vocabulary)

    @property
    @abstractmethod
    def encodes_words_apart(self) -> bool:
        """Whether a text's ids are those of its words one after the other.

        A word is a run of spaces together with what follows, up to the next space.
        """

    @property
    @abstractmethod
    def sha256(self) -> str:
        """The SHA-256, in hexadecimal, of what decides the ids of a text.

        Files and runs identify the tokenizer by it. The chat template is not part of it.
        """

    @property
    @abstractmethod
    def byte_lengths(self) -> tuple[int, ...]:
        """The number of UTF-8 bytes that each id stands for; 0 for special tokens, which are not text."""

    @property
    @abstractmethod
    def model_type(self) -> str:
        """How a text is split: ``"bpe"`` or ``"unigram"``."""

    @abstractmethod
    def encode(self, text: str, *, add_bos: bool = False, add_eos: bool = False) -> list[int]:
        """Return the ids of a text, after ``bos_id`` and before ``eos_id`` if requested.

        Raises
        ------
        ValueError
            For a lone surrogate, which is not text: UTF-8 has no bytes for it.
        TypeError
            If ``text`` is not a string.
        """

    @abstractmethod
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

    @abstractmethod
    def _surface(self, token_id: int) -> bytes:
        """Return the bytes of an id; those of a special token are its name."""

    @abstractmethod
    def _is_special(self, token_id: int) -> bool: ...

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
            if not (skip_special_tokens and self._is_special(token_id)):
                yield self._surface(token_id)

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
        for text in utf8_of_each(texts):
            n_bytes += len(text)
            n_tokens += len(self.encode(text.decode()))
        if not n_tokens:
            raise ValueError("bytes per token are undefined: there is no text")
        return n_bytes / n_tokens

    @abstractmethod
    def apply_chat_template(
        self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = False
    ) -> list[int]:
        """Return the ids of a conversation.

        Parameters
        ----------
        messages
            One mapping per turn, with the keys ``"role"`` (system, user, assistant or tool; system only for the first
            turn) and ``"content"`` (a string, which may be empty). A system message may have ``"tools"``, a list of
            definitions; one of the assistant ``"reasoning_content"`` and ``"tool_calls"``, as OpenAI has them, and then
            None for its content. These, and results of tools, are written as text
            (:mod:`~minillm_lib.corpora.conversations.messages`); identifiers of calls are not.
        add_generation_prompt
            Append the start of the assistant's turn.

        Raises
        ------
        ValueError
            If there are no messages, if keys, roles or types of content are others, if a system message is not the
            first, and for a lone surrogate.
        """

    @abstractmethod
    def chat_ids_and_mask(self, messages: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[bool]]:
        """Return a conversation's ids and, for each id, whether it is the assistant's.

        The assistant's ids are those of its content and of the token that closes its turn, which a chat model learns
        to write. All other tokens are given to the model.

        Parameters
        ----------
        messages
            As in :meth:`apply_chat_template`.

        Raises
        ------
        ValueError
            As in :meth:`apply_chat_template`.
        """

    @property
    @abstractmethod
    def chat_template(self) -> str | None:
        """The format of conversations as a Jinja template; ``None`` if the tokenizer has none."""

    @property
    @abstractmethod
    def file_name(self) -> str:
        """The name of the file in a checkpoint that holds the tokenizer."""

    @abstractmethod
    def files(self) -> dict[str, bytes]:
        """Return the content of the files that a checkpoint keeps of the tokenizer, by name."""

    @abstractmethod
    def save(self, path: str | Path) -> Path:
        """Write the tokenizer by itself, for :meth:`load`, and return the path of the file that holds it."""

    @abstractmethod
    def save_hugging_face(self, folder: str | Path) -> Path:
        """Write a folder that ``transformers.AutoTokenizer.from_pretrained`` loads, and return it."""

    def __len__(self) -> int:
        return self.vocab_size

    def __repr__(self) -> str:
        return f"Tokenizer(model_type={self.model_type!r}, vocab_size={self.vocab_size})"
