"""The exercise of notebook 04 on the unigram method: the likeliest segmentation, by dynamic programming."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from math import exp, inf
from typing import Any

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.slip_names import made, named
from minillm_lib.checks.exercises.tokenizer_pairs import LETTERS

LogP = Mapping[str, float]


def _likeliest_segmentation(text: str, log_p: LogP, /, **slips: Any) -> Any:
    has = made(slips)
    score = {
        "fewest": lambda piece: -1.0,
        "probabilities": lambda piece: exp(log_p[piece]),
    }.get(slips.get("score", ""), lambda piece: log_p[piece])
    best: list[tuple[float, int]] = [(0.0, 0)]
    for j in range(1, len(text) + 1):
        first = 1 if has("first:1") and j > 1 else 0
        ways = [
            (best[i][0] * (not has("last piece only")) + score(text[i:j]), i)
            for i in range(first, j)
            if text[i:j] in log_p
        ]
        best.append(max(ways, default=(-inf, 0)))
    starts, j = [], len(text) - (1 if has("end:early") else 0)
    while j > 0:
        starts.append(best[j][1])
        j = starts[-1]
    ends = [len(text) - (1 if has("end:early") else 0), *starts]
    pieces = [text[start:end] for start, end in zip(starts, ends, strict=False)]
    if not has("out:reversed"):
        pieces = pieces[::-1]
    return {"value": best[-1][0], "both": (best[-1][0], pieces), "string": " ".join(pieces)}.get(
        slips.get("out", ""), pieces
    )


def _reference(text: str, log_p: LogP) -> list[str]:
    best: list[tuple[float, list[str]]] = [(0.0, [])]
    for j in range(1, len(text) + 1):
        ways = [
            (best[i][0] + log_p[text[i:j]], [*best[i][1], text[i:j]]) for i in range(j) if text[i:j] in log_p
        ]
        best.append(max(ways))
    return best[-1][1]


def _from_the_left(text: str, log_p: LogP, *, longest: bool = True) -> list[str]:
    """Take piece after piece from the left: the longest one, or the most probable one."""
    pieces = []
    while text:
        known = [text[:n] for n in range(1, len(text) + 1) if text[:n] in log_p]
        pieces.append(max(known, key=len if longest else log_p.__getitem__))
        text = text[len(pieces[-1]) :]
    return pieces


def _of_two(text: str, log_p: LogP) -> list[str]:
    """Split the text once at most, where a single piece or two pieces are likeliest."""
    ways = [[text], *([text[:i], text[i:]] for i in range(1, len(text)))]
    known = [way for way in ways if all(piece in log_p for piece in way)]
    return max(known, key=lambda way: sum(map(log_p.__getitem__, way)), default=list(text))


def _text_and_pieces(rng: np.random.Generator) -> Inputs:
    """Draw pieces for which no greedy way finds the likeliest segmentation of a text."""
    while True:
        letters = "".join(rng.choice(LETTERS, size=4, replace=False))
        text = "".join(rng.choice(list(letters), size=9))
        parts = sorted({text[i:j] for i, j in combinations(range(len(text) + 1), 2) if 1 < j - i <= 5})
        chosen = [str(part) for part in rng.choice(parts, size=11, replace=False)]
        log_p = {piece: round(float(rng.uniform(-5, -1) - 0.8 * len(piece)), 3) for piece in chosen}
        log_p |= {letter: round(float(rng.uniform(-6, -3)), 3) for letter in letters}
        right = _reference(text, log_p)
        wrong = [
            _from_the_left(text, log_p),
            _from_the_left(text, log_p, longest=False),
            *(_likeliest_segmentation(text, log_p, score=each) for each in ("fewest", "probabilities")),
            *(_likeliest_segmentation(text, log_p, **{each: True}) for each in ("last piece only",)),
            _of_two(text, log_p),
        ]
        if right not in wrong and 3 <= len(right) < len(text):
            return text, log_p


_LETTERS: LogP = {"a": -3.0, "b": -3.5, "c": -4.0}

LIKELIEST_SEGMENTATION = Exercise(
    name="likeliest_segmentation",
    points=3,
    reference=_reference,
    edge_cases={
        "an empty text": ("", _LETTERS),
        "a text of one character": ("b", _LETTERS),
        "a text that is a piece": ("abc", {**_LETTERS, "abc": -5.0, "ab": -4.0}),
        "a piece whose parts are together likelier": ("abc", {**_LETTERS, "abc": -9.0, "ab": -4.0}),
        "pieces of one character only": ("cabba", _LETTERS),
        "a long piece after which only rare ones fit": (
            "abcab",
            {**_LETTERS, "abca": -5.0, "cab": -4.5, "ab": -5.5},
        ),
    },
    inputs=_text_and_pieces,
    hints=(
        "Fill a list from left to right: entry j holds b(j) and also where the last piece of the best segmentation of "
        "the first j characters starts. What is entry 0?",
        "For entry j try every start i < j for which `text[i:j]` is in `log_p`, and keep the best. Afterwards go back "
        "from the end of the text: the last piece starts where entry n says. And the piece before that?",
        "`max` of tuples (value, start) gives both at once. On the way back: `start = best[end][1]`, note "
        "`text[start:end]`, go on with `end = start` until it is 0, and turn the list round.",
    ),
    variant=_likeliest_segmentation,
    slips=named(
        {
            "score:fewest": "You find the segmentation with the fewest pieces. A rare piece may cost more than two "
            "frequent ones: add up `log_p`.",
            "score:probabilities": "You add up probabilities. In (1) they are multiplied, so their logarithms are "
            "added.",
            "first:1": "A piece that begins at the first character is never tried, except for the first character "
            "itself: i runs from 0.",
            "last piece only": "You choose each last piece by its own probability alone. What is before it counts "
            "too: b(i) + ln p.",
            "end:early": "The last character is lost. The way back begins at the end of the text.",
            "out:reversed": "Your pieces are in reverse order: the way back finds the last one first.",
            "out:value": "You return the value b(n). The pieces are asked for.",
            "out:both": "You return the value as well. Only the pieces are asked for, a list.",
            "out:string": "You return one string. A list of pieces is asked for.",
        }
    ),
    misconceptions={
        _from_the_left: "You take the longest piece from the left. It may leave something that only rare pieces fit: "
        "compare whole segmentations, by (2).",
        lambda text, log_p: _from_the_left(
            text, log_p, longest=False
        ): "You take the most probable piece from the left. It may leave something that only rare pieces fit: compare "
        "whole segmentations, by (2).",
        _of_two: "You split the text at one position at most. The part before the last piece may itself have any "
        "number of pieces: that is b(i).",
        lambda text, log_p: list(
            text
        ): "Your pieces are the single characters. Longer ones are in `log_p` too. "
        "Or is it `min` in place of `max`? The least likely segmentation is that into characters.",
    },
)
