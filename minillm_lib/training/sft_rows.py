"""Conversations as rows of token ids for supervised fine-tuning: what is trained on, and how rows are filled.

Only what the assistant says is trained on: its words, and the token that ends its turn. Rows are filled in one of two
ways: several conversations in one row, kept apart by attention (:func:`pack_conversations`), or one conversation
a row, with the rest padded (:func:`pad_conversations`). ``benchmarks/sft_packing.py`` measures both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from html import escape
from itertools import groupby
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from rich.text import Text
from torch import Tensor

from minillm_lib.corpora.conversations import Conversation
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.tokenizer import Tokenizer

IGNORE_INDEX = -100
"""The label of a token that is not trained on."""

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class EncodedConversation:
    """The ids that the model reads and those that it is to predict, both ``(length,)``.

    ``labels[t]`` is the token that follows ``input_ids[t]`` where that is the assistant's, else ``IGNORE_INDEX``.
    ``n_turns_cut`` turns at the end had no room.
    """

    input_ids: IntArray
    labels: IntArray
    n_turns_cut: int = 0

    def __len__(self) -> int:
        return len(self.input_ids)


def encode_conversation(
    conversation: Conversation, tokenizer: Tokenizer, max_len: int, answer_tokens: int | None = None
) -> EncodedConversation | None:
    """Ids and labels of a conversation; None if not even its first answer fits.

    A conversation of more than ``max_len`` positions loses its last question and answer until it fits, so that what
    is left still begins as it did and ends with a whole answer. Its last token has no position: nothing follows it.
    With ``answer_tokens`` it is broken off after so many tokens of the first answer.

    >>> from minillm_lib.tokenizer import Tokenizer
    >>> tokenizer = Tokenizer.train(["hello there, how are you?"] * 9, vocab_size=310)
    >>> row = encode_conversation(Conversation.of("hello", "hi"), tokenizer, max_len=32)
    >>> tokenizer.decode(row.labels[row.labels != IGNORE_INDEX], skip_special_tokens=False)
    'hi<|end|>'
    """
    if max_len < 1:
        raise ValueError(f"max_len is {max_len}; it must be at least 1")
    messages = conversation.messages
    first_answer = 2 + (messages[0]["role"] == "system")
    for n_turns in range(len(messages), first_answer - 1, -2):
        ids, mask = tokenizer.chat_ids_and_mask(messages[:n_turns])
        if len(ids) - 1 <= max_len:
            row = np.array(ids, dtype=np.int64)
            labels = np.where(mask[1:], row[1:], IGNORE_INDEX)
            end = None if answer_tokens is None else mask.index(True) - 1 + answer_tokens
            return EncodedConversation(row[:-1][:end], labels[:end], len(messages) - n_turns)
    return None


@dataclass(slots=True)
class EncodingReport:
    """What :func:`encode_conversations` did; ``n_tokens`` are positions, ``n_trained`` those with a label."""

    n_conversations: int = 0
    n_truncated: int = 0
    n_dropped: int = 0
    n_tokens: int = 0
    n_trained: int = 0

    def __add__(self, other: EncodingReport) -> EncodingReport:
        pairs = zip(astuple(self), astuple(other), strict=True)
        return EncodingReport(*(own + its for own, its in pairs))

    def __str__(self) -> str:
        share = self.n_trained / max(self.n_tokens, 1)
        return (
            f"{self.n_conversations:,} conversations of {self.n_tokens:,} tokens, {share:.0%} of them trained on; "
            f"{self.n_truncated:,} truncated, {self.n_dropped:,} more dropped as too long"
        )


def encode_conversations(
    conversations: Iterable[Conversation],
    tokenizer: Tokenizer,
    max_len: int,
    answer_tokens: int | None = None,
) -> tuple[list[EncodedConversation], EncodingReport]:
    """:func:`encode_conversation` of each, without those that do not fit, and what became of them in numbers."""
    rows = [encode_conversation(each, tokenizer, max_len, answer_tokens) for each in conversations]
    kept = [row for row in rows if row is not None]
    report = EncodingReport(
        n_conversations=len(kept),
        n_truncated=sum(row.n_turns_cut > 0 for row in kept),
        n_dropped=len(rows) - len(kept),
        n_tokens=sum(map(len, kept)),
        n_trained=sum(int((row.labels != IGNORE_INDEX).sum()) for row in kept),
    )
    return kept, report


@dataclass(frozen=True, slots=True, eq=False)
class SFTRows:
    """Rows for the model, all int64 tensors of ``(rows, seq)``.

    Attributes
    ----------
    input_ids, labels
        As :meth:`~minillm_lib.model.decoder.MiniLLM.loss` takes them; padding is ``pad_id`` and ``IGNORE_INDEX``.
    positions
        Counted from 0 in each conversation.
    segment_ids
        Which conversation of its row a token belongs to: 1 for the first, 2 for the next, 0 for padding.
    """

    input_ids: Tensor
    labels: Tensor
    positions: Tensor
    segment_ids: Tensor

    def __len__(self) -> int:
        return len(self.input_ids)

    def __getitem__(self, rows: slice | Sequence[int] | Tensor) -> SFTRows:
        return SFTRows(self.input_ids[rows], self.labels[rows], self.positions[rows], self.segment_ids[rows])

    def to(self, device: torch.device | str) -> SFTRows:
        """The same rows on another device."""
        return SFTRows(
            self.input_ids.to(device),
            self.labels.to(device),
            self.positions.to(device),
            self.segment_ids.to(device),
        )

    @property
    def padding_share(self) -> float:
        """Share of positions that hold no token."""
        return float((self.segment_ids == 0).float().mean())


def first_fit_decreasing(lengths: Sequence[int] | IntArray, capacity: int) -> IntArray:
    """The row of each item: longest items first, each into the first row that has room for it.

    Uses at most ``11/9 optimum + 6/9`` rows (Johnson 1973; Dósa 2007). Items of one length fill the rows in order, as
    many into each as fit, which is why a whole length is placed at once.

    Raises
    ------
    ValueError
        If an item is empty, or longer than ``capacity``.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    if len(sizes) and not 0 < sizes.min() <= sizes.max() <= capacity:
        raise ValueError(
            f"lengths are from {sizes.min()} to {sizes.max()}; allowed are 1 to {capacity}, the row's length"
        )
    row_of = np.empty(len(sizes), dtype=np.int64)
    room = np.empty(0, dtype=np.int64)
    for size in np.unique(sizes)[::-1]:
        items = np.flatnonzero(sizes == size)
        most_new_rows = -(-len(items) // (capacity // size))
        room = np.append(room, np.full(most_new_rows, capacity))
        row_of[items] = np.repeat(np.arange(len(room)), room // size)[: len(items)]
        room -= size * np.bincount(row_of[items], minlength=len(room))
        room = room[room < capacity]
    return row_of


def pack_conversations(
    conversations: Sequence[EncodedConversation], max_len: int, pad_id: int = 0
) -> SFTRows:
    """Fill rows of ``max_len`` with whole conversations, by :func:`first_fit_decreasing`.

    Nothing is random, and conversations keep their order within a row. Attention must be kept within each
    conversation; then each is treated as if it were alone (:func:`packed_loss`).
    """
    row_of = first_fit_decreasing([len(conversation) for conversation in conversations], max_len)
    rows: list[list[EncodedConversation]] = [[] for _ in range(int(row_of.max(initial=-1)) + 1)]
    for conversation, row in zip(conversations, row_of, strict=True):
        rows[row].append(conversation)
    return _filled(rows, max_len, pad_id)


def pad_conversations(
    conversations: Sequence[EncodedConversation], max_len: int | None = None, pad_id: int = 0
) -> SFTRows:
    """One conversation a row, padded on the right to ``max_len``, or to the longest of them if that is None."""
    longest = max(map(len, conversations), default=0)
    if max_len is not None and longest > max_len:
        raise ValueError(f"the longest conversation has {longest} tokens; max_len is {max_len}")
    return _filled([[conversation] for conversation in conversations], max_len or longest, pad_id)


def _filled(rows: Sequence[Sequence[EncodedConversation]], seq: int, pad_id: int) -> SFTRows:
    input_ids = np.full((len(rows), seq), pad_id, dtype=np.int64)
    labels = np.full((len(rows), seq), IGNORE_INDEX, dtype=np.int64)
    positions, segment_ids = np.zeros((2, len(rows), seq), dtype=np.int64)
    for row, own in enumerate(rows):
        start = 0
        for segment, conversation in enumerate(own, start=1):
            place = row, slice(start, start + len(conversation))
            input_ids[place], labels[place] = conversation.input_ids, conversation.labels
            positions[place], segment_ids[place] = np.arange(len(conversation)), segment
            start += len(conversation)
    return SFTRows(*map(torch.from_numpy, (input_ids, labels, positions, segment_ids)))


def packed_loss(model: MiniLLM, rows: SFTRows, reduction: Literal["mean", "sum"] = "mean") -> Tensor:
    """:meth:`MiniLLM.loss <minillm_lib.model.decoder.MiniLLM.loss>` of rows in which conversations do not meet."""
    return model.loss(
        rows.input_ids,
        rows.labels,
        positions=rows.positions,
        segment_ids=rows.segment_ids,
        ignore_index=IGNORE_INDEX,
        reduction=reduction,
    )


@dataclass(frozen=True, slots=True)
class MaskExplanation:
    """A conversation's tokens as the tokenizer cuts it, each with whether it is trained on.

    A notebook shows it in colour, and so does ``rich.print``.
    """

    pieces: tuple[str, ...]
    is_trained: tuple[bool, ...]

    def __rich__(self) -> Text:
        styles = (("dim", "dim underline"), ("black on green", "black on bright_green"))
        text = Text()
        for index, (piece, trained) in enumerate(zip(self.pieces, self.is_trained, strict=True)):
            text.append(piece, styles[trained][index % 2])
        return text

    def _repr_html_(self) -> str:
        """Trained tokens on green, the rest grey; a line for each turn, and a thin border around each token."""
        style = (
            "border:1px solid rgba(128,128,128,.35);border-radius:3px;white-space:pre-wrap;padding:0 1px;"
            "font-family:monospace;line-height:1.7;"
        )
        colours = ("color:#777", "color:#053b12;background:#b7e4c0")
        spans = (
            f'<span style="{style}{colours[trained]}">{escape(piece)}</span>' + "<br>" * (piece == "<|end|>")
            for piece, trained in zip(self.pieces, self.is_trained, strict=True)
        )
        n_trained = sum(self.is_trained)
        note = f"{n_trained} of {len(self.pieces)} tokens (green) are trained on"
        return f"<div>{''.join(spans)}<small>{note}</small></div>"

    def __str__(self) -> str:
        """The conversation with ``[[…]]`` around what is trained on."""
        runs = groupby(zip(self.is_trained, self.pieces, strict=True), key=lambda pair: pair[0])
        parts = ((trained, "".join(piece for _, piece in run)) for trained, run in runs)
        return "".join(f"[[{part}]]" if trained else part for trained, part in parts)


def explain_mask(conversation: Conversation, tokenizer: Tokenizer) -> MaskExplanation:
    """Show which tokens of a conversation the loss counts."""
    ids, mask = tokenizer.chat_ids_and_mask(conversation.messages)
    pieces = (tokenizer.vocabulary[token_id].replace("▁", " ") for token_id in ids)
    return MaskExplanation(tuple(pieces), tuple(mask))
