"""Text becomes token files once, and again only where the text or a file is no longer what it was."""

from __future__ import annotations

import json

import pytest
import torch
from filelock import FileLock
from quick_runs import write_conversations, write_documents

from minillm_lib.corpora.registry import load_corpus
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.tokenizer import Tokenizer
from minillm_lib.training import data as data_module
from minillm_lib.training.config import ConversationsConfig, DataConfig
from minillm_lib.training.data import (
    DataError,
    given_tokenizer,
    open_pretraining_data,
    prepare_conversations,
    prepare_pretraining_data,
)


@pytest.fixture
def documents(tmp_path):
    return write_documents(tmp_path / "documents.jsonl")


def recipe(documents, **more):
    return DataConfig.model_validate(
        {
            "corpora": [{"name": "files", "options": {"paths": str(documents)}}],
            "vocab_size": 320,
            "folder": documents.parent / "data",
            **more,
        }
    )


@pytest.fixture
def packing(monkeypatch):
    """The paths of the token files that are packed, in order."""
    paths = []
    sound = data_module.pack

    def pack(documents, tokenizer, path, **options):
        paths.append(path)
        return sound(documents, tokenizer, path, **options)

    monkeypatch.setattr(data_module, "pack", pack)
    return paths


def prepared(config):
    return prepare_pretraining_data(config, progress=False)


def test_the_files_hold_the_splits_of_the_corpus(documents):
    data = prepared(recipe(documents))
    for split in ("train", "validation"):
        texts = [document.text for document in load_corpus("files", split=split, paths=documents)]
        file = getattr(data, split)
        assert len(texts) == len(file) > 0
        assert [data.tokenizer.decode(file.document(i)) for i in range(len(file))] == texts
    assert data.tokenizer.vocab_size == 320


def test_one_recipe_is_packed_once(documents, packing):
    first, second = prepared(recipe(documents)), prepared(recipe(documents))
    assert [path.name for path in packing] == ["train.tokens", "validation.tokens"]
    assert first.fingerprint == second.fingerprint
    assert first.train.path == second.train.path


@pytest.mark.parametrize(
    "change", [{"vocab_size": 330}, {"tokenizer_megabytes": 0.001}, {"corpora": "twice"}], ids=str
)
def test_another_recipe_has_another_folder(documents, packing, change):
    if change == {"corpora": "twice"}:
        change = {"corpora": [*recipe(documents).model_dump()["corpora"]] * 2}
    first, second = prepared(recipe(documents)), prepared(recipe(documents, **change))
    assert first.train.path.parent != second.train.path.parent
    assert len(packing) == 4
    assert first.fingerprint == prepared(recipe(documents)).fingerprint, "each stays what it was"


def test_what_does_not_change_the_tokens_does_not_change_the_folder(documents):
    assert (
        prepared(recipe(documents)).train.path == prepared(recipe(documents, document_mask=True)).train.path
    )


def test_changed_text_is_packed_again_with_a_tokenizer_of_its_own(documents, packing):
    before = prepared(recipe(documents)).fingerprint
    write_documents(documents, seed=1)
    after = prepared(recipe(documents)).fingerprint
    assert len(packing) == 4
    assert all(before[key] != after[key] for key in ("tokenizer", "train", "validation"))
    other = recipe(documents, folder=documents.parent / "elsewhere")
    assert prepared(other).fingerprint == after, "what was there before has left no trace"
    write_documents(documents)
    assert prepared(recipe(documents)).fingerprint == before


@pytest.mark.parametrize("name", ["train.tokens", "validation.tokens", "tokenizer.model"])
@pytest.mark.parametrize("damage", ["cut", "altered", "missing"])
def test_a_damaged_file_is_made_again_as_it_was(documents, packing, name, damage):
    before = prepared(recipe(documents))
    path = before.train.path.with_name(name)
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        end = b"" if damage == "cut" else bytes(byte ^ 1 for byte in content[-10:])
        path.write_bytes(content[:-10] + end)
    assert prepared(recipe(documents)).fingerprint == before.fingerprint
    assert path.read_bytes() == content
    assert len(packing) == 4


def test_other_processes_open_what_the_first_has_prepared(documents, monkeypatch):
    with pytest.raises(FileNotFoundError):
        open_pretraining_data(recipe(documents))
    facts = prepared(recipe(documents)).fingerprint
    monkeypatch.setattr(data_module, "load_corpus", None)  # they read no text
    assert open_pretraining_data(recipe(documents)).fingerprint == facts


def test_the_text_is_read_once_to_see_that_it_has_not_changed(documents, monkeypatch):
    prepared(recipe(documents))
    splits = []

    def counted(name, *, split, **options):
        splits.append(split)
        return load_corpus(name, split=split, **options)

    monkeypatch.setattr(data_module, "load_corpus", counted)
    prepared(recipe(documents))
    assert splits == ["train", "validation"]


