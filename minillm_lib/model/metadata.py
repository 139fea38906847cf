"""What a checkpoint says of a model beside its weights and its shape: how it was trained, and how to use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import Field, ValidationError

from minillm_lib.io.refusals import refusal_in_words
from minillm_lib.io.wording import shown
from minillm_lib.model.config import StrictConfig
from minillm_lib.tokenizer import Tokenizer

Stage = Literal["pretrain", "sft"]
"""Whether a model was only pretrained, and continues texts, or fine-tuned on conversations, and answers."""

_STAGE_KEY = "minillm_stage"
_TOKENIZER_KEY = "minillm_tokenizer"
_DEFAULTS_KEY = "minillm"
_MAX_NEW_TOKENS = 256


class ChatDefaults(StrictConfig):
    """How a model wants to be used in conversations."""

    not_sure_below: float | None = Field(default=None, ge=0, le=1)
    """A reply is doubtful if its confidence (:class:`~minillm_lib.generation.chat_session.ChatSession`) is below this;
    None if that was never measured."""
    fresh: bool = False
    """Whether the model cannot carry a conversation, so that every message should start one."""


def config_entries(tokenizer: Tokenizer | None, stage: Stage | None) -> dict[str, Any]:
    """Return what ``config.json`` holds beside the shape: ids of special tokens, the stage, the tokenizer's hash."""
    entries: dict[str, Any] = {
        "bos_token_id": tokenizer.bos_id if tokenizer else None,
        "eos_token_id": list(tokenizer.end_ids) if tokenizer else None,
        "pad_token_id": tokenizer.pad_id if tokenizer else None,
    }
    if stage is not None:
        entries[_STAGE_KEY] = stage
    if tokenizer is not None:
        entries[_TOKENIZER_KEY] = {"file": tokenizer.file_name, "sha256": tokenizer.sha256}
    return entries


def stage_of(values: Mapping[str, Any]) -> Stage | None:
    """Return the stage that ``config.json`` names, or ``None`` if it names none.

    Raises
    ------
    ValueError
        If it names an unknown one.
    """
    stage = values.get(_STAGE_KEY)
    if stage is not None and stage not in get_args(Stage):
        allowed = ", ".join(map(repr, get_args(Stage)))
        raise ValueError(f"{_STAGE_KEY} is {shown(stage)}; it must be one of {allowed}")
    return stage


def promised_tokenizer(values: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the file name and the SHA-256 of the tokenizer that ``config.json`` names; ``None`` if it names none.

    Raises
    ------
    ValueError
        If the entry is not a mapping with both.
    """
    entry = values.get(_TOKENIZER_KEY)
    if entry is None:
        return None
    if not (
        isinstance(entry, Mapping) and all(isinstance(entry.get(key), str) for key in ("file", "sha256"))
    ):
        raise ValueError(f"{_TOKENIZER_KEY} is {shown(entry)}; it must have the strings 'file' and 'sha256'")
    return entry["file"], entry["sha256"]


def generation_config(tokenizer: Tokenizer, stage: Stage | None, defaults: ChatDefaults) -> dict[str, Any]:
    """Return the content of ``generation_config.json``, which transformers follow unless they are told otherwise.

    A chat model takes the likeliest token, as in :func:`~minillm_lib.generation.chat_session.chat`. A model that was
    only pretrained draws tokens, as ``minillm generate`` does: its likeliest text soon repeats itself.
    """
    draws = stage == "pretrain"
    values: dict[str, Any] = {
        **({"do_sample": True, "temperature": 0.8} if draws else {"do_sample": False}),
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": list(tokenizer.end_ids),
        "pad_token_id": tokenizer.pad_id,
        "max_new_tokens": _MAX_NEW_TOKENS,
    }
    if own := defaults.model_dump(exclude_defaults=True):
        values[_DEFAULTS_KEY] = own
    return values


def chat_defaults_of(values: Mapping[str, Any]) -> ChatDefaults:
    """Return what ``generation_config.json`` says of conversations.

    Raises
    ------
    ValueError
        If a key is unknown or a value not allowed.
    """
    own = values.get(_DEFAULTS_KEY)
    try:
        return ChatDefaults.model_validate({} if own is None else own)
    except ValidationError as error:
        raise ValueError(f"{_DEFAULTS_KEY}: {refusal_in_words(error)}") from None
