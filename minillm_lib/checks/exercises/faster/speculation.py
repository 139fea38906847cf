"""One step of speculative decoding: guess, let the target read the guesses in one pass, accept or replace."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.faster.acceptance import accepted_and_missing
from minillm_lib.checks.exercises.faster.worlds import Chance, distribution_of
from minillm_lib.checks.exercises.variants import variant

Text = list[int]
Rule = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
_CONTEXTS = 23


class _Model:
    """Distributions over the next token that depend on every token before, in order."""

    def __init__(self, table: Tensor, name: str) -> None:
        self._table, self._name, self.passes = table, name, 0

    def __repr__(self) -> str:
        return self._name

    def after(self, text: Sequence[int]) -> Tensor:
        number = sum((index + 2) * (int(token) + 1) for index, token in enumerate(text))
        return self._table[number % _CONTEXTS]


class _Draft(_Model):
    def __call__(self, text: Sequence[int]) -> Tensor:
        return self.after(text)


class _Target(_Model):
    def __call__(self, text: Sequence[int], guesses: Sequence[int]) -> Tensor:
        self.passes += 1
        text, guesses = list(text), list(guesses)
        return torch.stack([self.after(text + guesses[:n]) for n in range(len(guesses) + 1)])


def _tables(rng: np.random.Generator, n_tokens: int) -> tuple[Tensor, Tensor]:
    p, q = (rng.dirichlet(np.full(n_tokens, 1.2), size=_CONTEXTS) for _ in range(2))
    return torch.from_numpy(p).float(), torch.from_numpy(q).float()


def _drawn_case(rng: np.random.Generator) -> Inputs:
    p, q = _tables(rng, 3)
    return p, q, rng.integers(0, 3, int(rng.integers(2, 5))).tolist(), 2


def _edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(16)
    p, q = _tables(rng, 3)
    pair = _tables(rng, 2)
    return {
        "a single guess": (p, q, [1, 0], 1),
        "no guess at all": (p, q, [2, 1, 0], 0),
        "three guesses": (*pair, [1], 3),
        "a draft that is the target": (p, p, [1, 2], 2),
        "a target that is sure of itself": (torch.eye(3)[torch.arange(_CONTEXTS) % 3], q, [0, 1], 2),
    }


def _used(answer: Callable[..., Any], p: Tensor, q: Tensor, text: Text, n_guesses: int) -> Any:
    """Return how probable each result of an answer is, and how many passes of the target it needs."""
    passes = set()

    def program(chance: Chance) -> Hashable:
        target, draft = _Target(p, "target"), _Draft(q, "draft")
        returned = answer(target, draft, accepted_and_missing, list(text), n_guesses, chance)
        passes.add(target.passes)
        if isinstance(returned, Tensor):
            returned = returned.tolist()
        return tuple(map(int, returned)) if isinstance(returned, list | tuple) else returned

    found = distribution_of(program)
    return {"passes of the target": max(passes), "how probable each result is": found}


def _guesses(
    draft: Callable[..., Tensor], text: Text, n_guesses: int, chance: Any
) -> tuple[Text, list[Tensor]]:
    guesses: Text = []
    proposed: list[Tensor] = []
    for _ in range(n_guesses):
        proposed.append(draft(text + guesses))
        guesses.append(chance.draw(proposed[-1]))
    return guesses, proposed


def _step_with(
    guessed: Callable[..., tuple[Text, list[Tensor]]] = _guesses,
    wanted: Callable[..., Tensor] = lambda target, text, guesses: target(text, guesses),
    compared: int = 0,
    after_rejection: str = "missing",
    accepts: Callable[[float, Any], bool] = lambda a, chance: bool(chance.happens(a)),
    goes_on: bool = False,
    bonus: str = "own",
    given: Callable[[Text, Text, Text], Text] = lambda text, guesses, new: new,
) -> Callable[..., Text]:
    """Return a wrong step: how it guesses, what it compares, and what it draws in place of a guess or after all."""

    def wrong_step(target: Any, draft: Any, rule: Rule, text: Text, n_guesses: int, chance: Any) -> Text:
        guesses, proposed = guessed(draft, text, n_guesses, chance)
        p, new = wanted(target, text, guesses), []
        for n, (guess, q) in enumerate(zip(guesses, proposed, strict=True)):
            a, missing = rule(p[n + compared], q)
            if accepts(float(a[guess]), chance):
                new.append(guess)
                continue
            instead = {"missing": missing, "target": p[n + compared], "draft": q}.get(after_rejection)
            if instead is not None:
                new.append(chance.draw(instead))
            if not goes_on:
                return given(text, guesses, new)
        if bonus != "none":
            new.append(chance.draw({"own": p[-1], "before": p[-2:][0]}[bonus]))
        return given(text, guesses, new)

    return wrong_step


def _speculative_step(target: Any, draft: Any, rule: Rule, text: Text, n_guesses: int, chance: Any) -> Text:
    return _step_with()(target, draft, rule, text, n_guesses, chance)


def _likeliest(draft: Any, text: Text, n_guesses: int, chance: Any) -> tuple[Text, list[Tensor]]:
    guesses: Text = []
    proposed = []
    for _ in range(n_guesses):
        proposed.append(draft(text + guesses))
        guesses.append(int(proposed[-1].argmax()))
    return guesses, proposed


def _from_the_text_alone(draft: Any, text: Text, n_guesses: int, chance: Any) -> tuple[Text, list[Tensor]]:
    q = draft(text)
    return [chance.draw(q) for _ in range(n_guesses)], [q] * n_guesses


def _without_the_text(draft: Any, text: Text, n_guesses: int, chance: Any) -> tuple[Text, list[Tensor]]:
    return _guesses(lambda whole: draft(whole[len(text) :]), text, n_guesses, chance)


def _one_pass_each(target: Any, text: Text, guesses: Text) -> Tensor:
    return torch.stack([target(text + guesses[:n], [])[-1] for n in range(len(guesses) + 1)])


SPECULATIVE_STEP = Exercise(
    name="speculative_step",
    points=4,
    reference=_speculative_step,
    use=_used,
    inputs=_drawn_case,
    edge_cases=_edges,
    cases=3,
    rtol=1e-3,
    atol=1e-4,
    hints=(
        "Three parts: the draft guesses, one token after the other; the target reads all guesses at once; then go "
        "through the guesses from left to right. Which distributions do you need again in the third part?",
        "`p = target(text, guesses)` has one distribution more than there are guesses: p[0] is that of the first "
        "guess. At the first guess that is rejected, another token takes its place and the step is over. What is p[-1] "
        "for?",
        "For each guess with its q and number n: `a, missing = rule(p[n], q)`; if `chance.happens(a[guess])`, append "
        "it; otherwise append `chance.draw(missing)` and return. If all were accepted, append `chance.draw(p[-1])`.",
    ),
    misconceptions={
        lambda target, draft, rule, text, n_guesses, chance: (
            _guesses(draft, text, n_guesses, chance)[0] + [chance.draw(target(text, [])[-1])]
        ): "You accept every guess. Each is accepted with its probability a only.",
    },
    variant=variant(_step_with),
    slips={
        (
            "after_rejection",
            "target",
        ): "In place of a rejected guess you draw from p. Tokens that the draft proposes often have had their share "
        "already, and now get too much: draw from what is missing, the second thing that `rule` returns.",
        (
            "after_rejection",
            "draft",
        ): "In place of a rejected guess you draw from q again. Draw from what is missing of p, the second thing that "
        "`rule` returns.",
        (
            "after_rejection",
            "none",
        ): "Where a guess is rejected, you put nothing in its place. Another token is drawn there, from what `rule` "
        "says is missing: every step gives at least one token.",
        (
            "goes_on",
            True,
        ): "After a rejected guess you go on with the later ones. They were guessed after a token that is no longer "
        "there: the step is over with the token in its place.",
        (
            "bonus",
            "none",
        ): "When all guesses are accepted, you add no token of the target's own. Its pass has given one distribution "
        "more, that after the last guess: draw from it.",
        (
            "bonus",
            "before",
        ): "The last token, after all guesses, is drawn from the distribution *at* the last guess. The one after it is "
        "p[-1].",
        (
            "compared",
            1,
        ): "You compare each guess with the distribution after it. p[0] is the target's distribution at the first "
        "guess, p[1] at the second.",
        (
            "accepts",
            lambda a, chance: a >= 0.5,
        ): "You accept a guess whenever a is at least one half. It is accepted *with probability* a: "
        "`chance.happens(a)`.",
        (
            "accepts",
            lambda a, chance: a >= 1 - 1e-6,
        ): "You accept a guess only where a is 1. It is accepted *with probability* a: `chance.happens(a)`.",
        (
            "accepts",
            lambda a, chance: not chance.happens(a),
        ): "You reject where you should accept: a is the probability to accept.",
        (
            "guessed",
            _likeliest,
        ): "You guess the draft's likeliest token. The rule is right for guesses that are *drawn* from q: "
        "`chance.draw(q)`.",
        (
            "guessed",
            _from_the_text_alone,
        ): "All your guesses are drawn from the draft's distribution after the text. The second guess comes after the "
        "first: the draft must read it, too.",
        (
            "guessed",
            _without_the_text,
        ): "The draft sees only the guesses, not the text before them.",
        (
            "wanted",
            _one_pass_each,
        ): "The text is right, but the target makes a pass for each guess, and nothing is gained. `target(text, "
        "guesses)` gives all distributions in one pass.",
        (
            "given",
            lambda text, guesses, new: text + new,
        ): "You return the text and the new tokens. Return the new tokens only.",
        (
            "given",
            lambda text, guesses, new: guesses,
        ): "You return all guesses. Return those that were accepted, and the token of the target's own.",
        (
            "given",
            lambda text, guesses, new: new[:-1],
        ): "You return the accepted guesses only. The token that the target adds, in place of a rejected one or after "
        "all of them, is missing.",
    },
)
