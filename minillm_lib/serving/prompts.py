"""From what a client sends to token ids that the model can continue."""

from __future__ import annotations

from collections.abc import Sequence

from minillm_lib.generation.decoding import as_prompts, tokenizer_of
from minillm_lib.generation.history import fit_history
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.serving.errors import ApiError
from minillm_lib.serving.requests import InspectRequest, conversation


def chat_prompt(
    model: MiniLLM, messages: Sequence[dict[str, str]], max_tokens: int | None
) -> tuple[list[int], int]:
    """Return the ids of a conversation, and how many of its oldest messages did not fit into the context.

    A model that cannot carry a conversation (``model.chat_defaults``) is only shown the system message and the last
    turn. As in :class:`~minillm_lib.generation.chat_session.ChatSession`, room is left for ``max_tokens``, but at most
    for a quarter of the context.

    Raises
    ------
    ApiError
        If the messages are not a conversation, or the last turn alone does not fit.
    """
    context, tokenizer = model.config.context_length, tokenizer_of(model)
    room = min(max_tokens or context, context // 4)
    try:
        # With no room at all, everything is dropped that may be.
        kept, ids = fit_history(tokenizer, messages, 0 if model.chat_defaults.fresh else context - room)
    except (ValueError, TypeError) as error:
        raise ApiError(400, str(error), param="messages", code="invalid_value") from None
    _check_length(ids, context, "messages")
    return ids, len(messages) - len(kept)


def checked_prompts(model: MiniLLM, prompts: Sequence[str | list[int]]) -> list[list[int]]:
    """Return prompts as ids.

    Raises
    ------
    ApiError
        For a prompt that the model cannot continue.
    """
    checked = []
    for number, prompt in enumerate(prompts):
        name = "prompt" if len(prompts) == 1 else f"prompt[{number}]"
        if not isinstance(prompt, str):
            _check_length(prompt, model.config.context_length, name)
        try:
            checked += as_prompts(model, [prompt])
        except (ValueError, TypeError) as error:
            code = "context_length_exceeded" if "context" in str(error) else "invalid_value"
            message = str(error).replace("prompt 0", f"prompt {number}")
            raise ApiError(400, message, param=name, code=code) from None
    return checked


def _check_length(ids: Sequence[int], context: int, param: str) -> None:
    if len(ids) >= context:
        raise ApiError(
            400,
            f"the prompt has {len(ids)} tokens, but the model's context is {context}; at most {context - 1} leave "
            "room for a new one",
            param=param,
            code="context_length_exceeded",
        )


def ids_to_inspect(model: MiniLLM, body: InspectRequest) -> tuple[list[int], int]:
    """Return the ids of a conversation and its reply, and how many come before the reply.

    Raises
    ------
    ApiError
        If the messages are not a conversation, or the reply has ids that are not in the vocabulary.
    """
    tokenizer = tokenizer_of(model)
    try:
        prompt = tokenizer.apply_chat_template(conversation(body.messages), add_generation_prompt=True)
        reply = tokenizer.encode(body.reply) if body.reply is not None else list(body.reply_ids or ())
    except (ValueError, TypeError) as error:
        raise ApiError(400, str(error), param="messages", code="invalid_value") from None
    vocab_size = model.n_ids
    if wrong := [token for token in reply if not 0 <= token < vocab_size]:
        message = f"there is no token {wrong[0]}; ids are from 0 to {vocab_size - 1}"
        raise ApiError(400, message, param="reply_ids", code="invalid_value")
    return prompt + reply, len(prompt)
