"""Tokenizers of other people's models, read from ``tokenizer.json`` by the ``tokenizers`` library.

Byte-level BPE (GPT-2, Qwen, MiniMind), and BPE or unigram with spaces as ``▁`` and byte fallback (Llama).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

from tokenizers import Encoding, Tokenizer as Library

from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.io.checksums import write_checksums
from minillm_lib.tokenizer.chat_template import ChatTemplate, strings_in, with_strings
from minillm_lib.tokenizer.hugging_face_files import (
    CONFIG_FILE,
    FILES,
    JSON_FILE,
    TEMPLATE_FILE,
    ByteLevelBPE,
    byte_of_character,
    json_object,
    kinds,
    merges,
    model_kind,
    readable,
    refuse_more_than_merging,
    refuse_unsupported,
    template_source,
    token_content,
    word_pattern,
)
from minillm_lib.tokenizer.interface import Tokenizer
from minillm_lib.tokenizer.texts import utf8, utf8_of_each

_USUAL_ENDS = ("<|endoftext|>", "</s>", "<|end_of_text|>", "<|im_end|>", "<eos>")
_NAMED = ("bos", "eos", "pad", "unk")
_PROBE = ({"role": "user", "content": "question"}, {"role": "assistant", "content": "answer"})
# Unicode reserves these characters for use inside programs, so texts do not contain them.
_NONCHARACTERS = tuple(map(chr, range(0xFDD0, 0xFDF0)))


class HuggingFaceTokenizer(Tokenizer):
    """The tokenizer of a model that was not trained here.

    It gives the ids that ``transformers`` gives without special tokens of its own accord. In a text, a token that the
    vocabulary marks as special is never recognised, as with this package's own tokenizer, but added tokens that are not
    special are: ``<think>`` in Qwen3, which is text that a model writes. A conversation is what the model's own
    chat template makes of it, and what looks like a special token in a message stays text.

    The text of :meth:`decode` keeps the space that a Llama tokenizer puts before a text.

    Parameters
    ----------
    files
        The content of ``tokenizer.json`` and, if they exist, of the other :data:`FILES`, by name.
    end_ids
        Further ids that end a text, as ``generation_config.json`` names them.

    Raises
    ------
    ValueError
        If a file is damaged, or the kind of tokenizer is not supported; the message names the kind.
    """

    file_name = JSON_FILE

    def __init__(self, files: Mapping[str, bytes], end_ids: Iterable[int] = ()) -> None:
        self._files = {name: files[name] for name in FILES if name in files}
        self._more_end_ids = tuple(end_ids)
        self._json = json_object(files, JSON_FILE)
        config = json_object(files, "special_tokens_map.json") | json_object(files, CONFIG_FILE)
        refuse_unsupported(self._json)
        self._library = self._new_library()
        self._library.encode_special_tokens = True
        self._special, self._surfaces = self._read_vocabulary()
        self.vocabulary = tuple(
            self._name(token_id) if token_id in self._special else readable(surface)
            for token_id, surface in enumerate(self._surfaces)
        )
        self._names = {f"{name}_token": token_content(config.get(f"{name}_token")) for name in _NAMED}
        self.eos_id = self._end_of_text()
        self.bos_id, self.pad_id = (self._named(name, self.eos_id) for name in ("bos", "pad"))
        starts = self._library.encode("a").ids[:1] == [self.bos_id]
        self.begins_with_bos = bool(config.get("add_bos_token", starts)) and self._named("bos", -1) >= 0
        self._template_source = template_source(files, config)
        self.end_of_turn_id = self._end_of_turn()
        named = (end for end in self._more_end_ids if 0 <= end < len(self.vocabulary))
        self.end_ids = tuple(dict.fromkeys([self.eos_id, self.end_of_turn_id, *named]))

    def _new_library(self) -> Library:
        try:
            library = Library.from_str(self._files[JSON_FILE].decode())
        except (
            BaseException
        ) as error:  # the library's errors have no class of its own, and some are panics of Rust
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            raise ValueError(f"the tokenizers library cannot read {JSON_FILE}: {error}") from error
        library.no_truncation()
        library.no_padding()
        return library

    def _read_vocabulary(self) -> tuple[frozenset[int], list[bytes]]:
        """Return the special ids, and the bytes of every id; an id that is not used counts as special."""
        pieces = {token_id: piece for piece, token_id in self._library.get_vocab().items()}
        added = {token["id"]: token for token in self._json.get("added_tokens") or ()}
        byte_level = "ByteLevel" in kinds(self._json)
        table = byte_of_character() if byte_level else {}
        surfaces = []
        special = {token_id for token_id, token in added.items() if token["special"]}
        for token_id in range(max(pieces, default=-1) + 1):
            piece = pieces.get(token_id, "")
            if token_id in added or not piece:
                surfaces.append(piece.encode())
                if not piece:
                    special.add(token_id)
            elif byte_level and all(character in table for character in piece):
                surfaces.append(bytes(map(table.__getitem__, piece)))
            elif byte := re.fullmatch("<0x([0-9A-F]{2})>", piece):
                surfaces.append(bytes.fromhex(byte[1]))
            else:
                surfaces.append(piece.replace("▁", " ").encode())
        unk = self._json["model"].get("unk_token") or self._json["model"].get("unk_id")
        special |= {
            token_id for token_id, piece in pieces.items() if unk is not None and unk in (piece, token_id)
        }
        return frozenset(special), surfaces

    def _name(self, token_id: int) -> str:
        return self._library.id_to_token(token_id) or f"<unused {token_id}>"

    def _id_of(self, piece: str) -> int:
        token_id = self._library.token_to_id(piece)
        assert token_id is not None
        return token_id

    def _named(self, name: str, otherwise: int) -> int:
        token = self._names[f"{name}_token"]
        token_id = None if token is None else self._library.token_to_id(token)
        return otherwise if token_id is None else token_id

    def _end_of_text(self) -> int:
        usual = (self._library.token_to_id(token) for token in _USUAL_ENDS)
        candidates = (self._named("eos", -1), *self._more_end_ids, *(end for end in usual if end is not None))
        for token_id in candidates:
            if token_id >= 0:
                return token_id
        raise ValueError(
            f"this tokenizer names no token that ends a text; {CONFIG_FILE} should have the key eos_token"
        )

    def _end_of_turn(self) -> int:
        """Return the special token with which the template closes an answer; without one, the end of a text."""
        if self._template_source is None:
            return self.eos_id
        try:
            text = self._template.render(_PROBE, (_NONCHARACTERS[0], _NONCHARACTERS[1])).text
        except ValueError:
            return self.eos_id
        _, _, after = text.rpartition(_PROBE[1]["content"])
        found = self._special_names.search(after)
        return self.eos_id if found is None else self._id_of(found[0])

    @cached_property
    def _special_names(self) -> re.Pattern[str]:
        names = sorted((self._name(token_id) for token_id in self._special), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, names)) or "(?!)")

    @cached_property
    def _single_characters(self) -> list[str]:
        """The names of special tokens that are a single character."""
        return sorted(name for name in map(self._name, self._special) if len(name) == 1)

    @cached_property
    def _spare_characters(self) -> list[str]:
        """Characters that neither texts nor the names of special tokens contain."""
        return [character for character in _NONCHARACTERS if character not in self._special_names.pattern]

    @cached_property
    def _template(self) -> ChatTemplate:
        if self._template_source is None:
            raise ValueError(
                f"this tokenizer has no chat template, neither in {TEMPLATE_FILE} nor as chat_template in "
                f"{CONFIG_FILE}: its model continues texts, and does not chat"
            )
        names = {name: token for name, token in self._names.items() if token is not None}
        return ChatTemplate(self._template_source, names)

    @cached_property
    def _for_templates(self) -> Library:
        """The library with special tokens recognised, for text in which only a template wrote them."""
        return self._new_library()

    @cached_property
    def sha256(self) -> str:  # noqa: D102
        # Only this: what else is in the file, another program may write in another way.
        model = self._json["model"]
        added = [(token["id"], token["content"]) for token in self._json.get("added_tokens") or ()]
        content = [model_kind(model), model["vocab"], list(merges(model)), sorted(added)]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @cached_property
    def byte_lengths(self) -> tuple[int, ...]:  # noqa: D102
        return tuple(
            0 if token_id in self._special else len(surface)
            for token_id, surface in enumerate(self._surfaces)
        )

    @property
    def model_type(self) -> str:  # noqa: D102
        return str(model_kind(self._json["model"])).lower()

    @property
    def chat_template(self) -> str | None:  # noqa: D102
        return self._template_source

    @property
    def encodes_words_apart(self) -> bool:  # noqa: D102
        return False

    def encode(self, text: str, *, add_bos: bool = False, add_eos: bool = False) -> list[int]:  # noqa: D102
        utf8(text)
        return self._framed(self._library.encode(text, add_special_tokens=False), add_bos, add_eos)

    def encode_batch(  # noqa: D102
        self,
        texts: Iterable[str],
        *,
        add_bos: bool = False,
        add_eos: bool = False,
        n_threads: int | None = None,
    ) -> list[list[int]]:
        own = [text.decode() for text in utf8_of_each(texts)]
        if n_threads == 1:
            return [self.encode(text, add_bos=add_bos, add_eos=add_eos) for text in own]
        encoded = self._library.encode_batch(own, add_special_tokens=False)
        return [self._framed(each, add_bos, add_eos) for each in encoded]

    def _framed(self, encoding: Encoding, add_bos: bool, add_eos: bool) -> list[int]:
        return [self.bos_id] * add_bos + encoding.ids + [self.eos_id] * add_eos

    def _surface(self, token_id: int) -> bytes:
        return self._surfaces[token_id]

    def _is_special(self, token_id: int) -> bool:
        return token_id in self._special

    def _starts(self, encoding: Encoding, text: str) -> list[int]:
        """Return where in a text each of its tokens begins, as an index of characters."""
        ends = list(accumulate(len(self._surfaces[token_id]) for token_id in encoding.ids))
        n_bytes = [len(character.encode()) for character in text]
        if not ends or ends[-1] != sum(n_bytes):  # a space was added, or a character was normalised
            return [start for start, _ in encoding.offsets]
        character_at = [i for i, size in enumerate(n_bytes) for _ in range(size)]
        return [character_at[end - len(self._surfaces[i])] for end, i in zip(ends, encoding.ids, strict=True)]

    def apply_chat_template(
        self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = False
    ) -> list[int]:
        """Return the ids of a conversation, written by the model's own template.

        Parameters
        ----------
        messages
            One mapping per turn, with the key ``"role"`` and those that the template reads, such as ``"content"``.
        add_generation_prompt
            Append the start of the assistant's turn.

        Raises
        ------
        ValueError
            If there is no template, if there are no messages, if one has no role, or is not what the template takes,
            and for a lone surrogate.
        """
        conversation = _Conversation(self, messages)
        return conversation.ids(conversation.render(add_generation_prompt=add_generation_prompt))[0]

    def chat_ids_and_mask(self, messages: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[bool]]:
        """Return a conversation's ids and, for each id, whether it is the assistant's.

        If the template has ``generation`` blocks, they say which text is the assistant's. Otherwise it is what follows
        the text that :meth:`apply_chat_template` gives before the answer, up to the token that closes the turn.

        Parameters
        ----------
        messages
            As in :meth:`apply_chat_template`.

        Raises
        ------
        ValueError
            As in :meth:`apply_chat_template`, and if the template rewrites earlier turns so that the assistant's part
            cannot be told.
        """
        conversation = _Conversation(self, messages)
        text, own = conversation.render_with_own()
        ids, starts = conversation.ids(text)
        return ids, [any(begin <= start < end for begin, end in own) for start in starts]

    def byte_level_bpe(self) -> ByteLevelBPE:
        """Return the vocabulary for programs that merge for themselves.

        Raises
        ------
        ValueError
            If the tokenizer is not byte-level BPE, its words are not those of one pattern, or more than words and
            merges decides the ids of a text in NFC, such as a normaliser that makes letters small.
        """
        model = self._json["model"]
        kind = model_kind(model)
        if kind != "BPE" or "ByteLevel" not in kinds(self._json):
            raise ValueError(f"its tokenizer is {kind} without bytes as characters, not byte-level BPE")
        refuse_more_than_merging(self._json)
        return ByteLevelBPE(
            tuple(self._library.id_to_token(token_id) or "" for token_id in range(self.vocab_size)),
            tuple(merges(model)),
            frozenset(token["id"] for token in self._json.get("added_tokens") or ()),
            self._special,
            word_pattern(self._json.get("pre_tokenizer")),
            bool(model.get("ignore_merges")),
        )

    def files(self) -> dict[str, bytes]:  # noqa: D102
        return dict(self._files)

    def save(self, path: str | Path) -> Path:
        """Write the files of the tokenizer, as they were read, into a folder, and their checksums.

        Returns
        -------
        Path
            The ``tokenizer.json`` in it.
        """
        for name, content in self._files.items():
            write_atomically(Path(path) / name, content)
        write_checksums(path, self._files)
        return Path(path) / JSON_FILE

    def save_hugging_face(self, folder: str | Path) -> Path:  # noqa: D102
        return self.save(folder).parent

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, HuggingFaceTokenizer) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[str, str | None]:
        return self.sha256, self._template_source

    def __reduce__(self) -> tuple[type[HuggingFaceTokenizer], tuple[dict[str, bytes], tuple[int, ...]]]:
        return type(self), (self._files, self._more_end_ids)


class _Conversation:
    """Messages on their way to ids, in which no text can become a special token.

    A special token's name in a message is broken by a character that texts do not contain, or replaced by one if it is
    a single character, so that only the template writes such names. Before the text is encoded, this is undone.
    """

    def __init__(self, tokenizer: HuggingFaceTokenizer, messages: Sequence[Mapping[str, Any]]) -> None:
        if not messages:
            raise ValueError("a conversation must have at least one message")
        for i, message in enumerate(messages):
            if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
                raise ValueError(f"messages[{i}] must be a mapping with a role; it is {message!r}")
            for text in strings_in(message):
                utf8(text, f"messages[{i}]")
        used = set().union(*map(set, strings_in(messages)))
        free = [character for character in tokenizer._spare_characters if character not in used]
        n_needed = 3 + len(tokenizer._single_characters)
        if len(free) < n_needed:
            raise ValueError(
                f"a conversation needs {n_needed} noncharacters (U+FDD0 to U+FDEF) for itself, and there are "
                f"{len(free)} that neither its messages nor the special tokens contain"
            )
        self._breaker, *marks = free[:3]
        self._marks = (marks[0], marks[1])
        self._stand_ins = dict(zip(tokenizer._single_characters, free[3:], strict=False))
        self._tokenizer = tokenizer
        self._broken = False
        self._messages = [self._safe(message) for message in messages]

    def _safe(self, message: Mapping[str, Any]) -> dict[str, Any]:
        names = self._tokenizer._special_names

        def broken(match: re.Match[str]) -> str:
            name = match[0]
            return self._stand_ins.get(name) or name[0] + self._breaker + name[1:]

        def break_names(text: str) -> str:
            while names.search(text):
                self._broken = True
                text = names.sub(broken, text)
            return text

        return {key: with_strings(value, break_names) for key, value in message.items()}

    def render(self, *, add_generation_prompt: bool = False) -> str:
        """Return the text, with the breaking characters in it."""
        rendering = self._tokenizer._template.render(
            self._messages, self._marks, add_generation_prompt=add_generation_prompt
        )
        return rendering.text

    def render_with_own(self) -> tuple[str, list[tuple[int, int]]]:
        """Return the text and where the assistant's part begins and ends."""
        template = self._tokenizer._template
        rendering = template.render(self._messages, self._marks)
        if template.marks_own_text:
            return rendering.text, list(rendering.own)
        answers = [i for i, message in enumerate(self._messages) if message["role"] == "assistant"]
        return rendering.text, [self._answer(rendering.text, i) for i in answers]

    def _answer(self, text: str, place: int) -> tuple[int, int]:
        """Return where the answer of the message at ``place`` is in the text of the whole conversation."""
        template, before = self._tokenizer._template, self._messages[:place]
        start = 0
        if before:
            given = template.render(before, self._marks, add_generation_prompt=True).text
            plain = template.render(before, self._marks).text
            start = _common_length(text, given)
            if start < len(plain):
                raise ValueError(
                    f"the chat template writes the turns before messages[{place}] in another way once its answer "
                    "follows, so it cannot be told which tokens are the assistant's"
                )
        closing = self._tokenizer._name(self._tokenizer.end_of_turn_id)
        end = text.find(closing, start)
        return start, len(text) if end < 0 else end + len(closing)

    def ids(self, text: str) -> tuple[list[int], list[int]]:
        """Return the ids of a rendered text, and where in the text each begins (an index of characters)."""
        tokenizer = self._tokenizer
        if not self._broken:
            encoding = tokenizer._for_templates.encode(text, add_special_tokens=False)
            return encoding.ids, tokenizer._starts(encoding, text)
        originals = {ord(stand_in): name for name, stand_in in self._stand_ins.items()}
        ids: list[int] = []
        starts: list[int] = []
        place = 0
        for part in re.split(f"({tokenizer._special_names.pattern})", text):
            if tokenizer._special_names.fullmatch(part):
                ids.append(tokenizer._id_of(part))
                starts.append(place)
            elif part:
                plain = part.replace(self._breaker, "").translate(originals)
                encoding = tokenizer._library.encode(plain, add_special_tokens=False)
                where = [i for i, character in enumerate(part) if character != self._breaker]
                ids += encoding.ids
                starts += [
                    place + where[min(start, len(where) - 1)] for start in tokenizer._starts(encoding, plain)
                ]
            place += len(part)
        return ids, starts


def _common_length(first: str, second: str) -> int:
    pairs = enumerate(zip(first, second, strict=False))
    return next(
        (i for i, (a, b) in pairs if a != b),
        min(len(first), len(second)),
    )
