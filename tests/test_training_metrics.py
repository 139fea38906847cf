from __future__ import annotations

import errno

import pytest
from quick_runs import quick_pretraining, write_documents

from minillm_lib.training.metrics import Metrics
from minillm_lib.training.parallel import Processes
from minillm_lib.training.run_folder import RunFolder
from minillm_lib.training.stages import pretrain

pytestmark = pytest.mark.usefixtures("known_speed")


@pytest.fixture
def config(tmp_path):
    return quick_pretraining(tmp_path, write_documents(tmp_path / "documents.jsonl"), steps=4)


def test_the_caller_gets_each_record_as_it_is_written(config):
    seen = []
    result = pretrain(config, progress=False, on_record=seen.append)
    assert seen == result.records == RunFolder(config.run).records()
    assert [record["kind"] for record in seen[:3]] == ["start", "evaluation", "sample"]
    assert seen[-1]["kind"] == "end"


def test_the_bar_shows_how_it_goes(config, capsys):
    pretrain(config)
    shown = capsys.readouterr().err
    assert "pretrain: 100%" in shown
    assert "4/4" in shown
    for part in ("loss 5.", "tokens/s"):  # in 80 columns; a wider terminal shows more
        assert part in shown, part
    assert max(map(len, shown.splitlines())) <= 80


def test_a_quiet_run_shows_no_bar(config, capsys):
    pretrain(config, progress=False)
    assert capsys.readouterr().err == ""


def test_a_logger_that_fails_is_dropped_in_words_and_the_run_goes_on(config, capsys, monkeypatch):
    """TensorBoard on a full disk, or Weights & Biases without a network."""
    calls = []

    class Failing:
        def log(self, record):
            calls.append(record["step"])
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self):
            raise AssertionError("nothing more is asked of it")

    monkeypatch.setattr("minillm_lib.training.metrics.open_loggers", lambda config, step: [Failing()])
    result = pretrain(config, progress=False)
    assert result.is_finished
    assert calls == [0]
    said = capsys.readouterr().out
    assert "Failing: OSError: [Errno 28] No space left on device; nothing more is logged there" in said


def test_metrics_that_are_no_records_are_set_aside_when_a_run_resumes(config, capsys):
    finished = pretrain(config, progress=False)
    folder = RunFolder(config.run)
    content = folder.metrics_path.read_bytes()
    folder.metrics_path.write_bytes(b"42\n" + content + b'{"kind": "st')
    resumed = pretrain(config, resume=True, progress=False)
    assert resumed.series("loss")[1].tolist() == finished.series("loss")[1].tolist()
    said = capsys.readouterr().out
    assert "metrics.jsonl: 2 lines are no records and are left out (line 1: it holds 42" in said
    assert f"they are kept in {folder.unreadable_path}" in said
    assert folder.unreadable_path.read_bytes() == b'42\n{"kind": "st\n'


def test_other_processes_than_the_first_write_nothing(tmp_path, config, capsys):
    folder = RunFolder(tmp_path / "run")
    seen = []
    second = Processes(1, 2, "cpu")
    metrics = Metrics(config, folder, second, show_bar=True, on_record=seen.append)
    with metrics.opened(0):
        metrics.record({"kind": "step", "step": 1})
        metrics.go_back(0)
        metrics.say("hello")
    assert not folder.path.exists()
    assert seen == []
    assert capsys.readouterr() == ("", "")
