"""Ids that others have encoded, against what packing the same texts gives."""

from __future__ import annotations

import numpy as np
import pytest
from foreign_models import save_tokenizer
from quick_runs import quick_pretraining, write_documents

from minillm_lib.tokenizer import Tokenizer
from minillm_lib.training.config import DataConfig
from minillm_lib.training.data import prepare_pretraining_data
from minillm_lib.training.ready_ids import IdsError, pack_ready_ids
from minillm_lib.training.stages import pretrain
from minillm_lib.training.token_file import TokenFile, pack

TEXTS = [f"the topic {i % 7} of document {i} draws a word " * (1 + i % 3) for i in range(200)]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(TEXTS, vocab_size=320)


@pytest.fixture
def encoded(tokenizer, tmp_path):
    """All ids in a row, each text ended by the end of text; and the folder of their tokenizer."""
    tokenizer.save(tmp_path / "tokenizer")
    return np.concatenate([tokenizer.encode(text, add_eos=True) for text in TEXTS])


def written(path, ids, dtype):
    if path.suffix == ".npy":
        np.save(path, ids.astype(dtype))
    else:
        ids.astype(dtype).tofile(path)
    return path


@pytest.mark.parametrize(
    ("name", "dtype", "options"),
    [
        ("ids.bin", "<u2", {}),
        ("ids.bin", ">u2", {"big_endian": True}),
        ("ids.bin", "<u4", {"dtype": "uint32"}),
        ("ids.npy", "<u2", {}),
        ("ids.npy", ">i8", {}),
        ("ids.npy", "<u4", {}),
    ],
)
def test_the_token_files_are_those_of_the_texts(tokenizer, encoded, tmp_path, name, dtype, options):
    path = written(tmp_path / name, encoded, dtype)
    found = pack_ready_ids(
        [path], tmp_path / "packed", tokenizer=tmp_path / "tokenizer", progress=False, **options
    )
    whole = pack(TEXTS, tokenizer, tmp_path / "whole.tokens", progress=False)
    assert np.concatenate([found.train.tokens, found.validation.tokens]).tolist() == whole.tokens.tolist()
    assert len(found.train) + len(found.validation) == len(TEXTS)
    assert 0.03 < len(found.validation.tokens) / len(whole.tokens) < 0.07
    assert found.train.document(3).tolist() == whole.document(3).tolist()
    assert any("held out" in note for note in found.notes)
    TokenFile(tmp_path / "packed" / "train.tokens", tokenizer).verify()


def test_each_row_of_a_matrix_is_a_document_without_the_padding_at_its_end(tokenizer, encoded, tmp_path):
    rows = np.full((len(TEXTS), 80), tokenizer.pad_id)
    for row, text in zip(rows, TEXTS, strict=True):
        ids = tokenizer.encode(text)
        row[: len(ids)] = ids
    held_out = written(tmp_path / "held_out.npy", rows[:4], "<u2")
    path = written(tmp_path / "rows.npy", rows, "<u2")
    options = {"tokenizer": tmp_path / "tokenizer", "validation": held_out, "progress": False}
    found = pack_ready_ids([path], tmp_path / "packed", **options)
    assert [tokenizer.decode(found.train.document(i)) for i in range(len(TEXTS))] == TEXTS
    assert len(found.validation) == 4
    n_padding = int((rows == tokenizer.pad_id).sum())
    assert any(f"{n_padding:,} of padding" in note for note in found.notes)


def test_where_ends_serve_as_padding_one_stays(tmp_path):
    """Without a token for padding, as in GPT-2 and Llama, rows are padded with the end of a text."""
    folder = save_tokenizer(tmp_path / "tokenizer", words=None)
    (folder / "tokenizer_config.json").unlink()
    tokenizer = Tokenizer.load(folder)
    assert tokenizer.pad_id == tokenizer.eos_id == 0
    rows = np.array([[5, 6, 0, 0], [5, 6, 7, 0], [5, 6, 7, 8], [5, 0, 6, 0], [0, 0, 0, 0]])
    path = written(tmp_path / "rows.npy", rows, "<u2")
    found = pack_ready_ids(
        [path], tmp_path / "packed", tokenizer=folder, validation=path, progress=False
    ).train
    documents = [found.document(i).tolist() for i in range(len(found))]
    assert documents == [[5, 6, 0], [5, 6, 7, 0], [5, 6, 7, 8], [5, 0, 6, 0]]


def test_a_text_without_ends_is_one_document_whose_end_is_held_out(tokenizer, encoded, tmp_path):
    ids = encoded[encoded != tokenizer.eos_id]
    path = written(tmp_path / "ids.bin", ids, "<u2")
    found = pack_ready_ids([path], tmp_path / "packed", tokenizer=tmp_path / "tokenizer", progress=False)
    assert (len(found.train), len(found.validation)) == (1, 1)
    assert [*found.train.tokens, *found.validation.tokens] == ids.tolist()
    assert len(found.validation.tokens) == round(0.05 * len(ids))


@pytest.mark.parametrize(("magic", "dtype"), [(20240520, "uint16"), (20240801, "uint32")])
def test_the_header_of_llm_c_is_passed_over_and_states_the_type(encoded, tmp_path, magic, dtype):
    header = np.zeros(256, dtype="<i4")
    header[:3] = magic, 1, len(encoded)
    path = tmp_path / "ids.bin"
    path.write_bytes(header.tobytes() + encoded.astype(dtype).tobytes())
    found = pack_ready_ids([path], tmp_path / "packed", tokenizer=tmp_path / "tokenizer", progress=False)
    assert np.concatenate([found.train.tokens, found.validation.tokens]).tolist() == encoded.tolist()
    assert (
        f"{path}: its header of 1,024 bytes, of llm.c, is passed over; by it, the ids are {dtype}"
        in found.notes
    )


