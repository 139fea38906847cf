from __future__ import annotations

import json
import re
import tracemalloc
from functools import cache

import numpy as np
import pytest
from faults.full_disk import failing_writes
from hypothesis import given, strategies as st

from minillm_lib.corpora.document import Document
from minillm_lib.io.write_errors import WriteError
from minillm_lib.tokenizer import Tokenizer
from minillm_lib.training.token_file import TokenFile, TokenFileError, WordIds, pack

TEXTS = [f"Topic {i} of the model: Dirichlet, Gibbs ▁ and 主题模型 🌹 {'x' * (i % 17)}\n" for i in range(300)]


@cache
def trained(model_type="bpe"):
    texts = [text + "  a\n   ab\tx  " for text in TEXTS]
    return Tokenizer.train(texts, vocab_size=400 if model_type == "bpe" else 325, model_type=model_type)


@pytest.fixture(scope="module")
def tokenizer():
    return trained()


@pytest.fixture
def packed(tokenizer, tmp_path):
    return pack(TEXTS, tokenizer, tmp_path / "tokens.bin", progress=False)


def test_every_document_comes_back(packed, tokenizer):
    assert len(packed) == len(TEXTS)
    for index, text in enumerate(TEXTS):
        ids = packed.document(index)
        assert ids[-1] == tokenizer.eos_id
        assert tokenizer.decode(ids) == text
    assert packed.tokens.dtype == np.uint16
    assert packed.tokens.tolist() == [i for text in TEXTS for i in tokenizer.encode(text, add_eos=True)]
    assert packed.metadata["corpus_bytes"] == sum(len(text.encode()) for text in TEXTS)
    packed.verify()


@pytest.mark.parametrize(("add_bos", "add_eos"), [(True, True), (True, False), (False, False)])
def test_special_tokens_are_added_as_asked(tokenizer, tmp_path, add_bos, add_eos):
    file = pack(TEXTS[:3], tokenizer, tmp_path / "t", add_bos=add_bos, add_eos=add_eos, progress=False)
    assert file.document(1).tolist() == tokenizer.encode(TEXTS[1], add_bos=add_bos, add_eos=add_eos)


def test_processes_and_kinds_of_input_do_not_change_the_bytes(tokenizer, tmp_path):
    texts = [text * 20 for text in TEXTS] * 12
    assert sum(map(len, texts)) > 3 << 20, "several batches"
    one = pack(texts, tokenizer, tmp_path / "one", n_jobs=1, progress=False)
    two = pack((Document(text) for text in texts), tokenizer, tmp_path / "two", n_jobs=2, progress=False)
    assert one.path.read_bytes() == two.path.read_bytes()
    assert len(two) == len(texts)
    assert two.tokens.tolist() == [i for t in texts for i in tokenizer.encode(t, add_eos=True)]
    two.verify()


@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
@given(
    text=st.text(st.sampled_from("aab  \n\t▁x主题🌹.") | st.characters(exclude_categories=["Cs"]), min_size=1)
)
def test_words_encoded_one_by_one_are_the_whole_text_encoded(model_type, text):
    tokenizer = trained(model_type)
    words = WordIds(tokenizer, "<u2")
    for _ in range(2):
        assert np.frombuffer(words.of_text(text), "<u2").tolist() == tokenizer.encode(text)


def test_memory_of_words_is_bounded(tokenizer):
    words = WordIds(tokenizer, "<u2", most=5)
    text = " ".join(map(str, range(100))) + " " + "long" * 50
    assert np.frombuffer(words.of_text(text), "<u2").tolist() == tokenizer.encode(text)
    assert len(words) <= 5


