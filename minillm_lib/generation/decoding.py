"""From prompts to texts: one token at a time, for a batch of prompts of different lengths."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import linear

from minillm_lib.generation.fast_path import FastDecoder
from minillm_lib.generation.graph_decoder import GraphDecoder, give_back, take_decoder
from minillm_lib.generation.sampling import SamplingConfig, choose_tokens
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.eval_view import in_eval_mode
from minillm_lib.tokenizer import MODEL_FILE, Tokenizer

FinishReason = Literal["stop", "stop_string", "length", "context"]
N_CONFIDENCE_TOKENS = 12
"""How many tokens at the beginning of a text its confidence is about."""


@dataclass
class Generation:
    """The text that a model wrote after one prompt.

    Attributes
    ----------
    ids
        The ids of the new tokens, without the end token.
    finish_reason
        ``"stop"`` at an end token, ``"stop_string"``, ``"length"`` at ``max_new_tokens``, or ``"context"``
        if prompt and text fill the model's context; ``None`` while the text is being written.
    text
        The decoded tokens up to the stop string; empty if the model has no tokenizer.
    log_probs
        The natural logarithm of each id's probability as the model gave it: at temperature 1, before any truncation or
        penalty.
    """

    ids: list[int] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    text: str = ""
    log_probs: list[float] = field(default_factory=list, repr=False, compare=False)

    @property
    def confidence(self) -> float | None:
        """How probable the first ``N_CONFIDENCE_TOKENS`` tokens were, from 0 to 1; ``None`` if there is none yet.

        This is the geometric mean of their probabilities as the model gave them.
        """
        log_probs = self.log_probs[:N_CONFIDENCE_TOKENS]
        return math.exp(sum(log_probs) / len(log_probs)) if log_probs else None


def generate(
    model: MiniLLM,
    prompts: str | Tensor | Sequence[Any],
    sampling: SamplingConfig | None = None,
    *,
    end_ids: Collection[int] | None = None,
    fast: bool = True,
    **options: Any,
) -> list[Generation]:
    """Continue each prompt of a batch as it would be continued alone, up to rounding.

    A single prompt on a CPU is continued on the fast path, :class:`~minillm_lib.generation.fast_path.FastDecoder`,
    unless :func:`~minillm_lib.generation.fast_path.why_not_fast` says why it cannot be. The first time on a machine, it
    is compiled, which takes some seconds. On CUDA, the steps after the first are replayed from a recorded graph
    (:class:`~minillm_lib.generation.graph_decoder.GraphDecoder`).

    Nothing of the model is changed, so several threads may generate with it at once. Dropout is left out, whether or
    not the model is in training mode.

    Parameters
    ----------
    prompts
        A string or a list of them, a list of token ids or a list of such lists of any lengths, or a tensor
        ``(seq,)`` or ``(batch, seq)``. Strings need ``model.tokenizer``; after an empty string, a new text starts.
    sampling, options
        How to choose tokens; ``options`` are keys of :class:`~minillm_lib.generation.sampling.SamplingConfig`
        that replace those of ``sampling``.
    end_ids
        The ids of the tokens that end a text; by default the tokenizer's end of text and end of turn.
    fast
        Whether the fast path or a CUDA graph may be used. Without them, the model's layers compute every token.

    Returns
    -------
    list of Generation
        One per prompt, in the order of the prompts.

    Raises
    ------
    ValueError
        For a prompt that leaves no room in the model's context, an empty list of ids, an id outside the vocabulary,
        an invalid option, or strings (also stop strings) if the model has no tokenizer.

    Examples
    --------
    >>> from minillm_lib.model.decoder import MiniLLM
    >>> generate(MiniLLM.from_preset("nano"), [[5, 6, 7], [8]], max_new_tokens=3)[1].finish_reason
    'length'
    """
    steps = generation_steps(model, as_prompts(model, prompts), configured(sampling, options), end_ids, fast)
    *_, finished = steps
    return finished


def configured(sampling: SamplingConfig | None, options: dict[str, Any]) -> SamplingConfig:
    """Return ``sampling``, by default ``SamplingConfig()``, with the keys in ``options`` replaced."""
    return (sampling or SamplingConfig()).replace(**options)


@torch.inference_mode()
def generation_steps(
    model: MiniLLM,
    prompts: Sequence[list[int]],
    sampling: SamplingConfig,
    end_ids: Collection[int] | None = None,
    fast: bool = True,
) -> Iterator[list[Generation]]:
    """Yield the texts after all prompts as they grow by one token at a time, until all are finished.

    The same list is yielded each time, with one :class:`Generation` per prompt. Short prompts are padded on the left,
    the model does not attend to the padding, and a finished text grows no further. There is no dropout, also if the
    model is in training mode, and its mode does not change: other threads may use it at the same time.

    Parameters
    ----------
    prompts
        Token ids, as :func:`as_prompts` returns them.
    sampling, end_ids, fast
        As in :func:`generate`.
    """
    rows = [Generation() for _ in prompts]
    rules = [StopRule(model, len(prompt), sampling, end_ids) for prompt in prompts]
    generators = _seeded_generators(sampling.seed, len(prompts))
    input_ids, attention_mask = pad_left(prompts, model.device)  # (batch, longest prompt) each
    seen = None  # (batch, vocab): tokens that occurred, if that matters
    if sampling.repetition_penalty != 1:
        seen = torch.zeros(len(prompts), model.n_ids, dtype=torch.bool, device=model.device)
    cache = model.new_cache(len(prompts), input_ids.shape[1] + max(rule.limit for rule in rules) - 1)
    fast_decoder: FastDecoder | None = None
    graph: GraphDecoder | None = None
    try:
        while any(row.finish_reason is None for row in rows):
            if fast and cache.length and graph is None and not (fast_decoder and fast_decoder.is_current()):
                graph = take_decoder(model, cache)
                fast_decoder = (
                    FastDecoder.if_possible(model, cache) if len(prompts) == 1 and not graph else None
                )
                fast = bool(graph or fast_decoder)
            if graph is not None:
                logits = graph(input_ids)[:, : model.n_ids]
            elif fast_decoder is not None:
                logits = fast_decoder(int(input_ids))
            else:
                hidden = in_eval_mode(model).hidden_states(
                    input_ids, attention_mask=attention_mask, cache=cache
                )
                logits = linear(hidden[:, -1], model.output_weight).float()  # (batch, vocab)
            if seen is not None:
                seen.scatter_(1, input_ids, True)
            tokens = choose_tokens(logits, sampling, seen, generators)  # (batch,)
            for row, rule, token, log_prob in zip(
                rows, rules, tokens.tolist(), _log_probs(logits, tokens), strict=True
            ):
                if row.finish_reason is None:
                    rule.append(token, row, log_prob)
            yield rows
            input_ids = tokens[:, None].to(model.device)
            unfinished = [[row.finish_reason is None] for row in rows]
            attention_mask = (
                None if all(map(all, unfinished)) else torch.tensor(unfinished, device=model.device)
            )
    finally:
        if graph is not None:
            give_back(model, graph)


class StopRule:
    """The rule that ends the text after a prompt: at an end token, at a stop string, or at a length.

    Parameters
    ----------
    prompt_len
        Number of tokens in the prompt.
    sampling, end_ids
        As in :func:`generate`.

    Attributes
    ----------
    limit
        The largest number of tokens that the text can have.
    """

    def __init__(
        self,
        model: MiniLLM,
        prompt_len: int,
        sampling: SamplingConfig,
        end_ids: Collection[int] | None = None,
    ) -> None:
        self._tokenizer = tokenizer_of(model) if sampling.stop else model.tokenizer
        self._stop = sampling.stop
        self._end_ids = _default_end_ids(model) if end_ids is None else end_ids
        room = model.config.context_length - prompt_len
        wanted = room if sampling.max_new_tokens is None else sampling.max_new_tokens
        self.limit = min(room, wanted)
        self._reason_at_limit: FinishReason = "length" if self.limit == sampling.max_new_tokens else "context"

    def append(self, token: int, row: Generation, log_prob: float | None = None) -> None:
        """Add a token, with its log-probability if that is known, and set ``finish_reason`` if the text ends here."""
        if token in self._end_ids:
            row.finish_reason = "stop"
        else:
            row.ids.append(token)
            if log_prob is not None:
                row.log_probs.append(log_prob)
            if len(row.ids) == self.limit:
                row.finish_reason = self._reason_at_limit
        if self._tokenizer is not None and (self._stop or row.finish_reason):
            row.text = self._tokenizer.decode(row.ids)
            if (end := find_stop(row.text, self._stop)) is not None:
                row.text, row.finish_reason = row.text[:end], "stop_string"


def _log_probs(logits: Tensor, tokens: Tensor) -> list[float]:
    """Return the log-probability of the token chosen in each row of logits ``(batch, vocab)``."""
    return logits.log_softmax(dim=-1).gather(1, tokens[:, None].to(logits.device))[:, 0].tolist()


def find_stop(text: str, stop: Sequence[str]) -> int | None:
    """Return where the first of the stop strings begins in a text, or ``None`` if it contains none."""
    return min((text.index(each) for each in stop if each in text), default=None)


def as_prompts(model: MiniLLM, prompts: str | Tensor | Sequence[Any]) -> list[list[int]]:
    """Return prompts in any form as checked lists of token ids, one per prompt.

    The forms and errors are those of :func:`generate`.
    """
    if isinstance(prompts, Tensor):
        prompts = prompts.tolist()
    if isinstance(prompts, str) or (len(prompts) > 0 and isinstance(prompts[0], Integral)):
        prompts = [prompts]
    ids = [_encode(model, each) if isinstance(each, str) else [int(i) for i in each] for each in prompts]
    _check(model, ids)
    return ids


def tokenizer_of(model: MiniLLM) -> Tokenizer:
    """Return the model's tokenizer.

    Raises
    ------
    ValueError
        If it has none; the message says how to give it one.
    """
    if model.tokenizer is None:
        source = model.source
        where = "" if source is None else f" ({MODEL_FILE} is missing from {source}, or was left out)"
        raise ValueError(
            f"text needs a tokenizer, and this model has none{where}: set model.tokenizer, load the model with "
            "one (tokenizer=…, --tokenizer), or pass token ids"
        )
    return model.tokenizer


def _encode(model: MiniLLM, prompt: str) -> list[int]:
    tokenizer = tokenizer_of(model)
    return tokenizer.encode(prompt, add_bos=tokenizer.begins_with_bos) or [tokenizer.bos_id]


def _default_end_ids(model: MiniLLM) -> tuple[int, ...]:
    tokenizer = model.tokenizer
    return () if tokenizer is None else tokenizer.end_ids


def _check(model: MiniLLM, prompts: Sequence[list[int]]) -> None:
    """Raise an error for prompts that would lead to a wrong result, or to an error deep inside the model."""
    context, vocab_size = model.config.context_length, model.n_ids
    if not prompts:
        raise ValueError("there is no prompt")
    for i, prompt in enumerate(prompts):
        if not prompt:
            raise ValueError(f"prompt {i} is empty; it must have at least one token")
        if len(prompt) >= context:
            raise ValueError(
                f"prompt {i} has {len(prompt)} tokens, but the model's context is {context}; "
                f"at most {context - 1} leave room for a new one"
            )
        if wrong := [token for token in prompt if not 0 <= token < vocab_size]:
            raise ValueError(f"prompt {i} has the token {wrong[0]}; ids are from 0 to {vocab_size - 1}")


def _seeded_generators(seed: int | None, n_rows: int) -> list[torch.Generator]:
    """Return one generator per row, so that the draws of a row do not depend on the other rows."""
    generators = [torch.Generator() for _ in range(n_rows)]
    for row, generator in enumerate(generators):
        if seed is None:
            generator.seed()
        else:
            generator.manual_seed(seed + row)
    return generators


def pad_left(prompts: Sequence[list[int]], device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Pad prompts on the left, and mark the slots that are tokens.

    The padding is the row's own first token, so that it adds nothing to the tokens seen in the row.

    Returns
    -------
    tuple
        Ids and mask, ``(batch, longest prompt)`` each; the mask is ``None`` if nothing is padded.
    """
    longest = max(map(len, prompts))
    padded = [prompt[:1] * (longest - len(prompt)) + prompt for prompt in prompts]
    input_ids = torch.tensor(padded, device=device)
    if all(len(prompt) == longest for prompt in prompts):
        return input_ids, None
    first = torch.tensor([[longest - len(prompt)] for prompt in prompts], device=device)
    return input_ids, torch.arange(longest, device=device) >= first
