"""Compare ways to fill rows with conversations, padding and packing, on course-faq.

    python benchmarks/sft_packing.py [--preset tiny] [--max-len 512] [--share 0.1] [--repeats 3]

All ways train on the same conversations. No conversation sees another one in the same row, so the loss is that of each
conversation alone. The maximum number of positions per batch is the same for all. The contestants take turns with
forward and backward passes over a share of the conversations. Seconds are medians over the repeats, scaled to all
conversations.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from minillm_lib.corpora.faq import load_course_faq
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.tokenizer import Tokenizer
from minillm_lib.training.rows import Batch, batch_loss
from minillm_lib.training.sft_rows import (
    EncodedConversation,
    encode_conversations,
    pack_conversations,
    pad_conversations,
)

ROOT = Path(__file__).parent.parent
ROWS_PER_BATCH = 8


def batches_padded_to_the_context(conversations: list[EncodedConversation], max_len: int) -> list[Batch]:
    """Return batches with one conversation per row of ``max_len`` tokens."""
    return split(pad_conversations(conversations, max_len), ROWS_PER_BATCH)


def batches_padded_to_the_longest(conversations: list[EncodedConversation], max_len: int) -> list[Batch]:
    """Return batches of conversations in random order, each batch padded to its longest conversation."""
    longest = max(map(len, conversations))
    size = max(ROWS_PER_BATCH * max_len // longest, 1)
    shuffled = random.Random(0).sample(conversations, len(conversations))
    return [pad_conversations(shuffled[start : start + size]) for start in range(0, len(shuffled), size)]


def batches_of_similar_length(conversations: list[EncodedConversation], max_len: int) -> list[Batch]:
    """Return batches of conversations sorted by length, of about equal area, which need little padding."""
    batches: list[list[EncodedConversation]] = [[]]
    for conversation in sorted(conversations, key=len):
        if (len(batches[-1]) + 1) * len(conversation) > ROWS_PER_BATCH * max_len:
            batches.append([])
        batches[-1].append(conversation)
    return [pad_conversations(batch) for batch in batches]


def batches_packed(conversations: list[EncodedConversation], max_len: int) -> list[Batch]:
    """Return batches with several conversations per row of ``max_len``, separated by a block-diagonal mask."""
    return split(pack_conversations(conversations, max_len), ROWS_PER_BATCH)


def split(rows: Batch, size: int) -> list[Batch]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def causal_loss(model: MiniLLM, rows: Batch) -> Tensor:
    """Return the loss of rows padded on the right, which need no mask: attention is causal, and padding comes last."""
    return model.loss(rows.input_ids, rows.labels)


Batches = Callable[[list[EncodedConversation], int], list[Batch]]
Loss = Callable[[MiniLLM, Batch], Tensor]
CONTESTANTS: dict[str, tuple[Batches, Loss]] = {
    "padded to the context": (batches_padded_to_the_context, causal_loss),
    "padded to the batch's longest": (batches_padded_to_the_longest, causal_loss),
    "padded, similar lengths together": (batches_of_similar_length, causal_loss),
    "packed, block-diagonal": (batches_packed, batch_loss),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--max-len", type=int, default=512)
    parser.add_argument("--share", type=float, default=0.1, help="share of the conversations to time")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--tokenizer", type=Path, help="a trained tokenizer; by default one is trained on course-faq"
    )
    options = parser.parse_args()

    conversations = load_course_faq()
    texts = sorted({turn.content for each in conversations for turn in each.turns})
    tokenizer = (
        Tokenizer.load(options.tokenizer)
        if options.tokenizer
        else Tokenizer.train(texts, vocab_size=6400, character_coverage=0.995)
    )
    encoded, report = encode_conversations(conversations, tokenizer, options.max_len)
    torch.manual_seed(0)
    model = MiniLLM.from_preset(options.preset, vocab_size=tokenizer.vocab_size)
    sample = random.Random(1).sample(encoded, max(round(options.share * len(encoded)), 1))

    whole = {name: make(encoded, options.max_len) for name, (make, _) in CONTESTANTS.items()}
    timed = {name: make(sample, options.max_len) for name, (make, _) in CONTESTANTS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for _ in range(options.repeats):
        for name, (_, loss) in CONTESTANTS.items():
            start = time.perf_counter()
            for batch in timed[name]:
                loss(model, batch).backward()
                model.zero_grad()
            seconds[name].append(time.perf_counter() - start)

    table = Table("rows", "positions", "padding", "batches", "s per epoch", title=str(report))
    results = {}
    for name, batches in whole.items():
        positions = sum(batch.input_ids.numel() for batch in batches)
        padding = 1 - report.n_tokens / positions
        epoch = statistics.median(seconds[name]) * len(encoded) / len(sample)
        results[name] = {
            "positions": positions,
            "padding_share": padding,
            "batches": len(batches),
            "seconds_per_epoch": epoch,
        }
        table.add_row(name, f"{positions:,}", f"{padding:.1%}", str(len(batches)), f"{epoch:.1f}")
    Console().print(table)
    setting = {
        "preset": options.preset,
        "max_len": options.max_len,
        "share": options.share,
        "repeats": options.repeats,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "conversations": report.n_conversations,
        "tokens": report.n_tokens,
        "trained_tokens": report.n_trained,
    }
    target = ROOT / "results" / "benchmarks" / "sft_packing.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"setting": setting, "results": results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
