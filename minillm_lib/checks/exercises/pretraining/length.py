"""How much a run reads: rows, tokens, epochs."""

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
    "a text that fills its rows, with no token left as the last label": (400, 20, 4, 30),
    "a text that fills its rows, and has one token more": (401, 20, 4, 30),
    "a text whose last row lacks one token": (420, 20, 3, 7),
    "a text of a single row": (33, 32, 2, 5),
    "a batch of one row": (1000, 30, 1, 12),
    "a whole number of epochs": (401, 20, 4, 10),
    "less than an epoch": (5000, 25, 2, 3),
    "rows of one token": (12, 1, 2, 9),
}


def _run_length(n_tokens: int, seq_len: int, batch_size: int, n_steps: int) -> Numbers:
    n_rows, n_read = (n_tokens - 1) // seq_len, n_steps * batch_size * seq_len
    return (
        float(n_rows),
        float(n_read),
        n_read / (n_rows * seq_len),
    )  # floats, so that either type is accepted


def _length_with(
    rows: Callable[[int, int, int], float] = lambda n_tokens, seq_len, batch: (n_tokens - 1) // seq_len,
    read: Callable[[int, int, int], float] = lambda seq_len, batch, n_steps: n_steps * batch * seq_len,
    epochs: Callable[[float, float, int, int], float] = lambda n_read, n_rows, seq_len, n_tokens: (
        n_read / (n_rows * seq_len)
    ),
    rounded: Callable[[float], float] = lambda epochs: epochs,
    given: Callable[[float, float, float], Any] = lambda n_rows, n_read, epochs: (n_rows, n_read, epochs),
) -> Callable[[int, int, int, int], Any]:
    """Return wrong numbers of rows, tokens or epochs, each computed from the ones before."""

    def wrong_length(n_tokens: int, seq_len: int, batch_size: int, n_steps: int) -> Any:
        n_rows = rows(n_tokens, seq_len, batch_size)
        n_read = read(seq_len, batch_size, n_steps)
        return given(n_rows, n_read, rounded(epochs(n_read, n_rows, seq_len, n_tokens)))

    return wrong_length


