from __future__ import annotations

from io import StringIO
from math import log

import numpy as np
import pytest
from known_model import known_model
from rich.console import Console
from scipy.spatial.distance import jensenshannon

from minillm_lib.topics.stability import UNSTABLE
from minillm_lib.topics.summary import (
    expected_term_frequency,
    jensen_shannon_divergence,
    relevance,
    summarize_topics,
    top_terms,
    topic_shares,
    topic_shares_by_year,
    topic_similarity,
    topic_table,
    typical_documents,
)

TOPIC_WORD = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
FREQUENCY = np.array([60, 10, 30])


def test_relevance_is_the_formula_of_sievert_and_shirley():
    expected = [
        [0.6 * log(p) + 0.4 * log(p / (n / 100)) for p, n in zip(row, FREQUENCY, strict=True)]
        for row in TOPIC_WORD
    ]
    np.testing.assert_allclose(relevance(TOPIC_WORD, FREQUENCY), expected)


def test_lambda_1_ranks_by_probability_and_lambda_0_by_lift():
    assert top_terms(TOPIC_WORD, FREQUENCY, ["a", "b", "c"], 3, 1.0) == [["a", "b", "c"], ["c", "a", "b"]]
    assert top_terms(TOPIC_WORD, FREQUENCY, ["a", "b", "c"], 3, 0.0) == [["b", "a", "c"], ["c", "b", "a"]]


def test_a_term_that_is_never_used_is_in_no_list():
    assert top_terms(TOPIC_WORD, [60, 0, 30], ["a", "b", "c"]) == [["a", "c"], ["c", "a"]]


