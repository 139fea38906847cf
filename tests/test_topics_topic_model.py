from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from minillm_lib.corpora.document import Document
from minillm_lib.topics import GibbsLDA, TopicModel, bag_of_words
from minillm_lib.topics.export import export_model
from minillm_lib.topics.topic_model import check_model_folder
from minillm_lib.viz.lda_report import ReportError, write_lda_report

THEMES = ["river harbour boat anchor sailor tide", "bread flour oven yeast dough baker"]


def texts(n: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return ["The " + " and ".join(rng.choices(THEMES[i % 2].split(), k=40)) for i in range(n)]


def fitted(seed: int = 0, **options: object) -> TopicModel:
    documents = [Document(text, meta={"title": f"Note {i}"}) for i, text in enumerate(texts(14, seed))]
    bag = bag_of_words(documents, phrases=False)
    options = {"n_sweeps": 40, "n_chains": 2, "random_state": 0} | options
    return TopicModel(GibbsLDA(2, **options).fit(bag.counts), bag)


@pytest.fixture(scope="module")
def model() -> TopicModel:
    return fitted()


@pytest.fixture
def saved(model: TopicModel, tmp_path: Path) -> Path:
    return model.save(tmp_path / "model")


def test_a_saved_model_is_the_same_model(model: TopicModel, tmp_path: Path) -> None:
    named = model.with_labels(("Ships", ""))
    folder = named.save(tmp_path / "deep" / "model")
    loaded = TopicModel.load(folder)
    assert loaded.topics() == named.topics()
    assert loaded.labels == ("Ships", "")
    assert loaded.topic_names[0] == "Ships"
    assert loaded.document_topics().equals(named.document_topics())
    new = texts(4, seed=9)
    assert loaded.apply(new).equals(named.apply(new))
    assert [path.name for path in folder.parent.iterdir()] == ["model"], "nothing else is left behind"


def test_new_documents_get_the_topics_of_their_words(model: TopicModel) -> None:
    boats, bread = texts(2, seed=5)
    frame = model.apply(
        [Document(boats, "a.txt", {"title": "A"}), Document(f"{bread} zebra zebra", "b.txt:3")]
    )
    assert frame["title"][0] == "A"
    assert frame["source"].tolist() == ["a.txt", "b.txt:3"]
    assert frame["n_known"].tolist() == [40, 40]
    assert frame["n_unknown"].tolist() == [0, 2]
    shares = frame[[name for name in frame if name.startswith("topic ")]].to_numpy()
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    best = [names.split(" · ")[0] for names in model.topic_names]
    assert best[shares[0].argmax()] in THEMES[0]
    assert best[shares[1].argmax()] in THEMES[1]
    np.testing.assert_array_equal(shares, model.lda.transform(model.bag.encode([boats, bread]).counts))


def test_a_document_without_a_known_term_is_said_and_gets_no_shares(model: TopicModel) -> None:
    with pytest.warns(
        UserWarning, match=r"2 of 3 documents have no term that the model knows.*Zebra, quagga"
    ):
        frame = model.apply([Document("zebras", meta={"title": "Zebra"}), texts(1)[0], "quagga"])
    shares = frame[[name for name in frame if name.startswith("topic ")]]
    assert shares.isna().all(axis=1).tolist() == [True, False, True]
    assert frame["n_known"].tolist() == [0, 40, 0]


def test_a_stream_is_read_once(model: TopicModel) -> None:
    assert model.apply(iter(texts(3))).equals(model.apply(texts(3)))


def test_what_is_no_collection_of_documents_is_refused(model: TopicModel) -> None:
    with pytest.raises(ValueError, match="single text"):
        model.apply("a boat")
    with pytest.raises(ValueError, match="no documents"):
        model.apply([])


def test_frames_and_topics_show_what_the_model_holds(model: TopicModel) -> None:
    frame = model.document_topics()
    assert len(frame) == 14
    np.testing.assert_allclose(frame.iloc[:, -2:].to_numpy(), model.lda.doc_topic_)
    assert frame["n_tokens"].tolist() == [40] * 14
    terms = model.topic_terms(4)
    assert len(terms) == 8
    for topic, summary in enumerate(model.summaries(n_terms=4)):
        own = terms[terms["topic"] == topic]
        assert tuple(own["term"]) == summary.terms
        np.testing.assert_allclose(own["probability"], summary.probabilities)
        assert own["relevance"].is_monotonic_decreasing
    np.testing.assert_allclose(model.term_topics().iloc[:, -2:].sum(), 1)
    assert json.loads(json.dumps(model.topics())) == model.topics()
    assert [topic["stability"] for topic in model.topics()] == pytest.approx(model.lda.stability_.tolist())


def test_a_single_chain_has_no_stability(tmp_path: Path) -> None:
    model = fitted(n_chains=1)
    assert [topic["stability"] for topic in model.topics()] == [None, None]
    assert TopicModel.load(model.save(tmp_path / "m")).topics() == model.topics()


def test_parts_that_do_not_belong_together_are_refused_in_python(model: TopicModel) -> None:
    other = bag_of_words(texts(6) + ["quay pier quay pier"] * 2, phrases=False, deduplicate=False)
    with pytest.raises(ValueError, match="fitted on"):
        TopicModel(model.lda, other)
    with pytest.raises(ValueError, match="1 labels for 2 topics"):
        TopicModel(model.lda, model.bag, ("Ships",))
    with_names = GibbsLDA(2, n_sweeps=10).fit(model.bag)
    renamed = dataclasses.replace(model.bag, vocabulary=np.char.add(model.bag.vocabulary, "x"))
    with pytest.raises(ValueError, match="fitted on other terms"):
        TopicModel(with_names, renamed)


def test_saving_again_replaces_the_model(model: TopicModel, saved: Path) -> None:
    model.with_labels(("a", "b")).save(saved)
    assert TopicModel.load(saved).labels == ("a", "b")
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


def test_an_empty_folder_and_a_link_may_become_a_model(model: TopicModel, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    model.save(tmp_path / "empty")
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    model.with_labels(("a", "b")).save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert TopicModel.load(tmp_path / "empty").labels == ("a", "b")


def test_what_is_not_a_model_is_never_overwritten(model: TopicModel, saved: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    with pytest.raises(ValueError, match=r"holds cat\.jpg, no part of a model"):
        model.save(tmp_path / "photos")
    (saved / "notes.txt").write_text("mine", encoding="utf-8")
    (saved / "report.html").write_text("mine", encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"holds notes\.txt and 1 more, no part of a model; move that elsewhere"
    ):
        check_model_folder(saved)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="is not a saved topic model"):
        model.save(tmp_path / "other")
    with pytest.raises(ValueError, match="it is a file"):
        model.save(tmp_path / "photos" / "cat.jpg")
    with pytest.raises(ValueError, match="is a file, not a folder"):
        check_model_folder(tmp_path / "photos" / "cat.jpg" / "model")
    assert (tmp_path / "photos" / "cat.jpg").read_bytes() == b"cat"
    assert (saved / "notes.txt").exists()


def test_what_file_managers_leave_in_a_folder_is_no_obstacle(
    model: TopicModel, saved: Path, tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    for folder in (saved, tmp_path / "new"):
        for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._model.json"):
            (folder / name).write_bytes(b"?")
        assert TopicModel.load(model.save(folder)).n_topics == 2


def test_nothing_else_is_written_into_the_folder_of_a_model(model: TopicModel, saved: Path) -> None:
    for inside in (saved, saved / "deep" / "results"):
        with pytest.raises(ValueError, match="is a saved topic model; name a place outside of it"):
            export_model(model, inside)
        with pytest.raises(ReportError, match="is a saved topic model; name a place outside of it"):
            write_lda_report(inside / "report.html", model.lda, model.bag)
    check_model_folder(saved)


def test_a_failed_save_leaves_the_earlier_model(
    model: TopicModel, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("minillm_lib.topics.document_term.BagOfWords.save", fail)
    with pytest.raises(OSError, match="no space left"):
        model.with_labels(("a", "b")).save(saved)
    monkeypatch.undo()
    assert TopicModel.load(saved).labels is None
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


def test_a_kill_between_the_two_renames_loses_nothing_and_is_cleaned_by_the_next_save(
    model: TopicModel, saved: Path, caplog: pytest.LogCaptureFixture
) -> None:
    half, previous = (saved.with_name(f".model.{end}") for end in ("0123456789abcdef", "previous"))
    shutil.copytree(saved, half)
    os.utime(half, (1, 1))
    saved.rename(previous)
    assert TopicModel.load(saved).labels is None
    assert "model is missing, as its replacement was interrupted" in caplog.text
    previous.rename(previous.with_name("elsewhere"))
    with pytest.raises(
        FileNotFoundError, match=r"killed left .*\.model\.0123456789abcdef: give one of them that name"
    ):
        TopicModel.load(saved)
    previous.with_name("elsewhere").rename(previous)
    model.with_labels(("a", "b")).save(saved)
    assert TopicModel.load(saved).labels == ("a", "b")
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


def test_a_folder_that_is_no_intact_model_is_refused_in_words(
    model: TopicModel, saved: Path, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        TopicModel.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="is not a saved topic model"):
        TopicModel.load(tmp_path)
    with pytest.raises(ValueError, match="is a file; a saved topic model is a folder"):
        TopicModel.load(saved / "model.json")
    for part in ("topics.lda", "documents.jsonl"):
        broken = Path(shutil.copytree(saved, tmp_path / f"without-{part}"))
        (broken / part).unlink()
        with pytest.raises(ValueError, match=f"{part} is missing"):
            TopicModel.load(broken)
        broken = Path(shutil.copytree(saved, tmp_path / f"cut-{part}"))
        (broken / part).write_bytes((saved / part).read_bytes()[:-100])
        with pytest.raises(ValueError, match=f"is damaged: {part}"):
            TopicModel.load(broken)


def test_parts_of_another_model_are_refused(saved: Path, tmp_path: Path) -> None:
    other = fitted(seed=1).save(tmp_path / "other")
    shutil.copy(other / "documents.jsonl", saved / "documents.jsonl")
    with pytest.raises(ValueError, match="is not the file that was saved"):
        TopicModel.load(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2, "versions": {"minillm-lib": "9.9"}}, r"newer version of minillm-lib \(9\.9\)"),
        ({"format": "something else"}, "is not a saved topic model"),
        ({"version": "one"}, "is not a saved topic model"),
        ({"parts": None}, "is damaged"),
        ({"labels": [1, 2]}, "is damaged"),
        ({"labels": ["only one"]}, "1 labels for 2 topics"),
    ],
)
def test_what_model_json_says_is_checked(saved: Path, change: dict[str, object], message: str) -> None:
    about = json.loads((saved / "model.json").read_bytes())
    del about["crc32"]
    (saved / "model.json").write_text(json.dumps(about | change), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        TopicModel.load(saved)


def test_a_changed_label_is_damage_unless_the_checksum_is_removed(model: TopicModel, saved: Path) -> None:
    model.with_labels(("ships", "b")).save(saved)
    content = (saved / "model.json").read_bytes().replace(b"ships", b"shirs")
    (saved / "model.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.json is damaged: its values .* remove crc32"):
        TopicModel.load(saved)
    about = json.loads(content)
    del about["crc32"]
    (saved / "model.json").write_text(json.dumps(about), encoding="utf-8")
    assert TopicModel.load(saved).labels == ("shirs", "b")


def test_other_versions_of_what_splits_words_are_said(saved: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TopicModel.load(saved)
    about = json.loads((saved / "model.json").read_bytes())
    del about["crc32"]
    about["versions"]["jieba"] = "0.1"
    (saved / "model.json").write_text(json.dumps(about), encoding="utf-8")
    with pytest.warns(UserWarning, match=r"made with jieba 0\.1 \(here "):
        TopicModel.load(saved)


def test_what_splitting_new_documents_warns_of_is_said(model: TopicModel) -> None:
    with pytest.warns(UserWarning, match="Javanese is written without spaces between words"):
        model.apply_to_columns(["a river and ꦱꦸꦫꦧꦪ", "bread"])
