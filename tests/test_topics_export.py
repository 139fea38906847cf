from __future__ import annotations

import csv
import json
import random
from dataclasses import replace
from pathlib import Path

import gensim
import numpy as np
import pandas as pd
import pyLDAvis.lda_model
import pytest
from gensim.corpora import BleiCorpus, Dictionary, MmCorpus
from scipy.io import mmread

from minillm_lib.corpora.document import Document
from minillm_lib.topics.document_term import bag_of_words
from minillm_lib.topics.export import (
    EXPORTED,
    check_export_folder,
    export_counts,
    export_model,
    to_gensim,
    to_sklearn,
)
from minillm_lib.topics.gibbs_lda import GibbsLDA
from minillm_lib.topics.topic_model import TopicModel

THEMES = ["river harbour boat anchor sailor tide", "bread flour oven yeast dough baker"]


@pytest.fixture(scope="module")
def model() -> TopicModel:
    rng = random.Random(0)
    texts = ["The " + " and ".join(rng.choices(THEMES[i % 2].split(), k=40)) for i in range(14)]
    documents = [
        Document(
            text, meta={"title": f"=Note {i}" if i == 3 else f"Note {i}", "year": 2000 + i, "tags": ["a"]}
        )
        for i, text in enumerate(texts)
    ]
    bag = bag_of_words(documents, phrases=False)
    lda = GibbsLDA(2, n_sweeps=40, n_chains=2, alpha=[0.1, 0.2], random_state=0).fit(bag.counts)
    return TopicModel(lda, bag, ("Ships", ""))


