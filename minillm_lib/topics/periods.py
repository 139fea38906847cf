"""When documents were written, read from their metadata, and how topics change from period to period."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

if TYPE_CHECKING:
    from minillm_lib.topics.document_term import BagOfWords

DATE_KEYS = (
    "date",
    "published",
    "published_at",
    "publication_date",
    "created",
    "created_at",
    "datetime",
    "month",
    "year",
    "publication_year",
    "日期",
    "发表时间",
    "年份",
)
"""Where the metadata of a document may state its date, the most precise first; upper and lower case are alike."""

FIRST_YEAR, LAST_YEAR = 1000, 2999
MOST_MONTHS = 48
"""Documents of at most so many months are shown by month, if every dated document states one; others by year."""

_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_FORMS = tuple(
    re.compile(form, re.ASCII)
    for form in (
        r"(?P<year>\d{4})(?:\.0+)?",
        r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})(?:[-/.]\d{1,2}(?:[T ].*)?)?",
        r"(?P<year>\d{4})(?P<month>\d{2})(?:\d{2})?(?:\.0+)?",
        r"(?P<year>\d{4})\s*年(?:\s*(?P<month>\d{1,2})\s*月.*)?",
        r"(?P<month>\d{1,2})[-/.](?P<year>\d{4})",
        rf"(?:\w+,?\s+)?(?:{_DAY}[-\s]+)?(?P<name>[A-Za-z]{{3,9}})\.?(?:[-\s]+{_DAY})?,?[-\s]+(?P<year>\d{{4}})(?:,?\s.*)?",
    )
)
_ANY_YEAR = re.compile(r"(?<!\d)\d{4}(?!\d)", re.ASCII)

Month = tuple[int, int | None]
"""A year, and a month from 1 to 12 where it is known."""


@dataclass(frozen=True)
class DocumentPeriods:
    """The period of each document.

    Attributes
    ----------
    periods
        ``(n_documents,)``, as ``datetime64`` with the unit year or month; ``NaT`` for documents without a date.
    n_undated
        How many documents state no date.
    unusable
        What other documents state as their date, in which no date was found.
    """

    periods: NDArray[np.datetime64]
    n_undated: int = 0
    unusable: tuple[str, ...] = ()

    @property
    def is_monthly(self) -> bool:
        """Whether the periods are months rather than years."""
        return np.datetime_data(self.periods.dtype)[0] == "M"


@dataclass(frozen=True)
class PeriodShares:
    """The share of each topic in each period, with an interval.

    Attributes
    ----------
    periods
        The periods that have tokens, in ascending order, ``(n_periods,)``.
    shares
        Fraction of the tokens of a period that each topic explains, ``(n_periods, n_topics)``.
    low, high
        Ends of the 95 % intervals, ``(n_periods, n_topics)``; ``nan`` for a period of a single document.
    n_documents
        How many documents each period has, ``(n_periods,)``.
    """

    periods: NDArray[np.datetime64]
    shares: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    n_documents: NDArray[np.int64]


def document_periods(bag: BagOfWords) -> DocumentPeriods:
    """Read the year or month of every document from ``bag.meta``.

    A date may be a number (``2005``, ``2005.0``, ``200503``, ``20050312``), a date or time of Python, NumPy or pandas,
    or text such as ``"2005-03-12"``, ``"2005/3"``, ``"March 2005"``, ``"12 Mar 2005"`` or ``"2005年3月"``. Of another
    text, the only year in it is taken. Dates stand under one of :data:`DATE_KEYS`, or as a ``year`` and a ``month``.

    Periods are months if every date has a month and all lie within :data:`MOST_MONTHS`, and years otherwise.
    """
    found, unusable, n_undated = [], [], 0
    for facts in bag.meta:
        date, stated = _stated_date(facts)
        n_undated += date is None and stated is None
        if date is None and stated is not None:
            unusable.append(str(stated))
        found.append(date)
    dates = [date for date in found if date is not None]
    months = [12 * year + month for year, month in dates if month is not None]
    # dates that are all of one month, such as January, are years that were written as a day
    is_varied = len({month for _, month in dates}) > 1
    is_monthly = is_varied and len(months) == len(dates) and max(months) - min(months) < MOST_MONTHS
    texts = [_period(date, is_monthly) for date in found]
    return DocumentPeriods(
        np.array(texts, dtype=f"datetime64[{'M' if is_monthly else 'Y'}]"), n_undated, tuple(unusable)
    )


def _period(date: Month | None, is_monthly: bool) -> str:
    if date is None:
        return "NaT"
    year, month = date
    return f"{year:04}-{month:02}" if is_monthly else f"{year:04}"


def year_of(facts: Mapping[str, Any]) -> int | None:
    """Return the year that the metadata of a document state, or None."""
    date, _ = _stated_date(facts)
    return None if date is None else date[0]


def _stated_date(facts: Mapping[str, Any]) -> tuple[Month | None, Any]:
    """Return the most precise date that can be read, and else what is stated as one; None for what there is not."""
    by_key = {str(key).strip().lower(): value for key, value in facts.items()}
    stated = [by_key[key] for key in DATE_KEYS if not _is_missing(by_key.get(key))]
    if not stated:
        return None, None
    dates = [date for date in map(parse_month, stated) if date is not None]
    if not dates:
        return None, stated[0]
    year, month = next((date for date in dates if date[1] is not None), dates[0])
    if month is None:
        month = _month_alone(by_key.get("month"))
    return (year, month), None


def _is_missing(value: Any) -> bool:
    if value is None or (isinstance(value, Real) and math.isnan(value)):
        return True
    return str(value).strip() in ("", "NaT", "nan", "None")


def parse_month(value: Any) -> Month | None:
    """Read a year, and a month where there is one, from a number, a date or a text; None if there is no year in it."""
    if isinstance(value, bool):
        return None
    if isinstance(value, np.datetime64):
        value = str(value)
    if isinstance(value, datetime.date):
        return _checked(value.year, value.month)
    if isinstance(value, Real):
        if not float(value).is_integer() or value < 0:
            return None
        value = int(float(value))
    text = str(value).strip()
    for form in _FORMS:
        match = form.fullmatch(text)
        if match is None:
            continue
        parts = match.groupdict()
        month = _month_named(parts["name"]) if "name" in parts else parts.get("month")
        if "name" in parts and month is None:
            continue
        if date := _checked(int(parts["year"]), int(month) if month else None):
            return date
    years = [int(year) for year in _ANY_YEAR.findall(text)]
    return _checked(years[0], None) if len(set(years)) == 1 else None


def _checked(year: int, month: int | None) -> Month | None:
    is_date = FIRST_YEAR <= year <= LAST_YEAR and (month is None or 1 <= month <= 12)
    return (year, month) if is_date else None


def _month_named(name: str) -> int | None:
    """Return the number of an English month, given in full or by at least three letters."""
    short = "sep" if name.lower() == "sept" else name.lower()
    found = [number for number, month in enumerate(_MONTHS, 1) if month.startswith(short)]
    return found[0] if len(short) >= 3 and found else None


def _month_alone(value: Any) -> int | None:
    """Read a month without a year: 3, "03" or "March"."""
    if _is_missing(value):
        return None
    text = str(value).strip().removesuffix(".0")
    month = int(text) if text.isdecimal() else _month_named(text)
    return month if month is not None and 1 <= month <= 12 else None


def topic_shares_over_time(
    doc_topic: ArrayLike, doc_lengths: ArrayLike, periods: NDArray[np.datetime64]
) -> PeriodShares:
    """Return the topic shares of each period, with 95 % intervals.

    The documents of a period are taken as a sample of what could have been written in it. A share is then a ratio of
    two sums over the documents, and its interval is that of a ratio estimator, with Student's t. It says nothing about
    the uncertainty of the topics themselves.

    Parameters
    ----------
    doc_topic
        Each document's distribution over topics, ``(n_documents, n_topics)``; rows sum to 1.
    doc_lengths
        Number of tokens in each document, ``(n_documents,)``.
    periods
        The period of each document, ``(n_documents,)``; documents without one (``NaT``) are left out.

    Raises
    ------
    ValueError
        If there are not as many periods as documents.

    References
    ----------
    W. G. Cochran (1977), Sampling Techniques, section 6.3.
    """
    doc_topic, lengths = np.asarray(doc_topic), np.asarray(doc_lengths, dtype=np.float64)
    if len(periods) != len(lengths):
        raise ValueError(
            f"there are {len(periods)} periods for {len(lengths)} documents; give one per document"
        )
    found, place = np.unique(periods[~np.isnat(periods) & (lengths > 0)], return_inverse=True)
    rows = np.flatnonzero(~np.isnat(periods) & (lengths > 0))
    shape = (len(found), doc_topic.shape[1])
    shares, error = np.empty(shape), np.empty(shape)
    n_documents = np.bincount(place, minlength=len(found))
    for number in range(len(found)):
        own = rows[place == number]
        shares[number], error[number] = _ratio(doc_topic[own], lengths[own])
    width = error * stdtrit(np.maximum(n_documents - 1, 1), 0.975)[:, None]
    low, high = np.maximum(shares - width, 0), np.minimum(shares + width, 1)
    return PeriodShares(found, shares, low, high, n_documents)


def _ratio(
    doc_topic: NDArray[np.float64], lengths: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the topics' shares of the tokens of these documents, and the standard errors of the shares."""
    n, n_tokens = len(lengths), lengths.sum()
    shares = lengths @ doc_topic / n_tokens
    if n == 1:
        return shares, np.full(len(shares), np.nan)
    return shares, np.sqrt(n / (n - 1) * (lengths**2 @ (doc_topic - shares) ** 2)) / n_tokens


def is_consecutive(periods: Sequence[np.datetime64] | NDArray[np.datetime64]) -> NDArray[np.bool_]:
    """Return for each period but the first whether it directly follows the one before it, ``(n_periods - 1,)``."""
    return np.diff(np.asarray(periods)).astype(np.int64) == 1
