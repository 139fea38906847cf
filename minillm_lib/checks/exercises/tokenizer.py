"""The exercises of notebook 04: byte-pair encoding by hand, byte fallback, and compression."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from minillm_lib.checks.comparing import difference
from minillm_lib.checks.exercise import Exercise, Inputs

Pair = tuple[str, str]
Words = Mapping[tuple[str, ...], int]
_LETTERS = tuple("abdeghiklnorstu")
_SPACE = "▁"


def _merge_pair(pieces: Sequence[str], pair: Pair) -> list[str]:
    merged: list[str] = []
    i = 0
    while i < len(pieces):
        together = tuple(pieces[i : i + 2]) == tuple(pair)
        merged.append(pair[0] + pair[1] if together else pieces[i])
        i += 2 if together else 1
    return merged


def _merge_inputs(rng: np.random.Generator) -> Inputs:
    """Draw three equal pieces in succession, the pair twice, and a piece that only ends like the pair's first."""
    x, y, other = (str(letter) for letter in rng.choice(_LETTERS, size=3, replace=False))
    pair = (x, x) if rng.random() < 0.5 else (x, y)
    parts = [[x, x, x, other], [*pair, other], [other + x, pair[1], other], [x, y, x, other], [y, x, other]]
    return [piece for i in rng.permutation(len(parts)) for piece in parts[i]] + [y], pair


def _overlapping(pieces: Sequence[str], pair: Pair) -> list[str]:
    found = [tuple(pieces[i : i + 2]) == pair for i in range(len(pieces))]
    return [
        "".join(pair) if here else piece
        for piece, here, before in zip(pieces, found, [False, *found], strict=False)
        if here or not before
    ]


def _second_kept(pieces: Sequence[str], pair: Pair) -> list[str]:
    return ["".join(pair) if tuple(pieces[i : i + 2]) == pair else pieces[i] for i in range(len(pieces))]


def _replaced_in_text(pieces: Sequence[str], pair: Pair) -> list[str]:
    return " ".join(pieces).replace(" ".join(pair), "".join(pair)).split(" ")


def _first_only(pieces: Sequence[str], pair: Pair) -> list[str]:
    places = [i for i in range(len(pieces)) if tuple(pieces[i : i + 2]) == pair]
    if not places:
        return list(pieces)
    return [*pieces[: places[0]], "".join(pair), *pieces[places[0] + 2 :]]


def _from_the_right(pieces: Sequence[str], pair: Pair) -> list[str]:
    mirrored = _merge_pair([piece[::-1] for piece in pieces[::-1]], (pair[1][::-1], pair[0][::-1]))
    return [piece[::-1] for piece in mirrored[::-1]]


def _count_pairs(words: Words) -> Counter[Pair]:
    counts: Counter[Pair] = Counter()
    for pieces, count in words.items():
        for pair in pairwise(pieces):
            counts[pair] += count
    return counts


def _word_counts(rng: np.random.Generator) -> Inputs:
    """Draw words with equal pieces in succession, a pair that occurs twice, and a pair in both orders."""
    x, y, z = (str(letter) for letter in rng.choice(_LETTERS, size=3, replace=False))
    words = [(x, x, x, y), (y, x, y, x, z), (x + y, z), (z, y, x), (y, x + y, z)]
    counts = rng.permutation(np.arange(2, 12))[: len(words)].tolist()
    return (dict(zip(words, counts, strict=True)),)


def _same_counts(got: Any, expected: Any) -> str | None:
    """Compare counts in any kind of mapping; a count of 0 equals a missing entry."""
    if isinstance(got, Mapping):
        got = {pair: count for pair, count in got.items() if count != 0}
    return difference(got, dict(expected))


def _without_overlaps(words: Words) -> Counter[Pair]:
    counts: Counter[Pair] = Counter()
    for pieces, count in words.items():
        for pair in set(pairwise(pieces)):
            counts[pair] += count * (len(pieces) - len(_merge_pair(pieces, pair)))
    return counts


