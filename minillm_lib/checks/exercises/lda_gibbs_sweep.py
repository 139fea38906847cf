"""The exercise of notebook 02 in which a Gibbs sweep is assembled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.slip_names import made, named

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Conditional = Callable[[IntArray, int], FloatArray]


def _equation_5(
    documents: IntArray,
    terms: IntArray,
    n_topics: int,
    n_terms: int,
    alpha: float,
    beta: float,
    topics: IntArray,
    i: int,
) -> FloatArray:
    others = np.arange(len(topics)) != i
    in_document = np.bincount(topics[others & (documents == documents[i])], minlength=n_topics)
    of_term = np.bincount(topics[others & (terms == terms[i])], minlength=n_topics)
    totals = np.bincount(topics[others], minlength=n_topics)
    weights = (in_document + alpha) * (of_term + beta) / (totals + n_terms * beta)
    return np.asarray(weights / weights.sum())


def _on_a_corpus(
    answer: Callable[..., Any],
    documents: IntArray,
    terms: IntArray,
    topics: IntArray,
    n_topics: int,
    uniforms: FloatArray,
) -> Any:
    """Call an answer with the conditional of a corpus; both priors are 0.3."""
    n_terms = int(terms.max()) + 1
    conditional = partial(_equation_5, documents, terms, n_topics, n_terms, 0.3, 0.3)
    return answer(topics, conditional, uniforms)


def _corpus(rng: np.random.Generator) -> Inputs:
    """Draw a corpus with many topics and few tokens of each, so that a changed topic changes what follows."""
    size = int(rng.integers(14, 20))
    documents, terms, topics = rng.integers(0, (3, 4, 4), size=(size, 3)).T
    return documents, terms, topics, 4, rng.random(size)


def _gibbs_sweep(topics: IntArray, conditional: Conditional, uniforms: FloatArray, /, **slips: Any) -> Any:
    has = made(slips)
    before, topics = topics, topics.copy()
    numbers = range(len(topics))
    if has("which:backwards"):
        numbers = numbers[::-1]
    if has("which:all but the last"):
        numbers = numbers[:-1]
    if has("which:first"):
        numbers = numbers[:1]
    for i in numbers:
        p = conditional(before if has("parallel") else topics, 0 if has("token:first") else i)
        u = (
            uniforms[0]
            if has("uniform:first")
            else 1 - uniforms[i]
            if has("uniform:complement")
            else uniforms[i]
        )
        if has("draw:likeliest"):
            drawn = int(p.argmax())
        elif has("draw:even"):
            drawn = int(u * len(p))
        elif has("draw:not added up"):
            drawn = int(np.searchsorted(p, u).clip(max=len(p) - 1))
        elif has("draw:next"):
            drawn = int(np.searchsorted(np.cumsum(p), u, side="right") + 1) % len(p)
        elif has("draw:one before"):
            drawn = int(np.searchsorted(np.cumsum(p), u, side="right") - 1) % len(p)
        else:
            ends = np.cumsum(p)
            drawn = int(np.searchsorted(ends, u * ends[-1], side="right"))
        topics[i] = drawn
    return before if has("out:before") else topics[-1] if has("out:last") else topics


_DOCUMENTS, _TERMS = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 2, 2])
_MIXED = np.array([0, 1, 2, 1, 0, 2])

GIBBS_SWEEP = Exercise(
    name="gibbs_sweep",
    points=3,
    reference=lambda topics, conditional, uniforms: _gibbs_sweep(topics, conditional, uniforms),
    use=_on_a_corpus,
    edge_cases={
        "six tokens": (_DOCUMENTS, _TERMS, _MIXED, 3, np.array([0.9, 0.2, 0.7, 0.4, 0.95, 0.1])),
        "uniform numbers of 0": (_DOCUMENTS, _TERMS, _MIXED, 3, np.zeros(6)),
        "uniform numbers just below 1": (_DOCUMENTS, _TERMS, _MIXED, 3, np.full(6, 1 - 1e-9)),
        "a single token": (np.array([0]), np.array([0]), np.array([1]), 2, np.array([0.3])),
    },
    inputs=_corpus,
    hints=(
        "Token after token: which topics does `conditional` have to know for token i, those with which the sweep "
        "began, or those that it has already drawn for the tokens before?",
        "Work on a copy of `topics`, and write each drawn topic into it at once. For the draw: `np.cumsum` of the "
        "probabilities gives the ends of the stretches; the topic is the first whose end is above the uniform number.",
        "In a loop over i: `ends = np.cumsum(conditional(topics, i))`, then `topics[i] = np.searchsorted(ends, "
        'uniforms[i], side="right")`.',
    ),
    variant=_gibbs_sweep,
    slips=named(
        {
            "parallel": "You compute all conditionals from the topics with which the sweep began. A token has to see "
            "what was already drawn for the tokens before it; drawn all at once, they sample another distribution.",
            "token:first": "You ask for the conditional of token 0 every time. It is `conditional(topics, i)`.",
            "which:backwards": "You go through the tokens from the last to the first. Begin with token 0.",
            "which:all but the last": "The last token is never drawn anew: the loop ends one too early.",
            "which:first": "Only token 0 is drawn anew: does the loop end (or return) after one?",
            "uniform:first": "You use the first uniform number for every token. Token i has its own, `uniforms[i]`.",
            "uniform:complement": "You use 1 − u. In order from topic 0 on, choose the stretch in which u itself lies.",
            "draw:likeliest": "You take the most probable topic. That climbs to the nearest peak; sampling *draws* "
            "with the probabilities.",
            "draw:even": "You draw each topic with the same probability. Its stretch has the length of its "
            "probability.",
            "draw:not added up": "You look for u among the probabilities. The ends of the stretches are their running "
            "sums, `np.cumsum(…)`.",
            "draw:next": "Your topics are one too high: topic 0 has the stretch from 0 to p₀.",
            "draw:one before": "Your topics are one too low: u below p₀ means topic 0.",
            "out:before": "You return the topics as they were before. Write each drawn topic into the copy, and return "
            "that.",
            "out:last": "You return the last topic only. All of them are asked for, an array.",
        }
    ),
)
