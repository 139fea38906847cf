"""What cleaning did is told in Chinese, whatever the step."""

from __future__ import annotations

import string

import pytest

from minillm_lib.corpora.cleaning.repair import REPAIRS as ALL_REPAIRS
from minillm_lib.corpora.cleaning.report import CleaningReport, CleaningStep
from minillm_lib.corpora.cleaning.step_kinds import STEP_KINDS
from minillm_lib.viz.cleaning_words import CLEANING_STEPS, REPAIRS, UNITS, in_chinese

VALUES = {
    "repair": "LaTeX",
    "language": "en",
    "share": 0.5,
    "limit": 3,
    "min_df": 2,
    "max_df": 0.5,
    "max_terms": 9,
}


def gaps(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


def test_every_kind_of_step_and_every_repair_is_translated():
    assert CLEANING_STEPS.keys() == STEP_KINDS.keys()
    assert REPAIRS.keys() == ALL_REPAIRS.keys()
    assert {kind.unit for kind in STEP_KINDS.values()} <= UNITS.keys()
    for key, (name, why) in CLEANING_STEPS.items():
        assert gaps(name) <= gaps(STEP_KINDS[key].name)
        assert gaps(why) <= gaps(STEP_KINDS[key].why)


@pytest.mark.parametrize("key", STEP_KINDS)
@pytest.mark.parametrize("has_key", [True, False])
def test_a_step_is_told_in_chinese_even_if_an_older_report_has_not_kept_its_kind(key, has_key):
    report, kind = CleaningReport(), STEP_KINDS[key]
    values = {name: VALUES[name] for name in gaps(kind.name) | gaps(kind.why)}
    report.count(key, 1, 2, ["x"], **values)
    [step] = report.steps
    if not has_key:
        step = CleaningStep(step.name, step.why, step.unit, 1, 2, ("x",))
    told = in_chinese(step)
    assert told.why == CLEANING_STEPS[key][1].format(**values)
    assert told.unit == UNITS[kind.unit]
    assert (told.affected, told.total, told.examples) == (1, 2, ("x",))


@pytest.mark.parametrize(
    ("limit", "shown"), [("500.5", "500.5"), ("1e+06", "1e+06"), ("1.2345e-05", "1.2345e-05"), ("7", "7")]
)
def test_a_limit_of_an_older_report_may_be_any_number(limit, shown):
    step = CleaningStep("max_df=0.5", f"in more than {limit} documents", "terms", 1, 2)
    assert in_chinese(step).why == f"出现在超过 {shown} 篇文档中"


def test_a_step_in_words_of_its_own_stays_as_it_is():
    step = CleaningStep("my step", "my reason", "documents", 1, 2)
    assert in_chinese(step) == step