def test_a_term_of_probability_zero_is_in_no_list():
    assert top_terms([[1.0, 0.0], [0.5, 0.5]], [3, 1], ["a", "b"]) == [["a"], ["b", "a"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((TOPIC_WORD, [1, 2], ["a", "b", "c"]), r"term_frequency has shape \(2,\)"),
        ((TOPIC_WORD, FREQUENCY, ["a", "b"]), r"vocabulary has shape \(2,\); topic_word has 3 columns"),
        ((TOPIC_WORD, [0, 0, 0], ["a", "b", "c"]), "no term is used"),
        ((TOPIC_WORD, FREQUENCY, ["a", "b", "c"], 3, 1.5), "relevance_lambda is 1.5"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        top_terms(*arguments)


def test_topic_shares_count_the_tokens_when_each_document_has_one_topic():
    shares = topic_shares(np.eye(3)[[0, 1, 1, 2]], [10, 20, 30, 0])
    np.testing.assert_allclose(shares, [10 / 60, 50 / 60, 0])


@pytest.mark.parametrize(("lengths", "message"), [([1, 2], "shape"), ([0, 0, 0], "sums to 0")])
def test_topic_shares_refuse_lengths_that_mean_nothing(lengths, message):
    with pytest.raises(ValueError, match=message):
        topic_shares(np.eye(3), lengths)


def test_the_years_shares_weighted_by_their_tokens_are_the_shares_of_all():
    model, bag = known_model()
    lengths = np.asarray(bag.counts.sum(axis=1)).ravel()
    years = np.repeat([2001, 2005, 2003, 2002], 10)
    found, shares = topic_shares_by_year(model.doc_topic_, lengths, list(years))
    assert found.tolist() == [2001, 2002, 2003, 2005]
    tokens = [lengths[years == year].sum() for year in found]
    np.testing.assert_allclose(tokens @ shares / lengths.sum(), topic_shares(model.doc_topic_, lengths))


def test_documents_without_year_and_years_without_tokens_are_left_out():
    found, shares = topic_shares_by_year(np.eye(2)[[0, 1, 0]], [5, 0, 5], [None, 2001, 2002])
    assert found.tolist() == [2002]
    np.testing.assert_array_equal(shares, [[1, 0]])
    found, shares = topic_shares_by_year(np.eye(2), [5, 5], [None, None])
    assert found.tolist() == []
    assert shares.shape == (0, 2)


def test_years_of_another_number_than_documents_are_refused():
    with pytest.raises(ValueError, match="1 years for 2 documents"):
        topic_shares_by_year(np.eye(2), [5, 5], [2001])


def test_a_document_of_a_few_words_is_not_typical():
    doc_topic = np.array([[1.0, 0.0], [0.9, 0.1], [0.7, 0.3], [0.2, 0.8]])
    lengths = [2, 100, 120, 90]
    first, second = typical_documents(doc_topic, lengths, n_documents=2)
    assert first.tolist() == [1, 2]
    assert second.tolist() == [3, 2]
    assert typical_documents(doc_topic, lengths, n_documents=1, min_tokens=1)[0].tolist() == [0]


def test_an_empty_document_is_never_typical():
    [documents] = typical_documents([[1.0], [1.0]], [0, 3], n_documents=5, min_tokens=0)
    assert documents.tolist() == [1]


def test_jensen_shannon_divergence_is_the_square_of_scipys_distance():
    topic_word = np.random.default_rng(0).dirichlet(np.full(20, 0.1), 5)
    expected = [[jensenshannon(p, q, base=2) ** 2 for p in topic_word] for q in topic_word]
    np.testing.assert_allclose(jensen_shannon_divergence(topic_word), expected, atol=1e-12)


def test_similarity_is_1_for_equal_topics_and_0_for_topics_without_a_common_term():
    similarity = topic_similarity([[0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 0.9, 0.1]])
    np.testing.assert_allclose(similarity, [[1, 1, 0], [1, 1, 0], [0, 0, 1]], atol=1e-7)


def test_the_expected_frequencies_add_up_to_the_tokens():
    model, bag = known_model()
    lengths = np.asarray(bag.counts.sum(axis=1)).ravel()
    assert expected_term_frequency(model, lengths).sum() == pytest.approx(lengths.sum())


def test_a_summary_keeps_to_its_topic_when_the_topics_change_places():
    model, bag = known_model(title=[f"title {d}" for d in range(40)])
    before = summarize_topics(model, bag)
    order = np.array([2, 0, 3, 1])
    model.topic_word_, model.doc_topic_ = model.topic_word_[order], model.doc_topic_[:, order]
    after = summarize_topics(model, bag)
    assert [summary.topic for summary in after] == [0, 1, 2, 3]
    for new, old in enumerate(order):
        assert after[new].terms == before[old].terms
        assert after[new].share == pytest.approx(before[old].share)
        assert after[new].documents == before[old].documents


def test_a_summary_names_the_papers_as_the_bag_does():
    model, bag = known_model(
        title=[f"title {d}" for d in range(40)], year=[2013] * 40, address=["https://x"] * 40
    )
    best = summarize_topics(model, bag)[1].documents[0]
    assert best.title == f"title {best.index}"
    assert (best.year, best.address) == (2013, "https://x")
    assert best.weight == model.doc_topic_[best.index, 1]


def test_a_users_documents_need_neither_title_nor_year():
    model, bag = known_model(year=["unknown"] * 40)
    for summary in summarize_topics(model, bag):
        for document in summary.documents:
            assert document.title == f"document {document.index}"
            assert document.year is None
            assert document.address is None


def test_the_label_is_the_first_three_terms_and_probabilities_are_the_topics():
    model, bag = known_model()
    for summary in summarize_topics(model, bag, n_terms=2):
        assert summary.label.split(" · ")[:2] == list(summary.terms)
        assert len(summary.label.split(" · ")) == 3
        columns = [bag.vocabulary.tolist().index(term) for term in summary.terms]
        assert summary.probabilities == tuple(model.topic_word_[summary.topic, columns])


def test_a_bag_that_the_model_was_not_fitted_on_is_refused():
    model, _ = known_model()
    _, other = known_model(n_terms=50)
    with pytest.raises(ValueError, match=r"40 documents and 60 terms.*\(40, 50\)"):
        summarize_topics(model, other)


def test_the_table_shows_every_topic_and_prints_brackets_as_they_are():
    model, bag = known_model(title=["[bold]On [red]brackets"] * 40, year=[2016] * 40)
    console = Console(width=120, record=True, file=StringIO())
    console.print(topic_table(summarize_topics(model, bag)))
    text = console.export_text()
    assert text.count("2016 [bold]On [red]brackets") == 4 * 3
    assert all(f" {topic} │" in text for topic in range(4))


def test_a_label_takes_the_place_of_the_terms_and_an_empty_one_does_not():
    model, bag = known_model()
    named = summarize_topics(model, bag, labels=["Birds", "", " two\nlines ", ""])
    assert [summary.label for summary in named][::2] == ["Birds", "two lines"]
    assert named[1] == summarize_topics(model, bag)[1]
    assert [summary.has_own_label for summary in named] == [True, False, True, False]


@pytest.mark.parametrize("labels", [["one"], "four", []])
def test_labels_of_another_number_than_topics_are_refused(labels):
    with pytest.raises(ValueError, match="for 4 topics; give one name per topic"):
        summarize_topics(*known_model(), labels=labels)


def test_stability_is_that_of_the_model_and_low_values_are_unstable():
    model, bag = known_model()
    assert [(summary.stability, summary.is_unstable) for summary in summarize_topics(model, bag)] == [
        (None, False)
    ] * 4
    model.stability_ = np.array([UNSTABLE - 0.01, UNSTABLE, 0.9, 0.0])
    found = summarize_topics(model, bag)
    assert [summary.stability for summary in found] == model.stability_.tolist()
    assert [summary.is_unstable for summary in found] == [True, False, False, True]


def printed(summaries) -> str:
    console = Console(width=150, record=True, file=StringIO())
    console.print(topic_table(summaries))
    return console.export_text()


def test_the_table_shows_stability_and_labels_where_there_are_any():
    model, bag = known_model()
    assert "tability" not in printed(summarize_topics(model, bag))
    model.stability_ = np.array([0.31, 0.72, 0.9, 0.95])
    text = printed(summarize_topics(model, bag, labels=["", "My name", "", ""]))
    assert "0.31" in text
    assert text.count("unstable") == 1 + 1  # the topic, and the sentence on what that means
    assert "My name: " in text


def test_the_table_shows_control_characters_and_does_not_send_them():
    model, bag = known_model(title=["a\x1b[2Jb\x07"] * 40, vocabulary=[f"w{i}\x1b]0;x" for i in range(60)])
    console = Console(width=150, file=StringIO())
    console.print(topic_table(summarize_topics(model, bag)))
    text = console.file.getvalue()
    assert "\x1b" not in text
    assert "\x07" not in text
    assert r"a\x1b[2Jb\x07" in text


def test_a_narrow_terminal_loses_no_letter():
    model, bag = known_model(vocabulary=[f"incomprehensibility{i:02}" for i in range(60)])
    summaries = summarize_topics(model, bag)
    console = Console(width=40, file=StringIO())
    console.print(topic_table(summaries))
    rows = [line for line in console.file.getvalue().splitlines() if line.startswith("│")]
    cells = "".join(line.split("│")[-3].strip() for line in rows)
    assert all(term in cells for summary in summaries for term in summary.terms)


def test_of_equal_values_the_first_are_taken_however_many_are_wanted():
    values = np.random.default_rng(0).integers(5, size=50).astype(float)
    ranked = np.argsort(-values, kind="stable")
    for n in (0, 1, 7, 49, 50, 60):
        [found] = typical_documents(values[:, None], np.full(50, 9), n_documents=n)
        assert found.tolist() == ranked[:n].tolist()


def test_years_of_any_form_are_years():
    model, bag = known_model(year=[2005.0] * 40)
    assert summarize_topics(model, bag)[0].documents[0].year == 2005
