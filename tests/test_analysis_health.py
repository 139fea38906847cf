"""Is my run healthy: planted errors are found and identified, and healthy runs raise no alarm.

The first half plants them in records, the second half in runs that are actually trained.
"""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from recorded_run import CONFIG, VOCAB_SIZE, changed, law, recorded_run, write_run
from rich.console import Console
from small_run import LEARNING_RATE, STEPS, small_config, small_run

from minillm_lib.analysis.health.report import examine_run
from minillm_lib.analysis.reference import FILE_NAME, reference_band
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.training import trainer
from minillm_lib.training.rows import TokenWindows, rows_of_step
from minillm_lib.training.run_folder import RunError, RunFolder
from minillm_lib.training.stages import pretrain

BASELINES = {"unigram": 6.9, "bigram": 4.5}


def alarms(report):
    """Return the findings to look at or wrong, by subject."""
    return {each.about: each.severity for each in report.findings if each.severity in ("look", "wrong")}


def examined(records, tmp_path, *, config=None, baselines=BASELINES, references="results"):
    folder = write_run(tmp_path / "run", records, config)
    return examine_run(folder, baselines=baselines, references=tmp_path / references)


def loss_changed(change, n_steps=400, **options):
    """A healthy run whose loss in each step is ``change(step, loss)``."""
    return changed(
        recorded_run(n_steps, **options), lambda each: {"loss": float(change(each["step"], each["loss"]))}
    )


# --- healthy -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("noise", [0.01, 0.05, 0.2])
def test_a_healthy_run_raises_no_alarm(tmp_path, seed, noise):
    report = examined(recorded_run(seed=seed, noise=noise), tmp_path)
    assert alarms(report) == {}
    assert report.is_healthy
    assert report.verdict == "Nothing is wrong."


def test_nor_does_one_of_several_epochs_with_a_decay_and_a_single_spike(tmp_path):
    records = loss_changed(lambda step, loss: loss + 3 * (step == 150), epoch=100 * 4096)
    records = changed(
        records, lambda each: {"lr": 3e-3 * min(1.0, each["step"] / 20, (401 - each["step"]) / 80)}
    )
    assert alarms(examined(records, tmp_path)) == {}


def test_a_run_of_a_few_steps_cannot_be_told(tmp_path):
    config = {**CONFIG, "train": {**CONFIG["train"], "steps": 12}}
    report = examined(recorded_run(12, every=4), tmp_path, config=config)
    assert alarms(report) == {}
    for subject in ("learning rate", "gradient norm", "data order", "memory", "speed", "memorising"):
        assert report.about(subject).severity == "unsure", subject


def test_records_alone_are_enough_for_most(tmp_path):
    report = examine_run(recorded_run(), references=tmp_path)
    assert alarms(report) == {}
    assert report.about("what is learned").severity == "unsure"
    assert report.about("learning rate").severity == "ok"


# --- planted in records --------------------------------------------------------------------------------------------


def test_fresh_weights_that_are_too_large(tmp_path):
    records = loss_changed(lambda step, loss: loss + 20 * 0.8**step / 0.8)
    finding = examined(records, tmp_path).about("initial loss")
    assert finding.severity == "wrong"
    assert f"a uniform guess among {VOCAB_SIZE:,} tokens is 8.76" in finding.found
    assert "initializer_range" in finding.advice


def test_a_loss_that_begins_better_than_chance(tmp_path):
    records = loss_changed(lambda step, loss: min(loss, 4.0))
    assert alarms(examined(records, tmp_path))["initial loss"] == "look"


def test_fine_tuning_that_begins_from_nothing(tmp_path):
    begun_anew = examined(recorded_run(stage="sft"), tmp_path)
    assert begun_anew.about("initial loss").severity == "wrong"
    assert "is it the pretrained model" in begun_anew.about("initial loss").advice
    with pytest.raises(
        ValueError, match="no finding about 'what is learned'; the subjects are initial loss, reference"
    ):
        begun_anew.about("what is learned")
    pretrained = examined(loss_changed(lambda step, loss: loss - 4, stage="sft"), tmp_path)
    assert pretrained.about("initial loss").severity == "ok"