def _once_a_word(words: Words) -> Counter[Pair]:
    counts: Counter[Pair] = Counter()
    for pieces, count in words.items():
        for pair in set(pairwise(pieces)):
            counts[pair] += count
    return counts


def _across_words(words: Words) -> Counter[Pair]:
    row = [piece for pieces, count in words.items() for _ in range(count) for piece in pieces]
    return Counter(pairwise(row))


def _in_any_order(words: Words) -> Counter[Pair]:
    counts: Counter[Pair] = Counter()
    for (left, right), count in _count_pairs(words).items():
        counts[min(left, right), max(left, right)] += count
    return counts


def _single_pieces(words: Words) -> Counter[str]:
    return Counter({piece: sum(n * p.count(piece) for p, n in words.items()) for p in words for piece in p})


def _apply_merges(word: str, merges: Sequence[Pair]) -> list[str]:
    ranks = {(left, right): rank for rank, (left, right) in reversed(list(enumerate(merges)))}
    pieces = list(word)
    while known := ranks.keys() & set(pairwise(pieces)):
        pieces = _merge_pair(pieces, min(known, key=ranks.__getitem__))
    return pieces


def _longest_match(word: str, merges: Sequence[Pair]) -> list[str]:
    vocabulary = {left + right for left, right in merges}
    pieces = []
    while word:
        length = max((n for n in range(2, len(word) + 1) if word[:n] in vocabulary), default=1)
        pieces.append(word[:length])
        word = word[length:]
    return pieces


def _leftmost_first(word: str, merges: Sequence[Pair]) -> list[str]:
    known = set(merges)
    pieces = list(word)
    while places := [i for i in range(len(pieces) - 1) if (pieces[i], pieces[i + 1]) in known]:
        pieces[places[0] : places[0] + 2] = [pieces[places[0]] + pieces[places[0] + 1]]
    return pieces


def _last_learned_first(word: str, merges: Sequence[Pair]) -> list[str]:
    return _apply_merges(word, merges[::-1])


def _each_once(word: str, merges: Sequence[Pair]) -> list[str]:
    pieces = list(word)
    for pair in merges:
        pieces = _first_only(pieces, pair)
    return pieces


def _until_one_is_missing(word: str, merges: Sequence[Pair]) -> list[str]:
    pieces = list(word)
    for pair in merges:
        merged = _merge_pair(pieces, pair)
        if merged == pieces:
            break
        pieces = merged
    return pieces


def _one_pass(word: str, merges: Sequence[Pair]) -> list[str]:
    """Apply merges like :func:`_apply_merges`, except where a later merge makes an earlier one possible."""
    pieces = list(word)
    for pair in merges:
        pieces = _merge_pair(pieces, pair)
    return pieces


_WRONG_ORDERS = (_longest_match, _leftmost_first, _last_learned_first, _each_once, _until_one_is_missing)


def _learned(words: Words, n_merges: int) -> list[Pair]:
    merges: list[Pair] = []
    for _ in range(n_merges):
        counts = _count_pairs(words)
        merges.append(min(counts, key=lambda pair: (-counts[pair], pair)))
        words = {tuple(_merge_pair(pieces, merges[-1])): count for pieces, count in words.items()}
    return merges


def _word_and_merges(rng: np.random.Generator) -> Inputs:
    """Draw merges learned from random words, and a word for which every wrong order gives another result."""
    while True:
        letters = rng.choice(_LETTERS, size=4, replace=False)
        texts = ["".join(rng.choice(letters, size=rng.integers(4, 9))) for _ in range(20)]
        merges = _learned({tuple(text): int(rng.integers(1, 9)) for text in texts}, 12)
        for _ in range(20):
            word = "".join(rng.choice(letters, size=24))
            right = _apply_merges(word, merges)
            answers = {tuple(right), *(tuple(wrong(word, merges)) for wrong in _WRONG_ORDERS)}
            if right == _one_pass(word, merges) and len(answers) == 1 + len(_WRONG_ORDERS):
                return word, merges


