"""``torch.compile`` of a model's blocks and loss: what it needs, and where it is left out."""

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


def compile_parts(model: MiniLLM) -> None:
    """Compile blocks, last norm and loss, at their first use. The blocks are alike: one compiled block serves all."""
    for part in (*model.layers, model.norm):
        part.compile()
    model.chunk_step = torch.compile(model.chunk_step)


def check_compiler(device: torch.device) -> None:
    """See that there is what ``torch.compile`` builds with: a C++ compiler for a CPU, Triton for CUDA.

    Raises
    ------
    ConfigError
        If not; the message says what to install.
    """
    if device.type == "cuda":
        if importlib.util.find_spec("triton") is None:
            raise ConfigError(
                "train.compile is true, which needs the package triton on CUDA; install it, or leave it out"
            )
        return
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    compiler = os.environ.get("CXX", usual)
    if shutil.which(compiler) is None:
        raise ConfigError(
            f"train.compile is true, which needs the C++ compiler {compiler}, and there is none; install it, name "
            "another one by the environment variable CXX, or leave train.compile out"
        )


def uncompiled() -> AbstractContextManager[None]:
    """The context of work whose shapes change all the time, such as sampling, each of which would be compiled anew."""
    return torch.compiler.set_stance("force_eager")


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MOST = 2**31 - 1
_MOST_FROM_HEAP = 32 * 2**20  # glibc's limit for a threshold


def keep_freed_memory() -> bool:
    """Have glibc keep what tensors free for the next ones, instead of handing it back to the system.

    Fresh memory comes a page at a time, each by an interruption of the program, and for the element-wise operations
    of a training step that takes longer than the operations. ``benchmarks/training.py`` measures such a step. The
    process still frees all at its end, and its peak hardly changes.

    Returns
    -------
    bool
        Whether there is a glibc that does so; elsewhere nothing is changed.

    Source: mallopt(3), ``M_MMAP_THRESHOLD`` and ``M_TRIM_THRESHOLD``.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _MOST_FROM_HEAP) and mallopt(_M_TRIM_THRESHOLD, _MOST))