def test_pretraining_that_goes_on_from_a_checkpoint_is_not_measured_by_untrained_weights(tmp_path):
    recorded = write_run(tmp_path / "recorded", recorded_run(seed=7))
    reference_band(recorded, name="results/26m").save(tmp_path / "results" / "26m" / FILE_NAME)
    continued, fresh = {**CONFIG, "ckpt": "checkpoints/pretrain.pt"}, {**CONFIG, "ckpt": None}
    records = loss_changed(lambda step, loss: 2.5 + loss / 100, peak=1e-5)
    report = examined(records, tmp_path, config=continued)
    assert alarms(report) == {}
    assert report.about("initial loss").found.endswith("the pretrained model's knowledge is there")
    assert "start from random weights, and this one from ckpt" in report.about("reference").found
    assert {"initial loss", "reference", "learning rate"} <= alarms(
        examined(records, tmp_path, config=fresh)
    ).keys()
    too_high = examined(recorded_run(peak=0.015), tmp_path, config=continued)
    assert "initial weights" not in too_high.about("learning rate").found
    begun_anew = examined(recorded_run(), tmp_path, config=continued).about("initial loss")
    assert (begun_anew.severity, "new to the model" in begun_anew.advice) == ("look", True)


@pytest.mark.parametrize(
    ("offset", "severity"), [(0.0, "ok"), (0.3, "look"), (1.0, "wrong"), (-1.0, "look"), (-0.1, "ok")]
)
def test_a_loss_beside_the_band_of_a_recorded_run(tmp_path, offset, severity):
    recorded = write_run(tmp_path / "recorded", recorded_run(seed=7))
    reference_band(recorded, name="results/26m").save(tmp_path / "results" / "26m" / FILE_NAME)
    records = loss_changed(lambda step, loss: loss + offset * (step > 20))
    finding = examined(records, tmp_path).about("reference")
    assert finding.severity == severity
    assert "results/26m has" in finding.found


def test_a_band_of_other_text_is_no_measure(tmp_path):
    reference_band(recorded_run(), name="26m").save(tmp_path / "results" / FILE_NAME)  # of no named corpus
    finding = examined(recorded_run(), tmp_path).about("reference")
    assert finding.severity == "unsure"
    assert "has read other text" in finding.found


@pytest.mark.parametrize(
    ("level", "words"),
    [(7.5, "not even learned how frequent"), (6.9, "only how frequent"), (0.5, "too good to be true")],
)
def test_what_is_learned_is_measured_by_counting(tmp_path, level, words):
    records = changed(
        recorded_run(), lambda each: {"loss": max(level, each["loss"]) if level > 1 else level}, "evaluation"
    )
    finding = examined(records, tmp_path).about("what is learned")
    assert words in finding.found
    assert finding.severity == ("look" if level < 1 else "wrong")


def test_the_frequencies_are_a_stage_that_takes_its_time(tmp_path):
    records = changed(recorded_run(200), lambda each: {"loss": max(6.9, each["loss"])}, "evaluation")
    assert examined(records, tmp_path).about("what is learned").severity == "unsure"


@pytest.mark.parametrize(("peak", "severity"), [(0.003, None), (0.015, "look"), (0.09, "wrong")])
def test_a_rate_that_moves_weights_by_more_than_their_size(tmp_path, peak, severity):
    report = examined(recorded_run(peak=peak), tmp_path)
    assert alarms(report).get("learning rate") == severity


def test_a_rate_that_cannot_have_moved_the_weights(tmp_path):
    finding = examined(recorded_run(peak=1e-5), tmp_path).about("learning rate")
    assert finding.severity == "wrong"
    assert "too low? all 400 steps together can have moved a weight by 0.0039" in finding.found


def test_a_loss_that_hardly_falls(tmp_path):
    records = loss_changed(lambda step, loss: 8.7 - step * 1e-5)
    assert "changed by only −0.004 nats" in examined(records, tmp_path).about("learning rate").found


