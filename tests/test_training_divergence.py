"""Losses that diverge are found and recorded, and the run is stopped or rolled back, never silently continued."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from quick_runs import quick_pretraining, write_documents

from minillm_lib.model.decoder import MiniLLM
from minillm_lib.training import divergence, trainer
from minillm_lib.training.checkpoints import CheckpointFolder
from minillm_lib.training.data import prepare_pretraining_data
from minillm_lib.training.divergence import BadBatches, Problem, TrainingDivergedError, find_problem
from minillm_lib.training.metrics import Metrics
from minillm_lib.training.parallel import Processes
from minillm_lib.training.precision import Precision
from minillm_lib.training.progress import Progress
from minillm_lib.training.rows import rows_of_step
from minillm_lib.training.run_folder import RunFolder
from minillm_lib.training.stages import pretrain

USUAL = [3.0, 3.1, 2.9, 3.05, 2.95] * 20


pytestmark = pytest.mark.usefixtures("known_speed")


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    return write_documents(tmp_path_factory.mktemp("text") / "documents.jsonl")


@pytest.fixture
def poison(monkeypatch, documents):
    """Multiply the loss of certain training batches."""

    def plant(*numbers, factor=math.nan):
        data = prepare_pretraining_data(quick_pretraining(documents, documents).data, progress=False)
        windows = data.windows("train", 32)
        rows = [row for number in numbers for row in rows_of_step(number, 4, len(windows), seed=0)]
        assert len(windows) > 80, "each row is read once only in these runs"
        poisoned = {tuple(ids) for ids in windows[rows].input_ids.tolist()}
        sound = MiniLLM.loss

        def loss(self, input_ids, labels, **options):
            is_poisoned = self.training and not poisoned.isdisjoint(map(tuple, input_ids.tolist()))
            return sound(self, input_ids, labels, **options) * (factor if is_poisoned else 1)

        monkeypatch.setattr(MiniLLM, "loss", loss)

    return plant


def weights_of(config):
    checkpoints = CheckpointFolder(config.run)
    return (checkpoints.path_of(checkpoints.steps()[-1]) / "model.safetensors").read_bytes()


def problem(loss=3.0, grad_norm=1.0, recent=USUAL, deviations=8.0, skips=False):
    return find_problem(loss, grad_norm, recent, spike_deviations=deviations, skips_infinite_gradients=skips)


def test_what_is_not_finite_is_a_problem():
    assert problem() is None
    assert problem(loss=math.nan) == ("nan", "the loss is nan")
    assert problem(loss=math.inf).kind == "nan"
    assert problem(grad_norm=math.inf) == ("nan", "the gradient's norm is inf, with a loss of 3.000")
    assert problem(grad_norm=math.inf, skips=True) is None, "a scaler deals with that"
    assert problem(loss=math.nan, skips=True).kind == "nan"


def test_a_spike_is_so_many_standard_deviations_above_the_recent_mean():
    limit = np.mean(USUAL) + 8 * np.std(USUAL, ddof=1)
    assert problem(loss=limit - 1e-6) is None
    assert problem(loss=limit + 1e-6).kind == "spike"
    assert problem(loss=limit + 1e-6, deviations=9.0) is None
    assert (
        problem(loss=limit + 1e-6).description
        == f"the loss jumped to {limit:.3f}; the last 100 were 3.000 ± 0.071"
    )
    assert problem(loss=0.1) is None, "down is no spike"


def test_few_or_equal_losses_make_no_spike():
    assert problem(loss=100.0, recent=USUAL[:49]) is None
    assert problem(loss=100.0, recent=USUAL[:50]).kind == "spike"
    assert problem(loss=1.1, recent=[1.0] * 100) is None


def test_a_nan_stops_the_run_and_its_batch_is_kept(tmp_path, documents, poison):
    poison(5)
    config = quick_pretraining(tmp_path, documents)
    with pytest.raises(TrainingDivergedError) as raised:
        pretrain(config, progress=False)
    folder = RunFolder(config.run)
    message = str(raised.value)
    assert message.startswith("step 6, batch 5: the loss is nan.")
    assert "the checkpoint of step 4 is intact" in message
    assert str(folder.bad_batches_path) in message
    assert "--resume --train.on_nan rollback" in message
    kept = json.loads((folder.bad_batches_path / "batch-000005.json").read_text())
    data = prepare_pretraining_data(config.data, progress=False)
    assert kept["rows"] == rows_of_step(5, 4, len(data.windows("train", 32)), seed=0).tolist()
    row = data.train.tokens[kept["rows"][0] * 32 : kept["rows"][0] * 32 + 32]
    assert kept["texts"][0] == data.tokenizer.decode(row.tolist(), skip_special_tokens=False)
    (warning,) = folder.records("warning")
    assert (warning["step"], warning["reaction"], warning["problem"]) == (6, "stop", "the loss is nan")
    assert [record["step"] for record in folder.records("step")] == [1, 2, 3, 4, 5]


def without_batch(monkeypatch, bad):
    """The order of the data as if a batch had never been in it."""
    sound = trainer.rows_of_step
    monkeypatch.setattr(trainer, "rows_of_step", lambda number, *rest: sound(number + (number >= bad), *rest))


@pytest.mark.parametrize("bad", [1, 5])
def test_a_rollback_is_as_if_the_batch_had_never_been(tmp_path, documents, poison, monkeypatch, bad):
    """Back to the start, where the optimizers have no state yet, and to a checkpoint."""
    config = quick_pretraining(tmp_path, documents, steps=7, on_nan="rollback")
    with monkeypatch.context() as patched:
        without_batch(patched, bad)
        expected = quick_pretraining(tmp_path, documents, "expected", steps=7)
        reference = pretrain(expected, progress=False)
    poison(bad)
    result = pretrain(config, progress=False)
    assert result.is_finished
    assert weights_of(config) == weights_of(expected)
    np.testing.assert_array_equal(result.series("loss"), reference.series("loss"))
    np.testing.assert_array_equal(result.series("grad_norm"), reference.series("grad_norm"))
    (warning,) = result.of_kind("warning")
    assert (warning["step"], warning["reaction"]) == (bad + 1, "rollback")


class Killed(BaseException):
    """Ends a run without its doing anything more."""


def killed_after(step):
    def end(record):
        if record["kind"] == "step" and record["step"] == step:
            raise Killed

    return end


@pytest.fixture
def rolled_back(tmp_path, documents, poison):
    """A run of eight steps that went back over batch 5."""
    poison(5)
    config = quick_pretraining(tmp_path, documents, "whole", steps=8, on_nan="rollback")
    return config, pretrain(config, progress=False)


def test_a_run_that_went_back_is_still_resumed_exactly(tmp_path, documents, rolled_back):
    """Ended in the first step after going back, which is taken again, and after the next checkpoint."""
    whole, reference = rolled_back
    config = quick_pretraining(tmp_path, documents, "ended", steps=8, on_nan="rollback")
    for last_step in (5, 7):

        def end(record, last_step=last_step):
            went_back = RunFolder(config.run).skipped_batches() == [5]
            if record["kind"] == "step" and record["step"] == last_step and went_back:
                raise Killed

        with pytest.raises(Killed):
            pretrain(config, resume=last_step == 7, progress=False, on_record=end)
    result = pretrain(config, resume=True, progress=False)
    assert weights_of(config) == weights_of(whole)
    np.testing.assert_array_equal(result.series("loss"), reference.series("loss"))
    assert len(result.of_kind("warning")) == 1, "the batch is left out at once, not found bad again"


def test_a_run_that_stopped_goes_on_without_the_batch(tmp_path, documents, rolled_back):
    whole, _ = rolled_back
    config = quick_pretraining(tmp_path, documents, "stopped", steps=8)
    with pytest.raises(TrainingDivergedError):
        pretrain(config, progress=False)
    config = quick_pretraining(tmp_path, documents, "stopped", steps=8, on_nan="rollback")
    result = pretrain(config, resume=True, progress=False)
    assert weights_of(config) == weights_of(whole)
    assert [warning["reaction"] for warning in result.of_kind("warning")] == ["stop", "rollback"]
    assert result.of_kind("resume")[0]["changed"] == {"train.on_nan": ["stop", "rollback"]}


def test_after_five_batches_the_cause_is_not_the_data(tmp_path, documents, poison):
    poison(*range(5, 20))
    config = quick_pretraining(tmp_path, documents, on_nan="rollback")
    with pytest.raises(TrainingDivergedError, match="5 batches near it have been left out already"):
        pretrain(config, progress=False)
    folder = RunFolder(config.run)
    reactions = [warning["reaction"] for warning in folder.records("warning")]
    assert reactions == ["rollback"] * 5 + ["stop"]
    assert folder.skipped_batches() == [5, 6, 7, 8, 9]


@pytest.fixture
def spoil(monkeypatch):
    """Let the update of a step, once, turn a weight into NaN."""

    def plant(step):
        sound, left = trainer.make_optimizers, [step]

        def make_optimizers(model, *options):
            optimizers = sound(model, *options)
            update = optimizers[0].step

            def spoiling(closure=None):
                update(closure)
                left[0] -= 1
                if left[0] == 0:
                    with torch.no_grad():
                        model.layers[1].mlp.down_proj.weight[3, 4] = math.nan

            monkeypatch.setattr(optimizers[0], "step", spoiling)
            return optimizers

        monkeypatch.setattr(trainer, "make_optimizers", make_optimizers)

    return plant


def test_a_weight_that_is_no_number_stops_the_run_and_gets_into_no_checkpoint(tmp_path, documents, spoil):
    spoil(6)  # which a checkpoint would follow
    config = quick_pretraining(tmp_path, documents)
    with pytest.raises(
        TrainingDivergedError, match=r"step 6, batch 5: a weight is not finite .* step 4 is intact"
    ):
        pretrain(config, progress=False)
    folder = RunFolder(config.run)
    checkpoints = CheckpointFolder(folder.path)
    assert checkpoints.steps() == [3, 4]
    assert folder.records("step")[-1]["step"] == 5


def test_a_spoiled_weight_is_left_behind_by_going_back(tmp_path, documents, spoil):
    spoil(6)
    result = pretrain(quick_pretraining(tmp_path, documents, on_nan="rollback"), progress=False)
    assert [warning["step"] for warning in result.of_kind("warning")] == [6]
    assert all(bool(torch.isfinite(each).all()) for each in result.load_model().parameters())
    assert result.series("step")[0].tolist() == list(range(1, 11))


@pytest.mark.parametrize("reaction", ["warn", "stop", "rollback"])
def test_a_spike_is_met_as_configured(tmp_path, documents, poison, reaction, monkeypatch, capsys):
    monkeypatch.setattr(divergence, "RECENT", 20)  # so that ten steps tell what is usual
    poison(12, factor=10.0)
    config = quick_pretraining(
        tmp_path, documents, steps=16, on_spike=reaction, schedule={"name": "constant"}
    )
    config = config.replace(checkpoint={"every": 10}, evaluation={"every": 100, "max_tokens": 256})
    folder, error = RunFolder(config.run), None
    checkpoints = CheckpointFolder(folder.path)
    try:
        pretrain(config, progress=False)
    except TrainingDivergedError as raised:
        error = raised
    (warning,) = folder.records("warning")
    assert (warning["step"], warning["reaction"]) == (13, reaction)
    assert "the loss jumped to" in warning["problem"]
    losses = [record["loss"] for record in folder.records("step")]
    if reaction == "stop":
        assert "--train.on_spike rollback" in str(error)
        assert len(losses) == 12
        return
    assert error is None
    assert len(losses) == 16
    assert "batch 12: the loss jumped" in capsys.readouterr().out
    assert (max(losses[1:]) > 20) == (reaction == "warn"), "a rollback leaves no trace of it in the losses"
    facts = checkpoints.verified_metadata(16)
    assert max(facts["progress"]["recent_losses"][1:]) < 20, "a spike is no measure for what is usual"


@pytest.mark.parametrize("pattern", ["all", "nine of ten"])
def test_a_loss_that_stays_high_is_said_once_and_its_batches_are_no_longer_kept(
    tmp_path, documents, monkeypatch, capsys, pattern
):
    """It is played: a run of 80 usual steps, and 300 whose loss is three times as high."""
    config = quick_pretraining(tmp_path, documents).train
    processes = Processes(0, 1, torch.device("cpu"))
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    data = prepare_pretraining_data(quick_pretraining(documents, documents).data, progress=False)
    rows = data.windows("train", 32)
    metrics = Metrics(config, folder, processes, show_bar=False, on_record=None)
    bad = BadBatches(
        config, folder, metrics, rows, data.tokenizer, Precision("float32", processes.device, True)
    )
    progress, usual = Progress(), iter(USUAL * 10)
    for step in range(1, 381):
        is_high = step > 80 and (pattern == "all" or step % 10 > 0)
        loss = next(usual) * (3 if is_high else 1)
        found = bad.find_problem(step, loss, 1.0, progress.recent_losses)
        if found is not None:
            assert bad.take(found, step, step - 1, np.array([0, 1])) == "warn"
        progress.add_step(loss, 1, is_usual=found is None)
    assert len(list(folder.bad_batches_path.iterdir())) == 20
    said = capsys.readouterr().out
    assert said.count("the loss stays high, with 20 spikes in the last 100 steps") == 1
    assert [record["problem"].startswith("the loss jumped") for record in folder.records("warning")] == [
        *[True] * 20,
        False,
    ]
    assert max(progress.recent_losses) > 8, "what is usual now"
    assert bad.find_problem(381, 300.0, 1.0, progress.recent_losses).kind == "spike", (
        "a further jump is found"
    )


def test_batches_that_were_left_out_long_ago_do_not_end_a_run(tmp_path, documents, poison):
    poison(6)
    config = quick_pretraining(tmp_path, documents, steps=8, on_nan="rollback")
    with pytest.raises(Killed):
        pretrain(config, progress=False, on_record=killed_after(4))
    folder = RunFolder(config.run)
    for number in range(1000, 1005):
        folder.keep_bad_batch(number, {"batch": number, "reaction": "rollback"})
    assert pretrain(config, resume=True, progress=False).is_finished
    assert folder.skipped_batches() == [6, *range(1000, 1005)]


@pytest.mark.parametrize("kind", ["nan", "spike"])
@pytest.mark.parametrize("n_skipped", [1, 5])
def test_each_way_to_go_on_is_named(tmp_path, documents, monkeypatch, kind, n_skipped):
    found = Problem(kind, "played")
    monkeypatch.setattr(divergence, "find_problem", lambda *_, **__: found)
    reaction = {f"on_{kind}": "stop"}
    config = quick_pretraining(tmp_path, documents, steps=8, **reaction)
    folder = RunFolder(config.run)
    for number in range(1, 1 + n_skipped):
        folder.keep_bad_batch(number, {"batch": number, "reaction": "rollback"})
    with pytest.raises(TrainingDivergedError) as raised:
        pretrain(config, progress=False)
    message = str(raised.value)
    assert (f"resume without it (--resume --train.on_{kind} rollback), " in message) == (n_skipped < 5)
    assert ("5 batches near it have been left out already" in message) == (n_skipped == 5)
    assert ("resume with it (--resume --train.on_spike warn), or start again" in message) == (kind == "spike")
    assert message.endswith("start again with a lower train.lr or a longer warm-up")
    assert " 1 batches" not in message


def test_going_back_also_works_with_a_loss_scaler(tmp_path, documents, poison, monkeypatch):
    """What fp16 on CUDA does, on a CPU: a void step must leave nothing in the scaler."""

    class Scaled(Precision):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self._scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)

    poison(5)
    names, losses = ("plain", "scaled"), []
    for name in names:
        config = quick_pretraining(tmp_path, documents, name, steps=7, on_nan="rollback")
        losses.append(pretrain(config, progress=False).series("loss")[1])
        monkeypatch.setattr(trainer, "Precision", Scaled)
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
