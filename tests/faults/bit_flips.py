"""One flipped bit in each file that the package writes and reads again.

Either the file is refused in words that name it, or what is read is bit for bit what was written. Of a run's metrics, a
damaged line may also be left out, if its number is said.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from faults.campaign import Fault, Kind, Try
from faults.dripping_server import dripping
from faults.forked import Ended, Lost, forked
from faults.tools import (
    check_limits,
    check_words,
    contents_of_model,
    in_words,
    require_success,
    small_model,
)
from faults.works import (
    PACKING,
    PRETRAINING,
    TOKENIZER,
    TOPICS,
    named_records,
    read_tokenizer,
    read_tokens,
    read_topics,
    what_a_run_left,
)

_EDGE = 256  # bytes at the beginning and the end of a file, where headers and hashes are


@dataclass(frozen=True)
class Subject:
    """Files that belong together.

    Attributes
    ----------
    write
        Writes them in the current folder, with what else is needed in another folder, ``inputs``.
    read
        Reads all that they mean from the current folder, in the way in which a user comes to it.
    files
        A pattern for the files that are damaged.
    """

    write: Callable[[Path], None]
    read: Callable[[Path], Any]
    files: str = "**/*"
    seconds: float = 5.0
    around: Callable[[Path], AbstractContextManager[None]] = nullcontext


def flips(n: int, n_quick: int) -> Callable[[random.Random, bool], list[Fault]]:
    """Return a function that draws bits: of which file, where in it, and which of the byte."""

    def draw(rng: random.Random, quick: bool) -> list[Fault]:
        places = ("beginning", "end", "anywhere")
        return [
            (round(rng.random(), 4), rng.choice(places), round(rng.random(), 6), rng.randrange(8))
            for _ in range(n_quick if quick else n)
        ]

    return draw


def _kind(name: str, subject: Subject, n: int, n_quick: int = 1) -> Kind:
    survived = (
        "it is refused in words that name the file, or what is read is bit for bit what was written, or a damaged line "
        "of the metrics is left out and its number said"
    )
    return Kind(f"bit flips: {name}", survived, flips(n, n_quick), partial(_workshop, subject))


@contextmanager
def _workshop(subject: Subject, folder: Path) -> Iterator[Try]:
    inputs, intact, place = (folder / name for name in ("inputs", "intact", "tried"))
    for each in (inputs, intact):
        shutil.rmtree(each, ignore_errors=True)
        each.mkdir(parents=True)
    with subject.around(inputs):
        require_success(forked(partial(subject.write, inputs), folder=intact), "writing")
        files = sorted(path for path in intact.glob(subject.files) if path.is_file() and path.stat().st_size)
        files = [path for path in files if path.name != ".lock"]
        assert files, f"nothing of {subject.files} was written"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(intact, place)
        read = in_words(partial(subject.read, inputs))
        expected = require_success(forked(read, folder=place), "reading what is intact").value

        def try_one(fault: Fault) -> None:
            share, where, at, bit = fault
            path = files[int(share * len(files))].relative_to(intact)
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(intact, place)
            offset = flip(place / path, where, at, bit)
            line = (intact / path).read_bytes()[:offset].count(b"\n") + 1
            ended = forked(read, folder=place, memory=4 << 30)
            what = f"bit {bit} of byte {offset:,} of {path}"
            try:
                if ended.status == 0:
                    check_limits(ended, subject.seconds)
                    is_known = path.name == "metrics.jsonl" and _says_what_it_left_out(ended, expected, line)
                    if ended.value != expected and not is_known:
                        raise Lost(f"what is read is another: {_difference(ended.value, expected)}")
                else:
                    check_words(ended, path.name, str(path.parent), place.name, seconds=subject.seconds)
            except Lost as error:
                raise Lost(f"{what}: {error}") from None

        yield try_one


def flip(path: Path, where: str, at: float, bit: int) -> int:
    """Flip one bit of a file; return the number of its byte."""
    content = bytearray(path.read_bytes())
    edge = min(_EDGE, len(content))
    first, n = {"beginning": (0, edge), "end": (len(content) - edge, edge), "anywhere": (0, len(content))}[
        where
    ]
    offset = first + int(at * n)
    content[offset] ^= 1 << bit
    path.write_bytes(content)
    return offset


def _says_what_it_left_out(ended: Ended, expected: Any, line: int) -> bool:
    """Return whether all that was read is what was written, and it was said that a line is missing."""
    return f"line {line}: " in ended.text and all(
        key in expected and expected[key] == value for key, value in ended.value.items()
    )


def _difference(found: Any, expected: Any) -> str:
    """Say where two values of JSON differ first."""
    if type(found) is type(expected) and isinstance(found, dict | list):
        if isinstance(found, list):
            found, expected = (dict(enumerate(each)) for each in (found, expected))
        for key in {**expected, **found}:
            if found.get(key) != expected.get(key):
                return f"{key}: {_difference(found.get(key), expected.get(key))}"
    return f"{str(found)[:200]} instead of {str(expected)[:200]}"


def _write_directory(inputs: Path) -> None:
    small_model(inputs).save("model")


def _write_single_file(inputs: Path) -> None:
    small_model(inputs).save("model.pt")


def _write_quantized(inputs: Path) -> None:
    small_model(inputs).quantized().save("model")


def halt_a_run(inputs: Path) -> None:
    """Leave a run that has to be resumed: it was stopped after its seventh step."""
    from minillm_lib.training.config import PretrainConfig
    from minillm_lib.training.overrides import load_config
    from minillm_lib.training.stages import pretrain

    class Halted(Exception):  # noqa: N818
        pass

    def halt(record: dict[str, Any]) -> None:
        if record["kind"] == "step" and record["step"] == 7:
            raise Halted

    PRETRAINING.prepare(inputs)
    try:
        pretrain(load_config(PretrainConfig, inputs / "config.yaml"), progress=False, on_record=halt)
    except Halted:
        return
    raise AssertionError("the run was not halted")


def _resumed(inputs: Path) -> Any:
    PRETRAINING.run(inputs)
    return what_a_run_left(Path())


def _resumed_by_folder(inputs: Path) -> Any:
    """Resume with the configuration that the run has kept."""
    from minillm_lib.training.config import PretrainConfig
    from minillm_lib.training.overrides import load_config
    from minillm_lib.training.stages import pretrain

    config = load_config(PretrainConfig, "run/config.yaml")
    pretrain(config, resume=True, progress=False)
    return what_a_run_left(Path())


def _finish_a_run(inputs: Path) -> None:
    PRETRAINING.prepare(inputs)
    PRETRAINING.run(inputs)


def _records(inputs: Path) -> Any:
    from minillm_lib.training.run import RunResult

    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        run = RunResult.of("run")
    for each in given:
        print(each.message)
    return {**named_records(run.records), "config": dict(run.config)}


def _write_tokens(inputs: Path) -> None:
    PACKING.prepare(inputs)
    PACKING.run(inputs)


def _read_packed(inputs: Path) -> Any:
    """Read a packed folder as a run does."""
    from minillm_lib.training.config import DataConfig
    from minillm_lib.training.data import prepare_pretraining_data

    data = prepare_pretraining_data(DataConfig(packed=Path("ids")), progress=False)
    return [data.fingerprint, data.train.tokens.tolist()[::97], data.train.document_starts.tolist()[::9]]


def _write_tokenizer(inputs: Path) -> None:
    TOKENIZER.prepare(inputs)
    TOKENIZER.run(inputs)


def _write_tokenizer_folder(inputs: Path) -> None:
    TOKENIZER.prepare(inputs)
    TOKENIZER.run(inputs)
    from minillm_lib.tokenizer import Tokenizer

    Path("tokenizer").mkdir()
    Tokenizer.load("own.model").save_hugging_face("tokenizer")


def _write_topics(inputs: Path) -> None:
    TOPICS.prepare(inputs)
    TOPICS.run(inputs)


def _halt_a_fit(inputs: Path) -> None:
    """Leave the checkpoint of a fit that was interrupted, and of it a copy of what a whole fit is."""
    from scipy import sparse

    counts = np.random.default_rng(0).poisson(1.0, (30, 40))
    sparse.save_npz(inputs / "counts.npz", sparse.csr_matrix(counts))
    sweeps = _fit(inputs).iter_sweeps(sparse.load_npz(inputs / "counts.npz"))
    for _ in range(8):
        next(sweeps)
    sweeps.close()
    assert Path("fit.checkpoint").is_file()


def _fit(inputs: Path) -> Any:
    from minillm_lib.topics.gibbs_lda import GibbsLDA

    return GibbsLDA(
        4, n_sweeps=20, n_threads=1, random_state=3, checkpoint="fit.checkpoint", checkpoint_seconds=0
    )


def _go_on_fitting(inputs: Path) -> Any:
    from scipy import sparse

    model = _fit(inputs).fit(sparse.load_npz(inputs / "counts.npz"))
    return [model.topic_word_.tolist(), model.z_.tolist(), list(model.log_likelihoods_)]


_BODY = random.Random(6).randbytes(60_000)


@contextmanager
def _serving(inputs: Path) -> Iterator[None]:
    with dripping(_BODY, seconds=0.3) as url:
        (inputs / "url").write_text(url, encoding="utf-8")
        yield


def _download_half(inputs: Path) -> None:
    """Leave a part of a file, as a download that was killed does, and a page in the cache."""
    from minillm_lib.io.download import Downloader

    url = (inputs / "url").read_text(encoding="utf-8")
    with Downloader("cache", delay=0) as client:
        client.get(url)
    process = os.fork()
    if process == 0:
        with Downloader("cache", delay=0) as client:
            client.download_file(url, "file.bin", progress=False)
        os._exit(0)
    part = Path("file.bin.part")
    while not (part.is_file() and part.stat().st_size):
        time.sleep(0.001)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    assert part.is_file(), "the download was finished too soon"


def _download_rest(inputs: Path) -> Any:
    from minillm_lib.io.download import Downloader

    url = (inputs / "url").read_text(encoding="utf-8")
    sha256 = hashlib.sha256(_BODY).hexdigest()
    with Downloader("cache", delay=0, backoff=0.01, retries=1) as client:
        page = client.get(url)
        client.download_file(url, "file.bin", size=len(_BODY), sha256=sha256, progress=False)
    return [hashlib.sha256(each).hexdigest() for each in (page, Path("file.bin").read_bytes())]


def bit_flip_kinds() -> list[Kind]:
    """Return a kind of fault for each group of files."""
    model = lambda name: lambda inputs: contents_of_model(Path(name))  # noqa: E731
    return [
        _kind("checkpoint directory", Subject(_write_directory, model("model")), 80, 2),
        _kind("checkpoint in one file", Subject(_write_single_file, model("model.pt")), 60),
        _kind("checkpoint in 8 bits", Subject(_write_quantized, model("model")), 20),
        _kind("run to resume", Subject(halt_a_run, _resumed, "run/**/*", seconds=15), 40),
        _kind(
            "run to resume by its folder", Subject(halt_a_run, _resumed_by_folder, "run/config.yaml", 15), 10
        ),
        _kind("metrics of a run to resume", Subject(halt_a_run, _resumed, "run/metrics.jsonl", 15), 15),
        _kind("records of a run", Subject(_finish_a_run, _records, "run/[cm]*.*"), 40),
        _kind(
            "token files",
            Subject(_write_tokens, lambda inputs: read_tokens(Path("text.tokens")), "text.*"),
            30,
        ),
        _kind("packed ids", Subject(_write_tokens, _read_packed, "ids/*"), 30),
        _kind("tokenizer", Subject(_write_tokenizer, lambda inputs: read_tokenizer(Path("own.model"))), 20),
        _kind(
            "tokenizer folder", Subject(_write_tokenizer_folder, _read_tokenizer_folder, "tokenizer/*"), 30
        ),
        _kind(
            "topic model", Subject(_write_topics, lambda inputs: read_topics(Path("model")), "model/*"), 40
        ),
        _kind("interrupted fit", Subject(_halt_a_fit, _go_on_fitting, "fit.checkpoint"), 25),
        _kind("downloads", Subject(_download_half, _download_rest, around=_serving), 30),
    ]


def _read_tokenizer_folder(inputs: Path) -> Any:
    """Read a folder as transformers has it, by this package; its template is part of it."""
    from minillm_lib.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(Path("tokenizer"))
    chat = [{"role": "user", "content": "a word"}, {"role": "assistant", "content": "a topic"}]
    return [
        *read_tokenizer(Path("tokenizer")),
        list(tokenizer.chat_ids_and_mask(chat)),
        tokenizer.chat_template,
    ]
