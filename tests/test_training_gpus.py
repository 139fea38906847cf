"""Estimates for GPUs that are not here: arithmetic that can be done by hand."""

from __future__ import annotations

import pytest
from quick_runs import quick_pretraining, quick_sft, write_conversations, write_documents

from minillm_lib.training.config import PretrainConfig
from minillm_lib.training.gpus import GPUS, find_gpu, plan_on_gpu, training_bytes
from minillm_lib.training.overrides import kind_of_config, load_config


def test_time_is_work_over_the_reached_speed(tmp_path):
    config = PretrainConfig(run=tmp_path / "run").replace(
        data={"folder": tmp_path}, train={"steps": 200, "batch_size": 16, "seq_len": 512}
    )
    gpu = find_gpu("A100")
    found = plan_on_gpu(config, gpu, mfu=0.25)
    weights = 2 * (config.model.n_parameters - 17 * 512)  # all but the norms' gains are in products
    attention = 2 * 2 * 8 * 512 * 512  # both products of the full square, in eight layers
    assert found.flops_per_token == pytest.approx(3 * (weights + attention), rel=1e-3)
    work = 200 * 16 * 512 * found.flops_per_token
    evaluation = len(found.evaluation_steps) * found.tokens_per_evaluation * found.flops_per_token / 3
    assert found.seconds == pytest.approx((work + evaluation) / (312e12 * 0.25), rel=1e-6)
    assert (found.mfu, found.device, found.precision) == (pytest.approx(0.25), "A100", "bf16")


def test_a_gpu_is_found_by_its_name_however_it_is_written():
    for name in ("RTX 3090", "rtx3090", "NVIDIA GeForce RTX 3090", "rtx-3090"):
        assert find_gpu(name).name == "RTX 3090"
    with pytest.raises(
        ValueError, match=r"'RTX 3091' is not known: did you mean RTX 309?0.*The known GPUs are T4"
    ):
        find_gpu("RTX 3091")
    assert len({gpu.flops for gpu in GPUS.values()}) > 10


def test_memory_grows_with_weights_and_with_the_rows_at_a_time():
    config = PretrainConfig()
    small, large = (
        config.replace(train={"batch_size": 64, "micro_batch_size": n, "seq_len": 512}) for n in (8, 32)
    )
    sizes = [training_bytes(config.model, each, 512) for each in (small, large)]
    assert sizes[0] > 16 * config.model.n_parameters
    assert 24 * 512 * 8 * 512 * 2 < sizes[1] - sizes[0] < 24 * 512 * 8 * 512 * 100
    recomputed = large.replace(
        train={**large.train.model_dump(exclude_unset=True), "activation_checkpointing": True}
    )
    assert training_bytes(config.model, recomputed, 512) < sizes[1]


def test_a_share_beyond_one_is_refused():
    for mfu in (0.0, 1.5):
        with pytest.raises(ValueError, match="allowed is a share above 0"):
            plan_on_gpu(PretrainConfig(), find_gpu("T4"), mfu=mfu)


@pytest.mark.parametrize("stage", ["pretrain", "sft"])
@pytest.mark.parametrize("folder", ["gpu", "minimind"])
def test_the_configurations_for_a_gpu_can_be_planned_before_anything_is_there(
    minillm, tmp_path, folder, stage
):
    result = minillm(
        *("plan", "--config", f"configs/{folder}/{stage}.yaml", "--gpu", "RTX 3090", "--price-per-hour", 0.5),
        *("--figure", tmp_path / "plan.png"),
    )
    assert result.returncode == 0, result.stderr
    for line in ("MFU 30%", "RTX 3090: 71 TFLOP/s", "it fits", "at 0.5 per hour"):
        assert line in result.stdout


def test_the_known_gpus_are_listed_and_mfu_needs_one(minillm):
    assert "H100" in minillm("plan", "--gpu", "?").stdout
    assert "belong to --gpu" in minillm("plan", "--config", "configs/sft.yaml", "--mfu", 0.2).stderr


def test_minimind_s_configurations_train_on_files_of_that_shape(tmp_path):
    """Both runs, with models of a few thousand weights, on files in the format of the public corpora."""
    from minillm_lib.training.stages import pretrain, sft

    texts = write_documents(tmp_path / "pretrain.jsonl", n=300)
    talk = write_conversations(tmp_path / "sft.jsonl", n=60)
    train = {"steps": 2, "batch_size": 4, "micro_batch_size": 2, "seq_len": 64, "device": "cpu"}
    quick = {
        "train": train,
        "evaluation": {"every": 2, "max_tokens": 256, "prompts": []},
        "checkpoint": {"every": 2},
    }
    shape = {"hidden_size": 32, "n_layers": 1, "n_heads": 2, "n_kv_heads": 1, "intermediate_size": 48}
    first = pretrain(
        "configs/minimind/pretrain.yaml",
        progress=False,
        run=tmp_path / "run",
        output=tmp_path / "base",
        model=shape,
        data={
            "corpora": [{"name": "minimind-pretrain", "options": {"path": str(texts)}}],
            "vocab_size": 320,
            "folder": tmp_path / "data",
        },
        **quick,
    )
    second = sft(
        "configs/minimind/sft.yaml",
        progress=False,
        ckpt=first.output,
        run=tmp_path / "sft",
        output=tmp_path / "chat",
        data={"conversations": [{"name": "minimind-sft", "options": {"path": str(talk)}}]},
        **quick,
    )
    assert first.is_finished
    assert second.is_finished
    for name in ("pretrain", "sft"):
        path = f"configs/minimind/{name}.yaml"
        assert load_config(kind_of_config(path), path).stage == name


def test_a_model_to_fine_tune_that_is_not_there_is_an_error(tmp_path):
    config = quick_sft(tmp_path, tmp_path / "nowhere.pt", write_conversations(tmp_path / "chat.jsonl"))
    with pytest.raises((ValueError, OSError), match=r"nowhere\.pt"):
        plan_on_gpu(config, find_gpu("T4"))
    made = quick_pretraining(tmp_path, tmp_path / "documents.jsonl")
    assert plan_on_gpu(config, find_gpu("T4"), pretraining=made).model.vocab_size == 320
