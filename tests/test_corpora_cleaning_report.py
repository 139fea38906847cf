from __future__ import annotations

import json
from string import Formatter

import pytest

from minillm_lib.corpora.cleaning.report import CleaningReport
from minillm_lib.corpora.cleaning.step_kinds import STEP_KINDS


def fields(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name}


def test_a_step_of_a_known_kind_can_be_said_in_another_language() -> None:
    report = CleaningReport()
    report.count("max_df", 3, 100, ["model"], max_df=0.5, limit=12.5)
    (step,) = report.steps
    assert (step.name, step.why, step.unit) == ("max_df=0.5", "in more than 12.5 documents", "terms")
    assert step.key == "max_df"
    assert step.values == {"max_df": 0.5, "limit": 12.5}
    assert CleaningReport.from_list(json.loads(json.dumps(report.to_list()))) == report


def test_a_step_that_did_nothing_is_left_out() -> None:
    report = CleaningReport()
    report.count("spellings", 0, 100)
    assert report.steps == []
    assert str(report) == "nothing was changed or dropped"


def test_a_report_of_an_earlier_version_is_read() -> None:
    old = {
        "name": "LaTeX",
        "why": "text repaired",
        "unit": "documents",
        "affected": 9,
        "total": 9,
        "examples": [],
    }
    (step,) = CleaningReport.from_list([old]).steps
    assert (step.name, step.key, step.values) == ("LaTeX", "", {})
    assert not step.is_alarming


@pytest.mark.parametrize("key", STEP_KINDS)
def test_a_warning_names_the_step_the_numbers_and_what_to_do(key: str) -> None:
    kind = STEP_KINDS[key]
    examples = {"share": 0.2, "limit": 200, "min_df": 2, "max_df": 0.5, "max_terms": 9, "repair": "LaTeX"}
    values = {name: examples.get(name, "xx") for name in fields(kind.name + kind.why + kind.remedy)}
    assert fields(kind.remedy) <= fields(kind.name + kind.why)
    few, many = CleaningReport(), CleaningReport()
    few.count(key, int(1000 * kind.alarming), 1000, **values)
    many.count(key, 999, 1000, **values)
    assert few.warnings() == []
    if kind.alarming < 1:
        (warning,) = many.warnings()
        assert "999 of 1,000" in warning
        assert kind.remedy.format(**values) in warning
    else:
        assert many.warnings() == []
