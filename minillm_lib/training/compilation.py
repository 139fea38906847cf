"""Faster steps: ``torch.compile`` for a model's blocks and loss, and freed memory that the process keeps on a CPU."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import sys
from contextlib import AbstractContextManager

import torch

from minillm_lib.model.decoder import MiniLLM
from minillm_lib.training.config import ConfigError

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MOST = 2**31 - 1
_MOST_FROM_HEAP = 32 * 2**20  # glibc's limit for a threshold


def compile_parts(model: MiniLLM) -> None:
    """Compile blocks, last norm and loss at their first use; the blocks are alike, so one compiled block serves all."""
    for part in (*model.layers, model.norm):
        part.compile()
    model.chunk_step = torch.compile(model.chunk_step)


def check_compiler(device: torch.device) -> None:
    """Check that ``torch.compile`` has what it needs: a C++ compiler for a CPU, Triton and a C compiler for CUDA.

    Raises
    ------
    ConfigError
        If it is missing; the message says what to install.
    """
    if device.type == "cuda":
        if importlib.util.find_spec("triton") is None:
            raise ConfigError(
                "train.compile is true, which needs the package triton on CUDA; install it, or leave train.compile out"
            )
        if sys.platform == "win32":  # there, Triton brings a C compiler along
            return
        language, variable, compilers = "C", "CC", ["gcc", "clang"]  # builds what calls Triton's kernels
    else:
        usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
        language, variable, compilers = "C++", "CXX", [usual]
    if variable in os.environ:
        compilers = [os.environ[variable]]
    if not any(map(shutil.which, compilers)):
        raise ConfigError(
            f"train.compile is true, which needs the {language} compiler {' or '.join(compilers)}, and it was not "
            f"found; install it, name another one in the environment variable {variable}, or leave train.compile out"
        )


def uncompiled() -> AbstractContextManager[None]:
    """Return a context without compilation, for work such as sampling, in which every new shape would be compiled."""
    return torch.compiler.set_stance("force_eager")


def keep_freed_memory() -> bool:
    """Have glibc keep the memory that tensors free, and reuse it, instead of returning it to the system.

    New memory comes one page at a time, each with a page fault, and for the element-wise operations of a training
    step this takes longer than the operations themselves. ``benchmarks/training.py`` measures such a step. The process
    still frees everything at its end, and its peak hardly changes.

    Source: mallopt(3), ``M_MMAP_THRESHOLD`` and ``M_TRIM_THRESHOLD``.

    Returns
    -------
    bool
        Whether glibc does so; without glibc, nothing changes.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _MOST_FROM_HEAP) and mallopt(_M_TRIM_THRESHOLD, _MOST))
