"""The choice of a device, and measurements of what a device can do."""

from __future__ import annotations

import time
from typing import Any

import torch


def best_device() -> torch.device:
    """Return CUDA if it is available, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def matmul_flops(
    device: torch.device, dtype: torch.dtype = torch.float32, size: int = 1024, repeats: int = 5
) -> float:
    """Measure the floating-point operations per second in the product of two square matrices.

    Parameters
    ----------
    size
        Number of rows and columns.
    repeats
        Number of timed products, of which the fastest counts. One more comes before them, untimed.
    """
    a = torch.ones(size, size, device=device, dtype=dtype)
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        float((a @ a)[0, 0])
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds[1:])


def has_bf16_instructions() -> bool:
    """Return whether the CPU has instructions for products in bfloat16; without them, bfloat16 is slower than float32.

    ``benchmarks/training.py`` measures both types.
    """
    return bool(_cpu_capabilities().get("avx512_bf16")) or has_amx()


def has_amx() -> bool:
    """Return whether the CPU multiplies tiles of bfloat16 numbers (Intel's AMX), several times as fast as vectors."""
    return bool(_cpu_capabilities().get("amx_bf16"))


def _cpu_capabilities() -> dict[str, Any]:
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return capabilities
