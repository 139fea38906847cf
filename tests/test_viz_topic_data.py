"""What a report holds of its documents: all of it where there is room, and the most telling part where there is not."""

from __future__ import annotations

import json

import numpy as np
from known_model import known_model

from minillm_lib.topics.periods import document_periods
from minillm_lib.topics.summary import summarize_topics
from minillm_lib.viz import topic_data as module
from minillm_lib.viz.topic_data import script_json, topic_data


def data_of(model, bag):
    return topic_data(model, bag, summarize_topics(model, bag), document_periods(bag))


def shares_of(row: list[int]) -> dict[int, int]:
    return dict(zip(row[::2], row[1::2], strict=True))


def test_a_documents_topics_are_those_with_the_largest_shares():
    model, bag = known_model(n_topics=30, n_documents=50)
    columns = data_of(model, bag)["columns"]
    assert columns["number"] == list(range(50))
    for row, shares in zip(columns["shares"], model.doc_topic_, strict=True):
        best = [k for k in np.argsort(-shares, kind="stable")[:10] if shares[k] >= 0.01]
        assert row[::2] == best
        np.testing.assert_allclose(row[1::2], 1000 * shares[best], atol=0.5)


def test_the_terms_are_the_most_probable_ones_and_not_too_many(monkeypatch):
    model, bag = known_model(n_topics=3)
    terms = data_of(model, bag)["terms"]
    assert [len(row) // 2 for row in terms] == [60, 60, 60]
    assert terms[1][0] == bag.vocabulary[model.topic_word_[1].argmax()]
    monkeypatch.setattr(module, "MOST_TERMS", 60)
    assert [len(row) // 2 for row in data_of(model, bag)["terms"]] == [20, 20, 20]


def test_excerpts_get_shorter_before_documents_get_fewer(monkeypatch):
    meta = {"title": [f"title {d}" for d in range(40)], "snippet": ["字" * 500] * 40}
    model, bag = known_model(**meta)
    whole = data_of(model, bag)["columns"]
    assert {len(excerpt.encode()) for excerpt in whole["excerpt"]} == {399}
    without = len(json.dumps({name: column for name, column in whole.items() if name != "excerpt"}))
    monkeypatch.setattr(module, "MOST_BYTES", without + 40 * 100)
    shorter = data_of(model, bag)["columns"]
    assert len(shorter["number"]) == 40
    assert all(40 <= len(excerpt.encode()) <= 200 and excerpt.endswith("…") for excerpt in shorter["excerpt"])
    monkeypatch.setattr(module, "MOST_BYTES", without // 3)
    fewer = data_of(model, bag)
    assert 4 <= len(fewer["columns"]["number"]) < 20
    assert fewer["n_documents"] == 40
    assert len(json.dumps(fewer["columns"], ensure_ascii=False).encode()) < without // 3 + 500
    kept = fewer["columns"]["number"]
    assert set(model.doc_topic_.argmax(axis=0)) <= set(kept)
    assert fewer["columns"]["title"] == [f"title {d}" for d in kept]


def test_documents_beyond_the_most_are_left_out_before_they_are_read(monkeypatch):
    monkeypatch.setattr(module, "MOST_DOCUMENTS", 12)
    model, bag = known_model()
    numbers = data_of(model, bag)["columns"]["number"]
    assert len(numbers) <= 12
    assert set(model.doc_topic_.argmax(axis=0)) <= set(numbers)


def test_nothing_in_the_values_ends_the_script():
    hostile = "</script><!--<script>\u2028"
    text = script_json({"title": [hostile]})
    assert "<" not in text
    assert json.loads(text) == {"title": [hostile]}


def test_what_metadata_hold_is_made_text():
    model, bag = known_model(title=[7] * 20 + [None] * 20, address=[None] * 40, year=[2001.0] * 40)
    columns = data_of(model, bag)["columns"]
    assert columns["title"] == ["7"] * 20 + [""] * 20
    assert columns["address"] == [""] * 40
    assert columns["date"] == ["2001"] * 40
