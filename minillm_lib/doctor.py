"""What this machine offers, and what each model preset would take on it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

import joblib
import psutil
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from minillm_lib.model.config import PRESETS, ModelConfig

_PACKAGES = (
    "torch",
    "numpy",
    "numba",
    "scikit-learn",
    "sentencepiece",
    "pyLDAvis",
    "jupyterlab",
    "ipywidgets",
    "nbval",
)
_BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "msedge",
    "firefox",
)
# float32 weights, gradients, and AdamW's two moments
_TRAINING_BYTES_PER_PARAMETER = 4 * 4


@dataclass(frozen=True)
class MachineReport:
    """What :func:`examine_machine` found. Sizes in bytes, speed in floating-point operations a second."""

    system: str
    python: str
    device: str
    cores: int
    memory: int
    memory_available: int
    disk_free: int
    device_memory: int
    matmul_flops: float
    packages: dict[str, str | None]
    browser: str | None

    def __rich__(self) -> RenderableType:
        facts = Table(title="This machine", box=box.SIMPLE, show_header=False, title_justify="left")
        facts.add_row("system", f"{self.system}, Python {self.python}")
        facts.add_row(
            "device", f"{self.device}, {self.matmul_flops / 1e9:,.0f} GFLOP/s in a float32 matrix product"
        )
        facts.add_row("cores", str(self.cores))
        facts.add_row("memory", f"{_size(self.memory)}, {_size(self.memory_available)} of it available")
        facts.add_row("disk", f"{_size(self.disk_free)} free here")
        for name, version in self.packages.items():
            facts.add_row(name, version or "[red]missing[/red]: pip install 'minillm-lib\\[course]'")
        facts.add_row(
            "widgets", "yes" if self.has_widgets else "[red]no[/red]: they need jupyterlab and ipywidgets 8"
        )
        facts.add_row(
            "browser", self.browser or "none found: open reports and JupyterLab from another machine"
        )
        return Group(facts, self._presets())

    @property
    def has_widgets(self) -> bool:
        """Whether ipywidgets will show in JupyterLab."""
        widgets, lab = self.packages["ipywidgets"], self.packages["jupyterlab"]
        return lab is not None and widgets is not None and int(widgets.split(".")[0]) >= 8

    def _presets(self) -> Table:
        table = Table(
            title="What each preset takes here",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            caption="Training holds weights, gradients and AdamW's two moments in float32; activations come on top; "
            "the KV cache is that of one sequence of 2048 tokens. "
            "The time is what the matrix products alone take at the speed measured above: a bound that no run beats.",
            title_justify="left",
            caption_justify="left",
        )
        for heading in ("preset", "parameters", "weights", "training", "KV cache", "1 M tokens", "fits"):
            table.add_column(heading, justify="left" if heading == "preset" else "right", no_wrap=True)
        room = self.device_memory or self.memory_available
        for name in PRESETS:
            config = ModelConfig.from_preset(name)
            training = config.n_parameters * _TRAINING_BYTES_PER_PARAMETER
            seconds = 1e6 * config.flops_per_token(512) / self.matmul_flops
            table.add_row(
                name,
                f"{config.n_parameters:,}",
                _size(4 * config.n_parameters),
                _size(training),
                _size(config.kv_cache_bytes(1, 2048, bytes_per_value=4)),
                _duration(seconds),
                "yes" if training < room else "no",
            )
        return table


def examine_machine(folder: str | Path = ".") -> MachineReport:
    """Look at the device, memory, packages and browser, and time a matrix product (under a second)."""
    import torch

    # This room stands above the decoder's modules that import torch, but the choice of device is theirs.
    from minillm_lib.model.devices import best_device, matmul_flops

    device = best_device()
    name, device_memory = f"CPU ({platform.processor() or platform.machine()})", 0
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        name, device_memory = f"CUDA ({properties.name})", properties.total_memory
    elif device.type == "mps":
        name = "MPS (Apple GPU)"
    memory = psutil.virtual_memory()
    return MachineReport(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        device=name,
        cores=joblib.cpu_count(),
        memory=memory.total,
        memory_available=memory.available,
        disk_free=shutil.disk_usage(folder).free,
        device_memory=device_memory,
        matmul_flops=matmul_flops(device),
        packages={package: _version(package) for package in _PACKAGES},
        browser=_browser(),
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _browser() -> str | None:
    found = next((name for name in _BROWSERS if shutil.which(name)), None)
    if found is None and platform.system() in ("Darwin", "Windows"):
        return "the system's own"
    return found or os.environ.get("BROWSER")


def _size(n_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.0f} {unit}" if n_bytes >= 10 or unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.1f} TiB"


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
