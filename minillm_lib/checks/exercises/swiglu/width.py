"""The width of a gated layer at equal cost."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant


def _width_inputs(rng: np.random.Generator) -> Inputs:
    """Draw a rounding step, and a hidden size for which 8/3 of it is just above a multiple of the step."""
    multiple_of = int(rng.choice([16, 32, 48, 128]))
    hidden_size = int(rng.integers(200, 2000))
    while not 1 < (8 * hidden_size / 3) % multiple_of < multiple_of / 2:
        hidden_size += 1
    return hidden_size, multiple_of


# Whoever drops the fraction of 8/3 before rounding, as Llama does, is right about all of these.
_WIDTH_EDGES: dict[str, Inputs] = {
    "a width that is a multiple already": (96, 64),
    "another width that is a multiple already": (120, 32),
    "a large width that is a multiple already": (768, 256),
    "a whole width": (513, 64),
    "our model's size": (512, 64),
    "a step that is no power of two": (100, 100),
    "a step of 1": (30, 1),
    "a large step": (512, 256),
}


def _gated_width(hidden_size: int, multiple_of: int) -> int:
    return -(-8 * hidden_size // (3 * multiple_of)) * multiple_of


def _width_with(
    width: Callable[[int], float] = lambda hidden_size: 8 * hidden_size / 3,
    rounded: Callable[[float, int], float] = lambda width, step: math.ceil(width / step) * step,
    of_type: Callable[[float], float] = int,
) -> Callable[[int, int], float]:
    """Return a wrong width that differs by the given options."""

    def wrong_width(hidden_size: int, multiple_of: int) -> float:
        return of_type(rounded(width(hidden_size), multiple_of))

    return wrong_width


GATED_WIDTH = Exercise(
    name="gated_width",
    points=2,
    reference=_gated_width,
    inputs=_width_inputs,
    edge_cases=_WIDTH_EDGES,
    hints=(
        "Two steps: first the width with equally many parameters, then the rounding.",
        "The width is two thirds of 4d. To round *up* to a multiple of m, count how many m are needed, a part of one "
        "counting as a whole, and multiply by m.",
        "`-(-a // b)` is a / b rounded up, in whole numbers. Here a is `8 * hidden_size` and b is `3 * multiple_of`.",
    ),
    misconceptions={
        lambda hidden_size, multiple_of: (
            8 * hidden_size / 3
        ): "This is the width before rounding, with a fraction. Round it up to a multiple of `multiple_of`.",
        lambda hidden_size, multiple_of: round(
            8 * hidden_size / 3
        ): "You round to the nearest whole number only. Round up to a multiple of `multiple_of`.",
    },
    variant=variant(_width_with),
    slips={
        (
            "width",
            lambda hidden_size: 4 * hidden_size,
        ): "This keeps the classic width, 4d. Three matrices of it hold half as much again as two.",
        (
            "width",
            lambda hidden_size: 2 * hidden_size,
        ): "Before rounding you have 2d, but two thirds of 4d are wanted: three matrices stand against two, not four. "
        "In Python `8 // 3` is 2: divide last.",
        (
            "width",
            lambda hidden_size: 3 * hidden_size,
        ): "Before rounding you have 3d. Two thirds of 4d are 8/3 · d: do not round the factor 8/3 itself.",
        (
            "width",
            lambda hidden_size: 6 * hidden_size,
        ): "You multiply by 3/2, the wrong way round: more matrices, so each must be narrower.",
        (
            "width",
            lambda hidden_size: 2 * hidden_size / 3,
        ): "You take two thirds of `hidden_size`. The rule takes two thirds of the *classic* width, which is four "
        "times as large.",
        (
            "width",
            lambda hidden_size: 4 * hidden_size / 3,
        ): "You take a third of 4d. Three matrices of width h' hold 3·d·h', two of width 4d hold 8·d²: h' is 8/3 · d.",
        (
            "width",
            lambda hidden_size: hidden_size,
        ): "You round `hidden_size` itself. The width is two thirds of four times that.",
        (
            "rounded",
            lambda width, step: math.floor(width / step) * step,
        ): "You round to the multiple below. Round *up*, as Llama does.",
        (
            "rounded",
            lambda width, step: round(width / step) * step,
        ): "You round to the nearest multiple. Round *up*, as Llama does.",
        (
            "rounded",
            lambda width, step: math.floor(width / step) * step + step,
        ): "You always go a multiple further, also where the width is a multiple already: then it stays.",
        (
            "rounded",
            lambda width, step: math.ceil(width / step),
        ): "You count the multiples: multiply by `multiple_of` again.",
        (
            "rounded",
            lambda width, step: math.floor(width / step),
        ): "You count the multiples, and drop what is left over. Round up, and multiply by `multiple_of` again.",
        (
            "rounded",
            lambda width, step: math.ceil(width),
        ): "You round to a whole number only. Round up to a multiple of `multiple_of`.",
        (
            "rounded",
            lambda width, step: math.floor(width),
        ): "You drop the fraction, and do not round to a multiple. Round up to a multiple of `multiple_of`.",
        (
            "rounded",
            lambda width, step: math.ceil(width / 64) * 64,
        ): "You round to multiples of 64, whatever `multiple_of` says.",
        (
            "rounded",
            lambda width, step: math.ceil(width / 256) * 256,
        ): "You round to multiples of 256, whatever `multiple_of` says.",
        (
            "rounded",
            lambda width, step: 2 ** math.ceil(math.log2(width)),
        ): "You round up to a power of two. Wanted is a multiple of `multiple_of`.",
        (
            "of_type",
            float,
        ): "Your result is a float. A width is a whole number: use `//`, which divides without a remainder, or `int`.",
    },
)