def test_training_text_is_repeated_and_held_out_text_is_not(documents):
    corpus = {"name": "files", "options": {"paths": str(documents)}}
    once = prepared(recipe(documents))
    corpora = [{**corpus, "repeat": 2}, {"name": "grammar", "options": {"n": 40, "language": "en"}}]
    both = prepared(recipe(documents, corpora=corpora))
    n_train, n_validation = (
        sum(1 for _ in load_corpus("grammar", split=split, n=40, language="en"))
        for split in ("train", "validation")
    )
    assert len(both.train) == 2 * len(once.train) + n_train
    assert len(both.validation) == len(once.validation) + n_validation


def test_the_tokenizer_sees_a_sample_of_each_corpus(documents, monkeypatch):
    seen = []

    def train(texts, *, vocab_size):
        seen.extend(texts)
        raise ValueError("stop here")

    monkeypatch.setattr(Tokenizer, "train", train)
    corpora = [
        {"name": "files", "options": {"paths": str(documents)}},
        {"name": "grammar", "options": {"n": 2000, "language": "en"}},
        {"name": "grammar", "options": {"n": 3, "language": "zh"}},
    ]
    with pytest.raises(DataError, match="train split of files, grammar, grammar: stop here"):
        prepared(recipe(documents, corpora=corpora, tokenizer_megabytes=0.008))
    whole = [
        [document.text for document in load_corpus(corpus["name"], **corpus["options"])] for corpus in corpora
    ]
    for texts in whole[:2]:
        n_bytes = sum(len(text) for text in texts if text in set(seen))
        assert 5_000 < n_bytes < 13_000 < sum(map(len, texts)), "about what was asked for, of each"
    assert set(whole[2]) <= set(seen), "a small corpus is taken whole"
    assert [text for texts in whole for text in texts if text in set(seen)] == seen, "and in order"


def test_a_tokenizer_of_ones_own_is_used_wherever_it_comes_from(documents, tmp_path):
    own = Tokenizer.train(["a rose is a rose is a rose"] * 9, vocab_size=310)
    own.save(tmp_path / "folder")
    model = MiniLLM.from_preset("nano", vocab_size=310)
    model.save(tmp_path / "model.pt", own)
    model.save(tmp_path / "checkpoint", own)
    paths = [tmp_path / name for name in ("folder/tokenizer.model", "folder", "model.pt", "checkpoint")]
    data = [prepared(recipe(documents, tokenizer=path)) for path in paths]
    assert all(each.tokenizer == own for each in data)
    assert len({each.train.path for each in data}) == 1, "one tokenizer, one packing"
    unused = recipe(documents, tokenizer=paths[0], vocab_size=999, tokenizer_megabytes=3)
    assert prepared(unused).train.path == data[0].train.path


def test_a_tokenizer_that_is_not_there_is_named(documents, tmp_path):
    with pytest.raises(DataError, match=r"data.tokenizer=.*nowhere: there is no tokenizer"):
        prepared(recipe(documents, tokenizer=tmp_path / "nowhere"))
    MiniLLM.from_preset("nano", vocab_size=310).save(tmp_path / "bare.pt")
    with pytest.raises(DataError, match=r"bare.pt: this checkpoint holds no tokenizer"):
        given_tokenizer(tmp_path / "bare.pt")


@pytest.mark.parametrize(
    ("corpora", "message"),
    [
        ([{"name": "wikipedia"}], r"there is no corpus 'wikipedia'; the corpora are docstrings, "),
        (
            [{"name": "grammar", "options": {"size": 3}}],
            r"grammar has no option 'size'; allowed options: n, seed, language",
        ),
        (
            [{"name": "grammar", "options": {"n": 1, "language": "en"}}],
            r"the validation split of grammar: .*5 %",
        ),
        ([{"name": "files", "options": {"paths": "nowhere.txt"}}], "nowhere.txt"),
    ],
)
def test_text_that_is_not_there_is_named_with_its_corpus_and_split(documents, corpora, message):
    with pytest.raises((ValueError, OSError), match=message):
        prepared(recipe(documents, corpora=corpora, tokenizer=_saved_tokenizer(documents)))


def _saved_tokenizer(documents):
    texts = [json.loads(line)["text"] for line in documents.read_text().splitlines()]
    return Tokenizer.train(texts, vocab_size=320).save(documents.parent)


def test_whether_bars_are_shown_makes_no_other_text():
    quiet, loud = (
        DataConfig.model_validate({"corpora": [{"name": "docstrings", "options": options}]})
        for options in ({"progress": False}, {})
    )
    assert data_module._folder(quiet) == data_module._folder(loud)


def test_a_vocabulary_that_the_text_cannot_fill_is_an_error(documents):
    with pytest.raises(DataError, match=r"train split of files: vocab_size is 32000, but"):
        prepared(recipe(documents, vocab_size=32_000))