def test_a_large_vocabulary_takes_four_bytes_an_id(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(Tokenizer, "vocab_size", property(lambda _: (1 << 16) + 1))
    file = pack(TEXTS[:5], tokenizer, tmp_path / "t", progress=False)
    assert file.tokens.dtype == np.uint32
    assert file.document(4).tolist() == tokenizer.encode(TEXTS[4], add_eos=True)


def test_documents_are_streamed(tokenizer, tmp_path):
    """Packing 24 MB of text takes less memory than half of it."""
    text = "".join(TEXTS)[:8000]

    def documents():
        yield from (text for _ in range(3000))

    tracemalloc.start()
    try:
        pack(documents(), tokenizer, tmp_path / "t", n_jobs=2, progress=False)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12e6


def test_the_hashes_tell_corpora_and_tokenizers_apart(packed, tokenizer, tmp_path):
    other = pack(["ab", "c"], tokenizer, tmp_path / "other", progress=False)
    same_letters = pack(["a", "bc"], tokenizer, tmp_path / "same", progress=False)
    assert other.metadata["corpus_sha256"] != same_letters.metadata["corpus_sha256"]
    stranger = Tokenizer.train(TEXTS, vocab_size=401)
    with pytest.raises(TokenFileError, match=r"was packed with another tokenizer \(of 400 ids\)"):
        TokenFile(packed.path, stranger)
    assert TokenFile(packed.path).vocab_size == 400


def test_a_failure_leaves_the_earlier_file(packed, tokenizer):
    before = packed.path.read_bytes()

    def failing():
        yield TEXTS[0]
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        pack(failing(), tokenizer, packed.path, progress=False)
    with pytest.raises(ValueError, match="lone surrogate"):
        pack(["\ud800"], tokenizer, packed.path, progress=False)
    with pytest.raises(ValueError, match="nothing to pack"):
        pack(["", ""], tokenizer, packed.path, progress=False)
    assert packed.path.read_bytes() == before
    assert [path.name for path in packed.path.parent.iterdir()] == [packed.path.name]


def test_a_single_text_is_no_corpus(tokenizer, tmp_path):
    with pytest.raises(ValueError, match="a single text"):
        pack("text", tokenizer, tmp_path / "t")


@pytest.mark.parametrize("cut", [-1, -8, 1500, 1024, 500, 20])
def test_a_cut_file_is_found_on_opening(packed, cut):
    packed.path.write_bytes(packed.path.read_bytes()[:cut])
    with pytest.raises(TokenFileError, match="is damaged"):
        TokenFile(packed.path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_tokens", "12"),
        ("n_tokens", -1),
        ("n_tokens", True),
        ("n_documents", 10**30),
        ("vocab_size", None),
        ("dtype", ["uint16"]),
        ("dtype", "O"),
    ],
)
def test_a_header_with_other_values_is_damaged(packed, name, value):
    header = b"MINILLM-TOKENS\n" + json.dumps({**packed.metadata, name: value}).encode()
    packed.path.write_bytes(header.ljust(1024) + packed.path.read_bytes()[1024:])
    with pytest.raises(TokenFileError, match=f"is damaged: by its header, {name} is "):
        TokenFile(packed.path)


@pytest.mark.parametrize("header", [b"[1]", b"null", b"[" * 1000, b"{"])
def test_a_header_of_another_form_is_damaged(tmp_path, header):
    (tmp_path / "t").write_bytes((b"MINILLM-TOKENS\n" + header).ljust(1024))
    with pytest.raises(TokenFileError, match="t is damaged: its header"):
        TokenFile(tmp_path / "t")


def test_a_full_disk_names_the_file_and_leaves_the_earlier_one(packed, tokenizer):
    before = packed.path.read_bytes()
    with failing_writes(packed.path.parent) as counted:
        pack(TEXTS, tokenizer, packed.path, n_jobs=1, progress=False)
    for at in range(1, counted.n_writes + 1):
        with (
            failing_writes(packed.path.parent, at=at),
            pytest.raises(WriteError, match=r"tokens\.bin could not be written: the disk is full \(.* free"),
        ):
            pack(TEXTS[::-1], tokenizer, packed.path, n_jobs=1, progress=False)
        assert packed.path.read_bytes() == before
        assert [path.name for path in packed.path.parent.iterdir()] == ["tokens.bin"]


def test_a_corpus_that_cannot_be_read_is_not_called_a_full_disk(tokenizer, tmp_path):
    def documents():
        yield TEXTS[0]
        yield (tmp_path / "missing.txt").read_text()

    with pytest.raises(FileNotFoundError, match=r"missing\.txt"):
        pack(documents(), tokenizer, tmp_path / "t", progress=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", bytes(2000)])
def test_a_foreign_file_is_named_as_such(tmp_path, content):
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(TokenFileError, match="is no token file"):
        TokenFile(tmp_path / "t")
    with pytest.raises(FileNotFoundError):
        TokenFile(tmp_path / "nothing")


def test_another_version_is_refused(packed):
    content = packed.path.read_bytes()
    packed.path.write_bytes(content.replace(b'"version": 1', b'"version": 2'))
    with pytest.raises(TokenFileError, match="of version 2; only version 1 can be read"):
        TokenFile(packed.path)


def test_a_flipped_bit_anywhere_in_the_header_is_found_on_opening(packed):
    content = packed.path.read_bytes()
    for place in range(1024):
        altered = bytearray(content)
        altered[place] ^= 1 << place % 8
        packed.path.write_bytes(altered)
        with pytest.raises(TokenFileError, match=re.escape(str(packed.path))):
            TokenFile(packed.path)


def test_a_file_of_before_the_checksum_of_the_header_is_read(packed):
    content = packed.path.read_bytes()
    assert b"crc32" in content[:1024]
    header = b"MINILLM-TOKENS\n" + json.dumps(packed.metadata).encode()
    packed.path.write_bytes(header.ljust(1024) + content[1024:])
    assert TokenFile(packed.path).metadata == packed.metadata


@pytest.mark.parametrize("place", [1024, -3])
def test_an_altered_byte_is_found_by_verify(packed, place):
    content = bytearray(packed.path.read_bytes())
    content[place] ^= 1
    packed.path.write_bytes(content)
    with pytest.raises(TokenFileError, match="does not match the hash"):
        TokenFile(packed.path).verify()


def test_the_tokens_cannot_be_written_to(packed):
    with pytest.raises(ValueError, match="read-only"):
        packed.tokens[0] = 1
    with pytest.raises(IndexError, match="there is no document 300; allowed are 0 to 299"):
        packed.document(300)
