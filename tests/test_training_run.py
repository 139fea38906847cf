"""Metrics as arrays: from a folder, a result or records, and the averages that plots and checks use."""

from __future__ import annotations

import numpy as np
import pytest
from recorded_run import CONFIG, recorded_run, write_run

from minillm_lib.training.run import RunResult, noise_of, smoothed
from minillm_lib.training.run_folder import RunError


def test_a_folder_a_result_and_records_are_the_same_run(tmp_path):
    records = recorded_run(30)
    folder = write_run(tmp_path / "mine", records)
    of_folder = RunResult.of(folder)
    of_result = RunResult.of(RunResult(records, CONFIG, folder))
    of_records = RunResult.of(records)
    for metrics in (of_folder, of_result, of_records):
        assert list(metrics.records) == records
        assert metrics.stage == "pretrain"
    assert of_folder.name == of_result.name == "mine"
    assert of_records.name == "pretrain"
    assert of_result.config == of_folder.config == CONFIG
    assert of_records.setting("train", "clip_norm") is None
    assert RunResult.of(of_folder) is of_folder


def test_series_and_values_hold_what_was_recorded():
    metrics = RunResult.of(recorded_run(40, every=20))
    steps, perplexities = metrics.series("perplexity", "evaluation")
    assert steps.tolist() == [0, 20, 40]
    assert perplexities[0] == pytest.approx(6400, rel=0.03)
    assert len(metrics.values("loss")) == 40
    steps, norms = metrics.series("layer_grad_norms")
    assert norms.shape == (2, 4)
    assert np.isnan(RunResult.of([{"kind": "step", "step": 1}]).values("loss")).all()
    assert metrics.setting("train", "no", "such") is None


def test_the_warmup_ends_at_the_highest_rate():
    assert RunResult.of(recorded_run(60, warmup_steps=25)).warmup_end == 24
    assert RunResult.of([{"kind": "step", "step": 1, "loss": 2.0}]).warmup_end == 0


def test_a_folder_without_a_run_or_without_metrics_is_named(tmp_path):
    with pytest.raises(RunError, match=r"there is no run here \(config.yaml is missing\)"):
        RunResult.of(tmp_path / "nothing")
    folder = write_run(tmp_path / "new", [])
    (folder / "metrics.jsonl").unlink()
    with pytest.raises(RunError, match=r"new: the run has no metrics.jsonl"):
        RunResult.of(folder)


def test_a_straight_line_is_not_bent_by_smoothing():
    line = np.linspace(5.0, 1.0, 101)
    np.testing.assert_allclose(smoothed(line, 21), line)


def test_smoothing_averages_what_is_finite():
    values = np.array([1.0, 2.0, np.nan, 4.0, 5.0])
    np.testing.assert_allclose(smoothed(values, 3), [1.0, 1.5, 3.0, 4.5, 5.0])
    assert np.isnan(smoothed([np.nan])).all()
    assert smoothed([]).shape == (0,)


def test_noise_is_the_standard_deviation_around_a_trend_whatever_the_outliers():
    rng = np.random.default_rng(0)
    values = np.linspace(8, 2, 4000) + rng.normal(0, 0.2, 4000)
    values[::100] += 50
    assert noise_of(values) == pytest.approx(0.2, rel=0.1)
    assert noise_of(np.array([1.0])) == 0.0


def test_what_became_of_a_run_follows_from_its_records(tmp_path):
    records = recorded_run(30)
    killed = RunResult(records[:-1], CONFIG, tmp_path / "mine")
    assert RunResult(records).is_finished
    assert not killed.is_finished
    with pytest.raises(RunError, match="mine: the run has not reached its last step"):
        killed.load_model()
    with pytest.raises(RunError, match="its output"):
        _ = RunResult(records).output
    with pytest.raises(RunError, match="no evaluation"):
        _ = RunResult([]).best
    with pytest.raises(RunError, match="mine: the run has not reached its last step"):
        _ = killed.saved


def test_the_saved_model_is_the_one_that_the_end_names():
    *records, end = recorded_run(40, every=20)
    assert RunResult([*records, end]).saved["step"] == end["best_step"] == 40
    assert RunResult([*records, {**end, "best_step": 20}]).saved["step"] == 20
    unmeasured = [
        {**each, "loss": None} if (each["kind"], each["step"]) == ("evaluation", 20) else each
        for each in records
    ]
    with pytest.raises(RunError, match="no finite held-out loss of the saved model, of step 20"):
        _ = RunResult([*unmeasured, {**end, "best_step": 20}]).saved
