"""A checksum inside a ``tokenizer.model``, so that the file alone tells whether it is damaged.

The file is a protobuf message, a sequence of fields. The checksum is one field more at its end, the SHA-256 of all
before it, with a number that the format leaves to others; SentencePiece and other readers pass over it.
"""

from __future__ import annotations

import hashlib

_OF_SENTENCE_PIECE = bytes(
    field << 3 | 2 for field in range(1, 6)
)  # pieces, settings of training, normalisers
_FIELD = 1000  # of the numbers from 200, which extensions may use
_HEADER = bytes([_FIELD << 3 & 0x7F | 0x82, _FIELD >> 4, 32])  # the number with its kind, and the length
_LENGTH = len(_HEADER) + 32


def sealed(model: bytes) -> bytes:
    """Return a SentencePiece model with its checksum."""
    return model + _HEADER + hashlib.sha256(model).digest()


def unsealed(content: bytes) -> bytes:
    """Return the SentencePiece model of a file without its checksum; an older file has none.

    Raises
    ------
    ValueError
        If the model does not have that checksum, or there is something else beside the model.
    """
    model, header, digest = content[:-_LENGTH], content[-_LENGTH:-32], content[-32:]
    if header == _HEADER:
        if hashlib.sha256(model).digest() != digest:
            raise ValueError(
                "damaged: its checksum is that of another model; copy it again from where it came from"
            )
        return model
    if not _is_of_sentence_piece(content):
        raise ValueError("this is not a SentencePiece model, or it is damaged")
    return content


def _is_of_sentence_piece(content: bytes) -> bool:
    """Return whether a message has the fields of a SentencePiece model and no others."""
    position = 0
    while position < len(content):
        if content[position] not in _OF_SENTENCE_PIECE:
            return False
        length, position = _whole_number(content, position + 1)
        position += length
    return position == len(content)


def _whole_number(content: bytes, position: int) -> tuple[int, int]:
    """Read a number of seven bits per byte, the lowest first; return it and where it ends."""
    value = shift = 0
    while position < len(content):
        byte = content[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80 or shift > 63:
            break
    return value, position