def test_a_process_that_waits_says_so(documents, monkeypatch):
    """A lock that is held elsewhere; it is let go as soon as the waiting has been announced."""
    config = recipe(documents)
    folder = prepared(config).train.path.parent
    lock = FileLock(folder / ".lock")
    lock.acquire()

    def release(text, **_):
        assert "another process is preparing this text" in text
        lock.release()

    monkeypatch.setattr(data_module, "print", release, raising=False)
    assert prepare_pretraining_data(config).train.path.parent == folder
    assert not lock.is_locked


@pytest.fixture
def tokenizer():
    return Tokenizer.train(["what is a topic model? it is a model of words"] * 9, vocab_size=310)


def sources(*values):
    return [ConversationsConfig.model_validate(value) for value in values]


def test_conversations_of_a_file_are_divided_by_hash(tmp_path, tokenizer):
    path = write_conversations(tmp_path / "a.jsonl", n=100)
    data = prepare_conversations(sources({"path": path, "held_out": 0.3}), tokenizer, 64)
    other = prepare_conversations(sources({"path": path, "held_out": 0.3}), tokenizer, 64)
    assert data.fingerprint == other.fingerprint
    (held_out,) = data.held_out.values()
    n_train, n_held_out = (int((rows[:].segment_ids.amax(dim=1)).sum()) for rows in (data.train, held_out))
    assert n_train + n_held_out == 100
    assert 15 < n_held_out < 45
    train_rows = {tuple(row) for row in data.train[:].input_ids.tolist()}
    held_out_rows = {tuple(row) for row in held_out[:].input_ids.tolist()}
    assert train_rows.isdisjoint(held_out_rows)


def test_what_a_run_remembers_of_its_conversations(tmp_path, tokenizer):
    path = write_conversations(tmp_path / "a.jsonl")
    first = prepare_conversations(sources({"path": path, "held_out": 0.3}), tokenizer, 64).fingerprint
    write_conversations(path, seed=1)
    second = prepare_conversations(sources({"path": path, "held_out": 0.3}), tokenizer, 64).fingerprint
    assert first["tokenizer"] == second["tokenizer"]
    assert first["train"] != second["train"]
    assert first["held_out"] != second["held_out"]


def test_sources_are_mixed_as_configured(tmp_path, tokenizer):
    path = write_conversations(tmp_path / "a.jsonl", n=20)
    one = {"path": path, "held_out": 0.3, "most": 5, "repeat": 3}
    data = prepare_conversations(sources(one, {"name": "course-faq", "most": 7}), tokenizer, 512)
    assert list(data.held_out) == [str(path), "course-faq"]
    assert int(data.train[:].segment_ids.amax(dim=1).sum()) == 5 * 3 + 7
    assert data.summary.startswith("22 conversations")


def test_rewordings_take_the_place_of_the_questions_and_answers_are_broken_off(tmp_path, tokenizer):
    path = write_conversations(tmp_path / "a.jsonl", n=20)
    as_it_is = {"path": path, "held_out": 0.3}
    whole = prepare_conversations(sources(as_it_is), tokenizer, 512)
    n = int(whole.train[:].segment_ids.amax(dim=1).sum())
    noisy = {**as_it_is, "rewordings": 4, "answer_tokens": 2}
    data = prepare_conversations(sources(as_it_is, noisy), tokenizer, 512)
    batch = data.train[:]
    assert int(batch.segment_ids.amax(dim=1).sum()) == n + 4 * n
    assert batch.n_labels == whole.train[:].n_labels + 4 * n * 2
    assert data.fingerprint["train"] != whole.fingerprint["train"]
    assert data.fingerprint["held_out"] == whole.fingerprint["held_out"]
    for name, rows in data.held_out.items():
        torch.testing.assert_close(rows[[0]].labels, whole.held_out[name][[0]].labels)


def test_rewordings_without_questions_to_reword_are_named(tmp_path, tokenizer):
    path = tmp_path / "a.jsonl"
    turns = [{"role": role, "content": role} for role in ("user", "assistant") * 2]
    path.write_text(
        "\n".join(json.dumps({"conversations": turns, "n": n}) for n in range(9)), encoding="utf-8"
    )
    with pytest.raises(ValueError, match=r"a\.jsonl: rewordings=2 needs conversations of one question"):
        prepare_conversations(sources({"path": path, "rewordings": 2}), tokenizer, 64)


@pytest.mark.parametrize(
    ("source", "seq_len", "message"),
    [
        ({"held_out": 0.0}, 64, "no conversation is held out to evaluate on; set held_out"),
        ({"held_out": 0.3}, 4, "the training conversations: none of .* conversations fits into 4 tokens"),
        ({"held_out": 0.3, "options": {"fromat": "alpaca"}}, 64, "a.jsonl, options .*fromat"),
        ({"held_out": 0.3, "options": {"format": "alpaca"}}, 64, "a.jsonl"),
    ],
)
def test_conversations_that_cannot_be_used_are_named(tmp_path, tokenizer, source, seq_len, message):
    path = write_conversations(tmp_path / "a.jsonl")
    with pytest.raises(ValueError, match=message):
        prepare_conversations(sources({"path": path, **source}), tokenizer, seq_len)
