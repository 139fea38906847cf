"""Ids that others have encoded, against what packing the same texts gives."""

from __future__ import annotations

import numpy as np
import pytest
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


def test_a_text_without_ends_is_one_document_whose_end_is_held_out(tokenizer, encoded, tmp_path):
    ids = encoded[encoded != tokenizer.eos_id]
    path = written(tmp_path / "ids.bin", ids, "<u2")
    found = pack_ready_ids([path], tmp_path / "packed", tokenizer=tmp_path / "tokenizer", progress=False)
    assert (len(found.train), len(found.validation)) == (1, 1)
    assert [*found.train.tokens, *found.validation.tokens] == ids.tolist()
    assert len(found.validation.tokens) == round(0.05 * len(ids))


def test_the_header_of_llm_c_is_passed_over(encoded, tmp_path):
    header = np.zeros(256, dtype="<i4")
    header[:3] = 20240520, 1, len(encoded)
    path = tmp_path / "ids.bin"
    path.write_bytes(header.tobytes() + encoded.astype("<u2").tobytes())
    found = pack_ready_ids([path], tmp_path / "packed", tokenizer=tmp_path / "tokenizer", progress=False)
    assert len(found.train.tokens) + len(found.validation.tokens) == len(encoded)


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
        (np.array([7]), "ids.bin", {"kind": "<u1"}, "1 bytes, which is no multiple of 2"),
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