_SNIPPETS = ("naïve", "主题", "模型", "🌹", "▁", "\n", "é", "🧶", "\t", "α", "…")
_LEARNED = ("▁rose", "rose", "▁", "s", "▁the", "topic", "▁model", ",", "ing", "▁a")


def _pieces(rng: np.random.Generator) -> Inputs:
    """Draw learned pieces, characters as bytes, including U+2581, and two bytes that are not a character."""
    parts = [[str(piece)] for piece in rng.choice(_LEARNED, size=6)]
    texts = [*rng.choice(_SNIPPETS, size=3, replace=False).tolist(), "▁", "🌹"]
    parts += [[f"<0x{byte:02X}>" for byte in text.encode()] for text in texts]
    parts.append(["<0xF0>", "<0x9F>"])
    ordered = [piece for i in rng.permutation(len(parts)) for piece in parts[i]]
    return (["▁a", *ordered, "▁rose"],)


_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


def _bytes_of(piece: str) -> bytes:
    found = _BYTE.fullmatch(piece)
    return bytes([int(found[1], 16)]) if found else piece.replace(_SPACE, " ").encode()


def _decode_pieces(pieces: Sequence[str]) -> str:
    return b"".join(map(_bytes_of, pieces)).decode(errors="replace")


def _as_characters(pieces: Sequence[str]) -> str:
    return "".join(
        chr(int(found[1], 16)) if (found := _BYTE.fullmatch(piece)) else piece.replace(_SPACE, " ")
        for piece in pieces
    )


def _space_last(pieces: Sequence[str]) -> str:
    data = b"".join(bytes([int(m[1], 16)]) if (m := _BYTE.fullmatch(p)) else p.encode() for p in pieces)
    return data.decode(errors="replace").replace(_SPACE, " ")


def _space_never(pieces: Sequence[str]) -> str:
    data = b"".join(bytes([int(m[1], 16)]) if (m := _BYTE.fullmatch(p)) else p.encode() for p in pieces)
    return data.decode(errors="replace")


_TEXTS = ("a topic model", "主题模型", "naïve Bayes", "词元的长度", "rotary positions", "注意力就是加权平均")


def _texts_and_ids(rng: np.random.Generator) -> Inputs:
    texts = [str(text) for text in rng.permutation(_TEXTS)[:4]]
    return texts, [rng.integers(8, 400, size=rng.integers(2, 4 + len(text))).tolist() for text in texts]


def _bytes_per_token(texts: Sequence[str], ids: Sequence[Sequence[int]]) -> float:
    return sum(len(text.encode()) for text in texts) / sum(map(len, ids))


