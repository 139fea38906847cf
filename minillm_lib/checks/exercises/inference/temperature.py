"""Probabilities at a temperature."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant
from minillm_lib.generation.sampling import apply_temperature


def _logits(rng: np.random.Generator, *shape: int, scale: float = 2.0) -> Tensor:
    return torch.from_numpy(scale * rng.standard_normal(shape)).float()


def _logits_and_temperature(rng: np.random.Generator) -> Inputs:
    return _logits(rng, 3, 12), float(rng.choice([0.4, 0.7, 1.5, 2.5]))


def _temperature_edges() -> dict[str, Inputs]:
    rng = np.random.default_rng(14)
    return {
        "a batch of one text": (_logits(rng, 1, 6), 0.7),
        "as many texts as tokens": (_logits(rng, 4, 4), 1.5),
        "a temperature of 1": (_logits(rng, 2, 5), 1.0),
        "a temperature near 0": (_logits(rng, 3, 8, scale=4.0), 0.01),
        "a temperature near 0, and negative logits": (_logits(rng, 2, 8) - 20, 0.02),
        "a temperature near 0, and tokens that are about equally likely": (
            _logits(rng, 2, 8, scale=0.2),
            0.01,
        ),
        "a high temperature": (_logits(rng, 3, 8, scale=4.0), 100.0),
        "large logits": (_logits(rng, 2, 6) + 500, 0.5),
        "a temperature that is a whole number": (_logits(rng, 2, 6), 2),
    }


def _tempered(logits: Tensor, temperature: float) -> Tensor:
    return apply_temperature(logits, temperature).softmax(dim=-1)


def _normalised(weights: Tensor) -> Tensor:
    return weights / weights.sum(dim=-1, keepdim=True)


def _tempered_with(
    scaled: Callable[[Tensor, float], Tensor] = lambda logits, temperature: logits / temperature,
    probabilities: Callable[[Tensor], Tensor] = lambda scores: scores.softmax(dim=-1),
) -> Callable[[Tensor, float], Tensor]:
    """Return wrong probabilities: what is done to the logits, and how probabilities are made of that."""

    def wrong(logits: Tensor, temperature: float) -> Tensor:
        return probabilities(scaled(logits, temperature))

    return wrong


def _after_the_softmax(change: Callable[[Tensor, float], Tensor]) -> Callable[[Tensor, float], Tensor]:
    """Return wrong probabilities for which the temperature acts on the softmax of the logits."""

    def wrong(logits: Tensor, temperature: float) -> Tensor:
        return change(logits.softmax(dim=-1), temperature)

    return wrong


TEMPERED = Exercise(
    name="tempered",
    reference=_tempered,
    inputs=_logits_and_temperature,
    edge_cases=_temperature_edges,
    hints=(
        "What is divided by the temperature: the logits or the probabilities?",
        "First divide the logits, then take the softmax. Over which dimension are the probabilities to add up to 1?",
        "The tokens are the last dimension: `softmax(dim=-1)` of `logits / temperature`.",
    ),
    misconceptions={
        _after_the_softmax(
            lambda p, temperature: p / temperature
        ): "You divide the probabilities by the temperature, and they no longer add up to 1. Divide the *logits*, "
        "then take the softmax.",
        _after_the_softmax(
            lambda p, temperature: _normalised(p / temperature)
        ): "The temperature has no effect: it is left out, or it cancels, as where it divides probabilities that are "
        "then divided by their sum. Divide the *logits* by it, then take the softmax.",
        _after_the_softmax(
            lambda p, temperature: p * temperature
        ): "You multiply the probabilities by the temperature. Divide the *logits* by it, then take the softmax.",
        _after_the_softmax(
            lambda p, temperature: (p / temperature).softmax(dim=-1)
        ): "You take the softmax twice, of probabilities the second time. Divide the *logits*, and take it once.",
        _after_the_softmax(
            lambda p, temperature: p ** (1 / temperature)
        ): "The power p^(1/T) is right up to a factor: the probabilities no longer add up to 1. And close to "
        "temperature 0 it is 0 for all tokens: divide the logits, then take the softmax.",
        _after_the_softmax(
            lambda p, temperature: _normalised(p ** (1 / temperature))
        ): "Right for usual temperatures. But near 0, p^(1/T) is 0 in floating point for *all* tokens, and 0 / 0 is "
        "no number. Divide the logits, then take the softmax.",
        _tempered_with(
            probabilities=lambda scores: _normalised(scores.exp())
        ): "Right for usual numbers. But `exp` of a large number is infinite in floating point: near temperature 0 "
        "the logits become large. Take `softmax`, or subtract the largest of each row before `exp`.",
        _tempered_with(
            probabilities=lambda scores: scores
        ): "These are the logits, divided as they should be. The probabilities are their softmax.",
    },
    variant=variant(_tempered_with),
    slips={
        (
            "scaled",
            lambda logits, temperature: logits * temperature,
        ): "A high temperature sharpens your distribution; it must flatten it. Divide the logits by the temperature, "
        "do not multiply them (or raise probabilities to the power T, which is the same).",
        (
            "scaled",
            lambda logits, temperature: logits / temperature**2,
        ): "You divide by the temperature twice.",
        (
            "scaled",
            lambda logits, temperature: logits / temperature**0.5,
        ): "You divide by the root of the temperature. Divide by the temperature itself.",
        (
            "scaled",
            lambda logits, temperature: logits // temperature,
        ): "`//` drops the fraction. Divide with `/`.",
        (
            "scaled",
            lambda logits, temperature: -logits / temperature,
        ): "The sign of the logits is wrong: the likeliest token becomes the least likely one.",
        (
            "scaled",
            lambda logits, temperature: logits ** (1 / temperature),
        ): "You raise the *logits* to the power 1/T. The probabilities become proportional to p^(1/T) if the logits "
        "are divided by T.",
        (
            "probabilities",
            lambda scores: scores.softmax(dim=0),
        ): "You take the softmax over the texts of the batch. The tokens are the last dimension.",
        (
            "probabilities",
            lambda scores: scores.log_softmax(dim=-1),
        ): "These are the logarithms of the probabilities: take `softmax`, not `log_softmax`.",
        (
            "probabilities",
            torch.sigmoid,
        ): "You take the sigmoid, for each token alone. The probabilities of a row are to add up to 1: softmax.",
        (
            "probabilities",
            torch.exp,
        ): "You take `exp`, but do not divide by the sum of the row. The softmax does both.",
        (
            "probabilities",
            _normalised,
        ): "You divide the logits by their sum. The softmax takes `exp` of them first.",
        (
            "probabilities",
            lambda scores: scores.flatten().softmax(dim=0).view_as(scores),
        ): "Your probabilities add up to 1 over the whole batch. They are to do so in each row.",
        (
            "probabilities",
            lambda scores: scores.softmax(dim=-1).softmax(dim=-1),
        ): "You take the softmax twice. It makes probabilities of logits: once is enough.",
        (
            "probabilities",
            lambda scores: (scores == scores.amax(dim=-1, keepdim=True)).float(),
        ): "You give all probability to the likeliest token. That is the limit of temperature 0 only.",
        (
            "probabilities",
            lambda scores: scores.argmax(dim=-1),
        ): "You choose the likeliest token. Return the probabilities of all.",
    },
)
