"""Files of arrays: what goes in comes out, of every dtype and size."""

from __future__ import annotations

import hashlib
import json
import os
import zlib

import numpy as np
import pytest

from minillm_lib.io.array_file import ArrayFileError, read_arrays, write_arrays


@pytest.mark.parametrize("compress", [False, True])
def test_arrays_of_every_dtype_and_shape_come_back(tmp_path, compress):
    rng = np.random.default_rng(0)
    arrays = {
        "float64": rng.normal(size=(30, 4)),
        "float32, in the order of Fortran": np.asfortranarray(rng.normal(size=(7, 5)).astype(np.float32)),
        "int32, every second": np.arange(20, dtype=np.int32)[::2],
        "uint64": np.array([2**64 - 1, 0], dtype=np.uint64),
        "bool": rng.random(9) < 0.5,
        "big-endian": np.arange(5, dtype=">i4"),
        "empty": np.zeros((0, 3)),
        "a single number": np.array(2.5),
        "large": rng.integers(5, size=5_000_000),
    }
    facts = {"name": "Zürich 数据", "numbers": [0.1, 2**60], "none": None}
    write_arrays(tmp_path / "file", "test", 3, facts, arrays, compress=compress)
    found_facts, found = read_arrays(tmp_path / "file", "test", 3)
    assert found_facts == facts
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
        assert found[name].dtype == array.dtype.newbyteorder("<")
        assert found[name].shape == array.shape
        assert found[name].flags.writeable


def test_the_header_has_the_hash_of_what_follows(tmp_path):
    write_arrays(tmp_path / "file", "test", 1, {}, {"a": np.arange(3)})
    first, rest = (tmp_path / "file").read_bytes().split(b"\n", 1)
    assert first == b"minillm-lib test 1 " + hashlib.sha256(rest).hexdigest().encode()


def test_the_same_content_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        write_arrays(tmp_path / name, "test", 1, {"b": 1}, {"a": np.arange(3)}, compress=True)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_objects_are_not_written_and_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(TypeError, match="dtype object cannot be written"):
        write_arrays(tmp_path / "file", "test", 1, {}, {"a": np.array([object()])})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\n", b"PK\x03\x04 zip", b"minillm-lib test x abc\n", b"a" * 1000])
def test_foreign_files_are_refused(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ArrayFileError, match="is not a file of the kind 'test' that minillm-lib writes"):
        read_arrays(tmp_path / "file", "test", 1)


def test_older_versions_are_left_to_the_reader(tmp_path):
    write_arrays(tmp_path / "file", "test", 1, {"old": True}, {})
    assert read_arrays(tmp_path / "file", "test", 2)[0] == {"old": True}


def hand_made(path, header, rest=b""):
    """Write a file whose hash is right, whatever it holds."""
    content = (header if isinstance(header, bytes) else json.dumps(header).encode()) + b"\n" + rest
    path.write_bytes(b"minillm-lib test 1 " + hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    return path


@pytest.mark.parametrize(
    ("header", "rest", "message"),
    [
        (b"no JSON", b"", "not as minillm-lib writes it"),
        (b"[" * 100_000, b"", "not as minillm-lib writes it"),
        ([], b"", "not as minillm-lib writes it"),
        ({"facts": [1], "arrays": [], "compressed": False}, b"", "not as minillm-lib writes it"),
        ({"facts": {}, "arrays": [["a", "O", [1]]], "compressed": False}, b"x" * 8, "has the type 'O'"),
        ({"facts": {}, "arrays": [["a", "<V8", [1]]], "compressed": False}, b"x" * 8, "has the type"),
        ({"facts": {}, "arrays": [["a", "<f8", [-1]]], "compressed": False}, b"", r"has the shape \[-1\]"),
        ({"facts": {}, "arrays": [["a", "<f8", [10**30]]], "compressed": False}, b"", "0 bytes cannot hold"),
        ({"facts": {}, "arrays": [["a", "<f8", [10**12]]], "compressed": True}, b"x" * 99, "cannot hold"),
        (
            {"facts": {}, "arrays": [["a", "<f8", [4]]], "compressed": True},
            b"no stream",
            "not as minillm-lib",
        ),
        (
            {"facts": {}, "arrays": [["a", "<f8", [4]]], "compressed": True},
            zlib.compress(b"short"),
            "ends before",
        ),
    ],
)
def test_a_file_made_by_hand_is_refused_in_words_and_takes_no_memory(tmp_path, header, rest, message):
    path = hand_made(tmp_path / "file", header, rest)
    with pytest.raises(ArrayFileError, match=message):
        read_arrays(path, "test", 1)


def test_what_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    write_arrays(tmp_path / "file", "test", 1, {}, {"zeros": np.zeros(10**6)}, compress=True)
    monkeypatch.setattr("minillm_lib.io.array_file.available_memory", lambda: 2**20)
    with pytest.raises(ArrayFileError, match=r"its arrays take 7.63 MiB, and 1 MiB of memory is available"):
        read_arrays(tmp_path / "file", "test", 1)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of Unix")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="named pipe"):
        read_arrays(tmp_path / "pipe", "test", 1)
