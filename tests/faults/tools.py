"""What several kinds of fault need: the command in this process, its words, small models, and digests of results."""

from __future__ import annotations

import hashlib
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from faults.forked import GIBIBYTE, Ended, Lost, patience

TIMED = ("seconds", "tokens_per_second", "mfu", "memory")
"""What the metrics hold that depends on the clock, and not only on the run."""


def minillm(*arguments: object) -> None:
    """Run the command, as a user would, in this process; its exit status becomes a ``SystemExit``."""
    from tqdm import tqdm

    from minillm_lib.cli import main

    _take_the_speed_as_known()
    tqdm.monitor_interval = 0  # it starts a thread
    os.environ |= {"COLUMNS": "120", "TERM": "dumb"}
    sys.argv = ["minillm", *map(str, arguments)]
    try:
        main.main()
    except SystemExit as end:
        if end.code:
            raise


def _take_the_speed_as_known() -> None:
    """Do not measure the machine, which takes longer than a short run."""
    from minillm_lib.training import metrics

    metrics.matmul_flops = lambda device, dtype: 1e10


def in_words(function: Callable[[], Any]) -> Callable[[], Any]:
    """Let a function of the library end as the command would: in a sentence, or in the report of a mistake."""

    def run() -> Any:
        from minillm_lib.cli.failures import status_of

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return function()
        except Exception as error:
            sys.exit(status_of(error))

    return run


def check_words(ended: Ended, *names: str, seconds: float = 5.0, memory: int = GIBIBYTE) -> None:
    """Check that a process refused something in a sentence, soon and with little memory.

    Parameters
    ----------
    names
        One of these has to stand in the sentence: what is wrong where.
    """
    check_limits(ended, seconds, memory)
    check_no_traceback(ended)
    if ended.status not in (1, 2):
        raise Lost(f"it ended with status {ended.status}, not with an error: {ended.last_line}")
    sentence = " ".join(ended.text.split())
    if "error: " not in sentence:
        raise Lost(f"it did not say what is wrong: {ended.last_line}")
    if names and not any(name in sentence for name in names):
        raise Lost(f"the error names none of {', '.join(names)}: {ended.last_line}")


def check_limits(ended: Ended, seconds: float = 5.0, memory: int = GIBIBYTE) -> None:
    """Check the time and the memory that something took; a lack of memory is no excuse."""
    if ended.seconds > seconds * patience():
        raise Lost(f"it took {ended.seconds:.1f} s: {ended.last_line}")
    if ended.memory > memory:
        raise Lost(f"it took {ended.memory / GIBIBYTE:.2f} GiB: {ended.last_line}")
    if "memory of this machine" in ended.text or "MemoryError" in ended.text:
        raise Lost(f"it asked for more memory than {memory / GIBIBYTE:.0f} GiB: {ended.last_line}")


def check_no_traceback(ended: Ended) -> None:
    """Check that a process was not ended by an error that nobody foresaw."""
    if ended.status < 0:
        raise Lost(f"signal {-ended.status} ended it: {ended.text[-3000:]}")
    if "Traceback" in ended.text or "traceback" in ended.text:
        raise Lost(f"a traceback: {ended.last_line}")


def require_success(ended: Ended, what: str) -> Ended:
    """Check that a process did what it should, undisturbed."""
    if ended.status != 0:
        said = ended.last_line if ended.status > 0 else ended.text[-3000:]  # killed as it hung: where it was
        raise Lost(f"{what} ended with status {ended.status}: {said}")
    return ended


def digest(path: Path) -> str:
    """Return a hash of a file, or of the names and bytes of all files in a folder."""
    hashed = hashlib.sha256()
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    for file in files:
        hashed.update(f"{file.relative_to(path)}\n".encode())
        hashed.update(file.read_bytes())
    return hashed.hexdigest()[:16]


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested containers with tensors as one mapping from paths to plain values."""
    import torch

    if isinstance(value, torch.Tensor):
        content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        return {
            prefix: [str(value.dtype), list(value.shape), hashlib.sha256(bytes(content.numpy())).hexdigest()]
        }
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {path: leaf for key, inner in items for path, leaf in flat(inner, f"{prefix}/{key}").items()}
    return {prefix: value}


def contents_of_model(path: Path) -> dict[str, Any]:
    """Load a checkpoint, and return all that could be different in it."""
    from minillm_lib.model.decoder import MiniLLM

    model = MiniLLM.load_from_checkpoint(path)
    tokenizer = model.tokenizer
    return {
        "config": model.config.model_dump(mode="json"),
        "weights": flat(dict(model.state_dict())),
        "tokenizer": None if tokenizer is None else tokenizer.sha256,
        "stage": model.stage,
        "defaults": str(model.chat_defaults),
    }


def write_tokenizer(folder: Path) -> Any:
    """Train a tokenizer of 320 pieces, once per folder."""
    from quick_runs import WORDS

    from minillm_lib.tokenizer import Tokenizer

    path = folder / "tokenizer.model"
    if not path.is_file():
        Tokenizer.train([f"{WORDS} {number}" for number in range(50)], vocab_size=320).save(path)
    return Tokenizer.load(path)


def small_model(folder: Path, seed: int = 0) -> Any:
    """Return a random model of 20,000 parameters, with a tokenizer, that was trained to chat."""
    import torch
    from quick_runs import MODEL

    from minillm_lib.model.config import ModelConfig
    from minillm_lib.model.decoder import MiniLLM

    torch.manual_seed(seed)
    model = MiniLLM(ModelConfig.model_validate({**MODEL, "max_seq_len": 128})).eval()
    model.tokenizer = write_tokenizer(folder)
    model.stage = "sft"
    return model


def random_text(rng: random.Random, n_words: int, n_kinds: int = 300) -> str:
    """Return words of two to nine letters, some far more frequent than others."""
    letters = "etaoinshrdlu"
    kinds = ["".join(random.Random(number).choices(letters, k=2 + number % 8)) for number in range(n_kinds)]
    return " ".join(rng.choices(kinds, weights=[1 / (1 + rank) for rank in range(n_kinds)], k=n_words))


def strays(folder: Path) -> list[str]:
    """Return the hidden files and folders in a folder, which an interrupted writing may leave, without locks."""
    hidden: Iterable[Path] = folder.rglob(".*")
    return sorted(str(path.relative_to(folder)) for path in hidden if path.name != ".lock")
