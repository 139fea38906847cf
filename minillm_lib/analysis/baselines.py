"""What counting alone achieves on held-out text: the losses that a language model has to beat."""

from __future__ import annotations

from pathlib import Path

from minillm_lib.model.ngram import NGramModel
from minillm_lib.training.run import RunMetrics
from minillm_lib.training.token_file import TokenFile, TokenFileError

_ORDERS = {"unigram": 1, "bigram": 2}
_MOST_TOKENS = 20_000_000


def count_baselines(train: TokenFile, held_out: TokenFile) -> dict[str, float]:
    """The held-out losses, in nats a token, of n-gram models of the first twenty million tokens, by name."""
    tokens = train.tokens[:_MOST_TOKENS]
    return {
        name: NGramModel(order, train.vocab_size).fit(tokens).loss(held_out.tokens[:_MOST_TOKENS])
        for name, order in _ORDERS.items()
    }


def baselines_of_run(metrics: RunMetrics) -> dict[str, float]:
    """:func:`count_baselines` on the token files that a pretraining run has read; empty where they are gone.

    The run's configuration names the folder; the file is the one that has as many tokens as the run's epochs.
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


def _is_what_was_read(file: TokenFile, metrics: RunMetrics) -> bool:
    seq_len = metrics.setting("train", "seq_len") or metrics.setting("model", "max_seq_len")
    if not seq_len:
        return False
    rows = (len(file.tokens) - 1) // int(seq_len)
    return rows * int(seq_len) == metrics.start.get("tokens_per_epoch")
