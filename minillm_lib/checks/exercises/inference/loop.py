"""The loop that writes a text with a cache: read what is new, choose, append, until the text ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant

Step = Callable[[Sequence[int], Any], tuple[Tensor, Any]]
Choose = Callable[[Tensor, Sequence[int]], int]
_VOCAB, _CONTEXTS = 7, 40


class _Past(tuple[int, ...]):
    """What the model of the check has read so far; it stands for keys and values."""

    def __repr__(self) -> str:
        return f"the past of {len(self)} tokens"


class _Step:
    """A model whose logits depend on all that was read, in order. It notes what it is given to read."""

    def __init__(self, table: Tensor) -> None:
        self._table = table
        self.read: list[list[int]] = []

    def __call__(self, tokens: Sequence[int], past: _Past | None) -> tuple[Tensor, _Past]:
        new = [int(token) for token in tokens]
        self.read.append(new)
        everything = _Past((*(past or ()), *new))
        number = sum((index + 3) * (token + 1) for index, token in enumerate(everything))
        return self._table[number % _CONTEXTS][None], everything


def _choose(logits: Tensor, text: Sequence[int]) -> int:
    """Take the likeliest token, less gladly the more often it stands in the text."""
    counts = torch.bincount(torch.tensor([int(token) for token in text], dtype=torch.long), minlength=_VOCAB)
    return int((logits[0] - 0.5 * counts).argmax())


def _case(rng: np.random.Generator, n_prompt: int, max_new_tokens: int, ends: bool | None = None) -> Inputs:
    """Draw a model and a prompt; ``ends`` says whether an end token is to come before ``max_new_tokens``."""
    while True:
        table = torch.from_numpy(2 * rng.standard_normal((_CONTEXTS, _VOCAB))).float()
        prompt = rng.integers(1, _VOCAB, n_prompt).tolist()
        _, reason = _generate(_Step(table), _choose, prompt, max_new_tokens, 0)
        if ends is None or (reason == "stop") == ends:
            return table, prompt, max_new_tokens, 0


def _drawn_case(rng: np.random.Generator) -> Inputs:
    return _case(rng, int(rng.integers(2, 5)), int(rng.integers(5, 9)))


def _edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(15)
    return {
        "a text that ends with the end token": _case(rng, 3, 9, ends=True),
        "a text that ends at its greatest length": _case(rng, 3, 4, ends=False),
        "a prompt of one token": _case(rng, 1, 5),
        "a single new token": _case(rng, 3, 1, ends=False),
        "an end token at once": _first_is_the_end(),
        "a prompt that contains the end token": _case_with_end_in_prompt(rng),
    }


def _first_is_the_end() -> Inputs:
    return 9 * torch.eye(_VOCAB)[:1].expand(_CONTEXTS, _VOCAB).contiguous(), [2, 3], 4, 0


def _case_with_end_in_prompt(rng: np.random.Generator) -> Inputs:
    table, prompt, _, end_id = _case(rng, 3, 4, ends=False)
    return table, [prompt[0], end_id, prompt[2]], 4, end_id


def _used(
    answer: Callable[..., Any], table: Tensor, prompt: list[int], max_new_tokens: int, end_id: int
) -> Any:
    """Let an answer write with the model of the check, and add what it gave that model to read."""
    step = _Step(table)
    returned = answer(step, _choose, prompt, max_new_tokens, end_id)
    if isinstance(returned, tuple | list) and len(returned) == 2 and isinstance(returned[0], tuple | list):
        returned = ([int(token) for token in returned[0]], returned[1])
    return {"returned": returned, "read in each pass": step.read}


def _generate_with(
    prefill: Callable[[list[int]], list[list[int]]] = lambda prompt: [prompt],
    fed: Callable[[list[int], list[int]], list[int]] = lambda prompt, new: new[-1:],
    past_of: Callable[[Any, Any], Any] = lambda newest, first: newest,
    shown: Callable[[list[int], list[int]], list[int]] = lambda prompt, new: prompt + new,
    limit: int = 0,
    heeds_end: bool = True,
    keeps_end: bool = False,
    one_more_pass: bool = False,
    reasons: tuple[str, str] = ("stop", "length"),
    given: Callable[[list[int], list[int], str], Any] = lambda prompt, new, reason: (new, reason),
) -> Callable[..., Any]:
    """Return a wrong loop: what is read, what is kept and shown, when it ends, and what is returned."""

    def wrong_generate(
        step: Step, choose: Choose, prompt: list[int], max_new_tokens: int, end_id: int
    ) -> Any:
        past: Any = None
        for part in prefill(prompt):
            logits, past = step(part, past)
        new: list[int] = []
        first, reason = past, reasons[1]
        while True:
            token = choose(logits, shown(prompt, new))
            if heeds_end and token == end_id:
                new, reason = new + [token] * keeps_end, reasons[0]
                break
            new.append(token)
            if len(new) >= max_new_tokens + limit:
                break
            logits, past = step(fed(prompt, new), past_of(past, first))
        if one_more_pass:
            step(new[-1:], past)
        return given(prompt, new, reason)

    return wrong_generate


def _generate(
    step: Step, choose: Choose, prompt: list[int], max_new_tokens: int, end_id: int
) -> tuple[list[int], str]:
    new, reason = _generate_with()(step, choose, prompt, max_new_tokens, end_id)
    return new, reason


def _wrong(**options: Any) -> Callable[..., Any]:
    return _generate_with(**options)


GENERATE = Exercise(
    name="generate",
    points=4,
    reference=_generate,
    use=_used,
    inputs=_drawn_case,
    edge_cases=_edges,
    hints=(
        "What does the model have to read before the first new token, and what before each later one? What it has read "
        "before is in `past`.",
        "Two names change with each turn of the loop: what is to be read next, and the past. In one turn: read, "
        "choose, is it the end?, append. The next turn reads the token that was just appended.",
        "`unread, past, new = prompt, None, []`; then `for _ in range(max_new_tokens):` with `logits, past = "
        "step(unread, past)`, `token = choose(logits, prompt + new)`, the test for the end, `new.append(token)` and "
        "`unread = [token]`.",
    ),
    misconceptions={
        _wrong(
            past_of=lambda newest, first: None, fed=lambda prompt, new: prompt + new
        ): "The text is right, but every pass reads everything anew, without the past. That is the loop *before* the "
        "cache: give `step` what is new, and the past that it returned.",
        _wrong(
            fed=lambda prompt, new: prompt + new
        ): "You give `step` the whole text in every pass, and the past as well: the model reads all of it twice. Give "
        "it the new token alone.",
        _wrong(
            past_of=lambda newest, first: None
        ): "The past is lost: after the prompt, each pass sees a single token and nothing before it. Give `step` the "
        "past that it returned last.",
        _wrong(
            past_of=lambda newest, first: first
        ): "You use the past of the prompt for all tokens: those that were written meanwhile are missing. Each pass "
        "returns a longer past; give that one to the next.",
        _wrong(
            prefill=lambda prompt: [[token] for token in prompt]
        ): "The text is right, but you read the prompt one token at a time. All of it goes into one pass.",
        _wrong(
            prefill=lambda prompt: [prompt[-1:]]
        ): "You begin with the last token of the prompt. The model must read all of the prompt first.",
    },
    variant=variant(_generate_with),
    slips={
        (
            "shown",
            lambda prompt, new: new or prompt,
        ): "`choose` gets the new tokens alone. It is to know all of the text, the prompt too: a penalty counts both.",
        (
            "shown",
            lambda prompt, new: prompt,
        ): "`choose` gets the prompt alone. It is to know all of the text so far: prompt and new tokens.",
        (
            "shown",
            lambda prompt, new: (prompt + new)[-1:],
        ): "`choose` gets the last token alone. It is to know all of the text so far.",
        (
            "limit",
            1,
        ): "You write one token more than `max_new_tokens`.",
        (
            "limit",
            -1,
        ): "You write one token less than `max_new_tokens`. The pass over the prompt already gives the first one.",
        (
            "heeds_end",
            False,
        ): "You do not stop at the end token.",
        (
            "keeps_end",
            True,
        ): "The end token is among your tokens. It says that the text is over, and is no part of it.",
        (
            "one_more_pass",
            True,
        ): "After the last token you let the model read it, though nobody asks for what comes next. A text of n tokens "
        "needs n passes, the one over the prompt included.",
        (
            "reasons",
            ("length", "stop"),
        ): "The two reasons are exchanged: 'stop' at an end token, 'length' if `max_new_tokens` is reached.",
        (
            "reasons",
            ("stop", "stop"),
        ): "You always say 'stop'. If `max_new_tokens` is reached, the reason is 'length'.",
        (
            "reasons",
            ("length", "length"),
        ): "You always say 'length'. If an end token ended the text, the reason is 'stop'.",
        (
            "given",
            lambda prompt, new, reason: (prompt + new, reason),
        ): "You return prompt and text. Return the new tokens only.",
        (
            "given",
            lambda prompt, new, reason: new,
        ): "You return the tokens alone. Return two things: the tokens, and why the text ended.",
        (
            "given",
            lambda prompt, new, reason: (reason, new),
        ): "Tokens and reason are exchanged: first the tokens.",
    },
)
