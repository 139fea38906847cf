"""The loss of next tokens."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant
from minillm_lib.model.loss import linear_cross_entropy

Sums = Callable[[Tensor, Tensor, Tensor], Tensor]


def _texts(rng: np.random.Generator, lengths: list[int], seq: int, vocab: int, padding: int) -> Inputs:
    """Draw texts of these lengths, padded on the right with a token that also occurs in them."""
    is_token = torch.arange(seq) < torch.tensor(lengths)[:, None]
    tokens = torch.from_numpy(rng.integers(0, vocab, (len(lengths), seq)))
    logits = torch.from_numpy(2 * rng.standard_normal((len(lengths), seq, vocab))).float()
    return logits, tokens.masked_fill(~is_token, padding), is_token


def _loss_inputs(rng: np.random.Generator) -> Inputs:
    return _texts(rng, [7, int(rng.integers(4, 6)), int(rng.integers(2, 4))], seq=7, vocab=5, padding=0)


def _loss_edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(10)
    return {
        "texts without padding": _texts(rng, [4, 4], seq=4, vocab=6, padding=0),
        "a batch of one text": _texts(rng, [3], seq=5, vocab=4, padding=0),
        "one text of two tokens": _texts(rng, [2], seq=2, vocab=3, padding=0),
        "padding with another id than 0": _texts(rng, [5, 2, 3], seq=6, vocab=8, padding=7),
        "a text of one token, which has no prediction": _texts(rng, [5, 1], seq=5, vocab=6, padding=5),
    }


def _next_token_loss(logits: Tensor, tokens: Tensor, is_token: Tensor) -> Tensor:
    labels = tokens[:, 1:].masked_fill(~is_token[:, 1:], -100)
    vocab = logits.shape[-1]
    return linear_cross_entropy(logits[:, :-1].reshape(-1, vocab), torch.eye(vocab), labels.flatten())


def _chosen(scores: Tensor, targets: Tensor) -> Tensor:
    return scores.gather(-1, targets[..., None]).squeeze(-1)


def _mean(losses: Tensor, counts: Tensor, is_token: Tensor) -> Tensor:
    return (losses * counts).sum() / counts.sum()


def _mean_of_means(losses: Tensor, counts: Tensor, is_token: Tensor) -> Tensor:
    return ((losses * counts).sum(dim=1) / counts.sum(dim=1)).mean()


def _loss_with(
    places: Callable[[int], tuple[slice, slice]] = lambda seq: (slice(0, seq - 1), slice(1, seq)),
    counted: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda target, reader, tokens: target,
    scores: Callable[[Tensor], Tensor] = lambda logits: log_softmax(logits, dim=-1),
    sign: float = -1.0,
    gathered: Sums = _mean,
    finished: Callable[[Tensor], Tensor] = lambda loss: loss,
) -> Callable[..., Tensor]:
    """Return a wrong loss: which places predict which, what counts, and what is made of the scores."""

    def wrong_loss(logits: Tensor, tokens: Tensor, is_token: Tensor) -> Tensor:
        read, asked = places(tokens.shape[1])
        counts = counted(is_token[:, asked], is_token[:, read], tokens[:, asked])
        losses = sign * _chosen(scores(logits[:, read]), tokens[:, asked])
        return finished(gathered(losses, counts, is_token))

    return wrong_loss


NEXT_TOKEN_LOSS = Exercise(
    name="next_token_loss",
    points=2,
    reference=_next_token_loss,
    inputs=_loss_inputs,
    edge_cases=_loss_edges,
    hints=(
        "Which position predicts which token? Write down both rows for a text of three tokens.",
        "`logits[:, :-1]` predict `tokens[:, 1:]`. The mask belongs to the targets, so it is cut like them.",
        "With `losses` of shape (batch, seq − 1) and `counts = is_token[:, 1:]` the result is "
        "`losses[counts].mean()`.",
    ),
    misconceptions={
        lambda logits, tokens, is_token: cross_entropy(
            logits[:, :-1].flatten(0, 1), (tokens * is_token)[:, 1:].flatten()
        ): "You set the targets of padding to 0, which is an ordinary token, and so they count. Leave them out: "
        "`ignore_index` skips a target such as −100.",
    },
    variant=variant(_loss_with),
    slips={
        (
            "places",
            lambda seq: (slice(0, seq), slice(0, seq)),
        ): "Nothing is shifted: you ask position t to predict the token at t, which it has read. Its target is the "
        "token at t + 1.",
        (
            "places",
            lambda seq: (slice(1, seq), slice(0, seq - 1)),
        ): "Shifted the wrong way: position t is asked for the token *before* it. Drop the last logits and the first "
        "token.",
        (
            "places",
            lambda seq: (slice(0, seq - 2), slice(2, seq)),
        ): "Shifted by two: the logits at position t predict the token at t + 1.",
        (
            "places",
            lambda seq: (slice(0, seq - 1), slice(0, seq - 1)),
        ): "The last position is dropped, but the targets are not shifted: position t predicts the token at t + 1, so "
        "drop the first token.",
        (
            "places",
            lambda seq: (slice(1, seq), slice(1, seq)),
        ): "The first position is dropped, but logits and targets still stand at the same place. The logits at t "
        "predict the token at t + 1: drop the last logits.",
        (
            "places",
            lambda seq: (slice(0, seq - 2), slice(1, seq - 1)),
        ): "The last token is never predicted. Only the first one has no prediction.",
        (
            "places",
            lambda seq: (slice(1, seq - 1), slice(2, seq)),
        ): "The prediction of the second token is lost: the logits at the first position count, too.",
        (
            "counted",
            lambda target, reader, tokens: torch.ones_like(target),
        ): "Padding counts. Leave out the targets where `is_token` is false.",
        (
            "counted",
            lambda target, reader, tokens: reader,
        ): "The mask is not shifted: it must say whether the *target* is a token, and the targets start with the "
        "second column.",
        (
            "counted",
            lambda target, reader, tokens: ~target,
        ): "The mask is inverted: you count padding, and leave out the tokens.",
        (
            "counted",
            lambda target, reader, tokens: target & (tokens != 0),
        ): "You leave out the targets with the id 0. That is an ordinary token here; `is_token` says what is padding.",
        (
            "counted",
            lambda target, reader, tokens: tokens != 0,
        ): "You take the id 0 for padding. It is an ordinary token here; `is_token` says what is padding.",
        (
            "scores",
            lambda logits: log_softmax(logits, dim=-1) / np.log(2),
        ): "This is in bits. Nats are wanted: the natural logarithm.",
        (
            "scores",
            lambda logits: log_softmax(logits, dim=-1) / np.log(10),
        ): "You take the logarithm to base 10. Nats are wanted: the natural logarithm.",
        (
            "scores",
            lambda logits: log_softmax(logits, dim=1),
        ): "The softmax is taken over the positions. It belongs to the last dimension, the vocabulary.",
        (
            "scores",
            lambda logits: log_softmax(logits, dim=0),
        ): "The softmax is taken over the batch. It belongs to the last dimension, the vocabulary.",
        (
            "scores",
            lambda logits: logits.softmax(dim=-1),
        ): "The logarithm is missing: you average probabilities.",
        (
            "scores",
            lambda logits: logits,
        ): "You average the logits themselves. `log_softmax` makes logarithms of probabilities of them.",
        (
            "scores",
            lambda logits: log_softmax(logits.softmax(dim=-1), dim=-1),
        ): "The softmax is taken twice: `cross_entropy` and `log_softmax` expect logits.",
        ("sign", 1.0): "The sign is wrong: the loss is *minus* the logarithm of the probability.",
        (
            "gathered",
            _mean_of_means,
        ): "You take the mean of each row, and then the mean of these. Every token weighs the same, in a long row and "
        "in a short one.",
        (
            "gathered",
            lambda losses, counts, is_token: (losses * counts).sum(),
        ): "This is the sum. Divide it by the number of targets that are tokens.",
        (
            "gathered",
            lambda losses, counts, is_token: (losses * counts).mean(),
        ): "You divide by all positions, padding included. Divide by the number of targets that are tokens.",
        (
            "gathered",
            lambda losses, counts, is_token: (losses * counts).sum() / is_token.sum(),
        ): "You divide by the number of all tokens. The first one of each text is predicted by no one: divide by the "
        "number of targets that are tokens.",
        (
            "gathered",
            lambda losses, counts, is_token: (losses * counts).sum() / is_token.numel(),
        ): "You divide by batch · seq. Divide by the number of targets that are tokens.",
        (
            "gathered",
            lambda losses, counts, is_token: (losses * counts).sum() / len(is_token),
        ): "You divide by the number of texts. Divide by the number of targets that are tokens.",
        (
            "gathered",
            lambda losses, counts, is_token: losses[counts],
        ): "These are the losses one by one. Return their mean.",
        (
            "gathered",
            lambda losses, counts, is_token: losses * counts,
        ): "These are the losses place by place. Return the mean of those that count.",
        (
            "finished",
            torch.exp,
        ): "This is the perplexity. The loss is its logarithm: leave out the exponential.",
    },
)
