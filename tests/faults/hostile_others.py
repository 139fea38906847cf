"""Hostile notebooks, matrices of counts, run folders, and files of tokens and of topic models."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from faults.bit_flips import halt_a_run
from faults.forked import forked
from faults.hostile import CODE, Hostile, called
from faults.tools import require_success
from faults.works import PACKING, TOPICS

_DEEP = 100_000
_NOTEBOOK = "10_swiglu"
_LONGEST = 20  # seconds: 4 that the grader is told, and a new Python with torch


def notebook_table() -> Mapping[str, Hostile]:
    """Return the hostile notebooks by name; the first ones are no notebooks, the others do harm when they run."""
    return {
        **{
            name: Hostile(_graded(text), "either", seconds=_LONGEST) for name, text in _no_notebooks().items()
        },
        **{
            name: Hostile(_graded(_cells(*cells)), "read", seconds=_LONGEST)
            for name, cells in _harmful_cells().items()
        },
    }


def _graded(text: str | bytes | Callable[[Path], Any]) -> Callable[[], list[object]]:
    def make() -> list[object]:
        path = Path(f"{_NOTEBOOK}.ipynb")
        if callable(text):
            text(path)
        else:
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        limits = ("--time-limit", 4, "--cell-time-limit", 2, "--memory-limit", 700)
        return ["grade", path, *limits, "--csv", "points.csv"]

    return make


def _cells(*sources: Any) -> str:
    cells = [{"cell_type": "code", "source": source, "metadata": {}, "outputs": []} for source in sources]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def _no_notebooks() -> dict[str, str | bytes | Callable[[Path], Any]]:
    return {
        "empty": "",
        "noise": os.urandom(1000),
        "null": "null",
        "a list": "[]",
        "cells as a number": '{"cells": 7}',
        "cells of numbers": '{"cells": [1, 2]}',
        "no cells": '{"cells": []}',
        "format 3": '{"worksheets": [{"cells": []}], "nbformat": 3}',
        "deep": "[" * _DEEP,
        "a deep cell": '{"cells": [{"cell_type": "code", "source": ' + "[" * _DEEP + "]" * _DEEP + "}]}",
        "a FIFO": os.mkfifo,
        "an endless device": lambda path: path.symlink_to("/dev/zero"),
        "a number of 10^6 digits": '{"cells": [], "n": ' + "9" * 10**6 + "}",
        "escapes in names": '{"cells": [{"cell_type": "code", "source": "check.\\u001b[2Jswiglu(1)"}]}',
    }


def _harmful_cells() -> dict[str, tuple[Any, ...]]:
    """Return cells that the grader has to outlive."""
    check = "check.gelu(gelu)"
    return {
        "a source of numbers": (7, [1, 2], {"a": 1}, None),
        "a deep expression": ("(" * 5000 + ")" * 5000, check),
        "an endless loop": ("while True: pass", check),
        "all the memory": ("a = bytearray(8 << 30)\nfor i in range(0, 8 << 30, 4096): a[i] = 1", check),
        "a crash": ("import ctypes; ctypes.string_at(0)", check),
        "an exit": ("import os; os._exit(0)", check),
        "a signal to itself": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", check),
        "a text of 50 MB": ("print('x' * (50 << 20))", check),
        "deep recursion": ("def f(): return f()\nf()", check),
        "closed outputs": ("import os; os.close(1); os.close(2)", check),
        "escapes": (r"print('\x1b]0;owned\x07\x1b[2J')", check),
        "a zero in the source": ("a = '\x00'", check),
        "a result of its own": ("gelu = type('E', (), {'__eq__': lambda s, o: True})()", check),
    }


def matrix_table() -> Mapping[str, Hostile]:
    """Return broken sparse matrices and hostile parameters by name; compiled code must not trust them."""
    return {
        **{
            f"CSR: {name}": Hostile(_fitted(parts), names=("X", "n_topics"))
            for name, parts in _matrices().items()
        },
        **{
            f"GibbsLDA: {name}": Hostile(_parameters(**own), names=(*own, "chains"))
            for name, own in _settings().items()
        },
    }


def _fitted(parts: tuple[Any, Any, Any, tuple[int, int]]) -> Callable[[], Callable[[], Any]]:
    def make() -> Callable[[], Any]:
        from minillm_lib.topics.gibbs_lda import GibbsLDA

        data, indices, indptr, shape = parts
        matrix = sparse.csr_matrix((4, 5))  # its check is circumvented, as a damaged file circumvents it
        matrix.data, matrix.indices, matrix.indptr, matrix._shape = (
            *map(np.asarray, (data, indices, indptr)),
            shape,
        )
        return called(lambda: GibbsLDA(2, n_sweeps=2, n_threads=1).fit(matrix).n_tokens_)

    return make


def _matrices() -> dict[str, tuple[Any, Any, Any, tuple[int, int]]]:
    ones = np.ones(4)
    return {
        "a column beyond the end": (ones, [0, 1, 10**6, 2], [0, 1, 2, 3, 4], (4, 5)),
        "a negative column": (ones, [0, -7, 1, 2], [0, 1, 2, 3, 4], (4, 5)),
        "rows beyond the data": (ones, [0, 1, 2, 3], [0, 1, 2, 3, 10**9], (4, 5)),
        "rows that go back": (ones, [0, 1, 2, 3], [0, 3, 1, 2, 4], (4, 5)),
        "fewer rows than it says": (ones, [0, 1, 2, 3], [0, 4], (4, 5)),
        "fewer columns than values": (ones, [0, 1], [0, 1, 2, 3, 4], (4, 5)),
        "a shape of 10^12": (ones, [0, 1, 2, 3], [0, 1, 2, 3, 4], (4, 10**12)),
        "negative counts": (-ones, [0, 1, 2, 3], [0, 1, 2, 3, 4], (4, 5)),
        "counts that are no numbers": (ones * np.nan, [0, 1, 2, 3], [0, 1, 2, 3, 4], (4, 5)),
        "infinite counts": (ones * np.inf, [0, 1, 2, 3], [0, 1, 2, 3, 4], (4, 5)),
        "counts of 10^15": (ones * 1e15, [0, 1, 2, 3], [0, 1, 2, 3, 4], (4, 5)),
        "columns as floats": (ones, [0.5, 1.0, 2.0, 3.0], [0, 1, 2, 3, 4], (4, 5)),
    }


def _parameters(**settings: Any) -> Callable[[], Callable[[], Any]]:
    def make() -> Callable[[], Any]:
        from minillm_lib.topics.gibbs_lda import GibbsLDA

        counts = np.ones((4, 5), dtype=int)
        return called(
            lambda: GibbsLDA(**{"n_topics": 2, "n_sweeps": 2, "n_threads": 1, **settings}).fit(counts)
        )

    return make


def _settings() -> dict[str, dict[str, Any]]:
    return {
        "10^7 chains": {"n_chains": 10**7},
        "10^9 topics": {"n_topics": 10**9},
        "no topics": {"n_topics": 0},
        "a negative alpha": {"alpha": -1.0},
        "an alpha that is no number": {"alpha": float("nan")},
        "-1 sweeps": {"n_sweeps": -1},
        "2.5 topics": {"n_topics": 2.5},
    }


def prepare_folders(folder: Path) -> None:
    """Write a run that was halted, token files and a topic model."""
    for name, write in (("run", halt_a_run), ("tokens", _write_tokens), ("topics", _write_topics)):
        for each in (folder / name, folder / f"{name}-inputs"):
            shutil.rmtree(each, ignore_errors=True)
            each.mkdir(parents=True)
        writing = partial(write, folder / f"{name}-inputs")
        require_success(forked(writing, folder=folder / name), f"writing {name}")


def _write_tokens(inputs: Path) -> None:
    PACKING.prepare(inputs)
    PACKING.run(inputs)


def _write_topics(inputs: Path) -> None:
    TOPICS.prepare(inputs)
    TOPICS.run(inputs)


def folder_table() -> Mapping[str, Hostile]:
    """Return the hostile files of runs, of tokens and of topic models by name."""
    runs = {f"run: {name}": Hostile(_run(*change), "either", seconds=15) for name, change in _runs().items()}
    tokens = {f"tokens: {name}": Hostile(_tokens(change)) for name, change in _headers().items()}
    topics = {f"topics: {name}": Hostile(_topics(*change)) for name, change in _parts().items()}
    return {**runs, **tokens, **topics}


def _run(name: str, content: str | Callable[[Path], Any]) -> Callable[[], list[object]]:
    """Change a file of a run, which then is resumed, or said to be damaged."""

    def make() -> list[object]:
        shutil.copytree("../run", ".", dirs_exist_ok=True)
        _put(Path("run", name), content)
        return ["pretrain", "--config", "../run-inputs/config.yaml", "--resume"]

    return make


def _put(path: Path, content: str | Callable[[Path], Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if callable(content):
        content(path)
    else:
        path.write_text(content, encoding="utf-8")


def _runs() -> dict[str, tuple[str, str | Callable[[Path], Any]]]:
    state = "checkpoints/step-000006/trainer_state/state.json"
    return {
        "an empty configuration": ("config.yaml", ""),
        "a configuration as a list": ("config.yaml", "[1]\n"),
        "a configuration without its sections": ("config.yaml", "run: a\n"),
        "sections as numbers": ("config.yaml", "train: 7\ndata: 7\nmodel: 7\n"),
        "a deep configuration": ("config.yaml", "a: " + "[" * 20_000),
        "a FIFO for the configuration": ("config.yaml", os.mkfifo),
        "records of numbers": ("metrics.jsonl", "42\n[1]\nnull\n"),
        "records without a step": (
            "metrics.jsonl",
            '{"kind": "step"}\n{"kind": "evaluation", "step": "x"}\n',
        ),
        "deep records": ("metrics.jsonl", "[" * _DEEP + "\n"),
        "an endless device for records": ("metrics.jsonl", lambda path: path.symlink_to("/dev/zero")),
        "a state as a list": (state, "[]"),
        "a deep state": (state, "[" * _DEEP),
        "a state that names files outside": (
            state,
            '{"sha256": "0", "files": {"../../../../etc/passwd": "0"}}',
        ),
        "a copy of a checkpoint": ("checkpoints/step-000006 (copy)/config.json", "{}"),
        "a backup of a checkpoint": ("checkpoints/step-000006.bak/config.json", "{}"),
        "a checkpoint of step 10^30": (f"checkpoints/step-{10**30}/config.json", "{}"),
        "a bad batch as a list": ("bad-batches/batch-000001.json", "[]"),
        "a bad batch that was cut": ("bad-batches/batch-000001.json", '{"batch": 1, "rea'),
        "a bad batch of a text": ("bad-batches/batch-000001.json", '{"batch": "x", "reaction": "rollback"}'),
    }


def _tokens(change: Callable[[bytes], bytes]) -> Callable[[], Callable[[], Any]]:
    def make() -> Callable[[], Any]:
        Path("own.tokens").write_bytes(change(Path("../tokens/text.tokens").read_bytes()))

        def read() -> int:
            from minillm_lib.training.token_file import TokenFile

            file = TokenFile("own.tokens")
            file.verify()
            return sum(int(file.document(number).sum()) for number in range(len(file)))

        return called(read)

    return make


def _headers() -> dict[str, Callable[[bytes], bytes]]:
    mark, size = b"MINILLM-TOKENS\n", 1024

    def header(**values: Any) -> Callable[[bytes], bytes]:
        def change(content: bytes) -> bytes:
            known = json.loads(content[len(mark) : size])
            text = mark + json.dumps({**known, **values}).encode()
            return text.ljust(size) + content[size:]

        return change

    return {
        "a count of 10^18": header(n_tokens=10**18),
        "a negative count": header(n_tokens=-1),
        "a count as a text": header(n_tokens="many"),
        "documents as a list": header(n_documents=[1]),
        "a type of objects": header(dtype="object"),
        "a vocabulary of 10": header(vocab_size="x", sha256=7),
        "a header of a list": lambda content: (mark + b"[]").ljust(size) + content[size:],
        "a deep header": lambda content: (mark + b"[" * 990).ljust(size) + content[size:],
        "cut": lambda content: content[: len(content) // 2],
        "empty": lambda content: b"",
        "starts beyond the end": lambda content: content[:-8] + struct.pack("<Q", 2**63),
    }


def _topics(name: str, change: Callable[[bytes], bytes]) -> Callable[[], list[object]]:
    def make() -> list[object]:
        shutil.copytree("../topics/model", "model")
        path = Path("model", name)
        path.write_bytes(change(path.read_bytes()))
        return ["topics", "show", "model"]

    return make


def _parts() -> dict[str, tuple[str, Callable[[bytes], bytes]]]:
    return {
        f"{name}: {how}": (name, change)
        for name in ("model.json", "topics.lda", "documents.jsonl")
        for how, change in {
            "empty": lambda content: b"",
            "cut": lambda content: content[: len(content) // 2],
            "deep": lambda content: b"[" * _DEEP,
            "a pickle": lambda content: f"c__builtin__\neval\n(V{CODE}\ntR.".encode(),
        }.items()
    }
