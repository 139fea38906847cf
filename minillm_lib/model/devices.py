"""The one place that chooses a device."""

from __future__ import annotations

import time
from typing import Any

import torch


def best_device() -> torch.device:
    """CUDA where there is one, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def matmul_flops(
    device: torch.device, dtype: torch.dtype = torch.float32, size: int = 1024, repeats: int = 5
) -> float:
    """Floating-point operations a second in the product of two square matrices: the best of a few tries."""
    a = torch.ones(size, size, device=device, dtype=dtype)
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        float((a @ a)[0, 0])
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds[1:])


def has_bf16_instructions() -> bool:
    """Whether this processor multiplies in bfloat16 natively; where it does not, that is the slower type.

    ``benchmarks/training.py`` measures both.
    """
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