@pytest.fixture(scope="module")
def folder(model: TopicModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "results"
    written = export_model(model, folder)
    assert {path.name for path in written} == {path.name for path in folder.iterdir()}
    assert {path.name if path.name in EXPORTED else path.stem for path in written} == set(EXPORTED)
    return folder


def test_tables_have_titles_and_names(model: TopicModel, folder: Path) -> None:
    documents = pd.read_csv(folder / "document_topics.csv")
    names = [f"topic {k}: {name}" for k, name in enumerate(model.topic_names)]
    assert list(documents) == ["document", "title", "year", "tags", "n_tokens", *names]
    assert set(documents["tags"]) == {'["a"]'}
    assert names[0] == "topic 0: Ships"
    np.testing.assert_allclose(documents[names].to_numpy(), model.lda.doc_topic_, rtol=1e-5)
    assert documents["title"][3] == "'=Note 3", "Excel would take it for a formula"
    assert documents["year"].tolist() == list(range(2000, 2014))
    terms = pd.read_csv(folder / "term_topics.csv")
    np.testing.assert_allclose(terms[names].to_numpy(), model.lda.topic_word_.T, rtol=1e-5)
    assert terms["term"].tolist() == model.bag.vocabulary.tolist()
    assert terms["count"].tolist() == model.bag.counts.sum(axis=0).ravel().tolist()[0]
    best = pd.read_csv(folder / "topic_terms.csv")
    for topic, summary in enumerate(model.summaries(n_terms=5)):
        assert best[best["topic"] == topic]["term"].tolist()[:5] == list(summary.terms)


def test_no_column_is_lost_for_its_name_or_a_list_in_it(model: TopicModel) -> None:
    share = f"topic 0: {model.topic_names[0]}"
    own = {"document": "A-7", "n_tokens": "many", share: "none", "document (yours)": 1, "tags": "plain"}
    meta = [{**facts, **own} for facts in model.bag.meta]
    meta[0]["tags"] = {"a": [1, float("nan")]}
    changed = TopicModel(model.lda, replace(model.bag, meta=meta), model.labels)
    table = changed.document_topics()
    assert table["document"].tolist() == list(range(14))
    assert table["n_tokens"].tolist() == model.document_topics()["n_tokens"].tolist()
    np.testing.assert_array_equal(table[share], model.lda.doc_topic_[:, 0])
    assert set(table["n_tokens (yours)"]) == {"many"}
    assert set(table[f"{share} (yours)"]) == {"none"}
    assert {name: table[name][0] for name in table if name.startswith("document (")} == {
        "document (yours)": "A-7", "document (yours) (yours)": 1
    }  # fmt: skip
    assert table["tags"].tolist() == ['{"a": [1, null]}', *["plain"] * 13]


def test_topics_are_json(model: TopicModel, folder: Path) -> None:
    topics = json.loads((folder / "topics.json").read_text(encoding="utf-8"))
    assert topics == model.topics()
    assert [topic["label"] for topic in topics] == model.topic_names
    for topic, summary in zip(topics, model.summaries(), strict=True):
        assert topic["stability"] == pytest.approx(summary.stability)
        assert [term["term"] for term in topic["terms"]] == list(summary.terms)
        assert [document["title"] for document in topic["documents"]] == [d.title for d in summary.documents]


def test_matrix_market_is_read_by_scipy_and_gensim(model: TopicModel, folder: Path) -> None:
    matrix = mmread(folder / "document_term.mtx")
    assert (matrix.tocsr() != model.bag.counts).nnz == 0
    corpus = MmCorpus(str(folder / "document_term.mtx"))
    read = gensim.matutils.corpus2csc(corpus, num_terms=len(model.bag.vocabulary)).T
    assert (read != model.bag.counts).nnz == 0
    with (folder / "documents.csv").open(encoding="utf-8-sig", newline="") as file:
        assert len(list(csv.reader(file))) == 1 + matrix.shape[0]


def test_lda_c_is_read_by_gensim(model: TopicModel, folder: Path) -> None:
    read = BleiCorpus(str(folder / "documents.ldac"), str(folder / "vocabulary.txt"))
    assert [read.id2word[i] for i in range(len(read.id2word))] == model.bag.vocabulary.tolist()
    assert [[(term, int(n)) for term, n in row] for row in read] == to_gensim(model.bag)[0]


def test_gensim_reads_the_dictionary_and_takes_the_corpus(model: TopicModel, folder: Path) -> None:
    dictionary = Dictionary.load_from_text(str(folder / "dictionary.txt"))
    assert [dictionary[i] for i in range(len(dictionary))] == model.bag.vocabulary.tolist()
    assert dictionary.num_docs == model.bag.counts.shape[0]
    assert [dictionary.dfs[i] for i in range(len(dictionary))] == model.bag.counts.getnnz(axis=0).tolist()
    corpus, id2word = to_gensim(model.bag)
    fitted = gensim.models.LdaModel(corpus, id2word=id2word, num_topics=2, random_state=0)
    assert fitted.show_topic(0)[0][0] in model.bag.vocabulary


def test_scikit_learn_transforms_texts_as_we_do(model: TopicModel) -> None:
    lda, vectorizer = to_sklearn(model)
    texts = ["The sailors anchor their boat in the harbour at high tide", "A baker with dough and yeast"] * 3
    counts = vectorizer.transform(texts)
    assert (counts != model.bag.encode(texts).counts).nnz == 0
    np.testing.assert_array_equal(vectorizer.get_feature_names_out(), model.bag.vocabulary)
    shares = lda.transform(counts)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_allclose(shares, model.lda.transform(counts), atol=0.05)
    assert lda.perplexity(counts) > 1
    assert list(lda.get_feature_names_out()) == [f"latentdirichletallocation{k}" for k in range(2)]


def test_pyldavis_takes_the_scikit_learn_shape(model: TopicModel) -> None:
    lda, vectorizer = to_sklearn(model)
    prepared = pyLDAvis.lda_model.prepare(lda, model.bag.counts, vectorizer, n_jobs=1)
    assert set(prepared.topic_info["Term"]) == set(model.bag.vocabulary)


def test_parquet_holds_the_same_tables(model: TopicModel, tmp_path: Path) -> None:
    export_model(model, tmp_path, table_format="parquet")
    frame = pd.read_parquet(tmp_path / "document_topics.parquet")
    pd.testing.assert_frame_equal(frame, model.document_topics(), check_dtype=False)
    assert frame["title"][3] == "=Note 3", "nothing carries out a cell of Parquet"


def test_a_term_with_a_control_character_does_not_break_a_line(tmp_path: Path) -> None:
    bag = bag_of_words(["ant bee"] * 2, deduplicate=False, min_df=1, max_df=1.0, phrases=False)
    bag.vocabulary[0] = "a\x0bt"
    export_counts(bag, tmp_path)
    assert (tmp_path / "vocabulary.txt").read_text(encoding="utf-8").splitlines() == [r"a\x0bt", "bee"]


def test_a_folder_that_cannot_be_is_refused_beforehand(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file, not a folder"):
        check_export_folder(tmp_path / "file" / "results")
    with pytest.raises(ValueError, match="allowed are 'csv' and 'parquet'"):
        check_export_folder(tmp_path, "xlsx")  # type: ignore[arg-type]
    assert check_export_folder(tmp_path / "new") == tmp_path / "new"
    assert not (tmp_path / "new").exists()
