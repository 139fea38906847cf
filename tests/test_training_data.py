"""Text becomes token files once, and again only where the text or a file is no longer what it was."""

from __future__ import annotations

import json

import pytest
import torch
from filelock import FileLock
from foreign_models import save_tokenizer
from quick_runs import write_conversations, write_documents
from safetensors.torch import load_file

from minillm_lib.corpora.registry import load_corpus
from minillm_lib.model.checkpoint import CheckpointError, load_checkpoint
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.tokenizer import Tokenizer
from minillm_lib.training import corpus_text as text_module, data as data_module
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
    monkeypatch.setattr(text_module, "load_corpus", None)  # they read no text
    assert open_pretraining_data(recipe(documents)).fingerprint == facts


def test_the_text_is_read_once_to_see_that_it_has_not_changed(documents, monkeypatch):
    prepared(recipe(documents))
    splits = []

    def counted(sound):
        def load(*arguments, split, **options):
            splits.append(split)
            return sound(*arguments, split=split, **options)

        return load

    for name in ("load_corpus", "load_files"):
        monkeypatch.setattr(text_module, name, counted(getattr(text_module, name)))
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

    def train(texts, *, vocab_size, or_fewer):
        assert (vocab_size, or_fewer) == (320, False)
        seen.extend(texts)
        raise ValueError("stop here")

    monkeypatch.setattr(Tokenizer, "train", train)
    corpora = [
        {"name": "files", "options": {"paths": str(documents)}},
        {"name": "grammar", "options": {"n": 2000, "language": "en"}},
        {"name": "grammar", "options": {"n": 3, "language": "zh"}},
    ]
    with pytest.raises(
        DataError, match=r"train split of files, grammar, grammar, [\d,]+ documents \(.*\): stop here"
    ):
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


def foreign_tokenizer(folder, **config):
    """A tokenizer of others whose model expects a token before every text, unless the configuration says otherwise."""
    save_tokenizer(folder)
    path = folder / "tokenizer_config.json"
    own = {"bos_token": "<|im_start|>", "add_bos_token": True, **config}
    path.write_text(json.dumps(json.loads(path.read_text()) | own), encoding="utf-8")
    return folder


def test_documents_begin_and_end_as_the_texts_that_a_model_is_given(documents, tmp_path):
    folder = foreign_tokenizer(tmp_path / "begun")
    data = prepared(recipe(documents, vocab_size=None, tokenizer=folder))
    texts = [document.text for document in load_corpus("files", split="train", paths=documents)]
    for i, text in enumerate(texts):
        given = data.tokenizer.encode(text, add_bos=data.tokenizer.begins_with_bos)
        assert given[0] == data.tokenizer.bos_id == 1
        assert data.train.document(i).tolist() == [*given, data.tokenizer.eos_id]


def test_tokenizers_that_differ_in_what_is_around_a_text_share_no_token_files(documents, tmp_path):
    configs = {
        "begun": {},
        "not begun": {"add_bos_token": False},
        "another beginning": {"bos_token": "<|endoftext|>"},
        "another end": {"eos_token": "<|endoftext|>"},
    }
    data = [
        prepared(recipe(documents, vocab_size=None, tokenizer=foreign_tokenizer(tmp_path / name, **config)))
        for name, config in configs.items()
    ]
    assert len({each.tokenizer.sha256 for each in data}) == 1
    around = [(int(each.train.document(0)[0]), int(each.train.document(0)[-1])) for each in data]
    assert around[0] == (1, 2)
    assert around[1] == (int(data[0].train.document(0)[1]), 2)
    assert around[2:] == [(0, 2), (1, 0)]