RUN_LENGTH = Exercise(
    name="run_length",
    reference=_run_length,
    inputs=_text_and_run,
    edge_cases=_RUN_EDGES,
    rtol=1e-9,
    atol=1e-9,
    hints=(
        "Try a small text: how many rows of 3 tokens have 6 tokens, if each row needs one token after it?",
        "One token of the text is only ever a label: n_tokens − 1 are left to be cut into rows. A step reads "
        "batch_size rows; an epoch is all rows once.",
        "`n_rows = (n_tokens - 1) // seq_len` and `n_read = n_steps * batch_size * seq_len`. The rows have n_rows · "
        "seq_len tokens together.",
    ),
    misconceptions={
        lambda n_tokens, seq_len, batch_size, n_steps: (
            (n_tokens - 1) // seq_len,
            n_steps * batch_size,
            n_steps * batch_size / ((n_tokens - 1) // seq_len),
        ): "You count rows, not tokens: a step reads batch_size rows of seq_len tokens each.",
        lambda n_tokens, seq_len, batch_size, n_steps: (
            (n_tokens - 1) // seq_len,
            n_steps * batch_size * seq_len,
            n_steps / ((n_tokens - 1) // seq_len),
        ): "In the epochs you forget the batch: a step reads batch_size rows.",
        lambda n_tokens, seq_len, batch_size, n_steps: (
            (n_tokens - 1) // seq_len,
            n_steps * batch_size * seq_len,
            n_steps / ((n_tokens - 1) // seq_len // batch_size),
        ): "You drop the last rows of an epoch, which do not fill a batch. Divide the tokens that are read by those "
        "of all rows.",
        lambda n_tokens, seq_len, batch_size, n_steps: (
            (n_tokens - 1) // seq_len,
            n_steps * batch_size * seq_len,
            n_steps / math.ceil((n_tokens - 1) // seq_len / batch_size),
        ): "You let an epoch end with a batch that is not full. Divide the tokens that are read by those of all rows.",
    },
    variant=variant(_length_with),
    slips={
        (
            "rows",
            lambda n_tokens, seq_len, batch: n_tokens // seq_len,
        ): "You forget the label of the last token. Each row needs the token after it, so a text of exactly n · "
        "seq_len tokens has only n - 1 rows: one token is a label only.",
        (
            "rows",
            lambda n_tokens, seq_len, batch: n_tokens // (seq_len + 1),
        ): "You give each row seq_len + 1 tokens of its own. The extra one is only a label; it is also the first "
        "token of the next row, so rows begin every seq_len tokens.",
        (
            "rows",
            lambda n_tokens, seq_len, batch: (n_tokens - 1) // (seq_len + 1),
        ): "You divide by seq_len + 1. The extra token of a row is also the first of the next: rows begin every "
        "seq_len tokens.",
        (
            "rows",
            lambda n_tokens, seq_len, batch: (n_tokens + 1) // seq_len,
        ): "You add a token where one is to be taken off: the last one is only a label.",
        (
            "rows",
            lambda n_tokens, seq_len, batch: n_tokens // seq_len - 1,
        ): "You always take a row off. Only a text that fills its rows exactly loses one: take off one *token*.",
        (
            "rows",
            lambda n_tokens, seq_len, batch: math.ceil(n_tokens / seq_len),
        ): "You count the last row even if it is not full. Only whole rows are cut: `//`.",
        (
            "rows",
            lambda n_tokens, seq_len, batch: math.ceil((n_tokens - 1) / seq_len),
        ): "You count the last row even if it is not full. Only whole rows are cut: round down.",
        (
            "rows",
            lambda n_tokens, seq_len, batch: round((n_tokens - 1) / seq_len),
        ): "You round the rows to the nearest number. Only whole rows are cut: round down.",
        (
            "rows",
            lambda n_tokens, seq_len, batch: (n_tokens - 1) / seq_len,
        ): "Your rows have a fraction. Only whole rows are cut: `//`.",
        (
            "rows",
            lambda n_tokens, seq_len, batch: n_tokens / seq_len,
        ): "Your rows have a fraction, and the last token, which is only a label, counts. Whole rows: `//`.",
        (
            "rows",
            lambda n_tokens, seq_len, batch: n_tokens - seq_len,
        ): "You count every place at which a row could begin. Rows are cut one after the other, every seq_len tokens.",
        (
            "rows",
            lambda n_tokens, seq_len, batch: (n_tokens - 1) // (seq_len * batch),
        ): "You count batches. The first number is that of *rows*, whatever the batch size.",
        (
            "read",
            lambda seq_len, batch, n_steps: n_steps * seq_len,
        ): "You let a step read one row. It reads batch_size rows.",
        (
            "read",
            lambda seq_len, batch, n_steps: n_steps * batch,
        ): "You count the rows that are read. Each has seq_len tokens.",
        (
            "read",
            lambda seq_len, batch, n_steps: batch * seq_len,
        ): "You count the tokens of one step. The run has n_steps of them.",
        (
            "read",
            lambda seq_len, batch, n_steps: n_steps * batch * (seq_len + 1),
        ): "You count the label after each row as read. A row is seq_len tokens.",
        (
            "read",
            lambda seq_len, batch, n_steps: n_steps * batch * (seq_len - 1),
        ): "You count a token less in each row. A row is seq_len tokens, and its last label comes on top.",
        (
            "epochs",
            lambda n_read, n_rows, seq_len, n_tokens: n_read / n_tokens,
        ): "You divide the tokens read by all tokens of the text. An epoch is all *rows* once: n_rows · seq_len "
        "tokens.",
        (
            "epochs",
            lambda n_read, n_rows, seq_len, n_tokens: n_read / (n_tokens - 1),
        ): "You divide by the tokens of the text. An epoch is all *rows* once: n_rows · seq_len tokens.",
        (
            "epochs",
            lambda n_read, n_rows, seq_len, n_tokens: n_read / n_rows,
        ): "You divide tokens by rows. An epoch has n_rows · seq_len tokens.",
        (
            "epochs",
            lambda n_read, n_rows, seq_len, n_tokens: n_rows * seq_len / n_read,
        ): "The epochs are upside down: divide what is read by what there is.",
        (
            "epochs",
            lambda n_read, n_rows, seq_len, n_tokens: n_read / (n_rows * (seq_len + 1)),
        ): "You count the label after each row in an epoch. A row is seq_len tokens.",
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
            lambda n_rows, n_read, epochs: (n_read, n_rows, epochs),
        ): "Rows and tokens are exchanged: (rows, tokens, epochs).",
        (
            "given",
            lambda n_rows, n_read, epochs: (n_rows, n_read),
        ): "The epochs are missing: return three numbers.",
        (
            "given",
            lambda n_rows, n_read, epochs: epochs,
        ): "You return the epochs alone. Return three numbers: (rows, tokens, epochs).",
    },
)
