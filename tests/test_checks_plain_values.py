"""Values cross to the grader as data: all that learners return arrives as it was, and stranger's bytes run nothing."""

from __future__ import annotations

import collections
import decimal
import fractions
import functools
import io
import json
import math
import pickle
import socket
import time

import numpy as np
import pytest
import torch
from scipy import sparse

from minillm_lib.checks.channel import _LENGTH, Channel, ChannelError, PatientChannel
from minillm_lib.checks.comparing import difference
from minillm_lib.checks.plain_values import PlainValueError
from minillm_lib.checks.remote_answer import GradersObjects


def sent(value):
    """A value after its way through a channel."""
    stream = io.BytesIO()
    keeper = GradersObjects()
    Channel(stream, stream, keeper).send(value=value)
    stream.seek(0)
    return Channel(stream, stream, keeper).receive()["value"]


VALUES = [
    None, True, 0, -(10**5000), 1.5, math.inf, -0.0, 3 + 4j, "", "\ud800 ü \x00", b"\xff",
    bytearray(b"x"), range(5, 1, -2),
    [1, [2, (3,)]], {1: "a", (2, 3): [4]}, {1, 2}, frozenset("ab"), collections.Counter("aab"),
    fractions.Fraction(1, 3), decimal.Decimal("1.10"), np.float32(1.5), np.int64(3), np.bool_(True),
    np.arange(6).reshape(2, 3),
    np.array(2.5), np.zeros((0, 3)), np.array(["a", "bc"]), np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    sparse.csr_matrix(np.eye(3)), sparse.csc_array(np.eye(2)), torch.arange(6).reshape(2, 3), torch.tensor(1.5),
    torch.zeros(0, 2), torch.randn(3, 4).T, torch.tensor([1.5, 2], dtype=torch.bfloat16), torch.tensor([True]),
    torch.randn(2, requires_grad=True), torch.tensor([1 + 2j]),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__}")
def test_a_value_arrives_as_it_was(value):
    arrived = sent(value)
    assert type(arrived) is type(value)
    assert difference(arrived, value, rtol=0, atol=0) is None
    if hasattr(value, "dtype"):
        assert arrived.dtype == value.dtype


def test_an_array_of_objects_arrives_with_its_objects():
    arrived = sent(np.array([1, "a", None], dtype=object))
    assert (arrived.dtype, arrived.tolist()) == (object, [1, "a", None])


def test_lazy_values_arrive_as_such():
    assert list(sent(map(str, [1, 2]))) == ["1", "2"]
    assert list(sent({1: 2}.keys())) == [1]
    assert list(sent({1: 2}.items())) == [(1, 2)]


def test_arrays_that_arrive_can_be_written_to():
    array = sent(np.zeros(3))
    array[0] = 1
    assert array[0] == 1


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([0] * 300_001, "more than 300,000 items"),
        (range(10**30), "more than 300,000 items"),
        ("x" * 10_000_001, "longer than 10,000,000"),
        (1 << 200_000, "more than 60,000 digits"),
        (fractions.Fraction(1, 1 << 200_000), "more than 60,000 digits"),
        (decimal.Decimal("1e-999999"), "more than 50,000 digits"),
        (functools.reduce(lambda made, _: [made], range(200), 0), "nested more than 100 deep"),
    ],
    ids=["items", "range", "text", "digits", "fraction", "decimal", "depth"],
)
def test_values_that_would_keep_the_grader_busy_are_not_sent(value, reason):
    with pytest.raises(PlainValueError, match=reason):
        sent(value)


def test_who_does_not_read_keeps_nobody_waiting():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        channel = PatientChannel(ours.makefile("rb"), ours.makefile("wb"), GradersObjects())
        end = time.monotonic() + 0.2
        assert not channel.send_until(lambda: time.monotonic() > end, value=np.zeros(10**6))
        assert channel.receive_until(lambda: time.monotonic() > end) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff" * 40,
        b"[" * 50_000,
        json.dumps([{"value": ["a", "|O", [1], 0]}, [8]]).encode() + bytes(8),
        json.dumps([{"value": ["a", "<f8", [10**9], 0]}, [8]]).encode() + bytes(8),
        json.dumps([{"value": ["x", "load", [1], 0]}, [8]]).encode() + bytes(8),
        json.dumps([{"value": ["o", "pickled", "gASV"]}, []]).encode(),
        json.dumps([{"value": ["eval", "1"]}, []]).encode(),
        json.dumps([{"value": 3}, [-1]]).encode(),
        pickle.dumps([1]),
        json.dumps([{"value": ["D", "1e999999999"]}, []]).encode(),
        json.dumps([{"value": ["F", "0x" + "f" * 60_000, "0x3"]}, []]).encode(),
        json.dumps([{"value": ["sp", "csr", True, [2**40, 1], *[["a", "<i8", [0], 0]] * 3]}, [0]]).encode(),
        json.dumps(
            [{"value": functools.reduce(lambda tree, _: ["l", [tree]], range(200), None)}, []]
        ).encode(),
        b'[{"value": [' + b"[]," * 9_000_000 + b"0]}, []]",
    ],
    ids=range(15),
)
def test_bytes_that_are_no_message_are_refused(body):
    head = body.find(b"]", body.rfind(b"[")) + 2 if body.startswith(b"[{") else len(body)
    framed = _LENGTH.pack(head) + body
    stream = io.BytesIO(_LENGTH.pack(len(framed)) + framed)
    with pytest.raises(ChannelError):
        Channel(stream, stream, GradersObjects()).receive()


def test_a_message_is_not_larger_than_it_may_be():
    stream = io.BytesIO(_LENGTH.pack(2**60) + b"x")
    with pytest.raises(ChannelError, match="wrote into the channel"):
        Channel(stream, stream, GradersObjects()).receive()
