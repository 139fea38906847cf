"""The exercise of notebook 00, on which learners see how exercises work."""

from __future__ import annotations

from typing import Any

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.slip_names import made, named

_WORDS = ("the", "then", "net", "a", "model")


def _text(rng: np.random.Generator) -> Inputs:
    """Draw a text in which `the` is also a part of another word."""
    words = rng.choice(_WORDS, size=12).tolist()
    return "the", " ".join([*words, "then", "the"])


def _word_share(word: str, text: str, /, **slips: Any) -> Any:
    has = made(slips)
    words = text.split()
    found = (
        text.count(word) if has("inside") else int(word in words) if has("presence") else words.count(word)
    )
    if has("count"):
        return found
    below = {"letters": len(text), "kinds": len(set(words)), "others": len(words) - found}
    share = found / below.get(slips.get("below", ""), len(words))
    return 100 * share if has("percent") else share


EXERCISES = (
    Exercise(
        name="word_share",
        reference=lambda word, text: text.split().count(word) / len(text.split()),
        edge_cases={
            "a word that is part of another": ("net", "the net then network"),
            "a word that does not occur": ("model", "a net then"),
            "a text of one other word": ("net", "the"),
            "a word that stands there twice": ("a", "a net a model then"),
        },
        inputs=_text,
        hints=(
            "What has to be counted is words, not letters. How does one get the list of words of a text?",
            "`text.split()` is the list of words; `words.count(word)` counts those that are equal to a word.",
            "With `words = text.split()`, divide `words.count(word)` by `len(words)`.",
        ),
        variant=_word_share,
        slips=named(
            {
                "inside": "You count `word` inside longer words too: `the` in `then`. Split the text into words "
                "first.",
                "presence": "You count the word once, however often it occurs.",
                "count": "That is how often it occurs. Divide by the number of words.",
                "below:letters": "You divide by the number of characters. Divide by the number of *words*, "
                "`len(text.split())`.",
                "below:kinds": "You divide by the number of different words. A word that stands there twice counts "
                "twice.",
                "below:others": "You divide by the number of the *other* words. A share is taken of all words.",
                "percent": "You multiply by 100. The result is a share, a number from 0 to 1.",
            }
        ),
    ),
)
