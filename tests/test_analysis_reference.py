"""The band of a recorded run: it contains similar runs, excludes different ones, and survives saving and loading."""

from __future__ import annotations

import json

import numpy as np
import pytest
from recorded_run import changed, recorded_run, write_run

from minillm_lib.analysis.reference import (
    FILE_NAME,
    ReferenceBand,
    find_reference_band,
    reference_band,
)
from minillm_lib.training.run import RunResult, smoothed


def share_inside(band, records):
    metrics = RunResult.of(records)
    loss = smoothed(metrics.values("loss"))
    low, high = band.at(metrics.values("tokens"))
    inside = (low <= loss) & (loss <= high)
    return inside[np.isfinite(low)].mean()


def test_a_run_with_another_seed_lies_within_it():
    band = reference_band(recorded_run(seed=0))
    assert share_inside(band, recorded_run(seed=1)) > 0.98


def test_a_run_that_needs_twice_the_tokens_lies_above_it():
    slow = changed(recorded_run(seed=1), lambda each: {"tokens": 2 * each["tokens"]})
    assert share_inside(reference_band(recorded_run()), slow) < 0.1


def test_several_runs_span_a_wider_one():
    worse = changed(recorded_run(seed=3), lambda each: {"loss": each["loss"] + 0.3})
    one, both = reference_band(recorded_run()), reference_band(recorded_run(), worse)
    assert share_inside(one, worse) < 0.5
    assert share_inside(both, worse) > 0.95
    np.testing.assert_array_less(np.array(both.low) - 1e-9, both.high)


def test_it_says_nothing_beyond_what_was_recorded():
    band = reference_band(recorded_run(100))
    low, high = band.at(np.array([1.0, 50 * 4096, 10**9]))
    assert np.isnan([low[0], low[2], high[0], high[2]]).all()
    assert low[1] < high[1]


def test_a_file_gives_it_back(tmp_path):
    band = reference_band(write_run(tmp_path / "run", recorded_run()), name="results/26m")
    assert ReferenceBand.load(band.save(tmp_path / FILE_NAME)) == band
    assert band.corpora == ["docstrings"]
    (tmp_path / FILE_NAME).write_text(json.dumps({"name": "x"}))
    with pytest.raises(ValueError, match=r"reference-band.json is no reference band"):
        ReferenceBand.load(tmp_path / FILE_NAME)


def test_runs_of_different_kinds_make_none():
    with pytest.raises(ValueError, match="no run is given"):
        reference_band()
    with pytest.raises(ValueError, match="the same stage, parameters, vocab_size"):
        reference_band(recorded_run(), recorded_run(stage="sft"))
    with pytest.raises(ValueError, match="at least twenty steps; this one has 10"):
        reference_band(recorded_run(10))
    with pytest.raises(ValueError, match="the same stage"):
        reference_band(recorded_run()[1:])


def test_the_band_of_the_same_size_stage_and_text_is_found(tmp_path):
    metrics = RunResult.of(write_run(tmp_path / "run", recorded_run()))
    assert find_reference_band(metrics, tmp_path / "results") is None
    other_text = reference_band(recorded_run(), name="other text")
    other_text.save(tmp_path / "results" / "a" / FILE_NAME)
    assert find_reference_band(metrics, tmp_path / "results") == other_text
    same = reference_band(metrics, name="same")
    same.save(tmp_path / "results" / "b" / "pretrain" / FILE_NAME)
    assert find_reference_band(metrics, tmp_path / "results") == same
    assert find_reference_band(RunResult.of(recorded_run(stage="sft")), tmp_path / "results") is None
    larger = changed(recorded_run(), lambda _: {"parameters": 104_000_000}, "start")
    assert find_reference_band(RunResult.of(larger), tmp_path / "results") is None
