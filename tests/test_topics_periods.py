"""When documents were written, in whatever form their metadata say it, and how topics change over time."""

from __future__ import annotations

import datetime
from types import SimpleNamespace

import numpy as np
import pytest
from known_model import known_model

from minillm_lib.topics.periods import document_periods, is_consecutive, parse_month, topic_shares_over_time
from minillm_lib.topics.summary import document_lengths, document_years, topic_shares_by_year


def bag_of(*meta):
    return SimpleNamespace(meta=list(meta))


@pytest.mark.parametrize(
    "stated",
    [2005, 2005.0, np.int64(2005), np.float32(2005), "2005", " 2005 ", "2005.0", np.datetime64("2005"), "2005年",
     "Spring 2005", "c. 2005", "© 2005 A. Author", "12/03/2005", "mars 2005", "2005-13"],
)  # fmt: skip
def test_a_year_is_read_in_every_form(stated):
    assert parse_month(stated) == (2005, None)


@pytest.mark.parametrize(
    "stated",
    ["2005-03", "2005/3", "2005.03", "2005-03-12", "2005-03-12T10:00:00Z", "2005-03-12 10:00:00+01:00", "March 2005",
     "Mar. 2005", "march, 2005", "12 March 2005", "March 12, 2005", "12th Mar 2005", "Sat, 12 Mar 2005 10:00:00 GMT",
     "12-Mar-2005", "3/2005", 200503, 20050312, 20050312.0, "20050312", "2005年3月", "2005年3月12日",
     datetime.date(2005, 3, 12), datetime.datetime(2005, 3, 12, 10, tzinfo=datetime.UTC), np.datetime64("2005-03-12")],
)  # fmt: skip
def test_a_month_is_read_in_every_form(stated):
    assert parse_month(stated) == (2005, 3)


@pytest.mark.parametrize(
    "stated", [True, 5, 99999, 1112345678, -2005, 2005.5, "n.d.", "soon", "2005–2007", "9999"]
)
def test_what_is_no_date_is_none(stated):
    assert parse_month(stated) is None


def test_a_pandas_timestamp_is_a_date():
    pandas = pytest.importorskip("pandas")
    assert parse_month(pandas.Timestamp("2005-03-12")) == (2005, 3)
    found = document_periods(bag_of({"date": pandas.NaT}, {"year": float("nan")}, {"year": ""}, {}))
    assert (found.n_undated, found.unusable) == (4, ())


def test_years_of_a_spreadsheet_are_years():
    meta = [{"year": float(2001 + n % 9), "title": "<b>\"x\" & 'y'</b>"} for n in range(30)]
    found = document_periods(bag_of(*meta))
    assert not found.is_monthly
    assert found.periods.astype(int).tolist() == [int(facts["year"]) - 1970 for facts in meta]
    assert (found.n_undated, found.unusable) == (0, ())
    assert document_years(bag_of(*meta)) == [int(facts["year"]) for facts in meta]


def test_months_where_all_documents_lie_within_a_few_years_and_years_elsewhere():
    near = document_periods(
        bag_of({"Date": "March 2005"}, {"published": "2006-01-31"}, {"year": 2005, "month": "May"})
    )
    assert near.is_monthly
    assert [str(period) for period in near.periods] == ["2005-03", "2006-01", "2005-05"]
    assert not document_periods(bag_of({"date": "2005-03"}, {"date": "2015-04"})).is_monthly
    assert not document_periods(bag_of({"date": "2005-03"}, {"date": 2005})).is_monthly
    assert not document_periods(bag_of({"date": "2005-01-01"}, {"date": "2006-01-01"})).is_monthly


def test_the_most_precise_date_is_taken_and_what_is_none_is_counted():
    found = document_periods(
        bag_of(
            {"year": 2005, "date": "2005-03"},
            {"date": "2005-04"},
            {"year": "?"},
            {"title": "x"},
            {"year": None},
        )
    )
    assert [str(period) for period in found.periods] == ["2005-03", "2005-04", "NaT", "NaT", "NaT"]
    assert (found.n_undated, found.unusable) == (2, ("?",))


def test_no_documents_have_no_periods():
    assert len(document_periods(bag_of()).periods) == 0


def periods_of(years):
    return np.array([f"{year}" if year else "NaT" for year in years], dtype="datetime64[Y]")


def test_shares_over_time_are_those_of_the_years():
    model, bag = known_model()
    lengths = document_lengths(model, bag)
    years = [None if d % 7 == 0 else 2001 + d % 3 for d in range(40)]
    found = topic_shares_over_time(model.doc_topic_, lengths, periods_of(years))
    by_year, shares = topic_shares_by_year(model.doc_topic_, lengths, years)
    assert (found.periods.astype(int) + 1970).tolist() == by_year.tolist()
    np.testing.assert_allclose(found.shares, shares)
    assert found.n_documents.sum() == sum(year is not None for year in years)


def test_the_intervals_are_those_of_a_bootstrap_over_documents():
    rng = np.random.default_rng(0)
    doc_topic, lengths = rng.dirichlet(np.full(4, 0.3), 200), rng.integers(20, 400, 200)
    found = topic_shares_over_time(doc_topic, lengths, periods_of([2001] * 200))
    draws = rng.integers(200, size=(4000, 200))
    tokens = lengths[draws][:, :, None]
    shares = (tokens * doc_topic[draws]).sum(axis=1) / tokens.sum(axis=1)
    low, high = np.quantile(shares, (0.025, 0.975), axis=0)
    np.testing.assert_allclose(found.low[0], low, atol=0.01)
    np.testing.assert_allclose(found.high[0], high, atol=0.01)


def test_a_period_of_one_document_has_no_interval():
    found = topic_shares_over_time(np.eye(2)[[0, 1, 1]], [5, 5, 5], periods_of([2001, 2002, 2002]))
    assert np.isnan(found.low[0]).all()
    np.testing.assert_array_equal(found.shares, [[1, 0], [0, 1]])
    assert ((found.low[1] >= 0) & (found.high[1] <= 1)).all()


def test_periods_of_another_number_than_documents_are_refused():
    with pytest.raises(ValueError, match="1 periods for 2 documents"):
        topic_shares_over_time(np.eye(2), [5, 5], periods_of([2001]))


def test_a_missing_period_is_a_gap():
    assert is_consecutive(periods_of([2001, 2002, 2004])).tolist() == [True, False]
    assert is_consecutive(np.array(["2005-12", "2006-01"], dtype="datetime64[M]")).tolist() == [True]
