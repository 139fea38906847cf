"""The exercises of notebook 04 on bytes: byte fallback, and compression."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs

_SPACE = "▁"

_SNIPPETS = ("naïve", "主题", "模型", "🌹", "▁", "\n", "é", "🧶", "\t", "α", "…")
_LEARNED = ("▁rose", "rose", "▁", "s", "▁the", "topic", "▁model", ",", "ing", "▁a")


def _pieces(rng: np.random.Generator) -> Inputs:
    """Draw learned pieces, characters as bytes, including U+2581, and often two bytes that are not a character."""
    parts = [[str(piece)] for piece in rng.choice(_LEARNED, size=6)]
    texts = [*rng.choice(_SNIPPETS, size=3, replace=False).tolist(), "▁", "🌹"]
    parts += [[f"<0x{byte:02X}>" for byte in text.encode()] for text in texts]
    if rng.random() < 0.6:
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


def _decoded(
    one: Callable[[str], bytes] = _bytes_of, errors: str = "replace"
) -> Callable[[Sequence[str]], str]:
    return lambda pieces: b"".join(map(one, pieces)).decode(errors=errors)


def _last_bytes_lost(pieces: Sequence[str]) -> str:
    end = next((i for i in range(len(pieces), 0, -1) if not _BYTE.fullmatch(pieces[i - 1])), 0)
    return _decode_pieces(pieces[:end])


def _each_alone(pieces: Sequence[str], errors: str = "replace") -> str:
    return "".join(_bytes_of(piece).decode(errors=errors) for piece in pieces)


def _all_in_brackets(piece: str) -> bytes:
    return bytes([int(piece[3:5], 16)]) if piece.startswith("<") else piece.replace(_SPACE, " ").encode()


def _written() -> dict[str, Inputs]:
    """Return edge cases; a byte is written as in ``<0xF0>``."""
    rose = [f"<0x{byte:02X}>" for byte in "🌹".encode()]
    return {
        "pieces that end with bytes": (["▁a", "▁rose", *rose],),
        "pieces that begin with bytes": ([*rose, "s", "▁a"],),
        "pieces with < that are no bytes": (["▁a", "▁<", "b", "<", "▁>"],),
        "an empty list": ([],),
        "bytes that break off at the end": (["rose", *rose[:3]],),
        "a ▁ that stood in the text": (["▁a", "<0xE2>", "<0x96>", "<0x81>", "▁"],),
        "bytes below 128": (["a", "<0x0A>", "<0x09>", "▁b"],),
        "spaces at both ends": (["▁", "▁a", "▁"],),
    }


_TEXTS = ("a topic model", "主题模型", "naïve Bayes", "词元的长度", "rotary positions", "注意力就是加权平均")


def _texts_and_ids(rng: np.random.Generator) -> Inputs:
    texts = [str(text) for text in rng.permutation(_TEXTS)[:4]]
    return texts, [rng.integers(8, 400, size=rng.integers(2, 4 + len(text))).tolist() for text in texts]


_BOTH: dict[str, Inputs] = {
    "a single text": (["naïve"], [[5, 9, 5]]),
    "texts in ASCII": (["a topic", "models"], [[1, 2, 3], [4]]),
    "an empty text without tokens": (["主题", ""], [[7, 7], []]),
    "more tokens than bytes": (["ab", "c"], [[1, 2, 3, 4], [1, 1]]),
}


def _quotient(
    texts: Sequence[str],
    ids: Sequence[Sequence[int]],
    /,
    *,
    above: str = "",
    below: str = "",
    whole: bool = False,
) -> float:
    size = {
        "characters": sum(map(len, texts)),
        "words": sum(len(text.split()) for text in texts),
        "utf-16": sum(len(text.encode("utf-16")) for text in texts),
        "utf-32": sum(len(text.encode("utf-32")) for text in texts),
        "ascii": sum(len(text.encode("ascii", "ignore")) for text in texts),
        "first": len(texts[0].encode()),
        "joined": len(" ".join(texts).encode()),
        "bits": 8 * sum(len(text.encode()) for text in texts),
    }.get(above, sum(len(text.encode()) for text in texts))
    tokens = {
        "different": len({token for own in ids for token in own}),
        "texts": len(texts),
        "values": sum(map(sum, ids)),
        "first": len(ids[0]),
        "one more": sum(len(own) + 1 for own in ids),
        "nothing": 1,
    }.get(below, sum(map(len, ids)))
    return size // tokens if whole else size / tokens


def _bytes_per_token(texts: Sequence[str], ids: Sequence[Sequence[int]]) -> float:
    return sum(len(text.encode()) for text in texts) / sum(map(len, ids))


BYTE_EXERCISES = (
    Exercise(
        name="decode_pieces",
        points=2,
        reference=_decode_pieces,
        edge_cases=_written,
        inputs=_pieces,
        hints=(
            "A character may be spread over several pieces, so nothing can be decoded piece by piece. What "
            "can be joined first?",
            'Turn every piece into *bytes*: one byte for `<0xF0>`, and `piece.replace("▁", " '
            '").encode()` for the '
            "others. Join all bytes, and decode once.",
            '`re.fullmatch(r"<0x[0-9A-F]{2}>", piece)` recognises a byte, `bytes([int(piece[3:5], '
            "16)])` makes it, and "
            '`data.decode(errors="replace")` comes last.',
        ),
        misconceptions={
            _as_characters: "You make a character of each byte by its number, as in Latin-1. In UTF-8 a "
            "character beyond ASCII takes two to four bytes: collect the bytes first.",
            _each_alone: "You decode each byte for itself, but a single byte of a longer character means "
            "nothing. Join the bytes of *all* pieces, and decode once.",
            lambda pieces: _each_alone(pieces, "ignore"): "You decode each byte for itself and drop what "
            "is no "
            'character. Join the bytes of *all* pieces, decode once, and put U+FFFD by `errors="replace"`.',
            _decoded(errors="ignore"): "You drop bytes that are no character. Then nobody sees that "
            "something was "
            'lost: put U+FFFD there, by `errors="replace"`.',
            _decoded(errors="strict"): "Bytes that make no character stop your code: `decode` needs "
            '`errors="replace"`, which puts U+FFFD there.',
            lambda pieces: _each_alone(pieces, "strict"): "You decode each byte for itself, and a single "
            "byte of a longer character cannot be decoded. Join the bytes of *all* pieces, and decode once.",
            _decoded(errors="backslashreplace"): "You write bytes that are no character as escapes. Put "
            "U+FFFD there, by "
            '`errors="replace"`.',
            lambda pieces: _decode_pieces(pieces).replace("\ufffd", "?"): "You put a question mark for "
            "bytes that are no "
            'character. Put U+FFFD there, by `errors="replace"`.',
            _space_last: "You replace ▁ after decoding. Then the ▁ that came as three bytes, and so "
            "really stood in the text, becomes a space too. Replace it in the pieces.",
            _space_never: "The sign ▁ in a piece stands for a space, and you left it in the text.",
            _decoded(lambda piece: _bytes_of(piece.replace(_SPACE, ""))): "You remove ▁. It stands for a "
            "space: replace it by one.",
            _last_bytes_lost: "Bytes at the very end are lost. If you collect bytes until another piece "
            "comes, decode what is left after the loop as well.",
            _decoded(_all_in_brackets): "You take every piece that begins with < for a byte. A piece like "
            "< may also be text: a byte has the form `<0x..>`, with two hexadecimal digits.",
            _decoded(lambda piece: b"" if _BYTE.fullmatch(piece) else _bytes_of(piece)): "You leave out "
            "the pieces that are bytes. Each is one byte of the text.",
            _decoded(lambda piece: b"\xef\xbf\xbd" if _BYTE.fullmatch(piece) else _bytes_of(piece)): "You "
            "put U+FFFD for every byte. Only bytes that make no character become that: join them, and "
            "decode.",
            lambda pieces: _decode_pieces(pieces).strip(): "You strip white space at the ends. A space "
            "there belongs to the text: decoding must give back all of it.",
            lambda pieces: _decode_pieces(pieces).removeprefix(" "): "You drop a space at the beginning. "
            "It belongs to the text: decoding must give back all of it.",
            lambda pieces: _decode_pieces(pieces).lstrip(): "You strip white space at the beginning. It "
            "belongs to the text: decoding must give back all of it.",
            lambda pieces: _decode_pieces(pieces).rstrip(): "You strip white space at the end. It belongs "
            "to the text: decoding must give back all of it.",
            lambda pieces: "".join(pieces).replace(_SPACE, " "): "You left pieces like `<0xF0>` as they "
            "are. Each of them is one byte, whose value stands in it as two hexadecimal digits.",
            lambda pieces: " ".join(_each_alone([piece]) for piece in pieces): "You put a space between "
            "the pieces. Where a space belongs, a piece has ▁.",
            lambda pieces: b"".join(map(_bytes_of, pieces)): "You return the bytes. The text is asked "
            "for: decode them.",
            lambda pieces: list(_decode_pieces(pieces)): "You return a list. The text is asked for, one "
            "string.",
        },
    ),
    Exercise(
        name="bytes_per_token",
        reference=_bytes_per_token,
        edge_cases=_BOTH,
        inputs=_texts_and_ids,
        hints=(
            "How many bytes have all texts together? And how many tokens?",
            "`len(text.encode())` are the bytes of a text, `len(own)` the tokens of a list of ids.",
            "Two sums, each over all texts, and one division at the end: no quotient for each text.",
        ),
        variant=_quotient,
        slips={
            ("above", "characters"): "You count characters. In UTF-8 an é has two bytes and a Chinese "
            "character three: `len(text.encode())` counts them.",
            ("above", "words"): "You count words. `len(text.encode())` counts the bytes of a text.",
            ("above", "utf-16"): "You count the bytes in UTF-16. In UTF-8 they are `len(text.encode())`.",
            ("above", "utf-32"): "You count the bytes in UTF-32. In UTF-8 they are `len(text.encode())`.",
            ("above", "ascii"): "You leave out all characters beyond ASCII. In UTF-8 they take two to "
            "four bytes each.",
            ("above", "first"): "You count the bytes of the first text only. Add up those of all texts.",
            ("above", "joined"): "You join the texts with something between them, and count that too.",
            ("above", "bits"): "You count bits, eight for each byte. Bytes are asked for.",
            ("below", "different"): "You count each id once, however often it occurs. Count tokens, not "
            "the different ones.",
            ("below", "texts"): "You divide by the number of texts. Divide by the number of tokens of all "
            "of them, `sum(len(own) for own in ids)`.",
            ("below", "values"): "You add up the ids themselves. Count them: `len(own)`.",
            ("below", "first"): "You count the tokens of the first text only. Add up those of all texts.",
            ("below", "one more"): "You count one token too many for each text. Count the ids as they are.",
            ("below", "nothing"): "Those are the bytes of all texts. Divide them by the number of tokens.",
            ("whole", True): "You divide with `//`, which rounds down to a whole number: `/`.",
        },
        misconceptions={
            lambda texts, ids: float(
                np.mean([len(text.encode()) / len(own) for text, own in zip(texts, ids, strict=True) if own])
            ): "You average over the texts, so that a short one counts as much as a long one. Divide all "
            "bytes by all tokens.",
            lambda texts, ids: float(
                np.mean(
                    [
                        len(text.encode()) / len(own) if own else 0.0
                        for text, own in zip(texts, ids, strict=True)
                    ]
                )
            ): "You average over the texts, empty ones included. Divide all bytes by all tokens.",
            lambda texts, ids: [
                len(text.encode()) / max(len(own), 1) for text, own in zip(texts, ids, strict=True)
            ]: ("You give a number for each text. Divide all bytes by all tokens."),
            lambda texts, ids: sum(map(len, ids)) / sum(len(text.encode()) for text in texts): "That is "
            "tokens per byte. Turn the fraction round.",
            lambda texts, ids: sum(map(len, ids)): "That is the number of tokens. Divide the bytes by it.",
        },
    ),
)