def test_the_tokenizer_of_a_checkpoint_is_found_wherever_the_checkpoint_is(tmp_path):
    own = Tokenizer.train(["a rose is a rose is a rose"] * 9, vocab_size=310)
    model = MiniLLM.from_preset("nano", vocab_size=310)
    model.save(tmp_path / "folder", own)
    weights = tmp_path / "folder" / "model.safetensors"
    assert given_tokenizer(weights) == load_checkpoint(weights).tokenizer == own
    torch.save(load_file(weights), tmp_path / "folder" / "pytorch_model.bin")
    weights.unlink()
    assert given_tokenizer(tmp_path / "folder" / "pytorch_model.bin") == own
    (tmp_path / "folder").rename(tmp_path / ".folder.previous")  # as an interrupted replacement leaves it
    assert (
        given_tokenizer(tmp_path / "folder") == load_checkpoint(tmp_path / "folder", verify=False).tokenizer
    )
    with pytest.raises(CheckpointError, match=r"nowhere.model\.safetensors: there is nothing here"):
        given_tokenizer(tmp_path / "nowhere" / "model.safetensors")


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
        ([{"name": "files", "options": {"paths": "nowhere.txt"}}], "nowhere.txt"),
    ],
)
def test_text_that_is_not_there_is_named_with_its_corpus_and_split(documents, corpora, message):
    with pytest.raises((ValueError, OSError), match=message):
        prepared(recipe(documents, corpora=corpora, tokenizer=_saved_tokenizer(documents)))


def test_text_of_which_nothing_can_be_held_out_is_an_error_with_counts(tmp_path):
    (tmp_path / "one.txt").write_text("ab")
    config = recipe(tmp_path / "one.txt")
    message = r"the validation split of files holds no text: 1 part \(2 characters\) to train on, 0 documents \(0 char"
    with pytest.raises(DataError, match=message):
        prepared(config)


@pytest.mark.parametrize("n", [1, 5, 30])
def test_few_documents_are_parted_and_it_is_said_with_counts(tmp_path, capsys, n):
    folder = tmp_path / "texts"
    folder.mkdir()
    for i in range(n):
        words = " ".join(f"word{(i * j) % 37} of topic {j % 11}" for j in range(4000 // n))
        (folder / f"{i}.txt").write_text(f"{i} {words}")
    data = prepare_pretraining_data(recipe(folder, vocab_size=None))
    said = capsys.readouterr().out
    held_out = list(load_corpus("files", split="validation", paths=folder))
    assert len(data.validation) == len(held_out) > 0
    assert len(data.train) == n if n < 20 else 0.8 * n < len(data.train) < n
    assert f"{sum(len(each.text) for each in held_out):,} characters) held out" in said
    assert ("each was cut" in said) == (n < 20)


def test_without_a_size_the_largest_vocabulary_is_taken_and_it_is_said(documents, capsys):
    data = prepare_pretraining_data(recipe(documents, vocab_size=None))
    assert 264 < data.tokenizer.vocab_size < 6400
    assert f"yields only {data.tokenizer.vocab_size} pieces" in capsys.readouterr().out


def _saved_tokenizer(documents):
    texts = [json.loads(line)["text"] for line in documents.read_text().splitlines()]
    return Tokenizer.train(texts, vocab_size=320).save(documents.parent)


def test_whether_bars_are_shown_makes_no_other_text():
    quiet, loud = (
        DataConfig.model_validate({"corpora": [{"name": "docstrings", "options": options}]})
        for options in ({"progress": False}, {})
    )
    assert data_module.folder_of(quiet) == data_module.folder_of(loud)


@pytest.mark.parametrize("progress", [False, True])
def test_without_progress_the_corpora_show_no_bars_either(tmp_path, capsys, monkeypatch, progress):
    monkeypatch.delenv("MINILLM_PROGRESS", raising=False)
    options = {"packages": {"numpy": ["numpy.linalg"]}, "cache_dir": str(tmp_path / "cache")}
    recipe = {"corpora": [{"name": "docstrings", "options": options}], "vocab_size": 400, "folder": tmp_path}
    prepare_pretraining_data(DataConfig.model_validate(recipe), progress=progress)
    assert ("reading docstrings" in capsys.readouterr().err) is progress


def test_a_vocabulary_that_the_text_cannot_fill_is_an_error(documents):
    with pytest.raises(
        DataError,
        match=r"train split of files, \d+ documents .*: vocab_size is 32000, but .* data.vocab_size",
    ):
        prepared(recipe(documents, vocab_size=32_000))


def test_a_process_that_waits_says_so(documents, monkeypatch):
    """A lock that is held elsewhere; it is let go as soon as the waiting has been announced."""
    config = recipe(documents)
    folder = prepared(config).train.path.parent
    lock = FileLock(folder / ".lock")
    lock.acquire()

    def release(text, **_):
        if lock.is_locked:
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
    assert "\n22 conversations of " in data.summary
    assert f"{path}: 5 conversations to train on, " in data.summary
    assert "held out; repeated 3 times" in data.summary
    assert "not read beyond the first 5 to train on (most: 5)" in data.summary


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


@pytest.mark.parametrize(
    ("n_longer", "said"),
    [(0, None), (1, "1 conversation"), (3, "3 conversations")],
)
def test_conversations_that_cannot_be_reworded_are_counted(tmp_path, tokenizer, n_longer, said):
    path = write_conversations(tmp_path / "a.jsonl", n=20)
    question, answer = ({"role": role, "content": role} for role in ("user", "assistant"))
    longer = [[{"role": "system", "content": "be brief"}, question, answer], [question, answer] * 2]
    with path.open("a", encoding="utf-8") as file:
        for i in range(n_longer):
            file.write(json.dumps({"conversations": longer[i % 2], "n": i}) + "\n")
    source = {"path": path, "rewordings": 2, "held_out": 0.0}
    faq = {"name": "course-faq", "most": 2}
    summary = prepare_conversations(sources(source, faq), tokenizer, 512).summary
    (line,) = (each for each in summary.splitlines() if "rewordings" in each)
    assert "replaced by 40 rewordings" in line
    ending = "rewordings" if said is None else f"; left out: {said} of more than one question and one answer"
    assert line.endswith(ending)


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
        (
            {"held_out": 0.0},
            64,
            "no conversation is held out to evaluate on; set held_out of .* has 60 .* 0 held out, with held_out: 0",
        ),
        ({"held_out": 0.3}, 4, "the training conversations: none of .* conversations fits into 4 tokens"),
        ({"held_out": 0.3, "options": {"fromat": "alpaca"}}, 64, "a.jsonl, options .*fromat"),
        ({"held_out": 0.3, "options": {"format": "alpaca"}}, 64, "a.jsonl"),
    ],
)
def test_conversations_that_cannot_be_used_are_named(tmp_path, tokenizer, source, seq_len, message):
    path = write_conversations(tmp_path / "a.jsonl")
    with pytest.raises(ValueError, match=message):
        prepare_conversations(sources({"path": path, **source}), tokenizer, seq_len)


