"""Conversations as rows of token ids for supervised fine-tuning: what is trained on, and how rows are filled.

Only what the assistant says is trained on: its words, and the token that ends its turn. Rows are filled in one of two
ways: several conversations per row, which attention keeps apart (:func:`pack_conversations`), or one conversation per
row, with the rest padded (:func:`pad_conversations`). ``benchmarks/sft_packing.py`` measures both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from html import escape
from itertools import groupby

import numpy as np
import torch
from rich.text import Text

from minillm_lib.corpora.conversations import Conversation
from minillm_lib.io.wording import number_of
from minillm_lib.tokenizer import Tokenizer
from minillm_lib.training.rows import IGNORE_INDEX, Batch, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class EncodedConversation:
    """The ids that the model reads and those that it must predict, both ``(length,)``.

    Attributes
    ----------
    labels
        ``labels[t]`` is the token that follows ``input_ids[t]`` if the assistant says it, otherwise ``IGNORE_INDEX``.
    n_turns_cut
        How many turns at the end had no room.
    """

    input_ids: IntArray
    labels: IntArray
    n_turns_cut: int = 0

    def __len__(self) -> int:
        return len(self.input_ids)


def encode_conversation(
    conversation: Conversation, tokenizer: Tokenizer, max_len: int, answer_tokens: int | None = None
) -> EncodedConversation | None:
    """Return the ids and labels of a conversation; None if not even its first answer fits.

    A conversation of more than ``max_len`` positions loses its last question and answer until it fits, so that the
    rest begins as before and ends with a complete answer. Its last token has no position, since nothing follows it.

    Parameters
    ----------
    max_len
        Length of a row, in tokens.
    answer_tokens
        Keep this many tokens of each answer: the conversation breaks off within its last answer, and the end of an
        earlier one that lost some is not trained on; None keeps all.

    Raises
    ------
    ValueError
        If ``max_len`` is below 1.

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
        if answer_tokens is not None:
            ids, mask = _with_short_answers(ids, mask, answer_tokens)
        if len(ids) - 1 <= max_len:
            row = np.array(ids, dtype=np.int64)
            labels = np.where(mask[1:], row[1:], IGNORE_INDEX)
            return EncodedConversation(row[:-1], labels, len(messages) - n_turns)
    return None


def _with_short_answers(ids: Sequence[int], mask: Sequence[bool], n: int) -> tuple[list[int], list[bool]]:
    """Return the ids and the mask with at most ``n`` tokens of each answer, and nothing after those of the last.

    An earlier answer that is longer still ends with the token that closes it, which is then not trained on.
    """
    runs = [(said, list(run)) for said, run in groupby(range(len(ids)), mask.__getitem__)]
    last_answer = max(index for index, (said, _) in enumerate(runs) if said)
    short_ids: list[int] = []
    short_mask: list[bool] = []
    for index, (said, run) in enumerate(runs[: last_answer + 1]):
        kept = run[:n] if said else run
        short_ids += [ids[at] for at in kept]
        short_mask += [said] * len(kept)
        if index < last_answer and len(kept) < len(run):
            short_ids.append(ids[run[-1]])
            short_mask.append(False)
    return short_ids, short_mask


@dataclass(slots=True)
class EncodingReport:
    """Counts of :func:`encode_conversations`; ``n_tokens`` are positions, ``n_trained`` those with a label."""

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
            f"{number_of(self.n_conversations, 'conversation')} of {self.n_tokens:,} tokens, {share:.0%} of them "
            f"trained on; {self.n_truncated:,} truncated, {self.n_dropped:,} more dropped as too long"
        )


