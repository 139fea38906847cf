"""A cosine with warm-up."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant
from minillm_lib.training.config import ScheduleConfig
from minillm_lib.training.optimizer import learning_rate_factor


def _step_inputs(rng: np.random.Generator) -> Inputs:
    """Draw a run, and a step of its fall or of its warm-up."""
    n_steps, warmup_steps = int(rng.integers(20, 40)), int(rng.integers(3, 8))
    step = int(
        rng.integers(warmup_steps + 1, n_steps - 1) if rng.random() < 0.7 else rng.integers(warmup_steps)
    )
    return step, n_steps, warmup_steps, float(rng.uniform(0.05, 0.3))


_STEP_EDGES: dict[str, Inputs] = {
    "the first step": (0, 20, 4, 0.1),
    "the last step of the warm-up": (3, 20, 4, 0.1),
    "the first step after the warm-up": (4, 20, 4, 0.1),
    "the middle of the fall": (11, 20, 4, 0.1),
    "the last step of all": (19, 20, 4, 0.1),
    "a fall down to 0": (15, 25, 5, 0.0),
    "the last step of a fall down to 0": (24, 25, 5, 0.0),
    "a factor that stays 1": (15, 25, 5, 1.0),
    "a short run": (3, 5, 3, 0.2),
}


def _cosine_factor(step: int, n_steps: int, warmup_steps: int, final_share: float) -> float:
    schedule = ScheduleConfig(name="cosine", warmup_steps=warmup_steps, final_share=final_share)
    return float(learning_rate_factor(step, n_steps, schedule))


def _cosine_with(
    rise: Callable[[int, int, float], float] = lambda step, warmup, final: (step + 1) / warmup,
    is_rising: Callable[[int, int], bool] = lambda step, warmup: step < warmup,
    progress: Callable[[int, int, int], float] = lambda step, n, warmup: (step + 1 - warmup) / (n - warmup),
    fall: Callable[[float], float] = lambda p: (1 + math.cos(math.pi * p)) / 2,
    scaled: Callable[[float, float], float] = lambda fall, final: final + (1 - final) * fall,
) -> Callable[..., float]:
    """Return a wrong schedule that differs by the given options."""

    def wrong_factor(step: int, n_steps: int, warmup_steps: int, final_share: float) -> float:
        if is_rising(step, warmup_steps):
            return rise(step, warmup_steps, final_share)
        return scaled(fall(progress(step, n_steps, warmup_steps)), final_share)

    return wrong_factor


def _both_at_once(step: int, n_steps: int, warmup_steps: int, final_share: float) -> float:
    rise = min(1.0, (step + 1) / warmup_steps)
    return rise * (final_share + (1 - final_share) * (1 + math.cos(math.pi * step / (n_steps - 1))) / 2)


def _both_at_once_from_one(step: int, n_steps: int, warmup_steps: int, final_share: float) -> float:
    rise = min(1.0, (step + 1) / warmup_steps)
    return rise * (final_share + (1 - final_share) * (1 + math.cos(math.pi * (step + 1) / n_steps)) / 2)


def _from_the_first_step(step: int, n: int, warmup: int) -> float:
    return step / (n - 1)


COSINE_FACTOR = Exercise(
    name="cosine_factor",
    points=2,
    reference=_cosine_factor,
    inputs=_step_inputs,
    edge_cases=_STEP_EDGES,
    cases=10,
    hints=(
        "Two cases: steps of the warm-up, and the others. Check each with its first and its last step.",
        "The last step of the warm-up is `warmup_steps - 1`; there the progress is 0. The last step of all is "
        "`n_steps - 1`; there it is 1. How many steps are between them?",
        "After the warm-up the progress is `(step - (warmup_steps - 1)) / (n_steps - warmup_steps)`; in the warm-up "
        "the answer is `(step + 1) / warmup_steps`.",
    ),
    misconceptions={
        _both_at_once: "The warm-up is multiplied with a cosine that falls from the first step on. First the rise "
        "alone; the cosine begins where the warm-up ends.",
        _both_at_once_from_one: "The warm-up is multiplied with a cosine that falls from the first step on. First the "
        "rise alone, and then the cosine.",
        _cosine_with(
            is_rising=lambda step, warmup: False, progress=_from_the_first_step
        ): "There is no warm-up: the cosine begins with the first step. In the first `warmup_steps` steps the factor "
        "rises in a straight line.",
        _cosine_with(
            is_rising=lambda step, warmup: False, progress=lambda step, n, warmup: step / n
        ): "There is no warm-up: the cosine begins with the first step, and never reaches its end. In the first "
        "`warmup_steps` steps the factor rises in a straight line.",
        _cosine_with(
            fall=lambda p: 1.0
        ): "Nothing falls: after the warm-up the factor stays as it is. It is to follow half a cosine.",
    },
    variant=variant(_cosine_with),
    slips={
        (
            "rise",
            lambda step, warmup, final: step / warmup,
        ): "Your warm-up begins at 0: the first step would change nothing. Step 0 takes 1 / warmup_steps, and the "
        "last step of the warm-up takes 1.",
        (
            "rise",
            lambda step, warmup, final: step / max(1, warmup - 1),
        ): "Your warm-up goes from 0 to 1. It begins at 1 / warmup_steps: a first step at rate 0 would be lost.",
        (
            "rise",
            lambda step, warmup, final: (step + 1) / (warmup + 1),
        ): "Your warm-up is a step too long: the last of its `warmup_steps` steps takes 1.",
        (
            "rise",
            lambda step, warmup, final: (step + 2) / warmup,
        ): "Your warm-up is a step ahead: step 0 takes 1 / warmup_steps.",
        (
            "rise",
            lambda step, warmup, final: 1.0,
        ): "The factor is 1 from the first step on. In the warm-up it rises in a straight line.",
        (
            "rise",
            lambda step, warmup, final: final + (1 - final) * (step + 1) / warmup,
        ): "Your warm-up begins near `final_share`. That is where the *fall* ends; the rise is 1/w, 2/w, …, 1.",
        (
            "rise",
            lambda step, warmup, final: (1 - math.cos(math.pi * (step + 1) / warmup)) / 2,
        ): "Your warm-up rises along a cosine. It is to rise in a straight line.",
        (
            "is_rising",
            lambda step, warmup: step <= warmup,
        ): "Your warm-up takes a step too many, and exceeds 1 there: its steps are those with `step < warmup_steps`.",
        (
            "progress",
            lambda step, n, warmup: (step + 1) / n,
        ): "You count the progress of the cosine from the first step of all, so that the rate jumps down where the "
        "warm-up ends. Count it from there.",
        (
            "progress",
            _from_the_first_step,
        ): "You count the progress of the cosine from step 0, so that the rate jumps down where the warm-up ends. It "
        "is 0 in the last step of the warm-up.",
        (
            "progress",
            lambda step, n, warmup: step / n,
        ): "You count the progress of the cosine from step 0, and it does not reach 1. It is 0 in the last step of "
        "the warm-up, and 1 in step n_steps - 1.",
        (
            "progress",
            lambda step, n, warmup: (step - warmup) / (n - warmup),
        ): "Your progress lags one step behind: the last step, n_steps - 1, must have progress 1.",
        (
            "progress",
            lambda step, n, warmup: (step - warmup) / max(1, n - 1 - warmup),
        ): "Your fall begins a step late: the progress is 0 in the *last step of the warm-up*, not in the one after "
        "it.",
        (
            "progress",
            lambda step, n, warmup: (step - warmup + 1) / n,
        ): "You divide the progress by all steps. Divide it by those of the fall, n_steps - warmup_steps.",
        (
            "progress",
            lambda step, n, warmup: (step - warmup) / n,
        ): "You divide the progress by all steps. Divide it by those of the fall, n_steps - warmup_steps; and the "
        "last step must have progress 1.",
        (
            "progress",
            lambda step, n, warmup: (step - warmup + 1) / (n - 1 - warmup),
        ): "Your progress exceeds 1 in the end: from the last step of the warm-up to the last of all there are "
        "n_steps - warmup_steps steps.",
        (
            "progress",
            lambda step, n, warmup: (step - warmup + 1) // (n - warmup),
        ): "`//` divides without a remainder: your progress is 0 up to the last step. Divide with `/`.",
        ("fall", lambda p: 1 + math.cos(math.pi * p)): "The ½ is missing: 1 + cos runs from 2 to 0.",
        ("fall", lambda p: math.cos(math.pi * p) / 2): "The 1 is missing: ½ (1 + cos) runs from 1 to 0.",
        (
            "fall",
            lambda p: 1 + math.cos(math.pi * p) / 2,
        ): "Brackets are missing: the ½ belongs to the whole sum, 1 + cos.",
        (
            "fall",
            lambda p: 0.5 + math.cos(math.pi * p),
        ): "You halve the 1 only. The ½ belongs to the whole sum, 1 + cos.",
        (
            "fall",
            lambda p: math.cos(math.pi * p),
        ): "½ and 1 are missing: the cosine alone runs from 1 to −1. It is ½ (1 + cos).",
        (
            "fall",
            lambda p: (1 - math.cos(math.pi * p)) / 2,
        ): "The factor rises after the warm-up: the sign of the cosine is wrong, or the progress runs backwards.",
        ("fall", lambda p: (1 + math.cos(p)) / 2): "The π is missing: the cosine is to go from 0 to π.",
        (
            "fall",
            lambda p: (1 + math.cos(2 * math.pi * p)) / 2,
        ): "You go through a whole cosine, down and up again. Half of one, from 0 to π, is wanted.",
        (
            "fall",
            lambda p: math.cos(math.pi * p / 2),
        ): "You take a quarter of a wave, cos(πp/2). Wanted is half of one: ½ (1 + cos πp).",
        (
            "fall",
            lambda p: (1 + math.sin(math.pi * p)) / 2,
        ): "You take the sine. The cosine of 0 is 1, where the fall begins.",
        (
            "fall",
            lambda p: (1 + math.cos(180 * p)) / 2,
        ): "The cosine takes radians: half a turn is π, not 180.",
        ("fall", lambda p: 1 - p): "You fall in a straight line. Here it is half a cosine.",
        ("scaled", lambda fall, final: fall): "The rate falls to 0. It is to fall to `final_share`.",
        (
            "scaled",
            lambda fall, final: max(fall, final),
        ): "You cut the cosine off at `final_share`. It is squeezed instead, so that it comes down to `final_share` "
        "in the last step only.",
        (
            "scaled",
            lambda fall, final: final + fall,
        ): "The factor (1 − f) is missing: your fall begins above 1.",
        (
            "scaled",
            lambda fall, final: final * fall,
        ): "You multiply by `final_share`. The factor is f + (1 − f) · ½ (1 + cos).",
        (
            "scaled",
            lambda fall, final: (1 - final) * fall,
        ): "The f in front is missing: your rate falls to 0, and begins at 1 − f.",
        (
            "scaled",
            lambda fall, final: 1 - final + final * fall,
        ): "You exchange f and 1 − f: your rate falls to 1 − `final_share`.",
    },
)
