"""How much a run reads: sequences, tokens, epochs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.variants import variant

Numbers = tuple[float, float, float]


def _text_and_run(rng: np.random.Generator) -> Inputs:
    """Draw a text, and a run of some epochs."""
    seq_len = int(rng.integers(20, 60))
    n_tokens = int(rng.integers(50, 200)) * seq_len + int(rng.integers(2, seq_len))
    return n_tokens, seq_len, int(rng.integers(3, 9)), int(rng.integers(10, 80))


_RUN_EDGES: dict[str, Inputs] = {
    "a text that fills its sequences, with no token left as the last label": (400, 20, 4, 30),
    "a text that fills its sequences, and has one token more": (401, 20, 4, 30),
    "a text whose last sequence lacks one token": (420, 20, 3, 7),
    "a text of a single sequence": (33, 32, 2, 5),
    "a batch of one sequence": (1000, 30, 1, 12),
    "a whole number of epochs": (401, 20, 4, 10),
    "less than an epoch": (5000, 25, 2, 3),
    "sequences of one token": (12, 1, 2, 9),
}


def _run_length(n_tokens: int, seq_len: int, batch_size: int, n_steps: int) -> Numbers:
    n_sequences, n_read = (n_tokens - 1) // seq_len, n_steps * batch_size * seq_len
    return (
        float(n_sequences),
        float(n_read),
        n_read / (n_sequences * seq_len),
    )  # floats, so that either type is accepted


def _length_with(
    sequences: Callable[[int, int, int], float] = lambda n_tokens, seq_len, batch: (n_tokens - 1) // seq_len,
    read: Callable[[int, int, int], float] = lambda seq_len, batch, n_steps: n_steps * batch * seq_len,
    epochs: Callable[[float, float, int, int], float] = lambda n_read, n_sequences, seq_len, n_tokens: (
        n_read / (n_sequences * seq_len)
    ),
    rounded: Callable[[float], float] = lambda epochs: epochs,
    given: Callable[[float, float, float], Any] = lambda n_sequences, n_read, epochs: (
        n_sequences,
        n_read,
        epochs,
    ),
) -> Callable[[int, int, int, int], Any]:
    """Return wrong numbers of sequences, tokens or epochs, each computed from the ones before."""

    def wrong_length(n_tokens: int, seq_len: int, batch_size: int, n_steps: int) -> Any:
        n_sequences = sequences(n_tokens, seq_len, batch_size)
        n_read = read(seq_len, batch_size, n_steps)
        return given(n_sequences, n_read, rounded(epochs(n_read, n_sequences, seq_len, n_tokens)))

    return wrong_length


RUN_LENGTH = Exercise(
    name="run_length",
    reference=_run_length,
    inputs=_text_and_run,
    edge_cases=_RUN_EDGES,
    rtol=1e-9,
    atol=1e-9,
    hints=(
        "Try a small text: how many sequences of 3 tokens have 6 tokens, if each sequence needs one token after it?",
        "One token of the text is only ever a label: n_tokens − 1 are left to be cut into sequences. A step reads "
        "batch_size sequences; an epoch is all sequences once.",
        "`n_sequences = (n_tokens - 1) // seq_len` and `n_read = n_steps * batch_size * seq_len`. The sequences "
        "have n_sequences · "
        "seq_len tokens together.",
    ),
    misconceptions={
        lambda n_tokens, seq_len, batch_size, n_steps: (
            (n_tokens - 1) // seq_len,
            n_steps * batch_size,
            n_steps * batch_size / ((n_tokens - 1) // seq_len),
        ): "You count sequences, not tokens: a step reads batch_size sequences of seq_len tokens each.",
        lambda n_tokens, seq_len, batch_size, n_steps: (
            (n_tokens - 1) // seq_len,
            n_steps * batch_size * seq_len,
            n_steps / ((n_tokens - 1) // seq_len),
        ): "In the epochs you forget the batch: a step reads batch_size sequences.",
        lambda n_tokens, seq_len, batch_size, n_steps: (
            (n_tokens - 1) // seq_len,
            n_steps * batch_size * seq_len,
            n_steps / ((n_tokens - 1) // seq_len // batch_size),
        ): "You drop the last sequences of an epoch, which do not fill a batch. Divide the tokens that are read by "
        "those "
        "of all sequences.",
        lambda n_tokens, seq_len, batch_size, n_steps: (
            (n_tokens - 1) // seq_len,
            n_steps * batch_size * seq_len,
            n_steps / math.ceil((n_tokens - 1) // seq_len / batch_size),
        ): "You let an epoch end with a batch that is not full. Divide the tokens that are read by those of all "
        "sequences.",
    },
    variant=variant(_length_with),
    slips={
        (
            "sequences",
            lambda n_tokens, seq_len, batch: n_tokens // seq_len,
        ): "You forget the label of the last token. Each sequence needs the token after it, so a text of exactly n · "
        "seq_len tokens has only n - 1 sequences: one token is a label only.",
        (
            "sequences",
            lambda n_tokens, seq_len, batch: n_tokens // (seq_len + 1),
        ): "You give each sequence seq_len + 1 tokens of its own. The extra one is only a label; it is also the "
        "first "
        "token of the next sequence, so sequences begin every seq_len tokens.",
        (
            "sequences",
            lambda n_tokens, seq_len, batch: (n_tokens - 1) // (seq_len + 1),
        ): "You divide by seq_len + 1. The extra token of a sequence is also the first of the next: sequences begin "
        "every "
        "seq_len tokens.",
        (
            "sequences",
            lambda n_tokens, seq_len, batch: (n_tokens + 1) // seq_len,
        ): "You add a token where one is to be taken off: the last one is only a label.",
        (
            "sequences",
            lambda n_tokens, seq_len, batch: n_tokens // seq_len - 1,
        ): "You always take a sequence off. Only a text that fills its sequences exactly loses one: take off one "
        "*token*.",
        (
            "sequences",
            lambda n_tokens, seq_len, batch: math.ceil(n_tokens / seq_len),
        ): "You count the last sequence even if it is not full. Only whole sequences are cut: `//`.",
        (
            "sequences",
            lambda n_tokens, seq_len, batch: math.ceil((n_tokens - 1) / seq_len),
        ): "You count the last sequence even if it is not full. Only whole sequences are cut: round down.",
        (
            "sequences",
            lambda n_tokens, seq_len, batch: round((n_tokens - 1) / seq_len),
        ): "You round the sequences to the nearest number. Only whole sequences are cut: round down.",
        (
            "sequences",
            lambda n_tokens, seq_len, batch: (n_tokens - 1) / seq_len,
        ): "Your sequences have a fraction. Only whole sequences are cut: `//`.",
        (
            "sequences",
            lambda n_tokens, seq_len, batch: n_tokens / seq_len,
        ): "Your sequences have a fraction, and the last token, which is only a label, counts. Whole sequences: "
        "`//`.",
        (
            "sequences",
            lambda n_tokens, seq_len, batch: n_tokens - seq_len,
        ): "You count every place at which a sequence could begin. Sequences are cut one after the other, every "
        "seq_len tokens.",
        (
            "sequences",
            lambda n_tokens, seq_len, batch: (n_tokens - 1) // (seq_len * batch),
        ): "You count batches. The first number is that of *sequences*, whatever the batch size.",
        (
            "read",
            lambda seq_len, batch, n_steps: n_steps * seq_len,
        ): "You let a step read one sequence. It reads batch_size sequences.",
        (
            "read",
            lambda seq_len, batch, n_steps: n_steps * batch,
        ): "You count the sequences that are read. Each has seq_len tokens.",
        (
            "read",
            lambda seq_len, batch, n_steps: batch * seq_len,
        ): "You count the tokens of one step. The run has n_steps of them.",
        (
            "read",
            lambda seq_len, batch, n_steps: n_steps * batch * (seq_len + 1),
        ): "You count the label after each sequence as read. A sequence is seq_len tokens.",
        (
            "read",
            lambda seq_len, batch, n_steps: n_steps * batch * (seq_len - 1),
        ): "You count a token less in each sequence. A sequence is seq_len tokens, and its last label comes on top.",
        (
            "epochs",
            lambda n_read, n_sequences, seq_len, n_tokens: n_read / n_tokens,
        ): "You divide the tokens read by all tokens of the text. An epoch is all *sequences* once: n_sequences · "
        "seq_len "
        "tokens.",
        (
            "epochs",
            lambda n_read, n_sequences, seq_len, n_tokens: n_read / (n_tokens - 1),
        ): "You divide by the tokens of the text. An epoch is all *sequences* once: n_sequences · seq_len tokens.",
        (
            "epochs",
            lambda n_read, n_sequences, seq_len, n_tokens: n_read / n_sequences,
        ): "You divide tokens by sequences. An epoch has n_sequences · seq_len tokens.",
        (
            "epochs",
            lambda n_read, n_sequences, seq_len, n_tokens: n_sequences * seq_len / n_read,
        ): "The epochs are upside down: divide what is read by what there is.",
        (
            "epochs",
            lambda n_read, n_sequences, seq_len, n_tokens: n_read / (n_sequences * (seq_len + 1)),
        ): "You count the label after each sequence in an epoch. A sequence is seq_len tokens.",
        (
            "rounded",
            math.floor,
        ): "You round the epochs down. A run may end in the middle of an epoch: return the fraction.",
        (
            "rounded",
            math.ceil,
        ): "You round the epochs up. A run may end in the middle of an epoch: return the fraction.",
        (
            "rounded",
            round,
        ): "You round the epochs. A run may end in the middle of an epoch: return the fraction.",
        (
            "given",
            lambda n_sequences, n_read, epochs: (n_read, n_sequences, epochs),
        ): "Rows and tokens are exchanged: (sequences, tokens, epochs).",
        (
            "given",
            lambda n_sequences, n_read, epochs: (n_sequences, n_read),
        ): "The epochs are missing: return three numbers.",
        (
            "given",
            lambda n_sequences, n_read, epochs: epochs,
        ): "You return the epochs alone. Return three numbers: (sequences, tokens, epochs).",
    },
)
