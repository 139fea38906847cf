"""Two processes that train together over gloo, one of which is killed: the run ends in words, and resumes."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil

from faults.campaign import Fault, Kind, Try
from faults.forked import Lost, NotPossibleHereError
from faults.works import prepare_pretraining, what_a_run_left

_PATIENCE = 240  # seconds, on a busy machine
_STEPS = 10


def torchrun_kinds() -> list[Kind]:
    """Return the kind of fault."""

    def faults(rng: random.Random, quick: bool) -> list[Fault]:
        drawn = [
            (rng.choice(("SIGKILL", "SIGTERM", "SIGSEGV")), rng.randrange(2), rng.randint(0, _STEPS - 1))
            for _ in range(5)
        ]
        return [] if quick else [("SIGKILL", 1, 4), *drawn]

    survived = "the run ends in words, and resumes bit for bit as if undisturbed"
    return [Kind("torchrun with a killed worker", survived, faults, _workshop)]


@contextmanager
def _workshop(folder: Path) -> Iterator[Try]:
    if sys.platform == "win32":
        raise NotPossibleHereError("gloo needs a Unix here")
    inputs, whole, place = (folder / name for name in ("inputs", "whole", "tried"))
    for each in (inputs, whole):
        shutil.rmtree(each, ignore_errors=True)
        each.mkdir(parents=True)
    prepare_pretraining(inputs)
    status, text = _finished(_started(inputs, whole))
    if status != 0:
        raise Lost(f"the undisturbed run ended with status {status}: {text[-800:]}")
    yield partial(_try, inputs, place, what_a_run_left(whole))


def _started(inputs: Path, folder: Path, resume: bool = False) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["-m", "minillm_lib", "pretrain", "--config", str(inputs / "config.yaml")]
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen(
        [*command, "--resume"] if resume else command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)},
        start_new_session=True,
    )


def _finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    try:
        text, _ = process.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise Lost(f"it did not end within {_PATIENCE} s: {process.communicate()[0][-800:]}") from None
    return process.returncode, text


def _try(inputs: Path, place: Path, expected: object, fault: Fault) -> None:
    name, rank, step = fault
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    process = _started(inputs, place)
    _kill(process, place, signal.Signals[name], rank, step)
    status, text = _finished(process)
    if status != 0 and not any(words in text for words in ("error: ", "Signal ", "SIGTERM: stopped after")):
        raise Lost(f"it ended without a sentence: {text[-800:]}")
    if re.search(r"\[rank\d+\]: *Traceback", text):  # torchrun itself shows one of its own, without a rank
        raise Lost(f"a traceback: {text[-800:]}")
    status, text = _finished(_started(inputs, place, resume=(place / "run/config.yaml").is_file()))
    if status != 0:
        raise Lost(f"resumed, it ended with status {status}: {text[-800:]}")
    if what_a_run_left(place) != expected:
        raise Lost("resumed, it ended with another result")


def _kill(process: subprocess.Popen[str], place: Path, number: signal.Signals, rank: int, step: int) -> None:
    """Wait until the run has recorded a step, and signal one of its workers."""
    end = time.monotonic() + _PATIENCE
    metrics = place / "run/metrics.jsonl"
    while process.poll() is None and time.monotonic() < end:
        n_steps = metrics.read_text(encoding="utf-8").count('"kind": "step"') if metrics.is_file() else -1
        if n_steps >= step and (worker := _worker(psutil.Process(process.pid).children(), rank)):
            worker.send_signal(number)
            return
        time.sleep(0.005)


def _worker(processes: Sequence[psutil.Process], rank: int) -> psutil.Process | None:
    for each in processes:
        try:
            if each.environ().get("RANK") == str(rank):
                return each
        except psutil.Error:
            continue
    return None