def test_too_many_broken_conversations_name_the_option_of_their_source(tmp_path, tokenizer):
    path = write_conversations(tmp_path / "a.jsonl")
    with path.open("a", encoding="utf-8") as file:
        file.write("broken\n" * 5)
    with pytest.raises(
        ValueError, match="raise the option max_faulty_share of the source, a share from 0 to 1"
    ):
        prepare_conversations(sources({"path": path, "held_out": 0.3}), tokenizer, 64)
    options = {"max_faulty_share": 0.1}
    prepare_conversations(sources({"path": path, "held_out": 0.3, "options": options}), tokenizer, 64)


def n_conversations(rows):
    return int(rows[:].segment_ids.amax(dim=1).sum())


@pytest.mark.parametrize("n", [2, 3, 30])
@pytest.mark.parametrize("seed", range(3))
def test_of_few_conversations_one_is_held_out_and_one_is_not(tmp_path, tokenizer, n, seed):
    path = write_conversations(tmp_path / "a.jsonl", n=n, seed=seed)
    for share in (0.001, 0.999):
        data = prepare_conversations(sources({"path": path, "held_out": share}), tokenizer, 64)
        (held_out,) = data.held_out.values()
        assert n_conversations(data.train) >= 1
        assert n_conversations(held_out) >= 1
        assert n_conversations(data.train) + n_conversations(held_out) == n
        assert (share > 0.1) or "so one is held out" in data.summary


def test_the_only_one_that_is_held_out_fits_into_a_row(tmp_path, tokenizer):
    """However the hashes fall: with eleven long ones of twelve, a choice by hash alone would be a long one."""
    turns = [{"instruction": "what is it", "output": f"a model {n} " * 40} for n in range(10)]
    turns += [{"instruction": "what is it", "output": f"a model {n}"} for n in range(2)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, turns)), encoding="utf-8")
    data = prepare_conversations(sources({"path": tmp_path / "a.jsonl", "held_out": 1e-9}), tokenizer, 64)
    (held_out,) = data.held_out.values()
    assert (n_conversations(data.train), n_conversations(held_out)) == (1, 1)
    assert "0 truncated, 10 more dropped as too long" in data.summary