@pytest.mark.parametrize("vocab_size", [320, 65_536, 100_000])
@pytest.mark.parametrize(
    ("held", "read", "option"),
    [
        ("<u4", {}, "--dtype uint32"),
        ("<i4", {}, "--dtype uint32"),
        ("<i8", {}, "--dtype int64"),
        (">u4", {}, "--dtype uint32 --big-endian"),
        (">i8", {"big_endian": True}, "--dtype int64 --big-endian"),
        ("<i8", {"dtype": "uint32"}, "--dtype int64"),
        ("<i8", {"dtype": "int32"}, "--dtype int64"),
    ],
)
def test_wide_ids_are_not_read_as_several_narrow_ones(tmp_path, held, read, option, vocab_size):
    """Each id would be followed by zeros, and both are of the vocabulary."""
    ids = np.random.default_rng(0).integers(0, vocab_size, 5000)
    path = tmp_path / "ids.bin"
    path.write_bytes(
        bytes(256) + b"\xff" * 16 + ids.astype(held).tobytes()
    )  # behind a header of another program
    with pytest.raises(IdsError, match=f"seems to hold {option.split()[1]}, not .*; {option} says so"):
        pack_ready_ids([path], tmp_path / "packed", vocab_size=vocab_size, progress=False, **read)
    assert not (tmp_path / "packed").exists()


@pytest.mark.parametrize("name", ["ids.bin", "ids.npy"])
def test_a_type_that_cannot_hold_the_vocabulary_is_refused(tmp_path, name):
    path = written(tmp_path / name, np.arange(65_536), "<u2")
    assert (
        pack_ready_ids([path], tmp_path / "packed", vocab_size=65_536, progress=False).train.vocab_size
        == 65_536
    )
    with pytest.raises(IdsError, match=r"uint16 cannot hold the 65,537 ids of the vocabulary.*--dtype"):
        pack_ready_ids([path], tmp_path / "other", vocab_size=65_537, progress=False)


def test_a_run_on_packed_ids_is_the_run_on_their_texts(tmp_path):
    config = quick_pretraining(tmp_path, write_documents(tmp_path / "documents.jsonl"), steps=3)
    text = prepare_pretraining_data(config.data, progress=False)
    paths = [
        written(tmp_path / f"{part}.bin", np.asarray(getattr(text, part).tokens), "<u2")
        for part in ("train", "validation")
    ]
    pack_ready_ids(
        paths[:1], tmp_path / "packed", tokenizer=text.train.path.parent, validation=paths[1], progress=False
    )
    expected = pretrain(config, progress=False)
    packed = config.replace(data=DataConfig(packed=tmp_path / "packed"), run=tmp_path / "other")
    found = pretrain(packed, progress=False)
    assert found.series("loss")[1].tolist() == expected.series("loss")[1].tolist()
    assert found.best["loss"] == expected.best["loss"]


@pytest.mark.parametrize(
    ("ids", "name", "options", "message"),
    [
        (None, "ids.bin", {}, "there is no file"),
        (np.array([5, 320]), "ids.bin", {}, r"id at position 1 is 320, and the vocabulary has 320 ids.*another tok"),
        (np.array([5, -1]), "ids.npy", {"kind": "<i4"}, "id at position 1 is -1"),
        (np.array([5, 300]), "ids.bin", {"kind": ">u2"}, "bytes in the other order, they would fit: --big-endian"),
        (np.array([5.5, 2.0]), "ids.npy", {"kind": "<f8"}, "holds float64 .* must hold integers"),
        (np.zeros((2, 2, 2)), "ids.npy", {}, r"of shape \(2, 2, 2\)"),
        (np.array([]), "ids.bin", {}, "holds no ids"),
        (np.array([7]), "ids.bin", {"kind": "<u1"}, "1 byte, which is no multiple of 2"),
    ],
)  # fmt: skip
def test_ids_that_cannot_be_right_are_named(encoded, tmp_path, ids, name, options, message):
    path = tmp_path / name
    if ids is not None:
        written(path, ids, options.get("kind", "<u2"))
    with pytest.raises(IdsError, match=message):
        pack_ready_ids([path], tmp_path / "packed", tokenizer=tmp_path / "tokenizer", progress=False)
    assert not (tmp_path / "packed").exists()


def test_a_size_alone_is_enough_to_pack_but_not_for_a_run(encoded, tmp_path):
    path = written(tmp_path / "ids.bin", encoded, "<u2")
    found = pack_ready_ids([path], tmp_path / "packed", vocab_size=320, eos_id=3, progress=False)
    assert found.train.vocab_size == 320
    with pytest.raises(ValueError, match=r"data.packed=.* holds no tokenizer.*--tokenizer"):
        prepare_pretraining_data(DataConfig(packed=tmp_path / "packed"))
    with pytest.raises(IdsError, match="give either --tokenizer"):
        pack_ready_ids([path], tmp_path / "packed", progress=False)


def test_packed_ids_take_the_place_of_corpora_and_tokenizer(tmp_path):
    with pytest.raises(ValueError, match="packed takes the place of vocab_size"):
        DataConfig(packed=tmp_path, vocab_size=300)
    with pytest.raises(ValueError, match="packed takes the place of corpora"):
        DataConfig.model_validate({"packed": tmp_path, "corpora": [{"name": "grammar"}]})
    with pytest.raises(ValueError, match=r"it has no train\.tokens"):
        prepare_pretraining_data(DataConfig(packed=tmp_path))
