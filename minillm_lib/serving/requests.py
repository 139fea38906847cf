"""The bodies of requests: OpenAI's parameters as far as there is something for them to do, and a few of our own.

What OpenAI has and this server has not is refused, unless it is given as the value that changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from minillm_lib.generation.sampling import SamplingConfig
from minillm_lib.serving.errors import ApiError, check_model, from_validation

MOST_CHOICES = 8
MOST_PROMPTS = 64
MOST_MESSAGES = 4096
MOST_STOPS = 16

_IGNORED = {"user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"}
"""What OpenAI keeps for its own records; it changes no answer."""
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "audio": (),
    "best_of": (1,),
    "frequency_penalty": (0,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "parallel_tool_calls": (True, False),
    "prediction": (),
    "presence_penalty": (0,),
    "reasoning_effort": ("none",),
    "response_format": ({"type": "text"},),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "suffix": ("",),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "verbosity": ("medium",),
    "web_search_options": (),
}
"""OpenAI's other parameters, and the values with which each changes nothing; null is always one."""
_OUR_NAMES = {"max_new_tokens": "max_tokens"}


def _text_of(content: Any) -> Any:
    """Join the parts of a message's content; only text is possible."""
    if not isinstance(content, list):
        if content is None:
            raise ValueError("the content is null; this server needs text")
        return content
    texts = []
    for number, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else type(part).__name__
        if kind != "text" or not isinstance(part.get("text"), str):
            raise ValueError(
                f"part {number} of the content is of the type {kind!r}; "
                'the model only reads text: {"type": "text", "text": "…"}'
            )
        texts.append(part["text"])
    return "".join(texts)


def _list_of_prompts(prompt: Any) -> Any:
    """Return one prompt as a list of it, a string or a list of ids."""
    is_one = isinstance(prompt, str) or (isinstance(prompt, list) and prompt and isinstance(prompt[0], int))
    return [prompt] if is_one else prompt


def _list_of_stops(stop: Any) -> Any:
    return [] if stop is None else [stop] if isinstance(stop, str) else stop


class _Body(BaseModel):
    """A body whose types are taken as they are: the string "5" is no number."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class ChatMessage(_Body):
    """One message of a conversation."""

    role: str
    content: Annotated[str, BeforeValidator(_text_of)]

    @model_validator(mode="after")
    def _refuse_the_rest(self) -> ChatMessage:
        for name, value in (self.model_extra or {}).items():
            if value not in (None, [], {}, ""):
                raise ValueError(f"{name!r} is not supported in a message; only 'role' and 'content' are")
        return self


def conversation(messages: Sequence[ChatMessage]) -> list[dict[str, str]]:
    """Return messages as the tokenizer takes them; "developer" is OpenAI's newer name of "system"."""
    return [
        {"role": "system" if each.role == "developer" else each.role, "content": each.content}
        for each in messages
    ]


class StreamOptions(_Body):
    """What else a stream contains."""

    include_usage: bool = False


