"""A report on this machine, and on what each model preset needs on it."""

from __future__ import annotations

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

from minillm_lib.io.optional import installed_version
from minillm_lib.io.terminal import styled
from minillm_lib.io.wording import duration
from minillm_lib.model.config import PRESETS, ModelConfig

# the package's own extra that installs each package; "" for those that always come with it
_PACKAGES = {
    "torch": "",
    "numpy": "",
    "numba": "",
    "scikit-learn": "",
    "sentencepiece": "",
    "matplotlib": "report",
    "pyLDAvis": "report",
    "httpx": "fetch",
    "gguf": "gguf",
    "jupyterlab": "course",
    "ipywidgets": "course",
    "nbval": "course",
}
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
    """The results of :func:`examine_machine`, which rich prints as tables.

    Attributes
    ----------
    memory, memory_available, disk_free
        Bytes.
    device_memory
        Bytes of the accelerator's own memory; 0 if it has none.
    precision
        The type in which training computes here by default.
    matmul_flops
        Measured speed of a matrix product of that type, in floating-point operations per second.
    packages
        Installed versions by package name; None for a missing package.
    browser
        An installed browser; None if none was found.
    """

    system: str
    python: str
    device: str
    cores: int
    memory: int
    memory_available: int
    disk_free: int
    device_memory: int
    precision: str
    matmul_flops: float
    packages: dict[str, str | None]
    browser: str | None

    def __rich__(self) -> RenderableType:
        facts = Table(title="This machine", box=box.SIMPLE, show_header=False, title_justify="left")
        facts.add_row("system", f"{self.system}, Python {self.python}")
        facts.add_row(
            "device",
            f"{self.device}, {self.matmul_flops / 1e9:,.0f} GFLOP/s in a {self.precision} matrix product, the type in "
            "which training computes here",
        )
        facts.add_row("cores", str(self.cores))
        facts.add_row("memory", f"{_size(self.memory)}, of which {_size(self.memory_available)} is available")
        facts.add_row("disk", f"{_size(self.disk_free)} free here")
        for name, version in self.packages.items():
            facts.add_row(name, version or styled(("missing", "red"), f": {_command(name)}"))
        facts.add_row(
            "widgets",
            "yes" if self.has_widgets else styled(("no", "red"), ": they need jupyterlab and ipywidgets 8"),
        )
        facts.add_row(
            "browser", self.browser or "none found: open reports and JupyterLab from another machine"
        )
        return Group(facts, self._presets())

    @property
    def has_widgets(self) -> bool:
        """Whether JupyterLab can show ipywidgets."""
        widgets, lab = self.packages["ipywidgets"], self.packages["jupyterlab"]
        return lab is not None and widgets is not None and int(widgets.split(".")[0]) >= 8

    def _presets(self) -> Table:
        table = Table(
            title="What each preset needs on this machine",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            caption="Training keeps the weights, the gradients and AdamW's two moments in float32; activations need "
            "additional memory. The KV cache is for one sequence of 2048 tokens. The time is for the matrix products "
            "alone, at the speed measured above, from which minillm plan computes its MFU: a run needs "
            "at least as long.",
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
                duration(seconds),
                "yes" if training < room else "no",
            )
        return table


def examine_machine(folder: str | Path = ".") -> MachineReport:
    """Examine the device, memory, packages and browser, and time a matrix product (less than a second).

    Parameters
    ----------
    folder
        The folder whose disk is examined for free space.
    """
    import torch

    # imported late because it loads torch, but the choice of the device belongs to the model
    from minillm_lib.model.devices import best_device, matmul_flops
    from minillm_lib.training.precision import Precision

    device = best_device()
    name, device_memory = f"CPU ({platform.processor() or platform.machine()})", 0
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        name, device_memory = f"CUDA ({properties.name})", properties.total_memory
    elif device.type == "mps":
        name = "MPS (Apple GPU)"
    memory = psutil.virtual_memory()
    precision = Precision("auto", device)
    return MachineReport(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        device=name,
        cores=joblib.cpu_count(),
        memory=memory.total,
        memory_available=memory.available,
        disk_free=shutil.disk_usage(folder).free,
        device_memory=device_memory,
        precision=precision.name,
        matmul_flops=matmul_flops(device, precision.matmul_dtype),
        packages={package: installed_version(package) for package in _PACKAGES},
        browser=_browser(),
    )


def _command(package: str) -> str:
    """Return the command that installs a package of this report."""
    extra = _PACKAGES[package]
    return f"pip install 'minillm-lib[{extra}]'" if extra else f"pip install {package}"


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
