"""The held-out losses that counting alone achieves, which a language model has to beat."""

from __future__ import annotations

from pathlib import Path

from minillm_lib.model.ngram import NGramModel
from minillm_lib.training.run import RunResult
from minillm_lib.training.token_file import TokenFile, TokenFileError

_ORDERS = {"unigram": 1, "bigram": 2}
_MOST_TOKENS = 20_000_000


def count_baselines(train: TokenFile, held_out: TokenFile) -> dict[str, float]:
    """Compute the held-out losses of n-gram models of the first twenty million tokens.

    Returns
    -------
    dict[str, float]
        The losses in nats per token, under ``"unigram"`` and ``"bigram"``.
    """
    tokens = train.tokens[:_MOST_TOKENS]
    return {
        name: NGramModel(order, train.vocab_size).fit(tokens).loss(held_out.tokens[:_MOST_TOKENS])
        for name, order in _ORDERS.items()
    }


def baselines_of_run(metrics: RunResult) -> dict[str, float]:
    """Compute :func:`count_baselines` on the token files that a pretraining run has read; empty if they are gone.

    The run's configuration names the folder; of its files, the one with as many tokens as an epoch of the run is read.
    """
    folder = metrics.setting("data", "folder")
    if metrics.stage != "pretrain" or folder is None:
        return {}
    for path in sorted(Path(folder).glob("*/train.tokens")):
        try:
            train, held_out = TokenFile(path), TokenFile(path.with_name("validation.tokens"))
        except (OSError, TokenFileError):
            continue
        if _is_what_was_read(train, metrics):
            return count_baselines(train, held_out)
    return {}


def _is_what_was_read(file: TokenFile, metrics: RunResult) -> bool:
    seq_len = metrics.setting("train", "seq_len") or metrics.setting("model", "max_seq_len")
    if not seq_len:
        return False
    rows = (len(file.tokens) - 1) // int(seq_len)
    return rows * int(seq_len) == metrics.start.get("tokens_per_epoch")
