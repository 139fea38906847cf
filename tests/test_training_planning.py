from __future__ import annotations

import json
import math

import pytest
import torch
import yaml
from typer.testing import CliRunner

from minillm_lib.cli.main import app
from minillm_lib.cli.train import sparkline
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.training import planning
from minillm_lib.training.config import PretrainConfig, SFTConfig
from minillm_lib.training.overrides import kind_of_config, load_config
from minillm_lib.training.parallel import joined_processes
from minillm_lib.training.planning import Cost, PeakMemory, Plan, Rehearsal, plan
from minillm_lib.training.precision import Precision
from minillm_lib.training.stages import pretrain
from minillm_lib.viz.training_plan import plot_plan

SMALL = {
    "model": {"preset": "nano", "vocab_size": 400, "n_layers": 1, "max_seq_len": 32},
    "data": {"corpora": [{"name": "grammar", "options": {"language": "en", "n": 40}}], "vocab_size": 400},
    "train": {"steps": 7, "batch_size": 4, "micro_batch_size": 2, "warmup_steps": 2, "device": "cpu"},
    "evaluation": {"every": 3, "max_tokens": 640},
    "checkpoint": {"every": 5, "keep_last": 1},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("plan")


@pytest.fixture(scope="module")
def path(folder):
    values = {**SMALL, "run": str(folder / "run"), "output": str(folder / "model.pt")}
    values["data"] = {**SMALL["data"], "folder": str(folder / "data")}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def imagined(step_seconds=2.0, tokens_per_epoch=1280, **train):
    """A plan whose cost is given, not measured."""
    config = PretrainConfig.model_validate({**SMALL, "train": {**SMALL["train"], **train}})
    cost = Cost(step_seconds, 320.0, 10**9, 10**6, 1e9)
    return Plan(config, config.model, 32, tokens_per_epoch, 640, "cpu", "float32", cost)


@pytest.fixture(scope="module")
def before_and_after(path, folder):
    """The plan before the text is prepared, what there was then, the records of the run, and the plan after it."""
    before, files = plan(path), sorted(each.name for each in folder.iterdir())
    records = pretrain(path, progress=False).records
    return before, files, records, plan(path)


def test_a_plan_is_what_the_run_then_does(before_and_after):
    _, _, records, after = before_and_after
    steps = [record for record in records if record["kind"] == "step"]
    assert after.learning_rates() == pytest.approx([record["lr"] for record in steps])
    assert after.tokens == steps[-1]["tokens"]
    evaluations = [record for record in records if record["kind"] == "evaluation"]
    assert after.evaluation_steps == [record["step"] for record in evaluations]
    assert after.tokens_per_evaluation == evaluations[0]["n_tokens"]
    (start,) = (record for record in records if record["kind"] == "start")
    assert after.model.n_parameters == start["parameters"]
    assert after.flops_per_token == start["flops_per_token"]
    assert after.tokens_per_epoch == start["tokens_per_epoch"]
    assert (after.device, after.precision) == (start["device"], start["precision"])


def test_a_checkpoint_is_as_large_as_planned(before_and_after, folder):
    *_, after = before_and_after
    newest = max((folder / "run" / "checkpoints").glob("step-*"))
    size = sum(
        file.stat().st_size
        for file in newest.rglob("*")
        if file.name in ("model.safetensors", "optimizer.pt")
    )
    assert after.cost.checkpoint_bytes == pytest.approx(size, rel=0.1)


def test_planning_writes_nothing(before_and_after):
    _, files, *_ = before_and_after
    assert files == ["config.yaml"]


def test_before_the_text_is_prepared_the_number_of_epochs_is_unknown(before_and_after):
    before, _, _, after = before_and_after
    assert before.epochs is None
    assert before.tokens_per_evaluation == 640
    assert after.epochs == pytest.approx(7 * 4 * 32 / after.tokens_per_epoch)


def test_the_measured_cost_is_of_the_real_model(before_and_after):
    cost = before_and_after[3].cost
    assert min(cost.step_seconds, cost.evaluated_tokens_per_second, cost.matmul_flops) > 0
    n = MiniLLM(PretrainConfig.model_validate(SMALL).model).config.n_parameters
    assert cost.checkpoint_bytes == pytest.approx(3 * 4 * n, rel=1e-3), "weights and two moments"


def test_muon_keeps_one_moment_where_adamw_keeps_two(path):
    config = load_config(PretrainConfig, path, {"train.optimizer.name": "muon"})
    model = MiniLLM(config.model)
    n_matrices = sum(each.numel() for each in model.layers.parameters() if each.ndim == 2)
    expected = 4 * (3 * config.model.n_parameters - n_matrices)
    assert plan(config).cost.checkpoint_bytes == pytest.approx(expected, rel=1e-3)


def test_time_is_all_steps_and_all_evaluations():
    found = imagined(step_seconds=2.0)
    assert found.evaluation_steps == [0, 3, 6, 7]
    assert found.seconds == 7 * 2.0 + 4 * 640 / 320.0


def test_flops_are_six_a_weight_and_token_and_those_of_attention():
    found = imagined()
    model = MiniLLM(found.model)
    n_weights = sum(each.numel() for each in model.parameters() if each.ndim == 2)
    attention = 12 * found.model.n_layers * found.model.hidden_size * 32
    assert found.flops == 7 * 4 * 32 * (6 * n_weights + attention)
    assert found.mfu == pytest.approx(found.flops / 7 / 2.0 / 1e9)


def test_disk_is_what_is_kept_and_one_more_and_the_model():
    assert imagined().disk_bytes == 3 * 10**6 + 4 * imagined().model.n_parameters


def test_another_schedule_is_drawn_with_the_same_settings():
    found = imagined()
    assert found.learning_rates("cosine") == found.learning_rates()
    assert found.learning_rates("constant")[1:] == [1e-3] * 6


def test_oversights_are_named():
    assert imagined(tokens_per_epoch=None).warnings == []
    (warm_up,) = imagined(warmup_steps=14, tokens_per_epoch=None).warnings
    assert (
        "warm-up of 14 steps does not end within the run's 7 steps: the learning rate reaches 0.0005, not 0.001"
        in warm_up
    )
    (epochs,) = imagined(tokens_per_epoch=128).warnings
    assert "the text is read 7.0 times" in epochs


@pytest.mark.parametrize(("batch_size", "micro_batch_size"), [(8, 2), (8, 8), (6, 4)])
def test_a_step_is_as_many_passes_as_its_batch_needs_and_one_update(
    monkeypatch, batch_size, micro_batch_size
):
    config = imagined(batch_size=batch_size, micro_batch_size=micro_batch_size).config
    seconds = {"_forward_and_backward": 2.0, "_update": 3.0}
    monkeypatch.setattr(Rehearsal, "_seconds", lambda self, work: seconds[work.__name__])
    with joined_processes("cpu") as processes:
        made = Rehearsal(MiniLLM(config.model), config, 32, processes, Precision("auto", processes.device))
    assert made.step_seconds() == 2.0 * batch_size / micro_batch_size + 3.0


def test_the_peak_counts_what_is_in_use_at_once_and_not_what_was_before():
    n = 2**26  # 256 MiB of float32, which the allocator gives back
    kept = torch.ones(n)
    with PeakMemory(torch.device("cpu"), interval=0.0005) as memory:
        for _ in range(3):
            scratch = torch.ones(n)
            planning.time.sleep(0.01)
            del scratch
    assert 0.9 * 4 * n < memory.n_bytes < 1.5 * 4 * n
    assert kept[-1] == 1


def test_a_precision_that_the_device_lacks_is_refused(path):
    with pytest.raises(ValueError, match=r"train\.precision is 'fp16', which needs a CUDA device"):
        plan(load_config(PretrainConfig, path, {"train.precision": "fp16"}))


def test_fine_tuning_is_planned_from_its_checkpoint_and_conversations(before_and_after, folder):
    chats = folder / "chat.jsonl"
    lines = [json.dumps({"instruction": f"say {i}", "output": "the bear " * (i % 3 + 1)}) for i in range(30)]
    chats.write_text("\n".join(lines))
    path = folder / "sft.yaml"
    values = {
        "run": str(folder / "sft"),
        "ckpt": str(folder / "model.pt"),
        "data": {"conversations": [{"path": str(chats), "held_out": 0.2}]},
        "train": {"steps": 3, "batch_size": 2},
    }
    path.write_text(yaml.safe_dump(values))
    assert kind_of_config(path) is SFTConfig
    found = plan(path)
    assert found.seq_len == 32
    assert found.tokens_per_epoch % 32 == 0
    assert found.epochs == pytest.approx(3 * 2 * 32 / found.tokens_per_epoch)
    with pytest.raises(ValueError, match=r"train\.seq_len=64 is longer than the max_seq_len=32 of ckpt="):
        plan(load_config(SFTConfig, path, {"train.seq_len": 64}))
    with pytest.raises((ValueError, OSError), match=r"missing\.pt"):
        plan(load_config(SFTConfig, path, {"ckpt": str(folder / "missing.pt")}))


def test_a_file_without_conversations_is_for_pretraining(path, tmp_path):
    assert kind_of_config(path) is PretrainConfig
    further = tmp_path / "further.yaml"
    further.write_text(f"{path.read_text()}\nckpt: model.pt\n")
    assert kind_of_config(further) is PretrainConfig


def test_the_command_shows_a_table_and_draws_a_figure(before_and_after, path, folder):
    result = CliRunner().invoke(
        app, ["plan", "--config", str(path), "--train.steps", "1000", "--train.lr", "0.5"]
    )
    assert result.exit_code == 0, result.output
    for part in (
        "1,000, evaluated after 335 of them",
        "4 rows of 32 tokens: 128 per step",
        "up to 0.5, at the end 0.05",
    ):
        assert part in result.output
    n_epochs = 1000 * 128 / before_and_after[3].tokens_per_epoch
    assert f"{n_epochs:.2f} of" in result.output
    assert f"the text is read {n_epochs:.1f} times" in result.output
    assert (folder / "run-plan.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "message"), [("plan.txt", "its name must end with one of"), ("", "is a folder")]
)
def test_a_figure_that_cannot_be_drawn_is_refused_before_anything_is_timed(
    path, tmp_path, name, message, monkeypatch
):
    monkeypatch.setattr("minillm_lib.training.planning.plan", None)
    folder = tmp_path / "figures.png"
    folder.mkdir()
    result = CliRunner().invoke(app, ["plan", "--config", str(path), "--figure", str(folder / name)])
    assert result.exit_code == 1
    assert message in str(result.exception)


def test_the_figure_shows_every_schedule_and_names_its_axes():
    found = imagined()
    rate, events = plot_plan(found).axes[:2]
    lines = {line.get_label(): line.get_ydata() for line in rate.get_lines()}
    assert list(lines) == ["cosine, as configured", "wsd", "constant"]
    assert list(lines["cosine, as configured"]) == found.learning_rates()
    assert list(lines["wsd"]) == found.learning_rates("wsd")
    assert rate.get_ylabel() == "learning rate"
    assert events.get_xlabel() == "optimizer step"
    evaluates, saves = (line.get_xdata() for line in events.get_lines())
    assert list(evaluates) == found.evaluation_steps
    assert list(saves) == [5, 7]


def test_a_sparkline_goes_from_zero_to_the_highest_value():
    assert sparkline([0, 1, 2, 3, 4], 5) == " ▂▄▆█"
    assert sparkline([1] * 100, 4) == "████"
    assert sparkline([0.5], 10) == "█"
    assert len(sparkline([math.sin(i) ** 2 for i in range(1000)], 60)) == 60
