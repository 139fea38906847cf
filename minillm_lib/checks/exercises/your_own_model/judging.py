"""The learner's own model, judged by what it does; all figures are computed again from its files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from minillm_lib.checks.exercise import Exercise
from minillm_lib.checks.guarded import TimeLimitError, call_with_time_limit
from minillm_lib.evaluation.own_model import OwnModelFigures, examine_own_model
from minillm_lib.model.checkpoint import CheckpointError
from minillm_lib.training.run_folder import RunError

LEAST_QUESTIONS = 50
LEAST_HELD_OUT = 2_000
"""Tokens; fewer say little of a model."""
_SECONDS = 600
_KEYS = ("run", "chat", "conversations")
_NOT_A_DICT = (
    "Return a dict with the paths `run`, `chat` and `conversations`: the folder of your pretraining run, the "
    "checkpoint of "
    "your chat model, and the file of all your conversations."
)
_MISSING = "A path is missing in your dict: `run`, `chat` and `conversations` are needed."
_NOT_THERE = "At one of the three paths there is nothing. Is the run finished, and the chat model saved?"


def problem_of(handed_in: Any) -> str | None:
    """Say what keeps a model from passing, or return None.

    Parameters
    ----------
    handed_in
        A dict with the paths ``run``, ``chat`` and ``conversations``.
    """
    if not isinstance(handed_in, Mapping):
        return _NOT_A_DICT
    if not all(isinstance(handed_in.get(key), str | os.PathLike) for key in _KEYS):
        return _MISSING
    paths = [os.fspath(handed_in[key]) for key in _KEYS]
    if not all(os.path.exists(path) for path in paths):
        return _NOT_THERE
    try:
        figures = call_with_time_limit(lambda: examine_own_model(*paths), _SECONDS)
    except (RunError, CheckpointError, ValueError, OSError) as error:
        return f"Your model cannot be examined: {error}."
    except TimeLimitError:
        return f"Examining your model took more than {_SECONDS} seconds."
    return problem_of_figures(figures)


def problem_of_figures(figures: OwnModelFigures) -> str | None:
    """Say which of the conditions the figures of a model do not meet, or return None; the first one counts."""
    n_questions = len({each.question.id for each in figures.after.answers})
    conditions = (
        (
            figures.n_held_out >= LEAST_HELD_OUT,
            f"Only {figures.n_held_out:,} tokens are held out; that is too few to judge a model by. Hold out at least "
            f"{LEAST_HELD_OUT:,}.",
        ),
        (
            figures.n_leaked == 0,
            f"{figures.n_leaked} of the held-out documents also stand in the training text, word for word or nearly "
            "so: "
            "the split leaks.",
        ),
        (
            figures.base_bits < figures.ngram_bits,
            f"On held-out text your base model needs {figures.base_bits:.3f} bits per byte, and counting pairs of "
            "tokens "
            f"{figures.ngram_bits:.3f}. Train for longer, or at another learning rate.",
        ),
        (
            figures.base_bits > max(0.01, 0.6 * figures.training_bits),
            f"On held-out text your base model needs {figures.base_bits:.3f} bits per byte, on its training text "
            f"{figures.training_bits:.3f}. That is too good to be true: it must have read the held-out text.",
        ),
        (
            n_questions >= LEAST_QUESTIONS,
            f"There are {n_questions} questions with an answer of their own; {LEAST_QUESTIONS} are needed.",
        ),
        (
            figures.after.ended_share >= 0.9,
            f"Only {figures.after.ended_share:.0%} of your chat model's answers end by themselves; 90 % should. Is "
            "`<|end|>` among the labels?",
        ),
        (
            figures.after.right_share() >= 0.7,
            f"Your chat model has {figures.after.right_share():.0%} of your own questions right; 70 % should be. More "
            "steps help, or a higher learning rate.",
        ),
        (
            figures.chat_bits < figures.ngram_bits + 0.5 * (figures.ngram_bits - figures.base_bits),
            f"After fine-tuning, held-out text takes {figures.chat_bits:.3f} bits per byte, where it took "
            f"{figures.base_bits:.3f} before: your chat model has forgotten its text. Replay more of it.",
        ),
    )
    return next((message for holds, message in conditions if not holds), None)


def _with_whole_paths(own_model: Callable[[], Any]) -> Any:
    """Return what an answer hands in; the learner's paths begin in the folder of the notebook."""
    handed_in = own_model()
    if not isinstance(handed_in, Mapping):
        return handed_in
    return {
        key: os.path.abspath(path) if isinstance(path, str | os.PathLike) else path
        for key, path in handed_in.items()
    }


OWN_MODEL = Exercise(
    name="own_model",
    points=4,
    must_hold=problem_of,
    use=_with_whole_paths,
    use_in_submission=True,
    inputs=lambda rng: (),
    cases=1,
    time_limit=30,
    hints=(
        "Nothing is computed here. Which three paths tell the check all that it needs?",
        "The run knows its folder as `run.folder`; the chat model lies where you saved it; the file of "
        "conversations is "
        "the one with all wordings.",
        '`return {"run": str(run.folder), "chat": str(CHAT), "conversations": str(CONVERSATIONS)}`.',
    ),
    misconceptions={
        lambda: "runs/mine": _NOT_A_DICT,
        lambda: {"run": "runs/mine", "chat": "checkpoints/mine"}: _MISSING,
        lambda: dict.fromkeys(_KEYS, "/there/is/nothing"): _NOT_THERE,
    },
)
