"""How long a run takes, and how much memory its parameters need."""

from __future__ import annotations

from typing import Any

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.slip_names import made, named


def _run(rng: np.random.Generator) -> Inputs:
    """Draw a model, an optimizer, a run and a machine."""
    n_matrices, n_others = int(rng.integers(10**6, 10**8)), int(rng.integers(10**6, 10**7))
    flops_per_token = 6 * (n_matrices + n_others) + int(rng.integers(10**6, 10**7))
    optimizer = str(rng.choice(["adamw", "muon"]))
    return (
        n_matrices,
        n_others,
        optimizer,
        flops_per_token,
        int(rng.integers(10**8, 10**10)),
        float(rng.uniform(1e13, 5e14)),
        float(rng.uniform(0.2, 0.6)),
    )


_RUN_EDGES: dict[str, Inputs] = {
    "AdamW": (22_000_000, 3_000_000, "adamw", 180_000_000, 10**9, 7e13, 0.3),
    "Muon": (22_000_000, 3_000_000, "muon", 180_000_000, 10**9, 7e13, 0.3),
    "a run at the peak speed": (22_000_000, 3_000_000, "adamw", 180_000_000, 10**9, 7e13, 1.0),
}


def _run_cost(
    n_matrices: int,
    n_others: int,
    optimizer: str,
    flops_per_token: int,
    n_tokens: int,
    peak: float,
    mfu: float,
    /,
    **slips: Any,
) -> Any:
    has, n = made(slips), n_matrices + n_others
    speed = {"none": peak, "divided": peak / mfu, "lost": peak * (1 - mfu)}.get(
        str(slips.get("mfu")), peak * mfu
    )
    work = 6 * n if has("work:6N") else flops_per_token
    seconds = work * (1 if has("tokens:one") else n_tokens) / speed
    hours = seconds if has("unit:seconds") else seconds / 60 if has("unit:minutes") else seconds / 3600
    of_adamw, of_muon = (1 if has("state:one") else 2), (2 if has("muon:two") else 1)
    is_muon = optimizer == "muon"
    state = of_adamw * n_others + (of_muon if is_muon else of_adamw) * n_matrices
    if has("muon:everywhere") and is_muon:
        state = n
    if has("muon:no others") and is_muon:
        state = n_matrices
    if has("muon:exchanged") and is_muon:
        state = of_adamw * n_matrices + n_others
    numbers = n if has("weights:missing") else 2 * n
    numbers += 0 if has("state:missing") else state
    per_number = {"numbers": 1, "half": 2, "double": 8, "bits": 32}.get(str(slips.get("size")), 4)
    n_bytes = float(numbers * per_number)
    return (n_bytes, hours) if has("order") else (hours, n_bytes)


RUN_COST = Exercise(
    name="run_cost",
    points=2,
    reference=lambda n_matrices, n_others, optimizer, flops_per_token, n_tokens, peak, mfu: _run_cost(
        n_matrices, n_others, optimizer, flops_per_token, n_tokens, peak, mfu
    ),
    inputs=_run,
    edge_cases=_RUN_EDGES,
    rtol=1e-6,
    hints=(
        "Time is work divided by speed. For the memory, count how many numbers are kept per parameter: what is there "
        "besides the weight itself?",
        "The speed is the peak times the share of it that is reached. Per parameter there are a weight, a gradient, "
        "and the optimizer's averages: two with AdamW; one with Muon, but for the matrices of the blocks only.",
        "`seconds = flops_per_token * n_tokens / (mfu * peak)`. The optimizer keeps `2 * n_others` numbers, and "
        '`(1 if optimizer == "muon" else 2) * n_matrices`; weights and gradients are `2 * (n_matrices + n_others)`. '
        "Four bytes each.",
    ),
    variant=_run_cost,
    slips=named(
        {
            "mfu:none": "You let the machine run at its peak. It reaches the share `mfu` of it.",
            "mfu:divided": "You divide the peak by the utilisation, so that a poor run is a fast one. The speed is the "
            "peak *times* `mfu`.",
            "mfu:lost": "You take 1 − mfu for the share that is reached. It is `mfu` itself.",
            "work:6N": "You take 6 operations per parameter. `flops_per_token` has those of attention, too.",
            "tokens:one": "This is the time for one token. The run reads `n_tokens`.",
            "unit:seconds": "Your time is in seconds. Hours are wanted.",
            "unit:minutes": "Your time is in minutes. Hours are wanted.",
            "weights:missing": "Besides the optimizer's averages you count one number per parameter. There are two: "
            "the weight and its gradient.",
            "state:missing": "The optimizer's averages are missing in the bytes.",
            "state:one": "AdamW keeps two averages for each parameter: of the gradients and of their squares.",
            "muon:two": "Muon keeps one average, the momentum, for each entry of its matrices. It needs no squares.",
            "muon:everywhere": "With Muon, the embedding and the norms are still AdamW's, with two averages each.",
            "muon:no others": "With Muon, the embedding and the norms still have an optimizer: AdamW.",
            "muon:exchanged": "You exchange the two: Muon takes the matrices of the blocks, AdamW the others.",
            "size:numbers": "You count numbers. In float32 each takes four bytes.",
            "size:half": "You count two bytes per number. In float32 there are four.",
            "size:double": "You count eight bytes per number. In float32 there are four.",
            "size:bits": "You count bits. A number in float32 has 32 bits, which are four bytes.",
            "order": "Hours and bytes are exchanged: (hours, bytes).",
        }
    ),
)
