"""What is in the files of other people's tokenizers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from minillm_lib.io.wording import shown

JSON_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
TEMPLATE_FILE = "chat_template.jinja"
FILES = (JSON_FILE, CONFIG_FILE, "special_tokens_map.json", TEMPLATE_FILE)
"""The files that a checkpoint keeps of such a tokenizer; only the first must be there."""

LARGEST_FILE = 1 << 28
_LARGEST_ID = (1 << 24) - 1  # no vocabulary comes near, and a list of all ids must fit in memory

GPT2_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""The pattern that the library's ``ByteLevel`` uses of itself (Radford et al. 2019)."""


@dataclass(frozen=True)
class ByteLevelBPE:
    """A byte-level BPE vocabulary as its files hold it, for other programs; it gives the ids of texts in NFC.

    Attributes
    ----------
    pieces
        The pieces by id, in which a character stands for a byte; empty where an id is not used.
    merges
        The pairs that are merged, the first one first.
    added_ids, special_ids
        Ids that are recognised as a whole in any text, and those among them that are not text.
    word_pattern
        The regular expression of the words within which pairs are merged; :data:`GPT2_WORDS` if it is GPT-2's own.
    ignore_merges
        Whether a word that is a piece is taken whole, whatever the merges make of it.
    """

    pieces: tuple[str, ...]
    merges: tuple[tuple[str, str], ...]
    added_ids: frozenset[int]
    special_ids: frozenset[int]
    word_pattern: str
    ignore_merges: bool


def json_object(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    """Return the content of a file of JSON; a missing one is empty.

    Raises
    ------
    ValueError
        If it is not a JSON object.
    """
    try:
        content = json.loads(files.get(name, b"{}"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{name} is not a JSON object")
    return content


def kinds(value: Any) -> set[str]:
    """Return every ``type`` in a part of ``tokenizer.json``: those of its normaliser, decoder and so on."""
    if isinstance(value, Mapping):
        inner = (kinds(each) for key, each in value.items() if key not in ("vocab", "merges", "added_tokens"))
        return {str(value["type"])}.union(*inner) if "type" in value else set().union(*inner)
    return set().union(*map(kinds, value)) if isinstance(value, list) else set()


def model_kind(model: Mapping[str, Any]) -> Any:
    """Return the ``type`` of a tokenizer's model; without one, as in GPT-2's old file, its keys tell.

    ``None`` if they do not.
    """
    if "type" in model:
        return model["type"]
    if isinstance(model.get("vocab"), list):
        return "Unigram"
    if "max_input_chars_per_word" in model:
        return "WordPiece"
    return "BPE" if "merges" in model else None


def merges(model: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the merges of a model; a pair was one string in older versions of the format."""
    for pair in model.get("merges") or ():
        left, right = pair.split(" ") if isinstance(pair, str) else pair
        yield left, right


def word_pattern(pre_tokenizer: Any) -> str:
    """Return the regular expression by which a byte-level pre-tokenizer splits words."""
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer]) if isinstance(pre_tokenizer, Mapping) else []
    splits = [step for step in steps if step.get("type") == "Split"]
    byte_level = [step for step in steps if step.get("type") == "ByteLevel"]
    if len(byte_level) == 1 and len(splits) + 1 == len(steps) and not byte_level[0].get("add_prefix_space"):
        patterns = [(split.get("pattern") or {}).get("Regex") for split in splits]
        patterns += [GPT2_WORDS] * bool(byte_level[0].get("use_regex", True))
        if len(patterns) == 1 and patterns[0]:
            return str(patterns[0])
    raise ValueError("its tokenizer does not split a text into words by a single pattern")


def refuse_more_than_merging(content: Mapping[str, Any]) -> None:
    """Check that the ids of a text in NFC follow from its words and the merges alone.

    Raises
    ------
    ValueError
        If they do not; the message names what else there is.
    """
    if changes := kinds(content.get("normalizer")) - {"NFC", "Sequence"}:
        raise ValueError(f"its tokenizer changes a text before it splits it, by {', '.join(sorted(changes))}")
    keys = ("dropout", "continuing_subword_prefix", "end_of_word_suffix")
    if given := [f"{key}={shown(content['model'][key])}" for key in keys if content["model"].get(key)]:
        raise ValueError(f"its tokenizer does more than merge pairs: it has {', '.join(given)}")


def refuse_unsupported(content: Mapping[str, Any]) -> None:
    """Check that a ``tokenizer.json`` is of a kind in which every text has ids.

    Raises
    ------
    ValueError
        If it is not; the message names what it is.
    """
    model = content.get("model")
    kind = model_kind(model) if isinstance(model, dict) else None
    if kind not in ("BPE", "Unigram"):
        raise ValueError(f"{JSON_FILE} has model.type {kind!r}; only 'BPE' and 'Unigram' can be read")
    byte_fallback = content["model"].get("byte_fallback")
    if "ByteLevel" not in kinds(content) and not byte_fallback:
        raise ValueError(
            f"{JSON_FILE} has neither ByteLevel nor byte_fallback, so that not every text would have ids"
        )
    _check_ids(content)


def _check_ids(content: Mapping[str, Any]) -> None:
    """Check that ids are whole numbers that a vocabulary may have."""
    vocabulary, added = content["model"].get("vocab"), content.get("added_tokens") or []
    if not isinstance(added, list):
        raise ValueError(f"{JSON_FILE} has added_tokens {shown(added)}; it must be a list")
    ids = list(vocabulary.values()) if isinstance(vocabulary, dict) else []
    ids += [token.get("id") if isinstance(token, dict) else token for token in added]
    for each in ids:
        if isinstance(each, bool) or not isinstance(each, int) or not 0 <= each <= _LARGEST_ID:
            raise ValueError(
                f"{JSON_FILE} has the id {shown(each)}; ids are whole numbers from 0 to {_LARGEST_ID:,}"
            )


def token_content(token: Any) -> str | None:
    """Return the string of a token that may be a mapping of its properties."""
    return token.get("content") if isinstance(token, Mapping) else token


def template_source(files: Mapping[str, bytes], config: Mapping[str, Any]) -> str | None:
    """Return the chat template, in its own file or in ``tokenizer_config.json``; ``None`` without one."""
    if TEMPLATE_FILE in files:
        return files[TEMPLATE_FILE].decode()
    template = config.get("chat_template")
    if isinstance(template, list):  # several by name
        named = {each.get("name"): each.get("template") for each in template if isinstance(each, Mapping)}
        template = named.get("default")
    return template if isinstance(template, str) else None


def readable(surface: bytes) -> str:
    """Return a piece as it is shown: a space as ``▁``, and bytes that are no text by their numbers."""
    try:
        return surface.decode().replace(" ", "▁")
    except UnicodeDecodeError:
        return "".join(f"<0x{byte:02X}>" for byte in surface)


def byte_of_character() -> dict[str, int]:
    """Return the byte for each character of a byte-level vocabulary (Radford et al. 2019).

    Bytes that are printable characters of Latin-1 stand for themselves; the others, in order, are U+0100 and on.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}