def test_a_loss_that_rises_and_stays_up(tmp_path):
    records = loss_changed(lambda step, loss: loss + 2 * (step > 250))
    finding = examined(records, tmp_path).about("learning rate")
    assert finding.severity == "wrong"
    assert "at the end" in finding.found
    assert "Try a third of train.lr" in finding.advice


def test_a_loss_that_rises_and_comes_back(tmp_path):
    records = loss_changed(lambda step, loss: loss + 2 * (200 < step < 230))
    finding = examined(records, tmp_path).about("learning rate")
    assert finding.severity == "look"
    assert "and came back" in finding.found


def test_spikes_now_and_again(tmp_path):
    records = loss_changed(lambda step, loss: loss + 2 * (step > 50 and step % 40 == 0))
    finding = examined(records, tmp_path).about("learning rate")
    assert finding.severity == "look"
    assert "9 steps have a loss far above" in finding.found


def test_gradients_that_grow_while_nothing_is_learned(tmp_path):
    records = loss_changed(lambda step, loss: max(loss, 5.0))
    records = changed(records, lambda each: {"grad_norm": each["grad_norm"] * 1.01 ** each["step"]})
    assert alarms(examined(records, tmp_path))["gradient norm"] == "look"
    still_learning = changed(
        recorded_run(), lambda each: {"grad_norm": each["grad_norm"] * 1.006 ** each["step"]}
    )
    assert examined(still_learning, tmp_path).about("gradient norm").severity == "ok"


@pytest.mark.parametrize(
    ("norm", "severity", "words"),
    [
        (1e-9, "wrong", "all but vanished"),
        (math.inf, "wrong", "not finite"),
        (40.0, "look", "clipped to 1"),
        (0.9, "ok", "0% of the steps after the warm-up were clipped to 1"),
    ],
)
def test_gradients_of_an_unusual_size(tmp_path, norm, severity, words):
    finding = examined(changed(recorded_run(), lambda _: {"grad_norm": norm}), tmp_path).about(
        "gradient norm"
    )
    assert finding.severity == severity
    assert words in finding.found


@pytest.mark.parametrize(
    ("norms", "severity", "words"),
    [
        ([0.3, 0.2, 0.0, 0.2], "wrong", "almost no gradient in block 2"),
        ([0.3, 0.005, 0.2, 0.2], "look", "almost no gradient in block 1"),
        ([0.3, 0.2, 0.2, 900.0], "wrong", "far larger gradient in block 3"),
        ([0.0, 0.0, 0.0, 0.0], "wrong", "block 0 (0.0e+00), 1"),
        ([0.9, 0.1, 0.05, 0.06], "ok", "all 4 blocks"),
    ],
)
def test_a_block_unlike_the_others(tmp_path, norms, severity, words):
    records = changed(
        recorded_run(), lambda each: {"layer_grad_norms": norms} if "layer_grad_norms" in each else {}
    )
    finding = examined(records, tmp_path).about("blocks")
    assert finding.severity == severity
    assert words in finding.found


def with_overflows(steps, precision):
    """A healthy run in which the gradient of some steps, and of the blocks there, is not finite."""
    records = changed(recorded_run(), lambda each: {"grad_norm": None} if each["step"] in steps else {})
    blocks = {"layer_grad_norms": [None, None, 0.15, 0.2]}
    records = changed(
        records, lambda each: blocks if each["step"] in steps and "layer_grad_norms" in each else {}
    )
    return changed(records, lambda _: {"precision": precision}, "start")


def test_a_step_that_the_scaler_of_fp16_skips_now_and_then_is_no_fault(tmp_path):
    report = examined(with_overflows({300, 400}, "fp16"), tmp_path)
    assert alarms(report) == {}
    assert (
        "2 of 381 steps after the warm-up have a gradient that is not finite"
        in report.about("gradient norm").found
    )
    assert report.about("blocks").found.endswith("left out: 2 of 20, whose gradients are not finite")
    one = examined(with_overflows({300}, "fp16"), tmp_path).about("gradient norm").found
    assert one.endswith(
        "; 1 of 381 steps after the warm-up has a gradient that is not finite, which the scaler of fp16 skipped"
    )