class _Request(_Body):
    """What both ways of asking have in common."""

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = Field(default=None, ge=1, le=MOST_CHOICES)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    stop: Annotated[
        list[Annotated[str, Field(min_length=1)]],
        Field(max_length=MOST_STOPS),
        BeforeValidator(_list_of_stops),
    ] = []
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None

    def check(self, model_name: str) -> None:
        """Refuse what this server cannot do.

        Raises
        ------
        ApiError
            For another model, and for a parameter that would have to change something and cannot.
        """
        if self.model is not None:
            check_model(self.model, model_name)
        for name, value in (self.model_extra or {}).items():
            if name in _IGNORED or value is None or value in _NEUTRAL.get(name, ()):
                continue
            if name not in _NEUTRAL:
                known = ", ".join(sorted(type(self).model_fields))
                raise ApiError(
                    400,
                    f"there is no parameter {name!r}; there are {known}",
                    param=name,
                    code="unknown_parameter",
                )
            neutral = " or ".join(repr(each) for each in _NEUTRAL[name]) or "null"
            raise ApiError(
                400,
                f"{name} is not supported by this server: leave it out, or give {neutral}, which changes nothing",
                param=name,
                code="unsupported_parameter",
            )
        if self.stream_options is not None and not self.stream:
            raise ApiError(400, "stream_options needs stream", param="stream_options", code="invalid_value")
        if self.stream_options is not None and any((self.stream_options.model_extra or {}).values()):
            raise ApiError(
                400,
                "stream_options only has include_usage here",
                param="stream_options",
                code="unsupported_parameter",
            )

    @property
    def includes_usage(self) -> bool:
        """Whether a stream ends with the counts of tokens."""
        return self.stream_options is not None and self.stream_options.include_usage

    def sampling(self, max_tokens: int | None, defaults: SamplingConfig) -> SamplingConfig:
        """Return how tokens are chosen, where parameters that are not given are those of ``defaults``.

        Raises
        ------
        ApiError
            For a value that is not possible.
        """
        given = {
            name: getattr(self, name)
            for name in ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
            if getattr(self, name) is not None
        }
        try:
            return defaults.replace(**given, stop=tuple(self.stop), seed=self.seed, max_new_tokens=max_tokens)
        except ValidationError as error:
            errors = [
                {**each, "loc": tuple(_OUR_NAMES.get(str(part), part) for part in each["loc"])}
                for each in error.errors()
            ]
            raise from_validation(errors) from None


class ChatRequest(_Request):
    """The body of ``POST /v1/chat/completions``."""

    messages: list[ChatMessage] = Field(min_length=1, max_length=MOST_MESSAGES)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)

    def check(self, model_name: str) -> None:
        """Refuse what this server cannot do.

        Raises
        ------
        ApiError
            As for any request, and for parameters that contradict each other.
        """
        super().check(model_name)
        if self.top_logprobs is not None and not self.logprobs:
            raise ApiError(400, "top_logprobs needs logprobs", param="top_logprobs", code="invalid_value")
        both = (self.max_tokens, self.max_completion_tokens)
        if None not in both and both[0] != both[1]:
            raise ApiError(
                400,
                "max_tokens and max_completion_tokens are two names of one number, but two numbers are given",
                param="max_tokens",
                code="invalid_value",
            )

    @property
    def most(self) -> int | None:
        """The most tokens of an answer; ``None`` writes to the end of the context."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


class CompletionRequest(_Request):
    """The body of ``POST /v1/completions``."""

    prompt: Annotated[
        list[str | list[int]], Field(min_length=1, max_length=MOST_PROMPTS), BeforeValidator(_list_of_prompts)
    ]
    max_tokens: int | None = Field(default=16, ge=0)
    logprobs: int | None = Field(default=None, ge=0, le=5)
    echo: bool | None = None

    def check(self, model_name: str) -> None:
        """Refuse what this server cannot do.

        Raises
        ------
        ApiError
            As for any request, and for parameters that contradict each other.
        """
        if self.model_extra and self.model_extra.get("best_of") == (self.n or 1):  # the best n of n
            self.model_extra.pop("best_of")
        super().check(model_name)
        if self.max_tokens == 0 and not self.echo:
            raise ApiError(
                400, "max_tokens is 0, and without echo there is nothing to return", param="max_tokens"
            )


class InspectRequest(_Body):
    """The body of ``POST /inspect``."""

    messages: list[ChatMessage] = Field(min_length=1, max_length=MOST_MESSAGES)
    reply: str | None = None
    reply_ids: list[int] | None = None
    token: int | None = Field(default=None, ge=1)
    top: int = Field(default=5, ge=0, le=20)

    @model_validator(mode="after")
    def _check(self) -> InspectRequest:
        if self.model_extra:
            raise ValueError(f"there is no parameter {next(iter(self.model_extra))!r}")
        if self.reply is not None and self.reply_ids is not None:
            raise ValueError("the reply is either given as a text, reply, or as its tokens, reply_ids")
        return self
