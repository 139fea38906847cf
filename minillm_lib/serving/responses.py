"""The bodies of responses in OpenAI's shapes, whole or in pieces."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Sequence
from typing import Any

from minillm_lib.generation.decoding import FinishReason
from minillm_lib.serving.served_text import ServedText, TokenScore
from minillm_lib.tokenizer import Tokenizer

FINISH_REASONS: dict[FinishReason, str] = {
    "stop": "stop",
    "stop_string": "stop",
    "length": "length",
    "context": "length",
}
_BYTES = re.compile(r"(?:<0x[0-9A-F]{2}>)+")
_NO_LOG_PROBABILITY = -9999.0  # OpenAI's own number for a token that is next to impossible


def event(body: dict[str, Any]) -> str:
    """Return a server-sent event."""
    return f"data: {json.dumps(body, ensure_ascii=False, separators=(',', ':'))}\n\n"


class ResponseShape:
    """How the answers to one request are written down.

    Parameters
    ----------
    model_name
        The name under which the model is offered.
    not_sure_below
        The confidence below which an answer is doubtful; ``None`` if that is not known.
    extra
        What the response says beyond OpenAI's shape, under the key ``minillm``; nothing if it is empty.
    """

    prefix, whole, chunk = "", "", ""

    def __init__(
        self,
        model_name: str,
        tokenizer: Tokenizer,
        extra: dict[str, Any],
        not_sure_below: float | None = None,
    ) -> None:
        self._tokenizer, self._extra, self._not_sure_below = tokenizer, extra, not_sure_below
        self._head = {
            "id": f"{self.prefix}-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": model_name,
        }

    def body(
        self, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None, *, is_chunk: bool
    ) -> dict[str, Any]:
        """Return a response, or a piece of a stream."""
        body: dict[str, Any] = {
            "object": self.chunk if is_chunk else self.whole,
            **self._head,
            "choices": choices,
        }
        if usage is not None or not is_chunk:
            body["usage"] = usage
        if self._extra:
            body["minillm"] = self._extra
        return body

    def choice(
        self,
        index: int,
        text: str,
        scores: Sequence[TokenScore] | None,
        finish_reason: FinishReason | None,
        confidence: float | None = None,
        *,
        is_chunk: bool,
    ) -> dict[str, Any]:
        """Return one answer, or a piece of it; ``scores`` is ``None`` if none were asked for."""
        ours: dict[str, Any] = {}
        if confidence is not None:
            sure = None if self._not_sure_below is None else confidence >= self._not_sure_below
            ours = {"minillm": {"confidence": round(confidence, 4), "is_sure": sure}}
        return {
            **ours,
            "index": index,
            **self._content(text, is_chunk),
            "logprobs": None if scores is None else self._logprobs(scores),
            "finish_reason": None if finish_reason is None else FINISH_REASONS[finish_reason],
        }

    def beginnings(self, n_choices: int) -> list[dict[str, Any]]:
        """Return what a stream begins with."""
        return []

    def _content(self, text: str, is_chunk: bool) -> dict[str, Any]:
        raise NotImplementedError

    def _logprobs(self, scores: Sequence[TokenScore]) -> dict[str, Any]:
        raise NotImplementedError

    def _token(self, token: int) -> str:
        """Return the text of a token: that of a special token is its name."""
        return self._tokenizer.decode([token]) or self._tokenizer.vocabulary[token]

    def _bytes(self, token: int) -> list[int] | None:
        """Return the bytes of a token; ``None`` where it is part of a character that is not known here."""
        text = self._tokenizer.decode([token])
        if "\ufffd" not in text:
            return list(text.encode())
        numbers = self._tokenizer.vocabulary[token]  # such as <0xE7><0x8E>
        return list(bytes.fromhex(re.sub("<0x|>", "", numbers))) if _BYTES.fullmatch(numbers) else None


class ChatShape(ResponseShape):
    """The shape of ``/v1/chat/completions``."""

    prefix, whole, chunk = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def beginnings(self, n_choices: int) -> list[dict[str, Any]]:
        """Return one piece per answer that says whose message it is."""
        start = {"role": "assistant", "content": ""}
        return [
            {"index": index, "delta": start, "logprobs": None, "finish_reason": None}
            for index in range(n_choices)
        ]

    def _content(self, text: str, is_chunk: bool) -> dict[str, Any]:
        if is_chunk:
            return {"delta": {"content": text} if text else {}}
        return {"message": {"role": "assistant", "content": text, "refusal": None}}

    def _logprobs(self, scores: Sequence[TokenScore]) -> dict[str, Any]:
        content = [
            {
                **self._entry(score.token, score.log_probability),
                "top_logprobs": [self._entry(*each) for each in score.alternatives],
            }
            for score in scores
        ]
        return {"content": content, "refusal": None}

    def _entry(self, token: int, log_probability: float | None) -> dict[str, Any]:
        return {
            "token": self._token(token),
            "bytes": self._bytes(token),
            "logprob": _number(log_probability),
            "token_id": token,
        }


class CompletionShape(ResponseShape):
    """The shape of ``/v1/completions``."""

    prefix, whole, chunk = "cmpl", "text_completion", "text_completion"

    def _content(self, text: str, is_chunk: bool) -> dict[str, Any]:
        return {"text": text}

    def _logprobs(self, scores: Sequence[TokenScore]) -> dict[str, Any]:
        return {
            "tokens": [self._name(score.token) for score in scores],
            "token_logprobs": [
                None if score.log_probability is None else _number(score.log_probability) for score in scores
            ],
            "top_logprobs": [
                None if score.log_probability is None else self._by_name(score.alternatives)
                for score in scores
            ],
            "text_offset": [score.start for score in scores],
        }

    def _name(self, token: int) -> str:
        r"""Return the text of a token or, as OpenAI does, its bytes where it is part of a character: ``bytes:\xe7``."""
        text = self._token(token)
        own = self._bytes(token) if "\ufffd" in text else None
        return text if own is None else "bytes:" + "".join(f"\\x{byte:02x}" for byte in own)

    def _by_name(self, alternatives: Sequence[tuple[int, float]]) -> dict[str, float]:
        """Return log probabilities by token; of two with the same text, the less likely is called by its id."""
        named: dict[str, float] = {}
        for token, log_probability in alternatives:
            name = self._name(token)
            named[f"token_id:{token}" if name in named else name] = _number(log_probability)
        return named


def usage(texts: Sequence[ServedText], n_per_prompt: int) -> dict[str, int]:
    """Count tokens: each prompt once, and what was written for it."""
    read = sum(len(text.prompt) for text in texts[::n_per_prompt])
    written = sum(len(text.generation.ids) for text in texts)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _number(log_probability: float | None) -> float:
    """Return what JSON can hold: a token that is ruled out has no finite log probability."""
    return _NO_LOG_PROBABILITY if log_probability is None else max(log_probability, _NO_LOG_PROBABILITY)