@pytest.mark.parametrize(
    ("steps", "precision"), [(set(range(25, 400, 20)), "fp16"), ({300}, "bf16"), ({300}, "float32")]
)
def test_many_of_them_are_and_any_without_a_scaler(tmp_path, steps, precision):
    finding = examined(with_overflows(steps, precision), tmp_path).about("gradient norm")
    assert finding.severity == "wrong"
    assert ("with fp16" in finding.advice) == (precision == "fp16")


def test_blocks_whose_gradients_are_never_finite_say_nothing(tmp_path):
    finding = examined(with_overflows(set(range(1, 401)), "fp16"), tmp_path).about("blocks")
    assert (finding.severity, "not finite in any" in finding.found) == ("unsure", True)


@pytest.mark.parametrize(("epochs", "severity"), [(0.5, "wrong"), (8, "look")])
def test_batches_in_the_same_order_again(tmp_path, epochs, severity):
    hardness = np.random.default_rng(1).normal(0, 0.1, 50)
    records = loss_changed(
        lambda step, loss: loss + hardness[step % 50], noise=0.02, epoch=int(400 * 4096 / epochs)
    )
    finding = examined(records, tmp_path).about("data order")
    assert finding.severity == severity
    assert "every 50 steps" in finding.found


def test_text_learned_by_heart_before_an_epoch_is_over(tmp_path):
    records = loss_changed(lambda step, loss: loss - step / 200, epoch=10**8)
    assert alarms(examined(records, tmp_path))["memorising"] == "wrong"