EXERCISES = (
    Exercise(
        name="merge_pair",
        reference=_merge_pair,
        inputs=_merge_inputs,
        cases=12,
        misconceptions={
            _overlapping: "Where three equal pieces stand in a row, you use the middle one twice. A piece that has "
            "been merged is gone: go on after it, so that a a a becomes aa a.",
            _second_kept: "You put the merged piece in, and then its second half once more. Skip both pieces of the "
            "pair, not only the first.",
            _replaced_in_text: "You replace inside a joined text. There a piece that only *ends* like the first of "
            "the pair passes for it: with the pair (a, b), the pieces ca b become cab. Compare whole pieces.",
            _first_only: "You merge the first place only. Go on to the end of the list.",
            _from_the_right: "You go from right to left, so that a a a becomes a aa. Begin at the left.",
        },
    ),
    Exercise(
        name="count_pairs",
        points=2,
        reference=_count_pairs,
        inputs=_word_counts,
        compare=_same_counts,
        misconceptions={
            lambda words: _count_pairs(
                dict.fromkeys(words, 1)
            ): "You count each word once. A word that occurs "
            "nine times in the text brings each of its pairs nine times.",
            _once_a_word: "A pair that stands in a word twice counts twice; you count it once for each word.",
            _without_overlaps: "In a row of three equal pieces the pair stands at two places, and both count. You "
            "count how often it could be merged.",
            _across_words: "You count pairs across the border of two words. A piece never spans words, so only "
            "neighbours *within* a word make a pair.",
            _in_any_order: "You count (a, b) and (b, a) as one. They would become different pieces, ab and ba.",
            _single_pieces: "You count single pieces. Count neighbours: `zip(pieces, pieces[1:])` gives them.",
        },
    ),
    Exercise(
        name="apply_merges",
        points=3,
        reference=_apply_merges,
        inputs=_word_and_merges,
        misconceptions={
            _longest_match: "You take the longest known piece from the left. That is WordPiece's way; here the "
            "*order* of the merges decides, not the length of what comes out.",
            _leftmost_first: "You merge the leftmost pair that is in the list. Of all pairs present, the one that "
            "was learned *first* comes first, wherever it stands.",
            _last_learned_first: "You prefer the merges that were learned last. Training began with the first, "
            "and the later ones were counted on what it had left.",
            _each_once: "You merge each pair at one place only. A word can hold it more than once.",
            _until_one_is_missing: "You stop at the first merge that this word does not have. Pass over it: later "
            "ones may still apply.",
        },
    ),
    Exercise(
        name="decode_pieces",
        points=2,
        reference=_decode_pieces,
        inputs=_pieces,
        misconceptions={
            _as_characters: "You make a character of each byte by its number, as in Latin-1. In UTF-8 a character "
            "beyond ASCII takes two to four bytes: collect the bytes first.",
            lambda pieces: "".join(
                _bytes_of(piece).decode(errors="replace") for piece in pieces
            ): "You decode each "
            "byte for itself, but a single byte of a longer character means nothing. Join the bytes of *all* pieces, "
            "and decode once.",
            lambda pieces: b"".join(map(_bytes_of, pieces)).decode(
                errors="ignore"
            ): "You drop bytes that are no "
            'character. Then nobody sees that something was lost: put U+FFFD there, by `errors="replace"`.',
            _space_last: "You replace ▁ after decoding. Then the ▁ that came as three bytes, and so really stood in "
            "the text, becomes a space too. Replace it in the pieces.",
            _space_never: "The sign ▁ in a piece stands for a space, and you left it in the text.",
            lambda pieces: _decode_pieces(
                pieces
            ).strip(): "You strip white space at the ends. A space there belongs "
            "to the text: decoding must give back all of it.",
            lambda pieces: "".join(pieces).replace(
                _SPACE, " "
            ): "You left pieces like `<0xF0>` as they are. Each "
            "of them is one byte, whose value stands in it as two hexadecimal digits.",
        },
    ),
    Exercise(
        name="bytes_per_token",
        reference=_bytes_per_token,
        inputs=_texts_and_ids,
        misconceptions={
            lambda texts, ids: (
                sum(map(len, texts)) / sum(map(len, ids))
            ): "You count characters. In UTF-8 an é has "
            "two bytes and a Chinese character three: `len(text.encode())` counts them.",
            lambda texts, ids: float(
                np.mean([len(text.encode()) / len(own) for text, own in zip(texts, ids, strict=True)])
            ): "You average over the texts, so that a short one counts as much as a long one. Divide all bytes by all "
            "tokens.",
            lambda texts, ids: (
                sum(map(len, ids)) / sum(len(text.encode()) for text in texts)
            ): "That is tokens a byte. Turn the fraction round.",
            lambda texts, ids: (
                sum(len(text.encode()) for text in texts) / len({i for own in ids for i in own})
            ): "You count each id once, however often it occurs. Count tokens, not the different ones.",
        },
    ),
)
