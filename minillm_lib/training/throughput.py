"""How fast a run is, against what its machine could do."""

from __future__ import annotations

from typing import Any

import psutil
import torch

from minillm_lib.model.config import ModelConfig
from minillm_lib.model.devices import matmul_flops
from minillm_lib.training.distributed import Processes
from minillm_lib.training.precision import Precision


class Throughput:
    """Tokens a second, the share of the measured matrix-product peak (MFU), and memory.

    Source: model FLOPs utilisation, Chowdhery et al. 2022, arXiv:2204.02311, appendix B.
    """

    def __init__(self, model: ModelConfig, seq_len: int, processes: Processes, precision: Precision) -> None:
        self.device, self.n_processes, self.precision = processes.device, processes.count, precision.name
        self.flops_per_token = model.flops_per_token(seq_len)
        self.matmul_flops = processes.total(matmul_flops(self.device, precision.matmul_dtype))[0]

    def facts(self) -> dict[str, Any]:
        """What a run writes down about its machine when it begins."""
        return {
            "device": str(self.device),
            "processes": self.n_processes,
            "precision": self.precision,
            "matmul_flops": self.matmul_flops,
            "flops_per_token": self.flops_per_token,
            "torch": torch.__version__,
        }

    def of_step(self, n_tokens: int, seconds: float) -> dict[str, Any]:
        """What is recorded of a step that read ``n_tokens``, over all processes."""
        return {
            "seconds": round(seconds, 4),
            "tokens_per_second": round(n_tokens / seconds, 1),
            "mfu": round(self.flops_per_token * n_tokens / seconds / self.matmul_flops, 4),
            "memory": self._memory(),
        }

    def _memory(self) -> int:
        """Bytes in use: of the CUDA device at most so far, else of this process now."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return int(psutil.Process().memory_info().rss)