def test_text_learned_by_heart_over_epochs(tmp_path):
    steps_per_epoch = 80
    records = loss_changed(
        lambda step, loss: loss - 0.2 * ((step - 1) // steps_per_epoch), epoch=steps_per_epoch * 4096
    )
    finding = examined(records, tmp_path).about("memorising")
    assert finding.severity == "look"
    assert "where an epoch begins" in finding.found


@pytest.mark.parametrize(("rise", "severity"), [(0.0, None), (0.15, "look"), (0.8, "wrong")])
def test_held_out_text_that_gets_worse(tmp_path, rise, severity):
    def after_half(each):
        return {"loss": law(200 * 4096) + rise * (each["step"] - 200) / 200} if each["step"] > 200 else {}

    records = changed(recorded_run(epoch=50 * 4096), after_half, "evaluation")
    assert alarms(examined(records, tmp_path)).get("overfitting") == severity


def test_a_machine_that_slows_down(tmp_path):
    records = changed(
        recorded_run(),
        lambda each: {"tokens_per_second": each["tokens_per_second"] / (1 + each["step"] / 400)},
    )
    assert alarms(examined(records, tmp_path)) == {"speed": "look"}


def test_one_slow_hour_is_no_trend(tmp_path):
    records = changed(
        recorded_run(),
        lambda each: {
            "tokens_per_second": each["tokens_per_second"] * (0.4 if 90 < each["step"] < 150 else 1)
        },
    )
    assert alarms(examined(records, tmp_path)) == {}


@pytest.mark.parametrize(("a_step", "severity"), [(0, None), (2**20, "look"), (8 * 2**20, "wrong")])
def test_memory_that_grows(tmp_path, a_step, severity):
    records = changed(recorded_run(), lambda each: {"memory": each["memory"] + a_step * each["step"]})
    assert alarms(examined(records, tmp_path)).get("memory") == severity


def test_a_loss_that_is_not_finite(tmp_path):
    records = loss_changed(lambda step, loss: math.nan if step > 300 else loss)
    finding = examined(records, tmp_path).about("warnings")
    assert finding.severity == "wrong"
    assert "step 301, step 302" in finding.found
    assert "and 95 more" in finding.found


@pytest.mark.parametrize(
    ("reaction", "severity"), [("warn", "look"), ("rollback", "look"), ("stop", "wrong")]
)
def test_what_the_run_itself_has_noted(tmp_path, reaction, severity):
    warning = {"kind": "warning", "step": 77, "problem": "the loss jumped to 9.1", "reaction": reaction}
    finding = examined([*recorded_run(), warning], tmp_path).about("warnings")
    assert finding.severity == severity
    assert "the last one, at step 77: the loss jumped to 9.1" in finding.found


def test_batches_that_were_set_aside_are_counted(tmp_path):
    folder = write_run(tmp_path / "run", recorded_run())
    (folder / "bad-batches").mkdir()
    (folder / "bad-batches" / "batch-000003.json").write_text("{}")
    assert examine_run(folder).about("warnings").severity == "look"


def test_steps_that_are_missing_or_there_twice(tmp_path):
    records = recorded_run()
    by_step = {each["step"]: each for each in records if each["kind"] == "step"}
    without = [each for each in records if each is not by_step[100]]
    assert "missing: 100" in examined(without, tmp_path).about("steps").found
    twice = [*records, by_step[200]]
    finding = examined(twice, tmp_path).about("steps")
    assert (finding.severity, "twice: 200" in finding.found) == ("wrong", True)


def test_a_run_that_was_broken_off_is_told_how_to_go_on(tmp_path):
    report = examined(recorded_run(300)[:-1], tmp_path)
    finding = report.about("finished")
    assert finding.severity == "look"
    assert finding.found == "the run has reached step 300 of 400"
    assert (
        finding.advice == f"Resume it: minillm pretrain --config {tmp_path / 'run' / 'config.yaml'} --resume"
    )


def test_a_run_that_goes_on_is_left_alone(tmp_path):
    folder = write_run(tmp_path / "run", recorded_run(300)[:-1])
    with RunFolder(folder).locked():
        assert examine_run(folder).about("finished").found == "step 300 of 400: the run is still going"
    assert examine_run(folder).about("finished").severity == "look"


def test_looking_leaves_no_trace(tmp_path):
    folder = write_run(tmp_path / "run", recorded_run())
    examine_run(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["config.yaml", "metrics.jsonl"]


def test_a_run_without_a_step(tmp_path):
    report = examined(recorded_run()[:1], tmp_path)
    assert not report.is_healthy
    assert report.about("steps").found == "no step is recorded"
    with pytest.raises(RunError, match="there is no run here"):
        examine_run(tmp_path / "nowhere")


def test_the_table_has_every_finding_and_the_verdict(tmp_path):
    report = examined(recorded_run(peak=0.09)[:-1], tmp_path)
    console = Console(file=io.StringIO(), width=200)
    console.print(report)
    for text in (console.file.getvalue(), report._repr_html_()):
        assert all(finding.about in text for finding in report.findings)
        assert "1 wrong, 1 to look at, 11 as they should be." in text
        assert "cannot tell" in text


def test_html_shows_text_as_text(tmp_path):
    warning = {"kind": "warning", "step": 7, "problem": "<script>x</script>", "reaction": "warn"}
    assert "<script>" not in examined([*recorded_run(), warning], tmp_path)._repr_html_()


# --- planted in real runs ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs stand side by side here, and share the tokenizer and the token files."""
    return tmp_path_factory.mktemp("runs")


def test_a_real_run_raises_no_alarm_and_knows_its_baselines(folder):
    report = examine_run(small_run(folder, name="healthy", steps=80))
    assert alarms(report) == {}
    assert report.about("what is learned").severity == "ok"
    assert report.about("blocks").severity == "ok"


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"seed": 1}, {"seed": 2, "optimizer": {"name": "adamw"}}])
def test_nor_do_others(folder, options):
    assert alarms(examine_run(small_run(folder, name=f"healthy-{options['seed']}", **options))) == {}


@pytest.mark.slow
def test_a_learning_rate_thirty_times_too_high(folder):
    report = examine_run(small_run(folder, name="high", lr=30 * LEARNING_RATE))
    assert alarms(report) == {"learning rate": "wrong"}
    assert report.about("learning rate").found.startswith("too high?")


