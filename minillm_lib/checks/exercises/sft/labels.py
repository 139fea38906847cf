"""The ids of a conversation, and its labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant

Turns = Sequence[tuple[str, list[int]]]
Labelled = tuple[list[int], list[int]]
_ROLES = ("system", "user", "assistant")


def _turns(rng: np.random.Generator) -> Inputs:
    """Draw two questions and answers, sometimes after a system turn; no token repeats or is special."""
    roles = [*(["system"] if rng.random() < 0.5 else []), *("user", "assistant") * 2]
    words = iter(rng.permutation(np.arange(20, 80)).tolist())
    turns = [(role, [next(words) for _ in range(rng.integers(2, 6))]) for role in roles]
    special = [int(each) for each in rng.permutation(np.arange(1, 10))[:4]]
    return turns, dict(zip(_ROLES, special, strict=False)), special[3]


_ROLE_IDS = {"system": 1, "user": 2, "assistant": 3}
_TURN_EDGES: dict[str, Inputs] = {
    "a single question and answer": ([("user", [21, 22]), ("assistant", [31, 32, 33])], _ROLE_IDS, 4),
    "a system turn": ([("system", [51, 52]), ("user", [21, 22]), ("assistant", [31, 32])], _ROLE_IDS, 4),
    "three answers": (
        [
            ("user", [21, 22]),
            ("assistant", [31]),
            ("user", [23]),
            ("assistant", [32, 33]),
            ("user", [24, 25, 26]),
            ("assistant", [34, 35]),
        ],
        {"system": 7, "user": 8, "assistant": 9},
        6,
    ),
    "an answer that repeats the question": ([("user", [21, 22]), ("assistant", [21, 22])], _ROLE_IDS, 4),
    "turns of a single token": ([("user", [21]), ("assistant", [31])], _ROLE_IDS, 4),
    "the token 0": ([("user", [21, 5]), ("assistant", [31, 0, 32])], _ROLE_IDS, 4),
}


def _conversation_labels(turns: Turns, role_ids: Mapping[str, int], end_id: int) -> Labelled:
    ids: list[int] = []
    trained: list[bool] = []
    for role, content in turns:
        ids += [role_ids[role], *content, end_id]
        trained += [False] + [role == "assistant"] * (len(content) + 1)
    return ids[:-1], [token if keep else -100 for token, keep in zip(ids[1:], trained[1:], strict=True)]


Finish = Callable[[list[int], list[int], list[bool], int], Any]


def _shifted(ids: list[int], labels: list[int], trained: list[bool], ignored: int) -> Labelled:
    return ids[:-1], labels[1:]


def _labels_with(
    content: Callable[[str, bool], bool] = lambda role, is_last: role == "assistant",
    end: Callable[[str, bool], bool] = lambda role, is_last: role == "assistant",
    opening: Callable[[str], bool] = lambda role: False,
    lost: Callable[[list[bool]], list[bool]] = lambda trained: trained,
    has_roles: bool = True,
    has_ends: Callable[[str, bool], bool] = lambda role, is_last: True,
    ignored: int = -100,
    finish: Finish = _shifted,
) -> Callable[..., Any]:
    """Return wrong ids and labels: which tokens are trained on, which are there, and how the lists are cut."""

    def wrong_labels(turns: Turns, role_ids: Mapping[str, int], end_id: int) -> Any:
        ids: list[int] = []
        trained: list[bool] = []
        for place, (role, words) in enumerate(turns):
            is_last = place == len(turns) - 1
            if has_roles:
                ids.append(role_ids[role])
                trained.append(opening(role))
            ids += words
            trained += lost([content(role, is_last)] * len(words))
            if has_ends(role, is_last):
                ids.append(end_id)
                trained.append(end(role, is_last))
        labels = [token if keep else ignored for token, keep in zip(ids, trained, strict=True)]
        return finish(ids, labels, trained, ignored)

    return wrong_labels


def _mask_not_shifted(ids: list[int], labels: list[int], trained: list[bool], ignored: int) -> Labelled:
    return ids[:-1], [token if keep else ignored for token, keep in zip(ids[1:], trained[:-1], strict=True)]


def _of_all(role: str, is_last: bool) -> bool:
    return True


def _of_the_user(role: str, is_last: bool) -> bool:
    return role == "user"


def _not_of_the_user(role: str, is_last: bool) -> bool:
    return role != "user"


def _not_of_the_assistant(role: str, is_last: bool) -> bool:
    return role != "assistant"


def _of_the_last(role: str, is_last: bool) -> bool:
    return is_last


CONVERSATION_LABELS = Exercise(
    name="conversation_labels",
    points=3,
    reference=_conversation_labels,
    inputs=_turns,
    edge_cases=_TURN_EDGES,
    hints=(
        "Write all tokens into one list first, and beside it, for each token, whether the assistant wrote it.",
        "A turn is its role's token, its words and the end. Of the assistant's turns the words and the end are "
        "trained on, the role's token is not. Then shift: the last input and the first label are dropped.",
        "With lists `ids` and `trained`: the inputs are `ids[:-1]`, and the labels go through `ids[1:]` and "
        "`trained[1:]` together, -100 where it is false.",
    ),
    misconceptions={
        _labels_with(
            content=_of_all, end=_of_all, opening=lambda role: True
        ): "You train on every token, the user's too. The model need not learn to ask: only what the assistant says "
        "keeps its label, all else is -100.",
        _labels_with(
            content=_of_all, end=_of_all
        ): "You train on the turns of all roles. Only what the assistant says keeps its label, all else is -100.",
        _labels_with(
            content=_of_the_user, end=_of_the_user
        ): "You train on the user's turns. It is the *assistant's* that the model is to learn.",
        _labels_with(
            content=_not_of_the_user, end=_not_of_the_user
        ): "You train on all turns but the user's, and so on the system's, too. Only the assistant's keep their "
        "labels.",
        _labels_with(
            content=_not_of_the_assistant, end=_not_of_the_assistant
        ): "The mask is inverted: you train on all turns but the assistant's.",
        _labels_with(
            content=_not_of_the_assistant, end=_not_of_the_assistant, opening=lambda role: True
        ): "The mask is inverted: you train on all but what the assistant says.",
        _labels_with(
            content=_of_the_last, end=_of_the_last
        ): "You train on the last answer only. Every turn of the assistant counts.",
        _labels_with(
            finish=lambda ids, labels, trained, ignored: (ids, labels)
        ): "Your labels are not shifted: each is the token that stands at its own position. Drop the last input and "
        "the "
        "first label, so that every input meets the token that follows it.",
    },
    variant=variant(_labels_with),
    slips={
        (
            "end",
            lambda role, is_last: False,
        ): "The end of the assistant's turn has the label -100. The model has to learn to write it: otherwise it "
        "never stops.",
        (
            "end",
            _of_all,
        ): "You train on the ends of all turns. Only the one after an answer is the assistant's to write.",
        (
            "end",
            _of_the_last,
        ): "You train on the last end only. After every answer the assistant has to write one.",
        (
            "opening",
            lambda role: role == "assistant",
        ): "You train on the token that opens the assistant's turn. It is given to the model, as the end of the "
        "prompt; the first label is the first token of the answer.",
        (
            "opening",
            lambda role: True,
        ): "You train on the tokens that open the turns. They are given to the model; the assistant's own is the end "
        "of the prompt.",
        (
            "lost",
            lambda trained: [False, *trained[1:]],
        ): "The first token of each answer has the label -100. It is the first that the model is to write.",
        (
            "lost",
            lambda trained: [*trained[:-1], False],
        ): "The last token of each answer has the label -100, although the assistant wrote it.",
        (
            "content",
            lambda role, is_last: role == "assistant" and is_last,
        ): "The words of earlier answers have the label -100. Every turn of the assistant counts.",
        (
            "content",
            lambda role, is_last: False,
        ): "The words of the answers have the label -100. They are what the model is to learn.",
        (
            "has_roles",
            False,
        ): "The roles' tokens are missing: each turn begins with `role_ids[role]`, which the model reads.",
        (
            "has_ends",
            lambda role, is_last: False,
        ): "`end_id` is missing: each turn ends with it.",
        (
            "has_ends",
            _of_the_last,
        ): "`end_id` stands after the last turn only: each turn ends with it.",
        (
            "has_ends",
            lambda role, is_last: role == "assistant",
        ): "`end_id` stands after the answers only: each turn ends with it, also the user's.",
        (
            "ignored",
            0,
        ): "Tokens that are not to be learned have the label 0. It must be -100, which the loss leaves out.",
        (
            "ignored",
            -1,
        ): "Tokens that are not to be learned have the label -1. It must be -100, which the loss leaves out.",
        (
            "ignored",
            100,
        ): "The sign is missing: tokens that are not to be learned have the label -100.",
        (
            "finish",
            _mask_not_shifted,
        ): "The labels are shifted, but the mask is not: you ask whether the token that is *read* is the "
        "assistant's. "
        "What counts is whether the *label* is.",
        (
            "finish",
            lambda ids, labels, trained, ignored: (ids[:-1], labels[:-1]),
        ): "Your labels are not shifted: the label at position t is the token that stands at position t itself, "
        "which the "
        "model has just read. It must be the token at position t + 1.",
        (
            "finish",
            lambda ids, labels, trained, ignored: (ids[1:], labels[1:]),
        ): "Both lists lost their first token, and the labels are not shifted. Drop the *last* input, and the first "
        "label.",
        (
            "finish",
            lambda ids, labels, trained, ignored: (ids, [*labels[1:], ignored]),
        ): "The last token is still among the inputs, with a label made up for it. Nothing follows it: drop it.",
        (
            "finish",
            lambda ids, labels, trained, ignored: (ids, labels[1:]),
        ): "Your lists have different lengths: drop the last input, as nothing follows it.",
        (
            "finish",
            lambda ids, labels, trained, ignored: (ids[1:], labels[:-1]),
        ): "Shifted the wrong way: your labels come *before* the inputs. Drop the last input and the first label.",
        (
            "finish",
            lambda ids, labels, trained, ignored: (ids, [ignored, *labels[:-1]]),
        ): "Shifted the wrong way: your labels come a position too late. The label at position t is the token at t "
        "+ 1.",
        (
            "finish",
            lambda ids, labels, trained, ignored: (ids[:-2], labels[2:]),
        ): "Shifted by two: the label at position t is the token at t + 1.",
        (
            "finish",
            lambda ids, labels, trained, ignored: (labels[1:], ids[:-1]),
        ): "Inputs and labels are exchanged: (input_ids, labels).",
        (
            "finish",
            lambda ids, labels, trained, ignored: labels[1:],
        ): "You return the labels alone. Return both lists: (input_ids, labels).",
        (
            "finish",
            lambda ids, labels, trained, ignored: (ids[:-1], trained[1:]),
        ): "You return the mask in place of the labels: where it is true, the label is the token itself.",
        (
            "finish",
            lambda ids, labels, trained, ignored: (
                ids[:-1],
                [label for label in labels[1:] if label != ignored],
            ),
        ): "You leave out what is not to be learned. It keeps its position in the labels, as -100.",
    },
)
