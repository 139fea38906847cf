"""Runs in separate processes, which can be killed before any of their file operations.

The processes are forked from one server that has torch loaded already, so that a run takes about half a second.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import sys
import threading
from pathlib import Path
from typing import Any

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["minillm_lib.training.stages", "torch._dynamo"])
_WRITING = os.O_WRONLY | os.O_RDWR
_CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree")


def run_in_process(
    stage: str, config: Any, *, resume: bool, kill_before: int | None = None, file_limit_at: int | None = None
) -> tuple[int, dict[str, Any]]:
    """Train in a separate process; return its exit status (-9: killed), and what it reported.

    Parameters
    ----------
    kill_before
        The number of the change to the run's files before which SIGKILL comes. Files of a checkpoint that is not
        finished are then truncated to half their length, as if they had not been written to the end.
    file_limit_at
        The step after which no file may grow beyond 4 kB, as if the disk were full.
    """
    report = Path(f"{config.run}-report.json")
    report.unlink(missing_ok=True)
    process = _SERVER.Process(
        target=_train, args=(stage, config.as_json(), resume, kill_before, file_limit_at, str(report))
    )
    process.start()
    process.join()
    status = process.exitcode
    process.close()
    return status, json.loads(report.read_text()) if report.exists() else {}


def _train(
    stage: str,
    values: dict[str, Any],
    resume: bool,
    kill_before: int | None,
    file_limit_at: int | None,
    report: str,
) -> None:
    from tqdm import tqdm

    from minillm_lib.training import metrics, stages
    from minillm_lib.training.config import PretrainConfig, SFTConfig

    tqdm.set_lock(
        threading.RLock()
    )  # its own one is shared between processes, and a killed process leaves it behind
    metrics.matmul_flops = lambda device, dtype: 1e10  # measuring it takes longer than the run
    run, config = {
        "pretrain": (stages.pretrain, PretrainConfig),
        "sft": (stages.sft, SFTConfig),
    }[stage]
    changes = _ChangesOf(values["run"], kill_before)
    sys.addaudithook(changes.note)

    def on_record(record: dict[str, Any]) -> None:
        if record["kind"] == "step" and record["step"] == file_limit_at:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))

    try:
        run(config.model_validate(values), resume=resume, progress=False, on_record=on_record)
        facts = {"changes": changes.count}
    except ValueError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        facts = {"error": f"{type(error).__name__}: {error}"}
    Path(report).write_text(json.dumps(facts))


class _ChangesOf:
    """Counts the changes to the files of a folder, and kills its own process before one of them."""

    def __init__(self, folder: str, kill_before: int | None) -> None:
        self.folder, self.kill_before, self.count = os.path.realpath(folder), kill_before, 0

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        is_change = event in _CHANGES or (event == "open" and (arguments[2] or 0) & _WRITING)
        if not is_change or not str(arguments[0]).startswith(self.folder):
            return
        self.count += 1
        if self.count == self.kill_before:
            for file in Path(self.folder).glob("checkpoints/.step-*/**/*"):
                if file.is_file():
                    os.truncate(file, file.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