def test_copies_are_not_on_both_sides_unless_there_is_nothing_else(tmp_path, tokenizer):
    one, other = ({"instruction": text, "output": text} for text in ("it is", "a topic"))
    path = tmp_path / "a.jsonl"
    for records, expected in (([one] * 3 + [other] * 3, (3, 3)), ([one] * 3, (2, 1))):
        path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
        data = prepare_conversations(sources({"path": path, "held_out": 1e-9}), tokenizer, 64)
        (held_out,) = data.held_out.values()
        assert n_conversations(data.train) == expected[0]
        assert n_conversations(held_out) == expected[1]


def test_one_conversation_cannot_be_divided_and_the_error_tells_counts_and_key(tmp_path, tokenizer):
    path = write_conversations(tmp_path / "a.jsonl", n=1)
    with pytest.raises(
        DataError, match=r"a\.jsonl has 1 conversation to train on, 0 held out, with held_out: 0\.02"
    ):
        prepare_conversations(sources({"path": path}), tokenizer, 64)


def test_several_paths_and_patterns_are_one_source(tmp_path, tokenizer):
    paths = [write_conversations(tmp_path / f"{seed}.jsonl", n=20, seed=seed) for seed in range(2)]
    for path in (tmp_path / "*.jsonl", list(map(str, paths)), tmp_path):
        data = prepare_conversations(sources({"path": path, "held_out": 0.1}), tokenizer, 64)
        assert "40 conversations from 2 files" in data.summary
        assert len(data.held_out) == 1


def test_what_was_read_and_changed_is_said_without_a_warning(tmp_path, tokenizer, recwarn):
    messages = [
        {"role": "system", "content": ""},
        {"role": "user", "content": "what is it"},
        {"role": "assistant", "content": "a model", "reasoning_content": "words"},
    ]
    lines = [json.dumps({"messages": messages, "n": n}) for n in range(5)]
    (tmp_path / "a.jsonl").write_text("\n".join([*lines, "{broken"]), encoding="utf-8")
    source = {"path": tmp_path / "a.jsonl", "options": {"reasoning": "drop"}}
    data = prepare_conversations(sources(source), tokenizer, 64)
    for line in (
        "5 conversations from 1 file (1 .jsonl)",
        "format: 5 messages",
        "5 empty system turns left out",
        "5 turns with reasoning, which is left out (reasoning: drop)",
        "1 record (16.67%) could not be used: malformed JSON (1)",
    ):
        assert line in data.summary
    assert not recwarn.list
    with pytest.raises(DataError, match=r"options \{'max_faulty': 1\}: .*max_faulty"):
        prepare_conversations(sources({**source, "options": {"max_faulty": 1}}), tokenizer, 64)


def test_minimind_sft_is_read_from_a_local_file_of_its_shape(tmp_path, tokenizer):
    def turn(role, content, **more):
        return {
            "role": role,
            "content": content,
            "reasoning_content": "",
            "tools": "",
            "tool_calls": "",
            **more,
        }

    calling = [
        turn("system", "", tools='[{"type": "function", "function": {"name": "words"}}]'),
        turn("user", "what is a topic"),
        turn(
            "assistant",
            "",
            tool_calls='[{"name": "words", "arguments": {"n": 2}}]',
            reasoning_content="topic",
        ),
        turn("tool", '{"words": "a b"}'),
        turn("assistant", "a model of words"),
    ]
    plain = [turn("system", ""), turn("user", "what is it"), turn("assistant", "a model")]
    lines = [json.dumps({"conversations": turns, "n": n}) for n in range(4) for turns in (plain, calling)]
    (tmp_path / "sft.jsonl").write_text("\n".join(lines), encoding="utf-8")
    options = {"path": str(tmp_path / "sft.jsonl")}
    data = prepare_conversations(sources({"name": "minimind-sft", "options": options}), tokenizer, 512)
    assert list(data.held_out) == ["minimind-sft"]
    for line in ("8 conversations from 1 file", "4 tool calls read as", "4 empty system turns left out"):
        assert line in data.summary
    assert "<tool_call>" in tokenizer.decode(data.train[:].input_ids.flatten().tolist()) + tokenizer.decode(
        data.held_out["minimind-sft"][:].input_ids.flatten().tolist()
    )