def encode_conversations(
    conversations: Iterable[Conversation],
    tokenizer: Tokenizer,
    max_len: int,
    answer_tokens: int | None = None,
) -> tuple[list[EncodedConversation], EncodingReport]:
    """Encode each conversation by :func:`encode_conversation`; return those that fit, and a report on all.

    Raises
    ------
    ValueError
        If ``max_len`` is below 1, or the chat template of another model's tokenizer refuses a conversation, which is
        named by its source.
    """
    rows = []
    for conversation in conversations:
        try:
            rows.append(encode_conversation(conversation, tokenizer, max_len, answer_tokens))
        except ValueError as error:
            where = f"{conversation.source}: " if conversation.source else ""
            raise ValueError(f"{where}{error}") from error
    kept = [row for row in rows if row is not None]
    report = EncodingReport(
        n_conversations=len(kept),
        n_truncated=sum(row.n_turns_cut > 0 for row in kept),
        n_dropped=len(rows) - len(kept),
        n_tokens=sum(map(len, kept)),
        n_trained=sum(int((row.labels != IGNORE_INDEX).sum()) for row in kept),
    )
    return kept, report


def first_fit_decreasing(lengths: Sequence[int] | IntArray, capacity: int) -> IntArray:
    """Assign a row to each item, the longest items first, each to the first row that has room for it.

    This uses at most ``11/9 optimum + 6/9`` rows (Johnson 1973; Dósa 2007). Items of one length fill the rows in order,
    as many in each as fit, so all items of a length are placed at once.

    Returns
    -------
    IntArray
        The number of each item's row, ``(len(lengths),)``.

    Raises
    ------
    ValueError
        If an item is empty, or longer than ``capacity``.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    if len(sizes) and not 0 < sizes.min() <= sizes.max() <= capacity:
        raise ValueError(
            f"lengths are from {sizes.min()} to {sizes.max()}; allowed are 1 to {capacity}, the length of a row"
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


def pack_conversations(conversations: Sequence[EncodedConversation], max_len: int, pad_id: int = 0) -> Batch:
    """Fill rows of ``max_len`` tokens with complete conversations, by :func:`first_fit_decreasing`.

    Nothing is random, and conversations keep their order within a row. As long as attention is kept within each
    conversation (see :func:`~minillm_lib.training.rows.batch_loss`), each is treated as if it were alone.

    Raises
    ------
    ValueError
        If a conversation is longer than ``max_len``.
    """
    row_of = first_fit_decreasing([len(conversation) for conversation in conversations], max_len)
    rows: list[list[EncodedConversation]] = [[] for _ in range(int(row_of.max(initial=-1)) + 1)]
    for conversation, row in zip(conversations, row_of, strict=True):
        rows[row].append(conversation)
    return _filled(rows, max_len, pad_id)


def pad_conversations(
    conversations: Sequence[EncodedConversation], max_len: int | None = None, pad_id: int = 0
) -> Batch:
    """Fill each row with one conversation, padded on the right to ``max_len`` tokens (None: to the longest).

    Raises
    ------
    ValueError
        If a conversation is longer than ``max_len``.
    """
    longest = max(map(len, conversations), default=0)
    if max_len is not None and longest > max_len:
        raise ValueError(f"the longest conversation has {longest} tokens; max_len is {max_len}")
    return _filled([[conversation] for conversation in conversations], max_len or longest, pad_id)


def _filled(rows: Sequence[Sequence[EncodedConversation]], seq: int, pad_id: int) -> Batch:
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
    return Batch(*map(torch.from_numpy, (input_ids, labels, positions, segment_ids)))


@dataclass(frozen=True, slots=True)
class MaskExplanation:
    """The tokens of a conversation, and which of them are trained on.

    A notebook shows them in colour, and so does ``rich.print``.
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
        """Show trained tokens on green and the rest in grey, with a line per turn and a border around each token."""
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
        """Return the conversation with ``[[…]]`` around what is trained on."""
        runs = groupby(zip(self.is_trained, self.pieces, strict=True), key=lambda pair: pair[0])
        parts = ((trained, "".join(piece for _, piece in run)) for trained, run in runs)
        return "".join(f"[[{part}]]" if trained else part for trained, part in parts)


def explain_mask(conversation: Conversation, tokenizer: Tokenizer) -> MaskExplanation:
    """Show which tokens of a conversation the loss counts."""
    ids, mask = tokenizer.chat_ids_and_mask(conversation.messages)
    pieces = (tokenizer.vocabulary[token_id].replace("▁", " ") for token_id in ids)
    return MaskExplanation(tuple(pieces), tuple(mask))
