from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from local_server import Answer, LocalServer

# The tests run in parallel, one process per core: threads within each would only wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Checks in tests are no progress of anybody's.
os.environ["MINILLM_PROGRESS"] = "off"

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the notebooks and then with the browser's tests, which take longest: all cores are busy to the end."""
    rank = {path: number for number, path in enumerate(dict.fromkeys(item.path for item in items))}
    items.sort(key=lambda item: (item.path.suffix != ".ipynb", -rank[item.path]))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """An installed Chromium: see open_browser."""
    from browser import open_browser

    with open_browser() as opened:
        yield opened


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., LocalServer]]:
    """Start a server on the loopback interface that gives these answers to the path /page, one after the other."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ExitStack() as running:

        def start(*answers: Answer, **more: Answer) -> LocalServer:
            paths = {f"/{name}": [answer] for name, answer in more.items()}
            return running.enter_context(LocalServer({"/page": list(answers), **paths}))

        yield start


@pytest.fixture
def client(tmp_path: Path) -> Callable[..., Any]:
    """Make a downloader that does not wait long, with its cache in ``tmp_path / "cache"``."""
    from minillm_lib.io.download import Downloader

    def make(**options: Any) -> Downloader:
        quick: dict[str, Any] = {"delay": 0, "backoff": 0.001, "timeout": 0.3, "retries": 3}
        return Downloader(tmp_path / "cache", **quick | options)

    return make


@pytest.fixture
def interrupts_are_heard() -> Iterator[None]:
    """As in a terminal; what a shell starts in the background ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def known_speed() -> Iterator[None]:
    """Take the machine's speed in matrix products as known: measuring it takes longer than a short run."""
    from minillm_lib.training import metrics

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(metrics, "matmul_flops", lambda device, dtype: 1e10)
        yield


@pytest.fixture
def minillm(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command in this process, which saves the seconds that a new one takes to import everything."""
    from minillm_lib.cli import main

    def run(
        *arguments: object, cwd: Path | None = None, standard_input: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        with monkeypatch.context() as patched:
            for name, value in {"COLUMNS": "120", "TERM": "dumb", **environment}.items():
                patched.setenv(name, value)
            patched.setattr(sys, "argv", ["minillm", *map(str, arguments)])
            patched.setattr(sys, "stdin", io.StringIO(standard_input))
            patched.setattr(warnings, "formatwarning", warnings.formatwarning)
            if cwd is not None:
                patched.chdir(cwd)
            status: int | str | None = 0
            try:
                main.main()
            except SystemExit as end:
                status = end.code or 0
        out, err = capfd.readouterr()
        return subprocess.CompletedProcess(sys.argv, int(status or 0), out, err)

    return run


@pytest.fixture
def fast_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The tokens that went through the fast path."""
    from minillm_lib.generation.fast_path import FastDecoder

    tokens: list[int] = []
    step = FastDecoder.__call__

    def recorded(self: FastDecoder, token: int) -> Any:
        tokens.append(token)
        return step(self, token)

    monkeypatch.setattr(FastDecoder, "__call__", recorded)
    return tokens
