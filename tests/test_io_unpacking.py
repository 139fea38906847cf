"""Compressed streams, unpacked piece by piece."""

from __future__ import annotations

import gzip
import random
import zlib

import pytest
from hypothesis import given, strategies as st

from minillm_lib.io.unpacking import Gunzip, is_too_dense, limit_from_environment


def unpacked(packed: bytes, step: int) -> bytes:
    """Unpack a stream that arrives in pieces."""
    stream = Gunzip()
    pieces = [
        piece for at in range(0, len(packed), step) for piece in stream.unpacked(packed[at : at + step])
    ]
    stream.finish()
    assert all(0 < len(piece) <= 1 << 20 for piece in pieces)
    return b"".join(pieces)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=3), st.integers(1, 400))
def test_members_one_after_the_other_give_what_was_packed(members, step):
    assert unpacked(b"".join(map(gzip.compress, members)), step) == b"".join(members)


def test_large_contents_come_in_pieces_of_a_megabyte():
    for content in (bytes((5 << 20) + 3), bytes(1 << 20), random.Random(0).randbytes(3 << 20)):
        packed = gzip.compress(content, 1)
        assert unpacked(packed, len(packed)) == unpacked(packed, 1 << 16) == content


@pytest.mark.parametrize("kept", [1, 9, 12, -9, -1])
def test_a_stream_that_is_cut_does_not_pass(kept):
    with pytest.raises(EOFError):
        unpacked(gzip.compress(b"some content")[:kept], 100)


def test_a_flipped_bit_anywhere_does_not_change_the_content():
    """The header's flags and the time in it are not covered by the checksum."""
    packed = gzip.compress(b"some content, and some more of it", mtime=0)
    for bit in range(8 * len(packed)):
        flipped = bytearray(packed)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            assert unpacked(bytes(flipped), 7) == b"some content, and some more of it"
        except (zlib.error, EOFError):
            continue


def test_the_ratio_counts_from_16_mib_on():
    assert not is_too_dense(1 << 24, 1, 200)
    assert is_too_dense((1 << 24) + 1, 1000, 200)
    assert not is_too_dense(1 << 30, 1 << 23, 200)


@pytest.mark.parametrize("value", ["0", "-1", "x", "nan", ""])
def test_a_limit_that_is_none_is_refused(monkeypatch, value):
    monkeypatch.setenv("SOME_LIMIT", value)
    with pytest.raises(ValueError, match=r"SOME_LIMIT is .*; allowed is a positive number"):
        limit_from_environment("SOME_LIMIT", 1.0)
    monkeypatch.setenv("SOME_LIMIT", "2e3")
    assert limit_from_environment("SOME_LIMIT", 1.0) == 2000
