"""Lists of checksums: what they find, and what is said of them when they are damaged themselves."""

from __future__ import annotations

import os
import threading
import time

import pytest

from minillm_lib.io.checksums import (
    CHECKSUM_FILE,
    ChecksumError,
    alongside,
    check_files,
    read_checksums,
    renew_if_listed,
    write_checksums,
)
from minillm_lib.io.regular_file import NotRegularFileError, check_regular

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "b c").write_bytes(b"x" * 100)
    (tmp_path / ".hidden").write_bytes(b"h")
    (tmp_path / "inner").mkdir()
    write_checksums(tmp_path)
    return tmp_path


def test_a_list_has_the_visible_files_of_a_folder(folder):
    listed = read_checksums(folder)
    assert list(listed) == ["a", "b c"]
    assert listed["a"] == "crc32 00000000"
    assert (folder / CHECKSUM_FILE).read_text().startswith(f"{EMPTY}  a\n")
    check_files(folder, listed)
    assert read_checksums(folder / "inner") is None


def test_single_checksums_are_added_and_renewed_beside_the_others(folder):
    (folder / "a").write_bytes(b"new")
    (folder / "b c").write_bytes(b"damaged")
    (folder / "d").write_bytes(b"d")
    renew_if_listed(folder, ["a", "d"])
    listed = read_checksums(folder)
    assert list(listed) == ["a", "b c", "d"]
    with pytest.raises(ChecksumError, match="b c: damaged or changed"):
        check_files(folder, listed)
    renew_if_listed(folder / "inner", ["nothing"])
    assert not (folder / "inner" / CHECKSUM_FILE).exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is not what was written"),
        (f"{EMPTY}  a".encode(), "it is not what was written"),
        (f"{EMPTY} a\n".encode(), "line 1 is not"),
        (f"{EMPTY}  a\n{EMPTY}  a\n".encode(), "line 2 is not"),
        (f"{EMPTY.upper()}  a\n".encode(), "line 1 is not"),
        (f"{EMPTY}  ../a\n".encode(), "line 1 is not"),
        (f"{EMPTY}  ..\n".encode(), "line 1 is not"),
        (f"{EMPTY}  a\0b\n".encode(), "line 1 is not"),
        (f"{EMPTY}  a\n# crc32 00000000  a\n".encode(), "its end is missing"),
        (f"{EMPTY}  a\n# crc32 00000000  b\n".encode(), "it is not what was written"),
        (f"{EMPTY}  a\n# crc32 00000000  SHA256SUMS\n".encode(), "it is not what was written"),
        (b"\xff\n", "can't decode"),
        (b" " * (1 << 21), "at most 1,048,576"),
    ],
    ids=range(13),
)
def test_a_damaged_list_is_named(folder, content, words):
    (folder / CHECKSUM_FILE).write_bytes(content)
    with pytest.raises(ChecksumError, match=words) as error:
        read_checksums(folder)
    assert str(folder / CHECKSUM_FILE) in str(error.value)


def test_a_list_of_sha256sum_is_read_too(folder):
    (folder / CHECKSUM_FILE).write_text(f"{EMPTY} *a\n")
    listed = read_checksums(folder)
    assert listed == {"a": EMPTY}
    check_files(folder, listed)
    (folder / "a").write_bytes(b"a")
    with pytest.raises(ChecksumError, match="a: damaged or changed"):
        check_files(folder, listed)


def test_what_is_not_a_file_has_no_checksum(folder):
    listed = read_checksums(folder)
    (folder / "a").unlink()
    os.mkfifo(folder / "a")
    with pytest.raises(ChecksumError, match=r"a is a named pipe \(FIFO\)"):
        check_files(folder, listed)
    (folder / "a").unlink()
    with pytest.raises(ChecksumError, match="a: missing, though SHA256SUMS lists it"):
        check_files(folder, listed)


def test_a_check_alongside_explains_the_errors_of_the_block():
    def fails(stop):
        raise ChecksumError("damaged")

    with pytest.raises(ChecksumError, match="damaged"), alongside(fails):
        pass
    with pytest.raises(ChecksumError, match="damaged"), alongside(fails):
        raise KeyError("a consequence")
    with pytest.raises(KeyError), alongside(lambda stop: None):
        raise KeyError("of its own")


def test_a_long_check_does_not_hold_an_error_for_long(monkeypatch):
    monkeypatch.setattr("minillm_lib.io.checksums._PATIENCE", 0.01)
    stopped = threading.Event()

    def endless(stop):
        stop.wait(60)
        stopped.set()

    began = time.monotonic()
    with pytest.raises(KeyError), alongside(endless):
        raise KeyError
    assert stopped.is_set()
    assert time.monotonic() - began < 30


def test_only_regular_files_of_a_size_are_files(tmp_path):
    (tmp_path / "file").write_bytes(b"123")
    (tmp_path / "link").symlink_to("file")
    assert check_regular(tmp_path / "link", at_most=3) == 3
    with pytest.raises(NotRegularFileError, match="file has 3 bytes; files of its kind have at most 2"):
        check_regular(tmp_path / "file", at_most=2)
    with pytest.raises(NotRegularFileError, match="is a folder; a file is expected"):
        check_regular(tmp_path)
    (tmp_path / "broken").symlink_to("nothing")
    with pytest.raises(FileNotFoundError):
        check_regular(tmp_path / "broken")
