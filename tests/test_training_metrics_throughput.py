from __future__ import annotations

import psutil
import pytest
import torch

from minillm_lib.model.config import ModelConfig
from minillm_lib.training import metrics
from minillm_lib.training.metrics import Throughput
from minillm_lib.training.parallel import Processes
from minillm_lib.training.precision import Precision

CPU = torch.device("cpu")


def test_mfu_is_the_share_of_the_measured_peak(monkeypatch):
    monkeypatch.setattr(metrics, "matmul_flops", lambda device, dtype: 2e12)
    model = ModelConfig.from_preset("26m")
    measured = Throughput(model, 512, Processes(0, 1, CPU), Precision("float32", CPU))
    record = measured.of_step(4096, 4096, 2.0)
    assert record["tokens_per_second"] == 2048
    assert record["mfu"] == pytest.approx(model.flops_per_token(512) * 2048 / 2e12, abs=1e-4)
    few_labels = measured.of_step(4096, 1024, 2.0)
    head = 6 * model.vocab_size * model.hidden_size
    flops = model.flops_per_token(512) * 2048 - head * 1536
    assert few_labels["mfu"] == pytest.approx(flops / 2e12, abs=1e-4)
    assert few_labels["tokens_per_second"] == 2048
    assert record["memory"] == pytest.approx(psutil.Process().memory_info().rss, rel=0.1)
    assert measured.machine()["matmul_flops"] == 2e12
    assert measured.machine()["flops_per_token"] == model.flops_per_token(512)
    assert measured.machine()["precision"] == "float32"