@pytest.mark.slow
def test_a_learning_rate_three_hundred_times_too_low(folder):
    report = examine_run(small_run(folder, name="low", lr=LEARNING_RATE / 300))
    assert alarms(report) == {"learning rate": "wrong", "what is learned": "wrong"}
    assert report.about("learning rate").found.startswith("too low?")


@pytest.mark.slow
def test_initial_weights_fifty_times_too_large(folder):
    report = examine_run(small_run(folder, name="unscaled", model_initializer_range=1.0))
    assert alarms(report)["initial loss"] == "wrong"
    assert "a uniform guess among 320 tokens is 5.77" in report.about("initial loss").found


def on_training_text(change):
    """Batches of the training text, changed; held-out ones as they are."""
    original = TokenWindows.__getitem__

    def batch(self, rows):
        if self.file.path.stem != "train":
            return original(self, rows)
        return change(lambda chosen: original(self, chosen), rows)

    return batch


@pytest.mark.slow
def test_labels_that_do_not_belong_to_the_inputs(folder, monkeypatch):
    def shuffled(read, rows):
        batch = read(rows)
        labels = batch.labels.flatten()
        return replace(batch, labels=labels[torch.randperm(len(labels))].view_as(batch.labels))

    monkeypatch.setattr(TokenWindows, "__getitem__", on_training_text(shuffled))
    report = examine_run(small_run(folder, name="shuffled", steps=STEPS + 240))
    assert alarms(report) == {"what is learned": "wrong"}
    assert "only how frequent each token is" in report.about("what is learned").found


@pytest.mark.slow
def test_labels_that_the_model_can_see(folder, monkeypatch):
    original = TokenWindows.__getitem__
    monkeypatch.setattr(
        TokenWindows,
        "__getitem__",
        lambda self, rows: replace(batch := original(self, rows), labels=batch.input_ids),
    )
    report = examine_run(small_run(folder, name="unshifted"))
    assert alarms(report) == {"initial loss": "look", "what is learned": "look"}


@pytest.mark.slow
def test_a_sampler_that_reads_a_few_rows_over_and_over(folder, monkeypatch):
    monkeypatch.setattr(TokenWindows, "__getitem__", on_training_text(lambda read, rows: read(rows % 128)))
    report = examine_run(small_run(folder, name="few-rows", steps=240))
    assert alarms(report)["memorising"] == "wrong"
    assert alarms(report)["overfitting"] == "wrong"


@pytest.mark.slow
def test_a_sampler_that_returns_to_its_beginning(folder, monkeypatch):
    monkeypatch.setattr(
        trainer, "rows_of_step", lambda step, *others, **options: rows_of_step(step % 25, *others, **options)
    )
    report = examine_run(small_run(folder, name="same-order"))
    assert alarms(report)["data order"] == "wrong"
    assert "every 25 steps" in report.about("data order").found


@pytest.mark.slow
def test_a_little_text_read_many_times(folder):
    report = examine_run(small_run(folder, name="many-epochs", n_documents=30, steps=300))
    assert alarms(report) == {"memorising": "look", "overfitting": "look"}


@pytest.mark.slow
def test_a_block_that_is_dead(folder, monkeypatch):
    original = MiniLLM.__init__

    def with_a_dead_block(self, *arguments, **options):
        original(self, *arguments, **options)
        for parameter in self.layers[1].parameters():
            parameter.data.zero_()

    monkeypatch.setattr(MiniLLM, "__init__", with_a_dead_block)
    report = examine_run(small_run(folder, name="dead"))
    assert alarms(report) == {"blocks": "wrong"}
    assert "almost no gradient in block 1" in report.about("blocks").found


class KilledError(Exception):
    """As if the process had ended here."""


def test_a_real_run_that_was_broken_off(folder):
    def kill(record):
        if record["step"] == 20:
            raise KilledError

    config = small_config(folder, name="broken-off")
    with pytest.raises(KilledError):
        pretrain(config, progress=False, on_record=kill)
    finding = examine_run(config.run).about("finished")
    assert (finding.severity, finding.found) == ("look", f"the run has reached step 20 of {STEPS}")
