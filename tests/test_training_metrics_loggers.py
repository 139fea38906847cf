"""TensorBoard, read back with its own reader; Weights & Biases, played by a module that takes notes."""

from __future__ import annotations

import json
import math
import sys
from types import ModuleType

import pytest
from quick_runs import quick_pretraining, write_documents
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from minillm_lib.training import metrics
from minillm_lib.training.config import LogConfig
from minillm_lib.training.metrics import TensorBoardLogger, check_loggers, scalars
from minillm_lib.training.run_folder import RunError, RunFolder
from minillm_lib.training.stages import pretrain

pytestmark = pytest.mark.usefixtures("known_speed")


@pytest.fixture
def make_config(tmp_path):
    documents = write_documents(tmp_path / "documents.jsonl")

    def make(steps=10, **log):
        return quick_pretraining(tmp_path, documents, steps=steps).replace(log=log)

    return make


def events(folder):
    reader = EventAccumulator(str(folder))
    reader.Reload()
    return reader


def shown(reader, tag):
    return [(event.step, pytest.approx(event.value, rel=1e-6)) for event in reader.Scalars(tag)]


class Killed(BaseException):
    """Ends a run without its doing anything more."""


def test_tensorboard_shows_the_metrics_also_of_a_run_that_was_resumed(make_config):
    config = make_config(tensorboard=True)

    def end(record):
        if record["kind"] == "step" and record["step"] == 8:
            raise Killed

    with pytest.raises(Killed):
        pretrain(config, progress=False, on_record=end)
    result = pretrain(config, resume=True, progress=False)
    reader = events(config.run / "tensorboard")
    for tag, series in {
        "train/loss": result.series("loss"),
        "train/lr": result.series("lr"),
        "train/tokens_per_second": result.series("tokens_per_second"),
        "held_out/perplexity": result.series("perplexity", "evaluation"),
    }.items():
        assert shown(reader, tag) == list(zip(*series, strict=True)), tag
    assert "train/layer_grad_norms/1" in reader.Tags()["scalars"]
    (text,) = [tag for tag in reader.Tags()["tensors"] if tag.startswith("the topic")]
    assert [event.step for event in reader.Tensors(text)] == [0, 4, 8, 10]


def test_tensorboard_forgets_what_a_run_went_back_over(tmp_path):
    logger = TensorBoardLogger(tmp_path, 0)
    for step in (1, 2, 3):
        logger.log({"kind": "step", "step": step, "loss": float(step)})
    logger.go_back(1)
    for step in (2, 3):
        logger.log({"kind": "step", "step": step, "loss": 10.0 * step})
    logger.close()
    assert shown(events(tmp_path), "train/loss") == [(1, 1.0), (2, 20.0), (3, 30.0)]


def test_numbers_have_names_that_say_what_they_are():
    record = {
        "kind": "evaluation",
        "step": 5,
        "loss": 2.5,
        "by_source": {"course-faq": {"loss": 2.0}, "docstring-qa": {"loss": 3.0}},
    }
    assert dict(scalars(record)) == {
        "held_out/loss": 2.5,
        "held_out/course-faq/loss": 2.0,
        "held_out/docstring-qa/loss": 3.0,
    }
    step = {"kind": "step", "step": 5, "loss": 1.5, "layer_grad_norms": [0.25, 0.5]}
    assert dict(scalars(step)) == {
        "train/loss": 1.5,
        "train/layer_grad_norms/0": 0.25,
        "train/layer_grad_norms/1": 0.5,
    }
    assert dict(scalars({"kind": "end", "step": 5, "best_step": 3})) == {}


@pytest.mark.parametrize(("log", "name"), [({"tensorboard": True}, "tensorboard"), ({"wandb": "p"}, "wandb")])
def test_a_missing_package_is_named_before_anything_is_computed(make_config, monkeypatch, log, name):
    monkeypatch.setattr(metrics, "find_spec", lambda package: None)
    config = make_config(**log)
    with pytest.raises(RunError, match=f"log.{name} needs the package {name}.*pip install {name}"):
        pretrain(config, progress=False)
    assert not config.run.exists()
    check_loggers(LogConfig())


class FakeRun:
    """A run of Weights & Biases that takes notes."""

    def __init__(self):
        self.logged, self.axes, self.is_finished = [], [], False

    def define_metric(self, name, step_metric):
        self.axes.append((name, step_metric))

    def log(self, values):
        json.dumps(values)
        self.logged.append(values)

    def finish(self):
        self.is_finished = True


@pytest.fixture
def wandb(monkeypatch):
    module = ModuleType("wandb")
    module.calls, module.runs = [], []

    def init(**options):
        module.calls.append(options)
        module.runs.append(FakeRun())
        return module.runs[-1]

    module.init = init
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.setattr(metrics, "find_spec", lambda package: module)
    return module


def test_wandb_gets_the_metrics_and_a_resumed_run_goes_on_there(make_config, wandb):
    config = make_config(wandb="course")
    with pytest.raises(Killed):
        pretrain(config, progress=False, on_record=_end_at(7))
    result = pretrain(config, resume=True, progress=False)
    first, second = wandb.calls
    assert (first["project"], first["name"], first["resume"]) == ("course", "run", "allow")
    assert first["config"]["train"]["steps"] == 10
    assert first["id"] == second["id"]
    assert [run.is_finished for run in wandb.runs] == [True, True]
    assert wandb.runs[0].axes == [("*", "step")], "steps may come twice, which wandb's own counter may not"
    steps = [values for values in wandb.runs[1].logged if "train/loss" in values]
    assert [values["step"] for values in steps] == [7, 8, 9, 10]
    assert [values["train/loss"] for values in steps] == result.series("loss")[1][6:].tolist()
    logged = [values for run in wandb.runs for values in run.logged]
    texts = [values["samples/the topic"] for values in logged if "samples/the topic" in values]
    assert texts == [sample["text"] for sample in result.of_kind("sample")]


def _end_at(step):
    def end(record):
        if record["kind"] == "step" and record["step"] == step:
            raise Killed

    return end


def test_a_run_that_is_begun_anew_is_another_one_for_wandb(make_config, wandb):
    config = make_config(steps=1, wandb="course")
    for options in ({}, {"overwrite": True}):
        pretrain(config, progress=False, **options)
    assert wandb.calls[0]["id"] != wandb.calls[1]["id"]


def test_what_wandb_complains_of_is_one_line_with_advice(make_config, wandb):
    def init(**_):
        raise Exception("api_key not configured\n(no-tty)")

    wandb.init = init
    config = make_config(wandb="course")
    with pytest.raises(RunError, match=r"log.wandb: api_key not configured \(no-tty\) .*wandb login"):
        pretrain(config, progress=False)
    assert RunFolder(config.run).records("step") == []


def test_a_loss_that_is_no_number_reaches_tensorboard_too(tmp_path):
    logger = TensorBoardLogger(tmp_path, 0)
    logger.log({"kind": "step", "step": 1, "loss": math.nan})
    logger.close()
    ((step, value),) = [(event.step, event.value) for event in events(tmp_path).Scalars("train/loss")]
    assert step == 1
    assert math.isnan(value)
