"""A CUDA device that does not exist, for tests of code that must run on one.

Under ``FakeTensorMode`` tensors have a shape, a dtype and a device but no content, so a tensor left on the CPU is found
without a GPU. A build of PyTorch without CUDA lacks two things for this, streams and a present accelerator; the
library compiled here plays their part. It must be loaded before torch, so scripts run in a process of their own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

_STAND_IN = """
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

using c10::Device, c10::DeviceType, c10::Stream;
const Device gpu(DeviceType::CUDA, 0);

struct Guard : c10::impl::NoOpDeviceGuardImpl<DeviceType::CUDA> {
  Device exchangeDevice(Device) const override { return gpu; }
  Device getDevice() const override { return gpu; }
  Stream getStream(Device) const noexcept override { return Stream(Stream::DEFAULT, gpu); }
  Stream exchangeStream(Stream) const noexcept override { return Stream(Stream::DEFAULT, gpu); }
  void record(void**, const Stream&, c10::DeviceIndex, c10::EventFlag) const override {}
  void block(void*, const Stream&) const override {}
};
C10_REGISTER_GUARD_IMPL(CUDA, Guard)

struct CUDAHooks : at::CUDAHooksInterface {
  explicit CUDAHooks(at::CUDAHooksArgs) {}
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return false; }
};
namespace at {
REGISTER_CUDA_HOOKS(CUDAHooks)
}
"""

_BEFORE_TORCH = """
import ctypes, sys
for library in sys.argv[1:]:
    ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
import torch
torch.cuda.is_bf16_supported = lambda including_emulation=True: True
torch.cuda.amp.common.amp_definitely_not_available = lambda: False
from torch._subclasses.fake_tensor import FakeTensorMode
"""


def run_on_fake_cuda(script: str, folder: Path) -> str:
    """Run Python code in which the device ``cuda`` exists under ``FakeTensorMode``; return what it printed."""
    libraries = [] if torch.cuda.is_available() else _compile_stand_in(folder)
    finished = subprocess.run(
        [sys.executable, "-c", _BEFORE_TORCH + textwrap.dedent(script), *map(str, libraries)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def _compile_stand_in(folder: Path) -> list[Path]:
    """The libraries to load before torch: two of its own, and the stand-in."""
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("a CUDA device is simulated on Linux with a C++ compiler only")
    torch_root = Path(torch.__file__).parent
    source, library = folder / "stand_in.cpp", folder / "stand_in.so"
    source.write_text(_STAND_IN)
    subprocess.run(
        [
            *(compiler, "-std=c++20", "-shared", "-fPIC", f"-I{torch_root / 'include'}", str(source)),
            *(f"-L{torch_root / 'lib'}", "-lc10", "-ltorch_cpu", "-o", str(library)),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    return [torch_root / "lib" / "libc10.so", torch_root / "lib" / "libtorch_cpu.so", library]
